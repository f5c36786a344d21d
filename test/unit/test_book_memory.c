/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SQLite running out of memory below the peer book, at every one of its allocations, also at all from there on: what was stored before is
 * found again, and nothing is taken for a damaged file. */
#include "host/book.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "support.h"

#define STORED 40
#define T0 1800000000u

static atomic_long calls, fail_at; /* the allocation that fails, from 1; 0: none */
static atomic_bool from_there_on;
static char folder[] = "/tmp/kith-book-XXXXXX", path[64], aside[80];
static uv_loop_t loop;

/* In front of every block: its size. */
static void *sql_realloc(void *p, int n)
{
    long nth = atomic_fetch_add(&calls, 1) + 1, at = atomic_load(&fail_at);
    if (at && (atomic_load(&from_there_on) ? nth >= at : nth == at))
        return NULL;
    int64_t *head = realloc(p ? (int64_t *)p - 2 : NULL, (size_t)n + 2 * sizeof *head);
    if (!head)
        return NULL;
    head[0] = n;
    return head + 2;
}

static void *sql_malloc(int n)
{
    return sql_realloc(NULL, n);
}

static void sql_free(void *p)
{
    free(p ? (int64_t *)p - 2 : NULL);
}

static int sql_size(void *p)
{
    return (int)((int64_t *)p)[-2];
}

static int sql_roundup(int n)
{
    return (n + 7) & ~7;
}

static int sql_init(void *ctx)
{
    (void)ctx;
    return SQLITE_OK;
}

static void sql_shutdown(void *ctx)
{
    (void)ctx;
}

static void note(kith_book *b, unsigned n, uint64_t unix)
{
    kith_maddr at;
    kith_peer_id id = support_peer(n);
    uint8_t ip[4] = {10, 0, (uint8_t)(n >> 8), (uint8_t)n};
    kith_maddr_from_tcp(kith_bytes_of(ip, 4), 4001, &at);
    kith_book_note_addr(b, &id, &at, KITH_BOOK_DIALED, unix);
}

static uint64_t later = T0; /* than all that was noted before */

typedef struct answer {
    size_t count;
    uint64_t last;
    bool come, wrong;
} answer;

/* A row is one that was noted, whole. */
static void on_answer(void *ctx, const kith_book_row *rows, size_t count)
{
    answer *a = ctx;
    a->count = count;
    a->come = true;
    a->last = count ? rows[0].peer_seen : 0;
    for (size_t i = 0; i < count; i++)
        a->wrong |=
            rows[i].seen < T0 || rows[i].seen >= T0 + 1000 || rows[i].addr.len == 0 || rows[i].peer.len == 0;
}

static void ask(kith_book *b, answer *a)
{
    *a = (answer){0};
    assert_int_equal(kith_book_ask(b, NULL, 128, on_answer, a), KITH_OK);
    while (!a->come)
        uv_run(&loop, UV_RUN_ONCE);
    assert_false(a->wrong);
}

static unsigned troubles;

static void on_trouble(void *ctx, const char *sentence)
{
    (void)ctx;
    assert_true(strlen(sentence) > 20);
    assert_null(strstr(sentence, "damaged"));
    troubles++;
}

/* Opens, notes one more, asks, closes: as far as it gets. */
static bool one_life(long nth, bool onwards)
{
    bool damaged;
    const char *why;
    answer a;
    atomic_store(&from_there_on, onwards);
    atomic_store(&calls, 0);
    atomic_store(&fail_at, nth);
    kith_book *b = kith_book_open(&loop, path, &damaged, &why);
    assert_false(damaged);
    if (b) {
        kith_book_on_trouble(b, on_trouble, NULL);
        note(b, 999, T0);
        ask(b, &a);
        atomic_store(&fail_at, 0); /* there is memory again: it goes on */
        note(b, 5, ++later);
        ask(b, &a);
        assert_true(a.count >= STORED);
        assert_int_equal(a.last, later);
    } else {
        assert_true(why && strlen(why) > 4);
    }
    kith_book_close(b);
    long made = atomic_load(&calls);
    atomic_store(&fail_at, 0);
    assert_int_not_equal(access(aside, F_OK), 0); /* no file was put aside */
    return b && made >= nth;
}

static void any_allocation_below_the_book_may_fail_and_what_was_stored_stays(void **state)
{
    (void)state;
    bool damaged;
    const char *why;
    answer a;
    kith_book *b = kith_book_open(&loop, path, &damaged, &why);
    assert_non_null(b);
    for (unsigned i = 0; i < STORED; i++)
        note(b, i, T0);
    ask(b, &a);
    assert_int_equal(a.count, STORED);
    kith_book_close(b);
    (void)one_life(0, false);
    long all = atomic_load(&calls);
    /* the first ones open the file; later ones repeat themselves */
    for (int onwards = 0; onwards < 2; onwards++) {
        for (long nth = 1; nth <= all; nth += nth < 200 ? 1 : 3)
            (void)one_life(nth, onwards);
        b = kith_book_open(&loop, path, &damaged, &why);
        assert_non_null(b);
        ask(b, &a);
        assert_in_range(a.count, STORED, STORED + 1);
        kith_book_close(b);
    }
    print_message("%ld allocations in one life of the book; it told trouble %u times\n", all, troubles);
    assert_true(all > 100 && troubles > 0);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/peers.db", folder);
    (void)snprintf(aside, sizeof aside, "%s.damaged", path);
    return uv_loop_init(&loop);
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const parts[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char file[96];
        (void)snprintf(file, sizeof file, "%s%s", path, parts[i]);
        (void)unlink(file);
    }
    (void)rmdir(folder);
    return uv_loop_close(&loop);
}

int main(void)
{
    static const sqlite3_mem_methods methods = {sql_malloc,  sql_free, sql_realloc,  sql_size,
                                                sql_roundup, sql_init, sql_shutdown, NULL};
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) || sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_allocation_below_the_book_may_fail_and_what_was_stored_stays),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
