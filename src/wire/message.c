/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages. */
#include "wire/message.h"

#include <assert.h>

#include "base/text.h"
#include "crypto/hash.h"
#include "wire/pb.h"

enum { BODY = 1, SIG, PQ_KEY, PQ_SIG };
enum { ID = 1, TIME, TTL, PRIORITY, TYPE, SOURCE, TO, TOPIC, TEXT, REPLY_TO, PAYLOAD, FIELDS };

static const char context[] = "kith-message-v1:";

#define SIGNED_MAX (sizeof context + 2 + KITH_PQ_KEY_MAX + KITH_SHA256_LEN)

const char *const kith_message_types[] = {"text", "thought",      "coordination", "swarm-sync", "proposal",
                                          "vote", "health-check", "metrics",      "command",    "response",
                                          NULL};

bool kith_message_type_ok(kith_bytes name)
{
    if (name.len == 0 || name.len > KITH_MESSAGE_TYPE_MAX || name.p[0] < 'a' || name.p[0] > 'z')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.p[i];
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' && c != '/')
            return false;
    }
    return true;
}

bool kith_message_topic_ok(kith_bytes name)
{
    return name.len > 0 && name.len <= KITH_MESSAGE_TOPIC_MAX && kith_text_clean(name) &&
           !memchr(name.p, ' ', name.len);
}

/* ---- reading ---- */

static bool take_id(uint8_t out[KITH_MESSAGE_ID_LEN], const kith_pb_field *f)
{
    if (f->data.len != KITH_MESSAGE_ID_LEN)
        return false;
    memcpy(out, f->data.p, KITH_MESSAGE_ID_LEN);
    return true;
}

static bool take_field(kith_message *m, const kith_pb_field *f)
{
    bool number = f->tag >= TIME && f->tag <= PRIORITY;
    if (f->wire != (number || f->tag == TEXT ? KITH_PB_VARINT : KITH_PB_BYTES))
        return false;
    switch (f->tag) {
    case ID:
        return take_id(m->id, f);
    case TIME:
        m->time = f->num;
        return true;
    case TTL:
        m->ttl = (uint32_t)f->num;
        return f->num >= 1 && f->num <= KITH_MESSAGE_TTL_MAX;
    case PRIORITY:
        m->priority = (uint8_t)f->num;
        return f->num <= KITH_MESSAGE_PRIORITY_MAX;
    case TYPE:
        m->type = f->data;
        return kith_message_type_ok(f->data);
    case SOURCE:
        return kith_peer_id_parse(f->data, &m->source) == KITH_OK;
    case TO:
        return kith_peer_id_parse(f->data, &m->to) == KITH_OK;
    case TOPIC:
        m->topic = f->data;
        return kith_message_topic_ok(f->data);
    case TEXT:
        m->text = f->num == 1;
        return f->num <= 1;
    case PAYLOAD:
        m->payload = f->data;
        return true;
    case REPLY_TO:
        m->answers = true;
        return take_id(m->reply_to, f);
    }
    return false;
}

/* What kith_message_seal is given and what a body holds obey the same rules; source aside. */
static kith_err check(const kith_message *m)
{
    if (m->payload.len > KITH_MESSAGE_PAYLOAD_MAX)
        return KITH_ELIMIT;
    bool ok = m->ttl >= 1 && m->ttl <= KITH_MESSAGE_TTL_MAX && m->priority <= KITH_MESSAGE_PRIORITY_MAX &&
              m->time <= INT64_MAX && kith_message_type_ok(m->type) &&
              (m->to.len > 0) != (m->topic.len > 0) && (m->to.len > 0 || kith_message_topic_ok(m->topic));
    for (kith_bytes in = m->payload; ok && m->text && in.len > 0;) {
        uint32_t cp;
        size_t n = kith_utf8_next(in, &cp);
        ok = n > 0;
        in = kith_bytes_skip(in, n);
    }
    return ok ? KITH_OK : KITH_EFORMAT;
}

/* Whose key stands in its id, and is of the one kind that signs messages. */
static bool can_sign(const kith_peer_id *source)
{
    kith_bytes key = kith_peer_id_inline_key(source), raw;
    kith_key_type type;
    return key.len > 0 && kith_pubkey_parse(key, &type, &raw) == KITH_OK && type == KITH_KEY_ED25519 &&
           raw.len == KITH_ED25519_PUB_LEN;
}

static kith_err parse_body(kith_message *m)
{
    kith_rd r = kith_rd_of(m->body);
    kith_pb_field f;
    unsigned seen = 0;
    while (kith_pb_next(&r, &f)) {
        if (f.tag >= FIELDS)
            continue; /* of a later version, and signed like the rest */
        if (seen >> f.tag & 1 || !take_field(m, &f))
            return KITH_EFORMAT;
        seen |= 1u << f.tag;
    }
    const unsigned must = 1u << ID | 1u << TIME | 1u << TTL | 1u << TYPE | 1u << SOURCE;
    if (r.bad || (seen & must) != must || !can_sign(&m->source))
        return KITH_EFORMAT;
    return check(m);
}

static kith_err parse_pq(kith_message *m)
{
    kith_sig_alg alg;
    kith_bytes raw;
    if (m->pq_key.len == 0 || m->pq_sig.len == 0)
        return m->pq_key.len == m->pq_sig.len ? KITH_OK : KITH_EFORMAT;
    kith_err e = kith_pq_key_parse(m->pq_key, &alg, &raw);
    if (!e)
        m->pq = kith_pq_id_of_key(m->pq_key);
    return e;
}

kith_err kith_message_parse(kith_bytes in, kith_message *out)
{
    kith_message m = {0};
    kith_bytes *const parts[] = {
        [BODY] = &m.body, [SIG] = &m.sig, [PQ_KEY] = &m.pq_key, [PQ_SIG] = &m.pq_sig};
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    if (in.len > KITH_MESSAGE_MAX)
        return KITH_ELIMIT;
    while (kith_pb_next(&r, &f)) {
        if (f.tag > PQ_SIG || f.wire != KITH_PB_BYTES || f.data.len == 0 || parts[f.tag]->len)
            return KITH_EFORMAT; /* nothing may travel beside what is signed */
        *parts[f.tag] = f.data;
    }
    if (r.bad || m.body.len == 0 || m.sig.len != KITH_ED25519_SIG_LEN)
        return KITH_EFORMAT;
    kith_err e = parse_pq(&m);
    if (!e)
        e = parse_body(&m);
    if (!e)
        *out = m;
    return e;
}

/* ---- signatures ---- */

/* Both keys sign the same: so neither can be taken away from a message, or put to it, by anybody but its source. */
static kith_bytes signed_bytes(kith_bytes pq_key, kith_bytes body, uint8_t buf[SIGNED_MAX])
{
    kith_wr w = kith_wr_of(kith_span_of(buf, SIGNED_MAX));
    kith_put_str(&w, context);
    kith_put_be16(&w, (uint16_t)pq_key.len);
    kith_put_bytes(&w, pq_key);
    uint8_t *hash = kith_put_room(&w, KITH_SHA256_LEN);
    assert(hash);
    kith_sha256(body, hash);
    return kith_wr_bytes(&w);
}

static kith_err verify_source(const kith_message *m, kith_bytes msg)
{
    return kith_pubkey_verify(kith_peer_id_inline_key(&m->source), msg, m->sig);
}

kith_err kith_message_verify_source(const kith_message *m)
{
    uint8_t buf[SIGNED_MAX];
    return verify_source(m, signed_bytes(m->pq_key, m->body, buf));
}

kith_err kith_message_verify(const kith_message *m)
{
    uint8_t buf[SIGNED_MAX];
    kith_bytes msg = signed_bytes(m->pq_key, m->body, buf), raw;
    kith_sig_alg alg;
    kith_err e = verify_source(m, msg);
    if (e || m->pq_key.len == 0)
        return e;
    e = kith_pq_key_parse(m->pq_key, &alg, &raw);
    return e ? e : kith_pq_verify(alg, raw, msg, m->pq_sig);
}

kith_err kith_message_fresh(const kith_message *m, uint64_t now)
{
    if (m->time > now)
        return m->time - now > KITH_MESSAGE_AHEAD_MAX ? KITH_EPROTO : KITH_OK;
    return now - m->time > (uint64_t)m->ttl * 1000 ? KITH_ETIMEOUT : KITH_OK;
}

/* ---- writing ---- */

/* The body but for its payload, which comes last. */
#define HEAD_MAX 512

static kith_bytes put_head(const kith_message *m, const kith_peer_id *source, uint8_t buf[HEAD_MAX])
{
    kith_wr w = kith_wr_of(kith_span_of(buf, HEAD_MAX));
    kith_pb_put_bytes(&w, ID, kith_bytes_of(m->id, sizeof m->id));
    kith_pb_put_num(&w, TIME, m->time);
    kith_pb_put_num(&w, TTL, m->ttl);
    kith_pb_put_num(&w, PRIORITY, m->priority);
    kith_pb_put_bytes(&w, TYPE, m->type);
    kith_pb_put_bytes(&w, SOURCE, kith_peer_id_bytes(source));
    if (m->to.len)
        kith_pb_put_bytes(&w, TO, kith_peer_id_bytes(&m->to));
    else
        kith_pb_put_bytes(&w, TOPIC, m->topic);
    kith_pb_put_num(&w, TEXT, m->text);
    if (m->answers)
        kith_pb_put_bytes(&w, REPLY_TO, kith_bytes_of(m->reply_to, sizeof m->reply_to));
    assert(!w.bad);
    return kith_wr_bytes(&w);
}

/* Appends the body as a field and returns a view of it there. */
static kith_bytes put_body(const kith_message *m, const kith_signer *signer, kith_wr *w)
{
    uint8_t raw[KITH_ED25519_PUB_LEN], pb[KITH_PUBKEY_ED25519_LEN], buf[HEAD_MAX];
    kith_peer_id source;
    kith_signer_public(signer, raw);
    kith_pubkey_ed25519(raw, pb);
    kith_err e = kith_peer_id_of_key(kith_bytes_of(pb, sizeof pb), &source);
    assert(!e);
    (void)e;
    kith_bytes head = put_head(m, &source, buf);
    size_t len = head.len + kith_pb_bytes_len(PAYLOAD, m->payload.len);
    kith_put_u8(w, BODY << 3 | 2);
    kith_put_uvarint(w, len);
    size_t at = w->len;
    kith_put_bytes(w, head);
    kith_pb_put_bytes(w, PAYLOAD, m->payload);
    return w->bad ? (kith_bytes){0} : kith_bytes_of(w->out.p + at, len);
}

kith_err kith_message_seal(const kith_message *m, const kith_message_keys *keys, kith_wr *w)
{
    uint8_t sig[KITH_ED25519_SIG_LEN], pq_key[KITH_PQ_KEY_MAX], buf[SIGNED_MAX];
    kith_wr k = kith_wr_of(kith_span_of(pq_key, sizeof pq_key));
    kith_err e = check(m);
    if (e)
        return e;
    if (keys->pq_signer)
        kith_put_pq_key(&k, kith_pq_signer_alg(keys->pq_signer), kith_pq_signer_public(keys->pq_signer));
    assert(!k.bad);
    kith_bytes body = put_body(m, keys->signer, w);
    if (w->bad)
        return KITH_ESPACE;
    kith_bytes msg = signed_bytes(kith_wr_bytes(&k), body, buf);
    e = kith_signer_sign(keys->signer, msg, sig);
    if (!e && keys->pq_signer)
        e = kith_pq_sign(keys->pq_signer, msg, keys->rnd, keys->room);
    if (e) {
        w->bad = true;
        return e;
    }
    kith_pb_put_bytes(w, SIG, kith_bytes_of(sig, sizeof sig));
    if (keys->pq_signer) {
        kith_pb_put_bytes(w, PQ_KEY, kith_wr_bytes(&k));
        kith_pb_put_bytes(
            w, PQ_SIG,
            kith_bytes_of(keys->room, kith_sig_info_of(kith_pq_signer_alg(keys->pq_signer))->sig_len));
    }
    return w->bad ? KITH_ESPACE : KITH_OK;
}
