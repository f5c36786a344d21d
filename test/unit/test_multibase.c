/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Multibase: the specification's vectors, strictness, bounds. */
#include "wire/multibase.h"

#include "support.h"

static const kith_base bases[] = {KITH_BASE16, KITH_BASE32, KITH_BASE36,
                                  KITH_BASE58, KITH_BASE64, KITH_BASE64URL};
#define BASES (sizeof bases / sizeof bases[0])

static void assert_decodes(const char *text, const char *want, size_t n)
{
    uint8_t b[256];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    if (kith_multibase_get(kith_bytes_str(text), &w) != KITH_OK)
        fail_msg("%s is refused", text);
    support_assert_bytes(kith_wr_bytes(&w), kith_bytes_of(want, n));
}

static void assert_encodes(kith_base base, const char *in, size_t n, const char *want)
{
    uint8_t b[256];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    kith_multibase_put(&w, base, kith_bytes_of(in, n));
    assert_false(w.bad);
    support_assert_str(kith_wr_bytes(&w), want);
}

/* multiformats/multibase tests/basic.csv, leading_zero.csv, two_leading_zeros.csv. */
static void the_published_texts_are_made_and_read(void **state)
{
    (void)state;
    static const struct {
        size_t zeros; /* leading */
        const char *texts[BASES];
    } known[] = {
        {0,
         {"f796573206d616e692021", "bpfsxgidnmfxgsibb", "k2lcpzo5yikidynfl", "z7paNL19xttacUY",
          "meWVzIG1hbmkgIQ", "ueWVzIG1hbmkgIQ"}},
        {1,
         {"f00796573206d616e692021", "bab4wk4zanvqw42jaee", "k02lcpzo5yikidynfl", "z17paNL19xttacUY",
          "mAHllcyBtYW5pICE", "uAHllcyBtYW5pICE"}},
        {2,
         {"f0000796573206d616e692021", "baaahszltebwwc3tjeaqq", "k002lcpzo5yikidynfl", "z117paNL19xttacUY",
          "mAAB5ZXMgbWFuaSAh", "uAAB5ZXMgbWFuaSAh"}},
    };
    static const char plain[] = "\0\0yes mani !";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *in = plain + 2 - known[i].zeros;
        size_t n = 10 + known[i].zeros;
        for (size_t j = 0; j < BASES; j++) {
            assert_encodes(bases[j], in, n, known[i].texts[j]);
            assert_decodes(known[i].texts[j], in, n);
        }
    }
    static const char *const upper[] = {"F796573206D616E692021", "BPFSXGIDNMFXGSIBB", "K2LCPZO5YIKIDYNFL"};
    for (size_t i = 0; i < sizeof upper / sizeof upper[0]; i++)
        assert_decodes(upper[i], plain + 2, 10);
}

/* multiformats/multibase tests/case_insensitivity.csv. */
static void case_does_not_matter_where_the_base_has_none(void **state)
{
    (void)state;
    static const char *const texts[] = {"f68656c6c6f20776F726C64", "F68656c6c6f20776F726C64",
                                        "bnbswy3dpeB3W64TMMQ",     "Bnbswy3dpeB3W64TMMQ",
                                        "kfUvrsIvVnfRbjWaJo",      "KfUVrSIVVnFRbJWAJo"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_decodes(texts[i], "hello world", 11);
}

/* RFC 4648, section 10, without the padding; draft-msporny-base58, "Test Vectors". */
static void the_rfcs_texts_are_made_and_read(void **state)
{
    (void)state;
    static const struct {
        kith_base base;
        const char *in, *text;
    } known[] = {
        {KITH_BASE64, "", "m"},
        {KITH_BASE64, "f", "mZg"},
        {KITH_BASE64, "fo", "mZm8"},
        {KITH_BASE64, "foo", "mZm9v"},
        {KITH_BASE64, "foob", "mZm9vYg"},
        {KITH_BASE64, "fooba", "mZm9vYmE"},
        {KITH_BASE64, "foobar", "mZm9vYmFy"},
        {KITH_BASE32, "f", "bmy"},
        {KITH_BASE32, "fo", "bmzxq"},
        {KITH_BASE32, "foo", "bmzxw6"},
        {KITH_BASE32, "foob", "bmzxw6yq"},
        {KITH_BASE32, "fooba", "bmzxw6ytb"},
        {KITH_BASE32, "foobar", "bmzxw6ytboi"},
        {KITH_BASE16, "foobar", "f666f6f626172"},
        {KITH_BASE58, "Hello World!", "z2NEpo7TZRRrLZSi2U"},
        {KITH_BASE58, "The quick brown fox jumps over the lazy dog.",
         "zUSm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z"},
        {KITH_BASE58, "", "z"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_encodes(known[i].base, known[i].in, strlen(known[i].in), known[i].text);
        assert_decodes(known[i].text, known[i].in, strlen(known[i].in));
    }
    assert_encodes(KITH_BASE58, "\0\0\x28\x7f\xb4\xcd", 6, "z11233QC4");
    assert_encodes(KITH_BASE64URL, "\xfb\xff\xbf", 3, "u-_-_");
    assert_encodes(KITH_BASE64, "\xfb\xff\xbf", 3, "m+/+/");
}

static void a_text_that_no_encoder_makes_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",                                   /* no prefix */
        "f0",    "f012",      "fg0",  "f 0",  /* half a byte; not hex */
        "ba",    "bmz1",      "bmz=", "bmzx", /* no whole byte; digit 1; padding; unused bits */
        "bmzxr",                              /* unused bits */
        "mZ",    "mZg==",     "mZh",  "mZm-v",
        "uZm+v", /* too short; padding; unused bits; the other base64's digits */
        "z0",    "zO",        "zI",   "zl",
        "z a", /* what base58 leaves out */
        "k!",    "k\xc3\xa4",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t b[16];
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
        if (kith_multibase_get(kith_bytes_str(bad[i]), &w) != KITH_EFORMAT)
            fail_msg("'%s' is not refused as malformed", bad[i]);
        assert_true(w.bad);
    }
    uint8_t b[16];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    assert_int_equal(kith_multibase_get(kith_bytes_of("f0\0", 3), &w), KITH_EFORMAT); /* NUL is no digit */
    static const char *const unknown[] = {
        "0", "Z7Pznk19XTTzBtx", "MeWVzIG1hbmkgIQ==", "UeWVzIG1hbmkgIQ==", "q", "\xf0\x9f\x9a\x80"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        w = kith_wr_of(kith_span_of(b, sizeof b));
        assert_int_equal(kith_multibase_get(kith_bytes_str(unknown[i]), &w), KITH_EUNSUPPORTED);
    }
}

/* A number that is written in digits of `base`, modulo a prime. */
static uint32_t residue(kith_bytes digits, uint32_t base)
{
    uint64_t r = 0;
    for (size_t i = 0; i < digits.len; i++)
        r = (r * base + digits.p[i]) % 1000003;
    return (uint32_t)r;
}

/* Of the bases that are no power of two: text and bytes are the same number, by another way of reckoning. */
static void a_text_is_the_number_that_the_bytes_are(void **state)
{
    (void)state;
    static const char *const alphabets[] = {"0123456789abcdefghijklmnopqrstuvwxyz",
                                            "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"};
    static uint8_t in[KITH_BASE58_IN_MAX], text[2 * KITH_BASE58_IN_MAX];
    uint64_t rnd = 5;
    for (size_t n = 0; n <= sizeof in; n += n < 100 ? 1 : 77) {
        for (int k = 0; k < 4; k++) { /* two that are as large as they can be, and two others */
            for (size_t i = 0; i < n; i++)
                in[i] = k < 2 ? 0xff : (uint8_t)support_next(&rnd);
            kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
            kith_base_put(&w, k % 2 ? KITH_BASE58 : KITH_BASE36, kith_bytes_of(in, n));
            assert_false(w.bad);
            for (size_t i = 0; i < w.len; i++)
                text[i] = (uint8_t)(strchr(alphabets[k % 2], text[i]) - alphabets[k % 2]);
            assert_int_equal(residue(kith_wr_bytes(&w), k % 2 ? 58 : 36), residue(kith_bytes_of(in, n), 256));
        }
    }
}

static void random_bytes_round_trip_in_every_base(void **state)
{
    (void)state;
    uint64_t rnd = 11;
    for (size_t i = 0; i < 3000; i++) {
        uint8_t in[64], text[200], out[64];
        size_t n = support_below(&rnd, sizeof in + 1);
        for (size_t j = 0; j < n; j++)
            in[j] = support_below(&rnd, 3) ? (uint8_t)support_next(&rnd) : 0;
        kith_base base = bases[i % BASES];
        kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
        kith_put_str(&w, "kept"); /* appends */
        kith_base_put(&w, base, kith_bytes_of(in, n));
        assert_false(w.bad);
        kith_wr back = kith_wr_of(kith_span_of(out, sizeof out));
        assert_int_equal(kith_base_get(kith_bytes_skip(kith_wr_bytes(&w), 4), base, &back), KITH_OK);
        support_assert_bytes(kith_wr_bytes(&back), kith_bytes_of(in, n));
        assert_memory_equal(text, "kept", 4);
    }
}

static void output_fits_to_the_byte_or_is_refused(void **state)
{
    (void)state;
    static const char in[] = "\0\0yes mani !";
    for (size_t j = 0; j < BASES; j++) {
        uint8_t text[64];
        kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
        kith_multibase_put(&w, bases[j], kith_bytes_of(in, 12));
        size_t need = w.len;
        for (size_t cap = 0; cap <= need; cap++) {
            kith_span b = support_copy(kith_bytes_of(text, cap));
            kith_wr small = kith_wr_of(b);
            kith_multibase_put(&small, bases[j], kith_bytes_of(in, 12));
            assert_int_equal(small.bad, cap < need);
            free(b.p);
        }
        for (size_t cap = 0; cap <= 12; cap++) {
            kith_span b = support_copy(kith_bytes_of(in, cap));
            kith_wr small = kith_wr_of(b);
            kith_err e = kith_multibase_get(kith_wr_bytes(&w), &small);
            assert_int_equal(e, cap < 12 ? KITH_ESPACE : KITH_OK);
            assert_int_equal(small.bad, cap < 12);
            free(b.p);
        }
    }
}

static void long_input_to_a_quadratic_base_is_refused(void **state)
{
    (void)state;
    static uint8_t in[KITH_BASE58_IN_MAX + 1], out[4 * KITH_BASE58_IN_MAX];
    memset(in, '2', sizeof in);
    for (int k = 0; k < 2; k++) {
        kith_base base = k ? KITH_BASE36 : KITH_BASE58;
        kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
        kith_base_put(&w, base, kith_bytes_of(in, KITH_BASE58_IN_MAX));
        assert_false(w.bad);
        w = kith_wr_of(kith_span_of(out, sizeof out));
        kith_base_put(&w, base, kith_bytes_of(in, sizeof in));
        assert_true(w.bad);
        w = kith_wr_of(kith_span_of(out, sizeof out));
        assert_int_equal(kith_base_get(kith_bytes_of(in, KITH_BASE58_IN_MAX), base, &w), KITH_OK);
        w = kith_wr_of(kith_span_of(out, sizeof out));
        assert_int_equal(kith_base_get(kith_bytes_of(in, sizeof in), base, &w), KITH_ELIMIT);
        assert_true(w.bad);
    }
}

static void a_bad_writer_stays_bad(void **state)
{
    (void)state;
    uint8_t b[8];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    w.bad = true;
    kith_base_put(&w, KITH_BASE58, kith_bytes_str("a"));
    assert_int_equal(kith_base_get(kith_bytes_str("2"), KITH_BASE58, &w), KITH_ESPACE);
    assert_int_equal(kith_base_get(kith_bytes_str("22"), KITH_BASE16, &w), KITH_ESPACE);
    assert_true(w.bad && w.len == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_texts_are_made_and_read),
        cmocka_unit_test(case_does_not_matter_where_the_base_has_none),
        cmocka_unit_test(the_rfcs_texts_are_made_and_read),
        cmocka_unit_test(a_text_that_no_encoder_makes_is_refused),
        cmocka_unit_test(a_text_is_the_number_that_the_bytes_are),
        cmocka_unit_test(random_bytes_round_trip_in_every_base),
        cmocka_unit_test(output_fits_to_the_byte_or_is_refused),
        cmocka_unit_test(long_input_to_a_quadratic_base_is_refused),
        cmocka_unit_test(a_bad_writer_stays_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
