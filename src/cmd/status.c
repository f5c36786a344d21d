/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith status, kith peers, kith stop: what the running node is doing, and its end. Only what was measured is printed. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/call.h"
#include "host/control.h"
#include "host/paths.h"

#define STOP_MS 10000

/* "3.4 GiB" */
static const char *human(long long bytes, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    int u = 0;
    for (; v >= 1024 && u < 4; u++)
        v /= 1024;
    snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
    return out;
}

/* "2d 03:04:05" */
static const char *span(long long s, char out[32])
{
    if (s >= 86400)
        snprintf(out, 32, "%lldd %02lld:%02lld:%02lld", s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
    else
        snprintf(out, 32, "%02lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    return out;
}

static void print_conn(const json_t *c)
{
    char in[32], out[32], age[32];
    call_print_who(stdout, c);
    printf("\n    %s %s, %s\n    ", call_text(c, "direction"), call_text(c, "addr"), call_text(c, "path"));
    call_print(stdout, call_text(c, "agent")[0] ? call_text(c, "agent") : "(agent unknown)");
    printf("\n    %s%s, %s\n    %s, %lld streams, %s in, %s out", call_text(c, "secure_channel"),
           call_true(c, "pq") ? " (post-quantum)" : " (NOT post-quantum)", call_text(c, "muxer"),
           span(call_number(c, "seconds"), age), call_number(c, "streams"),
           human(call_number(c, "bytes_in"), in), human(call_number(c, "bytes_out"), out));
    char words[512];
    const char *qkd = call_qkd(c, words);
    if (json_is_real(json_object_get(c, "rtt_ms")))
        printf(", rtt %.1f ms", call_real(c, "rtt_ms"));
    char resumed[96];
    if (call_text(c, "pq_id")[0])
        printf("\n    proved %s by %s%s", call_text(c, "pq_id"), call_text(c, "pq_algorithm"),
               call_resumed(c, resumed));
    else
        printf("\n    proved no post-quantum key");
    printf("\n    keys refreshed %lld times, the present ones in use for %s and %s\n",
           call_number(c, "rekeys"), span(call_number(c, "keyed_seconds"), age),
           human(call_number(c, "keyed_bytes"), in));
    if (qkd)
        printf("    QKD %s\n", qkd);
}

static void print_list(const json_t *list, void (*print)(const json_t *))
{
    for (size_t i = 0; i < json_array_size(list); i++)
        print(json_array_get(list, i));
}

/* ---- status ---- */

static void print_rendezvous(const json_t *r)
{
    const json_t *points = json_object_get(r, "points");
    size_t n = json_array_size(points), registered = 0;
    for (size_t i = 0; i < n; i++)
        registered += call_true(json_array_get(points, i), "registered");
    if (n > 0) {
        printf("meeting   registered at %zu of %zu rendezvous points as ", registered, n);
        call_print(stdout, call_text(r, "namespace"));
        printf(", %lld peers found there\n", call_number(r, "found"));
    }
    if (call_true(r, "server"))
        printf("point     %lld registrations of others\n", call_number(r, "registrations"));
}

static int on_status(const cmd_args *args, const json_t *r)
{
    char a[32], b[32];
    if (cmd_has(args, "metrics") && !cmd_has(args, "json")) {
        fputs(call_text(r, "text"), stdout);
        return EXIT_OK;
    }
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    printf("peer id   %s\nrunning   %s, pid %lld, kith %s\n", call_text(r, "peer"),
           span(call_number(r, "uptime_seconds"), a), call_number(r, "pid"), call_text(r, "version"));
    if (strcmp(call_text(r, "waiting_peer"), call_text(r, "peer")) == 0)
        printf(
            "identity  a newer post-quantum key waits in the file: %s; restart the node to use it ('kith stop', "
            "then 'kith up')\n",
            call_text(r, "waiting_pq_id"));
    else if (call_text(r, "waiting_peer")[0])
        printf(
            "identity  another one waits in the file: %s; restart the node to use it ('kith stop', then 'kith up')\n",
            call_text(r, "waiting_peer"));
    if (call_text(r, "network_fingerprint")[0])
        printf("network   private, key fingerprint %s\n", call_text(r, "network_fingerprint"));
    const json_t *addrs = json_object_get(r, "addrs");
    for (size_t i = 0; i < json_array_size(addrs); i++)
        printf("%s %s\n", i ? "         " : "listening", json_string_value(json_array_get(addrs, i)));
    print_rendezvous(json_object_get(r, "rendezvous"));
    long long peers = call_number(r, "peers"), pq = call_number(r, "peers_pq");
    printf("peers     %lld connected, %lld of them post-quantum", peers, pq);
    if (peers > pq)
        printf(" (%lld NOT)", peers - pq);
    printf("\ntraffic   %s in, %s out on the open connections\n", human(call_number(r, "bytes_in"), a),
           human(call_number(r, "bytes_out"), b));
    if (!cmd_has(args, "detailed"))
        return EXIT_OK;
    printf(
        "sockets   %lld inbound, %lld outbound, %lld handshakes, %lld dials, %lld streams\nmemory    %s\n\n",
        call_number(r, "conns_in"), call_number(r, "conns_out"), call_number(r, "handshakes"),
        call_number(r, "dials"), call_number(r, "streams"), human(call_number(r, "memory_bytes"), a));
    print_list(json_object_get(r, "connections"), print_conn);
    return EXIT_OK;
}

static int prepare_status(const cmd_args *args, call *out)
{
    *out = (call){.method = cmd_has(args, "metrics") ? "metrics" : "status",
                  .params = json_pack("{s:b}", "detailed", cmd_has(args, "detailed")),
                  .result = on_status,
                  .args = args,
                  .running_only = true};
    return EXIT_OK;
}

static const cmd_option status_options[] = {
    {.name = "detailed", .help = "with every connection, sockets and memory; with --json, every metric too"},
    {.name = "metrics", .help = "print the metrics instead, as OpenMetrics text"},
    {.name = "json", .help = "print it as one JSON object"},
    {0},
};

const cmd cmd_status = {
    .name = "status",
    .summary = "what the running node is doing",
    .usage = "[--detailed | --metrics] [--json]",
    .about =
        "Prints who the running node is, where it listens, and how its peers are connected: which secure channel,\n"
        "post-quantum or not, direct or relayed.",
    .examples = "  kith status\n  kith status --detailed --json\n  kith status --metrics\n",
    .options = status_options,
    .call = prepare_status,
};

/* ---- peers ---- */

static void print_time(const char *what, long long unix)
{
    char text[32];
    time_t t = (time_t)unix;
    struct tm tm;
    if (unix && localtime_r(&t, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M", &tm))
        printf(", %s %s", what, text);
}

static void print_known(const json_t *p)
{
    call_print_who(stdout, p);
    printf("\n    ");
    call_print(stdout, call_text(p, "agent")[0] ? call_text(p, "agent") : "(agent unknown)");
    print_time("connected", call_number(p, "succeeded"));
    print_time("seen", call_number(p, "seen"));
    printf("%s\n", call_true(p, "pq") ? ", post-quantum" : "");
    const json_t *addrs = json_object_get(p, "addrs");
    for (size_t i = 0; i < json_array_size(addrs); i++) {
        const json_t *a = json_array_get(addrs, i);
        printf("    %s (%s)\n", call_text(a, "addr"), call_text(a, "source"));
    }
}

static void print_standing(const json_t *r)
{
    char when[48];
    printf("    score %.1f%s%s", call_real(r, "score"), call_true(r, "throttled") ? ", throttled" : "",
           call_number(r, "banned_until") ? ", BANNED until " : "");
    if (call_number(r, "banned_until"))
        printf("%s", call_when(call_number(r, "banned_until"), when));
    const json_t *reasons = json_object_get(r, "reasons");
    for (size_t i = 0; i < json_array_size(reasons); i++) {
        const json_t *why = json_array_get(reasons, i);
        printf("%s %s %lld times %+.1f", i ? "," : ":", call_text(why, "kind"), call_number(why, "count"),
               call_real(why, "points"));
    }
    putchar('\n');
}

static void print_judged(const json_t *c)
{
    print_conn(c);
    if (json_is_object(json_object_get(c, "reputation")))
        print_standing(json_object_get(c, "reputation"));
    else
        printf("    nothing it did is known yet\n");
}

static void print_banned(const json_t *p)
{
    printf("banned ");
    call_print_who(stdout, p);
    putchar('\n');
    print_standing(p);
    printf("    'kith trust unban %s' lets it in\n", call_text(p, "peer"));
}

static int on_peers(const cmd_args *args, const json_t *r)
{
    bool known = cmd_has(args, "known");
    const json_t *list = json_object_get(r, known ? "known" : "peers");
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    if (json_array_size(list) == 0)
        fprintf(stderr, known ? "the peer book is empty\n"
                              : "no peers connected; 'kith dial ADDR' connects to one\n");
    print_list(list, known ? print_known : cmd_has(args, "detailed") ? print_judged : print_conn);
    print_list(json_object_get(r, "banned"), print_banned);
    return EXIT_OK;
}

static int prepare_peers(const cmd_args *args, call *out)
{
    bool known = cmd_has(args, "known");
    *out = (call){.method = "peers",
                  .params = json_pack("{s:b, s:b}", "known", known, "detailed", cmd_has(args, "detailed")),
                  .result = on_peers,
                  .args = args,
                  .running_only = !known};
    return EXIT_OK;
}

static const cmd_option peers_options[] = {
    {.name = "detailed", .help = "with what each did and what that is worth, and who is banned"},
    {.name = "known", .help = "the peer book instead: who was met before, and where"},
    {.name = "json", .help = "print them as one JSON object"},
    {0},
};

const cmd cmd_peers = {
    .name = "peers",
    .summary = "who is connected to the running node",
    .usage = "[--detailed | --known] [--json]",
    .about = "Prints every connection of the running node, or with --known what the peer book remembers.\n"
             "--detailed adds the score of each peer, from what it did, and who is banned for how long.",
    .examples = "  kith peers\n  kith peers --detailed\n  kith peers --known\n",
    .options = peers_options,
    .call = prepare_peers,
};

/* ---- stop ---- */

static int on_stop(const cmd_args *args, const json_t *r)
{
    char path[KITH_PATH_MAX];
    if (call_number(r, "pid") != getpid() && kith_path(KITH_PLACE_STATE, "kith.pid", path) &&
        !kith_control_wait_unlocked(path, STOP_MS))
        return cmd_fail(EXIT_FAILED, "the node (pid %lld) is taking long to stop", call_number(r, "pid"));
    if (cmd_has(args, "json"))
        call_print_json(r);
    else
        printf("node %lld has stopped\n", call_number(r, "pid"));
    return EXIT_OK;
}

static int prepare_stop(const cmd_args *args, call *out)
{
    *out = (call){.method = "stop", .result = on_stop, .args = args, .running_only = true};
    return EXIT_OK;
}

static const cmd_option stop_options[] = {
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const cmd cmd_stop = {
    .name = "stop",
    .summary = "stop the running node",
    .usage = "[--json]",
    .about = "Asks the running node to close its connections in good order and to end.",
    .examples = "  kith stop\n",
    .options = stop_options,
    .call = prepare_stop,
};
