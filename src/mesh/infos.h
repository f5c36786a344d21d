/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What connected kith nodes say of themselves (wire/peer_info.h), swapped once after identify and again when a node has news:
 *
 *     who dialled  --- its record ---->  the other side
 *                  <-- its record -----
 *
 * on a stream of /kith/peer-info/1, a record a message. Of a peer the last record is kept while it is connected. One counts only when the
 * peer of the channel has signed it; the bytes that are known already are not verified again, one with a lower number is left, and so is what
 * comes faster than KITH_INFOS_RATE, so that a flood of records is a flood of comparisons. docs/protocols/peer-info.md
 *
 * For a part of the mesh (mesh/part.h), like mesh/request.h. Memory: of each connected peer that speaks the protocol one record. */
#ifndef KITH_MESH_INFOS_H
#define KITH_MESH_INFOS_H

#include "node/node.h"
#include "wire/peer_info.h"

#define KITH_INFOS_ID "/kith/peer-info/1"
#define KITH_INFOS_RATE 10           /* records a minute that are verified of one peer */
#define KITH_INFOS_WAIT KITH_SEC(3)  /* for the peer's, before a connection counts as settled without */
#define KITH_INFOS_LOOK KITH_SEC(30) /* how often own addresses are compared with the record's */
#define KITH_INFOS_FRESH KITH_SEC(6 * 3600) /* after which our record is sealed anew, for its time */
#define KITH_INFOS_STREAMS_MAX 256

typedef struct kith_infos kith_infos;

typedef struct kith_infos_config {
    kith_env env;
    kith_node *node;               /* borrowed */
    const kith_signer *signer;     /* borrowed */
    kith_bytes name;               /* kith_peer_name_ok, or empty; borrowed as long as the infos */
    const char *const *algorithms; /* borrowed too, at most KITH_PEER_INFO_ALGORITHMS_MAX */
    size_t algorithm_count;
    uint64_t unix_seconds; /* at the time of kith_infos_new */
} kith_infos_config;

/* Serves the protocol on the node. NULL: no memory, or the name or an algorithm is none. */
kith_infos *kith_infos_new(const kith_infos_config *cfg, kith_time now);
/* After the node is gone. */
void kith_infos_free(kith_infos *i);

typedef struct kith_infos_event {
    kith_peer_id peer;
    bool settled; /* its connection was waited with: what is known of it now is all that will come soon */
    kith_bytes record; /* a new one, as it came and verified; empty: none. Valid until the next call */
} kith_infos_event;
bool kith_infos_next(kith_infos *i, kith_infos_event *ev);

/* Of a connection that is IDENTIFIED now: its peer speaks the protocol, and its record has not come yet: settled will be told, unless it
 * disconnects before. */
bool kith_infos_awaits(const kith_infos *i, const kith_conn *c);
/* A connected peer's record, as it came and verified; empty: none. Valid until the next call that changes something. */
kith_bytes kith_infos_record(const kith_infos *i, const kith_peer_id *peer);
/* Ours. */
kith_bytes kith_infos_own(kith_infos *i, kith_time now);

/* For the part's ops. */
void kith_infos_event_of(kith_infos *i, kith_time now, const kith_node_event *ev);
bool kith_infos_act(kith_infos *i, kith_time now);
kith_time kith_infos_deadline(const kith_infos *i);
void kith_infos_tick(kith_infos *i, kith_time now);

#endif
