/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Topics, peers and messages of a gossipsub router. */
#include "mesh/gossip.h"

#include <assert.h>

#include "crypto/hash.h"
#include "mesh/gossip_impl.h"

#define STATE_MAX (KITH_GOSSIP_CONTROL_MAX + 16) /* bytes of a frame that tells of our state */
#define SUBS_PER_RPC 100                         /* rust takes no more */
#define VERIFY_STACK 2048                        /* longer messages take memory while they are verified */

void kith_gossip_config_default(kith_gossip_config *cfg)
{
    *cfg = (kith_gossip_config){
        .params = {.d = 6,
                   .d_lo = 5,
                   .d_hi = 12,
                   .d_score = 4,
                   .d_out = 2,
                   .d_lazy = 6,
                   .gossip_percent = 25,
                   .history = 5,
                   .history_gossip = 3,
                   .retransmissions = 3,
                   .heartbeat = KITH_SEC(1),
                   .fanout_ttl = KITH_SEC(60),
                   .prune_backoff = KITH_SEC(60),
                   .unsubscribe_backoff = KITH_SEC(10),
                   .graft_flood = KITH_SEC(10),
                   .seen_ttl = KITH_SEC(120),
                   .iwant_followup = KITH_SEC(3),
                   .opportunistic_ticks = 60,
                   .opportunistic_peers = 2,
                   .direct_ticks = 300,
                   .px_peers = 16,
                   .idontwant_min = 1024,
                   .idontwant_ttl = 3},
        .flood_publish = true,
        .peers_max = 1024,
        .retained_max = 2048,
        .topics_max = 1024,
        .topics_per_peer = 256,
        .message_max = KITH_GOSSIP_RPC_MAX,
        .queue_max = 1024,
        .queue_bytes_max = 8 * 1024 * 1024,
        .control_max = 128 * 1024,
        .records_max = 32768,
        .bytes_max = 64 * 1024 * 1024,
        .events_max = 1024,
        .pending_max = 4096,
        .ihave_max = 10,
        .ihave_ids_max = 5000,
        .ihave_told_max = 2000,
        .iwant_max = 5000,
        .idontwant_max = 1000,
        .idontwant_ids_max = 10,
        .unwanted_max = 1024,
        .verify_batch = 64,
    };
    kith_gossip_score_default(&cfg->score);
}

static const char *wrong(const kith_gossip_config *c)
{
    const kith_gossip_params *p = &c->params;
    bool no_mesh =
        p->d == 0 && p->d_lo == 0 && p->d_hi == 0 && p->d_out == 0; /* v1.1: as bootstrappers have it */
    if (p->history_gossip > p->history || p->history == 0)
        return "the history that is told of is not longer than the history, which is 1 or more";
    if (!no_mesh && !(p->d_lo <= p->d && p->d <= p->d_hi && p->d_score <= p->d))
        return "D_lo, D, D_hi do not grow, or D_score is above D";
    if (!no_mesh && !(p->d_out < p->d_lo && 2 * p->d_out <= p->d))
        return "D_out is below D_lo, and at most half of D";
    if (p->heartbeat == 0 || p->opportunistic_ticks == 0 || p->direct_ticks == 0)
        return "intervals are above 0";
    if (c->message_max > KITH_GOSSIP_RPC_MAX || c->bytes_max < c->message_max ||
        c->queue_bytes_max < c->message_max)
        return "messages are longer than an RPC, or than what is kept of them";
    if (c->peers_max == 0 || c->topics_max == 0 || c->records_max == 0 || c->events_max == 0 ||
        c->queue_max == 0 || c->verify_batch == 0 || c->control_max < KITH_GOSSIP_CONTROL_MAX)
        return "a cap is too small";
    return NULL;
}

kith_gossip *kith_gossip_new(const kith_gossip_config *cfg, kith_time now, const char **why)
{
    *why = wrong(cfg);
    if (*why || kith_gossip_score_check(&cfg->score, why))
        return NULL;
    *why = "no memory";
    kith_gossip *g = KITH_NEW(&cfg->env, kith_gossip);
    if (!g)
        return NULL;
    g->cfg = *cfg;
    g->env = cfg->env;
    kith_gossip_store_init(&g->store, &g->env);
    g->store.records_max = cfg->records_max;
    g->store.bytes_max = cfg->bytes_max;
    g->store.ttl = cfg->params.seen_ttl;
    g->store.history = cfg->params.history;
    g->store.count_authors = cfg->signer != NULL;
    kith_list_init(&g->topics);
    kith_list_init(&g->peers);
    kith_list_init(&g->retained);
    kith_list_init(&g->ready);
    kith_list_init(&g->events);
    kith_list_init(&g->px);
    g->seqno = cfg->seqno;
    g->beat_at =
        kith_time_after(now, cfg->params.heartbeat / 10 + kith_rand_below(&g->env, cfg->params.heartbeat));
    g->decay_at = kith_time_after(now, cfg->score.decay_every);
    g->verify_left = cfg->verify_batch;
    g->direct_due = true;
    g->scratch = kith_mem_new(&g->env, 2 * (size_t)KITH_GOSSIP_CONTROL_MAX);
    if (!g->scratch) {
        KITH_FREE(&g->env, g);
        return NULL;
    }
    return g;
}

/* ---- topics ---- */

topic *kith_gossip_topic_(const kith_gossip *g, kith_bytes name)
{
    topic *t = kith_map_get(&g->topics_by, kith_gossip_hash(&g->store, name));
    return t && kith_bytes_eq(topic_name(t), name) ? t : NULL;
}

static bool is_topic(kith_bytes name)
{
    return name.len > 0 && name.len <= KITH_GOSSIP_TOPIC_MAX;
}

static uint64_t link_key(uint32_t peer, uint32_t topic_no)
{
    return (uint64_t)peer << 32 | topic_no;
}

static void topic_free(kith_gossip *g, topic *t)
{
    kith_map_remove(&g->topics_by, t->hash);
    kith_map_remove(&g->links_by, link_key(0, t->no));
    kith_link_remove(&t->all);
    g->topic_count--;
    if (t->params)
        KITH_FREE(&g->env, t->params);
    kith_mem_free(&g->env, t, sizeof *t + t->name_len);
}

static kith_err topic_make(kith_gossip *g, kith_bytes name, topic **out)
{
    *out = kith_gossip_topic_(g, name);
    if (*out)
        return KITH_OK;
    uint64_t hash = kith_gossip_hash(&g->store, name);
    if (g->topic_count >= g->cfg.topics_max || kith_map_get(&g->topics_by, hash))
        return KITH_ELIMIT;
    topic *t = kith_mem_new(&g->env, sizeof *t + name.len);
    if (!t)
        return KITH_ENOMEM;
    t->hash = hash;
    t->no = ++g->topic_no;
    t->name_len = name.len;
    memcpy(t->name, name.p, name.len);
    kith_list_init(&t->links);
    kith_list_push_front(&g->topics, &t->all);
    g->topic_count++;
    if (kith_map_put(&g->topics_by, &g->env, hash, t) ||
        kith_map_put(&g->links_by, &g->env, link_key(0, t->no), t)) {
        topic_free(g, t);
        return KITH_ENOMEM;
    }
    *out = t;
    return KITH_OK;
}

static topic *topic_by_no(const kith_gossip *g, uint32_t no)
{
    return kith_map_get(&g->links_by, link_key(0, no));
}

/* Whether somebody has not been told yet that we left it. */
static bool untold(const kith_gossip *g, const topic *t)
{
    for (kith_link *k = kith_list_first(&g->peers); t->changed && k; k = kith_list_next(&g->peers, k)) {
        const kith_gossip_peer *p = KITH_OF(k, kith_gossip_peer, all);
        if (p->writable && p->greeted && p->told < t->changed)
            return true;
    }
    return false;
}

void kith_gossip_topic_tidy_(kith_gossip *g, topic *t)
{
    if (!t->joined && !t->fanout_until && kith_list_empty(&t->links) && !untold(g, t))
        topic_free(g, t);
}

/* ---- links ---- */

link *kith_gossip_link_(const kith_gossip *g, const kith_gossip_peer *p, const topic *t)
{
    return kith_map_get(&g->links_by, link_key(p->no, t->no));
}

link *kith_gossip_link_make_(kith_gossip *g, kith_gossip_peer *p, topic *t)
{
    link *l = kith_gossip_link_(g, p, t);
    if (l || !(l = KITH_NEW(&g->env, link)))
        return l;
    if (kith_map_put(&g->links_by, &g->env, link_key(p->no, t->no), l)) {
        KITH_FREE(&g->env, l);
        return NULL;
    }
    l->topic = t;
    l->peer = p;
    kith_list_push(&t->links, &l->in_topic);
    kith_list_push(&p->links, &l->in_peer);
    return l;
}

static void link_free(kith_gossip *g, link *l)
{
    assert(!l->mesh && !l->subscribed);
    kith_map_remove(&g->links_by, link_key(l->peer->no, l->topic->no));
    kith_link_remove(&l->in_topic);
    kith_link_remove(&l->in_peer);
    kith_link_remove(&l->telling);
    KITH_FREE(&g->env, l);
}

static bool backing_off(const kith_gossip *g, kith_time now, const link *l)
{
    return l->backoff_until && now < kith_time_after(l->backoff_until, SLACK_TICKS * g->cfg.params.heartbeat);
}

bool kith_gossip_link_tidy_(kith_gossip *g, kith_time now, link *l)
{
    const kith_gossip_stats *s = &l->stats;
    if (l->subscribed || l->mesh || l->fanout || l->tell || backing_off(g, now, l) || s->first > 0 ||
        s->rate > 0 || s->failure > 0 || s->invalid > 0)
        return false;
    topic *t = l->topic;
    link_free(g, l);
    kith_gossip_topic_tidy_(g, t);
    return true;
}

void kith_gossip_tell_(kith_gossip *g, link *l, tell what, bool px, kith_time backoff)
{
    kith_gossip_peer *p = l->peer;
    kith_link_remove(&l->telling);
    l->tell = TELL_NOTHING;
    if (!p->up || p->version == KITH_GOSSIP_FLOOD || what == TELL_NOTHING)
        return;
    l->tell = (uint8_t)what;
    l->tell_px = px;
    l->tell_backoff = (uint32_t)(backoff / KITH_SEC(1));
    kith_list_push(&p->telling, &l->telling);
    kith_gossip_ready_(g, p);
}

/* ---- peers ---- */

static kith_gossip_peer *peer_find(const kith_gossip *g, const kith_peer_id *id)
{
    kith_gossip_peer *p = kith_map_get(&g->peers_by, kith_gossip_hash(&g->store, kith_peer_id_bytes(id)));
    return p && kith_peer_id_eq(&p->id, id) ? p : NULL;
}

/* One more or less at an address. */
static void crowd_in(kith_gossip *g, uint64_t *key, uint64_t ip)
{
    crowd *c = kith_map_get(&g->crowds, ip);
    if (!c) {
        c = KITH_NEW(&g->env, crowd);
        if (!c || kith_map_put(&g->crowds, &g->env, ip, c)) {
            if (c)
                KITH_FREE(&g->env, c);
            return;
        }
    }
    c->peers++;
    *key = ip;
}

static void crowds_out(kith_gossip *g, kith_gossip_peer *p)
{
    for (size_t i = 0; i < 2; i++) {
        crowd *c = p->ips[i] ? kith_map_get(&g->crowds, p->ips[i]) : NULL;
        if (c && --c->peers == 0) {
            kith_map_remove(&g->crowds, p->ips[i]);
            KITH_FREE(&g->env, c);
        }
        p->ips[i] = 0;
    }
}

/* An IPv6 address counts itself, and with its /64. */
static void crowds_in(kith_gossip *g, kith_gossip_peer *p, const kith_gossip_hello *h)
{
    crowds_out(g, p);
    if (h->ip_len != 4 && h->ip_len != 16)
        return;
    crowd_in(g, &p->ips[0], kith_gossip_hash(&g->store, kith_bytes_of(h->ip, h->ip_len)) | 1);
    if (h->ip_len == 16)
        crowd_in(g, &p->ips[1], kith_gossip_hash(&g->store, kith_bytes_of(h->ip, 8)) | 1);
}

double kith_gossip_score_(const kith_gossip *g, const kith_gossip_peer *p)
{
    double topics = 0, ip = 0;
    for (kith_link *k = kith_list_first(&p->links); k; k = kith_list_next(&p->links, k)) {
        const link *l = KITH_OF(k, link, in_peer);
        topics += kith_gossip_topic_score(&l->stats, params_of(g, l->topic));
    }
    for (size_t i = 0; i < 2; i++) {
        const crowd *c = p->ips[i] ? kith_map_get(&g->crowds, p->ips[i]) : NULL;
        ip += c ? kith_gossip_colocation(&g->cfg.score, c->peers) : 0;
    }
    return kith_gossip_score(&g->cfg.score, topics, p->app, ip, p->behaviour);
}

static void queue_clear(kith_gossip *g, kith_gossip_peer *p)
{
    for (; p->queue_len > 0; p->queue_len--) {
        kith_gossip_payload_drop(&g->store, p->queue[p->queue_at]);
        p->queue_at = (p->queue_at + 1) % p->queue_cap;
    }
    kith_mem_free(&g->env, p->queue, p->queue_cap * sizeof(kith_gossip_payload *));
    p->queue = NULL;
    p->queue_cap = p->queue_at = p->queue_bytes = 0;
}

static void peer_free(kith_gossip *g, kith_gossip_peer *p)
{
    KITH_EACH (&p->links, k) {
        link *l = KITH_OF(k, link, in_peer);
        topic *t = l->topic;
        link_free(g, l);
        kith_gossip_topic_tidy_(g, t);
    }
    crowds_out(g, p);
    kith_map_remove(&g->peers_by, p->hash);
    kith_link_remove(&p->all);
    KITH_FREE(&g->env, p);
}

static void forget_retained(kith_gossip *g, kith_gossip_peer *p)
{
    g->retained_count--;
    peer_free(g, p);
}

void kith_gossip_forget_retained_(kith_gossip *g, kith_time now)
{
    KITH_EACH (&g->retained, k) {
        kith_gossip_peer *p = KITH_OF(k, kith_gossip_peer, all);
        if (!p->direct && (now >= p->retain_until || g->retained_count > g->cfg.retained_max))
            forget_retained(g, p);
    }
}

static kith_err peer_make(kith_gossip *g, const kith_peer_id *id, kith_gossip_peer **out)
{
    uint64_t hash = kith_gossip_hash(&g->store, kith_peer_id_bytes(id));
    if (kith_map_get(&g->peers_by, hash))
        return KITH_ELIMIT;
    kith_gossip_peer *p = KITH_NEW(&g->env, kith_gossip_peer);
    if (!p)
        return KITH_ENOMEM;
    if (kith_map_put(&g->peers_by, &g->env, hash, p)) {
        KITH_FREE(&g->env, p);
        return KITH_ENOMEM;
    }
    p->id = *id;
    p->hash = hash;
    p->no = ++g->peer_no;
    kith_list_init(&p->links);
    kith_list_init(&p->telling);
    *out = p;
    return KITH_OK;
}

kith_err kith_gossip_up(kith_gossip *g, kith_time now, const kith_gossip_hello *hello, kith_gossip_peer **out)
{
    if (g->peer_count >= g->cfg.peers_max)
        return KITH_ELIMIT;
    kith_gossip_forget_retained_(g, now);
    kith_gossip_peer *p = peer_find(g, &hello->id);
    assert(!p || !p->up);
    if (p) {
        kith_link_remove(&p->all);
        g->retained_count--;
    } else {
        kith_err e = peer_make(g, &hello->id, &p);
        if (e)
            return e;
    }
    kith_list_push(&g->peers, &p->all);
    g->peer_count++;
    p->up = true;
    p->outbound = hello->outbound;
    p->version = KITH_GOSSIP_V13;
    p->limit = g->cfg.message_max;
    kith_buf_init(&p->state, STATE_MAX);
    kith_buf_init(&p->ids, g->cfg.control_max);
    crowds_in(g, p, hello);
    *out = p;
    return KITH_OK;
}

/* What our stream was in the middle of is for the next one to begin again. */
static void out_reset(kith_gossip *g, kith_gossip_peer *p)
{
    p->out = OUT_NOTHING;
    p->out_at = 0;
    p->pause = false;
    p->told = 0;
    p->greeted = false;
    kith_buf_fini(&p->state, &g->env);
    kith_buf_fini(&p->ids, &g->env);
    kith_link_remove(&p->ready);
}

static void leave_meshes(kith_gossip *g, kith_gossip_peer *p)
{
    KITH_EACH (&p->links, k) {
        link *l = KITH_OF(k, link, in_peer);
        kith_gossip_unmesh_(g, l);
        kith_gossip_tell_(g, l, TELL_NOTHING, false, 0);
    }
}

void kith_gossip_writable(kith_gossip *g, kith_time now, kith_gossip_peer *p, kith_gossip_version v)
{
    (void)now;
    assert(p->up && !p->writable);
    p->writable = true;
    p->version = (uint8_t)v;
    if (v == KITH_GOSSIP_FLOOD)
        leave_meshes(g, p);
    kith_gossip_ready_(g, p);
}

void kith_gossip_unwritable(kith_gossip *g, kith_gossip_peer *p)
{
    p->writable = false;
    out_reset(g, p);
    leave_meshes(g, p);
}

void kith_gossip_down(kith_gossip *g, kith_time now, kith_gossip_peer *p)
{
    double score = kith_gossip_score_(g, p);
    KITH_EACH (&p->links, k)
        kith_gossip_stats_retain(&KITH_OF(k, link, in_peer)->stats,
                                 params_of(g, KITH_OF(k, link, in_peer)->topic));
    p->up = false;
    p->writable = false;
    p->long_at = 0;
    out_reset(g, p);
    queue_clear(g, p);
    kith_mem_free(&g->env, p->unwanted, p->unwanted_cap * sizeof *p->unwanted);
    kith_mem_free(&g->env, p->record.p, p->record.len);
    p->unwanted = NULL;
    p->unwanted_len = p->unwanted_cap = p->unwanted_at = 0;
    p->record = (kith_span){0};
    p->promise_count = 0;
    p->extensions = p->test = p->test_due = p->test_seen = false;
    p->user = NULL;
    /* A good score is not kept, so that nobody can save one up: v1.1 leaves it open, go does this. */
    if (score > 0)
        p->behaviour = 0;
    KITH_EACH (&p->links, k) {
        link *l = KITH_OF(k, link, in_peer);
        if (score > 0)
            l->stats = (kith_gossip_stats){0};
        if (l->mesh)
            l->topic->mesh--;
        if (l->subscribed)
            l->topic->subscribers--;
        l->mesh = l->subscribed = l->fanout = l->lost = false;
        kith_gossip_tell_(g, l, TELL_NOTHING, false, 0);
        (void)kith_gossip_link_tidy_(g, now, l);
    }
    p->topic_count = 0;
    kith_link_remove(&p->all);
    g->peer_count--;
    kith_list_push(&g->retained, &p->all);
    g->retained_count++;
    p->retain_until = kith_time_after(now, g->cfg.score.retain);
    if (kith_list_empty(&p->links) && p->behaviour == 0 && p->app == 0 && !p->direct)
        forget_retained(g, p);
    else
        kith_gossip_forget_retained_(g, now);
}

void kith_gossip_set_record(kith_gossip *g, kith_gossip_peer *p, kith_bytes envelope)
{
    if (!g->cfg.px || envelope.len == 0 || envelope.len > RECORD_MAX)
        return;
    uint8_t *copy = kith_mem_new(&g->env, envelope.len);
    if (!copy)
        return; /* then it is exchanged without */
    memcpy(copy, envelope.p, envelope.len);
    kith_mem_free(&g->env, p->record.p, p->record.len);
    p->record = kith_span_of(copy, envelope.len);
}

kith_err kith_gossip_set_direct(kith_gossip *g, const kith_peer_id *id, bool on)
{
    kith_gossip_peer *p = peer_find(g, id);
    if (!p && !on)
        return KITH_OK;
    if (!p) { /* kept like a score, but for good */
        kith_err e = peer_make(g, id, &p);
        if (e)
            return e;
        kith_list_push(&g->retained, &p->all);
        g->retained_count++;
    }
    p->direct = on;
    KITH_EACH (&p->links, k)
        kith_gossip_unmesh_(g, KITH_OF(k, link, in_peer));
    return KITH_OK;
}

kith_err kith_gossip_set_app_score(kith_gossip *g, const kith_peer_id *peer, double score)
{
    kith_gossip_peer *p = peer_find(g, peer);
    if (!p)
        return KITH_ENOTFOUND;
    p->app = score;
    return KITH_OK;
}

void kith_gossip_peer_set_user(kith_gossip_peer *p, void *user)
{
    p->user = user;
}

void *kith_gossip_peer_user(const kith_gossip_peer *p)
{
    return p->user;
}

const kith_peer_id *kith_gossip_peer_id(const kith_gossip_peer *p)
{
    return &p->id;
}

bool kith_gossip_peer_extended(const kith_gossip_peer *p, bool *test)
{
    *test = p->test_seen;
    return p->extensions;
}

/* ---- output ---- */

bool kith_gossip_has_output(const kith_gossip *g, const kith_gossip_peer *p)
{
    return p->writable && (p->out || !p->greeted || p->told < g->version || !kith_list_empty(&p->telling) ||
                           p->test_due || p->ids.len || p->queue_len);
}

void kith_gossip_ready_(kith_gossip *g, kith_gossip_peer *p)
{
    if (p->writable && !kith_link_in(&p->ready))
        kith_list_push(&g->ready, &p->ready);
}

kith_gossip_peer *kith_gossip_next_ready(kith_gossip *g)
{
    kith_link *k = kith_list_pop(&g->ready);
    kith_gossip_peer *p = k ? KITH_OF(k, kith_gossip_peer, ready) : NULL;
    if (p)
        p->pause = false;
    return p;
}

bool kith_gossip_wants_(const kith_gossip *g, const kith_gossip_peer *p, uint64_t hash)
{
    for (size_t i = 0; i < p->unwanted_len; i++) {
        if (p->unwanted[i].hash == hash && p->unwanted[i].until > g->store.beat)
            return false;
    }
    return true;
}

static bool queue_grow(kith_gossip *g, kith_gossip_peer *p)
{
    size_t size = sizeof(kith_gossip_payload *), cap = p->queue_cap ? 2 * p->queue_cap : 8;
    cap = cap < g->cfg.queue_max ? cap : g->cfg.queue_max;
    kith_gossip_payload **q = kith_mem_new(&g->env, cap * size);
    if (!q)
        return false;
    for (size_t i = 0; i < p->queue_len; i++)
        q[i] = p->queue[(p->queue_at + i) % p->queue_cap];
    kith_mem_free(&g->env, p->queue, p->queue_cap * size);
    p->queue = q;
    p->queue_cap = cap;
    p->queue_at = 0;
    return true;
}

/* Whether it is not too long for the peer; its own length is in front of it. */
static bool takes(const kith_gossip_peer *p, const kith_gossip_payload *m)
{
    return m->len <= p->limit + 3;
}

bool kith_gossip_enqueue_(kith_gossip *g, kith_gossip_peer *p, link *l, kith_gossip_payload *m)
{
    bool fits = takes(p, m);
    bool room = p->queue_len < g->cfg.queue_max && m->len <= g->cfg.queue_bytes_max - p->queue_bytes;
    if (!fits || !room || (p->queue_len == p->queue_cap && !queue_grow(g, p))) {
        g->counts.dropped++;
        if (l && fits)
            l->lost = true;
        return false;
    }
    p->queue[(p->queue_at + p->queue_len++) % p->queue_cap] = kith_gossip_payload_ref(m);
    p->queue_bytes += m->len;
    kith_gossip_ready_(g, p);
    return true;
}

static void queue_pop(kith_gossip *g, kith_gossip_peer *p)
{
    kith_gossip_payload *m = p->queue[p->queue_at];
    p->queue_at = (p->queue_at + 1) % p->queue_cap;
    p->queue_len--;
    p->queue_bytes -= m->len;
    kith_gossip_payload_drop(&g->store, m);
    if (p->queue_len == 0)
        queue_clear(g, p); /* an idle peer holds none */
}

void kith_gossip_set_limit(kith_gossip *g, kith_gossip_peer *p, size_t bytes)
{
    p->limit = bytes < p->limit ? bytes : p->limit;
    size_t keep = 0, cap = p->queue_cap, len = p->queue_len;
    assert(!p->writable || p->out != OUT_MSG); /* between two streams */
    for (size_t i = 0; i < len; i++) {
        kith_gossip_payload *m = p->queue[(p->queue_at + i) % cap];
        if (takes(p, m)) {
            p->queue[(p->queue_at + keep++) % cap] = m;
            continue;
        }
        p->queue_bytes -= m->len;
        kith_gossip_payload_drop(&g->store, m);
        g->counts.dropped++;
    }
    p->queue_len = keep;
}

/* A frame around what is in rpc, behind whatever is in b. False: no room, or no memory. */
static bool put_frame(kith_gossip *g, kith_buf *b, kith_bytes rpc)
{
    kith_span room;
    size_t head = kith_uvarint_len(rpc.len);
    if (kith_buf_room(b, &g->env, head + rpc.len, &room))
        return false;
    kith_wr w = kith_wr_of(room);
    kith_put_uvarint(&w, rpc.len);
    kith_put_bytes(&w, rpc);
    kith_buf_add(b, w.len);
    return true;
}

size_t kith_gossip_queue_ids_(kith_gossip *g, kith_gossip_peer *p, kith_gossip_kind kind, kith_bytes name,
                              const kith_bytes *ids, size_t count)
{
    size_t most = kind == KITH_GOSSIP_IDONTWANT ? 10 : SIZE_MAX; /* go looks at no more of an RPC */
    size_t done = 0;
    while (p->writable && done < count) {
        size_t n = 0, bytes = name.len + 64;
        while (done + n < count && n < most && bytes + ids[done + n].len + 4 <= KITH_GOSSIP_CONTROL_MAX)
            bytes += ids[done + n++].len + 4;
        kith_wr c = kith_wr_of(kith_span_of(g->scratch, KITH_GOSSIP_CONTROL_MAX));
        kith_wr w = kith_wr_of(kith_span_of(g->scratch + KITH_GOSSIP_CONTROL_MAX, KITH_GOSSIP_CONTROL_MAX));
        kith_gossip_put_ids(&c, kind, name, ids + done, n);
        kith_gossip_put_control(&w, kith_wr_bytes(&c));
        assert(!c.bad && !w.bad);
        if (!put_frame(g, &p->ids, kith_wr_bytes(&w)))
            break;
        done += n;
    }
    g->counts.ids_dropped += count - done;
    uint64_t *told = kind == KITH_GOSSIP_IHAVE   ? &g->counts.ihave
                     : kind == KITH_GOSSIP_IWANT ? &g->counts.iwant
                                                 : &g->counts.idontwant;
    *told += done;
    if (done)
        kith_gossip_ready_(g, p);
    return done;
}

/* Subscriptions that the peer does not know of. */
static void put_subs(kith_gossip *g, kith_gossip_peer *p, kith_wr *w)
{
    unsigned count = 0;
    for (kith_link *k = kith_list_first(&g->topics); k; k = kith_list_next(&g->topics, k)) {
        const topic *t = KITH_OF(k, topic, all);
        if (t->changed <= p->told || (!t->joined && !p->greeted))
            continue;
        if (w->out.len - w->len < t->name_len + 16 || count++ == SUBS_PER_RPC)
            return;
        kith_gossip_put_sub(w, t->joined, topic_name(t));
        p->told = t->changed;
    }
    p->told = g->version;
}

static void put_tells(kith_gossip *g, kith_gossip_peer *p, kith_wr *c)
{
    KITH_EACH (&p->telling, k) {
        link *l = KITH_OF(k, link, telling);
        kith_bytes name = topic_name(l->topic);
        if (c->out.len - c->len < name.len + 64)
            return;
        if (l->tell == TELL_GRAFT) {
            kith_gossip_put_graft(c, name);
            g->counts.grafts++;
        } else {
            kith_wr px = kith_wr_of(kith_span_of(NULL, 0));
            uint8_t *room = NULL;
            size_t most = c->out.len - c->len - name.len - 64;
            if (l->tell_px && p->version >= KITH_GOSSIP_V11 && most > 0 &&
                (room = kith_mem_new(&g->env, most))) {
                px = kith_wr_of(kith_span_of(room, most));
                kith_gossip_put_px_(g, p, l->topic, &px);
            }
            kith_gossip_put_prune(c, name, kith_wr_bytes(&px),
                                  p->version >= KITH_GOSSIP_V11 ? l->tell_backoff : 0);
            kith_mem_free(&g->env, room, most);
            g->counts.prunes++;
        }
        kith_link_remove(&l->telling);
        l->tell = TELL_NOTHING;
    }
}

/* Encodes what the peer is to be told of our state, if anything. KITH_ENOMEM: nothing has changed. */
static kith_err make_state(kith_gossip *g, kith_gossip_peer *p)
{
    size_t half = KITH_GOSSIP_CONTROL_MAX / 2;
    kith_span room;
    if (kith_buf_room(&p->state, &g->env, STATE_MAX, &room))
        return KITH_ENOMEM;
    kith_wr w = kith_wr_of(kith_span_of(g->scratch + KITH_GOSSIP_CONTROL_MAX, KITH_GOSSIP_CONTROL_MAX));
    kith_wr subs = kith_wr_of(kith_span_of(w.out.p, half));
    kith_wr c = kith_wr_of(kith_span_of(g->scratch, half - 64));
    if (p->told < g->version)
        put_subs(g, p, &subs);
    w.len = subs.len;
    if (!p->greeted && p->version == KITH_GOSSIP_V13)
        kith_gossip_put_extensions(&c, g->cfg.test_extension);
    if (p->version > KITH_GOSSIP_FLOOD && p->told == g->version) /* subscriptions go first */
        put_tells(g, p, &c);
    if (c.len)
        kith_gossip_put_control(&w, kith_wr_bytes(&c));
    if (p->test_due)
        kith_gossip_put_test(&w);
    p->test_due = false;
    p->greeted = true;
    kith_wr frame = kith_wr_of(room);
    if (w.len) {
        kith_put_uvarint(&frame, w.len);
        kith_put_bytes(&frame, kith_wr_bytes(&w));
    }
    assert(!c.bad && !w.bad && !subs.bad && !frame.bad);
    kith_buf_add(&p->state, frame.len);
    if (frame.len == 0)
        kith_buf_fini(&p->state, &g->env);
    return KITH_OK;
}

/* Decides what goes next; false: nothing. Without memory for the state nothing else may go before it. */
static bool next_frame(kith_gossip *g, kith_gossip_peer *p)
{
    bool state = !p->greeted || p->told < g->version || !kith_list_empty(&p->telling) || p->test_due;
    if (state && make_state(g, p))
        return false;
    p->out = p->state.len ? OUT_STATE : p->ids.len ? OUT_IDS : p->queue_len ? OUT_MSG : OUT_NOTHING;
    return p->out != OUT_NOTHING;
}

size_t kith_gossip_send(kith_gossip *g, kith_time now, kith_gossip_peer *p, kith_span out)
{
    size_t len = 0;
    bool control = false;
    if (p->pause)
        return 0;
    while (p->writable && len < out.len) {
        if (p->out == OUT_NOTHING && !next_frame(g, p))
            break;
        if (p->out == OUT_MSG && p->out_at == 0 && control) {
            /* Everybody's control goes before anybody's messages: IDONTWANT is worth nothing behind them. */
            p->out = OUT_NOTHING;
            p->pause = true;
            kith_gossip_ready_(g, p);
            break;
        }
        kith_span to = kith_span_skip(out, len);
        if (p->out == OUT_MSG) {
            const kith_gossip_payload *m = p->queue[p->queue_at];
            size_t n = m->len - p->out_at < to.len ? m->len - p->out_at : to.len;
            memcpy(to.p, m->frame + p->out_at, n);
            if (m->len > KITH_GOSSIP_SMALL_RPC)
                p->long_at = now;
            p->out_at += n;
            len += n;
            if (p->out_at < m->len)
                break;
            queue_pop(g, p);
        } else {
            kith_buf *b = p->out == OUT_STATE ? &p->state : &p->ids;
            control = true;
            len += kith_buf_take(b, &g->env, to);
            if (b->len)
                break;
        }
        p->out = OUT_NOTHING;
        p->out_at = 0;
    }
    return len;
}

kith_time kith_gossip_long_at(const kith_gossip_peer *p)
{
    return p->long_at;
}

/* ---- the application ---- */

/* Our subscription of it has changed: the last in the list of those who have. */
static void changed(kith_gossip *g, topic *t)
{
    t->changed = ++g->version;
    kith_link_remove(&t->all);
    kith_list_push(&g->topics, &t->all);
    KITH_EACH (&g->peers, k)
        kith_gossip_ready_(g, KITH_OF(k, kith_gossip_peer, all));
}

kith_err kith_gossip_subscribe(kith_gossip *g, kith_time now, kith_bytes name, bool judged)
{
    topic *t;
    if (!is_topic(name))
        return KITH_EFORMAT;
    kith_err e = topic_make(g, name, &t);
    if (e)
        return e;
    if (t->joined)
        return KITH_EEXISTS;
    t->joined = true;
    t->judged = judged;
    g->joined++;
    changed(g, t);
    kith_gossip_join_mesh_(g, now, t);
    return KITH_OK;
}

kith_err kith_gossip_unsubscribe(kith_gossip *g, kith_time now, kith_bytes name)
{
    topic *t = kith_gossip_topic_(g, name);
    if (!t || !t->joined)
        return KITH_ENOTFOUND;
    kith_gossip_leave_mesh_(g, now, t);
    t->joined = false;
    g->joined--;
    changed(g, t);
    kith_gossip_topic_tidy_(g, t);
    return KITH_OK;
}

kith_err kith_gossip_set_topic_params(kith_gossip *g, kith_bytes name, const kith_gossip_topic_params *p)
{
    topic *t = kith_gossip_topic_(g, name);
    const char *why;
    if (!t || !t->joined)
        return KITH_ENOTFOUND;
    if (kith_gossip_topic_check(p, &why))
        return KITH_EFORMAT;
    if (!t->params && !(t->params = KITH_NEW(&g->env, kith_gossip_topic_params)))
        return KITH_ENOMEM;
    *t->params = *p;
    KITH_EACH (&t->links, k) { /* caps may be lower now */
        kith_gossip_stats *s = &KITH_OF(k, link, in_topic)->stats;
        s->first = s->first < p->first_cap ? s->first : p->first_cap;
        s->rate = s->rate < p->rate_cap ? s->rate : p->rate_cap;
    }
    return KITH_OK;
}

/* The id of a message whose fields were checked, into KITH_GOSSIP_MID_MAX bytes. */
static size_t message_id(const kith_gossip *g, const kith_gossip_msg *m, uint8_t *id)
{
    if (g->cfg.signer) {
        memcpy(id, m->from.p, m->from.len);
        memcpy(id + m->from.len, m->seqno.p, m->seqno.len);
        return m->from.len + m->seqno.len;
    }
    uint8_t topic_hash[KITH_SHA256_LEN];
    kith_sha256(m->topic, topic_hash);
    kith_sha256_2(kith_bytes_of(topic_hash, sizeof topic_hash), m->data, id);
    return KITH_SHA256_LEN;
}

/* Whether somebody in the topic gets a message of ours. */
static bool publish_to(const kith_gossip *g, const topic *t, const link *l)
{
    const kith_gossip_peer *p = l->peer;
    if (!p->up || !p->writable || !l->subscribed)
        return false;
    if (p->direct)
        return true;
    bool liked = kith_gossip_score_(g, p) >= g->cfg.score.publish;
    if (g->cfg.flood_publish || p->version == KITH_GOSSIP_FLOOD)
        return liked;
    return t->joined ? l->mesh : l->fanout && liked;
}

kith_err kith_gossip_publish(kith_gossip *g, kith_time now, kith_bytes name, kith_bytes data, uint8_t *id,
                             size_t *id_len)
{
    topic *t;
    if (!is_topic(name))
        return KITH_EFORMAT;
    if (data.len > g->cfg.message_max || data.len + name.len + KITH_GOSSIP_MSG_EXTRA > g->cfg.message_max)
        return KITH_ELIMIT;
    kith_err e = topic_make(g, name, &t);
    if (e)
        return e;
    size_t room = data.len + name.len + KITH_GOSSIP_MSG_EXTRA;
    uint8_t *raw = kith_mem_new(&g->env, room), mid[KITH_GOSSIP_MID_MAX];
    kith_gossip_record *r = NULL;
    kith_gossip_msg m;
    if (!raw) {
        kith_gossip_topic_tidy_(g, t);
        return KITH_ENOMEM;
    }
    kith_wr w = kith_wr_of(kith_span_of(raw, room));
    e = kith_gossip_msg_put(&w, g->cfg.signer, g->seqno + 1, data, name);
    if (!e)
        e = kith_gossip_msg_parse(kith_wr_bytes(&w), &m);
    if (!e) {
        size_t len = message_id(g, &m, mid);
        e = kith_gossip_remember(&g->store, now, kith_bytes_of(mid, len), &r);
    }
    if (!e)
        e = kith_gossip_payload_new(&g->store, m.raw, r->hash, &r->payload);
    kith_mem_free(&g->env, raw, room);
    if (e) {
        if (r)
            kith_gossip_forget(&g->store, r);
        kith_gossip_topic_tidy_(g, t);
        return e;
    }
    g->seqno++;
    g->counts.published++;
    r->topic = t->no;
    kith_gossip_settle(&g->store, now, r, KITH_GOSSIP_VALID);
    kith_gossip_cache(&g->store, r);
    if (id)
        memcpy(id, r->id, r->id_len);
    if (id_len)
        *id_len = r->id_len;
    if (!t->joined)
        kith_gossip_fanout_(g, now, t);
    KITH_EACH (&t->links, k) {
        link *l = KITH_OF(k, link, in_topic);
        if (publish_to(g, t, l))
            (void)kith_gossip_enqueue_(g, l->peer, l, r->payload);
    }
    return KITH_OK;
}

static void event_free(kith_gossip *g, gossip_event *ev)
{
    if (!ev)
        return;
    kith_gossip_payload_drop(&g->store, ev->payload);
    KITH_FREE(&g->env, ev);
}

bool kith_gossip_next(kith_gossip *g, kith_gossip_event *out)
{
    event_free(g, g->current);
    kith_link *k = kith_list_pop(&g->events);
    g->current = k ? KITH_OF(k, gossip_event, link) : NULL;
    if (!k)
        return false;
    g->event_count--;
    const gossip_event *ev = g->current;
    kith_gossip_msg m;
    kith_err e = kith_gossip_msg_parse(kith_gossip_payload_raw(ev->payload), &m);
    assert(!e);
    (void)e;
    *out = (kith_gossip_event){.topic = m.topic,
                               .data = m.data,
                               .id = kith_bytes_of(ev->id, ev->id_len),
                               .source = ev->source,
                               .judged = ev->judged};
    if (g->cfg.signer) {
        e = kith_peer_id_parse(m.from, &out->from);
        assert(!e);
        out->seqno = kith_load_be64(m.seqno.p);
    }
    return true;
}

bool kith_gossip_room(const kith_gossip *g)
{
    return g->event_count < g->cfg.events_max;
}

/* ---- messages that come ---- */

static bool delivered_by(const kith_gossip_record *r, uint32_t peer)
{
    for (size_t i = 0; i < r->by_len; i++) {
        if (r->by[i] == peer)
            return true;
    }
    return false;
}

/* A valid message goes on: to the mesh, to direct peers, to who speaks only floodsub; not to who has it. */
static void forward(kith_gossip *g, topic *t, kith_gossip_record *r, kith_bytes author)
{
    KITH_EACH (&t->links, k) {
        link *l = KITH_OF(k, link, in_topic);
        kith_gossip_peer *p = l->peer;
        bool flood = p->version == KITH_GOSSIP_FLOOD && l->subscribed && p->writable;
        if (!p->up || !(l->mesh || (p->direct && l->subscribed) || flood))
            continue;
        if (flood && !p->direct && kith_gossip_score_(g, p) < g->cfg.score.publish)
            continue;
        if (delivered_by(r, p->no) || kith_bytes_eq(kith_peer_id_bytes(&p->id), author))
            continue;
        if (!kith_gossip_wants_(g, p, r->hash)) {
            g->counts.unwanted++;
            continue;
        }
        g->counts.forwarded += kith_gossip_enqueue_(g, p, l, r->payload);
    }
}

static void accept(kith_gossip *g, kith_time now, topic *t, kith_gossip_record *r)
{
    kith_gossip_settle(&g->store, now, r, KITH_GOSSIP_VALID);
    for (size_t i = 0; i < r->by_len && t; i++) {
        link *l = kith_map_get(&g->links_by, link_key(r->by[i], t->no));
        if (!l)
            continue;
        if (i == 0)
            kith_gossip_first(&l->stats, params_of(g, t));
        else
            kith_gossip_near(&l->stats, params_of(g, t), 0);
    }
    kith_gossip_cache(&g->store, r);
    kith_gossip_msg m;
    if (t && kith_gossip_msg_parse(kith_gossip_payload_raw(r->payload), &m) == KITH_OK)
        forward(g, t, r, m.from);
}

kith_err kith_gossip_judged(kith_gossip *g, kith_time now, kith_bytes id, kith_gossip_verdict v)
{
    kith_gossip_record *r = kith_gossip_find(&g->store, id);
    if (!r || r->status != KITH_GOSSIP_PENDING)
        return KITH_ENOTFOUND;
    topic *t = topic_by_no(g, r->topic);
    switch (v) {
    case KITH_GOSSIP_ACCEPT:
        accept(g, now, t, r);
        break;
    case KITH_GOSSIP_REJECT:
        g->counts.invalid++;
        for (size_t i = 0; i < r->by_len && t; i++) {
            link *l = kith_map_get(&g->links_by, link_key(r->by[i], t->no));
            if (l)
                kith_gossip_invalid(&l->stats);
        }
        kith_gossip_settle(&g->store, now, r, KITH_GOSSIP_INVALID);
        break;
    case KITH_GOSSIP_IGNORE:
        kith_gossip_settle(&g->store, now, r, KITH_GOSSIP_IGNORED);
        break;
    }
    return KITH_OK;
}

static void blame(kith_gossip *g, kith_gossip_peer *p, topic *t)
{
    link *l = kith_gossip_link_make_(g, p, t);
    g->counts.invalid++;
    if (l)
        kith_gossip_invalid(&l->stats);
}

static void throttle(kith_gossip *g, kith_time now)
{
    g->counts.throttled++;
    g->throttled_at = now ? now : 1;
}

/* Of a message that is known: who else has it, and when. Allocates nothing. */
static void duplicate(kith_gossip *g, kith_time now, kith_gossip_peer *p, topic *t, kith_gossip_record *r)
{
    link *l = kith_gossip_link_(g, p, t);
    g->counts.duplicates++;
    bool first = kith_gossip_delivered(r, p->no);
    switch ((kith_gossip_status)r->status) {
    case KITH_GOSSIP_PENDING:
    case KITH_GOSSIP_IGNORED:
        break;
    case KITH_GOSSIP_VALID:
        if (l && first)
            kith_gossip_near(&l->stats, params_of(g, t), now - r->valid_at);
        break;
    case KITH_GOSSIP_INVALID:
        if (l)
            kith_gossip_invalid(&l->stats);
        break;
    }
}

static bool signed_by_its_author(kith_gossip *g, const kith_gossip_msg *m, kith_err *err)
{
    uint8_t stack[VERIFY_STACK], *heap = NULL;
    size_t n = m->raw.len + 64;
    if (n > sizeof stack && !(heap = kith_mem_new(&g->env, n))) {
        *err = KITH_ENOMEM;
        return false;
    }
    *err = kith_gossip_msg_verify(m, kith_span_of(heap ? heap : stack, n));
    kith_mem_free(&g->env, heap, n);
    return *err == KITH_OK;
}

/* The fields that the policy wants, and no others. */
static bool has_its_fields(const kith_gossip *g, const kith_gossip_msg *m)
{
    if (!g->cfg.signer)
        return !m->has_from && !m->has_seqno && !m->has_sig && !m->has_key;
    return m->has_sig && m->has_seqno && m->seqno.len == KITH_GOSSIP_SEQNO_LEN && m->from.len > 0 &&
           m->from.len <= KITH_PEER_ID_MAX;
}

/* Tells the mesh that a large message is here, before anybody judges it: v1.2. */
static void tell_idontwant(kith_gossip *g, topic *t, const kith_gossip_record *r, size_t len)
{
    if (g->cfg.params.idontwant_min == 0 || len < g->cfg.params.idontwant_min)
        return;
    kith_bytes id = kith_bytes_of(r->id, r->id_len);
    KITH_EACH (&t->links, k) {
        link *l = KITH_OF(k, link, in_topic);
        if (l->mesh && l->peer->version >= KITH_GOSSIP_V12 && !delivered_by(r, l->peer->no))
            (void)kith_gossip_queue_ids_(g, l->peer, KITH_GOSSIP_IDONTWANT, (kith_bytes){0}, &id, 1);
    }
}

/* A new message: remembered, told to the application, and forwarded or not yet. Nothing has changed when there is no room. */
static void take_new(kith_gossip *g, kith_time now, kith_gossip_peer *p, topic *t, const kith_gossip_msg *m,
                     kith_bytes id)
{
    kith_gossip_record *r = NULL;
    gossip_event *ev = NULL;
    (void)kith_gossip_link_make_(g, p, t);
    if (kith_gossip_remember(&g->store, now, id, &r) ||
        kith_gossip_payload_new(&g->store, m->raw, r->hash, &r->payload) ||
        !(ev = KITH_NEW(&g->env, gossip_event))) {
        if (r)
            kith_gossip_forget(&g->store, r);
        throttle(g, now);
        return;
    }
    if (g->cfg.signer)
        kith_gossip_counted(&g->store, m->from, kith_load_be64(m->seqno.p));
    r->topic = t->no;
    (void)kith_gossip_delivered(r, p->no);
    *ev = (gossip_event){.topic = t->no,
                         .source = p->id,
                         .payload = kith_gossip_payload_ref(r->payload),
                         .judged = t->judged,
                         .id_len = r->id_len};
    memcpy(ev->id, r->id, r->id_len);
    kith_list_push(&g->events, &ev->link);
    g->event_count++;
    g->counts.delivered++;
    tell_idontwant(g, t, r, m->data.len);
    if (!t->judged)
        accept(g, now, t, r);
}

static void take_message(kith_gossip *g, kith_time now, kith_gossip_peer *p, kith_bytes raw)
{
    kith_gossip_msg m;
    uint8_t id[KITH_GOSSIP_MID_MAX];
    kith_err e = kith_gossip_msg_parse(raw, &m);
    assert(!e); /* the RPC was checked */
    topic *t = kith_gossip_topic_(g, m.topic);
    if (!t || !t->joined) {
        g->counts.unsubscribed++;
        return;
    }
    if (!has_its_fields(g, &m)) {
        blame(g, p, t);
        return;
    }
    kith_bytes mid = kith_bytes_of(id, message_id(g, &m, id));
    kith_gossip_record *r = kith_gossip_find(&g->store, mid);
    if (r) {
        duplicate(g, now, p, t, r);
        return;
    }
    if (g->cfg.signer) {
        if (kith_bytes_eq(m.from, kith_peer_id_bytes(&g->cfg.self))) {
            blame(g, p, t); /* ours, and we do not know it */
            return;
        }
        if (kith_gossip_replayed(&g->store, m.from, kith_load_be64(m.seqno.p))) {
            g->counts.replayed++;
            return;
        }
    }
    if (t->judged && g->store.pending >= g->cfg.pending_max) {
        throttle(g, now);
        return;
    }
    if (g->cfg.signer) {
        g->verify_left--;
        if (!signed_by_its_author(g, &m, &e)) {
            if (e == KITH_ENOMEM)
                throttle(g, now);
            else
                blame(g, p, t);
            return;
        }
    }
    take_new(g, now, p, t, &m, mid);
}

static void take_sub(kith_gossip *g, kith_time now, kith_gossip_peer *p, const kith_gossip_item *it)
{
    topic *t = is_topic(it->topic) ? kith_gossip_topic_(g, it->topic) : NULL;
    link *l = t ? kith_gossip_link_(g, p, t) : NULL;
    if (!it->on) {
        if (!l || !l->subscribed)
            return;
        kith_gossip_unmesh_(g, l);
        l->subscribed = l->fanout = false;
        t->subscribers--;
        p->topic_count--;
        (void)kith_gossip_link_tidy_(g, now, l);
        return;
    }
    if (l && l->subscribed)
        return;
    if (!is_topic(it->topic) || p->topic_count >= g->cfg.topics_per_peer || topic_make(g, it->topic, &t)) {
        g->counts.refused++;
        return;
    }
    l = kith_gossip_link_make_(g, p, t);
    if (!l) {
        kith_gossip_topic_tidy_(g, t);
        return;
    }
    l->subscribed = true;
    t->subscribers++;
    p->topic_count++;
}

/* v1.3: told once, in the first RPC of a stream. */
static void take_extensions(kith_gossip *g, kith_gossip_peer *p, kith_bytes rpc, bool first)
{
    kith_gossip_reader r = kith_gossip_rpc_read(rpc, KITH_GOSSIP_CONTROL);
    kith_gossip_item it;
    bool told = false;
    while (kith_gossip_rpc_next(&r, &it)) {
        if (it.kind == KITH_GOSSIP_TEST && g->cfg.test_extension) {
            g->counts.tested += !p->test_seen;
            p->test_seen = true;
        }
        if (it.kind != KITH_GOSSIP_EXTENSIONS)
            continue;
        if (!first || told)
            p->behaviour += REPEATED_HELLO;
        told = true;
        if (!first)
            continue;
        p->extensions = true;
        p->test = it.on;
        if (p->test && g->cfg.test_extension) {
            p->test_due = true;
            kith_gossip_ready_(g, p);
        }
    }
}

bool kith_gossip_take(kith_gossip *g, kith_time now, kith_gossip_peer *p, kith_gossip_intake *in,
                      kith_bytes rpc, kith_err *err)
{
    kith_gossip_item it;
    kith_gossip_reader r;
    *err = KITH_OK;
    if (!in->begun) {
        *err = kith_gossip_rpc_check(rpc);
        if (*err) {
            p->behaviour += 1;
            return true;
        }
        r = kith_gossip_rpc_read(rpc, KITH_GOSSIP_SUBS);
        while (kith_gossip_rpc_next(&r, &it))
            take_sub(g, now, p, &it);
        take_extensions(g, p, rpc, !in->spoken);
        in->spoken = true;
        if (!p->direct && kith_gossip_score_(g, p) < g->cfg.score.graylist) {
            g->counts.graylisted++;
            return true;
        }
        in->begun = true;
        in->left = rpc.len;
    }
    r = kith_gossip_rpc_read(kith_bytes_skip(rpc, rpc.len - in->left), KITH_GOSSIP_MSGS);
    for (;;) {
        if (!kith_gossip_room(g) || g->verify_left == 0) {
            kith_gossip_reader ahead = r;
            if (kith_gossip_rpc_next(&ahead, &it)) {
                in->left = r.rpc.in.len;
                return false;
            }
        }
        if (!kith_gossip_rpc_next(&r, &it))
            break;
        take_message(g, now, p, it.raw);
    }
    control_seen seen = {0};
    r = kith_gossip_rpc_read(rpc, KITH_GOSSIP_CONTROL);
    while (kith_gossip_rpc_next(&r, &it))
        kith_gossip_control_(g, now, p, &it, &seen);
    in->begun = false;
    return true;
}

void kith_gossip_turn(kith_gossip *g)
{
    g->verify_left = g->cfg.verify_batch;
}

/* ---- time ---- */

kith_time kith_gossip_deadline(const kith_gossip *g)
{
    return kith_time_min(g->beat_at, g->decay_at);
}

static void decay(kith_gossip *g, kith_time now)
{
    const kith_gossip_score_params *s = &g->cfg.score;
    KITH_EACH (&g->peers, k) {
        kith_gossip_peer *p = KITH_OF(k, kith_gossip_peer, all);
        p->behaviour = kith_gossip_counter_decay(p->behaviour, s->behaviour_decay, s->to_zero);
        KITH_EACH (&p->links, kl) {
            link *l = KITH_OF(kl, link, in_peer);
            kith_gossip_stats_decay(&l->stats, params_of(g, l->topic), s->to_zero, now);
        }
    }
}

void kith_gossip_tick(kith_gossip *g, kith_time now)
{
    if (now >= g->decay_at) {
        decay(g, now);
        g->decay_at = kith_time_after(now, g->cfg.score.decay_every);
    }
    if (now >= g->beat_at) {
        kith_gossip_heartbeat_(g, now);
        g->beat_at = kith_time_after(now, g->cfg.params.heartbeat);
    }
}

bool kith_gossip_direct_due(kith_gossip *g)
{
    bool due = g->direct_due;
    g->direct_due = false;
    return due;
}

bool kith_gossip_px_next(kith_gossip *g, kith_peer_id *peer, kith_bytes *envelope)
{
    if (g->px_current)
        kith_mem_free(&g->env, g->px_current, sizeof *g->px_current + g->px_current->len);
    kith_link *k = kith_list_pop(&g->px);
    g->px_current = k ? KITH_OF(k, px_entry, link) : NULL;
    if (!k)
        return false;
    g->px_count--;
    *peer = g->px_current->peer;
    *envelope = kith_bytes_of(g->px_current->envelope, g->px_current->len);
    return true;
}

bool kith_gossip_pick_room_(kith_gossip *g, size_t n)
{
    if (n <= g->pick_cap)
        return true;
    size_t cap = n + n / 2 + 16;
    void **more = kith_mem_resize(&g->env, g->pick, g->pick_cap * sizeof *more, cap * sizeof *more);
    if (!more)
        return false;
    g->pick = more;
    g->pick_cap = cap;
    return true;
}

void kith_gossip_free(kith_gossip *g)
{
    if (!g)
        return;
    event_free(g, g->current);
    for (kith_link *k; (k = kith_list_pop(&g->events));)
        event_free(g, KITH_OF(k, gossip_event, link));
    kith_peer_id peer;
    kith_bytes envelope;
    while (kith_gossip_px_next(g, &peer, &envelope))
        ;
    KITH_EACH (&g->peers, k)
        kith_gossip_down(g, 0, KITH_OF(k, kith_gossip_peer, all));
    KITH_EACH (&g->retained, k)
        forget_retained(g, KITH_OF(k, kith_gossip_peer, all));
    KITH_EACH (&g->topics, k)
        topic_free(g, KITH_OF(k, topic, all));
    kith_gossip_store_fini(&g->store);
    kith_map_fini(&g->topics_by, &g->env);
    kith_map_fini(&g->peers_by, &g->env);
    kith_map_fini(&g->links_by, &g->env);
    kith_map_fini(&g->crowds, &g->env);
    kith_mem_free(&g->env, g->pick, g->pick_cap * sizeof *g->pick);
    kith_mem_free(&g->env, g->scratch, 2 * (size_t)KITH_GOSSIP_CONTROL_MAX);
    kith_env env = g->env;
    KITH_FREE(&env, g);
}

/* ---- looking ---- */

kith_gossip_counts kith_gossip_count(const kith_gossip *g)
{
    kith_gossip_counts c = g->counts;
    c.peers = g->peer_count;
    c.retained = g->retained_count;
    c.topics = g->topic_count;
    c.joined = g->joined;
    c.seen = g->store.count;
    c.pending = g->store.pending;
    c.events = g->event_count;
    c.bytes = g->store.bytes;
    return c;
}

double kith_gossip_score_of(const kith_gossip *g, const kith_peer_id *peer)
{
    const kith_gossip_peer *p = peer_find(g, peer);
    return p ? kith_gossip_score_(g, p) : 0;
}

size_t kith_gossip_peers_of(const kith_gossip *g, kith_bytes name, bool mesh, kith_peer_id *out, size_t max)
{
    const topic *t = kith_gossip_topic_(g, name);
    size_t n = 0;
    if (!t)
        return 0;
    for (kith_link *k = kith_list_first(&t->links); k; k = kith_list_next(&t->links, k)) {
        const link *l = KITH_OF(k, link, in_topic);
        if (!(mesh ? l->mesh : l->subscribed))
            continue;
        if (n < max)
            out[n] = l->peer->id;
        n++;
    }
    return n;
}

static void check_peer(const kith_gossip *g, const kith_gossip_peer *p)
{
    size_t subscribed = 0, bytes = 0;
    for (kith_link *k = kith_list_first(&p->links); k; k = kith_list_next(&p->links, k)) {
        const link *l = KITH_OF(k, link, in_peer);
        assert(l->peer == p && kith_gossip_link_(g, p, l->topic) == l);
        assert(p->up || (!l->mesh && !l->subscribed && !l->fanout && !l->tell));
        assert(!l->mesh || (l->topic->joined && !p->direct && p->version != KITH_GOSSIP_FLOOD));
        assert((l->tell != TELL_NOTHING) == kith_link_in(&l->telling));
        assert(l->mesh == l->stats.in_mesh);
        subscribed += l->subscribed;
    }
    for (size_t i = 0; i < p->queue_len; i++)
        bytes += p->queue[(p->queue_at + i) % p->queue_cap]->len;
    assert(subscribed == p->topic_count && subscribed <= g->cfg.topics_per_peer + g->joined);
    assert(bytes == p->queue_bytes && bytes <= g->cfg.queue_bytes_max && p->queue_len <= g->cfg.queue_max);
    assert(p->ids.len <= g->cfg.control_max && p->unwanted_len <= g->cfg.unwanted_max);
    assert(p->promise_count <= PROMISES_MAX);
    assert(p->up || (!p->writable && p->queue_len == 0 && p->record.len == 0));
    assert(!kith_link_in(&p->ready) || p->writable);
    assert(p->out != OUT_MSG || p->queue_len > 0);
}

void kith_gossip_check(const kith_gossip *g, kith_time now)
{
    size_t topics = 0, joined = 0, peers = 0, retained = 0;
    (void)now;
    for (kith_link *k = kith_list_first(&g->topics); k; k = kith_list_next(&g->topics, k)) {
        const topic *t = KITH_OF(k, topic, all);
        size_t mesh = 0, subscribers = 0;
        for (kith_link *kl = kith_list_first(&t->links); kl; kl = kith_list_next(&t->links, kl)) {
            const link *l = KITH_OF(kl, link, in_topic);
            assert(l->topic == t);
            mesh += l->mesh;
            subscribers += l->subscribed;
        }
        assert(mesh == t->mesh && subscribers == t->subscribers);
        topics++;
        joined += t->joined;
    }
    for (kith_link *k = kith_list_first(&g->peers); k; k = kith_list_next(&g->peers, k), peers++)
        check_peer(g, KITH_OF(k, kith_gossip_peer, all));
    for (kith_link *k = kith_list_first(&g->retained); k; k = kith_list_next(&g->retained, k), retained++)
        check_peer(g, KITH_OF(k, kith_gossip_peer, all));
    assert(topics == g->topic_count && topics <= g->cfg.topics_max && joined == g->joined);
    assert(peers == g->peer_count && peers <= g->cfg.peers_max && retained == g->retained_count);
    assert(g->event_count <= g->cfg.events_max && g->px_count <= PX_QUEUE_MAX);
    kith_gossip_store_check(&g->store);
}
