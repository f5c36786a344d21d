/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The score function, part by part, against sums done by hand. gossipsub v1.1, "The Score Function". */
#include "mesh/gossip_score.h"

#include "support.h"

static kith_gossip_topic_params nothing(void)
{
    return (kith_gossip_topic_params){.weight = 1, .mesh_quantum = KITH_SEC(1)};
}

static void near_to(double got, double want)
{
    assert_true(got - want < 1e-9 && want - got < 1e-9);
}

static void p1_is_the_time_in_the_mesh_in_quanta_and_capped(void **state)
{
    (void)state;
    kith_gossip_topic_params p = nothing();
    kith_gossip_stats s = {0};
    p.mesh_weight = 0.5;
    p.mesh_cap = 10;
    p.mesh_quantum = KITH_SEC(2);
    kith_gossip_grafted(&s, KITH_SEC(100));
    near_to(kith_gossip_topic_score(&s, &p), 0);
    kith_gossip_stats_decay(&s, &p, 0.01, KITH_SEC(105));
    near_to(kith_gossip_topic_score(&s, &p), 2 * 0.5); /* 5 s are two whole quanta */
    kith_gossip_stats_decay(&s, &p, 0.01, KITH_SEC(200));
    near_to(kith_gossip_topic_score(&s, &p), 10 * 0.5);
    kith_gossip_pruned(&s, &p);
    near_to(kith_gossip_topic_score(&s, &p), 0);
    kith_gossip_grafted(&s, KITH_SEC(300)); /* it begins again */
    near_to(kith_gossip_topic_score(&s, &p), 0);
}

static void p2_counts_first_deliveries_capped_and_decaying(void **state)
{
    (void)state;
    kith_gossip_topic_params p = nothing();
    kith_gossip_stats s = {0};
    p.first_weight = 3;
    p.first_cap = 4;
    p.first_decay = 0.5;
    p.weight = 2;
    for (int i = 0; i < 3; i++)
        kith_gossip_first(&s, &p);
    near_to(kith_gossip_topic_score(&s, &p), 2 * 3 * 3);
    for (int i = 0; i < 3; i++)
        kith_gossip_first(&s, &p);
    near_to(kith_gossip_topic_score(&s, &p), 2 * 3 * 4);
    kith_gossip_stats_decay(&s, &p, 0.01, 0);
    near_to(kith_gossip_topic_score(&s, &p), 2 * 3 * 2);
    for (int i = 0; i < 8; i++)
        kith_gossip_stats_decay(&s, &p, 0.01, 0);
    assert_true(s.first == 0); /* below to_zero it is zero */
}

static void p3_is_the_square_of_the_deficit_once_active(void **state)
{
    (void)state;
    kith_gossip_topic_params p = nothing();
    kith_gossip_stats s = {0};
    p.rate_weight = -2;
    p.rate_threshold = 5;
    p.rate_cap = 6;
    p.rate_decay = 0.5;
    p.rate_window = KITH_MS(10);
    p.rate_activation = KITH_SEC(10);
    p.first_cap = 100;
    kith_gossip_near(&s, &p, 0); /* not in the mesh: does not count */
    kith_gossip_grafted(&s, KITH_SEC(1));
    near_to(s.rate, 0);
    kith_gossip_first(&s, &p);
    kith_gossip_near(&s, &p, 0);
    kith_gossip_near(&s, &p, KITH_MS(10));
    kith_gossip_near(&s, &p, KITH_MS(10) + 1); /* outside of the window */
    near_to(s.rate, 3);
    kith_gossip_stats_decay(&s, &p, 0.01, KITH_SEC(11)); /* 10 s in the mesh: not more than the activation */
    assert_false(s.active);
    near_to(kith_gossip_topic_score(&s, &p), 0);
    s.rate = 4;
    kith_gossip_stats_decay(&s, &p, 0.01, KITH_SEC(12));
    assert_true(s.active);
    near_to(s.rate, 2);
    near_to(kith_gossip_topic_score(&s, &p), -2 * 3 * 3);
    for (int i = 0; i < 10; i++)
        kith_gossip_near(&s, &p, 0);
    near_to(s.rate, 6); /* the cap */
    near_to(kith_gossip_topic_score(&s, &p), 0);
}

static void p3b_keeps_the_deficit_of_who_was_pruned(void **state)
{
    (void)state;
    kith_gossip_topic_params p = nothing();
    kith_gossip_stats s = {0};
    p.rate_weight = -1;
    p.rate_threshold = 5;
    p.rate_cap = 5;
    p.rate_decay = 0.9;
    p.rate_activation = KITH_SEC(1);
    p.failure_weight = -3;
    p.failure_decay = 0.5;
    kith_gossip_grafted(&s, 0);
    kith_gossip_pruned(&s, &p); /* not active yet: nothing sticks */
    near_to(s.failure, 0);
    kith_gossip_grafted(&s, 0);
    kith_gossip_stats_decay(&s, &p, 0.01, KITH_SEC(2));
    kith_gossip_pruned(&s, &p);
    near_to(s.failure, 25);
    near_to(kith_gossip_topic_score(&s, &p), -3 * 25); /* and P3 has ended */
    kith_gossip_stats_decay(&s, &p, 0.01, KITH_SEC(3));
    near_to(kith_gossip_topic_score(&s, &p), -3 * 12.5);
    kith_gossip_stats retained = {.in_mesh = true, .active = true, .first = 9, .rate = 2};
    kith_gossip_stats_retain(&retained, &p);
    assert_true(retained.first == 0 && !retained.in_mesh);
    near_to(retained.failure, 9);
}

static void p4_is_the_square_of_invalid_messages(void **state)
{
    (void)state;
    kith_gossip_topic_params p = nothing();
    kith_gossip_stats s = {0};
    p.invalid_weight = -10;
    p.invalid_decay = 0.5;
    for (int i = 0; i < 3; i++)
        kith_gossip_invalid(&s);
    near_to(kith_gossip_topic_score(&s, &p), -90);
    kith_gossip_stats_decay(&s, &p, 0.01, 0);
    near_to(kith_gossip_topic_score(&s, &p), -22.5);
}

static void the_whole_is_the_weighted_sum(void **state)
{
    (void)state;
    kith_gossip_score_params p;
    kith_gossip_score_default(&p);
    p.app_weight = 2;
    p.ip_weight = -5;
    p.ip_threshold = 3;
    p.behaviour_weight = -7;
    p.behaviour_threshold = 6;
    near_to(kith_gossip_score(&p, 10, 0, 0, 0), 10);
    near_to(kith_gossip_score(&p, 10, 4, 0, 0), 18);
    near_to(kith_gossip_score(&p, 0, -4, 0, 0), -8);
    /* P6: nothing up to the threshold */
    near_to(kith_gossip_colocation(&p, 3), 0);
    near_to(kith_gossip_colocation(&p, 5), 4);
    near_to(kith_gossip_score(&p, 0, 0, kith_gossip_colocation(&p, 5), 0), -20);
    /* P7: the square of what exceeds the threshold, as go has it */
    near_to(kith_gossip_score(&p, 0, 0, 0, 6), 0);
    near_to(kith_gossip_score(&p, 0, 0, 0, 8), -28);
    /* the cap is on what topics give, not on the rest, and not on what they take */
    p.topic_cap = 5;
    near_to(kith_gossip_score(&p, 10, 1, 0, 0), 7);
    near_to(kith_gossip_score(&p, -10, 0, 0, 0), -10);
}

static void two_invalid_messages_are_a_graylist_by_default(void **state)
{
    (void)state;
    kith_gossip_score_params p;
    kith_gossip_score_default(&p);
    kith_gossip_stats s = {0};
    kith_gossip_invalid(&s);
    double one = kith_gossip_score(&p, kith_gossip_topic_score(&s, &p.topic), 0, 0, 0);
    assert_true(one < p.gossip && one > p.graylist);
    kith_gossip_invalid(&s);
    assert_true(kith_gossip_score(&p, kith_gossip_topic_score(&s, &p.topic), 0, 0, 0) < p.graylist);
    /* the best that can be earned does not make up for one */
    kith_gossip_stats best = {.in_mesh = true, .first = 1000, .mesh_time = KITH_SEC(1000000)};
    best.first = p.topic.first_cap;
    assert_true(kith_gossip_topic_score(&best, &p.topic) + one < 0);
}

static void a_decay_takes_as_long_as_it_was_made_for(void **state)
{
    (void)state;
    const uint32_t spans[] = {1, 2, 10, 100, 3600, 86400};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        double f = kith_gossip_decay_over(spans[i], 0.01), c = 1;
        assert_true(f > 0 && f < 1);
        uint32_t n = 0;
        for (; c > 0; n++)
            c = kith_gossip_counter_decay(c, f, 0.01);
        assert_true(n >= spans[i] && n <= spans[i] + 1);
    }
}

static void wrong_parameters_are_named(void **state)
{
    (void)state;
    kith_gossip_score_params good, p;
    const char *why = NULL;
    kith_gossip_score_default(&good);
    assert_int_equal(kith_gossip_score_check(&good, &why), KITH_OK);
    const double nan = 0.0 / (good.topic_cap * 0.0 + 0.0);
#define WRONG(change)                                                      \
    do {                                                                   \
        p = good;                                                          \
        why = NULL;                                                        \
        change;                                                            \
        assert_int_equal(kith_gossip_score_check(&p, &why), KITH_EFORMAT); \
        assert_non_null(why);                                              \
    } while (0)
    WRONG(p.topic_cap = -1);
    WRONG(p.topic_cap = nan);
    WRONG(p.ip_weight = 1);
    WRONG(p.ip_threshold = 0);
    WRONG(p.behaviour_weight = 0.1);
    WRONG(p.behaviour_decay = 1);
    WRONG(p.behaviour_threshold = -1);
    WRONG(p.decay_every = KITH_MS(999));
    WRONG(p.to_zero = 0);
    WRONG(p.gossip = 1);
    WRONG(p.publish = p.gossip + 1);
    WRONG(p.graylist = p.publish + 1);
    WRONG(p.accept_px = -1);
    WRONG(p.opportunistic = -1);
    WRONG(p.app_weight = nan);
    WRONG(p.topic.weight = -1);
    WRONG(p.topic.mesh_weight = -1);
    WRONG(p.topic.mesh_quantum = 0);
    WRONG(p.topic.first_weight = -1);
    WRONG(p.topic.first_decay = 0);
    WRONG(p.topic.rate_weight = 1);
    WRONG(p.topic.failure_weight = 1);
    WRONG(p.topic.invalid_weight = 1);
    WRONG(p.topic.invalid_decay = 1);
    WRONG((p.topic.rate_weight = -1, p.topic.rate_decay = 0.5, p.topic.rate_threshold = 2,
           p.topic.rate_cap = 1));
    WRONG((p.topic.rate_weight = -1, p.topic.rate_decay = 0.5, p.topic.rate_activation = KITH_MS(1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(p1_is_the_time_in_the_mesh_in_quanta_and_capped),
        cmocka_unit_test(p2_counts_first_deliveries_capped_and_decaying),
        cmocka_unit_test(p3_is_the_square_of_the_deficit_once_active),
        cmocka_unit_test(p3b_keeps_the_deficit_of_who_was_pruned),
        cmocka_unit_test(p4_is_the_square_of_invalid_messages),
        cmocka_unit_test(the_whole_is_the_weighted_sum),
        cmocka_unit_test(two_invalid_messages_are_a_graylist_by_default),
        cmocka_unit_test(a_decay_takes_as_long_as_it_was_made_for),
        cmocka_unit_test(wrong_parameters_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
