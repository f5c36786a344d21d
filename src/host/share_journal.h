/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The journal of partial content: which leaves of a share have been verified and lie in the parts beside it, so that a transfer goes on
 * where it stopped, whatever stopped it.
 *
 * It is appended to, and says of nothing that it is here before that is on the disk; so what a crash can take is the journal's tail and
 * what was not in it. A record:
 *
 *     u8 kind | be16 length of the body | body | be32 CRC-32C of the list root, the record's place in the file (be64), and all before it
 *
 *     1 BEGIN   u8 version 1, u8 durability, 16 bytes that name the system's run, 32 bytes list root; the first record and only that
 *     2 HERE    leaf ranges, be32 first and be32 end each, at most KITH_JOURNAL_RANGES
 *     3 GONE    the same: they are not here any more
 *     4 MADE    ranges of entries: folders that are made when everything is put into place
 *
 * The place in the sum is there so that a block of an older file, which a crash may leave in a newer one, is not taken for its record.
 * Reading ends at the first record that is not whole; what lies behind it counts for nothing. */
#ifndef KITH_HOST_SHARE_JOURNAL_H
#define KITH_HOST_SHARE_JOURNAL_H

#include "apps/share_leaves.h"
#include "crypto/blake3.h"

#define KITH_JOURNAL_NAME "journal"
#define KITH_JOURNAL_RANGES 4096              /* in one record */
#define KITH_JOURNAL_MAX (256u * 1024 * 1024) /* bytes that are read */
#define KITH_JOURNAL_RUN_LEN 16

/* How much is paid so that nothing is lost when the power goes. A killed process loses no more than a second of content with any. */
typedef enum kith_durability {
    KITH_DURABILITY_BATCH, /* every second or 64 MiB content is synced, then the journal; and content before it gets its name */
    KITH_DURABILITY_NONE, /* nothing is synced: after a power cut everything partial is thrown away */
    KITH_DURABILITY_STRICT, /* a block is synced and journaled before it counts, a file and its folder with each rename */
} kith_durability;

/* What a journal says. */
typedef struct kith_journal_state {
    kith_durability durability;
    uint8_t run
        [KITH_JOURNAL_RUN_LEN]; /* of the system: another one than now means that there was a power cut or a restart since */
    kith_leaves here;
    kith_leaves made; /* of entries, not of leaves */
    size_t good;      /* bytes up to the first record that is not whole */
} kith_journal_state;

/* Reads a journal's bytes. out is the caller's to finish, also after an error.
 * KITH_EFORMAT: it is no journal of this list. KITH_ENOMEM. */
KITH_CHECK kith_err kith_journal_parse(const kith_env *env, kith_bytes in,
                                       const uint8_t list_root[KITH_BLAKE3_LEN], kith_journal_state *out);

void kith_journal_state_fini(kith_journal_state *st, const kith_env *env);

typedef enum kith_journal_kind {
    KITH_JOURNAL_HERE = 2,
    KITH_JOURNAL_GONE = 3,
    KITH_JOURNAL_MADE = 4,
} kith_journal_kind;

typedef struct kith_journal {
    int fd; /* -1: none */
    uint64_t end;
    uint8_t list_root[KITH_BLAKE3_LEN];
} kith_journal;

/* Names the system's run: a new one after each start. */
void kith_journal_run(uint8_t out[KITH_JOURNAL_RUN_LEN]);

/* The functions that follow return 0, or an errno.
 *
 * Reads the journal in a folder (read-only: of it nothing is changed). ENOENT: there is none, or none that can be believed: it is damaged, or
 * what it says was never synced and the system has been started since. */
int kith_journal_load(int folder, const uint8_t list_root[KITH_BLAKE3_LEN], kith_journal_state *out);
/* Writes a new journal that says what `st` does, in place of the one that is there, and keeps it open. sync: the folder and what is in
 * the journal are on the disk when this returns. */
int kith_journal_begin(kith_journal *j, int folder, const uint8_t list_root[KITH_BLAKE3_LEN],
                       const kith_journal_state *st, bool sync);
/* Appends, KITH_JOURNAL_RANGES at a time. After an error those before it count, the others do not, and the next call goes on behind those. */
int kith_journal_put(kith_journal *j, kith_journal_kind kind, const kith_leaves *ranges);
int kith_journal_sync(kith_journal *j);
void kith_journal_close(kith_journal *j);

#endif
