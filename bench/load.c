/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The same client for every implementation's listener: many kith nodes in one process that dial one address.
 *
 *     load ADDR crowd COUNT           opens so many connections, each from a peer of its own, says so, and
 *                                     keeps them until stdin ends
 *     load ADDR handshakes SECONDS    connects, authenticates, closes, and again, on eight peers at once
 *     load ADDR pings COUNT           one ping after the other on one stream
 *     ... classical                   offers only /noise; the default is kith's own preference: ML-KEM, and an ML-DSA identity
 *     ... resumed                     the same; a peer that has met the listener does not sign again
 *     ... hybrid                      the channel without that identity: /noise-mlkem768-hfs/0.2.0, then /noise
 *     ... strangers                   the same, and in the job of handshakes each is another peer's first
 *
 * Prints one line of JSON. A connection counts when it is open: authenticated and multiplexed. */
#include <stdio.h>
#include <stdlib.h>

#include "caller.h"
#include "proto/ping.h"

#define SLOTS 8                 /* peers of the handshakes job */
#define CONNECTING 32           /* of the crowd's connections under way at once */
#define CROWD_TIME KITH_SEC(60) /* what a listener has not taken by then it does not take */

typedef struct client {
    caller c; /* first */
    bool open;
    kith_time asked; /* when this connection was wanted */
    kith_ping *ping;
    kith_stream *stream;
} client;

static enum { CROWD, HANDSHAKES, PINGS } job;
static enum { OWN, RESUMED, HYBRID, STRANGERS, CLASSICAL } channel;
static client *clients;
static size_t client_count, wanted, started, live, failures;
static const char *why_not = "";
static kith_time begin, until = KITH_NEVER;
static const char *suite = "";
static bool reported;

static double *samples;
static size_t sample_count, sample_room;

static void sample(kith_time took)
{
    if (sample_count == sample_room) {
        sample_room = sample_room ? 2 * sample_room : 1024;
        samples = realloc(samples, sample_room * sizeof *samples);
        if (!samples)
            callers_die("no memory");
    }
    samples[sample_count++] = (double)took / 1e9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double percentile(double p)
{
    if (sample_count == 0)
        return 0;
    size_t i = (size_t)(p * (double)sample_count);
    return samples[i < sample_count ? i : sample_count - 1];
}

static void report(void)
{
    reported = true;
    if (sample_count > 0)
        qsort(samples, sample_count, sizeof *samples, by_value);
    printf(
        "{\"count\":%zu,\"open\":%zu,\"failed\":%zu,\"why\":\"%s\",\"seconds\":%.6f,\"secure_channel\":\"%s\","
        "\"p50\":%.9f,\"p90\":%.9f,\"p99\":%.9f}\n",
        sample_count, live, failures, why_not, (double)(callers_now() - begin) / 1e9, suite, percentile(0.5),
        percentile(0.9), percentile(0.99));
    fflush(stdout);
}

/* ---- what the client does ---- */

static void dial(client *c)
{
    c->asked = callers_now();
    caller_dial(&c->c);
    caller_drive(&c->c);
}

static void next_of_crowd(void)
{
    while (started < wanted && started - live - failures < CONNECTING)
        dial(&clients[started++]);
    if (!reported && started == wanted && live + failures == wanted)
        report();
}

static void on_open(client *c)
{
    kith_conn_facts f;
    kith_conn_facts_get(c->c.conn, &f);
    suite = f.suite->id;
    c->open = true;
    live++;
    if (job != PINGS)
        sample(callers_now() - c->asked);
    if (job == CROWD) {
        next_of_crowd();
    } else if (job == HANDSHAKES) {
        if (channel !=
            RESUMED) /* else the listener must have what it resumes: it has when it has answered identify */
            kith_node_close(c->c.node, callers_now(), c->c.conn);
    } else {
        static const kith_bytes id = {(const uint8_t *)KITH_PING_ID, sizeof KITH_PING_ID - 1};
        c->ping = kith_ping_new(callers_env());
        if (!c->ping || kith_ping_start(c->ping, callers_now()) ||
            kith_node_open(c->c.node, callers_now(), c->c.conn, &id, 1, &kith_ping_ops, c->ping, NULL,
                           &c->stream))
            callers_die("cannot open a stream");
    }
}

static void on_end(client *c, const kith_node_event *ev)
{
    caller_hang_up(&c->c, false);
    if (c->open)
        live--;
    else
        failures++;
    if (!c->open || job == CROWD)
        why_not = ev->why ? ev->why : kith_err_text(ev->err);
    bool was_open = c->open;
    c->open = false;
    c->c.conn = NULL;
    if (job == PINGS)
        callers_die("the connection is gone");
    if (job == CROWD && !was_open)
        next_of_crowd();
    if (job == HANDSHAKES && failures > 100)
        callers_die(why_not);
}

static void on_pong(client *c)
{
    kith_ping_event ev;
    while (kith_ping_next(c->ping, &ev)) {
        if (ev.kind != KITH_PING_RTT)
            callers_die(ev.why ? ev.why : "ping failed");
        sample(ev.rtt);
    }
    if (sample_count == wanted) {
        report();
        exit(0);
    }
    if (kith_ping_start(c->ping, callers_now()))
        callers_die("cannot ping");
    kith_node_wake(c->c.node, callers_now(), c->stream);
}

static void next_stranger(client *c);

static bool events(caller *who)
{
    client *c = (client *)who;
    kith_node_event ev;
    bool any = false;
    while (kith_node_next(who->node, callers_now(), &ev)) {
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
            on_open(c);
            break;
        case KITH_NODE_STREAM_READY:
            on_pong(c);
            break;
        case KITH_NODE_STREAM_GONE:
            if (ev.stream == c->stream)
                callers_die("the peer does not answer pings");
            break;
        case KITH_NODE_DIALED:
            if (ev.err)
                why_not = ev.why ? ev.why : kith_err_text(ev.err);
            break;
        case KITH_NODE_CLOSE:
            on_end(c, &ev);
            break;
        case KITH_NODE_IDENTIFIED:
            if (job == HANDSHAKES && channel == RESUMED)
                kith_node_close(c->c.node, callers_now(), c->c.conn);
            break;
        case KITH_NODE_RESOLVE:
        case KITH_NODE_UPDATED:
        case KITH_NODE_DISCONNECTED:
        case KITH_NODE_REFUSED:
        case KITH_NODE_STREAM_OPENED:
            break;
        }
    }
    if (!any && job == HANDSHAKES && !who->conn && callers_now() < until) {
        if (channel == STRANGERS)
            next_stranger(c);
        c->asked = callers_now();
        caller_dial(who);
        any = true;
    }
    return any;
}

/* Deadlines are seconds away; nobody needs them to the millisecond. */
static void on_tick(uv_timer_t *timer)
{
    kith_time t = callers_now();
    for (size_t i = 0; i < client_count; i++)
        caller_tick(&clients[i].c);
    if (job == HANDSHAKES && t >= until) {
        live = 0;
        report();
        exit(0);
    }
    if (job == CROWD && !reported && t - begin >= CROWD_TIME) {
        wanted = started;
        why_not = live + failures < started && !*why_not ? "no answer" : why_not;
        report();
    }
    (void)timer;
}

static void room(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    static char block[64];
    (void)h, (void)suggested;
    *buf = uv_buf_init(block, sizeof block);
}

static void on_stdin(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)stream, (void)buf;
    if (n < 0)
        exit(0);
}

static void client_init(client *c, size_t i)
{
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.agent = "kith-bench";
    cfg.pq = channel == CLASSICAL ? KITH_PQ_OFF : KITH_PQ_PREFER;
    cfg.idle_timeout = KITH_NEVER;
    cfg.ping_every = KITH_NEVER;
    if (channel != RESUMED)
        cfg.resume_for = 0;
    caller_init(&c->c, "load", i, &cfg, channel == OWN || channel == RESUMED, events);
}

/* Somebody else takes the client's place, whose keys nobody has seen. */
static void next_stranger(client *c)
{
    static size_t strangers = SLOTS;
    caller_fini(&c->c);
    client_init(c, strangers++);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[4], "classical") == 0)
        channel = CLASSICAL;
    else if (argc == 5 && strcmp(argv[4], "hybrid") == 0)
        channel = HYBRID;
    else if (argc == 5 && strcmp(argv[4], "strangers") == 0)
        channel = STRANGERS;
    else if (argc == 5 && strcmp(argv[4], "resumed") == 0)
        channel = RESUMED;
    if (argc != 4 && channel == OWN) {
        fputs(
            "usage: load ADDR crowd COUNT | handshakes SECONDS | pings COUNT [classical | hybrid | strangers | resumed]\n",
            stderr);
        return 2;
    }
    callers_start("load", uv_default_loop(), argv[1]);
    wanted = strtoul(argv[3], NULL, 10);
    if (strcmp(argv[2], "crowd") == 0)
        job = CROWD;
    else if (strcmp(argv[2], "handshakes") == 0)
        job = HANDSHAKES;
    else if (strcmp(argv[2], "pings") == 0)
        job = PINGS;
    else
        callers_die("what is the job?");
    client_count = job == CROWD ? wanted : job == HANDSHAKES ? SLOTS : 1;
    clients = calloc(client_count, sizeof *clients);
    if (!clients)
        callers_die("no memory");
    for (size_t i = 0; i < client_count; i++)
        client_init(&clients[i], i);
    uv_pipe_t in;
    uv_timer_t timer;
    uv_pipe_init(uv_default_loop(), &in, 0);
    uv_timer_init(uv_default_loop(), &timer);
    uv_timer_start(&timer, on_tick, 100, 100);
    begin = callers_now();
    if (job == HANDSHAKES)
        until = begin + KITH_SEC(wanted);
    if (job == CROWD) {
        if (uv_pipe_open(&in, 0) < 0 || uv_read_start((uv_stream_t *)&in, room, on_stdin) < 0)
            callers_die("stdin must be a pipe");
        next_of_crowd();
    } else {
        for (size_t i = 0; i < client_count; i++)
            dial(&clients[i]);
    }
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
