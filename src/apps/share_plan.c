/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a receiver asks of whom. */
#include "apps/share_plan.h"

#include <assert.h>

#define RATE_EVERY KITH_MS(100)   /* of measuring */
#define STALLED_AFTER KITH_SEC(2) /* without a leaf: others take over what it was asked for */
#define ALONE_RTT KITH_MS(20) /* a source that is further away is asked for more before its rate is known */
#define PIECE_MIN (1024u * 1024) /* bytes of one request, when there are several sources */
#define RUN_BYTES (KITH_PLAN_RUN_MAX * (uint64_t)KITH_TREE_LEAF)

typedef struct request {
    uint64_t id;
    uint64_t bytes; /* that are still to come, about */
    bool second;    /* another source was asked for it too */
    bool cancelled, tell;
    size_t at;     /* the range that is being answered */
    uint32_t leaf; /* the next of it */
    size_t range_count;
    kith_leaf_range ranges[KITH_SHARE_RANGES];
} request;

typedef struct source {
    bool used, paused;
    const kith_leaves *have;
    kith_leaves cannot; /* was refused */
    uint32_t limit;
    uint32_t cursor; /* where to look for the next run */
    kith_time rtt;
    kith_time since, last; /* it has been measured, it has given something */
    uint64_t measured;
    double rate;                          /* bytes per second */
    request requests[KITH_PLAN_REQUESTS]; /* a ring */
    size_t first, count;
} source;

struct kith_share_plan {
    kith_env env;
    const kith_manifest *m;
    bool spread, no_memory;
    size_t second; /* requests for what another source was asked for */
    kith_leaves missing;
    kith_leaves open;    /* missing, and nobody was asked for it */
    kith_leaves refused; /* by somebody, who may be gone meanwhile */
    source sources[KITH_PLAN_SOURCES_MAX];
};

kith_share_plan *kith_share_plan_new(const kith_share_plan_config *cfg)
{
    kith_share_plan *p = KITH_NEW(&cfg->env, kith_share_plan);
    if (!p)
        return NULL;
    p->env = cfg->env;
    p->m = cfg->manifest;
    p->spread = cfg->spread;
    return p;
}

void kith_share_plan_free(kith_share_plan *p)
{
    if (!p)
        return;
    kith_env env = p->env;
    for (size_t i = 0; i < KITH_PLAN_SOURCES_MAX; i++)
        kith_leaves_fini(&p->sources[i].cannot, &env);
    kith_leaves_fini(&p->missing, &env);
    kith_leaves_fini(&p->open, &env);
    kith_leaves_fini(&p->refused, &env);
    KITH_FREE(&env, p);
}

kith_err kith_share_plan_err(const kith_share_plan *p)
{
    return p->no_memory ? KITH_ENOMEM : KITH_OK;
}

static void add(kith_share_plan *p, kith_leaves *l, uint32_t first, uint32_t end)
{
    p->no_memory |= kith_leaves_add(l, &p->env, first, end) != KITH_OK;
}

static void take_out(kith_share_plan *p, kith_leaves *l, uint32_t first, uint32_t end)
{
    p->no_memory |= kith_leaves_remove(l, &p->env, first, end) != KITH_OK;
}

static request *nth(source *s, size_t i)
{
    return &s->requests[(s->first + i) % KITH_PLAN_REQUESTS];
}

static source *at(kith_share_plan *p, int i)
{
    assert(i >= 0 && i < KITH_PLAN_SOURCES_MAX && p->sources[i].used);
    return &p->sources[i];
}

/* What of range k of a request has not been answered. */
static kith_leaf_range left_of(const request *q, size_t k)
{
    kith_leaf_range r = q->ranges[k];
    if (k < q->at)
        r.first = r.end;
    else if (k == q->at)
        r.first = q->leaf;
    return r;
}

/* ---- what is missing ---- */

/* Requests in which nothing is missing any more are given up. */
static void look_for_cancels(kith_share_plan *p)
{
    for (size_t i = 0; i < KITH_PLAN_SOURCES_MAX; i++) {
        source *s = &p->sources[i];
        for (size_t k = 0; k < s->count; k++) {
            request *q = nth(s, k);
            bool any = q->cancelled;
            kith_leaf_range run;
            for (size_t r = q->at; r < q->range_count && !any; r++) {
                kith_leaf_range left = left_of(q, r);
                any = kith_leaves_next(&p->missing, true, left.first, left.end, &run);
            }
            if (any)
                continue;
            q->cancelled = q->tell = true;
            q->bytes = 0;
        }
    }
}

void kith_share_plan_want(kith_share_plan *p, uint32_t first, uint32_t end)
{
    add(p, &p->missing, first, end);
    add(p, &p->open, first, end);
}

void kith_share_plan_settle(kith_share_plan *p, uint32_t first, uint32_t end)
{
    take_out(p, &p->missing, first, end);
    take_out(p, &p->open, first, end);
    take_out(p, &p->refused, first, end);
    look_for_cancels(p);
}

const kith_leaves *kith_share_plan_missing(const kith_share_plan *p)
{
    return &p->missing;
}

/* What is missing of a range may be asked of anyone again. */
static void reopen(kith_share_plan *p, kith_leaf_range r)
{
    kith_leaf_range run = {.end = r.first};
    while (kith_leaves_next(&p->missing, true, run.end, r.end, &run))
        add(p, &p->open, run.first, run.end);
}

/* ---- sources ---- */

int kith_share_plan_join(kith_share_plan *p, kith_time now, const kith_leaves *have)
{
    for (int i = 0; i < KITH_PLAN_SOURCES_MAX; i++) {
        source *s = &p->sources[i];
        if (s->used)
            continue;
        kith_leaves_fini(&s->cannot, &p->env);
        *s = (source){.used = true, .have = have, .rtt = KITH_PLAN_RTT_DEFAULT, .since = now, .last = now};
        if (p->spread && p->m->leaves > 0)
            s->cursor = (uint32_t)kith_rand_below(&p->env, p->m->leaves);
        return i;
    }
    return -1;
}

static void pop(kith_share_plan *p, source *s)
{
    request *q = nth(s, 0);
    p->second -= q->second;
    s->first = (s->first + 1) % KITH_PLAN_REQUESTS;
    s->count--;
}

static void give_up(kith_share_plan *p, source *s)
{
    request *q = nth(s, 0);
    for (size_t r = q->at; r < q->range_count; r++)
        reopen(p, left_of(q, r));
    pop(p, s);
}

void kith_share_plan_leave(kith_share_plan *p, int i)
{
    source *s = at(p, i);
    while (s->count > 0)
        give_up(p, s);
    s->used = false;
    s->have = NULL;
}

void kith_share_plan_limit(kith_share_plan *p, int i, uint32_t end)
{
    at(p, i)->limit = end;
}

void kith_share_plan_rtt(kith_share_plan *p, int i, kith_time rtt)
{
    at(p, i)->rtt = rtt;
}

void kith_share_plan_pause(kith_share_plan *p, int i, bool on)
{
    at(p, i)->paused = on;
}

/* ---- asking ---- */

static uint64_t outstanding(source *s)
{
    uint64_t n = 0;
    for (size_t k = 0; k < s->count; k++)
        n += nth(s, k)->bytes;
    return n;
}

static bool alone(const kith_share_plan *p)
{
    size_t n = 0;
    for (size_t i = 0; i < KITH_PLAN_SOURCES_MAX; i++)
        n += p->sources[i].used && !p->sources[i].paused;
    return n <= 1;
}

/* What it delivers in two round trips, and in so many seconds at least. */
static uint64_t window(const source *s, double least_s, uint64_t least)
{
    const uint64_t most = 3 * RUN_BYTES;
    double seconds = 2 * (double)s->rtt / 1e9;
    double w = s->rate * (seconds > least_s ? seconds : least_s);
    if (w <= (double)least)
        return least;
    return w < (double)most ? (uint64_t)w : most;
}

/* What the only source is asked for before its rate is known. */
static uint64_t first_of(const source *s)
{
    const uint64_t least = KITH_PLAN_WINDOW_ALONE, rtts = s->rtt / ALONE_RTT;
    return least * (rtts < 1 ? 1 : rtts < 4 ? rtts : 4);
}

static uint64_t leaf_len(const kith_manifest *m, size_t entry, uint64_t offset)
{
    uint64_t left = kith_manifest_entry(m, entry).size - offset;
    return left < KITH_TREE_LEAF ? left : KITH_TREE_LEAF;
}

/* As much from the front of a run of leaves as fits into `bytes` and `leaves`; the first in any case. */
static uint32_t fitting(const kith_share_plan *p, kith_leaf_range run, uint64_t *bytes, uint32_t leaves)
{
    uint32_t end = run.first;
    uint64_t took = 0, budget = *bytes;
    while (end < run.end && end - run.first < leaves) {
        uint64_t offset;
        size_t e = kith_manifest_leaf(p->m, end, &offset);
        uint64_t size = kith_manifest_entry(p->m, e).size;
        uint32_t of_file = (uint32_t)(kith_manifest_leaves_of(size) - offset / KITH_TREE_LEAF);
        uint32_t most =
            run.end - end < leaves - (end - run.first) ? run.end - end : leaves - (end - run.first);
        uint32_t n = of_file < most ? of_file : most;
        if (took > 0 && took >= budget)
            break;
        uint64_t fit = (budget - took) / KITH_TREE_LEAF;
        if (n > fit && n > 1)
            n = fit > 0 ? (uint32_t)fit : 1;
        uint64_t len = n == of_file ? size - offset : (uint64_t)n * KITH_TREE_LEAF;
        if (took > 0 && len > budget - took)
            break;
        took += len;
        end += n;
    }
    *bytes = took;
    return end;
}

/* Cuts a run down to the first part of it that no partial source has. False: *r is all had by one. */
static bool rare_part(const kith_share_plan *p, kith_leaf_range *r)
{
    for (size_t i = 0; i < KITH_PLAN_SOURCES_MAX; i++) {
        const source *o = &p->sources[i];
        if (o->used && o->have && !kith_leaves_next(o->have, false, r->first, r->end, r))
            return false;
    }
    return true;
}

/* The next run from `from` on, below `to`, that is open and that the source has; rare: and nobody who has only some. */
static bool open_run(const kith_share_plan *p, const source *s, uint32_t from, uint32_t to, bool rare,
                     kith_leaf_range *out)
{
    kith_leaf_range a = {.end = from}, b = {0};
    while (kith_leaves_next(&p->open, true, a.end, to, &a)) {
        if (s->have && !kith_leaves_next(s->have, true, a.first, a.end, &b)) {
            continue;
        } else if (s->have) {
            a.first = b.first;
            a.end = b.end;
        }
        if (!kith_leaves_next(&s->cannot, false, a.first, a.end, &b))
            continue;
        if (rare && !rare_part(p, &b)) {
            a.end = b.end;
            continue;
        }
        *out = b;
        return true;
    }
    return false;
}

/* Adds open runs in [from, to) to a request; taken out of what is open. */
static void collect(kith_share_plan *p, source *s, request *q, uint32_t from, uint32_t to, uint64_t budget,
                    uint32_t *leaves)
{
    kith_leaf_range run;
    while (q->range_count < KITH_SHARE_RANGES && q->bytes<budget && * leaves> 0 && !p->no_memory &&
           open_run(p, s, from, to, false, &run)) {
        uint64_t bytes = budget - q->bytes;
        uint32_t end = fitting(p, run, &bytes, *leaves);
        q->ranges[q->range_count++] = (kith_leaf_range){run.first, end};
        q->bytes += bytes;
        *leaves -= end - run.first;
        take_out(p, &p->open, run.first, end);
        from = s->cursor = end;
    }
}

static bool some_have_parts(const kith_share_plan *p)
{
    bool some = false;
    for (size_t i = 0; i < KITH_PLAN_SOURCES_MAX; i++)
        some |= p->sources[i].used && p->sources[i].have;
    return some;
}

/* Some who has a part is quicker. */
static bool is_outrun(const kith_share_plan *p, const source *s)
{
    for (size_t i = 0; i < KITH_PLAN_SOURCES_MAX; i++) {
        const source *o = &p->sources[i];
        if (o->used && o->have && !o->paused && o->rate > s->rate)
            return true;
    }
    return false;
}

/* One run of what nobody else has, where the last one ended; or, where somebody has come meanwhile, at another random place: those who
 * help each other should not all ask for the same. */
static void collect_rare(kith_share_plan *p, source *s, request *q, uint64_t budget, uint32_t leaves)
{
    kith_leaf_range run;
    uint32_t from = s->cursor;
    if (s->limit == 0)
        return;
    if (from >= s->limit || !open_run(p, s, from, from + 1, true, &run))
        from = (uint32_t)kith_rand_below(&p->env, s->limit);
    if (!open_run(p, s, from, s->limit, true, &run) && !open_run(p, s, 0, from, true, &run))
        return;
    uint32_t end = fitting(p, run, &budget, leaves);
    q->ranges[q->range_count++] = (kith_leaf_range){run.first, end};
    q->bytes += budget;
    take_out(p, &p->open, run.first, end);
    s->cursor = end;
}

static bool stalled(const source *s, kith_time now)
{
    return s->paused || now > s->last + STALLED_AFTER + 4 * s->rtt;
}

/* When a source will have answered everything, from now: nanoseconds. */
static double finish(source *s, kith_time now)
{
    uint64_t n = outstanding(s);
    if (n == 0)
        return 0;
    if (s->rate <= 0 || stalled(s, now))
        return 1e18;
    return (double)n / s->rate * 1e9;
}

/* Those who will have answered everything before `v` has: a bit for each. */
static uint32_t quicker_than(kith_share_plan *p, const source *v, double v_finish, kith_time now)
{
    uint32_t quicker = 0;
    for (size_t i = 0; i < KITH_PLAN_SOURCES_MAX; i++) {
        source *s = &p->sources[i];
        if (s != v && s->count > 0 && !stalled(s, now) && finish(s, now) <= v_finish)
            quicker |= 1u << i;
    }
    return quicker;
}

static bool asked_of(kith_share_plan *p, uint32_t sources, uint32_t leaf)
{
    for (size_t i = 0; i < KITH_PLAN_SOURCES_MAX; i++) {
        source *s = &p->sources[i];
        for (size_t k = 0; k < s->count && (sources >> i & 1); k++) {
            request *q = nth(s, k);
            for (size_t r = q->at; r < q->range_count && !q->cancelled; r++) {
                kith_leaf_range left = left_of(q, r);
                if (left.first <= leaf && leaf < left.end)
                    return true;
            }
        }
    }
    return false;
}

static bool may_give(const source *s, uint32_t leaf)
{
    return leaf < s->limit && (!s->have || kith_leaves_has(s->have, leaf, leaf + 1)) &&
           !kith_leaves_has(&s->cannot, leaf, leaf + 1);
}

/* Puts a leaf in front of those that were collected from behind. False: no room. */
static bool prepend(request *q, uint32_t leaf)
{
    kith_leaf_range *last = q->range_count > 0 ? &q->ranges[q->range_count - 1] : NULL;
    if (last && last->first == leaf + 1) {
        last->first = leaf;
        return true;
    }
    if (q->range_count == KITH_SHARE_RANGES)
        return false;
    q->ranges[q->range_count++] = (kith_leaf_range){leaf, leaf + 1};
    return true;
}

/* The part of what `v` has still to bring that `s` can in the same time; half, as long as the rate of one is not known. */
static double share_of(const source *s, const source *v, kith_time now)
{
    if (stalled(v, now))
        return 1;
    return s->rate > 0 && v->rate > 0 ? s->rate / (s->rate + v->rate) : 0.5;
}

/* The end of what `v` has still to bring, as many leaves as the two have the same time for. */
static void take_over(kith_share_plan *p, kith_time now, source *s, source *v, request *q)
{
    const uint32_t quicker = quicker_than(p, v, finish(v, now), now);
    uint64_t all = 0;
    for (size_t k = 0; k < v->count; k++) {
        const request *w = nth(v, k);
        for (size_t r = w->at; r < w->range_count && !w->cancelled; r++) {
            kith_leaf_range left = left_of(w, r);
            all += kith_leaves_count(&p->missing, left.first, left.end);
        }
    }
    uint64_t want = (uint64_t)((double)all * share_of(s, v, now)) + 1;
    want = want < KITH_PLAN_RUN_MAX ? want : KITH_PLAN_RUN_MAX;
    for (size_t k = v->count; k-- > 0 && want > 0;) {
        const request *w = nth(v, k);
        for (size_t r = w->range_count; r-- > w->at && want > 0 && !w->cancelled;) {
            kith_leaf_range left = left_of(w, r);
            for (uint32_t leaf = left.end; leaf-- > left.first && want > 0;) {
                uint64_t offset;
                if (!kith_leaves_has(&p->missing, leaf, leaf + 1) || !may_give(s, leaf) ||
                    asked_of(p, quicker, leaf))
                    continue;
                if (!prepend(q, leaf))
                    return;
                size_t e = kith_manifest_leaf(p->m, leaf, &offset);
                q->bytes += leaf_len(p->m, e, offset);
                want--;
            }
        }
    }
}

/* Nothing is open: helps the source that would take longest, of those that are not helped enough already. */
static void help(kith_share_plan *p, kith_time now, source *s, request *q)
{
    uint32_t tried = 0; /* a bit for each */
    while (q->range_count == 0) {
        size_t v = KITH_PLAN_SOURCES_MAX;
        double latest = 0;
        for (size_t i = 0; i < KITH_PLAN_SOURCES_MAX; i++) {
            source *o = &p->sources[i];
            double f = o->used && o != s && !(tried >> i & 1) ? finish(o, now) : 0;
            if (f > latest) {
                latest = f;
                v = i;
            }
        }
        if (v == KITH_PLAN_SOURCES_MAX || latest < 1.5 * (double)s->rtt) /* it is there before we were */
            return;
        take_over(p, now, s, &p->sources[v], q);
        tried |= 1u << v;
    }
    for (size_t i = 0, k = q->range_count; i + 1 < k; i++, k--) { /* from the front on */
        kith_leaf_range r = q->ranges[i];
        q->ranges[i] = q->ranges[k - 1];
        q->ranges[k - 1] = r;
    }
    q->second = q->range_count > 0;
}

size_t kith_share_plan_next(kith_share_plan *p, kith_time now, int i, uint64_t id,
                            kith_leaf_range out[KITH_SHARE_RANGES])
{
    source *s = at(p, i);
    const uint64_t busy = outstanding(s);
    const bool well = p->spread && !s->have, shared = well && some_have_parts(p);
    if (s->paused || s->count == KITH_PLAN_REQUESTS || p->no_memory)
        return 0;
    const uint64_t w = !p->spread && alone(p) ? window(s, 2, first_of(s))
                                              : window(s, 1, well ? PIECE_MIN : KITH_PLAN_WINDOW_MIN);
    uint64_t budget = w / 4 > PIECE_MIN || well ? w / 4 : PIECE_MIN;
    if (busy >= w)
        return 0;
    request *q = nth(s, s->count);
    q->range_count = 0;
    q->bytes = 0;
    q->second = q->cancelled = q->tell = false;
    uint32_t leaves = KITH_SHARE_REQUEST_LEAVES, from = s->cursor < s->limit ? s->cursor : 0;
    if (shared)
        collect_rare(p, s, q, budget, leaves);
    if (q->range_count == 0 && shared && is_outrun(p, s)) {
        if (busy > 0)
            return 0;
        budget = PIECE_MIN;
    }
    if (q->range_count == 0)
        collect(p, s, q, from, s->limit, budget, &leaves);
    if (q->range_count == 0)
        collect(p, s, q, 0, from, budget, &leaves);
    if (q->range_count == 0 && busy == 0)
        help(p, now, s, q);
    if (q->range_count == 0 || p->no_memory)
        return 0;
    if (busy == 0) { /* the time in which it had nothing to do does not count */
        s->since += now - s->last;
        s->last = now;
    }
    q->id = id;
    q->at = 0;
    q->leaf = q->ranges[0].first;
    s->count++;
    p->second += q->second;
    memcpy(out, q->ranges, q->range_count * sizeof *out);
    return q->range_count;
}

/* ---- answers ---- */

static void measure(source *s, kith_time now, uint32_t bytes)
{
    s->measured += bytes;
    s->last = now;
    if (now < s->since + RATE_EVERY)
        return;
    double r = (double)s->measured * 1e9 / (double)(now - s->since);
    s->rate = s->rate > 0 ? s->rate * 0.7 + r * 0.3 : r;
    s->since = now;
    s->measured = 0;
}

/* The request that is answered now: those before it are over. NULL: there is none of this id. */
static request *answered(kith_share_plan *p, source *s, uint64_t id)
{
    while (s->count > 0 && nth(s, 0)->id != id)
        give_up(p, s);
    return s->count > 0 ? nth(s, 0) : NULL;
}

/* The range that a leaf is still to come in, which need not be the first that has a greater one: ranges may be in any order. */
static size_t range_of(const request *q, uint32_t leaf)
{
    for (size_t k = q->at; k < q->range_count; k++) {
        kith_leaf_range left = left_of(q, k);
        if (leaf >= left.first && leaf < left.end)
            return k;
    }
    return q->range_count;
}

/* Everything of a request up to `end` in range k is answered; what was passed over did not come. */
static void advance(kith_share_plan *p, source *s, request *q, size_t k, uint32_t end)
{
    if (k == q->range_count)
        return;
    while (q->at < k) {
        reopen(p, left_of(q, q->at));
        q->leaf = q->ranges[++q->at].first;
    }
    reopen(p, (kith_leaf_range){left_of(q, k).first, end});
    q->leaf = end;
    if (end == q->ranges[k].end && ++q->at < q->range_count)
        q->leaf = q->ranges[q->at].first;
    if (q->at == q->range_count)
        pop(p, s);
}

bool kith_share_plan_got(kith_share_plan *p, kith_time now, int i, uint64_t id, uint32_t leaf, uint32_t bytes)
{
    source *s = at(p, i);
    bool is_new = kith_leaves_has(&p->missing, leaf, leaf + 1);
    if (is_new) {
        take_out(p, &p->missing, leaf, leaf + 1);
        take_out(p, &p->open, leaf, leaf + 1);
    }
    measure(s, now, bytes);
    request *q = answered(p, s, id);
    if (q) {
        q->bytes -= bytes < q->bytes ? bytes : q->bytes;
        advance(p, s, q, range_of(q, leaf), leaf + 1);
    }
    if (p->second > 0)
        look_for_cancels(p);
    return is_new;
}

void kith_share_plan_refused(kith_share_plan *p, int i, uint64_t id, uint32_t leaf)
{
    source *s = at(p, i);
    request *q = answered(p, s, id);
    uint64_t offset;
    size_t e = kith_manifest_leaf(p->m, leaf, &offset);
    uint32_t first, end;
    kith_manifest_leaves(p->m, e, &first, &end);
    add(p, &s->cannot, first, end);
    add(p, &p->refused, first, end);
    if (q) {
        size_t k = range_of(q, leaf);
        advance(p, s, q, k, k < q->range_count && q->ranges[k].end < end ? q->ranges[k].end : end);
    }
}

/* Whether somebody who is there has not refused it. Those who have a part count with what they have: else all would wait for each other. */
static bool somebody_may(const kith_share_plan *p, uint32_t leaf)
{
    bool any = false, may = false;
    for (size_t k = 0; k < KITH_PLAN_SOURCES_MAX && !may; k++) {
        const source *s = &p->sources[k];
        any |= s->used;
        may = s->used && !kith_leaves_has(&s->cannot, leaf, leaf + 1) &&
              (!s->have || kith_leaves_has(s->have, leaf, leaf + 1));
    }
    return may || !any;
}

bool kith_share_plan_lost(const kith_share_plan *p, size_t *entry)
{
    kith_leaf_range run = {0};
    while (kith_leaves_next(&p->refused, true, run.end, (uint32_t)p->m->leaves, &run)) {
        kith_leaf_range gap = {.end = run.first};
        while (kith_leaves_next(&p->missing, true, gap.end, run.end, &gap)) {
            for (uint32_t leaf = gap.first; leaf < gap.end;) {
                uint64_t offset;
                uint32_t first;
                size_t e = kith_manifest_leaf(p->m, leaf, &offset);
                if (!somebody_may(p, leaf)) {
                    *entry = e;
                    return true;
                }
                kith_manifest_leaves(p->m, e, &first, &leaf);
            }
        }
    }
    return false;
}

void kith_share_plan_ended(kith_share_plan *p, int i, uint64_t id)
{
    source *s = at(p, i);
    if (answered(p, s, id))
        give_up(p, s);
}

bool kith_share_plan_cancel(kith_share_plan *p, int *i, uint64_t *id)
{
    for (int k = 0; k < KITH_PLAN_SOURCES_MAX; k++) {
        source *s = &p->sources[k];
        for (size_t n = 0; n < s->count; n++) {
            request *q = nth(s, n);
            if (!q->tell)
                continue;
            q->tell = false;
            *i = k;
            *id = q->id;
            return true;
        }
    }
    return false;
}

void kith_share_plan_check(const kith_share_plan *p)
{
    size_t second = 0;
    kith_leaves_check(&p->missing);
    kith_leaves_check(&p->open);
    kith_leaves_check(&p->refused);
    if (!p->no_memory)
        assert(p->open.total <= p->missing.total);
    for (size_t i = 0; i < KITH_PLAN_SOURCES_MAX; i++) {
        const source *s = &p->sources[i];
        kith_leaves_check(&s->cannot);
        assert(s->count <= KITH_PLAN_REQUESTS && (s->used || s->count == 0));
        for (size_t k = 0; k < s->count; k++) {
            const request *q = &s->requests[(s->first + k) % KITH_PLAN_REQUESTS];
            assert(q->range_count > 0 && q->range_count <= KITH_SHARE_RANGES && q->at < q->range_count);
            assert(q->leaf >= q->ranges[q->at].first && q->leaf < q->ranges[q->at].end);
            second += q->second;
        }
    }
    assert(second == p->second);
}
