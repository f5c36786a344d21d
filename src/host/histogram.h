/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How long things took, counted in buckets: what a histogram of OpenMetrics is made of. */
#ifndef KITH_HOST_HISTOGRAM_H
#define KITH_HOST_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define KITH_HISTOGRAM_BUCKETS 18 /* from half a millisecond to an hour; the last has no bound */

typedef struct kith_histogram {
    uint64_t count[KITH_HISTOGRAM_BUCKETS]; /* of each bucket alone */
    uint64_t sum_ns;
} kith_histogram;

void kith_histogram_add(kith_histogram *h, uint64_t ns);
/* The upper bound of a bucket in seconds, as OpenMetrics writes it: "0.001" .. "+Inf"; static. A value equal to it is within. */
const char *kith_histogram_bound(size_t bucket);

#endif
