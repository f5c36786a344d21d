/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The power goes at any moment of a transfer. What the receiving folder does to the disk is recorded by this program's own openat,
 * pwrite, renameat, fsync and so on, and what the disk holds after a cut is made of it: all that was synced, and of the rest anything, in
 * any order: names and renames one by one, content in pieces of 4 KiB, a file's new size with or without its bytes. Then
 *
 *   - the journal claims no leaf whose bytes are not there,
 *   - what was synced before the cut is there,
 *   - going on ends with everything intact. */
#undef _FORTIFY_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/host.h"
#include "host/share_dir_impl.h"
#include "support.h"

enum { OPS_MAX = 4096, FILES_MAX = 512, PAGE = 4096, CUTS = 50 };

/* ---- the recorder ---- */

typedef enum kind { MAKE_FILE, MAKE_DIR, RENAME, REMOVE, DATA, SIZE, MODE, SYNC, SYNC_ALL, MARK } kind;

typedef struct op {
    kind kind;
    int file, dir, dir2; /* numbers of inodes; 0: the destination */
    char name[80], name2[80];
    uint64_t at, len; /* MARK: leaves that must not be lost from now on; or everything */
    uint8_t *data;    /* NULL: zeros */
} op;

static op ops[OPS_MAX];
static size_t op_count;
static ino_t inodes[FILES_MAX]; /* by number; a number is used once */
static bool folders[FILES_MAX];
static int inode_count;
static bool recording;

static op *note(kind k)
{
    assert_true(op_count < OPS_MAX);
    ops[op_count] = (op){.kind = k};
    return &ops[op_count++];
}

static int number_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    for (int i = inode_count; i-- > 0;) {
        if (inodes[i] == st.st_ino)
            return i;
    }
    fail_msg("an inode that nobody made");
    return -1;
}

static int number_at(int dir, const char *name)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
        return -1;
    for (int i = inode_count; i-- > 0;) {
        if (inodes[i] == st.st_ino)
            return i;
    }
    return -1;
}

static void note_made(kind k, int dir, const char *name)
{
    struct stat st;
    assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(inode_count < FILES_MAX);
    inodes[inode_count] = st.st_ino;
    folders[inode_count] = k == MAKE_DIR;
    op *o = note(k);
    o->file = inode_count++;
    o->dir = number_of(dir);
    (void)snprintf(o->name, sizeof o->name, "%s", name);
}

int openat(int dir, const char *name, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    struct stat st;
    bool made = recording && flags & O_CREAT && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0;
    int fd = (int)syscall(SYS_openat, dir, name, flags, mode);
    if (made && fd >= 0)
        note_made(MAKE_FILE, dir, name);
    return fd;
}

int mkdirat(int dir, const char *name, mode_t mode)
{
    int r = (int)syscall(SYS_mkdirat, dir, name, mode);
    if (recording && r == 0)
        note_made(MAKE_DIR, dir, name);
    return r;
}

int renameat2(int from, const char *a, int to, const char *b, unsigned flags)
{
    int n = recording ? number_at(from, a) : 0;
    int r = (int)syscall(SYS_renameat2, from, a, to, b, flags);
    if (recording && r == 0) {
        op *o = note(RENAME);
        o->file = n;
        o->dir = number_of(from);
        o->dir2 = number_of(to);
        (void)snprintf(o->name, sizeof o->name, "%s", a);
        (void)snprintf(o->name2, sizeof o->name2, "%s", b);
    }
    return r;
}

int renameat(int from, const char *a, int to, const char *b)
{
    return renameat2(from, a, to, b, 0);
}

int unlinkat(int dir, const char *name, int flags)
{
    int r = (int)syscall(SYS_unlinkat, dir, name, flags);
    if (recording && r == 0) {
        op *o = note(REMOVE);
        o->dir = number_of(dir);
        (void)snprintf(o->name, sizeof o->name, "%s", name);
    }
    return r;
}

static void note_data(int fd, const void *p, size_t len, uint64_t at)
{
    op *o = note(DATA);
    o->file = number_of(fd);
    o->at = at;
    o->len = len;
    o->data = p ? malloc(len) : NULL;
    if (p)
        memcpy(o->data, p, len);
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t at)
{
    ssize_t n = syscall(SYS_pwrite64, fd, p, len, at);
    if (recording && n > 0)
        note_data(fd, p, (size_t)n, (uint64_t)at);
    return n;
}

ssize_t write(int fd, const void *p, size_t len)
{
    off_t at = recording ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t n = syscall(SYS_write, fd, p, len);
    if (recording && n > 0 && at >= 0 && fd > 2)
        note_data(fd, p, (size_t)n, (uint64_t)at);
    return n;
}

int ftruncate(int fd, off_t len)
{
    int r = (int)syscall(SYS_ftruncate, fd, len);
    if (recording && r == 0) {
        op *o = note(SIZE);
        o->file = number_of(fd);
        o->len = (uint64_t)len;
    }
    return r;
}

int fchmod(int fd, mode_t mode)
{
    int r = (int)syscall(SYS_fchmod, fd, mode);
    if (recording && r == 0) {
        op *o = note(MODE);
        o->file = number_of(fd);
        o->len = mode;
    }
    return r;
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
    int r = (int)syscall(SYS_fallocate, fd, mode, at, len);
    if (recording && r == 0 && mode & FALLOC_FL_PUNCH_HOLE)
        note_data(fd, NULL, (size_t)len, (uint64_t)at);
    return r;
}

static int note_sync(kind k, int fd)
{
    if (recording)
        *note(k) = (op){.kind = k, .file = k == SYNC ? number_of(fd) : 0};
    return 0;
}

int fsync(int fd)
{
    return note_sync(SYNC, fd);
}

int fdatasync(int fd)
{
    return note_sync(SYNC, fd);
}

int syncfs(int fd)
{
    return note_sync(SYNC_ALL, fd);
}

/* ---- the disk after a cut ---- */

typedef struct node {
    int dir; /* -1: no name */
    char name[80];
    uint8_t *data;
    uint64_t size, cap;
    mode_t mode;
} node;

static node nodes[FILES_MAX];
static uint64_t seed;

static bool covers(const op *sync, const op *o)
{
    if (sync->kind == SYNC_ALL)
        return true;
    if (sync->kind != SYNC)
        return false;
    if (o->kind == DATA || o->kind == SIZE || o->kind == MODE)
        return sync->file == o->file;
    return folders[sync->file] && (sync->file == o->dir || (o->kind == RENAME && sync->file == o->dir2));
}

static bool is_durable(size_t i, size_t cut)
{
    for (size_t k = i + 1; k < cut; k++) {
        if (covers(&ops[k], &ops[i]))
            return true;
    }
    return false;
}

static void set_size(node *n, uint64_t size)
{
    if (size > n->cap) {
        n->data = realloc(n->data, size);
        assert_non_null(n->data);
        n->cap = size;
    }
    if (size > n->size)
        memset(n->data + n->size, 0, size - n->size);
    n->size = size;
}

static void replay_data(node *n, const op *o, bool durable, unsigned luck)
{
    for (uint64_t at = o->at, end = o->at + o->len, to; at < end; at = to) {
        to = (at / PAGE + 1) * PAGE < end ? (at / PAGE + 1) * PAGE : end;
        bool kept = durable || support_below(&seed, 100) < luck;
        if (to > n->size && (kept ? o->data != NULL : support_below(&seed, 4) == 0))
            set_size(n, to);
        uint64_t stop = to < n->size ? to : n->size;
        if (!kept || at >= stop)
            continue;
        if (o->data)
            memcpy(n->data + at, o->data + (at - o->at), stop - at);
        else
            memset(n->data + at, 0, stop - at);
    }
}

/* Whoever has this name has it no more. */
static void take_name(int dir, const char *name)
{
    for (int i = 1; i < inode_count; i++) {
        if (nodes[i].dir == dir && strcmp(nodes[i].name, name) == 0)
            nodes[i].dir = -1;
    }
}

/* A name takes along the folders that it lies in, as it does in every file system with a journal. */
static void give_name(int file, int dir, const char *name)
{
    for (size_t i = 0; i < op_count && dir > 0 && nodes[dir].dir < 0; i++) {
        if (ops[i].kind == MAKE_DIR && ops[i].file == dir)
            give_name(dir, ops[i].dir, ops[i].name);
    }
    take_name(dir, name);
    nodes[file].dir = dir;
    (void)snprintf(nodes[file].name, sizeof nodes[file].name, "%s", name);
}

static void replay(size_t cut)
{
    unsigned luck = (unsigned)support_below(&seed, 3) * 45;
    for (int i = 0; i < inode_count; i++) {
        nodes[i].dir = -1;
        nodes[i].size = 0;
        nodes[i].mode = folders[i] ? 0700 : 0600;
    }
    for (size_t i = 0; i < cut; i++) {
        const op *o = &ops[i];
        bool durable = is_durable(i, cut);
        if (o->kind == DATA)
            replay_data(&nodes[o->file], o, durable, luck);
        else if (o->kind < SYNC && !durable && support_below(&seed, 100) >= luck)
            continue;
        else if (o->kind == MAKE_FILE || o->kind == MAKE_DIR)
            give_name(o->file, o->dir, o->name);
        else if (o->kind == RENAME)
            give_name(o->file, o->dir2, o->name2);
        else if (o->kind == REMOVE)
            take_name(o->dir, o->name);
        else if (o->kind == SIZE)
            set_size(&nodes[o->file], o->len);
        else if (o->kind == MODE)
            nodes[o->file].mode = (mode_t)o->len;
    }
}

static char top[] = "/tmp/kith-powercut-XXXXXX";

/* Writes a folder and what lies in it. */
static void write_out(int number, int fd)
{
    for (int i = 1; i < inode_count; i++) {
        const node *n = &nodes[i];
        if (n->dir != number)
            continue;
        if (folders[i]) {
            assert_int_equal(mkdirat(fd, n->name, 0700), 0);
            int sub = openat(fd, n->name, O_RDONLY | O_DIRECTORY);
            write_out(i, sub);
            assert_int_equal(fchmod(sub, n->mode), 0);
            close(sub);
            continue;
        }
        int out = openat(fd, n->name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(out >= 0);
        assert_int_equal(ftruncate(out, (off_t)n->size), 0);
        if (n->size > 0)
            assert_int_equal(pwrite(out, n->data, n->size, 0), n->size);
        assert_int_equal(fchmod(out, n->mode), 0);
        close(out);
    }
}

/* ---- the transfer ---- */

#define LEAF KITH_TREE_LEAF
enum { ENTRIES = 8 };
static const struct {
    kith_entry_type type;
    uint8_t depth;
    const char *name;
    uint64_t size;
} sample[ENTRIES] = {
    {KITH_ENTRY_DIR, 0, "d", 0},
    {KITH_ENTRY_FILE, 1, "big", 4 * LEAF + 5000},
    {KITH_ENTRY_DIR, 1, "e", 0},
    {KITH_ENTRY_FILE, 2, "leaf", LEAF},
    {KITH_ENTRY_FILE, 1, "small", 100},
    {KITH_ENTRY_FILE, 1, "z", 0},
    {KITH_ENTRY_FILE, 0, "lost", LEAF + 1},
    {KITH_ENTRY_FILE, 0, "t", 2 * LEAF + 1},
};
enum { LOST_ENTRY = 6 };
static uint8_t *content[ENTRIES];
static uint8_t roots[ENTRIES][32], list[2048], list_root[32];
static kith_manifest manifest;

static void make_sample(void)
{
    kith_wr w = kith_wr_of(kith_span_of(list, sizeof list));
    kith_manifest_fault fault;
    for (size_t i = 0; i < ENTRIES; i++) {
        uint64_t s = i + 1;
        content[i] = malloc(sample[i].size + 1);
        for (uint64_t k = 0; k < sample[i].size; k++)
            content[i][k] = i == 7 && k < LEAF ? 0 : (uint8_t)support_next(&s);
        kith_blake3_hash(kith_bytes_of(content[i], sample[i].size), roots[i]);
        kith_manifest_put_entry(&w, &(kith_entry){.type = sample[i].type,
                                                  .depth = sample[i].depth,
                                                  .name = kith_bytes_str(sample[i].name),
                                                  .size = sample[i].size,
                                                  .mode = 0755,
                                                  .mtime_ns = 5});
    }
    kith_blake3_hash(kith_wr_bytes(&w), list_root);
    assert_int_equal(kith_manifest_parse(kith_host_env(), kith_wr_bytes(&w), false, &manifest, &fault),
                     KITH_OK);
}

static kith_share_dir *begin(const char *dest, kith_durability durability)
{
    size_t clashes, first;
    kith_share_dir_fault fault;
    kith_share_dir *d = kith_share_dir_open(dest, &manifest, list_root, durability, &fault);
    assert_non_null(d);
    kith_share_dir_roots(d, roots[0], ENTRIES);
    assert_int_equal(kith_share_dir_survey(d, KITH_SHARE_CLASH_FAIL, &clashes, &first, &fault), KITH_OK);
    assert_int_equal(kith_share_dir_begin(d, &fault), KITH_OK);
    return d;
}

static void write_leaf(kith_share_dir *d, uint32_t leaf, kith_share_code code)
{
    kith_share_dir_fault fault;
    kith_share_block *b = kith_share_block_new(kith_host_env());
    uint64_t offset;
    size_t entry = kith_manifest_leaf(&manifest, leaf, &offset);
    uint64_t len = sample[entry].size - offset < LEAF ? sample[entry].size - offset : LEAF;
    memcpy(b->buf, content[entry] + offset, len);
    b->count = 1;
    b->items[0] = (kith_share_item){.entry = entry,
                                    .offset = offset,
                                    .len = (uint32_t)len,
                                    .zeros = entry == 7 && offset == 0,
                                    .code = code};
    assert_int_equal(kith_share_dir_write(d, b, &fault), KITH_OK);
    kith_share_block_free(b);
}

static uint32_t leaf_of(size_t entry)
{
    return manifest.places[entry].leaf;
}

static bool is_lost(uint32_t leaf)
{
    return leaf >= leaf_of(LOST_ENTRY) && leaf < leaf_of(7);
}

/* In two runs: the first is stopped in the middle. */
static void transfer(const char *dest, kith_durability durability)
{
    uint32_t order[16], n = (uint32_t)manifest.leaves;
    kith_share_dir_sum sum;
    kith_share_dir_fault fault;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = (uint32_t)support_below(&seed, i + 1);
        order[i] = order[k];
        order[k] = i;
    }
    kith_share_dir *d = begin(dest, durability);
    for (uint32_t i = 0; i < n; i++) {
        if (i == n / 2) {
            kith_share_dir_close(d);
            d = begin(dest, durability);
        }
        write_leaf(d, order[i], KITH_SHARE_NONE);
        if (durability == KITH_DURABILITY_STRICT || support_below(&seed, 3) == 0) {
            assert_int_equal(kith_share_dir_sync(d, &fault), KITH_OK);
            note(MARK)->len = i + 1;
        }
    }
    note(MARK)->len = 0;
    write_leaf(d, leaf_of(LOST_ENTRY) + 1, KITH_SHARE_CHANGED); /* after all of it had come */
    assert_int_equal(kith_share_dir_finish(d, &sum, &fault), KITH_OK);
    note(MARK)->len = UINT64_MAX;
    kith_share_dir_close(d);
}

/* ---- what must hold after a cut ---- */

static bool bytes_are_there(int dir, const char *path, size_t entry, uint64_t from, uint64_t len)
{
    static uint8_t buf[LEAF];
    int fd = openat(dir, path, O_RDONLY);
    bool same = fd >= 0 && pread(fd, buf, len, (off_t)from) == (ssize_t)len &&
                memcmp(buf, content[entry] + from, len) == 0;
    if (fd >= 0)
        close(fd);
    return same;
}

static void path_of(size_t entry, char out[256])
{
    kith_wr w = kith_wr_of(kith_span_of(out, 255));
    kith_manifest_put_path(&manifest, entry, false, &w);
    out[w.len] = 0;
}

/* The journal as it lies on the disk. Returns how many leaves it claims. */
static uint64_t check_journal(int dest)
{
    char id[65] = "", path[256];
    kith_journal_state st;
    kith_wr w = kith_wr_of(kith_span_of(id, 64));
    kith_put_hex(&w, kith_bytes_of(list_root, 32));
    (void)snprintf(path, sizeof path, "%s/%s", KITH_SHARE_PARTIAL, id);
    int parts = openat(dest, path, O_RDONLY | O_DIRECTORY);
    if (parts < 0)
        return 0;
    uint64_t total = 0;
    if (kith_journal_load(parts, list_root, &st) == 0) {
        total = st.here.total;
        for (uint32_t leaf = 0; leaf < manifest.leaves; leaf++) {
            uint64_t offset;
            char part[32];
            size_t entry = kith_manifest_leaf(&manifest, leaf, &offset);
            uint64_t len = sample[entry].size - offset < LEAF ? sample[entry].size - offset : LEAF;
            kith_share_part_name(entry, part);
            path_of(entry, path);
            if (kith_leaves_has(&st.here, leaf, leaf + 1))
                assert_true(bytes_are_there(parts, part, entry, offset, len) ||
                            bytes_are_there(dest, path, entry, offset, len));
        }
        kith_journal_state_fini(&st, kith_host_env());
    }
    close(parts);
    return total;
}

static void check_after(const char *dest, size_t cut)
{
    uint64_t promised = 0; /* leaves */
    bool finished = false;
    kith_share_dir_sum sum;
    kith_share_dir_fault fault;
    for (size_t i = 0; i < cut; i++) {
        finished |= ops[i].kind == MARK && ops[i].len == UINT64_MAX;
        promised = ops[i].kind == MARK ? ops[i].len : promised;
    }
    int fd = openat(AT_FDCWD, dest, O_RDONLY | O_DIRECTORY);
    uint64_t claimed = check_journal(fd);
    if (!finished)
        assert_true(claimed >= promised);
    kith_share_dir *d = begin(dest, KITH_DURABILITY_BATCH);
    const uint8_t *skips = kith_share_dir_skips(d);
    for (uint32_t leaf = 0; leaf < manifest.leaves; leaf++) {
        uint64_t offset;
        size_t entry = kith_manifest_leaf(&manifest, leaf, &offset);
        bool here = skips[entry] || kith_leaves_has(kith_share_dir_here(d), leaf, leaf + 1);
        if (finished && !is_lost(leaf))
            assert_int_equal(skips[entry], KITH_SHARE_EQUAL);
        if (!here)
            write_leaf(d, leaf, KITH_SHARE_NONE);
    }
    assert_int_equal(kith_share_dir_finish(d, &sum, &fault), KITH_OK);
    kith_share_dir_close(d);
    for (size_t i = 0; i < ENTRIES; i++) {
        char path[256];
        struct stat st;
        path_of(i, path);
        assert_int_equal(fstatat(fd, path, &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0755);
        if (sample[i].type != KITH_ENTRY_FILE)
            continue;
        assert_int_equal(st.st_size, sample[i].size);
        for (uint64_t at = 0; at < sample[i].size; at += LEAF)
            assert_true(
                bytes_are_there(fd, path, i, at, sample[i].size - at < LEAF ? sample[i].size - at : LEAF));
    }
    assert_int_not_equal(faccessat(fd, KITH_SHARE_PARTIAL, F_OK, 0), 0);
    close(fd);
}

static void cuts(kith_durability durability)
{
    char path[64], line[96];
    struct stat st;
    for (size_t i = 0; i < op_count; i++)
        free(ops[i].data);
    op_count = 0;
    inode_count = 1;
    (void)snprintf(path, sizeof path, "%s/first", top);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(stat(path, &st), 0);
    inodes[0] = st.st_ino;
    folders[0] = true;
    recording = true;
    transfer(path, durability);
    recording = false;
    for (int k = 0; k < CUTS; k++) {
        /* a third of them near the end, where things get their names */
        size_t cut = k == 0       ? op_count
                     : k % 3 == 0 ? op_count - support_below(&seed, 60)
                                  : support_below(&seed, op_count + 1);
        uint64_t before = seed;
        replay(cut);
        (void)snprintf(path, sizeof path, "%s/after", top);
        assert_int_equal(mkdir(path, 0755), 0);
        int fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
        write_out(0, fd);
        close(fd);
        print_message("cut %zu of %zu, seed %llx\n", cut, op_count, (unsigned long long)before);
        check_after(path, cut);
        (void)snprintf(line, sizeof line, "rm -rf %s", path);
        assert_int_equal(system(line), 0);
    }
    (void)snprintf(line, sizeof line, "rm -rf %s/first", top);
    assert_int_equal(system(line), 0);
}

static void nothing_that_was_synced_is_lost_and_the_journal_is_right(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++)
        cuts(KITH_DURABILITY_BATCH);
}

static void a_strict_transfer_loses_no_leaf_that_was_written(void **state)
{
    (void)state;
    cuts(KITH_DURABILITY_STRICT);
}

static int setup(void **state)
{
    (void)state;
    seed = 20;
    (void)umask(022);
    make_sample();
    return mkdtemp(top) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    char line[96];
    for (size_t i = 0; i < op_count; i++)
        free(ops[i].data);
    for (size_t i = 0; i < FILES_MAX; i++)
        free(nodes[i].data);
    for (size_t i = 0; i < ENTRIES; i++)
        free(content[i]);
    kith_manifest_fini(&manifest, kith_host_env());
    (void)snprintf(line, sizeof line, "rm -rf %s", top);
    return system(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_was_synced_is_lost_and_the_journal_is_right),
        cmocka_unit_test(a_strict_transfer_loses_no_leaf_that_was_written),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
