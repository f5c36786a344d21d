/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Bytes as text. */
#include "wire/multibase.h"

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

static unsigned radix(kith_base base)
{
    return base == KITH_BASE36 ? 36 : 58;
}

static void reverse(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        uint8_t t = p[i];
        p[i] = p[n - 1 - i];
        p[n - 1 - i] = t;
    }
}

/* n = n * mul + add, for a number of *len digits of `to` values each, least first, in a buffer of cap. false: it does not fit. */
static bool mul_add(uint8_t *n, size_t *len, size_t cap, unsigned to, unsigned mul, unsigned add)
{
    unsigned carry = add;
    for (size_t i = 0; i < *len; i++) {
        carry += n[i] * mul;
        n[i] = (uint8_t)(carry % to);
        carry /= to;
    }
    for (; carry; carry /= to) {
        if (*len == cap)
            return false;
        n[(*len)++] = (uint8_t)(carry % to);
    }
    return true;
}

/* Leading zero bytes are leading zero digits; the rest is one big number. The rest of w's buffer is the workspace. */
static void put_big(kith_wr *w, kith_base base, kith_bytes in)
{
    const char *abc = alphabet(base);
    if (in.len > KITH_BASE58_IN_MAX)
        w->bad = true;
    for (; in.len > 0 && in.p[0] == 0; in = kith_bytes_skip(in, 1))
        kith_put_u8(w, (uint8_t)abc[0]);
    if (w->bad || in.len == 0)
        return;
    uint8_t *n = w->out.p + w->len;
    size_t cap = w->out.len - w->len, len = 0;
    for (size_t i = 0; i < in.len; i++) {
        if (!mul_add(n, &len, cap, radix(base), 256, in.p[i])) {
            w->bad = true;
            return;
        }
    }
    for (size_t i = 0; i < len; i++)
        n[i] = (uint8_t)abc[n[i]];
    reverse(n, len);
    w->len += len;
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

/* The digit's value, or 255. */
static unsigned digit(const char *abc, uint8_t c)
{
    const char *at = c == 0 ? NULL : strchr(abc, c);
    return at ? (unsigned)(at - abc) : 255;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static kith_err get_big(kith_bytes text, kith_base base, kith_wr *w)
{
    if (text.len > KITH_BASE58_IN_MAX)
        return KITH_ELIMIT;
    const char *abc = alphabet(base);
    for (; text.len > 0 && text.p[0] == (uint8_t)abc[0]; text = kith_bytes_skip(text, 1))
        kith_put_u8(w, 0);
    if (w->bad)
        return KITH_ESPACE;
    if (text.len == 0)
        return KITH_OK;
    uint8_t *n = w->out.p + w->len;
    size_t cap = w->out.len - w->len, len = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned d = digit(abc, base == KITH_BASE36 ? lower(text.p[i]) : text.p[i]);
        if (d == 255)
            return KITH_EFORMAT;
        if (!mul_add(n, &len, cap, 256, radix(base), d))
            return KITH_ESPACE;
    }
    reverse(n, len);
    w->len += len;
    return KITH_OK;
}

static kith_err get_bits(kith_bytes text, kith_base base, kith_wr *w)
{
    unsigned width = bits(base), acc = 0, have = 0;
    uint8_t value[256]; /* of each character; 255: none of the base's */
    memset(value, 255, sizeof value);
    for (unsigned d = 0; d < 1u << width; d++) {
        uint8_t c = (uint8_t)alphabet(base)[d];
        value[c] = (uint8_t)d;
        if (width < 6 && c >= 'a')
            value[c - 'a' + 'A'] = (uint8_t)d;
    }
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
