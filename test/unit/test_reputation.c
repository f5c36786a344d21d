/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Scores: what adds up, what fades, who is banned for how long, and who is forgotten first. */
#include "mesh/reputation.h"

#include "support.h"

#define T0 1800000000u
#define P KITH_REPUTATION_POINT
#define HOUR 3600u

static support_heap heap;
static bool spared(void *ctx, const kith_peer_id *peer)
{
    (void)ctx;
    return peer->b[3] == 0xee;
}

static kith_peer_id peer(unsigned n)
{
    return (kith_peer_id){.len = 34, .b = {0x12, 32, (uint8_t)n, (uint8_t)(n >> 8), 7}};
}

static kith_reputation *make(size_t most)
{
    kith_reputation_config cfg;
    kith_reputation_config_default(&cfg);
    cfg.env = *support_env(&heap);
    cfg.exempt = spared;
    if (most)
        cfg.peers_max = most;
    kith_reputation *r = kith_reputation_new(&cfg);
    assert_non_null(r);
    return r;
}

static void end(kith_reputation *r)
{
    kith_reputation_check(r);
    kith_reputation_free(r);
    support_heap_check(&heap);
}

static void note(kith_reputation *r, unsigned n, kith_conduct k, unsigned times, uint64_t unix)
{
    kith_peer_id p = peer(n);
    for (; times > 0; times--)
        kith_reputation_note(r, &p, k, unix);
    kith_reputation_check(r);
}

static int32_t score(kith_reputation *r, unsigned n, uint64_t unix)
{
    kith_peer_id p = peer(n);
    return kith_reputation_score(r, &p, unix);
}

static void a_score_is_the_sum_of_its_reasons_each_within_its_bounds(void **state)
{
    (void)state;
    kith_reputation *r = make(0);
    kith_reputation_facts f;
    kith_peer_id p = peer(1), q = peer(2);
    assert_int_equal(score(r, 1, T0), 0);
    assert_false(kith_reputation_look(r, &p, T0, &f));
    note(r, 1, KITH_CONDUCT_CONNECTED, 2, T0);
    note(r, 1, KITH_CONDUCT_VERIFIED, 3, T0);
    note(r, 1, KITH_CONDUCT_DHT, 1, T0);
    kith_reputation_rtt(r, &p, KITH_MS(120), T0);
    assert_true(kith_reputation_look(r, &p, T0, &f));
    assert_int_equal(f.points[KITH_CONDUCT_CONNECTED], 2 * P);
    assert_int_equal(f.points[KITH_CONDUCT_VERIFIED], 6 * P);
    assert_int_equal(f.points[KITH_CONDUCT_DHT], -10 * P);
    assert_int_equal(f.points[KITH_CONDUCT_LATENCY], P);
    assert_int_equal(f.score, -P);
    assert_int_equal(f.counts[KITH_CONDUCT_VERIFIED], 3);
    assert_true(f.rtt == KITH_MS(120));
    /* what is good cannot be saved up */
    note(r, 2, KITH_CONDUCT_VERIFIED, 1000, T0);
    note(r, 2, KITH_CONDUCT_CONNECTED, 1000, T0);
    note(r, 2, KITH_CONDUCT_STEADY, 1000, T0);
    assert_true(kith_reputation_look(r, &q, T0, &f));
    assert_int_equal(f.score, 30 * P);
    assert_int_equal(f.counts[KITH_CONDUCT_VERIFIED], 1000);
    /* and being away is no misconduct */
    note(r, 3, KITH_CONDUCT_UNREACHED, 1000, T0);
    assert_int_equal(score(r, 3, T0), -5 * P);
    end(r);
}

static void points_halve_every_half_life_and_time_does_not_go_back(void **state)
{
    (void)state;
    kith_reputation *r = make(0);
    note(r, 1, KITH_CONDUCT_CORRUPT, 1, T0);
    assert_int_equal(score(r, 1, T0), -30000);
    assert_int_equal(score(r, 1, T0 - 1000), -30000);
    assert_int_equal(score(r, 1, T0 + KITH_REPUTATION_HALF_LIFE / 2), -22500);
    assert_int_equal(score(r, 1, T0 + KITH_REPUTATION_HALF_LIFE), -15000);
    assert_int_equal(score(r, 1, T0 + 3 * KITH_REPUTATION_HALF_LIFE), -3750);
    assert_int_equal(score(r, 1, T0 + 40 * KITH_REPUTATION_HALF_LIFE), 0);
    assert_int_equal(score(r, 1, UINT64_MAX), 0);
    note(r, 1, KITH_CONDUCT_CORRUPT, 1, T0 + KITH_REPUTATION_HALF_LIFE);
    assert_int_equal(score(r, 1, T0 + KITH_REPUTATION_HALF_LIFE), -45000);
    note(r, 1, KITH_CONDUCT_CONNECTED, 1, T0); /* the clock was set back: nothing grows again */
    assert_int_equal(score(r, 1, T0), -44000);
    end(r);
}

static void misconduct_throttles_then_bans_then_bans_longer(void **state)
{
    (void)state;
    kith_reputation *r = make(0);
    kith_reputation_facts f;
    kith_peer_id p = peer(1), who;
    uint64_t now = T0;
    note(r, 1, KITH_CONDUCT_PROTOCOL, 1, now);
    assert_true(kith_reputation_look(r, &p, now, &f) && f.throttled && f.banned_until == 0);
    assert_false(kith_reputation_next_banned(r, &who));
    note(r, 1, KITH_CONDUCT_PROTOCOL, 2, now);
    assert_true(kith_reputation_banned(r, &p, now) == now + HOUR);
    assert_true(kith_reputation_next_banned(r, &who) && kith_peer_id_eq(&who, &p));
    assert_false(kith_reputation_next_banned(r, &who));
    assert_true(kith_reputation_banned(r, &p, now + HOUR - 1) > 0);
    now += HOUR;
    assert_true(kith_reputation_banned(r, &p, now) == 0);
    assert_true(kith_reputation_look(r, &p, now, &f) && f.throttled && f.bans == 1);
    for (uint32_t i = 1; i < 12; i++) { /* each ban is twice as long, up to a week */
        note(r, 1, KITH_CONDUCT_CORRUPT, 4, now);
        uint64_t time = (uint64_t)HOUR << i;
        assert_true(kith_reputation_banned(r, &p, now) ==
                    now + (time < KITH_REPUTATION_WEEK ? time : KITH_REPUTATION_WEEK));
        now = kith_reputation_banned(r, &p, now);
    }
    now += KITH_REPUTATION_WEEK; /* a week without one */
    note(r, 1, KITH_CONDUCT_CORRUPT, 4, now);
    assert_true(kith_reputation_banned(r, &p, now) == now + HOUR);
    end(r);
}

static void a_ban_can_be_lifted_and_some_are_never_banned(void **state)
{
    (void)state;
    kith_reputation *r = make(0);
    kith_peer_id p = peer(1), q = peer(0xee00), nobody = peer(9), who;
    note(r, 1, KITH_CONDUCT_CORRUPT, 2, T0);
    note(r, 1, KITH_CONDUCT_CONNECTED, 1, T0);
    assert_true(kith_reputation_banned(r, &p, T0) > 0);
    assert_true(kith_reputation_lift(r, &p, T0));
    assert_false(kith_reputation_next_banned(r, &who));
    assert_true(kith_reputation_banned(r, &p, T0) == 0);
    assert_int_equal(score(r, 1, T0), P);
    assert_false(kith_reputation_lift(r, &nobody, T0));
    note(r, 0xee00, KITH_CONDUCT_CORRUPT, 20, T0);
    assert_true(kith_reputation_banned(r, &q, T0) == 0);
    assert_int_equal(score(r, 0xee00, T0), -100 * P);
    end(r);
}

static void gossip_counts_at_once_when_it_is_worse(void **state)
{
    (void)state;
    kith_reputation *r = make(0);
    kith_peer_id p = peer(1);
    kith_reputation_gossip(r, &p, 0, T0);
    kith_reputation_gossip(r, &p, -3, T0);
    assert_int_equal(kith_reputation_count(r), 0);
    kith_reputation_gossip(r, &p, 0.5, T0);
    assert_int_equal(score(r, 1, T0), -30 * P);
    kith_reputation_gossip(r, &p, 0.25, T0 + 1); /* it has decayed there: here by and by */
    assert_in_range(-score(r, 1, T0 + 1), 29990, 30000);
    assert_true(kith_reputation_banned(r, &p, T0 + 1) == 0);
    kith_reputation_gossip(r, &p, 1, T0 + 2);
    assert_true(kith_reputation_banned(r, &p, T0 + 2) == T0 + 2 + HOUR);
    kith_reputation_gossip(r, &p, 1e300, T0 + 2 * HOUR);
    kith_reputation_check(r);
    assert_true(kith_reputation_banned(r, &p, T0 + 2 * HOUR) == T0 + 4 * HOUR);
    end(r);
}

static void beyond_the_cap_the_least_interesting_go(void **state)
{
    (void)state;
    kith_reputation *r = make(8);
    kith_peer_id bad = peer(1), good = peer(2);
    kith_reputation_facts f;
    note(r, 1, KITH_CONDUCT_CORRUPT, 2, T0); /* banned */
    note(r, 2, KITH_CONDUCT_VERIFIED, 5, T0);
    for (unsigned i = 3; i <= 8; i++)
        note(r, i, KITH_CONDUCT_CONNECTED, 1, T0 + i);
    assert_int_equal(kith_reputation_count(r), 8);
    for (unsigned i = 9; i < 1000; i++) { /* strangers, each new */
        note(r, i, KITH_CONDUCT_CONNECTED, 1, T0 + i);
        assert_int_equal(kith_reputation_count(r), 8);
    }
    assert_true(kith_reputation_banned(r, &bad, T0 + 1000) > 0);
    assert_true(kith_reputation_look(r, &good, T0 + 1000, &f));
    assert_int_equal(f.counts[KITH_CONDUCT_VERIFIED], 5);
    /* a ban stays while others have done worse since, and are not banned yet */
    note(r, 1, KITH_CONDUCT_VERIFIED, 10, T0 + 1000);
    for (unsigned i = 1000; i < 1020; i++) {
        note(r, i, KITH_CONDUCT_PROTOCOL, 2, T0 + i);
        note(r, i, KITH_CONDUCT_UNREACHED, 10, T0 + i);
    }
    assert_true(kith_reputation_banned(r, &bad, T0 + 1020) > 0);
    /* with bans alone the one that ends first goes */
    for (unsigned i = 2000; i < 2020; i++)
        note(r, i, KITH_CONDUCT_CORRUPT, 2, T0 + i);
    assert_int_equal(kith_reputation_count(r), 8);
    assert_true(kith_reputation_banned(r, &bad, T0 + 2020) == 0);
    end(r);
}

static void what_is_kept_comes_back_and_cannot_do_harm(void **state)
{
    (void)state;
    kith_reputation *r = make(0);
    kith_reputation_row rows[3] = {0};
    kith_peer_id p = peer(1);
    note(r, 1, KITH_CONDUCT_CORRUPT, 2, T0);
    note(r, 1, KITH_CONDUCT_VERIFIED, 2, T0);
    note(r, 2, KITH_CONDUCT_CONNECTED, 2, T0);
    assert_true(kith_reputation_take(r, &rows[0]) && kith_reputation_take(r, &rows[1]));
    assert_false(kith_reputation_take(r, &rows[2]));
    end(r);
    r = make(0);
    kith_reputation_put(r, &rows[0], T0 + 60);
    kith_reputation_put(r, &rows[1], T0 + 60);
    assert_false(kith_reputation_take(r, &rows[2])); /* it is kept already */
    assert_true(kith_reputation_banned(r, &p, T0 + 60) == T0 + HOUR);
    assert_int_equal(score(r, 2, T0), 2 * P);
    rows[2] = (kith_reputation_row){
        .peer = peer(3), .at = UINT64_MAX, .banned_until = UINT64_MAX, .bans = UINT32_MAX};
    for (int k = 0; k < KITH_CONDUCTS; k++)
        rows[2].points[k] = k & 1 ? INT32_MAX : INT32_MIN;
    kith_reputation_put(r, &rows[2], T0 + 60);
    kith_reputation_check(r);
    p = peer(3);
    assert_true(kith_reputation_banned(r, &p, T0 + 60) == T0 + 60 + KITH_REPUTATION_WEEK);
    note(r, 3, KITH_CONDUCT_PROTOCOL, 3, T0 + 61 + KITH_REPUTATION_WEEK);
    end(r);
}

static void without_memory_nothing_is_noted_and_nothing_breaks(void **state)
{
    (void)state;
    bool through = false;
    for (size_t at = 1; !through; at++) {
        kith_reputation_config cfg;
        kith_reputation_config_default(&cfg);
        cfg.env = *support_env(&heap);
        heap.fail_at = at;
        heap.once = true;
        kith_reputation *r = kith_reputation_new(&cfg);
        for (unsigned i = 0; r && i < 30; i++)
            note(r, i, KITH_CONDUCT_CORRUPT, 2, T0);
        if (r)
            assert_true(kith_reputation_count(r) >= 29);
        through = heap.calls < at;
        assert_true(!through || (r && kith_reputation_count(r) == 30));
        if (r)
            end(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_score_is_the_sum_of_its_reasons_each_within_its_bounds),
        cmocka_unit_test(points_halve_every_half_life_and_time_does_not_go_back),
        cmocka_unit_test(misconduct_throttles_then_bans_then_bans_longer),
        cmocka_unit_test(a_ban_can_be_lifted_and_some_are_never_banned),
        cmocka_unit_test(gossip_counts_at_once_when_it_is_worse),
        cmocka_unit_test(beyond_the_cap_the_least_interesting_go),
        cmocka_unit_test(what_is_kept_comes_back_and_cannot_do_harm),
        cmocka_unit_test(without_memory_nothing_is_noted_and_nothing_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
