/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The methods trust.* of host/service.h, and what they and other outputs say of a known peer. docs/protocols/control.md */
#ifndef KITH_HOST_TRUST_METHODS_H
#define KITH_HOST_TRUST_METHODS_H

#include "host/host.h"
#include "host/rpc.h"
#include "host/trust_store.h"

/* Known peers in one answer of trust.list and trust.export: at most 512 bytes each, far below what a client may leave unread. */
#define KITH_TRUST_PIECE 4096

/* What the methods work on. */
typedef struct kith_trust_desk {
    kith_trust *trust;
    kith_host *host; /* NULL: no node runs */
    kith_pq_id own;  /* of this node's post-quantum key */
} kith_trust_desk;

void kith_trust_run_list(const kith_trust_desk *d, kith_rpc_call *call, const json_t *params);
void kith_trust_run_show(const kith_trust_desk *d, kith_rpc_call *call, const json_t *params);
void kith_trust_run_change(const kith_trust_desk *d, kith_rpc_call *call, const json_t *params);
void kith_trust_run_export(const kith_trust_desk *d, kith_rpc_call *call, const json_t *params);
void kith_trust_run_import(const kith_trust_desk *d, kith_rpc_call *call, const json_t *params);

/* The number that both ends of a connection to this peer show; with a number that the user got from the other end, compares them and marks
 * the peer verified. */
void kith_trust_run_verify(const kith_trust_desk *d, kith_rpc_call *call, const json_t *params);

/* name trust key key_type key_trust policy level blocked kept sequence first last peer */
json_t *kith_json_trust(const kith_trust_row *r);
/* Adds name ("" for none) and trust ("" when not known) of a peer; t may be NULL. */
void kith_json_add_trust(json_t *o, const kith_trust *t, const kith_peer_id *peer);

/* A peer id, or the petname of a known peer. */
bool kith_trust_resolve(const kith_trust *t, const char *text, kith_peer_id *out);

#endif
