/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The node at rendezvous points (mesh/rendezvous.h), and as one (mesh/point.h): a node that stays registers itself at the configured points,
 * follows who else is there and connects to a few of them; anybody may ask the points once. docs/guide/discover.md
 *
 * Everything happens on the loop's thread. Nobody is called before kith_rendezvous_stay or kith_rendezvous_find. */
#ifndef KITH_HOST_RENDEZVOUS_H
#define KITH_HOST_RENDEZVOUS_H

#include <jansson.h>

#include "host/host.h"
#include "host/trust_store.h"
#include "mesh/point.h"
#include "mesh/rendezvous.h"

typedef struct kith_rendezvous_settings {
    bool server;
    uint32_t registrations;                 /* as a server, of all peers */
    kith_maddr points[KITH_RDV_POINTS_MAX]; /* each with /p2p */
    size_t point_count;
    char ns[KITH_RDV_NS_MAX + 1]; /* where this node registers itself */
    uint32_t connect;             /* so many of those that are found there are connected to */
} kith_rendezvous_settings;

/* No server, no points, "kith". */
void kith_rendezvous_settings_default(kith_rendezvous_settings *s);
/* KITH_EFORMAT: not a multiaddr with /p2p that can be dialled. KITH_EEXISTS: the peer is there. KITH_ELIMIT: the list is full. */
KITH_CHECK kith_err kith_rendezvous_settings_point(kith_rendezvous_settings *s, const char *text);
bool kith_rendezvous_ns_ok(const char *text);

typedef struct kith_rendezvous kith_rendezvous;

typedef struct kith_rendezvous_config {
    kith_host *host;                          /* outlives what is called before kith_rendezvous_free */
    const kith_rendezvous_settings *settings; /* borrowed as long, as are the next two */
    const kith_signer *signer;
    const kith_trust *trust;                  /* who is blocked is not dialled; may be NULL */
    void (*log)(void *ctx, const char *line); /* warnings for people; may be NULL */
    void *log_ctx;
} kith_rendezvous_config;

kith_rendezvous *kith_rendezvous_new(const kith_rendezvous_config *cfg); /* NULL: no memory */
/* Somebody has been found whom no point had told of: for kith up. Before kith_rendezvous_stay. */
typedef void (*kith_rendezvous_found)(void *ctx, const kith_peer_id *peer, const kith_maddr *addrs,
                                      size_t count);
void kith_rendezvous_watch(kith_rendezvous *r, kith_rendezvous_found fn, void *ctx);
/* Whom not to connect to by our own choice, as in host/met.h. Before kith_rendezvous_stay; ctx is borrowed until kith_rendezvous_free. */
void kith_rendezvous_avoid(kith_rendezvous *r, bool (*avoid)(void *ctx, const kith_peer_id *peer), void *ctx);
/* Of a node that stays, once it listens: serves if it is to, and is at the points from now on. False: no memory. */
bool kith_rendezvous_stay(kith_rendezvous *r);
bool kith_rendezvous_has_points(const kith_rendezvous *r); /* NULL is fine */

/* Asks all points for a namespace; NULL: the configured one. fn gets KITH_RDV_FOUND, and KITH_RDV_OVER as the last, from the drive.
 * KITH_ENOTFOUND: no points. KITH_ELIMIT, KITH_ENOMEM, KITH_ECLOSED. */
typedef void (*kith_rendezvous_fn)(void *ctx, const kith_rdv_event *ev);
KITH_CHECK kith_err kith_rendezvous_find(kith_rendezvous *r, const char *ns, kith_rendezvous_fn fn, void *ctx,
                                         uint64_t *id);
void kith_rendezvous_cancel(kith_rendezvous *r, uint64_t id); /* fn is not called any more */

/* namespace, points (peer registered error), found, connected; with a server registrations. */
json_t *kith_rendezvous_json(const kith_rendezvous *r);
typedef struct kith_rendezvous_facts {
    size_t points, registered, found, connected;
    bool server;
    size_t registrations; /* of others, here */
} kith_rendezvous_facts;
kith_rendezvous_facts kith_rendezvous_look(const kith_rendezvous *r);

/* The node is about to stop: tells the points so, where it is connected to them. False: nobody must be told, and fn is not called; else
 * once they are, or have not listened for a second. NULL is fine, and twice: false then. */
bool kith_rendezvous_leave(kith_rendezvous *r, void (*fn)(void *ctx), void *ctx);
/* While the loop still runs; whoever asked gets OVER. NULL is fine, and twice. */
void kith_rendezvous_close(kith_rendezvous *r);
/* After the loop has ended and before the host is freed. NULL is fine. */
void kith_rendezvous_detach(kith_rendezvous *r);
/* After the host is freed. NULL is fine. */
void kith_rendezvous_free(kith_rendezvous *r);

#endif
