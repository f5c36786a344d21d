/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Seen ids, the message window, authors. */
#include "mesh/gossip_store.h"

#include <assert.h>

typedef struct kith_gossip_asked {
    uint32_t peer;
    uint8_t times;
} asked;

typedef struct author {
    kith_link use;
    uint64_t hash;
    uint64_t top;   /* the highest number */
    uint64_t floor; /* the highest of those whose records have ended */
    bool counting;  /* two of its numbers were close to each other */
    uint8_t len;
    uint8_t id[KITH_PEER_ID_MAX];
} author;

void kith_gossip_store_init(kith_gossip_store *s, const kith_env *env)
{
    *s = (kith_gossip_store){.env = env};
    kith_list_init(&s->seen);
    kith_list_init(&s->window);
    kith_list_init(&s->by_use);
    s->seed[0] = kith_rand_u64(env);
    s->seed[1] = kith_rand_u64(env);
}

uint64_t kith_gossip_hash(const kith_gossip_store *s, kith_bytes id)
{
    return kith_hash(s->seed, id);
}

/* ---- payloads ---- */

static size_t payload_size(const kith_gossip_payload *p)
{
    return sizeof *p + p->len;
}

void kith_gossip_payload_drop(kith_gossip_store *s, kith_gossip_payload *p)
{
    if (!p || --p->refs > 0)
        return;
    s->bytes -= payload_size(p);
    kith_mem_free(s->env, p->asked, p->asked_cap * sizeof *p->asked);
    kith_mem_free(s->env, p, payload_size(p));
}

kith_gossip_payload *kith_gossip_payload_ref(kith_gossip_payload *p)
{
    p->refs++;
    return p;
}

kith_bytes kith_gossip_payload_raw(const kith_gossip_payload *p)
{
    return kith_bytes_of(p->frame + p->head, p->len - p->head);
}

/* Takes a record out of the window. */
static void uncache(kith_gossip_store *s, kith_gossip_record *r)
{
    if (!kith_link_in(&r->cached))
        return;
    kith_link_remove(&r->cached);
    kith_gossip_payload_drop(s, r->payload);
    r->payload = NULL;
}

kith_err kith_gossip_payload_new(kith_gossip_store *s, kith_bytes raw, uint64_t hash,
                                 kith_gossip_payload **out)
{
    uint8_t head[16];
    size_t n = kith_gossip_msg_head(raw.len, head), size = sizeof(kith_gossip_payload) + n + raw.len;
    for (kith_link *k; size > s->bytes_max - s->bytes && (k = kith_list_first(&s->window));)
        uncache(s, KITH_OF(k, kith_gossip_record, cached));
    if (size > s->bytes_max - s->bytes)
        return KITH_ELIMIT;
    kith_gossip_payload *p = kith_mem_new(s->env, size);
    if (!p)
        return KITH_ENOMEM;
    s->bytes += size;
    p->refs = 1;
    p->head = (uint32_t)n;
    p->hash = hash;
    p->len = n + raw.len;
    memcpy(p->frame, head, n);
    memcpy(p->frame + n, raw.p, raw.len);
    *out = p;
    return KITH_OK;
}

unsigned kith_gossip_payload_asked(kith_gossip_store *s, kith_gossip_payload *p, uint32_t peer)
{
    for (size_t i = 0; i < p->asked_len; i++) {
        if (p->asked[i].peer == peer) {
            if (p->asked[i].times < UINT8_MAX)
                p->asked[i].times++;
            return p->asked[i].times;
        }
    }
    if (p->asked_len == p->asked_cap) {
        size_t cap = p->asked_cap ? 2 * p->asked_cap : 4;
        asked *more = kith_mem_resize(s->env, p->asked, p->asked_cap * sizeof *more, cap * sizeof *more);
        if (!more)
            return 0;
        p->asked = more;
        p->asked_cap = cap;
    }
    p->asked[p->asked_len++] = (asked){.peer = peer, .times = 1};
    return 1;
}

/* ---- authors ---- */

static void author_free(kith_gossip_store *s, author *a)
{
    kith_map_remove(&s->authors, a->hash);
    kith_link_remove(&a->use);
    s->author_count--;
    KITH_FREE(s->env, a);
}

static author *author_find(const kith_gossip_store *s, kith_bytes from)
{
    author *a = kith_map_get(&s->authors, kith_gossip_hash(s, from));
    return a && kith_bytes_eq(kith_bytes_of(a->id, a->len), from) ? a : NULL;
}

/* NULL: no memory, and then nobody is held to anything. */
static author *author_new(kith_gossip_store *s, kith_bytes from)
{
    uint64_t hash = kith_gossip_hash(s, from);
    if (from.len > KITH_PEER_ID_MAX || kith_map_get(&s->authors, hash))
        return NULL;
    if (s->author_count >= KITH_GOSSIP_AUTHORS_MAX)
        author_free(s, KITH_OF(kith_list_first(&s->by_use), author, use));
    author *a = KITH_NEW(s->env, author);
    if (!a)
        return NULL;
    if (kith_map_put(&s->authors, s->env, hash, a)) {
        KITH_FREE(s->env, a);
        return NULL;
    }
    a->hash = hash;
    a->len = (uint8_t)from.len;
    memcpy(a->id, from.p, from.len);
    kith_list_push(&s->by_use, &a->use);
    s->author_count++;
    return a;
}

bool kith_gossip_replayed(const kith_gossip_store *s, kith_bytes from, uint64_t seqno)
{
    const author *a = author_find(s, from);
    return a && a->counting && seqno <= a->floor;
}

void kith_gossip_counted(kith_gossip_store *s, kith_bytes from, uint64_t seqno)
{
    author *a = author_find(s, from);
    bool first = !a;
    if (!a && !(a = author_new(s, from)))
        return;
    kith_link_remove(&a->use);
    kith_list_push(&s->by_use, &a->use);
    uint64_t step = seqno > a->top ? seqno - a->top : a->top - seqno;
    a->counting |= !first && step > 0 && step < KITH_GOSSIP_STEP_MAX;
    if (seqno > a->top)
        a->top = seqno;
}

/* A record of its ends: its number and all before it are used up. */
static void author_past(kith_gossip_store *s, kith_bytes id)
{
    if (!s->count_authors || id.len <= KITH_GOSSIP_SEQNO_LEN)
        return;
    size_t len = id.len - KITH_GOSSIP_SEQNO_LEN;
    author *a = author_find(s, kith_bytes_of(id.p, len));
    uint64_t seqno = kith_load_be64(id.p + len);
    if (a && seqno > a->floor)
        a->floor = seqno;
}

/* ---- records ---- */

kith_gossip_record *kith_gossip_find(const kith_gossip_store *s, kith_bytes id)
{
    kith_gossip_record *r = kith_map_get(&s->records, kith_gossip_hash(s, id));
    return r && kith_bytes_eq(kith_bytes_of(r->id, r->id_len), id) ? r : NULL;
}

void kith_gossip_forget(kith_gossip_store *s, kith_gossip_record *r)
{
    if (r->status == KITH_GOSSIP_PENDING)
        s->pending--;
    uncache(s, r);
    kith_gossip_payload_drop(s, r->payload);
    kith_map_remove(&s->records, r->hash);
    kith_link_remove(&r->seen);
    s->count--;
    KITH_FREE(s->env, r);
}

/* Ends one in the course of things. */
static void end(kith_gossip_store *s, kith_gossip_record *r)
{
    author_past(s, kith_bytes_of(r->id, r->id_len));
    kith_gossip_forget(s, r);
}

static bool make_room(kith_gossip_store *s)
{
    KITH_EACH (&s->seen, k) {
        kith_gossip_record *r = KITH_OF(k, kith_gossip_record, seen);
        if (r->status == KITH_GOSSIP_PENDING)
            continue;
        end(s, r);
        return true;
    }
    return false;
}

kith_err kith_gossip_remember(kith_gossip_store *s, kith_time now, kith_bytes id, kith_gossip_record **out)
{
    uint64_t hash = kith_gossip_hash(s, id);
    if (id.len > KITH_GOSSIP_MID_MAX)
        return KITH_ELIMIT;
    if (kith_map_get(&s->records, hash))
        return KITH_EEXISTS;
    if (s->count >= s->records_max && !make_room(s))
        return KITH_ELIMIT;
    kith_gossip_record *r = KITH_NEW(s->env, kith_gossip_record);
    if (!r)
        return KITH_ENOMEM;
    if (kith_map_put(&s->records, s->env, hash, r)) {
        KITH_FREE(s->env, r);
        return KITH_ENOMEM;
    }
    r->hash = hash;
    r->at = now;
    r->status = KITH_GOSSIP_PENDING;
    r->id_len = (uint8_t)id.len;
    memcpy(r->id, id.p, id.len);
    kith_list_push(&s->seen, &r->seen);
    s->count++;
    s->pending++;
    *out = r;
    return KITH_OK;
}

bool kith_gossip_delivered(kith_gossip_record *r, uint32_t peer)
{
    for (size_t i = 0; i < r->by_len; i++) {
        if (r->by[i] == peer)
            return false;
    }
    if (r->by_len == KITH_GOSSIP_DELIVERERS_MAX)
        return false;
    r->by[r->by_len++] = peer;
    return true;
}

void kith_gossip_settle(kith_gossip_store *s, kith_time now, kith_gossip_record *r, kith_gossip_status status)
{
    assert(r->status == KITH_GOSSIP_PENDING && status != KITH_GOSSIP_PENDING);
    r->status = (uint8_t)status;
    s->pending--;
    if (status == KITH_GOSSIP_VALID) {
        r->valid_at = now;
        return;
    }
    kith_gossip_payload_drop(s, r->payload);
    r->payload = NULL;
}

void kith_gossip_cache(kith_gossip_store *s, kith_gossip_record *r)
{
    assert(r->payload && !kith_link_in(&r->cached));
    r->beat = s->beat;
    kith_list_push(&s->window, &r->cached);
}

void kith_gossip_shift(kith_gossip_store *s, kith_time now)
{
    s->beat++;
    for (kith_link *k; (k = kith_list_first(&s->window));) {
        kith_gossip_record *r = KITH_OF(k, kith_gossip_record, cached);
        if (s->beat - r->beat < s->history)
            break;
        uncache(s, r);
    }
    KITH_EACH (&s->seen, k) {
        kith_gossip_record *r = KITH_OF(k, kith_gossip_record, seen);
        if (now - r->at < s->ttl)
            break;
        if (r->status != KITH_GOSSIP_PENDING)
            end(s, r);
    }
}

void kith_gossip_store_fini(kith_gossip_store *s)
{
    for (kith_link *k; (k = kith_list_first(&s->seen));)
        kith_gossip_forget(s, KITH_OF(k, kith_gossip_record, seen));
    for (kith_link *k; (k = kith_list_first(&s->by_use));)
        author_free(s, KITH_OF(k, author, use));
    kith_map_fini(&s->records, s->env);
    kith_map_fini(&s->authors, s->env);
}

void kith_gossip_store_check(const kith_gossip_store *s)
{
    size_t count = 0, pending = 0;
    for (kith_link *k = kith_list_first(&s->seen); k; k = kith_list_next(&s->seen, k)) {
        const kith_gossip_record *r = KITH_OF(k, kith_gossip_record, seen);
        count++;
        pending += r->status == KITH_GOSSIP_PENDING;
        assert(r->by_len <= KITH_GOSSIP_DELIVERERS_MAX && r->id_len <= KITH_GOSSIP_MID_MAX);
        assert(!kith_link_in(&r->cached) || (r->payload && r->status == KITH_GOSSIP_VALID));
    }
    assert(count == s->count && count == s->records.len && pending == s->pending);
    assert(s->count <= s->records_max && s->bytes <= s->bytes_max);
    assert(s->author_count == s->authors.len && s->author_count <= KITH_GOSSIP_AUTHORS_MAX);
}
