/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of the crypto floor share: the algorithms fetched once, and the contexts that each thread
 * keeps. */
#ifndef KITH_CRYPTO_INTERNAL_H
#define KITH_CRYPTO_INTERNAL_H

#include <openssl/evp.h>

#include "base/err.h"
#include "crypto/pqsign.h"

/* Filled by kith_crypto_init, then only read. */
typedef struct kith_algs {
    EVP_MD *sha256;
    EVP_MD *sha512;
    EVP_MD *shake128;
    EVP_CIPHER *chacha20_poly1305;
    EVP_CIPHER *aes_256_gcm;
    EVP_SIGNATURE *sig[KITH_SIG_COUNT]; /* NULL for none, and for Falcon */
} kith_algs;

extern kith_algs kith_crypto_algs;

/* Contexts for the one-shot functions, made at a thread's first use and freed when the thread ends. One per
 * digest, since one that changes its digest allocates. */
typedef struct kith_thread {
    EVP_MD_CTX *sha256;
    EVP_MD_CTX *sha512;
} kith_thread;

/* Never NULL: a thread that cannot have a few hundred bytes ends the process, as hashes have no way to say
 * so. */
kith_thread *kith_crypto_thread(void);

/* Zeroes the stack below the caller, 16 KiB of it: what functions that have returned kept there of secrets (registers that had to make
 * room, words of a hash's block), which nobody else can wipe. An eighth of a microsecond. */
void kith_stack_wipe(void);

/* Empties OpenSSL's error queue of this thread and passes e on: the queue must not carry our refusals into
 * somebody's TLS code. */
kith_err kith_crypto_err(kith_err e);

#endif
