/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a node of the DHT keeps over restarts: what a server holds for others (mesh/kad_store.h), servers to begin with again, and what the
 * node itself provides. One SQLite file (WAL), which survives kill -9.
 *
 * The store in memory decides and answers; its changes are queued here and written by a worker, those of a second in one transaction. The
 * file is a cache: what is lost with it (a full disk, a damaged file, which is put aside as <path>.damaged) is told again by whoever provides.
 * Caps: KITH_KAD_FILE_QUEUE_MAX changes waiting (more are not written), KITH_KAD_FILE_ROWS_MAX rows and KITH_KAD_FILE_PEERS_MAX servers (the
 * oldest go); keys that are provided: as many as mesh/kad.h lets be. */
#ifndef KITH_HOST_KAD_FILE_H
#define KITH_HOST_KAD_FILE_H

#include <uv.h>

#include "mesh/kad_store.h"
#include "mesh/kad_table.h"
#include "proto/kad_msg.h"

#define KITH_KAD_FILE_QUEUE_MAX 4096
#define KITH_KAD_FILE_ROWS_MAX 20000
#define KITH_KAD_FILE_PEERS_MAX 128
#define KITH_KAD_FILE_PROVIDES_MAX 1024 /* read */

typedef struct kith_kad_file kith_kad_file;

/* Opens or makes the file (mode 0600). *damaged: it was damaged, and this is a new one. NULL: *why says what is wrong, until the next call. */
kith_kad_file *kith_kad_file_open(uv_loop_t *loop, const char *path, bool *damaged, const char **why);
/* From here on the file hears of the changes of the store that is made with cfg. */
void kith_kad_file_watch(kith_kad_file *f, kith_kad_store_config *cfg);
/* Puts what is there into the store, before anything else is put and before the loop runs. What has expired or does not fit goes from the file. Returns how many were loaded. */
size_t kith_kad_file_load(kith_kad_file *f, kith_kad_store *s, uint64_t unix);
/* Notes those servers of the table that answered last, four of each bucket. */
void kith_kad_file_remember(kith_kad_file *f, const kith_kad_table *t, kith_time now, uint64_t unix);
/* Tells up to max that were noted, the last that answered first, with their packed addresses. Right after opening, before load. */
void kith_kad_file_peers(kith_kad_file *f, size_t max,
                         void (*fn)(void *ctx, const kith_peer_id *id, kith_bytes addrs), void *ctx);
/* Notes that a key is provided by this node, or (on false) no more; and tells those that are, right after
 * opening, before load. */
void kith_kad_file_provide(kith_kad_file *f, kith_bytes key, bool on);
void kith_kad_file_provided(kith_kad_file *f, void (*fn)(void *ctx, kith_bytes key), void *ctx);
/* Writes what is queued, waits for that, and closes. The store may be freed before or after, but must not change any more. NULL is fine. */
void kith_kad_file_close(kith_kad_file *f);

#endif
