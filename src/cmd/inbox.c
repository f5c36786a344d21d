/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith inbox: fetches what allowed peers share with this one, unattended. It listens and fetches by other commands of kith, each in a process of
 * its own: 'kith listen' tells of messages, and for each that is taken a 'kith get' runs. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/list.h"
#include "cmd/call.h"
#include "cmd/child.h"
#include "cmd/message.h"
#include "cmd/question.h"
#include "cmd/session.h"
#include "cmd/share_text.h"
#include "host/json.h"
#include "host/share_note.h"
#include "host/trust_methods.h"

#define ALLOWED_MAX 64
#define FETCHES_MAX 4   /* at once */
#define OFFERS_MAX 64   /* that wait, for a fetch or for an answer */
#define REMEMBERED 1024 /* messages, so that none is taken twice */
#define AGAIN_MS 2000   /* until 'kith listen' is started again */

typedef struct inbox inbox;

/* Something that a peer shares with us. */
typedef struct offer {
    kith_link link;
    char peer[KITH_PEER_ID_TEXT_MAX + 1], name[KITH_PEER_NAME_MAX + 1];
    kith_share_note note;
    bool asking; /* the person has not said yes yet */
} offer;

/* A fetch under way: child first, so that it leads here. */
typedef struct fetcher {
    child c;
    offer *offer;
} fetcher;

struct inbox {
    const cmd_args *args;
    uv_loop_t loop;
    uv_signal_t signals[3];
    uv_timer_t again;
    question question;
    bool json, once, ask, leaving, heard;
    kith_peer_id allowed[ALLOWED_MAX];
    size_t allowed_count;
    const char *dest;
    child listener;
    kith_list waiting; /* offers */
    size_t waiting_count, fetching;
    fetcher fetch[FETCHES_MAX];
    char seen[REMEMBERED][33];
    size_t seen_at;
    uint64_t listened; /* until this moment of the loop's */
    int code;
};

static void pump(inbox *b);

/* ---- saying what happens ---- */

static const char *who(const offer *o)
{
    return *o->name ? o->name : o->peer;
}

static json_t *event_json(const char *event, const offer *o)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "event", event, "peer", o->peer, "name",
                     o->name, "what", o->note.what, "files", (json_int_t)o->note.files, "folders",
                     (json_int_t)o->note.folders, "links", (json_int_t)o->note.links, "bytes",
                     (json_int_t)o->note.bytes);
}

static void say(const inbox *b, const char *event, const offer *o, const char *doing)
{
    char counts[SHARE_TEXT_MAX], size[SHARE_TEXT_MAX];
    if (b->json) {
        session_print(event_json(event, o));
        return;
    }
    printf("%s shares %s (%s, %s): %s\n", who(o), o->note.what,
           share_text_counts(o->note.files, o->note.folders, o->note.links, counts),
           share_text_size(o->note.bytes, size), doing);
    fflush(stdout);
}

/* peer, name and why are not to be trusted. */
static void say_refused(const inbox *b, const json_t *message, const char *why)
{
    if (b->json) {
        session_print(json_pack("{s:s, s:s, s:s, s:s}", "event", "share_refused", "peer",
                                call_text(message, "peer"), "name", call_text(message, "name"), "text", why));
        return;
    }
    fputs("refused a share of ", stdout);
    call_print(stdout, *call_text(message, "name") ? call_text(message, "name") : call_text(message, "peer"));
    printf(": %s\n", why);
    fflush(stdout);
}

/* ---- ending ---- */

static void leave(inbox *b, int code)
{
    if (b->leaving)
        return;
    b->leaving = true;
    b->code = code;
    for (kith_link *k; (k = kith_list_pop(&b->waiting));)
        free(KITH_OF(k, offer, link));
    child_interrupt(&b->listener);
    for (size_t i = 0; i < FETCHES_MAX; i++)
        child_interrupt(&b->fetch[i].c);
    for (int i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&b->signals[i], NULL);
    uv_close((uv_handle_t *)&b->again, NULL);
    question_close(&b->question);
}

static void on_signal(uv_signal_t *s, int number)
{
    (void)number;
    leave(s->data, EXIT_OK);
}

/* ---- fetching ---- */

static void on_got(child *c, const json_t *o)
{
    const inbox *b = c->ctx;
    const offer *f = KITH_OF(c, fetcher, c)->offer;
    const char *event = call_text(o, "event");
    bool done = strcmp(event, "done") == 0;
    if (!done && strcmp(event, "failed") != 0)
        return;
    if (b->json) {
        json_t *said = json_copy((json_t *)(uintptr_t)o);
        json_object_set_new(said, "event", json_string(done ? "share_done" : "share_failed"));
        json_object_set_new(said, "what", json_string(f->note.what));
        json_object_set_new(said, "name", json_string(f->name));
        session_print(said);
        return;
    }
    char counts[SHARE_TEXT_MAX], size[SHARE_TEXT_MAX];
    printf("%s of %s: ", f->note.what, who(f));
    if (done)
        printf("%s, %s into %s\n",
               share_text_counts((uint64_t)call_number(o, "files"), (uint64_t)call_number(o, "folders"),
                                 (uint64_t)call_number(o, "links"), counts),
               share_text_size((uint64_t)call_number(o, "bytes"), size), b->dest);
    else {
        fputs("not fetched: ", stdout);
        call_print(stdout, call_text(o, "text"));
        putchar('\n');
    }
    fflush(stdout);
}

static void on_fetch_ended(child *c, int code)
{
    inbox *b = c->ctx;
    fetcher *f = KITH_OF(c, fetcher, c);
    free(f->offer);
    f->offer = NULL;
    b->fetching--;
    if (b->leaving)
        return;
    if (b->once && code == EXIT_OK)
        leave(b, EXIT_OK);
    else
        pump(b);
}

static void fetch(inbox *b, fetcher *f, offer *o)
{
    const char *argv[CHILD_ARGS_MAX] = {NULL, "get", "-", "-y", "--rename", "--json", "-o", b->dest};
    child_pass_on(b->args, argv, 8);
    f->c = (child){.line = on_got, .ended = on_fetch_ended, .ctx = b};
    f->offer = o;
    b->fetching++;
    child_start(&f->c, &b->loop, argv, o->note.ticket);
}

static void ask_next(inbox *b);

static void pump(inbox *b)
{
    for (size_t i = 0; i < FETCHES_MAX && !b->leaving; i++) {
        offer *next = NULL;
        KITH_EACH (&b->waiting, k) {
            offer *o = KITH_OF(k, offer, link);
            if (!o->asking && !next)
                next = o;
        }
        if (!next)
            break;
        if (b->fetch[i].c.running)
            continue;
        kith_link_remove(&next->link);
        b->waiting_count--;
        fetch(b, &b->fetch[i], next);
    }
    ask_next(b);
}

/* ---- asking ---- */

static offer *asked(inbox *b)
{
    KITH_EACH (&b->waiting, k) {
        if (KITH_OF(k, offer, link)->asking)
            return KITH_OF(k, offer, link);
    }
    return NULL;
}

static void on_answer(void *ctx, char first)
{
    inbox *b = ctx;
    offer *o = asked(b);
    if (!o)
        return;
    o->asking = false;
    if (first != 'y' && first != 'Y') {
        kith_link_remove(&o->link);
        b->waiting_count--;
        free(o);
    }
    pump(b);
}

static void ask_next(inbox *b)
{
    const offer *o = b->leaving || b->question.asked ? NULL : asked(b);
    char counts[SHARE_TEXT_MAX], size[SHARE_TEXT_MAX];
    if (!o)
        return;
    fprintf(stderr, "%s shares %s (%s, %s), and is not among those allowed. Fetch it? [y/N] ", who(o),
            o->note.what, share_text_counts(o->note.files, o->note.folders, o->note.links, counts),
            share_text_size(o->note.bytes, size));
    (void)question_ask(&b->question, &b->loop, on_answer, b);
}

/* ---- what comes ---- */

static bool seen_before(inbox *b, const char *id)
{
    for (size_t i = 0; i < REMEMBERED; i++) {
        if (strcmp(b->seen[i], id) == 0)
            return true;
    }
    snprintf(b->seen[b->seen_at], sizeof b->seen[0], "%s", id);
    b->seen_at = (b->seen_at + 1) % REMEMBERED;
    return false;
}

static bool is_allowed(const inbox *b, const kith_peer_id *peer)
{
    for (size_t i = 0; i < b->allowed_count; i++) {
        if (kith_peer_id_eq(&b->allowed[i], peer))
            return true;
    }
    return false;
}

static void on_message(inbox *b, const json_t *m)
{
    kith_peer_id from;
    kith_share_note note;
    const char *text = call_text(m, "text"), *peer = call_text(m, "peer"), *name = call_text(m, "name"), *why;
    if (strcmp(call_text(m, "type"), KITH_SHARE_NOTE_TYPE) != 0 || seen_before(b, call_text(m, "message")) ||
        kith_peer_id_from_text(kith_bytes_str(peer), &from))
        return;
    bool allowed = is_allowed(b, &from), known = *call_text(m, "trust") != '\0' && *name;
    if (!allowed && !(known && b->ask)) {
        say_refused(b, m, known ? "it is not among those allowed" : "nobody here knows it");
        return;
    }
    why = kith_share_note_parse(text, &from, &note);
    if (!why && b->waiting_count >= OFFERS_MAX)
        why = "too much is waiting already";
    offer *o = why ? NULL : calloc(1, sizeof *o);
    if (!o) {
        say_refused(b, m, why ? why : "no memory");
        return;
    }
    o->note = note;
    o->asking = !allowed;
    snprintf(o->peer, sizeof o->peer, "%s", peer);
    snprintf(o->name, sizeof o->name, "%s", name);
    kith_list_push(&b->waiting, &o->link);
    b->waiting_count++;
    if (allowed)
        say(b, "share_came", o, "fetching");
    pump(b);
}

static void on_listened(child *c, const json_t *o)
{
    inbox *b = c->ctx;
    b->listened = uv_now(&b->loop);
    if (strcmp(call_text(o, "event"), "message") == 0)
        on_message(b, o);
    else if (strcmp(call_text(o, "event"), "listening") == 0 && !b->heard) {
        b->heard = true;
        if (b->json)
            session_print(json_pack("{s:s, s:s}", "event", "listening", "peer", call_text(o, "peer")));
        else
            fprintf(stderr, "what allowed peers share comes into %s, until Ctrl-C\n", b->dest);
    }
}

static void listen_on(inbox *b, const char *since);

static void on_again(uv_timer_t *t)
{
    inbox *b = t->data;
    char since[32];
    snprintf(since, sizeof since, "%llus",
             (unsigned long long)((uv_now(&b->loop) - b->listened) / 1000 + 60));
    listen_on(b, since);
}

/* The node that it listened at has ended, or it could not begin. */
static void on_listener_ended(child *c, int code)
{
    inbox *b = c->ctx;
    if (b->leaving)
        return;
    if (!b->heard)
        leave(b, code ? code : EXIT_FAILED);
    else
        uv_timer_start(&b->again, on_again, AGAIN_MS, 0);
}

static void listen_on(inbox *b, const char *since)
{
    const char *argv[CHILD_ARGS_MAX] = {NULL, "listen", "--json", "--type", KITH_SHARE_NOTE_TYPE};
    size_t n = 5;
    if (since) {
        argv[n++] = "--since";
        argv[n++] = since;
    }
    child_pass_on(b->args, argv, n);
    b->listener = (child){.line = on_listened, .ended = on_listener_ended, .ctx = b};
    child_start(&b->listener, &b->loop, argv, NULL);
}

/* ---- running ---- */

static int read_allowed(inbox *b)
{
    int code = EXIT_OK;
    kith_trust *t = session_open_trust(&code);
    size_t at = 0;
    for (const char *name; t && !code && (name = cmd_next_value(b->args, "allow", &at));) {
        if (b->allowed_count == ALLOWED_MAX)
            code = cmd_fail(EXIT_USAGE, "inbox: %d peers can be allowed at most", ALLOWED_MAX);
        else if (!kith_trust_resolve(t, name, &b->allowed[b->allowed_count]))
            code = cmd_fail(
                EXIT_USAGE,
                "inbox: '%.64s' is neither a peer id nor the name of a known peer; see 'kith trust list'",
                name);
        else
            b->allowed_count++;
    }
    kith_trust_close(t);
    if (!code && b->allowed_count == 0 && !b->ask)
        code = cmd_fail(EXIT_USAGE, "inbox: say with --allow whose shares are to be fetched");
    return code;
}

static int run(const cmd_args *args)
{
    static inbox box; /* what it remembers makes it large */
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    inbox *b = &box;
    kith_time ago;
    const char *since = cmd_value(args, "since");
    b->args = args;
    b->json = cmd_has(args, "json");
    b->once = cmd_has(args, "once");
    b->ask = !b->json && isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    b->dest = cmd_has(args, "output") ? cmd_value(args, "output") : ".";
    if (since && strcmp(since, "all") != 0 && !message_duration(since, &ago))
        return cmd_fail(EXIT_USAGE, "--since: '%s' is neither a time such as 30m or 24h nor 'all'", since);
    int code = read_allowed(b);
    if (code)
        return code;
    struct stat st;
    if (mkdir(b->dest, 0777) && errno != EEXIST)
        return cmd_fail(EXIT_DISK, "cannot make the folder '%s': %s", b->dest,
                        errno == ENOENT ? "the folder above it is not there; make that first"
                                        : strerror(errno));
    if (stat(b->dest, &st) || !S_ISDIR(st.st_mode))
        return cmd_fail(EXIT_EXISTS, "cannot use the folder '%s': it is a file", b->dest);
    if (uv_loop_init(&b->loop))
        return cmd_fail(EXIT_FAILED, "no memory");
    signal(SIGPIPE, SIG_IGN);
    kith_list_init(&b->waiting);
    for (int i = 0; i < 3; i++) {
        uv_signal_init(&b->loop, &b->signals[i]);
        b->signals[i].data = b;
        uv_signal_start(&b->signals[i], on_signal, numbers[i]);
    }
    uv_timer_init(&b->loop, &b->again);
    b->again.data = b;
    listen_on(b, since);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    uv_loop_close(&b->loop);
    return b->code;
}

static const cmd_option options[] = {
    {.name = "allow",
     .arg = "NAME",
     .help = "a known peer whose shares are fetched; may be given several times",
     .many = true},
    {.name = "output",
     .letter = 'o',
     .arg = "DIR",
     .help = "folder to put everything into (default: the current one)"},
    {.name = "once", .help = "end when something was fetched"},
    {.name = "since", .arg = "TIME", .help = "first what was offered in the last 30m, 24h ..., or 'all'"},
    {.name = "json", .help = "print one event per line"},
    {0},
};

const cmd cmd_inbox = {
    .name = "inbox",
    .summary = "fetch what known peers share with this one, unattended",
    .usage = "--allow NAME... [-o DIR] [--once] [--since TIME] [--json]",
    .about =
        "Waits for what 'kith share --to' of allowed peers offers and fetches it into DIR, several things at once, until Ctrl-C. What\n"
        "clashes with something that is there comes under another name, and what cannot be fetched is told and does not end it.\n"
        "It listens through the running node ('kith up'), or by a node of its own. NAME is a peer id or a name of 'kith trust'.\n"
        "On a terminal it asks about known peers that are not allowed; what strangers offer is refused.",
    .examples = "  kith inbox --allow alice -o ~/in\n"
                "  kith inbox --allow alice --allow bob --since 24h --json\n",
    .options = options,
    .node = true,
    .run = run,
};
