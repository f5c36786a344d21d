/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The node's place in the DHT (mesh/kad.h): joins it by bootstrap peers and those it remembers, serves it or not, keeps table and store in a
 * file over restarts, and tells whoever asked for something when it is there. docs/guide/dht.md
 *
 * Everything happens on the loop's thread. Nothing is opened and nobody is called before kith_dht_start or kith_dht_kad. */
#ifndef KITH_HOST_DHT_H
#define KITH_HOST_DHT_H

#include "host/host.h"
#include "host/network.h"
#include "mesh/kad.h"

#define KITH_DHT_BOOTSTRAP_MAX 16
#define KITH_DHT_PROTOCOL_MAX 128

typedef enum kith_dht_mode {
    KITH_DHT_AUTO, /* a client; a server while peers of several public networks come to us */
    KITH_DHT_CLIENT,
    KITH_DHT_SERVER,
    KITH_DHT_OFF,
} kith_dht_mode;

typedef struct kith_dht_settings {
    kith_dht_mode mode;
    char protocol[KITH_DHT_PROTOCOL_MAX + 1];
    kith_maddr bootstrap[KITH_DHT_BOOTSTRAP_MAX]; /* each with /p2p */
    size_t bootstrap_count;
    bool own_list; /* the user has given one, which may be empty: the public one is not used */
    char network[KITH_NETWORK_PRINT_MAX +
                 1]; /* the fingerprint of the private network that it is in; "": of none */
} kith_dht_settings;

/* auto, the public network, its bootstrap peers. */
void kith_dht_settings_default(kith_dht_settings *s);
/* KITH_OK; KITH_EFORMAT: not a multiaddr with /p2p that can be dialled; KITH_ELIMIT: the list is full. "none" empties it. */
KITH_CHECK kith_err kith_dht_settings_bootstrap(kith_dht_settings *s, const char *text);
bool kith_dht_protocol_ok(const char *text);
/* Whether it is the network of everybody, whose bootstrap peers are known. That of a private network is not, whatever its protocol. */
bool kith_dht_is_public(const kith_dht_settings *s);
const char *kith_dht_mode_name(kith_dht_mode m); /* static */

typedef struct kith_dht kith_dht;

typedef struct kith_dht_config {
    kith_host *host;                   /* outlives what is called before kith_dht_free */
    const kith_dht_settings *settings; /* borrowed as long; mode is not off */
    const char *
        file; /* the path without its ending: NAME.db, or NAME-<hash>.db of another network. Copied. NULL: nothing is kept */
    bool alone; /* nobody of the public network will do: its bootstrap peers are left alone */
    void (*log)(void *ctx, const char *line); /* warnings for people; may be NULL */
    void *log_ctx;
} kith_dht_config;

kith_dht *kith_dht_new(const kith_dht_config *cfg); /* NULL: no memory */
/* Joins, and looks after that from now on; best before the node has connections, and after it listens: the public network's bootstrap
 * peers are called unless it listens on loopback only. False: no memory, or it is closed. */
bool kith_dht_start(kith_dht *d);
/* To ask something of; starts what was not. NULL: as above; d may be NULL. */
kith_kad *kith_dht_kad(kith_dht *d);
/* The same for who only wonders where a peer is: NULL too where that would mean to join the public network first, and when nobody is known to
 * ask. */
kith_kad *kith_dht_kad_at_hand(kith_dht *d);
bool kith_dht_is_started(const kith_dht *d);

/* Ends what is under way: whoever follows an op is told KITH_ECLOSED. While the loop still runs; NULL is fine, and twice. */
void kith_dht_close(kith_dht *d);
/* After the loop has ended and before the host is freed: the part leaves it, and what is to be kept is written. NULL is fine. */
void kith_dht_save(kith_dht *d);
/* After the host is freed. NULL is fine. */
void kith_dht_free(kith_dht *d);

/* fn gets the events of an op that was just begun, DONE as the last, from the drive; it may begin and cancel others. Kicks the host.
 * KITH_ENOMEM: the op is cancelled. */
typedef void (*kith_dht_fn)(void *ctx, const kith_kad_event *ev);
KITH_CHECK kith_err kith_dht_follow(kith_dht *d, uint64_t op, kith_dht_fn fn, void *ctx);
/* fn is not called any more. */
void kith_dht_cancel(kith_dht *d, uint64_t op);

/* What was provided by kith_kad_provide, or is not any more: so after a restart too. */
void kith_dht_keep_provided(kith_dht *d, kith_bytes key, bool on);

typedef struct kith_dht_facts {
    kith_dht_mode mode; /* as configured */
    bool started, server;
    size_t bootstrap, remembered; /* peers to begin with: configured or public; and of earlier */
    bool
        waiting; /* the public bootstrap peers are left alone: only loopback is listened on, or none would do */
    size_t
        public_networks; /* that peers have come from without being called, in the last hour; at most 3 are counted */
} kith_dht_facts;
kith_dht_facts kith_dht_look(const kith_dht *d);
const kith_dht_settings *kith_dht_settings_of(const kith_dht *d);

#endif
