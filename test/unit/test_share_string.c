/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Share strings: ours, those of other programs, and those of strangers. */
#include "host/share_string.h"

#include "crypto/crypto.h"
#include "support.h"
#include "wire/multibase.h"

#define PEER "12D3KooWGRUfMDYgXpbwy5nZ9XUXiX7v2g6rAWMPAvZrS6aqvZ4h"
#define OTHER "12D3KooWKgWouHVAExAAGGAFHWe6FdzJHnFepKMzsgwxiEyVq66n"
#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static char text[2 * KITH_SHARE_STRING_MAX];

static kith_bytes encoded(const char *json, kith_base base)
{
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    kith_base_put(&w, base, kith_bytes_str(json));
    assert_false(w.bad);
    return kith_wr_bytes(&w);
}

static kith_err parse(kith_bytes in, kith_share_string *out)
{
    const char *why = NULL;
    kith_err e = kith_share_string_parse(in, out, &why);
    assert_true(e ? e == KITH_EFORMAT && why != NULL : why == NULL);
    return e;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    kith_share_string s = {.addr_count = KITH_TICKET_ADDRS_MAX, .code = "7KQM-2FXW-9TRB"}, got;
    assert_int_equal(kith_peer_id_from_text(kith_bytes_str(PEER), &s.peer), KITH_OK);
    for (size_t i = 0; i < s.addr_count; i++)
        assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip6/2001:db8::1/tcp/9000"), &s.addrs[i], NULL),
                         KITH_OK);
    for (size_t i = 0; i < sizeof s.key; i++)
        s.key[i] = (uint8_t)(200 + i);
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    assert_int_equal(kith_share_string_put(&s, &w), KITH_OK);
    assert_true(w.len <= KITH_SHARE_STRING_MAX && kith_share_string_like(kith_wr_bytes(&w)));
    assert_int_equal(parse(kith_wr_bytes(&w), &got), KITH_OK);
    assert_true(kith_peer_id_eq(&got.peer, &s.peer) && memcmp(got.key, s.key, sizeof s.key) == 0);
    assert_string_equal(got.code, s.code);
    assert_int_equal(got.addr_count, s.addr_count);
    for (size_t n = 0; n < w.len; n++) /* every truncation */
        assert_int_equal(parse(kith_bytes_of(text, n), &got), KITH_EFORMAT);
    kith_wr small = kith_wr_of(kith_span_of(text, 100));
    assert_int_equal(kith_share_string_put(&s, &small), KITH_ESPACE);
}

static void both_alphabets_and_padding_are_read(void **state)
{
    (void)state;
    static const char json[] =
        "{\"peer_id\":\"" PEER "\",\"addresses\":[\"/ip4/192.0.2.1/tcp/9000/p2p/" PEER
        "\",\"/ip4/192.0.2.9/tcp/1/p2p/" OTHER "\",\"/ip4/192.0.2.2/tcp/1/p2p/" OTHER
        "/p2p-circuit\",\"nonsense\",7,\"/dns4/a.example/tcp/9\"],\"encryption_key\":\"" KEY
        "=\",\"share_code\":\"ABC123\",\"more\":\"?>\"}";
    static const kith_base bases[] = {KITH_BASE64, KITH_BASE64URL};
    for (size_t i = 0; i < 2; i++) {
        kith_share_string got;
        kith_bytes b = encoded(json, bases[i]);
        size_t n = b.len;
        while (n % 4 != 0)
            text[n++] = '=';
        memmove(text + 11, text + 10, n - 10); /* a line break in the middle */
        text[10] = '\n';
        assert_int_equal(parse(kith_bytes_of(text, n + 1), &got), KITH_OK);
        assert_int_equal(got.addr_count, 2); /* without what is another's, goes by another, or is none */
        assert_string_equal(got.code, "ABC123");
        assert_int_equal(got.key[31], 31);
    }
}

static void what_is_none_is_said(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]",
        "{}",
        "{\"peer_id\":\"x\",\"addresses\":[],\"encryption_key\":\"" KEY "\",\"share_code\":\"A\"}",
        "{\"peer_id\":7,\"addresses\":[],\"encryption_key\":\"" KEY "\",\"share_code\":\"A\"}",
        "{\"peer_id\":\"" PEER "\",\"addresses\":[],\"encryption_key\":\"AAEC\",\"share_code\":\"A\"}",
        "{\"peer_id\":\"" PEER "\",\"addresses\":[],\"encryption_key\":\"" KEY "AA\",\"share_code\":\"A\"}",
        "{\"peer_id\":\"" PEER "\",\"addresses\":[],\"encryption_key\":\"" KEY "\",\"share_code\":\"\"}",
        "{\"peer_id\":\"" PEER "\",\"addresses\":[],\"encryption_key\":\"" KEY "\",\"share_code\":\"a b\"}",
        "{\"peer_id\":\"" PEER "\",\"addresses\":[],\"encryption_key\":\"" KEY "\",\"share_code\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
        "{\"peer_id\":\"" PEER "\",\"peer_id\":\"" PEER "\",\"encryption_key\":\"" KEY
        "\",\"share_code\":\"A\"}",
    };
    kith_share_string got;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(parse(encoded(bad[i], KITH_BASE64URL), &got), KITH_EFORMAT);
    assert_int_equal(parse(kith_bytes_str("eyJ*"), &got), KITH_EFORMAT);
    memset(text, 'A', sizeof text);
    assert_int_equal(parse(kith_bytes_of(text, sizeof text), &got), KITH_EFORMAT);
    assert_false(kith_share_string_like(kith_bytes_str("kith1CiYAJAgB")));
    assert_false(kith_share_string_like(kith_bytes_str("")));
}

static void code_and_key_are_what_is_proven(void **state)
{
    (void)state;
    assert_int_equal(kith_crypto_init(), KITH_OK);
    kith_share_string s = {.code = "ABC123"}, t = s;
    uint8_t tags[2][KITH_PAKE_TAG_LEN], secrets[2][KITH_PAKE_SECRET_LEN];
    for (size_t i = 0; i < sizeof s.key; i++)
        t.key[i] = s.key[i] = (uint8_t)i;
    kith_share_string_proof(&s, tags[0], secrets[0]);
    support_assert_hex(kith_bytes_of(tags[0], sizeof tags[0]), "7e26f1f20be4dc7c7a8a5fff257955cd");
    support_assert_hex(
        kith_bytes_of(secrets[0], sizeof secrets[0]),
        "13c1f25d2d6f5e45ee700c55eb93fb2309c1f7f8dfe0dbe70b31829d56a08cffdc342926e90ebe93e5ae55610372753a");
    t.key[5] ^= 1;
    kith_share_string_proof(&t, tags[1], secrets[1]);
    assert_memory_equal(tags[0], tags[1], sizeof tags[0]); /* found by the code alone */
    assert_memory_not_equal(secrets[0], secrets[1], sizeof secrets[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(both_alphabets_and_padding_are_read),
        cmocka_unit_test(what_is_none_is_said),
        cmocka_unit_test(code_and_key_are_what_is_proven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
