/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Many peers in one process that come to one address, for the endurance tests: each is a node with a key of its own and one connection.
 *
 *     tool_crowd ADDR churn COUNT SEED    they come, ping, move data and go, in good order or not, and come again
 *     tool_crowd ADDR steady COUNT SEED   they come, stay, and ping about once a second each
 *
 * Prints a line of JSON a second: what is open, what was done since the start, and errors: ends that were not this program's doing,
 * answers that are wrong. Commands on stdin: "drain" ends all connections and keeps from new ones, "go" lets them come again, the end of
 * the input ends the program, with everything given back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "caller.h"
#include "proto/perf.h"
#include "proto/ping.h"

#define CONNECTING_MAX 48 /* at once, of all */
#define STAY_MAX KITH_SEC(8)
#define REST_MAX KITH_SEC(1)
#define MOVE_MAX (256u * 1024) /* bytes of one perf, each way */

/* How a connection ends. */
typedef enum leave { LEAVE_CLOSE, LEAVE_RESET, LEAVE_CUT, LEAVES } leave;

typedef struct peer {
    caller c;        /* first */
    bool open, mine; /* mine: what ends now is this program's doing */
    leave how;
    kith_time come_at, end_at, ping_at;
    kith_stream *ping_stream, *perf_stream;
    kith_ping *ping;
    kith_perf *perf;
    unsigned pings_left;
    uint64_t up, down, pongs;
} peer;

static struct {
    size_t open, opened, handshaking, pings, perfs, errors, left[LEAVES];
    uint64_t bytes;
} count;
static char last_error[160] = "";
static peer *peers;
static size_t peer_count;
static bool steady, draining, ending;
static uint64_t rng;
static uv_loop_t loop;
static uv_timer_t timer, reporter;
static uv_pipe_t in;

static uint64_t dice(uint64_t n)
{
    rng += 0x9e3779b97f4a7c15u;
    uint64_t x = rng;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (x ^ x >> 31) % n;
}

static void wrong(const char *what, const char *why)
{
    count.errors++;
    snprintf(last_error, sizeof last_error, "%s: %s", what, why ? why : "no reason given");
}

static void report(void)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < peer_count; i++)
        least = peers[i].pongs < least ? peers[i].pongs : least;
    printf(
        "{\"open\":%zu,\"opened\":%zu,\"closed\":%zu,\"reset\":%zu,\"cut\":%zu,\"pings\":%zu,\"least_pings\":%llu,"
        "\"perfs\":%zu,\"bytes\":%llu,\"errors\":%zu,\"why\":\"%s\",\"drained\":%s}\n",
        count.open, count.opened, count.left[LEAVE_CLOSE], count.left[LEAVE_RESET], count.left[LEAVE_CUT],
        count.pings, (unsigned long long)least, count.perfs, (unsigned long long)count.bytes, count.errors,
        last_error, draining && count.open + count.handshaking == 0 ? "true" : "false");
    fflush(stdout);
}

/* ---- what a peer does ---- */

static void ping_again(peer *p)
{
    if (kith_ping_start(p->ping, callers_now()))
        wrong("ping", "cannot start one");
    p->ping_at = KITH_NEVER;
    kith_node_wake(p->c.node, callers_now(), p->ping_stream);
}

static void begin_ping(peer *p)
{
    static const kith_bytes id = {(const uint8_t *)KITH_PING_ID, sizeof KITH_PING_ID - 1};
    p->ping = kith_ping_new(callers_env());
    if (!p->ping || kith_ping_start(p->ping, callers_now()) ||
        kith_node_open(p->c.node, callers_now(), p->c.conn, &id, 1, &kith_ping_ops, p->ping, NULL,
                       &p->ping_stream))
        callers_die("cannot open a stream");
}

static void begin_perf(peer *p)
{
    static const kith_bytes id = {(const uint8_t *)KITH_PERF_ID, sizeof KITH_PERF_ID - 1};
    p->up = dice(MOVE_MAX);
    p->down = dice(MOVE_MAX);
    p->perf = kith_perf_client(callers_env(), p->up, p->down);
    if (!p->perf || kith_node_open(p->c.node, callers_now(), p->c.conn, &id, 1, &kith_perf_ops, p->perf, NULL,
                                   &p->perf_stream))
        callers_die("cannot open a stream");
}

static void on_open(peer *p)
{
    p->open = true;
    count.handshaking--;
    count.open++;
    count.opened++;
    p->pings_left = steady ? UINT32_MAX : (unsigned)dice(8);
    if (p->pings_left > 0)
        begin_ping(p);
    if (!steady && dice(2))
        begin_perf(p);
}

static void on_close(peer *p, const kith_node_event *ev)
{
    caller_hang_up(&p->c, p->mine && p->how != LEAVE_CLOSE);
    if (!p->mine)
        wrong("a connection ended", ev->why ? ev->why : kith_err_text(ev->err));
    else
        count.left[p->how]++;
    if (p->open)
        count.open--;
    else
        count.handshaking--;
    p->open = p->mine = false;
    p->c.conn = NULL;
    p->come_at = callers_now() + dice(REST_MAX);
}

static void on_pong(peer *p)
{
    kith_ping_event ev;
    while (kith_ping_next(p->ping, &ev)) {
        if (ev.kind != KITH_PING_RTT) {
            if (!p->mine)
                wrong("a ping failed", ev.why);
            continue;
        }
        count.pings++;
        p->pongs++;
        p->pings_left--;
        if (p->pings_left > 0) {
            p->ping_at = callers_now() + (steady ? KITH_SEC(1) : 0) + dice(KITH_SEC(1));
        } else {
            kith_ping_close(p->ping);
            kith_node_wake(p->c.node, callers_now(), p->ping_stream);
        }
    }
}

static void on_stream_gone(peer *p, const kith_node_event *ev)
{
    if (ev->stream == p->ping_stream) {
        if (ev->err && !p->mine)
            wrong("a ping's stream ended", kith_err_text(ev->err));
        p->ping_stream = NULL;
        p->ping = NULL;
        p->ping_at = KITH_NEVER;
    } else if (ev->stream == p->perf_stream) {
        kith_perf_result r;
        kith_err e = kith_perf_result_get(p->perf, &r);
        if (e == KITH_OK && r.upload_bytes == p->up && r.download_bytes == p->down) {
            count.perfs++;
            count.bytes += p->up + p->down;
        } else if (!p->mine) {
            wrong("a perf failed", e ? kith_err_text(e) : "it moved another amount");
        }
        p->perf_stream = NULL;
        p->perf = NULL;
    }
}

static bool events(caller *who)
{
    peer *p = (peer *)who;
    kith_node_event ev;
    bool any = false;
    while (kith_node_next(p->c.node, callers_now(), &ev)) {
        any = true;
        switch (ev.kind) {
        case KITH_NODE_DIAL:
            caller_hook_up(who, ev.conn);
            break;
        case KITH_NODE_KEY: /* qkd is off */
            break;
        case KITH_NODE_WORK:
            caller_work(who, ev.conn);
            break;
        case KITH_NODE_CONNECTED:
            on_open(p);
            break;
        case KITH_NODE_STREAM_READY:
            if (ev.stream == p->ping_stream)
                on_pong(p);
            break;
        case KITH_NODE_STREAM_GONE:
            on_stream_gone(p, &ev);
            break;
        case KITH_NODE_CLOSE:
            on_close(p, &ev);
            break;
        case KITH_NODE_IDENTIFIED:
            if (ev.err && !p->mine)
                wrong("identify", ev.why);
            break;
        case KITH_NODE_DIALED:
        case KITH_NODE_RESOLVE:
        case KITH_NODE_UPDATED:
        case KITH_NODE_DISCONNECTED:
        case KITH_NODE_REFUSED:
        case KITH_NODE_STREAM_OPENED:
            break;
        }
    }
    return any;
}

static void come(peer *p)
{
    kith_time t = callers_now();
    count.handshaking++;
    p->how = (leave)dice(LEAVES);
    /* A cut may fall anywhere, into the handshake too; the others stay for what they came for. */
    p->end_at = steady ? KITH_NEVER : t + dice(p->how == LEAVE_CUT && dice(2) ? KITH_MS(20) : STAY_MAX);
    p->come_at = p->ping_at = KITH_NEVER;
    caller_dial(&p->c);
    caller_drive(&p->c);
}

static void go_away(peer *p)
{
    p->end_at = KITH_NEVER;
    p->mine = true;
    if (p->how == LEAVE_CLOSE) {
        kith_node_close(p->c.node, callers_now(), p->c.conn);
    } else {
        caller_hang_up(&p->c, true);
        kith_node_link_failed(p->c.node, callers_now(), p->c.conn, KITH_ECLOSED, "left");
    }
    caller_drive(&p->c);
}

static void on_tick(uv_timer_t *unused)
{
    (void)unused;
    for (size_t i = 0; i < peer_count; i++) {
        peer *p = &peers[i];
        kith_time t = callers_now();
        caller_tick(&p->c);
        bool busy = p->how != LEAVE_CUT && !p->open; /* only a cut leaves before it has come */
        if (p->c.conn && t >= p->end_at && !p->mine && !busy) {
            go_away(p);
        } else if (!p->c.conn && t >= p->come_at && !draining && count.handshaking < CONNECTING_MAX) {
            come(p);
        } else if (p->ping && t >= p->ping_at) {
            ping_again(p);
            caller_drive(&p->c);
        }
    }
    if (!ending || count.open + count.handshaking > 0)
        return;
    uv_close((uv_handle_t *)&timer, NULL);
    uv_close((uv_handle_t *)&reporter, NULL);
    uv_close((uv_handle_t *)&in, NULL);
}

static void on_report(uv_timer_t *unused)
{
    (void)unused;
    report();
}

static void drain(void)
{
    draining = true;
    for (size_t i = 0; i < peer_count; i++) {
        peers[i].how = LEAVE_CLOSE;
        peers[i].end_at = callers_now();
    }
}

static void room(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    static char block[64];
    (void)h, (void)suggested;
    *buf = uv_buf_init(block, sizeof block);
}

static void on_command(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n < 0) {
        uv_read_stop(stream);
        ending = true;
        drain();
    }
    for (ssize_t i = 0; i < n; i++) {
        if (buf->base[i] == 'd')
            drain();
        else if (buf->base[i] == 'g')
            draining = false;
    }
}

static void peer_init(peer *p, size_t i)
{
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.agent = "kith-crowd";
    cfg.idle_timeout = KITH_NEVER;
    caller_init(&p->c, "crowd", i, &cfg, true, events);
    p->come_at = callers_now() + dice(REST_MAX);
    p->ping_at = p->end_at = KITH_NEVER;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fputs("usage: tool_crowd ADDR churn|steady COUNT SEED\n", stderr);
        return 2;
    }
    uv_loop_init(&loop);
    callers_start("tool_crowd", &loop, argv[1]);
    steady = strcmp(argv[2], "steady") == 0;
    peer_count = strtoul(argv[3], NULL, 10);
    rng = strtoull(argv[4], NULL, 10);
    uv_timer_init(&loop, &timer);
    uv_timer_init(&loop, &reporter);
    uv_pipe_init(&loop, &in, 0);
    peers = calloc(peer_count, sizeof *peers);
    if (!peers || uv_pipe_open(&in, 0) < 0 || uv_read_start((uv_stream_t *)&in, room, on_command) < 0)
        callers_die("stdin must be a pipe");
    for (size_t i = 0; i < peer_count; i++)
        peer_init(&peers[i], i);
    uv_timer_start(&timer, on_tick, 20, 20);
    uv_timer_start(&reporter, on_report, 1000, 1000);
    uv_run(&loop, UV_RUN_DEFAULT);
    report();
    for (size_t i = 0; i < peer_count; i++)
        caller_fini(&peers[i].c);
    free(peers);
    int busy = uv_loop_close(&loop);
    return count.errors || busy ? 1 : 0;
}
