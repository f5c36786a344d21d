/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two nodes and a wire. What many nodes do together, and what hostile peers and faults do to one, is tested in test/sim. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "node/node.h"
#include "proto/ping.h"

static size_t held;

static void *count_alloc(void *ctx, void *p, size_t old, size_t size)
{
    (void)ctx;
    held = held - old + size;
    return kith_heap(NULL, p, old, size);
}

static uint64_t rng;

static void seeded(void *ctx, kith_span out)
{
    (void)ctx;
    for (size_t i = 0; i < out.len; i++) {
        rng = rng * 6364136223846793005u + 1442695040888963407u;
        out.p[i] = (uint8_t)(rng >> 56);
    }
}

static const kith_env env = {.alloc = {.fn = count_alloc}, .rand = {.fn = seeded}};

/* ---- two nodes and a wire ---- */

typedef struct side {
    kith_node *node;
    kith_conn *conn;
    kith_signer *signer;
    unsigned identified;
    kith_stream *stream;
    kith_ping *ping;
    unsigned pongs;
    bool late;          /* work is left to the test */
    kith_conn *working; /* and this is it */
    unsigned refused;
} side;

typedef struct wire {
    side s[2]; /* 0 dials 1 */
    kith_time now;
    size_t piece; /* bytes per delivery; 0: all at once */
} wire;

static void look(wire *w, int i)
{
    side *s = &w->s[i];
    kith_node_event ev;
    while (kith_node_next(s->node, w->now, &ev)) {
        switch (ev.kind) {
        case KITH_NODE_DIAL:
            s->conn = ev.conn;
            break;
        case KITH_NODE_KEY: /* qkd is off */
            break;
        case KITH_NODE_WORK:
            if (s->late) {
                assert_null(s->working);
                s->working = ev.conn;
                break;
            }
            kith_node_work(ev.conn);
            kith_node_worked(s->node, w->now, ev.conn);
            break;
        case KITH_NODE_CLOSE:
            assert_ptr_equal(ev.conn, s->conn);
            s->conn = NULL;
            break;
        case KITH_NODE_IDENTIFIED:
            s->identified += ev.info != NULL;
            break;
        case KITH_NODE_STREAM_READY: {
            kith_ping_event p;
            while (s->ping && kith_ping_next(s->ping, &p))
                s->pongs += p.kind == KITH_PING_RTT;
            break;
        }
        case KITH_NODE_STREAM_GONE:
            if (ev.stream == s->stream) {
                s->stream = NULL;
                s->ping = NULL;
            }
            break;
        case KITH_NODE_REFUSED:
            s->refused++;
            break;
        case KITH_NODE_RESOLVE:
        case KITH_NODE_CONNECTED:
        case KITH_NODE_DISCONNECTED:
        case KITH_NODE_DIALED:
        case KITH_NODE_UPDATED:
        case KITH_NODE_STREAM_OPENED:
            break;
        }
    }
    kith_node_check(s->node);
}

static void start(wire *w, kith_pq_policy pq, bool early)
{
    *w = (wire){.now = KITH_SEC(1)};
    rng = 1;
    for (int i = 0; i < 2; i++) {
        uint8_t seed[KITH_ED25519_SEED_LEN] = {(uint8_t)(i + 1)};
        kith_node_config cfg;
        kith_node_config_default(&cfg);
        cfg.env = env;
        cfg.pq = pq;
        cfg.no_early_muxer = !early;
        cfg.signer = w->s[i].signer = kith_signer_new(seed);
        w->s[i].node = kith_node_new(&cfg, w->now);
        assert_non_null(w->s[i].node);
    }
}

static void connect_them(wire *w)
{
    static const uint8_t ip[4] = {127, 0, 0, 1};
    kith_maddr a;
    uint64_t id;
    const char *why;
    kith_maddr_from_tcp(kith_bytes_of(ip, 4), 4001, &a);
    assert_int_equal(kith_maddr_set_peer(&a, kith_node_id(w->s[1].node)), KITH_OK);
    assert_int_equal(kith_node_dial(w->s[0].node, w->now, NULL, &a, 1, &id), KITH_OK);
    look(w, 0);
    assert_int_equal(kith_node_accept(w->s[1].node, w->now, &a, &a, &w->s[1].conn, &why), KITH_OK);
    kith_node_connected(w->s[0].node, w->now, w->s[0].conn, NULL, NULL);
}

/* One buffer from i to the other side. False: there was nothing. */
static bool move(wire *w, int i)
{
    static uint8_t buf[70000];
    side *from = &w->s[i], *to = &w->s[1 - i];
    kith_conn *c = kith_node_writer(from->node);
    if (!c)
        return false;
    size_t n = kith_node_send(from->node, w->now, c, kith_span_of(buf, sizeof buf));
    look(w, i);
    size_t step = w->piece ? w->piece : n;
    for (size_t at = 0; at < n && to->conn; at += step) {
        kith_node_recv(to->node, w->now, to->conn, kith_span_of(buf + at, n - at < step ? n - at : step));
        look(w, 1 - i);
    }
    return true;
}

static void settle(wire *w)
{
    for (bool any = true; any;) {
        any = move(w, 0);
        any |= move(w, 1);
    }
}

/* A minute passes. */
static void wait(wire *w)
{
    for (int k = 0; k < 15; k++) {
        w->now += KITH_SEC(4);
        for (int i = 0; i < 2; i++) {
            kith_node_tick(w->s[i].node, w->now);
            look(w, i);
        }
        settle(w);
    }
}

static void stop(wire *w)
{
    for (int i = 0; i < 2; i++) {
        kith_node_free(w->s[i].node);
        kith_signer_free(w->s[i].signer);
    }
    assert_int_equal(held, 0);
}

static void ping_once(wire *w)
{
    static const kith_bytes ids[] = {{(const uint8_t *)KITH_PING_ID, sizeof KITH_PING_ID - 1}};
    side *s = &w->s[0];
    kith_conn *c = kith_node_conn_find(s->node, kith_node_id(w->s[1].node));
    if (!c)
        return;
    s->ping = kith_ping_new(&env);
    assert_non_null(s->ping);
    assert_int_equal(kith_ping_start(s->ping, w->now), KITH_OK);
    if (kith_node_open(s->node, w->now, c, ids, 1, &kith_ping_ops, s->ping, NULL, &s->stream)) {
        s->ping = NULL;
        s->stream = NULL;
    }
    look(w, 0);
    settle(w);
}

static const struct {
    kith_pq_policy pq;
    bool early;
} kinds[] = {{KITH_PQ_REQUIRE, true}, {KITH_PQ_OFF, true}, {KITH_PQ_OFF, false}};

static void bytes_may_come_in_any_pieces(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (size_t piece = 1; piece < 40; piece++) {
            wire w;
            start(&w, kinds[k].pq, kinds[k].early);
            w.piece = piece;
            connect_them(&w);
            settle(&w);
            ping_once(&w);
            assert_int_equal(w.s[0].identified, 1);
            assert_int_equal(w.s[1].identified, 1);
            assert_int_equal(w.s[0].pongs, 1);
            stop(&w);
        }
    }
}

static void an_idle_connection_holds_little(void **state)
{
    (void)state;
    wire w;
    start(&w, KITH_PQ_PREFER, true);
    size_t before = held;
    connect_them(&w);
    settle(&w);
    wait(&w);
    assert_int_equal(w.s[0].identified, 1);
    /* both ends, without what OpenSSL holds for the two keyed contexts of each */
    print_message("one idle connection, both ends: %zu bytes of the node's own\n", held - before);
    assert_in_range(held - before, 1, 2 * 8 * 1024);
    stop(&w);
}

static void machines_of_streams_count_against_the_memory_cap(void **state)
{
    (void)state;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.env = env;
    cfg.limits.memory = 256 * 1024;
    cfg.signer = kith_signer_new(seed);
    kith_node *n = kith_node_new(&cfg, 0);
    void *p = kith_mem_new(kith_node_env(n), 200 * 1024);
    assert_non_null(p);
    assert_null(kith_mem_new(kith_node_env(n), 56 * 1024));
    kith_mem_free(kith_node_env(n), p, 200 * 1024);
    p = kith_mem_new(kith_node_env(n), 56 * 1024);
    assert_non_null(p);
    kith_mem_free(kith_node_env(n), p, 56 * 1024);
    kith_node_free(n);
    kith_signer_free((kith_signer *)(uintptr_t)cfg.signer);
}

static void computed(wire *w, int i)
{
    side *s = &w->s[i];
    kith_conn *c = s->working;
    s->working = NULL;
    kith_node_work(c);
    kith_node_worked(s->node, w->now, c);
    look(w, i);
}

static void a_handshake_goes_on_when_its_work_is_told(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        wire w;
        unsigned steps[2] = {0};
        start(&w, kinds[k].pq, kinds[k].early);
        w.s[0].late = w.s[1].late = true;
        connect_them(&w);
        for (;;) {
            settle(&w);
            int i = w.s[0].working ? 0 : 1;
            if (!w.s[i].working)
                break;
            w.now += KITH_SEC(8); /* of signing: each of both has its whole time from there */
            for (int j = 0; j < 2; j++)
                kith_node_tick(w.s[j].node, w.now);
            computed(&w, i);
            steps[i]++;
        }
        assert_int_equal(steps[0], 1);
        assert_int_equal(steps[1], 2);
        assert_int_equal(w.s[0].identified + w.s[1].identified, 2);
        kith_conn_facts f;
        kith_conn_facts_get(w.s[1].conn, &f);
        assert_true(f.open);
        ping_once(&w);
        assert_int_equal(w.s[0].pongs, 1);
        stop(&w);
    }
}

/* When: before it is asked for, while it is computed, when that is done and not told; and the end is told before it, or after. */
static void a_connection_that_ends_while_it_is_worked_on_stays_until_that_is_told(void **state)
{
    (void)state;
    static uint8_t buf[70000];
    enum { UNASKED, UNDER_WAY, COMPUTED, NEVER, TIMEOUT, WHENS };
    for (int when = 0; when < WHENS; when++) {
        for (int told_first = 0; told_first < 2; told_first++) {
            wire w;
            start(&w, KITH_PQ_REQUIRE, true);
            side *s = &w.s[1];
            s->late = true;
            connect_them(&w);
            look(&w, 1);
            size_t n = kith_node_send(w.s[0].node, w.now, w.s[0].conn, kith_span_of(buf, sizeof buf));
            kith_node_recv(s->node, w.now, s->conn, kith_span_of(buf, n));
            kith_conn *c = s->conn;
            if (when != UNASKED) {
                look(&w, 1);
                assert_ptr_equal(s->working, c);
            }
            if (when == COMPUTED)
                kith_node_work(c);
            if (when == TIMEOUT) {
                w.now += KITH_SEC(11);
                kith_node_tick(s->node, w.now);
            } else {
                kith_node_link_failed(s->node, w.now, c, KITH_ERESET, "reset");
            }
            assert_int_equal(kith_node_usage(s->node).handshakes, 0);
            if (told_first && s->working)
                kith_node_worked(s->node, w.now, c);
            look(&w, 1);
            assert_null(s->conn);
            assert_int_equal(s->refused, 1);
            bool waits = !told_first && when != UNASKED;
            assert_int_equal(kith_node_conn_count(s->node), waits);
            if (waits && when == UNDER_WAY)
                kith_node_work(c);
            if (waits)
                kith_node_worked(s->node, w.now, c);
            assert_int_equal(kith_node_conn_count(s->node), 0);
            look(&w, 1);
            stop(&w);
        }
    }
}

static void a_node_may_go_before_it_has_asked_for_work(void **state)
{
    (void)state;
    static uint8_t buf[70000];
    wire w;
    start(&w, KITH_PQ_REQUIRE, true);
    connect_them(&w);
    size_t n = kith_node_send(w.s[0].node, w.now, w.s[0].conn, kith_span_of(buf, sizeof buf));
    kith_node_recv(w.s[1].node, w.now, w.s[1].conn, kith_span_of(buf, n));
    stop(&w);
}

static void protocols_can_be_served_once_and_only_so_many(void **state)
{
    (void)state;
    wire w;
    start(&w, KITH_PQ_PREFER, true);
    kith_protocol row = {.id = kith_bytes_str("/a/1"), .ops = &kith_ping_ops};
    assert_int_equal(kith_node_serve(w.s[0].node, w.now, &row), KITH_OK);
    assert_int_equal(kith_node_serve(w.s[0].node, w.now, &row), KITH_EEXISTS);
    kith_node_unserve(w.s[0].node, w.now, row.id);
    assert_int_equal(kith_node_serve(w.s[0].node, w.now, &row), KITH_OK);
    row.id = kith_bytes_str("");
    assert_int_equal(kith_node_serve(w.s[0].node, w.now, &row), KITH_EFORMAT);
    char name[16];
    kith_err e = KITH_OK;
    unsigned n = 0;
    for (; e == KITH_OK; n++) {
        snprintf(name, sizeof name, "/p/%u", n);
        row.id = kith_bytes_str(name);
        e = kith_node_serve(w.s[0].node, w.now, &row);
    }
    assert_int_equal(e, KITH_ELIMIT);
    assert_int_equal(n, 124); /* 128 rows, 4 of them the node's own, one "/a/1" */
    stop(&w);
}

static int init(void **state)
{
    (void)state;
    return kith_crypto_init() == KITH_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_may_come_in_any_pieces),
        cmocka_unit_test(an_idle_connection_holds_little),
        cmocka_unit_test(machines_of_streams_count_against_the_memory_cap),
        cmocka_unit_test(a_handshake_goes_on_when_its_work_is_told),
        cmocka_unit_test(a_connection_that_ends_while_it_is_worked_on_stays_until_that_is_told),
        cmocka_unit_test(a_node_may_go_before_it_has_asked_for_work),
        cmocka_unit_test(protocols_can_be_served_once_and_only_so_many),
    };
    return cmocka_run_group_tests(tests, init, NULL);
}
