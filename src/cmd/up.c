/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith up: the node in the foreground. */
#include <stdio.h>
#include <string.h>

#include "cmd/listen.h"
#include "cmd/session.h"
#include "host/json.h"
#include "proto/perf.h"

typedef struct up {
    session s;
    kith_observer watch;
} up;

static void *serve_perf(void *ctx, const kith_stream_info *info)
{
    (void)ctx, (void)info;
    return kith_perf_server(kith_host_env());
}

static void say_connected(const up *u, const kith_conn *c)
{
    kith_conn_facts f;
    char peer[KITH_PEER_ID_TEXT_MAX + 1], addr[KITH_MADDR_TEXT_MAX + 1];
    if (u->s.json) {
        json_t *o = json_pack("{s:s}", "event", "peer_connected"), *facts = kith_json_conn(c);
        json_object_update(o, facts);
        json_decref(facts);
        session_print(o);
        return;
    }
    kith_conn_facts_get(c, &f);
    kith_peer_id_text(&f.peer, peer);
    kith_maddr_text(&f.remote, addr);
    printf("connected %s %s %s (%s%s) %s\n", f.inbound ? "from" : "to", peer, addr, f.suite->id,
           f.suite->kem == KITH_KEM_NONE ? ", NOT post-quantum" : "", f.agent);
}

static void say_disconnected(const up *u, const kith_node_event *ev)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1];
    const char *why = ev->why ? ev->why : kith_err_text(ev->err);
    session_peer_text(ev->conn, peer);
    if (u->s.json)
        session_print(json_pack("{s:s, s:s, s:s, s:s}", "event", "peer_disconnected", "peer", peer, "reason",
                                why, "error", kith_err_name(ev->err)));
    else
        printf("disconnected %s: %s\n", peer, why);
}

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    const up *u = ctx;
    if (ev->kind == KITH_NODE_IDENTIFIED)
        say_connected(u, ev->conn);
    else if (ev->kind == KITH_NODE_DISCONNECTED)
        say_disconnected(u, ev);
    fflush(stdout);
}

static void say_listening(const up *u, kith_maddr *addrs, size_t count)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1], text[KITH_MADDR_TEXT_MAX + 1];
    json_t *list = json_array();
    kith_peer_id_text(kith_node_id(kith_host_node(u->s.host)), peer);
    if (!u->s.json)
        printf("peer id %s\n", peer);
    for (size_t i = 0; i < count; i++) {
        kith_maddr_text(&addrs[i], text);
        json_array_append_new(list, json_string(text));
        if (!u->s.json)
            printf("listening on %s\n", text);
    }
    if (u->s.json)
        session_print(json_pack("{s:s, s:s, s:O}", "event", "listening", "peer", peer, "addrs", list));
    json_decref(list);
    fflush(stdout);
}

static int run(const cmd_args *args)
{
    up u = {0};
    int code = session_start(&u.s, args);
    if (code)
        return code;
    kith_node *node = kith_host_node(u.s.host);
    if (u.s.config.perf) {
        kith_protocol row = {.id = kith_bytes_str(KITH_PERF_ID), .ops = &kith_perf_ops, .accept = serve_perf};
        if (kith_node_serve(node, kith_host_now(u.s.host), &row))
            session_end(&u.s, EXIT_FAILED);
    }
    u.watch = (kith_observer){.event = on_event, .ctx = &u};
    kith_host_observe(u.s.host, &u.watch);
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX];
    size_t count;
    code = listen_as_configured(&u.s, LISTEN_WELL_KNOWN, addrs, KITH_RECORD_ADDRS_MAX, &count);
    if (code)
        session_end(&u.s, code);
    else
        say_listening(&u, addrs, count);
    code = session_run(&u.s);
    return code == EXIT_INTERRUPTED ? EXIT_OK : code; /* Ctrl-C is how one stops it */
}

static const cmd_option options[] = {
    {.name = "json", .help = "print one JSON event per line"},
    {0},
};

const cmd cmd_up = {
    .name = "up",
    .summary = "run a node in the foreground",
    .usage = "[--listen ADDR]... [--perf] [--json]",
    .about = "Listens, accepts peers, and tells who comes and goes, until Ctrl-C.\n"
             "Without --listen it takes port 9000 on IPv4 and IPv6, or the next free one.",
    .examples = "  kith up\n"
                "  kith up --listen /ip4/127.0.0.1/tcp/0 --json\n"
                "  kith up --pq require --perf\n",
    .options = options,
    .node = true,
    .run = run,
};
