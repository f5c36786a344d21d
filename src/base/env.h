/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The leaves that a caller injects into the core: memory, randomness, trace. And time, which is an argument. */
#ifndef KITH_BASE_ENV_H
#define KITH_BASE_ENV_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* Monotonic nanoseconds since an arbitrary start. Wall-clock time is a separate argument where one is needed. */
typedef uint64_t kith_time;

#define KITH_NEVER UINT64_MAX /* a deadline that does not come */
#define KITH_US(n) (1000u * (kith_time)(n))
#define KITH_MS(n) (1000000u * (kith_time)(n))
#define KITH_SEC(n) (1000000000u * (kith_time)(n))

/* t + by, and never when by is. */
static inline kith_time kith_time_after(kith_time t, kith_time by)
{
    return by > KITH_NEVER - t ? KITH_NEVER : t + by;
}

static inline kith_time kith_time_min(kith_time a, kith_time b)
{
    return a < b ? a : b;
}

/* One function for everything, as in Lua: p NULL allocates, size 0 frees, anything else resizes (contents kept up to the smaller
 * size). Returns NULL when size is 0 or memory is out; then a block that was to be resized is untouched. `old` is the size of p's
 * block as it was asked for, so that an allocator can account without headers. */
typedef struct kith_alloc {
    void *ctx;
    void *(*fn)(void *ctx, void *p, size_t old, size_t size);
} kith_alloc;

/* Fills out with random bytes. The operating system's in the host (kith_random_os, crypto/random.h), a seeded stream in the
 * simulator. Never fails: an implementation without entropy must end the process. */
typedef struct kith_rand {
    void *ctx;
    void (*fn)(void *ctx, kith_span out);
} kith_rand;

/* A line for whoever debugs: area is a module's name, text has no newline and no secret. fn may be NULL. */
typedef struct kith_trace {
    void *ctx;
    void (*fn)(void *ctx, const char *area, const char *text);
} kith_trace;

typedef struct kith_env {
    kith_alloc alloc;
    kith_rand rand;
    kith_trace trace;
} kith_env;

/* Zeroed memory of n bytes (n > 0), or NULL. */
void *kith_mem_new(const kith_env *env, size_t n);
/* Resizes; on NULL the old block is untouched. */
void *kith_mem_resize(const kith_env *env, void *p, size_t old, size_t n);
/* p may be NULL. */
void kith_mem_free(const kith_env *env, void *p, size_t n);

/* Type-safe shorthands. */
#define KITH_NEW(env, type) ((type *)kith_mem_new((env), sizeof(type)))
#define KITH_FREE(env, p) kith_mem_free((env), (p), sizeof *(p))

void kith_rand_fill(const kith_env *env, kith_span out);
uint64_t kith_rand_u64(const kith_env *env);
/* Uniform in [0, n), n > 0. */
uint64_t kith_rand_below(const kith_env *env, uint64_t n);

void kith_trace_line(const kith_env *env, const char *area, const char *text);

#endif
