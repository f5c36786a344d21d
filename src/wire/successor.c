/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Successor statements. */
#include "wire/successor.h"

#include <assert.h>

#include "wire/pb.h"

enum { PEER_KEY = 1, OLD_KEY, NEW_KEY, SEQ, TIME, SIG, PQ_SIG, FIELDS };

static const char context[] = "kith-pq-successor-v1:";

/* What is signed; its length is bounded by the keys'. */
#define SIGNED_MAX (sizeof context + 2 + KITH_PUBKEY_ED25519_LEN + KITH_PQ_ID_LEN + 2 + KITH_PQ_KEY_MAX + 16)

static kith_bytes signed_bytes(const kith_successor *s, uint8_t buf[SIGNED_MAX])
{
    kith_wr w = kith_wr_of(kith_span_of(buf, SIGNED_MAX));
    kith_put_str(&w, context);
    kith_put_be16(&w, (uint16_t)s->peer_key.len);
    kith_put_bytes(&w, s->peer_key);
    kith_put_bytes(&w, kith_pq_id_bytes(&s->old_id));
    kith_put_be16(&w, (uint16_t)s->new_key.len);
    kith_put_bytes(&w, s->new_key);
    kith_put_be64(&w, s->seq);
    kith_put_be64(&w, s->time);
    assert(!w.bad);
    return kith_wr_bytes(&w);
}

static kith_err peer_key_of(kith_successor *s)
{
    kith_key_type type;
    kith_bytes raw;
    kith_err e = kith_pubkey_parse(s->peer_key, &type, &raw);
    if (e)
        return e;
    if (type != KITH_KEY_ED25519)
        return KITH_EUNSUPPORTED;
    return raw.len == KITH_ED25519_PUB_LEN ? kith_peer_id_of_key(s->peer_key, &s->peer) : KITH_EFORMAT;
}

static kith_err pq_keys_of(kith_successor *s)
{
    kith_sig_alg alg;
    kith_bytes raw;
    kith_err e = kith_pq_key_parse(s->old_key, &alg, &raw);
    if (!e)
        e = kith_pq_key_parse(s->new_key, &alg, &raw);
    if (e)
        return e;
    s->old_id = kith_pq_id_of_key(s->old_key);
    s->new_id = kith_pq_id_of_key(s->new_key);
    return kith_pq_id_eq(&s->old_id, &s->new_id) ? KITH_EFORMAT : KITH_OK;
}

static bool take_field(kith_successor *s, const kith_pb_field *f)
{
    switch (f->tag) {
    case PEER_KEY:
        s->peer_key = f->data;
        return f->wire == KITH_PB_BYTES;
    case OLD_KEY:
        s->old_key = f->data;
        return f->wire == KITH_PB_BYTES;
    case NEW_KEY:
        s->new_key = f->data;
        return f->wire == KITH_PB_BYTES;
    case SEQ:
        s->seq = f->num;
        return f->wire == KITH_PB_VARINT && f->num > 0;
    case TIME:
        s->time = f->num;
        return f->wire == KITH_PB_VARINT;
    case SIG:
        s->sig = f->data;
        return f->wire == KITH_PB_BYTES;
    case PQ_SIG:
        s->pq_sig = f->data;
        return f->wire == KITH_PB_BYTES;
    }
    return false;
}

/* Fields once, in order, and no others: a statement has one form, and a later version has another context. */
kith_err kith_successor_parse(kith_bytes in, kith_successor *out)
{
    kith_successor s = {0};
    kith_pb_field f;
    kith_rd r = kith_rd_of(in);
    uint32_t next = PEER_KEY;
    if (in.len > KITH_SUCCESSOR_MAX)
        return KITH_EFORMAT;
    while (kith_pb_next(&r, &f)) {
        if (f.tag != next++ || !take_field(&s, &f))
            return KITH_EFORMAT;
    }
    if (r.bad || next != FIELDS)
        return KITH_EFORMAT;
    kith_err e = peer_key_of(&s);
    if (!e)
        e = pq_keys_of(&s);
    if (e)
        return e;
    *out = s;
    return KITH_OK;
}

kith_err kith_successor_verify(const kith_successor *s)
{
    uint8_t buf[SIGNED_MAX];
    kith_bytes msg = signed_bytes(s, buf), raw;
    kith_sig_alg alg;
    kith_err e = kith_pubkey_verify(s->peer_key, msg, s->sig);
    if (!e)
        e = kith_pq_key_parse(s->old_key, &alg, &raw);
    return e ? e : kith_pq_verify(alg, raw, msg, s->pq_sig);
}

static kith_bytes put_key(const kith_pq_signer *key, uint8_t buf[KITH_PQ_KEY_MAX])
{
    kith_wr w = kith_wr_of(kith_span_of(buf, KITH_PQ_KEY_MAX));
    kith_put_pq_key(&w, kith_pq_signer_alg(key), kith_pq_signer_public(key));
    assert(!w.bad);
    return kith_wr_bytes(&w);
}

kith_err kith_successor_sign(const kith_successor_of *of, kith_wr *w)
{
    uint8_t raw[KITH_ED25519_PUB_LEN], peer_key[KITH_PUBKEY_ED25519_LEN], sig[KITH_ED25519_SIG_LEN];
    uint8_t old_key[KITH_PQ_KEY_MAX], new_key[KITH_PQ_KEY_MAX], buf[SIGNED_MAX];
    kith_signer_public(of->signer, raw);
    kith_pubkey_ed25519(raw, peer_key);
    kith_successor s = {.peer_key = kith_bytes_of(peer_key, sizeof peer_key),
                        .old_key = put_key(of->old_key, old_key),
                        .new_key = put_key(of->new_key, new_key),
                        .seq = of->seq,
                        .time = of->time};
    s.old_id = kith_pq_id_of_key(s.old_key);
    kith_bytes msg = signed_bytes(&s, buf);
    kith_err e = kith_signer_sign(of->signer, msg, sig);
    if (!e)
        e = kith_pq_sign(of->old_key, msg, of->rnd, of->room);
    if (e)
        return e;
    kith_pb_put_bytes(w, PEER_KEY, s.peer_key);
    kith_pb_put_bytes(w, OLD_KEY, s.old_key);
    kith_pb_put_bytes(w, NEW_KEY, s.new_key);
    kith_pb_put_num(w, SEQ, s.seq);
    kith_pb_put_num(w, TIME, s.time);
    kith_pb_put_bytes(w, SIG, kith_bytes_of(sig, sizeof sig));
    kith_pb_put_bytes(w, PQ_SIG,
                      kith_bytes_of(of->room, kith_sig_info_of(kith_pq_signer_alg(of->old_key))->sig_len));
    return w->bad ? KITH_ESPACE : KITH_OK;
}

kith_err kith_successor_follow(const kith_bytes *statements, size_t count, const kith_peer_id *peer,
                               kith_pq_id *id, uint64_t *seq)
{
    kith_pq_id at = *id;
    uint64_t number = *seq;
    kith_successor s;
    if (count > KITH_SUCCESSORS_MAX)
        return KITH_ELIMIT;
    for (size_t i = 0; i < count; i++) {
        kith_err e = kith_successor_parse(statements[i], &s);
        if (e)
            return e;
        if (!kith_pq_id_eq(&s.old_id, &at))
            continue;
        if (!kith_peer_id_eq(&s.peer, peer))
            return KITH_EAUTH;
        if (s.seq <= number)
            return KITH_EPROTO;
        e = kith_successor_verify(&s);
        if (e)
            return e;
        at = s.new_id;
        number = s.seq;
    }
    if (kith_pq_id_eq(&at, id))
        return KITH_ENOTFOUND;
    *id = at;
    *seq = number;
    return KITH_OK;
}
