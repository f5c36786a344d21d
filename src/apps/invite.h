/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Invitations: a link that names a node and a secret, and the proofs by which two nodes show each other that they have it.
 * docs/protocols/invite.md */
#ifndef KITH_APPS_INVITE_H
#define KITH_APPS_INVITE_H

#include "crypto/hash.h"
#include "node/verify.h"
#include "wire/multiaddr.h"

#define KITH_INVITE_ID "/kith/invite/1"
#define KITH_INVITE_PREFIX "kith://invite/"
#define KITH_INVITE_SECRET_LEN 16
#define KITH_INVITE_PROOF_LEN KITH_SHA256_LEN
#define KITH_INVITE_ADDRS_MAX 8
#define KITH_INVITE_BYTES_MAX 1024 /* of a link that we read, decoded */
#define KITH_INVITE_TEXT_MAX (sizeof KITH_INVITE_PREFIX - 1 + (KITH_INVITE_BYTES_MAX * 4 + 2) / 3)

typedef struct kith_invite {
    kith_peer_id peer; /* who invites */
    kith_pq_id pq;     /* its post-quantum key; len 0: it proves none */
    uint8_t secret[KITH_INVITE_SECRET_LEN];
    uint64_t expires; /* unix seconds */
    size_t addr_count;
    kith_maddr addrs[KITH_INVITE_ADDRS_MAX]; /* without /p2p */
} kith_invite;

/* Writes the link without NUL. KITH_ESPACE. */
KITH_CHECK kith_err kith_invite_text(const kith_invite *v, kith_wr *w);
/* Reads a link; white space in and around it is ignored, unknown fields are skipped. KITH_EFORMAT with *why set to a static phrase. */
KITH_CHECK kith_err kith_invite_parse(kith_bytes text, kith_invite *out, const char **why);

typedef enum kith_invite_side { KITH_INVITE_GUEST, KITH_INVITE_HOST } kith_invite_side;
/* What a side sends to prove that it has the secret, on this very connection, as these very two. */
void kith_invite_proof(const uint8_t secret[KITH_INVITE_SECRET_LEN], kith_invite_side side,
                       const uint8_t channel[KITH_CHANNEL_LEN], const kith_verify_end *guest,
                       const kith_verify_end *host, uint8_t out[KITH_INVITE_PROOF_LEN]);

#endif
