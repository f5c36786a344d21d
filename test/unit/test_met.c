/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Peers that a node was told of: so many are remembered, for their time, and dialled no oftener than it may be. */
#include "host/met.h"

#include "support.h"

typedef struct rig {
    kith_signer *signer;
    kith_host *h;
    kith_met *met;
} rig;

static rig rig_new(uint32_t connect)
{
    const char *why;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {7};
    rig r = {.signer = kith_signer_new(seed)};
    kith_host_config cfg = {0};
    kith_node_config_default(&cfg.node);
    cfg.node.signer = r.signer;
    cfg.node.limits.dials = 100;
    r.h = kith_host_new(&cfg, &why);
    assert_non_null(r.h);
    r.met = kith_met_new(&(kith_met_config){
        .host = r.h, .connect = connect, .retry_min = KITH_SEC(10), .retry_max = KITH_SEC(900)});
    assert_non_null(r.met);
    return r;
}

static void rig_free(rig *r)
{
    kith_host_stop(r->h);
    kith_host_run(r->h);
    kith_met_close(r->met);
    kith_host_free(r->h);
    kith_met_free(r->met);
    kith_signer_free(r->signer);
}

static bool add(rig *r, unsigned i, kith_time until)
{
    uint8_t key[KITH_PUBKEY_ED25519_LEN], pub[KITH_ED25519_PUB_LEN] = {(uint8_t)i, (uint8_t)(i >> 8), 1};
    kith_peer_id peer;
    kith_maddr a;
    kith_addrs addrs = {0};
    kith_pubkey_ed25519(pub, key);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &peer), KITH_OK);
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/127.0.0.1/tcp/9"), &a, NULL), KITH_OK);
    kith_addrs_pack(&addrs, &a, 1);
    return kith_met_add(r->met, &peer, &addrs, 0, until);
}

static void so_many_are_remembered_and_for_their_time(void **state)
{
    (void)state;
    rig r = rig_new(0);
    kith_time now = kith_host_now(r.h);
    for (unsigned i = 0; i < KITH_MET_MAX; i++)
        assert_true(add(&r, i, i < 2 ? now : KITH_NEVER));
    assert_false(add(&r, KITH_MET_MAX, KITH_NEVER));
    assert_int_equal(kith_met_count(r.met), KITH_MET_MAX);
    assert_false(add(&r, 0, KITH_NEVER)); /* known, and told for longer */
    kith_met_tick(r.met);
    assert_int_equal(kith_met_count(r.met), KITH_MET_MAX - 1);
    assert_true(add(&r, KITH_MET_MAX, KITH_NEVER));
    assert_int_equal(kith_node_usage(kith_host_node(r.h)).dials, 0); /* none are wanted */
    rig_free(&r);
}

static void of_many_a_few_are_dialled(void **state)
{
    (void)state;
    rig r = rig_new(8);
    for (unsigned i = 0; i < 20; i++)
        assert_true(add(&r, i, KITH_NEVER));
    kith_met_tick(r.met);
    assert_int_equal(kith_node_usage(kith_host_node(r.h)).dials, 8);
    rig_free(&r);
    r = rig_new(50);
    for (unsigned i = 0; i < 50; i++)
        assert_true(add(&r, i, KITH_NEVER));
    kith_met_tick(r.met);
    assert_int_equal(kith_node_usage(kith_host_node(r.h)).dials, 30);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_are_remembered_and_for_their_time),
        cmocka_unit_test(of_many_a_few_are_dialled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
