/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Peer ids and public keys. */
#include "wire/peer_id.h"

#include <assert.h>

#include "crypto/hash.h"
#include "wire/cid.h"
#include "wire/pb.h"

#define INLINE_KEY_MAX 42 /* peer-ids spec, "Peer Ids": longer keys are hashed */
#define TYPE_TAG 1        /* message PublicKey */
#define DATA_TAG 2

kith_err kith_peer_id_parse(kith_bytes in, kith_peer_id *out)
{
    kith_multihash h;
    if (kith_multihash_parse(in, &h) != KITH_OK)
        return KITH_EFORMAT;
    bool inlined = h.code == KITH_MH_IDENTITY && h.digest.len > 0 && h.digest.len <= INLINE_KEY_MAX;
    bool hashed = h.code == KITH_MH_SHA2_256 && h.digest.len == KITH_SHA256_LEN;
    if (!inlined && !hashed)
        return KITH_EFORMAT;
    *out = (kith_peer_id){.len = (uint8_t)in.len};
    memcpy(out->b, in.p, in.len);
    return KITH_OK;
}

kith_err kith_peer_id_from_text(kith_bytes text, kith_peer_id *out)
{
    uint8_t buf[KITH_CID_MAX];
    /* peer-ids spec, "String representation": Qm or 1 begins base58btc, anything else is a CID. */
    if (text.len >= 2 && (text.p[0] == '1' || (text.p[0] == 'Q' && text.p[1] == 'm'))) {
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        if (kith_base_get(text, KITH_BASE58, &w) != KITH_OK)
            return KITH_EFORMAT;
        return kith_peer_id_parse(kith_wr_bytes(&w), out);
    }
    kith_cid c;
    if (kith_cid_from_text(text, kith_span_of(buf, sizeof buf), &c) != KITH_OK ||
        c.codec != KITH_CODEC_LIBP2P_KEY)
        return KITH_EFORMAT;
    return kith_peer_id_parse(c.hash_bytes, out);
}

/* 44 bytes make at most 61 characters of base58, or 74 of base32 with CID header and prefix: both buffers always fit. */
void kith_peer_id_text(const kith_peer_id *id, char out[KITH_PEER_ID_TEXT_MAX + 1])
{
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_PEER_ID_TEXT_MAX));
    kith_base_put(&w, KITH_BASE58, kith_peer_id_bytes(id));
    assert(!w.bad);
    out[w.len] = '\0';
}

void kith_peer_id_cid_text(const kith_peer_id *id, char out[81])
{
    uint8_t b[KITH_PEER_ID_MAX + 2];
    kith_wr cid = kith_wr_of(kith_span_of(b, sizeof b)), w = kith_wr_of(kith_span_of(out, 80));
    kith_put_cid(&cid, KITH_CODEC_LIBP2P_KEY, kith_peer_id_bytes(id));
    kith_multibase_put(&w, KITH_BASE32, kith_wr_bytes(&cid));
    assert(!cid.bad && !w.bad);
    out[w.len] = '\0';
}

/* message PublicKey { required KeyType Type = 1; required bytes Data = 2; } in the one encoding that the spec allows. */
static kith_err key_fields(kith_bytes in, uint64_t *type, kith_bytes *data)
{
    if (in.len > KITH_PUBKEY_MAX)
        return KITH_EFORMAT;
    kith_rd r = kith_rd_of(in);
    uint8_t type_key = kith_get_u8(&r);
    uint64_t t = kith_get_uvarint(&r);
    uint8_t data_key = kith_get_u8(&r);
    kith_bytes d = kith_get_lp(&r);
    if (r.bad || r.in.len > 0 || type_key != (TYPE_TAG << 3 | 0) || data_key != (DATA_TAG << 3 | 2) ||
        d.len == 0)
        return KITH_EFORMAT;
    *type = t;
    *data = d;
    return KITH_OK;
}

kith_err kith_peer_id_of_key(kith_bytes pubkey_pb, kith_peer_id *out)
{
    uint64_t type;
    kith_bytes data;
    kith_err e = key_fields(pubkey_pb, &type, &data);
    if (e)
        return e;
    uint8_t digest[KITH_SHA256_LEN];
    kith_peer_id id = {0};
    kith_wr w = kith_wr_of(kith_span_of(id.b, sizeof id.b));
    if (pubkey_pb.len <= INLINE_KEY_MAX) {
        kith_put_multihash(&w, KITH_MH_IDENTITY, pubkey_pb);
    } else {
        kith_sha256(pubkey_pb, digest);
        kith_put_multihash(&w, KITH_MH_SHA2_256, kith_bytes_of(digest, sizeof digest));
    }
    assert(!w.bad);
    id.len = (uint8_t)w.len;
    *out = id;
    return KITH_OK;
}

kith_bytes kith_peer_id_inline_key(const kith_peer_id *id)
{
    if (id->len < 2 || id->b[0] != KITH_MH_IDENTITY)
        return (kith_bytes){0};
    return kith_bytes_of(id->b + 2, id->len - 2u);
}

void kith_pubkey_ed25519(const uint8_t pub[KITH_ED25519_PUB_LEN], uint8_t out[KITH_PUBKEY_ED25519_LEN])
{
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_PUBKEY_ED25519_LEN));
    kith_pb_put_num(&w, TYPE_TAG, KITH_KEY_ED25519);
    kith_pb_put_bytes(&w, DATA_TAG, kith_bytes_of(pub, KITH_ED25519_PUB_LEN));
    assert(!w.bad && w.len == KITH_PUBKEY_ED25519_LEN);
}

kith_err kith_pubkey_parse(kith_bytes pubkey_pb, kith_key_type *type, kith_bytes *data)
{
    uint64_t t;
    kith_bytes d;
    kith_err e = key_fields(pubkey_pb, &t, &d);
    if (e)
        return e;
    if (t > KITH_KEY_ECDSA)
        return KITH_EUNSUPPORTED;
    *type = (kith_key_type)t;
    *data = d;
    return KITH_OK;
}

kith_err kith_pubkey_verify(kith_bytes pubkey_pb, kith_bytes msg, kith_bytes sig)
{
    kith_key_type type;
    kith_bytes data;
    kith_err e = kith_pubkey_parse(pubkey_pb, &type, &data);
    return e ? e : kith_verify(type, data, msg, sig);
}
