/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sets of leaves: a sorted array of ranges. */
#include "apps/share_leaves.h"

#include <assert.h>

void kith_leaves_fini(kith_leaves *s, const kith_env *env)
{
    kith_mem_free(env, s->ranges, s->cap * sizeof *s->ranges);
    *s = (kith_leaves){0};
}

/* The first range that ends behind `leaf`; count when there is none. */
static size_t find(const kith_leaves *s, uint32_t leaf)
{
    size_t lo = 0, hi = s->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->ranges[mid].end > leaf)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* Replaces `old` ranges at `at` by `new` others, which the caller fills in. */
static kith_err splice(kith_leaves *s, const kith_env *env, size_t at, size_t old, size_t new)
{
    size_t count = s->count - old + new;
    if (count > s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 8;
        void *p = kith_mem_resize(env, s->ranges, s->cap * sizeof *s->ranges, cap * sizeof *s->ranges);
        if (!p)
            return KITH_ENOMEM;
        s->ranges = p;
        s->cap = cap;
    }
    if (s->count > at + old)
        memmove(s->ranges + at + new, s->ranges + at + old, (s->count - at - old) * sizeof *s->ranges);
    s->count = count;
    return KITH_OK;
}

kith_err kith_leaves_add(kith_leaves *s, const kith_env *env, uint32_t first, uint32_t end)
{
    assert(first <= end);
    if (first == end)
        return KITH_OK;
    size_t at = first > 0 ? find(s, first - 1) : 0, to = at; /* one that ends at first is joined */
    uint64_t within = 0;
    kith_leaf_range r = {first, end};
    for (; to < s->count && s->ranges[to].first <= end; to++) {
        within += s->ranges[to].end - s->ranges[to].first;
        if (s->ranges[to].first < r.first)
            r.first = s->ranges[to].first;
        if (s->ranges[to].end > r.end)
            r.end = s->ranges[to].end;
    }
    kith_err err = splice(s, env, at, to - at, 1);
    if (err)
        return err;
    s->ranges[at] = r;
    s->total += r.end - r.first - within;
    return KITH_OK;
}

kith_err kith_leaves_remove(kith_leaves *s, const kith_env *env, uint32_t first, uint32_t end)
{
    assert(first <= end);
    kith_leaf_range rest[2];
    size_t at = find(s, first), to = at, left = 0;
    uint64_t before = 0, after = 0;
    for (; to < s->count && s->ranges[to].first < end; to++) {
        kith_leaf_range r = s->ranges[to];
        before += r.end - r.first;
        if (r.first < first)
            rest[left++] = (kith_leaf_range){r.first, first};
        if (r.end > end)
            rest[left++] = (kith_leaf_range){end, r.end};
    }
    if (first == end || to == at)
        return KITH_OK;
    kith_err err = splice(s, env, at, to - at, left);
    if (err)
        return err;
    for (size_t i = 0; i < left; i++) {
        s->ranges[at + i] = rest[i];
        after += rest[i].end - rest[i].first;
    }
    s->total -= before - after;
    return KITH_OK;
}

kith_err kith_leaves_add_all(kith_leaves *s, const kith_env *env, const kith_leaves *b)
{
    kith_err err = KITH_OK;
    for (size_t i = 0; i < b->count && !err; i++)
        err = kith_leaves_add(s, env, b->ranges[i].first, b->ranges[i].end);
    return err;
}

bool kith_leaves_has(const kith_leaves *s, uint32_t first, uint32_t end)
{
    if (first >= end)
        return true;
    size_t i = find(s, first);
    return i < s->count && s->ranges[i].first <= first && s->ranges[i].end >= end;
}

uint32_t kith_leaves_count(const kith_leaves *s, uint32_t first, uint32_t end)
{
    uint32_t n = 0;
    kith_leaf_range r;
    for (; kith_leaves_next(s, true, first, end, &r); first = r.end)
        n += r.end - r.first;
    return n;
}

bool kith_leaves_next(const kith_leaves *s, bool have, uint32_t first, uint32_t end, kith_leaf_range *out)
{
    if (first >= end)
        return false;
    size_t i = find(s, first);
    bool inside = i < s->count && s->ranges[i].first <= first;
    kith_leaf_range r = {first, end};
    if (have) {
        if (i == s->count || s->ranges[i].first >= end)
            return false;
        r.first = inside ? first : s->ranges[i].first;
        r.end = s->ranges[i].end < end ? s->ranges[i].end : end;
    } else {
        if (inside)
            r.first = s->ranges[i++].end;
        if (i < s->count && s->ranges[i].first < end)
            r.end = s->ranges[i].first;
        if (r.first >= end)
            return false;
    }
    *out = r;
    return true;
}

void kith_leaves_check(const kith_leaves *s)
{
    uint64_t total = 0;
    assert(s->count <= s->cap);
    for (size_t i = 0; i < s->count; i++) {
        assert(s->ranges[i].first < s->ranges[i].end);
        assert(i == 0 || s->ranges[i - 1].end < s->ranges[i].first);
        total += s->ranges[i].end - s->ranges[i].first;
    }
    assert(total == s->total);
}
