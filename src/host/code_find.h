/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Looking for whoever has a code: the local networks and the DHT are asked for the keys of this half hour, the one before and the next, so that a clock
 * that is wrong by some minutes does no harm; beside them stand the peers that are connected, and remembered ones are called (host/code_call.h). Who is found is a candidate: the exchange
 * (apps/share_pake.h) shows whether it has the code. Everything happens on the loop's thread. docs/protocols/code.md */
#ifndef KITH_HOST_CODE_FIND_H
#define KITH_HOST_CODE_FIND_H

#include "host/book.h"
#include "host/code_key.h"
#include "host/dht.h"
#include "host/lan.h"

/* Peers that are told. Each may try one of 2^25 secrets on the receiver, so that there must not be many. */
#define KITH_CODE_CANDIDATES_MAX 16
#define KITH_CODE_REMEMBERED_MAX 8 /* of them, as of calls: others may still be found */
#define KITH_CODE_ADDRS_MAX 16
#define KITH_CODE_STATE_MAX 160

typedef enum kith_code_source {
    KITH_CODE_LAN,
    KITH_CODE_DHT,
    KITH_CODE_CONNECTED,  /* speaks the protocol, and may be it */
    KITH_CODE_REMEMBERED, /* the same, of those that were called */
    KITH_CODE_SOURCES,
} kith_code_source;

const char *kith_code_source_text(kith_code_source s); /* for people: "on this network"; static */
const char *kith_code_source_name(
    kith_code_source s); /* for --json: "mdns", "dht", "connected", "remembered" */

typedef struct kith_code_candidate {
    kith_peer_id peer;
    kith_code_source source;
    size_t
        addr_count; /* 0: connected, or the DHT knows none; where it is can still be asked (host/reach.h) */
    kith_maddr addrs[KITH_CODE_ADDRS_MAX]; /* without /p2p */
} kith_code_candidate;

typedef struct kith_code_find kith_code_find;

typedef struct kith_code_find_config {
    kith_host *host;
    kith_lan *lan; /* these may be NULL */
    kith_dht *dht;
    kith_book *book;         /* whose contacts are called */
    const kith_trust *trust; /* who is blocked is not */
    uint8_t place[KITH_CODE_PLACE_LEN];
    kith_bytes protocols[2]; /* of which connected peers must speak one; borrowed as long */
    uint64_t (*wall)(void);  /* seconds since 1970; NULL: the system's clock */
    /* Once for each peer and source; never from inside kith_code_find_new. May end the search. */
    void (*found)(void *ctx, const kith_code_candidate *c);
    void *ctx;
} kith_code_find_config;

/* Looks until it is ended, the DHT again and again: the sharer may come later. NULL: no memory. */
kith_code_find *kith_code_find_new(const kith_code_find_config *cfg);
/* While the loop still runs. Frees it; NULL is fine. */
void kith_code_find_end(kith_code_find *f);

/* Whether nobody will ever be found, unless somebody calls us: no way is on, nobody is remembered or connected. */
bool kith_code_find_is_nowhere(const kith_code_find *f);
/* What it does now, for people: "looking on this network; asking the DHT (12 peers)". NUL-terminated. */
void kith_code_find_state(const kith_code_find *f, char out[KITH_CODE_STATE_MAX + 1]);

#endif
