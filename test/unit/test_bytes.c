/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Views, readers and writers. */
#include "base/bytes.h"

#include "support.h"

static void a_view_is_skipped_and_compared_by_content(void **state)
{
    (void)state;
    kith_bytes abc = kith_bytes_str("abc"), none = {0};
    assert_true(kith_bytes_eq_str(kith_bytes_skip(abc, 1), "bc"));
    assert_true(kith_bytes_eq_str(kith_bytes_skip(abc, 3), ""));
    assert_null(kith_bytes_skip(none, 0).p);
    assert_null(kith_span_skip((kith_span){0}, 0).p);
    assert_true(kith_bytes_eq(none, kith_bytes_str("")));
    assert_false(kith_bytes_eq(abc, none));
    assert_false(kith_bytes_eq_str(abc, "abcd"));
    assert_false(kith_bytes_eq_str(abc, "abd"));
    uint8_t b[3] = {1, 2, 3};
    kith_span s = kith_span_skip(kith_span_of(b, 3), 2);
    assert_true(s.len == 1 && s.p == b + 2 && kith_span_bytes(s).p == b + 2);
}

static void views_are_ordered_bytewise_and_the_shorter_prefix_comes_first(void **state)
{
    (void)state;
    static const char *const in_order[] = {"", "A", "AB", "B", "a", "aa", "\xff"};
    size_t n = sizeof in_order / sizeof in_order[0];
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            int c = kith_bytes_cmp(kith_bytes_str(in_order[i]), kith_bytes_str(in_order[j]));
            assert_int_equal(c < 0, i < j);
            assert_int_equal(c > 0, i > j);
        }
    }
    assert_int_equal(kith_bytes_cmp((kith_bytes){0}, (kith_bytes){0}), 0);
    static const uint8_t zeros[5], first[] = {1, 0, 0}, last[] = {0, 0, 1};
    assert_true(kith_bytes_all_zero((kith_bytes){0}));
    assert_true(kith_bytes_all_zero(kith_bytes_of(zeros, 1)));
    assert_true(kith_bytes_all_zero(kith_bytes_of(zeros, sizeof zeros)));
    assert_false(kith_bytes_all_zero(kith_bytes_of(first, 1)));
    assert_false(kith_bytes_all_zero(kith_bytes_of(first, sizeof first)));
    assert_false(kith_bytes_all_zero(kith_bytes_of(last, sizeof last)));
}

static void numbers_are_read_as_they_were_written(void **state)
{
    (void)state;
    uint8_t b[64];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    kith_put_u8(&w, 0xfe);
    kith_put_be16(&w, 0x0102);
    kith_put_be32(&w, 0xa0b0c0d0u);
    kith_put_be64(&w, 0x1122334455667788u);
    kith_put_lp(&w, kith_bytes_str("hello"));
    kith_put_str(&w, "end");
    assert_false(w.bad);
    support_assert_hex(kith_wr_bytes(&w), "fe0102a0b0c0d01122334455667788"
                                          "0568656c6c6f656e64");
    kith_rd r = kith_rd_of(kith_wr_bytes(&w));
    assert_int_equal(kith_get_u8(&r), 0xfe);
    assert_int_equal(kith_get_be16(&r), 0x0102);
    assert_int_equal(kith_get_be32(&r), 0xa0b0c0d0u);
    assert_true(kith_get_be64(&r) == 0x1122334455667788u);
    support_assert_str(kith_get_lp(&r), "hello");
    support_assert_str(kith_get_bytes(&r, 3), "end");
    assert_false(r.bad);
    assert_int_equal(r.in.len, 0);
}

static void a_reader_stays_bad_after_the_first_short_read(void **state)
{
    (void)state;
    for (size_t n = 0; n < 8; n++) {
        kith_span b = support_copy(kith_bytes_of("\1\2\3\4\5\6\7\10", n));
        kith_rd r = kith_rd_of(kith_span_bytes(b));
        assert_int_equal(kith_get_be64(&r), 0);
        assert_true(r.bad);
        assert_int_equal(kith_get_u8(&r), 0);
        assert_int_equal(kith_get_be16(&r), 0);
        assert_int_equal(kith_get_be32(&r), 0);
        assert_int_equal(kith_get_uvarint(&r), 0);
        assert_int_equal(kith_get_bytes(&r, 1).len, 0);
        assert_int_equal(kith_get_bytes(&r, 0).len, 0);
        assert_int_equal(kith_get_lp(&r).len, 0);
        assert_true(r.bad && r.in.len == 0);
        free(b.p);
    }
}

static void reading_nothing_from_nothing_is_fine(void **state)
{
    (void)state;
    kith_rd r = kith_rd_of((kith_bytes){0});
    assert_int_equal(kith_get_bytes(&r, 0).len, 0);
    assert_false(r.bad);
    assert_int_equal(kith_get_bytes(&r, SIZE_MAX).len, 0);
    assert_true(r.bad);
}

static void a_length_prefix_beyond_the_input_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"0161" /* cut below */, "ffffffffffffffff7f61", "80808080807f00", "02"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kith_span b = support_hex(bad[i]);
        kith_rd r = kith_rd_of(kith_bytes_of(b.p, i == 0 ? 1 : b.len));
        kith_bytes v = kith_get_lp(&r);
        assert_true(r.bad && v.len == 0);
        free(b.p);
    }
}

/* multiformats/unsigned-varint README, "Format" and "Practical maximum of 9 bytes (for security)". */
static void uvarints_have_the_published_form(void **state)
{
    (void)state;
    static const struct {
        uint64_t v;
        const char *hex;
    } known[] = {{0, "00"},     {1, "01"},     {127, "7f"},       {128, "8001"},
                 {255, "ff01"}, {300, "ac02"}, {16384, "808001"}, {UINT64_MAX >> 1, "ffffffffffffffff7f"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint8_t b[9];
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
        kith_put_uvarint(&w, known[i].v);
        support_assert_hex(kith_wr_bytes(&w), known[i].hex);
        assert_int_equal(w.len, kith_uvarint_len(known[i].v));
        kith_rd r = kith_rd_of(kith_wr_bytes(&w));
        assert_true(kith_get_uvarint(&r) == known[i].v && !r.bad && r.in.len == 0);
        for (size_t n = 0; n < w.len; n++) {
            kith_span cut = support_copy(kith_bytes_of(b, n));
            r = kith_rd_of(kith_span_bytes(cut));
            assert_true(kith_get_uvarint(&r) == 0 && r.bad);
            free(cut.p);
        }
    }
}

static void every_uvarint_round_trips_near_powers_of_two_and_at_random(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t v = i < 63 * 3 ? ((uint64_t)1 << i / 3) + i % 3 - 1
                                : support_next(&seed) >> (1 + support_below(&seed, 62));
        uint8_t b[9];
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
        kith_put_uvarint(&w, v);
        kith_rd r = kith_rd_of(kith_wr_bytes(&w));
        assert_true(kith_get_uvarint(&r) == v && !r.bad && r.in.len == 0);
    }
}

static void uvarints_that_are_too_long_or_not_minimal_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"8000",
                                      "ff00",
                                      "808000",
                                      "80808080808080808000",
                                      "80808080808080808001",
                                      "ffffffffffffffffff01",
                                      "ffffffffffffffffffff",
                                      "808080808080808000"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kith_span b = support_hex(bad[i]);
        kith_rd r = kith_rd_of(kith_span_bytes(b));
        assert_true(kith_get_uvarint(&r) == 0);
        assert_true(r.bad && r.in.len == 0);
        free(b.p);
    }
}

static void a_writer_writes_nothing_more_once_something_did_not_fit(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 8; cap++) {
        kith_span b = support_copy(kith_bytes_of("........", cap));
        kith_wr w = kith_wr_of(b);
        kith_put_be64(&w, 1);
        assert_true(w.bad && w.len == 0);
        kith_put_u8(&w, 1);
        kith_put_uvarint(&w, 1);
        kith_put_str(&w, "x");
        assert_null(kith_put_room(&w, 0));
        assert_int_equal(w.len, 0);
        for (size_t i = 0; i < cap; i++)
            assert_int_equal(b.p[i], '.');
        free(b.p);
    }
    kith_wr none = kith_wr_of((kith_span){0});
    kith_put_bytes(&none, (kith_bytes){0});
    assert_false(none.bad);
    assert_null(kith_put_room(&none, SIZE_MAX));
    assert_true(none.bad);
}

static void room_is_claimed_inside_the_buffer(void **state)
{
    (void)state;
    uint8_t b[4];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    assert_ptr_equal(kith_put_room(&w, 3), b);
    assert_ptr_equal(kith_put_room(&w, 1), b + 3);
    assert_int_equal(w.len, 4);
    assert_null(kith_put_room(&w, 1));
}

static void decimals_and_hex_are_written_as_text(void **state)
{
    (void)state;
    uint8_t b[80];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    kith_put_dec(&w, 0);
    kith_put_u8(&w, ' ');
    kith_put_dec(&w, 65535);
    kith_put_u8(&w, ' ');
    kith_put_dec(&w, UINT64_MAX);
    kith_put_u8(&w, ' ');
    kith_put_hex(&w, kith_bytes_of("\x00\x9f\xff", 3));
    support_assert_str(kith_wr_bytes(&w), "0 65535 18446744073709551615 009fff");
}

static void fixed_numbers_load_as_they_were_stored(void **state)
{
    (void)state;
    uint8_t b[8];
    kith_store_be16(b, 0xfffe);
    assert_int_equal(kith_load_be16(b), 0xfffe);
    kith_store_be32(b, 0xfffefdfcu);
    assert_true(kith_load_be32(b) == 0xfffefdfcu && b[0] == 0xff && b[3] == 0xfc);
    kith_store_be64(b, 0x8000000000000001u);
    assert_true(kith_load_be64(b) == 0x8000000000000001u && b[0] == 0x80 && b[7] == 1);
    kith_store_le64(b, 0x8000000000000001u);
    assert_true(kith_load_le64(b) == 0x8000000000000001u && b[0] == 1 && b[7] == 0x80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_is_skipped_and_compared_by_content),
        cmocka_unit_test(views_are_ordered_bytewise_and_the_shorter_prefix_comes_first),
        cmocka_unit_test(numbers_are_read_as_they_were_written),
        cmocka_unit_test(a_reader_stays_bad_after_the_first_short_read),
        cmocka_unit_test(reading_nothing_from_nothing_is_fine),
        cmocka_unit_test(a_length_prefix_beyond_the_input_is_refused),
        cmocka_unit_test(uvarints_have_the_published_form),
        cmocka_unit_test(every_uvarint_round_trips_near_powers_of_two_and_at_random),
        cmocka_unit_test(uvarints_that_are_too_long_or_not_minimal_are_refused),
        cmocka_unit_test(a_writer_writes_nothing_more_once_something_did_not_fit),
        cmocka_unit_test(room_is_claimed_inside_the_buffer),
        cmocka_unit_test(decimals_and_hex_are_written_as_text),
        cmocka_unit_test(fixed_numbers_load_as_they_were_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
