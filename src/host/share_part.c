/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Partial content: verified bytes go to the parts, and what is on the disk goes into the journal. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "host/host.h"
#include "host/io.h"
#include "host/share_dir_impl.h"

#define WRITEBACK (8u << 20) /* a large file goes to the disk every so many bytes, not all at once */

/* ---- open parts ---- */

static void close_part(kith_share_open_part *p)
{
    if (p->fd >= 0)
        (void)close(p->fd);
    if (p->older >= 0)
        (void)close(p->older);
    p->fd = p->older = -1;
}

void kith_share_parts_close(kith_share_dir *d)
{
    for (size_t i = 0; i < KITH_SHARE_OPEN_MAX; i++)
        close_part(&d->open[i]);
}

/* One that begins here is new: nothing else may lie there. A part of several leaves gets its mode in the end, so that it can be opened
 * again until then, and its size at once. */
static int create_part(kith_share_dir *d, const char *name, const kith_entry *e)
{
    bool small = e->size <= KITH_TREE_LEAF;
    int fd = openat(d->parts, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && !small && ftruncate(fd, (off_t)e->size)) {
        int err = errno;
        (void)close(fd);
        (void)unlinkat(d->parts, name, 0);
        errno = err;
        return -1;
    }
    return fd;
}

static int open_again(kith_share_dir *d, const char *name)
{
    struct stat st;
    int fd = openat(d->parts, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &st) || !kith_share_is_ours(&st))) {
        (void)close(fd);
        errno = EEXIST;
        return -1;
    }
    return fd;
}

/* NULL: *fault. */
static kith_share_open_part *part_of(kith_share_dir *d, size_t entry, const kith_entry *e,
                                     kith_share_dir_fault *fault)
{
    kith_share_open_part *oldest = &d->open[0];
    char name[32];
    for (size_t i = 0; i < KITH_SHARE_OPEN_MAX; i++) {
        kith_share_open_part *p = &d->open[i];
        if (p->fd >= 0 && p->entry == entry) {
            p->used = ++d->clock;
            return p;
        }
        if (oldest->fd >= 0 && (p->fd < 0 || p->used < oldest->used))
            oldest = p;
    }
    close_part(oldest);
    kith_share_part_name(entry, name);
    bool begun = d->known[entry] & (BEGUN | OLDER_PART);
    int fd = begun ? open_again(d, name) : create_part(d, name, e);
    if (fd < 0) {
        (void)kith_share_dir_fail(fault, begun ? "open the partial content of" : "create", entry);
        return NULL;
    }
    d->known[entry] |= BEGUN;
    *oldest = (kith_share_open_part){.fd = fd, .older = -1, .entry = entry, .used = ++d->clock};
    return oldest;
}

/* ---- bytes ---- */

/* Makes [from, to) read as zeros: a hole, where the file system has them. 0, or an errno. */
static int write_zeros(int fd, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[64 * 1024];
    struct stat st;
    if (fstat(fd, &st))
        return errno;
    if ((uint64_t)st.st_size <= from)
        return ftruncate(fd, (off_t)to) ? errno : 0;
#ifdef __linux__
    if ((uint64_t)st.st_size < to && ftruncate(fd, (off_t)to))
        return errno;
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from)) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return errno;
#endif
    int e = 0;
    for (size_t n; from < to && !e; from += n) {
        n = to - from < sizeof zeros ? (size_t)(to - from) : sizeof zeros;
        e = kith_io_write(fd, zeros, n, from);
    }
    return e;
}

kith_err kith_share_part_done(kith_share_dir *d, int fd, size_t entry, kith_share_dir_fault *fault)
{
    const kith_entry e = kith_manifest_entry(d->m, entry);
    struct timespec times[2];
    kith_share_times(&e, times);
    if (fchmod(fd, e.mode & ~d->mask) || futimens(fd, times))
        return kith_share_dir_fail(fault, "set the mode and time of", entry);
    d->known[entry] |= COMPLETE;
    return KITH_OK;
}

kith_err kith_share_part_dirty(kith_share_dir *d, size_t entry, uint32_t first, uint32_t end,
                               kith_share_dir_fault *fault)
{
    const kith_env *env = kith_host_env();
    if (kith_leaves_add(&d->here, env, first, end) || kith_leaves_add(&d->dirty, env, first, end)) {
        errno = ENOMEM;
        return kith_share_dir_fail(fault, "write", entry);
    }
    bool known = false;
    for (size_t i = d->dirty_count; i > 0 && !known; i--)
        known = d->dirty_parts[i - 1] == entry;
    if (!known && d->dirty_count == KITH_SHARE_DIRTY_MAX)
        d->dirty_many = true;
    else if (!known)
        d->dirty_parts[d->dirty_count++] = entry;
    return KITH_OK;
}

/* A leaf has been written; a part that has all of its leaves is complete. */
static kith_err took(kith_share_dir *d, kith_share_open_part *p, const kith_share_item *it,
                     kith_share_dir_fault *fault)
{
    uint32_t first, end;
    kith_manifest_leaves(d->m, p->entry, &first, &end);
    const uint32_t leaf = first + (uint32_t)(it->offset / KITH_TREE_LEAF);
    uv_mutex_lock(&d->lock);
    kith_err err = kith_share_part_dirty(d, p->entry, leaf, leaf + 1, fault);
    d->dirty_bytes += it->len;
    bool whole = !err && kith_leaves_has(&d->here, first, end);
    uv_mutex_unlock(&d->lock);
    if (whole) {
        err = kith_share_part_done(d, p->fd, p->entry, fault);
        close_part(p);
    }
    return err;
}

/* ---- what cannot be had ---- */

/* The journal forgets a part before it goes. */
static kith_err drop_part(kith_share_dir *d, size_t entry, kith_share_dir_fault *fault)
{
    const kith_env *env = kith_host_env();
    kith_leaves gone = {0};
    uint32_t first, end;
    char name[32];
    int e = 0;
    if (d->known[entry] & LOST)
        return KITH_OK;
    for (size_t i = 0; i < KITH_SHARE_OPEN_MAX; i++) {
        if (d->open[i].fd >= 0 && d->open[i].entry == entry)
            close_part(&d->open[i]);
    }
    kith_manifest_leaves(d->m, entry, &first, &end);
    uv_mutex_lock(&d->lock);
    bool some = kith_leaves_count(&d->here, first, end) > 0;
    if (some && (kith_leaves_add(&gone, env, first, end) || kith_leaves_remove(&d->here, env, first, end) ||
                 kith_leaves_remove(&d->dirty, env, first, end) ||
                 (d->syncing && kith_leaves_remove(d->syncing, env, first, end))))
        e = ENOMEM;
    if (some && !e)
        e = kith_journal_put(&d->journal, KITH_JOURNAL_GONE, &gone);
    if (some && !e && kith_share_is_durable(d))
        e = kith_journal_sync(&d->journal);
    uv_mutex_unlock(&d->lock);
    kith_leaves_fini(&gone, env);
    errno = e;
    if (e)
        return kith_share_dir_fail(fault, "forget the partial content of", entry);
    kith_share_part_name(entry, name);
    (void)unlinkat(d->parts, name, 0);
    d->lost++;
    d->known[entry] = (uint16_t)((d->known[entry] | LOST) & ~(COMPLETE | BEGUN | OLDER_PART));
    return KITH_OK;
}

/* ---- what came ---- */

static kith_err put_leaf(kith_share_dir *d, kith_share_item *it, const uint8_t *p,
                         kith_share_dir_fault *fault)
{
    const kith_entry e = kith_manifest_entry(d->m, it->entry);
    const uint64_t end = it->offset + it->len;
    assert(it->offset % KITH_TREE_LEAF == 0 && end <= e.size && (it->len == KITH_TREE_LEAF || end == e.size));
    if (d->known[it->entry] & (LOST | COMPLETE | EQUAL | SKIPPED))
        return KITH_OK; /* it came twice, or too late */
    kith_share_open_part *part = part_of(d, it->entry, &e, fault);
    if (!part)
        return KITH_EIO;
    bool there = false;
    if (it->same && !kith_share_older_read(d, part, it, &there)) {
        it->stale = true;
        return KITH_OK;
    }
    if (it->same)
        p = d->buf;
    errno = there       ? 0
            : it->zeros ? write_zeros(part->fd, it->offset, end)
                        : kith_io_write(part->fd, p, it->len, it->offset);
    if (errno)
        return kith_share_dir_fail(fault, "write", it->entry);
#ifdef __linux__
    if (!it->zeros && it->offset / WRITEBACK != end / WRITEBACK && kith_share_is_durable(d)) {
        uint64_t from = it->offset / WRITEBACK * WRITEBACK;
        (void)sync_file_range(part->fd, (off_t)from, (off_t)(end - from),
                              SYNC_FILE_RANGE_WRITE); /* does not wait */
    }
#endif
    return took(d, part, it, fault);
}

kith_err kith_share_dir_write(kith_share_dir *d, kith_share_block *b, kith_share_dir_fault *fault)
{
    kith_err err = KITH_OK;
    for (size_t i = 0; i < b->count && !err; i++) {
        kith_share_item *it = &b->items[i];
        err = it->code ? drop_part(d, it->entry, fault)
                       : put_leaf(d, it, it->same ? NULL : b->buf + it->at, fault);
    }
    return err || d->durability != KITH_DURABILITY_STRICT ? err : kith_share_dir_sync(d, fault);
}
