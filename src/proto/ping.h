/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* /ipfs/ping/1.0.0: 32 bytes there and back on one stream. libp2p ping spec. */
#ifndef KITH_PROTO_PING_H
#define KITH_PROTO_PING_H

#include "proto/stream.h"

#define KITH_PING_ID "/ipfs/ping/1.0.0"
#define KITH_PING_LEN 32
#define KITH_PING_TIMEOUT KITH_SEC(10) /* of an answer */
#define KITH_PING_IDLE KITH_SEC(60)    /* a responder resets a stream after so much silence, as go-libp2p */
#define KITH_PING_QUEUE 64             /* pings a responder holds back at most; one more resets the stream */

typedef struct kith_ping kith_ping;

typedef struct kith_ping_event {
    enum { KITH_PING_RTT, KITH_PING_FAILED } kind;
    kith_time rtt;
    kith_err err;
    const char *why; /* static */
} kith_ping_event;

kith_ping *kith_ping_new(const kith_env *env);           /* the side that asks; NULL: no memory */
kith_ping *kith_ping_new_responder(const kith_env *env); /* echoes whole pings; see KITH_PING_QUEUE */
/* Sends one ping. KITH_ESTATE: one is under way, its event has not been taken, or closed. The RTT counts
 * from the moment its last byte was handed over. */
KITH_CHECK kith_err kith_ping_start(kith_ping *p, kith_time now);
/* Half-closes once nothing is under way. */
void kith_ping_close(kith_ping *p);
bool kith_ping_next(kith_ping *p, kith_ping_event *ev);

extern const kith_stream_ops kith_ping_ops; /* the machine is a kith_ping */

#endif
