/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Token buckets: what they give over time, whatever is asked of them. */
#include "base/bucket.h"

#include "support.h"

#define MIB (1024u * 1024)

static void without_a_limit_everything_is_given(void **state)
{
    (void)state;
    kith_bucket b;
    kith_bucket_init(&b, KITH_SEC(5), 0);
    for (int i = 0; i < 100; i++) {
        assert_true(kith_bucket_ready(&b, KITH_SEC(5)));
        assert_int_equal(kith_bucket_next(&b, KITH_SEC(5)), KITH_SEC(5));
        kith_bucket_spend(&b, KITH_SEC(5), UINT32_MAX);
    }
    assert_int_equal(b.spent, 100ull * UINT32_MAX);
}

/* Spends whenever it may, in pieces; what is gone at `end`. */
static uint64_t drain(kith_bucket *b, kith_time from, kith_time end, uint64_t piece)
{
    uint64_t before = b->spent;
    for (kith_time t = from; t < end; t = kith_bucket_next(b, t)) {
        assert_true(kith_bucket_ready(b, t));
        kith_bucket_spend(b, t, piece);
    }
    return b->spent - before;
}

static void the_rate_is_kept_with_pieces_of_any_size(void **state)
{
    (void)state;
    static const uint64_t rates[] = {16384, 100000, 5 * MIB, 1ull << 30, KITH_BUCKET_RATE_MAX};
    static const uint64_t pieces[] = {100, 65536, 262144, 4 * MIB};
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
            kith_bucket b;
            uint64_t seconds = rates[r] / pieces[p] > 10000 ? 1 : 1000;
            if (rates[r] / pieces[p] > 1000000)
                continue; /* too many steps for a test */
            kith_bucket_init(&b, KITH_SEC(1), rates[r]);
            uint64_t got = drain(&b, KITH_SEC(1), KITH_SEC(1 + seconds), pieces[p]);
            assert_true(got >= rates[r] * seconds);
            assert_true(got <= rates[r] * seconds + kith_bucket_burst(&b) + pieces[p]);
        }
    }
}

static void it_is_ready_when_it_says_so_and_not_long_before(void **state)
{
    (void)state;
    kith_bucket b;
    kith_bucket_init(&b, 0, 1000);
    kith_bucket_spend(&b, 0, KITH_BUCKET_BURST_MIN + 5000);
    kith_time at = kith_bucket_next(&b, 0);
    assert_int_equal(at, KITH_MS(5001));
    assert_false(kith_bucket_ready(&b, at - KITH_MS(2)));
    assert_true(kith_bucket_ready(&b, at));
}

static void a_pause_earns_no_more_than_a_burst(void **state)
{
    (void)state;
    kith_bucket b;
    kith_bucket_init(&b, 0, 10 * MIB);
    (void)drain(&b, 0, KITH_SEC(1), 65536);
    for (int years = 1; years < 500; years *= 7) {
        kith_time then = b.at + KITH_SEC(31536000) * (kith_time)years;
        uint64_t got = drain(&b, then, then + 1, 65536);
        assert_true(got >= MIB && got <= MIB + 65536);
    }
}

static void a_new_rate_counts_from_now_on_and_debts_stay(void **state)
{
    (void)state;
    kith_bucket b;
    kith_bucket_init(&b, 0, 1000);
    kith_bucket_spend(&b, 0, KITH_BUCKET_BURST_MIN + 10000);
    kith_bucket_set_rate(&b, KITH_SEC(4), 3000); /* 6000 are left to be paid */
    assert_false(kith_bucket_ready(&b, KITH_MS(5990)));
    assert_true(kith_bucket_ready(&b, KITH_MS(6001)));
    kith_bucket_spend(&b, KITH_MS(6001), MIB);
    kith_bucket_set_rate(&b, KITH_MS(6001), 0);
    assert_true(kith_bucket_ready(&b, KITH_MS(6001)));
    kith_bucket_set_rate(&b, KITH_MS(6001), 1000);
    assert_true(b.level <= (int64_t)KITH_BUCKET_BURST_MIN);
    kith_bucket_init(&b, 0, 1000 * MIB); /* what was saved up at a high rate is no burst of a low one */
    kith_bucket_set_rate(&b, 0, 1000);
    assert_true(drain(&b, 0, 1, 1000) <= KITH_BUCKET_BURST_MIN + 1000);
}

static void what_cannot_be_paid_is_never_ready(void **state)
{
    (void)state;
    kith_bucket b;
    kith_bucket_init(&b, 0, 1);
    for (int i = 0; i < 5; i++)
        kith_bucket_spend(&b, 0, UINT64_MAX);
    assert_false(kith_bucket_ready(&b, KITH_SEC(1)));
    assert_int_equal(kith_bucket_next(&b, KITH_SEC(1)), KITH_NEVER);
    kith_bucket_init(&b, 0, UINT64_MAX);
    assert_int_equal(b.rate, KITH_BUCKET_RATE_MAX);
}

static void time_that_stands_still_gives_nothing(void **state)
{
    (void)state;
    kith_bucket b;
    kith_bucket_init(&b, KITH_SEC(9), 1000);
    kith_bucket_spend(&b, KITH_SEC(9), KITH_BUCKET_BURST_MIN);
    for (int i = 0; i < 1000; i++)
        assert_false(kith_bucket_ready(&b, KITH_SEC(9)));
    assert_false(kith_bucket_ready(&b, KITH_SEC(8)));
    /* and no time between two looks is lost */
    for (kith_time t = KITH_SEC(9); t < KITH_SEC(10); t += 7) {
        if (t % 1000 < 7)
            (void)kith_bucket_ready(&b, t);
    }
    (void)kith_bucket_ready(&b, KITH_SEC(10));
    assert_int_equal(b.level, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_everything_is_given),
        cmocka_unit_test(the_rate_is_kept_with_pieces_of_any_size),
        cmocka_unit_test(it_is_ready_when_it_says_so_and_not_long_before),
        cmocka_unit_test(a_pause_earns_no_more_than_a_burst),
        cmocka_unit_test(a_new_rate_counts_from_now_on_and_debts_stay),
        cmocka_unit_test(what_cannot_be_paid_is_never_ready),
        cmocka_unit_test(time_that_stands_still_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
