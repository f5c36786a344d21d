/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A ticket: one line of text that names a share, who has it, where that peer may be reached, and a secret that admits to it.
 *
 *     kith1 base64url( protobuf ‖ CRC-32C of the protobuf, big-endian )
 *
 * The checksum finds every single wrong character, every swap of neighbours and every damage of up to five characters in a row, and
 * other damage with a chance of 1 - 2^-32. It keeps mistakes out, not attackers: a ticket is as trustworthy as the way it came.
 * docs/protocols/ticket.md */
#ifndef KITH_APPS_SHARE_TICKET_H
#define KITH_APPS_SHARE_TICKET_H

#include "crypto/blake3.h"
#include "wire/multiaddr.h"
#include "wire/pq_id.h"

#define KITH_TICKET_PREFIX "kith1"
#define KITH_TICKET_ADDRS_MAX 8
#define KITH_TICKET_SECRET_LEN 16 /* bytes that our sharer draws: 128 bits */
#define KITH_TICKET_SECRET_MAX 32
#define KITH_TICKET_BYTES_MAX 1024 /* protobuf and checksum of a ticket that we read */
#define KITH_TICKET_BYTES_GOAL \
    224 /* addresses are left out of a ticket that we write when it would be longer: 304 characters */
#define KITH_TICKET_TEXT_MAX (sizeof KITH_TICKET_PREFIX - 1 + (KITH_TICKET_BYTES_MAX * 4 + 2) / 3)

typedef struct kith_ticket {
    kith_peer_id peer;
    uint8_t root[KITH_BLAKE3_LEN]; /* of the manifest: the share's id */
    size_t secret_len;             /* KITH_TICKET_SECRET_LEN..KITH_TICKET_SECRET_MAX */
    uint8_t secret[KITH_TICKET_SECRET_MAX];
    size_t addr_count;
    kith_maddr addrs[KITH_TICKET_ADDRS_MAX]; /* without /p2p; the best first */
    kith_pq_id pq; /* of the peer's post-quantum key, to which it is to be held; len 0: it names none */
} kith_ticket;

/* Writes the text without NUL. Addresses that do not fit KITH_TICKET_BYTES_GOAL are left out, but never the first one. KITH_ESPACE. */
KITH_CHECK kith_err kith_ticket_text(const kith_ticket *t, kith_wr *w);

/* Reads a ticket; white space in and around it is ignored. Unknown fields are skipped. Addresses that we cannot parse, and those beyond
 * the cap, are left out. KITH_EFORMAT with *why set to a static phrase for people. */
KITH_CHECK kith_err kith_ticket_parse(kith_bytes text, kith_ticket *out, const char **why);

#endif
