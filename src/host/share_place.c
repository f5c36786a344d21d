/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Everything is here: into place with it. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "host/host.h"
#include "host/share_dir_impl.h"

#define ONE_BY_ONE \
    KITH_SHARE_DIRTY_MAX /* entries: up to as many are synced one by one, more by syncing the file system */

/* Files are synced before they get their names, and folders when they are left. */
static bool one_by_one(const kith_share_dir *d)
{
    return d->durability == KITH_DURABILITY_STRICT || (kith_share_is_durable(d) && d->m->count <= ONE_BY_ONE);
}

/* Moves a part to its place; replace: over a file that is there. */
static int move_part(int from, const char *part, int to, const char *name, bool replace)
{
    if (replace)
        return renameat(from, part, to, name);
#ifdef __linux__
    if (renameat2(from, part, to, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
#endif
    return linkat(from, part, to, name, 0) ? -1
                                           : unlinkat(from, part, 0); /* a file system without the flag */
}

/* Everything done so far is on the disk when this returns, as far as the system can be asked for it. */
static int sync_all(const kith_share_dir *d)
{
    if (!kith_share_is_durable(d))
        return 0;
    return one_by_one(d) ? fsync(d->dest) : kith_share_sync_all(d->dest);
}

static kith_err leave_folder(kith_share_dir *d, int fd, size_t i, kith_share_dir_fault *fault)
{
    const kith_entry e = kith_manifest_entry(d->m, i);
    if (d->known[i] & MADE) {
        struct timespec times[2];
        kith_share_times(&e, times);
        if (fchmod(fd, e.mode & ~d->mask) || futimens(fd, times))
            return kith_share_dir_fail(fault, "set the mode and time of", i);
    }
    return one_by_one(d) && fsync(fd) ? kith_share_dir_fail(fault, "sync", i) : KITH_OK;
}

static kith_err place_folder(kith_share_walk *w, size_t i, const char *name, kith_share_dir_sum *sum,
                             kith_share_dir_fault *fault)
{
    kith_share_dir *d = w->d;
    if (mkdirat(w->fds[w->depth], name, 0700) == 0) {
        d->known[i] |= MADE;
        sum->dirs++;
    } else if (errno != EEXIST) {
        return kith_share_dir_fail(fault, "make the folder", i);
    }
    return kith_share_walk_down(w, i, name) < 0 ? kith_share_dir_fail(fault, "open", i) : KITH_OK;
}

/* An empty file has no leaves: its part is made now. */
static kith_err make_empty(kith_share_dir *d, size_t i, const char *part, kith_share_dir_fault *fault)
{
    (void)unlinkat(d->parts, part, 0);
    int fd = openat(d->parts, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return kith_share_dir_fail(fault, "create", i);
    kith_err err = kith_share_part_done(d, fd, i, fault);
    (void)close(fd);
    return err;
}

/* With its mode and time. */
static int sync_part(kith_share_dir *d, const char *part)
{
    int fd = openat(d->parts, part, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) /* a mode that does not let us read it; its content is synced */
        return errno == EACCES ? 0 : -1;
    int r = fsync(fd), e = errno;
    (void)close(fd);
    errno = e;
    return r;
}

static kith_err place_file(kith_share_walk *w, size_t i, const char *name, kith_share_dir_sum *sum,
                           kith_share_dir_fault *fault)
{
    kith_share_dir *d = w->d;
    const kith_entry e = kith_manifest_entry(d->m, i);
    char part[32];
    kith_err err = KITH_OK;
    if (d->known[i] & LOST)
        return KITH_OK;
    kith_share_part_name(i, part);
    if (e.size == 0)
        err = make_empty(d, i, part, fault);
    if (err)
        return err;
    assert(d->known[i] & COMPLETE);
    if (one_by_one(d) && sync_part(d, part))
        return kith_share_dir_fail(fault, "sync", i);
    if (move_part(d->parts, part, w->fds[w->depth], name, kith_share_replaces(d, i)))
        return kith_share_dir_fail(fault, "move into place", i);
    if (d->durability == KITH_DURABILITY_STRICT && fsync(w->fds[w->depth]))
        return kith_share_dir_fail(fault, "sync the folder of", i);
    d->known[i] |= PLACED;
    sum->files++;
    sum->bytes += e.size;
    return KITH_OK;
}

static kith_err place_link(kith_share_walk *w, size_t i, const char *name, kith_share_dir_sum *sum,
                           kith_share_dir_fault *fault)
{
    kith_share_dir *d = w->d;
    kith_bytes target = kith_manifest_entry(d->m, i).target;
    char text[KITH_LINK_MAX + 1], part[32];
    memcpy(text, target.p, target.len);
    text[target.len] = 0;
    kith_share_part_name(i, part);
    bool replace = kith_share_replaces(d, i);
    if (replace)
        (void)unlinkat(d->parts, part, 0);
    int r = replace ? symlinkat(text, d->parts, part) || renameat(d->parts, part, w->fds[w->depth], name)
                    : symlinkat(text, w->fds[w->depth], name);
    if (r)
        return kith_share_dir_fail(fault, "make the link", i);
    sum->links++;
    return KITH_OK;
}

/* One pass over the list: first folders and files, then (links) links, and the modes and times of folders. */
static kith_err place(kith_share_dir *d, bool links, kith_share_dir_sum *sum, kith_share_dir_fault *fault)
{
    kith_share_walk w;
    kith_err err = KITH_OK;
    kith_share_walk_begin(&w, d);
    for (size_t i = 0; i < d->m->count && !err;) {
        const kith_entry e = kith_manifest_entry(d->m, i);
        char name[KITH_NAME_MAX + 1];
        if (d->known[i] & SKIPPED) {
            i = kith_share_after(d->m, i);
            continue;
        }
        err = kith_share_walk_up(&w, e.depth, links ? leave_folder : NULL, fault);
        if (err)
            break;
        kith_share_entry_name(d, i, name);
        switch (e.type) {
        case KITH_ENTRY_DIR:
            err = !links                                  ? place_folder(&w, i, name, sum, fault)
                  : kith_share_walk_down(&w, i, name) < 0 ? kith_share_dir_fail(fault, "open", i)
                                                          : KITH_OK;
            break;
        case KITH_ENTRY_FILE:
            if (!links && !(d->known[i] & EQUAL))
                err = place_file(&w, i, name, sum, fault);
            break;
        case KITH_ENTRY_LINK:
            if (links && !(d->known[i] & EQUAL))
                err = place_link(&w, i, name, sum, fault);
            break;
        }
        i++;
    }
    kith_err last = kith_share_walk_up(&w, 0, links && !err ? leave_folder : NULL, fault);
    return err ? err : last;
}

/* Folders get their mode and time last. If that is not reached, the next one to go on with this has to know which ones are ours. */
static kith_err note_folders(kith_share_dir *d, kith_share_dir_fault *fault)
{
    const kith_env *env = kith_host_env();
    kith_leaves made = {0};
    kith_err err = KITH_OK;
    for (size_t i = 0; i < d->m->count && !err; i++) {
        if (kith_manifest_entry(d->m, i).type == KITH_ENTRY_DIR && !(d->known[i] & (THERE | SKIPPED)))
            err = kith_leaves_add(&made, env, (uint32_t)i, (uint32_t)i + 1);
    }
    int e = err ? ENOMEM : made.count == 0 ? 0 : kith_journal_put(&d->journal, KITH_JOURNAL_MADE, &made);
    if (!e && made.count > 0 && kith_share_is_durable(d))
        e = kith_journal_sync(&d->journal);
    kith_leaves_fini(&made, env);
    errno = e;
    return e ? kith_share_dir_fail(fault, "write the journal in", SIZE_MAX) : KITH_OK;
}

/* What was moved is not in the parts any more. */
static void forget_placed(kith_share_dir *d)
{
    for (size_t i = 0; i < d->m->count; i++) {
        uint32_t first, end;
        kith_manifest_leaves(d->m, i, &first, &end);
        if (d->known[i] & PLACED && kith_leaves_remove(&d->here, kith_host_env(), first, end))
            return; /* the next one to go on sees it for itself */
    }
}

kith_err kith_share_dir_finish(kith_share_dir *d, kith_share_dir_sum *sum, kith_share_dir_fault *fault)
{
    *sum = (kith_share_dir_sum){.lost = d->lost};
    for (size_t i = 0; i < d->m->count; i++)
        sum->equal += d->known[i] & EQUAL && !(d->known[i] & SKIPPED);
    kith_share_parts_close(d);
    if (!one_by_one(d) && sync_all(d)) /* a full disk may show only here */
        return kith_share_dir_fail(fault, "sync", SIZE_MAX);
    kith_err err = d->m->dirs > 0 ? note_folders(d, fault) : KITH_OK;
    if (!err)
        err = place(d, false, sum, fault);
    if (!err && (d->m->links > 0 || d->m->dirs > 0))
        err = place(d, true, sum, fault);
    if (!err && sync_all(d))
        err = kith_share_dir_fail(fault, "sync", SIZE_MAX);
    d->finished = !err;
    if (err)
        forget_placed(d);
    else
        kith_share_salvage_rest(d);
    return err;
}
