/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Protobuf fields. */
#include "wire/pb.h"

#include <assert.h>

#define TAG_MAX ((1u << 29) - 1) /* protobuf encoding guide: field numbers have 29 bits */

/* A protobuf varint: up to 64 bits in up to ten bytes, padding bytes allowed. */
static uint64_t get_varint(kith_rd *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t b = kith_get_u8(r);
        if (shift == 63 && b > 1)
            r->bad = true;
        if (r->bad)
            return 0;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return v;
    }
    r->bad = true;
    return 0;
}

/* Protobuf's fixed-width numbers are little-endian. */
static uint64_t get_fixed(kith_rd *r, unsigned n)
{
    kith_bytes b = kith_get_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = b.len; i-- > 0;)
        v = v << 8 | b.p[i];
    return v;
}

bool kith_pb_next(kith_rd *r, kith_pb_field *out)
{
    if (r->bad || r->in.len == 0)
        return false;
    uint64_t key = get_varint(r);
    kith_pb_field f = {.tag = (uint32_t)(key >> 3 & TAG_MAX), .wire = (uint8_t)(key & 7)};
    if (f.tag == 0 || key >> 32)
        r->bad = true;
    switch (f.wire) {
    case KITH_PB_VARINT:
        f.num = get_varint(r);
        break;
    case KITH_PB_FIXED64:
        f.num = get_fixed(r, 8);
        break;
    case KITH_PB_BYTES: {
        uint64_t n = get_varint(r);
        if (n > r->in.len)
            r->bad = true;
        else
            f.data = kith_get_bytes(r, (size_t)n);
        break;
    }
    case KITH_PB_FIXED32:
        f.num = get_fixed(r, 4);
        break;
    default: /* groups (3, 4) and what is not assigned */
        r->bad = true;
    }
    if (r->bad) {
        r->in.len = 0;
        return false;
    }
    *out = f;
    return true;
}

static void put_varint(kith_wr *w, uint64_t v)
{
    uint8_t *p = kith_put_room(w, kith_uvarint_len(v));
    if (!p)
        return;
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p = (uint8_t)v;
}

static uint64_t key_of(uint32_t tag, unsigned wire)
{
    assert(tag >= 1 && tag <= TAG_MAX);
    return (uint64_t)tag << 3 | wire;
}

void kith_pb_put_num(kith_wr *w, uint32_t tag, uint64_t v)
{
    put_varint(w, key_of(tag, 0));
    put_varint(w, v);
}

void kith_pb_put_fixed64(kith_wr *w, uint32_t tag, uint64_t v)
{
    put_varint(w, key_of(tag, 1));
    uint8_t *p = kith_put_room(w, 8);
    if (p)
        kith_store_le64(p, v);
}

void kith_pb_put_bytes(kith_wr *w, uint32_t tag, kith_bytes v)
{
    put_varint(w, key_of(tag, 2));
    put_varint(w, v.len);
    kith_put_bytes(w, v);
}

void kith_pb_put_str(kith_wr *w, uint32_t tag, const char *s)
{
    kith_pb_put_bytes(w, tag, kith_bytes_str(s));
}

size_t kith_pb_bytes_len(uint32_t tag, size_t n)
{
    return kith_uvarint_len(key_of(tag, 2)) + kith_uvarint_len(n) + n;
}

size_t kith_pb_num_len(uint32_t tag, uint64_t v)
{
    return kith_uvarint_len(key_of(tag, 0)) + kith_uvarint_len(v);
}
