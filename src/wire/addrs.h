/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Several addresses of one peer in little memory: multiaddrs one behind the other, each after its length (kith_put_lp). A kith_maddr takes
 * half a KiB, and a table of peers has thousands. */
#ifndef KITH_WIRE_ADDRS_H
#define KITH_WIRE_ADDRS_H

#include "wire/multiaddr.h"

#define KITH_ADDRS_MAX 8       /* addresses kept of one peer */
#define KITH_ADDRS_LEN_MAX 512 /* bytes of them, packed */

/* By value, where a list is on its way. */
typedef struct kith_addrs {
    uint16_t len;
    uint8_t b[KITH_ADDRS_LEN_MAX];
} kith_addrs;

static inline kith_bytes kith_addrs_bytes(const kith_addrs *a)
{
    return kith_bytes_of(a->b, a->len);
}

/* Appends an address, unless it is there already. False: it is not in the list, which is full. */
bool kith_addrs_add(kith_addrs *a, const kith_maddr *addr);
/* All that fit of many; a trailing /p2p is left away. */
void kith_addrs_pack(kith_addrs *a, const kith_maddr *addrs, size_t count);
/* Takes the next one off the front of a packed list; false: none is left. The list is one that the functions above made. */
bool kith_addrs_next(kith_bytes *packed, kith_maddr *out);
/* The first max of them; returns how many. */
size_t kith_addrs_unpack(kith_bytes packed, kith_maddr *out, size_t max);
/* Appends those of packed addresses that fit (kith_maddr_scopes_fitting). */
void kith_addrs_fitting(kith_bytes packed, const kith_maddr *remote, kith_addrs *out);

#endif
