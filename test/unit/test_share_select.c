/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Patterns on paths, and what they choose of a list. */
#include "support.h"

#include "apps/share_select.h"

static bool match(const char *pattern, const char *path)
{
    assert_null(kith_share_pattern_fault(pattern));
    size_t len = strlen(path);
    bool folder = len > 0 && path[len - 1] == '/';
    return kith_share_pattern_matches(pattern, kith_bytes_of(path, len - folder), folder);
}

static void names_match_anywhere(void **state)
{
    (void)state;
    assert_true(match("*.pdf", "a.pdf") && match("*.pdf", "x/y/a.pdf") && match("a", "x/a") &&
                match("a", "a/"));
    assert_false(match("*.pdf", "a.pdf.x") || match("*.pdf", "pdf") || match("a", "ab") || match("a", "a/b"));
    assert_true(match("?", "é") && match("??", "x/漢字") && match("*", "x") && match(".*", "x/.hidden"));
    assert_false(match("?", "ab") || match("??", "é"));
}

static void paths_match_from_the_top(void **state)
{
    (void)state;
    assert_true(match("a/b", "a/b") && match("a/*", "a/b") && match("*/b", "a/b") && match("a/*/c", "a/b/c"));
    assert_false(match("a/b", "x/a/b") || match("a/*", "a/b/c") || match("*/b", "a/x/b") ||
                 match("a/*/c", "a/c"));
}

static void two_stars_match_any_depth(void **state)
{
    (void)state;
    assert_true(match("**/c", "c") && match("**/c", "a/b/c") && match("a/**/c", "a/c") &&
                match("a/**/c", "a/x/y/c"));
    assert_true(match("a/**", "a/b") && match("a/**", "a/b/c") && match("**", "x/y") &&
                match("x**y/z", "x/a/y/z"));
    assert_false(match("a/**", "a/") || match("**/c", "ac") || match("a/**/c", "ab/c") ||
                 match("a/**/c", "a/bc"));
    assert_false(match("a**/c", "c") || match("ab**/c", "abc"));
}

static void a_slash_at_the_end_is_for_folders(void **state)
{
    (void)state;
    assert_true(match("a/", "a/") && match("a/", "x/a/") && match("x/a/", "x/a/"));
    assert_false(match("a/", "a") || match("x/a/", "x/a") || match("x/a/", "y/x/a/"));
}

static void classes_and_escapes(void **state)
{
    (void)state;
    assert_true(match("[a-c]", "b") && match("[!a-c]", "d") && match("[]]", "]") && match("[a\\]]", "]") &&
                match("[ä-ö]", "ö"));
    assert_false(match("[a-c]", "d") || match("[!a-c]", "b") || match("[^d]", "d") || match("a[!b]c", "a/c"));
    assert_true(match("\\*", "*") && match("\\[", "[") && match("\\\\", "\\") && match("\\\\[a]", "\\a") &&
                match("[-a]", "-"));
    assert_false(match("\\*", "x") || match("\\?", "x"));
}

static void faults_are_named(void **state)
{
    (void)state;
    char longest[KITH_SELECT_PATTERN_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[KITH_SELECT_PATTERN_MAX] = 0;
    assert_null(kith_share_pattern_fault(longest));
    longest[KITH_SELECT_PATTERN_MAX] = 'a';
    longest[KITH_SELECT_PATTERN_MAX + 1] = 0;
    assert_non_null(kith_share_pattern_fault(longest));
    static const char *const bad[] = {"", "/a", "a\\", "[", "[a", "x[!", "[]", "a/[\\]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(kith_share_pattern_fault(bad[i]));
}

/* Patterns that take others until the end of the world. */
static void hostile_patterns_end(void **state)
{
    (void)state;
    char pattern[KITH_SELECT_PATTERN_MAX + 1], path[4096];
    memset(path, 'a', sizeof path);
    for (size_t i = 0; i + 1 < sizeof pattern; i += 2)
        memcpy(pattern + i, "*a", 3);
    pattern[sizeof pattern - 1] = 0;
    path[sizeof path - 1] = 'b';
    assert_false(kith_share_pattern_matches(pattern, kith_bytes_of(path, sizeof path), false));
    for (size_t i = 0; i + 3 < sizeof pattern; i += 3)
        memcpy(pattern + i, "**/", 4);
    for (size_t i = 1; i < sizeof path; i += 2)
        path[i] = '/';
    (void)kith_share_pattern_matches(pattern, kith_bytes_of(path, sizeof path), false);
    /* whatever bytes there are, valid or not */
    uint64_t seed = 1;
    for (int k = 0; k < 20000; k++) {
        static const char bits[] = "ab*?[]!-\\/\xc3\xa9\xff";
        char p[12] = "", t[12] = "";
        size_t n = support_below(&seed, sizeof p), m = 1 + support_below(&seed, sizeof t - 1);
        for (size_t i = 0; i < n; i++)
            p[i] = bits[support_below(&seed, sizeof bits - 1)];
        for (size_t i = 0; i < m; i++)
            t[i] = bits[support_below(&seed, sizeof bits - 1)];
        kith_span exact = support_copy(kith_bytes_of(p, strnlen(p, sizeof p - 1) + 1)),
                  path_copy = support_copy(kith_bytes_of(t, m));
        if (!kith_share_pattern_fault((char *)exact.p))
            (void)kith_share_pattern_matches((char *)exact.p, kith_span_bytes(path_copy), k & 1);
        free(exact.p);
        free(path_copy.p);
    }
}

static void add(kith_wr *w, kith_entry_type type, size_t depth, const char *name)
{
    kith_manifest_put_entry(
        w, &(kith_entry){.type = type,
                         .depth = (uint8_t)depth,
                         .name = kith_bytes_str(name),
                         .target = type == KITH_ENTRY_LINK ? kith_bytes_str("x") : (kith_bytes){0},
                         .mode = type == KITH_ENTRY_LINK ? 0 : 0755,
                         .size = type == KITH_ENTRY_FILE});
}

static void lists_are_chosen_from(void **state)
{
    (void)state;
    uint8_t list[2048];
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_wr w = kith_wr_of(kith_span_of(list, sizeof list));
    add(&w, KITH_ENTRY_DIR, 0, "a");        /* 0 */
    add(&w, KITH_ENTRY_DIR, 1, "b");        /* 1 */
    add(&w, KITH_ENTRY_FILE, 2, "one.pdf"); /* 2 */
    add(&w, KITH_ENTRY_FILE, 2, "two.txt"); /* 3 */
    add(&w, KITH_ENTRY_DIR, 1, "c");        /* 4 */
    add(&w, KITH_ENTRY_FILE, 2, "one.pdf"); /* 5 */
    add(&w, KITH_ENTRY_DIR, 1, "d");        /* 6 */
    add(&w, KITH_ENTRY_LINK, 0, "l.pdf");   /* 7 */
    kith_manifest m;
    kith_manifest_fault fault;
    assert_int_equal(kith_manifest_parse(env, kith_wr_bytes(&w), false, &m, &fault), KITH_OK);
    static const struct {
        kith_share_select s;
        const char *wanted;
    } cases[] = {
        {{.only_count = 0}, "11111111"},
        {{.only = {"*.pdf"}, .only_count = 1}, "11101101"},
        {{.only = {"*.pdf"}, .only_count = 1, .exclude = {"a/c"}, .exclude_count = 1}, "11100001"},
        {{.only = {"a/b/"}, .only_count = 1}, "11110000"},
        {{.only = {"d", "two.*"}, .only_count = 2}, "11010010"},
        {{.exclude = {"**/c/**", "l*"}, .exclude_count = 2}, "11111010"},
        {{.exclude = {"a"}, .exclude_count = 1}, "00000001"},
        {{.only = {"a/b"}, .only_count = 1, .exclude = {"*.pdf"}, .exclude_count = 1}, "11010000"},
        {{.only = {"nothing"}, .only_count = 1}, "00000000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t unwanted[8];
        char got[9] = "";
        kith_share_select_run(&cases[i].s, &m, unwanted);
        for (size_t k = 0; k < 8; k++)
            got[k] = unwanted[k] ? '0' : '1';
        assert_string_equal(got, cases[i].wanted);
    }
    kith_manifest_fini(&m, env);
    support_heap_check(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_match_anywhere),      cmocka_unit_test(paths_match_from_the_top),
        cmocka_unit_test(two_stars_match_any_depth), cmocka_unit_test(a_slash_at_the_end_is_for_folders),
        cmocka_unit_test(classes_and_escapes),       cmocka_unit_test(faults_are_named),
        cmocka_unit_test(hostile_patterns_end),      cmocka_unit_test(lists_are_chosen_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
