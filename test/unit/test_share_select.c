/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Patterns on paths, and what they choose of a list. */
#include <stdio.h>

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
    assert_false(match("\xe0*", "x") ||
                 match("\xc3", "\xc3\xa9")); /* no character, and it takes none with it */
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
        assert_int_equal(kith_share_select_run(env, &cases[i].s, &m, unwanted), KITH_OK);
        for (size_t k = 0; k < 8; k++)
            got[k] = unwanted[k] ? '0' : '1';
        assert_string_equal(got, cases[i].wanted);
    }
    uint8_t unwanted[8];
    heap.fail_at = heap.calls + 1;
    assert_int_equal(kith_share_select_run(env, &cases[1].s, &m, unwanted), KITH_ENOMEM);
    heap.fail_at = 0;
    kith_manifest_fini(&m, env);
    support_heap_check(&heap);
}

/* Whether an entry, or a folder above it, matches one of the patterns by its whole path. */
static bool any(const char *const *patterns, size_t count, const kith_manifest *m, size_t i)
{
    for (;; i = m->places[i].parent) {
        uint8_t path[KITH_MANIFEST_PATH_MAX];
        kith_wr w = kith_wr_of(kith_span_of(path, sizeof path));
        kith_manifest_put_path(m, i, false, &w);
        for (size_t k = 0; k < count; k++) {
            if (kith_share_pattern_matches(patterns[k], kith_wr_bytes(&w),
                                           kith_manifest_entry(m, i).type == KITH_ENTRY_DIR))
                return true;
        }
        if (m->places[i].parent == KITH_ENTRY_TOP)
            return false;
    }
}

/* What is asked name by name is what whole paths would say. */
static void lists_agree_with_paths(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "ab", "b", "b\xc3\xa9"};
    static const char *const parts[] = {"a", "b",    "*",   "**",       "?",   "/",
                                        "/", "[ab]", "\\b", "\xc3\xa9", "\xe0"};
    static uint8_t list[1 << 16];
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint64_t seed = 5;
    kith_wr w = kith_wr_of(kith_span_of(list, sizeof list));
    for (size_t i = 0; i < 4; i++) { /* all that can be made of four names, three deep */
        add(&w, KITH_ENTRY_DIR, 0, names[i]);
        for (size_t k = 0; k < 4; k++) {
            add(&w, KITH_ENTRY_DIR, 1, names[k]);
            for (size_t n = 0; n < 4; n++)
                add(&w, n & 1 ? KITH_ENTRY_FILE : KITH_ENTRY_DIR, 2, names[n]);
        }
    }
    kith_manifest m;
    kith_manifest_fault fault;
    assert_int_equal(kith_manifest_parse(env, kith_wr_bytes(&w), false, &m, &fault), KITH_OK);
    size_t tried = 0, chosen = 0;
    while (tried < 3000) {
        char text[3][24] = {"", "", ""};
        bool good = true;
        for (size_t p = 0; p < 3; p++) {
            for (size_t n = 1 + support_below(&seed, 6); n-- > 0;)
                strcat(text[p], parts[support_below(&seed, sizeof parts / sizeof parts[0])]);
            good &= !kith_share_pattern_fault(text[p]);
        }
        if (!good)
            continue;
        tried++;
        const kith_share_select s = {.only = {text[0], text[1]},
                                     .only_count = support_below(&seed, 3),
                                     .exclude = {text[2]},
                                     .exclude_count = tried & 1};
        uint8_t unwanted[4 + 16 + 64];
        assert_int_equal(m.count, sizeof unwanted);
        assert_int_equal(kith_share_select_run(env, &s, &m, unwanted), KITH_OK);
        for (size_t i = 0; i < m.count; i++) {
            bool want = (s.only_count == 0 || any(s.only, s.only_count, &m, i)) &&
                        !any(s.exclude, s.exclude_count, &m, i);
            bool leads = false; /* to something that is wanted */
            for (size_t k = i + 1;
                 k < m.count && kith_manifest_entry(&m, k).depth > kith_manifest_entry(&m, i).depth; k++)
                leads |= !unwanted[k];
            assert_int_equal(!unwanted[i], want || leads);
            chosen += want;
        }
    }
    assert_true(chosen > 10000);
    kith_manifest_fini(&m, env);
    support_heap_check(&heap);
}

/* Asked name by name while it is found, and not about what lies in a folder that is left out, it leaves out the same. */
static void a_sieve_leaves_out_what_a_selection_would(void **state)
{
    (void)state;
    static const char *const patterns[] = {"a/b", "**/c/", "[x-z]*", "a/**/e"};
    static uint8_t list[1 << 12];
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_wr w = kith_wr_of(kith_span_of(list, sizeof list));
    for (const char *a = "ac"; *a; a++) {
        add(&w, KITH_ENTRY_DIR, 0, (char[]){*a, 0});
        for (const char *b = "bcdx"; *b; b++) {
            add(&w, *b == 'd' || *a == 'a' ? KITH_ENTRY_DIR : KITH_ENTRY_FILE, 1, (char[]){*b, 0});
            for (const char *c = "cefy"; *c && (*b == 'd' || *a == 'a'); c++)
                add(&w, KITH_ENTRY_FILE, 2, (char[]){*c, 0});
        }
    }
    kith_manifest m;
    kith_manifest_fault fault;
    uint8_t unwanted[64];
    assert_int_equal(kith_manifest_parse(env, kith_wr_bytes(&w), false, &m, &fault), KITH_OK);
    kith_share_select s = {.exclude_count = 4};
    memcpy(s.exclude, patterns, sizeof patterns);
    assert_int_equal(kith_share_select_run(env, &s, &m, unwanted), KITH_OK);
    kith_share_sieve *sieve = kith_share_sieve_new(env, patterns, 4);
    assert_non_null(sieve);
    size_t held = 0, passed = 0;
    bool out[64];
    for (size_t i = 0; i < m.count; i++) {
        const kith_entry e = kith_manifest_entry(&m, i);
        uint32_t up = m.places[i].parent;
        out[i] = (up != KITH_ENTRY_TOP && out[up]) || kith_share_sieve_holds(sieve, &e);
        assert_int_equal(out[i], unwanted[i] != 0);
        held += out[i];
        passed += !out[i];
    }
    assert_true(held > 10 && passed == 4);
    kith_share_sieve_free(sieve);
    kith_manifest_fini(&m, env);
    support_heap_check(&heap);
}

static void a_sieve_takes_so_many_patterns_and_no_more(void **state)
{
    (void)state;
    const char *patterns[KITH_SIEVE_PATTERNS + 1];
    support_heap heap;
    const kith_env *env = support_env(&heap);
    for (size_t i = 0; i <= KITH_SIEVE_PATTERNS; i++)
        patterns[i] = i + 1 == KITH_SIEVE_PATTERNS ? "b" : "a";
    const kith_entry b = {.type = KITH_ENTRY_FILE, .name = kith_bytes_str("b")};
    kith_share_sieve *s = kith_share_sieve_new(env, patterns, KITH_SIEVE_PATTERNS);
    assert_non_null(s);
    assert_true(kith_share_sieve_holds(s, &b));
    kith_share_sieve_free(s);
    assert_null(kith_share_sieve_new(env, patterns, KITH_SIEVE_PATTERNS + 1));
    heap.fail_at = heap.calls + 1;
    assert_null(kith_share_sieve_new(env, patterns, 1));
    kith_share_sieve_free(NULL);
    support_heap_check(&heap);
}

/* Long paths are no more work than their names: asked path by path, this would take minutes. */
static void deep_lists_end(void **state)
{
    (void)state;
    enum { FILES = 150000 };
    support_heap heap;
    const kith_env *env = support_env(&heap);
    const size_t size = 24u << 20;
    uint8_t *list = malloc(size), *unwanted = malloc(FILES + KITH_MANIFEST_DEPTH_MAX);
    assert_true(list && unwanted);
    kith_wr w = kith_wr_of(kith_span_of(list, size));
    char name[KITH_NAME_MAX + 1] = "";
    memset(name, 'n', KITH_NAME_MAX);
    for (size_t d = 0; d + 1 < KITH_MANIFEST_DEPTH_MAX; d++)
        add(&w, KITH_ENTRY_DIR, d, name);
    for (int i = 0; i < FILES; i++) {
        (void)snprintf(name, sizeof name, "f%06d", i);
        add(&w, KITH_ENTRY_FILE, KITH_MANIFEST_DEPTH_MAX - 1, name);
    }
    kith_manifest m;
    kith_manifest_fault fault;
    assert_int_equal(kith_manifest_parse(env, kith_wr_bytes(&w), false, &m, &fault), KITH_OK);
    const kith_share_select s = {.exclude = {"**/node_modules/*.o", "**/f1*"}, .exclude_count = 2};
    assert_int_equal(kith_share_select_run(env, &s, &m, unwanted), KITH_OK);
    size_t left = 0;
    for (size_t i = 0; i < m.count; i++)
        left += !unwanted[i];
    assert_int_equal(left, KITH_MANIFEST_DEPTH_MAX - 1 + 100000);
    kith_manifest_fini(&m, env);
    support_heap_check(&heap);
    free(list);
    free(unwanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_match_anywhere),
        cmocka_unit_test(paths_match_from_the_top),
        cmocka_unit_test(two_stars_match_any_depth),
        cmocka_unit_test(a_slash_at_the_end_is_for_folders),
        cmocka_unit_test(classes_and_escapes),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(hostile_patterns_end),
        cmocka_unit_test(lists_are_chosen_from),
        cmocka_unit_test(lists_agree_with_paths),
        cmocka_unit_test(deep_lists_end),
        cmocka_unit_test(a_sieve_leaves_out_what_a_selection_would),
        cmocka_unit_test(a_sieve_takes_so_many_patterns_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
