/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith dht: who provides what, values, and how this node stands in the DHT. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/call.h"
#include "proto/kad_msg.h"
#include "wire/multibase.h"

/* ---- answers ---- */

static int on_key(const cmd_args *args, const json_t *r)
{
    const char *sub = args->rest[0];
    if (cmd_has(args, "json"))
        call_print_json(r);
    else if (strcmp(sub, "unprovide") == 0)
        printf("%s is provided no more; what others were told of it is forgotten within 48 hours\n",
               call_text(r, "key"));
    else
        printf("%s: %lld peers were told (%.1f s)\n", call_text(r, "key"), call_number(r, "reached"),
               call_real(r, "seconds"));
    return EXIT_OK;
}

static void on_provider(const cmd_args *args, const json_t *ev)
{
    const json_t *addrs = json_object_get(ev, "addrs");
    if (cmd_has(args, "json")) {
        call_print_json(ev);
    } else {
        call_print_who(stdout, ev);
        putchar('\n');
        for (size_t i = 0; i < json_array_size(addrs); i++)
            printf("      %s\n", json_string_value(json_array_get(addrs, i)));
    }
    fflush(stdout);
}

static int on_providers(const cmd_args *args, const json_t *r)
{
    if (cmd_has(args, "json")) {
        json_t *o = json_pack("{s:s}", "event", "providers_summary");
        json_object_update(o, (json_t *)(uintptr_t)r);
        call_print_json(o);
        json_decref(o);
    }
    return EXIT_OK;
}

static int on_value(const cmd_args *args, const json_t *r)
{
    uint8_t value[KITH_KAD_VALUE_MAX];
    kith_wr w = kith_wr_of(kith_span_of(value, sizeof value));
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    const json_t *ipns = json_object_get(r, "ipns");
    if (ipns && !cmd_has(args, "raw")) {
        if (!json_object_get(ipns, "value"))
            return cmd_fail(EXIT_DAMAGED,
                            "dht get: this name points to what is no path; --raw writes its record as it is");
        puts(call_text(ipns, "value"));
        return EXIT_OK;
    }
    if (kith_base_get(kith_bytes_str(call_text(r, "base64")), KITH_BASE64URL, &w))
        return cmd_fail(EXIT_DAMAGED, "dht get: the node's answer is not base64url");
    fwrite(value, 1, w.len, stdout);
    return EXIT_OK;
}

static int on_status(const cmd_args *args, const json_t *r)
{
    json_t *table = json_object_get(r, "table"), *p;
    size_t i;
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    printf("mode        %s", call_text(r, "mode"));
    if (strcmp(call_text(r, "mode"), "off") == 0) {
        putchar('\n');
        return EXIT_OK;
    }
    if (!call_true(r, "started"))
        printf(", not joined");
    else if (strcmp(call_text(r, "mode"), "auto") == 0)
        printf(
            ", now %s: peers of %lld public networks have come here by themselves in the last hour, and 3 make "
            "a server",
            call_true(r, "server") ? "a server" : "a client", call_number(r, "public_networks"));
    printf("\nprotocol    %s\n", call_text(r, "protocol"));
    printf("table       %lld servers, %lld buckets\n", call_number(r, "peers"),
           call_number(r, "peers") ? call_number(r, "depth") + 1 : 0);
    printf("begins with %lld bootstrap peers, %lld remembered ones%s\n", call_number(r, "bootstrap"),
           call_number(r, "remembered"),
           call_true(r, "waiting")
               ? "; the public ones are left alone: only loopback is listened on, or pq = require"
               : "");
    printf("asked       %lld questions, %lld in vain\n", call_number(r, "asked"), call_number(r, "failed"));
    printf("answered    %lld questions, %lld refused\n", call_number(r, "served"), call_number(r, "refused"));
    printf("provides    %lld keys\n", call_number(r, "provides"));
    printf("keeps       %lld values (%lld bytes), %lld providers of %lld keys\n", call_number(r, "values"),
           call_number(r, "values_bytes"), call_number(r, "providers"), call_number(r, "provider_keys"));
    json_array_foreach(table, i, p)
    {
        printf("  bucket %2lld  %s, answered %lld s ago\n", call_number(p, "bucket"), call_text(p, "peer"),
               call_number(p, "seconds"));
    }
    return EXIT_OK;
}

/* ---- calls ---- */

static int prepare_status(const cmd_args *args, call *out)
{
    *out = (call){.method = "dht.status",
                  .params = json_pack("{s:b}", "detailed", cmd_has(args, "detailed")),
                  .result = on_status,
                  .args = args,
                  .running_only = true};
    return EXIT_OK;
}

/* A record of a node that is gone with its command would be of no use. */
static int prepare_provide(const cmd_args *args, call *out)
{
    *out = (call){.method = "dht.provide",
                  .params = json_pack("{s:s}", "key", args->rest[1]),
                  .result = on_key,
                  .args = args,
                  .running_only = true};
    return EXIT_OK;
}

static int prepare_unprovide(const cmd_args *args, call *out)
{
    int code = prepare_provide(args, out);
    out->method = "dht.unprovide";
    return code;
}

static int prepare_providers(const cmd_args *args, call *out)
{
    unsigned long long count;
    if (!cmd_number(args, "count", 20, 1, 64, &count))
        return EXIT_USAGE;
    *out = (call){.method = "dht.providers",
                  .params = json_pack("{s:s, s:I}", "key", args->rest[1], "count", (json_int_t)count),
                  .event = on_provider,
                  .result = on_providers,
                  .args = args};
    return EXIT_OK;
}

static int prepare_put(const cmd_args *args, call *out)
{
    uint8_t value[KITH_KAD_VALUE_MAX + 1], text[KITH_KAD_VALUE_MAX * 3 / 2];
    json_t *p = json_pack("{s:s}", "key", args->rest[1]);
    if (args->rest_count > 2) {
        const char *name = args->rest[2];
        FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
        size_t n = f ? fread(value, 1, sizeof value, f) : 0;
        bool broken = !f || ferror(f);
        int why = errno;
        if (f && f != stdin)
            fclose(f);
        if (broken || n > KITH_KAD_VALUE_MAX) {
            json_decref(p);
            return broken ? cmd_fail(EXIT_DISK, "cannot read %s: %s", name, strerror(why))
                          : cmd_fail(EXIT_USAGE, "dht put: a value has 10240 bytes at most");
        }
        kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
        kith_base_put(&w, KITH_BASE64URL, kith_bytes_of(value, n));
        json_object_set_new(p, "base64", json_stringn((const char *)text, w.len));
    }
    *out = (call){.method = "dht.put", .params = p, .result = on_key, .args = args};
    return EXIT_OK;
}

static int prepare_get(const cmd_args *args, call *out)
{
    *out = (call){.method = "dht.get",
                  .params = json_pack("{s:s}", "key", args->rest[1]),
                  .result = on_value,
                  .args = args};
    return EXIT_OK;
}

static const call_sub subs[] = {
    {"status", "detailed", 0, 0, prepare_status},
    {"provide", "", 1, 1, prepare_provide},
    {"unprovide", "", 1, 1, prepare_unprovide},
    {"providers", "count", 1, 1, prepare_providers},
    {"put", "", 1, 2, prepare_put},
    {"get", "raw", 1, 1, prepare_get},
    {0},
};

static int prepare(const cmd_args *args, call *out)
{
    return call_sub_prepare(subs, args, out);
}

static const cmd_option options[] = {
    {.name = "count", .letter = 'c', .arg = "N", .help = "providers: as many at most (1 to 64, default 20)"},
    {.name = "detailed", .help = "status: every server in the table too"},
    {.name = "raw", .help = "get: the record of /ipns/NAME as it is, to keep it or put it elsewhere"},
    {.name = "json", .help = "print JSON"},
    {0},
};

const cmd cmd_dht = {
    .name = "dht",
    .summary = "use the distributed hash table: providers, values, status",
    .usage = "status [--detailed] | provide KEY | unprovide KEY | providers KEY [--count N] |\n"
             "                put KEY [FILE|-] | get KEY [--raw]  [--json]",
    .about =
        "The DHT is a list that all of its nodes keep together, without a server: who provides what, and small values\n"
        "that can be checked. KEY of a provider is a CID, or any other text, such as the name of a club.\n\n"
        "  provide    tell the network that the running node has it, and again every 22 hours until unprovide\n"
        "  providers  who has it\n"
        "  put, get   a value under /pk/PEER, the public key of that peer; put without FILE: the key that the id holds;\n"
        "             or under /ipns/NAME, where an IPNS name points to, as its owner has signed it (put: such a record)\n"
        "  status     how the running node takes part: 'dht', 'dht.protocol' and 'bootstrap' of the configuration\n\n"
        "Without a running node put, get and providers join the network for as long as they take.",
    .examples = "  kith dht provide chess-club-of-ulm\n"
                "  kith dht providers chess-club-of-ulm --json\n"
                "  kith dht providers bafkreib3n4qhnhzrdcs6yvzd6n4hn4zrdn2tbsnsdf6u7uyqfxj5eyyhiq\n"
                "  kith dht get /pk/12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE --json\n"
                "  kith dht get /ipns/k51qzi5uqu5dgklc20hksmmzhoy5lfrn5xcnryq6xp4r50b5yc0vnivpywfu9p\n",
    .options = options,
    .node = true,
    .args_min = 1,
    .args_max = 3,
    .call = prepare,
};
