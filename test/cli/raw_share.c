/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "cli/raw_share.h"

#include <stdlib.h>

#include "wire/pb.h"

raw_share *raw_share_new(void)
{
    raw_share *x = calloc(1, sizeof *x);
    if (!x)
        abort();
    return x;
}

void raw_put(raw_share *x, const void *p, size_t n)
{
    if (x->out_cap - x->out_len < n) {
        x->out_cap = (x->out_len + n) * 2;
        x->out = realloc(x->out, x->out_cap);
        if (!x->out)
            abort();
    }
    memcpy(x->out + x->out_len, p, n);
    x->out_len += n;
}

void raw_say_body(raw_share *x, const kith_share_msg *m, kith_bytes body)
{
    uint8_t buf[KITH_SHARE_HEAD_MAX + 16];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_share_msg_put(&w, m);
    raw_put(x, buf, w.len);
    if (body.len > 0)
        raw_put(x, body.p, body.len);
}

void raw_say(raw_share *x, const kith_share_msg *m)
{
    raw_say_body(x, m, (kith_bytes){0});
}

void raw_head(raw_share *x, kith_bytes head)
{
    uint8_t len[16];
    kith_wr w = kith_wr_of(kith_span_of(len, sizeof len));
    kith_put_uvarint(&w, head.len);
    raw_put(x, len, w.len);
    raw_put(x, head.p, head.len);
}

void raw_message(raw_share *x, uint32_t kind, kith_bytes inner, uint64_t body)
{
    uint8_t buf[2 * KITH_SHARE_HEAD_MAX];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    if (body > 0)
        kith_pb_put_num(&w, 1, body);
    kith_pb_put_bytes(&w, kind, inner);
    if (w.bad)
        abort();
    raw_head(x, kith_wr_bytes(&w));
}

static kith_err raw_recv(void *m, kith_time now, kith_bytes in)
{
    raw_share *x = m;
    (void)now;
    if (x->deaf) {
        x->kept += in.len;
        return KITH_OK;
    }
    while (in.len > 0) {
        kith_bytes head;
        bool bad;
        if (x->skip > 0) {
            size_t n = x->skip < in.len ? (size_t)x->skip : in.len;
            if (x->body)
                x->body(x, kith_bytes_of(in.p, n));
            x->skip -= n;
            in = kith_bytes_skip(in, n);
            continue;
        }
        if (!kith_share_read_head(&x->reader, &in, &head, &bad))
            return bad ? KITH_EPROTO : KITH_OK;
        kith_share_msg msg;
        if (kith_share_msg_parse(head, &msg))
            msg = (kith_share_msg){0};
        x->skip = msg.body;
        x->on(x, &msg);
    }
    return KITH_OK;
}

static void raw_eof(void *m, kith_time now)
{
    raw_share *x = m;
    (void)now;
    x->eof = true;
    if (x->over)
        x->over(x);
}

static size_t raw_send(void *m, kith_time now, kith_span out)
{
    raw_share *x = m;
    size_t left = x->out_len - x->out_at, n = left < out.len ? left : out.len;
    (void)now;
    if (n > 0)
        memcpy(out.p, x->out + x->out_at, n);
    x->out_at += n;
    if (x->out_at == x->out_len)
        x->out_at = x->out_len = 0;
    return n;
}

static kith_stream_want raw_want(const void *m)
{
    const raw_share *x = m;
    if (x->out_at < x->out_len)
        return KITH_STREAM_OPEN;
    return x->reset ? KITH_STREAM_RESET : x->fin || x->eof ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

static size_t raw_held(const void *m)
{
    return ((const raw_share *)m)->kept;
}

static void raw_gone(void *m, kith_time now, kith_err why)
{
    raw_share *x = m;
    (void)now, (void)why;
    x->gone = true;
    if (x->over)
        x->over(x);
}

static void raw_free(void *m)
{
    raw_share *x = m;
    free(x->out);
    free(x);
}

const kith_stream_ops raw_share_ops = {
    .recv = raw_recv,
    .eof = raw_eof,
    .send = raw_send,
    .want = raw_want,
    .held = raw_held,
    .gone = raw_gone,
    .free = raw_free,
};
