/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith find: where a peer is. */
#include <stdio.h>

#include "cmd/call.h"

static int on_result(const cmd_args *args, const json_t *r)
{
    const json_t *addrs = json_object_get(r, "addrs");
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    call_print_who(stdout, r);
    printf("%s\n", call_true(r, "connected") ? ", connected" : "");
    for (size_t i = 0; i < json_array_size(addrs); i++)
        printf("      %s (%s)\n", call_text(json_array_get(addrs, i), "addr"),
               call_text(json_array_get(addrs, i), "source"));
    if (json_array_size(addrs) == 0)
        printf("      it came to us, and where it listens is not known\n");
    return EXIT_OK;
}

static int prepare(const cmd_args *args, call *out)
{
    *out = (call){.method = "dht.find_peer",
                  .params = json_pack("{s:s}", "peer", args->rest[0]),
                  .result = on_result,
                  .args = args};
    return EXIT_OK;
}

static const cmd_option options[] = {
    {.name = "json", .help = "print the answer as one JSON object"},
    {0},
};

const cmd cmd_find_peer = {
    .name = "find",
    .summary = "find out where a peer is",
    .usage = "PEER [--json]",
    .about =
        "Prints the addresses of a peer and where each is known from: an open connection, the local network (mdns),\n"
        "the peer book (dialed, manual, ticket, identify), and, unless it is connected, the DHT (kademlia). A peer that\n"
        "the DHT names is called, and counts as found when it has proven to be that peer. Exit code 4: no address.",
    .examples = "  kith find 12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE\n"
                "  kith find alice --json\n",
    .options = options,
    .node = true,
    .args_min = 1,
    .args_max = 1,
    .call = prepare,
};
