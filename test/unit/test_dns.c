/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* DNS messages: names, compression, records; everything that a hostile one may hold. */
#include "wire/dns.h"

#include "support.h"

/* RFC 1035, 4.1.4: F.ISI.ARPA, FOO.F.ISI.ARPA, ARPA and the root, as the questions of a message that has them at
 * these offsets. */
static kith_bytes rfc_example(uint8_t buf[128])
{
    memset(buf, 0, 128);
    kith_wr w = kith_wr_of(kith_span_of(buf, 128));
    kith_put_bytes(&w, kith_bytes_of("\0\0\0\0\0\4\0\0\0\0\0\0", 12));
    kith_put_bytes(&w, kith_bytes_of("\1F\3ISI\4ARPA\0\0\1\0\1", 16));
    kith_put_bytes(&w, kith_bytes_of("\3FOO\xc0\x0c\0\1\0\1", 10));
    kith_put_bytes(&w, kith_bytes_of("\xc0\x12\0\1\0\1", 6));
    kith_put_bytes(&w, kith_bytes_of("\0\0\1\0\1", 5));
    return kith_wr_bytes(&w);
}

static void assert_name(const kith_dns_name *n, const char *text)
{
    kith_dns_name want;
    assert_int_equal(kith_dns_name_of(text, &want), KITH_OK);
    if (!kith_dns_name_eq(n, &want))
        fail_msg("not %s", text);
}

static void the_example_of_the_rfc_is_read(void **state)
{
    (void)state;
    static const char *const names[] = {"f.isi.arpa", "foo.f.isi.arpa", "arpa", ""};
    uint8_t buf[128];
    kith_dns_rd r;
    kith_dns_item item;
    assert_int_equal(kith_dns_open(&r, rfc_example(buf)), KITH_OK);
    for (int i = 0; i < 4; i++) {
        assert_true(kith_dns_next(&r, &item));
        assert_int_equal(item.section, KITH_DNS_QUESTION);
        assert_int_equal(item.type, KITH_DNS_A);
        assert_int_equal(item.cls, KITH_DNS_IN);
        assert_false(item.top);
        assert_name(&item.name, names[i]);
    }
    assert_false(kith_dns_next(&r, &item));
}

static void names_are_made_compared_and_taken_apart(void **state)
{
    (void)state;
    kith_dns_name service, one, other;
    kith_bytes label;
    char text[300];
    assert_int_equal(kith_dns_name_of("_p2p._udp.local", &service), KITH_OK);
    support_assert_hex(kith_bytes_of(service.b, service.len), "045f703270045f756470056c6f63616c00");
    assert_int_equal(kith_dns_name_join(kith_bytes_str("AbC"), &service, &one), KITH_OK);
    assert_name(&one, "aBc._P2P._udp.LOCAL");
    assert_true(kith_dns_name_below(&one, &service, &label));
    support_assert_str(label, "AbC");
    assert_false(kith_dns_name_below(&service, &service, &label));
    assert_false(kith_dns_name_below(&service, &one, &label));
    assert_int_equal(kith_dns_name_join(kith_bytes_str("two"), &one, &other), KITH_OK);
    assert_false(kith_dns_name_below(&other, &service, &label)); /* two labels */
    assert_int_equal(kith_dns_name_of("x_p2p._udp.local", &other), KITH_OK);
    assert_false(kith_dns_name_below(&other, &service, &label));
    /* '@' and '`' differ by the bit that the case of letters does, and are different. */
    assert_int_equal(kith_dns_name_of("@", &one), KITH_OK);
    assert_int_equal(kith_dns_name_of("`", &other), KITH_OK);
    assert_false(kith_dns_name_eq(&one, &other));

    static const char *const bad[] = {".", "a..b", ".a", "a."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(kith_dns_name_of(bad[i], &one), KITH_EFORMAT);
    memset(text, 'a', sizeof text);
    text[64] = '\0';
    assert_int_equal(kith_dns_name_of(text, &one), KITH_EFORMAT);
    text[63] = '\0';
    assert_int_equal(kith_dns_name_of(text, &one), KITH_OK);
    assert_int_equal(kith_dns_name_join(kith_bytes_of(text, 0), &service, &one), KITH_EFORMAT);
    assert_int_equal(kith_dns_name_join(kith_bytes_of(text, 64), &service, &one), KITH_EFORMAT);
    /* Three labels of 63 and one of 61 are the longest name that there is. */
    memset(text, 'a', sizeof text);
    text[63] = text[127] = text[191] = '.';
    text[253] = '\0';
    assert_int_equal(kith_dns_name_of(text, &one), KITH_OK);
    assert_int_equal(one.len, KITH_DNS_NAME_MAX);
    text[253] = 'a';
    text[254] = '\0';
    assert_int_equal(kith_dns_name_of(text, &one), KITH_EFORMAT);
}

/* An answer as go-libp2p's zeroconf and js-libp2p's multicast-dns make them, in one: PTR, SRV, A, AAAA, two TXT, and
 * a type that we do not know. */
static kith_bytes answer(uint8_t *buf, size_t len)
{
    kith_dns_wr w;
    kith_dns_name service, instance, host;
    assert_int_equal(kith_dns_name_of("_p2p._udp.local", &service), KITH_OK);
    assert_int_equal(kith_dns_name_of("me._p2p._udp.local", &instance), KITH_OK);
    assert_int_equal(kith_dns_name_of("me.local", &host), KITH_OK);
    kith_dns_begin(&w, kith_span_of(buf, len), KITH_DNS_RESPONSE | KITH_DNS_AUTHORITATIVE);
    kith_dns_put_question(&w, &service, KITH_DNS_PTR);
    kith_dns_put_record(&w, KITH_DNS_ANSWER, &service, KITH_DNS_PTR, 120);
    kith_dns_put_name(&w, &instance);
    kith_dns_end_record(&w);
    kith_dns_put_record(&w, KITH_DNS_ADDITIONAL, &instance, KITH_DNS_SRV, 120);
    kith_put_bytes(&w.w, kith_bytes_of("\0\0\0\0\x23\x28", 6));
    kith_dns_put_name(&w, &host);
    kith_dns_end_record(&w);
    kith_dns_put_record(&w, KITH_DNS_ADDITIONAL, &host, KITH_DNS_A, 120);
    kith_put_bytes(&w.w, kith_bytes_of("\xc0\xa8\1\5", 4));
    kith_dns_end_record(&w);
    kith_dns_put_record(&w, KITH_DNS_ADDITIONAL, &host, KITH_DNS_AAAA, 120);
    kith_put_bytes(&w.w, kith_bytes_of("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16));
    kith_dns_end_record(&w);
    kith_dns_put_record(&w, KITH_DNS_ADDITIONAL, &instance, KITH_DNS_TXT, 120);
    kith_dns_put_string(&w, kith_bytes_str("dnsaddr=one"));
    kith_dns_put_string(&w, kith_bytes_str(""));
    kith_dns_end_record(&w);
    kith_dns_put_record(&w, KITH_DNS_ADDITIONAL, &instance, 47, 0); /* NSEC */
    kith_put_bytes(&w.w, kith_bytes_of("\xc0\xff", 2));
    kith_dns_end_record(&w);
    return kith_dns_finish(&w);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    uint8_t buf[512];
    kith_bytes msg = answer(buf, sizeof buf), string;
    kith_dns_rd r;
    kith_dns_item item;
    assert_true(msg.len > 0);
    /* Each name is written once: "_p2p", "_udp", "local" and "me" (twice, with different ends). */
    size_t local = 0, me = 0;
    for (size_t i = 0; i + 6 <= msg.len; i++) {
        local += memcmp(msg.p + i, "\5local", 6) == 0;
        me += memcmp(msg.p + i, "\2me", 3) == 0;
    }
    assert_int_equal(local, 1);
    assert_int_equal(me, 2);

    assert_int_equal(kith_dns_open(&r, msg), KITH_OK);
    assert_int_equal(r.id, 0);
    assert_int_equal(r.flags, 0x8400);
    assert_true(kith_dns_next(&r, &item));
    assert_int_equal(item.section, KITH_DNS_QUESTION);
    assert_name(&item.name, "_p2p._udp.local");
    assert_true(kith_dns_next(&r, &item));
    assert_int_equal(item.section, KITH_DNS_ANSWER);
    assert_int_equal(item.ttl, 120);
    assert_name(&item.target, "me._p2p._udp.local");
    assert_true(kith_dns_next(&r, &item));
    assert_int_equal(item.section, KITH_DNS_ADDITIONAL);
    assert_int_equal(item.type, KITH_DNS_SRV);
    assert_name(&item.target, "me.local");
    assert_true(kith_dns_next(&r, &item));
    support_assert_hex(item.data, "c0a80105");
    assert_true(kith_dns_next(&r, &item));
    assert_int_equal(item.data.len, 16);
    assert_true(kith_dns_next(&r, &item));
    assert_name(&item.name, "me._p2p._udp.local");
    assert_true(kith_dns_txt_next(&item.data, &string));
    support_assert_str(string, "dnsaddr=one");
    assert_true(kith_dns_txt_next(&item.data, &string));
    assert_int_equal(string.len, 0);
    assert_false(kith_dns_txt_next(&item.data, &string));
    assert_true(kith_dns_next(&r, &item));
    assert_int_equal(item.type, 47);
    assert_false(kith_dns_next(&r, &item));
}

static void what_does_not_fit_is_not_written(void **state)
{
    (void)state;
    uint8_t buf[512], small[512];
    size_t whole = answer(buf, sizeof buf).len;
    for (size_t len = 0; len < whole; len++)
        assert_int_equal(answer(small, len).len, 0);
    assert_int_equal(answer(small, whole).len, whole);

    kith_dns_wr w;
    kith_dns_name n;
    uint8_t long_string[256] = {0};
    assert_int_equal(kith_dns_name_of("a.b", &n), KITH_OK);
    kith_dns_begin(&w, kith_span_of(buf, 40), 0);
    kith_dns_put_record(&w, KITH_DNS_ANSWER, &n, KITH_DNS_TXT, 1);
    kith_dns_put_string(&w, kith_bytes_str("fits"));
    kith_dns_mark before = kith_dns_here(&w);
    kith_dns_put_string(&w, kith_bytes_str("does not fit"));
    assert_true(w.w.bad);
    kith_dns_undo(&w, before);
    kith_dns_end_record(&w);
    kith_dns_rd r;
    kith_dns_item item;
    kith_bytes string;
    assert_int_equal(kith_dns_open(&r, kith_dns_finish(&w)), KITH_OK);
    assert_true(kith_dns_next(&r, &item));
    assert_true(kith_dns_txt_next(&item.data, &string));
    support_assert_str(string, "fits");
    assert_false(kith_dns_txt_next(&item.data, &string));
    kith_dns_begin(&w, kith_span_of(buf, sizeof buf), 0);
    kith_dns_put_string(&w, kith_bytes_of(long_string, 256));
    assert_true(w.w.bad);
}

static void walk(void *ctx, kith_bytes in)
{
    kith_dns_rd r;
    kith_dns_item item;
    kith_bytes string;
    size_t *read = ctx, items = 0;
    if (kith_dns_open(&r, in) != KITH_OK)
        return;
    size_t said = (size_t)r.left[0] + r.left[1] + r.left[2] + r.left[3];
    for (; kith_dns_next(&r, &item); items++) {
        while (item.type == KITH_DNS_TXT && kith_dns_txt_next(&item.data, &string))
            ;
    }
    assert_int_equal(items, said); /* what was opened can be walked to its end */
    (*read)++;
}

static void cut_and_changed_messages_are_refused_or_walked(void **state)
{
    (void)state;
    uint8_t buf[512];
    size_t read = 0;
    kith_dns_rd r;
    kith_bytes msg = answer(buf, sizeof buf);
    support_mutate(msg, walk, &read);
    assert_true(read > 0);
    for (size_t len = 0; len < msg.len; len++)
        assert_int_equal(kith_dns_open(&r, kith_bytes_of(msg.p, len)), KITH_EPROTO);
    uint8_t longer[513] = {0};
    memcpy(longer, msg.p, msg.len);
    assert_int_equal(kith_dns_open(&r, kith_bytes_of(longer, msg.len + 1)), KITH_EPROTO);
}

/* One question whose name is these bytes, at offset 12. */
static kith_err open_name(const char *name, size_t len)
{
    uint8_t buf[600];
    kith_dns_rd r;
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_put_bytes(&w, kith_bytes_of("\0\0\0\0\0\1\0\0\0\0\0\0", 12));
    kith_put_bytes(&w, kith_bytes_of(name, len));
    kith_put_be32(&w, 0x000c0001);
    return kith_dns_open(&r, kith_wr_bytes(&w));
}

static void CVE_2020_6071_pointers_lead_backwards_only(void **state)
{
    (void)state;
    assert_int_equal(open_name("\1a\0", 3), KITH_OK);
    assert_int_equal(open_name("\xc0\x0c", 2), KITH_EPROTO);      /* to itself */
    assert_int_equal(open_name("\1a\xc0\x0c", 4), KITH_EPROTO);   /* to the label before it: a loop */
    assert_int_equal(open_name("\xc0\x0e\1a\0", 5), KITH_EPROTO); /* forwards */
    assert_int_equal(open_name("\xc0\x00", 2), KITH_EPROTO);      /* into the header */
    assert_int_equal(open_name("\x40"
                               "a\0",
                               3),
                     KITH_EPROTO); /* a kind of label that is not used: RFC 6891 */
    assert_int_equal(open_name("\x80"
                               "a\0",
                               3),
                     KITH_EPROTO);
}

/* Two questions, the first of which has its name from the second: nothing is wrong with it but the direction. */
static void a_pointer_to_a_later_name_is_refused(void **state)
{
    (void)state;
    static const char backwards[] = "\0\0\0\0\0\2\0\0\0\0\0\0\1a\0\0\1\0\1\xc0\x0c\0\1\0\1";
    static const char forwards[] = "\0\0\0\0\0\2\0\0\0\0\0\0\xc0\x12\0\1\0\1\1a\0\0\1\0\1";
    kith_dns_rd r;
    assert_int_equal(kith_dns_open(&r, kith_bytes_of(backwards, sizeof backwards - 1)), KITH_OK);
    assert_int_equal(kith_dns_open(&r, kith_bytes_of(forwards, sizeof forwards - 1)), KITH_EPROTO);
}

/* Questions whose names are pointers, each to the one before: `deep` of them behind a real name. */
static kith_err open_chain(size_t deep)
{
    uint8_t buf[2048];
    kith_dns_rd r;
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_put_bytes(&w, kith_bytes_of("\0\0\0\0", 4));
    kith_put_be16(&w, (uint16_t)(deep + 1));
    kith_put_bytes(&w, kith_bytes_of("\0\0\0\0\0\0\1a\0\0\1\0\1", 13));
    for (size_t i = 0; i < deep; i++) {
        kith_put_be16(&w, (uint16_t)(0xc000 | (i ? w.len - 6 : 12)));
        kith_put_be32(&w, 0x00010001);
    }
    return kith_dns_open(&r, kith_wr_bytes(&w));
}

static void a_name_follows_so_many_pointers(void **state)
{
    (void)state;
    assert_int_equal(open_chain(32), KITH_OK);
    assert_int_equal(open_chain(33), KITH_EPROTO);
}

/* A name that pointers make longer than a name may be: each question is a label and a pointer to the one before. */
static void a_name_that_pointers_make_too_long_is_refused(void **state)
{
    (void)state;
    uint8_t buf[2048];
    kith_dns_rd r;
    for (unsigned labels = 3; labels <= 5; labels++) {
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        size_t last = 0;
        kith_put_bytes(&w, kith_bytes_of("\0\0\0\0", 4));
        kith_put_be16(&w, (uint16_t)labels);
        kith_put_bytes(&w, kith_bytes_of("\0\0\0\0\0\0", 6));
        for (unsigned i = 0; i < labels; i++) {
            size_t at = w.len;
            kith_put_u8(&w, 62);
            for (int k = 0; k < 62; k++)
                kith_put_u8(&w, 'a');
            if (last)
                kith_put_be16(&w, (uint16_t)(0xc000 | last));
            else
                kith_put_u8(&w, 0);
            kith_put_be32(&w, 0x00010001);
            last = at;
        }
        /* four labels of 63 bytes each and the root are 253 */
        assert_int_equal(kith_dns_open(&r, kith_wr_bytes(&w)), labels <= 4 ? KITH_OK : KITH_EPROTO);
    }
}

/* `count` questions for the root. */
static kith_err open_many(size_t count)
{
    static uint8_t buf[12 + 5 * 400];
    kith_dns_rd r;
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_put_bytes(&w, kith_bytes_of("\0\0\0\0", 4));
    kith_put_be16(&w, (uint16_t)count);
    kith_put_bytes(&w, kith_bytes_of("\0\0\0\0\0\0", 6));
    for (size_t i = 0; i < count; i++)
        kith_put_bytes(&w, kith_bytes_of("\0\0\1\0\1", 5));
    return kith_dns_open(&r, kith_wr_bytes(&w));
}

static void a_message_has_so_many_items_and_bytes(void **state)
{
    (void)state;
    static uint8_t buf[KITH_DNS_MSG_MAX + 1];
    kith_dns_rd r;
    kith_dns_item item;
    assert_int_equal(open_many(KITH_DNS_ITEMS_MAX), KITH_OK);
    assert_int_equal(open_many(KITH_DNS_ITEMS_MAX + 1), KITH_ELIMIT);
    assert_int_equal(kith_dns_open(&r, kith_bytes_of("\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 12)),
                     KITH_ELIMIT);
    /* One record of an unknown type that fills the longest message. */
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_put_bytes(&w, kith_bytes_of("\0\0\x84\0\0\0\0\1\0\0\0\0\0\0\x63\0\1\0\0\0\0", 21));
    kith_put_be16(&w, KITH_DNS_MSG_MAX - 23);
    assert_int_equal(kith_dns_open(&r, kith_bytes_of(buf, KITH_DNS_MSG_MAX)), KITH_OK);
    assert_true(kith_dns_next(&r, &item) && item.data.len == KITH_DNS_MSG_MAX - 23);
    assert_int_equal(kith_dns_open(&r, kith_bytes_of(buf, KITH_DNS_MSG_MAX + 1)), KITH_ELIMIT);
}

/* An answer of this type for the root, with these data. */
static kith_err open_data(uint16_t type, const char *data, size_t len)
{
    uint8_t buf[600];
    kith_dns_rd r;
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_put_bytes(&w, kith_bytes_of("\0\0\x84\0\0\0\0\1\0\0\0\0\0", 13));
    kith_put_be16(&w, type);
    kith_put_be16(&w, 1);
    kith_put_be32(&w, 1);
    kith_put_be16(&w, (uint16_t)len);
    kith_put_bytes(&w, kith_bytes_of(data, len));
    return kith_dns_open(&r, kith_wr_bytes(&w));
}

static void data_are_what_their_type_says(void **state)
{
    (void)state;
    static const struct {
        uint16_t type;
        size_t len;
        const char *data;
        kith_err e;
    } cases[] = {
        {KITH_DNS_A, 4, "\1\2\3\4", KITH_OK},
        {KITH_DNS_A, 5, "\1\2\3\4\5", KITH_EPROTO},
        {KITH_DNS_AAAA, 4, "\1\2\3\4", KITH_EPROTO},
        {KITH_DNS_PTR, 3, "\1a\0", KITH_OK},
        {KITH_DNS_PTR, 4, "\1a\0\0", KITH_EPROTO},
        {KITH_DNS_PTR, 2, "\1a", KITH_EPROTO},
        {KITH_DNS_SRV, 9, "\0\0\0\0\0\1\1a\0", KITH_OK},
        {KITH_DNS_SRV, 5, "\0\0\0\0\0", KITH_EPROTO},
        {KITH_DNS_SRV, 6, "\0\0\0\0\0\1", KITH_EPROTO},
        {KITH_DNS_TXT, 0, "", KITH_OK},
        {KITH_DNS_TXT, 3, "\2ab", KITH_OK},
        {KITH_DNS_TXT, 3, "\3ab", KITH_EPROTO},
        {KITH_DNS_TXT, 4, "\2ab\1", KITH_EPROTO},
        {99, 3, "\xff\xff\xff", KITH_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (open_data(cases[i].type, cases[i].data, cases[i].len) != cases[i].e)
            fail_msg("case %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_rfc_is_read),
        cmocka_unit_test(names_are_made_compared_and_taken_apart),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_does_not_fit_is_not_written),
        cmocka_unit_test(cut_and_changed_messages_are_refused_or_walked),
        cmocka_unit_test(CVE_2020_6071_pointers_lead_backwards_only),
        cmocka_unit_test(a_pointer_to_a_later_name_is_refused),
        cmocka_unit_test(a_name_follows_so_many_pointers),
        cmocka_unit_test(a_name_that_pointers_make_too_long_is_refused),
        cmocka_unit_test(a_message_has_so_many_items_and_bytes),
        cmocka_unit_test(data_are_what_their_type_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
