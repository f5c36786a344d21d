/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What was shared and fetched: one row per transfer that is over, in a SQLite file that all processes of a home write to. At most
 * KITH_SHARE_HISTORY_MAX rows: the oldest go. A row is written at once, on the caller's thread, and may be lost with the power. */
#ifndef KITH_HOST_SHARE_HISTORY_H
#define KITH_HOST_SHARE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KITH_SHARE_HISTORY_MAX 10000
#define KITH_SHARE_HISTORY_TEXT_MAX 255 /* bytes of each text; the rest is cut off */

typedef struct kith_share_history kith_share_history;

/* Texts are NUL-terminated, and clean: nothing in them may upset a terminal. */
typedef struct kith_share_past {
    uint64_t time;      /* when it was over, Unix seconds */
    bool sent;          /* else received */
    const char *peer;   /* its id; "" for one that never came to be known */
    const char *name;   /* the user's name for it then, or "" */
    const char *what;   /* names of the top entries; "-", and no files: a stream */
    const char *result; /* "ok", or what `kith get --json` calls the failure */
    const char *path;   /* lan, direct, relay, or "" */
    const char *into;   /* the folder it was received into, or "" */
    bool pq;
    uint64_t files, bytes;
    double seconds;
} kith_share_past;

/* Opens or makes the file. NULL: *why says it. A damaged file is put aside (host/db.h), *damaged is set, and a new one is made. */
kith_share_history *kith_share_history_open(const char *path, bool *damaged, const char **why);
void kith_share_history_close(kith_share_history *h); /* NULL is fine */

/* NULL, or what went wrong; static. */
const char *kith_share_history_add(kith_share_history *h, const kith_share_past *row);
/* Calls fn for the newest, at most max of them, the newest first. What it is given is valid for the call. */
const char *kith_share_history_each(kith_share_history *h, size_t max,
                                    void (*fn)(void *ctx, const kith_share_past *row), void *ctx);
const char *kith_share_history_clear(kith_share_history *h, uint64_t *rows);

#endif
