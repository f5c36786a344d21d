/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The peers on this machine's networks: mesh/mdns.h on sockets of its own, two for each interface, which follow the
 * interfaces as they come and go; and, for a node that stays, connections to the first few of them.
 * docs/protocols/mdns.md
 *
 * It opens nothing before somebody watches, or the node stays and listens where others can reach it. Everything
 * happens on the loop's thread. */
#ifndef KITH_HOST_LAN_H
#define KITH_HOST_LAN_H

#include "base/list.h"
#include "host/host.h"
#include "host/trust_store.h"
#include "mesh/mdns_keys.h"

#define KITH_LAN_ADDRS_MAX 16 /* of a peer, on all links */

typedef struct kith_lan kith_lan;

typedef struct kith_lan_config {
    kith_host *host;                          /* outlives it */
    const kith_trust *trust;                  /* who is blocked is not dialled; may be NULL */
    uint32_t connect;                         /* so many peers are connected to, once the node stays */
    void (*log)(void *ctx, const char *line); /* warnings for people; may be NULL */
    void *log_ctx;
} kith_lan_config;

/* Nothing is opened yet. NULL: no memory. */
kith_lan *kith_lan_new(const kith_lan_config *cfg);
/* From now on this node tells that it is there, wherever it listens and is not loopback, looks for others, connects
 * to some, and keeps those connections: they are protected. */
void kith_lan_stay(kith_lan *l);
/* Whom not to connect to by our own choice, whatever else it announces; asked again within a minute. ctx is borrowed until kith_lan_free. */
void kith_lan_avoid(kith_lan *l, bool (*avoid)(void *ctx, const kith_peer_id *peer), void *ctx);
/* Says goodbye and closes everything, while the loop still runs; whoever watches is told. NULL is fine, and so is
 * twice. */
void kith_lan_close(kith_lan *l);
/* After the loop has ended, and before the host is freed. NULL is fine. */
void kith_lan_free(kith_lan *l);

/* Somebody who wants to know. Its callbacks may end it, and dial. */
typedef struct kith_lan_watch {
    kith_link link;
    /* A peer that was not there before, on the interface of that name. */
    void (*found)(void *ctx, const kith_peer_id *peer, const char *interface);
    void (*lost)(void *ctx, const kith_peer_id *peer); /* may be NULL */
    void (*closed)(void *ctx); /* nothing will be found any more; it is ended already */
    void *ctx;
    bool looking; /* set by the two below */
} kith_lan_watch;

/* Asks the networks at once, and as long as it lasts. Peers that are known already are not told again: walk them.
 * False: it is closed. */
bool kith_lan_look(kith_lan *l, kith_lan_watch *w);
/* The same for one who wants to know what is found anyway, and asks for nothing. */
bool kith_lan_overhear(kith_lan *l, kith_lan_watch *w);
void kith_lan_look_away(kith_lan *l, kith_lan_watch *w); /* does nothing for one that does not look */

/* A key by which this node is found on its networks, where it tells that it is there as one that stays does, but connects to nobody.
 * False: it is closed, or KITH_MDNS_KEYS_MAX are there. */
bool kith_lan_publish(kith_lan *l, const uint8_t key[KITH_MDNS_KEY_LEN]);
void kith_lan_unpublish(kith_lan *l, const uint8_t key[KITH_MDNS_KEY_LEN]);

#define KITH_LAN_SEEK_KEYS_MAX 3

/* Somebody who looks for whoever has one of some keys. found may come more than once for a peer; it may end it, and dial. */
typedef struct kith_lan_seek {
    kith_link link;
    uint8_t keys[KITH_LAN_SEEK_KEYS_MAX][KITH_MDNS_KEY_LEN];
    size_t count;
    void (*found)(void *ctx, const kith_peer_id *peer);
    void *ctx;
} kith_lan_seek;

/* Asks the networks at once, and as long as it lasts; it is over when it ends, or with kith_lan_close. False: it is closed, or
 * KITH_MDNS_SOUGHT_MAX keys are sought. */
bool kith_lan_seek_begin(kith_lan *l, kith_lan_seek *s);
void kith_lan_seek_end(kith_lan *l, kith_lan_seek *s); /* does nothing for one that does not look */

/* Whoever is there, in the order in which they were found: begin with NULL; valid until the loop runs. *interface
 * (may be NULL): as above. */
const kith_peer_id *kith_lan_next(const kith_lan *l, const kith_peer_id *prev, const char **interface);
/* Where a peer was found, without /p2p; 0: it was not. l may be NULL. */
size_t kith_lan_addrs(const kith_lan *l, const kith_peer_id *peer, kith_maddr *out, size_t max);

#endif
