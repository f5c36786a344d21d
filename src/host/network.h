/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The private network that a node is in: its key in a file. docs/guide/private-networks.md */
#ifndef KITH_HOST_NETWORK_H
#define KITH_HOST_NETWORK_H

#include "wire/swarm_key.h"

#define KITH_NETWORK_PRINT_MAX (2 * KITH_SWARM_KEY_PRINT_LEN)

typedef struct kith_network {
    uint8_t key[KITH_SWARM_KEY_LEN];
    char print[KITH_NETWORK_PRINT_MAX + 1]; /* the key's fingerprint, in hex */
} kith_network;

/* Reads a key file, which nobody else may read. kith_wipe *out when it is not needed any more. On error *why (valid until the next
 * call) says what is wrong: KITH_EIO, KITH_EPOLICY (others can read it), KITH_EFORMAT, KITH_ENOMEM. */
KITH_CHECK kith_err kith_network_load(const char *path, kith_network *out, const char **why);
/* Makes a key and its file, mode 0600. KITH_EEXISTS: there is something already; KITH_EIO, KITH_ENOMEM. */
KITH_CHECK kith_err kith_network_create(const char *path, kith_network *out, const char **why);
/* A fresh key. KITH_ENOMEM. */
KITH_CHECK kith_err kith_network_new(kith_network *out);
/* The fingerprint of a key. KITH_ENOMEM. */
KITH_CHECK kith_err kith_network_print(const uint8_t key[KITH_SWARM_KEY_LEN],
                                       char out[KITH_NETWORK_PRINT_MAX + 1]);

/* LIBP2P_FORCE_PNET=1, as go-libp2p reads it: no node without a key. */
bool kith_network_forced(void);

#endif
