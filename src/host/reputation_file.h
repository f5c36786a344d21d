/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Where a node keeps what it thinks of its peers (mesh/reputation.h): one SQLite file. Not in the peer book's, which forgets peers whom it has not
 * seen, or whose place others need: so a ban could be washed away by a crowd of strangers.
 *
 * Other processes of this home (kith get) leave notes in it of what a peer did to them, which the node takes up at its start and every
 * KITH_REPUTATION_FILE_MS: each counts once, also over a crash, as of when it was left.
 *
 * Read at once when it is opened. Changes are written every KITH_REPUTATION_FILE_MS on libuv's thread pool, and when it is closed. Of a power
 * cut it may miss the last of them. A damaged file is put aside as <path>.damaged. */
#ifndef KITH_HOST_REPUTATION_FILE_H
#define KITH_HOST_REPUTATION_FILE_H

#include <uv.h>

#include "mesh/reputation.h"

#define KITH_REPUTATION_FILE_MS 5000
#define KITH_REPUTATION_FILE_ROWS \
    4096 /* in the file; those that changed last stay, and all that are banned before them */

#define KITH_REPUTATION_NOTES_MAX 1024 /* left and not taken up yet; what comes then is not noted */

typedef struct kith_reputation_file kith_reputation_file;

/* Reads the rows into r, which outlives it. NULL: *why. */
kith_reputation_file *kith_reputation_file_open(uv_loop_t *loop, const char *path, kith_reputation *r,
                                                uint64_t unix, const char **why);
/* Writes what has changed and closes; waits for the disk, and lets the loop run meanwhile. NULL is fine. */
void kith_reputation_file_close(kith_reputation_file *f);
/* A note was taken up: after the loop is back from the disk. */
void kith_reputation_file_on_note(kith_reputation_file *f, void (*fn)(void *ctx), void *ctx);
/* Leaves a note, for a process that has no node of its own to keep; blocks for one small write. Makes the file when there is none. NULL, or
 * why not, static. */
const char *kith_reputation_leave_note(const char *path, const kith_peer_id *peer, kith_conduct kind,
                                       uint64_t unix);
/* Told once when it cannot be written. */
void kith_reputation_file_on_trouble(kith_reputation_file *f, void (*fn)(void *ctx, const char *sentence),
                                     void *ctx);

#endif
