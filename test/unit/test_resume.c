/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of what handshakes have left: whose secret, for how long, how often, how many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/resume.h"

#define LIFETIME KITH_SEC(1000)

/* Secrets begin with this, so that memory which is given back can be searched for them. */
static const uint8_t mark[8] = {0x5e, 0xc2, 0xe7, 0x5e, 0xc2, 0xe7, 0x5e, 0xc2};
static size_t held, leaked;
static int64_t fail_after = -1;

static void *alloc(void *ctx, void *p, size_t old, size_t size)
{
    (void)ctx;
    if (size > old && fail_after >= 0 && fail_after-- == 0) {
        fail_after = 0; /* and all after it */
        return NULL;
    }
    for (size_t i = 0; p && i + sizeof mark <= old; i++)
        leaked += memcmp((uint8_t *)p + i, mark, sizeof mark) == 0;
    held = held - old + size;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, size);
}

static const kith_env env = {.alloc = {.fn = alloc}};
static kith_resume *table;

static void start(size_t max)
{
    static const uint64_t seed[2] = {1, 2};
    table = kith_resume_new(&env, seed, max, LIFETIME);
    assert_non_null(table);
}

static void stop(void)
{
    kith_resume_free(table);
    assert_int_equal(held, 0);
    assert_int_equal(leaked, 0);
}

static kith_resume_facts facts_of(unsigned peer, uint8_t pq, kith_time checked_at)
{
    kith_resume_facts f = {.level = 3, .checked_at = checked_at};
    f.peer.len = 38;
    memcpy(f.peer.b, &peer, sizeof peer);
    f.pq.alg = KITH_SIG_MLDSA65;
    f.pq.id.len = KITH_PQ_ID_LEN;
    memset(f.pq.id.b, pq, KITH_PQ_ID_LEN);
    return f;
}

static kith_noise_legacy legacy_of(unsigned session)
{
    kith_noise_legacy l = {0};
    memcpy(l.ours.name, &session, sizeof session);
    memcpy(l.theirs.name, &session, sizeof session);
    l.theirs.name[15] = 1;
    memcpy(l.ours.psk, mark, sizeof mark);
    memcpy(l.theirs.psk, mark, sizeof mark);
    memcpy(l.ours.psk + 8, &session, sizeof session);
    memcpy(l.theirs.psk + 8, &session, sizeof session);
    l.theirs.psk[31] = 1;
    return l;
}

static void keep(unsigned peer, uint8_t pq, unsigned session, kith_time now)
{
    kith_resume_facts f = facts_of(peer, pq, now);
    kith_noise_legacy l = legacy_of(session);
    kith_resume_keep(table, now, &f, &l);
    kith_resume_check(table);
}

/* Which session's secret there is to dial with; -1: none. */
static int take(unsigned peer, kith_time now)
{
    kith_resume_facts f = facts_of(peer, 0, 0);
    kith_resumption r;
    unsigned session;
    if (!kith_resume_take(table, now, &f.peer, &r))
        return -1;
    kith_resume_check(table);
    memcpy(&session, r.secret.psk + 8, sizeof session);
    kith_noise_legacy l = legacy_of(session);
    assert_memory_equal(&r.secret, &l.ours, sizeof l.ours);
    assert_true(kith_peer_id_eq(&r.facts.peer, &f.peer));
    return (int)session;
}

static bool find(unsigned session, uint8_t level, kith_time now, kith_resumption *out)
{
    kith_noise_legacy l = legacy_of(session);
    bool there = kith_resume_find(table, now, l.theirs.name, level, out);
    assert_true(!there || memcmp(&out->secret, &l.theirs, sizeof l.theirs) == 0);
    return there;
}

static void a_secret_to_dial_with_is_taken_once(void **state)
{
    (void)state;
    start(4);
    assert_int_equal(take(1, 0), -1);
    keep(1, 7, 10, 0);
    assert_int_equal(take(2, 0), -1);
    assert_int_equal(take(1, 0), 10);
    assert_int_equal(take(1, 0), -1);
    keep(1, 7, 11, 0);
    keep(1, 7, 12, 0);
    assert_int_equal(take(1, 0), 12); /* the newest */
    assert_int_equal(take(1, 0), 11);
    assert_int_equal(take(1, 0), -1);
    stop();
}

static void a_name_is_known_until_it_is_spent(void **state)
{
    (void)state;
    kith_resumption r, again;
    start(4);
    keep(1, 7, 10, 5);
    assert_false(find(11, 3, 5, &r));
    assert_false(find(10, 5, 5, &r)); /* of another level */
    assert_true(find(10, 3, 5, &r) && find(10, 3, 5, &again));
    assert_int_equal(r.facts.checked_at, 5);
    assert_int_equal(r.facts.pq.id.b[0], 7);
    assert_true(kith_resume_spend(table, &r));
    assert_false(find(10, 3, 5, &r));
    assert_false(kith_resume_spend(table, &again));
    assert_int_equal(take(1, 5), 10); /* ours is another one */
    kith_noise_legacy l = legacy_of(12);
    keep(1, 7, 12, 5);
    assert_false(kith_resume_find(table, 5, l.ours.name, 3, &r)); /* nobody dials us with ours */
    stop();
}

static void a_peer_has_two_sessions_and_one_key(void **state)
{
    (void)state;
    kith_resumption r;
    start(4);
    for (unsigned s = 10; s < 13; s++)
        keep(1, 7, s, 0);
    assert_false(find(10, 3, 0, &r));
    assert_true(find(11, 3, 0, &r) && find(12, 3, 0, &r));
    keep(1, 8, 13, 0); /* it has another key now */
    assert_false(find(11, 3, 0, &r) || find(12, 3, 0, &r));
    assert_true(find(13, 3, 0, &r));
    assert_int_equal(r.facts.pq.id.b[0], 8);
    assert_int_equal(take(1, 0), 13);
    assert_int_equal(take(1, 0), -1);
    stop();
}

static void a_secret_lives_as_long_as_the_signature_that_it_stands_for(void **state)
{
    (void)state;
    kith_resumption r;
    start(4);
    keep(1, 7, 10, 0);
    assert_true(find(10, 3, LIFETIME - 1, &r));
    assert_false(find(10, 3, LIFETIME, &r));
    assert_int_equal(take(1, LIFETIME), -1);
    keep(1, 7, 10, 0);
    assert_int_equal(take(1, LIFETIME - 1), 10);
    /* what a resumed session leaves is not younger */
    kith_resume_facts f = facts_of(1, 7, 0);
    kith_noise_legacy l = legacy_of(11);
    kith_resume_keep(table, LIFETIME - 1, &f, &l);
    assert_true(find(11, 3, LIFETIME - 1, &r));
    assert_false(find(11, 3, LIFETIME, &r));
    l = legacy_of(12);
    kith_resume_keep(table, LIFETIME, &f, &l);
    assert_false(find(12, 3, LIFETIME - 1, &r));
    stop();
}

static void what_is_over_is_wiped_in_time(void **state)
{
    (void)state;
    start(4);
    assert_int_equal(kith_resume_deadline(table), KITH_NEVER);
    keep(1, 7, 10, KITH_SEC(1));
    keep(2, 7, 20, KITH_SEC(11));
    keep(2, 7, 21, KITH_SEC(500));
    kith_time at = KITH_SEC(1) + LIFETIME;
    assert_int_equal(kith_resume_deadline(table), at);
    kith_resume_tick(table, at - 1);
    assert_int_equal(kith_resume_peers(table), 2);
    kith_resume_tick(table, at);
    kith_resume_check(table);
    assert_int_equal(kith_resume_peers(table), 1);
    assert_int_equal(kith_resume_deadline(table), at + KITH_SEC(60)); /* not for every one that follows */
    kith_resume_tick(table, at + KITH_SEC(60));
    assert_int_equal(kith_resume_deadline(table), KITH_SEC(500) + LIFETIME);
    kith_resume_tick(table, KITH_SEC(500) + LIFETIME);
    assert_int_equal(kith_resume_peers(table), 0);
    assert_int_equal(kith_resume_deadline(table), KITH_NEVER);
    stop();
}

static void beyond_the_cap_the_one_that_left_nothing_for_longest_goes(void **state)
{
    (void)state;
    kith_resumption r;
    start(KITH_RESUME_PEERS_MAX);
    for (unsigned p = 0; p < KITH_RESUME_PEERS_MAX; p++) {
        kith_resume_facts f = facts_of(p, 7, 0);
        kith_noise_legacy l = legacy_of(p);
        kith_resume_keep(table, 0, &f, &l);
    }
    assert_int_equal(kith_resume_peers(table), KITH_RESUME_PEERS_MAX);
    assert_in_range(held, 0, KITH_RESUME_PEERS_MAX * 700); /* with the maps */
    keep(0, 7, 90000, 0);                                  /* it has been here */
    assert_int_equal(kith_resume_peers(table), KITH_RESUME_PEERS_MAX);
    keep(80000, 7, 80000, 0);
    assert_int_equal(kith_resume_peers(table), KITH_RESUME_PEERS_MAX);
    assert_false(find(1, 3, 0, &r));
    assert_true(find(0, 3, 0, &r) && find(90000, 3, 0, &r) && find(2, 3, 0, &r) && find(80000, 3, 0, &r));
    assert_int_equal(take(1, 0), -1);
    stop();
}

static void whoever_is_forgotten_is_unknown(void **state)
{
    (void)state;
    kith_resumption r;
    start(4);
    keep(1, 7, 10, 0);
    keep(2, 7, 20, 0);
    kith_resume_facts f = facts_of(1, 7, 0);
    kith_resume_forget(table, &f.peer);
    kith_resume_forget(table, &f.peer);
    kith_resume_check(table);
    assert_false(find(10, 3, 0, &r));
    assert_int_equal(take(1, 0), -1);
    assert_true(find(20, 3, 0, &r));
    kith_resume_forget_all(table);
    assert_int_equal(kith_resume_peers(table), 0);
    assert_int_equal(kith_resume_deadline(table), KITH_NEVER);
    keep(2, 7, 21, 0);
    assert_int_equal(take(2, 0), 21);
    stop();
}

static void without_memory_nothing_is_kept_and_nothing_breaks(void **state)
{
    (void)state;
    kith_resumption r;
    static const uint64_t seed[2] = {1, 2};
    fail_after = 0;
    assert_null(kith_resume_new(&env, seed, 4, LIFETIME));
    fail_after = -1;
    bool through = false;
    for (int64_t n = 0; !through; n++) {
        start(4);
        fail_after = n;
        for (unsigned p = 0; p < 8; p++)
            keep(p, 7, 10 + p, 0);
        through = fail_after > 0; /* more than there were */
        fail_after = -1;
        bool theirs = find(17, 3, 0, &r);
        assert_true(n == 0 ? !theirs : true);
        keep(7, 7, 99, 0);
        assert_true(find(99, 3, 0, &r));
        stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_to_dial_with_is_taken_once),
        cmocka_unit_test(a_name_is_known_until_it_is_spent),
        cmocka_unit_test(a_peer_has_two_sessions_and_one_key),
        cmocka_unit_test(a_secret_lives_as_long_as_the_signature_that_it_stands_for),
        cmocka_unit_test(what_is_over_is_wiped_in_time),
        cmocka_unit_test(beyond_the_cap_the_one_that_left_nothing_for_longest_goes),
        cmocka_unit_test(whoever_is_forgotten_is_unknown),
        cmocka_unit_test(without_memory_nothing_is_kept_and_nothing_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
