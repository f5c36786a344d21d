/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The known peers' file: what was answered for is in it, whatever happens to the process and the disk; several processes share it. */
#include "host/trust_store.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dying_disk.h"
#include "support.h"

#define WRITES 80 /* a kill in the middle of each of the first ones */

static char folder[] = "/tmp/kith-trust-XXXXXX";
static char path[64];
static uv_loop_t loop;
static uv_prepare_t alive; /* a loop without handles runs no timers */
static const char *program;

static void on_prepare(uv_prepare_t *p)
{
    (void)p;
}

static void fresh(void)
{
    char journal[96];
    (void)snprintf(journal, sizeof journal, "%s-journal", path);
    (void)unlink(path);
    (void)unlink(journal);
}

static kith_trust *open_store(uv_loop_t *l)
{
    const char *why;
    kith_trust *t = kith_trust_open(path, &why, NULL);
    if (!t)
        fail_msg("%s", why);
    kith_trust_attach(t, l);
    return t;
}

static kith_pq_id pq_id(uint8_t n)
{
    kith_pq_id id;
    uint8_t mh[34] = {0x12, 0x20, n, n};
    assert_int_equal(kith_pq_id_parse(kith_bytes_of(mh, sizeof mh), &id), KITH_OK);
    return id;
}

static kith_err meet_with(kith_trust *t, unsigned n, uint8_t key, bool inbound)
{
    static const kith_noise_suite *suite;
    for (size_t i = 0; i < kith_noise_suite_count; i++) {
        if (kith_noise_suites[i].level == 3)
            suite = &kith_noise_suites[i];
    }
    char why[KITH_REASON_MAX];
    kith_contact c = {.peer = support_peer(n), .suite = suite, .inbound = inbound};
    if (key) {
        c.pq = pq_id(key);
        c.sig = KITH_SIG_MLDSA65;
    }
    return kith_trust_ask(t, &c, why);
}

static kith_err meet(kith_trust *t, unsigned n)
{
    return meet_with(t, n, 0, true);
}

typedef struct answer {
    bool come;
    kith_err err;
    char why[KITH_REASON_MAX];
} answer;

static void on_done(void *ctx, kith_err err, const char *why)
{
    answer *a = ctx;
    assert_false(a->come);
    a->come = true;
    a->err = err;
    (void)snprintf(a->why, sizeof a->why, "%s", why);
}

static answer edits(kith_trust *t, uv_loop_t *l, const kith_trust_edit *e, size_t n)
{
    answer a = {0};
    assert_int_equal(kith_trust_edit_all(t, e, n, on_done, &a), KITH_OK);
    assert_false(a.come);
    while (!a.come)
        uv_run(l, UV_RUN_ONCE);
    return a;
}

static answer edit(kith_trust *t, kith_trust_edit e)
{
    return edits(t, &loop, &e, 1);
}

static kith_trust_edit pin(unsigned n, const char *name)
{
    kith_trust_edit e = {
        .act = KITH_TRUST_PIN, .peer = support_peer(n), .pq = pq_id(9), .sig = KITH_SIG_MLDSA65};
    (void)snprintf(e.name, sizeof e.name, "%s", name);
    return e;
}

static const kith_trust_row *row(const kith_trust *t, unsigned n)
{
    kith_peer_id p = support_peer(n);
    return kith_trust_find(t, &p);
}

static void assert_same(const kith_trust_row *a, const kith_trust_row *b)
{
    assert_true(kith_peer_id_eq(&a->peer, &b->peer) && kith_pq_id_eq(&a->pq, &b->pq) &&
                kith_pq_id_eq(&a->former, &b->former));
    assert_string_equal(a->name, b->name);
    assert_true(a->sig == b->sig && a->how == b->how && a->pq_how == b->pq_how && a->policy == b->policy);
    assert_true(a->sequence == b->sequence && a->first == b->first && a->last == b->last);
    assert_true(a->level == b->level && a->blocked == b->blocked && a->reached == b->reached);
}

static void what_was_met_and_pinned_is_there_again(void **state)
{
    (void)state;
    fresh();
    kith_trust *t = open_store(&loop);
    struct stat st;
    assert_int_equal(stat(path, &st), -1); /* nothing to write, no file */
    assert_int_equal(meet_with(t, 1, 4, false), KITH_OK);
    assert_int_equal(meet(t, 2), KITH_OK);
    assert_non_null(row(t, 1)); /* at once */
    assert_int_equal(edit(t, pin(3, "carol")).err, KITH_OK);
    assert_int_equal(edit(t, (kith_trust_edit){.act = KITH_TRUST_BLOCK, .peer = support_peer(2)}).err,
                     KITH_OK);
    assert_int_equal(meet(t, 2), KITH_EPOLICY);
    kith_trust_row one = *row(t, 1), two = *row(t, 2), three = *row(t, 3);
    kith_trust_close(t);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);

    t = open_store(&loop);
    assert_int_equal(kith_trust_count(t), 3);
    assert_same(row(t, 1), &one);
    assert_same(row(t, 2), &two);
    assert_same(row(t, 3), &three);
    assert_true(one.reached && one.level == 3 && one.pq.len == 34 && one.first > 0);
    assert_ptr_equal(kith_trust_named(t, kith_bytes_str("CAROL")), row(t, 3));
    assert_int_equal(meet_with(t, 1, 5, true), KITH_EAUTH); /* another key */
    assert_int_equal(meet_with(t, 3, 5, true), KITH_EAUTH); /* a pin counts from the first byte */
    assert_int_equal(meet_with(t, 3, 9, true), KITH_OK);
    assert_int_equal(edit(t, (kith_trust_edit){.act = KITH_TRUST_FORGET, .peer = support_peer(1)}).err,
                     KITH_OK);
    assert_null(row(t, 1));
    assert_int_equal(meet_with(t, 1, 5, true), KITH_OK); /* as if for the first time */
    kith_trust_close(t);
    t = open_store(&loop);
    kith_pq_id five = pq_id(5);
    assert_true(kith_pq_id_eq(&row(t, 1)->pq, &five));
    kith_trust_close(t);
}

static void all_of_the_changes_or_none(void **state)
{
    (void)state;
    fresh();
    kith_trust *t = open_store(&loop);
    kith_trust_edit many[3] = {pin(1, "alice"), pin(2, "bob"), pin(3, "Alice")};
    answer a = edits(t, &loop, many, 3);
    assert_int_equal(a.err, KITH_EEXISTS);
    assert_non_null(strstr(a.why, "'Alice' is that of 12D3Koo"));
    assert_int_equal(kith_trust_count(t), 0);
    assert_int_equal(edits(t, &loop, many, 2).err, KITH_OK);
    assert_int_equal(kith_trust_count(t), 2);
    assert_int_equal(edit(t, pin(1, "ALICE")).err, KITH_OK); /* its own name */
    assert_int_equal(edit(t, (kith_trust_edit){.act = KITH_TRUST_UNBLOCK, .peer = support_peer(7)}).err,
                     KITH_ENOTFOUND);
    kith_trust_close(t);
    t = open_store(&loop);
    assert_int_equal(kith_trust_count(t), 2);
    assert_string_equal(row(t, 1)->name, "ALICE");
    kith_trust_close(t);
}

static void flush(kith_trust *t)
{
    (void)edit(t, (kith_trust_edit){.act = KITH_TRUST_UNBLOCK,
                                    .peer = support_peer(60000)}); /* behind all that is queued */
}

static void strangers_make_room_for_strangers_and_nobody_else(void **state)
{
    (void)state;
    fresh();
    kith_trust *t = open_store(&loop);
    assert_int_equal(edit(t, pin(1, "kept")).err, KITH_OK);
    assert_int_equal(edit(t, (kith_trust_edit){.act = KITH_TRUST_BLOCK, .peer = support_peer(2)}).err,
                     KITH_OK);
    assert_int_equal(meet_with(t, 3, 1, false), KITH_OK); /* one that we dialled */
    for (unsigned i = 0; i < KITH_TRUST_MET_MAX + 50; i++) {
        assert_int_equal(meet(t, 100 + i), KITH_OK);
        assert_true(kith_trust_count(t) <= KITH_TRUST_MET_MAX + 2);
        if (i == 100)
            assert_int_equal(meet(t, 100), KITH_OK); /* fresh again, so it is not among the oldest */
    }
    assert_int_equal(kith_trust_count(t), KITH_TRUST_MET_MAX + 2);
    assert_non_null(row(t, 1));
    assert_non_null(row(t, 2));
    assert_non_null(row(t, 3));
    assert_non_null(row(t, 100));
    assert_null(row(t, 101));
    assert_null(row(t, 151));
    assert_non_null(row(t, 152));
    flush(t);
    kith_trust_close(t);
    t = open_store(&loop);
    assert_int_equal(kith_trust_count(t), KITH_TRUST_MET_MAX + 2);
    assert_null(row(t, 101));
    assert_non_null(row(t, 3));
    for (unsigned i = 0; i < KITH_TRUST_MET_MAX; i++) /* whom we dialled goes last, also after a restart */
        assert_int_equal(meet(t, 10000 + i), KITH_OK);
    assert_non_null(row(t, 3));
    assert_null(row(t, 100));
    kith_trust_close(t);
}

static void even_what_people_make_has_a_cap(void **state)
{
    (void)state;
    fresh();
    kith_trust *t = open_store(&loop);
    kith_trust_edit *many = calloc(KITH_TRUST_ROWS_MAX + 1, sizeof *many);
    assert_non_null(many);
    for (unsigned i = 0; i <= KITH_TRUST_ROWS_MAX; i++) {
        many[i] = (kith_trust_edit){.act = KITH_TRUST_BLOCK, .peer = support_peer(i)};
        many[i].peer.b[20] = (uint8_t)(i >> 16);
    }
    assert_int_equal(edits(t, &loop, many, KITH_TRUST_ROWS_MAX + 1).err, KITH_ELIMIT);
    assert_int_equal(kith_trust_count(t), 0);
    assert_int_equal(edits(t, &loop, many, KITH_TRUST_ROWS_MAX).err, KITH_OK);
    assert_int_equal(edits(t, &loop, many + KITH_TRUST_ROWS_MAX, 1).err, KITH_ELIMIT);
    assert_int_equal(edits(t, &loop, many, 2).err, KITH_OK); /* they are there already */
    assert_int_equal(kith_trust_count(t), KITH_TRUST_ROWS_MAX);
    free(many);
    kith_trust_close(t);
}

/* ---- several processes ---- */

static void two_processes_share_the_file(void **state)
{
    (void)state;
    fresh();
    uv_loop_t other;
    uv_prepare_t other_alive;
    assert_int_equal(uv_loop_init(&other), 0);
    assert_int_equal(uv_prepare_init(&other, &other_alive), 0);
    assert_int_equal(uv_prepare_start(&other_alive, on_prepare), 0);
    kith_trust *a = open_store(&loop), *b = open_store(&other);
    /* Both meet somebody for the first time, with another key each: the one who writes first is right, and both know in the end. */
    assert_int_equal(meet_with(a, 1, 1, true), KITH_OK);
    assert_int_equal(meet_with(b, 1, 2, true), KITH_OK);
    answer x = edit(a, pin(2, "bob"));
    assert_int_equal(x.err, KITH_OK);
    kith_trust_edit e = {.act = KITH_TRUST_BLOCK, .peer = support_peer(3)};
    assert_int_equal(edits(b, &other, &e, 1).err, KITH_OK);
    kith_pq_id one = row(a, 1)->pq;
    assert_true(kith_pq_id_eq(&one, &row(b, 1)->pq));
    assert_non_null(row(b, 2)); /* seen while writing */
    assert_int_equal(meet(b, 2), KITH_EAUTH);
    int wait = 0;
    while (!row(a, 3) && wait++ < 50) { /* and without writing, soon */
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(100000);
    }
    assert_non_null(row(a, 3));
    assert_int_equal(meet(a, 3), KITH_EPOLICY);
    e = (kith_trust_edit){.act = KITH_TRUST_FORGET, .peer = support_peer(3)};
    assert_int_equal(edits(b, &other, &e, 1).err, KITH_OK);
    flush(a);
    assert_null(row(a, 3));
    /* A contact that one process knows of does not undo what another changed meanwhile. */
    assert_int_equal(meet_with(a, 4, 1, true), KITH_OK);
    flush(a);
    kith_trust_edit none = {.act = KITH_TRUST_UNBLOCK, .peer = support_peer(60000)};
    (void)edits(b, &other, &none, 1);
    e = (kith_trust_edit){
        .act = KITH_TRUST_KEY, .peer = support_peer(4), .pq = pq_id(2), .sig = KITH_SIG_MLDSA65};
    assert_int_equal(edits(b, &other, &e, 1).err, KITH_OK);
    assert_int_equal(meet_with(a, 4, 1, false), KITH_OK); /* does not know yet */
    flush(a);
    kith_pq_id two = pq_id(2);
    assert_true(kith_pq_id_eq(&row(a, 4)->pq, &two));
    assert_true(row(a, 4)->reached);
    assert_int_equal(meet_with(a, 4, 1, false), KITH_EAUTH);
    kith_trust_close(a);
    kith_trust_close(b);
    uv_close((uv_handle_t *)&other_alive, NULL);
    uv_run(&other, UV_RUN_NOWAIT);
    assert_int_equal(uv_loop_close(&other), 0);
}

/* ---- disks ---- */

typedef struct told {
    unsigned count;
    char last[512];
} told;

static void on_trouble(void *ctx, const char *sentence)
{
    told *t = ctx;
    t->count++;
    (void)snprintf(t->last, sizeof t->last, "%s", sentence);
}

static void set_file_size(rlim_t max)
{
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = max == RLIM_INFINITY ? r.rlim_max : max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

/* RLIMIT_FSIZE stands for a full disk here, which test/cli/test_trust.py tries for real. */
static void a_full_disk_loses_nothing_and_says_so(void **state)
{
    (void)state;
    for (int begun = 0; begun < 2; begun++) {
        fresh();
        told said = {0};
        kith_trust *t = open_store(&loop);
        kith_trust_on_trouble(t, on_trouble, &said);
        if (begun)
            assert_int_equal(edit(t, pin(1, "alice")).err, KITH_OK);
        set_file_size(0);
        for (unsigned i = 0; i < 5; i++) {
            answer a = edit(t, pin(20 + i, ""));
            assert_int_equal(a.err, KITH_EIO);
            assert_non_null(strstr(a.why, "nothing was changed"));
            assert_null(row(t, 20 + i));
        }
        assert_int_equal(meet_with(t, 2, 4, true), KITH_OK);
        assert_int_equal(meet_with(t, 2, 5, true), KITH_EAUTH); /* it counts all the same */
        assert_int_equal(said.count, 1);
        assert_non_null(strstr(said.last, path));
        assert_int_equal(kith_trust_count(t), 1u + (unsigned)begun);
        set_file_size(RLIM_INFINITY);
        for (int i = 0; i < 80 && said.count < 2; i++) { /* it tries again by itself */
            uv_run(&loop, UV_RUN_NOWAIT);
            usleep(50000);
        }
        assert_int_equal(said.count, 2);
        kith_trust_close(t);
        t = open_store(&loop);
        assert_non_null(row(t, 2));
        assert_int_equal(kith_trust_count(t), 1u + (unsigned)begun);
        if (begun) { /* and reading needs no room */
            kith_trust_close(t);
            set_file_size(0);
            t = open_store(&loop);
            assert_string_equal(row(t, 1)->name, "alice");
        }
        kith_trust_close(t);
        set_file_size(RLIM_INFINITY);
    }
}

static off_t file_size(void)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void fill(unsigned peers)
{
    fresh();
    kith_trust *t = open_store(&loop);
    for (unsigned i = 0; i < peers; i++)
        assert_int_equal(meet_with(t, i, 1, true), KITH_OK);
    flush(t);
    kith_trust_close(t);
}

/* Wherever the file is cut or written over, it is refused or complete: nobody is forgotten in silence. */
static void a_damaged_file_is_an_error_and_never_an_empty_store(void **state)
{
    (void)state;
    unsigned refused = 0;
    enum { PEERS = 200, ROUNDS = 60 };
    for (int round = 0; round < ROUNDS; round++) {
        fill(PEERS);
        off_t size = file_size();
        assert_true(size > 8 * 4096);
        FILE *f = fopen(path, "r+");
        assert_non_null(f);
        if (round % 2) {
            assert_int_equal(ftruncate(fileno(f), size * round / ROUNDS + 1), 0);
        } else {
            uint8_t junk[4096];
            memset(junk, 0xde, sizeof junk);
            assert_int_equal(fseeko(f, size / 4096 * round / ROUNDS * 4096, SEEK_SET), 0);
            assert_int_equal(fwrite(junk, 1, sizeof junk, f), sizeof junk);
        }
        (void)fclose(f);
        const char *why;
        kith_trust *t = kith_trust_open(path, &why, NULL);
        if (t) {
            assert_int_equal(kith_trust_count(t), PEERS);
            kith_trust_close(t);
        } else {
            assert_true(why && strlen(why) > 4);
            refused++;
        }
        assert_int_equal(access(path, F_OK), 0); /* and it is left alone */
    }
    print_message("%u of %d refused\n", refused, ROUNDS);
    assert_true(refused > ROUNDS * 3 / 4);
}

/* SQLite takes a transaction back by itself when the disk is full, but not when a statement fails. */
static void a_write_that_fails_half_way_is_taken_back(void **state)
{
    (void)state;
    fresh();
    kith_trust *t = open_store(&loop);
    assert_int_equal(edit(t, pin(1, "alice")).err, KITH_OK);
    support_sql(
        path,
        "CREATE TRIGGER no BEFORE INSERT ON peers WHEN NEW.name = 'carol' BEGIN SELECT RAISE(ABORT, 'no'); END");
    const kith_trust_edit two[] = {pin(2, "bob"), pin(3, "carol")};
    assert_int_equal(edits(t, &loop, two, 2).err, KITH_EIO);
    assert_true(!row(t, 2) && !row(t, 3));
    support_sql(path, "DROP TRIGGER no"); /* nobody is in the middle of a transaction */
    assert_int_equal(edit(t, pin(2, "bob")).err, KITH_OK);
    kith_trust_close(t);
    t = open_store(&loop);
    assert_true(row(t, 1) && row(t, 2) && !row(t, 3));
    kith_trust_close(t);
}

static void rows_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"UPDATE peers SET how = 3",
                                        "UPDATE peers SET blocked = -1",
                                        "UPDATE peers SET id = x'00'",
                                        "UPDATE peers SET pq = x'1220'",
                                        "UPDATE peers SET name = 'two words'",
                                        "UPDATE peers SET level = 6",
                                        "UPDATE peers SET last = -5",
                                        "PRAGMA user_version = 2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fill(1);
        support_sql(path, wrong[i]);
        const char *why;
        assert_null(kith_trust_open(path, &why, NULL));
        assert_non_null(why);
    }
    assert_int_equal(access(path, F_OK), 0);
}

static void one_that_another_holds_is_not_damaged(void **state)
{
    (void)state;
    fill(1);
    sqlite3 *other;
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(other, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    const char *why;
    bool in_use = false;
    assert_null(kith_trust_open(path, &why, &in_use));
    assert_true(in_use);
    assert_string_equal(why, "another process holds it");
    sqlite3_close(other);
    kith_trust *t = kith_trust_open(path, &why, &in_use);
    assert_non_null(t);
    assert_false(in_use);
    kith_trust_close(t);
}

/* ---- a process that dies in the middle of its nth write to the disk ---- */

static void write_until_killed(int report, long nth)
{
    uv_loop_t own;
    die_at_write(nth);
    uv_loop_init(&own);
    kith_trust *t = open_store(&own);
    for (unsigned i = 0;; i++) {
        kith_trust_edit e = pin(i, "");
        if (meet_with(t, 5000 + i, 1, true) || edits(t, &own, &e, 1).err)
            _exit(8);
        if (write(report, &i, sizeof i) != sizeof i)
            _exit(7);
    }
}

static void let_one_write_and_die(long nth, unsigned *stored)
{
    int fds[2], status;
    char fd[16], at[16];
    unsigned last;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)close(fds[0]);
        (void)snprintf(fd, sizeof fd, "%d", fds[1]);
        (void)snprintf(at, sizeof at, "%ld", nth);
        execl(program, program, "--write", path, fd, at, (char *)NULL);
        _exit(6);
    }
    (void)close(fds[1]);
    while (read(fds[0], &last, sizeof last) == sizeof last)
        *stored = last + 1;
    (void)close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void kill_9_in_the_middle_of_any_write_loses_nothing_that_was_answered_for(void **state)
{
    (void)state;
    unsigned most = 0;
    for (long nth = 1; nth <= WRITES; nth++) {
        unsigned stored = 0;
        fresh();
        let_one_write_and_die(nth, &stored);
        kith_trust *t = open_store(&loop);
        for (unsigned i = 0; i < stored; i++) {
            assert_non_null(row(t, i));
            assert_int_equal(row(t, i)->how, KITH_TRUST_PINNED);
            assert_non_null(row(t, 5000 + i)); /* noted before it, so stored before it */
        }
        kith_trust_close(t);
        most = stored > most ? stored : most;
    }
    print_message("up to %u peers stored\n", most);
    assert_true(most > 1);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/trust.db", folder);
    return uv_loop_init(&loop) || uv_prepare_init(&loop, &alive) || uv_prepare_start(&alive, on_prepare);
}

static int tear_down(void **state)
{
    (void)state;
    fresh();
    (void)rmdir(folder);
    uv_close((uv_handle_t *)&alive, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
    return uv_loop_close(&loop);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 5 && strcmp(argv[1], "--write") == 0) {
        (void)snprintf(path, sizeof path, "%s", argv[2]);
        write_until_killed((int)strtol(argv[3], NULL, 10), strtol(argv[4], NULL, 10));
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kill_9_in_the_middle_of_any_write_loses_nothing_that_was_answered_for),
        cmocka_unit_test(what_was_met_and_pinned_is_there_again),
        cmocka_unit_test(all_of_the_changes_or_none),
        cmocka_unit_test(strangers_make_room_for_strangers_and_nobody_else),
        cmocka_unit_test(even_what_people_make_has_a_cap),
        cmocka_unit_test(two_processes_share_the_file),
        cmocka_unit_test(a_full_disk_loses_nothing_and_says_so),
        cmocka_unit_test(a_damaged_file_is_an_error_and_never_an_empty_store),
        cmocka_unit_test(a_write_that_fails_half_way_is_taken_back),
        cmocka_unit_test(rows_that_cannot_be_are_refused),
        cmocka_unit_test(one_that_another_holds_is_not_damaged),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
