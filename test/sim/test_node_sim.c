/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Nodes talking to nodes under virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/mss.h"
#include "proto/ping.h"
#include "sim_echo.h"
#include "sim_trust.h"
#include "sim_world.h"

static kith_node_config config(void)
{
    kith_node_config c;
    kith_node_config_default(&c);
    return c;
}

/* ---- what a host saw, as text ---- */

typedef struct seen {
    unsigned connected, identified, updated, disconnected, refused, dialed, dial_failed, opened, gone;
    kith_err last_err, refused_err, dial_err, gone_err;
    const char *why, *dial_why;
    char *told; /* KITH_REASON_MAX bytes for a copy of the last refusal; or NULL */
    char agent[64];
    size_t addr_count;
    bool has_record;
    kith_time rtt; /* as known at CONNECTED */
} seen;

static void watch(void *ctx, sim_host *h, const kith_node_event *ev)
{
    (void)h;
    seen *s = ctx;
    kith_conn_facts f;
    switch (ev->kind) {
    case KITH_NODE_DIAL:
    case KITH_NODE_RESOLVE:
    case KITH_NODE_KEY:
    case KITH_NODE_WORK:
    case KITH_NODE_CLOSE:
    case KITH_NODE_STREAM_READY:
        break;
    case KITH_NODE_CONNECTED:
        s->connected++;
        kith_conn_facts_get(ev->conn, &f);
        s->rtt = f.rtt;
        break;
    case KITH_NODE_IDENTIFIED:
        s->identified++;
        s->last_err = ev->err;
        if (ev->info) {
            size_t n = ev->info->agent.len < 63 ? ev->info->agent.len : 63;
            memcpy(s->agent, ev->info->agent.p, n);
            s->addr_count = ev->info->addr_count;
            kith_peer_record rec;
            s->has_record = kith_identify_record(ev->info, &rec) == KITH_OK;
        }
        break;
    case KITH_NODE_UPDATED:
        s->updated++;
        s->addr_count = ev->info->addr_count;
        break;
    case KITH_NODE_DISCONNECTED:
        s->disconnected++;
        s->last_err = ev->err;
        s->why = ev->why;
        break;
    case KITH_NODE_REFUSED:
        s->refused++;
        s->refused_err = ev->err;
        if (s->told)
            snprintf(s->told, KITH_REASON_MAX, "%s", ev->why);
        s->why = ev->why;
        break;
    case KITH_NODE_DIALED:
        s->dialed += ev->conn != NULL;
        s->dial_failed += ev->conn == NULL;
        s->dial_err = ev->err;
        s->dial_why = ev->why;
        if (s->told && ev->why)
            snprintf(s->told, KITH_REASON_MAX, "%s", ev->why);
        break;
    case KITH_NODE_STREAM_OPENED:
        s->opened++;
        break;
    case KITH_NODE_STREAM_GONE:
        s->gone++;
        s->gone_err = ev->err;
        break;
    }
}

typedef struct two {
    sim *s;
    sim_host *a, *b;
    seen sa, sb;
} two;

static void serve_echo(sim_host *h)
{
    kith_protocol row = {.id = kith_bytes_str(SIM_ECHO_ID),
                         .ops = &sim_echo_ops,
                         .accept = sim_echo_accept,
                         .ctx = (void *)(uintptr_t)sim_env(h)};
    assert_int_equal(kith_node_serve(sim_node(h), 0, &row), KITH_OK);
}

static void start_two(two *t, uint64_t seed, const kith_node_config *ca, const kith_node_config *cb)
{
    *t = (two){.s = sim_new(seed)};
    t->a = sim_add(t->s, ca);
    t->b = sim_add(t->s, cb);
    sim_set_watch(t->a, watch, &t->sa);
    sim_set_watch(t->b, watch, &t->sb);
    serve_echo(t->b);
    serve_echo(t->a);
}

static const kith_bytes echo_id[] = {{(const uint8_t *)SIM_ECHO_ID, sizeof SIM_ECHO_ID - 1}};

static kith_stream *call(sim_host *h, kith_time now, kith_conn *c, sim_caller *m)
{
    kith_stream *s = NULL;
    kith_err e = kith_node_open(sim_node(h), now, c, echo_id, 1, &sim_caller_ops, m, NULL, &s);
    sim_drive(h);
    return e ? NULL : s;
}

static void two_nodes_meet_and_know_each_other(void **state)
{
    (void)state;
    two t;
    kith_node_config ca = config(), cb = config();
    ca.agent = "kith-a";
    cb.agent = "kith-b";
    start_two(&t, 1, &ca, &cb);
    kith_conn *c = sim_connect(t.s, t.a, t.b);
    assert_non_null(c);
    assert_int_equal(t.sa.connected, 1);
    assert_int_equal(t.sb.connected, 1);
    assert_int_equal(t.sa.dialed, 1);
    assert_string_equal(t.sa.agent, "kith-b");
    assert_string_equal(t.sb.agent, "kith-a");
    assert_true(t.sa.has_record && t.sb.has_record);
    assert_int_equal(t.sa.addr_count, 1);
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    assert_string_equal(f.suite->id, "/kith/noise-mlkem768-hfs/1");
    assert_true(f.early_muxer);
    assert_true(kith_conn_supports(c, echo_id[0]));
    assert_true(kith_conn_supports(c, kith_bytes_str(KITH_PING_ID)));
    sim_free(t.s);
}

/* 10 ms one way, post-quantum as by default. TCP takes 1 round trip; choosing the channel and Noise together 1, as message A goes
 * ahead; the stream's first byte rides with Noise's last message. */
static void the_first_byte_is_answered_after_three_round_trips_from_syn(void **state)
{
    (void)state;
    two t;
    start_two(&t, 2, NULL, NULL);
    uint64_t id;
    kith_time start = sim_now(t.s);
    assert_int_equal(kith_node_dial(sim_node(t.a), start, NULL, sim_addr(t.b), 1, &id), KITH_OK);
    sim_drive(t.a);
    kith_conn *c = NULL;
    while (!(c = kith_node_conn_find(sim_node(t.a), kith_node_id(sim_node(t.b)))))
        sim_run(t.s, sim_now(t.s) + KITH_MS(1));
    assert_in_range(sim_now(t.s) - start, KITH_MS(40), KITH_MS(42));
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    assert_string_equal(f.suite->id, "/kith/noise-mlkem768-hfs/1");
    sim_caller m = {.seed = 3, .total = 1};
    assert_non_null(call(t.a, sim_now(t.s), c, &m));
    sim_run(t.s, sim_now(t.s) + KITH_MS(30));
    assert_int_equal(m.got, 1);
    assert_in_range(m.first_byte - start, KITH_MS(60), KITH_MS(63));
    sim_free(t.s);
}

static int find_id(void *ctx, kith_bytes id)
{
    return kith_bytes_eq_str(id, ctx) ? 0 : -1;
}

static void hear(kith_noise *noise, kith_span in)
{
    kith_noise_event ev;
    kith_noise_recv(noise, 0, in);
    while (kith_noise_next(noise, &ev)) {
        assert_int_not_equal(ev.kind, KITH_NOISE_FAILED);
        if (ev.kind != KITH_NOISE_WORK)
            continue;
        kith_noise_work(noise);
        kith_noise_worked(noise, 0);
    }
}

/* The listener is multistream-select and Noise alone, as others have them. Takes one flight of the dialer; its answer is in buf. */
static size_t answer(kith_mss *mss, kith_noise *noise, uint8_t *buf, size_t n, size_t size)
{
    size_t used = 0, len = 0;
    assert_int_equal(kith_mss_recv(mss, kith_bytes_of(buf, n), &used), KITH_OK);
    hear(noise, kith_span_of(buf + used, n - used));
    for (size_t k; (k = kith_mss_send(mss, kith_span_of(buf + len, size - len))) > 0;)
        len += k;
    return len + kith_noise_send(noise, 0, kith_span_of(buf + len, size - len));
}

/* What goes ahead costs nobody a flight who does not take it: the hybrid of others has its proposal in the first one, the classical
 * channel in the second. */
static void a_listener_that_takes_nothing_ahead_costs_one_flight_more(void **state)
{
    (void)state;
    static uint8_t buf[65536];
    static const struct {
        const char *id;
        kith_pq_policy pq;
    } cases[] = {{"/noise-mlkem768-hfs/0.2.0", KITH_PQ_PREFER},
                 {"/noise-mlkem768-hfs/0.2.0", KITH_PQ_REQUIRE},
                 {"/noise", KITH_PQ_PREFER}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        two t;
        kith_node_config ca = config();
        ca.pq = cases[i].pq;
        start_two(&t, 5, &ca, NULL);
        const kith_env *env = sim_env(t.b);
        kith_node *n = sim_node(t.a);
        uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
        kith_signer *signer = kith_signer_new(seed);
        kith_noise_config cfg = {.env = env,
                                 .suite = kith_noise_suite_find(kith_bytes_str(cases[i].id)),
                                 .identity = kith_noise_identity_new(env, signer, NULL)};
        kith_noise *noise = kith_noise_new(&cfg);
        kith_mss *mss = kith_mss_listen(env, find_id, (void *)(uintptr_t)cases[i].id);
        kith_maddr any;
        kith_maddr_from_tcp(kith_bytes_of((uint8_t[]){10, 9, 9, 9}, 4), 1, &any);
        uint64_t id;
        kith_node_event ev;
        assert_int_equal(kith_node_dial(n, 0, NULL, &any, 1, &id), KITH_OK);
        assert_true(kith_node_next(n, 0, &ev) && ev.kind == KITH_NODE_DIAL);
        kith_conn *c = ev.conn;
        kith_node_connected(n, 0, c, NULL, NULL);
        unsigned flights = 0;
        for (size_t len;
             !kith_noise_ready(noise) && (len = kith_node_send(n, 0, c, kith_span_of(buf, sizeof buf))) > 0;
             flights++) {
            kith_node_recv(n, 0, c, kith_span_of(buf, answer(mss, noise, buf, len, sizeof buf)));
            while (kith_node_next(n, 0, &ev)) {
                if (ev.kind != KITH_NODE_WORK)
                    continue;
                kith_node_work(c);
                kith_node_worked(n, 0, c);
            }
        }
        assert_true(kith_noise_ready(noise));
        assert_int_equal(flights, 3);
        kith_node_link_failed(n, 0, c, KITH_ERESET, "over");
        while (kith_node_next(n, 0, &ev))
            ;
        kith_mss_free(mss);
        kith_noise_free(noise);
        kith_noise_identity_free((kith_noise_identity *)(uintptr_t)cfg.identity);
        kith_signer_free(signer);
        sim_free(t.s);
    }
}

static void streams_echo_and_close_in_good_order(void **state)
{
    (void)state;
    two t;
    start_two(&t, 4, NULL, NULL);
    kith_conn *c = sim_connect(t.s, t.a, t.b);
    assert_non_null(c);
    sim_caller m[20];
    for (unsigned i = 0; i < 20; i++) {
        m[i] = (sim_caller){.seed = i, .total = i * 100000u};
        assert_non_null(call(t.a, sim_now(t.s), c, &m[i]));
    }
    sim_run(t.s, sim_now(t.s) + KITH_SEC(20));
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(m[i].got, m[i].total);
        assert_false(m[i].wrong);
        assert_true(m[i].eof && m[i].gone);
        assert_int_equal(m[i].err, KITH_OK);
    }
    assert_int_equal(t.sa.opened, 20);
    assert_int_equal(t.sa.gone, 20);
    assert_int_equal(t.sb.gone, 20);
    assert_int_equal(kith_node_usage(sim_node(t.a)).streams, 0);
    sim_free(t.s);
}

static void an_unknown_protocol_is_refused_and_nothing_else_suffers(void **state)
{
    (void)state;
    two t;
    start_two(&t, 5, NULL, NULL);
    kith_conn *c = sim_connect(t.s, t.a, t.b);
    const kith_bytes ids[] = {kith_bytes_str("/nobody/speaks/this"), kith_bytes_str("/nor/that")};
    sim_caller m = {.total = 1000};
    kith_stream *s;
    assert_int_equal(kith_node_open(sim_node(t.a), sim_now(t.s), c, ids, 2, &sim_caller_ops, &m, NULL, &s),
                     KITH_OK);
    sim_drive(t.a);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
    assert_true(m.gone);
    assert_int_equal(m.err, KITH_EUNSUPPORTED);
    assert_int_equal(t.sa.disconnected, 0);
    sim_caller ok = {.total = 1000};
    assert_non_null(call(t.a, sim_now(t.s), c, &ok));
    sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
    assert_int_equal(ok.got, 1000);
    sim_free(t.s);
}

static void the_second_choice_of_protocols_is_taken(void **state)
{
    (void)state;
    two t;
    start_two(&t, 6, NULL, NULL);
    kith_conn *c = sim_connect(t.s, t.a, t.b);
    const kith_bytes ids[] = {kith_bytes_str("/nobody/speaks/this"), echo_id[0]};
    sim_caller m = {.total = 1000};
    kith_stream *s;
    assert_int_equal(kith_node_open(sim_node(t.a), sim_now(t.s), c, ids, 2, &sim_caller_ops, &m, NULL, &s),
                     KITH_OK);
    sim_drive(t.a);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
    assert_int_equal(m.got, 1000);
    assert_int_equal(m.err, KITH_OK);
    sim_free(t.s);
}

/* A machine that changes its mind when it is asked for bytes. */
typedef struct quitter {
    bool quit, gone;
    kith_err err;
} quitter;

static kith_err quitter_recv(void *m, kith_time now, kith_bytes in)
{
    (void)m, (void)now, (void)in;
    return KITH_OK;
}

static void quitter_eof(void *m, kith_time now)
{
    (void)m, (void)now;
}

static size_t quitter_send(void *m, kith_time now, kith_span out)
{
    (void)now, (void)out;
    ((quitter *)m)->quit = true;
    return 0;
}

static kith_stream_want quitter_want(const void *m)
{
    return ((const quitter *)m)->quit ? KITH_STREAM_RESET : KITH_STREAM_OPEN;
}

static void quitter_gone(void *m, kith_time now, kith_err why)
{
    (void)now;
    ((quitter *)m)->gone = true;
    ((quitter *)m)->err = why;
}

static void quitter_free(void *m)
{
    (void)m;
}

static const kith_stream_ops quitter_ops = {
    .recv = quitter_recv,
    .eof = quitter_eof,
    .send = quitter_send,
    .want = quitter_want,
    .gone = quitter_gone,
    .free = quitter_free,
};

static void *quitter_accept(void *ctx, const kith_stream_info *info)
{
    (void)info;
    return ctx;
}

static void a_stream_given_up_while_it_sends_is_reset_at_once(void **state)
{
    (void)state;
    two t;
    start_two(&t, 107, NULL, NULL);
    quitter q = {0};
    kith_protocol row = {
        .id = kith_bytes_str("/kith-test/quit/1"), .ops = &quitter_ops, .accept = quitter_accept, .ctx = &q};
    assert_int_equal(kith_node_serve(sim_node(t.b), sim_now(t.s), &row), KITH_OK);
    kith_conn *c = sim_connect(t.s, t.a, t.b);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
    sim_caller m = {.total = 10};
    kith_stream *s;
    assert_int_equal(
        kith_node_open(sim_node(t.a), sim_now(t.s), c, &row.id, 1, &sim_caller_ops, &m, NULL, &s), KITH_OK);
    sim_drive(t.a);
    sim_run(t.s, sim_now(t.s) + KITH_MS(100));
    assert_true(q.gone && m.gone);
    assert_int_equal(m.err, KITH_ERESET);
    sim_free(t.s);
}

/* ---- policies ---- */

typedef struct policy_case {
    kith_pq_policy dialer, listener;
    uint8_t level_d, level_l;
    unsigned round_trips; /* from the dial to OPEN, TCP's included; the first byte takes one more */
    const char *suite;    /* NULL: refused */
} policy_case;

static void policies_meet_or_refuse(void **state)
{
    (void)state;
    static const policy_case cases[] = {
        {KITH_PQ_PREFER, KITH_PQ_PREFER, 3, 3, 2, "/kith/noise-mlkem768-hfs/1"},
        {KITH_PQ_REQUIRE, KITH_PQ_PREFER, 3, 3, 2, "/kith/noise-mlkem768-hfs/1"},
        {KITH_PQ_REQUIRE, KITH_PQ_REQUIRE, 3, 5, 3, "/kith/noise-mlkem1024-hfs/1"},
        {KITH_PQ_REQUIRE, KITH_PQ_REQUIRE, 5, 3, 2, "/kith/noise-mlkem1024-hfs/1"},
        {KITH_PQ_PREFER, KITH_PQ_REQUIRE, 1, 1, 2, "/kith/noise-mlkem512-hfs/1"},
        {KITH_PQ_PREFER, KITH_PQ_PREFER, 1, 3, 3, "/kith/noise-mlkem768-hfs/1"},
        {KITH_PQ_PREFER, KITH_PQ_PREFER, 1, 5, 3, "/kith/noise-mlkem1024-hfs/1"},
        {KITH_PQ_PREFER, KITH_PQ_PREFER, 5, 1, 2, "/kith/noise-mlkem1024-hfs/1"},
        {KITH_PQ_OFF, KITH_PQ_PREFER, 3, 3, 2, "/noise"},
        {KITH_PQ_PREFER, KITH_PQ_OFF, 3, 3, 3, "/noise"},
        {KITH_PQ_REQUIRE, KITH_PQ_OFF, 3, 3, 0, NULL},
        {KITH_PQ_OFF, KITH_PQ_REQUIRE, 3, 3, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        two t;
        kith_node_config ca = config(), cb = config();
        ca.pq = cases[i].dialer;
        ca.level = cases[i].level_d;
        cb.pq = cases[i].listener;
        cb.level = cases[i].level_l;
        start_two(&t, 7 + i, &ca, &cb);
        kith_time start = sim_now(t.s);
        kith_conn *c = sim_connect(t.s, t.a, t.b);
        if (cases[i].suite) {
            assert_non_null(c);
            kith_conn_facts f;
            kith_conn_facts_get(c, &f);
            assert_string_equal(f.suite->id, cases[i].suite);
            assert_int_equal((f.opened_at - start) / KITH_MS(20), cases[i].round_trips);
            /* what the handshake says, however it went */
            assert_in_range(t.sa.rtt, KITH_MS(20), KITH_MS(21));
            assert_in_range(t.sb.rtt, KITH_MS(20), KITH_MS(21));
        } else {
            assert_null(c);
            assert_int_equal(t.sa.dial_failed, 1);
            assert_int_equal(t.sa.dial_err, KITH_EPOLICY);
            assert_int_equal(t.sb.connected, 0);
        }
        sim_free(t.s);
    }
}

/* A listener signs for whoever dials kith's own suites: so much a minute, and then not even its own kin gets a signature, while foreign
 * peers come and go as before. */
static void signatures_beyond_the_cap_are_refused_and_the_rest_goes_on(void **state)
{
    (void)state;
    static const struct {
        uint32_t all, each;
        const char *why;
    } caps[] = {{7, 100000, "limits.sign_ms reached"}, {100000, 7, "limits.sign_ms_per_ip reached"}};
    for (size_t i = 0; i < 2; i++) {
        two t;
        kith_node_config ca = config(), cb = config(), off = config();
        cb.limits.sign_ms = caps[i].all; /* three of ML-DSA-65 */
        cb.limits.sign_ms_per_ip = caps[i].each;
        cb.resume_for = 0; /* each time */
        start_two(&t, 31, &ca, &cb);
        for (int k = 0; k < 3; k++) {
            kith_conn *c = sim_connect(t.s, t.a, t.b);
            assert_non_null(c);
            kith_node_close(sim_node(t.a), sim_now(t.s), c);
            sim_drive(t.a);
            sim_run(t.s, sim_now(t.s) + KITH_MS(200));
        }
        assert_null(sim_connect(t.s, t.a, t.b));
        assert_int_equal(t.sb.refused, 1);
        assert_int_equal(t.sb.refused_err, KITH_ELIMIT);
        assert_string_equal(t.sb.why, caps[i].why);
        off.pq = KITH_PQ_OFF;
        assert_non_null(sim_connect(t.s, sim_add(t.s, &off), t.b));
        sim_run(t.s, sim_now(t.s) + KITH_SEC(60));
        assert_non_null(sim_connect(t.s, t.a, t.b));
        sim_free(t.s);
    }
}

static void each_side_knows_the_others_post_quantum_key(void **state)
{
    (void)state;
    two t;
    start_two(&t, 32, NULL, NULL);
    kith_conn *c = sim_connect(t.s, t.a, t.b);
    kith_conn_facts fa, fb;
    kith_conn_facts_get(c, &fa);
    kith_conn_facts_get(kith_node_conn_find(sim_node(t.b), kith_node_id(sim_node(t.a))), &fb);
    assert_int_equal(fa.pq.alg, KITH_SIG_MLDSA65);
    assert_int_equal(fb.pq.alg, KITH_SIG_MLDSA65);
    assert_int_equal(fa.pq.id.len, KITH_PQ_ID_LEN);
    assert_false(kith_pq_id_eq(&fa.pq.id, &fb.pq.id));
    sim_free(t.s);
}

/* ---- who it is ---- */

static kith_err dial_fails(two *t, sim_host *from, sim_host *to)
{
    assert_null(sim_connect(t->s, from, to));
    return from == t->a ? t->sa.dial_err : t->sb.dial_err;
}

/* Somebody has a peer's Ed25519 key (a quantum computer gave it away), but not its post-quantum key: as listener and as dialer it is refused by
 * whoever met the true one before; and so is the true Ed25519 key without any, and an older post-quantum key once another was pinned. */
static void the_right_classical_key_with_another_post_quantum_key_is_refused(void **state)
{
    (void)state;
    enum { ANOTHER_KEY, NO_KEY, CLASSICAL, CASES };
    uint8_t seed[32] = {0x66};
    kith_pq_signer *thief;
    assert_int_equal(kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, sizeof seed), &thief), KITH_OK);
    for (int inbound = 0; inbound < 2; inbound++) {
        for (int i = 0; i < CASES; i++) {
            two t;
            sim_trust m = {.policy = KITH_PQ_PREFER};
            kith_node_config ca = config(), cb = config();
            sim_trust_by(inbound ? &cb : &ca, &m);
            start_two(&t, 33, &ca, &cb);
            kith_conn *c = sim_connect(t.s, t.a, t.b);
            assert_non_null(c);
            assert_true(m.known && m.row.pq.len > 0 && m.row.sig == KITH_SIG_MLDSA65);
            kith_pq_id first = m.row.pq;
            kith_node_close(sim_node(t.a), sim_now(t.s), c);
            sim_drive(t.a);
            sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
            sim_host *other = inbound ? t.a : t.b;
            kith_node_config *cfg = sim_config(other);
            const kith_pq_signer *own = cfg->pq_signer;
            sim_off(other);
            cfg->pq_signer = i == ANOTHER_KEY ? thief : NULL;
            cfg->pq = i == CLASSICAL ? KITH_PQ_OFF : KITH_PQ_PREFER;
            sim_on(other);
            sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
            kith_err e = dial_fails(&t, t.a, t.b);
            assert_int_equal(inbound ? t.sb.refused_err : e, KITH_EAUTH);
            if (inbound)
                assert_int_equal(t.sa.last_err, KITH_EREFUSED);
            assert_true(kith_pq_id_eq(&m.row.pq, &first));
            sim_off(other);
            cfg->pq_signer = own;
            cfg->pq = KITH_PQ_PREFER;
            sim_on(other);
            sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
            assert_non_null(sim_connect(t.s, t.a, t.b));
            sim_free(t.s);
        }
    }
    kith_pq_signer_free(thief);
}

static void a_peers_own_policy_counts_before_anything_is_proposed(void **state)
{
    (void)state;
    static const struct {
        kith_pq_policy ours, of_peer, listener;
        const char *suite; /* NULL: refused */
    } cases[] = {
        {KITH_PQ_PREFER, KITH_PQ_PREFER, KITH_PQ_PREFER, "/kith/noise-mlkem768-hfs/1"},
        {KITH_PQ_PREFER, KITH_PQ_REQUIRE, KITH_PQ_PREFER, "/kith/noise-mlkem768-hfs/1"},
        {KITH_PQ_PREFER, KITH_PQ_REQUIRE, KITH_PQ_OFF, NULL},
        {KITH_PQ_PREFER, KITH_PQ_OFF, KITH_PQ_PREFER, "/noise"},
        {KITH_PQ_REQUIRE, KITH_PQ_OFF, KITH_PQ_PREFER, NULL},
        {KITH_PQ_REQUIRE, KITH_PQ_PREFER, KITH_PQ_OFF, NULL},
        {KITH_PQ_OFF, KITH_PQ_OFF, KITH_PQ_PREFER, "/noise"},
        {KITH_PQ_OFF, KITH_PQ_REQUIRE, KITH_PQ_PREFER, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        two t;
        sim_trust m = {.policy = cases[i].of_peer};
        kith_node_config ca = config(), cb = config();
        ca.pq = cases[i].ours;
        cb.pq = cases[i].listener;
        sim_trust_by(&ca, &m);
        ca.trust = NULL;
        start_two(&t, 34 + i, &ca, &cb);
        kith_conn *c = sim_connect(t.s, t.a, t.b);
        if (cases[i].suite) {
            kith_conn_facts f;
            assert_non_null(c);
            kith_conn_facts_get(c, &f);
            assert_string_equal(f.suite->id, cases[i].suite);
        } else {
            assert_null(c);
            assert_int_equal(t.sa.dial_err, KITH_EPOLICY);
            assert_int_equal(t.sb.connected, 0);
        }
        sim_free(t.s);
    }
}

/* Somebody between the two who reads and writes multistream-select as it pleases: to each it plays the other one, and lets
 * nothing be chosen but `only`. From then on it passes on what it cannot read. */
typedef struct middle {
    const char *only;
    kith_mss *to_dialer, *to_listener;
    kith_bytes ids[1];
} middle;

static void middle_init(middle *m, const kith_env *env, const char *only)
{
    *m = (middle){.only = only};
    m->ids[0] = kith_bytes_str(only);
    m->to_dialer = kith_mss_listen(env, find_id, (void *)(uintptr_t)only);
    m->to_listener = kith_mss_dial(env, m->ids, 1);
    kith_mss_take_ahead(m->to_dialer, KITH_MSS_AHEAD_MAX);
}

static void middle_fini(middle *m)
{
    kith_mss_free(m->to_dialer);
    kith_mss_free(m->to_listener);
}

typedef struct end {
    kith_node *node;
    kith_conn *conn; /* NULL: closed */
    kith_time now;
    bool connected, dialed;
    kith_err err;
    const char *why;
    const char *suite;
} end;

/* What the node has to tell; what it has to compute is computed. */
static void listen_to(end *e)
{
    kith_node_event ev;
    kith_conn_facts f;
    while (kith_node_next(e->node, e->now, &ev)) {
        if (ev.kind == KITH_NODE_WORK) {
            kith_node_work(ev.conn);
            kith_node_worked(e->node, e->now, ev.conn);
        } else if (ev.kind == KITH_NODE_CONNECTED) {
            e->connected = true;
            kith_conn_facts_get(ev.conn, &f);
            e->suite = f.suite->id;
        } else if (ev.kind == KITH_NODE_DIALED) {
            e->dialed = true;
            e->err = ev.err;
            e->why = ev.why;
        } else if (ev.kind == KITH_NODE_CLOSE) {
            e->conn = NULL;
        }
    }
}

static void hand_over(end *to, uint8_t *buf, size_t n)
{
    if (n > 0 && to->conn)
        kith_node_recv(to->node, to->now, to->conn, kith_span_of(buf, n));
    listen_to(to);
}

/* What `from` sends goes on to the other, without what belongs to a negotiation; then m's own words to both. */
static void pass(kith_mss *m, end *from, end *to)
{
    static uint8_t buf[65536];
    size_t used = 0, n = 0;
    if (from->conn)
        n = kith_node_send(from->node, from->now, from->conn, kith_span_of(buf, sizeof buf));
    kith_err e = kith_mss_recv(m, kith_bytes_of(buf, n), &used);
    if (!e)
        hand_over(to, buf + used, n - used);
    hand_over(from, buf, kith_mss_send(m, kith_span_of(buf, sizeof buf)));
}

/* What became of it, on the dialer's side. met: the two have a session to resume. */
static kith_err under_attack(const char *only, const kith_node_config *da, const kith_node_config *db,
                             bool met, const char **why)
{
    two t;
    start_two(&t, 5, da, db);
    if (met) {
        kith_node_close(sim_node(t.a), sim_now(t.s), sim_connect(t.s, t.a, t.b));
        sim_drive(t.a);
        sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
    }
    end a = {.node = sim_node(t.a), .now = sim_now(t.s)}, b = {.node = sim_node(t.b), .now = sim_now(t.s)};
    middle m;
    middle_init(&m, sim_env(t.b), only);
    kith_maddr any;
    uint64_t id;
    kith_node_event ev;
    kith_maddr_from_tcp(kith_bytes_of((uint8_t[]){10, 9, 9, 9}, 4), 1, &any);
    assert_int_equal(kith_node_dial(a.node, a.now, met ? kith_node_id(b.node) : NULL, &any, 1, &id), KITH_OK);
    assert_true(kith_node_next(a.node, a.now, &ev) && ev.kind == KITH_NODE_DIAL);
    a.conn = ev.conn;
    kith_node_connected(a.node, a.now, a.conn, NULL, NULL);
    assert_int_equal(kith_node_accept(b.node, b.now, &any, NULL, &b.conn, why), KITH_OK);
    for (int round = 0; round < 10; round++) {
        pass(m.to_listener, &b, &a);
        pass(m.to_dialer, &a, &b);
    }
    assert_true(a.dialed);
    assert_int_equal(a.connected, !a.err);
    assert_int_equal(b.connected, !a.err); /* not even half of a connection */
    if (!a.err)
        assert_string_equal(a.suite, only);
    *why = a.why;
    middle_fini(&m);
    sim_free(t.s);
    return a.err;
}

static const char downgraded[] =
    "downgrade: somebody on the way has changed which secure channel the two of us agreed on";

static void who_edits_the_choice_of_the_channel_is_found_out(void **state)
{
    (void)state;
    static const struct {
        kith_pq_policy dialer, listener;
        uint8_t level_d, level_l;
        const char *only;
        kith_err err;
    } cases[] = {
        {KITH_PQ_PREFER, KITH_PQ_PREFER, 3, 3, "/noise", KITH_EAUTH},
        {KITH_PQ_PREFER, KITH_PQ_PREFER, 3, 3, "/noise-mlkem768-hfs/0.2.0", KITH_EAUTH},
        {KITH_PQ_PREFER, KITH_PQ_PREFER, 3, 3, "/kith/noise-mlkem1024-hfs/1", KITH_EAUTH},
        {KITH_PQ_PREFER, KITH_PQ_PREFER, 1, 1, "/kith/noise-mlkem768-hfs/1", KITH_EAUTH},
        {KITH_PQ_REQUIRE, KITH_PQ_PREFER, 3, 3, "/noise-mlkem768-hfs/0.2.0", KITH_EAUTH},
        {KITH_PQ_PREFER, KITH_PQ_REQUIRE, 3, 3, "/noise-mlkem768-hfs/0.2.0", KITH_EAUTH},
        {KITH_PQ_REQUIRE, KITH_PQ_REQUIRE, 1, 3, "/kith/noise-mlkem1024-hfs/1", KITH_EAUTH},
        /* nobody's policy has it */
        {KITH_PQ_REQUIRE, KITH_PQ_PREFER, 3, 3, "/noise", KITH_EPOLICY},
        {KITH_PQ_PREFER, KITH_PQ_PREFER, 3, 3, "/kith/noise-mlkem512-hfs/1", KITH_EPOLICY},
        /* it comes to what they would have chosen */
        {KITH_PQ_PREFER, KITH_PQ_OFF, 3, 3, "/noise", KITH_OK},
        {KITH_PQ_OFF, KITH_PQ_OFF, 3, 3, "/noise", KITH_OK},
        {KITH_PQ_PREFER, KITH_PQ_PREFER, 3, 5, "/kith/noise-mlkem1024-hfs/1", KITH_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kith_node_config ca = config(), cb = config();
        const char *why = NULL;
        ca.pq = cases[i].dialer;
        ca.level = cases[i].level_d;
        cb.pq = cases[i].listener;
        cb.level = cases[i].level_l;
        assert_int_equal(under_attack(cases[i].only, &ca, &cb, false, &why), cases[i].err);
        if (cases[i].err == KITH_EAUTH)
            assert_string_equal(why, downgraded);
    }
}

/* With a session to resume, to strike that out is a downgrade too, though what is left has signatures. */
static void who_strikes_out_what_would_resume_is_found_out(void **state)
{
    (void)state;
    static const char *const only[] = {"/kith/noise-mlkem768-hfs/1", "/noise-mlkem768-hfs/0.2.0", "/noise",
                                       "/kith/noise-mlkem1024-hfs-resume/1"};
    kith_node_config c = config();
    for (size_t i = 0; i < sizeof only / sizeof *only; i++) {
        const char *why = NULL;
        kith_err e = under_attack(only[i], &c, &c, true, &why);
        assert_int_equal(e, i < 3 ? KITH_EAUTH : KITH_EPOLICY); /* the last one is not even proposed */
        if (i < 3)
            assert_string_equal(why, downgraded);
    }
}

static void the_muxer_is_negotiated_when_a_side_has_no_early_one(void **state)
{
    (void)state;
    for (int which = 0; which < 3; which++) {
        two t;
        kith_node_config ca = config(), cb = config();
        ca.no_early_muxer = which != 1;
        cb.no_early_muxer = which != 0;
        start_two(&t, 20, &ca, &cb);
        kith_conn *c = sim_connect(t.s, t.a, t.b);
        assert_non_null(c);
        kith_conn_facts f;
        kith_conn_facts_get(c, &f);
        assert_false(f.early_muxer);
        assert_in_range(t.sa.rtt, KITH_MS(20), KITH_MS(21));
        assert_in_range(t.sb.rtt, KITH_MS(20), KITH_MS(21));
        sim_caller m = {.total = 100000};
        assert_non_null(call(t.a, sim_now(t.s), c, &m));
        sim_run(t.s, sim_now(t.s) + KITH_SEC(2));
        assert_int_equal(m.got, 100000);
        sim_free(t.s);
    }
}

static void a_dialed_peer_must_be_who_was_named(void **state)
{
    (void)state;
    two t;
    start_two(&t, 21, NULL, NULL);
    kith_maddr wrong = *sim_addr(t.b);
    assert_int_equal(kith_maddr_set_peer(&wrong, kith_node_id(sim_node(t.a))), KITH_OK);
    uint64_t id;
    assert_int_equal(kith_node_dial(sim_node(t.a), sim_now(t.s), NULL, &wrong, 1, &id), KITH_OK);
    sim_drive(t.a);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(5));
    assert_int_equal(t.sa.dial_failed, 1);
    assert_int_equal(t.sa.dial_err, KITH_EAUTH);
    assert_int_equal(t.sa.connected, 0);
    assert_int_equal(t.sb.connected, 0);
    assert_int_equal(kith_node_conn_count(sim_node(t.a)), 0);
    assert_int_equal(kith_node_conn_count(sim_node(t.b)), 0);
    sim_free(t.s);
}

/* ---- trust ---- */

typedef struct judge {
    kith_err verdict;
    unsigned asked, asked_inbound, connected_before;
    const seen *own;
} judge;

static kith_err decide(void *ctx, const kith_contact *c, char why[KITH_REASON_MAX])
{
    judge *j = ctx;
    j->asked++;
    j->asked_inbound += c->inbound;
    j->connected_before += j->own->connected;
    assert_true(c->peer.len > 0 && c->suite);
    snprintf(why, KITH_REASON_MAX, "%s is not wanted today", c->inbound ? "who came" : "who was called");
    return j->verdict;
}

/* Who is asked last refuses: the dialler before it opens, the listener before it answers anything. */
static void whoever_is_not_trusted_gets_no_connection(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) { /* both agree; the dialler refuses; the listener does */
        two t;
        char told[KITH_REASON_MAX] = "";
        judge ja = {.verdict = round == 1 ? KITH_EAUTH : KITH_OK},
              jb = {.verdict = round == 2 ? KITH_EPOLICY : KITH_OK};
        kith_node_config ca = config(), cb = config();
        ca.trust = cb.trust = decide;
        ca.trust_ctx = &ja;
        cb.trust_ctx = &jb;
        start_two(&t, 60, &ca, &cb);
        t.sa.told = round == 1 ? told : NULL;
        t.sb.told = round == 2 ? told : NULL;
        ja.own = &t.sa;
        jb.own = &t.sb;
        uint64_t id, again;
        for (int i = 0; i < 2; i++) /* two wait for one dial */
            assert_int_equal(
                kith_node_dial(sim_node(t.a), sim_now(t.s), NULL, sim_addr(t.b), 1, i ? &again : &id),
                KITH_OK);
        sim_drive(t.a);
        sim_run(t.s, sim_now(t.s) + KITH_SEC(5));
        assert_int_equal(ja.asked, 1);
        assert_int_equal(ja.asked_inbound, 0);
        assert_int_equal(ja.connected_before + jb.connected_before, 0);
        assert_int_equal(jb.asked, round == 1 ? 0 : 1);
        assert_int_equal(jb.asked_inbound, jb.asked);
        if (round == 1) {
            assert_int_equal(t.sa.dial_failed, 2);
            assert_int_equal(t.sa.dial_err, KITH_EAUTH);
            assert_string_equal(told, "who was called is not wanted today");
        }
        if (round == 2) {
            assert_int_equal(t.sb.refused, 1);
            assert_int_equal(t.sb.refused_err, KITH_EPOLICY);
            assert_string_equal(told, "who came is not wanted today");
            assert_int_equal(t.sa.identified, 0);
        }
        assert_int_equal(t.sb.connected, round == 0 ? 1 : 0);
        assert_int_equal(t.sa.connected, round == 1 ? 0 : 1);
        assert_int_equal(kith_node_conn_count(sim_node(t.a)), round == 0 ? 1 : 0);
        assert_int_equal(kith_node_conn_count(sim_node(t.b)), round == 0 ? 1 : 0);
        sim_free(t.s);
    }
}

/* ---- dialling ---- */

static void a_second_dial_uses_the_open_connection(void **state)
{
    (void)state;
    two t;
    start_two(&t, 22, NULL, NULL);
    assert_non_null(sim_connect(t.s, t.a, t.b));
    uint64_t id;
    assert_int_equal(kith_node_dial(sim_node(t.a), sim_now(t.s), kith_node_id(sim_node(t.b)), NULL, 0, &id),
                     KITH_OK);
    sim_drive(t.a);
    assert_int_equal(t.sa.dialed, 2);
    assert_int_equal(kith_node_conn_count(sim_node(t.a)), 1);
    sim_free(t.s);
}

static void several_dials_to_one_peer_share_their_sockets(void **state)
{
    (void)state;
    two t;
    start_two(&t, 23, NULL, NULL);
    uint64_t id[5];
    for (int i = 0; i < 5; i++)
        assert_int_equal(kith_node_dial(sim_node(t.a), sim_now(t.s), NULL, sim_addr(t.b), 1, &id[i]),
                         KITH_OK);
    kith_node_dial_cancel(sim_node(t.a), sim_now(t.s), id[2]);
    sim_drive(t.a);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(2));
    assert_int_equal(t.sa.dialed, 4);
    assert_int_equal(t.sb.connected, 1);
    sim_free(t.s);
}

static void a_dial_that_everybody_cancelled_leaves_nothing(void **state)
{
    (void)state;
    two t;
    start_two(&t, 24, NULL, NULL);
    for (int delay = 0; delay < 90; delay += 7) {
        uint64_t id;
        assert_int_equal(kith_node_dial(sim_node(t.a), sim_now(t.s), NULL, sim_addr(t.b), 1, &id), KITH_OK);
        sim_drive(t.a);
        sim_run(t.s, sim_now(t.s) + KITH_MS(delay));
        bool early = t.sa.dialed == 0;
        kith_node_dial_cancel(sim_node(t.a), sim_now(t.s), id);
        sim_drive(t.a);
        sim_run(t.s, sim_now(t.s) + KITH_SEC(3));
        if (early)
            assert_int_equal(kith_node_conn_count(sim_node(t.a)), 0);
    }
    sim_free(t.s);
}

static void a_dead_address_does_not_hold_up_a_good_one(void **state)
{
    (void)state;
    two t;
    start_two(&t, 25, NULL, NULL);
    sim_host *dark = sim_add(t.s, NULL);
    sim_vanish(dark);
    kith_maddr addrs[3] = {*sim_addr(dark), *sim_addr(t.b), *sim_addr(t.b)};
    assert_int_equal(kith_maddr_set_peer(&addrs[0], kith_node_id(sim_node(t.b))), KITH_OK);
    addrs[2] = addrs[0];
    addrs[2].b[6] ^= 1; /* another port: nobody listens there */
    uint64_t id;
    kith_time start = sim_now(t.s);
    assert_int_equal(kith_node_dial(sim_node(t.a), start, NULL, addrs, 3, &id), KITH_OK);
    sim_drive(t.a);
    while (!t.sa.dialed && sim_now(t.s) < start + KITH_SEC(3))
        sim_run(t.s, sim_now(t.s) + KITH_MS(1));
    assert_in_range(sim_now(t.s) - start, KITH_MS(40), KITH_MS(50));
    sim_run(t.s, start + KITH_SEC(10));
    assert_int_equal(kith_node_conn_count(sim_node(t.a)), 1);
    sim_free(t.s);
}

static void nobody_there_and_nobody_answering_are_told_apart(void **state)
{
    (void)state;
    two t;
    start_two(&t, 26, NULL, NULL);
    uint64_t id;
    kith_maddr none;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/10.9.9.9/tcp/5"), &none, NULL), KITH_OK);
    assert_int_equal(kith_node_dial(sim_node(t.a), sim_now(t.s), NULL, &none, 1, &id), KITH_OK);
    sim_drive(t.a);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
    assert_int_equal(t.sa.dial_err, KITH_EREFUSED);
    sim_vanish(t.b);
    assert_int_equal(kith_node_dial(sim_node(t.a), sim_now(t.s), NULL, sim_addr(t.b), 1, &id), KITH_OK);
    sim_drive(t.a);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(10));
    assert_int_equal(t.sa.dial_failed, 2);
    assert_int_equal(t.sa.dial_err, KITH_ETIMEOUT);
    assert_int_equal(kith_node_dial(sim_node(t.a), sim_now(t.s), kith_node_id(sim_node(t.b)), NULL, 0, &id),
                     KITH_ENOTFOUND);
    sim_free(t.s);
}

static void names_are_looked_up_also_inside_names(void **state)
{
    (void)state;
    two t;
    start_two(&t, 27, NULL, NULL);
    kith_maddr top, inner, loop;
    const char *why;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/dnsaddr/kith.example"), &top, &why), KITH_OK);
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/dnsaddr/b.kith.example"), &inner, &why), KITH_OK);
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/dnsaddr/loop.example"), &loop, &why), KITH_OK);
    sim_set_name(t.s, "/dnsaddr/kith.example", &inner);
    sim_set_name(t.s, "/dnsaddr/b.kith.example", sim_addr(t.b));
    sim_set_name(t.s, "/dnsaddr/loop.example", &loop);
    uint64_t id;
    assert_int_equal(kith_node_dial(sim_node(t.a), sim_now(t.s), NULL, &top, 1, &id), KITH_OK);
    sim_drive(t.a);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
    assert_int_equal(t.sa.dialed, 1);
    assert_int_equal(kith_node_dial(sim_node(t.a), sim_now(t.s), NULL, &loop, 1, &id), KITH_OK);
    sim_drive(t.a);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
    assert_int_equal(t.sa.dial_failed, 1);
    assert_int_equal(t.sa.dial_err, KITH_ENOTFOUND);
    sim_free(t.s);
}

static void dialling_each_other_at_once_leaves_one_connection(void **state)
{
    (void)state;
    two t;
    start_two(&t, 28, NULL, NULL);
    uint64_t id;
    assert_int_equal(kith_node_dial(sim_node(t.a), sim_now(t.s), NULL, sim_addr(t.b), 1, &id), KITH_OK);
    assert_int_equal(kith_node_dial(sim_node(t.b), sim_now(t.s), NULL, sim_addr(t.a), 1, &id), KITH_OK);
    sim_drive(t.a);
    sim_drive(t.b);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(2));
    assert_true(t.sa.dialed == 1 && t.sb.dialed == 1);
    /* Both prefer the same one of the two. */
    kith_conn_facts fa, fb;
    kith_conn_facts_get(kith_node_conn_find(sim_node(t.a), kith_node_id(sim_node(t.b))), &fa);
    kith_conn_facts_get(kith_node_conn_find(sim_node(t.b), kith_node_id(sim_node(t.a))), &fb);
    assert_true(fa.inbound != fb.inbound);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(20));
    assert_int_equal(kith_node_conn_count(sim_node(t.a)), 1);
    assert_int_equal(kith_node_conn_count(sim_node(t.b)), 1);
    kith_conn_facts_get(kith_node_conn_find(sim_node(t.a), kith_node_id(sim_node(t.b))), &fb);
    assert_int_equal(fa.inbound, fb.inbound);
    sim_free(t.s);
}

/* ---- silence, resets, partitions ---- */

static void a_vanished_peer_is_noticed_by_the_keep_alive(void **state)
{
    (void)state;
    two t;
    kith_node_config ca = config();
    ca.idle_timeout = KITH_NEVER;
    start_two(&t, 29, &ca, &ca);
    assert_non_null(sim_connect(t.s, t.a, t.b));
    sim_run(t.s, sim_now(t.s) + KITH_SEC(300));
    assert_int_equal(t.sa.disconnected, 0);
    sim_vanish(t.b);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(60));
    assert_int_equal(t.sa.disconnected, 1);
    assert_int_equal(t.sa.last_err, KITH_ETIMEOUT);
    assert_int_equal(kith_node_conn_count(sim_node(t.a)), 0);
    sim_free(t.s);
}

static void a_half_open_stranger_is_dropped_at_the_deadline(void **state)
{
    (void)state;
    two t;
    start_two(&t, 30, NULL, NULL);
    uint64_t id;
    assert_int_equal(kith_node_dial(sim_node(t.a), sim_now(t.s), NULL, sim_addr(t.b), 1, &id), KITH_OK);
    sim_drive(t.a);
    sim_run(t.s, sim_now(t.s) + KITH_MS(25)); /* accepted, nothing negotiated */
    assert_int_equal(kith_node_usage(sim_node(t.b)).handshakes, 1);
    sim_vanish(t.a);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(11));
    assert_int_equal(kith_node_usage(sim_node(t.b)).handshakes, 0);
    assert_int_equal(kith_node_conn_count(sim_node(t.b)), 0);
    assert_int_equal(t.sb.refused, 1);
    assert_int_equal(t.sb.refused_err, KITH_ETIMEOUT);
    sim_free(t.s);
}

static void a_deadline_may_be_never(void **state)
{
    (void)state;
    two t;
    kith_node_config c = config();
    c.handshake_timeout = c.dial_timeout = c.negotiate_timeout = c.idle_timeout = c.ping_every = KITH_NEVER;
    start_two(&t, 130, &c, &c);
    kith_conn *conn = sim_connect(t.s, t.a, t.b);
    assert_non_null(conn);
    sim_caller m = {.total = 1000};
    assert_non_null(call(t.a, sim_now(t.s), conn, &m));
    sim_run(t.s, sim_now(t.s) + KITH_SEC(1000));
    assert_int_equal(m.got, 1000);
    assert_int_equal(m.err, KITH_OK);
    assert_int_equal(kith_node_conn_count(sim_node(t.a)), 1);
    sim_free(t.s);
}

static void a_reset_ends_streams_and_is_told_once(void **state)
{
    (void)state;
    two t;
    start_two(&t, 31, NULL, NULL);
    sim_set_path(t.s, (sim_path){.latency = KITH_MS(10), .bandwidth = 1000000, .buffer = 65536});
    kith_conn *c = sim_connect(t.s, t.a, t.b);
    sim_caller m = {.total = 10000000};
    assert_non_null(call(t.a, sim_now(t.s), c, &m));
    sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
    assert_true(m.got > 0 && !m.gone);
    sim_reset_all(t.s, t.a, t.b);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
    assert_true(m.gone);
    assert_int_equal(m.err, KITH_ERESET);
    assert_int_equal(t.sa.disconnected, 1);
    assert_int_equal(t.sb.disconnected, 1);
    assert_int_equal(t.sb.gone, 1);
    assert_int_equal(kith_node_usage(sim_node(t.b)).streams, 0);
    /* and a new connection is made without trouble */
    assert_non_null(sim_connect(t.s, t.a, t.b));
    sim_free(t.s);
}

static void a_partition_that_heals_in_time_loses_nothing(void **state)
{
    (void)state;
    two t;
    start_two(&t, 32, NULL, NULL);
    sim_set_path(t.s, (sim_path){.latency = KITH_MS(10), .bandwidth = 1000000, .buffer = 65536});
    kith_conn *c = sim_connect(t.s, t.a, t.b);
    sim_caller m = {.total = 3000000, .seed = 9};
    assert_non_null(call(t.a, sim_now(t.s), c, &m));
    sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
    sim_partition(t.s, t.a, t.b, true);
    uint64_t before = m.got;
    sim_run(t.s, sim_now(t.s) + KITH_SEC(5));
    assert_int_equal(m.got, before);
    sim_partition(t.s, t.a, t.b, false);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(30));
    assert_int_equal(m.got, 3000000);
    assert_false(m.wrong);
    assert_int_equal(m.err, KITH_OK);
    sim_free(t.s);
}

static void closing_tells_the_peer_at_once(void **state)
{
    (void)state;
    two t;
    start_two(&t, 33, NULL, NULL);
    kith_conn *c = sim_connect(t.s, t.a, t.b);
    kith_node_close(sim_node(t.a), sim_now(t.s), c);
    sim_drive(t.a);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
    assert_int_equal(t.sb.disconnected, 1);
    assert_int_equal(t.sb.last_err, KITH_ECLOSED);
    assert_int_equal(kith_node_conn_count(sim_node(t.a)) + kith_node_conn_count(sim_node(t.b)), 0);
    sim_free(t.s);
}

static void shutdown_closes_all_and_takes_nothing_new(void **state)
{
    (void)state;
    two t;
    start_two(&t, 34, NULL, NULL);
    sim_host *d = sim_add(t.s, NULL);
    assert_non_null(sim_connect(t.s, t.a, t.b));
    kith_node_shutdown(sim_node(t.b), sim_now(t.s));
    sim_drive(t.b);
    assert_null(sim_connect(t.s, d, t.b));
    assert_int_equal(kith_node_conn_count(sim_node(t.b)), 0);
    uint64_t id;
    assert_int_equal(kith_node_dial(sim_node(t.b), sim_now(t.s), NULL, sim_addr(t.a), 1, &id), KITH_ESTATE);
    sim_free(t.s);
}

static void shutdown_ends_dials_too(void **state)
{
    (void)state;
    two t;
    start_two(&t, 134, NULL, NULL);
    kith_maddr at[4];
    uint64_t id;
    for (int i = 0; i < 2; i++) { /* nobody answers there */
        sim_host *h = sim_add(t.s, NULL);
        at[i] = *sim_addr(h);
        assert_int_equal(kith_maddr_set_peer(&at[i], NULL), KITH_OK);
        sim_vanish(h);
    }
    const uint8_t far[4] = {8, 8, 8, 8};
    kith_maddr_from_tcp(kith_bytes_of(far, 4), 4001, &at[2]);
    kith_maddr_from_tcp(kith_bytes_of(far, 4), 4002, &at[3]); /* their turn comes later */
    assert_int_equal(kith_node_dial(sim_node(t.a), sim_now(t.s), kith_node_id(sim_node(t.b)), at, 4, &id),
                     KITH_OK);
    sim_drive(t.a);
    assert_true(kith_node_conn_count(sim_node(t.a)) > 0);
    kith_node_shutdown(sim_node(t.a), sim_now(t.s));
    sim_drive(t.a);
    assert_int_equal(kith_node_conn_count(sim_node(t.a)), 0);
    assert_int_equal(t.sa.dial_failed, 1);
    assert_int_equal(t.sa.dial_err, KITH_ECLOSED);
    assert_string_equal(t.sa.dial_why, "this node is stopping");
    sim_free(t.s);
}

/* ---- trimming and caps ---- */

static void idle_connections_go_and_protected_ones_stay(void **state)
{
    (void)state;
    two t;
    kith_node_config ca = config();
    ca.idle_timeout = KITH_SEC(60);
    start_two(&t, 35, &ca, NULL);
    sim_host *d = sim_add(t.s, NULL);
    kith_conn *keep = sim_connect(t.s, t.a, t.b);
    assert_non_null(sim_connect(t.s, t.a, d));
    kith_node_protect(keep, true);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(50));
    assert_int_equal(kith_node_conn_count(sim_node(t.a)), 2);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(15));
    assert_int_equal(kith_node_conn_count(sim_node(t.a)), 1);
    assert_ptr_equal(kith_node_conn_next(sim_node(t.a), NULL), keep);
    kith_node_protect(keep, false);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(65));
    assert_int_equal(kith_node_conn_count(sim_node(t.a)), 0);
    sim_free(t.s);
}

static void at_the_cap_an_idle_connection_makes_room_and_a_busy_one_does_not(void **state)
{
    (void)state;
    sim *s = sim_new(36);
    kith_node_config c = config();
    c.limits.conns_in = 3;
    sim_host *hub = sim_add(s, &c);
    serve_echo(hub);
    sim_host *h[6];
    for (int i = 0; i < 6; i++)
        h[i] = sim_add(s, NULL);
    sim_caller busy[3];
    for (int i = 0; i < 3; i++) {
        kith_conn *conn = sim_connect(s, h[i], hub);
        assert_non_null(conn);
        busy[i] = (sim_caller){.total = 1000, .slow = true};
    }
    assert_null(
        sim_connect(s, h[3], hub)); /* full, and nobody idle for long enough: it took 30 s to find out */
    assert_int_equal(kith_node_usage(sim_node(hub)).conns_in, 3);
    assert_non_null(sim_connect(s, h[4], hub)); /* now somebody was idle for more than 10 s */
    assert_int_equal(kith_node_usage(sim_node(hub)).conns_in, 3);
    (void)busy;
    sim_free(s);
}

static void a_peer_gets_only_so_many_connections(void **state)
{
    (void)state;
    sim *s = sim_new(37);
    kith_node_config c = config();
    c.limits.conns_per_ip = 2;
    sim_host *hub = sim_add(s, &c);
    sim_host *a = sim_add(s, NULL);
    seen hub_saw = {0};
    sim_set_watch(hub, watch, &hub_saw);
    kith_maddr bare = *sim_addr(hub);
    assert_int_equal(kith_maddr_set_peer(&bare, NULL), KITH_OK);
    uint64_t id;
    for (int i = 0; i < 4; i++) /* without a peer id each dial is a connection of its own */
        assert_int_equal(kith_node_dial(sim_node(a), sim_now(s), NULL, &bare, 1, &id), KITH_OK);
    sim_drive(a);
    sim_run(s, sim_now(s) + KITH_SEC(2));
    assert_int_equal(hub_saw.connected, 2);
    assert_int_equal(kith_node_usage(sim_node(hub)).conns_in, 2);
    sim_free(s);

    s = sim_new(38);
    c = config();
    c.limits.conns_per_peer = 3;
    hub = sim_add(s, &c);
    a = sim_add(s, NULL);
    hub_saw = (seen){0};
    seen saw = {0};
    sim_set_watch(hub, watch, &hub_saw);
    sim_set_watch(a, watch, &saw);
    bare = *sim_addr(hub);
    assert_int_equal(kith_maddr_set_peer(&bare, NULL), KITH_OK);
    for (int i = 0; i < 6; i++)
        assert_int_equal(kith_node_dial(sim_node(a), sim_now(s), NULL, &bare, 1, &id), KITH_OK);
    sim_drive(a);
    sim_run(s, sim_now(s) + KITH_SEC(2));
    assert_int_equal(hub_saw.connected, 3);
    assert_int_equal(hub_saw.refused, 3);
    assert_int_equal(hub_saw.refused_err, KITH_ELIMIT);
    assert_int_equal(saw.disconnected, 3); /* each told by the code for a limit */
    assert_non_null(strstr(saw.why, "one of its limits is reached"));
    sim_free(s);
}

static void streams_beyond_the_cap_are_reset_and_the_connection_lives(void **state)
{
    (void)state;
    two t;
    kith_node_config cb = config();
    cb.limits.streams_in = 5;
    start_two(&t, 39, NULL, &cb);
    kith_conn *c = sim_connect(t.s, t.a, t.b);
    sim_caller m[8];
    for (int i = 0; i < 8; i++) {
        m[i] = (sim_caller){.total = 1000000, .slow = true};
        assert_non_null(call(t.a, sim_now(t.s), c, &m[i]));
    }
    sim_run(t.s, sim_now(t.s) + KITH_SEC(5));
    int reset = 0;
    for (int i = 0; i < 8; i++)
        reset += m[i].gone && m[i].err == KITH_ERESET;
    assert_int_equal(reset, 3);
    assert_int_equal(t.sa.disconnected, 0);
    sim_free(t.s);
}

static void the_memory_cap_ends_a_connection_not_the_node(void **state)
{
    (void)state;
    two t;
    kith_node_config cb = config();
    cb.limits.memory = 128 * 1024;
    cb.limits.conns_per_ip = 1000;
    start_two(&t, 40, NULL, &cb);
    sim_host *h[60];
    unsigned met = 0;
    for (int i = 0; i < 60; i++) {
        h[i] = sim_add(t.s, NULL);
        uint64_t id;
        assert_int_equal(kith_node_dial(sim_node(h[i]), sim_now(t.s), NULL, sim_addr(t.b), 1, &id), KITH_OK);
        sim_drive(h[i]);
    }
    sim_run(t.s, sim_now(t.s) + KITH_SEC(20));
    for (int i = 0; i < 60; i++)
        met += kith_node_conn_find(sim_node(h[i]), kith_node_id(sim_node(t.b))) != NULL;
    assert_in_range(met, 1, 59);
    assert_true(sim_memory(t.b) < 256 * 1024);
    sim_free(t.s);
}

/* ---- flow ---- */

static void a_slow_reader_holds_back_only_its_own_stream(void **state)
{
    (void)state;
    two t;
    start_two(&t, 41, NULL, NULL);
    kith_conn *c = sim_connect(t.s, t.a, t.b);
    sim_caller slow = {.total = 5000000, .slow = true, .seed = 1}, fast = {.total = 5000000, .seed = 2};
    kith_stream *ss = call(t.a, sim_now(t.s), c, &slow);
    assert_non_null(ss);
    assert_non_null(call(t.a, sim_now(t.s), c, &fast));
    sim_run(t.s, sim_now(t.s) + KITH_SEC(10));
    assert_int_equal(fast.got, 5000000);
    assert_true(slow.got < 5000000);
    uint64_t stuck = slow.got;
    sim_run(t.s, sim_now(t.s) + KITH_SEC(5));
    assert_int_equal(slow.got, stuck);
    while (slow.got < slow.total) {
        slow.uneaten = 0;
        kith_node_wake(sim_node(t.a), sim_now(t.s), ss);
        sim_drive(t.a);
        sim_run(t.s, sim_now(t.s) + KITH_MS(100));
    }
    assert_false(slow.wrong);
    sim_free(t.s);
}

/* 50 ms one way at 20 MB/s: the product is 2 MB, eight times the first window. */
static void windows_grow_to_a_long_fat_path(void **state)
{
    (void)state;
    two t;
    start_two(&t, 42, NULL, NULL);
    sim_set_path(t.s, (sim_path){.latency = KITH_MS(50), .bandwidth = 20000000, .buffer = 4u << 20});
    kith_conn *c = sim_connect(t.s, t.a, t.b);
    sim_caller m = {.total = 60000000};
    kith_time start = sim_now(t.s);
    assert_non_null(call(t.a, start, c, &m));
    sim_run(t.s, start + KITH_SEC(20));
    assert_int_equal(m.got, m.total);
    /* 3 s at line speed; slow start and the two directions' windows may cost one more. */
    assert_in_range(m.last_byte - start, KITH_SEC(3), KITH_MS(4200));
    sim_free(t.s);
}

static void news_of_ourselves_are_pushed_to_peers(void **state)
{
    (void)state;
    two t;
    start_two(&t, 43, NULL, NULL);
    kith_conn *c = sim_connect(t.s, t.a, t.b);
    kith_maddr more[2] = {*sim_addr(t.b), *sim_addr(t.a)};
    assert_int_equal(kith_maddr_set_peer(&more[0], NULL), KITH_OK);
    assert_int_equal(kith_maddr_set_peer(&more[1], NULL), KITH_OK);
    assert_int_equal(kith_node_set_addrs(sim_node(t.b), sim_now(t.s), more, 2), KITH_OK);
    kith_protocol row = {
        .id = kith_bytes_str("/kith-test/new/1"), .ops = &sim_echo_ops, .accept = sim_echo_accept};
    assert_int_equal(kith_node_serve(sim_node(t.b), sim_now(t.s), &row), KITH_OK);
    sim_drive(t.b);
    assert_false(kith_conn_supports(c, kith_bytes_str("/kith-test/new/1")));
    sim_run(t.s, sim_now(t.s) + KITH_SEC(2));
    assert_int_equal(t.sa.updated, 1); /* two changes, one push */
    assert_int_equal(t.sa.addr_count, 2);
    assert_true(kith_conn_supports(c, kith_bytes_str("/kith-test/new/1")));
    kith_node_unserve(sim_node(t.b), sim_now(t.s), kith_bytes_str("/kith-test/new/1"));
    sim_drive(t.b);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(2));
    assert_false(kith_conn_supports(c, kith_bytes_str("/kith-test/new/1")));
    sim_free(t.s);
}

static void news_that_come_while_peers_get_to_know_each_other_are_not_lost(void **state)
{
    (void)state;
    two t;
    start_two(&t, 143, NULL, NULL);
    sim_set_path(t.s, (sim_path){.latency = KITH_MS(800), .buffer = 65536});
    uint64_t id;
    assert_int_equal(kith_node_dial(sim_node(t.a), sim_now(t.s), NULL, sim_addr(t.b), 1, &id), KITH_OK);
    sim_drive(t.a);
    while (t.sb.connected == 0)
        sim_run(t.s, sim_now(t.s) + KITH_MS(1));
    /* b has told a about itself and waits to hear the same. */
    assert_int_equal(t.sb.identified, 0);
    kith_maddr more[2] = {*sim_addr(t.b), *sim_addr(t.a)};
    assert_int_equal(kith_maddr_set_peer(&more[0], NULL), KITH_OK);
    assert_int_equal(kith_maddr_set_peer(&more[1], NULL), KITH_OK);
    sim_run(t.s, sim_now(t.s) + KITH_MS(1));
    assert_int_equal(kith_node_set_addrs(sim_node(t.b), sim_now(t.s), more, 2), KITH_OK);
    sim_drive(t.b);
    sim_run(t.s, sim_now(t.s) + KITH_MS(400));
    assert_int_equal(t.sb.identified, 0);
    sim_run(t.s, sim_now(t.s) + KITH_SEC(10));
    assert_int_equal(t.sb.identified, 1);
    assert_int_equal(t.sa.updated, 1);
    assert_int_equal(t.sa.addr_count, 2);
    sim_free(t.s);
}

/* ---- many ---- */

static uint64_t churn(uint64_t seed, unsigned hosts, unsigned rounds)
{
    sim *s = sim_new(seed);
    kith_node_config cfg = config();
    cfg.idle_timeout = KITH_SEC(20);
    cfg.limits.conns_in = 12;
    sim_set_path(s, (sim_path){.latency = KITH_MS(15), .bandwidth = 5000000, .buffer = 128 * 1024});
    sim_host *h[32];
    static sim_caller calls[4096];
    size_t used = 0;
    for (unsigned i = 0; i < hosts; i++) {
        h[i] = sim_add(s, &cfg);
        serve_echo(h[i]);
    }
    for (unsigned r = 0; r < rounds; r++) {
        sim_host *a = h[sim_random(s) % hosts], *b = h[sim_random(s) % hosts];
        uint64_t id;
        switch (sim_random(s) % 8) {
        case 0:
        case 1:
            if (kith_node_dial(sim_node(a), sim_now(s), NULL, sim_addr(b), 1, &id) == KITH_OK)
                sim_drive(a);
            break;
        case 2:
            sim_reset_all(s, a, b);
            break;
        case 3:
            sim_partition(s, a, b, sim_random(s) % 3 == 0);
            break;
        case 4: {
            kith_conn *c = kith_node_conn_next(sim_node(a), NULL);
            if (c && sim_random(s) % 4 == 0) {
                kith_node_close(sim_node(a), sim_now(s), c);
                sim_drive(a);
            }
            break;
        }
        default: {
            kith_conn *c = kith_node_conn_find(sim_node(a), kith_node_id(sim_node(b)));
            if (c && used < sizeof calls / sizeof *calls) {
                calls[used] = (sim_caller){.seed = r, .total = sim_random(s) % 300000};
                if (call(a, sim_now(s), c, &calls[used]))
                    used++;
            }
            break;
        }
        }
        sim_run(s, sim_now(s) + KITH_MS(sim_random(s) % 400));
    }
    sim_run(s, sim_now(s) + KITH_SEC(120));
    unsigned whole = 0;
    for (size_t i = 0; i < used; i++) {
        assert_false(calls[i].wrong);
        assert_true(calls[i].gone);
        if (calls[i].err == KITH_OK) {
            assert_int_equal(calls[i].got, calls[i].total);
            whole++;
        }
    }
    assert_true(used == 0 || whole > 0);
    for (unsigned i = 0; i < hosts; i++)
        assert_int_equal(kith_node_usage(sim_node(h[i])).streams, 0);
    uint64_t hash = sim_hash(s);
    sim_free(s);
    return hash;
}

static void churn_loses_nothing_and_repeats_exactly(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 106; seed++) {
        uint64_t first = churn(seed, 12, 300), second = churn(seed, 12, 300);
        if (first != second)
            print_error("seed %llu differs between two runs\n", (unsigned long long)seed);
        assert_int_equal(first, second);
        assert_int_not_equal(first, churn(seed + 1000, 4, 10));
    }
}

static void any_failing_allocation_is_survived(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 400; n++) {
        two t;
        start_two(&t, 44, NULL, NULL);
        sim_host *victim = n % 2 ? t.a : t.b;
        sim_fail_alloc(victim, n / 2, false);
        uint64_t id;
        kith_conn *c = NULL;
        if (kith_node_dial(sim_node(t.a), sim_now(t.s), NULL, sim_addr(t.b), 1, &id) == KITH_OK) {
            sim_drive(t.a);
            sim_run(t.s, sim_now(t.s) + KITH_MS(200));
            c = kith_node_conn_find(sim_node(t.a), kith_node_id(sim_node(t.b)));
        }
        sim_caller m = {.total = 300000};
        if (c)
            (void)call(t.a, sim_now(t.s), c, &m);
        sim_run(t.s, sim_now(t.s) + KITH_SEC(2));
        /* memory is back: the node still works */
        sim_fail_alloc(victim, -1, false);
        sim_run(t.s, sim_now(t.s) + KITH_SEC(30));
        kith_conn *again = sim_connect(t.s, t.a, t.b);
        if (!again) /* a connection whose identify failed has no agent to wait for */
            again = kith_node_conn_find(sim_node(t.a), kith_node_id(sim_node(t.b)));
        assert_non_null(again);
        sim_caller after = {.total = 1000};
        assert_non_null(call(t.a, sim_now(t.s), again, &after));
        sim_run(t.s, sim_now(t.s) + KITH_SEC(1));
        assert_int_equal(after.got, 1000);
        sim_free(t.s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_meet_and_know_each_other),
        cmocka_unit_test(the_first_byte_is_answered_after_three_round_trips_from_syn),
        cmocka_unit_test(a_listener_that_takes_nothing_ahead_costs_one_flight_more),
        cmocka_unit_test(streams_echo_and_close_in_good_order),
        cmocka_unit_test(an_unknown_protocol_is_refused_and_nothing_else_suffers),
        cmocka_unit_test(the_second_choice_of_protocols_is_taken),
        cmocka_unit_test(a_stream_given_up_while_it_sends_is_reset_at_once),
        cmocka_unit_test(policies_meet_or_refuse),
        cmocka_unit_test(signatures_beyond_the_cap_are_refused_and_the_rest_goes_on),
        cmocka_unit_test(each_side_knows_the_others_post_quantum_key),
        cmocka_unit_test(the_right_classical_key_with_another_post_quantum_key_is_refused),
        cmocka_unit_test(a_peers_own_policy_counts_before_anything_is_proposed),
        cmocka_unit_test(who_edits_the_choice_of_the_channel_is_found_out),
        cmocka_unit_test(who_strikes_out_what_would_resume_is_found_out),
        cmocka_unit_test(the_muxer_is_negotiated_when_a_side_has_no_early_one),
        cmocka_unit_test(a_dialed_peer_must_be_who_was_named),
        cmocka_unit_test(whoever_is_not_trusted_gets_no_connection),
        cmocka_unit_test(a_second_dial_uses_the_open_connection),
        cmocka_unit_test(several_dials_to_one_peer_share_their_sockets),
        cmocka_unit_test(a_dial_that_everybody_cancelled_leaves_nothing),
        cmocka_unit_test(a_dead_address_does_not_hold_up_a_good_one),
        cmocka_unit_test(nobody_there_and_nobody_answering_are_told_apart),
        cmocka_unit_test(names_are_looked_up_also_inside_names),
        cmocka_unit_test(dialling_each_other_at_once_leaves_one_connection),
        cmocka_unit_test(a_vanished_peer_is_noticed_by_the_keep_alive),
        cmocka_unit_test(a_half_open_stranger_is_dropped_at_the_deadline),
        cmocka_unit_test(a_deadline_may_be_never),
        cmocka_unit_test(a_reset_ends_streams_and_is_told_once),
        cmocka_unit_test(a_partition_that_heals_in_time_loses_nothing),
        cmocka_unit_test(closing_tells_the_peer_at_once),
        cmocka_unit_test(shutdown_closes_all_and_takes_nothing_new),
        cmocka_unit_test(shutdown_ends_dials_too),
        cmocka_unit_test(idle_connections_go_and_protected_ones_stay),
        cmocka_unit_test(at_the_cap_an_idle_connection_makes_room_and_a_busy_one_does_not),
        cmocka_unit_test(a_peer_gets_only_so_many_connections),
        cmocka_unit_test(streams_beyond_the_cap_are_reset_and_the_connection_lives),
        cmocka_unit_test(the_memory_cap_ends_a_connection_not_the_node),
        cmocka_unit_test(a_slow_reader_holds_back_only_its_own_stream),
        cmocka_unit_test(windows_grow_to_a_long_fat_path),
        cmocka_unit_test(news_of_ourselves_are_pushed_to_peers),
        cmocka_unit_test(news_that_come_while_peers_get_to_know_each_other_are_not_lost),
        cmocka_unit_test(churn_loses_nothing_and_repeats_exactly),
        cmocka_unit_test(any_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
