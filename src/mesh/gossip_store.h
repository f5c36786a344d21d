/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a gossipsub router remembers of messages: which ids it has seen (for a time), the messages themselves (for some heartbeats, so that
 * they can be asked for), and how far each author has counted.
 *
 *   record    one per id, from the moment the message is known to be its author's: pending -> valid, invalid or ignored; ends with the TTL
 *   payload   the message's bytes in the frame that carries them, shared by all who still have to send or judge it
 *   author    the highest sequence number among records that have ended: what comes below it again is a replay
 *
 * Memory: records_max * 216 bytes and their map (16 to 32 each), bytes_max of payloads, KITH_GOSSIP_AUTHORS_MAX * 112 bytes. */
#ifndef KITH_MESH_GOSSIP_STORE_H
#define KITH_MESH_GOSSIP_STORE_H

#include "base/list.h"
#include "base/map.h"
#include "proto/gossip_rpc.h"

#define KITH_GOSSIP_DELIVERERS_MAX \
    16 /* peers remembered per message; who comes after them is neither praised nor blamed */
#define KITH_GOSSIP_AUTHORS_MAX 4096 /* the one not heard of for longest is forgotten */
/* Two messages of an author that counts differ by less; random numbers hardly ever do. */
#define KITH_GOSSIP_STEP_MAX (UINT64_C(1) << 32)

/* Shared, counted. frame is an RPC with this message and nothing else, its length in front. */
typedef struct kith_gossip_payload {
    uint32_t refs;
    uint32_t head; /* bytes of frame before the message */
    uint64_t hash; /* of its id */
    struct kith_gossip_asked *asked;
    size_t asked_len, asked_cap;
    size_t len; /* of frame */
    uint8_t frame[];
} kith_gossip_payload;

typedef enum kith_gossip_status {
    KITH_GOSSIP_PENDING,
    KITH_GOSSIP_VALID,
    KITH_GOSSIP_INVALID,
    KITH_GOSSIP_IGNORED,
} kith_gossip_status;

typedef struct kith_gossip_record {
    kith_link seen;   /* store->seen, the oldest first */
    kith_link cached; /* store->window, while the payload is kept for those who ask */
    uint64_t hash;
    kith_time at;                            /* first seen */
    kith_time valid_at;                      /* KITH_GOSSIP_VALID: since */
    uint64_t beat;                           /* when it was put into the window */
    kith_gossip_payload *payload;            /* or NULL */
    uint32_t topic;                          /* its number in the router */
    uint32_t by[KITH_GOSSIP_DELIVERERS_MAX]; /* who delivered it, by number; the first one first */
    uint8_t by_len, status, id_len;
    uint8_t id[KITH_GOSSIP_MID_MAX];
} kith_gossip_record;

typedef struct kith_gossip_store {
    const kith_env *env;
    uint64_t seed[2];
    kith_map records, authors;
    kith_list seen, window, by_use; /* by_use: authors, the one not used for longest first */
    size_t count, author_count, pending;
    size_t bytes; /* of payloads */
    /* set by the owner */
    size_t records_max, bytes_max;
    kith_time ttl;
    uint64_t beat;      /* heartbeats so far */
    unsigned history;   /* heartbeats that the window is long */
    bool count_authors; /* ids are an author's and a sequence number */
} kith_gossip_store;

/* env is kept. Nothing is allocated. */
void kith_gossip_store_init(kith_gossip_store *s, const kith_env *env);
void kith_gossip_store_fini(kith_gossip_store *s);

uint64_t kith_gossip_hash(const kith_gossip_store *s, kith_bytes id);
/* NULL: not seen. */
kith_gossip_record *kith_gossip_find(const kith_gossip_store *s, kith_bytes id);
/* A new id, pending, without payload. At the cap the oldest that is not pending makes room. KITH_ELIMIT: all are, or the id is longer than
 * KITH_GOSSIP_MID_MAX. KITH_EEXISTS. KITH_ENOMEM. */
KITH_CHECK kith_err kith_gossip_remember(kith_gossip_store *s, kith_time now, kith_bytes id,
                                         kith_gossip_record **out);
/* Notes who delivered it. false: it did before, or there is no room. */
bool kith_gossip_delivered(kith_gossip_record *r, uint32_t peer);
/* The verdict: no longer pending. What is not valid gives up its payload. */
void kith_gossip_settle(kith_gossip_store *s, kith_time now, kith_gossip_record *r,
                        kith_gossip_status status);
/* Puts a record with a payload into the window. */
void kith_gossip_cache(kith_gossip_store *s, kith_gossip_record *r);
/* Forgets one altogether, as if it had never come. */
void kith_gossip_forget(kith_gossip_store *s, kith_gossip_record *r);
/* A heartbeat: what has been in the window for `history` of them leaves it, and what is older than the TTL is forgotten. */
void kith_gossip_shift(kith_gossip_store *s, kith_time now);

/* A payload around a message, with one reference. What is oldest in the window makes room. KITH_ELIMIT: bytes_max. KITH_ENOMEM. */
KITH_CHECK kith_err kith_gossip_payload_new(kith_gossip_store *s, kith_bytes raw, uint64_t hash,
                                            kith_gossip_payload **out);
kith_bytes kith_gossip_payload_raw(const kith_gossip_payload *p);
kith_gossip_payload *kith_gossip_payload_ref(kith_gossip_payload *p);
/* p may be NULL. */
void kith_gossip_payload_drop(kith_gossip_store *s, kith_gossip_payload *p);
/* How often a peer has asked for it, this time included; at 255 it stays. 0: no memory. */
unsigned kith_gossip_payload_asked(kith_gossip_store *s, kith_gossip_payload *p, uint32_t peer);

/* Whether an author's number was used up before our memory begins: a replay. Authors whose numbers do not count up (js, older rust:
 * random) are not held to it. */
bool kith_gossip_replayed(const kith_gossip_store *s, kith_bytes from, uint64_t seqno);
/* Takes note of a number that is known to be its author's. */
void kith_gossip_counted(kith_gossip_store *s, kith_bytes from, uint64_t seqno);

/* Asserts the invariants. */
void kith_gossip_store_check(const kith_gossip_store *s);

#endif
