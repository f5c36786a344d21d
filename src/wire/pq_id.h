/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Post-quantum keys and ids on the wire: the PublicKey protobuf around a raw key, and its hash, by which a contact is pinned.
 * docs/protocols/pq-identity.md; libp2p specs RFC-0004 for ML-DSA. */
#ifndef KITH_WIRE_PQ_ID_H
#define KITH_WIRE_PQ_ID_H

#include "base/bytes.h"
#include "base/err.h"
#include "crypto/pqsign.h"

#define KITH_PQ_ID_LEN 34      /* sha2-256 multihash */
#define KITH_PQ_ID_TEXT_LEN 46 /* base58btc of it, without NUL: always Qm... */
#define KITH_PQ_KEY_MAX 2598   /* a PublicKey protobuf with an ML-DSA-87 key */

/* By value everywhere; len is KITH_PQ_ID_LEN, or 0 with the rest zero: none. memcmp of the struct is equality. */
typedef struct kith_pq_id {
    uint8_t len;
    uint8_t b[KITH_PQ_ID_LEN];
} kith_pq_id;

static inline bool kith_pq_id_eq(const kith_pq_id *a, const kith_pq_id *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static inline kith_bytes kith_pq_id_bytes(const kith_pq_id *id)
{
    return kith_bytes_of(id->b, id->len);
}

/* Appends the serialised PublicKey of a raw key; key.len must be right for alg. */
void kith_put_pq_key(kith_wr *w, kith_sig_alg alg, kith_bytes key);
size_t kith_pq_key_len(kith_sig_alg alg);
/* key: a view into the input, of the algorithm's length. Canonical form only (both fields, in order, minimal varints, nothing else), as the
 * id hashes these bytes. KITH_EFORMAT. KITH_EUNSUPPORTED: another kind of key, or a variant that is not known. */
KITH_CHECK kith_err kith_pq_key_parse(kith_bytes pubkey_pb, kith_sig_alg *alg, kith_bytes *key);

/* sha2-256 multihash of a serialised PublicKey, whatever its length: unlike a peer id a pq id never contains the key. */
kith_pq_id kith_pq_id_of_key(kith_bytes pubkey_pb);
kith_pq_id kith_pq_id_of_signer(const kith_pq_signer *s);

/* Binary form. KITH_EFORMAT. */
KITH_CHECK kith_err kith_pq_id_parse(kith_bytes in, kith_pq_id *out);
/* base58btc. KITH_EFORMAT. */
KITH_CHECK kith_err kith_pq_id_from_text(kith_bytes text, kith_pq_id *out);
/* base58btc, NUL-terminated; empty for none. */
void kith_pq_id_text(const kith_pq_id *id, char out[KITH_PQ_ID_TEXT_LEN + 1]);

#endif
