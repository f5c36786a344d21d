/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith message: something to say to a peer or a topic, and the outbox where it waits. */
#include "cmd/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "cmd/share_text.h"
#include "host/config.h"
#include "host/json.h"
#include "host/share_note.h"
#include "wire/message.h"
#include "wire/multibase.h"

#define WAIT_MS 5000 /* for a peer that is there */

/* ---- for people ---- */

static void clock_text(long long unix, char out[32])
{
    time_t t = (time_t)unix, now = time(NULL);
    struct tm tm, today;
    out[0] = '\0';
    if (!localtime_r(&t, &tm) || !localtime_r(&now, &today))
        return;
    bool same = tm.tm_yday == today.tm_yday && tm.tm_year == today.tm_year;
    strftime(out, 32, same ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &tm);
}

static void print_peer(FILE *f, const json_t *o)
{
    call_print(f, *call_text(o, "name") ? call_text(o, "name") : call_text(o, "peer"));
}

/* A ticket that somebody sends us: what to do with it. False: the message is none, or no proper one. */
static bool print_share(FILE *f, const json_t *ev)
{
    char counts[SHARE_TEXT_MAX], size[SHARE_TEXT_MAX];
    kith_peer_id from;
    kith_share_note n;
    if (strcmp(call_text(ev, "type"), KITH_SHARE_NOTE_TYPE) != 0 ||
        kith_peer_id_from_text(kith_bytes_str(call_text(ev, "peer")), &from) ||
        kith_share_note_parse(call_text(ev, "text"), &from, &n))
        return false;
    fprintf(f, "%s, %s, %s: kith get %s\n", n.what, share_text_counts(n.files, n.folders, n.links, counts),
            share_text_size(n.bytes, size), n.ticket);
    return true;
}

static void print_came(FILE *f, const json_t *ev)
{
    char at[32];
    clock_text(call_number(ev, "received") / 1000, at);
    fprintf(f, "[%s] ", at);
    print_peer(f, ev);
    if (strcmp(call_text(ev, "type"), "text") != 0)
        fprintf(f, " (%s)", call_text(ev, "type"));
    fputs(": ", f);
    const json_t *whole = json_object_get(ev, "whole");
    if (print_share(f, ev))
        return;
    if (json_object_get(ev, "text"))
        call_print_lines(f, call_text(ev, "text"));
    if (!json_object_get(ev, "text") || json_is_false(whole))
        fprintf(f, "%s(%lld bytes; 'kith listen --since 24h --json' has them)",
                json_object_get(ev, "text") ? "... " : "", call_number(ev, "bytes"));
    fputc('\n', f);
}

static void print_topic(FILE *f, const json_t *ev)
{
    const char *type = call_text(ev, "type");
    bool raw = strcmp(call_text(ev, "format"), "raw") == 0;
    char at[32];
    clock_text(call_number(ev, "received") / 1000, at);
    fprintf(f, "[%s] #", at);
    call_print(f, call_text(ev, "topic"));
    fputc(' ', f);
    print_peer(f, ev);
    if (raw || strcmp(type, "text") != 0)
        fprintf(f, " (%s)", raw ? "raw" : type);
    fputs(": ", f);
    if (json_object_get(ev, "text"))
        call_print_lines(f, call_text(ev, "text"));
    if (!json_object_get(ev, "text") || json_is_false(json_object_get(ev, "whole")))
        fprintf(f, "%s(%lld bytes)", json_object_get(ev, "text") ? "... " : "", call_number(ev, "bytes"));
    fputc('\n', f);
}

void message_print(FILE *f, const json_t *ev)
{
    const char *event = call_text(ev, "event"), *state = call_text(ev, "state");
    if (strcmp(event, "message") == 0) {
        print_came(f, ev);
    } else if (strcmp(event, "topic_message") == 0) {
        print_topic(f, ev);
    } else if (strcmp(event, "missed") == 0) {
        fprintf(f, "(%lld messages were gone before they could be shown)\n", call_number(ev, "count"));
    } else if (*state) {
        fprintf(f, "message %s to ", call_text(ev, "message"));
        print_peer(f, ev);
        fprintf(f, " %s", strcmp(state, "expired") == 0 ? "was not delivered in time and is dropped" : state);
        if (*call_text(ev, "why")) {
            fputs(": ", f);
            call_print(f, call_text(ev, "why"));
        }
        fputc('\n', f);
    }
}

/* ---- sending ---- */

static int on_sent(const cmd_args *args, const json_t *r)
{
    const char *state = call_text(r, "state");
    bool expired = strcmp(state, "expired") == 0, refused = strcmp(state, "refused") == 0;
    char until[32];
    clock_text(call_number(r, "until"), until);
    if (cmd_has(args, "json"))
        call_print_json(r);
    if (expired || refused) {
        char why[512];
        snprintf(why, sizeof why, "%s", call_text(r, "why"));
        return cmd_fail(expired ? EXIT_UNREACHABLE : EXIT_REFUSED, "the message %s: %s",
                        expired ? "was not delivered in time" : "was refused", why);
    }
    if (cmd_has(args, "json"))
        return EXIT_OK;
    printf("%s %s", strcmp(state, "kept") == 0 ? "kept for" : "delivered to",
           *call_text(r, "name") ? call_text(r, "name") : call_text(r, "peer"));
    if (strcmp(state, "kept") == 0) {
        printf(" until %s, message %s", until, call_text(r, "message"));
        if (*call_text(r, "why")) {
            fputs(": ", stdout);
            call_print(stdout, call_text(r, "why"));
        }
    }
    putchar('\n');
    return EXIT_OK;
}

static int on_said(const cmd_args *args, const json_t *r)
{
    long long peers = call_number(r, "peers");
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    fputs("said in #", stdout);
    call_print(stdout, call_text(r, "topic"));
    printf(" to %lld peer%s\n", peers, peers == 1 ? "" : "s");
    return EXIT_OK;
}

/* As text where it is some that JSON does not make too long. */
static void put_content(json_t *params, kith_bytes content)
{
    bool text = !content.len || !memchr(content.p, 0, content.len);
    size_t controls = 0;
    for (kith_bytes in = content; text && in.len > 0;) {
        uint32_t cp = 0;
        size_t n = kith_utf8_next(in, &cp);
        text = n > 0;
        controls += cp < 0x20;
        in = kith_bytes_skip(in, n);
    }
    if (text && controls < KITH_MESSAGE_PAYLOAD_MAX / 16) {
        json_object_set_new(params, "text", json_stringn((const char *)content.p, content.len));
        return;
    }
    size_t room = content.len / 3 * 4 + 4;
    char *encoded = malloc(room);
    kith_wr w = kith_wr_of(kith_span_of(encoded, encoded ? room : 0));
    kith_base_put(&w, KITH_BASE64URL, content);
    json_object_set_new(params, "base64", json_stringn(encoded, w.len));
    json_object_set_new(params, "is_text", json_boolean(text));
    free(encoded);
}

/* What messages to peers and to topics have in common. */
static json_t *params_of(const cmd_args *args, kith_bytes content)
{
    const char *type = cmd_value(args, "msg-type"), *reply = cmd_value(args, "reply-to");
    unsigned long long priority = KITH_MESSAGE_PRIORITY_DEFAULT;
    kith_time ttl = KITH_SEC(KITH_MESSAGE_TTL_DEFAULT);
    (void)cmd_number(args, "priority", priority, 0, KITH_MESSAGE_PRIORITY_MAX, &priority);
    if (cmd_value(args, "ttl"))
        (void)message_duration(cmd_value(args, "ttl"), &ttl);
    json_t *params = json_pack("{s:s, s:I, s:I, s:i}", "type", type ? type : "text", "priority",
                               (json_int_t)priority, "ttl", (json_int_t)(ttl / KITH_SEC(1)), "wait_ms",
                               cmd_has(args, "wait")      ? -1
                               : cmd_has(args, "no-wait") ? 0
                                                          : WAIT_MS);
    put_content(params, content);
    if (reply)
        json_object_set_new(params, "reply_to", kith_json_text(reply));
    return params;
}

void message_call(const cmd_args *args, const char *peer, kith_bytes content, call *out)
{
    json_t *params = params_of(args, content);
    json_object_set_new(params, "target", kith_json_text(peer));
    *out = (call){.method = "message.send", .params = params, .result = on_sent, .args = args};
}

void message_topic_call(const cmd_args *args, const char *topic, kith_bytes content, call *out)
{
    json_t *params = params_of(args, content);
    json_object_set_new(params, "topic", kith_json_text(message_topic(topic)));
    json_object_set_new(params, "raw", json_boolean(cmd_has(args, "raw")));
    *out = (call){
        .method = "topics.publish", .params = params, .result = on_said, .args = args, .running_only = true};
}

const char *message_topic(const char *name)
{
    return *name == '#' ? name + 1 : name;
}

bool message_duration(const char *text, kith_time *out)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && *end == '\0' && n <= UINT32_MAX) {
        *out = KITH_SEC(n);
        return true;
    }
    return kith_parse_duration(text, out);
}

/* ---- the outbox ---- */

static int on_outbox(const cmd_args *args, const json_t *r)
{
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    const json_t *list = json_object_get(r, "outbox");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);
        char until[32];
        clock_text(call_number(o, "until"), until);
        printf("%s  priority %-2lld  %7lld bytes  %-7s until %s  ", call_text(o, "message"),
               call_number(o, "priority"), call_number(o, "bytes"), call_text(o, "state"), until);
        print_peer(stdout, o);
        if (*call_text(o, "why")) {
            fputs(": ", stdout);
            call_print(stdout, call_text(o, "why"));
        }
        putchar('\n');
    }
    printf("%lld messages, %lld bytes wait\n", call_number(r, "messages"), call_number(r, "bytes"));
    return EXIT_OK;
}

static int on_cancelled(const cmd_args *args, const json_t *r)
{
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    message_print(stdout, r);
    return EXIT_OK;
}

/* ---- the command ---- */

static struct {
    uint8_t *p; /* what was read from stdin; NULL: nothing was */
    size_t len;
} input;

static int read_input(void)
{
    const size_t max = KITH_MESSAGE_PAYLOAD_MAX + 1;
    input.p = malloc(max);
    if (!input.p)
        return cmd_fail(EXIT_FAILED, "no memory");
    while (input.len < max) {
        ssize_t n = read(STDIN_FILENO, input.p + input.len, max - input.len);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return cmd_fail(EXIT_FAILED, "cannot read the message: %s", strerror(errno));
        input.len += n > 0 ? (size_t)n : 0;
    }
    return EXIT_OK;
}

static int check_options(const cmd_args *args, kith_bytes content)
{
    const char *type = cmd_value(args, "msg-type"), *ttl = cmd_value(args, "ttl");
    unsigned long long priority;
    kith_time t;
    if (type && !kith_message_type_ok(kith_bytes_str(type)))
        return cmd_fail(
            EXIT_USAGE,
            "--msg-type: '%.64s' is not 1 to 64 of a-z, 0-9, '-', '.', '_' and '/', beginning with a letter",
            type);
    if (!cmd_number(args, "priority", 0, 0, KITH_MESSAGE_PRIORITY_MAX, &priority))
        return EXIT_USAGE;
    if (ttl && (!message_duration(ttl, &t) || t < KITH_SEC(1) || t > KITH_SEC(KITH_MESSAGE_TTL_MAX)))
        return cmd_fail(EXIT_USAGE, "--ttl: '%s' is not a time from 1s to 168h, a week", ttl);
    if (cmd_has(args, "wait") && cmd_has(args, "no-wait"))
        return cmd_fail(EXIT_USAGE, "--wait or --no-wait, and not both");
    if (content.len > KITH_MESSAGE_PAYLOAD_MAX)
        return cmd_fail(EXIT_USAGE,
                        "a message has at most 1 MiB; 'kith share' and 'kith pipe' send what is larger");
    return EXIT_OK;
}

static int prepare(const cmd_args *args, call *out)
{
    const char *text = cmd_value(args, "content"), *cancel = cmd_value(args, "cancel");
    if (cmd_has(args, "outbox") || cancel) {
        *out = (call){.method = "message.outbox",
                      .params = cancel ? json_pack("{s:s}", "cancel", cancel) : json_object(),
                      .result = cancel ? on_cancelled : on_outbox,
                      .args = args,
                      .running_only = true};
        return EXIT_OK;
    }
    const char *to = args->rest_count ? args->rest[0] : NULL, *topic = cmd_value(args, "topic");
    if (to && topic)
        return cmd_fail(EXIT_USAGE, "message: to '%s' or to the topic '%s'? Not both", to, topic);
    if (to && *to == '#')
        topic = to;
    if ((!to && !topic) || !text)
        return cmd_fail(EXIT_USAGE,
                        "message: to whom, and what? 'kith message PEER --content TEXT', or --topic "
                        "NAME in the place of PEER");
    if (cmd_has(args, "raw") && !topic)
        return cmd_fail(EXIT_USAGE, "--raw is for topics, where other programs listen");
    if (strcmp(text, "-") == 0 && !input.p)
        return cmd_fail(EXIT_USAGE, "the console has no input for a message; 'send PEER TEXT'");
    kith_bytes content = strcmp(text, "-") == 0 ? kith_bytes_of(input.p, input.len) : kith_bytes_str(text);
    int code = check_options(args, content);
    if (!code && topic)
        message_topic_call(args, topic, content, out);
    else if (!code)
        message_call(args, to, content, out);
    return code;
}

static int run(const cmd_args *args)
{
    const char *text = cmd_value(args, "content");
    int code = text && strcmp(text, "-") == 0 ? read_input() : EXIT_OK;
    if (!code)
        code = call_run(args);
    free(input.p);
    return code;
}

static const cmd_option options[] = {
    {.name = "content", .arg = "TEXT", .help = "what to say; - reads it from stdin, and may be any bytes"},
    {.name = "topic", .arg = "NAME", .help = "say it to everybody in a topic; the same as #NAME for PEER"},
    {.name = "raw", .help = "to a topic, for programs that are not kith: the content and nothing around it"},
    {.name = "msg-type", .arg = "TYPE", .help = "what it is for: text (default), command, vote, an own name"},
    {.name = "priority", .arg = "N", .help = "0 to 10: what is higher leaves first (default 5)"},
    {.name = "ttl", .arg = "TIME", .help = "how long it may wait, 1s to 168h (default 60s)"},
    {.name = "reply-to", .arg = "ID", .help = "the message that this one answers"},
    {.name = "wait", .help = "until it is delivered, or its time is over"},
    {.name = "no-wait", .help = "only until it is in the outbox"},
    {.name = "outbox", .help = "list what waits"},
    {.name = "cancel", .arg = "ID", .help = "take a message out of the outbox"},
    {.name = "json", .help = "print one JSON object"},
    {0},
};

const cmd cmd_message = {
    .name = "message",
    .summary = "send a message to a peer, now or when it comes back, or to a topic",
    .usage = "PEER|#TOPIC|--topic NAME --content TEXT|- [--msg-type TYPE] [--priority N] [--ttl TIME]\n"
             "                    [--wait|--no-wait] [--json]",
    .about =
        "Says something to one peer, signed, and says what became of it. With a running node ('kith up') a message to\n"
        "who is away waits in the outbox until its time is over, across restarts; 'kept' then says until when. Without\n"
        "one it is delivered now, or the command fails. At the other end 'kith listen' and 'kith up' show it.\n"
        "PEER is a name, a peer id or an address; what begins with # is a topic, and so is --topic NAME, which no shell takes\n"
        "for a comment. What is said to a topic goes to all who are in it and can be reached now, by way of each other; nothing\n"
        "waits for who is away, and when nobody is there the command fails. It needs a running node.",
    .examples = "  kith message alice --content 'lunch?'\n"
                "  kith message alice --content 'when you are back' --ttl 24h\n"
                "  make 2>&1 | kith message bob --content - --wait\n"
                "  kith message --topic quantra-default --content 'hello, all'\n"
                "  kith message --outbox\n",
    .options = options,
    .node = true,
    .args_min = 0,
    .args_max = 1,
    .run = run,
    .call = prepare,
};
