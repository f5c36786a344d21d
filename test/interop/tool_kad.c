/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A node of the DHT that does what lines on stdin say, for test/interop/run, and ends with stdin. README.md, "Kademlia".
 *
 *     tool_kad server|client [FILE]      FILE: where it keeps what it is given, over restarts
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"
#include "host/kad_file.h"
#include "mesh/kad.h"

typedef struct tool {
    kith_host *host;
    kith_kad *kad;
    kith_part puller;
    char line[65536];
    size_t len;
    struct {
        uint64_t op;
        char name[16];
        char peers[8192];
        size_t len, count, with_addrs;
    } jobs[8];
} tool;

static int fail(const char *what)
{
    fprintf(stderr, "tool_kad: %s\n", what);
    return 1;
}

static void say_where(kith_host *h, kith_maddr addr)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1], text[KITH_MADDR_TEXT_MAX + 1];
    kith_peer_id_text(kith_node_id(kith_host_node(h)), peer);
    kith_maddr_text(&addr, text);
    printf("{\"event\":\"listening\",\"peer\":\"%s\",\"addrs\":[\"%s/p2p/%s\"]}\n", peer, text, peer);
}

static void print_hex(kith_bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        printf("%02x", b.p[i]);
}

/* ---- events ---- */

static void take(tool *t, const kith_kad_event *ev)
{
    for (size_t i = 0; i < sizeof t->jobs / sizeof *t->jobs; i++) {
        if (!t->jobs[i].op || t->jobs[i].op != ev->op)
            continue;
        for (size_t k = 0; k < ev->peer_count; k++) {
            char id[KITH_PEER_ID_TEXT_MAX + 1];
            kith_peer_id_text(&ev->peers[k].id, id);
            t->jobs[i].with_addrs += ev->peers[k].addrs.len > 0;
            t->jobs[i].len += (size_t)snprintf(t->jobs[i].peers + t->jobs[i].len, 80, "%s\"%s\"",
                                               t->jobs[i].count++ ? "," : "", id);
        }
        if (ev->kind == KITH_KAD_PROVIDER)
            return;
        printf("{\"op\":\"%s\",\"ok\":%s", t->jobs[i].name, ev->err ? "false" : "true");
        if (ev->err)
            printf(",\"error\":\"%s\"", ev->why ? ev->why : kith_err_text(ev->err));
        printf(",\"peers\":[%s],\"with_addrs\":%zu,\"reached\":%u,\"value\":\"", t->jobs[i].peers,
               t->jobs[i].with_addrs, ev->reached);
        print_hex(ev->value);
        printf("\"}\n");
        t->jobs[i].op = 0;
        return;
    }
}

static bool pull(void *self, kith_time now)
{
    tool *t = self;
    kith_kad_event ev;
    (void)now;
    while (kith_kad_next(t->kad, &ev))
        take(t, &ev);
    return false;
}

static const kith_part_ops puller = {.act = pull};

/* ---- commands ---- */

static size_t hex_of(const char *text, uint8_t *out, size_t max)
{
    size_t n = 0;
    unsigned byte;
    while (n < max && sscanf(text + 2 * n, "%2x", &byte) == 1)
        out[n++] = (uint8_t)byte;
    return n;
}

static kith_err join(tool *t, const char *addr)
{
    kith_maddr a;
    kith_peer_id id;
    const char *why = NULL;
    if (kith_maddr_from_text(kith_bytes_str(addr), &a, &why) || !kith_maddr_peer(&a, &id))
        return KITH_EFORMAT;
    return kith_kad_bootstrap(t->kad, kith_host_now(t->host), &id, &a, 1);
}

static kith_err put_self(tool *t, uint64_t *op)
{
    const kith_peer_id *id = kith_node_id(kith_host_node(t->host));
    uint8_t key[4 + KITH_PEER_ID_MAX] = "/pk/";
    memcpy(key + 4, id->b, id->len);
    return kith_kad_put(t->kad, kith_host_now(t->host), kith_bytes_of(key, 4u + id->len),
                        kith_peer_id_inline_key(id), op);
}

static void command(tool *t, char *line)
{
    char *name = strtok(line, " "), *arg = strtok(NULL, " ");
    uint8_t key[KITH_KAD_KEY_MAX];
    kith_time now = kith_host_now(t->host);
    uint64_t op = 0;
    kith_peer_id id;
    if (!name)
        return;
    kith_bytes k = kith_bytes_of(key, arg ? hex_of(arg, key, sizeof key) : 0);
    kith_err e = KITH_EFORMAT;
    if (strcmp(name, "join") == 0 && arg)
        e = join(t, arg);
    else if (strcmp(name, "putself") == 0)
        e = put_self(t, &op);
    else if (strcmp(name, "get") == 0)
        e = kith_kad_get(t->kad, now, k, 1, &op);
    else if (strcmp(name, "provide") == 0)
        e = kith_kad_provide(t->kad, now, k, &op);
    else if (strcmp(name, "providers") == 0)
        e = kith_kad_find_providers(t->kad, now, k, 20, &op);
    else if (strcmp(name, "nearest") == 0)
        e = kith_kad_find_nearest(t->kad, now, k, &op);
    else if (strcmp(name, "find") == 0 && arg && kith_peer_id_from_text(kith_bytes_str(arg), &id) == KITH_OK)
        e = kith_kad_find_peer(t->kad, now, &id, &op);
    else if (strcmp(name, "table") == 0)
        e = KITH_OK;
    if (e || !op) {
        kith_kad_facts f = kith_kad_look(t->kad);
        printf("{\"op\":\"%s\",\"ok\":%s,\"error\":\"%s\",\"table\":%zu,\"served\":%llu}\n", name,
               e ? "false" : "true", e ? kith_err_text(e) : "", f.peers, (unsigned long long)f.served);
        return;
    }
    size_t i = 0;
    while (i + 1 < sizeof t->jobs / sizeof *t->jobs && t->jobs[i].op)
        i++;
    memset(&t->jobs[i], 0, sizeof t->jobs[i]);
    t->jobs[i].op = op;
    snprintf(t->jobs[i].name, sizeof t->jobs[i].name, "%s", name);
}

static void on_stdin(uv_poll_t *p, int status, int events)
{
    tool *t = p->data;
    (void)status, (void)events;
    ssize_t n = read(0, t->line + t->len, sizeof t->line - 1 - t->len);
    if (n <= 0) {
        uv_close((uv_handle_t *)p, NULL);
        kith_host_stop(t->host);
        return;
    }
    t->len += (size_t)n;
    t->line[t->len] = 0;
    for (char *end; (end = strchr(t->line, '\n'));) {
        *end = 0;
        command(t, t->line);
        t->len -= (size_t)(end + 1 - t->line);
        memmove(t->line, end + 1, t->len + 1);
    }
    kith_host_kick(t->host);
}

/* The file's handles are the loop's. */
static void on_stop(void *file)
{
    kith_kad_file_close(file);
}

int main(int argc, char **argv)
{
    static tool t;
    if (argc < 2 || argc > 3 || (strcmp(argv[1], "server") != 0 && strcmp(argv[1], "client") != 0))
        return fail("usage: tool_kad server|client [FILE]");
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);

    kith_host_config cfg = {0};
    const char *why = "no key";
    uint8_t seed[KITH_ED25519_SEED_LEN];
    kith_node_config_default(&cfg.node);
    kith_rand_fill(kith_host_env(), kith_span_of(seed, sizeof seed));
    kith_signer *signer = kith_signer_new(seed);
    cfg.node.signer = signer;
    cfg.node.agent = "kith-test/kad";
    t.host = signer ? kith_host_new(&cfg, &why) : NULL;
    if (!t.host)
        return fail(why);

    kith_maddr addr;
    if (kith_maddr_from_text(kith_bytes_str("/ip4/127.0.0.1/tcp/0"), &addr, &why))
        return fail(why);
    int e = kith_host_listen(t.host, &addr, &addr);
    if (e)
        return fail(uv_strerror(e));
    if (kith_node_set_addrs(kith_host_node(t.host), kith_host_now(t.host), &addr, 1))
        return fail("no memory");

    kith_kad_config kad;
    kith_kad_config_default(&kad);
    kad.env = *kith_host_env();
    kad.node = kith_host_node(t.host);
    kad.server = strcmp(argv[1], "server") == 0;
    bool damaged;
    kith_kad_file *file =
        argc == 3 ? kith_kad_file_open(kith_host_loop(t.host), argv[2], &damaged, &why) : NULL;
    if (argc == 3 && !file)
        return fail(why);
    if (file)
        kith_kad_file_watch(file, &kad.store);
    t.kad = kith_kad_new(&kad, kith_host_now(t.host));
    if (!t.kad)
        return fail("no memory");
    uv_timeval64_t tv;
    uv_gettimeofday(&tv);
    kith_kad_set_clock(t.kad, kith_host_now(t.host), (uint64_t)tv.tv_sec);
    if (file)
        kith_kad_file_load(file, kith_kad_store_of(t.kad), (uint64_t)tv.tv_sec);
    t.puller = (kith_part){.ops = &puller, .self = &t};
    kith_host_attach(t.host, kith_kad_part(t.kad));
    kith_host_attach(t.host, &t.puller);
    say_where(t.host, addr);

    uv_poll_t in = {.data = &t};
    if (uv_poll_init(kith_host_loop(t.host), &in, 0) || uv_poll_start(&in, UV_READABLE, on_stdin))
        return fail("stdin must be a pipe");
    kith_host_kick(t.host);
    kith_host_on_stop(t.host, on_stop, file);
    kith_host_run(t.host);
    kith_host_free(t.host);
    kith_kad_free(t.kad);
    kith_signer_free(signer);
    return 0;
}
