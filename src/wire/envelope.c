/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signed envelopes and peer records. */
#include "wire/envelope.h"

#include <assert.h>

#include "wire/pb.h"

/* message Envelope (RFC 0002). */
enum { ENV_KEY = 1, ENV_TYPE = 2, ENV_PAYLOAD = 3, ENV_SIG = 5 };
/* message PeerRecord (RFC 0003), and its AddressInfo. */
enum { REC_PEER = 1, REC_SEQ = 2, REC_ADDR = 3, REC_ADDR_MULTIADDR = 1 };

/* go-libp2p core/peer/record.go; what js and nim send too. */
static const char record_domain[] = "libp2p-peer-record";
static const uint8_t record_type[] = {0x03, 0x01}; /* multicodec libp2p-peer-record, 0x0301 */
/* RFC 0003 as written; what rust sends unless told otherwise. */
static const char legacy_domain[] = "libp2p-routing-state";
static const char legacy_type[] = "/libp2p/routing-state-record";

kith_err kith_envelope_parse(kith_bytes in, kith_envelope *out)
{
    kith_envelope env = {0};
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    if (in.len > KITH_ENVELOPE_MAX)
        return KITH_EFORMAT;
    while (kith_pb_next(&r, &f)) {
        kith_bytes *to = NULL;
        if (f.tag == ENV_KEY)
            to = &env.key;
        else if (f.tag == ENV_TYPE)
            to = &env.type;
        else if (f.tag == ENV_PAYLOAD)
            to = &env.payload;
        else if (f.tag == ENV_SIG)
            to = &env.sig;
        if (!to)
            continue;
        if (f.wire != KITH_PB_BYTES || to->p)
            return KITH_EFORMAT;
        /* An empty field's view has no address; it must still count as seen. */
        *to = f.data.len ? f.data : kith_bytes_of(in.p, 0);
    }
    if (r.bad || env.key.len == 0 || env.type.len == 0 || env.sig.len == 0)
        return KITH_EFORMAT;
    kith_err e = kith_peer_id_of_key(env.key, &env.signer);
    if (e == KITH_OK)
        *out = env;
    return e;
}

/* What is signed: every part after its length, so that no two triples make the same bytes. */
static void put_signed(kith_wr *w, const char *domain, kith_bytes type, kith_bytes payload)
{
    assert(strlen(domain) <= KITH_ENVELOPE_DOMAIN_MAX);
    kith_put_lp(w, kith_bytes_str(domain));
    kith_put_lp(w, type);
    kith_put_lp(w, payload);
}

static kith_err verify(const kith_envelope *env, const char *domain)
{
    uint8_t b[KITH_ENVELOPE_DOMAIN_MAX + KITH_ENVELOPE_MAX + 16];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    put_signed(&w, domain, env->type, env->payload);
    assert(!w.bad);
    return kith_pubkey_verify(env->key, kith_wr_bytes(&w), env->sig);
}

kith_err kith_envelope_open(kith_bytes in, const char *domain, kith_envelope *out)
{
    kith_envelope env;
    kith_err e = kith_envelope_parse(in, &env);
    if (e == KITH_OK)
        e = verify(&env, domain);
    if (e == KITH_OK)
        *out = env;
    return e;
}

kith_err kith_envelope_seal(const kith_signer *s, const char *domain, kith_bytes type, kith_bytes payload,
                            kith_wr *w)
{
    uint8_t pub[KITH_ED25519_PUB_LEN], key[KITH_PUBKEY_ED25519_LEN], sig[KITH_ED25519_SIG_LEN];
    uint8_t b[KITH_ENVELOPE_DOMAIN_MAX + KITH_ENVELOPE_MAX];
    kith_wr msg = kith_wr_of(kith_span_of(b, sizeof b));
    put_signed(&msg, domain, type, payload);
    size_t before = w->len;
    kith_signer_public(s, pub);
    kith_pubkey_ed25519(pub, key);
    kith_err e = msg.bad ? KITH_ESPACE : kith_signer_sign(s, kith_wr_bytes(&msg), sig);
    if (e) {
        w->bad = true;
        return e;
    }
    kith_pb_put_bytes(w, ENV_KEY, kith_bytes_of(key, sizeof key));
    kith_pb_put_bytes(w, ENV_TYPE, type);
    kith_pb_put_bytes(w, ENV_PAYLOAD, payload);
    kith_pb_put_bytes(w, ENV_SIG, kith_bytes_of(sig, sizeof sig));
    if (w->len - before > KITH_ENVELOPE_MAX)
        w->bad = true;
    return w->bad ? KITH_ESPACE : KITH_OK;
}

/* One AddressInfo. */
static kith_err parse_addr(kith_bytes in, kith_bytes *out)
{
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    kith_bytes addr = {0};
    while (kith_pb_next(&r, &f)) {
        if (f.tag == REC_ADDR_MULTIADDR && f.wire == KITH_PB_BYTES)
            addr = f.data;
    }
    if (r.bad)
        return KITH_EFORMAT;
    *out = addr;
    return KITH_OK;
}

static kith_err parse_record(kith_bytes payload, kith_peer_record *out)
{
    kith_peer_record rec = {0};
    kith_rd r = kith_rd_of(payload);
    kith_pb_field f;
    kith_bytes addr;
    while (kith_pb_next(&r, &f)) {
        if (f.tag == REC_PEER && f.wire == KITH_PB_BYTES) {
            if (kith_peer_id_parse(f.data, &rec.peer) != KITH_OK)
                return KITH_EFORMAT;
        } else if (f.tag == REC_SEQ && f.wire == KITH_PB_VARINT) {
            rec.seq = f.num;
        } else if (f.tag == REC_ADDR && f.wire == KITH_PB_BYTES) {
            if (parse_addr(f.data, &addr) != KITH_OK)
                return KITH_EFORMAT;
            if (addr.len > 0 && rec.addr_count < KITH_RECORD_ADDRS_MAX)
                rec.addrs[rec.addr_count++] = addr;
        } else if (f.tag >= REC_PEER && f.tag <= REC_ADDR) {
            return KITH_EFORMAT;
        }
    }
    if (r.bad || rec.peer.len == 0)
        return KITH_EFORMAT;
    *out = rec;
    return KITH_OK;
}

kith_err kith_peer_record_open(kith_bytes in, kith_peer_record *out)
{
    kith_envelope env;
    kith_peer_record rec;
    const char *domain;
    kith_err e = kith_envelope_parse(in, &env);
    if (e)
        return e;
    if (kith_bytes_eq(env.type, kith_bytes_of(record_type, sizeof record_type)))
        domain = record_domain;
    else if (kith_bytes_eq_str(env.type, legacy_type))
        domain = legacy_domain;
    else
        return KITH_EUNSUPPORTED;
    e = verify(&env, domain);
    if (e)
        return e;
    e = parse_record(env.payload, &rec);
    if (e)
        return e;
    if (!kith_peer_id_eq(&rec.peer, &env.signer))
        return KITH_EAUTH;
    rec.rfc = domain == legacy_domain;
    *out = rec;
    return KITH_OK;
}

static kith_err seal_record(const kith_signer *s, const char *domain, kith_bytes type, uint64_t seq,
                            const kith_maddr *addrs, size_t n, kith_wr *w)
{
    uint8_t b[KITH_ENVELOPE_MAX], pub[KITH_ED25519_PUB_LEN], key[KITH_PUBKEY_ED25519_LEN];
    kith_wr rec = kith_wr_of(kith_span_of(b, sizeof b));
    kith_peer_id id;
    if (n > KITH_RECORD_ADDRS_MAX)
        return KITH_ELIMIT;
    kith_signer_public(s, pub);
    kith_pubkey_ed25519(pub, key);
    kith_err e = kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &id);
    assert(e == KITH_OK);
    kith_pb_put_bytes(&rec, REC_PEER, kith_peer_id_bytes(&id));
    kith_pb_put_num(&rec, REC_SEQ, seq);
    for (size_t i = 0; i < n; i++) {
        uint8_t info[KITH_MADDR_MAX + 4];
        kith_wr a = kith_wr_of(kith_span_of(info, sizeof info));
        kith_pb_put_bytes(&a, REC_ADDR_MULTIADDR, kith_maddr_bytes(&addrs[i]));
        kith_pb_put_bytes(&rec, REC_ADDR, kith_wr_bytes(&a));
    }
    if (rec.bad) {
        w->bad = true;
        return KITH_ESPACE;
    }
    return kith_envelope_seal(s, domain, type, kith_wr_bytes(&rec), w);
}

kith_err kith_peer_record_seal(const kith_signer *s, uint64_t seq, const kith_maddr *addrs, size_t n,
                               kith_wr *w)
{
    return seal_record(s, record_domain, kith_bytes_of(record_type, sizeof record_type), seq, addrs, n, w);
}

kith_err kith_peer_record_seal_rfc(const kith_signer *s, uint64_t seq, const kith_maddr *addrs, size_t n,
                                   kith_wr *w)
{
    return seal_record(s, legacy_domain, kith_bytes_str(legacy_type), seq, addrs, n, w);
}
