/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inviting and joining: the methods invite and join of host/service.h. docs/protocols/invite.md
 *
 * An invitation is open as long as its call is: it ends with the first guest, at its time, or when the caller cancels. Caps:
 * KITH_INVITES_MAX open ones, KITH_INVITE_GUESTS_MAX guests at the door. A wrong proof ends the guest's connection. */
#ifndef KITH_HOST_INVITES_H
#define KITH_HOST_INVITES_H

#include "host/book.h"
#include "host/rpc.h"
#include "host/trust_store.h"

#define KITH_INVITES_MAX 16
#define KITH_INVITE_GUESTS_MAX 32

typedef struct kith_invites kith_invites;

/* own: this node's post-quantum key, or none. book may be NULL. NULL: no memory. */
kith_invites *kith_invites_new(kith_host *h, kith_trust *t, kith_book *book, const kith_pq_id *own);
/* Ends what is open; while the loop still runs. NULL is fine. */
void kith_invites_close(kith_invites *v);
void kith_invites_free(kith_invites *v); /* after the loop */

void kith_invites_run_invite(kith_invites *v, kith_rpc_call *call, const json_t *params);
void kith_invites_run_join(kith_invites *v, kith_rpc_call *call, const json_t *params);

#endif
