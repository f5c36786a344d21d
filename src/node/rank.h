/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which of a peer's addresses to try first. */
#ifndef KITH_NODE_RANK_H
#define KITH_NODE_RANK_H

#include "wire/multiaddr.h"

/* 0 loopback, 1 LAN, 2 IPv6, 3 IPv4, 4 a name (ranked again once resolved), 255 not dialled by TCP. Ranks below 2 cost nobody
 * anything and are tried at once. */
#define KITH_RANK_LAN 1
#define KITH_RANK_NAME 4
#define KITH_RANK_NEVER 255

uint8_t kith_addr_rank(const kith_maddr *a);

#endif
