/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The hash tree of a shared blob: plain BLAKE3, cut off at leaves of 256 KiB. A sharer keeps the nodes and proves any aligned range
 * with them; a receiver knows the root only and lets no byte pass that does not lead up to it.
 *
 *              root                     a range's proof is the tree walked in pre-order: the pair of children of every node that
 *            /      \                   touches the range and is sent in parts, then data where the parts are leaves. For leaves
 *          a          b                 1..2 of this tree:
 *        /   \      /   \                   a b | l0 l1 | data of l1 | l2 l3 | data of l2
 *      l0    l1   l2     l3             (l0 and l3 are verified, then dropped: they touch nothing that was asked for)
 *
 * A left subtree is the largest power of two of leaves that leaves something for the right one, so a leaf's bounds never depend on the
 * cut: a sharer may cut finer (down to 16 KiB) without a receiver having to know. */
#ifndef KITH_APPS_SHARE_TREE_H
#define KITH_APPS_SHARE_TREE_H

#include "crypto/blake3_tree.h"

#define KITH_TREE_LEAF \
    (256u * 1024) /* what our sharer cuts at; also the alignment of a range and the longest data frame */
#define KITH_TREE_LEAF_MIN (16u * 1024) /* the finest cut that a receiver takes */
#define KITH_TREE_SIZE_MAX (UINT64_C(1) << 62)
#define KITH_TREE_DEPTH_MAX \
    49 /* levels between the root of KITH_TREE_SIZE_MAX bytes and a leaf of KITH_TREE_LEAF_MIN, and it */
#define KITH_TREE_PAIR_LEN (2 * KITH_BLAKE3_LEN)
#define KITH_TREE_PROOF_MAX (KITH_TREE_DEPTH_MAX * KITH_TREE_PAIR_LEN)

/* ---- the sharer's side: nodes ----
 * The nodes of a blob lie in one array in pre-order: a node, its left subtree, its right subtree. Node 0 is the root, and so the blob's
 * hash. One node is KITH_BLAKE3_LEN bytes. */

/* Leaves of a blob of `size` bytes; 1 for an empty one. */
size_t kith_tree_leaves(uint64_t size);
/* Nodes in all: twice the leaves less one. */
size_t kith_tree_nodes(uint64_t size);
/* Hashes leaf `leaf` into its place. data: its bytes, whole. Different leaves may be hashed by different threads at once. */
void kith_tree_leaf(uint8_t *nodes, uint64_t size, size_t leaf, kith_bytes data);
/* When all leaves are in place: the nodes above them. */
void kith_tree_join(uint8_t *nodes, uint64_t size);

/* The same for a blob whose nodes are too many to hold: by parts of a power of two of leaves, the last one shorter, each with an array
 * of kith_tree_nodes(part) nodes that later lies in the blob's at kith_tree_place.
 *
 *   from   where the part begins in the blob
 *   part   its bytes; from 0 and size: all of it */
void kith_tree_part_leaf(uint8_t *nodes, uint64_t size, uint64_t from, uint64_t part, size_t leaf,
                         kith_bytes data);
void kith_tree_part_join(uint8_t *nodes, uint64_t size, uint64_t part);
/* Place of the node that stands for [from, to); there must be one. */
size_t kith_tree_place(uint64_t size, uint64_t from, uint64_t to);
/* Bytes of the left child of a node of n > KITH_TREE_LEAF bytes. */
uint64_t kith_tree_left(uint64_t n);

typedef struct kith_tree_node {
    uint64_t from, to;           /* bytes, from < to except in an empty blob */
    size_t pos;                  /* place in the array */
    uint8_t cv[KITH_BLAKE3_LEN]; /* checker */
} kith_tree_node;

/* Walks a range, leaf by leaf. */
typedef struct kith_tree_prover {
    const uint8_t *nodes;
    uint64_t from, to;
    size_t depth;
    kith_tree_node stack[KITH_TREE_DEPTH_MAX + 1];
} kith_tree_prover;

/* [from, to) must pass kith_tree_range_ok. nodes is borrowed; NULL will do for a blob of one leaf. */
void kith_tree_prove(kith_tree_prover *p, const uint8_t *nodes, uint64_t size, uint64_t from, uint64_t to);
/* The next leaf and the pairs before it (at most KITH_TREE_PROOF_MAX bytes, written to w). False: the range is done. */
bool kith_tree_prove_next(kith_tree_prover *p, kith_wr *w, uint64_t *from, uint64_t *to);

/* Whether a range may be asked for: inside the blob, not empty, its ends on leaf bounds or at the blob's end. */
bool kith_tree_range_ok(uint64_t size, uint64_t from, uint64_t to);

/* ---- what is here already ---- */

/* The value of a leaf of a blob of `size` bytes, which begins at `from`: its chaining value, or of a blob of one leaf the hash. */
void kith_tree_value(kith_bytes data, uint64_t size, uint64_t from, uint8_t out[KITH_BLAKE3_LEN]);

/* Puts a hash together from the values of all leaves of a blob of more than one, in order. */
typedef struct kith_tree_sum {
    uint64_t leaves;
    size_t depth;
    uint8_t stack[KITH_TREE_DEPTH_MAX + 1][KITH_BLAKE3_LEN];
} kith_tree_sum; /* zeroed: to begin with */

void kith_tree_sum_add(kith_tree_sum *s, const uint8_t value[KITH_BLAKE3_LEN]);
/* After the last; at least two. Ends the sum. */
void kith_tree_sum_root(kith_tree_sum *s, uint8_t out[KITH_BLAKE3_LEN]);

/* ---- the receiver's side ---- */

typedef struct kith_tree_checker {
    uint64_t size, from, to;
    uint8_t *
        nodes; /* set by the caller after kith_tree_check: where verified pairs are kept, in the sharer's order; NULL: nowhere */
    size_t depth; /* the top of the stack is the subtree that comes next */
    kith_tree_node stack[KITH_TREE_DEPTH_MAX + 1];
} kith_tree_checker;

/* The same range from a stranger's proof against the root. */
void kith_tree_check(kith_tree_checker *c, const uint8_t root[KITH_BLAKE3_LEN], uint64_t size, uint64_t from,
                     uint64_t to);
/* Takes the pairs before a leaf and says which bytes the leaf must be. KITH_ECRYPTO: a pair does not belong to its parent.
 * KITH_EPROTO: they are no pairs, lead past the leaves, or not down to one. After an error the checker is of no more use. */
KITH_CHECK kith_err kith_tree_check_pairs(kith_tree_checker *c, kith_bytes pairs, uint64_t *from,
                                          uint64_t *to);
/* Takes the leaf's bytes. KITH_ECRYPTO: they are not the ones that the root stands for. */
KITH_CHECK kith_err kith_tree_check_data(kith_tree_checker *c, kith_bytes data);
/* Takes the leaf's value in their place: whoever has bytes of that value has the leaf. KITH_ECRYPTO: it is another one. */
KITH_CHECK kith_err kith_tree_check_value(kith_tree_checker *c, const uint8_t value[KITH_BLAKE3_LEN]);
/* The whole range has been verified. */
bool kith_tree_checked(const kith_tree_checker *c);

#endif
