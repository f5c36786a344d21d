/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Chaining values of BLAKE3's tree.
 *
 * The C library exports whole hashes only. All bulk hashing is still the library's: a hasher that is told how many chunks lie before
 * its input (chunk_counter, a field of the public struct) and is then fed one whole power-of-two subtree has computed exactly the two
 * children of that subtree's root and left them on its stack. What the library cannot be asked for is a node without the root flag
 * when it is a last, short chunk or a parent; for these few blocks (one per 256 KiB, and at most 16 per file) the compression function
 * is written out below. test_blake3_tree compares both with the library's own hashes over all lengths, and so fails should the library
 * change under us; the struct is part of the library's ABI, since callers allocate it. */
#include "crypto/blake3_tree.h"

#include <assert.h>
#include <blake3.h>

_Static_assert(sizeof(blake3_hasher) == 1912, "the layout that all 1.x releases share");

enum { CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8 }; /* BLAKE3 paper, table 3 */

static const uint32_t IV[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static uint32_t load_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store_words(const uint32_t w[8], uint8_t out[32])
{
    for (size_t i = 0; i < 8; i++) {
        out[4 * i] = (uint8_t)w[i];
        out[4 * i + 1] = (uint8_t)(w[i] >> 8);
        out[4 * i + 2] = (uint8_t)(w[i] >> 16);
        out[4 * i + 3] = (uint8_t)(w[i] >> 24);
    }
}

static uint32_t rotr(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void mix(uint32_t v[16], size_t a, size_t b, size_t c, size_t d, uint32_t x, uint32_t y)
{
    v[a] = v[a] + v[b] + x;
    v[d] = rotr(v[d] ^ v[a], 16);
    v[c] = v[c] + v[d];
    v[b] = rotr(v[b] ^ v[c], 12);
    v[a] = v[a] + v[b] + y;
    v[d] = rotr(v[d] ^ v[a], 8);
    v[c] = v[c] + v[d];
    v[b] = rotr(v[b] ^ v[c], 7);
}

/* BLAKE3 paper, 2.2: cv becomes the first half of the compression's output. */
static void compress(uint32_t cv[8], const uint8_t block[64], uint32_t len, uint64_t counter, uint32_t flags)
{
    static const uint8_t next[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8}; /* table 2 */
    uint32_t m[16];
    for (size_t i = 0; i < 16; i++)
        m[i] = load_le32(block + 4 * i);
    uint32_t v[16] = {cv[0],
                      cv[1],
                      cv[2],
                      cv[3],
                      cv[4],
                      cv[5],
                      cv[6],
                      cv[7],
                      IV[0],
                      IV[1],
                      IV[2],
                      IV[3],
                      (uint32_t)counter,
                      (uint32_t)(counter >> 32),
                      len,
                      flags};
    for (int round = 0; round < 7; round++) {
        mix(v, 0, 4, 8, 12, m[0], m[1]);
        mix(v, 1, 5, 9, 13, m[2], m[3]);
        mix(v, 2, 6, 10, 14, m[4], m[5]);
        mix(v, 3, 7, 11, 15, m[6], m[7]);
        mix(v, 0, 5, 10, 15, m[8], m[9]);
        mix(v, 1, 6, 11, 12, m[10], m[11]);
        mix(v, 2, 7, 8, 13, m[12], m[13]);
        mix(v, 3, 4, 9, 14, m[14], m[15]);
        uint32_t p[16];
        for (size_t i = 0; i < 16; i++)
            p[i] = m[next[i]];
        memcpy(m, p, sizeof m);
    }
    for (size_t i = 0; i < 8; i++)
        cv[i] = v[i] ^ v[i + 8];
}

void kith_blake3_parent(const uint8_t left[KITH_BLAKE3_LEN], const uint8_t right[KITH_BLAKE3_LEN], bool root,
                        uint8_t out[KITH_BLAKE3_LEN])
{
    uint8_t block[64];
    memcpy(block, left, 32);
    memcpy(block + 32, right, 32);
    uint32_t cv[8];
    memcpy(cv, IV, sizeof cv);
    compress(cv, block, 64, 0, root ? PARENT | ROOT : PARENT);
    store_words(cv, out);
}

/* One chunk of 1..1024 bytes. */
static void chunk_cv(kith_bytes in, uint64_t chunk, uint8_t out[KITH_BLAKE3_LEN])
{
    uint32_t cv[8];
    memcpy(cv, IV, sizeof cv);
    uint32_t flags = CHUNK_START;
    for (; in.len > 64; in = kith_bytes_skip(in, 64)) {
        compress(cv, in.p, 64, chunk, flags);
        flags = 0;
    }
    uint8_t block[64] = {0};
    memcpy(block, in.p, in.len);
    compress(cv, block, (uint32_t)in.len, chunk, flags | CHUNK_END);
    store_words(cv, out);
}

/* A power of two of whole chunks, two or more. */
static void whole_cv(kith_bytes in, uint64_t chunk, uint8_t out[KITH_BLAKE3_LEN])
{
    blake3_hasher h;
    blake3_hasher_init(&h);
    h.chunk.chunk_counter = chunk;
    blake3_hasher_update(&h, in.p, in.len);
    assert(h.cv_stack_len == 2);
    kith_blake3_parent(h.cv_stack, h.cv_stack + KITH_BLAKE3_LEN, false, out);
}

void kith_blake3_subtree(kith_bytes in, uint64_t chunk, uint8_t out[KITH_BLAKE3_LEN])
{
    assert(in.len > 0);
    uint8_t stack[56][KITH_BLAKE3_LEN]; /* left siblings of what is left of `in`, the outermost first */
    size_t depth = 0;
    while (in.len > KITH_BLAKE3_CHUNK) {
        size_t left =
            KITH_BLAKE3_CHUNK; /* the largest power of two of chunks that leaves something, or all of it */
        while (left < in.len - left)
            left *= 2;
        if (left * 2 == in.len) {
            whole_cv(in, chunk, out);
            goto up;
        }
        assert(depth < sizeof stack / sizeof stack[0]);
        if (left == KITH_BLAKE3_CHUNK)
            chunk_cv(kith_bytes_of(in.p, left), chunk, stack[depth++]);
        else
            whole_cv(kith_bytes_of(in.p, left), chunk, stack[depth++]);
        in = kith_bytes_skip(in, left);
        chunk += left / KITH_BLAKE3_CHUNK;
    }
    chunk_cv(in, chunk, out);
up:
    while (depth > 0)
        kith_blake3_parent(stack[--depth], out, false, out);
}
