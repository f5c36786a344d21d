/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith perf: how fast the whole stack carries bytes to a peer and back. */
#include "proto/perf.h"

#include <stdio.h>
#include <unistd.h>

#include "cmd/session.h"

typedef struct perf {
    session s;
    kith_sink sink;
    kith_stream *stream;
    kith_perf *machine;
    kith_conn *conn;
    uv_timer_t timer;
    unsigned long long upload, download;
    kith_time asked, connected; /* for the connection; got it */
    bool progress;
} perf;

static double gbit(uint64_t bytes, kith_time t)
{
    return t ? (double)bytes * 8 / (double)t : 0; /* bits per nanosecond */
}

static void on_timer(uv_timer_t *t)
{
    perf *p = t->data;
    uint64_t sent, received;
    if (!p->machine)
        return;
    kith_perf_progress(p->machine, &sent, &received);
    fprintf(stderr, "\r%llu of %llu MiB up, %llu of %llu MiB down ", (unsigned long long)sent >> 20,
            p->upload >> 20, (unsigned long long)received >> 20, p->download >> 20);
}

static void report(const perf *p, const kith_perf_result *r)
{
    if (p->progress)
        fprintf(stderr, "\r\033[K");
    if (p->s.json) {
        json_t *o = session_conn_json(p->conn);
        if (o) {
            json_object_set_new(o, "connect_seconds", json_real((double)(p->connected - p->asked) / 1e9));
            json_object_set_new(o, "upload_bytes", json_integer((json_int_t)r->upload_bytes));
            json_object_set_new(o, "upload_seconds", json_real((double)r->upload_time / 1e9));
            json_object_set_new(o, "download_bytes", json_integer((json_int_t)r->download_bytes));
            json_object_set_new(o, "download_seconds", json_real((double)r->download_time / 1e9));
        }
        session_print(o);
        return;
    }
    kith_conn_facts f;
    kith_conn_facts_get(p->conn, &f);
    printf(
        "upload    %llu bytes in %.3f s, %.2f Gbit/s\ndownload  %llu bytes in %.3f s, %.2f Gbit/s\nchannel   %s%s, %s\n",
        (unsigned long long)r->upload_bytes, (double)r->upload_time / 1e9,
        gbit(r->upload_bytes, r->upload_time), (unsigned long long)r->download_bytes,
        (double)r->download_time / 1e9, gbit(r->download_bytes, r->download_time), f.suite->id,
        f.suite->kem == KITH_KEM_NONE ? " (NOT post-quantum)" : " (post-quantum)", f.muxer);
}

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    perf *p = ctx;
    kith_perf_result r;
    if (ev->kind != KITH_NODE_STREAM_GONE)
        return;
    kith_err e = kith_perf_result_get(p->machine, &r);
    p->machine = NULL;
    if (p->s.code >= 0)
        return;
    if (!e) {
        report(p, &r);
        session_end(&p->s, EXIT_OK);
        return;
    }
    if (ev->err == KITH_EUNSUPPORTED)
        cmd_warn("the peer does not serve " KITH_PERF_ID "; a kith node does with 'kith up --perf'");
    else
        cmd_warn("the measurement broke off: %s", kith_err_text(ev->err ? ev->err : e));
    session_end(&p->s, ev->err == KITH_EUNSUPPORTED ? EXIT_REFUSED : EXIT_LOST);
}

static void on_open(void *ctx, kith_conn *c)
{
    static const kith_bytes id[] = {{(const uint8_t *)KITH_PERF_ID, sizeof KITH_PERF_ID - 1}};
    perf *p = ctx;
    p->conn = c;
    p->connected = kith_host_now(p->s.host);
    p->machine = kith_perf_client(kith_host_env(), p->upload, p->download);
    if (!p->machine || kith_node_open(kith_host_node(p->s.host), kith_host_now(p->s.host), c, id, 1,
                                      &kith_perf_ops, p->machine, &p->sink, &p->stream)) {
        p->machine = NULL;
        cmd_warn("cannot open a stream");
        session_end(&p->s, EXIT_FAILED);
        return;
    }
    if (p->progress)
        uv_timer_start(&p->timer, on_timer, 500, 500);
}

static void on_stop(void *ctx)
{
    perf *p = ctx;
    uv_close((uv_handle_t *)&p->timer, NULL);
}

static int run(const cmd_args *args)
{
    perf p = {0};
    if (!cmd_number(args, "upload", 0, 0, 1ull << 62, &p.upload) ||
        !cmd_number(args, "download", 0, 0, 1ull << 62, &p.download))
        return EXIT_USAGE;
    if (!cmd_has(args, "upload") && !cmd_has(args, "download"))
        p.upload = p.download = 256u << 20;
    int code = session_start(&p.s, args);
    if (code)
        return code;
    p.progress = !p.s.json && isatty(STDERR_FILENO);
    p.s.on_stop = on_stop;
    p.s.ctx = &p;
    p.sink = (kith_sink){.event = on_stream, .ctx = &p};
    uv_timer_init(kith_host_loop(p.s.host), &p.timer);
    p.timer.data = &p;
    p.asked = kith_host_now(p.s.host);
    session_dial(&p.s, args->rest[0], on_open, &p);
    return session_run(&p.s);
}

static const cmd_option options[] = {
    {.name = "upload", .arg = "BYTES", .help = "how much to send, such as 1GiB"},
    {.name = "download", .arg = "BYTES", .help = "how much to receive"},
    {.name = "json", .help = "print the result as one JSON object"},
    {0},
};

const cmd cmd_perf = {
    .name = "perf",
    .summary = "measure the speed to a peer",
    .usage = "ADDR [--upload BYTES] [--download BYTES] [--json]",
    .about =
        "Uploads, then downloads over one stream of /perf/1.0.0 and prints the speeds. The peer must serve it:\n"
        "a kith node does when started with --perf. Without sizes, 256 MiB go each way.",
    .examples = "  kith perf /ip4/192.168.1.5/tcp/9000 --upload 1GiB --download 1GiB\n",
    .options = options,
    .node = true,
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
