/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The whole stack without sockets: two nodes in one thread hand each other buffers and run /perf/1.0.0. What it prints is the CPU cost of
 * kith itself, both sides added up: mss, Noise, yamux, stream machines.
 *
 *   stack [BYTES [EVERY [pnet]]]     so many each way; the keys are refreshed after EVERY bytes (0: never); in a private network */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/crypto.h"
#include "node/node.h"
#include "proto/perf.h"

static kith_env env = {.alloc = {.fn = kith_heap}};

typedef struct side {
    kith_node *node;
    kith_conn *conn;
    bool open, gone;
} side;

static kith_time now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (kith_time)t.tv_sec * 1000000000u + (kith_time)t.tv_nsec;
}

/* What this process has computed, whatever else the machine does meanwhile. */
static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *serve(void *ctx, const kith_stream_info *info)
{
    (void)ctx, (void)info;
    return kith_perf_server(&env);
}

static void events(side *s, kith_time now)
{
    kith_node_event ev;
    while (kith_node_next(s->node, now, &ev)) {
        if (ev.kind == KITH_NODE_DIAL)
            s->conn = ev.conn;
        else if (ev.kind == KITH_NODE_WORK) {
            kith_node_work(ev.conn);
            kith_node_worked(s->node, now, ev.conn);
        } else if (ev.kind == KITH_NODE_IDENTIFIED)
            s->open = true;
        else if (ev.kind == KITH_NODE_STREAM_GONE)
            s->gone = true;
    }
}

static bool move(side *from, side *to, kith_time now)
{
    static uint8_t buf[256 * 1024];
    kith_conn *c = kith_node_writer(from->node);
    if (!c)
        return false;
    size_t n = kith_node_send(from->node, now, c, kith_span_of(buf, sizeof buf));
    if (n)
        kith_node_recv(to->node, now, to->conn, kith_span_of(buf, n));
    events(to, now);
    events(from, now);
    return true;
}

int main(int argc, char **argv)
{
    uint64_t bytes = argc > 1 ? strtoull(argv[1], NULL, 10) : 1u << 30;
    uint64_t every = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    static const uint8_t network_key[KITH_PNET_KEY_LEN] = {1};
    if (kith_crypto_init())
        return 1;
    env.rand = kith_random_os();
    side s[2] = {0};
    for (int i = 0; i < 2; i++) {
        uint8_t seed[KITH_ED25519_SEED_LEN] = {(uint8_t)i};
        kith_node_config cfg;
        kith_node_config_default(&cfg);
        cfg.env = env;
        cfg.signer = kith_signer_new(seed);
        cfg.rekey_after_bytes = every ? every : UINT64_MAX;
        cfg.network_key = argc > 3 && strcmp(argv[3], "pnet") == 0 ? network_key : NULL;
        s[i].node = kith_node_new(&cfg, now_ns());
        assert(s[i].node);
    }
    kith_protocol row = {.id = kith_bytes_str(KITH_PERF_ID), .ops = &kith_perf_ops, .accept = serve};
    kith_maddr addr;
    const uint8_t ip[4] = {127, 0, 0, 1};
    const char *why;
    uint64_t id;
    kith_maddr_from_tcp(kith_bytes_of(ip, 4), 1, &addr);
    kith_time start = now_ns();
    double cpu = cpu_seconds();
    if (kith_node_serve(s[1].node, start, &row) || kith_node_dial(s[0].node, start, NULL, &addr, 1, &id))
        return 1;
    events(&s[0], start);
    if (kith_node_accept(s[1].node, start, &addr, &addr, &s[1].conn, &why))
        return 1;
    kith_node_connected(s[0].node, start, s[0].conn, NULL, NULL);
    while (!s[0].open || !s[1].open) {
        move(&s[0], &s[1], now_ns());
        move(&s[1], &s[0], now_ns());
    }
    printf("connect and identify, both sides: %.2f ms\n", (cpu_seconds() - cpu) * 1e3);
    for (int up = 1; up >= 0; up--) {
        kith_perf *p = kith_perf_client(&env, up ? bytes : 0, up ? 0 : bytes);
        kith_stream *stream;
        s[0].gone = false;
        start = now_ns();
        cpu = cpu_seconds();
        if (kith_node_open(s[0].node, start, s[0].conn, &row.id, 1, &kith_perf_ops, p, NULL, &stream))
            return 1;
        while (!s[0].gone) {
            kith_time now = now_ns();
            bool any = move(&s[0], &s[1], now);
            any |= move(&s[1], &s[0], now);
            assert(any || s[0].gone);
            (void)any;
        }
        double sec = cpu_seconds() - cpu;
        printf("%s %.2f Gbit/s on one core for both sides\n", up ? "upload" : "download",
               (double)bytes * 8 / sec / 1e9);
    }
    kith_conn_facts facts;
    kith_conn_facts_get(s[0].conn, &facts);
    if (every)
        printf("refreshes of the keys: %u\n", facts.rekeys);
    for (int i = 0; i < 2; i++)
        kith_node_free(s[i].node);
    return 0;
}
