/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sharing a stream (apps/share_stream.h): the first who proves to have the code or the ticket gets it, and nobody else. */
#ifndef KITH_HOST_STREAM_SHARE_H
#define KITH_HOST_STREAM_SHARE_H

#include "apps/share_stream.h"
#include "host/host.h"
#include "host/share_grant.h"

#define KITH_STREAM_ASKING_MAX 16 /* at once, that have proved nothing yet */

typedef struct kith_stream_share kith_stream_share;

typedef struct kith_stream_share_config {
    kith_host *host;
    const kith_signer *signer; /* the node's; borrowed */
    bool both;                 /* what the receiver sends is wanted too */
    /* It is let in. The pipe, and the stream's user, are the callee's from here on. */
    void (*admitted)(void *ctx, kith_stream *s, kith_pipe *pipe);
    /* Somebody came and got nothing: text, valid for the call. */
    void (*refused)(void *ctx, const kith_peer_id *peer, const char *text);
    void *ctx;
} kith_stream_share_config;

/* Registers the protocol; admits nobody until it is told whom. NULL: no memory. */
kith_stream_share *kith_stream_share_new(const kith_stream_share_config *cfg);
/* Who is still asking is told that it is over; no call follows. Before the host's loop ends. */
void kith_stream_share_stop(kith_stream_share *v);
/* After the host's loop has ended. NULL is fine. */
void kith_stream_share_free(kith_stream_share *v);

/* Ways in, as of share_serve.h. */
KITH_CHECK kith_err kith_stream_share_issue(kith_stream_share *v, kith_capability *c, kith_wr *w);
KITH_CHECK kith_err kith_stream_share_code(kith_stream_share *v, const uint8_t tag[KITH_PAKE_TAG_LEN],
                                           const uint8_t secret[KITH_PAKE_SECRET_LEN], uint64_t not_after);
/* Wrong guesses at the code so far. */
uint32_t kith_stream_share_guesses(const kith_stream_share *v);

#endif
