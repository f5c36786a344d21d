/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Argon2id, RFC 9106: a key from a passphrase, slowly. */
#ifndef KITH_CRYPTO_ARGON2_H
#define KITH_CRYPTO_ARGON2_H

#include "base/bytes.h"
#include "base/err.h"

typedef struct kith_argon2_cost {
    uint32_t kib;    /* memory, 8 * lanes .. KITH_ARGON2_KIB_MAX */
    uint32_t passes; /* over the memory, 1 .. KITH_ARGON2_PASSES_MAX */
    uint32_t lanes;  /* 1 .. KITH_ARGON2_LANES_MAX; all are done by the calling thread */
} kith_argon2_cost;

/* What a cost that comes from a file may ask of this machine: about ten seconds. */
#define KITH_ARGON2_KIB_MAX (1u << 20)
#define KITH_ARGON2_PASSES_MAX 16
#define KITH_ARGON2_LANES_MAX 16

#define KITH_ARGON2_SALT_LEN 16
#define KITH_ARGON2_SALT_MIN 8
#define KITH_ARGON2_PASSPHRASE_MAX 1024

/* 64 MiB, three passes, four lanes: RFC 9106, section 4, the second recommended option. */
extern const kith_argon2_cost kith_argon2_usual;

/* passphrase: 1 .. KITH_ARGON2_PASSPHRASE_MAX bytes. salt: KITH_ARGON2_SALT_MIN .. KITH_ARGON2_SALT_LEN bytes. out: 4 bytes or more. KITH_ELIMIT: any of
 * them, or the cost, is out of its range. KITH_ENOMEM: also when the memory that the cost asks for is not there. */
KITH_CHECK kith_err kith_argon2id(kith_bytes passphrase, kith_bytes salt, const kith_argon2_cost *cost,
                                  kith_span out);

#endif
