/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the two sides of /kith/share/1 have in common: frames, caps, codes, and the blocks in which content moves between a machine and
 * whoever reads and writes files.
 *
 * One stream, opened by the receiver. Every message is a frame: a uvarint length, a protobuf head of that length, and as many raw bytes
 * as the head's `body` says. Unknown kinds and fields are skipped, bodies included.
 *
 *     receiver                                 sharer
 *     HELLO version, share, secret   ->
 *                                    <-        OFFER size of the list            or ERROR
 *     REQUEST id, ranges             ->
 *     REQUEST id, ranges             ->                                          up to KITH_SHARE_REQUESTS at a time
 *                                    <-        DATA id, blob, offset, proof + bytes   in the order asked for
 *     ...
 *     RECEIPT files, bytes, FIN      ->
 *                                    <-        FIN
 *
 * Blob 0 is the list (share_manifest.h) under the share's id; blob n is its entry n - 1. docs/protocols/share.md */
#ifndef KITH_APPS_SHARE_H
#define KITH_APPS_SHARE_H

#include "apps/share_manifest.h"
#include "base/list.h"

#define KITH_SHARE_ID "/kith/share/1"
#define KITH_SHARE_VERSION 1

/* Caps. What goes beyond them is a breach of protocol. */
#define KITH_SHARE_HEAD_MAX 4096      /* bytes of a frame's head */
#define KITH_SHARE_REQUESTS 8         /* unanswered requests that a sharer takes */
#define KITH_SHARE_REQUEST_RANGES 64  /* ranges of one request */
#define KITH_SHARE_REQUEST_BLOBS 4096 /* blobs that one request touches */
#define KITH_SHARE_TEXT_MAX 200       /* bytes of a text for people */
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
} kith_share_code;

/* A phrase about the side that sent the code, e.g. "the file has changed since it was shared"; static, never NULL. */
const char *kith_share_code_text(kith_share_code c);

/* ---- messages ---- */

/* Whole blobs [blob, blob + count), or with count 1 the bytes [offset, offset + length) of one; length 0: to its end. */
typedef struct kith_share_range {
    uint64_t blob, count, offset, length;
} kith_share_range;

typedef enum kith_share_kind {
    KITH_SHARE_OTHER = 0, /* a later version's: skipped */
    KITH_SHARE_HELLO = 2, /* numbers are field tags of the head */
    KITH_SHARE_OFFER = 3,
    KITH_SHARE_REQUEST = 4,
    KITH_SHARE_DATA = 5,
    KITH_SHARE_ERROR = 6,
    KITH_SHARE_RECEIPT = 7,
} kith_share_kind;

typedef struct kith_share_msg {
    kith_share_kind kind;
    uint64_t body;         /* raw bytes after the head */
    uint64_t version;      /* HELLO, OFFER */
    kith_bytes root;       /* HELLO; views into the head */
    kith_bytes secret;     /* HELLO */
    uint64_t list_size;    /* OFFER */
    uint64_t id;           /* REQUEST, DATA */
    uint64_t blob, offset; /* DATA; ERROR: blob */
    kith_bytes pairs;      /* DATA */
    kith_share_code code;  /* DATA: the blob cannot be had; ERROR */
    kith_bytes text;       /* ERROR */
    uint64_t files, bytes; /* RECEIPT */
    size_t range_count;    /* REQUEST */
    kith_share_range ranges[KITH_SHARE_REQUEST_RANGES];
} kith_share_msg;

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

/* What a range covers of its blob number `blob` (of `size` bytes). False: nothing. */
bool kith_share_range_span(const kith_share_range *r, uint64_t size, uint64_t *from, uint64_t *to);

/* ---- blocks ---- */

typedef struct kith_share_item {
    uint64_t blob;
    uint64_t offset; /* in the blob */
    uint64_t to;     /* end of the range that it belongs to */
    uint64_t request;
    uint32_t at, len; /* in the block; zeros: len bytes that are all zero and not in the block */
    bool starts;      /* it is the first of its range */
    bool zeros;
    kith_share_code code; /* the sharer's owner sets it when the bytes cannot be had: CHANGED or UNREADABLE */
} kith_share_item;

/* Up to 256 KiB of content: part of one large file, or many small ones. Belongs to its machine, except while it is lent to the owner:
 * from the event that shows it until it is given back. A block whose machine is gone meanwhile is for the owner to free. */
typedef struct kith_share_block {
    kith_link link;
    kith_env env;
    bool lent, ready;
    size_t len;   /* bytes of all items */
    size_t count; /* items */
    size_t next;  /* the sharer: first item not yet sent */
    kith_share_item items[KITH_SHARE_BLOCK_ITEMS];
    uint8_t buf[KITH_TREE_LEAF];
} kith_share_block;

kith_share_block *kith_share_block_new(const kith_env *env); /* NULL: no memory; contents are not zeroed */
void kith_share_block_free(kith_share_block *b);             /* NULL is fine */
void kith_share_blocks_free(kith_list *l);

#endif
