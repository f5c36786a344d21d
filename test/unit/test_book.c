/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The peer book: what is noted is found again, within its caps, also after kill -9 in the middle of writing. */
#include "host/book.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define DAY 86400u
#define T0 1800000000u

static char folder[] = "/tmp/kith-book-XXXXXX";
static char path[64];
static uv_loop_t loop;
static const char *program;

typedef struct answer {
    kith_book_row rows[128];
    size_t count;
    bool come;
} answer;

static void fresh(void)
{
    static const char *const parts[] = {"", "-wal", "-shm", ".damaged", ".damaged-wal", ".damaged-shm"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char file[96];
        snprintf(file, sizeof file, "%s%s", path, parts[i]);
        (void)unlink(file);
    }
}

static kith_book *open_book(void)
{
    bool damaged;
    const char *why;
    kith_book *b = kith_book_open(&loop, path, &damaged, &why);
    if (!b)
        fail_msg("%s", why);
    assert_false(damaged);
    return b;
}

static kith_peer_id peer(unsigned n)
{
    kith_peer_id id;
    uint8_t pub[KITH_ED25519_PUB_LEN] = {(uint8_t)n, (uint8_t)(n >> 8), 7}, pb[KITH_PUBKEY_ED25519_LEN];
    kith_pubkey_ed25519(pub, pb);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(pb, sizeof pb), &id), KITH_OK);
    return id;
}

static kith_maddr addr(unsigned host, uint16_t port)
{
    kith_maddr a;
    uint8_t ip[4] = {10, 0, (uint8_t)(host >> 8), (uint8_t)host};
    kith_maddr_from_tcp(kith_bytes_of(ip, 4), port, &a);
    return a;
}

static void on_answer(void *ctx, const kith_book_row *rows, size_t count)
{
    answer *a = ctx;
    assert_true(count <= 128);
    if (count)
        memcpy(a->rows, rows, count * sizeof *rows);
    a->count = count;
    a->come = true;
}

static size_t ask(kith_book *b, const kith_peer_id *p, size_t max, answer *a)
{
    *a = (answer){0};
    assert_int_equal(kith_book_ask(b, p, max, on_answer, a), KITH_OK);
    assert_false(a->come);
    while (!a->come)
        uv_run(&loop, UV_RUN_ONCE);
    return a->count;
}

static void what_is_noted_is_found_best_first(void **state)
{
    (void)state;
    fresh();
    kith_book *b = open_book();
    kith_peer_id p = peer(1), q = peer(2);
    kith_maddr said = addr(1, 1), fresher = addr(2, 1), typed = addr(3, 1), with_peer = addr(4, 1);
    assert_int_equal(kith_maddr_set_peer(&with_peer, &p), KITH_OK);
    kith_book_note_addr(b, &p, &said, KITH_BOOK_IDENTIFY, T0);
    kith_book_note_addr(b, &p, &fresher, KITH_BOOK_IDENTIFY, T0 + 5);
    kith_book_note_addr(b, &p, &typed, KITH_BOOK_MANUAL, T0 - 5);
    kith_book_note_addr(b, &p, &with_peer, KITH_BOOK_TICKET, T0);
    kith_book_note_addr(b, &q, &said, KITH_BOOK_DIALED, T0);
    answer a;
    assert_int_equal(ask(b, &p, 16, &a), 4);
    assert_true(kith_maddr_eq(&a.rows[0].addr, &typed));
    assert_int_equal(a.rows[1].source, KITH_BOOK_TICKET);
    kith_maddr bare = addr(4, 1);
    assert_true(kith_maddr_eq(&a.rows[1].addr, &bare)); /* stored without its /p2p */
    assert_true(kith_maddr_eq(&a.rows[2].addr, &fresher));
    assert_true(kith_maddr_eq(&a.rows[3].addr, &said));
    assert_int_equal(a.rows[0].seen, T0 - 5);
    assert_int_equal(a.rows[0].peer_seen, T0 + 5);
    kith_book_note_addr(b, &p, &said, KITH_BOOK_DIALED, T0 + 9); /* known already, now worth more */
    assert_int_equal(ask(b, &p, 16, &a), 4);
    assert_true(kith_maddr_eq(&a.rows[0].addr, &said));
    kith_peer_id nobody = peer(3);
    assert_int_equal(ask(b, &nobody, 16, &a), 0);
    assert_int_equal(ask(b, NULL, 128, &a), 5);
    assert_int_equal(ask(b, NULL, 2, &a), 2);
    kith_book_close(b);

    b = open_book(); /* and it is still there */
    assert_int_equal(ask(b, &p, 16, &a), 4);
    kith_book_close(b);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
}

static void a_peer_keeps_its_best_addresses(void **state)
{
    (void)state;
    fresh();
    kith_book *b = open_book();
    kith_peer_id p = peer(1);
    kith_maddr good = addr(1, 9);
    answer a;
    kith_book_note_addr(b, &p, &good, KITH_BOOK_DIALED, T0);
    for (unsigned i = 0; i < 3 * KITH_BOOK_ADDRS_MAX; i++) {
        kith_maddr x = addr(2 + i, 1);
        kith_book_note_addr(b, &p, &x, KITH_BOOK_IDENTIFY, T0 + i);
    }
    assert_int_equal(ask(b, &p, 128, &a), KITH_BOOK_ADDRS_MAX);
    assert_true(kith_maddr_eq(&a.rows[0].addr, &good));
    assert_int_equal(a.rows[1].seen, T0 + 3 * KITH_BOOK_ADDRS_MAX - 1);
    kith_book_close(b);
}

static int count_peers(void)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM peers", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

static void the_book_has_a_cap_and_forgets_the_stale(void **state)
{
    (void)state;
    fresh();
    kith_book *b = open_book();
    kith_maddr x = addr(1, 1);
    answer a;
    for (unsigned i = 0; i < KITH_BOOK_PEERS_MAX + 100; i++) {
        kith_peer_id p = peer(i);
        kith_book_note_addr(b, &p, &x, KITH_BOOK_IDENTIFY, T0 + i);
        if (i % 500 == 0)
            ask(b, &p, 1, &a); /* lets the queue drain */
    }
    kith_peer_id first = peer(0), last = peer(KITH_BOOK_PEERS_MAX + 99);
    assert_int_equal(ask(b, &first, 1, &a), 0);
    assert_int_equal(ask(b, &last, 1, &a), 1);
    assert_int_equal(count_peers(), KITH_BOOK_PEERS_MAX);
    kith_peer_id later = peer(9999);
    kith_book_note_addr(b, &later, &x, KITH_BOOK_IDENTIFY, T0 + 10000 + KITH_BOOK_STALE_DAYS * DAY);
    assert_int_equal(ask(b, &last, 1, &a), 0);
    assert_int_equal(ask(b, &later, 1, &a), 1);
    kith_book_close(b);
    assert_int_equal(count_peers(), 1);
}

static void a_flood_of_notes_is_cut(void **state)
{
    (void)state;
    fresh();
    kith_book *b = open_book();
    answer a;
    for (unsigned i = 0; i < 3 * KITH_BOOK_QUEUE_MAX; i++) { /* the loop does not run in between */
        kith_peer_id p = peer(i);
        kith_maddr x = addr(1, 1);
        kith_book_note_addr(b, &p, &x, KITH_BOOK_IDENTIFY, T0);
    }
    ask(b, NULL, 1, &a);
    kith_book_close(b);
    assert_in_range(count_peers(), KITH_BOOK_QUEUE_MAX, KITH_BOOK_QUEUE_MAX + 1);
}

static void a_damaged_file_is_put_aside(void **state)
{
    (void)state;
    fresh();
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is not a database ", f);
    fclose(f);
    bool damaged;
    const char *why;
    kith_book *b = kith_book_open(&loop, path, &damaged, &why);
    assert_non_null(b);
    assert_true(damaged);
    kith_peer_id p = peer(1);
    kith_maddr x = addr(1, 1);
    answer a;
    kith_book_note_addr(b, &p, &x, KITH_BOOK_MANUAL, T0);
    assert_int_equal(ask(b, &p, 1, &a), 1);
    kith_book_close(b);
    char aside[96];
    snprintf(aside, sizeof aside, "%s.damaged", path);
    assert_int_equal(access(aside, F_OK), 0);
}

static void a_newer_book_is_left_alone(void **state)
{
    (void)state;
    fresh();
    kith_book_close(open_book());
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=2", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    bool damaged;
    const char *why;
    assert_null(kith_book_open(&loop, path, &damaged, &why));
    assert_string_equal(why, "it was made by a newer kith");
}

/* Writes until it is killed, telling after each answer how far the book has come. */
static void write_until_killed(int report)
{
    uv_loop_t own;
    bool damaged;
    const char *why;
    uv_loop_init(&own);
    kith_book *b = kith_book_open(&own, path, &damaged, &why);
    if (!b || damaged)
        _exit(9);
    for (unsigned i = 0;; i++) {
        for (unsigned k = 0; k < 20; k++) {
            kith_peer_id p = peer(i);
            kith_maddr x = addr(i, (uint16_t)(1 + k));
            kith_book_note_addr(b, &p, &x, KITH_BOOK_IDENTIFY, T0 + i);
        }
        answer a = {0};
        kith_peer_id p = peer(i);
        if (kith_book_ask(b, &p, 1, on_answer, &a))
            _exit(8);
        while (!a.come)
            uv_run(&own, UV_RUN_ONCE);
        if (a.count != 1 || write(report, &i, sizeof i) != sizeof i)
            _exit(7);
    }
}

static void kill_9_loses_nothing_that_was_stored(void **state)
{
    (void)state;
    fresh();
    for (int round = 0; round < 20; round++) {
        int fds[2];
        unsigned last = 0;
        assert_int_equal(pipe(fds), 0);
        pid_t child = fork();
        if (child == 0) {
            char fd[16];
            close(fds[0]);
            snprintf(fd, sizeof fd, "%d", fds[1]);
            execl(program, program, "--write", path, fd,
                  (char *)NULL); /* anew: threads and fork do not mix */
            _exit(6);
        }
        close(fds[1]);
        for (int i = 0; i <= round % 7; i++)
            assert_int_equal(read(fds[0], &last, sizeof last), sizeof last);
        usleep((useconds_t)(round * 137 % 3000));
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        while (read(fds[0], &last, sizeof last) == sizeof last)
            ;
        close(fds[0]);
        sqlite3 *db;
        sqlite3_stmt *st;
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
        sqlite3_finalize(st);
        sqlite3_close(db);
        kith_book *b = open_book();
        answer a;
        kith_peer_id p = peer(last);
        assert_int_equal(ask(b, &p, 128, &a), KITH_BOOK_ADDRS_MAX);
        kith_book_close(b);
    }
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/peers.db", folder);
    return uv_loop_init(&loop);
}

static int tear_down(void **state)
{
    (void)state;
    fresh();
    (void)rmdir(folder);
    return uv_loop_close(&loop);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 4 && strcmp(argv[1], "--write") == 0) {
        snprintf(path, sizeof path, "%s", argv[2]);
        write_until_killed((int)strtol(argv[3], NULL, 10));
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kill_9_loses_nothing_that_was_stored),
        cmocka_unit_test(what_is_noted_is_found_best_first),
        cmocka_unit_test(a_peer_keeps_its_best_addresses),
        cmocka_unit_test(the_book_has_a_cap_and_forgets_the_stale),
        cmocka_unit_test(a_flood_of_notes_is_cut),
        cmocka_unit_test(a_damaged_file_is_put_aside),
        cmocka_unit_test(a_newer_book_is_left_alone),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
