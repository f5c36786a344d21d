/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The inner nodes of BLAKE3's tree: with them a part of a file is verified against the file's plain BLAKE3 hash, the one that b3sum
 * prints. The official C library keeps chaining values to itself; how they are had from it is told in the .c file. */
#ifndef KITH_CRYPTO_BLAKE3_TREE_H
#define KITH_CRYPTO_BLAKE3_TREE_H

#include "crypto/blake3.h"

/* The chaining value of a subtree that is not the whole input.
 *
 *   in     its bytes, in.len >= 1
 *   chunk  how many 1 KiB chunks of the input lie before it; a multiple of in's chunk count rounded up to a power of two
 *
 * BLAKE3 paper, 2.1 "Tree structure", 2.4, 2.5. */
void kith_blake3_subtree(kith_bytes in, uint64_t chunk, uint8_t out[KITH_BLAKE3_LEN]);

/* The parent of two nodes; root: the top of the whole tree, so the result is the hash. out may alias an input. */
void kith_blake3_parent(const uint8_t left[KITH_BLAKE3_LEN], const uint8_t right[KITH_BLAKE3_LEN], bool root,
                        uint8_t out[KITH_BLAKE3_LEN]);

#endif
