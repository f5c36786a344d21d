/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Going through a list and the folders on the disk at once: held descriptors, single components, no link is ever followed. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "host/share_dir_impl.h"

#ifdef __linux__
#include <linux/openat2.h>
#include <sys/syscall.h>
#endif

kith_err kith_share_dir_fail(kith_share_dir_fault *f, const char *what, size_t entry)
{
    *f = (kith_share_dir_fault){.err = errno ? errno : EIO, .what = what, .entry = entry};
    return KITH_EIO;
}

void kith_share_c_name(kith_bytes name, char out[KITH_NAME_MAX + 1])
{
    assert(kith_name_fault(name, false) == NULL);
    memcpy(out, name.p, name.len);
    out[name.len] = 0;
}

const kith_share_new_name *kith_share_find_new_name(const kith_share_new_name *names, size_t count,
                                                    size_t entry)
{
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (names[mid].entry == entry)
            return &names[mid];
        if (names[mid].entry < entry)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static void name_of(const kith_manifest *m, const kith_share_new_name *names, size_t count, size_t entry,
                    char out[KITH_NAME_MAX + 1])
{
    const kith_share_new_name *n = kith_share_find_new_name(names, count, entry);
    if (n)
        memcpy(out, n->name, sizeof n->name);
    else
        kith_share_c_name(kith_manifest_entry(m, entry).name, out);
}

void kith_share_entry_name(const kith_share_dir *d, size_t entry, char out[KITH_NAME_MAX + 1])
{
    name_of(d->m, d->new_names, d->new_name_count, entry, out);
}

int kith_share_open_folder(int at, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    assert(!strchr(name, '/'));
#ifdef SYS_openat2
    struct open_how how = {.flags = (unsigned)flags,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, at, name, &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) /* EPERM: a sandbox that does not know the call */
        return fd;
#endif
    return openat(at, name, flags);
}

/* Closes a descriptor and leaves errno as it is. */
static void let_go(int fd)
{
    int err = errno;
    (void)close(fd);
    errno = err;
}

int kith_share_open_above(int dest, const kith_manifest *m, const kith_share_new_name *names, size_t count,
                          size_t entry, char out[KITH_NAME_MAX + 1])
{
    size_t chain[KITH_MANIFEST_DEPTH_MAX], depth = 0;
    for (uint32_t up = m->places[entry].parent; up != KITH_ENTRY_TOP; up = m->places[up].parent)
        chain[depth++] = up;
    int at = fcntl(dest, F_DUPFD_CLOEXEC, 0);
    while (at >= 0 && depth > 0) {
        name_of(m, names, count, chain[--depth], out);
        int in = kith_share_open_folder(at, out);
        let_go(at);
        at = in;
    }
    name_of(m, names, count, entry, out);
    return at;
}

int kith_share_open_in_place(int dest, const kith_manifest *m, const kith_share_new_name *names, size_t count,
                             size_t entry)
{
    char name[KITH_NAME_MAX + 1];
    int at = kith_share_open_above(dest, m, names, count, entry, name);
    if (at < 0)
        return at;
    int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    let_go(at);
    return fd;
}

void kith_share_part_name(size_t entry, char out[32])
{
    (void)snprintf(out, 32, "%zu.part", entry);
}

void kith_share_times(const kith_entry *e, struct timespec out[2])
{
    int64_t s = e->mtime_ns / 1000000000, ns = e->mtime_ns % 1000000000;
    if (ns < 0) {
        s--;
        ns += 1000000000;
    }
    out[0] = (struct timespec){.tv_nsec = UTIME_NOW};
    out[1] = (struct timespec){.tv_sec = s, .tv_nsec = ns};
}

bool kith_share_is_ours(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_nlink == 1;
}

/* ---- the walk ---- */

void kith_share_walk_begin(kith_share_walk *w, kith_share_dir *d)
{
    w->d = d;
    w->fds[0] = d->dest;
    w->depth = 0;
}

kith_err kith_share_walk_up(kith_share_walk *w, size_t depth,
                            kith_err (*leave)(kith_share_dir *d, int fd, size_t entry,
                                              kith_share_dir_fault *fault),
                            kith_share_dir_fault *fault)
{
    kith_err err = KITH_OK;
    for (; w->depth > depth; w->depth--) {
        if (leave && !err)
            err = leave(w->d, w->fds[w->depth], w->folder[w->depth], fault);
        (void)close(w->fds[w->depth]);
    }
    return err;
}

int kith_share_walk_down(kith_share_walk *w, size_t i, const char *name)
{
    int fd = kith_share_open_folder(w->fds[w->depth], name);
    if (fd >= 0) {
        w->depth++;
        w->fds[w->depth] = fd;
        w->folder[w->depth] = i;
    }
    return fd;
}

size_t kith_share_after(const kith_manifest *m, size_t i)
{
    size_t end = i + 1; /* what lies in it is under i, or under something between i and itself */
    while (end < m->count && m->places[end].parent >= i && m->places[end].parent != KITH_ENTRY_TOP)
        end++;
    return end;
}
