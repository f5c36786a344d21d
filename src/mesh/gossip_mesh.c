/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The mesh of each topic, its upkeep at every heartbeat, and gossip about messages. gossipsub v1.0, v1.1. */
#include <assert.h>

#include "mesh/gossip_impl.h"
#include "wire/envelope.h"

static void shuffle(kith_gossip *g, void **a, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)kith_rand_below(&g->env, i);
        void *x = a[i - 1];
        a[i - 1] = a[j];
        a[j] = x;
    }
}

static void back_off(kith_time now, link *l, kith_time backoff)
{
    kith_time until = kith_time_after(now, backoff < BACKOFF_MAX ? backoff : BACKOFF_MAX);
    if (until > l->backoff_until)
        l->backoff_until = until;
}

static bool speaks_mesh(const kith_gossip_peer *p)
{
    return p->up && p->writable && p->version > KITH_GOSSIP_FLOOD;
}

/* Whether it may be grafted at all. */
static bool eligible(const kith_gossip *g, kith_time now, const link *l)
{
    return l->subscribed && !l->mesh && speaks_mesh(l->peer) && !l->peer->direct &&
           !kith_gossip_backing_off_(g, now, l);
}

static void enter(kith_time now, link *l)
{
    l->mesh = true;
    l->fanout = false;
    l->topic->mesh++;
    kith_gossip_grafted(&l->stats, now);
}

void kith_gossip_unmesh_(kith_gossip *g, link *l)
{
    if (!l->mesh)
        return;
    l->mesh = false;
    l->topic->mesh--;
    kith_gossip_pruned(&l->stats, params_of(g, l->topic));
    kith_gossip_tell_(g, l, TELL_NOTHING, false, 0);
}

static void graft(kith_gossip *g, kith_time now, link *l)
{
    enter(now, l);
    kith_gossip_tell_(g, l, TELL_GRAFT, false, 0);
}

static void prune(kith_gossip *g, kith_time now, link *l, bool px, kith_time backoff)
{
    kith_gossip_unmesh_(g, l);
    back_off(now, l, backoff);
    kith_gossip_tell_(g, l, TELL_PRUNE, px && g->cfg.px, backoff);
}

/* The links of a topic that `fit` says, shuffled, in g->pick; returns how many. */
static size_t choose(kith_gossip *g, kith_time now, topic *t, double above, bool outbound,
                     bool (*fit)(const kith_gossip *g, kith_time now, const link *l, double above,
                                 bool outbound))
{
    size_t n = 0, all = 0;
    KITH_EACH (&t->links, k)
        all++;
    if (!kith_gossip_pick_room_(g, all))
        return 0;
    KITH_EACH (&t->links, k) {
        link *l = KITH_OF(k, link, in_topic);
        if (fit(g, now, l, above, outbound))
            g->pick[n++] = l;
    }
    shuffle(g, g->pick, n);
    return n;
}

static bool fits_mesh(const kith_gossip *g, kith_time now, const link *l, double above, bool outbound)
{
    return eligible(g, now, l) && l->peer->score >= above && (!outbound || l->peer->outbound);
}

static bool above_median(const kith_gossip *g, kith_time now, const link *l, double above, bool outbound)
{
    (void)outbound;
    return eligible(g, now, l) && l->peer->score > above;
}

static bool fits_fanout(const kith_gossip *g, kith_time now, const link *l, double above, bool outbound)
{
    (void)g, (void)now, (void)outbound;
    return l->subscribed && !l->fanout && speaks_mesh(l->peer) && !l->peer->direct && l->peer->score >= above;
}

static bool fits_gossip(const kith_gossip *g, kith_time now, const link *l, double above, bool outbound)
{
    (void)g, (void)now, (void)outbound;
    return l->subscribed && !l->fanout && (!l->mesh || l->lost) && speaks_mesh(l->peer) && !l->peer->direct &&
           l->peer->score >= above;
}

static void refresh_scores(kith_gossip *g, topic *t)
{
    KITH_EACH (&t->links, k) {
        kith_gossip_peer *p = KITH_OF(k, link, in_topic)->peer;
        p->score = kith_gossip_score_(g, p);
    }
}

static void graft_some(kith_gossip *g, kith_time now, topic *t, size_t want, double above, bool outbound)
{
    size_t n = choose(g, now, t, above, outbound, fits_mesh);
    for (size_t i = 0; i < n && i < want; i++)
        graft(g, now, g->pick[i]);
}

void kith_gossip_join_mesh_(kith_gossip *g, kith_time now, topic *t)
{
    refresh_scores(g, t);
    t->fanout_until = 0;
    KITH_EACH (&t->links, k) { /* those whom we published to are the first */
        link *l = KITH_OF(k, link, in_topic);
        if (l->fanout && l->peer->score >= 0 && eligible(g, now, l) && t->mesh < g->cfg.params.d)
            graft(g, now, l);
        l->fanout = false;
    }
    if (t->mesh < g->cfg.params.d)
        graft_some(g, now, t, g->cfg.params.d - t->mesh, 0, false);
}

void kith_gossip_welcome_(kith_gossip *g, kith_time now, link *l)
{
    topic *t = l->topic;
    if (!t->joined || t->mesh >= g->cfg.params.d_lo || !eligible(g, now, l) ||
        kith_gossip_score_(g, l->peer) < 0)
        return;
    graft(g, now, l);
}

void kith_gossip_leave_mesh_(kith_gossip *g, kith_time now, topic *t)
{
    KITH_EACH (&t->links, k) {
        link *l = KITH_OF(k, link, in_topic);
        if (l->mesh)
            prune(g, now, l, true, g->cfg.params.unsubscribe_backoff);
    }
}

static void fill_fanout(kith_gossip *g, kith_time now, topic *t)
{
    size_t have = 0;
    KITH_EACH (&t->links, k) {
        link *l = KITH_OF(k, link, in_topic);
        l->fanout &= l->subscribed && speaks_mesh(l->peer) && l->peer->score >= g->cfg.score.publish;
        have += l->fanout;
    }
    if (have >= g->cfg.params.d)
        return;
    size_t n = choose(g, now, t, g->cfg.score.publish, false, fits_fanout);
    for (size_t i = 0; i < n && have < g->cfg.params.d; i++, have++)
        ((link *)g->pick[i])->fanout = true;
}

void kith_gossip_fanout_(kith_gossip *g, kith_time now, topic *t)
{
    t->fanout_until = kith_time_after(now, g->cfg.params.fanout_ttl);
    refresh_scores(g, t);
    fill_fanout(g, now, t);
}

/* ---- control that comes ---- */

static void on_graft(kith_gossip *g, kith_time now, kith_gossip_peer *p, kith_bytes name)
{
    topic *t = kith_gossip_topic_(g, name);
    const kith_gossip_params *c = &g->cfg.params;
    link *l = t && t->joined ? kith_gossip_link_make_(g, p, t) : NULL;
    if (!l) { /* of a topic that we are not in: no answer, v1.1 "Spam Protection Measures" */
        g->counts.refused++;
        return;
    }
    if (l->mesh)
        return;
    if (p->direct || p->version == KITH_GOSSIP_FLOOD) {
        prune(g, now, l, false, c->prune_backoff);
        return;
    }
    if (now < l->backoff_until) {
        g->counts.refused++;
        p->behaviour += 1;
        /* Sooner than graft_flood after our PRUNE, judged by what is left of the backoff, as go does. */
        if (l->backoff_until - now >
            c->prune_backoff - (c->graft_flood < c->prune_backoff ? c->graft_flood : 0))
            p->behaviour += 1;
        prune(g, now, l, false, c->prune_backoff);
        return;
    }
    if (kith_gossip_score_(g, p) < 0) {
        prune(g, now, l, false, c->prune_backoff);
        return;
    }
    if (t->mesh >= c->d_hi && !p->outbound) {
        prune(g, now, l, true, c->prune_backoff);
        return;
    }
    enter(now, l);
    if (l->tell == TELL_PRUNE)
        kith_gossip_tell_(g, l, TELL_NOTHING, false, 0);
    if (!l->subscribed && p->topic_count < g->cfg.topics_per_peer) { /* who grafts is in it */
        l->subscribed = true;
        t->subscribers++;
        p->topic_count++;
    }
}

static void keep_px(kith_gossip *g, const kith_gossip_peer *from, kith_bytes info)
{
    kith_bytes id, envelope;
    kith_peer_record record;
    kith_peer_id peer;
    kith_gossip_peer_info(info, &id, &envelope);
    if (envelope.len == 0 || envelope.len > KITH_ENVELOPE_MAX || g->px_count >= PX_QUEUE_MAX)
        return;
    if (kith_peer_id_parse(id, &peer) || kith_peer_id_eq(&peer, &g->cfg.self))
        return;
    const kith_gossip_peer *known = kith_map_get(&g->peers_by, kith_gossip_hash(&g->store, id));
    if (known && known->up)
        return;
    if (kith_peer_record_open(envelope, &record) || !kith_peer_id_eq(&record.peer, &peer))
        return; /* without its subject's signature nobody is dialled */
    px_entry *e = kith_mem_new(&g->env, sizeof *e + envelope.len);
    if (!e)
        return;
    e->peer = peer;
    e->from = from->id;
    e->len = envelope.len;
    memcpy(e->envelope, envelope.p, envelope.len);
    kith_list_push(&g->px, &e->link);
    g->px_count++;
}

static void on_prune(kith_gossip *g, kith_time now, kith_gossip_peer *p, const kith_gossip_item *it)
{
    topic *t = kith_gossip_topic_(g, it->topic);
    link *l = t && t->joined ? kith_gossip_link_make_(g, p, t) : NULL;
    if (!l)
        return;
    bool was_in = l->mesh;
    kith_gossip_unmesh_(g, l);
    kith_gossip_tell_(g, l, TELL_NOTHING, false, 0);
    uint64_t most = BACKOFF_MAX / KITH_SEC(1);
    uint64_t s = it->backoff_s < most ? it->backoff_s : most;
    back_off(now, l, s ? KITH_SEC(s) : g->cfg.params.prune_backoff);
    if (!was_in || kith_gossip_score_(g, p) < g->cfg.score.accept_px)
        return; /* records cost a signature each: once per PRUNE that meant something */
    kith_bytes list = it->list, info;
    for (unsigned i = 0; i < g->cfg.params.px_peers && kith_gossip_list_next(it->kind, &list, &info); i++)
        keep_px(g, p, info);
}

static void on_ihave(kith_gossip *g, kith_time now, kith_gossip_peer *p, const kith_gossip_item *it,
                     control_seen *in_rpc)
{
    const kith_gossip_config *c = &g->cfg;
    topic *t = kith_gossip_topic_(g, it->topic);
    if (!t || !t->joined || kith_gossip_score_(g, p) < c->score.gossip)
        return;
    p->ihaves += !in_rpc->ihave;
    in_rpc->ihave = true;
    if (p->ihaves > c->ihave_max || p->asked >= c->ihave_ids_max) {
        g->counts.refused++;
        return;
    }
    kith_bytes want[256], list = it->list, id;
    size_t n = 0, seen = 0, got = 0;
    kith_bytes promised = {0};
    while (seen++ < c->ihave_ids_max && kith_gossip_list_next(it->kind, &list, &id)) {
        if (id.len == 0 || id.len > KITH_GOSSIP_MID_MAX || kith_gossip_find(&g->store, id))
            continue;
        if (p->asked + n >= c->ihave_ids_max)
            break;
        want[n++] = id;
        if (kith_rand_below(&g->env, got + n) == 0) /* one of all, each as likely */
            promised = id;
        if (n == sizeof want / sizeof *want) {
            size_t queued = kith_gossip_queue_ids_(g, p, KITH_GOSSIP_IWANT, (kith_bytes){0}, want, n);
            got += queued;
            p->asked += (unsigned)n;
            n = 0;
            if (queued < sizeof want / sizeof *want)
                return; /* its queue is full: it owes us nothing */
        }
    }
    p->asked += (unsigned)n;
    if (n && kith_gossip_queue_ids_(g, p, KITH_GOSSIP_IWANT, (kith_bytes){0}, want, n) < n)
        return;
    if (promised.len && p->promise_count < PROMISES_MAX)
        p->promises[p->promise_count++] = (promise){.hash = kith_gossip_hash(&g->store, promised),
                                                    .by = kith_time_after(now, c->params.iwant_followup)};
}

static void on_iwant(kith_gossip *g, kith_gossip_peer *p, const kith_gossip_item *it)
{
    kith_bytes list = it->list, id;
    if (kith_gossip_score_(g, p) < g->cfg.score.gossip)
        return;
    while (kith_gossip_list_next(it->kind, &list, &id)) {
        if (++p->iwants > g->cfg.iwant_max) {
            g->counts.refused++;
            return;
        }
        kith_gossip_record *r = kith_gossip_find(&g->store, id);
        if (!r || !r->payload || r->status != KITH_GOSSIP_VALID || !kith_gossip_wants_(g, p, r->hash))
            continue;
        unsigned times = kith_gossip_payload_asked(&g->store, r->payload, p->no);
        if (times == 0 || times > g->cfg.params.retransmissions) {
            g->counts.refused++;
            continue;
        }
        (void)kith_gossip_enqueue_(g, p, NULL, r->payload);
    }
}

static void unqueue(kith_gossip *g, kith_gossip_peer *p, uint64_t hash)
{
    size_t keep = p->out == OUT_MSG && p->out_at > 0; /* the one that is half sent stays */
    for (size_t i = keep; i < p->queue_len; i++) {
        kith_gossip_payload **at = &p->queue[(p->queue_at + i) % p->queue_cap], *m = *at;
        if (m->hash != hash)
            continue;
        for (size_t j = i; j + 1 < p->queue_len; j++)
            p->queue[(p->queue_at + j) % p->queue_cap] = p->queue[(p->queue_at + j + 1) % p->queue_cap];
        p->queue_len--;
        p->queue_bytes -= m->len;
        kith_gossip_payload_drop(&g->store, m);
        g->counts.unwanted++;
        break;
    }
    if (p->out == OUT_MSG && p->queue_len == 0)
        p->out = OUT_NOTHING;
}

static bool unwanted_grow(kith_gossip *g, kith_gossip_peer *p)
{
    size_t cap = p->unwanted_cap ? 4 * p->unwanted_cap : 16;
    cap = cap < g->cfg.unwanted_max ? cap : g->cfg.unwanted_max;
    if (cap == p->unwanted_cap)
        return true; /* a ring from now on */
    unwanted *more =
        kith_mem_resize(&g->env, p->unwanted, p->unwanted_cap * sizeof *more, cap * sizeof *more);
    if (!more)
        return false;
    p->unwanted = more;
    p->unwanted_cap = cap;
    p->unwanted_at = p->unwanted_len;
    return true;
}

static void on_idontwant(kith_gossip *g, kith_gossip_peer *p, const kith_gossip_item *it,
                         control_seen *in_rpc)
{
    kith_bytes list = it->list, id;
    p->idontwants += !in_rpc->idontwant;
    in_rpc->idontwant = true;
    if (p->idontwants > g->cfg.idontwant_max) {
        g->counts.refused++;
        return;
    }
    while (kith_gossip_list_next(it->kind, &list, &id)) {
        if (in_rpc->dont_ids++ >= g->cfg.idontwant_ids_max || g->cfg.unwanted_max == 0) {
            g->counts.refused++;
            return;
        }
        uint64_t hash = kith_gossip_hash(&g->store, id);
        unqueue(g, p, hash);
        if (p->unwanted_len == p->unwanted_cap && !unwanted_grow(g, p))
            return;
        p->unwanted[p->unwanted_at] =
            (unwanted){.hash = hash, .until = g->store.beat + g->cfg.params.idontwant_ttl};
        if (p->unwanted_len < p->unwanted_cap)
            p->unwanted_len++;
        p->unwanted_at = (p->unwanted_at + 1) % p->unwanted_cap;
    }
}

void kith_gossip_control_(kith_gossip *g, kith_time now, kith_gossip_peer *p, const kith_gossip_item *it,
                          control_seen *seen)
{
    switch (it->kind) {
    case KITH_GOSSIP_IHAVE:
        on_ihave(g, now, p, it, seen);
        break;
    case KITH_GOSSIP_IWANT:
        on_iwant(g, p, it);
        break;
    case KITH_GOSSIP_GRAFT:
        on_graft(g, now, p, it->topic);
        break;
    case KITH_GOSSIP_PRUNE:
        on_prune(g, now, p, it);
        break;
    case KITH_GOSSIP_IDONTWANT:
        on_idontwant(g, p, it, seen);
        break;
    case KITH_GOSSIP_SUB:
    case KITH_GOSSIP_MSG:
    case KITH_GOSSIP_EXTENSIONS:
    case KITH_GOSSIP_TEST:
        break;
    }
}

static bool fits_px(const kith_gossip *g, kith_time now, const link *l, double above, bool outbound)
{
    (void)g, (void)now, (void)outbound;
    return l->subscribed && speaks_mesh(l->peer) && l->peer->score >= above && l->peer->record.len;
}

void kith_gossip_put_px_(kith_gossip *g, const kith_gossip_peer *to, const topic *t, kith_wr *w)
{
    /* Called while a frame is made, which changes nothing of links: only g->pick. */
    size_t n = choose(g, 0, (topic *)(uintptr_t)t, 0, false, fits_px);
    for (size_t i = 0, put = 0; i < n && put < g->cfg.params.px_peers; i++) {
        const kith_gossip_peer *p = ((const link *)g->pick[i])->peer;
        if (p == to || w->out.len - w->len < p->record.len + 64)
            continue;
        kith_gossip_put_peer(w, &p->id, kith_span_bytes(p->record));
        put++;
    }
}

/* ---- the heartbeat ---- */

/* What was offered and asked for must have come by now: v1.1, IWANT follow-up. */
static void settle_promises(kith_gossip *g, kith_time now, kith_gossip_peer *p)
{
    size_t keep = 0;
    bool ours = g->throttled_at && now - g->throttled_at < 2 * g->cfg.params.iwant_followup;
    for (size_t i = 0; i < p->promise_count; i++) {
        if (kith_map_get(&g->store.records, p->promises[i].hash))
            continue;
        if (now < p->promises[i].by) {
            p->promises[keep++] = p->promises[i];
            continue;
        }
        if (ours)
            continue; /* it may have come, and we had no room */
        g->counts.broken++;
        p->behaviour += 1;
    }
    p->promise_count = keep;
}

/* Best score first; equal ones stay as they are, which is shuffled. */
static void sort_by_score(void **a, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        link *x = a[i];
        size_t j = i;
        for (; j > 0 && ((link *)a[j - 1])->peer->score < x->peer->score; j--)
            a[j] = a[j - 1];
        a[j] = x;
    }
}

static bool in_mesh(const kith_gossip *g, kith_time now, const link *l, double above, bool outbound)
{
    (void)g, (void)now, (void)above, (void)outbound;
    return l->mesh;
}

/* Too many: the best d_score stay, others at random, d_out of them outbound ones if there are. */
static void prune_excess(kith_gossip *g, kith_time now, topic *t)
{
    const kith_gossip_params *c = &g->cfg.params;
    size_t n = choose(g, now, t, 0, false, in_mesh), best = c->d_score < c->d ? c->d_score : c->d;
    if (n <= c->d)
        return;
    sort_by_score(g->pick, n);
    shuffle(g, g->pick + best, n - best);
    size_t outbound = 0;
    for (size_t i = 0; i < c->d; i++)
        outbound += ((link *)g->pick[i])->peer->outbound;
    /* Each one that is missing takes the place of the last inbound one among those who would stay. */
    for (size_t i = c->d; i < n && outbound < c->d_out; i++) {
        if (!((link *)g->pick[i])->peer->outbound)
            continue;
        for (size_t j = c->d; j-- > 0;) {
            if (((link *)g->pick[j])->peer->outbound)
                continue;
            void *x = g->pick[j];
            g->pick[j] = g->pick[i];
            g->pick[i] = x;
            outbound++;
            break;
        }
    }
    for (size_t i = c->d; i < n; i++)
        prune(g, now, g->pick[i], true, c->prune_backoff);
}

static void improve(kith_gossip *g, kith_time now, topic *t)
{
    size_t n = choose(g, now, t, 0, false, in_mesh);
    if (n < 2)
        return;
    sort_by_score(g->pick, n);
    double median = ((link *)g->pick[n - 1 - n / 2])->peer->score;
    if (median >= g->cfg.score.opportunistic)
        return;
    n = choose(g, now, t, median, false, above_median);
    for (size_t i = 0; i < n && i < g->cfg.params.opportunistic_peers; i++)
        graft(g, now, g->pick[i]);
}

static void keep_mesh(kith_gossip *g, kith_time now, topic *t)
{
    const kith_gossip_params *c = &g->cfg.params;
    KITH_EACH (&t->links, k) {
        link *l = KITH_OF(k, link, in_topic);
        if (l->mesh && l->peer->score < 0)
            prune(g, now, l, false, c->prune_backoff);
    }
    if (t->mesh < c->d_lo)
        graft_some(g, now, t, c->d - t->mesh, 0, false);
    if (t->mesh > c->d_hi)
        prune_excess(g, now, t);
    if (t->mesh >= c->d_lo && c->d_out) {
        size_t outbound = 0;
        KITH_EACH (&t->links, k)
            outbound += KITH_OF(k, link, in_topic)->mesh && KITH_OF(k, link, in_topic)->peer->outbound;
        if (outbound < c->d_out)
            graft_some(g, now, t, c->d_out - outbound, 0, true);
    }
    if (g->store.beat % c->opportunistic_ticks == c->opportunistic_ticks - 1)
        improve(g, now, t);
}

/* IHAVE of what is new, to some of those whom we do not send messages themselves. */
static void emit_gossip(kith_gossip *g, kith_time now, topic *t)
{
    const kith_gossip_config *c = &g->cfg;
    kith_bytes ids[256];
    size_t n = choose(g, now, t, c->score.gossip, false, fits_gossip);
    size_t share = n * c->params.gossip_percent / 100;
    size_t target = share > c->params.d_lazy ? share : c->params.d_lazy;
    for (size_t i = 0; i < n; i++) {
        link *l = g->pick[i];
        if (i >= target && !l->lost)
            continue;
        l->lost = false;
        size_t count = 0, told = 0;
        for (kith_link *k = kith_list_last(&g->store.window); k && told < c->ihave_told_max;
             k = k->prev == &g->store.window.head ? NULL : k->prev) {
            const kith_gossip_record *r = KITH_OF(k, kith_gossip_record, cached);
            if (g->store.beat - r->beat >= c->params.history_gossip)
                break;
            if (r->topic != t->no)
                continue;
            ids[count++] = kith_bytes_of(r->id, r->id_len);
            told++;
            if (count == sizeof ids / sizeof *ids) {
                (void)kith_gossip_queue_ids_(g, l->peer, KITH_GOSSIP_IHAVE, topic_name(t), ids, count);
                count = 0;
            }
        }
        if (count)
            (void)kith_gossip_queue_ids_(g, l->peer, KITH_GOSSIP_IHAVE, topic_name(t), ids, count);
    }
}

static void sweep(kith_gossip *g, kith_time now)
{
    KITH_EACH (&g->peers, k) {
        kith_gossip_peer *p = KITH_OF(k, kith_gossip_peer, all);
        KITH_EACH (&p->links, kl)
            (void)kith_gossip_link_tidy_(g, now, KITH_OF(kl, link, in_peer));
    }
    KITH_EACH (&g->topics, k)
        kith_gossip_topic_tidy_(g, KITH_OF(k, topic, all));
    kith_gossip_forget_retained_(g, now);
}

void kith_gossip_heartbeat_(kith_gossip *g, kith_time now)
{
    const kith_gossip_params *c = &g->cfg.params;
    KITH_EACH (&g->peers, k) {
        kith_gossip_peer *p = KITH_OF(k, kith_gossip_peer, all);
        p->ihaves = p->asked = p->iwants = p->idontwants = 0;
        settle_promises(g, now, p);
        p->score = kith_gossip_score_(g, p);
        while (p->unwanted_len > 0 && p->unwanted_len < p->unwanted_cap &&
               p->unwanted[p->unwanted_len - 1].until <=
                   g->store.beat) /* all are over once the last one is */
            p->unwanted_at = --p->unwanted_len;
    }
    KITH_EACH (&g->topics, k) {
        topic *t = KITH_OF(k, topic, all);
        if (t->joined) {
            keep_mesh(g, now, t);
        } else if (t->fanout_until) {
            if (now >= t->fanout_until) {
                t->fanout_until = 0;
                KITH_EACH (&t->links, kl)
                    KITH_OF(kl, link, in_topic)->fanout = false;
            } else {
                fill_fanout(g, now, t);
            }
        }
        if (t->joined || t->fanout_until)
            emit_gossip(g, now, t);
    }
    kith_gossip_shift(&g->store, now);
    if (g->store.beat % c->direct_ticks == 0)
        g->direct_due = true;
    if (g->store.beat % SWEEP_TICKS == 0)
        sweep(g, now);
    KITH_EACH (&g->peers, k) { /* what found no memory tries again */
        kith_gossip_peer *p = KITH_OF(k, kith_gossip_peer, all);
        if (kith_gossip_has_output(g, p))
            kith_gossip_ready_(g, p);
    }
}
