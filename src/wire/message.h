/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages that people and programs send to a peer or to a topic: who, when, how long, what, and the signatures over exactly these bytes.
 * docs/protocols/message.md */
#ifndef KITH_WIRE_MESSAGE_H
#define KITH_WIRE_MESSAGE_H

#include "crypto/sign.h"
#include "wire/peer_id.h"
#include "wire/pq_id.h"

#define KITH_MESSAGE_ID_LEN 16
#define KITH_MESSAGE_PAYLOAD_MAX (1u << 20) /* bytes */
#define KITH_MESSAGE_TYPE_MAX 64            /* bytes of a type's name */
#define KITH_MESSAGE_TOPIC_MAX 256          /* bytes of a topic's */
#define KITH_MESSAGE_TTL_MAX (7u * 86400)   /* seconds */
#define KITH_MESSAGE_TTL_DEFAULT 60
#define KITH_MESSAGE_PRIORITY_MAX 10
#define KITH_MESSAGE_PRIORITY_DEFAULT 5
#define KITH_MESSAGE_AHEAD_MAX 300000u /* ms that a sender's clock may be ahead of ours */
#define KITH_MESSAGE_OVERHEAD 24576    /* bytes that a message may have besides its payload */
#define KITH_MESSAGE_MAX (KITH_MESSAGE_PAYLOAD_MAX + KITH_MESSAGE_OVERHEAD)

typedef struct kith_message {
    uint8_t id[KITH_MESSAGE_ID_LEN]; /* random: with the source it names the message everywhere */
    uint64_t time;                   /* milliseconds since 1970-01-01 UTC, by the clock of the source */
    uint32_t ttl;     /* seconds from then on in which it may be delivered, 1..KITH_MESSAGE_TTL_MAX */
    uint8_t priority; /* 0..KITH_MESSAGE_PRIORITY_MAX; higher leaves first */
    bool text;        /* the payload is UTF-8 to be shown; else bytes */
    bool answers;     /* it is in answer to the message reply_to */
    uint8_t reply_to[KITH_MESSAGE_ID_LEN];
    kith_bytes type;     /* what it is for: kith_message_type_ok. Here and below: views */
    kith_peer_id source; /* holds its Ed25519 key */
    kith_peer_id to;     /* a peer; len 0: */
    kith_bytes topic;    /* a topic, not empty */
    kith_bytes payload;
    /* Only of one that was read. */
    kith_bytes body;           /* the bytes that are signed */
    kith_bytes sig;            /* by the source's Ed25519 key */
    kith_bytes pq_key, pq_sig; /* PublicKey protobuf and a signature by it; both empty: it has none */
    kith_pq_id pq;             /* of pq_key */
} kith_message;

/* The types of the neural mesh and `text`, NULL at the end; any other name is an application's own. */
extern const char *const kith_message_types[];
/* 1..KITH_MESSAGE_TYPE_MAX of a-z, 0-9, '-', '.', '_' and '/', beginning with a letter. */
bool kith_message_type_ok(kith_bytes name);
/* 1..KITH_MESSAGE_TOPIC_MAX bytes of printable UTF-8 without spaces. */
bool kith_message_topic_ok(kith_bytes name);

/* Takes a message apart; no signature is looked at. KITH_EFORMAT: fields that are missing, twice there, malformed or out of range.
 * KITH_EUNSUPPORTED: a post-quantum key of an unknown kind. KITH_ELIMIT: longer than KITH_MESSAGE_MAX, or its payload than
 * KITH_MESSAGE_PAYLOAD_MAX. */
KITH_CHECK kith_err kith_message_parse(kith_bytes in, kith_message *out);
/* The signature of the source alone: for whoever knows the post-quantum key from elsewhere. KITH_ECRYPTO. */
KITH_CHECK kith_err kith_message_verify_source(const kith_message *m);
/* The signature of the source, and that of its post-quantum key where there is one. Whose key that may be is not decided here: pq says
 * which it is. KITH_ECRYPTO. KITH_EUNSUPPORTED: an algorithm that this build lacks. */
KITH_CHECK kith_err kith_message_verify(const kith_message *m);

/* Whether it may be delivered at this time (milliseconds since 1970 by our clock). KITH_OK; KITH_ETIMEOUT: its time is over;
 * KITH_EPROTO: it comes from more than KITH_MESSAGE_AHEAD_MAX in the future. */
KITH_CHECK kith_err kith_message_fresh(const kith_message *m, uint64_t now);

typedef struct kith_message_keys {
    const kith_signer *signer;       /* the source's */
    const kith_pq_signer *pq_signer; /* NULL: signed by the other alone */
    const uint8_t *rnd;              /* KITH_SIG_RND_LEN bytes for it; NULL: deterministic */
    uint8_t *room;                   /* for its signature: KITH_SIG_MAX bytes */
} kith_message_keys;

/* Appends the message, signed; m->source is not read but made from the signer. KITH_EFORMAT: a field that kith_message_parse would refuse.
 * KITH_ELIMIT: the payload is too long. KITH_ESPACE, KITH_ENOMEM. On failure w is bad or has nothing new. */
KITH_CHECK kith_err kith_message_seal(const kith_message *m, const kith_message_keys *keys, kith_wr *w);

#endif
