/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Facts as JSON. */
#include "host/json.h"

#include <stdlib.h>

json_t *kith_json_bytes(kith_bytes text)
{
    json_t *s = json_stringn((const char *)text.p, text.len);
    if (s || text.len == 0)
        return s ? s : json_string("");
    char *copy = malloc(text.len);
    if (!copy)
        return NULL;
    for (size_t i = 0; i < text.len; i++)
        copy[i] = text.p[i] < 0x80 ? (char)text.p[i] : '?';
    s = json_stringn(copy, text.len);
    free(copy);
    return s;
}

json_t *kith_json_text(const char *text)
{
    return kith_json_bytes(kith_bytes_str(text));
}

json_t *kith_json_peer(const kith_peer_id *id)
{
    char text[KITH_PEER_ID_TEXT_MAX + 1];
    kith_peer_id_text(id, text);
    return json_string(text);
}

json_t *kith_json_addr(const kith_maddr *a)
{
    char text[KITH_MADDR_TEXT_MAX + 1];
    kith_maddr_text(a, text);
    return kith_json_text(text);
}

const char *kith_qkd_word(kith_qkd_state s)
{
    switch (s) {
    case KITH_QKD_STATE_OFF:
        return "off";
    case KITH_QKD_STATE_ON:
        return "on";
    case KITH_QKD_STATE_SIMULATED:
        return "simulated";
    case KITH_QKD_STATE_FAILED:
        return "failed";
    }
    return "off";
}

/* What is proven of a connection's channel; nothing of it is a promise. */
static void add_channel(json_t *o, const kith_conn_facts *f)
{
    static const char *const kems[] = {[KITH_KEM_MLKEM512] = "ML-KEM-512",
                                       [KITH_KEM_MLKEM768] = "ML-KEM-768",
                                       [KITH_KEM_MLKEM1024] = "ML-KEM-1024"};
    const kith_noise_suite *s = f->suite;
    bool proven = f->pq.alg != KITH_SIG_NONE;
    char pq_id[KITH_PQ_ID_TEXT_LEN + 1];
    kith_pq_id_text(&f->pq.id, pq_id);
    json_t *pq =
        json_pack("{s:s, s:i, s:s, s:s, s:i, s:b, s:b, s:I, s:I, s:I, s:f}", "kem",
                  s && s->kem != KITH_KEM_NONE ? kems[s->kem] : "", "level", s ? s->level : 0, "pq_id", pq_id,
                  "pq_algorithm", proven ? kith_sig_info_of(f->pq.alg)->name : "", "pq_category",
                  proven ? kith_sig_info_of(f->pq.alg)->category : 0, "transcript_bound",
                  (int)(proven && !f->resumed), "resumed", (int)f->resumed, "pq_checked",
                  (json_int_t)f->pq_checked_at, "handshake_bytes_in", (json_int_t)f->shaken_in,
                  "handshake_bytes_out", (json_int_t)f->shaken_out, "handshake_ms", (double)f->shaking / 1e6);
    json_object_update(o, pq);
    json_decref(pq);
    json_object_set_new(o, "qkd", json_string(kith_qkd_word(f->qkd)));
    if (f->qkd_why)
        json_object_set_new(o, "qkd_why", kith_json_text(f->qkd_why));
}

json_t *kith_json_conn(const kith_conn *c)
{
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    json_t *o =
        json_pack("{s:o, s:o, s:s, s:s, s:s, s:b, s:s, s:b, s:I, s:o}", "peer", kith_json_peer(&f.peer),
                  "addr", kith_json_addr(&f.remote), "direction", f.inbound ? "inbound" : "outbound",
                  "secure_channel", f.suite ? f.suite->id : "", "cipher", kith_aead_name(kith_conn_aead(c)),
                  "pq", f.suite && f.suite->kem != KITH_KEM_NONE, "muxer", f.muxer, "early_muxer",
                  f.early_muxer, "rekeys", (json_int_t)f.rekeys, "agent", kith_json_text(f.agent));
    add_channel(o, &f);
    return o;
}

json_t *kith_json_identity(const kith_identity_facts *f)
{
    char cid[81], pq_id[KITH_PQ_ID_TEXT_LEN + 1];
    kith_peer_id_cid_text(&f->peer, cid);
    json_t *o =
        json_pack("{s:o, s:s, s:s}", "peer", kith_json_peer(&f->peer), "cid", cid, "key_type", "ed25519");
    if (f->alg == KITH_SIG_NONE)
        return o;
    const kith_sig_info *info = kith_sig_info_of(f->alg);
    kith_pq_id_text(&f->pq_id, pq_id);
    json_t *pq = json_pack("{s:s, s:s, s:i, s:I, s:i, s:b}", "pq_id", pq_id, "pq_algorithm", info->name,
                           "pq_category", info->category, "pq_sequence", (json_int_t)f->seq, "successors",
                           (int)f->successors, "encrypted", (int)f->encrypted);
    json_object_update(o, pq);
    json_decref(pq);
    return o;
}
