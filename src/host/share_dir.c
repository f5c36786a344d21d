/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The receiving folder: opening it, the folder for partial content in it, and what becomes of that. */
#include "host/share_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/host.h"
#include "host/io.h"
#include "host/share_dir_impl.h"

#define DAY (24 * 3600) /* seconds */

/* ---- opening and closing ---- */

static void free_dir(kith_share_dir *d)
{
    const kith_env *env = kith_host_env();
    kith_leaves_fini(&d->here, env);
    kith_leaves_fini(&d->dirty, env);
    kith_share_older_fini(d);
    kith_blake3_free(d->hash);
    free(d->buf);
    free(d->known);
    free(d->skips);
    free(d->new_names);
    free(d);
}

kith_share_dir *kith_share_dir_open(const char *dest, const kith_manifest *m,
                                    const uint8_t list_root[KITH_BLAKE3_LEN], kith_durability durability,
                                    kith_share_dir_fault *fault)
{
    kith_share_dir *d = calloc(1, sizeof *d);
    if (!d) {
        errno = ENOMEM;
        (void)kith_share_dir_fail(fault, "open", SIZE_MAX);
        return NULL;
    }
    d->m = m;
    d->known = calloc(m->count, sizeof *d->known);
    d->buf = malloc(KITH_TREE_LEAF);
    d->hash = kith_blake3_new();
    d->partials = d->parts = d->roots_fd = d->journal.fd = -1;
    for (size_t i = 0; i < KITH_SHARE_OPEN_MAX; i++)
        d->open[i].fd = d->open[i].older = -1;
    d->durability = durability;
    d->mask = umask(0);
    (void)umask(d->mask);
    memcpy(d->list_root, list_root, KITH_BLAKE3_LEN);
    kith_wr w = kith_wr_of(kith_span_of(d->id, sizeof d->id - 1));
    kith_put_hex(&w, kith_bytes_of(list_root, KITH_BLAKE3_LEN));
    d->dest = open(dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    d->spare = d->dest < 0 ? -1 : dup(d->dest);
    bool memory = d->known && d->buf && d->hash && uv_mutex_init(&d->lock) == 0;
    if (memory && d->dest >= 0)
        return d;
    errno = memory ? errno : ENOMEM;
    (void)kith_share_dir_fail(fault, "open", SIZE_MAX);
    if (memory)
        uv_mutex_destroy(&d->lock);
    if (d->spare >= 0)
        (void)close(d->spare);
    if (d->dest >= 0)
        (void)close(d->dest);
    free_dir(d);
    return NULL;
}

static uint64_t bytes_of(const kith_share_dir *d, const kith_leaves *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->count; i++) {
        for (uint32_t leaf = s->ranges[i].first; leaf < s->ranges[i].end;) {
            uint64_t offset;
            size_t entry = kith_manifest_leaf(d->m, leaf, &offset);
            uint32_t first, end;
            kith_manifest_leaves(d->m, entry, &first, &end);
            uint64_t size = kith_manifest_entry(d->m, entry).size;
            end = end < s->ranges[i].end ? end : s->ranges[i].end;
            uint64_t to = (uint64_t)(end - first) * KITH_TREE_LEAF;
            n += (to < size ? to : size) - offset;
            leaf = end;
        }
    }
    return n;
}

uint64_t kith_share_dir_bytes(const kith_share_dir *d)
{
    return bytes_of(d, &d->here);
}

/* Of older content in the parts: what was not put to use. */
static uint64_t older_bytes(kith_share_dir *d)
{
    for (size_t i = 0; i < d->here.count; i++) {
        if (kith_leaves_remove(&d->in_part, kith_host_env(), d->here.ranges[i].first, d->here.ranges[i].end))
            break; /* too much, then */
    }
    return bytes_of(d, &d->in_part);
}

/* After a sync that failed. */
static uint64_t journaled_bytes(kith_share_dir *d)
{
    kith_err err = KITH_OK;
    for (size_t i = 0; i < d->dirty.count && !err; i++)
        err = kith_leaves_remove(&d->here, kith_host_env(), d->dirty.ranges[i].first, d->dirty.ranges[i].end);
    return kith_share_dir_bytes(d);
}

uint64_t kith_share_dir_close(kith_share_dir *d)
{
    uint64_t kept = 0;
    if (!d)
        return 0;
    kith_share_parts_close(d);
    if (d->spare >= 0)
        (void)close(d->spare);
    if (d->parts >= 0) {
        kith_share_dir_fault unused;
        kept = d->finished ? 0 : kith_share_dir_bytes(d);
        if (kept > 0 && kith_share_dir_sync(d, &unused))
            kept = journaled_bytes(d);
        if (!d->finished)
            kept += older_bytes(d);
        kith_journal_close(&d->journal);
        if (kept == 0 && (d->finished || !d->older_unread)) {
            kith_share_partial_empty(d->parts);
            (void)unlinkat(d->partials, d->id, AT_REMOVEDIR);
        }
        (void)close(d->parts); /* and with it the lock */
    }
    if (d->roots_fd >= 0)
        (void)close(d->roots_fd);
    if (d->partials >= 0) {
        (void)close(d->partials);
        (void)unlinkat(d->dest, KITH_SHARE_PARTIAL, AT_REMOVEDIR); /* stays when there is something in it */
    }
    (void)close(d->dest);
    uv_mutex_destroy(&d->lock);
    free_dir(d);
    return kept;
}

/* ---- the folder for partial content ---- */

int kith_share_open_own(int at, const char *name)
{
    struct stat st;
    int fd = kith_share_open_folder(at, name);
    if (fd < 0 || (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022)))
        return fd;
    (void)close(fd);
    errno = EPERM;
    return -1;
}

/* Makes a folder of our own, or opens the one that is there. */
static int make_own(int at, const char *name)
{
    bool made = mkdirat(at, name, 0700) == 0;
    if (!made && errno != EEXIST)
        return -1;
    int fd = kith_share_open_own(at, name), e = errno;
    if (fd < 0 && made)
        (void)unlinkat(at, name, AT_REMOVEDIR);
    errno = e;
    return fd;
}

static bool remove_one(void *ctx, int fd, const char *name)
{
    (void)ctx;
    (void)unlinkat(fd, name, 0);
    return true;
}

void kith_share_partial_empty(int fd)
{
    (void)kith_io_each_name(fd, remove_one, NULL);
}

/* Whether a part of which the journal says nothing may have content all the same: it came just before a crash, or belongs to another root. */
static bool is_older_part(const kith_share_dir *d, int fd, size_t entry, const char *name)
{
    struct stat st;
    char part[32];
    kith_share_part_name(entry, part);
    return strcmp(part, name) == 0 && !(d->known[entry] & (SKIPPED | EQUAL)) &&
           kith_manifest_entry(d->m, entry).size > KITH_TREE_LEAF &&
           fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && kith_share_is_ours(&st) && st.st_blocks > 0;
}

/* Removes what the journal says nothing of, and what is of no use. */
static bool remove_unknown(void *ctx, int fd, const char *name)
{
    kith_share_dir *d = ctx;
    char *end, part[32];
    if (strcmp(name, KITH_JOURNAL_NAME) == 0 || strcmp(name, KITH_SHARE_LIST_NAME) == 0 ||
        strcmp(name, KITH_SHARE_ROOTS_NAME) == 0)
        return true;
    unsigned long long entry = strtoull(name, &end, 10);
    if (end != name && entry < d->m->count && d->known[entry] & BEGUN) {
        kith_share_part_name((size_t)entry, part);
        if (strcmp(part, name) == 0)
            return true;
    }
    if (end != name && entry < d->m->count && is_older_part(d, fd, (size_t)entry, name))
        d->known[entry] |= OLDER_PART;
    else
        (void)unlinkat(fd, name, 0);
    return true;
}

const uint8_t *kith_share_root(const kith_share_dir *d, size_t entry)
{
    /* BLAKE3 of nothing, of which the sharer says nothing */
    static const uint8_t empty[KITH_BLAKE3_LEN] = {
        0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc, 0xc9, 0x49,
        0x9b, 0xcb, 0x25, 0xc9, 0xad, 0xc1, 0x12, 0xb7, 0xcc, 0x9a, 0x93, 0xca, 0xe4, 0x1f, 0x32, 0x62};
    if (kith_manifest_entry(d->m, entry).size == 0)
        return empty;
    return d->roots && entry < atomic_load(&d->roots_known) ? d->roots + entry * KITH_BLAKE3_LEN : NULL;
}

void kith_share_dir_roots(kith_share_dir *d, const uint8_t *roots, size_t known)
{
    if (d->roots != roots) /* else a worker may be reading it */
        d->roots = roots;
    atomic_store(&d->roots_known, known);
}

bool kith_share_kept_root(int fd, size_t entry, uint8_t out[KITH_BLAKE3_LEN])
{
    static const uint8_t none[KITH_BLAKE3_LEN];
    return pread(fd, out, KITH_BLAKE3_LEN, (off_t)entry * KITH_BLAKE3_LEN) == KITH_BLAKE3_LEN &&
           memcmp(out, none, sizeof none) != 0;
}

/* Whether what is here of a file was verified against the root that it must have. */
static bool same_root(const kith_share_dir *d, size_t entry)
{
    uint8_t kept[KITH_BLAKE3_LEN];
    const uint8_t *root = kith_share_root(d, entry);
    return root && kith_share_kept_root(d->roots_fd, entry, kept) && memcmp(kept, root, sizeof kept) == 0;
}

/* Whether the part of an entry holds what the journal says: leaves up to `end` bytes. */
static bool part_is_there(const kith_share_dir *d, size_t entry, uint64_t end)
{
    struct stat st;
    char name[32];
    kith_share_part_name(entry, name);
    return fstatat(d->parts, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && kith_share_is_ours(&st) &&
           (uint64_t)st.st_size >= end;
}

/* Goes through what the journal claims; takes out what is not wanted any more, or whose part is gone: moved into place, mostly. */
static kith_err check_claims(kith_share_dir *d, const kith_leaves *claimed)
{
    const kith_env *env = kith_host_env();
    kith_err err = KITH_OK;
    for (size_t i = 0; i < claimed->count && !err; i++) {
        for (uint32_t leaf = claimed->ranges[i].first;
             leaf < claimed->ranges[i].end && leaf < d->m->leaves && !err;) {
            uint64_t offset;
            uint32_t first, end, last = claimed->ranges[i].end;
            size_t entry = kith_manifest_leaf(d->m, leaf, &offset);
            kith_manifest_leaves(d->m, entry, &first, &end);
            uint64_t size = kith_manifest_entry(d->m, entry).size;
            last = last < end ? last : end;
            uint64_t to = (uint64_t)(last - first) * KITH_TREE_LEAF;
            if (!(d->known[entry] & (SKIPPED | EQUAL)) && same_root(d, entry) &&
                part_is_there(d, entry, to < size ? to : size)) {
                d->known[entry] |= BEGUN;
                err = kith_leaves_add(&d->here, env, leaf, last);
            }
            leaf = last;
        }
    }
    return err;
}

/* Parts that have all their leaves, and may have been left before they got their mode and time. */
static kith_err complete_parts(kith_share_dir *d, kith_share_dir_fault *fault)
{
    kith_err err = KITH_OK;
    for (size_t i = 0; i < d->m->count && !err; i++) {
        uint32_t first, end;
        char name[32];
        kith_manifest_leaves(d->m, i, &first, &end);
        if (!(d->known[i] & BEGUN) || !kith_leaves_has(&d->here, first, end))
            continue;
        kith_share_part_name(i, name);
        int fd = openat(d->parts, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 && errno == EACCES) { /* it has its mode, and it is one that does not let us write */
            d->known[i] |= COMPLETE;
            continue;
        }
        err = fd < 0 ? kith_share_dir_fail(fault, "open the partial content of", i)
                     : kith_share_part_done(d, fd, i, fault);
        if (fd >= 0)
            (void)close(fd);
    }
    return err;
}

/* Goes on with what an earlier transfer left: as far as its journal can be believed. */
static kith_err go_on(kith_share_dir *d, kith_share_dir_fault *fault)
{
    kith_journal_state st;
    int e = kith_journal_load(d->parts, d->list_root, &st);
    if (e && e != ENOENT) {
        errno = e;
        return kith_share_dir_fail(fault, "read the journal in", SIZE_MAX);
    }
    const bool old = !e, synced = st.durability != KITH_DURABILITY_NONE;
    kith_err err = check_claims(d, &st.here);
    kith_leaves_fini(&st.here, kith_host_env());
    if (err) {
        kith_journal_state_fini(&st, kith_host_env());
        errno = ENOMEM;
        return kith_share_dir_fail(fault, "read the journal in", SIZE_MAX);
    }
    (void)kith_io_each_name(d->parts, remove_unknown, d);
    err = complete_parts(d, fault);
    const bool durable = kith_share_is_durable(d);
    /* what was written without syncs is claimed from now on as if it had been synced */
    if (!err && d->here.count > 0 && !synced && durable && kith_share_sync_all(d->parts))
        err = kith_share_dir_fail(fault, "sync the partial content in", SIZE_MAX);
    if (!err) {
        kith_leaves made = st.made;
        st = (kith_journal_state){.durability = d->durability, .here = d->here, .made = made};
        kith_journal_run(st.run);
        errno = kith_journal_begin(&d->journal, d->parts, d->list_root, &st, durable && old);
        if (errno)
            err = kith_share_dir_fail(fault, "write the journal in", SIZE_MAX);
        kith_leaves_fini(&made, kith_host_env());
    } else {
        kith_leaves_fini(&st.made, kith_host_env());
    }
    return err;
}

/* The file for the roots is there from the start: on a disk that is full what has come could not be kept without it. */
static kith_err open_roots(kith_share_dir *d, kith_share_dir_fault *fault)
{
    d->roots_fd =
        openat(d->parts, KITH_SHARE_ROOTS_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    return d->roots_fd < 0 ? kith_share_dir_fail(fault, "write the hashes in", SIZE_MAX) : KITH_OK;
}

static void leave_parts(kith_share_dir *d)
{
    struct stat st;
    if (d->roots_fd >= 0 && fstat(d->roots_fd, &st) == 0 && st.st_size == 0)
        (void)unlinkat(d->parts, KITH_SHARE_ROOTS_NAME, 0);
    (void)unlinkat(d->partials, d->id, AT_REMOVEDIR); /* stays when there is something in it */
    (void)close(d->parts);
    d->parts = -1;
}

/* ---- partial content that nobody goes on with ---- */

typedef struct discard {
    time_t older; /* than this, or not */
    int removed;
    size_t busy;
} discard;

bool kith_share_is_id(const char *name, uint8_t list_root[KITH_BLAKE3_LEN])
{
    if (strlen(name) != 2 * KITH_BLAKE3_LEN || strspn(name, "0123456789abcdef") != 2 * KITH_BLAKE3_LEN)
        return false;
    for (size_t i = 0; i < KITH_BLAKE3_LEN; i++) {
        uint8_t hi = (uint8_t)name[2 * i], lo = (uint8_t)name[2 * i + 1];
        list_root[i] =
            (uint8_t)((hi <= '9' ? hi - '0' : hi - 'a' + 10) << 4 | (lo <= '9' ? lo - '0' : lo - 'a' + 10));
    }
    return true;
}

static bool discard_one(void *ctx, int partials, const char *name)
{
    discard *c = ctx;
    struct stat st;
    uint8_t list_root[KITH_BLAKE3_LEN];
    if (!kith_share_is_id(name, list_root))
        return true;
    int fd = kith_share_open_folder(partials, name);
    if (fd < 0)
        return true;
    if (fstatat(fd, KITH_JOURNAL_NAME, &st, AT_SYMLINK_NOFOLLOW) && fstat(fd, &st))
        st.st_mtime = 0;
    if (st.st_mtime <= c->older) {
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            c->busy++;
        } else {
            kith_share_partial_empty(fd);
            c->removed += unlinkat(partials, name, AT_REMOVEDIR) == 0;
        }
    }
    (void)close(fd);
    return true;
}

kith_err kith_share_dir_begin(kith_share_dir *d, kith_share_dir_fault *fault)
{
    d->partials = make_own(d->dest, KITH_SHARE_PARTIAL);
    if (d->partials < 0)
        return kith_share_dir_fail(fault, "use the folder " KITH_SHARE_PARTIAL " in", SIZE_MAX);
    int fd = make_own(d->partials, d->id);
    if (fd < 0)
        return kith_share_dir_fail(fault, "use a folder in " KITH_SHARE_PARTIAL " in", SIZE_MAX);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        kith_err err = kith_share_dir_fail(fault, "lock the folder for partial content in", SIZE_MAX);
        (void)close(fd);
        return err;
    }
    d->parts = fd;
    kith_err err = open_roots(d, fault);
    if (!err)
        err = go_on(d, fault);
    if (err) {
        leave_parts(d);
        return err;
    }
    kith_share_salvage(d);
    kith_share_older_parts(d);
    discard old = {.older = time(NULL) - (time_t)KITH_SHARE_PARTIAL_DAYS * DAY};
    (void)kith_io_each_name(d->partials, discard_one, &old);
    return KITH_OK;
}

const kith_leaves *kith_share_dir_here(const kith_share_dir *d)
{
    return &d->here;
}

int kith_share_discard(const char *dest, size_t *busy)
{
    discard c = {.older = time(NULL) + DAY}; /* the clock that files get their times from may be ahead */
    *busy = 0;
    int fd = open(dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int partials = kith_share_open_folder(fd, KITH_SHARE_PARTIAL);
    if (partials >= 0) {
        (void)kith_io_each_name(partials, discard_one, &c);
        (void)close(partials);
        (void)unlinkat(fd, KITH_SHARE_PARTIAL, AT_REMOVEDIR); /* stays when there is something in it */
    } else if (errno != ENOENT) {
        c.removed = -errno;
    }
    (void)close(fd);
    *busy = c.busy;
    return c.removed;
}
