/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A gossipsub router among scripted peers. */
#include "gossip_rig.h"

/* ---- what is told ---- */

static void the_first_rpc_tells_all_subscriptions_and_the_extensions(void **state)
{
    (void)state;
    const kith_gossip_version all[] = {KITH_GOSSIP_FLOOD, KITH_GOSSIP_V10, KITH_GOSSIP_V11, KITH_GOSSIP_V12,
                                       KITH_GOSSIP_V13};
    for (size_t v = 0; v < 5; v++) {
        rig r;
        rig_init(&r);
        rig_start(&r);
        assert_int_equal(kith_gossip_subscribe(r.g, r.now, kith_bytes_str("a"), false), KITH_OK);
        assert_int_equal(kith_gossip_subscribe(r.g, r.now, kith_bytes_str("b"), false), KITH_OK);
        assert_int_equal(kith_gossip_unsubscribe(r.g, r.now, kith_bytes_str("a")), KITH_OK);
        rig_up(&r, 0, all[v], true);
        rig_heard h = rig_hear_in(&r, 0, 1 + v);
        assert_string_equal(h.order, all[v] == KITH_GOSSIP_V13 ? "SX" : "S");
        assert_true(h.on == 1 && h.off == 0);
        assert_int_equal(kith_gossip_subscribe(r.g, r.now, kith_bytes_str("c"), false), KITH_OK);
        assert_int_equal(kith_gossip_unsubscribe(r.g, r.now, kith_bytes_str("b")), KITH_OK);
        h = rig_hear(&r, 0);
        assert_string_equal(h.order, "SS"); /* no extensions again */
        assert_true(h.on == 1 && h.off == 1);
        rig_end(&r);
    }
}

static void many_subscriptions_are_told_in_several_rpcs(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    char name[KITH_GOSSIP_TOPIC_MAX + 1];
    for (unsigned i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "%0*u", KITH_GOSSIP_TOPIC_MAX, i);
        assert_int_equal(kith_gossip_subscribe(r.g, r.now, kith_bytes_str(name), false), KITH_OK);
    }
    rig_up(&r, 0, KITH_GOSSIP_V13, true);
    rig_heard h = rig_hear(&r, 0);
    assert_int_equal(h.on, 300);
    assert_int_equal(h.extensions, 1);
    assert_true(h.rpcs > 4 && h.longest <= KITH_GOSSIP_CONTROL_MAX);
    rig_end(&r);

    rig_init(&r); /* short ones: a hundred in each, since rust takes no more */
    rig_start(&r);
    for (unsigned i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "%u", i);
        assert_int_equal(kith_gossip_subscribe(r.g, r.now, kith_bytes_str(name), false), KITH_OK);
    }
    rig_up(&r, 0, KITH_GOSSIP_V13, true);
    h = rig_hear(&r, 0);
    assert_true(h.on == 300 && h.rpcs == 3 && h.extensions == 1);
    rig_end(&r);
}

static void a_new_stream_begins_with_a_new_hello(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 1, KITH_GOSSIP_V13);
    rig_beat(&r, 1);
    assert_true(rig_in_mesh(&r, 0));
    (void)rig_hear(&r, 0);
    uint8_t half[8];
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_str("some text"), NULL, NULL),
                     KITH_OK);
    assert_int_equal(kith_gossip_send(r.g, r.now, r.peers[0].p, kith_span_of(half, 8)), 8);
    kith_gossip_unwritable(r.g, r.peers[0].p);
    kith_gossip_writable(r.g, r.now, r.peers[0].p, KITH_GOSSIP_V13);
    assert_true(rig_in_mesh(&r, 0)); /* again, and told so */
    rig_heard h = rig_hear(&r, 0);
    assert_string_equal(h.order, "SXGM"); /* also the message that was cut, whole */
    rig_end(&r);
}

/* As many as a mesh wants at least; the others at the heartbeat, which chooses. */
static void the_first_peers_are_grafted_at_once(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, RIG_TOPIC, false), KITH_OK);
    for (size_t i = 0; i <= r.cfg.params.d_lo; i++) {
        rig_up(&r, i, KITH_GOSSIP_V12, i % 2 == 0);
        rig_sub(&r, i, RIG_TOPIC, true);
        assert_int_equal(rig_in_mesh(&r, i), i < r.cfg.params.d_lo);
        assert_int_equal(rig_hear(&r, i).grafts, i < r.cfg.params.d_lo);
    }
    rig_end(&r);
}

static void topics_are_checked(void **state)
{
    (void)state;
    rig r;
    uint8_t big[KITH_GOSSIP_TOPIC_MAX + 1] = {'x'};
    rig_init(&r);
    r.cfg.topics_max = 2;
    rig_start(&r);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, (kith_bytes){0}, false), KITH_EFORMAT);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, kith_bytes_of(big, sizeof big), false), KITH_EFORMAT);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, kith_bytes_of(big, sizeof big - 1), false), KITH_OK);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, kith_bytes_of(big, sizeof big - 1), false),
                     KITH_EEXISTS);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, kith_bytes_str("a"), false), KITH_OK);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, kith_bytes_str("b"), false), KITH_ELIMIT);
    assert_int_equal(kith_gossip_unsubscribe(r.g, r.now, kith_bytes_str("b")), KITH_ENOTFOUND);
    assert_int_equal(kith_gossip_unsubscribe(r.g, r.now, kith_bytes_str("a")), KITH_OK);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, kith_bytes_str("b"), false), KITH_OK);
    rig_end(&r);
}

static void a_peers_subscriptions_are_capped(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    r.cfg.topics_per_peer = 5;
    r.cfg.topics_max = 8;
    rig_start(&r);
    rig_up(&r, 0, KITH_GOSSIP_V12, true);
    rig_up(&r, 1, KITH_GOSSIP_V12, true);
    char name[16];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "t%u", i);
        rig_sub(&r, 0, kith_bytes_str(name), true);
    }
    assert_int_equal(kith_gossip_count(r.g).topics, 5);
    assert_int_equal(kith_gossip_count(r.g).refused, 5);
    rig_sub(&r, 0, kith_bytes_str("t0"), false); /* a place is free again */
    rig_sub(&r, 0, kith_bytes_str("t9"), true);
    assert_int_equal(kith_gossip_count(r.g).topics, 5);
    for (unsigned i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "u%u", i);
        rig_sub(&r, 1, kith_bytes_str(name), true);
    }
    assert_int_equal(kith_gossip_count(r.g).topics, 8);
    rig_down(&r, 0);
    rig_down(&r, 1);
    assert_int_equal(kith_gossip_count(r.g).topics, 0);
    rig_end(&r);
}

/* ---- the mesh ---- */

static void a_mesh_is_made_at_once_and_kept_in_bounds(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    for (size_t i = 0; i < 20; i++) {
        rig_up(&r, i, KITH_GOSSIP_V12, true);
        rig_sub(&r, i, RIG_TOPIC, true);
    }
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, RIG_TOPIC, false), KITH_OK);
    assert_int_equal(kith_gossip_peers_of(r.g, RIG_TOPIC, true, NULL, 0), 6);
    unsigned grafts = 0;
    for (size_t i = 0; i < 20; i++)
        grafts += rig_hear(&r, i).grafts;
    assert_int_equal(grafts, 6);
    /* two leave: at 4 it is below d_lo and grows to d again */
    for (size_t i = 0, left = 0; left < 2; i++) {
        if (rig_in_mesh(&r, i)) {
            rig_down(&r, i);
            left++;
        }
    }
    assert_int_equal(kith_gossip_peers_of(r.g, RIG_TOPIC, true, NULL, 0), 4);
    rig_beat(&r, 1);
    assert_int_equal(kith_gossip_peers_of(r.g, RIG_TOPIC, true, NULL, 0), 6);
    /* all others graft us; they are outbound ones, so all come in, and at the heartbeat all but d go */
    for (size_t i = 0; i < 20; i++) {
        if (r.peers[i].p && !rig_in_mesh(&r, i))
            rig_graft(&r, i, RIG_TOPIC);
    }
    assert_int_equal(kith_gossip_peers_of(r.g, RIG_TOPIC, true, NULL, 0), 18);
    rig_beat(&r, 1);
    assert_int_equal(kith_gossip_peers_of(r.g, RIG_TOPIC, true, NULL, 0), 6);
    unsigned prunes = 0;
    for (size_t i = 0; i < 20; i++) {
        rig_heard h = r.peers[i].p ? rig_hear(&r, i) : (rig_heard){0};
        prunes += h.prunes;
        assert_true(h.prunes == 0 || h.backoff_s == 60);
    }
    assert_int_equal(prunes, 12);
    rig_end(&r);
}

static void a_full_mesh_takes_only_peers_that_we_dialled(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, RIG_TOPIC, false), KITH_OK);
    for (size_t i = 0; i < 14; i++) {
        rig_up(&r, i, KITH_GOSSIP_V11, i == 13);
        rig_sub(&r, i, RIG_TOPIC, true);
        (void)rig_hear(&r, i);
        rig_graft(&r, i, RIG_TOPIC);
        assert_int_equal(rig_in_mesh(&r, i), i != 12);
        assert_int_equal(rig_hear(&r, i).prunes, i == 12);
    }
    rig_end(&r);
}

static void when_pruning_the_best_and_some_outbound_ones_stay(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        rig r;
        rig_init(&r);
        r.cfg.params.d_hi = 30;
        rig_start(&r);
        assert_int_equal(kith_gossip_subscribe(r.g, r.now, RIG_TOPIC, false), KITH_OK);
        for (size_t i = 0; i < 31; i++) {
            rig_up(&r, i, KITH_GOSSIP_V11, i >= 28); /* three outbound ones */
            if (i == 30)
                rig_graft(&r, i, RIG_TOPIC);
            rig_graft(&r, i, RIG_TOPIC);
            for (unsigned k = 0; k < round; k++)
                (void)kith_rand_u64(&r.cfg.env);
            assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[i].id, i < 4 ? 10 : 0), KITH_OK);
        }
        assert_int_equal(kith_gossip_peers_of(r.g, RIG_TOPIC, true, NULL, 0), 31);
        rig_beat(&r, 1);
        assert_int_equal(kith_gossip_peers_of(r.g, RIG_TOPIC, true, NULL, 0), 6);
        unsigned outbound = 0, best = 0;
        for (size_t i = 0; i < 31; i++) {
            outbound += rig_in_mesh(&r, i) && i >= 28;
            best += rig_in_mesh(&r, i) && i < 4;
        }
        assert_true(outbound >= 2);
        assert_int_equal(best, 4);
        rig_end(&r);
    }
}

static void a_mesh_gets_outbound_peers_where_it_lacks_them(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, RIG_TOPIC, false), KITH_OK);
    for (size_t i = 0; i < 8; i++) {
        rig_up(&r, i, KITH_GOSSIP_V11, false);
        rig_graft(&r, i, RIG_TOPIC);
    }
    for (size_t i = 8; i < 12; i++) {
        rig_up(&r, i, KITH_GOSSIP_V11, true);
        rig_sub(&r, i, RIG_TOPIC, true);
    }
    rig_beat(&r, 1);
    assert_int_equal(kith_gossip_peers_of(r.g, RIG_TOPIC, true, NULL, 0), 10);
    rig_end(&r);
}

static void a_poor_mesh_is_improved_once_a_minute(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, RIG_TOPIC, false), KITH_OK);
    for (size_t i = 0; i < 12; i++) {
        rig_up(&r, i, KITH_GOSSIP_V11, true);
        if (i < 6)
            rig_graft(&r, i, RIG_TOPIC);
        else
            rig_sub(&r, i, RIG_TOPIC, true);
        assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[i].id, i < 6 ? 0 : 5), KITH_OK);
    }
    rig_beat(&r, 55);
    assert_int_equal(kith_gossip_peers_of(r.g, RIG_TOPIC, true, NULL, 0), 6);
    rig_beat(&r, 6);
    assert_int_equal(kith_gossip_peers_of(r.g, RIG_TOPIC, true, NULL, 0), 8);
    rig_end(&r);
}

static void who_was_pruned_waits_and_who_does_not_wait_pays(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    r.cfg.score.behaviour_threshold = 0;
    rig_start(&r);
    rig_join(&r, 1, KITH_GOSSIP_V11);
    rig_beat(&r, 1);
    assert_true(rig_in_mesh(&r, 0));
    assert_int_equal(kith_gossip_unsubscribe(r.g, r.now, RIG_TOPIC), KITH_OK);
    rig_heard h = rig_hear(&r, 0);
    assert_true(h.off == 1 && h.prunes == 1);
    assert_int_equal(h.backoff_s, 10); /* v1.1: a shorter one for who leaves */
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, RIG_TOPIC, false), KITH_OK);
    rig_beat(&r, 9);
    assert_false(rig_in_mesh(&r, 0)); /* we keep to it ourselves */
    (void)rig_hear(&r, 0);
    rig_wait(&r, KITH_MS(100));
    assert_true(rig_score(&r, 0) == 0);
    rig_graft(&r, 0, RIG_TOPIC); /* 0.7 s too early */
    assert_false(rig_in_mesh(&r, 0));
    h = rig_hear(&r, 0);
    assert_int_equal(h.prunes, 1);
    assert_int_equal(h.backoff_s, 60); /* and it begins again */
    assert_true(rig_score(&r, 0) < 0);
    rig_graft(&r, 0, RIG_TOPIC); /* at once: twice the penalty */
    double twice = -10 * 9;
    assert_true(rig_score(&r, 0) - twice < 1 && twice - rig_score(&r, 0) < 1);
    rig_end(&r);
}

static void an_advertised_backoff_is_kept_and_has_an_end(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 2, KITH_GOSSIP_V11);
    rig_beat(&r, 1);
    assert_true(rig_in_mesh(&r, 0) && rig_in_mesh(&r, 1));
    rig_prune(&r, 0, RIG_TOPIC, (kith_bytes){0}, 30);
    rig_prune(&r, 1, RIG_TOPIC, (kith_bytes){0}, UINT64_MAX);
    assert_false(rig_in_mesh(&r, 0));
    rig_wait(&r, KITH_SEC(31) + KITH_MS(900));
    assert_false(rig_in_mesh(&r, 0)); /* with the slack of two heartbeats */
    rig_wait(&r, KITH_SEC(2));
    assert_true(rig_in_mesh(&r, 0));
    rig_wait(&r, KITH_SEC(3600));
    assert_false(rig_in_mesh(&r, 1));
    rig_wait(&r, KITH_SEC(24 * 3600)); /* what it asked for was some million years */
    assert_true(rig_in_mesh(&r, 1));
    rig_end(&r);
}

static void a_backoff_outlives_the_connection(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 1, KITH_GOSSIP_V11);
    rig_beat(&r, 1);
    rig_prune(&r, 0, RIG_TOPIC, (kith_bytes){0}, 30);
    rig_down(&r, 0);
    assert_int_equal(kith_gossip_count(r.g).retained, 1);
    rig_up(&r, 0, KITH_GOSSIP_V11, true);
    rig_sub(&r, 0, RIG_TOPIC, true);
    rig_wait(&r, KITH_SEC(20));
    assert_false(rig_in_mesh(&r, 0));
    rig_wait(&r, KITH_SEC(15));
    assert_true(rig_in_mesh(&r, 0));
    rig_end(&r);
}

static void grafts_of_unknown_topics_are_not_answered(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 1, KITH_GOSSIP_V11);
    rig_graft(&r, 0, kith_bytes_str("nobody's"));
    rig_graft(&r, 0, (kith_bytes){0});
    assert_int_equal(rig_hear(&r, 0).prunes, 0);
    assert_int_equal(kith_gossip_count(r.g).refused, 2);
    assert_int_equal(kith_gossip_count(r.g).topics, 1);
    rig_end(&r);
}

static void who_has_a_bad_score_is_in_no_mesh(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 2, KITH_GOSSIP_V11);
    rig_beat(&r, 1);
    assert_true(rig_in_mesh(&r, 0));
    assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[0].id, -1), KITH_OK);
    rig_beat(&r, 1);
    assert_false(rig_in_mesh(&r, 0));
    assert_int_equal(rig_hear(&r, 0).prunes, 1);
    rig_wait(&r, KITH_SEC(100));
    assert_false(rig_in_mesh(&r, 0));
    rig_graft(&r, 0, RIG_TOPIC);
    assert_false(rig_in_mesh(&r, 0));
    assert_int_equal(rig_hear(&r, 0).prunes, 1);
    assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[7].id, 1), KITH_ENOTFOUND);
    rig_end(&r);
}

static void direct_peers_get_everything_outside_of_the_mesh(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 3, KITH_GOSSIP_V11);
    assert_int_equal(kith_gossip_set_direct(r.g, &r.peers[0].id, true), KITH_OK);
    rig_beat(&r, 2);
    assert_false(rig_in_mesh(&r, 0));
    assert_true(rig_in_mesh(&r, 1));
    rig_graft(&r, 0, RIG_TOPIC);
    assert_false(rig_in_mesh(&r, 0));
    rig_heard h = rig_hear(&r, 0);
    assert_true(h.prunes == 1 && h.px == 0);
    assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[0].id, -1e6), KITH_OK); /* no score matters */
    rig_say_message(&r, 1, 50, 1, 100);
    assert_int_equal(rig_hear(&r, 0).msgs, 1);
    rig_say_message(&r, 0, 50, 2, 100);
    assert_int_equal(rig_events(&r, KITH_GOSSIP_ACCEPT), 2);
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_str("x"), NULL, NULL), KITH_OK);
    assert_int_equal(rig_hear(&r, 0).msgs, 1);
    rig_down(&r, 0); /* it is known to be direct when it comes back */
    rig_wait(&r, KITH_SEC(100000));
    rig_up(&r, 0, KITH_GOSSIP_V11, false);
    rig_sub(&r, 0, RIG_TOPIC, true);
    rig_beat(&r, 1);
    assert_false(rig_in_mesh(&r, 0));
    rig_end(&r);
}

/* ---- messages ---- */

static void a_message_is_told_once_and_goes_on_in_its_own_bytes(void **state)
{
    (void)state;
    rig r;
    uint8_t raw[512], id[KITH_GOSSIP_MID_MAX];
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 4, KITH_GOSSIP_V11);
    rig_beat(&r, 1);
    for (size_t i = 0; i < 4; i++)
        (void)rig_hear(&r, i);
    kith_bytes m = rig_message(&r, 50, 77, kith_bytes_str("hello"), raw, sizeof raw);
    kith_wr w = {.out = kith_span_of(raw, sizeof raw), .len = m.len};
    kith_pb_put_bytes(&w, 6,
                      (kith_bytes){0}); /* js and others send a key; here it is empty, so nobody can verify */
    rig_pass(&r, 0, kith_wr_bytes(&w));
    assert_int_equal(kith_gossip_count(r.g).invalid, 1);

    rig_pass(&r, 1, m);
    rig_pass(&r, 1, m);
    rig_pass(&r, 2, m);
    kith_gossip_event ev;
    assert_true(kith_gossip_next(r.g, &ev));
    support_assert_str(ev.data, "hello");
    support_assert_str(ev.topic, "news");
    support_assert_bytes(ev.id, rig_id(&r, 50, 77, id));
    assert_true(kith_peer_id_eq(&ev.from, &r.peers[50].id) && kith_peer_id_eq(&ev.source, &r.peers[1].id));
    assert_true(ev.seqno == 77 && !ev.judged);
    assert_false(kith_gossip_next(r.g, &ev));
    assert_int_equal(kith_gossip_count(r.g).duplicates, 2);
    /* peer 3 gets exactly the frame: its length, the tag, the length, and what came */
    uint8_t out[512], want[512];
    size_t n = kith_gossip_send(r.g, r.now, r.peers[3].p, kith_span_of(out, sizeof out));
    size_t head = kith_gossip_msg_head(m.len, want);
    memcpy(want + head, m.p, m.len);
    support_assert_bytes(kith_bytes_of(out, n), kith_bytes_of(want, head + m.len));
    assert_int_equal(rig_hear(&r, 1).msgs, 0); /* not to who brought it */
    rig_end(&r);
}

static void duplicates_allocate_nothing(void **state)
{
    (void)state;
    rig r;
    uint8_t raw[512], rpc[600];
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 12, KITH_GOSSIP_V12);
    rig_beat(&r, 1);
    kith_bytes m = rig_message(&r, 50, 1, kith_bytes_str("x"), raw, sizeof raw);
    rig_pass(&r, 0, m);
    kith_wr w = kith_wr_of(kith_span_of(rpc, sizeof rpc));
    kith_pb_put_bytes(&w, 2, m);
    size_t before = r.heap.calls;
    for (size_t i = 0; i < 12; i++) {
        kith_err e;
        assert_true(kith_gossip_take(r.g, r.now, r.peers[i].p, &r.peers[i].intake, kith_wr_bytes(&w), &e));
    }
    assert_int_equal(r.heap.calls, before);
    assert_int_equal(kith_gossip_count(r.g).duplicates, 12);
    rig_end(&r);
}

static void what_is_not_signed_as_it_must_be_counts_against_its_bearer(void **state)
{
    (void)state;
    for (int how = 0; how < 6; how++) {
        rig r;
        uint8_t raw[512];
        rig_init(&r);
        rig_start(&r);
        rig_join(&r, 2, KITH_GOSSIP_V11);
        kith_bytes m = rig_message(&r, 50, 1, kith_bytes_str("data"), raw, sizeof raw);
        kith_wr w = kith_wr_of(kith_span_of(raw, sizeof raw));
        w.len = m.len;
        kith_gossip_msg p;
        assert_int_equal(kith_gossip_msg_parse(m, &p), KITH_OK);
        size_t seqno = (size_t)(p.seqno.p - raw), data = (size_t)(p.data.p - raw),
               sig = (size_t)(p.sig.p - raw);
        switch (how) {
        case 0:
            raw[data] ^= 1;
            break;
        case 1:
            raw[seqno + 7] ^= 1; /* a forged number */
            break;
        case 2:
            raw[sig] ^= 1;
            break;
        case 3: /* a number of another length: the last one counts */
            kith_pb_put_bytes(&w, 3, kith_bytes_str("1234567"));
            break;
        case 4: /* no signature at all */
            w.len = 0;
            kith_pb_put_bytes(&w, 1, kith_peer_id_bytes(&r.peers[50].id));
            kith_pb_put_bytes(&w, 3, kith_bytes_str("12345678"));
            kith_pb_put_bytes(&w, 4, RIG_TOPIC);
            break;
        case 5: /* ours, and we never said it */
            w.len = 0;
            assert_int_equal(kith_gossip_msg_put(&w, r.signer, 1, kith_bytes_str("x"), RIG_TOPIC), KITH_OK);
            break;
        }
        rig_pass(&r, 0, kith_wr_bytes(&w));
        assert_int_equal(kith_gossip_count(r.g).invalid, 1);
        assert_int_equal(rig_events(&r, KITH_GOSSIP_ACCEPT), 0);
        assert_true(rig_score(&r, 0) == r.cfg.score.topic.invalid_weight);
        assert_true(rig_score(&r, 1) == 0);
        /* and it stands in nobody's way: the true one with this id still comes */
        rig_say_message(&r, 1, 50, 1, 4);
        assert_int_equal(rig_events(&r, KITH_GOSSIP_ACCEPT), 1);
        rig_end(&r);
    }
}

static void who_sends_two_invalid_messages_is_not_listened_to(void **state)
{
    (void)state;
    rig r;
    uint8_t raw[512];
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 2, KITH_GOSSIP_V11);
    for (int i = 0; i < 2; i++) {
        rig_message(&r, 50, 1, kith_bytes_str("data"), raw, sizeof raw);
        raw[50] ^= 1;
        kith_gossip_msg p;
        kith_bytes m = rig_message(&r, 50, 1, kith_bytes_str("data"), raw, sizeof raw);
        assert_int_equal(kith_gossip_msg_parse(m, &p), KITH_OK);
        raw[p.sig.p - raw] ^= 1;
        rig_pass(&r, 0, m);
    }
    rig_say_message(&r, 0, 50, 2, 10);
    assert_int_equal(rig_events(&r, KITH_GOSSIP_ACCEPT), 0);
    assert_int_equal(kith_gossip_count(r.g).graylisted, 1);
    /* going away and coming back does not help; only time does */
    rig_down(&r, 0);
    rig_up(&r, 0, KITH_GOSSIP_V11, true);
    rig_say_message(&r, 0, 50, 2, 10);
    assert_int_equal(kith_gossip_count(r.g).graylisted, 2);
    rig_wait(&r, KITH_SEC(1800));
    rig_say_message(&r, 0, 50, 2, 10);
    assert_int_equal(rig_events(&r, KITH_GOSSIP_ACCEPT), 1);
    rig_end(&r);
}

static void messages_of_topics_that_we_are_not_in_cost_nothing(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    rig_up(&r, 0, KITH_GOSSIP_V11, true);
    rig_say_message(&r, 0, 50, 1, 10);
    assert_int_equal(kith_gossip_count(r.g).unsubscribed, 1);
    assert_int_equal(kith_gossip_count(r.g).seen, 0);
    rig_end(&r);
}

static void a_verdict_may_come_late_and_has_three_values(void **state)
{
    (void)state;
    const kith_gossip_verdict all[] = {KITH_GOSSIP_ACCEPT, KITH_GOSSIP_REJECT, KITH_GOSSIP_IGNORE};
    for (size_t v = 0; v < 3; v++) {
        rig r;
        uint8_t id[KITH_GOSSIP_MID_MAX];
        rig_init(&r);
        rig_start(&r);
        assert_int_equal(kith_gossip_subscribe(r.g, r.now, RIG_TOPIC, true), KITH_OK);
        for (size_t i = 0; i < 4; i++) {
            rig_up(&r, i, KITH_GOSSIP_V11, true);
            rig_sub(&r, i, RIG_TOPIC, true);
        }
        rig_beat(&r, 1);
        for (size_t i = 0; i < 4; i++)
            (void)rig_hear(&r, i);
        rig_say_message(&r, 0, 50, 1, 10);
        kith_gossip_event ev;
        assert_true(kith_gossip_next(r.g, &ev) && ev.judged);
        rig_say_message(&r, 1, 50, 1, 10); /* a duplicate while it waits */
        rig_wait(&r, KITH_SEC(300));       /* longer than ids are remembered otherwise */
        assert_int_equal(rig_hear(&r, 2).msgs, 0);
        assert_int_equal(kith_gossip_count(r.g).pending, 1);
        kith_bytes mid = rig_id(&r, 50, 1, id);
        assert_int_equal(kith_gossip_judged(r.g, r.now, mid, all[v]), KITH_OK);
        assert_int_equal(kith_gossip_judged(r.g, r.now, mid, all[v]), KITH_ENOTFOUND);
        assert_int_equal(rig_hear(&r, 2).msgs, all[v] == KITH_GOSSIP_ACCEPT);
        assert_int_equal(rig_hear(&r, 1).msgs, 0); /* it has it */
        rig_say_message(&r, 3, 50, 1, 10);         /* a duplicate afterwards */
        double invalid = r.cfg.score.topic.invalid_weight;
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(rig_score(&r, i) < invalid / 2, all[v] == KITH_GOSSIP_REJECT && i != 2);
        assert_int_equal(rig_score(&r, 0) > 0.4, all[v] == KITH_GOSSIP_ACCEPT);
        rig_end(&r);
    }
}

static void at_the_cap_of_verdicts_more_is_dropped_and_may_come_again(void **state)
{
    (void)state;
    rig r;
    uint8_t id[KITH_GOSSIP_MID_MAX];
    rig_init(&r);
    r.cfg.pending_max = 3;
    rig_start(&r);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, RIG_TOPIC, true), KITH_OK);
    rig_up(&r, 0, KITH_GOSSIP_V11, true);
    for (uint64_t i = 1; i <= 4; i++)
        rig_say_message(&r, 0, 50, i, 10);
    kith_gossip_event ev;
    for (int i = 0; i < 3; i++)
        assert_true(kith_gossip_next(r.g, &ev));
    assert_false(kith_gossip_next(r.g, &ev));
    assert_int_equal(kith_gossip_count(r.g).throttled, 1);
    assert_int_equal(kith_gossip_judged(r.g, r.now, rig_id(&r, 50, 2, id), KITH_GOSSIP_IGNORE), KITH_OK);
    rig_say_message(&r, 0, 50, 4, 10);
    assert_int_equal(kith_gossip_count(r.g).pending, 3);
    rig_end(&r);
}

static void nothing_is_taken_that_the_application_has_no_room_for(void **state)
{
    (void)state;
    rig r;
    uint8_t raw[512], rpc[4096];
    rig_init(&r);
    r.cfg.events_max = 4;
    r.cfg.verify_batch = 3;
    rig_start(&r);
    rig_join(&r, 1, KITH_GOSSIP_V11);
    kith_wr w = kith_wr_of(kith_span_of(rpc, sizeof rpc));
    for (uint64_t i = 1; i <= 6; i++)
        kith_pb_put_bytes(&w, 2, rig_message(&r, 50, i, kith_bytes_str("x"), raw, sizeof raw));
    kith_gossip_intake in = {0};
    kith_err e;
    kith_gossip_event ev;
    assert_false(kith_gossip_take(r.g, r.now, r.peers[0].p, &in, kith_wr_bytes(&w), &e));
    assert_int_equal(kith_gossip_count(r.g).events, 3); /* a turn's signatures */
    assert_false(kith_gossip_take(r.g, r.now, r.peers[0].p, &in, kith_wr_bytes(&w), &e));
    kith_gossip_turn(r.g);
    assert_false(kith_gossip_take(r.g, r.now, r.peers[0].p, &in, kith_wr_bytes(&w), &e));
    assert_int_equal(kith_gossip_count(r.g).events, 4);
    assert_false(kith_gossip_room(r.g));
    kith_gossip_turn(r.g);
    assert_false(kith_gossip_take(r.g, r.now, r.peers[0].p, &in, kith_wr_bytes(&w), &e));
    uint64_t want = 1;
    while (kith_gossip_next(r.g, &ev))
        assert_int_equal(ev.seqno, want++);
    assert_true(kith_gossip_take(r.g, r.now, r.peers[0].p, &in, kith_wr_bytes(&w), &e));
    while (kith_gossip_next(r.g, &ev))
        assert_int_equal(ev.seqno, want++);
    assert_int_equal(want, 7);
    rig_end(&r);
}

static void replays_after_the_memory_of_ids_has_ended_are_ignored(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 2, KITH_GOSSIP_V11);
    for (uint64_t i = 10; i < 14; i++)
        rig_say_message(&r, 0, 50, i, 10);
    assert_int_equal(rig_events(&r, KITH_GOSSIP_ACCEPT), 4);
    rig_wait(&r, KITH_SEC(130));
    assert_int_equal(kith_gossip_count(r.g).seen, 0);
    for (uint64_t i = 9; i < 14; i++)
        rig_say_message(&r, 1, 50, i, 10);
    assert_int_equal(rig_events(&r, KITH_GOSSIP_ACCEPT), 0);
    assert_int_equal(kith_gossip_count(r.g).replayed, 5);
    assert_true(rig_score(&r, 1) >= 0);
    rig_say_message(&r, 1, 50, 14, 10);
    assert_int_equal(rig_events(&r, KITH_GOSSIP_ACCEPT), 1);
    rig_end(&r);
}

static void without_a_signer_messages_have_no_author(void **state)
{
    (void)state;
    rig r;
    uint8_t buf[128];
    rig_init(&r);
    r.cfg.signer = NULL;
    rig_start(&r);
    rig_join(&r, 2, KITH_GOSSIP_V11);
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    assert_int_equal(kith_gossip_msg_put(&w, NULL, 0, kith_bytes_str("data"), RIG_TOPIC), KITH_OK);
    rig_pass(&r, 0, kith_wr_bytes(&w));
    rig_pass(&r, 1, kith_wr_bytes(&w));
    kith_gossip_event ev;
    assert_true(kith_gossip_next(r.g, &ev));
    assert_true(ev.from.len == 0 && ev.id.len == 32);
    assert_false(kith_gossip_next(r.g, &ev));
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_str("data"), NULL, NULL),
                     KITH_EEXISTS);
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_str("more"), NULL, NULL), KITH_OK);
    rig_say_message(&r, 0, 50, 1, 10); /* signed */
    assert_int_equal(kith_gossip_count(r.g).invalid, 1);
    rig_end(&r);
}

/* ---- publishing ---- */

static void what_we_publish_goes_to_everybody_in_the_topic(void **state)
{
    (void)state;
    rig r;
    uint8_t id[KITH_GOSSIP_MID_MAX], want[KITH_GOSSIP_MID_MAX];
    size_t len;
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 20, KITH_GOSSIP_V11);
    rig_up(&r, 20, KITH_GOSSIP_V11, true); /* not in it */
    assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[3].id, -1001), KITH_OK);
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_str("x"), id, &len), KITH_OK);
    memcpy(want, r.cfg.self.b, r.cfg.self.len);
    kith_store_be64(want + r.cfg.self.len, 5001);
    support_assert_bytes(kith_bytes_of(id, len), kith_bytes_of(want, (size_t)r.cfg.self.len + 8));
    for (size_t i = 0; i < 21; i++)
        assert_int_equal(rig_hear(&r, i).msgs, i != 3 && i != 20);
    rig_end(&r);
}

static void without_flooding_it_goes_to_the_mesh_or_to_a_fanout(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    r.cfg.flood_publish = false;
    rig_start(&r);
    for (size_t i = 0; i < 20; i++) {
        rig_up(&r, i, KITH_GOSSIP_V11, true);
        rig_sub(&r, i, RIG_TOPIC, true);
        (void)rig_hear(&r, i);
    }
    unsigned first = 0, msgs = 0;
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_str("x"), NULL, NULL), KITH_OK);
    for (size_t i = 0; i < 20; i++)
        first |= rig_hear(&r, i).msgs << i;
    for (size_t i = 0; i < 20; i++)
        msgs += first >> i & 1;
    assert_int_equal(msgs, 6);
    rig_wait(&r, KITH_SEC(30));
    unsigned again = 0;
    for (size_t i = 0; i < 20; i++)
        (void)rig_hear(&r, i);
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_str("y"), NULL, NULL), KITH_OK);
    for (size_t i = 0; i < 20; i++)
        again |= rig_hear(&r, i).msgs << i;
    assert_int_equal(again, first); /* the same ones as long as we publish */
    /* joining turns them into the mesh */
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, RIG_TOPIC, false), KITH_OK);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(rig_in_mesh(&r, i), first >> i & 1);
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_str("z"), NULL, NULL), KITH_OK);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(rig_hear(&r, i).msgs, first >> i & 1);
    rig_end(&r);
}

static void a_fanout_ends_when_nothing_was_published_for_a_minute(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_str("x"), NULL, NULL), KITH_OK);
    assert_int_equal(kith_gossip_count(r.g).topics, 1);
    /* who comes a moment later is told of it */
    rig_up(&r, 0, KITH_GOSSIP_V11, true);
    rig_up(&r, 1, KITH_GOSSIP_V11, true);
    rig_wait(&r, KITH_SEC(80));
    assert_int_equal(kith_gossip_count(r.g).topics, 0);
    rig_end(&r);
}

static void messages_have_a_size(void **state)
{
    (void)state;
    rig r;
    uint8_t *data = calloc(1, KITH_GOSSIP_RPC_MAX);
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 1, KITH_GOSSIP_V11);
    size_t most = KITH_GOSSIP_RPC_MAX - KITH_GOSSIP_MSG_EXTRA - RIG_TOPIC.len;
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_of(data, most + 1), NULL, NULL),
                     KITH_ELIMIT);
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_of(data, most), NULL, NULL),
                     KITH_OK);
    rig_heard h = rig_hear(&r, 0);
    assert_int_equal(h.msgs, 1);
    assert_true(h.longest <= KITH_GOSSIP_RPC_MAX && h.longest > most);
    assert_int_equal(kith_gossip_publish(r.g, r.now, (kith_bytes){0}, kith_bytes_of(data, 1), NULL, NULL),
                     KITH_EFORMAT);
    free(data);
    rig_end(&r);
}

static void a_peer_with_a_smaller_limit_gets_nothing_longer(void **state)
{
    (void)state;
    rig r;
    uint8_t *data = calloc(1, 70000);
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 2, KITH_GOSSIP_V11);
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_of(data, 70000), NULL, NULL),
                     KITH_OK);
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_of(data, 60000), NULL, NULL),
                     KITH_OK);
    kith_gossip_unwritable(r.g, r.peers[0].p);
    kith_gossip_set_limit(r.g, r.peers[0].p, 65536);
    kith_gossip_writable(r.g, r.now, r.peers[0].p, KITH_GOSSIP_V11);
    assert_int_equal(rig_hear(&r, 0).msgs, 1); /* what waited already is gone too */
    assert_int_equal(rig_hear(&r, 1).msgs, 2);
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_of(data, 70000), NULL, NULL),
                     KITH_OK);
    assert_int_equal(rig_hear(&r, 0).msgs, 0);
    assert_int_equal(rig_hear(&r, 1).msgs, 1);
    free(data);
    rig_end(&r);
}

static void floodsub_peers_get_messages_and_no_control(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    r.cfg.flood_publish = false;
    rig_start(&r);
    rig_join(&r, 3, KITH_GOSSIP_FLOOD);
    rig_beat(&r, 5);
    assert_int_equal(kith_gossip_peers_of(r.g, RIG_TOPIC, true, NULL, 0), 0);
    rig_say_message(&r, 0, 50, 1, 5000);
    assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_str("x"), NULL, NULL), KITH_OK);
    rig_beat(&r, 3);
    rig_graft(&r, 1, RIG_TOPIC);
    assert_string_equal(rig_hear(&r, 1).order, "MM");
    assert_string_equal(rig_hear(&r, 0).order, "M"); /* the other one it brought itself */
    rig_end(&r);
}

/* ---- gossip ---- */

static void what_is_offered_and_not_known_is_asked_for(void **state)
{
    (void)state;
    rig r;
    uint8_t a[KITH_GOSSIP_MID_MAX], b[KITH_GOSSIP_MID_MAX];
    rig_init(&r);
    r.cfg.score.behaviour_threshold = 0;
    rig_start(&r);
    rig_join(&r, 2, KITH_GOSSIP_V11);
    rig_say_message(&r, 1, 50, 1, 10);
    kith_bytes ids[] = {rig_id(&r, 50, 1, a), rig_id(&r, 50, 2, b)};
    rig_ids(&r, 0, KITH_GOSSIP_IHAVE, ids, 2);
    rig_heard h = rig_hear(&r, 0);
    assert_int_equal(h.iwant, 1);
    support_assert_bytes(kith_bytes_of(h.last_id, h.last_id_len), ids[1]);
    rig_say_message(&r, 0, 50, 2, 10);
    rig_wait(&r, KITH_SEC(5));
    assert_int_equal(kith_gossip_count(r.g).broken, 0);
    assert_true(rig_score(&r, 0) >= 0);
    rig_end(&r);
}

static void offers_that_are_not_kept_are_broken_promises(void **state)
{
    (void)state;
    rig r;
    uint8_t a[KITH_GOSSIP_MID_MAX];
    rig_init(&r);
    r.cfg.score.behaviour_threshold = 0;
    rig_start(&r);
    rig_join(&r, 1, KITH_GOSSIP_V11);
    rig_message(&r, 50, 1, kith_bytes_str(""), (uint8_t[512]){0}, 512);
    kith_bytes id = rig_id(&r, 50, 1, a);
    rig_ids(&r, 0, KITH_GOSSIP_IHAVE, &id, 1);
    rig_wait(&r, KITH_SEC(2));
    assert_int_equal(kith_gossip_count(r.g).broken, 0);
    rig_wait(&r, KITH_SEC(3));
    assert_int_equal(kith_gossip_count(r.g).broken, 1);
    assert_true(rig_score(&r, 0) < -9);
    rig_end(&r);
}

static void who_is_below_the_gossip_threshold_is_neither_asked_nor_answered(void **state)
{
    (void)state;
    rig r;
    uint8_t a[KITH_GOSSIP_MID_MAX];
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 2, KITH_GOSSIP_V11);
    rig_say_message(&r, 1, 50, 1, 10);
    assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[0].id, -501), KITH_OK);
    rig_beat(&r, 1);
    (void)rig_hear(&r, 0);
    kith_bytes id = rig_id(&r, 50, 1, a), other = kith_bytes_str("unknown");
    rig_ids(&r, 0, KITH_GOSSIP_IWANT, &id, 1);
    rig_ids(&r, 0, KITH_GOSSIP_IHAVE, &other, 1);
    rig_beat(&r, 1);
    rig_heard h = rig_hear(&r, 0);
    assert_int_equal(h.msgs + h.iwant + h.ihave, 0);
    assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[0].id, -499), KITH_OK);
    rig_ids(&r, 0, KITH_GOSSIP_IWANT, &id, 1);
    rig_ids(&r, 0, KITH_GOSSIP_IHAVE, &other, 1);
    h = rig_hear(&r, 0);
    assert_true(h.msgs == 1 && h.iwant == 1);
    rig_end(&r);
}

static void peers_outside_of_the_mesh_are_told_of_what_is_new(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 30, KITH_GOSSIP_V11);
    rig_beat(&r, 1);
    rig_say_message(&r, 0, 50, 1, 10);
    for (size_t i = 0; i < 30; i++)
        (void)rig_hear(&r, i);
    unsigned told = 0, times = 0;
    for (int beat = 0; beat < 6; beat++) {
        rig_wait(&r, KITH_SEC(1));
        for (size_t i = 0; i < 30; i++) {
            rig_heard h = rig_hear(&r, i);
            assert_true(h.ihave == 0 || !rig_in_mesh(&r, i));
            told += h.ihave;
            times |= (h.ihave > 0 ? 1u : 0u) << beat;
        }
    }
    assert_int_equal(told, 3 * 6); /* three heartbeats, to d_lazy peers, which is more than a quarter of 24 */
    assert_int_equal(times, 7);
    rig_end(&r);
}

static void a_message_that_did_not_fit_is_offered_later(void **state)
{
    (void)state;
    rig r;
    uint8_t id[KITH_GOSSIP_MID_MAX];
    rig_init(&r);
    r.cfg.queue_max = 4;
    rig_start(&r);
    rig_join(&r, 2, KITH_GOSSIP_V11);
    rig_beat(&r, 1);
    assert_true(rig_in_mesh(&r, 1));
    (void)rig_hear(&r, 1);
    for (uint64_t i = 1; i <= 6; i++)
        rig_say_message(&r, 0, 50, i, 10);
    assert_int_equal(kith_gossip_count(r.g).dropped, 2);
    assert_int_equal(rig_hear(&r, 1).msgs, 4);
    rig_wait(&r, KITH_SEC(1));
    rig_heard h = rig_hear(&r, 1);
    assert_int_equal(h.ihave, 6);
    kith_bytes want = rig_id(&r, 50, 6, id);
    rig_ids(&r, 1, KITH_GOSSIP_IWANT, &want, 1);
    assert_int_equal(rig_hear(&r, 1).msgs, 1);
    rig_wait(&r, KITH_SEC(1));
    assert_int_equal(rig_hear(&r, 1).ihave, 0); /* once */
    rig_end(&r);
}

static void control_goes_before_messages(void **state)
{
    (void)state;
    rig r;
    uint8_t id[KITH_GOSSIP_MID_MAX];
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 2, KITH_GOSSIP_V12);
    rig_beat(&r, 1);
    (void)rig_hear(&r, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(kith_gossip_publish(r.g, r.now, RIG_TOPIC, kith_bytes_str("x"), NULL, NULL),
                         KITH_OK);
    rig_say_message(&r, 1, 50, 1, 3000); /* IDONTWANT, and the message */
    kith_bytes other = rig_id(&r, 50, 9, id);
    rig_ids(&r, 0, KITH_GOSSIP_IHAVE, &other, 1);
    assert_int_equal(kith_gossip_unsubscribe(r.g, r.now, RIG_TOPIC), KITH_OK);
    assert_string_equal(rig_hear(&r, 0).order, "SPDWMMMM");
    rig_end(&r);
}

static void ids_are_told_in_rpcs_that_everybody_takes(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    r.cfg.score.behaviour_threshold = 1e6;
    rig_start(&r);
    rig_join(&r, 1, KITH_GOSSIP_V11);
    static uint8_t bytes[3000][KITH_GOSSIP_MID_MAX];
    static kith_bytes ids[3000];
    rig_message(&r, 50, 1, kith_bytes_str(""), (uint8_t[512]){0}, 512);
    for (size_t i = 0; i < 3000; i++)
        ids[i] = rig_id(&r, 50, i, bytes[i]);
    rig_ids(&r, 0, KITH_GOSSIP_IHAVE, ids, 3000);
    rig_heard h = rig_hear(&r, 0);
    assert_true(h.iwant > 2000 && h.rpcs > 4); /* as many as control_max has room for */
    assert_true(h.longest <= KITH_GOSSIP_CONTROL_MAX);
    rig_end(&r);
}

/* ---- IDONTWANT ---- */

static void a_large_message_is_announced_to_who_understands_it(void **state)
{
    (void)state;
    const kith_gossip_version all[] = {KITH_GOSSIP_V10, KITH_GOSSIP_V11, KITH_GOSSIP_V12, KITH_GOSSIP_V13};
    for (size_t v = 0; v < 4; v++) {
        rig r;
        rig_init(&r);
        rig_start(&r);
        rig_join(&r, 3, all[v]);
        rig_beat(&r, 1);
        for (size_t i = 0; i < 3; i++)
            (void)rig_hear(&r, i);
        rig_say_message(&r, 0, 50, 1, 1023);
        rig_say_message(&r, 0, 50, 2, 1024);
        assert_int_equal(rig_hear(&r, 1).idontwant, all[v] >= KITH_GOSSIP_V12);
        assert_int_equal(rig_hear(&r, 0).idontwant, 0);
        rig_end(&r);
    }
}

static void what_a_peer_does_not_want_is_not_sent_for_a_while(void **state)
{
    (void)state;
    rig r;
    uint8_t a[KITH_GOSSIP_MID_MAX];
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 3, KITH_GOSSIP_V12);
    rig_beat(&r, 1);
    (void)rig_hear(&r, 1);
    rig_message(&r, 50, 1, kith_bytes_str(""), (uint8_t[512]){0}, 512);
    kith_bytes id = rig_id(&r, 50, 1, a);
    rig_ids(&r, 1, KITH_GOSSIP_IDONTWANT, &id, 1);
    rig_say_message(&r, 0, 50, 1, 10);
    assert_int_equal(rig_hear(&r, 1).msgs, 0);
    rig_ids(&r, 1, KITH_GOSSIP_IWANT, &id, 1);
    assert_int_equal(rig_hear(&r, 1).msgs, 0);
    rig_beat(&r, 3); /* its time is over */
    rig_ids(&r, 1, KITH_GOSSIP_IWANT, &id, 1);
    assert_int_equal(rig_hear(&r, 1).msgs, 1);
    /* what waits already is taken back */
    rig_say_message(&r, 0, 50, 2, 10);
    id = rig_id(&r, 50, 2, a);
    rig_ids(&r, 1, KITH_GOSSIP_IDONTWANT, &id, 1);
    assert_int_equal(rig_hear(&r, 1).msgs, 0);
    assert_int_equal(kith_gossip_count(r.g).unwanted, 2);
    rig_end(&r);
}

/* ---- extensions ---- */

static void extensions_are_told_once(void **state)
{
    (void)state;
    rig r;
    uint8_t buf[64];
    bool tested;
    rig_init(&r);
    r.cfg.test_extension = true;
    r.cfg.score.behaviour_threshold = 0;
    rig_start(&r);
    rig_up(&r, 0, KITH_GOSSIP_V13, true);
    assert_string_equal(rig_hear(&r, 0).order, "X");
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_gossip_put_extensions(&w, true);
    rig_control(&r, 0, kith_wr_bytes(&w));
    assert_true(kith_gossip_peer_extended(r.peers[0].p, &tested) && !tested);
    assert_string_equal(rig_hear(&r, 0).order, "T"); /* both have it: ours is told */
    kith_wr t = kith_wr_of(kith_span_of(buf + 32, 32));
    kith_gossip_put_test(&t);
    assert_int_equal(rig_say(&r, 0, kith_wr_bytes(&t)), KITH_OK);
    assert_true(kith_gossip_peer_extended(r.peers[0].p, &tested) && tested);
    assert_true(rig_score(&r, 0) == 0);
    rig_control(&r, 0, kith_wr_bytes(&w));
    assert_true(rig_score(&r, 0) <= -1000);
    rig_end(&r);
}

/* ---- peer exchange ---- */

static size_t record_of(uint32_t n, uint8_t *out, size_t room, kith_peer_id *id)
{
    kith_signer *s = rig_signer(n, id);
    kith_maddr addr;
    const char *why;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/10.0.0.1/tcp/4001"), &addr, &why), KITH_OK);
    kith_wr w = kith_wr_of(kith_span_of(out, room));
    assert_int_equal(kith_peer_record_seal(s, 1, &addr, 1, &w), KITH_OK);
    kith_signer_free(s);
    return w.len;
}

static void who_is_pruned_for_want_of_room_is_told_of_others(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    r.cfg.px = true;
    rig_start(&r);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, RIG_TOPIC, false), KITH_OK);
    for (size_t i = 0; i < 30; i++) {
        rig_up(&r, i, i == 29 ? KITH_GOSSIP_V10 : KITH_GOSSIP_V11, false);
        rig_sub(&r, i, RIG_TOPIC, true);
        (void)rig_hear(&r, i);
        uint8_t record[512];
        kith_peer_id id;
        if (i < 20)
            kith_gossip_set_record(r.g, r.peers[i].p,
                                   kith_bytes_of(record, record_of((uint32_t)i, record, sizeof record, &id)));
        if (i < 12)
            rig_graft(&r, i, RIG_TOPIC);
    }
    rig_graft(&r, 25, RIG_TOPIC);
    rig_heard h = rig_hear(&r, 25);
    assert_int_equal(h.prunes, 1);
    assert_int_equal(h.px, 16); /* px_peers, with a record each */
    assert_true(h.longest <= KITH_GOSSIP_CONTROL_MAX);
    rig_graft(&r, 29, RIG_TOPIC); /* v1.0 knows no such thing */
    h = rig_hear(&r, 29);
    assert_true(h.prunes == 1 && h.px == 0 && h.backoff_s == 0);
    assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[26].id, -1), KITH_OK);
    rig_graft(&r, 26, RIG_TOPIC); /* and nobody is told to whom we do not trust */
    h = rig_hear(&r, 26);
    assert_true(h.prunes == 1 && h.px == 0);
    rig_end(&r);
}

static void peers_are_taken_only_of_who_is_trusted_and_with_their_signature(void **state)
{
    (void)state;
    rig r;
    uint8_t px[8192], record[512];
    kith_peer_id id, other;
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 3, KITH_GOSSIP_V11);
    kith_wr w = kith_wr_of(kith_span_of(px, sizeof px));
    size_t n = record_of(70, record, sizeof record, &id);
    kith_gossip_put_peer(&w, &id, kith_bytes_of(record, n));
    (void)record_of(71, record + 256, 256, &other);
    kith_gossip_put_peer(&w, &other, (kith_bytes){0});                  /* without a record */
    kith_gossip_put_peer(&w, &other, kith_bytes_of(record, n));         /* with another's */
    kith_gossip_put_peer(&w, &r.peers[1].id, kith_bytes_of(record, n)); /* who is here already */
    record[n - 1] ^= 1;
    kith_gossip_put_peer(&w, &id, kith_bytes_of(record, n)); /* not signed */
    kith_peer_id got, from;
    kith_bytes envelope;
    assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[1].id, 10), KITH_OK);
    rig_prune(&r, 1, RIG_TOPIC, (kith_bytes){0}, 10);
    rig_prune(&r, 1, RIG_TOPIC, kith_wr_bytes(&w), 10);
    assert_false(kith_gossip_px_next(r.g, &got, &from, &envelope)); /* it is in no mesh of ours */
    rig_beat(&r, 1);
    rig_graft(&r, 2, RIG_TOPIC);
    assert_true(rig_in_mesh(&r, 0) && rig_in_mesh(&r, 2));
    rig_prune(&r, 0, RIG_TOPIC, kith_wr_bytes(&w), 10);
    assert_false(kith_gossip_px_next(r.g, &got, &from, &envelope)); /* its score is not good enough */
    assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[2].id, 10), KITH_OK);
    rig_prune(&r, 2, RIG_TOPIC, kith_wr_bytes(&w), 10);
    assert_true(kith_gossip_px_next(r.g, &got, &from, &envelope));
    assert_true(kith_peer_id_eq(&got, &id) && kith_peer_id_eq(&from, &r.peers[2].id));
    record[n - 1] ^= 1;
    support_assert_bytes(envelope, kith_bytes_of(record, n));
    assert_false(kith_gossip_px_next(r.g, &got, &from, &envelope));
    rig_end(&r);
}

/* ---- scores ---- */

/* Sixteen of one PRUNE, and thirty-two that wait to be dialled. */
static void so_many_exchanged_peers_are_taken(void **state)
{
    (void)state;
    rig r;
    static uint8_t px[4][16384];
    uint8_t record[512];
    kith_peer_id id, from;
    kith_bytes envelope;
    unsigned waiting = 0;
    rig_init(&r);
    rig_start(&r);
    rig_join(&r, 4, KITH_GOSSIP_V11);
    rig_beat(&r, 1);
    for (uint32_t i = 0; i < 4; i++) {
        kith_wr w = kith_wr_of(kith_span_of(px[i], sizeof px[i]));
        for (uint32_t k = 0; k < 20; k++) {
            size_t n = record_of(200 + 20 * i + k, record, sizeof record, &id);
            kith_gossip_put_peer(&w, &id, kith_bytes_of(record, n));
        }
        assert_false(w.bad);
        assert_true(rig_in_mesh(&r, i));
        assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[i].id, 10), KITH_OK);
        rig_prune(&r, i, RIG_TOPIC, kith_wr_bytes(&w), 10);
        if (i == 0) {
            while (kith_gossip_px_next(r.g, &id, &from, &envelope))
                waiting++;
            assert_int_equal(waiting, r.cfg.params.px_peers);
        }
    }
    for (waiting = 0; kith_gossip_px_next(r.g, &id, &from, &envelope); waiting++)
        ;
    assert_int_equal(waiting, 32);
    rig_end(&r);
}

static void peers_at_one_address_pay_for_each_other(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    r.cfg.score.ip_threshold = 2;
    rig_start(&r);
    for (size_t i = 0; i < 8; i++) {
        rig_peer *p = &r.peers[i];
        p->signer = rig_signer((uint32_t)i, &p->id);
        kith_gossip_hello h = {.id = p->id, .ip = {10, 0, 0, 1}, .ip_len = 4};
        if (i >= 4) { /* four addresses of one /64 */
            h.ip_len = 16;
            h.ip[0] = 0x20;
            h.ip[15] = (uint8_t)i;
        }
        assert_int_equal(kith_gossip_up(r.g, r.now, &h, &p->p), KITH_OK);
        assert_true(rig_score(&r, i) == (i % 4 < 2 ? 0 : -100.0 * (double)((i % 4 - 1) * (i % 4 - 1))));
    }
    assert_true(rig_score(&r, 0) == -400); /* all of them */
    rig_down(&r, 0);
    rig_down(&r, 1);
    assert_true(rig_score(&r, 2) == 0);
    rig_end(&r);
}

static void a_bad_score_is_kept_and_a_good_one_is_not(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    r.cfg.score.retain = KITH_SEC(100);
    r.cfg.retained_max = 2;
    rig_start(&r);
    rig_join(&r, 5, KITH_GOSSIP_V11);
    rig_say_message(&r, 0, 50, 1, 10);
    assert_true(rig_score(&r, 0) > 0);
    rig_down(&r, 0);
    assert_true(rig_score(&r, 0) == 0);
    uint8_t forged[512]; /* one that is good in spite of an invalid message: that is forgotten too */
    kith_bytes bad = rig_message(&r, 50, 9, kith_bytes_str("x"), forged, sizeof forged);
    forged[bad.len - 1] ^= 1;
    rig_up(&r, 0, KITH_GOSSIP_V11, true);
    rig_pass(&r, 0, bad);
    assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[0].id, 2000), KITH_OK);
    assert_true(rig_score(&r, 0) == 1000);
    rig_down(&r, 0);
    assert_true(rig_score(&r, 0) == 2000);
    for (size_t i = 1; i < 5; i++) {
        uint8_t raw[512];
        kith_bytes m = rig_message(&r, 50, 2, kith_bytes_str("x"), raw, sizeof raw);
        raw[m.len - 1] ^= 1;
        rig_pass(&r, i, m);
        rig_down(&r, i);
        rig_wait(&r, KITH_SEC(1));
    }
    assert_int_equal(kith_gossip_count(r.g).retained, 2); /* the cap: the first ones were forgotten */
    assert_true(rig_score(&r, 1) == 0 && rig_score(&r, 4) < -900);
    rig_wait(&r, KITH_SEC(50));
    assert_true(rig_score(&r, 4) < -999); /* it does not decay while nobody is there */
    rig_wait(&r, KITH_SEC(70));
    assert_int_equal(kith_gossip_count(r.g).retained, 0);
    rig_end(&r);
}

static void a_topic_can_have_its_own_parameters(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    kith_gossip_topic_params p = r.cfg.score.topic;
    p.invalid_weight = -1;
    assert_int_equal(kith_gossip_set_topic_params(r.g, RIG_TOPIC, &p), KITH_ENOTFOUND);
    rig_join(&r, 1, KITH_GOSSIP_V11);
    assert_int_equal(kith_gossip_set_topic_params(r.g, RIG_TOPIC, &p), KITH_OK);
    p.weight = -1;
    assert_int_equal(kith_gossip_set_topic_params(r.g, RIG_TOPIC, &p), KITH_EFORMAT);
    uint8_t raw[512];
    kith_bytes m = rig_message(&r, 50, 2, kith_bytes_str("x"), raw, sizeof raw);
    raw[m.len - 1] ^= 1;
    rig_pass(&r, 0, m);
    assert_true(rig_score(&r, 0) == -1);
    rig_end(&r);
}

static void peers_are_capped(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    r.cfg.peers_max = 3;
    rig_start(&r);
    for (size_t i = 0; i < 3; i++)
        rig_up(&r, i, KITH_GOSSIP_V11, true);
    kith_gossip_hello h = {0};
    kith_gossip_peer *p;
    kith_signer_free(rig_signer(99, &h.id));
    assert_int_equal(kith_gossip_up(r.g, r.now, &h, &p), KITH_ELIMIT);
    rig_end(&r);
}

static void malformed_rpcs_are_errors_and_count(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    r.cfg.score.behaviour_threshold = 0;
    rig_start(&r);
    rig_up(&r, 0, KITH_GOSSIP_V11, true);
    assert_int_equal(rig_say(&r, 0, kith_bytes_str("\x08\x01")), KITH_EPROTO);
    assert_true(rig_score(&r, 0) == -10);
    rig_end(&r);
}

static void wrong_configurations_are_refused(void **state)
{
    (void)state;
    kith_gossip_config good, c;
    const char *why;
    support_heap heap;
    kith_gossip_config_default(&good);
    good.env = *support_env(&heap);
#define WRONG(change)                              \
    do {                                           \
        c = good;                                  \
        change;                                    \
        assert_null(kith_gossip_new(&c, 0, &why)); \
        assert_non_null(why);                      \
    } while (0)
    WRONG(c.params.history_gossip = 6);
    WRONG(c.params.d_lo = 7);
    WRONG(c.params.d_hi = 5);
    WRONG(c.params.d_score = 7);
    WRONG(c.params.d_out = 5);
    WRONG(c.params.d_out = 4);
    WRONG(c.params.heartbeat = 0);
    WRONG(c.message_max = KITH_GOSSIP_RPC_MAX + 1);
    WRONG(c.bytes_max = 1);
    WRONG(c.events_max = 0);
    WRONG(c.verify_batch = 0);
    WRONG(c.score.graylist = 1);
    c = good; /* as a bootstrapper */
    c.params.d = c.params.d_lo = c.params.d_hi = c.params.d_out = 0;
    kith_gossip *g = kith_gossip_new(&c, 0, &why);
    assert_non_null(g);
    kith_gossip_free(g);
    support_heap_check(&heap);
}

static void a_bootstrapper_has_no_mesh(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    r.cfg.params.d = r.cfg.params.d_lo = r.cfg.params.d_hi = r.cfg.params.d_out = 0;
    rig_start(&r);
    rig_join(&r, 8, KITH_GOSSIP_V11);
    for (size_t i = 0; i < 8; i++)
        rig_graft(&r, i, RIG_TOPIC);
    rig_beat(&r, 2);
    assert_int_equal(kith_gossip_peers_of(r.g, RIG_TOPIC, true, NULL, 0), 0);
    rig_end(&r);
}

/* ---- memory ---- */

static void play(rig *r)
{
    uint8_t a[KITH_GOSSIP_MID_MAX], record[512];
    kith_peer_id id;
    size_t n = record_of(70, record, sizeof record, &id);
    (void)!kith_gossip_subscribe(r->g, r->now, RIG_TOPIC, false);
    for (size_t i = 0; i < 9; i++) {
        rig_peer *p = &r->peers[i];
        p->signer = rig_signer((uint32_t)i, &p->id);
        kith_gossip_hello h = {.id = p->id, .outbound = i % 2, .ip = {1, 2}, .ip_len = i % 2 ? 4 : 16};
        if (kith_gossip_up(r->g, r->now, &h, &p->p)) {
            p->p = NULL;
            continue;
        }
        kith_gossip_writable(r->g, r->now, p->p, KITH_GOSSIP_V13);
        kith_gossip_set_record(r->g, p->p, kith_bytes_of(record, n));
        rig_sub(r, i, RIG_TOPIC, true);
        rig_graft(r, i, RIG_TOPIC);
    }
    for (uint64_t round = 1; round < 6; round++) {
        (void)!kith_gossip_publish(r->g, r->now, RIG_TOPIC, kith_bytes_str("x"), NULL, NULL);
        (void)!kith_gossip_publish(r->g, r->now, kith_bytes_str("other"), kith_bytes_str("x"), NULL, NULL);
        for (size_t i = 0; i < 9; i++) {
            if (!r->peers[i].p)
                continue;
            rig_say_message(r, i, 50, round, i < 4 ? 100 : 3000);
            kith_bytes mid = rig_id(r, 50, round, a), old = rig_id(r, 50, round / 2, a);
            rig_ids(r, i, i % 2 ? KITH_GOSSIP_IHAVE : KITH_GOSSIP_IWANT, &mid, 1);
            rig_ids(r, i, KITH_GOSSIP_IDONTWANT, &old, 1);
            if (i == 3)
                rig_prune(r, i, RIG_TOPIC, (kith_bytes){0}, 1);
            (void)rig_hear(r, i);
        }
        (void)rig_events(r, KITH_GOSSIP_ACCEPT);
        rig_wait(r, KITH_SEC(4));
    }
    for (size_t i = 0; i < 5; i++) {
        if (r->peers[i].p)
            rig_down(r, i);
    }
    (void)!kith_gossip_unsubscribe(r->g, r->now, RIG_TOPIC);
    rig_wait(r, KITH_SEC(20));
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    size_t all = 0;
    for (int once = 0; once < 2; once++) {
        for (size_t nth = 0; nth == 0 || nth <= all; nth += nth < 200 ? 1 : 7) {
            rig r;
            rig_init(&r);
            r.cfg.px = true;
            r.cfg.params.d_hi = 6;
            r.heap.fail_at = nth;
            r.heap.once = once;
            const char *why;
            r.g = kith_gossip_new(&r.cfg, r.now, &why);
            if (r.g)
                play(&r);
            all = nth == 0 ? r.heap.calls : all;
            r.heap.fail_at = 0;
            if (r.g)
                kith_gossip_check(r.g, r.now);
            kith_gossip_free(r.g);
            for (size_t i = 0; i < RIG_PEERS; i++)
                kith_signer_free(r.peers[i].signer);
            kith_signer_free(r.signer);
            support_heap_check(&r.heap);
        }
    }
    assert_true(all > 200);
}

static void what_is_known_of_peers_that_are_gone_goes(void **state)
{
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    size_t before = 0;
    for (int round = 0; round < 3; round++) {
        assert_int_equal(kith_gossip_subscribe(r.g, r.now, RIG_TOPIC, false), KITH_OK);
        for (size_t i = 0; i < 60; i++) {
            rig_up(&r, i, KITH_GOSSIP_V12, true);
            rig_sub(&r, i, RIG_TOPIC, true);
            rig_sub(&r, i, kith_bytes_str("another"), true);
            rig_graft(&r, i, RIG_TOPIC);
            rig_say_message(&r, i, 100 + i % 20, i, 500);
        }
        assert_int_equal(kith_gossip_unsubscribe(r.g, r.now, RIG_TOPIC), KITH_OK);
        for (size_t i = 0; i < 60; i++)
            rig_down(&r, i);
        (void)rig_events(&r, KITH_GOSSIP_ACCEPT);
        rig_wait(&r, KITH_SEC(24 * 3600));
        kith_gossip_counts c = kith_gossip_count(r.g);
        assert_int_equal(c.peers + c.retained + c.topics + c.seen + c.bytes + c.events, 0);
        if (round > 0)
            assert_int_equal(r.heap.bytes, before); /* maps and authors stay as large as they were */
        before = r.heap.bytes;
    }
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_rpc_tells_all_subscriptions_and_the_extensions),
        cmocka_unit_test(many_subscriptions_are_told_in_several_rpcs),
        cmocka_unit_test(a_new_stream_begins_with_a_new_hello),
        cmocka_unit_test(the_first_peers_are_grafted_at_once),
        cmocka_unit_test(topics_are_checked),
        cmocka_unit_test(a_peers_subscriptions_are_capped),
        cmocka_unit_test(a_mesh_is_made_at_once_and_kept_in_bounds),
        cmocka_unit_test(a_full_mesh_takes_only_peers_that_we_dialled),
        cmocka_unit_test(when_pruning_the_best_and_some_outbound_ones_stay),
        cmocka_unit_test(a_mesh_gets_outbound_peers_where_it_lacks_them),
        cmocka_unit_test(a_poor_mesh_is_improved_once_a_minute),
        cmocka_unit_test(who_was_pruned_waits_and_who_does_not_wait_pays),
        cmocka_unit_test(an_advertised_backoff_is_kept_and_has_an_end),
        cmocka_unit_test(a_backoff_outlives_the_connection),
        cmocka_unit_test(grafts_of_unknown_topics_are_not_answered),
        cmocka_unit_test(who_has_a_bad_score_is_in_no_mesh),
        cmocka_unit_test(direct_peers_get_everything_outside_of_the_mesh),
        cmocka_unit_test(a_message_is_told_once_and_goes_on_in_its_own_bytes),
        cmocka_unit_test(duplicates_allocate_nothing),
        cmocka_unit_test(what_is_not_signed_as_it_must_be_counts_against_its_bearer),
        cmocka_unit_test(who_sends_two_invalid_messages_is_not_listened_to),
        cmocka_unit_test(messages_of_topics_that_we_are_not_in_cost_nothing),
        cmocka_unit_test(a_verdict_may_come_late_and_has_three_values),
        cmocka_unit_test(at_the_cap_of_verdicts_more_is_dropped_and_may_come_again),
        cmocka_unit_test(nothing_is_taken_that_the_application_has_no_room_for),
        cmocka_unit_test(replays_after_the_memory_of_ids_has_ended_are_ignored),
        cmocka_unit_test(without_a_signer_messages_have_no_author),
        cmocka_unit_test(what_we_publish_goes_to_everybody_in_the_topic),
        cmocka_unit_test(without_flooding_it_goes_to_the_mesh_or_to_a_fanout),
        cmocka_unit_test(a_fanout_ends_when_nothing_was_published_for_a_minute),
        cmocka_unit_test(messages_have_a_size),
        cmocka_unit_test(a_peer_with_a_smaller_limit_gets_nothing_longer),
        cmocka_unit_test(floodsub_peers_get_messages_and_no_control),
        cmocka_unit_test(what_is_offered_and_not_known_is_asked_for),
        cmocka_unit_test(offers_that_are_not_kept_are_broken_promises),
        cmocka_unit_test(who_is_below_the_gossip_threshold_is_neither_asked_nor_answered),
        cmocka_unit_test(peers_outside_of_the_mesh_are_told_of_what_is_new),
        cmocka_unit_test(a_message_that_did_not_fit_is_offered_later),
        cmocka_unit_test(control_goes_before_messages),
        cmocka_unit_test(ids_are_told_in_rpcs_that_everybody_takes),
        cmocka_unit_test(a_large_message_is_announced_to_who_understands_it),
        cmocka_unit_test(what_a_peer_does_not_want_is_not_sent_for_a_while),
        cmocka_unit_test(extensions_are_told_once),
        cmocka_unit_test(who_is_pruned_for_want_of_room_is_told_of_others),
        cmocka_unit_test(peers_are_taken_only_of_who_is_trusted_and_with_their_signature),
        cmocka_unit_test(so_many_exchanged_peers_are_taken),
        cmocka_unit_test(peers_at_one_address_pay_for_each_other),
        cmocka_unit_test(a_bad_score_is_kept_and_a_good_one_is_not),
        cmocka_unit_test(a_topic_can_have_its_own_parameters),
        cmocka_unit_test(peers_are_capped),
        cmocka_unit_test(malformed_rpcs_are_errors_and_count),
        cmocka_unit_test(wrong_configurations_are_refused),
        cmocka_unit_test(a_bootstrapper_has_no_mesh),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(what_is_known_of_peers_that_are_gone_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
