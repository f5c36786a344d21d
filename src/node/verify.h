/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The number that two people compare to know that nobody sits between their nodes. docs/protocols/trust.md, "Comparing numbers" */
#ifndef KITH_NODE_VERIFY_H
#define KITH_NODE_VERIFY_H

#include "wire/peer_id.h"
#include "wire/pq_id.h"

#define KITH_VERIFY_DIGITS 20   /* 66.4 bits */
#define KITH_VERIFY_TEXT_LEN 23 /* four groups of five and the blanks between them, without NUL */
#define KITH_CHANNEL_LEN 32

typedef struct kith_verify_end {
    kith_peer_id peer;
    kith_pq_id pq; /* that the connection has proven; len 0: none */
} kith_verify_end;

/* The same on both sides: the order of the ends does not matter. channel: the handshake's hash. NUL-terminated. */
void kith_verify_text(const uint8_t channel[KITH_CHANNEL_LEN], const kith_verify_end *a,
                      const kith_verify_end *b, char out[KITH_VERIFY_TEXT_LEN + 1]);
/* Whether what a person typed is that number; blanks and - do not count. */
bool kith_verify_same(const char *number, kith_bytes typed);

#endif
