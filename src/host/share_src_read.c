/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading what is shared, to be hashed or sent. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "host/io.h"
#include "host/share_src_impl.h"

#ifndef O_PATH
#define O_PATH O_RDONLY
#endif

/* Has the folder that an entry lies in open. -1: errno. */
static int open_folder(const kith_share_src *s, kith_src_folder *f, uint32_t entry)
{
    char path[PATH_MAX];
    if (f->fd >= 0 && f->entry == entry)
        return f->fd;
    if (f->fd >= 0)
        (void)close(f->fd);
    f->fd = -1;
    if (!kith_src_path(s, entry, path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    f->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    f->entry = entry;
    return f->fd;
}

int kith_src_open(const kith_share_src *s, kith_src_folder *folder, size_t i, kith_share_code *code)
{
    uint32_t parent = s->m.places[i].parent;
    char path[PATH_MAX], name[KITH_NAME_MAX + 1];
    const int flags =
        O_RDONLY | O_CLOEXEC | O_NONBLOCK; /* a pipe that took a file's place must not block us */
    int fd = -1;
    if (parent == KITH_ENTRY_TOP) { /* may be a link that the user named */
        if (kith_src_path(s, i, path))
            fd = open(path, flags);
        else
            errno = ENAMETOOLONG;
    } else {
        kith_bytes n = kith_manifest_entry(&s->m, i).name;
        memcpy(name, n.p, n.len);
        name[n.len] = 0;
        int at = open_folder(s, folder, parent);
        if (at >= 0)
            fd = openat(at, name, flags | O_NOFOLLOW);
    }
    *code = KITH_SHARE_NONE;
    if (fd < 0)
        *code = errno == ENOENT || errno == ELOOP || errno == ENOTDIR ? KITH_SHARE_CHANGED
                                                                      : KITH_SHARE_UNREADABLE;
    return fd;
}

kith_share_code kith_src_read_exactly(int fd, uint8_t *out, size_t n, uint64_t offset)
{
    ssize_t got = kith_io_read(fd, out, n, offset);
    if (got < 0) {
        errno = (int)-got;
        return KITH_SHARE_UNREADABLE;
    }
    return (size_t)got < n ? KITH_SHARE_CHANGED : KITH_SHARE_NONE; /* shorter than it was */
}

/* ---- large files, which stay open: the system reads ahead for a descriptor that goes on ---- */

/* Takes a place among the descriptors that are kept open: the entry's, or one (fd -1) that a descriptor of it can be put into. NULL: all
 * are being read from. */
static kith_src_open_file *take(kith_share_src *s, size_t i)
{
    kith_src_open_file *oldest = NULL, *got = NULL;
    pthread_mutex_lock(&s->lock);
    for (size_t k = 0; k < KITH_SRC_OPEN && !got; k++) {
        kith_src_open_file *o = &s->open[k];
        if (o->busy)
            continue;
        if (o->fd >= 0 && o->entry == i)
            got = o;
        else if (!oldest || o->used < oldest->used)
            oldest = o;
    }
    if (!got)
        got = oldest;
    if (got) {
        got->busy = true;
        got->used = ++s->uses;
    }
    pthread_mutex_unlock(&s->lock);
    if (got && got->fd >= 0 && got->entry != i) {
        (void)close(got->fd);
        got->fd = -1;
    }
    return got;
}

static void give_back(kith_share_src *s, kith_src_open_file *o)
{
    pthread_mutex_lock(&s->lock);
    o->busy = false;
    pthread_mutex_unlock(&s->lock);
}

static kith_share_code read_checked(const kith_share_src *s, size_t i, int fd, kith_share_item *it,
                                    uint8_t *out)
{
    struct stat st;
    kith_share_code code = it->same ? KITH_SHARE_NONE : kith_src_read_exactly(fd, out, it->len, it->offset);
    /* afterwards, so that it is also not being written to while we read */
    if (fstat(fd, &st) || !kith_src_same(s, i, &st))
        return KITH_SHARE_CHANGED;
    it->zeros = !it->same && !code && kith_share_is_zeros(kith_bytes_of(out, it->len));
    return code;
}

/* Whether a part of a file is a hole, so that it need not be read, and the file is still the one that was found. */
static bool is_hole(const kith_share_src *s, size_t i, int fd, const kith_share_item *it)
{
    struct stat st;
    return fstat(fd, &st) == 0 && (uint64_t)st.st_blocks * 512 < (uint64_t)st.st_size &&
           kith_io_next_data(fd, it->offset) >= it->offset + it->len && fstat(fd, &st) == 0 &&
           kith_src_same(s, i, &st);
}

/* Part of a file of several leaves. */
static void read_large(kith_share_src *s, size_t i, kith_share_item *it, uint8_t *out)
{
    kith_src_folder folder = {.fd = -1};
    kith_src_open_file *o = take(s, i);
    int fd = o && o->fd >= 0 ? o->fd : -1;
    if (fd < 0) {
        fd = kith_src_open(s, &folder, i, &it->code);
        if (fd >= 0)
            (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        if (o) {
            o->fd = fd;
            o->entry = i;
        }
    }
    if (fd >= 0 && !it->same && is_hole(s, i, fd, it))
        it->zeros = true;
    else if (fd >= 0)
        it->code = read_checked(s, i, fd, it, out);
    if (folder.fd >= 0)
        (void)close(folder.fd);
    if (o)
        give_back(s, o);
    else if (fd >= 0)
        (void)close(fd);
}

void kith_share_src_read(kith_share_src *s, kith_share_block *b)
{
    kith_src_folder folder = {.fd = -1};
    for (size_t k = 0; k < b->count; k++) {
        kith_share_item *it = &b->items[k];
        size_t i = it->entry;
        it->code = KITH_SHARE_NONE;
        it->zeros = false;
        if (kith_src_leaves(s, i) > 1) {
            read_large(s, i, it, b->buf + it->at);
            continue;
        }
        int fd = kith_src_open(s, &folder, i, &it->code);
        if (fd < 0)
            continue;
        it->code = read_checked(s, i, fd, it, b->buf + it->at);
        (void)close(fd);
    }
    if (folder.fd >= 0)
        (void)close(folder.fd);
}
