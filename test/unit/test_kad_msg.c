/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kademlia's messages: what go-libp2p-kad-dht makes is read, what we make is the same, and nothing else gets through. */
#include "proto/kad_msg.h"
#include "support.h"

#define PEER \
    "002408011220000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" /* an Ed25519 key's id */
#define ADDR "04010203040600c8"                                                    /* /ip4/1.2.3.4/tcp/200 */

static kith_err parse(const char *hex, kith_kad_msg *m)
{
    static kith_span last;
    free(last.p);
    last = support_hex(hex);
    return kith_kad_msg_parse(kith_span_bytes(last), m);
}

static void a_question_is_read(void **state)
{
    (void)state;
    kith_kad_msg m;
    assert_int_equal(parse("0804"
                           "12026162"
                           "5001", /* clusterLevelRaw, as go sends it */
                           &m),
                     KITH_OK);
    assert_int_equal(m.type, KITH_KAD_FIND_NODE);
    support_assert_str(m.key, "ab");
    assert_false(m.has_record);
    assert_int_equal(parse("", &m), KITH_OK); /* proto3: PUT_VALUE without anything */
    assert_int_equal(m.type, KITH_KAD_PUT_VALUE);
    assert_int_equal(parse("0806", &m), KITH_EUNSUPPORTED);
    assert_int_equal(parse("0805", &m), KITH_OK);
}

static void peers_are_walked_and_strange_ones_passed_over(void **state)
{
    (void)state;
    kith_kad_msg m;
    kith_kad_peer p;
    kith_maddr a;
    assert_int_equal(parse("0804"
                           "4204" /* a peer whose id is none */
                           "0a020102"
                           "4236"
                           "0a26" PEER "1208" ADDR "1202ffff" /* an address that is none */
                           "4a28"                             /* a provider, without addresses */
                           "0a26" PEER,
                           &m),
                     KITH_OK);
    kith_kad_walk w = kith_kad_walk_of(&m, KITH_KAD_CLOSER);
    assert_true(kith_kad_walk_next(&w, &p));
    support_assert_hex(kith_peer_id_bytes(&p.id), PEER);
    assert_int_equal(kith_addrs_unpack(kith_addrs_bytes(&p.addrs), &a, 1), 1);
    support_assert_hex(kith_maddr_bytes(&a), ADDR);
    assert_false(kith_kad_walk_next(&w, &p));
    w = kith_kad_walk_of(&m, KITH_KAD_PROVIDERS);
    assert_true(kith_kad_walk_next(&w, &p));
    assert_int_equal(p.addrs.len, 0);
    assert_false(kith_kad_walk_next(&w, &p));
}

static void what_is_malformed_is_refused(void **state)
{
    (void)state;
    kith_kad_msg m;
    static const char *const bad[] = {
        "0a00",             /* type as bytes */
        "1001",             /* key as a number */
        "1801",             /* record as a number */
        "1a020801",         /* record's key as a number */
        "4001",     "4801", /* peers as numbers */
        "42020801",         /* peer's id as a number */
        "42021001",         /* address as a number */
        "42021a00",         /* connection as bytes */
        "42020a05",         /* cut inside */
        "1a020a05", "0b",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse(bad[i], &m), KITH_EPROTO);
}

static void a_list_is_walked_so_far_and_no_further(void **state)
{
    (void)state;
    uint8_t buf[4096];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_peer_id id;
    kith_span b = support_hex(PEER);
    assert_int_equal(kith_peer_id_parse(kith_span_bytes(b), &id), KITH_OK);
    free(b.p);
    kith_kad_put_head(&w, KITH_KAD_FIND_NODE, (kith_bytes){0});
    for (unsigned i = 0; i < KITH_KAD_PEERS_MAX + 3; i++)
        assert_true(kith_kad_put_peer(&w, KITH_KAD_CLOSER, &id, (kith_bytes){0}, false));
    kith_kad_msg m;
    kith_kad_peer p;
    assert_int_equal(kith_kad_msg_parse(kith_wr_bytes(&w), &m), KITH_OK);
    kith_kad_walk walk = kith_kad_walk_of(&m, KITH_KAD_CLOSER);
    unsigned n = 0;
    while (kith_kad_walk_next(&walk, &p))
        n++;
    assert_int_equal(n, KITH_KAD_PEERS_MAX);
}

static void keys_and_values_have_their_caps(void **state)
{
    (void)state;
    static uint8_t big[KITH_KAD_VALUE_MAX + 1], buf[KITH_KAD_REQUEST_MAX];
    kith_kad_msg m;
    for (size_t over = 0; over < 2; over++) {
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        kith_kad_put_head(&w, KITH_KAD_GET_VALUE, kith_bytes_of(big, KITH_KAD_KEY_MAX + over));
        assert_int_equal(kith_kad_msg_parse(kith_wr_bytes(&w), &m), over ? KITH_ELIMIT : KITH_OK);
        w = kith_wr_of(kith_span_of(buf, sizeof buf));
        kith_kad_put_record(&w, kith_bytes_of(big, KITH_KAD_KEY_MAX),
                            kith_bytes_of(big, KITH_KAD_VALUE_MAX + over), 0);
        assert_false(w.bad);
        assert_int_equal(kith_kad_msg_parse(kith_wr_bytes(&w), &m), over ? KITH_ELIMIT : KITH_OK);
        w = kith_wr_of(kith_span_of(buf, sizeof buf));
        kith_kad_put_record(&w, kith_bytes_of(big, KITH_KAD_KEY_MAX + over), (kith_bytes){0}, 0);
        assert_int_equal(kith_kad_msg_parse(kith_wr_bytes(&w), &m), over ? KITH_ELIMIT : KITH_OK);
    }
}

static void what_we_write_is_what_is_meant(void **state)
{
    (void)state;
    uint8_t buf[512];
    kith_peer_id id;
    kith_span b = support_hex(PEER), a = support_hex("08" ADDR);
    assert_int_equal(kith_peer_id_parse(kith_span_bytes(b), &id), KITH_OK);
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_kad_put_head(&w, KITH_KAD_GET_PROVIDERS, kith_bytes_str("k"));
    assert_true(kith_kad_put_peer(&w, KITH_KAD_PROVIDERS, &id, kith_span_bytes(a), true));
    support_assert_hex(kith_wr_bytes(&w), "0803"
                                          "12016b"
                                          "4a34"
                                          "0a26" PEER "1208" ADDR "1801");
    size_t len = w.len;
    w.out.len = len + 20; /* no room for another: nothing is written, and nothing is wrong */
    assert_false(kith_kad_put_peer(&w, KITH_KAD_PROVIDERS, &id, kith_span_bytes(a), true));
    assert_int_equal(w.len, len);
    assert_false(w.bad);
    w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_kad_put_head(&w, KITH_KAD_PUT_VALUE, kith_bytes_str("k"));
    kith_kad_put_record(&w, kith_bytes_str("k"), kith_bytes_str("v"), 0);
    support_assert_hex(kith_wr_bytes(&w), "12016b"
                                          "1a06"
                                          "0a016b"
                                          "120176");
    free(a.p);
    free(b.p);
}

static void the_time_of_a_record_is_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        uint64_t unix;
        const char *text;
    } times[] = {
        {1, "1970-01-01T00:00:01Z"},          {951782399, "2000-02-28T23:59:59Z"},
        {951782400, "2000-02-29T00:00:00Z"},  {951868800, "2000-03-01T00:00:00Z"},
        {1709164800, "2024-02-29T00:00:00Z"}, {1795715999, "2026-11-26T17:59:59Z"},
        {4107542400, "2100-03-01T00:00:00Z"}, {253402300799, "9999-12-31T23:59:59Z"},
        {UINT64_MAX, "9999-12-31T23:59:59Z"},
    };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        uint8_t buf[128];
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        kith_kad_put_record(&w, (kith_bytes){0}, (kith_bytes){0}, times[i].unix);
        assert_int_equal(w.len, 2 + 2 + 2 + 2 + 20);
        support_assert_str(kith_bytes_of(buf + 8, 20), times[i].text);
    }
}

static void walk_all(void *ctx, kith_bytes in)
{
    kith_kad_msg m;
    kith_kad_peer p;
    (void)ctx;
    if (kith_kad_msg_parse(in, &m))
        return;
    for (int list = KITH_KAD_CLOSER; list <= KITH_KAD_PROVIDERS; list++) {
        kith_kad_walk w = kith_kad_walk_of(&m, (kith_kad_list)list);
        while (kith_kad_walk_next(&w, &p))
            assert_true(p.addrs.len <= KITH_ADDRS_LEN_MAX && p.id.len <= KITH_PEER_ID_MAX);
    }
}

static void any_byte_may_be_wrong(void **state)
{
    (void)state;
    kith_span s = support_hex("0803"
                              "12026162"
                              "1a080a0261621202cdef"
                              "4232"
                              "0a26" PEER "1208" ADDR "4a28"
                              "0a26" PEER);
    walk_all(NULL, kith_span_bytes(s));
    support_mutate(kith_span_bytes(s), walk_all, NULL);
    free(s.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_read),
        cmocka_unit_test(peers_are_walked_and_strange_ones_passed_over),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(a_list_is_walked_so_far_and_no_further),
        cmocka_unit_test(keys_and_values_have_their_caps),
        cmocka_unit_test(what_we_write_is_what_is_meant),
        cmocka_unit_test(the_time_of_a_record_is_rfc_3339),
        cmocka_unit_test(any_byte_may_be_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
