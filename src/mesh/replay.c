/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The memory of messages. */
#include "mesh/replay.h"

#include "base/list.h"
#include "base/map.h"

typedef struct source {
    kith_link link; /* its kind's list, the one that was silent for the longest first */
    uint64_t key;
    uint64_t floor; /* messages that end by then are not believed */
    uint64_t last;  /* when the last one ends that is remembered or was forgotten */
    size_t count;
    kith_list entries; /* in the order of their ends */
} source;

typedef struct entry {
    kith_link link;
    source *source;
    bool contact;
    uint64_t key;
    uint64_t ends; /* ms since 1970 */
} entry;

typedef struct kind {
    kith_list sources;
    size_t source_count, entry_count;
    uint64_t floor; /* of sources that were forgotten, which is any that is not known */
} kind;

struct kith_replay {
    kith_env env;
    uint64_t seed[2];
    kith_map sources, entries; /* kith_hash of the peer id and kind; of source and message id */
    kind kinds[2];             /* strangers, contacts */
};

kith_replay *kith_replay_new(const kith_env *env)
{
    kith_replay *r = KITH_NEW(env, kith_replay);
    if (!r)
        return NULL;
    r->env = *env;
    r->seed[0] = kith_rand_u64(env);
    r->seed[1] = kith_rand_u64(env);
    kith_list_init(&r->kinds[0].sources);
    kith_list_init(&r->kinds[1].sources);
    return r;
}

static void entry_drop(kith_replay *r, kind *k, source *s, entry *e)
{
    (void)kith_map_remove(&r->entries, e->key);
    kith_link_remove(&e->link);
    k->entry_count--;
    s->count--;
    KITH_FREE(&r->env, e);
}

static void source_drop(kith_replay *r, kind *k, source *s)
{
    for (kith_link *l; (l = kith_list_first(&s->entries));)
        entry_drop(r, k, s, KITH_OF(l, entry, link));
    (void)kith_map_remove(&r->sources, s->key);
    kith_link_remove(&s->link);
    k->source_count--;
    KITH_FREE(&r->env, s);
}

void kith_replay_free(kith_replay *r)
{
    if (!r)
        return;
    for (int i = 0; i < 2; i++) {
        for (kith_link *l; (l = kith_list_first(&r->kinds[i].sources));)
            source_drop(r, &r->kinds[i], KITH_OF(l, source, link));
    }
    kith_env env = r->env;
    kith_map_fini(&r->sources, &env);
    kith_map_fini(&r->entries, &env);
    KITH_FREE(&env, r);
}

static uint64_t key_of(const kith_replay *r, const kith_peer_id *peer, const uint8_t *id, size_t id_len)
{
    uint8_t buf[KITH_PEER_ID_MAX + KITH_MESSAGE_ID_LEN];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_put_bytes(&w, kith_peer_id_bytes(peer));
    kith_put_bytes(&w, kith_bytes_of(id, id_len));
    return kith_hash(r->seed, kith_wr_bytes(&w));
}

/* What cannot be delivered any more needs no memory. */
static void forget_past(kith_replay *r, kind *k, source *s, uint64_t now)
{
    for (kith_link *l; (l = kith_list_first(&s->entries)) && KITH_OF(l, entry, link)->ends < now;)
        entry_drop(r, k, s, KITH_OF(l, entry, link));
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Room for one more of this kind: first what is past, of those that were silent for long, then the silent ones themselves. */
static void make_room(kith_replay *r, kind *k, const source *keep, uint64_t now)
{
    while (k->entry_count >= KITH_REPLAY_MESSAGES_MAX || k->source_count > KITH_REPLAY_SOURCES_MAX) {
        source *s = KITH_OF(kith_list_first(&k->sources), source, link);
        if (s == keep)
            return; /* the only one: its own cap is lower */
        if (s->last >= now)
            k->floor = most(k->floor, s->last);
        source_drop(r, k, s);
    }
}

/* The source, last in its list; NULL: no memory. */
static source *source_of(kith_replay *r, kind *k, uint64_t key)
{
    source *s = kith_map_get(&r->sources, key);
    if (!s) {
        s = KITH_NEW(&r->env, source);
        if (!s || kith_map_put(&r->sources, &r->env, key, s)) {
            KITH_FREE(&r->env, s);
            return NULL;
        }
        s->key = key;
        s->floor = s->last = k->floor;
        kith_list_init(&s->entries);
        k->source_count++;
    }
    kith_link_remove(&s->link);
    kith_list_push(&k->sources, &s->link);
    return s;
}

/* Most come in the order of their ends: the search is from behind. */
static void insert(source *s, entry *e)
{
    kith_link *at = s->entries.head.prev;
    while (at != &s->entries.head && KITH_OF(at, entry, link)->ends > e->ends)
        at = at->prev;
    kith_link_insert(at, &e->link);
}

kith_err kith_replay_take(kith_replay *r, const kith_message *m, uint64_t now, bool contact)
{
    kind *k = &r->kinds[contact];
    uint8_t which = contact;
    uint64_t ends = m->time + (uint64_t)m->ttl * 1000;
    uint64_t key = key_of(r, &m->source, m->id, sizeof m->id);
    if (kith_map_get(&r->entries, key))
        return KITH_EEXISTS;
    source *s = source_of(r, k, key_of(r, &m->source, &which, 1));
    if (!s)
        return KITH_ENOMEM;
    make_room(r, k, s, now);
    forget_past(r, k, s, now);
    if (ends <= s->floor)
        return KITH_ELIMIT;
    entry *e = KITH_NEW(&r->env, entry);
    if (!e || kith_map_put(&r->entries, &r->env, key, e)) {
        KITH_FREE(&r->env, e);
        return KITH_ENOMEM;
    }
    e->source = s;
    e->contact = contact;
    e->key = key;
    e->ends = ends;
    insert(s, e);
    s->last = most(s->last, ends);
    s->count++;
    k->entry_count++;
    if (s->count > KITH_REPLAY_PER_SOURCE_MAX) {
        entry *first = KITH_OF(kith_list_first(&s->entries), entry, link);
        s->floor = most(s->floor, first->ends);
        entry_drop(r, k, s, first);
    }
    return KITH_OK;
}

void kith_replay_untake(kith_replay *r, const kith_message *m)
{
    entry *e = kith_map_get(&r->entries, key_of(r, &m->source, m->id, sizeof m->id));
    if (e)
        entry_drop(r, &r->kinds[e->contact], e->source, e);
}

void kith_replay_forgot(kith_replay *r, bool contact, uint64_t ends)
{
    r->kinds[contact].floor = most(r->kinds[contact].floor, ends);
}

size_t kith_replay_messages(const kith_replay *r)
{
    return r->kinds[0].entry_count + r->kinds[1].entry_count;
}

size_t kith_replay_sources(const kith_replay *r)
{
    return r->kinds[0].source_count + r->kinds[1].source_count;
}
