/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Questions to the DHT of a scenario, and whether the answers are right. */
#include "sim_dht.h"

#include "base/list.h"
#include "sim_kad.h"
#include "sim_samples.h"

#define KNOWN KITH_SEC(60) /* so long after it came up a server should be found */
#define BOOTS 3            /* random nodes that a node begins with */
#define NEAREST 10
#define HOPS_MAX 32 /* counted apart */

typedef enum question_kind { LOOKUP, FIND, PUT, GET } question_kind;

typedef struct question {
    kith_link link; /* asker->questions */
    uint64_t op;
    question_kind kind;
    kith_time at;
    uint8_t key[40];
    size_t key_len;
    size_t target; /* FIND: a node; PUT, GET: a value's number */
} question;

typedef struct asker {
    sim_dht *in;
    kith_list questions;
} asker;

typedef enum era { WHOLE, SPLIT, MENDING, ERAS } era;

struct sim_dht {
    const sim_scenario *sc;
    sim *world;
    sim_kad *all; /* by index of the host */
    asker *askers;
    size_t count;
    bool is_split;
    kith_time healed_at; /* 0: it was never split */
    size_t values;       /* that were put */
    uint64_t lookups[ERAS], right[ERAS];
    uint64_t by_hops[HOPS_MAX + 1];
    uint64_t nearest, nearest_right, hops, hops_max, asked, in_vain, finds, found, gets, got;
    uint64_t requests; /* of nodes that have gone */
    sim_samples took;
};

sim_dht *sim_dht_new(const sim_scenario *sc, sim *world)
{
    sim_dht *d = calloc(1, sizeof *d);
    assert(d);
    d->sc = sc;
    d->world = world;
    d->all = calloc(sc->nodes, sizeof *d->all);
    d->askers = calloc(sc->nodes, sizeof *d->askers);
    assert(d->all && d->askers);
    return d;
}

static void drop(question *q)
{
    kith_link_remove(&q->link);
    free(q);
}

void sim_dht_free(sim_dht *d)
{
    for (size_t i = 0; i < d->count; i++) {
        for (kith_link *k; (k = kith_list_first(&d->askers[i].questions));)
            drop(KITH_OF(k, question, link));
    }
    sim_samples_fini(&d->took);
    free(d->all);
    free(d->askers);
    free(d);
}

/* ---- nodes ---- */

static bool is_up(const sim_kad *k)
{
    return k->kad && !k->away;
}

/* Somebody who is up, or NULL: whoever was looked at is not. */
static sim_kad *somebody(sim_dht *d, const sim_kad *but)
{
    for (unsigned tries = 0; tries < 16 && d->count > 0; tries++) {
        sim_kad *k = &d->all[sim_random(d->world) % d->count];
        if (k != but && is_up(k))
            return k;
    }
    return NULL;
}

static void told(void *ctx, const kith_kad_event *ev);

void sim_dht_up(sim_dht *d, sim_host *h)
{
    size_t i = sim_host_index(h);
    sim_kad *k = &d->all[i];
    if (i == d->count) {
        bool server = sim_random(d->world) % 1000000 < d->sc->servers || i == 0;
        sim_kad_init(k, h, server);
        k->cfg.namespaces = &sim_kad_number;
        k->cfg.namespace_count = 1;
        k->cfg.refresh_every = d->sc->refresh;
        k->told = told;
        k->ctx = &d->askers[i];
        d->askers[i].in = d;
        kith_list_init(&d->askers[i].questions);
        d->count++;
    }
    k->boot_count = 0;
    for (size_t b = 0; b < BOOTS; b++) {
        sim_kad *boot = somebody(d, k);
        if (boot && boot->cfg.server)
            sim_kad_know(k, boot->host);
    }
    sim_kad_start(k);
}

void sim_dht_down(sim_dht *d, sim_host *h)
{
    size_t i = sim_host_index(h);
    sim_kad *k = &d->all[i];
    if (is_up(k))
        d->requests += kith_kad_look(k->kad).asked;
    k->away = true;
    for (kith_link *l; (l = kith_list_first(&d->askers[i].questions));)
        drop(KITH_OF(l, question, link));
}

void sim_dht_set_side(sim_dht *d, sim_host *h, unsigned side)
{
    d->all[sim_host_index(h)].side = side;
}

void sim_dht_split(sim_dht *d, bool is_split)
{
    d->is_split = is_split;
    if (!is_split)
        d->healed_at = sim_now(d->world);
}

static era era_of(const sim_dht *d, kith_time at)
{
    return d->is_split ? SPLIT : d->healed_at && at < d->healed_at + d->sc->heals ? MENDING : WHOLE;
}

/* ---- questions ---- */

/* The node of h, if it has been up for long enough to ask. */
static sim_kad *ready(sim_dht *d, sim_host *h)
{
    sim_kad *k = &d->all[sim_host_index(h)];
    return is_up(k) && k->since + KNOWN <= sim_now(d->world) ? k : NULL;
}

static question *question_new(sim_dht *d, sim_kad *k, question_kind kind)
{
    question *q = calloc(1, sizeof *q);
    assert(q);
    q->kind = kind;
    q->at = sim_now(d->world);
    kith_list_push(&d->askers[k - d->all].questions, &q->link);
    return q;
}

static void begun(question *q, const sim_kad *k, kith_err e)
{
    assert(!e);
    (void)e;
    sim_drive(k->host);
    (void)q;
}

void sim_dht_lookup(sim_dht *d, sim_host *h)
{
    sim_kad *k = ready(d, h);
    if (!k)
        return;
    question *q = question_new(d, k, LOOKUP);
    q->key[0] = 0x12; /* a sha2-256 multihash */
    q->key[1] = 32;
    q->key_len = 34;
    for (size_t i = 2; i < q->key_len; i += 8)
        kith_store_be64(q->key + i, sim_random(d->world));
    begun(q, k, kith_kad_find_nearest(k->kad, q->at, kith_bytes_of(q->key, q->key_len), &q->op));
}

void sim_dht_find(sim_dht *d, sim_host *h)
{
    sim_kad *k = ready(d, h), *target = k ? somebody(d, k) : NULL;
    if (!target || !target->cfg.server)
        return; /* a client is found only by chance */
    question *q = question_new(d, k, FIND);
    q->target = (size_t)(target - d->all);
    begun(q, k, kith_kad_find_peer(k->kad, q->at, kith_node_id(sim_node(target->host)), &q->op));
}

void sim_dht_value(sim_dht *d, sim_host *h)
{
    sim_kad *k = ready(d, h);
    if (!k)
        return;
    bool put = d->values == 0 || sim_random(d->world) % 2;
    question *q = question_new(d, k, put ? PUT : GET);
    q->target = put ? d->values : sim_random(d->world) % d->values;
    q->key_len = (size_t)snprintf((char *)q->key, sizeof q->key, "/number/%zu", q->target);
    kith_bytes key = kith_bytes_of(q->key, q->key_len);
    uint8_t value = (uint8_t)q->target;
    if (put)
        begun(q, k, kith_kad_put(k->kad, q->at, key, kith_bytes_of(&value, 1), &q->op));
    else
        begun(q, k, kith_kad_get(k->kad, q->at, key, 1, &q->op));
}

/* ---- answers ---- */

static void judge_lookup(sim_dht *d, const sim_kad *k, const question *q, const kith_kad_event *ev)
{
    size_t of, n;
    era when = era_of(d, q->at);
    kith_bytes key = kith_bytes_of(q->key, q->key_len);
    kith_time before = q->at - KNOWN;
    d->lookups[when]++;
    d->right[when] += sim_kad_right(d->all, d->count, k, before, key, ev->peers, ev->peer_count, 1, NULL);
    if (when != WHOLE)
        return;
    n = sim_kad_right(d->all, d->count, k, before, key, ev->peers, ev->peer_count, NEAREST, &of);
    d->nearest += of;
    d->nearest_right += n;
    d->hops += ev->lookup.hops;
    d->by_hops[ev->lookup.hops < HOPS_MAX ? ev->lookup.hops : HOPS_MAX]++;
    if (ev->lookup.hops > d->hops_max)
        d->hops_max = ev->lookup.hops;
    d->asked += ev->lookup.asked;
    d->in_vain += ev->lookup.failed;
    sim_samples_add(&d->took, ev->took);
}

static void judge(sim_dht *d, const sim_kad *k, const question *q, const kith_kad_event *ev)
{
    const sim_kad *target = &d->all[q->target];
    switch (q->kind) {
    case LOOKUP:
        judge_lookup(d, k, q, ev);
        break;
    case FIND:
        if (era_of(d, q->at) != WHOLE || !is_up(target) || target->since + KNOWN > q->at)
            break;
        d->finds++;
        d->found += ev->err == KITH_OK;
        break;
    case PUT:
        d->values += ev->err == KITH_OK && q->target == d->values;
        break;
    case GET:
        if (era_of(d, q->at) != WHOLE)
            break;
        d->gets++;
        d->got += ev->err == KITH_OK && ev->value.len == 1 && ev->value.p[0] == (uint8_t)q->target;
        break;
    }
}

static void told(void *ctx, const kith_kad_event *ev)
{
    asker *a = ctx;
    if (ev->kind != KITH_KAD_DONE)
        return;
    KITH_EACH (&a->questions, l) {
        question *q = KITH_OF(l, question, link);
        if (q->op != ev->op)
            continue;
        judge(a->in, &a->in->all[a - a->in->askers], q, ev);
        drop(q);
        return;
    }
}

/* ---- measuring ---- */

static int64_t share(uint64_t part, uint64_t of, uint64_t unit)
{
    return of ? (int64_t)(part * unit / of) : 0;
}

static int64_t hops_at(const sim_dht *d, unsigned percent)
{
    uint64_t seen = 0;
    size_t hops = 0;
    for (; hops < HOPS_MAX; hops++) {
        seen += d->by_hops[hops];
        if (seen * 100 >= d->lookups[WHOLE] * percent)
            break;
    }
    return (int64_t)hops;
}

void sim_dht_measure(sim_dht *d, int64_t value[SIM_METRICS])
{
    uint64_t up = 0, table = 0, requests = d->requests, n = d->lookups[WHOLE];
    for (size_t i = 0; i < d->count; i++) {
        if (!is_up(&d->all[i]))
            continue;
        kith_kad_facts f = kith_kad_look(d->all[i].kad);
        up++;
        table += f.peers;
        requests += f.asked;
    }
    value[SIM_LOOKUPS] = (int64_t)n;
    value[SIM_LOOKUPS_RIGHT] = share(d->right[WHOLE], n, 1000000);
    value[SIM_LOOKUPS_NEAREST] = share(d->nearest_right, d->nearest, 1000000);
    value[SIM_LOOKUPS_SPLIT] = share(d->right[SPLIT], d->lookups[SPLIT], 1000000);
    value[SIM_LOOKUPS_MENDING] = share(d->right[MENDING], d->lookups[MENDING], 1000000);
    value[SIM_HOPS] = share(d->hops, n, 1000);
    value[SIM_HOPS_P99] = hops_at(d, 99);
    value[SIM_HOPS_MAX] = (int64_t)d->hops_max;
    value[SIM_ASKED] = share(d->asked, n, 1000);
    value[SIM_ASKED_IN_VAIN] = share(d->in_vain, n, 1000);
    value[SIM_LOOKUP_P50] = sim_samples_at(&d->took, 50);
    value[SIM_LOOKUP_P99] = sim_samples_at(&d->took, 99);
    value[SIM_FINDS] = (int64_t)d->finds;
    value[SIM_FOUND] = share(d->found, d->finds, 1000000);
    value[SIM_GETS] = (int64_t)d->gets;
    value[SIM_GOT] = share(d->got, d->gets, 1000000);
    value[SIM_REQUESTS] = (int64_t)requests;
    value[SIM_TABLE] = up ? (int64_t)(table / up) : 0;
}
