/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The peer book: who was met, where, and how it went. One SQLite file (WAL), which survives kill -9.
 *
 * What is noted goes to a queue and from there to the file in one transaction per batch, on libuv's thread pool;
 * the loop never waits for the disk. A lone note is written at once; those of the next tenth of a second wait for each other, so a crowd
 * costs ten transactions a second. Questions do not wait, are answered the same way, and see everything noted before them.
 * A damaged file is put aside as <path>.damaged and a new one begun, when it is opened or whenever it shows.
 * Caps: KITH_BOOK_PEERS_MAX peers, KITH_BOOK_ADDRS_MAX addresses of each, KITH_BOOK_QUEUE_MAX notes waiting (newer ones are dropped: the next
 * meeting brings them again). Beyond the first, who goes: those who only came to us, then those whom we called or had an address of from
 * elsewhere, and last those whom a person made something of (kith_book_heed); of each the ones not seen for longest. So no crowd of
 * strangers pushes out a contact. */
#ifndef KITH_HOST_BOOK_H
#define KITH_HOST_BOOK_H

#include "host/host.h"
#include "host/trust_store.h"
#include "wire/peer_info.h"

#define KITH_BOOK_PEERS_MAX 4096
#define KITH_BOOK_ADDRS_MAX 16
#define KITH_BOOK_QUEUE_MAX 1024
#define KITH_BOOK_MISSES_MAX 8  /* in a row, and the address is forgotten ... */
#define KITH_BOOK_MISSED_DAYS 7 /* ... if its peer was met so much later than it last worked, or was learnt */
#define KITH_BOOK_STALE_DAYS 90 /* what was not seen for longer goes */

typedef struct kith_book kith_book;

/* Where an address comes from, in order of trust. */
typedef enum kith_book_source {
    KITH_BOOK_IDENTIFY, /* the peer says so */
    KITH_BOOK_TICKET,   /* in a ticket or an invitation */
    KITH_BOOK_MANUAL,   /* typed by the user */
    KITH_BOOK_DIALED,   /* it worked */
} kith_book_source;
const char *kith_book_source_name(kith_book_source s);

/* Opens or makes the file (mode 0600). *damaged: it was damaged, and this is a new one.
 * *why: NULL, or what is wrong (valid until the next call). Then there is no book; or, when only the disk is full, one that tries again with
 * each batch, and tells below when that worked. */
kith_book *kith_book_open(uv_loop_t *loop, const char *path, bool *damaged, const char **why);
/* Writes what is queued and closes; waits for the disk. Questions under way get no answer. NULL is fine. */
void kith_book_close(kith_book *b);

/* Told on the loop's thread, in a sentence for a person: that the book cannot be written (once, until it can be again: what is noted
 * meanwhile is lost, what was stored stays), that it can be again, and that it turned out to be damaged and was put aside. */
void kith_book_on_trouble(kith_book *b, void (*fn)(void *ctx, const char *sentence), void *ctx);

/* Notes everything that connections of this host tell, until closed. */
void kith_book_watch(kith_book *b, kith_host *h);

/* Whom a person pinned, verified, named, blocked or gave a policy in t stays before all others. t outlives the book. */
void kith_book_heed(kith_book *b, const kith_trust *t);

/* An address of a peer was learnt; unix: seconds. */
void kith_book_note_addr(kith_book *b, const kith_peer_id *peer, const kith_maddr *addr,
                         kith_book_source source, uint64_t unix);

/* Nobody, or somebody else, was at an address that was dialled for the peer. Unknown addresses are not noted. */
void kith_book_note_missed(kith_book *b, const kith_peer_id *peer, const kith_maddr *addr);

/* A peer's record, which kith_peer_info_open has verified, is kept as it came, unless one with the same number or a higher one is there. */
void kith_book_note_info(kith_book *b, const kith_peer_id *peer, kith_bytes record, uint64_t unix);

/* One row per address in the answers, best first; peers without one have an addr of len 0. */
typedef struct kith_book_row {
    kith_peer_id peer;
    kith_maddr addr;
    kith_book_source source;
    uint64_t seen, succeeded;           /* of the address, unix seconds; 0: never */
    uint64_t peer_seen, peer_succeeded; /* of the peer */
    bool pq;                            /* was met over a post-quantum channel */
    char agent[KITH_IDENTIFY_AGENT_MAX + 1];
    char self_name[KITH_PEER_NAME_MAX + 1]; /* what it calls itself; "": it has told none */
    uint64_t info_time;                     /* when it said so, by its own clock; 0: it has not */
} kith_book_row;

/* rows is freed after the call. */
typedef void (*kith_book_answer)(void *ctx, const kith_book_row *rows, size_t count);
/* The addresses of a peer, or (peer NULL) of all of them, the last seen first, at most max rows. Answered exactly once, later;
 * or, when this returns KITH_ENOMEM, never. */
KITH_CHECK kith_err kith_book_ask(kith_book *b, const kith_peer_id *peer, size_t max, kith_book_answer fn,
                                  void *ctx);
/* The addresses of so many peers that a person has to do with: first those whom a person made something of (kith_book_heed), blocked ones
 * too; then those whose address was typed, or came in a ticket or an invitation; and those whom we called ourselves and who last spoke a protocol in
 * whose name `spoke` (static) stands. Of each the ones met last first. Never who only came to us, or was only called by us. As above. */
KITH_CHECK kith_err kith_book_ask_contacts(kith_book *b, const char *spoke, size_t peers, kith_book_answer fn,
                                           void *ctx);

#endif
