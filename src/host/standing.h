/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reputation (mesh/reputation.h) on a host: fed by what connections and the parts of the node tell, kept in a file, and used: who is banned is
 * refused and sent away, who is throttled waits behind others (kith_node_throttle), and whoever chooses among peers can ask for the score. */
#ifndef KITH_HOST_STANDING_H
#define KITH_HOST_STANDING_H

#include <jansson.h>

#include "host/host.h"
#include "host/trust_store.h"
#include "mesh/gossip.h"
#include "mesh/reputation.h"

typedef struct kith_standing kith_standing;

typedef struct kith_standing_config {
    kith_host *host;  /* outlives it */
    const char *path; /* of the file; NULL: nothing is kept */
    kith_trust *
        trust; /* whom the user pinned, verified or named is never banned; asked before a connection is let in. May be NULL */
    /* A ban has begun. May be NULL. */
    void (*banned)(void *ctx, const kith_peer_id *peer, const kith_reputation_facts *f);
    void *banned_ctx;
    void (*log)(void *ctx, const char *line); /* may be NULL */
    void *log_ctx;
} kith_standing_config;

/* NULL: no memory. A file that cannot be read is told, and then nothing is kept. */
kith_standing *kith_standing_new(const kith_standing_config *cfg);
/* Its misconduct is looked at every few seconds from now on; NULL: no more. The router is borrowed until then. */
void kith_standing_watch_gossip(kith_standing *s, kith_gossip *router);
/* What a peer did, for who saw it: see mesh/reputation.h for what may be noted. */
void kith_standing_note(kith_standing *s, const kith_peer_id *peer, kith_conduct kind);
/* Thousandths of points; 0 for strangers. */
int32_t kith_standing_score(const kith_standing *s, const kith_peer_id *peer);
/* Whether nobody but the user should choose this peer: it is throttled or banned, and no friend. ctx is the kith_standing. */
bool kith_standing_avoids(void *ctx, const kith_peer_id *peer);
/* Ends a ban and forgets what led to it. False: nothing is known of the peer. */
bool kith_standing_lift(kith_standing *s, const kith_peer_id *peer);
/* score throttled banned_until bans rtt_ms reasons[kind count points]; null: nothing is known. */
json_t *kith_standing_json(const kith_standing *s, const kith_peer_id *peer);
/* The banned: each peer, and the above. */
json_t *kith_standing_banned_json(const kith_standing *s);
/* Notes nothing more, while the loop still runs. NULL is fine, and so is twice. */
void kith_standing_close(kith_standing *s);
/* Writes the file; after kith_host_run has returned and before the host is freed. NULL is fine. */
void kith_standing_free(kith_standing *s);

#endif
