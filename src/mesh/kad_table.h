/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The routing table of Kademlia: servers that have answered us, k at most for each length of common prefix with our own key.
 *
 * Who is in stays as long as it answers: a newcomer to a full bucket takes the place of the one that has not answered for the longest, if
 * that is longer than stale_after, and is left out otherwise. So a flood of new ids moves nobody who is alive.
 *
 * Diversity: an attacker has many ids but not addresses in many networks. Of one group of addresses (public IPv4: /16, public IPv6: /32) no
 * more than group_max are in the table and bucket_group_max in a bucket, as in go-libp2p-kad-dht. The address is that of a connection, not
 * what a peer says. Loopback, link-local and private addresses are in no group: a network of one's own is all in one.
 *
 * Memory: at most KITH_KAD_BUCKETS * k entries of 120 bytes and their packed addresses. */
#ifndef KITH_MESH_KAD_TABLE_H
#define KITH_MESH_KAD_TABLE_H

#include "base/list.h"
#include "mesh/kad_key.h"
#include "wire/addrs.h"

/* The last bucket has all that share more bits: with ids found at random there are none before the network has 2^32 nodes. */
#define KITH_KAD_BUCKETS 32

/* The group of a connection's address; 0: none. */
uint64_t kith_kad_group(const kith_maddr *remote);

typedef struct kith_kad_entry {
    kith_link link;
    kith_kad_key key;
    kith_peer_id id;
    uint64_t group;
    kith_time answered_at; /* the last time */
    kith_time tried_at;    /* a check of whether it is alive was begun */
    bool connected;
    uint8_t scopes; /* of the addresses, a bit for each kith_ip_scope */
    uint16_t addrs_len;
    uint8_t *addrs; /* packed */
} kith_kad_entry;

typedef struct kith_kad_table_config {
    kith_env env;
    kith_peer_id self;
    unsigned k;                /* 1.. */
    unsigned group_max;        /* 0: no limit */
    unsigned bucket_group_max; /* 0: no limit */
    kith_time stale_after;
} kith_kad_table_config;

typedef struct kith_kad_table {
    kith_kad_table_config cfg;
    kith_kad_key self;
    kith_list buckets[KITH_KAD_BUCKETS]; /* of kith_kad_entry, the one that answered last at the end */
    uint8_t counts[KITH_KAD_BUCKETS];
    size_t count;
} kith_kad_table;

void kith_kad_table_init(kith_kad_table *t, const kith_kad_table_config *cfg);
void kith_kad_table_fini(kith_kad_table *t);

/* Whether a peer that is not in would be taken now: worth finding out that it answers. */
bool kith_kad_table_wants(const kith_kad_table *t, kith_time now, const kith_peer_id *id, uint64_t group);
/* A server has answered us. It is added, or is fresh again with these addresses (empty: those that it has). KITH_EEXISTS: it was in.
 * KITH_EREFUSED: its bucket is full of peers that live, or its group has its share; or it is we. KITH_ENOMEM. */
KITH_CHECK kith_err kith_kad_table_answered(kith_kad_table *t, kith_time now, const kith_peer_id *id,
                                            kith_bytes addrs, uint64_t group);
/* A peer has come, or its last connection has gone. One that answers is connected. */
void kith_kad_table_set_connected(kith_kad_table *t, const kith_peer_id *id, bool on);
void kith_kad_table_remove(kith_kad_table *t, const kith_peer_id *id);
/* NULL: not in. */
kith_kad_entry *kith_kad_table_find(const kith_kad_table *t, const kith_peer_id *id);
/* The nearest to a key, nearest first, at most max; returns how many. */
size_t kith_kad_table_nearest(const kith_kad_table *t, const kith_kad_key *to, kith_kad_entry **out,
                              size_t max);
/* One that has not answered since before, nor was tried since; it counts as tried now. NULL: there is none. */
kith_kad_entry *kith_kad_table_silent(kith_kad_table *t, kith_time now, kith_time before);
/* The bucket of a key. */
unsigned kith_kad_table_bucket(const kith_kad_table *t, const kith_kad_key *key);
/* The last bucket that is not empty; 0 when all are. */
unsigned kith_kad_table_depth(const kith_kad_table *t);
/* Asserts the invariants; for tests and fuzzers. */
void kith_kad_table_check(const kith_kad_table *t);

#endif
