/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The key of a private network as the text that go-libp2p and kubo read: swarm.key.
 *
 *     /key/swarm/psk/1.0.0/
 *     /base16/                      or /base64/, or /bin/ and the bytes themselves
 *     0123...ef
 *
 * Spec: libp2p pnet, "Private Networks based on PSK, V1". */
#ifndef KITH_WIRE_SWARM_KEY_H
#define KITH_WIRE_SWARM_KEY_H

#include "base/bytes.h"
#include "base/err.h"

#define KITH_SWARM_KEY_LEN 32
#define KITH_SWARM_KEY_FILE_MAX 1024 /* bytes of a file that is looked at */
#define KITH_SWARM_KEY_TEXT_MAX 128  /* what kith_swarm_key_put writes is shorter */
#define KITH_SWARM_KEY_PRINT_LEN 16

/* Lines end with \n or \r\n; behind the key there may be white space. KITH_EFORMAT: *why (static) says what is wrong. */
KITH_CHECK kith_err kith_swarm_key_parse(kith_bytes in, uint8_t key[KITH_SWARM_KEY_LEN], const char **why);
/* As base16. */
void kith_swarm_key_put(const uint8_t key[KITH_SWARM_KEY_LEN], kith_wr *w);

/* Names a key without giving it away, the same as kubo prints: SHAKE128 of Salsa20's first block under it. KITH_ENOMEM. */
KITH_CHECK kith_err kith_swarm_key_print(const uint8_t key[KITH_SWARM_KEY_LEN],
                                         uint8_t out[KITH_SWARM_KEY_PRINT_LEN]);

#endif
