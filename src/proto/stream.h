/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the machine of a stream protocol looks like to whoever drives it: the six verbs as a table, and what a stream tells at birth. */
#ifndef KITH_PROTO_STREAM_H
#define KITH_PROTO_STREAM_H

#include "base/env.h"
#include "base/err.h"
#include "wire/peer_id.h"

/* What a new stream's machine gets to know. Views are valid for the call. */
typedef struct kith_stream_info {
    kith_peer_id peer;
    bool inbound;        /* the peer opened it */
    kith_bytes protocol; /* the id that was negotiated */
} kith_stream_info;

/* What the machine wants of its stream after a call. */
typedef enum kith_stream_want {
    KITH_STREAM_OPEN,  /* go on */
    KITH_STREAM_FIN,   /* everything was handed over by send: half-close our side */
    KITH_STREAM_RESET, /* give the stream up, both ways */
} kith_stream_want;

/* The table of a protocol's verbs. The driver obeys the drive rule: after any call with a non-const machine it calls send until that
 * returns 0, then reads want, held, deadline and pending again. Entries marked optional may be NULL. */
typedef struct kith_stream_ops {
    /* Takes all of in. An error resets the stream. */
    kith_err (*recv)(void *m, kith_time now, kith_bytes in);
    /* The peer has half-closed: its last byte is in. */
    void (*eof)(void *m, kith_time now);
    /* Writes up to out.len bytes of payload and says how many; 0: nothing to send now. out.len >= 1. */
    size_t (*send)(void *m, kith_time now, kith_span out);
    kith_stream_want (*want)(const void *m);
    /* Bytes received that it still buffers; the peer gets window back only for the others. Optional: 0. */
    size_t (*held)(const void *m);
    /* Optional: no timers. */
    kith_time (*deadline)(const void *m);
    void (*tick)(void *m, kith_time now);
    /* The stream is over: KITH_OK when both sides closed in good order, else why. No verb but free is called after it. */
    void (*gone)(void *m, kith_time now, kith_err why);
    /* It has events for its owner. Optional: never. */
    bool (*pending)(const void *m);
    void (*free)(void *m);
} kith_stream_ops;

#endif
