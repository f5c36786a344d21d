/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* File names from strangers: what is refused as one component of a path, and how any name is printed. */
#ifndef KITH_APPS_SHARE_NAME_H
#define KITH_APPS_SHARE_NAME_H

#include "base/bytes.h"

#define KITH_NAME_MAX 255  /* bytes of one component */
#define KITH_LINK_MAX 4095 /* bytes of a symbolic link's target */

/* What is wrong with a path component, as a static phrase ("it is empty"), or NULL. Refused are: empty, "." and "..", more than
 * KITH_NAME_MAX bytes, "/", "\", NUL and other control characters, what is not UTF-8, line separators and
 * characters that change the direction of text. portable: also what Windows or macOS would refuse or change (: * ? " < > |, a dot or
 * space at the end, CON, NUL, COM1...). */
const char *kith_name_fault(kith_bytes name, bool portable);

/* What is wrong with the target of a symbolic link that lies `depth` folders below the share's top, or NULL. A target is relative, and
 * ".." comes only at its front and at most `depth` times. Since the folders above a link are real folders, and every link of a share
 * keeps this rule, no chain of them leads out. */
const char *kith_link_fault(kith_bytes target, size_t depth);

/* Writes a name as it may be shown on a terminal: what may not be printed (base/text.h), a backslash and bytes that are no UTF-8
 * become \n, \t, \\, \xNN or \u{NNNN}. */
void kith_name_put(kith_wr *w, kith_bytes name);
#define KITH_NAME_ESCAPED_MAX(n) (4 * (n)) /* the longest that n bytes become */

/* ASCII letters made small, for comparing names as a case-insensitive file system does. out has name.len bytes. */
void kith_name_fold(kith_bytes name, uint8_t *out);

#endif
