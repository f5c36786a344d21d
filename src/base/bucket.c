/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Token buckets. */
#include "base/bucket.h"

#define SECOND 1000000000ull
#define SPENT_MAX (1ll << 60) /* of what is below zero: nobody waits that long */

uint64_t kith_bucket_burst(const kith_bucket *b)
{
    return b->rate / 10 > KITH_BUCKET_BURST_MIN ? b->rate / 10 : KITH_BUCKET_BURST_MIN;
}

static void fill(kith_bucket *b, kith_time now)
{
    if (now <= b->at)
        return;
    uint64_t seconds = (now - b->at) / SECOND, rest = (now - b->at) % SECOND;
    int64_t burst = (int64_t)kith_bucket_burst(b);
    b->at = now;
    if (seconds >= 1u << 27) { /* four years: more than the product below holds */
        b->level = burst;
        return;
    }
    uint64_t parts = rest * b->rate + b->part; /* under 2^30 * 2^33 + 2^30 */
    b->level += (int64_t)(seconds * b->rate + parts / SECOND);
    b->part = parts % SECOND;
    if (b->level >= burst) {
        b->level = burst;
        b->part = 0;
    }
}

void kith_bucket_init(kith_bucket *b, kith_time now, uint64_t rate)
{
    *b = (kith_bucket){.rate = rate < KITH_BUCKET_RATE_MAX ? rate : KITH_BUCKET_RATE_MAX, .at = now};
    b->level = (int64_t)kith_bucket_burst(b);
}

void kith_bucket_set_rate(kith_bucket *b, kith_time now, uint64_t rate)
{
    fill(b, now);
    if (b->rate == 0 && b->level < 0)
        b->level = 0;
    b->rate = rate < KITH_BUCKET_RATE_MAX ? rate : KITH_BUCKET_RATE_MAX;
    if (b->level > (int64_t)kith_bucket_burst(b))
        b->level = (int64_t)kith_bucket_burst(b);
}

bool kith_bucket_ready(kith_bucket *b, kith_time now)
{
    fill(b, now);
    return b->rate == 0 || b->level > 0;
}

void kith_bucket_spend(kith_bucket *b, kith_time now, uint64_t bytes)
{
    b->spent += bytes;
    if (b->rate == 0)
        return;
    fill(b, now);
    if (bytes > (uint64_t)SPENT_MAX || b->level < (int64_t)bytes - SPENT_MAX)
        b->level = -SPENT_MAX;
    else
        b->level -= (int64_t)bytes;
}

kith_time kith_bucket_next(kith_bucket *b, kith_time now)
{
    if (kith_bucket_ready(b, now))
        return now;
    uint64_t missing = (uint64_t)-b->level + 1;
    uint64_t seconds = missing / b->rate, rest = missing % b->rate;
    if (seconds >= 1ull << 33)
        return KITH_NEVER;
    return now + seconds * SECOND + (rest * SECOND + b->rate - 1) / b->rate;
}
