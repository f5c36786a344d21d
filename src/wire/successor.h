/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Successor statements: a peer's Ed25519 key and its old post-quantum key say together which post-quantum key comes next, so that whoever has
 * pinned the old one can follow. docs/protocols/pq-identity.md, section 4. */
#ifndef KITH_WIRE_SUCCESSOR_H
#define KITH_WIRE_SUCCESSOR_H

#include "crypto/sign.h"
#include "wire/peer_id.h"
#include "wire/pq_id.h"

#define KITH_SUCCESSOR_MAX \
    20480                      /* bytes; longer ones are not read, and none of kith's algorithms makes one */
#define KITH_SUCCESSORS_MAX 16 /* how many of a chain are kept and followed */

typedef struct kith_successor {
    kith_bytes peer_key, old_key, new_key; /* PublicKey protobufs; views into the input */
    kith_bytes sig, pq_sig;
    uint64_t seq;  /* of the new key; the first key of an identity has 0 */
    uint64_t time; /* seconds since 1970-01-01 UTC, by the clock of the signer */
    kith_peer_id peer;
    kith_pq_id old_id, new_id;
} kith_successor;

/* Takes it apart; no signature is looked at. Every field once, seq > 0, an Ed25519 peer key, two different post-quantum keys. KITH_EFORMAT;
 * KITH_EUNSUPPORTED: a key of an unknown kind. */
KITH_CHECK kith_err kith_successor_parse(kith_bytes in, kith_successor *out);
/* Both signatures, of which both must be right. KITH_ECRYPTO. */
KITH_CHECK kith_err kith_successor_verify(const kith_successor *s);

typedef struct kith_successor_of {
    const kith_signer *signer;
    const kith_pq_signer *old_key, *new_key; /* of the new one only the public half is used */
    uint64_t seq, time;
    const uint8_t *rnd; /* KITH_SIG_RND_LEN bytes for the old key's signature; NULL: deterministic */
    uint8_t *room;      /* for a signature of the old key: KITH_SIG_MAX bytes */
} kith_successor_of;

/* Appends a statement. KITH_ESPACE, KITH_ENOMEM; then w is bad or has nothing new. */
KITH_CHECK kith_err kith_successor_sign(const kith_successor_of *of, kith_wr *w);

/* Follows statements in their order from the key that is pinned, *id, to the newest, and writes that to *id and its number to *seq.
 *
 *   statements  the oldest first, at most KITH_SUCCESSORS_MAX; those before *id are passed over
 *   peer        whose they must be
 *   seq         the number of the pinned key, or 0 when it is not known: it must grow with every step
 *
 * Both are written only on KITH_OK. KITH_ENOTFOUND: none begins at *id. KITH_EAUTH: it is another peer's. KITH_EPROTO: the numbers do not
 * grow. KITH_ELIMIT: too many. KITH_EFORMAT, KITH_EUNSUPPORTED, KITH_ECRYPTO: as above; nothing is followed half way. */
KITH_CHECK kith_err kith_successor_follow(const kith_bytes *statements, size_t count,
                                          const kith_peer_id *peer, kith_pq_id *id, uint64_t *seq);

#endif
