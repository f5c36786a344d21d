/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The messages' file: what it answered for is in it, the caps at the cap, and a full or damaged disk. */
#include "host/message_store.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mesh/replay.h"
#include "support.h"

static char folder[] = "/tmp/kith-messages-XXXXXX";
static char path[64];
static uv_loop_t loop;
static const uint64_t noon = 1800000000000u; /* ms */
static uint8_t bytes[1u << 20];

static void fresh(void)
{
    static const char *const parts[] = {"", "-wal", "-shm", ".damaged", ".damaged-wal", ".damaged-shm"};
    char name[96];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, parts[i]);
        (void)unlink(name);
    }
}

static kith_message_store *open_store(void)
{
    const char *why;
    bool damaged;
    kith_message_store *s = kith_message_store_open(&loop, path, &damaged, &why);
    if (!s)
        fail_msg("%s", why);
    assert_false(damaged);
    return s;
}

static kith_message message(unsigned source, uint32_t id, uint64_t ends)
{
    kith_message m = {.source = support_peer(source), .time = ends - 1000, .ttl = 1};
    kith_store_be32(m.id, id);
    return m;
}

/* Answers, the last one and how many there were. */
static struct {
    kith_err err;
    unsigned count, failed;
    uint64_t seq;
    size_t rows, len;
    uint64_t first, last;
    char why[128];
} told;

static void on_done(void *ctx, kith_err e, const char *why)
{
    (void)ctx;
    told.err = e;
    told.count++;
    told.failed += e != KITH_OK;
    (void)snprintf(told.why, sizeof told.why, "%s", why ? why : "");
}

static void on_taken(void *ctx, kith_err e, uint64_t seq)
{
    on_done(ctx, e, NULL);
    told.seq = seq;
}

static void on_loaded(void *ctx, kith_err e, kith_bytes m)
{
    on_done(ctx, e, NULL);
    told.len = m.len;
}

static void on_rows(void *ctx, kith_err e, const kith_inbox_row *rows, size_t count)
{
    on_done(ctx, e, NULL);
    told.rows = count;
    told.first = count ? rows[0].seq : 0;
    told.last = count ? rows[count - 1].seq : 0;
    told.len = 0;
    for (size_t i = 0; i < count; i++)
        told.len += rows[i].len;
}

static void settle(void)
{
    uv_run(&loop, UV_RUN_DEFAULT);
}

static kith_err put(kith_message_store *s, uint32_t id, size_t len, uint64_t age)
{
    kith_peer_id to = support_peer(1);
    uint8_t raw[KITH_MESSAGE_ID_LEN] = {0};
    kith_store_be32(raw, id);
    return kith_message_store_put(s, raw, &to, kith_bytes_of(bytes, len), age, on_done, NULL);
}

static kith_err take(kith_message_store *s, unsigned source, uint32_t id, size_t len, uint64_t received)
{
    kith_message m = message(source, id, received + 60000);
    return kith_message_store_take(s, &m, kith_bytes_of(bytes, len), received, false, on_taken, NULL);
}

static void read_after(kith_message_store *s, uint64_t seq, uint64_t since)
{
    assert_int_equal(kith_message_store_read(s, seq, since, on_rows, NULL), KITH_OK);
    settle();
    assert_int_equal(told.err, KITH_OK);
}

/* Everything that a file tells when it is opened. */
static struct {
    unsigned outbox, ids, forgot;
    uint64_t ages[4], ends, forgot_end;
    bool contact;
} held;

static void see_outbox(void *ctx, const kith_peer_id *to, kith_bytes m, uint64_t age)
{
    (void)ctx, (void)to, (void)m;
    held.ages[held.outbox++ % 4] = age;
}

static void see_id(void *ctx, const kith_peer_id *source, const uint8_t id[KITH_MESSAGE_ID_LEN],
                   uint64_t ends, bool contact)
{
    (void)ctx, (void)source, (void)id;
    assert_true(ends >= held.ends); /* in the order of their ends */
    held.ends = ends;
    held.contact = contact;
    held.ids++;
}

static void see_forgot(void *ctx, bool contact, uint64_t ends)
{
    (void)ctx, (void)contact;
    assert_int_equal(held.ids, 0); /* before the ids */
    held.forgot++;
    held.forgot_end = ends;
}

static void look(kith_message_store *s, uint64_t now)
{
    memset(&held, 0, sizeof held);
    kith_message_store_load load = {.outbox = see_outbox, .id = see_id, .forgot = see_forgot};
    assert_int_equal(kith_message_store_read_all(s, now, &load), KITH_OK);
}

static int begin(void **state)
{
    (void)state;
    fresh();
    memset(&told, 0, sizeof told);
    return uv_loop_init(&loop);
}

static int end(void **state)
{
    (void)state;
    return uv_loop_close(&loop);
}

static void what_was_put_is_there_until_it_is_deleted(void **state)
{
    (void)state;
    struct stat st;
    uint8_t id[KITH_MESSAGE_ID_LEN] = {0};
    kith_message_store *s = open_store();
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(put(s, i, i * 100, 10 - i), KITH_OK);
    settle();
    assert_int_equal(told.count, 3);
    assert_int_equal(told.failed, 0);
    kith_store_be32(id, 2);
    assert_int_equal(kith_message_store_get(s, id, on_loaded, NULL), KITH_OK);
    settle();
    assert_int_equal(told.len, 200);
    kith_message_store_delete(s, id);
    assert_int_equal(kith_message_store_get(s, id, on_loaded, NULL), KITH_OK);
    settle();
    assert_int_equal(told.err, KITH_ENOTFOUND);
    kith_message_store_close(s);
    s = open_store();
    look(s, noon);
    assert_int_equal(held.outbox, 2);
    assert_int_equal(held.ages[0], 7); /* the oldest first */
    assert_int_equal(held.ages[1], 9);
    kith_message_store_close(s);
}

static void a_message_is_taken_once_and_its_id_outlives_the_process(void **state)
{
    (void)state;
    kith_message_store *s = open_store();
    assert_int_equal(take(s, 1, 5, 100, noon), KITH_OK);
    settle();
    assert_int_equal(told.err, KITH_OK);
    assert_int_equal(told.seq, 1);
    kith_message_store_close(s);
    s = open_store();
    assert_int_equal(kith_message_store_last(s), 1);
    look(s, noon + 60000);
    assert_int_equal(held.ids, 1);
    look(s, noon + 60001); /* it is over */
    assert_int_equal(held.ids, 0);
    assert_int_equal(take(s, 1, 5, 100, noon), KITH_OK);
    settle();
    assert_int_equal(told.err, KITH_EEXISTS);
    assert_int_equal(take(s, 2, 5, 100, noon), KITH_OK); /* another source's */
    settle();
    assert_int_equal(told.seq, 2);
    read_after(s, 0, 0);
    assert_int_equal(told.rows, 2);
    kith_message_store_close(s);
}

static void the_inbox_is_read_in_pages_and_from_a_time_on(void **state)
{
    (void)state;
    kith_message_store *s = open_store();
    for (uint32_t i = 1; i <= 10; i++)
        assert_int_equal(take(s, 1, i, 300000, noon + i), KITH_OK);
    settle();
    read_after(s, 0, 0);
    assert_int_equal(told.rows, 4);
    read_after(s, told.last, 0);
    assert_int_equal(told.first, 5);
    read_after(s, 0, noon + 9);
    assert_int_equal(told.rows, 2);
    read_after(s, 10, 0);
    assert_int_equal(told.rows, 0);
    kith_message_store_close(s);
}

static void the_inbox_keeps_so_many_of_one_source_and_of_all(void **state)
{
    (void)state;
    kith_message_store *s = open_store();
    for (uint32_t i = 1; i <= KITH_INBOX_PER_SOURCE_MAX + 1; i++)
        assert_int_equal(take(s, 1, i, 10, noon), KITH_OK);
    settle();
    read_after(s, 0, 0);
    assert_int_equal(told.rows, KITH_INBOX_PER_SOURCE_MAX);
    assert_int_equal(told.first, 2);
    for (unsigned source = 2; source <= 11; source++) {
        for (uint32_t i = 1; i <= KITH_INBOX_PER_SOURCE_MAX; i++)
            assert_int_equal(take(s, source, i, 10, noon), KITH_OK);
    }
    settle();
    read_after(s, 0, 0);
    assert_int_equal(told.rows, KITH_INBOX_MESSAGES_MAX);
    assert_int_equal(told.first, KITH_INBOX_PER_SOURCE_MAX + 2);
    kith_message_store_close(s);
}

static void the_inbox_keeps_so_many_bytes(void **state)
{
    (void)state;
    kith_message_store *s = open_store();
    for (uint32_t i = 1; i <= 65; i++) {
        assert_int_equal(take(s, 1, i, sizeof bytes, noon), KITH_OK);
        settle();
        read_after(s, 0, 0);
        assert_int_equal(told.first, i <= 64 ? 1 : 2);
    }
    assert_int_equal(take(s, 1, 100, 1, noon), KITH_OK);
    settle();
    read_after(s, 0, 0);
    assert_int_equal(told.first, 3);
    kith_message_store_close(s);
}

static void so_many_bytes_wait_for_the_disk(void **state)
{
    (void)state;
    kith_message_store *s = open_store();
    for (uint32_t i = 1; i <= 16; i++)
        assert_int_equal(put(s, i, sizeof bytes, i), KITH_OK);
    assert_int_equal(put(s, 17, 1, 17), KITH_ELIMIT);
    assert_int_equal(take(s, 1, 1, 1, noon), KITH_ELIMIT);
    settle();
    assert_int_equal(told.count, 16);
    assert_int_equal(put(s, 17, 1, 17), KITH_OK);
    settle();
    kith_message_store_close(s);
}

static void ids_that_do_not_fit_are_forgotten_and_that_is_remembered(void **state)
{
    (void)state;
    kith_message_store *s = open_store();
    for (uint32_t i = 1; i <= KITH_REPLAY_MESSAGES_MAX + 1; i++) {
        kith_message m = message(1 + i % 100, i, noon + 1000000 - i);
        assert_int_equal(kith_message_store_take(s, &m, kith_bytes_of(bytes, 1), noon, i % 2, on_taken, NULL),
                         KITH_OK);
    }
    settle();
    look(s, noon);
    assert_int_equal(held.forgot, 0); /* half of them are contacts' */
    for (uint32_t i = 1; i <= KITH_REPLAY_MESSAGES_MAX / 2 + 1; i++) {
        kith_message m = message(200, 100000 + i, noon + 2000000);
        assert_int_equal(kith_message_store_take(s, &m, kith_bytes_of(bytes, 1), noon, false, on_taken, NULL),
                         KITH_OK);
    }
    settle();
    assert_int_equal(told.failed, 0);
    look(s, noon);
    assert_int_equal(held.forgot, 1);
    assert_int_equal(held.ids, KITH_REPLAY_MESSAGES_MAX + KITH_REPLAY_MESSAGES_MAX / 2 + 1);
    /* the stranger's that ended first */
    assert_int_equal(held.forgot_end, noon + 1000000 - KITH_REPLAY_MESSAGES_MAX);
    /* what is past makes room by itself */
    kith_message m = message(300, 1, noon + 3000000);
    assert_int_equal(
        kith_message_store_take(s, &m, kith_bytes_of(bytes, 1), noon + 2000001, false, on_taken, NULL),
        KITH_OK);
    settle();
    look(s, noon);
    assert_int_equal(held.ids, 1);
    kith_message_store_close(s);
}

static char trouble[2][256];
static unsigned troubles;

static void on_trouble(void *ctx, const char *sentence)
{
    (void)ctx;
    (void)snprintf(trouble[troubles++ % 2], sizeof trouble[0], "%s", sentence);
}

static void a_full_disk_is_told_and_what_is_stored_stays(void **state)
{
    (void)state;
    struct rlimit was, small = {.rlim_cur = 256u << 10};
    kith_message_store *s = open_store();
    kith_message_store_on_trouble(s, on_trouble, NULL);
    troubles = 0;
    assert_int_equal(put(s, 1, 1000, 1), KITH_OK);
    settle();
    assert_int_equal(told.err, KITH_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small.rlim_max = was.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(put(s, 2, sizeof bytes, 2), KITH_OK);
    assert_int_equal(take(s, 1, 1, sizeof bytes, noon), KITH_OK);
    settle();
    assert_int_equal(told.failed, 2);
    assert_int_equal(told.err, KITH_EIO);
    assert_int_equal(troubles, 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(take(s, 1, 1, sizeof bytes, noon), KITH_OK); /* it may come again */
    settle();
    assert_int_equal(told.err, KITH_OK);
    assert_int_equal(troubles, 2);
    assert_string_equal(trouble[1], "the messages' file can be written again");
    look(s, noon);
    assert_int_equal(held.outbox, 1);
    kith_message_store_close(s);
}

static void a_damaged_file_is_put_aside_and_a_newer_one_left_alone(void **state)
{
    (void)state;
    const char *why;
    bool damaged;
    char name[96];
    struct stat st;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++)
        (void)fputs("nonsense", f);
    (void)fclose(f);
    kith_message_store *s = kith_message_store_open(&loop, path, &damaged, &why);
    assert_non_null(s);
    assert_true(damaged);
    (void)snprintf(name, sizeof name, "%s.damaged", path);
    assert_int_equal(stat(name, &st), 0);
    kith_message_store_close(s);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_null(kith_message_store_open(&loop, path, &damaged, &why));
    assert_string_equal(why, "it was made by a newer kith");
}

/* A process is killed while it writes: what it was answered for is there. */
static void kill_in_the_middle_loses_nothing_that_was_answered_for(void **state)
{
    (void)state;
    int tell[2];
    for (int round = 0; round < 8; round++) {
        fresh();
        assert_int_equal(pipe(tell), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            uv_loop_t own;
            const char *why;
            bool damaged;
            uv_loop_init(&own);
            kith_message_store *s = kith_message_store_open(&own, path, &damaged, &why);
            for (uint32_t i = 1; s; i++) {
                told.err = KITH_EIO;
                if (put(s, i, 500, i) || take(s, 1, i, 500, noon))
                    break;
                uv_run(&own, UV_RUN_DEFAULT);
                if (told.err || write(tell[1], &i, sizeof i) != sizeof i)
                    break;
            }
            _exit(1);
        }
        close(tell[1]);
        usleep((useconds_t)(20000 + round * 7000));
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        uint32_t n, last = 0;
        while (read(tell[0], &n, sizeof n) == sizeof n)
            last = n;
        close(tell[0]);
        kith_message_store *s = open_store();
        look(s, noon);
        assert_in_range(held.outbox, last, last + 1);
        assert_in_range(held.ids, last, last + 1);
        assert_in_range(kith_message_store_last(s), last, last + 1);
        kith_message_store_close(s);
    }
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    (void)snprintf(path, sizeof path, "%s/messages.db", folder);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_put_is_there_until_it_is_deleted, begin, end),
        cmocka_unit_test_setup_teardown(a_message_is_taken_once_and_its_id_outlives_the_process, begin, end),
        cmocka_unit_test_setup_teardown(the_inbox_is_read_in_pages_and_from_a_time_on, begin, end),
        cmocka_unit_test_setup_teardown(the_inbox_keeps_so_many_of_one_source_and_of_all, begin, end),
        cmocka_unit_test_setup_teardown(the_inbox_keeps_so_many_bytes, begin, end),
        cmocka_unit_test_setup_teardown(so_many_bytes_wait_for_the_disk, begin, end),
        cmocka_unit_test_setup_teardown(ids_that_do_not_fit_are_forgotten_and_that_is_remembered, begin, end),
        cmocka_unit_test_setup_teardown(a_full_disk_is_told_and_what_is_stored_stays, begin, end),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_put_aside_and_a_newer_one_left_alone, begin, end),
        cmocka_unit_test_setup_teardown(kill_in_the_middle_loses_nothing_that_was_answered_for, begin, end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fresh();
    (void)rmdir(folder);
    return failed;
}
