/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a kith node says of itself, signed: its human name, addresses and algorithms, and when it said so. docs/protocols/peer-info.md */
#ifndef KITH_WIRE_PEER_INFO_H
#define KITH_WIRE_PEER_INFO_H

#include "crypto/sign.h"
#include "wire/multiaddr.h"
#include "wire/peer_id.h"

#define KITH_PEER_INFO_MAX 4096 /* bytes of a sealed record */
#define KITH_PEER_NAME_MAX 64   /* bytes of a name */
#define KITH_PEER_INFO_ADDRS_MAX 32
#define KITH_PEER_INFO_ALGORITHMS_MAX 16
#define KITH_PEER_INFO_ALGORITHM_MAX 64 /* bytes of one's name */

typedef struct kith_peer_info {
    kith_peer_id peer; /* the signer. To seal: not read */
    uint64_t seq;      /* greater than in any record that it sealed before, below 2^63 */
    uint64_t time;     /* seconds since 1970 UTC, when it was sealed: its subject was there then */
    kith_bytes name;   /* kith_peer_name_ok, or empty: it tells none. Here and below: views */
    size_t addr_count;
    kith_bytes addrs[KITH_PEER_INFO_ADDRS_MAX]; /* valid multiaddrs: its own word, like identify's */
    size_t algorithm_count;
    kith_bytes algorithms[KITH_PEER_INFO_ALGORITHMS_MAX]; /* names, for people: nothing is decided by them */
} kith_peer_info;

/* 1..KITH_PEER_NAME_MAX bytes of printable UTF-8 (kith_text_clean) with no blank at either end. */
bool kith_peer_name_ok(kith_bytes name);

/* Verifies the signature, then reads. from: whom the channel authenticated. KITH_EAUTH: it is somebody else's record. KITH_ELIMIT: longer than
 * KITH_PEER_INFO_MAX. KITH_EFORMAT: a field that is missing, twice there or out of range; of addresses and algorithms, those that are not valid and
 * those beyond the caps are left out. KITH_ECRYPTO, KITH_EUNSUPPORTED: as kith_envelope_open, or the envelope holds something else. */
KITH_CHECK kith_err kith_peer_info_open(kith_bytes in, const kith_peer_id *from, kith_peer_info *out);
/* Reads what kith_peer_info_open has verified before, and verifies nothing. Same errors, but for KITH_ECRYPTO. */
KITH_CHECK kith_err kith_peer_info_read(kith_bytes in, kith_peer_info *out);
/* Appends a sealed record. Addresses that do not fit into it are left out, the last ones first. KITH_EFORMAT: what kith_peer_info_open would refuse or leave
 * out. KITH_ESPACE, KITH_ENOMEM, KITH_ECRYPTO: as kith_envelope_seal. On failure w is bad or has nothing new. */
KITH_CHECK kith_err kith_peer_info_seal(const kith_signer *s, const kith_peer_info *info, kith_wr *w);

#endif
