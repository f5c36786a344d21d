/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Trimming, keeping, checking. */
#include "mesh/connmgr.h"

#include <assert.h>

#include "base/list.h"
#include "proto/ping.h"

typedef enum kept_state { WAITING, FINDING, DIALLING, CONNECTED } kept_state;

typedef struct kept {
    kith_link link;
    kith_peer_id peer;
    kept_state state;
    unsigned failures;  /* in a row */
    kith_time dial_at;  /* WAITING; FINDING: when it is given up */
    kith_time alive_at; /* CONNECTED: the next keep-alive */
    uint64_t dial_id;   /* DIALLING */
    kith_conn *conn;    /* CONNECTED: the one that we protect */
    kith_maddr addrs[KITH_CONNMGR_ADDRS_MAX];
    size_t addr_count;
    kith_maddr *found; /* FINDING, answered: waits for act */
    size_t found_count;
} kept;

struct kith_connmgr {
    kith_connmgr_config cfg;
    kith_part part;
    kith_list kept;
    size_t kept_count, open;
    kith_time trim_at, trim_after;  /* when; KITH_NEVER: no need. Not before the other */
    kith_time check_from, check_by; /* KITH_NEVER: no check is under way */
    bool stopped;
    kith_connmgr_facts facts;
};

#define FIND_TIMEOUT KITH_SEC(30)
#define REFUSAL 6 /* counts as so many failures */

void kith_connmgr_config_default(kith_connmgr_config *cfg)
{
    *cfg = (kith_connmgr_config){
        .low = 160,
        .high = 192,
        .grace = KITH_SEC(60),
        .pause = KITH_SEC(10),
        .retry_min = KITH_SEC(1),
        .retry_max = KITH_SEC(300),
        .check_timeout = KITH_SEC(2),
        .keepalive = KITH_SEC(120),
    };
}

/* ---- too many ---- */

typedef struct candidate {
    kith_conn *conn;
    kith_time active;
    int32_t value;
    bool used, outbound, spared;
    bool young; /* in its grace */
} candidate;

/* Who goes first. */
static bool before(const candidate *a, const candidate *b)
{
    if (a->spared != b->spared)
        return b->spared;
    if (a->value != b->value)
        return a->value < b->value;
    if (a->used != b->used)
        return b->used;
    if (a->outbound != b->outbound)
        return b->outbound;
    return a->active < b->active;
}

/* A heap: the first to go is on top. */
static void sift(candidate *c, size_t n, size_t i)
{
    for (size_t least = i;; i = least) {
        for (size_t k = 2 * i + 1; k <= 2 * i + 2 && k < n; k++) {
            if (before(&c[k], &c[least]))
                least = k;
        }
        if (least == i)
            return;
        candidate swap = c[i];
        c[i] = c[least];
        c[least] = swap;
    }
}

/* Of all open connections those that may go; returns how many. */
static size_t candidates(const kith_connmgr *m, kith_time now, candidate *out, size_t max)
{
    size_t n = 0;
    kith_conn_facts f;
    for (kith_conn *c = NULL; n < max && (c = kith_node_conn_next(m->cfg.node, c));) {
        kith_conn_facts_get(c, &f);
        int32_t value = f.open && !f.protected && m->cfg.value ? m->cfg.value(m->cfg.ctx, &f.peer) : 0;
        if (!f.open || f.protected || value == KITH_CONNMGR_PRECIOUS)
            continue;
        bool used = f.streams > 0 && now - f.active_at < KITH_CONNMGR_IN_USE;
        bool young = now - f.opened_at < m->cfg.grace;
        out[n++] = (candidate){.conn = c,
                               .active = f.active_at,
                               .value = value,
                               .used = f.streams > 0,
                               .outbound = !f.inbound,
                               .spared = used || young,
                               .young = young};
    }
    return n;
}

/* How many connections are open, as the node says: of those that it has just closed our events are yet to come. */
static size_t count_open(const kith_connmgr *m)
{
    kith_conn_facts f;
    size_t n = 0;
    for (kith_conn *c = NULL; (c = kith_node_conn_next(m->cfg.node, c));) {
        kith_conn_facts_get(c, &f);
        n += f.open;
    }
    return n;
}

/* True: some were closed. */
static bool trim(kith_connmgr *m, kith_time now)
{
    size_t open = count_open(m);
    m->trim_at = KITH_NEVER;
    if (!m->cfg.high || open <= m->cfg.high)
        return false;
    m->trim_at = m->trim_after = now + m->cfg.pause; /* who is spared now may go then */
    candidate *c = kith_mem_new(&m->cfg.env, open * sizeof *c);
    if (!c)
        return false;
    size_t n = candidates(m, now, c, open), left = open, young = 0;
    for (size_t i = 0; i < n; i++)
        young += c[i].young;
    for (size_t i = n / 2; i-- > 0;)
        sift(c, n, i);
    while (n > 0 && left > (c[0].spared ? 2 * (size_t)m->cfg.high : m->cfg.low + young)) {
        kith_node_trim(m->cfg.node, now, c[0].conn);
        left--;
        m->facts.trimmed++;
        c[0] = c[--n];
        sift(c, n, 0);
    }
    kith_mem_free(&m->cfg.env, c, open * sizeof *c);
    return left < open;
}

/* ---- kept peers ---- */

static kept *find_kept(const kith_connmgr *m, const kith_peer_id *peer)
{
    for (kith_link *k = kith_list_first(&m->kept); k; k = kith_list_next(&m->kept, k)) {
        kept *p = KITH_OF(k, kept, link);
        if (kith_peer_id_eq(&p->peer, peer))
            return p;
    }
    return NULL;
}

static void drop_found(kith_connmgr *m, kept *p)
{
    kith_mem_free(&m->cfg.env, p->found, p->found_count * sizeof *p->found);
    p->found = NULL;
    p->found_count = 0;
}

/* To the front; the last one makes room. */
static void add_addr(kept *p, const kith_maddr *addr)
{
    kith_maddr a = *addr;
    size_t i = 0;
    if (kith_maddr_set_peer(&a, NULL) || a.len == 0)
        return;
    while (i < p->addr_count && !kith_maddr_eq(&p->addrs[i], &a))
        i++;
    if (i == p->addr_count && p->addr_count < KITH_CONNMGR_ADDRS_MAX)
        p->addr_count++;
    if (i == KITH_CONNMGR_ADDRS_MAX)
        i--;
    for (; i > 0; i--)
        p->addrs[i] = p->addrs[i - 1];
    p->addrs[0] = a;
}

/* Half of the wait is certain and half is chance, so that those who lost the same peer do not come back at one time. */
static void wait_on(kith_connmgr *m, kith_time now, kept *p)
{
    kith_time wait = m->cfg.retry_min;
    for (unsigned i = 1; i < p->failures && wait < m->cfg.retry_max; i++)
        wait *= 2;
    wait = kith_time_min(wait, m->cfg.retry_max);
    p->state = WAITING;
    p->dial_at = now + wait - kith_rand_below(&m->cfg.env, wait / 2 + 1);
}

/* A refusal, by us or by it, does not go away in a second. A dial's KITH_EREFUSED is none: nobody listens there now. */
static void count_failure(kept *p, kith_err err)
{
    bool sent_away = p->state == CONNECTED && err == KITH_EREFUSED;
    p->failures += sent_away || err == KITH_EPOLICY || err == KITH_EAUTH ? REFUSAL : 1;
}

static void failed(kith_connmgr *m, kith_time now, kept *p, kith_err err)
{
    drop_found(m, p);
    count_failure(p, err);
    m->facts.dials_failed++;
    wait_on(m, now, p);
}

static void connected(kith_connmgr *m, kith_time now, kept *p, kith_conn *c)
{
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    if (!f.open)
        return; /* its end is told next */
    drop_found(m, p);
    if (!f.inbound)
        add_addr(p, &f.remote);
    kith_node_protect(c, true);
    p->conn = c;
    p->state = CONNECTED;
    p->dial_at = KITH_NEVER;
    p->alive_at = now + m->cfg.keepalive;
}

static void ended(kith_connmgr *m, kith_time now, const kith_node_event *ev)
{
    kith_conn_facts f;
    kith_conn_facts_get(ev->conn, &f);
    kept *p = find_kept(m, &f.peer);
    if (!p || p->conn != ev->conn)
        return;
    p->conn = NULL;
    kith_conn *other = kith_node_conn_find(m->cfg.node, &p->peer);
    if (other) {
        connected(m, now, p, other);
        return;
    }
    if (now - f.opened_at >= KITH_CONNMGR_STEADY)
        p->failures = 0;
    else
        count_failure(p, ev->err);
    wait_on(m, now, p);
}

static void dial(kith_connmgr *m, kith_time now, kept *p)
{
    kith_maddr addrs[KITH_CONNMGR_FOUND_MAX];
    size_t n = 0;
    for (size_t i = 0; i < p->addr_count; i++)
        addrs[n++] = p->addrs[i];
    for (size_t i = 0; p->found && i < p->found_count && n < KITH_CONNMGR_FOUND_MAX; i++)
        addrs[n++] = p->found[i];
    drop_found(m, p);
    m->facts.dials++;
    kith_err e = kith_node_dial(m->cfg.node, now, &p->peer, addrs, n, &p->dial_id);
    if (e)
        failed(m, now, p, e);
    else
        p->state = DIALLING;
}

static size_t dialling(const kith_connmgr *m)
{
    size_t n = 0;
    for (kith_link *k = kith_list_first(&m->kept); k; k = kith_list_next(&m->kept, k))
        n += KITH_OF(k, kept, link)->state == DIALLING;
    return n;
}

/* A ping on a stream, for peers who close what has none: they do not count the muxer's pings. Its answer is nobody's concern. */
static void keep_alive(kith_connmgr *m, kith_time now, kept *p)
{
    static const kith_bytes id = {(const uint8_t *)KITH_PING_ID, sizeof KITH_PING_ID - 1};
    kith_stream *s;
    kith_conn_facts f;
    p->alive_at = now + m->cfg.keepalive;
    kith_conn_facts_get(p->conn, &f);
    if (now - f.active_at < m->cfg.keepalive || !kith_conn_supports(p->conn, id))
        return;
    kith_ping *ping = kith_ping_new(&m->cfg.env);
    if (!ping || kith_ping_start(ping, now)) {
        kith_ping_ops.free(ping);
        return;
    }
    kith_ping_close(ping); /* once it is answered */
    (void)!kith_node_open(m->cfg.node, now, p->conn, &id, 1, &kith_ping_ops, ping, NULL, &s);
}

/* True: the node was changed. */
static bool stay_alive(kith_connmgr *m, kith_time now)
{
    bool acted = false;
    KITH_EACH (&m->kept, k) {
        kept *p = KITH_OF(k, kept, link);
        if (p->state != CONNECTED || now < p->alive_at)
            continue;
        keep_alive(m, now, p);
        acted = true;
    }
    return acted;
}

/* True: the node was changed. */
static bool reach(kith_connmgr *m, kith_time now)
{
    size_t under_way = dialling(m);
    bool acted = false;
    KITH_EACH (&m->kept, k) {
        kept *p = KITH_OF(k, kept, link);
        if (under_way >= KITH_CONNMGR_DIALS_MAX)
            break;
        if (p->state == WAITING && now >= p->dial_at) {
            kith_conn *c = kith_node_conn_find(m->cfg.node, &p->peer);
            if (c) {
                connected(m, now, p, c);
                continue;
            }
            p->state = FINDING;
            p->dial_at = now + FIND_TIMEOUT;
            if (m->cfg.find)
                m->cfg.find(m->cfg.ctx, now, &p->peer);
        }
        if (p->state == FINDING && (p->found || !m->cfg.find || now >= p->dial_at)) {
            dial(m, now, p);
            under_way += p->state == DIALLING;
            acted = true;
        }
    }
    return acted;
}

/* ---- a change of networks ---- */

static void begin_check(kith_connmgr *m, kith_time now)
{
    for (kith_conn *c = NULL; (c = kith_node_conn_next(m->cfg.node, c));)
        kith_node_ping(m->cfg.node, now, c);
    m->check_from = now;
    m->check_by = now + m->cfg.check_timeout;
}

static void end_check(kith_connmgr *m, kith_time now)
{
    kith_conn_facts f;
    kith_time from = m->check_from;
    m->check_from = m->check_by = KITH_NEVER;
    for (kith_conn *c = NULL; (c = kith_node_conn_next(m->cfg.node, c));) {
        kith_conn_facts_get(c, &f);
        if (!f.open || f.heard_at >= from || f.opened_at >= from)
            continue;
        kith_node_link_failed(m->cfg.node, now, c, KITH_ETIMEOUT,
                              "the network changed, and the peer does not answer any more");
        m->facts.dead++;
    }
}

void kith_connmgr_network_changed(kith_connmgr *m, kith_time now)
{
    if (m->stopped)
        return;
    m->check_from = KITH_NEVER;
    m->check_by = now; /* in act */
    KITH_EACH (&m->kept, k) {
        kept *p = KITH_OF(k, kept, link);
        p->failures = 0;
        if (p->state == WAITING)
            p->dial_at = now;
    }
}

/* ---- the part ---- */

static void on_dialed(kith_connmgr *m, kith_time now, const kith_node_event *ev)
{
    KITH_EACH (&m->kept, k) {
        kept *p = KITH_OF(k, kept, link);
        if (p->state != DIALLING || p->dial_id != ev->dial_id)
            continue;
        if (ev->conn)
            connected(m, now, p, ev->conn);
        if (p->state == DIALLING)
            failed(m, now, p, ev->err);
        return;
    }
}

static void on_event(void *self, kith_time now, const kith_node_event *ev)
{
    kith_connmgr *m = self;
    kith_conn_facts f;
    if (m->stopped)
        return;
    if (ev->kind == KITH_NODE_CONNECTED) {
        m->open++;
        if (m->open > m->cfg.high)
            m->trim_at = kith_time_min(m->trim_at, now > m->trim_after ? now : m->trim_after);
        kith_conn_facts_get(ev->conn, &f);
        kept *p = find_kept(m, &f.peer);
        if (p && !p->conn)
            connected(m, now, p, ev->conn);
    } else if (ev->kind == KITH_NODE_DISCONNECTED) {
        m->open -= m->open > 0; /* one may have been open already when we began */
        ended(m, now, ev);
    } else if (ev->kind == KITH_NODE_DIALED) {
        on_dialed(m, now, ev);
    }
}

static bool act(void *self, kith_time now)
{
    kith_connmgr *m = self;
    bool acted = false;
    if (m->stopped)
        return false;
    if (m->check_by <= now && m->check_from == KITH_NEVER) {
        begin_check(m, now);
        acted = true;
    }
    if (m->trim_at <= now)
        acted |= trim(m, now);
    acted |= stay_alive(m, now);
    return reach(m, now) || acted;
}

static kith_time deadline(const void *self)
{
    const kith_connmgr *m = self;
    kith_time at = kith_time_min(m->trim_at, m->check_by);
    bool full = dialling(m) >= KITH_CONNMGR_DIALS_MAX;
    for (kith_link *k = kith_list_first(&m->kept); k; k = kith_list_next(&m->kept, k)) {
        const kept *p = KITH_OF(k, kept, link);
        if (p->state == CONNECTED)
            at = kith_time_min(at, p->alive_at);
        else if (!full && p->state != DIALLING)
            at = kith_time_min(at, p->dial_at);
    }
    return m->stopped ? KITH_NEVER : at;
}

static void tick(void *self, kith_time now)
{
    kith_connmgr *m = self;
    if (m->check_from != KITH_NEVER && m->check_by <= now)
        end_check(m, now);
}

static const kith_part_ops part_ops = {.event = on_event, .act = act, .deadline = deadline, .tick = tick};

kith_connmgr *kith_connmgr_new(const kith_connmgr_config *cfg)
{
    kith_connmgr *m = KITH_NEW(&cfg->env, kith_connmgr);
    if (!m)
        return NULL;
    m->cfg = *cfg;
    if (m->cfg.low > m->cfg.high)
        m->cfg.low = m->cfg.high;
    m->part = (kith_part){.ops = &part_ops, .self = m};
    kith_list_init(&m->kept);
    m->check_from = m->check_by = m->trim_at = KITH_NEVER;
    m->open = count_open(m);
    if (m->open > m->cfg.high)
        m->trim_at = 0;
    return m;
}

static void kept_free(kith_connmgr *m, kept *p)
{
    drop_found(m, p);
    kith_link_remove(&p->link);
    KITH_FREE(&m->cfg.env, p);
    m->kept_count--;
}

void kith_connmgr_stop(kith_connmgr *m)
{
    m->stopped = true;
    KITH_EACH (&m->kept, k) {
        kept *p = KITH_OF(k, kept, link);
        if (p->conn)
            kith_node_protect(p->conn, false);
        kept_free(m, p);
    }
}

void kith_connmgr_free(kith_connmgr *m)
{
    if (!m)
        return;
    KITH_EACH (&m->kept, k)
        kept_free(m, KITH_OF(k, kept, link));
    kith_env env = m->cfg.env;
    KITH_FREE(&env, m);
}

kith_part *kith_connmgr_part(kith_connmgr *m)
{
    return &m->part;
}

kith_err kith_connmgr_keep(kith_connmgr *m, kith_time now, const kith_peer_id *peer, const kith_maddr *addr)
{
    kept *p = find_kept(m, peer);
    if (!p) {
        if (m->stopped || m->kept_count >= KITH_CONNMGR_KEPT_MAX)
            return KITH_ELIMIT;
        p = KITH_NEW(&m->cfg.env, kept);
        if (!p)
            return KITH_ENOMEM;
        p->peer = *peer;
        p->dial_at = now;
        kith_list_push(&m->kept, &p->link);
        m->kept_count++;
    }
    if (addr)
        add_addr(p, addr);
    if (p->state == WAITING) {
        p->failures = 0;
        p->dial_at = now;
    }
    return KITH_OK;
}

bool kith_connmgr_let_go(kith_connmgr *m, const kith_peer_id *peer)
{
    kept *p = find_kept(m, peer);
    if (!p)
        return false;
    if (p->conn)
        kith_node_protect(p->conn, false);
    kept_free(m, p);
    return true;
}

bool kith_connmgr_keeps(const kith_connmgr *m, const kith_peer_id *peer)
{
    return find_kept(m, peer) != NULL;
}

void kith_connmgr_found(kith_connmgr *m, kith_time now, const kith_peer_id *peer, const kith_maddr *addrs,
                        size_t count)
{
    kept *p = find_kept(m, peer);
    if (!p || p->state != FINDING || p->found)
        return;
    if (count > KITH_CONNMGR_FOUND_MAX)
        count = KITH_CONNMGR_FOUND_MAX;
    if (count)
        p->found = kith_mem_new(&m->cfg.env, count * sizeof *addrs);
    if (p->found) {
        memcpy(p->found, addrs, count * sizeof *addrs);
        p->found_count = count;
    }
    p->dial_at = now; /* none, or no memory: then with those that are here */
}

kith_connmgr_facts kith_connmgr_look(const kith_connmgr *m)
{
    kith_connmgr_facts f = m->facts;
    f.open = count_open(m);
    f.kept = m->kept_count;
    for (kith_link *k = kith_list_first(&m->kept); k; k = kith_list_next(&m->kept, k))
        f.kept_there += KITH_OF(k, kept, link)->state == CONNECTED;
    return f;
}

bool kith_connmgr_kept_at(const kith_connmgr *m, size_t i, kith_connmgr_kept *out)
{
    kith_link *k = kith_list_first(&m->kept);
    for (; k && i > 0; i--)
        k = kith_list_next(&m->kept, k);
    if (!k)
        return false;
    const kept *p = KITH_OF(k, kept, link);
    *out = (kith_connmgr_kept){.peer = p->peer,
                               .connected = p->state == CONNECTED,
                               .failures = p->failures,
                               .dial_at = p->state == WAITING ? p->dial_at : KITH_NEVER};
    return true;
}

void kith_connmgr_check(const kith_connmgr *m)
{
    size_t n = 0;
    for (kith_link *k = kith_list_first(&m->kept); k; k = kith_list_next(&m->kept, k)) {
        const kept *p = KITH_OF(k, kept, link);
        n++;
        assert((p->state == CONNECTED) == (p->conn != NULL));
        assert(p->addr_count <= KITH_CONNMGR_ADDRS_MAX && p->found_count <= KITH_CONNMGR_FOUND_MAX);
        assert(!p->found || p->state == FINDING);
    }
    assert(n == m->kept_count && n <= KITH_CONNMGR_KEPT_MAX);
    assert(m->check_from == KITH_NEVER || m->check_by != KITH_NEVER);
}
