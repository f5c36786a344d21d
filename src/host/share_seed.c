/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reads back what was received. */
#include "host/share_seed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/io.h"
#include "host/share_dir_impl.h"

struct kith_share_seed {
    kith_share_seed_config cfg;
    int dest, parts;
    kith_share_new_name *new_names; /* in the entries' order */
    size_t new_name_count;
};

/* Descriptors of its own: the folder's lock goes with the folder's. */
kith_share_seed *kith_share_seed_open(const kith_share_seed_config *cfg)
{
    const kith_share_dir *d = cfg->dir;
    kith_share_seed *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->cfg = *cfg;
    s->cfg.dir = NULL;
    s->dest = openat(d->dest, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s->parts = kith_share_open_folder(d->partials, d->id);
    s->new_name_count = d->new_name_count;
    if (d->new_name_count > 0)
        s->new_names = malloc(d->new_name_count * sizeof *s->new_names);
    if (s->dest < 0 || s->parts < 0 || (d->new_name_count > 0 && !s->new_names)) {
        kith_share_seed_close(s);
        return NULL;
    }
    if (d->new_name_count > 0)
        memcpy(s->new_names, d->new_names, d->new_name_count * sizeof *s->new_names);
    return s;
}

void kith_share_seed_close(kith_share_seed *s)
{
    if (!s)
        return;
    if (s->dest >= 0)
        (void)close(s->dest);
    if (s->parts >= 0)
        (void)close(s->parts);
    free(s->new_names);
    free(s);
}

/* ---- where it is ---- */

static int open_entry(const kith_share_seed *s, size_t i)
{
    char part[32];
    kith_share_part_name(i, part);
    int fd = openat(s->parts, part, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    /* moved meanwhile, or dropped */
    return kith_share_open_in_place(s->dest, s->cfg.manifest, s->new_names, s->new_name_count, i);
}

/* ---- whether it is the same ---- */

static bool is_right(const kith_share_seed *s, const kith_share_item *it, kith_bytes data)
{
    uint8_t own[KITH_BLAKE3_LEN];
    const uint64_t size = kith_manifest_entry(s->cfg.manifest, it->entry).size;
    if (size <= KITH_TREE_LEAF) {
        kith_blake3_hash(data, own);
        return memcmp(own, s->cfg.roots + it->entry * KITH_BLAKE3_LEN, sizeof own) == 0;
    }
    const uint8_t *nodes = s->cfg.nodes(s->cfg.ctx, it->entry);
    kith_blake3_subtree(data, it->offset / KITH_BLAKE3_CHUNK, own);
    return memcmp(own, nodes + kith_tree_place(size, it->offset, it->offset + it->len) * KITH_BLAKE3_LEN,
                  sizeof own) == 0;
}

void kith_share_seed_read(const kith_share_seed *s, kith_share_block *b)
{
    size_t entry = SIZE_MAX;
    int fd = -1, err = 0;
    for (size_t i = 0; i < b->count; i++) {
        kith_share_item *it = &b->items[i];
        if (it->same) /* as the proof says, whatever has become of ours */
            continue;
        uint8_t *to = b->buf + it->at;
        if (it->entry != entry) {
            if (fd >= 0)
                (void)close(fd);
            entry = it->entry;
            fd = open_entry(s, entry);
            err = errno;
        }
        if (fd < 0) {
            it->code =
                err == ENOENT || err == ELOOP || err == ENOTDIR ? KITH_SHARE_CHANGED : KITH_SHARE_UNREADABLE;
            continue;
        }
        if (kith_io_read(fd, to, it->len, it->offset) != (ssize_t)it->len ||
            !is_right(s, it, kith_bytes_of(to, it->len)))
            it->code = KITH_SHARE_CHANGED;
        else
            it->zeros = kith_share_is_zeros(kith_bytes_of(to, it->len));
    }
    if (fd >= 0)
        (void)close(fd);
}
