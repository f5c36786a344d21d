/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Gossip among simulated nodes: everybody hears everything once, whatever comes and goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mesh/gossip_part.h"
#include "sim_world.h"

#define MOST 128      /* nodes of a test */
#define MESSAGES 4096 /* of a test */
#define TOPIC kith_bytes_str("news")

typedef struct world world;

typedef struct talker {
    world *w;
    sim_host *host;
    kith_gossip_part *part;
    unsigned heard[MESSAGES]; /* how often each came */
    unsigned total;
    bool judged;
    kith_gossip_verdict verdict;
    bool deaf; /* takes no events */
} talker;

struct world {
    sim *s;
    talker *t;
    size_t count;
    uint32_t sent;
    uint32_t by[MESSAGES]; /* who published it */
    kith_gossip_config cfg;
    bool left; /* not everybody subscribes at first */
};

static void drain(void *ctx, kith_time now)
{
    talker *t = ctx;
    kith_gossip *g = kith_gossip_part_router(t->part);
    kith_gossip_event ev;
    while (!t->deaf && kith_gossip_next(g, &ev)) {
        assert_true(ev.data.len >= 4);
        uint32_t no = kith_load_be32(ev.data.p);
        assert_true(no < t->w->sent);
        t->heard[no]++;
        t->total++;
        if (ev.judged)
            assert_int_equal(kith_gossip_judged(g, now, ev.id, t->verdict), KITH_OK);
    }
}

static void part_gone(void *self)
{
    kith_gossip_part_free(self);
}

static void start_part(talker *t, const kith_gossip_config *cfg)
{
    world *w = t->w;
    const char *why;
    kith_gossip_part_config c = {.router = *cfg, .news = drain, .ctx = t};
    c.router.env = *sim_env(t->host);
    t->part = kith_gossip_part_new(sim_node(t->host), sim_now(w->s), &c, &why);
    assert_non_null(t->part);
    sim_attach(t->host, kith_gossip_part_of(t->part), part_gone);
}

static kith_gossip *router(talker *t)
{
    return kith_gossip_part_router(t->part);
}

static void join(talker *t)
{
    assert_int_equal(kith_gossip_subscribe(router(t), sim_now(t->w->s), TOPIC, t->judged), KITH_OK);
    sim_drive(t->host);
}

static void say(talker *t, size_t bytes)
{
    world *w = t->w;
    uint8_t *data = calloc(1, bytes < 4 ? 4 : bytes);
    kith_store_be32(data, w->sent);
    w->by[w->sent] = (uint32_t)(t - w->t);
    w->sent++;
    assert_true(w->sent < MESSAGES);
    assert_int_equal(kith_gossip_publish(router(t), sim_now(w->s), TOPIC,
                                         kith_bytes_of(data, bytes < 4 ? 4 : bytes), NULL, NULL),
                     KITH_OK);
    free(data);
    sim_drive(t->host);
}

static void dial(world *w, size_t a, size_t b)
{
    uint64_t id;
    kith_node *n = sim_node(w->t[a].host);
    if (kith_node_conn_find(n, kith_node_id(sim_node(w->t[b].host))))
        return;
    assert_int_equal(kith_node_dial(n, sim_now(w->s), NULL, sim_addr(w->t[b].host), 1, &id), KITH_OK);
    sim_drive(w->t[a].host);
}

/* So many nodes, each dialling `links` others at random (and the one before it, so that all hang together). */
static void start(world *w, uint64_t seed, size_t count, size_t links, const kith_gossip_config *cfg)
{
    *w = (world){.s = sim_new(seed), .count = count};
    w->t = calloc(count, sizeof *w->t);
    kith_gossip_config_default(&w->cfg);
    if (cfg)
        w->cfg = *cfg;
    sim_set_path(w->s, (sim_path){.latency = KITH_MS(10),
                                  .latency_max = KITH_MS(60),
                                  .jitter = KITH_MS(5),
                                  .buffer = 256 * 1024});
    for (size_t i = 0; i < count; i++) {
        talker *t = &w->t[i];
        t->w = w;
        t->host = sim_add(w->s, NULL);
        start_part(t, &w->cfg);
    }
    for (size_t i = 1; i < count; i++) {
        dial(w, i, i - 1);
        for (size_t k = 1; k < links; k++) {
            size_t other = (size_t)(sim_random(w->s) % count);
            if (other != i)
                dial(w, i, other);
        }
    }
    sim_run(w->s, KITH_SEC(3));
}

static void end(world *w)
{
    for (size_t i = 0; i < w->count; i++)
        kith_gossip_part_check(w->t[i].part, sim_now(w->s));
    sim_free(w->s);
    free(w->t);
}

static void run(world *w, kith_time more)
{
    sim_run(w->s, sim_now(w->s) + more);
}

/* Every message from `from` on came to everybody but its author exactly once. */
static void expect_all_heard(world *w, uint32_t from)
{
    for (size_t i = 0; i < w->count; i++) {
        for (uint32_t no = from; no < w->sent; no++) {
            if (w->t[i].heard[no] != (w->by[no] == i ? 0 : 1))
                fail_msg("node %zu heard message %u of node %u %u times", i, no, w->by[no],
                         w->t[i].heard[no]);
        }
    }
}

static kith_gossip_counts sum(world *w)
{
    kith_gossip_counts all = {0};
    for (size_t i = 0; i < w->count; i++) {
        kith_gossip_counts c = kith_gossip_count(router(&w->t[i]));
        all.duplicates += c.duplicates;
        all.delivered += c.delivered;
        all.invalid += c.invalid;
        all.dropped += c.dropped;
        all.unwanted += c.unwanted;
        all.forwarded += c.forwarded;
        all.idontwant += c.idontwant;
        all.broken += c.broken;
        all.replayed += c.replayed;
        all.throttled += c.throttled;
        all.refused += c.refused;
        all.graylisted += c.graylisted;
        all.iwant += c.iwant;
        all.prunes += c.prunes;
    }
    return all;
}

static void two_nodes_talk(void **state)
{
    (void)state;
    world w;
    start(&w, 1, 2, 1, NULL);
    join(&w.t[0]);
    join(&w.t[1]);
    run(&w, KITH_SEC(3));
    assert_int_equal(kith_gossip_peers_of(router(&w.t[0]), TOPIC, true, NULL, 0), 1);
    assert_int_equal(kith_gossip_peers_of(router(&w.t[1]), TOPIC, true, NULL, 0), 1);
    for (size_t i = 0; i < 10; i++)
        say(&w.t[i % 2], 100);
    run(&w, KITH_SEC(1));
    expect_all_heard(&w, 0);
    kith_gossip_counts c = sum(&w);
    assert_int_equal(c.invalid + c.dropped + c.broken + c.replayed + c.throttled, 0);
    end(&w);
}

static void a_crowd_hears_everything_once_and_meshes_stay_in_bounds(void **state)
{
    (void)state;
    world w;
    start(&w, 2, 100, 5, NULL);
    for (size_t i = 0; i < w.count; i++)
        join(&w.t[i]);
    run(&w, KITH_SEC(30));
    for (size_t i = 0; i < w.count; i++) {
        size_t peers = kith_gossip_peers_of(router(&w.t[i]), TOPIC, false, NULL, 0);
        size_t mesh = kith_gossip_peers_of(router(&w.t[i]), TOPIC, true, NULL, 0);
        assert_true(mesh <= 12 && (mesh >= 5 || mesh >= peers / 2));
    }
    for (size_t i = 0; i < 300; i++) {
        say(&w.t[sim_random(w.s) % w.count], 50 + (size_t)(sim_random(w.s) % 200));
        run(&w, KITH_MS(20));
    }
    run(&w, KITH_SEC(5));
    expect_all_heard(&w, 0);
    kith_gossip_counts c = sum(&w);
    assert_int_equal(c.invalid + c.dropped + c.broken + c.replayed + c.throttled, 0);
    print_message("100 nodes, 300 messages: %.2f duplicates each\n",
                  (double)c.duplicates / (double)c.delivered);
    assert_true(c.duplicates < 8 * c.delivered);
    end(&w);
}

/* Large messages: with IDONTWANT fewer bytes travel, and everybody still hears all. */
static void idontwant_saves_duplicates(void **state)
{
    (void)state;
    uint64_t duplicates[2];
    for (int with = 0; with < 2; with++) {
        world w;
        kith_gossip_config cfg;
        kith_gossip_config_default(&cfg);
        cfg.flood_publish = false;
        if (!with)
            cfg.params.idontwant_min = 0;
        start(&w, 3, 40, 5, &cfg);
        sim_set_path(w.s, (sim_path){.latency = KITH_MS(10),
                                     .latency_max = KITH_MS(60),
                                     .bandwidth = 4000000,
                                     .buffer = 256 * 1024});
        for (size_t i = 0; i < w.count; i++)
            join(&w.t[i]);
        run(&w, KITH_SEC(10));
        for (size_t i = 0; i < 20; i++) {
            say(&w.t[sim_random(w.s) % w.count], 100000);
            run(&w, KITH_SEC(5));
        }
        expect_all_heard(&w, 0);
        kith_gossip_counts c = sum(&w);
        duplicates[with] = c.duplicates;
        assert_int_equal(c.idontwant > 0, with);
        print_message("%s IDONTWANT: %.2f duplicates each, %llu sent less\n", with ? "with" : "without",
                      (double)c.duplicates / (double)c.delivered, (unsigned long long)c.unwanted);
        end(&w);
    }
    assert_true(duplicates[1] * 10 < duplicates[0] * 8);
}

/* A network that is cut in two and joined again: what was said on one side meanwhile stays there, what is said afterwards is heard by all. */
static void a_partition_heals(void **state)
{
    (void)state;
    world w;
    start(&w, 4, 40, 5, NULL);
    for (size_t i = 0; i < w.count; i++)
        join(&w.t[i]);
    run(&w, KITH_SEC(10));
    say(&w.t[0], 100);
    run(&w, KITH_SEC(2));
    expect_all_heard(&w, 0);
    for (size_t i = 0; i < w.count; i++)
        sim_set_side(w.t[i].host, i >= w.count / 2);
    run(&w, KITH_SEC(90)); /* connections across are given up */
    say(&w.t[0], 100);
    say(&w.t[w.count - 1], 100);
    run(&w, KITH_SEC(5));
    for (size_t i = 0; i < w.count; i++) {
        assert_int_equal(w.t[i].heard[1], i < w.count / 2 && i != 0);
        assert_int_equal(w.t[i].heard[2], i >= w.count / 2 && i != w.count - 1);
    }
    for (size_t i = 0; i < w.count; i++)
        sim_set_side(w.t[i].host, 0);
    run(&w, KITH_SEC(1));
    for (size_t i = 1; i < w.count; i++) /* who makes connections is not gossip */
        dial(&w, i, i - 1);
    run(&w, KITH_SEC(75));
    uint32_t from = w.sent;
    for (size_t i = 0; i < w.count; i++) {
        say(&w.t[i], 100);
        run(&w, KITH_MS(50));
    }
    run(&w, KITH_SEC(5));
    expect_all_heard(&w, from);
    end(&w);
}

static void nodes_that_come_and_go_hear_what_is_said_while_they_are_there(void **state)
{
    (void)state;
    world w;
    start(&w, 5, 50, 5, NULL);
    bool there[50];
    kith_time since[50] = {0};
    for (size_t i = 0; i < w.count; i++) {
        join(&w.t[i]);
        there[i] = true;
    }
    run(&w, KITH_SEC(10));
    for (int round = 0; round < 60; round++) {
        size_t i = 1 + (size_t)(sim_random(w.s) % (w.count - 1));
        talker *t = &w.t[i];
        if (there[i]) {
            if (round % 3 == 0)
                sim_vanish(t->host);
            else
                sim_off(t->host);
            t->part = NULL;
            there[i] = false;
        } else {
            sim_on(t->host);
            kith_gossip_config cfg = w.cfg;
            start_part(t, &cfg);
            join(t);
            there[i] = true;
            since[i] = sim_now(w.s);
            for (int k = 0; k < 6; k++) {
                size_t other = (size_t)(sim_random(w.s) % w.count);
                if (there[other] && other != i)
                    dial(&w, i, other);
            }
        }
        for (size_t k = 0; k < w.count; k++) { /* as a discovery would: nobody is left alone */
            size_t other = (size_t)(sim_random(w.s) % w.count);
            if (there[k] && there[other] && other != k && kith_node_conn_count(sim_node(w.t[k].host)) < 6)
                dial(&w, k, other);
        }
        run(&w, KITH_SEC(5));
        uint32_t no = w.sent;
        say(&w.t[0], 200);
        run(&w, KITH_SEC(4));
        for (size_t k = 1; k < w.count; k++) {
            if (there[k] && sim_now(w.s) - since[k] > KITH_SEC(8))
                assert_int_equal(w.t[k].heard[no], 1);
        }
    }
    for (size_t i = 0; i < w.count; i++) {
        if (!there[i]) {
            sim_on(w.t[i].host);
            start_part(&w.t[i], &w.cfg);
        }
    }
    end(&w);
}

/* Everybody knows one node only. It exchanges peers, and they find each other. */
static void peer_exchange_makes_a_network_of_strangers(void **state)
{
    (void)state;
    world w;
    kith_gossip_config cfg;
    kith_gossip_config_default(&cfg);
    cfg.px = true;
    cfg.score.accept_px = 0;
    w = (world){.s = sim_new(6), .count = 30};
    w.t = calloc(w.count, sizeof *w.t);
    w.cfg = cfg;
    for (size_t i = 0; i < w.count; i++) {
        w.t[i].w = &w;
        w.t[i].host = sim_add(w.s, NULL);
        start_part(&w.t[i], &cfg);
        join(&w.t[i]);
    }
    for (size_t i = 1; i < w.count; i++)
        dial(&w, i, 0);
    run(&w, KITH_SEC(60));
    size_t least = w.count;
    for (size_t i = 1; i < w.count; i++) {
        size_t n = kith_gossip_peers_of(router(&w.t[i]), TOPIC, false, NULL, 0);
        least = n < least ? n : least;
    }
    assert_true(least >= 3);
    sim_off(w.t[0].host); /* and nobody needs it any more */
    run(&w, KITH_SEC(5));
    say(&w.t[1], 100);
    run(&w, KITH_SEC(5));
    for (size_t i = 2; i < w.count; i++)
        assert_int_equal(w.t[i].heard[0], 1);
    sim_on(w.t[0].host);
    start_part(&w.t[0], &cfg);
    end(&w);
}

static void direct_peers_find_each_other_again(void **state)
{
    (void)state;
    world w;
    kith_gossip_config cfg;
    kith_gossip_config_default(&cfg);
    cfg.params.direct_ticks = 10;
    w = (world){.s = sim_new(7), .count = 2};
    w.t = calloc(w.count, sizeof *w.t);
    for (size_t i = 0; i < 2; i++) {
        w.t[i].w = &w;
        w.t[i].host = sim_add(w.s, NULL);
    }
    kith_maddr addr = *sim_addr(w.t[1].host);
    kith_gossip_direct direct = {
        .peer = *kith_node_id(sim_node(w.t[1].host)), .addrs = &addr, .addr_count = 1};
    const char *why;
    kith_gossip_part_config c = {
        .router = cfg, .news = drain, .ctx = &w.t[0], .direct = &direct, .direct_count = 1};
    c.router.env = *sim_env(w.t[0].host);
    w.t[0].part = kith_gossip_part_new(sim_node(w.t[0].host), 0, &c, &why);
    sim_attach(w.t[0].host, kith_gossip_part_of(w.t[0].part), part_gone);
    start_part(&w.t[1], &cfg);
    join(&w.t[0]);
    join(&w.t[1]);
    run(&w, KITH_SEC(3));
    say(&w.t[0], 10);
    run(&w, KITH_SEC(1));
    assert_int_equal(w.t[1].heard[0], 1);
    assert_int_equal(kith_gossip_peers_of(router(&w.t[0]), TOPIC, true, NULL, 0), 0);
    sim_off(w.t[1].host);
    run(&w, KITH_SEC(3));
    sim_on(w.t[1].host);
    start_part(&w.t[1], &cfg);
    join(&w.t[1]);
    run(&w, KITH_SEC(15));
    say(&w.t[0], 10);
    run(&w, KITH_SEC(1));
    assert_int_equal(w.t[1].heard[1], 1);
    end(&w);
}

/* ---- peers that misbehave on their streams ---- */

/* A stream that says some bytes, and reads nothing. */
typedef struct blurt {
    const kith_env *env;
    kith_bytes say;
    size_t at;
    bool ends; /* its side, when all is said */
    bool gone;
    kith_err why;
} blurt;

static kith_err blurt_recv(void *m, kith_time now, kith_bytes in)
{
    (void)m, (void)now, (void)in;
    return KITH_OK;
}

static void blurt_eof(void *m, kith_time now)
{
    (void)m, (void)now;
}

static size_t blurt_send(void *m, kith_time now, kith_span out)
{
    blurt *b = m;
    (void)now;
    size_t n = b->say.len - b->at < out.len ? b->say.len - b->at : out.len;
    if (n > 0)
        memcpy(out.p, b->say.p + b->at, n);
    b->at += n;
    return n;
}

static kith_stream_want blurt_want(const void *m)
{
    const blurt *b = m;
    return b->ends && b->at == b->say.len ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

static void blurt_gone(void *m, kith_time now, kith_err why)
{
    blurt *b = m;
    (void)now;
    b->gone = true;
    b->why = why;
}

static void blurt_free(void *m)
{
    (void)m; /* the test's */
}

static void *blurt_accept(void *ctx, const kith_stream_info *info)
{
    (void)info;
    return ctx;
}

static const kith_stream_ops blurt_ops = {.recv = blurt_recv,
                                          .eof = blurt_eof,
                                          .send = blurt_send,
                                          .want = blurt_want,
                                          .gone = blurt_gone,
                                          .free = blurt_free};

/* What comes of saying this on a stream to a node that gossips. */
static blurt blurted(kith_bytes say, kith_time wait)
{
    world w;
    start(&w, 8, 1, 1, NULL);
    join(&w.t[0]);
    sim_host *h = sim_add(w.s, NULL);
    kith_conn *c = sim_connect(w.s, h, w.t[0].host);
    assert_non_null(c);
    blurt b = {.say = say};
    kith_stream *s;
    kith_bytes id = kith_bytes_str(KITH_GOSSIP_ID_11);
    assert_int_equal(kith_node_open(sim_node(h), sim_now(w.s), c, &id, 1, &blurt_ops, &b, NULL, &s), KITH_OK);
    sim_drive(h);
    run(&w, wait);
    blurt result = b;
    kith_gossip_part_check(w.t[0].part, sim_now(w.s));
    if (!b.gone)
        kith_node_reset(sim_node(h), sim_now(w.s), s);
    sim_drive(h);
    end(&w);
    return result;
}

/* ---- what a peer that we prune, or that prunes us, tells of others ---- */

static void put_rpc(kith_wr *w, kith_bytes rpc)
{
    kith_put_uvarint(w, rpc.len);
    kith_put_bytes(w, rpc);
}

/* A peer that nobody has met, at an address that it has signed. */
static void put_invented(kith_wr *w, uint8_t n, const char *addr)
{
    uint8_t seed[KITH_ED25519_SEED_LEN] = {n, 77}, pub[KITH_ED25519_PUB_LEN], key[KITH_PUBKEY_ED25519_LEN],
            sealed[512];
    kith_signer *s = kith_signer_new(seed);
    kith_peer_id id;
    kith_maddr a;
    kith_signer_public(s, pub);
    kith_pubkey_ed25519(pub, key);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &id), KITH_OK);
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(addr), &a, NULL), KITH_OK);
    kith_wr r = kith_wr_of(kith_span_of(sealed, sizeof sealed));
    assert_int_equal(kith_peer_record_seal(s, 1, &a, 1, &r), KITH_OK);
    kith_gossip_put_peer(w, &id, kith_wr_bytes(&r));
    kith_signer_free(s);
}

typedef struct dialled {
    unsigned now, most, all;
} dialled;

static void count_dials(void *ctx, sim_host *h, const kith_node_event *ev)
{
    dialled *d = ctx;
    d->now = kith_node_usage(sim_node(h)).dials;
    d->most = d->now > d->most ? d->now : d->most;
    d->all += ev->kind == KITH_NODE_DIAL;
}

/* It grafts us, and then prunes us and tells of twelve who are far away, and of services of our own machine and network. */
static void peers_told_of_are_dialled_a_few_at_a_time_and_nowhere_near(void **state)
{
    (void)state;
    static const uint8_t far[4] = {5, 6, 7, 8};
    static const char *const near[] = {"/ip4/127.0.0.1/tcp/22", "/ip4/10.0.0.1/tcp/80",
                                       "/ip4/169.254.1.1/tcp/80", "/ip6/::1/tcp/22"};
    for (int stranger = 0; stranger < 2; stranger++) {
        world w;
        kith_gossip_config cfg;
        kith_gossip_config_default(&cfg);
        cfg.score.accept_px = 0;
        start(&w, 9, 1, 1, &cfg);
        join(&w.t[0]);
        sim_host *h = sim_add(w.s, NULL);
        if (stranger)
            sim_move(h, far);
        uint8_t rpc[8192], px[6144], control[8192], said[16384];
        kith_wr out = kith_wr_of(kith_span_of(said, sizeof said)),
                r = kith_wr_of(kith_span_of(rpc, sizeof rpc));
        kith_wr c = kith_wr_of(kith_span_of(control, sizeof control)),
                p = kith_wr_of(kith_span_of(px, sizeof px));
        kith_gossip_put_sub(&r, true, TOPIC);
        kith_gossip_put_graft(&c, TOPIC);
        kith_gossip_put_control(&r, kith_wr_bytes(&c));
        put_rpc(&out, kith_wr_bytes(&r));
        size_t first = out.len;
        for (uint8_t i = 0; i < 12; i++) {
            char text[64];
            snprintf(text, sizeof text, "/ip4/9.9.%u.9/tcp/4001", i);
            put_invented(&p, i, text);
        }
        for (uint8_t i = 0; i < 4; i++)
            put_invented(&p, 100 + i, near[i]);
        r.len = c.len = 0;
        kith_gossip_put_prune(&c, TOPIC, kith_wr_bytes(&p), 60);
        kith_gossip_put_control(&r, kith_wr_bytes(&c));
        put_rpc(&out, kith_wr_bytes(&r));
        assert_false(out.bad || r.bad || c.bad || p.bad);

        kith_conn *conn = sim_connect(w.s, h, w.t[0].host);
        assert_non_null(conn);
        blurt b = {.say = kith_bytes_of(said, first)};
        kith_stream *s;
        kith_bytes id = kith_bytes_str(KITH_GOSSIP_ID_11);
        assert_int_equal(kith_node_open(sim_node(h), sim_now(w.s), conn, &id, 1, &blurt_ops, &b, NULL, &s),
                         KITH_OK);
        sim_drive(h);
        run(&w, KITH_SEC(3));
        assert_int_equal(kith_gossip_peers_of(router(&w.t[0]), TOPIC, true, NULL, 0), 1);
        dialled d = {0};
        sim_set_watch(w.t[0].host, count_dials, &d);
        b.say.len = out.len;
        kith_node_wake(sim_node(h), sim_now(w.s), s);
        sim_drive(h);
        run(&w, KITH_SEC(60)); /* nobody answers */
        assert_int_equal(d.most, KITH_GOSSIP_DIALS_MAX);
        /* Who is in our network itself may tell of others there; nobody of this machine. */
        assert_int_equal(d.all, stranger ? 12 : 14);
        assert_false(b.gone);
        sim_set_watch(w.t[0].host, NULL, NULL);
        kith_node_reset(sim_node(h), sim_now(w.s), s);
        sim_drive(h);
        end(&w);
    }
}

/* It opens one stream after another, of every version, and says nothing on them. */
static void two_streams_of_a_peer_are_read(void **state)
{
    (void)state;
    enum { STREAMS = 12 };
    world w;
    start(&w, 10, 1, 1, NULL);
    join(&w.t[0]);
    sim_host *h = sim_add(w.s, NULL);
    kith_conn *c = sim_connect(w.s, h, w.t[0].host);
    assert_non_null(c);
    blurt b[STREAMS] = {0};
    unsigned open = 0;
    for (unsigned i = 0; i < STREAMS; i++) {
        kith_stream *s;
        kith_bytes id = kith_gossip_version_id((kith_gossip_version)(KITH_GOSSIP_V10 + i % 4));
        assert_int_equal(kith_node_open(sim_node(h), sim_now(w.s), c, &id, 1, &blurt_ops, &b[i], NULL, &s),
                         KITH_OK);
        sim_drive(h);
    }
    run(&w, KITH_SEC(5));
    for (unsigned i = 0; i < STREAMS; i++)
        open += !b[i].gone;
    assert_int_equal(open, KITH_GOSSIP_RX_MAX);
    kith_gossip_part_check(w.t[0].part, sim_now(w.s));
    sim_off(h); /* and its place is free again */
    run(&w, KITH_SEC(5));
    sim_on(h);
    blurt once = {0};
    kith_stream *s;
    kith_bytes id = kith_bytes_str(KITH_GOSSIP_ID_11);
    c = sim_connect(w.s, h, w.t[0].host);
    assert_non_null(c);
    assert_int_equal(kith_node_open(sim_node(h), sim_now(w.s), c, &id, 1, &blurt_ops, &once, NULL, &s),
                     KITH_OK);
    sim_drive(h);
    run(&w, KITH_SEC(5));
    assert_false(once.gone);
    kith_node_reset(sim_node(h), sim_now(w.s), s);
    sim_drive(h);
    end(&w);
}

static void an_rpc_that_is_too_long_ends_the_stream_before_it_comes(void **state)
{
    (void)state;
    uint8_t *p = calloc(1, 4 << 20);
    kith_wr w = kith_wr_of(kith_span_of(p, 4 << 20));
    kith_put_uvarint(&w, KITH_GOSSIP_RPC_MAX + 1);
    blurt b = blurted(kith_bytes_of(p, 4 << 20), KITH_SEC(10));
    assert_true(b.gone && b.why == KITH_ERESET && b.at < 1 << 20);
    /* the longest that is allowed is read, though it is longer than a stream's first window: one unknown field, and the next RPC */
    memset(p, 0, 4 << 20);
    w = kith_wr_of(kith_span_of(p, 4 << 20));
    kith_put_uvarint(&w, KITH_GOSSIP_RPC_MAX);
    kith_put_uvarint(&w, 15 << 3 | 2);
    kith_put_uvarint(&w, KITH_GOSSIP_RPC_MAX - 4);
    size_t next = w.len + KITH_GOSSIP_RPC_MAX - 4;
    b = blurted(kith_bytes_of(p, next), KITH_SEC(10));
    assert_true(!b.gone && b.at == next);
    memset(p + next, 0xff, 10); /* no length at all */
    b = blurted(kith_bytes_of(p, next + 10), KITH_SEC(10));
    assert_true(b.gone && b.why == KITH_ERESET);
    free(p);
}

/* A peer that takes RPCs of 64 KiB, as rust does, and resets what is longer. */
typedef struct miser {
    const kith_env *env;
    unsigned *small, *resets;
    uint8_t head[8];
    size_t head_len, left;
} miser;

static kith_err miser_recv(void *m, kith_time now, kith_bytes in)
{
    miser *x = m;
    (void)now;
    for (size_t i = 0; i < in.len;) {
        if (x->left == 0) {
            x->head[x->head_len++] = in.p[i++];
            kith_rd r = kith_rd_of(kith_bytes_of(x->head, x->head_len));
            uint64_t n = kith_get_uvarint(&r);
            if (r.bad)
                continue;
            x->head_len = 0;
            x->left = (size_t)n;
            if (n > 65536) {
                ++*x->resets;
                return KITH_EPROTO;
            }
            continue;
        }
        size_t n = in.len - i < x->left ? in.len - i : x->left;
        x->left -= n;
        i += n;
        *x->small += x->left == 0;
    }
    return KITH_OK;
}

static size_t miser_send(void *m, kith_time now, kith_span out)
{
    (void)m, (void)now, (void)out;
    return 0;
}

static kith_stream_want miser_want(const void *m)
{
    (void)m;
    return KITH_STREAM_OPEN;
}

static void miser_gone(void *m, kith_time now, kith_err why)
{
    (void)m, (void)now, (void)why;
}

static void miser_free(void *m)
{
    miser *x = m;
    KITH_FREE(x->env, x);
}

static const kith_stream_ops miser_ops = {.recv = miser_recv,
                                          .eof = blurt_eof,
                                          .send = miser_send,
                                          .want = miser_want,
                                          .gone = miser_gone,
                                          .free = miser_free};

typedef struct miserly {
    sim_host *h;
    unsigned small, resets;
} miserly;

static void *miser_accept(void *ctx, const kith_stream_info *info)
{
    miserly *who = ctx;
    (void)info;
    miser *x = KITH_NEW(kith_node_env(sim_node(who->h)), miser);
    if (x) {
        x->env = kith_node_env(sim_node(who->h));
        x->small = &who->small;
        x->resets = &who->resets;
    }
    return x;
}

static void a_peer_that_takes_only_small_rpcs_is_found_out(void **state)
{
    (void)state;
    world w;
    start(&w, 9, 1, 1, NULL);
    join(&w.t[0]);
    miserly who = {.h = sim_add(w.s, NULL)};
    kith_protocol row = {
        .id = kith_bytes_str(KITH_GOSSIP_ID_11), .ops = &miser_ops, .accept = miser_accept, .ctx = &who};
    assert_int_equal(kith_node_serve(sim_node(who.h), 0, &row), KITH_OK);
    kith_conn *c = sim_connect(w.s, who.h, w.t[0].host);
    assert_non_null(c);
    /* it tells that it is in the topic */
    uint8_t hello[32];
    kith_wr wr = kith_wr_of(kith_span_of(hello + 1, 31));
    kith_gossip_put_sub(&wr, true, TOPIC);
    hello[0] = (uint8_t)wr.len;
    blurt b = {.say = kith_bytes_of(hello, wr.len + 1)};
    kith_stream *s;
    assert_int_equal(kith_node_open(sim_node(who.h), sim_now(w.s), c, &row.id, 1, &blurt_ops, &b, NULL, &s),
                     KITH_OK);
    sim_drive(who.h);
    run(&w, KITH_SEC(3));
    unsigned before = who.small;
    say(&w.t[0], 60000);
    say(&w.t[0], 100000);
    run(&w, KITH_SEC(5)); /* the second resets the stream; it is opened again a second later */
    assert_int_equal(who.resets, 1);
    say(&w.t[0], 100000);
    run(&w, KITH_SEC(5));
    assert_int_equal(who.resets, 2);
    say(&w.t[0], 100000);
    say(&w.t[0], 50000);
    run(&w, KITH_SEC(5));
    assert_int_equal(who.resets, 2);
    assert_true(who.small >= before + 2);
    kith_node_reset(sim_node(who.h), sim_now(w.s), s);
    sim_drive(who.h);
    run(&w, KITH_SEC(1));
    end(&w);
}

/* ---- peers to whom our stream does not last ---- */

typedef enum ear_mode {
    HEARS,   /* reads all of it */
    HANGS,   /* resets it at the first byte */
    STUCK,   /* reads nothing */
    TRICKLE, /* reads half of a window in each 20 s */
    SPEAKS,  /* reads all, and says something on it that nobody expects, and then ends its own side */
} ear_mode;

/* What a peer makes of the streams that are opened to it. */
typedef struct ear {
    sim_host *h;
    ear_mode mode; /* of the next stream */
    unsigned opened, gone;
    kith_time opened_at[16], gone_at;
    size_t bytes;  /* read, of the last one */
    size_t said;   /* on it */
    bool breaks;   /* whatever stream something comes on */
    uint8_t *tape; /* what was read, or NULL */
    size_t tape_len;
} ear;

#define TAPE_MAX 65536

typedef struct drum {
    ear *of;
    ear_mode mode;
    size_t held, said;
    kith_time reads_at;
} drum;

#define SPOKEN (1u << 20) /* more than a window */

static kith_err drum_recv(void *m, kith_time now, kith_bytes in)
{
    drum *d = m;
    if (d->mode == HANGS || d->of->breaks)
        return KITH_EPROTO;
    if (d->of->tape) {
        assert_true(in.len <= TAPE_MAX - d->of->tape_len);
        memcpy(d->of->tape + d->of->tape_len, in.p, in.len);
        d->of->tape_len += in.len;
    }
    if (d->mode == STUCK || d->mode == TRICKLE)
        d->held += in.len;
    else
        d->of->bytes += in.len;
    if (d->mode == TRICKLE && d->reads_at == KITH_NEVER)
        d->reads_at = now + KITH_SEC(20);
    return KITH_OK;
}

static size_t drum_send(void *m, kith_time now, kith_span out)
{
    drum *d = m;
    (void)now;
    size_t n = d->mode != SPEAKS ? 0 : out.len < SPOKEN - d->said ? out.len : SPOKEN - d->said;
    memset(out.p, 'x', n);
    d->said += n;
    d->of->said = d->said;
    return n;
}

static kith_stream_want drum_want(const void *m)
{
    const drum *d = m;
    return d->mode == SPEAKS && d->said == SPOKEN ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

static size_t drum_held(const void *m)
{
    return ((const drum *)m)->held;
}

static kith_time drum_deadline(const void *m)
{
    return ((const drum *)m)->reads_at;
}

static void drum_tick(void *m, kith_time now)
{
    drum *d = m;
    if (now < d->reads_at)
        return;
    size_t n = d->held < 128 * 1024 ? d->held : 128 * 1024;
    d->held -= n;
    d->of->bytes += n;
    d->reads_at = now + KITH_SEC(20);
}

static void drum_gone(void *m, kith_time now, kith_err why)
{
    drum *d = m;
    (void)why;
    d->of->gone++;
    d->of->gone_at = now;
    d->reads_at = KITH_NEVER;
}

static void drum_free(void *m)
{
    drum *d = m;
    KITH_FREE(kith_node_env(sim_node(d->of->h)), d);
}

static const kith_stream_ops drum_ops = {.recv = drum_recv,
                                         .eof = blurt_eof,
                                         .send = drum_send,
                                         .want = drum_want,
                                         .held = drum_held,
                                         .deadline = drum_deadline,
                                         .tick = drum_tick,
                                         .gone = drum_gone,
                                         .free = drum_free};

static void *drum_accept(void *ctx, const kith_stream_info *info)
{
    ear *e = ctx;
    (void)info;
    drum *d = KITH_NEW(kith_node_env(sim_node(e->h)), drum);
    assert_non_null(d);
    *d = (drum){.of = e, .mode = e->mode, .reads_at = KITH_NEVER};
    assert_true(e->opened < 16);
    e->opened_at[e->opened++] = sim_time(e->h);
    e->bytes = 0;
    return d;
}

/* A node that gossips, and a peer that says it is in the topic. */
typedef struct heard {
    world w;
    ear e;
    kith_conn *c;   /* at the ear */
    blurt b, other; /* what it says; what it serves besides */
    uint8_t hello[32];
} heard;

static void blurt_on(heard *x, kith_conn *c, blurt *b)
{
    kith_stream *s;
    const kith_bytes id = kith_bytes_str(KITH_GOSSIP_ID_11);
    assert_int_equal(kith_node_open(sim_node(x->e.h), sim_now(x->w.s), c, &id, 1, &blurt_ops, b, NULL, &s),
                     KITH_OK);
    sim_drive(x->e.h);
}

static void prepare(heard *x, uint64_t seed, ear_mode mode, const kith_node_config *cfg)
{
    world *w = &x->w;
    *x = (heard){.w = {.s = sim_new(seed), .count = 1}};
    w->t = calloc(2, sizeof *w->t);
    kith_gossip_config_default(&w->cfg);
    w->cfg.events_max = 2; /* for what_came_before_the_end_is_heard */
    w->t[0].w = w;
    w->t[0].host = sim_add(w->s, cfg);
    start_part(&w->t[0], &w->cfg);
    join(&w->t[0]);
    x->e = (ear){.h = sim_add(w->s, NULL), .mode = mode};
    kith_protocol row = {
        .id = kith_bytes_str(KITH_GOSSIP_ID_11), .ops = &drum_ops, .accept = drum_accept, .ctx = &x->e};
    assert_int_equal(kith_node_serve(sim_node(x->e.h), 0, &row), KITH_OK);
}

static void meet(heard *x)
{
    world *w = &x->w;
    x->c = sim_connect(w->s, x->e.h, w->t[0].host);
    assert_non_null(x->c);
    kith_wr wr = kith_wr_of(kith_span_of(x->hello + 1, 31));
    kith_gossip_put_sub(&wr, true, TOPIC);
    x->hello[0] = (uint8_t)wr.len;
    x->b = (blurt){.say = kith_bytes_of(x->hello, wr.len + 1)};
    blurt_on(x, x->c, &x->b);
}

static void listen(heard *x, uint64_t seed, ear_mode mode, const kith_node_config *cfg)
{
    prepare(x, seed, mode, cfg);
    meet(x);
}

/* The ear serves one more protocol, and identify tells. */
static void tell_of(heard *x, const char *id)
{
    kith_protocol row = {
        .id = kith_bytes_str(id), .ops = &blurt_ops, .accept = blurt_accept, .ctx = &x->other};
    assert_int_equal(kith_node_serve(sim_node(x->e.h), sim_now(x->w.s), &row), KITH_OK);
    sim_drive(x->e.h);
}

static void a_stream_that_is_reset_is_opened_again_less_and_less_often(void **state)
{
    (void)state;
    heard x;
    listen(&x, 20, HANGS, NULL);
    run(&x.w, KITH_SEC(200));
    assert_int_equal(x.e.opened, 1 + KITH_GOSSIP_RETRIES);
    for (unsigned i = 0; i < KITH_GOSSIP_RETRIES; i++) { /* after 1, 2, 4, 8, 16 s */
        kith_time gap = x.e.opened_at[i + 1] - x.e.opened_at[i];
        assert_in_range(gap, KITH_SEC(1u << i), KITH_SEC(1u << i) + KITH_MS(500));
    }
    /* When it tells of other protocols it may be another program by now. */
    tell_of(&x, "/kith-test/one");
    run(&x.w, KITH_SEC(200));
    assert_int_equal(x.e.opened, 2 * (1 + KITH_GOSSIP_RETRIES));
    x.e.mode = HEARS;
    tell_of(&x, "/kith-test/two");
    run(&x.w, KITH_SEC(100));
    assert_int_equal(x.e.opened, 2 * (1 + KITH_GOSSIP_RETRIES) + 1);
    say(&x.w.t[0], 1000);
    run(&x.w, KITH_SEC(2));
    assert_true(x.e.bytes > 1000);
    end(&x.w);
}

/* News of its protocols, or of another connection that has ended. */
static void news_of_a_peer_that_has_a_stream_does_not_hurry_the_next(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        heard x;
        prepare(&x, 27, HEARS, NULL);
        kith_node *n = sim_node(x.w.t[0].host);
        uint64_t id;
        if (i == 1) { /* both dial */
            assert_int_equal(kith_node_dial(n, sim_now(x.w.s), NULL, sim_addr(x.e.h), 1, &id), KITH_OK);
            sim_drive(x.w.t[0].host);
        }
        meet(&x);
        run(&x.w, KITH_SEC(1));
        assert_int_equal(kith_node_conn_count(n), 1 + i);
        kith_conn *kept = kith_node_conn_find(n, kith_node_id(sim_node(x.e.h)));
        if (i == 0) {
            tell_of(&x, "/kith-test/one");
        } else {
            kith_conn *c = kith_node_conn_next(n, NULL);
            kith_node_close(n, sim_now(x.w.s), c == kept ? kith_node_conn_next(n, c) : c);
            sim_drive(x.w.t[0].host);
        }
        run(&x.w, KITH_SEC(3));
        x.e.breaks = true;
        say(&x.w.t[0], 10);
        run(&x.w, KITH_MS(900));
        assert_true(x.e.opened == 1 && x.e.gone == 1);
        x.e.breaks = false;
        run(&x.w, KITH_MS(600));
        assert_true(x.e.opened == 2 && x.e.gone == 1);
        end(&x.w);
    }
}

static void a_peer_that_takes_nothing_for_thirty_seconds_gets_a_new_stream(void **state)
{
    (void)state;
    heard x;
    listen(&x, 21, STUCK, NULL);
    run(&x.w, KITH_SEC(3));
    kith_time from = sim_now(x.w.s);
    for (int i = 0; i < 5; i++)
        say(&x.w.t[0], 100000); /* more than a window */
    run(&x.w, KITH_GOSSIP_STUCK - KITH_SEC(1));
    assert_true(x.e.opened == 1 && x.e.gone == 0);
    x.e.mode = HEARS;
    run(&x.w, KITH_SEC(5));
    assert_true(x.e.opened == 2 && x.e.gone == 1);
    assert_in_range(x.e.gone_at, from + KITH_GOSSIP_STUCK, from + KITH_GOSSIP_STUCK + KITH_SEC(1));
    size_t before = x.e.bytes;
    assert_true(before > 0); /* what it is in, again */
    say(&x.w.t[0], 1000);
    run(&x.w, KITH_SEC(2));
    assert_true(x.e.bytes > before + 1000);
    end(&x.w);
}

static void a_peer_that_is_slow_keeps_its_stream(void **state)
{
    (void)state;
    heard x;
    listen(&x, 22, TRICKLE, NULL);
    run(&x.w, KITH_SEC(3));
    for (int i = 0; i < 12; i++)
        say(&x.w.t[0], 100000);
    run(&x.w, KITH_SEC(100));
    assert_true(x.e.bytes >= 4 * 128 * 1024);
    assert_true(x.e.opened == 1 && x.e.gone == 0);
    end(&x.w);
}

/* There is room for one stream of ours, and another has taken it. */
static void a_stream_that_cannot_be_opened_is_tried_again_less_and_less_often(void **state)
{
    (void)state;
    const kith_bytes id = kith_bytes_str("/kith-test/one");
    for (int longer = 0; longer < 2; longer++) {
        heard x;
        blurt other = {0};
        kith_node_config cfg;
        kith_node_config_default(&cfg);
        cfg.limits.streams_out = 1;
        listen(&x, 23, HEARS, &cfg);
        tell_of(&x, "/kith-test/one");
        run(&x.w, KITH_SEC(3));
        assert_int_equal(x.e.opened, 1);
        kith_node *n = sim_node(x.w.t[0].host);
        kith_conn *c = kith_node_conn_find(n, kith_node_id(sim_node(x.e.h)));
        kith_stream *s;
        x.e.breaks = true;
        say(&x.w.t[0], 10);
        run(&x.w, KITH_MS(200));
        assert_int_equal(x.e.gone, 1);
        x.e.breaks = false;
        assert_int_equal(kith_node_open(n, sim_now(x.w.s), c, &id, 1, &blurt_ops, &other, NULL, &s), KITH_OK);
        sim_drive(x.w.t[0].host);
        run(&x.w, longer ? KITH_SEC(100) : KITH_SEC(5));
        assert_int_equal(x.e.opened, 1);
        kith_node_reset(n, sim_now(x.w.s), s);
        sim_drive(x.w.t[0].host);
        run(&x.w, KITH_SEC(60));
        if (longer) { /* it was given up, until there is news of the peer */
            assert_int_equal(x.e.opened, 1);
            tell_of(&x, "/kith-test/two");
            run(&x.w, KITH_SEC(5));
        } else { /* 1, 2 and 4 s after it was lost */
            assert_in_range(x.e.opened_at[1] - x.e.gone_at, KITH_SEC(7) - KITH_MS(200),
                            KITH_SEC(7) + KITH_MS(200));
        }
        assert_int_equal(x.e.opened, 2);
        size_t before = x.e.bytes;
        assert_true(before > 0);
        say(&x.w.t[0], 1000);
        run(&x.w, KITH_SEC(2));
        assert_true(x.e.bytes > before + 1000);
        end(&x.w);
    }
}

static void what_a_peer_says_on_our_stream_is_not_heard_nor_its_end(void **state)
{
    (void)state;
    heard x;
    listen(&x, 24, SPEAKS, NULL);
    run(&x.w, KITH_SEC(3));
    size_t before = x.e.bytes;
    say(&x.w.t[0], 1000);
    run(&x.w, KITH_SEC(60));
    assert_int_equal(x.e.said, SPOKEN);
    assert_true(x.e.bytes > before + 1000);
    assert_true(x.e.opened == 1 && x.e.gone == 0);
    end(&x.w);
}

/* Of the streams that a peer opens only so many are read at a time, and one that it has ended is none of them. */
static void a_stream_that_its_peer_ends_is_ended_too(void **state)
{
    (void)state;
    heard x;
    blurt b[3 * KITH_GOSSIP_RX_MAX];
    listen(&x, 25, HEARS, NULL);
    for (unsigned i = 0; i < 3 * KITH_GOSSIP_RX_MAX; i++) {
        b[i] = (blurt){.say = x.b.say, .ends = true};
        blurt_on(&x, x.c, &b[i]);
        run(&x.w, KITH_SEC(1));
        assert_true(b[i].gone);
        assert_int_equal(b[i].why, KITH_OK); /* in good order */
    }
    assert_false(x.b.gone);
    assert_int_equal(kith_gossip_peers_of(router(&x.w.t[0]), TOPIC, false, NULL, 0), 1);
    end(&x.w);
}

/* The application has not taken what came before the end; none of it is lost, and the stream ends when it has. */
static void what_came_before_the_end_is_heard(void **state)
{
    (void)state;
    heard x;
    listen(&x, 26, HEARS, NULL);
    world *w = &x.w;
    talker *far = &w->t[1]; /* whom only the ear knows */
    w->count = 2;
    far->w = w;
    far->host = sim_add(w->s, NULL);
    start_part(far, &w->cfg);
    join(far);
    kith_conn *c = sim_connect(w->s, x.e.h, far->host);
    assert_non_null(c);
    x.e.tape = malloc(TAPE_MAX);
    blurt hello = {.say = x.b.say};
    blurt_on(&x, c, &hello);
    run(w, KITH_SEC(3));
    for (int i = 0; i < 10; i++)
        say(far, 100);
    run(w, KITH_SEC(3));
    w->t[0].deaf = true;
    blurt again = {.say = kith_bytes_of(x.e.tape, x.e.tape_len), .ends = true};
    x.e.tape = NULL;
    blurt_on(&x, x.c, &again);
    run(w, KITH_SEC(10));
    assert_true(again.at == again.say.len && !again.gone);
    assert_int_equal(kith_gossip_count(router(&w->t[0])).events, 2);
    w->t[0].deaf = false;
    sim_drive(w->t[0].host);
    run(w, KITH_SEC(5));
    expect_all_heard(w, 0);
    assert_true(again.gone && again.why == KITH_OK);
    free((void *)(uintptr_t)again.say.p);
    end(w);
}

/* An application that takes nothing for a while: peers wait, and nothing is lost. */
static void back_pressure_loses_nothing(void **state)
{
    (void)state;
    world w;
    kith_gossip_config cfg;
    kith_gossip_config_default(&cfg);
    cfg.events_max = 8;
    start(&w, 10, 2, 1, &cfg);
    join(&w.t[0]);
    join(&w.t[1]);
    run(&w, KITH_SEC(3));
    w.t[1].deaf = true;
    for (int i = 0; i < 200; i++)
        say(&w.t[0], 2000);
    run(&w, KITH_SEC(10));
    assert_int_equal(w.t[1].total, 0);
    assert_int_equal(kith_gossip_count(router(&w.t[1])).events, 8);
    w.t[1].deaf = false;
    sim_drive(w.t[1].host);
    run(&w, KITH_SEC(5));
    expect_all_heard(&w, 0);
    end(&w);
}

static void verdicts_decide_how_far_a_message_goes(void **state)
{
    (void)state;
    world w;
    w = (world){.s = sim_new(11), .count = 3};
    w.t = calloc(3, sizeof *w.t);
    kith_gossip_config_default(&w.cfg);
    w.cfg.flood_publish = false;
    for (size_t i = 0; i < 3; i++) {
        w.t[i].w = &w;
        w.t[i].host = sim_add(w.s, NULL);
        w.t[i].judged = i == 1;
        start_part(&w.t[i], &w.cfg);
    }
    dial(&w, 0, 1);
    dial(&w, 2, 1); /* 0 and 2 hear each other only through 1 */
    run(&w, KITH_SEC(2));
    for (size_t i = 0; i < 3; i++)
        join(&w.t[i]);
    run(&w, KITH_SEC(3));
    const kith_gossip_verdict all[] = {KITH_GOSSIP_ACCEPT, KITH_GOSSIP_IGNORE, KITH_GOSSIP_REJECT};
    for (size_t v = 0; v < 3; v++) {
        w.t[1].verdict = all[v];
        say(&w.t[0], 10);
        run(&w, KITH_SEC(8));
        assert_int_equal(w.t[1].heard[v], 1);
        assert_int_equal(w.t[2].heard[v], all[v] == KITH_GOSSIP_ACCEPT);
        kith_peer_id id = *kith_node_id(sim_node(w.t[0].host));
        assert_int_equal(kith_gossip_score_of(router(&w.t[1]), &id) < 0, all[v] == KITH_GOSSIP_REJECT);
    }
    end(&w);
}

/* The same seed, the same bytes. */
static void a_run_repeats_itself(void **state)
{
    (void)state;
    uint64_t hash[2];
    for (int i = 0; i < 2; i++) {
        world w;
        start(&w, 12, 20, 4, NULL);
        for (size_t k = 0; k < w.count; k++)
            join(&w.t[k]);
        run(&w, KITH_SEC(5));
        for (size_t k = 0; k < 20; k++)
            say(&w.t[k], 3000);
        run(&w, KITH_SEC(5));
        hash[i] = sim_hash(w.s);
        end(&w);
    }
    assert_int_equal(hash[0], hash[1]);
}

static void any_allocation_of_a_node_may_fail(void **state)
{
    (void)state;
    for (int64_t nth = 1; nth < 400; nth += 13) {
        world w;
        start(&w, 13, 6, 3, NULL);
        for (size_t k = 0; k < w.count; k++)
            join(&w.t[k]);
        run(&w, KITH_SEC(2));
        sim_fail_alloc(w.t[2].host, nth, false);
        for (size_t k = 0; k < 12; k++) {
            uint8_t data[4];
            kith_store_be32(data, w.sent);
            w.by[w.sent] = (uint32_t)(k % w.count);
            w.sent++;
            (void)!kith_gossip_publish(router(&w.t[k % w.count]), sim_now(w.s), TOPIC, kith_bytes_of(data, 4),
                                       NULL, NULL);
            sim_drive(w.t[k % w.count].host);
            run(&w, KITH_MS(300));
        }
        sim_fail_alloc(w.t[2].host, -1, false);
        run(&w, KITH_SEC(40));
        for (size_t i = 0; i < w.count; i++) {
            for (uint32_t no = 0; no < w.sent; no++)
                assert_true(w.t[i].heard[no] <= 1);
        }
        end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_talk),
        cmocka_unit_test(a_crowd_hears_everything_once_and_meshes_stay_in_bounds),
        cmocka_unit_test(idontwant_saves_duplicates),
        cmocka_unit_test(a_partition_heals),
        cmocka_unit_test(nodes_that_come_and_go_hear_what_is_said_while_they_are_there),
        cmocka_unit_test(peer_exchange_makes_a_network_of_strangers),
        cmocka_unit_test(direct_peers_find_each_other_again),
        cmocka_unit_test(peers_told_of_are_dialled_a_few_at_a_time_and_nowhere_near),
        cmocka_unit_test(two_streams_of_a_peer_are_read),
        cmocka_unit_test(an_rpc_that_is_too_long_ends_the_stream_before_it_comes),
        cmocka_unit_test(a_peer_that_takes_only_small_rpcs_is_found_out),
        cmocka_unit_test(a_stream_that_is_reset_is_opened_again_less_and_less_often),
        cmocka_unit_test(news_of_a_peer_that_has_a_stream_does_not_hurry_the_next),
        cmocka_unit_test(a_peer_that_takes_nothing_for_thirty_seconds_gets_a_new_stream),
        cmocka_unit_test(a_peer_that_is_slow_keeps_its_stream),
        cmocka_unit_test(a_stream_that_cannot_be_opened_is_tried_again_less_and_less_often),
        cmocka_unit_test(what_a_peer_says_on_our_stream_is_not_heard_nor_its_end),
        cmocka_unit_test(a_stream_that_its_peer_ends_is_ended_too),
        cmocka_unit_test(what_came_before_the_end_is_heard),
        cmocka_unit_test(back_pressure_loses_nothing),
        cmocka_unit_test(verdicts_decide_how_far_a_message_goes),
        cmocka_unit_test(a_run_repeats_itself),
        cmocka_unit_test(any_allocation_of_a_node_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
