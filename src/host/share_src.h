/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is shared: files and folders of this machine, walked, hashed, and read again while they are served.
 *
 *     new -> add (each PATH) -> begin -> walk -> hash (by slices) -> seal -> source, read
 *                                        '----- on worker threads, by share_scan.h -----'
 *
 * What the user wants left out is not looked into. What makes no sense for others is left out with a warning: sockets, devices and pipes, links that lead out of the share, folders of
 * unfinished transfers. What cannot be read, or has a name that no receiver would take, is an error: a share is whole or not at all.
 *
 * Memory does not grow with the content: 12 bytes for each entry, the names of the folders that are being read, and what is looked at of
 * the list and the hashes, which lie in files without a name (scratch.h). */
#ifndef KITH_HOST_SHARE_SRC_H
#define KITH_HOST_SHARE_SRC_H

#include <stdatomic.h>

#include "apps/share_tx.h"
#include "host/hash_cache.h"

#define KITH_SHARE_SRC_WHY_MAX 1024
#define KITH_SHARE_SRC_WARNINGS_MAX 64 /* lines that wait to be taken */

typedef struct kith_share_src kith_share_src;

typedef struct kith_share_src_config {
    kith_hash_cache *cache; /* taken over by new, also on failure; NULL: none */
    const char
        *scratch; /* folder for the files without a name, borrowed for the call; NULL: $TMPDIR or /tmp */
    const char *const *exclude; /* patterns (share_select.h) of what is left out, borrowed for the call */
    size_t exclude_count;
    int64_t (*clock_ns)(
        void); /* since 1970, by the clock that files get their times from; NULL: the system's. For tests */
} kith_share_src_config;

/* NULL: no memory. */
kith_share_src *kith_share_src_new(const kith_share_src_config *cfg);
/* No thread works on it any more. NULL is fine. */
void kith_share_src_free(kith_share_src *s);

/* A file or folder to be shared; its last component is the name it gets. Looks whether it is there, no further. On failure why is set to
 * a line for people, here and below. */
KITH_CHECK kith_err kith_share_src_add(kith_share_src *s, const char *path, char why[KITH_SHARE_SRC_WHY_MAX]);
/* After the last add. The same name twice, or nothing at all, is an error. */
KITH_CHECK kith_err kith_share_src_begin(kith_share_src *s, char why[KITH_SHARE_SRC_WHY_MAX]);

/* ---- on worker threads ---- */

/* Finds everything. Takes seconds for a million files. KITH_ECLOSED after stop. */
KITH_CHECK kith_err kith_share_src_walk(kith_share_src *s, char why[KITH_SHARE_SRC_WHY_MAX]);
/* Has the walk and all hashing end early. Any thread. */
void kith_share_src_stop(kith_share_src *s);
/* The next thing that was left out, a line for people with names escaped; free it. NULL: none. Any thread. */
char *kith_share_src_warning(kith_share_src *s);

struct kith_share_big;

/* One worker's portion of hashing. */
typedef struct kith_share_slice {
    size_t entry, entries; /* several small files, or part of one: */
    uint64_t from, to;
    struct kith_share_big *big; /* what all parts of a large file have in common */
    kith_err err;               /* out */
    char why[KITH_SHARE_SRC_WHY_MAX];
} kith_share_slice;

/* After the walk, by one thread: cuts the next portion. False: all are cut, or there is no memory (*err). */
bool kith_share_src_slice(kith_share_src *s, kith_share_slice *out, kith_err *err);
/* Hashes a portion, several at once. Every slice that was cut comes here, also after stop. */
void kith_share_src_hash(kith_share_src *s, kith_share_slice *slice);
/* When all portions are hashed: the share's id. */
void kith_share_src_seal(kith_share_src *s);

/* ---- what there is ---- */

typedef struct kith_share_src_progress {
    uint64_t entries, bytes; /* found so far; of files */
    uint64_t hashed;         /* bytes whose hashes are known */
    uint64_t excluded;       /* files, links and folders that a pattern has left out; a folder counts once */
    bool walked;
} kith_share_src_progress;

/* Any thread. */
kith_share_src_progress kith_share_src_progress_of(const kith_share_src *s);
/* Bytes, files, folders, links; zeros before the walk has ended. */
void kith_share_src_counts(const kith_share_src *s, uint64_t *bytes, size_t *files, size_t *dirs,
                           size_t *links);
/* What is known by now; its pointers are valid as long as s. No manifest before the walk has ended, no id before seal has. */
kith_share_source kith_share_src_source(const kith_share_src *s);
/* The path of an entry as it was given, escaped, for messages. After the walk. */
void kith_share_src_path(const kith_share_src *s, size_t entry, char *out, size_t size);
/* Lets go of memory that can be had again: of mapped files. Any thread, now and then. */
void kith_share_src_trim(const kith_share_src *s);

/* Fills a block from the files, setting codes where that is not possible: CHANGED when a file is not the one that was found (by device,
 * inode, size or times). What is all zero is said to be and not filled in. On any thread, several at once. */
void kith_share_src_read(kith_share_src *s, kith_share_block *b);

/* SHA-256 of a file, from the cache or by reading it once more: for a worker thread, after seal. False: it cannot be read, has changed, or
 * *stop was set. */
bool kith_share_src_sha256(kith_share_src *s, size_t entry, const atomic_bool *stop,
                           uint8_t out[KITH_SHA256_LEN], char why[KITH_SHARE_SRC_WHY_MAX]);

#endif
