/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A byte queue with a cap: appended at the end, consumed from the front, memory only while it holds something. */
#ifndef KITH_BASE_BUF_H
#define KITH_BASE_BUF_H

#include "base/env.h"
#include "base/err.h"

typedef struct kith_buf {
    uint8_t *p;
    size_t off; /* consumed */
    size_t len; /* queued, from off */
    size_t cap; /* size of the block: at most a quarter above max */
    size_t max; /* cap on len */
} kith_buf;

void kith_buf_init(kith_buf *b, size_t max);
/* Releases the block; the queue is empty and usable afterwards. */
void kith_buf_fini(kith_buf *b, const kith_env *env);

/* Appends all or nothing. KITH_ELIMIT: len would pass max. KITH_ENOMEM. */
KITH_CHECK kith_err kith_buf_put(kith_buf *b, const kith_env *env, kith_bytes in);
/* Makes n more bytes of room at the end and shows them; count what was written with kith_buf_add. Same errors. */
KITH_CHECK kith_err kith_buf_room(kith_buf *b, const kith_env *env, size_t n, kith_span *out);
void kith_buf_add(kith_buf *b, size_t n);
/* What is queued; valid until the next change. */
kith_bytes kith_buf_view(const kith_buf *b);
kith_span kith_buf_span(kith_buf *b);
/* Drops n <= len bytes from the front; an emptied queue gives its block back. */
void kith_buf_drop(kith_buf *b, const kith_env *env, size_t n);
/* Moves up to out.len bytes out; returns how many. */
size_t kith_buf_take(kith_buf *b, const kith_env *env, kith_span out);

#endif
