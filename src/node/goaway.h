/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a connection's end means that a peer explains with a code, in yamux's GoAway: an error of ours, and a sentence. The codes are
 * proto/yamux.h's; libp2p error codes, "Connection Error Codes". */
#ifndef KITH_NODE_GOAWAY_H
#define KITH_NODE_GOAWAY_H

#include "node/node.h"

/* KITH_EREFUSED: the peer does not want the connection, or not now. KITH_ECLOSED: it is about to end it in good order. KITH_EUNSUPPORTED,
 * KITH_ERESET. *why: static. code is not 0, which ends nothing. */
kith_err kith_goaway_err(uint32_t code, const char **why);

/* How this node stands before the peer that has refused it. */
typedef struct kith_goaway_self {
    kith_peer_id peer; /* this node */
    kith_pq_id pq;     /* of the post-quantum key that it has proven in this handshake; len 0: none */
    bool classical;    /* over a channel that is not post-quantum */
    bool kith;         /* the peer is a kith node for sure */
} kith_goaway_self;

/* The sentence for GATED: what the peer may have against this node, which it does not say, and the commands that lift each there. */
void kith_goaway_gated(const kith_goaway_self *self, char out[KITH_REASON_MAX]);

#endif
