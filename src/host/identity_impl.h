/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What identity.c and identity_file.c share. */
#ifndef KITH_HOST_IDENTITY_IMPL_H
#define KITH_HOST_IDENTITY_IMPL_H

#include "crypto/aead.h"
#include "crypto/hash.h"
#include "host/identity.h"

#define SECRET_MAX (KITH_ED25519_SEED_LEN + KITH_SIG_SEED_MAX)
#define SEALED_MAX (KITH_AEAD_NONCE_LEN + SECRET_MAX + KITH_AEAD_TAG_LEN)

struct kith_identity {
    kith_identity_facts facts;  /* .successors is not kept here */
    uint8_t secret[SECRET_MAX]; /* Ed25519's seed, then the other; unless locked */
    kith_argon2_cost cost;      /* the rest: when encrypted */
    uint8_t salt[KITH_ARGON2_SALT_LEN];
    uint8_t key[KITH_AEAD_KEY_LEN]; /* from the passphrase; unless locked */
    uint8_t sealed[SEALED_MAX];     /* nonce, ciphertext, tag */
    size_t sealed_len;
    kith_span successors[KITH_SUCCESSORS_MAX]; /* from malloc, the oldest first */
    size_t successor_count;
    uint8_t origin[KITH_SHA256_LEN]; /* hash of the file that it was read from; zero: none */
};

#endif
