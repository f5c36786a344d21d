/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A token bucket: so many bytes a second, and a little more at once after a pause.
 *
 * What is asked for may be spent whole whenever the bucket is not empty: it then goes below zero, and nothing more is given until that has
 * been paid for. So pieces of any size get through, and in any time t from a full bucket on at most burst + rate * t + one piece are spent. */
#ifndef KITH_BASE_BUCKET_H
#define KITH_BASE_BUCKET_H

#include "base/env.h"

#define KITH_BUCKET_RATE_MAX (8ull << 30) /* bytes per second; more is no limit worth the name */
#define KITH_BUCKET_BURST_MIN 65536u

typedef struct kith_bucket {
    uint64_t rate;  /* bytes per second; 0: no limit */
    int64_t level;  /* what may be spent now */
    uint64_t part;  /* of a byte, in billionths */
    kith_time at;   /* when level was right */
    uint64_t spent; /* in all */
} kith_bucket;

/* A full bucket. rate: 0 (no limit) .. KITH_BUCKET_RATE_MAX, which is what more comes to. */
void kith_bucket_init(kith_bucket *b, kith_time now, uint64_t rate);
/* Goes on at another rate; what was overspent stays to be paid. */
void kith_bucket_set_rate(kith_bucket *b, kith_time now, uint64_t rate);
/* Whether something may be spent. */
bool kith_bucket_ready(kith_bucket *b, kith_time now);
/* Without a limit the time does not matter. */
void kith_bucket_spend(kith_bucket *b, kith_time now, uint64_t bytes);
/* When it is ready: now or later, and then by no more than the time of one byte too late. */
kith_time kith_bucket_next(kith_bucket *b, kith_time now);
/* What fits when nothing was spent for a while: a tenth of a second's, KITH_BUCKET_BURST_MIN at least. */
uint64_t kith_bucket_burst(const kith_bucket *b);

#endif
