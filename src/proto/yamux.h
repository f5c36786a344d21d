/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* yamux: many streams over one connection. libp2p yamux spec.
 *
 * The machine keeps no payload. Received bytes are handed on at once, by next; window goes back to the peer
 * as its reader says how many it has used up (kith_yamux_used). To send, the driver asks whose turn it is
 * and lets that stream's machine write straight behind the frame header:
 *
 *     n = kith_yamux_send(y, now, out);                    control frames
 *     while (kith_yamux_turn_next(y, now, room, &t)) {     a stream, and how much it may write
 *         size_t len = its machine's send(out + 12, t.max);
 *         n += kith_yamux_turn_end(y, now, &t, len, fin, out);     writes the 12 header bytes
 *     }
 *
 * A stream:
 *
 *              our FIN                 peer's FIN
 *     OPEN ---------------> LOCAL_CLOSED ------+
 *      |                                       v
 *      +--------------> REMOTE_CLOSED -----> CLOSED    and from any state by a RST of either side
 *         peer's FIN                 our FIN
 *
 * Memory: about 550 bytes, and 32 to 64 in a table for each stream that was ever open at once; 136 per
 * stream; nothing per frame. What a peer can make us queue: 16 pongs, 1024 RSTs for streams beyond the
 * limit, and one control frame per open stream. More, or a flood of frames that carry nothing, ends the
 * session with KITH_ELIMIT (docs/protocols/yamux.md). */
#ifndef KITH_PROTO_YAMUX_H
#define KITH_PROTO_YAMUX_H

#include "base/env.h"
#include "base/err.h"

#define KITH_YAMUX_ID "/yamux/1.0.0"
#define KITH_YAMUX_HDR_LEN 12
#define KITH_YAMUX_WINDOW_INIT (256u * 1024) /* libp2p yamux, "Flow Control": always, in both directions */
#define KITH_YAMUX_BACKLOG 256               /* unacknowledged outbound streams */

/* GoAway codes. libp2p yamux, "Go Away Message". */
#define KITH_YAMUX_NORMAL 0u
#define KITH_YAMUX_PROTOCOL_ERROR 1u
#define KITH_YAMUX_INTERNAL_ERROR 2u
/* The connection's end, with the reason, as go-libp2p sends it (core/network, ConnErrorCode). libp2p error codes, "Connection Error
 * Codes". */
#define KITH_YAMUX_CONN_NEGOTIATION 0x1000u /* no protocol agreed on */
#define KITH_YAMUX_CONN_LIMIT 0x1001u
#define KITH_YAMUX_CONN_RATE 0x1002u
#define KITH_YAMUX_CONN_VIOLATION 0x1003u
#define KITH_YAMUX_CONN_SUPPLANTED 0x1004u /* by a better connection */
#define KITH_YAMUX_CONN_GARBAGE 0x1005u    /* idle */
#define KITH_YAMUX_CONN_SHUTDOWN 0x1006u
#define KITH_YAMUX_CONN_GATED 0x1007u /* this peer is not wanted */

/* RST codes as go-libp2p sends them (core/network, StreamErrorCode). */
#define KITH_YAMUX_NO_ERROR 0u
#define KITH_YAMUX_RST_NEGOTIATION 0x1001u /* no protocol agreed on */
#define KITH_YAMUX_RST_LIMIT 0x1002u /* a resource limit; what we answer streams beyond streams_in_max with */
#define KITH_YAMUX_RST_RATE 0x1003u
#define KITH_YAMUX_RST_VIOLATION 0x1004u
#define KITH_YAMUX_RST_SHUTDOWN 0x1007u

typedef struct kith_yamux kith_yamux;
typedef struct kith_yamux_stream kith_yamux_stream; /* owned by the machine; see CLOSED */

typedef struct kith_yamux_config {
    const kith_env *env;
    bool dialer;             /* odd stream ids */
    kith_time rtt;           /* a round trip that is known before our first ping; 0: none */
    uint32_t window_max;     /* a stream's receive window grows to this at most, bytes */
    uint32_t budget_max;     /* sum of all receive windows beyond 256 KiB each, bytes, per connection */
    uint32_t frame_max;      /* payload bytes of our frames; also the fairness quantum */
    uint32_t streams_in_max; /* streams the peer may have open; more are reset */
    uint32_t streams_out_max;
    kith_time ping_every;   /* keep-alive after so much silence, and RTT; KITH_NEVER: only kith_yamux_ping */
    kith_time ping_timeout; /* silence for so long after a ping kills the session */
} kith_yamux_config;

void kith_yamux_config_default(kith_yamux_config *cfg, const kith_env *env, bool dialer);

kith_yamux *kith_yamux_new(const kith_yamux_config *cfg, kith_time now); /* NULL: no memory */
void kith_yamux_free(kith_yamux *y);                                     /* streams too; no events */

typedef enum kith_yamux_event_kind {
    KITH_YAMUX_OPENED, /* the peer opened a stream */
    KITH_YAMUX_DATA,   /* payload for a stream */
    KITH_YAMUX_EOF,    /* the peer half-closed a stream */
    KITH_YAMUX_RESET,  /* the peer reset a stream; CLOSED follows */
    /* The stream is over; err is KITH_OK when both sides closed, KITH_ERESET, KITH_EREFUSED (GoAway before
     * its SYN was out), or the session's. Exactly once; its pointer is dead after the next call. */
    KITH_YAMUX_CLOSED,
    KITH_YAMUX_GOAWAY, /* the peer takes no new streams; code */
    KITH_YAMUX_RTT,    /* a ping came back; rtt */
    /* The session is dead: err, why. The last event of all; every stream had its CLOSED before. */
    KITH_YAMUX_FAILED,
} kith_yamux_event_kind;

typedef struct kith_yamux_event {
    kith_yamux_event_kind kind;
    kith_yamux_stream *stream;
    kith_bytes data; /* DATA: view into the input */
    uint32_t code;   /* RESET, GOAWAY: the peer's error code */
    kith_time rtt;
    kith_err err;
    const char *why; /* static */
} kith_yamux_event;

/* Takes all of in and borrows it until next has returned false. */
void kith_yamux_recv(kith_yamux *y, kith_time now, kith_bytes in);
bool kith_yamux_next(kith_yamux *y, kith_yamux_event *ev);
/* Gives back the input that next has not come to, for another recv. */
kith_bytes kith_yamux_give_back(kith_yamux *y);

/* Control frames: window updates, pings, resets, SYN/ACK without data, GoAway. */
size_t kith_yamux_send(kith_yamux *y, kith_time now, kith_span out);
typedef struct kith_yamux_turn {
    kith_yamux_stream *stream;
    size_t max; /* payload bytes it may write now, >= 1; or 0 when only a FIN may be sent (no window) */
} kith_yamux_turn;
/* room: bytes free in the output, header included. False: nobody wants to send, or nobody may. */
bool kith_yamux_turn_next(kith_yamux *y, kith_time now, size_t room, kith_yamux_turn *t);
/* After every turn. len 0 without fin: the stream has nothing to send and gets no turn until
 * kith_yamux_want; or, after a turn with max 0, until the peer grants window. Returns the bytes of out that
 * are to be sent: 12 + len, or 12 (a SYN or ACK that had no data to ride on), or 0 (also when the stream
 * was reset since its turn). */
size_t kith_yamux_turn_end(kith_yamux *y, kith_time now, const kith_yamux_turn *t, size_t len, bool fin,
                           uint8_t *out);

kith_time kith_yamux_deadline(const kith_yamux *y);
void kith_yamux_tick(kith_yamux *y, kith_time now);

/* Opens a stream; its SYN rides on the first frame. KITH_ELIMIT: cap or backlog reached. KITH_ESTATE: the
 * peer sent GoAway, the ids are used up, or dead. KITH_ENOMEM. */
KITH_CHECK kith_err kith_yamux_open(kith_yamux *y, kith_time now, kith_yamux_stream **out);
/* The stream has something to send (payload or a FIN). */
void kith_yamux_want(kith_yamux *y, kith_yamux_stream *s);
/* n received bytes were used up; n <= what was received and not yet used up. A reader that holds on to more
 * than 7/8 of 256 KiB and waits for the rest of something waits for ever. After the last data or EOF it may
 * be left out. No-op on a closed stream. */
void kith_yamux_used(kith_yamux *y, kith_time now, kith_yamux_stream *s, size_t n);
/* Sends RST with an error code (0: none); CLOSED follows. What the peer still sends is dropped. */
void kith_yamux_reset(kith_yamux *y, kith_yamux_stream *s, uint32_t code);
/* No new streams from the peer (they are reset); those that exist go on. js-libp2p closes everything when
 * it gets one. */
void kith_yamux_goaway(kith_yamux *y, uint32_t code);
void kith_yamux_ping(kith_yamux *y, kith_time now);

/* The owner's pointer in a stream. */
void *kith_yamux_user(const kith_yamux_stream *s);
void kith_yamux_set_user(kith_yamux_stream *s, void *user);
uint32_t kith_yamux_stream_id(const kith_yamux_stream *s);

size_t kith_yamux_stream_count(const kith_yamux *y);
/* When its last byte came. */
kith_time kith_yamux_heard(const kith_yamux *y);
/* Smoothed round-trip time; before our first ping is back config's; 0: not known. */
kith_time kith_yamux_rtt(const kith_yamux *y);
/* Asserts the invariants; for tests and fuzzers. */
void kith_yamux_check(const kith_yamux *y);

#endif
