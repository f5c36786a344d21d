/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A rendezvous point against any messages, from a few peers, with memory that runs out; among them good registrations. What it stores stays within its
 * caps, and what it answers can be read. */
#include "crypto/crypto.h"
#include "mesh/point.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static kith_node *node;
static tape_env node_env;
static kith_signer *signers[4];
static kith_peer_id ids[4];
static uint8_t records[4][512];
static size_t lens[4];

static bool make(void)
{
    kith_node_config cfg;
    if (node)
        return true;
    if (kith_crypto_init())
        return false;
    for (unsigned i = 0; i < 4; i++) {
        uint8_t seed[KITH_ED25519_SEED_LEN] = {(uint8_t)(i + 1)}, pub[KITH_ED25519_PUB_LEN],
                key[KITH_PUBKEY_ED25519_LEN];
        signers[i] = kith_signer_new(seed);
        if (!signers[i])
            return false;
        kith_signer_public(signers[i], pub);
        kith_pubkey_ed25519(pub, key);
        kith_wr w = kith_wr_of(kith_span_of(records[i], sizeof records[i]));
        if (kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &ids[i]) ||
            kith_peer_record_seal(signers[i], 1, NULL, 0, &w))
            return false;
        lens[i] = w.len;
    }
    kith_node_config_default(&cfg);
    cfg.env = *tape_env_init(&node_env, 0);
    cfg.signer = signers[0];
    cfg.pq = KITH_PQ_OFF;
    node = kith_node_new(&cfg, 0);
    return node != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[KITH_POINT_ANSWER_MAX], msg[1024];
    tape t = {data, size};
    tape_env e;
    if (!make())
        return 0;
    kith_point *p = kith_point_new(tape_env_init(&e, tape_u8(&t)), node, 3, 0);
    for (kith_time now = 0; p && t.len > 0; now += KITH_SEC(900)) {
        unsigned from = tape_u8(&t) % 4;
        kith_bytes in = tape_bytes(&t, tape_u8(&t));
        kith_rdv_msg m, reg;
        if (tape_u8(&t) & 1) { /* its namespace, registered for good */
            kith_wr w = kith_wr_of(kith_span_of(msg, sizeof msg));
            kith_rdv_put_register(&w, in, kith_bytes_of(records[from], lens[from]), KITH_RDV_TTL_MIN);
            in = kith_wr_bytes(&w);
        }
        if (kith_rdv_parse(in, &m) == KITH_OK && m.type == KITH_RDV_DISCOVER_RESPONSE) {
            for (kith_rdv_walk l = kith_rdv_walk_of(&m); kith_rdv_walk_next(&l, &reg);)
                assert(reg.type == KITH_RDV_REGISTER && reg.record.len <= in.len);
        }
        kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
        kith_err err = kith_point_answer_(p, now, &ids[from], in, &w);
        assert(!w.bad || err);
        if (!err && w.len > 0) {
            err = kith_rdv_parse(kith_wr_bytes(&w), &m);
            assert(err == KITH_OK);
            for (kith_rdv_walk l = kith_rdv_walk_of(&m);
                 m.type == KITH_RDV_DISCOVER_RESPONSE && kith_rdv_walk_next(&l, &reg);)
                assert(reg.record.len > 0 && reg.ns.len <= KITH_RDV_NS_MAX);
        }
        kith_point_check(p);
    }
    if (p)
        kith_node_unserve(node, 0, kith_bytes_str(KITH_RDV_ID));
    kith_point_free(p);
    assert(e.held == 0);
    return 0;
}
