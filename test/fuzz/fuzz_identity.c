/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The identity file: any bytes are read or refused with a reason, and a seed that was read is written and read again the same. */
#include <assert.h>
#include <string.h>

#include "host/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t seed[KITH_ED25519_SEED_LEN], again[KITH_ED25519_SEED_LEN], untouched[KITH_ED25519_SEED_LEN];
    char text[KITH_IDENTITY_LEN_MAX];
    const char *why = NULL;
    memset(seed, 0xa5, sizeof seed);
    memset(untouched, 0xa5, sizeof untouched);
    if (kith_identity_parse(kith_bytes_of(data, size), seed, &why)) {
        assert(why && memcmp(seed, untouched, sizeof seed) == 0);
        return 0;
    }
    assert(!why);
    size_t len = kith_identity_format(seed, text);
    assert(len <= sizeof text);
    kith_err e = kith_identity_parse(kith_bytes_of(text, len), again, &why);
    assert(e == KITH_OK && memcmp(seed, again, sizeof seed) == 0);
    return 0;
}
