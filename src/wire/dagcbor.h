/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A map in DAG-CBOR, read entry by entry from exact bytes: what IPNS signs. Only the one form that DAG-CBOR allows is taken: shortest heads,
 * lengths given, keys sorted (the shorter first) and none twice. ipld.io/specs/codecs/dag-cbor */
#ifndef KITH_WIRE_DAGCBOR_H
#define KITH_WIRE_DAGCBOR_H

#include "base/bytes.h"

typedef enum kith_dagcbor_kind {
    KITH_DAGCBOR_UINT,
    KITH_DAGCBOR_BYTES,
    KITH_DAGCBOR_OTHER, /* well-formed, and passed over with all that is in it */
} kith_dagcbor_kind;

typedef struct kith_dagcbor_entry {
    kith_bytes key; /* text; views into the input */
    kith_dagcbor_kind kind;
    uint64_t num;    /* UINT */
    kith_bytes data; /* BYTES */
} kith_dagcbor_entry;

typedef struct kith_dagcbor_map {
    kith_rd in;
    uint64_t left; /* entries */
    bool begun;
    kith_bytes last; /* the key before, once begun */
} kith_dagcbor_map;

/* A map that takes all of `in`; what is wrong shows in kith_dagcbor_next. */
kith_dagcbor_map kith_dagcbor_map_of(kith_bytes in);
/* False: at the end, or at what is malformed (then m->in.bad). */
bool kith_dagcbor_next(kith_dagcbor_map *m, kith_dagcbor_entry *out);

#endif
