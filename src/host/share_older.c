/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Older content: what the destination, or what is left of an earlier transfer, has at the places of leaves that are to be fetched. Nothing of
 * it counts as verified: its values are hinted at, and a leaf of which the sharer says that it is the same is read and hashed once more. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "host/host.h"
#include "host/io.h"
#include "host/share_dir_impl.h"

/* ---- values ---- */

/* The place of an entry in older_files, or where it would be. */
static size_t place_of(const kith_share_dir *d, size_t entry)
{
    size_t lo = 0, hi = d->older_file_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (d->older_files[mid].entry < entry)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Where the values of a file go. NULL: it is one of too many, or there is no memory; then it is fetched as if it were new. */
static uint8_t *values_of(kith_share_dir *d, size_t entry)
{
    uint32_t first, end;
    const size_t at = place_of(d, entry);
    if (at < d->older_file_count && d->older_files[at].entry == entry)
        return d->older_files[at].values;
    kith_manifest_leaves(d->m, entry, &first, &end);
    if (end - first > KITH_SHARE_OLDER_MAX - d->older_leaves)
        return NULL;
    if (d->older_file_count == d->older_file_cap) {
        size_t cap = d->older_file_cap ? 2 * d->older_file_cap : 16;
        void *p = realloc(d->older_files, cap * sizeof *d->older_files);
        if (!p)
            return NULL;
        d->older_files = p;
        d->older_file_cap = cap;
    }
    uint8_t *values = calloc(end - first, KITH_BLAKE3_LEN);
    if (!values)
        return NULL;
    memmove(d->older_files + at + 1, d->older_files + at,
            (d->older_file_count++ - at) * sizeof *d->older_files);
    d->older_files[at] = (kith_share_older_file){.entry = entry, .values = values};
    d->older_leaves += end - first;
    return values;
}

const uint8_t *kith_share_dir_older_value(const kith_share_dir *d, uint32_t leaf)
{
    uint64_t offset;
    size_t entry = kith_manifest_leaf(d->m, leaf, &offset), at = place_of(d, entry);
    assert(at < d->older_file_count && d->older_files[at].entry == entry);
    return d->older_files[at].values + offset / KITH_TREE_LEAF * KITH_BLAKE3_LEN;
}

const kith_leaves *kith_share_dir_older(const kith_share_dir *d)
{
    return &d->older;
}

bool kith_share_dir_older_gone(kith_share_dir *d, uint32_t leaf)
{
    return kith_leaves_remove(&d->older, kith_host_env(), leaf, leaf + 1) == KITH_OK;
}

static void forget(kith_share_dir *d, size_t entry)
{
    uint32_t first, end;
    const size_t at = place_of(d, entry);
    if (at == d->older_file_count || d->older_files[at].entry != entry)
        return;
    kith_manifest_leaves(d->m, entry, &first, &end);
    free(d->older_files[at].values);
    memmove(d->older_files + at, d->older_files + at + 1,
            (--d->older_file_count - at) * sizeof *d->older_files);
    d->older_leaves -= end - first;
}

void kith_share_older_fini(kith_share_dir *d)
{
    for (size_t i = 0; i < d->older_file_count; i++)
        free(d->older_files[i].values);
    free(d->older_files);
    d->older_files = NULL;
    d->older_file_count = d->older_file_cap = 0;
    d->older_leaves = 0;
    kith_leaves_fini(&d->older, kith_host_env());
    kith_leaves_fini(&d->in_part, kith_host_env());
}

/* ---- finding it ---- */

/* Notes the value of a leaf that was read. What is all zeros is not worth it: the sharer says so by itself. */
static bool note(kith_share_dir *d, uint8_t *values, uint32_t first, size_t leaf, const uint8_t *value,
                 size_t n)
{
    const uint32_t at = first + (uint32_t)leaf;
    if (kith_bytes_all_zero(kith_bytes_of(d->buf, n)))
        return true;
    memcpy(values + leaf * KITH_BLAKE3_LEN, value, KITH_BLAKE3_LEN);
    return kith_leaves_add(&d->older, kith_host_env(), at, at + 1) == KITH_OK;
}

bool kith_share_older_in_place(kith_share_dir *d, size_t entry, int fd, uint8_t root[KITH_BLAKE3_LEN])
{
    const uint64_t size = kith_manifest_entry(d->m, entry).size;
    kith_tree_sum sum = {0};
    uint8_t value[KITH_BLAKE3_LEN], *values = values_of(d, entry);
    uint32_t first, end;
    uint64_t at = 0;
    bool noted = values != NULL;
    kith_manifest_leaves(d->m, entry, &first, &end);
    for (size_t leaf = 0; at < size && (noted || root) && !atomic_load(&d->stop); leaf++) {
        size_t n = size - at < KITH_TREE_LEAF ? (size_t)(size - at) : KITH_TREE_LEAF;
        if (kith_io_read(fd, d->buf, n, at) != (ssize_t)n)
            break;
        kith_tree_value(kith_bytes_of(d->buf, n), size, at, value);
        if (root)
            kith_tree_sum_add(&sum, value);
        noted = noted && note(d, values, first, leaf, value, n);
        at += n;
        atomic_fetch_add(&d->hashed, (uint64_t)n);
    }
    if (at < size || !root || kith_io_read(fd, d->buf, 1, size) != 0)
        return false;
    kith_tree_sum_root(&sum, root);
    return true;
}

bool kith_share_older_forget(kith_share_dir *d, size_t entry)
{
    uint32_t first, end;
    kith_manifest_leaves(d->m, entry, &first, &end);
    if (kith_leaves_remove(&d->older, kith_host_env(), first, end))
        return false; /* what is the same is not fetched, so nobody asks */
    forget(d, entry);
    return true;
}

/* Opens the file that lies in the place of an entry. < 0: there is none, or it cannot be read. */
static int open_in_place(const kith_share_dir *d, size_t entry)
{
    struct stat st;
    int fd = kith_share_open_in_place(d->dest, d->m, d->new_names, d->new_name_count, entry);
    if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

void kith_share_older_decided(kith_share_dir *d)
{
    for (size_t i = 0; i < d->m->count; i++) {
        const bool replaced = kith_share_replaces(d, i);
        if (!replaced && d->older_file_count > 0)
            (void)kith_share_older_forget(d, i);
        int fd = replaced && d->known[i] & OLDER ? open_in_place(d, i) : -1;
        if (fd < 0)
            continue;
        (void)kith_share_older_in_place(d, i, fd, NULL);
        (void)close(fd);
    }
}

/* Hashes what lies in a part and is not claimed by the journal. */
static void look_into_part(kith_share_dir *d, size_t entry, int fd, uint64_t size)
{
    const kith_env *env = kith_host_env();
    uint32_t first, end;
    uint8_t value[KITH_BLAKE3_LEN], *values = NULL;
    kith_manifest_leaves(d->m, entry, &first, &end);
    kith_leaf_range gap = {.end = first};
    while (kith_leaves_next(&d->here, false, gap.end, end, &gap)) {
        for (uint32_t leaf = gap.first; leaf < gap.end; leaf++) {
            const uint64_t at = (uint64_t)(leaf - first) * KITH_TREE_LEAF, data = kith_io_next_data(fd, at);
            const size_t n = size - at < KITH_TREE_LEAF ? (size_t)(size - at) : KITH_TREE_LEAF;
            d->older_unread |= atomic_load(&d->stop);
            if (data >= size || d->older_unread)
                return;
            if (data >= at + n) {
                const uint64_t skip = data / KITH_TREE_LEAF - at / KITH_TREE_LEAF;
                leaf = skip < gap.end - leaf ? leaf + (uint32_t)skip - 1 : gap.end - 1;
                continue;
            }
            if ((!values && !(values = values_of(d, entry))) || kith_io_read(fd, d->buf, n, at) != (ssize_t)n)
                return;
            kith_tree_value(kith_bytes_of(d->buf, n), size, at, value);
            atomic_fetch_add(&d->hashed, (uint64_t)n);
            if (!kith_bytes_all_zero(kith_bytes_of(d->buf, n)) &&
                (kith_leaves_add(&d->in_part, env, leaf, leaf + 1) ||
                 !note(d, values, first, leaf - first, value, n)))
                return;
        }
    }
}

uint64_t kith_share_part_room(int parts, size_t entry)
{
    struct stat st;
    char name[32];
    kith_share_part_name(entry, name);
    return fstatat(parts, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && kith_share_is_ours(&st)
               ? (uint64_t)st.st_blocks * 512
               : 0;
}

/* Bytes in parts that the journal does not claim, about. */
static uint64_t unclaimed(const kith_share_dir *d)
{
    uint64_t n = 0;
    for (size_t i = 0; i < d->m->count; i++) {
        uint32_t first, end;
        if (!(d->known[i] & (BEGUN | OLDER_PART)) || d->known[i] & COMPLETE)
            continue;
        kith_manifest_leaves(d->m, i, &first, &end);
        const uint64_t room = kith_share_part_room(d->parts, i),
                       here = (uint64_t)kith_leaves_count(&d->here, first, end) * KITH_TREE_LEAF;
        n += room > here ? room - here : 0;
    }
    return n;
}

void kith_share_older_parts(kith_share_dir *d)
{
    bool some = false;
    atomic_fetch_add(&d->to_hash, unclaimed(d));
    for (size_t i = 0; i < d->m->count; i++) {
        const uint64_t size = kith_manifest_entry(d->m, i).size;
        char name[32];
        struct stat st;
        if (!(d->known[i] & (BEGUN | OLDER_PART)) || d->known[i] & COMPLETE || size <= KITH_TREE_LEAF)
            continue;
        kith_share_part_name(i, name);
        int fd = d->known[i] & OLDER_PART && fchmodat(d->parts, name, 0600, 0) /* it may have been complete */
                     ? -1
                     : openat(d->parts, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        bool ok = fd >= 0 && fstat(fd, &st) == 0 && kith_share_is_ours(&st) &&
                  ((uint64_t)st.st_size == size || ftruncate(fd, (off_t)size) == 0);
        if (ok) {
            look_into_part(d, i, fd, size);
        } else if (d->known[i] & OLDER_PART) {
            (void)unlinkat(d->parts, name, 0);
            d->known[i] &= (uint16_t)~OLDER_PART;
        }
        if (fd >= 0)
            (void)close(fd);
        some |= (d->known[i] & OLDER_PART) != 0;
    }
    atomic_store(&d->hashed, atomic_load(&d->to_hash));
    if (some &&
        kith_share_keep_list(d, false)) /* a later state of this share may ask whose content that is */
        (void)unlinkat(d->parts, KITH_SHARE_LIST_NAME, 0);
}

/* ---- using it ---- */

bool kith_share_older_read(kith_share_dir *d, kith_share_open_part *p, kith_share_item *it, bool *in_part)
{
    uint8_t value[KITH_BLAKE3_LEN];
    const uint64_t size = kith_manifest_entry(d->m, it->entry).size;
    const uint32_t leaf = (uint32_t)it->leaf;
    *in_part = kith_leaves_has(&d->in_part, leaf, leaf + 1);
    if (!*in_part && p->older < 0)
        p->older = open_in_place(d, it->entry);
    const int fd = *in_part ? p->fd : p->older;
    if (fd < 0 || kith_io_read(fd, d->buf, it->len, it->offset) != (ssize_t)it->len)
        return false;
    kith_tree_value(kith_bytes_of(d->buf, it->len), size, it->offset, value);
    it->zeros = kith_bytes_all_zero(kith_bytes_of(d->buf, it->len));
    return memcmp(value, kith_share_dir_older_value(d, leaf), sizeof value) == 0;
}
