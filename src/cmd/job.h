/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What kith share and kith get have in common as processes that others can see and steer: a socket (host/jobs.h) that 'kith transfers' asks,
 * limits of their own and of the home, and a history. */
#ifndef KITH_CMD_JOB_H
#define KITH_CMD_JOB_H

#include "cmd/session.h"
#include "host/paths.h"
#include "host/share_history.h"

#define JOB_RATE_MIN 16384 /* bytes a second: with less the other side would take us for dead */

/* Bytes a second, 0: no limit. */
typedef struct job_rates {
    uint64_t up, down;
} job_rates;

typedef struct job_ops {
    /* What it is doing: kind (share, get), what, state, bytes, total and whatever else. The caller adds id, limits and moved bytes. */
    json_t *(*list)(void *ctx);
    /* One receiver (1, 2, ...) or all of it (0). NULL: done; else why not. */
    const char *(*pause)(void *ctx, uint64_t n, bool on);
    const char *(*cancel)(void *ctx, uint64_t n);
    bool (*moving)(const void *ctx); /* data, now */
    bool (*giving)(const void *ctx); /* of a receiver: to others, now; NULL: never */
    /* Another ticket, as an object; NULL: why not. The entry is NULL where nothing is shared. */
    json_t *(*ticket)(void *ctx, const json_t *params, const char **why);
} job_ops;

typedef struct job job;

/* STATE/transfers, made when missing; and the history's file. False: no home. */
bool job_folder(char out[KITH_PATH_MAX]);
bool job_history_file(char out[KITH_PATH_MAX]);

/* "5M/2M", "5M/", "/2M", "5M" (both), "off". False: complained already. */
bool job_rates_parse(const char *text, job_rates *out);

/* Reads --limit and begins to be seen; goes on without what does not work. *code is EXIT_OK, or it has complained; NULL then, or without
 * memory. */
job *job_open(session *s, const cmd_args *args, bool up, const job_ops *ops, void *ctx, int *code);
/* Is seen no more; while the loop runs. NULL is fine. */
void job_close(job *j);

/* Writes a transfer with this peer that has just ended into the history, on the thread pool: time, peer and name are filled in, and texts that
 * are NULL are empty. The row is copied. A trouble is told once. */
void job_remember(const session *s, const kith_peer_id *peer, const kith_share_past *row);
/* What a peer did, for the node that this home runs, now or later. */
void job_leave_note(const kith_peer_id *peer, kith_conduct conduct);
/* --nice: this process, and threads that it begins later, come last for processor and disk, and the session's connections give way to others. Before
 * session_start. */
void job_nice(session *s);

/* The user's name for a peer, or "". */
const char *job_name(const session *s, const kith_peer_id *peer);

#endif
