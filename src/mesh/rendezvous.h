/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A client of rendezvous points (mesh/point.h is one): registers this node under a namespace at each of them, refreshes that before its time is
 * over, and asks them who else is there. docs/protocols/rendezvous.md
 *
 *     of each point:  register --OK, ttl--> wait three quarters of it --> register ...
 *                        |                    `-- the connection was lost --> wait 5 s, doubling to 15 min
 *                        `-- no --> wait 30 s, doubling to 15 min
 *
 * While it is registered it asks every two minutes who is new there (by the cookie of the time before), which also keeps the connection up,
 * so that a point that was started anew is noticed.
 *
 * rust-libp2p reads peer records in the form of RFC 0003 only and others the deployed one, so a point that does not take the one is
 * offered the other. For a part of the mesh (mesh/part.h), like mesh/request.h.
 *
 * Memory: KITH_RDV_FINDS_MAX searches and one more with a cookie for each point, 45 KiB in all; answers up to KITH_RDV_ANSWER_MAX while they are read. */
#ifndef KITH_MESH_RENDEZVOUS_H
#define KITH_MESH_RENDEZVOUS_H

#include "node/node.h"
#include "proto/rendezvous_msg.h"
#include "wire/addrs.h"

#define KITH_RDV_POINTS_MAX 8
#define KITH_RDV_FINDS_MAX 8
#define KITH_RDV_PAGE \
    100 /* registrations asked for at once, and looked at of an answer: each costs a signature check */
#define KITH_RDV_PAGES_MAX 10 /* of one point, for one search */

typedef struct kith_rdv kith_rdv;

typedef struct kith_rdv_config {
    kith_env env;
    kith_node *node;           /* borrowed */
    const kith_signer *signer; /* borrowed */
    kith_bytes ns;             /* 1..KITH_RDV_NS_MAX bytes; borrowed as long as the client */
    uint64_t unix_seconds;     /* at the time of kith_rdv_new */
} kith_rdv_config;

kith_rdv *kith_rdv_new(const kith_rdv_config *cfg, kith_time now); /* NULL: no memory */
/* After the node is gone. NULL is fine. */
void kith_rdv_free(kith_rdv *r);

/* addrs: of the point, packed; copied. KITH_ELIMIT: there are KITH_RDV_POINTS_MAX. KITH_EEXISTS. */
KITH_CHECK kith_err kith_rdv_add_point(kith_rdv *r, const kith_peer_id *peer, const kith_addrs *addrs);
/* Registers at all points from now on, as soon as the node has addresses and again when these change, and follows who else is there: FOUND
 * with id 0, again when a registration is refreshed. off: unregisters where it is registered and connected. */
void kith_rdv_register(kith_rdv *r, kith_time now, bool on);
bool kith_rdv_is_quiet(
    const kith_rdv *r); /* nothing is under way: after the above with off, all that can be said is */

/* Asks all points for a namespace; FOUND and then OVER with this id follow. KITH_EFORMAT: ns is not 1..KITH_RDV_NS_MAX bytes. KITH_ELIMIT.
 * KITH_ENOTFOUND: there is no point. */
KITH_CHECK kith_err kith_rdv_find(kith_rdv *r, kith_bytes ns, uint64_t *id);
void kith_rdv_cancel(kith_rdv *r, kith_time now, uint64_t id);

typedef enum kith_rdv_event_kind {
    KITH_RDV_FOUND, /* peer, addrs: a signed record of the peer's own, told by a point, for ttl seconds */
    KITH_RDV_OVER,  /* the search has heard all points: answered of them did answer */
    KITH_RDV_REGISTERED, /* at the point `peer`, for ttl seconds */
    KITH_RDV_REFUSED,    /* the point `peer` did not take us: err, why; it is tried again */
} kith_rdv_event_kind;

typedef struct kith_rdv_event {
    kith_rdv_event_kind kind;
    uint64_t id;
    kith_peer_id peer;
    kith_addrs addrs;
    unsigned answered;
    uint64_t ttl;
    kith_err err;
    const char *why; /* static */
} kith_rdv_event;
bool kith_rdv_next(kith_rdv *r, kith_rdv_event *ev);

typedef struct kith_rdv_point_facts {
    kith_peer_id peer;
    bool registered;
    const char *why; /* of the last refusal, static; NULL: none since it was registered */
} kith_rdv_point_facts;
/* The i-th point; false: there are no more. */
bool kith_rdv_point_at(const kith_rdv *r, size_t i, kith_rdv_point_facts *out);

/* For the part's ops. */
void kith_rdv_event_of(kith_rdv *r, kith_time now, const kith_node_event *ev);
bool kith_rdv_act(kith_rdv *r, kith_time now);
kith_time kith_rdv_deadline(const kith_rdv *r);
void kith_rdv_tick(kith_rdv *r, kith_time now);

#endif
