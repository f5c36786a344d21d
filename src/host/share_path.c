/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Paths for people. */
#include "host/share_path.h"

const char *kith_share_path(const kith_manifest *m, size_t entry, char out[KITH_SHARE_PATH_MAX])
{
    static char path[KITH_NAME_ESCAPED_MAX(KITH_MANIFEST_PATH_MAX)]; /* 64 KiB: too much for a stack */
    kith_wr w = kith_wr_of(kith_span_of(path, sizeof path));
    kith_manifest_put_path(m, entry, true, &w);
    size_t n = w.len < KITH_SHARE_PATH_MAX ? w.len : KITH_SHARE_PATH_MAX - 1;
    memcpy(out, path, n);
    out[n] = 0;
    return out;
}
