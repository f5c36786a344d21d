/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Serving shares: any number of them in one node, each walked and hashed on the worker pool while it is served already; one transfer per stream that
 * a receiver opens, files read on the worker pool. */
#ifndef KITH_HOST_SHARE_SERVE_H
#define KITH_HOST_SHARE_SERVE_H

#include "host/host.h"
#include "host/share_grant.h"
#include "host/share_src.h"

#define KITH_SHARES_MAX 64          /* in one node */
#define KITH_SHARE_RECEIVERS_MAX 64 /* transfers at once, of those that were admitted */
#define KITH_SHARE_RECEIVERS_PER_CONN_MAX 4

typedef struct kith_share_serve kith_share_serve;
typedef struct kith_shared kith_shared; /* one share */

/* One receiver's transfer, as far as it is known. */
typedef struct kith_share_session {
    uint64_t id; /* 1, 2, ...; 0: it has asked for no content yet */
    kith_peer_id peer;
    kith_conn *conn;    /* NULL once it is over */
    kith_shared *share; /* NULL: not admitted */
    kith_time began;
    uint64_t bytes, files; /* sent */
    bool paused, paused_by_peer;
} kith_share_session;

typedef enum kith_share_serve_kind {
    KITH_SHARE_SERVE_WARNING, /* something is left out, or cannot be given: text */
    KITH_SHARE_SERVE_WALKED,  /* everything is found; receivers are shown the list */
    KITH_SHARE_SERVE_HASHED,  /* all hashes are known, and so is the share's id */
    KITH_SHARE_SERVE_FAILED, /* it cannot be served any more: text. Its sessions are told; nothing follows but their ends */
    KITH_SHARE_SERVE_BEGAN,   /* a receiver that was admitted asked for the first content */
    KITH_SHARE_SERVE_DONE,    /* it has stored bytes in files */
    KITH_SHARE_SERVE_ENDED,   /* it has not: text */
    KITH_SHARE_SERVE_USED_UP, /* as often as it may */
} kith_share_serve_kind;

typedef struct kith_share_serve_event {
    kith_share_serve_kind kind;
    kith_shared *share;                /* NULL: of a receiver that was not admitted */
    const kith_share_session *session; /* BEGAN, DONE, ENDED */
    uint64_t bytes, files;
    const char *text; /* valid for the call */
} kith_share_serve_event;

typedef struct kith_share_serve_config {
    kith_host *host;
    const kith_signer *signer; /* the node's; borrowed */
    void (*event)(void *ctx, const kith_share_serve_event *ev);
    void *ctx;
} kith_share_serve_config;

/* Registers the protocol. NULL: no memory. */
kith_share_serve *kith_share_serve_new(const kith_share_serve_config *cfg);
/* No more receivers; those that are served are told. Events end. Before the host's loop ends. */
void kith_share_serve_stop(kith_share_serve *v);
/* After the host's loop has ended. NULL is fine. */
void kith_share_serve_free(kith_share_serve *v);

typedef struct kith_shared_config {
    kith_share_src *src; /* begun; taken over, also on failure */
    uint64_t times;      /* how often it may be fetched whole, whoever asks; 0: as often as it is asked for */
    /* Whether a peer, known by its authenticated id, may have it, besides being admitted otherwise; NULL: yes. */
    bool (*may)(void *ctx, const kith_peer_id *peer);
    void *ctx; /* of may */
} kith_shared_config;

/* Starts walking, hashing and serving: a receiver that comes early waits. It admits nobody until it is told whom. NULL: no memory, or too many. */
kith_shared *kith_share_serve_add(kith_share_serve *v, const kith_shared_config *cfg);

/* What is here of a share that is being fetched, or was, for others who fetch it. */
typedef struct kith_shared_given {
    kith_share_source
        source; /* manifest is not NULL, all roots are known, have is what is here: borrowed, and growing */
    void (*read)(void *ctx,
                 kith_share_block *b); /* as kith_share_src_read; on worker threads, several at once */
    /* Whether what a peer, known by its authenticated id, has said in its hello admits it; on the loop's thread, as the rest. */
    bool (*admits)(void *ctx, const kith_peer_id *peer, kith_bytes capability);
    void (*met)(void *ctx,
                const kith_peer_id *peer); /* one that was admitted, and that gives too; may be NULL */
    void *ctx;                             /* outlives the loop */
} kith_shared_given;

/* Serves it. Its receivers tell of each other as those of a share do; passes are the sharer's alone to give. NULL: no memory, or too many. */
kith_shared *kith_share_serve_give(kith_share_serve *v, const kith_shared_given *given);
/* More of it is here. */
void kith_shared_grown(kith_shared *s);

/* Nothing more of it is sent for now, or again. */
void kith_shared_pause(kith_shared *s, bool on);

/* Gives out a capability: c's limits count, tag, nonce and id are set. KITH_ELIMIT: KITH_SHARE_GRANTS_MAX. */
KITH_CHECK kith_err kith_shared_issue(kith_shared *s, kith_capability *c, kith_wr *w);
/* Whoever has the code is admitted, so many times (0: any number) and until then (seconds since 1970; 0: always); a burnt one admits nobody any
 * more. KITH_ELIMIT. */
KITH_CHECK kith_err kith_shared_code(kith_shared *s, const uint8_t tag[KITH_PAKE_TAG_LEN],
                                     const uint8_t secret[KITH_PAKE_SECRET_LEN], uint64_t times,
                                     uint64_t not_after);
/* Wrong guesses at the code so far. */
uint32_t kith_shared_guesses(const kith_shared *s);

/* The share's id; NULL before HASHED. */
const uint8_t *kith_shared_id(const kith_shared *s);

/* Bytes of content that were sent to anybody so far. */
uint64_t kith_share_serve_sent(const kith_share_serve *v);
/* Walks the transfers that are under way: start with NULL. The answer is valid until the loop goes on. */
kith_share_session *kith_share_serve_next(const kith_share_serve *v, kith_share_session *at);
/* Ends one, or pauses it, or lets it go on. */
void kith_share_session_stop(kith_share_session *at);
void kith_share_session_pause(kith_share_session *at, bool on);

#endif
