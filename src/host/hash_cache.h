/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the hashes of files are, remembered between runs: a file that has not changed is not read again to be shared again.
 *
 *     hashes   4 KiB header, then buckets of 4 KiB, each 32 slots of 128 bytes: a file's key, root, SHA-256, place of its tree
 *     trees    4 KiB header, then a ring of records: the hash trees of files of more than one leaf, the oldest overwritten
 *
 * Both files have their full size from the start, with holes where nothing is yet; so the cap is kept by construction. A file's bucket
 * follows from its device and inode, and neighbouring inodes share one. In a full bucket the slot that was not asked for longest makes room; a
 * tree that is asked for when half of the ring lies behind it is written again at the front.
 *
 * Nothing is locked but, for a moment, the ring's end. Every slot and record has a checksum, so what a crash, a full disk or two processes
 * at the same place leave behind is found, and is as good as absent. Any function may be called from any thread, as long as no two use the
 * same page at once. */
#ifndef KITH_HOST_HASH_CACHE_H
#define KITH_HOST_HASH_CACHE_H

#include <sys/stat.h>

#include "crypto/blake3.h"
#include "crypto/hash.h"

#define KITH_HASH_CACHE_MIN (64u << 10) /* the smallest cap, in bytes */
/* A file that was written or touched less than this before it was hashed is not stored: a later write could leave it with the same times.
 * 2 s is the coarsest clock of a file system in use (FAT). */
#define KITH_HASH_CACHE_MARGIN_NS INT64_C(2000000000)

typedef struct kith_hash_cache kith_hash_cache;

/* Which content: another one of these is another content. */
typedef struct kith_hash_key {
    uint64_t dev, ino, size;
    int64_t mtime_ns, ctime_ns; /* since 1970 */
} kith_hash_key;

kith_hash_key kith_hash_key_of(const struct stat *st);

/* A bucket that is looked at or changed: one for each thread, zeroed at first, flushed at last. */
typedef struct kith_hash_page {
    uint64_t bucket;   /* and one; 0: none */
    unsigned from, to; /* slots that are changed */
    uint8_t data[4096];
} kith_hash_page;

/* Opens or makes the cache in a folder that exists; files that are damaged or were made for another cap are replaced.
 * NULL: not possible, errno says why. */
kith_hash_cache *kith_hash_cache_open(const char *dir, uint64_t cap);
void kith_hash_cache_close(kith_hash_cache *c); /* NULL is fine */

/* What is known of a file. False: nothing. A file of more than one leaf is known only with its tree, which is then written to fd at
 * offset `at`: kith_tree_nodes(size) nodes. now_s: seconds since 1970. c may be NULL. */
bool kith_hash_cache_get(kith_hash_cache *c, kith_hash_page *page, const kith_hash_key *key, uint32_t now_s,
                         uint8_t root[KITH_BLAKE3_LEN], int fd, uint64_t at);
/* Remembers a file whose hashing began at began_ns (of CLOCK_REALTIME) and whose key was the same before and after; not if that was
 * within the margin. Its tree, if it has more than one leaf, is read from fd at offset `at`. c may be NULL. */
void kith_hash_cache_put(kith_hash_cache *c, kith_hash_page *page, const kith_hash_key *key, int64_t began_ns,
                         const uint8_t root[KITH_BLAKE3_LEN], int fd, uint64_t at);
/* The SHA-256 of a file that is remembered. False: it is not known. c may be NULL. */
bool kith_hash_cache_get_sha256(kith_hash_cache *c, kith_hash_page *page, const kith_hash_key *key,
                                uint8_t out[KITH_SHA256_LEN]);
/* Adds it to what is remembered of a file; of one that is not, nothing is. c may be NULL. */
void kith_hash_cache_put_sha256(kith_hash_cache *c, kith_hash_page *page, const kith_hash_key *key,
                                const uint8_t sha256[KITH_SHA256_LEN]);
/* Writes what is changed in the page. */
void kith_hash_cache_flush(kith_hash_cache *c, kith_hash_page *page);

#endif
