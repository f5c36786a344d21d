/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* CIDs and multihashes: binary is kept to the byte, text gives the same CID again. */
#include <assert.h>

#include "wire/cid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_again(const kith_cid *c, kith_base base)
{
    uint8_t text[512], buf[KITH_CID_MAX];
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    kith_cid d;
    kith_put_cid_text(&w, c, base);
    assert(!w.bad);
    kith_err e = kith_cid_from_text(kith_wr_bytes(&w), kith_span_of(buf, sizeof buf), &d);
    assert(e == KITH_OK);
    assert(d.version == c->version && d.codec == c->codec && d.hash.code == c->hash.code);
    assert(kith_bytes_eq(d.hash_bytes, c->hash_bytes) && kith_bytes_eq(d.hash.digest, c->hash.digest));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const kith_base bases[] = {KITH_BASE16, KITH_BASE32, KITH_BASE36,
                                      KITH_BASE58, KITH_BASE64, KITH_BASE64URL};
    kith_bytes in = kith_bytes_of(data, size);
    uint8_t buf[KITH_CID_MAX], out[KITH_CID_MAX];
    kith_cid c;
    if (kith_cid_parse(in, &c) == KITH_OK) {
        kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
        if (c.version == 1)
            kith_put_cid(&w, c.codec, c.hash_bytes);
        else
            kith_put_bytes(&w, c.hash_bytes);
        assert(kith_bytes_eq(kith_wr_bytes(&w), in));
        for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++)
            same_again(&c, bases[i]);
    }
    if (kith_cid_from_text(in, kith_span_of(buf, sizeof buf), &c) == KITH_OK)
        same_again(&c, KITH_BASE32);
    kith_multihash h;
    if (kith_multihash_parse(in, &h) == KITH_OK && in.len <= sizeof out) {
        kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
        kith_put_multihash(&w, h.code, h.digest);
        assert(kith_bytes_eq(kith_wr_bytes(&w), in));
    }
    return 0;
}
