/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the parts of share_src have in common. */
#ifndef KITH_HOST_SHARE_SRC_IMPL_H
#define KITH_HOST_SHARE_SRC_IMPL_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "apps/share_select.h"
#include "host/scratch.h"
#include "host/share_src.h"

#define KITH_SRC_PART \
    (16u << 20)         /* bytes of a large file that one worker hashes at a time: a power of two of leaves */
#define KITH_SRC_OPEN 8 /* large files kept open while they are sent */

/* A PATH. */
typedef struct kith_src_top {
    char *path;
    char name[KITH_NAME_MAX + 1];
    size_t entry; /* after the walk */
} kith_src_top;

/* A large file that is being sent. */
typedef struct kith_src_open_file {
    int fd; /* -1: none */
    bool busy;
    size_t entry;
    uint64_t used; /* the higher the later */
} kith_src_open_file;

struct kith_share_src {
    kith_hash_cache *cache;
    char *scratch;
    int64_t (*clock_ns)(void);
    kith_share_sieve *sieve; /* NULL: nothing is left out */
    kith_src_top *tops;      /* by name */
    size_t top_count, top_cap;
    atomic_bool stop, walked;
    atomic_uint_least64_t found, found_bytes, hashed, excluded;
    /* by the walk, then fixed */
    kith_manifest m; /* its list has no roots */
    uint64_t holes;  /* bytes of files that take no room */
    kith_scratch list;
    kith_scratch stamps; /* by entry, 8 bytes: kith_src_stamp */
    /* by walk (from the cache) and hashing */
    kith_scratch roots; /* by entry, KITH_BLAKE3_LEN; zero: not known, or it has no leaves */
    kith_scratch trees; /* of files of more than one leaf: kith_src_tree_at */
    /* slicing */
    size_t next;
    uint64_t next_from;
    struct kith_share_big *next_big; /* of which not all is cut */
    atomic_size_t known;
    pthread_mutex_t lock; /* of what follows */
    char *warnings[KITH_SHARE_SRC_WARNINGS_MAX];
    size_t warning_first, warning_count, warning_lost;
    kith_src_open_file open[KITH_SRC_OPEN];
    uint64_t uses;
    uint8_t list_root[KITH_BLAKE3_LEN];
    uint8_t id[KITH_BLAKE3_LEN]; /* by seal */
};

kith_err kith_src_fail(char why[KITH_SHARE_SRC_WHY_MAX], kith_err err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A path for people, cut to what fits. */
const char *kith_src_shown(const char *path, char *out, size_t size);
#define KITH_SRC_SHOWN(path) \
    kith_src_shown((path), (char[KITH_SHARE_SRC_WHY_MAX / 2]){0}, KITH_SHARE_SRC_WHY_MAX / 2)
/* Keeps a line for kith_share_src_warning. */
void kith_src_warn(kith_share_src *s, const char *path, const char *why);

/* Leaves of entry i. */
static inline uint32_t kith_src_leaves(const kith_share_src *s, size_t i)
{
    uint32_t first, end;
    kith_manifest_leaves(&s->m, i, &first, &end);
    return end - first;
}

/* Where the tree of entry i lies: a file has at most two nodes for each leaf. */
static inline uint64_t kith_src_tree_at(const kith_share_src *s, size_t i)
{
    return (uint64_t)2 * KITH_BLAKE3_LEN * s->m.places[i].leaf;
}

/* Moves the end of what is known from the first entry on. */
void kith_src_advance(kith_share_src *s);

/* What tells a file from another and from its later self, in 8 bytes. */
uint64_t kith_src_stamp(const kith_hash_key *key);
/* Whether it is the file that the walk found. */
bool kith_src_same(const kith_share_src *s, size_t i, const struct stat *st);
/* The path of an entry. False: it is too long. */
bool kith_src_path(const kith_share_src *s, size_t i, char out[PATH_MAX]);

/* The folder that was opened last: many files lie in the same. */
typedef struct kith_src_folder {
    int fd; /* -1: none */
    uint32_t entry;
} kith_src_folder;

/* Opens the file of an entry, whether or not it is still the one that was found. -1: *code, and errno. */
int kith_src_open(const kith_share_src *s, kith_src_folder *folder, size_t i, kith_share_code *code);
/* Reads exactly n bytes. */
kith_share_code kith_src_read_exactly(int fd, uint8_t *out, size_t n, uint64_t offset);

#endif
