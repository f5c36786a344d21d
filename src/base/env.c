/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Helpers over the injected leaves. */
#include "base/env.h"

#include <assert.h>

void *kith_mem_new(const kith_env *env, size_t n)
{
    assert(n > 0);
    void *p = env->alloc.fn(env->alloc.ctx, NULL, 0, n);
    if (p)
        memset(p, 0, n);
    return p;
}

void *kith_mem_resize(const kith_env *env, void *p, size_t old, size_t n)
{
    assert(n > 0);
    return env->alloc.fn(env->alloc.ctx, p, old, n);
}

void kith_mem_free(const kith_env *env, void *p, size_t n)
{
    if (p)
        (void)env->alloc.fn(env->alloc.ctx, p, n, 0);
}

void kith_rand_fill(const kith_env *env, kith_span out)
{
    env->rand.fn(env->rand.ctx, out);
}

uint64_t kith_rand_u64(const kith_env *env)
{
    uint8_t b[8];
    kith_rand_fill(env, kith_span_of(b, sizeof b));
    return kith_load_le64(b);
}

uint64_t kith_rand_below(const kith_env *env, uint64_t n)
{
    assert(n > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % n; /* a multiple of n: no modulo bias below it */
    uint64_t v;
    do
        v = kith_rand_u64(env);
    while (v >= limit);
    return v % n;
}

void kith_trace_line(const kith_env *env, const char *area, const char *text)
{
    if (env->trace.fn)
        env->trace.fn(env->trace.ctx, area, text);
}
