/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith discover: who is on the local network, known from before, or in the DHT. */
#include "cmd/discover.h"

#include <string.h>

#include "cmd/call.h"
#include "host/config.h"

void discover_line(FILE *f, const json_t *ev)
{
    const json_t *addrs = json_object_get(ev, "addrs");
    const char *interface = call_text(ev, "interface");
    fputs("found ", f);
    call_print_who(f, ev);
    if (interface[0]) {
        fprintf(f, " on ");
        call_print(f, interface);
    } else {
        fprintf(f, "%s", strcmp(call_text(ev, "source"), "manual") == 0 ? " in the peer book" : " by ");
        if (strcmp(call_text(ev, "source"), "manual") != 0)
            call_print(f, call_text(ev, "source"));
    }
    if (call_true(ev, "blocked"))
        fprintf(f, ", blocked");
    if (json_is_real(json_object_get(ev, "latency_ms")))
        fprintf(f, ", %.3f ms away", call_real(ev, "latency_ms"));
    if (json_object_get(ev, "error")) {
        fprintf(f, ", not reached: ");
        call_print(f, call_text(ev, "error"));
    }
    fputc('\n', f);
    for (size_t i = 0; i < json_array_size(addrs); i++)
        fprintf(f, "      %s\n", json_string_value(json_array_get(addrs, i)));
}

static void on_event(const cmd_args *args, const json_t *ev)
{
    if (cmd_has(args, "json"))
        call_print_json(ev);
    else
        discover_line(stdout, ev);
    fflush(stdout);
}

static const char *method_of(const cmd_args *args)
{
    const char *method = cmd_value(args, "method");
    return method ? method : "auto";
}

static int on_result(const cmd_args *args, const json_t *r)
{
    unsigned long long wanted = 0;
    long long found = call_number(r, "found");
    if (cmd_has(args, "json")) {
        json_t *o = json_pack("{s:s, s:I, s:f}", "event", "discover_summary", "found", (json_int_t)found,
                              "seconds", call_real(r, "seconds"));
        call_print_json(o);
        json_decref(o);
    } else if (found == 0 && call_text(r, "trouble")[0]) {
        cmd_warn("nobody was found; %s", call_text(r, "trouble"));
    } else if (found == 0 && strcmp(method_of(args), "rendezvous") == 0) {
        cmd_warn(
            "nobody else is registered there under that namespace (rendezvous.namespace, or --namespace)");
    } else if (found == 0) {
        cmd_warn(
            "nobody was found; run 'kith up' on another machine of this network, and see that no firewall keeps back UDP "
            "port 5353");
    }
    (void)cmd_number(args, "count", 0, 1, 1000000, &wanted);
    return (unsigned long long)found < wanted ? EXIT_FAILED : EXIT_OK;
}

static int prepare(const cmd_args *args, call *out)
{
    const char *method = method_of(args), *wait = cmd_value(args, "timeout"), *key = cmd_value(args, "key"),
               *ns = cmd_value(args, "namespace");
    unsigned long long count;
    kith_time timeout = KITH_SEC(5);
    if (wait && (!kith_parse_duration(wait, &timeout) || timeout < KITH_MS(1) ||
                 (timeout != KITH_NEVER && timeout > KITH_SEC(86400))))
        return cmd_fail(EXIT_USAGE, "--timeout: '%s' is not a time of up to 24h; write it like 5s, or never",
                        wait);
    if (!cmd_number(args, "count", 0, 1, 1000000, &count))
        return EXIT_USAGE;
    json_int_t ms = timeout == KITH_NEVER ? 0 : (json_int_t)(timeout / KITH_MS(1));
    *out = (call){.method = "discover",
                  .params = json_pack("{s:s, s:I, s:I, s:b}", "method", method, "count", (json_int_t)count,
                                      "timeout_ms", ms, "ping", cmd_has(args, "ping")),
                  .event = on_event,
                  .result = on_result,
                  .args = args};
    if (key)
        json_object_set_new(out->params, "key", json_string(key));
    if (ns)
        json_object_set_new(out->params, "namespace", json_string(ns));
    return EXIT_OK;
}

static const cmd_option options[] = {
    {.name = "method",
     .letter = 'm',
     .arg = "HOW",
     .help =
         "mdns, manual (the peer book), rendezvous (points), kademlia (the DHT), auto (all that fit; default)"},
    {.name = "key", .letter = 'k', .arg = "KEY", .help = "kademlia: only who provides this CID or name"},
    {.name = "namespace",
     .letter = 'n',
     .arg = "NS",
     .help = "rendezvous: another one than rendezvous.namespace"},
    {.name = "count", .letter = 'c', .arg = "N", .help = "stop after N peers; fewer are a failure"},
    {.name = "timeout", .letter = 't', .arg = "TIME", .help = "how long to look (default 5s), or never"},
    {.name = "ping", .letter = 'p', .help = "connect to each and measure a round trip"},
    {.name = "json", .help = "print one JSON object per peer, and a summary"},
    {0},
};

const cmd cmd_discover = {
    .name = "discover",
    .summary = "find peers: on the local network, in the peer book, at rendezvous points, in the DHT",
    .usage = "[--method HOW] [--namespace NS] [--key KEY] [--count N] [--timeout TIME] [--ping] [--json]",
    .about =
        "Prints libp2p peers as they are found: on the local network by multicast DNS, as kith, go-, js- and\n"
        "rust-libp2p nodes announce themselves there, those that the peer book knows an address of, those who are\n"
        "registered at a rendezvous point (rendezvous.point) under the same namespace, and servers of the DHT\n"
        "(kademlia), or with --key those who provide a key in it. 'auto' asks the DHT only in a network of one's own\n"
        "(dht.protocol), as the public one is full of strangers. What a network says is not proven before a connection\n"
        "is made; --ping does that, but not to who is blocked.",
    .examples =
        "  kith discover\n"
        "  kith discover --method mdns --count 1 --timeout 2s --ping\n"
        "  kith discover --method rendezvous --rendezvous.point /ip4/192.0.2.7/tcp/9000/p2p/12D3KooW...\n"
        "  kith discover --method kademlia --key chess-club-of-ulm --ping\n"
        "  kith discover --timeout never --json\n",
    .options = options,
    .node = true,
    .args_max = 0,
    .call = prepare,
};
