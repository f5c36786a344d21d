/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The timer heap. */
#include "base/timer.h"

#include <assert.h>

#define CAP_MIN 16

void kith_timers_fini(kith_timers *h, const kith_env *env)
{
    kith_mem_free(env, h->heap, h->cap * sizeof *h->heap);
    *h = (kith_timers){0};
}

/* cap > 0. KITH_ENOMEM: it is as before. */
static kith_err resize(kith_timers *h, const kith_env *env, size_t cap)
{
    kith_timer_place *p = kith_mem_resize(env, h->heap, h->cap * sizeof *p, cap * sizeof *p);
    if (!p)
        return KITH_ENOMEM;
    h->heap = p;
    h->cap = cap;
    return KITH_OK;
}

kith_err kith_timers_reserve(kith_timers *h, const kith_env *env, size_t n)
{
    if (n <= h->cap)
        return KITH_OK;
    if (n > SIZE_MAX / 2 / sizeof *h->heap)
        return KITH_ENOMEM;
    size_t cap = h->cap ? h->cap : CAP_MIN;
    while (cap < n)
        cap *= 2;
    return resize(h, env, cap);
}

void kith_timers_release(kith_timers *h, const kith_env *env, size_t n)
{
    assert(h->len <= n);
    if (h->cap > CAP_MIN && n <= h->cap / 4)
        (void)resize(h, env, h->cap / 2); /* it can stay as it is */
}

static bool before(const kith_timer_place *a, const kith_timer_place *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void put_at(kith_timers *h, size_t i, kith_timer_place place)
{
    h->heap[i] = place;
    place.t->pos = i + 1;
}

static void sift(kith_timers *h, size_t i)
{
    kith_timer_place place = h->heap[i];
    for (; i > 0 && before(&place, &h->heap[(i - 1) / 2]); i = (i - 1) / 2)
        put_at(h, i, h->heap[(i - 1) / 2]);
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->len)
            break;
        if (child + 1 < h->len && before(&h->heap[child + 1], &h->heap[child]))
            child++;
        if (!before(&h->heap[child], &place))
            break;
        put_at(h, i, h->heap[child]);
        i = child;
    }
    put_at(h, i, place);
}

static void take_out(kith_timers *h, kith_timer *t)
{
    size_t i = t->pos - 1;
    t->pos = 0;
    kith_timer_place last = h->heap[--h->len];
    if (last.t == t)
        return;
    put_at(h, i, last);
    sift(h, i);
}

void kith_timers_set(kith_timers *h, kith_timer *t, kith_time at)
{
    if (t->pos && t->at == at)
        return;
    if (at == KITH_NEVER) {
        if (t->pos)
            take_out(h, t);
        t->at = at;
        return;
    }
    t->at = at;
    if (!t->pos) {
        assert(h->len < h->cap);
        t->pos = ++h->len;
    }
    put_at(h, t->pos - 1, (kith_timer_place){.at = at, .seq = h->seq++, .t = t});
    sift(h, t->pos - 1);
}

kith_time kith_timers_next(const kith_timers *h)
{
    return h->len ? h->heap[0].at : KITH_NEVER;
}

kith_timer *kith_timers_pop(kith_timers *h, kith_time now)
{
    if (!h->len || h->heap[0].at > now)
        return NULL;
    kith_timer *t = h->heap[0].t;
    take_out(h, t);
    return t;
}
