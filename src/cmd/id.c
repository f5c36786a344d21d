/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith id: who this node is. */
#include <stdio.h>
#include <string.h>

#include "cmd/qr.h"
#include "cmd/session.h"
#include "host/paths.h"

static int run(const cmd_args *args)
{
    session s;
    int code = session_start(&s, args);
    if (code)
        return code;
    char text[KITH_PEER_ID_TEXT_MAX + 1], cid[81], file[KITH_PATH_MAX] = "";
    const kith_peer_id *id = kith_node_id(kith_host_node(s.host));
    kith_peer_id_text(id, text);
    kith_peer_id_cid_text(id, cid);
    (void)kith_path(KITH_PLACE_CONFIG, "identity", file);
    if (s.json)
        session_print(
            json_pack("{s:s, s:s, s:s, s:s}", "peer", text, "cid", cid, "key_type", "ed25519", "file", file));
    else
        printf("%s\n", text);
    if (!s.json && cmd_has(args, "qr"))
        qr_print(text);
    session_end(&s, EXIT_OK);
    return session_run(&s);
}

static const cmd_option options[] = {
    {.name = "json", .help = "print the facts as one JSON object"},
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
    .run = run,
};
