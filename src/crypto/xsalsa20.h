/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* XSalsa20 over a stream that comes in any pieces; no authentication. Of libsodium, since OpenSSL has no Salsa20. */
#ifndef KITH_CRYPTO_XSALSA20_H
#define KITH_CRYPTO_XSALSA20_H

#include "base/bytes.h"

#define KITH_XSALSA20_KEY_LEN 32
#define KITH_XSALSA20_NONCE_LEN 24
#define KITH_SALSA20_BLOCK 64

/* One direction of one stream. */
typedef struct kith_xsalsa20 {
    uint8_t key[KITH_XSALSA20_KEY_LEN], nonce[KITH_XSALSA20_NONCE_LEN];
    uint64_t block; /* the next whole one's number: 2^64 do not come to an end */
    uint8_t rest[KITH_SALSA20_BLOCK];
    size_t used; /* bytes of rest: the last block, in the middle of which a piece ended */
} kith_xsalsa20;

/* A nonce serves one stream under a key, ever. */
void kith_xsalsa20_init(kith_xsalsa20 *x, const uint8_t key[KITH_XSALSA20_KEY_LEN],
                        const uint8_t nonce[KITH_XSALSA20_NONCE_LEN]);
/* Encrypts or decrypts the stream's next bytes, in place. */
void kith_xsalsa20_xor(kith_xsalsa20 *x, kith_span text);
void kith_xsalsa20_fini(kith_xsalsa20 *x); /* wipes it */

/* The first block of plain Salsa20's stream, as kubo's fingerprint of a network key is made of it. */
void kith_salsa20_block(uint8_t out[KITH_SALSA20_BLOCK], const uint8_t key[KITH_XSALSA20_KEY_LEN],
                        const uint8_t nonce[8]);

#endif
