/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whom to trust: what is remembered of a peer, what a person may change of it, and the decision about a new connection. All of it is pure:
 * host/trust_store.h keeps the rows, and asks here. docs/protocols/trust.md
 *
 * A peer id is its own proof, so the classical identity needs no memory. What is remembered is what an attacker who can forge Ed25519
 * could take away: that this peer speaks post-quantum channels, and which post-quantum key it has. */
#ifndef KITH_NODE_TRUST_H
#define KITH_NODE_TRUST_H

#include "node/node.h"

#define KITH_TRUST_NAME_MAX 63 /* bytes of a petname */

/* How something came to be known, in order of strength. */
typedef enum kith_trust_how {
    KITH_TRUST_FIRST_SEEN, /* the network said so, once */
    KITH_TRUST_PINNED,     /* a ticket, an invitation or the user said so */
    KITH_TRUST_VERIFIED,   /* both sides compared a number */
} kith_trust_how;

/* A peer's own `pq`, in the place of the configuration's. */
typedef enum kith_trust_policy {
    KITH_TRUST_INHERIT,
    KITH_TRUST_PREFER,
    KITH_TRUST_REQUIRE,
    KITH_TRUST_OFF,
} kith_trust_policy;

typedef struct kith_trust_row {
    kith_peer_id peer;
    kith_pq_id pq;                      /* of its post-quantum key; len 0: none is known */
    kith_pq_id former;                  /* the one that pq followed; len 0: none */
    kith_sig_alg sig;                   /* pq's algorithm; KITH_SIG_NONE: not known */
    char name[KITH_TRUST_NAME_MAX + 1]; /* petname, "" for none; of all rows only one has it */
    kith_trust_how how, pq_how;         /* of the peer, and of pq */
    kith_trust_policy policy;
    uint64_t sequence;    /* of pq, in its succession; 0: it followed none, or that is not known */
    uint64_t first, last; /* met, unix seconds; 0: never */
    uint8_t level;        /* the best NIST category of the channels it was met on; 0: classical ones only */
    bool blocked;
    bool reached; /* we have dialled it, not only it us */
} kith_trust_row;

const char *kith_trust_how_name(kith_trust_how h);       /* "first-seen" */
const char *kith_trust_policy_name(kith_trust_policy p); /* "inherit" */
bool kith_trust_how_named(kith_bytes name, kith_trust_how *out);
bool kith_trust_policy_named(kith_bytes name, kith_trust_policy *out);

/* Whether a person or a message of theirs made something of it, so that it is never dropped to make room. */
bool kith_trust_kept(const kith_trust_row *r);

/* NULL: fit for a petname; or what is wrong with it. 1 to KITH_TRUST_NAME_MAX bytes of printable UTF-8 without white space and /, which
 * is not a peer id and does not begin with - or @. */
const char *kith_trust_name_wrong(kith_bytes name);
/* Petnames that differ only in the case of ASCII letters are one. */
bool kith_trust_name_eq(kith_bytes a, kith_bytes b);

/* The decision. known: what is remembered, or NULL; policy: of the configuration; unix: seconds.
 *
 *   KITH_OK       accepted; *record is the row as it is to be remembered
 *   KITH_EAUTH    its post-quantum key is not the one that is known: changed, gone, or an older one
 *   KITH_EPOLICY  it is blocked; or the channel is not post-quantum, and it has to be
 *
 * When refused, why names the peer, what has changed and the command that accepts it, and nothing is to be remembered.
 *
 * A channel of a lower category than before is no refusal as long as it is post-quantum: which one is used is what both sides' levels
 * come to, and either user may change theirs. `off` gives up what was only seen; a post-quantum key that was pinned or verified needs `off`
 * for this peer. A changed key is refused whatever the policy. */
KITH_CHECK kith_err kith_trust_decide(const kith_trust_row *known, const kith_contact *c,
                                      kith_pq_policy policy, uint64_t unix, kith_trust_row *record,
                                      char why[KITH_REASON_MAX]);

/* What a person, a ticket or an invitation changes. */
typedef enum kith_trust_act {
    KITH_TRUST_PIN, /* pq (len 0: of the peer alone) and name ("": as it is); KITH_EAUTH: another key is known */
    KITH_TRUST_VERIFY, /* the peer, with pq as its key */
    KITH_TRUST_RENAME, /* name; "": without one */
    KITH_TRUST_BLOCK,
    KITH_TRUST_UNBLOCK,
    KITH_TRUST_KEY,       /* pq is its key from now on; len 0: it has none */
    KITH_TRUST_CLASSICAL, /* forget that it was met on a post-quantum channel, and its key, which no other proves */
    KITH_TRUST_SET_POLICY,
    KITH_TRUST_FORGET,
    KITH_TRUST_PUT, /* row, in the place of what was there: a restored export */
} kith_trust_act;

typedef struct kith_trust_edit {
    kith_trust_act act;
    kith_peer_id peer;
    kith_pq_id pq;
    kith_sig_alg sig;
    char name[KITH_TRUST_NAME_MAX + 1];
    kith_trust_policy policy;
    kith_trust_row row;
} kith_trust_edit;

/* Changes a row; known is false when there was none and *r is what a new one begins as (kith_trust_begin). KITH_EAUTH (PIN: why), KITH_ENOTFOUND: there is
 * nothing to change. Whether another row has the name is for the caller to see. */
KITH_CHECK kith_err kith_trust_apply(const kith_trust_edit *e, bool known, kith_trust_row *r,
                                     char why[KITH_REASON_MAX]);
kith_trust_row kith_trust_begin(const kith_peer_id *peer);

#endif
