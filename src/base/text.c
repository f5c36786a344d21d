/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Text from strangers. */
#include "base/text.h"

size_t kith_utf8_next(kith_bytes in, uint32_t *cp)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800,
                                     0x10000}; /* per length: what a shorter form could say */
    if (in.len == 0)
        return 0;
    uint8_t b = in.p[0];
    if (b < 0x80) {
        *cp = b;
        return 1;
    }
    size_t n = b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : 2;
    if (b < 0xc0 || b >= 0xf8 || in.len < n)
        return 0;
    uint32_t v = b & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((in.p[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (in.p[i] & 0x3f);
    }
    if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
        return 0;
    *cp = v;
    return n;
}

bool kith_text_printable(uint32_t cp)
{
    bool control = cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
    bool separator = cp == 0x2028 || cp == 0x2029;
    bool direction = cp == 0x061c || cp == 0x200e || cp == 0x200f || (cp >= 0x202a && cp <= 0x202e) ||
                     (cp >= 0x2066 && cp <= 0x2069);
    return !control && !separator && !direction;
}

bool kith_text_clean(kith_bytes in)
{
    while (in.len > 0) {
        uint32_t cp;
        size_t n = kith_utf8_next(in, &cp);
        if (n == 0 || !kith_text_printable(cp))
            return false;
        in = kith_bytes_skip(in, n);
    }
    return true;
}
