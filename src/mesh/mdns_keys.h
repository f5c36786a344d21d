/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Keys by which one peer among those on a link can be asked for, as names: subtypes of the service (RFC 6763, 7.1),
 *
 *     _ base32( key ) ._sub._p2p._udp.local     PTR  NAME._p2p._udp.local
 *
 * A set of them; mesh/mdns.h has one of those that it answers to, and one of those that it asks for. */
#ifndef KITH_MESH_MDNS_KEYS_H
#define KITH_MESH_MDNS_KEYS_H

#include "wire/dns.h"

#define KITH_MDNS_KEY_LEN 32
#define KITH_MDNS_KEYS_MAX 32 /* of a set */

typedef struct kith_mdns_keys {
    uint32_t used; /* bit by slot */
    uint8_t key[KITH_MDNS_KEYS_MAX][KITH_MDNS_KEY_LEN];
} kith_mdns_keys;

/* The slot of a key, or KITH_MDNS_KEYS_MAX. */
size_t kith_mdns_keys_find(const kith_mdns_keys *s, const uint8_t key[KITH_MDNS_KEY_LEN]);
/* The slot that it has now; one that is there already keeps its own. KITH_ELIMIT: max, of KITH_MDNS_KEYS_MAX at most, are there. */
KITH_CHECK kith_err kith_mdns_keys_add(kith_mdns_keys *s, size_t max, const uint8_t key[KITH_MDNS_KEY_LEN],
                                       size_t *slot);
/* The key that a name stands for: its slot, or KITH_MDNS_KEYS_MAX. */
size_t kith_mdns_keys_named(const kith_mdns_keys *s, const kith_dns_name *name);
void kith_mdns_keys_name(const kith_mdns_keys *s, size_t slot, kith_dns_name *out);

#endif
