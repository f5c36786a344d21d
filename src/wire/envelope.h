/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signed envelopes (RFC 0002) and peer records (RFC 0003), in the deployed form; the RFC's legacy form is accepted too. */
#ifndef KITH_WIRE_ENVELOPE_H
#define KITH_WIRE_ENVELOPE_H

#include "base/bytes.h"
#include "base/err.h"
#include "crypto/sign.h"
#include "wire/multiaddr.h"
#include "wire/peer_id.h"

#define KITH_RECORD_ADDRS_MAX 64
#define KITH_ENVELOPE_MAX 8192      /* bytes; longer ones are neither opened nor made */
#define KITH_ENVELOPE_DOMAIN_MAX 64 /* bytes of a domain string */

/* The signed bytes are the domain, the type and the payload, each after its length as uvarint. The domain is not in the envelope. */

typedef struct kith_envelope {
    kith_bytes key; /* PublicKey protobuf; views into the input */
    kith_bytes type;
    kith_bytes payload;
    kith_bytes sig;
    kith_peer_id signer;
} kith_envelope;

/* Parses and verifies the signature under `domain` before anything of the payload is looked at. Each field may stand once; the key must be
 * canonical; unknown fields are skipped. KITH_EFORMAT, KITH_ECRYPTO; KITH_EUNSUPPORTED: a key of unknown type. */
KITH_CHECK kith_err kith_envelope_open(kith_bytes in, const char *domain, kith_envelope *out);
/* The same without the signature: for bytes that were opened before. */
KITH_CHECK kith_err kith_envelope_parse(kith_bytes in, kith_envelope *out);
/* Appends a sealed envelope. KITH_ESPACE: w is too small, or it would be longer than KITH_ENVELOPE_MAX. KITH_ENOMEM, KITH_ECRYPTO: from
 * kith_signer_sign. On failure w is bad. */
KITH_CHECK kith_err kith_envelope_seal(const kith_signer *s, const char *domain, kith_bytes type,
                                       kith_bytes payload, kith_wr *w);

typedef struct kith_peer_record {
    kith_peer_id peer;
    uint64_t seq;
    bool rfc;          /* in RFC 0003's own form: rust writes and reads no other, and nobody else reads it */
    size_t addr_count; /* addresses beyond the cap are dropped, and empty ones */
    kith_bytes addrs[KITH_RECORD_ADDRS_MAX]; /* binary multiaddrs, not yet checked; views into the input */
} kith_peer_record;

/* domain libp2p-peer-record with type 03 01 (go, js, nim), or libp2p-routing-state with /libp2p/routing-state-record (RFC 0003, rust). The
 * record's peer must be the signer. KITH_EFORMAT, KITH_ECRYPTO, KITH_EUNSUPPORTED (another type, of record or key), KITH_EAUTH (peer is
 * not the signer). */
KITH_CHECK kith_err kith_peer_record_open(kith_bytes in, kith_peer_record *out);
/* Appends the deployed form. seq: greater than in any record sealed before; go, js and rust use the wall clock. KITH_ELIMIT: n is above
 * KITH_RECORD_ADDRS_MAX; else as kith_envelope_seal. */
KITH_CHECK kith_err kith_peer_record_seal(const kith_signer *s, uint64_t seq, const kith_maddr *addrs,
                                          size_t n, kith_wr *w);
/* The same in RFC 0003's own form, for those who read no other: rust's rendezvous. */
KITH_CHECK kith_err kith_peer_record_seal_rfc(const kith_signer *s, uint64_t seq, const kith_maddr *addrs,
                                              size_t n, kith_wr *w);

#endif
