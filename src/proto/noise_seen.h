/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signatures over static keys that have been found good. A peer's static key lives as long as its process, and so does its identity's signature
 * over it: one that connects again shows the same, which need not be verified again. A fixed number is remembered; a later one takes the
 * place of an earlier one. */
#ifndef KITH_PROTO_NOISE_SEEN_H
#define KITH_PROTO_NOISE_SEEN_H

#include "base/env.h"
#include "crypto/dh.h"
#include "crypto/hash.h"

#define KITH_NOISE_SEEN_MAX 128 /* 4 KiB */

typedef struct kith_noise_seen kith_noise_seen;

/* NULL: no memory. */
kith_noise_seen *kith_noise_seen_new(const kith_env *env);
void kith_noise_seen_free(kith_noise_seen *seen);

/* What a signature is remembered by: of exactly these bytes. */
typedef struct kith_noise_seen_name {
    uint8_t b[KITH_SHA256_LEN];
} kith_noise_seen_name;
kith_noise_seen_name kith_noise_seen_name_of(kith_bytes identity, const uint8_t s[KITH_X25519_LEN],
                                             kith_bytes sig);

/* On any thread, at the same time. */
bool kith_noise_seen_has(const kith_noise_seen *seen, const kith_noise_seen_name *name);
void kith_noise_seen_add(kith_noise_seen *seen, const kith_noise_seen_name *name);

#endif
