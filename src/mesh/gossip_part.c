/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Streams for a gossipsub router. */
#include "mesh/gossip_part.h"

#include <assert.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "wire/envelope.h"

#define VERSIONS 5
#define RETRY_FIRST KITH_SEC(1)
#define HELD_RETRY KITH_MS(5) /* until we look again whether the application has drained */
#define RX_MAX (KITH_GOSSIP_RPC_MAX + 32 * 1024 * 1024) /* more than any window */
#define SETTLED KITH_SEC(60)                            /* a stream that lasted so long was a good one */
#define PX_ADDRS_MAX 16

typedef struct tx tx;

typedef struct member {
    kith_link all;
    kith_peer_id id;
    kith_gossip_peer *peer; /* NULL: the router has not taken it, or no longer */
    tx *tx;
    unsigned rx_count;
    bool connected, refused;
    bool fresh; /* it has no tx, and its connections or protocols have changed: look whether to open one */
    unsigned tries;
    kith_time retry_at; /* KITH_NEVER: not by itself */
    kith_conn *tx_conn; /* where the last tx was, to compare only */
    unsigned strikes;   /* resets of it after a long RPC */
} member;

/* What both kinds of machines begin with. */
typedef struct line {
    kith_link all;          /* part->lines */
    kith_gossip_part *part; /* NULL: it is gone */
    member *m;
    const kith_env *env;
} line;

struct tx {
    line line;
    kith_stream *stream;
    bool dead;
    bool waiting;    /* for the peer to take something */
    kith_time since; /* it last did */
    kith_time opened_at;
};

typedef struct rx {
    line line;
    kith_buf buf;
    kith_gossip_intake intake;
    kith_time resume_at; /* KITH_NEVER: nothing is held */
    bool eof, failed;
} rx;

struct kith_gossip_part {
    kith_part part;
    kith_env env;
    kith_node *node;
    kith_gossip *router;
    kith_gossip_part_config cfg;
    kith_gossip_direct *direct;
    uint64_t seed[2];
    kith_map by_id;
    kith_list members, lines;
    size_t member_count;
    uint64_t dials[KITH_GOSSIP_DIALS_MAX];
    size_t dial_count;
    bool stopped;
};

static const char *const ids[VERSIONS] = {
    [KITH_GOSSIP_FLOOD] = KITH_GOSSIP_ID_FLOOD, [KITH_GOSSIP_V10] = KITH_GOSSIP_ID_10,
    [KITH_GOSSIP_V11] = KITH_GOSSIP_ID_11,      [KITH_GOSSIP_V12] = KITH_GOSSIP_ID_12,
    [KITH_GOSSIP_V13] = KITH_GOSSIP_ID_13,
};

kith_bytes kith_gossip_version_id(kith_gossip_version v)
{
    return kith_bytes_str(ids[v]);
}

/* ---- members ---- */

static member *member_find(const kith_gossip_part *p, const kith_peer_id *id)
{
    member *m = kith_map_get(&p->by_id, kith_hash(p->seed, kith_peer_id_bytes(id)));
    return m && kith_peer_id_eq(&m->id, id) ? m : NULL;
}

static member *member_make(kith_gossip_part *p, const kith_peer_id *id)
{
    member *m = member_find(p, id);
    uint64_t key = kith_hash(p->seed, kith_peer_id_bytes(id));
    if (m || kith_map_get(&p->by_id, key))
        return m;
    /* Beyond the router's cap there is room for who waits for a place of one that is leaving. */
    if (p->member_count >= p->cfg.router.peers_max + 64 || !(m = KITH_NEW(&p->env, member)))
        return NULL;
    if (kith_map_put(&p->by_id, &p->env, key, m)) {
        KITH_FREE(&p->env, m);
        return NULL;
    }
    m->id = *id;
    m->retry_at = KITH_NEVER;
    m->fresh = true;
    kith_list_push(&p->members, &m->all);
    p->member_count++;
    return m;
}

static void member_tidy(kith_gossip_part *p, kith_time now, member *m)
{
    if (m->connected || m->tx || m->rx_count)
        return;
    if (m->peer)
        kith_gossip_down(p->router, now, m->peer);
    kith_map_remove(&p->by_id, kith_hash(p->seed, kith_peer_id_bytes(&m->id)));
    kith_link_remove(&m->all);
    p->member_count--;
    KITH_FREE(&p->env, m);
}

/* Where it is, as far as that tells peers apart: v1.1 P6. */
static void set_ip(kith_gossip_hello *h, const kith_maddr *remote)
{
    kith_maddr_part ip, relayed;
    if (kith_maddr_scope(remote) == KITH_IP_LOOPBACK ||
        kith_maddr_find(remote, KITH_MA_P2P_CIRCUIT, &relayed))
        return;
    if (!kith_maddr_find(remote, KITH_MA_IP4, &ip) && !kith_maddr_find(remote, KITH_MA_IP6, &ip))
        return;
    h->ip_len = (uint8_t)ip.value.len;
    memcpy(h->ip, ip.value.p, ip.value.len);
}

/* Lets the router know of it, once there is a connection. */
static void raise(kith_gossip_part *p, kith_time now, member *m)
{
    kith_conn *c = m->peer || m->refused ? NULL : kith_node_conn_find(p->node, &m->id);
    if (!c)
        return;
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    kith_gossip_hello h = {.id = m->id, .outbound = !f.inbound};
    set_ip(&h, &f.remote);
    m->connected = true;
    if (kith_gossip_up(p->router, now, &h, &m->peer) == KITH_OK)
        kith_gossip_peer_set_user(m->peer, m);
    else
        m->refused = true;
}

static void line_init(line *l, kith_gossip_part *p, member *m)
{
    l->part = p;
    l->m = m;
    l->env = kith_node_env(p->node);
    kith_list_push(&p->lines, &l->all);
}

/* ---- our streams ---- */

static kith_err tx_recv(void *m, kith_time now, kith_bytes in)
{
    (void)m, (void)now, (void)in; /* it is one-way; nobody sends anything */
    return KITH_OK;
}

static void tx_eof(void *m, kith_time now)
{
    (void)m, (void)now;
}

static size_t tx_send(void *m, kith_time now, kith_span out)
{
    tx *t = m;
    if (!t->line.m || t->dead)
        return 0;
    size_t n = kith_gossip_send(t->line.part->router, now, t->line.m->peer, out);
    if (n)
        t->since = now;
    t->waiting = kith_gossip_has_output(t->line.part->router, t->line.m->peer);
    return n;
}

static kith_stream_want tx_want(const void *m)
{
    const tx *t = m;
    return !t->line.m || t->dead ? KITH_STREAM_RESET : KITH_STREAM_OPEN;
}

static kith_time tx_deadline(const void *m)
{
    const tx *t = m;
    return t->waiting ? kith_time_after(t->since, KITH_GOSSIP_STUCK) : KITH_NEVER;
}

static void tx_tick(void *m, kith_time now)
{
    tx *t = m;
    t->dead |= now >= tx_deadline(t);
}

static void tx_gone(void *m, kith_time now, kith_err why)
{
    tx *t = m;
    member *of = t->line.m;
    kith_link_remove(&t->line.all);
    t->line.m = NULL;
    if (!of)
        return;
    kith_time long_at = kith_gossip_long_at(of->peer);
    if (why == KITH_ERESET && !t->dead && long_at >= t->opened_at && now - long_at < KITH_GOSSIP_STRIKE)
        of->strikes++;
    else
        of->strikes = 0;
    of->tx = NULL;
    kith_gossip_unwritable(t->line.part->router, of->peer);
    of->retry_at = of->tries < KITH_GOSSIP_RETRIES ? now + (RETRY_FIRST << of->tries) : KITH_NEVER;
    of->tries = now - t->opened_at < SETTLED ? of->tries + 1 : 0;
}

static void tx_free(void *m)
{
    tx *t = m;
    kith_link_remove(&t->line.all);
    KITH_FREE(t->line.env, t);
}

static const kith_stream_ops tx_ops = {
    .recv = tx_recv,
    .eof = tx_eof,
    .send = tx_send,
    .want = tx_want,
    .deadline = tx_deadline,
    .tick = tx_tick,
    .gone = tx_gone,
    .free = tx_free,
};

/* The newest version that a peer says it speaks; -1: none. */
static int version_of(const kith_conn *c)
{
    for (int v = VERSIONS - 1; v >= 0; v--) {
        if (kith_conn_supports(c, kith_bytes_str(ids[v])))
            return v;
    }
    return -1;
}

static bool open_tx(kith_gossip_part *p, kith_time now, member *m)
{
    m->fresh = false;
    m->retry_at = KITH_NEVER;
    kith_conn *c = kith_node_conn_find(p->node, &m->id);
    int v = c ? version_of(c) : -1;
    if (v < 0 || m->tx || !m->peer)
        return false;
    if (c != m->tx_conn)
        m->strikes = 0;
    if (m->strikes >= KITH_GOSSIP_STRIKES)
        kith_gossip_set_limit(p->router, m->peer, KITH_GOSSIP_SMALL_RPC);
    tx *t = KITH_NEW(kith_node_env(p->node), tx);
    if (!t) {
        m->retry_at = now + RETRY_FIRST;
        return false;
    }
    line_init(&t->line, p, m);
    t->since = t->opened_at = now;
    m->tx = t;
    m->tx_conn = c;
    kith_gossip_writable(p->router, now, m->peer, (kith_gossip_version)v);
    const kith_bytes id = kith_bytes_str(ids[v]);
    kith_stream *s;
    if (kith_node_open(p->node, now, c, &id, 1, &tx_ops, t, NULL, &s)) { /* t is freed, and did not go */
        m->tx = NULL;
        kith_gossip_unwritable(p->router, m->peer);
        m->retry_at = m->tries < KITH_GOSSIP_RETRIES ? now + (RETRY_FIRST << m->tries) : KITH_NEVER;
        m->tries++;
        return false;
    }
    if (m->tx)
        t->stream = s;
    return true;
}

/* ---- their streams ---- */

/* Hands whole RPCs to the router, as far as it takes them. */
static kith_err digest(rx *r, kith_time now)
{
    kith_gossip_part *p = r->line.part;
    member *m = r->line.m;
    r->resume_at = KITH_NEVER;
    if (m->refused || p->stopped)
        return KITH_EREFUSED;
    while (r->buf.len > 0) {
        kith_rd rd = kith_rd_of(kith_buf_view(&r->buf));
        uint64_t len = kith_get_uvarint(&rd);
        if (rd.bad) { /* cut, or no varint */
            if (r->buf.len >= 9)
                return KITH_EPROTO;
            break;
        }
        if (len > p->cfg.router.message_max)
            return KITH_ELIMIT;
        size_t head = r->buf.len - rd.in.len;
        kith_bytes rpc = kith_get_bytes(&rd, (size_t)len);
        if (rd.bad)
            break;
        if (!m->peer) { /* the connection is not known yet; it will be at the next act */
            r->resume_at = now + 1;
            break;
        }
        kith_err e;
        if (!kith_gossip_take(p->router, now, m->peer, &r->intake, rpc, &e)) {
            r->resume_at = now + (kith_gossip_room(p->router) ? 1 : HELD_RETRY);
            break;
        }
        if (e)
            return e;
        kith_buf_drop(&r->buf, r->line.env, head + rpc.len);
    }
    return KITH_OK;
}

static kith_err rx_fail(rx *r, kith_err e)
{
    if (!e)
        return KITH_OK;
    r->failed = true;
    r->resume_at = KITH_NEVER;
    kith_buf_fini(&r->buf, r->line.env);
    return e;
}

static kith_err rx_recv(void *m, kith_time now, kith_bytes in)
{
    rx *r = m;
    if (!r->line.m || r->failed)
        return KITH_ERESET;
    bool held = r->resume_at != KITH_NEVER;
    kith_err e = kith_buf_put(&r->buf, r->line.env, in);
    if (!e && !held)
        e = digest(r, now);
    return rx_fail(r, e);
}

static void rx_eof(void *m, kith_time now)
{
    (void)now;
    ((rx *)m)->eof = true;
}

static size_t rx_send(void *m, kith_time now, kith_span out)
{
    (void)m, (void)now, (void)out;
    return 0;
}

static kith_stream_want rx_want(const void *m)
{
    const rx *r = m;
    if (!r->line.m || r->failed)
        return KITH_STREAM_RESET;
    return r->eof && r->resume_at == KITH_NEVER ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

static size_t rx_held(const void *m)
{
    const rx *r =
        m; /* of an RPC that is not whole the window must open again, or the rest would never come */
    return r->resume_at != KITH_NEVER ? r->buf.len : 0;
}

static kith_time rx_deadline(const void *m)
{
    return ((const rx *)m)->resume_at;
}

static void rx_tick(void *m, kith_time now)
{
    rx *r = m;
    if (!r->line.m || r->failed || now < r->resume_at)
        return;
    (void)rx_fail(r, digest(r, now));
}

static void rx_gone(void *m, kith_time now, kith_err why)
{
    rx *r = m;
    member *of = r->line.m;
    (void)now, (void)why;
    r->line.m = NULL;
    kith_link_remove(&r->line.all);
    if (of)
        of->rx_count--;
}

static void rx_free(void *m)
{
    rx *r = m;
    if (r->line.m) /* it was never told of its end */
        r->line.m->rx_count--;
    kith_link_remove(&r->line.all);
    kith_buf_fini(&r->buf, r->line.env);
    KITH_FREE(r->line.env, r);
}

static const kith_stream_ops rx_ops = {
    .recv = rx_recv,
    .eof = rx_eof,
    .send = rx_send,
    .want = rx_want,
    .held = rx_held,
    .deadline = rx_deadline,
    .tick = rx_tick,
    .gone = rx_gone,
    .free = rx_free,
};

static void *on_stream(void *ctx, const kith_stream_info *info)
{
    kith_gossip_part *p = ctx;
    member *m = p->stopped ? NULL : member_make(p, &info->peer);
    rx *r = m && m->rx_count < KITH_GOSSIP_RX_MAX ? KITH_NEW(kith_node_env(p->node), rx) : NULL;
    if (!r)
        return NULL;
    line_init(&r->line, p, m);
    kith_buf_init(&r->buf, RX_MAX);
    r->resume_at = KITH_NEVER;
    m->rx_count++;
    return r;
}

/* ---- the part ---- */

static void consider(kith_gossip_part *p, kith_time now, const kith_node_event *ev)
{
    kith_conn_facts f;
    kith_conn_facts_get(ev->conn, &f);
    member *m = version_of(ev->conn) >= 0 ? member_make(p, &f.peer) : member_find(p, &f.peer);
    if (!m)
        return;
    m->connected = true;
    m->fresh = !m->tx;
    m->refused = false;
    m->tries = 0;
    raise(p, now, m);
    kith_peer_record record;
    if (m->peer && p->cfg.router.px && ev->info && kith_identify_record(ev->info, &record) == KITH_OK)
        kith_gossip_set_record(p->router, m->peer, ev->info->record);
}

static void on_event(void *self, kith_time now, const kith_node_event *ev)
{
    kith_gossip_part *p = self;
    kith_conn_facts f;
    switch (ev->kind) {
    case KITH_NODE_IDENTIFIED:
    case KITH_NODE_UPDATED:
        if (!p->stopped)
            consider(p, now, ev);
        break;
    case KITH_NODE_DISCONNECTED: {
        kith_conn_facts_get(ev->conn, &f);
        member *m = member_find(p, &f.peer);
        if (!m)
            break;
        m->connected = kith_node_conn_find(p->node, &f.peer) != NULL;
        m->fresh = m->connected && !m->tx;
        if (!m->connected && m->peer && !m->tx) {
            kith_gossip_down(p->router, now, m->peer);
            m->peer = NULL;
        }
        break;
    }
    case KITH_NODE_DIALED:
        for (size_t i = 0; i < p->dial_count; i++) {
            if (p->dials[i] != ev->dial_id)
                continue;
            p->dials[i] = p->dials[--p->dial_count];
            break;
        }
        break;
    case KITH_NODE_DIAL:
    case KITH_NODE_RESOLVE:
    case KITH_NODE_KEY:
    case KITH_NODE_WORK:
    case KITH_NODE_CLOSE:
    case KITH_NODE_CONNECTED:
    case KITH_NODE_REFUSED:
    case KITH_NODE_STREAM_OPENED:
    case KITH_NODE_STREAM_READY:
    case KITH_NODE_STREAM_GONE:
        break;
    }
}

/* The scopes of addresses that a peer may send us to; public ones of who is gone. */
static unsigned scopes_of(const kith_gossip_part *p, const kith_peer_id *peer)
{
    kith_conn *c = kith_node_conn_find(p->node, peer);
    kith_conn_facts f;
    if (!c)
        return 1u << KITH_IP_PUBLIC;
    kith_conn_facts_get(c, &f);
    return kith_maddr_scopes_fitting(&f.remote);
}

/* Dials peers that were exchanged, a few at a time, at the addresses that they have signed. Anybody can sign any address: to those of our
 * own machine and network only who is there itself can lead us. */
static bool dial_exchanged(kith_gossip_part *p, kith_time now)
{
    kith_peer_id peer, from;
    kith_bytes envelope;
    bool acted = false;
    while (p->dial_count < KITH_GOSSIP_DIALS_MAX && kith_gossip_px_next(p->router, &peer, &from, &envelope)) {
        kith_peer_record record;
        kith_maddr addrs[PX_ADDRS_MAX];
        size_t n = 0;
        if (kith_node_conn_find(p->node, &peer) || kith_peer_record_open(envelope, &record))
            continue;
        unsigned scopes = scopes_of(p, &from);
        for (size_t i = 0; i < record.addr_count && n < PX_ADDRS_MAX; i++)
            n += kith_maddr_parse(record.addrs[i], &addrs[n]) == KITH_OK &&
                 (scopes >> kith_maddr_scope(&addrs[n]) & 1);
        uint64_t id;
        if (n && kith_node_dial(p->node, now, &peer, addrs, n, &id) == KITH_OK) {
            p->dials[p->dial_count++] = id;
            acted = true;
        }
    }
    return acted;
}

static bool dial_direct(kith_gossip_part *p, kith_time now)
{
    bool acted = false;
    uint64_t id;
    for (size_t i = 0; i < p->cfg.direct_count; i++) {
        const kith_gossip_direct *d = &p->direct[i];
        if (d->addr_count && !kith_node_conn_find(p->node, &d->peer))
            acted |= kith_node_dial(p->node, now, &d->peer, d->addrs, d->addr_count, &id) == KITH_OK;
    }
    return acted;
}

static bool act(void *self, kith_time now)
{
    kith_gossip_part *p = self;
    bool acted = false;
    kith_gossip_turn(p->router);
    if (p->stopped)
        return false;
    KITH_EACH (&p->members, k) {
        member *m = KITH_OF(k, member, all);
        if (!m->connected && m->tx == NULL && m->peer && !kith_node_conn_find(p->node, &m->id)) {
            kith_gossip_down(p->router, now, m->peer);
            m->peer = NULL;
        }
        if (!m->peer)
            raise(p, now, m);
        if (m->peer && !m->tx && (m->fresh || now >= m->retry_at))
            acted |= open_tx(p, now, m);
        member_tidy(p, now, m);
    }
    if (p->cfg.news && kith_gossip_count(p->router).events)
        p->cfg.news(p->cfg.ctx, now);
    for (kith_gossip_peer *peer; (peer = kith_gossip_next_ready(p->router));) {
        member *m = kith_gossip_peer_user(peer);
        if (!m->tx || !m->tx->stream)
            continue;
        if (!m->tx->waiting)
            m->tx->since = now;
        m->tx->waiting = true;
        kith_node_wake(p->node, now, m->tx->stream);
        acted = true;
    }
    acted |= dial_exchanged(p, now);
    if (kith_gossip_direct_due(p->router))
        acted |= dial_direct(p, now);
    return acted;
}

static kith_time deadline(const void *self)
{
    const kith_gossip_part *p = self;
    kith_time at = kith_gossip_deadline(p->router);
    for (kith_link *k = kith_list_first(&p->members); k; k = kith_list_next(&p->members, k)) {
        const member *m = KITH_OF(k, member, all);
        if (m->peer && !m->tx)
            at = kith_time_min(at, m->retry_at);
    }
    return p->stopped ? KITH_NEVER : at;
}

static void tick(void *self, kith_time now)
{
    kith_gossip_part *p = self;
    if (now >= kith_gossip_deadline(p->router))
        kith_gossip_tick(p->router, now);
}

static const kith_part_ops part_ops = {.event = on_event, .act = act, .deadline = deadline, .tick = tick};

kith_gossip_part *kith_gossip_part_new(kith_node *n, kith_time now, const kith_gossip_part_config *cfg,
                                       const char **why)
{
    const kith_env *env = &cfg->router.env;
    kith_gossip_config router = cfg->router;
    router.self = *kith_node_id(n);
    *why = "no memory";
    kith_gossip_part *p = KITH_NEW(env, kith_gossip_part);
    if (!p)
        return NULL;
    p->env = *env;
    p->node = n;
    p->cfg = *cfg;
    p->cfg.direct_count = 0;
    p->part = (kith_part){.ops = &part_ops, .self = p};
    kith_list_init(&p->members);
    kith_list_init(&p->lines);
    p->seed[0] = kith_rand_u64(env);
    p->seed[1] = kith_rand_u64(env);
    p->router = kith_gossip_new(&router, now, why);
    if (!p->router)
        goto failed;
    *why = "no memory";
    if (cfg->direct_count && !(p->direct = kith_mem_new(env, cfg->direct_count * sizeof *p->direct)))
        goto failed;
    p->cfg.direct_count = cfg->direct_count;
    for (size_t i = 0; i < cfg->direct_count; i++) {
        p->direct[i] = cfg->direct[i];
        if (kith_gossip_set_direct(p->router, &cfg->direct[i].peer, true))
            goto failed;
    }
    *why = "the protocols of gossip are served already, or there is no memory";
    for (int v = VERSIONS - 1; v >= 0; v--) {
        const kith_protocol row = {.id = kith_bytes_str(ids[v]),
                                   .ops = &rx_ops,
                                   .accept = on_stream,
                                   .ctx = p,
                                   .streams_per_conn = KITH_GOSSIP_RX_MAX};
        if (kith_node_serve(n, now, &row)) {
            while (++v < VERSIONS)
                kith_node_unserve(n, now, kith_bytes_str(ids[v]));
            goto failed;
        }
    }
    /* Who is connected already may speak it. */
    for (kith_conn *c = NULL; (c = kith_node_conn_next(n, c));) {
        kith_conn_facts f;
        kith_conn_facts_get(c, &f);
        if (f.open && f.identified && version_of(c) >= 0)
            (void)member_make(p, &f.peer);
    }
    return p;
failed:
    p->node = NULL;
    kith_gossip_part_free(p);
    return NULL;
}

void kith_gossip_part_stop(kith_gossip_part *p, kith_time now)
{
    if (p->stopped)
        return;
    p->stopped = true;
    for (int v = 0; v < VERSIONS; v++)
        kith_node_unserve(p->node, now, kith_bytes_str(ids[v]));
    KITH_EACH (&p->members, k) {
        member *m = KITH_OF(k, member, all);
        if (m->tx && m->tx->stream)
            kith_node_reset(p->node, now, m->tx->stream);
    }
}

void kith_gossip_part_free(kith_gossip_part *p)
{
    if (!p)
        return;
    for (kith_link *k; (k = kith_list_pop(&p->lines));) {
        line *l = KITH_OF(k, line, all);
        l->m = NULL;
        l->part = NULL;
    }
    KITH_EACH (&p->members, k) {
        member *m = KITH_OF(k, member, all);
        kith_link_remove(&m->all);
        KITH_FREE(&p->env, m);
    }
    kith_map_fini(&p->by_id, &p->env);
    kith_gossip_free(p->router);
    kith_mem_free(&p->env, p->direct, p->cfg.direct_count * sizeof *p->direct);
    kith_env env = p->env;
    KITH_FREE(&env, p);
}

kith_part *kith_gossip_part_of(kith_gossip_part *p)
{
    return &p->part;
}

kith_gossip *kith_gossip_part_router(kith_gossip_part *p)
{
    return p->router;
}

void kith_gossip_part_check(const kith_gossip_part *p, kith_time now)
{
    size_t members = 0;
    for (kith_link *k = kith_list_first(&p->members); k; k = kith_list_next(&p->members, k)) {
        const member *m = KITH_OF(k, member, all);
        assert(m->rx_count <= KITH_GOSSIP_RX_MAX && (!m->tx || m->tx->line.m == m));
        assert(!m->peer || kith_gossip_peer_user(m->peer) == m);
        members++;
    }
    assert(members == p->member_count);
    kith_gossip_check(p->router, now);
}
