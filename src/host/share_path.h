/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Paths of a share's entries in messages to people. */
#ifndef KITH_HOST_SHARE_PATH_H
#define KITH_HOST_SHARE_PATH_H

#include "apps/share_manifest.h"

#define KITH_SHARE_PATH_MAX 512 /* bytes, with the NUL: longer ones are cut */

/* Escaped for a terminal; on the loop's thread alone. Returns out. */
const char *kith_share_path(const kith_manifest *m, size_t entry, char out[KITH_SHARE_PATH_MAX]);

#endif
