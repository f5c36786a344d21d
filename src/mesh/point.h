/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A rendezvous point: peers register themselves under a namespace for a time, and whoever asks gets their signed peer records.
 * libp2p rendezvous spec; docs/protocols/rendezvous.md.
 *
 * Registrations are numbered in the order they came, and a cookie is the number up to which its holder has seen them: so cookies cost
 * no memory. A registration that is refreshed gets a new number, and is told again.
 *
 * Full, it makes room for who has less: the oldest registration of who has most goes, if that is still more than the newcomer gets. So
 * who wants to fill it needs as many peer ids as it has places.
 *
 * Memory: KITH_POINT_BYTES_EACH for each of `max` registrations, for records and namespaces, and about 200 bytes beside. */
#ifndef KITH_MESH_POINT_H
#define KITH_MESH_POINT_H

#include "node/node.h"
#include "proto/rendezvous_msg.h"

#define KITH_POINT_PER_PEER_MAX 100       /* registrations of a peer */
#define KITH_POINT_MAX 8192               /* of all, unless the config says otherwise */
#define KITH_POINT_BYTES_EACH 1024        /* on average */
#define KITH_POINT_ANSWER_MAX (256 << 10) /* bytes of an answer */
#define KITH_POINT_FOUND_MAX 1000         /* registrations in one; spec, "Recommendations" */
#define KITH_POINT_RATE 60                /* messages a minute of a peer */
#define KITH_POINT_STREAMS_MAX 1024

typedef struct kith_point kith_point;

/* Serves on the node, which is borrowed. max: registrations of all peers. NULL: no memory. */
kith_point *kith_point_new(const kith_env *env, kith_node *node, uint32_t max, kith_time now);
/* After the node is gone. NULL is fine. */
void kith_point_free(kith_point *p);

/* Registrations; among them those whose time is over, until the next message. */
size_t kith_point_count(const kith_point *p);

/* What it says to a message of a peer, in w; for tests and fuzzers. Nothing written: it says nothing. KITH_EPROTO and others: the stream is reset. */
KITH_CHECK kith_err kith_point_answer_(kith_point *p, kith_time now, const kith_peer_id *from, kith_bytes in,
                                       kith_wr *w);
/* Asserts the invariants. */
void kith_point_check(const kith_point *p);

#endif
