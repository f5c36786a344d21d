/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Walks and hashes what is shared on the worker pool, while the loop does other things. */
#ifndef KITH_HOST_SHARE_SCAN_H
#define KITH_HOST_SHARE_SCAN_H

#include <uv.h>

#include "host/share_src.h"

typedef struct kith_share_scan kith_share_scan;

typedef enum kith_share_scan_kind {
    KITH_SHARE_SCAN_WARNING, /* text: something was left out */
    KITH_SHARE_SCAN_WALKED,  /* everything is found */
    KITH_SHARE_SCAN_HASHED,  /* more is hashed, and maybe more roots are known */
    KITH_SHARE_SCAN_DONE,    /* all is hashed, and the id is there. Nothing follows */
    KITH_SHARE_SCAN_FAILED,  /* text. Nothing follows */
} kith_share_scan_kind;

typedef struct kith_share_scan_config {
    uv_loop_t *loop;
    kith_share_src *src; /* begun; outlives the scan */
    /* On the loop's thread, not out of start. text is valid for the call. */
    void (*event)(void *ctx, kith_share_scan_kind kind, const char *text);
    void *ctx;
} kith_share_scan_config;

/* NULL: no memory. */
kith_share_scan *kith_share_scan_start(const kith_share_scan_config *cfg);
/* Has it end early; no event follows. */
void kith_share_scan_stop(kith_share_scan *c);
/* After the loop has ended. NULL is fine. */
void kith_share_scan_free(kith_share_scan *c);

#endif
