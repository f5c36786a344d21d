/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A host over real sockets, and peers that pass the handshake and then do not play along: they read slowly, not at all, or flood. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/host.h"
#include "proto/perf.h"
#include "proto/ping.h"
#include "sim/sim_hostile.h"

#define KIB ((size_t)1024)

typedef struct victim {
    kith_host *h;
    kith_signer *signer;
    kith_observer watch;
    kith_sink sink;
    uint16_t port;
    unsigned identified, disconnected, gone;
    kith_err err;
    kith_conn *conn;
} victim;

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    victim *v = ctx;
    v->identified += ev->kind == KITH_NODE_IDENTIFIED;
    if (ev->kind == KITH_NODE_CONNECTED)
        v->conn = ev->conn;
    if (ev->kind == KITH_NODE_DISCONNECTED) {
        v->disconnected++;
        v->err = ev->err;
    }
}

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    victim *v = ctx;
    v->gone += ev->kind == KITH_NODE_STREAM_GONE;
}

static void *serve_perf(void *ctx, const kith_stream_info *info)
{
    (void)ctx, (void)info;
    return kith_perf_server(kith_host_env());
}

static void start(victim *v)
{
    *v = (victim){0};
    kith_host_config cfg = {0};
    const char *why;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
    kith_node_config_default(&cfg.node);
    v->signer = kith_signer_new(seed);
    cfg.node.signer = v->signer;
    cfg.node.agent = "victim";
    v->h = kith_host_new(&cfg, &why);
    assert_non_null(v->h);
    v->watch = (kith_observer){.event = on_event, .ctx = v};
    v->sink = (kith_sink){.event = on_stream, .ctx = v};
    kith_host_observe(v->h, &v->watch);
    kith_protocol row = {
        .id = kith_bytes_str(KITH_PERF_ID), .ops = &kith_perf_ops, .accept = serve_perf, .user = &v->sink};
    assert_int_equal(kith_node_serve(kith_host_node(v->h), kith_host_now(v->h), &row), KITH_OK);
    kith_maddr at, bound;
    kith_maddr_tcp t;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/127.0.0.1/tcp/0"), &at, NULL), KITH_OK);
    assert_int_equal(kith_host_listen(v->h, &at, &bound), 0);
    assert_int_equal(kith_maddr_to_tcp(&bound, &t), KITH_OK);
    v->port = t.port;
    kith_host_kick(v->h);
}

static void stop(victim *v)
{
    kith_host_stop(v->h);
    kith_host_run(v->h);
    kith_host_free(v->h);
    kith_signer_free(v->signer);
}

static void turn(victim *v)
{
    uv_run(kith_host_loop(v->h), UV_RUN_NOWAIT);
}

static uint64_t ms(void)
{
    return uv_hrtime() / 1000000;
}

static size_t descriptors(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0; /* not Linux: then nothing is counted */
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* ---- a hostile peer on a socket ---- */

typedef struct raw {
    sim_hostile *peer;
    int fd;
    bool eof;
    int error;
} raw;

static void dial(raw *r, const victim *v, uint64_t seed, int rcvbuf)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(v->port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *r = (raw){.peer = sim_hostile_new(seed, true), .fd = socket(AF_INET, SOCK_STREAM, 0)};
    assert_true(r->fd >= 0);
    if (rcvbuf)
        assert_int_equal(setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf), 0);
    assert_int_equal(connect(r->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(fcntl(r->fd, F_SETFL, O_NONBLOCK), 0);
}

/* Writes all that the peer has to say. */
static void speak(raw *r, victim *v)
{
    static uint8_t buf[128 * 1024];
    for (size_t n; !r->error && (n = sim_hostile_send(r->peer, kith_span_of(buf, sizeof buf))) > 0;) {
        for (size_t at = 0; at < n && !r->error;) {
            ssize_t k = send(r->fd, buf + at, n - at, MSG_NOSIGNAL);
            if (k > 0)
                at += (size_t)k;
            else if (errno == EAGAIN)
                turn(v);
            else
                r->error = errno;
        }
    }
}

/* Reads up to max bytes. */
static size_t hear(raw *r, size_t max)
{
    static uint8_t buf[64 * 1024];
    size_t got = 0;
    while (got < max && !r->eof) {
        ssize_t k = recv(r->fd, buf, sizeof buf < max - got ? sizeof buf : max - got, 0);
        if (k > 0) {
            sim_hostile_recv(r->peer, kith_bytes_of(buf, (size_t)k));
            got += (size_t)k;
        } else if (k == 0) {
            r->eof = true;
        } else {
            if (errno != EAGAIN)
                r->error = errno;
            break;
        }
    }
    return got;
}

static void meet(raw *r, victim *v, uint64_t seed, int rcvbuf)
{
    v->conn = NULL;
    dial(r, v, seed, rcvbuf);
    for (uint64_t until = ms() + 10000; !(v->conn && sim_hostile_ready(r->peer)) && ms() < until;) {
        speak(r, v);
        turn(v);
        hear(r, SIZE_MAX);
    }
    assert_non_null(v->conn);
    speak(r, v);
}

static void hang_up(raw *r)
{
    close(r->fd);
    sim_hostile_free(r->peer);
}

/* Asks for so many bytes by /perf/1.0.0, with window enough for all. */
static void ask(raw *r, uint64_t bytes)
{
    uint8_t head[8];
    kith_store_be64(head, bytes);
    uint32_t id = sim_hostile_open(r->peer, KITH_PERF_ID, 0);
    sim_hostile_frame(r->peer, HOSTILE_UPDATE, 0, id, 64u << 20);
    sim_hostile_data(r->peer, HOSTILE_FIN, id, kith_bytes_of(head, 8));
}

/* ---- the end of a connection ---- */

/* All is handed over and the host is told to stop, while most of it still waits in the socket: it must arrive, however long the peer takes
 * and whatever it sends meanwhile, as long as it takes something now and then. */
static void the_last_bytes_reach_a_slow_peer(void **state)
{
    (void)state;
    victim v;
    raw r;
    start(&v);
    meet(&r, &v, 5, 8192);
    ask(&r, 600 * KIB);
    speak(&r, &v);
    for (uint64_t until = ms() + 10000; !v.gone && ms() < until;)
        turn(&v);
    assert_int_equal(v.gone, 1);
    assert_true(sim_hostile_heard(r.peer)->payload < 300 * KIB);
    kith_host_stop_when_sent(v.h);
    uint64_t began = ms();
    for (uint64_t until = ms() + 20000; !r.eof && !r.error && ms() < until;) {
        for (uint64_t next = ms() + 100; ms() < next;)
            turn(&v);
        hear(&r, 16 * KIB);
        sim_hostile_frame(r.peer, HOSTILE_UPDATE, 0, 1,
                          4096); /* after a plain close it would be answered with a reset */
        speak(&r, &v);
    }
    assert_int_equal(r.error, 0);
    assert_true(r.eof);
    assert_in_range(sim_hostile_heard(r.peer)->payload, 600 * KIB, 602 * KIB); /* and negotiation, identify */
    assert_true(ms() - began > 2500); /* more than a graceful stop takes otherwise */
    assert_int_equal(kith_host_untaken(v.h), 0);
    hang_up(&r);
    stop(&v);
}

static void what_a_peer_does_not_take_is_told(void **state)
{
    (void)state;
    victim v;
    raw r;
    start(&v);
    meet(&r, &v, 6, 8192);
    ask(&r, 600 * KIB);
    speak(&r, &v);
    for (uint64_t until = ms() + 10000; !v.gone && ms() < until;)
        turn(&v);
    kith_host_stop_when_sent(v.h);
    uint64_t began = ms();
    kith_host_run(v.h);
    assert_in_range(ms() - began, 2000, 8000);
    assert_true(kith_host_untaken(v.h) > 100 * KIB);
    hang_up(&r);
    stop(&v);
}

/* The connection is over for the node, which counts it no more; its socket may not stay because the peer does not read. */
static void a_peer_that_never_reads_keeps_no_socket(void **state)
{
    (void)state;
    victim v;
    raw r[6];
    start(&v);
    meet(&r[0], &v, 9, 0); /* libuv opens something with its first socket */
    hang_up(&r[0]);
    for (uint64_t until = ms() + 10000; !v.disconnected && ms() < until;)
        turn(&v);
    turn(&v);
    size_t before = descriptors();
    for (unsigned i = 0; i < 6; i++) {
        meet(&r[i], &v, 10 + i, 8192);
        ask(&r[i], 64u << 20);
        speak(&r[i], &v);
        for (uint64_t until = ms() + 100; ms() < until;)
            turn(&v);
        sim_hostile_frame(r[i].peer, 99, 0, 0, 0); /* ends the session */
        speak(&r[i], &v);
    }
    for (uint64_t until = ms() + 15000; ms() < until && descriptors() > before + 6;) {
        turn(&v);
        usleep(1000);
    }
    assert_int_equal(v.disconnected, 1 + 6);
    assert_int_equal(kith_node_conn_count(kith_host_node(v.h)), 0);
    assert_int_equal(descriptors(), before + 6); /* ours */
    for (unsigned i = 0; i < 6; i++)
        hang_up(&r[i]);
    stop(&v);
}

/* ---- floods ---- */

/* A peer that keeps its socket full of tiny records may not hold the loop for long: others wait for their turn. */
static void a_flood_of_tiny_records_leaves_others_their_turn(void **state)
{
    (void)state;
    victim v;
    raw r;
    start(&v);
    meet(&r, &v, 20, 0);
    uint32_t id = sim_hostile_open(r.peer, KITH_PERF_ID, 0);
    sim_hostile_record_max(r.peer, 13);
    static uint8_t wire[8 << 20];
    size_t len = 0, at = 0;
    uint64_t longest = 0;
    for (unsigned k = 0; k < 30; k++) {
        if (at == len) {
            at = 0;
            for (unsigned i = 0; i < 8000; i++)
                sim_hostile_data(r.peer, 0, id, kith_bytes_str("x"));
            len = sim_hostile_send(r.peer, kith_span_of(wire, sizeof wire));
        }
        for (ssize_t n; at < len && (n = send(r.fd, wire + at, len - at, MSG_NOSIGNAL)) > 0;)
            at += (size_t)n;
        uint64_t began = uv_hrtime();
        turn(&v);
        uint64_t took = uv_hrtime() - began;
        longest = took > longest ? took : longest;
        hear(&r, SIZE_MAX);
    }
    print_message("longest turn of the loop: %.1f ms\n", (double)longest / 1e6);
    assert_non_null(v.conn);
    hang_up(&r);
    stop(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_bytes_reach_a_slow_peer),
        cmocka_unit_test(what_a_peer_does_not_take_is_told),
        cmocka_unit_test(a_peer_that_never_reads_keeps_no_socket),
        cmocka_unit_test(a_flood_of_tiny_records_leaves_others_their_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
