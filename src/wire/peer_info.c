/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signed peer info records. */
#include "wire/peer_info.h"

#include <assert.h>

#include "base/text.h"
#include "wire/envelope.h"
#include "wire/pb.h"

static const char domain[] = "kith-peer-info";
static const char payload_type[] = "/kith/peer-info/1";

/* message PeerInfo, docs/protocols/peer-info.proto */
enum { ID = 1, SEQ = 2, TIME = 3, NAME = 4, ADDRS = 5, ALGORITHMS = 6 };

#define ENVELOPE_ROOM 256 /* around the payload: key, type, signature, and what frames them */

bool kith_peer_name_ok(kith_bytes name)
{
    return name.len > 0 && name.len <= KITH_PEER_NAME_MAX && name.p[0] != ' ' &&
           name.p[name.len - 1] != ' ' && kith_text_clean(name);
}

static bool algorithm_ok(kith_bytes a)
{
    return a.len > 0 && a.len <= KITH_PEER_INFO_ALGORITHM_MAX && kith_text_clean(a);
}

static bool take_addr(kith_peer_info *info, kith_bytes in)
{
    kith_maddr a;
    if (info->addr_count < KITH_PEER_INFO_ADDRS_MAX && in.len > 0 && kith_maddr_parse(in, &a) == KITH_OK)
        info->addrs[info->addr_count++] = in;
    return true;
}

static bool take_algorithm(kith_peer_info *info, kith_bytes in)
{
    if (info->algorithm_count < KITH_PEER_INFO_ALGORITHMS_MAX && algorithm_ok(in))
        info->algorithms[info->algorithm_count++] = in;
    return true;
}

static bool take_number(const kith_pb_field *f, uint64_t *out)
{
    *out = f->num;
    return f->wire == KITH_PB_VARINT && f->num >> 63 == 0;
}

/* False: it is not what it should be. */
static bool take_field(kith_peer_info *info, const kith_pb_field *f)
{
    switch (f->tag) {
    case ID:
        return f->wire == KITH_PB_BYTES && kith_peer_id_parse(f->data, &info->peer) == KITH_OK;
    case SEQ:
        return take_number(f, &info->seq);
    case TIME:
        return take_number(f, &info->time);
    case NAME:
        info->name = f->data;
        return f->wire == KITH_PB_BYTES && kith_peer_name_ok(f->data);
    case ADDRS:
        return f->wire == KITH_PB_BYTES && take_addr(info, f->data);
    case ALGORITHMS:
        return f->wire == KITH_PB_BYTES && take_algorithm(info, f->data);
    }
    return true;
}

static kith_err parse(kith_bytes payload, kith_peer_info *out)
{
    kith_peer_info info = {0};
    kith_rd r = kith_rd_of(payload);
    kith_pb_field f;
    unsigned seen = 0;
    while (kith_pb_next(&r, &f)) {
        if (f.tag < ADDRS && seen >> f.tag & 1)
            return KITH_EFORMAT;
        if (f.tag < ADDRS)
            seen |= 1u << f.tag;
        if (!take_field(&info, &f))
            return KITH_EFORMAT;
    }
    if (r.bad || info.peer.len == 0 || !(seen >> SEQ & 1) || !(seen >> TIME & 1))
        return KITH_EFORMAT;
    *out = info;
    return KITH_OK;
}

/* Of an envelope whose signature is good, or was. */
static kith_err take_apart(const kith_envelope *env, kith_peer_info *out)
{
    kith_peer_info info;
    if (!kith_bytes_eq_str(env->type, payload_type))
        return KITH_EUNSUPPORTED;
    kith_err e = parse(env->payload, &info);
    if (!e && !kith_peer_id_eq(&info.peer, &env->signer))
        e = KITH_EAUTH;
    if (!e)
        *out = info;
    return e;
}

kith_err kith_peer_info_open(kith_bytes in, const kith_peer_id *from, kith_peer_info *out)
{
    kith_envelope env;
    if (in.len > KITH_PEER_INFO_MAX)
        return KITH_ELIMIT;
    kith_err e = kith_envelope_open(in, domain, &env);
    if (!e && !kith_peer_id_eq(&env.signer, from))
        e = KITH_EAUTH;
    return e ? e : take_apart(&env, out);
}

kith_err kith_peer_info_read(kith_bytes in, kith_peer_info *out)
{
    kith_envelope env;
    kith_err e = in.len > KITH_PEER_INFO_MAX ? KITH_ELIMIT : kith_envelope_parse(in, &env);
    return e ? e : take_apart(&env, out);
}

static bool sealable(const kith_peer_info *info)
{
    bool ok = (info->name.len == 0 || kith_peer_name_ok(info->name)) && info->seq >> 63 == 0 &&
              info->time >> 63 == 0 && info->addr_count <= KITH_PEER_INFO_ADDRS_MAX &&
              info->algorithm_count <= KITH_PEER_INFO_ALGORITHMS_MAX;
    for (size_t i = 0; ok && i < info->addr_count; i++) {
        kith_maddr a;
        ok = info->addrs[i].len > 0 && kith_maddr_parse(info->addrs[i], &a) == KITH_OK;
    }
    for (size_t i = 0; ok && i < info->algorithm_count; i++)
        ok = algorithm_ok(info->algorithms[i]);
    return ok;
}

kith_err kith_peer_info_seal(const kith_signer *s, const kith_peer_info *info, kith_wr *w)
{
    uint8_t b[KITH_PEER_INFO_MAX - ENVELOPE_ROOM], pub[KITH_ED25519_PUB_LEN], key[KITH_PUBKEY_ED25519_LEN];
    kith_peer_id id;
    if (!sealable(info))
        return KITH_EFORMAT;
    kith_signer_public(s, pub);
    kith_pubkey_ed25519(pub, key);
    kith_err e = kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &id);
    assert(e == KITH_OK);
    size_t rest = 0; /* what comes behind the addresses */
    for (size_t i = 0; i < info->algorithm_count; i++)
        rest += kith_pb_bytes_len(ALGORITHMS, info->algorithms[i].len);
    kith_wr p = kith_wr_of(kith_span_of(b, sizeof b - rest));
    kith_pb_put_bytes(&p, ID, kith_peer_id_bytes(&id));
    kith_pb_put_num(&p, SEQ, info->seq);
    kith_pb_put_num(&p, TIME, info->time);
    if (info->name.len)
        kith_pb_put_bytes(&p, NAME, info->name);
    for (size_t i = 0; i < info->addr_count; i++) {
        if (kith_pb_bytes_len(ADDRS, info->addrs[i].len) > p.out.len - p.len)
            break;
        kith_pb_put_bytes(&p, ADDRS, info->addrs[i]);
    }
    p.out.len = sizeof b;
    for (size_t i = 0; i < info->algorithm_count; i++)
        kith_pb_put_bytes(&p, ALGORITHMS, info->algorithms[i]);
    assert(!p.bad);
    return kith_envelope_seal(s, domain, kith_bytes_str(payload_type), kith_wr_bytes(&p), w);
}
