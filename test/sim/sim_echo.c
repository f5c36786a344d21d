/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The echo machine and its caller. */
#include "sim_echo.h"

#include <assert.h>

struct sim_echo {
    const kith_env *env;
    kith_buf buf;
    bool eof;
};

void *sim_echo_accept(void *ctx, const kith_stream_info *info)
{
    (void)info;
    const kith_env *env = ctx;
    sim_echo *e = KITH_NEW(env, sim_echo);
    if (!e)
        return NULL;
    e->env = env;
    kith_buf_init(&e->buf, 64u << 20);
    return e;
}

static kith_err echo_recv(void *m, kith_time now, kith_bytes in)
{
    (void)now;
    sim_echo *e = m;
    return kith_buf_put(&e->buf, e->env, in);
}

static void echo_eof(void *m, kith_time now)
{
    (void)now;
    ((sim_echo *)m)->eof = true;
}

static size_t echo_send(void *m, kith_time now, kith_span out)
{
    (void)now;
    sim_echo *e = m;
    return kith_buf_take(&e->buf, e->env, out);
}

static kith_stream_want echo_want(const void *m)
{
    const sim_echo *e = m;
    return e->eof && e->buf.len == 0 ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

static size_t echo_held(const void *m)
{
    return ((const sim_echo *)m)->buf.len;
}

static void echo_gone(void *m, kith_time now, kith_err why)
{
    (void)m, (void)now, (void)why;
}

static void echo_free(void *m)
{
    sim_echo *e = m;
    const kith_env *env = e->env;
    kith_buf_fini(&e->buf, env);
    KITH_FREE(env, e);
}

const kith_stream_ops sim_echo_ops = {
    .recv = echo_recv,
    .eof = echo_eof,
    .send = echo_send,
    .want = echo_want,
    .held = echo_held,
    .gone = echo_gone,
    .free = echo_free,
};

/* Byte i of the stream. */
static uint8_t byte_at(uint64_t seed, uint64_t i)
{
    uint64_t x = (seed + i / 8) * 0x9e3779b97f4a7c15u;
    x ^= x >> 29;
    return (uint8_t)(x >> (i % 8 * 8));
}

static kith_err caller_recv(void *m, kith_time now, kith_bytes in)
{
    sim_caller *c = m;
    if (c->got == 0)
        c->first_byte = now;
    c->last_byte = now;
    for (size_t i = 0; i < in.len; i++)
        c->wrong |= in.p[i] != byte_at(c->seed, c->got + i);
    c->got += in.len;
    if (c->slow)
        c->uneaten += in.len;
    return c->got > c->total ? KITH_EPROTO : KITH_OK;
}

static void caller_eof(void *m, kith_time now)
{
    (void)now;
    ((sim_caller *)m)->eof = true;
}

static size_t caller_send(void *m, kith_time now, kith_span out)
{
    (void)now;
    sim_caller *c = m;
    uint64_t left = c->total - c->sent;
    size_t n = left < out.len ? (size_t)left : out.len;
    for (size_t i = 0; i < n; i++)
        out.p[i] = byte_at(c->seed, c->sent + i);
    c->sent += n;
    return n;
}

static kith_stream_want caller_want(const void *m)
{
    const sim_caller *c = m;
    return c->sent == c->total ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

static size_t caller_held(const void *m)
{
    return (size_t)((const sim_caller *)m)->uneaten;
}

static void caller_gone(void *m, kith_time now, kith_err why)
{
    (void)now;
    sim_caller *c = m;
    assert(!c->gone);
    c->gone = true;
    c->err = why;
}

static void caller_free(void *m)
{
    (void)m;
}

const kith_stream_ops sim_caller_ops = {
    .recv = caller_recv,
    .eof = caller_eof,
    .send = caller_send,
    .want = caller_want,
    .held = caller_held,
    .gone = caller_gone,
    .free = caller_free,
};

sim_caller *sim_caller_new(const kith_env *env, uint64_t seed, uint64_t total)
{
    sim_caller *c = KITH_NEW(env, sim_caller);
    if (c)
        *c = (sim_caller){.env = env, .seed = seed, .total = total};
    return c;
}

static void caller_own_free(void *m)
{
    sim_caller *c = m;
    KITH_FREE(c->env, c);
}

const kith_stream_ops sim_caller_own_ops = {
    .recv = caller_recv,
    .eof = caller_eof,
    .send = caller_send,
    .want = caller_want,
    .held = caller_held,
    .gone = caller_gone,
    .free = caller_own_free,
};
