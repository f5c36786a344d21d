/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One end of a /kith/share/2 stream without any manners: it hands over what comes, and says any bytes at any time. For the tests that mean harm. */
#ifndef KITH_TEST_RAW_SHARE_H
#define KITH_TEST_RAW_SHARE_H

#include "apps/share.h"
#include "proto/stream.h"

typedef struct raw_share {
    void *ctx;
    /* A head has come; kind OTHER: also one that cannot be parsed. */
    void (*on)(struct raw_share *x, const kith_share_msg *m);
    void (*body)(struct raw_share *x, kith_bytes part); /* of the last head; may be NULL */
    void (*over)(struct raw_share *x); /* the peer closed, or the stream is gone; may be NULL */
    bool fin, reset;                   /* what is wanted once everything was said */
    bool deaf;                         /* takes nothing: its window is not given back */
    bool eof, gone;
    /* its own */
    kith_share_reader reader;
    uint64_t skip;
    size_t kept;
    uint8_t *out;
    size_t out_at, out_len, out_cap;
} raw_share;

extern const kith_stream_ops raw_share_ops;

raw_share *raw_share_new(void);

void raw_put(raw_share *x, const void *p, size_t n);
/* A frame in good order. */
void raw_say(raw_share *x, const kith_share_msg *m);
void raw_say_body(raw_share *x, const kith_share_msg *m, kith_bytes body);
/* A frame of any head, and an inner message of any bytes in a head that says `body`. */
void raw_head(raw_share *x, kith_bytes head);
void raw_message(raw_share *x, uint32_t kind, kith_bytes inner, uint64_t body);

#define RAW(s)                              \
    (kith_bytes)                            \
    {                                       \
        (const uint8_t *)(s), sizeof(s) - 1 \
    }

#endif
