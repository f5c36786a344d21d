/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Text from strangers: UTF-8 taken apart strictly, and what of it may be shown on a terminal. */
#ifndef KITH_BASE_TEXT_H
#define KITH_BASE_TEXT_H

#include "base/bytes.h"

/* Decodes the code point at the start of in: its length in bytes, 1..4, or 0 when in is empty or does not begin with one well-formed
 * (overlong forms, surrogates and values above U+10FFFF are not). *cp is written only on success. */
size_t kith_utf8_next(kith_bytes in, uint32_t *cp);

/* Whether a code point may stand in a line of output: no control character (C0, DEL, C1), no line or paragraph separator, nothing that
 * changes the direction of what follows. */
bool kith_text_printable(uint32_t cp);

/* Whether in is well-formed UTF-8 of printable code points only. */
bool kith_text_clean(kith_bytes in);

#endif
