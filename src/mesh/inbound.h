/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whether others can reach us, as far as connections show it that they made by themselves: one from a public address proves that there is a
 * way for its network, and from KITH_INBOUND_GROUPS networks within an hour that there mostly is. That none came proves nothing. */
#ifndef KITH_MESH_INBOUND_H
#define KITH_MESH_INBOUND_H

#include "base/env.h"

#define KITH_INBOUND_GROUPS 3 /* as many as go-libp2p wants of dial-backs (autonat, "maxConfidence") */
#define KITH_INBOUND_FOR KITH_SEC(3600)

typedef struct kith_inbound {
    uint64_t group[KITH_INBOUND_GROUPS]; /* 0: none yet */
    kith_time at[KITH_INBOUND_GROUPS];
} kith_inbound;

/* An inbound connection; group: kith_kad_group of its address, 0 counts for nothing. */
void kith_inbound_note(kith_inbound *in, kith_time now, uint64_t group);
/* Networks of the last hour. */
unsigned kith_inbound_count(const kith_inbound *in, kith_time now);

#endif
