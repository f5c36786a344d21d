/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith get --swarm: the side that gives to others. */
#ifndef KITH_CMD_GET_SWARM_H
#define KITH_CMD_GET_SWARM_H

#include "cmd/session.h"
#include "host/share_fetch.h"
#include "host/share_serve.h"

typedef struct get_swarm get_swarm;

/* Listens, and serves what a fetch will have. NULL: it has complained, and *code is the exit code. */
get_swarm *get_swarm_new(session *s, int *code);
kith_share_serve *get_swarm_serve(const get_swarm *w);
/* Everything is here: goes on for so long (KITH_NEVER: for ever), then calls over. */
void get_swarm_stay(get_swarm *w, kith_time seed, void (*over)(void *ctx), void *ctx);
bool get_swarm_stays(const get_swarm *w);
/* No more: those who are helped are told. While the loop runs; NULL is fine. */
void get_swarm_stop(get_swarm *w);
/* After the loop. NULL is fine. */
void get_swarm_free(get_swarm *w);

/* Bytes given so far, and how many are being helped now; zeros when w is NULL. */
uint64_t get_swarm_given(const get_swarm *w, size_t *receivers);
/* Who gave what to a fetch: [{peer, bytes, member}]. */
json_t *get_swarm_from(const kith_share_fetch *f);
/* Bytes from other receivers, and of how many. */
uint64_t get_swarm_got(const kith_share_fetch *f, size_t *members);

#endif
