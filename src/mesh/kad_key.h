/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The key space of Kademlia: everything has its place by SHA-256, and is as far from another as the XOR of both. libp2p kad-dht, "Distance". */
#ifndef KITH_MESH_KAD_KEY_H
#define KITH_MESH_KAD_KEY_H

#include "base/env.h"
#include "crypto/hash.h"

typedef struct kith_kad_key {
    uint8_t b[KITH_SHA256_LEN];
} kith_kad_key;

/* The place of a peer's binary id, of a provider key, or of a value's key. */
static inline kith_kad_key kith_kad_key_of(kith_bytes raw)
{
    kith_kad_key k;
    kith_sha256(raw, k.b);
    return k;
}

/* Bits that two keys have in common at their front: 0..256. */
static inline unsigned kith_kad_key_common(const kith_kad_key *a, const kith_kad_key *b)
{
    for (unsigned i = 0; i < sizeof a->b; i++) {
        unsigned x = a->b[i] ^ b->b[i];
        if (x)
            return i * 8 + (unsigned)__builtin_clz(x) - 24;
    }
    return 256;
}

/* <0: a is nearer to the target than b; 0: a and b are one. */
static inline int kith_kad_key_nearer(const kith_kad_key *target, const kith_kad_key *a,
                                      const kith_kad_key *b)
{
    for (unsigned i = 0; i < sizeof a->b; i++) {
        int d = (a->b[i] ^ target->b[i]) - (b->b[i] ^ target->b[i]);
        if (d)
            return d;
    }
    return 0;
}

#endif
