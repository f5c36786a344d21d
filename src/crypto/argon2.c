/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Argon2id over OpenSSL's KDF. */
#include "crypto/argon2.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "crypto/crypto.h"
#include "crypto/internal.h"

const kith_argon2_cost kith_argon2_usual = {.kib = 64 << 10, .passes = 3, .lanes = 4};

static bool in_range(const kith_argon2_cost *c)
{
    return c->lanes >= 1 && c->lanes <= KITH_ARGON2_LANES_MAX && c->passes >= 1 &&
           c->passes <= KITH_ARGON2_PASSES_MAX && c->kib >= 8 * c->lanes && c->kib <= KITH_ARGON2_KIB_MAX;
}

kith_err kith_argon2id(kith_bytes passphrase, kith_bytes salt, const kith_argon2_cost *cost, kith_span out)
{
    if (!in_range(cost) || salt.len < KITH_ARGON2_SALT_MIN || salt.len > KITH_ARGON2_SALT_LEN ||
        passphrase.len == 0 || passphrase.len > KITH_ARGON2_PASSPHRASE_MAX)
        return KITH_ELIMIT;
    uint8_t pass[KITH_ARGON2_PASSPHRASE_MAX], salted[KITH_ARGON2_SALT_LEN]; /* parameters are not const */
    kith_argon2_cost c = *cost;
    uint32_t threads = 1;
    memcpy(pass, passphrase.p, passphrase.len);
    memcpy(salted, salt.p, salt.len);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, pass, passphrase.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salted, salt.len),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_MEMCOST, &c.kib),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ITER, &c.passes),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_LANES, &c.lanes),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_THREADS, &threads),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "ARGON2ID", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool ok = ctx && EVP_KDF_derive(ctx, out.p, out.len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    kith_wipe(pass, sizeof pass);
    return ok ? KITH_OK : kith_crypto_err(KITH_ENOMEM);
}
