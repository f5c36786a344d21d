/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What kith share and kith get say of sizes, times and names. */
#include "cmd/share_text.h"

#include <string.h>

#include "support.h"

static void sizes_speeds_and_times(void **state)
{
    char out[SHARE_TEXT_MAX];
    (void)state;
    assert_string_equal(share_text_size(0, out), "0 bytes");
    assert_string_equal(share_text_size(1024, out), "1.0 KiB");
    assert_string_equal(share_text_size(300u << 20, out), "300.0 MiB");
    assert_string_equal(share_text_time(KITH_SEC(7), out), "0:07");
    assert_string_equal(share_text_time(KITH_SEC(3723), out), "1:02:03");
    assert_string_equal(share_text_counts(3, 2, 1, out), "3 files, 2 folders and 1 link");
    assert_string_equal(share_text_counts(1, 0, 0, out), "1 file");
}

static void a_line_fits_its_terminal(void **state)
{
    char out[SHARE_TEXT_MAX], line[] = "waiting \xc3\xbc for";
    (void)state;
    assert_string_equal(share_text_bar(0, 10, 99, out), "[--------------------] ");
    assert_string_equal(share_text_bar(5, 10, 23, out), "[##########----------] ");
    assert_string_equal(share_text_bar(5, 10, 22, out), "[#########----------] ");
    assert_string_equal(share_text_bar(11, 10, 99, out), "[####################] ");
    assert_string_equal(share_text_bar(0, 0, 8, out), "[#####] ");
    assert_string_equal(share_text_bar(0, 0, 7, out), "");
    assert_string_equal(share_text_bar(0, 0, 0, out), "");
    share_text_fit(line, 80);
    assert_int_equal(strlen(line), 14);
    share_text_fit(line, 15);
    assert_int_equal(strlen(line), 14);
    share_text_fit(line, 10); /* half of a character is none */
    assert_string_equal(line, "waiting ");
    share_text_fit(line, 1);
    assert_string_equal(line, "");
}

static void a_path_is_called_by_its_end(void **state)
{
    char out[SHARE_TEXT_NAME_MAX];
    (void)state;
    assert_string_equal(share_text_base("/a/b/holiday/", out), "holiday");
    assert_string_equal(share_text_base("holiday", out), "holiday");
    assert_string_equal(share_text_base("/", out), "/");
    assert_string_equal(share_text_base("", out), "");
    assert_string_equal(share_text_base("a\x1b[2J", out),
                        "a\\x1b[2J"); /* nothing that a terminal would obey */
}

static void names_are_listed_as_far_as_they_go(void **state)
{
    char out[SHARE_TEXT_NAME_MAX] = "", name[61] = "";
    (void)state;
    assert_true(share_text_add_base("x/holiday", out) && share_text_add_base("report.pdf", out));
    assert_string_equal(out, "holiday, report.pdf");
    memset(name, 'n', sizeof name - 1);
    size_t fitted = 0;
    while (share_text_add_base(name, out))
        fitted++;
    assert_int_equal(fitted, 3);
    assert_true(strlen(out) < sizeof out);
    assert_string_equal(out + strlen(out) - 6, "n, ...");
    char first[SHARE_TEXT_NAME_MAX] = "", odd[256];
    memset(odd, 1, sizeof odd - 1); /* each becomes four characters */
    odd[sizeof odd - 1] = 0;
    (void)share_text_add_base(odd, first);
    assert_true(strlen(first) < sizeof first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_speeds_and_times),
        cmocka_unit_test(a_line_fits_its_terminal),
        cmocka_unit_test(a_path_is_called_by_its_end),
        cmocka_unit_test(names_are_listed_as_far_as_they_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
