/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whom to call of those that are said to have some of a share. What others say is a hint: it costs a bounded number of calls, at a bounded
 * rate, to addresses that the teller may tell of (kith_maddr_scopes_fitting), and nobody is believed because of it.
 *
 *     heard --next--> CALLED --(connected, stays)
 *       ^                |over
 *       +-- later, KITH_HINT_TRIES times --+--> GIVEN UP          bad: for good
 *
 * Memory: 64 peers of 2 KiB. */
#ifndef KITH_APPS_SHARE_HINTS_H
#define KITH_APPS_SHARE_HINTS_H

#include "apps/share.h"
#include "wire/multiaddr.h"

#define KITH_HINTS_MAX 64                         /* peers */
#define KITH_HINTS_OF_MEMBER KITH_SHARE_PEERS_MAX /* of them, told by one that is not the sharer */
#define KITH_HINT_TRIES 4
#define KITH_HINT_CALL_EVERY KITH_MS(100)
#define KITH_HINT_AGAIN KITH_SEC(2) /* then twice as long, and so on */
#define KITH_HINT_CALLS_MAX 192     /* in all */

typedef enum kith_hint_state { KITH_HINT_HEARD, KITH_HINT_CALLED, KITH_HINT_GIVEN_UP } kith_hint_state;

typedef struct kith_share_hint {
    kith_hint_state state;
    kith_peer_id peer, teller;
    uint64_t tag; /* the owner's: for the way by which it was heard of */
    size_t addr_count;
    kith_maddr addrs[KITH_SHARE_PEER_ADDRS_MAX]; /* without /p2p; none: it may be connected already */
    uint32_t tries;
    kith_time next_at;
    bool bad;
} kith_share_hint;

typedef struct kith_share_hints {
    kith_peer_id self;
    size_t count, calls;
    kith_time next_at;
    kith_share_hint list[KITH_HINTS_MAX];
} kith_share_hints;

void kith_share_hints_init(kith_share_hints *h, const kith_peer_id *self);

/* One peer of a PEERS message as far as it is of use to who hears it: without addresses that are malformed, another peer's or beyond `scopes`.
 * False: its id is malformed. */
bool kith_share_hint_read(const kith_share_peer *in, uint8_t scopes, kith_share_hint *out);

/* PEERS has come from teller, who is at `remote`. */
void kith_share_hints_hear(kith_share_hints *h, kith_time now, const kith_peer_id *teller, bool sharer,
                           const kith_maddr *remote, uint64_t tag, kith_bytes peers);
/* A peer that has called us, and so is there. */
void kith_share_hints_met(kith_share_hints *h, kith_time now, const kith_peer_id *peer, uint64_t tag);

/* Who is to be called now; valid until the next call. NULL: nobody. */
const kith_share_hint *kith_share_hints_next(kith_share_hints *h, kith_time now);
/* Somebody who was called could not be reached, or has left. bad: it broke the protocol, or lied. It need not be known here. */
void kith_share_hints_over(kith_share_hints *h, kith_time now, const kith_peer_id *peer, bool bad);
/* It was worth calling: another time begins with the first wait. */
void kith_share_hints_useful(kith_share_hints *h, const kith_peer_id *peer);

/* Asserts the invariants; for tests and fuzzers. */
void kith_share_hints_check(const kith_share_hints *h);

#endif
