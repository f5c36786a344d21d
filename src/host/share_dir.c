/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The receiving folder: survey, partial content, and putting everything in place, on held descriptors only. */
#include "host/share_dir.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/openat2.h>
#include <sys/syscall.h>
#endif

#define FSYNC_MAX 64 /* entries: up to as many are synced one by one, more by syncing the file system */
#define SPACE_SLACK (16u << 20) /* what a file system wants besides content */
#define SPACE_PER_ENTRY 4096u
#define WRITEBACK (8u << 20) /* a large file goes to the disk every so many bytes, not all at the end */
#define NEW_NAMES_MAX 9999   /* "name (9999)" is the last that is tried */

/* What is known of an entry; bits. */
enum {
    THERE = 1,    /* something of its name was there before us */
    SKIPPED = 2,  /* not wanted */
    COMPLETE = 4, /* a file whose part is complete */
    LOST = 8,     /* a file that cannot be had */
    MADE = 16,    /* a folder that we made */
    CLASH = 32,   /* THERE, and in the way */
};

typedef struct new_name {
    size_t entry;
    char name[KITH_NAME_MAX + 1];
} new_name;

struct kith_share_dir {
    const kith_manifest *m;
    kith_share_clash policy;
    mode_t mask;  /* the process's umask */
    int dest;     /* the destination */
    int partials; /* DEST/.kith-partial, or -1 */
    int parts;    /* DEST/.kith-partial/<share id>, or -1 */
    char id[2 * KITH_BLAKE3_LEN + 1];
    bool one_by_one;     /* FSYNC_MAX */
    uint8_t *known;      /* by entry */
    uint8_t *skips;      /* by entry; NULL: none */
    new_name *new_names; /* in the entries' order */
    size_t new_name_count, new_name_cap;
    uint64_t needed; /* bytes of wanted files */
    /* the file being written */
    int fd; /* -1: none */
    size_t fd_entry;
    uint64_t lost;
};

static kith_err fail(kith_share_dir_fault *f, const char *what, size_t entry)
{
    *f = (kith_share_dir_fault){.err = errno ? errno : EIO, .what = what, .entry = entry};
    return KITH_EIO;
}

/* ---- single components ---- */

/* A component as the system calls want it. The manifest was validated; that nothing else ever gets here is checked once more. */
static void c_name(kith_bytes name, char out[KITH_NAME_MAX + 1])
{
    assert(kith_name_fault(name, false) == NULL);
    memcpy(out, name.p, name.len);
    out[name.len] = 0;
}

/* Opens the folder `name` in the folder at, never through a symbolic link. */
static int open_folder(int at, const char *name)
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

static void part_name(size_t entry, char out[32])
{
    (void)snprintf(out, 32, "%zu.part", entry);
}

/* ---- names of top entries ---- */

static const new_name *find_new_name(const kith_share_dir *d, size_t entry)
{
    size_t lo = 0, hi = d->new_name_count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (d->new_names[mid].entry == entry)
            return &d->new_names[mid];
        if (d->new_names[mid].entry < entry)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static void entry_name(const kith_share_dir *d, size_t entry, char out[KITH_NAME_MAX + 1])
{
    const new_name *n = find_new_name(d, entry);
    if (n)
        memcpy(out, n->name, sizeof n->name);
    else
        c_name(kith_manifest_entry(d->m, entry).name, out);
}

kith_bytes kith_share_dir_new_name(const kith_share_dir *d, size_t entry)
{
    const new_name *n = find_new_name(d, entry);
    return n ? kith_bytes_str(n->name) : (kith_bytes){0};
}

/* ---- walking the list and the folders at once ---- */

/* Descriptors of the folders above the current entry: fds[depth] is the one that an entry of that depth lies in. */
typedef struct walk {
    kith_share_dir *d;
    int fds[KITH_MANIFEST_DEPTH_MAX + 1];
    size_t folder[KITH_MANIFEST_DEPTH_MAX + 1]; /* entries of fds[1..] */
    size_t depth;                               /* deepest one that is open */
} walk;

static void walk_begin(walk *w, kith_share_dir *d)
{
    w->d = d;
    w->fds[0] = d->dest;
    w->depth = 0;
}

/* Closes folders until entries of `depth` can be reached; with finish, folders that we made get their mode and time. */
static kith_err walk_up(walk *w, size_t depth, bool finish, kith_share_dir_fault *fault)
{
    kith_err err = KITH_OK;
    for (; w->depth > depth; w->depth--) {
        int fd = w->fds[w->depth];
        size_t i = w->folder[w->depth];
        const kith_entry e = kith_manifest_entry(w->d->m, i);
        if (finish && !err && w->d->known[i] & MADE) {
            struct timespec times[2] = {
                {.tv_nsec = UTIME_NOW},
                {.tv_sec = e.mtime_ns / 1000000000, .tv_nsec = e.mtime_ns % 1000000000}};
            if (times[1].tv_nsec < 0) {
                times[1].tv_sec--;
                times[1].tv_nsec += 1000000000;
            }
            if (fchmod(fd, e.mode & ~w->d->mask) || futimens(fd, times))
                err = fail(fault, "set the mode and time of", i);
        }
        if (finish && !err && w->d->one_by_one && fsync(fd))
            err = fail(fault, "sync", i);
        (void)close(fd);
    }
    return err;
}

/* Opens the folder of entry i, which lies at the walk's depth. */
static int walk_down(walk *w, size_t i, const char *name)
{
    int fd = open_folder(w->fds[w->depth], name);
    if (fd >= 0) {
        w->depth++;
        w->fds[w->depth] = fd;
        w->folder[w->depth] = i;
    }
    return fd;
}

/* First entry after i that does not lie in it. */
static size_t after(const kith_manifest *m, size_t i)
{
    size_t depth = kith_manifest_entry(m, i).depth;
    do
        i++;
    while (i < m->count && kith_manifest_entry(m, i).depth > depth);
    return i;
}

/* ---- opening ---- */

kith_share_dir *kith_share_dir_open(const char *dest, const kith_manifest *m,
                                    const uint8_t root[KITH_BLAKE3_LEN], kith_share_dir_fault *fault)
{
    kith_share_dir *d = calloc(1, sizeof *d);
    uint8_t *known = calloc(m->count, 1);
    if (!d || !known) {
        errno = ENOMEM;
        goto bad;
    }
    d->m = m;
    d->known = known;
    d->partials = d->parts = d->fd = -1;
    d->one_by_one = m->count <= FSYNC_MAX;
    d->mask = umask(0);
    (void)umask(d->mask);
    kith_wr w = kith_wr_of(kith_span_of(d->id, sizeof d->id - 1));
    kith_put_hex(&w, kith_bytes_of(root, KITH_BLAKE3_LEN));
    d->dest = open(dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->dest >= 0)
        return d;
bad:
    (void)fail(fault, "open", SIZE_MAX);
    free(known);
    free(d);
    return NULL;
}

/* Removes all parts in a folder. Nothing else is ever in it. The descriptor becomes the stream's, which takes none to spare: it may be the
 * lack of them that ended the transfer. NULL: closed. */
static DIR *remove_parts(int fd)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        (void)close(fd);
        return NULL;
    }
    rewinddir(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlinkat(fd, e->d_name, 0);
    }
    return dir;
}

void kith_share_dir_close(kith_share_dir *d)
{
    if (!d)
        return;
    if (d->fd >= 0)
        (void)close(d->fd);
    if (d->parts >= 0) {
        DIR *parts = remove_parts(d->parts);
        (void)unlinkat(d->partials, d->id, AT_REMOVEDIR);
        if (parts)
            (void)closedir(parts); /* and with it the lock */
    }
    if (d->partials >= 0) {
        (void)close(d->partials);
        (void)unlinkat(d->dest, KITH_SHARE_PARTIAL, AT_REMOVEDIR); /* stays when other shares are in it */
    }
    (void)close(d->dest);
    free(d->known);
    free(d->skips);
    free(d->new_names);
    free(d);
}

/* ---- the survey ---- */

/* Whether what is there and an entry go together: two folders do. */
static bool is_clash(const struct stat *st, const kith_entry *e)
{
    return !(S_ISDIR(st->st_mode) && e->type == KITH_ENTRY_DIR);
}

/* Marks what is there. Entries in folders that are not there are not looked for. */
static kith_err look(kith_share_dir *d, size_t *clashes, size_t *first, kith_share_dir_fault *fault)
{
    walk w;
    kith_err err = KITH_OK;
    walk_begin(&w, d);
    for (size_t i = 0; i < d->m->count && !err;) {
        const kith_entry e = kith_manifest_entry(d->m, i);
        char name[KITH_NAME_MAX + 1];
        struct stat st;
        (void)walk_up(&w, e.depth, false, fault);
        c_name(e.name, name);
        if (fstatat(w.fds[e.depth], name, &st, AT_SYMLINK_NOFOLLOW)) {
            if (errno != ENOENT)
                err = fail(fault, "look at", i);
            i = after(d->m, i);
            continue;
        }
        d->known[i] |= THERE;
        if (is_clash(&st, &e)) {
            d->known[i] |= CLASH;
            if ((*clashes)++ == 0)
                *first = i;
            if (d->policy == KITH_SHARE_CLASH_OVERWRITE &&
                (S_ISDIR(st.st_mode) || e.type == KITH_ENTRY_DIR)) {
                *first = i;
                err = KITH_EEXISTS;
            }
            i = after(d->m, i);
            continue;
        }
        if (walk_down(&w, i, name) < 0)
            err = fail(fault, "open", i);
        i++;
    }
    (void)walk_up(&w, 0, false, fault);
    return err;
}

/* A name for a top entry that is free on disk and in the list: "stem (2).ext". */
static kith_err pick_name(kith_share_dir *d, size_t entry)
{
    if (d->new_name_count == d->new_name_cap) {
        size_t cap = d->new_name_cap ? 2 * d->new_name_cap : 4;
        new_name *p = realloc(d->new_names, cap * sizeof *p);
        if (!p)
            return KITH_ENOMEM;
        d->new_names = p;
        d->new_name_cap = cap;
    }
    new_name *n = &d->new_names[d->new_name_count];
    const kith_entry e = kith_manifest_entry(d->m, entry);
    char own[KITH_NAME_MAX + 1];
    c_name(e.name, own);
    const char *dot = e.type == KITH_ENTRY_FILE ? strrchr(own, '.') : NULL;
    int stem = dot && dot > own ? (int)(dot - own) : (int)e.name.len;
    for (int k = 2; k <= NEW_NAMES_MAX; k++) {
        struct stat st;
        int len = snprintf(n->name, sizeof n->name, "%.*s (%d)%s", stem, own, k, own + stem);
        if (len < 0 || (size_t)len >= sizeof n->name)
            return KITH_EEXISTS; /* too long a name */
        if (fstatat(d->dest, n->name, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
            continue;
        bool taken = false;
        for (size_t i = 0; i < d->m->count && !taken; i = after(d->m, i))
            taken = kith_bytes_eq_str(kith_manifest_entry(d->m, i).name, n->name);
        for (size_t i = 0; i < d->new_name_count && !taken; i++)
            taken = strcmp(d->new_names[i].name, n->name) == 0;
        if (taken)
            continue;
        n->entry = entry;
        d->new_name_count++;
        return KITH_OK;
    }
    return KITH_EEXISTS;
}

/* Gives every top entry with a clash in it another name; then nothing of it is there. */
static kith_err rename_tops(kith_share_dir *d, size_t *first)
{
    for (size_t top = 0, end; top < d->m->count; top = end) {
        bool clash = false;
        end = after(d->m, top);
        for (size_t i = top; i < end; i++)
            clash |= (d->known[i] & CLASH) != 0;
        if (!clash)
            continue;
        *first = top;
        kith_err err = pick_name(d, top);
        if (err)
            return err;
        for (size_t i = top; i < end; i++)
            d->known[i] &= (uint8_t) ~(THERE | CLASH);
    }
    return KITH_OK;
}

static kith_err skip_clashes(kith_share_dir *d)
{
    d->skips = calloc(d->m->count, 1);
    if (!d->skips)
        return KITH_ENOMEM;
    for (size_t i = 0; i < d->m->count; i++) {
        if (!(d->known[i] & CLASH))
            continue;
        size_t end = after(d->m, i);
        for (; i < end; i++) {
            d->known[i] |= SKIPPED;
            d->skips[i] = 1;
        }
        i--;
    }
    return KITH_OK;
}

kith_err kith_share_dir_survey(kith_share_dir *d, kith_share_clash policy, size_t *clashes, size_t *first,
                               kith_share_dir_fault *fault)
{
    d->policy = policy;
    *clashes = 0;
    for (size_t i = 0; i < d->m->count; i = after(d->m, i)) {
        if (kith_bytes_eq_str(kith_manifest_entry(d->m, i).name, KITH_SHARE_PARTIAL)) {
            *first = i;
            return KITH_EPOLICY;
        }
    }
    kith_err err = look(d, clashes, first, fault);
    if (!err && *clashes > 0) {
        switch (policy) {
        case KITH_SHARE_CLASH_FAIL:
            return KITH_EEXISTS;
        case KITH_SHARE_CLASH_OVERWRITE:
            break;
        case KITH_SHARE_CLASH_RENAME:
            err = rename_tops(d, first);
            break;
        case KITH_SHARE_CLASH_SKIP:
            err = skip_clashes(d);
            break;
        }
    }
    d->needed = 0;
    for (size_t i = 0; i < d->m->count; i++)
        d->needed += d->known[i] & SKIPPED ? 0 : kith_manifest_entry(d->m, i).size;
    return err;
}

const uint8_t *kith_share_dir_skips(const kith_share_dir *d)
{
    return d->skips;
}

void kith_share_dir_space(const kith_share_dir *d, uint64_t *available, uint64_t *needed)
{
    struct statvfs v;
    *needed = d->needed + SPACE_SLACK * (d->needed > 0) + (uint64_t)d->m->count * SPACE_PER_ENTRY;
    *available = fstatvfs(d->dest, &v) ? UINT64_MAX : (uint64_t)v.f_bavail * v.f_frsize;
}

/* ---- content ---- */

/* Makes a folder of our own, or opens the one that is there. */
static int make_own(int at, const char *name)
{
    bool made = mkdirat(at, name, 0700) == 0;
    if (!made && errno != EEXIST)
        return -1;
    int fd = open_folder(at, name), e = errno;
    if (fd < 0 && made)
        (void)unlinkat(at, name, AT_REMOVEDIR);
    errno = e;
    return fd;
}

kith_err kith_share_dir_begin(kith_share_dir *d, kith_share_dir_fault *fault)
{
    d->partials = make_own(d->dest, KITH_SHARE_PARTIAL);
    if (d->partials < 0)
        return fail(fault, "make the folder " KITH_SHARE_PARTIAL " in", SIZE_MAX);
    int fd = make_own(d->partials, d->id);
    if (fd < 0)
        return fail(fault, "make a folder in " KITH_SHARE_PARTIAL " in", SIZE_MAX);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        kith_err err = fail(fault, "lock the folder for partial content in", SIZE_MAX);
        (void)close(fd);
        return err;
    }
    d->parts = fd;
    int copy = dup(fd); /* of an earlier transfer that was killed */
    DIR *old = copy < 0 ? NULL : remove_parts(copy);
    if (old)
        (void)closedir(old);
    return KITH_OK;
}

static kith_err begin_part(kith_share_dir *d, size_t entry, kith_share_dir_fault *fault)
{
    char part[32];
    part_name(entry, part);
    d->fd = openat(d->parts, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                   kith_manifest_entry(d->m, entry).mode);
    d->fd_entry = entry;
    return d->fd < 0 ? fail(fault, "create", entry) : KITH_OK;
}

/* Closes the file being written; whole: with its time. */
static kith_err end_part(kith_share_dir *d, bool whole, kith_share_dir_fault *fault)
{
    const kith_entry e = kith_manifest_entry(d->m, d->fd_entry);
    int64_t s = e.mtime_ns / 1000000000, ns = e.mtime_ns % 1000000000;
    if (ns < 0) {
        s--;
        ns += 1000000000;
    }
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = s, .tv_nsec = ns}};
    kith_err err = KITH_OK;
    if (whole && futimens(d->fd, times))
        err = fail(fault, "set the time of", d->fd_entry);
    if (whole && !err && d->one_by_one && fsync(d->fd))
        err = fail(fault, "write", d->fd_entry);
    if (close(d->fd) && !err)
        err = fail(fault, "close", d->fd_entry);
    d->fd = -1;
    if (whole)
        d->known[d->fd_entry] |= COMPLETE;
    return err;
}

static void drop_part(kith_share_dir *d, size_t entry)
{
    char part[32];
    if (d->fd >= 0 && d->fd_entry == entry) {
        (void)close(d->fd);
        d->fd = -1;
    }
    part_name(entry, part);
    (void)unlinkat(d->parts, part, 0);
    d->lost += !(d->known[entry] & LOST);
    d->known[entry] = (uint8_t)((d->known[entry] | LOST) & ~COMPLETE);
}

static kith_err write_item(kith_share_dir *d, const kith_share_block *b, const kith_share_item *it,
                           kith_share_dir_fault *fault)
{
    size_t entry = (size_t)it->blob - 1;
    if (it->code)
        drop_part(d, entry);
    if (d->known[entry] & LOST)
        return KITH_OK;
    if (it->offset == 0) {
        kith_err err = begin_part(d, entry, fault);
        if (err)
            return err;
    }
    assert(d->fd >= 0 && d->fd_entry == entry);
    for (size_t at = 0; at < it->len;) {
        ssize_t n = pwrite(d->fd, b->buf + it->at + at, it->len - at, (off_t)(it->offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(fault, "write", entry);
        at += (size_t)n;
    }
#ifdef __linux__
    uint64_t end = it->offset + it->len;
    if (it->offset / WRITEBACK != end / WRITEBACK) {
        uint64_t from = it->offset / WRITEBACK * WRITEBACK;
        (void)sync_file_range(d->fd, (off_t)from, (off_t)(end - from),
                              SYNC_FILE_RANGE_WRITE); /* does not wait */
    }
#endif
    return it->offset + it->len == kith_manifest_entry(d->m, entry).size ? end_part(d, true, fault) : KITH_OK;
}

kith_err kith_share_dir_write(kith_share_dir *d, const kith_share_block *b, kith_share_dir_fault *fault)
{
    for (size_t i = 0; i < b->count; i++) {
        kith_err err = write_item(d, b, &b->items[i], fault);
        if (err)
            return err;
    }
    return KITH_OK;
}

/* ---- into place ---- */

/* Everything done so far is on the disk when this returns, as far as the system can be asked for it. A few files were synced as they came,
 * and their folders as they were left: that does not wait for what else is on its way to the disk. */
static int sync_all(const kith_share_dir *d)
{
    if (d->one_by_one)
        return fsync(d->dest);
#ifdef __linux__
    return syncfs(d->dest);
#else
    sync();
    return fsync(d->dest);
#endif
}

static kith_err place_folder(walk *w, size_t i, const char *name, kith_share_dir_sum *sum,
                             kith_share_dir_fault *fault)
{
    kith_share_dir *d = w->d;
    if (mkdirat(w->fds[w->depth], name, 0700) == 0) {
        d->known[i] |= MADE;
        sum->dirs++;
    } else if (errno != EEXIST) {
        return fail(fault, "make the folder", i);
    }
    return walk_down(w, i, name) < 0 ? fail(fault, "open", i) : KITH_OK;
}

static kith_err place_file(walk *w, size_t i, const char *name, kith_share_dir_sum *sum,
                           kith_share_dir_fault *fault)
{
    kith_share_dir *d = w->d;
    char part[32];
    if (d->known[i] & LOST)
        return KITH_OK;
    if (kith_manifest_entry(d->m, i).size == 0) {
        kith_err err = begin_part(d, i, fault);
        if (!err)
            err = end_part(d, true, fault);
        if (err)
            return err;
    }
    assert(d->known[i] & COMPLETE);
    part_name(i, part);
    if (move_part(d->parts, part, w->fds[w->depth], name,
                  d->policy == KITH_SHARE_CLASH_OVERWRITE && d->known[i] & THERE))
        return fail(fault, "move into place", i);
    sum->files++;
    sum->bytes += kith_manifest_entry(d->m, i).size;
    return KITH_OK;
}

static kith_err place_link(walk *w, size_t i, const char *name, kith_share_dir_sum *sum,
                           kith_share_dir_fault *fault)
{
    kith_share_dir *d = w->d;
    kith_bytes target = kith_manifest_entry(d->m, i).target;
    char text[KITH_LINK_MAX + 1], part[32];
    memcpy(text, target.p, target.len);
    text[target.len] = 0;
    part_name(i, part);
    bool replace = d->policy == KITH_SHARE_CLASH_OVERWRITE && d->known[i] & THERE;
    int r = replace ? symlinkat(text, d->parts, part) || renameat(d->parts, part, w->fds[w->depth], name)
                    : symlinkat(text, w->fds[w->depth], name);
    if (r)
        return fail(fault, "make the link", i);
    sum->links++;
    return KITH_OK;
}

/* One pass over the list: first folders and files, then (links) links, and the modes and times of folders. */
static kith_err place(kith_share_dir *d, bool links, kith_share_dir_sum *sum, kith_share_dir_fault *fault)
{
    walk w;
    kith_err err = KITH_OK;
    walk_begin(&w, d);
    for (size_t i = 0; i < d->m->count && !err;) {
        const kith_entry e = kith_manifest_entry(d->m, i);
        char name[KITH_NAME_MAX + 1];
        if (d->known[i] & SKIPPED) {
            i = after(d->m, i);
            continue;
        }
        err = walk_up(&w, e.depth, links, fault);
        if (err)
            break;
        entry_name(d, i, name);
        switch (e.type) {
        case KITH_ENTRY_DIR:
            err = links ? walk_down(&w, i, name) < 0 ? fail(fault, "open", i) : KITH_OK
                        : place_folder(&w, i, name, sum, fault);
            break;
        case KITH_ENTRY_FILE:
            err = links ? KITH_OK : place_file(&w, i, name, sum, fault);
            break;
        case KITH_ENTRY_LINK:
            err = links ? place_link(&w, i, name, sum, fault) : KITH_OK;
            break;
        }
        i++;
    }
    kith_err last = walk_up(&w, 0, links && !err, fault);
    return err ? err : last;
}

kith_err kith_share_dir_finish(kith_share_dir *d, kith_share_dir_sum *sum, kith_share_dir_fault *fault)
{
    *sum = (kith_share_dir_sum){.lost = d->lost};
    if (!d->one_by_one && sync_all(d)) /* a full disk may show only here */
        return fail(fault, "sync", SIZE_MAX);
    kith_err err = place(d, false, sum, fault);
    if (!err && (d->m->links > 0 || d->m->dirs > 0))
        err = place(d, true, sum, fault);
    if (!err && sync_all(d))
        err = fail(fault, "sync", SIZE_MAX);
    return err;
}
