/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a code stands for: known answers, made with another implementation of Argon2id, and the two halves on the worker pool. */
#include "unit/support.h"

#include "crypto/crypto.h"
#include "host/code_key.h"
#include "unit/vectors.h"

#define PLACE "32f95bbb17b60219fd722a755794147d5eedb255681aec48e18a181a63cbf8ad"
#define TAG "7f0563ea180fec389dde724946bf1f50"

/* P7YE-G9L8-KD9V; docs/protocols/code.md has the same. */
static const kith_code sample = {.locator = 0x2a5f31c7, .secret = 0x1234567};

static void keys_change_with_the_half_hour(void **state)
{
    (void)state;
    uint8_t place[KITH_CODE_PLACE_LEN], key[KITH_CODE_KEY_LEN], hash[KITH_CODE_HASH_LEN];
    unhex(PLACE, place, sizeof place);
    kith_code_key(place, kith_code_bucket(1800000000), key);
    kith_code_hash(place, kith_code_bucket(1800000000), hash);
    assert_true(hash[0] == 0x12 && hash[1] == 32); /* a multihash, sha2-256 */
    assert_memory_equal(hash + 2, key, sizeof key);
    support_assert_hex(kith_bytes_of(key, sizeof key),
                       "521609356608ce4e34bcd1e6dcc46a16f171a8ffd672b623b9f6481e5a509923");
    assert_int_equal(kith_code_bucket(1800000000 + 1799), 1000000);
    assert_int_equal(kith_code_bucket(1800000000 + 1800), 1000001);
}

static void nothing_that_is_published_depends_on_the_secret(void **state)
{
    (void)state;
    kith_code other = {.locator = sample.locator, .secret = sample.secret ^ 1};
    kith_code_keys k;
    assert_int_equal(kith_code_place(&other, &k), KITH_OK);
    support_assert_hex(kith_bytes_of(k.place, sizeof k.place), PLACE);
    support_assert_hex(kith_bytes_of(k.tag, sizeof k.tag), TAG);
}

typedef struct told {
    size_t calls;
    bool whole;
    kith_code_keys keys;
    kith_code_work *work;
    bool cancel;
} told;

static void on_worked(void *ctx, kith_err e, const kith_code_keys *keys, bool whole)
{
    told *t = ctx;
    assert_int_equal(e, KITH_OK);
    assert_int_equal(whole, t->calls == 1);
    t->calls++;
    t->whole = whole;
    memcpy(t->keys.place, keys->place, sizeof keys->place); /* the rest may be under way */
    memcpy(t->keys.tag, keys->tag, sizeof keys->tag);
    if (whole)
        memcpy(t->keys.secret, keys->secret, sizeof keys->secret);
    if (t->cancel)
        kith_code_work_cancel(t->work);
}

static void known_answers_come_out_the_first_half_before_the_second(void **state)
{
    (void)state;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    told t = {0}, cancelled = {.cancel = true}, never = {0};
    t.work = kith_code_work_new(&loop, &sample, on_worked, &t);
    cancelled.work = kith_code_work_new(&loop, &sample, on_worked, &cancelled);
    never.work = kith_code_work_new(&loop, &sample, on_worked, &never);
    kith_code_work_cancel(never.work);
    kith_code_work_cancel(NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(t.calls == 2 && t.whole);
    support_assert_hex(kith_bytes_of(t.keys.place, sizeof t.keys.place), PLACE);
    support_assert_hex(kith_bytes_of(t.keys.tag, sizeof t.keys.tag), TAG);
    support_assert_hex(
        kith_bytes_of(t.keys.secret, sizeof t.keys.secret),
        "b82d21e1c9beb36a60197778b1428aea401c5fd751a1acfa00d686adae61d9a56cbffc839f274bf1ae5b0bca26e8aeb8");
    assert_int_equal(cancelled.calls, 1);
    assert_int_equal(never.calls, 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static int set_up(void **state)
{
    (void)state;
    return (int)kith_crypto_init();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_change_with_the_half_hour),
        cmocka_unit_test(nothing_that_is_published_depends_on_the_secret),
        cmocka_unit_test(known_answers_come_out_the_first_half_before_the_second),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
