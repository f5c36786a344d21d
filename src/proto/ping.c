/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Both sides of ping: one asks with 32 random bytes and wants exactly them back, the other echoes whole
 * pings. */
#include "proto/ping.h"

#include <assert.h>

#include "base/buf.h"

struct kith_ping {
    const kith_env *env;
    bool responder;
    bool closing; /* we were told to close */
    bool eof;     /* the peer has */
    bool failed;
    /* asker */
    bool under_way;
    bool told;         /* ev waits to be taken */
    uint8_t sent, got; /* bytes of data handed over, and echoed */
    uint8_t data[KITH_PING_LEN];
    kith_time sent_at;
    kith_ping_event ev;
    /* responder */
    kith_buf buf;
    size_t echo;     /* bytes of buf that belong to whole pings */
    kith_time limit; /* of the answer that is awaited; responder: of silence */
};

kith_ping *kith_ping_new(const kith_env *env)
{
    kith_ping *p = KITH_NEW(env, kith_ping);
    if (!p)
        return NULL;
    p->env = env;
    p->limit = KITH_NEVER;
    kith_buf_init(&p->buf, KITH_PING_LEN * KITH_PING_QUEUE);
    return p;
}

kith_ping *kith_ping_new_responder(const kith_env *env)
{
    kith_ping *p = kith_ping_new(env);
    if (p)
        p->responder = true;
    return p;
}

static void ping_free(void *m)
{
    kith_ping *p = m;
    if (!p)
        return;
    kith_buf_fini(&p->buf, p->env);
    KITH_FREE(p->env, p);
}

static kith_err fail(kith_ping *p, kith_err err, const char *why)
{
    p->failed = true;
    p->under_way = false;
    p->limit = KITH_NEVER;
    p->echo = 0;
    kith_buf_fini(&p->buf, p->env);
    if (!p->responder) {
        p->told = true;
        p->ev = (kith_ping_event){.kind = KITH_PING_FAILED, .err = err, .why = why};
    }
    return err;
}

kith_err kith_ping_start(kith_ping *p, kith_time now)
{
    if (p->responder || p->under_way || p->told || p->closing || p->eof || p->failed)
        return KITH_ESTATE;
    kith_rand_fill(p->env, kith_span_of(p->data, sizeof p->data));
    p->sent = p->got = 0;
    p->under_way = true;
    p->limit = now + KITH_PING_TIMEOUT;
    return KITH_OK;
}

void kith_ping_close(kith_ping *p)
{
    p->closing = true;
}

bool kith_ping_next(kith_ping *p, kith_ping_event *ev)
{
    if (!p->told)
        return false;
    p->told = false;
    *ev = p->ev;
    return true;
}

static kith_err on_echo(kith_ping *p, kith_time now, kith_bytes in)
{
    if (!p->under_way || in.len > (size_t)(p->sent - p->got))
        return fail(p, KITH_EPROTO, "an answer to nothing that was asked");
    if (memcmp(p->data + p->got, in.p, in.len) != 0)
        return fail(p, KITH_EPROTO, "the echo differs from the ping");
    p->got = (uint8_t)(p->got + in.len);
    if (p->got < KITH_PING_LEN)
        return KITH_OK;
    p->under_way = false;
    p->limit = KITH_NEVER;
    p->told = true;
    p->ev = (kith_ping_event){.kind = KITH_PING_RTT, .rtt = now - p->sent_at};
    return KITH_OK;
}

static kith_err on_ping(kith_ping *p, kith_time now, kith_bytes in)
{
    kith_err e = kith_buf_put(&p->buf, p->env, in);
    if (e)
        return fail(p, e, "too many pings at once");
    size_t tail = p->buf.len - p->echo; /* what was left of earlier pings may itself be half echoed */
    p->echo += tail - tail % KITH_PING_LEN;
    p->limit = now + KITH_PING_IDLE;
    return KITH_OK;
}

static kith_err ping_recv(void *m, kith_time now, kith_bytes in)
{
    kith_ping *p = m;
    if (p->failed)
        return KITH_ESTATE;
    if (in.len == 0)
        return KITH_OK;
    return p->responder ? on_ping(p, now, in) : on_echo(p, now, in);
}

static void ping_eof(void *m, kith_time now)
{
    kith_ping *p = m;
    (void)now;
    p->eof = true;
    if (p->under_way)
        (void)fail(p, KITH_ECLOSED, "the peer closed the stream before it answered");
}

static size_t ping_send(void *m, kith_time now, kith_span out)
{
    kith_ping *p = m;
    if (p->responder) {
        size_t n = p->echo < out.len ? p->echo : out.len;
        if (n == 0)
            return 0;
        n = kith_buf_take(&p->buf, p->env, kith_span_of(out.p, n));
        p->echo -= n;
        return n;
    }
    size_t left = p->under_way ? (size_t)(KITH_PING_LEN - p->sent) : 0;
    size_t n = left < out.len ? left : out.len;
    if (n == 0)
        return 0;
    memcpy(out.p, p->data + p->sent, n);
    p->sent = (uint8_t)(p->sent + n);
    p->sent_at = now;
    return n;
}

static kith_stream_want ping_want(const void *m)
{
    const kith_ping *p = m;
    if (p->failed)
        return KITH_STREAM_RESET;
    if (p->responder)
        return p->eof && p->echo == 0 ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
    return !p->under_way && (p->closing || p->eof) ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

static size_t ping_held(const void *m)
{
    return ((const kith_ping *)m)->buf.len;
}

static kith_time ping_deadline(const void *m)
{
    return ((const kith_ping *)m)->limit;
}

static void ping_tick(void *m, kith_time now)
{
    kith_ping *p = m;
    if (now >= p->limit)
        (void)fail(p, KITH_ETIMEOUT, "no answer in time");
}

static void ping_gone(void *m, kith_time now, kith_err why)
{
    kith_ping *p = m;
    (void)now;
    if (p->under_way)
        (void)fail(p, why ? why : KITH_ECLOSED, "the stream ended before the answer");
    p->failed = true; /* start says KITH_ESTATE from now on */
    p->limit = KITH_NEVER;
}

static bool ping_pending(const void *m)
{
    return ((const kith_ping *)m)->told;
}

const kith_stream_ops kith_ping_ops = {
    .recv = ping_recv,
    .eof = ping_eof,
    .send = ping_send,
    .want = ping_want,
    .held = ping_held,
    .deadline = ping_deadline,
    .tick = ping_tick,
    .gone = ping_gone,
    .pending = ping_pending,
    .free = ping_free,
};
