/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The capped byte queue. */
#include "base/buf.h"

#include <assert.h>

void kith_buf_init(kith_buf *b, size_t max)
{
    *b = (kith_buf){.max = max};
}

void kith_buf_fini(kith_buf *b, const kith_env *env)
{
    kith_mem_free(env, b->p, b->cap);
    *b = (kith_buf){.max = b->max};
}

/* Doubles the block until `need` bytes fit, but not beyond a quarter above the cap: that slack lets a full queue go on without moving. */
static kith_err grow(kith_buf *b, const kith_env *env, size_t need)
{
    size_t slack = b->max / 4;
    size_t limit = slack < SIZE_MAX - b->max ? b->max + slack : SIZE_MAX;
    size_t cap = b->cap < 32 ? 32 : b->cap;
    do
        cap = cap < limit / 2 ? cap * 2 : limit;
    while (cap < need);
    uint8_t *p = kith_mem_resize(env, b->p, b->cap, cap);
    if (!p)
        return KITH_ENOMEM;
    b->p = p;
    b->cap = cap;
    return KITH_OK;
}

kith_err kith_buf_room(kith_buf *b, const kith_env *env, size_t n, kith_span *out)
{
    if (n > b->max - b->len)
        return KITH_ELIMIT;
    size_t need = b->len + n;
    if (n > b->cap - b->off - b->len) {
        /* What is queued moves to the front once an eighth of the block was consumed; before, the block grows. So a byte that passes
         * through moves others eight times at most, however full the queue is and however small the pieces. */
        if (need > b->cap || b->off < b->cap / 8) {
            kith_err e = grow(b, env, need);
            if (e && need > b->cap)
                return e;
        }
        if (b->off > 0) {
            memmove(b->p, b->p + b->off, b->len);
            b->off = 0;
        }
    }
    *out = n == 0 ? (kith_span){0} : kith_span_of(b->p + b->off + b->len, n);
    return KITH_OK;
}

void kith_buf_add(kith_buf *b, size_t n)
{
    assert(n <= b->cap - b->off - b->len);
    b->len += n;
}

kith_err kith_buf_put(kith_buf *b, const kith_env *env, kith_bytes in)
{
    kith_span room;
    kith_err e = kith_buf_room(b, env, in.len, &room);
    if (e || in.len == 0)
        return e;
    memcpy(room.p, in.p, in.len);
    b->len += in.len;
    return KITH_OK;
}

kith_bytes kith_buf_view(const kith_buf *b)
{
    return b->len == 0 ? (kith_bytes){0} : kith_bytes_of(b->p + b->off, b->len);
}

kith_span kith_buf_span(kith_buf *b)
{
    return b->len == 0 ? (kith_span){0} : kith_span_of(b->p + b->off, b->len);
}

void kith_buf_drop(kith_buf *b, const kith_env *env, size_t n)
{
    assert(n <= b->len);
    b->off += n;
    b->len -= n;
    if (b->len == 0)
        kith_buf_fini(b, env);
}

size_t kith_buf_take(kith_buf *b, const kith_env *env, kith_span out)
{
    size_t n = b->len < out.len ? b->len : out.len;
    if (n == 0)
        return 0;
    memcpy(out.p, b->p + b->off, n);
    kith_buf_drop(b, env, n);
    return n;
}
