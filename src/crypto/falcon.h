/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Falcon-512 with padded signatures, round 3, where the build has liboqs; else every function says KITH_EUNSUPPORTED. Experimental: FIPS 206 is not
 * there yet. Only crypto/pqsign.c calls this. */
#ifndef KITH_CRYPTO_FALCON_H
#define KITH_CRYPTO_FALCON_H

#include "base/bytes.h"
#include "base/err.h"

#define KITH_FALCON_PRIVATE_LEN 1281
#define KITH_FALCON_PUB_LEN 897
#define KITH_FALCON_SIG_LEN 666 /* padded: always this long */
#define KITH_FALCON_PAIR_LEN (KITH_FALCON_PRIVATE_LEN + KITH_FALCON_PUB_LEN)

bool kith_falcon_available(void);
/* pair: the private key, then the public one. liboqs draws randomness of its own, here and for signing; KITH_ECRYPTO: it failed. */
KITH_CHECK kith_err kith_falcon_make(uint8_t pair[KITH_FALCON_PAIR_LEN]);
KITH_CHECK kith_err kith_falcon_sign(const uint8_t pair[KITH_FALCON_PAIR_LEN], kith_bytes msg,
                                     uint8_t sig[KITH_FALCON_SIG_LEN]);
/* Both have their right lengths. KITH_ECRYPTO. */
KITH_CHECK kith_err kith_falcon_verify(kith_bytes key, kith_bytes msg, kith_bytes sig);

#endif
