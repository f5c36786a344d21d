/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is in the destination already: what is in the way, what is just what would come, and what to do about it. Changes nothing. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "host/host.h"
#include "host/share_dir_impl.h"

#define SPACE_SLACK (16u << 20) /* what a file system wants besides content */
#define SPACE_PER_ENTRY 4096u
#define NEW_NAMES_MAX 9999 /* "name (9999)" is the last that is tried */

kith_bytes kith_share_dir_new_name(const kith_share_dir *d, size_t entry)
{
    const kith_share_new_name *n = kith_share_find_new_name(d->new_names, d->new_name_count, entry);
    return n ? kith_bytes_str(n->name) : (kith_bytes){0};
}

void kith_share_dir_select(kith_share_dir *d, const uint8_t *unwanted)
{
    for (size_t i = 0; i < d->m->count; i++)
        d->known[i] |= unwanted[i] ? UNSELECTED : 0;
}

/* ---- looking ---- */

static bool same_target(int at, const char *name, kith_bytes target)
{
    char text[KITH_LINK_MAX + 1];
    ssize_t n = readlinkat(at, name, text, sizeof text);
    return n >= 0 && kith_bytes_eq(kith_bytes_of(text, (size_t)n), target);
}

/* Whether files that are there may be replaced, as far as is known. */
static bool may_replace(const kith_share_dir *d)
{
    return d->policy == KITH_SHARE_CLASH_OVERWRITE || d->policy == KITH_SHARE_CLASH_ASK;
}

/* What something that is there is to an entry. Two folders go together. */
static uint16_t compare_kinds(const kith_share_dir *d, size_t i, int at, const char *name,
                              const struct stat *st, const kith_entry *e)
{
    switch (e->type) {
    case KITH_ENTRY_DIR:
        return S_ISDIR(st->st_mode) ? THERE : THERE | CLASH;
    case KITH_ENTRY_LINK:
        return S_ISLNK(st->st_mode) && same_target(at, name, e->target) ? THERE | EQUAL : THERE | CLASH;
    case KITH_ENTRY_FILE:
        break;
    }
    bool alike = S_ISREG(st->st_mode) && (uint64_t)st->st_size == e->size && kith_share_root(d, i) &&
                 d->policy != KITH_SHARE_CLASH_SKIP;
    if (alike)
        return THERE | ALIKE;
    bool older = S_ISREG(st->st_mode) && st->st_size >= (off_t)KITH_TREE_LEAF && e->size > KITH_TREE_LEAF &&
                 may_replace(d);
    return older ? THERE | CLASH | OLDER : THERE | CLASH;
}

/* Marks what is there. Entries in folders that are not there are not looked for. */
static kith_err look(kith_share_dir *d, size_t *clashes, size_t *first, kith_share_dir_fault *fault)
{
    kith_share_walk w;
    kith_err err = KITH_OK;
    uint64_t to_hash = 0;
    kith_share_walk_begin(&w, d);
    for (size_t i = 0; i < d->m->count && !err;) {
        const kith_entry e = kith_manifest_entry(d->m, i);
        char name[KITH_NAME_MAX + 1];
        struct stat st;
        (void)kith_share_walk_up(&w, e.depth, NULL, fault);
        kith_share_c_name(e.name, name);
        if (d->known[i] & SKIPPED) {
            i = kith_share_after(d->m, i);
            continue;
        }
        if (fstatat(w.fds[e.depth], name, &st, AT_SYMLINK_NOFOLLOW)) {
            if (errno != ENOENT)
                err = kith_share_dir_fail(fault, "look at", i);
            i = kith_share_after(d->m, i);
            continue;
        }
        d->known[i] |= compare_kinds(d, i, w.fds[e.depth], name, &st, &e);
        if (d->known[i] & ALIKE || (d->known[i] & OLDER && d->policy == KITH_SHARE_CLASH_OVERWRITE))
            to_hash += (uint64_t)st.st_size < e.size ? (uint64_t)st.st_size : e.size;
        if (d->known[i] & CLASH) {
            if ((*clashes)++ == 0)
                *first = i;
            if (S_ISDIR(st.st_mode) || e.type == KITH_ENTRY_DIR)
                d->known[i] |= UNLIKE;
            if (d->policy == KITH_SHARE_CLASH_OVERWRITE && d->known[i] & UNLIKE) {
                *first = i;
                err = KITH_EEXISTS;
            }
            i = kith_share_after(d->m, i);
            continue;
        }
        if (e.type == KITH_ENTRY_DIR && kith_share_walk_down(&w, i, name) < 0)
            err = kith_share_dir_fail(fault, "open", i);
        i++;
    }
    (void)kith_share_walk_up(&w, 0, NULL, fault);
    atomic_store(&d->to_hash, to_hash);
    return err;
}

/* False: it cannot be read, or has another size. */
static bool hash_file(kith_share_dir *d, int fd, uint64_t size, uint8_t out[KITH_BLAKE3_LEN])
{
    uint64_t at = 0;
    kith_blake3_reset(d->hash);
    for (;;) {
        ssize_t n = read(fd, d->buf, KITH_TREE_LEAF);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || atomic_load(&d->stop)) {
            kith_blake3_final(d->hash, out);
            return n == 0 && at == size;
        }
        kith_blake3_update(d->hash, kith_bytes_of(d->buf, (size_t)n));
        at += (uint64_t)n;
        atomic_fetch_add(&d->hashed, (uint64_t)n);
    }
}

/* Whether a file has the content that would come. One that cannot be read has not. */
static bool same_content(kith_share_dir *d, size_t i, int at, const char *name, uint64_t size)
{
    uint8_t hash[KITH_BLAKE3_LEN];
    int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    const bool older = may_replace(d) && size > KITH_TREE_LEAF;
    bool same = fd >= 0 &&
                (older ? kith_share_older_in_place(d, i, fd, hash) : hash_file(d, fd, size, hash)) &&
                memcmp(hash, kith_share_root(d, i), sizeof hash) == 0;
    if (fd >= 0)
        (void)close(fd);
    if (same && older)
        (void)kith_share_older_forget(d, i);
    return same;
}

/* Decides about what is alike by its content. */
static kith_err compare(kith_share_dir *d, size_t *clashes, size_t *first, kith_share_dir_fault *fault)
{
    kith_share_walk w;
    kith_err err = KITH_OK;
    kith_share_walk_begin(&w, d);
    for (size_t i = 0; i < d->m->count && !err;) {
        const kith_entry e = kith_manifest_entry(d->m, i);
        char name[KITH_NAME_MAX + 1];
        const uint16_t known = d->known[i];
        if (!(known & THERE) || known & (SKIPPED | CLASH)) {
            i = kith_share_after(d->m, i);
            continue;
        }
        (void)kith_share_walk_up(&w, e.depth, NULL, fault);
        kith_share_c_name(e.name, name);
        if (known & ALIKE) {
            bool same = same_content(d, i, w.fds[e.depth], name, e.size);
            d->known[i] = (uint16_t)((known & ~ALIKE) | (same ? EQUAL : CLASH));
            if (!same && ((*clashes)++ == 0 || i < *first))
                *first = i;
        } else if (e.type == KITH_ENTRY_DIR && kith_share_walk_down(&w, i, name) < 0) {
            err = kith_share_dir_fail(fault, "open", i);
        }
        i++;
    }
    (void)kith_share_walk_up(&w, 0, NULL, fault);
    return err;
}

void kith_share_dir_stop(kith_share_dir *d)
{
    atomic_store(&d->stop, true);
}

void kith_share_dir_hashed(const kith_share_dir *d, uint64_t *done, uint64_t *total)
{
    *done = atomic_load(&d->hashed);
    *total = atomic_load(&d->to_hash);
}

/* ---- what to do about clashes ---- */

/* A name for a top entry that is free on disk and in the list: "stem (2).ext". */
static kith_err pick_name(kith_share_dir *d, size_t entry)
{
    if (d->new_name_count == d->new_name_cap) {
        size_t cap = d->new_name_cap ? 2 * d->new_name_cap : 4;
        kith_share_new_name *p = realloc(d->new_names, cap * sizeof *p);
        if (!p)
            return KITH_ENOMEM;
        d->new_names = p;
        d->new_name_cap = cap;
    }
    kith_share_new_name *n = &d->new_names[d->new_name_count];
    const kith_entry e = kith_manifest_entry(d->m, entry);
    char own[KITH_NAME_MAX + 1];
    kith_share_c_name(e.name, own);
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
        for (size_t i = 0; i < d->m->count && !taken; i = kith_share_after(d->m, i))
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

/* It will come under another name: nothing of it is there. */
static void rename_top(kith_share_dir *d, size_t top)
{
    const size_t end = kith_share_after(d->m, top);
    for (size_t i = top; i < end; i++)
        d->known[i] &= (uint16_t) ~(THERE | CLASH | UNLIKE | REPLACED | EQUAL | OLDER);
    d->known[top] |= RENAMED;
}

/* Gives every top entry that is to get one another name. */
static kith_err pick_names(kith_share_dir *d, size_t *first)
{
    for (size_t top = 0; top < d->m->count; top = kith_share_after(d->m, top)) {
        *first = top;
        kith_err err = d->known[top] & RENAMED ? pick_name(d, top) : KITH_OK;
        if (err)
            return err;
    }
    return KITH_OK;
}

/* Every top entry with a clash in it. */
static kith_err rename_tops(kith_share_dir *d, size_t *first)
{
    for (size_t top = 0, end; top < d->m->count; top = end) {
        bool clash = false;
        end = kith_share_after(d->m, top);
        for (size_t i = top; i < end; i++)
            clash |= (d->known[i] & CLASH) != 0;
        if (clash)
            rename_top(d, top);
    }
    return pick_names(d, first);
}

static void skip(kith_share_dir *d, size_t entry)
{
    const size_t end = kith_share_after(d->m, entry);
    for (size_t i = entry; i < end; i++)
        d->known[i] = (uint16_t)((d->known[i] | SKIPPED) & ~CLASH);
}

static void skip_clashes(kith_share_dir *d)
{
    for (size_t i = 0; (i = kith_share_dir_clash(d, i)) < d->m->count;)
        skip(d, i);
}

size_t kith_share_dir_clash(const kith_share_dir *d, size_t from)
{
    while (from < d->m->count && !(d->known[from] & CLASH))
        from++;
    return from;
}

bool kith_share_dir_can_replace(const kith_share_dir *d, size_t entry)
{
    return !(d->known[entry] & UNLIKE);
}

bool kith_share_dir_there(const kith_share_dir *d, size_t entry, struct stat *st)
{
    char name[KITH_NAME_MAX + 1];
    int at = kith_share_open_above(d->dest, d->m, d->new_names, d->new_name_count, entry, name);
    bool is = at >= 0 && fstatat(at, name, st, AT_SYMLINK_NOFOLLOW) == 0;
    if (at >= 0)
        (void)close(at);
    return is;
}

void kith_share_dir_decide(kith_share_dir *d, size_t entry, kith_share_clash how)
{
    size_t top = entry;
    assert(d->policy == KITH_SHARE_CLASH_ASK && d->known[entry] & CLASH);
    switch (how) {
    case KITH_SHARE_CLASH_OVERWRITE:
        assert(kith_share_dir_can_replace(d, entry));
        d->known[entry] = (uint16_t)((d->known[entry] | REPLACED) & ~CLASH);
        break;
    case KITH_SHARE_CLASH_RENAME:
        while (d->m->places[top].parent != KITH_ENTRY_TOP)
            top = d->m->places[top].parent;
        rename_top(d, top);
        break;
    case KITH_SHARE_CLASH_SKIP:
        skip(d, entry);
        break;
    case KITH_SHARE_CLASH_FAIL:
    case KITH_SHARE_CLASH_ASK:
        break;
    }
}

/* ---- the whole of it ---- */

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Sums up what remains to be fetched; what an earlier transfer left counts as far as its journal says so, or it takes room. */
static kith_err sum_up(kith_share_dir *d)
{
    kith_journal_state st = {0};
    int partials = kith_share_open_folder(d->dest, KITH_SHARE_PARTIAL);
    int parts = partials < 0 ? -1 : kith_share_open_folder(partials, d->id);
    int e = parts < 0 ? ENOENT : kith_journal_load(parts, d->list_root, &st);
    const bool memory = e != ENOMEM && (d->skips || (d->skips = calloc(d->m->count, 1)));
    uint64_t *room = memory && partials >= 0 ? kith_share_salvage_room(d, partials) : NULL;
    d->needed = 0;
    for (size_t i = 0; i < d->m->count && memory; i++) {
        if (d->known[i] & THERE && kith_leaves_has(&st.made, (uint32_t)i, (uint32_t)i + 1))
            d->known[i] |= MADE; /* by a transfer that ended while it put things into place */
        d->skips[i] = d->known[i] & SKIPPED ? KITH_SHARE_SKIPPED : d->known[i] & EQUAL ? KITH_SHARE_EQUAL : 0;
        if (d->skips[i])
            continue;
        uint32_t from, to;
        kith_manifest_leaves(d->m, i, &from, &to);
        uint64_t size = kith_manifest_entry(d->m, i).size;
        uint64_t here = (uint64_t)kith_leaves_count(&st.here, from, to) * KITH_TREE_LEAF;
        if (size > KITH_TREE_LEAF && parts >= 0 && here < size)
            here = most(here, kith_share_part_room(parts, i));
        if (room)
            here = most(here, room[i]);
        d->needed += size > here ? size - here : 0;
    }
    if (parts >= 0)
        (void)close(parts);
    if (partials >= 0)
        (void)close(partials);
    free(room);
    kith_journal_state_fini(&st, kith_host_env());
    return memory ? KITH_OK : KITH_ENOMEM;
}

kith_err kith_share_dir_decided(kith_share_dir *d, size_t *first)
{
    assert(kith_share_dir_clash(d, 0) == d->m->count);
    kith_err err = pick_names(d, first);
    kith_share_older_decided(d);
    return err ? err : sum_up(d);
}

kith_err kith_share_dir_survey(kith_share_dir *d, kith_share_clash policy, size_t *clashes, size_t *first,
                               kith_share_dir_fault *fault)
{
    d->policy = policy;
    *clashes = 0;
    d->new_name_count = 0;
    kith_share_older_fini(d);
    atomic_store(&d->hashed, 0);
    for (size_t i = 0; i < d->m->count; i++)
        d->known[i] =
            d->known[i] & UNSELECTED ? UNSELECTED | SKIPPED : 0; /* an earlier survey's findings go */
    for (size_t i = 0; i < d->m->count; i = kith_share_after(d->m, i)) {
        if (kith_bytes_eq_str(kith_manifest_entry(d->m, i).name, KITH_SHARE_PARTIAL)) {
            *first = i;
            return KITH_EPOLICY;
        }
    }
    kith_err err = look(d, clashes, first, fault);
    if (!err && !(policy == KITH_SHARE_CLASH_FAIL && *clashes > 0))
        err = compare(d, clashes, first, fault);
    if (!err && *clashes > 0) {
        switch (policy) {
        case KITH_SHARE_CLASH_FAIL:
        case KITH_SHARE_CLASH_ASK:
            return KITH_EEXISTS;
        case KITH_SHARE_CLASH_OVERWRITE:
            kith_share_older_decided(d);
            break;
        case KITH_SHARE_CLASH_RENAME:
            err = rename_tops(d, first);
            break;
        case KITH_SHARE_CLASH_SKIP:
            skip_clashes(d);
            break;
        }
    }
    return err ? err : sum_up(d);
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
