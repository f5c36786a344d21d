/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SHA-256 of what is shared, from the cache or by reading a file once more. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/share_src_impl.h"
#include "host/share_sums.h"

bool kith_share_src_sha256(kith_share_src *s, size_t entry, const atomic_bool *stop,
                           uint8_t out[KITH_SHA256_LEN], char why[KITH_SHARE_SRC_WHY_MAX])
{
    kith_src_folder folder = {.fd = -1};
    kith_hash_page *page = calloc(1, sizeof *page);
    kith_share_code code = KITH_SHARE_NONE;
    char path[KITH_SHARE_SRC_WHY_MAX / 2];
    struct stat st;
    int fd = page ? kith_src_open(s, &folder, entry, &code) : -1;
    int e = !page ? ENOMEM : fd < 0 ? errno : 0;
    if (!e && (fstat(fd, &st) || !kith_src_same(s, entry, &st)))
        code = KITH_SHARE_CHANGED;
    const kith_hash_key key = e || code ? (kith_hash_key){0} : kith_hash_key_of(&st);
    if (!e && !code && !kith_hash_cache_get_sha256(s->cache, page, &key, out)) {
        e = kith_sum_sha256(fd, stop, out);
        if (!e && (fstat(fd, &st) || !kith_src_same(s, entry, &st)))
            code = KITH_SHARE_CHANGED;
        if (!e && !code)
            kith_hash_cache_put_sha256(s->cache, page, &key, out);
        if (page)
            kith_hash_cache_flush(s->cache, page);
    }
    if (fd >= 0)
        (void)close(fd);
    if (folder.fd >= 0)
        (void)close(folder.fd);
    free(page);
    if (!e && !code)
        return true;
    kith_share_src_path(s, entry, path, sizeof path);
    if (code == KITH_SHARE_CHANGED)
        (void)kith_src_fail(why, KITH_EIO, "%s has changed", path);
    else
        (void)kith_src_fail(why, KITH_EIO, "cannot read %s: %s", path, strerror(e));
    return false;
}
