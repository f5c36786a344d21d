/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages of a gossipsub router: ours and those that come. */
#include "mesh/gossip.h"

#include <assert.h>

#include "crypto/hash.h"
#include "mesh/gossip_impl.h"

#define VERIFY_STACK 2048 /* longer messages take memory while they are verified */

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
    kith_err e = kith_gossip_topic_make_(g, name, &t);
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
    kith_err e = kith_gossip_topic_make_(g, name, &t);
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
    topic *t = kith_gossip_topic_by_no_(g, r->topic);
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
    bool beyond = !is_topic(it->topic) || p->topic_count >= g->cfg.topics_per_peer;
    if (beyond)
        p->behaviour += REFUSED_SUB;
    if (beyond || kith_gossip_topic_make_(g, it->topic, &t)) { /* others may have taken the room for topics */
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
    kith_gossip_welcome_(g, now, l);
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

bool kith_gossip_px_next(kith_gossip *g, kith_peer_id *peer, kith_peer_id *from, kith_bytes *envelope)
{
    if (g->px_current)
        kith_mem_free(&g->env, g->px_current, sizeof *g->px_current + g->px_current->len);
    kith_link *k = kith_list_pop(&g->px);
    g->px_current = k ? KITH_OF(k, px_entry, link) : NULL;
    if (!k)
        return false;
    g->px_count--;
    *peer = g->px_current->peer;
    *from = g->px_current->from;
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
    kith_peer_id peer, from;
    kith_bytes envelope;
    while (kith_gossip_px_next(g, &peer, &from, &envelope))
        ;
    KITH_EACH (&g->peers, k)
        kith_gossip_down(g, 0, KITH_OF(k, kith_gossip_peer, all));
    KITH_EACH (&g->retained, k)
        kith_gossip_forget_peer_(g, KITH_OF(k, kith_gossip_peer, all));
    KITH_EACH (&g->topics, k)
        kith_gossip_topic_free_(g, KITH_OF(k, topic, all));
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
    const kith_gossip_peer *p = kith_gossip_peer_find_(g, peer);
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
