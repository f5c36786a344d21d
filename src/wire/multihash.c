/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Hashes that say which hash they are. */
#include "wire/multihash.h"

/* A digest may be cut short, never be longer than its hash. */
static bool length_fits(uint64_t code, size_t n)
{
    switch (code) {
    case KITH_MH_SHA2_256:
        return n >= 1 && n <= 32;
    case KITH_MH_SHA2_512:
        return n >= 1 && n <= 64;
    case KITH_MH_BLAKE3:
        return n >= 1 && n <= 128;
    default: /* identity, and hashes that we only carry */
        return true;
    }
}

kith_multihash kith_get_multihash(kith_rd *r)
{
    kith_multihash h = {.code = kith_get_uvarint(r)};
    h.digest = kith_get_lp(r);
    if (!r->bad && !length_fits(h.code, h.digest.len))
        r->bad = true;
    if (r->bad) {
        r->in.len = 0;
        return (kith_multihash){0};
    }
    return h;
}

kith_err kith_multihash_parse(kith_bytes in, kith_multihash *out)
{
    kith_rd r = kith_rd_of(in);
    kith_multihash h = kith_get_multihash(&r);
    if (r.bad || r.in.len > 0)
        return KITH_EFORMAT;
    *out = h;
    return KITH_OK;
}

void kith_put_multihash(kith_wr *w, uint64_t code, kith_bytes digest)
{
    kith_put_uvarint(w, code);
    kith_put_lp(w, digest);
}
