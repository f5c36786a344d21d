/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A share in memory, and a sharer and a receiver back to back: shared by the unit tests and the fuzz target of the protocol. */
#ifndef KITH_TEST_SHARE_WORLD_H
#define KITH_TEST_SHARE_WORLD_H

#include <assert.h>
#include <stdlib.h>

#include "apps/share_plan.h"
#include "apps/share_rx.h"
#include "apps/share_tx.h"

/* A heap that counts, and fails its nth call, or that one and all after it. */
typedef struct world_heap {
    size_t live, calls, fail_at; /* fail_at 0: never */
    bool from_there_on;
} world_heap;

static inline void *world_heap_fn(void *ctx, void *p, size_t old, size_t size)
{
    world_heap *h = ctx;
    if (size == 0) {
        h->live -= p ? old : 0;
        free(p);
        return NULL;
    }
    h->calls++;
    if (h->fail_at && (h->from_there_on ? h->calls >= h->fail_at : h->calls == h->fail_at))
        return NULL;
    void *q = realloc(p, size);
    assert(q);
    h->live += size - (p ? old : 0);
    return q;
}

static inline void world_rand_fn(void *ctx, kith_span out)
{
    uint64_t *s = ctx;
    for (size_t i = 0; i < out.len; i++) {
        *s = *s * 6364136223846793005u + 1442695040888963407u;
        out.p[i] = (uint8_t)(*s >> 56);
    }
}

static inline uint64_t world_rand(uint64_t *s, uint64_t n)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (*s >> 20) % n;
}

#define WORLD_FILES_MAX 5000

/* What is shared: entries of any kind, content by entry. */
typedef struct world_share {
    kith_entry entries[WORLD_FILES_MAX];
    uint8_t *content[WORLD_FILES_MAX];
    uint8_t *nodes[WORLD_FILES_MAX];
    char names[WORLD_FILES_MAX][16];
    size_t count;
    uint8_t *list, *roots;
    kith_manifest manifest;
    kith_share_source source;
} world_share;

static inline uint8_t *world_tree(const uint8_t *data, uint64_t size)
{
    uint8_t *nodes = malloc(kith_tree_nodes(size) * KITH_BLAKE3_LEN);
    assert(nodes);
    for (size_t l = 0; l < kith_tree_leaves(size); l++) {
        uint64_t from = (uint64_t)l * KITH_TREE_LEAF;
        size_t n = size - from < KITH_TREE_LEAF ? (size_t)(size - from) : KITH_TREE_LEAF;
        kith_tree_leaf(nodes, size, l, kith_bytes_of(data + from, n));
    }
    kith_tree_join(nodes, size);
    return nodes;
}

static inline void world_add(world_share *s, kith_entry_type type, size_t depth, const char *name,
                             uint64_t size)
{
    size_t i = s->count++;
    assert(i < WORLD_FILES_MAX && strlen(name) < sizeof s->names[0]);
    memcpy(s->names[i], name, strlen(name) + 1);
    s->entries[i] = (kith_entry){
        .name = kith_bytes_str(s->names[i]), .type = type, .depth = (uint8_t)depth, .size = size};
    if (type == KITH_ENTRY_LINK) {
        s->entries[i].target = kith_bytes_str("elsewhere");
    } else {
        s->entries[i].mode = 0644;
    }
    if (type != KITH_ENTRY_FILE)
        return;
    s->content[i] = malloc((size_t)size + 1);
    assert(s->content[i]);
    uint64_t x = i * 977 + size;
    for (uint64_t k = 0; k < size; k += 8) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        memcpy(s->content[i] + k, &x, size - k < 8 ? (size_t)(size - k) : 8);
    }
    s->nodes[i] = world_tree(s->content[i], size);
}

/* A file of zeros but for n bytes. */
static inline void world_add_zeros(world_share *s, const char *name, uint64_t size, uint64_t from, size_t n)
{
    world_add(s, KITH_ENTRY_FILE, 0, name, size);
    size_t i = s->count - 1;
    memset(s->content[i], 0, (size_t)from);
    memset(s->content[i] + from + n, 0, (size_t)(size - from) - n);
    free(s->nodes[i]);
    s->nodes[i] = world_tree(s->content[i], size);
}

static inline const uint8_t *world_nodes(const void *ctx, size_t entry)
{
    const world_share *s = ctx;
    return s->nodes[entry];
}

/* Changes a byte. */
static inline void world_change(world_share *s, size_t entry, uint64_t at)
{
    s->content[entry][at] ^= 1;
    free(s->nodes[entry]);
    s->nodes[entry] = world_tree(s->content[entry], s->entries[entry].size);
}

/* Makes the list and the hashes; all of them are known. */
static inline void world_seal(world_share *s, const kith_env *env)
{
    size_t len = 0;
    for (size_t i = 0; i < s->count; i++)
        len += kith_manifest_entry_len(&s->entries[i]);
    s->list = malloc(len + 1);
    s->roots = calloc(s->count, KITH_BLAKE3_LEN);
    assert(s->list && s->roots);
    kith_wr w = kith_wr_of(kith_span_of(s->list, len));
    for (size_t i = 0; i < s->count; i++) {
        kith_manifest_put_entry(&w, &s->entries[i]);
        if (s->nodes[i] && s->entries[i].size > 0)
            memcpy(s->roots + i * KITH_BLAKE3_LEN, s->nodes[i], KITH_BLAKE3_LEN);
    }
    assert(!w.bad && w.len == len);
    kith_manifest_fault fault;
    kith_err e = kith_manifest_parse(env, kith_bytes_of(s->list, len), false, &s->manifest, &fault);
    assert(e == KITH_OK);
    (void)e;
    s->source = (kith_share_source){
        .manifest = &s->manifest,
        .roots = s->roots,
        .known = s->count,
        .nodes = world_nodes,
        .ctx = s,
        .name = kith_bytes_str("ann"),
    };
    kith_blake3_hash(kith_bytes_of(s->list, len), s->source.list_root);
    kith_share_id(s->source.list_root, s->roots, s->count, s->source.id);
}

/* The value of a leaf, as kith_share_older asks for it. */
static inline const uint8_t *world_value(const void *ctx, uint32_t leaf)
{
    const world_share *s = ctx;
    uint64_t offset;
    const size_t e = kith_manifest_leaf(&s->manifest, leaf, &offset);
    const uint64_t size = s->entries[e].size,
                   to = size - offset < KITH_TREE_LEAF ? size : offset + KITH_TREE_LEAF;
    return s->nodes[e] + kith_tree_place(size, offset, to) * KITH_BLAKE3_LEN;
}

static inline void world_share_free(world_share *s, const kith_env *env)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->content[i]);
        free(s->nodes[i]);
    }
    free(s->list);
    free(s->roots);
    kith_manifest_fini(&s->manifest, env);
}

static inline bool world_zero(const uint8_t *p, size_t n)
{
    return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* The sharer's owner: fills a block from memory. */
static inline void world_fill(const world_share *s, kith_share_block *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const kith_share_item *it = &b->items[i];
        if (it->code || it->same)
            continue;
        const uint8_t *from = s->content[it->entry] + it->offset;
        if (world_zero(from, it->len))
            b->items[i].zeros = true;
        else
            memcpy(b->buf + it->at, from, it->len);
    }
}

#endif
