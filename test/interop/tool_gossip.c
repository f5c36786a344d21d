/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A node that gossips: it subscribes, publishes what stdin says, and prints what comes. It ends with stdin.
 *
 *     tool_gossip [--judged] [--px] [--direct] [--test-extension] [--no-flood] TOPIC [ADDR...]
 *
 *     say TEXT               publish it; a message's key is its text up to the first space
 *     burst N SIZE KEY       publish N messages KEY-0, KEY-1 ..., each of SIZE bytes
 *     timed SIZE KEY         publish one of SIZE bytes, KEY-T: T is CLOCK_MONOTONIC in nanoseconds, as is a message's `at`
 *     dial ADDR              connect
 *     peers                  print {"event":"peers","topic":N,"mesh":N}
 *     counts                 print what kith_gossip_count says
 *     leave, join            unsubscribe, subscribe
 *     quit
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/host.h"
#include "mesh/gossip_part.h"

static kith_host *host;
static kith_gossip_part *part;
static const char *topic;
static bool judged;
static size_t bad; /* messages that the verdict rejects */

static int fail(const char *what)
{
    fprintf(stderr, "tool_gossip: %s\n", what);
    return 1;
}

static kith_gossip *router(void)
{
    return kith_gossip_part_router(part);
}

/* The text up to the first space, as far as it is harmless in JSON. */
static void print_key(kith_bytes data)
{
    for (size_t i = 0; i < data.len && i < 64 && data.p[i] != ' '; i++)
        putchar(data.p[i] > ' ' && data.p[i] < 127 && data.p[i] != '"' && data.p[i] != '\\' ? data.p[i]
                                                                                            : '?');
}

static void on_news(void *ctx, kith_time now)
{
    kith_gossip_event ev;
    (void)ctx;
    while (kith_gossip_next(router(), &ev)) {
        uint64_t at = uv_hrtime();
        char from[KITH_PEER_ID_TEXT_MAX + 1], source[KITH_PEER_ID_TEXT_MAX + 1];
        kith_peer_id_text(&ev.from, from);
        kith_peer_id_text(&ev.source, source);
        printf("{\"event\":\"message\",\"from\":\"%s\",\"source\":\"%s\",\"seqno\":\"%016" PRIx64
               "\",\"at\":%" PRIu64 ",\"bytes\":%zu,\"key\":\"",
               from, source, ev.seqno, at, ev.data.len);
        print_key(ev.data);
        puts("\"}");
        if (ev.judged) {
            bool reject = ev.data.len >= 3 && memcmp(ev.data.p, "bad", 3) == 0;
            bad += reject;
            if (kith_gossip_judged(router(), now, ev.id, reject ? KITH_GOSSIP_REJECT : KITH_GOSSIP_ACCEPT))
                fail("a verdict came too late");
        }
    }
}

static void publish(const char *data, size_t len)
{
    kith_err e = kith_gossip_publish(router(), kith_host_now(host), kith_bytes_str(topic),
                                     kith_bytes_of(data, len), NULL, NULL);
    if (e)
        printf("{\"event\":\"refused\",\"error\":\"%s\"}\n", kith_err_name(e));
}

static void burst(const char *args)
{
    char *rest;
    unsigned long n = strtoul(args, &rest, 10);
    size_t size = strtoul(rest, &rest, 10), key = strlen(rest);
    char *data = malloc(size + key + 32);
    for (unsigned long i = 0; data && *rest == ' ' && i < n; i++) {
        size_t used = (size_t)snprintf(data, key + 32, "%s-%lu ", rest + 1, i);
        if (used < size)
            memset(data + used, '.', size - used);
        publish(data, used < size ? size : used);
    }
    free(data);
}

static void timed(const char *args)
{
    char *rest, data[65536], *key = data;
    size_t size = strtoul(args, &rest, 10);
    size_t used = (size_t)snprintf(key, 256, "%.100s-%" PRIu64 " ", *rest ? rest + 1 : "", uv_hrtime());
    size = size < used ? used : size > sizeof data ? sizeof data : size;
    memset(data + used, '.', size - used);
    publish(data, size);
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    (void)ctx, (void)h;
    if (!c)
        fail(why ? why : kith_err_text(err));
}

static void dial(const char *text)
{
    kith_maddr addr;
    const char *why = "no memory";
    if (kith_maddr_from_text(kith_bytes_str(text), &addr, &why) ||
        kith_host_dial(host, NULL, &addr, 1, on_dialed, NULL))
        fail(why);
}

static void print_counts(void)
{
    kith_gossip_counts c = kith_gossip_count(router());
    printf("{\"event\":\"counts\",\"peers\":%zu,\"delivered\":%" PRIu64 ",\"duplicates\":%" PRIu64
           ",\"invalid\":%" PRIu64 ",\"replayed\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"throttled\":%" PRIu64
           ",\"broken\":%" PRIu64 ",\"unwanted\":%" PRIu64 ",\"idontwant\":%" PRIu64 ",\"ihave\":%" PRIu64
           ",\"iwant\":%" PRIu64 ",\"graylisted\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"tested\":%" PRIu64
           ",\"rejected\":%zu}\n",
           c.peers, c.delivered, c.duplicates, c.invalid, c.replayed, c.dropped, c.throttled, c.broken,
           c.unwanted, c.idontwant, c.ihave, c.iwant, c.graylisted, c.refused, c.tested, bad);
}

static void command(char *line)
{
    kith_time now = kith_host_now(host);
    kith_bytes name = kith_bytes_str(topic);
    if (strncmp(line, "say ", 4) == 0)
        publish(line + 4, strlen(line + 4));
    else if (strncmp(line, "burst ", 6) == 0)
        burst(line + 6);
    else if (strncmp(line, "timed ", 6) == 0)
        timed(line + 6);
    else if (strncmp(line, "dial ", 5) == 0)
        dial(line + 5);
    else if (strcmp(line, "peers") == 0)
        printf("{\"event\":\"peers\",\"topic\":%zu,\"mesh\":%zu}\n",
               kith_gossip_peers_of(router(), name, false, NULL, 0),
               kith_gossip_peers_of(router(), name, true, NULL, 0));
    else if (strcmp(line, "counts") == 0)
        print_counts();
    else if (strcmp(line, "leave") == 0)
        (void)!kith_gossip_unsubscribe(router(), now, name);
    else if (strcmp(line, "join") == 0)
        (void)!kith_gossip_subscribe(router(), now, name, judged);
    else if (strcmp(line, "quit") == 0)
        kith_host_stop(host);
    else
        fail("unknown command");
}

static void on_stdin(uv_poll_t *p, int status, int events)
{
    static char text[4096];
    static size_t len;
    (void)status, (void)events;
    ssize_t n = read(0, text + len, sizeof text - 1 - len);
    if (n <= 0) {
        uv_close((uv_handle_t *)p, NULL);
        kith_host_stop(host);
        return;
    }
    len += (size_t)n;
    text[len] = '\0';
    for (char *end; (end = strchr(text, '\n'));) {
        *end = '\0';
        command(text);
        len -= (size_t)(end + 1 - text);
        memmove(text, end + 1, len + 1);
    }
    kith_host_kick(host);
}

static void on_stop(void *ctx)
{
    kith_host_detach(host, kith_gossip_part_of(ctx));
}

static bool listen_somewhere(void)
{
    kith_maddr addr;
    char peer[KITH_PEER_ID_TEXT_MAX + 1], text[KITH_MADDR_TEXT_MAX + 1];
    const char *why;
    kith_err e = kith_maddr_from_text(kith_bytes_str("/ip4/127.0.0.1/tcp/0"), &addr, &why);
    if (e || kith_host_listen(host, &addr, &addr))
        return false;
    kith_peer_id_text(kith_node_id(kith_host_node(host)), peer);
    kith_maddr_text(&addr, text);
    printf("{\"event\":\"listening\",\"peer\":\"%s\",\"addrs\":[\"%s/p2p/%s\"]}\n", peer, text, peer);
    return true;
}

int main(int argc, char **argv)
{
    kith_gossip_part_config gossip = {.news = on_news};
    kith_gossip_config_default(&gossip.router);
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--judged") == 0)
            judged = true;
        else if (strcmp(argv[at], "--px") == 0)
            gossip.router.px = true;
        else if (strcmp(argv[at], "--test-extension") == 0)
            gossip.router.test_extension = true;
        else if (strcmp(argv[at], "--no-flood") == 0)
            gossip.router.flood_publish = false;
        else
            return fail("unknown option");
    }
    if (at >= argc)
        return fail("usage: tool_gossip [--judged] [--px] [--test-extension] [--no-flood] TOPIC [ADDR...]");
    topic = argv[at++];
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);

    kith_host_config cfg = {0};
    const char *why = "no key";
    uint8_t seed[KITH_ED25519_SEED_LEN];
    struct timespec wall;
    kith_node_config_default(&cfg.node);
    kith_rand_fill(kith_host_env(), kith_span_of(seed, sizeof seed));
    kith_signer *signer = kith_signer_new(seed);
    cfg.node.signer = signer;
    cfg.node.agent = "kith-test/gossip";
    host = signer ? kith_host_new(&cfg, &why) : NULL;
    if (!host)
        return fail(why);
    clock_gettime(CLOCK_REALTIME, &wall);
    gossip.router.env = *kith_host_env();
    gossip.router.signer = signer;
    gossip.router.seqno = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec;
    part = kith_gossip_part_new(kith_host_node(host), kith_host_now(host), &gossip, &why);
    if (!part || kith_gossip_subscribe(router(), kith_host_now(host), kith_bytes_str(topic), judged))
        return fail(why);
    kith_host_attach(host, kith_gossip_part_of(part));
    kith_host_on_stop(host, on_stop, part);
    if (!listen_somewhere())
        return fail("cannot listen");
    for (; at < argc; at++)
        dial(argv[at]);
    uv_poll_t in;
    if (uv_poll_init(kith_host_loop(host), &in, 0) || uv_poll_start(&in, UV_READABLE, on_stdin))
        return fail("stdin must be a pipe");
    kith_host_kick(host);
    kith_host_run(host);
    kith_host_free(host);
    kith_gossip_part_free(part);
    kith_signer_free(signer);
    return 0;
}
