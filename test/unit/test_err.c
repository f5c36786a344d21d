/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The error list: every error has its own words. */
#include "base/err.h"

#include "support.h"

static void every_error_has_a_phrase_and_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = KITH_OK; a <= KITH_EIO; a++) {
        const char *text = kith_err_text((kith_err)a), *name = kith_err_name((kith_err)a);
        assert_non_null(text);
        assert_non_null(name);
        assert_string_not_equal(text, "unknown error");
        assert_string_not_equal(name, "unknown");
        for (const char *c = name; *c; c++)
            assert_true(*c >= 'a' && *c <= 'z');
        assert_true(text[0] >= 'a' && text[0] <= 'z');
        assert_true(text[strlen(text) - 1] != '.');
        for (int b = KITH_OK; b < a; b++) {
            assert_string_not_equal(text, kith_err_text((kith_err)b));
            assert_string_not_equal(name, kith_err_name((kith_err)b));
        }
    }
}

static void a_number_that_is_no_error_still_has_words(void **state)
{
    (void)state;
    assert_string_equal(kith_err_text((kith_err)(KITH_EIO + 1)), "unknown error");
    assert_string_equal(kith_err_name((kith_err)1000), "unknown");
    assert_int_equal(KITH_OK, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_a_phrase_and_a_name_of_its_own),
        cmocka_unit_test(a_number_that_is_no_error_still_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
