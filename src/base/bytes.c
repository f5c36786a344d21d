/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Views, readers and writers. */
#include "base/bytes.h"

#include <assert.h>

kith_bytes kith_bytes_skip(kith_bytes b, size_t n)
{
    assert(n <= b.len);
    return n == 0 ? b : (kith_bytes){.p = b.p + n, .len = b.len - n};
}

kith_span kith_span_skip(kith_span s, size_t n)
{
    assert(n <= s.len);
    return n == 0 ? s : (kith_span){.p = s.p + n, .len = s.len - n};
}

bool kith_bytes_eq(kith_bytes a, kith_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool kith_bytes_eq_str(kith_bytes a, const char *s)
{
    return kith_bytes_eq(a, kith_bytes_str(s));
}

bool kith_bytes_all_zero(kith_bytes b)
{
    return b.len == 0 || (b.p[0] == 0 && memcmp(b.p, b.p + 1, b.len - 1) == 0);
}

int kith_bytes_cmp(kith_bytes a, kith_bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.p, b.p, n);
    if (c != 0)
        return c;
    return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

/* n bytes of input, or NULL with the reader marked bad and emptied. */
static const uint8_t *take(kith_rd *r, size_t n)
{
    if (r->bad || n > r->in.len) {
        r->bad = true;
        r->in.len = 0;
        return NULL;
    }
    const uint8_t *p = r->in.p;
    r->in = kith_bytes_skip(r->in, n);
    return p;
}

uint8_t kith_get_u8(kith_rd *r)
{
    const uint8_t *p = take(r, 1);
    return p ? p[0] : 0;
}

uint16_t kith_get_be16(kith_rd *r)
{
    const uint8_t *p = take(r, 2);
    return p ? kith_load_be16(p) : 0;
}

uint32_t kith_get_be32(kith_rd *r)
{
    const uint8_t *p = take(r, 4);
    return p ? kith_load_be32(p) : 0;
}

uint64_t kith_get_be64(kith_rd *r)
{
    const uint8_t *p = take(r, 8);
    return p ? kith_load_be64(p) : 0;
}

kith_bytes kith_get_bytes(kith_rd *r, size_t n)
{
    if (n == 0)
        return (kith_bytes){0};
    const uint8_t *p = take(r, n);
    return p ? kith_bytes_of(p, n) : (kith_bytes){0};
}

uint64_t kith_get_uvarint(kith_rd *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
        uint8_t b = kith_get_u8(r);
        if (r->bad)
            return 0;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b & 0x80)
            continue;
        if (b == 0 && shift > 0)
            break; /* not minimal */
        return v;
    }
    r->bad = true;
    r->in.len = 0;
    return 0;
}

kith_bytes kith_get_lp(kith_rd *r)
{
    uint64_t n = kith_get_uvarint(r);
    if (r->bad || n > r->in.len) {
        r->bad = true;
        r->in.len = 0;
        return (kith_bytes){0};
    }
    return kith_get_bytes(r, (size_t)n);
}

uint8_t *kith_put_room(kith_wr *w, size_t n)
{
    if (w->bad || n > w->out.len - w->len) {
        w->bad = true;
        return NULL;
    }
    uint8_t *p = w->out.p + w->len;
    w->len += n;
    return p;
}

void kith_put_u8(kith_wr *w, uint8_t v)
{
    uint8_t *p = kith_put_room(w, 1);
    if (p)
        p[0] = v;
}

void kith_put_be16(kith_wr *w, uint16_t v)
{
    uint8_t *p = kith_put_room(w, 2);
    if (p)
        kith_store_be16(p, v);
}

void kith_put_be32(kith_wr *w, uint32_t v)
{
    uint8_t *p = kith_put_room(w, 4);
    if (p)
        kith_store_be32(p, v);
}

void kith_put_be64(kith_wr *w, uint64_t v)
{
    uint8_t *p = kith_put_room(w, 8);
    if (p)
        kith_store_be64(p, v);
}

void kith_put_bytes(kith_wr *w, kith_bytes b)
{
    if (b.len == 0)
        return;
    uint8_t *p = kith_put_room(w, b.len);
    if (p)
        memcpy(p, b.p, b.len);
}

void kith_put_str(kith_wr *w, const char *s)
{
    kith_put_bytes(w, kith_bytes_str(s));
}

size_t kith_uvarint_len(uint64_t v)
{
    size_t n = 1;
    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

void kith_put_uvarint(kith_wr *w, uint64_t v)
{
    assert(v >> 63 == 0);
    uint8_t *p = kith_put_room(w, kith_uvarint_len(v));
    if (!p)
        return;
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p = (uint8_t)v;
}

void kith_put_lp(kith_wr *w, kith_bytes b)
{
    kith_put_uvarint(w, b.len);
    kith_put_bytes(w, b);
}

void kith_put_dec(kith_wr *w, uint64_t v)
{
    uint8_t digits[20];
    size_t i = sizeof digits;
    do {
        digits[--i] = (uint8_t)('0' + v % 10);
        v /= 10;
    } while (v);
    kith_put_bytes(w, kith_bytes_of(digits + i, sizeof digits - i));
}

void kith_put_hex(kith_wr *w, kith_bytes b)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < b.len; i++) {
        kith_put_u8(w, (uint8_t)hex[b.p[i] >> 4]);
        kith_put_u8(w, (uint8_t)hex[b.p[i] & 15]);
    }
}

void kith_store_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void kith_store_be32(uint8_t *p, uint32_t v)
{
    kith_store_be16(p, (uint16_t)(v >> 16));
    kith_store_be16(p + 2, (uint16_t)v);
}

void kith_store_be64(uint8_t *p, uint64_t v)
{
    kith_store_be32(p, (uint32_t)(v >> 32));
    kith_store_be32(p + 4, (uint32_t)v);
}

void kith_store_le64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

uint16_t kith_load_be16(const uint8_t *p)
{
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

uint32_t kith_load_be32(const uint8_t *p)
{
    return (uint32_t)kith_load_be16(p) << 16 | kith_load_be16(p + 2);
}

uint64_t kith_load_be64(const uint8_t *p)
{
    return (uint64_t)kith_load_be32(p) << 32 | kith_load_be32(p + 4);
}

uint64_t kith_load_le64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}
