/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Nodes that change the keys of their connections: in time, under load, on bad paths, with either side breaking off at every step, and
 * with peers that do not know about it or abuse it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/rekey.h"
#include "sim_echo.h"
#include "sim_world.h"

#define NEVER_BYTES UINT64_MAX

typedef struct world {
    sim *s;
    sim_host *a, *b; /* a dials */
    kith_node_config ca, cb;
    unsigned over; /* connections that ended at either */
    kith_err err;
    const char *why;
} world;

static void watch(void *ctx, sim_host *h, const kith_node_event *ev)
{
    world *w = ctx;
    (void)h;
    if (ev->kind != KITH_NODE_DISCONNECTED)
        return;
    w->over++;
    w->err = ev->err;
    w->why = ev->why;
}

static void serve_echo(sim_host *h)
{
    kith_protocol row = {.id = kith_bytes_str(SIM_ECHO_ID),
                         .ops = &sim_echo_ops,
                         .accept = sim_echo_accept,
                         .ctx = (void *)(uintptr_t)sim_env(h)};
    assert_int_equal(kith_node_serve(sim_node(h), 0, &row), KITH_OK);
}

static void prepare(world *w, kith_time time, uint64_t bytes)
{
    *w = (world){0};
    kith_node_config_default(&w->ca);
    w->ca.rekey_after_time = time;
    w->ca.rekey_after_bytes = bytes;
    w->ca.idle_timeout = KITH_NEVER;
    w->ca.negotiate_timeout = KITH_SEC(300); /* a slow path may be full for that long */
    w->ca.limits.rate_rekeys = 100000;
    w->cb = w->ca;
}

static void start(world *w, uint64_t seed)
{
    w->s = sim_new(seed);
    w->a = sim_add(w->s, &w->ca);
    w->b = sim_add(w->s, &w->cb);
    sim_set_watch(w->a, watch, w);
    sim_set_watch(w->b, watch, w);
    serve_echo(w->a);
    serve_echo(w->b);
}

static kith_conn *conn_of(sim_host *h)
{
    return sim_node(h) ? kith_node_conn_next(sim_node(h), NULL) : NULL;
}

static kith_conn_facts facts(sim_host *h)
{
    kith_conn_facts f = {0};
    if (conn_of(h))
        kith_conn_facts_get(conn_of(h), &f);
    return f;
}

static kith_stream *open_stream(sim_host *h, const char *id, const kith_stream_ops *ops, void *machine)
{
    kith_bytes ids[] = {kith_bytes_str(id)};
    kith_stream *s = NULL;
    kith_err e = kith_node_open(sim_node(h), sim_now(((world *)sim_user(h))->s), conn_of(h), ids, 1, ops,
                                machine, NULL, &s);
    sim_drive(h);
    return e ? NULL : s;
}

/* Echoed bytes from h's peer. */
static void call(world *w, sim_host *h, sim_caller *m)
{
    sim_set_user(h, w);
    assert_non_null(open_stream(h, SIM_ECHO_ID, &sim_caller_ops, m));
}

static void expect_intact(const sim_caller *m)
{
    assert_int_equal(m->got, m->total);
    assert_false(m->wrong);
    assert_true(m->eof && m->gone);
    assert_int_equal(m->err, KITH_OK);
}

static void keys_are_changed_by_time_and_both_sides_know_it(void **state)
{
    (void)state;
    world w;
    prepare(&w, KITH_SEC(60), NEVER_BYTES);
    w.cb.rekey_after_time = KITH_SEC(1); /* who was dialled waits to be asked */
    start(&w, 1);
    assert_non_null(sim_connect(w.s, w.a, w.b));
    kith_conn_facts before = facts(w.a);
    assert_int_equal(before.rekeys, 0);
    assert_int_equal(before.keyed_at, before.opened_at);
    sim_run(w.s, before.opened_at + KITH_SEC(60));
    assert_int_equal(facts(w.a).rekeys, 0);
    uint64_t cost_a = kith_conn_cost(conn_of(w.a)), cost_b = kith_conn_cost(conn_of(w.b));
    sim_run(w.s, before.opened_at + KITH_SEC(60) + KITH_MS(100));
    kith_conn_facts fa = facts(w.a), fb = facts(w.b);
    assert_int_equal(fa.rekeys, 1);
    assert_int_equal(fb.rekeys, 1);
    /* question, answer and the first mark, the second mark: 2 round trips */
    assert_in_range(fa.keyed_at, before.opened_at + KITH_SEC(60),
                    before.opened_at + KITH_SEC(60) + KITH_MS(45));
    assert_true(fa.keyed_bytes < 100 && fb.keyed_bytes < 100);
    assert_true(kith_conn_cost(conn_of(w.a)) - cost_a < 500); /* who asked has wanted it */
    assert_in_range(kith_conn_cost(conn_of(w.b)) - cost_b, 4096, 4096 + 500);
    sim_run(w.s, before.opened_at + KITH_SEC(605));
    assert_int_equal(facts(w.a).rekeys, 10);
    assert_int_equal(facts(w.b).rekeys, 10);
    assert_int_equal(w.over, 0);
    assert_int_equal(kith_node_usage(sim_node(w.a)).streams + kith_node_usage(sim_node(w.b)).streams, 0);
    sim_free(w.s);
}

static void every_suite_changes_its_keys(void **state)
{
    (void)state;
    static const struct {
        kith_pq_policy pq;
        uint8_t level;
    } cases[] = {{KITH_PQ_OFF, 3}, {KITH_PQ_PREFER, 1}, {KITH_PQ_PREFER, 3}, {KITH_PQ_PREFER, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world w;
        prepare(&w, KITH_SEC(1), NEVER_BYTES);
        w.ca.pq = w.cb.pq = cases[i].pq;
        w.ca.level = w.cb.level = cases[i].level;
        start(&w, 10 + i);
        assert_non_null(sim_connect(w.s, w.a, w.b));
        assert_int_equal(facts(w.a).suite->kem == KITH_KEM_NONE, cases[i].pq == KITH_PQ_OFF);
        sim_run(w.s, sim_now(w.s) + KITH_SEC(5));
        assert_in_range(facts(w.b).rekeys, 4, 5);
        sim_caller m = {.seed = i, .total = 100000};
        call(&w, w.b, &m);
        sim_run(w.s, sim_now(w.s) + KITH_SEC(5));
        expect_intact(&m);
        sim_free(w.s);
    }
}

/* Three streams each way that are echoed, so that both directions are full all the time. */
static void load(world *w, sim_caller m[6], uint64_t total)
{
    for (unsigned i = 0; i < 6; i++) {
        m[i] = (sim_caller){.seed = 100 + i, .total = total};
        call(w, i % 2 ? w->a : w->b, &m[i]);
    }
}

static void a_full_connection_changes_its_keys_and_not_a_byte_is_lost(void **state)
{
    (void)state;
    static const sim_path paths[] = {
        {.latency = KITH_MS(10), .buffer = 256 * 1024},
        {.latency = KITH_MS(40), .bandwidth = 2000000, .loss_ppm = 10000, .buffer = 64 * 1024},
        {.latency = KITH_MS(5),
         .jitter = KITH_MS(20),
         .bandwidth = 500000,
         .loss_ppm = 50000,
         .buffer = 16 * 1024},
        {.latency = KITH_MS(1), .bandwidth = 100000, .buffer = 4 * 1024}, /* records come and go in pieces */
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        world w;
        sim_caller m[6];
        prepare(&w, KITH_NEVER, 100000);
        start(&w, 20 + i);
        sim_set_path(w.s, paths[i]);
        assert_non_null(sim_connect(w.s, w.a, w.b));
        load(&w, m, 1000000);
        sim_run(w.s, sim_now(w.s) + KITH_SEC(1000));
        for (unsigned k = 0; k < 6; k++)
            expect_intact(&m[k]);
        assert_int_equal(w.over, 0);
        kith_conn_facts fa = facts(w.a), fb = facts(w.b);
        print_message("path %zu: %u changes\n", i, fa.rekeys);
        assert_true(fa.rekeys >= 3); /* 12 MB, of which what the path holds passes during each change */
        assert_int_equal(fa.rekeys, fb.rekeys);
        sim_free(w.s);
    }
}

/* What a change costs in time: the same transfer with and without. */
static kith_time transfer_time(uint64_t bytes, uint32_t *rekeys)
{
    world w;
    prepare(&w, KITH_NEVER, bytes);
    start(&w, 30);
    sim_set_path(w.s, (sim_path){.latency = KITH_MS(20), .bandwidth = 1000000, .buffer = 256 * 1024});
    assert_non_null(sim_connect(w.s, w.a, w.b));
    sim_caller m = {.seed = 1, .total = 10000000};
    kith_time at = sim_now(w.s);
    call(&w, w.a, &m);
    sim_run(w.s, at + KITH_SEC(100));
    expect_intact(&m);
    *rekeys = facts(w.a).rekeys;
    sim_free(w.s);
    return m.last_byte - at;
}

static void a_change_delays_nothing(void **state)
{
    (void)state;
    uint32_t with, without;
    kith_time slow = transfer_time(500000, &with), fast = transfer_time(NEVER_BYTES, &without);
    print_message("%u changes: %u ms, %u without\n", with, (unsigned)(slow / KITH_MS(1)),
                  (unsigned)(fast / KITH_MS(1)));
    assert_true(with >= 5);
    assert_int_equal(without, 0);
    /* 10 s of transfer; each change is 2.4 KB of 500, and it never waits for the path */
    assert_true(slow < fast + fast / 100);
}

typedef enum fault { VANISH, OFF, RESET, STALL, LONG_STALL } fault;

/* A change begins one second after the connection opened, and takes 40 ms. At each millisecond of it something happens to a side. */
static void break_off(fault f, unsigned ms, bool at_b)
{
    world w;
    sim_caller m[6];
    prepare(&w, KITH_SEC(1), NEVER_BYTES);
    start(&w, 40 + ms);
    sim_set_path(w.s, (sim_path){.latency = KITH_MS(10), .bandwidth = 1000000, .buffer = 32 * 1024});
    assert_non_null(sim_connect(w.s, w.a, w.b));
    load(&w, m, 500000);
    sim_run(w.s, facts(w.a).opened_at + KITH_SEC(1) + KITH_MS(ms));
    sim_host *victim = at_b ? w.b : w.a, *other = at_b ? w.a : w.b;
    switch (f) {
    case VANISH:
        sim_vanish(victim);
        break;
    case OFF:
        sim_off(victim);
        break;
    case RESET:
        sim_reset_all(w.s, w.a, w.b);
        break;
    case STALL:
    case LONG_STALL:
        sim_partition(w.s, w.a, w.b, true);
        sim_run(w.s, sim_now(w.s) + (f == STALL ? KITH_SEC(5) : KITH_SEC(35)));
        sim_partition(w.s, w.a, w.b, false);
        break;
    }
    sim_run(w.s, sim_now(w.s) + KITH_SEC(120));
    if (f == STALL) { /* nobody has noticed but by the time it took */
        for (unsigned k = 0; k < 6; k++)
            expect_intact(&m[k]);
        assert_int_equal(w.over, 0);
        assert_true(facts(w.a).rekeys >= 2);
        assert_in_range(facts(w.b).rekeys, facts(w.a).rekeys - 1, facts(w.a).rekeys + 1);
    } else {
        for (unsigned k = 0; k < 6; k++)
            assert_false(m[k].wrong);
        assert_int_equal(kith_node_conn_count(sim_node(other)), 0);
        assert_int_not_equal(w.err, KITH_ECRYPTO);
        assert_int_not_equal(w.err, KITH_EPROTO);
        if (f == VANISH || f == OFF) {
            sim_on(victim);
            serve_echo(victim);
        }
        assert_non_null(sim_connect(w.s, w.a, w.b));
        sim_caller again = {.seed = 9, .total = 100000};
        call(&w, w.a, &again);
        sim_run(w.s, sim_now(w.s) + KITH_SEC(10));
        expect_intact(&again);
        assert_true(facts(w.a).rekeys >= 8);
    }
    sim_free(w.s);
}

static void either_side_may_break_off_at_any_step(void **state)
{
    (void)state;
    for (unsigned ms = 0; ms < 60; ms += 3) {
        for (unsigned at_b = 0; at_b < 2; at_b++) {
            break_off(VANISH, ms + at_b, at_b);
            break_off(OFF, ms + at_b, at_b);
        }
        break_off(RESET, ms + 2, false);
    }
}

static void a_path_that_stalls_at_any_step_loses_nothing(void **state)
{
    (void)state;
    for (unsigned ms = 0; ms < 60; ms += 2)
        break_off(STALL, ms, false);
    break_off(LONG_STALL, 15, false);
}

static void memory_that_runs_out_at_any_step_loses_nothing(void **state)
{
    (void)state;
    unsigned lived = 0, changed = 0;
    for (int64_t n = 0; n < 40; n++) {
        for (unsigned at_b = 0; at_b < 2; at_b++) {
            world w;
            prepare(&w, KITH_SEC(1), NEVER_BYTES);
            start(&w, 50);
            assert_non_null(sim_connect(w.s, w.a, w.b));
            sim_run(w.s, facts(w.a).opened_at + KITH_MS(999));
            sim_fail_alloc(at_b ? w.b : w.a, n, false);
            sim_run(w.s, sim_now(w.s) + KITH_MS(200));
            sim_fail_alloc(at_b ? w.b : w.a, -1, false);
            if (w.over) { /* the muxer itself had none */
                assert_int_equal(conn_of(w.a) != NULL, false);
                sim_free(w.s);
                continue;
            }
            lived++;
            changed += facts(w.a).rekeys > 0;
            sim_caller m = {.seed = 3, .total = 50000};
            call(&w, w.a, &m);
            sim_run(w.s,
                    sim_now(w.s) + KITH_SEC(70)); /* what came to nothing is tried again after a minute */
            expect_intact(&m);
            assert_int_equal(w.over, 0);
            assert_true(facts(w.a).rekeys >= 5);
            assert_in_range(facts(w.b).rekeys, facts(w.a).rekeys - 1, facts(w.a).rekeys + 1);
            sim_free(w.s);
        }
    }
    assert_true(lived > changed && changed > 0);
}

static void a_peer_that_does_not_serve_it_is_never_asked(void **state)
{
    (void)state;
    world w;
    prepare(&w, KITH_SEC(10), NEVER_BYTES);
    start(&w, 60);
    kith_node_unserve(sim_node(w.b), 0, kith_bytes_str(KITH_REKEY_ID));
    assert_non_null(sim_connect(w.s, w.a, w.b));
    sim_run(w.s, sim_now(w.s) + KITH_SEC(1));
    kith_conn_facts before = facts(w.b);
    sim_run(w.s, sim_now(w.s) + KITH_SEC(25)); /* less than the keep-alive */
    assert_int_equal(facts(w.b).bytes_in, before.bytes_in);
    sim_caller m = {.seed = 3, .total = 50000};
    call(&w, w.a, &m);
    sim_run(w.s, sim_now(w.s) + KITH_SEC(300));
    expect_intact(&m);
    assert_int_equal(facts(w.a).rekeys + facts(w.b).rekeys + w.over, 0);
    assert_true(facts(w.a).keyed_bytes > 100000);
    sim_free(w.s);
}

static void one_who_asks_too_often_is_refused_and_keeps_the_connection(void **state)
{
    (void)state;
    world w;
    prepare(&w, KITH_MS(200), NEVER_BYTES);
    w.cb.limits.rate_rekeys = 6; /* at once, and one more each ten seconds */
    start(&w, 70);
    assert_non_null(sim_connect(w.s, w.a, w.b));
    kith_time at = sim_now(w.s);
    sim_run(w.s, at + KITH_SEC(30));
    assert_int_equal(facts(w.b).rekeys, 6);
    sim_run(w.s, at + KITH_SEC(70)); /* tried again after a minute, when six more were to be had */
    assert_in_range(facts(w.b).rekeys, 12, 13);
    assert_int_equal(w.over, 0);
    sim_free(w.s);
    /* after 16 MiB of traffic there is no charge */
    prepare(&w, KITH_NEVER, 17u << 20);
    w.cb.limits.rate_rekeys = 1;
    start(&w, 71);
    assert_non_null(sim_connect(w.s, w.a, w.b));
    sim_caller m = {.seed = 3, .total = 40u << 20};
    call(&w, w.a, &m);
    sim_run(w.s, sim_now(w.s) + KITH_SEC(60));
    expect_intact(&m);
    assert_int_equal(facts(w.b).rekeys, 4);
    sim_free(w.s);
}

/* A machine that says what it is told and never ends its stream. */
typedef struct talker {
    uint8_t text[2048];
    size_t len, said, heard;
    bool gone;
    kith_err err;
} talker;

static kith_err talker_recv(void *m, kith_time now, kith_bytes in)
{
    (void)now;
    ((talker *)m)->heard += in.len;
    return KITH_OK;
}

static void talker_eof(void *m, kith_time now)
{
    (void)m, (void)now;
}

static size_t talker_send(void *m, kith_time now, kith_span out)
{
    talker *t = m;
    (void)now;
    size_t n = t->len - t->said < out.len ? t->len - t->said : out.len;
    memcpy(out.p, t->text + t->said, n);
    t->said += n;
    return n;
}

static kith_stream_want talker_want(const void *m)
{
    (void)m;
    return KITH_STREAM_OPEN;
}

static void talker_gone(void *m, kith_time now, kith_err why)
{
    (void)now;
    ((talker *)m)->gone = true;
    ((talker *)m)->err = why;
}

static void talker_free(void *m)
{
    (void)m;
}

static const kith_stream_ops talker_ops = {
    .recv = talker_recv,
    .eof = talker_eof,
    .send = talker_send,
    .want = talker_want,
    .gone = talker_gone,
    .free = talker_free,
};

/* A question as an honest asker would put it; what comes back is never used. */
static void question(world *w, talker *t)
{
    static const uint8_t zero[32];
    *t = (talker){0};
    kith_rekey_config cfg = {.env = sim_env(w->a), .kem = KITH_KEM_MLKEM768, .hash = zero, .chain = zero};
    kith_rekey *r = kith_rekey_new(&cfg, 0);
    t->len = kith_rekey_ops.send(r, 0, kith_span_of(t->text, sizeof t->text));
    kith_rekey_ops.free(r);
}

static void one_who_was_dialled_does_not_ask(void **state)
{
    (void)state;
    world w;
    prepare(&w, KITH_SEC(1), NEVER_BYTES);
    start(&w, 80);
    assert_non_null(sim_connect(w.s, w.a, w.b));
    talker t;
    question(&w, &t);
    sim_set_user(w.b, &w);
    assert_non_null(open_stream(w.b, KITH_REKEY_ID, &talker_ops, &t));
    sim_run(w.s, sim_now(w.s) + KITH_SEC(10));
    assert_true(t.gone && t.err);
    assert_int_equal(t.heard, 0);
    assert_true(facts(w.a).rekeys >= 8); /* the other way round it goes on */
    assert_int_equal(w.over, 0);
    sim_free(w.s);
}

static void one_who_asks_and_never_changes_holds_up_nothing_and_may_ask_one_at_a_time(void **state)
{
    (void)state;
    world w;
    prepare(&w, KITH_NEVER, NEVER_BYTES);
    start(&w, 90);
    assert_non_null(sim_connect(w.s, w.a, w.b));
    sim_set_user(w.a, &w);
    size_t before = sim_memory(w.b);
    talker t[4];
    kith_stream *s[4];
    for (unsigned i = 0; i < 4; i++) {
        question(&w, &t[i]);
        s[i] = open_stream(w.a, KITH_REKEY_ID, &talker_ops, &t[i]);
        sim_run(w.s, sim_now(w.s) + KITH_SEC(1));
        assert_int_equal(t[i].gone, i > 0);
        assert_int_equal(t[i].heard, i == 0 ? kith_rekey_answer_len(KITH_KEM_MLKEM768) : 0);
    }
    assert_true(sim_memory(w.b) < before + 8192);
    sim_caller m = {.seed = 3, .total = 500000};
    call(&w, w.a, &m);
    sim_run(w.s, sim_now(w.s) + KITH_SEC(120));
    expect_intact(&m);
    assert_false(
        t[0].gone); /* it may still change: who answers must not forget the keys before the stream is over */
    kith_node_reset(sim_node(w.a), sim_now(w.s), s[0]);
    sim_drive(w.a);
    sim_run(w.s, sim_now(w.s) + KITH_SEC(1));
    question(&w, &t[1]);
    assert_non_null(open_stream(w.a, KITH_REKEY_ID, &talker_ops, &t[1]));
    sim_run(w.s, sim_now(w.s) + KITH_SEC(1));
    assert_int_equal(t[1].heard, kith_rekey_answer_len(KITH_KEM_MLKEM768));
    assert_int_equal(w.over, 0);
    assert_int_equal(facts(w.b).rekeys, 0);
    sim_free(w.s);
}

static void half_a_question_ends_at_the_deadline(void **state)
{
    (void)state;
    world w;
    prepare(&w, KITH_NEVER, NEVER_BYTES);
    start(&w, 100);
    assert_non_null(sim_connect(w.s, w.a, w.b));
    sim_set_user(w.a, &w);
    talker t;
    question(&w, &t);
    t.len--;
    assert_non_null(open_stream(w.a, KITH_REKEY_ID, &talker_ops, &t));
    sim_run(w.s, sim_now(w.s) + KITH_REKEY_TIMEOUT - KITH_MS(100));
    assert_false(t.gone);
    sim_run(w.s, sim_now(w.s) + KITH_MS(200));
    assert_true(t.gone);
    assert_int_equal(w.over, 0);
    sim_free(w.s);
}

static void changing_keys_is_no_use_of_a_connection(void **state)
{
    (void)state;
    world w;
    prepare(&w, KITH_SEC(7), NEVER_BYTES);
    w.ca.idle_timeout = KITH_SEC(60);
    start(&w, 110);
    assert_non_null(sim_connect(w.s, w.a, w.b));
    sim_run(w.s, sim_now(w.s) + KITH_SEC(59));
    assert_in_range(facts(w.a).rekeys, 7, 8);
    sim_run(w.s, sim_now(w.s) + KITH_SEC(3));
    assert_int_equal(kith_node_conn_count(sim_node(w.a)), 0);
    assert_string_equal(w.why, "closed by the peer");
    sim_free(w.s);
}

static void a_run_with_changes_repeats_exactly(void **state)
{
    (void)state;
    uint64_t hash[2];
    for (int i = 0; i < 2; i++) {
        world w;
        sim_caller m[6];
        prepare(&w, KITH_SEC(1), 100000);
        start(&w, 120);
        assert_non_null(sim_connect(w.s, w.a, w.b));
        load(&w, m, 200000);
        sim_run(w.s, sim_now(w.s) + KITH_SEC(20));
        hash[i] = sim_hash(w.s);
        sim_free(w.s);
    }
    assert_int_equal(hash[0], hash[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_changed_by_time_and_both_sides_know_it),
        cmocka_unit_test(every_suite_changes_its_keys),
        cmocka_unit_test(a_full_connection_changes_its_keys_and_not_a_byte_is_lost),
        cmocka_unit_test(a_change_delays_nothing),
        cmocka_unit_test(either_side_may_break_off_at_any_step),
        cmocka_unit_test(a_path_that_stalls_at_any_step_loses_nothing),
        cmocka_unit_test(memory_that_runs_out_at_any_step_loses_nothing),
        cmocka_unit_test(a_peer_that_does_not_serve_it_is_never_asked),
        cmocka_unit_test(one_who_asks_too_often_is_refused_and_keeps_the_connection),
        cmocka_unit_test(one_who_was_dialled_does_not_ask),
        cmocka_unit_test(one_who_asks_and_never_changes_holds_up_nothing_and_may_ask_one_at_a_time),
        cmocka_unit_test(half_a_question_ends_at_the_deadline),
        cmocka_unit_test(changing_keys_is_no_use_of_a_connection),
        cmocka_unit_test(a_run_with_changes_repeats_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
