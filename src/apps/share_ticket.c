/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tickets as text. */
#include "apps/share_ticket.h"

#include <assert.h>

#include "base/crc32c.h"
#include "wire/multibase.h"
#include "wire/pb.h"

enum { TICKET_PEER = 1, TICKET_CAPABILITY = 2, TICKET_ADDR = 3, TICKET_PQ = 4 };
enum { SIGNED_BODY = 1, SIGNED_SIGNATURE = 2 };
enum {
    CAP_TAG = 1,
    CAP_NONCE = 2,
    CAP_NOT_AFTER = 3,
    CAP_TIMES = 4,
    CAP_ID = 5,
    CAP_ONLY = 6,
    CAP_HOLDER = 7
};
enum { CRC_LEN = 4 };

static const char domain[] = "kith share capability:"; /* before what is signed, so that it is nothing else */

/* ---- capabilities ---- */

/* What the signature is over. */
static kith_bytes signed_text(kith_bytes body, uint8_t buf[sizeof domain + KITH_CAPABILITY_MAX])
{
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof domain + KITH_CAPABILITY_MAX));
    kith_put_str(&w, domain);
    kith_put_bytes(&w, body);
    assert(!w.bad);
    return kith_wr_bytes(&w);
}

kith_err kith_capability_put(const kith_capability *c, const kith_signer *signer, kith_wr *w)
{
    uint8_t buf[KITH_CAPABILITY_MAX], text[sizeof domain + KITH_CAPABILITY_MAX], sig[KITH_ED25519_SIG_LEN];
    kith_wr b = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_pb_put_bytes(&b, CAP_TAG, kith_bytes_of(c->tag, sizeof c->tag));
    kith_pb_put_bytes(&b, CAP_NONCE, kith_bytes_of(c->nonce, sizeof c->nonce));
    if (c->not_after)
        kith_pb_put_num(&b, CAP_NOT_AFTER, c->not_after);
    if (c->times)
        kith_pb_put_num(&b, CAP_TIMES, c->times);
    if (c->has_id)
        kith_pb_put_bytes(&b, CAP_ID, kith_bytes_of(c->id, sizeof c->id));
    for (size_t i = 0; i < c->only_count; i++)
        kith_pb_put_bytes(&b, CAP_ONLY, c->only[i]);
    if (c->holder.len)
        kith_pb_put_bytes(&b, CAP_HOLDER, kith_peer_id_bytes(&c->holder));
    if (b.bad || kith_pb_bytes_len(SIGNED_BODY, b.len) + kith_pb_bytes_len(SIGNED_SIGNATURE, sizeof sig) >
                     KITH_CAPABILITY_MAX)
        return KITH_ESPACE;
    kith_err err = kith_signer_sign(signer, signed_text(kith_wr_bytes(&b), text), sig);
    if (err)
        return err;
    kith_pb_put_bytes(w, SIGNED_BODY, kith_wr_bytes(&b));
    kith_pb_put_bytes(w, SIGNED_SIGNATURE, kith_bytes_of(sig, sizeof sig));
    return w->bad ? KITH_ESPACE : KITH_OK;
}

static bool parse_signed(kith_bytes in, kith_bytes *body, kith_bytes *sig)
{
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    *body = *sig = (kith_bytes){0};
    while (kith_pb_next(&r, &f)) {
        if (f.tag > SIGNED_SIGNATURE)
            continue;
        if (f.wire != KITH_PB_BYTES)
            return false;
        *(f.tag == SIGNED_BODY ? body : sig) = f.data;
    }
    return !r.bad && in.len <= KITH_CAPABILITY_MAX && body->len > 0 && sig->len == KITH_ED25519_SIG_LEN;
}

static bool copy_field(const kith_pb_field *f, uint8_t *out, size_t len)
{
    if (f->wire != KITH_PB_BYTES || f->data.len != len)
        return false;
    memcpy(out, f->data.p, len);
    return true;
}

static bool capability_field(const kith_pb_field *f, kith_capability *c, bool *tag, bool *nonce)
{
    switch (f->tag) {
    case CAP_TAG:
        return *tag = copy_field(f, c->tag, sizeof c->tag);
    case CAP_NONCE:
        return *nonce = copy_field(f, c->nonce, sizeof c->nonce);
    case CAP_NOT_AFTER:
        c->not_after = f->num;
        return f->wire == KITH_PB_VARINT;
    case CAP_TIMES:
        c->times = f->num;
        return f->wire == KITH_PB_VARINT;
    case CAP_ID:
        return c->has_id = copy_field(f, c->id, sizeof c->id);
    case CAP_ONLY:
        if (f->wire != KITH_PB_BYTES || c->only_count == KITH_CAPABILITY_ONLY_MAX)
            return false; /* a limit that is passed over would be none */
        c->only[c->only_count++] = f->data;
        return true;
    case CAP_HOLDER:
        return f->wire == KITH_PB_BYTES && kith_peer_id_parse(f->data, &c->holder) == KITH_OK;
    default: /* a later version's */
        return true;
    }
}

kith_err kith_capability_parse(kith_bytes in, kith_capability *out)
{
    kith_capability c = {0};
    kith_bytes body, sig;
    bool tag = false, nonce = false;
    if (!parse_signed(in, &body, &sig))
        return KITH_EFORMAT;
    kith_rd r = kith_rd_of(body);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        if (!capability_field(&f, &c, &tag, &nonce))
            return KITH_EFORMAT;
    }
    if (r.bad || !tag || !nonce)
        return KITH_EFORMAT;
    *out = c;
    return KITH_OK;
}

kith_err kith_capability_verify(kith_bytes in, const uint8_t key[KITH_ED25519_PUB_LEN])
{
    kith_bytes body, sig;
    uint8_t text[sizeof domain + KITH_CAPABILITY_MAX];
    if (!parse_signed(in, &body, &sig))
        return KITH_EFORMAT;
    return kith_verify(KITH_KEY_ED25519, kith_bytes_of(key, KITH_ED25519_PUB_LEN), signed_text(body, text),
                       sig);
}

bool kith_pass_admits(kith_bytes in, const uint8_t key[KITH_ED25519_PUB_LEN],
                      const uint8_t tag[KITH_CAPABILITY_TAG_LEN], const kith_peer_id *peer, uint64_t now_s)
{
    kith_capability c;
    return kith_capability_parse(in, &c) == KITH_OK && peer->len > 0 && kith_peer_id_eq(&c.holder, peer) &&
           memcmp(c.tag, tag, sizeof c.tag) == 0 && c.not_after > now_s &&
           c.not_after <= now_s + KITH_PASS_LASTS_S + KITH_PASS_SLACK_S &&
           kith_capability_verify(in, key) == KITH_OK;
}

/* ---- tickets ---- */

kith_err kith_ticket_text(const kith_ticket *t, kith_wr *w)
{
    uint8_t buf[KITH_TICKET_BYTES_MAX];
    kith_wr b = kith_wr_of(kith_span_of(buf, sizeof buf));
    assert(t->capability_len > 0 && t->capability_len <= KITH_CAPABILITY_MAX);
    kith_pb_put_bytes(&b, TICKET_PEER, kith_peer_id_bytes(&t->peer));
    kith_pb_put_bytes(&b, TICKET_CAPABILITY, kith_bytes_of(t->capability, t->capability_len));
    const size_t behind = CRC_LEN + (t->pq.len ? kith_pb_bytes_len(TICKET_PQ, t->pq.len) : 0);
    for (size_t i = 0; i < t->addr_count; i++) {
        kith_bytes a = kith_maddr_bytes(&t->addrs[i]);
        if (i == 0 || b.len + kith_pb_bytes_len(TICKET_ADDR, a.len) + behind <= KITH_TICKET_BYTES_GOAL)
            kith_pb_put_bytes(&b, TICKET_ADDR, a);
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
    kith_rd r = kith_rd_of(body);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        if (f.tag < TICKET_PEER || f.tag > TICKET_PQ)
            continue; /* a later version's */
        if (f.wire != KITH_PB_BYTES)
            return bad;
        switch (f.tag) {
        case TICKET_PEER:
            if (kith_peer_id_parse(f.data, &t->peer) != KITH_OK)
                return bad;
            break;
        case TICKET_CAPABILITY: {
            kith_capability c;
            if (f.data.len > sizeof t->capability || kith_capability_parse(f.data, &c) != KITH_OK)
                return bad;
            memcpy(t->capability, f.data.p, f.data.len);
            t->capability_len = f.data.len;
            break;
        }
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
    return t->peer.len == 0 || t->capability_len == 0 ? "it was made wrongly: a field is missing" : NULL;
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
