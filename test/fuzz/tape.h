/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A fuzzer's input as a tape of decisions, and an environment whose memory is counted and fails on request. */
#ifndef KITH_FUZZ_TAPE_H
#define KITH_FUZZ_TAPE_H

#include <assert.h>
#include <stdlib.h>

#include "base/env.h"
#include "crypto/crypto.h"

typedef struct tape {
    const uint8_t *p;
    size_t len;
} tape;

/* The next byte; 0 at the end. */
static inline uint8_t tape_u8(tape *t)
{
    if (t->len == 0)
        return 0;
    t->len--;
    return *t->p++;
}

static inline uint32_t tape_u32(tape *t)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 8 | tape_u8(t);
    return v;
}

/* Up to n bytes. */
static inline kith_bytes tape_bytes(tape *t, size_t n)
{
    n = n < t->len ? n : t->len;
    kith_bytes b = kith_bytes_of(t->p, n);
    t->p += n;
    t->len -= n;
    return b;
}

typedef struct tape_env {
    kith_env env;
    size_t held;  /* bytes */
    size_t calls; /* allocations until one fails; 0: none does */
    uint64_t seed;
} tape_env;

static inline void *tape_alloc(void *ctx, void *p, size_t old, size_t size)
{
    tape_env *e = ctx;
    if (size > 0 && e->calls > 0 && --e->calls == 0)
        return NULL;
    e->held = e->held - (p ? old : 0) + size;
    return kith_heap(NULL, p, old, size);
}

static inline void tape_rand(void *ctx, kith_span out)
{
    tape_env *e = ctx;
    for (size_t i = 0; i < out.len; i++) {
        e->seed = e->seed * 6364136223846793005u + 1442695040888963407u;
        out.p[i] = (uint8_t)(e->seed >> 56);
    }
}

/* calls: the allocation that fails, from 1. */
static inline const kith_env *tape_env_init(tape_env *e, size_t calls)
{
    *e = (tape_env){.calls = calls};
    e->env = (kith_env){.alloc = {.ctx = e, .fn = tape_alloc}, .rand = {.ctx = e, .fn = tape_rand}};
    return &e->env;
}

#endif
