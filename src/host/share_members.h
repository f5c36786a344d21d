/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The receivers of one share that help each other, as the one who serves them knows them: what each says of itself is told to the others. A
 * receiver is one of them as long as it is connected. */
#ifndef KITH_HOST_SHARE_MEMBERS_H
#define KITH_HOST_SHARE_MEMBERS_H

#include "apps/share_hints.h"
#include "node/node.h"

#define KITH_MEMBERS_MAX 64         /* of one share; more are served like others, and are not told of */
#define KITH_MEMBERS_BYTES_MAX 3072 /* of a message about them */

typedef struct kith_share_members kith_share_members;

kith_share_members *kith_share_members_new(void);    /* NULL: no memory */
void kith_share_members_free(kith_share_members *m); /* NULL is fine */

/* A receiver, who is connected from `remote`, has said this: what it says of itself counts, as far as it may say it from there. */
void kith_share_members_hear(kith_share_members *m, const kith_peer_id *who, const kith_maddr *remote,
                             kith_bytes peers);
/* Forgets those who are not connected any more. */
void kith_share_members_look(kith_share_members *m, const kith_node *node);
/* Changes whenever they do; 0: there never was one. */
uint64_t kith_share_members_version(const kith_share_members *m);
/* What to tell one of them, who is at `remote`, of the others: KITH_SHARE_PEERS_MAX of them, by chance when there are more, with the addresses
 * that may be told there. Empty: there are none. */
kith_bytes kith_share_members_tell(const kith_share_members *m, const kith_env *env, const kith_peer_id *to,
                                   const kith_maddr *remote, uint8_t out[KITH_MEMBERS_BYTES_MAX]);

#endif
