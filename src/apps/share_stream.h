/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* /kith/share-stream/1: what one program writes, another one reads, somewhere else: a share without files. It begins at once, ends when its
 * writer does, and nothing of it is kept. Admission is that of a share (share.h: HELLO, PAKE, ERROR); then both sides send
 *
 *     DATA, with a body      ...           as much as the other side's window takes
 *     END bytes, hash                      of all that this side has sent; then it half-closes
 *
 * The secure channel says whose bytes these are and that none is changed; END says that none is missing. A receiver that sends nothing
 * itself says END when it has taken everything, which is how the sharer knows. docs/protocols/share-stream.md
 *
 *     sharer    HELLO -asked-> ASKED -admit-> OPEN          receiver   ASKING -offer-> OPEN
 *               any of them -stop, fault-> OVER
 *
 * The bytes themselves go through a pipe (pipe.h), which the owner has in its hands once the stream is open. */
#ifndef KITH_APPS_SHARE_STREAM_H
#define KITH_APPS_SHARE_STREAM_H

#include "apps/pipe.h"
#include "apps/share.h"

#define KITH_SHARE_STREAM_ID "/kith/share-stream/1"
#define KITH_SHARE_STREAM_VERSION 1

typedef struct kith_share_stream kith_share_stream;

typedef enum kith_share_stream_event_kind {
    KITH_SHARE_STREAM_ASKED,  /* sharer: capability or code_tag; answer with admit or stop */
    KITH_SHARE_STREAM_PAKE,   /* data */
    KITH_SHARE_STREAM_OPENED, /* receiver: both; the pipe may be used */
    KITH_SHARE_STREAM_FAILED, /* before it was open: err, code, why */
} kith_share_stream_event_kind;

typedef struct kith_share_stream_event {
    kith_share_stream_event_kind kind;
    kith_bytes capability, code_tag, data; /* valid until the next call */
    bool both;
    kith_err err;
    kith_share_code code; /* with KITH_EREFUSED: what the other side said */
    const char *why;      /* static */
} kith_share_stream_event;

/* NULL: no memory. */
kith_share_stream *kith_share_stream_new_sharer(const kith_env *env, kith_time now);
/* One of the two is empty. */
kith_share_stream *kith_share_stream_new_receiver(const kith_env *env, kith_time now, kith_bytes capability,
                                                  kith_bytes code_tag);
extern const kith_stream_ops kith_share_stream_ops;

bool kith_share_stream_next(kith_share_stream *m, kith_share_stream_event *ev);
/* The next message of the proof. data.len <= KITH_SHARE_TOKEN_MAX. */
void kith_share_stream_pake(kith_share_stream *m, kith_time now, kith_bytes data);
/* Sharer: it is let in, and the pipe may be used. both: what it sends is wanted too; else anything is a breach of the protocol. */
void kith_share_stream_admit(kith_share_stream *m, kith_time now, bool both);
/* Its pipe, held once more for the caller, who lets go of it with kith_pipe_free. To be used once it is open. */
kith_pipe *kith_share_stream_pipe(kith_share_stream *m);
/* This side has nothing to send: END waits until all that the other side sends was taken out of the pipe. Before the pipe is finished. */
void kith_share_stream_silent(kith_share_stream *m);
/* Says why, and ends. */
void kith_share_stream_stop(kith_share_stream *m, kith_time now, kith_share_code code);

/* For tests: panics when something that always holds does not. */
void kith_share_stream_check(const kith_share_stream *m);

#endif
