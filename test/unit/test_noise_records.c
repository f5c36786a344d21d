/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What records are under: AES-256-GCM where both sides of one of kith's own suites would rather have it, and the handshake's cipher else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "noise_pair.h"

static side i, r; /* initiator, responder */

static void shake(const kith_noise_suite *suite, bool i_aes, bool r_aes)
{
    pair_open(&i, &r, suite, i_aes, r_aes);
    assert_true(i.ready && r.ready);
}

static void done(void)
{
    side_fini(&i);
    side_fini(&r);
}

/* Records of n bytes from a to b, and what comes is what went. */
static void records(side *a, side *b, size_t n)
{
    static uint8_t text[KITH_NOISE_PLAIN_MAX], out[KITH_NOISE_PLAIN_MAX + KITH_NOISE_OVERHEAD];
    for (int k = 0; k < 3; k++) {
        const size_t had = b->got_len;
        memset(text, 'a' + k, n);
        side_feed(b, kith_bytes_of(out, side_seal(a, text, n, out)));
        assert_int_equal(b->got_len, had + n);
        assert_memory_equal(b->got + had, text, n);
    }
}

static void both_ways(void)
{
    static const size_t sizes[] = {1, 1000, KITH_NOISE_PLAIN_MAX};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        records(&i, &r, sizes[k]);
        records(&r, &i, sizes[k]);
    }
}

static kith_noise_keys change_keys(uint8_t what)
{
    uint8_t m[KITH_NOISE_OVERHEAD];
    kith_noise_keys k;
    memset(&k, what, sizeof k);
    k.r2i[0] ^= 1;
    assert_int_equal(kith_noise_prepare(i.noise, &k, true), KITH_OK);
    assert_int_equal(kith_noise_prepare(r.noise, &k, false), KITH_OK);
    assert_int_equal(kith_noise_change(i.noise, kith_span_of(m, sizeof m)), sizeof m);
    side_feed(&r, kith_bytes_of(m, sizeof m));
    assert_int_equal(kith_noise_change(r.noise, kith_span_of(m, sizeof m)), sizeof m);
    side_feed(&i, kith_bytes_of(m, sizeof m));
    assert_int_equal(kith_noise_changes(i.noise), 1);
    return k;
}

static void aes_is_where_both_would_rather_have_it(void **state)
{
    (void)state;
    for (size_t s = 0; s < kith_noise_suite_count; s++) {
        const kith_noise_suite *suite = &kith_noise_suites[s];
        size_t in[4], out[4];
        for (int how = 0; how < 4; how++) {
            const kith_aead_alg want =
                suite->own && how == 3 ? KITH_AEAD_AES_256_GCM : KITH_AEAD_CHACHA20_POLY1305;
            shake(suite, how & 1, how & 2);
            assert_int_equal(kith_noise_aead(i.noise), want);
            assert_int_equal(kith_noise_aead(r.noise), want);
            kith_noise_shaken(i.noise, &in[how], &out[how]);
            both_ways();
            (void)change_keys(7);
            both_ways();
            done();
        }
        /* It costs three bytes of the message that says so, and to who is not kith nothing is said. */
        for (int how = 0; how < 4; how++) {
            assert_int_equal(out[how] - out[0], suite->own && how & 1 ? 3 : 0);
            assert_int_equal(in[how] - in[0], suite->own && how & 2 ? 3 : 0);
        }
    }
}

/* As Noise has it, revision 34, section 12.4: the counter is in big-endian behind four zeros. */
static void a_record_is_what_noise_says(void **state)
{
    (void)state;
    for (int aes = 0; aes < 2; aes++) {
        const kith_aead_alg alg = aes ? KITH_AEAD_AES_256_GCM : KITH_AEAD_CHACHA20_POLY1305;
        shake(&kith_noise_suites[1], aes, aes);
        const kith_noise_keys k = change_keys(9);
        kith_aead *a = kith_aead_new(alg, k.i2r, true);
        assert_non_null(a);
        for (unsigned n = 0; n < 300; n++) {
            uint8_t text[5] = "hello", want[5 + KITH_AEAD_TAG_LEN], out[64], nonce[KITH_AEAD_NONCE_LEN] = {0};
            nonce[aes ? 11 : 4] = (uint8_t)n;
            nonce[aes ? 10 : 5] = (uint8_t)(n >> 8);
            memcpy(want, text, sizeof text);
            kith_aead_seal(a, nonce, (kith_bytes){0}, kith_span_of(want, sizeof text), want + sizeof text);
            assert_int_equal(side_seal(&i, text, sizeof text, out), 2 + sizeof want);
            assert_memory_equal(out + 2, want, sizeof want);
        }
        kith_aead_free(a);
        done();
    }
}

/* A bit of a record that is not as it was ends the connection, as ever. */
static void a_changed_record_is_refused(void **state)
{
    (void)state;
    for (size_t at = 2; at < 2 + 5 + KITH_AEAD_TAG_LEN; at++) {
        uint8_t out[64];
        shake(&kith_noise_suites[1], true, true);
        const size_t len = side_seal(&i, (const uint8_t *)"hello", 5, out);
        out[at] ^= 0x10;
        side_feed(&r, kith_bytes_of(out, len));
        assert_true(r.failed && r.err == KITH_ECRYPTO && r.got_len == 0);
        done();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aes_is_where_both_would_rather_have_it),
        cmocka_unit_test(a_record_is_what_noise_says),
        cmocka_unit_test(a_changed_record_is_refused),
    };
    return cmocka_run_group_tests_name("noise_records", tests, NULL, NULL);
}
