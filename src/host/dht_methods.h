/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The methods dht.* of host/service.h: where peers are, who provides what, and values, asked of the DHT. docs/protocols/control.md */
#ifndef KITH_HOST_DHT_METHODS_H
#define KITH_HOST_DHT_METHODS_H

#include "host/book.h"
#include "host/dht.h"
#include "host/lan.h"
#include "host/rpc.h"

typedef struct kith_dht_methods kith_dht_methods;

/* lan, book and trust may be NULL; so may dht: then it is off, which all methods but find_peer answer. NULL: no memory. */
kith_dht_methods *kith_dht_methods_new(kith_host *h, kith_dht *dht, kith_lan *lan, kith_book *book,
                                       const kith_trust *trust);
/* Ends what is under way, while the loop still runs. NULL is fine. */
void kith_dht_methods_close(kith_dht_methods *m);
/* After close, and after the loop has ended. NULL is fine. */
void kith_dht_methods_free(kith_dht_methods *m);

void kith_dht_run_status(kith_dht_methods *m, kith_rpc_call *call, const json_t *params);
void kith_dht_run_find_peer(kith_dht_methods *m, kith_rpc_call *call, const json_t *params);
void kith_dht_run_provide(kith_dht_methods *m, kith_rpc_call *call, const json_t *params);
void kith_dht_run_unprovide(kith_dht_methods *m, kith_rpc_call *call, const json_t *params);
void kith_dht_run_providers(kith_dht_methods *m, kith_rpc_call *call, const json_t *params);
void kith_dht_run_put(kith_dht_methods *m, kith_rpc_call *call, const json_t *params);
void kith_dht_run_get(kith_dht_methods *m, kith_rpc_call *call, const json_t *params);

/* The provider key of what a user typed: a CID's multihash, or of any other text its SHA-256 as one, which is what go-libp2p's routing
 * discovery makes of a name. False: too long. */
bool kith_dht_key(const char *text, uint8_t buf[KITH_KAD_PROVIDER_KEY_MAX], kith_bytes *out);

#endif
