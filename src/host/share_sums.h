/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sums of the files of a list, one after another on the worker pool, said in the list's order as sha256sum and b3sum would. */
#ifndef KITH_HOST_SHARE_SUMS_H
#define KITH_HOST_SHARE_SUMS_H

#include <stdatomic.h>
#include <uv.h>

#include "apps/share_manifest.h"

#define KITH_SUM_LEN 32       /* SHA-256, or BLAKE3 */
#define KITH_SUM_WHY_MAX 1024 /* of a line that says why there is none */

typedef struct kith_share_sums kith_share_sums;

typedef struct kith_share_sums_config {
    uv_loop_t *loop;
    const kith_manifest *manifest; /* outlives the sums, as skips does */
    const uint8_t *skips;          /* by entry: not zero for a file that is passed over; NULL: none is */
    /* The sum of a file; on a worker thread. May end early, with false, once *stop is set. False: why says why. */
    bool (*sum)(void *ctx, size_t entry, const atomic_bool *stop, uint8_t out[KITH_SUM_LEN],
                char why[KITH_SUM_WHY_MAX]);
    /* On the loop's thread: a sum, or (NULL) why there is none; and then that all were said, or stop was called. It frees itself after that. */
    void (*line)(void *ctx, size_t entry, const uint8_t *sum, const char *why);
    void (*done)(void *ctx);
    void *ctx;
} kith_share_sums_config;

/* NULL: no memory; neither line nor done are called then, nor out of start. */
kith_share_sums *kith_share_sums_start(const kith_share_sums_config *cfg);
/* No more lines, and done as soon as the worker has noticed. */
void kith_share_sums_stop(kith_share_sums *s);

/* SHA-256 of a whole file, from its beginning. 0, or an errno: ECANCELED when *stop was set. */
int kith_sum_sha256(int fd, const atomic_bool *stop, uint8_t out[KITH_SUM_LEN]);

/* Writes a line as `sha256sum` and `b3sum` print it, and read it with -c: a path with a backslash, a line feed or a carriage return is
 * escaped, which a backslash at the front says. dir: goes before the path, with a slash; NULL: nothing does. */
void kith_sum_put_line(kith_wr *w, const uint8_t sum[KITH_SUM_LEN], const char *dir, kith_bytes path);

#endif
