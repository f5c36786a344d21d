/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Invitations as text, and their proofs. */
#include "apps/invite.h"

#include <assert.h>

#include "crypto/crypto.h"
#include "wire/multibase.h"
#include "wire/pb.h"

#define CHECK_LEN 4
#define LABEL "kith-invite-1"

enum { V_PEER = 1, V_PQ = 2, V_SECRET = 3, V_EXPIRES = 4, V_ADDR = 5 };
/* Against mistakes in copying, not against people. */
static void check_of(kith_bytes body, uint8_t out[CHECK_LEN])
{
    uint8_t digest[KITH_SHA256_LEN];
    kith_sha256(body, digest);
    memcpy(out, digest, CHECK_LEN);
}

kith_err kith_invite_text(const kith_invite *v, kith_wr *w)
{
    uint8_t buf[KITH_INVITE_BYTES_MAX], check[CHECK_LEN];
    kith_wr b = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_pb_put_bytes(&b, V_PEER, kith_peer_id_bytes(&v->peer));
    if (v->pq.len)
        kith_pb_put_bytes(&b, V_PQ, kith_pq_id_bytes(&v->pq));
    kith_pb_put_bytes(&b, V_SECRET, kith_bytes_of(v->secret, sizeof v->secret));
    kith_pb_put_num(&b, V_EXPIRES, v->expires);
    for (size_t i = 0; i < v->addr_count; i++) {
        kith_bytes a = kith_maddr_bytes(&v->addrs[i]);
        if (kith_pb_bytes_len(V_ADDR, a.len) + CHECK_LEN <= sizeof buf - b.len)
            kith_pb_put_bytes(&b, V_ADDR, a);
    }
    check_of(kith_wr_bytes(&b), check);
    kith_put_bytes(&b, kith_bytes_of(check, sizeof check));
    kith_put_str(w, KITH_INVITE_PREFIX);
    kith_base_put(w, KITH_BASE64URL, kith_wr_bytes(&b));
    kith_wipe(buf, sizeof buf);
    return w->bad || b.bad ? KITH_ESPACE : KITH_OK;
}

static bool take_field(const kith_pb_field *f, kith_invite *v, bool *secret)
{
    bool is_bytes = f->wire == KITH_PB_BYTES;
    switch (f->tag) {
    case V_PEER:
        return is_bytes && kith_peer_id_parse(f->data, &v->peer) == KITH_OK;
    case V_PQ:
        return is_bytes && kith_pq_id_parse(f->data, &v->pq) == KITH_OK;
    case V_SECRET:
        if (!is_bytes || f->data.len != sizeof v->secret)
            return false;
        memcpy(v->secret, f->data.p, f->data.len);
        *secret = true;
        return true;
    case V_EXPIRES:
        v->expires = f->num;
        return f->wire == KITH_PB_VARINT && f->num <= INT64_MAX;
    case V_ADDR:
        if (is_bytes && v->addr_count < KITH_INVITE_ADDRS_MAX &&
            kith_maddr_parse(f->data, &v->addrs[v->addr_count]) == KITH_OK)
            v->addr_count++;
        return is_bytes;
    default:
        return true; /* a later version's */
    }
}

static const char *parse_body(kith_bytes body, kith_invite *v)
{
    kith_rd r = kith_rd_of(body);
    kith_pb_field f;
    bool secret = false;
    while (kith_pb_next(&r, &f)) {
        if (!take_field(&f, v, &secret))
            return "it was made wrongly: a field is malformed";
    }
    if (r.bad)
        return "it was made wrongly: a field is malformed";
    return !v->peer.len || !secret || !v->expires ? "it was made wrongly: a field is missing" : NULL;
}

kith_err kith_invite_parse(kith_bytes text, kith_invite *out, const char **why)
{
    char tight[KITH_INVITE_TEXT_MAX];
    uint8_t buf[KITH_INVITE_BYTES_MAX], check[CHECK_LEN];
    const size_t prefix = sizeof KITH_INVITE_PREFIX - 1;
    size_t n = 0;
    *why = NULL;
    for (size_t i = 0; i < text.len && !*why; i++) {
        uint8_t c = text.p[i];
        if (c == ' ' || (c >= '\t' && c <= '\r'))
            continue;
        if (n == sizeof tight)
            *why = "it is too long for an invitation";
        else
            tight[n++] = (char)c;
    }
    if (!*why && (n < prefix || memcmp(tight, KITH_INVITE_PREFIX, prefix) != 0))
        *why = "an invitation begins with \"" KITH_INVITE_PREFIX "\"";
    kith_wr b = kith_wr_of(kith_span_of(buf, sizeof buf));
    if (!*why) {
        bool bad = kith_base_get(kith_bytes_of(tight + prefix, n - prefix), KITH_BASE64URL, &b) ||
                   b.len <= CHECK_LEN;
        if (!bad)
            check_of(kith_bytes_of(buf, b.len - CHECK_LEN), check);
        if (bad || memcmp(check, buf + b.len - CHECK_LEN, CHECK_LEN) != 0)
            *why =
                "a character of it is wrong, missing or too many (its checksum does not match): copy it again";
    }
    kith_invite v = {0};
    if (!*why)
        *why = parse_body(kith_bytes_of(buf, b.len - CHECK_LEN), &v);
    if (!*why)
        *out = v;
    kith_wipe(&v, sizeof v);
    kith_wipe(buf, sizeof buf);
    kith_wipe(tight, sizeof tight);
    return *why ? KITH_EFORMAT : KITH_OK;
}

static void put_end(kith_wr *w, const kith_verify_end *e)
{
    kith_put_lp(w, kith_peer_id_bytes(&e->peer));
    kith_put_lp(w, kith_pq_id_bytes(&e->pq));
}

void kith_invite_proof(const uint8_t secret[KITH_INVITE_SECRET_LEN], kith_invite_side side,
                       const uint8_t channel[KITH_CHANNEL_LEN], const kith_verify_end *guest,
                       const kith_verify_end *host, uint8_t out[KITH_INVITE_PROOF_LEN])
{
    uint8_t input[sizeof LABEL + 1 + KITH_CHANNEL_LEN + 2 * (2 + KITH_PEER_ID_MAX + KITH_PQ_ID_LEN)];
    kith_wr w = kith_wr_of(kith_span_of(input, sizeof input));
    kith_put_str(&w, LABEL);
    kith_put_u8(&w, (uint8_t)side);
    kith_put_bytes(&w, kith_bytes_of(channel, KITH_CHANNEL_LEN));
    put_end(&w, guest);
    put_end(&w, host);
    assert(!w.bad);
    kith_hmac_sha256(kith_bytes_of(secret, KITH_INVITE_SECRET_LEN), kith_wr_bytes(&w), out);
}
