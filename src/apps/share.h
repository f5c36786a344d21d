/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the two sides of /kith/share/2 have in common: frames, caps, codes, and the blocks in which content moves between a machine and
 * whoever reads and writes files.
 *
 * One stream, opened by the receiver. Every message is a frame: a uvarint length, a protobuf head of that length, and as many raw bytes
 * as the head's `body` says. Unknown kinds and fields are skipped, bodies included.
 *
 *     receiver                                 sharer
 *     HELLO version, capability      ->
 *                                    <-        WAIT bytes, total                 while it walks and hashes
 *                                    <-        OFFER root and size of the list   or ERROR
 *     GET_LIST offset                ->
 *                                    <-        LIST offset, bytes
 *     GET_ROOTS first                ->
 *                                    <-        ROOTS first, 32 bytes per entry   as they become known, until all are
 *     REQUEST id, ranges of leaves   ->                                          with hints, where there is older content
 *     REQUEST id, ranges of leaves   ->                                          up to KITH_SHARE_REQUESTS at a time
 *                                    <-        DATA id, leaf, proof + bytes      in the order asked for
 *     CANCEL id                      ->
 *                                    <-        ENDED id                          in place of what was left of it
 *     RECEIPT files, bytes, FIN      ->
 *                                    <-        FIN
 *
 * The content of a share is one row of leaves (share_manifest.h), numbered from 0. docs/protocols/share.md */
#ifndef KITH_APPS_SHARE_H
#define KITH_APPS_SHARE_H

#include "apps/share_leaves.h"
#include "apps/share_manifest.h"
#include "base/list.h"

#define KITH_SHARE_ID "/kith/share/2"
#define KITH_SHARE_VERSION 2

/* Caps. What goes beyond them is a breach of protocol. */
#define KITH_SHARE_HEAD_MAX 4096          /* bytes of a frame's head */
#define KITH_SHARE_BODY_MAX (256u * 1024) /* bytes of a body, but of a message that is skipped */
#define KITH_SHARE_REQUESTS 8             /* unanswered requests that a sharer takes */
#define KITH_SHARE_RANGES 64              /* ranges of one request, or of one HAVE */
#define KITH_SHARE_REQUEST_LEAVES 4096    /* of all ranges of one request */
#define KITH_SHARE_HINT_LEN 16            /* bytes of a leaf's value in a request's body; zeros: no hint */
#define KITH_SHARE_TOKEN_MAX 1024         /* bytes of a capability */
#define KITH_SHARE_CODE_TAG_MAX 64
#define KITH_SHARE_NAME_MAX 64  /* bytes of the name that a sharer gives itself */
#define KITH_SHARE_PEERS_MAX 16 /* of one PEERS */
#define KITH_SHARE_PEER_ADDRS_MAX 4
#define KITH_SHARE_TEXT_MAX 200 /* bytes of a text for people */
#define KITH_SHARE_BLOCK_ITEMS 256
#define KITH_SHARE_GOODBYE_TIMEOUT \
    KITH_SEC(15) /* for a peer that does not take the last words, or does not close */

/* Why one side ends a transfer, or why a blob cannot be had. Numbers are on the wire. */
typedef enum kith_share_code {
    KITH_SHARE_NONE = 0,
    KITH_SHARE_PROTOCOL = 1,   /* the other side broke the protocol */
    KITH_SHARE_REFUSED = 2,    /* no such share, or the secret is wrong: not told apart */
    KITH_SHARE_USED_UP = 3,    /* it has been fetched as often as it may */
    KITH_SHARE_BUSY = 4,       /* too many receivers at once: try again */
    KITH_SHARE_STOPPED = 5,    /* the person on the other side stopped it */
    KITH_SHARE_CHANGED = 6,    /* a file is not what it was when it was shared */
    KITH_SHARE_UNREADABLE = 7, /* a file cannot be read any more */
    KITH_SHARE_DECLINED = 8,   /* the receiver does not want it (its list, its names, files in the way) */
    KITH_SHARE_DISK = 9,       /* the receiver cannot store it */
    KITH_SHARE_BAD_DATA = 10,  /* what arrived does not lead to the root */
    KITH_SHARE_INTERNAL = 11,  /* memory ran out */
    KITH_SHARE_EXPIRED = 12,   /* the ticket or code has ended */
} kith_share_code;

/* A phrase about the side that sent the code, e.g. "the file has changed since it was shared"; static, never NULL. */
const char *kith_share_code_text(kith_share_code c);
const char *kith_share_code_advice(kith_share_code c); /* for a receiver: "; what to do", or "" */
/* Whether what was said is right, but too late or too early: USED_UP, BUSY, EXPIRED. */
bool kith_share_code_is_late(kith_share_code c);

/* The id of a share whose hashes are all known. roots: KITH_BLAKE3_LEN bytes per entry. */
void kith_share_id(const uint8_t list_root[KITH_BLAKE3_LEN], const uint8_t *roots, size_t entries,
                   uint8_t out[KITH_BLAKE3_LEN]);

/* ---- messages ---- */

typedef enum kith_share_kind {
    KITH_SHARE_OTHER = 0, /* a later version's: skipped */
    KITH_SHARE_HELLO = 2, /* numbers are field tags of the head */
    KITH_SHARE_OFFER = 3,
    KITH_SHARE_REQUEST = 4,
    KITH_SHARE_DATA = 5,
    KITH_SHARE_ERROR = 6,
    KITH_SHARE_RECEIPT = 7,
    KITH_SHARE_WAIT = 8,
    KITH_SHARE_GET_LIST = 9,
    KITH_SHARE_LIST = 10,
    KITH_SHARE_GET_ROOTS = 11,
    KITH_SHARE_ROOTS = 12,
    KITH_SHARE_CANCEL = 13,
    KITH_SHARE_ENDED = 14,
    KITH_SHARE_PAUSE = 15,
    KITH_SHARE_HAVE = 16,
    KITH_SHARE_PEERS = 17,
    KITH_SHARE_PAKE = 18,
    KITH_SHARE_PASS = 19,
    KITH_SHARE_STREAM = 20, /* these two are share_stream.h's */
    KITH_SHARE_END = 21,
} kith_share_kind;
#define KITH_SHARE_KIND_MAX KITH_SHARE_END

/* Views are into the head. What a kind does not have is zero. */
typedef struct kith_share_msg {
    kith_share_kind kind;
    uint64_t body;         /* raw bytes after the head */
    uint64_t version;      /* HELLO */
    kith_bytes capability; /* HELLO: one of these two; PASS */
    kith_bytes code_tag;
    bool swarm;          /* HELLO: this receiver gives to others what it has */
    kith_bytes root;     /* OFFER: the list's; END: of all bytes */
    kith_bytes share_id; /* OFFER: empty: not yet known */
    kith_bytes name;     /* OFFER */
    uint64_t list_size;  /* OFFER */
    uint64_t
        holes; /* OFFER: bytes of content for which the sharer's file system has no room set aside, as it is zeros; a hint */
    bool complete; /* OFFER: all roots are known, so everything (or, partial: all of HAVE) may be asked for */
    bool partial;  /* OFFER: the sharer has only what HAVE says */
    uint64_t done, total;  /* WAIT: bytes */
    uint64_t offset;       /* GET_LIST, LIST: byte of the list */
    uint64_t first;        /* GET_ROOTS, ROOTS: entry */
    uint64_t id;           /* REQUEST, DATA, CANCEL, ENDED */
    uint64_t leaf;         /* DATA */
    kith_bytes pairs;      /* DATA */
    bool zeros;            /* DATA: the leaf is all zeros, and there is no body */
    bool same;             /* DATA: the leaf is what the request's hint says, and there is no body */
    kith_share_code code;  /* DATA: the rest of the file cannot be had; ERROR */
    kith_bytes text;       /* ERROR */
    bool on;               /* PAUSE; STREAM: both ways */
    uint64_t files, bytes; /* RECEIPT; END */
    uint64_t step;         /* PAKE: 1 to 3 */
    kith_bytes data;       /* PAKE */
    kith_bytes peers;      /* PEERS: for kith_share_peers_next */
    size_t range_count;    /* REQUEST, HAVE */
    kith_leaf_range ranges[KITH_SHARE_RANGES];
} kith_share_msg;

typedef struct kith_share_peer {
    kith_bytes id; /* libp2p peer id, binary */
    size_t addr_count;
    kith_bytes addrs[KITH_SHARE_PEER_ADDRS_MAX]; /* binary multiaddrs */
} kith_share_peer;

/* Walks the peers of a PEERS message that was parsed; start with r over its `peers`. */
bool kith_share_peers_next(kith_rd *r, kith_share_peer *out);
/* Appends a peer to what becomes `peers`. */
void kith_share_peers_put(kith_wr *w, const kith_share_peer *p);

/* Parses a head. KITH_EPROTO: malformed or over a cap. */
KITH_CHECK kith_err kith_share_msg_parse(kith_bytes head, kith_share_msg *out);
/* Writes a frame without its body. Marks w bad when it does not fit: HEAD_MAX + 2 bytes are always enough. */
void kith_share_msg_put(kith_wr *w, const kith_share_msg *m);

/* Puts heads together from pieces of a stream. */
typedef struct kith_share_reader {
    size_t have;
    uint8_t buf[KITH_SHARE_HEAD_MAX + 2];
} kith_share_reader;

/* Takes bytes from the front of *in. True: *head is a whole head (a view into *in or the reader, valid until the next call) and *in
 * begins after it. False: all of *in was taken and more is needed; or, with *bad set, the head is longer than the cap. */
bool kith_share_read_head(kith_share_reader *r, kith_bytes *in, kith_bytes *head, bool *bad);

/* ---- blocks ---- */

/* One leaf of a file, or that a file cannot be had. */
typedef struct kith_share_item {
    size_t entry;
    uint64_t leaf;   /* its number in the share */
    uint64_t offset; /* in the file */
    uint64_t to;     /* the sharer: end of the range that it belongs to, in the file */
    uint64_t request;
    uint32_t at, len; /* in the block; zeros: len bytes that are all zero and not in the block */
    bool starts;      /* the sharer: it is the first of its range */
    bool zeros;       /* the sharer's owner may set it when the bytes that it was to put there are all zero */
    bool
        same; /* there is no room for it in the block. The sharer: its bytes are not wanted, only a code if they cannot be
                   had. The receiver: its owner has them, as kith_share_view.older says, if it still has */
    bool stale;           /* the receiver's owner: it had not */
    kith_share_code code; /* the sharer's owner sets it when the bytes cannot be had: CHANGED or UNREADABLE */
} kith_share_item;

/* Up to 256 KiB of content: part of one large file, or many small ones. Belongs to its machine, except while it is lent to the owner:
 * from the event that shows it until it is given back. A block whose machine is gone meanwhile is for the owner to free. */
typedef struct kith_share_block {
    kith_link link;
    kith_env env;
    void *owner; /* for whoever it is lent to */
    bool lent, ready;
    size_t len;   /* bytes of all items */
    size_t count; /* items */
    size_t next;  /* the sharer: first item not yet sent */
    kith_share_item items[KITH_SHARE_BLOCK_ITEMS];
    uint8_t buf[KITH_TREE_LEAF];
} kith_share_block;

/* Whether the bytes of a leaf are better said than sent: nothing but zeros, and no fewer than the words for it are worth. */
bool kith_share_is_zeros(kith_bytes leaf);
kith_share_block *kith_share_block_new(const kith_env *env); /* NULL: no memory; contents are not zeroed */
void kith_share_block_free(kith_share_block *b);             /* NULL is fine */
void kith_share_blocks_free(kith_list *l);

#endif
