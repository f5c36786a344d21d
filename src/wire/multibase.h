/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Bytes as text: the bases of multiformats/multibase that libp2p uses, with and without the prefix character. */
#ifndef KITH_WIRE_MULTIBASE_H
#define KITH_WIRE_MULTIBASE_H

#include "base/bytes.h"
#include "base/err.h"

/* A base by its multibase prefix. Encoding is in lower case and unpadded. */
typedef enum kith_base {
    KITH_BASE16 = 'f',
    KITH_BASE32 = 'b', /* RFC 4648, a-z 2-7 */
    KITH_BASE36 = 'k', /* IPNS names */
    KITH_BASE58 = 'z', /* Bitcoin's alphabet */
    KITH_BASE64 = 'm',
    KITH_BASE64URL = 'u',
} kith_base;

/* The two bases that are not powers of two cost time quadratic in the length: input beyond this is refused. */
#define KITH_BASE58_IN_MAX 1024

/* Appends in, encoded without prefix. Marks w bad when it does not fit, or when in is longer than KITH_BASE58_IN_MAX and the base is
 * quadratic. */
void kith_base_put(kith_wr *w, kith_base base, kith_bytes in);
/* The same after the prefix character. */
void kith_multibase_put(kith_wr *w, kith_base base, kith_bytes in);

/* Appends the decoded bytes of text without prefix; bases 16, 32 and 36 know no case. Strict: no padding, no characters outside the
 * alphabet, unused bits zero, so but for case a value has one text.
 * KITH_EFORMAT; KITH_ESPACE: w is too small; KITH_ELIMIT: longer than KITH_BASE58_IN_MAX in a quadratic base. On error w is bad. */
KITH_CHECK kith_err kith_base_get(kith_bytes text, kith_base base, kith_wr *w);
/* The same with the base taken from the prefix (f F b B k K z m u). KITH_EUNSUPPORTED: a multibase not spoken here. */
KITH_CHECK kith_err kith_multibase_get(kith_bytes text, kith_wr *w);

#endif
