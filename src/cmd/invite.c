/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith invite and kith join: introducing two nodes by a link. */
#include <stdio.h>

#include "cmd/call.h"
#include "cmd/qr.h"
#include "host/config.h"

static void on_event(const cmd_args *args, const json_t *ev)
{
    if (cmd_has(args, "json")) {
        call_print_json(ev);
        return;
    }
    printf("%s\n", call_text(ev, "link"));
    fflush(stdout);
    if (cmd_has(args, "qr"))
        qr_print(call_text(ev, "link"));
    fflush(stdout);
    fprintf(
        stderr,
        "on the other machine: kith join LINK\nwaiting for the guest; Ctrl-C takes the invitation back\n");
}

static int on_pinned(const cmd_args *args, const json_t *r)
{
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    printf("pinned %s", call_text(r, "peer"));
    if (*call_text(r, "key"))
        printf(" with its post-quantum key %s", call_text(r, "key"));
    if (*call_text(r, "name")) {
        printf(", called ");
        call_print(stdout, call_text(r, "name"));
    }
    putchar('\n');
    return EXIT_OK;
}

static int prepare_invite(const cmd_args *args, call *out)
{
    const char *name = cmd_value(args, "name");
    kith_time t;
    if (!cmd_duration(args, "ttl", KITH_SEC(600), KITH_SEC(30 * 86400), &t))
        return EXIT_USAGE;
    *out = (call){.method = "invite",
                  .params =
                      json_pack("{s:s, s:I}", "name", name ? name : "", "ttl", (json_int_t)(t / KITH_SEC(1))),
                  .event = on_event,
                  .result = on_pinned,
                  .args = args,
                  .listens = true};
    return EXIT_OK;
}

static const cmd_option invite_options[] = {
    {.name = "name", .arg = "NAME", .help = "what you will call the guest"},
    {.name = "ttl",
     .arg = "TIME",
     .help = "how long the invitation is open, such as 30s, 10m, 24h (default 10m)"},
    {.name = "qr", .help = "also draw the link as a QR code"},
    {.name = "json", .help = "print the invitation and the guest as JSON objects"},
    {0},
};

const cmd cmd_invite = {
    .name = "invite",
    .summary = "make a link that introduces somebody to this node, once",
    .usage = "[--name NAME] [--ttl TIME] [--qr] [--json]",
    .about =
        "Prints a link for one guest and waits for it. Both nodes then have each other's keys pinned. The link holds a\n"
        "secret that works once: pass it on like a key. Without a running node ('kith up') one listens for as long as the\n"
        "command waits.",
    .examples = "  kith invite --name alice --ttl 1h\n  kith invite --qr\n",
    .options = invite_options,
    .node = true,
    .call = prepare_invite,
};

static int prepare_join(const cmd_args *args, call *out)
{
    const char *name = cmd_value(args, "name");
    *out = (call){.method = "join",
                  .params = json_pack("{s:s, s:s}", "link", args->rest[0], "name", name ? name : ""),
                  .result = on_pinned,
                  .args = args};
    return EXIT_OK;
}

static const cmd_option join_options[] = {
    {.name = "name", .arg = "NAME", .help = "what you will call who invited you"},
    {.name = "json", .help = "print who invited as one JSON object"},
    {0},
};

const cmd cmd_join = {
    .name = "join",
    .summary = "take up an invitation",
    .usage = "LINK [--name NAME] [--json]",
    .about =
        "Connects to who made the link, proves that it has the link's secret and that the other side has it too, and pins\n"
        "the keys of both.",
    .examples = "  kith join kith://invite/CiYAJAgB... --name bob\n",
    .options = join_options,
    .node = true,
    .args_min = 1,
    .args_max = 1,
    .call = prepare_join,
};
