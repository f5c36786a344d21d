/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* XSalsa20: known answers, and every way to cut a stream. */
#include "crypto/xsalsa20.h"

#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "unit/support.h"

#define LONG (1u << 20)

/* Key 00..1f, nonce 64..7b. */
static kith_xsalsa20 fresh(void)
{
    uint8_t key[KITH_XSALSA20_KEY_LEN], nonce[KITH_XSALSA20_NONCE_LEN];
    kith_xsalsa20 x;
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof nonce; i++)
        nonce[i] = (uint8_t)(100 + i);
    kith_xsalsa20_init(&x, key, nonce);
    return x;
}

static void the_stream_is_that_of_nacl(void **state)
{
    (void)state;
    kith_span key = support_hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
    kith_span nonce = support_hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
    uint8_t out[32] = {0};
    kith_xsalsa20 x;
    kith_xsalsa20_init(&x, key.p, nonce.p); /* NaCl's own test, tests/stream3 */
    kith_xsalsa20_xor(&x, kith_span_of(out, sizeof out));
    support_assert_hex(kith_bytes_of(out, sizeof out),
                       "eea6a7251c1e72916d11c2cb214d3c252539121d8e234e652d651fa4c8cff880");
    free(key.p), free(nonce.p);
}

/* By github.com/davidlazar/go-crypto/salsa20, which go-libp2p uses. */
static const char first200[] =
    "687dffe12afa5fef7e0feb195d6cd992f49572d6194281e3c87fbb4e2106932c02b999c93ab6cee9b0fd23943784a3183eaa38a7e4a64b1ba60c42940a8bc9"
    "88a86ff4184f379be4f51617620013dd65c190ae181286395f03e15304dbb29e64438b4c6dc83c488ab98f1ff240c3ed9354978d07a7ff7b02929b892778e6"
    "e5c6fac9e97befd93ac7037b7f8bbc5c9538782f964ad72b4009408c0ea3e411d63cbe000d1837ce1d094d232b38ddc9e055632bf61f2d27721cab09a77266"
    "38c9f0817f2b28ddd1d367";

static void the_stream_is_that_of_go_for_a_mebibyte(void **state)
{
    (void)state;
    uint8_t *text = calloc(1, LONG), hash[KITH_SHA256_LEN];
    kith_xsalsa20 x = fresh();
    kith_xsalsa20_xor(&x, kith_span_of(text, LONG));
    support_assert_hex(kith_bytes_of(text, 200), first200);
    kith_sha256(kith_bytes_of(text, LONG), hash);
    support_assert_hex(kith_bytes_of(hash, sizeof hash),
                       "f5bf78339426b4e62ffc9ae7e69d5f0a8a22afa9a171ff71c4441d7f49d4f7d8");
    free(text);
}

static void two_cuts_anywhere_change_nothing(void **state)
{
    (void)state;
    kith_span want = support_hex(first200);
    for (size_t a = 0; a <= want.len; a++) {
        for (size_t b = a; b <= want.len; b++) {
            uint8_t text[200] = {0};
            kith_xsalsa20 x = fresh();
            kith_xsalsa20_xor(&x, kith_span_of(text, a));
            kith_xsalsa20_xor(&x, kith_span_of(text + a, b - a));
            kith_xsalsa20_xor(&x, kith_span_of(text + b, sizeof text - b));
            if (memcmp(text, want.p, sizeof text) != 0)
                fail_msg("cut at %zu and %zu", a, b);
        }
    }
    free(want.p);
}

static void any_pieces_give_the_same_stream(void **state)
{
    (void)state;
    uint8_t *whole = calloc(1, LONG), *pieces = calloc(1, LONG);
    uint64_t seed = 1;
    kith_xsalsa20 x = fresh();
    kith_xsalsa20_xor(&x, kith_span_of(whole, LONG));
    x = fresh();
    for (size_t at = 0, n; at < LONG; at += n) {
        n = support_below(&seed, 4) ? support_below(&seed, 130) : support_below(&seed, 70000);
        n = n < LONG - at ? n : LONG - at;
        kith_xsalsa20_xor(&x, kith_span_of(pieces + at, n));
    }
    assert_memory_equal(whole, pieces, LONG);
    free(whole), free(pieces);
}

static void the_end_wipes_it(void **state)
{
    (void)state;
    static const kith_xsalsa20 nothing;
    kith_xsalsa20 x = fresh();
    uint8_t text[100] = {0};
    kith_xsalsa20_xor(&x, kith_span_of(text, sizeof text));
    kith_xsalsa20_fini(&x);
    assert_memory_equal(&x, &nothing, sizeof x);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stream_is_that_of_nacl),
        cmocka_unit_test(the_stream_is_that_of_go_for_a_mebibyte),
        cmocka_unit_test(two_cuts_anywhere_change_nothing),
        cmocka_unit_test(any_pieces_give_the_same_stream),
        cmocka_unit_test(the_end_wipes_it),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
