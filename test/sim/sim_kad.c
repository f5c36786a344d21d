/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Networks of nodes with Kademlia. */
#include "sim_kad.h"

#include <assert.h>
#include <stdlib.h>

#define CLOCK 1800000000u /* the simulator's unix time at its start */
#define WAITS_MAX 64

/* Ends that somebody waits for. */
typedef struct wait {
    const sim_kad *kad;
    uint64_t op;
    sim_kad_end *end;
} wait;
static wait waits[WAITS_MAX];

static wait *find_wait(const sim_kad *k, uint64_t op)
{
    for (size_t i = 0; i < WAITS_MAX; i++) {
        if (waits[i].end && waits[i].kad == k && waits[i].op == op)
            return &waits[i];
    }
    return NULL;
}

static void take(sim_kad_end *e, const kith_kad_event *ev)
{
    for (size_t i = 0; i < ev->peer_count && e->peer_count < KITH_KAD_FOUND_MAX; i++)
        e->peers[e->peer_count++] = ev->peers[i];
    if (ev->kind == KITH_KAD_PROVIDER)
        return;
    e->done = true;
    e->err = ev->err;
    e->reached = ev->reached;
    e->lookup = ev->lookup;
    e->took = ev->took;
    e->value_len = ev->value.len;
    if (ev->value.len)
        memcpy(e->value, ev->value.p, ev->value.len);
}

static bool pull(void *self, kith_time now)
{
    sim_kad *k = self;
    kith_kad_event ev;
    (void)now;
    while (k->kad && kith_kad_next(k->kad, &ev)) {
        wait *w = find_wait(k, ev.op);
        if (w)
            take(w->end, &ev);
    }
    return false;
}

static const kith_part_ops puller = {.act = pull};

void sim_kad_init(sim_kad *k, sim_host *h, bool server)
{
    *k = (sim_kad){.host = h};
    k->puller = (kith_part){.ops = &puller, .self = k};
    kith_kad_config_default(&k->cfg);
    k->cfg.server = server;
}

void sim_kad_know(sim_kad *k, sim_host *other)
{
    assert(k->boot_count < sizeof k->boots / sizeof *k->boots);
    k->boots[k->boot_count++] = other;
}

static void gone(void *self)
{
    sim_kad *k = self;
    kith_kad_free(k->kad);
    k->kad = NULL;
}

void sim_kad_start(sim_kad *k)
{
    sim_host *h = k->host;
    kith_time now = 0;
    assert(!k->kad);
    k->cfg.env = *sim_env(h);
    k->cfg.node = sim_node(h);
    now = sim_time(h);
    k->kad = kith_kad_new(&k->cfg, now);
    assert(k->kad);
    kith_kad_set_clock(k->kad, now, CLOCK + now / KITH_SEC(1));
    for (size_t i = 0; i < k->boot_count; i++) {
        kith_peer_id id;
        bool named = kith_maddr_peer(sim_addr(k->boots[i]), &id);
        kith_err e = kith_kad_bootstrap(k->kad, now, &id, sim_addr(k->boots[i]), 1);
        assert(named && !e);
        (void)named, (void)e;
    }
    sim_attach(h, kith_kad_part(k->kad), NULL);
    sim_attach(h, &k->puller, gone);
}

static bool is_done(void *ctx)
{
    return ((const sim_kad_end *)ctx)->done;
}

void sim_kad_wait(sim *s, sim_kad *k, uint64_t op, sim_kad_end *end)
{
    memset(end, 0, sizeof *end);
    size_t i = 0;
    while (i < WAITS_MAX && waits[i].end)
        i++;
    assert(i < WAITS_MAX);
    waits[i] = (wait){.kad = k, .op = op, .end = end};
    sim_drive(k->host);
    (void)sim_run_until(s, sim_now(s) + 2 * k->cfg.op_timeout, is_done, end);
    waits[i].end = NULL;
    kith_kad_check(k->kad);
}

void sim_kad_truth(const sim_kad *all, size_t count, const sim_kad *asker, kith_bytes key, size_t *out,
                   size_t n)
{
    kith_kad_key place = kith_kad_key_of(key), *keys = calloc(n, sizeof *keys);
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        if (!all[i].kad || !all[i].cfg.server || &all[i] == asker)
            continue;
        kith_kad_key own = kith_kad_key_of(kith_peer_id_bytes(kith_node_id(sim_node(all[i].host))));
        if (len == n && kith_kad_key_nearer(&place, &own, &keys[n - 1]) >= 0)
            continue;
        size_t at = len < n ? len++ : n - 1;
        for (; at > 0 && kith_kad_key_nearer(&place, &own, &keys[at - 1]) < 0; at--) {
            keys[at] = keys[at - 1];
            out[at] = out[at - 1];
        }
        keys[at] = own;
        out[at] = i;
    }
    for (; len < n; len++)
        out[len] = SIZE_MAX;
    free(keys);
}

size_t sim_kad_right(const sim_kad *all, size_t count, const sim_kad *asker, kith_bytes key,
                     const sim_kad_end *end, size_t n)
{
    size_t truth[64], right = 0;
    assert(n <= 64);
    sim_kad_truth(all, count, asker, key, truth, n);
    for (size_t i = 0; i < n; i++) {
        const kith_peer_id *id = truth[i] == SIZE_MAX ? NULL : kith_node_id(sim_node(all[truth[i]].host));
        for (size_t j = 0; id && j < end->peer_count && j < n; j++)
            right += kith_peer_id_eq(&end->peers[j].id, id);
    }
    return right;
}
