/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tickets as text. */
#include "apps/share_ticket.h"

#include <assert.h>

#include "base/crc32c.h"
#include "wire/multibase.h"
#include "wire/pb.h"

enum { TICKET_PEER = 1, TICKET_ROOT = 2, TICKET_SECRET = 3, TICKET_ADDR = 4, TICKET_PQ = 5 };
enum { WIRE_BYTES = 2, CRC_LEN = 4 };

kith_err kith_ticket_text(const kith_ticket *t, kith_wr *w)
{
    uint8_t buf[KITH_TICKET_BYTES_MAX];
    kith_wr b = kith_wr_of(kith_span_of(buf, sizeof buf));
    assert(t->secret_len >= KITH_TICKET_SECRET_LEN && t->secret_len <= KITH_TICKET_SECRET_MAX);
    kith_pb_put_bytes(&b, TICKET_PEER, kith_peer_id_bytes(&t->peer));
    kith_pb_put_bytes(&b, TICKET_ROOT, kith_bytes_of(t->root, sizeof t->root));
    kith_pb_put_bytes(&b, TICKET_SECRET, kith_bytes_of(t->secret, t->secret_len));
    const size_t behind = CRC_LEN + (t->pq.len ? kith_pb_bytes_len(TICKET_PQ, t->pq.len) : 0);
    for (size_t i = 0; i < t->addr_count; i++) {
        kith_bytes a = kith_maddr_bytes(&t->addrs[i]);
        if (i == 0 || kith_pb_bytes_len(TICKET_ADDR, a.len) + behind <= KITH_TICKET_BYTES_GOAL - b.len)
            kith_pb_put_bytes(&b, TICKET_ADDR, a);
        if (b.len > KITH_TICKET_BYTES_GOAL - behind)
            break;
    }
    if (t->pq.len)
        kith_pb_put_bytes(&b, TICKET_PQ, kith_pq_id_bytes(&t->pq));
    kith_put_be32(&b, kith_crc32c(0, kith_wr_bytes(&b)));
    assert(!b.bad);
    kith_put_str(w, KITH_TICKET_PREFIX);
    kith_base_put(w, KITH_BASE64URL, kith_wr_bytes(&b));
    return w->bad ? KITH_ESPACE : KITH_OK;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static const char *parse_body(kith_bytes body, kith_ticket *t)
{
    static const char bad[] = "it was made wrongly: a field is malformed";
    bool root = false;
    kith_rd r = kith_rd_of(body);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        if (f.tag < TICKET_PEER || f.tag > TICKET_PQ)
            continue; /* a later version's */
        if (f.wire != WIRE_BYTES)
            return bad;
        switch (f.tag) {
        case TICKET_PEER:
            if (kith_peer_id_parse(f.data, &t->peer) != KITH_OK)
                return bad;
            break;
        case TICKET_ROOT:
            if (f.data.len != sizeof t->root)
                return bad;
            memcpy(t->root, f.data.p, sizeof t->root);
            root = true;
            break;
        case TICKET_SECRET:
            if (f.data.len < KITH_TICKET_SECRET_LEN || f.data.len > KITH_TICKET_SECRET_MAX)
                return bad;
            memcpy(t->secret, f.data.p, f.data.len);
            t->secret_len = f.data.len;
            break;
        case TICKET_ADDR:
            if (t->addr_count < KITH_TICKET_ADDRS_MAX &&
                kith_maddr_parse(f.data, &t->addrs[t->addr_count]) == KITH_OK)
                t->addr_count++;
            break;
        case TICKET_PQ:
            if (kith_pq_id_parse(f.data, &t->pq) != KITH_OK)
                return bad; /* a pin that is passed over would be none */
            break;
        }
    }
    if (r.bad)
        return bad;
    return t->peer.len == 0 || !root || t->secret_len == 0 ? "it was made wrongly: a field is missing" : NULL;
}

kith_err kith_ticket_parse(kith_bytes text, kith_ticket *out, const char **why)
{
    char tight[KITH_TICKET_TEXT_MAX];
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (is_space(text.p[i]))
            continue;
        if (n == sizeof tight) {
            *why = "it is too long for a ticket";
            return KITH_EFORMAT;
        }
        tight[n++] = (char)text.p[i];
    }
    const size_t prefix = sizeof KITH_TICKET_PREFIX - 1;
    if (n < prefix || memcmp(tight, KITH_TICKET_PREFIX, prefix) != 0) {
        bool version = n > prefix && memcmp(tight, KITH_TICKET_PREFIX, prefix - 1) == 0 &&
                       tight[prefix - 1] >= '2' && tight[prefix - 1] <= '9';
        *why = version
                   ? "it is of a later version (or its fifth character is wrong): a newer kith may read it"
                   : "a ticket starts with \"" KITH_TICKET_PREFIX
                     "\"; is a character at its start wrong or missing?";
        return KITH_EFORMAT;
    }
    uint8_t buf[KITH_TICKET_BYTES_MAX];
    kith_wr b = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_err e = kith_base_get(kith_bytes_of(tight + prefix, n - prefix), KITH_BASE64URL, &b);
    if (e || b.len <= CRC_LEN ||
        kith_load_be32(buf + b.len - CRC_LEN) != kith_crc32c(0, kith_bytes_of(buf, b.len - CRC_LEN))) {
        *why = "a character of it is wrong, missing or too many (its checksum does not match): copy it again";
        return KITH_EFORMAT;
    }
    kith_ticket t = {0};
    *why = parse_body(kith_bytes_of(buf, b.len - CRC_LEN), &t);
    if (*why)
        return KITH_EFORMAT;
    *out = t;
    return KITH_OK;
}
