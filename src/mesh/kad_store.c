/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Values and providers in memory, with their caps. */
#include "mesh/kad_store.h"

#include <assert.h>

#include "base/list.h"
#include "base/map.h"

/* Everything under one key. */
typedef struct slot {
    uint64_t hash;
    kith_list rows; /* of_slot, the oldest first */
    size_t count;
    size_t key_len;
    uint8_t key[];
} slot;

typedef struct row {
    kith_link of_slot, by_age;
    slot *slot;
    kith_peer_id provider; /* len 0: a value */
    uint64_t received, group;
    size_t len;
    uint8_t data[];
} row;

/* How many rows somebody has. */
typedef struct tally {
    uint64_t hash;
    uint32_t rows;
} tally;

struct kith_kad_store {
    kith_kad_store_config cfg;
    uint64_t seed[2];
    kith_map values, providers; /* slots by key */
    kith_map peers;             /* tallies of providers */
    kith_map value_groups, provider_groups;
    kith_list by_age; /* of all rows; all live as long, so the oldest expires first */
    size_t value_count, value_bytes, provider_count, key_count;
    bool loading;
};

void kith_kad_store_config_default(kith_kad_store_config *cfg)
{
    *cfg = (kith_kad_store_config){
        .values_max = 1024,
        .values_bytes_max = 4u << 20,
        .providers_max = 16384,
        .providers_per_peer = 1024,
        .providers_per_key = 64,
        .ttl = 48 * 3600, /* go-libp2p-kad-dht amino/defaults.go, of both kinds */
    };
}

kith_kad_store *kith_kad_store_new(const kith_kad_store_config *cfg)
{
    kith_kad_store *s = KITH_NEW(&cfg->env, kith_kad_store);
    if (!s)
        return NULL;
    s->cfg = *cfg;
    kith_list_init(&s->by_age);
    s->seed[0] = kith_rand_u64(&cfg->env);
    s->seed[1] = kith_rand_u64(&cfg->env);
    return s;
}

static kith_map *slots_of(kith_kad_store *s, const kith_peer_id *provider)
{
    return provider->len ? &s->providers : &s->values;
}

static uint64_t hash_of(const kith_kad_store *s, kith_bytes in)
{
    return kith_hash(s->seed, in);
}

static kith_bytes key_of(const slot *k)
{
    return kith_bytes_of(k->key, k->key_len);
}

/* Two keys of one hash would take chance beyond 2^64; the second is then not found, and not stored. */
static slot *find(const kith_kad_store *s, const kith_map *slots, kith_bytes key)
{
    slot *k = kith_map_get(slots, hash_of(s, key));
    return k && kith_bytes_eq(key_of(k), key) ? k : NULL;
}

/* ---- tallies ---- */

static uint32_t tally_get(const kith_map *m, uint64_t hash)
{
    const tally *t = kith_map_get(m, hash);
    return t ? t->rows : 0;
}

static kith_err tally_add(kith_kad_store *s, kith_map *m, uint64_t hash)
{
    const kith_env *env = &s->cfg.env;
    tally *t = kith_map_get(m, hash);
    if (!t) {
        t = KITH_NEW(env, tally);
        if (!t)
            return KITH_ENOMEM;
        t->hash = hash;
        if (kith_map_put(m, env, hash, t)) {
            KITH_FREE(env, t);
            return KITH_ENOMEM;
        }
    }
    t->rows++;
    return KITH_OK;
}

static void tally_drop(kith_kad_store *s, kith_map *m, uint64_t hash)
{
    tally *t = kith_map_get(m, hash);
    assert(t && t->rows > 0);
    if (--t->rows == 0) {
        (void)kith_map_remove(m, hash);
        KITH_FREE(&s->cfg.env, t);
    }
}

static kith_map *groups_of(kith_kad_store *s, const kith_peer_id *provider)
{
    return provider->len ? &s->provider_groups : &s->value_groups;
}

/* ---- rows ---- */

static void tell_gone(kith_kad_store *s, const row *r)
{
    if (s->cfg.gone) {
        kith_kad_row out = {.key = key_of(r->slot), .provider = r->provider};
        s->cfg.gone(s->cfg.ctx, &out);
    }
}

static void slot_settle(kith_kad_store *s, kith_map *slots, slot *k)
{
    if (k->count > 0)
        return;
    (void)kith_map_remove(slots, k->hash);
    s->key_count--;
    kith_mem_free(&s->cfg.env, k, sizeof *k + k->key_len);
}

static void drop(kith_kad_store *s, row *r)
{
    slot *k = r->slot;
    kith_link_remove(&r->of_slot);
    kith_link_remove(&r->by_age);
    k->count--;
    if (r->group)
        tally_drop(s, groups_of(s, &r->provider), r->group);
    if (r->provider.len) {
        tally_drop(s, &s->peers, hash_of(s, kith_peer_id_bytes(&r->provider)));
        s->provider_count--;
    } else {
        s->value_count--;
        s->value_bytes -= k->key_len + r->len;
    }
    slot_settle(s, slots_of(s, &r->provider), k);
    kith_mem_free(&s->cfg.env, r, sizeof *r + r->len);
}

void kith_kad_store_free(kith_kad_store *s)
{
    if (!s)
        return;
    for (kith_link *k; (k = kith_list_first(&s->by_age));)
        drop(s, KITH_OF(k, row, by_age));
    kith_env env = s->cfg.env;
    kith_map *maps[] = {&s->values, &s->providers, &s->peers, &s->value_groups, &s->provider_groups};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        kith_map_fini(maps[i], &env);
    KITH_FREE(&env, s);
}

static row *row_in(const slot *k, const kith_peer_id *provider)
{
    if (!k)
        return NULL;
    KITH_EACH (&k->rows, l) {
        row *r = KITH_OF(l, row, of_slot);
        if (kith_peer_id_eq(&r->provider, provider))
            return r;
    }
    return NULL;
}

bool kith_kad_store_is_full_of(const kith_kad_store *s, const kith_peer_id *provider)
{
    return tally_get(&s->peers, hash_of(s, kith_peer_id_bytes(provider))) >= s->cfg.providers_per_peer;
}

static size_t of_group(const slot *k, uint64_t group)
{
    size_t n = 0;
    KITH_EACH (&k->rows, l)
        n += KITH_OF(l, row, of_slot)->group == group;
    return n;
}

/* Who leaves a full key for a newcomer: the oldest of the group that has most, if that has more than the newcomer's. NULL: nobody. */
static row *who_leaves(const slot *k, uint64_t group)
{
    size_t most = of_group(k, group);
    row *leaves = NULL;
    KITH_EACH (&k->rows, l) {
        row *r = KITH_OF(l, row, of_slot);
        size_t n = r->group == group ? 0 : of_group(k, r->group);
        if (n > most) {
            most = n;
            leaves = r;
        }
    }
    return leaves;
}

/* Whether the caps let a row in once `old` and *leaves are gone. */
static kith_err admit(kith_kad_store *s, const kith_kad_row *in, const slot *k, const row *old, row **leaves)
{
    const kith_kad_store_config *c = &s->cfg;
    bool is_value = !in->provider.len;
    uint32_t max = is_value ? c->values_max : c->providers_max;
    *leaves = NULL;
    if (!is_value && !old && k && k->count >= c->providers_per_key) {
        *leaves = who_leaves(k, in->group);
        if (!*leaves)
            return KITH_ELIMIT;
    }
    if (!old && !*leaves && (is_value ? s->value_count : s->provider_count) >= max)
        return KITH_ELIMIT;
    if (in->group && !(old && old->group == in->group) &&
        tally_get(groups_of(s, &in->provider), in->group) >=
            (max + KITH_KAD_GROUP_SHARE - 1) / KITH_KAD_GROUP_SHARE)
        return KITH_ELIMIT;
    if (is_value) {
        size_t was = old ? in->key.len + old->len : 0;
        if (in->key.len + in->data.len > c->values_bytes_max - (s->value_bytes - was))
            return KITH_ELIMIT;
    } else if (!old && kith_kad_store_is_full_of(s, &in->provider)) {
        return KITH_ELIMIT;
    }
    return KITH_OK;
}

static kith_err slot_for(kith_kad_store *s, kith_map *slots, kith_bytes key, slot **out)
{
    const kith_env *env = &s->cfg.env;
    uint64_t hash = hash_of(s, key);
    if (kith_map_get(slots, hash))
        return KITH_ELIMIT; /* see find */
    slot *k = kith_mem_new(env, sizeof *k + key.len);
    if (!k)
        return KITH_ENOMEM;
    k->hash = hash;
    k->key_len = key.len;
    memcpy(k->key, key.p, key.len);
    kith_list_init(&k->rows);
    if (kith_map_put(slots, env, hash, k)) {
        kith_mem_free(env, k, sizeof *k + key.len);
        return KITH_ENOMEM;
    }
    s->key_count++;
    *out = k;
    return KITH_OK;
}

/* Counts it; all or nothing. */
static kith_err count(kith_kad_store *s, const kith_kad_row *in)
{
    kith_map *groups = groups_of(s, &in->provider);
    kith_err e = in->group ? tally_add(s, groups, in->group) : KITH_OK;
    if (e || !in->provider.len)
        return e;
    e = tally_add(s, &s->peers, hash_of(s, kith_peer_id_bytes(&in->provider)));
    if (e && in->group)
        tally_drop(s, groups, in->group);
    return e;
}

kith_err kith_kad_store_put(kith_kad_store *s, const kith_kad_row *in)
{
    const kith_env *env = &s->cfg.env;
    kith_map *slots = slots_of(s, &in->provider);
    kith_kad_store_expire(s, in->received);
    slot *k = find(s, slots, in->key);
    row *old = row_in(k, &in->provider), *leaves;
    kith_err e = admit(s, in, k, old, &leaves);
    if (e)
        return e;
    row *r = kith_mem_new(env, sizeof *r + in->data.len);
    if (!r)
        return KITH_ENOMEM;
    if (!k)
        e = slot_for(s, slots, in->key, &k);
    if (!e)
        e = count(s, in);
    if (e) {
        if (k)
            slot_settle(s, slots, k);
        kith_mem_free(env, r, sizeof *r + in->data.len);
        return e;
    }
    r->slot = k;
    r->provider = in->provider;
    r->received = in->received;
    r->group = in->group;
    r->len = in->data.len;
    if (r->len)
        memcpy(r->data, in->data.p, r->len);
    kith_list_push(&k->rows, &r->of_slot);
    kith_list_push(&s->by_age, &r->by_age);
    k->count++;
    if (r->provider.len) {
        s->provider_count++;
    } else {
        s->value_count++;
        s->value_bytes += k->key_len + r->len;
    }
    if (leaves)
        tell_gone(s, leaves);
    if (old || leaves)
        drop(s, old ? old : leaves);
    if (s->cfg.put && !s->loading)
        s->cfg.put(s->cfg.ctx, in);
    return KITH_OK;
}

static bool expired(const kith_kad_store *s, uint64_t received, uint64_t now)
{
    return now >= received && now - received >= s->cfg.ttl;
}

kith_err kith_kad_store_load(kith_kad_store *s, uint64_t now, const kith_kad_row *in)
{
    if (expired(s, in->received, now))
        return KITH_ETIMEOUT;
    s->loading = true;
    kith_err e = kith_kad_store_put(s, in);
    s->loading = false;
    return e;
}

static void show(const row *r, kith_kad_row *out)
{
    *out = (kith_kad_row){.key = key_of(r->slot),
                          .provider = r->provider,
                          .data = kith_bytes_of(r->data, r->len),
                          .received = r->received,
                          .group = r->group};
}

bool kith_kad_store_value(const kith_kad_store *s, uint64_t now, kith_bytes key, kith_kad_row *out)
{
    const slot *k = find(s, &s->values, key);
    const row *r = k ? KITH_OF(kith_list_first(&k->rows), row, of_slot) : NULL;
    if (!r || expired(s, r->received, now))
        return false;
    show(r, out);
    return true;
}

bool kith_kad_store_provider(const kith_kad_store *s, uint64_t now, kith_bytes key, const void **at,
                             kith_kad_row *out)
{
    const slot *k = find(s, &s->providers, key);
    if (!k)
        return false;
    const row *last = *at;
    kith_link *l = last ? last->of_slot.prev : k->rows.head.prev;
    if (l == &k->rows.head)
        return false;
    const row *r = KITH_OF(l, row, of_slot);
    if (expired(s, r->received, now))
        return false; /* and so are those behind it */
    *at = r;
    show(r, out);
    return true;
}

void kith_kad_store_expire(kith_kad_store *s, uint64_t now)
{
    for (kith_link *k; (k = kith_list_first(&s->by_age));) {
        row *r = KITH_OF(k, row, by_age);
        if (!expired(s, r->received, now))
            return;
        tell_gone(s, r);
        drop(s, r);
    }
}

uint64_t kith_kad_store_next(const kith_kad_store *s)
{
    kith_link *k = kith_list_first(&s->by_age);
    return k ? KITH_OF(k, row, by_age)->received + s->cfg.ttl : UINT64_MAX;
}

kith_kad_store_facts kith_kad_store_look(const kith_kad_store *s)
{
    return (kith_kad_store_facts){.values = s->value_count,
                                  .values_bytes = s->value_bytes,
                                  .providers = s->provider_count,
                                  .keys = s->key_count};
}

void kith_kad_store_check(const kith_kad_store *s)
{
    size_t values = 0, bytes = 0, providers = 0;
    KITH_EACH (&s->by_age, k) {
        const row *r = KITH_OF(k, row, by_age);
        const kith_map *slots = r->provider.len ? &s->providers : &s->values;
        assert(find(s, slots, key_of(r->slot)) == r->slot && row_in(r->slot, &r->provider) == r);
        assert(r->slot->count <= (r->provider.len ? s->cfg.providers_per_key : 1));
        if (r->provider.len) {
            providers++;
            assert(tally_get(&s->peers, hash_of(s, kith_peer_id_bytes(&r->provider))) <=
                   s->cfg.providers_per_peer);
        } else {
            values++;
            bytes += r->slot->key_len + r->len;
        }
    }
    assert(values == s->value_count && bytes == s->value_bytes && providers == s->provider_count);
    assert(values <= s->cfg.values_max && bytes <= s->cfg.values_bytes_max &&
           providers <= s->cfg.providers_max);
    assert(s->key_count == s->values.len + s->providers.len);
}
