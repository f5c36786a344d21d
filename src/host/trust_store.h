/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The known peers: node/trust.h's rows in memory, so that a decision costs no I/O, and in a SQLite file of their own.
 *
 * Not in the peer book's file: that is a cache, which forgets the stale, gives up the last second of a power cut, and is replaced when it is damaged;
 * here each of these would undo what a user decided. So: a rollback journal with full synchronisation (one file, to be read also when the disk is
 * full), nothing is answered for before it is on the disk, and a file that cannot be read is an error and never an empty store.
 * It is made when there is something to write.
 *
 * Several processes of one home share the file: each writes what it changed, row by row, and sees within KITH_TRUST_POLL_MS what the others did.
 * Caps: KITH_TRUST_MET_MAX rows that only the network made (those that never were dialled go first, oldest first), KITH_TRUST_ROWS_MAX in all. */
#ifndef KITH_HOST_TRUST_STORE_H
#define KITH_HOST_TRUST_STORE_H

#include <uv.h>

#include "node/trust.h"

#define KITH_TRUST_MET_MAX 4096
#define KITH_TRUST_ROWS_MAX 65536
#define KITH_TRUST_POLL_MS 2000

typedef struct kith_trust kith_trust;

/* Reads the file; one that does not exist is empty. NULL: *why says what is wrong with it, or that memory is short; *in_use, when it is
 * not NULL, that the file is sound as far as one can tell, and another process holds it. */
kith_trust *kith_trust_open(const char *path, const char **why, bool *in_use);
/* Of the configuration; KITH_PQ_PREFER before it is set. */
void kith_trust_set_policy(kith_trust *t, kith_pq_policy policy);
/* From here on what is noted is written, on the loop's thread pool. */
void kith_trust_attach(kith_trust *t, uv_loop_t *loop);
/* Writes what is queued and closes; waits for the disk. NULL is fine. */
void kith_trust_close(kith_trust *t);

/* Told on the loop's thread, in a sentence for a person: that the file cannot be written (once, until it can be again; what is noted meanwhile
 * counts in memory and is tried again), and that it can be again. */
void kith_trust_on_trouble(kith_trust *t, void (*fn)(void *ctx, const char *sentence), void *ctx);

/* Asked about a peer that would be let in; anything but KITH_OK refuses it, and why says so. */
typedef kith_err (*kith_trust_gate)(void *ctx, const kith_peer_id *peer, char why[KITH_REASON_MAX]);
void kith_trust_set_gate(kith_trust *t, kith_trust_gate gate, void *ctx); /* NULL: nobody is asked */

/* kith_node_config.trust; ctx is the kith_trust. */
kith_err kith_trust_ask(void *ctx, const kith_contact *c, char why[KITH_REASON_MAX]);
/* kith_node_config.policy: the peer's own, or the configuration's. */
kith_pq_policy kith_trust_policy_of(void *ctx, const kith_peer_id *peer);

/* Rows are valid until the loop runs or something is noted. NULL: not known. */
const kith_trust_row *kith_trust_find(const kith_trust *t, const kith_peer_id *peer);
const kith_trust_row *kith_trust_named(const kith_trust *t, kith_bytes name);
/* All of them, in no order that matters: begin with NULL. */
const kith_trust_row *kith_trust_next(const kith_trust *t, const kith_trust_row *r);
size_t kith_trust_count(const kith_trust *t);
/* Another number whenever the set of those is another whom a person made something of (kith_trust_kept). */
uint64_t kith_trust_kept_changes(const kith_trust *t);

/* why is for people, when err is not KITH_OK. */
typedef void (*kith_trust_done)(void *ctx, kith_err err, const char *why);
/* Makes all of the changes or none, and answers once they are on the disk and count; exactly once, later. The edits are copied; count >= 1.
 * KITH_EEXISTS: another peer has the name. KITH_ELIMIT: KITH_TRUST_ROWS_MAX. KITH_EIO: the disk. KITH_ENOMEM when returned: no answer comes. */
KITH_CHECK kith_err kith_trust_edit_all(kith_trust *t, const kith_trust_edit *edits, size_t count,
                                        kith_trust_done fn, void *ctx);

#endif
