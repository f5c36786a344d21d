/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The connection manager among a few nodes: whom it keeps, when it comes back, what it forgets. Crowds: test/sim/toy/test_connmgr_sim.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mesh/connmgr.h"
#include "sim/sim_world.h"
#include "support.h"

typedef struct pair {
    sim *s;
    sim_host *a, *b;
    kith_connmgr *m; /* of a */
    unsigned finds;
    bool answer, knows; /* at once; b's address */
} pair;

static void gone(void *self)
{
    pair *p = self;
    kith_connmgr_check(p->m);
    kith_connmgr_free(p->m);
    p->m = NULL;
}

static const kith_part_ops no_ops;
static kith_part ends = {.ops = &no_ops};

static void on_find(void *ctx, kith_time now, const kith_peer_id *peer)
{
    pair *p = ctx;
    p->finds++;
    if (p->answer)
        kith_connmgr_found(p->m, now, peer, sim_addr(p->b), p->knows ? 1 : 0);
}

static void start(pair *p, uint64_t seed, bool find)
{
    *p = (pair){.s = sim_new(seed), .answer = true, .knows = true};
    p->a = sim_add(p->s, NULL);
    p->b = sim_add(p->s, NULL);
    kith_connmgr_config cfg;
    kith_connmgr_config_default(&cfg);
    cfg.env = *sim_env(p->a);
    cfg.node = sim_node(p->a);
    cfg.find = find ? on_find : NULL;
    cfg.ctx = p;
    p->m = kith_connmgr_new(&cfg);
    assert_non_null(p->m);
    sim_attach(p->a, kith_connmgr_part(p->m), NULL);
    ends = (kith_part){.ops = &no_ops, .self = p};
    sim_attach(p->a, &ends, gone);
}

static const kith_peer_id *id_of(sim_host *h)
{
    return kith_node_id(sim_node(h));
}

static kith_conn *there(pair *p)
{
    return kith_node_conn_find(sim_node(p->a), id_of(p->b));
}

static void keep(pair *p, bool addr)
{
    assert_int_equal(kith_connmgr_keep(p->m, sim_now(p->s), id_of(p->b), addr ? sim_addr(p->b) : NULL),
                     KITH_OK);
    sim_drive(p->a);
}

static void run(pair *p, kith_time by)
{
    sim_run(p->s, sim_now(p->s) + by);
    kith_connmgr_check(p->m);
}

static void a_kept_peer_is_dialled_and_its_connection_outlives_idleness(void **state)
{
    (void)state;
    pair p;
    start(&p, 1, false);
    keep(&p, true);
    run(&p, KITH_SEC(1));
    kith_conn *c = there(&p);
    assert_non_null(c);
    run(&p, KITH_SEC(1200)); /* four times idle_timeout */
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    assert_true(f.protected);
    assert_true(there(&p) == c); /* nor did b close it, for which a pings on a stream */
    sim_free(p.s);
}

static void addresses_come_from_find_and_what_worked_is_remembered(void **state)
{
    (void)state;
    pair p;
    start(&p, 2, true);
    p.knows = false;
    keep(&p, false);
    run(&p, KITH_SEC(30));
    assert_null(there(&p));
    assert_in_range(p.finds, 3, 8); /* 1, 2, 4, 8, 16 s, less up to half of each */
    p.knows = true;
    run(&p, KITH_SEC(32));
    assert_non_null(there(&p));
    p.knows = false;
    run(&p, KITH_CONNMGR_STEADY);
    sim_reset_all(p.s, p.a, p.b);
    run(&p, KITH_SEC(5));
    assert_non_null(there(&p)); /* at the address that worked */
    sim_free(p.s);
}

static void an_answer_that_does_not_come_is_given_up(void **state)
{
    (void)state;
    pair p;
    start(&p, 3, true);
    p.answer = false;
    keep(&p, true); /* one address is known all the same */
    run(&p, KITH_SEC(29));
    assert_int_equal(p.finds, 1);
    assert_null(there(&p));
    run(&p, KITH_SEC(3));
    assert_non_null(there(&p));
    kith_connmgr_found(p.m, sim_now(p.s), id_of(p.b), sim_addr(p.b), 1); /* too late, and does nothing */
    kith_connmgr_check(p.m);
    sim_free(p.s);
}

static void dials_of_one_who_is_away_become_rare_and_stay_within_retry_max(void **state)
{
    (void)state;
    pair p;
    start(&p, 4, false);
    keep(&p, true);
    run(&p, KITH_SEC(1));
    sim_off(p.b);
    run(&p, KITH_SEC(3600));
    kith_connmgr_facts f = kith_connmgr_look(p.m);
    /* doubling takes 9 dials to 5 min, from where each waits 150 to 300 s */
    assert_in_range(f.dials, 9 + 3000 / 300, 10 + 3600 / 150);
    kith_connmgr_kept kept;
    assert_true(kith_connmgr_kept_at(p.m, 0, &kept));
    assert_false(kept.connected);
    assert_true(kept.dial_at <= sim_now(p.s) + KITH_SEC(300));
    sim_on(p.b);
    run(&p, KITH_SEC(301));
    assert_non_null(there(&p));
    assert_true(kith_connmgr_kept_at(p.m, 0, &kept) && kept.connected);
    assert_false(kith_connmgr_kept_at(p.m, 1, &kept));
    sim_free(p.s);
}

static void who_ends_connections_at_once_is_not_dialled_at_once_again(void **state)
{
    (void)state;
    pair p;
    start(&p, 5, false);
    keep(&p, true);
    for (int i = 0; i < 600;
         i++) { /* ten minutes, in which each connection is closed as soon as it is seen */
        kith_conn *c = kith_node_conn_find(sim_node(p.b), id_of(p.a));
        if (c)
            kith_node_close(sim_node(p.b), sim_now(p.s), c);
        sim_drive(p.b);
        run(&p, KITH_SEC(1));
    }
    assert_in_range(kith_connmgr_look(p.m).dials, 5, 14);
    sim_free(p.s);
}

static void a_peer_that_is_let_go_is_as_any_other(void **state)
{
    (void)state;
    pair p;
    start(&p, 6, false);
    keep(&p, true);
    run(&p, KITH_SEC(1));
    assert_true(kith_connmgr_keeps(p.m, id_of(p.b)));
    assert_true(kith_connmgr_let_go(p.m, id_of(p.b)));
    assert_false(kith_connmgr_let_go(p.m, id_of(p.b)));
    kith_conn_facts f;
    kith_conn_facts_get(there(&p), &f);
    assert_false(f.protected);
    sim_reset_all(p.s, p.a, p.b);
    run(&p, KITH_SEC(600));
    assert_null(there(&p));
    sim_free(p.s);
}

static void a_change_of_networks_finds_the_dead_and_comes_back_at_once(void **state)
{
    (void)state;
    pair p;
    start(&p, 7, false);
    keep(&p, true);
    run(&p, KITH_SEC(1));
    kith_conn *c = there(&p);
    kith_connmgr_network_changed(p.m, sim_now(p.s)); /* nothing is wrong */
    sim_drive(p.a);
    run(&p, KITH_SEC(5));
    assert_true(there(&p) == c);
    sim_partition(p.s, p.a, p.b, true);
    run(&p, KITH_SEC(1));
    assert_true(there(&p) == c);
    kith_connmgr_network_changed(p.m, sim_now(p.s));
    sim_drive(p.a);
    run(&p, KITH_MS(2010));
    assert_null(there(&p));
    assert_int_equal(kith_connmgr_look(p.m).dead, 1);
    run(&p, KITH_SEC(900)); /* the next dial may be minutes away by now */
    sim_partition(p.s, p.a, p.b, false);
    kith_connmgr_network_changed(p.m, sim_now(p.s));
    sim_drive(p.a);
    run(&p, KITH_SEC(1));
    assert_non_null(there(&p));
    sim_free(p.s);
}

/* One is being made, or is about to close: nothing is asked on it. */
static void a_change_of_networks_leaves_alone_what_is_not_open(void **state)
{
    (void)state;
    unsigned made = 0, closing = 0;
    for (unsigned ms = 0; ms < 80; ms += 5) {
        pair p;
        start(&p, 9, false);
        keep(&p, true);
        run(&p, KITH_MS(ms));
        kith_conn *c = there(&p);
        made += !c && kith_node_conn_count(sim_node(p.a)) > 0;
        closing += c != NULL;
        if (c)
            kith_node_close(sim_node(p.a), sim_now(p.s), c);
        kith_connmgr_network_changed(p.m, sim_now(p.s));
        sim_drive(p.a);
        run(&p, KITH_SEC(5));
        assert_non_null(there(&p)); /* made, or made again */
        assert_int_equal(kith_connmgr_look(p.m).dead, 0);
        sim_free(p.s);
    }
    assert_true(made > 0 && closing > 0);
}

static kith_peer_id nobody(size_t i)
{
    return (kith_peer_id){.len = 34, .b = {0x12, 32, (uint8_t)i, (uint8_t)(i >> 8)}};
}

static void no_more_than_kept_max_are_kept(void **state)
{
    (void)state;
    pair p;
    start(&p, 8, false);
    for (size_t i = 0; i < KITH_CONNMGR_KEPT_MAX; i++) {
        kith_peer_id id = nobody(i);
        assert_int_equal(kith_connmgr_keep(p.m, 0, &id, NULL), KITH_OK);
    }
    kith_peer_id one = nobody(0), more = nobody(KITH_CONNMGR_KEPT_MAX);
    assert_int_equal(kith_connmgr_keep(p.m, 0, &more, NULL), KITH_ELIMIT);
    assert_int_equal(kith_connmgr_keep(p.m, 0, &one, NULL), KITH_OK); /* again */
    sim_drive(p.a);
    run(&p, KITH_SEC(60)); /* nowhere to dial */
    assert_int_equal(kith_connmgr_look(p.m).kept, KITH_CONNMGR_KEPT_MAX);
    assert_true(kith_connmgr_let_go(p.m, &one));
    assert_int_equal(kith_connmgr_keep(p.m, 0, &more, NULL), KITH_OK);
    kith_connmgr_check(p.m);
    sim_free(p.s);
}

static void of_many_addresses_the_freshest_four_stay(void **state)
{
    (void)state;
    pair p;
    start(&p, 9, false);
    const uint8_t nowhere[4] = {10, 99, 0, 1};
    kith_maddr a;
    keep(&p, true);
    for (uint16_t i = 1; i < KITH_CONNMGR_ADDRS_MAX; i++) { /* with three more the first is still there */
        kith_maddr_from_tcp(kith_bytes_of(nowhere, 4), i, &a);
        assert_int_equal(kith_connmgr_keep(p.m, 0, id_of(p.b), &a), KITH_OK);
    }
    sim_drive(p.a);
    run(&p, KITH_SEC(20));
    assert_non_null(there(&p));
    sim_free(p.s);
    start(&p, 10, false);
    keep(&p, true);
    for (uint16_t i = 1; i <= KITH_CONNMGR_ADDRS_MAX; i++) { /* with four it is not */
        kith_maddr_from_tcp(kith_bytes_of(nowhere, 4), i, &a);
        assert_int_equal(kith_connmgr_keep(p.m, 0, id_of(p.b), &a), KITH_OK);
    }
    kith_connmgr_stop(p.m);
    assert_int_equal(kith_connmgr_keep(p.m, 0, id_of(p.b), NULL), KITH_ELIMIT); /* it keeps nobody any more */
    sim_free(p.s);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    bool through = false;
    for (int64_t n = 0; !through; n++) {
        pair p;
        start(&p, 11, true);
        sim_fail_alloc(p.a, n / 2, n % 2);
        kith_err e = kith_connmgr_keep(p.m, sim_now(p.s), id_of(p.b), sim_addr(p.b));
        sim_drive(p.a);
        run(&p, KITH_SEC(3));
        kith_connmgr_network_changed(p.m, sim_now(p.s));
        sim_drive(p.a);
        run(&p, KITH_SEC(3));
        through = !sim_alloc_failed(p.a);
        sim_fail_alloc(p.a, -1, false);
        assert_true(through || n < 2000);
        if (e)
            assert_int_equal(kith_connmgr_keep(p.m, sim_now(p.s), id_of(p.b), sim_addr(p.b)), KITH_OK);
        sim_drive(p.a);
        run(&p, KITH_SEC(60));
        assert_non_null(there(&p));
        sim_free(p.s);
    }
    pair p;
    start(&p, 12, false);
    kith_connmgr_config cfg;
    kith_connmgr_config_default(&cfg);
    cfg.env = *sim_env(p.a);
    cfg.node = sim_node(p.a);
    sim_fail_alloc(p.a, 0, false); /* the only one */
    assert_null(kith_connmgr_new(&cfg));
    sim_fail_alloc(p.a, 1, false);
    kith_connmgr *m = kith_connmgr_new(&cfg);
    assert_non_null(m);
    assert_false(sim_alloc_failed(p.a));
    kith_connmgr_free(m);
    sim_free(p.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kept_peer_is_dialled_and_its_connection_outlives_idleness),
        cmocka_unit_test(addresses_come_from_find_and_what_worked_is_remembered),
        cmocka_unit_test(an_answer_that_does_not_come_is_given_up),
        cmocka_unit_test(dials_of_one_who_is_away_become_rare_and_stay_within_retry_max),
        cmocka_unit_test(who_ends_connections_at_once_is_not_dialled_at_once_again),
        cmocka_unit_test(a_peer_that_is_let_go_is_as_any_other),
        cmocka_unit_test(a_change_of_networks_finds_the_dead_and_comes_back_at_once),
        cmocka_unit_test(a_change_of_networks_leaves_alone_what_is_not_open),
        cmocka_unit_test(no_more_than_kept_max_are_kept),
        cmocka_unit_test(of_many_addresses_the_freshest_four_stay),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
