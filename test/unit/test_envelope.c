/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signed envelopes and peer records: those of go and js, the RFC's form, and every way in which one can be wrong. */
#include "wire/envelope.h"

#include "crypto/crypto.h"
#include "support.h"
#include "wire/pb.h"

static kith_signer *signer; /* of the seed 01 00 00 ... */
static kith_peer_id own;

static int make_signer(void **state)
{
    (void)state;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
    signer = kith_signer_new(seed);
    own = support_peer_of(signer);
    return signer ? 0 : 1;
}

static int drop_signer(void **state)
{
    (void)state;
    kith_signer_free(signer);
    return 0;
}

static kith_maddr addr(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return a;
}

static void records_of_other_implementations_open(void **state)
{
    (void)state;
    size_t len, records = 0;
    char *file = support_file("test/vectors/peer_records.txt", &len), *at = file, *w[5];
    while (support_words(&at, w, 5) > 0) {
        kith_span b = support_hex(w[1]);
        kith_peer_record rec;
        if (kith_peer_record_open(kith_span_bytes(b), &rec) != KITH_OK)
            fail_msg("the record of %s does not open", w[0]);
        char text[KITH_PEER_ID_TEXT_MAX + 1], ma[KITH_MADDR_TEXT_MAX + 1];
        kith_peer_id_text(&rec.peer, text);
        assert_string_equal(text, w[2]);
        assert_true(rec.seq == strtoull(w[3], NULL, 10));
        assert_int_equal(rec.addr_count, 1);
        kith_maddr a;
        assert_int_equal(kith_maddr_parse(rec.addrs[0], &a), KITH_OK);
        kith_maddr_text(&a, ma);
        assert_string_equal(ma, w[4]);
        free(b.p);
        records++;
    }
    assert_int_equal(records, 2);
    free(file);
}

static void an_envelope_opens_under_its_domain_only(void **state)
{
    (void)state;
    uint8_t b[256];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    kith_envelope env;
    assert_int_equal(
        kith_envelope_seal(signer, "kith-test", kith_bytes_str("/type"), kith_bytes_str("hello"), &w),
        KITH_OK);
    assert_int_equal(kith_envelope_open(kith_wr_bytes(&w), "kith-test", &env), KITH_OK);
    support_assert_str(env.type, "/type");
    support_assert_str(env.payload, "hello");
    assert_true(kith_peer_id_eq(&env.signer, &own));
    assert_int_equal(env.sig.len, KITH_ED25519_SIG_LEN);
    assert_true(env.payload.p > b && env.payload.p < b + w.len); /* a view */
    static const char *const others[] = {"kith-tes", "kith-test2", "", "Kith-test"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(kith_envelope_open(kith_wr_bytes(&w), others[i], &env), KITH_ECRYPTO);
    /* Nor when a boundary moves between two fields. */
    w = kith_wr_of(kith_span_of(b, sizeof b));
    assert_int_equal(kith_envelope_seal(signer, "kith", kith_bytes_str("-test"), (kith_bytes){0}, &w),
                     KITH_OK);
    assert_int_equal(kith_envelope_open(kith_wr_bytes(&w), "kith-test", &env), KITH_ECRYPTO);
    assert_int_equal(kith_envelope_open(kith_wr_bytes(&w), "kith", &env), KITH_OK);
    assert_int_equal(env.payload.len, 0);
}

static void a_record_is_emitted_in_the_deployed_form(void **state)
{
    (void)state;
    uint8_t b[512];
    const kith_maddr addrs[] = {addr("/ip4/127.0.0.1/tcp/4001"), addr("/dns4/example.org/udp/1/quic-v1")};
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    assert_int_equal(kith_peer_record_seal(signer, 7, addrs, 2, &w), KITH_OK);
    kith_envelope env;
    assert_int_equal(kith_envelope_open(kith_wr_bytes(&w), "libp2p-peer-record", &env), KITH_OK);
    support_assert_hex(env.type, "0301");
    kith_peer_record rec;
    assert_int_equal(kith_peer_record_open(kith_wr_bytes(&w), &rec), KITH_OK);
    assert_true(rec.seq == 7 && rec.addr_count == 2 && kith_peer_id_eq(&rec.peer, &own));
    for (size_t i = 0; i < 2; i++)
        support_assert_bytes(rec.addrs[i], kith_maddr_bytes(&addrs[i]));
}

/* go's fixture with its payload sealed by us: but for key and signature the same bytes, so go's protobuf and ours agree. */
static void our_bytes_are_laid_out_as_gos(void **state)
{
    (void)state;
    size_t len;
    char *file = support_file("test/vectors/peer_records.txt", &len), *at = file, *w[5];
    assert_int_equal(support_words(&at, w, 5), 5);
    assert_string_equal(w[0], "go");
    kith_span theirs = support_hex(w[1]);
    kith_peer_record rec;
    assert_int_equal(kith_peer_record_open(kith_span_bytes(theirs), &rec), KITH_OK);
    uint8_t b[512];
    kith_wr ours = kith_wr_of(kith_span_of(b, sizeof b));
    kith_maddr a = addr("/ip4/127.0.0.1/tcp/4001");
    assert_int_equal(kith_peer_record_seal(signer, 1, &a, 1, &ours), KITH_OK);
    /* go leaves a seq of 0 out; ours has two bytes more for the 1. */
    assert_int_equal(ours.len, theirs.len + 2);
    assert_memory_equal(b, theirs.p, 6);           /* key field, type of key, its length */
    assert_memory_equal(b + 38, theirs.p + 38, 4); /* payload type */
    assert_int_equal(b[42], theirs.p[42]);
    assert_int_equal(b[43], theirs.p[43] + 2);
    assert_memory_equal(b + 44, theirs.p + 44, 8);  /* record: peer id field, its head */
    assert_memory_equal(b + 86, theirs.p + 84, 12); /* address */
    assert_memory_equal(b + ours.len - 66, theirs.p + theirs.len - 66, 2); /* signature field */
    free(theirs.p);
    free(file);
}

static kith_wr seal_record(uint8_t *b, size_t cap, const char *domain, kith_bytes type, kith_bytes payload)
{
    kith_wr w = kith_wr_of(kith_span_of(b, cap));
    assert_int_equal(kith_envelope_seal(signer, domain, type, payload, &w), KITH_OK);
    return w;
}

/* RFC 0003 as written, rust-libp2p core/src/peer_record.rs LEGACY_DOMAIN_SEP and LEGACY_PAYLOAD_TYPE. */
static void the_rfcs_form_is_accepted_too(void **state)
{
    (void)state;
    uint8_t b[512], p[256];
    kith_wr rec = kith_wr_of(kith_span_of(p, sizeof p));
    kith_pb_put_bytes(&rec, 1, kith_peer_id_bytes(&own));
    kith_pb_put_num(&rec, 2, 9);
    const kith_bytes legacy = kith_bytes_str("/libp2p/routing-state-record"),
                     deployed = kith_bytes_of("\3\1", 2);
    kith_peer_record out;
    kith_wr w = seal_record(b, sizeof b, "libp2p-routing-state", legacy, kith_wr_bytes(&rec));
    assert_int_equal(kith_peer_record_open(kith_wr_bytes(&w), &out), KITH_OK);
    assert_true(out.seq == 9 && out.addr_count == 0);
    /* Each type belongs to its domain. */
    w = seal_record(b, sizeof b, "libp2p-peer-record", legacy, kith_wr_bytes(&rec));
    assert_int_equal(kith_peer_record_open(kith_wr_bytes(&w), &out), KITH_ECRYPTO);
    w = seal_record(b, sizeof b, "libp2p-routing-state", deployed, kith_wr_bytes(&rec));
    assert_int_equal(kith_peer_record_open(kith_wr_bytes(&w), &out), KITH_ECRYPTO);
    w = seal_record(b, sizeof b, "libp2p-relay-rsvp", kith_bytes_of("\3\2", 2), kith_wr_bytes(&rec));
    assert_int_equal(kith_peer_record_open(kith_wr_bytes(&w), &out), KITH_EUNSUPPORTED);
}

static void a_record_of_another_peer_is_refused(void **state)
{
    (void)state;
    uint8_t b[512], p[256], seed[KITH_ED25519_SEED_LEN] = {2};
    kith_signer *other = kith_signer_new(seed);
    const kith_peer_id id = support_peer_of(other);
    kith_signer_free(other);
    kith_wr rec = kith_wr_of(kith_span_of(p, sizeof p));
    kith_pb_put_bytes(&rec, 1, kith_peer_id_bytes(&id));
    kith_pb_put_num(&rec, 2, 9);
    kith_wr w = seal_record(b, sizeof b, "libp2p-peer-record", kith_bytes_of("\3\1", 2), kith_wr_bytes(&rec));
    kith_peer_record out = {.seq = 77};
    assert_int_equal(kith_peer_record_open(kith_wr_bytes(&w), &out), KITH_EAUTH);
    assert_true(out.seq == 77);
}

/* Payloads whose signature is good. */
static kith_err open_payload(kith_bytes payload, kith_peer_record *out)
{
    static uint8_t b[KITH_ENVELOPE_MAX];
    kith_wr w = seal_record(b, sizeof b, "libp2p-peer-record", kith_bytes_of("\3\1", 2), payload);
    return kith_peer_record_open(kith_wr_bytes(&w), out);
}

static void a_malformed_record_is_refused_though_signed(void **state)
{
    (void)state;
    uint8_t p[512];
    kith_peer_record out;
    kith_wr w = kith_wr_of(kith_span_of(p, sizeof p));
    assert_int_equal(open_payload((kith_bytes){0}, &out), KITH_EFORMAT); /* no peer */
    kith_pb_put_num(&w, 2, 1);
    assert_int_equal(open_payload(kith_wr_bytes(&w), &out), KITH_EFORMAT);
    kith_pb_put_str(&w, 1, "nobody");
    assert_int_equal(open_payload(kith_wr_bytes(&w), &out), KITH_EFORMAT);
    w = kith_wr_of(kith_span_of(p, sizeof p));
    kith_pb_put_bytes(&w, 1, kith_peer_id_bytes(&own));
    size_t good = w.len;
    assert_int_equal(open_payload(kith_wr_bytes(&w), &out), KITH_OK);
    assert_true(out.seq == 0);
    static const char *const tails[] = {"10",
                                        "1201"
                                        "00",
                                        "1a05"
                                        "0a",
                                        "1a03"
                                        "0a0561",
                                        "0801",
                                        "1801",
                                        "1b"};
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        kith_span t = support_hex(tails[i]);
        w.len = good;
        kith_put_bytes(&w, kith_span_bytes(t));
        free(t.p);
        assert_int_equal(open_payload(kith_wr_bytes(&w), &out), KITH_EFORMAT);
    }
    static const char *const fine[] = {"2001", "2203616263", "1a00", "1a020a00",
                                       "1a0210011a050a03040506" /* unknown fields, empty addresses */};
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        kith_span t = support_hex(fine[i]);
        w.len = good;
        kith_put_bytes(&w, kith_span_bytes(t));
        free(t.p);
        assert_int_equal(open_payload(kith_wr_bytes(&w), &out), KITH_OK);
        assert_int_equal(out.addr_count, i == 4 ? 1 : 0);
    }
}

static void addresses_beyond_the_cap_are_dropped(void **state)
{
    (void)state;
    static uint8_t p[KITH_ENVELOPE_MAX];
    kith_peer_record out;
    kith_wr w = kith_wr_of(kith_span_of(p, sizeof p));
    kith_pb_put_bytes(&w, 1, kith_peer_id_bytes(&own));
    for (size_t i = 0; i < KITH_RECORD_ADDRS_MAX + 100; i++) {
        uint8_t info[16] = {0x0a, 7, 4, 1, 2, (uint8_t)(i >> 8), (uint8_t)i, 6, 1};
        kith_pb_put_bytes(&w, 3, kith_bytes_of(info, 9));
    }
    assert_int_equal(open_payload(kith_wr_bytes(&w), &out), KITH_OK);
    assert_int_equal(out.addr_count, KITH_RECORD_ADDRS_MAX);
    assert_int_equal(out.addrs[KITH_RECORD_ADDRS_MAX - 1].p[4], KITH_RECORD_ADDRS_MAX - 1);
}

static void sealing_stops_at_the_caps(void **state)
{
    (void)state;
    static uint8_t b[2 * KITH_ENVELOPE_MAX], payload[KITH_ENVELOPE_MAX + 100];
    static kith_maddr addrs[KITH_RECORD_ADDRS_MAX + 1];
    for (size_t i = 0; i <= KITH_RECORD_ADDRS_MAX; i++)
        addrs[i] = addr("/ip4/1.2.3.4/tcp/1");
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    assert_int_equal(kith_peer_record_seal(signer, 1, addrs, KITH_RECORD_ADDRS_MAX, &w), KITH_OK);
    assert_int_equal(kith_peer_record_seal(signer, 1, addrs, KITH_RECORD_ADDRS_MAX + 1, &w), KITH_ELIMIT);
    for (size_t i = 0; i < KITH_RECORD_ADDRS_MAX; i++) {
        addrs[i].len = 0;
        static const uint8_t zeros[400];
        assert_int_equal(kith_maddr_add(&addrs[i], KITH_MA_HTTP_PATH, kith_bytes_of(zeros, sizeof zeros)),
                         KITH_OK);
    }
    assert_int_equal(kith_peer_record_seal(signer, 1, addrs, KITH_RECORD_ADDRS_MAX, &w), KITH_ESPACE);
    assert_true(w.bad);
    /* The longest envelope that is made is the longest that is opened. */
    size_t longest = 0;
    kith_envelope env;
    for (size_t n = KITH_ENVELOPE_MAX - 140; n < sizeof payload; n++) {
        w = kith_wr_of(kith_span_of(b, sizeof b));
        kith_err e = kith_envelope_seal(signer, "d", kith_bytes_str("t"), kith_bytes_of(payload, n), &w);
        if (e) {
            assert_int_equal(e, KITH_ESPACE);
            assert_true(w.bad);
            continue;
        }
        assert_true(longest == 0 || w.len > longest);
        longest = w.len;
        assert_int_equal(kith_envelope_open(kith_wr_bytes(&w), "d", &env), KITH_OK);
    }
    assert_int_equal(longest, KITH_ENVELOPE_MAX);
    assert_int_equal(kith_envelope_open(kith_bytes_of(b, KITH_ENVELOPE_MAX + 1), "d", &env), KITH_EFORMAT);
    /* Too little room. */
    for (size_t cap = 0; cap < 110; cap++) {
        kith_span small = support_copy(kith_bytes_of(payload, cap));
        w = kith_wr_of(small);
        assert_int_equal(kith_envelope_seal(signer, "d", kith_bytes_str("t"), kith_bytes_str("p"), &w),
                         KITH_ESPACE);
        assert_true(w.bad);
        free(small.p);
    }
}

static kith_bytes with(uint8_t *b, size_t cap, const uint32_t *tags, size_t n, const kith_envelope *env)
{
    kith_wr w = kith_wr_of(kith_span_of(b, cap));
    for (size_t i = 0; i < n; i++) {
        const kith_bytes v = tags[i] == 1   ? env->key
                             : tags[i] == 2 ? env->type
                             : tags[i] == 3 ? env->payload
                                            : env->sig;
        kith_pb_put_bytes(&w, tags[i], v);
    }
    assert_false(w.bad);
    return kith_wr_bytes(&w);
}

static void fields_may_come_in_any_order_but_once(void **state)
{
    (void)state;
    uint8_t b[256], c[512];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    kith_envelope env, got;
    assert_int_equal(kith_envelope_seal(signer, "d", kith_bytes_str("t"), kith_bytes_str("p"), &w), KITH_OK);
    assert_int_equal(kith_envelope_open(kith_wr_bytes(&w), "d", &env), KITH_OK);
    static const uint32_t fine[][5] = {{5, 3, 2, 1, 4}, {1, 2, 3, 4, 5}, {1, 2, 3, 5, 9}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(kith_envelope_open(with(c, sizeof c, fine[i], 5, &env), "d", &got), KITH_OK);
    static const uint32_t bad[][5] = {{1, 2, 3, 5, 5}, {1, 1, 2, 3, 5}, {1, 2, 2, 3, 5}, {1, 2, 3, 3, 5},
                                      {2, 3, 4, 5, 6}, {1, 3, 4, 5, 6}, {1, 2, 3, 4, 6}};
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(kith_envelope_open(with(c, sizeof c, bad[i], 5, &env), "d", &got), KITH_EFORMAT);
    static const uint32_t no_payload[] = {1, 2, 5};
    assert_int_equal(kith_envelope_open(with(c, sizeof c, no_payload, 3, &env), "d", &got), KITH_ECRYPTO);
    /* An empty payload counts as one. */
    env.payload.len = 0;
    assert_int_equal(kith_envelope_open(with(c, sizeof c, bad[3], 5, &env), "d", &got), KITH_EFORMAT);
    env.sig.len = 0;
    assert_int_equal(kith_envelope_open(with(c, sizeof c, fine[1], 5, &env), "d", &got), KITH_EFORMAT);
    kith_wr v = kith_wr_of(kith_span_of(c, sizeof c));
    kith_pb_put_num(&v, 1, 1);
    assert_int_equal(kith_envelope_open(kith_wr_bytes(&v), "d", &got), KITH_EFORMAT);
    assert_int_equal(kith_envelope_open((kith_bytes){0}, "d", &got), KITH_EFORMAT);
}

/* libp2p peers of other key types sign records too: the table of sign.h decides, so one type stands for them. */
static void a_key_that_is_not_canonical_or_unknown_is_refused(void **state)
{
    (void)state;
    uint8_t c[256];
    kith_envelope env, got;
    uint8_t b[256];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    assert_int_equal(kith_envelope_seal(signer, "d", kith_bytes_str("t"), kith_bytes_str("p"), &w), KITH_OK);
    assert_int_equal(kith_envelope_open(kith_wr_bytes(&w), "d", &env), KITH_OK);
    static const uint32_t all[] = {1, 2, 3, 5};
    kith_span odd = support_copy(env.key);
    odd.p[1] = 9; /* a type to come */
    env.key = kith_span_bytes(odd);
    assert_int_equal(kith_envelope_open(with(c, sizeof c, all, 4, &env), "d", &got), KITH_EUNSUPPORTED);
    odd.p[1] = 2; /* 32 bytes are no secp256k1 key */
    assert_int_equal(kith_envelope_open(with(c, sizeof c, all, 4, &env), "d", &got), KITH_ECRYPTO);
    odd.p[0] = 0x10;
    assert_int_equal(kith_envelope_open(with(c, sizeof c, all, 4, &env), "d", &got), KITH_EFORMAT);
    free(odd.p);
}

static void nothing_opens(void *ctx, kith_bytes in)
{
    kith_peer_record rec;
    kith_err e = kith_peer_record_open(in, &rec);
    assert_true(e == KITH_EFORMAT || e == KITH_ECRYPTO || e == KITH_EUNSUPPORTED || e == KITH_EAUTH);
    kith_envelope env;
    assert_true(kith_envelope_open(in, ctx, &env) != KITH_OK);
}

static void no_truncated_or_changed_envelope_opens(void **state)
{
    (void)state;
    uint8_t b[512];
    char domain[] = "libp2p-peer-record";
    kith_maddr a = addr("/ip4/127.0.0.1/tcp/4001");
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    assert_int_equal(kith_peer_record_seal(signer, 3, &a, 1, &w), KITH_OK);
    support_mutate(kith_wr_bytes(&w), nothing_opens, domain);
}

int main(void)
{
    if (kith_crypto_init() != KITH_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_other_implementations_open),
        cmocka_unit_test(an_envelope_opens_under_its_domain_only),
        cmocka_unit_test(a_record_is_emitted_in_the_deployed_form),
        cmocka_unit_test(our_bytes_are_laid_out_as_gos),
        cmocka_unit_test(the_rfcs_form_is_accepted_too),
        cmocka_unit_test(a_record_of_another_peer_is_refused),
        cmocka_unit_test(a_malformed_record_is_refused_though_signed),
        cmocka_unit_test(addresses_beyond_the_cap_are_dropped),
        cmocka_unit_test(sealing_stops_at_the_caps),
        cmocka_unit_test(fields_may_come_in_any_order_but_once),
        cmocka_unit_test(a_key_that_is_not_canonical_or_unknown_is_refused),
        cmocka_unit_test(no_truncated_or_changed_envelope_opens),
    };
    return cmocka_run_group_tests(tests, make_signer, drop_signer);
}
