/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith quantum: what was proven about the channel to a peer. Only what the handshake came to, and what is remembered of the peer. */
#include <stdio.h>

#include "cmd/call.h"

static void print_exchange(const json_t *r)
{
    if (call_true(r, "pq"))
        printf("keys        X25519 and %s, NIST category %lld\n", call_text(r, "kem"),
               call_number(r, "level"));
    else
        printf("keys        X25519 alone: NOT post-quantum, whoever records this can read it one day\n");
}

static void print_identity(const json_t *r)
{
    const char *how = call_text(r, "key_trust");
    char resumed[96];
    if (!call_text(r, "pq_id")[0]) {
        printf("identity    a classical signature alone: NOT post-quantum\n"
               "transcript  NOT bound to a post-quantum signature\n");
        return;
    }
    printf("identity    %s, NIST category %lld%s, besides the peer id's classical key\n",
           call_text(r, "pq_algorithm"), call_number(r, "pq_category"), call_resumed(r, resumed));
    printf("pq id       %s (%s)\n", call_text(r, "pq_id"), how[0] ? how : "not remembered");
    if (call_true(r, "transcript_bound"))
        printf("transcript  bound: both signed this handshake\n");
    else
        printf("transcript  bound by a secret of that session, which only the two have\n");
}

static int on_result(const cmd_args *args, const json_t *r)
{
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    char words[512];
    const char *trust = call_text(r, "trust"), *qkd = call_qkd(r, words);
    printf("peer        %s", call_text(r, "peer"));
    if (trust[0])
        printf(" (%s)", trust);
    printf("\naddress     %s%s\nchannel     %s%s\n", call_text(r, "addr"),
           call_true(r, "reused") ? " (was connected already)" : "", call_text(r, "secure_channel"),
           call_true(r, "pq") ? "" : " (NOT post-quantum)");
    print_exchange(r);
    printf("records     %s\n", call_text(r, "cipher"));
    print_identity(r);
    printf("qkd         %s\n", qkd ? qkd : "off");
    printf("handshake   %lld bytes sent, %lld received, %.1f ms\n", call_number(r, "handshake_bytes_out"),
           call_number(r, "handshake_bytes_in"), call_real(r, "handshake_ms"));
    return EXIT_OK;
}

static int prepare(const cmd_args *args, call *out)
{
    return call_dial(args, on_result, out);
}

static const cmd_option options[] = {
    {.name = "json", .help = "print the facts as one JSON object"},
    {0},
};

const cmd cmd_quantum = {
    .name = "quantum",
    .summary = "connect to a peer and say what of it holds against a quantum computer",
    .usage = "ADDR|PEER [--level 1|3|5] [--json]",
    .about =
        "Connects to a peer and prints what the handshake came to: the channel, the key exchange and its level, whether\n"
        "and with which post-quantum key the peer proved who it is, whether that proof covers this very handshake, how the\n"
        "key is known, and what the handshake took. With --level or --pq a node of its own connects; otherwise a running\n"
        "node does, and tells of a connection that it has.",
    .examples = "  kith quantum /ip4/192.168.1.5/tcp/9000\n"
                "  kith quantum 12D3KooW... --level 5 --json\n",
    .options = options,
    .node = true,
    .args_min = 1,
    .args_max = 1,
    .call = prepare,
};
