/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes tickets: as text, and (first byte odd) as a body that gets its checksum and base64 here. What parses can be written and parsed
 * again. */
#include <assert.h>

#include "apps/share_ticket.h"
#include "wire/multibase.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t crc32c(const uint8_t *p, size_t n)
{
    uint32_t c = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = (c >> 1) ^ (0x82f63b78u & (0u - (c & 1)));
    }
    return ~c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t body[2048];
    static char text[4096];
    if (size == 0 || size > 1500)
        return 0;
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    if (data[0] & 1) {
        kith_wr b = kith_wr_of(kith_span_of(body, sizeof body));
        kith_put_bytes(&b, kith_bytes_of(data + 1, size - 1));
        kith_put_be32(&b, crc32c(body, b.len));
        kith_put_str(&w, KITH_TICKET_PREFIX);
        kith_base_put(&w, KITH_BASE64URL, kith_wr_bytes(&b));
    } else {
        kith_put_bytes(&w, kith_bytes_of(data + 1, size - 1));
    }
    kith_ticket t, back;
    const char *why = NULL;
    kith_err e = kith_ticket_parse(kith_wr_bytes(&w), &t, &why);
    if (e) {
        assert(why);
        return 0;
    }
    kith_capability c;
    assert(t.addr_count <= KITH_TICKET_ADDRS_MAX && t.capability_len <= KITH_CAPABILITY_MAX);
    e = kith_capability_parse(kith_bytes_of(t.capability, t.capability_len), &c);
    assert(e == KITH_OK && c.only_count <= KITH_CAPABILITY_ONLY_MAX);
    w = kith_wr_of(kith_span_of(text, sizeof text));
    e = kith_ticket_text(&t, &w);
    assert(e == KITH_OK);
    e = kith_ticket_parse(kith_wr_bytes(&w), &back, &why);
    assert(e == KITH_OK && back.addr_count <= t.addr_count && kith_peer_id_eq(&t.peer, &back.peer));
    assert(kith_pq_id_eq(&t.pq, &back.pq));
    assert(t.capability_len == back.capability_len &&
           memcmp(t.capability, back.capability, t.capability_len) == 0);
    return 0;
}
