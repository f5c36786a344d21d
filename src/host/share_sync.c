/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From the parts to the disk, then into the journal. Writing may go on meanwhile: the lock is not held while the disk works. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "host/host.h"
#include "host/io.h"
#include "host/share_dir_impl.h"

int kith_share_sync_all(int fd)
{
#ifdef __linux__
    return syncfs(fd);
#else
    sync();
    return fsync(fd);
#endif
}

static int sync_part(kith_share_dir *d, size_t entry)
{
    char name[32];
    kith_share_part_name(entry, name);
    int fd = openat(d->parts, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == EACCES) /* complete, and its mode does not let us in any more */
        return kith_share_sync_all(d->parts) ? errno : 0;
    if (fd < 0)
        return errno == ENOENT ? 0 : errno; /* dropped meanwhile */
    int e = fdatasync(fd) ? errno : 0;
    (void)close(fd);
    return e;
}

/* Syncs the content of parts; many: of all. 0, or an errno. */
static int sync_parts(kith_share_dir *d, const size_t *entries, size_t count, bool many)
{
    int e = 0;
    if (many)
        return kith_share_sync_all(d->parts) ? errno : 0;
    for (size_t i = 0; i < count && !e; i++)
        e = sync_part(d, entries[i]);
    return e;
}

int kith_share_keep_list(const kith_share_dir *d, bool sync)
{
    struct stat st;
    const kith_bytes b = d->m->list;
    if (fstatat(d->parts, KITH_SHARE_LIST_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 && kith_share_is_ours(&st) &&
        (uint64_t)st.st_size == b.len)
        return 0;
    (void)unlinkat(d->parts, KITH_SHARE_LIST_NAME, 0);
    int fd =
        openat(d->parts, KITH_SHARE_LIST_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int e = fd < 0 ? errno : kith_io_write(fd, b.p, b.len, 0);
    if (!e && sync && fdatasync(fd))
        e = errno;
    if (fd >= 0)
        (void)close(fd);
    return e;
}

/* The roots that content is verified against, as far as they are known. They are there before the journal says that content is. */
static int keep_roots(kith_share_dir *d, bool sync)
{
    size_t known = d->roots ? atomic_load(&d->roots_known) : 0;
    if (known <= d->roots_kept)
        return 0;
    size_t at = d->roots_kept * KITH_BLAKE3_LEN;
    int e = kith_io_write(d->roots_fd, d->roots + at, known * KITH_BLAKE3_LEN - at, at);
    if (!e && sync && fdatasync(d->roots_fd))
        e = errno;
    if (!e)
        d->roots_kept = known;
    return e;
}

/* The folders that lead to the parts: once. A transfer that is shorter than a batch never gets here. */
static int sync_folders(kith_share_dir *d, bool sync)
{
    int e = 0;
    if (kith_share_keep_list(d, sync)) /* who goes on with this has been given it again */
        (void)unlinkat(d->parts, KITH_SHARE_LIST_NAME, 0);
    if (sync && (fsync(d->parts) || fsync(d->partials) || fsync(d->dest)))
        e = errno;
    d->folders_synced = !e;
    return e;
}

uint64_t kith_share_dir_unsynced(kith_share_dir *d)
{
    if (d->durability == KITH_DURABILITY_STRICT)
        return 0; /* write has seen to it */
    uv_mutex_lock(&d->lock);
    uint64_t n = d->dirty_bytes > 0 || d->dirty.count == 0 ? d->dirty_bytes : 1;
    uv_mutex_unlock(&d->lock);
    return n;
}

kith_err kith_share_dir_sync(kith_share_dir *d, kith_share_dir_fault *fault)
{
    const kith_env *env = kith_host_env();
    size_t parts[KITH_SHARE_DIRTY_MAX], count;
    const bool durable = kith_share_is_durable(d);
    kith_leaves taken;
    int e = 0;
    uv_mutex_lock(&d->lock);
    taken = d->dirty; /* dropping a file takes its leaves out, under the lock */
    const bool some = taken.count > 0;
    d->dirty = (kith_leaves){0};
    d->syncing = &taken;
    count = d->dirty_count;
    memcpy(parts, d->dirty_parts, count * sizeof *parts);
    bool many = d->dirty_many;
    d->dirty_count = 0;
    d->dirty_many = false;
    d->dirty_bytes = 0;
    uv_mutex_unlock(&d->lock);
    if (some && durable)
        e = sync_parts(d, parts, count, many);
    if (!e && some)
        e = keep_roots(d, durable);
    if (!e && some && !d->folders_synced)
        e = sync_folders(d, durable);
    else if (!e && some && durable && fsync(d->parts)) /* names of new parts */
        e = errno;
    uv_mutex_lock(&d->lock);
    d->syncing = NULL;
    if (!e)
        e = kith_journal_put(&d->journal, KITH_JOURNAL_HERE, &taken);
    if (e) { /* another time, if there is one */
        if (kith_leaves_add_all(&d->dirty, env, &taken))
            e = ENOMEM;
        d->dirty_many = true;
    }
    uv_mutex_unlock(&d->lock);
    if (!e && some && durable)
        e = kith_journal_sync(&d->journal);
    kith_leaves_fini(&taken, env);
    errno = e;
    return e ? kith_share_dir_fail(fault, "sync the partial content in", SIZE_MAX) : KITH_OK;
}
