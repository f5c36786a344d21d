/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith shares, kith transfers: what the processes of this home share and fetch, and steering them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/call.h"
#include "cmd/job.h"
#include "cmd/share_text.h"
#include "host/jobs.h"
#include "host/json.h"

#define ASK_MS 5000
#define HISTORY_SHOWN 20 /* to people */

/* ---- asking ---- */

typedef struct gathering {
    const char *kind; /* NULL: all */
    json_t *list;
} gathering;

static void on_job(void *ctx, long pid, bool up, int fd)
{
    gathering *g = ctx;
    (void)pid, (void)up;
    json_t *o = kith_jobs_ask(fd, "list", NULL, ASK_MS), *facts = json_object_get(o, "result");
    if (json_is_object(facts) && (!g->kind || strcmp(call_text(facts, "kind"), g->kind) == 0))
        json_array_append(g->list, facts);
    json_decref(o);
    close(fd);
}

/* A list of those of one kind; NULL: it has complained. */
static json_t *gather(const char *kind)
{
    char folder[KITH_PATH_MAX];
    gathering g = {.kind = kind, .list = json_array()};
    if (!job_folder(folder)) {
        cmd_warn("the state folder cannot be made: %s", strerror(errno));
        json_decref(g.list);
        return NULL;
    }
    (void)kith_jobs_each(folder, on_job, &g);
    return g.list;
}

/* ---- for people ---- */

static void print_peer(const json_t *o)
{
    call_print(stdout, *call_text(o, "name") ? call_text(o, "name") : call_text(o, "peer"));
}

/* " 40 %, 120.0 MiB of 300.0 MiB, 12 MB/s, lan, post-quantum" */
static void print_moving(const json_t *o)
{
    char done[SHARE_TEXT_MAX], all[SHARE_TEXT_MAX], speed[SHARE_TEXT_MAX];
    uint64_t bytes = (uint64_t)call_number(o, "bytes"), total = (uint64_t)call_number(o, "total");
    printf("  %3.0f %%  %s of %s  %s", total ? (double)bytes * 100 / (double)total : 100.0,
           share_text_size(bytes, done), share_text_size(total, all),
           share_text_speed((uint64_t)call_real(o, "bytes_per_second"), KITH_SEC(1), speed));
    const char *by = call_text(o, "paused_by");
    if (*by)
        fputs("  paused", stdout);
    if (*by && strcmp(by, "us") != 0)
        printf(" by the %s", by);
    if (*call_text(o, "path"))
        printf("  %s  %s", call_text(o, "path"), call_true(o, "pq") ? "post-quantum" : "NOT post-quantum");
    putchar('\n');
}

static void print_limits(const json_t *o)
{
    static const char *const ways[] = {"up", "down"};
    char name[16], text[SHARE_TEXT_MAX];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "limit_%s", ways[i]);
        if (call_number(o, name))
            printf("  limit %s %s/s", ways[i], share_text_size((uint64_t)call_number(o, name), text));
    }
}

static void print_stream(const json_t *o)
{
    char size[SHARE_TEXT_MAX];
    const uint64_t moved = (uint64_t)call_number(o, "moved_up") + (uint64_t)call_number(o, "moved_down");
    printf("%-8s %s a stream  %s, %s", call_text(o, "id"),
           strcmp(call_text(o, "kind"), "share") == 0 ? "shares" : "gets  ", call_text(o, "state"),
           share_text_size(moved, size));
    print_limits(o);
    if (*call_text(o, "path"))
        printf("  %s  %s", call_text(o, "path"), call_true(o, "pq") ? "post-quantum" : "NOT post-quantum");
    putchar('\n');
}

static void print_job(const json_t *o)
{
    if (call_true(o, "stream")) {
        print_stream(o);
        return;
    }
    char size[SHARE_TEXT_MAX], counts[SHARE_TEXT_MAX];
    bool shares = strcmp(call_text(o, "kind"), "share") == 0;
    printf("%-8s %s ", call_text(o, "id"), shares ? "shares" : "gets  ");
    call_print(stdout, call_text(o, "what"));
    if (!shares && *call_text(o, "peer")) {
        fputs(" from ", stdout);
        print_peer(o);
    }
    printf("  (%s, %s)  %s",
           share_text_counts((uint64_t)call_number(o, "files"), (uint64_t)call_number(o, "folders"),
                             (uint64_t)call_number(o, "links"), counts),
           share_text_size((uint64_t)call_number(o, "total"), size), call_text(o, "state"));
    if (shares)
        printf(", fetched %lld time%s", call_number(o, "delivered"),
               call_number(o, "delivered") == 1 ? "" : "s");
    else if (call_number(o, "sources") > 1 || call_number(o, "given") > 0)
        printf(", from %lld, to %lld (%s given)", call_number(o, "sources"), call_number(o, "receivers"),
               share_text_size((uint64_t)call_number(o, "given"), size));
    print_limits(o);
    if (!shares)
        print_moving(o);
    else
        putchar('\n');
    const json_t *list = json_object_get(o, "transfers");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *t = json_array_get(list, i);
        printf("%-8s   to ", call_text(t, "id"));
        print_peer(t);
        print_moving(t);
    }
}

static int show(const cmd_args *args, const char *kind, const char *name, const char *nothing)
{
    json_t *list = gather(kind);
    if (!list)
        return EXIT_DISK;
    if (cmd_has(args, "json")) {
        session_print(json_pack("{s:o}", name, list));
        return EXIT_OK;
    }
    for (size_t i = 0; i < json_array_size(list); i++)
        print_job(json_array_get(list, i));
    if (json_array_size(list) == 0)
        puts(nothing);
    json_decref(list);
    return EXIT_OK;
}

static int watch(const cmd_args *args)
{
    bool clear = !cmd_has(args, "json") && isatty(STDOUT_FILENO);
    for (;;) {
        if (clear)
            fputs("\033[H\033[J", stdout);
        int code = show(args, NULL, "transfers", "nothing is shared or fetched at the moment");
        fflush(stdout);
        if (code || ferror(stdout))
            return code;
        sleep(1);
    }
}

/* ---- steering ---- */

typedef struct order {
    long pid;
    long long n; /* 0: all of it */
    const char *method;
    json_t *params;
    json_t *answer;
    bool found;
} order;

static void on_ordered(void *ctx, long pid, bool up, int fd)
{
    order *o = ctx;
    (void)up;
    if (pid == o->pid && !o->found) {
        o->found = true;
        o->answer = kith_jobs_ask(fd, o->method, json_incref(o->params), ASK_MS);
    }
    close(fd);
}

/* "4711" or "4711.3". */
static bool read_id(const char *text, order *o)
{
    char *end;
    errno = 0;
    o->pid = strtol(text, &end, 10);
    o->n = 0;
    if (errno || *text < '1' || *text > '9')
        return false;
    if (*end == '\0')
        return true;
    if (*end != '.' || end[1] < '1' || end[1] > '9')
        return false;
    o->n = strtoll(end + 1, &end, 10);
    return errno == 0 && *end == '\0';
}

/* EXIT_OK: it is carried out, and what was said is o->answer. */
static int give(const char *id, order *o)
{
    char folder[KITH_PATH_MAX];
    if (o->n)
        json_object_set_new(o->params, "transfer", json_integer(o->n));
    if (job_folder(folder))
        (void)kith_jobs_each(folder, on_ordered, o);
    json_decref(o->params);
    const json_t *error = json_object_get(o->answer, "error");
    int code = EXIT_OK;
    if (!o->found)
        code = cmd_fail(EXIT_FAILED, "there is no transfer %s; 'kith transfers' lists them", id);
    else if (!o->answer)
        code = cmd_fail(EXIT_LOST, "transfer %s does not answer; it may have just ended", id);
    else if (error)
        code = cmd_fail(EXIT_FAILED, "transfer %s: %s", id, call_text(error, "message"));
    return code;
}

static int steer(const cmd_args *args)
{
    static const struct {
        const char *word, *method;
        size_t words;
    } orders[] = {
        {"pause", "pause", 2}, {"resume", "resume", 2}, {"cancel", "stop", 2}, {"limit", "limit", 3}};
    const size_t count = sizeof orders / sizeof *orders;
    const char *word = args->rest[0];
    order o = {0};
    size_t i = 0;
    while (i < count && strcmp(orders[i].word, word) != 0)
        i++;
    if (i == count)
        return cmd_fail(EXIT_USAGE, "transfers: there is no '%s'; it is pause, resume, cancel or limit",
                        word);
    if (args->rest_count != orders[i].words)
        return cmd_fail(EXIT_USAGE, "transfers %s: %s; see 'kith help transfers'", word,
                        args->rest_count < orders[i].words ? "something is missing" : "that is too much");
    if (!read_id(args->rest[1], &o))
        return cmd_fail(EXIT_USAGE, "transfers %s: '%.64s' is no id such as 4711 or 4711.2", word,
                        args->rest[1]);
    o.method = orders[i].method;
    o.params = json_object();
    if (orders[i].words == 3) {
        job_rates r;
        if (!job_rates_parse(args->rest[2], &r)) {
            json_decref(o.params);
            return EXIT_USAGE;
        }
        json_object_set_new(o.params, "up", json_integer((json_int_t)r.up));
        json_object_set_new(o.params, "down", json_integer((json_int_t)r.down));
    }
    int code = give(args->rest[1], &o);
    if (!code && cmd_has(args, "json"))
        call_print_json(json_object_get(o.answer, "result"));
    json_decref(o.answer);
    return code;
}

/* ---- tickets ---- */

static int ticket(const cmd_args *args)
{
    order o = {.method = "ticket"};
    unsigned long long times;
    kith_time t;
    size_t at = 0;
    if (strcmp(args->rest[0], "ticket") != 0)
        return cmd_fail(EXIT_USAGE, "shares: there is no '%.64s'; it is ticket", args->rest[0]);
    if (args->rest_count < 2)
        return cmd_fail(EXIT_USAGE, "shares ticket: of which share? 'kith shares' lists them");
    if (!read_id(args->rest[1], &o) || o.n)
        return cmd_fail(EXIT_USAGE, "shares ticket: '%.64s' is no id of a share such as 4711", args->rest[1]);
    if (!cmd_number(args, "times", 0, 1, UINT32_MAX, &times))
        return EXIT_USAGE;
    if (!cmd_duration(args, "for", 0, KITH_SEC(365 * 86400), &t))
        return EXIT_USAGE;
    json_t *only = json_array();
    for (const char *p; (p = cmd_next_value(args, "only", &at));)
        json_array_append_new(only, kith_json_text(p));
    o.params = json_pack("{s:o, s:I, s:I}", "only", only, "times", (json_int_t)times, "seconds",
                         (json_int_t)(t / KITH_SEC(1)));
    int code = give(args->rest[1], &o);
    const json_t *result = json_object_get(o.answer, "result");
    if (!code && cmd_has(args, "json"))
        call_print_json(result);
    else if (!code)
        puts(call_text(result, "ticket"));
    json_decref(o.answer);
    return code;
}

/* ---- history ---- */

static json_t *past_json(const kith_share_past *p)
{
    json_t *o = json_pack("{s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:I, s:I, s:f}", "time",
                          (json_int_t)p->time, "direction", p->sent ? "sent" : "received", "peer",
                          kith_json_text(p->peer), "name", kith_json_text(p->name), "what",
                          kith_json_text(p->what), "result", kith_json_text(p->result), "path",
                          kith_json_text(p->path), "into", kith_json_text(p->into), "pq", (int)p->pq, "files",
                          (json_int_t)p->files, "bytes", (json_int_t)p->bytes, "seconds", p->seconds);
    return o;
}

static void on_past_json(void *ctx, const kith_share_past *p)
{
    json_array_append_new(ctx, past_json(p));
}

static void on_past(void *ctx, const kith_share_past *p)
{
    char when[32], size[SHARE_TEXT_MAX], speed[SHARE_TEXT_MAX];
    ++*(size_t *)ctx;
    printf("%s  %s ", call_when((long long)p->time, when), p->sent ? "sent    " : "received");
    call_print(stdout, p->files == 0 && strcmp(p->what, "-") == 0 ? "a stream" : p->what);
    fputs(p->sent ? " to " : " from ", stdout);
    call_print(stdout, *p->name ? p->name : *p->peer ? p->peer : "?");
    printf("  %s", share_text_size(p->bytes, size));
    if (strcmp(p->result, "ok") == 0 && p->seconds > 0)
        printf("  %s", share_text_speed(p->bytes, (kith_time)(p->seconds * 1e9), speed));
    if (*p->path)
        printf("  %s  %s", p->path, p->pq ? "post-quantum" : "NOT post-quantum");
    fputs("  ", stdout);
    call_print(stdout, p->result);
    putchar('\n');
}

static int history(const cmd_args *args)
{
    char path[KITH_PATH_MAX];
    const char *why = "there is no state folder";
    bool damaged = false, json = cmd_has(args, "json");
    unsigned long long count = json ? KITH_SHARE_HISTORY_MAX : HISTORY_SHOWN;
    if (!cmd_number(args, "count", count, 1, KITH_SHARE_HISTORY_MAX, &count))
        return EXIT_USAGE;
    kith_share_history *h = job_history_file(path) ? kith_share_history_open(path, &damaged, &why) : NULL;
    if (!h)
        return cmd_fail(EXIT_DISK, "the history of transfers cannot be read: %s", why);
    if (damaged)
        cmd_warn("the history of transfers was damaged; it is now %s.damaged, and a new one was begun", path);
    uint64_t rows = 0;
    size_t shown = 0;
    json_t *list = json ? json_array() : NULL;
    bool clear = cmd_has(args, "clear");
    if (clear)
        why = kith_share_history_clear(h, &rows);
    else
        why = kith_share_history_each(h, count, json ? on_past_json : on_past, json ? (void *)list : &shown);
    kith_share_history_close(h);
    if (why) {
        json_decref(list);
        return cmd_fail(EXIT_DISK, "the history of transfers cannot be %s: %s", clear ? "cleared" : "read",
                        why);
    }
    if (json)
        session_print(clear ? json_pack("{s:I}", "cleared", (json_int_t)rows)
                            : json_pack("{s:O}", "history", list));
    else if (clear)
        printf("%llu transfers are forgotten\n", (unsigned long long)rows);
    else if (shown == 0)
        puts("no transfer is remembered");
    json_decref(list);
    return EXIT_OK;
}

/* ---- the commands ---- */

static int run_transfers(const cmd_args *args)
{
    bool past = cmd_has(args, "history") || cmd_has(args, "clear");
    if (args->rest_count > 0 && (past || cmd_has(args, "watch")))
        return cmd_fail(EXIT_USAGE, "transfers: '%.64s' goes with none of --history, --clear and --watch",
                        args->rest[0]);
    if (cmd_has(args, "count") && !cmd_has(args, "history"))
        return cmd_fail(EXIT_USAGE, "transfers: --count goes with --history");
    if (past)
        return history(args);
    if (args->rest_count > 0)
        return steer(args);
    if (cmd_has(args, "watch"))
        return watch(args);
    return show(args, NULL, "transfers", "nothing is shared or fetched at the moment");
}

static int run_shares(const cmd_args *args)
{
    if (args->rest_count > 0)
        return ticket(args);
    if (cmd_has(args, "only") || cmd_has(args, "times") || cmd_has(args, "for"))
        return cmd_fail(EXIT_USAGE, "shares: --only, --times and --for go with 'kith shares ticket ID'");
    return show(args, "share", "shares", "nothing is shared at the moment");
}

static const cmd_option shares_options[] = {
    {.name = "only",
     .arg = "PATTERN",
     .many = true,
     .help = "ticket: for what matches alone, by the patterns of 'kith get --only'; may be given 8 times"},
    {.name = "times", .arg = "N", .help = "ticket: good for so many fetches (default: any number)"},
    {.name = "for",
     .arg = "TIME",
     .help = "ticket: good for so long, such as 2h (default: as long as the share)"},
    {.name = "json", .help = "print one JSON object"},
    {0},
};

static const cmd_option transfers_options[] = {
    {.name = "watch", .help = "once a second, until Ctrl-C"},
    {.name = "history", .help = "those that are over, the newest first"},
    {.name = "count", .arg = "N", .help = "so many of them (default: 20, with --json all)"},
    {.name = "clear", .help = "forget those that are over"},
    {.name = "json", .help = "print one JSON object"},
    {0},
};

const cmd cmd_shares = {
    .name = "shares",
    .summary = "list what is shared at the moment, and give out more tickets",
    .usage = "[--json]\n       kith shares ticket ID [--only PATTERN]... [--times N] [--for TIME] [--json]",
    .about =
        "Lists every 'kith share' that runs under this home, with who fetches it. 'kith transfers' can pause, limit and end them.\n"
        "'ticket' prints another ticket of one of them, with limits of its own. Whoever has one for a part sees the names of all,\n"
        "and gets the content of that part.",
    .examples = "  kith shares\n"
                "  kith shares ticket 4711 --only 'photos/2024/' --times 1\n"
                "  kith shares ticket 4711 --for 2h\n",
    .options = shares_options,
    .args_max = 2,
    .run = run_shares,
};

const cmd cmd_transfers = {
    .name = "transfers",
    .summary = "list, pause, limit and end transfers, and show past ones",
    .usage =
        "[pause ID | resume ID | cancel ID | limit ID UP/DOWN|off] [--watch] [--history [--count N] | --clear] [--json]",
    .about =
        "Lists what every 'kith share' and 'kith get' of this home is doing, and steers them. An ID is that of a process, or of one\n"
        "receiver of a share (4711.2). A limit is in bytes a second and holds for all receivers of a share together; the configuration\n"
        "keys share.limit_up and share.limit_down are for all transfers of this home together, and each gets an equal part.\n"
        "The last 10,000 transfers are remembered; --clear forgets them.",
    .examples = "  kith transfers\n"
                "  kith transfers pause 4711\n"
                "  kith transfers limit 4711 5M/2M\n"
                "  kith transfers cancel 4711.2\n"
                "  kith transfers --history --json\n",
    .options = transfers_options,
    .args_max = 3,
    .run = run_transfers,
};
