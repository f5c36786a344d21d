/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tickets: round trip, and every single wrong, missing, doubled or swapped character is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "apps/share_ticket.h"
#include "wire/multibase.h"
#include "wire/pb.h"

static kith_maddr addr(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return a;
}

static kith_ticket sample(size_t addrs)
{
    kith_ticket t = {.secret_len = KITH_TICKET_SECRET_LEN};
    assert_int_equal(kith_peer_id_from_text(
                         kith_bytes_str("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"), &t.peer),
                     KITH_OK);
    for (size_t i = 0; i < 32; i++)
        t.root[i] = (uint8_t)(i * 7 + 3);
    for (size_t i = 0; i < 16; i++)
        t.secret[i] = (uint8_t)(0xf0 ^ i * 11);
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
        assert_memory_equal(t.root, back.root, 32);
        assert_int_equal(back.secret_len, 16);
        assert_memory_equal(t.secret, back.secret, 16);
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
        "kith1CiYAJAgBEiAv-jWpnTo8-7F7t8HcVWGxio3MpN843GE-qFnDfrEzaxIgAwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dwa"
        "EPD75tHcx7K9qJOeiXR_alUiCATAAAIBBiMoXewK0w";
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
    for (int without = 0; without <= 3; without++) {
        kith_wr w = kith_wr_of(kith_span_of(body, sizeof body));
        const struct {
            uint8_t tag;
            kith_bytes v;
        } f[] = {{1, kith_peer_id_bytes(&t.peer)},
                 {2, kith_bytes_of(t.root, 32)},
                 {3, kith_bytes_of(t.secret, 16)}};
        for (int i = 0; i < 3; i++) {
            if (i + 1 == without)
                continue;
            kith_put_u8(&w, (uint8_t)(f[i].tag << 3 | 2));
            kith_put_lp(&w, f[i].v);
        }
        kith_put_bytes(&w, kith_bytes_of("\x98\x06\x05", 3));     /* field 99, varint 5 */
        kith_put_bytes(&w, kith_bytes_of("\x22\x02\xff\xff", 4)); /* an address that is none: left out */
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
    uint8_t long_secret[KITH_TICKET_SECRET_MAX + 1] = {0}, body[512];
    const struct {
        uint8_t tag;
        kith_bytes v;
    } bad[] = {
        {1, kith_bytes_of(t.root, 5)},    /* no peer id */
        {2, kith_bytes_of(t.root, 31)},   /* a short root */
        {3, kith_bytes_of(t.secret, 15)}, /* a secret that could be guessed */
        {3, kith_bytes_of(long_secret, sizeof long_secret)},
        {1, (kith_bytes){0}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kith_wr w = kith_wr_of(kith_span_of(body, sizeof body));
        kith_pb_put_bytes(&w, 1, kith_peer_id_bytes(&t.peer));
        kith_pb_put_bytes(&w, 2, kith_bytes_of(t.root, 32));
        kith_pb_put_bytes(&w, 3, kith_bytes_of(t.secret, 16));
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
    kith_pb_put_bytes(&w, 2, kith_bytes_of(t.root, 32));
    kith_pb_put_bytes(&w, 3, kith_bytes_of(t.secret, 16));
    kith_pb_put_num(&w, 4, 7); /* an address that is a number */
    assert_int_equal(parse_body(kith_wr_bytes(&w), &back, &why), KITH_EFORMAT);
    w.len -= 3; /* breaks off in the secret */
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
    kith_put_lp(&w, kith_bytes_of(t.root, 32));
    kith_put_u8(&w, 0x1a);
    kith_put_lp(&w, kith_bytes_of(t.secret, 16));
    for (int i = 0; i < 40; i++) {
        kith_put_u8(&w, 0x22);
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
    uint8_t body[200];
    const char *why;
    kith_wr w = kith_wr_of(kith_span_of(body, sizeof body));
    kith_pb_put_bytes(&w, 1, kith_peer_id_bytes(&t.peer));
    kith_pb_put_bytes(&w, 2, kith_bytes_of(t.root, 32));
    kith_pb_put_bytes(&w, 3, kith_bytes_of(t.secret, 16));
    kith_pb_put_bytes(&w, 5, kith_bytes_of(t.root, 34 - 2));
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

int main(void)
{
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
