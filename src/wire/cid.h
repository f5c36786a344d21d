/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Content identifiers, version 0 and 1, binary and text: multiformats/cid. */
#ifndef KITH_WIRE_CID_H
#define KITH_WIRE_CID_H

#include "wire/multibase.h"
#include "wire/multihash.h"

#define KITH_CID_MAX 140 /* bytes: version, codec, and a multihash of up to 128 bytes */

/* Codecs of the multicodec table. */
enum {
    KITH_CODEC_RAW = 0x55,
    KITH_CODEC_DAG_PB = 0x70,
    KITH_CODEC_LIBP2P_KEY = 0x72,
};

typedef struct kith_cid {
    unsigned version; /* 0 or 1 */
    uint64_t codec;   /* of what is hashed; version 0: dag-pb */
    kith_multihash hash;
    kith_bytes hash_bytes; /* the multihash as it stands; views into the input */
} kith_cid;

/* Binary: a bare sha2-256 multihash is version 0, else 01 codec multihash. The whole input is the CID. KITH_EFORMAT;
 * KITH_EUNSUPPORTED: version 2 or later. */
KITH_CHECK kith_err kith_cid_parse(kith_bytes in, kith_cid *out);
/* Text: version 0 is base58btc without prefix (46 characters, Qm...), version 1 has a multibase prefix; its text cannot hold a version 0.
 * The bytes that out views lie in buf, which is at least KITH_CID_MAX long for every CID to fit. KITH_EFORMAT, KITH_ESPACE,
 * KITH_EUNSUPPORTED. */
KITH_CHECK kith_err kith_cid_from_text(kith_bytes text, kith_span buf, kith_cid *out);

/* Version 1. hash is a whole multihash. */
void kith_put_cid(kith_wr *w, uint64_t codec, kith_bytes hash);
/* Version 0 as base58btc, version 1 in `base` (by custom KITH_BASE32). */
void kith_put_cid_text(kith_wr *w, const kith_cid *cid, kith_base base);

#endif
