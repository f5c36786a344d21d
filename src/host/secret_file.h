/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Files that hold a secret: read only where nobody else may read them. */
#ifndef KITH_HOST_SECRET_FILE_H
#define KITH_HOST_SECRET_FILE_H

#include "base/bytes.h"
#include "base/err.h"

/* All of an open file, from its beginning, of at most `max` bytes, into memory of its own, for kith_secret_drop. exposed: what to say when the
 * mode lets others at it. *why: static, or the system's words. KITH_EPOLICY: others; KITH_EFORMAT: it is too large; KITH_EIO; KITH_ENOMEM. */
KITH_CHECK kith_err kith_secret_read(int fd, size_t max, const char *exposed, kith_span *out,
                                     const char **why);
/* Wipes and frees; {0} is fine. */
void kith_secret_drop(kith_span text);

#endif
