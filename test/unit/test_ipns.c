/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* IPNS records as boxo makes them (test/vectors/ipns_records.txt), and what is none. */
#include "crypto/crypto.h"
#include "mesh/kad_record.h"
#include "support.h"
#include "wire/ipns.h"
#include "wire/pb.h"

#define VALUE "/ipfs/bafkreib3n4qhnhzrdcs6yvzd6n4hn4zrdn2tbsnsdf6u7uyqfxj5eyyhiq"
#define NOW 1795000000 /* 2026-11-18 */
#define RECORDS 11

typedef struct record {
    char label[32];
    kith_peer_id name;
    kith_span bytes;
    uint64_t sequence, eol;
    uint32_t eol_ns;
} record;

static record all[RECORDS];

static int load(void **state)
{
    (void)state;
    size_t len, n = 0;
    char *file = support_file("test/vectors/ipns_records.txt", &len), *at = file, *w[6];
    if (kith_crypto_init())
        return 1;
    for (; support_words(&at, w, 6) == 6 && n < RECORDS; n++) {
        record *r = &all[n];
        memcpy(r->label, w[0], strlen(w[0]) + 1);
        if (kith_peer_id_from_text(kith_bytes_str(w[1]), &r->name))
            return 1;
        r->bytes = support_hex(w[2]);
        r->sequence = strtoull(w[3], NULL, 10);
        r->eol = strtoull(w[4], NULL, 10);
        r->eol_ns = (uint32_t)strtoul(w[5], NULL, 10);
    }
    free(file);
    return n != RECORDS;
}

static int unload(void **state)
{
    (void)state;
    for (size_t i = 0; i < RECORDS; i++)
        free(all[i].bytes.p);
    return 0;
}

static record *named(const char *label)
{
    for (size_t i = 0; i < RECORDS; i++) {
        if (strcmp(all[i].label, label) == 0)
            return &all[i];
    }
    fail_msg("no record %s", label);
    return NULL;
}

/* ---- making some of our own ---- */

static kith_signer *signer(kith_peer_id *id)
{
    uint8_t seed[KITH_ED25519_SEED_LEN];
    memset(seed, 7, sizeof seed);
    kith_signer *s = kith_signer_new(seed);
    *id = support_peer_of(s);
    return s;
}

/* A record of the new kind whose data is what it is told to be, signed well. */
static kith_bytes sign_data(kith_bytes data, uint8_t *buf, size_t cap, kith_peer_id *id)
{
    static uint8_t msg[KITH_IPNS_MAX + 32];
    uint8_t sig[KITH_ED25519_SIG_LEN];
    kith_signer *s = signer(id);
    kith_wr m = kith_wr_of(kith_span_of(msg, sizeof msg)), w = kith_wr_of(kith_span_of(buf, cap));
    kith_put_str(&m, "ipns-signature:");
    kith_put_bytes(&m, data);
    assert_false(m.bad);
    assert_int_equal(kith_signer_sign(s, kith_wr_bytes(&m), sig), KITH_OK);
    kith_signer_free(s);
    kith_pb_put_bytes(&w, 8, kith_bytes_of(sig, sizeof sig));
    kith_pb_put_bytes(&w, 9, data);
    assert_false(w.bad);
    return kith_wr_bytes(&w);
}

static void put_text(kith_wr *w, unsigned major, const char *text)
{
    size_t n = strlen(text);
    if (n < 24) {
        kith_put_u8(w, (uint8_t)(major << 5 | n));
    } else {
        kith_put_u8(w, (uint8_t)(major << 5 | 24));
        kith_put_u8(w, (uint8_t)n);
    }
    kith_put_str(w, text);
}

/* {TTL, Value, Sequence, Validity, ValidityType}, with one number as bytes. */
static kith_bytes document(kith_wr *w, const char *seq_hex, const char *validity, uint8_t type)
{
    kith_span seq = support_hex(seq_hex);
    kith_put_u8(w, 0xa5);
    put_text(w, 3, "TTL");
    kith_put_u8(w, 0);
    put_text(w, 3, "Value");
    put_text(w, 2, "/ipfs/x");
    put_text(w, 3, "Sequence");
    kith_put_bytes(w, kith_span_bytes(seq));
    put_text(w, 3, "Validity");
    put_text(w, 2, validity);
    put_text(w, 3, "ValidityType");
    kith_put_u8(w, type);
    free(seq.p);
    return kith_wr_bytes(w);
}

static kith_err open_document(const char *seq_hex, const char *validity, uint8_t type, kith_ipns *out)
{
    static uint8_t doc[256], rec[512];
    kith_wr w = kith_wr_of(kith_span_of(doc, sizeof doc));
    kith_peer_id id;
    kith_bytes in = sign_data(document(&w, seq_hex, validity, type), rec, sizeof rec, &id);
    return kith_ipns_open(in, &id, out);
}

/* ---- tests ---- */

static void records_of_boxo_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < RECORDS; i++) {
        kith_ipns r;
        kith_err e = kith_ipns_open(kith_span_bytes(all[i].bytes), &all[i].name, &r);
        if (e)
            fail_msg("%s: %s", all[i].label, kith_err_text(e));
        support_assert_str(r.value, VALUE);
        assert_true(r.sequence == all[i].sequence && r.eol == all[i].eol && r.eol_ns == all[i].eol_ns);
        assert_true(r.ttl == 3600000000000);
        assert_int_equal(kith_ipns_ended(&r, NOW), strcmp(all[i].label, "ed25519-expired") == 0);
        assert_false(kith_ipns_ended(&r, r.eol));
        assert_true(kith_ipns_ended(&r, r.eol + 1));
    }
}

static void another_name_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < RECORDS; i++) {
        kith_ipns r;
        kith_peer_id other = support_peer(1);
        bool has_key = !kith_peer_id_inline_key(&all[i].name).len || strcmp(all[i].label, "ed25519-key") == 0;
        assert_int_equal(kith_ipns_open(kith_span_bytes(all[i].bytes), &other, &r),
                         has_key ? KITH_EAUTH : KITH_ECRYPTO);
    }
    /* Without its key a record does not say what the name is a hash of. */
    kith_ipns r;
    assert_int_equal(kith_ipns_open(kith_span_bytes(named("ed25519")->bytes), &named("rsa")->name, &r),
                     KITH_EAUTH);
}

/* Whatever is changed: another record with the same to say, or none. The old signature alone is not looked at, as elsewhere. */
static void changed(void *ctx, kith_bytes in)
{
    const record *of = ctx;
    kith_ipns r;
    if (kith_ipns_open(in, &of->name, &r) != KITH_OK)
        return;
    support_assert_str(r.value, VALUE);
    assert_true(r.sequence == of->sequence && r.eol == of->eol && r.eol_ns == of->eol_ns);
}

static void what_is_changed_does_not_open_or_says_the_same(void **state)
{
    (void)state;
    support_mutate(kith_span_bytes(named("ed25519")->bytes), changed, named("ed25519"));
    support_mutate(kith_span_bytes(named("ed25519-v2")->bytes), changed, named("ed25519-v2"));
    support_mutate(kith_span_bytes(named("ecdsa")->bytes), changed, named("ecdsa"));
    /* Of the new kind every bit counts. */
    record *v2 = named("ed25519-v2");
    for (size_t i = 0; i < v2->bytes.len * 8; i++) {
        kith_ipns r;
        v2->bytes.p[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_not_equal(kith_ipns_open(kith_span_bytes(v2->bytes), &v2->name, &r), KITH_OK);
        v2->bytes.p[i / 8] ^= (uint8_t)(1 << i % 8);
    }
}

static void old_fields_say_what_is_signed(void **state)
{
    (void)state;
    uint8_t b[2048];
    const record *of = named("ed25519");
    for (uint32_t tag = 1; tag <= 6; tag++) { /* each of them in another way, and then left out */
        for (int leave = 0; leave < 2; leave++) {
            kith_rd r = kith_rd_of(kith_span_bytes(of->bytes));
            kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
            kith_pb_field f;
            kith_ipns out;
            while (kith_pb_next(&r, &f)) {
                if (f.tag == tag && leave)
                    continue;
                if (f.wire == 0)
                    kith_pb_put_num(&w, f.tag, f.num + (f.tag == tag));
                else
                    kith_pb_put_bytes(&w, f.tag, f.tag == tag ? kith_bytes_str("else") : f.data);
            }
            kith_err want =
                tag == 2 || (leave && tag == 3) ? KITH_OK : KITH_EAUTH; /* EOL is 0, so it may be left out */
            if (kith_ipns_open(kith_wr_bytes(&w), &of->name, &out) != want)
                fail_msg("field %u, left out: %d", tag, leave);
        }
    }
}

static void ends_are_read_as_rfc_3339_has_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t eol;
        uint32_t ns;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0, 0},
        {"1970-01-01T00:00:00.000000001Z", 0, 1},
        {"2000-02-29T12:00:00.5Z", 951825600, 500000000},
        {"2100-03-01T00:00:00Z", 4107542400, 0},
        {"9999-12-31T23:59:59.999999999Z", 253402300799, 999999999},
        {"2026-11-27T01:00:00+01:00", 1795737600, 0},
        {"2026-11-26T19:30:00-04:30", 1795737600, 0},
        {"1969-12-31T23:59:59.9Z", 0, 0},
        {"0000-01-01T00:00:00Z", 0, 0},
    };
    static const char *const bad[] = {
        "",
        "2026-11-27",
        "2026-11-27T01:00:00",
        "2026-11-27 01:00:00Z",
        "2026-11-27t01:00:00Z",
        "2026-11-27T01:00:00z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-11-00T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2026-11-27T24:00:00Z",
        "2026-11-27T00:60:00Z",
        "2026-11-27T00:00:60Z",
        "2026-11-27T00:00:00.Z",
        "2026-11-27T00:00:00.0000000001Z",
        "2026-11-27T00:00:00+24:00",
        "2026-11-27T00:00:00+0100",
        "2026-11-27T00:00:00Z ",
        "02026-11-27T00:00:00Z",
        "+026-11-27T00:00:00Z",
    };
    kith_ipns r;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        kith_err e = open_document("00", good[i].text, 0, &r);
        if (e || r.eol != good[i].eol || r.eol_ns != good[i].ns)
            fail_msg("%s: %s, %llu", good[i].text, kith_err_text(e), (unsigned long long)r.eol);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (open_document("00", bad[i], 0, &r) != KITH_EUNSUPPORTED)
            fail_msg("%s", bad[i]);
    }
}

static void documents_have_all_of_their_keys_and_kinds(void **state)
{
    (void)state;
    const char *end = "2100-01-01T00:00:00Z";
    kith_ipns r;
    assert_int_equal(open_document("1b7fffffffffffffff", end, 0, &r), KITH_OK);
    assert_true(r.sequence == INT64_MAX);
    assert_int_equal(open_document("1b8000000000000000", end, 0, &r), KITH_EUNSUPPORTED);
    assert_int_equal(open_document("20", end, 0, &r), KITH_EUNSUPPORTED); /* -1 */
    assert_int_equal(open_document("40", end, 0, &r), KITH_EUNSUPPORTED); /* bytes */
    assert_int_equal(open_document("00", end, 1, &r), KITH_EUNSUPPORTED); /* another validity type */
    static uint8_t rec[512];
    kith_peer_id id;
    kith_bytes in = sign_data(kith_bytes_of("\xa0", 1), rec, sizeof rec, &id);
    assert_int_equal(kith_ipns_open(in, &id, &r), KITH_EUNSUPPORTED);
}

/* A record may have 10 KiB, and not a byte more. */
static void a_record_has_its_size(void **state)
{
    (void)state;
    static uint8_t doc[KITH_IPNS_MAX + 1], rec[KITH_IPNS_MAX + 512];
    for (int more = 0; more < 2; more++) {
        kith_wr w = kith_wr_of(kith_span_of(doc, sizeof doc));
        kith_peer_id id;
        kith_ipns r;
        const size_t around = 2 + KITH_ED25519_SIG_LEN + 3;
        document(&w, "00", "2100-01-01T00:00:00Z", 0);
        doc[0] = 0xa6;
        put_text(&w, 3, "an extension that is long");
        kith_put_u8(&w, 0x59);
        size_t fill = KITH_IPNS_MAX - around - w.len - 2 + (size_t)more;
        kith_put_be16(&w, (uint16_t)fill);
        memset(kith_put_room(&w, fill), 0, fill);
        kith_bytes in = sign_data(kith_wr_bytes(&w), rec, sizeof rec, &id);
        assert_int_equal(in.len, KITH_IPNS_MAX + more);
        assert_int_equal(kith_ipns_open(in, &id, &r), more ? KITH_EFORMAT : KITH_OK);
    }
}

static void a_name_has_the_newest_of_its_records(void **state)
{
    (void)state;
    /* From the worst to the best; the last two differ in their bytes alone. */
    const char *order[] = {"ed25519", "ed25519-eol", "ed25519-expired", "ed25519-seq", "ed25519-whole"};
    uint8_t key[64] = "/ipns/";
    const kith_peer_id *name = &named("ed25519")->name;
    memcpy(key + 6, name->b, name->len);
    kith_bytes k = kith_bytes_of(key, 6u + name->len);
    const kith_kad_namespace *ns = kith_kad_namespace_own(k);
    assert_ptr_equal(ns, &kith_kad_ipns);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        kith_bytes a = kith_span_bytes(named(order[i])->bytes);
        assert_int_equal(ns->validate(NULL, k, a), KITH_OK);
        assert_int_equal(ns->ended(NULL, k, a, NOW), strcmp(order[i], "ed25519-expired") == 0);
        for (size_t j = 0; j < sizeof order / sizeof *order; j++)
            assert_int_equal(ns->better(NULL, k, a, kith_span_bytes(named(order[j])->bytes)), j > i);
    }
    kith_bytes a = kith_span_bytes(named("ed25519")->bytes), b = kith_span_bytes(named("ed25519-v2")->bytes);
    assert_int_equal(ns->better(NULL, k, a, b), kith_bytes_cmp(b, a) > 0);
    assert_int_equal(ns->better(NULL, k, b, a), kith_bytes_cmp(a, b) > 0);
    for (size_t i = 0; i < k.len; i++) { /* under its name only */
        key[i] ^= 1;
        assert_int_not_equal(ns->validate(NULL, k, a), KITH_OK);
        key[i] ^= 1;
    }
    assert_int_equal(ns->validate(NULL, kith_bytes_of(key, 3), a), KITH_EFORMAT);
}

static void the_later_sequence_and_then_the_later_end_win(void **state)
{
    (void)state;
    const kith_ipns order[] = {{.sequence = 1, .eol = 9, .eol_ns = 9},
                               {.sequence = 2, .eol = 7, .eol_ns = 9},
                               {.sequence = 2, .eol = 8, .eol_ns = 1},
                               {.sequence = 2, .eol = 8, .eol_ns = 2}};
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++)
            assert_int_equal(kith_ipns_cmp(&order[i], &order[j]), (i > j) - (i < j));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_later_sequence_and_then_the_later_end_win),
        cmocka_unit_test(records_of_boxo_open),
        cmocka_unit_test(another_name_is_refused),
        cmocka_unit_test(what_is_changed_does_not_open_or_says_the_same),
        cmocka_unit_test(old_fields_say_what_is_signed),
        cmocka_unit_test(ends_are_read_as_rfc_3339_has_them),
        cmocka_unit_test(documents_have_all_of_their_keys_and_kinds),
        cmocka_unit_test(a_record_has_its_size),
        cmocka_unit_test(a_name_has_the_newest_of_its_records),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
