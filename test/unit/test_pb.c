/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Protobuf fields: the encoding guide's examples, every malformed kind, and random messages. */
#include "wire/pb.h"

#include "support.h"

/* Exactly one field, to the end. */
static bool one(const char *hex, kith_pb_field *f)
{
    kith_span b = support_hex(hex);
    kith_rd r = kith_rd_of(kith_span_bytes(b));
    kith_pb_field next;
    bool ok = kith_pb_next(&r, f) && !kith_pb_next(&r, &next) && !r.bad;
    f->data.p = NULL; /* the block goes */
    free(b.p);
    return ok;
}

static bool malformed(const char *hex)
{
    kith_span b = support_hex(hex);
    kith_rd r = kith_rd_of(kith_span_bytes(b));
    kith_pb_field f = {.tag = 77};
    while (kith_pb_next(&r, &f))
        ;
    bool bad = r.bad;
    assert_false(kith_pb_next(&r, &f)); /* and stays at the end */
    free(b.p);
    return bad;
}

/* protobuf.dev, "Encoding": "A Simple Message" (08 96 01), "Length-Delimited Records" (12 07 testing). */
static void the_guides_examples_are_read_and_written(void **state)
{
    (void)state;
    kith_pb_field f;
    assert_true(one("089601", &f));
    assert_true(f.tag == 1 && f.wire == 0 && f.num == 150);
    kith_span b = support_hex("120774657374696e67");
    kith_rd r = kith_rd_of(kith_span_bytes(b));
    assert_true(kith_pb_next(&r, &f));
    assert_true(f.tag == 2 && f.wire == 2);
    support_assert_str(f.data, "testing");
    assert_ptr_equal(f.data.p, b.p + 2); /* a view */
    free(b.p);

    uint8_t out[32];
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_pb_put_num(&w, 1, 150);
    kith_pb_put_str(&w, 2, "testing");
    support_assert_hex(kith_wr_bytes(&w), "089601120774657374696e67");
}

static void every_wire_type_round_trips(void **state)
{
    (void)state;
    uint8_t out[64];
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_pb_put_num(&w, 16, UINT64_MAX);
    kith_pb_put_fixed64(&w, 3, 0x0102030405060708u);
    kith_pb_put_bytes(&w, (1u << 29) - 1, (kith_bytes){0});
    support_assert_hex(kith_wr_bytes(&w), "8001ffffffffffffffffff01190807060504030201faffffff0f00");
    kith_rd r = kith_rd_of(kith_wr_bytes(&w));
    kith_pb_field f;
    assert_true(kith_pb_next(&r, &f) && f.tag == 16 && f.num == UINT64_MAX);
    assert_true(kith_pb_next(&r, &f) && f.tag == 3 && f.wire == 1 && f.num == 0x0102030405060708u);
    assert_true(kith_pb_next(&r, &f) && f.tag == (1u << 29) - 1 && f.wire == 2 && f.data.len == 0);
    assert_true(!kith_pb_next(&r, &f) && !r.bad);
    assert_true(one("2504030201", &f) && f.tag == 4 && f.wire == 5 && f.num == 0x01020304);
}

static void an_empty_message_has_no_field_and_is_not_malformed(void **state)
{
    (void)state;
    kith_rd r = kith_rd_of((kith_bytes){0});
    kith_pb_field f;
    assert_false(kith_pb_next(&r, &f));
    assert_false(r.bad);
}

static void padded_varints_are_read_as_protobuf_allows(void **state)
{
    (void)state;
    kith_pb_field f;
    assert_true(one("089601", &f) &&
                one("88809601", &f) == false); /* the key 88 80 96 01 is tag 0x4b000... and lacks its value */
    assert_true(one("08968100", &f) && f.num == 150);
    assert_true(one("0880808080808080808000", &f) && f.num == 0); /* ten bytes */
    assert_true(one("888000"
                    "05",
                    &f) &&
                f.tag == 1 && f.num == 5);
    assert_true(one("128000", &f) && f.wire == 2);
}

static void malformed_fields_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "08",                       /* no value */
        "0880",                     /* half a value */
        "0880808080808080808002",   /* a 65th bit */
        "08ffffffffffffffffff7f",   /* more bits */
        "088080808080808080808000", /* eleven bytes */
        "80808080808080808080",     /* a key without end */
        "00",                       /* tag 0 */
        "0700",                     /* tag 0 and no wire type */
        "0b0c",                     /* a group */
        "0c",                       /* its end */
        "0e00",
        "0f00", /* wire types 6 and 7 */
        "8080808010"
        "00", /* a tag of 2^29 */
        "f8ffffff1f"
        "00",                     /* a key of 33 bits */
        "1201",                   /* bytes that end too early */
        "12ffffffffffffffff7f",   /* a huge length */
        "12ffffffffffffffffff01", /* the hugest */
        "0901020304050607",       /* short fixed64 */
        "0d010203",               /* short fixed32 */
        "089601"
        "1205"
        "61", /* a good field before a bad one */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (!malformed(bad[i]))
            fail_msg("%s was accepted", bad[i]);
    }
}

static void lengths_are_told_before_writing(void **state)
{
    (void)state;
    uint64_t rnd = 5;
    static uint8_t out[1 << 16];
    for (unsigned i = 0; i < 2000; i++) {
        uint32_t tag = 1 + (uint32_t)(support_next(&rnd) >> (35 + support_below(&rnd, 29)));
        tag = tag > (1u << 29) - 1 ? (1u << 29) - 1 : tag;
        uint64_t v = support_next(&rnd) >> support_below(&rnd, 64);
        size_t n = support_below(&rnd, 20000);
        kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
        kith_pb_put_num(&w, tag, v);
        assert_int_equal(w.len, kith_pb_num_len(tag, v));
        kith_rd r = kith_rd_of(kith_wr_bytes(&w));
        kith_pb_field f;
        assert_true(kith_pb_next(&r, &f) && f.tag == tag && f.num == v && r.in.len == 0);
        w = kith_wr_of(kith_span_of(out, sizeof out));
        static const uint8_t zeros[20000];
        kith_pb_put_bytes(&w, tag, kith_bytes_of(zeros, n));
        assert_int_equal(w.len, kith_pb_bytes_len(tag, n));
        r = kith_rd_of(kith_wr_bytes(&w));
        assert_true(kith_pb_next(&r, &f) && f.tag == tag && f.data.len == n && r.in.len == 0);
    }
}

static void what_does_not_fit_marks_the_writer(void **state)
{
    (void)state;
    for (size_t n = 0; n < 9; n++) {
        kith_span b = support_copy(kith_bytes_of("........", n));
        kith_wr w = kith_wr_of(b);
        kith_pb_put_str(&w, 2, "testing"); /* nine bytes */
        assert_true(w.bad);
        free(b.p);
    }
}

static void walk(void *ctx, kith_bytes in)
{
    (void)ctx;
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    size_t fields = 0;
    while (kith_pb_next(&r, &f)) {
        assert_true(f.tag >= 1 && f.tag < 1u << 29);
        assert_true(f.data.len == 0 || (f.data.p >= in.p && f.data.p + f.data.len <= in.p + in.len));
        fields++;
    }
    assert_true(r.in.len == 0 && fields <= in.len);
}

static void broken_messages_never_lead_outside(void **state)
{
    (void)state;
    kith_span b = support_hex("089601120774657374696e67"
                              "190807060504030201"
                              "25040302018001ffffffffffffffffff01");
    support_mutate(kith_span_bytes(b), walk, NULL);
    free(b.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_guides_examples_are_read_and_written),
        cmocka_unit_test(every_wire_type_round_trips),
        cmocka_unit_test(an_empty_message_has_no_field_and_is_not_malformed),
        cmocka_unit_test(padded_varints_are_read_as_protobuf_allows),
        cmocka_unit_test(malformed_fields_are_refused),
        cmocka_unit_test(lengths_are_told_before_writing),
        cmocka_unit_test(what_does_not_fit_marks_the_writer),
        cmocka_unit_test(broken_messages_never_lead_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
