/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The connection manager in a crowd: who is trimmed and who is not, churn, and a partition that heals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mesh/connmgr.h"
#include "sim_echo.h"
#include "sim_world.h"

#define MOST 420

/* One hub that manages its connections, and others that dial it. */
typedef struct world {
    sim *s;
    sim_host *hub, *h[MOST];
    size_t count;
    kith_connmgr *m;
    unsigned told_of_trim; /* by GoAway, at the others */
    bool worthy[MOST], precious[MOST];
    sim_caller calls[MOST];
} world;

static size_t index_of(const world *w, const kith_peer_id *peer)
{
    for (size_t i = 0; i < w->count; i++) {
        if (sim_node(w->h[i]) && kith_peer_id_eq(kith_node_id(sim_node(w->h[i])), peer))
            return i;
    }
    return MOST;
}

static int32_t value(void *ctx, const kith_peer_id *peer)
{
    const world *w = ctx;
    size_t i = index_of(w, peer);
    return i == MOST ? 0 : w->precious[i] ? KITH_CONNMGR_PRECIOUS : w->worthy[i] ? 10 : 0;
}

static void gone(void *self)
{
    world *w = self;
    kith_connmgr_check(w->m);
    kith_connmgr_free(w->m);
}

static const kith_part_ops no_ops;
static kith_part ends;

static void watch(void *ctx, sim_host *h, const kith_node_event *ev)
{
    world *w = ctx;
    (void)h;
    if (ev->kind == KITH_NODE_DISCONNECTED && ev->why &&
        strcmp(ev->why, "the peer closed what was idle") == 0)
        w->told_of_trim++;
}

static void start(world *w, uint64_t seed, size_t count, const kith_connmgr_config *how)
{
    memset(w, 0, sizeof *w);
    w->s = sim_new(seed);
    w->count = count;
    sim_set_path(w->s, (sim_path){.latency = KITH_MS(5), .latency_max = KITH_MS(40), .buffer = 64 * 1024});
    w->hub = sim_add(w->s, NULL);
    kith_protocol row = {.id = kith_bytes_str(SIM_ECHO_ID),
                         .ops = &sim_echo_ops,
                         .accept = sim_echo_accept,
                         .ctx = (void *)(uintptr_t)sim_env(w->hub)};
    assert_int_equal(kith_node_serve(sim_node(w->hub), 0, &row), KITH_OK);
    kith_connmgr_config cfg;
    kith_connmgr_config_default(&cfg);
    if (how)
        cfg = *how;
    cfg.env = *sim_env(w->hub);
    cfg.node = sim_node(w->hub);
    cfg.value = value;
    cfg.ctx = w;
    w->m = kith_connmgr_new(&cfg);
    assert_non_null(w->m);
    sim_attach(w->hub, kith_connmgr_part(w->m), NULL);
    ends = (kith_part){.ops = &no_ops, .self = w};
    sim_attach(w->hub, &ends, gone);
    for (size_t i = 0; i < count; i++) {
        w->h[i] = sim_add(w->s, NULL);
        sim_set_watch(w->h[i], watch, w);
    }
}

static void dial(world *w, size_t i)
{
    uint64_t id;
    assert_int_equal(kith_node_dial(sim_node(w->h[i]), sim_now(w->s), NULL, sim_addr(w->hub), 1, &id),
                     KITH_OK);
    sim_drive(w->h[i]);
}

static size_t open(const world *w)
{
    return kith_connmgr_look(w->m).open;
}

static kith_conn *conn_of(world *w, size_t i)
{
    return kith_node_conn_find(sim_node(w->hub), kith_node_id(sim_node(w->h[i])));
}

static void run(world *w, kith_time by)
{
    sim_run(w->s, sim_now(w->s) + by);
    kith_connmgr_check(w->m);
}

static void at_the_high_mark_nothing_happens_and_one_past_it_trims_to_the_low_one(void **state)
{
    (void)state;
    world *w = calloc(1, sizeof *w);
    start(w, 1, 193, NULL);
    for (size_t i = 0; i < 192; i++)
        dial(w, i);
    run(w, KITH_SEC(120));
    assert_int_equal(open(w), 192);
    dial(w, 192);
    run(w, KITH_SEC(2));
    assert_int_equal(open(w), 161); /* the last one is in its grace, and does not count */
    assert_non_null(conn_of(w, 192));
    assert_int_equal(w->told_of_trim, 32);
    sim_free(w->s);
    free(w);
}

/* 300 come within ten seconds: protected, of worth, with a transfer, dialled by the hub, or nobody in particular. */
static void the_least_valuable_go_and_nobody_who_is_protected(void **state)
{
    (void)state;
    static const kith_bytes echo = {(const uint8_t *)SIM_ECHO_ID, sizeof SIM_ECHO_ID - 1};
    world *w = calloc(1, sizeof *w);
    start(w, 2, 300, NULL);
    for (size_t i = 0; i < 20; i++) /* kept: the hub dials */
        assert_int_equal(kith_connmgr_keep(w->m, 0, kith_node_id(sim_node(w->h[i])), sim_addr(w->h[i])),
                         KITH_OK);
    sim_drive(w->hub);
    for (size_t i = 20; i < 300; i++) {
        w->precious[i] = i < 40;
        w->worthy[i] = i >= 60 && i < 180;
        dial(w, i);
        if (i % 30 == 0)
            run(w, KITH_SEC(1));
    }
    run(w, KITH_SEC(5));
    for (size_t i = 40; i < 60; i++) { /* a thin link: the transfer takes long */
        sim_set_link(w->h[i], 65536, 65536);
        kith_stream *st;
        w->calls[i] = (sim_caller){.seed = i, .total = 16 << 20};
        kith_conn *c = kith_node_conn_find(sim_node(w->h[i]), kith_node_id(sim_node(w->hub)));
        assert_non_null(c);
        assert_int_equal(kith_node_open(sim_node(w->h[i]), sim_now(w->s), c, &echo, 1, &sim_caller_ops,
                                        &w->calls[i], NULL, &st),
                         KITH_OK);
        sim_drive(w->h[i]);
    }
    assert_int_equal(open(w), 300); /* all in their grace */
    run(w, KITH_SEC(75));
    assert_int_equal(open(w), 160);
    for (size_t i = 0; i < 60; i++)
        assert_non_null(conn_of(w, i));
    size_t worthy = 0, nobody = 0;
    for (size_t i = 60; i < 300; i++) {
        worthy += i < 180 && conn_of(w, i);
        nobody += i >= 180 && conn_of(w, i);
    }
    assert_int_equal(nobody, 0);
    assert_int_equal(worthy, 100);
    assert_int_equal(w->told_of_trim, 140);
    sim_free(w->s);
    free(w);
}

static void a_transfer_is_not_cut_before_there_are_twice_as_many(void **state)
{
    (void)state;
    static const kith_bytes echo = {(const uint8_t *)SIM_ECHO_ID, sizeof SIM_ECHO_ID - 1};
    kith_connmgr_config how;
    kith_connmgr_config_default(&how);
    how.low = 10;
    how.high = 20;
    how.grace = KITH_SEC(10);
    world *w = calloc(1, sizeof *w);
    start(w, 3, 60, &how);
    for (size_t i = 0; i < 60; i++)
        sim_set_link(w->h[i], 65536, 65536);
    for (size_t i = 0; i < 60; i++) {
        kith_stream *st;
        kith_conn *c = sim_connect(w->s, w->h[i], w->hub);
        assert_non_null(c);
        w->calls[i] = (sim_caller){.seed = i, .total = 64 << 20};
        assert_int_equal(kith_node_open(sim_node(w->h[i]), sim_now(w->s), c, &echo, 1, &sim_caller_ops,
                                        &w->calls[i], NULL, &st),
                         KITH_OK);
        sim_drive(w->h[i]);
        if (i == 29) {
            run(w, KITH_SEC(15));
            assert_int_equal(open(w), 30); /* all of them say something: none is trimmed */
        }
    }
    run(w, KITH_SEC(25));
    assert_int_equal(open(w), 40); /* twice the high mark is the end of that */
    sim_free(w->s);
    free(w);
}

/* Newcomers who are all in their grace cannot make a node hold any number of connections. */
static void the_grace_ends_at_twice_the_high_mark(void **state)
{
    (void)state;
    world *w = calloc(1, sizeof *w);
    start(w, 4, 400, NULL);
    for (size_t i = 0; i < 20; i++)
        w->precious[i] = true;
    for (size_t i = 0; i < 400; i++) {
        dial(w, i);
        if (i % 100 == 99)
            run(w, KITH_SEC(1));
    }
    run(w, KITH_SEC(12));
    assert_true(open(w) <= 384);
    for (size_t i = 0; i < 20; i++)
        assert_non_null(conn_of(w, i));
    sim_free(w->s);
    free(w);
}

/* 40 kept peers and 200 others who come and go. */
static void kept_peers_come_back_through_churn_and_the_marks_hold(void **state)
{
    (void)state;
    world *w = calloc(1, sizeof *w);
    start(w, 5, 240, NULL);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(kith_connmgr_keep(w->m, 0, kith_node_id(sim_node(w->h[i])), sim_addr(w->h[i])),
                         KITH_OK);
    sim_drive(w->hub);
    for (unsigned minute = 0; minute < 6; minute++) {
        for (size_t i = 0; i < 240; i++) {
            if (sim_random(w->s) % 8 == 0 && sim_node(w->h[i])) {
                if (sim_random(w->s) % 2)
                    sim_vanish(w->h[i]);
                else
                    sim_off(w->h[i]);
                sim_on(w->h[i]);
                sim_set_watch(w->h[i], watch, w);
            }
            if (i >= 40 && !kith_node_conn_find(sim_node(w->h[i]), kith_node_id(sim_node(w->hub))))
                dial(w, i);
        }
        run(w, KITH_SEC(60));
        assert_true(open(w) <= 384);
    }
    run(w, KITH_SEC(330));
    assert_true(open(w) <= 192);
    assert_int_equal(kith_connmgr_look(w->m).kept_there, 40);
    for (size_t i = 0; i < 40; i++)
        assert_non_null(conn_of(w, i));
    sim_free(w->s);
    free(w);
}

static void a_partition_heals(void **state)
{
    (void)state;
    world *w = calloc(1, sizeof *w);
    start(w, 6, 64, NULL);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(kith_connmgr_keep(w->m, 0, kith_node_id(sim_node(w->h[i])), sim_addr(w->h[i])),
                         KITH_OK);
    sim_drive(w->hub);
    run(w, KITH_SEC(200));
    assert_int_equal(open(w), 64);
    for (size_t i = 0; i < 32; i++)
        sim_set_side(w->h[i], 1);
    run(w, KITH_SEC(600)); /* the muxer's pings find it out */
    assert_int_equal(open(w), 32);
    uint64_t dials = kith_connmgr_look(w->m).dials;
    assert_true(dials < 64 + 32 * 12);
    for (size_t i = 0; i < 32; i++)
        sim_set_side(w->h[i], 0);
    run(w, KITH_SEC(301 + 5)); /* retry_max, and a dial that has begun in vain */
    assert_int_equal(open(w), 64);
    assert_int_equal(kith_connmgr_look(w->m).kept_there, 64);
    sim_free(w->s);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_the_high_mark_nothing_happens_and_one_past_it_trims_to_the_low_one),
        cmocka_unit_test(the_least_valuable_go_and_nobody_who_is_protected),
        cmocka_unit_test(a_transfer_is_not_cut_before_there_are_twice_as_many),
        cmocka_unit_test(the_grace_ends_at_twice_the_high_mark),
        cmocka_unit_test(kept_peers_come_back_through_churn_and_the_marks_hold),
        cmocka_unit_test(a_partition_heals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
