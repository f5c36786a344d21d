/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sharing a stream: a code or ticket at once, one receiver, and stdin to it; with --both what it sends to stdout. */
#include "cmd/share_stream.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/clip.h"
#include "cmd/get_result.h"
#include "cmd/job.h"
#include "cmd/listen.h"
#include "cmd/offer.h"
#include "cmd/qr.h"
#include "cmd/share_text.h"
#include "cmd/stream_io.h"
#include "cmd/ticket_addrs.h"
#include "crypto/crypto.h"
#include "host/json.h"
#include "host/stream_share.h"

#define TICK_MS 250
#define GOODBYE_MS 150 /* for the last words to those who asked */

typedef struct share_stream {
    session s;
    const cmd_args *args;
    kith_stream_share *serve;
    offer *offer; /* NULL: no code, or nobody needs it any more */
    kith_ticket ticket;
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX];
    char text[KITH_TICKET_TEXT_MAX + 1];
    kith_list joints;
    uv_timer_t timer;
    job *job;
    FILE *say; /* the code or ticket, and events */
    kith_peer_id peer;
    kith_time began, ends;
    uint64_t not_after;
    char path[SHARE_TEXT_MAX];
    bool both, leaving, moving, pq;
} share_stream;

bool share_stream_wanted(const cmd_args *args)
{
    return args->after_count == 0 && args->rest_count > 0 && strcmp(args->rest[0], "-") == 0;
}

/* ---- who may have it ---- */

static void say_way_in(const share_stream *c, const char *what, const char *text, const char *drawn)
{
    fprintf(stderr, "sharing stdin%s; on the other machine: kith get %s -o -%s\n",
            c->both ? ", both ways" : "", what, c->both ? " --both" : "");
    fprintf(c->say, "%s\n", text);
    fflush(c->say);
    if (cmd_has(c->args, "qr"))
        qr_print(drawn);
    if (isatty(STDIN_FILENO))
        fputs("reading from the terminal; Ctrl-D ends it\n", stderr);
}

static int say_ticket(share_stream *c)
{
    kith_wr w = kith_wr_of(kith_span_of(c->text, sizeof c->text - 1));
    kith_wr cap = kith_wr_of(kith_span_of(c->ticket.capability, sizeof c->ticket.capability));
    kith_capability limits = {.times = 1, .not_after = c->not_after};
    kith_err err = kith_stream_share_issue(c->serve, &limits, &cap);
    c->ticket.capability_len = cap.len;
    if (err || kith_ticket_text(&c->ticket, &w))
        return cmd_fail(EXIT_FAILED, "the ticket is too long");
    c->text[w.len] = 0;
    if (c->s.json)
        session_print_to(c->say, json_pack("{s:s, s:s, s:o, s:b}", "event", "ticket", "ticket", c->text,
                                           "peer", kith_json_peer(&c->ticket.peer), "both", c->both));
    else
        say_way_in(c, "TICKET", c->text, c->text);
    return EXIT_OK;
}

static kith_err admit_code(void *ctx, const kith_code_keys *keys)
{
    const share_stream *c = ctx;
    return kith_stream_share_code(c->serve, keys->tag, keys->secret, c->not_after);
}

static int say_code(share_stream *c)
{
    char text[KITH_CODE_TEXT_LEN + 1], words[KITH_CODE_WORDS_MAX + 1];
    c->offer = offer_new(&c->s, admit_code, c);
    if (!c->offer)
        return cmd_fail(EXIT_FAILED, "no memory");
    kith_code_text(offer_code(c->offer), text);
    kith_code_words(offer_code(c->offer), words);
    const char *shown = cmd_has(c->args, "words") ? words : text;
    if (c->s.json)
        session_print_to(c->say, json_pack("{s:s, s:s, s:s, s:b}", "event", "code", "code", text, "words",
                                           words, "both", c->both));
    else
        say_way_in(c, "CODE", shown, text);
    if (cmd_has(c->args, "copy") && !clip_copy(shown))
        cmd_warn("the code was not copied: there is no terminal");
    kith_wipe(text, sizeof text);
    kith_wipe(words, sizeof words);
    return EXIT_OK;
}

static void end_offer(share_stream *c)
{
    offer_end(c->offer);
    c->offer = NULL;
}

static void on_refused(void *ctx, const kith_peer_id *peer, const char *text)
{
    const share_stream *c = ctx;
    char id[KITH_PEER_ID_TEXT_MAX + 1];
    kith_peer_id_text(peer, id);
    if (!c->s.json)
        fprintf(stderr, "%s came and got nothing: %s\n", id, text);
}

/* ---- the stream ---- */

static void on_done(void *ctx, const kith_joint_end *how)
{
    share_stream *c = ctx;
    char text[256], sum[192];
    kith_time took = kith_host_now(c->s.host) - c->began;
    kith_share_fetch_why why = stream_io_why(how, "receiver", text);
    int code = c->s.interrupted ? EXIT_INTERRUPTED : get_result_code(why);
    c->moving = false;
    if (c->s.interrupted)
        (void)snprintf(text, sizeof text, "stopped before the end");
    if (how->local_err == UV_EPIPE && !text[0])
        (void)snprintf(text, sizeof text, "whoever reads our stdout had enough");
    job_remember(&c->s, &c->peer,
                 &(kith_share_past){.sent = true,
                                    .what = "-",
                                    .result = c->s.interrupted ? "stopped" : get_result_name(why),
                                    .path = c->path,
                                    .pq = c->pq,
                                    .bytes = how->sent,
                                    .seconds = (double)took / 1e9});
    if (c->s.json) {
        json_t *o = json_pack("{s:s, s:o, s:I, s:I, s:f, s:i}", "event", code ? "failed" : "done", "peer",
                              kith_json_peer(&c->peer), "sent", (json_int_t)how->sent, "received",
                              (json_int_t)how->received, "seconds", (double)took / 1e9, "code", code);
        if (text[0])
            json_object_set_new(o, "text", kith_json_text(text));
        session_print_to(c->say, o);
    } else if (code) {
        cmd_warn("%s", text);
    } else {
        fprintf(stderr, "delivered %s\n", stream_io_sum(how->sent, took, sum));
    }
    session_end(&c->s, code);
}

static void on_admitted(void *ctx, kith_stream *s, kith_pipe *p)
{
    share_stream *c = ctx;
    char id[KITH_PEER_ID_TEXT_MAX + 1], channel[2 * SHARE_TEXT_MAX];
    kith_conn *conn = kith_stream_conn(s);
    kith_conn_facts f;
    kith_conn_facts_get(conn, &f);
    c->peer = f.peer;
    kith_peer_id_text(&f.peer, id);
    (void)snprintf(c->path, sizeof c->path, "%s", share_text_path(conn));
    c->pq = f.suite && f.suite->kem != KITH_KEM_NONE;
    if (c->s.json) {
        json_t *o = json_pack("{s:s, s:s}", "event", "began", "peer", id);
        share_text_conn_json(o, conn);
        session_print_to(c->say, o);
    } else {
        fprintf(stderr, "sending to %s: %s, %s\n", id, share_text_path(conn),
                share_text_channel(conn, channel));
    }
    c->began = kith_host_now(c->s.host);
    c->moving = true;
    c->ends = 0;
    (void)stream_io_join(c->s.host, &c->joints, s, p, true, c->both, on_done, c);
}

/* ---- endings ---- */

static void leave(share_stream *c, int code);

static void on_timer(uv_timer_t *t)
{
    share_stream *c = t->data;
    if (c->leaving) {
        session_end(&c->s, c->s.code);
    } else if (c->moving || c->began) {
        end_offer(c); /* it is taken */
    } else if (c->offer && kith_stream_share_guesses(c->serve) >= KITH_CODE_GUESSES) {
        cmd_warn("the code is burnt: %d wrong guesses; share again for a new one", KITH_CODE_GUESSES);
        leave(c, EXIT_REFUSED);
    } else if (c->ends && kith_host_now(c->s.host) >= c->ends) {
        cmd_warn("its time is over, and nobody has fetched it");
        leave(c, EXIT_REFUSED);
    }
}

/* Nobody gets it any more. */
static void leave(share_stream *c, int code)
{
    if (c->leaving)
        return;
    c->leaving = true;
    c->s.code = code;
    end_offer(c);
    kith_stream_share_stop(c->serve);
    uv_timer_start(&c->timer, on_timer, GOODBYE_MS, 0);
}

static void on_interrupt(void *ctx)
{
    share_stream *c = ctx;
    if (c->moving)
        kith_joint_cancel_all(&c->joints);
    else
        leave(c, EXIT_INTERRUPTED);
}

static void on_stop(void *ctx)
{
    share_stream *c = ctx;
    end_offer(c);
    if (c->serve)
        kith_stream_share_stop(c->serve);
    kith_joint_cancel_all(&c->joints);
    uv_close((uv_handle_t *)&c->timer, NULL);
    job_close(c->job);
}

/* ---- what others see of it ---- */

static json_t *on_list_asked(void *ctx)
{
    const share_stream *c = ctx;
    return stream_io_list("share", c->moving, c->path, c->pq);
}

static const char *on_cancelled(void *ctx, uint64_t n)
{
    share_stream *c = ctx;
    if (n > 0)
        return "a stream has one receiver";
    c->s.interrupted = true;
    on_interrupt(c);
    return NULL;
}

static bool is_moving(const void *ctx)
{
    return ((const share_stream *)ctx)->moving;
}

static const job_ops ops = {
    .list = on_list_asked, .pause = stream_io_paused, .cancel = on_cancelled, .moving = is_moving};

/* ---- running ---- */

static int check_options(const cmd_args *args)
{
    static const char *const others[] = {"to",      "share-string", "once",   "times",
                                         "exclude", "exclude-from", "sha256", "blake3"};
    if (args->rest_count > 1)
        return cmd_fail(EXIT_USAGE, "share: - is shared alone; a file of that name is ./-");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (cmd_has(args, others[i]))
            return cmd_fail(EXIT_USAGE, "share: --%s is not for a stream, which one receiver gets, once",
                            others[i]);
    }
    if (cmd_has(args, "ticket") && (cmd_has(args, "words") || cmd_has(args, "copy")))
        return cmd_fail(EXIT_USAGE, "share: --words and --copy are about a code, and --ticket asks for none");
    return EXIT_OK;
}

static int serve(share_stream *c)
{
    size_t count;
    int code = listen_as_configured(&c->s, LISTEN_WELL_KNOWN, c->addrs, KITH_RECORD_ADDRS_MAX, &count);
    if (code)
        return code;
    c->ticket.peer = *kith_node_id(kith_host_node(c->s.host));
    if (c->s.config.node.pq != KITH_PQ_OFF) /* else this node proves no such key */
        c->ticket.pq = kith_pq_id_of_signer(c->s.pq_signer);
    ticket_add_addrs(&c->ticket, c->addrs, count);
    const kith_stream_share_config cfg = {.host = c->s.host,
                                          .signer = c->s.signer,
                                          .both = c->both,
                                          .admitted = on_admitted,
                                          .refused = on_refused,
                                          .ctx = c};
    c->serve = kith_stream_share_new(&cfg);
    if (!c->serve)
        return cmd_fail(EXIT_FAILED, "no memory");
    return cmd_has(c->args, "ticket") ? say_ticket(c) : say_code(c);
}

int share_stream_run(const cmd_args *args)
{
    static share_stream c; /* addresses make it large */
    kith_time t;
    int code = check_options(args);
    if (code)
        return code;
    if (!cmd_duration(args, "for", 0, KITH_SEC(365 * 86400), &t))
        return EXIT_USAGE;
    c.args = args;
    c.both = cmd_has(args, "both");
    c.say = c.both ? stderr : stdout; /* which is the stream's then */
    if (c.both && stream_io_refuses(args))
        return EXIT_USAGE;
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
    c.not_after = t ? (uint64_t)time(NULL) + t / KITH_SEC(1) : 0;
    c.ends = t ? kith_host_now(c.s.host) + t : 0;
    uv_timer_init(kith_host_loop(c.s.host), &c.timer);
    c.timer.data = &c;
    c.job = job_open(&c.s, args, true, &ops, &c, &code);
    if (!code)
        code = serve(&c);
    if (code)
        session_end(&c.s, code);
    else
        uv_timer_start(&c.timer, on_timer, TICK_MS, TICK_MS);
    code = session_run(&c.s);
    kith_stream_share_free(c.serve);
    kith_wipe(&c.ticket, sizeof c.ticket);
    return code;
}
