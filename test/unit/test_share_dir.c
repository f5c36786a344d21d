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
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host.h"
#include "host/share_dir.h"

static char top[] = "/tmp/kith-test-dir-XXXXXX";
static char dest[64];
static uint8_t list[4096];
static const uint8_t root[32] = {7};
static uint8_t hello_root[32], empty_root[32];

typedef struct folder {
    kith_entry entries[16];
    size_t count;
    kith_manifest m;
    kith_share_dir *d;
    kith_share_dir_fault fault;
    kith_share_dir_sum sum;
    size_t clashes, first;
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
        e->root = type == KITH_ENTRY_DIR ? NULL : target ? hello_root : empty_root;
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
    kith_wr w = kith_wr_of(kith_span_of(list, sizeof list));
    kith_manifest_fault fault;
    for (size_t i = 0; i < f->count; i++)
        kith_manifest_put_entry(&w, &f->entries[i]);
    assert_int_equal(kith_manifest_parse(kith_host_env(), kith_wr_bytes(&w), false, &f->m, &fault), KITH_OK);
    f->d = kith_share_dir_open(dest, &f->m, root, &f->fault);
    assert_non_null(f->d);
}

static kith_err survey(folder *f, kith_share_clash policy)
{
    return kith_share_dir_survey(f->d, policy, &f->clashes, &f->first, &f->fault);
}

/* Writes "hello" into every wanted file, in blocks of one item each. */
static kith_err write_all(folder *f)
{
    kith_share_block *b = kith_share_block_new(kith_host_env());
    const uint8_t *skips = kith_share_dir_skips(f->d);
    kith_err err = KITH_OK;
    assert_non_null(b);
    memcpy(b->buf, "hello", 5);
    for (size_t i = 0; i < f->m.count && !err; i++) {
        if (kith_manifest_entry(&f->m, i).size == 0 || (skips && skips[i]))
            continue;
        b->count = 1;
        b->items[0] = (kith_share_item){.blob = i + 1, .to = 5, .len = 3};
        err = kith_share_dir_write(f->d, b, &f->fault);
        b->items[0] = (kith_share_item){.blob = i + 1, .offset = 3, .to = 5, .at = 3, .len = 2};
        if (!err)
            err = kith_share_dir_write(f->d, b, &f->fault);
    }
    kith_share_block_free(b);
    return err;
}

static kith_err finish(folder *f)
{
    return kith_share_dir_finish(f->d, &f->sum, &f->fault);
}

static void close_dir(folder *f)
{
    kith_share_dir_close(f->d);
    kith_manifest_fini(&f->m, kith_host_env());
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

static void giving_up_leaves_nothing(void **state)
{
    (void)state;
    folder f;
    sample(&f);
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK);
    assert_int_equal(write_all(&f), KITH_OK);
    assert_true(exists(".kith-partial"));
    close_dir(&f);
    run("test -z \"$(ls -A dest)\"");
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

static void giving_up_leaves_nothing_also_without_descriptors(void **state)
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
    kith_share_dir_close(f.d);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    kith_manifest_fini(&f.m, kith_host_env());
    assert_false(exists(".kith-partial"));
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
    assert_false(exists(".kith-partial"));
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
    run("echo secret > secret; mkdir -p dest/.kith-partial/0700000000000000000000000000000000000000000000000000000000000000");
    run("cd dest/.kith-partial/07* && ln -s ../../../secret 2.part && ln -s ../../../secret 5.part");
    open_dir(&f);
    assert_int_equal(survey(&f, KITH_SHARE_CLASH_FAIL), KITH_OK);
    assert_int_equal(kith_share_dir_begin(f.d, &f.fault), KITH_OK); /* clears them away */
    /* and one that came back in the meantime */
    run("cd dest/.kith-partial/07* && ln -s ../../../secret 2.part");
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
    b->items[0] = (kith_share_item){.blob = 3, .to = 5, .len = 3};                       /* begun, */
    b->items[1] = (kith_share_item){.blob = 3, .offset = 3, .code = KITH_SHARE_CHANGED}; /* lost, */
    b->items[2] =
        (kith_share_item){.blob = 3, .offset = 3, .at = 3, .len = 2}; /* and more of it all the same */
    b->items[3] = (kith_share_item){.blob = 6, .to = 5, .at = 5, .len = 5};
    assert_int_equal(kith_share_dir_write(f.d, b, &f.fault), KITH_OK);
    kith_share_block_free(b);
    assert_int_equal(finish(&f), KITH_OK);
    close_dir(&f);
    assert_int_equal(f.sum.lost, 1);
    assert_false(exists("d/f"));
    assert_true(holds("g", "hello") && exists("d/z"));
    assert_false(exists(".kith-partial"));
}

#define CASE(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(everything_is_put_in_place_and_nothing_left),
        CASE(giving_up_leaves_nothing),
        CASE(giving_up_leaves_nothing_also_without_descriptors),
        CASE(a_file_that_appears_after_the_survey_is_kept),
        CASE(a_link_that_appears_after_the_survey_is_not_followed),
        CASE(a_folder_that_becomes_a_link_is_not_followed),
        CASE(the_destination_may_be_moved_meanwhile),
        CASE(planted_parts_are_not_used),
        CASE(two_at_once_are_kept_apart),
        CASE(a_new_name_is_one_that_is_free_everywhere),
        CASE(skipping_keeps_what_is_there_and_what_lies_in_it),
        CASE(a_lost_file_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
