/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What every part of the crypto floor needs: start, comparison, wiping, randomness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/crypto.h"

static void starting_twice_is_starting_once(void **state)
{
    (void)state;
    assert_int_equal(kith_crypto_init(), KITH_OK);
    assert_int_equal(kith_crypto_init(), KITH_OK);
    assert_non_null(strstr(kith_crypto_version(), "OpenSSL 3."));
}

static void comparison_sees_every_bit_and_length(void **state)
{
    (void)state;
    uint8_t a[33] = {1, 2, 3}, b[33];
    memcpy(b, a, sizeof a);
    assert_true(kith_ct_eq(kith_bytes_of(a, 33), kith_bytes_of(b, 33)));
    assert_true(kith_ct_eq((kith_bytes){0}, (kith_bytes){0}));
    assert_false(kith_ct_eq(kith_bytes_of(a, 33), kith_bytes_of(b, 32)));
    for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(kith_ct_eq(kith_bytes_of(a, 33), kith_bytes_of(b, 33)));
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void wiping_leaves_zeros(void **state)
{
    (void)state;
    uint8_t a[32], zero[32] = {0};
    memset(a, 7, sizeof a);
    kith_wipe(a, sizeof a);
    assert_memory_equal(a, zero, sizeof a);
    kith_wipe(a, 0);
}

static void randomness_does_not_repeat(void **state)
{
    (void)state;
    kith_rand r = kith_random_os();
    uint8_t a[32] = {0}, b[32] = {0}, zero[32] = {0};
    r.fn(r.ctx, kith_span_of(a, sizeof a));
    r.fn(r.ctx, kith_span_of(b, sizeof b));
    r.fn(r.ctx, (kith_span){0});
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a, zero, sizeof a);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starting_twice_is_starting_once),
        cmocka_unit_test(comparison_sees_every_bit_and_length),
        cmocka_unit_test(wiping_leaves_zeros),
        cmocka_unit_test(randomness_does_not_repeat),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
