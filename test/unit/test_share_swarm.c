/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Receivers that help each other, by their plans alone, in virtual time: one slow sharer, each receiver a source of the others for what it
 * has said to have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/share_world.h"

#define L ((uint64_t)KITH_TREE_LEAF)
#define RECEIVERS 8
#define LEAVES 400
#define TICK KITH_MS(20)
#define QUEUE 8

static world_heap heap;
static uint64_t seed = 1;
static const kith_env env = {.alloc = {&heap, world_heap_fn}, .rand = {&seed, world_rand_fn}};

/* What a receiver has asked a source for, in order. */
typedef struct pipe_of {
    int source; /* in the receiver's plan */
    uint64_t next_id;
    size_t count;
    struct {
        uint64_t id;
        size_t n, range;
        uint32_t leaf;
        bool cancelled;
        kith_leaf_range ranges[KITH_SHARE_RANGES];
    } q[QUEUE];
} pipe_of;

typedef struct giver {
    uint64_t rate, budget, sent; /* bytes a second; bytes; leaves */
    size_t turn;                 /* whose it is */
    bool gone;
} giver;

typedef struct crowd {
    kith_manifest m;
    uint8_t list[256];
    kith_share_plan *plan[RECEIVERS];
    kith_leaves have[RECEIVERS], said[RECEIVERS];
    giver givers[RECEIVERS + 1]; /* the last one is the sharer */
    pipe_of pipes[RECEIVERS][RECEIVERS + 1];
    uint64_t from_others[RECEIVERS];
    kith_time now;
} crowd;

static crowd *crowd_new(bool helping, uint64_t sharer, uint64_t member)
{
    crowd *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->now = KITH_SEC(1);
    kith_wr w = kith_wr_of(kith_span_of(c->list, sizeof c->list));
    kith_entry e = {.name = kith_bytes_str("f"), .type = KITH_ENTRY_FILE, .size = LEAVES * L};
    kith_manifest_put_entry(&w, &e);
    kith_manifest_fault fault;
    assert_int_equal(kith_manifest_parse(&env, kith_wr_bytes(&w), false, &c->m, &fault), KITH_OK);
    for (size_t r = 0; r < RECEIVERS; r++) {
        const kith_share_plan_config cfg = {.env = env, .manifest = &c->m, .spread = helping};
        c->plan[r] = kith_share_plan_new(&cfg);
        assert_non_null(c->plan[r]);
        kith_share_plan_want(c->plan[r], 0, LEAVES);
        for (size_t g = 0; g <= RECEIVERS; g++) {
            pipe_of *p = &c->pipes[r][g];
            *p = (pipe_of){.source = -1, .next_id = 1};
            if (g == r || (g < RECEIVERS && !helping))
                continue;
            p->source = kith_share_plan_join(c->plan[r], c->now, g < RECEIVERS ? &c->said[g] : NULL);
            kith_share_plan_limit(c->plan[r], p->source, LEAVES);
            kith_share_plan_rtt(c->plan[r], p->source, KITH_MS(20));
        }
        c->givers[r].rate = member;
    }
    c->givers[RECEIVERS].rate = sharer;
    return c;
}

static void crowd_free(crowd *c)
{
    for (size_t r = 0; r < RECEIVERS; r++) {
        kith_share_plan_free(c->plan[r]);
        kith_leaves_fini(&c->have[r], &env);
        kith_leaves_fini(&c->said[r], &env);
    }
    kith_manifest_fini(&c->m, &env);
    free(c);
    assert_int_equal(heap.live, 0);
}

static void ask(crowd *c, size_t r)
{
    int source;
    uint64_t id;
    for (size_t g = 0; g <= RECEIVERS; g++) {
        pipe_of *p = &c->pipes[r][g];
        for (; p->source >= 0 && p->count < QUEUE; p->count++) {
            p->q[p->count].n =
                kith_share_plan_next(c->plan[r], c->now, p->source, p->next_id, p->q[p->count].ranges);
            if (p->q[p->count].n == 0)
                break;
            p->q[p->count].id = p->next_id++;
            p->q[p->count].range = 0;
            p->q[p->count].cancelled = false;
            p->q[p->count].leaf = p->q[p->count].ranges[0].first;
            for (size_t i = 0; i < p->q[p->count].n && g < RECEIVERS; i++) /* only what it has said to have */
                assert_true(kith_leaves_has(&c->said[g], p->q[p->count].ranges[i].first,
                                            p->q[p->count].ranges[i].end));
        }
    }
    while (kith_share_plan_cancel(c->plan[r], &source, &id)) {
        for (size_t g = 0; g <= RECEIVERS; g++) {
            pipe_of *p = &c->pipes[r][g];
            for (size_t k = 0; k < p->count; k++)
                p->q[k].cancelled |= p->source == source && p->q[k].id == id;
        }
    }
    kith_share_plan_check(c->plan[r]);
}

/* The next leaf of a pipe arrives. False: there is none. */
static bool give(crowd *c, size_t r, size_t g)
{
    pipe_of *p = &c->pipes[r][g];
    for (; p->count > 0; memmove(p->q, p->q + 1, --p->count * sizeof p->q[0])) {
        if (p->q[0].range < p->q[0].n && !p->q[0].cancelled) {
            uint32_t leaf = p->q[0].leaf++;
            uint64_t id = p->q[0].id;
            if (p->q[0].leaf == p->q[0].ranges[p->q[0].range].end && ++p->q[0].range < p->q[0].n)
                p->q[0].leaf = p->q[0].ranges[p->q[0].range].first;
            c->givers[g].sent++;
            if (kith_share_plan_got(c->plan[r], c->now, p->source, id, leaf, (uint32_t)L)) {
                assert_int_equal(kith_leaves_add(&c->have[r], &env, leaf, leaf + 1), KITH_OK);
                c->from_others[r] += g < RECEIVERS;
            }
            return true;
        }
        if (p->q[0].cancelled)
            kith_share_plan_ended(c->plan[r], p->source, p->q[0].id);
    }
    return false;
}

static void leave(crowd *c, size_t g)
{
    c->givers[g].gone = true;
    for (size_t r = 0; r < RECEIVERS; r++) {
        pipe_of *p = &c->pipes[r][g];
        if (p->source >= 0)
            kith_share_plan_leave(c->plan[r], p->source);
        p->source = -1;
        p->count = 0;
    }
}

/* One tick of time. False: all who are there have everything. */
static bool tick(crowd *c)
{
    uint64_t missing = 0;
    for (size_t r = 0; r < RECEIVERS; r++) {
        if (!c->givers[r].gone)
            ask(c, r);
    }
    c->now += TICK;
    for (size_t g = 0; g <= RECEIVERS; g++) {
        giver *w = &c->givers[g];
        w->budget += w->rate * (TICK / 1000) / 1000000;
        for (size_t idle = 0; w->budget >= L && idle < RECEIVERS && !w->gone;) {
            bool gave = give(c, w->turn, g);
            w->turn = (w->turn + 1) % RECEIVERS;
            idle = gave ? 0 : idle + 1;
            w->budget -= gave ? L : 0;
        }
        w->budget = w->budget < 4 * L ? w->budget : 4 * L;
    }
    for (size_t r = 0; r < RECEIVERS; r++) {
        if (c->now / KITH_SEC(1) != (c->now - TICK) / KITH_SEC(1)) /* HAVE, once a second */
            assert_int_equal(kith_leaves_add_all(&c->said[r], &env, &c->have[r]), KITH_OK);
        missing += c->givers[r].gone ? 0 : kith_share_plan_missing(c->plan[r])->total;
    }
    return missing > 0;
}

static void receivers_help_each_other(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 5; n++) {
        seed = n;
        crowd *c = crowd_new(true, 10000000, 50000000);
        while (tick(c))
            assert_true(c->now < KITH_SEC(200));
        giver *s = &c->givers[RECEIVERS];
        print_message("%.1f s; the sharer sent %llu of %d leaves\n", (double)(c->now - KITH_SEC(1)) / 1e9,
                      (unsigned long long)s->sent, LEAVES);
        assert_true(s->sent >= LEAVES && s->sent < LEAVES * 9 / 5);
        for (size_t r = 0; r < RECEIVERS; r++)
            assert_true(c->from_others[r] > LEAVES / 2);
        crowd_free(c);
    }
}

static void alone_each_takes_all_from_the_sharer(void **state)
{
    (void)state;
    crowd *c = crowd_new(false, 100000000, 0);
    while (tick(c))
        assert_true(c->now < KITH_SEC(200));
    assert_int_equal(c->givers[RECEIVERS].sent, RECEIVERS * LEAVES);
    crowd_free(c);
}

static void a_member_that_leaves_costs_nothing_but_what_it_had(void **state)
{
    (void)state;
    crowd *c = crowd_new(true, 20000000, 50000000);
    for (int i = 0; i < 150; i++)
        (void)tick(c);
    leave(c, 3);
    while (tick(c))
        assert_true(c->now < KITH_SEC(200));
    crowd_free(c);
}

/* Once all of it is among them the sharer is not needed. */
static void the_sharer_may_leave_when_all_of_it_is_among_them(void **state)
{
    (void)state;
    crowd *c = crowd_new(true, 20000000, 50000000);
    kith_leaves all = {0};
    while (all.total < LEAVES) {
        assert_true(tick(c));
        for (size_t r = 0; r < RECEIVERS; r++)
            assert_int_equal(kith_leaves_add_all(&all, &env, &c->have[r]), KITH_OK);
    }
    leave(c, RECEIVERS);
    while (tick(c))
        assert_true(c->now < KITH_SEC(200));
    kith_leaves_fini(&all, &env);
    crowd_free(c);
}

/* A sharer that is quicker than they are is not held back for their sake. */
static void a_quick_sharer_is_used_beside_slow_members(void **state)
{
    (void)state;
    crowd *c = crowd_new(true, 800000000, 1000000);
    while (tick(c))
        assert_true(c->now < KITH_SEC(60));
    assert_true(c->now < KITH_SEC(12));
    crowd_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(receivers_help_each_other),
        cmocka_unit_test(alone_each_takes_all_from_the_sharer),
        cmocka_unit_test(a_member_that_leaves_costs_nothing_but_what_it_had),
        cmocka_unit_test(the_sharer_may_leave_when_all_of_it_is_among_them),
        cmocka_unit_test(a_quick_sharer_is_used_beside_slow_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
