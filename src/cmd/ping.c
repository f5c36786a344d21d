/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith ping: round-trip times through the whole stack. */
#include <stdint.h>
#include <stdio.h>

#include "cmd/call.h"

static void on_event(const cmd_args *args, const json_t *ev)
{
    if (cmd_has(args, "json"))
        call_print_json(ev);
    else
        printf("32 bytes from %s: seq=%lld time=%.3f ms\n", call_text(ev, "peer"), call_number(ev, "seq"),
               call_real(ev, "rtt_ms"));
    fflush(stdout);
}

static int on_result(const cmd_args *args, const json_t *r)
{
    if (cmd_has(args, "json")) {
        json_t *o = json_pack("{s:s}", "event", "ping_summary");
        json_object_update(o, (json_t *)(uintptr_t)r);
        call_print_json(o);
        json_decref(o);
    } else {
        printf("%lld sent, %lld received; min %.3f ms, avg %.3f ms, max %.3f ms\n", call_number(r, "sent"),
               call_number(r, "received"), call_real(r, "min_ms"), call_real(r, "avg_ms"),
               call_real(r, "max_ms"));
    }
    return EXIT_OK;
}

static int prepare(const cmd_args *args, call *out)
{
    unsigned long long count, interval;
    if (!cmd_number(args, "count", 0, 1, 1000000000, &count) ||
        !cmd_number(args, "interval", 1000, 0, 3600000, &interval))
        return EXIT_USAGE;
    *out = (call){.method = "ping",
                  .params = json_pack("{s:s, s:I, s:I}", "target", args->rest[0], "count", (json_int_t)count,
                                      "interval_ms", (json_int_t)interval),
                  .event = on_event,
                  .result = on_result,
                  .args = args};
    return EXIT_OK;
}

static const cmd_option options[] = {
    {.name = "count", .letter = 'c', .arg = "N", .help = "stop after N answers (default: until Ctrl-C)"},
    {.name = "interval", .letter = 'i', .arg = "MS", .help = "milliseconds between pings (default 1000)"},
    {.name = "json", .help = "print one JSON object per answer, and a summary"},
    {0},
};

const cmd cmd_ping = {
    .name = "ping",
    .summary = "measure round trips to a peer",
    .usage = "ADDR|PEER [-c N] [--json]",
    .about = "Sends /ipfs/ping/1.0.0 pings over an authenticated, encrypted connection and prints the times.",
    .examples = "  kith ping /ip4/192.168.1.5/tcp/9000 -c 5\n",
    .options = options,
    .node = true,
    .args_min = 1,
    .args_max = 1,
    .call = prepare,
};
