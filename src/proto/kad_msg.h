/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The messages of /ipfs/kad/1.0.0: libp2p kad-dht, "RPC messages". On the wire each is behind its length (proto/frames.h).
 *
 * Liberal where deployed peers differ: unknown fields, peers with ids and addresses that we do not know (skipped), any bytes as a key. Strict
 * where that costs nothing: wire types, lengths, nested messages; all of a message is looked through before anything of it is used. */
#ifndef KITH_PROTO_KAD_MSG_H
#define KITH_PROTO_KAD_MSG_H

#include "wire/addrs.h"

#define KITH_KAD_ID "/ipfs/kad/1.0.0"
#define KITH_KAD_KEY_MAX 256 /* bytes of any key that we take or send */
#define KITH_KAD_PROVIDER_KEY_MAX \
    80 /* of a provider key: a multihash, but nobody checks (go-libp2p-kad-dht handlers.go) */
#define KITH_KAD_VALUE_MAX 10240 /* of a value: an IPNS record's size, the largest in use */
#define KITH_KAD_PEERS_MAX 40    /* looked at of one list of peers: twice k, as go */
#define KITH_KAD_REQUEST_MAX \
    16384 /* of a message that we take as a request, or send as anything (rust reads no more) */
#define KITH_KAD_ANSWER_MAX \
    131072 /* of one that we take as an answer: go keeps 8 KiB of addresses for a peer */

typedef enum kith_kad_type {
    KITH_KAD_PUT_VALUE = 0,
    KITH_KAD_GET_VALUE = 1,
    KITH_KAD_ADD_PROVIDER = 2,
    KITH_KAD_GET_PROVIDERS = 3,
    KITH_KAD_FIND_NODE = 4,
    KITH_KAD_PING = 5, /* answered, never sent */
} kith_kad_type;

/* The fields that hold peers. */
typedef enum kith_kad_list { KITH_KAD_CLOSER = 8, KITH_KAD_PROVIDERS = 9 } kith_kad_list;

/* A message as read; views into the input. */
typedef struct kith_kad_msg {
    kith_kad_type type;
    kith_bytes key; /* may be empty */
    bool has_record;
    kith_bytes record_key, value;
    kith_bytes raw; /* the whole message, for kith_kad_walk */
} kith_kad_msg;

/* KITH_EPROTO: malformed. KITH_EUNSUPPORTED: a type of later times. KITH_ELIMIT: a key or a value beyond its cap. */
KITH_CHECK kith_err kith_kad_msg_parse(kith_bytes in, kith_kad_msg *out);

/* A peer of a list. Addresses are those that we can read, without /p2p. */
typedef struct kith_kad_peer {
    kith_peer_id id;
    kith_addrs addrs;
} kith_kad_peer;

/* Walks one list of a message that was parsed, KITH_KAD_PEERS_MAX entries at most. */
typedef struct kith_kad_walk {
    kith_rd in;
    kith_kad_list list;
    unsigned count;
} kith_kad_walk;
kith_kad_walk kith_kad_walk_of(const kith_kad_msg *m, kith_kad_list list);
bool kith_kad_walk_next(kith_kad_walk *w, kith_kad_peer *out);

/* ---- writing, in this order; w.bad says that it did not fit ---- */

void kith_kad_put_head(kith_wr *w, kith_kad_type type, kith_bytes key); /* key empty: without one */
/* received: unix seconds, for timeReceived, which js wants to see; 0: without. */
void kith_kad_put_record(kith_wr *w, kith_bytes key, kith_bytes value, uint64_t received);
/* addrs: packed. connected: the sender is. Writes the peer only when all of it fits; false: it did not, and w is as before. */
bool kith_kad_put_peer(kith_wr *w, kith_kad_list list, const kith_peer_id *id, kith_bytes addrs,
                       bool connected);

#endif
