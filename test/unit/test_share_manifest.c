/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The list of a share: round trip, every rule about names, links and order, and nothing of a damaged list gets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "apps/share_manifest.h"

typedef struct heap {
    size_t live, calls, fail_at; /* fail_at 0: never */
} heap;

static void *heap_fn(void *ctx, void *p, size_t old, size_t size)
{
    heap *h = ctx;
    if (size == 0) {
        h->live -= old;
        free(p);
        return NULL;
    }
    if (++h->calls == h->fail_at)
        return NULL;
    void *q = realloc(p, size);
    assert_non_null(q);
    h->live += size - old;
    return q;
}

static void rand_fn(void *ctx, kith_span out)
{
    (void)ctx;
    memset(out.p, 0x5a, out.len);
}

static heap the_heap;
static const kith_env env = {.alloc = {&the_heap, heap_fn}, .rand = {NULL, rand_fn}};

static uint8_t out_buf[1 << 20];

static kith_entry file_at(size_t depth, const char *name, uint64_t size)
{
    return (kith_entry){.name = kith_bytes_str(name),
                        .size = size,
                        .mode = 0644,
                        .depth = (uint8_t)depth,
                        .mtime_ns = 1234567890123456789,
                        .type = KITH_ENTRY_FILE};
}

static kith_entry dir_at(size_t depth, const char *name)
{
    return (kith_entry){.name = kith_bytes_str(name),
                        .mode = 0755,
                        .depth = (uint8_t)depth,
                        .mtime_ns = -5,
                        .type = KITH_ENTRY_DIR};
}

static kith_entry link_at(size_t depth, const char *name, const char *target)
{
    return (kith_entry){.name = kith_bytes_str(name),
                        .target = kith_bytes_str(target),
                        .depth = (uint8_t)depth,
                        .type = KITH_ENTRY_LINK};
}

static kith_bytes list_of(const kith_entry *e, size_t n)
{
    kith_wr w = kith_wr_of(kith_span_of(out_buf, sizeof out_buf));
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        kith_manifest_put_entry(&w, &e[i]);
        len += kith_manifest_entry_len(&e[i]);
    }
    assert_false(w.bad);
    assert_int_equal(len, w.len);
    return kith_wr_bytes(&w);
}

static kith_err parse(const kith_entry *e, size_t n, bool portable, kith_manifest_fault *fault)
{
    kith_manifest m;
    *fault = (kith_manifest_fault){0};
    kith_err err = kith_manifest_parse(&env, list_of(e, n), portable, &m, fault);
    if (!err)
        kith_manifest_fini(&m, &env);
    else
        assert_non_null(fault->why);
    assert_int_equal(the_heap.live, 0);
    return err;
}

static void refused(kith_entry e, const char *why)
{
    kith_manifest_fault f;
    assert_int_equal(parse(&e, 1, false, &f), KITH_EPROTO);
    if (!strstr(f.why, why))
        fail_msg("'%s' is not '%s'", f.why, why);
}

static void refused_name(const char *name, const char *why)
{
    refused(file_at(0, name, 1), why);
}

static size_t sample(kith_entry e[16])
{
    size_t n = 0;
    e[n++] = file_at(0, "a file", 70000);
    e[n++] = dir_at(0, "dir");
    e[n++] = dir_at(1, "empty");
    e[n++] = dir_at(1, "in");
    e[n++] = link_at(2, "up", "../../a file");
    e[n++] = file_at(2, "\xc3\xa4\xe6\xbc\xa2\xf0\x9f\x98\x80", UINT64_C(1) << 40);
    e[n++] = link_at(1, "side", "./in");
    e[n++] = file_at(0, "dir.txt", 1);
    e[n - 1].mode = 0;
    e[n++] = file_at(0, "z", 3);
    return n;
}

static void a_list_comes_back_as_it_was(void **state)
{
    (void)state;
    kith_entry e[16];
    size_t n = sample(e);
    kith_manifest m;
    kith_manifest_fault f;
    assert_int_equal(kith_manifest_parse(&env, list_of(e, n), false, &m, &f), KITH_OK);
    assert_int_equal(m.count, n);
    assert_int_equal(m.files, 4);
    assert_int_equal(m.dirs, 3);
    assert_int_equal(m.links, 2);
    assert_int_equal(m.bytes, (UINT64_C(1) << 40) + 70004);
    for (size_t i = 0; i < n; i++) {
        assert_true(kith_bytes_eq(kith_manifest_entry(&m, i).name, e[i].name));
        assert_true(kith_bytes_eq(kith_manifest_entry(&m, i).target, e[i].target));
        assert_int_equal(kith_manifest_entry(&m, i).size, e[i].size);
        assert_int_equal(kith_manifest_entry(&m, i).mode, e[i].mode);
        assert_int_equal(kith_manifest_entry(&m, i).type, e[i].type);
        assert_true(kith_manifest_entry(&m, i).mtime_ns == e[i].mtime_ns);
    }
    char path[KITH_MANIFEST_PATH_MAX];
    kith_wr w = kith_wr_of(kith_span_of(path, sizeof path));
    kith_manifest_put_path(&m, 4, false, &w);
    assert_true(kith_bytes_eq_str(kith_wr_bytes(&w), "dir/in/up"));
    kith_manifest_fini(&m, &env);
    assert_int_equal(the_heap.live, 0);
}

static void every_leaf_is_found(void **state)
{
    (void)state;
    const uint64_t leaf = KITH_TREE_LEAF;
    kith_entry e[] = {dir_at(0, "a"),        file_at(1, "b", 0),        file_at(1, "c", 1),
                      file_at(1, "d", leaf), file_at(0, "e", 0),        file_at(0, "f", 3 * leaf + 1),
                      link_at(0, "g", "f"),  file_at(0, "h", leaf - 1), file_at(0, "i", 0)};
    const struct {
        size_t entry;
        uint64_t offset;
    } want[] = {{2, 0}, {3, 0}, {5, 0}, {5, leaf}, {5, 2 * leaf}, {5, 3 * leaf}, {7, 0}};
    kith_manifest m;
    kith_manifest_fault f;
    assert_int_equal(kith_manifest_parse(&env, list_of(e, sizeof e / sizeof e[0]), false, &m, &f), KITH_OK);
    assert_int_equal(m.leaves, sizeof want / sizeof want[0]);
    for (size_t i = 0; i < m.leaves; i++) {
        uint64_t offset = 1;
        assert_int_equal(kith_manifest_leaf(&m, i, &offset), want[i].entry);
        assert_int_equal(offset, want[i].offset);
    }
    const uint32_t ends[] = {0, 0, 1, 2, 2, 6, 6, 7, 7};
    for (size_t i = 0; i < m.count; i++) {
        uint32_t first = 99, end = 99;
        kith_manifest_leaves(&m, i, &first, &end);
        assert_int_equal(first, i > 0 ? ends[i - 1] : 0);
        assert_int_equal(end, ends[i]);
    }
    kith_manifest_fini(&m, &env);
}

static void leaves_have_a_cap(void **state)
{
    (void)state;
    kith_entry e[] = {file_at(0, "a", KITH_MANIFEST_BYTES_MAX - KITH_TREE_LEAF), file_at(0, "b", 1),
                      file_at(0, "c", 1)};
    kith_manifest m;
    kith_manifest_fault f;
    assert_int_equal(kith_manifest_parse(&env, list_of(e, 2), false, &m, &f), KITH_OK);
    assert_int_equal(m.leaves, KITH_MANIFEST_LEAVES_MAX);
    uint32_t first, end;
    kith_manifest_leaves(&m, 1, &first, &end);
    assert_int_equal(first, KITH_MANIFEST_LEAVES_MAX - 1);
    assert_int_equal(end, KITH_MANIFEST_LEAVES_MAX);
    kith_manifest_fini(&m, &env);
    assert_int_equal(kith_manifest_parse(&env, list_of(e, 3), false, &m, &f), KITH_ELIMIT);
}

static void extreme_times_and_sizes_survive(void **state)
{
    (void)state;
    kith_entry e[2] = {file_at(0, "a", KITH_MANIFEST_BYTES_MAX), dir_at(0, "b")};
    e[0].mtime_ns = INT64_MIN;
    e[1].mtime_ns = INT64_MAX;
    kith_manifest m;
    kith_manifest_fault f;
    assert_int_equal(kith_manifest_parse(&env, list_of(e, 2), false, &m, &f), KITH_OK);
    assert_true(kith_manifest_entry(&m, 0).mtime_ns == INT64_MIN &&
                kith_manifest_entry(&m, 1).mtime_ns == INT64_MAX);
    kith_manifest_fini(&m, &env);
}

static void hostile_names_are_refused(void **state)
{
    (void)state;
    refused_name("", "empty");
    refused_name(".", "another folder");
    refused_name("..", "another folder");
    refused_name("a/b", "slash");
    refused_name("/etc/passwd", "slash");
    refused_name("../x", "slash");
    refused_name("a\\b", "backslash");
    refused_name("new\nline", "control");
    refused_name("\x1b[2J", "control");
    refused_name("\x7f", "control");
    refused_name("\xc2\x85", "control");   /* NEL */
    refused_name("\xe2\x80\xa8", "lines"); /* line separator */
    refused_name("txt.\xe2\x80\xae"
                 "exe",
                 "direction");                  /* right-to-left override */
    refused_name("\xe2\x81\xa6x", "direction"); /* isolate */
    refused_name("\xff", "UTF-8");
    refused_name("\xc0\xaf", "UTF-8");         /* overlong slash */
    refused_name("\xed\xa0\x80", "UTF-8");     /* surrogate */
    refused_name("\xf4\x90\x80\x80", "UTF-8"); /* beyond U+10FFFF */
    refused_name("\xe6\xbc", "UTF-8");         /* cut */
    char long_name[257];
    memset(long_name, 'x', 256);
    long_name[256] = 0;
    refused_name(long_name, "255");
    long_name[255] = 0;
    kith_manifest_fault f;
    kith_entry ok = file_at(0, long_name, 1);
    assert_int_equal(parse(&ok, 1, false, &f), KITH_OK);
    kith_entry nul = file_at(0, "x", 1);
    nul.name = kith_bytes_of("a\0b", 3);
    refused(nul, "control");
}

static void names_of_every_script_pass(void **state)
{
    (void)state;
    static const char *const names[] = {" leading space",
                                        "-rf",
                                        "~",
                                        "$HOME",
                                        "*",
                                        "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d",
                                        "\xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7",
                                        "\xe0\xa4\xb9\xe0\xa4\xbf",
                                        "\xe4\xb8\xad\xe6\x96\x87",
                                        "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80",
                                        "...",
                                        "a:b",
                                        "CON"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        kith_entry e = file_at(0, names[i], 1);
        kith_manifest_fault f;
        assert_int_equal(parse(&e, 1, false, &f), KITH_OK);
    }
}

static void portable_rules_refuse_what_others_cannot_hold(void **state)
{
    (void)state;
    static const char *const names[] = {"a:b",     "what?", "a*",     "\"q\"",  "a<",   "a|",    "CON",
                                        "nul.txt", "Com1",  "lpt9.x", "AUX .c", "dot.", "space "};
    kith_manifest_fault f;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        kith_entry e = file_at(0, names[i], 1);
        assert_int_equal(parse(&e, 1, true, &f), KITH_EPROTO);
        assert_int_equal(parse(&e, 1, false, &f), KITH_OK);
    }
    static const char *const fine[] = {"con1", "com", "comx", "lpt10", "console", "aux-c", ".hidden", "a.b"};
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        kith_entry e = file_at(0, fine[i], 1);
        assert_int_equal(parse(&e, 1, true, &f), KITH_OK);
    }
    kith_entry twins[3] = {dir_at(0, "Photos"), file_at(1, "PHOTOS", 1), file_at(0, "photos", 1)};
    assert_int_equal(parse(twins, 3, false, &f), KITH_OK);
    assert_int_equal(parse(twins, 2, true, &f), KITH_OK); /* not in the same folder */
    assert_int_equal(parse(twins, 3, true, &f), KITH_EPROTO);
    assert_non_null(strstr(f.why, "case"));
}

static void links_that_lead_out_are_refused(void **state)
{
    (void)state;
    refused(link_at(0, "l", ""), "empty");
    refused(link_at(0, "l", "/etc/passwd"), "absolute");
    refused(link_at(0, "l", ".."), "outside");
    refused(link_at(0, "l", "../x"), "outside");
    refused(link_at(0, "l", "./../x"), "outside");
    refused(link_at(0, "l", "a/../../x"), "after it went down");
    refused(link_at(0, "l", "a/.."), "after it went down"); /* a may be a link that leads up */
    refused(link_at(0, "l", "a//b"), "empty part");
    refused(link_at(0, "l", "a\\b"), "backslash");
    refused(link_at(0, "l", "a\nb"), "control");
    refused(link_at(0, "l", "\xff"), "UTF-8");
    char long_target[KITH_LINK_MAX + 2];
    for (size_t i = 0; i < sizeof long_target; i++)
        long_target[i] = i % 2 ? '/' : 'a';
    long_target[KITH_LINK_MAX + 1] = 0;
    refused(link_at(0, "l", long_target), "too long");
    char long_part[KITH_NAME_MAX + 4];
    memset(long_part, 'b', sizeof long_part);
    memcpy(long_part, "a/", 2);
    long_part[2 + KITH_NAME_MAX] = 0;
    kith_entry one = link_at(0, "l", long_part);
    kith_manifest_fault fine;
    assert_int_equal(parse(&one, 1, false, &fine), KITH_OK); /* at the cap */
    long_part[2 + KITH_NAME_MAX] = 'b';
    long_part[3 + KITH_NAME_MAX] = 0;
    refused(link_at(0, "l", long_part), "a part of its target is longer");
    kith_entry e[3] = {dir_at(0, "d"), link_at(1, "l", "../../x")};
    kith_manifest_fault f;
    assert_int_equal(parse(e, 2, false, &f), KITH_EPROTO);
    e[1] = link_at(1, "l", "../x/y");
    assert_int_equal(parse(e, 2, false, &f), KITH_OK);
    e[1] = link_at(1, "l", "trailing/");
    assert_int_equal(parse(e, 2, false, &f), KITH_OK);
}

static void order_and_folders_are_kept(void **state)
{
    (void)state;
    kith_manifest_fault f;
    kith_entry twice[2] = {file_at(0, "a", 1), file_at(0, "a", 1)};
    assert_int_equal(parse(twice, 2, false, &f), KITH_EPROTO);
    assert_non_null(strstr(f.why, "twice"));
    assert_int_equal(f.entry, 1);
    kith_entry file_and_dir[3] = {file_at(0, "a", 1), dir_at(0, "a"), file_at(1, "x", 1)};
    assert_int_equal(parse(file_and_dir, 3, false, &f), KITH_EPROTO);
    kith_entry apart[3] = {dir_at(0, "a"), dir_at(0, "b"), dir_at(0, "a")};
    assert_int_equal(parse(apart, 3, false, &f), KITH_EPROTO);
    assert_non_null(strstr(f.why, "order"));
    kith_entry in_file[2] = {file_at(0, "a", 1), file_at(1, "x", 1)};
    assert_int_equal(parse(in_file, 2, false, &f), KITH_EPROTO);
    assert_non_null(strstr(f.why, "not a folder"));
    kith_entry in_link[2] = {link_at(0, "a", "b"), file_at(1, "x", 1)};
    assert_int_equal(parse(in_link, 2, false, &f), KITH_EPROTO);
    assert_non_null(strstr(f.why, "not a folder"));
    kith_entry nowhere = file_at(1, "x", 1);
    refused(nowhere, "no listed folder");
    kith_entry jump[2] = {dir_at(0, "a"), file_at(2, "x", 1)};
    assert_int_equal(parse(jump, 2, false, &f), KITH_EPROTO);
    /* a sibling of a folder that has been left is compared with that folder, not with what lay in it */
    kith_entry deep[4] = {dir_at(0, "a"), file_at(1, "z", 1), dir_at(0, "b"), file_at(1, "a", 1)};
    assert_int_equal(parse(deep, 4, false, &f), KITH_OK);
}

static void depth_has_a_cap(void **state)
{
    (void)state;
    kith_entry e[KITH_MANIFEST_DEPTH_MAX + 1];
    for (size_t i = 0; i <= KITH_MANIFEST_DEPTH_MAX; i++)
        e[i] = dir_at(i, "d");
    kith_manifest_fault f;
    assert_int_equal(parse(e, KITH_MANIFEST_DEPTH_MAX, false, &f), KITH_OK);
    assert_int_equal(parse(e, KITH_MANIFEST_DEPTH_MAX + 1, false, &f), KITH_EPROTO);
    assert_non_null(strstr(f.why, "deep"));
}

static void entries_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    kith_entry e;
    refused(file_at(0, "a", KITH_TREE_SIZE_MAX + 1), "too large");
    e = file_at(0, "a", 1);
    e.mode = 04755;
    refused(e, "mode");
    e = file_at(0, "a", 1);
    e.target = kith_bytes_str("b");
    refused(e, "target");
    e = dir_at(0, "a");
    e.size = 1;
    refused(e, "content");
    e = link_at(0, "a", "b");
    e.size = 1;
    refused(e, "content");
    e = link_at(0, "a", "b");
    e.mode = 0777;
    refused(e, "mode");
    e = dir_at(0, "a");
    e.type = (kith_entry_type)3; /* a device, say */
    refused(e, "neither");
    e = file_at(0, "a", 0);
    kith_manifest_fault f;
    assert_int_equal(parse(&e, 1, false, &f), KITH_OK);
}

static void sizes_that_overflow_together_are_refused(void **state)
{
    (void)state;
    kith_entry e[2] = {file_at(0, "a", KITH_TREE_SIZE_MAX), file_at(0, "b", 1)};
    kith_manifest_fault f;
    assert_int_equal(parse(e, 2, false, &f), KITH_ELIMIT);
    assert_non_null(strstr(f.why, "too large"));
}

static void an_empty_list_and_unknown_fields(void **state)
{
    (void)state;
    kith_manifest m;
    kith_manifest_fault f;
    assert_int_equal(kith_manifest_parse(&env, (kith_bytes){0}, false, &m, &f), KITH_EPROTO);
    /* field 5 of the list, then an entry with field 100 */
    static const uint8_t later[] = {0x2a, 1, 9, 0x0a, 8, 0x12, 1, 'd', 0x18, 1, 0xa0, 6, 7};
    assert_int_equal(kith_manifest_parse(&env, kith_bytes_of(later, sizeof later), false, &m, &f), KITH_OK);
    assert_int_equal(m.count, 1);
    kith_manifest_fini(&m, &env);
    static const uint8_t wrong[] = {0x0a, 4, 0x10, 1, 0x18, 1}; /* a name that is a number */
    assert_int_equal(kith_manifest_parse(&env, kith_bytes_of(wrong, sizeof wrong), false, &m, &f),
                     KITH_EPROTO);
    uint8_t *much = calloc(1, KITH_MANIFEST_MAX + 1u); /* nobody looks into it */
    assert_non_null(much);
    assert_int_equal(kith_manifest_parse(&env, kith_bytes_of(much, KITH_MANIFEST_MAX + 1u), false, &m, &f),
                     KITH_ELIMIT);
    assert_string_equal(f.why, "the list is too long");
    free(much);
}

/* Whatever happens to the bytes, the answer is a list that keeps the rules, or an error with a reason. */
static void truncated_and_flipped_lists_do_no_harm(void **state)
{
    (void)state;
    kith_entry e[16];
    size_t n = sample(e);
    kith_bytes list = list_of(e, n);
    uint8_t *copy = malloc(list.len);
    assert_non_null(copy);
    kith_manifest m;
    for (size_t len = 0; len < list.len; len++) {
        kith_manifest_fault f = {0};
        memcpy(copy, list.p, len);
        kith_err err = kith_manifest_parse(&env, kith_bytes_of(copy, len), true, &m, &f);
        if (!err) {
            assert_true(m.count < n); /* cut between two entries; the share's id finds that */
            kith_manifest_fini(&m, &env);
        } else {
            assert_non_null(f.why);
        }
    }
    for (size_t i = 0; i < list.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            kith_manifest_fault f = {0};
            memcpy(copy, list.p, list.len);
            copy[i] ^= (uint8_t)(1 << bit);
            kith_err err = kith_manifest_parse(&env, kith_bytes_of(copy, list.len), bit % 2, &m, &f);
            if (!err)
                kith_manifest_fini(&m, &env);
            else
                assert_non_null(f.why);
            assert_int_equal(the_heap.live, 0);
        }
    }
    free(copy);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    kith_entry e[40];
    char names[40][8];
    for (size_t i = 0; i < 40; i++) {
        (void)snprintf(names[i], sizeof names[i], "f%02zu", i);
        e[i] = file_at(0, names[i], i + 1);
    }
    kith_manifest m;
    kith_manifest_fault f;
    for (size_t nth = 1;; nth++) {
        the_heap.calls = 0;
        the_heap.fail_at = nth;
        kith_err err = kith_manifest_parse(&env, list_of(e, 40), true, &m, &f);
        if (!err) {
            kith_manifest_fini(&m, &env);
            assert_true(nth > 3);
            break;
        }
        assert_int_equal(err, KITH_ENOMEM);
        assert_int_equal(the_heap.live, 0);
    }
    the_heap.fail_at = 0;
    assert_int_equal(the_heap.live, 0);
}

static void the_number_of_entries_has_a_cap(void **state)
{
    (void)state;
    size_t each = 10, n = KITH_MANIFEST_ENTRIES_MAX + 1; /* folders with names of four characters */
    static const char digits[] = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
    uint8_t *list = malloc(n * each);
    assert_non_null(list);
    for (size_t i = 0; i < n; i++) {
        uint8_t e[] = {0x0a, 8, 0x12, 4, 0, 0, 0, 0, 0x18, 1};
        for (size_t k = 0; k < 4; k++)
            e[4 + k] = (uint8_t)digits[i >> (18 - 6 * k) & 63];
        memcpy(list + i * each, e, each);
    }
    kith_manifest m;
    kith_manifest_fault f;
    assert_int_equal(kith_manifest_parse(&env, kith_bytes_of(list, n * each), false, &m, &f), KITH_ELIMIT);
    assert_int_equal(f.entry, KITH_MANIFEST_ENTRIES_MAX);
    assert_int_equal(kith_manifest_parse(&env, kith_bytes_of(list, (n - 1) * each), false, &m, &f), KITH_OK);
    assert_int_equal(m.count, KITH_MANIFEST_ENTRIES_MAX);
    kith_manifest_fini(&m, &env);
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_comes_back_as_it_was),
        cmocka_unit_test(extreme_times_and_sizes_survive),
        cmocka_unit_test(every_leaf_is_found),
        cmocka_unit_test(leaves_have_a_cap),
        cmocka_unit_test(hostile_names_are_refused),
        cmocka_unit_test(names_of_every_script_pass),
        cmocka_unit_test(portable_rules_refuse_what_others_cannot_hold),
        cmocka_unit_test(links_that_lead_out_are_refused),
        cmocka_unit_test(order_and_folders_are_kept),
        cmocka_unit_test(depth_has_a_cap),
        cmocka_unit_test(entries_that_make_no_sense_are_refused),
        cmocka_unit_test(sizes_that_overflow_together_are_refused),
        cmocka_unit_test(an_empty_list_and_unknown_fields),
        cmocka_unit_test(truncated_and_flipped_lists_do_no_harm),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(the_number_of_entries_has_a_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
