/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* /kith/message/1: messages to a peer, one behind the other, and a receipt for each. docs/protocols/message.md, "Travelling"
 *
 *   sender                                            receiver
 *   OPEN     uvarint length, Message ...    ---->     READING   hands whole messages to its owner, who answers in any order
 *            the oldest is answered         <----     receipts in the order of the messages
 *   ENDING   half-close: nothing to send    ---->     ENDING    half-close when all are answered
 *   any state -> FAILED: the stream is reset. What was not answered may have arrived: it is sent again, and taken once.
 *
 * Caps: KITH_MESSAGE_FLIGHT messages and KITH_MESSAGE_FLIGHT_BYTES of them on the way in one stream, which both sides keep to; at the
 * door KITH_MESSAGE_PEER_STREAMS streams and KITH_MESSAGE_PEER_BYTES buffered bytes of one peer, and its messages a minute. */
#ifndef KITH_APPS_MESSAGE_STREAM_H
#define KITH_APPS_MESSAGE_STREAM_H

#include "proto/stream.h"
#include "wire/message.h"

#define KITH_MESSAGE_PROTOCOL "/kith/message/1"
#define KITH_MESSAGE_FLIGHT 16 /* messages not answered yet */
#define KITH_MESSAGE_FLIGHT_BYTES \
    (KITH_MESSAGE_MAX + 3u) /* of them, lengths included: the longest fits alone */
#define KITH_MESSAGE_PEER_STREAMS 4
#define KITH_MESSAGE_PEER_BYTES (2u * KITH_MESSAGE_FLIGHT_BYTES)
#define KITH_MESSAGE_VISITORS_MAX 8192       /* peers at the door, or lately */
#define KITH_MESSAGE_SILENCE KITH_SEC(30)    /* inside a message; and for a receipt */
#define KITH_MESSAGE_IDLE KITH_SEC(15)       /* without a message: the sender ends the stream */
#define KITH_MESSAGE_IDLE_PEER KITH_SEC(120) /* and the receiver, if it did not */
#define KITH_MESSAGE_RECEIPT_MAX 64          /* bytes of a receipt, without its length */

/* What became of a message at its receiver; a number on the wire. */
typedef enum kith_message_code {
    KITH_MESSAGE_TAKEN = 1,  /* it is stored there, and will be delivered */
    KITH_MESSAGE_HAD,        /* it was taken before */
    KITH_MESSAGE_EXPIRED,    /* its time was over when it came */
    KITH_MESSAGE_NOT_FOR_ME, /* it is to somebody else, or to a topic */
    KITH_MESSAGE_REFUSED,    /* for good: blocked, forged, or not from who brought it */
    KITH_MESSAGE_BUSY,       /* not now: send it again later */
    KITH_MESSAGE_MALFORMED,  /* not a message */
    KITH_MESSAGE_AHEAD,      /* it comes from the future: one of the two clocks is wrong. Not now */
} kith_message_code;
/* "taken", "busy" ...; of a number that is none of them "refused". Static. */
const char *kith_message_code_name(kith_message_code c);

/* ---- what a receiver makes of bytes ---- */

typedef struct kith_message_link {
    kith_peer_id self, peer; /* the two ends */
    kith_pq_id pq;           /* what the peer has proven in the handshake; len 0: nothing */
    bool blocked;            /* by our user */
} kith_message_link;

/* Takes a message apart and looks whether it may be taken from this link at this time (ms since 1970): everything but whether it was here
 * before. KITH_MESSAGE_TAKEN: it may. *out is written unless the code is KITH_MESSAGE_MALFORMED. */
kith_message_code kith_message_judge(kith_bytes in, const kith_message_link *link, uint64_t now,
                                     kith_message *out);

/* ---- the sender's side of a stream ---- */

typedef struct kith_message_tx kith_message_tx;

kith_message_tx *kith_message_tx_new(const kith_env *env); /* env is borrowed. NULL: no memory */
/* Whether a message of so many bytes may be put now. */
bool kith_message_tx_room(const kith_message_tx *tx, size_t len);
/* A sealed message, copied. Messages leave in the order in which they are put. KITH_ELIMIT: no room now. KITH_ENOMEM. */
KITH_CHECK kith_err kith_message_tx_put(kith_message_tx *tx, kith_time now,
                                        const uint8_t id[KITH_MESSAGE_ID_LEN], kith_bytes message);
/* Nothing more will be put: half-close when all is answered. */
void kith_message_tx_finish(kith_message_tx *tx);

typedef struct kith_message_receipt {
    uint8_t id[KITH_MESSAGE_ID_LEN]; /* of the message */
    kith_message_code code;          /* one of the above */
} kith_message_receipt;
/* The next answer; false: none. Those that never come are of messages that may be sent again. */
bool kith_message_tx_next(kith_message_tx *tx, kith_message_receipt *out);
/* NULL, or what broke the stream; static. */
const char *kith_message_tx_why(const kith_message_tx *tx);

extern const kith_stream_ops kith_message_tx_ops; /* the machine is a kith_message_tx */

/* ---- the receiver's ---- */

/* What all receiving streams of a node share: who is there, with how much. Outlives their machines. */
typedef struct kith_message_door kith_message_door;

/* per_minute: messages of one peer; more are answered with KITH_MESSAGE_BUSY, unread. env is copied. NULL: no memory. */
kith_message_door *kith_message_door_new(const kith_env *env, uint32_t per_minute);
void kith_message_door_free(kith_message_door *d); /* NULL is fine */

typedef struct kith_message_rx kith_message_rx;

/* env is borrowed. NULL: no memory, or the peer has all the streams that it may have. */
kith_message_rx *kith_message_rx_new(const kith_env *env, kith_message_door *d, const kith_peer_id *peer);

typedef struct kith_message_arrival {
    uint64_t number;    /* for the answer: unique on this stream */
    kith_bytes message; /* valid until the next call on the machine */
} kith_message_arrival;
/* The next whole message; false: none. Each is answered, once, now or later. */
bool kith_message_rx_next(kith_message_rx *rx, kith_message_arrival *out);
/* id: of the message, or NULL where it could not be read. */
void kith_message_rx_answer(kith_message_rx *rx, kith_time now, uint64_t number,
                            const uint8_t id[KITH_MESSAGE_ID_LEN], kith_message_code code);

extern const kith_stream_ops kith_message_rx_ops; /* the machine is a kith_message_rx */

/* Asserts the invariants; for tests and fuzzers. */
void kith_message_tx_check(const kith_message_tx *tx);
void kith_message_rx_check(const kith_message_rx *rx);

#endif
