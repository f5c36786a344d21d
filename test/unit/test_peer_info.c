/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Peer info records: what is sealed opens, for its signer's channel only, within its caps. */
#include "wire/peer_info.h"

#include "crypto/crypto.h"
#include "support.h"
#include "wire/envelope.h"
#include "wire/pb.h"

static kith_signer *signer;
static kith_peer_id own, other;
static uint8_t sealed[2 * KITH_PEER_INFO_MAX];

static int make(void **state)
{
    (void)state;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {1}, second[KITH_ED25519_SEED_LEN] = {2};
    signer = kith_signer_new(seed);
    kith_signer *s = kith_signer_new(second);
    own = support_peer_of(signer);
    other = support_peer_of(s);
    kith_signer_free(s);
    return signer ? 0 : 1;
}

static int drop(void **state)
{
    (void)state;
    kith_signer_free(signer);
    return 0;
}

static kith_bytes seal(const kith_peer_info *info)
{
    kith_wr w = kith_wr_of(kith_span_of(sealed, sizeof sealed));
    assert_int_equal(kith_peer_info_seal(signer, info, &w), KITH_OK);
    return kith_wr_bytes(&w);
}

/* Any payload at all, signed. */
static kith_bytes seal_raw(kith_bytes payload)
{
    kith_wr w = kith_wr_of(kith_span_of(sealed, sizeof sealed));
    assert_int_equal(
        kith_envelope_seal(signer, "kith-peer-info", kith_bytes_str("/kith/peer-info/1"), payload, &w),
        KITH_OK);
    return kith_wr_bytes(&w);
}

static kith_err open_raw(kith_bytes payload)
{
    kith_peer_info info;
    return kith_peer_info_open(seal_raw(payload), &own, &info);
}

static kith_peer_info example(void)
{
    static kith_maddr a;
    kith_peer_info info = {.seq = 7, .time = 1800000000, .name = kith_bytes_str("Ann’s laptop")};
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/10.0.0.1/tcp/9000"), &a, NULL), KITH_OK);
    info.addrs[info.addr_count++] = kith_maddr_bytes(&a);
    info.algorithms[info.algorithm_count++] = kith_bytes_str("Ed25519");
    return info;
}

static void what_is_sealed_opens(void **state)
{
    (void)state;
    kith_peer_info want = example(), got;
    kith_bytes in = seal(&want);
    assert_int_equal(kith_peer_info_open(in, &own, &got), KITH_OK);
    assert_true(kith_peer_id_eq(&got.peer, &own));
    assert_true(got.seq == 7 && got.time == 1800000000);
    support_assert_str(got.name, "Ann’s laptop");
    assert_int_equal(got.addr_count, 1);
    support_assert_bytes(got.addrs[0], want.addrs[0]);
    assert_int_equal(got.algorithm_count, 1);
    support_assert_str(got.algorithms[0], "Ed25519");
    assert_int_equal(kith_peer_info_read(in, &got), KITH_OK);
    want.name = (kith_bytes){0};
    want.addr_count = want.algorithm_count = 0;
    assert_int_equal(kith_peer_info_open(seal(&want), &own, &got), KITH_OK);
    assert_int_equal(got.name.len, 0);
}

/* The domain and the type are the record's own: what was signed for something else is none, nor the other way round. */
static void it_counts_for_its_signers_channel_only(void **state)
{
    (void)state;
    kith_peer_info info = example(), got;
    kith_bytes in = seal(&info);
    assert_int_equal(kith_peer_info_open(in, &other, &got), KITH_EAUTH);
    uint8_t b[512];
    kith_wr p = kith_wr_of(kith_span_of(b, sizeof b));
    kith_pb_put_bytes(&p, 1, kith_peer_id_bytes(&other)); /* signed by us, and about somebody else */
    kith_pb_put_num(&p, 2, 7);
    kith_pb_put_num(&p, 3, 7);
    assert_int_equal(open_raw(kith_wr_bytes(&p)), KITH_EAUTH);
    kith_peer_record rec;
    kith_wr w = kith_wr_of(kith_span_of(sealed, sizeof sealed));
    assert_int_equal(kith_peer_record_seal(signer, 1, NULL, 0, &w), KITH_OK);
    assert_int_equal(kith_peer_info_open(kith_wr_bytes(&w), &own, &got), KITH_ECRYPTO);
    assert_int_equal(kith_peer_info_read(kith_wr_bytes(&w), &got), KITH_EUNSUPPORTED);
    assert_int_equal(kith_peer_record_open(seal(&info), &rec), KITH_EUNSUPPORTED);
}

static void put_must(kith_wr *w)
{
    kith_pb_put_bytes(w, 1, kith_peer_id_bytes(&own));
    kith_pb_put_num(w, 2, 7);
    kith_pb_put_num(w, 3, 8);
}

static void fields_are_there_once_and_in_range(void **state)
{
    (void)state;
    uint8_t b[1024];
    for (uint32_t left_out = 0; left_out <= 3; left_out++) {
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
        if (left_out != 1)
            kith_pb_put_bytes(&w, 1, kith_peer_id_bytes(&own));
        for (uint32_t tag = 2; tag <= 3; tag++) {
            if (tag != left_out)
                kith_pb_put_num(&w, tag, 7);
        }
        assert_int_equal(open_raw(kith_wr_bytes(&w)), left_out ? KITH_EFORMAT : KITH_OK);
    }
    for (uint32_t tag = 1; tag <= 6; tag++) {
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
        put_must(&w);
        if (tag == 1)
            kith_pb_put_bytes(&w, 1, kith_peer_id_bytes(&own));
        else if (tag <= 3)
            kith_pb_put_num(&w, tag, 7);
        else
            kith_pb_put_num(&w, tag, 1); /* not a number */
        assert_int_equal(open_raw(kith_wr_bytes(&w)), KITH_EFORMAT);
    }
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    put_must(&w);
    kith_pb_put_str(&w, 4, "a");
    kith_pb_put_str(&w, 4, "a");
    assert_int_equal(open_raw(kith_wr_bytes(&w)), KITH_EFORMAT);
    w = kith_wr_of(kith_span_of(b, sizeof b));
    kith_pb_put_bytes(&w, 1, kith_peer_id_bytes(&own));
    kith_pb_put_num(&w, 2, 1ull << 63);
    kith_pb_put_num(&w, 3, 8);
    assert_int_equal(open_raw(kith_wr_bytes(&w)), KITH_EFORMAT);
    w = kith_wr_of(kith_span_of(b, sizeof b));
    put_must(&w);
    kith_pb_put_str(&w, 99, "of a later version");
    assert_int_equal(open_raw(kith_wr_bytes(&w)), KITH_OK);
}

static void names_are_short_and_printable(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool ok;
    } names[] = {{"a", true},
                 {"", false},
                 {" a", false},
                 {"a ", false},
                 {"two words", true},
                 {"caf\xc3\xa9", true},
                 {"\xc3", false},
                 {"a\x1b[2J", false},
                 {"a\nb", false},
                 {"a\xe2\x80\xae"
                  "b",
                  false}, /* turns the direction */
                 {"0123456789012345678901234567890123456789012345678901234567890123", true},
                 {"01234567890123456789012345678901234567890123456789012345678901234", false}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint8_t b[512];
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
        assert_int_equal(kith_peer_name_ok(kith_bytes_str(names[i].name)), names[i].ok);
        put_must(&w);
        kith_pb_put_str(&w, 4, names[i].name);
        assert_int_equal(open_raw(kith_wr_bytes(&w)), names[i].ok ? KITH_OK : KITH_EFORMAT);
        kith_peer_info info = example();
        info.name = kith_bytes_str(names[i].name);
        w = kith_wr_of(kith_span_of(sealed, sizeof sealed));
        kith_err e = kith_peer_info_seal(signer, &info, &w);
        assert_int_equal(e, names[i].ok || !*names[i].name ? KITH_OK : KITH_EFORMAT);
    }
}

static void lists_have_their_caps_and_bad_addresses_are_left_out(void **state)
{
    (void)state;
    uint8_t b[KITH_PEER_INFO_MAX];
    kith_peer_info info = example(), got;
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    put_must(&w);
    kith_pb_put_str(&w, 5, "none");
    kith_pb_put_bytes(&w, 5, (kith_bytes){0});
    for (unsigned i = 0; i < KITH_PEER_INFO_ADDRS_MAX + 1; i++)
        kith_pb_put_bytes(&w, 5, info.addrs[0]);
    for (unsigned i = 0; i < KITH_PEER_INFO_ALGORITHMS_MAX + 1; i++)
        kith_pb_put_str(&w, 6, "x");
    assert_int_equal(kith_peer_info_open(seal_raw(kith_wr_bytes(&w)), &own, &got), KITH_OK);
    assert_int_equal(got.addr_count, KITH_PEER_INFO_ADDRS_MAX);
    assert_int_equal(got.algorithm_count, KITH_PEER_INFO_ALGORITHMS_MAX);
    /* The longest: what does not fit is left out, and the rest is whole. */
    static uint8_t name[250];
    kith_maddr big;
    memset(name, 'a', sizeof name);
    uint8_t ma[300] = {0x35, 250, 1};
    ma[1] = 0xfa;
    memcpy(ma + 3, name, sizeof name); /* /dns/aaa... */
    assert_int_equal(kith_maddr_parse(kith_bytes_of(ma, 3 + sizeof name), &big), KITH_OK);
    static char alg[KITH_PEER_INFO_ALGORITHM_MAX + 1];
    memset(alg, 'x', KITH_PEER_INFO_ALGORITHM_MAX);
    info.addr_count = info.algorithm_count = 0;
    for (unsigned i = 0; i < KITH_PEER_INFO_ADDRS_MAX; i++)
        info.addrs[info.addr_count++] = kith_maddr_bytes(&big);
    for (unsigned i = 0; i < KITH_PEER_INFO_ALGORITHMS_MAX; i++)
        info.algorithms[info.algorithm_count++] = kith_bytes_str(alg);
    kith_bytes in = seal(&info);
    assert_true(in.len <= KITH_PEER_INFO_MAX);
    assert_int_equal(kith_peer_info_open(in, &own, &got), KITH_OK);
    assert_true(got.addr_count > 5 && got.addr_count < KITH_PEER_INFO_ADDRS_MAX);
    assert_int_equal(got.algorithm_count, KITH_PEER_INFO_ALGORITHMS_MAX);
    info.algorithm_count = KITH_PEER_INFO_ALGORITHMS_MAX + 1;
    w = kith_wr_of(kith_span_of(b, sizeof b));
    assert_int_equal(kith_peer_info_seal(signer, &info, &w), KITH_EFORMAT);
}

static void a_record_has_4096_bytes_and_not_one_more(void **state)
{
    (void)state;
    static uint8_t b[KITH_PEER_INFO_MAX], filler[KITH_PEER_INFO_MAX];
    kith_peer_info got;
    bool at_cap = false, beyond = false;
    for (size_t n = KITH_PEER_INFO_MAX - 300; n < KITH_PEER_INFO_MAX - 100; n++) {
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
        put_must(&w);
        kith_pb_put_bytes(&w, 99, kith_bytes_of(filler, n));
        kith_bytes in = seal_raw(kith_wr_bytes(&w));
        kith_err e = kith_peer_info_open(in, &own, &got);
        assert_int_equal(e, in.len > KITH_PEER_INFO_MAX ? KITH_ELIMIT : KITH_OK);
        at_cap |= in.len == KITH_PEER_INFO_MAX;
        beyond |= in.len == KITH_PEER_INFO_MAX + 1;
    }
    assert_true(at_cap && beyond);
}

static void open_any(void *ctx, kith_bytes in)
{
    kith_peer_info info;
    (void)ctx;
    if (kith_peer_info_open(in, &own, &info) == KITH_OK)
        support_assert_bytes(in, kith_bytes_of(sealed, in.len)); /* nothing but what was signed */
    (void)!kith_peer_info_read(in, &info);
}

static void no_other_bytes_open(void **state)
{
    (void)state;
    kith_peer_info info = example();
    kith_span copy = support_copy(seal(&info));
    support_mutate(kith_span_bytes(copy), open_any, NULL);
    free(copy.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens),
        cmocka_unit_test(it_counts_for_its_signers_channel_only),
        cmocka_unit_test(fields_are_there_once_and_in_range),
        cmocka_unit_test(names_are_short_and_printable),
        cmocka_unit_test(lists_have_their_caps_and_bad_addresses_are_left_out),
        cmocka_unit_test(a_record_has_4096_bytes_and_not_one_more),
        cmocka_unit_test(no_other_bytes_open),
    };
    if (kith_crypto_init())
        return 1;
    return cmocka_run_group_tests(tests, make, drop);
}
