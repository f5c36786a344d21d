/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith pipe: netcat for peers. */
#include "apps/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/listen.h"
#include "cmd/session.h"
#include "host/joint.h"

/* How long the connection stays when our half-close was the last word. A peer may still be reading, and go-libp2p and
 * py-libp2p forget what their application has not read when the connection closes. */
#define LINGER_MS 300
#define COMMANDS_MAX 64 /* running at once, unless --max says otherwise */

typedef struct pipe_cmd {
    session s;
    const char *protocol;
    kith_bytes id[1];
    const char *const *argv; /* NULL: stdin and stdout */
    kith_sink waiting;       /* streams that are not joined yet */
    kith_pipe *pipe;         /* of the dialling side, until it is joined */
    kith_list joints;
    size_t untaken;
    unsigned long long max;
    unsigned running;
    bool taken; /* stdin and stdout are a stream's */
    bool lingering;
    uv_timer_t linger;
} pipe_cmd;

static int code_of(const kith_joint_end *how)
{
    if (how->local_err == UV_EPIPE)
        return EXIT_OK; /* whoever read our output had enough */
    if (how->local_err)
        return EXIT_DISK;
    return session_code(how->stream_err);
}

static void on_linger(uv_timer_t *timer)
{
    session_end(timer->data, EXIT_OK);
}

static void on_done(void *ctx, const kith_joint_end *how)
{
    pipe_cmd *p = ctx;
    if (p->s.code < 0 && how->local_err && how->local_err != UV_EPIPE)
        cmd_warn("%s", uv_strerror(how->local_err));
    else if (p->s.code < 0 && how->stream_err && !how->local_err)
        cmd_warn("the stream ended early: %s", kith_err_text(how->stream_err));
    if (p->s.code < 0 && how->last_word && code_of(how) == EXIT_OK) {
        p->lingering = true;
        uv_timer_init(kith_host_loop(p->s.host), &p->linger);
        p->linger.data = &p->s;
        uv_timer_start(&p->linger, on_linger, LINGER_MS, 0);
        return;
    }
    session_end(&p->s, code_of(how));
}

static void on_command_done(void *ctx, const kith_joint_end *how)
{
    pipe_cmd *p = ctx;
    p->running--;
    if (how->stream_err && how->stream_err != KITH_ECLOSED)
        cmd_warn("a stream ended early: %s", kith_err_text(how->stream_err));
    else if (how->term_signal)
        cmd_warn("%s was ended by signal %d", p->argv[0], how->term_signal);
    else if (how->exit_status)
        cmd_warn("%s exited with %d", p->argv[0], how->exit_status);
}

/* stdin and stdout under other numbers, so that they can be closed; /dev/null stands in their place. False: complained. */
static bool take_stdio(int *in, int *out)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    *in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    *out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    bool ok =
        null >= 0 && *in >= 0 && *out >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0;
    if (null > STDERR_FILENO)
        close(null);
    return ok;
}

/* UV_*, or 0. */
static int join_stdio(pipe_cmd *p, kith_stream *s, kith_pipe *machine)
{
    int in, out;
    if (take_stdio(&in, &out))
        return kith_joint_fds(p->s.host, &p->joints, s, machine, in, out, on_done, p);
    int e = -errno;
    kith_pipe_free(machine);
    return e;
}

/* ---- the listening side ---- */

static void *on_accept(void *ctx, const kith_stream_info *info)
{
    (void)info;
    pipe_cmd *p = ctx;
    if (p->argv ? p->running >= p->max : p->taken)
        return NULL;
    kith_pipe *machine = kith_pipe_new(kith_host_env());
    if (!machine)
        return NULL;
    p->running++;
    p->taken = true;
    return machine;
}

static void join_inbound(pipe_cmd *p, kith_stream *s)
{
    kith_pipe *machine = kith_stream_machine(s);
    if (p->argv) {
        int e = kith_joint_command(p->s.host, &p->joints, s, machine, p->argv, on_command_done, p);
        if (e)
            cmd_warn("cannot run %s: %s", p->argv[0], uv_strerror(e));
        return;
    }
    int e = join_stdio(p, s, machine);
    if (e)
        session_end(&p->s, cmd_fail(EXIT_FAILED, "cannot use stdin and stdout: %s", uv_strerror(e)));
}

/* ---- the dialling side ---- */

static void refused(pipe_cmd *p, const kith_conn *c, kith_err e)
{
    if (p->s.code >= 0)
        return;
    if (kith_conn_refusal(c))
        cmd_warn("%s", kith_conn_refusal(c));
    else if (e == KITH_EUNSUPPORTED)
        cmd_warn("the peer does not serve %s", p->protocol);
    else if (e == KITH_ERESET)
        cmd_warn("the peer reset the stream; perhaps it does not serve %s, or serves it to somebody else",
                 p->protocol);
    else
        cmd_warn("no stream: %s", kith_err_text(e));
    session_end(&p->s, e == KITH_EUNSUPPORTED || e == KITH_ERESET ? EXIT_REFUSED : session_code(e));
}

static void on_waiting(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    pipe_cmd *p = ctx;
    if (ev->kind == KITH_NODE_STREAM_OPENED && kith_stream_inbound(ev->stream)) {
        join_inbound(p, ev->stream);
    } else if (ev->kind == KITH_NODE_STREAM_OPENED && p->pipe) {
        kith_pipe *machine = p->pipe;
        p->pipe = NULL;
        int e = join_stdio(p, ev->stream, machine);
        if (e)
            session_end(&p->s, cmd_fail(EXIT_FAILED, "cannot use stdin and stdout: %s", uv_strerror(e)));
    } else if (ev->kind == KITH_NODE_STREAM_GONE) {
        if (p->pipe) {
            kith_pipe_free(p->pipe);
            p->pipe = NULL;
            refused(p, ev->conn, ev->err);
        }
    }
}

static void on_open(void *ctx, kith_conn *c)
{
    pipe_cmd *p = ctx;
    kith_stream *s;
    p->pipe = kith_pipe_new(kith_host_env());
    kith_err e = p->pipe ? kith_node_open(kith_host_node(p->s.host), kith_host_now(p->s.host), c, p->id, 1,
                                          &kith_pipe_ops, p->pipe, &p->waiting, &s)
                         : KITH_ENOMEM;
    if (!e)
        return;
    kith_pipe_free(p->pipe);
    p->pipe = NULL;
    session_end(&p->s, cmd_fail(EXIT_FAILED, "cannot open a stream: %s", kith_err_text(e)));
}

/* Ctrl-C: nothing of ours may hold up the end, such as a reader who does not read or a command that does not go. */
static void on_stop(void *ctx)
{
    pipe_cmd *p = ctx;
    kith_joint_cancel_all(&p->joints);
    p->untaken = kith_host_untaken(p->s.host);
    if (p->lingering)
        uv_close((uv_handle_t *)&p->linger, NULL);
    p->lingering = false;
}

static int start_listening(pipe_cmd *p)
{
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX];
    char text[KITH_MADDR_TEXT_MAX + 1];
    size_t count;
    kith_protocol row = {
        .id = p->id[0], .ops = &kith_pipe_ops, .accept = on_accept, .ctx = p, .user = &p->waiting};
    if (kith_node_serve(kith_host_node(p->s.host), kith_host_now(p->s.host), &row))
        return cmd_fail(EXIT_USAGE, "--protocol: '%s' is served by kith itself", p->protocol);
    int code = listen_as_configured(&p->s, LISTEN_ANY_PORT, addrs, KITH_RECORD_ADDRS_MAX, &count);
    if (code)
        return code;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        kith_maddr_text(&addrs[i], text);
        json_array_append_new(list, json_string(text));
        if (!p->s.json)
            fprintf(stderr, "listening on %s\n", text);
    }
    if (p->s.json) { /* to stderr: stdout is the stream's */
        json_t *o = json_pack("{s:s, s:O}", "event", "listening", "addrs", list);
        json_dumpf(o, stderr, JSON_COMPACT);
        fputc('\n', stderr);
        json_decref(o);
    }
    json_decref(list);
    return EXIT_OK;
}

static int run(const cmd_args *args)
{
    pipe_cmd p = {.protocol = cmd_value(args, "protocol"), .argv = args->after_count ? args->after : NULL};
    bool listen = cmd_has(args, "listen") || cmd_has(args, "listen-addr");
    if (!p.protocol || strlen(p.protocol) == 0 || strlen(p.protocol) > 140)
        return cmd_fail(EXIT_USAGE, "pipe: --protocol needs an id of up to 140 characters, like /my/proto/1");
    if (listen == (args->rest_count > 0))
        return cmd_fail(EXIT_USAGE, "pipe: give either an address to dial, or --listen");
    if (!listen && p.argv)
        return cmd_fail(EXIT_USAGE, "pipe: a command behind -- is for --listen");
    if (!cmd_number(args, "max", COMMANDS_MAX, 1, 4096, &p.max))
        return EXIT_USAGE;
    int code = session_start(&p.s, args);
    if (code)
        return code;
    p.id[0] = kith_bytes_str(p.protocol);
    kith_list_init(&p.joints);
    p.s.patient = true;
    p.s.on_stop = on_stop;
    p.s.ctx = &p;
    p.waiting = (kith_sink){.event = on_waiting, .ctx = &p};
    size_t at = 0;
    for (const char *addr; (addr = cmd_next_value(args, "listen-addr", &at));) {
        char err[KITH_CONFIG_ERR_MAX];
        if (kith_config_set(&p.s.config, kith_config_find("listen"), addr, err))
            session_end(&p.s, cmd_fail(EXIT_USAGE, "--listen-addr: %s", err));
    }
    if (p.s.code < 0 && listen) {
        code = start_listening(&p);
        if (code)
            session_end(&p.s, code);
    } else if (p.s.code < 0) {
        session_dial(&p.s, args->rest[0], on_open, &p);
    }
    code = session_run(&p.s);
    if (code == EXIT_OK && p.untaken > 0)
        code = cmd_fail(EXIT_LOST,
                        "the peer has stopped taking what was sent: the last %zu bytes may be missing",
                        p.untaken);
    return listen && p.argv && code == EXIT_INTERRUPTED ? EXIT_OK : code;
}

static const cmd_option options[] = {
    {.name = "protocol",
     .letter = 'p',
     .arg = "ID",
     .help = "protocol id of the stream, such as /my/proto/1"},
    {.name = "listen", .letter = 'l', .help = "serve the protocol instead of dialling"},
    {.name = "listen-addr",
     .arg = "ADDR",
     .help = "serve it at this multiaddr (implies --listen)",
     .many = true},
    {.name = "max", .arg = "N", .help = "commands running at once (default 64)"},
    {.name = "json", .help = "print the addresses as JSON to stderr"},
    {0},
};

const cmd cmd_pipe = {
    .name = "pipe",
    .summary = "join stdin and stdout to a stream: netcat for peers",
    .usage = "ADDR --protocol ID | --listen --protocol ID [-- COMMAND...]",
    .about =
        "Dials a peer and joins stdin and stdout to a stream of any protocol; or serves a protocol: each stream\n"
        "gets a COMMAND of its own (the peer's id is in KITH_PEER), or the first stream gets stdin and stdout.\n"
        "End of input half-closes the stream; the peer's end closes our output.",
    .examples = "  kith pipe --listen --protocol /chat/1\n"
                "  kith pipe /ip4/192.168.1.5/tcp/9000/p2p/12D3Koo... --protocol /chat/1\n"
                "  kith pipe --listen --protocol /backup/1 -- tar cf - documents\n",
    .options = options,
    .node = true,
    .args_max = 1,
    .run = run,
};
