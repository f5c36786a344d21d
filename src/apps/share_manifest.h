/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The list of what a share holds. Its BLAKE3 hash is the share's id, so whoever has a ticket knows the list was not changed on the way;
 * it was still written by a stranger, and nothing of it is used before all of it has passed kith_manifest_parse.
 *
 * The list is a walk in pre-order: a folder comes before what lies in it, siblings stand in order of their bytes. An entry says its name
 * and how deep it lies; so a path cannot be anything but a chain of listed folders, and a name can be listed only once in a folder.
 *
 *   depth 0  dir   holiday
 *   depth 1  file    beach.jpg      docs/protocols/share.md has the protobuf
 *   depth 1  dir     old
 *   depth 2  file      sun.jpg
 *   depth 0  file  notes.txt */
#ifndef KITH_APPS_SHARE_MANIFEST_H
#define KITH_APPS_SHARE_MANIFEST_H

#include "apps/share_name.h"
#include "apps/share_tree.h"
#include "base/env.h"

#define KITH_MANIFEST_MAX (1u << 28) /* bytes */
#define KITH_MANIFEST_ENTRIES_MAX (1u << 22)
#define KITH_MANIFEST_DEPTH_MAX 64          /* components of a path */
#define KITH_MANIFEST_LEAVES_MAX UINT32_MAX /* of all files together */
#define KITH_MANIFEST_BYTES_MAX \
    ((uint64_t)KITH_MANIFEST_LEAVES_MAX * KITH_TREE_LEAF) /* the same: just under 1 PiB */
#define KITH_MANIFEST_PATH_MAX (KITH_MANIFEST_DEPTH_MAX * (KITH_NAME_MAX + 1))

typedef enum kith_entry_type { KITH_ENTRY_FILE = 0, KITH_ENTRY_DIR = 1, KITH_ENTRY_LINK = 2 } kith_entry_type;

#define KITH_ENTRY_TOP UINT32_MAX /* parent of an entry at depth 0 */

typedef struct kith_entry {
    kith_bytes name;   /* read from a manifest: a view into its bytes, like target */
    kith_bytes target; /* links */
    uint64_t size;     /* files */
    int64_t mtime_ns;  /* since 1970 */
    uint16_t mode;     /* rwxrwxrwx; 0 for links */
    uint8_t depth;
    kith_entry_type type;
} kith_entry;

/* Where an entry is: all that is kept of it. */
typedef struct kith_manifest_place {
    uint32_t at;     /* its message in the list */
    uint32_t parent; /* index of the folder it lies in, or KITH_ENTRY_TOP */
    uint32_t leaf;   /* leaves of all files before it: the number of its first one, if it has any */
} kith_manifest_place;

/* A list that has passed. Entries are read when they are asked for, so a million of them take 12 MB and the list, which may be a mapped
 * file.
 *
 * The content of a share is one row of leaves: those of the first file, from 0 on, then those of the second, and so on. What is empty,
 * folders and links have none. */
typedef struct kith_manifest {
    kith_bytes list; /* borrowed */
    kith_manifest_place *places;
    size_t count;
    uint64_t bytes;  /* of all files */
    uint64_t leaves; /* of all files */
    size_t files, dirs, links;
    size_t cap; /* of places */
} kith_manifest;

typedef struct kith_manifest_fault {
    const char *why; /* static: completes "NAME: ..." */
    kith_bytes name; /* the entry's; empty when the list itself is malformed. A view into the input */
    size_t entry;
} kith_manifest_fault;

/* Parses and validates all of a manifest. in is borrowed as long as out is used; out owns its places.
 *
 *   portable   also refuse names that Windows or macOS could not hold, or would take for one another (case of ASCII letters)
 *   fault      written on EPROTO and ELIMIT
 *
 * KITH_EPROTO, KITH_ELIMIT (a cap above), KITH_ENOMEM. */
KITH_CHECK kith_err kith_manifest_parse(const kith_env *env, kith_bytes in, bool portable, kith_manifest *out,
                                        kith_manifest_fault *fault);
void kith_manifest_fini(kith_manifest *m, const kith_env *env);

/* Entry i < count. Its views live as long as the list. */
kith_entry kith_manifest_entry(const kith_manifest *m, size_t i);
/* The leaves of entry i: [*first, *end), none but of a file with content. */
void kith_manifest_leaves(const kith_manifest *m, size_t i, uint32_t *first, uint32_t *end);
/* The file that leaf < m->leaves lies in, and where in it. */
size_t kith_manifest_leaf(const kith_manifest *m, uint64_t leaf, uint64_t *offset);
/* Leaves of a file of `size` bytes; 0 for an empty one, unlike kith_tree_leaves. */
uint64_t kith_manifest_leaves_of(uint64_t size);

/* Bytes that an entry takes, and writing it. The writer's caller keeps the order. */
size_t kith_manifest_entry_len(const kith_entry *e);
void kith_manifest_put_entry(kith_wr *w, const kith_entry *e);

/* Writes the path of entry i with slashes; escaped: for a terminal, at most KITH_NAME_ESCAPED_MAX(KITH_MANIFEST_PATH_MAX) bytes. */
void kith_manifest_put_path(const kith_manifest *m, size_t i, bool escaped, kith_wr *w);

#endif
