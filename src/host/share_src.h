/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is shared: files and folders of this machine, walked, hashed, and read again while they are served.
 *
 *     new -> add (each PATH) -> seal_names -> hash (workers, by slices) -> seal -> source, read (workers)
 *
 * What makes no sense for others is left out with a warning: sockets, devices and pipes, links that lead out of the share, folders of
 * unfinished transfers. What cannot be read, or has a name that no receiver would take, is an error: a share is whole or not at all. */
#ifndef KITH_HOST_SHARE_SRC_H
#define KITH_HOST_SHARE_SRC_H

#include "apps/share_tx.h"

#define KITH_SHARE_SRC_WHY_MAX 1024

typedef struct kith_share_src kith_share_src;

/* warn gets a line for people, with names escaped; may be NULL. NULL: no memory. */
kith_share_src *kith_share_src_new(void (*warn)(void *ctx, const char *line), void *ctx);
void kith_share_src_free(kith_share_src *s); /* NULL is fine */

/* Walks a file or folder; its last component is the name it gets. On failure why is set to a line for people. */
KITH_CHECK kith_err kith_share_src_add(kith_share_src *s, const char *path, char why[KITH_SHARE_SRC_WHY_MAX]);
/* After the last add: order, the list, and room for the hashes. The same name twice, or nothing at all, is an error. */
KITH_CHECK kith_err kith_share_src_begin(kith_share_src *s, char why[KITH_SHARE_SRC_WHY_MAX]);

/* One worker's portion of hashing. */
typedef struct kith_share_slice {
    size_t entry, entries; /* several small files, or part of one: */
    uint64_t from, to;
    uint64_t bytes; /* of all of it */
    kith_err err;   /* out */
    char why[KITH_SHARE_SRC_WHY_MAX];
} kith_share_slice;

/* Cuts the next portion. False: all are cut. */
bool kith_share_src_slice(kith_share_src *s, kith_share_slice *out);
/* Hashes a portion. On any thread, several at once. */
void kith_share_src_hash(const kith_share_src *s, kith_share_slice *slice);
/* When all portions are hashed: the source's roots and id are there. */
void kith_share_src_seal(kith_share_src *s);

/* After begin: what there is. bytes, files, folders, links. */
void kith_share_src_counts(const kith_share_src *s, uint64_t *bytes, size_t *files, size_t *dirs,
                           size_t *links);
/* After begin; valid as long as s. Its roots are known after seal. */
const kith_share_source *kith_share_src_source(const kith_share_src *s);
/* The path of an entry as it was given, escaped, for messages. */
void kith_share_src_path(const kith_share_src *s, size_t entry, char *out, size_t size);

/* Fills a block from the files, setting codes where that is not possible: CHANGED when a file is not the one that was hashed (by device,
 * inode, size or time of change). On any thread, several at once. */
void kith_share_src_read(const kith_share_src *s, kith_share_block *b);

#endif
