/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a gossipsub router remembers of messages. */
#include "mesh/gossip_store.h"

#include <stdio.h>

#include "support.h"

static void start(kith_gossip_store *s, support_heap *heap)
{
    kith_gossip_store_init(s, support_env(heap));
    s->records_max = 100;
    s->bytes_max = 1 << 20;
    s->ttl = KITH_SEC(120);
    s->history = 5;
    s->count_authors = true;
}

static void stop(kith_gossip_store *s, support_heap *heap)
{
    kith_gossip_store_check(s);
    kith_gossip_store_fini(s);
    support_heap_check(heap);
}

/* The id of an author's message. */
static kith_bytes id_of(uint8_t buf[64], const char *author, uint64_t seqno)
{
    size_t n = strlen(author);
    memcpy(buf, author, n);
    kith_store_be64(buf + n, seqno);
    return kith_bytes_of(buf, n + 8);
}

/* Remembers, and holds to be valid, with a payload in the window. */
static kith_gossip_record *keep(kith_gossip_store *s, kith_time now, kith_bytes id)
{
    kith_gossip_record *r;
    assert_int_equal(kith_gossip_remember(s, now, id, &r), KITH_OK);
    assert_int_equal(kith_gossip_payload_new(s, id, r->hash, &r->payload), KITH_OK);
    kith_gossip_settle(s, now, r, KITH_GOSSIP_VALID);
    kith_gossip_cache(s, r);
    return r;
}

static void an_id_is_known_until_its_time_is_over(void **state)
{
    (void)state;
    support_heap heap;
    kith_gossip_store s;
    kith_gossip_record *r;
    start(&s, &heap);
    kith_bytes id = kith_bytes_str("one");
    assert_null(kith_gossip_find(&s, id));
    assert_int_equal(kith_gossip_remember(&s, KITH_SEC(1), id, &r), KITH_OK);
    assert_int_equal(kith_gossip_remember(&s, KITH_SEC(1), id, &r), KITH_EEXISTS);
    assert_ptr_equal(kith_gossip_find(&s, id), r);
    kith_gossip_shift(&s, KITH_SEC(500)); /* it waits for its verdict, however long that takes */
    assert_non_null(kith_gossip_find(&s, id));
    kith_gossip_settle(&s, KITH_SEC(500), r, KITH_GOSSIP_IGNORED);
    kith_gossip_shift(&s, KITH_SEC(501));
    assert_null(kith_gossip_find(&s, id));

    keep(&s, KITH_SEC(600), id);
    kith_gossip_shift(&s, KITH_SEC(720) - 1);
    assert_non_null(kith_gossip_find(&s, id));
    kith_gossip_shift(&s, KITH_SEC(720));
    assert_null(kith_gossip_find(&s, id));
    stop(&s, &heap);
}

static void an_id_that_is_too_long_is_refused(void **state)
{
    (void)state;
    support_heap heap;
    kith_gossip_store s;
    kith_gossip_record *r;
    uint8_t id[KITH_GOSSIP_MID_MAX + 1] = {1};
    start(&s, &heap);
    assert_int_equal(kith_gossip_remember(&s, 0, kith_bytes_of(id, sizeof id), &r), KITH_ELIMIT);
    assert_int_equal(kith_gossip_remember(&s, 0, kith_bytes_of(id, sizeof id - 1), &r), KITH_OK);
    stop(&s, &heap);
}

static void at_the_cap_the_oldest_with_a_verdict_makes_room(void **state)
{
    (void)state;
    support_heap heap;
    kith_gossip_store s;
    kith_gossip_record *pending, *r;
    uint8_t buf[64];
    start(&s, &heap);
    assert_int_equal(kith_gossip_remember(&s, 0, kith_bytes_str("pending"), &pending), KITH_OK);
    for (uint64_t i = 0; i < 99; i++)
        keep(&s, 0, id_of(buf, "a", i));
    assert_int_equal(s.count, 100);
    keep(&s, 0, id_of(buf, "a", 99));
    assert_int_equal(s.count, 100);
    assert_non_null(kith_gossip_find(&s, kith_bytes_str("pending")));
    assert_null(kith_gossip_find(&s, id_of(buf, "a", 0)));
    assert_non_null(kith_gossip_find(&s, id_of(buf, "a", 1)));
    kith_gossip_settle(&s, 0, pending, KITH_GOSSIP_INVALID);
    stop(&s, &heap);

    start(&s, &heap); /* nobody can make room */
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(kith_gossip_remember(&s, 0, id_of(buf, "a", i), &r), KITH_OK);
    assert_int_equal(kith_gossip_remember(&s, 0, id_of(buf, "a", 100), &r), KITH_ELIMIT);
    assert_int_equal(s.pending, 100);
    stop(&s, &heap);
}

static void the_window_moves_with_heartbeats(void **state)
{
    (void)state;
    support_heap heap;
    kith_gossip_store s;
    start(&s, &heap);
    kith_gossip_record *r = keep(&s, 0, kith_bytes_str("message"));
    kith_bytes raw = kith_gossip_payload_raw(r->payload);
    support_assert_str(raw, "message");
    /* an RPC: its length, the tag of a message, its length */
    support_assert_hex(kith_bytes_of(r->payload->frame, r->payload->len), "0912076d657373616765");
    for (int i = 0; i < 4; i++) {
        kith_gossip_shift(&s, 0);
        assert_non_null(r->payload);
    }
    kith_gossip_payload *p = kith_gossip_payload_ref(r->payload); /* somebody still has to send it */
    kith_gossip_shift(&s, 0);
    assert_null(r->payload);
    assert_true(s.bytes > 0);
    support_assert_str(kith_gossip_payload_raw(p), "message");
    kith_gossip_payload_drop(&s, p);
    assert_int_equal(s.bytes, 0);
    assert_non_null(kith_gossip_find(&s, kith_bytes_str("message")));
    stop(&s, &heap);
}

static void bytes_are_capped_and_the_oldest_in_the_window_makes_room(void **state)
{
    (void)state;
    support_heap heap;
    kith_gossip_store s;
    uint8_t big[1000] = {0}, buf[64];
    start(&s, &heap);
    s.bytes_max = 10 * (sizeof big + sizeof(kith_gossip_payload) + 10);
    kith_gossip_record *r[12];
    for (uint64_t i = 0; i < 12; i++) {
        assert_int_equal(kith_gossip_remember(&s, 0, id_of(buf, "a", i), &r[i]), KITH_OK);
        assert_int_equal(
            kith_gossip_payload_new(&s, kith_bytes_of(big, sizeof big), r[i]->hash, &r[i]->payload), KITH_OK);
        kith_gossip_settle(&s, 0, r[i], KITH_GOSSIP_VALID);
        kith_gossip_cache(&s, r[i]);
        assert_true(s.bytes <= s.bytes_max);
    }
    assert_true(!r[0]->payload && !r[1]->payload && r[2]->payload);
    kith_gossip_payload *p;
    uint8_t *most = calloc(1, s.bytes_max);
    assert_int_equal(kith_gossip_payload_new(&s, kith_bytes_of(most, s.bytes_max), 0, &p), KITH_ELIMIT);
    free(most);
    stop(&s, &heap);
}

static void who_asks_is_counted_per_message(void **state)
{
    (void)state;
    support_heap heap;
    kith_gossip_store s;
    start(&s, &heap);
    kith_gossip_payload *p = keep(&s, 0, kith_bytes_str("m"))->payload;
    for (unsigned i = 1; i <= 300; i++) {
        assert_int_equal(kith_gossip_payload_asked(&s, p, 7), i < 255 ? i : 255);
        assert_int_equal(kith_gossip_payload_asked(&s, p, 1000 + i), 1);
    }
    stop(&s, &heap);
}

static void deliverers_are_remembered_once_and_not_without_end(void **state)
{
    (void)state;
    support_heap heap;
    kith_gossip_store s;
    start(&s, &heap);
    kith_gossip_record *r = keep(&s, 0, kith_bytes_str("m"));
    for (uint32_t i = 0; i < KITH_GOSSIP_DELIVERERS_MAX; i++) {
        assert_true(kith_gossip_delivered(r, i + 1));
        assert_false(kith_gossip_delivered(r, i + 1));
    }
    assert_false(kith_gossip_delivered(r, 999));
    stop(&s, &heap);
}

static void what_an_author_has_used_up_is_a_replay(void **state)
{
    (void)state;
    support_heap heap;
    kith_gossip_store s;
    uint8_t buf[64];
    kith_bytes a = kith_bytes_str("author");
    start(&s, &heap);
    /* 5, 7, 6: out of order, all new */
    const uint64_t order[] = {5, 7, 6};
    for (size_t i = 0; i < 3; i++) {
        assert_false(kith_gossip_replayed(&s, a, order[i]));
        kith_gossip_counted(&s, a, order[i]);
        keep(&s, KITH_SEC(i), id_of(buf, "author", order[i]));
    }
    assert_false(kith_gossip_replayed(&s, a, 6)); /* seen, which is found out before this is asked */
    kith_gossip_shift(&s, KITH_SEC(120));         /* 5 is forgotten */
    assert_true(kith_gossip_replayed(&s, a, 5));
    assert_true(kith_gossip_replayed(&s, a, 1));
    assert_false(kith_gossip_replayed(&s, a, 6));
    kith_gossip_shift(&s, KITH_SEC(123));
    assert_true(kith_gossip_replayed(&s, a, 7));
    assert_false(kith_gossip_replayed(&s, a, 8));
    assert_false(kith_gossip_replayed(&s, kith_bytes_str("other"), 1));
    stop(&s, &heap);
}

static void random_numbers_are_not_held_to_an_order(void **state)
{
    (void)state;
    support_heap heap;
    kith_gossip_store s;
    uint8_t buf[64];
    uint64_t rng = 1;
    kith_bytes a = kith_bytes_str("js");
    start(&s, &heap);
    for (int i = 0; i < 50; i++) {
        uint64_t n = support_next(&rng);
        assert_false(kith_gossip_replayed(&s, a, n));
        kith_gossip_counted(&s, a, n);
        keep(&s, KITH_SEC(200 * i), id_of(buf, "js", n));
        kith_gossip_shift(&s, KITH_SEC(200 * i + 150));
    }
    stop(&s, &heap);
}

static void authors_are_capped(void **state)
{
    (void)state;
    support_heap heap;
    kith_gossip_store s;
    char name[32];
    start(&s, &heap);
    for (int i = 0; i < KITH_GOSSIP_AUTHORS_MAX + 10; i++) {
        snprintf(name, sizeof name, "author %d", i);
        kith_gossip_counted(&s, kith_bytes_str(name), 1);
    }
    assert_int_equal(s.author_count, KITH_GOSSIP_AUTHORS_MAX);
    stop(&s, &heap);
}

static void no_memory_changes_nothing(void **state)
{
    (void)state;
    for (size_t nth = 1; nth < 30; nth++) {
        support_heap heap;
        kith_gossip_store s;
        uint8_t buf[64];
        start(&s, &heap);
        heap.fail_at = nth;
        for (uint64_t i = 0; i < 20; i++) {
            kith_gossip_record *r;
            size_t before = s.count;
            kith_bytes id = id_of(buf, "a", i);
            if (kith_gossip_remember(&s, 0, id, &r)) {
                assert_int_equal(s.count, before);
                assert_null(kith_gossip_find(&s, id));
                continue;
            }
            if (kith_gossip_payload_new(&s, id, r->hash, &r->payload)) {
                kith_gossip_forget(&s, r);
                continue;
            }
            kith_gossip_settle(&s, 0, r, KITH_GOSSIP_VALID);
            kith_gossip_cache(&s, r);
            (void)kith_gossip_payload_asked(&s, r->payload, 1);
            kith_gossip_counted(&s, kith_bytes_of(id.p, 1), i);
        }
        stop(&s, &heap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_known_until_its_time_is_over),
        cmocka_unit_test(an_id_that_is_too_long_is_refused),
        cmocka_unit_test(at_the_cap_the_oldest_with_a_verdict_makes_room),
        cmocka_unit_test(the_window_moves_with_heartbeats),
        cmocka_unit_test(bytes_are_capped_and_the_oldest_in_the_window_makes_room),
        cmocka_unit_test(who_asks_is_counted_per_message),
        cmocka_unit_test(deliverers_are_remembered_once_and_not_without_end),
        cmocka_unit_test(what_an_author_has_used_up_is_a_replay),
        cmocka_unit_test(random_numbers_are_not_held_to_an_order),
        cmocka_unit_test(authors_are_capped),
        cmocka_unit_test(no_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
