/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The receiver's side of a transfer from one source: fetches the list and the hashes, asks for the leaves that its owner names, and hands
 * out nothing that does not lead up to a file's root. Writes no file itself: it lends out blocks of verified content. A transfer may have
 * several of these, one for each source; share_plan.h says what to ask of whom.
 *
 *     ASKING --offer--> OFFERED --get_list--> LISTING --use--> READY --finish--> LEAVING --their FIN--> DONE
 *        |                 |--------------use-------------------^ |                 |
 *        +-----------------+--- breach, stop, lost, silence ------+-----------------+--> ENDING (says ERROR) --> (reset)
 *
 * Memory: 28 KiB, up to 66 KiB of requests with hints that are not said yet, what is known of a partial source's leaves, and blocks of 275 KiB: one that is put together, and what the owner has not
 * given back. Content in them is bounded by the stream's receive window; blocks of zeros, or with little in them, by what the owner asks
 * for: it does not while it has many. */
#ifndef KITH_APPS_SHARE_RX_H
#define KITH_APPS_SHARE_RX_H

#include "apps/share.h"
#include "proto/stream.h"

#define KITH_SHARE_SILENCE_TIMEOUT KITH_SEC(60) /* without a byte, while we wait for some */
#define KITH_SHARE_USELESS_TIMEOUT \
    KITH_SEC(7200)                       /* without one that is of use: WAIT that says nothing new is none */
#define KITH_SHARE_HAVE_RANGES_MAX 65536 /* of a partial source */

typedef struct kith_share_rx_config {
    kith_env env;
    kith_bytes capability; /* one of these two; views are copied, and wiped once they are said */
    kith_bytes code_tag;
    bool swarm; /* we give to others what we have */
} kith_share_rx_config;

/* Content that is here from before, of an older state of the files: what it has at a leaf's place is hinted at in requests, and the source need
 * not send it if it is the same. */
typedef struct kith_share_older {
    const kith_leaves *leaves; /* where there is some; NULL: nowhere. It may change between calls */
    /* The value (share_tree.h) that it has at a leaf that is, or was once, in leaves. Must stay the same. */
    const uint8_t *(*value)(const void *ctx, uint32_t leaf);
    const void *ctx;
} kith_share_older;

/* What is known of the share, for all links. The owner's; it may change between calls, growing. */
typedef struct kith_share_view {
    const kith_manifest *manifest;
    const uint8_t *roots; /* KITH_BLAKE3_LEN per entry */
    size_t known;         /* entries whose roots content is checked against, from the first on */
    /* Where the nodes of a file's tree go that come with content (share_tree.h: in its order; those that did not come are not touched),
     * for whoever is to serve it in turn. NULL, or answers NULL: they are not kept. */
    uint8_t *(*nodes)(void *ctx, size_t entry);
    void *ctx;
    kith_share_older older;
} kith_share_view;

typedef struct kith_share_rx kith_share_rx;

typedef enum kith_share_rx_event_kind {
    KITH_SHARE_RX_PAKE,  /* data: the answer to our first */
    KITH_SHARE_RX_WAIT,  /* the sharer is still walking or hashing: done, total */
    KITH_SHARE_RX_OFFER, /* answer with get_list, with use if the list is here already, or with stop */
    KITH_SHARE_RX_LIST, /* the list is where get_list wanted it and has the offered root: parse it, then use or stop */
    KITH_SHARE_RX_ROOTS,  /* hashes have come: kith_share_rx_roots says how many */
    KITH_SHARE_RX_HAVE,   /* kith_share_rx_have has grown */
    KITH_SHARE_RX_PEERS,  /* data: others who have some of it; for kith_share_peers_next */
    KITH_SHARE_RX_PASS,   /* data: a capability that admits us at those others */
    KITH_SHARE_RX_PAUSED, /* on: the sharer's person pauses, or goes on */
    KITH_SHARE_RX_BLOCK,  /* verified content: give the block back when it is stored */
    KITH_SHARE_RX_ENDED,  /* id: the request was cancelled, and nothing more of it comes */
    KITH_SHARE_RX_DONE,   /* the sharer has our receipt, or is gone and does not matter any more */
    KITH_SHARE_RX_FAILED, /* it is over */
} kith_share_rx_event_kind;

typedef struct kith_share_rx_event {
    kith_share_rx_event_kind kind;
    kith_bytes data;      /* PAKE, PEERS, PASS; views in events are valid until the next call */
    uint64_t done, total; /* WAIT */
    kith_bytes root;      /* OFFER: the list's */
    kith_bytes share_id;  /* OFFER: empty: not known yet */
    kith_bytes name;      /* OFFER: a stranger's words */
    uint64_t list_size;   /* OFFER */
    uint64_t holes;       /* OFFER: bytes of content that take no room, by the sharer's word */
    bool partial;         /* OFFER */
    bool on;              /* PAUSED */
    uint64_t id;          /* ENDED */
    kith_share_block *
        block; /* BLOCK: lent to the owner. One item per leaf, in the order asked for. An item with a code has no bytes: the
                                sharer cannot give the rest of that file, as far as the request went. One that is `same` has none
                                either: older content had its value, and the owner must see that it still has before it uses it */
    kith_err err;         /* FAILED */
    const char *why;      /* static */
    kith_share_code code; /* FAILED: the sharer's, or NONE */
    size_t
        entry; /* FAILED with KITH_ECRYPTO: whose content did not match; SIZE_MAX: the list or the hashes */
} kith_share_rx_event;

kith_share_rx *kith_share_rx_new(const kith_share_rx_config *cfg, kith_time now); /* NULL: no memory */
extern const kith_stream_ops kith_share_rx_ops;

bool kith_share_rx_next(kith_share_rx *x, kith_share_rx_event *ev);

/* Says our first PAKE message, and then, when the answer proves that the sharer has the code, our confirmation: no offer is taken before it. */
void kith_share_rx_pake(kith_share_rx *x, kith_bytes data);
/* In answer to OFFER: fetches the list; into has room for list_size bytes and is borrowed until LIST or the end. */
void kith_share_rx_get_list(kith_share_rx *x, kith_time now, uint8_t *into);
/* In answer to OFFER or LIST: this is the list that is offered, which must be the same. Borrowed for the machine's life. */
void kith_share_rx_use(kith_share_rx *x, kith_time now, const kith_share_view *view);
/* After use, once: fetches the hashes from entry `first` on; into has room for all, and is borrowed for the machine's life. */
void kith_share_rx_get_roots(kith_share_rx *x, kith_time now, uint8_t *into, size_t first);
/* Entries whose hashes have come, and whose hashes the source knows, so that they may be asked for; from the first on. */
size_t kith_share_rx_roots(const kith_share_rx *x);
size_t kith_share_rx_knows(const kith_share_rx *x);
/* Of a partial source: what it has. */
const kith_leaves *kith_share_rx_have(const kith_share_rx *x);

/* Asks for leaves whose roots both the view and the source know, in ranges of at most KITH_SHARE_REQUEST_LEAVES in all, and hints at those
 * that view.older has. *id: of the request,
 * 1, 2, ... KITH_ELIMIT: KITH_SHARE_REQUESTS are not answered yet. KITH_ESTATE. */
KITH_CHECK kith_err kith_share_rx_request(kith_share_rx *x, kith_time now, const kith_leaf_range *ranges,
                                          size_t count, uint64_t *id);
/* Nothing more of a request is wanted: what is on the way still comes, then ENDED, if it was not answered before. */
void kith_share_rx_cancel(kith_share_rx *x, uint64_t id);
/* Our person pauses, or goes on. */
void kith_share_rx_pause(kith_share_rx *x, kith_time now, bool on);
/* Tells the source of peers, as kith_share_peers_put writes them; at most 3 KiB. */
void kith_share_rx_peers(kith_share_rx *x, kith_bytes peers);

/* Gives a block back. */
void kith_share_rx_stored(kith_share_rx *x, kith_time now, kith_share_block *b);

/* When everything is stored: tells the sharer, then DONE follows. */
void kith_share_rx_finish(kith_share_rx *x, uint64_t files, uint64_t bytes);

/* Ends the transfer with a code that the sharer is told (NONE: without a word). No FAILED follows. */
void kith_share_rx_stop(kith_share_rx *x, kith_share_code code);

/* Asserts the invariants; for tests and fuzzers. */
void kith_share_rx_check(const kith_share_rx *x);

#endif
