/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Calling methods here or over the control socket. */
#include "cmd/call.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "cmd/listen.h"
#include "cmd/session.h"
#include "host/control.h"
#include "host/json.h"
#include "host/paths.h"
#include "host/service.h"
#include "host/trust_methods.h"

/* ---- reading answers ---- */

const char *call_text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

long long call_number(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

double call_real(const json_t *o, const char *name)
{
    return json_number_value(json_object_get(o, name));
}

bool call_true(const json_t *o, const char *name)
{
    return json_is_true(json_object_get(o, name));
}

const char *call_qkd(const json_t *conn, char out[512])
{
    const char *state = call_text(conn, "qkd"), *why = call_text(conn, "qkd_why");
    if (strcmp(state, "on") == 0)
        return "on, a key of both KMEs is mixed in";
    if (strcmp(state, "simulated") == 0)
        return "SIMULATED, no quantum channel is behind the key";
    if (!why[0])
        return NULL;
    snprintf(out, 512, "%s: %s", strcmp(state, "failed") == 0 ? "FAILED" : "off", why);
    return out;
}

void call_print_who(FILE *out, const json_t *o)
{
    if (call_text(o, "name")[0])
        fprintf(out, "%s (%s)", call_text(o, "name"), call_text(o, "peer"));
    else
        fputs(call_text(o, "peer"), out);
    if (!call_text(o, "name")[0] && call_text(o, "self_name")[0]) {
        fputs(" (calls itself \"", out);
        call_print(out, call_text(o, "self_name"));
        fputs("\")", out);
    }
}

const char *call_when(long long unix, char out[32])
{
    time_t t = (time_t)unix;
    struct tm tm;
    if (!unix || !localtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf(out, 32, "never");
    return out;
}

const char *call_resumed(const json_t *conn, char out[96])
{
    char text[32];
    out[0] = '\0';
    if (call_true(conn, "resumed"))
        snprintf(out, 96, ", checked %s in an earlier session",
                 call_when(call_number(conn, "pq_checked"), text));
    return out;
}

static void print_text(FILE *out, const char *text, bool lines)
{
    kith_bytes in = kith_bytes_str(text);
    uint32_t cp;
    while (in.len > 0) {
        size_t n = kith_utf8_next(in, &cp);
        if (lines && n && cp == '\n')
            fputs("\n    ", out);
        else if (lines && n && cp == '\t')
            fputc(' ', out);
        else if (n && kith_text_printable(cp))
            fwrite(in.p, 1, n, out);
        else
            fputc('?', out);
        in = kith_bytes_skip(in, n ? n : 1);
    }
}

void call_print(FILE *out, const char *text)
{
    print_text(out, text, false);
}

void call_print_lines(FILE *out, const char *text)
{
    print_text(out, text, true);
}

void call_print_json(const json_t *o)
{
    json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    fflush(stdout);
}

/* ---- messages ---- */

static int error_code(const json_t *error)
{
    kith_err e = kith_rpc_err_of(error);
    const char *stage = call_text(json_object_get(error, "data"), "stage");
    if (call_number(error, "code") == KITH_RPC_PARAMS)
        return EXIT_USAGE;
    if (strcmp(stage, "disk") == 0)
        return EXIT_DISK;
    return strcmp(stage, "dial") == 0 ? session_dial_code(e) : session_code(e);
}

/* One more piece of a result: lists and texts are put together, numbers added. */
static void add_piece(json_t **whole, json_t *piece)
{
    const char *name;
    json_t *more;
    if (!*whole)
        *whole = json_object();
    json_object_foreach(piece, name, more)
    {
        json_t *have = json_object_get(*whole, name);
        if (!have)
            json_object_set_new(*whole, name, json_copy(more));
        else if (json_is_array(have))
            json_array_extend(have, more);
        else if (json_is_integer(have))
            json_integer_set(have, json_integer_value(have) + json_integer_value(more));
        else if (json_is_string(have))
            json_object_set_new(*whole, name,
                                json_sprintf("%s%s", json_string_value(have), json_string_value(more)));
    }
}

static int take_piece(call *c, json_t *result)
{
    json_t *next = json_object_get(result, "next");
    if (next)
        json_object_set(c->params, "after", next);
    add_piece(&c->whole, result);
    json_object_del(c->whole, "next");
    return next ? CALL_AGAIN : c->result(c->args, c->whole);
}

int call_take(call *c, const json_t *message, bool interrupted)
{
    json_t *result = json_object_get(message, "result");
    const json_t *error = json_object_get(message, "error");
    if (json_object_get(message, "method")) {
        json_t *event = json_copy(json_object_get(message, "params"));
        json_object_del(event, "id"); /* the request's, and nobody else's business */
        if (c->event)
            c->event(c->args, event);
        json_decref(event);
        return ferror(stdout) ? EXIT_OK : CALL_UNANSWERED; /* whoever reads our output has had enough */
    }
    if (result && c->pieces)
        return take_piece(c, result);
    if (result)
        return c->result(c->args, result);
    if (interrupted)
        return EXIT_INTERRUPTED;
    cmd_warn("%s", call_text(error, "message"));
    return error_code(error);
}

int call_dial(const cmd_args *args, int (*result)(const cmd_args *args, const json_t *result), call *out)
{
    *out = (call){.method = "dial",
                  .params = json_pack("{s:s}", "target", args->rest[0]),
                  .result = result,
                  .args = args};
    return EXIT_OK;
}

/* Of the command's own options one that the word has no use for; NULL: none. */
static const char *stray_option(const call_sub *sub, const cmd_args *args)
{
    for (size_t i = 0; i < args->given_count; i++) {
        const char *name = args->given[i].name;
        if (args->given[i].key || strcmp(name, "json") == 0 || strstr(sub->options, name))
            continue;
        for (const cmd_option *own = args->cmd->options; own->name; own++) {
            if (strcmp(own->name, name) == 0)
                return name;
        }
    }
    return NULL;
}

static int no_such_sub(const call_sub *subs, const cmd_args *args)
{
    char names[256] = "";
    for (size_t i = 0, at = 0; subs[i].name; i++) {
        const char *gap = i == 0 ? "" : subs[i + 1].name ? ", " : " or ";
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", gap, subs[i].name);
        assert(at < sizeof names);
    }
    return cmd_fail(EXIT_USAGE, "%s: there is no '%s'; it is %s", args->cmd->name, args->rest[0], names);
}

int call_sub_prepare(const call_sub *subs, const cmd_args *args, call *out)
{
    const char *command = args->cmd->name, *name = args->rest[0];
    const call_sub *sub = subs;
    while (sub->name && strcmp(sub->name, name) != 0)
        sub++;
    if (!sub->name)
        return no_such_sub(subs, args);
    const char *stray = stray_option(sub, args);
    if (stray)
        return cmd_fail(EXIT_USAGE, "%s %s: --%s does not belong to it; see 'kith help %s'", command, name,
                        stray, command);
    size_t n = args->rest_count - 1;
    if (n < sub->min || n > sub->max)
        return cmd_fail(EXIT_USAGE, "%s %s: %s; see 'kith help %s'", command, name,
                        n < sub->min ? "something is missing" : "that is too much", command);
    return sub->prepare(args, out);
}

json_t *call_request(const call *c, int id)
{
    return json_pack("{s:s, s:i, s:s, s:O}", "jsonrpc", "2.0", "id", id, "method", c->method, "params",
                     c->params);
}

json_t *call_cancellation(int id)
{
    return json_pack("{s:s, s:s, s:{s:i}}", "jsonrpc", "2.0", "method", "cancel", "params", "id", id);
}

void call_ask(const call *c, kith_rpc_client *client, int id)
{
    json_t *message = call_request(c, id);
    kith_rpc_message(client, message);
    json_decref(message);
}

/* Pieces are asked for from inside the answer before, which still counts. */
_Static_assert(KITH_TRUST_ROWS_MAX / KITH_TRUST_PIECE < KITH_RPC_CALLS_MAX,
               "not all pieces can be asked for");

bool call_answered(call *c, kith_rpc_client *client, int id, const json_t *message, bool interrupted,
                   int *code)
{
    int got = call_take(c, message, interrupted);
    if (got == CALL_AGAIN)
        call_ask(c, client, id);
    if (got < 0)
        return false;
    *code = got;
    return true;
}

void call_free(call *c)
{
    json_decref(c->params);
    json_decref(c->whole);
}

/* ---- over the control socket ---- */

static volatile sig_atomic_t interrupts;

static void on_sigint(int number)
{
    (void)number;
    if (++interrupts > 1)
        _exit(EXIT_INTERRUPTED);
}

static bool write_line(int fd, json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    size_t len = text ? strlen(text) + 1 : 0, at = 0;
    json_decref(message);
    if (text)
        text[len - 1] = '\n';
    while (at < len) {
        ssize_t n = write(fd, text + at, len - at);
        if (n < 0 && errno != EINTR)
            break;
        at += n > 0 ? (size_t)n : 0;
    }
    free(text);
    return len > 0 && at == len;
}

static int run_remote(int fd, call *c)
{
    struct sigaction act = {.sa_handler = on_sigint};
    sigset_t block, waiting;
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, &waiting);
    bool cancelled = false;
    static const char gone[] =
        "the running node went away, or it has too many files open to answer (ulimit -n)";
    int code = write_line(fd, call_request(c, 1)) ? CALL_UNANSWERED : cmd_fail(EXIT_LOST, gone);
    char *in = NULL;
    size_t len = 0, cap = 0;
    while (code == CALL_UNANSWERED) {
        char *nl = len ? memchr(in, '\n', len) : NULL;
        if (nl) {
            json_t *message = json_loadb(in, (size_t)(nl - in), 0, NULL);
            if (message)
                code = call_take(c, message, cancelled);
            json_decref(message);
            if (code == CALL_AGAIN)
                code = write_line(fd, call_request(c, 1)) ? CALL_UNANSWERED : cmd_fail(EXIT_LOST, gone);
            len -= (size_t)(nl - in) + 1;
            memmove(in, nl + 1, len);
            continue;
        }
        if (interrupts && !cancelled) {
            cancelled = true;
            (void)write_line(fd, call_cancellation(1));
        }
        if (!cmd_wait_input(fd, &waiting))
            continue;
        if (cap - len < 4096) {
            cap = cap ? cap * 2 : 16384;
            char *more = realloc(in, cap);
            if (!more) {
                code = cmd_fail(EXIT_FAILED, "no memory");
                break;
            }
            in = more;
        }
        ssize_t n = read(fd, in + len, cap - len);
        if (n > 0)
            len += (size_t)n;
        else if (n == 0 || errno != EINTR)
            code = cmd_fail(EXIT_LOST, gone);
    }
    free(in);
    close(fd);
    return code;
}

/* ---- in a node of our own ---- */

typedef struct local {
    session s;
    call *call;
    kith_service *service;
    kith_rpc_client *client;
} local;

static void on_message(void *ctx, const json_t *message)
{
    local *l = ctx;
    if (l->s.code >= 0)
        return;
    int code;
    if (call_answered(l->call, l->client, 1, message, l->s.interrupted, &code))
        session_end(&l->s, code);
}

static void on_interrupt(void *ctx)
{
    local *l = ctx;
    json_t *message = call_cancellation(1);
    kith_rpc_message(l->client, message);
    json_decref(message);
    session_end(&l->s, EXIT_INTERRUPTED);
}

static void on_stop(void *ctx)
{
    local *l = ctx;
    kith_service_close(l->service);
}

/* For a node that others are to reach while the command lasts; where, is told on stderr. */
static int begin_listening(local *l)
{
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX];
    char text[KITH_MADDR_TEXT_MAX + 1];
    size_t count = 0;
    int code = listen_as_configured(&l->s, LISTEN_WELL_KNOWN, addrs, KITH_RECORD_ADDRS_MAX, &count);
    for (size_t i = 0; i < count && !code; i++) {
        kith_maddr_text(&addrs[i], text);
        fprintf(stderr, "listening on %s\n", text);
    }
    if (!code && l->s.lan) /* else only who knows the address comes */
        kith_lan_stay(l->s.lan);
    return code;
}

static int run_local(const cmd_args *args, call *c)
{
    local l = {.call = c};
    char file[KITH_PATH_MAX] = "";
    int code = session_start(&l.s, args);
    if (code)
        return code;
    if (!c->offline)
        session_open_book(&l.s);
    if (c->messages)
        session_open_messages(&l.s);
    (void)kith_path(KITH_PLACE_CONFIG, "identity", file);
    l.s.on_interrupt = on_interrupt;
    l.s.on_stop = on_stop;
    l.s.ctx = &l;
    kith_service_config cfg = {.host = l.s.host,
                               .book = l.s.book,
                               .lan = l.s.lan,
                               .dht = l.s.dht,
                               .rendezvous = l.s.rendezvous,
                               .trust = l.s.trust,
                               .names = l.s.names,
                               .identity = l.s.identity,
                               .identity_file = file,
                               .version = KITH_VERSION,
                               .signer = l.s.signer,
                               .messages = l.s.messages,
                               .message_rate = l.s.config.node.limits.rate_messages};
    l.service = kith_service_new(&cfg);
    l.client = l.service ? kith_rpc_client_new(kith_service_methods, l.service, on_message, &l) : NULL;
    code = l.client && c->listens ? begin_listening(&l) : EXIT_OK;
    if (code)
        session_end(&l.s, code);
    else if (l.client)
        call_ask(c, l.client, 1);
    else
        session_end(&l.s, cmd_fail(EXIT_FAILED, "no memory"));
    code = session_run(&l.s);
    kith_rpc_client_free(l.client);
    kith_service_free(l.service);
    return code;
}

/* ---- on the known peers alone ---- */

typedef struct on_store {
    call *call;
    kith_rpc_client *client;
    int code;
} on_store;

static void on_store_message(void *ctx, const json_t *message)
{
    on_store *o = ctx;
    (void)call_answered(o->call, o->client, 1, message, false, &o->code);
}

static int run_store(call *c)
{
    on_store o = {.call = c, .code = CALL_UNANSWERED};
    uv_loop_t loop;
    kith_trust *trust = session_open_trust(&o.code);
    if (!trust)
        return o.code;
    if (uv_loop_init(&loop)) {
        kith_trust_close(trust);
        return cmd_fail(EXIT_FAILED, "no memory");
    }
    kith_trust_attach(trust, &loop);
    kith_service *service = kith_service_new(&(kith_service_config){.trust = trust, .version = KITH_VERSION});
    o.client = service ? kith_rpc_client_new(kith_service_methods, service, on_store_message, &o) : NULL;
    if (o.client)
        call_ask(c, o.client, 1);
    else
        o.code = cmd_fail(EXIT_FAILED, "no memory");
    while (o.code == CALL_UNANSWERED) /* its worker is busy */
        uv_run(&loop, UV_RUN_ONCE);
    kith_rpc_client_free(o.client);
    kith_service_close(service);
    kith_service_free(service);
    kith_trust_close(trust);
    uv_loop_close(&loop);
    return o.code;
}

bool call_configures(const cmd_args *args)
{
    for (size_t i = 0; i < args->given_count; i++) {
        if (args->given[i].key || strcmp(args->given[i].name, "config") == 0)
            return true;
    }
    return false;
}

int call_run(const cmd_args *args)
{
    char path[KITH_PATH_MAX];
    call made = {.args = args}, *c = &made;
    int fd = -ENOENT, code = args->cmd->call(args, c);
    if (code)
        return code;
    if (!c->params)
        c->params = json_object();
    if (c->running_only || !call_configures(args))
        fd = kith_path(KITH_PLACE_STATE, "control.sock", path) ? kith_control_connect(path) : -ENOENT;
    if (fd >= 0)
        code = run_remote(fd, c);
    else if (c->store)
        code = run_store(c);
    else if (!c->running_only)
        code = run_local(args, c);
    else if (fd == -EACCES)
        code = cmd_fail(EXIT_NOT_RUNNING, "the control socket %s belongs to somebody else", path);
    else
        code = cmd_fail(EXIT_NOT_RUNNING, "no node is running here; start one with 'kith up'");
    call_free(c);
    return code;
}
