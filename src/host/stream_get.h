/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reaching a shared stream (apps/share_stream.h): dials who has it, proves what admits to it, and hands over its pipe. */
#ifndef KITH_HOST_STREAM_GET_H
#define KITH_HOST_STREAM_GET_H

#include "apps/share_stream.h"
#include "host/host.h"
#include "host/share_fetch.h"

typedef struct kith_stream_get kith_stream_get;

typedef struct kith_stream_get_config {
    kith_host *host;
    const kith_ticket *ticket;   /* copied; with a code its capability is empty */
    const kith_fetch_code *code; /* copied; NULL: none */
    /* Connected; false: the owner has stopped it. */
    void (*connected)(void *ctx, kith_conn *conn);
    /* It is open: pipe, and the stream's user, are the callee's from here on. both: the sharer wants to be sent something too. */
    void (*opened)(void *ctx, kith_stream *s, kith_share_stream *machine, kith_pipe *pipe, bool both);
    /* It is not, and nothing follows. files: what it has is a share of files. */
    void (*failed)(void *ctx, kith_share_fetch_why why, bool files, const char *text);
    void *ctx;
} kith_stream_get_config;

/* Starts. NULL: no memory. */
kith_stream_get *kith_stream_get_new(const kith_stream_get_config *cfg);
/* Gives it up, if it is not open; failed is not called any more. text for nobody. */
void kith_stream_get_stop(kith_stream_get *g);
/* After the host's loop has ended. NULL is fine. */
void kith_stream_get_free(kith_stream_get *g);

#endif
