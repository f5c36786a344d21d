/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From what a person typed for a peer to an open connection: parse, ask the peer book, the local network and the DHT, dial. */
#ifndef KITH_HOST_REACH_H
#define KITH_HOST_REACH_H

#include "host/book.h"
#include "host/dht.h"
#include "host/lan.h"
#include "host/trust_store.h"

#define KITH_WHY_MAX 1024

/* A multiaddr with or without /p2p (addr.len > 0), or a peer id or a known peer's name alone (addr.len 0). names may
 * be NULL. KITH_EFORMAT: why says what is wrong. */
KITH_CHECK kith_err kith_target_parse(const char *text, const kith_trust *names, kith_peer_id *peer,
                                      kith_maddr *addr, char why[KITH_WHY_MAX]);

/* conn: OPEN; or NULL, and err and a sentence that names the target. */
typedef void (*kith_reached_fn)(void *ctx, kith_host *h, kith_conn *conn, kith_err err, const char *sentence);

#define KITH_LOOK_MS 2500 /* that the local network has to answer */

/* Where addresses of bare peer ids come from, and names; each may be NULL. */
typedef struct kith_reach_by {
    kith_book *book;
    kith_lan *lan; /* asked when the book knows no address, or none that works */
    kith_dht *dht; /* asked after that */
    const kith_trust *names;
} kith_reach_by;

/* Reaches a target; an open connection to the peer, or to the address, is used again. fn is called exactly once and
 * never from inside this call; also while the host stops. KITH_ENOMEM: it will not be. */
KITH_CHECK kith_err kith_reach(kith_host *h, const kith_reach_by *by, const char *target, kith_reached_fn fn,
                               void *ctx);

#endif
