/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Bytes as text. */
#include "wire/multibase.h"

#include <assert.h>

static const char digits16[] = "0123456789abcdef";
static const char digits32[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char digits36[] = "0123456789abcdefghijklmnopqrstuvwxyz";
static const char digits58[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char digits64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const char *alphabet(kith_base base)
{
    switch (base) {
    case KITH_BASE16:
        return digits16;
    case KITH_BASE32:
        return digits32;
    case KITH_BASE36:
        return digits36;
    case KITH_BASE58:
        return digits58;
    case KITH_BASE64:
        return digits64;
    case KITH_BASE64URL:
        return digits64url;
    }
    return digits16;
}

/* Bits per character; 0: the base is not a power of two. */
static unsigned bits(kith_base base)
{
    switch (base) {
    case KITH_BASE16:
        return 4;
    case KITH_BASE32:
        return 5;
    case KITH_BASE64:
    case KITH_BASE64URL:
        return 6;
    case KITH_BASE36:
    case KITH_BASE58:
        return 0;
    }
    return 0;
}

/* ---- the bases that are no power of two: one big number ----
 * It is kept in limbs, the least first: of 32 bits on the side of the bytes, of PLACES digits on the side of the text. */

enum { PLACES = 5 /* of limb_of */, LIMBS_MAX = 320 /* 1024 bytes in base 36 are 317 */ };

static uint32_t radix(kith_base base)
{
    return base == KITH_BASE36 ? 36 : 58;
}

static uint64_t limb_of(kith_base base)
{
    const uint64_t r = radix(base);
    return r * r * r * r * r;
}

/* n = n * mul + add, in limbs of `to` values. The product of two limbs fits in 62 bits, as radix^PLACES is less than 2^30. */
static void mul_add(uint32_t *n, size_t *len, uint64_t to, uint64_t mul, uint64_t add)
{
    uint64_t carry = add;
    for (size_t i = 0; i < *len; i++) {
        carry += n[i] * mul;
        n[i] = (uint32_t)(carry % to);
        carry /= to;
    }
    for (; carry; carry /= to) {
        assert(*len < LIMBS_MAX);
        n[(*len)++] = (uint32_t)(carry % to);
    }
}

/* How many digits of `base` values it has. */
static size_t digits_of(uint32_t limb, uint32_t base)
{
    size_t n = 0;
    for (; limb; limb /= base)
        n++;
    return n;
}

/* The limbs as digits of `base` values, `places` in each, the most first; the first limb has no zeros before it. */
static bool put_limbs(kith_wr *w, const uint32_t *n, size_t len, uint32_t base, size_t places)
{
    if (len == 0)
        return true;
    size_t need = (len - 1) * places + digits_of(n[len - 1], base);
    if (need > w->out.len - w->len)
        return false;
    uint8_t *at = w->out.p + w->len + need;
    w->len += need;
    for (size_t i = 0; i < len; i++) {
        uint32_t limb = n[i];
        for (size_t k = i + 1 < len ? places : digits_of(limb, base); k > 0; k--, limb /= base)
            *--at = (uint8_t)(limb % base);
    }
    return true;
}

/* Leading zero bytes are leading zero digits. */
static void put_big(kith_wr *w, kith_base base, kith_bytes in)
{
    const char *abc = alphabet(base);
    uint32_t n[LIMBS_MAX];
    size_t len = 0;
    if (in.len > KITH_BASE58_IN_MAX)
        w->bad = true;
    for (; in.len > 0 && in.p[0] == 0; in = kith_bytes_skip(in, 1))
        kith_put_u8(w, (uint8_t)abc[0]);
    if (w->bad)
        return;
    while (in.len > 0) {
        size_t take = in.len % 4 ? in.len % 4 : 4; /* only the first ones are fewer */
        uint32_t word = 0;
        for (size_t i = 0; i < take; i++)
            word = word << 8 | in.p[i];
        mul_add(n, &len, limb_of(base), UINT64_C(1) << 32, word);
        in = kith_bytes_skip(in, take);
    }
    size_t at = w->len;
    w->bad = !put_limbs(w, n, len, radix(base), PLACES);
    for (; at < w->len; at++)
        w->out.p[at] = (uint8_t)abc[w->out.p[at]];
}

void kith_base_put(kith_wr *w, kith_base base, kith_bytes in)
{
    unsigned width = bits(base);
    if (width == 0) {
        put_big(w, base, in);
        return;
    }
    const char *abc = alphabet(base);
    unsigned acc = 0, have = 0, mask = (1u << width) - 1;
    size_t need = in.len / width * 8 + (in.len % width * 8 + width - 1) / width;
    if (w->bad || need > w->out.len - w->len) {
        w->bad = true;
        return;
    }
    uint8_t *out = w->out.p + w->len;
    for (size_t i = 0; i < in.len; i++) {
        acc = (acc << 8 | in.p[i]) & 0xffff;
        for (have += 8; have >= width; have -= width)
            *out++ = (uint8_t)abc[acc >> (have - width) & mask];
    }
    if (have)
        *out = (uint8_t)abc[acc << (width - have) & mask];
    w->len += need;
}

void kith_multibase_put(kith_wr *w, kith_base base, kith_bytes in)
{
    kith_put_u8(w, (uint8_t)base);
    kith_base_put(w, base, in);
}

/* The value of each character as a digit; 255: it is none. Bases without letters of both cases know no case. */
static void values_of(kith_base base, uint8_t value[256])
{
    const char *abc = alphabet(base);
    bool cased = base == KITH_BASE58 || bits(base) == 6;
    memset(value, 255, 256);
    for (uint8_t d = 0; abc[d]; d++) {
        uint8_t c = (uint8_t)abc[d];
        value[c] = d;
        if (!cased && c >= 'a')
            value[c - 'a' + 'A'] = d;
    }
}

static kith_err get_big(kith_bytes text, kith_base base, kith_wr *w)
{
    uint8_t value[256];
    uint32_t n[LIMBS_MAX];
    size_t len = 0;
    if (text.len > KITH_BASE58_IN_MAX)
        return KITH_ELIMIT;
    values_of(base, value);
    for (; text.len > 0 && value[text.p[0]] == 0; text = kith_bytes_skip(text, 1))
        kith_put_u8(w, 0);
    while (text.len > 0) {
        size_t take = text.len % PLACES ? text.len % PLACES : PLACES;
        uint32_t word = 0;
        for (size_t i = 0; i < take; i++) {
            uint8_t d = value[text.p[i]];
            if (d == 255)
                return KITH_EFORMAT;
            word = word * radix(base) + d;
        }
        mul_add(n, &len, UINT64_C(1) << 32, limb_of(base), word);
        text = kith_bytes_skip(text, take);
    }
    return !w->bad && put_limbs(w, n, len, 256, 4) ? KITH_OK : KITH_ESPACE;
}

static kith_err get_bits(kith_bytes text, kith_base base, kith_wr *w)
{
    unsigned width = bits(base), acc = 0, have = 0;
    uint8_t value[256];
    values_of(base, value);
    size_t need = text.len / 8 * width + text.len % 8 * width / 8;
    bool fits = need <= w->out.len - w->len;
    uint8_t *out = w->out.p + w->len;
    for (size_t i = 0; i < text.len; i++) {
        unsigned d = value[text.p[i]];
        if (d == 255)
            return KITH_EFORMAT;
        acc = (acc << width | d) & 0xffff;
        have += width;
        if (have >= 8) {
            have -= 8;
            if (fits)
                *out++ = (uint8_t)(acc >> have);
        }
    }
    /* A character that adds no byte, or bits that no byte holds, would give a value two texts. */
    if (have >= width || (acc & ((1u << have) - 1)) != 0)
        return KITH_EFORMAT;
    if (!fits)
        return KITH_ESPACE;
    w->len += need;
    return KITH_OK;
}

kith_err kith_base_get(kith_bytes text, kith_base base, kith_wr *w)
{
    kith_err e = w->bad ? KITH_ESPACE : bits(base) ? get_bits(text, base, w) : get_big(text, base, w);
    if (e)
        w->bad = true;
    return e;
}

/* The base of a prefix character; capitals are the same base in upper case. false: none of ours. */
static bool base_of(uint8_t prefix, kith_base *out)
{
    static const struct {
        char prefix;
        kith_base base;
    } known[] = {{'f', KITH_BASE16}, {'F', KITH_BASE16}, {'b', KITH_BASE32},
                 {'B', KITH_BASE32}, {'k', KITH_BASE36}, {'K', KITH_BASE36},
                 {'z', KITH_BASE58}, {'m', KITH_BASE64}, {'u', KITH_BASE64URL}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (prefix == (uint8_t)known[i].prefix) {
            *out = known[i].base;
            return true;
        }
    }
    return false;
}

kith_err kith_multibase_get(kith_bytes text, kith_wr *w)
{
    kith_err e = KITH_EFORMAT;
    kith_base base;
    if (text.len > 0)
        e = base_of(text.p[0], &base) ? kith_base_get(kith_bytes_skip(text, 1), base, w) : KITH_EUNSUPPORTED;
    if (e)
        w->bad = true;
    return e;
}
