/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kademlia as a part of a node: lookups and what follows them, the table's upkeep, and the server. */
#include "mesh/kad.h"

#include <assert.h>

#include "mesh/kad_impl.h"

#define PROBES_MAX 16 /* newcomers and the silent that are asked at once */
#define LEFT_MAX 16   /* questions that go on after their lookup */
#define HUNGRY \
    10 /* with fewer peers in the table every new one is a reason to look around; go: minRTRefreshThreshold */
#define HUNGRY_EVERY KITH_SEC(30)
#define EAGER \
    KITH_SEC( \
        2) /* doubled each time: of those who join at one time each finds the others, whom nobody knew yet when it asked first */
#define REFRESH_DEPTH \
    12 /* an id of a deeper bucket takes too long to find; the lookup of ourselves fills those */
#define REFRESH_SEEDS \
    6 /* whom the lookup for a bucket begins with: it looks for others than those in the table */
#define PROVIDING_MAX 4             /* keys that are provided again at once */
#define PROVIDE_SOON KITH_SEC(10)   /* after a start: the table fills first */
#define PROVIDE_RETRY KITH_SEC(300) /* when nobody was told */
#define EXPIRE_EVERY KITH_SEC(3600)
#define CORRECTED_MAX 20 /* peers with a worse value that are sent the best */

typedef enum op_kind { FIND_NEAREST, FIND_PEER, PUT, GET, PROVIDE, FIND_PROVIDERS, REFRESH } op_kind;
typedef enum op_stage { SEARCHING, SPREADING, OVER } op_stage;

/* What a request of an op is for; any other is a question of its lookup, of this type. */
enum { TAG_SPREAD = 256, TAG_TARGET };

typedef struct op {
    kith_link link, telling;
    uint64_t id;
    op_kind kind;
    op_stage stage;
    bool internal;
    kith_kad_lookup *lookup;
    kith_time since, until;
    uint8_t key[KITH_KAD_KEY_MAX];
    size_t key_len;
    uint8_t *value; /* PUT: what is put; GET: the best so far */
    size_t value_len;
    kith_kad_peer *peers; /* what was found */
    size_t peer_count, peer_cap, peers_told;
    unsigned most;         /* GET: the quorum; FIND_PROVIDERS: how many */
    unsigned got;          /* values */
    kith_peer_id *holders; /* GET: who gave the best, and who a worse one; CORRECTED_MAX each */
    unsigned best_count, worse_count;
    unsigned left, reached; /* SPREADING */
    unsigned bucket;        /* REFRESH: it is to fill it; KITH_KAD_BUCKETS: all that are near us */
    uint16_t target_len;    /* FIND_PEER: it was called at its first addresses, so many bytes; 0: not now */
    kith_time took;
    kith_err err;
    const char *why;
} op;

void kith_kad_config_default(kith_kad_config *cfg)
{
    *cfg = (kith_kad_config){
        .protocol = kith_bytes_str(KITH_KAD_ID),
        .k = 20,
        .alpha = 10,
        .beta = 3,
        .paths = 3,
        .group_max = 3,
        .bucket_group_max = 2,
        .refresh_every = KITH_SEC(600),
        .stale_after = KITH_SEC(1800),
        .request_timeout = KITH_SEC(10),
        .op_timeout = KITH_SEC(60),
        .provide_every = KITH_SEC(22 * 3600),
        .ops_max = 64,
        .provides_max = 1024,
        .streams_max = 256,
        .streams_per_conn = 16,
        .requests_max = 512,
        .requests_active = 64,
    };
    kith_kad_store_config_default(&cfg->store);
}

/* ---- addresses ---- */

void kith_kad_own_addrs_(const kith_kad *k, const kith_maddr *remote, kith_addrs *out)
{
    size_t count;
    const kith_maddr *addrs = kith_node_addrs(k->cfg.node, &count);
    kith_addrs all = {0};
    kith_addrs_pack(&all, addrs, count);
    kith_addrs_fitting(kith_addrs_bytes(&all), remote, out);
}

/* ---- connected peers ---- */

known *kith_kad_known_(const kith_kad *k, const kith_peer_id *id)
{
    known *p = kith_map_get(&k->known, kith_hash(k->seed, kith_peer_id_bytes(id)));
    return p && kith_peer_id_eq(&p->id, id) ? p : NULL;
}

static void known_free(kith_kad *k, known *p)
{
    kith_link_remove(&p->link);
    kith_mem_free(&k->cfg.env, p->addrs, p->addrs_len);
    KITH_FREE(&k->cfg.env, p);
}

/* Without memory a peer is as one that has not connected. */
static void connected(kith_kad *k, const kith_conn_facts *f)
{
    uint64_t hash = kith_hash(k->seed, kith_peer_id_bytes(&f->peer));
    known *p = kith_map_get(&k->known, hash);
    if (p) {
        p->conns += kith_peer_id_eq(&p->id, &f->peer);
        return;
    }
    p = KITH_NEW(&k->cfg.env, known);
    if (!p)
        return;
    bool called = !f->inbound && kith_requests_asks(k->requests, &f->peer);
    *p = (known){.id = f->peer, .conns = 1, .remote = f->remote, .called = called};
    if (kith_map_put(&k->known, &k->cfg.env, hash, p))
        known_free(k, p);
    else
        kith_list_push(&k->connected, &p->link);
    kith_kad_table_set_connected(&k->table, &f->peer, true);
}

static void disconnected(kith_kad *k, const kith_peer_id *id)
{
    known *p = kith_kad_known_(k, id);
    if (!p || --p->conns > 0)
        return;
    kith_kad_table_set_connected(&k->table, id, false);
    (void)kith_map_remove(&k->known, kith_hash(k->seed, kith_peer_id_bytes(id)));
    known_free(k, p);
}

static void learn_addrs(kith_kad *k, known *p, const kith_identify_info *info)
{
    kith_addrs all = {0}, fit = {0};
    kith_addrs_pack(&all, info->addrs, info->addr_count);
    kith_addrs_fitting(kith_addrs_bytes(&all), &p->remote, &fit);
    uint8_t *copy = fit.len ? kith_mem_new(&k->cfg.env, fit.len) : NULL;
    if (!copy)
        return;
    memcpy(copy, fit.b, fit.len);
    kith_mem_free(&k->cfg.env, p->addrs, p->addrs_len);
    p->addrs = copy;
    p->addrs_len = fit.len;
}

/* ---- the table ---- */

void kith_kad_conduct_(const kith_kad *k, const kith_peer_id *peer, kith_conduct what)
{
    if (k->cfg.conduct)
        k->cfg.conduct(k->cfg.conduct_ctx, peer, what);
}

/* A server has answered. It is worth remembering once it has told its addresses. */
static void answered(kith_kad *k, kith_time now, const kith_peer_id *id)
{
    known *p = kith_kad_known_(k, id);
    if (!p)
        return; /* it has left already */
    p->answered = true;
    if (p->addrs_len == 0)
        return;
    bool few = k->table.count < HUNGRY;
    kith_err e = kith_kad_table_answered(&k->table, now, id, kith_bytes_of(p->addrs, p->addrs_len),
                                         kith_kad_group(&p->remote));
    if (e == KITH_OK && few && k->refreshing < 0)
        k->refresh_at = kith_time_min(
            k->refresh_at,
            k->refreshed_at ? kith_time_after(k->refreshed_at, kith_time_min(k->eager, HUNGRY_EVERY)) : now);
}

static size_t find_node_of(const kith_kad *k, uint8_t buf[128])
{
    kith_wr w = kith_wr_of(kith_span_of(buf, 128));
    kith_kad_put_head(&w, KITH_KAD_FIND_NODE, kith_peer_id_bytes(&k->self));
    return w.len;
}

/* Asks a peer for the nearest to ourselves, to see whether it answers. */
static void probe(kith_kad *k, const kith_peer_id *id, kith_bytes addrs)
{
    uint8_t buf[128];
    if (k->probes >= PROBES_MAX)
        return;
    kith_bytes msg = kith_bytes_of(buf, find_node_of(k, buf));
    if (kith_requests_start(k->requests, id, addrs, msg, true, k, 0) == KITH_OK)
        k->probes++;
}

static void probed(kith_kad *k, kith_time now, const kith_request_end *end)
{
    kith_kad_msg m;
    k->probes--;
    if (!end->err && kith_kad_msg_parse(end->answer, &m) == KITH_OK && m.type == KITH_KAD_FIND_NODE)
        answered(k, now, &end->peer);
    else if (!end->ours)
        kith_kad_table_remove(&k->table, &end->peer);
}

static void identified(kith_kad *k, kith_time now, kith_conn *c, const kith_identify_info *info)
{
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    known *p = kith_kad_known_(k, &f.peer);
    if (!p || !info)
        return;
    if (info->has_addrs)
        learn_addrs(k, p, info);
    if (!kith_conn_supports(c, k->cfg.protocol))
        kith_kad_table_remove(&k->table, &f.peer);
    else if (p->answered)
        answered(k, now, &f.peer);
    else if (kith_kad_table_wants(&k->table, now, &f.peer, kith_kad_group(&f.remote)) &&
             !kith_requests_asks(k->requests, &f.peer))
        probe(k, &f.peer, (kith_bytes){0});
}

/* ---- ops ---- */

static void op_free(kith_kad *k, op *o)
{
    const kith_env *env = &k->cfg.env;
    kith_link_remove(&o->link);
    kith_link_remove(&o->telling);
    k->op_count -= !o->internal;
    kith_kad_lookup_free(o->lookup);
    kith_mem_free(env, o->value, o->value_len);
    kith_mem_free(env, o->peers, o->peer_cap * sizeof *o->peers);
    kith_mem_free(env, o->holders, 2 * CORRECTED_MAX * sizeof *o->holders);
    KITH_FREE(env, o);
}

static void tell(kith_kad *k, op *o)
{
    if (!o->internal && !kith_link_in(&o->telling))
        kith_list_push(&k->telling, &o->telling);
    k->news = true;
}

static void refreshed(kith_kad *k, kith_time now);

/* Puts a key among those to be provided, by when. */
static void provide_at(kith_kad *k, provided *p, kith_time at)
{
    kith_link *before = &k->provides.head;
    p->at = at;
    kith_link_remove(&p->link);
    while (before->next != &k->provides.head && KITH_OF(before->next, provided, link)->at <= at)
        before = before->next;
    kith_link_insert(before, &p->link);
}

static void over(kith_kad *k, kith_time now, op *o, kith_err err, const char *why)
{
    o->stage = OVER;
    o->err = err;
    o->why = err ? why : NULL;
    o->took = now - o->since;
    kith_requests_cancel(k->requests, now, o);
    tell(k, o);
    provided *p = o->kind == PROVIDE && err ? kith_kad_provided_(k, kith_bytes_of(o->key, o->key_len)) : NULL;
    if (p)
        provide_at(k, p, kith_time_after(now, PROVIDE_RETRY));
    if (!o->internal)
        return;
    op_kind kind = o->kind;
    op_free(k, o);
    if (kind == REFRESH)
        refreshed(k, now);
    else if (kind == PROVIDE)
        k->providing--;
}

static bool has_peer(const op *o, const kith_peer_id *id)
{
    for (size_t i = 0; i < o->peer_count; i++) {
        if (kith_peer_id_eq(&o->peers[i].id, id))
            return true;
    }
    return false;
}

/* addrs: packed, may be none. NULL: no memory. */
static kith_kad_peer *new_peer(kith_kad *k, op *o, const kith_peer_id *id, kith_bytes addrs)
{
    if (o->peer_count == o->peer_cap) {
        size_t cap = o->peer_cap ? 2 * o->peer_cap : 4;
        kith_kad_peer *p = kith_mem_resize(&k->cfg.env, o->peers, o->peer_cap * sizeof *p, cap * sizeof *p);
        if (!p)
            return NULL;
        o->peers = p;
        o->peer_cap = cap;
    }
    kith_kad_peer *p = &o->peers[o->peer_count++];
    *p = (kith_kad_peer){.id = *id};
    if (addrs.len)
        memcpy(p->addrs.b, addrs.p, addrs.len);
    p->addrs.len = (uint16_t)addrs.len;
    return p;
}

static kith_err seed(kith_kad *k, op *o)
{
    kith_kad_entry *near[UINT8_MAX];
    kith_kad_key place = kith_kad_key_of(kith_bytes_of(o->key, o->key_len));
    size_t most = o->kind == REFRESH && o->bucket < KITH_KAD_BUCKETS ? REFRESH_SEEDS : k->cfg.k;
    size_t n = kith_kad_table_nearest(&k->table, &place, near, most);
    kith_err e = KITH_OK;
    for (size_t i = 0; i < n && !e; i++)
        e = kith_kad_lookup_seed(o->lookup, &near[i]->id, kith_bytes_of(near[i]->addrs, near[i]->addrs_len));
    for (size_t i = 0; n == 0 && i < k->boot_count && !e; i++)
        e = kith_kad_lookup_seed(o->lookup, &k->boots[i].id, kith_addrs_bytes(&k->boots[i].addrs));
    k->looked_up[kith_kad_table_bucket(&k->table, &place)] = o->since;
    return e;
}

static kith_err begin_for(kith_kad *k, kith_time now, op_kind kind, kith_bytes key, bool internal,
                          unsigned bucket, op **out)
{
    if (key.len == 0 || key.len > KITH_KAD_KEY_MAX)
        return KITH_EFORMAT;
    if (!internal && k->op_count >= k->cfg.ops_max)
        return KITH_ELIMIT;
    op *o = KITH_NEW(&k->cfg.env, op);
    if (!o)
        return KITH_ENOMEM;
    o->id = ++k->next_op;
    o->kind = kind;
    o->internal = internal;
    o->since = now;
    o->until = kith_time_after(now, k->cfg.op_timeout);
    o->bucket = bucket;
    o->key_len = key.len;
    memcpy(o->key, key.p, key.len);
    k->op_count += !internal;
    kith_list_push(&k->ops, &o->link);
    const kith_kad_config *c = &k->cfg;
    kith_kad_lookup_config cfg = {.env = c->env,
                                  .target = kith_kad_key_of(key),
                                  .self = k->self,
                                  .k = c->k,
                                  .alpha = c->alpha,
                                  .beta = c->beta,
                                  .paths = c->paths,
                                  .group_max = c->group_max};
    o->lookup = kith_kad_lookup_new(&cfg);
    if (!o->lookup || seed(k, o)) {
        op_free(k, o);
        return KITH_ENOMEM;
    }
    *out = o;
    return KITH_OK;
}

static kith_err begin(kith_kad *k, kith_time now, op_kind kind, kith_bytes key, bool internal, op **out)
{
    return begin_for(k, now, kind, key, internal, KITH_KAD_BUCKETS, out);
}

static kith_err keep_value(kith_kad *k, op *o, kith_bytes value)
{
    uint8_t *p = value.len ? kith_mem_new(&k->cfg.env, value.len) : NULL;
    if (value.len && !p)
        return KITH_ENOMEM;
    if (value.len)
        memcpy(p, value.p, value.len);
    kith_mem_free(&k->cfg.env, o->value, o->value_len);
    o->value = p;
    o->value_len = value.len;
    return KITH_OK;
}

/* ---- what is asked, and what follows a search ---- */

static kith_kad_type question_of(const op *o)
{
    return o->kind == GET              ? KITH_KAD_GET_VALUE
           : o->kind == FIND_PROVIDERS ? KITH_KAD_GET_PROVIDERS
                                       : KITH_KAD_FIND_NODE;
}

/* So many entries are enough: they are asked whether they live, and newcomers fill the gaps that remain. */
static bool filled(const kith_kad *k, unsigned bucket)
{
    return k->table.counts[bucket] >= k->cfg.k - k->cfg.k / 4;
}

/* Whether it is to fill a bucket, and no more. */
static bool fills(const op *o)
{
    return o->kind == REFRESH && o->bucket < KITH_KAD_BUCKETS;
}

/* Whether to ask further: of a bucket no more than it has room for. */
static bool goes_on(const kith_kad *k, const op *o)
{
    if (!fills(o))
        return true;
    return !filled(k, o->bucket) &&
           k->table.counts[o->bucket] + kith_kad_lookup_look(o->lookup).under_way < k->cfg.k;
}

static void ask(kith_kad *k, kith_time now, op *o)
{
    kith_kad_contact c;
    while (o->stage == SEARCHING && goes_on(k, o) && kith_kad_lookup_next(o->lookup, now, &c)) {
        uint8_t buf[KITH_KAD_KEY_MAX + 16];
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        kith_kad_put_head(&w, question_of(o), kith_bytes_of(o->key, o->key_len));
        kith_peer_id id = c.id;
        if (kith_requests_start(k->requests, &id, c.addrs, kith_wr_bytes(&w), true, o, question_of(o)))
            kith_kad_lookup_failed(o->lookup, &id);
    }
}

/* Sends one message to the nearest, or to those of a list. */
static void spread(kith_kad *k, op *o, const kith_kad_contact *to, size_t count, kith_bytes msg,
                   bool has_answer)
{
    o->stage = SPREADING;
    for (size_t i = 0; i < count; i++) {
        if (kith_requests_start(k->requests, &to[i].id, to[i].addrs, msg, has_answer, o, TAG_SPREAD) ==
            KITH_OK)
            o->left++;
    }
}

static void put_provider(const kith_kad *k, const op *o, const kith_peer_id *to, kith_wr *w)
{
    const known *p = kith_kad_known_(k, to);
    kith_maddr nowhere = {0};
    kith_addrs own = {0};
    kith_kad_own_addrs_(k, p ? &p->remote : &nowhere, &own);
    kith_kad_put_head(w, KITH_KAD_ADD_PROVIDER, kith_bytes_of(o->key, o->key_len));
    (void)kith_kad_put_peer(w, KITH_KAD_PROVIDERS, &k->self, kith_addrs_bytes(&own), false);
}

/* Returns whether messages are under way. */
static bool store_there(kith_kad *k, kith_time now, op *o, const kith_kad_contact *near, size_t n)
{
    uint8_t buf[KITH_KAD_REQUEST_MAX];
    for (size_t i = 0; i < n; i++) {
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        if (o->kind == PROVIDE) {
            put_provider(k, o, &near[i].id, &w);
        } else {
            kith_bytes key = kith_bytes_of(o->key, o->key_len);
            kith_kad_put_head(&w, KITH_KAD_PUT_VALUE, key);
            kith_kad_put_record(&w, key, kith_bytes_of(o->value, o->value_len), kith_kad_clock(k, now));
        }
        assert(!w.bad);
        spread(k, o, &near[i], 1, kith_wr_bytes(&w), o->kind != PROVIDE);
    }
    return o->left > 0;
}

/* Those that gave a worse value get the best one. Nobody waits for that. */
static void correct(kith_kad *k, kith_time now, const op *o)
{
    uint8_t buf[KITH_KAD_REQUEST_MAX];
    kith_bytes key = kith_bytes_of(o->key, o->key_len);
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_kad_put_head(&w, KITH_KAD_PUT_VALUE, key);
    kith_kad_put_record(&w, key, kith_bytes_of(o->value, o->value_len), kith_kad_clock(k, now));
    for (unsigned i = 0; i < o->worse_count; i++)
        if (kith_requests_start(k->requests, &o->holders[CORRECTED_MAX + i], (kith_bytes){0},
                                kith_wr_bytes(&w), true, NULL, TAG_SPREAD))
            return;
}

/* Who puts and is a server is one of those that have it. */
static bool store_here(kith_kad *k, kith_time now, const op *o)
{
    kith_kad_row row = {.key = kith_bytes_of(o->key, o->key_len),
                        .data = kith_bytes_of(o->value, o->value_len),
                        .received = kith_kad_clock(k, now)};
    return k->serving && o->kind == PUT && kith_kad_store_put(k->store, &row) == KITH_OK;
}

/* A lookup of ourselves has seen everybody who is nearer than the last that it found: no bucket beyond needs one of its own. */
static void surroundings_seen(kith_kad *k, const op *o, const kith_kad_contact *near, size_t n)
{
    unsigned b = 0;
    if (n == k->cfg.k) {
        kith_kad_key last = kith_kad_key_of(kith_peer_id_bytes(&near[n - 1].id));
        b = kith_kad_table_bucket(&k->table, &last) + 1;
    }
    for (; n > 0 && b < KITH_KAD_BUCKETS; b++)
        k->looked_up[b] = o->since;
}

static void searched(kith_kad *k, kith_time now, op *o)
{
    kith_kad_contact near[UINT8_MAX];
    if (o->target_len > 0)
        return; /* its own answer decides */
    /* Whom the lookup did not wait for may be gone, and would be waited for again and again if nobody found out. */
    k->left += kith_requests_leave(k->requests, now, o, &k->left, LEFT_MAX - k->left);
    size_t n = kith_kad_lookup_nearest(o->lookup, near, k->cfg.k);
    kith_err err = n > 0 ? KITH_OK : KITH_ECLOSED;
    const char *why = n > 0 ? NULL : "no server of the table answered";
    switch (o->kind) {
    case FIND_NEAREST:
        for (size_t i = 0; i < n; i++) {
            if (!new_peer(k, o, &near[i].id, near[i].addrs)) {
                err = KITH_ENOMEM;
                why = "no memory";
                break;
            }
        }
        break;
    case FIND_PEER:
        err = n > 0 ? KITH_ENOTFOUND : err;
        why = n > 0 ? "nobody has addresses where it answers" : why;
        break;
    case GET:
        if (o->got > 0)
            correct(k, now, o);
        err = o->got > 0 ? KITH_OK : n > 0 ? KITH_ENOTFOUND : err;
        why = o->got > 0 ? NULL : n > 0 ? "nobody has a value for it" : why;
        break;
    case FIND_PROVIDERS:
        err = o->peer_count > 0 ? KITH_OK : n > 0 ? KITH_ENOTFOUND : err;
        why = o->peer_count > 0 ? NULL : n > 0 ? "nobody is known to provide it" : why;
        break;
    case PUT:
    case PROVIDE:
        o->reached += store_here(k, now, o);
        if (store_there(k, now, o, near, n))
            return;
        break;
    case REFRESH:
        if (o->bucket == KITH_KAD_BUCKETS)
            surroundings_seen(k, o, near, n);
        break;
    }
    over(k, now, o, err, why);
}

/* ---- answers ---- */

static void take_value(kith_kad *k, kith_time now, op *o, const kith_peer_id *from, const kith_kad_msg *m)
{
    kith_bytes key = kith_bytes_of(o->key, o->key_len);
    const kith_kad_namespace *ns = kith_kad_namespace_(k, key);
    if (!m->has_record || !ns)
        return;
    kith_err e = kith_bytes_eq(m->record_key, key)
                     ? kith_kad_judge_(ns, kith_kad_clock(k, now), key, m->value)
                     : KITH_EAUTH;
    if (e && e != KITH_ETIMEOUT && e != KITH_EUNSUPPORTED)
        kith_kad_conduct_(k, from, KITH_CONDUCT_DHT);
    if (e)
        return;
    kith_bytes best = kith_bytes_of(o->value, o->value_len);
    kith_peer_id *worse = o->holders + CORRECTED_MAX;
    if (o->got == 0 || ns->better(ns->ctx, key, best, m->value)) {
        if (keep_value(k, o, m->value))
            return;
        for (unsigned i = 0; i < o->best_count && o->worse_count < CORRECTED_MAX; i++)
            worse[o->worse_count++] = o->holders[i];
        o->best_count = 0;
    }
    bool is_best = kith_bytes_eq(kith_bytes_of(o->value, o->value_len), m->value);
    o->got++;
    if (is_best && o->best_count < CORRECTED_MAX)
        o->holders[o->best_count++] = *from;
    else if (!is_best && o->worse_count < CORRECTED_MAX)
        worse[o->worse_count++] = *from;
    if (o->got >= o->most)
        kith_kad_lookup_stop(o->lookup);
}

static void take_providers(kith_kad *k, op *o, const kith_kad_msg *m, const kith_maddr *remote)
{
    kith_kad_walk walk = kith_kad_walk_of(m, KITH_KAD_PROVIDERS);
    kith_kad_peer p;
    while (o->peer_count < o->most && kith_kad_walk_next(&walk, &p)) {
        if (kith_peer_id_eq(&p.id, &k->self) || has_peer(o, &p.id))
            continue;
        kith_kad_peer *q = new_peer(k, o, &p.id, (kith_bytes){0});
        if (!q)
            return;
        kith_addrs_fitting(kith_addrs_bytes(&p.addrs), remote, &q->addrs);
        tell(k, o);
    }
    if (o->peer_count >= o->most)
        kith_kad_lookup_stop(o->lookup);
}

/* Calls the peer that is looked for where it was said to be. */
static void call_target(kith_kad *k, op *o)
{
    const kith_kad_peer *p = &o->peers[0];
    uint8_t buf[128];
    kith_bytes msg = kith_bytes_of(buf, find_node_of(k, buf));
    if (kith_requests_start(k->requests, &p->id, kith_addrs_bytes(&p->addrs), msg, true, o, TAG_TARGET) ==
        KITH_OK)
        o->target_len = p->addrs.len;
}

/* It was named: its addresses are gathered. */
static void take_target(kith_kad *k, op *o, const kith_kad_peer *named)
{
    kith_kad_peer *p = &o->peers[0];
    size_t before = p->addrs.len;
    kith_bytes packed = kith_addrs_bytes(&named->addrs);
    kith_maddr a;
    while (kith_addrs_next(&packed, &a))
        (void)kith_addrs_add(&p->addrs, &a);
    if (o->target_len == 0 && p->addrs.len > before)
        call_target(k, o);
}

/* Only what was asked for counts as an answer. */
static bool take_answer(kith_kad *k, kith_time now, op *o, const kith_request_end *end)
{
    kith_kad_msg m;
    if (end->err)
        return false;
    if (kith_kad_msg_parse(end->answer, &m) || m.type != question_of(o)) {
        kith_kad_conduct_(k, &end->peer, KITH_CONDUCT_DHT);
        return false;
    }
    kith_kad_peer named[KITH_KAD_PEERS_MAX];
    size_t n = 0;
    const known *p = kith_kad_known_(k, &end->peer);
    kith_maddr remote = {0};
    if (p)
        remote = p->remote;
    answered(k, now, &end->peer);
    kith_kad_walk walk = kith_kad_walk_of(&m, KITH_KAD_CLOSER);
    kith_kad_peer raw;
    while (kith_kad_walk_next(&walk, &raw)) {
        named[n] = (kith_kad_peer){.id = raw.id};
        kith_addrs_fitting(kith_addrs_bytes(&raw.addrs), &remote, &named[n].addrs);
        bool target = o->kind == FIND_PEER &&
                      kith_bytes_eq(kith_peer_id_bytes(&raw.id), kith_bytes_of(o->key, o->key_len));
        if (target)
            take_target(k, o, &named[n]);
        else if (fills(o) && kith_kad_table_find(&k->table, &raw.id))
            continue; /* it would be asked only to be in the table */
        else if (named[n].addrs.len > 0 || kith_kad_known_(k, &raw.id))
            n++;
    }
    if (o->kind == GET)
        take_value(k, now, o, &end->peer, &m);
    else if (o->kind == FIND_PROVIDERS)
        take_providers(k, o, &m, &remote);
    kith_kad_lookup_answered(o->lookup, now, &end->peer, named, n);
    return true;
}

static void ended(kith_kad *k, kith_time now, op *o, const kith_request_end *end)
{
    if (end->tag == TAG_SPREAD) {
        o->left--;
        o->reached += !end->err;
        if (o->left == 0)
            over(k, now, o, o->reached ? KITH_OK : KITH_EREFUSED, o->reached ? NULL : "nobody has taken it");
        return;
    }
    if (end->tag == TAG_TARGET) {
        bool more = o->peers[0].addrs.len > o->target_len; /* that others have named since */
        o->target_len = 0;
        if (end->conn)
            over(k, now, o, KITH_OK, NULL);
        else if (more)
            call_target(k, o);
        return;
    }
    if (take_answer(k, now, o, end))
        return;
    if (!end->ours)
        kith_kad_table_remove(&k->table, &end->peer);
    kith_kad_lookup_failed(o->lookup, &end->peer);
}

/* Its lookup is over, and only whether it lives is of interest. */
static void left_behind(kith_kad *k, kith_time now, const kith_request_end *end)
{
    kith_kad_msg m;
    k->left--;
    if (!end->err && kith_kad_msg_parse(end->answer, &m) == KITH_OK && m.type == (kith_kad_type)end->tag)
        answered(k, now, &end->peer);
    else if (!end->ours)
        kith_kad_table_remove(&k->table, &end->peer);
}

static bool take_ends(kith_kad *k, kith_time now)
{
    kith_request_end end;
    bool any = false;
    while (kith_requests_next(k->requests, &end)) {
        any = true;
        k->asked++;
        k->failed += end.err != KITH_OK;
        if (end.owner == k)
            probed(k, now, &end);
        else if (end.owner == &k->left)
            left_behind(k, now, &end);
        else if (end.owner)
            ended(k, now, end.owner, &end);
    }
    return any;
}

/* ---- upkeep ---- */

/* An id whose place lies in a bucket: found by trying. */
static bool id_in_bucket(kith_kad *k, unsigned bucket, uint8_t id[34])
{
    id[0] = 0x12; /* a sha2-256 multihash */
    id[1] = 32;
    for (unsigned tries = 0; tries < 1u << (bucket + 4); tries++) {
        kith_rand_fill(&k->cfg.env, kith_span_of(id + 2, 32));
        kith_kad_key key = kith_kad_key_of(kith_bytes_of(id, 34));
        if (kith_kad_table_bucket(&k->table, &key) == bucket)
            return true;
    }
    return false;
}

static void refresh_next(kith_kad *k, kith_time now)
{
    unsigned depth = kith_kad_table_depth(&k->table);
    for (; k->refreshing <= (int)depth && k->refreshing <= REFRESH_DEPTH; k->refreshing++) {
        unsigned b = (unsigned)k->refreshing;
        uint8_t id[34];
        op *o;
        if (filled(k, b) || (k->looked_up[b] && now - k->looked_up[b] < k->cfg.refresh_every))
            continue;
        if (id_in_bucket(k, b, id) &&
            begin_for(k, now, REFRESH, kith_bytes_of(id, sizeof id), true, b, &o) == KITH_OK) {
            k->refreshing++;
            return;
        }
    }
    k->refreshing = -1;
    bool alone = k->table.count == 0, few = k->table.count < HUNGRY;
    k->refresh_at = kith_time_after(now, alone && k->boot_count > 0 ? HUNGRY_EVERY
                                         : !alone && few ? kith_time_min(k->eager, k->cfg.refresh_every)
                                                         : k->cfg.refresh_every);
    if (few && !alone && k->eager < k->cfg.refresh_every)
        k->eager *= 2;
}

/* A lookup of the refresh is over. */
static void refreshed(kith_kad *k, kith_time now)
{
    refresh_next(k, now);
}

static void refresh(kith_kad *k, kith_time now)
{
    op *o;
    k->refresh_at = kith_time_after(now, k->cfg.refresh_every);
    k->refreshed_at = now;
    if (k->refreshing >= 0 || (k->table.count == 0 && k->boot_count == 0))
        return;
    k->refreshing = 0;
    if (begin(k, now, REFRESH, kith_peer_id_bytes(&k->self), true, &o)) {
        refresh_next(k, now);
        return;
    }
    if (k->boot_count > 0 && k->table.count > 0) {
        /* The table may know a part of the network only, that was cut off for a while. Without memory it is as without. */
        const bootstrap *b = &k->boots[kith_rand_u64(&k->cfg.env) % k->boot_count];
        (void)!kith_kad_lookup_seed_apart(o->lookup, &b->id, kith_addrs_bytes(&b->addrs));
    }
}

/* Those that were silent when the refresh began are asked, a few at a time. */
static void check_silent(kith_kad *k, kith_time now)
{
    while (k->silent_before && k->probes < PROBES_MAX) {
        kith_kad_entry *e = kith_kad_table_silent(&k->table, now, k->silent_before);
        if (!e) {
            k->silent_before = 0;
            return;
        }
        kith_peer_id id = e->id;
        probe(k, &id, kith_bytes_of(e->addrs, e->addrs_len));
    }
}

static void provide_due(kith_kad *k, kith_time now)
{
    for (kith_link *l; k->providing < PROVIDING_MAX && (l = kith_list_first(&k->provides));) {
        provided *p = KITH_OF(l, provided, link);
        op *o;
        if (p->at > now)
            break;
        provide_at(k, p, kith_time_after(now, k->cfg.provide_every));
        if (begin(k, now, PROVIDE, kith_bytes_of(p->key, p->key_len), true, &o) == KITH_OK)
            k->providing++;
    }
}

/* ---- the part ---- */

static void part_event(void *self, kith_time now, const kith_node_event *ev)
{
    kith_kad *k = self;
    kith_conn_facts f;
    switch (ev->kind) {
    case KITH_NODE_CONNECTED:
        kith_conn_facts_get(ev->conn, &f);
        connected(k, &f);
        break;
    case KITH_NODE_DISCONNECTED:
        kith_conn_facts_get(ev->conn, &f);
        disconnected(k, &f.peer);
        break;
    case KITH_NODE_IDENTIFIED:
    case KITH_NODE_UPDATED:
        identified(k, now, ev->conn, ev->info);
        break;
    case KITH_NODE_DIALED:
        kith_requests_event(k->requests, now, ev);
        break;
    case KITH_NODE_DIAL:
    case KITH_NODE_RESOLVE:
    case KITH_NODE_KEY:
    case KITH_NODE_WORK:
    case KITH_NODE_CLOSE:
    case KITH_NODE_REFUSED:
    case KITH_NODE_STREAM_OPENED:
    case KITH_NODE_STREAM_READY:
    case KITH_NODE_STREAM_GONE:
        break;
    }
}

static bool part_act(void *self, kith_time now)
{
    kith_kad *k = self;
    bool any = take_ends(k, now);
    KITH_EACH (&k->ops, l) {
        op *o = KITH_OF(l, op, link);
        if (o->stage != SEARCHING)
            continue;
        ask(k, now, o);
        if (!goes_on(k, o) && kith_kad_lookup_look(o->lookup).under_way == 0)
            kith_kad_lookup_stop(o->lookup);
        if (kith_kad_lookup_done(o->lookup))
            searched(k, now, o);
    }
    check_silent(k, now);
    any |= kith_requests_act(k->requests, now);
    any |= k->news;
    k->news = false;
    return any;
}

static kith_time part_deadline(const void *self)
{
    const kith_kad *k = self;
    kith_time at = kith_time_min(kith_requests_deadline(k->requests), k->refresh_at);
    at = kith_time_min(at, k->expire_at);
    KITH_EACH (&k->ops, l) {
        const op *o = KITH_OF(l, op, link);
        if (o->stage != OVER)
            at = kith_time_min(at, o->until);
        if (o->stage == SEARCHING)
            at = kith_time_min(at, kith_kad_lookup_deadline(o->lookup));
    }
    kith_link *first = kith_list_first(&k->provides);
    if (first && k->providing < PROVIDING_MAX)
        at = kith_time_min(at, KITH_OF(first, provided, link)->at);
    return at;
}

static void part_tick(void *self, kith_time now)
{
    kith_kad *k = self;
    kith_requests_tick(k->requests, now);
    KITH_EACH (&k->ops, l) {
        op *o = KITH_OF(l, op, link);
        if (o->stage == SEARCHING && kith_kad_lookup_deadline(o->lookup) <= now)
            kith_kad_lookup_tick(o->lookup, now);
        if (o->stage == OVER || o->until > now)
            continue;
        if (o->stage == SPREADING && o->reached > 0)
            over(k, now, o, KITH_OK, NULL);
        else
            over(k, now, o, o->got || o->peer_count ? KITH_OK : KITH_ETIMEOUT, "it took too long");
    }
    if (k->refresh_at <= now) {
        k->silent_before = now > k->cfg.refresh_every ? now - k->cfg.refresh_every : 0;
        refresh(k, now);
    }
    provide_due(k, now);
    if (k->expire_at <= now) {
        k->expire_at = kith_time_after(now, EXPIRE_EVERY);
        kith_kad_store_expire(k->store, kith_kad_clock(k, now));
    }
}

static const kith_part_ops part_ops = {part_event, part_act, part_deadline, part_tick};

/* ---- life ---- */

kith_kad *kith_kad_new(const kith_kad_config *cfg, kith_time now)
{
    assert(cfg->protocol.len <= sizeof((kith_kad *)0)->protocol && cfg->k >= 1 && cfg->k < UINT8_MAX);
    kith_kad *k = KITH_NEW(&cfg->env, kith_kad);
    if (!k)
        return NULL;
    k->cfg = *cfg;
    memcpy(k->protocol, cfg->protocol.p, cfg->protocol.len);
    k->cfg.protocol.p = k->protocol;
    k->self = *kith_node_id(cfg->node);
    k->part = (kith_part){.ops = &part_ops, .self = k};
    k->seed[0] = kith_rand_u64(&cfg->env);
    k->seed[1] = kith_rand_u64(&cfg->env);
    k->refreshing = -1;
    k->eager = EAGER;
    k->refresh_at = kith_time_after(now, cfg->refresh_every);
    k->expire_at = kith_time_after(now, EXPIRE_EVERY);
    kith_list_init(&k->connected);
    kith_list_init(&k->ops);
    kith_list_init(&k->telling);
    kith_list_init(&k->provides);
    kith_kad_table_config table = {.env = cfg->env,
                                   .self = k->self,
                                   .k = cfg->k,
                                   .group_max = cfg->group_max,
                                   .bucket_group_max = cfg->bucket_group_max,
                                   .stale_after = cfg->stale_after};
    kith_kad_table_init(&k->table, &table);
    k->cfg.store.env = cfg->env;
    k->store = kith_kad_store_new(&k->cfg.store);
    kith_requests_config requests = {.env = cfg->env,
                                     .node = cfg->node,
                                     .protocol = k->cfg.protocol,
                                     .answer_max = KITH_KAD_ANSWER_MAX,
                                     .active_max = cfg->requests_active,
                                     .most = cfg->requests_max,
                                     .timeout = cfg->request_timeout};
    k->requests = kith_requests_new(&requests);
    kith_answers_config answers = {.env = cfg->env,
                                   .stream_env = kith_node_env(cfg->node),
                                   .question_max = KITH_KAD_REQUEST_MAX,
                                   .answer_max = KITH_KAD_REQUEST_MAX,
                                   .streams_max = cfg->streams_max,
                                   .answer = kith_kad_serve_,
                                   .ctx = k};
    k->answers = kith_answers_new(&answers);
    if (!k->store || !k->requests || !k->answers || (cfg->server && kith_kad_set_server(k, now, true))) {
        kith_kad_free(k);
        return NULL;
    }
    /* Those that are there already. */
    for (kith_conn *c = NULL; (c = kith_node_conn_next(cfg->node, c));) {
        kith_conn_facts f;
        kith_conn_facts_get(c, &f);
        if (f.open)
            connected(k, &f);
    }
    return k;
}

void kith_kad_free(kith_kad *k)
{
    if (!k)
        return;
    const kith_env *env = &k->cfg.env;
    for (kith_link *l; (l = kith_list_first(&k->ops));)
        op_free(k, KITH_OF(l, op, link));
    for (kith_link *l; (l = kith_list_pop(&k->provides));)
        KITH_FREE(env, KITH_OF(l, provided, link));
    for (kith_link *l; (l = kith_list_first(&k->connected));)
        known_free(k, KITH_OF(l, known, link));
    kith_map_fini(&k->known, env);
    kith_mem_free(env, k->boots, KITH_KAD_BOOTSTRAP_MAX * sizeof *k->boots);
    kith_kad_table_fini(&k->table);
    kith_requests_free(k->requests);
    kith_answers_free(k->answers);
    kith_kad_store_free(k->store);
    kith_env own = *env;
    KITH_FREE(&own, k);
}

kith_part *kith_kad_part(kith_kad *k)
{
    return &k->part;
}

void kith_kad_set_clock(kith_kad *k, kith_time now, uint64_t unix_seconds)
{
    k->clock = unix_seconds - now / KITH_SEC(1);
}

uint64_t kith_kad_clock(const kith_kad *k, kith_time now)
{
    return k->clock + now / KITH_SEC(1);
}

kith_err kith_kad_set_server(kith_kad *k, kith_time now, bool on)
{
    if (on == k->serving)
        return KITH_OK;
    if (on) {
        kith_protocol row = {.id = k->cfg.protocol,
                             .ops = &kith_answers_ops,
                             .accept = kith_answers_accept,
                             .ctx = k->answers,
                             .streams_per_conn = k->cfg.streams_per_conn};
        kith_err e = kith_node_serve(k->cfg.node, now, &row);
        if (e)
            return e;
    } else {
        kith_node_unserve(k->cfg.node, now, k->cfg.protocol);
    }
    k->serving = on;
    return KITH_OK;
}

bool kith_kad_is_server(const kith_kad *k)
{
    return k->serving;
}

kith_err kith_kad_bootstrap(kith_kad *k, kith_time now, const kith_peer_id *id, const kith_maddr *addrs,
                            size_t count)
{
    if (!k->boots)
        k->boots = kith_mem_new(&k->cfg.env, KITH_KAD_BOOTSTRAP_MAX * sizeof *k->boots);
    if (!k->boots)
        return KITH_ENOMEM;
    size_t i = 0;
    while (i < k->boot_count && !kith_peer_id_eq(&k->boots[i].id, id))
        i++;
    if (i == KITH_KAD_BOOTSTRAP_MAX)
        return KITH_ELIMIT;
    if (i == k->boot_count)
        k->boots[k->boot_count++] = (bootstrap){.id = *id};
    kith_addrs_pack(&k->boots[i].addrs, addrs, count);
    if (k->table.count == 0)
        k->refresh_at = kith_time_min(k->refresh_at, now);
    return KITH_OK;
}

/* ---- what is wanted ---- */

const kith_kad_namespace *kith_kad_namespace_(const kith_kad *k, kith_bytes key)
{
    const kith_kad_namespace *ns = kith_kad_namespace_own(key);
    return ns ? ns : kith_kad_namespace_of(k->cfg.namespaces, k->cfg.namespace_count, key);
}

kith_err kith_kad_judge_(const kith_kad_namespace *ns, uint64_t unix_seconds, kith_bytes key,
                         kith_bytes value)
{
    kith_err e = ns->validate(ns->ctx, key, value);
    return !e && ns->ended && ns->ended(ns->ctx, key, value, unix_seconds) ? KITH_ETIMEOUT : e;
}

bool kith_kad_stored_(const kith_kad *k, uint64_t unix_seconds, kith_bytes key, kith_kad_row *out)
{
    const kith_kad_namespace *ns = kith_kad_namespace_(k, key);
    return kith_kad_store_value(k->store, unix_seconds, key, out) &&
           !(ns && ns->ended && ns->ended(ns->ctx, key, out->data, unix_seconds));
}

kith_err kith_kad_find_nearest(kith_kad *k, kith_time now, kith_bytes key, uint64_t *id)
{
    op *o = NULL;
    kith_err e = begin(k, now, FIND_NEAREST, key, false, &o);
    if (!e)
        *id = o->id;
    return e;
}

kith_err kith_kad_find_peer(kith_kad *k, kith_time now, const kith_peer_id *peer, uint64_t *id)
{
    op *o = NULL;
    kith_err e = begin(k, now, FIND_PEER, kith_peer_id_bytes(peer), false, &o);
    if (e)
        return e;
    const known *p = kith_kad_known_(k, peer);
    if (!new_peer(k, o, peer, p ? kith_bytes_of(p->addrs, p->addrs_len) : (kith_bytes){0})) {
        op_free(k, o);
        return KITH_ENOMEM;
    }
    if (p) { /* it is here */
        kith_kad_lookup_stop(o->lookup);
        over(k, now, o, KITH_OK, NULL);
    }
    *id = o->id;
    return KITH_OK;
}

kith_err kith_kad_put(kith_kad *k, kith_time now, kith_bytes key, kith_bytes value, uint64_t *id)
{
    const kith_kad_namespace *ns = kith_kad_namespace_(k, key);
    op *o = NULL;
    if (!ns)
        return KITH_EUNSUPPORTED;
    if (value.len > KITH_KAD_VALUE_MAX)
        return KITH_EFORMAT;
    kith_err e = kith_kad_judge_(ns, kith_kad_clock(k, now), key, value);
    if (!e)
        e = begin(k, now, PUT, key, false, &o);
    if (e)
        return e;
    if (keep_value(k, o, value)) {
        op_free(k, o);
        return KITH_ENOMEM;
    }
    *id = o->id;
    return KITH_OK;
}

kith_err kith_kad_get(kith_kad *k, kith_time now, kith_bytes key, unsigned quorum, uint64_t *id)
{
    op *o = NULL;
    kith_kad_row row;
    if (!kith_kad_namespace_(k, key))
        return KITH_EUNSUPPORTED;
    if (quorum == 0)
        return KITH_EFORMAT;
    kith_err e = begin(k, now, GET, key, false, &o);
    if (e)
        return e;
    o->most = quorum;
    o->holders = kith_mem_new(&k->cfg.env, 2 * CORRECTED_MAX * sizeof *o->holders);
    if (!o->holders) {
        op_free(k, o);
        return KITH_ENOMEM;
    }
    *id = o->id;
    if (kith_kad_stored_(k, kith_kad_clock(k, now), key, &row) && keep_value(k, o, row.data) == KITH_OK &&
        ++o->got >= o->most)
        kith_kad_lookup_stop(o->lookup);
    return KITH_OK;
}

provided *kith_kad_provided_(const kith_kad *k, kith_bytes key)
{
    KITH_EACH (&k->provides, l) {
        provided *p = KITH_OF(l, provided, link);
        if (kith_bytes_eq(kith_bytes_of(p->key, p->key_len), key))
            return p;
    }
    return NULL;
}

/* A new one, in no list yet. */
static kith_err provided_new(kith_kad *k, kith_bytes key, provided **out)
{
    if (key.len == 0 || key.len > KITH_KAD_PROVIDER_KEY_MAX)
        return KITH_EFORMAT;
    if (k->provide_count >= k->cfg.provides_max)
        return KITH_ELIMIT;
    provided *p = KITH_NEW(&k->cfg.env, provided);
    if (!p)
        return KITH_ENOMEM;
    p->key_len = key.len;
    memcpy(p->key, key.p, key.len);
    *out = p;
    return KITH_OK;
}

kith_err kith_kad_provide(kith_kad *k, kith_time now, kith_bytes key, uint64_t *id)
{
    op *o = NULL;
    provided *p = kith_kad_provided_(k, key);
    bool fresh = !p;
    kith_err e = fresh ? provided_new(k, key, &p) : KITH_OK;
    if (e)
        return e;
    e = begin(k, now, PROVIDE, key, false, &o);
    if (e) {
        if (fresh)
            KITH_FREE(&k->cfg.env, p);
        return e;
    }
    k->provide_count += fresh;
    provide_at(k, p, kith_time_after(now, k->cfg.provide_every));
    *id = o->id;
    return KITH_OK;
}

kith_err kith_kad_provide_again(kith_kad *k, kith_time now, kith_bytes key)
{
    provided *p;
    if (kith_kad_provided_(k, key))
        return KITH_EEXISTS;
    kith_err e = provided_new(k, key, &p);
    if (e)
        return e;
    k->provide_count++;
    provide_at(k, p, kith_time_after(now, PROVIDE_SOON));
    return KITH_OK;
}

bool kith_kad_unprovide(kith_kad *k, kith_bytes key)
{
    provided *p = kith_kad_provided_(k, key);
    if (!p)
        return false;
    kith_link_remove(&p->link);
    k->provide_count--;
    KITH_FREE(&k->cfg.env, p);
    return true;
}

kith_err kith_kad_find_providers(kith_kad *k, kith_time now, kith_bytes key, unsigned most, uint64_t *id)
{
    op *o = NULL;
    if (key.len > KITH_KAD_PROVIDER_KEY_MAX || most == 0 || most > KITH_KAD_FOUND_MAX)
        return KITH_EFORMAT;
    kith_err e = begin(k, now, FIND_PROVIDERS, key, false, &o);
    if (e)
        return e;
    o->most = most;
    const void *at = NULL;
    kith_kad_row row;
    while (o->peer_count < most &&
           kith_kad_store_provider(k->store, kith_kad_clock(k, now), key, &at, &row)) {
        if (!new_peer(k, o, &row.provider, row.data))
            break;
        tell(k, o);
    }
    if (o->peer_count >= most)
        kith_kad_lookup_stop(o->lookup);
    *id = o->id;
    return KITH_OK;
}

void kith_kad_cancel(kith_kad *k, kith_time now, uint64_t id)
{
    KITH_EACH (&k->ops, l) {
        op *o = KITH_OF(l, op, link);
        if (o->id != id || o->internal)
            continue;
        kith_requests_cancel(k->requests, now, o);
        if (k->told == o)
            k->told = NULL;
        op_free(k, o);
        return;
    }
}

bool kith_kad_next(kith_kad *k, kith_kad_event *ev)
{
    if (k->told)
        op_free(k, k->told);
    k->told = NULL;
    kith_link *l = kith_list_first(&k->telling);
    if (!l)
        return false;
    op *o = KITH_OF(l, op, telling);
    if (o->kind == FIND_PROVIDERS && o->peers_told < o->peer_count) {
        *ev = (kith_kad_event){
            .kind = KITH_KAD_PROVIDER, .op = o->id, .peers = &o->peers[o->peers_told++], .peer_count = 1};
        if (o->stage != OVER && o->peers_told == o->peer_count)
            kith_link_remove(&o->telling);
        return true;
    }
    kith_link_remove(&o->telling);
    assert(o->stage == OVER);
    bool shows = o->kind == FIND_NEAREST || (o->kind == FIND_PEER && o->peer_count && o->peers[0].addrs.len);
    *ev = (kith_kad_event){.kind = KITH_KAD_DONE,
                           .op = o->id,
                           .err = o->err,
                           .why = o->why,
                           .peers = shows ? o->peers : NULL,
                           .peer_count = shows ? o->peer_count : 0,
                           .value = o->kind == GET ? kith_bytes_of(o->value, o->value_len) : (kith_bytes){0},
                           .reached = o->reached,
                           .lookup = kith_kad_lookup_look(o->lookup),
                           .took = o->took};
    k->told = o;
    return true;
}

/* ---- looking ---- */

kith_kad_facts kith_kad_look(const kith_kad *k)
{
    return (kith_kad_facts){.peers = k->table.count,
                            .depth = kith_kad_table_depth(&k->table),
                            .asked = k->asked,
                            .failed = k->failed,
                            .served = k->served,
                            .refused = k->refused,
                            .streams = kith_answers_count(k->answers),
                            .ops = k->op_count,
                            .provides = k->provide_count,
                            .store = kith_kad_store_look(k->store)};
}

bool kith_kad_called(const kith_kad *k, const kith_peer_id *peer)
{
    const known *p = kith_kad_known_(k, peer);
    return p && p->called;
}

const kith_kad_table *kith_kad_table_of(const kith_kad *k)
{
    return &k->table;
}

kith_kad_store *kith_kad_store_of(kith_kad *k)
{
    return k->store;
}

void kith_kad_check(const kith_kad *k)
{
    size_t ops = 0;
    kith_kad_table_check(&k->table);
    kith_kad_store_check(k->store);
    KITH_EACH (&k->ops, l) {
        const op *o = KITH_OF(l, op, link);
        kith_kad_lookup_check(o->lookup);
        ops += !o->internal;
        assert(o->peer_count <= KITH_KAD_FOUND_MAX && o->best_count <= CORRECTED_MAX &&
               o->worse_count <= CORRECTED_MAX);
    }
    assert(ops == k->op_count && ops <= k->cfg.ops_max);
    assert(k->provide_count <= k->cfg.provides_max && k->probes <= PROBES_MAX && k->left <= LEFT_MAX);
    assert(kith_requests_count(k->requests) <= k->cfg.requests_max);
}
