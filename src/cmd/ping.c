/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith ping: round-trip times through the whole stack. */
#include "proto/ping.h"

#include <stdio.h>

#include "cmd/session.h"

#define INTERVAL_MS 1000

typedef struct ping {
    session s;
    kith_sink sink;
    kith_conn *conn;
    kith_stream *stream;
    kith_ping *machine;
    uv_timer_t timer;
    unsigned long long count, sent, received, interval;
    kith_time least, most, sum;
    bool timer_open;
    char peer[KITH_PEER_ID_TEXT_MAX + 1];
} ping;

static void summary(const ping *p)
{
    double n = p->received ? (double)p->received : 1;
    if (p->s.json)
        session_print(json_pack("{s:s, s:s, s:I, s:I, s:f, s:f, s:f}", "event", "ping_summary", "peer",
                                p->peer, "sent", (json_int_t)p->sent, "received", (json_int_t)p->received,
                                "min_ms", (double)p->least / 1e6, "avg_ms", (double)p->sum / n / 1e6,
                                "max_ms", (double)p->most / 1e6));
    else
        printf("%llu sent, %llu received; min %.3f ms, avg %.3f ms, max %.3f ms\n", p->sent, p->received,
               (double)p->least / 1e6, (double)p->sum / n / 1e6, (double)p->most / 1e6);
}

static void finish(ping *p, int code)
{
    if (p->s.code < 0 && p->stream)
        summary(p);
    session_end(&p->s, code);
}

static void next(ping *p)
{
    if (!p->stream || kith_host_stopping(p->s.host))
        return;
    kith_time now = kith_host_now(p->s.host);
    if (kith_ping_start(p->machine, now) == KITH_OK) {
        p->sent++;
        kith_node_wake(kith_host_node(p->s.host), now, p->stream);
        kith_host_kick(p->s.host);
    }
}

static void on_timer(uv_timer_t *t)
{
    next(t->data);
}

static void on_rtt(ping *p, kith_time rtt)
{
    p->received++;
    p->sum += rtt;
    if (p->received == 1 || rtt < p->least)
        p->least = rtt;
    if (rtt > p->most)
        p->most = rtt;
    if (p->s.json)
        session_print(json_pack("{s:s, s:s, s:I, s:f}", "event", "ping", "peer", p->peer, "seq",
                                (json_int_t)p->received, "rtt_ms", (double)rtt / 1e6));
    else
        printf("32 bytes from %s: seq=%llu time=%.3f ms\n", p->peer, p->received, (double)rtt / 1e6);
    fflush(stdout);
    if (p->count && p->received >= p->count)
        finish(p, EXIT_OK);
    else
        uv_timer_start(&p->timer, on_timer, p->interval, 0);
}

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    ping *p = ctx;
    kith_ping_event e;
    if (ev->kind == KITH_NODE_STREAM_READY) {
        while (p->machine && kith_ping_next(p->machine, &e)) {
            if (e.kind == KITH_PING_RTT) {
                on_rtt(p, e.rtt);
            } else if (p->s.code < 0) {
                cmd_warn("ping failed: %s", e.why ? e.why : kith_err_text(e.err));
                finish(p, EXIT_LOST);
            }
        }
    } else if (ev->kind == KITH_NODE_STREAM_GONE) {
        if (p->s.code < 0) {
            cmd_warn("%s: %s", p->peer,
                     ev->err == KITH_EUNSUPPORTED ? "the peer does not answer pings"
                                                  : kith_err_text(ev->err));
            finish(p, ev->err == KITH_EUNSUPPORTED ? EXIT_REFUSED : EXIT_LOST);
        }
        p->stream = NULL;
        p->machine = NULL;
    }
}

static void on_open(void *ctx, kith_conn *c)
{
    static const kith_bytes id[] = {{(const uint8_t *)KITH_PING_ID, sizeof KITH_PING_ID - 1}};
    ping *p = ctx;
    session_peer_text(c, p->peer);
    p->machine = kith_ping_new(kith_host_env());
    if (!p->machine || kith_node_open(kith_host_node(p->s.host), kith_host_now(p->s.host), c, id, 1,
                                      &kith_ping_ops, p->machine, &p->sink, &p->stream)) {
        p->machine = NULL;
        cmd_warn("cannot open a stream");
        session_end(&p->s, EXIT_FAILED);
        return;
    }
    next(p);
}

static void on_interrupt(void *ctx)
{
    ping *p = ctx;
    finish(p, p->received ? EXIT_OK : EXIT_INTERRUPTED);
}

static void on_stop(void *ctx)
{
    ping *p = ctx;
    uv_close((uv_handle_t *)&p->timer, NULL);
}

static int run(const cmd_args *args)
{
    ping p = {0};
    if (!cmd_number(args, "count", 0, 1, 1000000000, &p.count) ||
        !cmd_number(args, "interval", INTERVAL_MS, 0, 3600000, &p.interval))
        return EXIT_USAGE;
    int code = session_start(&p.s, args);
    if (code)
        return code;
    p.s.on_interrupt = on_interrupt;
    p.s.on_stop = on_stop;
    p.s.ctx = &p;
    p.sink = (kith_sink){.event = on_stream, .ctx = &p};
    uv_timer_init(kith_host_loop(p.s.host), &p.timer);
    p.timer.data = &p;
    session_dial(&p.s, args->rest[0], on_open, &p);
    return session_run(&p.s);
}

static const cmd_option options[] = {
    {.name = "count", .letter = 'c', .arg = "N", .help = "stop after N answers (default: until Ctrl-C)"},
    {.name = "interval", .letter = 'i', .arg = "MS", .help = "milliseconds between pings (default 1000)"},
    {.name = "json", .help = "print one JSON object per answer, and a summary"},
    {0},
};

const cmd cmd_ping = {
    .name = "ping",
    .summary = "measure round trips to a peer",
    .usage = "ADDR [-c N] [--json]",
    .about = "Sends /ipfs/ping/1.0.0 pings over an authenticated, encrypted connection and prints the times.",
    .examples = "  kith ping /ip4/192.168.1.5/tcp/9000 -c 5\n",
    .options = options,
    .node = true,
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
