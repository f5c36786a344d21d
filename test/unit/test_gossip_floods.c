/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A peer that floods a gossipsub router: what it costs has a bound, and it is found out. gossipsub v1.1, "Spam Protection Measures"; and
 * what was published about other routers, by the advisories' names (docs/guide/security.md lists all of them). */
#include "gossip_rig.h"
#include "mesh/reputation.h"

#define KIB 1024

/* What the router may hold more than before while one peer does its worst. */
static void expect_small(const rig *r, size_t before, size_t most)
{
    if (r->heap.bytes > before + most)
        fail_msg("%zu bytes more", r->heap.bytes - before);
}

/* Who did this is banned, by what the router says of it every few seconds; and nobody else is. */
static void expect_banned(rig *r, size_t flooder)
{
    kith_reputation_config cfg;
    kith_reputation_config_default(&cfg);
    cfg.env = (kith_env){.alloc = {.fn = kith_heap}, .rand = r->cfg.env.rand};
    kith_reputation *known = kith_reputation_new(&cfg);
    assert_non_null(known);
    for (size_t i = 0; i < 4; i++) {
        const kith_peer_id *id = &r->peers[i].id;
        kith_reputation_gossip(known, id, kith_gossip_misconduct_of(r->g, id), 1800000000);
        assert_int_equal(kith_reputation_banned(known, id, 1800000000) > 0, i == flooder);
    }
    kith_reputation_free(known);
}

static void begin(rig *r)
{
    rig_init(r);
    rig_start(r);
    rig_join(r, 4, KITH_GOSSIP_V12);
    rig_beat(r, 1);
    for (size_t i = 0; i < 4; i++)
        (void)rig_hear(r, i);
}

static void ihave_flood(void **state)
{
    (void)state;
    rig r;
    begin(&r);
    size_t before = r.heap.bytes;
    static uint8_t bytes[5000][8];
    static kith_bytes ids[5000];
    uint64_t n = 0;
    unsigned asked = 0;
    for (int beat = 0; beat < 10; beat++) {
        unsigned now = 0;
        for (int rpc = 0; rpc < 30; rpc++) {
            for (size_t i = 0; i < 5000; i++) {
                kith_store_be64(bytes[i], n++);
                ids[i] = kith_bytes_of(bytes[i], 8);
            }
            rig_ids(&r, 0, KITH_GOSSIP_IHAVE, ids, rpc == 0 ? 100 : 5000);
            if (rpc % 2)
                now += rig_hear(&r, 0).iwant;
            expect_small(&r, before, r.cfg.control_max + 32 * KIB);
        }
        assert_true(now <= r.cfg.ihave_ids_max);
        asked += now;
        rig_wait(&r, KITH_SEC(1));
        (void)rig_hear(&r, 0);
    }
    kith_gossip_counts c = kith_gossip_count(r.g);
    assert_true(asked >= 5000 && c.refused > 100 && c.broken >= 10);
    rig_wait(&r, KITH_SEC(5));
    /* Some twenty promises broken: out of the mesh, and soon not listened to. */
    assert_true(rig_score(&r, 0) < r.cfg.score.gossip);
    assert_false(rig_in_mesh(&r, 0));
    rig_ids(&r, 0, KITH_GOSSIP_IHAVE, ids, 5000);
    assert_int_equal(rig_hear(&r, 0).iwant, 0);
    assert_true(rig_score(&r, 1) >= 0);
    expect_banned(&r, 0);
    rig_end(&r);
}

static void graft_flood(void **state)
{
    (void)state;
    rig r;
    begin(&r);
    assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[0].id, -1), KITH_OK);
    rig_beat(&r, 1); /* pruned */
    (void)rig_hear(&r, 0);
    assert_int_equal(kith_gossip_set_app_score(r.g, &r.peers[0].id, 0), KITH_OK);
    size_t before = r.heap.bytes;
    unsigned grafts = 0;
    while (kith_gossip_count(r.g).graylisted == 0 && grafts < 1000) {
        rig_graft(&r, 0, RIG_TOPIC);
        grafts++;
    }
    assert_true(grafts <= 15);
    assert_true(rig_score(&r, 0) < r.cfg.score.graylist);
    assert_int_equal(rig_hear(&r, 0).prunes, 1); /* all of them have one answer */
    expect_banned(&r, 0);
    expect_small(&r, before, 1 * KIB);
    rig_end(&r);
}

/* js-libp2p: a peer's subscriptions, and what stayed of them when it was gone, had no bound; so in cpp-libp2p (issue 349). */
static void CVE_2026_46679_a_flood_of_subscriptions_is_not_kept(void **state)
{
    (void)state;
    rig r;
    char name[32];
    begin(&r);
    size_t before = r.heap.bytes, after = 0;
    for (int round = 0; round < 3; round++) {
        uint64_t refused = kith_gossip_count(r.g).refused;
        for (unsigned i = 0; i < 20000; i++) {
            snprintf(name, sizeof name, "topic %u of %d", i, round);
            rig_peer *p = &r.peers[i / 5000];
            uint8_t buf[64];
            kith_err e;
            kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
            kith_gossip_put_sub(&w, true, kith_bytes_str(name));
            assert_true(kith_gossip_take(r.g, r.now, p->p, &p->intake, kith_wr_bytes(&w), &e));
            if (round == 0 && i == 4999) { /* of one peer: with "news", which is there already */
                assert_int_equal(kith_gossip_count(r.g).topics, r.cfg.topics_per_peer);
                expect_banned(&r, 0);
            }
        }
        kith_gossip_counts c = kith_gossip_count(r.g);
        assert_true(c.topics <= r.cfg.topics_max && c.topics <= 1 + 4 * r.cfg.topics_per_peer);
        assert_true(round > 0 || c.refused - refused >= 20000 - c.topics - 4);
        expect_small(&r, before, 1024 * KIB); /* of four peers, 255 topics each */
        for (size_t i = 0; i < 4; i++)
            rig_down(&r, i);
        assert_int_equal(kith_gossip_count(r.g).topics, 1);
        expect_small(&r, before, 128 * KIB); /* tables stay as large as they were, */
        assert_true(round == 0 || r.heap.bytes == after);
        after = r.heap.bytes; /* and grow no more */
        for (size_t i = 0; i < 4; i++)
            rig_up(&r, i, KITH_GOSSIP_V12, true);
    }
    for (size_t i = 0; i < 4; i++)
        rig_down(&r, i);
    rig_end(&r);
}

/* js-libp2p's floodsub: one frame was millions of subscriptions to nothing, each of them looked at. */
static void CVE_2026_86040_giant_rpcs(void **state)
{
    (void)state;
    rig r;
    begin(&r);
    size_t before = r.heap.bytes;
    uint8_t *p = calloc(1, KITH_GOSSIP_RPC_MAX + 1);
    /* too long; too many items of each kind, as few bytes as they can have */
    assert_int_equal(rig_say(&r, 0, kith_bytes_of(p, KITH_GOSSIP_RPC_MAX + 1)), KITH_ELIMIT);
    for (size_t i = 0; i < KITH_GOSSIP_RPC_MAX; i += 2)
        p[i] = 0x0a;
    assert_int_equal(rig_say(&r, 0, kith_bytes_of(p, KITH_GOSSIP_RPC_MAX)), KITH_ELIMIT);
    for (size_t i = 0; i < KITH_GOSSIP_RPC_MAX; i += 2)
        p[i] = 0x12;
    assert_int_equal(rig_say(&r, 0, kith_bytes_of(p, KITH_GOSSIP_RPC_MAX)), KITH_ELIMIT);
    for (size_t i = 0; i + 3 < KITH_GOSSIP_RPC_MAX; i += 4)
        memcpy(p + i, "\x1a\x02\x1a", 4); /* empty GRAFTs */
    assert_int_equal(rig_say(&r, 0, kith_bytes_of(p, KITH_GOSSIP_RPC_MAX)), KITH_ELIMIT);
    /* and as many as are allowed: each of them is nothing */
    for (size_t i = 0; i < 2 * KITH_GOSSIP_ITEMS_MAX; i += 2)
        memcpy(p + i, "\x12", 2);
    assert_int_equal(rig_say(&r, 0, kith_bytes_of(p, 2 * KITH_GOSSIP_ITEMS_MAX)), KITH_OK);
    assert_int_equal(kith_gossip_count(r.g).unsubscribed, KITH_GOSSIP_ITEMS_MAX);
    expect_small(&r, before, 1 * KIB);
    free(p);
    /* who goes on with it is graylisted */
    for (int i = 0; i < 25; i++)
        (void)rig_say(&r, 0, kith_bytes_str("\xff"));
    assert_true(rig_score(&r, 0) < r.cfg.score.graylist);
    expect_banned(&r, 0);
    rig_end(&r);
}

static void forged_seqnos(void **state)
{
    (void)state;
    rig r;
    uint8_t raw[512];
    begin(&r);
    size_t before = r.heap.bytes;
    kith_bytes m = rig_message(&r, 50, 1, kith_bytes_str("data"), raw, sizeof raw);
    kith_gossip_msg parsed;
    assert_int_equal(kith_gossip_msg_parse(m, &parsed), KITH_OK);
    for (uint64_t i = 2; i < 2000; i++) {
        kith_store_be64(raw + (parsed.seqno.p - raw), i); /* one signature, many numbers */
        rig_pass(&r, 0, m);
    }
    kith_gossip_counts c = kith_gossip_count(r.g);
    assert_int_equal(c.invalid, 2); /* then nothing of it is looked at: two signatures are what it cost */
    assert_int_equal(c.graylisted, 1996);
    assert_int_equal(c.seen + c.events + c.bytes, 0);
    expect_small(&r, before, 1 * KIB);
    expect_banned(&r, 0);
    /* the author's own next message comes through */
    rig_say_message(&r, 1, 50, 2, 4);
    assert_int_equal(rig_events(&r, KITH_GOSSIP_ACCEPT), 1);
    rig_end(&r);
}

static void iwant_flood(void **state)
{
    (void)state;
    rig r;
    uint8_t a[KITH_GOSSIP_MID_MAX];
    begin(&r);
    size_t before = r.heap.bytes;
    rig_say_message(&r, 1, 50, 1, 50000);
    (void)rig_hear(&r, 0);
    kith_bytes id = rig_id(&r, 50, 1, a);
    unsigned got = 0;
    for (int i = 0; i < 1000; i++) {
        rig_ids(&r, 0, KITH_GOSSIP_IWANT, &id, 1);
        if (i % 100 == 99)
            got += rig_hear(&r, 0).msgs;
    }
    assert_int_equal(got, r.cfg.params.retransmissions);
    assert_true(kith_gossip_count(r.g).refused >= 997);
    expect_small(&r, before, 80 * KIB); /* the message itself */
    /* ids of nothing: so many per heartbeat are looked up */
    static uint8_t bytes[6000][8];
    static kith_bytes ids[6000];
    for (size_t i = 0; i < 6000; i++) {
        kith_store_be64(bytes[i], i);
        ids[i] = kith_bytes_of(bytes[i], 8);
    }
    rig_beat(&r, 1);
    uint64_t refused = kith_gossip_count(r.g).refused;
    rig_ids(&r, 0, KITH_GOSSIP_IWANT, ids, r.cfg.iwant_max);
    assert_int_equal(kith_gossip_count(r.g).refused, refused);
    rig_ids(&r, 0, KITH_GOSSIP_IWANT, ids, 1);
    assert_int_equal(kith_gossip_count(r.g).refused, refused + 1);
    rig_end(&r);
}

static void idontwant_flood(void **state)
{
    (void)state;
    rig r;
    begin(&r);
    size_t before = r.heap.bytes;
    uint8_t bytes[20][8];
    kith_bytes ids[20];
    uint64_t n = 0;
    for (int rpc = 0; rpc < 3000; rpc++) {
        for (size_t i = 0; i < 20; i++) {
            kith_store_be64(bytes[i], n++);
            ids[i] = kith_bytes_of(bytes[i], 8);
        }
        rig_ids(&r, 0, KITH_GOSSIP_IDONTWANT, ids, rpc < 1000 ? 20 : 5);
    }
    /* of each RPC the ids beyond the tenth, and all RPCs beyond the thousandth */
    assert_int_equal(kith_gossip_count(r.g).refused, 3000);
    expect_small(&r, before, r.cfg.unwanted_max * 16);
    rig_end(&r);
}

static void prune_flood(void **state)
{
    (void)state;
    rig r;
    begin(&r);
    size_t before = r.heap.bytes;
    for (int i = 0; i < 2000; i++)
        rig_prune(&r, 0, RIG_TOPIC, (kith_bytes){0}, 5);
    assert_false(rig_in_mesh(&r, 0));
    char name[32];
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "topic %d", i);
        rig_prune(&r, 0, kith_bytes_str(name), (kith_bytes){0}, 5);
    }
    assert_int_equal(kith_gossip_count(r.g).topics, 1);
    expect_small(&r, before, 1 * KIB);
    rig_end(&r);
}

static void hello_flood(void **state)
{
    (void)state;
    rig r;
    uint8_t buf[64];
    begin(&r);
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_gossip_put_extensions(&w, false);
    for (int i = 0; i < 3; i++)
        rig_control(&r, 0, kith_wr_bytes(&w));
    assert_true(rig_score(&r, 0) < r.cfg.score.graylist);
    rig_end(&r);
}

/* Honest, and in more topics than we take. */
static void three_hundred_topics_too_many_are_no_flood(void **state)
{
    (void)state;
    rig r;
    char name[32];
    begin(&r);
    for (unsigned i = 0; i < 556; i++) {
        snprintf(name, sizeof name, "topic %u", i);
        uint8_t buf[64];
        kith_err e;
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        kith_gossip_put_sub(&w, true, kith_bytes_str(name));
        assert_true(kith_gossip_take(r.g, r.now, r.peers[0].p, &r.peers[0].intake, kith_wr_bytes(&w), &e));
    }
    assert_true(kith_gossip_misconduct_of(r.g, &r.peers[0].id) <= 0.01);
    expect_banned(&r, 9);
    rig_end(&r);
}

/* rust-libp2p (GHSA-g3g5-x568-qvqx): a GRAFT made the peer a subscriber of its topic, whatever that was. */
static void CVE_2026_95859_grafts_of_other_topics_are_not_kept(void **state)
{
    (void)state;
    rig r;
    char name[32];
    rig_init(&r);
    r.cfg.topics_per_peer = 4;
    rig_start(&r);
    rig_join(&r, 4, KITH_GOSSIP_V12);
    for (unsigned i = 0; i < 6; i++) { /* with "news" seven that we are in */
        snprintf(name, sizeof name, "ours %u", i);
        assert_int_equal(kith_gossip_subscribe(r.g, r.now, kith_bytes_str(name), false), KITH_OK);
    }
    rig_sub(&r, 1, kith_bytes_str("its own"), true); /* and one that only another peer is in */
    rig_beat(&r, 1);
    for (size_t i = 0; i < 4; i++)
        (void)rig_hear(&r, i);
    size_t before = r.heap.bytes;
    kith_gossip_counts c = kith_gossip_count(r.g);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "topic %u", i);
        rig_graft(&r, 0, i % 2 ? kith_bytes_str(name) : kith_bytes_str("its own"));
    }
    assert_int_equal(kith_gossip_count(r.g).topics, c.topics);
    assert_int_equal(kith_gossip_count(r.g).refused, c.refused + 20000);
    assert_int_equal(r.heap.bytes, before);
    assert_int_equal(rig_hear(&r, 0).prunes, 0); /* nor answered */
    for (unsigned i = 0; i < 6; i++) { /* of those that we are in it subscribes to as many as it may */
        snprintf(name, sizeof name, "ours %u", i);
        rig_graft(&r, 0, kith_bytes_str(name));
        assert_int_equal(kith_gossip_peers_of(r.g, kith_bytes_str(name), false, NULL, 0), i < 3);
    }
    rig_say_message(&r, 1, 50, 1, 4);
    assert_int_equal(rig_events(&r, KITH_GOSSIP_ACCEPT), 1);
    rig_end(&r);
}

/* rust-libp2p: the time at which a PRUNE's backoff ends was more than a clock holds, at once (GHSA-gc42-3jg7-rxr2) or when the
 * heartbeat added its slack to it (GHSA-xqmp-fxgv-xvq5). */
static void CVE_2026_33040_CVE_2026_34219_a_backoff_without_end_ends(void **state)
{
    (void)state;
    static const uint64_t backoffs[] = {UINT64_MAX,
                                        UINT64_MAX / KITH_SEC(1),
                                        UINT64_MAX / KITH_SEC(1) - 1002,
                                        UINT64_MAX / KITH_SEC(1) + 1,
                                        UINT64_MAX / KITH_SEC(1) + 2,
                                        INT64_MAX,
                                        INT64_MAX - 1001,
                                        (uint64_t)INT64_MAX + 1,
                                        9223372036854674580u,
                                        INT64_MAX / KITH_SEC(1),
                                        INT64_MAX / KITH_SEC(1) - 1001};
    enum { COUNT = sizeof backoffs / sizeof *backoffs };
    rig r;
    rig_init(&r);
    r.cfg.params.d = r.cfg.params.d_lo = COUNT + 1; /* so that all are wanted back */
    r.cfg.params.d_hi = COUNT + 2;
    rig_start(&r);
    rig_join(&r, COUNT + 1, KITH_GOSSIP_V11);
    rig_beat(&r, 2);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(rig_in_mesh(&r, i));
        rig_prune(&r, i, RIG_TOPIC, (kith_bytes){0}, backoffs[i]);
        assert_false(rig_in_mesh(&r, i));
    }
    for (int hours = 1; hours < 24; hours++) {
        rig_wait(&r, KITH_SEC(3600));
        for (size_t i = 0; i < COUNT; i++)
            assert_false(rig_in_mesh(&r, i));
        assert_true(rig_in_mesh(&r, COUNT)); /* nobody else minds */
    }
    rig_wait(&r, KITH_SEC(3600 + 10));
    for (size_t i = 0; i < COUNT; i++)
        assert_true(rig_in_mesh(&r, i));
    rig_end(&r);
}

/* gossipsub v1.1 itself: who never passes anything on keeps a positive score by being there. It does not cut us off: what goes past it
 * is offered by others and asked for, and in a minute those who do pass things on are in the mesh. */
static void CVE_2022_47547_silent_peers_that_fill_the_mesh_cut_nobody_off(void **state)
{
    (void)state;
    enum { SILENT = 12, ALL = 18 };
    uint8_t a[KITH_GOSSIP_MID_MAX];
    rig r;
    rig_init(&r);
    rig_start(&r);
    assert_int_equal(kith_gossip_subscribe(r.g, r.now, RIG_TOPIC, false), KITH_OK);
    for (size_t i = 0; i < ALL; i++) {
        rig_up(&r, i, KITH_GOSSIP_V12, i >= SILENT);
        if (i < SILENT)
            rig_graft(&r, i, RIG_TOPIC);
    }
    rig_beat(&r, 1);
    size_t silent = 0, honest = 0;
    for (size_t i = 0; i < SILENT; i++)
        silent += rig_in_mesh(&r, i);
    assert_int_equal(silent, r.cfg.params.d_hi); /* as many as there may be */
    for (size_t i = SILENT; i < ALL; i++)
        rig_sub(&r, i, RIG_TOPIC, true);
    for (unsigned n = 1; n <= 150;
         n++) { /* every second a message, told by one and then another of those outside */
        size_t by = SILENT + n % (ALL - SILENT);
        kith_bytes id = rig_id(&r, 50, n, a);
        (void)rig_hear(&r, by);
        if (!rig_in_mesh(&r, by)) {
            rig_ids(&r, by, KITH_GOSSIP_IHAVE, &id, 1);
            assert_int_equal(rig_hear(&r, by).iwant, 1);
        }
        rig_say_message(&r, by, 50, n, 100);
        assert_int_equal(rig_events(&r, KITH_GOSSIP_ACCEPT), 1);
        rig_beat(&r, 1);
    }
    for (size_t i = 0; i < SILENT; i++)
        assert_true(rig_score(&r, i) >= 0); /* that is the flaw */
    for (size_t i = SILENT; i < ALL; i++)
        honest += rig_in_mesh(&r, i);
    assert_in_range(honest, 4, ALL - SILENT);
    rig_end(&r);
}

/* A peer that reads nothing while others talk. */
static void deaf_peer(void **state)
{
    (void)state;
    rig r;
    begin(&r);
    for (uint64_t i = 1; i <= 3000; i++) {
        rig_say_message(&r, 1, 50, i, 1000);
        (void)rig_hear(&r, 2);
        (void)rig_events(&r, KITH_GOSSIP_ACCEPT);
        if (i % 100 == 0)
            rig_wait(&r, KITH_SEC(1));
    }
    kith_gossip_counts c = kith_gossip_count(r.g);
    assert_true(c.dropped > 1900);
    assert_true(c.bytes < r.cfg.queue_bytes_max + 2000 * 1000);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ihave_flood),
        cmocka_unit_test(graft_flood),
        cmocka_unit_test(CVE_2026_46679_a_flood_of_subscriptions_is_not_kept),
        cmocka_unit_test(CVE_2026_86040_giant_rpcs),
        cmocka_unit_test(three_hundred_topics_too_many_are_no_flood),
        cmocka_unit_test(forged_seqnos),
        cmocka_unit_test(iwant_flood),
        cmocka_unit_test(idontwant_flood),
        cmocka_unit_test(prune_flood),
        cmocka_unit_test(hello_flood),
        cmocka_unit_test(CVE_2026_95859_grafts_of_other_topics_are_not_kept),
        cmocka_unit_test(CVE_2026_33040_CVE_2026_34219_a_backoff_without_end_ends),
        cmocka_unit_test(CVE_2022_47547_silent_peers_that_fill_the_mesh_cut_nobody_off),
        cmocka_unit_test(deaf_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
