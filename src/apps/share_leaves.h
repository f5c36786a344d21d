/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A set of a share's leaves, as ranges: what is here, what is wanted, what is to be noted in the journal. Leaves are numbered through
 * all files of a share (share_manifest.h). Content comes in long runs, so a set of millions of leaves is a handful of ranges; at worst
 * (every second leaf) it is 8 bytes for each two of them. */
#ifndef KITH_APPS_SHARE_LEAVES_H
#define KITH_APPS_SHARE_LEAVES_H

#include <stdbool.h>

#include "base/env.h"
#include "base/err.h"

/* Leaves first, first + 1, ... end - 1. */
typedef struct kith_leaf_range {
    uint32_t first, end;
} kith_leaf_range;

/* Zeroed: empty. The ranges are sorted, not empty, and neither touch nor overlap. */
typedef struct kith_leaves {
    kith_leaf_range *ranges; /* the set's own */
    size_t count, cap;
    uint64_t total; /* leaves */
} kith_leaves;

void kith_leaves_fini(kith_leaves *s, const kith_env *env);

/* Adds, or takes out, [first, end); first <= end. KITH_ENOMEM: nothing has changed. */
KITH_CHECK kith_err kith_leaves_add(kith_leaves *s, const kith_env *env, uint32_t first, uint32_t end);
KITH_CHECK kith_err kith_leaves_remove(kith_leaves *s, const kith_env *env, uint32_t first, uint32_t end);
/* Adds all of b. KITH_ENOMEM: a part of it may be in. */
KITH_CHECK kith_err kith_leaves_add_all(kith_leaves *s, const kith_env *env, const kith_leaves *b);

/* Whether all of [first, end) is in the set; true for an empty one. */
bool kith_leaves_has(const kith_leaves *s, uint32_t first, uint32_t end);
/* How many of [first, end) are in the set. */
uint32_t kith_leaves_count(const kith_leaves *s, uint32_t first, uint32_t end);
/* The first run in [first, end) of leaves that are in the set (have), or are not. False: there is none. */
bool kith_leaves_next(const kith_leaves *s, bool have, uint32_t first, uint32_t end, kith_leaf_range *out);

/* Asserts the invariants; for tests and fuzzers. */
void kith_leaves_check(const kith_leaves *s);

#endif
