/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Who to ask next, to find the nodes nearest to a key: a machine that asks nobody itself.
 *
 *     SEARCHING --every path has come to its end--> CHECKING --the k nearest have answered--> DONE
 *         `----------------------------- stop ----------------`-------------------------------^
 *
 * A candidate is HEARD of, then ASKED, later LATE and PASSED, until it has ANSWERED or FAILED. The search goes on several disjoint paths (S/Kademlia, section 4.4):
 * the seeds are dealt out to the paths, whom an answer names belongs to the path of who answered, and nobody is on two. So an attacker who
 * answers on one path cannot lead the others to his own. A path's end, as in go-libp2p-kad-dht: its beta nearest that have not failed have
 * all answered, or there is nobody left to ask. Then the k nearest of all paths together are asked that were not yet.
 *
 * Who is slow does not hold up the others. A question that takes longer than those of this lookup did, their mean and twice its deviation
 * (RFC 6298's), 500 ms at least, is LATE: another is asked beside it. A second later, the time after which a lost SYN is repeated, it is
 * PASSED, if beta have answered: then no path and no end waits for it any more. Its answer still counts when it comes before the end.
 * rust-libp2p does the like after a fixed time.
 *
 * An answer that names more than group_max peers of one group of public addresses (mesh/kad_table.h) loses all of these, as in go.
 *
 * Memory: at most KITH_KAD_CANDIDATES_MAX candidates for each path of 120 bytes and their addresses. */
#ifndef KITH_MESH_KAD_LOOKUP_H
#define KITH_MESH_KAD_LOOKUP_H

#include "mesh/kad_key.h"
#include "proto/kad_msg.h"

#define KITH_KAD_PATHS_MAX 8
#define KITH_KAD_CANDIDATES_MAX 64 /* on a path; further ones push the furthest out */
#define KITH_KAD_LATE_MIN KITH_MS(500)
#define KITH_KAD_LATE_FIRST KITH_SEC(1)   /* while nobody has answered */
#define KITH_KAD_PASSED_AFTER KITH_SEC(1) /* it was late */
#define KITH_KAD_ASKED_MAX 200 /* in one lookup: whoever always names nearer ones cannot keep it going */

typedef struct kith_kad_lookup_config {
    kith_env env;
    kith_kad_key target;
    kith_peer_id self; /* never asked */
    unsigned k, alpha, beta;
    unsigned paths;     /* 1..KITH_KAD_PATHS_MAX */
    unsigned group_max; /* 0: no limit */
} kith_kad_lookup_config;

typedef struct kith_kad_lookup kith_kad_lookup;

/* Views live until the next call. */
typedef struct kith_kad_contact {
    kith_peer_id id;
    kith_bytes addrs; /* packed */
    unsigned hops;    /* 0: a seed; 1: named by a seed ... */
} kith_kad_contact;

kith_kad_lookup *kith_kad_lookup_new(const kith_kad_lookup_config *cfg); /* NULL: no memory */
void kith_kad_lookup_free(kith_kad_lookup *l);

/* Where to begin; the nearest first, so that each path gets near ones. KITH_ENOMEM. */
KITH_CHECK kith_err kith_kad_lookup_seed(kith_kad_lookup *l, const kith_peer_id *id, kith_bytes addrs);
/* One that may be far from the key, on a path of its own that the lookup gets besides. After the other seeds. KITH_ELIMIT: there are
 * KITH_KAD_PATHS_MAX. KITH_ENOMEM. */
KITH_CHECK kith_err kith_kad_lookup_seed_apart(kith_kad_lookup *l, const kith_peer_id *id, kith_bytes addrs);
/* The next to ask: it counts as asked, alpha at most are at a time, and twice as many with those that are late. False: nobody now. */
bool kith_kad_lookup_next(kith_kad_lookup *l, kith_time now, kith_kad_contact *out);
/* Who was asked has answered, and named others. Memory that is short costs those. */
void kith_kad_lookup_answered(kith_kad_lookup *l, kith_time now, const kith_peer_id *from,
                              const kith_kad_peer *named, size_t count);
void kith_kad_lookup_failed(kith_kad_lookup *l, const kith_peer_id *id);
/* When the next one is late, or passed. */
kith_time kith_kad_lookup_deadline(const kith_kad_lookup *l);
void kith_kad_lookup_tick(kith_kad_lookup *l, kith_time now);
void kith_kad_lookup_stop(kith_kad_lookup *l);
bool kith_kad_lookup_done(const kith_kad_lookup *l);

/* The nearest that have answered, nearest first, at most max. */
size_t kith_kad_lookup_nearest(const kith_kad_lookup *l, kith_kad_contact *out, size_t max);

typedef struct kith_kad_lookup_facts {
    unsigned asked, answered, failed, candidates;
    unsigned under_way; /* those that are late among them */
    unsigned hops;      /* of the nearest that has answered */
} kith_kad_lookup_facts;
kith_kad_lookup_facts kith_kad_lookup_look(const kith_kad_lookup *l);
/* Asserts the invariants; for tests and fuzzers. */
void kith_kad_lookup_check(const kith_kad_lookup *l);

#endif
