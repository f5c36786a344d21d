/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Addresses for the connection manager, and the network's changes. */
#include "host/keeper.h"

#include <stdlib.h>
#include <string.h>

#include "host/json.h"
#include "host/netnews.h"

#define LOOK_MS 3000       /* between two looks at this machine's addresses */
#define LOOK_TOLD_MS 15000 /* where the system tells of changes */
#define SETTLE_MS \
    200 /* from a change to the look: they come in bursts, and an address may go and come again at once */

struct kith_keeper {
    kith_keeper_config cfg;
    kith_connmgr *mgr;
    kith_netnews *news; /* NULL: none */
    uv_timer_t look;
    uint64_t network; /* of this machine's addresses, a sum */
    kith_list questions;
    bool closed;
};

/* ---- addresses of kept peers ---- */

/* The book has been asked. */
typedef struct question {
    kith_link link;
    kith_keeper *keeper; /* NULL: closed meanwhile */
    kith_peer_id peer;
} question;

static void found(kith_keeper *k, kith_time now, const kith_peer_id *peer, const kith_book_row *rows,
                  size_t count)
{
    kith_maddr addrs[KITH_CONNMGR_FOUND_MAX];
    size_t n = kith_lan_addrs(k->cfg.lan, peer, addrs, KITH_LAN_ADDRS_MAX);
    for (size_t i = 0; i < count && n < KITH_CONNMGR_FOUND_MAX; i++) {
        if (rows[i].addr.len)
            addrs[n++] = rows[i].addr;
    }
    kith_connmgr_found(k->mgr, now, peer, addrs, n);
}

static void on_book(void *ctx, const kith_book_row *rows, size_t count)
{
    question *q = ctx;
    kith_keeper *k = q->keeper;
    kith_peer_id peer = q->peer;
    if (k)
        kith_link_remove(&q->link);
    free(q);
    if (!k)
        return;
    found(k, kith_host_now(k->cfg.host), &peer, rows, count);
    kith_host_kick(k->cfg.host);
}

static void on_find(void *ctx, kith_time now, const kith_peer_id *peer)
{
    kith_keeper *k = ctx;
    question *q = k->cfg.book ? malloc(sizeof *q) : NULL;
    if (q) {
        *q = (question){.keeper = k, .peer = *peer};
        if (kith_book_ask(k->cfg.book, peer, KITH_BOOK_ADDRS_MAX, on_book, q) == KITH_OK) {
            kith_list_push(&k->questions, &q->link);
            return;
        }
        free(q);
    }
    found(k, now, peer, NULL, 0);
}

/* ---- what a peer is worth ---- */

static int32_t on_value(void *ctx, const kith_peer_id *peer)
{
    const kith_keeper *k = ctx;
    const kith_trust_row *r = k->cfg.trust ? kith_trust_find(k->cfg.trust, peer) : NULL;
    if (r && kith_trust_kept(r) && !r->blocked)
        return KITH_CONNMGR_PRECIOUS;
    return k->cfg.standing ? kith_standing_score(k->cfg.standing, peer) : 0;
}

/* ---- the network ---- */

/* The same for the same addresses in any order. */
static uint64_t network_now(void)
{
    static const uint64_t seed[2] = {1, 2}; /* nobody else chooses these addresses */
    uv_interface_address_t *all = NULL;
    int count = 0;
    uint64_t sum = 0;
    if (uv_interface_addresses(&all, &count))
        return 0;
    for (int i = 0; i < count; i++) {
        kith_bytes ip = all[i].address.address4.sin_family == AF_INET
                            ? kith_bytes_of(&all[i].address.address4.sin_addr, 4)
                            : kith_bytes_of(&all[i].address.address6.sin6_addr, 16);
        if (!all[i].is_internal)
            sum += kith_hash(seed, ip);
    }
    uv_free_interface_addresses(all, count);
    return sum;
}

static void on_look(uv_timer_t *t)
{
    kith_keeper *k = t->data;
    uint64_t was = k->network;
    k->network = network_now();
    if (k->network == was)
        return;
    kith_host_look_at_addrs(k->cfg.host);
    kith_connmgr_network_changed(k->mgr, kith_host_now(k->cfg.host));
    kith_host_kick(k->cfg.host);
}

static void plan_look(kith_keeper *k, uint64_t after)
{
    uv_timer_start(&k->look, on_look, after, k->news ? LOOK_TOLD_MS : LOOK_MS);
}

static void on_news(void *ctx)
{
    plan_look(ctx, SETTLE_MS);
}

/* ---- life ---- */

kith_keeper *kith_keeper_new(const kith_keeper_config *cfg)
{
    kith_keeper *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->cfg = *cfg;
    kith_list_init(&k->questions);
    kith_connmgr_config mgr;
    kith_connmgr_config_default(&mgr);
    mgr.env = *kith_host_env();
    mgr.node = kith_host_node(cfg->host);
    mgr.low = cfg->low;
    mgr.high = cfg->high;
    mgr.grace = cfg->grace;
    mgr.value = on_value;
    mgr.find = on_find;
    mgr.ctx = k;
    k->mgr = kith_connmgr_new(&mgr);
    if (!k->mgr) {
        free(k);
        return NULL;
    }
    kith_host_attach(cfg->host, kith_connmgr_part(k->mgr));
    uv_timer_init(kith_host_loop(cfg->host), &k->look);
    k->look.data = k;
    k->network = network_now();
    k->news = kith_netnews_open(kith_host_loop(cfg->host), on_news, k);
    plan_look(k, LOOK_MS);
    return k;
}

kith_err kith_keeper_keep(kith_keeper *k, const kith_peer_id *peer, const kith_maddr *addr)
{
    kith_err e = kith_connmgr_keep(k->mgr, kith_host_now(k->cfg.host), peer, addr);
    kith_host_kick(k->cfg.host);
    return e;
}

void kith_keeper_let_go(kith_keeper *k, const kith_peer_id *peer)
{
    (void)kith_connmgr_let_go(k->mgr, peer);
}

bool kith_keeper_keeps(const kith_keeper *k, const kith_peer_id *peer)
{
    return kith_connmgr_keeps(k->mgr, peer);
}

json_t *kith_keeper_json(const kith_keeper *k)
{
    kith_connmgr_facts f = kith_connmgr_look(k->mgr);
    kith_connmgr_kept kept;
    kith_time now = kith_host_now(k->cfg.host);
    json_t *list = json_array();
    for (size_t i = 0; kith_connmgr_kept_at(k->mgr, i, &kept); i++) {
        json_t *o = json_pack("{s:o, s:b, s:i}", "peer", kith_json_peer(&kept.peer), "connected",
                              (int)kept.connected, "failures", (int)kept.failures);
        json_object_set_new(o, "retry_seconds",
                            kept.dial_at == KITH_NEVER ? json_null()
                            : kept.dial_at > now       ? json_real((double)(kept.dial_at - now) / 1e9)
                                                       : json_real(0));
        json_array_append_new(list, o);
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "open", (json_int_t)f.open, "low",
                     (json_int_t)k->cfg.low, "high", (json_int_t)k->cfg.high, "kept_connected",
                     (json_int_t)f.kept_there, "trimmed", (json_int_t)f.trimmed, "silent", (json_int_t)f.dead,
                     "kept", list);
}

void kith_keeper_close(kith_keeper *k)
{
    if (!k || k->closed)
        return;
    k->closed = true;
    kith_connmgr_stop(k->mgr);
    kith_host_detach(k->cfg.host, kith_connmgr_part(k->mgr));
    for (kith_link *l; (l = kith_list_pop(&k->questions));)
        KITH_OF(l, question, link)->keeper = NULL;
    kith_netnews_close(k->news);
    k->news = NULL;
    uv_close((uv_handle_t *)&k->look, NULL);
}

void kith_keeper_free(kith_keeper *k)
{
    if (!k)
        return;
    kith_connmgr_free(k->mgr);
    free(k);
}
