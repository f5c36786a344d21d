/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The pipe machine: two queues. */
#include "apps/pipe.h"

#include <assert.h>

#include "base/buf.h"

#define IN_MAX (64u << 20) /* never reached: the stream's window is smaller */

struct kith_pipe {
    const kith_env *env;
    kith_buf in, out;
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
    kith_buf_init(&p->in, IN_MAX);
    kith_buf_init(&p->out, KITH_PIPE_OUT_MAX);
    return p;
}

void kith_pipe_free(kith_pipe *p)
{
    if (!p || --p->holds > 0)
        return;
    kith_buf_fini(&p->in, p->env);
    kith_buf_fini(&p->out, p->env);
    KITH_FREE(p->env, p);
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

void kith_pipe_finish(kith_pipe *p)
{
    p->finished = true;
}

kith_bytes kith_pipe_view(const kith_pipe *p)
{
    return kith_buf_view(&p->in);
}

void kith_pipe_used(kith_pipe *p, size_t n)
{
    kith_buf_drop(&p->in, p->env, n);
}

bool kith_pipe_ended(const kith_pipe *p)
{
    return p->eof && p->in.len == 0;
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

static kith_err on_recv(void *m, kith_time now, kith_bytes in)
{
    (void)now;
    kith_pipe *p = m;
    p->news = true;
    return kith_buf_put(&p->in, p->env, in);
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
    return ((const kith_pipe *)m)->in.len;
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
