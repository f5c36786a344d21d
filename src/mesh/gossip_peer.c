/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Topics, peers, and links: peers in topics. */
#include <assert.h>

#include "mesh/gossip_impl.h"

/* ---- topics ---- */

topic *kith_gossip_topic_(const kith_gossip *g, kith_bytes name)
{
    topic *t = kith_map_get(&g->topics_by, kith_gossip_hash(&g->store, name));
    return t && kith_bytes_eq(topic_name(t), name) ? t : NULL;
}

void kith_gossip_topic_free_(kith_gossip *g, topic *t)
{
    kith_map_remove(&g->topics_by, t->hash);
    kith_map_remove(&g->links_by, link_key(0, t->no));
    kith_link_remove(&t->all);
    g->topic_count--;
    if (t->params)
        KITH_FREE(&g->env, t->params);
    kith_mem_free(&g->env, t, sizeof *t + t->name_len);
}

kith_err kith_gossip_topic_make_(kith_gossip *g, kith_bytes name, topic **out)
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
        kith_gossip_topic_free_(g, t);
        return KITH_ENOMEM;
    }
    *out = t;
    return KITH_OK;
}

topic *kith_gossip_topic_by_no_(const kith_gossip *g, uint32_t no)
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
        kith_gossip_topic_free_(g, t);
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

bool kith_gossip_backing_off_(const kith_gossip *g, kith_time now, const link *l)
{
    return l->backoff_until && now < kith_time_after(l->backoff_until, SLACK_TICKS * g->cfg.params.heartbeat);
}

bool kith_gossip_link_tidy_(kith_gossip *g, kith_time now, link *l)
{
    const kith_gossip_stats *s = &l->stats;
    if (l->subscribed || l->mesh || l->fanout || l->tell || kith_gossip_backing_off_(g, now, l) ||
        s->first > 0 || s->rate > 0 || s->failure > 0 || s->invalid > 0)
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

kith_gossip_peer *kith_gossip_peer_find_(const kith_gossip *g, const kith_peer_id *id)
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

double kith_gossip_misconduct_of(const kith_gossip *g, const kith_peer_id *peer)
{
    const kith_gossip_peer *p = kith_gossip_peer_find_(g, peer);
    const kith_gossip_score_params *s = &g->cfg.score;
    double sum = 0;
    for (kith_link *k = p ? kith_list_first(&p->links) : NULL; k; k = kith_list_next(&p->links, k)) {
        const link *l = KITH_OF(k, link, in_peer);
        const kith_gossip_topic_params *of = params_of(g, l->topic);
        sum += l->stats.invalid * l->stats.invalid * of->invalid_weight * of->weight;
    }
    double part = s->graylist < 0 ? sum / s->graylist : 0;
    if (p && s->publish < 0)
        part += kith_gossip_score(s, 0, 0, 0, p->behaviour) / s->publish;
    return part;
}

void kith_gossip_queue_clear_(kith_gossip *g, kith_gossip_peer *p)
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

void kith_gossip_forget_peer_(kith_gossip *g, kith_gossip_peer *p)
{
    g->retained_count--;
    peer_free(g, p);
}

void kith_gossip_forget_retained_(kith_gossip *g, kith_time now)
{
    KITH_EACH (&g->retained, k) {
        kith_gossip_peer *p = KITH_OF(k, kith_gossip_peer, all);
        if (!p->direct && (now >= p->retain_until || g->retained_count > g->cfg.retained_max))
            kith_gossip_forget_peer_(g, p);
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
    kith_gossip_peer *p = kith_gossip_peer_find_(g, &hello->id);
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
    assert(p->up && !p->writable);
    p->writable = true;
    p->version = (uint8_t)v;
    if (v == KITH_GOSSIP_FLOOD)
        leave_meshes(g, p);
    KITH_EACH (&p->links, k)
        kith_gossip_welcome_(g, now, KITH_OF(k, link, in_peer));
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
    kith_gossip_queue_clear_(g, p);
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
        kith_gossip_forget_peer_(g, p);
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
    kith_gossip_peer *p = kith_gossip_peer_find_(g, id);
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
    kith_gossip_peer *p = kith_gossip_peer_find_(g, peer);
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
