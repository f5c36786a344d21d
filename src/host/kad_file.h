/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a server of the DHT keeps for others (mesh/kad_store.h), over restarts: one SQLite file (WAL), which survives kill -9.
 *
 * The store in memory decides and answers; its changes are queued here and written by a worker, those of a second in one transaction. The
 * file is a cache: what is lost with it (a full disk, a damaged file, which is put aside as <path>.damaged) is told again by whoever provides.
 * Caps: KITH_KAD_FILE_QUEUE_MAX changes waiting (more are not written), KITH_KAD_FILE_ROWS_MAX rows (the oldest go). */
#ifndef KITH_HOST_KAD_FILE_H
#define KITH_HOST_KAD_FILE_H

#include <uv.h>

#include "mesh/kad_store.h"
#include "proto/kad_msg.h"

#define KITH_KAD_FILE_QUEUE_MAX 4096
#define KITH_KAD_FILE_ROWS_MAX 20000

typedef struct kith_kad_file kith_kad_file;

/* Opens or makes the file (mode 0600). *damaged: it was damaged, and this is a new one. NULL: *why says what is wrong, until the next call. */
kith_kad_file *kith_kad_file_open(uv_loop_t *loop, const char *path, bool *damaged, const char **why);
/* From here on the file hears of the changes of the store that is made with cfg. */
void kith_kad_file_watch(kith_kad_file *f, kith_kad_store_config *cfg);
/* Puts what is there into the store, before anything else is put and before the loop runs. What has expired or does not fit goes from the file. Returns how many were loaded. */
size_t kith_kad_file_load(kith_kad_file *f, kith_kad_store *s, uint64_t unix);
/* Writes what is queued, waits for that, and closes. The store may be freed before or after, but must not change any more. NULL is fine. */
void kith_kad_file_close(kith_kad_file *f);

#endif
