/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith perf: how fast the whole stack carries bytes to a peer and back. */
#include <stdio.h>
#include <unistd.h>

#include "cmd/call.h"

typedef struct sizes {
    unsigned long long upload, download;
} sizes;

static bool read_sizes(const cmd_args *args, sizes *out)
{
    unsigned long long fallback = cmd_has(args, "upload") || cmd_has(args, "download") ? 0 : 256u << 20;
    return cmd_number(args, "upload", fallback, 0, 1ull << 62, &out->upload) &&
           cmd_number(args, "download", fallback, 0, 1ull << 62, &out->download);
}

static bool wants_progress(const cmd_args *args)
{
    return !cmd_has(args, "json") && isatty(STDERR_FILENO);
}

static void on_event(const cmd_args *args, const json_t *ev)
{
    sizes s;
    if (wants_progress(args) && read_sizes(args, &s))
        fprintf(stderr, "\r%lld of %llu MiB up, %lld of %llu MiB down ", call_number(ev, "sent") >> 20,
                s.upload >> 20, call_number(ev, "received") >> 20, s.download >> 20);
}

static void print_way(const char *name, const json_t *r, const char *bytes, const char *seconds)
{
    double n = (double)call_number(r, bytes), t = call_real(r, seconds);
    printf("%-9s %lld bytes in %.3f s, %.2f Gbit/s\n", name, call_number(r, bytes), t,
           t > 0 ? n * 8 / t / 1e9 : 0);
}

static int on_result(const cmd_args *args, const json_t *r)
{
    if (wants_progress(args))
        fprintf(stderr, "\r\033[K");
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    print_way("upload", r, "upload_bytes", "upload_seconds");
    print_way("download", r, "download_bytes", "download_seconds");
    printf("channel   %s%s, %s\n", call_text(r, "secure_channel"),
           call_true(r, "pq") ? " (post-quantum)" : " (NOT post-quantum)", call_text(r, "muxer"));
    return EXIT_OK;
}

static int prepare(const cmd_args *args, call *out)
{
    sizes s;
    if (!read_sizes(args, &s))
        return EXIT_USAGE;
    *out = (call){.method = "perf",
                  .params = json_pack("{s:s, s:I, s:I}", "target", args->rest[0], "upload",
                                      (json_int_t)s.upload, "download", (json_int_t)s.download),
                  .event = on_event,
                  .result = on_result,
                  .args = args};
    return EXIT_OK;
}

static const cmd_option options[] = {
    {.name = "upload", .arg = "BYTES", .help = "how much to send, such as 1GiB"},
    {.name = "download", .arg = "BYTES", .help = "how much to receive"},
    {.name = "json", .help = "print the result as one JSON object"},
    {0},
};

const cmd cmd_perf = {
    .name = "perf",
    .summary = "measure the speed to a peer",
    .usage = "ADDR|PEER [--upload BYTES] [--download BYTES] [--json]",
    .about =
        "Uploads, then downloads over one stream of /perf/1.0.0 and prints the speeds. The peer must serve it:\n"
        "a kith node does when started with --perf. Without sizes, 256 MiB go each way.",
    .examples = "  kith perf /ip4/192.168.1.5/tcp/9000 --upload 1GiB --download 1GiB\n",
    .options = options,
    .node = true,
    .args_min = 1,
    .args_max = 1,
    .call = prepare,
};
