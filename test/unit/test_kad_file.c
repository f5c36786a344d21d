/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the store had is there again after a restart; what expired is not, and a broken file is put aside. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "host/kad_file.h"
#include "support.h"

#define DAY (24u * 3600)

static support_heap heap;
static uv_loop_t loop;
static char path[64];

static kith_kad_file *open_file(bool *damaged)
{
    const char *why;
    kith_kad_file *f = kith_kad_file_open(&loop, path, damaged, &why);
    if (!f)
        print_message("%s\n", why);
    assert_non_null(f);
    return f;
}

static kith_kad_store *store_of(kith_kad_file *f)
{
    kith_kad_store_config cfg;
    kith_kad_store_config_default(&cfg);
    cfg.env = *support_env(&heap);
    kith_kad_file_watch(f, &cfg);
    kith_kad_store *s = kith_kad_store_new(&cfg);
    assert_non_null(s);
    return s;
}

static kith_peer_id peer(uint8_t n)
{
    return (kith_peer_id){.len = 34, .b = {0x12, 32, n}};
}

static const kith_bytes addrs = {(const uint8_t *)"\x08\x04\x01\x02\x03\x04\x06\x00\xc8", 9};

static void put(kith_kad_store *s, const char *key, uint8_t provider, uint64_t now)
{
    kith_kad_row row = {.key = kith_bytes_str(key),
                        .data = provider ? addrs : kith_bytes_str("value"),
                        .received = now,
                        .group = 77};
    if (provider)
        row.provider = peer(provider);
    assert_int_equal(kith_kad_store_put(s, &row), KITH_OK);
}

static void close_both(kith_kad_file *f, kith_kad_store *s)
{
    kith_kad_file_close(f);
    kith_kad_store_free(s);
    support_heap_check(&heap);
}

static int begin(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/kith-kad-XXXXXX");
    int fd = mkstemp(path);
    close(fd);
    unlink(path);
    return uv_loop_init(&loop);
}

static int end(void **state)
{
    (void)state;
    static const char *const ends[] = {"", "-wal", "-shm", ".damaged", ".damaged-wal", ".damaged-shm"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
    return uv_loop_close(&loop);
}

static void rows_survive_a_restart_until_they_expire(void **state)
{
    (void)state;
    bool damaged;
    kith_kad_file *f = open_file(&damaged);
    kith_kad_store *s = store_of(f);
    struct stat st;
    assert_false(damaged);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    put(s, "/x/old", 0, 1000);
    put(s, "/x/new", 0, 1000 + DAY);
    put(s, "k", 1, 1000 + DAY);
    put(s, "k", 2, 1001 + DAY);
    put(s, "k", 2, 1002 + DAY); /* again */
    close_both(f, s);

    uint64_t now = 1000 + 2 * DAY;
    f = open_file(&damaged);
    s = store_of(f);
    assert_int_equal(kith_kad_file_load(f, s, now), 3);
    kith_kad_row row;
    assert_true(kith_kad_store_value(s, now, kith_bytes_str("/x/new"), &row));
    support_assert_str(row.data, "value");
    assert_int_equal(row.received, 1000 + DAY);
    assert_int_equal(row.group, 77);
    const void *at = NULL;
    assert_true(kith_kad_store_provider(s, now, kith_bytes_str("k"), &at, &row));
    assert_int_equal(row.provider.b[2], 2);
    assert_int_equal(row.received, 1002 + DAY);
    support_assert_bytes(row.data, addrs);
    kith_kad_store_expire(s, 1000 + 3 * DAY); /* the value and provider 1 */
    close_both(f, s);

    f = open_file(&damaged);
    s = store_of(f);
    assert_int_equal(kith_kad_file_load(f, s, now), 1); /* also by a clock that was put back */
    close_both(f, s);
}

static void what_is_no_row_is_passed_over_and_goes(void **state)
{
    (void)state;
    bool damaged;
    kith_kad_file *f = open_file(&damaged);
    kith_kad_store *s = store_of(f);
    kith_kad_row bad = {.key = kith_bytes_str("k"),
                        .provider = peer(1),
                        .data = kith_bytes_str("no addresses"),
                        .received = 5};
    assert_int_equal(kith_kad_store_put(s, &bad), KITH_OK); /* the store takes its caller's word */
    put(s, "k", 2, 5);
    close_both(f, s);
    for (int i = 0; i < 2; i++) {
        f = open_file(&damaged);
        s = store_of(f);
        assert_int_equal(kith_kad_file_load(f, s, 6), 1);
        close_both(f, s);
    }
}

static void a_damaged_file_is_put_aside(void **state)
{
    (void)state;
    bool damaged;
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    for (int i = 0; i < 500; i++)
        fputs("this is no database", out);
    fclose(out);
    kith_kad_file *f = open_file(&damaged);
    assert_true(damaged);
    kith_kad_store *s = store_of(f);
    assert_int_equal(kith_kad_file_load(f, s, 6), 0);
    put(s, "/x/a", 0, 5);
    close_both(f, s);
    char aside[96];
    snprintf(aside, sizeof aside, "%s.damaged", path);
    assert_int_equal(access(aside, F_OK), 0);
    f = open_file(&damaged);
    assert_false(damaged);
    s = store_of(f);
    assert_int_equal(kith_kad_file_load(f, s, 6), 1);
    close_both(f, s);
}

static void the_queue_has_its_cap(void **state)
{
    (void)state;
    bool damaged;
    kith_kad_file *f = open_file(&damaged);
    kith_kad_store_config cfg = {0};
    kith_kad_file_watch(f, &cfg);
    char key[16];
    kith_kad_row row = {.data = kith_bytes_str("v"), .received = 5};
    for (unsigned i = 0; i < KITH_KAD_FILE_QUEUE_MAX + 50;
         i++) { /* the first is written at once, by itself */
        snprintf(key, sizeof key, "/x/%05u", i);
        row.key = kith_bytes_str(key);
        cfg.put(cfg.ctx, &row);
    }
    kith_kad_file_close(f);
    f = open_file(&damaged);
    kith_kad_store_config all;
    kith_kad_store_config_default(&all);
    all.env = *support_env(&heap);
    all.values_max = 100000;
    kith_kad_store *s = kith_kad_store_new(&all);
    assert_int_equal(kith_kad_file_load(f, s, 6), KITH_KAD_FILE_QUEUE_MAX + 1);
    close_both(f, s);
}

/* ---- servers to begin with, and what is provided ---- */

static struct {
    size_t count;
    uint8_t first, last;
    bool addrs_good;
} told;

static void on_peer(void *ctx, const kith_peer_id *id, kith_bytes packed)
{
    assert_ptr_equal(ctx, &told);
    told.first = told.count ? told.first : id->b[2];
    told.last = id->b[2];
    told.addrs_good = kith_bytes_eq(packed, addrs);
    told.count++;
}

static void on_key(void *ctx, kith_bytes key)
{
    assert_ptr_equal(ctx, &told);
    assert_int_equal(key.len, 1);
    told.first = told.count ? told.first : key.p[0];
    told.last = key.p[0];
    told.count++;
}

static void tell_peers(kith_kad_file *f, size_t max)
{
    memset(&told, 0, sizeof told);
    kith_kad_file_peers(f, max, on_peer, &told);
}

static void servers_of_the_table_are_remembered_the_freshest_first_and_with_a_cap(void **state)
{
    (void)state;
    bool damaged;
    kith_kad_table table;
    kith_kad_table_config cfg = {
        .env = *support_env(&heap), .self = peer(255), .k = 20, .stale_after = KITH_SEC(1800)};
    kith_kad_table_init(&table, &cfg);
    for (uint8_t n = 1; n < 250; n++) {
        kith_err e = kith_kad_table_answered(&table, KITH_SEC(n),
                                             &(kith_peer_id){.len = 34, .b = {0x12, 32, n}}, addrs, 0);
        assert_true(e == KITH_OK || e == KITH_EREFUSED);
    }
    kith_kad_file *f = open_file(&damaged);
    kith_kad_file_remember(f, &table, KITH_SEC(1000), 5000);
    kith_kad_file_close(f);
    f = open_file(&damaged);
    tell_peers(f, 1000);
    size_t all = told.count;
    assert_true(all >= 8 && all < table.count); /* four of a bucket */
    assert_true(told.first > told.last && told.addrs_good);
    tell_peers(f, 3);
    assert_int_equal(told.count, 3);
    kith_kad_file_close(f);
    kith_kad_table_fini(&table);
    /* Others, run after run: the newest stay. */
    for (unsigned run = 1; run < 40; run++) {
        cfg.self.b[20] = (uint8_t)run;
        kith_kad_table_init(&table, &cfg);
        for (uint8_t n = 1; n < 100; n++) {
            kith_peer_id id = {.len = 34, .b = {0x12, 32, n, (uint8_t)run}};
            (void)!kith_kad_table_answered(&table, KITH_SEC(n), &id, addrs, 0);
        }
        f = open_file(&damaged);
        kith_kad_file_remember(f, &table, KITH_SEC(1000), 5000 + 1000 * run);
        kith_kad_file_close(f);
        kith_kad_table_fini(&table);
    }
    f = open_file(&damaged);
    tell_peers(f, 1000);
    assert_int_equal(told.count, KITH_KAD_FILE_PEERS_MAX);
    kith_kad_file_close(f);
    support_heap_check(&heap);
}

static void what_is_provided_is_there_after_a_restart_until_it_is_not(void **state)
{
    (void)state;
    bool damaged;
    kith_kad_file *f = open_file(&damaged);
    for (const char *k = "abca"; *k; k++)
        kith_kad_file_provide(f, kith_bytes_of(k, 1), true);
    kith_kad_file_provide(f, kith_bytes_str("b"), false);
    kith_kad_file_close(f);
    f = open_file(&damaged);
    memset(&told, 0, sizeof told);
    kith_kad_file_provided(f, on_key, &told);
    assert_int_equal(told.count, 2);
    assert_int_equal(told.first + told.last, 'a' + 'c');
    kith_kad_file_close(f);
}

static void a_place_that_cannot_be_is_said_so(void **state)
{
    (void)state;
    bool damaged;
    const char *why;
    assert_null(kith_kad_file_open(&loop, "/nowhere/at/all", &damaged, &why));
    assert_non_null(why);
    kith_kad_file_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_survive_a_restart_until_they_expire, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_row_is_passed_over_and_goes, begin, end),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_put_aside, begin, end),
        cmocka_unit_test_setup_teardown(the_queue_has_its_cap, begin, end),
        cmocka_unit_test_setup_teardown(servers_of_the_table_are_remembered_the_freshest_first_and_with_a_cap,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_is_provided_is_there_after_a_restart_until_it_is_not, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_place_that_cannot_be_is_said_so, begin, end),
    };
    if (kith_crypto_init())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
