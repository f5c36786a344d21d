/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Multibase: bytes survive every base; a text that decodes is, but for case, the text of what it says. */
#include <assert.h>

#include "wire/multibase.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static void bytes_survive(kith_bytes in, kith_base base)
{
    static uint8_t text[2 * KITH_BASE58_IN_MAX + 2], out[KITH_BASE58_IN_MAX];
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text)), back = kith_wr_of(kith_span_of(out, sizeof out));
    kith_multibase_put(&w, base, in);
    assert(!w.bad && text[0] == (uint8_t)base);
    kith_err e = kith_multibase_get(kith_wr_bytes(&w), &back);
    /* The text of 1024 bytes may itself be too long for a quadratic base. */
    if (e == KITH_ELIMIT && w.len > KITH_BASE58_IN_MAX)
        return;
    assert(e == KITH_OK && kith_bytes_eq(kith_wr_bytes(&back), in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const kith_base bases[] = {KITH_BASE16, KITH_BASE32, KITH_BASE36,
                                      KITH_BASE58, KITH_BASE64, KITH_BASE64URL};
    static uint8_t out[2 * KITH_BASE58_IN_MAX], text[4 * KITH_BASE58_IN_MAX];
    kith_bytes in = kith_bytes_of(data, size < KITH_BASE58_IN_MAX ? size : KITH_BASE58_IN_MAX);
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++)
        bytes_survive(in, bases[i]);
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out)),
            again = kith_wr_of(kith_span_of(text, sizeof text));
    if (kith_multibase_get(in, &w) != KITH_OK) {
        assert(w.bad);
        return 0;
    }
    uint8_t prefix = in.p[0];
    bool cased = prefix == 'z' || prefix == 'm' || prefix == 'u';
    kith_multibase_put(&again, (kith_base)(cased ? prefix : lower(prefix)), kith_wr_bytes(&w));
    assert(!again.bad && again.len == in.len);
    for (size_t i = 0; i < in.len; i++)
        assert(text[i] == (cased ? in.p[i] : lower(in.p[i])));
    return 0;
}
