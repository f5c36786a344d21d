/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A hash map from 64-bit keys to pointers. Open addressing; never iterated where order reaches the wire, so it cannot be iterated
 * at all: keep a kith_list beside it. Keys made from a peer's bytes go through kith_hash with a secret seed first. */
#ifndef KITH_BASE_MAP_H
#define KITH_BASE_MAP_H

#include "base/env.h"
#include "base/err.h"

typedef struct kith_map_slot {
    uint64_t key;
    void *value; /* NULL: free */
} kith_map_slot;

typedef struct kith_map {
    kith_map_slot *slots;
    size_t cap; /* 0 or a power of two */
    size_t len;
} kith_map;

void kith_map_fini(kith_map *m, const kith_env *env);
/* NULL when absent. */
void *kith_map_get(const kith_map *m, uint64_t key);
/* Inserts or replaces; value is not NULL. KITH_ENOMEM: nothing has changed; replacing cannot fail. Memory is kept until fini. */
KITH_CHECK kith_err kith_map_put(kith_map *m, const kith_env *env, uint64_t key, void *value);
/* Changes the value of a key that is there; returns the old one. */
void *kith_map_replace(kith_map *m, uint64_t key, void *value);
/* Returns what was removed, or NULL. */
void *kith_map_remove(kith_map *m, uint64_t key);

/* SipHash-2-4 of in under a 128-bit secret: tables that a peer's bytes index into cannot be made to collide. */
uint64_t kith_hash(const uint64_t seed[2], kith_bytes in);

#endif
