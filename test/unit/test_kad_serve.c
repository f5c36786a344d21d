/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a server of the DHT says to questions that no lookup asks. */
#include "crypto/crypto.h"
#include "mesh/kad_impl.h"
#include "support.h"

#include <stdio.h>

#define ASKER 7

static support_heap heap;
static kith_kad *the_kad;
static kith_node *the_node;
static kith_signer *the_signer;

static int set_up(void **state)
{
    static const uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
    kith_node_config node;
    kith_kad_config cfg;
    (void)state;
    assert_int_equal(kith_crypto_init(), KITH_OK);
    kith_node_config_default(&node);
    node.env = *support_env(&heap);
    node.signer = the_signer = kith_signer_new(seed);
    node.pq = KITH_PQ_OFF;
    the_node = kith_node_new(&node, 0);
    assert_non_null(the_node);
    kith_kad_config_default(&cfg);
    cfg.env = node.env;
    cfg.node = the_node;
    the_kad = kith_kad_new(&cfg, 0);
    assert_non_null(the_kad);
    the_kad->serving = true;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kith_kad_free(the_kad);
    kith_node_free(the_node);
    kith_signer_free(the_signer);
    support_heap_check(&heap);
    return 0;
}

static kith_bytes question(kith_kad_type type, const char *key)
{
    static uint8_t buf[128];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_kad_put_head(&w, type, kith_bytes_str(key));
    assert_false(w.bad);
    return kith_wr_bytes(&w);
}

static kith_maddr addr_of(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return a;
}

static kith_addrs addrs_of(const char *text)
{
    kith_addrs all = {0};
    kith_maddr a = addr_of(text);
    kith_addrs_pack(&all, &a, 1);
    return all;
}

/* The answer to one who is connected if that was said, of which *out is a view. */
static kith_err ask(kith_bytes q, kith_kad_msg *out)
{
    static uint8_t answer[KITH_KAD_REQUEST_MAX];
    kith_wr w = kith_wr_of(kith_span_of(answer, sizeof answer));
    kith_peer_id from = support_peer(ASKER);
    kith_err e = kith_kad_serve_(the_kad, KITH_SEC(1), &from, q, &w);
    assert_true(e == KITH_OK || w.len == 0);
    if (!e && w.len > 0)
        assert_int_equal(kith_kad_msg_parse(kith_wr_bytes(&w), out), KITH_OK);
    kith_kad_check(the_kad);
    return e;
}

static void a_question_without_a_key_is_none(void **state)
{
    static const kith_kad_type types[] = {KITH_KAD_FIND_NODE, KITH_KAD_GET_VALUE, KITH_KAD_PUT_VALUE,
                                          KITH_KAD_GET_PROVIDERS, KITH_KAD_ADD_PROVIDER};
    kith_kad_msg m;
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        assert_int_equal(ask(question(types[i], ""), &m), KITH_EPROTO);
    assert_int_equal(the_kad->refused, 5);
    for (size_t i = 0; i < sizeof types / sizeof types[0];
         i++) { /* with one: it is the key that was missing */
        kith_err e = ask(question(types[i], "key"), &m);
        assert_int_equal(e, types[i] == KITH_KAD_PUT_VALUE      ? KITH_EPROTO   /* without a record */
                            : types[i] == KITH_KAD_ADD_PROVIDER ? KITH_EREFUSED /* without a provider */
                                                                : KITH_OK);
    }
}

static void a_ping_is_answered(void **state)
{
    kith_kad_msg m;
    (void)state;
    assert_int_equal(ask(question(KITH_KAD_PING, ""), &m), KITH_OK);
    assert_int_equal(m.type, KITH_KAD_PING);
    assert_int_equal(the_kad->served, 1);
}

static void who_is_no_server_answers_nothing(void **state)
{
    kith_kad_msg m;
    (void)state;
    the_kad->serving = false;
    assert_int_equal(ask(question(KITH_KAD_PING, ""), &m), KITH_EREFUSED);
    assert_int_equal(ask(question(KITH_KAD_FIND_NODE, "key"), &m), KITH_EREFUSED);
}

/* As if the asker had connected from there, and had told an address to identify. */
static void connect_asker(const char *remote, const char *told)
{
    known *p = KITH_NEW(&the_kad->cfg.env, known);
    kith_addrs addrs = addrs_of(told);
    assert_non_null(p);
    *p = (known){.id = support_peer(ASKER), .conns = 1, .remote = addr_of(remote), .addrs_len = addrs.len};
    p->addrs = kith_mem_new(&the_kad->cfg.env, addrs.len);
    assert_non_null(p->addrs);
    memcpy(p->addrs, addrs.b, addrs.len);
    assert_int_equal(kith_map_put(&the_kad->known, &the_kad->cfg.env,
                                  kith_hash(the_kad->seed, kith_peer_id_bytes(&p->id)), p),
                     KITH_OK);
    kith_list_push(&the_kad->connected, &p->link);
}

/* Two say in one message that somebody provides a key: the asker with an address, and another. */
static kith_bytes provided_by_two(const char *asker_addr)
{
    static uint8_t buf[512];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_addrs own = asker_addr ? addrs_of(asker_addr) : (kith_addrs){0},
               others = addrs_of("/ip4/8.8.4.4/tcp/1");
    kith_peer_id asker = support_peer(ASKER), other = support_peer(ASKER + 1);
    kith_kad_put_head(&w, KITH_KAD_ADD_PROVIDER, kith_bytes_str("key"));
    assert_true(kith_kad_put_peer(&w, KITH_KAD_PROVIDERS, &other, kith_addrs_bytes(&others), false));
    assert_true(kith_kad_put_peer(&w, KITH_KAD_PROVIDERS, &asker, kith_addrs_bytes(&own), false));
    return kith_wr_bytes(&w);
}

static void who_provides_speaks_for_itself(void **state)
{
    static const struct {
        const char *said, *kept;
    } cases[] = {{"/ip4/8.8.8.8/tcp/5", "/ip4/8.8.8.8/tcp/5"},
                 {NULL, "/ip4/8.8.8.8/tcp/4001"}, /* those that identify told */
                 {"/ip4/127.0.0.1/tcp/22", "/ip4/8.8.8.8/tcp/4001"}};
    kith_kad_msg m;
    (void)state;
    connect_asker("/ip4/8.8.8.8/tcp/9", "/ip4/8.8.8.8/tcp/4001");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const void *at = NULL;
        kith_kad_row row;
        kith_peer_id asker = support_peer(ASKER);
        kith_addrs kept = addrs_of(cases[i].kept);
        assert_int_equal(ask(provided_by_two(cases[i].said), &m), KITH_OK);
        uint64_t unix = kith_kad_clock(the_kad, KITH_SEC(1));
        assert_true(kith_kad_store_provider(the_kad->store, unix, kith_bytes_str("key"), &at, &row));
        assert_true(kith_peer_id_eq(&row.provider, &asker));
        assert_true(kith_bytes_eq(row.data, kith_addrs_bytes(&kept)));
        assert_false(kith_kad_store_provider(the_kad->store, unix, kith_bytes_str("key"), &at, &row));
    }
}

/* js-libp2p (GHSA-32mq-hpph-xfvr): a value under a key that nothing can judge was stored, and so the disk filled up. */
static void CVE_2026_45783_a_value_that_nothing_judges_is_not_stored(void **state)
{
    static uint8_t buf[KITH_KAD_REQUEST_MAX], value[KITH_KAD_VALUE_MAX];
    static const char *const fixed[] = {"\x01", "a",    "/",     "//",         "/pk",      "/ipns",
                                        "pk/x", "/x/y", "/PK/x", "/ipns ns/x", "/pk/../x", "\xff\xfe"};
    enum { FIXED = sizeof fixed / sizeof *fixed };
    kith_kad_msg m;
    (void)state;
    size_t before = heap.bytes;
    for (unsigned i = 0; i < FIXED + 4000; i++) {
        char key[40];
        snprintf(key, sizeof key, i % 2 ? "key %u" : "/of nobody/%u", i);
        kith_bytes k = kith_bytes_str(i < FIXED ? fixed[i] : key);
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        kith_kad_put_head(&w, KITH_KAD_PUT_VALUE, k);
        kith_kad_put_record(&w, k, kith_bytes_of(value, sizeof value), 0);
        assert_false(w.bad);
        kith_err e = ask(kith_wr_bytes(&w), &m);
        assert_true(e == KITH_EUNSUPPORTED || (i < FIXED && e != KITH_OK));
    }
    /* nor one that its judge refuses */
    static const char *const judged[] = {"/pk/x", "/ipns/x", "/pk/", "/ipns/"};
    for (size_t i = 0; i < sizeof judged / sizeof *judged; i++) {
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        kith_kad_put_head(&w, KITH_KAD_PUT_VALUE, kith_bytes_str(judged[i]));
        kith_kad_put_record(&w, kith_bytes_str(judged[i]), kith_bytes_of(value, sizeof value), 0);
        assert_int_not_equal(ask(kith_wr_bytes(&w), &m), KITH_OK);
    }
    kith_kad_store_facts facts = kith_kad_store_look(the_kad->store);
    assert_int_equal(facts.values + facts.values_bytes, 0);
    assert_int_equal(heap.bytes, before);
    assert_int_equal(ask(question(KITH_KAD_PING, ""), &m), KITH_OK); /* others are served */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_question_without_a_key_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(CVE_2026_45783_a_value_that_nothing_judges_is_not_stored, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_provides_speaks_for_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_ping_is_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_no_server_answers_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
