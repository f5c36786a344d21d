/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Hashes that say which hash they are: multiformats/multihash. */
#ifndef KITH_WIRE_MULTIHASH_H
#define KITH_WIRE_MULTIHASH_H

#include "base/bytes.h"
#include "base/err.h"

/* Codes of the multicodec table. */
enum {
    KITH_MH_IDENTITY = 0x00,
    KITH_MH_SHA2_256 = 0x12,
    KITH_MH_SHA2_512 = 0x13,
    KITH_MH_BLAKE3 = 0x1e,
};

typedef struct kith_multihash {
    uint64_t code;
    kith_bytes digest; /* view into the input */
} kith_multihash;

/* Reads one multihash of any code. A digest of a code above is not longer than its hash (sha2-256: 32, sha2-512: 64; blake3, which can be
 * extended: 128; identity: any) nor empty (identity may be); it may be cut short: who needs all of it checks. On failure r is bad. */
kith_multihash kith_get_multihash(kith_rd *r);
/* The whole input is one multihash. KITH_EFORMAT. */
KITH_CHECK kith_err kith_multihash_parse(kith_bytes in, kith_multihash *out);
void kith_put_multihash(kith_wr *w, uint64_t code, kith_bytes digest);

#endif
