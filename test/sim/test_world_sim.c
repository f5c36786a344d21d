/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The simulated network does what its header says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim_echo.h"
#include "sim_world.h"

typedef struct seen {
    unsigned connected, disconnected, dialed, refused;
    kith_err err, dial_err;
    kith_time connected_at;
} seen;

static void watch(void *ctx, sim_host *h, const kith_node_event *ev)
{
    (void)h;
    seen *s = ctx;
    if (ev->kind == KITH_NODE_CONNECTED) {
        s->connected++;
    } else if (ev->kind == KITH_NODE_DISCONNECTED) {
        s->disconnected++;
        s->err = ev->err;
    } else if (ev->kind == KITH_NODE_DIALED) {
        s->dialed += ev->conn != NULL;
        s->dial_err = ev->err;
    }
}

static void serve_echo(sim_host *h)
{
    kith_protocol row = {.id = kith_bytes_str(SIM_ECHO_ID),
                         .ops = &sim_echo_ops,
                         .accept = sim_echo_accept,
                         .ctx = (void *)(uintptr_t)sim_env(h)};
    assert_int_equal(kith_node_serve(sim_node(h), 0, &row), KITH_OK);
}

static sim_host *add(sim *s, const kith_node_config *cfg)
{
    sim_host *h = sim_add(s, cfg);
    serve_echo(h);
    return h;
}

static void call(sim *s, sim_host *h, kith_conn *c, sim_caller *m)
{
    const kith_bytes id[] = {kith_bytes_str(SIM_ECHO_ID)};
    kith_stream *stream;
    assert_non_null(c);
    assert_int_equal(kith_node_open(sim_node(h), sim_now(s), c, id, 1, &sim_caller_ops, m, NULL, &stream),
                     KITH_OK);
    sim_drive(h);
}

static void dial(sim *s, sim_host *a, sim_host *b)
{
    uint64_t id;
    assert_int_equal(kith_node_dial(sim_node(a), sim_now(s), NULL, sim_addr(b), 1, &id), KITH_OK);
    sim_drive(a);
}

static bool found(void *ctx)
{
    sim_host **p = ctx;
    return kith_node_conn_find(sim_node(p[0]), kith_node_id(sim_node(p[1]))) != NULL;
}

/* From dial to an open connection: two round trips. */
static kith_time connect_time(uint64_t seed, size_t from, size_t to)
{
    sim *s = sim_new(seed);
    sim_set_path(s, (sim_path){.latency = KITH_MS(5), .latency_max = KITH_MS(105), .buffer = 65536});
    for (int i = 0; i < 8; i++)
        add(s, NULL);
    sim_host *p[] = {sim_host_at(s, from), sim_host_at(s, to)};
    kith_time start = sim_now(s);
    dial(s, p[0], p[1]);
    assert_true(sim_run_until(s, start + KITH_SEC(5), found, p));
    kith_time took = sim_now(s) - start;
    sim_free(s);
    return took;
}

static void latency_belongs_to_a_pair_both_ways(void **state)
{
    (void)state;
    kith_time first = connect_time(1, 0, 1);
    bool differ = false;
    for (size_t a = 0; a < 8; a++) {
        for (size_t b = a + 1; b < 8; b++) {
            kith_time there = connect_time(1, a, b);
            assert_in_range(there, KITH_MS(20), KITH_MS(420));
            assert_int_equal(there % 4, 0);
            assert_int_equal(there, connect_time(1, b, a));
            differ = differ || there > first + KITH_MS(20) || there + KITH_MS(20) < first;
        }
    }
    assert_true(differ);
    assert_int_not_equal(first, connect_time(2, 0, 1));
}

/* A megabyte from each of n hosts to one of its own peers each, or to one for all, over links of 1 MB/s. */
static kith_time bulk(unsigned n, bool one_sender, bool one_receiver)
{
    sim *s = sim_new(3);
    sim_host *from[4], *to[4];
    for (unsigned i = 0; i < n; i++) {
        from[i] = i > 0 && one_sender ? from[0] : add(s, NULL);
        to[i] = i > 0 && one_receiver ? to[0] : add(s, NULL);
        sim_set_link(from[i], 1000000, 0);
        sim_set_link(to[i], 0, 1000000);
    }
    sim_caller m[4];
    kith_conn *c[4];
    for (unsigned i = 0; i < n; i++)
        c[i] = sim_connect(s, from[i], to[i]);
    kith_time start = sim_now(s), end = start;
    for (unsigned i = 0; i < n; i++) {
        m[i] = (sim_caller){.seed = i, .total = 1000000};
        call(s, from[i], c[i], &m[i]);
    }
    sim_run(s, start + KITH_SEC(30));
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(m[i].got, m[i].total);
        assert_false(m[i].wrong);
        if (m[i].last_byte > end)
            end = m[i].last_byte;
    }
    sim_free(s);
    return end - start;
}

static void a_link_is_shared_by_its_hosts_connections(void **state)
{
    (void)state;
    assert_in_range(bulk(1, false, false), KITH_MS(1000), KITH_MS(1200));
    assert_in_range(bulk(3, false, false), KITH_MS(1000), KITH_MS(1200)); /* three pairs: three links */
    assert_in_range(bulk(3, true, false), KITH_MS(3000), KITH_MS(3300));
    assert_in_range(bulk(3, false, true), KITH_MS(3000), KITH_MS(3300));
}

static kith_time lossy(uint32_t ppm, uint64_t *lost, uint64_t *hash)
{
    sim *s = sim_new(4);
    sim_host *a = add(s, NULL), *b = add(s, NULL);
    sim_set_path(s, (sim_path){.latency = KITH_MS(20), .buffer = 4u << 20, .loss_ppm = ppm});
    kith_conn *c = sim_connect(s, a, b);
    sim_caller m = {.seed = 9, .total = 3000000};
    kith_time start = sim_now(s);
    call(s, a, c, &m);
    sim_run(s, start + KITH_SEC(600));
    assert_int_equal(m.got, m.total);
    assert_false(m.wrong);
    *lost = sim_count(s).lost;
    *hash = sim_hash(s);
    sim_free(s);
    return m.last_byte - start;
}

static void lost_packets_cost_time_and_no_bytes(void **state)
{
    (void)state;
    uint64_t none, few, many, hash[4];
    kith_time clean = lossy(0, &none, &hash[0]);
    kith_time some = lossy(2000, &few, &hash[1]);
    kith_time bad = lossy(20000, &many, &hash[2]);
    assert_int_equal(none, 0);
    assert_true(few > 0 && many > few);
    assert_true(some > clean + KITH_MS(40) && bad > 2 * some);
    lossy(20000, &many, &hash[3]);
    assert_int_equal(hash[2], hash[3]);
}

/* 40 ms of round trip: 10 packets, then 20, 40 ...: 3 MB take eight or more; yamux's own windows grow meanwhile. */
static void a_path_that_may_lose_is_sent_into_slowly(void **state)
{
    (void)state;
    uint64_t lost, hash;
    kith_time took = lossy(1, &lost, &hash);
    assert_int_equal(lost, 0);
    assert_in_range(took, KITH_MS(8 * 40), KITH_MS(16 * 40));
    assert_in_range(lossy(0, &lost, &hash), KITH_MS(40), KITH_MS(8 * 40 - 1));
}

static void a_lone_packet_that_is_lost_waits_for_the_timeout(void **state)
{
    (void)state;
    sim *s = sim_new(14);
    sim_host *a = add(s, NULL), *b = add(s, NULL);
    kith_conn *c = sim_connect(s, a, b);
    sim_set_path(s, (sim_path){.latency = KITH_MS(10), .buffer = 65536, .loss_ppm = 100000});
    unsigned quick = 0, late = 0;
    for (unsigned i = 0; i < 50; i++) {
        sim_caller m = {.seed = i, .total = 100};
        kith_time start = sim_now(s);
        call(s, a, c, &m);
        sim_run(s, start + KITH_SEC(20));
        assert_true(m.gone && m.got == 100);
        quick += m.first_byte - start == KITH_MS(20);
        late += m.first_byte - start >= KITH_MS(20 + 220);
    }
    assert_int_equal(quick + late, 50); /* nothing between */
    assert_in_range(late, 5, 20);       /* 1 - 0.9 * 0.9 = 0.19 */
    sim_free(s);
}

static void a_lost_syn_is_sent_again(void **state)
{
    (void)state;
    sim *s = sim_new(5);
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.dial_timeout = cfg.handshake_timeout = KITH_NEVER;
    sim_host *hub = add(s, NULL);
    seen saw = {0};
    unsigned late = 0;
    sim_set_path(s, (sim_path){.latency = KITH_MS(10), .buffer = 65536, .loss_ppm = 300000});
    for (int i = 0; i < 100; i++) {
        sim_host *p[] = {add(s, &cfg), hub};
        sim_set_watch(p[0], watch, &saw);
        kith_time start = sim_now(s);
        dial(s, p[0], p[1]);
        sim_run(s, start + KITH_MS(999));
        late += kith_node_usage(sim_node(p[0])).dials;
        sim_run(s, start + KITH_SEC(70));
        assert_int_equal(kith_node_usage(sim_node(p[0])).dials, 0);
    }
    assert_int_equal(saw.dialed, 100);
    assert_in_range(late, 45, 60); /* 1 - 0.7 * 0.7 = 0.51 */
    sim_free(s);
}

static void a_program_that_ends_closes_and_refuses_and_comes_back_the_same(void **state)
{
    (void)state;
    sim *s = sim_new(6);
    sim_host *a = add(s, NULL), *b = add(s, NULL);
    seen saw = {0};
    sim_set_watch(a, watch, &saw);
    kith_peer_id was = *kith_node_id(sim_node(b));
    assert_non_null(sim_connect(s, a, b));
    sim_off(b);
    assert_null(sim_node(b));
    sim_run(s, sim_now(s) + KITH_SEC(1));
    assert_int_equal(saw.disconnected, 1);
    assert_int_equal(saw.err, KITH_ECLOSED);
    assert_int_equal(sim_count(s).tcps, 0);
    dial(s, a, b);
    sim_run(s, sim_now(s) + KITH_SEC(1));
    assert_int_equal(saw.dial_err, KITH_EREFUSED);
    sim_on(b);
    serve_echo(b);
    assert_true(kith_peer_id_eq(&was, kith_node_id(sim_node(b))));
    kith_conn *c = sim_connect(s, a, b);
    sim_caller m = {.total = 1000};
    call(s, a, c, &m);
    sim_run(s, sim_now(s) + KITH_SEC(1));
    assert_int_equal(m.got, 1000);
    sim_free(s);
}

static void who_comes_back_from_a_power_loss_resets_what_it_forgot(void **state)
{
    (void)state;
    sim *s = sim_new(7);
    sim_host *a = add(s, NULL), *b = add(s, NULL);
    seen saw = {0};
    sim_set_watch(a, watch, &saw);
    assert_non_null(sim_connect(s, a, b));
    sim_run(s, sim_now(s) + KITH_SEC(1));
    sim_vanish(b);
    sim_run(s, sim_now(s) + KITH_SEC(5));
    assert_int_equal(saw.disconnected, 0); /* nobody told it, and no ping was due */
    sim_on(b);
    sim_run(s, sim_now(s) + KITH_SEC(30));
    assert_int_equal(saw.disconnected, 1);
    assert_int_equal(saw.err, KITH_ERESET);
    assert_int_equal(sim_count(s).tcps, 0);
    assert_non_null(sim_connect(s, a, b));
    sim_free(s);
}

/* Without keep-alive only TCP itself can notice: 0.2 + 0.4 + ... s, 120 s at most each. */
static void tcp_gives_up_a_silent_peer(void **state)
{
    (void)state;
    sim *s = sim_new(8);
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.ping_every = cfg.idle_timeout = KITH_NEVER;
    sim_host *a = add(s, &cfg), *b = add(s, &cfg);
    seen saw = {0};
    sim_set_watch(a, watch, &saw);
    kith_conn *c = sim_connect(s, a, b);
    sim_run(s, sim_now(s) + KITH_SEC(1)); /* or b has something under way too */
    sim_partition(s, a, b, true);
    sim_caller m = {.total = 1000};
    call(s, a, c, &m);
    sim_run(s, sim_now(s) + KITH_SEC(600));
    assert_int_equal(saw.disconnected, 0);
    sim_run(s, sim_now(s) + KITH_SEC(1200));
    assert_int_equal(saw.disconnected, 1);
    assert_int_equal(saw.err, KITH_ETIMEOUT);
    sim_partition(s, a, b, false);
    kith_node_close(sim_node(b), sim_now(s), kith_node_conn_next(sim_node(b), NULL));
    sim_drive(b);
    sim_run(s, sim_now(s) + KITH_SEC(10));
    assert_int_equal(sim_count(s).tcps, 0);
    sim_free(s);
}

static void a_connection_to_nobody_is_forgotten_in_the_end(void **state)
{
    (void)state;
    sim *s = sim_new(9);
    sim_host *a = add(s, NULL), *b = add(s, NULL);
    kith_conn *c = sim_connect(s, a, b);
    sim_vanish(b);
    kith_node_close(sim_node(a), sim_now(s), c);
    sim_drive(a);
    sim_run(s, sim_now(s) + KITH_SEC(10));
    assert_int_equal(sim_count(s).tcps, 1);
    sim_run(s, sim_now(s) + KITH_SEC(300));
    assert_int_equal(sim_count(s).tcps, 0);
    sim_free(s);
}

static void ring(void *ctx, sim_alarm *a)
{
    kith_time *at = ctx;
    *at = sim_now(a->world);
    sim_alarm_set(a, *at + KITH_SEC(2));
}

static void an_alarm_rings_at_its_time(void **state)
{
    (void)state;
    sim *s = sim_new(10);
    kith_time rang = 0, start = sim_now(s);
    sim_alarm a;
    sim_alarm_init(s, &a, ring, &rang);
    sim_alarm_set(&a, start + KITH_SEC(5));
    sim_run(s, start + KITH_SEC(5) - 1);
    assert_int_equal(rang, 0);
    sim_run(s, start + KITH_SEC(6));
    assert_int_equal(rang, start + KITH_SEC(5));
    sim_run(s, start + KITH_SEC(8));
    assert_int_equal(rang, start + KITH_SEC(7));
    sim_alarm_fini(&a);
    sim_free(s);
}

/* A part that opens one echo on the first connection, from inside act, and wants a tick a second later. */
typedef struct probe {
    kith_part part;
    sim_host *host;
    kith_conn *conn;
    sim_caller call;
    unsigned connected, streams, ticks, gone;
    kith_time due;
    bool opened;
} probe;

static void probe_event(void *self, kith_time now, const kith_node_event *ev)
{
    probe *p = self;
    if (ev->kind == KITH_NODE_CONNECTED) {
        p->connected++;
        p->conn = ev->conn;
        p->due = now + KITH_SEC(1);
    }
    p->streams += ev->kind == KITH_NODE_STREAM_OPENED || ev->kind == KITH_NODE_STREAM_GONE;
}

static bool probe_act(void *self, kith_time now)
{
    probe *p = self;
    const kith_bytes id[] = {kith_bytes_str(SIM_ECHO_ID)};
    kith_stream *stream;
    if (!p->conn || p->opened)
        return false;
    p->opened = true;
    p->call.total = 5000;
    assert_int_equal(
        kith_node_open(sim_node(p->host), now, p->conn, id, 1, &sim_caller_ops, &p->call, NULL, &stream),
        KITH_OK);
    return true;
}

static kith_time probe_deadline(const void *self)
{
    return ((const probe *)self)->due;
}

static void probe_tick(void *self, kith_time now)
{
    probe *p = self;
    assert_int_equal(now, p->due);
    p->ticks++;
    p->due = KITH_NEVER;
}

static void probe_gone(void *self)
{
    ((probe *)self)->gone++;
}

static void a_part_is_driven_beside_the_node_until_that_goes_off(void **state)
{
    (void)state;
    static const kith_part_ops ops = {probe_event, probe_act, probe_deadline, probe_tick};
    sim *s = sim_new(31);
    sim_host *a = add(s, NULL), *b = add(s, NULL);
    probe p = {.host = a, .due = KITH_NEVER};
    p.part = (kith_part){.ops = &ops, .self = &p};
    sim_attach(a, &p.part, probe_gone);
    sim_connect(s, b, a);
    sim_run(s, sim_now(s) + KITH_SEC(5));
    assert_int_equal(p.connected, 1);
    assert_int_equal(p.streams, 0); /* those are its machines' business */
    assert_int_equal(p.ticks, 1);
    assert_int_equal(p.call.got, 5000);
    assert_int_equal(p.gone, 0);
    sim_off(a);
    assert_int_equal(p.gone, 1);
    sim_on(a);
    sim_run(s, sim_now(s) + KITH_SEC(5));
    assert_int_equal(p.ticks, 1);
    sim_free(s);
    assert_int_equal(p.gone, 1);
}

static void a_host_can_be_moved_to_an_address_of_its_own(void **state)
{
    (void)state;
    sim *s = sim_new(32);
    sim_host *a = add(s, NULL), *b = add(s, NULL);
    const uint8_t ip[] = {203, 7, 8, 9};
    kith_maddr before = *sim_addr(b);
    sim_move(b, ip);
    assert_ptr_equal(sim_host_of(s, sim_addr(b)), b);
    assert_false(kith_maddr_eq(&before, sim_addr(b)));
    kith_conn *c = sim_connect(s, a, b);
    assert_non_null(c);
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    assert_int_equal(f.remote.b[1], 203);
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latency_belongs_to_a_pair_both_ways),
        cmocka_unit_test(a_part_is_driven_beside_the_node_until_that_goes_off),
        cmocka_unit_test(a_host_can_be_moved_to_an_address_of_its_own),
        cmocka_unit_test(a_link_is_shared_by_its_hosts_connections),
        cmocka_unit_test(lost_packets_cost_time_and_no_bytes),
        cmocka_unit_test(a_path_that_may_lose_is_sent_into_slowly),
        cmocka_unit_test(a_lone_packet_that_is_lost_waits_for_the_timeout),
        cmocka_unit_test(a_lost_syn_is_sent_again),
        cmocka_unit_test(a_program_that_ends_closes_and_refuses_and_comes_back_the_same),
        cmocka_unit_test(who_comes_back_from_a_power_loss_resets_what_it_forgot),
        cmocka_unit_test(tcp_gives_up_a_silent_peer),
        cmocka_unit_test(a_connection_to_nobody_is_forgotten_in_the_end),
        cmocka_unit_test(an_alarm_rings_at_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
