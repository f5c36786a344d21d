/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Peer ids and public keys: the specification's keys, both texts, canonical encodings only. */
#include "wire/peer_id.h"

#include "crypto/crypto.h"
#include "support.h"
#include "wire/pb.h"

static const char ed25519_key[] = "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";

static kith_peer_id id_of(const char *key_hex)
{
    kith_peer_id id;
    kith_span key = support_hex(key_hex);
    assert_int_equal(kith_peer_id_of_key(kith_span_bytes(key), &id), KITH_OK);
    free(key.p);
    return id;
}

static void assert_same_id_again(const kith_peer_id *id)
{
    char text[KITH_PEER_ID_TEXT_MAX + 1], cid[81];
    kith_peer_id again;
    kith_peer_id_text(id, text);
    assert_int_equal(kith_peer_id_from_text(kith_bytes_str(text), &again), KITH_OK);
    assert_true(kith_peer_id_eq(id, &again));
    kith_peer_id_cid_text(id, cid);
    memset(&again, 0xff, sizeof again);
    assert_int_equal(kith_peer_id_from_text(kith_bytes_str(cid), &again), KITH_OK);
    assert_true(kith_peer_id_eq(id, &again));
    memset(&again, 0xff, sizeof again);
    assert_int_equal(kith_peer_id_parse(kith_peer_id_bytes(id), &again), KITH_OK);
    assert_true(kith_peer_id_eq(id, &again)); /* unused tail included */
}

static void published_keys_have_their_ids(void **state)
{
    (void)state;
    size_t len, keys = 0;
    char *file = support_file("test/vectors/peer_keys.txt", &len), *at = file, *w[4];
    for (size_t n; (n = support_words(&at, w, 4)) > 0;) {
        if (strcmp(w[0], "key") != 0)
            continue;
        assert_int_equal(n, 4);
        char text[KITH_PEER_ID_TEXT_MAX + 1], cid[81];
        kith_peer_id id = id_of(w[1]);
        kith_peer_id_text(&id, text);
        assert_string_equal(text, w[2]);
        kith_peer_id_cid_text(&id, cid);
        assert_string_equal(cid, w[3]);
        assert_same_id_again(&id);
        /* A short key is in the id, a long one is not. */
        kith_span key = support_hex(w[1]);
        support_assert_bytes(kith_peer_id_inline_key(&id),
                             key.len <= 42 ? kith_span_bytes(key) : (kith_bytes){0});
        kith_key_type type;
        kith_bytes data;
        assert_int_equal(kith_pubkey_parse(kith_span_bytes(key), &type, &data), KITH_OK);
        assert_ptr_equal(data.p + data.len, key.p + key.len);
        assert_int_equal(kith_key_check(type, data), KITH_OK);
        free(key.p);
        keys++;
    }
    assert_int_equal(keys, 5);
    free(file);
}

static void published_signatures_verify_and_changed_ones_do_not(void **state)
{
    (void)state;
    size_t len, sigs = 0;
    char *file = support_file("test/vectors/peer_keys.txt", &len), *at = file, *w[4];
    const kith_bytes msg = kith_bytes_str("Libp2p is the _best_!");
    while (support_words(&at, w, 4) > 0) {
        if (strcmp(w[0], "sig") != 0)
            continue;
        kith_span key = support_hex(w[1]), sig = support_hex(w[2]);
        assert_int_equal(kith_pubkey_verify(kith_span_bytes(key), msg, kith_span_bytes(sig)), KITH_OK);
        assert_int_equal(kith_pubkey_verify(kith_span_bytes(key), kith_bytes_str("Libp2p is the _best_?"),
                                            kith_span_bytes(sig)),
                         KITH_ECRYPTO);
        sig.p[sig.len - 1] ^= 1;
        assert_int_equal(kith_pubkey_verify(kith_span_bytes(key), msg, kith_span_bytes(sig)), KITH_ECRYPTO);
        assert_int_equal(kith_pubkey_verify(kith_span_bytes(key), msg, (kith_bytes){0}), KITH_ECRYPTO);
        assert_int_equal(kith_pubkey_verify(kith_bytes_of(key.p, key.len - 1), msg, kith_span_bytes(sig)),
                         KITH_EFORMAT);
        free(key.p);
        free(sig.p);
        sigs++;
    }
    assert_int_equal(sigs, 3);
    free(file);
}

/* libp2p peer-ids specification, "Decoding", its three examples; go-multiaddr's tests for base36. */
static void every_text_form_is_read(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe",
         "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"},
        {"12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
         "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"},
        {"k51qzi5uqu5dhb6l8spkdx7yxafegfkee5by8h7lmjh2ehc2sgg34z7c15vzqs",
         "12D3KooWCryG7Mon9orvQxcS1rYZjotPgpwoJNHHKcLLfE4Hf5mV"},
        {"bafzaajaiaejcalj543iwv2d7pkjt7ykvefrkfu7qjfi6sduakhso4lay6abn2d5u",
         "12D3KooWCryG7Mon9orvQxcS1rYZjotPgpwoJNHHKcLLfE4Hf5mV"},
        {"k2k4r8oqamigqdo6o7hsbfwd45y70oyynp98usk7zmyfrzpqxh1pohl7",
         "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC"},
        {"bafzbeigvf25ytwc3akrijfecaotc74udrhcxzh2cx3we5qqnw5vgrei4bm",
         "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        kith_peer_id id;
        char text[KITH_PEER_ID_TEXT_MAX + 1];
        assert_int_equal(kith_peer_id_from_text(kith_bytes_str(pairs[i][0]), &id), KITH_OK);
        kith_peer_id_text(&id, text);
        assert_string_equal(text, pairs[i][1]);
        assert_same_id_again(&id);
    }
}

static void texts_that_name_no_peer_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "1",
        "Q",
        "Qm",
        "12D3KooW",
        "11",
        "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5S",
        "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA1",
        "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5S0",
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5",
        "QmxoHT6iViN5xAjoz1VZ553cL31U9F94ht3QvWR1FrEbZY" /* go: digest of 33 */,
        "zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA" /* codec raw */,
        "f0172130161" /* sha2-512, cut short */,
        "f01720000",
        "f01720003616263ff",
        "peer",
        "b",
        "z",
        " 12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kith_peer_id id = {.len = 7};
        if (kith_peer_id_from_text(kith_bytes_str(bad[i]), &id) != KITH_EFORMAT)
            fail_msg("'%s' is accepted", bad[i]);
        assert_int_equal(id.len, 7);
    }
    static char longest[100000];
    memset(longest, '1', sizeof longest);
    kith_peer_id id;
    assert_int_equal(kith_peer_id_from_text(kith_bytes_of(longest, sizeof longest), &id), KITH_EFORMAT);
    memset(longest, 'b', sizeof longest);
    assert_int_equal(kith_peer_id_from_text(kith_bytes_of(longest, sizeof longest), &id), KITH_EFORMAT);
}

static void only_identity_and_whole_sha256_are_peer_ids(void **state)
{
    (void)state;
    uint8_t b[80] = {0};
    kith_peer_id id;
    for (size_t n = 0; n <= 70; n++) {
        b[0] = 0;
        b[1] = (uint8_t)n;
        assert_int_equal(kith_peer_id_parse(kith_bytes_of(b, n + 2), &id),
                         n >= 1 && n <= 42 ? KITH_OK : KITH_EFORMAT);
        if (n >= 1 && n <= 42)
            assert_same_id_again(&id);
        b[0] = 0x12;
        assert_int_equal(kith_peer_id_parse(kith_bytes_of(b, n + 2), &id), n == 32 ? KITH_OK : KITH_EFORMAT);
        b[0] = 0x13;
        assert_int_equal(kith_peer_id_parse(kith_bytes_of(b, n + 2), &id), KITH_EFORMAT);
    }
    /* The longest texts are those of the greatest numbers. */
    memset(b, 0xff, sizeof b);
    b[0] = 0x12;
    b[1] = 32;
    assert_int_equal(kith_peer_id_parse(kith_bytes_of(b, 34), &id), KITH_OK);
    assert_same_id_again(&id);
}

/* peer-ids specification, "Keys": the encoding is deterministic; whatever else is refused, as it would give one key two ids. */
static void a_key_in_another_encoding_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "08",
        "0801",
        "080112",
        "08011200",
        "08011203abcd",
        "08011202abcdef", /* cut, empty, more */
        "12022bcd0801",
        "0801120261620801", /* order, twice */
        "0800"
        "0801"
        "12026162",
        "08011202616218"
        "01", /* type twice, unknown field */
        "0881001202"
        "6162",
        "0801128200"
        "6162",           /* not minimal */
        "88000112026162", /* key of a field not minimal */
        "0a011201"
        "61",
        "080110"
        "61",                             /* wire types */
        "12026162",                       /* type missing: 0 is not implied */
        "08ffffffffffffffffff0112026162", /* type of 64 bits */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kith_span b = support_hex(bad[i]);
        kith_peer_id id;
        kith_key_type type;
        kith_bytes data;
        if (kith_peer_id_of_key(kith_span_bytes(b), &id) != KITH_EFORMAT)
            fail_msg("%s is accepted", bad[i]);
        assert_int_equal(kith_pubkey_parse(kith_span_bytes(b), &type, &data), KITH_EFORMAT);
        free(b.p);
    }
}

static void a_key_of_unknown_type_has_an_id_but_verifies_nothing(void **state)
{
    (void)state;
    kith_span b = support_hex("080412026162");
    kith_peer_id id;
    kith_key_type type;
    kith_bytes data;
    assert_int_equal(kith_peer_id_of_key(kith_span_bytes(b), &id), KITH_OK);
    assert_int_equal(kith_pubkey_parse(kith_span_bytes(b), &type, &data), KITH_EUNSUPPORTED);
    assert_int_equal(kith_pubkey_verify(kith_span_bytes(b), (kith_bytes){0}, (kith_bytes){0}),
                     KITH_EUNSUPPORTED);
    free(b.p);
}

static void the_line_between_inlined_and_hashed_is_at_42_bytes(void **state)
{
    (void)state;
    static uint8_t data[KITH_PUBKEY_MAX + 10], key[KITH_PUBKEY_MAX + 20];
    for (size_t n = 30; n <= 50; n++) {
        kith_wr w = kith_wr_of(kith_span_of(key, sizeof key));
        kith_pb_put_num(&w, 1, 2);
        kith_pb_put_bytes(&w, 2, kith_bytes_of(data, n));
        kith_peer_id id;
        assert_int_equal(kith_peer_id_of_key(kith_wr_bytes(&w), &id), KITH_OK);
        assert_int_equal(id.len, w.len <= 42 ? w.len + 2 : 34);
        assert_int_equal(id.b[0], w.len <= 42 ? 0 : 0x12);
        assert_same_id_again(&id);
    }
    for (size_t n = KITH_PUBKEY_MAX - 5; n <= KITH_PUBKEY_MAX; n++) {
        kith_wr w = kith_wr_of(kith_span_of(key, sizeof key));
        kith_pb_put_num(&w, 1, 0);
        kith_pb_put_bytes(&w, 2, kith_bytes_of(data, n));
        kith_peer_id id;
        assert_int_equal(kith_peer_id_of_key(kith_wr_bytes(&w), &id),
                         w.len <= KITH_PUBKEY_MAX ? KITH_OK : KITH_EFORMAT);
    }
}

static void our_own_key_is_encoded_as_published(void **state)
{
    (void)state;
    kith_span want = support_hex(ed25519_key);
    uint8_t out[KITH_PUBKEY_ED25519_LEN];
    kith_pubkey_ed25519(want.p + 4, out);
    support_assert_bytes(kith_bytes_of(out, sizeof out), kith_span_bytes(want));
    kith_key_type type;
    kith_bytes data;
    assert_int_equal(kith_pubkey_parse(kith_bytes_of(out, sizeof out), &type, &data), KITH_OK);
    assert_true(type == KITH_KEY_ED25519 && data.len == 32 && data.p == out + 4);
    free(want.p);
}

static void what_we_sign_verifies_under_our_id(void **state)
{
    (void)state;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {1}, pub[KITH_ED25519_PUB_LEN], key[KITH_PUBKEY_ED25519_LEN],
            sig[KITH_ED25519_SIG_LEN];
    kith_signer *s = kith_signer_new(seed);
    assert_non_null(s);
    kith_signer_public(s, pub);
    kith_pubkey_ed25519(pub, key);
    kith_peer_id id;
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &id), KITH_OK);
    assert_int_equal(kith_signer_sign(s, kith_bytes_str("hello"), sig), KITH_OK);
    assert_int_equal(kith_pubkey_verify(kith_peer_id_inline_key(&id), kith_bytes_str("hello"),
                                        kith_bytes_of(sig, sizeof sig)),
                     KITH_OK);
    kith_signer_free(s);
    kith_peer_id none = {0};
    assert_int_equal(kith_peer_id_inline_key(&none).len, 0);
}

static void id_round_trips_or_fails(void *ctx, kith_bytes in)
{
    (void)ctx;
    kith_peer_id id;
    if (kith_peer_id_parse(in, &id) == KITH_OK) {
        support_assert_bytes(kith_peer_id_bytes(&id), in);
        assert_same_id_again(&id);
    }
    if (kith_peer_id_from_text(in, &id) == KITH_OK)
        assert_same_id_again(&id);
}

static void key_round_trips_or_fails(void *ctx, kith_bytes in)
{
    (void)ctx;
    kith_key_type type;
    kith_bytes data;
    uint8_t out[KITH_PUBKEY_MAX];
    if (kith_pubkey_parse(in, &type, &data) != KITH_OK)
        return;
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_pb_put_num(&w, 1, type);
    kith_pb_put_bytes(&w, 2, data);
    support_assert_bytes(kith_wr_bytes(&w), in);
}

static void broken_ids_and_keys_are_refused_or_stay_what_they_are(void **state)
{
    (void)state;
    kith_peer_id id = id_of(ed25519_key);
    support_mutate(kith_peer_id_bytes(&id), id_round_trips_or_fails, NULL);
    support_mutate(kith_bytes_str("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"),
                   id_round_trips_or_fails, NULL);
    support_mutate(kith_bytes_str("bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"),
                   id_round_trips_or_fails, NULL);
    kith_span key = support_hex(ed25519_key);
    support_mutate(kith_span_bytes(key), key_round_trips_or_fails, NULL);
    free(key.p);
}

int main(void)
{
    if (kith_crypto_init() != KITH_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_keys_have_their_ids),
        cmocka_unit_test(published_signatures_verify_and_changed_ones_do_not),
        cmocka_unit_test(every_text_form_is_read),
        cmocka_unit_test(texts_that_name_no_peer_are_refused),
        cmocka_unit_test(only_identity_and_whole_sha256_are_peer_ids),
        cmocka_unit_test(a_key_in_another_encoding_is_refused),
        cmocka_unit_test(a_key_of_unknown_type_has_an_id_but_verifies_nothing),
        cmocka_unit_test(the_line_between_inlined_and_hashed_is_at_42_bytes),
        cmocka_unit_test(our_own_key_is_encoded_as_published),
        cmocka_unit_test(what_we_sign_verifies_under_our_id),
        cmocka_unit_test(broken_ids_and_keys_are_refused_or_stay_what_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
