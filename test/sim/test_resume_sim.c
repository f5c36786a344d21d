/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Nodes that meet again: without signatures as long as both remember, with them when one does not, and never past what either wants of the
 * other by now. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim_trust.h"
#include "sim_world.h"

static const char plain[] = "/kith/noise-mlkem768-hfs/1", resume[] = "/kith/noise-mlkem768-hfs-resume/1";

typedef struct world {
    sim *s;
    sim_host *h[2];
    kith_node_config cfg[2];
    sim_trust m[2];
    unsigned refused[2];
    kith_err dial_err[2], refused_err[2];
} world;

static void watch(void *ctx, sim_host *h, const kith_node_event *ev)
{
    world *w = ctx;
    int i = h == w->h[1];
    if (ev->kind == KITH_NODE_DIALED)
        w->dial_err[i] = ev->err;
    if (ev->kind == KITH_NODE_REFUSED) {
        w->refused[i]++;
        w->refused_err[i] = ev->err;
    }
}

static void prepare(world *w)
{
    *w = (world){0};
    for (int i = 0; i < 2; i++) {
        kith_node_config_default(&w->cfg[i]);
        sim_trust_by(&w->cfg[i], &w->m[i]);
        w->cfg[i].resume_for = KITH_SEC(600);
    }
}

static void start(world *w, uint64_t seed)
{
    w->s = sim_new(seed);
    for (int i = 0; i < 2; i++) {
        w->h[i] = sim_add(w->s, &w->cfg[i]);
        sim_set_watch(w->h[i], watch, w);
    }
}

typedef struct met {
    bool open;
    kith_conn_facts of[2]; /* what each side says; views are not to be followed */
} met;

/* `from` dials the other, and both look at what came of it. */
static met meet(world *w, int from)
{
    met m = {0};
    kith_conn *c = sim_connect(w->s, w->h[from], w->h[!from]);
    if (!c)
        return m;
    m.open = true;
    kith_conn_facts_get(c, &m.of[from]);
    kith_conn *d = kith_node_conn_find(sim_node(w->h[!from]), kith_node_id(sim_node(w->h[from])));
    assert_non_null(d);
    kith_conn_facts_get(d, &m.of[!from]);
    assert_memory_equal(m.of[0].channel, m.of[1].channel,
                        32); /* kith verify compares this, and whose keys: */
    assert_true(m.of[0].pq.alg == KITH_SIG_MLDSA65 && m.of[1].pq.alg == KITH_SIG_MLDSA65);
    assert_true(kith_pq_id_eq(&m.of[0].pq.id, &w->m[0].row.pq) &&
                kith_pq_id_eq(&m.of[1].pq.id, &w->m[1].row.pq));
    return m;
}

static void part(world *w)
{
    for (int i = 0; i < 2; i++) {
        kith_node *n = sim_node(w->h[i]);
        for (kith_conn *c = NULL; n && (c = kith_node_conn_next(n, c));)
            kith_node_close(n, sim_now(w->s), c);
        if (n)
            sim_drive(w->h[i]);
    }
    sim_run(w->s, sim_now(w->s) + KITH_SEC(1));
}

static void expect(const met *m, const char *suite, bool resumed)
{
    assert_true(m->open);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(m->of[i].suite->id, suite);
        assert_int_equal(m->of[i].resumed, resumed);
    }
}

static void restart(world *w, int i)
{
    sim_off(w->h[i]);
    sim_on(w->h[i]);
    sim_run(w->s, sim_now(w->s) + KITH_SEC(1));
}

static void who_met_before_meets_without_signatures(void **state)
{
    (void)state;
    world w;
    for (uint8_t level = 1; level <= 5; level = (uint8_t)(level + 2)) {
        prepare(&w);
        w.cfg[0].level = w.cfg[1].level = level;
        start(&w, level);
        met first = meet(&w, 0);
        assert_true(first.open && !first.of[0].resumed && first.of[0].suite->level == level);
        for (int i = 0; i < 6; i++) { /* whoever dials */
            part(&w);
            sim_run(w.s, sim_now(w.s) + KITH_SEC(10));
            met m = meet(&w, i & 1);
            assert_true(m.open && m.of[0].resumed && m.of[1].resumed);
            assert_true(m.of[0].suite->resumes && m.of[0].suite->level == level);
            for (int k = 0; k < 2; k++) {
                assert_true(kith_pq_id_eq(&m.of[k].pq.id, &first.of[k].pq.id));
                assert_int_equal(m.of[k].pq_checked_at, first.of[k].pq_checked_at);
                assert_true(m.of[k].shaken_in < 2000 && m.of[k].shaken_out < 2000);
            }
        }
        sim_free(w.s);
    }
}

static void it_takes_no_more_round_trips(void **state)
{
    (void)state;
    world w;
    prepare(&w);
    start(&w, 3);
    kith_time took[2];
    for (int i = 0; i < 2; i++) {
        uint64_t id;
        kith_time at = sim_now(w.s);
        assert_int_equal(kith_node_dial(sim_node(w.h[0]), at, NULL, sim_addr(w.h[1]), 1, &id), KITH_OK);
        sim_drive(w.h[0]);
        sim_run(w.s, at + KITH_SEC(2));
        kith_conn_facts f;
        kith_conn_facts_get(kith_node_conn_next(sim_node(w.h[0]), NULL), &f);
        assert_int_equal(f.resumed, i);
        took[i] = f.opened_at - at;
        part(&w);
    }
    assert_int_equal(took[0], took[1]);
    sim_free(w.s);
}

static void both_dial_at_once(void **state)
{
    (void)state;
    world w;
    prepare(&w);
    start(&w, 4);
    met m = meet(&w, 0);
    expect(&m, plain, false);
    part(&w);
    for (int i = 0; i < 2; i++) {
        uint64_t id;
        assert_int_equal(kith_node_dial(sim_node(w.h[i]), sim_now(w.s), NULL, sim_addr(w.h[!i]), 1, &id),
                         KITH_OK);
        sim_drive(w.h[i]);
    }
    sim_run(w.s, sim_now(w.s) + KITH_SEC(1));
    for (int i = 0; i < 2; i++) {
        size_t count = 0;
        for (kith_conn *c = NULL; (c = kith_node_conn_next(sim_node(w.h[i]), c));) {
            kith_conn_facts f;
            kith_conn_facts_get(c, &f);
            assert_true(f.open && f.resumed); /* neither took the other's secret away */
            count++;
        }
        assert_int_equal(count, 2);
    }
    sim_free(w.s);
}

static void who_has_forgotten_gets_a_signature(void **state)
{
    (void)state;
    world w;
    prepare(&w);
    start(&w, 5);
    met m = meet(&w, 0);
    part(&w);
    restart(&w, 1); /* the listener: in the same handshake */
    m = meet(&w, 0);
    expect(&m, resume, false);
    assert_true(m.of[0].pq_checked_at > 0);
    part(&w);
    m = meet(&w, 0);
    expect(&m, resume, true);
    part(&w);
    restart(&w, 0); /* the dialer: it does not even propose it */
    m = meet(&w, 0);
    expect(&m, plain, false);
    sim_free(w.s);
}

static void a_signature_is_good_for_so_long(void **state)
{
    (void)state;
    world w;
    prepare(&w);
    start(&w, 6);
    met first = meet(&w, 0);
    for (int i = 0; i < 5; i++) { /* resuming does not make it younger */
        part(&w);
        sim_run(w.s, sim_now(w.s) + KITH_SEC(100));
        met m = meet(&w, i & 1);
        expect(&m, resume, true);
        assert_int_equal(m.of[0].pq_checked_at, first.of[0].pq_checked_at);
    }
    part(&w);
    sim_run(w.s, KITH_SEC(602));
    met m = meet(&w, 0);
    expect(&m, plain, false);
    assert_true(m.of[0].pq_checked_at > first.of[0].pq_checked_at + 590);
    sim_free(w.s);
}

static void the_ration_of_signatures_is_for_signatures(void **state)
{
    (void)state;
    world w;
    prepare(&w);
    w.cfg[1].limits.sign_ms = 4; /* two of ML-DSA-65 */
    start(&w, 7);
    met m = meet(&w, 0);
    expect(&m, plain, false);
    for (int i = 0; i < 6; i++) {
        part(&w);
        m = meet(&w, 0);
        expect(&m, resume, true);
    }
    part(&w);
    kith_node_forget_sessions(sim_node(w.h[1]), NULL);
    m = meet(&w, 0);
    expect(&m, resume, false);
    part(&w);
    kith_node_forget_sessions(sim_node(w.h[1]), NULL);
    assert_false(meet(&w, 0).open); /* what goes on as a full one is charged as one */
    assert_int_equal(w.refused_err[1], KITH_ELIMIT);
    sim_free(w.s);
}

static void whom_either_wants_no_more_is_refused_at_once(void **state)
{
    (void)state;
    enum { BLOCKED, ANOTHER_KEY, CASES };
    for (int who = 0; who < 2; who++) { /* the dialer, or the listener, has changed its mind */
        for (int i = 0; i < CASES; i++) {
            world w;
            prepare(&w);
            start(&w, 8);
            met m = meet(&w, 0);
            part(&w);
            kith_trust_row before = w.m[who].row;
            if (i == BLOCKED)
                w.m[who].row.blocked = true;
            else
                w.m[who].row.pq.b[5] ^= 1; /* a pin of another key, which it does not prove */
            for (int again = 0; again < 2;
                 again++) { /* the second time with signatures: the secrets are gone */
                kith_conn *c = sim_connect(w.s, w.h[0], w.h[1]);
                assert_true(!c || who == 1);
                part(&w);
                assert_int_equal(who ? w.refused_err[1] : w.dial_err[0],
                                 i == BLOCKED ? KITH_EPOLICY : KITH_EAUTH);
                assert_non_null(strstr(w.m[who].why, i == BLOCKED ? "is blocked" : "CHANGED"));
                w.refused_err[1] = w.dial_err[0] = KITH_OK;
            }
            w.m[who].row = before;
            m = meet(&w, 1); /* the other way, for which there was a secret too */
            assert_true(m.open && !m.of[0].resumed && !m.of[1].resumed);
            sim_free(w.s);
        }
    }
}

static void a_peers_own_policy_counts_as_before(void **state)
{
    (void)state;
    world w;
    prepare(&w);
    start(&w, 9);
    met m = meet(&w, 0);
    part(&w);
    w.m[0].policy = KITH_PQ_REQUIRE;
    m = meet(&w, 0);
    expect(&m, resume, true);
    part(&w);
    w.m[0].policy = KITH_PQ_OFF;
    w.m[0].row.policy = KITH_TRUST_OFF;
    w.m[1].row.policy = KITH_TRUST_OFF;
    kith_conn *c = sim_connect(w.s, w.h[0], w.h[1]);
    kith_conn_facts f;
    assert_non_null(c);
    kith_conn_facts_get(c, &f);
    assert_string_equal(f.suite->id, "/noise");
    assert_true(!f.resumed && f.pq.id.len == 0 && f.pq_checked_at == 0);
    part(&w);
    w.m[0].policy = KITH_PQ_PREFER; /* what it has was not touched by that */
    m = meet(&w, 0);
    expect(&m, resume, true);
    sim_free(w.s);
}

static void it_can_be_switched_off_on_either_side(void **state)
{
    (void)state;
    for (int off = 0; off < 2; off++) {
        world w;
        prepare(&w);
        w.cfg[off].resume_for = 0;
        start(&w, 10);
        for (int i = 0; i < 3; i++) {
            met m = meet(
                &w, 0); /* nothing is left by a listener that takes none, nor to a dialer that keeps none */
            expect(&m, plain, false);
            part(&w);
        }
        sim_free(w.s);
    }
}

static void any_failing_allocation_is_survived(void **state)
{
    (void)state;
    unsigned resumed = 0, failed = 0;
    for (int64_t n = 0; n < 160; n++) {
        world w;
        prepare(&w);
        start(&w, 11);
        met m = meet(&w, 0);
        assert_true(m.open);
        part(&w);
        sim_fail_alloc(w.h[n & 1], n / 2, false);
        uint64_t id;
        if (kith_node_dial(sim_node(w.h[0]), sim_now(w.s), NULL, sim_addr(w.h[1]), 1, &id) == KITH_OK) {
            sim_drive(w.h[0]);
            sim_run(w.s, sim_now(w.s) + KITH_MS(200));
        }
        kith_conn *c = kith_node_conn_next(sim_node(w.h[0]), NULL);
        kith_conn_facts f = {0};
        if (c)
            kith_conn_facts_get(c, &f);
        resumed += f.open && f.resumed;
        failed += !f.open;
        sim_fail_alloc(w.h[n & 1], -1, false);
        part(&w);
        m = meet(&w, 0);
        assert_true(m.open);
        sim_free(w.s);
    }
    assert_true(resumed > 10 && failed > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_met_before_meets_without_signatures),
        cmocka_unit_test(it_takes_no_more_round_trips),
        cmocka_unit_test(both_dial_at_once),
        cmocka_unit_test(who_has_forgotten_gets_a_signature),
        cmocka_unit_test(a_signature_is_good_for_so_long),
        cmocka_unit_test(the_ration_of_signatures_is_for_signatures),
        cmocka_unit_test(whom_either_wants_no_more_is_refused_at_once),
        cmocka_unit_test(a_peers_own_policy_counts_as_before),
        cmocka_unit_test(it_can_be_switched_off_on_either_side),
        cmocka_unit_test(any_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
