/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Peers that a node was told of, and connections to the first few of them. */
#include "host/met.h"

#include <stdlib.h>

#include "base/list.h"

#define RETRY_MOVED KITH_SEC(10) /* at most, once a peer has other addresses */
#define RETRY_AVOIDED KITH_SEC(60)
#define DIALS_PER_MINUTE 30 /* whatever we are told */

typedef struct known {
    kith_link link;
    kith_peer_id peer;
    kith_addrs addrs;
    kith_time until;
    kith_time dial_at; /* not before */
    unsigned failures; /* in a row */
    bool dialling;
    bool parted;     /* a connection ended in good order: somebody wanted that */
    kith_conn *conn; /* which we keep */
} known;

struct kith_met {
    kith_met_config cfg;
    bool (*avoid)(void *ctx, const kith_peer_id *peer); /* NULL: nobody */
    void *avoid_ctx;
    kith_observer watch;
    kith_list known;
    size_t count, kept;
    kith_time minute; /* when the present minute of dials began */
    unsigned dials;   /* in it */
    bool closed;
};

static known *find_known(const kith_met *m, const kith_peer_id *peer)
{
    KITH_EACH (&m->known, k) {
        known *n = KITH_OF(k, known, link);
        if (kith_peer_id_eq(&n->peer, peer))
            return n;
    }
    return NULL;
}

static bool blocked(const kith_met *m, const kith_peer_id *peer)
{
    const kith_trust_row *row = m->cfg.trust ? kith_trust_find(m->cfg.trust, peer) : NULL;
    return row && row->blocked;
}

static bool avoided(const kith_met *m, const kith_peer_id *peer)
{
    return m->avoid && m->avoid(m->avoid_ctx, peer);
}

static void changed(const kith_met *m)
{
    if (m->cfg.changed && !m->closed)
        m->cfg.changed(m->cfg.ctx);
}

/* Keeps a connection while there are not too many. */
static void keep(kith_met *m, known *n, kith_conn *c)
{
    if (n->conn || m->kept >= m->cfg.connect || avoided(m, &n->peer))
        return;
    kith_node_protect(c, true);
    n->conn = c;
    n->failures = 0;
    m->kept++;
}

static void retry_later(kith_met *m, known *n)
{
    kith_time wait = n->failures < 8 ? m->cfg.retry_min << n->failures : m->cfg.retry_max;
    n->failures++;
    n->dial_at = kith_time_after(kith_host_now(m->cfg.host), kith_time_min(wait, m->cfg.retry_max));
}

/* ---- dialling ---- */

typedef struct attempt {
    kith_met *owner;
    kith_peer_id peer;
} attempt;

static void on_dialed(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    attempt *a = ctx;
    kith_met *m = a->owner;
    known *n = find_known(m, &a->peer); /* it may be gone by now */
    (void)h, (void)err, (void)why;
    free(a);
    if (!n)
        return;
    n->dialling = false;
    if (c)
        keep(m, n, c);
    else
        retry_later(m, n);
    changed(m);
}

static void dial(kith_met *m, known *n)
{
    kith_maddr addrs[KITH_ADDRS_MAX];
    size_t count = kith_addrs_unpack(kith_addrs_bytes(&n->addrs), addrs, KITH_ADDRS_MAX);
    attempt *a = malloc(sizeof *a);
    if (a)
        *a = (attempt){m, n->peer};
    if (!a || kith_host_dial(m->cfg.host, &n->peer, addrs, count, on_dialed, a)) {
        free(a);
        retry_later(m, n);
        return;
    }
    n->dialling = true;
}

static bool too_many_dials(kith_met *m, kith_time now)
{
    if (now - m->minute >= KITH_SEC(60)) {
        m->minute = now;
        m->dials = 0;
    }
    return m->dials >= DIALS_PER_MINUTE;
}

/* Dials who is due, and says when the next one is. */
static kith_time connect_some(kith_met *m)
{
    kith_time now = kith_host_now(m->cfg.host), next = KITH_NEVER;
    size_t under_way = 0;
    if (m->closed || kith_host_stopping(m->cfg.host))
        return KITH_NEVER;
    KITH_EACH (&m->known, k)
        under_way += KITH_OF(k, known, link)->dialling;
    KITH_EACH (&m->known, k) {
        known *n = KITH_OF(k, known, link);
        if (m->kept + under_way >= m->cfg.connect)
            return KITH_NEVER; /* until one ends */
        if (n->conn || n->dialling || n->parted || blocked(m, &n->peer))
            continue;
        if (avoided(m, &n->peer)) {
            next = kith_time_min(next, now + RETRY_AVOIDED);
            continue;
        }
        kith_conn *c = kith_node_conn_find(kith_host_node(m->cfg.host), &n->peer);
        if (c) {
            keep(m, n, c);
        } else if (n->dial_at > now) {
            next = kith_time_min(next, n->dial_at);
        } else if (too_many_dials(m, now)) {
            next = kith_time_min(next, m->minute + KITH_SEC(60));
        } else {
            m->dials++;
            dial(m, n);
            under_way += n->dialling;
        }
    }
    return next;
}

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    kith_met *m = ctx;
    kith_conn_facts f;
    (void)h;
    if (ev->kind != KITH_NODE_CONNECTED && ev->kind != KITH_NODE_DISCONNECTED)
        return;
    kith_conn_facts_get(ev->conn, &f);
    known *n = find_known(m, &f.peer);
    if (n && ev->kind == KITH_NODE_CONNECTED)
        keep(m, n, ev->conn);
    if (!n || ev->kind == KITH_NODE_CONNECTED || n->conn != ev->conn)
        return;
    n->conn = NULL;
    n->parted = ev->err == KITH_OK || ev->err == KITH_ECLOSED;
    m->kept--;
    retry_later(m, n);
    changed(m);
}

/* ---- whom there is ---- */

bool kith_met_add(kith_met *m, const kith_peer_id *peer, const kith_addrs *addrs, kith_time from,
                  kith_time until)
{
    kith_time now = kith_host_now(m->cfg.host);
    known *n = find_known(m, peer);
    bool fresh = !n;
    if (fresh && m->count < KITH_MET_MAX)
        n = calloc(1, sizeof *n);
    if (!n)
        return false;
    if (fresh)
        n->dial_at = from;
    else if (!kith_bytes_eq(kith_addrs_bytes(&n->addrs), kith_addrs_bytes(addrs)))
        n->dial_at = kith_time_min(n->dial_at, now + RETRY_MOVED);
    n->peer = *peer;
    n->addrs = *addrs;
    n->until = until;
    if (!fresh)
        return false;
    kith_list_push(&m->known, &n->link);
    m->count++;
    return true;
}

static void forget(kith_met *m, known *n)
{
    kith_link_remove(&n->link);
    m->count--;
    m->kept -= n->conn != NULL;
    free(n);
}

void kith_met_drop(kith_met *m, const kith_peer_id *peer)
{
    known *n = find_known(m, peer);
    if (!n)
        return;
    if (n->conn)
        kith_node_protect(n->conn, false);
    forget(m, n);
}

void kith_met_want(kith_met *m, uint32_t connect)
{
    m->cfg.connect = connect;
}

void kith_met_avoid(kith_met *m, bool (*avoid)(void *ctx, const kith_peer_id *peer), void *ctx)
{
    m->avoid = avoid;
    m->avoid_ctx = ctx;
}

kith_time kith_met_tick(kith_met *m)
{
    kith_time now = kith_host_now(m->cfg.host);
    KITH_EACH (&m->known, k) {
        known *n = KITH_OF(k, known, link);
        if (n->until <= now && !n->conn && !n->dialling)
            forget(m, n);
    }
    return connect_some(m);
}

size_t kith_met_count(const kith_met *m)
{
    return m ? m->count : 0;
}

size_t kith_met_connected(const kith_met *m)
{
    return m ? m->kept : 0;
}

/* ---- life ---- */

kith_met *kith_met_new(const kith_met_config *cfg)
{
    kith_met *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->cfg = *cfg;
    m->watch = (kith_observer){.event = on_event, .ctx = m};
    kith_list_init(&m->known);
    kith_host_observe(cfg->host, &m->watch);
    return m;
}

void kith_met_close(kith_met *m)
{
    if (!m || m->closed)
        return;
    m->closed = true;
    kith_host_unobserve(m->cfg.host, &m->watch);
}

void kith_met_free(kith_met *m)
{
    if (!m)
        return;
    for (kith_link *k; (k = kith_list_first(&m->known));)
        forget(m, KITH_OF(k, known, link));
    free(m);
}
