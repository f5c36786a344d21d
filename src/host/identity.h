/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The identity file: the seeds that a node's name comes from. docs/protocols/identity-file.md. */
#ifndef KITH_HOST_IDENTITY_H
#define KITH_HOST_IDENTITY_H

#include "crypto/sign.h"

/* Loads the identity at path, or makes it (mode 0600, complete or not there at all). KITH_EFORMAT: not an identity file, or a newer
 * version. KITH_EPOLICY: other users may read it. KITH_EIO. *why (static or from strerror) says it to a person. */
KITH_CHECK kith_err kith_identity_load(const char *path, kith_signer **out, bool *made, const char **why);

/* The same over bytes, for tests and fuzzers. seed: written only on KITH_OK. */
KITH_CHECK kith_err kith_identity_parse(kith_bytes in, uint8_t seed[KITH_ED25519_SEED_LEN], const char **why);
#define KITH_IDENTITY_LEN_MAX 256
size_t kith_identity_format(const uint8_t seed[KITH_ED25519_SEED_LEN], char out[KITH_IDENTITY_LEN_MAX]);

#endif
