/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A fetch that takes part in a swarm. */
#include "host/share_swarm.h"

#include <stdlib.h>

#include "crypto/crypto.h"

#define NODE_LEN KITH_BLAKE3_LEN

/* A sharer by whose passes we go: what it gave us last. Its clock is known by that, so that ours may be wrong. */
typedef struct issuer {
    kith_peer_id peer;
    uint8_t key[KITH_ED25519_PUB_LEN], tag[KITH_CAPABILITY_TAG_LEN];
    uint64_t not_after; /* of our pass: it was signed KITH_PASS_LASTS_S before */
    kith_time at;       /* when it came */
    size_t pass_len;
    uint8_t pass[KITH_CAPABILITY_MAX];
} issuer;

struct share_swarm {
    kith_share_fetch *fetch;
    kith_share_serve *serve;
    kith_shared *shared; /* NULL: nothing is given yet */
    kith_share_hints hints;
    size_t issuer_count;
    issuer issuers[KITH_FETCH_SOURCES_MAX];
    kith_share_table nodes; /* two for each leaf, in the list's order */
    kith_leaves have;       /* what is given: written, and proven by nodes */
    kith_share_seed *seed;
};

share_swarm *share_swarm_new(kith_share_fetch *f, kith_share_serve *serve)
{
    share_swarm *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->fetch = f;
    s->serve = serve;
    kith_share_hints_init(&s->hints, kith_node_id(kith_host_node(f->cfg.host)));
    return s;
}

void share_swarm_free(share_swarm *s)
{
    if (!s)
        return;
    kith_share_seed_close(s->seed);
    kith_share_table_close(&s->nodes);
    kith_leaves_fini(&s->have, kith_host_env());
    kith_wipe(s->issuers, sizeof s->issuers);
    free(s);
}

/* ---- what is given ---- */

static uint8_t *keep_nodes(void *ctx, size_t entry)
{
    const share_swarm *s = ctx;
    const kith_manifest *m = &s->fetch->manifest;
    if (kith_manifest_entry(m, entry).size <= KITH_TREE_LEAF)
        return NULL;
    return s->nodes.p + (size_t)m->places[entry].leaf * 2 * NODE_LEN;
}

static const uint8_t *nodes_of(const void *ctx, size_t entry)
{
    return keep_nodes((void *)(uintptr_t)ctx, entry);
}

void share_swarm_listed(share_swarm *s)
{
    kith_share_fetch *f = s->fetch;
    size_t len = (size_t)f->manifest.leaves * 2 * NODE_LEN;
    if (len == 0 || kith_share_table_open(&s->nodes, f->cfg.dest, len))
        return; /* it gives nothing, then */
    f->view.nodes = keep_nodes;
    f->view.ctx = s;
}

/* Says where we are, so that others are told. */
static void announce(share_swarm *s, share_link *l)
{
    kith_host *h = s->fetch->cfg.host;
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX];
    uint8_t buf[KITH_SHARE_HEAD_MAX];
    size_t n = kith_host_addrs(h, addrs, KITH_RECORD_ADDRS_MAX);
    kith_share_peer self = {.id = kith_peer_id_bytes(kith_node_id(kith_host_node(h)))};
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    for (int want = 4; want > 0; want--) {
        for (size_t i = 0; i < n && self.addr_count < KITH_SHARE_PEER_ADDRS_MAX; i++) {
            if (kith_maddr_worth(&addrs[i]) == want)
                self.addrs[self.addr_count++] = kith_maddr_bytes(&addrs[i]);
        }
    }
    kith_share_peers_put(&w, &self);
    if (!w.bad)
        kith_share_rx_peers(l->rx, kith_wr_bytes(&w));
}

/* A pass of a sharer whom we have it from, for this peer. */
static bool admits(void *ctx, const kith_peer_id *peer, kith_bytes capability)
{
    const share_swarm *s = ctx;
    const kith_time now = kith_host_now(s->fetch->cfg.host);
    for (size_t k = 0; k < s->issuer_count; k++) {
        const issuer *i = &s->issuers[k];
        uint64_t there = i->not_after - KITH_PASS_LASTS_S + (now - i->at) / KITH_SEC(1);
        if (kith_pass_admits(capability, i->key, i->tag, peer, there))
            return true;
    }
    return false;
}

/* Who calls us can be called, also by the connection that it has made. */
static void met(void *ctx, const kith_peer_id *peer)
{
    share_swarm *s = ctx;
    kith_share_hints_met(&s->hints, kith_host_now(s->fetch->cfg.host), peer, 0);
}

static void read_back(void *ctx, kith_share_block *b)
{
    kith_share_seed_read(((share_swarm *)ctx)->seed, b);
}

void share_swarm_ready(share_swarm *s)
{
    kith_share_fetch *f = s->fetch;
    if (s->shared || !f->begun || !s->nodes.p || f->view.known < f->manifest.count)
        return;
    const kith_share_seed_config seed = {
        .dir = f->dir, .manifest = &f->manifest, .roots = f->roots.p, .nodes = nodes_of, .ctx = s};
    s->seed = kith_share_seed_open(&seed);
    if (!s->seed)
        return;
    kith_shared_given given = {
        .source = {.manifest = &f->manifest,
                   .roots = f->roots.p,
                   .known = f->manifest.count,
                   .nodes = nodes_of,
                   .ctx = s,
                   .have = &s->have},
        .read = read_back,
        .admits = admits,
        .met = met,
        .ctx = s,
    };
    memcpy(given.source.list_root, f->list_root, sizeof f->list_root);
    kith_share_id(f->list_root, f->roots.p, f->manifest.count, given.source.id);
    s->shared = kith_share_serve_give(s->serve, &given);
    if (!s->shared)
        return;
    kith_shared_pause(s->shared, f->paused);
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++) {
        if (f->links[i].state == LINK_JOINED && f->links[i].rx)
            announce(s, &f->links[i]);
    }
    share_links_wake(f);
}

void share_swarm_stored(share_swarm *s, const kith_list *blocks)
{
    KITH_EACH (blocks, k) {
        const kith_share_block *b = KITH_OF(k, kith_share_block, link);
        for (size_t i = 0; i < b->count; i++) {
            const kith_share_item *it = &b->items[i];
            if (!it->code && !it->stale && s->nodes.p &&
                kith_leaves_add(&s->have, kith_host_env(), (uint32_t)it->leaf, (uint32_t)it->leaf + 1))
                return; /* others have it elsewhere */
        }
    }
    if (s->shared)
        kith_shared_grown(s->shared);
}

void share_swarm_pause(share_swarm *s, bool on)
{
    if (s->shared)
        kith_shared_pause(s->shared, on);
}

/* ---- the others ---- */

void share_swarm_joined(share_swarm *s, share_link *l)
{
    if (l->member)
        kith_share_hints_useful(&s->hints, &l->peer);
    else
        kith_node_protect(l->conn, true); /* as long as it lasts, others are told of us */
    if (s->shared)
        announce(s, l);
}

void share_swarm_over(share_swarm *s, const share_link *l, bool bad)
{
    kith_share_hints_over(&s->hints, kith_host_now(s->fetch->cfg.host), &l->peer, bad);
}

void share_swarm_pass(share_swarm *s, const share_link *l, kith_bytes pass)
{
    kith_capability c;
    kith_key_type type;
    kith_bytes key;
    issuer *n = NULL;
    if (l->member || pass.len > KITH_CAPABILITY_MAX || kith_capability_parse(pass, &c) ||
        !kith_peer_id_eq(&c.holder, kith_node_id(kith_host_node(s->fetch->cfg.host))) ||
        c.not_after < KITH_PASS_LASTS_S ||
        kith_pubkey_parse(kith_peer_id_inline_key(&l->peer), &type, &key) || type != KITH_KEY_ED25519 ||
        key.len != sizeof n->key || kith_capability_verify(pass, key.p))
        return;
    for (size_t i = 0; i < s->issuer_count && !n; i++)
        n = kith_peer_id_eq(&s->issuers[i].peer, &l->peer) ? &s->issuers[i] : NULL;
    if (!n && s->issuer_count == KITH_FETCH_SOURCES_MAX)
        return;
    if (!n)
        n = &s->issuers[s->issuer_count++];
    n->peer = l->peer;
    memcpy(n->key, key.p, sizeof n->key);
    memcpy(n->tag, c.tag, sizeof n->tag);
    memcpy(n->pass, pass.p, pass.len);
    n->pass_len = pass.len;
    n->not_after = c.not_after;
    n->at = kith_host_now(s->fetch->cfg.host);
}

void share_swarm_peers(share_swarm *s, const share_link *l, kith_bytes peers)
{
    kith_conn_facts f;
    kith_conn_facts_get(l->conn, &f);
    uint64_t by = l->issuer;
    for (size_t i = 0; i < s->issuer_count && !l->member; i++) {
        if (kith_peer_id_eq(&s->issuers[i].peer, &l->peer))
            by = i;
    }
    kith_share_hints_hear(&s->hints, kith_host_now(s->fetch->cfg.host), &l->peer, !l->member, &f.remote, by,
                          peers);
}

/* The sharers are gone, and nothing has come for long: what is missing nobody has. */
static bool is_stuck(const share_swarm *s)
{
    const kith_share_fetch *f = s->fetch;
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++) {
        if (!f->links[i].member && f->links[i].state != LINK_FREE && f->links[i].state != LINK_OVER)
            return false;
    }
    return !f->paused && !f->stored && kith_host_now(f->cfg.host) > f->moved_at + KITH_SHARE_SILENCE_TIMEOUT;
}

void share_swarm_tick(share_swarm *s)
{
    kith_share_fetch *f = s->fetch;
    const kith_time now = kith_host_now(f->cfg.host);
    if (!f->plan || f->stored || s->issuer_count == 0)
        return;
    if (is_stuck(s)) {
        share_fetch_fail(
            f, KITH_FETCH_LOST, KITH_SHARE_STOPPED,
            "the sharer is gone, and the others do not have the rest; fetch again when the sharer is back");
        return;
    }
    const kith_share_hint *n = kith_share_hints_next(&s->hints, now);
    if (!n)
        return;
    const issuer *i = &s->issuers[n->tag < s->issuer_count ? n->tag : 0];
    const kith_peer_id peer = n->peer;
    kith_err e = share_link_member(f, &peer, n->addrs, n->addr_count, (size_t)(i - s->issuers),
                                   kith_bytes_of(i->pass, i->pass_len));
    if (e)
        kith_share_hints_over(&s->hints, now, &peer, false);
}
