/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What peers call themselves: swapped with those that are connected (mesh/infos.h), kept in the peer book, and shown. Such a name is a claim of its
 * peer and nothing more: two may claim the same, so none is ever taken for a target (that is for ids and petnames). */
#ifndef KITH_HOST_NAMES_H
#define KITH_HOST_NAMES_H

#include <jansson.h>

#include "host/book.h"

#define KITH_NAMES_MAX 4096 /* remembered of those that are not connected; older ones go */

typedef struct kith_names kith_names;

typedef struct kith_names_config {
    kith_host *host;
    const kith_signer *signer; /* borrowed, as is the host */
    const char *name;          /* ours; NULL or "": none is told. Borrowed */
    const char *pq_signature;  /* name of the identity's post-quantum algorithm, or NULL; static */
    kith_pq_policy pq;
} kith_names_config;

/* Takes and tells names from now on. NULL: no memory. */
kith_names *kith_names_new(const kith_names_config *cfg);
/* After the host's loop has ended, and while the host is there. NULL is fine. */
void kith_names_detach(kith_names *n);
/* After the host is gone. NULL is fine. */
void kith_names_free(kith_names *n);

/* Remembers names in the book from now on, and those that are in it. The book answers once, later, and is closed before the names are freed. */
void kith_names_use_book(kith_names *n, kith_book *b);

/* What a peer calls itself, or "": nothing is known. Printable UTF-8. Valid until the next call of the host. n may be NULL. */
const char *kith_names_of(const kith_names *n, const kith_peer_id *peer);
/* Of a connection that is IDENTIFIED now: what its peer calls itself is on its way; the watch below is told when it is there, or will not come
 * soon, unless the peer disconnects before. n may be NULL. */
bool kith_names_await(kith_names *n, const kith_conn *c);

typedef struct kith_names_watch {
    void (*settled)(void *ctx, const kith_peer_id *peer);
    void *ctx;
} kith_names_watch;
/* One at most; borrowed. NULL: none. */
void kith_names_set_watch(kith_names *n, const kith_names_watch *w);

/* Adds self_name ("": unknown). n may be NULL. */
void kith_json_add_self_name(json_t *o, const kith_names *n, const kith_peer_id *peer);
/* The record of a connected peer: sequence time algorithms addrs; NULL: there is none. */
json_t *kith_json_peer_info(const kith_names *n, const kith_peer_id *peer);

#endif
