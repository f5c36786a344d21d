/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What unit tests share: cmocka with its includes, an allocator that accounts and fails on request, seeded numbers, hex. */
#ifndef UNIT_SUPPORT_H
#define UNIT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env.h"
#include "base/err.h"
#include "crypto/sign.h"
#include "wire/peer_id.h"

/* Where memory and stacks are not what they look like. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SUPPORT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SUPPORT_SANITIZED 1
#endif
#endif

/* A heap that checks every size it is told, and counts. */
typedef struct support_heap {
    size_t blocks, bytes; /* in use */
    size_t peak;          /* most bytes at once */
    size_t calls;         /* allocations and resizings asked for */
    size_t fail_at;       /* the call, from 1, that fails, and all after it; 0: none */
    bool once;            /* those after it do not */
} support_heap;

/* Zeroes *h. Random bytes are a fixed stream, trace goes nowhere. The env lies in static storage: one at a time. */
const kith_env *support_env(support_heap *h);
/* Nothing is left. */
void support_heap_check(const support_heap *h);

/* splitmix64: a stream of numbers from a seed. */
uint64_t support_next(uint64_t *state);
/* Uniform enough in [0, n). */
size_t support_below(uint64_t *state, size_t n);

/* The bytes of a hex text, on the heap in a block of exactly their size (so that a sanitizer sees a read beyond): free p. */
kith_span support_hex(const char *hex);
/* A copy in a block of exactly its size; p is never NULL. */
kith_span support_copy(kith_bytes b);

void support_assert_bytes(kith_bytes got, kith_bytes want);
void support_assert_hex(kith_bytes got, const char *want);
void support_assert_str(kith_bytes got, const char *want);

/* A peer whose key is made of n, the same for the same n. */
kith_peer_id support_peer(unsigned n);
kith_peer_id support_peer_of(const kith_signer *s);
/* Runs SQL on a file that somebody else may have open. */
void support_sql(const char *path, const char *text);

/* A file below the source tree, NUL-terminated; fails the test when it is not there. Free it. */
char *support_file(const char *path, size_t *len);
/* Next line of a vector file: cuts *at, skipping comments, into words; returns how many, 0 at the end. */
size_t support_words(char **at, char **words, size_t max);

/* Calls parse with every shorter prefix of `in`, and with every one of its bytes replaced by each of a few others, in blocks of their
 * exact size. */
void support_mutate(kith_bytes in, void (*parse)(void *ctx, kith_bytes in), void *ctx);

#endif
