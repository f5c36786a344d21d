/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The folder that a share is received into. All that a stranger's list can make happen on the disk goes through here.
 *
 * There is no function that takes a path, but for the user's own destination: everything else is an entry of a manifest that has passed
 * kith_manifest_parse, and is reached from a held descriptor one component at a time, never through a symbolic link (openat2 with
 * RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS where the kernel has it, O_NOFOLLOW on single components everywhere). Content is written to
 *
 *     DEST/.kith-partial/<list root>/N.part     content of entry N, at its place: leaves come in any order
 *                                    journal    which leaves have been verified and are on the disk (share_journal.h)
 *                                    list       the manifest
 *                                    roots      what the content was verified against, by entry
 *
 * and renamed into place when all of it is there, never over anything that was not seen before. What a transfer that ended early leaves
 * in that folder is what the next one of the same list goes on with; one of another list takes files that are the same, and as older content
 * (below) those of the same paths.
 *
 * Nothing of these functions may be called for the same folder by two threads at once, but for sync, which may run beside write. */
#ifndef KITH_HOST_SHARE_DIR_H
#define KITH_HOST_SHARE_DIR_H

#include <sys/stat.h>

#include "apps/share.h"
#include "host/share_journal.h"

#define KITH_SHARE_PARTIAL ".kith-partial"
#define KITH_SHARE_PARTIAL_DAYS 30 /* older partial content is removed by the next transfer into the folder */
#define KITH_SHARE_BATCH_BYTES (64u * 1024 * 1024) /* of content, or this long, before it is journaled: */
#define KITH_SHARE_BATCH_TIME KITH_SEC(1)
#define KITH_SHARE_UNSYNCED_MAX \
    (3 * KITH_SHARE_BATCH_BYTES) /* then writing waits for the disk: so much may be lost by a crash */

#define KITH_SHARE_OLDER_MAX \
    (1u << 20) /* leaves of files of which older content is noted: 32 MiB for 256 GiB */

/* What to do about things that are there already. Folders are no clash: what is in them is. Nor is a file whose content is the one that
 * would come, or a link with the same target: it stays, and is not fetched. */
typedef enum kith_share_clash {
    KITH_SHARE_CLASH_FAIL, /* change nothing */
    KITH_SHARE_CLASH_ASK, /* the same, but all is compared, and then each is decided about: kith_share_dir_decide */
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

/* Opens DEST, which must be a folder. m is borrowed and outlives the rest; list_root is the hash of its list. NULL: *fault. */
kith_share_dir *kith_share_dir_open(const char *dest, const kith_manifest *m,
                                    const uint8_t list_root[KITH_BLAKE3_LEN], kith_durability durability,
                                    kith_share_dir_fault *fault);
/* Keeps what was verified, if there is any and not everything is in place, for the next time; otherwise removes the folder for it.
 * Returns how many bytes of content are kept. NULL is fine. */
uint64_t kith_share_dir_close(kith_share_dir *d);

/* ---- before content comes ---- */

/* Says what is not wanted, by entry, before the survey; borrowed for the call. A folder that is not wanted has nothing in it that is. */
void kith_share_dir_select(kith_share_dir *d, const uint8_t *unwanted);

/* Says the files' roots: KITH_BLAKE3_LEN bytes per entry, known up to `known`; borrowed until close, and
 * said again when more are. What is not known at the survey counts as a clash, and partial content of it at begin as not here. */
void kith_share_dir_roots(kith_share_dir *d, const uint8_t *roots, size_t known);

/* Looks what is there already, and hashes files that may be the ones that would come: for a worker thread. Creates nothing. clashes: how
 * many entries are in the way; *first one of them (FAIL, ASK: the first; OVERWRITE: one that cannot be replaced). KITH_EEXISTS: clashes > 0 and the policy does not resolve them. KITH_EPOLICY: the list wants our own
 * folder. KITH_EIO: *fault. KITH_ENOMEM. */
KITH_CHECK kith_err kith_share_dir_survey(kith_share_dir *d, kith_share_clash policy, size_t *clashes,
                                          size_t *first, kith_share_dir_fault *fault);
/* After a survey with ASK that found clashes, on one thread: the first entry that is in the way and not decided about, from `from` on; the
 * count of entries: there is none. */
size_t kith_share_dir_clash(const kith_share_dir *d, size_t from);
/* What is there now instead of that entry. False: nothing that can be looked at. */
bool kith_share_dir_there(const kith_share_dir *d, size_t entry, struct stat *st);
/* Whether an entry that clashes may take the place of what is there: not a folder that of a file, nor the other way round. */
bool kith_share_dir_can_replace(const kith_share_dir *d, size_t entry);
/* What is to be done about one: OVERWRITE, where it can; SKIP; RENAME: of all that lies in the same top entry, whatever was decided about it but SKIP. */
void kith_share_dir_decide(kith_share_dir *d, size_t entry, kith_share_clash how);
/* All are decided about: for a worker thread. KITH_EEXISTS: no name was found for *first. KITH_ENOMEM. */
KITH_CHECK kith_err kith_share_dir_decided(kith_share_dir *d, size_t *first);
/* Nobody waits for the survey, or for begin, any more: what is still to be hashed counts as different. From any thread. */
void kith_share_dir_stop(kith_share_dir *d);
/* How far hashing is, from any thread: bytes. */
void kith_share_dir_hashed(const kith_share_dir *d, uint64_t *done, uint64_t *total);

/* After the survey: one byte per entry, not zero for what is not to be fetched. */
enum { KITH_SHARE_SKIPPED = 1, KITH_SHARE_EQUAL = 2 /* it is there already, just as it would come */ };
const uint8_t *kith_share_dir_skips(const kith_share_dir *d);
/* After the survey: the name that a top entry gets, when it is not its own; empty: it is. Valid as long as d. */
kith_bytes kith_share_dir_new_name(const kith_share_dir *d, size_t entry);
/* Bytes free for the user, and bytes that are needed for all that is neither skipped nor here in part. */
void kith_share_dir_space(const kith_share_dir *d, uint64_t *available, uint64_t *needed);

/* Makes the folder for partial content, or goes on with the one that is there: for a worker thread. EWOULDBLOCK in *fault: another process
 * fetches this share into this folder. */
KITH_CHECK kith_err kith_share_dir_begin(kith_share_dir *d, kith_share_dir_fault *fault);
/* After begin, while nothing is being written: the leaves that are here. */
const kith_leaves *kith_share_dir_here(const kith_share_dir *d);
uint64_t kith_share_dir_bytes(const kith_share_dir *d); /* of them */

/* Older content: leaves that are not here, and have other or perhaps the same bytes at their place in a file that is to be overwritten, or in a
 * part that the journal says nothing of. After begin; from the loop's thread, like the next two. */
const kith_leaves *kith_share_dir_older(const kith_share_dir *d);
/* The value (share_tree.h) of such a leaf. It stays when the leaf is gone from them. */
const uint8_t *kith_share_dir_older_value(const kith_share_dir *d, uint32_t leaf);
/* It has not that value any more. False: no memory. */
bool kith_share_dir_older_gone(kith_share_dir *d, uint32_t leaf);

/* ---- content ---- */

/* Writes verified content: whole leaves, in any order. An item with a code drops its file. For one that is `same` older content is looked at
 * again: `stale` is set if it is not what it was, and then the leaf is not here. */
KITH_CHECK kith_err kith_share_dir_write(kith_share_dir *d, kith_share_block *b, kith_share_dir_fault *fault);
/* Content that is not in the journal yet and not being synced: bytes, roughly. From the thread that starts write and sync. */
uint64_t kith_share_dir_unsynced(kith_share_dir *d);
/* Brings what has been written into the journal, behind its own way to the disk; for a worker thread. To be called every
 * KITH_SHARE_BATCH_BYTES or KITH_SHARE_BATCH_TIME. */
KITH_CHECK kith_err kith_share_dir_sync(kith_share_dir *d, kith_share_dir_fault *fault);

typedef struct kith_share_dir_sum {
    uint64_t files, dirs, links, bytes; /* put in place */
    uint64_t equal;                     /* files and links that were there already, just as they would come */
    uint64_t lost;                      /* files that the sharer could not give */
} kith_share_dir_sum;

/* Puts everything in place: content is synced to disk first (a few files one by one, many by one syncfs); then folders and files in the
 * list's order, links last, then modes and times of folders, and the folders are synced. KITH_EIO: *fault; *sum says how far it came, and
 * what is not in place yet is kept. */
KITH_CHECK kith_err kith_share_dir_finish(kith_share_dir *d, kith_share_dir_sum *sum,
                                          kith_share_dir_fault *fault);

/* ---- partial content that nobody goes on with ---- */

/* Removes all partial content from DEST, but what another process is using. Returns how many lists' was removed, and in *busy how many were
 * in use; < 0: -errno. */
int kith_share_discard(const char *dest, size_t *busy);

#endif
