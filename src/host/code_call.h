/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Calling peers that are remembered, for whoever looks for a code: with those that speak its protocol a connection is there then, and they are
 * candidates like any that is connected (code_find.h). Whom: contacts of the peer book (kith_book_ask_contacts) that are not blocked, the most
 * trusted and the most recent first, KITH_CODE_CALLS_MAX at most, CALLS_AT_ONCE at a time; again after 5, 10, 20 .. 40 s, since the sharer may come
 * later. A connection that leads to a node of such a peer which does not speak the protocol is closed, and the peer's other addresses are called: its
 * owner may run several. Everything happens on the loop's thread. */
#ifndef KITH_HOST_CODE_CALL_H
#define KITH_HOST_CODE_CALL_H

#include "host/book.h"

#define KITH_CODE_CALLS_MAX 16
#define KITH_CODE_CALL_ADDRS_MAX 8 /* of each */

typedef struct kith_code_call kith_code_call;

/* Whether the peer speaks one of two protocols; an empty one is none. */
bool kith_code_speaks(const kith_conn *conn, const kith_bytes protocols[2]);

/* Asks the book. What is passed outlives it, but for the book: its question may be open when it ends. NULL: no memory. */
kith_code_call *kith_code_call_new(kith_host *host, kith_book *book, const kith_trust *trust,
                                   const kith_bytes protocols[2]);
/* Looks at the calls, and makes those that are due. Once a second or so. */
void kith_code_call_tick(kith_code_call *c);
size_t kith_code_call_count(const kith_code_call *c); /* peers; NULL is fine */
/* Whether the book has answered, and there is nobody in it to be called. NULL: nobody is. */
bool kith_code_call_is_idle(const kith_code_call *c);
/* Whether it is one of them; where it is remembered to be, its addresses are in out: *count of them. NULL is fine: false. */
bool kith_code_call_knows(const kith_code_call *c, const kith_peer_id *peer, kith_maddr *out, size_t max,
                          size_t *count);
/* Calls nobody any more; connections stay. While the loop still runs. Frees it; NULL is fine. */
void kith_code_call_end(kith_code_call *c);

#endif
