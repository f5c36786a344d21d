/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An open channel changes its keys: who may when, what each record is under, and what an empty record means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "noise_pair.h"

static side i, r; /* initiator, responder */

static void setup(void)
{
    pair_open(&i, &r, kith_noise_suite_find(kith_bytes_str("/noise")), false, false);
    assert_true(i.ready && r.ready);
}

static void teardown(void)
{
    side_fini(&i);
    side_fini(&r);
}

static kith_noise_keys some_keys(uint8_t what)
{
    kith_noise_keys k;
    memset(k.chain, what, sizeof k.chain);
    memset(k.i2r, what + 1, sizeof k.i2r);
    memset(k.r2i, what + 2, sizeof k.r2i);
    return k;
}

static size_t mark(side *s, uint8_t *out)
{
    return kith_noise_change(s->noise, kith_span_of(out, KITH_NOISE_OVERHEAD));
}

/* One record of one byte from a to b, which takes it. */
static void record(side *a, side *b, uint8_t text)
{
    uint8_t out[64];
    size_t had = b->got_len;
    side_feed(b, kith_bytes_of(out, side_seal(a, &text, 1, out)));
    assert_int_equal(b->got_len, had + 1);
    assert_int_equal(b->got[had], text);
}

static void both_sides_have_one_chain_that_is_no_key(void **state)
{
    (void)state;
    static const uint8_t zero[32];
    setup();
    assert_memory_equal(kith_noise_chain(i.noise), kith_noise_chain(r.noise), 32);
    assert_memory_not_equal(kith_noise_chain(i.noise), zero, 32);
    assert_memory_not_equal(kith_noise_chain(i.noise), kith_noise_hash(i.noise), 32);
    teardown();
}

/* Whichever side leads. Records fly in both directions at every step, and all of them arrive. */
static void each_direction_changes_behind_its_own_mark(void **state)
{
    (void)state;
    uint8_t m[64], old[64], flying[64];
    for (int who = 0; who < 2; who++) {
        setup();
        side *a = who ? &r : &i, *b = who ? &i : &r; /* a leads */
        uint8_t h[32];
        memcpy(h, kith_noise_hash(i.noise), 32);
        for (uint8_t round = 0; round < 3; round++) {
            kith_noise_keys keys = some_keys((uint8_t)(16 * round + 3));
            record(a, b, 'a');
            record(b, a, 'b');
            assert_int_equal(kith_noise_prepare(b->noise, &keys, false), KITH_OK);
            assert_int_equal(mark(b, m), 0); /* it must not go first */
            record(a, b, 'c');
            record(b, a, 'd');
            assert_int_equal(kith_noise_prepare(a->noise, &keys, true), KITH_OK);
            assert_int_equal(kith_noise_prepare(a->noise, &keys, true), KITH_ESTATE);
            assert_true(kith_noise_changing(a->noise) && kith_noise_changing(b->noise));
            record(a, b, 'e');
            size_t fly =
                side_seal(b, "f", 1, flying); /* b's, under the old key, on its way while a changes */
            assert_int_equal(kith_noise_change(a->noise, kith_span_of(m, KITH_NOISE_OVERHEAD - 1)), 0);
            assert_int_equal(mark(a, m), KITH_NOISE_OVERHEAD);
            assert_int_equal(mark(a, old), 0); /* once */
            assert_int_equal(kith_noise_tx(a->noise)->n, 0);
            assert_memory_equal(kith_noise_chain(a->noise), keys.chain, 32);
            size_t next = side_seal(a, "g", 1, old);
            for (size_t at = 0; at < KITH_NOISE_OVERHEAD; at++) /* in pieces, as a socket might give it */
                side_feed(b, kith_bytes_of(m + at, 1));
            assert_int_equal(kith_noise_rx(b->noise)->n, 0);
            assert_memory_equal(kith_noise_chain(b->noise), keys.chain, 32);
            side_feed(b, kith_bytes_of(old, next));
            side_feed(a, kith_bytes_of(flying, fly));
            record(b, a, 'h'); /* b has not changed yet */
            assert_int_equal(kith_noise_changes(a->noise), round);
            assert_int_equal(mark(b, m), KITH_NOISE_OVERHEAD);
            assert_int_equal(kith_noise_changes(b->noise), round + 1);
            assert_false(kith_noise_changing(b->noise));
            side_feed(a, kith_bytes_of(m, KITH_NOISE_OVERHEAD));
            assert_int_equal(kith_noise_changes(a->noise), round + 1);
            assert_false(kith_noise_changing(a->noise));
            record(b, a, 'i');
            record(a, b, 'j');
        }
        assert_memory_equal(kith_noise_hash(i.noise), h, 32);
        assert_memory_equal(kith_noise_hash(r.noise), h, 32);
        assert_false(i.failed || r.failed);
        teardown();
    }
}

static void the_two_directions_have_keys_of_their_own(void **state)
{
    (void)state;
    uint8_t m[64];
    setup();
    kith_noise_keys keys = some_keys(7);
    assert_int_equal(kith_noise_prepare(r.noise, &keys, false), KITH_OK);
    assert_int_equal(kith_noise_prepare(i.noise, &keys, true), KITH_OK);
    (void)mark(&i, m);
    side_feed(&r, kith_bytes_of(m, KITH_NOISE_OVERHEAD));
    (void)mark(&r, m);
    side_feed(&i, kith_bytes_of(m, KITH_NOISE_OVERHEAD));
    side_feed(&i, kith_bytes_of(m, side_seal(&i, "x", 1, m))); /* its own record, sent back */
    assert_true(i.failed);
    teardown();
}

static void what_was_sent_under_an_old_key_is_nothing_after_the_mark(void **state)
{
    (void)state;
    for (int mutual = 0; mutual < 2; mutual++) {
        uint8_t m[64], old[64];
        setup();
        kith_noise_keys keys = some_keys(7);
        size_t len = side_seal(&i, "x", 1, old);
        side_feed(&r, kith_bytes_of(old, len));
        if (mutual)
            assert_int_equal(kith_noise_prepare(r.noise, &keys, false), KITH_OK);
        assert_int_equal(kith_noise_prepare(i.noise, &keys, true), KITH_OK);
        (void)mark(&i, m);
        side_feed(&r, kith_bytes_of(m, KITH_NOISE_OVERHEAD));
        assert_false(r.failed);
        if (mutual)
            side_feed(&r, kith_bytes_of(
                              old, len)); /* the first record under the old key again, where the new begins */
        else
            side_feed(&r, kith_bytes_of(
                              m, side_seal(&i, "y", 1, m))); /* r had no keys: it was an empty record to it */
        assert_true(r.failed);
        assert_int_equal(r.err, KITH_ECRYPTO);
        teardown();
    }
}

/* An empty record as everybody may send it. */
static void empty(side *from, side *to)
{
    uint8_t out[KITH_NOISE_OVERHEAD];
    kith_store_be16(out, 16);
    assert_int_equal(kith_noise_cipher_seal(kith_noise_tx(from->noise), kith_span_of(out + 2, 0), out + 2),
                     KITH_OK);
    side_feed(to, kith_bytes_of(out, sizeof out));
}

static void an_empty_record_means_nothing_when_no_change_is_due(void **state)
{
    (void)state;
    uint8_t m[64];
    setup();
    kith_noise_keys keys = some_keys(7);
    empty(&i, &r); /* nothing prepared */
    record(&i, &r, 'a');
    assert_int_equal(kith_noise_prepare(i.noise, &keys, true), KITH_OK);
    empty(&r, &i); /* whoever leads changes first */
    record(&r, &i, 'b');
    assert_int_equal(kith_noise_prepare(r.noise, &keys, false), KITH_OK);
    (void)mark(&i, m);
    side_feed(&r, kith_bytes_of(m, KITH_NOISE_OVERHEAD));
    empty(&i, &r); /* has changed, and owes its own mark */
    record(&i, &r, 'c');
    (void)mark(&r, m);
    side_feed(&i, kith_bytes_of(m, KITH_NOISE_OVERHEAD));
    empty(&i, &r);
    empty(&r, &i);
    record(&i, &r, 'd');
    record(&r, &i, 'e');
    teardown();
}

static void keys_that_are_dropped_in_time_leave_everything_as_it_was(void **state)
{
    (void)state;
    uint8_t m[64], chain[32];
    setup();
    kith_noise_keys keys = some_keys(7);
    memcpy(chain, kith_noise_chain(i.noise), 32);
    assert_false(kith_noise_drop(i.noise)); /* there are none */
    assert_int_equal(kith_noise_prepare(r.noise, &keys, false), KITH_OK);
    assert_int_equal(kith_noise_prepare(i.noise, &keys, true), KITH_OK);
    assert_true(kith_noise_drop(i.noise));
    assert_true(kith_noise_drop(r.noise));
    assert_int_equal(mark(&i, m) + mark(&r, m), 0);
    assert_memory_equal(kith_noise_chain(i.noise), chain, 32);
    assert_memory_equal(kith_noise_chain(r.noise), chain, 32);
    record(&i, &r, 'a');
    empty(&i, &r);
    record(&i, &r, 'b');

    assert_int_equal(kith_noise_prepare(r.noise, &keys, false), KITH_OK);
    assert_int_equal(kith_noise_prepare(i.noise, &keys, true), KITH_OK);
    (void)mark(&i, m);
    assert_false(kith_noise_drop(i.noise)); /* too late */
    side_feed(&r, kith_bytes_of(m, KITH_NOISE_OVERHEAD));
    assert_false(kith_noise_drop(r.noise));
    record(&i, &r, 'c');
    teardown();
}

static void new_keys_count_their_nonces_afresh_and_the_last_old_one_is_for_no_mark(void **state)
{
    (void)state;
    uint8_t m[64];
    kith_noise_keys keys = some_keys(7);
    setup();
    kith_noise_tx(i.noise)->n = kith_noise_rx(r.noise)->n = UINT64_MAX - 1;
    assert_int_equal(kith_noise_prepare(r.noise, &keys, false), KITH_OK);
    assert_int_equal(kith_noise_prepare(i.noise, &keys, true), KITH_OK);
    assert_int_equal(mark(&i, m), KITH_NOISE_OVERHEAD);
    side_feed(&r, kith_bytes_of(m, KITH_NOISE_OVERHEAD));
    record(&i, &r, 'a');
    teardown();
    setup();
    kith_noise_tx(i.noise)->n = UINT64_MAX;
    assert_int_equal(kith_noise_prepare(i.noise, &keys, true), KITH_OK);
    assert_int_equal(mark(&i, m), 0);
    side_drain(&i);
    assert_true(i.failed);
    assert_int_equal(i.err, KITH_ELIMIT);
    assert_int_equal(kith_noise_prepare(i.noise, &keys, true), KITH_ESTATE);
    assert_false(kith_noise_changing(i.noise));
    teardown();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_have_one_chain_that_is_no_key),
        cmocka_unit_test(each_direction_changes_behind_its_own_mark),
        cmocka_unit_test(the_two_directions_have_keys_of_their_own),
        cmocka_unit_test(what_was_sent_under_an_old_key_is_nothing_after_the_mark),
        cmocka_unit_test(an_empty_record_means_nothing_when_no_change_is_due),
        cmocka_unit_test(keys_that_are_dropped_in_time_leave_everything_as_it_was),
        cmocka_unit_test(new_keys_count_their_nonces_afresh_and_the_last_old_one_is_for_no_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
