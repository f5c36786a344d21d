/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The journal of partial content: what was written is read, and whatever happens to the file, no more than was written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host.h"
#include "host/share_journal.h"
#include "support.h"

static const uint8_t root[32] = {1, 2, 3}, other_root[32] = {3, 2, 1};
static char folder_path[64];
static int folder;

static int setup(void **state)
{
    (void)state;
    memcpy(folder_path, "/tmp/kith-journal-XXXXXX", sizeof "/tmp/kith-journal-XXXXXX");
    assert_non_null(mkdtemp(folder_path));
    folder = open(folder_path, O_RDONLY | O_DIRECTORY);
    return folder < 0;
}

static int teardown(void **state)
{
    (void)state;
    char line[96];
    close(folder);
    (void)snprintf(line, sizeof line, "rm -rf %s", folder_path);
    return system(line);
}

static kith_leaves leaves_of(uint32_t first, uint32_t end)
{
    kith_leaves s = {0};
    assert_int_equal(kith_leaves_add(&s, kith_host_env(), first, end), KITH_OK);
    return s;
}

static void put(kith_journal *j, uint32_t first, uint32_t end, bool here)
{
    kith_leaves s = leaves_of(first, end);
    assert_int_equal(kith_journal_put(j, here ? KITH_JOURNAL_HERE : KITH_JOURNAL_GONE, &s), 0);
    kith_leaves_fini(&s, kith_host_env());
}

static kith_journal begin(void)
{
    kith_journal j;
    kith_journal_state st = {.here = leaves_of(1000, 1010)};
    kith_journal_run(st.run);
    assert_int_equal(kith_journal_begin(&j, folder, root, &st, true), 0);
    kith_journal_state_fini(&st, kith_host_env());
    return j;
}

static kith_span contents(void)
{
    static uint8_t buf[1 << 20];
    int fd = openat(folder, KITH_JOURNAL_NAME, O_RDONLY);
    ssize_t n = read(fd, buf, sizeof buf);
    close(fd);
    assert_true(n > 0 && (size_t)n < sizeof buf);
    return kith_span_of(buf, (size_t)n);
}

static void overwrite(kith_bytes b)
{
    int fd = openat(folder, KITH_JOURNAL_NAME, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, b.p, b.len), b.len);
    close(fd);
}

static bool is(const kith_leaves *s, const kith_leaf_range *want, size_t n)
{
    return s->count == n && (n == 0 || memcmp(s->ranges, want, n * sizeof *want) == 0);
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    kith_journal_state st;
    uint8_t run[KITH_JOURNAL_RUN_LEN];
    assert_int_equal(kith_journal_load(folder, root, &st), ENOENT);
    kith_journal j = begin();
    put(&j, 0, 7, true);
    put(&j, 9, 12, true);
    put(&j, 3, 5, false);
    kith_leaves made = leaves_of(7, 9);
    assert_int_equal(kith_journal_put(&j, KITH_JOURNAL_MADE, &made), 0);
    kith_leaves_fini(&made, kith_host_env());
    assert_int_equal(kith_journal_sync(&j), 0);
    kith_journal_close(&j);
    assert_int_equal(kith_journal_load(folder, root, &st), 0);
    static const kith_leaf_range want[] = {{0, 3}, {5, 7}, {9, 12}, {1000, 1010}};
    assert_true(is(&st.here, want, 4));
    assert_true(is(&st.made, &(kith_leaf_range){7, 9}, 1));
    kith_journal_run(run);
    assert_memory_equal(st.run, run, sizeof run);
    kith_journal_state_fini(&st, kith_host_env());
    assert_int_equal(kith_journal_load(folder, other_root, &st), ENOENT);
}

static void many_ranges_take_many_records(void **state)
{
    (void)state;
    kith_journal_state st;
    kith_leaves s = {0};
    kith_journal j = begin();
    for (uint32_t i = 0; i < 3 * KITH_JOURNAL_RANGES + 1; i++)
        assert_int_equal(kith_leaves_add(&s, kith_host_env(), 2000 + 2 * i, 2001 + 2 * i), KITH_OK);
    assert_int_equal(kith_journal_put(&j, KITH_JOURNAL_HERE, &s), 0);
    kith_journal_close(&j);
    assert_int_equal(kith_journal_load(folder, root, &st), 0);
    assert_int_equal(st.here.total, s.total + 10);
    kith_journal_state_fini(&st, kith_host_env());
    kith_leaves_fini(&s, kith_host_env());
}

/* A journal of three batches, and what each of its prefixes of whole records says. */
enum { BATCHES = 3 };
static const kith_leaf_range batches[BATCHES + 1] = {{1000, 1010}, {0, 5}, {5, 9}, {20, 30}};
static size_t ends[BATCHES + 2];

static kith_span three_batches(void)
{
    kith_journal j = begin();
    ends[0] = 57; /* BEGIN */
    ends[1] = j.end;
    for (int i = 1; i <= BATCHES; i++) {
        put(&j, batches[i].first, batches[i].end, true);
        ends[i + 1] = j.end;
    }
    kith_journal_close(&j);
    return contents();
}

/* No more than the whole records before byte `at` is believed. */
static void check_damaged(kith_bytes b, size_t at)
{
    kith_journal_state st;
    uint64_t want = 0;
    kith_err err = kith_journal_parse(kith_host_env(), b, root, &st);
    assert_int_equal(err, at < ends[0] ? KITH_EFORMAT : KITH_OK);
    for (int i = 0; !err && i <= BATCHES && ends[i + 1] <= at; i++) {
        assert_true(kith_leaves_has(&st.here, batches[i].first, batches[i].end));
        want += batches[i].end - batches[i].first;
    }
    assert_int_equal(st.here.total, want);
    kith_journal_state_fini(&st, kith_host_env());
}

static void a_torn_tail_is_cut_off_at_every_byte(void **state)
{
    (void)state;
    kith_span b = three_batches();
    for (size_t n = 0; n <= b.len; n++) {
        kith_span copy = support_copy(kith_bytes_of(b.p, n));
        check_damaged(kith_span_bytes(copy), n);
        free(copy.p);
    }
}

static void a_flipped_bit_ends_the_journal_there(void **state)
{
    (void)state;
    kith_span b = three_batches();
    for (size_t bit = 0; bit < 8 * b.len; bit++) {
        size_t at = bit / 8, i = 0;
        kith_span copy = support_copy(kith_span_bytes(b));
        copy.p[at] ^= (uint8_t)(1u << bit % 8);
        while (ends[i] <= at)
            i++;
        check_damaged(kith_span_bytes(copy), i > 0 ? ends[i - 1] : 0);
        free(copy.p);
    }
}

static void records_of_another_place_or_list_count_for_nothing(void **state)
{
    (void)state;
    kith_span b = three_batches();
    uint8_t buf[512];
    /* the third batch where the second was: as an older file's block could lie there */
    size_t len = ends[4] - ends[3];
    memcpy(buf, b.p, ends[2]);
    memcpy(buf + ends[2], b.p + ends[3], len);
    check_damaged(kith_bytes_of(buf, ends[2] + len), ends[2]);
    kith_journal_state st;
    assert_int_equal(kith_journal_parse(kith_host_env(), kith_span_bytes(b), other_root, &st), KITH_EFORMAT);
}

static void writing_goes_on_over_a_torn_tail(void **state)
{
    (void)state;
    kith_journal_state st;
    kith_span b = three_batches();
    overwrite(kith_bytes_of(b.p, ends[4] - 1));
    assert_int_equal(kith_journal_load(folder, root, &st), 0);
    assert_int_equal(st.good, ends[3]);
    kith_journal j;
    assert_int_equal(kith_journal_begin(&j, folder, root, &st, false), 0);
    kith_journal_state_fini(&st, kith_host_env());
    put(&j, 40, 41, true);
    kith_journal_close(&j);
    assert_int_equal(kith_journal_load(folder, root, &st), 0);
    static const kith_leaf_range want[] = {{0, 9}, {40, 41}, {1000, 1010}};
    assert_true(is(&st.here, want, 3));
    kith_journal_state_fini(&st, kith_host_env());
}

static void what_is_no_file_of_ours_is_no_journal(void **state)
{
    (void)state;
    kith_journal_state st;
    kith_span b = three_batches();
    assert_int_equal(renameat(folder, KITH_JOURNAL_NAME, folder, "elsewhere"), 0);
    assert_int_equal(symlinkat("elsewhere", folder, KITH_JOURNAL_NAME), 0);
    assert_int_equal(kith_journal_load(folder, root, &st), ENOENT);
    assert_int_equal(unlinkat(folder, KITH_JOURNAL_NAME, 0), 0);
    assert_int_equal(mkfifoat(folder, KITH_JOURNAL_NAME, 0600), 0); /* does not hang */
    assert_int_equal(kith_journal_load(folder, root, &st), ENOENT);
    assert_int_equal(unlinkat(folder, KITH_JOURNAL_NAME, 0), 0);
    overwrite(kith_bytes_of(b.p, 0));
    assert_int_equal(kith_journal_load(folder, root, &st), ENOENT);
}

static void without_memory_nothing_is_claimed(void **state)
{
    (void)state;
    kith_span b = three_batches();
    kith_journal_state st;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    heap.fail_at = 1;
    assert_int_equal(kith_journal_parse(env, kith_span_bytes(b), root, &st), KITH_ENOMEM);
    kith_journal_state_fini(&st, env);
    support_heap_check(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(many_ranges_take_many_records, setup, teardown),
        cmocka_unit_test_setup_teardown(a_torn_tail_is_cut_off_at_every_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_ends_the_journal_there, setup, teardown),
        cmocka_unit_test_setup_teardown(records_of_another_place_or_list_count_for_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(writing_goes_on_over_a_torn_tail, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_file_of_ours_is_no_journal, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_nothing_is_claimed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
