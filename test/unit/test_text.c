/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* UTF-8 and what of it may be shown. */
#include "base/text.h"

#include "support.h"

/* As the Unicode standard has it, table 3-7: written down apart from the decoder. */
static size_t well_formed(const uint8_t *b, size_t n)
{
    static const struct {
        uint8_t first_lo, first_hi, second_lo, second_hi;
        size_t len;
    } rows[] = {{0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
                {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (n == 0 || b[0] < rows[i].first_lo || b[0] > rows[i].first_hi)
            continue;
        if (rows[i].len > n || (rows[i].len > 1 && (b[1] < rows[i].second_lo || b[1] > rows[i].second_hi)))
            return 0;
        for (size_t j = 2; j < rows[i].len; j++) {
            if (b[j] < 0x80 || b[j] > 0xbf)
                return 0;
        }
        return rows[i].len;
    }
    return 0;
}

static void every_pair_of_first_bytes_is_judged_as_the_unicode_table_has_it(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            const uint8_t in[4] = {(uint8_t)a, (uint8_t)b, 0x80, 0xbf};
            for (size_t n = 0; n <= 4; n++) {
                uint32_t cp = 0xdead;
                size_t got = kith_utf8_next(kith_bytes_of(in, n), &cp);
                assert_int_equal(got, well_formed(in, n));
                assert_int_equal(cp == 0xdead, got == 0);
            }
        }
    }
}

static void code_points_are_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *utf8;
        uint32_t cp;
    } known[] = {{"A", 'A'},
                 {"\xc2\x80", 0x80},
                 {"\xdf\xbf", 0x7ff},
                 {"\xe0\xa0\x80", 0x800},
                 {"\xe2\x82\xac", 0x20ac},
                 {"\xef\xbf\xbf", 0xffff},
                 {"\xf0\x90\x80\x80", 0x10000},
                 {"\xf4\x8f\xbf\xbf", 0x10ffff}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t cp = 0;
        assert_int_equal(kith_utf8_next(kith_bytes_str(known[i].utf8), &cp), strlen(known[i].utf8));
        assert_int_equal(cp, known[i].cp);
    }
}

static void what_upsets_a_terminal_is_not_clean(void **state)
{
    (void)state;
    static const char *const clean[] = {
        "", "kith/0.1", "na\xc3\xafve", "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x8c\xb1", " ~"};
    static const char *const dirty[] = {"\n",
                                        "a\tb",
                                        "\x1b[2J",
                                        "\x7f",
                                        "\xc2\x85" /* NEL */,
                                        "\xc2\x9b" /* CSI */,
                                        "\xe2\x80\xa8" /* line separator */,
                                        "\xe2\x80\xae" /* right-to-left override */,
                                        "\xe2\x81\xa6" /* isolate */,
                                        "\xd8\x9c",
                                        "a\xff",
                                        "\xc3",
                                        "\xed\xa0\x80"};
    for (size_t i = 0; i < sizeof clean / sizeof clean[0]; i++)
        assert_true(kith_text_clean(kith_bytes_str(clean[i])));
    for (size_t i = 0; i < sizeof dirty / sizeof dirty[0]; i++)
        assert_false(kith_text_clean(kith_bytes_str(dirty[i])));
    assert_false(kith_text_clean(kith_bytes_of("a\0b", 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_first_bytes_is_judged_as_the_unicode_table_has_it),
        cmocka_unit_test(code_points_are_decoded),
        cmocka_unit_test(what_upsets_a_terminal_is_not_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
