/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is here already in another place: files of older partial content. Those that are the same as wanted ones are taken as they are. One that
 * has the path of a wanted one is taken to be an older state of it: its part becomes the new part, in which what the sharer says is the same
 * stays, and the rest is written over. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "host/host.h"
#include "host/io.h"
#include "host/share_dir_impl.h"

#define LIST_MAX (64u << 20) /* bytes of an older list that are read */

typedef struct wanted {
    uint8_t root[8]; /* its beginning */
    uint32_t entry;
} wanted;

typedef struct match {
    size_t from, to; /* entry there, entry here */
    bool same;       /* root; else path */
} match;

/* Older partial content. */
typedef struct older {
    int fd, roots_fd;
    uint8_t list_root[KITH_BLAKE3_LEN];
    uint8_t *list;
    size_t list_len;
    kith_manifest m;
    kith_journal_state st;
    match *matches;
    size_t match_count;
    uint32_t *paths; /* by entry there: the entry of the same path here, or KITH_ENTRY_TOP */
} older;

typedef struct salvage {
    kith_share_dir *d;
    wanted *wanted;
    size_t count;
    bool rest;      /* everything is in place: what has its path is of no more use */
    bool look_only; /* at what would be taken: */
    uint64_t *room; /* bytes, by entry here; NULL: nothing yet */
} salvage;

static int compare_wanted(const void *a, const void *b)
{
    return memcmp(((const wanted *)a)->root, ((const wanted *)b)->root, sizeof((const wanted *)a)->root);
}

/* Files that are not here, not even in part, by root. */
static bool list_wanted(salvage *s)
{
    const kith_share_dir *d = s->d;
    s->wanted = calloc(d->m->count, sizeof *s->wanted);
    if (!s->wanted)
        return false;
    for (size_t i = 0; i < d->m->count; i++) {
        const kith_entry e = kith_manifest_entry(d->m, i);
        const uint8_t *root = kith_share_root(d, i);
        if (e.type != KITH_ENTRY_FILE || e.size == 0 || !root || d->known[i] & (SKIPPED | EQUAL | BEGUN))
            continue;
        s->wanted[s->count].entry = (uint32_t)i;
        memcpy(s->wanted[s->count++].root, root, sizeof s->wanted->root);
    }
    qsort(s->wanted, s->count, sizeof *s->wanted, compare_wanted);
    return s->count > 0;
}

/* A wanted file with this root; SIZE_MAX: none. */
static size_t find_wanted(const salvage *s, const uint8_t *root)
{
    size_t lo = 0, hi = s->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(s->wanted[mid].root, root, sizeof s->wanted->root) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < s->count && memcmp(s->wanted[lo].root, root, sizeof s->wanted->root) == 0; lo++) {
        size_t i = s->wanted[lo].entry;
        if (!(s->d->known[i] & BEGUN) && memcmp(kith_share_root(s->d, i), root, KITH_BLAKE3_LEN) == 0)
            return i;
    }
    return SIZE_MAX;
}

static bool read_list(older *o)
{
    uint8_t hash[KITH_BLAKE3_LEN];
    struct stat st;
    kith_manifest_fault unused;
    int fd = openat(o->fd, KITH_SHARE_LIST_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool ok =
        fd >= 0 && fstat(fd, &st) == 0 && kith_share_is_ours(&st) && st.st_size > 0 && st.st_size <= LIST_MAX;
    o->list_len = ok ? (size_t)st.st_size : 0;
    o->list = ok ? malloc(o->list_len) : NULL;
    ok = o->list && kith_io_read(fd, o->list, o->list_len, 0) == (ssize_t)o->list_len;
    if (fd >= 0)
        (void)close(fd);
    if (!ok)
        return false;
    kith_blake3_hash(kith_bytes_of(o->list, o->list_len), hash);
    return memcmp(hash, o->list_root, sizeof hash) == 0 &&
           kith_manifest_parse(kith_host_env(), kith_bytes_of(o->list, o->list_len), false, &o->m, &unused) ==
               KITH_OK;
}

/* Both lists are walks in the same order, so the siblings of two folders are gone through side by side. */
static bool match_paths(const kith_share_dir *d, older *o)
{
    uint32_t next[KITH_MANIFEST_DEPTH_MAX + 1] = {0}; /* by depth: where to go on among the children here */
    o->paths = malloc(o->m.count * sizeof *o->paths);
    for (size_t i = 0; o->paths && i < o->m.count; i++) {
        const kith_entry e = kith_manifest_entry(&o->m, i);
        const uint32_t above = o->m.places[i].parent,
                       folder = above == KITH_ENTRY_TOP ? KITH_ENTRY_TOP : o->paths[above];
        uint32_t *k = &next[e.depth];
        o->paths[i] = KITH_ENTRY_TOP;
        if (e.depth > 0 && folder == KITH_ENTRY_TOP)
            continue;
        for (int order = -1; order < 0 && *k < d->m->count && d->m->places[*k].parent == folder;) {
            const kith_entry here = kith_manifest_entry(d->m, *k);
            order = kith_bytes_cmp(here.name, e.name);
            if (order == 0 && here.type == e.type) {
                o->paths[i] = *k;
                next[e.depth + 1] = *k + 1;
            }
            if (order <= 0)
                *k = (uint32_t)kith_share_after(d->m, *k);
        }
    }
    return o->paths != NULL;
}

/* The file that is wanted here and has the path of file i there; SIZE_MAX: none of which nothing is here. */
static size_t find_path(const salvage *s, const older *o, size_t i)
{
    const kith_share_dir *d = s->d;
    const size_t to = o->paths[i];
    if (o->paths[i] == KITH_ENTRY_TOP || kith_manifest_entry(d->m, to).type != KITH_ENTRY_FILE)
        return SIZE_MAX;
    if (s->rest)
        return d->known[to] & PLACED ? to : SIZE_MAX;
    return kith_manifest_entry(d->m, to).size <= KITH_TREE_LEAF ||
                   d->known[to] & (SKIPPED | EQUAL | BEGUN | OLDER_PART)
               ? SIZE_MAX
               : to;
}

static void note_room(salvage *s, size_t to, uint64_t n)
{
    if (!s->room)
        s->room = calloc(s->d->m->count, sizeof *s->room);
    if (s->room && s->room[to] < n)
        s->room[to] = n;
}

/* Finds files there that are wanted here, or are not wanted any more, and takes them out of what that journal says. */
static bool find_matches(salvage *s, older *o)
{
    o->matches = calloc(o->m.count, sizeof *o->matches);
    if (!o->matches || !match_paths(s->d, o))
        return false;
    for (size_t i = 0; i < o->m.count; i++) {
        const uint64_t size = kith_manifest_entry(&o->m, i).size;
        uint8_t root[KITH_BLAKE3_LEN];
        uint32_t first, end;
        struct stat st;
        char name[32];
        size_t to = SIZE_MAX;
        kith_manifest_leaves(&o->m, i, &first, &end);
        kith_share_part_name(i, name);
        if (first == end || fstatat(o->fd, name, &st, AT_SYMLINK_NOFOLLOW) || !kith_share_is_ours(&st))
            continue;
        if (!s->rest && (uint64_t)st.st_size == size && kith_leaves_has(&o->st.here, first, end) &&
            kith_share_kept_root(o->roots_fd, i, root))
            to = find_wanted(s, root);
        const bool same = to != SIZE_MAX && kith_manifest_entry(s->d->m, to).size == size;
        if (!same)
            to = find_path(s, o, i);
        if (to != SIZE_MAX && s->look_only) {
            note_room(s, to, (uint64_t)st.st_blocks * 512);
            continue;
        }
        if (to == SIZE_MAX || kith_leaves_remove(&o->st.here, kith_host_env(), first, end))
            continue;
        o->matches[o->match_count++] = (match){.from = i, .to = to, .same = same};
        s->d->known[to] |= BEGUN;
    }
    return o->match_count > 0;
}

/* A part that was moved here has all the leaves. */
static bool is_whole(kith_share_dir *d, size_t entry, const char *part)
{
    kith_share_dir_fault unused;
    uint32_t first, end;
    kith_manifest_leaves(d->m, entry, &first, &end);
    int fd = openat(d->parts, part, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool ok = fd >= 0 && !kith_share_part_done(d, fd, entry, &unused) &&
              !kith_share_part_dirty(d, entry, first, end, &unused);
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/* Their journal forgets the files first. False: it cannot, and they stay there. */
static bool take_over(const salvage *s, const older *o)
{
    kith_share_dir *d = s->d;
    kith_journal j;
    /* what is not synced there will be, with the first batch here */
    bool given = kith_journal_begin(&j, o->fd, o->list_root, &o->st, kith_share_is_durable(d)) == 0;
    if (given)
        kith_journal_close(&j);
    for (size_t k = 0; k < o->match_count; k++) {
        const size_t entry = o->matches[k].to;
        char from[32], to[32];
        kith_share_part_name(o->matches[k].from, from);
        kith_share_part_name(entry, to);
        d->known[entry] &= (uint16_t)~BEGUN;
        if (given && s->rest)
            (void)unlinkat(o->fd, from, 0);
        if (!given || s->rest)
            continue;
        (void)unlinkat(d->parts, to, 0);
        d->known[entry] &= (uint16_t)~OLDER_PART;
        if (renameat(o->fd, from, d->parts, to))
            continue;
        if (!o->matches[k].same)
            d->known[entry] |= OLDER_PART;
        else if (is_whole(d, entry, to))
            d->known[entry] |= BEGUN;
        else
            (void)unlinkat(d->parts, to, 0);
    }
    return given;
}

static bool look_into(void *ctx, int partials, const char *name)
{
    salvage *s = ctx;
    kith_share_dir *d = s->d;
    older o = {.fd = -1, .roots_fd = -1};
    if (strcmp(name, d->id) == 0 || !kith_share_is_id(name, o.list_root) ||
        (!s->rest && !s->wanted && !list_wanted(s)))
        return true;
    o.fd = kith_share_open_own(partials, name);
    if (o.fd >= 0)
        o.roots_fd = openat(o.fd, KITH_SHARE_ROOTS_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (o.roots_fd >= 0 && flock(o.fd, LOCK_EX | LOCK_NB) == 0 &&
        kith_journal_load(o.fd, o.list_root, &o.st) == 0 && read_list(&o) && find_matches(s, &o) &&
        take_over(s, &o) && o.st.here.count == 0) {
        kith_share_partial_empty(o.fd);
        (void)unlinkat(partials, name, AT_REMOVEDIR);
    }
    free(o.matches);
    free(o.paths);
    free(o.list);
    kith_manifest_fini(&o.m, kith_host_env());
    kith_journal_state_fini(&o.st, kith_host_env());
    if (o.roots_fd >= 0)
        (void)close(o.roots_fd);
    if (o.fd >= 0)
        (void)close(o.fd);
    return true;
}

void kith_share_salvage(kith_share_dir *d)
{
    salvage s = {.d = d};
    (void)kith_io_each_name(d->partials, look_into, &s);
    free(s.wanted);
}

uint64_t *kith_share_salvage_room(kith_share_dir *d, int partials)
{
    salvage s = {.d = d, .look_only = true};
    (void)kith_io_each_name(partials, look_into, &s);
    free(s.wanted);
    return s.room;
}

void kith_share_salvage_rest(kith_share_dir *d)
{
    salvage s = {.d = d, .rest = true};
    (void)kith_io_each_name(d->partials, look_into, &s);
}
