/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* CRC-32C, bit by bit: what it guards is short. */
#include "base/crc32c.h"

uint32_t kith_crc32c(uint32_t crc, kith_bytes in)
{
    uint32_t c = ~crc;
    for (size_t i = 0; i < in.len; i++) {
        c ^= in.p[i];
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
    }
    return ~c;
}
