/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Hashing what is shared, many small files or parts of large ones at a time. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "host/io.h"
#include "host/share_src_impl.h"

#define SLICE_FILES 64
#define TRIM_EVERY 65536 /* entries that are looked at: 2 MiB of roots */
#define PART_NODES (2 * (KITH_SRC_PART / KITH_TREE_LEAF) - 1)

/* A large file whose parts are being hashed. */
typedef struct kith_share_big {
    int64_t began_ns;
    atomic_uint_least64_t left; /* parts */
    atomic_bool failed;
} kith_share_big;

/* What one worker has for a slice. */
typedef struct desk {
    kith_share_src *s;
    kith_share_slice *slice;
    kith_src_folder folder;
    kith_hash_page page;
    int64_t began_ns;
    /* roots of entries that follow each other, to be written together */
    size_t root_first, root_count;
    uint8_t roots[SLICE_FILES][KITH_BLAKE3_LEN];
    uint8_t nodes[PART_NODES * KITH_BLAKE3_LEN];
    uint8_t buf[KITH_TREE_LEAF];
} desk;

static const uint8_t zeros[KITH_TREE_LEAF];

/* ---- slicing ---- */

/* The root of a file is known, or it needs none. */
static bool done(const kith_share_src *s, size_t i)
{
    return kith_src_leaves(s, i) == 0 ||
           memcmp(s->roots.map + i * KITH_BLAKE3_LEN, zeros, KITH_BLAKE3_LEN) != 0;
}

static bool cut_part(kith_share_src *s, uint64_t size, kith_share_slice *out, kith_err *err)
{
    if (!s->next_big) {
        s->next_big = calloc(1, sizeof *s->next_big);
        if (!s->next_big) {
            *err = KITH_ENOMEM;
            return false;
        }
        s->next_big->began_ns = s->clock_ns();
        atomic_store(&s->next_big->left, (size - 1) / KITH_SRC_PART + 1);
    }
    out->big = s->next_big;
    out->entry = s->next;
    out->entries = 1;
    out->from = s->next_from;
    out->to = size - out->from > KITH_SRC_PART ? out->from + KITH_SRC_PART : size;
    s->next_from = out->to;
    if (s->next_from == size) {
        s->next_big = NULL;
        s->next_from = 0;
        s->next++;
    }
    return true;
}

bool kith_share_src_slice(kith_share_src *s, kith_share_slice *out, kith_err *err)
{
    uint64_t bytes = 0;
    size_t files = 0;
    *out = (kith_share_slice){0};
    *err = KITH_OK;
    for (; s->next < s->m.count; s->next++) {
        if (s->next % TRIM_EVERY == 0)
            kith_share_src_trim(s);
        if (done(s, s->next)) {
            out->entries += out->entries > 0;
            continue;
        }
        uint64_t size = kith_manifest_entry(&s->m, s->next).size;
        if (files > 0 && (size > KITH_SRC_PART - bytes || files == SLICE_FILES))
            return true;
        if (size > KITH_SRC_PART)
            return cut_part(s, size, out, err);
        if (files == 0)
            out->entry = s->next;
        out->entries++;
        files++;
        bytes += size;
    }
    return files > 0;
}

/* ---- hashing ---- */

static kith_err failed(const kith_share_src *s, size_t i, kith_share_code code, int e,
                       char why[KITH_SHARE_SRC_WHY_MAX])
{
    char path[KITH_SHARE_SRC_WHY_MAX / 2];
    kith_share_src_path(s, i, path, sizeof path);
    if (code == KITH_SHARE_CHANGED)
        return kith_src_fail(why, KITH_EIO,
                             "%s changed while it was being read; share it again when it is finished", path);
    return kith_src_fail(why, KITH_EIO, "cannot read %s: %s", path, strerror(e));
}

static kith_err no_room(char why[KITH_SHARE_SRC_WHY_MAX], int e)
{
    return kith_src_fail(why, KITH_EIO, "cannot keep the hashes: %s", strerror(e));
}

static kith_err flush_roots(desk *d)
{
    int e = 0;
    if (d->root_count == 0)
        return KITH_OK;
    pthread_mutex_lock(&d->s->lock); /* so that kith_src_advance sees none of a root or all of it */
    e = kith_scratch_write(&d->s->roots, d->roots, d->root_count * KITH_BLAKE3_LEN,
                           (uint64_t)d->root_first * KITH_BLAKE3_LEN);
    pthread_mutex_unlock(&d->s->lock);
    d->root_count = 0;
    return e ? no_room(d->slice->why, e) : KITH_OK;
}

static kith_err put_root(desk *d, size_t i, const uint8_t root[KITH_BLAKE3_LEN])
{
    kith_err err = KITH_OK;
    if (d->root_count > 0 && (d->root_first + d->root_count != i || d->root_count == SLICE_FILES))
        err = flush_roots(d);
    if (d->root_count == 0)
        d->root_first = i;
    memcpy(d->roots[d->root_count++], root, KITH_BLAKE3_LEN);
    return err;
}

/* Hashes the leaves of [from, to) of a file into d->nodes, those that are holes without reading them. */
static kith_share_code hash_leaves(desk *d, int fd, uint64_t size, uint64_t from, uint64_t to, bool sparse)
{
    uint64_t data = from;
    for (uint64_t at = from; at < to; at += KITH_TREE_LEAF) {
        size_t n = to - at < KITH_TREE_LEAF ? (size_t)(to - at) : KITH_TREE_LEAF;
        if (sparse && data <= at)
            data = kith_io_next_data(fd, at);
        const uint8_t *p = zeros;
        if (data < at + n) {
            kith_share_code code = kith_src_read_exactly(fd, d->buf, n, at);
            if (code)
                return code;
            p = d->buf;
        }
        kith_tree_part_leaf(d->nodes, size, from, to - from, (size_t)((at - from) / KITH_TREE_LEAF),
                            kith_bytes_of(p, n));
    }
    return KITH_SHARE_NONE;
}

/* Hashes [from, to) of a file, after which it is still the same: *key. */
static kith_err hash_range(desk *d, size_t i, uint64_t from, uint64_t to, kith_hash_key *key)
{
    kith_share_src *s = d->s;
    kith_share_code code;
    struct stat st;
    uint64_t size = kith_manifest_entry(&s->m, i).size;
    int fd = kith_src_open(s, &d->folder, i, &code);
    if (fd < 0)
        return failed(s, i, code, errno, d->slice->why);
    bool large = size > KITH_TREE_LEAF, sparse = false;
    if (large) {
        sparse = fstat(fd, &st) == 0 && (uint64_t)st.st_blocks * 512 < size;
        (void)posix_fadvise(fd, (off_t)from, (off_t)(to - from), POSIX_FADV_SEQUENTIAL);
    }
    code = hash_leaves(d, fd, size, from, to, sparse);
    int e = errno;
    /* written to before we began, or since? */
    if (fstat(fd, &st) || !kith_src_same(s, i, &st))
        code = KITH_SHARE_CHANGED;
    (void)close(fd);
    if (code)
        return failed(s, i, code, e, d->slice->why);
    *key = kith_hash_key_of(&st);
    kith_tree_part_join(d->nodes, size, to - from);
    if (!large)
        return KITH_OK;
    size_t place = kith_tree_place(size, from, to), n = kith_tree_nodes(to - from);
    e = kith_scratch_write(&s->trees, d->nodes, n * KITH_BLAKE3_LEN,
                           kith_src_tree_at(s, i) + place * KITH_BLAKE3_LEN);
    return e ? no_room(d->slice->why, e) : KITH_OK;
}

/* The node of n bytes at pos of entry i's tree, and those between it and the parts. At most KITH_TREE_DEPTH_MAX deep. */
static int join(kith_share_src *s, size_t i, size_t pos, uint64_t n, bool root, uint8_t out[KITH_BLAKE3_LEN])
{
    uint64_t at = kith_src_tree_at(s, i) + pos * KITH_BLAKE3_LEN;
    uint8_t l[KITH_BLAKE3_LEN], r[KITH_BLAKE3_LEN];
    if (n <= KITH_SRC_PART)
        return kith_scratch_read(&s->trees, out, KITH_BLAKE3_LEN, at);
    uint64_t left = kith_tree_left(n);
    int e = join(s, i, pos + 1, left, false, l);
    if (!e)
        e = join(s, i, pos + 1 + kith_tree_nodes(left), n - left, false, r);
    if (e)
        return e;
    kith_blake3_parent(l, r, root, out);
    return kith_scratch_write(&s->trees, out, KITH_BLAKE3_LEN, at);
}

static kith_err finish_file(desk *d, size_t i, const kith_hash_key *key, int64_t began_ns,
                            const uint8_t root[KITH_BLAKE3_LEN])
{
    kith_share_src *s = d->s;
    kith_hash_cache_put(s->cache, &d->page, key, began_ns, root, s->trees.fd, kith_src_tree_at(s, i));
    return put_root(d, i, root);
}

/* A part of a large file; whoever hashes the last one joins them. */
static kith_err hash_part(desk *d, bool run)
{
    kith_share_src *s = d->s;
    kith_share_slice *sl = d->slice;
    kith_share_big *b = sl->big;
    kith_hash_key key = {0};
    uint8_t root[KITH_BLAKE3_LEN];
    kith_err err = run ? hash_range(d, sl->entry, sl->from, sl->to, &key) : KITH_OK;
    if (err || !run)
        atomic_store(&b->failed, true);
    if (atomic_fetch_sub(&b->left, 1) > 1)
        return err;
    if (!atomic_load(&b->failed)) {
        int e = join(s, sl->entry, 0, key.size, true, root);
        err = e ? no_room(sl->why, e) : finish_file(d, sl->entry, &key, b->began_ns, root);
    }
    free(b);
    return err;
}

static kith_err hash_files(desk *d)
{
    kith_share_src *s = d->s;
    kith_err err = KITH_OK;
    kith_hash_key key;
    for (size_t k = 0; k < d->slice->entries && !err && !atomic_load(&s->stop); k++) {
        size_t i = d->slice->entry + k;
        if (done(s, i))
            continue;
        uint64_t size = kith_manifest_entry(&s->m, i).size;
        err = hash_range(d, i, 0, size, &key);
        if (!err)
            err = finish_file(d, i, &key, d->began_ns, d->nodes);
        if (!err)
            atomic_fetch_add(&s->hashed, size);
    }
    return err;
}

void kith_src_advance(kith_share_src *s)
{
    pthread_mutex_lock(&s->lock);
    size_t known = atomic_load(&s->known);
    while (known < s->m.count && done(s, known)) {
        if (++known % TRIM_EVERY == 0)
            kith_scratch_trim(&s->roots);
    }
    atomic_store(&s->known, known);
    pthread_mutex_unlock(&s->lock);
}

void kith_share_src_hash(kith_share_src *s, kith_share_slice *slice)
{
    bool run = !atomic_load(&s->stop);
    desk *d = malloc(sizeof *d);
    slice->err = KITH_OK;
    if (!d) {
        slice->err = kith_src_fail(slice->why, KITH_ENOMEM, "no memory");
        if (slice->big) {
            atomic_store(&slice->big->failed, true);
            if (atomic_fetch_sub(&slice->big->left, 1) == 1)
                free(slice->big);
        }
        return;
    }
    d->s = s;
    d->slice = slice;
    d->folder.fd = -1;
    d->page.bucket = 0;
    d->page.from = d->page.to = 0;
    d->root_count = 0;
    d->began_ns = s->clock_ns();
    if (slice->big) {
        slice->err = hash_part(d, run);
        if (!slice->err && run)
            atomic_fetch_add(&s->hashed, slice->to - slice->from);
    } else if (run) {
        slice->err = hash_files(d);
    }
    kith_err err = flush_roots(d);
    if (!slice->err)
        slice->err = err;
    kith_hash_cache_flush(s->cache, &d->page);
    if (d->folder.fd >= 0)
        (void)close(d->folder.fd);
    free(d);
    kith_src_advance(s);
}
