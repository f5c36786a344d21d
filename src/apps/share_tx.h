/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The sharer's side of one transfer: answers requests with content and its proof. Reads no file itself: it lends out blocks to be filled.
 * What it serves may still be walked and hashed, and may be a part of the share.
 *
 *     HELLO --hello--> ASKED --admit--> WAITING --list walked, OFFER--> SERVING --receipt--> DONE --their FIN, ours--> (gone)
 *       |                |                 |                               |
 *       +----------------+-- breach, stop -+-------------------------------+--> ENDING (says ERROR) --> (reset)
 *
 * Of a request's hints one bit per leaf is kept, whether it is right: 4 KiB for KITH_SHARE_REQUESTS of the largest.
 *
 * Memory: 44 KiB, and while requests are served KITH_SHARE_TX_BLOCKS blocks of 275 KiB. */
#ifndef KITH_APPS_SHARE_TX_H
#define KITH_APPS_SHARE_TX_H

#include "apps/share.h"
#include "proto/stream.h"

#define KITH_SHARE_TX_BLOCKS 12 /* read ahead of what is sent */
#define KITH_SHARE_HELLO_TIMEOUT KITH_SEC(15)
#define KITH_SHARE_IDLE_TIMEOUT KITH_SEC(3600) /* a person may think long before saying yes */
#define KITH_SHARE_STALL_TIMEOUT KITH_SEC(300) /* a receiver that asked and does not read */
#define KITH_SHARE_WAIT_EVERY KITH_SEC(2)      /* while it waits for our hashing, it is told how far we are */
#define KITH_SHARE_HAVE_EVERY KITH_SEC(1)

/* What is shared. Belongs to the machine's owner and outlives every machine that it was admitted to. The owner changes it between calls, and
 * then calls kith_share_tx_update. */
typedef struct kith_share_source {
    const kith_manifest *manifest; /* NULL: it is still being walked; then, once, not */
    uint8_t list_root[KITH_BLAKE3_LEN];
    const uint8_t *roots; /* KITH_BLAKE3_LEN bytes for each entry, zeros for what is no file or is empty */
    size_t known;         /* entries whose roots are known, from the first on: grows up to manifest->count */
    uint8_t id[KITH_BLAKE3_LEN]; /* when all are known */
    uint64_t done, total;        /* bytes hashed, of how many are known of: for WAIT */
    uint64_t holes;              /* bytes of content that take no room, for OFFER; with manifest */
    /* The tree of a file in known (share_tree.h); may be NULL for one of one leaf. */
    const uint8_t *(*nodes)(const void *ctx, size_t entry);
    const void *ctx;
    const kith_leaves *
        have; /* NULL: everything; else only this may be asked for. It only grows; known is manifest->count */
    kith_bytes name; /* what the sharer calls itself, for people; at most KITH_SHARE_NAME_MAX; may be empty */
} kith_share_source;

typedef struct kith_share_tx kith_share_tx;

typedef enum kith_share_tx_event_kind {
    KITH_SHARE_TX_ASKED, /* the receiver said hello: answer with admit or stop; with a code tag, after the PAKE */
    KITH_SHARE_TX_PAKE,    /* data: its first message, and after our answer its confirmation */
    KITH_SHARE_TX_READ,    /* fill block and give it back */
    KITH_SHARE_TX_PAUSED,  /* the receiver wants nothing more for now, or (on false) again */
    KITH_SHARE_TX_PEERS,   /* data: of whom it knows; for kith_share_peers_next */
    KITH_SHARE_TX_RECEIPT, /* the receiver has stored everything: files, bytes */
    KITH_SHARE_TX_FAILED,  /* it is over: err, code (the peer's, or ours), why */
} kith_share_tx_event_kind;

typedef struct kith_share_tx_event {
    kith_share_tx_event_kind kind;
    kith_bytes capability; /* ASKED: one of the two. Views are valid until the next call */
    kith_bytes code_tag;
    bool swarm;              /* ASKED */
    bool on;                 /* PAUSED */
    kith_bytes data;         /* PAKE, PEERS */
    kith_share_block *block; /* READ: lent to the owner. Its items say what belongs where */
    uint64_t files, bytes;
    kith_err err;
    kith_share_code code;
    const char *why; /* static */
} kith_share_tx_event;

kith_share_tx *kith_share_tx_new(const kith_env *env, kith_time now); /* NULL: no memory */
extern const kith_stream_ops kith_share_tx_ops;

bool kith_share_tx_next(kith_share_tx *x, kith_share_tx_event *ev);

/* In answer to ASKED, when the receiver may have this; of its content what is in allowed when it asks, NULL: everything. Both are borrowed for
 * the machine's life. */
void kith_share_tx_admit(kith_share_tx *x, kith_time now, const kith_share_source *source,
                         const kith_leaves *allowed);
/* Answers the receiver's first PAKE message. data is copied. */
void kith_share_tx_pake(kith_share_tx *x, kith_bytes data);
/* The source has changed. */
void kith_share_tx_update(kith_share_tx *x, kith_time now);
/* Ends the transfer with a code that the receiver is told, after the frame that is under way. No FAILED follows. */
void kith_share_tx_stop(kith_share_tx *x, kith_share_code code);
/* Our person pauses, or goes on. */
void kith_share_tx_pause(kith_share_tx *x, kith_time now, bool on);
/* Tells the receiver of others who have some of the share: peers as kith_share_peers_put writes them, copied; at most 3 KiB. One at a time: a
 * newer list takes the place of one that is not yet sent. */
void kith_share_tx_peers(kith_share_tx *x, kith_bytes peers);
/* What admits the receiver at others who have some of the share (share_ticket.h: a capability with a holder); copied. A newer one takes the
 * place of one that is not yet sent. */
void kith_share_tx_pass(kith_share_tx *x, kith_bytes capability);

/* Gives a block back: every item holds its bytes, or is zeros or the same, or has a code. */
void kith_share_tx_filled(kith_share_tx *x, kith_time now, kith_share_block *b);

/* Content bytes handed to the stream so far, without what the receiver has, and the files whose ends were among them. */
void kith_share_tx_progress(const kith_share_tx *x, uint64_t *bytes, uint64_t *files);

/* Asserts the invariants; for tests and fuzzers. */
void kith_share_tx_check(const kith_share_tx *x);

#endif
