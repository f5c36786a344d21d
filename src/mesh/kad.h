/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The distributed hash table of libp2p (kad-dht), as a part of a node: finds peers, values and providers, and as a server keeps them for others.
 * docs/protocols/kad.md has the parameters, and where and why they differ from go-libp2p-kad-dht.
 *
 * A client asks only. A server serves the protocol too, so that others take it into their tables; it should be one that others can reach, which
 * whoever runs it has to say (kith_kad_set_server).
 *
 * What is wanted (find, put, get, provide ...) begins with a call and ends with a DONE event of the same op. Such calls do not call the node,
 * so that the driver has to be told afterwards that there is work (kith_host_kick, sim_drive). Events are pulled with kith_kad_next after each
 * act of the part: whoever owns this attaches a part of their own behind it.
 *
 * Memory: the table and the store (mesh/kad_table.h, mesh/kad_store.h) have their caps; an op has at most 8 * 64 candidates of up to 0.6 KiB,
 * and ops_max are there; each inbound stream has what mesh/answers.h says; and of every connection its peer's addresses, up to 0.6 KiB. */
#ifndef KITH_MESH_KAD_H
#define KITH_MESH_KAD_H

#include "mesh/kad_lookup.h"
#include "mesh/kad_record.h"
#include "mesh/kad_store.h"
#include "mesh/kad_table.h"
#include "mesh/part.h"
#include "mesh/reputation.h"

#define KITH_KAD_BOOTSTRAP_MAX 32
#define KITH_KAD_FLOOD 256    /* keys provided beyond store.providers_per_peer, and it is a flood */
#define KITH_KAD_FOUND_MAX 64 /* providers that one op finds */

typedef struct kith_kad_config {
    kith_env env;    /* of everything that outlives the node's streams */
    kith_node *node; /* borrowed; it is freed first */
    kith_bytes
        protocol; /* copied; default KITH_KAD_ID. A network of one's own has its own, "/NAME/kad/1.0.0" */
    bool server;
    unsigned k, alpha, beta, paths;       /* 20, 10, 3, 3 */
    unsigned group_max, bucket_group_max; /* 3, 2; 0: no limit */
    kith_time
        refresh_every; /* 10 min: buckets with gaps are looked up, and the silent asked whether they live */
    kith_time stale_after;                  /* 30 min: who was silent for so long may be replaced */
    kith_time request_timeout;              /* 10 s, dialling included */
    kith_time op_timeout;                   /* 60 s */
    kith_time provide_every;                /* 22 h */
    uint32_t ops_max;                       /* 64, those that run by themselves not counted */
    uint32_t provides_max;                  /* 1024 keys that we provide */
    uint32_t streams_max, streams_per_conn; /* 256, 16: inbound */
    uint32_t requests_max, requests_active; /* 512, 64 */
    const kith_kad_namespace *namespaces;   /* borrowed, beside /pk/ and /ipns/ */
    size_t namespace_count;
    kith_kad_store_config store; /* its env is ignored */
    /* Told what peers did wrong: KITH_CONDUCT_DHT, an answer that is none, or a value that its validator refuses; KITH_CONDUCT_FLOOD. May be
     * called inside calls of the node: it must not call it. May be NULL. */
    void (*conduct)(void *ctx, const kith_peer_id *peer, kith_conduct what);
    void *conduct_ctx;
} kith_kad_config;

void kith_kad_config_default(kith_kad_config *cfg);

typedef struct kith_kad kith_kad;

/* NULL: no memory. A server is served at once. Best made before the node has connections: of those that are there it learns nothing until
 * their peers push news of themselves. */
kith_kad *kith_kad_new(const kith_kad_config *cfg, kith_time now);
/* After the node is freed. */
void kith_kad_free(kith_kad *k);
/* To be attached to whoever drives the node. */
kith_part *kith_kad_part(kith_kad *k);
/* Wall-clock seconds since 1970 at `now`: what is stored expires by them. */
void kith_kad_set_clock(kith_kad *k, kith_time now, uint64_t unix_seconds);
/* Serves or stops to serve. KITH_ENOMEM, KITH_EEXISTS: another part serves the protocol. */
KITH_CHECK kith_err kith_kad_set_server(kith_kad *k, kith_time now, bool on);
bool kith_kad_is_server(const kith_kad *k);
/* A peer to begin with, and to come back to when the table is empty. Copied. KITH_ELIMIT: KITH_KAD_BOOTSTRAP_MAX are there. */
KITH_CHECK kith_err kith_kad_bootstrap(kith_kad *k, kith_time now, const kith_peer_id *id,
                                       const kith_maddr *addrs, size_t count);

/* ---- what is wanted ----
 * *id names the op in its events. Keys are copied. KITH_EFORMAT: a key or value that cannot be. KITH_ELIMIT: ops_max. KITH_ENOMEM. */

/* The k servers nearest to a key (of a peer: its binary id). */
KITH_CHECK kith_err kith_kad_find_nearest(kith_kad *k, kith_time now, kith_bytes key, uint64_t *id);
/* A peer and its addresses. DONE: KITH_OK when we are connected to it; KITH_ENOTFOUND with the addresses that others named and where it did
 * not answer, if there are any. */
KITH_CHECK kith_err kith_kad_find_peer(kith_kad *k, kith_time now, const kith_peer_id *peer, uint64_t *id);
/* Puts a value at the k nearest. KITH_EUNSUPPORTED: no namespace of ours; KITH_ETIMEOUT: it has had its
 * time; KITH_EFORMAT, KITH_EAUTH, KITH_ECRYPTO: its validator says no. */
KITH_CHECK kith_err kith_kad_put(kith_kad *k, kith_time now, kith_bytes key, kith_bytes value, uint64_t *id);
/* The best value of `quorum` (1..) that are valid; fewer when there are no more. Who gave a worse one is sent the best. KITH_EUNSUPPORTED. */
KITH_CHECK kith_err kith_kad_get(kith_kad *k, kith_time now, kith_bytes key, unsigned quorum, uint64_t *id);
/* Tells the k nearest that we have what the key names, and again every provide_every until unprovide; a time that nobody has heard it is made
 * up for after five minutes. op is of the first time. */
KITH_CHECK kith_err kith_kad_provide(kith_kad *k, kith_time now, kith_bytes key, uint64_t *id);
/* The same for a key that was provided before this node began: soon, without an op. KITH_EFORMAT, KITH_ELIMIT, KITH_ENOMEM; KITH_EEXISTS. */
KITH_CHECK kith_err kith_kad_provide_again(kith_kad *k, kith_time now, kith_bytes key);
/* False: it was not provided. */
bool kith_kad_unprovide(kith_kad *k, kith_bytes key);
/* Up to `most` (1..KITH_KAD_FOUND_MAX) who have it, told by PROVIDER events as they are found. */
KITH_CHECK kith_err kith_kad_find_providers(kith_kad *k, kith_time now, kith_bytes key, unsigned most,
                                            uint64_t *id);
/* No event of it comes any more. */
void kith_kad_cancel(kith_kad *k, kith_time now, uint64_t id);

typedef enum kith_kad_event_kind { KITH_KAD_PROVIDER, KITH_KAD_DONE } kith_kad_event_kind;

/* Views live until the next call. */
typedef struct kith_kad_event {
    kith_kad_event_kind kind;
    uint64_t op;
    kith_err err;    /* DONE. KITH_ENOTFOUND: there is none. KITH_ECLOSED: nobody to ask. KITH_ETIMEOUT */
    const char *why; /* static, or NULL */
    const kith_kad_peer *peers; /* PROVIDER: one. DONE of find_nearest: nearest first; of find_peer: it */
    size_t peer_count;
    kith_bytes value; /* DONE of get */
    unsigned
        reached; /* DONE of put: servers that have taken it; of provide: that were told, which has no answer */
    kith_kad_lookup_facts lookup;
    kith_time took;
} kith_kad_event;
bool kith_kad_next(kith_kad *k, kith_kad_event *ev);

/* ---- looking ---- */

typedef struct kith_kad_facts {
    size_t peers;           /* in the table */
    unsigned depth;         /* the last bucket in use */
    uint64_t asked, failed; /* requests of ours that came to an end */
    uint64_t served;        /* requests of others that were answered */
    uint64_t refused;       /* and that were not */
    size_t streams, ops, provides;
    kith_kad_store_facts store;
} kith_kad_facts;
kith_kad_facts kith_kad_look(const kith_kad *k);
const kith_kad_table *kith_kad_table_of(const kith_kad *k);
/* Whether a connected peer was called for a question of ours. */
bool kith_kad_called(const kith_kad *k, const kith_peer_id *peer);
/* For loading what was kept, right after kith_kad_new. */
kith_kad_store *kith_kad_store_of(kith_kad *k);
uint64_t kith_kad_clock(const kith_kad *k, kith_time now);
/* Asserts the invariants; for tests and fuzzers. */
void kith_kad_check(const kith_kad *k);

#endif
