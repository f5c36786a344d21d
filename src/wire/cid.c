/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Content identifiers. */
#include "wire/cid.h"

#define V0_LEN 34      /* 12 20 and 32 bytes */
#define V0_TEXT_LEN 46 /* those in base58btc */

static bool is_v0(kith_bytes in)
{
    return in.len == V0_LEN && in.p[0] == KITH_MH_SHA2_256 && in.p[1] == 32;
}

static kith_err parse_v0(kith_bytes in, kith_cid *out)
{
    kith_multihash h;
    kith_err e = kith_multihash_parse(in, &h);
    if (e)
        return e;
    *out = (kith_cid){.version = 0, .codec = KITH_CODEC_DAG_PB, .hash = h, .hash_bytes = in};
    return KITH_OK;
}

kith_err kith_cid_parse(kith_bytes in, kith_cid *out)
{
    if (is_v0(in))
        return parse_v0(in, out);
    kith_rd r = kith_rd_of(in);
    uint64_t version = kith_get_uvarint(&r);
    kith_cid c = {.version = 1, .codec = kith_get_uvarint(&r)};
    c.hash_bytes = r.in;
    c.hash = kith_get_multihash(&r);
    if (r.bad || r.in.len > 0 || in.len > KITH_CID_MAX)
        return KITH_EFORMAT;
    if (version !=
        1) /* 0 is no version number; 18 would be a version 0, which is_v0 has not found; the others may come */
        return version == 0 || version == KITH_MH_SHA2_256 ? KITH_EFORMAT : KITH_EUNSUPPORTED;
    *out = c;
    return KITH_OK;
}

kith_err kith_cid_from_text(kith_bytes text, kith_span buf, kith_cid *out)
{
    kith_wr w = kith_wr_of(buf);
    kith_err e;
    if (text.len == V0_TEXT_LEN && text.p[0] == 'Q' && text.p[1] == 'm') {
        e = kith_base_get(text, KITH_BASE58, &w);
        if (e)
            return e;
        return is_v0(kith_wr_bytes(&w)) ? parse_v0(kith_wr_bytes(&w), out) : KITH_EFORMAT;
    }
    e = kith_multibase_get(text, &w);
    if (e)
        return e;
    return is_v0(kith_wr_bytes(&w)) ? KITH_EFORMAT : kith_cid_parse(kith_wr_bytes(&w), out);
}

void kith_put_cid(kith_wr *w, uint64_t codec, kith_bytes hash)
{
    kith_put_u8(w, 1);
    kith_put_uvarint(w, codec);
    kith_put_bytes(w, hash);
}

void kith_put_cid_text(kith_wr *w, const kith_cid *cid, kith_base base)
{
    if (cid->version == 0) {
        kith_base_put(w, KITH_BASE58, cid->hash_bytes);
        return;
    }
    uint8_t b[KITH_CID_MAX];
    kith_wr bin = kith_wr_of(kith_span_of(b, sizeof b));
    kith_put_cid(&bin, cid->codec, cid->hash_bytes);
    if (bin.bad)
        w->bad = true;
    else
        kith_multibase_put(w, base, kith_wr_bytes(&bin));
}
