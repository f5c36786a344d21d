/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The post-quantum identity inside a handshake. */
#include "proto/noise_pq.h"

#include "wire/pb.h"

#define CONTEXT "kith-noise-pq-identity-v1:"

static void put_lp(kith_wr *w, kith_bytes b)
{
    if (b.len > UINT16_MAX) {
        w->bad = true;
        return;
    }
    kith_put_be16(w, (uint16_t)b.len);
    kith_put_bytes(w, b);
}

void kith_put_noise_pq_text(kith_wr *w, const kith_noise_pq_text *t)
{
    kith_put_str(w, CONTEXT);
    kith_put_u8(w, t->initiator ? 0 : 1);
    put_lp(w, kith_bytes_str(t->suite));
    kith_put_bytes(w, kith_bytes_of(t->h, 32));
    kith_put_bytes(w, kith_bytes_of(t->s, 32));
    put_lp(w, t->identity);
    put_lp(w, t->pq_identity);
}

void kith_put_noise_pq_channel(kith_wr *w, kith_bytes id)
{
    put_lp(w, id);
}

/* Key and signature; both once. */
static kith_err find(kith_bytes ext, kith_bytes *key, kith_bytes *sig)
{
    kith_rd r = kith_rd_of(ext);
    kith_pb_field f;
    *key = *sig = (kith_bytes){0};
    while (kith_pb_next(&r, &f)) {
        kith_bytes *to = f.tag == KITH_NOISE_EXT_PQ_KEY ? key : f.tag == KITH_NOISE_EXT_PQ_SIG ? sig : NULL;
        if (!to)
            continue;
        if (f.wire != KITH_PB_BYTES || to->p)
            return KITH_EPROTO;
        *to = f.data;
    }
    return r.bad ? KITH_EPROTO : key->len > 0 && sig->len > 0 ? KITH_OK : KITH_EAUTH;
}

static void put_channels(kith_wr *w, kith_bytes ext)
{
    kith_rd r = kith_rd_of(ext);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        if (f.tag == KITH_NOISE_EXT_CHANNEL && f.wire == KITH_PB_BYTES)
            kith_put_noise_pq_channel(w, f.data);
    }
}

kith_err kith_noise_pq_check(kith_bytes ext, kith_noise_pq_text *t, kith_noise_pq *out, const char **why)
{
    uint8_t text[KITH_NOISE_PQ_TEXT_MAX];
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    kith_bytes sig, raw;
    kith_noise_pq pq = {0};
    kith_err e = find(ext, &t->pq_identity, &sig);
    *why = e == KITH_EAUTH
               ? "the peer proves no post-quantum identity, without which this channel is not to be had"
               : "the peer's post-quantum identity is malformed";
    if (e)
        return e;
    e = kith_pq_key_parse(t->pq_identity, &pq.alg, &raw);
    if (e == KITH_EUNSUPPORTED)
        *why = "the peer's post-quantum key has an unknown algorithm";
    if (e)
        return e == KITH_EUNSUPPORTED ? e : KITH_EPROTO;
    if (t->identity.len > KITH_NOISE_PQ_IDENTITY_MAX)
        return KITH_EPROTO;
    kith_put_noise_pq_text(&w, t);
    put_channels(&w, ext);
    if (w.bad)
        return KITH_EPROTO;
    *why =
        "the peer's post-quantum signature is wrong: somebody else holds its other key, or changes this handshake";
    e = kith_pq_verify(pq.alg, raw, kith_wr_bytes(&w), sig);
    if (e == KITH_EUNSUPPORTED)
        *why = "the peer's post-quantum key has an algorithm that this program was built without";
    if (e)
        return e;
    pq.id = kith_pq_id_of_key(t->pq_identity);
    *out = pq;
    return KITH_OK;
}
