/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Serving a share: hashing it on the worker pool, then one transfer per stream that a receiver opens, files read on the worker pool. */
#ifndef KITH_HOST_SHARE_SERVE_H
#define KITH_HOST_SHARE_SERVE_H

#include "host/host.h"
#include "host/share_src.h"

#define KITH_SHARE_RECEIVERS_MAX 64 /* transfers at once */
#define KITH_SHARE_RECEIVERS_PER_CONN_MAX 4

typedef struct kith_share_serve kith_share_serve;

/* One receiver's transfer, as far as it is known. */
typedef struct kith_share_session {
    uint64_t id; /* 1, 2, ... */
    kith_peer_id peer;
    kith_conn *conn; /* NULL once it is over */
    kith_time began;
    uint64_t bytes, files; /* sent */
} kith_share_session;

typedef enum kith_share_serve_kind {
    KITH_SHARE_SERVE_HASHED,  /* the share is ready: its id is known, receivers are served from now on */
    KITH_SHARE_SERVE_FAILED,  /* it is not: text. Nothing follows */
    KITH_SHARE_SERVE_BEGAN,   /* a receiver with the right secret */
    KITH_SHARE_SERVE_DONE,    /* it has stored bytes in files */
    KITH_SHARE_SERVE_ENDED,   /* it has not: text */
    KITH_SHARE_SERVE_USED_UP, /* as often as it may */
} kith_share_serve_kind;

typedef struct kith_share_serve_event {
    kith_share_serve_kind kind;
    const kith_share_session *session; /* BEGAN, DONE, ENDED (then its id is 0 for one that never began) */
    uint64_t bytes, files;
    const char *text; /* valid for the call */
} kith_share_serve_event;

typedef struct kith_share_serve_config {
    kith_host *host;
    kith_share_src *src; /* begun, not hashed; taken over, also on failure */
    kith_bytes secret;   /* borrowed for the call */
    /* Whether a peer, known by its authenticated id, may have the share; NULL: whoever has the secret. */
    bool (*may)(void *ctx, const kith_peer_id *peer);
    uint64_t times; /* how often it may be fetched whole; 0: as often as it is asked for */
    void (*event)(void *ctx, const kith_share_serve_event *ev);
    void *ctx;
} kith_share_serve_config;

/* Starts hashing. NULL: no memory. */
kith_share_serve *kith_share_serve_new(const kith_share_serve_config *cfg);
/* No more receivers; those that are served are told. Events end. */
void kith_share_serve_stop(kith_share_serve *v);
/* Ends one transfer, whose receiver is told that it was stopped. No event follows. False: there is none of that id. */
bool kith_share_serve_cut(kith_share_serve *v, uint64_t id);
/* After the host's loop has ended. NULL is fine. */
void kith_share_serve_free(kith_share_serve *v);

/* Bytes hashed so far, of how many. */
void kith_share_serve_hashed(const kith_share_serve *v, uint64_t *done, uint64_t *total);
/* After HASHED. */
const uint8_t *kith_share_serve_root(const kith_share_serve *v);
/* Walks the transfers that are under way: start with NULL. The answer is valid until the loop goes on. */
kith_share_session *kith_share_serve_next(const kith_share_serve *v, kith_share_session *at);

#endif
