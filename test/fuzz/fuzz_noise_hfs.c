/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes the handshake of /noise-mlkem768-hfs/0.2.0, both roles: noise_fuzz.h says how. */
#include "fuzz/noise_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_handshake("/noise-mlkem768-hfs/0.2.0", data, size);
    return 0;
}
