/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The buckets. */
#include "host/histogram.h"

#define US 1000u
#define MS 1000000u
#define S 1000000000u

static const struct {
    uint64_t ns;
    const char *le; /* canonical: as the shortest float that is this number, with a point */
} bounds[KITH_HISTOGRAM_BUCKETS] = {
    {500 * US, "0.0005"},
    {MS, "0.001"},
    {2500 * US, "0.0025"},
    {5 * MS, "0.005"},
    {10 * MS, "0.01"},
    {25 * MS, "0.025"},
    {50 * MS, "0.05"},
    {100 * MS, "0.1"},
    {250 * MS, "0.25"},
    {500 * MS, "0.5"},
    {S, "1.0"},
    {(uint64_t)2500 * MS, "2.5"},
    {5ull * S, "5.0"},
    {10ull * S, "10.0"},
    {60ull * S, "60.0"},
    {600ull * S, "600.0"},
    {3600ull * S, "3600.0"},
    {UINT64_MAX, "+Inf"},
};

void kith_histogram_add(kith_histogram *h, uint64_t ns)
{
    size_t i = 0;
    while (ns > bounds[i].ns)
        i++;
    h->count[i]++;
    h->sum_ns += ns;
}

const char *kith_histogram_bound(size_t bucket)
{
    return bounds[bucket].le;
}
