/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The sharer's side of one transfer: answers requests with verified content. Reads no file itself: it lends out blocks to be filled.
 *
 *     HELLO --hello--> ASKED --admit--> SERVING --receipt--> DONE --their FIN, ours--> (gone)
 *       |                |                 |
 *       +--- breach, refuse, stop ---------+--> ENDING (says ERROR) --> (reset)
 *
 * Memory: 28 KiB, and while requests are served KITH_SHARE_TX_BLOCKS blocks of 270 KiB. */
#ifndef KITH_APPS_SHARE_TX_H
#define KITH_APPS_SHARE_TX_H

#include "apps/share.h"
#include "proto/stream.h"

#define KITH_SHARE_TX_BLOCKS 12 /* read ahead of what is sent */
#define KITH_SHARE_HELLO_TIMEOUT KITH_SEC(15)
#define KITH_SHARE_IDLE_TIMEOUT KITH_SEC(3600) /* a person may think long before saying yes */
#define KITH_SHARE_STALL_TIMEOUT KITH_SEC(300) /* a receiver that asked and does not read */

/* What is shared. Belongs to the machine's owner and outlives every machine that it was admitted to. */
typedef struct kith_share_source {
    uint8_t root[KITH_BLAKE3_LEN];
    kith_bytes secret;
    kith_bytes list;           /* the manifest's bytes */
    const uint8_t *list_nodes; /* its tree */
    const kith_manifest *manifest;
    const uint8_t *const *nodes; /* by entry: the trees of its files; NULL will do for a blob of one leaf */
} kith_share_source;

typedef struct kith_share_tx kith_share_tx;

typedef enum kith_share_tx_event_kind {
    KITH_SHARE_TX_ASKED,   /* the receiver said hello: answer with admit or refuse */
    KITH_SHARE_TX_READ,    /* fill block and give it back */
    KITH_SHARE_TX_RECEIPT, /* the receiver has stored everything: files, bytes */
    KITH_SHARE_TX_FAILED,  /* it is over: err, code (the peer's, or ours), why */
} kith_share_tx_event_kind;

typedef struct kith_share_tx_event {
    kith_share_tx_event_kind kind;
    kith_share_block
        *block; /* READ: lent to the owner. Its items say what belongs where; blob n is entry n - 1 */
    uint64_t files, bytes;
    kith_err err;
    kith_share_code code;
    const char *why; /* static */
} kith_share_tx_event;

kith_share_tx *kith_share_tx_new(const kith_env *env, kith_time now); /* NULL: no memory */
extern const kith_stream_ops kith_share_tx_ops;

bool kith_share_tx_next(kith_share_tx *x, kith_share_tx_event *ev);

/* In answer to ASKED. Compares share and secret with what the receiver said, the secret in constant time; if they do not match the
 * receiver is told REFUSED and FAILED with KITH_EAUTH follows. source is borrowed for the machine's life. */
void kith_share_tx_admit(kith_share_tx *x, kith_time now, const kith_share_source *source);
/* Ends the transfer with a code that the receiver is told, after the frame that is under way. No FAILED follows. */
void kith_share_tx_stop(kith_share_tx *x, kith_share_code code);

/* Gives a block back: every item holds its bytes or has a code. */
void kith_share_tx_filled(kith_share_tx *x, kith_time now, kith_share_block *b);

/* Content bytes handed to the stream so far, and the files that they completed. */
void kith_share_tx_progress(const kith_share_tx *x, uint64_t *bytes, uint64_t *files);

/* Asserts the invariants; for tests and fuzzers. */
void kith_share_tx_check(const kith_share_tx *x);

#endif
