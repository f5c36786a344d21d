/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Post-quantum keys and ids. */
#include "wire/pq_id.h"

#include <assert.h>

#include "crypto/hash.h"
#include "wire/multibase.h"
#include "wire/multihash.h"
#include "wire/pb.h"

#define TYPE_TAG 1 /* message PublicKey of the peer-ids spec */
#define DATA_TAG 2

/* KeyType and the byte before the raw key (0: none). ML-DSA's are RFC-0004's. It knows no others: SLH-DSA's types are the codes of the multicodec
 * table (slhdsa-sha2-128s-pub, slhdsa-sha2-128f-pub), which no list of four key types will reach; Falcon's is a number of that table's range for
 * private use. */
static const struct {
    uint32_t type;
    uint8_t prefix;
} forms[KITH_SIG_COUNT] = {
    [KITH_SIG_MLDSA44] = {4, 0x01},         [KITH_SIG_MLDSA65] = {4, 0x02},
    [KITH_SIG_MLDSA87] = {4, 0x03},         [KITH_SIG_FALCON512] = {0x300512, 0x00},
    [KITH_SIG_SLHDSA128S] = {0x1220, 0x00}, [KITH_SIG_SLHDSA128F] = {0x1222, 0x00},
};

static size_t data_len(kith_sig_alg alg)
{
    return (forms[alg].prefix ? 1 : 0) + kith_sig_info_of(alg)->pub_len;
}

size_t kith_pq_key_len(kith_sig_alg alg)
{
    return kith_pb_num_len(TYPE_TAG, forms[alg].type) + kith_pb_bytes_len(DATA_TAG, data_len(alg));
}

void kith_put_pq_key(kith_wr *w, kith_sig_alg alg, kith_bytes key)
{
    assert(key.len == kith_sig_info_of(alg)->pub_len);
    kith_pb_put_num(w, TYPE_TAG, forms[alg].type);
    kith_put_uvarint(w, DATA_TAG << 3 | 2);
    kith_put_uvarint(w, data_len(alg));
    if (forms[alg].prefix)
        kith_put_u8(w, forms[alg].prefix);
    kith_put_bytes(w, key);
}

kith_err kith_pq_key_parse(kith_bytes pubkey_pb, kith_sig_alg *alg, kith_bytes *key)
{
    kith_rd r = kith_rd_of(pubkey_pb);
    uint8_t type_key = kith_get_u8(&r);
    uint64_t type = kith_get_uvarint(&r);
    uint8_t data_key = kith_get_u8(&r);
    kith_bytes data = kith_get_lp(&r);
    if (r.bad || r.in.len > 0 || type_key != (TYPE_TAG << 3 | 0) || data_key != (DATA_TAG << 3 | 2) ||
        data.len == 0)
        return KITH_EFORMAT;
    for (int a = KITH_SIG_NONE + 1; a < KITH_SIG_COUNT; a++) {
        uint8_t prefix = forms[a].prefix;
        if (forms[a].type != type || (prefix && data.p[0] != prefix))
            continue;
        if (data.len != data_len((kith_sig_alg)a))
            return KITH_EFORMAT;
        *alg = (kith_sig_alg)a;
        *key = kith_bytes_skip(data, prefix ? 1 : 0);
        return KITH_OK;
    }
    return KITH_EUNSUPPORTED;
}

kith_pq_id kith_pq_id_of_key(kith_bytes pubkey_pb)
{
    uint8_t digest[KITH_SHA256_LEN];
    kith_pq_id id = {.len = KITH_PQ_ID_LEN};
    kith_wr w = kith_wr_of(kith_span_of(id.b, sizeof id.b));
    kith_sha256(pubkey_pb, digest);
    kith_put_multihash(&w, KITH_MH_SHA2_256, kith_bytes_of(digest, sizeof digest));
    assert(!w.bad && w.len == KITH_PQ_ID_LEN);
    return id;
}

kith_pq_id kith_pq_id_of_signer(const kith_pq_signer *s)
{
    uint8_t pb[KITH_PQ_KEY_MAX];
    kith_wr w = kith_wr_of(kith_span_of(pb, sizeof pb));
    kith_put_pq_key(&w, kith_pq_signer_alg(s), kith_pq_signer_public(s));
    assert(!w.bad);
    return kith_pq_id_of_key(kith_wr_bytes(&w));
}

kith_err kith_pq_id_parse(kith_bytes in, kith_pq_id *out)
{
    kith_multihash h;
    if (kith_multihash_parse(in, &h) || h.code != KITH_MH_SHA2_256 || h.digest.len != KITH_SHA256_LEN)
        return KITH_EFORMAT;
    *out = (kith_pq_id){.len = KITH_PQ_ID_LEN};
    memcpy(out->b, in.p, KITH_PQ_ID_LEN);
    return KITH_OK;
}

kith_err kith_pq_id_from_text(kith_bytes text, kith_pq_id *out)
{
    uint8_t b[KITH_PQ_ID_LEN];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    if (text.len > KITH_PQ_ID_TEXT_LEN || kith_base_get(text, KITH_BASE58, &w))
        return KITH_EFORMAT;
    return kith_pq_id_parse(kith_wr_bytes(&w), out);
}

void kith_pq_id_text(const kith_pq_id *id, char out[KITH_PQ_ID_TEXT_LEN + 1])
{
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_PQ_ID_TEXT_LEN));
    kith_base_put(&w, KITH_BASE58, kith_pq_id_bytes(id));
    assert(!w.bad);
    out[w.len] = '\0';
}
