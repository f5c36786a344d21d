/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith share: serves files and folders to whoever has the code or the ticket. */
#include "host/share_serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apps/share_ticket.h"
#include "cmd/child.h"
#include "cmd/clip.h"
#include "cmd/job.h"
#include "cmd/listen.h"
#include "cmd/offer.h"
#include "cmd/qr.h"
#include "cmd/session.h"
#include "cmd/share_exclude.h"
#include "cmd/share_issue.h"
#include "cmd/share_stream.h"
#include "cmd/share_text.h"
#include "cmd/sums.h"
#include "cmd/ticket_addrs.h"
#include "crypto/crypto.h"
#include "host/control.h"
#include "host/json.h"
#include "host/paths.h"
#include "host/share_note.h"
#include "host/share_string.h"
#include "host/trust_methods.h"

#define TICK_MS 250
#define GOODBYE_MS 150 /* for the last words to receivers */
#define TO_MAX 32      /* peers */
#define TELL_AGAIN_MS 30000
#define TELL_TTL "24h" /* that the running node keeps trying */

/* A peer that the share is for: it gets a message with the ticket, which admits nobody else. */
typedef struct guest {
    child c; /* first, so that it leads here */
    uv_timer_t again;
    struct share *share;
    kith_peer_id peer;
    const char *name; /* as given */
    bool told, complained, timer_open;
} guest;

typedef struct share {
    session s;
    kith_share_src *src;
    kith_share_serve *serve;
    kith_shared *shared;
    uv_timer_t timer;
    kith_ticket ticket;
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX]; /* without /p2p, the best first */
    size_t addr_count;
    char text[KITH_TICKET_TEXT_MAX + 1]; /* of the ticket */
    offer *offer;                        /* NULL: no code, or it is burnt */
    bool qr, words, copy, tty, walked, hashed, leaving, paused;
    bool open;          /* what lets others in has been said */
    uint64_t not_after; /* seconds since 1970, of --for; 0: until Ctrl-C */
    kith_time ends;     /* the same for our clock */
    bool with_code, with_string;
    unsigned long long times;
    uint64_t delivered;
    const cmd_args *args;
    char what[SHARE_TEXT_NAME_MAX]; /* names of what is shared */
    job *job;
    guest guests[TO_MAX];
    size_t guest_count;
    sums_kind sum;
    sums *sums; /* that are being said */
} share;

static bool lines(const share *c)
{
    return c->tty && !c->s.json;
}

/* ---- the ticket ---- */

static void say_json_ticket(const share *c, const char *text)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1], addr[KITH_MADDR_TEXT_MAX + 1];
    json_t *list = json_array();
    kith_peer_id_text(&c->ticket.peer, peer);
    for (size_t i = 0; i < c->ticket.addr_count; i++) {
        kith_maddr_text(&c->ticket.addrs[i], addr);
        json_array_append_new(list, json_string(addr));
    }
    session_print(
        json_pack("{s:s, s:s, s:s, s:o}", "event", "ticket", "ticket", text, "peer", peer, "addrs", list));
}

static void tell_guests(share *c);

static void say_json_id(const share *c)
{
    char id[2 * KITH_BLAKE3_LEN + 1];
    kith_wr w = kith_wr_of(kith_span_of(id, sizeof id - 1));
    kith_put_hex(&w, kith_bytes_of(kith_shared_id(c->shared), KITH_BLAKE3_LEN));
    id[w.len] = 0;
    session_print(json_pack("{s:s, s:s}", "event", "hashed", "share", id));
}

static void say_how_long(const share *c)
{
    fprintf(stderr, "serving until Ctrl-C%s\n",
            c->times == 1 ? ", or until it was fetched once"
            : c->times    ? ", or until it is used up"
                          : "");
}

/* "2 files and 1 folder, 30.5 MiB (3 left out)"; before all is found: "1000 files and folders so far, 5 GiB". */
static const char *what_is_shared(const share *c, char out[4 * SHARE_TEXT_MAX])
{
    char size[SHARE_TEXT_MAX], counts[SHARE_TEXT_MAX];
    uint64_t bytes;
    size_t files, dirs, links;
    const kith_share_src_progress p = kith_share_src_progress_of(c->src);
    kith_share_src_counts(c->src, &bytes, &files, &dirs, &links);
    if (!c->walked)
        (void)snprintf(out, 4 * SHARE_TEXT_MAX, "%llu files and folders so far, %s",
                       (unsigned long long)p.entries, share_text_size(p.bytes, size));
    else if (p.excluded > 0)
        (void)snprintf(out, 4 * SHARE_TEXT_MAX, "%s, %s (%llu left out)",
                       share_text_counts(files, dirs, links, counts), share_text_size(bytes, size),
                       (unsigned long long)p.excluded);
    else
        (void)snprintf(out, 4 * SHARE_TEXT_MAX, "%s, %s", share_text_counts(files, dirs, links, counts),
                       share_text_size(bytes, size));
    return out;
}

/* Everything is found, after others were let in. */
static void say_walked(const share *c)
{
    char text[4 * SHARE_TEXT_MAX];
    if (!c->s.json)
        fprintf(stderr, "all found: %s\n", what_is_shared(c, text));
}

static void say_json_walked(const share *c)
{
    uint64_t bytes;
    size_t files, dirs, links;
    kith_share_src_counts(c->src, &bytes, &files, &dirs, &links);
    session_print(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "event", "walked", "files", (json_int_t)files,
                            "folders", (json_int_t)dirs, "links", (json_int_t)links, "bytes",
                            (json_int_t)bytes, "left_out",
                            (json_int_t)kith_share_src_progress_of(c->src).excluded));
}

/* What is shared, and what to type elsewhere to have it; drawn: as a QR code. */
static void say_way_in(share *c, const char *what, const char *text, const char *drawn)
{
    char shared[4 * SHARE_TEXT_MAX];
    fprintf(stderr, "sharing %s; on the other machine: kith get %s\n", what_is_shared(c, shared), what);
    puts(text);
    if (c->qr)
        qr_print(drawn);
    if (fflush(stdout) && errno != EPIPE) /* a reader that has the first line may go */
        session_end(&c->s, cmd_fail(EXIT_DISK, "the %s cannot be printed: %s", what, strerror(errno)));
    else
        say_how_long(c);
}

static void say_ticket(share *c)
{
    char *text = c->text, shared[4 * SHARE_TEXT_MAX];
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof c->text - 1));
    kith_wr cap = kith_wr_of(kith_span_of(c->ticket.capability, sizeof c->ticket.capability));
    kith_capability limits = {.times = c->times, .not_after = c->not_after};
    kith_err err = kith_shared_issue(c->shared, &limits, &cap);
    c->ticket.capability_len = cap.len;
    if (err || kith_ticket_text(&c->ticket, &w)) {
        session_end(&c->s, cmd_fail(EXIT_FAILED, "the ticket is too long"));
        return;
    }
    text[w.len] = 0;
    if (c->s.json)
        say_json_ticket(c, c->guest_count ? "" : text);
    if (c->guest_count > 0) {
        if (!c->s.json)
            fprintf(stderr, "sharing %s, until Ctrl-C\n", what_is_shared(c, shared));
        tell_guests(c);
        return;
    }
    if (!c->s.json)
        say_way_in(c, "TICKET", text, text);
}

/* The same in the form of other programs. Its key admits, by the proof of a code. */
static void say_string(share *c)
{
    static char text[KITH_SHARE_STRING_MAX + 1];
    uint8_t tag[KITH_PAKE_TAG_LEN], secret[KITH_PAKE_SECRET_LEN];
    const kith_rand os = kith_random_os();
    kith_code name;
    kith_share_string s = {.peer = c->ticket.peer, .addr_count = c->ticket.addr_count};
    memcpy(s.addrs, c->ticket.addrs, sizeof s.addrs);
    os.fn(os.ctx, kith_span_of(s.key, sizeof s.key));
    kith_code_draw(kith_host_env(), &name);
    kith_code_text(&name, s.code);
    kith_share_string_proof(&s, tag, secret);
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text - 1));
    kith_err err = kith_share_string_put(&s, &w);
    if (!err)
        err = kith_shared_code(c->shared, tag, secret, c->times, c->not_after);
    kith_wipe(&s, sizeof s);
    kith_wipe(secret, sizeof secret);
    if (err) {
        session_end(&c->s, cmd_fail(EXIT_FAILED, "there is no share string: %s", kith_err_text(err)));
        return;
    }
    text[w.len] = 0;
    if (c->s.json)
        session_print(json_pack("{s:s, s:s}", "event", "share_string", "share_string", text));
    else
        say_way_in(c, "STRING", text, text);
    kith_wipe(text, sizeof text);
}

/* ---- the code ---- */

static void say_code(share *c)
{
    char text[KITH_CODE_TEXT_LEN + 1], words[KITH_CODE_WORDS_MAX + 1];
    kith_code_text(offer_code(c->offer), text);
    kith_code_words(offer_code(c->offer), words);
    if (c->s.json) {
        session_print(json_pack("{s:s, s:s, s:s}", "event", "code", "code", text, "words", words));
    } else {
        say_way_in(c, "CODE", c->words ? words : text, text);
    }
    if (c->copy && !clip_copy(c->words ? words : text))
        cmd_warn("the code was not copied: there is no terminal");
    kith_wipe(text, sizeof text);
    kith_wipe(words, sizeof words);
}

static kith_err admit(void *ctx, const kith_code_keys *keys)
{
    const share *c = ctx;
    return kith_shared_code(c->shared, keys->tag, keys->secret, c->times, c->not_after);
}

static bool draw_code(share *c)
{
    c->offer = offer_new(&c->s, admit, c);
    if (c->offer)
        say_code(c);
    return c->offer != NULL;
}

/* Whoever still has it cannot use it any more. */
static void burn(share *c)
{
    offer_end(c->offer);
    c->offer = NULL;
    if (c->s.json)
        session_print(json_pack("{s:s}", "event", "burnt"));
    else
        cmd_warn("the code is burnt: %d wrong guesses; share again for a new one", KITH_CODE_GUESSES);
}

/* ---- events ---- */

static const char *who(const kith_share_session *s, char out[KITH_PEER_ID_TEXT_MAX + 1])
{
    kith_peer_id_text(&s->peer, out);
    return out;
}

static json_t *event_json(const char *name, const kith_share_session *s)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1];
    json_t *o =
        json_pack("{s:s, s:I, s:s}", "event", name, "transfer", (json_int_t)s->id, "peer", who(s, peer));
    share_text_conn_json(o, s->conn);
    return o;
}

static void on_began(const kith_share_session *s, bool json)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1], channel[2 * SHARE_TEXT_MAX], addr[KITH_MADDR_TEXT_MAX + 1];
    kith_conn_facts f;
    if (json) {
        session_print(event_json("transfer_began", s));
        return;
    }
    kith_conn_facts_get(s->conn, &f);
    kith_maddr_text(&f.remote, addr);
    fprintf(stderr, "%llu: sending to %s at %s: %s, %s\n", (unsigned long long)s->id, who(s, peer), addr,
            share_text_path(s->conn), share_text_channel(s->conn, channel));
}

static void remember(const share *c, const kith_share_session *s, uint64_t files, uint64_t bytes,
                     const char *result)
{
    kith_conn_facts f = {0};
    if (s->conn)
        kith_conn_facts_get(s->conn, &f);
    job_remember(&c->s, &s->peer,
                 &(kith_share_past){.sent = true,
                                    .what = c->what,
                                    .result = result,
                                    .path = s->conn ? share_text_path(s->conn) : "",
                                    .pq = f.suite && f.suite->kem != KITH_KEM_NONE,
                                    .files = files,
                                    .bytes = bytes,
                                    .seconds = (double)(kith_host_now(c->s.host) - s->began) / 1e9});
}

static void on_done(share *c, const kith_share_serve_event *ev)
{
    const kith_share_session *s = ev->session;
    kith_time t = kith_host_now(c->s.host) - s->began;
    char size[SHARE_TEXT_MAX], speed[SHARE_TEXT_MAX], counts[SHARE_TEXT_MAX], took[SHARE_TEXT_MAX];
    c->delivered++;
    remember(c, s, ev->files, ev->bytes, "ok");
    if (c->s.json) {
        json_t *o = event_json("transfer_done", s);
        json_object_set_new(o, "files", json_integer((json_int_t)ev->files));
        json_object_set_new(o, "bytes", json_integer((json_int_t)ev->bytes));
        json_object_set_new(o, "seconds", json_real((double)t / 1e9));
        session_print(o);
        return;
    }
    fprintf(stderr, "%llu: delivered %s, %s in %s, %s\n", (unsigned long long)s->id,
            share_text_counts(ev->files, 0, 0, counts), share_text_size(ev->bytes, size),
            share_text_time(t, took), share_text_speed(s->bytes, t, speed));
}

static void on_ended(const share *c, const kith_share_serve_event *ev)
{
    const kith_share_session *s = ev->session;
    char peer[KITH_PEER_ID_TEXT_MAX + 1];
    if (s->id > 0)
        remember(c, s, s->files, s->bytes, ev->text);
    if (c->s.json) {
        json_t *o = event_json("transfer_ended", s);
        json_object_set_new(o, "bytes", json_integer((json_int_t)s->bytes));
        json_object_set_new(o, "text", kith_json_text(ev->text));
        session_print(o);
    } else if (s->id > 0) {
        fprintf(stderr, "%llu: not delivered: %s\n", (unsigned long long)s->id, ev->text);
    } else {
        fprintf(stderr, "%s came and got nothing: %s\n", who(s, peer), ev->text);
    }
}

static void leave(share *c, int code);

static void on_summed(void *ctx)
{
    ((share *)ctx)->sums = NULL;
}

static void on_hashed(share *c)
{
    c->hashed = true;
    if (c->s.json)
        say_json_id(c);
    if (!c->sum)
        return;
    c->sums = sums_of_share(&c->s, c->src, c->sum, on_summed, c);
    if (!c->sums)
        cmd_warn("no memory for the sums");
}

/* Says what lets others in. */
static void open_up(share *c)
{
    c->open = true;
    if (lines(c))
        share_text_clear();
    if (c->with_string)
        say_string(c);
    else if (!c->with_code || c->s.json)
        say_ticket(c);
    if (c->with_code && !draw_code(c))
        session_end(&c->s, cmd_fail(EXIT_FAILED, "no memory"));
}

static void on_event(void *ctx, const kith_share_serve_event *ev)
{
    share *c = ctx;
    if (lines(c))
        share_text_clear();
    switch (ev->kind) {
    case KITH_SHARE_SERVE_WARNING:
        cmd_warn("%s", ev->text);
        break;
    case KITH_SHARE_SERVE_WALKED:
        c->walked = true;
        if (c->open)
            say_walked(c);
        else
            open_up(c);
        if (c->s.json)
            say_json_walked(c);
        break;
    case KITH_SHARE_SERVE_HASHED:
        on_hashed(c);
        break;
    case KITH_SHARE_SERVE_FAILED:
        session_end(&c->s, cmd_fail(EXIT_FAILED, "%s", ev->text));
        break;
    case KITH_SHARE_SERVE_BEGAN:
        on_began(ev->session, c->s.json);
        break;
    case KITH_SHARE_SERVE_DONE:
        on_done(c, ev);
        break;
    case KITH_SHARE_SERVE_ENDED:
        on_ended(c, ev);
        break;
    case KITH_SHARE_SERVE_USED_UP:
        leave(c, EXIT_OK);
        break;
    }
}

/* ---- the line that moves ---- */

static void show_progress(const share *c)
{
    char done[SHARE_TEXT_MAX], all[SHARE_TEXT_MAX], speed[SHARE_TEXT_MAX];
    const kith_share_src_progress p = kith_share_src_progress_of(c->src);
    const uint64_t hashed = p.hashed, total = p.bytes;
    size_t n = 0;
    const kith_share_session *last = NULL;
    for (kith_share_session *s = NULL; (s = kith_share_serve_next(c->serve, s)) != NULL; n++)
        last = s;
    if (!p.walked)
        share_text_line("looking: %llu files and folders, %s", (unsigned long long)p.entries,
                        share_text_size(total, all));
    else if (!last && !c->hashed)
        share_text_line("reading %s of %s", share_text_size(hashed, done), share_text_size(total, all));
    if (!last)
        return;
    kith_time t = kith_host_now(c->s.host) - last->began;
    share_text_line("%llu: %s of %s, %s, %s%s", (unsigned long long)last->id,
                    share_text_size(last->bytes, done), share_text_size(total, all),
                    share_text_speed(last->bytes, t, speed), share_text_path(last->conn),
                    n > 1 ? " (and others)" : "");
}

/* Nobody new is let in; who is here gets what is left. */
static void expire(share *c)
{
    offer_end(c->offer);
    c->offer = NULL;
    if (kith_share_serve_next(c->serve, NULL))
        return;
    if (lines(c))
        share_text_clear();
    if (!c->s.json)
        fprintf(stderr, "its time is over; fetched %llu time%s\n", (unsigned long long)c->delivered,
                c->delivered == 1 ? "" : "s");
    leave(c, EXIT_OK);
}

static void on_timer(uv_timer_t *t)
{
    share *c = t->data;
    if (c->offer && kith_shared_guesses(c->shared) >= KITH_CODE_GUESSES)
        burn(c);
    if (c->leaving && c->sums)
        uv_timer_start(t, on_timer, GOODBYE_MS, 0); /* they are said before we go */
    else if (c->leaving)
        session_end(&c->s, c->s.code);
    else if (c->ends && kith_host_now(c->s.host) >= c->ends)
        expire(c);
    else if (!c->open && c->guest_count == 0 && !kith_host_stopping(c->s.host))
        open_up(c); /* it takes long to find everything: nobody has to wait for that */
    else if (lines(c))
        show_progress(c);
}

/* Tells the receivers, then ends. */
static void leave(share *c, int code)
{
    if (c->leaving)
        return;
    c->leaving = true;
    c->s.code = code;
    kith_share_serve_stop(c->serve);
    uv_timer_start(&c->timer, on_timer, GOODBYE_MS, 0);
}

static void on_interrupt(void *ctx)
{
    share *c = ctx;
    if (lines(c))
        share_text_clear();
    if (!c->s.json)
        fprintf(stderr, "stopped; fetched %llu time%s\n", (unsigned long long)c->delivered,
                c->delivered == 1 ? "" : "s");
    if (c->sums)
        sums_stop(c->sums);
    leave(c, EXIT_OK);
}

static void on_stop(void *ctx)
{
    share *c = ctx;
    if (c->sums)
        sums_stop(c->sums);
    offer_end(c->offer);
    c->offer = NULL;
    if (c->serve)
        kith_share_serve_stop(c->serve);
    uv_close((uv_handle_t *)&c->timer, NULL);
    job_close(c->job);
    for (size_t i = 0; i < c->guest_count; i++) {
        child_interrupt(&c->guests[i].c);
        if (c->guests[i].timer_open)
            uv_close((uv_handle_t *)&c->guests[i].again, NULL);
        c->guests[i].timer_open = false;
    }
}

/* ---- those whom it is for ---- */

static bool may_have(void *ctx, const kith_peer_id *peer)
{
    const share *c = ctx;
    for (size_t i = 0; i < c->guest_count; i++) {
        if (kith_peer_id_eq(&c->guests[i].peer, peer))
            return true;
    }
    return false;
}

static void tell_guest(guest *g);

static void on_again(uv_timer_t *t)
{
    tell_guest(t->data);
}

static void on_told(child *ch, const json_t *o)
{
    guest *g = KITH_OF(ch, guest, c);
    const char *state = json_string_value(json_object_get(o, "state"));
    bool kept = state && strcmp(state, "kept") == 0;
    g->told = kept || (state && strcmp(state, "delivered") == 0);
    if (!g->told)
        return;
    if (g->share->s.json)
        session_print(json_pack("{s:s, s:o, s:s, s:s}", "event", "offered", "peer", kith_json_peer(&g->peer),
                                "name", job_name(&g->share->s, &g->peer), "state", state));
    else
        fprintf(stderr, "%s %s\n", g->name, kept ? "is told as soon as it can be reached" : "is told");
}

static void on_teller_ended(child *ch, int code)
{
    guest *g = KITH_OF(ch, guest, c);
    (void)code;
    if (g->told || !g->timer_open)
        return;
    if (!g->complained && !g->share->s.json)
        fprintf(stderr, "%s cannot be told now; trying again every half minute\n", g->name);
    g->complained = true;
    uv_timer_start(&g->again, on_again, TELL_AGAIN_MS, 0);
}

/* By a 'kith message' of its own: the running node takes it and keeps it; without one a node for the purpose tries now. */
static void tell_guest(guest *g)
{
    share *c = g->share;
    char path[KITH_PATH_MAX], peer[KITH_PEER_ID_TEXT_MAX + 1];
    kith_share_note n = {0};
    size_t files, dirs, links;
    kith_share_src_counts(c->src, &n.bytes, &files, &dirs, &links);
    n.files = files;
    n.folders = dirs;
    n.links = links;
    snprintf(n.ticket, sizeof n.ticket, "%s", c->text);
    snprintf(n.what, sizeof n.what, "%s", c->what);
    char *text = kith_share_note_text(&n);
    kith_peer_id_text(&g->peer, peer);
    int fd = kith_path(KITH_PLACE_STATE, "control.sock", path) ? kith_control_connect(path) : -1;
    const char *argv[CHILD_ARGS_MAX] = {
        NULL,    "message", peer,    "--content", "-", "--msg-type", KITH_SHARE_NOTE_TYPE,
        "--ttl", TELL_TTL,  "--json"};
    argv[10] = NULL;
    if (fd >= 0)
        close(fd);
    else
        child_pass_on(c->args, argv, 10);
    g->c = (child){.line = on_told, .ended = on_teller_ended, .quiet = true};
    child_start(&g->c, kith_host_loop(c->s.host), argv, text ? text : "");
    free(text);
}

static void tell_guests(share *c)
{
    for (size_t i = 0; i < c->guest_count; i++)
        tell_guest(&c->guests[i]);
}

static int read_guests(share *c)
{
    size_t at = 0;
    for (const char *name; (name = cmd_next_value(c->args, "to", &at));) {
        if (c->guest_count == TO_MAX)
            return cmd_fail(EXIT_USAGE, "share: %d peers at most", TO_MAX);
        guest *g = &c->guests[c->guest_count];
        *g = (guest){.share = c, .name = name};
        if (!kith_trust_resolve(c->s.trust, name, &g->peer))
            return cmd_fail(
                EXIT_USAGE,
                "share: '%.64s' is neither a peer id nor the name of a known peer; see 'kith trust list'",
                name);
        uv_timer_init(kith_host_loop(c->s.host), &g->again);
        g->again.data = g;
        g->timer_open = true;
        c->guest_count++;
    }
    return EXIT_OK;
}

/* ---- what others see of it ---- */

/* "us", "receiver", or "": nobody. */
static const char *paused_by(const share *c, const kith_share_session *s)
{
    return c->paused || s->paused ? "us" : s->paused_by_peer ? "receiver" : "";
}

static json_t *transfers_json(share *c, uint64_t total)
{
    json_t *list = json_array();
    for (kith_share_session *s = NULL; c->serve && (s = kith_share_serve_next(c->serve, s)) != NULL;) {
        kith_time t = kith_host_now(c->s.host) - s->began;
        json_t *o = json_pack("{s:o, s:o, s:s, s:I, s:I, s:f, s:f, s:b, s:s}", "id",
                              json_sprintf("%ld.%llu", (long)getpid(), (unsigned long long)s->id), "peer",
                              kith_json_peer(&s->peer), "name", job_name(&c->s, &s->peer), "bytes",
                              (json_int_t)s->bytes, "total", (json_int_t)total, "bytes_per_second",
                              t ? (double)s->bytes * 1e9 / (double)t : 0.0, "seconds", (double)t / 1e9,
                              "paused", (int)(*paused_by(c, s) != 0), "paused_by", paused_by(c, s));
        share_text_conn_json(o, s->conn);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *on_list_asked(void *ctx)
{
    share *c = ctx;
    uint64_t bytes = 0;
    size_t files = 0, dirs = 0, links = 0;
    if (c->serve) /* else it is ending, and has let go of its files */
        kith_share_src_counts(c->src, &bytes, &files, &dirs, &links);
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "kind", "share", "what", c->what, "state",
        c->leaving  ? "stopping"
        : c->paused ? "paused"
        : c->hashed ? "serving"
                    : "hashing",
        "files", (json_int_t)files, "folders", (json_int_t)dirs, "links", (json_int_t)links, "total",
        (json_int_t)bytes, "delivered", (json_int_t)c->delivered, "transfers", transfers_json(c, bytes));
    return o;
}

static const char nobody[] = "nobody of that number is fetching";

static kith_share_session *session_of(const share *c, uint64_t n)
{
    kith_share_session *s = NULL;
    do
        s = c->serve ? kith_share_serve_next(c->serve, s) : NULL;
    while (s && s->id != n);
    return s;
}

static const char *on_cancelled(void *ctx, uint64_t n)
{
    share *c = ctx;
    if (n == 0) {
        if (c->serve)
            on_interrupt(c);
        return NULL;
    }
    kith_share_session *s = session_of(c, n);
    if (!s)
        return nobody;
    remember(c, s, s->files, s->bytes, "stopped");
    kith_share_session_stop(s);
    return NULL;
}

static const char *on_paused(void *ctx, uint64_t n, bool on)
{
    share *c = ctx;
    kith_share_session *s = n ? session_of(c, n) : NULL;
    if (n && !s)
        return nobody;
    if (s)
        kith_share_session_pause(s, on);
    else if (c->shared)
        kith_shared_pause(c->shared, on);
    c->paused = n ? c->paused : on;
    return NULL;
}

static bool is_moving(const void *ctx)
{
    const share *c = ctx;
    return c->serve && kith_share_serve_next(c->serve, NULL) != NULL;
}

static json_t *on_ticket_asked(void *ctx, const json_t *params, const char **why)
{
    const share *c = ctx;
    *why = "it is ending";
    return c->shared && !c->leaving ? share_issue(c->shared, &c->ticket, c->not_after, params, why) : NULL;
}

static const job_ops ops = {.list = on_list_asked,
                            .pause = on_paused,
                            .cancel = on_cancelled,
                            .moving = is_moving,
                            .ticket = on_ticket_asked};

/* "holiday, report.pdf". */
static void name_it(share *c)
{
    const cmd_args *a = c->args;
    bool more = true;
    for (size_t i = 0; i < a->rest_count && more; i++)
        more = share_text_add_base(a->rest[i], c->what);
    for (size_t i = 0; i < a->after_count && more; i++)
        more = share_text_add_base(a->after[i], c->what);
}

/* ---- running ---- */

/* Where hashes are kept between runs, and while we run. Both can be done without. */
static kith_share_src *new_src(const share *c, const share_exclude *exclude)
{
    char dir[KITH_PATH_MAX];
    kith_share_src_config cfg = {.exclude = exclude->patterns, .exclude_count = exclude->count};
    if (c->s.config.share_cache > 0 && kith_path_make(KITH_PLACE_CACHE) == 0 &&
        kith_path(KITH_PLACE_CACHE, "", dir)) {
        cfg.cache = kith_hash_cache_open(dir, c->s.config.share_cache);
        if (cfg.cache)
            cfg.scratch = dir;
        else
            cmd_warn("cannot use the cache of hashes in %s: %s; everything is read anew", dir,
                     strerror(errno));
    }
    return kith_share_src_new(&cfg);
}

static int collect(share *c, const cmd_args *args)
{
    char why[KITH_SHARE_SRC_WHY_MAX];
    share_exclude exclude = {0};
    int code = share_exclude_read(args, &exclude);
    if (!code)
        c->src = new_src(c, &exclude);
    share_exclude_free(&exclude);
    if (code)
        return code;
    kith_err e = c->src ? KITH_OK : KITH_ENOMEM;
    why[0] = 0;
    for (size_t i = 0; i < args->rest_count && !e; i++)
        e = kith_share_src_add(c->src, args->rest[i], why);
    for (size_t i = 0; i < args->after_count && !e; i++)
        e = kith_share_src_add(c->src, args->after[i], why);
    if (!e)
        e = kith_share_src_begin(c->src, why);
    if (!e)
        return EXIT_OK;
    kith_share_src_free(c->src);
    return cmd_fail(EXIT_FAILED, "%s", why[0] ? why : "no memory");
}

static int serve(share *c)
{
    int code =
        listen_as_configured(&c->s, LISTEN_WELL_KNOWN, c->addrs, KITH_RECORD_ADDRS_MAX, &c->addr_count);
    if (code) {
        kith_share_src_free(c->src);
        return code;
    }
    c->ticket.peer = *kith_node_id(kith_host_node(c->s.host));
    if (c->s.config.node.pq != KITH_PQ_OFF) /* else this node proves no such key */
        c->ticket.pq = kith_pq_id_of_signer(c->s.pq_signer);
    ticket_add_addrs(&c->ticket, c->addrs, c->addr_count);
    const kith_share_serve_config cfg = {
        .host = c->s.host,
        .signer = c->s.signer,
        .event = on_event,
        .ctx = c,
    };
    c->serve = kith_share_serve_new(&cfg);
    if (!c->serve) {
        kith_share_src_free(c->src);
        return cmd_fail(EXIT_FAILED, "no memory");
    }
    const kith_shared_config shared = {
        .src = c->src, .times = c->times, .may = c->guest_count > 0 ? may_have : NULL, .ctx = c};
    c->shared = kith_share_serve_add(c->serve, &shared);
    if (!c->shared)
        return cmd_fail(EXIT_FAILED, "no memory");
    return EXIT_OK;
}

static int run(const cmd_args *args)
{
    static share c; /* addresses make it large */
    c.args = args;
    if (share_stream_wanted(args))
        return share_stream_run(args);
    if (cmd_has(args, "both") || cmd_has(args, "force"))
        return cmd_fail(EXIT_USAGE, "share: --both and --force are for 'kith share -'");
    if (cmd_has(args, "nice"))
        job_nice(&c.s);
    c.qr = cmd_has(args, "qr");
    c.words = cmd_has(args, "words");
    c.copy = cmd_has(args, "copy");
    if (args->rest_count + args->after_count == 0)
        return cmd_fail(EXIT_USAGE, "share: say which files or folders to share");
    if (cmd_has(args, "ticket") && (c.words || c.copy))
        return cmd_fail(EXIT_USAGE, "share: --words and --copy are about a code, and --ticket asks for none");
    if (cmd_has(args, "share-string") &&
        (cmd_has(args, "ticket") || cmd_has(args, "to") || c.words || c.copy))
        return cmd_fail(EXIT_USAGE, "share: --share-string goes without --ticket, --to, --words and --copy");
    if (cmd_has(args, "to") && (c.qr || c.words || c.copy))
        return cmd_fail(EXIT_USAGE,
                        "share: --to prints nothing to pass on: it goes without --words, --copy and --qr");
    if (cmd_has(args, "once") && cmd_has(args, "times"))
        return cmd_fail(EXIT_USAGE, "share: give either --once or --times");
    if (!cmd_number(args, "times", cmd_has(args, "once"), 1, 1ull << 32, &c.times))
        return EXIT_USAGE;
    kith_time t;
    if (!cmd_duration(args, "for", 0, KITH_SEC(365 * 86400), &t))
        return EXIT_USAGE;
    int code = sums_read_options(args, &c.sum);
    if (!code)
        code = session_start(&c.s, args);
    if (code)
        return code;
    session_open_book(&c.s);
    c.tty = share_text_moves();
    c.s.on_stop = on_stop;
    c.s.on_interrupt = on_interrupt;
    c.s.ctx = &c;
    uv_timer_init(kith_host_loop(c.s.host), &c.timer);
    c.timer.data = &c;
    name_it(&c);
    code = read_guests(&c);
    if (!code)
        c.job = job_open(&c.s, args, true, &ops, &c, &code);
    if (!code)
        code = collect(&c, args);
    c.with_string = cmd_has(args, "share-string");
    c.with_code = !c.with_string && !cmd_has(args, "ticket") && c.guest_count == 0;
    c.not_after = t ? (uint64_t)time(NULL) + t / KITH_SEC(1) : 0;
    c.ends = t ? kith_host_now(c.s.host) + t : 0;
    if (!code)
        code = serve(&c);
    if (code)
        session_end(&c.s, code);
    else
        uv_timer_start(&c.timer, on_timer, TICK_MS, TICK_MS);
    code = session_run(&c.s);
    kith_share_serve_free(c.serve);
    kith_wipe(&c.ticket, sizeof c.ticket);
    return code;
}

static const cmd_option options[] = {
    {.name = "words", .help = "print the code as six words, to be said"},
    {.name = "copy", .letter = 'c', .help = "also put the code into the terminal's clipboard (OSC 52)"},
    {.name = "ticket", .help = "print a ticket instead of a code: long, and found without any search"},
    {.name = "share-string", .help = "print a share string instead: a ticket as base64 of JSON"},
    {.name = "qr", .help = "also draw the code, or the ticket, as a QR code"},
    {.name = "once", .help = "stop when it was fetched once"},
    {.name = "times", .arg = "N", .help = "stop when it was fetched N times"},
    {.name = "for",
     .arg = "TIME",
     .help = "let nobody in any more after so long, such as 2h or 90m, and stop"},
    {.name = "exclude",
     .arg = "PATTERN",
     .many = true,
     .help = "leave out what matches, such as '*.o' or 'build/', unread; may be given again"},
    {.name = "exclude-from",
     .arg = "FILE",
     .many = true,
     .help = "the same with the patterns of a file, one a line; # begins a comment"},
    {.name = "sha256", .help = "also print the SHA-256 of each file, as sha256sum does"},
    {.name = "blake3", .help = "also print the BLAKE3 hash of each file, as b3sum does"},
    {.name = "to",
     .arg = "NAME",
     .help = "for a known peer, who is told: no ticket; may be given several times",
     .many = true},
    {.name = "limit",
     .arg = "UP/DOWN",
     .help = "bytes a second at most, such as 5M/ (see 'kith help transfers')"},
    {.name = "nice", .help = "give way to everything else: processor, disk and network"},
    {.name = "both", .help = "with -: also write what the receiver sends to stdout"},
    {.name = "force", .help = "with --both: even when stdout is a terminal"},
    {.name = "json", .help = "print one event per line; the first are the ticket and the code"},
    {0},
};

const cmd cmd_share = {
    .name = "share",
    .summary = "share files and folders with whoever has the code",
    .usage =
        "PATH... [--words | --ticket | --share-string | --to NAME...] [-c] [--qr] [--once | --times N]\n"
        "             [--exclude PATTERN]... [--exclude-from FILE]...\n"
        "             [--for TIME] [--sha256 | --blake3] [--limit UP/DOWN] [--nice] [--json]\n"
        "       kith share - [--both] [--words | --ticket] [-c] [--qr] [--for TIME] [--limit UP/DOWN] [--nice] [--json]",
    .about =
        "Prints a code to stdout at once, reads the files to hash them and serves until Ctrl-C; a receiver that comes\n"
        "early waits. Whoever has the code can fetch everything with 'kith get CODE' while this command runs. Half of\n"
        "the code finds this node, on the local network and by the DHT; the other half proves to both ends that nobody\n"
        "sits between. Three wrong guesses burn it. With --ticket there is a ticket instead, which holds our peer id, our\n"
        "addresses and what admits to this share, signed by us: treat it like a key.\n"
        "With --to nothing is printed: the ticket goes to a known peer as a message, and admits nobody else. 'kith inbox --allow US'\n"
        "at the other end fetches it unattended. While this runs 'kith transfers' shows, limits and ends it.\n"
        "With - stdin is shared as it comes, to the first who has the code, for 'kith get CODE -o -'; it ends when stdin does.",
    .examples = "  kith share holiday/\n"
                "  kith share holiday/ --words\n"
                "  kith share report.pdf photos/ --once --qr\n"
                "  kith share project --exclude build/ --exclude '*.o'\n"
                "  kith share --to alice holiday/ --limit 5M/\n"
                "  tar c photos | kith share -\n"
                "  kith share -- -odd-name-\n",
    .options = options,
    .node = true,
    .args_max = 4096,
    .run = run,
};
