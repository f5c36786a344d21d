/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kademlia's buckets. */
#include "mesh/kad_table.h"

#include <assert.h>

uint64_t kith_kad_group(const kith_maddr *remote)
{
    kith_maddr_part ip;
    if (kith_maddr_scope(remote) != KITH_IP_PUBLIC)
        return 0;
    if (kith_maddr_find(remote, KITH_MA_IP4, &ip))
        return (uint64_t)4 << 32 | kith_load_be16(ip.value.p);
    if (!kith_maddr_find(remote, KITH_MA_IP6, &ip))
        return 0;
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(ip.value.p, mapped, sizeof mapped) == 0)
        return (uint64_t)4 << 32 | kith_load_be16(ip.value.p + sizeof mapped);
    return (uint64_t)6 << 32 | kith_load_be32(ip.value.p);
}

void kith_kad_table_init(kith_kad_table *t, const kith_kad_table_config *cfg)
{
    assert(cfg->k >= 1 && cfg->k <= UINT8_MAX);
    *t = (kith_kad_table){.cfg = *cfg, .self = kith_kad_key_of(kith_peer_id_bytes(&cfg->self))};
    for (unsigned i = 0; i < KITH_KAD_BUCKETS; i++)
        kith_list_init(&t->buckets[i]);
}

static kith_kad_entry *entry_of(kith_link *k)
{
    return KITH_OF(k, kith_kad_entry, link);
}

static void drop(kith_kad_table *t, kith_kad_entry *e)
{
    t->counts[kith_kad_table_bucket(t, &e->key)]--;
    t->count--;
    kith_link_remove(&e->link);
    kith_mem_free(&t->cfg.env, e->addrs, e->addrs_len);
    KITH_FREE(&t->cfg.env, e);
}

void kith_kad_table_fini(kith_kad_table *t)
{
    for (unsigned i = 0; i < KITH_KAD_BUCKETS; i++) {
        for (kith_link *k; (k = kith_list_first(&t->buckets[i]));)
            drop(t, entry_of(k));
    }
}

unsigned kith_kad_table_bucket(const kith_kad_table *t, const kith_kad_key *key)
{
    unsigned common = kith_kad_key_common(&t->self, key);
    return common < KITH_KAD_BUCKETS ? common : KITH_KAD_BUCKETS - 1;
}

unsigned kith_kad_table_depth(const kith_kad_table *t)
{
    for (unsigned i = KITH_KAD_BUCKETS; i-- > 0;) {
        if (t->counts[i])
            return i;
    }
    return 0;
}

static kith_kad_entry *find_in(const kith_list *bucket, const kith_peer_id *id)
{
    KITH_EACH (bucket, k) {
        if (kith_peer_id_eq(&entry_of(k)->id, id))
            return entry_of(k);
    }
    return NULL;
}

kith_kad_entry *kith_kad_table_find(const kith_kad_table *t, const kith_peer_id *id)
{
    kith_kad_key key = kith_kad_key_of(kith_peer_id_bytes(id));
    return find_in(&t->buckets[kith_kad_table_bucket(t, &key)], id);
}

/* Whether a group has room once `leaves` (may be NULL) is gone. */
static bool diverse(const kith_kad_table *t, unsigned bucket, uint64_t group, const kith_kad_entry *leaves)
{
    if (!group)
        return true;
    unsigned all = 0, here = 0;
    for (unsigned i = 0; i < KITH_KAD_BUCKETS; i++) {
        KITH_EACH (&t->buckets[i], k) {
            const kith_kad_entry *e = entry_of(k);
            if (e->group != group || e == leaves)
                continue;
            all++;
            here += i == bucket;
        }
    }
    return (!t->cfg.group_max || all < t->cfg.group_max) &&
           (!t->cfg.bucket_group_max || here < t->cfg.bucket_group_max);
}

/* The room for a newcomer: false, there is none. *leaves: who must go first; NULL: nobody. */
static bool room(const kith_kad_table *t, kith_time now, unsigned bucket, uint64_t group,
                 kith_kad_entry **leaves)
{
    *leaves = NULL;
    if (t->counts[bucket] >= t->cfg.k) {
        kith_kad_entry *oldest = entry_of(kith_list_first(&t->buckets[bucket]));
        if (now - oldest->answered_at <= t->cfg.stale_after)
            return false;
        *leaves = oldest;
    }
    return diverse(t, bucket, group, *leaves);
}

bool kith_kad_table_wants(const kith_kad_table *t, kith_time now, const kith_peer_id *id, uint64_t group)
{
    kith_kad_key key = kith_kad_key_of(kith_peer_id_bytes(id));
    unsigned bucket = kith_kad_table_bucket(t, &key);
    kith_kad_entry *leaves;
    return !kith_peer_id_eq(id, &t->cfg.self) && !find_in(&t->buckets[bucket], id) &&
           room(t, now, bucket, group, &leaves);
}

static kith_err set_addrs(kith_kad_table *t, kith_kad_entry *e, kith_bytes addrs)
{
    if (addrs.len == 0 || kith_bytes_eq(addrs, kith_bytes_of(e->addrs, e->addrs_len)))
        return KITH_OK;
    assert(addrs.len <= KITH_ADDRS_LEN_MAX);
    uint8_t *p = kith_mem_new(&t->cfg.env, addrs.len);
    if (!p)
        return KITH_ENOMEM;
    memcpy(p, addrs.p, addrs.len);
    kith_mem_free(&t->cfg.env, e->addrs, e->addrs_len);
    e->addrs = p;
    e->addrs_len = (uint16_t)addrs.len;
    e->scopes = 0;
    kith_maddr a;
    while (kith_addrs_next(&addrs, &a))
        e->scopes |= (uint8_t)(1u << kith_maddr_scope(&a));
    return KITH_OK;
}

kith_err kith_kad_table_answered(kith_kad_table *t, kith_time now, const kith_peer_id *id, kith_bytes addrs,
                                 uint64_t group)
{
    if (kith_peer_id_eq(id, &t->cfg.self))
        return KITH_EREFUSED;
    kith_kad_key key = kith_kad_key_of(kith_peer_id_bytes(id));
    unsigned bucket = kith_kad_table_bucket(t, &key);
    kith_kad_entry *e = find_in(&t->buckets[bucket], id), *leaves;
    if (e) {
        e->answered_at = now;
        e->connected = true;
        kith_link_remove(&e->link);
        kith_list_push(&t->buckets[bucket], &e->link);
        kith_err err = set_addrs(t, e, addrs);
        return err ? err : KITH_EEXISTS;
    }
    if (!room(t, now, bucket, group, &leaves))
        return KITH_EREFUSED;
    e = KITH_NEW(&t->cfg.env, kith_kad_entry);
    if (!e)
        return KITH_ENOMEM;
    *e = (kith_kad_entry){
        .key = key, .id = *id, .group = group, .answered_at = now, .tried_at = now, .connected = true};
    if (set_addrs(t, e, addrs)) {
        KITH_FREE(&t->cfg.env, e);
        return KITH_ENOMEM;
    }
    if (leaves)
        drop(t, leaves);
    kith_list_push(&t->buckets[bucket], &e->link);
    t->counts[bucket]++;
    t->count++;
    return KITH_OK;
}

void kith_kad_table_set_connected(kith_kad_table *t, const kith_peer_id *id, bool on)
{
    kith_kad_entry *e = kith_kad_table_find(t, id);
    if (e)
        e->connected = on;
}

void kith_kad_table_remove(kith_kad_table *t, const kith_peer_id *id)
{
    kith_kad_entry *e = kith_kad_table_find(t, id);
    if (e)
        drop(t, e);
}

typedef struct nearest {
    const kith_kad_key *to;
    kith_kad_entry **out;
    size_t n, max;
} nearest;

static void take_bucket(nearest *near, const kith_list *bucket)
{
    kith_kad_entry **out = near->out;
    KITH_EACH (bucket, k) {
        kith_kad_entry *e = entry_of(k);
        if (near->n == near->max && kith_kad_key_nearer(near->to, &e->key, &out[near->n - 1]->key) >= 0)
            continue;
        size_t at = near->n < near->max ? near->n++ : near->max - 1;
        for (; at > 0 && kith_kad_key_nearer(near->to, &e->key, &out[at - 1]->key) < 0; at--)
            out[at] = out[at - 1];
        out[at] = e;
    }
}

/* The key's own bucket holds those that share the most bits with it; all deeper ones, together, those that share just as many as we do; and
 * each before it fewer and fewer. So a server looks at some twenty entries to answer a question, not at all. */
size_t kith_kad_table_nearest(const kith_kad_table *t, const kith_kad_key *to, kith_kad_entry **out,
                              size_t max)
{
    nearest near = {.to = to, .out = out, .max = max};
    unsigned own = kith_kad_table_bucket(t, to);
    if (max == 0)
        return 0;
    take_bucket(&near, &t->buckets[own]);
    for (unsigned i = own + 1; i < KITH_KAD_BUCKETS && t->counts[own] < max; i++)
        take_bucket(&near, &t->buckets[i]);
    for (unsigned i = own; i > 0 && near.n < max; i--)
        take_bucket(&near, &t->buckets[i - 1]);
    return near.n;
}

kith_kad_entry *kith_kad_table_silent(kith_kad_table *t, kith_time now, kith_time before)
{
    for (unsigned i = 0; i < KITH_KAD_BUCKETS; i++) {
        KITH_EACH (&t->buckets[i], k) {
            kith_kad_entry *e = entry_of(k);
            if (e->answered_at < before && e->tried_at < before) {
                e->tried_at = now;
                return e;
            }
        }
    }
    return NULL;
}

void kith_kad_table_check(const kith_kad_table *t)
{
    size_t count = 0;
    for (unsigned i = 0; i < KITH_KAD_BUCKETS; i++) {
        unsigned here = 0;
        kith_time last = 0;
        KITH_EACH (&t->buckets[i], k) {
            const kith_kad_entry *e = entry_of(k);
            unsigned in_bucket = 0, in_table = 0;
            here++;
            assert(kith_kad_table_bucket(t, &e->key) == i && !kith_peer_id_eq(&e->id, &t->cfg.self));
            assert(e->answered_at >= last && e->addrs_len <= KITH_ADDRS_LEN_MAX);
            last = e->answered_at;
            for (unsigned j = 0; j < KITH_KAD_BUCKETS && e->group; j++) {
                KITH_EACH (&t->buckets[j], o) {
                    in_table += entry_of(o)->group == e->group;
                    in_bucket += j == i && entry_of(o)->group == e->group;
                }
            }
            assert(!t->cfg.group_max || in_table <= t->cfg.group_max);
            assert(!t->cfg.bucket_group_max || in_bucket <= t->cfg.bucket_group_max);
        }
        assert(here == t->counts[i] && here <= t->cfg.k);
        count += here;
    }
    assert(count == t->count);
}
