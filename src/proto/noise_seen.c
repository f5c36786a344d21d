/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "proto/noise_seen.h"

#include <stdatomic.h>

#define WORDS (KITH_SHA256_LEN / sizeof(uint32_t)) /* 32 bits: whole on every machine, without a lock */

/* Of two threads that write to one place, or of one that reads there meanwhile, each word is one's or the other's. A name that equals a
 * mixture of two others' words is as hard to find as one that equals another. All zero: empty; no name is. */
struct kith_noise_seen {
    const kith_env *env; /* borrowed */
    _Atomic uint32_t names[KITH_NOISE_SEEN_MAX][WORDS];
};

kith_noise_seen *kith_noise_seen_new(const kith_env *env)
{
    kith_noise_seen *seen = KITH_NEW(env, kith_noise_seen);
    if (seen)
        seen->env = env;
    return seen;
}

void kith_noise_seen_free(kith_noise_seen *seen)
{
    if (seen)
        KITH_FREE(seen->env, seen);
}

kith_noise_seen_name kith_noise_seen_name_of(kith_bytes identity, const uint8_t s[KITH_X25519_LEN],
                                             kith_bytes sig)
{
    uint8_t who[KITH_SHA256_LEN], what[KITH_SHA256_LEN];
    kith_noise_seen_name name;
    kith_sha256(identity, who);
    kith_sha256_2(kith_bytes_of(s, KITH_X25519_LEN), sig, what);
    kith_sha256_2(kith_bytes_of(who, sizeof who), kith_bytes_of(what, sizeof what), name.b);
    return name;
}

static void words_of(const kith_noise_seen_name *name, uint32_t out[WORDS])
{
    for (size_t i = 0; i < WORDS; i++)
        out[i] = kith_load_be32(name->b + i * sizeof(uint32_t));
}

bool kith_noise_seen_has(const kith_noise_seen *seen, const kith_noise_seen_name *name)
{
    uint32_t words[WORDS];
    bool same = true;
    words_of(name, words);
    const _Atomic uint32_t *at = seen->names[words[0] % KITH_NOISE_SEEN_MAX];
    for (size_t i = 0; i < WORDS; i++)
        same &= atomic_load_explicit(&at[i], memory_order_relaxed) == words[i];
    return same;
}

void kith_noise_seen_add(kith_noise_seen *seen, const kith_noise_seen_name *name)
{
    uint32_t words[WORDS];
    words_of(name, words);
    _Atomic uint32_t *at = seen->names[words[0] % KITH_NOISE_SEEN_MAX];
    for (size_t i = 0; i < WORDS; i++)
        atomic_store_explicit(&at[i], words[i], memory_order_relaxed);
}
