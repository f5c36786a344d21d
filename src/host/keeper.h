/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The connection manager (mesh/connmgr.h) of a node that stays, joined to what this machine knows: addresses from the peer book and the
 * local network, whom the user trusts, and when this machine's own addresses change. */
#ifndef KITH_HOST_KEEPER_H
#define KITH_HOST_KEEPER_H

#include <jansson.h>

#include "host/book.h"
#include "host/lan.h"
#include "host/standing.h"
#include "host/trust_store.h"
#include "mesh/connmgr.h"

typedef struct kith_keeper kith_keeper;

typedef struct kith_keeper_config {
    kith_host *host; /* outlives it */
    kith_book *book; /* may be NULL, as the next two */
    kith_lan *lan;
    const kith_trust *trust;       /* peers that the user has pinned, verified or named are never trimmed */
    const kith_standing *standing; /* who did worse goes first; may be NULL */
    uint32_t low, high;            /* connections; high 0: nothing is trimmed */
    kith_time grace;
} kith_keeper_config;

/* NULL: no memory. */
kith_keeper *kith_keeper_new(const kith_keeper_config *cfg);
/* Stays connected to a peer, until it is let go or the node ends; addr may be NULL. KITH_ELIMIT, KITH_ENOMEM. */
KITH_CHECK kith_err kith_keeper_keep(kith_keeper *k, const kith_peer_id *peer, const kith_maddr *addr);
void kith_keeper_let_go(kith_keeper *k, const kith_peer_id *peer);
bool kith_keeper_keeps(const kith_keeper *k, const kith_peer_id *peer);
/* open low high kept_connected trimmed silent, and kept: peer connected failures retry_seconds (null while it is connected or dialled) */
json_t *kith_keeper_json(const kith_keeper *k);
/* Lets go of everybody, while the loop still runs. NULL is fine, and so is twice. */
void kith_keeper_close(kith_keeper *k);
/* After the loop has ended and the book is closed. NULL is fine. */
void kith_keeper_free(kith_keeper *k);

#endif
