/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith id: who this node is. */
#include <stdio.h>

#include "cmd/call.h"
#include "cmd/qr.h"

static int on_result(const cmd_args *args, const json_t *r)
{
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    printf("%s\n", call_text(r, "peer"));
    if (cmd_has(args, "qr"))
        qr_print(call_text(r, "peer"));
    return EXIT_OK;
}

static int prepare(const cmd_args *args, call *out)
{
    *out = (call){.method = "id", .result = on_result, .args = args, .offline = true};
    return EXIT_OK;
}

static const cmd_option options[] = {
    {.name = "json", .help = "print the facts as one JSON object, with the addresses of a running node"},
    {.name = "qr", .help = "draw the peer id as a QR code too"},
    {0},
};

const cmd cmd_id = {
    .name = "id",
    .summary = "print this node's peer id",
    .usage = "[--json] [--qr]",
    .about =
        "Prints the peer id, by which every libp2p node can name this one. The identity is made on first use.",
    .examples = "  kith id\n  kith id --qr\n",
    .options = options,
    .node = true,
    .call = prepare,
};
