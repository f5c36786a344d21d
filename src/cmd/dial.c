/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith dial: connect once and say what was found. */
#include <stdio.h>

#include "cmd/session.h"

typedef struct dial {
    session s;
    kith_observer watch;
} dial;

static void report(const dial *d, const kith_node_event *ev)
{
    json_t *o = session_conn_json(ev->conn);
    kith_conn_facts f;
    char peer[KITH_PEER_ID_TEXT_MAX + 1];
    kith_conn_facts_get(ev->conn, &f);
    kith_peer_id_text(&f.peer, peer);
    json_t *protocols = json_array();
    for (size_t i = 0; ev->info && i < ev->info->protocol_count; i++) {
        kith_bytes p = ev->info->protocols[i];
        json_array_append_new(protocols, json_stringn((const char *)p.p, p.len));
    }
    if (d->s.json) {
        json_object_set(o, "protocols", protocols);
        json_object_set_new(o, "identified", json_boolean(ev->info != NULL));
        session_print(json_incref(o));
    } else {
        printf("peer      %s\nagent     %s\nchannel   %s%s\nmuxer     %s%s\n", peer,
               f.agent[0] ? f.agent : "(unknown)", f.suite->id,
               f.suite->kem == KITH_KEM_NONE ? " (NOT post-quantum)" : " (post-quantum)", f.muxer,
               f.early_muxer ? " (early)" : "");
        for (size_t i = 0; i < json_array_size(protocols); i++) {
            const char *text = json_string_value(json_array_get(protocols, i));
            printf("%s %s\n", i ? "         " : "protocols", text ? text : "?");
        }
    }
    json_decref(protocols);
    json_decref(o);
}

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    dial *d = ctx;
    if (ev->kind == KITH_NODE_IDENTIFIED) {
        report(d, ev);
        session_end(&d->s, EXIT_OK);
    } else if (ev->kind == KITH_NODE_DISCONNECTED && d->s.code < 0) {
        cmd_warn("connected, but lost before identify was complete: %s",
                 ev->why ? ev->why : kith_err_text(ev->err));
        session_end(&d->s, EXIT_LOST);
    }
}

static void on_open(void *ctx, kith_conn *c)
{
    (void)ctx, (void)c; /* identify follows */
}

static int run(const cmd_args *args)
{
    dial d = {0};
    int code = session_start(&d.s, args);
    if (code)
        return code;
    d.watch = (kith_observer){.event = on_event, .ctx = &d};
    kith_host_observe(d.s.host, &d.watch);
    session_dial(&d.s, args->rest[0], on_open, &d);
    return session_run(&d.s);
}

static const cmd_option options[] = {
    {.name = "json", .help = "print the facts as one JSON object"},
    {0},
};

const cmd cmd_dial = {
    .name = "dial",
    .summary = "connect to a peer and say what was found",
    .usage = "ADDR [--json]",
    .about =
        "Connects, waits for identify, prints the peer, its program, the secure channel and whether it is\n"
        "post-quantum, and the protocols that the peer serves.",
    .examples = "  kith dial /ip4/192.168.1.5/tcp/9000\n"
                "  kith dial /ip4/192.168.1.5/tcp/9000/p2p/12D3Koo... --pq require\n",
    .options = options,
    .node = true,
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
