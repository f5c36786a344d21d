/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* yamux: many streams over one connection. libp2p yamux spec.
 *
 * The machine keeps no payload. Received bytes are handed on at once, by next; window goes back to the peer as its reader says how
 * many it has used up (kith_yamux_used). To send, the driver asks whose turn it is and lets that stream's machine write straight
 * behind the frame header:
 *
 *     n = kith_yamux_send(y, now, out);                    control frames
 *     while (kith_yamux_turn(y, now, room, &t)) {          a stream, and how much it may write
 *         size_t len = its machine's send(out + 12, t.max);
 *         kith_yamux_wrote(y, now, &t, len, fin, out);     writes the 12 header bytes at out when len > 0 or fin
 *     }
 */
#ifndef KITH_PROTO_YAMUX_H
#define KITH_PROTO_YAMUX_H

#include "base/env.h"
#include "base/err.h"

#define KITH_YAMUX_ID "/yamux/1.0.0"
#define KITH_YAMUX_HDR_LEN 12
#define KITH_YAMUX_WINDOW_INIT (256u * 1024) /* libp2p yamux, "Flow Control": always, in both directions */
#define KITH_YAMUX_BACKLOG 256               /* unacknowledged outbound streams */

typedef struct kith_yamux kith_yamux;
typedef struct kith_yamux_stream kith_yamux_stream; /* owned by the machine; see CLOSED */

typedef struct kith_yamux_config {
    const kith_env *env;
    bool dialer;              /* odd stream ids */
    uint32_t window_max;      /* a stream's receive window grows to this at most, bytes */
    uint32_t budget_max;      /* sum of all receive windows beyond 256 KiB each, bytes, per connection */
    uint32_t frame_max;       /* payload bytes of our frames; also the fairness quantum */
    uint32_t streams_in_max;  /* streams the peer may have open; more are reset */
    uint32_t streams_out_max;
    kith_time ping_every;     /* keep-alive and RTT; KITH_NEVER: none */
    kith_time ping_timeout;   /* an unanswered ping kills the session */
} kith_yamux_config;

void kith_yamux_config_default(kith_yamux_config *cfg, const kith_env *env, bool dialer);

kith_yamux *kith_yamux_new(const kith_yamux_config *cfg, kith_time now); /* NULL: no memory */
void kith_yamux_free(kith_yamux *y); /* streams too; no events */

typedef enum kith_yamux_event_kind {
    KITH_YAMUX_OPENED,   /* the peer opened a stream */
    KITH_YAMUX_DATA,     /* payload for a stream */
    KITH_YAMUX_EOF,      /* the peer half-closed a stream */
    KITH_YAMUX_RESET,    /* the peer reset a stream; CLOSED follows */
    KITH_YAMUX_CLOSED,   /* the stream is over, both ways or reset by either side; its pointer is dead after the next call */
    KITH_YAMUX_GOAWAY,   /* the peer takes no new streams; code */
    KITH_YAMUX_RTT,      /* a ping came back; rtt */
    KITH_YAMUX_FAILED,   /* the session is dead: err, why */
} kith_yamux_event_kind;

typedef struct kith_yamux_event {
    kith_yamux_event_kind kind;
    kith_yamux_stream *stream;
    kith_bytes data;  /* DATA: view into the input */
    uint32_t code;    /* RESET, GOAWAY: the peer's error code */
    kith_time rtt;
    kith_err err;
    const char *why;  /* static */
} kith_yamux_event;

/* Takes all of in and borrows it until next has returned false. */
void kith_yamux_recv(kith_yamux *y, kith_time now, kith_bytes in);
bool kith_yamux_next(kith_yamux *y, kith_yamux_event *ev);

/* Control frames: window updates, pings, resets, SYN/ACK without data, GoAway. */
size_t kith_yamux_send(kith_yamux *y, kith_time now, kith_span out);
typedef struct kith_yamux_turn {
    kith_yamux_stream *stream;
    size_t max; /* payload bytes it may write now, >= 1; or 0 when only a FIN may be sent (no window) */
} kith_yamux_turn;
/* room: bytes free in the output, header included. False: nobody wants to send, or nobody may. */
bool kith_yamux_turn_next(kith_yamux *y, kith_time now, size_t room, kith_yamux_turn *t);
/* len 0 without fin: the stream has nothing to send and gets no turn until kith_yamux_want. Returns the bytes written at out:
 * 12 + len, or 0. */
size_t kith_yamux_turn_end(kith_yamux *y, kith_time now, const kith_yamux_turn *t, size_t len, bool fin, uint8_t *out);

kith_time kith_yamux_deadline(const kith_yamux *y);
void kith_yamux_tick(kith_yamux *y, kith_time now);

/* Opens a stream; its SYN rides on the first frame. KITH_ELIMIT: cap or backlog reached. KITH_ESTATE: the peer sent GoAway, or dead. */
KITH_CHECK kith_err kith_yamux_open(kith_yamux *y, kith_time now, kith_yamux_stream **out);
/* The stream has something to send (payload or a FIN). */
void kith_yamux_want(kith_yamux *y, kith_yamux_stream *s);
/* n received bytes were used up. */
void kith_yamux_used(kith_yamux *y, kith_time now, kith_yamux_stream *s, size_t n);
/* Sends RST with an error code (0: none); CLOSED follows. */
void kith_yamux_reset(kith_yamux *y, kith_yamux_stream *s, uint32_t code);
/* No new streams from the peer; code 0 normal, 1 protocol error, 2 internal error. */
void kith_yamux_goaway(kith_yamux *y, uint32_t code);
void kith_yamux_ping(kith_yamux *y, kith_time now);

/* The owner's pointer in a stream. */
void *kith_yamux_user(const kith_yamux_stream *s);
void kith_yamux_set_user(kith_yamux_stream *s, void *user);
uint32_t kith_yamux_stream_id(const kith_yamux_stream *s);

size_t kith_yamux_stream_count(const kith_yamux *y);
/* Smoothed round-trip time, 0: not measured yet. */
kith_time kith_yamux_rtt(const kith_yamux *y);
/* Asserts the invariants; for tests and fuzzers. */
void kith_yamux_check(const kith_yamux *y);

#endif
