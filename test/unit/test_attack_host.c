/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A host over real sockets, and peers that pass the handshake and then do not play along: they read slowly, not at all, or flood. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/aead.h"
#include "host/host_impl.h"
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

static void start_with(victim *v, uint32_t handshakes)
{
    *v = (victim){0};
    kith_host_config cfg = {0};
    const char *why;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
    kith_node_config_default(&cfg.node);
    if (handshakes)
        cfg.node.limits.handshakes = handshakes;
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

static void start(victim *v)
{
    start_with(v, 0);
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
    uint64_t said; /* bytes */
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
            if (k > 0) {
                at += (size_t)k;
                r->said += (uint64_t)k;
            } else if (errno == EAGAIN)
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
    sim_hostile_frame(r->peer, HOSTILE_UPDATE, 0, id, 1u << 30);
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

/* Shares of a loop turn, in units of kith_conn_cost: as host_impl.h has them, with what a single read may cost on top. */
#define PEER_SHARE 1024u
#define ALL_SHARES 4096u
#define HANDSHAKE 4096u

#define TINY_RECORD ((size_t)2 + KITH_YAMUX_HDR_LEN + 1 + KITH_AEAD_TAG_LEN)

typedef enum flood { TINY_RECORDS, TINY_FRAMES, BULK, FLOODS } flood;

/* A read that is begun is finished, unless it is full of frames: the smallest and the largest read. */
static const unsigned one_read[FLOODS] = {1300, 300, 2800};

typedef struct flooder {
    raw r;
    kith_conn *conn;
    flood how;
    uint32_t streams[16];
    uint8_t *wire;
    size_t len, at;
    size_t sip; /* bytes at a time, to stay below its share; 0: all that goes */
    uint64_t work;
} flooder;

#define FLOOD_WIRE ((size_t)4 << 20)

static void flood_with(flooder *f, victim *v, flood how, uint64_t seed)
{
    *f = (flooder){.how = how, .wire = malloc(FLOOD_WIRE)};
    assert_non_null(f->wire);
    meet(&f->r, v, seed, 0);
    f->conn = v->conn;
    for (unsigned i = 0; i < 16; i++)
        f->streams[i] = sim_hostile_open(f->r.peer, KITH_PERF_ID, 0);
    if (how == TINY_RECORDS)
        sim_hostile_record_max(f->r.peer, KITH_YAMUX_HDR_LEN + 1);
}

/* Keeps the node's socket full. */
static void pour(flooder *f)
{
    static const uint8_t zeros[60000];
    bool eating = kith_conn_cost(f->conn) != f->work; /* windows hold for what was eaten */
    f->work = kith_conn_cost(f->conn);
    if (f->at == f->len && !(eating && f->how == BULK)) {
        for (unsigned i = 0; i < 16; i++) {
            for (unsigned k = 0; k < (f->how == BULK ? 2 : 500); k++)
                sim_hostile_data(f->r.peer, 0, f->streams[i],
                                 kith_bytes_of(zeros, f->how == BULK ? sizeof zeros : 1));
        }
        f->at = 0;
        f->len = sim_hostile_send(f->r.peer, kith_span_of(f->wire, FLOOD_WIRE));
    }
    size_t end = f->sip && f->len - f->at > f->sip ? f->at + f->sip : f->len;
    for (ssize_t n; f->at < end && (n = send(f->r.fd, f->wire + f->at, end - f->at, MSG_NOSIGNAL)) > 0;) {
        f->at += (size_t)n;
        f->r.said += (uint64_t)n;
    }
    hear(&f->r, SIZE_MAX);
}

static void dry_up(flooder *f)
{
    free(f->wire);
    hang_up(&f->r);
}

/* The host's end of the wire; it is ours too, since host and test are one process. */
static int other_end(const raw *r)
{
    struct sockaddr_in mine, theirs;
    socklen_t len = sizeof mine;
    assert_int_equal(getsockname(r->fd, (struct sockaddr *)&mine, &len), 0);
    for (int fd = 3; fd < 1024; fd++) {
        len = sizeof theirs;
        if (getpeername(fd, (struct sockaddr *)&theirs, &len) == 0 && theirs.sin_port == mine.sin_port)
            return fd;
    }
    fail_msg("the host has no such socket");
    return -1;
}

/* Waits until the host's socket, or the host, has all that was said. The system delivers even on loopback when it likes. */
static void arrive(const raw *r, kith_conn *c, int fd)
{
    kith_conn_facts f;
    int waits = 0;
    kith_conn_facts_get(c, &f);
    for (uint64_t until = ms() + 10000; f.bytes_in + (uint64_t)waits < r->said && ms() < until; usleep(100))
        assert_int_equal(ioctl(fd, FIONREAD, &waits), 0);
    assert_int_equal(f.bytes_in + (uint64_t)waits, r->said);
}

typedef struct crowd {
    victim v;
    raw honest;
    kith_conn *conn; /* the honest one's */
    int fd;
    void (*meanwhile)(void *ctx); /* what the others do between two turns */
    void *ctx;
} crowd;

static void gather(crowd *w)
{
    *w = (crowd){0};
    start(&w->v);
    meet(&w->honest, &w->v, 19, 0);
    w->conn = w->v.conn;
    w->fd = other_end(&w->honest);
}

static void disperse(crowd *w)
{
    hang_up(&w->honest);
    stop(&w->v);
}

/* Turns of the loop from a ping's arrival to the answer. */
static unsigned turns_to_pong(crowd *w)
{
    unsigned turns = 0;
    kith_conn_facts before, now;
    arrive(&w->honest, w->conn, w->fd);
    for (unsigned i = 0; i < 3; i++) { /* what was said before is dealt with */
        if (w->meanwhile)
            w->meanwhile(w->ctx);
        turn(&w->v);
    }
    kith_conn_facts_get(w->conn, &before);
    sim_hostile_frame(w->honest.peer, HOSTILE_PING, HOSTILE_SYN, 0, 7);
    speak(&w->honest, &w->v);
    arrive(&w->honest, w->conn, w->fd);
    for (now = before; now.bytes_out == before.bytes_out && turns < 1000; turns++) {
        if (w->meanwhile)
            w->meanwhile(w->ctx);
        turn(&w->v);
        kith_conn_facts_get(w->conn, &now);
    }
    hear(&w->honest, SIZE_MAX);
    return turns;
}

static void pour_again(void *ctx)
{
    pour(ctx);
}

static void a_flood_takes_no_more_than_its_share_of_a_turn(void **state)
{
    (void)state;
    for (flood how = 0; how < FLOODS; how++) {
        crowd w;
        flooder f;
        gather(&w);
        flood_with(&f, &w.v, how, 20);
        uint64_t most = 0, first = kith_conn_cost(f.conn);
        for (unsigned k = 0; k < 1500; k++) {
            pour(&f);
            uint64_t before = kith_conn_cost(f.conn);
            turn(&w.v);
            uint64_t took = kith_conn_cost(f.conn) - before;
            most = took > most ? took : most;
        }
        print_message("flood %d: at most %u units in a turn\n", how, (unsigned)most);
        assert_int_equal(w.v.disconnected, 0);
        assert_true(most < PEER_SHARE + one_read[how]);
        assert_true(kith_conn_cost(f.conn) - first > 50 * PEER_SHARE); /* it was a flood, and was served */
        w.meanwhile = pour_again;
        w.ctx = &f;
        for (unsigned k = 0; k < 20; k++)
            assert_in_range(turns_to_pong(&w), 1, 2);
        dry_up(&f);
        disperse(&w);
    }
}

/* kith_node_throttle: two of a kind, until one of them is forgiven. */
static void who_is_throttled_gets_an_eighth_of_a_turn(void **state)
{
    (void)state;
    enum { TURNS = 400 };
    victim v;
    flooder f[2];
    start(&v);
    for (unsigned i = 0; i < 2; i++)
        flood_with(&f[i], &v, TINY_FRAMES, 20 + i);
    for (int throttled = 1; throttled >= 0; throttled--) {
        uint64_t first[2], got[2], most = 0;
        kith_node_throttle(f[0].conn, throttled);
        assert_int_equal(kith_conn_throttled(f[0].conn), throttled);
        for (unsigned i = 0; i < 2; i++)
            first[i] = kith_conn_cost(f[i].conn);
        for (unsigned k = 0; k < TURNS; k++) {
            for (unsigned i = 0; i < 2; i++)
                pour(&f[i]);
            uint64_t before = kith_conn_cost(f[0].conn);
            turn(&v);
            uint64_t took = kith_conn_cost(f[0].conn) - before;
            most = took > most ? took : most;
        }
        for (unsigned i = 0; i < 2; i++)
            got[i] = kith_conn_cost(f[i].conn) - first[i];
        print_message("%s: %u units and %u\n", throttled ? "one throttled" : "none", (unsigned)got[0],
                      (unsigned)got[1]);
        assert_true(got[0] > 0); /* it waits, and is served */
        if (throttled) {
            assert_true(most < PEER_SHARE / 8 + one_read[TINY_FRAMES]);
            assert_true(got[1] > 2 * got[0]);
        } else {
            assert_true(most > PEER_SHARE / 8 + one_read[TINY_FRAMES]);
            assert_true(got[1] < 2 * got[0] && got[0] < 2 * got[1]);
        }
    }
    for (unsigned i = 0; i < 2; i++)
        dry_up(&f[i]);
    stop(&v);
}

enum { FLOODERS = 24 };

static void pour_all(void *ctx)
{
    flooder *f = ctx;
    for (unsigned i = 0; i < FLOODERS; i++)
        pour(&f[i]);
}

static void many_floods_share_the_turns_and_leave_others_theirs(void **state)
{
    (void)state;
    enum { TURNS = 400 };
    crowd w;
    flooder f[FLOODERS];
    uint64_t first[FLOODERS], all = 0, least = UINT64_MAX;
    gather(&w);
    for (unsigned i = 0; i < FLOODERS; i++) {
        flood_with(&f[i], &w.v, i % 6 == 0 ? TINY_FRAMES : TINY_RECORDS, 31 + i);
        f[i].sip = i % 6 < 2 ? 0 : 31 * 40; /* some stay below what one peer may take */
        first[i] = kith_conn_cost(f[i].conn);
    }
    for (unsigned k = 0; k < TURNS; k++) {
        pour_all(f);
        usleep(2000); /* what was poured has arrived */
        turn(&w.v);
    }
    for (unsigned i = 0; i < FLOODERS; i++) {
        uint64_t got = kith_conn_cost(f[i].conn) - first[i];
        all += got;
        least = got < least ? got : least;
    }
    print_message("%u units in a turn; a peer got %u at least\n", (unsigned)(all / TURNS), (unsigned)least);
    assert_true(all / TURNS < 2 * ALL_SHARES);
    assert_true(least > 5 * PEER_SHARE);
    w.meanwhile = pour_all;
    w.ctx = f;
    for (unsigned k = 0; k < 20; k++)
        assert_in_range(turns_to_pong(&w), 1, 2);
    for (unsigned i = 0; i < FLOODERS; i++)
        dry_up(&f[i]);
    disperse(&w);
}

static bool somebody_waits(const victim *v)
{
    return !kith_list_empty(&v->h->waiting[0]) || !kith_list_empty(&v->h->waiting[1]);
}

/* Floods of tiny records that are about to begin: their streams are open, and nothing waits. */
static void let_come(flooder *f, unsigned count, victim *v, size_t sip)
{
    for (unsigned i = 0; i < count; i++) {
        flood_with(&f[i], v, TINY_RECORDS, 31 + i);
        f[i].sip = sip;
        speak(&f[i].r, v);
    }
    for (uint64_t until = ms() + 200; ms() < until;)
        turn(v);
    assert_false(somebody_waits(v));
}

/* None takes what a peer may have, and together they would take four times as much as all may. */
static void many_who_stay_below_their_share_have_one_of_all(void **state)
{
    (void)state;
    enum { TURNS = 400 };
    victim v;
    flooder f[FLOODERS];
    uint64_t first = 0, all = 0;
    start(&v);
    let_come(f, FLOODERS, &v, TINY_RECORD * 40);
    for (unsigned i = 0; i < FLOODERS; i++)
        first += kith_conn_cost(f[i].conn);
    for (unsigned k = 0; k < TURNS; k++) {
        pour_all(f);
        usleep(2000); /* what was poured has arrived */
        turn(&v);
    }
    for (unsigned i = 0; i < FLOODERS; i++)
        all += kith_conn_cost(f[i].conn);
    print_message("%u units in a turn\n", (unsigned)((all - first) / TURNS));
    assert_in_range((all - first) / TURNS, ALL_SHARES / 2, 2 * ALL_SHARES);
    for (unsigned i = 0; i < FLOODERS; i++)
        dry_up(&f[i]);
    stop(&v);
}

/* Each has used up its share with what it said, and says no more: those who are called up have nothing, and those behind them have to be
 * called up all the same. */
static void the_loop_does_not_sleep_while_somebody_waits_for_a_turn(void **state)
{
    (void)state;
    enum { N = 12 };
    victim v;
    flooder f[N];
    unsigned turns = 0;
    start(&v);
    let_come(f, N, &v, TINY_RECORD * 65); /* no more than the smallest read */
    for (unsigned i = 0; i < N; i++)
        pour(&f[i]);
    for (unsigned i = 0; i < N; i++)
        arrive(&f[i].r, f[i].conn, other_end(&f[i].r));
    do {
        turn(&v);
        turns++;
        if (somebody_waits(&v))
            assert_int_equal(uv_backend_timeout(kith_host_loop(v.h)), 0);
    } while (somebody_waits(&v) && turns < 1000);
    assert_in_range(turns, N / (ALL_SHARES / PEER_SHARE), 20);
    for (unsigned i = 0; i < N; i++)
        dry_up(&f[i]);
    stop(&v);
}

static uint64_t work_of_all(const victim *v)
{
    uint64_t sum = 0;
    for (kith_conn *c = NULL; (c = kith_node_conn_next(kith_host_node(v->h), c));)
        sum += kith_conn_cost(c);
    return sum;
}

/* Each message costs key exchanges and signatures: only so many of them in one turn, from however many strangers. */
static void handshakes_of_strangers_are_spread_over_turns(void **state)
{
    (void)state;
    enum { N = 24 };
    crowd w;
    raw r[N];
    unsigned ready = 0;
    uint64_t most = 0;
    gather(&w);
    for (unsigned i = 0; i < N; i++)
        dial(&r[i], &w.v, 51 + i, 0);
    for (uint64_t until = ms() + 20000; ready < N && ms() < until;) {
        for (unsigned i = 0; i < N; i++) {
            hear(&r[i], SIZE_MAX);
            speak(&r[i], &w.v);
        }
        usleep(1000); /* all of them are there at once */
        uint64_t before = work_of_all(&w.v);
        turn(&w.v);
        uint64_t took = work_of_all(&w.v) - before;
        most = took > most ? took : most;
        ready = 0;
        for (unsigned i = 0; i < N; i++)
            ready += sim_hostile_ready(r[i].peer);
    }
    print_message("at most %.1f handshake messages in a turn\n", (double)most / HANDSHAKE);
    assert_int_equal(ready, N);
    assert_true(most < 2 * HANDSHAKE);
    for (unsigned i = 0; i < N; i++)
        hang_up(&r[i]);
    disperse(&w);
}

/* ---- handshakes that wait for a worker ---- */

/* The kernel has them. */
static void who_connects_and_says_nothing_is_not_looked_at(void **state)
{
    (void)state;
#ifdef TCP_DEFER_ACCEPT
    enum { N = 20 };
    const struct linger at_once = {.l_onoff = 1};
    static raw r[N];
    victim v;
    start(&v);
    for (unsigned i = 0; i < N; i++) {
        dial(&r[i], &v, 50 + i, 0);
        turn(&v);
    }
    assert_int_equal(kith_node_conn_count(kith_host_node(v.h)), 0);
    for (unsigned i = 2; i < N; i++) {
        assert_int_equal(setsockopt(r[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
        hang_up(&r[i]);
    }
    speak(&r[0], &v);
    for (uint64_t until = ms() + 300; ms() < until;)
        turn(&v);
    assert_int_equal(kith_node_conn_count(kith_host_node(v.h)), 1);
    for (uint64_t until = ms() + 10000; kith_node_conn_count(kith_host_node(v.h)) < 2 && ms() < until;)
        turn(&v); /* who waits for our first word gets it after a second */
    for (uint64_t until = ms() + 10000; hear(&r[1], SIZE_MAX) == 0 && ms() < until;)
        turn(&v);
    assert_int_equal(kith_node_conn_count(kith_host_node(v.h)), 2);
    hang_up(&r[0]);
    hang_up(&r[1]);
    stop(&v);
#else
    skip();
#endif
}

static kith_job blockers[KITH_WORKERS_MAX * KITH_WORKER_HANDED];
static uv_sem_t gate;
static unsigned blocked;

static void wait_at_gate(kith_job *job)
{
    (void)job;
    uv_sem_wait(&gate);
}

static void passed(kith_job *job, bool ran)
{
    (void)job;
    assert_true(ran);
    blocked--;
}

/* All workers are busy until unblock. */
static void block(victim *v)
{
    assert_int_equal(uv_sem_init(&gate, 0), 0);
    for (blocked = 0; blocked < v->h->workers.max * KITH_WORKER_HANDED; blocked++) {
        blockers[blocked] = (kith_job){.run = wait_at_gate, .done = passed, .source = KITH_JOB_OURS};
        assert_true(kith_workers_add(&v->h->workers, &blockers[blocked]));
    }
}

static void unblock(victim *v)
{
    for (unsigned i = blocked; i > 0; i--)
        uv_sem_post(&gate);
    while (blocked > 0)
        turn(v);
    uv_sem_destroy(&gate);
}

static size_t waiting(const victim *v)
{
    size_t n = 0;
    KITH_EACH (&v->h->workers.waiting, k)
        n++;
    return n;
}

/* Strangers say the first message of a handshake. */
static void knock(raw *r, unsigned count, victim *v, uint64_t seed)
{
    for (unsigned i = 0; i < count; i++) {
        dial(&r[i], v, seed + i, 0);
        speak(&r[i], v);
    }
    for (uint64_t until = ms() + 200; ms() < until;) {
        for (unsigned i = 0; i < count; i++) {
            hear(&r[i], SIZE_MAX);
            speak(&r[i], v);
        }
        turn(v);
        usleep(100);
    }
}

static void handshakes_that_wait_are_no_more_than_the_limit(void **state)
{
    (void)state;
    enum { CAP = 8, N = 20 };
    static raw honest, r[2][N];
    victim v;
    start_with(&v, CAP);
    meet(&honest, &v, 40, 0);
    block(&v);
    knock(r[0], N, &v, 100);
    assert_int_equal(waiting(&v), CAP);
    assert_int_equal(kith_node_usage(kith_host_node(v.h)).handshakes, CAP);
    usleep(1100 * 1000); /* now who has waited makes room, and its work is not done for nobody */
    knock(r[1], N, &v, 200);
    assert_int_equal(waiting(&v), CAP);
    unblock(&v);
    unsigned ready = 0;
    kith_node *n = kith_host_node(v.h);
    for (uint64_t until = ms() + 10000; (ready < CAP || kith_node_usage(n).handshakes > 0) && ms() < until;) {
        ready = 0;
        for (unsigned i = 0; i < N; i++) {
            hear(&r[1][i], SIZE_MAX);
            speak(&r[1][i], &v);
            ready += sim_hostile_ready(r[1][i].peer);
        }
        turn(&v);
    }
    assert_int_equal(ready, CAP);
    assert_int_equal(kith_node_usage(n).handshakes, 0);
    assert_int_equal(waiting(&v), 0);
    for (unsigned i = 0; i < N; i++) {
        hang_up(&r[0][i]);
        hang_up(&r[1][i]);
    }
    hang_up(&honest);
    stop(&v);
}

static void what_waits_for_a_connection_that_is_reset_is_dropped(void **state)
{
    (void)state;
    enum { N = 6 };
    const struct linger at_once = {.l_onoff = 1};
    static raw honest, r[N];
    victim v;
    start(&v);
    meet(&honest, &v, 40, 0);
    block(&v);
    knock(r, N, &v, 100);
    assert_int_equal(waiting(&v), N);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(setsockopt(r[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
        hang_up(&r[i]);
    }
    for (uint64_t until = ms() + 5000; kith_node_conn_count(kith_host_node(v.h)) > 1 && ms() < until;)
        turn(&v);
    assert_int_equal(waiting(&v), 0);
    assert_int_equal(kith_node_conn_count(kith_host_node(v.h)), 1);
    unblock(&v);
    hang_up(&honest);
    stop(&v);
}

/* The last message of a handshake, and much behind it: that stays with the kernel until the message has been looked at. */
static void who_is_being_looked_at_is_not_read_from(void **state)
{
    (void)state;
    static const uint8_t zeros[60000];
    raw honest, r;
    victim v;
    start(&v);
    meet(&honest, &v, 40, 0);
    v.conn = NULL;
    dial(&r, &v, 41, 0);
    while (!sim_hostile_ready(r.peer)) {
        speak(&r, &v);
        turn(&v);
        hear(&r, SIZE_MAX);
    }
    block(&v);
    uint32_t id = sim_hostile_open(r.peer, KITH_PERF_ID, 0);
    for (unsigned i = 0; i < 4; i++)
        sim_hostile_data(r.peer, 0, id, kith_bytes_of(zeros, sizeof zeros));
    speak(&r, &v);
    uint64_t said = r.said;
    for (uint64_t until = ms() + 100; ms() < until;)
        turn(&v);
    kith_conn_facts f;
    kith_conn *c = kith_node_conn_next(kith_host_node(v.h), kith_node_conn_next(kith_host_node(v.h), NULL));
    kith_conn_facts_get(c, &f);
    assert_null(v.conn);
    assert_int_equal(waiting(&v), 1);
    assert_in_range(f.bytes_in, 1, 3 * READ_MIN);
    unblock(&v);
    for (uint64_t until = ms() + 10000; f.bytes_in < said && ms() < until; kith_conn_facts_get(c, &f))
        turn(&v);
    assert_ptr_equal(v.conn, c);
    assert_int_equal(f.bytes_in, said);
    hang_up(&r);
    hang_up(&honest);
    stop(&v);
}

static void a_host_stops_with_handshakes_that_wait_and_run(void **state)
{
    (void)state;
    enum { N = 6 };
    static raw honest, r[N];
    victim v;
    for (unsigned run = 0; run < 3; run++) {
        start(&v);
        meet(&honest, &v, 40, 0);
        if (run > 0)
            block(&v);
        knock(r, N, &v, 100);
        assert_int_equal(waiting(&v), run > 0 ? N : 0);
        if (run == 1)
            kith_host_stop(v.h); /* they are given up; in the third run they come to be computed */
        if (run > 0)
            unblock(&v);
        stop(&v);
        for (unsigned i = 0; i < N; i++)
            hang_up(&r[i]);
        hang_up(&honest);
    }
}

static void take_all(void *ctx)
{
    hear(ctx, SIZE_MAX);
}

/* It takes all that it gets, so that its socket is hardly ever full. */
static void who_takes_at_full_speed_leaves_others_their_turn_to_be_written_to(void **state)
{
    (void)state;
    crowd w;
    raw r;
    uint64_t most = 0;
    gather(&w);
    meet(&r, &w.v, 81, 0);
    kith_conn_facts was, is;
    kith_conn_facts_get(w.v.conn, &is);
    ask(&r, 512u << 20);
    speak(&r, &w.v);
    arrive(&r, w.v.conn, other_end(&r));
    for (unsigned k = 0; k < 300; k++) {
        was = is;
        turn(&w.v);
        kith_conn_facts_get(w.v.conn, &is);
        most = is.bytes_out - was.bytes_out > most ? is.bytes_out - was.bytes_out : most;
        take_all(&r);
    }
    assert_in_range(most, 64 * KIB, 256 * KIB);
    w.meanwhile = take_all;
    w.ctx = &r;
    for (unsigned k = 0; k < 20; k++)
        assert_in_range(turns_to_pong(&w), 1, 2);
    assert_int_equal(w.v.gone, 0); /* it is still being served */
    hang_up(&r);
    disperse(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_bytes_reach_a_slow_peer),
        cmocka_unit_test(what_a_peer_does_not_take_is_told),
        cmocka_unit_test(a_peer_that_never_reads_keeps_no_socket),
        cmocka_unit_test(a_flood_takes_no_more_than_its_share_of_a_turn),
        cmocka_unit_test(who_is_throttled_gets_an_eighth_of_a_turn),
        cmocka_unit_test(many_floods_share_the_turns_and_leave_others_theirs),
        cmocka_unit_test(many_who_stay_below_their_share_have_one_of_all),
        cmocka_unit_test(the_loop_does_not_sleep_while_somebody_waits_for_a_turn),
        cmocka_unit_test(handshakes_of_strangers_are_spread_over_turns),
        cmocka_unit_test(who_connects_and_says_nothing_is_not_looked_at),
        cmocka_unit_test(handshakes_that_wait_are_no_more_than_the_limit),
        cmocka_unit_test(what_waits_for_a_connection_that_is_reset_is_dropped),
        cmocka_unit_test(who_is_being_looked_at_is_not_read_from),
        cmocka_unit_test(a_host_stops_with_handshakes_that_wait_and_run),
        cmocka_unit_test(who_takes_at_full_speed_leaves_others_their_turn_to_be_written_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
