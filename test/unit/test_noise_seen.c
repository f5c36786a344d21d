/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signatures that have been found good. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "proto/noise_seen.h"
#include "unit/support.h"

static kith_noise_seen_name name_of(uint32_t number)
{
    uint8_t key[36] = {0x08, 0x01, 0x12, 0x20}, s[KITH_X25519_LEN] = {0}, sig[64] = {0};
    kith_store_be32(key + 4, number);
    return kith_noise_seen_name_of(kith_bytes_of(key, sizeof key), s, kith_bytes_of(sig, sizeof sig));
}

static void what_was_added_is_there_and_nothing_else(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_noise_seen *seen = kith_noise_seen_new(env);
    uint8_t bytes[36 + KITH_X25519_LEN + 64];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    const kith_bytes key = kith_bytes_of(bytes, 36), sig = kith_bytes_of(bytes + 36 + KITH_X25519_LEN, 64);
    kith_noise_seen_name name = kith_noise_seen_name_of(key, bytes + 36, sig), other;
    assert_false(kith_noise_seen_has(seen, &name));
    kith_noise_seen_add(seen, &name);
    assert_true(kith_noise_seen_has(seen, &name));
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        other = kith_noise_seen_name_of(key, bytes + 36, sig);
        assert_false(kith_noise_seen_has(seen, &other));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    /* Nor the same bytes, cut elsewhere. */
    other =
        kith_noise_seen_name_of(kith_bytes_of(bytes, 35), bytes + 35, kith_bytes_of(sig.p - 1, sig.len + 1));
    assert_false(kith_noise_seen_has(seen, &other));
    other = kith_noise_seen_name_of(key, bytes + 36, kith_bytes_of(sig.p, sig.len - 1));
    assert_false(kith_noise_seen_has(seen, &other));
    kith_noise_seen_free(seen);
    support_heap_check(&heap);
}

static void so_many_are_remembered_and_no_more(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_noise_seen *seen = kith_noise_seen_new(env);
    size_t known = 0;
    kith_noise_seen_name name;
    for (uint32_t i = 0; i < 20 * KITH_NOISE_SEEN_MAX; i++) {
        name = name_of(i);
        kith_noise_seen_add(seen, &name);
        assert_true(kith_noise_seen_has(seen, &name));
    }
    for (uint32_t i = 0; i < 20 * KITH_NOISE_SEEN_MAX; i++) {
        name = name_of(i);
        known += kith_noise_seen_has(seen, &name);
    }
    assert_int_equal(known, KITH_NOISE_SEEN_MAX);
    kith_noise_seen_free(seen);
}

typedef struct job {
    kith_noise_seen *seen;
    uint32_t from;
    bool strange; /* it knew what nobody had added */
} job;

static void *add_many(void *ctx)
{
    job *j = ctx;
    for (uint32_t i = 0; i < 4000; i++) {
        kith_noise_seen_name mine = name_of(j->from + i), nobodys = name_of(UINT32_MAX - j->from - i);
        kith_noise_seen_add(j->seen, &mine);
        j->strange |= kith_noise_seen_has(j->seen, &nobodys);
    }
    return NULL;
}

static void threads_may_add_and_ask_at_once(void **state)
{
    (void)state;
    support_heap heap;
    job jobs[3] = {{0}};
    pthread_t t[3];
    kith_noise_seen *seen = kith_noise_seen_new(support_env(&heap));
    for (uint32_t i = 0; i < 3; i++) {
        jobs[i] = (job){.seen = seen, .from = 100000 * i};
        assert_int_equal(pthread_create(&t[i], NULL, add_many, &jobs[i]), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_false(jobs[i].strange);
    }
    kith_noise_seen_free(seen);
}

static int set_up(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_there_and_nothing_else),
        cmocka_unit_test(so_many_are_remembered_and_no_more),
        cmocka_unit_test(threads_may_add_and_ask_at_once),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
