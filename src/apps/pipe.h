/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* netcat for peers: a stream joined to an input and an output of the owner's. Half-close goes both ways; what is buffered is bounded by the
 * stream's receive window on one side and KITH_PIPE_OUT_MAX on the other. */
#ifndef KITH_APPS_PIPE_H
#define KITH_APPS_PIPE_H

#include "proto/stream.h"

#define KITH_PIPE_OUT_MAX (256u * 1024) /* bytes taken from the owner and not yet sent */

typedef struct kith_pipe kith_pipe;

/* Held twice: by its stream (ops->free lets go) and by its owner (kith_pipe_free lets go), since bytes that came are still the owner's to
 * write when the stream is over. NULL: no memory. */
kith_pipe *kith_pipe_new(const kith_env *env);
void kith_pipe_free(kith_pipe *p);
/* Holds it once more, for one more to let go. */
void kith_pipe_hold(kith_pipe *p);
/* A machine whose stream never came to be: lets go of the stream's hold. */
extern const kith_stream_ops kith_pipe_ops; /* the machine is a kith_pipe */

/* ---- owner to peer ---- */
size_t kith_pipe_room(const kith_pipe *p);
/* in.len <= kith_pipe_room. KITH_ENOMEM: nothing was taken. */
KITH_CHECK kith_err kith_pipe_put(kith_pipe *p, kith_bytes in);
/* Bytes that were put and are not sent yet. */
size_t kith_pipe_waiting(const kith_pipe *p);
/* No more will come: half-close once everything is sent. */
void kith_pipe_finish(kith_pipe *p);

/* ---- peer to owner ---- */
/* The next bytes, of perhaps more; valid until they are used. */
kith_bytes kith_pipe_view(const kith_pipe *p);
void kith_pipe_used(kith_pipe *p, size_t n);
/* The peer half-closed and everything was used. */
bool kith_pipe_ended(const kith_pipe *p);

/* The stream is over; err says how (KITH_OK: both sides closed). */
bool kith_pipe_gone(const kith_pipe *p, kith_err *err);
/* The owner has seen the news of the READY event. */
void kith_pipe_seen(kith_pipe *p);

#endif
