/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Peers that a node was told of for a time, by a network or a rendezvous point, and connections to the first few of them, which it keeps: they are
 * protected. One that breaks is tried again after a while that doubles; one that was closed on purpose is not, nor is who is blocked. It dials 30
 * times a minute at most, whatever it is told. */
#ifndef KITH_HOST_MET_H
#define KITH_HOST_MET_H

#include "host/host.h"
#include "host/trust_store.h"
#include "wire/addrs.h"

#define KITH_MET_MAX 512 /* peers; more are passed over until some have gone */

typedef struct kith_met kith_met;

typedef struct kith_met_config {
    kith_host *host;         /* outlives what is called before kith_met_free */
    const kith_trust *trust; /* may be NULL */
    uint32_t connect;        /* so many of them */
    kith_time retry_min, retry_max;
    /* What kith_met_tick said may no longer hold; may be NULL. */
    void (*changed)(void *ctx);
    void *ctx;
} kith_met_config;

/* NULL: no memory. */
kith_met *kith_met_new(const kith_met_config *cfg);
/* Where it is, and until when it counts; one that was not known is not dialled before `from`. True: it was not known. */
bool kith_met_add(kith_met *m, const kith_peer_id *peer, const kith_addrs *addrs, kith_time from,
                  kith_time until);
/* It counts no more; a connection goes on, but is not kept. */
void kith_met_drop(kith_met *m, const kith_peer_id *peer);
/* From now on so many are connected to. */
void kith_met_want(kith_met *m, uint32_t connect);
/* Whom not to connect to by our own choice; asked again within a minute. ctx is borrowed until kith_met_free. */
void kith_met_avoid(kith_met *m, bool (*avoid)(void *ctx, const kith_peer_id *peer), void *ctx);
/* Forgets whose time is over and who is not connected, and dials who is due. When there is somebody to dial next; KITH_NEVER: nobody is known to
 * be. */
kith_time kith_met_tick(kith_met *m);
size_t kith_met_count(const kith_met *m);     /* NULL is fine */
size_t kith_met_connected(const kith_met *m); /* that are kept; NULL is fine */
/* Before the host is freed. NULL is fine, and twice. */
void kith_met_close(kith_met *m);
void kith_met_free(kith_met *m); /* after close; NULL is fine */

#endif
