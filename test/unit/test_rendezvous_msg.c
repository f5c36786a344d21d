/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rendezvous messages: what is written is read, and what is malformed is refused. */
#include "proto/rendezvous_msg.h"

#include "support.h"

static uint8_t buf[1024];

static kith_wr writer(void)
{
    return kith_wr_of(kith_span_of(buf, sizeof buf));
}

static kith_rdv_msg read_back(const kith_wr *w)
{
    kith_rdv_msg m;
    assert_false(w->bad);
    assert_int_equal(kith_rdv_parse(kith_wr_bytes(w), &m), KITH_OK);
    return m;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    kith_bytes ns = kith_bytes_str("app"), record = kith_bytes_str("a record"),
               cookie = kith_bytes_str("a cookie");
    kith_peer_id id = {.len = 2, .b = {0, 0}};
    kith_wr w = writer();
    kith_rdv_put_register(&w, ns, record, 7200);
    kith_rdv_msg m = read_back(&w);
    assert_true(m.type == KITH_RDV_REGISTER && m.has_ns && m.has_ttl && m.ttl == 7200);
    support_assert_bytes(m.ns, ns);
    support_assert_bytes(m.record, record);

    w = writer();
    kith_rdv_put_unregister(&w, ns, &id);
    m = read_back(&w);
    assert_int_equal(m.type, KITH_RDV_UNREGISTER);
    support_assert_bytes(m.ns, ns);

    w = writer();
    kith_rdv_put_discover(&w, ns, 7, cookie);
    m = read_back(&w);
    assert_true(m.type == KITH_RDV_DISCOVER && m.has_ns && m.has_cookie && m.limit == 7);
    support_assert_bytes(m.cookie, cookie);
    w = writer();
    kith_rdv_put_discover(&w, (kith_bytes){0}, 0, (kith_bytes){0});
    m = read_back(&w);
    assert_true(m.type == KITH_RDV_DISCOVER && !m.has_ns && !m.has_cookie && m.limit == 0);

    w = writer();
    kith_rdv_put_registered(&w, KITH_RDV_OK, NULL, 9000);
    m = read_back(&w);
    assert_true(m.type == KITH_RDV_REGISTER_RESPONSE && m.status == KITH_RDV_OK && m.ttl == 9000);
    w = writer();
    kith_rdv_put_registered(&w, KITH_RDV_NOT_AUTHORIZED, "no", 0);
    m = read_back(&w);
    assert_true(m.status == KITH_RDV_NOT_AUTHORIZED && !m.has_ttl);

    uint8_t list[64];
    kith_wr l = kith_wr_of(kith_span_of(list, sizeof list));
    assert_true(kith_rdv_put_registration(&l, ns, record, 1));
    assert_true(kith_rdv_put_registration(&l, ns, record, 2));
    size_t len = l.len;
    while (kith_rdv_put_registration(&l, ns, record, 3))
        len = l.len;
    assert_true(l.len == len && !l.bad); /* the one that did not fit has left nothing */
    w = writer();
    kith_rdv_put_discovered(&w, KITH_RDV_OK, NULL, kith_wr_bytes(&l), cookie);
    m = read_back(&w);
    assert_true(m.type == KITH_RDV_DISCOVER_RESPONSE && m.status == KITH_RDV_OK);
    support_assert_bytes(m.cookie, cookie);
    kith_rdv_walk walk = kith_rdv_walk_of(&m);
    kith_rdv_msg reg;
    for (uint64_t i = 1; i <= 2; i++) {
        assert_true(kith_rdv_walk_next(&walk, &reg) && reg.ttl == i);
        support_assert_bytes(reg.record, record);
    }
}

/* As rust-libp2p 0.57 writes them: fields that kith leaves away, and in another order. */
static void what_others_write_is_read(void **state)
{
    (void)state;
    static const char discovered[] =
        "\x08\x04\x32\x14\x0a\x08\x0a\x01\x61\x12\x01\x72\x18\x05\x12\x04\x63\x6f\x6f\x6b\x18\x00\x22\x00";
    kith_rdv_msg m, reg;
    kith_bytes in = kith_bytes_of((const uint8_t *)discovered, sizeof discovered - 1);
    assert_int_equal(kith_rdv_parse(in, &m), KITH_OK);
    assert_true(m.type == KITH_RDV_DISCOVER_RESPONSE && m.cookie.len == 4);
    kith_rdv_walk w = kith_rdv_walk_of(&m);
    assert_true(kith_rdv_walk_next(&w, &reg) && reg.ttl == 5 && reg.ns.len == 1);
    assert_false(kith_rdv_walk_next(&w, &reg));
    assert_int_equal(kith_rdv_parse(kith_bytes_str("\x2a\x02\x10\x07\x08\x03"), &m), KITH_OK); /* type last */
    assert_true(m.type == KITH_RDV_DISCOVER && m.limit == 7);
    assert_int_equal(kith_rdv_parse(kith_bytes_str("\x08\x03"), &m), KITH_OK); /* all of it is optional */
    assert_int_equal(kith_rdv_parse(kith_bytes_str("\x08\x03\x7a\x01x"), &m), KITH_OK); /* of later times */
}

static void what_is_malformed_is_refused(void **state)
{
    (void)state;
    kith_rdv_msg m;
    static const char *const bad[] = {
        "",                                         /* no type */
        "\x2a\x02\x10\x07",                         /* nor here */
        "\x08\x02",                                 /* UNREGISTER of nothing */
        "\x0a\x01\x03",                             /* the type as bytes */
        "\x08\x03\x28\x01",                         /* the body as a number */
        "\x08\x03\x2a\x02\x08\x07",                 /* its namespace so */
        "\x08\x03\x2a\x02\x10",                     /* cut off */
        "\x08\x03\x2a\x02\x10\x07\x2a\x02\x10\x07", /* twice */
        "\x08\x04\x32\x04\x0a\x02\x08\x01",         /* a registration that is none */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(kith_rdv_parse(kith_bytes_str(bad[i]), &m), KITH_EPROTO);
    assert_int_equal(kith_rdv_parse(kith_bytes_str("\x08\x05"), &m), KITH_EUNSUPPORTED);
}

static void parse_any(void *ctx, kith_bytes in)
{
    kith_rdv_msg m, reg;
    (void)ctx;
    if (kith_rdv_parse(in, &m) == KITH_OK && m.type == KITH_RDV_DISCOVER_RESPONSE) {
        for (kith_rdv_walk w = kith_rdv_walk_of(&m); kith_rdv_walk_next(&w, &reg);)
            assert_int_equal(reg.type, KITH_RDV_REGISTER);
    }
}

static void messages_survive_any_damage(void **state)
{
    (void)state;
    uint8_t list[64];
    kith_wr l = kith_wr_of(kith_span_of(list, sizeof list)), w = writer();
    assert_true(kith_rdv_put_registration(&l, kith_bytes_str("app"), kith_bytes_str("a record"), 7200));
    kith_rdv_put_discovered(&w, KITH_RDV_OK, "text", kith_wr_bytes(&l), kith_bytes_str("cookie"));
    kith_span copy = support_copy(kith_wr_bytes(&w));
    support_mutate(kith_span_bytes(copy), parse_any, NULL);
    free(copy.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_others_write_is_read),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(messages_survive_any_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
