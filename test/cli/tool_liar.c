/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A receiver that takes part in a swarm as `kith get --swarm` does, and gives others something else than it has: share_seed.c, which reads
 * back what was received, is this file here. Fetches, stays until it is killed, and prints its peer id, then how much it has given.
 *
 *   tool_liar TICKET DIR ADDR */
#include <stdio.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "host/share_fetch.h"
#include "host/share_seed.h"
#include "host/share_serve.h"

struct kith_share_seed {
    int nothing;
};

kith_share_seed *kith_share_seed_open(const kith_share_seed_config *cfg)
{
    (void)cfg;
    return calloc(1, sizeof(kith_share_seed));
}

void kith_share_seed_close(kith_share_seed *s)
{
    free(s);
}

void kith_share_seed_read(const kith_share_seed *s, kith_share_block *b)
{
    (void)s;
    memset(b->buf, 'x', b->len);
}

static kith_share_fetch *fetch;

static int die(const char *why)
{
    fprintf(stderr, "tool_liar: %s\n", why);
    return 1;
}

static void on_fetch(void *ctx, const kith_share_fetch_event *ev)
{
    (void)ctx;
    if (ev->kind == KITH_FETCH_LIST)
        kith_share_fetch_accept(fetch);
    else if (ev->kind == KITH_FETCH_END && ev->why)
        exit(die(ev->text));
}

static void on_serve(void *ctx, const kith_share_serve_event *ev)
{
    (void)ctx;
    if (ev->kind == KITH_SHARE_SERVE_ENDED) {
        printf("%s\n", ev->text);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    static kith_ticket ticket;
    const char *why = "";
    char self[KITH_PEER_ID_TEXT_MAX + 1];
    uint8_t seed[32];
    kith_maddr a;
    if (argc != 4)
        return die("TICKET DIR ADDR");
    if (kith_crypto_init())
        return die("no crypto");
    const kith_rand os = kith_random_os();
    os.fn(os.ctx, kith_span_of(seed, sizeof seed));
    kith_host_config cfg = {0};
    kith_node_config_default(&cfg.node);
    cfg.node.signer = kith_signer_new(seed);
    cfg.node.agent = "liar";
    kith_host *host = kith_host_new(&cfg, &why);
    if (!host)
        return die(why);
    if (kith_ticket_parse(kith_bytes_str(argv[1]), &ticket, &why))
        return die(why);
    if (kith_maddr_from_text(kith_bytes_str(argv[3]), &a, &why) || kith_host_listen(host, &a, NULL))
        return die("cannot listen");
    const kith_share_serve_config serve = {.host = host, .signer = cfg.node.signer, .event = on_serve};
    const kith_share_fetch_config get = {.host = host,
                                         .ticket = &ticket,
                                         .dest = argv[2],
                                         .serve = kith_share_serve_new(&serve),
                                         .event = on_fetch};
    kith_peer_id_text(kith_node_id(kith_host_node(host)), self);
    puts(self);
    fflush(stdout);
    fetch = get.serve ? kith_share_fetch_new(&get) : NULL;
    if (!fetch)
        return die("no memory");
    kith_host_run(host);
    return 0;
}
