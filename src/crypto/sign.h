/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signatures: Ed25519 made and verified; RSA, secp256k1 and ECDSA P-256 verified, as other libp2p peers use
 * them. */
#ifndef KITH_CRYPTO_SIGN_H
#define KITH_CRYPTO_SIGN_H

#include "base/bytes.h"
#include "base/err.h"

/* libp2p peer-ids spec, "KeyType". */
typedef enum kith_key_type {
    KITH_KEY_RSA = 0,
    KITH_KEY_ED25519 = 1,
    KITH_KEY_SECP256K1 = 2,
    KITH_KEY_ECDSA = 3
} kith_key_type;

#define KITH_ED25519_SEED_LEN 32
#define KITH_ED25519_PUB_LEN 32
#define KITH_ED25519_SIG_LEN 64

typedef struct kith_signer kith_signer; /* an Ed25519 private key ready for use */

kith_signer *kith_signer_new(const uint8_t seed[KITH_ED25519_SEED_LEN]); /* NULL: no memory */
void kith_signer_free(kith_signer *s);
void kith_signer_public(const kith_signer *s, uint8_t out[KITH_ED25519_PUB_LEN]);
KITH_CHECK kith_err kith_signer_sign(const kith_signer *s, kith_bytes msg, uint8_t sig[KITH_ED25519_SIG_LEN]);

/* key: the Data field of a libp2p PublicKey: Ed25519 32 bytes raw; RSA DER PKIX (2048..8192 bits); secp256k1
 * compressed point; ECDSA DER PKIX (P-256). RSA is PKCS#1 v1.5 with SHA-256; secp256k1 and ECDSA are DER
 * signatures over SHA-256. KITH_ECRYPTO: bad key or signature. KITH_EUNSUPPORTED: unknown type. */
KITH_CHECK kith_err kith_verify(kith_key_type type, kith_bytes key, kith_bytes msg, kith_bytes sig);
/* Whether the key bytes are a valid key of the type (point on curve, sizes). Same errors. */
KITH_CHECK kith_err kith_key_check(kith_key_type type, kith_bytes key);

#endif
