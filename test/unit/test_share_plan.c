/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is asked of whom: several sources with links of their own in virtual time, sources that stall, refuse, leave and come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/share_world.h"

#define L ((uint64_t)KITH_TREE_LEAF)
#define SOURCES 8
#define QUEUE 16

static world_heap heap;
static uint64_t seed = 1;
static const kith_env env = {.alloc = {&heap, world_heap_fn}, .rand = {&seed, world_rand_fn}};

/* A source: a link of a rate and a delay. What it is asked for it sends in order. */
typedef struct link_of {
    int source;             /* -1: not there */
    uint64_t rate;          /* bytes per second */
    kith_time delay, ready; /* one way; when the link is free again */
    struct asked {
        uint64_t id;
        kith_time at; /* when the request is there */
        size_t count, range;
        uint32_t leaf;
        bool cancelled;
        kith_leaf_range ranges[KITH_SHARE_RANGES];
    } q[QUEUE];
    size_t q_count;
    uint64_t next_id, sent, dropped; /* leaves; those that were here already */
    bool stalled;
    kith_leaves have;
    uint64_t flight_id; /* the leaf that is on the link */
    uint32_t flight;
    bool in_flight;
} link_of;

typedef struct net {
    kith_manifest m;
    uint8_t list[1 << 16];
    kith_share_plan *plan;
    link_of links[SOURCES];
    kith_time now;
    uint64_t got, corrupt_every, corrupted; /* source 0 sends one wrong leaf in so many */
} net;

static net *net_new(uint64_t leaves, bool spread)
{
    net *n = calloc(1, sizeof *n);
    assert_non_null(n);
    kith_wr w = kith_wr_of(kith_span_of(n->list, sizeof n->list));
    kith_entry e = {.name = kith_bytes_str("f"), .type = KITH_ENTRY_FILE, .size = leaves * L};
    kith_manifest_put_entry(&w, &e);
    kith_manifest_fault fault;
    assert_int_equal(kith_manifest_parse(&env, kith_wr_bytes(&w), false, &n->m, &fault), KITH_OK);
    const kith_share_plan_config cfg = {.env = env, .manifest = &n->m, .spread = spread};
    n->plan = kith_share_plan_new(&cfg);
    assert_non_null(n->plan);
    kith_share_plan_want(n->plan, 0, (uint32_t)leaves);
    for (size_t i = 0; i < SOURCES; i++)
        n->links[i].source = -1;
    n->now = KITH_SEC(1);
    return n;
}

static void net_free(net *n)
{
    for (size_t i = 0; i < SOURCES; i++)
        kith_leaves_fini(&n->links[i].have, &env);
    kith_share_plan_free(n->plan);
    kith_manifest_fini(&n->m, &env);
    free(n);
    assert_int_equal(heap.live, 0);
}

static link_of *join(net *n, size_t i, uint64_t rate, kith_time delay, bool partial)
{
    link_of *l = &n->links[i];
    *l = (link_of){.rate = rate, .delay = delay, .next_id = 1, .ready = n->now, .have = l->have};
    l->source = kith_share_plan_join(n->plan, n->now, partial ? &l->have : NULL);
    assert_true(l->source >= 0);
    kith_share_plan_limit(n->plan, l->source, (uint32_t)n->m.leaves);
    kith_share_plan_rtt(n->plan, l->source, 2 * delay);
    return l;
}

static void leave(net *n, link_of *l)
{
    kith_share_plan_leave(n->plan, l->source);
    l->source = -1;
    l->q_count = 0;
    l->in_flight = false;
}

static void ask(net *n)
{
    int source;
    uint64_t id;
    for (size_t i = 0; i < SOURCES; i++) {
        link_of *l = &n->links[i];
        for (; l->source >= 0; l->q_count++) {
            struct asked *a = &l->q[l->q_count];
            assert_true(l->q_count < QUEUE);
            *a = (struct asked){.id = l->next_id, .at = n->now + l->delay};
            a->count = kith_share_plan_next(n->plan, n->now, l->source, l->next_id, a->ranges);
            if (a->count == 0)
                break;
            uint64_t leaves = 0;
            for (size_t r = 0; r < a->count; r++) {
                assert_true(a->ranges[r].first < a->ranges[r].end && a->ranges[r].end <= n->m.leaves);
                leaves += a->ranges[r].end - a->ranges[r].first;
            }
            assert_true(leaves <= KITH_SHARE_REQUEST_LEAVES && a->count <= KITH_SHARE_RANGES);
            a->leaf = a->ranges[0].first;
            l->next_id++;
        }
    }
    while (kith_share_plan_cancel(n->plan, &source, &id)) {
        for (size_t i = 0; i < SOURCES; i++) {
            link_of *l = &n->links[i];
            for (size_t k = 0; l->source == source && k < l->q_count; k++)
                l->q[k].cancelled |= l->q[k].id == id;
        }
    }
    kith_share_plan_check(n->plan);
}

/* Puts the next leaf of a source on its link. */
static void send_next(net *n, link_of *l)
{
    while (l->source >= 0 && !l->in_flight && !l->stalled && l->q_count > 0) {
        struct asked *a = &l->q[0];
        if (a->cancelled || a->range == a->count) {
            uint64_t id = a->id;
            bool cancelled = a->cancelled && a->range < a->count;
            memmove(l->q, l->q + 1, --l->q_count * sizeof l->q[0]);
            if (cancelled)
                kith_share_plan_ended(n->plan, l->source, id);
            continue;
        }
        l->in_flight = true;
        l->flight = a->leaf;
        l->flight_id = a->id;
        l->ready = (l->ready > a->at ? l->ready : a->at) + L * 1000000000 / l->rate;
        l->sent++;
        if (++a->leaf == a->ranges[a->range].end && ++a->range < a->count)
            a->leaf = a->ranges[a->range].first;
    }
}

/* The next thing that happens. False: nothing does. */
static bool step(net *n)
{
    link_of *first = NULL;
    ask(n);
    for (size_t i = 0; i < SOURCES; i++) {
        link_of *l = &n->links[i];
        send_next(n, l);
        if (l->in_flight && (!first || l->ready + l->delay < first->ready + first->delay))
            first = l;
    }
    if (!first)
        return false;
    if (first->ready + first->delay > n->now)
        n->now = first->ready + first->delay;
    first->in_flight = false;
    if (n->corrupt_every && first == &n->links[0] && first->sent % n->corrupt_every == 0) {
        n->corrupted++; /* its owner finds the leaf wrong, and drops it */
        leave(n, first);
        return true;
    }
    if (kith_share_plan_got(n->plan, n->now, first->source, first->flight_id, first->flight, (uint32_t)L))
        n->got++;
    else
        first->dropped++;
    return true;
}

/* Until all is here. Steps of 200 ms when nothing else happens, as the owner's clock has it. */
static void run(net *n)
{
    for (int idle = 0; kith_share_plan_missing(n->plan)->total > 0;) {
        if (step(n)) {
            idle = 0;
            continue;
        }
        n->now += KITH_MS(200);
        assert_true(++idle < 1000);
    }
    assert_int_equal(n->got, n->m.leaves);
    assert_int_equal(kith_share_plan_err(n->plan), KITH_OK);
}

static uint64_t wasted(const net *n)
{
    uint64_t w = 0;
    for (size_t i = 0; i < SOURCES; i++)
        w += n->links[i].dropped;
    return w;
}

/* Bytes per second of all, over the whole transfer. */
static double speed(const net *n, kith_time began)
{
    return (double)(n->m.leaves * L) * 1e9 / (double)(n->now - began);
}

static void one_source_is_never_left_waiting(void **state)
{
    (void)state;
    net *n = net_new(4000, false);
    join(n, 0, 500000000, KITH_MS(50), false);
    run(n);
    assert_true(speed(n, KITH_SEC(1)) > 0.9 * 500000000);
    assert_int_equal(wasted(n), 0);
    net_free(n);
}

static void four_sources_deliver_the_sum_of_their_rates(void **state)
{
    (void)state;
    static const kith_time delays[] = {KITH_MS(1), KITH_MS(20), KITH_MS(100)};
    for (size_t d = 0; d < 3; d++) {
        net *n = net_new(2000, false);
        const uint64_t rate = 4000000;
        for (size_t i = 0; i < 4; i++)
            join(n, i, rate << i, delays[d], false);
        run(n);
        double part = speed(n, KITH_SEC(1)) / (15.0 * (double)rate);
        print_message("delay %u ms: %.3f of the sum, %u leaves twice\n", (unsigned)(delays[d] / KITH_MS(1)),
                      part, (unsigned)wasted(n));
        assert_true(part >= 0.9);
        assert_true(wasted(n) <= 20); /* of 2000 */
        net_free(n);
    }
}

/* Connections take their time: the first one is alone for a moment, which must not be enough to be asked for all. */
static void a_source_that_comes_first_does_not_get_everything(void **state)
{
    (void)state;
    const uint64_t rate = 4000000;
    for (size_t first = 0; first < 4; first++) {
        net *n = net_new(600, false);
        join(n, first, rate << first, KITH_MS(1), false);
        ask(n);
        for (size_t i = 0; i < 4; i++) {
            if (i == first)
                continue;
            join(n, i, rate << i, KITH_MS(1), false);
            ask(n);
        }
        run(n);
        double part = speed(n, KITH_SEC(1)) / (15.0 * (double)rate);
        print_message("rate %u first: %.3f of the sum, %u leaves twice\n", 1u << first, part,
                      (unsigned)wasted(n));
        assert_true(part >= 0.9);
        assert_true(wasted(n) <= 20); /* of 600 */
        net_free(n);
    }
}

/* What one slow source holds, all the others share, and not only the first that has nothing to do. */
static void several_help_one(void **state)
{
    (void)state;
    net *n = net_new(128, false);
    join(n, 0, 500000, KITH_MS(1), false);
    ask(n); /* 8 MiB, for 17 s */
    for (size_t i = 1; i < 4; i++)
        join(n, i, 4000000, KITH_MS(1), false);
    run(n);
    assert_true(speed(n, KITH_SEC(1)) >= 0.9 * 12500000);
    net_free(n);
}

/* What is missing has holes: one request has no room for all that a source that stalls was asked for. */
static void who_helps_takes_so_many_ranges_and_no_more(void **state)
{
    (void)state;
    kith_leaf_range r[KITH_SHARE_RANGES];
    uint32_t last = 0;
    size_t asked = 0;
    net *n = net_new(2000, false);
    for (uint32_t leaf = 1; leaf < 2000; leaf += 2)
        kith_share_plan_settle(n->plan, leaf, leaf + 1);
    link_of *stalls = join(n, 0, 50000000, KITH_MS(100), false);
    for (int i = 0; i < 300; i++) /* much is asked of it, as it is quick and far */
        assert_true(step(n));
    for (size_t k = 0; k < stalls->q_count; k++) {
        asked += stalls->q[k].count - stalls->q[k].range;
        last = stalls->q[k].ranges[stalls->q[k].count - 1].first;
    }
    assert_true(asked > 2 * KITH_SHARE_RANGES);
    kith_share_plan_settle(n->plan, last + 1, 2000); /* and no more is to be had */
    n->now += KITH_SEC(100);
    link_of *helps = join(n, 1, 1000000, KITH_MS(1), false);
    assert_int_equal(kith_share_plan_next(n->plan, n->now, helps->source, 1, r), KITH_SHARE_RANGES);
    for (size_t i = 0; i < KITH_SHARE_RANGES; i++)
        assert_true(r[i].end == r[i].first + 1 && last == r[i].first + 2 * (KITH_SHARE_RANGES - 1 - i));
    kith_share_plan_check(n->plan);
    net_free(n);
}

static void a_source_that_sends_a_bad_leaf_is_replaced_at_once(void **state)
{
    (void)state;
    net *n = net_new(2000, false);
    const uint64_t rate = 4000000;
    n->corrupt_every = 100; /* 1 % */
    for (size_t i = 0; i < 4; i++)
        join(n, i, rate << (3 - i), KITH_MS(5), false);
    run(n);
    assert_int_equal(n->corrupted, 1);
    assert_int_equal(n->links[0].sent, 100); /* and not one after it */
    assert_true(speed(n, KITH_SEC(1)) >= 0.9 * 7.0 * (double)rate);
    net_free(n);
}

static void what_a_source_was_asked_for_is_asked_of_others_when_it_leaves(void **state)
{
    (void)state;
    net *n = net_new(1500, false);
    for (size_t i = 0; i < 3; i++)
        join(n, i, 10000000, KITH_MS(10), false);
    for (int i = 0; i < 200; i++)
        assert_true(step(n));
    leave(n, &n->links[0]);
    for (int i = 0; i < 200; i++)
        assert_true(step(n));
    leave(n, &n->links[2]);
    join(n, 3, 10000000, KITH_MS(10), false); /* and one comes late */
    run(n);
    net_free(n);
}

static void a_source_that_stalls_does_not_hold_up_the_end(void **state)
{
    (void)state;
    net *n = net_new(400, false);
    for (size_t i = 0; i < 2; i++)
        join(n, i, 10000000, KITH_MS(10), false);
    for (int i = 0; i < 50; i++)
        assert_true(step(n));
    n->links[1].stalled = true;
    n->links[1].in_flight = false;
    run(n);
    assert_true(n->now < KITH_SEC(1 + 20));
    net_free(n);
}

static void a_paused_source_is_asked_for_nothing(void **state)
{
    (void)state;
    net *n = net_new(300, false);
    join(n, 0, 10000000, KITH_MS(10), false);
    kith_share_plan_pause(n->plan, n->links[0].source, true);
    assert_false(step(n));
    join(n, 1, 10000000, KITH_MS(10), false);
    run(n);
    assert_int_equal(n->links[0].sent, 0);
    net_free(n);
}

static void partial_sources_are_asked_for_what_they_have(void **state)
{
    (void)state;
    net *n = net_new(1000, true);
    assert_int_equal(kith_leaves_add(&n->links[0].have, &env, 0, 400), KITH_OK);
    assert_int_equal(kith_leaves_add(&n->links[1].have, &env, 300, 600), KITH_OK);
    join(n, 0, 10000000, KITH_MS(10), true);
    join(n, 1, 10000000, KITH_MS(10), true);
    while (step(n))
        ;
    assert_int_equal(n->got, 600);
    assert_int_equal(kith_share_plan_missing(n->plan)->total, 400);
    assert_int_equal(kith_leaves_add(&n->links[1].have, &env, 600, 800), KITH_OK); /* it gets more */
    while (step(n))
        ;
    assert_int_equal(n->got, 800);
    join(n, 2, 10000000, KITH_MS(10), false);
    run(n);
    net_free(n);
}

static void nothing_is_asked_for_above_the_limit(void **state)
{
    (void)state;
    net *n = net_new(100, false);
    link_of *l = join(n, 0, 10000000, KITH_MS(10), false);
    for (uint32_t limit = 0; limit <= 100; limit += 20) {
        kith_share_plan_limit(n->plan, l->source, limit);
        while (step(n))
            ;
        assert_int_equal(n->got, limit);
    }
    net_free(n);
}

static void what_a_source_refuses_is_asked_of_others_or_lost(void **state)
{
    (void)state;
    net *n = net_new(10, false);
    link_of *a = join(n, 0, 10000000, KITH_MS(10), false), *b = join(n, 1, 10000000, KITH_MS(10), false);
    kith_leaf_range r[KITH_SHARE_RANGES];
    assert_true(kith_share_plan_next(n->plan, n->now, a->source, 1, r) > 0);
    size_t lost = 9;
    assert_false(kith_share_plan_lost(n->plan, &lost));
    kith_share_plan_refused(n->plan, a->source, 1, 0);
    assert_false(kith_share_plan_lost(n->plan, &lost)); /* b may have it */
    kith_share_plan_check(n->plan);
    assert_int_equal(kith_share_plan_next(n->plan, n->now, a->source, 2, r), 0);
    assert_int_equal(kith_share_plan_next(n->plan, n->now, b->source, 1, r), 1);
    assert_int_equal(r[0].first, 0);
    kith_share_plan_refused(n->plan, b->source, 1, r[0].first);
    assert_true(kith_share_plan_lost(n->plan, &lost));
    assert_int_equal(lost, 0);
    kith_share_plan_settle(n->plan, 0, 10);
    assert_false(kith_share_plan_lost(n->plan, &lost));
    assert_int_equal(kith_share_plan_missing(n->plan)->total, 0);
    net_free(n);
}

/* Who fetches it too, and has not got it either, is not waited for. */
static void what_is_refused_is_lost_beside_others_who_do_not_have_it(void **state)
{
    (void)state;
    size_t lost;
    kith_leaf_range r[KITH_SHARE_RANGES];
    net *n = net_new(8, true);
    link_of *whole = join(n, 0, 1000000, KITH_MS(1), false), *part = join(n, 1, 1000000, KITH_MS(1), true);
    assert_int_equal(kith_leaves_add(&part->have, &env, 0, 8), KITH_OK);
    assert_true(kith_share_plan_next(n->plan, n->now, whole->source, 1, r) > 0);
    kith_share_plan_refused(n->plan, whole->source, 1, r[0].first);
    assert_false(kith_share_plan_lost(n->plan, &lost)); /* the other one has it */
    assert_int_equal(kith_leaves_remove(&part->have, &env, 0, 8), KITH_OK);
    assert_true(kith_share_plan_lost(n->plan, &lost));
    net_free(n);
}

/* The ranges of one request need not be in order: what was taken over from another source is as that was asked for it. */
static void ranges_in_any_order_are_followed(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= 40; round++) {
        net *n = net_new(60, true);
        seed = round;
        for (size_t i = 0; i < 3; i++)
            join(n, i, 10000000, KITH_MS(10), false);
        for (int i = 0; i < 20 && step(n); i++)
            ;
        leave(n, &n->links[1]);
        run(n);
        net_free(n);
    }
}

/* A source answers in the order that it was asked in. One that does not is asked again for what it left out. */
static void what_is_passed_over_is_asked_for_again(void **state)
{
    (void)state;
    kith_leaf_range r[KITH_SHARE_RANGES], again[KITH_SHARE_RANGES];
    net *n = net_new(30, false);
    link_of *l = join(n, 0, 1000000, KITH_MS(1), true);
    for (uint32_t first = 0; first < 30; first += 10)
        assert_int_equal(kith_leaves_add(&l->have, &env, first, first + 1), KITH_OK);
    assert_int_equal(kith_share_plan_next(n->plan, n->now, l->source, 1, r), 3);
    assert_true(kith_share_plan_got(n->plan, n->now, l->source, 1, r[2].first, (uint32_t)L));
    kith_share_plan_check(n->plan);
    assert_int_equal(kith_share_plan_next(n->plan, n->now, l->source, 2, again), 2);
    for (size_t k = 0; k < 2; k++) {
        bool of_first = again[k].first == r[0].first && again[k].end == r[0].end;
        assert_true(of_first || (again[k].first == r[1].first && again[k].end == r[1].end));
    }
    net_free(n);
}

static void what_the_last_one_refused_is_lost_when_the_others_leave(void **state)
{
    (void)state;
    net *n = net_new(10, false);
    link_of *a = join(n, 0, 10000000, KITH_MS(10), false), *b = join(n, 1, 10000000, KITH_MS(10), false);
    kith_leaf_range r[KITH_SHARE_RANGES];
    size_t lost = 9;
    assert_true(kith_share_plan_next(n->plan, n->now, a->source, 1, r) > 0);
    kith_share_plan_refused(n->plan, a->source, 1, 0);
    kith_share_plan_leave(n->plan, b->source);
    assert_true(kith_share_plan_lost(n->plan, &lost));
    assert_int_equal(lost, 0);
    kith_share_plan_leave(n->plan, a->source);
    assert_false(kith_share_plan_lost(n->plan, &lost)); /* with nobody there, nobody can say */
    kith_share_plan_check(n->plan);
    net_free(n);
}

/* One of the others comes, with all or with parts, or goes, stalls, goes on, is paused, is not. */
static void something_happens(net *n)
{
    size_t i = 1 + kith_rand_below(&env, SOURCES - 1);
    link_of *l = &n->links[i];
    if (l->source < 0) {
        const bool part = kith_rand_below(&env, 3) == 0;
        for (int k = 0; part && k < 5; k++) {
            uint32_t first = (uint32_t)kith_rand_below(&env, n->m.leaves);
            uint32_t end = first + 1 + (uint32_t)kith_rand_below(&env, n->m.leaves - first);
            assert_int_equal(kith_leaves_add(&l->have, &env, first, end), KITH_OK);
        }
        join(n, i, UINT64_C(500000) << kith_rand_below(&env, 7), KITH_MS(1 + kith_rand_below(&env, 100)),
             part);
        return;
    }
    switch (kith_rand_below(&env, 3)) {
    case 0:
        leave(n, l);
        break;
    case 1:
        l->stalled = !l->stalled;
        l->in_flight &= !l->stalled;
        break;
    default:
        kith_share_plan_pause(n->plan, l->source, kith_rand_below(&env, 2) > 0);
    }
}

/* As long as one is there that has everything and gives it, however slowly. */
static void whatever_the_others_do_it_all_comes(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= 200; round++) {
        seed = round;
        net *n = net_new(200 + kith_rand_below(&env, 800), round % 2);
        join(n, 0, 4000000, KITH_MS(10), false);
        for (int happened = 0; happened < 60 && kith_share_plan_missing(n->plan)->total > 0; happened++) {
            for (uint64_t steps = kith_rand_below(&env, 40); steps > 0; steps--) {
                if (!step(n))
                    n->now += KITH_MS(200);
            }
            something_happens(n);
        }
        run(n);
        net_free(n);
    }
}

static void there_is_a_cap_on_sources(void **state)
{
    (void)state;
    net *n = net_new(10, false);
    for (int i = 0; i < KITH_PLAN_SOURCES_MAX; i++)
        assert_int_equal(kith_share_plan_join(n->plan, n->now, NULL), i);
    assert_int_equal(kith_share_plan_join(n->plan, n->now, NULL), -1);
    kith_share_plan_leave(n->plan, 7);
    assert_int_equal(kith_share_plan_join(n->plan, n->now, NULL), 7);
    net_free(n);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t nth = 1;; nth++) {
        net *n = net_new(60, true);
        heap = (world_heap){.fail_at = nth + heap.calls, .calls = heap.calls, .live = heap.live};
        for (size_t i = 0; i < 3; i++)
            join(n, i, 10000000, KITH_MS(10), false);
        for (int i = 0; i < 30 && step(n); i++)
            ;
        leave(n, &n->links[1]);
        while (kith_share_plan_err(n->plan) == KITH_OK && step(n))
            ;
        bool failed = heap.calls >= heap.fail_at;
        assert_true(failed ? kith_share_plan_err(n->plan) == KITH_ENOMEM : n->got == 60);
        heap.fail_at = 0;
        net_free(n);
        if (!failed)
            break;
        assert_true(nth < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_source_is_never_left_waiting),
        cmocka_unit_test(four_sources_deliver_the_sum_of_their_rates),
        cmocka_unit_test(a_source_that_comes_first_does_not_get_everything),
        cmocka_unit_test(several_help_one),
        cmocka_unit_test(who_helps_takes_so_many_ranges_and_no_more),
        cmocka_unit_test(a_source_that_sends_a_bad_leaf_is_replaced_at_once),
        cmocka_unit_test(what_a_source_was_asked_for_is_asked_of_others_when_it_leaves),
        cmocka_unit_test(a_source_that_stalls_does_not_hold_up_the_end),
        cmocka_unit_test(a_paused_source_is_asked_for_nothing),
        cmocka_unit_test(partial_sources_are_asked_for_what_they_have),
        cmocka_unit_test(nothing_is_asked_for_above_the_limit),
        cmocka_unit_test(what_a_source_refuses_is_asked_of_others_or_lost),
        cmocka_unit_test(what_is_refused_is_lost_beside_others_who_do_not_have_it),
        cmocka_unit_test(ranges_in_any_order_are_followed),
        cmocka_unit_test(what_is_passed_over_is_asked_for_again),
        cmocka_unit_test(what_the_last_one_refused_is_lost_when_the_others_leave),
        cmocka_unit_test(whatever_the_others_do_it_all_comes),
        cmocka_unit_test(there_is_a_cap_on_sources),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
