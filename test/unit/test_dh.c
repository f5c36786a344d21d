/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* X25519: known answers, low-order points, Wycheproof. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "crypto/dh.h"
#include "unit/vectors.h"

static void shared(const char *secret, const char *peer, const char *want)
{
    uint8_t s[32], p[32], w[32], got[32];
    unhex(secret, s, 32), unhex(peer, p, 32), unhex(want, w, 32);
    kith_dh *k = kith_dh_new(s);
    assert_non_null(k);
    assert_int_equal(kith_dh_shared(k, p, got), KITH_OK);
    assert_memory_equal(got, w, 32);
    kith_dh_free(k);
}

/* RFC 7748, 5.2. */
static void the_published_scalars_multiply_as_published(void **state)
{
    (void)state;
    shared("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
           "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
           "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    shared("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
           "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
           "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

/* RFC 7748, 6.1. */
static void two_sides_agree(void **state)
{
    (void)state;
    uint8_t s[2][32], pub[2][32], got[32], want[32];
    unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", s[0], 32);
    unhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", s[1], 32);
    unhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", want, 32);
    kith_dh *k[2] = {kith_dh_new(s[0]), kith_dh_new(s[1])};
    kith_dh_public(k[0], pub[0]);
    kith_dh_public(k[1], pub[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kith_dh_shared(k[i], pub[!i], got), KITH_OK);
        assert_memory_equal(got, want, 32);
        kith_dh_free(k[i]);
    }
    kith_dh_free(NULL);
}

static void points_of_low_order_are_refused(void **state)
{
    (void)state;
    static const char *points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    uint8_t s[32] = {7}, p[32], out[32] = "untouched";
    kith_dh *k = kith_dh_new(s);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        unhex(points[i], p, 32);
        assert_int_equal(kith_dh_shared(k, p, out), KITH_ECRYPTO);
        assert_string_equal((char *)out, "untouched");
    }
    kith_dh_free(k);
}

static void wycheproof_x25519_agrees(void **state)
{
    (void)state;
    VECTORS_OR_SKIP(root, "wycheproof/x25519_test.json")
    size_t ran = 0, zero = 0, g, t;
    json_t *group, *test;
    json_array_foreach(json_object_get(root, "testGroups"), g, group)
    {
        json_array_foreach(json_object_get(group, "tests"), t, test)
        {
            kith_span pub = vectors_hex(test, "public"), secret = vectors_hex(test, "private"),
                      want = vectors_hex(test, "shared");
            static const uint8_t zeros[32];
            uint8_t got[32];
            kith_dh *k = kith_dh_new(secret.p);
            kith_err e = kith_dh_shared(k, pub.p, got);
            /* We refuse all-zero results and nothing else; the file calls those acceptable. */
            bool is_zero = memcmp(want.p, zeros, 32) == 0;
            assert_int_equal(e, is_zero ? KITH_ECRYPTO : KITH_OK);
            assert_false(is_zero && strcmp(vectors_str(test, "result"), "valid") == 0);
            if (!e)
                assert_memory_equal(got, want.p, 32);
            zero += is_zero;
            kith_dh_free(k);
            free(pub.p), free(secret.p), free(want.p);
            ran++;
        }
    }
    print_message("%zu agree, %zu of them refused as all zeros\n", ran, zero);
    assert_int_equal(ran, 518);
    json_decref(root);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_scalars_multiply_as_published),
        cmocka_unit_test(two_sides_agree),
        cmocka_unit_test(points_of_low_order_are_refused),
        cmocka_unit_test(wycheproof_x25519_agrees),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
