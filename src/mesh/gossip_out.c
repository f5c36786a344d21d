/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is sent to a peer: our state, then ids, then messages. */
#include <assert.h>

#include "mesh/gossip_impl.h"

#define SUBS_PER_RPC 100 /* rust takes no more */

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
        kith_gossip_queue_clear_(g, p); /* an idle peer holds none */
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
