/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The hash map against a naive model, and SipHash against its published vectors. */
#include "base/map.h"

#include "support.h"

static int things[4096]; /* something to point at */

static void a_map_starts_empty_and_costs_nothing(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_map m = {0};
    assert_null(kith_map_get(&m, 0));
    assert_null(kith_map_remove(&m, 0));
    kith_map_fini(&m, env);
    assert_int_equal(heap.calls, 0);
}

static void putting_a_key_again_replaces_its_value(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_map m = {0};
    assert_int_equal(kith_map_put(&m, env, 7, &things[0]), KITH_OK);
    assert_int_equal(kith_map_put(&m, env, 7, &things[1]), KITH_OK);
    assert_int_equal(m.len, 1);
    assert_ptr_equal(kith_map_get(&m, 7), &things[1]);
    assert_ptr_equal(kith_map_remove(&m, 7), &things[1]);
    assert_null(kith_map_get(&m, 7));
    assert_int_equal(m.len, 0);
    kith_map_fini(&m, env);
    support_heap_check(&heap);
}

static void replacing_needs_no_memory(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_map m = {0};
    for (uint64_t k = 0; k < 6; k++)
        assert_int_equal(kith_map_put(&m, env, k, &things[k]), KITH_OK);
    heap.fail_at = heap.calls + 1;
    for (uint64_t k = 0; k < 6; k++)
        assert_int_equal(kith_map_put(&m, env, k, &things[50 + k]), KITH_OK);
    for (uint64_t k = 0; k < 6; k++)
        assert_ptr_equal(kith_map_replace(&m, k, &things[100 + k]), &things[50 + k]);
    assert_int_equal(kith_map_put(&m, env, 6, &things[6]), KITH_ENOMEM);
    for (uint64_t k = 0; k < 6; k++)
        assert_ptr_equal(kith_map_get(&m, k), &things[100 + k]);
    assert_null(kith_map_get(&m, 6));
    assert_int_equal(m.len, 6);
    kith_map_fini(&m, env);
    support_heap_check(&heap);
}

/* keys below 2^bits: small ones collide and repeat much. */
static void compare(uint64_t seed, unsigned bits, size_t ops)
{
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_map m = {0};
    struct {
        uint64_t key;
        void *value;
    } model[1024];
    size_t n = 0;
    uint64_t rnd = seed;
    for (size_t op = 0; op < ops; op++) {
        uint64_t key = support_next(&rnd) >> (64 - bits);
        if (bits == 64 && n > 0 && support_below(&rnd, 2))
            key = model[support_below(&rnd, n)].key;
        size_t at = 0;
        while (at < n && model[at].key != key)
            at++;
        void *want = at < n ? model[at].value : NULL, *value = &things[support_below(&rnd, 4096)];
        /* Grows for a while, then shrinks, and again. */
        size_t bias = (op / 700) % 2 ? 6 : 3;
        size_t what = support_below(&rnd, 10);
        if (what < bias) {
            assert_ptr_equal(kith_map_remove(&m, key), want);
            if (at < n)
                model[at] = model[--n];
        } else if (what < 9 && (at < n || n < 1024)) {
            assert_int_equal(kith_map_put(&m, env, key, value), KITH_OK);
            if (at == n)
                model[n++].key = key;
            model[at].value = value;
        } else {
            assert_ptr_equal(kith_map_get(&m, key), want);
        }
        assert_int_equal(m.len, n);
        if (op % 64 == 0) {
            for (size_t i = 0; i < n; i++)
                assert_ptr_equal(kith_map_get(&m, model[i].key), model[i].value);
        }
    }
    kith_map_fini(&m, env);
    support_heap_check(&heap);
}

static void random_operations_agree_with_a_list_of_pairs(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        compare(seed, 3, 2000);
        compare(seed, 8, 5000);
        compare(seed, 64, 5000);
    }
}

static void a_map_that_breathes_does_not_grow(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_map m = {0};
    for (uint64_t k = 0; k < 100000; k++) {
        assert_int_equal(kith_map_put(&m, env, k, &things[0]), KITH_OK);
        if (k >= 20)
            assert_non_null(kith_map_remove(&m, k - 20));
    }
    assert_true(m.cap <= 32);
    kith_map_fini(&m, env);
    support_heap_check(&heap);
}

/* Aumasson and Bernstein, "SipHash: a fast short-input PRF": the reference implementation's table of test vectors, key 00..0f, inputs
 * 00 01 02 ... of the length given; appendix A has the one of 15 bytes. */
static void siphash_gives_the_published_values(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t hash;
    } known[] = {{0, 0x726fdb47dd0e0e31u}, {1, 0x74f839c593dc67fdu},  {7, 0xab0200f58b01d137u},
                 {8, 0x93f5f5799a932462u}, {15, 0xa129ca6149be45e5u}, {63, 0x958a324ceb064572u}};
    uint8_t in[64], key[16];
    for (size_t i = 0; i < 64; i++)
        in[i] = (uint8_t)i;
    for (size_t i = 0; i < 16; i++)
        key[i] = (uint8_t)i;
    const uint64_t seed[2] = {kith_load_le64(key), kith_load_le64(key + 8)};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        kith_span exact = support_copy(kith_bytes_of(in, known[i].len));
        assert_true(kith_hash(seed, kith_span_bytes(exact)) == known[i].hash);
        free(exact.p);
    }
    const uint64_t other[2] = {seed[0] ^ 1, seed[1]};
    assert_true(kith_hash(other, kith_bytes_of(in, 15)) != 0xa129ca6149be45e5u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_starts_empty_and_costs_nothing),
        cmocka_unit_test(putting_a_key_again_replaces_its_value),
        cmocka_unit_test(replacing_needs_no_memory),
        cmocka_unit_test(random_operations_agree_with_a_list_of_pairs),
        cmocka_unit_test(a_map_that_breathes_does_not_grow),
        cmocka_unit_test(siphash_gives_the_published_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
