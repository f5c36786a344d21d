/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The share string: what a ticket says, as programs of other makes write it. Base64, or base64url without padding, of
 *
 *     {"peer_id": "12D3KooW...", "addresses": ["/ip4/192.0.2.1/tcp/9000"], "encryption_key": base64url of 32 bytes, "share_code": "7KQM-2FXW-9TRB"}
 *
 * The key admits: both ends prove it to each other by SPAKE2, as they would a code, so it is never sent. docs/protocols/ticket.md */
#ifndef KITH_HOST_SHARE_STRING_H
#define KITH_HOST_SHARE_STRING_H

#include "apps/share_pake.h"
#include "apps/share_ticket.h"

#define KITH_SHARE_STRING_KEY_LEN 32
#define KITH_SHARE_STRING_CODE_MAX 64 /* characters */
#define KITH_SHARE_STRING_MAX 4096    /* characters of the text */

typedef struct kith_share_string {
    kith_peer_id peer;
    size_t addr_count;
    kith_maddr addrs[KITH_TICKET_ADDRS_MAX];   /* without /p2p */
    uint8_t key[KITH_SHARE_STRING_KEY_LEN];    /* a secret: the caller wipes it */
    char code[KITH_SHARE_STRING_CODE_MAX + 1]; /* which of the peer's shares: A-Z, 0-9 and dashes */
} kith_share_string;

/* Whether a text begins as one, after white space: not whether it is one. */
bool kith_share_string_like(kith_bytes text);
/* White space in and around it is ignored, and so are addresses that we cannot parse and those beyond the cap.
 * KITH_EFORMAT with *why set to a static phrase for people. */
KITH_CHECK kith_err kith_share_string_parse(kith_bytes text, kith_share_string *out, const char **why);
/* Writes base64url, without NUL. KITH_ESPACE: w is too small; KITH_SHARE_STRING_MAX is always enough. KITH_ENOMEM. */
KITH_CHECK kith_err kith_share_string_put(const kith_share_string *s, kith_wr *w);
/* What stands for it in the proof. The caller wipes secret. */
void kith_share_string_proof(const kith_share_string *s, uint8_t tag[KITH_PAKE_TAG_LEN],
                             uint8_t secret[KITH_PAKE_SECRET_LEN]);

#endif
