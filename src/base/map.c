/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The hash map, with backward-shift deletion, and the hash for keys that strangers choose. */
#include "base/map.h"

#include <assert.h>

void kith_map_fini(kith_map *m, const kith_env *env)
{
    kith_mem_free(env, m->slots, m->cap * sizeof *m->slots);
    *m = (kith_map){0};
}

/* Finaliser of MurmurHash3: spreads keys that are small integers. */
static size_t slot_of(const kith_map *m, uint64_t k)
{
    k ^= k >> 33;
    k *= 0xff51afd7ed558ccdu;
    k ^= k >> 33;
    k *= 0xc4ceb9fe1a85ec53u;
    k ^= k >> 33;
    return (size_t)k & (m->cap - 1);
}

/* The key's slot, or the free one where it would go; m has a free one. */
static kith_map_slot *find(const kith_map *m, uint64_t key)
{
    size_t i = slot_of(m, key);
    while (m->slots[i].value && m->slots[i].key != key)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

void *kith_map_get(const kith_map *m, uint64_t key)
{
    return m->cap ? find(m, key)->value : NULL;
}

static kith_err grow(kith_map *m, const kith_env *env)
{
    kith_map grown = {.cap = m->cap ? m->cap * 2 : 8, .len = m->len};
    grown.slots = kith_mem_new(env, grown.cap * sizeof *grown.slots);
    if (!grown.slots)
        return KITH_ENOMEM;
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].value)
            *find(&grown, m->slots[i].key) = m->slots[i];
    }
    kith_map_fini(m, env);
    *m = grown;
    return KITH_OK;
}

kith_err kith_map_put(kith_map *m, const kith_env *env, uint64_t key, void *value)
{
    assert(value);
    kith_map_slot *at = m->cap ? find(m, key) : NULL;
    if (!at || (!at->value && m->len >= m->cap / 4 * 3)) {
        kith_err e = grow(m, env);
        if (e)
            return e;
        at = find(m, key);
    }
    if (!at->value)
        m->len++;
    *at = (kith_map_slot){.key = key, .value = value};
    return KITH_OK;
}

void *kith_map_replace(kith_map *m, uint64_t key, void *value)
{
    kith_map_slot *at = find(m, key);
    void *old = at->value;
    assert(old && value);
    at->value = value;
    return old;
}

void *kith_map_remove(kith_map *m, uint64_t key)
{
    if (m->cap == 0)
        return NULL;
    size_t mask = m->cap - 1;
    size_t i = (size_t)(find(m, key) - m->slots);
    void *value = m->slots[i].value;
    if (!value)
        return NULL;
    m->len--;
    /* Close the gap: move back every follower whose home slot lies at or before it. */
    for (size_t j = (i + 1) & mask; m->slots[j].value; j = (j + 1) & mask) {
        size_t home = slot_of(m, m->slots[j].key);
        if (((j - home) & mask) >= ((j - i) & mask)) {
            m->slots[i] = m->slots[j];
            i = j;
        }
    }
    m->slots[i] = (kith_map_slot){0};
    return value;
}

static uint64_t rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t kith_hash(const uint64_t seed[2], kith_bytes in)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                     seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)in.len << 56;
    for (; in.len >= 8; in = kith_bytes_skip(in, 8)) {
        uint64_t m = kith_load_le64(in.p);
        v[3] ^= m;
        sip_round(v);
        sip_round(v);
        v[0] ^= m;
    }
    for (size_t i = 0; i < in.len; i++)
        last |= (uint64_t)in.p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
