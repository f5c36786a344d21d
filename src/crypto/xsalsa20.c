/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* libsodium counts in blocks, a stream in bytes: what is left of a block is kept for the next piece. */
#include "crypto/xsalsa20.h"

#include <assert.h>
#include <sodium.h>

#include "crypto/crypto.h"

_Static_assert(KITH_XSALSA20_KEY_LEN == crypto_stream_xsalsa20_KEYBYTES, "key");
_Static_assert(KITH_XSALSA20_NONCE_LEN == crypto_stream_xsalsa20_NONCEBYTES, "nonce");

void kith_xsalsa20_init(kith_xsalsa20 *x, const uint8_t key[KITH_XSALSA20_KEY_LEN],
                        const uint8_t nonce[KITH_XSALSA20_NONCE_LEN])
{
    *x = (kith_xsalsa20){.used = KITH_SALSA20_BLOCK};
    memcpy(x->key, key, sizeof x->key);
    memcpy(x->nonce, nonce, sizeof x->nonce);
}

static void xor_blocks(kith_xsalsa20 *x, kith_span text)
{
    int e = crypto_stream_xsalsa20_xor_ic(text.p, text.p, text.len, x->nonce, x->block, x->key);
    assert(e == 0);
    (void)e;
    x->block += (text.len + KITH_SALSA20_BLOCK - 1) / KITH_SALSA20_BLOCK;
}

static void xor_rest(kith_xsalsa20 *x, kith_span text)
{
    for (size_t i = 0; i < text.len; i++)
        text.p[i] ^= x->rest[x->used++];
}

void kith_xsalsa20_xor(kith_xsalsa20 *x, kith_span text)
{
    size_t left = sizeof x->rest - x->used;
    size_t first = text.len < left ? text.len : left;
    xor_rest(x, kith_span_of(text.p, first));
    text = kith_span_skip(text, first);
    size_t last = text.len % KITH_SALSA20_BLOCK;
    if (text.len > last)
        xor_blocks(x, kith_span_of(text.p, text.len - last));
    if (last == 0)
        return;
    memset(x->rest, 0, sizeof x->rest);
    xor_blocks(x, kith_span_of(x->rest, sizeof x->rest));
    x->used = 0;
    xor_rest(x, kith_span_skip(text, text.len - last));
}

void kith_xsalsa20_fini(kith_xsalsa20 *x)
{
    kith_wipe(x, sizeof *x);
}

void kith_salsa20_block(uint8_t out[KITH_SALSA20_BLOCK], const uint8_t key[KITH_XSALSA20_KEY_LEN],
                        const uint8_t nonce[8])
{
    int e = crypto_stream_salsa20(out, KITH_SALSA20_BLOCK, nonce, key);
    assert(e == 0);
    (void)e;
}
