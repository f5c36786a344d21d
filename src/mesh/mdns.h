/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Peers on the same links, by multicast DNS: libp2p's discovery/mdns over RFC 6762. A machine of datagrams, without
 * any I/O, which knows nothing of connections. docs/protocols/mdns.md
 *
 * A link is a network interface. The host tells which there are and what addresses this node has there, hands in
 * what arrives on them, and sends on them what the machine writes. On each link:
 *
 *     up ─► ASK: a query after 20-120 ms, then after 1, 2, 4 .. 60 s, so long as somebody wants to know (browse)
 *      │
 *      └──► ANSWER, 20-120 ms after a query, ours too, and once a second at most: what a peer needs to dial this node
 *     down ─► what was found there is lost
 *
 * A peer that is looked for by a key instead of by its id answers to the name that the key stands for (mesh/mdns_keys.h), and says it once
 * by itself; whoever asks hears which of the peers it is. Nobody learns a key of ours who does not have it, but for that once.
 *
 * Everything is a claim of whoever sent a packet: that a peer is there, and who, only a handshake proves.
 *
 * Memory: about 1.2 KiB a peer, up to KITH_MDNS_PEERS_MAX. Everything that others can make grow is capped: the
 * peers, those that one address claims, the addresses of each, and the packets of a link that are looked at in a
 * second. */
#ifndef KITH_MESH_MDNS_H
#define KITH_MESH_MDNS_H

#include "base/env.h"
#include "mesh/mdns_keys.h"
#include "wire/multiaddr.h"

#define KITH_MDNS_SERVICE "_p2p._udp.local"
#define KITH_MDNS_PORT 5353
#define KITH_MDNS_LINKS_MAX 16
#define KITH_MDNS_IPS_MAX 16    /* of one link; more are left out */
#define KITH_MDNS_PEERS_MAX 256 /* who comes later is not taken; a place is free again when a peer is lost */
#define KITH_MDNS_PEERS_PER_SOURCE 16 /* that packets from one address may claim */
#define KITH_MDNS_ADDRS_MAX 8  /* of one peer on one link; a new one replaces the one heard longest ago */
#define KITH_MDNS_ADDR_LEN 128 /* bytes of an address without its /p2p; longer ones are left out */
#define KITH_MDNS_PACKETS_PER_SECOND 200 /* of one link; what is beyond is dropped unread */
#define KITH_MDNS_PACKET_MAX 1400        /* bytes that we send at once: RFC 6762, 17 */
#define KITH_MDNS_TTL 120 /* seconds that what we say holds: RFC 6762, 10; js-libp2p has the same */
#define KITH_MDNS_KEPT \
    KITH_SEC(150) /* the longest that what we hear holds, whatever its TTL: two rounds of queries */
#define KITH_MDNS_SOUGHT_MAX 16 /* keys, all of which a query has room for */
#define KITH_MDNS_ZONE_MAX 31   /* characters of an interface's name */

typedef struct kith_mdns kith_mdns;

/* An IP address of this machine, with the length of its network's prefix. */
typedef struct kith_mdns_ip {
    uint8_t len; /* 4 or 16 */
    uint8_t prefix;
    uint8_t b[16];
} kith_mdns_ip;

typedef struct kith_mdns_link {
    uint32_t id;                         /* the interface's index; never 0 */
    char name[KITH_MDNS_ZONE_MAX + 1];   /* and name */
    kith_mdns_ip ips[KITH_MDNS_IPS_MAX]; /* of this machine on it */
    size_t ip_count;
    /* Where peers on it can dial us, best first, without /p2p; none: we only ask there. */
    kith_maddr addrs[KITH_MDNS_ADDRS_MAX];
    size_t addr_count;
} kith_mdns_link;

/* NULL: no memory. env is copied. */
kith_mdns *kith_mdns_new(const kith_env *env, const kith_peer_id *self);
void kith_mdns_free(kith_mdns *m);

/* A link that is there, new or as it is now; copied. A change of addresses takes back what was said and says it
 * anew. KITH_ELIMIT: there are KITH_MDNS_LINKS_MAX. */
KITH_CHECK kith_err kith_mdns_link_up(kith_mdns *m, kith_time now, const kith_mdns_link *link);
/* What was found on it is lost. */
void kith_mdns_link_down(kith_mdns *m, kith_time now, uint32_t id);
/* Whether to ask at all; off to begin with. */
void kith_mdns_browse(kith_mdns *m, kith_time now, bool on);
/* Asks at once, whatever the schedule says, but not more than once a second. */
void kith_mdns_ask(kith_mdns *m, kith_time now);
/* A key that this node answers to from now on, and that is said on every link. KITH_ELIMIT: KITH_MDNS_KEYS_MAX. KITH_EEXISTS. */
KITH_CHECK kith_err kith_mdns_publish(kith_mdns *m, kith_time now, const uint8_t key[KITH_MDNS_KEY_LEN]);
bool kith_mdns_unpublish(kith_mdns *m, const uint8_t key[KITH_MDNS_KEY_LEN]); /* false: it was not there */
/* A key whose peers are asked for, so long as we browse at all: HOLDS tells them, and those that are known already once more. KITH_ELIMIT: KITH_MDNS_SOUGHT_MAX. */
KITH_CHECK kith_err kith_mdns_seek(kith_mdns *m, kith_time now, const uint8_t key[KITH_MDNS_KEY_LEN]);
void kith_mdns_unseek(kith_mdns *m, const uint8_t key[KITH_MDNS_KEY_LEN]);

/* Takes back everywhere what was said: for the end. Afterwards nothing is said any more. */
void kith_mdns_leave(kith_mdns *m, kith_time now);

/* A datagram that came to the group on a link; from: the sender's address, 4 or 16 bytes. Nothing that it holds is
 * an error. */
void kith_mdns_recv(kith_mdns *m, kith_time now, uint32_t link, kith_bytes from, kith_bytes in);
/* A datagram for the group, and the link to send it on, over IPv4 and IPv6; 0: none. out.len >=
 * KITH_MDNS_PACKET_MAX. */
size_t kith_mdns_send(kith_mdns *m, kith_time now, uint32_t *link, kith_span out);

typedef enum kith_mdns_event_kind {
    KITH_MDNS_FOUND, /* a peer is on a link, or has another address there */
    KITH_MDNS_HOLDS, /* a peer that was FOUND answers to a key that we seek */
    KITH_MDNS_LOST,  /* it said goodbye, was not heard for long, or the link is down */
} kith_mdns_event_kind;

typedef struct kith_mdns_event {
    kith_mdns_event_kind kind;
    kith_peer_id peer;
    uint32_t link;
    kith_maddr addrs
        [KITH_MDNS_ADDRS_MAX]; /* FOUND: all of them, without /p2p; a link-local IPv6 one with our zone */
    size_t count;
    uint8_t key[KITH_MDNS_KEY_LEN]; /* HOLDS */
} kith_mdns_event;

bool kith_mdns_next(kith_mdns *m, kith_mdns_event *ev);
/* Where a peer is now, on all links, without /p2p: at most max, those of the link where it was found first before
 * others. */
size_t kith_mdns_addrs(const kith_mdns *m, const kith_peer_id *peer, kith_maddr *out, size_t max);
kith_time kith_mdns_deadline(const kith_mdns *m);
void kith_mdns_tick(kith_mdns *m, kith_time now);

typedef struct kith_mdns_stats {
    size_t peers;
    uint64_t dropped; /* packets beyond KITH_MDNS_PACKETS_PER_SECOND */
    uint64_t broken;  /* packets that are no DNS message */
    uint64_t refused; /* claims of peers beyond a cap */
} kith_mdns_stats;
kith_mdns_stats kith_mdns_stats_of(const kith_mdns *m);

/* Asserts the invariants; for tests and fuzzers. */
void kith_mdns_check(const kith_mdns *m);

#endif
