/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* perf: the client says how much it wants, uploads, half-closes; the server counts, then sends that much.
 *
 * The payload is zeros, written into the output buffer where yamux frames and Noise encrypts it. It has to
 * be written: what lies in that buffer is an earlier record, perhaps of another stream. A memset runs an
 * order of magnitude faster than the cipher, and the lines that it brings into the cache are the ones that
 * the cipher reads next. */
#include "proto/perf.h"

#include <assert.h>

#define HEAD_LEN 8 /* how much to send back, big-endian */

typedef enum perf_state {
    UPLOADING,   /* client: head and upload go out; server: they come in */
    DOWNLOADING, /* the client has half-closed */
    DONE,
    FAILED,
} perf_state;

struct kith_perf {
    const kith_env *env;
    bool server;
    perf_state state;
    kith_err err;
    uint8_t head[HEAD_LEN];
    uint8_t head_len;          /* bytes of it that were sent, or received */
    uint64_t upload, download; /* asked for; the server's upload is not known before its end */
    uint64_t up, down;         /* so far */
    kith_time started, answered, ended;
    bool running; /* started is set */
    bool answer;  /* answered is set */
};

static kith_perf *perf_new(const kith_env *env, bool server)
{
    kith_perf *p = KITH_NEW(env, kith_perf);
    if (!p)
        return NULL;
    p->env = env;
    p->server = server;
    return p;
}

kith_perf *kith_perf_client(const kith_env *env, uint64_t upload, uint64_t download)
{
    kith_perf *p = perf_new(env, false);
    if (!p)
        return NULL;
    p->upload = upload;
    p->download = download;
    kith_store_be64(p->head, download);
    return p;
}

kith_perf *kith_perf_server(const kith_env *env)
{
    return perf_new(env, true);
}

static void perf_free(void *m)
{
    kith_perf *p = m;
    if (p)
        KITH_FREE(p->env, p);
}

static kith_err fail(kith_perf *p, kith_err err)
{
    p->state = FAILED;
    p->err = err;
    return err;
}

void kith_perf_progress(const kith_perf *p, uint64_t *sent, uint64_t *received)
{
    *sent = p->server ? p->down : p->up;
    *received = p->server ? p->up : p->down;
}

kith_err kith_perf_result_get(const kith_perf *p, kith_perf_result *out)
{
    switch (p->state) {
    case UPLOADING:
    case DOWNLOADING:
        return KITH_ESTATE;
    case FAILED:
        return p->err;
    case DONE:
        break;
    }
    *out = (kith_perf_result){
        .upload_bytes = p->up,
        .download_bytes = p->down,
        .upload_time = p->answered - p->started,
        .download_time = p->ended - p->answered,
    };
    return KITH_OK;
}

static void mark_answer(kith_perf *p, kith_time now)
{
    if (!p->answer) {
        p->answer = true;
        p->answered = p->ended = now;
    }
}

static kith_err perf_recv(void *m, kith_time now, kith_bytes in)
{
    kith_perf *p = m;
    if (p->state == FAILED)
        return KITH_ESTATE;
    if (in.len == 0)
        return KITH_OK;
    if (p->server) {
        if (p->state != UPLOADING)
            return fail(p, KITH_EPROTO);
        if (!p->running) {
            p->running = true;
            p->started = now;
        }
        for (; p->head_len < HEAD_LEN && in.len > 0; in = kith_bytes_skip(in, 1))
            p->head[p->head_len++] = in.p[0];
        p->up += in.len;
        return KITH_OK;
    }
    /* No answer may come before our half-close, and not more than was asked for. */
    if (p->state != DOWNLOADING || in.len > p->download - p->down)
        return fail(p, KITH_EPROTO);
    mark_answer(p, now);
    p->ended = now;
    p->down += in.len;
    return KITH_OK;
}

static void perf_eof(void *m, kith_time now)
{
    kith_perf *p = m;
    if (p->state == FAILED)
        return;
    if (p->server) {
        if (p->head_len < HEAD_LEN) {
            (void)fail(p, KITH_EPROTO);
            return;
        }
        p->download = kith_load_be64(p->head);
        mark_answer(p, now);
        p->state = p->download > 0 ? DOWNLOADING : DONE;
        return;
    }
    if (p->state != DOWNLOADING || p->down < p->download) {
        (void)fail(p, KITH_EPROTO);
        return;
    }
    mark_answer(p, now);
    p->state = DONE;
}

/* Hands over up to n of what is left of a run of zeros. */
static size_t zeros(uint64_t total, uint64_t *done, kith_span out)
{
    size_t n = total - *done < out.len ? (size_t)(total - *done) : out.len;
    if (n > 0)
        memset(out.p, 0, n);
    *done += n;
    return n;
}

static size_t perf_send(void *m, kith_time now, kith_span out)
{
    kith_perf *p = m;
    if (p->server) {
        if (p->state != DOWNLOADING)
            return 0;
        size_t n = zeros(p->download, &p->down, out);
        p->ended = now;
        if (p->down == p->download)
            p->state = DONE;
        return n;
    }
    if (p->state != UPLOADING)
        return 0;
    if (!p->running) {
        p->running = true;
        p->started = now;
    }
    size_t n = 0;
    for (; p->head_len < HEAD_LEN && n < out.len; n++)
        out.p[n] = p->head[p->head_len++];
    n += zeros(p->upload, &p->up, kith_span_skip(out, n));
    if (p->head_len == HEAD_LEN && p->up == p->upload)
        p->state = DOWNLOADING;
    return n;
}

static kith_stream_want perf_want(const void *m)
{
    const kith_perf *p = m;
    switch (p->state) {
    case UPLOADING:
        return KITH_STREAM_OPEN;
    case DOWNLOADING:
        return p->server ? KITH_STREAM_OPEN : KITH_STREAM_FIN;
    case DONE:
        return KITH_STREAM_FIN;
    case FAILED:
        return KITH_STREAM_RESET;
    }
    return KITH_STREAM_RESET;
}

static void perf_gone(void *m, kith_time now, kith_err why)
{
    kith_perf *p = m;
    (void)now;
    if (p->state == UPLOADING || p->state == DOWNLOADING)
        (void)fail(p, why ? why : KITH_ECLOSED);
}

/* The result is there, one way or the other. */
static bool perf_pending(const void *m)
{
    const kith_perf *p = m;
    return p->state == DONE || p->state == FAILED;
}

const kith_stream_ops kith_perf_ops = {
    .recv = perf_recv,
    .eof = perf_eof,
    .send = perf_send,
    .want = perf_want,
    .gone = perf_gone,
    .pending = perf_pending,
    .free = perf_free,
};
