/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* IPNS records: where a name, which is a peer id, points to, signed by its key. specs.ipfs.tech/ipns/ipns-record
 *
 *   message IpnsRecord { value = 1; signatureV1 = 2; validityType = 3; validity = 4; sequence = 5; ttl = 6; pubKey = 7; signatureV2 = 8; data = 9; }
 *
 * What counts stands in data, a map in DAG-CBOR with Value, Validity, ValidityType, Sequence and TTL, under signatureV2. Fields 1 to 6 are for
 * readers of before 2021. */
#ifndef KITH_WIRE_IPNS_H
#define KITH_WIRE_IPNS_H

#include "wire/peer_id.h"

#define KITH_IPNS_MAX 10240 /* bytes of a record: IPNS spec, "Record Size Limit" */

typedef struct kith_ipns {
    kith_bytes
        value;    /* a path as text, such as /ipfs/CID, or a binary CID: any bytes; a view into the input */
    uint64_t eol; /* valid until then: seconds since 1970; what ended before has ended in 1970 */
    uint32_t eol_ns;   /* and nanoseconds */
    uint64_t sequence; /* below 2^63 */
    uint64_t ttl;      /* nanoseconds for which it may be cached; below 2^63 */
} kith_ipns;

/* Reads a record and verifies that the owner of `name` has signed it; whether it has ended is for the caller to see.
 * KITH_EFORMAT: no record. KITH_EAUTH: another name's key, or fields that do not say what is signed. KITH_ECRYPTO: a bad signature.
 * KITH_EUNSUPPORTED: its owner has signed what we do not read, or with a key of a kind that we do not know. */
KITH_CHECK kith_err kith_ipns_open(kith_bytes in, const kith_peer_id *name, kith_ipns *out);
/* The same without key and signature: for bytes that were opened before. */
KITH_CHECK kith_err kith_ipns_read(kith_bytes in, kith_ipns *out);
bool kith_ipns_ended(const kith_ipns *r, uint64_t unix_seconds);
/* > 0: a is newer: by sequence, then by its end. 0: neither; the larger bytes win then. */
int kith_ipns_cmp(const kith_ipns *a, const kith_ipns *b);

#endif
