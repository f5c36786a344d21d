/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reads back what was received, for others: from the parts while it is being fetched, from its place afterwards. Nothing is given that is not
 * what was received: each leaf is hashed once more. */
#ifndef KITH_HOST_SHARE_SEED_H
#define KITH_HOST_SHARE_SEED_H

#include "host/share_dir.h"

typedef struct kith_share_seed kith_share_seed;

typedef struct kith_share_seed_config {
    const kith_share_dir *dir; /* after begin, and while nothing is placed; needed for the call alone */
    const kith_manifest *manifest;
    const uint8_t *roots; /* of all entries */
    /* The tree of a file of several leaves, as far as it is known: all that leads to the leaves that are read. */
    const uint8_t *(*nodes)(const void *ctx, size_t entry);
    const void *ctx;
} kith_share_seed_config;

/* NULL: no memory, or no descriptors. All pointers outlive it. */
kith_share_seed *kith_share_seed_open(const kith_share_seed_config *cfg);
void kith_share_seed_close(kith_share_seed *s); /* no thread reads any more; NULL is fine */

/* Fills a block as kith_share_src_read does: CHANGED where the file is not what was received, or gone. On any thread, several at once. */
void kith_share_seed_read(const kith_share_seed *s, kith_share_block *b);

#endif
