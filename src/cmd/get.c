/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith get: fetches a share by its code or ticket. */
#include "host/share_fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "apps/share_stream.h"
#include "cmd/get_clash.h"
#include "cmd/get_code.h"
#include "cmd/get_list.h"
#include "cmd/get_options.h"
#include "cmd/get_result.h"
#include "cmd/get_stream.h"
#include "cmd/get_swarm.h"
#include "cmd/job.h"
#include "cmd/question.h"
#include "cmd/session.h"
#include "cmd/share_text.h"
#include "cmd/ticket_arg.h"
#include "crypto/crypto.h"
#include "host/json.h"
#include "host/paths.h"

#define TICK_MS 200
#define LINE_MAX_LEN 256
#define TRY KITH_SEC(20) /* from dialling one that may have it to its proof, or others get their turn */
#define OTHERS \
    KITH_SEC(2) /* that others may still be found, once one has the code's name and not its secret */

typedef struct get {
    session s;
    kith_ticket ticket;
    kith_share_fetch_config cfg;
    kith_share_fetch *fetch;
    kith_share_fetch *vain[GET_CODE_TRIES_MAX]; /* of peers that were not it */
    size_t vain_count;
    bool by_code, by_string;
    kith_share_string string; /* until its proof is made */
    kith_code code;
    kith_fetch_code proof;
    kith_code_source source; /* of whom is being tried */
    get_code *search;        /* NULL: not by a code, or over */
    kith_time give_up_at, try_until;
    kith_share_fetch_why why; /* of the refusal */
    kith_peer_id no_files;    /* the last that was found by the code's key and shares none; len 0: none was */
    char refusal[256], state[KITH_CODE_STATE_MAX + 1], from[KITH_PEER_ID_TEXT_MAX + 1];
    get_options o;
    bool tty, made_dest, ended;
    bool clashing; /* and the question is what to do about what is there already: */
    get_clash clash;
    char path[SHARE_TEXT_MAX], channel[2 * SHARE_TEXT_MAX];
    json_t *facts; /* of the connection, with --json */
    uv_timer_t timer;
    question question;
    kith_time line_at;
    uint64_t line_bytes;
    double rate; /* bytes per nanosecond, smoothed */
    job *job;
    get_swarm *swarm;               /* NULL: without --swarm */
    int result;                     /* once it stays for others: what it ends with */
    char what[SHARE_TEXT_NAME_MAX]; /* names of the top entries */
    bool pq, stopped, paused;
    sums *sums;                  /* NULL: none are wanted, or all are said */
    kith_time summing_from;      /* 0: not yet */
    kith_share_fetch_event last; /* that is told when they are said */
    char last_text[1024];
} get;

static bool lines(const get *c)
{
    return c->tty && !c->s.json;
}

/* ---- questions ---- */

static void on_answer(void *ctx, char first);

/* Asked already by what is printed. */
static void read_answer(get *c)
{
    if (!question_ask(&c->question, kith_host_loop(c->s.host), on_answer, c))
        kith_share_fetch_stop(c->fetch, "the terminal cannot be read; pass -y to accept without being asked");
}

static void ask_about_clash(get *c)
{
    c->clashing = get_clash_ask(&c->clash);
    if (c->clashing)
        read_answer(c);
    else
        kith_share_fetch_decided(c->fetch);
}

static void on_answer(void *ctx, char first)
{
    get *c = ctx;
    if (c->clashing) {
        c->clashing = false;
        if (get_clash_answer(&c->clash, first))
            ask_about_clash(c);
        else
            kith_share_fetch_stop(c->fetch, "not fetched; nothing was changed");
        return;
    }
    question_close(&c->question);
    if (first == '\n' || first == 'y' || first == 'Y')
        kith_share_fetch_accept(c->fetch);
    else
        kith_share_fetch_stop(c->fetch, "not fetched; nothing was written");
}

static void ask(get *c)
{
    fprintf(stderr, "fetch into %s? [Y/n] ", c->o.dest);
    read_answer(c);
}

/* ---- events ---- */

static void say_from(const get *c)
{
    fprintf(stderr, "from %s: %s, %s\n", c->from, c->path, c->channel);
}

static void on_connected(get *c, kith_conn *conn)
{
    kith_conn_facts facts;
    kith_conn_facts_get(conn, &facts);
    const kith_ticket *t = &c->ticket;
    for (size_t i = 0; i < c->o.also_count; i++)
        t = kith_peer_id_eq(&c->o.also[i].peer, &facts.peer) ? &c->o.also[i] : t;
    if (t->pq.len && !kith_pq_id_eq(&facts.pq.id, &t->pq)) { /* the pin could not be stored */
        kith_share_fetch_stop(c->fetch,
                              "the sharer does not prove the post-quantum key that the ticket names");
        return;
    }
    for (size_t i = 0; c->s.book && i < c->ticket.addr_count; i++)
        kith_book_note_addr(c->s.book, &c->ticket.peer, &c->ticket.addrs[i], KITH_BOOK_TICKET,
                            (uint64_t)time(NULL));
    (void)snprintf(c->path, sizeof c->path, "%s", share_text_path(conn));
    c->pq = facts.suite && facts.suite->kem != KITH_KEM_NONE;
    share_text_channel(conn, c->channel);
    if (c->s.json) {
        json_t *o = json_pack("{s:s}", "event", "connected");
        share_text_conn_json(o, conn);
        json_decref(c->facts); /* of one that was tried before */
        c->facts = json_incref(o);
        session_print(o);
        return;
    }
    session_peer_text(conn, c->from);
    if (!c->by_code) /* it may still not be the one */
        say_from(c);
}

/* The sharer has proved to have the code: no other is looked for. */
static void settle(get *c)
{
    if (!c->search)
        return;
    get_code_done(c->search);
    c->search = NULL;
    if (lines(c))
        share_text_clear();
    if (!c->s.json) {
        fprintf(stderr, "found %s; the code is right\n", kith_code_source_text(c->source));
        say_from(c);
    }
}

static void on_list(get *c)
{
    settle(c);
    get_list_names(kith_share_fetch_manifest(c->fetch), c->what);
    if (c->s.json)
        get_list_json(c->fetch);
    else
        get_list_print(c->fetch);
    if (c->o.sums)
        c->sums = sums_of_fetch(&c->s, c->fetch, c->o.dest, c->o.sums);
    if (c->o.sums && !c->sums)
        cmd_warn("no memory for the sums");
    if (c->o.yes)
        kith_share_fetch_accept(c->fetch);
    else
        ask(c);
}

static void say_end_json(const get *c, const kith_share_fetch_event *ev, uint64_t here, double seconds,
                         double transfer)
{
    static const char *const keys[] = {"addr", "path", "secure_channel", "pq"};
    json_t *o =
        json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:o, s:o}", "event",
                  ev->why ? "failed" : "done", "result", get_result_name(ev->why), "code",
                  c->s.interrupted || c->stopped ? EXIT_INTERRUPTED : get_result_code(ev->why), "files",
                  (json_int_t)ev->sum.files, "folders", (json_int_t)ev->sum.dirs, "links",
                  (json_int_t)ev->sum.links, "bytes", (json_int_t)ev->sum.bytes, "lost",
                  (json_int_t)ev->sum.lost, "equal", (json_int_t)ev->sum.equal, "kept", (json_int_t)ev->kept,
                  "here", (json_int_t)here, "seconds", seconds, "transfer_seconds", transfer,
                  "bytes_per_second", transfer > 0 ? (double)ev->sum.bytes / transfer : 0.0, "into",
                  kith_json_text(c->o.dest), "peer", kith_json_peer(&c->ticket.peer));
    for (size_t i = 0; c->facts && i < sizeof keys / sizeof keys[0]; i++)
        json_object_set(o, keys[i], json_object_get(c->facts, keys[i]));
    size_t receivers;
    json_object_set_new(o, "from", get_swarm_from(c->fetch));
    if (c->swarm)
        json_object_set_new(o, "given", json_integer((json_int_t)get_swarm_given(c->swarm, &receivers)));
    if (ev->text)
        json_object_set_new(o, "text", kith_json_text(ev->text));
    session_print(o);
}

/* What did not have to be fetched. */
static const char *before_text(uint64_t equal, uint64_t here, char out[2 * SHARE_TEXT_MAX])
{
    char size[SHARE_TEXT_MAX], n[SHARE_TEXT_MAX] = "", b[SHARE_TEXT_MAX] = "";
    if (equal > 0)
        (void)snprintf(n, sizeof n, "; %llu there already", (unsigned long long)equal);
    if (here > 0)
        (void)snprintf(b, sizeof b, "; %s of it from before", share_text_size(here, size));
    (void)snprintf(out, 2 * SHARE_TEXT_MAX, "%s%s", n, b);
    return out;
}

/* What the others did for us, and we for them. */
static void say_swarm(const get *c)
{
    char got[SHARE_TEXT_MAX], gave[SHARE_TEXT_MAX];
    size_t members, receivers;
    uint64_t n = get_swarm_got(c->fetch, &members);
    fprintf(stderr, "%s came from %zu other receiver%s, %s %s given to others\n", share_text_size(n, got),
            members, members == 1 ? "" : "s", share_text_size(get_swarm_given(c->swarm, &receivers), gave),
            c->o.seed ? "so far were" : "were");
}

/* All of it is here, and others may want it. */
static void seeded(void *ctx)
{
    get *c = ctx;
    char size[SHARE_TEXT_MAX];
    size_t receivers;
    uint64_t given = get_swarm_given(c->swarm, &receivers);
    if (c->s.json)
        session_print(json_pack("{s:s, s:I}", "event", "seeded", "given", (json_int_t)given));
    else
        fprintf(stderr, "%s given to others\n", share_text_size(given, size));
    get_swarm_stop(c->swarm);
    session_end(&c->s, c->result);
}

static void seed(get *c, int code)
{
    c->result = code;
    get_swarm_stay(c->swarm, c->o.seed, seeded, c);
    if (c->s.json)
        session_print(json_pack("{s:s}", "event", "seeding"));
    else
        fprintf(stderr, "giving it to others until %s\n",
                c->o.seed == KITH_NEVER ? "Ctrl-C" : "the time of --seed is over, or Ctrl-C");
}

/* Why it failed, what is there now (what was in place before stays there), and how to go on. */
static void say_why(const get *c, const kith_share_fetch_event *ev, bool began)
{
    char counts[SHARE_TEXT_MAX], size[SHARE_TEXT_MAX], in_place[SHARE_TEXT_MAX + 16] = "";
    bool elsewhere = strcmp(c->o.dest, ".") != 0;
    if (ev->sum.files + ev->sum.dirs + ev->sum.links > 0)
        (void)snprintf(in_place, sizeof in_place, "; in place: %s",
                       share_text_counts(ev->sum.files, ev->sum.dirs, ev->sum.links, counts));
    if (ev->why == KITH_FETCH_CHANGED || !began)
        cmd_warn("%s", ev->text);
    else if (ev->kept > 0)
        cmd_warn("%s%s; what came is kept (%s in %s/" KITH_SHARE_PARTIAL
                 "): the same 'kith get' goes on from there, 'kith get --discard%s%s' removes it",
                 ev->text, in_place, share_text_size(ev->kept, size), c->o.dest, elsewhere ? " -o " : "",
                 elsewhere ? c->o.dest : "");
    else
        cmd_warn("%s%s; nothing else is left behind", ev->text, in_place);
}

static void remember(const get *c, const kith_share_fetch_event *ev, uint64_t verified, double seconds)
{
    job_remember(
        &c->s, &c->ticket.peer,
        &(kith_share_past){.what = c->what,
                           .result = c->s.interrupted || c->stopped ? "stopped" : get_result_name(ev->why),
                           .path = c->path,
                           .into = c->o.dest,
                           .pq = c->pq,
                           .files = ev->sum.files,
                           .bytes = ev->why ? verified : ev->sum.bytes,
                           .seconds = seconds});
}

/* Ours, and empty. */
static void remove_dest(const get *c)
{
    if (c->made_dest)
        (void)rmdir(c->o.dest);
}

/* The peer that was tried by a code is not the sharer, or not there: others may be. False: that is the end. */
static bool on_vain(get *c, const kith_share_fetch_event *ev)
{
    bool wrong = ev->why == KITH_FETCH_WRONG_CODE || ev->why == KITH_FETCH_LATE,
         refused = wrong || ev->why == KITH_FETCH_REFUSED || ev->why == KITH_FETCH_NO_FILES ||
                   ev->why == KITH_FETCH_DAMAGED;
    if (!c->search || c->s.interrupted ||
        (!refused && ev->why != KITH_FETCH_UNREACHABLE && ev->why != KITH_FETCH_LOST &&
         ev->why != KITH_FETCH_DECLINED))
        return false;
    if (ev->conduct != KITH_CONDUCTS)
        job_leave_note(&c->ticket.peer, ev->conduct);
    if (wrong) {
        c->why = ev->why;
        (void)snprintf(c->refusal, sizeof c->refusal, "%s", ev->text);
        c->give_up_at = kith_time_min(c->give_up_at, kith_host_now(c->s.host) + OTHERS);
    }
    if (ev->why == KITH_FETCH_NO_FILES && (c->source == KITH_CODE_LAN || c->source == KITH_CODE_DHT))
        c->no_files = c->ticket.peer;
    c->vain[c->vain_count++] = c->fetch;
    c->fetch = NULL;
    get_code_next(c->search, refused, ev->why == KITH_FETCH_REFUSED);
    return true;
}

static void finish(get *c, const kith_share_fetch_event *ev)
{
    kith_share_fetch_progress p = {0};
    char size[SHARE_TEXT_MAX], speed[SHARE_TEXT_MAX], counts[SHARE_TEXT_MAX], before[2 * SHARE_TEXT_MAX];
    if (c->fetch)
        kith_share_fetch_progress_get(c->fetch, &p);
    /* what the person waited for, until everything was in place; and of it the transfer alone */
    kith_time now = c->summing_from ? c->summing_from : kith_host_now(c->s.host),
              took = p.began ? now - p.began : 0;
    kith_time transfer = p.ended ? p.ended - p.began : took;
    c->ended = true;
    if (p.began)
        remember(c, ev, p.verified - p.here, (double)took / 1e9);
    if (ev->conduct != KITH_CONDUCTS)
        job_leave_note(&c->ticket.peer, ev->conduct);
    question_close(&c->question);
    if (c->s.json) {
        say_end_json(c, ev, p.here, (double)took / 1e9, (double)transfer / 1e9);
    } else {
        bool none = ev->sum.files + ev->sum.dirs + ev->sum.links == 0;
        FILE *out =
            c->summing_from ? stderr : stdout; /* behind sums it would be one more line to be checked */
        if (!ev->why && none && ev->sum.equal > 0)
            fprintf(out, "everything is in %s already: nothing was fetched\n", c->o.dest);
        else if (!ev->why || ev->why == KITH_FETCH_CHANGED)
            fprintf(out, "%s, %s into %s in %.2f s (transfer %.2f s, %s), %s, %s%s\n",
                    share_text_counts(ev->sum.files, ev->sum.dirs, ev->sum.links, counts),
                    share_text_size(ev->sum.bytes, size), c->o.dest, (double)took / 1e9,
                    (double)transfer / 1e9, share_text_speed(p.verified - p.here, transfer, speed), c->path,
                    c->channel, before_text(ev->sum.equal, p.here, before));
        session_flush(stdout);
        if (ev->why)
            say_why(c, ev, p.began > 0);
        if (c->swarm && !ev->why)
            say_swarm(c);
    }
    if (ev->kept == 0 && ev->sum.files + ev->sum.dirs + ev->sum.links == 0)
        remove_dest(c);
    if (c->o.seed && (!ev->why || ev->why == KITH_FETCH_CHANGED)) {
        seed(c, get_result_code(ev->why));
        return;
    }
    get_swarm_stop(c->swarm);
    session_end(&c->s, c->s.interrupted || c->stopped ? EXIT_INTERRUPTED : get_result_code(ev->why));
}

static void on_summed(void *ctx)
{
    get *c = ctx;
    c->sums = NULL;
    if (!kith_host_stopping(c->s.host))
        finish(c, &c->last);
}

static void on_end(get *c, const kith_share_fetch_event *ev)
{
    if (on_vain(c, ev))
        return;
    if (!c->sums || c->s.interrupted || (ev->why && ev->why != KITH_FETCH_CHANGED)) {
        finish(c, ev);
        return;
    }
    c->ended = true;
    c->last = *ev;
    if (ev->text) {
        (void)snprintf(c->last_text, sizeof c->last_text, "%s", ev->text);
        c->last.text = c->last_text;
    }
    c->summing_from = kith_host_now(c->s.host);
    if (sums_start(c->sums, on_summed, c))
        return;
    cmd_warn("no memory for the sums");
    on_summed(c);
}

/* The end where there is no fetch, or not one any more. */
static void fail(get *c, kith_share_fetch_why why, const char *text)
{
    get_code_done(c->search);
    c->search = NULL;
    if (lines(c))
        share_text_clear();
    on_end(c, &(kith_share_fetch_event){
                  .kind = KITH_FETCH_END, .why = why, .text = text, .conduct = KITH_CONDUCTS});
}

static void on_wait(get *c, const kith_share_fetch_event *ev)
{
    char done[SHARE_TEXT_MAX], all[SHARE_TEXT_MAX];
    settle(c);
    if (c->s.json)
        session_print(json_pack("{s:s, s:I, s:I}", "event", "waiting", "hashed", (json_int_t)ev->done,
                                "total", (json_int_t)ev->total));
    else if (lines(c))
        share_text_line("waiting for the sharer, which has read %s of %s", share_text_size(ev->done, done),
                        share_text_size(ev->total, all));
}

/* One more gives some of it, or one less. */
static void on_source(const get *c, const kith_share_fetch_event *ev)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1];
    bool lost = ev->kind == KITH_FETCH_SOURCE_LOST;
    kith_peer_id_text(ev->peer, peer);
    if (c->s.json)
        session_print(json_pack("{s:s, s:s, s:b, s:s?}", "event", lost ? "source_lost" : "source", "peer",
                                peer, "member", (int)ev->member, "text", lost ? ev->text : NULL));
    else if (ev->member && ev->conduct == KITH_CONDUCTS)
        ; /* others come and go */
    else if (lost)
        cmd_warn("%s gives nothing any more: %s", peer, ev->text);
    else if (strcmp(peer, c->from) != 0) /* else it was the first */
        fprintf(stderr, "also from %s: %s\n", peer, share_text_path(ev->conn));
    if (lost && ev->conduct != KITH_CONDUCTS)
        job_leave_note(ev->peer, ev->conduct);
}

static void on_event(void *ctx, const kith_share_fetch_event *ev)
{
    get *c = ctx;
    if (lines(c))
        share_text_clear();
    switch (ev->kind) {
    case KITH_FETCH_CONNECTED:
        on_connected(c, ev->conn);
        break;
    case KITH_FETCH_WAIT:
        on_wait(c, ev);
        break;
    case KITH_FETCH_CLASHES:
        settle(c);
        c->clash = (get_clash){.fetch = c->fetch, .dest = c->o.dest};
        ask_about_clash(c);
        break;
    case KITH_FETCH_LIST:
        on_list(c);
        break;
    case KITH_FETCH_SOURCE:
    case KITH_FETCH_SOURCE_LOST:
        on_source(c, ev);
        break;
    case KITH_FETCH_PAUSED:
        if (c->s.json)
            session_print(json_pack("{s:s}", "event", ev->done ? "paused" : "resumed"));
        else
            fprintf(stderr, "the sharer %s\n", ev->done ? "has paused" : "goes on");
        break;
    case KITH_FETCH_FILE_LOST: {
        const char *path = get_list_path(kith_share_fetch_manifest(c->fetch), ev->entry);
        if (c->sums)
            sums_lost(c->sums, ev->entry);
        if (c->s.json)
            session_print(json_pack("{s:s, s:o, s:s}", "event", "file_lost", "file", kith_json_text(path),
                                    "text", ev->text));
        else
            cmd_warn("'%s' cannot be fetched: %s", path, ev->text);
        break;
    }
    case KITH_FETCH_END:
        on_end(c, ev);
        break;
    }
}

/* ---- progress ---- */

static void give_up(get *c)
{
    static const char nobody[] =
        "nobody who has this code was found: is 'kith share' still running there, and the code a recent one? With "
        "'kith share --ticket' nobody needs to be found";
    if (c->refusal[0])
        fail(c, c->why, c->refusal);
    else
        fail(c, KITH_FETCH_UNREACHABLE, nobody);
}

/* Who has the code by its own word, and shares no files: what it does share may be known only now. Without the proof, which would take the stream, it is
 * a claim; so others may still be found. */
static void look_for_stream(get *c)
{
    static const char text[] =
        "this code is of a stream, not of files: take it with 'kith get CODE -o -' and say where it goes, "
        "such as '> FILE' or '| tar x'";
    const kith_conn *conn =
        c->no_files.len ? kith_node_conn_find(kith_host_node(c->s.host), &c->no_files) : NULL;
    if (!conn || c->refusal[0] || !kith_conn_supports(conn, kith_bytes_str(KITH_SHARE_STREAM_ID)))
        return;
    c->why = KITH_FETCH_NO_FILES;
    (void)snprintf(c->refusal, sizeof c->refusal, "%s", text);
    c->give_up_at = kith_time_min(c->give_up_at, kith_host_now(c->s.host) + OTHERS);
}

static void show_search(get *c)
{
    char now[KITH_CODE_STATE_MAX + 1];
    get_code_state(c->search, now);
    bool news = strcmp(now, c->state) != 0, first = !c->state[0];
    memcpy(c->state, now, sizeof now);
    if (c->s.json && news)
        session_print(json_pack("{s:s, s:s}", "event", "searching", "text", now));
    else if (c->tty && !c->s.json)
        share_text_line("%s", now);
    else if (first && !c->s.json)
        fprintf(stderr, "%s\n", now);
    look_for_stream(c);
    kith_time at = kith_host_now(c->s.host);
    const char *nowhere = get_code_nowhere(c->search);
    if (!c->fetch && nowhere && !c->refusal[0])
        fail(c, KITH_FETCH_UNREACHABLE, nowhere);
    else if (!c->fetch && at >= c->give_up_at)
        give_up(c);
    else if (c->fetch && at >= c->try_until)
        kith_share_fetch_stop(c->fetch, "it did not answer");
}

/* The bar takes what the rest leaves of the line. */
static void show_progress(const get *c, const kith_share_fetch_progress *p, size_t receivers)
{
    char done[SHARE_TEXT_MAX], all[SHARE_TEXT_MAX], speed[SHARE_TEXT_MAX], eta[SHARE_TEXT_MAX],
        bar[SHARE_TEXT_MAX], sources[SHARE_TEXT_MAX] = "", rest[LINE_MAX_LEN];
    double left = c->rate > 0 ? (double)(p->wanted - p->verified) / c->rate : 0;
    if (receivers > 0)
        (void)snprintf(sources, sizeof sources, "  from %zu, to %zu", p->sources, receivers);
    else if (p->sources > 1)
        (void)snprintf(sources, sizeof sources, "  %zu sources", p->sources);
    int n = snprintf(rest, sizeof rest, "%3.0f %%  %s of %s  %s  %s left%s  %s  %s",
                     p->wanted ? (double)p->verified * 100 / (double)p->wanted : 100.0,
                     share_text_size(p->verified, done), share_text_size(p->wanted, all),
                     share_text_speed((uint64_t)(c->rate * 1e9), KITH_SEC(1), speed),
                     c->rate > 0 ? share_text_time((kith_time)left, eta) : "?", sources, c->path,
                     c->pq ? "post-quantum" : "NOT post-quantum");
    size_t columns = share_text_columns(), used = n > 0 ? (size_t)n + 1 : 1;
    share_text_line("%s%s", share_text_bar(p->verified, p->wanted, columns > used ? columns - used : 0, bar),
                    rest);
}

static void on_timer(uv_timer_t *t)
{
    get *c = t->data;
    kith_share_fetch_progress p;
    char all[SHARE_TEXT_MAX];
    if (!c->ended && c->search)
        show_search(c);
    if (c->ended || !c->fetch)
        return;
    kith_share_fetch_progress_get(c->fetch, &p);
    if (!p.began) {
        if (lines(c) && !c->question.asked && p.hashed < p.to_hash)
            share_text_line("looking at what is there already: %3.0f %% of %s",
                            (double)p.hashed * 100 / (double)p.to_hash, share_text_size(p.to_hash, all));
        return;
    }
    kith_time now = kith_host_now(c->s.host);
    if (!c->line_at) {
        c->line_at = p.began;
        c->line_bytes = p.here;
    }
    if (now > c->line_at && p.verified >= c->line_bytes) {
        double r = (double)(p.verified - c->line_bytes) / (double)(now - c->line_at);
        c->rate = c->rate > 0 ? c->rate * 0.8 + r * 0.2 : r;
    }
    c->line_at = now;
    c->line_bytes = p.verified;
    size_t receivers;
    uint64_t given = get_swarm_given(c->swarm, &receivers);
    if (c->s.json) {
        session_print(json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:I, s:I}", "event", "progress", "bytes",
                                (json_int_t)p.verified, "here", (json_int_t)p.here, "total",
                                (json_int_t)p.wanted, "files", (json_int_t)p.files, "bytes_per_second",
                                c->rate * 1e9, "sources", (json_int_t)p.sources, "given", (json_int_t)given));
    } else if (c->tty) {
        if (p.ended) {
            share_text_line("putting everything into place");
            return;
        }
        show_progress(c, &p, receivers);
    }
}

static void on_interrupt(void *ctx)
{
    get *c = ctx;
    if (get_swarm_stays(c->swarm))
        seeded(c);
    else if (c->sums && c->summing_from)
        sums_stop(c->sums);
    else if (c->fetch)
        kith_share_fetch_stop(c->fetch, "stopped");
    else if (!c->ended)
        fail(c, KITH_FETCH_DECLINED, "stopped");
}

/* ---- what others see of it ---- */

/* "us", "sharer", or "": nobody. */
static const char *paused_by(const get *c, const kith_share_fetch_progress *p)
{
    return c->paused ? "us" : p->paused ? "sharer" : "";
}

static const char *state_of(const get *c, const kith_share_fetch_progress *p)
{
    return get_swarm_stays(c->swarm) ? "seeding"
           : c->ended                ? "ended"
           : p->ended                ? "placing"
           : p->began                ? *paused_by(c, p) ? "paused" : "fetching"
           : c->question.asked       ? "asking"
                                     : "connecting";
}

static json_t *on_list_asked(void *ctx)
{
    const get *c = ctx;
    kith_share_fetch_progress p = {0};
    const kith_manifest none = {0}, *m = &none;
    if (c->fetch) {
        kith_share_fetch_progress_get(c->fetch, &p);
        m = kith_share_fetch_manifest(c->fetch);
    }
    size_t receivers;
    uint64_t given = get_swarm_given(c->swarm, &receivers);
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:f, s:s, s:b, s:b, s:s, s:I, s:I, s:I}",
        "kind", "get", "what", *c->what ? c->what : "?", "state", state_of(c, &p), "peer",
        kith_json_peer(&c->ticket.peer), "name", job_name(&c->s, &c->ticket.peer), "into",
        kith_json_text(c->o.dest), "files", (json_int_t)m->files, "folders", (json_int_t)m->dirs, "links",
        (json_int_t)m->links, "bytes", (json_int_t)p.verified, "total", (json_int_t)p.wanted,
        "bytes_per_second", c->rate * 1e9, "path", c->path, "pq", (int)c->pq, "paused",
        (int)(*paused_by(c, &p) != 0), "paused_by", paused_by(c, &p), "sources", (json_int_t)p.sources,
        "receivers", (json_int_t)receivers, "given", (json_int_t)given);
}

static const char no_receivers[] = "it has no receivers";

static const char *on_cancelled(void *ctx, uint64_t n)
{
    get *c = ctx;
    if (n > 0)
        return no_receivers;
    c->stopped = true;
    if (get_swarm_stays(c->swarm))
        seeded(c);
    else if (c->sums && c->summing_from)
        sums_stop(c->sums);
    else if (c->fetch)
        kith_share_fetch_stop(c->fetch, "it was cancelled");
    else if (!c->ended)
        fail(c, KITH_FETCH_DECLINED, "it was cancelled");
    return NULL;
}

static const char *on_paused(void *ctx, uint64_t n, bool on)
{
    get *c = ctx;
    if (n > 0)
        return no_receivers;
    if (!c->fetch || c->ended)
        return "it has not begun to fetch, or has ended";
    c->paused = on;
    kith_share_fetch_pause(c->fetch, on);
    return NULL;
}

static bool is_moving(const void *ctx)
{
    const get *c = ctx;
    kith_share_fetch_progress p = {0};
    if (c->fetch)
        kith_share_fetch_progress_get(c->fetch, &p);
    return p.began && !p.ended && !c->ended && !*paused_by(c, &p);
}

static bool is_giving(const void *ctx)
{
    size_t receivers;
    (void)get_swarm_given(((const get *)ctx)->swarm, &receivers);
    return receivers > 0;
}

static const job_ops ops = {
    .list = on_list_asked, .pause = on_paused, .cancel = on_cancelled, .moving = is_moving};
static const job_ops swarm_ops = {.list = on_list_asked,
                                  .pause = on_paused,
                                  .cancel = on_cancelled,
                                  .moving = is_moving,
                                  .giving = is_giving};

static void on_stop(void *ctx)
{
    get *c = ctx;
    question_close(&c->question);
    get_code_done(c->search);
    c->search = NULL;
    if (c->sums && c->summing_from)
        sums_stop(c->sums);
    if (c->fetch && !c->ended) /* its timer must end before the loop does */
        kith_share_fetch_stop(c->fetch, "stopped");
    get_swarm_stop(c->swarm);
    job_close(c->job);
    uv_close((uv_handle_t *)&c->timer, NULL);
}

/* ---- running ---- */

static int make_dest(get *c)
{
    struct stat st;
    if (mkdir(c->o.dest, 0777) == 0) {
        c->made_dest = true;
        return EXIT_OK;
    }
    if (errno == EEXIST && stat(c->o.dest, &st) == 0 && S_ISDIR(st.st_mode))
        return EXIT_OK;
    return cmd_fail(errno == EEXIST ? EXIT_EXISTS : EXIT_DISK, "cannot use the folder '%s': %s", c->o.dest,
                    errno == EEXIST   ? "it is a file"
                    : errno == ENOENT ? "the folder above it is not there; make that first"
                                      : strerror(errno));
}

static void fetch(get *c)
{
    c->fetch = kith_share_fetch_new(&c->cfg);
    if (!c->fetch)
        session_end(&c->s, cmd_fail(EXIT_FAILED, "no memory"));
    for (size_t i = 0; c->fetch && i < c->o.also_count; i++) {
        kith_err e = kith_share_fetch_source(c->fetch, &c->o.also[i]);
        if (e)
            cmd_warn("one of the other tickets is not used: %s",
                     e == KITH_EEXISTS     ? "it is of the same peer as another one"
                     : e == KITH_ENOTFOUND ? "it has no address that kith can dial"
                                           : kith_err_text(e));
    }
}

static void on_pinned(void *ctx, kith_err err, const char *why)
{
    get *c = ctx;
    if (kith_host_stopping(c->s.host))
        return;
    if (err == KITH_EIO)
        cmd_warn("%s", why); /* the key that comes is compared with the ticket's all the same: on_connected */
    else if (err) {
        char text[512];
        (void)snprintf(text, sizeof text, "the ticket names another key than is known: %s", why);
        fail(c, KITH_FETCH_REFUSED, text);
    }
    if (!err || err == KITH_EIO)
        fetch(c);
}

/* The tickets' word about the sharers' keys counts before the first byte. */
static void pin_and_fetch(get *c)
{
    kith_trust_edit edits[KITH_FETCH_SOURCES_MAX];
    size_t n = 0;
    for (size_t i = 0; i <= c->o.also_count; i++) {
        const kith_ticket *t = i == 0 ? &c->ticket : &c->o.also[i - 1];
        if (t->pq.len)
            edits[n++] = (kith_trust_edit){.act = KITH_TRUST_PIN, .peer = t->peer, .pq = t->pq};
    }
    if (n == 0)
        fetch(c);
    else if (kith_trust_edit_all(c->s.trust, edits, n, on_pinned, c))
        session_end(&c->s, cmd_fail(EXIT_FAILED, "no memory"));
}

static void on_candidate(void *ctx, const kith_code_candidate *found, const kith_code_keys *keys)
{
    get *c = ctx;
    get_code_use(found, keys, &c->ticket, &c->proof);
    c->source = found->source;
    c->try_until = kith_host_now(c->s.host) + TRY;
    c->cfg.code = &c->proof;
    if (c->s.json)
        session_print(json_pack("{s:s, s:s, s:o}", "event", "candidate", "source",
                                kith_code_source_name(found->source), "peer", kith_json_peer(&found->peer)));
    fetch(c);
}

static void search(get *c, unsigned long long wait_s)
{
    c->give_up_at = kith_host_now(c->s.host) + KITH_SEC(wait_s);
    const kith_bytes protocols[2] = {kith_bytes_str(KITH_SHARE_ID)};
    c->search = get_code_new(&c->s, &c->code, protocols, !c->o.no_calls, on_candidate, c);
    kith_wipe(&c->code, sizeof c->code);
    if (!c->search)
        session_end(&c->s, cmd_fail(EXIT_FAILED, "no memory"));
}

static int read_what(get *c, const cmd_args *args)
{
    ticket_arg what;
    int code = ticket_arg_read(args, &what);
    c->by_code = what.kind == ARG_CODE;
    c->code = what.code;
    c->ticket = what.ticket;
    c->by_string = !code && what.kind == ARG_STRING;
    c->string = what.string;
    kith_wipe(&what, sizeof what);
    return code;
}

static int run(const cmd_args *args)
{
    static get c; /* addresses make it large */
    if (get_stream_wanted(args))
        return get_stream_run(args);
    if (cmd_has(args, "both") || cmd_has(args, "force"))
        return cmd_fail(EXIT_USAGE, "get: --both and --force go with -o -");
    int code = get_options_read(args, &c.o);
    if (code)
        return code;
    if (c.o.discard)
        return get_discard(c.o.dest);
    if (cmd_has(args, "nice"))
        job_nice(&c.s);
    code = read_what(&c, args);
    if (!code && c.by_code && c.o.also_count > 0)
        code = cmd_fail(EXIT_USAGE, "get: --also goes with a ticket, not with a code");
    if (!code)
        code = make_dest(&c);
    if (!code)
        code = session_start(&c.s, args);
    if (code) {
        remove_dest(&c);
        return code;
    }
    session_open_book(&c.s);
    c.tty = share_text_moves();
    c.s.on_stop = on_stop;
    c.s.on_interrupt = on_interrupt;
    c.s.ctx = &c;
    uv_timer_init(kith_host_loop(c.s.host), &c.timer);
    c.timer.data = &c;
    uv_timer_start(&c.timer, on_timer, TICK_MS, TICK_MS);
    if (c.by_string)
        kith_share_string_proof(&c.string, c.proof.tag, c.proof.secret);
    kith_wipe(&c.string, sizeof c.string);
    c.cfg = (kith_share_fetch_config){
        .host = c.s.host,
        .ticket = &c.ticket,
        .code = c.by_string ? &c.proof : NULL,
        .dest = c.o.dest,
        .clash = c.o.clash,
        .durability = c.o.durability,
        .select = c.o.select.only_count + c.o.select.exclude_count > 0 ? &c.o.select : NULL,
        .portable = c.o.portable,
        .event = on_event,
        .ctx = &c,
    };
    c.job = job_open(&c.s, args, false, c.o.swarm ? &swarm_ops : &ops, &c, &code);
    if (!code && c.o.swarm)
        c.swarm = get_swarm_new(&c.s, &code);
    if (c.swarm) {
        c.cfg.serve = get_swarm_serve(c.swarm);
    }
    if (code)
        session_end(&c.s, code);
    else if (c.by_code)
        search(&c, c.o.wait_s);
    else
        pin_and_fetch(&c);
    code = session_run(&c.s);
    sums_free(c.sums);
    get_swarm_free(c.swarm);
    kith_share_fetch_free(c.fetch);
    for (size_t i = 0; i < c.vain_count; i++)
        kith_share_fetch_free(c.vain[i]);
    kith_wipe(&c.proof, sizeof c.proof);
    json_decref(c.facts);
    kith_wipe(&c.ticket, sizeof c.ticket);
    kith_wipe(c.o.also, sizeof c.o.also);
    return session_printed(code);
}

static const cmd_option options[] = {
    {.name = "output",
     .letter = 'o',
     .arg = "DIR",
     .help =
         "folder to put it into (default: the current one; made when missing); - is stdout, for a stream or one file"},
    {.name = "yes", .letter = 'y', .help = "take it without being asked"},
    {.name = "overwrite", .help = "replace files that are there already"},
    {.name = "rename", .help = "give what clashes another name, like 'photos (2)'"},
    {.name = "ask",
     .help =
         "ask what to do about each thing that is there already, also with -y; without it, asked on a terminal"},
    {.name = "skip", .help = "keep files that are there already and fetch the others"},
    {.name = "only",
     .arg = "PATTERN",
     .many = true,
     .help = "fetch only what matches, like '*.pdf', 'photos/' or 'a/**/b'; may be given again"},
    {.name = "exclude", .arg = "PATTERN", .many = true, .help = "leave out what matches; may be given again"},
    {.name = "also",
     .arg = "TICKET",
     .many = true,
     .help = "fetch from this one too, who shares the same; may be given again"},
    {.name = "swarm", .help = "get parts from others who fetch the same, and give them what is here"},
    {.name = "seed",
     .arg = "TIME",
     .help = "with all of it here, go on giving so long, such as 10m, or 'on': until Ctrl-C (means --swarm)"},
    {.name = "durability",
     .arg = "HOW",
     .help = "none, batch (default) or strict: how much is paid so that a power cut loses little"},
    {.name = "sha256",
     .help = "also print the SHA-256 of each file when all are in place, as sha256sum does"},
    {.name = "blake3", .help = "the same with BLAKE3, as b3sum does: without reading them again"},
    {.name = "discard", .help = "remove the partial content of all shares in DIR"},
    {.name = "limit",
     .arg = "UP/DOWN",
     .help = "bytes a second at most, such as /5M (see 'kith help transfers')"},
    {.name = "wait", .arg = "SECONDS", .help = "look so long for who has the code (default: 120)"},
    {.name = "no-calls", .help = "do not call peers that are remembered to ask whether they have the code"},
    {.name = "code-fd", .arg = "N", .help = "read the code or ticket from this file descriptor"},
    {.name = "nice", .help = "give way to everything else: processor, disk and network"},
    {.name = "both", .help = "with -o -: also send stdin to the sharer, who must have said --both too"},
    {.name = "force", .help = "with -o -: even when stdout is a terminal"},
    {.name = "portable", .help = "refuse names that Windows or macOS could not hold"},
    {.name = "json", .help = "print one event per line; the last is done or failed"},
    {0},
};

const cmd cmd_get = {
    .name = "get",
    .summary = "fetch a share by its code or ticket",
    .usage =
        "[CODE | TICKET | STRING | -] [-o DIR] [-y] [--ask | --overwrite | --rename | --skip]\n"
        "           [--also TICKET]... [--swarm] [--seed TIME] [--only PATTERN]... [--exclude PATTERN]...\n"
        "           [--durability none|batch|strict] [--sha256 | --blake3] [--wait SECONDS] [--no-calls] [--code-fd N]\n"
        "           [--limit UP/DOWN] [--nice] [--portable] [--json]\n"
        "       kith get [CODE | TICKET | -] -o - [--both | --only PATTERN] [--wait SECONDS] [--no-calls] [--code-fd N] [--limit UP/DOWN]\n"
        "           [--nice] [--json]\n"
        "       kith get --discard [-o DIR]",
    .about =
        "Looks for the peer that has the code, on the local network, in the DHT and among the contacts that are\n"
        "remembered, which it calls; or connects to the one that the ticket names; shows what it offers and asks, then\n"
        "fetches. A code may be typed in small letters, with dashes or without, or as its six words. Without an argument\n"
        "it is read from --code-fd, from KITH_CODE, or asked for.\n"
        "Every block is checked against its file's hash before it is written, and everything is put into place only\n"
        "when all of it has come: until then it lies in DIR/.kith-partial. After a Ctrl-C, a crash or a lost connection\n"
        "the same command goes on from there. Files that are there already, just as they would come, are not fetched.\n"
        "Nothing that is there already is touched unless you say so, and what is overwritten is fetched only as far as\n"
        "it has changed. With - the ticket is read from stdin.\n"
        "With --swarm it helps others that do so too: the sharer tells them of each other, and each leaf is fetched from\n"
        "whoever has it. They see this peer's id and addresses. It ends with the fetch, or when --seed says.\n"
        "With -o - the stream of a 'kith share -', or the one file of a share, goes to stdout as it comes; nothing is kept.",
    .examples = "  kith get P7YE-G9L8-KD9V\n"
                "  kith get practice tower shy minimum provide model\n"
                "  kith get kith1CiYAJAgB...\n"
                "  kith get kith1CiYAJAgB... -o ~/Downloads -y\n"
                "  kith get kith1CiYAJAgB... --only 'photos/' --exclude '*.raw'\n"
                "  kith get P7YE-G9L8-KD9V -y --sha256 | sha256sum -c\n"
                "  kith get P7YE-G9L8-KD9V --seed 30m\n"
                "  kith get - -y < ticket.txt\n"
                "  kith get P7YE-G9L8-KD9V -o - | tar x\n"
                "  kith get --discard -o ~/Downloads\n",
    .options = options,
    .node = true,
    .args_max = 64,
    .run = run,
};
