/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The pipe machine: two queues. */
#include "apps/pipe.h"

#include <assert.h>

#include "base/buf.h"
#include "base/list.h"

/* What came is kept in blocks: one growing buffer would hold twice a full window while it is moved. */
#define BLOCK_LEN (64u * 1024 - 64)

typedef struct block {
    kith_link link;
    size_t off, len; /* used up from the front, filled from off */
    uint8_t bytes[BLOCK_LEN];
} block;

struct kith_pipe {
    const kith_env *env;
    kith_list in; /* of blocks, none empty */
    size_t in_len;
    kith_buf out;
    unsigned holds;
    bool finished, eof, gone, news;
    kith_err err;
};

kith_pipe *kith_pipe_new(const kith_env *env)
{
    kith_pipe *p = KITH_NEW(env, kith_pipe);
    if (!p)
        return NULL;
    p->env = env;
    p->holds = 2;
    kith_list_init(&p->in);
    kith_buf_init(&p->out, KITH_PIPE_OUT_MAX);
    return p;
}

void kith_pipe_free(kith_pipe *p)
{
    if (!p || --p->holds > 0)
        return;
    KITH_EACH (&p->in, k)
        KITH_FREE(p->env, KITH_OF(k, block, link));
    kith_buf_fini(&p->out, p->env);
    KITH_FREE(p->env, p);
}

void kith_pipe_hold(kith_pipe *p)
{
    p->holds++;
}

size_t kith_pipe_room(const kith_pipe *p)
{
    return p->finished || p->gone ? 0 : KITH_PIPE_OUT_MAX - p->out.len;
}

kith_err kith_pipe_put(kith_pipe *p, kith_bytes in)
{
    assert(in.len <= kith_pipe_room(p));
    return kith_buf_put(&p->out, p->env, in);
}

size_t kith_pipe_waiting(const kith_pipe *p)
{
    return p->out.len;
}

void kith_pipe_finish(kith_pipe *p)
{
    p->finished = true;
}

kith_bytes kith_pipe_view(const kith_pipe *p)
{
    kith_link *k = kith_list_first(&p->in);
    const block *b = k ? KITH_OF(k, block, link) : NULL;
    return b ? kith_bytes_of(b->bytes + b->off, b->len) : (kith_bytes){0};
}

void kith_pipe_used(kith_pipe *p, size_t n)
{
    assert(n <= p->in_len);
    p->in_len -= n;
    while (n > 0) {
        block *b = KITH_OF(kith_list_first(&p->in), block, link);
        size_t k = n < b->len ? n : b->len;
        b->off += k;
        b->len -= k;
        n -= k;
        if (b->len == 0) {
            kith_link_remove(&b->link);
            KITH_FREE(p->env, b);
        }
    }
}

bool kith_pipe_ended(const kith_pipe *p)
{
    return p->eof && p->in_len == 0;
}

bool kith_pipe_gone(const kith_pipe *p, kith_err *err)
{
    *err = p->err;
    return p->gone;
}

void kith_pipe_seen(kith_pipe *p)
{
    p->news = false;
}

/* The last block if it has room, else a new one behind it. NULL: no memory. */
static block *block_with_room(kith_pipe *p)
{
    if (!kith_list_empty(&p->in)) {
        block *last = KITH_OF(kith_list_last(&p->in), block, link);
        if (last->off + last->len < BLOCK_LEN)
            return last;
    }
    /* not zeroed: it is written at once */
    block *b = p->env->alloc.fn(p->env->alloc.ctx, NULL, 0, sizeof *b);
    if (!b)
        return NULL;
    b->link = (kith_link){0};
    b->off = b->len = 0;
    kith_list_push(&p->in, &b->link);
    return b;
}

static kith_err on_recv(void *m, kith_time now, kith_bytes in)
{
    (void)now;
    kith_pipe *p = m;
    p->news = true;
    while (in.len > 0) {
        block *b = block_with_room(p);
        if (!b)
            return KITH_ENOMEM; /* the stream is reset */
        size_t room = BLOCK_LEN - b->off - b->len, k = in.len < room ? in.len : room;
        memcpy(b->bytes + b->off + b->len, in.p, k);
        b->len += k;
        p->in_len += k;
        in = kith_bytes_skip(in, k);
    }
    return KITH_OK;
}

static void on_eof(void *m, kith_time now)
{
    (void)now;
    kith_pipe *p = m;
    p->eof = p->news = true;
}

static size_t on_send(void *m, kith_time now, kith_span out)
{
    (void)now;
    kith_pipe *p = m;
    size_t n = kith_buf_take(&p->out, p->env, out);
    p->news |= n > 0; /* there is room again */
    return n;
}

static kith_stream_want on_want(const void *m)
{
    const kith_pipe *p = m;
    return p->finished && p->out.len == 0 ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

static size_t on_held(const void *m)
{
    return ((const kith_pipe *)m)->in_len;
}

static void on_gone(void *m, kith_time now, kith_err why)
{
    (void)now;
    kith_pipe *p = m;
    p->gone = p->news = true;
    p->err = why;
    p->eof |= why == KITH_OK;
}

static bool on_pending(const void *m)
{
    return ((const kith_pipe *)m)->news;
}

static void on_free(void *m)
{
    kith_pipe_free(m);
}

const kith_stream_ops kith_pipe_ops = {
    .recv = on_recv,
    .eof = on_eof,
    .send = on_send,
    .want = on_want,
    .held = on_held,
    .gone = on_gone,
    .pending = on_pending,
    .free = on_free,
};
