/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The connection manager among five simulated nodes that come, go and fall silent as the input says. */
#include "mesh/connmgr.h"
#include "sim/sim_world.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OTHERS 4

typedef struct world {
    sim *s;
    sim_host *hub, *h[OTHERS];
    kith_connmgr *m;
    uint8_t values;
    bool answers;
} world;

static kith_peer_id ids[OTHERS];

static int32_t value(void *ctx, const kith_peer_id *peer)
{
    const world *w = ctx;
    for (size_t i = 0; i < OTHERS; i++) {
        if (kith_peer_id_eq(&ids[i], peer))
            return w->values >> (2 * i) & 3 ? w->values >> (2 * i) & 3 : KITH_CONNMGR_PRECIOUS;
    }
    return 0;
}

static void find(void *ctx, kith_time now, const kith_peer_id *peer)
{
    const world *w = ctx;
    for (size_t i = 0; i < OTHERS && w->answers; i++) {
        if (kith_peer_id_eq(&ids[i], peer))
            kith_connmgr_found(w->m, now, peer, sim_addr(w->h[i]), w->values & 1);
    }
}

static void gone(void *self)
{
    world *w = self;
    kith_connmgr_free(w->m);
    w->m = NULL;
}

static const kith_part_ops no_ops;

static void step(world *w, tape *t)
{
    uint8_t op = tape_u8(t), i = tape_u8(t) % OTHERS;
    sim_host *h = w->h[i];
    uint64_t dial;
    switch (op % 11) {
    case 0:
        (void)!kith_connmgr_keep(w->m, sim_now(w->s), &ids[i], op & 128 ? sim_addr(h) : NULL);
        break;
    case 1:
        kith_connmgr_let_go(w->m, &ids[i]);
        break;
    case 2:
        if (sim_node(h))
            (void)!kith_node_dial(sim_node(h), sim_now(w->s), NULL, sim_addr(w->hub), 1, &dial);
        sim_drive(h);
        break;
    case 3:
        kith_connmgr_network_changed(w->m, sim_now(w->s));
        break;
    case 4:
        sim_partition(w->s, w->hub, h, op & 128);
        break;
    case 5:
        sim_reset_all(w->s, w->hub, h);
        break;
    case 6:
        if (sim_node(h))
            sim_off(h);
        else
            sim_on(h);
        break;
    case 7:
        w->values = tape_u8(t);
        w->answers = op & 128;
        break;
    case 8:
        kith_connmgr_found(w->m, sim_now(w->s), &ids[i], sim_addr(h), 1);
        break;
    case 9:
        sim_fail_alloc(w->hub, op & 128 ? tape_u8(t) : -1, false);
        break;
    default:
        break;
    }
    sim_drive(w->hub);
    sim_run(w->s, sim_now(w->s) + KITH_MS(1) * (1u << (tape_u8(t) % 18)));
    kith_connmgr_check(w->m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tape t = {data, size < 96 ? size : 96};
    world w = {.s = sim_new(tape_u8(&t))};
    kith_connmgr_config cfg;
    kith_connmgr_config_default(&cfg);
    w.hub = sim_add(w.s, NULL);
    cfg.env = *sim_env(w.hub);
    cfg.node = sim_node(w.hub);
    cfg.high = 1 + tape_u8(&t) % 3;
    cfg.low = tape_u8(&t) % 3;
    cfg.grace = KITH_SEC(tape_u8(&t));
    cfg.value = value;
    cfg.find = find;
    cfg.ctx = &w;
    w.m = kith_connmgr_new(&cfg);
    kith_part end = {.ops = &no_ops, .self = &w};
    sim_attach(w.hub, kith_connmgr_part(w.m), NULL);
    sim_attach(w.hub, &end, gone);
    for (size_t i = 0; i < OTHERS; i++) {
        w.h[i] = sim_add(w.s, NULL);
        ids[i] = *kith_node_id(sim_node(w.h[i]));
    }
    while (t.len > 0)
        step(&w, &t);
    sim_free(w.s);
    return 0;
}
