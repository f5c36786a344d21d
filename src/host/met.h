/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Peers that a node was told of for a time, and connections to the first few of them, which it keeps: they are protected. One that breaks is
 * tried again after 10 s, doubling to 15 min; one that was closed on purpose is not, nor is who is blocked. It dials 30 times a minute at most,
 * whatever it is told. */
#ifndef KITH_HOST_MET_H
#define KITH_HOST_MET_H

#include "host/host.h"
#include "host/trust_store.h"
#include "wire/addrs.h"

#define KITH_MET_MAX 512 /* peers; more are passed over until some have gone */

typedef struct kith_met kith_met;

/* connect: so many of them. The host outlives what is called before kith_met_free; trust may be NULL. NULL: no memory. */
kith_met *kith_met_new(kith_host *h, const kith_trust *trust, uint32_t connect);
/* Until when it counts. True: it was not known. */
bool kith_met_add(kith_met *m, const kith_peer_id *peer, const kith_addrs *addrs, kith_time until);
/* To be called every few seconds: forgets whose time is over and who is not connected, and dials who is due. */
void kith_met_tick(kith_met *m);
size_t kith_met_count(const kith_met *m);     /* NULL is fine */
size_t kith_met_connected(const kith_met *m); /* that are kept; NULL is fine */
/* Before the host is freed. NULL is fine, and twice. */
void kith_met_close(kith_met *m);
void kith_met_free(kith_met *m); /* after close; NULL is fine */

#endif
