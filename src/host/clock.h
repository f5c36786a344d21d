/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The wall clock, which may be wrong and be set: for what is written down and for what others say. All else goes by kith_host_now. */
#ifndef KITH_HOST_CLOCK_H
#define KITH_HOST_CLOCK_H

#include <stdint.h>
#include <time.h>
#include <uv.h>

/* Milliseconds since 1970. */
static inline uint64_t kith_wall_ms(void)
{
    uv_timeval64_t tv = {0};
    uv_gettimeofday(&tv);
    return (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000;
}

/* Nanoseconds. File systems know times before 1677 and after 2262: they are the ends of what can be said. */
static inline int64_t kith_ns_of(struct timespec t)
{
    const int64_t most = INT64_MAX / 1000000000 - 1; /* seconds, with any fraction */
    if (t.tv_sec > most)
        return INT64_MAX;
    return t.tv_sec < -most ? INT64_MIN : (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Seconds since 1970. */
static inline uint64_t kith_wall_s(void)
{
    return kith_wall_ms() / 1000;
}

#endif
