/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What may stand under a key of the DHT, and which of two values is better: by the key's namespace, the text between its first two slashes.
 * libp2p kad-dht, "Entry validation". A key without a namespace that we know is neither stored nor believed. */
#ifndef KITH_MESH_KAD_RECORD_H
#define KITH_MESH_KAD_RECORD_H

#include "base/bytes.h"
#include "base/err.h"

typedef struct kith_kad_namespace {
    const char *name; /* without slashes; static */
    /* KITH_OK: value may stand under key. Pure, and bounded: a stranger's value costs no more than a signature check. KITH_EUNSUPPORTED: it
     * may be right for others, so that who gave it is not to blame. */
    kith_err (*validate)(void *ctx, kith_bytes key, kith_bytes value);
    /* Whether b is better than a; both are valid. Stable: better(a, b) and better(b, a) are never both true. */
    bool (*better)(void *ctx, kith_bytes key, kith_bytes a, kith_bytes b);
    /* Whether a valid value has had its time; who has kept it so long has done nothing wrong. NULL: none ever does. */
    bool (*ended)(void *ctx, kith_bytes key, kith_bytes value, uint64_t unix_seconds);
    void *ctx;
} kith_kad_namespace;

/* /pk/<binary peer id>: the serialised public key of that peer. */
extern const kith_kad_namespace kith_kad_pk;
/* /ipns/<binary peer id>: a record that this peer's key has signed (wire/ipns.h); the newest is the best. */
extern const kith_kad_namespace kith_kad_ipns;

/* Of those that every node has; NULL: none of them. */
const kith_kad_namespace *kith_kad_namespace_own(kith_bytes key);
/* The namespace of a key; NULL: none of these. */
const kith_kad_namespace *kith_kad_namespace_of(const kith_kad_namespace *all, size_t count, kith_bytes key);

#endif
