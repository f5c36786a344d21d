/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Streams that peers ask on. */
#include "mesh/answers.h"

#include <assert.h>

#include "proto/frames.h"

struct kith_answers {
    kith_answers_config cfg;
    size_t count;
};

typedef struct answering {
    kith_answers *all;
    kith_peer_id peer;
    kith_frames in;
    kith_buf out;
    bool eof, failed;
    kith_time limit;
} answering;

kith_answers *kith_answers_new(const kith_answers_config *cfg)
{
    kith_answers *a = KITH_NEW(&cfg->env, kith_answers);
    if (a)
        a->cfg = *cfg;
    return a;
}

void kith_answers_free(kith_answers *a)
{
    if (!a)
        return;
    assert(a->count == 0);
    kith_env env = a->cfg.env;
    KITH_FREE(&env, a);
}

size_t kith_answers_count(const kith_answers *a)
{
    return a->count;
}

void *kith_answers_accept(void *ctx, const kith_stream_info *info)
{
    kith_answers *all = ctx;
    if (all->count >= all->cfg.streams_max)
        return NULL;
    answering *a = KITH_NEW(all->cfg.stream_env, answering);
    if (!a)
        return NULL;
    all->count++;
    *a = (answering){.all = all, .peer = info->peer, .limit = KITH_NEVER};
    kith_frames_init(&a->in, all->cfg.question_max, KITH_ANSWERS_AHEAD);
    kith_buf_init(&a->out, all->cfg.answer_max + 9);
    return a;
}

static void answering_free(void *m)
{
    answering *a = m;
    if (!a)
        return;
    kith_answers *all = a->all;
    kith_frames_fini(&a->in, all->cfg.stream_env);
    kith_buf_fini(&a->out, all->cfg.stream_env);
    KITH_FREE(all->cfg.stream_env, a);
    all->count--;
}

static kith_err fail(answering *a, kith_err e)
{
    a->failed = true;
    a->limit = KITH_NEVER;
    return e;
}

static kith_err answering_recv(void *m, kith_time now, kith_bytes in)
{
    answering *a = m;
    if (a->failed)
        return KITH_ESTATE;
    kith_bytes msg;
    a->limit = kith_time_after(now, KITH_ANSWERS_IDLE);
    kith_err e = kith_frames_put(&a->in, a->all->cfg.stream_env, in);
    if (!e)
        e = kith_frames_first(&a->in, &msg);
    return !e || e == KITH_ESHORT ? KITH_OK : fail(a, e);
}

static void answering_eof(void *m, kith_time now)
{
    answering *a = m;
    (void)now;
    a->eof = true;
}

/* Puts the answer to the first question, if it has one, into the queue. */
static kith_err answer(answering *a, kith_time now, kith_bytes question)
{
    const kith_answers_config *cfg = &a->all->cfg;
    uint8_t *p = kith_mem_new(cfg->stream_env, cfg->answer_max);
    if (!p)
        return KITH_ENOMEM;
    kith_wr w = kith_wr_of(kith_span_of(p, cfg->answer_max));
    kith_err e = cfg->answer(cfg->ctx, now, &a->peer, question, &w);
    if (!e && w.len > 0) {
        uint8_t prefix[9];
        kith_wr head = kith_wr_of(kith_span_of(prefix, sizeof prefix));
        kith_put_uvarint(&head, w.len);
        assert(!w.bad);
        e = kith_buf_put(&a->out, cfg->stream_env, kith_wr_bytes(&head));
        if (!e)
            e = kith_buf_put(&a->out, cfg->stream_env, kith_wr_bytes(&w));
    }
    kith_mem_free(cfg->stream_env, p, cfg->answer_max);
    return e;
}

static size_t answering_send(void *m, kith_time now, kith_span out)
{
    answering *a = m;
    while (!a->failed && a->out.len == 0) {
        kith_bytes question;
        kith_err e = kith_frames_first(&a->in, &question);
        if (e == KITH_ESHORT)
            break;
        if (!e)
            e = answer(a, now, question);
        if (e)
            (void)fail(a, e);
        else
            kith_frames_drop(&a->in, a->all->cfg.stream_env);
    }
    return a->failed ? 0 : kith_buf_take(&a->out, a->all->cfg.stream_env, out);
}

static kith_stream_want answering_want(const void *m)
{
    const answering *a = m;
    kith_bytes question;
    if (a->failed)
        return KITH_STREAM_RESET;
    bool idle = a->out.len == 0 && kith_frames_first(&a->in, &question) == KITH_ESHORT;
    return a->eof && idle ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

static size_t answering_held(const void *m)
{
    return kith_frames_held(&((const answering *)m)->in);
}

static kith_time answering_deadline(const void *m)
{
    return ((const answering *)m)->limit;
}

static void answering_tick(void *m, kith_time now)
{
    answering *a = m;
    if (now >= a->limit)
        (void)fail(a, KITH_ETIMEOUT);
}

static void answering_gone(void *m, kith_time now, kith_err why)
{
    (void)now;
    (void)fail(m, why);
}

const kith_stream_ops kith_answers_ops = {
    .recv = answering_recv,
    .eof = answering_eof,
    .send = answering_send,
    .want = answering_want,
    .held = answering_held,
    .deadline = answering_deadline,
    .tick = answering_tick,
    .gone = answering_gone,
    .free = answering_free,
};
