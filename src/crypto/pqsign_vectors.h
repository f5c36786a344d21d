/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What published test vectors ask of the code behind crypto/pqsign.h and no other caller may: parameter sets that kith does not use, a context
 * string, expanded private keys, and the internal functions (FIPS 204, 6.2 and 6.3; FIPS 205, 9.2 and 9.3), which skip the prefix that keeps
 * a pure signature from passing for another kind. */
#ifndef KITH_CRYPTO_PQSIGN_VECTORS_H
#define KITH_CRYPTO_PQSIGN_VECTORS_H

#include "crypto/pqsign.h"

typedef struct kith_pq_how {
    const char *set;    /* OpenSSL's name of the parameter set */
    bool internal;      /* the internal function: msg is M' */
    kith_bytes context; /* of the pure mode; up to 255 bytes */
    const uint8_t *rnd; /* NULL: deterministic */
    size_t rnd_len;
} kith_pq_how;

/* Writes the public key that a seed gives to pub (at most pub.len bytes) and its length. KITH_ECRYPTO. */
KITH_CHECK kith_err kith_pq_vector_public(const char *set, kith_bytes seed, kith_span pub, size_t *len);
/* sig.len: room in, length out. KITH_ECRYPTO: a malformed key, or any other refusal. */
KITH_CHECK kith_err kith_pq_vector_sign(const kith_pq_how *how, kith_bytes sk, kith_bytes msg,
                                        kith_span *sig);
KITH_CHECK kith_err kith_pq_vector_verify(const kith_pq_how *how, kith_bytes key, kith_bytes msg,
                                          kith_bytes sig);

#endif
