/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A node that has news of itself: it serves one more protocol when a line comes on stdin, and ends with stdin.
 *
 *     tool_push listen          prints where, as `kith up --json` does
 *     tool_push dial ADDR
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"
#include "proto/ping.h"

#define PUSHED "/kith-test/pushed/1"

static int fail(const char *what)
{
    fprintf(stderr, "tool_push: %s\n", what);
    return 1;
}

static void *refuse(void *ctx, const kith_stream_info *info)
{
    (void)ctx, (void)info;
    return NULL;
}

static void say_where(kith_host *h, kith_maddr addr)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1], text[KITH_MADDR_TEXT_MAX + 1];
    kith_peer_id_text(kith_node_id(kith_host_node(h)), peer);
    kith_maddr_text(&addr, text);
    printf("{\"event\":\"listening\",\"peer\":\"%s\",\"addrs\":[\"%s/p2p/%s\"]}\n", peer, text, peer);
}

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)ctx, (void)h;
    char peer[KITH_PEER_ID_TEXT_MAX + 1];
    kith_conn_facts f;
    if (ev->kind != KITH_NODE_IDENTIFIED)
        return;
    kith_conn_facts_get(ev->conn, &f);
    kith_peer_id_text(&f.peer, peer);
    printf("{\"event\":\"identified\",\"peer\":\"%s\",\"ok\":%s}\n", peer, ev->info ? "true" : "false");
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    (void)ctx;
    if (c)
        return;
    fail(why ? why : kith_err_text(err));
    kith_host_stop(h);
}

static void on_stdin(uv_poll_t *p, int status, int events)
{
    kith_host *h = p->data;
    char line[64];
    (void)status, (void)events;
    ssize_t n = read(0, line, sizeof line);
    if (n <= 0) {
        uv_close((uv_handle_t *)p, NULL);
        kith_host_stop(h);
        return;
    }
    const kith_protocol row = {.id = kith_bytes_str(PUSHED), .ops = &kith_ping_ops, .accept = refuse};
    if (kith_node_serve(kith_host_node(h), kith_host_now(h), &row))
        fail("it is served already");
    else
        puts("{\"event\":\"push_sent\",\"protocol\":\"" PUSHED "\"}");
    kith_host_kick(h);
}

int main(int argc, char **argv)
{
    bool dials = argc == 3 && strcmp(argv[1], "dial") == 0;
    if (!dials && !(argc == 2 && strcmp(argv[1], "listen") == 0))
        return fail("usage: tool_push listen | dial ADDR");
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);

    kith_host_config cfg = {0};
    const char *why = "no key";
    uint8_t seed[KITH_ED25519_SEED_LEN];
    kith_node_config_default(&cfg.node);
    kith_rand_fill(kith_host_env(), kith_span_of(seed, sizeof seed));
    kith_signer *signer = kith_signer_new(seed);
    cfg.node.signer = signer;
    cfg.node.agent = "kith-test/push";
    kith_host *h = signer ? kith_host_new(&cfg, &why) : NULL;
    if (!h)
        return fail(why);

    kith_observer watch = {.event = on_event};
    kith_maddr addr;
    kith_host_observe(h, &watch);
    if (kith_maddr_from_text(kith_bytes_str(dials ? argv[2] : "/ip4/127.0.0.1/tcp/0"), &addr, &why))
        return fail(why);
    if (dials && kith_host_dial(h, NULL, &addr, 1, on_dialed, NULL))
        return fail("not an address to dial");
    if (!dials) {
        int e = kith_host_listen(h, &addr, &addr);
        if (e)
            return fail(uv_strerror(e));
        say_where(h, addr);
    }
    uv_poll_t in = {.data = h};
    if (uv_poll_init(kith_host_loop(h), &in, 0) || uv_poll_start(&in, UV_READABLE, on_stdin))
        return fail("stdin must be a pipe");
    kith_host_kick(h);
    kith_host_run(h);
    kith_host_free(h);
    kith_signer_free(signer);
    return 0;
}
