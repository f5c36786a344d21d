/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Falcon-512 over liboqs. */
#include "crypto/falcon.h"

#ifdef KITH_OQS

#include <oqs/oqs.h>

_Static_assert(OQS_SIG_falcon_padded_512_length_public_key == KITH_FALCON_PUB_LEN &&
                   OQS_SIG_falcon_padded_512_length_secret_key == KITH_FALCON_PRIVATE_LEN &&
                   OQS_SIG_falcon_padded_512_length_signature == KITH_FALCON_SIG_LEN,
               "liboqs's Falcon has other sizes");

bool kith_falcon_available(void)
{
    return OQS_SIG_alg_is_enabled(OQS_SIG_alg_falcon_padded_512) == 1;
}

kith_err kith_falcon_make(uint8_t pair[KITH_FALCON_PAIR_LEN])
{
    OQS_STATUS s = OQS_SIG_falcon_padded_512_keypair(pair + KITH_FALCON_PRIVATE_LEN, pair);
    return s == OQS_SUCCESS ? KITH_OK : KITH_ECRYPTO;
}

kith_err kith_falcon_sign(const uint8_t pair[KITH_FALCON_PAIR_LEN], kith_bytes msg,
                          uint8_t sig[KITH_FALCON_SIG_LEN])
{
    size_t len = KITH_FALCON_SIG_LEN;
    OQS_STATUS s = OQS_SIG_falcon_padded_512_sign(sig, &len, msg.p, msg.len, pair);
    return s == OQS_SUCCESS && len == KITH_FALCON_SIG_LEN ? KITH_OK : KITH_ECRYPTO;
}

kith_err kith_falcon_verify(kith_bytes key, kith_bytes msg, kith_bytes sig)
{
    OQS_STATUS s = OQS_SIG_falcon_padded_512_verify(msg.p, msg.len, sig.p, sig.len, key.p);
    return s == OQS_SUCCESS ? KITH_OK : KITH_ECRYPTO;
}

#else

bool kith_falcon_available(void)
{
    return false;
}

kith_err kith_falcon_make(uint8_t pair[KITH_FALCON_PAIR_LEN])
{
    (void)pair;
    return KITH_EUNSUPPORTED;
}

kith_err kith_falcon_sign(const uint8_t pair[KITH_FALCON_PAIR_LEN], kith_bytes msg,
                          uint8_t sig[KITH_FALCON_SIG_LEN])
{
    (void)pair, (void)msg, (void)sig;
    return KITH_EUNSUPPORTED;
}

kith_err kith_falcon_verify(kith_bytes key, kith_bytes msg, kith_bytes sig)
{
    (void)key, (void)msg, (void)sig;
    return KITH_EUNSUPPORTED;
}

#endif
