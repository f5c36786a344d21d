/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* BLAKE3 by the official C library. */
#include "crypto/blake3.h"

#include <blake3.h>
#include <openssl/crypto.h>

_Static_assert(KITH_BLAKE3_LEN == BLAKE3_OUT_LEN, "the library's default output");

struct kith_blake3 {
    blake3_hasher h;
};

static kith_blake3 *alloc(void)
{
    return OPENSSL_malloc(sizeof(kith_blake3));
}

kith_blake3 *kith_blake3_new(void)
{
    kith_blake3 *h = alloc();
    if (h)
        blake3_hasher_init(&h->h);
    return h;
}

kith_blake3 *kith_blake3_new_keyed(const uint8_t key[KITH_BLAKE3_LEN])
{
    kith_blake3 *h = alloc();
    if (h)
        blake3_hasher_init_keyed(&h->h, key);
    return h;
}

kith_blake3 *kith_blake3_new_derive(const char *context)
{
    kith_blake3 *h = alloc();
    if (h)
        blake3_hasher_init_derive_key(&h->h, context);
    return h;
}

void kith_blake3_update(kith_blake3 *h, kith_bytes in)
{
    blake3_hasher_update(&h->h, in.p, in.len);
}

void kith_blake3_final(kith_blake3 *h, uint8_t out[KITH_BLAKE3_LEN])
{
    blake3_hasher_finalize(&h->h, out, KITH_BLAKE3_LEN);
    blake3_hasher_reset(&h->h);
}

void kith_blake3_reset(kith_blake3 *h)
{
    blake3_hasher_reset(&h->h);
}

void kith_blake3_free(kith_blake3 *h)
{
    OPENSSL_clear_free(h, sizeof *h); /* it may hold a key */
}

void kith_blake3_hash(kith_bytes in, uint8_t out[KITH_BLAKE3_LEN])
{
    blake3_hasher h;
    blake3_hasher_init(&h);
    blake3_hasher_update(&h, in.p, in.len);
    blake3_hasher_finalize(&h, out, KITH_BLAKE3_LEN);
}
