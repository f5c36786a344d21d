/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Argon2id: known answers, and costs that no file may ask for. */
#include "crypto/argon2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "unit/vectors.h"

/* The reference implementation's tests (phc-winner-argon2, src/test.c), version 0x13, salt "somesalt". */
static void known_answers_come_out(void **state)
{
    (void)state;
    static const struct {
        kith_argon2_cost cost;
        const char *password, *salt, *hash;
    } known[] = {
        {{1 << 16, 2, 1},
         "password",
         "somesalt",
         "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"},
        {{1 << 8, 2, 1},
         "password",
         "somesalt",
         "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"},
        {{1 << 8, 2, 2},
         "password",
         "somesalt",
         "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"},
        {{1 << 16, 1, 1},
         "password",
         "somesalt",
         "f6a5adc1ba723dddef9b5ac1d464e180fcd9dffc9d1cbf76cca2fed795d9ca98"},
        {{1 << 16, 4, 1},
         "password",
         "somesalt",
         "9025d48e68ef7395cca9079da4c4ec3affb3c8911fe4f86d1a2520856f63172c"},
        {{1 << 16, 2, 1},
         "differentpassword",
         "somesalt",
         "0b84d652cf6b0c4beaef0dfe278ba6a80df6696281d7e0d2891b817d8c458fde"},
        {{1 << 16, 2, 1},
         "password",
         "diffsalt",
         "bdf32b05ccc42eb15d58fd19b1f856b113da1e9a5874fdcc544308565aa8141c"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint8_t got[32], want[32];
        unhex(known[i].hash, want, 32);
        assert_int_equal(kith_argon2id(kith_bytes_str(known[i].password), kith_bytes_str(known[i].salt),
                                       &known[i].cost, kith_span_of(got, 32)),
                         KITH_OK);
        assert_memory_equal(got, want, 32);
    }
}

static void a_cost_out_of_range_is_refused_before_anything_is_done(void **state)
{
    (void)state;
    static const kith_argon2_cost bad[] = {
        {0, 1, 1},
        {7, 1, 1},
        {64, 0, 1},
        {64, 1, 0},
        {31, 1, 4},
        {KITH_ARGON2_KIB_MAX + 1, 1, 1},
        {UINT32_MAX, 1, 1},
        {64, KITH_ARGON2_PASSES_MAX + 1, 1},
        {64, UINT32_MAX, 1},
        {1024, 1, KITH_ARGON2_LANES_MAX + 1},
        {UINT32_MAX, UINT32_MAX, UINT32_MAX},
        {8, 1, 0x20000001}, /* times 8 it is 8 in 32 bits */
    };
    uint8_t out[32];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(
            kith_argon2id(kith_bytes_str("x"), kith_bytes_str("somesalt"), &bad[i], kith_span_of(out, 32)),
            KITH_ELIMIT);
    static const uint8_t long_one[KITH_ARGON2_PASSPHRASE_MAX + 1];
    kith_argon2_cost least = {8, 1, 1};
    for (size_t n = 0; n <= sizeof long_one; n++) {
        kith_err want = n == 0 || n > KITH_ARGON2_PASSPHRASE_MAX ? KITH_ELIMIT : KITH_OK;
        assert_int_equal(kith_argon2id(kith_bytes_of(long_one, n), kith_bytes_str("somesalt"), &least,
                                       kith_span_of(out, 32)),
                         want);
    }
    for (size_t n = 0; n < 64; n++) {
        kith_err want = n < KITH_ARGON2_SALT_MIN || n > KITH_ARGON2_SALT_LEN ? KITH_ELIMIT : KITH_OK;
        assert_int_equal(
            kith_argon2id(kith_bytes_str("x"), kith_bytes_of(long_one, n), &least, kith_span_of(out, 32)),
            want);
    }
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers_come_out),
        cmocka_unit_test(a_cost_out_of_range_is_refused_before_anything_is_done),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
