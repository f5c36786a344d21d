/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Borrowed views of memory, passed by value, and readers and writers that remember their first failure. */
#ifndef KITH_BASE_BYTES_H
#define KITH_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed read-only view. p may be NULL only when len is 0. */
typedef struct kith_bytes {
    const uint8_t *p;
    size_t len;
} kith_bytes;

/* A borrowed writable view. */
typedef struct kith_span {
    uint8_t *p;
    size_t len;
} kith_span;

static inline kith_bytes kith_bytes_of(const void *p, size_t len)
{
    return (kith_bytes){.p = p, .len = len};
}

static inline kith_bytes kith_bytes_str(const char *s)
{
    return (kith_bytes){.p = (const uint8_t *)s, .len = strlen(s)};
}

static inline kith_span kith_span_of(void *p, size_t len)
{
    return (kith_span){.p = p, .len = len};
}

static inline kith_bytes kith_span_bytes(kith_span s)
{
    return (kith_bytes){.p = s.p, .len = s.len};
}

/* The view without its first n bytes; n <= len. */
kith_bytes kith_bytes_skip(kith_bytes b, size_t n);
kith_span kith_span_skip(kith_span s, size_t n);

/* Not constant-time: for public data only (secrets: crypto/ct.h). */
bool kith_bytes_eq(kith_bytes a, kith_bytes b);
bool kith_bytes_eq_str(kith_bytes a, const char *s);
/* Nothing but zero bytes; so is nothing at all. */
bool kith_bytes_all_zero(kith_bytes b);
/* memcmp order, shorter first among equal prefixes. */
int kith_bytes_cmp(kith_bytes a, kith_bytes b);

/* ---- reading ----
 * After a failure (input too short) every further get returns zero or an empty view and `bad` stays set: parse straight
 * through and check once. Views returned point into the input. */
typedef struct kith_rd {
    kith_bytes in; /* what is left */
    bool bad;
} kith_rd;

static inline kith_rd kith_rd_of(kith_bytes in)
{
    return (kith_rd){.in = in, .bad = false};
}

uint8_t kith_get_u8(kith_rd *r);
uint16_t kith_get_be16(kith_rd *r);
uint32_t kith_get_be32(kith_rd *r);
uint64_t kith_get_be64(kith_rd *r);
kith_bytes kith_get_bytes(kith_rd *r, size_t n);
/* Unsigned varint in minimal form, at most 9 bytes (63 bits): multiformats unsigned-varint. A longer or non-minimal one is bad. */
uint64_t kith_get_uvarint(kith_rd *r);
/* A uvarint length and that many bytes. */
kith_bytes kith_get_lp(kith_rd *r);

/* ---- writing ----
 * After a write that does not fit nothing more is written and `bad` stays set. */
typedef struct kith_wr {
    kith_span out; /* the whole buffer */
    size_t len;    /* written so far, <= out.len */
    bool bad;
} kith_wr;

static inline kith_wr kith_wr_of(kith_span out)
{
    return (kith_wr){.out = out, .len = 0, .bad = false};
}

static inline kith_bytes kith_wr_bytes(const kith_wr *w)
{
    return (kith_bytes){.p = w->out.p, .len = w->len};
}

void kith_put_u8(kith_wr *w, uint8_t v);
void kith_put_be16(kith_wr *w, uint16_t v);
void kith_put_be32(kith_wr *w, uint32_t v);
void kith_put_be64(kith_wr *w, uint64_t v);
void kith_put_bytes(kith_wr *w, kith_bytes b);
void kith_put_str(kith_wr *w, const char *s);  /* without the NUL */
void kith_put_uvarint(kith_wr *w, uint64_t v); /* v < 2^63 */
void kith_put_lp(kith_wr *w, kith_bytes b);
void kith_put_dec(kith_wr *w, uint64_t v);   /* decimal digits */
void kith_put_hex(kith_wr *w, kith_bytes b); /* lower case */
/* Claims n bytes to be filled by the caller; NULL when they do not fit. */
uint8_t *kith_put_room(kith_wr *w, size_t n);

/* Length of v as a uvarint: 1..9. */
size_t kith_uvarint_len(uint64_t v);

/* Big- and little-endian access to fixed buffers. */
void kith_store_be16(uint8_t *p, uint16_t v);
void kith_store_be32(uint8_t *p, uint32_t v);
void kith_store_be64(uint8_t *p, uint64_t v);
void kith_store_le64(uint8_t *p, uint64_t v);
uint16_t kith_load_be16(const uint8_t *p);
uint32_t kith_load_be32(const uint8_t *p);
uint64_t kith_load_be64(const uint8_t *p);
uint64_t kith_load_le64(const uint8_t *p);

#endif
