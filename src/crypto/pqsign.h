/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Post-quantum signatures: ML-DSA (FIPS 204) and SLH-DSA (FIPS 205), pure, with an empty context string, so the same as RFC-0004's and any
 * other library's; and Falcon-512 where the build has liboqs. A key is made from a seed and signing takes its randomness from the caller, so
 * that runs can be repeated (but for Falcon's, which draws its own).
 *
 * Threads: a signer is only read after it was made, so any number of threads may sign with one at once; whoever frees it sees to it that
 * none still does. Verifying shares nothing. Nothing here touches the caller's random source or allocator. */
#ifndef KITH_CRYPTO_PQSIGN_H
#define KITH_CRYPTO_PQSIGN_H

#include "base/env.h"
#include "base/err.h"

/* name, NIST category, bytes of the seed, the public key and a signature: FIPS 204, tables 1 and 2; FIPS 205, table 2.
 * The seed: ML-DSA's xi; SLH-DSA's SK.seed || SK.prf || PK.seed. Falcon has no portable one: there it is the private key and then the public
 * key, and only kith_pq_seed_new makes it. */
/* clang-format off */
#define KITH_SIG_TABLE(row)                                   \
    row(MLDSA44, "ML-DSA-44", 2, 32, 1312, 2420)              \
    row(MLDSA65, "ML-DSA-65", 3, 32, 1952, 3309)              \
    row(MLDSA87, "ML-DSA-87", 5, 32, 2592, 4627)              \
    row(SLHDSA128S, "SLH-DSA-SHA2-128s", 1, 48, 32, 7856)     \
    row(SLHDSA128F, "SLH-DSA-SHA2-128f", 1, 48, 32, 17088)    \
    row(FALCON512, "Falcon-512", 1, 2178, 897, 666)
/* clang-format on */

#define KITH_SIG_SEED_MAX 2178
#define KITH_SIG_PUB_MAX 2592
#define KITH_SIG_MAX 17088
#define KITH_SIG_RND_LEN 32

typedef enum kith_sig_alg {
    KITH_SIG_NONE,
#define KITH_SIG_ROW(id, ...) KITH_SIG_##id,
    KITH_SIG_TABLE(KITH_SIG_ROW)
#undef KITH_SIG_ROW
        KITH_SIG_COUNT
} kith_sig_alg;

typedef struct kith_sig_info {
    const char *name; /* NIST's; static */
    int category;     /* NIST's security category, 1..5 */
    size_t seed_len, pub_len, sig_len;
} kith_sig_info;

/* alg is one of the table's; never NULL. */
const kith_sig_info *kith_sig_info_of(kith_sig_alg alg);
/* By its name in any case of letters; KITH_SIG_NONE: there is none of this name. */
kith_sig_alg kith_sig_named(kith_bytes name);
/* Whether this build can make and check its signatures: all but Falcon's always. */
bool kith_sig_available(kith_sig_alg alg);

/* Writes a fresh seed, seed_len bytes. KITH_EUNSUPPORTED: kith_sig_available says no. KITH_ECRYPTO: liboqs failed. */
KITH_CHECK kith_err kith_pq_seed_new(kith_sig_alg alg, kith_rand rand, uint8_t *seed);

typedef struct kith_pq_signer kith_pq_signer; /* a private key ready for use */

/* seed.len must be right for alg. Takes as long as making a key: ML-DSA 0.2 ms, SLH-DSA 128f 1 ms and 128s 50 ms. KITH_EFORMAT: a seed of
 * a wrong length, or a Falcon pair that does not fit together. KITH_EUNSUPPORTED. KITH_ENOMEM. */
KITH_CHECK kith_err kith_pq_signer_new(kith_sig_alg alg, kith_bytes seed, kith_pq_signer **out);
void kith_pq_signer_free(kith_pq_signer *s); /* wipes; NULL is fine */
kith_sig_alg kith_pq_signer_alg(const kith_pq_signer *s);
/* pub_len bytes, valid as long as the signer. */
kith_bytes kith_pq_signer_public(const kith_pq_signer *s);
/* Writes sig_len bytes. rnd: 32 random bytes, which hedge the signature against faults and side channels (SLH-DSA 128 takes the first 16); NULL:
 * the deterministic variant, whose signatures are as valid. Falcon takes no notice of it. KITH_ENOMEM. */
KITH_CHECK kith_err kith_pq_sign(const kith_pq_signer *s, kith_bytes msg, const uint8_t rnd[KITH_SIG_RND_LEN],
                                 uint8_t *sig);

/* key: raw. KITH_ECRYPTO: the key or the signature has a wrong length, or the signature is not of this key and text.
 * KITH_EUNSUPPORTED. */
KITH_CHECK kith_err kith_pq_verify(kith_sig_alg alg, kith_bytes key, kith_bytes msg, kith_bytes sig);

#endif
