/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The receiver's side of one transfer: asks for the list, then for content, and hands out nothing that does not lead up to the share's
 * id. Writes no file itself: it lends out blocks of verified content.
 *
 *     LISTING --list--> CHOOSING --accept--> FETCHING --all there--> STORING --finish--> LEAVING --their FIN--> DONE
 *        |                 |                    |                       |                   |
 *        +-----------------+---- breach, stop, lost, silence -----------+-------------------+--> ENDING (says ERROR) --> (reset)
 *
 * Memory: 18 KiB, the list (KITH_MANIFEST_MAX at most, and 12 bytes per entry), and blocks: what is being put together, and what the
 * owner has not given back, of which the stream's receive window or KITH_SHARE_RX_ITEMS_MAX is the bound. */
#ifndef KITH_APPS_SHARE_RX_H
#define KITH_APPS_SHARE_RX_H

#include "apps/share.h"
#include "apps/share_leaves.h"
#include "proto/stream.h"

#define KITH_SHARE_RX_REQUESTS 3                        /* in flight: the sharer never waits for us */
#define KITH_SHARE_RX_REQUEST_BYTES (64u * 1024 * 1024) /* content that one request asks for */
#define KITH_SHARE_RX_ITEMS_MAX 16384                   /* asked for and not yet given back by the owner */
#define KITH_SHARE_SILENCE_TIMEOUT KITH_SEC(60)         /* without a byte, while we wait for some */

typedef struct kith_share_rx_config {
    kith_env env;
    uint8_t root[KITH_BLAKE3_LEN];
    kith_bytes secret; /* copied, wiped in the end; at most 64 bytes */
    bool portable;     /* of kith_manifest_parse */
} kith_share_rx_config;

typedef struct kith_share_rx kith_share_rx;

typedef enum kith_share_rx_event_kind {
    KITH_SHARE_RX_LIST,   /* the list is here and valid: answer with accept or stop */
    KITH_SHARE_RX_BLOCK,  /* verified content: give the block back when it is stored */
    KITH_SHARE_RX_STORED, /* everything has been handed out: call finish when it is stored */
    KITH_SHARE_RX_DONE, /* the sharer has our receipt; or it is gone, after STORED, and does not matter any more */
    KITH_SHARE_RX_FAILED, /* it is over */
} kith_share_rx_event_kind;

typedef struct kith_share_rx_event {
    kith_share_rx_event_kind kind;
    kith_share_block *
        block; /* BLOCK: lent to the owner. Its items have blobs n for entries n - 1, each blob's in order. One with a code
                                has no bytes: the sharer cannot give that blob, and what came of it is to be thrown away */
    kith_err err;
    const char *why;      /* static */
    kith_share_code code; /* FAILED: the sharer's, or NONE */
    uint64_t blob;        /* FAILED with KITH_ECRYPTO: whose data did not match; 0: the list's */
    kith_manifest_fault
        fault; /* FAILED over the list: fault.why is set; its views are valid as long as the machine */
} kith_share_rx_event;

kith_share_rx *kith_share_rx_new(const kith_share_rx_config *cfg, kith_time now); /* NULL: no memory */
extern const kith_stream_ops kith_share_rx_ops;

bool kith_share_rx_next(kith_share_rx *x, kith_share_rx_event *ev);

/* After LIST: what is offered, parsed and as bytes; belongs to the machine. */
const kith_manifest *kith_share_rx_manifest(const kith_share_rx *x);
kith_bytes kith_share_rx_list(const kith_share_rx *x);

/* In answer to LIST: fetches. skip: one byte per entry, not zero for what is not wanted; NULL: everything is. here: leaves that are here
 * already; NULL: none. Both are borrowed for the call. KITH_ENOMEM: nothing is fetched, and it may be tried again. */
KITH_CHECK kith_err kith_share_rx_accept(kith_share_rx *x, kith_time now, const uint8_t *skip,
                                         const kith_leaves *here);

/* Gives a block back. */
void kith_share_rx_stored(kith_share_rx *x, kith_time now, kith_share_block *b);

/* In answer to STORED: tells the sharer, then DONE follows. */
void kith_share_rx_finish(kith_share_rx *x, uint64_t files, uint64_t bytes);

/* Ends the transfer with a code that the sharer is told. No FAILED follows. */
void kith_share_rx_stop(kith_share_rx *x, kith_share_code code);

/* Verified content so far. */
void kith_share_rx_progress(const kith_share_rx *x, uint64_t *bytes, uint64_t *files);

/* Asserts the invariants; for tests and fuzzers. */
void kith_share_rx_check(const kith_share_rx *x);

#endif
