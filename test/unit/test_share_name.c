/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Names from strangers: what no name or link may be, in whatever list it comes, and how any name is printed. The rules one by one are
 * in test_share_manifest.c; here every byte and the edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "apps/share_name.h"

static void every_single_byte_is_judged(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        uint8_t b[3] = {'a', (uint8_t)c, 'b'};
        bool bad = c < 0x20 || c == '/' || c == '\\' || c >= 0x7f;
        assert_int_equal(kith_name_fault(kith_bytes_of(b, 3), false) != NULL, bad);
        bad |= strchr(":*?\"<>|", (int)c) != NULL;
        assert_int_equal(kith_name_fault(kith_bytes_of(b, 3), true) != NULL, bad);
        bool bad_link = c < 0x20 || c == '\\' || c >= 0x7f;
        assert_int_equal(kith_link_fault(kith_bytes_of(b, 3), 0) != NULL, bad_link);
    }
}

static void a_link_may_go_up_as_far_as_it_lies_deep(void **state)
{
    (void)state;
    char target[200] = "";
    for (size_t ups = 0; ups < 20; ups++) {
        for (size_t depth = 0; depth < 20; depth++) {
            (void)snprintf(target + 3 * ups, sizeof target - 3 * ups, "x");
            assert_int_equal(kith_link_fault(kith_bytes_str(target), depth) == NULL, ups <= depth);
        }
        memcpy(target + 3 * ups, "../", 4);
    }
}

static void names_are_printed_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *name, *shown;
    } cases[] = {
        {"plain name.txt", "plain name.txt"},
        {"a\nb\tc\\d", "a\\nb\\tc\\\\d"},
        {"\x1b[31m", "\\x1b[31m"},
        {"\xff\xc3", "\\xff\\xc3"},
        {"\xc2\x9b", "\\u{009b}"},
        {"x\xe2\x80\xaey", "x\\u{202e}y"},
        {"\xe4\xb8\xad", "\xe4\xb8\xad"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[200];
        kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
        kith_name_put(&w, kith_bytes_str(cases[i].name));
        assert_true(kith_bytes_eq_str(kith_wr_bytes(&w), cases[i].shown));
        assert_true(w.len <= KITH_NAME_ESCAPED_MAX(strlen(cases[i].name)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_single_byte_is_judged),
        cmocka_unit_test(a_link_may_go_up_as_far_as_it_lies_deep),
        cmocka_unit_test(names_are_printed_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
