/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The server of the DHT against any questions, from a few peers, with memory that runs out. The store stays within its caps, an answer
 * within its room, and is one that we would read. */
#include "crypto/crypto.h"
#include "mesh/kad_impl.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static kith_node *node;
static tape_env node_env;

static bool make_node(void)
{
    static const uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
    kith_node_config cfg;
    if (node)
        return true;
    if (kith_crypto_init())
        return false;
    kith_node_config_default(&cfg);
    cfg.env = *tape_env_init(&node_env, 0);
    cfg.signer = kith_signer_new(seed);
    cfg.pq = KITH_PQ_OFF;
    node = cfg.signer ? kith_node_new(&cfg, 0) : NULL;
    return node != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tape t = {data, size};
    tape_env e;
    if (!make_node())
        return 0;
    kith_kad_config cfg;
    kith_kad_config_default(&cfg);
    cfg.env = *tape_env_init(&e, tape_u8(&t));
    cfg.node = node;
    cfg.store.values_max = 3;
    cfg.store.providers_max = 16;
    cfg.store.providers_per_key = 3;
    cfg.store.providers_per_peer = 4;
    kith_kad *k = kith_kad_new(&cfg, 0);
    if (!k) {
        assert(e.held == 0);
        return 0;
    }
    k->serving = true;
    for (kith_time now = 0; t.len > 0; now += KITH_SEC(600)) {
        static uint8_t out[KITH_KAD_REQUEST_MAX];
        kith_bytes q = tape_bytes(&t, tape_u8(&t));
        kith_peer_id from = {.len = 34, .b = {0x12, 32, (uint8_t)(tape_u8(&t) % 8)}};
        kith_kad_msg m;
        if (from.b[2] == 7 && kith_kad_msg_parse(q, &m) == KITH_OK) { /* about itself */
            kith_kad_walk w = kith_kad_walk_of(&m, KITH_KAD_PROVIDERS);
            kith_kad_peer p;
            if (kith_kad_walk_next(&w, &p))
                from = p.id;
        }
        kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
        kith_err err = kith_kad_serve_(k, now, &from, q, &w);
        assert(!w.bad);
        if (!err && w.len > 0)
            assert(kith_kad_msg_parse(kith_wr_bytes(&w), &m) == KITH_OK);
        kith_kad_check(k);
    }
    kith_kad_free(k);
    assert(e.held == 0);
    return 0;
}
