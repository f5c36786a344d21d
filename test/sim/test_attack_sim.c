/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Hostile peers that pass the handshake and then do their worst to a node, while an honest peer goes on being served. What a hostile peer
 * costs in memory is measured to the byte: the node's allocator counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "proto/mss.h"
#include "proto/ping.h"
#include "sim_echo.h"
#include "sim_hostile.h"
#include "sim_world.h"
#include "wire/pb.h"

#define KIB ((size_t)1024)
#define BAD_MAX 16

/* ---- the arena: the node under attack, an honest one, and hostile peers, joined by wires without latency ---- */

typedef struct bad {
    sim_hostile *peer;
    kith_conn *conn; /* at the node; NULL: over */
    bool deaf;       /* takes nothing that the node sends */
    size_t backlog;  /* bytes that the node's socket holds for it meanwhile */
} bad;

typedef struct arena {
    kith_time now;
    uint64_t rng;
    size_t memory, peak, allocs; /* of the node under attack */
    int64_t fail_in;             /* allocations of the node until one fails; 0: none does */
    kith_env env, env_honest;
    kith_node *node, *honest;
    kith_signer *signer[2];
    kith_pq_signer *pq[2];
    kith_conn *to_honest, *to_node; /* the wire between the two, at each end */
    kith_stream *stream;
    kith_ping *ping;
    unsigned pongs;
    bad bad[BAD_MAX];
    unsigned disconnected, refused, updated, identified, identify_failed, opened, dial_failed;
    kith_err err;
    const char *why;
    char told[KITH_REASON_MAX]; /* a copy of it */
    unsigned dials, resolves;
    uint64_t resolve_id;     /* of the last name */
    size_t protocols, addrs; /* of the last identify or push */
    size_t agent_len;
} arena;

#define SOCKET_MAX (256 * KIB) /* what a socket takes before it is full */

static void *counting(void *ctx, void *p, size_t old, size_t size)
{
    arena *a = ctx;
    if (size > old && a->fail_in > 0 && --a->fail_in == 0)
        return NULL;
    a->memory = a->memory - old + size;
    a->allocs += size > old;
    if (a->memory > a->peak)
        a->peak = a->memory;
    return kith_heap(NULL, p, old, size);
}

static void dice(void *ctx, kith_span out)
{
    arena *a = ctx;
    for (size_t i = 0; i < out.len; i++) {
        a->rng = a->rng * 6364136223846793005u + 1442695040888963407u;
        out.p[i] = (uint8_t)(a->rng >> 56);
    }
}

static bad *bad_of(kith_conn *c)
{
    return kith_conn_link(c);
}

static void over(arena *a, const kith_node_event *ev)
{
    a->err = ev->err;
    a->why = ev->why;
    snprintf(a->told, sizeof a->told, "%s", ev->why ? ev->why : "");
}

static void on_event(arena *a, const kith_node_event *ev)
{
    switch (ev->kind) {
    case KITH_NODE_KEY: /* qkd is off */
        break;
    case KITH_NODE_WORK:
        kith_node_work(ev->conn);
        kith_node_worked(a->node, a->now, ev->conn);
        break;
    case KITH_NODE_CLOSE:
        if (bad_of(ev->conn))
            bad_of(ev->conn)->conn = NULL;
        else
            a->to_honest = NULL;
        break;
    case KITH_NODE_DISCONNECTED:
        a->disconnected++;
        over(a, ev);
        break;
    case KITH_NODE_REFUSED:
        a->refused++;
        over(a, ev);
        break;
    case KITH_NODE_DIAL:
        a->dials++;
        kith_conn_set_link(ev->conn, &a->bad[BAD_MAX - 1]); /* nobody, unless somebody waits for it */
        for (size_t i = 0; i < BAD_MAX; i++) {
            if (a->bad[i].peer && !a->bad[i].conn) {
                a->bad[i].conn = ev->conn;
                kith_conn_set_link(ev->conn, &a->bad[i]);
                break;
            }
        }
        break;
    case KITH_NODE_DIALED:
        a->dial_failed += ev->conn == NULL;
        if (!ev->conn) {
            a->err = ev->err;
            a->why = ev->why;
        }
        break;
    case KITH_NODE_IDENTIFIED:
    case KITH_NODE_UPDATED:
        if (ev->kind == KITH_NODE_UPDATED)
            a->updated++;
        else if (ev->info)
            a->identified++;
        else
            a->identify_failed++;
        if (ev->info) {
            a->protocols = ev->info->protocol_count;
            a->addrs = ev->info->addr_count;
            a->agent_len = ev->info->agent.len;
        }
        break;
    case KITH_NODE_STREAM_OPENED:
        a->opened++;
        break;
    case KITH_NODE_RESOLVE:
        a->resolves++;
        a->resolve_id = ev->resolve_id;
        break;
    case KITH_NODE_CONNECTED:
    case KITH_NODE_STREAM_READY:
    case KITH_NODE_STREAM_GONE:
        break;
    }
}

static void on_honest_event(arena *a, const kith_node_event *ev)
{
    kith_ping_event p;
    switch (ev->kind) {
    case KITH_NODE_DIAL:
        a->to_node = ev->conn;
        break;
    case KITH_NODE_KEY: /* qkd is off */
        break;
    case KITH_NODE_WORK:
        kith_node_work(ev->conn);
        kith_node_worked(a->honest, a->now, ev->conn);
        break;
    case KITH_NODE_CLOSE:
        a->to_node = NULL;
        break;
    case KITH_NODE_STREAM_READY:
        while (a->ping && kith_ping_next(a->ping, &p))
            a->pongs += p.kind == KITH_PING_RTT;
        break;
    case KITH_NODE_STREAM_GONE:
        a->stream = NULL;
        a->ping = NULL;
        break;
    case KITH_NODE_RESOLVE:
    case KITH_NODE_CONNECTED:
    case KITH_NODE_IDENTIFIED:
    case KITH_NODE_UPDATED:
    case KITH_NODE_DISCONNECTED:
    case KITH_NODE_REFUSED:
    case KITH_NODE_DIALED:
    case KITH_NODE_STREAM_OPENED:
        break;
    }
}

/* Carries out everything that is due now. */
static void drive(arena *a)
{
    static uint8_t buf[256 * 1024];
    kith_node_event ev;
    for (bool again = true; again;) {
        again = false;
        while (kith_node_next(a->node, a->now, &ev))
            on_event(a, &ev);
        while (kith_node_next(a->honest, a->now, &ev))
            on_honest_event(a, &ev);
        for (kith_conn *c; (c = kith_node_writer(a->node));) {
            bad *b = bad_of(c);
            again = true;
            if (b && b->deaf && b->backlog >= SOCKET_MAX) {
                kith_node_blocked(a->node, c);
                continue;
            }
            size_t n = kith_node_send(a->node, a->now, c, kith_span_of(buf, sizeof buf));
            if (b && b->deaf)
                b->backlog += n;
            else if (b && b->peer && n)
                sim_hostile_recv(b->peer, kith_bytes_of(buf, n));
            else if (!b && n && a->to_node)
                kith_node_recv(a->honest, a->now, a->to_node, kith_span_of(buf, n));
        }
        for (kith_conn *c; (c = kith_node_writer(a->honest));) {
            again = true;
            size_t n = kith_node_send(a->honest, a->now, c, kith_span_of(buf, sizeof buf));
            if (n && a->to_honest)
                kith_node_recv(a->node, a->now, a->to_honest, kith_span_of(buf, n));
        }
    }
    kith_node_check(a->node);
}

/* What a hostile peer has to say goes to the node, and the answer comes back, until neither has more. */
static void push_bad(arena *a, bad *b)
{
    static uint8_t buf[128 * 1024];
    for (;;) {
        size_t n = sim_hostile_send(b->peer, kith_span_of(buf, sizeof buf));
        if (n == 0 || !b->conn)
            return;
        kith_node_recv(a->node, a->now, b->conn, kith_span_of(buf, n));
        drive(a);
    }
}

static void wait(arena *a, kith_time by)
{
    kith_time until = a->now + by;
    for (;;) {
        kith_time at = kith_node_deadline(a->node), other = kith_node_deadline(a->honest);
        bool mine = at <= other;
        if ((mine ? at : other) > until)
            break;
        a->now = mine ? at : other;
        kith_node_tick(mine ? a->node : a->honest, a->now);
        drive(a);
        for (size_t i = 0; i < BAD_MAX; i++) {
            if (a->bad[i].peer && a->bad[i].conn)
                push_bad(a, &a->bad[i]);
        }
    }
    a->now = until;
}

static void addr_of(unsigned i, kith_maddr *out)
{
    uint8_t ip[4] = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
    kith_maddr_from_tcp(kith_bytes_of(ip, 4), 4001, out);
}

/* It is there, and has not said a word. */
static bad *enter(arena *a, uint64_t seed, unsigned ip)
{
    bad *b = a->bad;
    while (b->peer)
        b++;
    assert_true(b < a->bad + BAD_MAX);
    *b = (bad){.peer = sim_hostile_new(seed, true)};
    kith_maddr at;
    const char *why;
    addr_of(ip, &at);
    if (kith_node_accept(a->node, a->now, &at, &at, &b->conn, &why)) {
        a->why = why;
        b->conn = NULL;
        return b;
    }
    kith_conn_set_link(b->conn, b);
    drive(a);
    return b;
}

static bad *meet(arena *a, uint64_t seed, unsigned ip)
{
    bad *b = enter(a, seed, ip);
    push_bad(a, b);
    return b;
}

/* The honest peer asks, and is answered at once. */
static void honest_ping(arena *a)
{
    static const kith_bytes id[] = {{(const uint8_t *)KITH_PING_ID, sizeof KITH_PING_ID - 1}};
    assert_non_null(a->to_node);
    if (!a->stream) {
        a->ping = kith_ping_new(&a->env_honest);
        assert_int_equal(
            kith_node_open(a->honest, a->now, a->to_node, id, 1, &kith_ping_ops, a->ping, NULL, &a->stream),
            KITH_OK);
    }
    unsigned before = a->pongs;
    assert_int_equal(kith_ping_start(a->ping, a->now), KITH_OK);
    kith_node_wake(a->honest, a->now, a->stream);
    drive(a);
    assert_int_equal(a->pongs, before + 1);
}

static void start_with(arena *a, kith_node_config *cfg)
{
    uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
    kith_maddr at;
    const char *why;
    uint64_t id;
    assert_int_equal(kith_crypto_init(), KITH_OK);
    *a = (arena){.now = KITH_SEC(1), .rng = 1};
    a->env = (kith_env){.alloc = {.ctx = a, .fn = counting}, .rand = {.ctx = a, .fn = dice}};
    a->env_honest = (kith_env){.alloc = {.fn = kith_heap}, .rand = {.ctx = a, .fn = dice}};
    for (int i = 0; i < 2; i++) {
        seed[0] = (uint8_t)(i + 1);
        a->signer[i] = kith_signer_new(seed);
        kith_node_config c;
        kith_node_config_default(&c);
        if (i == 0)
            c = *cfg;
        c.env = i ? a->env_honest : a->env;
        c.signer = a->signer[i];
        assert_int_equal(kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, sizeof seed), &a->pq[i]),
                         KITH_OK);
        c.pq_signer = a->pq[i];
        kith_node *n = kith_node_new(&c, a->now);
        assert_non_null(n);
        *(i ? &a->honest : &a->node) = n;
    }
    kith_protocol row = {
        .id = kith_bytes_str(SIM_ECHO_ID), .ops = &sim_echo_ops, .accept = sim_echo_accept, .ctx = &a->env};
    assert_int_equal(kith_node_serve(a->node, a->now, &row), KITH_OK);
    addr_of(1, &at);
    assert_int_equal(kith_node_dial(a->honest, a->now, NULL, &at, 1, &id), KITH_OK);
    drive(a);
    assert_non_null(a->to_node);
    assert_int_equal(kith_node_accept(a->node, a->now, &at, &at, &a->to_honest, &why), KITH_OK);
    kith_node_connected(a->honest, a->now, a->to_node, NULL, NULL);
    drive(a);
    honest_ping(a);
    assert_int_equal(a->identified, 1);
}

static kith_node_config config(void)
{
    kith_node_config c;
    kith_node_config_default(&c);
    return c;
}

static void start(arena *a)
{
    kith_node_config c = config();
    start_with(a, &c);
}

static void finish(arena *a)
{
    if (a->to_node)
        honest_ping(a);
    for (size_t i = 0; i < BAD_MAX; i++)
        sim_hostile_free(a->bad[i].peer);
    kith_node_free(a->node);
    kith_node_free(a->honest);
    assert_int_equal(a->memory, 0);
    kith_signer_free(a->signer[0]);
    kith_signer_free(a->signer[1]);
    kith_pq_signer_free(a->pq[0]);
    kith_pq_signer_free(a->pq[1]);
}

/* From here on peak is what the node holds at most, and allocs what it asks for. */
static size_t mark(arena *a)
{
    a->peak = a->memory;
    a->allocs = 0;
    return a->memory;
}

/* ---- floods ---- */

static void a_flood_of_syns_costs_the_streams_allowed_and_no_more(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 7, 2);
    assert_true(sim_hostile_ready(b->peer));
    size_t before = mark(&a);
    for (int i = 0; i < 4000 && b->conn; i++) {
        sim_hostile_frame(b->peer, HOSTILE_UPDATE, HOSTILE_SYN, sim_hostile_next_id(b->peer), 0);
        if (i % 500 == 499)
            push_bad(&a, b);
    }
    assert_non_null(b->conn);
    assert_in_range(kith_node_usage(a.node).streams, 1024, 1024 + 8);
    assert_true(sim_hostile_heard(b->peer)->resets >= 4000 - 1024);
    assert_int_equal(sim_hostile_heard(b->peer)->rst_code, KITH_YAMUX_RST_LIMIT);
    assert_true(a.peak - before < 1024 * KIB); /* 1 KiB for each stream that waits for its protocol */
    honest_ping(&a);
    /* Streams on which nothing is ever agreed end at the deadline. */
    wait(&a, KITH_SEC(11));
    assert_in_range(kith_node_usage(a.node).streams, 0, 8);
    assert_true(a.memory - before < 64 * KIB);
    finish(&a);
}

/* HTTP/2's "rapid reset": what is reset at once does not count against the streams allowed. */
static void CVE_2023_44487_opening_and_resetting_streams_at_once_ends_the_session(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 8, 2);
    size_t before = mark(&a);
    unsigned pairs = 0;
    while (b->conn && pairs < 20000) {
        for (int i = 0; i < 2000; i++, pairs++) {
            uint32_t id = sim_hostile_open(b->peer, SIM_ECHO_ID, 0);
            sim_hostile_frame(b->peer, HOSTILE_UPDATE, HOSTILE_RST, id, 0);
        }
        push_bad(&a, b);
    }
    assert_null(b->conn);
    assert_in_range(pairs, 2000, 8000);
    assert_int_equal(a.err, KITH_ELIMIT);
    assert_int_equal(sim_hostile_heard(b->peer)->goaways, 1);
    assert_true(a.peak - before < 2048 * KIB); /* what one delivery can leave until the owner was told */
    finish(&a);
}

static void a_flood_of_pings_ends_the_session(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 9, 2);
    size_t before = mark(&a);
    unsigned pings = 0;
    for (; b->conn && pings < 200000; pings++) {
        sim_hostile_frame(b->peer, HOSTILE_PING, HOSTILE_SYN, 0, pings);
        if (pings % 1000 == 999)
            push_bad(&a, b);
    }
    assert_null(b->conn);
    assert_in_range(pings, 65536, 67000);
    assert_int_equal(a.err, KITH_ELIMIT);
    assert_true(a.peak - before < 128 * KIB);
    finish(&a);
}

static void a_ping_now_and_then_is_answered_for_ever(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 9, 2);
    for (unsigned i = 0; i < 500000; i += 100) { /* 10,000 in a second */
        for (unsigned k = 0; k < 100; k++) {
            sim_hostile_frame(b->peer, HOSTILE_PING, HOSTILE_SYN, 0, i + k);
            if (k % 16 == 15)
                push_bad(&a, b);
        }
        push_bad(&a, b);
        a.now += KITH_MS(10);
    }
    assert_non_null(b->conn);
    assert_int_equal(sim_hostile_heard(b->peer)->pongs, 500000);
    finish(&a);
}

static void answers_to_pings_that_nobody_sent_end_the_session(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 10, 2);
    for (unsigned i = 0; b->conn && i < 80000; i++) {
        sim_hostile_frame(b->peer, HOSTILE_PING, HOSTILE_ACK, 0, i);
        if (i % 1000 == 999)
            push_bad(&a, b);
    }
    assert_null(b->conn);
    assert_int_equal(a.err, KITH_ELIMIT);
    finish(&a);
}

static void a_flood_of_window_updates_ends_the_session(void **state)
{
    (void)state;
    static const uint32_t deltas[] = {0, 1, 1023, 65536, 0x7fffffff};
    for (size_t k = 0; k < sizeof deltas / sizeof *deltas; k++) {
        arena a;
        start(&a);
        bad *b = meet(&a, 11 + k, 2);
        uint32_t id = sim_hostile_open(b->peer, SIM_ECHO_ID, 0);
        push_bad(&a, b);
        size_t before = mark(&a);
        unsigned i = 0;
        for (; b->conn && i < 200000; i++) {
            sim_hostile_frame(b->peer, HOSTILE_UPDATE, 0, id, deltas[k]);
            if (i % 1000 == 999)
                push_bad(&a, b);
        }
        push_bad(&a, b);
        assert_null(b->conn);
        assert_int_equal(a.err, deltas[k] < 1024 ? KITH_ELIMIT : KITH_EPROTO);
        assert_true(a.peak - before < 128 * KIB);
        finish(&a);
    }
}

static void a_tiny_frame_in_tiny_records_costs_no_more_than_its_echo(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 17, 2);
    uint32_t id = sim_hostile_open(b->peer, SIM_ECHO_ID, 0);
    push_bad(&a, b);
    size_t before = mark(&a);
    unsigned updates = sim_hostile_heard(b->peer)->updates;
    sim_hostile_record_max(b->peer, 5); /* a frame in three records */
    for (unsigned i = 0; i < 70000; i++) {
        uint8_t one = (uint8_t)i;
        sim_hostile_data(b->peer, 0, id, kith_bytes_of(&one, 1));
        push_bad(&a, b);
    }
    assert_non_null(b->conn);
    assert_in_range(sim_hostile_heard(b->peer)->payload, 70000, 70200); /* and what negotiation took */
    assert_in_range(sim_hostile_heard(b->peer)->updates, updates, updates + 1);
    assert_in_range(a.allocs, 0, 70000 + 10); /* the echo's buffer */
    assert_true(a.peak - before < 8 * KIB);
    finish(&a);
}

enum { TINY = 700, PART = 200 };

/* A record of TINY frames of one byte, sealed; the bytes go on from `first`. */
static size_t tiny_frames(bad *b, uint32_t id, unsigned first, kith_span out)
{
    for (unsigned i = 0; i < TINY; i++) {
        uint8_t one = (uint8_t)((first + i) * 7);
        sim_hostile_data(b->peer, 0, id, kith_bytes_of(&one, 1));
    }
    return sim_hostile_send(b->peer, out);
}

static void check_echo(bad *b, unsigned count)
{
    kith_bytes echo = sim_hostile_payload(b->peer);
    assert_int_equal(echo.len, count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(echo.p[i], (uint8_t)(i * 7));
}

static void a_record_full_of_tiny_frames_is_taken_in_parts(void **state)
{
    (void)state;
    static uint8_t buf[64 * 1024];
    enum { AT_ONCE, THE_REST_WITH_THE_NEXT, CLOSED, ENDS };
    for (int end = 0; end < ENDS; end++) {
        arena a;
        start(&a);
        bad *b = meet(&a, 17, 2);
        uint32_t id = sim_hostile_open(b->peer, SIM_ECHO_ID, 0);
        push_bad(&a, b);
        (void)sim_hostile_payload(b->peer); /* what negotiation took */
        size_t n = tiny_frames(b, id, 0, kith_span_of(buf, sizeof buf)), before = mark(&a);
        uint64_t cost = kith_conn_cost(b->conn);
        kith_node_recv_some(a.node, a.now, b->conn, kith_span_of(buf, n), PART);
        for (unsigned parts = 1;; parts++) {
            uint64_t took = kith_conn_cost(b->conn) - cost;
            assert_true(took <= PART + n / 128 + 20); /* and what the record itself costs */
            drive(&a);
            if (!kith_conn_laden(b->conn)) {
                assert_int_equal(parts, TINY / PART + 1);
                break;
            }
            if (end != AT_ONCE && parts == 2)
                break;
            cost = kith_conn_cost(b->conn);
            kith_node_go_on(a.node, a.now, b->conn, PART);
        }
        if (end == AT_ONCE)
            check_echo(b, TINY);
        assert_true(a.peak - before < 32 * KIB);
        if (end == THE_REST_WITH_THE_NEXT) {
            n = tiny_frames(b, id, TINY, kith_span_of(buf, sizeof buf));
            kith_node_recv(a.node, a.now, b->conn, kith_span_of(buf, n));
            assert_false(kith_conn_laden(b->conn));
            drive(&a);
            check_echo(b, 2 * TINY);
        }
        if (end == CLOSED) {
            kith_node_close(a.node, a.now, b->conn);
            drive(&a);
            assert_null(b->conn);
            sim_hostile_mute(b->peer, true);
        }
        finish(&a);
    }
}

static void several_records_at_once_are_taken_in_parts_too(void **state)
{
    (void)state;
    static uint8_t buf[64 * 1024];
    arena a;
    start(&a);
    bad *b = meet(&a, 17, 2);
    uint32_t id = sim_hostile_open(b->peer, SIM_ECHO_ID, 0);
    push_bad(&a, b);
    (void)sim_hostile_payload(b->peer);
    size_t n = tiny_frames(b, id, 0, kith_span_of(buf, sizeof buf));
    n += tiny_frames(b, id, TINY, kith_span_of(buf + n, sizeof buf - n));
    kith_node_recv_some(a.node, a.now, b->conn, kith_span_of(buf, n), PART);
    for (unsigned parts = 1; kith_conn_laden(b->conn); parts++) {
        assert_true(parts < 2 * TINY / PART + 2);
        drive(&a);
        kith_node_go_on(a.node, a.now, b->conn, PART);
    }
    drive(&a);
    check_echo(b, 2 * TINY);
    finish(&a);
}

/* What is wrong comes to light in a later part, or when the next bytes come. */
static void what_is_wrong_behind_the_first_part_ends_the_session(void **state)
{
    (void)state;
    static uint8_t buf[64 * 1024];
    for (int by_the_next = 0; by_the_next < 2; by_the_next++) {
        arena a;
        start(&a);
        bad *b = meet(&a, 17, 2);
        uint32_t id = sim_hostile_open(b->peer, SIM_ECHO_ID, 0);
        push_bad(&a, b);
        for (unsigned i = 0; i < TINY; i++)
            sim_hostile_data(b->peer, 0, id, kith_bytes_str("x"));
        sim_hostile_frame(b->peer, 99, 0, 0, 0);
        size_t n = sim_hostile_send(b->peer, kith_span_of(buf, sizeof buf));
        kith_node_recv_some(a.node, a.now, b->conn, kith_span_of(buf, n), PART);
        drive(&a);
        assert_true(b->conn && kith_conn_laden(b->conn));
        n = tiny_frames(b, id, 0, kith_span_of(buf, sizeof buf));
        if (by_the_next)
            kith_node_recv(a.node, a.now, b->conn, kith_span_of(buf, n));
        for (unsigned parts = 0; b->conn && kith_conn_laden(b->conn) && parts < TINY / PART + 1; parts++) {
            kith_node_go_on(a.node, a.now, b->conn, PART);
            drive(&a);
        }
        drive(&a);
        assert_null(b->conn);
        assert_int_equal(a.err, KITH_EPROTO);
        finish(&a);
    }
}

/* Without an early muxer it is negotiated inside the channel; rubbish there ends the connection, too. */
static void rubbish_where_the_muxer_is_negotiated_ends_the_connection(void **state)
{
    (void)state;
    static const kith_bytes said[] = {{(const uint8_t *)"\x81\x00", 2},                  /* not minimal */
                                      {(const uint8_t *)"\x13/multistream/9.9.9\n", 20}, /* another version */
                                      {(const uint8_t *)"\xff\xff\xff\xff", 4}};         /* endless length */
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        arena a;
        kith_node_config cfg = config();
        cfg.no_early_muxer = true;
        start_with(&a, &cfg);
        bad *b = meet(&a, 17, 2);
        assert_true(b->conn && sim_hostile_ready(b->peer));
        sim_hostile_say(b->peer, said[i]);
        push_bad(&a, b);
        assert_null(b->conn);
        assert_int_equal(a.err, KITH_EPROTO);
        finish(&a);
    }
}

/* Then nothing is left for later, and nothing lost. */
static void without_memory_for_what_is_left_a_record_is_taken_whole(void **state)
{
    (void)state;
    static uint8_t buf[64 * 1024];
    unsigned whole = 0;
    for (int nth = 1; nth < 10; nth++) {
        arena a;
        start(&a);
        bad *b = meet(&a, 17, 2);
        uint32_t id = sim_hostile_open(b->peer, SIM_ECHO_ID, 0);
        push_bad(&a, b);
        (void)sim_hostile_payload(b->peer);
        size_t n = tiny_frames(b, id, 0, kith_span_of(buf, sizeof buf));
        a.fail_in = nth;
        kith_node_recv_some(a.node, a.now, b->conn, kith_span_of(buf, n), PART);
        bool failed = a.fail_in == 0, laden = kith_conn_laden(b->conn);
        a.fail_in = 0;
        while (kith_conn_laden(b->conn))
            kith_node_go_on(a.node, a.now, b->conn, PART);
        drive(&a);
        if (sim_hostile_heard(b->peer)->resets == 0) { /* else the echo had no memory */
            check_echo(b, TINY);
            whole += failed && !laden;
        }
        finish(&a);
    }
    assert_int_equal(whole, 1);
}

static void data_frames_without_a_byte_end_the_session(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 18, 2);
    uint32_t id = sim_hostile_open(b->peer, SIM_ECHO_ID, 0);
    push_bad(&a, b);
    for (unsigned i = 0; b->conn && i < 80000; i++) {
        sim_hostile_frame(b->peer, HOSTILE_DATA, 0, id, 0);
        if (i % 1000 == 999)
            push_bad(&a, b);
    }
    assert_null(b->conn);
    assert_int_equal(a.err, KITH_ELIMIT);
    finish(&a);
}

/* HTTP/2's "MadeYouReset": the peer makes us reset its streams, which costs it nothing and frees its place. */
static void CVE_2025_8671_streams_that_we_have_to_reset_leave_nothing(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 19, 2);
    size_t streams = kith_node_usage(a.node).streams;
    uint8_t pings[KITH_PING_LEN * (KITH_PING_QUEUE + 1)] = {0};
    size_t before = 0;
    unsigned resets = 0;
    for (unsigned i = 0; b->conn && i < 3000; i++) {
        uint32_t id = sim_hostile_open(b->peer, KITH_PING_ID, 0);
        sim_hostile_data(b->peer, 0, id,
                         kith_bytes_of(pings, sizeof pings)); /* more than the responder takes */
        push_bad(&a, b);
        assert_int_equal(kith_node_usage(a.node).streams, streams);
        if (i == 0) {
            before = mark(&a);
            resets = sim_hostile_heard(b->peer)->resets;
        }
    }
    assert_non_null(b->conn);
    assert_int_equal(sim_hostile_heard(b->peer)->resets, resets + 2999);
    assert_true(a.peak - before < 16 * KIB); /* one stream at a time */
    assert_int_equal(a.memory, before);
    assert_in_range(a.allocs, 0, 2999 * 10);
    finish(&a);
}

/* rust-yamux: what waits to be sent grew without end while the peer did not read. */
static void CVE_2024_32984_what_waits_for_a_peer_that_does_not_read_is_bounded(void **state)
{
    (void)state;
    arena a;
    kith_node_config cfg = config();
    cfg.limits.streams_in = 100;
    start_with(&a, &cfg);
    bad *b = meet(&a, 29, 2);
    size_t before = mark(&a);
    b->deaf = true;
    b->backlog = SOCKET_MAX;
    for (unsigned i = 0; i < 100; i++) /* each owes an ACK, and window */
        sim_hostile_frame(b->peer, HOSTILE_UPDATE, HOSTILE_SYN, sim_hostile_next_id(b->peer), 0);
    for (unsigned i = 0; i < 10000; i++) /* pongs */
        sim_hostile_frame(b->peer, HOSTILE_PING, HOSTILE_SYN, 0, i);
    for (unsigned i = 0; i < 1000; i++) /* a RST for each that is one too many */
        sim_hostile_frame(b->peer, HOSTILE_UPDATE, HOSTILE_SYN, sim_hostile_next_id(b->peer), 0);
    push_bad(&a, b);
    assert_non_null(b->conn);
    assert_int_equal(a.disconnected, 0);
    assert_true(a.peak - before < 100 * KIB + 16 * KIB);
    for (unsigned i = 0; i < 2000; i++)
        sim_hostile_frame(b->peer, HOSTILE_UPDATE, HOSTILE_SYN, sim_hostile_next_id(b->peer), 0);
    push_bad(&a, b);
    assert_int_equal(a.disconnected, 1);
    assert_string_equal(a.why, "too many streams beyond the limit");
    assert_true(a.peak - before < 100 * KIB + 16 * KIB);
    wait(&a, KITH_SEC(2));
    assert_null(b->conn);
    finish(&a);
}

/* rust-yamux: the sum of a window and its update was more than 32 bits hold. */
static void CVE_2026_31814_a_window_update_that_overflows_ends_the_session(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        arena a;
        start(&a);
        bad *b = meet(&a, 15, 2);
        uint32_t id = sim_hostile_next_id(b->peer);
        if (kind == 0) { /* in the frame that opens the stream */
            sim_hostile_frame(b->peer, HOSTILE_UPDATE, HOSTILE_SYN, id, 0xffffffff);
        } else {
            sim_hostile_frame(b->peer, HOSTILE_UPDATE, HOSTILE_SYN, id, 0);
            sim_hostile_frame(b->peer, HOSTILE_UPDATE, 0, id,
                              kind == 1 ? 0xffffffff : 0xffffffff - KITH_YAMUX_WINDOW_INIT);
        }
        push_bad(&a, b);
        if (kind == 2) { /* nearly as much as there may be, and more */
            assert_non_null(b->conn);
            sim_hostile_frame(b->peer, HOSTILE_UPDATE, 0, id, 1024);
            push_bad(&a, b);
        }
        assert_null(b->conn);
        assert_int_equal(a.err, KITH_EPROTO);
        assert_string_equal(a.why, "a window larger than 2^32-1");
        finish(&a);
    }
}

/* ---- rules that other implementations forgot ---- */

static void GHSA_vxx9_2994_q338_an_oversized_data_syn_frame(void **state)
{
    (void)state;
    static const uint32_t lens[] = {256 * 1024 + 1, 16u << 20, 0x7fffffff, 0xffffffff};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        arena a;
        start(&a);
        bad *b = meet(&a, 20 + i, 2);
        sim_hostile_frame(b->peer, HOSTILE_DATA, HOSTILE_SYN, sim_hostile_next_id(b->peer), lens[i]);
        sim_hostile_say(b->peer, kith_bytes_str("and some of the payload"));
        push_bad(&a, b);
        assert_null(b->conn);
        assert_int_equal(a.err, KITH_EPROTO);
        assert_string_equal(a.why, "data beyond the receive window");
        assert_int_equal(sim_hostile_heard(b->peer)->goaway, KITH_YAMUX_PROTOCOL_ERROR);
        finish(&a);
    }
}

static void data_beyond_the_window_ends_the_session(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 25, 2);
    b->deaf = true; /* so that the echo cannot leave and no window comes back */
    sim_hostile_mute(b->peer, true);
    uint32_t id = sim_hostile_open(b->peer, SIM_ECHO_ID, 0);
    push_bad(&a, b);
    uint8_t *block = calloc(1, 64 * KIB);
    size_t before = mark(&a);
    unsigned blocks = 0;
    for (; !a.disconnected && blocks < 1000; blocks++) {
        sim_hostile_data(b->peer, 0, id, kith_bytes_of(block, 64 * KIB));
        push_bad(&a, b);
    }
    free(block);
    assert_int_equal(a.err, KITH_EPROTO);
    assert_string_equal(a.why, "data beyond the receive window");
    assert_in_range(blocks, 4, 40);
    assert_true(a.peak - before < 2560 * KIB); /* its window, which had grown while the echo could leave */
    wait(&a, KITH_SEC(2));                     /* its socket is full: the goodbye is given up */
    assert_null(b->conn);
    finish(&a);
}

/* It reads what it is sent and grants nothing for it, so the echo stays in its machine. */
static void what_a_machine_holds_is_not_granted_again(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 28, 2);
    uint32_t id = sim_hostile_open(b->peer, SIM_ECHO_ID, 0);
    push_bad(&a, b);
    uint8_t *block = calloc(1, 16 * KIB);
    size_t before = mark(&a);
    unsigned blocks = 0;
    for (; b->conn && blocks < 1000; blocks++) {
        sim_hostile_data(b->peer, 0, id, kith_bytes_of(block, 16 * KIB));
        push_bad(&a, b);
        a.now += KITH_MS(100); /* slow: its window does not grow */
    }
    free(block);
    assert_int_equal(a.err, KITH_EPROTO);
    assert_string_equal(a.why, "data beyond the receive window");
    assert_in_range(blocks, 17, 32); /* one window that was echoed, less than one that was not */
    assert_true(a.peak - before < 1024 * KIB);
    finish(&a);
}

static void frames_on_streams_that_are_over_are_ignored_within_reason(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 26, 2);
    uint32_t id = sim_hostile_open(b->peer, SIM_ECHO_ID, HOSTILE_FIN);
    push_bad(&a, b);
    assert_int_equal(sim_hostile_heard(b->peer)->fins, 1); /* it is over */
    for (unsigned i = 0; i < 1000; i++) {
        sim_hostile_data(b->peer, 0, id, kith_bytes_str("more"));
        sim_hostile_frame(b->peer, HOSTILE_UPDATE, 0, id, 100000);
        sim_hostile_frame(b->peer, HOSTILE_UPDATE, HOSTILE_RST, id, 0);
        sim_hostile_frame(b->peer, HOSTILE_DATA, HOSTILE_FIN, id, 0);
        sim_hostile_frame(b->peer, HOSTILE_UPDATE, HOSTILE_ACK, id + 1, 0); /* one of ours that never was */
    }
    push_bad(&a, b);
    assert_non_null(b->conn);
    sim_hostile_open(b->peer, SIM_ECHO_ID, HOSTILE_FIN);
    push_bad(&a, b);
    assert_int_equal(sim_hostile_heard(b->peer)->fins, 2);
    for (unsigned i = 0; b->conn && i < 80000; i++)
        sim_hostile_data(b->peer, 0, id, kith_bytes_str("more"));
    push_bad(&a, b);
    assert_null(b->conn);
    assert_int_equal(a.err, KITH_ELIMIT);
    finish(&a);
}

static void after_goaway_nothing_is_opened_to_the_peer_and_its_own_streams_go_on(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 27, 2);
    sim_hostile_frame(b->peer, HOSTILE_GOAWAY, 0, 0, 0);
    push_bad(&a, b);
    assert_non_null(b->conn);
    kith_stream *s;
    sim_caller m = {.total = 10};
    static const kith_bytes id[] = {{(const uint8_t *)SIM_ECHO_ID, sizeof SIM_ECHO_ID - 1}};
    assert_int_equal(kith_node_open(a.node, a.now, b->conn, id, 1, &sim_caller_ops, &m, NULL, &s),
                     KITH_ESTATE);
    drive(&a);
    for (int i = 0; i < 300; i++)
        sim_hostile_open(b->peer, SIM_ECHO_ID, HOSTILE_FIN);
    push_bad(&a, b);
    assert_int_equal(sim_hostile_heard(b->peer)->fins, 300);
    for (unsigned i = 0; b->conn && i < 80000; i++)
        sim_hostile_frame(b->peer, HOSTILE_GOAWAY, 0, 0, 0);
    push_bad(&a, b);
    assert_null(b->conn);
    finish(&a);
}

/* A peer may end the connection with a reason, which is told as its, whatever number it makes of it. */
static void a_goaway_with_a_code_ends_the_connection_and_is_told(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        kith_err err;
        const char *word;
    } cases[] = {
        {1, KITH_ERESET, "broke the protocol"},
        {0x1001, KITH_EREFUSED, "limits"},
        {0x1006, KITH_ECLOSED, "the peer is stopping"},
        {0x1007, KITH_EREFUSED, "'kith trust accept 12D3Koo"},
        {0xffffffff, KITH_ERESET, "that only it knows"},
    };
    arena a;
    size_t after = 0;
    start(&a);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bad *b = meet(&a, 127, 2);
        sim_hostile_open(b->peer, SIM_ECHO_ID, 0);
        for (int k = 0; k < 100; k++) /* the first one counts */
            sim_hostile_frame(b->peer, HOSTILE_GOAWAY, 0, 0, cases[i].code);
        push_bad(&a, b);
        assert_int_equal(b->conn != NULL, cases[i].err == KITH_ECLOSED);
        if (b->conn) { /* and goes on until the peer closes it */
            sim_hostile_frame(b->peer, HOSTILE_PING, HOSTILE_SYN, 0, 7);
            push_bad(&a, b);
            assert_int_equal(sim_hostile_heard(b->peer)->pongs, 1);
            kith_node_eof(a.node, a.now, b->conn);
            drive(&a);
        }
        assert_int_equal(a.disconnected, i + 1);
        assert_int_equal(a.err, cases[i].err);
        assert_non_null(strstr(a.told, cases[i].word));
        assert_true(i == 0 || mark(&a) == after);
        after = mark(&a);
        honest_ping(&a);
        sim_hostile_free(b->peer);
        b->peer = NULL;
    }
    finish(&a);
}

static kith_err not_this_one(void *ctx, const kith_contact *c, char why[KITH_REASON_MAX])
{
    const kith_peer_id *unwanted = ctx;
    snprintf(why, KITH_REASON_MAX, "an inner secret");
    return kith_peer_id_eq(&c->peer, unwanted) ? KITH_EAUTH : KITH_OK;
}

/* It learns the standard code and nothing else; one that takes nothing more is not waited for. */
static void who_is_refused_is_told_the_code_and_not_waited_for(void **state)
{
    (void)state;
    sim_hostile *first = sim_hostile_new(128, true);
    kith_peer_id unwanted = *sim_hostile_id(first);
    kith_node_config cfg = config();
    cfg.trust = not_this_one;
    cfg.trust_ctx = &unwanted;
    sim_hostile_free(first);
    arena a;
    start_with(&a, &cfg);
    size_t before = mark(&a);
    bad *b = meet(&a, 128, 2);
    assert_null(b->conn);
    assert_int_equal(a.refused, 1);
    assert_int_equal(a.err, KITH_EAUTH);
    const sim_heard *heard = sim_hostile_heard(b->peer);
    assert_int_equal(heard->goaways, 1);
    assert_int_equal(heard->goaway, KITH_YAMUX_CONN_GATED);
    assert_int_equal(heard->frames, 1);
    assert_int_equal(kith_node_usage(a.node).conns_in, 1); /* the honest one */
    assert_int_equal(mark(&a), before);

    /* Its socket was full before, and stays so. */
    b = enter(&a, 128, 3);
    static uint8_t buf[64 * 1024];
    for (size_t n; (n = sim_hostile_send(b->peer, kith_span_of(buf, sizeof buf))) > 0;) {
        b->deaf = sim_hostile_ready(b->peer); /* it has the node's last word of the handshake */
        b->backlog = SOCKET_MAX;
        kith_node_recv(a.node, a.now, b->conn, kith_span_of(buf, n));
        drive(&a);
    }
    assert_true(b->deaf);
    assert_non_null(b->conn);
    assert_int_equal(a.refused, 2);
    assert_int_equal(kith_node_usage(a.node).conns_in, 2);
    wait(&a, KITH_SEC(1));
    assert_null(b->conn);
    assert_int_equal(kith_node_usage(a.node).conns_in, 1);
    assert_int_equal(mark(&a), before);
    finish(&a);
}

/* Whatever runs out on the way, it is refused and nothing of it stays. */
static void without_memory_it_is_refused_all_the_same(void **state)
{
    (void)state;
    sim_hostile *first = sim_hostile_new(130, true);
    kith_peer_id unwanted = *sim_hostile_id(first);
    kith_node_config cfg = config();
    cfg.trust = not_this_one;
    cfg.trust_ctx = &unwanted;
    sim_hostile_free(first);
    arena a;
    start_with(&a, &cfg);
    size_t before = mark(&a);
    unsigned told = 0;
    for (int64_t nth = 1, left = 0; left == 0; nth++) {
        assert_true(nth < 100);
        a.fail_in = nth;
        bad *b = meet(&a, 130, 2);
        left = a.fail_in;
        a.fail_in = 0;
        assert_null(b->conn);
        assert_int_equal(mark(&a), before);
        told += sim_hostile_heard(b->peer)->goaway == KITH_YAMUX_CONN_GATED;
        sim_hostile_free(b->peer);
        b->peer = NULL;
    }
    assert_in_range(told, 2, 100); /* at the end, and without memory for our own sentence */
    finish(&a);
}

/* Whoever answers where it dialled learns no more than that it hung up: its key is in the message that it keeps back. */
static void a_dialer_that_refuses_does_not_say_who_it_is(void **state)
{
    (void)state;
    sim_hostile *peer = sim_hostile_new(129, false);
    kith_peer_id unwanted = *sim_hostile_id(peer);
    kith_node_config cfg = config();
    cfg.trust = not_this_one;
    cfg.trust_ctx = &unwanted;
    arena a;
    start_with(&a, &cfg);
    bad *b = &a.bad[0];
    kith_maddr at;
    uint64_t id;
    b->peer = peer;
    addr_of(2, &at);
    assert_int_equal(kith_node_dial(a.node, a.now, NULL, &at, 1, &id), KITH_OK);
    drive(&a);
    assert_non_null(b->conn);
    kith_node_connected(a.node, a.now, b->conn, &at, &at);
    drive(&a);
    push_bad(&a, b);
    assert_null(b->conn);
    assert_int_equal(a.dial_failed, 1);
    assert_int_equal(a.err, KITH_EAUTH);
    assert_false(sim_hostile_ready(peer));
    finish(&a);
}

/* ---- peers that do not read ---- */

static void a_peer_that_never_reads_costs_a_socket_buffer_and_is_dropped_when_silent(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 30, 2);
    b->deaf = true;
    sim_hostile_mute(b->peer, true);
    size_t before = mark(&a);
    uint8_t *block = calloc(1, 60 * KIB);
    for (int i = 0; i < 100; i++) {
        uint32_t id = sim_hostile_open(b->peer, SIM_ECHO_ID, 0);
        sim_hostile_data(b->peer, 0, id, kith_bytes_of(block, 60 * KIB));
        for (int k = 0; k < 30; k++)
            sim_hostile_frame(b->peer, HOSTILE_PING, HOSTILE_SYN, 0, (uint32_t)k);
        push_bad(&a, b);
    }
    free(block);
    /* Its 6 MB lie in the echo machines, which say so and give no window for them; nothing else grew. */
    assert_non_null(b->conn);
    assert_true(a.peak - before < 100 * 80 * KIB);
    honest_ping(&a);
    wait(&a, KITH_SEC(60));
    assert_null(b->conn);
    assert_int_equal(a.err, KITH_ETIMEOUT);
    assert_true(a.memory < before);
    finish(&a);
}

static void a_peer_that_pings_and_never_reads_fills_one_small_queue(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 31, 2);
    b->deaf = true;
    uint32_t id = sim_hostile_open(b->peer, KITH_PING_ID, 0);
    push_bad(&a, b);
    size_t before = mark(&a), streams = kith_node_usage(a.node).streams;
    uint8_t ping[KITH_PING_LEN] = {0};
    for (unsigned i = 0; i < 8000; i++) { /* half of them fill its socket */
        sim_hostile_data(b->peer, 0, id, kith_bytes_of(ping, sizeof ping));
        push_bad(&a, b);
    }
    assert_non_null(b->conn);
    assert_true(a.peak - before < 2 * KITH_PING_LEN * KITH_PING_QUEUE + KIB);
    assert_int_equal(kith_node_usage(a.node).streams, streams - 1); /* it was reset */
    finish(&a);
}

/* A session that dies takes its streams with it: none of them may look as if both sides had closed it. */
static void a_stream_cut_off_by_a_broken_session_did_not_end_well(void **state)
{
    (void)state;
    static const kith_bytes id[] = {{(const uint8_t *)SIM_ECHO_ID, sizeof SIM_ECHO_ID - 1}};
    for (int kind = 0; kind < 2; kind++) {
        arena a;
        start(&a);
        bad *b = meet(&a, 35, 2);
        sim_caller m = {.total = 100};
        kith_stream *s;
        assert_int_equal(kith_node_open(a.node, a.now, b->conn, id, 1, &sim_caller_ops, &m, NULL, &s),
                         KITH_OK);
        drive(&a);
        push_bad(&a, b);
        assert_false(m.gone);
        if (kind == 0) {
            sim_hostile_frame(b->peer, 99, 0, 0, 0);
            push_bad(&a, b);
            assert_int_equal(m.err, KITH_EPROTO);
        } else {
            sim_hostile_mute(b->peer, true);
            sim_hostile_open(b->peer, SIM_ECHO_ID, 0); /* keeps the connection from being idle */
            push_bad(&a, b);
            uint32_t mine = sim_hostile_heard(b->peer)->last_syn;
            sim_hostile_data(b->peer, HOSTILE_ACK, mine,
                             kith_bytes_str("\x13/multistream/1.0.0\n\x12" SIM_ECHO_ID "\n"));
            push_bad(&a, b);
            wait(&a, KITH_SEC(60)); /* pings stay without answer */
            assert_int_equal(m.err, KITH_ETIMEOUT);
        }
        assert_true(m.gone && !m.eof);
        assert_int_equal(a.disconnected, 1);
        finish(&a);
    }
}

/* ---- identify ---- */

/* One identify message, length first, filled with as many protocols and addresses as fit. */
static size_t put_identify(uint8_t *out, size_t size, size_t body, unsigned round, bool protocols)
{
    uint8_t msg[9000];
    kith_wr m = kith_wr_of(kith_span_of(msg, body)), w = kith_wr_of(kith_span_of(out, size));
    for (unsigned i = 0;; i++) {
        char id[40];
        kith_maddr at;
        snprintf(id, sizeof id, "/made/up/by/somebody/%u/%u", round, i);
        addr_of(round * 1000 + i + 1, &at);
        kith_bytes v = protocols ? kith_bytes_str(id) : kith_maddr_bytes(&at);
        if (body - m.len < v.len + 4)
            break;
        kith_pb_put_bytes(&m, protocols ? 3 : 2, v);
    }
    assert_false(m.bad);
    kith_put_lp(&w, kith_wr_bytes(&m));
    assert_false(w.bad);
    return w.len;
}

/* In the manner of CVE-2023-40583: more and more of what a peer says about itself. */
static void CVE_2023_40583_what_a_peer_says_of_itself_is_not_hoarded(void **state)
{
    (void)state;
    arena a;
    kith_node_config c = config();
    c.limits.rate_pushes = 600; /* the rate has a test of its own */
    start_with(&a, &c);
    bad *b = meet(&a, 40, 2);
    size_t before = mark(&a), after_first = 0;
    static uint8_t msg[9000];
    for (unsigned round = 0; round < 200; round++) {
        uint32_t id = sim_hostile_open(b->peer, KITH_IDENTIFY_PUSH_ID, 0);
        for (unsigned chunk = 0; chunk < 10; chunk++)
            sim_hostile_data(
                b->peer, 0, id,
                kith_bytes_of(msg, put_identify(msg, sizeof msg, 8000, round * 10 + chunk, chunk % 2)));
        sim_hostile_frame(b->peer, HOSTILE_DATA, HOSTILE_FIN, id, 0);
        push_bad(&a, b);
        if (round == 0)
            after_first = a.memory;
        a.now += KITH_MS(100);
    }
    assert_non_null(b->conn);
    assert_int_equal(a.updated, 200);
    assert_int_equal(a.protocols, KITH_IDENTIFY_PROTOCOLS_MAX);
    assert_int_equal(a.addrs, KITH_IDENTIFY_ADDRS_MAX);
    assert_true(a.memory < after_first + KIB); /* later numbers have more digits */
    assert_true(a.memory - before < 6 * KIB);  /* PEER_PROTOCOLS_MAX and what belongs to any connection */
    assert_true(a.peak - before < 256 * KIB);
    finish(&a);
}

static void identify_messages_too_many_or_too_long_cost_their_stream_only(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 41, 2);
    static uint8_t msg[9000];
    for (int kind = 0; kind < 3; kind++) {
        unsigned resets = sim_hostile_heard(b->peer)->resets;
        uint32_t id = sim_hostile_open(b->peer, KITH_IDENTIFY_PUSH_ID, 0);
        push_bad(&a, b);
        if (kind == 0) {
            for (unsigned chunk = 0; chunk < 11; chunk++)
                sim_hostile_data(b->peer, 0, id,
                                 kith_bytes_of(msg, put_identify(msg, sizeof msg, 100, chunk, true)));
        } else if (kind == 1) {
            sim_hostile_data(b->peer, 0, id,
                             kith_bytes_of(msg, put_identify(msg, sizeof msg, 8500, 0, true)));
        } else {
            sim_hostile_data(b->peer, 0, id, kith_bytes_str("\xff\xff\xff\xff\xff\x7f"));
        }
        push_bad(&a, b);
        assert_int_equal(sim_hostile_heard(b->peer)->resets, resets + 1);
    }
    assert_int_equal(a.updated, 0);
    assert_non_null(b->conn);
    finish(&a);
}

static void pushes_beyond_the_rate_are_refused_and_the_others_heard(void **state)
{
    (void)state;
    arena a;
    kith_node_config c = config();
    c.limits.rate_pushes = 6;
    start_with(&a, &c);
    bad *b = meet(&a, 44, 2);
    const sim_heard *heard = sim_hostile_heard(b->peer);
    static const uint8_t news[] = {6, 0x32, 4, 'n', 'e', 'w', 's'}; /* an agentVersion */
    unsigned resets = heard->resets;
    for (unsigned i = 0; i < 10; i++) {
        uint32_t id = sim_hostile_open(b->peer, KITH_IDENTIFY_PUSH_ID, 0);
        sim_hostile_data(b->peer, HOSTILE_FIN, id, kith_bytes_of(news, sizeof news));
        push_bad(&a, b);
        assert_int_equal(a.updated, i < 6 ? i + 1 : 6);
        assert_int_equal(heard->resets - resets, i < 6 ? 0 : i - 5);
    }
    assert_int_equal(heard->rst_code, KITH_YAMUX_RST_RATE);
    wait(&a, KITH_SEC(10));
    for (unsigned i = 0; i < 2; i++) {
        uint32_t id = sim_hostile_open(b->peer, KITH_IDENTIFY_PUSH_ID, 0);
        sim_hostile_data(b->peer, HOSTILE_FIN, id, kith_bytes_of(news, sizeof news));
        push_bad(&a, b);
        assert_int_equal(a.updated, 7);
    }
    assert_non_null(b->conn);
    finish(&a);
}

static void an_identify_that_never_ends_is_given_up(void **state)
{
    (void)state;
    arena a;
    start(&a);
    size_t streams = kith_node_usage(a.node).streams;
    bad *b = meet(&a, 42, 2); /* it never answers the node's own question either */
    uint32_t id = sim_hostile_open(b->peer, KITH_IDENTIFY_PUSH_ID, 0);
    static uint8_t msg[9000];
    sim_hostile_data(b->peer, 0, id, kith_bytes_of(msg, put_identify(msg, sizeof msg, 8000, 0, true)));
    push_bad(&a, b);
    assert_int_equal(kith_node_usage(a.node).streams, streams + 2);
    wait(&a, KITH_SEC(9));
    assert_int_equal(kith_node_usage(a.node).streams, streams + 2);
    wait(&a, KITH_SEC(2));
    assert_int_equal(kith_node_usage(a.node).streams, streams);
    assert_int_equal(a.identify_failed, 1);
    assert_int_equal(a.updated, 0);
    finish(&a);
}

/* A command waits for identify to end, well or not: it may not wait for ever because there was no memory to ask. */
static void without_memory_for_identify_its_failure_is_told(void **state)
{
    (void)state;
    unsigned unasked = 0, survived = 0;
    for (int64_t n = 1; n < 60; n++) {
        arena a;
        start(&a);
        a.fail_in = n;
        bad *b = meet(&a, 48, 2);
        a.fail_in = 0;
        unasked += b->conn && a.identify_failed == 1 && a.err == KITH_OK;
        wait(&a, KITH_SEC(11)); /* identify has 10 s */
        kith_conn_facts f = {0};
        if (b->conn)
            kith_conn_facts_get(b->conn, &f);
        if (f.open) {
            survived++;
            assert_true(f.identified);
            assert_int_equal(a.identified + a.identify_failed,
                             2); /* once for the honest peer, once for this one */
        }
        finish(&a);
    }
    assert_true(unasked > 0);
    assert_true(survived > unasked);
}

static void pushes_and_questions_at_once_are_few(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        unsigned allowed;
    } rows[] = {{KITH_IDENTIFY_PUSH_ID, 2}, {KITH_PING_ID, 4}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        arena a;
        start(&a);
        bad *b = meet(&a, 45, 2);
        size_t streams = kith_node_usage(a.node).streams, before = mark(&a);
        unsigned resets = sim_hostile_heard(b->peer)->resets;
        for (int i = 0; i < 100; i++)
            sim_hostile_open(b->peer, rows[k].id, 0);
        push_bad(&a, b);
        assert_int_equal(kith_node_usage(a.node).streams, streams + rows[k].allowed);
        assert_int_equal(sim_hostile_heard(b->peer)->resets, resets + 100 - rows[k].allowed);
        assert_true(a.memory - before < 8 * KIB);
        finish(&a);
    }
}

/* Identify answers are longer than the question: a peer that does not read them gets four. */
static void identify_is_not_said_without_end_to_a_peer_that_does_not_read(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 46, 2);
    size_t streams = kith_node_usage(a.node).streams, before = mark(&a);
    b->deaf = true;
    b->backlog = SOCKET_MAX;
    for (int i = 0; i < 500; i++)
        sim_hostile_open(b->peer, KITH_IDENTIFY_ID, 0);
    push_bad(&a, b);
    assert_non_null(b->conn);
    assert_int_equal(kith_node_usage(a.node).streams, streams + 4);
    assert_true(a.memory - before < 500 * 200 + 8 * KIB); /* the others wait for their RST to be sent */
    finish(&a);
}

/* ---- negotiation ---- */

static void proposals_without_end_reset_the_stream(void **state)
{
    (void)state;
    static const char *const words[] = {"\x03ls\n", "\x03na\n", "\x12/no/such/protocol\n", "\x01\n"};
    for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
        arena a;
        start(&a);
        bad *b = meet(&a, 50 + k, 2);
        size_t before = mark(&a);
        uint32_t id = sim_hostile_open(b->peer, NULL, 0);
        unsigned resets = sim_hostile_heard(b->peer)->resets, said = 0;
        for (; said < 1000 && sim_hostile_heard(b->peer)->resets == resets; said++) {
            sim_hostile_data(b->peer, 0, id, kith_bytes_str(words[k]));
            push_bad(&a, b);
        }
        assert_in_range(said, 64, 66);
        assert_non_null(b->conn);
        assert_true(a.peak - before < 8 * KIB);
        finish(&a);
    }
}

static void rubbish_instead_of_a_proposal_resets_the_stream(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } rubbish[] = {
        {"\x13/multistream/1.0.0\n\x00", 21},                  /* length zero */
        {"\x13/multistream/1.0.0\n\x81\x00", 22},              /* not minimal */
        {"\x13/multistream/1.0.0\n\xff\xff\xff\xff", 24},      /* endless length */
        {"\x00", 1},                                           /* what cannot be the hello */
        {"\x13/multistream/1.0.0\n\x11/ipfs/ping/1.0.0!", 38}, /* no newline */
        {"\x13/multistream/9.9.9\n", 20},                      /* another version */
        {"\x16\x03\x01\x02\x00 a TLS client hello ...", 29},   /* somebody else's protocol */
    };
    arena a;
    start(&a);
    bad *b = meet(&a, 55, 2);
    for (size_t k = 0; k < sizeof rubbish / sizeof *rubbish; k++) {
        unsigned resets = sim_hostile_heard(b->peer)->resets;
        sim_hostile_data(b->peer, HOSTILE_SYN, sim_hostile_next_id(b->peer),
                         kith_bytes_of(rubbish[k].bytes, rubbish[k].len));
        push_bad(&a, b);
        assert_int_equal(sim_hostile_heard(b->peer)->resets, resets + 1);
    }
    assert_non_null(b->conn);
    finish(&a);
}

/* The codes are go-libp2p's, which tells them to its applications. */
static void a_reset_says_why(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 56, 2);
    const sim_heard *heard = sim_hostile_heard(b->peer);
    struct {
        const char *protocol, *payload;
        unsigned flags;
        uint32_t code;
    } cases[] = {
        {NULL, "\x05ping!", 0, KITH_YAMUX_RST_NEGOTIATION},
        {NULL, "", HOSTILE_FIN, KITH_YAMUX_RST_NEGOTIATION},                            /* hangs up first */
        {KITH_IDENTIFY_PUSH_ID, "\x02\xff\xff", HOSTILE_FIN, KITH_YAMUX_RST_VIOLATION}, /* no protobuf */
        {KITH_IDENTIFY_ID, "why would I talk?", 0, KITH_YAMUX_RST_VIOLATION},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        unsigned resets = heard->resets;
        uint32_t id = sim_hostile_open(b->peer, cases[k].protocol, 0);
        sim_hostile_data(b->peer, cases[k].flags, id, kith_bytes_str(cases[k].payload));
        push_bad(&a, b);
        assert_int_equal(heard->resets, resets + 1);
        assert_int_equal(heard->rst_code, cases[k].code);
    }
    for (unsigned i = 0, resets = heard->resets; i < 5; i++) { /* a fifth ping stream is one too many */
        sim_hostile_open(b->peer, KITH_PING_ID, 0);
        push_bad(&a, b);
        assert_int_equal(heard->resets, resets + (i == 4));
    }
    assert_int_equal(heard->rst_code, KITH_YAMUX_RST_LIMIT);
    unsigned resets = heard->resets;
    sim_hostile_open(b->peer, NULL, 0); /* and says nothing more */
    push_bad(&a, b);
    wait(&a, KITH_SEC(11));
    assert_int_equal(heard->resets, resets + 1 + 1); /* and our identify, which it did not answer */
    assert_int_equal(heard->rst_code, KITH_YAMUX_RST_NEGOTIATION);
    assert_non_null(b->conn);
    finish(&a);
}

static void streams_beyond_those_of_all_together_are_reset_for_a_limit(void **state)
{
    (void)state;
    arena a;
    kith_node_config c = config();
    c.limits.streams = 1;
    start_with(&a, &c);
    bad *b = meet(&a, 57, 2);
    const sim_heard *heard = sim_hostile_heard(b->peer);
    for (unsigned i = 0; i < KITH_STREAMS_ASSURED && heard->resets == 0;
         i++) { /* ours for identify is one of them */
        sim_hostile_open(b->peer, NULL, 0);
        push_bad(&a, b);
    }
    assert_int_equal(heard->resets, 1);
    assert_int_equal(heard->rst_code, KITH_YAMUX_RST_LIMIT);
    finish(&a);
}

static void streams_left_in_negotiation_cost_little_and_go_at_the_deadline(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 56, 2);
    size_t before = mark(&a);
    for (int i = 0; i < 1000; i++) {
        uint32_t id = sim_hostile_open(b->peer, NULL, 0);
        uint8_t part[600] = {0xff, 0x07}; /* most of a message of 1023 bytes */
        sim_hostile_data(b->peer, 0, id, kith_bytes_of(part, sizeof part));
        if (i % 100 == 99)
            push_bad(&a, b);
    }
    assert_non_null(b->conn);
    assert_true(kith_node_usage(a.node).streams >= 1000);
    assert_true(a.peak - before < 1000 * 2 * KIB);
    honest_ping(&a);
    wait(&a, KITH_SEC(11));
    assert_in_range(kith_node_usage(a.node).streams, 0, 8);
    assert_true(a.memory - before < 64 * KIB);
    finish(&a);
}

/* ---- names: whoever runs the DNS of a name is a stranger too ---- */

static void name_of(unsigned i, kith_maddr *out)
{
    char text[60];
    const char *why;
    snprintf(text, sizeof text, "/dnsaddr/name-%u.example", i);
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), out, &why), KITH_OK);
}

static void names_that_lead_to_names_are_followed_four_deep(void **state)
{
    (void)state;
    arena a;
    start(&a);
    kith_maddr name;
    uint64_t id;
    name_of(0, &name);
    assert_int_equal(kith_node_dial(a.node, a.now, NULL, &name, 1, &id), KITH_OK);
    drive(&a);
    unsigned answered = 0;
    for (; a.dial_failed == 0 && answered < 100; answered++) {
        assert_int_equal(a.resolves, answered + 1);
        name_of(answered + 1, &name);
        kith_node_resolved(a.node, a.now, a.resolve_id, &name, 1, KITH_OK);
        drive(&a);
    }
    assert_int_equal(answered, 1 + 4);
    assert_int_equal(a.dial_failed, 1);
    assert_int_equal(a.err, KITH_ENOTFOUND);
    assert_non_null(a.why);
    finish(&a);
}

static void a_name_with_many_addresses_is_dialled_at_some_of_them(void **state)
{
    (void)state;
    arena a;
    start(&a);
    kith_maddr name, many[100];
    uint64_t id;
    name_of(0, &name);
    for (unsigned i = 0; i < 100; i++)
        addr_of(1000 + i, &many[i]); /* near ones: they are tried all at once */
    size_t before = mark(&a);
    assert_int_equal(kith_node_dial(a.node, a.now, NULL, &name, 1, &id), KITH_OK);
    drive(&a);
    kith_node_resolved(a.node, a.now, a.resolve_id, many, 100, KITH_OK);
    drive(&a);
    assert_int_equal(a.dials, 24 - 1); /* the name is one of the 24 */
    assert_int_equal(kith_node_usage(a.node).dials, 23);
    assert_true(a.peak - before < 24 * 4 * KIB);
    wait(&a, KITH_SEC(6)); /* nobody answers */
    assert_int_equal(a.dial_failed, 1);
    assert_int_equal(a.err, KITH_ETIMEOUT);
    assert_int_equal(kith_node_usage(a.node).dials, 0);
    finish(&a);
}

/* ---- many at once ---- */

/* Every hostile connection takes all the streams it can; the honest peer still gets its own. */
static void hostile_peers_cannot_take_the_honest_ones_streams(void **state)
{
    (void)state;
    arena a;
    kith_node_config cfg = config();
    cfg.limits.streams = 200;
    cfg.limits.streams_in = 100;
    start_with(&a, &cfg);
    kith_node_reset(a.honest, a.now, a.stream); /* it has none open when the attack begins */
    drive(&a);
    for (unsigned k = 0; k < 4; k++) {
        bad *b = meet(&a, 60 + k, 2 + k);
        for (int i = 0; i < 100; i++)
            sim_hostile_open(b->peer, SIM_ECHO_ID, 0);
        push_bad(&a, b);
        assert_non_null(b->conn);
    }
    honest_ping(&a);
    assert_in_range(kith_node_usage(a.node).streams, 200, 200 + 5 * 8);
    finish(&a);
}

static void handshakes_that_stand_still_make_room(void **state)
{
    (void)state;
    arena a;
    kith_node_config cfg = config();
    cfg.limits.handshakes = 8;
    start_with(&a, &cfg);
    kith_maddr at;
    kith_conn *c;
    const char *why;
    for (unsigned i = 0; i < 8; i++) {
        addr_of(100 + i, &at);
        assert_int_equal(kith_node_accept(a.node, a.now, &at, &at, &c, &why), KITH_OK);
        kith_conn_set_link(c, &a.bad[BAD_MAX - 1]); /* nobody */
        drive(&a);
    }
    /* Those that have just come are let be: the ninth has to go. */
    addr_of(200, &at);
    assert_int_equal(kith_node_accept(a.node, a.now, &at, &at, &c, &why), KITH_ELIMIT);
    assert_string_equal(why, "limits.handshakes reached");
    wait(&a, KITH_SEC(2));
    assert_int_equal(a.refused, 0);
    bad *b = meet(&a, 70, 201);
    assert_true(sim_hostile_ready(b->peer));
    assert_non_null(b->conn);
    assert_int_equal(a.refused, 1);
    assert_int_equal(a.err, KITH_ELIMIT);
    finish(&a);
}

/* go-, rust- and js-libp2p (CVE-2022-23492, CVE-2022-23486, CVE-2022-23487) had no limits that held. */
static void CVE_2022_23492_23486_23487_connections_and_streams_stop_at_their_caps(void **state)
{
    (void)state;
    arena a;
    kith_node_config cfg = config();
    cfg.limits.conns = 14;
    cfg.limits.conns_in = 12;
    cfg.limits.conns_per_ip = 3;
    cfg.limits.conns_per_subnet = 6;
    cfg.limits.streams_in = 16;
    cfg.limits.streams = 64;
    start_with(&a, &cfg);
    size_t before = mark(&a);
    static const struct {
        unsigned ip, standing;
        const char *why;
    } tries[] = {{0x201, 1, NULL},  {0x201, 2, NULL},
                 {0x201, 3, NULL},  {0x201, 3, "limits.conns_per_ip reached"},
                 {0x202, 4, NULL},  {0x203, 5, NULL},
                 {0x204, 6, NULL},  {0x205, 6, "limits.conns_per_subnet reached"},
                 {0x301, 7, NULL},  {0x401, 8, NULL},
                 {0x501, 9, NULL},  {0x601, 10, NULL},
                 {0x701, 11, NULL}, {0x801, 11, "limits.conns_in reached"}};
    unsigned standing = 0;
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        a.why = NULL;
        standing += meet(&a, 200 + i, tries[i].ip)->conn != NULL;
        assert_int_equal(standing, tries[i].standing);
        if (tries[i].why)
            assert_string_equal(a.why, tries[i].why);
    }
    assert_int_equal(kith_node_usage(a.node).conns_in, 12); /* with the honest one */
    for (size_t i = 0; i < BAD_MAX; i++) {
        if (!a.bad[i].conn)
            continue;
        for (int k = 0; k < 100; k++)
            sim_hostile_open(a.bad[i].peer, SIM_ECHO_ID, 0);
        push_bad(&a, &a.bad[i]);
        kith_conn_facts f;
        kith_conn_facts_get(a.bad[i].conn, &f);
        assert_in_range(f.streams, KITH_STREAMS_ASSURED - 1,
                        16); /* one of the assured is the node's own question */
    }
    assert_in_range(kith_node_usage(a.node).streams, 64, 64 + 12 * KITH_STREAMS_ASSURED);
    assert_true(a.peak - before < 11 * 48 * KIB); /* a hostile peer at all of its caps */
    finish(&a);
}

/* The same, for memory: halves of long records, which have to be kept. */
static void CVE_2022_23492_memory_stops_at_its_cap(void **state)
{
    (void)state;
    static uint8_t buf[128 * 1024], block[60 * 1024];
    arena a;
    kith_node_config cfg = config();
    cfg.limits.memory = 400 * KIB;
    start_with(&a, &cfg);
    for (unsigned i = 0; i < 12; i++)
        assert_non_null(meet(&a, 300 + i, 0x1000 + 256 * i)->conn);
    mark(&a);
    for (size_t i = 0; i < 12; i++) {
        uint32_t id = sim_hostile_next_id(a.bad[i].peer);
        sim_hostile_data(a.bad[i].peer, HOSTILE_SYN, id, kith_bytes_of(block, sizeof block));
        size_t n = sim_hostile_send(a.bad[i].peer, kith_span_of(buf, sizeof buf));
        assert_true(n > sizeof block);
        kith_node_recv(a.node, a.now, a.bad[i].conn, kith_span_of(buf, n / 2));
        drive(&a);
    }
    assert_in_range(a.peak, 300 * KIB, 404 * KIB);          /* the node's own struct is not counted */
    assert_in_range(a.disconnected, 12 - 400 / 60, 12 - 3); /* those for whom there was none */
    assert_int_equal(a.err, KITH_ENOMEM);
    honest_ping(&a);
    finish(&a);
}

/* What somebody costs who has not said who it is: at each stage the most that can be made of it, in bytes of the node's own. What
 * OpenSSL holds for the handshake comes on top, noise.h has the figures. */
static void a_stranger_costs_so_much_and_no_more(void **state)
{
    (void)state;
    enum { SILENT, HALF_A_PROPOSAL, AHEAD, HALF_AN_A, HALF_A_C, STAGES };
    static const char *const names[] = {"says nothing", "half a proposal", "sends ahead", "half a message A",
                                        "half a message C"};
    static uint8_t all[16 * 1024], ahead[KITH_MSS_AHEAD_MAX - 40], filler[12 * 1024];
    static const char hello[] = "\x13/multistream/1.0.0\n";
    const kith_bytes ids[] = {kith_bytes_str("/kith/noise-mlkem768-hfs/1"), kith_bytes_str("/noise")};
    for (int stage = 0; stage < STAGES; stage++) {
        arena a;
        start(&a);
        size_t before = mark(&a);
        for (unsigned i = 0; i < 32; i++) {
            kith_maddr at;
            kith_conn *c;
            const char *why;
            kith_wr w = kith_wr_of(kith_span_of(all, sizeof all));
            sim_hostile *h = NULL;
            bad *b = &a.bad[BAD_MAX - 1]; /* nobody: what the node says is lost */
            addr_of(0x10000 + 256 * i, &at);
            assert_int_equal(kith_node_accept(a.node, a.now, &at, &at, &c, &why), KITH_OK);
            kith_conn_set_link(c, b);
            if (stage != SILENT && stage != AHEAD)
                kith_put_str(&w, hello);
            if (stage == HALF_A_PROPOSAL) {
                kith_put_uvarint(&w, KITH_MSS_MSG_MAX);
                kith_put_bytes(&w, kith_bytes_of(filler, KITH_MSS_MSG_MAX - 1));
            } else if (stage == AHEAD) {
                kith_mss *m =
                    kith_mss_dial_ahead(&a.env_honest, ids, 1, 2, kith_bytes_of(ahead, sizeof ahead));
                w.len = kith_mss_send(m, kith_span_of(all, sizeof all));
                w.len -= 1 + ids[1].len + 1; /* the proposal behind it, which makes the answer final */
                kith_mss_free(m);
                kith_put_uvarint(&w, KITH_MSS_MSG_MAX);
                kith_put_bytes(&w, kith_bytes_of(filler, KITH_MSS_MSG_MAX - 1));
            } else if (stage == HALF_AN_A) {
                kith_put_str(&w, "\x07/noise\n");
                kith_put_be16(&w, 32 + 8192); /* X25519, and the longest payload */
                kith_put_bytes(&w, kith_bytes_of(filler, 32 + 8192 - 1));
            } else if (stage == HALF_A_C) {
                h = sim_hostile_new(400 + i, true);
                b->peer = h;
                w.len = sim_hostile_send(h, kith_span_of(all, sizeof all));
                kith_node_recv(a.node, a.now, c, kith_span_of(all, w.len));
                drive(&a); /* it hears our proposal accepted */
                w.len = sim_hostile_send(h, kith_span_of(all, sizeof all)); /* A */
                kith_node_recv(a.node, a.now, c, kith_span_of(all, w.len));
                drive(&a);
                b->peer = NULL;
                w.len = 0;
                kith_put_be16(&w, 64 + 8192);
                kith_put_bytes(&w, kith_bytes_of(filler, 64 + 8192 - 1));
            }
            assert_false(w.bad);
            if (w.len > 0)
                kith_node_recv(a.node, a.now, c, kith_span_of(all, w.len));
            drive(&a);
            sim_hostile_free(h);
        }
        assert_int_equal(kith_node_usage(a.node).handshakes, 32);
        size_t each = (a.memory - before) / 32;
        if (stage == HALF_AN_A) { /* a byte more is refused as soon as the length shows */
            kith_maddr at;
            bad *b = &a.bad[BAD_MAX - 1];
            const char *why;
            kith_wr w = kith_wr_of(kith_span_of(all, sizeof all));
            addr_of(0x20000, &at);
            assert_int_equal(kith_node_accept(a.node, a.now, &at, &at, &b->conn, &why), KITH_OK);
            kith_conn_set_link(b->conn, b);
            kith_put_str(&w, hello);
            kith_put_str(&w, "\x07/noise\n");
            kith_put_be16(&w, 32 + 8192 + 1);
            kith_put_u8(&w, 0);
            kith_node_recv(a.node, a.now, b->conn, kith_span_of(all, w.len));
            drive(&a);
            assert_null(b->conn);
            assert_int_equal(a.refused, 1);
            assert_string_equal(a.why, "the handshake message is too long");
        }
        print_message("a stranger who %s: %zu bytes\n", names[stage], each);
        assert_in_range(each, 500, stage < HALF_AN_A ? 6 * KIB : 13 * KIB);
        wait(&a, KITH_SEC(11));
        assert_int_equal(kith_node_usage(a.node).handshakes, 0);
        assert_in_range(a.memory, 0, before + 4 * KIB); /* tables keep their size */
        finish(&a);
    }
}

/* A byte now and then keeps nothing alive. */
static void a_handshake_that_trickles_in_is_over_at_the_deadline(void **state)
{
    (void)state;
    arena a;
    start(&a);
    uint8_t buf[2048];
    bad *b = &a.bad[0];
    kith_maddr at;
    const char *why;
    b->peer = sim_hostile_new(71, true);
    addr_of(77, &at);
    assert_int_equal(kith_node_accept(a.node, a.now, &at, &at, &b->conn, &why), KITH_OK);
    kith_conn_set_link(b->conn, b);
    size_t n = sim_hostile_send(b->peer, kith_span_of(buf, sizeof buf)), said = 0;
    assert_true(n > 25);
    b->deaf = true;
    for (; b->conn && said < n; said++) {
        wait(&a, KITH_MS(500));
        if (b->conn)
            kith_node_recv(a.node, a.now, b->conn, kith_span_of(buf + said, 1));
        drive(&a);
    }
    assert_in_range(said, 19, 20); /* ten seconds */
    assert_int_equal(a.refused, 1);
    assert_int_equal(a.err, KITH_ETIMEOUT);
    finish(&a);
}

static void a_negotiation_that_trickles_in_is_over_at_the_deadline(void **state)
{
    (void)state;
    arena a;
    start(&a);
    bad *b = meet(&a, 72, 2);
    wait(&a, KITH_SEC(11)); /* the node's own question is over */
    size_t streams = kith_node_usage(a.node).streams;
    uint32_t id = sim_hostile_next_id(b->peer);
    sim_hostile_frame(b->peer, HOSTILE_UPDATE, HOSTILE_SYN, id, 0);
    push_bad(&a, b);
    assert_int_equal(kith_node_usage(a.node).streams, streams + 1);
    static const char proposal[] = "\x13/multistream/1.0.0\n\x14/kith-test/an-echo/1\n";
    unsigned said = 0;
    for (; kith_node_usage(a.node).streams > streams && said < sizeof proposal - 1; said++) {
        sim_hostile_data(b->peer, 0, id, kith_bytes_of(proposal + said, 1));
        push_bad(&a, b);
        wait(&a, KITH_MS(500));
    }
    assert_int_equal(said, 20);
    assert_non_null(b->conn);
    finish(&a);
}

/* An address that has its share is refused without anybody else being dropped for it. */
/* At the cap every look for an idle connection goes through all of them: a storm of newcomers may not ask for one each. */
static void at_the_cap_room_is_looked_for_now_and_then(void **state)
{
    (void)state;
    arena a;
    kith_node_config c = config();
    c.limits.conns_in = 6;
    start_with(&a, &c);
    for (unsigned i = 0; i < 5; i++)
        assert_non_null(meet(&a, 100 + i, 2 + i)->conn);
    wait(&a, KITH_SEC(12)); /* idle for longer than the grace */
    honest_ping(&a);
    unsigned before = a.disconnected;
    bad *first = meet(&a, 110, 20);
    assert_non_null(first->conn);
    drive(&a);
    assert_int_equal(a.disconnected, before + 1); /* one went for it */
    assert_null(meet(&a, 111, 21)->conn);
    assert_string_equal(a.why, "limits.conns_in reached");
    a.now += KITH_MS(5);
    assert_non_null(meet(&a, 112, 22)->conn);
    drive(&a);
    assert_int_equal(a.disconnected, before + 2);
    finish(&a);
}

static void a_refused_address_costs_nobody_their_place(void **state)
{
    (void)state;
    arena a;
    kith_node_config cfg = config();
    cfg.limits.conns_in = 3;
    cfg.limits.conns_per_ip = 2;
    start_with(&a, &cfg);
    kith_node_reset(a.honest, a.now, a.stream);
    drive(&a);
    bad *one = meet(&a, 80, 9), *two = meet(&a, 81, 9);
    wait(&a, KITH_SEC(20)); /* all are idle for long */
    assert_non_null(one->conn);
    assert_non_null(two->conn);
    for (int i = 0; i < 10; i++) {
        kith_maddr at;
        kith_conn *c;
        const char *why;
        addr_of(9, &at);
        assert_int_equal(kith_node_accept(a.node, a.now, &at, &at, &c, &why), KITH_ELIMIT);
        assert_string_equal(why, "limits.conns_per_ip reached");
        drive(&a);
    }
    assert_int_equal(a.disconnected, 0);
    assert_non_null(a.to_node);
    finish(&a);
}

static void many_connections_of_one_key_are_held_to_their_share(void **state)
{
    (void)state;
    arena a;
    start(&a);
    unsigned standing = 0;
    for (unsigned i = 0; i < 12; i++)
        standing += meet(&a, 90, 2 + i)->conn != NULL;
    assert_int_equal(standing, 8);
    finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_of_syns_costs_the_streams_allowed_and_no_more),
        cmocka_unit_test(CVE_2023_44487_opening_and_resetting_streams_at_once_ends_the_session),
        cmocka_unit_test(a_flood_of_pings_ends_the_session),
        cmocka_unit_test(a_ping_now_and_then_is_answered_for_ever),
        cmocka_unit_test(answers_to_pings_that_nobody_sent_end_the_session),
        cmocka_unit_test(a_flood_of_window_updates_ends_the_session),
        cmocka_unit_test(a_tiny_frame_in_tiny_records_costs_no_more_than_its_echo),
        cmocka_unit_test(a_record_full_of_tiny_frames_is_taken_in_parts),
        cmocka_unit_test(several_records_at_once_are_taken_in_parts_too),
        cmocka_unit_test(what_is_wrong_behind_the_first_part_ends_the_session),
        cmocka_unit_test(rubbish_where_the_muxer_is_negotiated_ends_the_connection),
        cmocka_unit_test(without_memory_for_what_is_left_a_record_is_taken_whole),
        cmocka_unit_test(data_frames_without_a_byte_end_the_session),
        cmocka_unit_test(GHSA_vxx9_2994_q338_an_oversized_data_syn_frame),
        cmocka_unit_test(data_beyond_the_window_ends_the_session),
        cmocka_unit_test(what_a_machine_holds_is_not_granted_again),
        cmocka_unit_test(frames_on_streams_that_are_over_are_ignored_within_reason),
        cmocka_unit_test(after_goaway_nothing_is_opened_to_the_peer_and_its_own_streams_go_on),
        cmocka_unit_test(a_goaway_with_a_code_ends_the_connection_and_is_told),
        cmocka_unit_test(who_is_refused_is_told_the_code_and_not_waited_for),
        cmocka_unit_test(without_memory_it_is_refused_all_the_same),
        cmocka_unit_test(a_dialer_that_refuses_does_not_say_who_it_is),
        cmocka_unit_test(a_peer_that_never_reads_costs_a_socket_buffer_and_is_dropped_when_silent),
        cmocka_unit_test(a_peer_that_pings_and_never_reads_fills_one_small_queue),
        cmocka_unit_test(a_stream_cut_off_by_a_broken_session_did_not_end_well),
        cmocka_unit_test(CVE_2023_40583_what_a_peer_says_of_itself_is_not_hoarded),
        cmocka_unit_test(identify_messages_too_many_or_too_long_cost_their_stream_only),
        cmocka_unit_test(pushes_beyond_the_rate_are_refused_and_the_others_heard),
        cmocka_unit_test(an_identify_that_never_ends_is_given_up),
        cmocka_unit_test(without_memory_for_identify_its_failure_is_told),
        cmocka_unit_test(proposals_without_end_reset_the_stream),
        cmocka_unit_test(rubbish_instead_of_a_proposal_resets_the_stream),
        cmocka_unit_test(a_reset_says_why),
        cmocka_unit_test(streams_beyond_those_of_all_together_are_reset_for_a_limit),
        cmocka_unit_test(streams_left_in_negotiation_cost_little_and_go_at_the_deadline),
        cmocka_unit_test(hostile_peers_cannot_take_the_honest_ones_streams),
        cmocka_unit_test(handshakes_that_stand_still_make_room),
        cmocka_unit_test(at_the_cap_room_is_looked_for_now_and_then),
        cmocka_unit_test(a_refused_address_costs_nobody_their_place),
        cmocka_unit_test(CVE_2025_8671_streams_that_we_have_to_reset_leave_nothing),
        cmocka_unit_test(CVE_2024_32984_what_waits_for_a_peer_that_does_not_read_is_bounded),
        cmocka_unit_test(CVE_2026_31814_a_window_update_that_overflows_ends_the_session),
        cmocka_unit_test(pushes_and_questions_at_once_are_few),
        cmocka_unit_test(identify_is_not_said_without_end_to_a_peer_that_does_not_read),
        cmocka_unit_test(CVE_2022_23492_23486_23487_connections_and_streams_stop_at_their_caps),
        cmocka_unit_test(CVE_2022_23492_memory_stops_at_its_cap),
        cmocka_unit_test(a_stranger_costs_so_much_and_no_more),
        cmocka_unit_test(a_handshake_that_trickles_in_is_over_at_the_deadline),
        cmocka_unit_test(a_negotiation_that_trickles_in_is_over_at_the_deadline),
        cmocka_unit_test(names_that_lead_to_names_are_followed_four_deep),
        cmocka_unit_test(a_name_with_many_addresses_is_dialled_at_some_of_them),
        cmocka_unit_test(many_connections_of_one_key_are_held_to_their_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
