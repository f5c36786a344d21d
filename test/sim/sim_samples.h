/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Times that were measured, and what so many of them were at most. */
#ifndef SIM_SAMPLES_H
#define SIM_SAMPLES_H

#include <assert.h>
#include <stdlib.h>

#include "base/env.h"

typedef struct sim_samples {
    uint32_t *us; /* microseconds: a million samples are 4 MB */
    size_t len, cap;
    bool sorted;
} sim_samples;

static inline void sim_samples_add(sim_samples *s, kith_time took)
{
    if (s->len == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 1024;
        s->us = realloc(s->us, s->cap * sizeof *s->us);
        assert(s->us);
    }
    kith_time us = took / KITH_US(1);
    s->us[s->len++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    s->sorted = false;
}

static inline int sim_samples_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* In nanoseconds; 0 when there are none. */
static inline int64_t sim_samples_at(sim_samples *s, unsigned percent)
{
    if (s->len == 0)
        return 0;
    if (!s->sorted)
        qsort(s->us, s->len, sizeof *s->us, sim_samples_order);
    s->sorted = true;
    return (int64_t)KITH_US(1) * s->us[(s->len - 1) * percent / 100];
}

static inline void sim_samples_fini(sim_samples *s)
{
    free(s->us);
}

#endif
