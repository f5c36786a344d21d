/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The cache of file hashes: what it knows, what it must not believe, and what it does at its caps. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/share_tree.h"
#include "crypto/crypto.h"
#include "host/hash_cache.h"

#define NOW_S 1000000000u
#define NOW_NS (INT64_C(1000000000) * NOW_S)
#define OLD_NS (NOW_NS - INT64_C(3600000000000))
#define CAP (256u << 10)
#define BUCKETS 16 /* a quarter of it, in pages */
#define TREES_LEN (CAP - BUCKETS * 4096 - 4096)

static char dir[] = "/tmp/kith-test-hash-XXXXXX";
static kith_hash_cache *cache;
static kith_hash_page page;
static FILE *trees; /* the caller's file of trees */
static int fd;

static const char *path_of(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void reopen(uint64_t cap)
{
    kith_hash_cache_flush(cache, &page);
    kith_hash_cache_close(cache);
    memset(&page, 0, sizeof page);
    cache = kith_hash_cache_open(dir, cap);
    assert_non_null(cache);
}

static int setup(void **state)
{
    (void)state;
    memcpy(dir, "/tmp/kith-test-hash-XXXXXX", sizeof dir);
    assert_non_null(mkdtemp(dir));
    cache = NULL;
    reopen(CAP);
    trees = tmpfile();
    assert_non_null(trees);
    fd = fileno(trees);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kith_hash_cache_close(cache);
    fclose(trees);
    (void)unlink(path_of("hashes"));
    (void)unlink(path_of("trees"));
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

static kith_hash_key key_of(uint64_t ino, uint64_t size)
{
    return (kith_hash_key){
        .dev = 7, .ino = ino, .size = size, .mtime_ns = OLD_NS + (int64_t)ino, .ctime_ns = OLD_NS - 5};
}

/* A root that belongs to a key and to no other. */
static void root_of(const kith_hash_key *key, uint8_t out[KITH_BLAKE3_LEN])
{
    kith_blake3_hash(kith_bytes_of(key, sizeof *key), out);
}

/* A tree that belongs to a key, in our file at offset 0. */
static size_t write_tree(const kith_hash_key *key)
{
    size_t n = kith_tree_nodes(key->size) * KITH_BLAKE3_LEN;
    uint8_t *nodes = malloc(n);
    assert_non_null(nodes);
    uint64_t seed = key->ino;
    for (size_t i = 0; i < n; i++)
        nodes[i] = (uint8_t)support_next(&seed);
    assert_int_equal(pwrite(fd, nodes, n, 0), n);
    free(nodes);
    return n;
}

static void put_at(uint64_t ino, uint64_t size, int64_t now_ns)
{
    kith_hash_key key = key_of(ino, size);
    uint8_t root[KITH_BLAKE3_LEN];
    root_of(&key, root);
    (void)write_tree(&key);
    kith_hash_cache_put(cache, &page, &key, now_ns, root, fd, 0);
}

static void put(uint64_t ino, uint64_t size)
{
    put_at(ino, size, NOW_NS);
}

/* Whether a file is known; what is known must be right. */
static bool known_at(uint64_t ino, uint64_t size, uint32_t now_s)
{
    kith_hash_key key = key_of(ino, size);
    uint8_t root[KITH_BLAKE3_LEN], want[KITH_BLAKE3_LEN];
    root_of(&key, want);
    size_t n = size > KITH_TREE_LEAF ? write_tree(&key) : 0;
    if (!kith_hash_cache_get(cache, &page, &key, now_s, root, fd, 1 << 20))
        return false;
    assert_memory_equal(root, want, sizeof root);
    if (n > 0) {
        uint8_t *both = malloc(2 * n);
        assert_non_null(both);
        assert_int_equal(pread(fd, both, n, 0), n);
        assert_int_equal(pread(fd, both + n, n, 1 << 20), n);
        assert_memory_equal(both, both + n, n);
        free(both);
    }
    return true;
}

static bool known(uint64_t ino, uint64_t size)
{
    return known_at(ino, size, NOW_S);
}

static off_t bytes_of(const char *name)
{
    struct stat st;
    assert_int_equal(stat(path_of(name), &st), 0);
    return st.st_size;
}

static void what_was_put_is_found_by_the_next_process(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 20; i++)
        put(i, i % 3 ? 100 : 3 * KITH_TREE_LEAF);
    reopen(CAP);
    for (uint64_t i = 1; i <= 20; i++)
        assert_true(known(i, i % 3 ? 100 : 3 * KITH_TREE_LEAF));
    assert_false(known(21, 100));
}

static void another_key_is_another_content(void **state)
{
    (void)state;
    kith_hash_key key = key_of(4, 10);
    uint8_t root[KITH_BLAKE3_LEN];
    root_of(&key, root);
    kith_hash_cache_put(cache, &page, &key, NOW_NS, root, -1, 0);
    for (int i = 0; i < 5; i++) {
        kith_hash_key other = key;
        other.dev += i == 0;
        other.ino += i == 1;
        other.size += i == 2;
        other.mtime_ns += i == 3;
        other.ctime_ns += i == 4;
        assert_false(kith_hash_cache_get(cache, &page, &other, NOW_S, root, -1, 0));
    }
    assert_true(kith_hash_cache_get(cache, &page, &key, NOW_S, root, -1, 0));
    assert_false(kith_hash_cache_get(NULL, &page, &key, NOW_S, root, -1, 0));
}

static void a_sha_256_is_known_with_its_file_alone(void **state)
{
    (void)state;
    uint8_t sum[KITH_SHA256_LEN], got[KITH_SHA256_LEN];
    const kith_hash_key key = key_of(4, 10), other = key_of(5, 10), later = key_of(4, 11);
    kith_sha256(kith_bytes_of(&key, sizeof key), sum);
    kith_hash_cache_put_sha256(cache, &page, &key, sum);
    assert_false(kith_hash_cache_get_sha256(cache, &page, &key, got)); /* there is no such file */
    put(4, 10);
    put(5, 10);
    assert_false(kith_hash_cache_get_sha256(cache, &page, &key, got));
    kith_hash_cache_put_sha256(cache, &page, &later, sum);
    assert_false(kith_hash_cache_get_sha256(cache, &page, &key, got)); /* that was another content */
    kith_hash_cache_put_sha256(cache, &page, &key, sum);
    reopen(CAP);
    assert_true(kith_hash_cache_get_sha256(cache, &page, &key, got));
    assert_memory_equal(got, sum, sizeof sum);
    assert_false(kith_hash_cache_get_sha256(cache, &page, &other, got));
    assert_false(kith_hash_cache_get_sha256(cache, &page, &later, got));
    assert_true(known(4, 10));
    put(4, 11); /* takes its place */
    assert_false(kith_hash_cache_get_sha256(cache, &page, &later, got));
    assert_false(kith_hash_cache_get_sha256(NULL, &page, &key, got));
    kith_hash_cache_put_sha256(NULL, &page, &key, sum);
}

static void a_file_that_changed_is_put_over_its_old_self(void **state)
{
    (void)state;
    put(4, 10);
    put(4, 11);
    assert_false(known(4, 10));
    assert_true(known(4, 11));
}

/* Both times at the margin and just beyond it. */
static void a_file_that_changed_a_moment_ago_is_not_believed(void **state)
{
    (void)state;
    const int64_t bound = NOW_NS - KITH_HASH_CACHE_MARGIN_NS;
    const struct {
        int64_t mtime, ctime;
        bool stored;
    } cases[] = {
        {bound - 1, bound - 1, true}, {bound, bound - 1, false},     {bound - 1, bound, false},
        {NOW_NS, OLD_NS, false},      {OLD_NS, NOW_NS + 100, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kith_hash_key key = {
            .ino = 100 + i, .size = 5, .mtime_ns = cases[i].mtime, .ctime_ns = cases[i].ctime};
        uint8_t root[KITH_BLAKE3_LEN];
        root_of(&key, root);
        kith_hash_cache_put(cache, &page, &key, NOW_NS, root, -1, 0);
        assert_int_equal(kith_hash_cache_get(cache, &page, &key, NOW_S, root, -1, 0), cases[i].stored);
    }
}

static void full_buckets_drop_what_was_not_used_for_longest(void **state)
{
    (void)state;
    const uint32_t day = 86400;
    const uint64_t fill = 40 * BUCKETS;
    put(1, 10);
    for (uint64_t i = 0; i < fill; i++) { /* more than all buckets hold */
        assert_true(known_at(1, 10, NOW_S + day * (uint32_t)(i + 1)));
        put_at(1000 + i, 10, NOW_NS + INT64_C(1000000000) * day * (int64_t)(i + 1));
    }
    assert_true(known_at(1000 + fill - 1, 10, NOW_S + day * (uint32_t)fill));
    size_t left = 0;
    for (uint64_t i = 0; i < fill; i++)
        left += known_at(1000 + i, 10, NOW_S + day * (uint32_t)fill);
    assert_in_range(left, 16 * BUCKETS, 32 * BUCKETS - 1);
    kith_hash_cache_flush(cache, &page);
    assert_int_equal(bytes_of("hashes"), 4096 + 4096 * BUCKETS);
}

static void trees_beyond_the_cap_push_out_the_oldest(void **state)
{
    (void)state;
    const uint64_t size = 100 * KITH_TREE_LEAF, each = 199 * 32 + 80;
    const uint64_t fit = TREES_LEN / each;
    put(1, size);
    for (uint64_t i = 0; i < 3 * fit; i++) {
        assert_true(known(1, size)); /* which is why it stays */
        put(10 + i, size);
    }
    assert_true(known(10 + 3 * fit - 1, size));
    assert_false(known(10, size));
    size_t left = 0;
    for (uint64_t i = 0; i < 3 * fit; i++)
        left += known(10 + i, size);
    assert_in_range(left, fit / 2 - 1, fit);
    kith_hash_cache_flush(cache, &page);
    assert_int_equal(bytes_of("trees"), TREES_LEN);
}

static void a_tree_that_would_take_more_than_half_is_not_kept(void **state)
{
    (void)state;
    uint64_t leaves = (TREES_LEN - 4096) / 2 / 64;
    put(1, (leaves + 1) * KITH_TREE_LEAF);
    assert_false(known(1, (leaves + 1) * KITH_TREE_LEAF));
    put(2, (leaves - 2) * KITH_TREE_LEAF);
    assert_true(known(2, (leaves - 2) * KITH_TREE_LEAF));
}

/* Every byte of what is stored, one after another; what is found in spite of it must be right. */
static void damage_is_found(void **state)
{
    (void)state;
    const char *const names[] = {"hashes", "trees"};
    const uint64_t size = 5 * KITH_TREE_LEAF; /* a tree of 288 bytes and its head */
    size_t found = 0, tried = 0;
    put(3, size);
    reopen(CAP);
    for (int f = 0; f < 2; f++) {
        int file = open(path_of(names[f]), O_RDWR);
        assert_true(file >= 0);
        uint8_t *all = malloc((size_t)bytes_of(names[f]));
        assert_non_null(all);
        assert_int_equal(pread(file, all, (size_t)bytes_of(names[f]), 0), bytes_of(names[f]));
        for (off_t at = 4096; at < bytes_of(names[f]); at++) {
            if (all[at] == 0)
                continue;
            uint8_t bad = all[at] ^ 0x10;
            assert_int_equal(pwrite(file, &bad, 1, at), 1);
            memset(&page, 0, sizeof page);
            found += known(3, size);
            tried++;
            assert_int_equal(pwrite(file, &all[at], 1, at), 1);
        }
        memset(&page, 0, sizeof page);
        assert_true(known(3, size));
        free(all);
        close(file);
    }
    assert_true(tried > 300);
    assert_int_equal(found, 0);
}

static void files_that_are_none_of_ours_are_replaced(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        put(5, 10);
        reopen(CAP);
        assert_true(known(5, 10));
        if (i == 0)
            assert_int_equal(truncate(path_of("hashes"), 5000), 0);
        if (i == 1)
            assert_int_equal(truncate(path_of("hashes"), 0), 0);
        if (i == 2) {
            int file = open(path_of("hashes"), O_RDWR);
            assert_int_equal(pwrite(file, "other", 5, 0), 5);
            close(file);
        }
        reopen(i == 3 ? 2 * CAP : CAP);
        assert_false(known(5, 10));
    }
    struct stat st;
    assert_int_equal(stat(path_of("hashes"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(path_of("trees"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(access(path_of("hashes.new"), F_OK), -1);
}

/* While it is open: reads fail or see nothing. */
static void a_file_cut_short_under_us_is_no_harm(void **state)
{
    (void)state;
    put(6, 2 * KITH_TREE_LEAF);
    reopen(CAP);
    assert_int_equal(truncate(path_of("trees"), 4096), 0);
    assert_false(known(6, 2 * KITH_TREE_LEAF));
    assert_int_equal(truncate(path_of("hashes"), 4096), 0);
    memset(&page, 0, sizeof page);
    assert_false(known(6, 2 * KITH_TREE_LEAF));
    put(7, 10); /* goes nowhere */
}

static void a_folder_that_is_none_is_an_error(void **state)
{
    (void)state;
    assert_null(kith_hash_cache_open(path_of("nowhere"), CAP));
    assert_int_equal(errno, ENOENT);
}

static void child(uint64_t first)
{
    FILE *own = tmpfile();
    kith_hash_cache *c = kith_hash_cache_open(dir, CAP);
    if (!own || !c)
        _exit(1);
    cache = c;
    fd = fileno(own);
    memset(&page, 0, sizeof page);
    for (uint64_t round = 0; round < 20; round++) {
        for (uint64_t i = 0; i < 16; i++) {
            uint64_t size = i % 2 ? 10 : 20 * KITH_TREE_LEAF;
            put(first + i, size);
            (void)known(first + i, size);
        }
    }
    kith_hash_cache_flush(cache, &page);
    _exit(0);
}

static void two_processes_do_not_mislead_each_other(void **state)
{
    (void)state;
    pid_t pids[2];
    for (uint64_t i = 0; i < 2; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            child(64 + 4 * i); /* in the same buckets, and half of them the same files */
    }
    for (int i = 0; i < 2; i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    size_t left = 0;
    for (uint64_t i = 64; i < 84; i++)
        left += known(i, (i - 64) % 2 ? 10 : 20 * KITH_TREE_LEAF);
    assert_true(left > 0);
}

static int group_setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

/* 1677 and 2262 are the ends of an int64_t of nanoseconds; file systems go further. */
static void times_beyond_what_can_be_said_are_the_ends_of_it(void **state)
{
    (void)state;
    struct stat st = {.st_mtim = {.tv_sec = INT64_MAX, .tv_nsec = 999999999},
                      .st_ctim = {.tv_sec = INT64_MIN, .tv_nsec = 0}};
    kith_hash_key key = kith_hash_key_of(&st);
    assert_true(key.mtime_ns == INT64_MAX && key.ctime_ns == INT64_MIN);
    st.st_mtim = (struct timespec){.tv_sec = 9223372036, .tv_nsec = 999999999};
    st.st_ctim = (struct timespec){.tv_sec = -9223372037, .tv_nsec = 0};
    key = kith_hash_key_of(&st);
    assert_true(key.mtime_ns == INT64_MAX && key.ctime_ns == INT64_MIN);
    st.st_mtim.tv_sec = 9223372035;
    st.st_ctim.tv_sec = -9223372035;
    key = kith_hash_key_of(&st);
    assert_int_equal(key.mtime_ns, INT64_C(9223372035999999999));
    assert_int_equal(key.ctime_ns, INT64_C(-9223372035000000000));
    st.st_mtim = (struct timespec){.tv_sec = -2, .tv_nsec = 5};
    key = kith_hash_key_of(&st);
    assert_int_equal(key.mtime_ns, -1999999995);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_beyond_what_can_be_said_are_the_ends_of_it),
        cmocka_unit_test_setup_teardown(what_was_put_is_found_by_the_next_process, setup, teardown),
        cmocka_unit_test_setup_teardown(another_key_is_another_content, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sha_256_is_known_with_its_file_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_changed_is_put_over_its_old_self, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_changed_a_moment_ago_is_not_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(full_buckets_drop_what_was_not_used_for_longest, setup, teardown),
        cmocka_unit_test_setup_teardown(trees_beyond_the_cap_push_out_the_oldest, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tree_that_would_take_more_than_half_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_are_none_of_ours_are_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_cut_short_under_us_is_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_is_none_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(two_processes_do_not_mislead_each_other, setup, teardown),
    };
    return cmocka_run_group_tests_name("hash_cache", tests, group_setup, NULL);
}
