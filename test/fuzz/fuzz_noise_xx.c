/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes the handshake of /noise, both roles: noise_fuzz.h says how. */
#include "fuzz/noise_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_handshake("/noise", data, size);
    return 0;
}
