/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Gossip on a node: a router (mesh/gossip.h) and the streams to and from its peers, as a part that a host drives.
 *
 * A stream carries RPCs one way, from who opened it (pubsub README, "Stream management"); each RPC after its length as uvarint. We open ours
 * to a peer once identify has told that it speaks one of the protocols, and read what it opens.
 *
 *   member   a peer with a connection that speaks gossip, or has opened a stream to us
 *     tx     our stream: OPEN -> gone -> again after 1, 2, 4, 8, 16 s, as long as there is a connection
 *     rx     its streams, KITH_GOSSIP_RX_MAX at most: bytes -> whole RPCs -> the router; what the router cannot take yet is held, and then the
 *            peer gets no more window
 *
 * Memory of a member: the router's, 200 bytes, and for each stream of the peer what has come of an RPC that is not whole, at most
 * message_max; of RPCs that are held at most its window besides. What is the streams' counts against the node's limits.memory, what is
 * the router's does not, which has caps of its own. */
#ifndef KITH_MESH_GOSSIP_PART_H
#define KITH_MESH_GOSSIP_PART_H

#include "mesh/gossip.h"
#include "mesh/part.h"

#define KITH_GOSSIP_RX_MAX 2 /* streams of a peer that we read: an old one and its successor */
#define KITH_GOSSIP_STUCK \
    KITH_SEC(30)                /* a peer that takes nothing for so long gets its stream reset, as go does */
#define KITH_GOSSIP_DIALS_MAX 8 /* of peers that were exchanged, at once */
#define KITH_GOSSIP_RETRIES 5
/* Who resets our stream so soon after an RPC longer than KITH_GOSSIP_SMALL_RPC, so often in a row on one connection, is sent none such
 * from then on. */
#define KITH_GOSSIP_STRIKE KITH_SEC(10)
#define KITH_GOSSIP_STRIKES 2

typedef struct kith_gossip_direct {
    kith_peer_id peer;
    const kith_maddr *addrs; /* borrowed as long as the part */
    size_t addr_count;
} kith_gossip_direct;

typedef struct kith_gossip_part_config {
    kith_gossip_config router;        /* self is the node's and ignored; env outlives the node */
    const kith_gossip_direct *direct; /* dialled and kept; copied */
    size_t direct_count;
    /* Messages wait for kith_gossip_next. Called from act, where node and router may be called. May be NULL. */
    void (*news)(void *ctx, kith_time now);
    void *ctx;
} kith_gossip_part_config;

typedef struct kith_gossip_part kith_gossip_part;

/* Serves the protocols. The node is borrowed. NULL: *why. */
kith_gossip_part *kith_gossip_part_new(kith_node *n, kith_time now, const kith_gossip_part_config *cfg,
                                       const char **why);
/* Serves no more and gives up its streams; the connections stay. */
void kith_gossip_part_stop(kith_gossip_part *p, kith_time now);
/* After stop, or after the node is gone. */
void kith_gossip_part_free(kith_gossip_part *p);

kith_part *kith_gossip_part_of(kith_gossip_part *p);
/* Its owner drives the node after it was called. */
kith_gossip *kith_gossip_part_router(kith_gossip_part *p);
/* The id of a version. */
kith_bytes kith_gossip_version_id(kith_gossip_version v);

/* Asserts the invariants. */
void kith_gossip_part_check(const kith_gossip_part *p, kith_time now);

#endif
