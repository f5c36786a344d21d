/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Multihashes: the specification's examples, lengths, every broken form. */
#include "wire/multihash.h"

#include "crypto/blake3.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "support.h"

static kith_err parse(const char *hex, kith_multihash *out)
{
    kith_span b = support_hex(hex);
    kith_err e = kith_multihash_parse(kith_span_bytes(b), out);
    if (e == KITH_OK)
        assert_true(out->digest.len == 0 || out->digest.p + out->digest.len == b.p + b.len);
    out->digest.p = NULL;
    free(b.p);
    return e;
}

/* multiformats/multihash README: sha2-256 of "multihash"; tests/values/test_cases.csv: sha2-512 of the text 431fb5..2c. */
static void published_hashes_are_made_and_read(void **state)
{
    (void)state;
    uint8_t digest[64], out[80];
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_sha256(kith_bytes_str("multihash"), digest);
    kith_put_multihash(&w, KITH_MH_SHA2_256, kith_bytes_of(digest, 32));
    support_assert_hex(kith_wr_bytes(&w),
                       "12209cbc07c3f991725836a3aa2a581ca2029198aa420b9d99bc0e131d9f3e2cbe47");
    kith_multihash h;
    assert_int_equal(kith_multihash_parse(kith_wr_bytes(&w), &h), KITH_OK);
    assert_true(h.code == KITH_MH_SHA2_256);
    support_assert_bytes(h.digest, kith_bytes_of(digest, 32));

    kith_sha512(kith_bytes_str("431fb5d4c9b735ba1a34d0df045118806ae2336f2c"), digest);
    w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_put_multihash(&w, KITH_MH_SHA2_512, kith_bytes_of(digest, 64));
    support_assert_hex(
        kith_wr_bytes(&w),
        "1340abffa1926b038a2f1833092d93859ba2ee56e07a86b158200fc7d4d5d1eaf350b0f0e511ea6f5043a9f4a7c7886f933556"
        "52114709d75b2db4c33741124fd4fe");
    assert_int_equal(kith_multihash_parse(kith_wr_bytes(&w), &h), KITH_OK);

    kith_blake3_hash((kith_bytes){0}, digest);
    w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_put_multihash(&w, KITH_MH_BLAKE3, kith_bytes_of(digest, 32));
    assert_int_equal(kith_multihash_parse(kith_wr_bytes(&w), &h), KITH_OK);
    assert_true(h.code == KITH_MH_BLAKE3 && h.digest.len == 32);
}

static void truncated_digests_and_foreign_codes_are_carried(void **state)
{
    (void)state;
    kith_multihash h;
    /* tests/values/test_cases.csv: sha2-256 and sha2-512 cut to 80 bits, sha1. */
    assert_int_equal(parse("120affb31f07aa15348368c9", &h), KITH_OK);
    assert_true(h.code == KITH_MH_SHA2_256 && h.digest.len == 10);
    assert_int_equal(parse("130aabffa1926b038a2f1833", &h), KITH_OK);
    assert_int_equal(parse("1114e861e452cfd84dca9a176258c3d06e020a0c93d8", &h), KITH_OK);
    assert_true(h.code == 0x11);
    assert_int_equal(parse("d50110"
                           "3858f62230ac3c915f300c664312c63f",
                           &h),
                     KITH_OK); /* md5: a code of two bytes */
    assert_true(h.code == 0xd5 && h.digest.len == 16);
    assert_int_equal(parse("0000", &h), KITH_OK);
    assert_true(h.code == KITH_MH_IDENTITY && h.digest.len == 0);
    assert_int_equal(parse("0003616263", &h), KITH_OK);
    assert_int_equal(h.digest.len, 3);
}

static void broken_forms_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "12",
        "80",
        "1220",
        "120a00", /* too short */
        "1200",
        "1300",
        "1e00", /* empty */
        "0001",
        "000161ff", /* more or less than it says */
        "9200"
        "0161",
        "128100"
        "61", /* not minimal */
        "12ffffffffffffffff7f61",
        "12808080808080808080808000", /* huge lengths */
        "ffffffffffffffffff0101"
        "61",                                                                     /* a code of 64 bits */
        "1221000000000000000000000000000000000000000000000000000000000000000000", /* 33 bytes of sha2-256 */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kith_multihash h = {.code = 99};
        if (parse(bad[i], &h) != KITH_EFORMAT)
            fail_msg("%s is accepted", bad[i]);
        assert_true(h.code == 99); /* written only on success */
    }
    uint8_t b[2 + 129] = {KITH_MH_BLAKE3, 0x81, 0x01};
    kith_multihash h;
    assert_int_equal(kith_multihash_parse(kith_bytes_of(b, sizeof b), &h), KITH_EFORMAT);
}

static void one_hash_is_read_from_the_front_of_more(void **state)
{
    (void)state;
    kith_span b = support_hex("000261620003636465");
    kith_rd r = kith_rd_of(kith_span_bytes(b));
    support_assert_str(kith_get_multihash(&r).digest, "ab");
    support_assert_str(kith_get_multihash(&r).digest, "cde");
    assert_false(r.bad);
    assert_int_equal(kith_get_multihash(&r).digest.len, 0);
    assert_true(r.bad);
    free(b.p);
}

static void reencodes_or_fails(void *ctx, kith_bytes in)
{
    (void)ctx;
    kith_multihash h;
    uint8_t out[80];
    if (kith_multihash_parse(in, &h) != KITH_OK)
        return;
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_put_multihash(&w, h.code, h.digest);
    support_assert_bytes(kith_wr_bytes(&w), in);
}

static void what_parses_is_encoded_as_it_was(void **state)
{
    (void)state;
    kith_span b = support_hex("12209cbc07c3f991725836a3aa2a581ca2029198aa420b9d99bc0e131d9f3e2cbe47");
    support_mutate(kith_span_bytes(b), reencodes_or_fails, NULL);
    free(b.p);
}

int main(void)
{
    if (kith_crypto_init() != KITH_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_hashes_are_made_and_read),
        cmocka_unit_test(truncated_digests_and_foreign_codes_are_carried),
        cmocka_unit_test(broken_forms_are_refused),
        cmocka_unit_test(one_hash_is_read_from_the_front_of_more),
        cmocka_unit_test(what_parses_is_encoded_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
