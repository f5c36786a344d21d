/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* JSON values that cannot fail on what peers say, and the facts that several outputs have in common. */
#ifndef KITH_HOST_JSON_H
#define KITH_HOST_JSON_H

#include <jansson.h>

#include "host/identity.h"
#include "node/node.h"

/* A string; whatever is not UTF-8 in it becomes '?'. NULL only without memory. */
json_t *kith_json_bytes(kith_bytes text);
json_t *kith_json_text(const char *text);
json_t *kith_json_peer(const kith_peer_id *id);
json_t *kith_json_addr(const kith_maddr *a);

/* off, on, simulated, failed; static. */
const char *kith_qkd_word(kith_qkd_state s);

/* peer addr direction secure_channel pq muxer early_muxer rekeys (how often the keys were refreshed) agent qkd, and qkd_why where there
 * is a reason */
json_t *kith_json_conn(const kith_conn *c);

/* peer cid key_type pq_id pq_algorithm pq_category pq_sequence successors encrypted; without the pq ones for an identity of version 1 */
json_t *kith_json_identity(const kith_identity_facts *f);

#endif
