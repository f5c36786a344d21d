/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith listen: messages, as they come. */
#include <string.h>
#include <time.h>

#include "cmd/message.h"
#include "host/json.h"

static void on_event(const cmd_args *args, const json_t *ev)
{
    if (cmd_has(args, "json"))
        call_print_json(ev);
    else
        message_print(stdout, ev);
    fflush(stdout);
}

static int on_result(const cmd_args *args, const json_t *r)
{
    (void)args, (void)r;
    return EXIT_OK;
}

/* The topics that were asked for; NULL: none. */
static json_t *topics_of(const cmd_args *args)
{
    json_t *list = NULL;
    size_t at = 0;
    for (const char *name; (name = cmd_next_value(args, "topic", &at));) {
        if (!list)
            list = json_array();
        json_array_append_new(list, kith_json_text(message_topic(name)));
    }
    return list;
}

static int prepare(const cmd_args *args, call *out)
{
    json_t *topics = topics_of(args);
    const char *from = cmd_value(args, "from"), *type = cmd_value(args, "type"),
               *since = cmd_value(args, "since");
    json_t *params = json_pack("{s:s, s:s}", "from", from ? from : "", "type", type ? type : "");
    if (topics && since) {
        json_decref(topics);
        json_decref(params);
        return cmd_fail(EXIT_USAGE, "--since is for messages of peers; what is said in topics is not kept");
    }
    if (topics) {
        json_object_set_new(params, "topics", topics);
        *out = (call){.method = "topics.listen",
                      .params = params,
                      .event = on_event,
                      .result = on_result,
                      .args = args,
                      .running_only = true};
        return EXIT_OK;
    }
    kith_time ago = 0;
    if (since && strcmp(since, "all") != 0 && !message_duration(since, &ago)) {
        json_decref(params);
        return cmd_fail(EXIT_USAGE, "--since: '%s' is neither a time such as 30m or 24h nor 'all'", since);
    }
    if (since) {
        json_int_t now = (json_int_t)time(NULL), seconds = (json_int_t)(ago / KITH_SEC(1));
        bool all = strcmp(since, "all") == 0 || seconds > now;
        json_object_set_new(params, "since", json_integer(all ? 0 : (now - seconds) * 1000));
    }
    *out = (call){.method = "message.listen",
                  .params = params,
                  .event = on_event,
                  .result = on_result,
                  .args = args,
                  .listens = true,
                  .messages = true};
    return EXIT_OK;
}

static const cmd_option options[] = {
    {.name = "topic",
     .arg = "NAME",
     .help = "what is said in this topic, and not what peers send",
     .many = true},
    {.name = "from", .arg = "PEER", .help = "only messages of this peer"},
    {.name = "type", .arg = "TYPE", .help = "only messages of this type"},
    {.name = "since",
     .arg = "TIME",
     .help = "first what came in the last 30m, 24h ..., or 'all' that is kept"},
    {.name = "json", .help = "print one JSON object per message, whole"},
    {0},
};

const cmd cmd_listen = {
    .name = "listen",
    .summary = "show messages as they come",
    .usage = "[--topic NAME]... [--from PEER] [--type TYPE] [--since TIME] [--json]",
    .about =
        "Shows every message that this node takes, until Ctrl-C: of the running node ('kith up'), or of one that listens\n"
        "for as long as the command lasts. The last 10,000 messages, 64 MiB, and 1,000 of one peer are kept; --since\n"
        "shows those that came while nobody listened.\n"
        "With --topic it shows what is said in these topics from now on, which the running node is in for as long as the\n"
        "command lasts; none of that is kept.",
    .examples = "  kith listen\n"
                "  kith listen --from alice --since 24h\n"
                "  kith listen --topic quantra-default --topic news\n"
                "  kith listen --type command --json\n",
    .options = options,
    .node = true,
    .call = prepare,
};
