/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* DNS messages: what opens is walked to its end, and what is walked can be written and read again. */
#include <assert.h>

#include "wire/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(kith_dns_wr *w, const kith_dns_item *item)
{
    if (item->section == KITH_DNS_QUESTION) {
        kith_dns_put_question(w, &item->name, item->type);
        return;
    }
    kith_dns_put_record(w, item->section, &item->name, item->type, item->ttl);
    if (item->type == KITH_DNS_SRV)
        kith_put_bytes(&w->w, kith_bytes_of(item->data.p, 6));
    if (item->target.len)
        kith_dns_put_name(w, &item->target);
    else
        kith_put_bytes(&w->w, item->data);
    kith_dns_end_record(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[256 * 1024];
    kith_dns_rd r, again;
    kith_dns_item a, b;
    kith_dns_wr w;
    kith_bytes string;
    if (kith_dns_open(&r, kith_bytes_of(data, size)))
        return 0;
    size_t said = (size_t)r.left[0] + r.left[1] + r.left[2] + r.left[3], items = 0;
    kith_dns_begin(&w, kith_span_of(out, sizeof out), r.flags);
    for (kith_dns_rd walk = r; kith_dns_next(&walk, &a); items++) {
        assert(a.name.len > 0 && a.data.len <= size);
        write_again(&w, &a);
        while (a.type == KITH_DNS_TXT && kith_dns_txt_next(&a.data, &string))
            assert(string.len <= 255);
    }
    assert(items == said && items <= KITH_DNS_ITEMS_MAX);
    kith_bytes msg = kith_dns_finish(&w);
    kith_err e = kith_dns_open(&again, msg);
    assert(e == KITH_OK || e == KITH_ELIMIT); /* it may have become too long */
    while (!e && kith_dns_next(&r, &a)) {
        bool more = kith_dns_next(&again, &b);
        assert(more && a.section == b.section && a.type == b.type && a.ttl == b.ttl);
        assert(kith_dns_name_eq(&a.name, &b.name) && kith_dns_name_eq(&a.target, &b.target));
        (void)more;
    }
    return 0;
}
