/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a server of the DHT keeps for others: values, and who provides what. In memory, so that an answer costs no I/O; a journal hears of
 * every change, and a host writes it to disk and loads it again (host/kad_file.h).
 *
 * Everything here is made by strangers, so everything has a cap:
 *
 *   all together       values_max, values_bytes_max, providers_max; what is full takes nothing new until something expires
 *   a group of public  an eighth of values_max and of providers_max (mesh/kad_table.h has the groups): so it takes
 *   addresses          eight networks, not eight ids, to fill the store
 *   one peer           providers_per_peer keys
 *   one key            providers_per_key; at the cap a newcomer takes the place of the oldest of the group that has most there, if that
 *                      has more than the newcomer's own: so a flood from one network leaves others' providers alone
 *
 * Everything expires after `ttl`, unless it is put again. Times are unix seconds. */
#ifndef KITH_MESH_KAD_STORE_H
#define KITH_MESH_KAD_STORE_H

#include "base/err.h"
#include "mesh/kad_key.h"
#include "wire/addrs.h"

#define KITH_KAD_GROUP_SHARE 8

/* A row as the journal sees it; views live for the call. */
typedef struct kith_kad_row {
    kith_bytes key;
    kith_peer_id provider; /* len 0: a value */
    kith_bytes data;       /* the value; or the provider's addresses, packed */
    uint64_t received;     /* unix seconds */
    uint64_t group;        /* of the address it came from */
} kith_kad_row;

typedef struct kith_kad_store_config {
    kith_env env;
    uint32_t values_max;
    size_t values_bytes_max; /* keys and values */
    uint32_t providers_max, providers_per_peer, providers_per_key;
    uint64_t ttl; /* seconds */
    /* Optional: a row was put, or (data empty, of the others key and provider alone count) is gone. Called inside calls of the store. */
    void (*put)(void *ctx, const kith_kad_row *row);
    void (*gone)(void *ctx, const kith_kad_row *row);
    void *ctx;
} kith_kad_store_config;

void kith_kad_store_config_default(kith_kad_store_config *cfg);

typedef struct kith_kad_store kith_kad_store;

kith_kad_store *kith_kad_store_new(const kith_kad_store_config *cfg); /* NULL: no memory */
void kith_kad_store_free(kith_kad_store *s);

/* Puts a value in the place of the one that was there, or a provider of a key, whose time begins anew. row.received is now. The caller has
 * validated it. KITH_ELIMIT: a cap. KITH_ENOMEM. */
KITH_CHECK kith_err kith_kad_store_put(kith_kad_store *s, const kith_kad_row *row);
/* A row of the journal, at start, the oldest first; the journal does not hear of it. The same errors; KITH_ETIMEOUT: it has expired. */
KITH_CHECK kith_err kith_kad_store_load(kith_kad_store *s, uint64_t now, const kith_kad_row *row);
/* The value of a key; false: none. Views live until the next put or expire. */
bool kith_kad_store_value(const kith_kad_store *s, uint64_t now, kith_bytes key, kith_kad_row *out);
/* The providers of a key, the newest first: begin with *at = NULL; false: no more. */
bool kith_kad_store_provider(const kith_kad_store *s, uint64_t now, kith_bytes key, const void **at,
                             kith_kad_row *out);
/* Whether a provider has as many keys as one peer may. */
bool kith_kad_store_is_full_of(const kith_kad_store *s, const kith_peer_id *provider);
/* Drops what has expired. */
void kith_kad_store_expire(kith_kad_store *s, uint64_t now);
/* When the next row expires, in unix seconds; UINT64_MAX: there is none. */
uint64_t kith_kad_store_next(const kith_kad_store *s);

typedef struct kith_kad_store_facts {
    size_t values, values_bytes, providers, keys;
} kith_kad_store_facts;
kith_kad_store_facts kith_kad_store_look(const kith_kad_store *s);
/* Asserts the invariants; for tests and fuzzers. */
void kith_kad_store_check(const kith_kad_store *s);

#endif
