/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A binary heap of deadlines. Timers lie in their owner's struct; equal deadlines come out in the order they were set. */
#ifndef KITH_BASE_TIMER_H
#define KITH_BASE_TIMER_H

#include "base/env.h"
#include "base/err.h"

typedef struct kith_timer {
    kith_time at;
    size_t pos; /* place in the heap + 1; 0: not set */
} kith_timer;

/* What is compared lies in the heap itself: the timers are all over the memory. */
typedef struct kith_timer_place {
    kith_time at;
    uint64_t seq; /* breaks ties */
    kith_timer *t;
} kith_timer_place;

typedef struct kith_timers {
    kith_timer_place *heap;
    size_t len, cap;
    uint64_t seq;
} kith_timers;

void kith_timers_fini(kith_timers *h, const kith_env *env);
/* Makes room for n timers in all, so that setting up to n of them cannot fail. */
KITH_CHECK kith_err kith_timers_reserve(kith_timers *h, const kith_env *env, size_t n);
/* Room for n timers is enough from now on, no more than that are set: memory goes back when that is a quarter of it or less. */
void kith_timers_release(kith_timers *h, const kith_env *env, size_t n);
/* Sets, moves or (at = KITH_NEVER) stops a timer. Room must have been reserved. */
void kith_timers_set(kith_timers *h, kith_timer *t, kith_time at);
/* The earliest deadline, or KITH_NEVER. */
kith_time kith_timers_next(const kith_timers *h);
/* Takes out and returns a timer that is due, or NULL. */
kith_timer *kith_timers_pop(kith_timers *h, kith_time now);

#endif
