/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The peer book: what is noted is found again, within its caps, also after kill -9 in the middle of writing. */
#include "host/book.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dying_disk.h"
#include "support.h"

#define DAY 86400u
#define T0 1800000000u
#define KILLS 60  /* at random moments */
#define WRITES 80 /* and in the middle of each of the first writes */

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
    kith_peer_id p = support_peer(1), q = support_peer(2);
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
    kith_peer_id nobody = support_peer(3);
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
    kith_peer_id p = support_peer(1);
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

static void miss(kith_book *b, const kith_peer_id *p, const kith_maddr *a, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        kith_book_note_missed(b, p, a);
}

/* It fails again and again, and the peer is met elsewhere: an address that is no longer good. When the peer is met nowhere, it may be away, or
 * we are without a network. */
static void an_address_that_fails_while_its_peer_is_met_elsewhere_is_forgotten(void **state)
{
    (void)state;
    fresh();
    kith_book *b = open_book();
    kith_peer_id p = support_peer(1), q = support_peer(2);
    kith_maddr bad = addr(1, 1), good = addr(2, 1), unknown = addr(3, 1);
    answer a;
    kith_book_note_addr(b, &p, &bad, KITH_BOOK_MANUAL, T0);
    kith_book_note_addr(b, &p, &good, KITH_BOOK_IDENTIFY, T0);
    kith_book_note_addr(b, &q, &bad, KITH_BOOK_MANUAL, T0);
    assert_int_equal(ask(b, &p, 16, &a), 2);
    assert_true(kith_maddr_eq(&a.rows[0].addr, &bad));
    miss(b, &p, &bad, 3);
    assert_int_equal(ask(b, &p, 16, &a), 2);
    assert_true(kith_maddr_eq(&a.rows[0].addr, &good)); /* it is tried last now */
    miss(b, &p, &bad, 20);
    miss(b, &p, &unknown, 1);
    miss(b, &q, &bad, 20);
    assert_int_equal(ask(b, NULL, 16, &a), 3);
    support_sql(path, "UPDATE peers SET succeeded = 1800000000 + 7 * 86400");
    miss(b, &p, &bad, 1);
    assert_int_equal(ask(b, &p, 16, &a), 2); /* a week, and not a second more */
    support_sql(path,
                "UPDATE peers SET succeeded = succeeded + 1; UPDATE addrs SET failed = 6 WHERE failed > 3");
    miss(b, &p, &bad, 1);
    assert_int_equal(ask(b, &p, 16, &a), 2);
    miss(b, &p, &bad, 1);
    assert_int_equal(ask(b, &p, 16, &a), 1);
    assert_true(kith_maddr_eq(&a.rows[0].addr, &good));
    assert_int_equal(ask(b, &q, 16, &a), 1); /* that is another peer */
    kith_book_close(b);
}

/* The first number that a question to the file itself gives. */
static int number(sqlite3 *db, const char *question)
{
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_prepare_v2(db, question, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return n;
}

static int count_peers(void)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    int n = number(db, "SELECT count(*) FROM peers");
    sqlite3_close(db);
    return n;
}

static void nothing(uv_timer_t *t)
{
    (void)t;
}

static void notes_in_quick_succession_share_a_transaction(void **state)
{
    (void)state;
    enum { NOTES = 200 };
    fresh();
    kith_book *b = open_book();
    uv_timer_t beat; /* what the sockets of a host are to its loop */
    uv_timer_init(&loop, &beat);
    uv_timer_start(&beat, nothing, 1, 1);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    kith_maddr x = addr(1, 1);
    int there = 0, first = 0, writes = 0;
    uv_update_time(&loop);
    uint64_t begin = uv_now(&loop);
    for (unsigned i = 0; there < NOTES; i++) {
        kith_peer_id p = support_peer(i);
        if (i < NOTES)
            kith_book_note_addr(b, &p, &x, KITH_BOOK_IDENTIFY, T0);
        uv_run(&loop, UV_RUN_ONCE);
        int n = number(db, "SELECT count(*) FROM peers");
        writes += n > there;
        there = n;
        if (writes == 1 && !first)
            first = n;
        assert_true(uv_now(&loop) < begin + 20000);
    }
    assert_true(first < NOTES); /* the first did not wait for the others */
    assert_in_range(writes, 2, 2 + (uv_now(&loop) - begin) / 100);
    sqlite3_close(db);

    for (unsigned i = NOTES; i < NOTES + 2; i++) {
        kith_peer_id p = support_peer(i);
        kith_book_note_addr(b, &p, &x, KITH_BOOK_IDENTIFY, T0);
    }
    kith_book_close(b); /* waits for nobody */
    assert_int_equal(count_peers(), NOTES + 2);
    uv_close((uv_handle_t *)&beat, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
}

static void the_book_has_a_cap_and_forgets_the_stale(void **state)
{
    (void)state;
    fresh();
    kith_book *b = open_book();
    kith_maddr x = addr(1, 1);
    answer a;
    for (unsigned i = 0; i < KITH_BOOK_PEERS_MAX + 100; i++) {
        kith_peer_id p = support_peer(i);
        kith_book_note_addr(b, &p, &x, KITH_BOOK_IDENTIFY, T0 + i);
        if (i % 500 == 0)
            ask(b, &p, 1, &a); /* lets the queue drain */
    }
    kith_peer_id first = support_peer(0), last = support_peer(KITH_BOOK_PEERS_MAX + 99);
    assert_int_equal(ask(b, &first, 1, &a), 0);
    assert_int_equal(ask(b, &last, 1, &a), 1);
    assert_int_equal(count_peers(), KITH_BOOK_PEERS_MAX);
    kith_peer_id later = support_peer(9999);
    kith_book_note_addr(b, &later, &x, KITH_BOOK_IDENTIFY, T0 + 10000 + KITH_BOOK_STALE_DAYS * DAY);
    assert_int_equal(ask(b, &last, 1, &a), 0);
    assert_int_equal(ask(b, &later, 1, &a), 1);
    kith_book_close(b);
    assert_int_equal(count_peers(), 1);
}

static void on_edited(void *ctx, kith_err err, const char *why)
{
    if (err)
        fail_msg("%s", why);
    *(bool *)ctx = true;
}

static void edit(kith_trust *t, unsigned peer, kith_trust_act act, const char *name)
{
    kith_trust_edit e = {.act = act, .peer = support_peer(peer), .policy = KITH_TRUST_REQUIRE};
    bool done = false;
    memcpy(e.name, name, strlen(name) + 1);
    assert_int_equal(kith_trust_edit_all(t, &e, 1, on_edited, &done), KITH_OK);
    while (!done)
        uv_run(&loop, UV_RUN_ONCE);
}

/* So many peers after each other, none seen before; the last of them is in the book when this returns. */
static void crowd(kith_book *b, unsigned *next, unsigned count, kith_book_source source)
{
    kith_maddr x = addr(1, 1);
    answer a;
    for (unsigned i = 0; i < count; i++, ++*next) {
        kith_peer_id p = support_peer(*next);
        kith_book_note_addr(b, &p, &x, source, T0 + *next);
        if (i % 500 == 0 || i + 1 == count)
            assert_int_equal(ask(b, &p, 1, &a), 1);
    }
}

static bool in_book(kith_book *b, unsigned n)
{
    kith_peer_id p = support_peer(n);
    answer a;
    return ask(b, &p, 1, &a) > 0;
}

/* Beside the book. */
static kith_trust *open_trust(char trust_path[96])
{
    const char *why;
    snprintf(trust_path, 96, "%s.trust", path);
    kith_trust *t = kith_trust_open(trust_path, &why, NULL);
    assert_non_null(t);
    kith_trust_attach(t, &loop);
    return t;
}

/* Contacts are the oldest here, and what is new are strangers. */
static void a_crowd_of_strangers_pushes_out_strangers_and_nobody_else(void **state)
{
    (void)state;
    enum { PINNED, NAMED, BLOCKED, VERIFIED, POLICED, INVITED, CALLED, STRANGER, CROWD };
    char trust_path[96];
    fresh();
    kith_trust *t = open_trust(trust_path);
    kith_book *b = open_book();
    kith_book_heed(b, t);
    edit(t, PINNED, KITH_TRUST_PIN, "");
    edit(t, NAMED, KITH_TRUST_RENAME, "alice");
    edit(t, BLOCKED, KITH_TRUST_BLOCK, "");
    edit(t, VERIFIED, KITH_TRUST_VERIFY, "");
    kith_maddr x = addr(1, 1);
    for (unsigned i = 0; i < CROWD; i++) {
        kith_peer_id p = support_peer(i);
        kith_book_note_addr(b, &p, &x,
                            i == INVITED  ? KITH_BOOK_TICKET
                            : i == CALLED ? KITH_BOOK_DIALED
                                          : KITH_BOOK_IDENTIFY,
                            T0);
    }
    unsigned next = CROWD;
    crowd(b, &next, KITH_BOOK_PEERS_MAX - CROWD, KITH_BOOK_IDENTIFY); /* at the cap */
    assert_true(in_book(b, STRANGER));
    edit(t, POLICED, KITH_TRUST_SET_POLICY, ""); /* what is decided now counts now */
    crowd(b, &next, 1, KITH_BOOK_IDENTIFY);      /* and past it */
    assert_false(in_book(b, STRANGER));
    crowd(b, &next, KITH_BOOK_PEERS_MAX, KITH_BOOK_IDENTIFY);
    for (unsigned i = PINNED; i <= CALLED; i++)
        assert_true(in_book(b, i));
    assert_false(in_book(b, CROWD));
    /* Strangers whom a DHT made us call go before contacts still. */
    crowd(b, &next, KITH_BOOK_PEERS_MAX, KITH_BOOK_DIALED);
    for (unsigned i = PINNED; i <= POLICED; i++)
        assert_true(in_book(b, i));
    assert_false(in_book(b, CALLED));
    edit(t, PINNED, KITH_TRUST_FORGET, "");
    crowd(b, &next, 1, KITH_BOOK_DIALED);
    assert_false(in_book(b, PINNED));
    assert_true(in_book(b, NAMED));
    kith_book_close(b);
    kith_trust_close(t);
    (void)unlink(trust_path);
    assert_int_equal(count_peers(), KITH_BOOK_PEERS_MAX);
}

/* Who spoke this when it was met, as an observed connection would note it. */
static void say_spoken(unsigned peer, const char *protocols)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    kith_peer_id p = support_peer(peer);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "UPDATE peers SET protocols = ?2 WHERE id = ?1", -1, &st, NULL),
                     SQLITE_OK);
    sqlite3_bind_blob(st, 1, p.b, p.len, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, protocols, -1, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(st), SQLITE_DONE);
    sqlite3_finalize(st);
    sqlite3_close(db);
}

static size_t ask_contacts(kith_book *b, size_t peers, answer *a)
{
    *a = (answer){0};
    assert_int_equal(kith_book_ask_contacts(b, "/test/it", peers, on_answer, a), KITH_OK);
    while (!a->come)
        uv_run(&loop, UV_RUN_ONCE);
    return a->count;
}

static void contacts_are_those_that_a_person_has_to_do_with(void **state)
{
    (void)state;
    enum { NAMED, BLOCKED, NOWHERE, TYPED, INVITED, CALLED, SPOKE, CAME, END };
    static const kith_book_source sources[END] = {[TYPED] = KITH_BOOK_MANUAL,
                                                  [INVITED] = KITH_BOOK_TICKET,
                                                  [CALLED] = KITH_BOOK_DIALED,
                                                  [SPOKE] = KITH_BOOK_DIALED};
    static const unsigned order[] = {BLOCKED, NAMED, SPOKE, INVITED, TYPED}; /* the last seen first */
    char trust_path[96];
    answer a;
    fresh();
    kith_trust *t = open_trust(trust_path);
    kith_book *b = open_book();
    kith_maddr one = addr(1, 1), two = addr(2, 1);
    for (unsigned i = 0; i < END; i++) {
        kith_peer_id p = support_peer(i);
        if (i == NOWHERE)
            continue;
        kith_book_note_addr(b, &p, &one, sources[i], T0 + i);
        kith_book_note_addr(b, &p, &two, sources[i], T0 + i);
    }
    assert_int_equal(ask(b, NULL, 128, &a), 2 * (END - 1));
    kith_book_close(b);
    say_spoken(CALLED, "/test/other\n");
    say_spoken(SPOKE, "/test/other\n/test/it/2\n");
    say_spoken(CAME, "/test/it/2\n");
    b = open_book();
    kith_book_heed(b, t);
    edit(t, NAMED, KITH_TRUST_RENAME, "alice");
    edit(t, BLOCKED, KITH_TRUST_BLOCK, "");
    edit(t, NOWHERE, KITH_TRUST_RENAME, "bob");
    for (size_t max = 1; max <= END; max++) {
        size_t n = max < 5 ? max : 5;
        assert_int_equal(ask_contacts(b, max, &a), 2 * n);
        for (size_t i = 0; i < 2 * n; i++) {
            kith_peer_id p = support_peer(order[i / 2]);
            assert_true(kith_peer_id_eq(&a.rows[i].peer, &p));
        }
    }
    edit(t, NAMED, KITH_TRUST_FORGET, ""); /* what is decided now counts now */
    assert_int_equal(ask_contacts(b, END, &a), 8);
    kith_book_close(b);
    kith_trust_close(t);
    (void)unlink(trust_path);
}

static void a_flood_of_notes_is_cut(void **state)
{
    (void)state;
    fresh();
    kith_book *b = open_book();
    answer a;
    for (unsigned i = 0; i < 3 * KITH_BOOK_QUEUE_MAX; i++) { /* the loop does not run in between */
        kith_peer_id p = support_peer(i);
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
    kith_peer_id p = support_peer(1);
    kith_maddr x = addr(1, 1);
    answer a;
    kith_book_note_addr(b, &p, &x, KITH_BOOK_MANUAL, T0);
    assert_int_equal(ask(b, &p, 1, &a), 1);
    kith_book_close(b);
    char aside[96];
    snprintf(aside, sizeof aside, "%s.damaged", path);
    assert_int_equal(access(aside, F_OK), 0);
}

typedef struct told {
    unsigned count;
    char last[512];
} told;

static void on_trouble(void *ctx, const char *sentence)
{
    told *t = ctx;
    t->count++;
    snprintf(t->last, sizeof t->last, "%s", sentence);
}

static off_t book_size(void)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

/* A book of some hundred peers, closed in good order, so that all of it is in the one file. */
static void fill_book(unsigned peers)
{
    fresh();
    kith_book *b = open_book();
    answer a;
    for (unsigned i = 0; i < peers; i++) {
        kith_peer_id p = support_peer(i);
        for (uint16_t k = 0; k < 4; k++) {
            kith_maddr x = addr(i, (uint16_t)(k + 1));
            kith_book_note_addr(b, &p, &x, KITH_BOOK_IDENTIFY, T0 + i);
        }
        ask(b, &p, 1, &a);
    }
    kith_book_close(b);
}

/* A constraint that the rows break, as after a page was written over: SQLite says only that the write is not allowed. */
static void damage_that_looks_like_a_broken_constraint_is_found(void **state)
{
    (void)state;
    fill_book(3);
    support_sql(
        path,
        "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = replace(sql, 'pq INTEGER NOT NULL DEFAULT 0',"
        " 'pq INTEGER NOT NULL DEFAULT 0 CHECK(pq > 1)') WHERE name = 'peers'");
    bool damaged;
    const char *why;
    told t = {0};
    answer a;
    kith_book *b = kith_book_open(&loop, path, &damaged, &why);
    assert_non_null(b);
    assert_false(damaged); /* it opens */
    kith_book_on_trouble(b, on_trouble, &t);
    kith_peer_id p = support_peer(1000);
    kith_maddr x = addr(1, 9);
    kith_book_note_addr(b, &p, &x, KITH_BOOK_MANUAL, T0);
    assert_int_equal(ask(b, &p, 16, &a), 1); /* what could not be noted is in the new one */
    assert_int_equal(t.count, 1);
    assert_non_null(strstr(t.last, "was damaged; it is now"));
    kith_book_close(b);
    assert_int_equal(count_peers(), 1);
}

/* Wherever the file is cut, or a page of it is overwritten: it is opened, or put aside; either way a book is there, and it is sound. */
static void any_damage_to_the_file_leaves_a_book_that_works(void **state)
{
    (void)state;
    fill_book(200);
    off_t size = book_size();
    assert_true(size > 16 * 4096);
    unsigned at_once = 0, later = 0, cuts = 0;
    for (int round = 0; round < 60; round++) {
        fill_book(40 + (unsigned)round);
        size = book_size();
        FILE *f = fopen(path, "r+");
        assert_non_null(f);
        if (round % 2) {
            assert_int_equal(ftruncate(fileno(f), size * round / 60 + round), 0);
            cuts++;
        } else {
            static const uint8_t junk[512] = {0xde, 0xad};
            assert_int_equal(fseeko(f, size * round / 60, SEEK_SET), 0);
            assert_int_equal(fwrite(junk, 1, sizeof junk, f), sizeof junk);
        }
        fclose(f);
        bool damaged;
        const char *why;
        told t = {0};
        answer a;
        kith_book *b = kith_book_open(&loop, path, &damaged, &why);
        assert_non_null(b);
        kith_book_on_trouble(b, on_trouble, &t);
        at_once += damaged;
        for (unsigned i = 0; i < 120; i++) { /* every page is needed */
            kith_peer_id p = support_peer(i);
            kith_maddr x = addr(i, 9);
            kith_book_note_addr(b, &p, &x, KITH_BOOK_MANUAL, T0 + i);
            ask(b, NULL, 128, &a);
        }
        if (t.count > 0) {
            assert_int_equal(t.count, 1);
            assert_non_null(strstr(t.last, "was damaged; it is now"));
            later++;
        }
        kith_peer_id p = support_peer(119); /* the last one noted */
        assert_in_range(ask(b, &p, 16, &a), 1, 5);
        kith_book_close(b);
        if (damaged || t.count) {
            char aside[96];
            snprintf(aside, sizeof aside, "%s.damaged", path);
            assert_int_equal(access(aside, F_OK), 0);
            assert_true(count_peers() > 0);
        }
    }
    print_message("%u cut, %u written over: %u found at once, %u when they were needed\n", cuts, 60 - cuts,
                  at_once, later);
    assert_true(at_once > 0 && later > 0);
}

/* RLIMIT_FSIZE stands for a full disk here, which test/cli/test_disk.py tries for real. */
static void a_disk_that_takes_no_more_is_told_once_and_so_is_its_recovery(void **state)
{
    (void)state;
    fill_book(50);
    struct rlimit was, small;
    told t = {0};
    answer a;
    kith_book *b = open_book();
    kith_book_on_trouble(b, on_trouble, &t);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    kith_peer_id p = support_peer(1000), known = support_peer(7);
    kith_maddr x = addr(1, 1);
    for (int i = 0; i < 20; i++) {
        kith_book_note_addr(b, &p, &x, KITH_BOOK_MANUAL, T0 + 1000);
        assert_int_equal(ask(b, &p, 16, &a), 0);     /* lost */
        assert_int_equal(ask(b, &known, 16, &a), 4); /* and what was stored is still there */
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(t.count, 1);
    assert_non_null(strstr(t.last, path));
    assert_non_null(strstr(t.last, "cannot be written"));
    kith_book_note_addr(b, &p, &x, KITH_BOOK_MANUAL, T0 + 1000);
    assert_int_equal(ask(b, &p, 16, &a), 1);
    assert_int_equal(t.count, 2);
    assert_non_null(strstr(t.last, "can be written again"));
    kith_book_close(b);
    assert_int_equal(count_peers(), 51);
}

/* SQLite takes a transaction back by itself when the disk is full, but not when a statement fails: here the peer is in, and its address is
 * refused. */
static void a_write_that_fails_half_way_is_taken_back(void **state)
{
    (void)state;
    fill_book(5);
    answer a;
    kith_book *b = open_book();
    kith_peer_id p = support_peer(1000);
    kith_maddr x = addr(1, 1);
    support_sql(path, "CREATE TRIGGER no BEFORE INSERT ON addrs BEGIN SELECT RAISE(ABORT, 'no'); END");
    kith_book_note_addr(b, &p, &x, KITH_BOOK_MANUAL, T0 + 1000);
    assert_int_equal(ask(b, &p, 16, &a), 0);
    assert_int_equal(count_peers(), 5);
    support_sql(path, "DROP TRIGGER no"); /* nobody is in the middle of a transaction */
    kith_book_note_addr(b, &p, &x, KITH_BOOK_MANUAL, T0 + 1000);
    assert_int_equal(ask(b, &p, 16, &a), 1);
    kith_book_close(b);
    assert_int_equal(count_peers(), 6);
}

static void a_newer_book_is_left_alone(void **state)
{
    (void)state;
    fresh();
    kith_book_close(open_book());
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    bool damaged;
    const char *why;
    assert_null(kith_book_open(&loop, path, &damaged, &why));
    assert_string_equal(why, "it was made by a newer kith");
}

/* ---- a process that dies in the middle of its nth write to the disk ---- */

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
            kith_peer_id p = support_peer(i);
            kith_maddr x = addr(i, (uint16_t)(1 + k));
            kith_book_note_addr(b, &p, &x, KITH_BOOK_IDENTIFY, T0 + i);
        }
        answer a = {0};
        kith_peer_id p = support_peer(i);
        if (kith_book_ask(b, &p, 1, on_answer, &a))
            _exit(8);
        while (!a.come)
            uv_run(&own, UV_RUN_ONCE);
        if (a.count != 1 || write(report, &i, sizeof i) != sizeof i)
            _exit(7);
    }
}

/* How many of the first `count` peers have all their addresses. */
static unsigned whole_peers(sqlite3 *db, unsigned count)
{
    sqlite3_stmt *st;
    unsigned whole = 0;
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM addrs WHERE peer = ?1", -1, &st, NULL),
                     SQLITE_OK);
    for (unsigned i = 0; i < count; i++) {
        kith_peer_id p = support_peer(i);
        kith_bytes id = kith_peer_id_bytes(&p);
        sqlite3_bind_blob(st, 1, id.p, (int)id.len, SQLITE_STATIC);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        whole += sqlite3_column_int(st, 0) == KITH_BOOK_ADDRS_MAX;
        sqlite3_reset(st);
    }
    sqlite3_finalize(st);
    return whole;
}

/* Runs a writer until it is dead, and takes down how many peers it had an answer for. nth: the write in which it dies; 0: it is killed from
 * here, some time after it has told a few. */
static void let_one_write_and_die(long nth, unsigned *stored)
{
    int fds[2], status;
    unsigned last;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        char fd[16], at[24];
        close(fds[0]);
        snprintf(fd, sizeof fd, "%d", fds[1]);
        snprintf(at, sizeof at, "%ld", nth);
        execl(program, program, "--write", path, fd, at,
              (char *)NULL); /* anew: threads and fork do not mix */
        _exit(6);
    }
    close(fds[1]);
    for (long i = random() % 8; i >= 0 && nth == 0; i--) {
        assert_int_equal(read(fds[0], &last, sizeof last), sizeof last);
        *stored = last + 1 > *stored ? last + 1 : *stored;
    }
    if (nth == 0) {
        usleep((useconds_t)(random() % 5000));
        kill(child, SIGKILL);
    }
    while (read(fds[0], &last, sizeof last) == sizeof last)
        *stored = last + 1 > *stored ? last + 1 : *stored;
    close(fds[0]);
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* The file is sound, and everything that was ever answered for is in it. */
static void check_after_kill(unsigned stored)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
    sqlite3_finalize(st);
    assert_int_equal(stored ? whole_peers(db, stored) : 0, stored);
    sqlite3_close(db);
    kith_book *b = open_book();
    answer a;
    kith_peer_id p = support_peer(stored ? stored - 1 : 0);
    if (stored)
        assert_int_equal(ask(b, &p, 128, &a), KITH_BOOK_ADDRS_MAX);
    kith_book_close(b);
}

static void kill_9_loses_nothing_that_was_stored(void **state)
{
    (void)state;
    unsigned stored = 0;
    fresh();
    srandom((unsigned)getpid());
    print_message("seed %u\n", (unsigned)getpid());
    for (int round = 0; round < KILLS; round++) {
        let_one_write_and_die(0, &stored);
        check_after_kill(stored);
    }
    print_message("%u peers in the book\n", stored);
}

static void kill_9_in_the_middle_of_any_write_loses_nothing_that_was_stored(void **state)
{
    (void)state;
    for (long nth = 1; nth <= WRITES; nth++) {
        unsigned stored = 0;
        fresh();
        let_one_write_and_die(nth, &stored);
        check_after_kill(stored);
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

static kith_bytes record_of(const kith_signer *s, const char *name, uint64_t seq)
{
    static uint8_t b[KITH_PEER_INFO_MAX];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    kith_peer_info info = {.seq = seq, .time = T0 + seq, .name = kith_bytes_str(name)};
    assert_int_equal(kith_peer_info_seal(s, &info, &w), KITH_OK);
    return kith_wr_bytes(&w);
}

static void a_record_is_kept_and_only_a_newer_one_takes_its_place(void **state)
{
    (void)state;
    fresh();
    uint8_t seed[KITH_ED25519_SEED_LEN] = {3};
    kith_signer *s = kith_signer_new(seed);
    kith_peer_info info;
    kith_peer_id p, q = support_peer(2);
    assert_int_equal(kith_peer_info_read(record_of(s, "ann", 5), &info), KITH_OK);
    p = info.peer;
    kith_book *b = open_book();
    kith_maddr a1 = addr(1, 1);
    answer a;
    kith_book_note_addr(b, &p, &a1, KITH_BOOK_MANUAL, T0);
    kith_book_note_info(b, &p, record_of(s, "ann", 5), T0 + 1);
    kith_book_note_info(b, &p, record_of(s, "old", 4), T0 + 2);
    kith_book_note_info(b, &q, record_of(s, "ann", 9), T0 + 2); /* of somebody else */
    assert_int_equal(ask(b, NULL, 16, &a), 1);
    assert_string_equal(a.rows[0].self_name, "ann");
    assert_int_equal(a.rows[0].info_time, T0 + 5);
    assert_int_equal(a.rows[0].peer_seen, T0 + 2);
    kith_book_note_info(b, &p, record_of(s, "new", 6), T0 + 3);
    assert_int_equal(ask(b, &p, 16, &a), 1);
    assert_string_equal(a.rows[0].self_name, "new");
    kith_book_close(b);
    b = open_book();
    assert_int_equal(ask(b, &p, 16, &a), 1);
    assert_string_equal(a.rows[0].self_name, "new");
    kith_book_close(b);
    kith_signer_free(s);
}

/* As the first version made it. */
static void a_book_of_version_1_is_taken_over(void **state)
{
    (void)state;
    static const char old[] =
        "CREATE TABLE peers(id BLOB PRIMARY KEY, agent TEXT NOT NULL DEFAULT '', protocols TEXT NOT NULL DEFAULT '',"
        " first_seen INTEGER NOT NULL, seen INTEGER NOT NULL, succeeded INTEGER NOT NULL DEFAULT 0,"
        " pq INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID; CREATE INDEX peers_by_age ON peers(seen);"
        "CREATE TABLE addrs(peer BLOB NOT NULL REFERENCES peers(id) ON DELETE CASCADE, addr BLOB NOT NULL,"
        " source INTEGER NOT NULL, first_seen INTEGER NOT NULL, seen INTEGER NOT NULL,"
        " succeeded INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(peer, addr)) WITHOUT ROWID; PRAGMA user_version=1;";
    fresh();
    sqlite3 *db;
    sqlite3_stmt *st;
    kith_peer_id p = support_peer(1);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, old, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "INSERT INTO peers(id, agent, first_seen, seen) VALUES(?1, 'x', 1, 2)", -1,
                           &st, NULL),
        SQLITE_OK);
    sqlite3_bind_blob(st, 1, p.b, p.len, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(st), SQLITE_DONE);
    sqlite3_finalize(st);
    sqlite3_close(db);
    kith_book *b = open_book();
    answer a;
    assert_int_equal(ask(b, NULL, 16, &a), 1);
    assert_string_equal(a.rows[0].agent, "x");
    assert_string_equal(a.rows[0].self_name, "");
    kith_book_close(b);
    kith_book_close(open_book()); /* and once is enough */
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 5 && strcmp(argv[1], "--write") == 0) {
        long nth = strtol(argv[4], NULL, 10);
        snprintf(path, sizeof path, "%s", argv[2]);
        if (nth)
            die_at_write(nth);
        write_until_killed((int)strtol(argv[3], NULL, 10));
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kill_9_loses_nothing_that_was_stored),
        cmocka_unit_test(kill_9_in_the_middle_of_any_write_loses_nothing_that_was_stored),
        cmocka_unit_test(what_is_noted_is_found_best_first),
        cmocka_unit_test(a_peer_keeps_its_best_addresses),
        cmocka_unit_test(an_address_that_fails_while_its_peer_is_met_elsewhere_is_forgotten),
        cmocka_unit_test(the_book_has_a_cap_and_forgets_the_stale),
        cmocka_unit_test(notes_in_quick_succession_share_a_transaction),
        cmocka_unit_test(a_crowd_of_strangers_pushes_out_strangers_and_nobody_else),
        cmocka_unit_test(contacts_are_those_that_a_person_has_to_do_with),
        cmocka_unit_test(a_flood_of_notes_is_cut),
        cmocka_unit_test(a_damaged_file_is_put_aside),
        cmocka_unit_test(damage_that_looks_like_a_broken_constraint_is_found),
        cmocka_unit_test(any_damage_to_the_file_leaves_a_book_that_works),
        cmocka_unit_test(a_disk_that_takes_no_more_is_told_once_and_so_is_its_recovery),
        cmocka_unit_test(a_write_that_fails_half_way_is_taken_back),
        cmocka_unit_test(a_newer_book_is_left_alone),
        cmocka_unit_test(a_record_is_kept_and_only_a_newer_one_takes_its_place),
        cmocka_unit_test(a_book_of_version_1_is_taken_over),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
