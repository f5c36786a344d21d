/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The history of transfers: what is kept, how much, and what happens to a file that is no good. */
#include "host/share_history.h"

#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static char folder[] = "/tmp/kith-history-XXXXXX";
static char path[64];

static kith_share_history *open_it(void)
{
    bool damaged;
    const char *why = NULL;
    kith_share_history *h = kith_share_history_open(path, &damaged, &why);
    assert_non_null(h);
    assert_false(damaged);
    return h;
}

static void remove_it(void)
{
    static const char *const parts[] = {"", "-wal", "-shm", ".damaged", ".damaged-wal", ".damaged-shm"};
    char name[128];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(name, sizeof name, "%s%s", path, parts[i]);
        unlink(name);
    }
}

static kith_share_past row_of(uint64_t n)
{
    return (kith_share_past){.time = 1700000000 + n,
                             .sent = n % 2 == 0,
                             .peer = "12D3KooW",
                             .name = "alice",
                             .what = "holiday/",
                             .result = n % 3 ? "ok" : "lost",
                             .path = "lan",
                             .into = "/tmp",
                             .pq = n % 5 == 0,
                             .files = n,
                             .bytes = n << 40,
                             .seconds = 0.25};
}

typedef struct walk {
    uint64_t next; /* the one expected: newest first */
    size_t count;
} walk;

static void expect(void *ctx, const kith_share_past *row)
{
    walk *w = ctx;
    kith_share_past want = row_of(w->next);
    assert_int_equal(row->time, want.time);
    assert_int_equal(row->sent, want.sent);
    assert_int_equal(row->files, want.files);
    assert_int_equal(row->bytes, want.bytes);
    assert_int_equal(row->pq, want.pq);
    assert_string_equal(row->peer, want.peer);
    assert_string_equal(row->name, want.name);
    assert_string_equal(row->what, want.what);
    assert_string_equal(row->result, want.result);
    assert_string_equal(row->path, want.path);
    assert_string_equal(row->into, want.into);
    assert_true(row->seconds == 0.25);
    w->next--;
    w->count++;
}

static void what_was_written_is_there_again_the_newest_first(void **state)
{
    (void)state;
    kith_share_history *h = open_it();
    for (uint64_t n = 0; n < 20; n++) {
        const kith_share_past row = row_of(n);
        assert_null(kith_share_history_add(h, &row));
    }
    kith_share_history_close(h);
    h = open_it();
    walk w = {.next = 19};
    assert_null(kith_share_history_each(h, 1000, expect, &w));
    assert_int_equal(w.count, 20);
    w = (walk){.next = 19};
    assert_null(kith_share_history_each(h, 5, expect, &w));
    assert_int_equal(w.count, 5);
    uint64_t rows = 0;
    assert_null(kith_share_history_clear(h, &rows));
    assert_int_equal(rows, 20);
    w = (walk){0};
    assert_null(kith_share_history_each(h, 1000, expect, &w));
    assert_int_equal(w.count, 0);
    kith_share_history_close(h);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    remove_it();
}

static void the_oldest_go_when_there_are_too_many(void **state)
{
    (void)state;
    kith_share_history *h = open_it();
    for (uint64_t n = 0; n <= KITH_SHARE_HISTORY_MAX; n++) {
        const kith_share_past row = row_of(n);
        assert_null(kith_share_history_add(h, &row));
        if (n + 1 == KITH_SHARE_HISTORY_MAX) {
            walk w = {.next = n};
            assert_null(kith_share_history_each(h, 2 * KITH_SHARE_HISTORY_MAX, expect, &w));
            assert_int_equal(w.count, KITH_SHARE_HISTORY_MAX);
        }
    }
    walk w = {.next = KITH_SHARE_HISTORY_MAX};
    assert_null(kith_share_history_each(h, 2 * KITH_SHARE_HISTORY_MAX, expect, &w));
    assert_int_equal(w.count, KITH_SHARE_HISTORY_MAX);
    assert_int_equal(w.next, 0);
    kith_share_history_close(h);
    remove_it();
}

static void on_long(void *ctx, const kith_share_past *row)
{
    size_t *len = ctx;
    *len = strlen(row->what);
}

static void long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    kith_share_history *h = open_it();
    char text[KITH_SHARE_HISTORY_TEXT_MAX + 10];
    for (size_t n = KITH_SHARE_HISTORY_TEXT_MAX - 3; n <= KITH_SHARE_HISTORY_TEXT_MAX; n++) {
        size_t len = 0;
        memset(text, 'a', sizeof text);
        memcpy(text + n, "\xf0\x9f\x9a\x80", 5);
        kith_share_past row = row_of(1);
        row.what = text;
        assert_null(kith_share_history_add(h, &row));
        assert_null(kith_share_history_each(h, 1, on_long, &len));
        assert_int_equal(len, n);
    }
    kith_share_history_close(h);
    remove_it();
}

static void a_damaged_file_is_put_aside_and_a_newer_one_left_alone(void **state)
{
    (void)state;
    bool damaged;
    const char *why = NULL;
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database at all ", f);
    fclose(f);
    kith_share_history *h = kith_share_history_open(path, &damaged, &why);
    assert_non_null(h);
    assert_true(damaged);
    const kith_share_past row = row_of(1);
    assert_null(kith_share_history_add(h, &row));
    kith_share_history_close(h);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=2", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_null(kith_share_history_open(path, &damaged, &why));
    assert_false(damaged);
    assert_non_null(strstr(why, "newer"));
    remove_it();
}

static void two_processes_write_into_one_file(void **state)
{
    (void)state;
    kith_share_history *a = open_it(), *b = open_it();
    for (uint64_t n = 0; n < 10; n++) {
        const kith_share_past row = row_of(n);
        assert_null(kith_share_history_add(n % 2 ? a : b, &row));
    }
    walk w = {.next = 9};
    assert_null(kith_share_history_each(a, 1000, expect, &w));
    assert_int_equal(w.count, 10);
    kith_share_history_close(a);
    kith_share_history_close(b);
    remove_it();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_there_again_the_newest_first),
        cmocka_unit_test(the_oldest_go_when_there_are_too_many),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(a_damaged_file_is_put_aside_and_a_newer_one_left_alone),
        cmocka_unit_test(two_processes_write_into_one_file),
    };
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/transfers.db", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
