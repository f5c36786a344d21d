/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith dial: connect once and say what was found; kith disconnect. */
#include <stdio.h>

#include "cmd/call.h"

static int on_result(const cmd_args *args, const json_t *r)
{
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    printf("peer      %s\naddress   %s%s\nagent     ", call_text(r, "peer"), call_text(r, "addr"),
           call_true(r, "reused") ? " (was connected already)" : "");
    call_print(stdout, call_text(r, "agent")[0] ? call_text(r, "agent") : "(unknown)");
    printf("\nchannel   %s%s\nmuxer     %s%s\n", call_text(r, "secure_channel"),
           call_true(r, "pq") ? " (post-quantum)" : " (NOT post-quantum)", call_text(r, "muxer"),
           call_true(r, "early_muxer") ? " (early)" : "");
    char words[512];
    const char *qkd = call_qkd(r, words);
    if (qkd)
        printf("qkd       %s\n", qkd);
    const json_t *list = json_object_get(r, "protocols");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *id = json_string_value(json_array_get(list, i));
        printf("%s ", i ? "         " : "protocols");
        call_print(stdout, id ? id : "");
        putchar('\n');
    }
    return EXIT_OK;
}

static int prepare(const cmd_args *args, call *out)
{
    int code = call_dial(args, on_result, out);
    if (!code && cmd_has(args, "keep")) {
        json_object_set_new(out->params, "keep", json_true());
        out->running_only = true;
    }
    return code;
}

static const cmd_option options[] = {
    {.name = "keep", .help = "the running node stays connected to it, until 'kith disconnect' or its end"},
    {.name = "json", .help = "print what was found as one JSON object"},
    {0},
};

const cmd cmd_dial = {
    .name = "dial",
    .summary = "connect to a peer and say what was found",
    .usage = "ADDR|PEER [--keep] [--json]",
    .about =
        "Connects to a peer at an address, or by its id at an address that worked before or that the local network\n"
        "tells, waits until identify has told about it, and prints what was found. A running node keeps the\n"
        "connection; with --keep it also comes back to the peer whenever that is lost.",
    .examples = "  kith dial /ip4/192.168.1.5/tcp/9000\n"
                "  kith dial --keep alice\n"
                "  kith dial /dnsaddr/bootstrap.libp2p.io --json\n",
    .options = options,
    .node = true,
    .args_min = 1,
    .args_max = 1,
    .call = prepare,
};

static int on_closed(const cmd_args *args, const json_t *r)
{
    long long n = call_number(r, "closed");
    if (cmd_has(args, "json"))
        call_print_json(r);
    else
        printf("closed %lld connection%s\n", n, n == 1 ? "" : "s");
    return EXIT_OK;
}

static int prepare_disconnect(const cmd_args *args, call *out)
{
    *out = (call){.method = "disconnect",
                  .params = json_pack("{s:s}", "peer", args->rest[0]),
                  .result = on_closed,
                  .args = args,
                  .running_only = true};
    return EXIT_OK;
}

static const cmd_option disconnect_options[] = {
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const cmd cmd_disconnect = {
    .name = "disconnect",
    .summary = "close the running node's connections to a peer",
    .usage = "PEER [--json]",
    .about =
        "Closes all connections between the running node and a peer in good order, and does not keep it any more.",
    .examples = "  kith disconnect 12D3KooW...\n",
    .options = disconnect_options,
    .args_min = 1,
    .args_max = 1,
    .call = prepare_disconnect,
};
