/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The receiving folder by itself, and what somebody else may do to it between the survey and the end. The whole of it, with the program
 * around it, is in test/cli/share_cases.bash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host.h"
#include "host/share_dir_impl.h"

static char top[] = "/tmp/kith-test-dir-XXXXXX";
static char dest[64];
static uint8_t hello_root[32], empty_root[32];

typedef struct folder {
    kith_entry entries[16];
    uint8_t roots[16][KITH_BLAKE3_LEN];
    size_t count;
    kith_manifest m;
    kith_share_dir *d;
    kith_share_dir_fault fault;
    kith_share_dir_sum sum;
    size_t clashes, first;
    kith_durability durability;
    atomic_bool stop;
    uint8_t root[KITH_BLAKE3_LEN];
    uint8_t list[4096];
} folder;

static void run(const char *cmd)
{
    char line[512];
    (void)snprintf(line, sizeof line, "cd %s && %s", top, cmd);
    assert_int_equal(system(line), 0);
}

static bool holds(const char *path, const char *text)
{
    char full[256], buf[64] = "";
    (void)snprintf(full, sizeof full, "%s/%s", dest, path);
    FILE *f = fopen(full, "r");
    if (!f)
        return false;
    size_t n = fread(buf, 1, sizeof buf - 1, f);
    fclose(f);
    return n == strlen(text) && memcmp(buf, text, n) == 0;
}

static bool exists(const char *path)
{
    char full[256];
    struct stat st;
    (void)snprintf(full, sizeof full, "%s/%s", dest, path);
    return lstat(full, &st) == 0;
}

static int setup(void **state)
{
    (void)state;
    memcpy(top, "/tmp/kith-test-dir-XXXXXX", sizeof top);
    assert_non_null(mkdtemp(top));
    (void)snprintf(dest, sizeof dest, "%s/dest", top);
    assert_int_equal(mkdir(dest, 0755), 0);
    kith_blake3_hash(kith_bytes_of("hello", 5), hello_root);
    kith_blake3_hash((kith_bytes){0}, empty_root);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char line[64];
    (void)snprintf(line, sizeof line, "rm -rf %s", top);
    return system(line);
}

static void add(folder *f, kith_entry_type type, size_t depth, const char *name, const char *target)
{
    kith_entry *e = &f->entries[f->count++];
    *e = (kith_entry){
        .type = type, .depth = (uint8_t)depth, .name = kith_bytes_str(name), .mtime_ns = 1000000000123456789};
    if (type == KITH_ENTRY_LINK) {
        e->target = kith_bytes_str(target);
    } else {
        e->mode = type == KITH_ENTRY_DIR ? 0755 : 0644;
        e->size = type == KITH_ENTRY_FILE && target ? 5 : 0;
        if (e->size > 0)
            memcpy(f->roots[f->count - 1], hello_root, sizeof hello_root);
    }
}

/* d/ { e/ , f "hello", l -> f, z empty } and g "hello" */
static void sample(folder *f)
{
    *f = (folder){0};
    add(f, KITH_ENTRY_DIR, 0, "d", NULL);
    add(f, KITH_ENTRY_DIR, 1, "e", NULL);
    add(f, KITH_ENTRY_FILE, 1, "f", "hello");
    add(f, KITH_ENTRY_LINK, 1, "l", "f");
    add(f, KITH_ENTRY_FILE, 1, "z", NULL);
    add(f, KITH_ENTRY_FILE, 0, "g", "hello");
}

static void open_dir(folder *f)
{
    kith_wr w = kith_wr_of(kith_span_of(f->list, sizeof f->list));
    kith_manifest_fault fault;
    for (size_t i = 0; i < f->count; i++)
        kith_manifest_put_entry(&w, &f->entries[i]);
    kith_blake3_hash(kith_wr_bytes(&w), f->root);
    assert_int_equal(kith_manifest_parse(kith_host_env(), kith_wr_bytes(&w), false, &f->m, &fault), KITH_OK);
    f->d = kith_share_dir_open(dest, &f->m, f->root, f->durability, &f->fault);
    assert_non_null(f->d);
    kith_share_dir_roots(f->d, f->roots[0], f->count);
}

static kith_err survey(folder *f, kith_share_clash policy)
{
    return kith_share_dir_survey(f->d, policy, &f->clashes, &f->first, &f->fault);
}

/* Writes "hello" into one file. */
static kith_err write_some(folder *f, size_t entry)
{
    kith_share_block *b = kith_share_block_new(kith_host_env());
    assert_non_null(b);
    memcpy(b->buf, "hello", 5);
    b->count = 1;
    b->items[0] = (kith_share_item){.entry = entry, .len = 5};
    kith_err err = kith_share_dir_write(f->d, b, &f->fault);
    kith_share_block_free(b);
    return err;
}

/* The same for every file that is wanted. */
static kith_err write_all(folder *f)
{
    const uint8_t *skips = kith_share_dir_skips(f->d);
    kith_err err = KITH_OK;
    for (size_t i = 0; i < f->m.count && !err; i++) {
        if (kith_manifest_entry(&f->m, i).size > 0 && !(skips && skips[i]))
            err = write_some(f, i);
    }
    return err;
}

static kith_err finish(folder *f)
{
    return kith_share_dir_finish(f->d, &f->sum, &f->fault);
}

static uint64_t close_dir(folder *f)
{
    uint64_t kept = kith_share_dir_close(f->d);
    kith_manifest_fini(&f->m, kith_host_env());
    return kept;
}

/* Opens, surveys and begins. */
static void begin_again(folder *f, kith_share_clash policy)
{
    open_dir(f);
    assert_int_equal(survey(f, policy), KITH_OK);
    assert_int_equal(kith_share_dir_begin(f->d, &f->fault), KITH_OK);
}

static void everything_is_put_in_place_and_nothing_left(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    assert_false(exists(".kith-partial"));
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(write_all(&f), KITH_OK);
    assert_false(exists("d"));
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    assert_true(holds("d/f", "hello") && holds("d/l", "hello") && holds("d/z", "") && holds("g", "hello") &&
                exists("d/e"));
    assert_false(exists(".kith-partial"));
    assert_true(f.sum.files == 3 && f.sum.dirs == 2 && f.sum.links == 1 && f.sum.bytes == 10 &&
                f.sum.lost == 0);
    struct stat st;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/d", dest);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mtim.tv_sec, 1000000000);
    assert_int_equal(st.st_mtim.tv_nsec, 123456789);
}

static void what_comes_after_an_entry_does_not_lie_in_it(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    f.entries[f.count - 1].type = KITH_ENTRY_DIR; /* g/ { x "hello" } */
    f.entries[f.count - 1].size = 0;
    add(&f, KITH_ENTRY_FILE, 1, "x", "hello");
    open_dir(&f);
    static const size_t want[] = {5, 2, 3, 4, 5, 7, 7};
    for (size_t i = 0; i < f.m.count; i++)
        assert_int_equal(kith_share_after(&f.m, i), want[i]);
    close_dir(&f);
}

static void giving_up_before_content_came_leaves_nothing(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_true(exists(".kith-partial"));
    assert_int_equal(close_dir(&f), 0);
    run("test -z \"$(ls -A dest)\"");
}

static void giving_up_keeps_what_has_come(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(write_some(&f, 2), KITH_OK);
    assert_int_equal(close_dir(&f), 5);
    run("test \"$(ls -A dest)\" = .kith-partial");
    uint64_t available, needed, before;
    sample(&f);
    open_dir(&f);
    kith_share_dir_space(f.d, &available, &before);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    kith_share_dir_space(f.d, &available, &needed);
    assert_int_equal(needed - before, 5 + (16 << 20)); /* of ten; and what a file system wants */
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_true(kith_leaves_has(kith_share_dir_here(f.d), 0, 1) && kith_share_dir_here(f.d)->total == 1);
    assert_int_equal(write_some(&f, 5), KITH_OK);
    assert_int_equal(finish(&f), KITH_OK);
    assert_int_equal(close_dir(&f), 0);
    assert_true(holds("d/f", "hello") && holds("g", "hello"));
    assert_false(exists(".kith-partial"));
}

/* Not one descriptor more than are open, below the highest of them. */
static void take_all_descriptors(struct rlimit *before)
{
    assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
    struct rlimit none = *before;
    int next = dup(0);
    assert_true(next >= 0);
    close(next);
    none.rlim_cur = (rlim_t)next; /* the lowest number that is free */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(dup(0), -1);
}

static void giving_up_keeps_it_also_without_descriptors(void **state)
{
    (void)state;
    folder f;
    struct rlimit before;
    sample(&f);
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(write_all(&f), KITH_OK);
    assert_true(exists(".kith-partial"));
    take_all_descriptors(&before);
    assert_int_equal(kith_share_dir_close(f.d), 10);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    kith_manifest_fini(&f.m, kith_host_env());
    sample(&f);
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(kith_share_dir_here(f.d)->total, 2);
    take_all_descriptors(&before);
    assert_int_equal(kith_share_dir_close(f.d), 10);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    kith_manifest_fini(&f.m, kith_host_env());
}

static void a_beginning_that_fails_leaves_nothing(void **state)
{
    (void)state;
    folder f;
    struct rlimit before, some;
    sample(&f);
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    take_all_descriptors(&before);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &some), 0);
    some.rlim_cur += 2; /* for the folders, not for what is in them */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &some), 0);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_EIO);
    assert_int_equal(f.fault.err, EMFILE);
    assert_true(exists(".kith-partial"));
    take_all_descriptors(&some); /* the folder keeps one to be cleaned up with */
    assert_int_equal(close_dir(&f), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(exists(".kith-partial"));
}

/* What is not in the journal will not be gone on with, and is not said to be kept. */
static void what_could_not_be_journaled_is_not_kept(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        folder f;
        sample(&f);
        begin_again(&f, KITH_SHARE_CLASH_FAIL);
        assert_int_equal(first ? write_some(&f, 2) : KITH_OK, KITH_OK);
        assert_int_equal(kith_share_dir_sync(f.d, &f.fault), KITH_OK);
        assert_int_equal(write_some(&f, 5), KITH_OK);
        int null = open("/dev/null", O_RDONLY); /* not to be written to */
        assert_int_equal(dup2(null, f.d->journal.fd), f.d->journal.fd);
        close(null);
        assert_int_equal(close_dir(&f), first ? 5 : 0);
        assert_int_equal(exists(".kith-partial"), first);
    }
    folder f;
    sample(&f);
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(kith_share_dir_here(f.d)->total, 1);
    close_dir(&f);
}

static void a_file_that_appears_after_the_survey_is_kept(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_OVERWRITE),
                     KITH_OK); /* even so: it was not there to be overwritten */
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(write_all(&f), KITH_OK);
    run("echo mine > dest/g");
    assert_int_equal(finish(&f), KITH_EIO);
    assert_int_equal(f.fault.err, EEXIST);
    assert_int_equal(f.fault.entry, 5);
    close_dir(&f);
    assert_true(holds("g", "mine\n"));
    run("rm dest/g"); /* as kith says; and then nothing is fetched again: one file is in place, one is in its part */
    sample(&f);
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(kith_share_dir_skips(f.d)[2], KITH_SHARE_EQUAL);
    assert_true(kith_leaves_has(kith_share_dir_here(f.d), 1, 2) && kith_share_dir_here(f.d)->total == 1);
    assert_int_equal(finish(&f), KITH_OK);
    assert_int_equal(f.sum.files, 1);
    assert_int_equal(f.sum.equal, 2); /* and the empty one */
    close_dir(&f);
    assert_true(holds("d/f", "hello") && holds("g", "hello"));
    assert_false(exists(".kith-partial"));
    struct stat st;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/d", dest);
    assert_int_equal(stat(path, &st), 0);
    assert_true((st.st_mode & 0777) == 0755 &&
                st.st_mtim.tv_sec == 1000000000); /* as if it had gone through at once */
}

static void a_link_that_appears_after_the_survey_is_not_followed(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    run("mkdir outside");
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(write_all(&f), KITH_OK);
    run("ln -s ../outside dest/d");
    assert_int_equal(finish(&f), KITH_EIO);
    assert_int_equal(f.fault.entry, 0);
    close_dir(&f);
    run("test -z \"$(ls -A outside)\"");
}

static void a_folder_that_becomes_a_link_is_not_followed(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    run("mkdir outside dest/d");
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(write_all(&f), KITH_OK);
    run("rmdir dest/d && ln -s ../outside dest/d");
    assert_int_equal(finish(&f), KITH_EIO);
    close_dir(&f);
    run("test -z \"$(ls -A outside)\"");
}

static void the_destination_may_be_moved_meanwhile(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    run("mkdir other && mv dest moved && ln -s other dest"); /* what the name leads to now does not matter */
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(write_all(&f), KITH_OK);
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    run("test -z \"$(ls -A other)\" && test -f moved/d/f");
}

static void planted_parts_are_not_used(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    run("echo secret > secret; mkdir dest/.kith-partial");
    open_dir(&f);
    char line[256];
    (void)snprintf(line, sizeof line, "mkdir dest/.kith-partial/%s", f.d->id);
    run(line);
    run("cd dest/.kith-partial/* && ln -s ../../../secret 2.part && ln -s ../../../secret 5.part");
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK); /* clears them away */
    /* and one that came back in the meantime */
    run("cd dest/.kith-partial/* && ln -s ../../../secret 2.part");
    assert_int_equal(write_all(&f), KITH_EIO);
    assert_int_equal(f.fault.err, EEXIST);
    close_dir(&f);
    run("test \"$(cat secret)\" = secret && test -z \"$(ls -A dest)\"");
}

static void two_at_once_are_kept_apart(void **state)
{
    (void)state;
    folder f, g;
    sample(&f);
    sample(&g);
    open_dir(&f);
    open_dir(&g);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(kith_share_dir_begin(g.d, &g.fault), KITH_EIO);
    assert_int_equal(g.fault.err, EWOULDBLOCK);
    close_dir(&g);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    assert_int_equal(write_all(&f), KITH_OK);
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    assert_true(holds("g", "hello"));
}

static void a_new_name_is_one_that_is_free_everywhere(void **state)
{
    (void)state;
    folder f = {0};
    add(&f, KITH_ENTRY_FILE, 0, "a (2).tar.gz", "hello");
    add(&f, KITH_ENTRY_FILE, 0, "a.tar.gz", "hello");
    add(&f, KITH_ENTRY_FILE, 0, "b", "hello");
    add(&f, KITH_ENTRY_DIR, 0, "c.d", NULL);
    add(&f, KITH_ENTRY_FILE, 1, "in", "hello");
    run("cd dest && touch a.tar.gz 'a.tar (2).gz' b 'b (2)' && mkdir c.d && touch c.d/in");
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_RENAME), KITH_OK);
    assert_int_equal(f.clashes, 3);
    assert_int_equal(kith_share_dir_new_name(f.d, 0).len, 0);
    assert_true(kith_bytes_eq_str(kith_share_dir_new_name(f.d, 1), "a.tar (3).gz"));
    assert_true(kith_bytes_eq_str(kith_share_dir_new_name(f.d, 2), "b (3)"));
    assert_true(kith_bytes_eq_str(kith_share_dir_new_name(f.d, 3), "c.d (2)"));
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(write_all(&f), KITH_OK);
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    assert_true(holds("a (2).tar.gz", "hello") && holds("a.tar (3).gz", "hello") && holds("b (3)", "hello") &&
                holds("c.d (2)/in", "hello"));
    assert_true(holds("a.tar.gz", "") && holds("b", "") && holds("c.d/in", ""));
}

static void skipping_keeps_what_is_there_and_what_lies_in_it(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    run("echo x > dest/d; echo y > dest/g"); /* a file where a folder would go */
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_SKIP), KITH_OK);
    const uint8_t *skips = kith_share_dir_skips(f.d);
    for (size_t i = 0; i < f.count; i++)
        assert_true(skips[i]);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    assert_true(holds("d", "x\n") && holds("g", "y\n"));
}

static void each_thing_in_the_way_can_be_decided_about(void **state)
{
    (void)state;
    struct stat st;
    folder f = {0};
    add(&f, KITH_ENTRY_FILE, 0, "b", "hello");
    add(&f, KITH_ENTRY_FILE, 0, "c", "hello");
    add(&f, KITH_ENTRY_DIR, 0, "d", NULL);
    add(&f, KITH_ENTRY_FILE, 1, "e", "hello");
    add(&f, KITH_ENTRY_DIR, 1, "g", NULL);
    add(&f, KITH_ENTRY_FILE, 2, "h", "hello");
    add(&f, KITH_ENTRY_FILE, 1, "i", "hello");
    add(&f, KITH_ENTRY_FILE, 0, "j", "hello");
    add(&f, KITH_ENTRY_LINK, 0, "k", "j");
    add(&f, KITH_ENTRY_DIR, 0, "l", NULL);
    add(&f, KITH_ENTRY_FILE, 1, "m", "hello");
    /* b is the same; of the others c, j and k are in the way, d/e, d/g/h, and l, whose content is not looked at. */
    run("cd dest && printf hello > b && printf other > c && mkdir -p d/g && echo x > d/e && printf olleh > d/g/h && "
        "echo y > j && ln -s z k && echo w > l");
    open_dir(&f);
    kith_share_dir_roots(f.d, f.roots[0], f.count);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_ASK), KITH_EEXISTS);
    static const size_t clashes[] = {1, 3, 5, 7, 8, 9};
    size_t at = 0;
    for (size_t i = 0; i < 6; i++, at++) {
        at = kith_share_dir_clash(f.d, at);
        assert_int_equal(at, clashes[i]);
        assert_true(kith_share_dir_there(f.d, at, &st));
        assert_true(kith_share_dir_can_replace(f.d, at) == (at != 9));
    }
    assert_int_equal(kith_share_dir_clash(f.d, at), f.count);
    assert_int_equal(f.clashes, 6);
    assert_int_equal(f.first, 1);
    assert_true(kith_share_dir_there(f.d, 5, &st) && st.st_size == 5);
    run("mv dest/d/g dest/d/away");
    assert_false(kith_share_dir_there(f.d, 5, &st));
    run("ln -s away dest/d/g"); /* a folder's way is through no link */
    assert_false(kith_share_dir_there(f.d, 5, &st));
    run("rm dest/d/g && mv dest/d/away dest/d/g");
    kith_share_dir_decide(f.d, 1, KITH_SHARE_CLASH_OVERWRITE);
    kith_share_dir_decide(
        f.d, 3, KITH_SHARE_CLASH_OVERWRITE); /* which no longer matters, as all of d gets another name: */
    kith_share_dir_decide(f.d, 5, KITH_SHARE_CLASH_RENAME);
    kith_share_dir_decide(f.d, 7, KITH_SHARE_CLASH_SKIP);
    kith_share_dir_decide(f.d, 8, KITH_SHARE_CLASH_OVERWRITE);
    kith_share_dir_decide(f.d, 9, KITH_SHARE_CLASH_RENAME);
    assert_int_equal(kith_share_dir_clash(f.d, 0), f.count);
    assert_int_equal(kith_share_dir_decided(f.d, &f.first), KITH_OK);
    const uint8_t *skips = kith_share_dir_skips(f.d);
    for (size_t i = 0; i < f.count; i++)
        assert_int_equal(skips[i], i == 0 ? KITH_SHARE_EQUAL : i == 7 ? KITH_SHARE_SKIPPED : 0);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(write_all(&f), KITH_OK);
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    assert_true(holds("b", "hello") && holds("c", "hello") && holds("d/e", "x\n") &&
                holds("d/g/h", "olleh") && holds("d (2)/e", "hello") && holds("d (2)/g/h", "hello") &&
                holds("d (2)/i", "hello") && holds("j", "y\n") && holds("k", "y\n") && holds("l", "w\n") &&
                holds("l (2)/m", "hello"));
    assert_false(exists("d/i"));
}

static void a_lost_file_is_left_out(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    kith_share_block *b = kith_share_block_new(kith_host_env());
    assert_non_null(b);
    memcpy(b->buf, "hellohello", 10);
    b->count = 4;
    b->items[0] = (kith_share_item){.entry = 2, .len = 5};                   /* here, */
    b->items[1] = (kith_share_item){.entry = 2, .code = KITH_SHARE_CHANGED}; /* lost, */
    b->items[2] = (kith_share_item){.entry = 2, .len = 5};                   /* and here all the same */
    b->items[3] = (kith_share_item){.entry = 5, .at = 5, .len = 5};
    assert_int_equal(kith_share_dir_write(f.d, b, &f.fault), KITH_OK);
    kith_share_block_free(b);
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    assert_int_equal(f.sum.lost, 1);
    assert_false(exists("d/f"));
    assert_true(holds("g", "hello") && exists("d/z"));
    assert_false(exists(".kith-partial"));
}

static void *sync_some(void *arg)
{
    folder *f = arg;
    kith_share_dir_fault fault;
    while (!atomic_load(&f->stop))
        assert_int_equal(kith_share_dir_sync(f->d, &fault), KITH_OK);
    return NULL;
}

/* What tests with the thread sanitizer look at; and files are dropped that are being synced. */
static void syncing_goes_on_beside_writing(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    enum { COUNT = sizeof names / sizeof names[0] };
    folder f = {0};
    pthread_t t;
    kith_share_block *b = kith_share_block_new(kith_host_env());
    assert_non_null(b);
    for (size_t i = 0; i < COUNT; i++)
        add(&f, KITH_ENTRY_FILE, 0, names[i], "hello");
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(pthread_create(&t, NULL, sync_some, &f), 0);
    for (size_t i = 0; i < COUNT; i++) {
        kith_share_dir_roots(f.d, f.roots[0], i + 1);
        assert_int_equal(write_some(&f, i), KITH_OK);
        while (kith_share_dir_unsynced(f.d) > 0)
            sched_yield(); /* until it has been taken */
        if (i >= COUNT / 2)
            continue;
        b->count = 1;
        b->items[0] = (kith_share_item){.entry = i, .code = KITH_SHARE_CHANGED};
        assert_int_equal(kith_share_dir_write(f.d, b, &f.fault), KITH_OK);
    }
    atomic_store(&f.stop, true);
    assert_int_equal(pthread_join(t, NULL), 0);
    kith_share_block_free(b);
    assert_int_equal(close_dir(&f), 5 * COUNT / 2);
    f.count = 0;
    for (size_t i = 0; i < COUNT; i++)
        add(&f, KITH_ENTRY_FILE, 0, names[i], "hello");
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    assert_true(kith_leaves_has(kith_share_dir_here(f.d), COUNT / 2, COUNT));
    assert_int_equal(kith_share_dir_here(f.d)->total, COUNT / 2);
    close_dir(&f);
}

/* ---- going on, out of order, and what is here already ---- */

enum { BIG_LEAVES = 5, BIG = 4 * KITH_TREE_LEAF + 1000 };
static uint8_t big[BIG], big_root[32], big_nodes[(2 * BIG_LEAVES - 1) * 32];

static kith_bytes leaf_bytes(size_t i)
{
    return kith_bytes_of(big + i * KITH_TREE_LEAF, i + 1 < BIG_LEAVES ? KITH_TREE_LEAF : 1000);
}

/* "a" of five leaves and "b" "hello". */
static void big_sample(folder *f)
{
    for (size_t i = 0; i < BIG; i++)
        big[i] = (uint8_t)(i * 7 + i / 251);
    memset(big + 2 * KITH_TREE_LEAF, 0, KITH_TREE_LEAF);
    for (size_t i = 0; i < BIG_LEAVES; i++)
        kith_tree_leaf(big_nodes, BIG, i, leaf_bytes(i));
    kith_tree_join(big_nodes, BIG);
    memcpy(big_root, big_nodes, 32);
    *f = (folder){0};
    add(f, KITH_ENTRY_FILE, 0, "a", "x");
    f->entries[0].size = BIG;
    memcpy(f->roots[0], big_root, sizeof big_root);
    f->entries[0].mode = 0444; /* root does not mind, others would not be let in again */
    add(f, KITH_ENTRY_FILE, 0, "b", "hello");
}

static kith_err write_leaf(folder *f, size_t leaf, bool zeros)
{
    kith_share_block *b = kith_share_block_new(kith_host_env());
    kith_bytes data = leaf_bytes(leaf);
    assert_non_null(b);
    memcpy(b->buf, data.p, data.len);
    b->count = 1;
    b->items[0] = (kith_share_item){
        .entry = 0, .offset = leaf * KITH_TREE_LEAF, .len = (uint32_t)data.len, .zeros = zeros};
    if (zeros)
        memset(b->buf, 0xaa, data.len);
    kith_err err = kith_share_dir_write(f->d, b, &f->fault);
    kith_share_block_free(b);
    return err;
}

static bool holds_big(const char *name)
{
    static uint8_t buf[BIG + 1];
    char full[256];
    (void)snprintf(full, sizeof full, "%s/%s", dest, name);
    FILE *f = fopen(full, "r");
    size_t n = f ? fread(buf, 1, sizeof buf, f) : 0;
    if (f)
        fclose(f);
    return n == BIG && memcmp(buf, big, BIG) == 0;
}

static void leaves_come_in_any_order(void **state)
{
    (void)state;
    static const size_t order[] = {3, 0, 4, 2, 1};
    for (int d = KITH_DURABILITY_BATCH; d <= KITH_DURABILITY_STRICT; d++) {
        folder f;
        big_sample(&f);
        f.durability = (kith_durability)d;
        begin_again(&f, KITH_SHARE_CLASH_OVERWRITE);
        for (size_t i = 0; i < BIG_LEAVES; i++)
            assert_int_equal(write_leaf(&f, order[i], order[i] == 2), KITH_OK);
        assert_int_equal(write_leaf(&f, 1, false), KITH_OK); /* one that came twice */
        assert_int_equal(write_some(&f, 1), KITH_OK);
        assert_int_equal(finish(&f), KITH_OK);
        close_dir(&f);
        struct stat st;
        char path[128];
        (void)snprintf(path, sizeof path, "%s/a", dest);
        assert_true(holds_big("a") && holds("b", "hello") && !exists(".kith-partial"));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0444);
        assert_true(st.st_blocks * 512 <= BIG - KITH_TREE_LEAF + 65536); /* zeros are a hole */
        run("rm -f dest/a dest/b");
    }
}

/* A process that ends without a word: what is not in the journal is not believed. */
static void abandon(folder *f)
{
    (void)close(f->d->parts); /* and with it the lock */
    f->d->parts = -1;
    close_dir(f);
}

static void what_is_in_the_journal_is_gone_on_with(void **state)
{
    (void)state;
    folder f;
    big_sample(&f);
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(write_leaf(&f, 4, false), KITH_OK);
    assert_int_equal(write_leaf(&f, 1, false), KITH_OK);
    assert_int_equal(kith_share_dir_unsynced(f.d), KITH_TREE_LEAF + 1000);
    assert_int_equal(kith_share_dir_sync(f.d, &f.fault), KITH_OK);
    assert_int_equal(kith_share_dir_unsynced(f.d), 0);
    assert_int_equal(write_leaf(&f, 0, false), KITH_OK);
    abandon(&f);
    big_sample(&f);
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    const kith_leaves *here = kith_share_dir_here(f.d);
    assert_true(here->count == 2 && here->ranges[0].first == 1 && here->ranges[1].first == 4 &&
                here->total == 2);
    assert_int_equal(kith_share_dir_bytes(f.d), KITH_TREE_LEAF + 1000);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(i == 1 ? KITH_OK : write_leaf(&f, i, false), KITH_OK);
    assert_int_equal(write_some(&f, 1), KITH_OK);
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    assert_true(holds_big("a") && holds("b", "hello") && !exists(".kith-partial"));
}

static void a_part_that_is_gone_or_short_is_not_believed(void **state)
{
    (void)state;
    static const char *const hurt[] = {
        "truncate -s 1000 dest/.kith-partial/*/0.part", "rm dest/.kith-partial/*/0.part",
        "ln dest/.kith-partial/*/0.part second", "cd dest/.kith-partial/* && mv 0.part x && ln -s x 0.part"};
    for (size_t i = 0; i < sizeof hurt / sizeof hurt[0]; i++) {
        folder f;
        big_sample(&f);
        begin_again(&f, KITH_SHARE_CLASH_FAIL);
        assert_int_equal(write_leaf(&f, 1, false), KITH_OK);
        assert_int_equal(close_dir(&f), KITH_TREE_LEAF);
        run(hurt[i]);
        big_sample(&f);
        begin_again(&f, KITH_SHARE_CLASH_FAIL);
        assert_int_equal(kith_share_dir_here(f.d)->total, 0);
        close_dir(&f);
        assert_false(exists(".kith-partial"));
    }
}

/* The journal says that it was begun in another run of the system. */
static void pretend_another_run(kith_share_dir *d)
{
    kith_journal_state st = {.durability = d->durability, .run = {1}};
    kith_journal_close(&d->journal);
    assert_int_equal(kith_journal_begin(&d->journal, d->parts, d->list_root, &st, false), 0);
}

static void without_syncs_a_power_cut_takes_all(void **state)
{
    (void)state;
    uint64_t available, needed[2];
    for (int cut = 0; cut < 2; cut++) {
        folder f;
        big_sample(&f);
        f.durability = KITH_DURABILITY_NONE;
        begin_again(&f, KITH_SHARE_CLASH_FAIL);
        assert_int_equal(write_leaf(&f, 1, false), KITH_OK);
        if (cut)
            pretend_another_run(f.d);
        close_dir(&f);
        big_sample(&f);
        begin_again(&f, KITH_SHARE_CLASH_FAIL);
        assert_int_equal(kith_share_dir_here(f.d)->total, cut ? 0 : 1);
        assert_int_equal(kith_share_dir_older(f.d)->total, cut ? 1 : 0);
        kith_share_dir_space(f.d, &available, &needed[cut]);
        kith_share_dir_close(f.d);
        run("rm -rf dest/.kith-partial");
        kith_manifest_fini(&f.m, kith_host_env());
    }
    assert_int_equal(needed[1], needed[0]); /* it has its room, and is older content */
}

static void a_folder_that_others_can_write_to_is_not_used(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    run("mkdir -p dest/.kith-partial && chmod 777 dest/.kith-partial");
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_EIO);
    assert_int_equal(f.fault.err, EPERM);
    close_dir(&f);
}

static void what_is_there_just_as_it_would_come_is_no_clash(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    run("mkdir dest/d && printf hello > dest/d/f && ln -s f dest/d/l && printf hallo > dest/g");
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_EEXISTS);
    assert_int_equal(f.clashes, 1);
    assert_int_equal(f.first, 5);
    close_dir(&f);
    run("printf hello > dest/g");
    sample(&f);
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    uint64_t done, total;
    kith_share_dir_hashed(f.d, &done, &total);
    assert_true(done == 10 && total == 10);
    assert_int_equal(write_all(&f), KITH_OK);
    assert_int_equal(finish(&f), KITH_OK);
    assert_true(f.sum.files == 1 && f.sum.equal == 3 && f.sum.links == 0);
    close_dir(&f);
    assert_true(holds("d/f", "hello") && holds("g", "hello") && exists("d/z") && exists("d/l"));
}

static void another_policy_may_be_chosen_when_the_first_does_not_do(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    run("mkdir dest/d && printf hello > dest/d/f && printf hallo > dest/g");
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_EEXISTS);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_RENAME), KITH_OK);
    assert_true(kith_bytes_eq_str(kith_share_dir_new_name(f.d, 5), "g (2)"));
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_SKIP), KITH_OK);
    assert_int_equal(kith_share_dir_skips(f.d)[5], KITH_SHARE_SKIPPED);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_OVERWRITE), KITH_OK);
    assert_int_equal(kith_share_dir_new_name(f.d, 5).len, 0);
    assert_int_equal(kith_share_dir_skips(f.d)[2], KITH_SHARE_EQUAL);
    assert_int_equal(kith_share_dir_skips(f.d)[5], 0);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(write_all(&f), KITH_OK);
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    assert_true(holds("g", "hello") && holds("d/f", "hello"));
}

static void what_is_not_selected_is_not_looked_at(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    run("mkdir dest/g");
    open_dir(&f);
    static const uint8_t unwanted[] = {0, 1, 0, 1, 1, 1};
    kith_share_dir_select(f.d, unwanted);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(write_all(&f), KITH_OK);
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    assert_true(holds("d/f", "hello"));
    run("test \"$(find dest | sort | tr '\\n' ' ')\" = 'dest dest/d dest/d/f dest/g '");
}

static void files_of_older_partial_content_are_taken_over(void **state)
{
    (void)state;
    folder f;
    big_sample(&f);
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    for (size_t i = 0; i < BIG_LEAVES; i++)
        assert_int_equal(write_leaf(&f, i, false), KITH_OK);
    assert_true(close_dir(&f) > 0);
    folder g = {0}; /* another list, with the same file under another name */
    add(&g, KITH_ENTRY_FILE, 0, "aa", "hello");
    add(&g, KITH_ENTRY_FILE, 0, "renamed", "x");
    g.entries[1].size = BIG;
    memcpy(g.roots[1], big_root, sizeof big_root);
    begin_again(&g, KITH_SHARE_CLASH_FAIL);
    assert_true(kith_leaves_has(kith_share_dir_here(g.d), 1, 1 + BIG_LEAVES));
    assert_int_equal(write_some(&g, 0), KITH_OK);
    assert_int_equal(finish(&g), KITH_OK);
    close_dir(&g);
    assert_true(holds_big("renamed") && holds("aa", "hello"));
    assert_false(exists(".kith-partial")); /* of the older nothing was left */
}

/* Its journal cannot be written anew: then nothing of it is taken, and it stays as it is. */
static void older_partial_content_stays_when_it_cannot_be_taken_over(void **state)
{
    (void)state;
    folder f;
    big_sample(&f);
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    for (size_t i = 0; i < BIG_LEAVES; i++)
        assert_int_equal(write_leaf(&f, i, false), KITH_OK);
    assert_int_equal(close_dir(&f), BIG);
    run("cd dest/.kith-partial/* && mkdir journal.new");
    folder g;
    big_sample(&g);
    add(&g, KITH_ENTRY_FILE, 0, "c", "hello");
    begin_again(&g, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(kith_share_dir_here(g.d)->total, 0);
    for (size_t i = 0; i < BIG_LEAVES; i++)
        assert_int_equal(write_leaf(&g, i, false), KITH_OK);
    assert_int_equal(write_some(&g, 1), KITH_OK);
    assert_int_equal(write_some(&g, 2), KITH_OK);
    assert_int_equal(finish(&g), KITH_OK);
    close_dir(&g);
    run("rmdir dest/.kith-partial/*/journal.new && rm dest/?");
    big_sample(&f);
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(kith_share_dir_here(f.d)->total, BIG_LEAVES);
    close_dir(&f);
}

/* ---- older content ---- */

/* A leaf that the sharer says is the same. *stale: it is not here after all. */
static kith_err same_leaf(folder *f, size_t leaf, bool *stale)
{
    kith_share_block *b = kith_share_block_new(kith_host_env());
    assert_non_null(b);
    uint32_t first, end;
    kith_manifest_leaves(&f->m, 0, &first, &end);
    b->count = 1;
    b->items[0] = (kith_share_item){.entry = 0,
                                    .leaf = first + leaf,
                                    .offset = leaf * KITH_TREE_LEAF,
                                    .len = (uint32_t)leaf_bytes(leaf).len,
                                    .same = true};
    kith_err err = kith_share_dir_write(f->d, b, &f->fault);
    *stale = b->items[0].stale;
    kith_share_block_free(b);
    return err;
}

/* Puts what big_sample has into the destination, changed at some bytes and cut or grown to a size. */
static void put_older(const char *name, size_t size, size_t change)
{
    static uint8_t older[2 * BIG];
    char path[128];
    memcpy(older, big, BIG);
    older[change] ^= 1;
    (void)snprintf(path, sizeof path, "%s/%s", dest, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(older, 1, size, f), size);
    fclose(f);
}

static bool is_value(const folder *f, uint32_t leaf)
{
    const size_t at = leaf * KITH_TREE_LEAF;
    const size_t to = at + leaf_bytes(leaf).len;
    return memcmp(kith_share_dir_older_value(f->d, leaf), big_nodes + kith_tree_place(BIG, at, to) * 32,
                  32) == 0;
}

/* Leaf 2 of big_sample is zeros, which need no hint. */
static void what_is_overwritten_is_older_content(void **state)
{
    (void)state;
    static const size_t sizes[] = {BIG, BIG - 1, BIG + 1, 2 * BIG, 3 * KITH_TREE_LEAF + 7};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        folder f;
        bool stale, last = sizes[k] >= BIG, fourth = sizes[k] >= 4 * (size_t)KITH_TREE_LEAF;
        big_sample(&f);
        put_older("a", sizes[k], 5);
        begin_again(&f, KITH_SHARE_CLASH_OVERWRITE);
        const kith_leaves *older = kith_share_dir_older(f.d);
        assert_true(kith_leaves_has(older, 0, 2) && !kith_leaves_has(older, 2, 3));
        assert_int_equal(kith_leaves_has(older, 3, 4), fourth);
        assert_int_equal(kith_leaves_has(older, 4, 5), last);
        assert_true(!is_value(&f, 0) && is_value(&f, 1));
        assert_int_equal(write_leaf(&f, 0, false), KITH_OK);
        assert_int_equal(write_leaf(&f, 2, true), KITH_OK);
        for (size_t i = 1; i < BIG_LEAVES; i++) {
            if (i == 2)
                continue;
            if (!kith_leaves_has(older, (uint32_t)i, (uint32_t)i + 1)) {
                assert_int_equal(write_leaf(&f, i, false), KITH_OK);
                continue;
            }
            assert_true(is_value(&f, (uint32_t)i));
            assert_int_equal(same_leaf(&f, i, &stale), KITH_OK);
            assert_false(stale);
        }
        assert_int_equal(write_some(&f, 1), KITH_OK);
        assert_int_equal(finish(&f), KITH_OK);
        close_dir(&f);
        assert_true(holds_big("a") && holds("b", "hello") && !exists(".kith-partial"));
        run("rm -f dest/a dest/b");
    }
    /* what is the same, what is kept, and what has another name is none */
    for (int policy = KITH_SHARE_CLASH_OVERWRITE; policy <= KITH_SHARE_CLASH_SKIP; policy++) {
        folder f;
        big_sample(&f);
        put_older("a", BIG, policy == KITH_SHARE_CLASH_OVERWRITE ? BIG : 5);
        begin_again(&f, (kith_share_clash)policy);
        assert_int_equal(kith_share_dir_older(f.d)->total, 0);
        close_dir(&f);
    }
}

/* Only what the person decides to overwrite is. */
static void what_is_decided_to_be_overwritten_is_older_content(void **state)
{
    (void)state;
    for (int longer = 0; longer < 2; longer++) {
        for (int how = KITH_SHARE_CLASH_OVERWRITE; how <= KITH_SHARE_CLASH_SKIP; how++) {
            folder f;
            bool stale;
            big_sample(&f);
            put_older("a", BIG + (size_t)longer, 5);
            open_dir(&f);
            assert_int_equal(survey(&f, KITH_SHARE_CLASH_ASK), KITH_EEXISTS);
            kith_share_dir_decide(f.d, 0, (kith_share_clash)how);
            assert_int_equal(kith_share_dir_decided(f.d, &f.first), KITH_OK);
            assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
            assert_int_equal(kith_share_dir_older(f.d)->total, how == KITH_SHARE_CLASH_OVERWRITE ? 4 : 0);
            if (how == KITH_SHARE_CLASH_OVERWRITE) {
                assert_int_equal(same_leaf(&f, 1, &stale), KITH_OK);
                assert_false(stale);
            }
            close_dir(&f);
            run("rm -rf dest/.kith-partial dest/a");
        }
    }
}

/* It is read and hashed again when it is put to use. */
static void older_content_that_has_changed_is_not_used(void **state)
{
    (void)state;
    static const char *const hurt[] = {
        "printf x | dd of=dest/a bs=1 seek=300000 conv=notrunc 2>/dev/null", "truncate -s 300000 dest/a",
        "rm dest/a", "mv dest/a away && ln -s ../away dest/a", "rm dest/a && mkfifo dest/a"};
    for (size_t k = 0; k < sizeof hurt / sizeof hurt[0]; k++) {
        folder f;
        bool stale;
        big_sample(&f);
        put_older("a", BIG, 5);
        begin_again(&f, KITH_SHARE_CLASH_OVERWRITE);
        run(hurt[k]);
        assert_int_equal(same_leaf(&f, 1, &stale), KITH_OK);
        assert_true(stale);
        assert_int_equal(kith_share_dir_here(f.d)->total, 0);
        assert_true(kith_share_dir_older_gone(f.d, 1));
        assert_false(kith_leaves_has(kith_share_dir_older(f.d), 1, 2));
        assert_true(is_value(&f, 1)); /* who was hinted at it may still say that it is the same */
        assert_int_equal(same_leaf(&f, 3, &stale), KITH_OK);
        assert_int_equal(stale, k > 0);
        for (size_t i = 0; i < BIG_LEAVES; i++)
            assert_int_equal(write_leaf(&f, i, false), KITH_OK);
        assert_int_equal(write_some(&f, 1), KITH_OK);
        assert_int_equal(finish(&f), KITH_OK);
        close_dir(&f);
        assert_true(holds_big("a"));
        run("rm -f dest/a dest/b away");
    }
}

/* Another list, with the path of a file of which a part is here: the part goes on, and what was fetched of it since lies in no second file. */
static void an_older_part_of_the_same_path_becomes_the_new_one(void **state)
{
    (void)state;
    folder f, g;
    bool stale;
    uint64_t available, needed[2];
    big_sample(&f);
    f.entries[0].size = BIG - 10; /* as it was */
    f.roots[0][0] ^= 1;
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(write_leaf(&f, i, false), KITH_OK);
    assert_int_equal(close_dir(&f), 4 * KITH_TREE_LEAF);
    big_sample(&g);
    open_dir(&g);
    assert_int_equal(survey(&g, KITH_SHARE_CLASH_FAIL), KITH_OK);
    kith_share_dir_space(g.d, &available, &needed[0]);
    run("mv dest/.kith-partial away");
    assert_int_equal(survey(&g, KITH_SHARE_CLASH_FAIL), KITH_OK);
    kith_share_dir_space(g.d, &available, &needed[1]);
    run("mv away dest/.kith-partial");
    assert_true(needed[1] - needed[0] >=
                3 * KITH_TREE_LEAF); /* what the part takes is not needed once more */
    assert_int_equal(kith_share_dir_begin(g.d, &g.fault), KITH_OK);
    run("test $(ls dest/.kith-partial | wc -l) = 1"); /* of the older one nothing is left */
    assert_int_equal(kith_share_dir_here(g.d)->total, 0);
    assert_int_equal(kith_share_dir_older(g.d)->total, 3);
    assert_true(is_value(&g, 0) && is_value(&g, 1) && is_value(&g, 3));
    assert_int_equal(same_leaf(&g, 0, &stale), KITH_OK);
    assert_false(stale);
    assert_int_equal(kith_share_dir_sync(g.d, &g.fault), KITH_OK);
    abandon(&g); /* killed: what was not put to use yet is still there */
    big_sample(&g);
    begin_again(&g, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(kith_share_dir_here(g.d)->total, 1);
    assert_int_equal(kith_share_dir_older(g.d)->total, 2);
    run("printf x | dd of=$(echo dest/.kith-partial/*/0.part) bs=1 seek=800000 conv=notrunc 2>/dev/null");
    assert_int_equal(same_leaf(&g, 3, &stale), KITH_OK);
    assert_true(stale);
    assert_int_equal(same_leaf(&g, 1, &stale), KITH_OK);
    assert_false(stale);
    for (size_t i = 2; i < BIG_LEAVES; i++)
        assert_int_equal(write_leaf(&g, i, false), KITH_OK);
    assert_int_equal(write_some(&g, 1), KITH_OK);
    assert_int_equal(finish(&g), KITH_OK);
    close_dir(&g);
    assert_true(holds_big("a") && holds("b", "hello") && !exists(".kith-partial"));
}

/* What was not put to use stays for another time, and is gone when everything is in place. */
static void older_content_is_kept_as_long_as_it_may_be_of_use(void **state)
{
    (void)state;
    folder f, g;
    big_sample(&f);
    f.roots[0][0] ^= 1;
    f.entries[0].mode = 0600; /* another list */
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(write_leaf(&f, 1, false), KITH_OK);
    close_dir(&f);
    big_sample(&g);
    begin_again(&g, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(close_dir(&g), KITH_TREE_LEAF);
    assert_true(exists(".kith-partial"));
    big_sample(&f); /* and back again: the list is beside it */
    f.entries[0].mode = 0600;
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(kith_share_dir_older(f.d)->total, 1);
    assert_int_equal(write_leaf(&f, 0, false), KITH_OK);
    close_dir(&f);
    big_sample(&g); /* its own part is begun, so the other one is left alone until the end */
    begin_again(&g, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(write_leaf(&g, 0, false), KITH_OK);
    close_dir(&g);
    big_sample(&f);
    f.entries[0].mode = 0640;
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    for (size_t i = 0; i < BIG_LEAVES; i++)
        assert_int_equal(write_leaf(&f, i, false), KITH_OK);
    assert_int_equal(write_some(&f, 1), KITH_OK);
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    assert_true(holds_big("a") && !exists(".kith-partial"));
}

/* Nobody waits for begin any more: what was taken over and not looked at stays. */
static void older_content_that_was_not_read_is_kept(void **state)
{
    (void)state;
    folder f, g;
    big_sample(&f);
    f.entries[0].mode = 0600; /* another list */
    f.roots[0][0] ^= 1;
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(write_leaf(&f, 1, false), KITH_OK);
    close_dir(&f);
    for (int again = 0; again < 2; again++) {
        big_sample(&g);
        open_dir(&g);
        assert_int_equal(survey(&g, KITH_SHARE_CLASH_FAIL), KITH_OK);
        if (!again)
            kith_share_dir_stop(g.d);
        assert_int_equal(kith_share_dir_begin(g.d, &g.fault), KITH_OK);
        assert_int_equal(kith_share_dir_older(g.d)->total, again);
        close_dir(&g);
        assert_true(exists(".kith-partial"));
    }
}

static void older_content_is_noted_up_to_a_cap(void **state)
{
    (void)state;
    for (uint64_t room = BIG_LEAVES - 1; room <= BIG_LEAVES; room++) {
        folder f;
        big_sample(&f);
        begin_again(&f, KITH_SHARE_CLASH_FAIL);
        assert_int_equal(write_leaf(&f, 1, false), KITH_OK);
        abandon(&f);
        big_sample(&f);
        open_dir(&f);
        assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
        f.d->older_leaves = KITH_SHARE_OLDER_MAX - room;
        assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
        assert_int_equal(kith_share_dir_older(f.d)->total, room == BIG_LEAVES);
        close_dir(&f);
        run("rm -rf dest/.kith-partial");
    }
}

/* Two lists in which some paths are the same, at all depths. */
static void paths_are_compared_folder_by_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "ab", "b", "c"};
    for (unsigned mask = 0; mask < 64; mask++) { /* what there is beside the file, here and there */
        folder f = {0}, g = {0};
        big_sample(&f); /* for the content */
        for (int side = 0; side < 2; side++) {
            folder *x = side ? &g : &f;
            const unsigned m = side ? mask >> 3 : mask;
            *x = (folder){0};
            if (m & 1)
                add(x, KITH_ENTRY_DIR, 0, names[0], NULL);
            if (m & 1)
                add(x, KITH_ENTRY_FILE, 1, "z", "hello");
            add(x, KITH_ENTRY_DIR, 0, names[1], NULL);
            if (m & 2)
                add(x, KITH_ENTRY_FILE, 1, "y", "hello");
            add(x, KITH_ENTRY_FILE, 1, "z", "x");
            x->entries[x->count - 1].size = BIG;
            x->entries[x->count - 1].mode = (uint16_t)(side ? 0600 : 0644); /* another list */
            memcpy(x->roots[x->count - 1], big_root, 32);
            x->roots[x->count - 1][0] ^= (uint8_t)!side;
            if (m & 4)
                add(x, KITH_ENTRY_DIR, 0, names[2], NULL);
            if (m & 4)
                add(x, KITH_ENTRY_FILE, 1, "z", "hello");
        }
        size_t at = mask & 1 ? 3 : 1;
        at += mask & 2 ? 1 : 0;
        begin_again(&f, KITH_SHARE_CLASH_FAIL);
        kith_share_block *b = kith_share_block_new(kith_host_env());
        memcpy(b->buf, big, KITH_TREE_LEAF);
        b->count = 1;
        b->items[0] = (kith_share_item){.entry = at, .len = KITH_TREE_LEAF};
        assert_int_equal(kith_share_dir_write(f.d, b, &f.fault), KITH_OK);
        kith_share_block_free(b);
        close_dir(&f);
        begin_again(&g, KITH_SHARE_CLASH_FAIL);
        assert_int_equal(kith_share_dir_older(g.d)->total, 1);
        close_dir(&g);
        run("rm -rf dest/.kith-partial");
    }
}

static void partial_content_is_discarded_by_age_and_on_demand(void **state)
{
    (void)state;
    folder f;
    size_t busy;
    char age[80];
    sample(&f);
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(write_some(&f, 2), KITH_OK);
    assert_int_equal(kith_share_discard(dest, &busy), 0);
    assert_int_equal(busy, 1);
    close_dir(&f);
    for (int days = 29; days <= 31; days += 2) { /* another transfer into the folder looks at it */
        (void)snprintf(age, sizeof age, "touch -d '%d days ago' dest/.kith-partial/*/journal", days);
        run(age);
        folder g = {0};
        add(&g, KITH_ENTRY_FILE, 0, "x", "hello");
        g.roots[0][0] ^= 1; /* or it would be taken over */
        begin_again(&g, KITH_SHARE_CLASH_FAIL);
        close_dir(&g);
        assert_int_equal(exists(".kith-partial"), days < 30);
    }
    sample(&f);
    begin_again(&f, KITH_SHARE_CLASH_FAIL);
    assert_int_equal(write_some(&f, 2), KITH_OK);
    close_dir(&f);
    run("mkdir dest/.kith-partial/mine"); /* what is not ours stays */
    assert_int_equal(kith_share_discard(dest, &busy), 1);
    assert_int_equal(busy, 0);
    run("rmdir dest/.kith-partial/mine dest/.kith-partial");
    assert_int_equal(kith_share_discard(dest, &busy), 0);
}

/* Roots that are not in the list: what was verified against others is not what is wanted now. */
static void content_of_another_root_is_not_gone_on_with(void **state)
{
    (void)state;
    static uint8_t roots[2][64];
    for (int same = 0; same < 2; same++) {
        folder f;
        big_sample(&f);
        memcpy(roots[0], big_root, 32);
        memcpy(roots[0] + 32, hello_root, 32);
        memcpy(roots[1], same ? big_root : empty_root, 32);
        memcpy(roots[1] + 32, hello_root, 32);
        open_dir(&f);
        kith_share_dir_roots(f.d, roots[0], 2);
        assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
        assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
        assert_int_equal(write_leaf(&f, 1, false), KITH_OK);
        close_dir(&f);
        big_sample(&f);
        open_dir(&f);
        kith_share_dir_roots(f.d, roots[1], 1);
        assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
        assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
        assert_int_equal(kith_share_dir_here(f.d)->total, same);
        assert_int_equal(kith_share_dir_older(f.d)->total, !same); /* but perhaps it is the same */
        close_dir(&f);
    }
}

/* ---- what went wrong in other programs (docs/guide/security.md); names by themselves are in test_advisories.c ---- */

/* croc: what the sender chose was unpacked over files of the receiver without a question. */
static void CVE_2023_43616_nothing_is_overwritten_unasked(void **state)
{
    (void)state;
    for (int policy = KITH_SHARE_CLASH_FAIL; policy <= KITH_SHARE_CLASH_SKIP; policy++) {
        folder f = {0};
        add(&f, KITH_ENTRY_DIR, 0, ".ssh", NULL);
        add(&f, KITH_ENTRY_FILE, 1, "authorized_keys", "hello");
        run("rm -rf dest/.ssh* && mkdir -p dest/.ssh && echo mine > dest/.ssh/authorized_keys");
        open_dir(&f);
        kith_err err = survey(&f, (kith_share_clash)policy);
        if (!err) {
            assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
            assert_int_equal(write_all(&f), KITH_OK);
            assert_int_equal(finish(&f), KITH_OK);
        }
        assert_int_equal(err, policy <= KITH_SHARE_CLASH_ASK ? KITH_EEXISTS : KITH_OK);
        close_dir(&f);
        assert_true(holds(".ssh/authorized_keys", policy == KITH_SHARE_CLASH_OVERWRITE ? "hello" : "mine\n"));
    }
}

/* magic-wormhole: with an output folder that was there already, the sender's name was joined to it as it came. */
static void CVE_2026_42448_a_destination_that_exists_is_no_way_out(void **state)
{
    (void)state;
    static const char *const names[] = {"..", "../up", "/etc", "a/../../up", ".", ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        folder f = {0};
        kith_manifest_fault fault;
        add(&f, KITH_ENTRY_FILE, 0, names[i], "hello");
        kith_wr w = kith_wr_of(kith_span_of(f.list, sizeof f.list));
        kith_manifest_put_entry(&w, &f.entries[0]);
        assert_int_not_equal(kith_manifest_parse(kith_host_env(), kith_wr_bytes(&w), false, &f.m, &fault),
                             KITH_OK);
    }
    /* and the name is a link that the destination has already */
    folder f = {0};
    add(&f, KITH_ENTRY_FILE, 0, "f", "hello");
    run("mkdir outside && echo mine > outside/target && ln -s ../outside/target dest/f");
    begin_again(&f, KITH_SHARE_CLASH_OVERWRITE);
    assert_int_equal(write_all(&f), KITH_OK);
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    run("test \"$(cat outside/target)\" = mine && test ! -L dest/f");
}

/* croc: a name with escape sequences reached the terminal. No such name gets as far as a folder. */
static void GHSA_364c_vvqx_446c_no_folder_takes_a_name_with_escape_sequences(void **state)
{
    (void)state;
    folder f = {0};
    kith_manifest_fault fault;
    add(&f, KITH_ENTRY_FILE, 0, "\x1b[2Jx", "hello");
    kith_wr w = kith_wr_of(kith_span_of(f.list, sizeof f.list));
    kith_manifest_put_entry(&w, &f.entries[0]);
    assert_int_not_equal(kith_manifest_parse(kith_host_env(), kith_wr_bytes(&w), false, &f.m, &fault),
                         KITH_OK);
}

/* OnionShare 2.6.4: links were followed. Links of a share are made last, so nothing is written through one of them, nor through one that
 * lies there. */
static void OnionShare_2_6_4_nothing_is_written_through_a_link(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    run("mkdir outside && ln -s ../outside dest/d");
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_OVERWRITE), KITH_EEXISTS);
    close_dir(&f);
    sample(&f);
    begin_again(&f, KITH_SHARE_CLASH_RENAME);
    assert_int_equal(write_all(&f), KITH_OK);
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    run("test -z \"$(ls -A outside)\" && test -f 'dest/d (2)/f' && test -L dest/d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_is_put_in_place_and_nothing_left, setup, teardown),
        cmocka_unit_test_setup_teardown(what_comes_after_an_entry_does_not_lie_in_it, setup, teardown),
        cmocka_unit_test_setup_teardown(giving_up_before_content_came_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(giving_up_keeps_what_has_come, setup, teardown),
        cmocka_unit_test_setup_teardown(giving_up_keeps_it_also_without_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(what_could_not_be_journaled_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_beginning_that_fails_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_appears_after_the_survey_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_that_appears_after_the_survey_is_not_followed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_becomes_a_link_is_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_destination_may_be_moved_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(planted_parts_are_not_used, setup, teardown),
        cmocka_unit_test_setup_teardown(two_at_once_are_kept_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_name_is_one_that_is_free_everywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(skipping_keeps_what_is_there_and_what_lies_in_it, setup, teardown),
        cmocka_unit_test_setup_teardown(each_thing_in_the_way_can_be_decided_about, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_file_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(syncing_goes_on_beside_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_come_in_any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_in_the_journal_is_gone_on_with, setup, teardown),
        cmocka_unit_test_setup_teardown(a_part_that_is_gone_or_short_is_not_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(without_syncs_a_power_cut_takes_all, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_others_can_write_to_is_not_used, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_there_just_as_it_would_come_is_no_clash, setup, teardown),
        cmocka_unit_test_setup_teardown(another_policy_may_be_chosen_when_the_first_does_not_do, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_not_selected_is_not_looked_at, setup, teardown),
        cmocka_unit_test_setup_teardown(files_of_older_partial_content_are_taken_over, setup, teardown),
        cmocka_unit_test_setup_teardown(older_partial_content_stays_when_it_cannot_be_taken_over, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_overwritten_is_older_content, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_decided_to_be_overwritten_is_older_content, setup, teardown),
        cmocka_unit_test_setup_teardown(older_content_that_has_changed_is_not_used, setup, teardown),
        cmocka_unit_test_setup_teardown(an_older_part_of_the_same_path_becomes_the_new_one, setup, teardown),
        cmocka_unit_test_setup_teardown(older_content_is_kept_as_long_as_it_may_be_of_use, setup, teardown),
        cmocka_unit_test_setup_teardown(older_content_that_was_not_read_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(older_content_is_noted_up_to_a_cap, setup, teardown),
        cmocka_unit_test_setup_teardown(paths_are_compared_folder_by_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(partial_content_is_discarded_by_age_and_on_demand, setup, teardown),
        cmocka_unit_test_setup_teardown(content_of_another_root_is_not_gone_on_with, setup, teardown),
        cmocka_unit_test_setup_teardown(CVE_2023_43616_nothing_is_overwritten_unasked, setup, teardown),
        cmocka_unit_test_setup_teardown(CVE_2026_42448_a_destination_that_exists_is_no_way_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(GHSA_364c_vvqx_446c_no_folder_takes_a_name_with_escape_sequences,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(OnionShare_2_6_4_nothing_is_written_through_a_link, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
