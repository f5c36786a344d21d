/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* --sha256 and --blake3 of kith share and kith get: the sum of each file, in the lines of sha256sum and b3sum, or as events. */
#ifndef KITH_CMD_SUMS_H
#define KITH_CMD_SUMS_H

#include "cmd/session.h"
#include "host/share_fetch.h"
#include "host/share_src.h"

typedef enum sums_kind { SUMS_NONE, SUMS_SHA256, SUMS_BLAKE3 } sums_kind;

/* EXIT_OK, or it has complained. */
int sums_read_options(const cmd_args *args, sums_kind *out);

typedef struct sums sums;

/* done: called once, on the loop's thread, when all are said or stop was called. */

/* Of what is shared, by the names that receivers see; when all is hashed. src outlives them. NULL: no memory. */
sums *sums_of_share(const session *s, kith_share_src *src, sums_kind kind, void (*done)(void *ctx),
                    void *ctx);

/* Of what is fetched into dest, when it is in place: made at LIST and told of what is lost, since the fetch forgets at its end. Then
 * started, which is false when there is no memory; one that is not started is freed. dest: borrowed. NULL: no memory. */
sums *sums_of_fetch(const session *s, const kith_share_fetch *f, const char *dest, sums_kind kind);
void sums_lost(sums *u, size_t entry);
bool sums_start(sums *u, void (*done)(void *ctx), void *ctx);
/* One that was not started; NULL is fine. */
void sums_free(sums *u);

void sums_stop(sums *u);

#endif
