/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Varint-framed messages. */
#include "proto/frames.h"

#include <assert.h>

#define PREFIX_MAX 9 /* multiformats unsigned-varint */

void kith_frames_init(kith_frames *f, size_t msg_max, size_t ahead_max)
{
    kith_buf_init(&f->buf, msg_max + ahead_max + PREFIX_MAX);
    f->msg_max = msg_max;
}

void kith_frames_fini(kith_frames *f, const kith_env *env)
{
    kith_buf_fini(&f->buf, env);
}

kith_err kith_frames_put(kith_frames *f, const kith_env *env, kith_bytes in)
{
    return kith_buf_put(&f->buf, env, in);
}

/* Bytes of the length at the front of in; 0: its end is not there yet. */
static size_t prefix_len(kith_bytes in)
{
    for (size_t i = 0; i < in.len && i < PREFIX_MAX; i++) {
        if (!(in.p[i] & 0x80))
            return i + 1;
    }
    return 0;
}

kith_err kith_frames_first(const kith_frames *f, kith_bytes *msg)
{
    kith_bytes in = kith_buf_view(&f->buf);
    size_t prefix = prefix_len(in);
    if (prefix == 0) /* a length that takes more bytes than the greatest one is too great */
        return in.len < kith_uvarint_len(f->msg_max) ? KITH_ESHORT : KITH_ELIMIT;
    kith_rd r = kith_rd_of(kith_bytes_of(in.p, prefix));
    uint64_t len = kith_get_uvarint(&r);
    if (r.bad)
        return KITH_EPROTO;
    if (len > f->msg_max)
        return KITH_ELIMIT;
    if (len > in.len - prefix)
        return KITH_ESHORT;
    *msg = kith_bytes_of(in.p + prefix, (size_t)len);
    return KITH_OK;
}

void kith_frames_drop(kith_frames *f, const kith_env *env)
{
    kith_bytes msg;
    kith_err e = kith_frames_first(f, &msg);
    assert(!e);
    (void)e;
    kith_buf_drop(&f->buf, env, kith_uvarint_len(msg.len) + msg.len);
}

size_t kith_frames_held(const kith_frames *f)
{
    return f->buf.len;
}
