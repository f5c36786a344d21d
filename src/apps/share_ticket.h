/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A ticket: one line of text that names who shares something, where that peer may be reached, and what admits to it.
 *
 *     kith1 base64url( protobuf ‖ CRC-32C of the protobuf, big-endian )
 *
 * What admits is a capability: which share, how often, until when, and which part of it, signed with the sharer's Ed25519 key. Whoever has
 * it may fetch: it is as secret as the nonce in it.
 *
 * The checksum finds every single wrong character, every swap of neighbours and every damage of up to five characters in a row, and
 * other damage with a chance of 1 - 2^-32. It keeps mistakes out, not attackers: a ticket is as trustworthy as the way it came.
 * docs/protocols/ticket.md */
#ifndef KITH_APPS_SHARE_TICKET_H
#define KITH_APPS_SHARE_TICKET_H

#include "crypto/blake3.h"
#include "crypto/sign.h"
#include "wire/multiaddr.h"
#include "wire/pq_id.h"

#define KITH_TICKET_PREFIX "kith1"
#define KITH_TICKET_ADDRS_MAX 8
#define KITH_TICKET_BYTES_MAX 1024 /* protobuf and checksum of a ticket that we read */
#define KITH_TICKET_BYTES_GOAL \
    288 /* addresses are left out of a ticket that we write when it would be longer: 389 characters */
#define KITH_TICKET_TEXT_MAX (sizeof KITH_TICKET_PREFIX - 1 + (KITH_TICKET_BYTES_MAX * 4 + 2) / 3)

#define KITH_CAPABILITY_MAX 512 /* bytes, signature included */
#define KITH_CAPABILITY_TAG_LEN 16
#define KITH_CAPABILITY_NONCE_LEN 16
#define KITH_CAPABILITY_ONLY_MAX 8 /* patterns */
#define KITH_PASS_LASTS_S 600u     /* from the signing of a pass to its not_after, by the sharer's clock */
#define KITH_PASS_SLACK_S 60u      /* that one may seem to have been signed in the future */

/* What its holder may do. */
typedef struct kith_capability {
    uint8_t tag[KITH_CAPABILITY_TAG_LEN];     /* names the share among those of the sharer */
    uint8_t nonce[KITH_CAPABILITY_NONCE_LEN]; /* random: what nobody else can know */
    uint64_t not_after;                       /* seconds since 1970; 0: it does not end by itself */
    uint64_t times; /* how often the share may be fetched with it; 0: any number of times */
    bool has_id;
    uint8_t id[KITH_BLAKE3_LEN]; /* the share's, when it was known: then it may be fetched from others too */
    size_t only_count;
    kith_bytes only[KITH_CAPABILITY_ONLY_MAX]; /* patterns of what it is for; none: everything. Views */
    /* len > 0: a pass. It admits this peer alone, and not at the sharer but at those who fetch the same and give what they have: share.md, 4 */
    kith_peer_id holder;
} kith_capability;

/* Writes a signed capability. KITH_ESPACE: it is longer than KITH_CAPABILITY_MAX, or than w. */
KITH_CHECK kith_err kith_capability_put(const kith_capability *c, const kith_signer *signer, kith_wr *w);
/* Reads one; its views are into `in`. Unknown fields are skipped. KITH_EFORMAT. */
KITH_CHECK kith_err kith_capability_parse(kith_bytes in, kith_capability *out);
/* KITH_ECRYPTO: it is not signed with the key. KITH_EFORMAT. */
KITH_CHECK kith_err kith_capability_verify(kith_bytes in, const uint8_t key[KITH_ED25519_PUB_LEN]);

/* Whether a pass admits: it is signed with the sharer's key, for this share and this peer, and has not ended. now_s: by the sharer's clock. */
bool kith_pass_admits(kith_bytes in, const uint8_t key[KITH_ED25519_PUB_LEN],
                      const uint8_t tag[KITH_CAPABILITY_TAG_LEN], const kith_peer_id *peer, uint64_t now_s);

typedef struct kith_ticket {
    kith_peer_id peer;
    size_t capability_len;
    uint8_t capability[KITH_CAPABILITY_MAX]; /* as the sharer signed it; it parses */
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
