/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The folder that a share is received into. All that a stranger's list can make happen on the disk goes through here.
 *
 * There is no function that takes a path, but for the user's own destination: everything else is an entry of a manifest that has passed
 * kith_manifest_parse, and is reached from a held descriptor one component at a time, never through a symbolic link (openat2 with
 * RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS where the kernel has it, O_NOFOLLOW on single components everywhere). Content is written to
 *
 *     DEST/.kith-partial/<share id>/N.part
 *
 * and renamed into place when all of it is there, never over anything that was not seen before. Nothing of these functions may be called
 * for the same folder by two threads at once; kith_share_dir_write is made for a worker thread. */
#ifndef KITH_HOST_SHARE_DIR_H
#define KITH_HOST_SHARE_DIR_H

#include "apps/share.h"

#define KITH_SHARE_PARTIAL ".kith-partial"

/* What to do about things that are there already. Folders are no clash: what is in them is. */
typedef enum kith_share_clash {
    KITH_SHARE_CLASH_FAIL, /* change nothing */
    KITH_SHARE_CLASH_OVERWRITE, /* replace files and links (a folder is never replaced by a file, nor the other way round) */
    KITH_SHARE_CLASH_RENAME, /* give the top entry that it lies in another name: "photos (2)" */
    KITH_SHARE_CLASH_SKIP,   /* keep what is there */
} kith_share_clash;

typedef struct kith_share_dir kith_share_dir;

/* What went wrong: `what` and the entry make "cannot WHAT 'ENTRY': strerror(err)". */
typedef struct kith_share_dir_fault {
    int err;          /* errno, > 0; 0: none */
    const char *what; /* static: "create", "write to", ... */
    size_t entry;     /* SIZE_MAX: the destination itself */
} kith_share_dir_fault;

/* Opens DEST, which must be a folder. m is borrowed and outlives the rest. NULL: *fault. */
kith_share_dir *kith_share_dir_open(const char *dest, const kith_manifest *m,
                                    const uint8_t root[KITH_BLAKE3_LEN], kith_share_dir_fault *fault);
/* Removes what is not in place, and the folder for it. NULL is fine. */
void kith_share_dir_close(kith_share_dir *d);

/* Looks what is there already. Creates nothing. clashes: how many entries are in the way; *first one of them (FAIL; OVERWRITE: one that
 * cannot be replaced). KITH_EEXISTS: clashes > 0 and the policy does not resolve them. KITH_EPOLICY: the list wants our own folder.
 * KITH_EIO: *fault. KITH_ENOMEM. */
KITH_CHECK kith_err kith_share_dir_survey(kith_share_dir *d, kith_share_clash policy, size_t *clashes,
                                          size_t *first, kith_share_dir_fault *fault);
/* After the survey: one byte per entry, not zero for what is skipped; NULL: nothing is. */
const uint8_t *kith_share_dir_skips(const kith_share_dir *d);
/* After the survey: the name that a top entry gets, when it is not its own; empty: it is. Valid as long as d. */
kith_bytes kith_share_dir_new_name(const kith_share_dir *d, size_t entry);
/* Bytes free for the user, and bytes that all that is not skipped needs. */
void kith_share_dir_space(const kith_share_dir *d, uint64_t *available, uint64_t *needed);

/* Makes the folder for partial content, emptied of what an earlier run left. EAGAIN in *fault: another process fetches this share into
 * this folder. */
KITH_CHECK kith_err kith_share_dir_begin(kith_share_dir *d, kith_share_dir_fault *fault);
/* Writes a block: items come in each blob's order. An item with a code drops its blob. */
KITH_CHECK kith_err kith_share_dir_write(kith_share_dir *d, const kith_share_block *b,
                                         kith_share_dir_fault *fault);

typedef struct kith_share_dir_sum {
    uint64_t files, dirs, links, bytes; /* put in place */
    uint64_t lost;                      /* files that the sharer could not give */
} kith_share_dir_sum;

/* Puts everything in place: content is synced to disk first (a few files one by one, many by one syncfs); then folders and files in the list's order, links last, then modes and
 * times of folders, and the folders are synced. KITH_EIO: *fault; *sum says how far it came. */
KITH_CHECK kith_err kith_share_dir_finish(kith_share_dir *d, kith_share_dir_sum *sum,
                                          kith_share_dir_fault *fault);

#endif
