/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages of a stream, each behind its length as an unsigned varint, put together from whatever pieces arrive. kad, gossipsub and others
 * frame so; identify, whose messages end with the stream, has its own way.
 *
 * Memory: what has come and was not dropped, at most msg_max + ahead_max + 9 bytes and a quarter more. */
#ifndef KITH_PROTO_FRAMES_H
#define KITH_PROTO_FRAMES_H

#include "base/buf.h"

typedef struct kith_frames {
    kith_buf buf;
    size_t msg_max;
} kith_frames;

/* msg_max: bytes of one message. ahead_max: bytes kept behind the first one while its owner is busy. */
void kith_frames_init(kith_frames *f, size_t msg_max, size_t ahead_max);
void kith_frames_fini(kith_frames *f, const kith_env *env);

/* Takes all of in, or nothing. KITH_ELIMIT: more than may wait. KITH_ENOMEM. */
KITH_CHECK kith_err kith_frames_put(kith_frames *f, const kith_env *env, kith_bytes in);
/* The first message, valid until the next change. KITH_ESHORT: not whole yet. KITH_ELIMIT: it is announced as longer than msg_max.
 * KITH_EPROTO: its length is not a minimal varint. After the last two nothing can follow. */
KITH_CHECK kith_err kith_frames_first(const kith_frames *f, kith_bytes *msg);
/* Drops the first message, which is whole. */
void kith_frames_drop(kith_frames *f, const kith_env *env);
/* Bytes that wait. */
size_t kith_frames_held(const kith_frames *f);

#endif
