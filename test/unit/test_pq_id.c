/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Post-quantum keys as protobuf, and the ids made from them. */
#include "wire/pq_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "unit/vectors.h"

/* What stands before the raw key. RFC-0004: KeyType 4, then the length as a varint, then the prefix byte. */
static const struct {
    kith_sig_alg alg;
    const char *head;
} known[] = {
    {KITH_SIG_MLDSA44, "080412a10a01"},  {KITH_SIG_MLDSA65, "080412a10f02"},
    {KITH_SIG_MLDSA87, "080412a11403"},  {KITH_SIG_SLHDSA128S, "08a0241220"},
    {KITH_SIG_SLHDSA128F, "08a2241220"}, {KITH_SIG_FALCON512, "08928ac001128107"},
};

static kith_bytes encode(kith_sig_alg alg, uint8_t out[KITH_PQ_KEY_MAX])
{
    static uint8_t raw[KITH_SIG_PUB_MAX];
    memset(raw, 0x5a, sizeof raw);
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_PQ_KEY_MAX));
    kith_put_pq_key(&w, alg, kith_bytes_of(raw, kith_sig_info_of(alg)->pub_len));
    assert_false(w.bad);
    return kith_wr_bytes(&w);
}

static void keys_are_written_as_the_document_says(void **state)
{
    (void)state;
    assert_int_equal(sizeof known / sizeof *known, KITH_SIG_COUNT - 1);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint8_t pb[KITH_PQ_KEY_MAX], head[8];
        size_t n = strlen(known[i].head) / 2, raw = kith_sig_info_of(known[i].alg)->pub_len;
        kith_bytes b = encode(known[i].alg, pb), key;
        kith_sig_alg alg;
        unhex(known[i].head, head, n);
        assert_int_equal(b.len, n + raw);
        assert_int_equal(b.len, kith_pq_key_len(known[i].alg));
        assert_memory_equal(b.p, head, n);
        assert_int_equal(kith_pq_key_parse(b, &alg, &key), KITH_OK);
        assert_int_equal(alg, known[i].alg);
        assert_int_equal(key.len, raw);
        assert_ptr_equal(key.p, pb + n);
    }
}

static void every_other_length_and_head_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint8_t pb[KITH_PQ_KEY_MAX + 1];
        kith_sig_alg alg = KITH_SIG_NONE;
        kith_bytes b = encode(known[i].alg, pb), key = {0};
        for (size_t n = 0; n < b.len; n++)
            assert_int_equal(kith_pq_key_parse(kith_bytes_of(pb, n), &alg, &key), KITH_EFORMAT);
        pb[b.len] = 0;
        assert_int_equal(kith_pq_key_parse(kith_bytes_of(pb, b.len + 1), &alg, &key), KITH_EFORMAT);
        size_t head = strlen(known[i].head) / 2;
        for (size_t at = 0; at < head; at++) {
            for (unsigned v = 0; v < 256; v++) {
                uint8_t was = pb[at];
                pb[at] = (uint8_t)v;
                kith_err e = kith_pq_key_parse(b, &alg, &key);
                /* One other byte makes SLH-DSA 128s of 128f; of all other changes none is a key. */
                if (v == was || (at == 1 && pb[2] == 0x24 && (v == 0xa0 || v == 0xa2)))
                    assert_int_equal(e, KITH_OK);
                else
                    assert_true(e == KITH_EFORMAT || e == KITH_EUNSUPPORTED);
                pb[at] = was;
            }
        }
    }
    static const char *const bad[] = {
        "08011220", /* Ed25519 without its key */
        "0801122000000000000000000000000000000000000000000000000000000000000000000000", /* and with one byte too many */
        "0884001200", /* a type that is not minimal */
        "08041200",   /* no data */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t b[64];
        kith_sig_alg alg;
        kith_bytes key;
        size_t n = strlen(bad[i]) / 2;
        unhex(bad[i], b, n);
        assert_int_equal(kith_pq_key_parse(kith_bytes_of(b, n), &alg, &key), KITH_EFORMAT);
    }
    uint8_t ed25519[36] = {8, 1, 0x12, 32}, future[5] = {8, 4, 0x12, 1, 0x04};
    kith_sig_alg alg;
    kith_bytes key;
    assert_int_equal(kith_pq_key_parse(kith_bytes_of(ed25519, 36), &alg, &key), KITH_EUNSUPPORTED);
    assert_int_equal(kith_pq_key_parse(kith_bytes_of(future, 5), &alg, &key), KITH_EUNSUPPORTED);
}

static void an_id_is_the_hash_and_reads_back_from_text(void **state)
{
    (void)state;
    for (int a = KITH_SIG_NONE + 1; a < KITH_SIG_COUNT; a++) {
        uint8_t pb[KITH_PQ_KEY_MAX], hash[32];
        char text[KITH_PQ_ID_TEXT_LEN + 1];
        kith_bytes b = encode((kith_sig_alg)a, pb);
        kith_pq_id id = kith_pq_id_of_key(b), again;
        kith_sha256(b, hash);
        assert_int_equal(id.len, 34);
        assert_int_equal(id.b[0], 0x12);
        assert_int_equal(id.b[1], 32);
        assert_memory_equal(id.b + 2, hash, 32);
        kith_pq_id_text(&id, text);
        assert_int_equal(strlen(text), KITH_PQ_ID_TEXT_LEN);
        assert_memory_equal(text, "Qm", 2);
        assert_int_equal(kith_pq_id_from_text(kith_bytes_str(text), &again), KITH_OK);
        assert_true(kith_pq_id_eq(&id, &again));
        for (size_t n = 0; n < KITH_PQ_ID_TEXT_LEN; n++)
            assert_int_equal(kith_pq_id_from_text(kith_bytes_of(text, n), &again), KITH_EFORMAT);
        text[5] = 'l'; /* not a character of base58 */
        assert_int_equal(kith_pq_id_from_text(kith_bytes_str(text), &again), KITH_EFORMAT);
        assert_int_equal(kith_pq_id_parse(kith_bytes_of(id.b, 33), &again), KITH_EFORMAT);
        id.b[0] = 0x13;
        assert_int_equal(kith_pq_id_parse(kith_pq_id_bytes(&id), &again), KITH_EFORMAT);
    }
    kith_pq_id none = {0}, out;
    char text[KITH_PQ_ID_TEXT_LEN + 1];
    kith_pq_id_text(&none, text);
    assert_string_equal(text, "");
    assert_int_equal(kith_pq_id_parse(kith_pq_id_bytes(&none), &out), KITH_EFORMAT);
    /* A peer id that contains its key is not a pq id. */
    assert_int_equal(
        kith_pq_id_from_text(kith_bytes_str("12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"), &out),
        KITH_EFORMAT);
}

static void a_signer_has_the_id_of_its_key(void **state)
{
    (void)state;
    uint8_t seed[32] = {4}, pb[KITH_PQ_KEY_MAX];
    kith_pq_signer *s = NULL;
    assert_int_equal(kith_pq_signer_new(KITH_SIG_MLDSA87, kith_bytes_of(seed, 32), &s), KITH_OK);
    kith_wr w = kith_wr_of(kith_span_of(pb, sizeof pb));
    kith_put_pq_key(&w, KITH_SIG_MLDSA87, kith_pq_signer_public(s));
    kith_pq_id a = kith_pq_id_of_key(kith_wr_bytes(&w)), b = kith_pq_id_of_signer(s);
    assert_int_equal(w.len, KITH_PQ_KEY_MAX);
    assert_true(kith_pq_id_eq(&a, &b));
    kith_pq_signer_free(s);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_written_as_the_document_says),
        cmocka_unit_test(every_other_length_and_head_is_refused),
        cmocka_unit_test(an_id_is_the_hash_and_reads_back_from_text),
        cmocka_unit_test(a_signer_has_the_id_of_its_key),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
