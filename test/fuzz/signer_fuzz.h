/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* For targets that need a key that signs: the same in every run. */
#ifndef KITH_TEST_SIGNER_FUZZ_H
#define KITH_TEST_SIGNER_FUZZ_H

#include "crypto/crypto.h"
#include "wire/peer_id.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

static kith_signer *signer;
static kith_peer_id own;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    const uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
    uint8_t pub[KITH_ED25519_PUB_LEN], key[KITH_PUBKEY_ED25519_LEN];
    if (kith_crypto_init() != KITH_OK)
        return 1;
    signer = kith_signer_new(seed);
    if (!signer)
        return 1;
    kith_signer_public(signer, pub);
    kith_pubkey_ed25519(pub, key);
    return kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &own) != KITH_OK;
}

#endif
