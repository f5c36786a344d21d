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
        if (k->told)
            k->told(k->ctx, &ev);
    }
    return false;
}

static const kith_part_ops puller = {.act = pull};

void sim_kad_init(sim_kad *k, sim_host *h, bool server)
{
    *k = (sim_kad){.host = h, .place = kith_kad_key_of(kith_peer_id_bytes(kith_node_id(sim_node(h))))};
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

void sim_kad_boot(sim_kad *k)
{
    for (size_t i = 0; i < k->boot_count; i++) {
        kith_peer_id id;
        bool named = kith_maddr_peer(sim_addr(k->boots[i]), &id);
        kith_err e = kith_kad_bootstrap(k->kad, sim_time(k->host), &id, sim_addr(k->boots[i]), 1);
        assert(named && (!e || e == KITH_ENOMEM));
        (void)named, (void)e;
    }
}

bool sim_kad_try(sim_kad *k)
{
    sim_host *h = k->host;
    kith_time now = sim_time(h);
    assert(!k->kad);
    k->since = now;
    k->away = false;
    k->cfg.env = *sim_env(h);
    k->cfg.node = sim_node(h);
    k->kad = kith_kad_new(&k->cfg, now);
    if (!k->kad)
        return false;
    kith_kad_set_clock(k->kad, now, CLOCK + now / KITH_SEC(1));
    sim_kad_boot(k);
    sim_attach(h, kith_kad_part(k->kad), NULL);
    sim_attach(h, &k->puller, gone);
    return true;
}

void sim_kad_start(sim_kad *k)
{
    bool made = sim_kad_try(k);
    assert(made);
    (void)made;
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

static bool counts(const sim_kad *k, const sim_kad *asker, kith_time before)
{
    return k->kad && !k->away && k->cfg.server && k != asker && k->side == asker->side && k->since <= before;
}

void sim_kad_truth(const sim_kad *all, size_t count, const sim_kad *asker, kith_time before, kith_bytes key,
                   size_t *out, size_t n)
{
    kith_kad_key place = kith_kad_key_of(key);
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        const kith_kad_key *own = &all[i].place;
        if (!counts(&all[i], asker, before) ||
            (len == n && kith_kad_key_nearer(&place, own, &all[out[n - 1]].place) >= 0))
            continue;
        size_t at = len < n ? len++ : n - 1;
        for (; at > 0 && kith_kad_key_nearer(&place, own, &all[out[at - 1]].place) < 0; at--)
            out[at] = out[at - 1];
        out[at] = i;
    }
    for (; len < n; len++)
        out[len] = SIZE_MAX;
}

size_t sim_kad_right(const sim_kad *all, size_t count, const sim_kad *asker, kith_time before, kith_bytes key,
                     const kith_kad_peer *found, size_t found_count, size_t n, size_t *of)
{
    size_t truth[64], right = 0, there = 0;
    assert(n <= 64);
    sim_kad_truth(all, count, asker, before, key, truth, n);
    for (; there < n && truth[there] != SIZE_MAX; there++) {
        const kith_peer_id *id = kith_node_id(sim_node(all[truth[there]].host));
        for (size_t j = 0; j < found_count; j++)
            right += kith_peer_id_eq(&found[j].id, id);
    }
    if (of)
        *of = there;
    return right;
}

static kith_err number_validate(void *ctx, kith_bytes key, kith_bytes value)
{
    (void)ctx, (void)key;
    return value.len == 1 ? KITH_OK : KITH_EFORMAT;
}

static bool number_better(void *ctx, kith_bytes key, kith_bytes a, kith_bytes b)
{
    (void)ctx, (void)key;
    return b.p[0] > a.p[0];
}

const kith_kad_namespace sim_kad_number = {
    .name = "number", .validate = number_validate, .better = number_better};
