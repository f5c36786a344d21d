/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A fetch that takes part in a swarm: it calls others who fetch the same, with the pass that the sharer gave it, and gives them what it has,
 * to whoever has such a pass of the same sharer. */
#ifndef KITH_HOST_SHARE_SWARM_H
#define KITH_HOST_SHARE_SWARM_H

#include "apps/share_hints.h"
#include "host/share_fetch_impl.h"
#include "host/share_seed.h"
#include "host/share_serve.h"

typedef struct share_swarm share_swarm;

/* NULL: no memory. */
share_swarm *share_swarm_new(kith_share_fetch *f, kith_share_serve *serve);
void share_swarm_free(share_swarm *s); /* after the loop; NULL is fine */

/* The list is here: nodes that come with content are kept from now on. */
void share_swarm_listed(share_swarm *s);
/* Content may come, or more hashes are known: it gives what it has once all are. */
void share_swarm_ready(share_swarm *s);
/* Blocks were written. */
void share_swarm_stored(share_swarm *s, const kith_list *blocks);
/* A source is joined; is over. bad: it lied, or broke the protocol. */
void share_swarm_joined(share_swarm *s, share_link *l);
void share_swarm_over(share_swarm *s, const share_link *l, bool bad);
void share_swarm_pass(share_swarm *s, const share_link *l, kith_bytes pass);
void share_swarm_peers(share_swarm *s, const share_link *l, kith_bytes peers);
/* Calls one who was told of, now and then. */
void share_swarm_tick(share_swarm *s);
void share_swarm_pause(share_swarm *s, bool on);

#endif
