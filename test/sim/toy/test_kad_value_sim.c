/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Values that have had their time, in a small network: nobody gives them, nobody takes them, and they are in nobody's way; and whom a value
 * that is not taken is held against. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim_kad.h"

#define COUNT 6
#define CLOCK 1800000000u /* as sim_kad.c has it */

/* Values of two bytes: a rank, and the minute since the simulation began in which it ends. */
static kith_err minute_validate(void *ctx, kith_bytes key, kith_bytes value)
{
    (void)ctx, (void)key;
    if (value.len != 2)
        return KITH_EFORMAT;
    return value.p[0] == UINT8_MAX ? KITH_EUNSUPPORTED : KITH_OK;
}

static bool minute_better(void *ctx, kith_bytes key, kith_bytes a, kith_bytes b)
{
    (void)ctx, (void)key;
    return b.p[0] > a.p[0];
}

static bool minute_ended(void *ctx, kith_bytes key, kith_bytes value, uint64_t unix_seconds)
{
    (void)ctx, (void)key;
    return unix_seconds > CLOCK + 60u * value.p[1];
}

static const kith_kad_namespace minutes = {
    .name = "minutes", .validate = minute_validate, .better = minute_better, .ended = minute_ended};

typedef struct net {
    sim *s;
    sim_kad all[COUNT];
    unsigned blamed;
} net;

static void on_conduct(void *ctx, const kith_peer_id *peer, kith_conduct what)
{
    net *n = ctx;
    (void)peer;
    n->blamed += what == KITH_CONDUCT_DHT;
}

static void begin(net *n)
{
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.pq = KITH_PQ_OFF;
    *n = (net){.s = sim_new(7)};
    for (size_t i = 0; i < COUNT; i++) {
        sim_kad *k = &n->all[i];
        sim_kad_init(k, sim_add(n->s, &cfg), true);
        k->cfg.namespaces = &minutes;
        k->cfg.namespace_count = 1;
        k->cfg.conduct = on_conduct;
        k->cfg.conduct_ctx = n;
        if (i > 0)
            sim_kad_know(k, n->all[0].host);
        sim_kad_start(k);
    }
    sim_run(n->s, sim_now(n->s) + KITH_SEC(60));
}

static void plant(net *n, size_t i, kith_bytes key, kith_bytes value)
{
    kith_kad *k = n->all[i].kad;
    kith_kad_row row = {.key = key, .data = value, .received = kith_kad_clock(k, sim_now(n->s))};
    assert_int_equal(kith_kad_store_put(kith_kad_store_of(k), &row), KITH_OK);
}

static const sim_kad_end *get(net *n, kith_bytes key)
{
    static sim_kad_end end;
    sim_kad *asks = &n->all[COUNT - 1];
    uint64_t op;
    assert_int_equal(kith_kad_get(asks->kad, sim_now(n->s), key, COUNT, &op), KITH_OK);
    sim_kad_wait(n->s, asks, op, &end);
    assert_true(end.done);
    return &end;
}

static void what_has_ended_is_gone_and_in_nobodys_way(void **state)
{
    (void)state;
    static sim_kad_end end;
    net n;
    uint64_t op;
    kith_bytes key = kith_bytes_str("/minutes/a");
    begin(&n);
    plant(&n, 0, key, kith_bytes_of("\x09\x05", 2));
    assert_int_equal(get(&n, key)->value[0], 9);
    sim_run(n.s, KITH_SEC(5 * 60 + 30));
    assert_int_equal(get(&n, key)->err, KITH_ENOTFOUND);
    /* A worse one that lives takes its place everywhere. */
    sim_kad *puts = &n.all[1];
    kith_bytes lives = kith_bytes_of("\x03\xf0", 2);
    assert_int_equal(kith_kad_put(puts->kad, sim_now(n.s), key, lives, &op), KITH_OK);
    sim_kad_wait(n.s, puts, op, &end);
    assert_int_equal(end.reached, COUNT);
    assert_int_equal(get(&n, key)->value[0], 3);
    /* What has ended is not put, nor taken where it is sent all the same. */
    assert_int_equal(kith_kad_put(puts->kad, sim_now(n.s), key, kith_bytes_of("\x09\x05", 2), &op),
                     KITH_ETIMEOUT);
    kith_kad_set_clock(puts->kad, sim_now(n.s), CLOCK); /* its clock is wrong */
    assert_int_equal(kith_kad_put(puts->kad, sim_now(n.s), key, kith_bytes_of("\x09\x05", 2), &op), KITH_OK);
    sim_kad_wait(n.s, puts, op, &end);
    assert_int_equal(end.reached, 1); /* itself */
    assert_int_equal(get(&n, key)->value[0], 3);
    assert_int_equal(n.blamed, 0);
    sim_free(n.s);
}

static void only_what_is_wrong_for_all_is_held_against_who_gave_it(void **state)
{
    (void)state;
    net n;
    begin(&n);
    /* A clock that goes ahead, or one that goes behind, makes no liar of anybody. */
    kith_bytes late = kith_bytes_str("/minutes/late"), odd = kith_bytes_str("/minutes/odd"),
               wrong = kith_bytes_str("/minutes/wrong");
    plant(&n, 0, late, kith_bytes_of("\x09\x05", 2));
    kith_kad_set_clock(n.all[COUNT - 1].kad, sim_now(n.s), CLOCK + 3600);
    assert_int_equal(get(&n, late)->err, KITH_ENOTFOUND);
    plant(&n, 0, odd, kith_bytes_of("\xff\xf0", 2));
    assert_int_equal(get(&n, odd)->err, KITH_ENOTFOUND);
    assert_int_equal(n.blamed, 0);
    plant(&n, 0, wrong, kith_bytes_of("\x01\xf0\xf0", 3));
    assert_int_equal(get(&n, wrong)->err, KITH_ENOTFOUND);
    assert_int_equal(n.blamed, 1);
    sim_free(n.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_ended_is_gone_and_in_nobodys_way),
        cmocka_unit_test(only_what_is_wrong_for_all_is_held_against_who_gave_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
