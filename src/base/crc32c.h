/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* CRC-32C (Castagnoli), against accidents: typing errors, torn writes. No protection from anybody who means it. */
#ifndef KITH_BASE_CRC32C_H
#define KITH_BASE_CRC32C_H

#include "base/bytes.h"

/* crc is 0 at first; a later call goes on from the result of an earlier one. RFC 3720, appendix B.4. */
uint32_t kith_crc32c(uint32_t crc, kith_bytes in);

#endif
