/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith topics: which topics the running node is in. */
#include <stdio.h>
#include <string.h>

#include "cmd/message.h"
#include "host/json.h"

static void print_sub(const json_t *o)
{
    fputc('#', stdout);
    call_print(stdout, call_text(o, "topic"));
    printf("  %lld peers, %lld in the mesh", call_number(o, "peers"), call_number(o, "mesh"));
    if (!call_true(o, "subscribed"))
        printf(", only as long as somebody listens");
    putchar('\n');
}

static int on_list(const cmd_args *args, const json_t *r)
{
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    const json_t *list = json_object_get(r, "topics"), *fates = json_object_get(r, "messages");
    for (size_t i = 0; i < json_array_size(list); i++)
        print_sub(json_array_get(list, i));
    if (json_array_size(list) == 0)
        printf("this node is in no topic; 'kith topics sub NAME' changes that\n");
    printf("%lld peers speak gossip; %lld messages came, %lld were said\n", call_number(r, "peers"),
           call_number(fates, "taken") + call_number(fates, "raw"), call_number(r, "published"));
    return EXIT_OK;
}

static int on_changed(const cmd_args *args, const json_t *r)
{
    bool in = call_true(r, "subscribed");
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    fputs(in ? "in #" : "left #", stdout);
    call_print(stdout, call_text(r, "topic"));
    if (in)
        printf(", with %lld peers so far", call_number(r, "peers"));
    else if (call_number(r, "listeners"))
        printf(", once those who listen to it end");
    putchar('\n');
    return EXIT_OK;
}

void topics_call(const cmd_args *args, const char *name, bool in, call *out)
{
    *out = (call){.method = in ? "topics.subscribe" : "topics.unsubscribe",
                  .params = json_pack("{s:o}", "topic", kith_json_text(message_topic(name))),
                  .result = on_changed,
                  .args = args,
                  .running_only = true};
}

static int prepare(const cmd_args *args, call *out)
{
    const char *verb = args->rest_count ? args->rest[0] : "";
    bool in = strcmp(verb, "sub") == 0;
    if (args->rest_count == 0) {
        *out = (call){.method = "topics.list", .result = on_list, .args = args, .running_only = true};
        return EXIT_OK;
    }
    if (!in && strcmp(verb, "unsub") != 0)
        return cmd_fail(EXIT_USAGE, "topics: '%s' is neither sub nor unsub", verb);
    if (args->rest_count < 2)
        return cmd_fail(EXIT_USAGE, "topics: which one? 'kith topics %s NAME'", verb);
    topics_call(args, args->rest[1], in, out);
    return EXIT_OK;
}

static const cmd_option options[] = {
    {.name = "json", .help = "print one JSON object"},
    {0},
};

const cmd cmd_topics = {
    .name = "topics",
    .summary = "list, join and leave topics",
    .usage = "[sub NAME|unsub NAME] [--json]",
    .about =
        "Lists the topics that the running node ('kith up') is in, with how many peers are there too, or joins or leaves one\n"
        "until the node ends; the key gossip.topics names those that it is in from the start. 'kith message --topic NAME' says\n"
        "something there, 'kith listen --topic NAME' and the console of 'kith up' show what others say.",
    .examples = "  kith topics\n"
                "  kith topics sub news\n"
                "  kith topics unsub news\n",
    .options = options,
    .args_max = 2,
    .call = prepare,
};
