/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes the handshakes with a psk, of quantum key distribution or of an earlier handshake, both roles: noise_fuzz.h says how. The first byte
 * chooses the game, the suite and whether the responder has the psk, the second the length of the pieces. */
#include "fuzz/noise_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const kith_noise_suite *suite = data[0] & 8 ? &kith_noise_resume_suites[(data[0] >> 4 & 3) % 3]
                                                : &kith_noise_psk_suites[data[0] >> 2 & 1];
    fuzz_without = data[0] & 64;
    kith_bytes in = kith_bytes_of(data + 2, size - 2);
    if (data[0] & 2)
        fuzz_honest(suite, data[1], in);
    else
        fuzz_raw(suite, data[0] & 1, data[1], in);
    return 0;
}
