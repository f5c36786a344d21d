/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kademlia's state, for its own files only. */
#ifndef KITH_MESH_KAD_IMPL_H
#define KITH_MESH_KAD_IMPL_H

#include "base/map.h"
#include "mesh/answers.h"
#include "mesh/kad.h"
#include "mesh/request.h"

/* A connected peer: its addresses as it says them, and where it really is. */
typedef struct known {
    kith_link link;
    kith_peer_id id;
    unsigned conns;
    kith_maddr remote;
    bool answered;   /* a question of ours */
    unsigned beyond; /* keys that it provided when it had its share */
    bool called;     /* for one */
    uint16_t addrs_len;
    uint8_t *addrs; /* packed */
} known;

typedef struct bootstrap {
    kith_peer_id id;
    kith_addrs addrs;
} bootstrap;

struct kith_kad {
    kith_part part;
    kith_kad_config cfg;
    uint8_t protocol[140];
    kith_peer_id self;
    uint64_t seed[2], clock; /* unix seconds at the node's time 0 */
    kith_kad_table table;
    kith_kad_store *store;
    kith_requests *requests;
    kith_answers *answers;
    kith_map known;      /* by a hash of the id */
    kith_list connected; /* the same */
    bool serving;
    bootstrap *boots;
    size_t boot_count;
    kith_list ops, telling; /* all; those with events */
    struct op *told;        /* its DONE was told by the last next */
    size_t op_count;        /* those that were asked for */
    uint64_t next_op;
    unsigned probes;
    unsigned left;      /* questions whose lookup did not wait for their answers */
    kith_list provides; /* the first is due first */
    size_t provide_count;
    unsigned providing; /* ops that provide again */
    kith_time refresh_at, expire_at;
    kith_time silent_before; /* who has not answered since is asked; 0: nobody */
    int refreshing;          /* -1: not; else the next bucket */
    kith_time looked_up[KITH_KAD_BUCKETS];
    kith_time refreshed_at;
    kith_time eager; /* how soon a small table is a reason to look around again */
    uint64_t asked, failed, served, refused;
    bool news; /* act has something to say that it did something */
};

/* A key that we provide. */
typedef struct provided {
    kith_link link;
    kith_time at; /* the next time */
    size_t key_len;
    uint8_t key[KITH_KAD_PROVIDER_KEY_MAX];
} provided;

known *kith_kad_known_(const kith_kad *k, const kith_peer_id *id);
provided *kith_kad_provided_(const kith_kad *k, kith_bytes key);
/* The validator of a key, or NULL. */
const kith_kad_namespace *kith_kad_namespace_(const kith_kad *k, kith_bytes key);
/* Whether a value may stand under a key now. KITH_ETIMEOUT: it has had its time; else as the validator says. */
kith_err kith_kad_judge_(const kith_kad_namespace *ns, uint64_t unix_seconds, kith_bytes key,
                         kith_bytes value);
/* The value of the store, unless it has had its time. */
bool kith_kad_stored_(const kith_kad *k, uint64_t unix_seconds, kith_bytes key, kith_kad_row *out);
/* A peer did something that is told to whoever minds. */
void kith_kad_conduct_(const kith_kad *k, const kith_peer_id *peer, kith_conduct what);
/* Our own addresses, for a peer at `remote`. */
void kith_kad_own_addrs_(const kith_kad *k, const kith_maddr *remote, kith_addrs *out);
/* kith_answers_config.answer; ctx is the kith_kad. */
kith_err kith_kad_serve_(void *ctx, kith_time now, const kith_peer_id *from, kith_bytes question, kith_wr *w);

#endif
