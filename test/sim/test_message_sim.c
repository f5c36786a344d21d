/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages between two nodes over a bad network, both of which are switched off and on and lose their power: everything that was put into
 * the outbox is taken once, or is over and told so. The outbox and the ids that were taken stand for two disks, and outlive their nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/message_stream.h"
#include "apps/outbox.h"
#include "crypto/crypto.h"
#include "mesh/replay.h"
#include "sim_world.h"

#define MESSAGES 120
#define DOORS 64
#define NOON 1800000000000u /* ms since 1970, at the world's beginning */

typedef struct world {
    sim *s;
    sim_host *a, *b; /* a sends to b */
    /* a's disk */
    kith_outbox *outbox;
    uint8_t *sealed[MESSAGES];
    size_t len[MESSAGES];
    kith_message message[MESSAGES]; /* views of sealed */
    unsigned delivered[MESSAGES], expired[MESSAGES];
    /* a's node */
    kith_stream *stream;
    kith_message_tx *tx;
    uint64_t dial_id;
    bool dialing;
    sim_alarm alarm;
    size_t put;
    /* b's disk */
    bool has[MESSAGES];
    unsigned taken[MESSAGES]; /* by the application */
    unsigned had;
    size_t order[MESSAGES], order_len;
    /* b's node */
    kith_replay *replay;
    kith_message_door *door[DOORS]; /* of every life: what a node leaves refers to its own */
    size_t lives;
} world;

/* Of what is no node's. */
static void disk_rand(void *ctx, kith_span out)
{
    static uint64_t x = 1;
    (void)ctx;
    for (size_t i = 0; i < out.len; i++)
        out.p[i] = (uint8_t)((x = x * 6364136223846793005u + 1442695040888963407u) >> 56);
}

static const kith_env disk = {.alloc = {.fn = kith_heap}, .rand = {.fn = disk_rand}};

static uint64_t wall(const world *w)
{
    return NOON + sim_now(w->s) / KITH_MS(1);
}

static kith_node_config *config(sim_host *h)
{
    return sim_config(h);
}

static size_t index_of(const uint8_t id[KITH_MESSAGE_ID_LEN])
{
    return kith_load_be32(id);
}

/* ---- the receiver ---- */

static void *accept_stream(void *ctx, const kith_stream_info *info)
{
    world *w = ctx;
    return kith_message_rx_new(sim_env(w->b), w->door[w->lives - 1], &info->peer);
}

static void serve(world *w)
{
    assert_true(w->lives < DOORS);
    w->door[w->lives++] = kith_message_door_new(&disk, 100000);
    w->replay = kith_replay_new(&disk);
    assert_true(w->door[w->lives - 1] && w->replay);
    for (size_t i = 0; i < MESSAGES; i++) {
        if (w->has[i])
            assert_int_equal(kith_replay_take(w->replay, &w->message[i], wall(w), true), KITH_OK);
    }
    kith_protocol row = {.id = kith_bytes_str(KITH_MESSAGE_PROTOCOL),
                         .ops = &kith_message_rx_ops,
                         .accept = accept_stream,
                         .ctx = w,
                         .user = w,
                         .streams_per_conn = KITH_MESSAGE_PEER_STREAMS};
    assert_int_equal(kith_node_serve(sim_node(w->b), sim_now(w->s), &row), KITH_OK);
}

static kith_message_code take(world *w, const kith_message *m)
{
    size_t i = index_of(m->id);
    kith_err e = kith_replay_take(w->replay, m, wall(w), true);
    if (e == KITH_EEXISTS) {
        w->had++;
        assert_true(w->has[i]);
        return KITH_MESSAGE_HAD;
    }
    assert_int_equal(e, KITH_OK);
    assert_true(kith_bytes_eq(m->body, w->message[i].body));
    w->has[i] = true;
    w->taken[i]++;
    w->order[w->order_len++ % MESSAGES] = i;
    return KITH_MESSAGE_TAKEN;
}

static void watch_b(void *ctx, sim_host *h, const kith_node_event *ev)
{
    world *w = ctx;
    kith_message_arrival in;
    kith_message m;
    kith_conn_facts f;
    if (ev->kind != KITH_NODE_STREAM_READY || kith_stream_user(ev->stream) != w)
        return;
    kith_conn_facts_get(kith_stream_conn(ev->stream), &f);
    kith_message_link link = {.self = *kith_node_id(sim_node(h)), .peer = f.peer, .pq = f.pq.id};
    kith_message_rx *rx = kith_stream_machine(ev->stream);
    while (kith_message_rx_next(rx, &in)) {
        kith_message_code code = kith_message_judge(in.message, &link, wall(w), &m);
        if (code == KITH_MESSAGE_TAKEN)
            code = take(w, &m);
        assert_true(code == KITH_MESSAGE_TAKEN || code == KITH_MESSAGE_HAD || code == KITH_MESSAGE_EXPIRED);
        kith_message_rx_answer(rx, sim_now(w->s), in.number, m.id, code);
    }
    kith_node_wake(sim_node(h), sim_now(w->s), ev->stream);
}

/* ---- the sender ---- */

static kith_outbox_lane *lane(const world *w)
{
    return kith_outbox_lane_next(w->outbox, NULL);
}

static void expire(world *w)
{
    for (kith_outbox_item *i; (i = kith_outbox_expired(w->outbox, wall(w)));) {
        w->expired[index_of(i->id)]++;
        kith_outbox_remove(w->outbox, i);
    }
}

static void fill(world *w)
{
    kith_outbox_item *i;
    while (lane(w) && (i = kith_outbox_pick(lane(w))) && kith_message_tx_room(w->tx, i->len)) {
        size_t n = index_of(i->id);
        assert_int_equal(
            kith_message_tx_put(w->tx, sim_now(w->s), i->id, kith_bytes_of(w->sealed[n], w->len[n])),
            KITH_OK);
        kith_outbox_fly(i);
    }
    kith_node_wake(sim_node(w->a), sim_now(w->s), w->stream);
}

static void open_stream(world *w, kith_conn *c)
{
    kith_bytes id = kith_bytes_str(KITH_MESSAGE_PROTOCOL);
    w->tx = kith_message_tx_new(sim_env(w->a));
    assert_non_null(w->tx);
    if (kith_node_open(sim_node(w->a), sim_now(w->s), c, &id, 1, &kith_message_tx_ops, w->tx, w,
                       &w->stream)) {
        w->stream = NULL;
        kith_outbox_failed(w->outbox, lane(w), sim_now(w->s));
        return;
    }
    fill(w);
}

/* Does what can be done now. The ids of a protocol are borrowed until it is agreed: a literal lives. */
static void work(world *w)
{
    if (!sim_node(w->a) || !lane(w))
        return;
    (void)kith_outbox_due(w->outbox, sim_now(w->s));
    if (w->stream) {
        fill(w);
    } else if (!lane(w)->resting && !w->dialing && kith_outbox_pick(lane(w))) {
        kith_conn *c = kith_node_conn_find(sim_node(w->a), &lane(w)->peer);
        if (c)
            open_stream(w, c);
        else if (kith_node_dial(sim_node(w->a), sim_now(w->s), &lane(w)->peer, sim_addr(w->b), 1,
                                &w->dial_id))
            kith_outbox_failed(w->outbox, lane(w), sim_now(w->s));
        else
            w->dialing = true;
    }
}

static void land_all(world *w)
{
    if (!lane(w))
        return;
    for (kith_link *k; (k = kith_list_first(&lane(w)->flying));)
        kith_outbox_land(w->outbox, KITH_OF(k, kith_outbox_item, link));
}

static void take_receipts(world *w)
{
    kith_message_receipt r;
    while (kith_message_tx_next(w->tx, &r)) {
        kith_outbox_item *i = kith_outbox_find(w->outbox, r.id);
        assert_non_null(i);
        if (r.code == KITH_MESSAGE_EXPIRED)
            w->expired[index_of(r.id)]++;
        else
            w->delivered[index_of(r.id)]++;
        kith_outbox_wake(w->outbox, lane(w));
        kith_outbox_remove(w->outbox, i);
    }
}

static void watch_a(void *ctx, sim_host *h, const kith_node_event *ev)
{
    world *w = ctx;
    (void)h;
    if (ev->kind == KITH_NODE_DIALED && ev->dial_id == w->dial_id && w->dialing) {
        w->dialing = false;
        if (!ev->conn && lane(w))
            kith_outbox_failed(w->outbox, lane(w), sim_now(w->s));
        work(w);
    } else if (ev->stream && ev->stream == w->stream) {
        take_receipts(w);
        if (ev->kind == KITH_NODE_STREAM_GONE) {
            w->stream = NULL;
            land_all(w);
            if (lane(w) && ev->err)
                kith_outbox_failed(w->outbox, lane(w), sim_now(w->s));
        }
        work(w);
    }
    if (w->outbox)
        kith_outbox_check(w->outbox);
}

/* Puts one message after the other into the outbox, and looks what is due. */
static void on_alarm(void *ctx, sim_alarm *alarm)
{
    world *w = ctx;
    if (sim_node(w->a) && w->put < MESSAGES) {
        size_t n = w->put++;
        kith_outbox_item i = {.priority = w->message[n].priority,
                              .ends = w->message[n].time + w->message[n].ttl * 1000u,
                              .len = w->len[n],
                              .age = n};
        kith_outbox_item *out;
        kith_peer_id to = w->message[n].to;
        memcpy(i.id, w->message[n].id, sizeof i.id);
        assert_int_equal(kith_outbox_add(w->outbox, &to, &i, &out), KITH_OK);
    }
    expire(w);
    work(w);
    if (sim_node(w->a))
        sim_drive(w->a);
    sim_alarm_set(alarm, sim_now(w->s) + KITH_MS(250));
}

static void seal_all(world *w, uint32_t ttl)
{
    static uint8_t content[300000];
    kith_peer_id to;
    to = *kith_node_id(sim_node(w->b));
    for (size_t n = 0; n < MESSAGES; n++) {
        size_t len = n % 10 == 9 ? sizeof content : 20 + n;
        kith_message m = {.time = NOON + n * 250,
                          .ttl = n % 7 == 6 ? 3 : ttl,
                          .priority = (uint8_t)(n % 11),
                          .type = kith_bytes_str("text"),
                          .to = to,
                          .payload = kith_bytes_of(content, len)};
        kith_message_keys keys = {.signer = config(w->a)->signer};
        kith_store_be32(m.id, (uint32_t)n);
        w->sealed[n] = malloc(len + 1024);
        kith_wr out = kith_wr_of(kith_span_of(w->sealed[n], len + 1024));
        assert_int_equal(kith_message_seal(&m, &keys, &out), KITH_OK);
        w->len[n] = out.len;
        assert_int_equal(kith_message_parse(kith_wr_bytes(&out), &w->message[n]), KITH_OK);
    }
}

static void begin(world *w, uint64_t seed, uint32_t loss_ppm, uint32_t ttl)
{
    *w = (world){.s = sim_new(seed)};
    sim_set_path(w->s, (sim_path){.latency = KITH_MS(20),
                                  .jitter = KITH_MS(10),
                                  .bandwidth = 1000000,
                                  .loss_ppm = loss_ppm,
                                  .buffer = 65536});
    w->a = sim_add(w->s, NULL);
    w->b = sim_add(w->s, NULL);
    sim_set_watch(w->a, watch_a, w);
    sim_set_watch(w->b, watch_b, w);
    seal_all(w, ttl);
    w->outbox = kith_outbox_new(&disk);
    assert_non_null(w->outbox);
    serve(w);
    sim_alarm_init(w->s, &w->alarm, on_alarm, w);
    sim_alarm_set(&w->alarm, KITH_MS(1));
}

static void finish(world *w)
{
    sim_alarm_fini(&w->alarm);
    kith_outbox_free(w->outbox);
    w->outbox = NULL;
    kith_replay_free(w->replay);
    if (sim_node(w->a))
        sim_off(w->a);
    if (sim_node(w->b))
        sim_off(w->b);
    for (size_t i = 0; i < w->lives; i++)
        kith_message_door_free(w->door[i]);
    for (size_t n = 0; n < MESSAGES; n++)
        free(w->sealed[n]);
    sim_free(w->s);
}

static void restart_a(world *w, bool power)
{
    if (power)
        sim_vanish(w->a);
    else
        sim_off(w->a);
    w->stream = NULL;
    w->dialing = false;
    land_all(w);
    sim_on(w->a);
}

static void restart_b(world *w, bool power)
{
    if (power)
        sim_vanish(w->b);
    else
        sim_off(w->b);
    sim_run(w->s, sim_now(w->s) + KITH_MS(sim_random(w->s) % 3000));
    kith_replay_free(w->replay);
    sim_on(w->b);
    serve(w);
}

static void expect_once(const world *w)
{
    unsigned told = 0;
    for (size_t n = 0; n < MESSAGES; n++) {
        assert_true(w->taken[n] <= 1);
        assert_int_equal(w->delivered[n] + w->expired[n], 1); /* nothing is lost silently */
        if (w->delivered[n])
            assert_int_equal(w->taken[n], 1);
        told += w->delivered[n];
    }
    assert_true(told > MESSAGES / 2);
    assert_int_equal(kith_outbox_count(w->outbox), 0);
}

static void messages_arrive_once_over_a_network_that_loses(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        world w;
        begin(&w, seed, 20000, 600);
        sim_run(w.s, KITH_SEC(900));
        expect_once(&w);
        assert_int_equal(w.had, 0); /* nothing broke: nothing came twice */
        finish(&w);
    }
}

static void messages_arrive_once_though_both_nodes_come_and_go(void **state)
{
    (void)state;
    unsigned had = 0, expired = 0;
    for (uint64_t seed = 10; seed < 16; seed++) {
        world w;
        begin(&w, seed, 5000, 1200);
        for (int i = 0; i < 30; i++) {
            sim_run(w.s, sim_now(w.s) + KITH_MS(300 + sim_random(w.s) % 2500));
            uint64_t what = sim_random(w.s);
            if (what & 1)
                restart_a(&w, what & 2);
            else
                restart_b(&w, what & 2);
        }
        sim_run(w.s, sim_now(w.s) + KITH_SEC(1300));
        expect_once(&w);
        had += w.had;
        for (size_t n = 0; n < MESSAGES; n++)
            expired += w.expired[n];
        finish(&w);
    }
    assert_true(had > 0);     /* some receipts were lost, and their messages came again */
    assert_true(expired > 0); /* and some had no time for that */
}

static void what_waited_leaves_by_priority_then_age(void **state)
{
    (void)state;
    world w;
    begin(&w, 30, 0, 1200);
    sim_off(w.b);
    sim_run(w.s, KITH_SEC(40)); /* all of them wait */
    assert_int_equal(w.put, MESSAGES);
    kith_replay_free(w.replay);
    sim_on(w.b);
    serve(&w);
    sim_run(w.s, KITH_SEC(600));
    for (size_t i = 1; i < w.order_len; i++) {
        const kith_message *x = &w.message[w.order[i - 1]], *y = &w.message[w.order[i]];
        assert_true(x->priority > y->priority || (x->priority == y->priority && w.order[i - 1] < w.order[i]));
    }
    assert_true(w.order_len > 80);
    expect_once(&w);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_arrive_once_over_a_network_that_loses),
        cmocka_unit_test(messages_arrive_once_though_both_nodes_come_and_go),
        cmocka_unit_test(what_waited_leaves_by_priority_then_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
