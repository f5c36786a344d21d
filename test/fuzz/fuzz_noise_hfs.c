/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes the handshakes with ML-KEM, both roles: noise_fuzz.h says how. The first byte also chooses the level. */
#include "fuzz/noise_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const ids[] = {"/noise-mlkem768-hfs/0.2.0", "/kith/noise-mlkem1024-hfs/1",
                                      "/kith/noise-mlkem512-hfs/1", "/kith/noise-mlkem768-hfs/1"};
    fuzz_handshake(ids[size ? data[0] / 7 % 4 : 0], data, size);
    return 0;
}
