/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Protobuf fields, read one by one from exact bytes and written in tag order. proto2/proto3 wire format without groups. */
#ifndef KITH_WIRE_PB_H
#define KITH_WIRE_PB_H

#include "base/bytes.h"
#include "base/err.h"

/* Wire types. */
enum { KITH_PB_VARINT = 0, KITH_PB_FIXED64 = 1, KITH_PB_BYTES = 2, KITH_PB_FIXED32 = 5 };

typedef struct kith_pb_field {
    uint32_t tag;    /* field number, 1..2^29-1 */
    uint8_t wire;    /* KITH_PB_... */
    uint64_t num;    /* not of BYTES */
    kith_bytes data; /* BYTES: view into the input */
} kith_pb_field;

/* Next field, or false at the end or at a malformed one (then r->bad). Unknown tags are for the caller to skip. Varints of up to ten
 * bytes are accepted, as protobuf allows. */
bool kith_pb_next(kith_rd *r, kith_pb_field *out);

void kith_pb_put_num(kith_wr *w, uint32_t tag, uint64_t v);
void kith_pb_put_fixed64(kith_wr *w, uint32_t tag, uint64_t v);
void kith_pb_put_bytes(kith_wr *w, uint32_t tag, kith_bytes v);
void kith_pb_put_str(kith_wr *w, uint32_t tag, const char *s);
/* Size that kith_pb_put_bytes will need. */
size_t kith_pb_bytes_len(uint32_t tag, size_t n);
size_t kith_pb_num_len(uint32_t tag, uint64_t v);

#endif
