/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two hosts over real sockets on loopback, their loops run in turns by one thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/host.h"
#include "proto/perf.h"
#include "proto/ping.h"

typedef struct end {
    kith_host *h;
    kith_signer *signer;
    kith_observer watch;
    unsigned connected, identified, disconnected, refused;
    kith_conn *conn;
    bool answered, gone;
    kith_err err;
    kith_sink sink;
} end;

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    end *e = ctx;
    e->connected += ev->kind == KITH_NODE_CONNECTED;
    e->identified += ev->kind == KITH_NODE_IDENTIFIED && ev->info;
    e->disconnected += ev->kind == KITH_NODE_DISCONNECTED;
    e->refused += ev->kind == KITH_NODE_REFUSED;
}

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    end *e = ctx;
    e->gone |= ev->kind == KITH_NODE_STREAM_GONE;
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    (void)h, (void)why;
    end *e = ctx;
    e->answered = true;
    e->conn = c;
    e->err = err;
}

static void start(end *e, uint8_t id)
{
    *e = (end){0};
    kith_host_config cfg = {0};
    const char *why;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {id};
    kith_node_config_default(&cfg.node);
    e->signer = kith_signer_new(seed);
    cfg.node.signer = e->signer;
    cfg.node.agent = "test";
    e->h = kith_host_new(&cfg, &why);
    assert_non_null(e->h);
    e->watch = (kith_observer){.event = on_event, .ctx = e};
    e->sink = (kith_sink){.event = on_stream, .ctx = e};
    kith_host_observe(e->h, &e->watch);
    kith_host_kick(e->h);
}

static void turn(end *a, end *b)
{
    uv_run(kith_host_loop(a->h), UV_RUN_NOWAIT);
    uv_run(kith_host_loop(b->h), UV_RUN_NOWAIT);
}

static void stop(end *e)
{
    kith_host_stop(e->h);
    kith_host_run(e->h);
    kith_host_free(e->h);
    kith_signer_free(e->signer);
}

static kith_maddr addr(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return a;
}

static void join(end *a, end *b, const char *where)
{
    kith_maddr at = addr(where), bound;
    start(a, 1);
    start(b, 2);
    assert_int_equal(kith_host_listen(b->h, &at, &bound), 0);
    assert_int_equal(kith_host_dial(a->h, NULL, &bound, 1, on_dialed, a), KITH_OK);
    for (int i = 0; i < 200000 && !(a->identified && b->identified); i++)
        turn(a, b);
    assert_int_equal(a->identified, 1);
    assert_int_equal(b->identified, 1);
    assert_true(a->answered);
    assert_non_null(a->conn);
}

static void two_hosts_meet_over_ipv4_and_ipv6(void **state)
{
    (void)state;
    static const char *const at[] = {"/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0"};
    for (int i = 0; i < 2; i++) {
        end a, b;
        join(&a, &b, at[i]);
        kith_conn_facts f;
        kith_conn_facts_get(a.conn, &f);
        assert_int_equal(f.suite->level, 3);
        kith_host_stop(a.h);
        for (int k = 0; k < 200000 && !b.disconnected; k++)
            turn(&a, &b);
        assert_int_equal(b.disconnected, 1);
        stop(&a);
        stop(&b);
    }
}

static void *serve_perf(void *ctx, const kith_stream_info *info)
{
    (void)ctx, (void)info;
    return kith_perf_server(kith_host_env());
}

static void bulk_goes_both_ways(void **state)
{
    (void)state;
    end a, b;
    join(&a, &b, "/ip4/127.0.0.1/tcp/0");
    kith_protocol row = {.id = kith_bytes_str(KITH_PERF_ID), .ops = &kith_perf_ops, .accept = serve_perf};
    assert_int_equal(kith_node_serve(kith_host_node(b.h), kith_host_now(b.h), &row), KITH_OK);
    kith_perf *p = kith_perf_client(kith_host_env(), 64u << 20, 64u << 20);
    kith_stream *s;
    kith_perf_result r;
    assert_int_equal(kith_node_open(kith_host_node(a.h), kith_host_now(a.h), a.conn, &row.id, 1,
                                    &kith_perf_ops, p, &a.sink, &s),
                     KITH_OK);
    kith_host_kick(a.h);
    while (kith_perf_result_get(p, &r) == KITH_ESTATE)
        turn(&a, &b);
    assert_int_equal(r.upload_bytes, 64u << 20);
    assert_int_equal(r.download_bytes, 64u << 20);
    stop(&a);
    stop(&b);
}

static void a_closed_port_is_refused(void **state)
{
    (void)state;
    end a, b;
    start(&a, 1);
    start(&b, 2);
    kith_maddr at = addr("/ip4/127.0.0.1/tcp/0"), bound;
    assert_int_equal(kith_host_listen(b.h, &at, &bound), 0);
    stop(&b);
    assert_int_equal(kith_host_dial(a.h, NULL, &bound, 1, on_dialed, &a), KITH_OK);
    for (int i = 0; i < 200000 && !a.answered; i++)
        uv_run(kith_host_loop(a.h), UV_RUN_NOWAIT);
    assert_true(a.answered);
    assert_null(a.conn);
    assert_int_equal(a.err, KITH_EREFUSED);
    stop(&a);
}

static void a_taken_port_is_an_error(void **state)
{
    (void)state;
    end a, b;
    start(&a, 1);
    start(&b, 2);
    kith_maddr at = addr("/ip4/127.0.0.1/tcp/0"), bound;
    assert_int_equal(kith_host_listen(b.h, &at, &bound), 0);
    assert_int_equal(kith_host_listen(a.h, &bound, NULL), UV_EADDRINUSE);
    stop(&a);
    stop(&b);
}

static void a_name_is_looked_up(void **state)
{
    (void)state;
    end a, b;
    start(&a, 1);
    start(&b, 2);
    kith_maddr at = addr("/ip4/127.0.0.1/tcp/0"), bound, name = addr("/dns4/localhost");
    kith_maddr_tcp t;
    assert_int_equal(kith_host_listen(b.h, &at, &bound), 0);
    assert_int_equal(kith_maddr_to_tcp(&bound, &t), KITH_OK);
    uint8_t port[2] = {(uint8_t)(t.port >> 8), (uint8_t)t.port};
    assert_int_equal(kith_maddr_add(&name, KITH_MA_TCP, kith_bytes_of(port, 2)), KITH_OK);
    assert_int_equal(kith_host_dial(a.h, NULL, &name, 1, on_dialed, &a), KITH_OK);
    for (int i = 0; i < 2000000 && !a.answered; i++)
        turn(&a, &b);
    assert_true(a.answered);
    assert_non_null(a.conn);
    stop(&a);
    stop(&b);
}

static void a_wildcard_is_told_as_the_interfaces_addresses(void **state)
{
    (void)state;
    end a;
    start(&a, 1);
    kith_maddr at = addr("/ip4/0.0.0.0/tcp/0"), bound, out[64];
    assert_int_equal(kith_host_listen(a.h, &at, &bound), 0);
    size_t n = kith_host_addrs(a.h, out, 64);
    assert_true(n >= 1);
    for (size_t i = 0; i < n; i++) {
        kith_maddr_tcp t;
        assert_int_equal(kith_maddr_to_tcp(&out[i], &t), KITH_OK);
        assert_int_not_equal(t.value.p[0], 0);
        assert_int_not_equal(t.port, 0);
    }
    stop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_hosts_meet_over_ipv4_and_ipv6),
        cmocka_unit_test(bulk_goes_both_ways),
        cmocka_unit_test(a_closed_port_is_refused),
        cmocka_unit_test(a_taken_port_is_an_error),
        cmocka_unit_test(a_name_is_looked_up),
        cmocka_unit_test(a_wildcard_is_told_as_the_interfaces_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
