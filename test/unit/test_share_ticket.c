/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tickets: round trip, and every single wrong, missing, doubled or swapped character is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "apps/share_ticket.h"
#include "crypto/crypto.h"
#include "wire/multibase.h"
#include "wire/pb.h"

static kith_maddr addr(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return a;
}

static const uint8_t seed[KITH_ED25519_SEED_LEN] = {7, 8, 9}, other_seed[KITH_ED25519_SEED_LEN] = {1};
static uint8_t key[KITH_ED25519_PUB_LEN], other_key[KITH_ED25519_PUB_LEN];

static kith_capability some_capability(void)
{
    kith_capability c = {.not_after = 1900000000, .times = 3};
    for (size_t i = 0; i < 16; i++) {
        c.tag[i] = (uint8_t)(i * 7 + 3);
        c.nonce[i] = (uint8_t)(0xf0 ^ i * 11);
    }
    return c;
}

static size_t sign(const kith_capability *c, uint8_t out[KITH_CAPABILITY_MAX])
{
    kith_signer *s = kith_signer_new(seed);
    assert_non_null(s);
    kith_signer_public(s, key);
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_CAPABILITY_MAX));
    assert_int_equal(kith_capability_put(c, s, &w), KITH_OK);
    kith_signer_free(s);
    return w.len;
}

static kith_ticket sample(size_t addrs)
{
    kith_ticket t = {0};
    const kith_capability c = some_capability();
    t.capability_len = sign(&c, t.capability);
    assert_int_equal(kith_peer_id_from_text(
                         kith_bytes_str("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"), &t.peer),
                     KITH_OK);
    for (size_t i = 0; i < addrs; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, i % 2 ? "/ip6/2001:db8::%zu/tcp/9000" : "/ip4/192.0.2.%zu/tcp/9000",
                       i + 1);
        t.addrs[t.addr_count++] = addr(text);
    }
    return t;
}

static size_t text_of(const kith_ticket *t, char out[KITH_TICKET_TEXT_MAX])
{
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_TICKET_TEXT_MAX));
    assert_int_equal(kith_ticket_text(t, &w), KITH_OK);
    return w.len;
}

static void a_ticket_comes_back_as_it_was(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 5; n++) {
        kith_ticket t = sample(n), back;
        char text[KITH_TICKET_TEXT_MAX];
        size_t len = text_of(&t, text);
        const char *why = NULL;
        assert_int_equal(kith_ticket_parse(kith_bytes_of(text, len), &back, &why), KITH_OK);
        assert_null(why);
        assert_true(kith_peer_id_eq(&t.peer, &back.peer));
        assert_int_equal(t.capability_len, back.capability_len);
        assert_memory_equal(t.capability, back.capability, t.capability_len);
        assert_int_equal(back.addr_count, n);
        for (size_t i = 0; i < n; i++)
            assert_true(kith_maddr_eq(&t.addrs[i], &back.addrs[i]));
    }
}

/* Fixed for all time: a second implementation can compare. Also in docs/protocols/ticket.md. */
static void the_documented_ticket_is_made(void **state)
{
    (void)state;
    kith_ticket t = sample(1);
    char text[KITH_TICKET_TEXT_MAX];
    size_t len = text_of(&t, text);
    static const char want[] =
        "kith1CiYAJAgBEiAv-jWpnTo8-7F7t8HcVWGxio3MpN843GE-qFnDfrEzaxJwCiwKEAMKERgfJi00O0JJUFdeZWwSEPD75tHcx7K"
        "9qJOeiXR_alUYgOb-iQcgAxJAQ_917n0Tk1VHh3shmSkhHnSNfhcY_VY0ORthUv1mlFauqeWYf3a6qvetikVm_87zE6bXTJyZOoB"
        "nRFJLE9RrDBoIBMAAAgEGIyhuGlD-";
    assert_int_equal(len, sizeof want - 1);
    assert_memory_equal(text, want, len);
}

static void white_space_in_a_copied_ticket_does_no_harm(void **state)
{
    (void)state;
    kith_ticket t = sample(2), back;
    char text[KITH_TICKET_TEXT_MAX], spaced[3 * KITH_TICKET_TEXT_MAX];
    size_t len = text_of(&t, text), n = 0;
    for (size_t i = 0; i < len; i++) {
        spaced[n++] = text[i];
        if (i % 60 == 59) {
            memcpy(spaced + n, "\r\n ", 3);
            n += 3;
        }
    }
    const char *why;
    assert_int_equal(kith_ticket_parse(kith_bytes_of(spaced, n), &back, &why), KITH_OK);
}

static void every_single_wrong_character_is_found(void **state)
{
    (void)state;
    kith_ticket t = sample(3), back;
    char text[KITH_TICKET_TEXT_MAX];
    size_t len = text_of(&t, text);
    for (size_t i = 0; i < len; i++) {
        char was = text[i];
        for (int c = 0; c < 256; c++) {
            if ((char)c == was)
                continue;
            text[i] = (char)c;
            const char *why = NULL;
            assert_int_equal(kith_ticket_parse(kith_bytes_of(text, len), &back, &why), KITH_EFORMAT);
            assert_non_null(why);
        }
        text[i] = was;
    }
}

static void missing_doubled_and_swapped_characters_are_found(void **state)
{
    (void)state;
    kith_ticket t = sample(3), back;
    char text[KITH_TICKET_TEXT_MAX], bad[KITH_TICKET_TEXT_MAX + 1];
    size_t len = text_of(&t, text);
    const char *why;
    for (size_t i = 0; i < len; i++) {
        memcpy(bad, text, i);
        memcpy(bad + i, text + i + 1, len - i - 1);
        assert_int_equal(kith_ticket_parse(kith_bytes_of(bad, len - 1), &back, &why), KITH_EFORMAT);
        memcpy(bad, text, i + 1);
        memcpy(bad + i + 1, text + i, len - i);
        assert_int_equal(kith_ticket_parse(kith_bytes_of(bad, len + 1), &back, &why), KITH_EFORMAT);
        if (i + 1 < len && text[i] != text[i + 1]) {
            memcpy(bad, text, len);
            bad[i] = text[i + 1];
            bad[i + 1] = text[i];
            assert_int_equal(kith_ticket_parse(kith_bytes_of(bad, len), &back, &why), KITH_EFORMAT);
        }
        assert_int_equal(kith_ticket_parse(kith_bytes_of(text, i), &back, &why),
                         KITH_EFORMAT); /* truncated */
    }
}

/* Text around a hand-made body, with a right checksum. */
static kith_err parse_body(kith_bytes body, kith_ticket *out, const char **why)
{
    uint8_t buf[1200];
    char text[2400];
    kith_wr b = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_put_bytes(&b, body);
    uint32_t c = UINT32_MAX;
    for (size_t i = 0; i < b.len; i++) {
        c ^= buf[i];
        for (int k = 0; k < 8; k++)
            c = (c >> 1) ^ (0x82f63b78u & (0u - (c & 1)));
    }
    kith_put_be32(&b, ~c);
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    kith_put_str(&w, "kith1");
    kith_base_put(&w, KITH_BASE64URL, kith_wr_bytes(&b));
    assert_false(w.bad);
    return kith_ticket_parse(kith_wr_bytes(&w), out, why);
}

static void unknown_fields_are_skipped_and_missing_ones_named(void **state)
{
    (void)state;
    kith_ticket t = sample(0), back;
    uint8_t body[512];
    const char *why;
    for (int without = 0; without <= 2; without++) {
        kith_wr w = kith_wr_of(kith_span_of(body, sizeof body));
        const struct {
            uint8_t tag;
            kith_bytes v;
        } f[] = {{1, kith_peer_id_bytes(&t.peer)}, {2, kith_bytes_of(t.capability, t.capability_len)}};
        for (int i = 0; i < 2; i++) {
            if (i + 1 == without)
                continue;
            kith_put_u8(&w, (uint8_t)(f[i].tag << 3 | 2));
            kith_put_lp(&w, f[i].v);
        }
        kith_put_bytes(&w, kith_bytes_of("\x98\x06\x05", 3));     /* field 99, varint 5 */
        kith_put_bytes(&w, kith_bytes_of("\x1a\x02\xff\xff", 4)); /* an address that is none: left out */
        assert_int_equal(parse_body(kith_wr_bytes(&w), &back, &why), without ? KITH_EFORMAT : KITH_OK);
        if (!without)
            assert_int_equal(back.addr_count, 0);
    }
    assert_int_equal(parse_body((kith_bytes){0}, &back, &why), KITH_EFORMAT);
}

static void malformed_fields_are_refused(void **state)
{
    (void)state;
    kith_ticket t = sample(1), back;
    const char *why;
    uint8_t long_one[KITH_CAPABILITY_MAX + 1] = {0}, body[1024];
    const struct {
        uint8_t tag;
        kith_bytes v;
    } bad[] = {
        {1, kith_bytes_of(long_one, 5)}, /* no peer id */
        {2, kith_bytes_of(t.capability, t.capability_len - 1)},
        {2, kith_bytes_of(long_one, sizeof long_one)},
        {1, (kith_bytes){0}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kith_wr w = kith_wr_of(kith_span_of(body, sizeof body));
        kith_pb_put_bytes(&w, 1, kith_peer_id_bytes(&t.peer));
        kith_pb_put_bytes(&w, 2, kith_bytes_of(t.capability, t.capability_len));
        assert_int_equal(parse_body(kith_wr_bytes(&w), &back, &why), KITH_OK);
        kith_pb_put_bytes(&w, bad[i].tag, bad[i].v);
        assert_int_equal(parse_body(kith_wr_bytes(&w), &back, &why), KITH_EFORMAT);
        assert_string_equal(why, "it was made wrongly: a field is malformed");
        /* a number where bytes belong, and a body that breaks off */
        w.len = 0;
        kith_pb_put_num(&w, bad[i].tag, 7);
        assert_int_equal(parse_body(kith_wr_bytes(&w), &back, &why), KITH_EFORMAT);
        assert_string_equal(why, "it was made wrongly: a field is malformed");
    }
    kith_wr w = kith_wr_of(kith_span_of(body, sizeof body));
    kith_pb_put_bytes(&w, 1, kith_peer_id_bytes(&t.peer));
    kith_pb_put_bytes(&w, 2, kith_bytes_of(t.capability, t.capability_len));
    kith_pb_put_num(&w, 3, 7); /* an address that is a number */
    assert_int_equal(parse_body(kith_wr_bytes(&w), &back, &why), KITH_EFORMAT);
    w.len -= 3; /* breaks off in the capability */
    assert_int_equal(parse_body(kith_wr_bytes(&w), &back, &why), KITH_EFORMAT);
    assert_string_equal(why, "it was made wrongly: a field is malformed");
    /* whatever it is, nobody reads megabytes of it */
    static char much[KITH_TICKET_TEXT_MAX + 1];
    memset(much, 'a', sizeof much);
    assert_int_equal(kith_ticket_parse(kith_bytes_of(much, sizeof much), &back, &why), KITH_EFORMAT);
    assert_string_equal(why, "it is too long for a ticket");
}

static void addresses_beyond_the_cap_are_left_out(void **state)
{
    (void)state;
    kith_ticket t = sample(0), back;
    kith_maddr a = addr("/ip4/192.0.2.1/tcp/1");
    uint8_t body[1000];
    kith_wr w = kith_wr_of(kith_span_of(body, sizeof body));
    kith_put_u8(&w, 0x0a);
    kith_put_lp(&w, kith_peer_id_bytes(&t.peer));
    kith_put_u8(&w, 0x12);
    kith_put_lp(&w, kith_bytes_of(t.capability, t.capability_len));
    for (int i = 0; i < 40; i++) {
        kith_put_u8(&w, 0x1a);
        kith_put_lp(&w, kith_maddr_bytes(&a));
    }
    const char *why;
    assert_int_equal(parse_body(kith_wr_bytes(&w), &back, &why), KITH_OK);
    assert_int_equal(back.addr_count, KITH_TICKET_ADDRS_MAX);
}

static void many_addresses_do_not_make_a_ticket_long(void **state)
{
    (void)state;
    kith_ticket t = sample(8), back;
    char text[KITH_TICKET_TEXT_MAX];
    size_t len = text_of(&t, text);
    assert_true(len <= 5 + (KITH_TICKET_BYTES_GOAL * 4 + 2) / 3);
    const char *why;
    assert_int_equal(kith_ticket_parse(kith_bytes_of(text, len), &back, &why), KITH_OK);
    assert_in_range(back.addr_count, 4, 8);
    /* one long address alone goes in all the same */
    kith_ticket one = sample(0);
    char name[300];
    (void)snprintf(name, sizeof name, "/dns4/%063d.%063d.%063d.example/tcp/1", 1, 2, 3);
    one.addrs[one.addr_count++] = addr(name);
    len = text_of(&one, text);
    assert_int_equal(kith_ticket_parse(kith_bytes_of(text, len), &back, &why), KITH_OK);
    assert_int_equal(back.addr_count, 1);
}

static void a_ticket_may_name_the_post_quantum_key(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 8; n += 4) {
        kith_ticket t = sample(n), back;
        uint8_t mh[34] = {0x12, 0x20, 1, 2, 3};
        char text[KITH_TICKET_TEXT_MAX];
        const char *why;
        assert_int_equal(kith_pq_id_parse(kith_bytes_of(mh, sizeof mh), &t.pq), KITH_OK);
        size_t len = text_of(&t, text);
        assert_true(len <= 5 + (KITH_TICKET_BYTES_GOAL * 4 + 2) / 3);
        assert_int_equal(kith_ticket_parse(kith_bytes_of(text, len), &back, &why), KITH_OK);
        assert_true(kith_pq_id_eq(&t.pq, &back.pq));
        assert_int_equal(back.addr_count > 0, n > 0);
    }
    /* One that cannot be read is no ticket: passed over, it would be no pin. */
    kith_ticket t = sample(0), back;
    static const uint8_t mh_cut[32] = {0x12, 0x20, 1};
    uint8_t body[400];
    const char *why;
    kith_wr w = kith_wr_of(kith_span_of(body, sizeof body));
    kith_pb_put_bytes(&w, 1, kith_peer_id_bytes(&t.peer));
    kith_pb_put_bytes(&w, 2, kith_bytes_of(t.capability, t.capability_len));
    kith_pb_put_bytes(&w, 4, kith_bytes_of(mh_cut, sizeof mh_cut));
    assert_int_equal(parse_body(kith_wr_bytes(&w), &back, &why), KITH_EFORMAT);
}

static void a_later_version_says_so(void **state)
{
    (void)state;
    kith_ticket t = sample(1), back;
    char text[KITH_TICKET_TEXT_MAX];
    size_t len = text_of(&t, text);
    text[4] = '2';
    const char *why;
    assert_int_equal(kith_ticket_parse(kith_bytes_of(text, len), &back, &why), KITH_EFORMAT);
    assert_non_null(strstr(why, "later version"));
}

/* ---- capabilities ---- */

static void a_capability_comes_back_as_it_was(void **state)
{
    (void)state;
    for (size_t only = 0; only <= 3; only++) {
        kith_capability c = some_capability(), back;
        uint8_t buf[KITH_CAPABILITY_MAX];
        c.has_id = only & 1;
        for (size_t i = 0; i < 32; i++)
            c.id[i] = (uint8_t)i;
        static const char *const patterns[] = {"*.pdf", "a/**", "x"};
        for (size_t i = 0; i < only; i++)
            c.only[c.only_count++] = kith_bytes_str(patterns[i]);
        if (only == 2)
            c.holder = sample(0).peer;
        size_t n = sign(&c, buf);
        assert_int_equal(kith_capability_parse(kith_bytes_of(buf, n), &back), KITH_OK);
        assert_true(kith_peer_id_eq(&c.holder, &back.holder));
        assert_memory_equal(c.tag, back.tag, 16);
        assert_memory_equal(c.nonce, back.nonce, 16);
        assert_true(c.not_after == back.not_after && c.times == back.times && c.has_id == back.has_id);
        assert_true(!c.has_id || memcmp(c.id, back.id, 32) == 0);
        assert_int_equal(back.only_count, only);
        for (size_t i = 0; i < only; i++)
            assert_true(kith_bytes_eq_str(back.only[i], patterns[i]));
    }
}

static void no_byte_of_a_capability_can_be_changed(void **state)
{
    (void)state;
    kith_capability c = some_capability(), back;
    uint8_t buf[KITH_CAPABILITY_MAX];
    size_t n = sign(&c, buf);
    kith_signer *other = kith_signer_new(other_seed);
    kith_signer_public(other, other_key);
    kith_signer_free(other);
    assert_int_equal(kith_capability_verify(kith_bytes_of(buf, n), key), KITH_OK);
    assert_int_equal(kith_capability_verify(kith_bytes_of(buf, n), other_key), KITH_ECRYPTO);
    for (size_t i = 0; i < n; i++) {
        buf[i] ^= 1;
        assert_int_not_equal(kith_capability_verify(kith_bytes_of(buf, n), key), KITH_OK);
        buf[i] ^= 1;
        assert_int_not_equal(kith_capability_verify(kith_bytes_of(buf, i), key), KITH_OK);
        assert_int_equal(kith_capability_parse(kith_bytes_of(buf, i), &back), KITH_EFORMAT);
    }
}

/* A signed text: fields of our making. */
static kith_err parse_fields(const uint8_t *fields, size_t n)
{
    uint8_t buf[KITH_CAPABILITY_MAX + 100], body[KITH_CAPABILITY_MAX];
    static const uint8_t sig[KITH_ED25519_SIG_LEN];
    kith_capability back;
    kith_wr b = kith_wr_of(kith_span_of(body, sizeof body)), w = kith_wr_of(kith_span_of(buf, sizeof buf));
    for (uint32_t tag = 1; tag <= 2; tag++)
        kith_pb_put_bytes(&b, tag, kith_bytes_of(sig, 16));
    kith_put_bytes(&b, kith_bytes_of(fields, n));
    kith_pb_put_bytes(&w, 1, kith_wr_bytes(&b));
    kith_pb_put_bytes(&w, 2, kith_bytes_of(sig, sizeof sig));
    assert_false(b.bad || w.bad);
    return kith_capability_parse(kith_wr_bytes(&w), &back);
}

static void malformed_capabilities_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        kith_err want;
    } cases[] = {
        {"", 0, KITH_OK},
        {"\x98\x06\x05", 3, KITH_OK},      /* a later field */
        {"\x0a\x01\x01", 3, KITH_EFORMAT}, /* a short tag */
        {"\x12\x01\x01", 3, KITH_EFORMAT}, /* a nonce that could be guessed */
        {"\x1a\x00", 2, KITH_EFORMAT},     /* an end that is bytes */
        {"\x22\x00", 2, KITH_EFORMAT},     /* times */
        {"\x2a\x01\x01", 3, KITH_EFORMAT}, /* a short id */
        {"\x30\x01", 2, KITH_EFORMAT},     /* a pattern that is a number */
        {"\x32", 1, KITH_EFORMAT},         /* one that breaks off */
        {"\x38\x01", 2, KITH_EFORMAT},     /* a holder that is a number */
        {"\x3a\x01x", 3, KITH_EFORMAT},    /* one that is no peer */
        {"\x3a\x00", 2, KITH_EFORMAT},     /* nobody: not whoever has it */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(parse_fields((const uint8_t *)cases[i].bytes, cases[i].n), cases[i].want);
    uint8_t only[2 * (KITH_CAPABILITY_ONLY_MAX + 1)];
    for (size_t i = 0; i <= KITH_CAPABILITY_ONLY_MAX; i++) {
        only[2 * i] = 0x32;
        only[2 * i + 1] = 0;
    }
    assert_int_equal(parse_fields(only, sizeof only - 2), KITH_OK);
    assert_int_equal(parse_fields(only, sizeof only), KITH_EFORMAT); /* a limit too many */
    kith_capability c = some_capability();
    uint8_t buf[KITH_CAPABILITY_MAX];
    static char pattern[KITH_CAPABILITY_MAX];
    memset(pattern, 'a', sizeof pattern);
    c.only_count = 1;
    c.only[0] = kith_bytes_of(pattern, sizeof pattern);
    kith_signer *s = kith_signer_new(seed);
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    assert_int_equal(kith_capability_put(&c, s, &w), KITH_ESPACE);
    kith_signer_free(s);
}

int main(void)
{
    if (kith_crypto_init())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_comes_back_as_it_was),
        cmocka_unit_test(the_documented_ticket_is_made),
        cmocka_unit_test(white_space_in_a_copied_ticket_does_no_harm),
        cmocka_unit_test(every_single_wrong_character_is_found),
        cmocka_unit_test(missing_doubled_and_swapped_characters_are_found),
        cmocka_unit_test(unknown_fields_are_skipped_and_missing_ones_named),
        cmocka_unit_test(malformed_fields_are_refused),
        cmocka_unit_test(addresses_beyond_the_cap_are_left_out),
        cmocka_unit_test(many_addresses_do_not_make_a_ticket_long),
        cmocka_unit_test(a_ticket_may_name_the_post_quantum_key),
        cmocka_unit_test(a_later_version_says_so),
        cmocka_unit_test(a_capability_comes_back_as_it_was),
        cmocka_unit_test(no_byte_of_a_capability_can_be_changed),
        cmocka_unit_test(malformed_capabilities_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
