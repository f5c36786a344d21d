/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a share code stands for: where its sharer is looked for, how a receiver names it, and the secret of the exchange. Slow on purpose.
 * docs/protocols/code.md
 *
 *     place  = Argon2id( the 6 symbols that locate )           nothing of it depends on the secret
 *     tag    = SHA-256( .. place )                             names the code to its sharer; nobody else can tell what it belongs to
 *     key    = SHA-256( .. place, half hour )                  what is published
 *     secret = Argon2id( the 5 symbols of the secret, tag )    of SPAKE2 */
#ifndef KITH_HOST_CODE_KEY_H
#define KITH_HOST_CODE_KEY_H

#include <uv.h>

#include "apps/share_code.h"
#include "apps/share_pake.h"
#include "mesh/mdns_keys.h"

#define KITH_CODE_BUCKET_S 1800 /* seconds that a key is in use */
#define KITH_CODE_PLACE_LEN 32
#define KITH_CODE_KEY_LEN KITH_MDNS_KEY_LEN
#define KITH_CODE_HASH_LEN (2 + KITH_CODE_KEY_LEN)

/* The caller wipes it. */
typedef struct kith_code_keys {
    uint8_t place[KITH_CODE_PLACE_LEN];
    uint8_t tag[KITH_PAKE_TAG_LEN];
    uint8_t secret[KITH_PAKE_SECRET_LEN];
} kith_code_keys;

/* The two halves, each about 0.15 s and 32 MiB of whatever thread computes them; place and tag first, which the second half needs.
 * KITH_ENOMEM. */
KITH_CHECK kith_err kith_code_place(const kith_code *c, kith_code_keys *k);
KITH_CHECK kith_err kith_code_secret(const kith_code *c, kith_code_keys *k);

uint64_t kith_code_bucket(uint64_t unix_seconds);
void kith_code_key(const uint8_t place[KITH_CODE_PLACE_LEN], uint64_t bucket, uint8_t out[KITH_CODE_KEY_LEN]);
/* The same as a multihash, sha2-256, which the DHT's servers want: the key is its end. */
void kith_code_hash(const uint8_t place[KITH_CODE_PLACE_LEN], uint64_t bucket,
                    uint8_t out[KITH_CODE_HASH_LEN]);

/* Both halves on the worker pool, one after the other, so that the search can begin with the first. */
typedef struct kith_code_work kith_code_work;
/* On the loop's thread, when place and tag are there (whole false), and when all is (whole true); or once with KITH_ENOMEM. keys is valid for the
 * call. */
typedef void (*kith_code_worked)(void *ctx, kith_err e, const kith_code_keys *keys, bool whole);
/* NULL: no memory, and fn is not called. */
kith_code_work *kith_code_work_new(uv_loop_t *loop, const kith_code *c, kith_code_worked fn, void *ctx);
/* fn is not called any more; before the last call only, and NULL is fine. */
void kith_code_work_cancel(kith_code_work *w);

#endif
