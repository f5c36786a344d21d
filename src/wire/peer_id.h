/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Peer ids and public keys, libp2p peer-ids spec. */
#ifndef KITH_WIRE_PEER_ID_H
#define KITH_WIRE_PEER_ID_H

#include "base/bytes.h"
#include "base/err.h"
#include "crypto/sign.h"

#define KITH_PEER_ID_MAX \
    44 /* bytes of the multihash: identity of a key of up to 42 bytes, or sha2-256 (34) */
#define KITH_PEER_ID_TEXT_MAX 64 /* base58btc or CIDv1 base32, without NUL */
#define KITH_PUBKEY_MAX 2048     /* a PublicKey protobuf that we accept */
#define KITH_PUBKEY_ED25519_LEN 36

/* By value everywhere; unused tail bytes are zero, so memcmp of the struct is equality. len 0: no peer. */
typedef struct kith_peer_id {
    uint8_t len;
    uint8_t b[KITH_PEER_ID_MAX];
} kith_peer_id;

static inline bool kith_peer_id_eq(const kith_peer_id *a, const kith_peer_id *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static inline kith_bytes kith_peer_id_bytes(const kith_peer_id *id)
{
    return kith_bytes_of(id->b, id->len);
}

/* Binary multihash form; checks code and lengths. KITH_EFORMAT. */
KITH_CHECK kith_err kith_peer_id_parse(kith_bytes in, kith_peer_id *out);
/* Text: base58btc (12D3Koo..., Qm..., 16Uiu2...) or CIDv1 with codec libp2p-key in any multibase. */
KITH_CHECK kith_err kith_peer_id_from_text(kith_bytes text, kith_peer_id *out);
/* base58btc, NUL-terminated. */
void kith_peer_id_text(const kith_peer_id *id, char out[KITH_PEER_ID_TEXT_MAX + 1]);
/* CIDv1 base32 (bafz...), NUL-terminated; at most 80 characters. */
void kith_peer_id_cid_text(const kith_peer_id *id, char out[81]);

/* From a serialised PublicKey protobuf, which must be canonical (both fields, in order, minimal varints, nothing else): the id hashes
 * these bytes. KITH_EFORMAT. */
KITH_CHECK kith_err kith_peer_id_of_key(kith_bytes pubkey_pb, kith_peer_id *out);
/* The key inside an identity-multihash id, as serialised protobuf; empty when the id is a hash. A view into id. */
kith_bytes kith_peer_id_inline_key(const kith_peer_id *id);

/* Serialised PublicKey of an Ed25519 key. */
void kith_pubkey_ed25519(const uint8_t pub[KITH_ED25519_PUB_LEN], uint8_t out[KITH_PUBKEY_ED25519_LEN]);
/* type and data (a view); the same canonicity rules. */
KITH_CHECK kith_err kith_pubkey_parse(kith_bytes pubkey_pb, kith_key_type *type, kith_bytes *data);
/* Parse + verify in one. KITH_ECRYPTO, KITH_EFORMAT, KITH_EUNSUPPORTED. */
KITH_CHECK kith_err kith_pubkey_verify(kith_bytes pubkey_pb, kith_bytes msg, kith_bytes sig);

#endif
