/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whom a node can meet again without post-quantum signatures: the secrets that handshakes have left, and what was checked then. In memory
 * alone. docs/protocols/noise.md, "Resumption".
 *
 * A peer has two sessions at most, the newest ones, so that two connections at once do not take each other's secrets; each has one secret
 * for us to dial with and one for the peer, and each secret serves once. Peers beyond `max` push out the one that has left nothing for
 * longest. Memory: 400 bytes a peer, and 50 to 100 of its places in two maps. */
#ifndef KITH_NODE_RESUME_H
#define KITH_NODE_RESUME_H

#include "base/env.h"
#include "proto/noise.h"

#define KITH_RESUME_PEERS_MAX 4096
#define KITH_RESUME_SESSIONS 2 /* of one peer */

/* Of a peer whose signature was checked. */
typedef struct kith_resume_facts {
    kith_peer_id peer;
    kith_noise_pq pq;
    uint8_t level;        /* of the channel that left the secret; it serves no other */
    kith_time checked_at; /* the signature, in however many sessions before */
} kith_resume_facts;

/* One secret with its facts; whoever has one wipes it. */
typedef struct kith_resumption {
    kith_resume_facts facts;
    kith_noise_secret secret;
} kith_resumption;

typedef struct kith_resume kith_resume;

/* seed: secret, for kith_hash. lifetime: from the check of the signature on; KITH_NEVER: as long as the node. NULL: no memory. */
kith_resume *kith_resume_new(const kith_env *env, const uint64_t seed[2], size_t max, kith_time lifetime);
void kith_resume_free(kith_resume *r);

/* What a handshake has left. Secrets of another post-quantum key of this peer go. Without memory, or when its time is over: nothing is kept. */
void kith_resume_keep(kith_resume *r, kith_time now, const kith_resume_facts *facts,
                      const kith_noise_legacy *legacy);
/* The newest secret to dial this peer with, which is then nowhere else. False: none. */
bool kith_resume_take(kith_resume *r, kith_time now, const kith_peer_id *peer, kith_resumption *out);
/* What a dialer means by this name, KITH_NOISE_RESUME_NAME_LEN bytes. It stays until it is spent. False: unknown, or of another level. */
bool kith_resume_find(const kith_resume *r, kith_time now, const uint8_t *name, uint8_t level,
                      kith_resumption *out);
/* The peer has proven that it has the secret of this name, which serves no more. False: it has done so before. */
bool kith_resume_spend(kith_resume *r, const kith_resumption *known);
void kith_resume_forget(kith_resume *r, const kith_peer_id *peer);
void kith_resume_forget_all(kith_resume *r);

/* When secrets are wiped whose time is over; up to a minute later than that. KITH_NEVER: there are none. */
kith_time kith_resume_deadline(const kith_resume *r);
void kith_resume_tick(kith_resume *r, kith_time now);

size_t kith_resume_peers(const kith_resume *r);
/* Asserts the invariants. */
void kith_resume_check(const kith_resume *r);

#endif
