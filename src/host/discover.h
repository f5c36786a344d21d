/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The method discover of host/service.h: whom there is to connect to, on the local network, in the peer book, at rendezvous points and in the DHT, told as they
 * are found, and how far away they are when asked. docs/protocols/control.md */
#ifndef KITH_HOST_DISCOVER_H
#define KITH_HOST_DISCOVER_H

#include "host/book.h"
#include "host/dht.h"
#include "host/lan.h"
#include "host/names.h"
#include "host/rendezvous.h"
#include "host/rpc.h"

#define KITH_DISCOVER_PINGS_MAX 16 /* under way at once, for one request */

typedef struct kith_discoveries kith_discoveries;

/* lan, dht, rendezvous, book, trust and names may be NULL. NULL: no memory. */
kith_discoveries *kith_discoveries_new(kith_host *h, kith_lan *lan, kith_dht *dht,
                                       kith_rendezvous *rendezvous, kith_book *book, const kith_trust *trust,
                                       const kith_names *names);
void kith_discoveries_run(kith_discoveries *d, kith_rpc_call *call, const json_t *params);
/* Ends what is under way, while the loop still runs. NULL is fine. */
void kith_discoveries_close(kith_discoveries *d);
/* After close, and after the loop has ended. NULL is fine. */
void kith_discoveries_free(kith_discoveries *d);

/* The event peer_found: event peer name trust self_name source interface addrs (with /p2p); and that for a peer on the local network. */
json_t *kith_json_found_by(const kith_trust *trust, const kith_names *names, const kith_peer_id *peer,
                           const char *source, const char *interface, const kith_maddr *addrs, size_t count);
json_t *kith_json_found(const kith_lan *lan, const kith_trust *trust, const kith_names *names,
                        const kith_peer_id *peer, const char *interface);

#endif
