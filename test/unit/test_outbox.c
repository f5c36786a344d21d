/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What waits to be sent: its order, its end, when it is tried again, and the caps. */
#include "apps/outbox.h"

#include "unit/support.h"

static uint64_t ages;

static kith_peer_id peer(uint8_t n)
{
    return (kith_peer_id){.b = {n}, .len = 1};
}

static kith_err add(kith_outbox *o, uint32_t id, uint8_t to, uint8_t priority, uint64_t ends, size_t len)
{
    kith_outbox_item i = {.priority = priority, .ends = ends, .len = len, .age = ++ages}, *out;
    kith_peer_id p = peer(to);
    kith_store_be32(i.id, id);
    return kith_outbox_add(o, &p, &i, &out);
}

static kith_outbox_lane *lane(kith_outbox *o, uint8_t to)
{
    kith_peer_id p = peer(to);
    return kith_outbox_lane_of(o, &p);
}

static uint32_t id_of(const kith_outbox_item *i)
{
    return i ? kith_load_be32(i->id) : 0;
}

static kith_outbox_item *find(kith_outbox *o, uint32_t id)
{
    uint8_t raw[KITH_MESSAGE_ID_LEN] = {0};
    kith_store_be32(raw, id);
    return kith_outbox_find(o, raw);
}

static void what_matters_more_leaves_first_then_what_is_older(void **state)
{
    (void)state;
    support_heap h;
    kith_outbox *o = kith_outbox_new(support_env(&h));
    static const uint8_t priorities[] = {5, 0, 10, 5, 10, 3};
    static const uint32_t order[] = {3, 5, 1, 4, 6, 2};
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(add(o, i + 1, 1, priorities[i], 1000, 10), KITH_OK);
    assert_int_equal(add(o, 7, 2, 10, 1000, 10), KITH_OK); /* somebody else's */
    assert_int_equal(add(o, 1, 2, 10, 1000, 10), KITH_EEXISTS);
    /* one that was on its way and came back stands where it stood */
    kith_outbox_item *first = kith_outbox_pick(lane(o, 1));
    kith_outbox_fly(first);
    assert_int_equal(id_of(kith_outbox_pick(lane(o, 1))), 5);
    kith_outbox_land(o, first);
    kith_outbox_check(o);
    for (size_t i = 0; i < 6; i++) {
        kith_outbox_item *it = kith_outbox_pick(lane(o, 1));
        assert_int_equal(id_of(it), order[i]);
        kith_outbox_fly(it);
        kith_outbox_check(o);
    }
    assert_null(kith_outbox_pick(lane(o, 1)));
    uint32_t n = 0;
    for (kith_outbox_item *i = NULL; (i = kith_outbox_each(o, i));)
        assert_int_equal(id_of(i), ++n);
    assert_int_equal(n, 7);
    for (uint32_t i = 1; i <= 6; i++)
        kith_outbox_remove(o, find(o, i));
    assert_null(lane(o, 1));
    assert_non_null(lane(o, 2));
    kith_outbox_free(o);
    support_heap_check(&h);
}

static void what_is_over_is_told_once_it_is_not_on_its_way(void **state)
{
    (void)state;
    support_heap h;
    kith_outbox *o = kith_outbox_new(support_env(&h));
    assert_int_equal(add(o, 1, 1, 5, 1000, 10), KITH_OK);
    assert_int_equal(add(o, 2, 1, 5, 500, 10), KITH_OK);
    assert_int_equal(kith_outbox_first_end(o), 501);
    assert_null(kith_outbox_expired(o, 500)); /* its last millisecond */
    kith_outbox_item *i = kith_outbox_expired(o, 501);
    assert_int_equal(id_of(i), 2);
    kith_outbox_remove(o, i);
    kith_outbox_fly(find(o, 1));
    assert_null(kith_outbox_expired(o, 2000)); /* perhaps it arrives */
    assert_int_equal(kith_outbox_first_end(o), UINT64_MAX);
    kith_outbox_land(o, find(o, 1));
    assert_int_equal(id_of(kith_outbox_expired(o, 2000)), 1);
    kith_outbox_free(o);
    support_heap_check(&h);
}

static void a_peer_that_is_away_is_tried_again_and_more_and_more_seldom(void **state)
{
    (void)state;
    support_heap h;
    kith_outbox *o = kith_outbox_new(support_env(&h));
    kith_time now = KITH_SEC(5), by = KITH_OUTBOX_RETRY;
    assert_int_equal(add(o, 1, 1, 5, 1000, 10), KITH_OK);
    kith_outbox_lane *l = lane(o, 1);
    for (int i = 0; i < 20; i++) {
        kith_outbox_failed(o, l, now);
        kith_time wait = kith_outbox_deadline(o) - now;
        assert_in_range(wait, by - by / 4, by + by / 4);
        assert_true(l->resting);
        assert_null(kith_outbox_due(o, now + wait - 1));
        now += wait;
        assert_ptr_equal(kith_outbox_due(o, now), l);
        assert_false(l->resting);
        by = by * 2 < KITH_OUTBOX_RETRY_MAX ? by * 2 : KITH_OUTBOX_RETRY_MAX;
    }
    kith_outbox_failed(o, l, now);
    kith_outbox_wake(o, l);
    assert_int_equal(kith_outbox_deadline(o), KITH_NEVER);
    kith_outbox_failed(o, l, now);
    assert_in_range(kith_outbox_deadline(o) - now, 1, KITH_OUTBOX_RETRY * 5 / 4);
    kith_outbox_free(o);
    support_heap_check(&h);
}

static void a_lane_stays_while_it_is_held(void **state)
{
    (void)state;
    support_heap h;
    kith_outbox *o = kith_outbox_new(support_env(&h));
    assert_int_equal(add(o, 1, 1, 5, 1000, 10), KITH_OK);
    lane(o, 1)->held = true;
    kith_outbox_remove(o, find(o, 1));
    assert_non_null(lane(o, 1));
    kith_outbox_check(o);
    assert_int_equal(add(o, 2, 1, 5, 1000, 10), KITH_OK);
    kith_outbox_rest(o, lane(o, 1));
    assert_non_null(lane(o, 1));
    lane(o, 1)->held = true;
    kith_outbox_remove(o, find(o, 2));
    kith_outbox_rest(o, lane(o, 1));
    assert_null(lane(o, 1));
    assert_int_equal(add(o, 3, 1, 5, 1000, 10), KITH_OK);
    lane(o, 1)->held = true;
    kith_outbox_free(o);
    support_heap_check(&h);
}

static void there_is_room_for_so_many_and_so_much(void **state)
{
    (void)state;
    support_heap h;
    kith_outbox *o = kith_outbox_new(support_env(&h));
    for (uint32_t i = 1; i <= KITH_OUTBOX_ITEMS_MAX; i++) {
        assert_int_equal(kith_outbox_room(o, 10), KITH_OK);
        assert_int_equal(add(o, i, (uint8_t)i, (uint8_t)(i % 11), 1000 + i, 10), KITH_OK);
    }
    assert_int_equal(kith_outbox_room(o, 10), KITH_ELIMIT);
    assert_int_equal(add(o, 999999, 1, 5, 1000, 10), KITH_ELIMIT);
    kith_outbox_check(o);
    kith_outbox_remove(o, find(o, 77));
    assert_int_equal(add(o, 999999, 1, 5, 1000, 10), KITH_OK);
    kith_outbox_free(o);
    support_heap_check(&h);
    o = kith_outbox_new(support_env(&h));
    for (uint32_t i = 1; i <= 256; i++)
        assert_int_equal(add(o, i, 1, 5, 1000, 1u << 20), KITH_OK);
    assert_int_equal(add(o, 300, 1, 5, 1000, 1), KITH_ELIMIT);
    kith_outbox_remove(o, find(o, 5));
    assert_int_equal(add(o, 300, 1, 5, 1000, (1u << 20) + 1), KITH_ELIMIT);
    assert_int_equal(add(o, 300, 1, 5, 1000, 1u << 20), KITH_OK);
    assert_int_equal(kith_outbox_bytes(o), KITH_OUTBOX_BYTES_MAX);
    kith_outbox_free(o);
    support_heap_check(&h);
}

static void no_memory_changes_nothing(void **state)
{
    (void)state;
    bool done = false;
    for (size_t n = 1; !done; n++) {
        support_heap h;
        const kith_env *env = support_env(&h);
        h.fail_at = n;
        h.once = true;
        kith_outbox *o = kith_outbox_new(env);
        if (!o) {
            support_heap_check(&h);
            assert_int_equal(h.calls, n);
            continue;
        }
        kith_err e = add(o, 1, 1, 5, 1000, 10);
        assert_true(e == KITH_OK || e == KITH_ENOMEM);
        kith_outbox_check(o);
        assert_int_equal(kith_outbox_count(o), e ? 0 : 1);
        done = h.calls < n;
        assert_true(e || done);
        if (e)
            assert_int_equal(add(o, 1, 1, 5, 1000, 10), KITH_OK);
        kith_outbox_free(o);
        support_heap_check(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_matters_more_leaves_first_then_what_is_older),
        cmocka_unit_test(what_is_over_is_told_once_it_is_not_on_its_way),
        cmocka_unit_test(a_peer_that_is_away_is_tried_again_and_more_and_more_seldom),
        cmocka_unit_test(a_lane_stays_while_it_is_held),
        cmocka_unit_test(there_is_room_for_so_many_and_so_much),
        cmocka_unit_test(no_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
