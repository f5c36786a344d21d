/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fetching to stdout: whoever has the code or is named by the ticket, one after another, until one lets us in. Each is asked for a stream, and for files
 * where it has none. */
#include "cmd/get_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/get_code.h"
#include "cmd/get_list.h"
#include "cmd/get_options.h"
#include "cmd/get_result.h"
#include "cmd/job.h"
#include "cmd/share_text.h"
#include "cmd/stream_io.h"
#include "cmd/ticket_arg.h"
#include "crypto/crypto.h"
#include "host/json.h"
#include "host/stream_get.h"

#define TICK_MS 200
#define WAIT_S 120       /* that a sharer is looked for */
#define TRY KITH_SEC(20) /* for one that may have the code, or others get their turn */
#define OTHERS \
    KITH_SEC(2) /* that others may still be found, once one has the code's name and not its secret */

typedef struct get_stream {
    session s;
    ticket_arg what;
    kith_fetch_code proof;
    get_code *search; /* NULL: not by a code, or over */
    kith_stream_get *get;
    kith_stream_get *vain[GET_CODE_TRIES_MAX];
    size_t vain_count;
    kith_share_select select; /* of files; with it no stream is asked for */
    kith_share_out out;
    kith_share_fetch *files; /* of the present one, once it has no stream */
    kith_share_fetch *vain_files[GET_CODE_TRIES_MAX];
    size_t vain_files_count;
    kith_time give_up_at, try_until, began;
    char refusal[512], state[KITH_CODE_STATE_MAX + 1], from[KITH_PEER_ID_TEXT_MAX + 1];
    char path[SHARE_TEXT_MAX], channel[2 * SHARE_TEXT_MAX];
    kith_share_fetch_why why; /* of the refusal */
    kith_list joints;
    uv_timer_t timer;
    job *job;
    bool both, moving, ended, pq, tty;
    bool asked; /* the present one for a stream */
} get_stream;

bool get_stream_wanted(const cmd_args *args)
{
    const char *dest = cmd_value(args, "output");
    return dest && strcmp(dest, "-") == 0;
}

/* Events, and all else that is said: stdout is the stream's. */
static void say_json(json_t *o)
{
    session_print_to(stderr, o);
}

/* ---- endings ---- */

static void end(get_stream *c, int code, const char *text, const kith_joint_end *how)
{
    char sum[192];
    kith_time took = c->began ? kith_host_now(c->s.host) - c->began : 0;
    if (c->ended)
        return;
    c->ended = true;
    if (c->s.json) {
        json_t *o =
            json_pack("{s:s, s:I, s:I, s:f, s:i, s:s}", "event", code ? "failed" : "done", "received",
                      (json_int_t)(how ? how->received : 0), "sent", (json_int_t)(how ? how->sent : 0),
                      "seconds", (double)took / 1e9, "code", code, "peer", c->from);
        if (text[0])
            json_object_set_new(o, "text", kith_json_text(text));
        say_json(o);
    } else if (text[0]) {
        cmd_warn("%s", text);
    } else if (how) {
        fprintf(stderr, "received %s, %s, %s\n", stream_io_sum(how->received, took, sum), c->path,
                c->channel);
    }
    session_end(&c->s, code);
}

static void remember(const get_stream *c, const char *what, uint64_t files, uint64_t bytes,
                     kith_share_fetch_why why)
{
    kith_time took = kith_host_now(c->s.host) - c->began;
    if (c->ended)
        return;
    job_remember(&c->s, &c->what.ticket.peer,
                 &(kith_share_past){.what = what,
                                    .result = c->s.interrupted ? "stopped" : get_result_name(why),
                                    .path = c->path,
                                    .pq = c->pq,
                                    .files = files,
                                    .bytes = bytes,
                                    .seconds = (double)took / 1e9});
}

static void on_done(void *ctx, const kith_joint_end *how)
{
    get_stream *c = ctx;
    char text[256];
    kith_share_fetch_why why = stream_io_why(how, "sharer", text);
    int code = get_result_code(why);
    c->moving = false;
    if (c->s.interrupted) {
        code = EXIT_INTERRUPTED;
        (void)snprintf(text, sizeof text, "stopped before the end");
    }
    remember(c, "-", 0, how->received, why);
    end(c, code, text, how);
}

static void on_opened(void *ctx, kith_stream *s, kith_share_stream *m, kith_pipe *p, bool both)
{
    get_stream *c = ctx;
    get_code_done(c->search);
    c->search = NULL;
    c->began = kith_host_now(c->s.host);
    c->moving = true;
    if (c->s.json)
        say_json(json_pack("{s:s, s:s, s:b}", "event", "began", "peer", c->from, "both", both));
    else
        fprintf(stderr, "from %s: %s, %s\n", c->from, c->path, c->channel);
    if (c->both && !both)
        cmd_warn(
            "the sharer takes nothing (it was started without --both): what comes from stdin goes nowhere");
    if (!both) /* our end says that we have all; of a sharer that wants something it is the end of what it gets */
        kith_share_stream_silent(m);
    (void)stream_io_join(c->s.host, &c->joints, s, p, c->both && both, true, on_done, c);
}

static void on_connected(void *ctx, kith_conn *conn)
{
    get_stream *c = ctx;
    kith_conn_facts f;
    kith_conn_facts_get(conn, &f);
    session_peer_text(conn, c->from);
    (void)snprintf(c->path, sizeof c->path, "%s", share_text_path(conn));
    share_text_channel(conn, c->channel);
    c->pq = f.suite && f.suite->kem != KITH_KEM_NONE;
    if (c->s.json) {
        json_t *o = json_pack("{s:s}", "event", "connected");
        share_text_conn_json(o, conn);
        say_json(o);
    }
    if (c->what.ticket.pq.len && !kith_pq_id_eq(&f.pq.id, &c->what.ticket.pq)) {
        if (c->get)
            kith_stream_get_stop(c->get);
        end(c, EXIT_REFUSED, "the sharer does not prove the post-quantum key that the ticket names", NULL);
    }
}

/* Of the one that was tried: freed when the loop has ended. */
static void put_aside(get_stream *c)
{
    if (c->get)
        c->vain[c->vain_count++] = c->get;
    if (c->files)
        c->vain_files[c->vain_files_count++] = c->files;
    c->get = NULL;
    c->files = NULL;
}

/* A peer that was found by the code is not it, or is not there: others may be. */
static void go_on(get_stream *c, kith_share_fetch_why why, const char *text)
{
    static const char nothing[] =
        "the peer shares neither a stream nor files: is its 'kith share' still running?";
    if (c->ended)
        return;
    if (why == KITH_FETCH_NO_FILES)
        text = nothing;
    if (!c->search) {
        end(c, get_result_code(why), text, NULL);
        return;
    }
    const bool wrong = why == KITH_FETCH_WRONG_CODE || why == KITH_FETCH_LATE;
    if (wrong) {
        (void)snprintf(c->refusal, sizeof c->refusal, "%s", text);
        c->why = why;
        c->give_up_at = kith_time_min(c->give_up_at, kith_host_now(c->s.host) + OTHERS);
    }
    put_aside(c);
    get_code_next(c->search,
                  wrong || why == KITH_FETCH_REFUSED || why == KITH_FETCH_NO_FILES ||
                      why == KITH_FETCH_DAMAGED,
                  why == KITH_FETCH_REFUSED);
}

/* ---- files ---- */

/* The one file that is fetched, static; "": there is none. */
static const char *file_name(const get_stream *c)
{
    const kith_manifest *m = kith_share_fetch_manifest(c->files);
    for (size_t i = 0; i < m->count; i++) {
        if (!kith_share_fetch_skips(c->files)[i])
            return get_list_path(m, i);
    }
    return "";
}

static void say_file(const get_stream *c)
{
    kith_share_fetch_progress p;
    char size[SHARE_TEXT_MAX];
    kith_share_fetch_progress_get(c->files, &p);
    if (c->s.json)
        say_json(json_pack("{s:s, s:s, s:o, s:I}", "event", "began", "peer", c->from, "file",
                           kith_json_text(file_name(c)), "bytes", (json_int_t)p.wanted));
    else
        fprintf(stderr, "%s, %s, from %s: %s, %s\n", file_name(c), share_text_size(p.wanted, size), c->from,
                c->path, c->channel);
}

static void on_files_end(get_stream *c, const kith_share_fetch_event *ev)
{
    const kith_joint_end how = {.received = c->out.written};
    const bool moved = c->moving;
    c->moving = false;
    if (c->tty && moved)
        share_text_clear();
    if (ev->conduct != KITH_CONDUCTS)
        job_leave_note(&c->what.ticket.peer, ev->conduct);
    if (moved)
        remember(c, file_name(c), 1, c->out.written, ev->why);
    if (c->s.interrupted)
        end(c, EXIT_INTERRUPTED, "stopped before the end", &how);
    else if (!moved && ev->why)
        go_on(c, ev->why, ev->text);
    else
        end(c, get_result_code(ev->why), ev->why && ev->why != KITH_FETCH_ENOUGH ? ev->text : "", &how);
}

static void on_files(void *ctx, const kith_share_fetch_event *ev)
{
    get_stream *c = ctx;
    switch (ev->kind) {
    case KITH_FETCH_CONNECTED: /* as of the stream that it has not */
        if (!c->asked)
            on_connected(c, ev->conn);
        break;
    case KITH_FETCH_LIST:
        get_code_done(c->search);
        c->search = NULL;
        c->began = kith_host_now(c->s.host);
        c->moving = true;
        say_file(c);
        kith_share_fetch_accept(c->files);
        break;
    case KITH_FETCH_END:
        on_files_end(c, ev);
        break;
    case KITH_FETCH_WAIT:
        get_code_done(c->search); /* it has proved to be the one */
        c->search = NULL;
        break;
    case KITH_FETCH_CLASHES:
    case KITH_FETCH_SOURCE:
    case KITH_FETCH_SOURCE_LOST:
    case KITH_FETCH_PAUSED:
    case KITH_FETCH_FILE_LOST: /* the end says so */
        break;
    }
}

static void try_files(get_stream *c)
{
    const char *tmp = getenv("TMPDIR");
    c->out = (kith_share_out){.fd = STDOUT_FILENO};
    const kith_share_fetch_config cfg = {
        .host = c->s.host,
        .ticket = &c->what.ticket,
        .code = c->what.kind == ARG_CODE ? &c->proof : NULL,
        .dest = tmp && *tmp ? tmp : "/tmp",
        .out = &c->out,
        .select = c->select.only_count + c->select.exclude_count > 0 ? &c->select : NULL,
        .event = on_files,
        .ctx = c,
    };
    c->files = kith_share_fetch_new(&cfg);
    if (!c->files)
        end(c, EXIT_FAILED, "no memory", NULL);
}

static void on_failed(void *ctx, kith_share_fetch_why why, bool files, const char *text)
{
    get_stream *c = ctx;
    if (c->ended)
        return;
    if (files && c->both)
        go_on(c, KITH_FETCH_REFUSED, "the peer shares no stream, and --both is for one");
    else if (files)
        try_files(c);
    else
        go_on(c, why, text);
}

/* ---- reaching it ---- */

static void try(get_stream *c, const kith_fetch_code *proof)
{
    c->asked = c->select.only_count + c->select.exclude_count == 0;
    if (!c->asked) {
        try_files(c);
        return;
    }
    const kith_stream_get_config cfg = {.host = c->s.host,
                                        .ticket = &c->what.ticket,
                                        .code = proof,
                                        .connected = on_connected,
                                        .opened = on_opened,
                                        .failed = on_failed,
                                        .ctx = c};
    kith_stream_get *g = kith_stream_get_new(&cfg);
    if (!g)
        end(c, EXIT_FAILED, "no memory", NULL);
    c->get = g;
}

static void on_pinned(void *ctx, kith_err err, const char *why)
{
    get_stream *c = ctx;
    char text[512];
    if (kith_host_stopping(c->s.host))
        return;
    (void)snprintf(text, sizeof text, "the ticket names another key than is known: %s", why ? why : "");
    if (err && err != KITH_EIO) /* the key that comes is compared with the ticket's all the same */
        end(c, EXIT_REFUSED, text, NULL);
    else
        try(c, NULL);
}

/* The ticket's word about the sharer's key counts before the first byte. */
static void by_ticket(get_stream *c)
{
    const kith_ticket *t = &c->what.ticket;
    const kith_trust_edit edit = {.act = KITH_TRUST_PIN, .peer = t->peer, .pq = t->pq};
    if (t->pq.len == 0)
        try(c, NULL);
    else if (kith_trust_edit_all(c->s.trust, &edit, 1, on_pinned, c))
        end(c, EXIT_FAILED, "no memory", NULL);
}

static void on_candidate(void *ctx, const kith_code_candidate *found, const kith_code_keys *keys)
{
    get_stream *c = ctx;
    get_code_use(found, keys, &c->what.ticket, &c->proof);
    c->try_until = kith_host_now(c->s.host) + TRY;
    try(c, &c->proof);
}

static void show_progress(const get_stream *c)
{
    kith_share_fetch_progress p;
    char done[SHARE_TEXT_MAX], all[SHARE_TEXT_MAX];
    kith_share_fetch_progress_get(c->files, &p);
    if (c->s.json)
        say_json(json_pack("{s:s, s:I, s:I}", "event", "progress", "bytes", (json_int_t)p.verified, "total",
                           (json_int_t)p.wanted));
    else if (c->tty)
        share_text_line("%3.0f %%  %s of %s", p.wanted ? (double)p.verified * 100 / (double)p.wanted : 100.0,
                        share_text_size(p.verified, done), share_text_size(p.wanted, all));
}

static void on_timer(uv_timer_t *t)
{
    static const char nobody[] = "nobody who has this code was found: is 'kith share -' still running there?";
    get_stream *c = t->data;
    char now[KITH_CODE_STATE_MAX + 1];
    if (!c->ended && c->moving && c->files)
        show_progress(c);
    if (c->ended || !c->search)
        return;
    get_code_state(c->search, now);
    if (strcmp(now, c->state) != 0 && !c->state[0] && !c->s.json)
        fprintf(stderr, "%s\n", now);
    memcpy(c->state, now, sizeof now);
    kith_time at = kith_host_now(c->s.host);
    const char *nowhere = get_code_nowhere(c->search);
    if (!c->get && !c->files && nowhere && !c->refusal[0]) {
        end(c, EXIT_UNREACHABLE, nowhere, NULL);
    } else if ((c->get || c->files) && at >= c->try_until) {
        if (c->files) {
            kith_share_fetch_stop(c->files, "it did not answer"); /* and its end goes on */
        } else {
            kith_stream_get_stop(c->get);
            go_on(c, KITH_FETCH_LOST, "it did not answer");
        }
    } else if (!c->get && !c->files && at >= c->give_up_at) {
        end(c, c->refusal[0] ? get_result_code(c->why) : EXIT_UNREACHABLE,
            c->refusal[0] ? c->refusal : nobody, NULL);
    }
}

static void on_interrupt(void *ctx)
{
    get_stream *c = ctx;
    if (c->files)
        kith_share_fetch_stop(c->files, "stopped before the end");
    else if (c->moving)
        kith_joint_cancel_all(&c->joints);
    else
        end(c, EXIT_INTERRUPTED, "stopped", NULL);
}

static void on_stop(void *ctx)
{
    get_stream *c = ctx;
    get_code_done(c->search);
    c->search = NULL;
    if (c->get)
        kith_stream_get_stop(c->get);
    if (c->files)
        kith_share_fetch_stop(c->files, "stopped");
    kith_joint_cancel_all(&c->joints);
    uv_close((uv_handle_t *)&c->timer, NULL);
    job_close(c->job);
}

/* ---- what others see of it ---- */

static json_t *on_list_asked(void *ctx)
{
    const get_stream *c = ctx;
    return stream_io_list("get", c->moving, c->path, c->pq);
}

static const char *on_cancelled(void *ctx, uint64_t n)
{
    get_stream *c = ctx;
    (void)n;
    c->s.interrupted = true;
    on_interrupt(c);
    return NULL;
}

static bool is_moving(const void *ctx)
{
    return ((const get_stream *)ctx)->moving;
}

static const job_ops ops = {
    .list = on_list_asked, .pause = stream_io_paused, .cancel = on_cancelled, .moving = is_moving};

/* ---- running ---- */

static int check_options(const cmd_args *args)
{
    static const char *const others[] = {"overwrite", "rename",     "ask",     "skip",     "also",  "sha256",
                                         "blake3",    "durability", "discard", "portable", "swarm", "seed"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (cmd_has(args, others[i]))
            return cmd_fail(EXIT_USAGE, "get: --%s is about files in a folder, and -o - is stdout",
                            others[i]);
    }
    if (cmd_has(args, "both") && (cmd_has(args, "only") || cmd_has(args, "exclude")))
        return cmd_fail(EXIT_USAGE, "get: --both is for a stream, --only and --exclude are for files");
    if (cmd_has(args, "both") && args->rest_count == 1 && strcmp(args->rest[0], "-") == 0)
        return cmd_fail(EXIT_USAGE, "get: with --both stdin is the stream's: give the code in another way");
    return stream_io_refuses(args) ? EXIT_USAGE : EXIT_OK;
}

int get_stream_run(const cmd_args *args)
{
    static get_stream c; /* addresses make it large */
    unsigned long long wait_s;
    int code = check_options(args);
    if (!code && !cmd_number(args, "wait", WAIT_S, 1, 1u << 20, &wait_s))
        code = EXIT_USAGE;
    if (!code)
        code = get_options_select(args, &c.select);
    if (!code)
        code = ticket_arg_read(args, &c.what);
    if (!code && c.what.kind == ARG_STRING)
        code = cmd_fail(EXIT_USAGE,
                        "get: a share string is for a folder (-o DIR); -o - takes a code or a ticket");
    if (code)
        return code;
    c.both = cmd_has(args, "both");
    c.tty = share_text_moves() && !cmd_has(args, "json");
    if (cmd_has(args, "nice"))
        job_nice(&c.s);
    code = session_start(&c.s, args);
    if (code)
        return code;
    session_open_book(&c.s);
    kith_list_init(&c.joints);
    c.s.patient = true;
    c.s.on_stop = on_stop;
    c.s.on_interrupt = on_interrupt;
    c.s.ctx = &c;
    uv_timer_init(kith_host_loop(c.s.host), &c.timer);
    c.timer.data = &c;
    uv_timer_start(&c.timer, on_timer, TICK_MS, TICK_MS);
    c.job = job_open(&c.s, args, false, &ops, &c, &code);
    if (code) {
        session_end(&c.s, code);
    } else if (c.what.kind == ARG_CODE) {
        c.give_up_at = kith_host_now(c.s.host) + KITH_SEC(wait_s);
        const kith_bytes protocols[2] = {kith_bytes_str(KITH_SHARE_ID), kith_bytes_str(KITH_SHARE_STREAM_ID)};
        c.search = get_code_new(&c.s, &c.what.code, protocols, !cmd_has(args, "no-calls"), on_candidate, &c);
        if (!c.search)
            end(&c, EXIT_FAILED, "no memory", NULL);
    } else {
        by_ticket(&c);
    }
    code = session_run(&c.s);
    kith_stream_get_free(c.get);
    for (size_t i = 0; i < c.vain_count; i++)
        kith_stream_get_free(c.vain[i]);
    kith_share_fetch_free(c.files);
    for (size_t i = 0; i < c.vain_files_count; i++)
        kith_share_fetch_free(c.vain_files[i]);
    kith_wipe(&c.what, sizeof c.what);
    kith_wipe(&c.proof, sizeof c.proof);
    return code;
}
