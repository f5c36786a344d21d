/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is shared, and what somebody does to it while it is walked, hashed and sent. */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "host/host.h"
#include "host/share_src.h"

#define LEAF ((uint64_t)KITH_TREE_LEAF)
#define PART (UINT64_C(16) << 20) /* that a large file is hashed in */

static char top[] = "/tmp/kith-test-src-XXXXXX";
static kith_share_src *src;
static char why[KITH_SHARE_SRC_WHY_MAX];
static bool cached;

/* Files of a test have just been made; the cache shall think them old. */
static int64_t an_hour_on(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return ((int64_t)t.tv_sec + 3600) * 1000000000 + t.tv_nsec;
}

static int64_t (*test_clock)(void) = an_hour_on;

static const char *path(const char *name)
{
    static char out[1200];
    (void)snprintf(out, sizeof out, "%s/%s", top, name);
    return out;
}

static void sh(const char *cmd)
{
    char line[1024];
    (void)snprintf(line, sizeof line, "cd %s && %s", top, cmd);
    assert_int_equal(system(line), 0);
}

static int setup(void **state)
{
    (void)state;
    memcpy(top, "/tmp/kith-test-src-XXXXXX", sizeof top);
    assert_non_null(mkdtemp(top));
    assert_int_equal(mkdir(path("cache"), 0700), 0);
    cached = true;
    test_clock = an_hour_on;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char line[64];
    kith_share_src_free(src);
    src = NULL;
    (void)snprintf(line, sizeof line, "rm -rf %s", top);
    return system(line);
}

static void write_file(const char *name, uint64_t size, uint64_t seed)
{
    uint8_t buf[4096];
    FILE *f = fopen(path(name), "w");
    assert_non_null(f);
    for (uint64_t at = 0; at < size; at += sizeof buf) {
        for (size_t i = 0; i < sizeof buf; i += 8) {
            uint64_t v = support_next(&seed);
            memcpy(buf + i, &v, 8);
        }
        size_t n = size - at < sizeof buf ? (size_t)(size - at) : sizeof buf;
        assert_int_equal(fwrite(buf, 1, n, f), n);
    }
    assert_int_equal(fclose(f), 0);
}

/* The plain hash of a file's content. */
static void hash_file(const char *name, uint8_t out[KITH_BLAKE3_LEN])
{
    uint8_t *buf = malloc(1 << 20);
    kith_blake3 *h = kith_blake3_new();
    FILE *f = fopen(path(name), "r");
    assert_true(buf && h && f);
    for (size_t n; (n = fread(buf, 1, 1 << 20, f)) > 0;)
        kith_blake3_update(h, kith_bytes_of(buf, n));
    kith_blake3_final(h, out);
    kith_blake3_free(h);
    fclose(f);
    free(buf);
}

/* Up to where the walk may begin. */
static kith_err begin(const char *name)
{
    const kith_share_src_config cfg = {.cache = cached ? kith_hash_cache_open(path("cache"), 1 << 20) : NULL,
                                       .scratch = top,
                                       .clock_ns = test_clock};
    kith_share_src_free(src);
    src = kith_share_src_new(&cfg);
    assert_non_null(src);
    kith_err e = kith_share_src_add(src, path(name), why);
    if (!e)
        e = kith_share_src_begin(src, why);
    return e;
}

static kith_err walk(const char *name)
{
    kith_err e = begin(name);
    return e ? e : kith_share_src_walk(src, why);
}

static kith_err hash(void)
{
    kith_share_slice slice;
    kith_err e;
    while (kith_share_src_slice(src, &slice, &e)) {
        kith_share_src_hash(src, &slice);
        if (slice.err) {
            memcpy(why, slice.why, sizeof why);
            return slice.err;
        }
    }
    return e;
}

static void seal(void)
{
    kith_share_src_seal(src);
}

static kith_err share(const char *name)
{
    kith_err e = walk(name);
    if (!e)
        e = hash();
    if (!e)
        seal();
    return e;
}

static const kith_manifest *manifest(void)
{
    return kith_share_src_source(src).manifest;
}

static kith_entry entry(size_t i)
{
    return kith_manifest_entry(manifest(), i);
}

/* The entry of that path; fails when there is none. */
static size_t find(const char *name)
{
    char buf[1024];
    for (size_t i = 0; i < manifest()->count; i++) {
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        kith_manifest_put_path(manifest(), i, false, &w);
        if (kith_bytes_eq_str(kith_wr_bytes(&w), name))
            return i;
    }
    fail_msg("%s is not in the list", name);
    return 0;
}

/* Every file of the share has the hash of its content, and its tree leads there. */
static void expect_roots(void)
{
    char buf[1024];
    assert_int_equal(kith_share_src_source(src).known, manifest()->count);
    for (size_t i = 0; i < manifest()->count; i++) {
        uint8_t want[KITH_BLAKE3_LEN];
        kith_entry e = entry(i);
        if (e.type != KITH_ENTRY_FILE)
            continue;
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf - 1));
        kith_manifest_put_path(manifest(), i, false, &w);
        buf[w.len] = 0;
        hash_file(buf, want);
        const kith_share_source now = kith_share_src_source(src);
        const uint8_t *root = now.roots + i * KITH_BLAKE3_LEN;
        if (e.size == 0)
            memset(want, 0, sizeof want);
        assert_memory_equal(root, want, sizeof want);
        const uint8_t *nodes = now.nodes(now.ctx, i);
        if (e.size <= LEAF) {
            assert_null(nodes);
            continue;
        }
        uint8_t *again = malloc(kith_tree_nodes(e.size) * KITH_BLAKE3_LEN);
        assert_non_null(again);
        memcpy(again, nodes, kith_tree_nodes(e.size) * KITH_BLAKE3_LEN);
        assert_memory_equal(again, want, sizeof want);
        kith_tree_join(again, e.size);
        assert_memory_equal(again, nodes, kith_tree_nodes(e.size) * KITH_BLAKE3_LEN);
        free(again);
    }
}

static uint64_t hashed(void)
{
    return kith_share_src_progress_of(src).hashed;
}

/* Reads n bytes of a file as a transfer does. */
static kith_share_block b;

static kith_share_code read_part(const char *name, uint64_t offset, size_t n, const uint8_t **out)
{
    b.count = 1;
    b.items[0] = (kith_share_item){.entry = find(name), .offset = offset, .len = (uint32_t)n};
    b.items[0].code = KITH_SHARE_INTERNAL;
    kith_share_src_read(src, &b);
    if (out)
        *out = b.buf;
    return b.items[0].code;
}

static kith_share_code read_zeros(const char *name, uint64_t offset, size_t n, bool *zeros)
{
    kith_share_code code = read_part(name, offset, n, NULL);
    *zeros = b.items[0].zeros;
    return code;
}

static void a_mixture_is_listed_in_order_and_hashed(void **state)
{
    (void)state;
    sh("mkdir -p s/a/b s/empty && ln -s a/b s/link && ln -s /etc s/out && mkfifo s/pipe && mkdir s/.kith-partial");
    write_file("s/a/b/one", 1, 1);
    write_file("s/a/b/leaf", LEAF, 2);
    write_file("s/a/b/leaf1", LEAF + 1, 3);
    write_file("s/a/nothing", 0, 4);
    write_file("s/a-b", 5 * LEAF + 100, 5); /* '-' sorts before '/', and that must not matter */
    write_file("s/large", 3 * PART + 2 * LEAF + 5, 6);
    write_file("s/z", 10, 7);
    assert_int_equal(share("s"), KITH_OK);
    expect_roots();
    const char *const order[] = {"s",           "s/a",   "s/a/b",   "s/a/b/leaf", "s/a/b/leaf1", "s/a/b/one",
                                 "s/a/nothing", "s/a-b", "s/empty", "s/large",    "s/link",      "s/z"};
    assert_int_equal(manifest()->count, 12);
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(find(order[i]), i);
    support_assert_str(entry(10).target, "a/b");
    size_t left_out = 0;
    for (char *line; (line = kith_share_src_warning(src)) != NULL; free(line), left_out++)
        assert_non_null(strstr(line, "left out"));
    assert_int_equal(left_out, 3);
    assert_int_equal(hashed(), manifest()->bytes);
}

/* Parts and small files by two threads, with the end of what is known never ahead. */
static void *hash_thread(void *arg)
{
    kith_share_slice *slices = arg;
    for (size_t i = 0; i < 64 && slices[i].entries > 0; i += 2)
        kith_share_src_hash(src, &slices[i]);
    return NULL;
}

static void threads_that_hash_make_one_whole(void **state)
{
    (void)state;
    char name[32];
    kith_err e;
    pthread_t t[2];
    kith_share_slice *slices = calloc(66, sizeof *slices);
    assert_non_null(slices);
    assert_int_equal(mkdir(path("s"), 0755), 0);
    for (int i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof name, "s/%d", i);
        write_file(name, (uint64_t)i * 17, (uint64_t)i);
    }
    write_file("s/2x", PART + 1, 1);
    write_file("s/9x", 2 * PART, 2);
    assert_int_equal(walk("s"), KITH_OK);
    size_t n = 0;
    while (kith_share_src_slice(src, &slices[n], &e))
        assert_true(++n < 64);
    assert_true(n > 8);
    assert_int_equal(kith_share_src_source(src).known, 2); /* the folder, and a file that is empty */
    assert_int_equal(pthread_create(&t[0], NULL, hash_thread, slices), 0);
    assert_int_equal(pthread_create(&t[1], NULL, hash_thread, slices + 1), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(slices[i].err, KITH_OK);
    seal();
    expect_roots();
    free(slices);
}

static void *trim_thread(void *arg)
{
    atomic_int *runs = arg;
    for (*runs = 1; atomic_load(runs);)
        kith_share_src_trim(src);
    return NULL;
}

/* Receivers may be waiting for a walk's end. What tests with the thread sanitizer look at. */
static void memory_is_let_go_of_beside_a_walk(void **state)
{
    (void)state;
    atomic_int runs = 0;
    pthread_t t;
    write_file("f", 3 * LEAF, 1);
    assert_int_equal(begin("f"), KITH_OK);
    assert_int_equal(pthread_create(&t, NULL, trim_thread, &runs), 0);
    while (!atomic_load(&runs))
        sched_yield();
    assert_int_equal(kith_share_src_walk(src, why), KITH_OK);
    assert_int_equal(hash(), KITH_OK);
    atomic_store(&runs, 0);
    assert_int_equal(pthread_join(t, NULL), 0);
    seal();
    expect_roots();
}

/* What the walk gives is what a receiver will accept, and the ids are what a receiver computes. */
static void the_list_passes_as_a_receiver_reads_it(void **state)
{
    (void)state;
    kith_manifest m;
    kith_manifest_fault fault;
    uint8_t want[KITH_BLAKE3_LEN];
    sh("mkdir -p s/a/b s/c && ln -s ../c s/a/l");
    write_file("s/a/b/f", 3 * LEAF, 1);
    write_file("s/a/b.f", 0, 1);
    write_file("s/a/g", 7, 2);
    write_file("s/h", LEAF, 3);
    assert_int_equal(walk("s"), KITH_OK);
    assert_int_equal(hash(), KITH_OK);
    seal();
    const kith_share_source now = kith_share_src_source(src);
    kith_blake3_hash(now.manifest->list, want);
    assert_memory_equal(now.list_root, want, sizeof want);
    kith_share_id(now.list_root, now.roots, now.manifest->count, want);
    assert_memory_equal(now.id, want, sizeof want);
    assert_int_equal(kith_manifest_parse(kith_host_env(), now.manifest->list, true, &m, &fault), KITH_OK);
    assert_int_equal(m.count, now.manifest->count);
    assert_int_equal(m.bytes, now.manifest->bytes);
    assert_int_equal(m.leaves, now.manifest->leaves);
    assert_int_equal(m.files, now.manifest->files);
    assert_int_equal(m.dirs, now.manifest->dirs);
    assert_int_equal(m.links, now.manifest->links);
    assert_memory_equal(m.places, now.manifest->places, m.count * sizeof *m.places);
    kith_manifest_fini(&m, kith_host_env());
}

static void what_is_known_is_not_read_again(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path("s"), 0755), 0);
    write_file("s/a", 100, 1);
    write_file("s/b", 3 * LEAF, 2);
    write_file("s/c", PART + 3, 3);
    assert_int_equal(share("s"), KITH_OK);
    assert_int_equal(walk("s"), KITH_OK);
    assert_int_equal(hashed(), 100 + 3 * LEAF + PART + 3);
    assert_int_equal(kith_share_src_source(src).known, 4);
    assert_int_equal(hash(), KITH_OK);
    seal();
    assert_int_equal(hashed(), 100 + 3 * LEAF + PART + 3);
    /* one that changes is, the others are not */
    write_file("s/b", 3 * LEAF, 9);
    assert_int_equal(walk("s"), KITH_OK);
    assert_int_equal(hashed(), 100 + PART + 3);
    assert_int_equal(hash(), KITH_OK);
    seal();
    expect_roots();
    /* without a cache everything is */
    cached = false;
    assert_int_equal(walk("s"), KITH_OK);
    assert_int_equal(hashed(), 0);
}

/* By the real clock all that a test makes is too young. */
static void what_was_just_written_is_read_again(void **state)
{
    (void)state;
    test_clock = NULL;
    assert_int_equal(mkdir(path("s"), 0755), 0);
    write_file("s/a", 100, 1);
    write_file("s/c", PART + 3, 3);
    assert_int_equal(share("s"), KITH_OK);
    write_file("s/a", 101, 1); /* its ctime at least is now, however slow the machine */
    assert_int_equal(share("s"), KITH_OK);
    assert_int_equal(walk("s/a"), KITH_OK);
    assert_int_equal(hashed(), 0);
}

static void holes_are_hashed_unread(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path("s"), 0755), 0);
    write_file("s/holes", 10, 1);
    int fd = open(path("s/holes"), O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)(2 * PART + 1000)), 0);
    assert_int_equal(pwrite(fd, "data", 4, (off_t)(PART - 2)), 4); /* over the bounds of leaves and parts */
    assert_int_equal(pwrite(fd, "more", 4, (off_t)(PART + 7 * LEAF + 5)), 4);
    close(fd);
    write_file("s/all", 0, 1);
    assert_int_equal(truncate(path("s/all"), (off_t)(5 * LEAF)), 0);
    assert_int_equal(share("s"), KITH_OK);
    expect_roots();
    /* as the disk says, in blocks of its own; the 4 KiB around each of the three writes, twice over */
    const uint64_t size = 2 * PART + 1000 + 5 * LEAF, holes = kith_share_src_source(src).holes;
    assert_true(holes <= size - 10 && holes >= size - 6 * 64 * 1024);
    /* and sent unread; a leaf of zeros that are written is read, and then known to be zeros */
    bool zeros;
    assert_int_equal(read_zeros("s/all", LEAF, KITH_TREE_LEAF, &zeros), KITH_SHARE_NONE);
    assert_true(zeros);
    assert_int_equal(read_zeros("s/holes", PART, KITH_TREE_LEAF, &zeros), KITH_SHARE_NONE);
    assert_false(zeros);
    assert_int_equal(read_zeros("s/holes", 4 * LEAF, KITH_TREE_LEAF, &zeros), KITH_SHARE_NONE);
    assert_true(zeros);
    assert_int_equal(truncate(path("s/all"), (off_t)(6 * LEAF)), 0);
    assert_int_equal(read_zeros("s/all", LEAF, KITH_TREE_LEAF, &zeros), KITH_SHARE_CHANGED);
}

static void files_that_change_before_they_are_hashed_are_named(void **state)
{
    (void)state;
    const char *const changes[] = {
        "echo more >> s/x",
        "truncate -s 10 s/x",
        "truncate -s 0 s/x",
        "cp s/x y && mv y s/x",
        "rm s/x",
        "rm s/x && ln -s /etc/passwd s/x",
        "rm s/x && mkfifo s/x",
        "rm s/x && mkdir s/x",
        "touch -d 2001-01-01 s/x",
        "chmod 600 s/x",
        "mv s t && mkdir s",
        "rm -r s && ln -s /etc s",
    };
    for (uint64_t size = 100; size <= PART + LEAF; size = size * PART / 100 + LEAF) {
        size_t few = size > PART ? 2 : sizeof changes / sizeof changes[0];
        for (size_t i = 0; i < few; i++) {
            sh("rm -rf s t && mkdir s");
            write_file("s/x", size, i);
            assert_int_equal(walk("s"), KITH_OK);
            sh(changes[i]);
            assert_int_equal(hash(), KITH_EIO);
            if (!strstr(why, "s/x changed while it was being read"))
                fail_msg("%s: %s", changes[i], why);
        }
        sh("rm -rf s t");
    }
}

static void files_that_change_before_they_are_sent_are_not(void **state)
{
    (void)state;
    const char *const changes[] = {
        "echo more >> s/x",
        "truncate -s 10 s/x",
        "cp s/x y && mv y s/x",
        "rm s/x",
        "rm s/x && ln -s /etc/passwd s/x",
        "rm s/x && mkfifo s/x",
        "rm s/x && mkdir s/x",
        "touch -d 2001-01-01 s/x",
        "mv s t && mkdir s",
        "rm -r s && ln -s /etc s",
    };
    for (uint64_t size = 100; size <= 3 * LEAF; size += 2 * LEAF) {
        for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
            const uint8_t *got;
            uint64_t from = size > LEAF ? LEAF : 0;
            uint8_t want[100];
            sh("rm -rf s t y && mkdir s");
            write_file("s/x", size, i);
            write_file("s/y", 5, i);
            assert_int_equal(share("s"), KITH_OK);
            assert_int_equal(read_part("s/x", from, 100, &got), KITH_SHARE_NONE);
            int fd = open(path("s/x"), O_RDONLY);
            assert_int_equal(pread(fd, want, 100, (off_t)from), 100);
            close(fd);
            assert_memory_equal(got, want, 100);
            sh(changes[i]);
            kith_share_code code = read_part("s/x", from, 100, NULL);
            /* a descriptor that is held shows what it was opened for, as long as that itself has not changed */
            bool held = size > LEAF && (strncmp(changes[i], "mv s", 4) == 0);
            if (code != KITH_SHARE_CHANGED && !(held && code == KITH_SHARE_NONE))
                fail_msg("%s: %d", changes[i], (int)code);
        }
    }
}

static size_t open_files(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void many_large_files_are_read_with_few_descriptors(void **state)
{
    (void)state;
    char name[32];
    const uint8_t *got;
    assert_int_equal(mkdir(path("s"), 0755), 0);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(name, sizeof name, "s/%d", i);
        write_file(name, 2 * LEAF, (uint64_t)i);
    }
    assert_int_equal(share("s"), KITH_OK);
    size_t before = open_files();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++) {
            (void)snprintf(name, sizeof name, "s/%d", i);
            assert_int_equal(read_part(name, 0, KITH_TREE_LEAF, &got), KITH_SHARE_NONE);
            uint64_t seed = (uint64_t)i, v = support_next(&seed);
            assert_memory_equal(got, &v, sizeof v);
        }
    }
    assert_true(open_files() <= before + 8);
}

static void names_in_every_script_are_taken_and_hostile_ones_named(void **state)
{
    (void)state;
    const char *const good[] = {"日本語.txt", "русский", "ελληνικά", "हिन्दी", "한국어",
                                "עברית",      "العربية", "emoji 🐧",  "é",     "e\xcc\x81",
                                " leading",   "-dash",   "a\"b'c$d", "..."};
    const char *const bad[] = {"new\nline", "esc\x1b[31m",     "back\\slash",
                               "\xff\xfe",  "\xe2\x80\xaertl", "del\x7f"};
    assert_int_equal(mkdir(path("s"), 0755), 0);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char name[128];
        (void)snprintf(name, sizeof name, "s/%s", good[i]);
        write_file(name, 4, i);
    }
    assert_int_equal(share("s"), KITH_OK);
    assert_int_equal(manifest()->files, sizeof good / sizeof good[0]);
    expect_roots();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char name[128];
        (void)snprintf(name, sizeof name, "s/%s", bad[i]);
        write_file(name, 4, i);
        assert_int_equal(walk("s"), KITH_EFORMAT);
        assert_non_null(strstr(why, "no receiver would take that name"));
        for (const char *c = why; *c; c++)
            assert_true((unsigned char)*c >= 0x20 && (unsigned char)*c < 0x7f);
        (void)unlink(path(name));
    }
}

static void what_is_given_twice_or_is_not_there_is_an_error(void **state)
{
    (void)state;
    const kith_share_src_config cfg = {0};
    sh("mkdir -p a b && echo 1 > a/x && echo 2 > b/x && mkfifo p");
    src = kith_share_src_new(&cfg);
    assert_non_null(src);
    assert_int_equal(kith_share_src_begin(src, why), KITH_ENOTFOUND);
    assert_int_equal(kith_share_src_add(src, path("none"), why), KITH_EIO);
    assert_non_null(strstr(why, "No such file"));
    assert_int_equal(kith_share_src_add(src, "", why), KITH_EIO);
    assert_int_equal(kith_share_src_add(src, path("a/x"), why), KITH_OK);
    assert_int_equal(kith_share_src_add(src, path("b/x"), why), KITH_OK);
    assert_int_equal(kith_share_src_begin(src, why), KITH_EEXISTS);
    assert_int_equal(walk("p"), KITH_ENOTFOUND); /* it was left out, and nothing is left */
}

static void several_paths_stand_in_the_order_of_their_names(void **state)
{
    (void)state;
    const kith_share_src_config cfg = {0};
    sh("mkdir -p z/in y/b && echo 1 > z/in/f && echo 2 > y/b/g && echo 3 > y/a && mkfifo m && ln -s y/b l");
    src = kith_share_src_new(&cfg);
    assert_non_null(src);
    const char *const given[] = {"z/in/", "y/b", "m", "y/a", "l"};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(kith_share_src_add(src, path(given[i]), why), KITH_OK);
    assert_int_equal(kith_share_src_begin(src, why), KITH_OK);
    assert_int_equal(kith_share_src_walk(src, why), KITH_OK);
    assert_int_equal(hash(), KITH_OK);
    seal();
    const char *const order[] = {"a", "b", "b/g", "in", "in/f", "l", "l/g"};
    assert_int_equal(manifest()->count, 7);
    char shown[256];
    const char *const real[] = {"y/a", "y/b", "y/b/g", "z/in", "z/in/f", "l", "l/g"};
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(find(order[i]), i);
        kith_share_src_path(src, i, shown, sizeof shown);
        assert_string_equal(shown, path(real[i]));
    }
    const uint8_t *got;
    assert_int_equal(read_part("l/g", 0, 2, &got), KITH_SHARE_NONE);
    assert_memory_equal(got, "2\n", 2);
}

static void stopping_ends_walk_and_hashing_at_once(void **state)
{
    (void)state;
    kith_share_slice slice;
    kith_err e;
    assert_int_equal(mkdir(path("s"), 0755), 0);
    write_file("s/large", 3 * PART, 1);
    assert_int_equal(walk("s"), KITH_OK);
    assert_true(kith_share_src_slice(src, &slice, &e));
    assert_non_null(slice.big);
    kith_share_src_stop(src);
    kith_share_src_hash(src, &slice);
    assert_int_equal(hashed(), 0);
    assert_int_equal(kith_share_src_walk(src, why), KITH_ECLOSED);
}

static void a_folder_for_temporary_files_that_is_none_is_named(void **state)
{
    (void)state;
    char none[1200];
    (void)snprintf(none, sizeof none, "%s", path("nowhere"));
    const kith_share_src_config cfg = {.scratch = none};
    sh("echo 1 > x");
    src = kith_share_src_new(&cfg);
    assert_non_null(src);
    assert_int_equal(kith_share_src_add(src, path("x"), why), KITH_OK);
    assert_int_equal(kith_share_src_begin(src, why), KITH_EIO);
    assert_non_null(strstr(why, none));
}

/* It is read once; then it is known, until the file is another. */
static void a_sha_256_comes_from_the_cache_the_next_time(void **state)
{
    (void)state;
    uint8_t content[1000], want[KITH_SHA256_LEN], got[KITH_SHA256_LEN];
    atomic_bool stop = true;
    write_file("f", sizeof content, 3);
    FILE *f = fopen(path("f"), "r");
    assert_non_null(f);
    assert_int_equal(fread(content, 1, sizeof content, f), sizeof content);
    (void)fclose(f);
    kith_sha256(kith_bytes_of(content, sizeof content), want);
    assert_int_equal(share("f"), KITH_OK);
    assert_false(kith_share_src_sha256(src, 0, &stop, got, why)); /* would have to be read */
    stop = false;
    assert_true(kith_share_src_sha256(src, 0, &stop, got, why));
    assert_memory_equal(got, want, sizeof want);
    assert_int_equal(share("f"), KITH_OK);
    stop = true;
    memset(got, 0, sizeof got);
    assert_true(kith_share_src_sha256(src, 0, &stop, got, why));
    assert_memory_equal(got, want, sizeof want);
    stop = false;
    write_file("f", sizeof content + 1, 3);
    assert_false(kith_share_src_sha256(src, 0, &stop, got, why));
    assert_non_null(strstr(why, "has changed"));
}

static int group_setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_mixture_is_listed_in_order_and_hashed, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_that_hash_make_one_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_is_let_go_of_beside_a_walk, setup, teardown),
        cmocka_unit_test_setup_teardown(the_list_passes_as_a_receiver_reads_it, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_known_is_not_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_just_written_is_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(holes_are_hashed_unread, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_change_before_they_are_hashed_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_change_before_they_are_sent_are_not, setup, teardown),
        cmocka_unit_test_setup_teardown(many_large_files_are_read_with_few_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(names_in_every_script_are_taken_and_hostile_ones_named, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_given_twice_or_is_not_there_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(several_paths_stand_in_the_order_of_their_names, setup, teardown),
        cmocka_unit_test_setup_teardown(stopping_ends_walk_and_hashing_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_for_temporary_files_that_is_none_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sha_256_comes_from_the_cache_the_next_time, setup, teardown),
    };
    return cmocka_run_group_tests_name("share_src", tests, group_setup, NULL);
}
