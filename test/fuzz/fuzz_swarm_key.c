/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes key files of private networks: what is read can be written, and read again. */
#include <assert.h>

#include "crypto/crypto.h"
#include "wire/swarm_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t key[KITH_SWARM_KEY_LEN], back[KITH_SWARM_KEY_LEN], text[KITH_SWARM_KEY_TEXT_MAX];
    const char *why = NULL;
    if (kith_swarm_key_parse(kith_bytes_of(data, size), key, &why)) {
        assert(why);
        return 0;
    }
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    kith_swarm_key_put(key, &w);
    kith_err e = kith_swarm_key_parse(kith_wr_bytes(&w), back, &why);
    assert(!w.bad && e == KITH_OK && memcmp(key, back, sizeof key) == 0);
    (void)e;
    return 0;
}
