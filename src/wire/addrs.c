/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Packed lists of addresses. */
#include "wire/addrs.h"

bool kith_addrs_add(kith_addrs *a, const kith_maddr *addr)
{
    kith_rd r = kith_rd_of(kith_addrs_bytes(a));
    size_t count = 0;
    for (; r.in.len > 0; count++) {
        if (kith_bytes_eq(kith_get_lp(&r), kith_maddr_bytes(addr)))
            return true;
    }
    kith_wr w = kith_wr_of(kith_span_of(a->b + a->len, sizeof a->b - a->len));
    if (count == KITH_ADDRS_MAX || kith_uvarint_len(addr->len) + addr->len > w.out.len)
        return false;
    kith_put_lp(&w, kith_maddr_bytes(addr));
    a->len = (uint16_t)(a->len + w.len);
    return true;
}

void kith_addrs_pack(kith_addrs *a, const kith_maddr *addrs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        kith_maddr bare = addrs[i];
        if (kith_maddr_set_peer(&bare, NULL) == KITH_OK && bare.len > 0)
            (void)kith_addrs_add(a, &bare);
    }
}

bool kith_addrs_next(kith_bytes *packed, kith_maddr *out)
{
    kith_rd r = kith_rd_of(*packed);
    kith_bytes one = kith_get_lp(&r);
    if (r.bad || kith_maddr_parse(one, out))
        return false;
    *packed = r.in;
    return true;
}

size_t kith_addrs_unpack(kith_bytes packed, kith_maddr *out, size_t max)
{
    size_t n = 0;
    while (n < max && kith_addrs_next(&packed, &out[n]))
        n++;
    return n;
}

void kith_addrs_fitting(kith_bytes packed, const kith_maddr *remote, kith_addrs *out)
{
    unsigned fit = kith_maddr_scopes_fitting(remote);
    kith_maddr a;
    while (kith_addrs_next(&packed, &a)) {
        if (fit >> kith_maddr_scope(&a) & 1)
            (void)kith_addrs_add(out, &a);
    }
}
