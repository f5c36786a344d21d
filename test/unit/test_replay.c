/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The memory of messages: none is taken twice, and what strangers can make it hold has an end. */
#include "mesh/replay.h"

#include "unit/support.h"

static const uint64_t noon = 1800000000000u; /* ms */

static kith_message message(uint32_t source, uint32_t id, uint32_t ttl)
{
    kith_message m = {.time = noon, .ttl = ttl};
    m.source.len = 36;
    kith_store_be32(m.source.b, source);
    kith_store_be32(m.id, id);
    return m;
}

static kith_err take(kith_replay *r, uint32_t source, uint32_t id, uint32_t ttl, bool contact)
{
    kith_message m = message(source, id, ttl);
    return kith_replay_take(r, &m, noon, contact);
}

static void a_message_is_taken_once(void **state)
{
    (void)state;
    support_heap h;
    kith_replay *r = kith_replay_new(support_env(&h));
    for (uint32_t source = 0; source < 20; source++) {
        for (uint32_t id = 0; id < 20; id++)
            assert_int_equal(take(r, source, id, 60, source % 2), KITH_OK);
    }
    for (uint32_t source = 0; source < 20; source++) {
        for (uint32_t id = 0; id < 20; id++) {
            assert_int_equal(take(r, source, id, 60, source % 2), KITH_EEXISTS);
            assert_int_equal(take(r, source, id, 60, source % 2 == 0), KITH_EEXISTS); /* a contact since */
        }
    }
    assert_int_equal(kith_replay_messages(r), 400);
    kith_replay_free(r);
    support_heap_check(&h);
}

static void what_is_past_is_forgotten(void **state)
{
    (void)state;
    support_heap h;
    kith_replay *r = kith_replay_new(support_env(&h));
    kith_message m;
    for (uint32_t id = 0; id < 100; id++)
        assert_int_equal(take(r, 1, id, 60 + id % 2 * 60, false), KITH_OK);
    m = message(1, 1000, 600);
    assert_int_equal(kith_replay_take(r, &m, noon + 60000, false), KITH_OK);
    assert_int_equal(kith_replay_messages(r), 101);
    m = message(1, 1001, 600);
    assert_int_equal(kith_replay_take(r, &m, noon + 60001, false), KITH_OK);
    assert_int_equal(kith_replay_messages(r), 52);
    m = message(1, 1, 120);
    assert_int_equal(kith_replay_take(r, &m, noon + 60001, false), KITH_EEXISTS);
    kith_replay_free(r);
    support_heap_check(&h);
}

static void a_source_that_says_much_is_only_believed_what_is_remembered(void **state)
{
    (void)state;
    support_heap h;
    kith_replay *r = kith_replay_new(support_env(&h));
    for (uint32_t id = 0; id < KITH_REPLAY_PER_SOURCE_MAX; id++)
        assert_int_equal(take(r, 1, id, 1000 + id, true), KITH_OK);
    assert_int_equal(take(r, 1, 0, 1000, true), KITH_EEXISTS);
    assert_int_equal(take(r, 1, 5000, 5000, true), KITH_OK); /* one more: the first is forgotten */
    assert_int_equal(kith_replay_messages(r), KITH_REPLAY_PER_SOURCE_MAX);
    assert_int_equal(take(r, 1, 0, 1000, true), KITH_ELIMIT);
    assert_int_equal(take(r, 1, 6000, 999, true), KITH_ELIMIT); /* new, but who could tell */
    assert_int_equal(take(r, 1, 1, 1001, true), KITH_EEXISTS);
    assert_int_equal(take(r, 2, 0, 10, true), KITH_OK); /* nobody else's matter */
    kith_replay_free(r);
    support_heap_check(&h);
}

static void a_crowd_of_strangers_forgets_strangers_only(void **state)
{
    (void)state;
    support_heap h;
    kith_replay *r = kith_replay_new(support_env(&h));
    assert_int_equal(take(r, 1, 7, 100, true), KITH_OK);
    assert_int_equal(take(r, 2, 7, 100, false), KITH_OK);
    uint32_t at = 100;
    for (size_t n = 0; n < KITH_REPLAY_SOURCES_MAX - 1; n++)
        assert_int_equal(take(r, at++, 0, 200, false), KITH_OK);
    assert_int_equal(kith_replay_sources(r), KITH_REPLAY_SOURCES_MAX + 1);
    assert_int_equal(take(r, 2, 7, 100, false), KITH_EEXISTS); /* not the last to be heard from now */
    assert_int_equal(take(r, 2, 8, 100, false), KITH_OK);
    assert_int_equal(take(r, at++, 0, 200, false), KITH_OK); /* the 100th is gone */
    assert_int_equal(kith_replay_sources(r), KITH_REPLAY_SOURCES_MAX + 1);
    assert_int_equal(take(r, 2, 8, 100, false), KITH_EEXISTS);
    assert_int_equal(take(r, 100, 0, 200, false), KITH_ELIMIT);
    assert_int_equal(take(r, 100, 1, 201, false), KITH_OK);
    for (size_t n = 0; n < 2 * KITH_REPLAY_SOURCES_MAX; n++)
        (void)take(r, at++, 0, 300, false);
    assert_int_equal(take(r, 1, 7, 100, true), KITH_EEXISTS);
    assert_int_equal(take(r, 1, 8, 10, true), KITH_OK);
    assert_int_equal(take(r, 2, 7, 100, false), KITH_ELIMIT);
    kith_replay_free(r);
    support_heap_check(&h);
}

static void there_is_room_for_so_many_messages(void **state)
{
    (void)state;
    support_heap h;
    kith_replay *r = kith_replay_new(support_env(&h));
    uint32_t per = KITH_REPLAY_PER_SOURCE_MAX, sources = KITH_REPLAY_MESSAGES_MAX / per;
    for (uint32_t s = 0; s < sources; s++) {
        for (uint32_t id = 0; id < per; id++)
            assert_int_equal(take(r, s, id, 100, false), KITH_OK);
    }
    assert_int_equal(kith_replay_messages(r), KITH_REPLAY_MESSAGES_MAX);
    size_t peak = h.bytes;
    for (uint32_t s = 0; s < 100; s++)
        assert_int_equal(take(r, 1000 + s, 0, 101, false), KITH_OK);
    assert_true(kith_replay_messages(r) <= KITH_REPLAY_MESSAGES_MAX);
    assert_true(h.bytes <= peak && peak < 6u << 20);
    for (uint32_t s = 0; s < sources; s++)
        assert_int_not_equal(take(r, s, 3, 100, false), KITH_OK); /* none of them a second time */
    kith_replay_free(r);
    support_heap_check(&h);
}

static void without_memory_nothing_is_taken(void **state)
{
    (void)state;
    support_heap h;
    for (size_t at = 1;; at++) {
        const kith_env *env = support_env(&h);
        h.fail_at = at;
        kith_replay *r = kith_replay_new(env);
        bool failed = !r;
        for (uint32_t id = 0; r && id < 40; id++) {
            kith_err e = take(r, id % 3, id, 60, false);
            if (e == KITH_ENOMEM) {
                failed = true;
                h.fail_at = 0;
                e = take(r, id % 3, id, 60, false);
            }
            assert_int_equal(e, KITH_OK);
            assert_int_equal(take(r, id % 3, id, 60, false), KITH_EEXISTS);
        }
        kith_replay_free(r);
        support_heap_check(&h);
        if (!failed)
            break;
    }
}

static void what_could_not_be_kept_may_come_again(void **state)
{
    (void)state;
    support_heap h;
    kith_replay *r = kith_replay_new(support_env(&h));
    kith_message m = message(1, 1, 60), never = message(1, 9, 60);
    assert_int_equal(take(r, 1, 1, 60, true), KITH_OK);
    assert_int_equal(take(r, 1, 2, 60, true), KITH_OK);
    kith_replay_untake(r, &m);
    kith_replay_untake(r, &m);
    kith_replay_untake(r, &never);
    assert_int_equal(kith_replay_messages(r), 1);
    assert_int_equal(take(r, 1, 2, 60, true), KITH_EEXISTS);
    assert_int_equal(take(r, 1, 1, 60, true), KITH_OK);
    kith_replay_free(r);
    support_heap_check(&h);
}

static void what_was_forgotten_before_is_not_believed(void **state)
{
    (void)state;
    support_heap h;
    kith_replay *r = kith_replay_new(support_env(&h));
    kith_replay_forgot(r, false, noon + 60000);
    kith_replay_forgot(r, false, noon + 30000); /* no less */
    assert_int_equal(take(r, 1, 1, 60, false), KITH_ELIMIT);
    assert_int_equal(take(r, 1, 1, 61, false), KITH_OK);
    assert_int_equal(take(r, 2, 1, 60, true), KITH_OK); /* of strangers only */
    kith_replay_free(r);
    support_heap_check(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_taken_once),
        cmocka_unit_test(what_could_not_be_kept_may_come_again),
        cmocka_unit_test(what_was_forgotten_before_is_not_believed),
        cmocka_unit_test(what_is_past_is_forgotten),
        cmocka_unit_test(a_source_that_says_much_is_only_believed_what_is_remembered),
        cmocka_unit_test(a_crowd_of_strangers_forgets_strangers_only),
        cmocka_unit_test(there_is_room_for_so_many_messages),
        cmocka_unit_test(without_memory_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
