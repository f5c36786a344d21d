/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The rendezvous point's registrations. */
#include "mesh/point.h"

#include <assert.h>

#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "mesh/answers.h"

#define RATES 1024 /* peers share one of so many budgets, by a secret hash */

typedef struct registration {
    kith_link link;    /* all, by number */
    kith_link of_peer; /* its peer's */
    struct member *member;
    uint64_t number;
    kith_time until;
    uint64_t ttl;
    uint16_t ns_len, record_len;
    bool rfc;
    uint8_t bytes[]; /* namespace, record */
} registration;

/* A peer with registrations. */
typedef struct member {
    kith_peer_id peer;
    kith_list registrations;
    unsigned count;
    bool rfc; /* the form of the record that came last: see listens_to */
} member;

typedef struct budget {
    kith_time minute;
    unsigned left;
} budget;

struct kith_point {
    kith_env env;
    kith_answers *answers;
    kith_list all;
    kith_map members;
    size_t count, bytes, max;
    uint64_t number; /* of the last registration */
    uint64_t epoch;  /* in the upper 24 bits: cookies of an earlier life mean nothing */
    uint64_t hash[2];
    budget budgets[RATES];
};

#define NUMBER_BITS 40

static kith_bytes ns_of(const registration *r)
{
    return kith_bytes_of(r->bytes, r->ns_len);
}

static kith_bytes record_of(const registration *r)
{
    return kith_bytes_of(r->bytes + r->ns_len, r->record_len);
}

static size_t size_of(const registration *r)
{
    return sizeof *r + r->ns_len + r->record_len;
}

static uint64_t key_of(const kith_point *p, const kith_peer_id *peer)
{
    return kith_hash(p->hash, kith_peer_id_bytes(peer));
}

static member *find_member(const kith_point *p, const kith_peer_id *peer)
{
    member *m = kith_map_get(&p->members, key_of(p, peer));
    return m && kith_peer_id_eq(&m->peer, peer) ? m : NULL;
}

static void drop(kith_point *p, registration *r)
{
    member *m = r->member;
    kith_link_remove(&r->link);
    kith_link_remove(&r->of_peer);
    p->count--;
    p->bytes -= (size_t)r->ns_len + r->record_len;
    kith_mem_free(&p->env, r, size_of(r));
    if (--m->count > 0)
        return;
    (void)kith_map_remove(&p->members, key_of(p, &m->peer));
    KITH_FREE(&p->env, m);
}

static void expire(kith_point *p, kith_time now)
{
    KITH_EACH (&p->all, k) {
        registration *r = KITH_OF(k, registration, link);
        if (r->until <= now)
            drop(p, r);
    }
}

static registration *find(const member *m, kith_bytes ns)
{
    if (!m)
        return NULL;
    KITH_EACH (&m->registrations, k) {
        registration *r = KITH_OF(k, registration, of_peer);
        if (kith_bytes_eq(ns_of(r), ns))
            return r;
    }
    return NULL;
}

/* ---- REGISTER ---- */

static kith_rdv_status refuse(const char **text, kith_rdv_status status, const char *why)
{
    *text = why;
    return status;
}

static bool has_room(const kith_point *p, const registration *old, size_t bytes)
{
    size_t less = old ? (size_t)old->ns_len + old->record_len : 0;
    return p->count - (old != NULL) < p->max && p->bytes - less + bytes <= p->max * KITH_POINT_BYTES_EACH;
}

/* Drops the oldest registration of who has most. False: nobody has more than `least`. */
static bool make_room(kith_point *p, unsigned least)
{
    member *most = NULL;
    KITH_EACH (&p->all, k) {
        registration *r = KITH_OF(k, registration, link);
        if (!most || r->member->count > most->count)
            most = r->member;
    }
    if (!most || most->count <= least)
        return false;
    drop(p, KITH_OF(kith_list_first(&most->registrations), registration, of_peer));
    return true;
}

static registration *store(kith_point *p, kith_time now, const kith_peer_id *from, const kith_rdv_msg *m,
                           bool rfc)
{
    member *owner = find_member(p, from);
    bool fresh = !owner;
    if (fresh) {
        owner = KITH_NEW(&p->env, member);
        if (!owner || kith_map_put(&p->members, &p->env, key_of(p, from), owner)) {
            if (owner)
                KITH_FREE(&p->env, owner);
            return NULL;
        }
        owner->peer = *from;
        kith_list_init(&owner->registrations);
    }
    registration *r = kith_mem_new(&p->env, sizeof *r + m->ns.len + m->record.len);
    if (!r) {
        if (fresh) {
            (void)kith_map_remove(&p->members, key_of(p, from));
            KITH_FREE(&p->env, owner);
        }
        return NULL;
    }
    r->member = owner;
    r->ttl = m->has_ttl ? m->ttl : KITH_RDV_TTL_DEFAULT;
    r->until = kith_time_after(now, KITH_SEC(r->ttl));
    r->number = ++p->number;
    r->ns_len = (uint16_t)m->ns.len;
    r->record_len = (uint16_t)m->record.len;
    r->rfc = owner->rfc = rfc;
    memcpy(r->bytes, m->ns.p, m->ns.len);
    memcpy(r->bytes + m->ns.len, m->record.p, m->record.len);
    owner->count++;
    kith_list_push(&owner->registrations, &r->of_peer);
    kith_list_push(&p->all, &r->link);
    p->count++;
    p->bytes += m->ns.len + m->record.len;
    return r;
}

static kith_rdv_status take(kith_point *p, kith_time now, const kith_peer_id *from, const kith_rdv_msg *m,
                            const char **text)
{
    kith_peer_record rec;
    if (m->ns.len == 0 || m->ns.len > KITH_RDV_NS_MAX || !kith_text_clean(m->ns))
        return refuse(text, KITH_RDV_INVALID_NAMESPACE, "a namespace is 1 to 255 bytes of printable UTF-8");
    if (m->has_ttl && (m->ttl < KITH_RDV_TTL_MIN || m->ttl > KITH_RDV_TTL_MAX))
        return refuse(text, KITH_RDV_INVALID_TTL, "from 7200 to 259200 seconds");
    const member *owner = find_member(p, from);
    registration *old = find(owner, m->ns);
    if (!old && owner && owner->count >= KITH_POINT_PER_PEER_MAX)
        return refuse(text, KITH_RDV_UNAVAILABLE, "the peer has too many registrations");
    if (m->record.len == 0 || kith_peer_record_open(m->record, &rec)) /* the costly check */
        return refuse(text, KITH_RDV_INVALID_RECORD, "the signed peer record is not valid");
    if (!kith_peer_id_eq(&rec.peer, from))
        return refuse(text, KITH_RDV_NOT_AUTHORIZED, "peers register themselves only");
    unsigned then = (owner ? owner->count : 0) + (old == NULL);
    while (!has_room(p, old, m->ns.len + m->record.len)) {
        if (!make_room(p, then))
            return refuse(text, KITH_RDV_UNAVAILABLE, "no room for more registrations");
    }
    if (!store(p, now, from, m, rec.rfc))
        return refuse(text, KITH_RDV_UNAVAILABLE, "no memory");
    if (old)
        drop(p, old);
    return KITH_RDV_OK;
}

static void do_register(kith_point *p, kith_time now, const kith_peer_id *from, const kith_rdv_msg *m,
                        kith_wr *w)
{
    const char *text = NULL;
    kith_rdv_status status = take(p, now, from, m, &text);
    kith_rdv_put_registered(w, status, text, m->has_ttl ? m->ttl : KITH_RDV_TTL_DEFAULT);
}

/* ---- DISCOVER ---- */

/* Eight bytes and the namespace, which rust's client wants to read there. */
static kith_bytes put_cookie(const kith_point *p, uint64_t number, kith_bytes ns,
                             uint8_t out[8 + KITH_RDV_NS_MAX])
{
    kith_store_be64(out, p->epoch | number);
    if (ns.len)
        memcpy(out + 8, ns.p, ns.len);
    return kith_bytes_of(out, 8 + ns.len);
}

/* False: it is none of ours for this namespace. */
static bool read_cookie(const kith_point *p, kith_bytes cookie, kith_bytes ns, uint64_t *number)
{
    *number = 0;
    if (cookie.len < 8 || !kith_bytes_eq(kith_bytes_skip(cookie, 8), ns))
        return false;
    uint64_t v = kith_load_be64(cookie.p), mask = (1ull << NUMBER_BITS) - 1;
    if ((v & ~mask) != p->epoch)
        return true; /* of an earlier life: everything is new */
    *number = v & mask;
    return *number <= p->number;
}

/* rust drops a whole answer with one record in it that is not in RFC 0003's form. Who has registered with such a record is told no others. */
static bool listens_to(const member *asker, const registration *r)
{
    return !asker || !asker->rfc || r->rfc;
}

static kith_err do_discover(kith_point *p, kith_time now, const kith_peer_id *from, const kith_rdv_msg *m,
                            kith_wr *w)
{
    uint8_t cookie[8 + KITH_RDV_NS_MAX];
    uint64_t after = 0;
    if (m->ns.len > KITH_RDV_NS_MAX) {
        kith_rdv_put_discovered(w, KITH_RDV_INVALID_NAMESPACE, "a namespace has 255 bytes at most",
                                (kith_bytes){0}, (kith_bytes){0});
        return KITH_OK;
    }
    if (m->has_cookie && !read_cookie(p, m->cookie, m->ns, &after)) {
        kith_rdv_put_discovered(w, KITH_RDV_INVALID_COOKIE, "this cookie is none of ours for this namespace",
                                (kith_bytes){0}, (kith_bytes){0});
        return KITH_OK;
    }
    uint64_t most = m->limit && m->limit < KITH_POINT_FOUND_MAX ? m->limit : KITH_POINT_FOUND_MAX;
    uint8_t *list = kith_mem_new(&p->env, KITH_POINT_ANSWER_MAX);
    if (!list)
        return KITH_ENOMEM;
    kith_wr l = kith_wr_of(kith_span_of(list, KITH_POINT_ANSWER_MAX - sizeof cookie - 64));
    const member *asker = find_member(p, from);
    bool whole = true;
    uint64_t seen = after;
    KITH_EACH (&p->all, k) {
        const registration *r = KITH_OF(k, registration, link);
        if (r->number <= after || (m->has_ns && !kith_bytes_eq(ns_of(r), m->ns)) || !listens_to(asker, r))
            continue;
        uint64_t left = (r->until - now) / KITH_SEC(1);
        whole = most > 0 && kith_rdv_put_registration(&l, ns_of(r), record_of(r), left);
        if (!whole)
            break;
        most--;
        seen = r->number;
    }
    kith_bytes next = put_cookie(p, whole ? p->number : seen, m->ns, cookie);
    kith_rdv_put_discovered(w, KITH_RDV_OK, NULL, kith_wr_bytes(&l), next);
    kith_mem_free(&p->env, list, KITH_POINT_ANSWER_MAX);
    return w->bad ? KITH_ELIMIT : KITH_OK;
}

/* ---- streams ---- */

/* False: the peer has said enough for this minute. */
static bool within_budget(kith_point *p, kith_time now, const kith_peer_id *from)
{
    budget *b = &p->budgets[key_of(p, from) % RATES];
    if (b->minute == 0 || now - b->minute >= KITH_SEC(60))
        *b = (budget){.minute = now ? now : 1, .left = KITH_POINT_RATE};
    return b->left > 0 && b->left-- > 0;
}

kith_err kith_point_answer_(kith_point *p, kith_time now, const kith_peer_id *from, kith_bytes in, kith_wr *w)
{
    kith_rdv_msg m;
    kith_err e = kith_rdv_parse(in, &m);
    if (e)
        return e;
    bool may = within_budget(p, now, from);
    expire(p, now);
    switch (m.type) {
    case KITH_RDV_REGISTER:
        if (may)
            do_register(p, now, from, &m, w);
        else
            kith_rdv_put_registered(w, KITH_RDV_UNAVAILABLE, "too many messages; wait a minute", 0);
        return KITH_OK;
    case KITH_RDV_UNREGISTER: { /* has no answer; whom it names does not matter, the channel says who it is */
        registration *r = may ? find(find_member(p, from), m.ns) : NULL;
        if (r)
            drop(p, r);
        return KITH_OK;
    }
    case KITH_RDV_DISCOVER:
        if (may)
            return do_discover(p, now, from, &m, w);
        kith_rdv_put_discovered(w, KITH_RDV_UNAVAILABLE, "too many messages; wait a minute", (kith_bytes){0},
                                (kith_bytes){0});
        return KITH_OK;
    case KITH_RDV_REGISTER_RESPONSE:
    case KITH_RDV_DISCOVER_RESPONSE:
        break;
    }
    return KITH_EPROTO;
}

static kith_err answer(void *ctx, kith_time now, const kith_peer_id *from, kith_bytes in, kith_wr *w)
{
    return kith_point_answer_(ctx, now, from, in, w);
}

kith_point *kith_point_new(const kith_env *env, kith_node *node, uint32_t max, kith_time now)
{
    kith_point *p = KITH_NEW(env, kith_point);
    if (!p)
        return NULL;
    p->env = *env;
    p->max = max;
    kith_list_init(&p->all);
    p->hash[0] = kith_rand_u64(env);
    p->hash[1] = kith_rand_u64(env);
    p->epoch = kith_rand_u64(env) << NUMBER_BITS;
    p->answers = kith_answers_new(&(kith_answers_config){.env = *env,
                                                         .stream_env = kith_node_env(node),
                                                         .question_max = KITH_RDV_REQUEST_MAX,
                                                         .answer_max = KITH_POINT_ANSWER_MAX,
                                                         .streams_max = KITH_POINT_STREAMS_MAX,
                                                         .answer = answer,
                                                         .ctx = p});
    kith_protocol row = {.id = kith_bytes_str(KITH_RDV_ID),
                         .ops = &kith_answers_ops,
                         .accept = kith_answers_accept,
                         .ctx = p->answers,
                         .streams_per_conn = 8};
    if (p->answers && kith_node_serve(node, now, &row) == KITH_OK)
        return p;
    kith_point_free(p);
    return NULL;
}

void kith_point_free(kith_point *p)
{
    if (!p)
        return;
    kith_answers_free(p->answers);
    for (kith_link *k; (k = kith_list_first(&p->all));)
        drop(p, KITH_OF(k, registration, link));
    kith_map_fini(&p->members, &p->env);
    kith_env env = p->env;
    KITH_FREE(&env, p);
}

size_t kith_point_count(const kith_point *p)
{
    return p->count;
}

void kith_point_check(const kith_point *p)
{
    size_t count = 0, bytes = 0;
    uint64_t last = 0;
    KITH_EACH (&p->all, k) {
        const registration *r = KITH_OF(k, registration, link);
        assert(r->number > last && r->number <= p->number);
        assert(find_member(p, &r->member->peer) == r->member && r->member->count <= KITH_POINT_PER_PEER_MAX);
        last = r->number;
        count++;
        bytes += (size_t)r->ns_len + r->record_len;
    }
    assert(count == p->count && count <= p->max && bytes == p->bytes &&
           bytes <= p->max * KITH_POINT_BYTES_EACH);
}
