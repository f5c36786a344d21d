/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Registering at rendezvous points, and asking them. */
#include "mesh/rendezvous.h"

#include <assert.h>

#include "base/list.h"
#include "base/map.h"
#include "mesh/request.h"

#define ASK_TIMEOUT KITH_SEC(20)
#define RETRY_FIRST KITH_SEC(30)
#define RETRY_MAX KITH_SEC(900)
#define LOST_FIRST KITH_SEC(5)
#define FOLLOW_EVERY KITH_SEC(120) /* less than the time after which an idle connection is closed */
#define LOOK_EVERY KITH_SEC(15)    /* at our own addresses */
#define TTL_LEAST 60               /* seconds; a point that grants less is asked no more often for it */

enum { TAG_REGISTER, TAG_UNREGISTER, TAG_FIND };

typedef struct point {
    kith_peer_id peer;
    kith_addrs addrs;
    bool asked;      /* a REGISTER is under way */
    bool registered; /* as far as we know */
    bool unsure;     /* as the connection has ended since */
    bool legacy;     /* the form of the record that it takes, or is offered next */
    bool tried_both;
    kith_time at; /* of the next REGISTER */
    kith_time wait;
    kith_time lost_at, lost_wait; /* its connection ended, the last time */
    const char *why;              /* it refused */
    uint8_t cookie[KITH_RDV_COOKIE_MAX];
    size_t cookie_len; /* what the search that follows has seen */
} point;

/* What one point is asked for a search. */
typedef struct query {
    struct find *find; /* NULL: free */
    point *point;
    unsigned pages;
    uint8_t cookie[KITH_RDV_COOKIE_MAX];
    size_t cookie_len;
    bool due;  /* the next page is to be asked for */
    bool anew; /* its cookie was refused, and it began again */
} query;

typedef struct find {
    bool used;
    uint64_t id; /* 0: the one that follows who is there */
    unsigned open, answered;
    uint8_t ns[KITH_RDV_NS_MAX];
    size_t ns_len;
    query queries[KITH_RDV_POINTS_MAX];
} find;

typedef struct notice {
    kith_link link;
    kith_rdv_event ev;
} notice;

struct kith_rdv {
    kith_rdv_config cfg;
    uint64_t clock_offset, seq, last_id;
    kith_requests *requests;
    point points[KITH_RDV_POINTS_MAX];
    size_t count;
    find finds[KITH_RDV_FINDS_MAX + 1]; /* the last one is for following */
    bool on;
    kith_time follow_at, look_at;
    uint64_t addrs_hash; /* of those that were registered */
    kith_list notices;
    size_t notice_count;
};

#define FOLLOWING KITH_RDV_FINDS_MAX
#define NOTICES_MAX 4096 /* not taken by the owner; it takes them after each call */

static void tell(kith_rdv *r, const kith_rdv_event *ev)
{
    notice *n = r->notice_count < NOTICES_MAX ? KITH_NEW(&r->cfg.env, notice) : NULL;
    if (!n)
        return;
    n->ev = *ev;
    kith_list_push(&r->notices, &n->link);
    r->notice_count++;
}

bool kith_rdv_next(kith_rdv *r, kith_rdv_event *ev)
{
    kith_link *k = kith_list_pop(&r->notices);
    for (size_t i = 0; !k && i < KITH_RDV_FINDS_MAX;
         i++) { /* the end needs no memory, as somebody waits for it */
        find *f = &r->finds[i];
        if (!f->used || f->open > 0)
            continue;
        *ev = (kith_rdv_event){.kind = KITH_RDV_OVER, .id = f->id, .answered = f->answered};
        f->used = false;
        return true;
    }
    if (!k)
        return false;
    notice *n = KITH_OF(k, notice, link);
    *ev = n->ev;
    KITH_FREE(&r->cfg.env, n);
    r->notice_count--;
    return true;
}

/* ---- registering ---- */

static void retry(point *p, kith_time now)
{
    p->wait = p->wait == 0 ? RETRY_FIRST : p->wait * 2 < RETRY_MAX ? p->wait * 2 : RETRY_MAX;
    p->at = kith_time_after(now, p->wait);
}

static void refused(kith_rdv *r, point *p, kith_time now, kith_err err, const char *why)
{
    kith_rdv_event ev = {.kind = KITH_RDV_REFUSED, .peer = p->peer, .err = err, .why = why};
    p->registered = false;
    p->why = why;
    retry(p, now);
    tell(r, &ev);
}

/* Of our own choice, so no secret is needed. */
static uint64_t hash_addrs(const kith_rdv *r)
{
    static const uint64_t seed[2] = {1, 2};
    size_t n;
    uint64_t h = 0;
    const kith_maddr *addrs = kith_node_addrs(r->cfg.node, &n);
    for (size_t i = 0; i < n; i++)
        h = h * 31 + kith_hash(seed, kith_bytes_of(addrs[i].b, addrs[i].len));
    return h;
}

static void look_at_addrs(kith_rdv *r, kith_time now)
{
    uint64_t h = hash_addrs(r);
    r->look_at = kith_time_after(now, LOOK_EVERY);
    if (h == r->addrs_hash)
        return;
    r->addrs_hash = h;
    for (size_t i = 0; i < r->count; i++) {
        r->points[i].at = now;
        r->points[i].wait = 0;
    }
}

/* A connection to a point has ended. It may have been started anew, and know nothing of us; or it wants to have room. */
static void lost(point *p, kith_time now)
{
    bool lately = p->lost_wait && now - p->lost_at < RETRY_MAX;
    p->lost_wait = lately ? kith_time_min(p->lost_wait * 2, RETRY_MAX) : LOST_FIRST;
    p->lost_at = now;
    p->unsure = true;
    p->at = kith_time_min(p->at, kith_time_after(now, p->lost_wait));
}

static void ask_register(kith_rdv *r, point *p, kith_time now)
{
    uint8_t record[KITH_ENVELOPE_MAX], msg[KITH_ENVELOPE_MAX + KITH_RDV_NS_MAX + 64];
    size_t n;
    const kith_maddr *addrs = kith_node_addrs(r->cfg.node, &n);
    if (n == 0) {
        p->at = kith_time_after(now, KITH_SEC(1));
        return;
    }
    kith_wr rec = kith_wr_of(kith_span_of(record, sizeof record)),
            w = kith_wr_of(kith_span_of(msg, sizeof msg));
    uint64_t seq = r->clock_offset + now / KITH_SEC(1);
    r->seq = seq > r->seq ? seq : r->seq + 1;
    n = n < KITH_RECORD_ADDRS_MAX ? n : KITH_RECORD_ADDRS_MAX;
    kith_err e = p->legacy ? kith_peer_record_seal_rfc(r->cfg.signer, r->seq, addrs, n, &rec)
                           : kith_peer_record_seal(r->cfg.signer, r->seq, addrs, n, &rec);
    if (!e) {
        kith_rdv_put_register(&w, r->cfg.ns, kith_wr_bytes(&rec), KITH_RDV_TTL_DEFAULT);
        e = w.bad ? KITH_ESPACE
                  : kith_requests_start(r->requests, &p->peer, kith_addrs_bytes(&p->addrs), kith_wr_bytes(&w),
                                        true, p, TAG_REGISTER);
    }
    p->asked = !e;
    if (e)
        retry(p, now);
}

static const char *status_text(uint64_t status)
{
    switch (status) {
    case KITH_RDV_INVALID_NAMESPACE:
        return "it does not take the namespace";
    case KITH_RDV_INVALID_RECORD:
        return "it does not take the signed peer record";
    case KITH_RDV_INVALID_TTL:
        return "it does not take two hours as a lifetime";
    case KITH_RDV_NOT_AUTHORIZED:
        return "it does not let this peer register";
    case KITH_RDV_UNAVAILABLE:
        return "it has no room now";
    }
    return "it refused";
}

static void on_register_end(kith_rdv *r, point *p, kith_time now, const kith_request_end *end)
{
    kith_rdv_msg m;
    p->asked = false;
    if (!r->on)
        return;
    bool other =
        end->err == KITH_ERESET || end->err == KITH_ECLOSED; /* rust, to a record that it cannot read */
    kith_err e = end->err;
    const char *why = "it could not be asked";
    if (!e && (kith_rdv_parse(end->answer, &m) || m.type != KITH_RDV_REGISTER_RESPONSE)) {
        e = KITH_EPROTO;
        why = "its answer is none";
    } else if (!e && m.status != KITH_RDV_OK) {
        e = KITH_EREFUSED;
        why = status_text(m.status);
        other = m.status == KITH_RDV_INVALID_RECORD;
    }
    if (e && other && !p->tried_both) {
        p->legacy = !p->legacy;
        p->tried_both = true;
        p->at = now;
        return;
    }
    p->tried_both = false;
    if (e) {
        refused(r, p, now, e, why);
        return;
    }
    uint64_t ttl = m.has_ttl && m.ttl <= KITH_RDV_TTL_MAX ? m.ttl : KITH_RDV_TTL_DEFAULT;
    ttl = ttl < TTL_LEAST ? TTL_LEAST : ttl;
    kith_rdv_event ev = {.kind = KITH_RDV_REGISTERED, .peer = p->peer, .ttl = ttl};
    if (!p->registered || p->unsure)
        r->follow_at = now; /* of two, who is the second to register sees the first */
    p->registered = true;
    p->unsure = false;
    p->why = NULL;
    p->wait = 0;
    p->at = kith_time_after(now, KITH_SEC(ttl) / 4 * 3);
    tell(r, &ev);
}

static void drop_find(kith_rdv *r, kith_time now, find *f)
{
    for (size_t k = 0; k < KITH_RDV_POINTS_MAX; k++) {
        if (f->queries[k].find)
            kith_requests_cancel(r->requests, now, &f->queries[k]);
    }
    *f = (find){0};
}

void kith_rdv_register(kith_rdv *r, kith_time now, bool on)
{
    r->on = on;
    r->follow_at = now;
    r->look_at = kith_time_after(now, LOOK_EVERY);
    r->addrs_hash = hash_addrs(r);
    if (!on)
        drop_find(r, now, &r->finds[FOLLOWING]);
    for (size_t i = 0; i < r->count; i++) {
        point *p = &r->points[i];
        bool known = p->registered || p->asked;
        p->at = now;
        p->wait = 0;
        if (on || !known)
            continue;
        kith_requests_cancel(r->requests, now, p);
        p->asked = false;
        uint8_t b[512];
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
        kith_rdv_put_unregister(&w, r->cfg.ns, kith_node_id(r->cfg.node));
        p->registered = false;
        if (kith_node_conn_find(r->cfg.node, &p->peer) &&
            kith_requests_start(r->requests, &p->peer, (kith_bytes){0}, kith_wr_bytes(&w), false, p,
                                TAG_UNREGISTER))
            continue; /* its time will be over one day */
    }
}

bool kith_rdv_is_quiet(const kith_rdv *r)
{
    return kith_requests_count(r->requests) == 0;
}

/* ---- asking ---- */

static void query_over(query *q, bool answered)
{
    find *f = q->find;
    q->find = NULL;
    q->due = false;
    f->answered += answered;
    f->open--;
    f->used = f->open > 0 || f->id != 0; /* its end is told by kith_rdv_next */
}

static void ask_page(kith_rdv *r, query *q)
{
    uint8_t b[KITH_RDV_NS_MAX + KITH_RDV_COOKIE_MAX + 64];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    q->due = false;
    kith_rdv_put_discover(&w, kith_bytes_of(q->find->ns, q->find->ns_len), KITH_RDV_PAGE,
                          kith_bytes_of(q->cookie, q->cookie_len));
    assert(!w.bad);
    if (kith_requests_start(r->requests, &q->point->peer, kith_addrs_bytes(&q->point->addrs),
                            kith_wr_bytes(&w), true, q, TAG_FIND))
        query_over(q, false);
}

/* The scopes of addresses that a point may tell, by where it is. */
static uint8_t scopes_of(const kith_rdv *r, const point *p)
{
    kith_conn_facts f = {0};
    const kith_conn *c = kith_node_conn_find(r->cfg.node, &p->peer);
    kith_bytes addrs = kith_addrs_bytes(&p->addrs);
    if (c)
        kith_conn_facts_get(c, &f);
    else
        (void)kith_addrs_next(&addrs, &f.remote);
    return kith_maddr_scopes_fitting(&f.remote);
}

/* What a point says of a peer counts only as far as that peer has signed it. */
static void take_registration(kith_rdv *r, const find *f, uint8_t scopes, const kith_rdv_msg *reg)
{
    kith_peer_record rec;
    kith_rdv_event ev = {.kind = KITH_RDV_FOUND, .id = f->id};
    if (!kith_bytes_eq(reg->ns, kith_bytes_of(f->ns, f->ns_len)) ||
        kith_peer_record_open(reg->record, &rec) || kith_peer_id_eq(&rec.peer, kith_node_id(r->cfg.node)))
        return;
    ev.peer = rec.peer;
    ev.ttl = reg->has_ttl && reg->ttl <= KITH_RDV_TTL_MAX ? reg->ttl : KITH_RDV_TTL_DEFAULT;
    for (size_t i = 0; i < rec.addr_count; i++) {
        kith_maddr a;
        kith_peer_id named;
        if (kith_maddr_parse(rec.addrs[i], &a) ||
            (kith_maddr_peer(&a, &named) && !kith_peer_id_eq(&named, &rec.peer)) ||
            !(scopes >> kith_maddr_scope(&a) & 1))
            continue;
        if (kith_maddr_set_peer(&a, NULL) == KITH_OK && a.len > 0)
            (void)kith_addrs_add(&ev.addrs, &a);
    }
    if (ev.addrs.len > 0)
        tell(r, &ev);
}

static void on_find_end(kith_rdv *r, query *q, const kith_request_end *end)
{
    kith_rdv_msg m, reg;
    bool heard =
        !end->err && kith_rdv_parse(end->answer, &m) == KITH_OK && m.type == KITH_RDV_DISCOVER_RESPONSE;
    if (heard && m.status == KITH_RDV_INVALID_COOKIE && q->cookie_len && !q->anew) {
        q->cookie_len = 0;
        q->anew = q->due = true;
        return;
    }
    if (!heard || m.status != KITH_RDV_OK) {
        query_over(q, q->pages > 0);
        return;
    }
    unsigned n = 0;
    kith_rdv_walk w = kith_rdv_walk_of(&m);
    uint8_t scopes = scopes_of(r, q->point);
    while (n < KITH_RDV_PAGE && kith_rdv_walk_next(&w, &reg)) {
        take_registration(r, q->find, scopes, &reg);
        n++;
    }
    q->pages++;
    q->cookie_len = m.cookie.len <= sizeof q->cookie ? m.cookie.len : 0;
    if (q->cookie_len)
        memcpy(q->cookie, m.cookie.p, q->cookie_len);
    if (q->find->id == 0) {
        memcpy(q->point->cookie, q->cookie, q->cookie_len);
        q->point->cookie_len = q->cookie_len;
    }
    q->due = n > 0 && q->pages < KITH_RDV_PAGES_MAX && q->cookie_len > 0;
    if (!q->due)
        query_over(q, true);
}

static void begin_find(kith_rdv *r, find *f, uint64_t id, kith_bytes ns)
{
    *f = (find){.used = true, .id = id, .open = (unsigned)r->count, .ns_len = ns.len};
    memcpy(f->ns, ns.p, ns.len);
    for (size_t i = 0; i < r->count; i++)
        f->queries[i] = (query){.find = f, .point = &r->points[i], .due = true};
}

static void follow(kith_rdv *r, kith_time now)
{
    find *f = &r->finds[FOLLOWING];
    r->follow_at = kith_time_after(now, FOLLOW_EVERY);
    begin_find(r, f, 0, r->cfg.ns);
    for (size_t i = 0; i < r->count; i++) {
        memcpy(f->queries[i].cookie, r->points[i].cookie, r->points[i].cookie_len);
        f->queries[i].cookie_len = r->points[i].cookie_len;
    }
}

kith_err kith_rdv_find(kith_rdv *r, kith_bytes ns, uint64_t *id)
{
    find *f = NULL;
    if (ns.len == 0 || ns.len > KITH_RDV_NS_MAX)
        return KITH_EFORMAT;
    for (size_t i = 0; i < KITH_RDV_FINDS_MAX && !f; i++)
        f = r->finds[i].used ? NULL : &r->finds[i];
    if (!f || r->count == 0)
        return f ? KITH_ENOTFOUND : KITH_ELIMIT;
    begin_find(r, f, ++r->last_id, ns);
    *id = f->id;
    return KITH_OK;
}

void kith_rdv_cancel(kith_rdv *r, kith_time now, uint64_t id)
{
    for (size_t i = 0; i < KITH_RDV_FINDS_MAX; i++) {
        if (r->finds[i].used && r->finds[i].id == id)
            drop_find(r, now, &r->finds[i]);
    }
}

bool kith_rdv_point_at(const kith_rdv *r, size_t i, kith_rdv_point_facts *out)
{
    if (i >= r->count)
        return false;
    const point *p = &r->points[i];
    *out = (kith_rdv_point_facts){.peer = p->peer, .registered = p->registered, .why = p->why};
    return true;
}

/* ---- the part ---- */

void kith_rdv_event_of(kith_rdv *r, kith_time now, const kith_node_event *ev)
{
    kith_conn_facts f;
    kith_requests_event(r->requests, now, ev);
    if (ev->kind != KITH_NODE_DISCONNECTED || !r->on)
        return;
    kith_conn_facts_get(ev->conn, &f);
    for (size_t i = 0; i < r->count; i++) {
        point *p = &r->points[i];
        if (p->registered && kith_peer_id_eq(&p->peer, &f.peer) &&
            !kith_node_conn_find(r->cfg.node, &p->peer))
            lost(p, now);
    }
}

bool kith_rdv_act(kith_rdv *r, kith_time now)
{
    kith_request_end end;
    while (kith_requests_next(r->requests, &end)) {
        if (end.tag == TAG_REGISTER)
            on_register_end(r, end.owner, now, &end);
        else if (end.tag == TAG_FIND)
            on_find_end(r, end.owner, &end);
    }
    if (r->on && r->look_at <= now)
        look_at_addrs(r, now);
    if (r->on && r->follow_at <= now && !r->finds[FOLLOWING].used && r->count > 0)
        follow(r, now);
    for (size_t i = 0; i <= FOLLOWING; i++) {
        for (size_t k = 0; k < KITH_RDV_POINTS_MAX; k++) {
            if (r->finds[i].used && r->finds[i].queries[k].due)
                ask_page(r, &r->finds[i].queries[k]);
        }
    }
    for (size_t i = 0; r->on && i < r->count; i++) {
        if (!r->points[i].asked && r->points[i].at <= now)
            ask_register(r, &r->points[i], now);
    }
    return kith_requests_act(r->requests, now);
}

kith_time kith_rdv_deadline(const kith_rdv *r)
{
    kith_time at = kith_requests_deadline(r->requests);
    if (r->on && r->count > 0)
        at = kith_time_min(at,
                           r->finds[FOLLOWING].used ? r->look_at : kith_time_min(r->look_at, r->follow_at));
    for (size_t i = 0; r->on && i < r->count; i++) {
        if (!r->points[i].asked)
            at = kith_time_min(at, r->points[i].at);
    }
    return at;
}

void kith_rdv_tick(kith_rdv *r, kith_time now)
{
    kith_requests_tick(r->requests, now); /* what is due is done by act */
}

kith_err kith_rdv_add_point(kith_rdv *r, const kith_peer_id *peer, const kith_addrs *addrs)
{
    for (size_t i = 0; i < r->count; i++) {
        if (kith_peer_id_eq(&r->points[i].peer, peer))
            return KITH_EEXISTS;
    }
    if (r->count == KITH_RDV_POINTS_MAX)
        return KITH_ELIMIT;
    r->points[r->count++] = (point){.peer = *peer, .addrs = *addrs};
    return KITH_OK;
}

kith_rdv *kith_rdv_new(const kith_rdv_config *cfg, kith_time now)
{
    kith_rdv *r = KITH_NEW(&cfg->env, kith_rdv);
    if (!r)
        return NULL;
    r->cfg = *cfg;
    r->clock_offset = cfg->unix_seconds - now / KITH_SEC(1);
    kith_list_init(&r->notices);
    r->requests =
        kith_requests_new(&(kith_requests_config){.env = cfg->env,
                                                  .node = cfg->node,
                                                  .protocol = kith_bytes_str(KITH_RDV_ID),
                                                  .answer_max = KITH_RDV_ANSWER_MAX,
                                                  .active_max = 4,
                                                  .most = KITH_RDV_POINTS_MAX * (KITH_RDV_FINDS_MAX + 3),
                                                  .timeout = ASK_TIMEOUT});
    if (r->requests)
        return r;
    kith_rdv_free(r);
    return NULL;
}

void kith_rdv_free(kith_rdv *r)
{
    if (!r)
        return;
    kith_rdv_event ev;
    while (kith_rdv_next(r, &ev))
        ;
    kith_requests_free(r->requests);
    kith_env env = r->cfg.env;
    KITH_FREE(&env, r);
}
