/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What every part of the crypto floor needs: start, comparison, wiping, randomness. */
#include "crypto/crypto.h"
#include "crypto/dh.h"
#include "crypto/hash.h"
#include "crypto/kem.h"
#include "support.h"

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

/* ---- the stack behind OpenSSL ---- */

#define STACK (16 * 1024) /* what kith_stack_wipe wipes, below its caller */
#define EDGE 1024         /* of it, at either end, that frames of the test's own may lie in */
#define PAINT 0xa5

/* Not inlined: the frames of these two have to begin at the same place. */
__attribute__((noinline)) static void paint(void)
{
    uint8_t below[STACK];
    memset(below, PAINT, sizeof below);
    __asm__ volatile("" : : "r"(below) : "memory");
}

/* Words that nobody has written to since. */
__attribute__((noinline)) static size_t painted(void)
{
    uint8_t below[STACK];
    size_t n = 0;
    __asm__ volatile("" : : "r"(below) : "memory");
    for (size_t i = EDGE; i < STACK - EDGE; i += 8) {
        bool whole = true;
        for (size_t k = 0; k < 8; k++)
            whole &= below[i + k] == PAINT;
        n += whole;
    }
    return n;
}

static const uint8_t number[64] = {1, 2, 3};
static uint8_t made[3 * 32], ct[1568], ek[1568];
static kith_dh *dh;
static kith_kem *kem;

static void make_dh(void)
{
    dh = kith_dh_new(number);
}

static void share_dh(void)
{
    assert_int_equal(kith_dh_shared(dh, made, made), KITH_OK);
}

static void make_kem(void)
{
    kem = kith_kem_new(KITH_KEM_MLKEM768, number);
}

static void encapsulate(void)
{
    size_t len = kith_kem_ek_len(KITH_KEM_MLKEM768);
    assert_int_equal(kith_kem_encaps(KITH_KEM_MLKEM768, kith_bytes_of(ek, len), number, ct, made), KITH_OK);
}

static void decapsulate(void)
{
    size_t len = kith_kem_ct_len(KITH_KEM_MLKEM768);
    assert_int_equal(kith_kem_decaps(kem, kith_bytes_of(ct, len), made), KITH_OK);
}

static void derive(void)
{
    kith_hkdf_sha256(kith_bytes_of(number, 32), kith_bytes_of(number, 64), (kith_bytes){0},
                     kith_span_of(made, sizeof made));
}

/* Whatever OpenSSL had there, secret or not: unit/rekey_memory sees what it was only when nothing has run over it. */
static void the_stack_below_is_wiped_behind_keys_exchanges_and_derivations(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*run)(void);
    } calls[] = {{"kith_dh_new", make_dh},         {"kith_dh_shared", share_dh},
                 {"kith_kem_new", make_kem},       {"kith_kem_encaps", encapsulate},
                 {"kith_kem_decaps", decapsulate}, {"kith_hkdf_sha256", derive}};
#ifdef SUPPORT_SANITIZED
    skip();
#endif
    paint();
    assert_true(painted() > (STACK - 2 * EDGE) / 8 - 8); /* the test can see */
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (calls[i].run == share_dh)
            kith_dh_public(dh, made);
        if (calls[i].run == encapsulate)
            kith_kem_ek(kem, ek);
        paint();
        calls[i].run();
        size_t left = painted();
        if (left > 0)
            fail_msg("behind %s %zu words were not wiped", calls[i].name, left);
    }
    kith_dh_free(dh);
    kith_kem_free(kem);
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
        cmocka_unit_test(the_stack_below_is_wiped_behind_keys_exchanges_and_derivations),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
