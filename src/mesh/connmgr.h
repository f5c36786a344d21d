/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The connection manager: how many connections a node keeps, which of them, and to whom it comes back. A part (mesh/part.h).
 *
 *   too many     Above `high` open connections the least valuable are closed, with a GoAway that says so, down to `low`; at most every
 *                `pause`. The order: least value first (cfg.value), idle before used, inbound before outbound, silent longest first.
 *                Spared: connections younger than `grace` and those in use (a stream of an application said something within IN_USE), as
 *                long as there are no more than twice `high`; the young do not count against `low` either, so that a crowd of newcomers pushes
 *                out nobody who was there before. Never closed: protected ones (kith_node_protect, cfg.value, kept peers).
 *   kept         Peers that somebody wants to stay connected to. Their connections are protected, kept alive, and dialled anew when they end:
 *                after retry_min, doubling with each failure in a row up to retry_max, of which a random half is left away.
 *   a change of  Every open connection is pinged, and who is not heard of within check_timeout is closed; kept peers are dialled
 *   networks     without waiting further.
 *
 * A kept peer:   WAITING --dial_at--> FINDING --addresses--> DIALLING --> CONNECTED
 *                   ^---------------------none-----------------failed----------ended
 *
 * Nothing here is made by a remote but the order of the open connections, which the node caps. Memory: 2.2 KiB a kept peer, and while it
 * trims 40 bytes a connection. */
#ifndef KITH_MESH_CONNMGR_H
#define KITH_MESH_CONNMGR_H

#include "mesh/part.h"

#define KITH_CONNMGR_KEPT_MAX 256
#define KITH_CONNMGR_ADDRS_MAX 4  /* of a kept peer, those that worked last first; more come from cfg.find */
#define KITH_CONNMGR_DIALS_MAX 8  /* at once */
#define KITH_CONNMGR_FOUND_MAX 24 /* addresses of one find: as many as one dial takes */
#define KITH_CONNMGR_IN_USE KITH_SEC(30)
#define KITH_CONNMGR_STEADY KITH_SEC(120) /* a connection that ends sooner was a failure */
#define KITH_CONNMGR_PRECIOUS INT32_MAX   /* value: never trimmed */

typedef struct kith_connmgr_config {
    kith_env env;
    kith_node *node;         /* borrowed; freed first */
    uint32_t low, high;      /* 160, 192, as in go-libp2p. high 0: nothing is trimmed */
    kith_time grace;         /* 1 min, as in go-libp2p */
    kith_time pause;         /* 10 s, as in go-libp2p */
    kith_time retry_min;     /* 1 s */
    kith_time retry_max;     /* 5 min */
    kith_time check_timeout; /* 2 s */
    kith_time keepalive;     /* 2 min: a ping on a stream to a kept peer, on a connection that is idle */
    /* What a peer is worth, to those who know; KITH_CONNMGR_PRECIOUS: never trimmed. Asked when there are too many connections. It must
     * not call the node. NULL: 0. */
    int32_t (*value)(void *ctx, const kith_peer_id *peer);
    /* Asks for addresses of a kept peer that is to be dialled. kith_connmgr_found answers, once, later or from inside. NULL: there are
     * only those that it was kept with and that worked. */
    void (*find)(void *ctx, kith_time now, const kith_peer_id *peer);
    void *ctx; /* of both */
} kith_connmgr_config;

void kith_connmgr_config_default(kith_connmgr_config *cfg);

typedef struct kith_connmgr kith_connmgr;

/* NULL: no memory. Of low and high the greater is high. */
kith_connmgr *kith_connmgr_new(const kith_connmgr_config *cfg);
/* After the node is freed, or once it is detached and nobody it keeps is connected (kith_connmgr_stop). NULL is fine. */
void kith_connmgr_free(kith_connmgr *m);
/* Keeps and trims no more. */
void kith_connmgr_stop(kith_connmgr *m);
/* Its owner drives the node after each of the calls below. */
kith_part *kith_connmgr_part(kith_connmgr *m);

/* Stays connected to a peer; addr (may be NULL) is one of its addresses. Again: adds the address, and dials without waiting further.
 * KITH_ELIMIT: KITH_CONNMGR_KEPT_MAX are kept. KITH_ENOMEM. */
KITH_CHECK kith_err kith_connmgr_keep(kith_connmgr *m, kith_time now, const kith_peer_id *peer,
                                      const kith_maddr *addr);
/* Its connection stays as any other does. False: it was not kept. */
bool kith_connmgr_let_go(kith_connmgr *m, const kith_peer_id *peer);
bool kith_connmgr_keeps(const kith_connmgr *m, const kith_peer_id *peer);
/* The answer to cfg.find. */
void kith_connmgr_found(kith_connmgr *m, kith_time now, const kith_peer_id *peer, const kith_maddr *addrs,
                        size_t count);
/* The machine's addresses have changed, or it has slept. */
void kith_connmgr_network_changed(kith_connmgr *m, kith_time now);

typedef struct kith_connmgr_facts {
    size_t open;             /* connections */
    size_t kept, kept_there; /* peers; of them connected */
    uint64_t trimmed,
        dead; /* connections closed since the start: for room; silent after a change of networks */
    uint64_t dials, dials_failed;
} kith_connmgr_facts;
kith_connmgr_facts kith_connmgr_look(const kith_connmgr *m);

/* A kept peer, for who looks: begin with NULL; valid until the next call. */
typedef struct kith_connmgr_kept {
    kith_peer_id peer;
    bool connected;
    unsigned failures; /* in a row */
    kith_time dial_at; /* when it is dialled next; KITH_NEVER: it is connected, or being dialled */
} kith_connmgr_kept;
bool kith_connmgr_kept_at(const kith_connmgr *m, size_t i, kith_connmgr_kept *out);

/* Asserts the invariants; for tests and fuzzers. */
void kith_connmgr_check(const kith_connmgr *m);

#endif
