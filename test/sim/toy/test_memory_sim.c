/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory that runs out in what a node does with all its peers: from the making of a part on, its nth allocation fails, or that one and all
 * after it, for every n until it gets through. Whatever came of it, when there is memory again everything is done once more and works, for
 * the node and for those whom it serves; and in the end nothing is left. The machines below are in test/unit/test_memory.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mesh/gossip_part.h"
#include "sim_kad.h"

enum { VICTIM, OTHERS = 3, NODES = 1 + OTHERS };

/* ---- Kademlia ---- */

#define PROVIDED kith_bytes_str("provided by another")

typedef struct kad_world {
    sim *s;
    sim_kad k[NODES];
} kad_world;

static void *kad_begin(sim **s)
{
    kad_world *w = calloc(1, sizeof *w);
    kith_node_config cfg = sim_classical();
    *s = w->s = sim_new(31);
    for (size_t i = 0; i < NODES; i++) {
        sim_kad_init(&w->k[i], sim_add(w->s, &cfg), true);
        w->k[i].cfg.namespaces = &sim_kad_number;
        w->k[i].cfg.namespace_count = 1;
        w->k[i].cfg.group_max = w->k[i].cfg.bucket_group_max = 0;
    }
    for (size_t i = 0; i < NODES; i++)
        sim_kad_know(&w->k[i], w->k[i == OTHERS ? 1 : i + 1].host);
    for (size_t i = 1; i < NODES; i++)
        sim_kad_start(&w->k[i]);
    sim_run(w->s, KITH_SEC(60));
    uint64_t op;
    assert_int_equal(kith_kad_provide(w->k[2].kad, sim_now(w->s), PROVIDED, &op), KITH_OK);
    sim_drive(w->k[2].host);
    sim_run(w->s, KITH_SEC(120));
    return w;
}

static sim_host *kad_victim(void *world)
{
    return ((kad_world *)world)->k[VICTIM].host;
}

/* One after another; sound: each is as it should be. */
static void kad_live(void *world, bool sound, unsigned round)
{
    static sim_kad_end end;
    kad_world *w = world;
    sim_kad *v = &w->k[VICTIM];
    if (!v->kad)
        (void)sim_kad_try(v);
    char text[32];
    for (size_t who = 0; who < 2; who++) { /* the victim asks, and another who asks it among others */
        sim_kad *k = &w->k[who];
        if (!k->kad) {
            assert_false(sound);
            continue;
        }
        for (unsigned what = 0; what < 6; what++) {
            kith_err e = KITH_OK;
            uint64_t op = 0;
            kith_time now = sim_now(w->s);
            snprintf(text, sizeof text, "/number/%zu of %u", who, round);
            kith_bytes key = kith_bytes_str(text);
            kith_bytes value = kith_bytes_of(&(const uint8_t){7}, 1);
            switch (what) {
            case 0:
                e = kith_kad_find_nearest(k->kad, now, key, &op);
                break;
            case 1:
                e = kith_kad_put(k->kad, now, key, value, &op);
                break;
            case 2:
                e = kith_kad_get(k->kad, now, key, 3, &op);
                break;
            case 3:
                e = kith_kad_provide(k->kad, now, key, &op);
                break;
            case 4:
                e = kith_kad_find_providers(k->kad, now, PROVIDED, 3, &op);
                break;
            case 5:
                e = kith_kad_find_peer(k->kad, now, kith_node_id(sim_node(w->k[OTHERS].host)), &op);
                break;
            }
            assert_true(e == KITH_OK || (e == KITH_ENOMEM && !sound && who == VICTIM));
            if (e)
                continue;
            sim_kad_wait(w->s, k, op, &end);
            assert_true(end.done);
            if (!sound)
                continue;
            if (end.err)
                fail_msg("node %zu, question %u: error %d", who, what, end.err);
            if (what == 0)
                assert_int_equal(end.peer_count, OTHERS);
            if (what == 1 || what == 3)
                assert_true(end.reached >= OTHERS);
            if (what == 4)
                assert_true(end.peer_count >= 1);
        }
    }
    if (v->kad) {
        snprintf(text, sizeof text, "/number/%d of %u", VICTIM, round);
        bool was = kith_kad_unprovide(v->kad, kith_bytes_str(text));
        assert_true(was || !sound);
        assert_int_equal(kith_kad_set_server(v->kad, sim_now(w->s), false), KITH_OK);
        sim_drive(v->host);
        kith_err e = kith_kad_set_server(v->kad, sim_now(w->s), true);
        assert_true(e == KITH_OK || (e == KITH_ENOMEM && !sound));
        sim_drive(v->host);
        kith_kad_check(v->kad);
    }
}

static void kad_settle(void *world)
{
    kad_world *w = world;
    sim_kad *v = &w->k[VICTIM];
    if (!v->kad)
        assert_true(sim_kad_try(v));
    else if (!kith_kad_is_server(v->kad)) /* as whoever was told that there was no memory does */
        assert_int_equal(kith_kad_set_server(v->kad, sim_now(w->s), true), KITH_OK);
    sim_kad_boot(v);
    sim_drive(v->host);
    sim_run(w->s, sim_now(w->s) + KITH_SEC(900));
}

static void kad_end(void *world)
{
    kad_world *w = world;
    sim_free(w->s);
    free(w);
}

/* ---- gossip ---- */

#define TOPIC kith_bytes_str("news")

typedef struct talker {
    struct gossip_world *w;
    sim_host *host;
    kith_gossip_part *part;
    unsigned heard[256]; /* how often each came */
} talker;

typedef struct gossip_world {
    sim *s;
    talker t[NODES];
    unsigned said;
} gossip_world;

static void gossip_news(void *ctx, kith_time now)
{
    talker *t = ctx;
    kith_gossip *g = kith_gossip_part_router(t->part);
    kith_gossip_event ev;
    while (kith_gossip_next(g, &ev)) {
        t->heard[ev.data.p[0]]++;
        if (ev.judged)
            assert_int_equal(kith_gossip_judged(g, now, ev.id, KITH_GOSSIP_ACCEPT), KITH_OK);
    }
}

static void gossip_gone(void *self)
{
    talker *t = self;
    kith_gossip_part_free(t->part);
    t->part = NULL;
}

static const kith_part_ops no_ops = {0};

static bool gossip_start(talker *t, kith_part *last)
{
    const char *why;
    kith_gossip_direct direct = {.addrs = sim_addr(t->w->t[1].host), .addr_count = 1};
    direct.peer = *kith_node_id(sim_node(t->w->t[1].host));
    kith_gossip_part_config c = {
        .news = gossip_news, .ctx = t, .direct = &direct, .direct_count = t == t->w->t};
    kith_gossip_config_default(&c.router);
    c.router.env = *sim_env(t->host);
    t->part = kith_gossip_part_new(sim_node(t->host), sim_now(t->w->s), &c, &why);
    if (!t->part)
        return false;
    *last = (kith_part){.ops = &no_ops, .self = t};
    sim_attach(t->host, kith_gossip_part_of(t->part), NULL);
    sim_attach(t->host, last, gossip_gone);
    return true;
}

static kith_part lasts[NODES];

static void gossip_dial(gossip_world *w, size_t a, size_t b)
{
    uint64_t id;
    kith_node *n = sim_node(w->t[a].host);
    if (!kith_node_conn_find(n, kith_node_id(sim_node(w->t[b].host))))
        (void)!kith_node_dial(n, sim_now(w->s), NULL, sim_addr(w->t[b].host), 1, &id);
    sim_drive(w->t[a].host);
}

static void *gossip_begin(sim **s)
{
    gossip_world *w = calloc(1, sizeof *w);
    kith_node_config cfg = sim_classical();
    cfg.idle_timeout = KITH_SEC(3600);
    *s = w->s = sim_new(32);
    for (size_t i = 0; i < NODES; i++) {
        w->t[i].w = w;
        w->t[i].host = sim_add(w->s, &cfg);
    }
    for (size_t i = 1; i < NODES; i++) {
        assert_true(gossip_start(&w->t[i], &lasts[i]));
        assert_int_equal(kith_gossip_subscribe(kith_gossip_part_router(w->t[i].part), 0, TOPIC, false),
                         KITH_OK);
        gossip_dial(w, i, i == 1 ? OTHERS : 1);
    }
    gossip_dial(w, OTHERS, VICTIM); /* it is connected before it takes part */
    sim_run(w->s, KITH_SEC(5));
    return w;
}

static sim_host *gossip_victim(void *world)
{
    return ((gossip_world *)world)->t[VICTIM].host;
}

static bool gossip_say(gossip_world *w, size_t who)
{
    static uint8_t data[3000];
    data[0] = (uint8_t)w->said++;
    assert_true(w->said < 200);
    kith_err e = kith_gossip_publish(kith_gossip_part_router(w->t[who].part), sim_now(w->s), TOPIC,
                                     kith_bytes_of(data, who % 2 ? 100 : sizeof data), NULL, NULL);
    assert_true(e == KITH_OK || (e == KITH_ENOMEM && who == VICTIM) || (e == KITH_ELIMIT && who == VICTIM));
    sim_drive(w->t[who].host);
    return !e;
}

static void gossip_live(void *world, bool sound, unsigned round)
{
    gossip_world *w = world;
    talker *v = &w->t[VICTIM];
    unsigned first = w->said;
    if (!v->part)
        (void)gossip_start(v, &lasts[VICTIM]);
    if (v->part) {
        kith_gossip *g = kith_gossip_part_router(v->part);
        kith_err e = kith_gossip_subscribe(g, sim_now(w->s), TOPIC, round % 2);
        assert_true(e == KITH_OK || e == KITH_EEXISTS || (e == KITH_ENOMEM && !sound));
        sim_drive(v->host);
    }
    gossip_dial(w, VICTIM, 2);
    sim_run(w->s, sim_now(w->s) + KITH_SEC(2));
    for (unsigned i = 0; i < 2 * NODES; i++) {
        size_t who = i % NODES;
        if (w->t[who].part && !gossip_say(w, who))
            assert_false(sound);
        sim_run(w->s, sim_now(w->s) + KITH_MS(300));
    }
    sim_run(w->s, sim_now(w->s) + KITH_SEC(10));
    for (size_t i = 0; i < NODES; i++) {
        for (unsigned no = first; no < w->said; no++) {
            bool own = sound && (no - first) % NODES == i;
            assert_true(w->t[i].heard[no] <= 1);
            if (sound && w->t[i].heard[no] != !own)
                fail_msg("node %zu did not hear %u of %u", i, no - first, w->said - first);
        }
        if (w->t[i].part)
            kith_gossip_part_check(w->t[i].part, sim_now(w->s));
    }
    if (v->part && !sound) {
        (void)!kith_gossip_unsubscribe(kith_gossip_part_router(v->part), sim_now(w->s), TOPIC);
        sim_drive(v->host);
        sim_run(w->s, sim_now(w->s) + KITH_SEC(2));
    }
}

static void gossip_settle(void *world)
{
    gossip_world *w = world;
    if (!w->t[VICTIM].part)
        assert_true(gossip_start(&w->t[VICTIM], &lasts[VICTIM]));
    for (size_t i = 1; i < NODES; i++)
        gossip_dial(w, VICTIM, i);
    sim_run(w->s, sim_now(w->s) + KITH_SEC(90)); /* backoffs end */
    (void)!kith_gossip_subscribe(kith_gossip_part_router(w->t[VICTIM].part), sim_now(w->s), TOPIC, true);
    sim_drive(w->t[VICTIM].host);
    sim_run(w->s, sim_now(w->s) + KITH_SEC(5));
}

static void gossip_end(void *world)
{
    gossip_world *w = world;
    sim_free(w->s);
    free(w);
}

/* ---- the table ---- */

static const struct {
    const char *name;
    void *(*begin)(sim **s); /* up to where memory gets scarce */
    sim_host *(*victim)(void *world);
    void (*live)(void *world, bool sound, unsigned round); /* all that it does; sound: and all of it works */
    void (*settle)(void *world);
    void (*end)(void *world);
} parts[] = {
    {"kad", kad_begin, kad_victim, kad_live, kad_settle, kad_end},
    {"gossip", gossip_begin, gossip_victim, gossip_live, gossip_settle, gossip_end},
};

static void fail_each(size_t i, bool once)
{
    int64_t n = 0;
    for (bool through = false; !through; n++) {
        sim *s;
        void *w = parts[i].begin(&s);
        sim_host *v = parts[i].victim(w);
        sim_fail_alloc(v, n, once);
        parts[i].live(w, false, 0);
        through = !sim_alloc_failed(v);
        sim_fail_alloc(v, -1, false);
        parts[i].settle(w);
        parts[i].live(w, true, 1);
        parts[i].end(w);
    }
    print_message("%s%s: %d allocations\n", parts[i].name, once ? ", once" : "", (int)n - 1);
    assert_true(n > 50);
}

static void any_allocation_of_any_part_may_fail_and_it_works_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        fail_each(i, true);
        fail_each(i, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_allocation_of_any_part_may_fail_and_it_works_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
