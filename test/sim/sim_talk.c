/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages to everybody in a scenario, and whom they reach. */
#include "sim_talk.h"

#include "mesh/gossip_part.h"
#include "sim_samples.h"

#define SETTLED KITH_SEC(15)   /* so long after it came up a node is in the mesh */
#define ON_ITS_WAY KITH_SEC(1) /* so long at most, but for what was lost */
#define PATIENCE KITH_SEC(30)  /* a message is judged so long after it was published */
#define TOPIC kith_bytes_str("news")

typedef struct talker {
    sim_talk *in;
    sim_host *host;
    kith_gossip_part *part; /* NULL: away */
    kith_time since;
    unsigned side;
} talker;

/* CAUGHT: a message was on its way when the network split. Whom it should reach nobody can say. */
typedef enum era { WHOLE, SPLIT, MENDING, CAUGHT, ERAS } era;

typedef struct message {
    kith_time at;
    size_t author;
    unsigned side;
    era when;
    uint8_t *heard; /* a bit for each node */
} message;

struct sim_talk {
    const sim_scenario *sc;
    sim *world;
    talker *all; /* by index of the host */
    size_t count;
    message *messages;
    size_t message_count, message_cap, judged;
    sim_alarm judge;
    bool is_split;
    kith_time healed_at; /* 0: it was never split */
    uint64_t should[ERAS], did[ERAS], across, did_across;
    uint64_t delivered, duplicates; /* of nodes that have gone */
    sim_samples took;               /* of messages in the whole network */
};

static void judge(void *ctx, sim_alarm *a);

sim_talk *sim_talk_new(const sim_scenario *sc, sim *world)
{
    sim_talk *t = calloc(1, sizeof *t);
    assert(t);
    t->sc = sc;
    t->world = world;
    t->all = calloc(sc->nodes, sizeof *t->all);
    assert(t->all);
    sim_alarm_init(world, &t->judge, judge, t);
    return t;
}

void sim_talk_free(sim_talk *t)
{
    sim_alarm_fini(&t->judge);
    for (size_t i = 0; i < t->message_count; i++)
        free(t->messages[i].heard);
    sim_samples_fini(&t->took);
    free(t->messages);
    free(t->all);
    free(t);
}

/* ---- nodes ---- */

static bool was_there(const talker *t, kith_time at)
{
    return t->part && t->since + SETTLED <= at;
}

static void heard(void *ctx, kith_time now)
{
    talker *me = ctx;
    sim_talk *t = me->in;
    size_t index = (size_t)(me - t->all);
    kith_gossip_event ev;
    while (kith_gossip_next(kith_gossip_part_router(me->part), &ev)) {
        size_t no = ev.data.len >= 4 ? kith_load_be32(ev.data.p) : SIZE_MAX;
        assert(no < t->message_count);
        message *m = &t->messages[no];
        assert(!(m->heard[index / 8] & 1u << index % 8) ||
               me->since > m->at); /* once, unless it began anew */
        m->heard[index / 8] |= (uint8_t)(1u << index % 8);
        if (m->when == WHOLE && was_there(me, m->at))
            sim_samples_add(&t->took, now - m->at);
    }
}

static void gone(void *self)
{
    kith_gossip_part_free(self);
}

void sim_talk_up(sim_talk *t, sim_host *h)
{
    size_t i = sim_host_index(h);
    talker *me = &t->all[i];
    if (i == t->count)
        t->count++;
    me->in = t;
    me->host = h;
    me->since = sim_now(t->world);
    const char *why;
    kith_gossip_part_config cfg = {.news = heard, .ctx = me};
    kith_gossip_config_default(&cfg.router);
    cfg.router.env = *sim_env(h);
    me->part = kith_gossip_part_new(sim_node(h), me->since, &cfg, &why);
    assert(me->part);
    kith_err e = kith_gossip_subscribe(kith_gossip_part_router(me->part), me->since, TOPIC, false);
    assert(!e);
    (void)e;
    sim_attach(h, kith_gossip_part_of(me->part), gone);
}

static void count(const talker *me, uint64_t *delivered, uint64_t *duplicates)
{
    kith_gossip_counts c = kith_gossip_count(kith_gossip_part_router(me->part));
    *delivered += c.delivered;
    *duplicates += c.duplicates;
}

void sim_talk_down(sim_talk *t, sim_host *h)
{
    talker *me = &t->all[sim_host_index(h)];
    if (me->part)
        count(me, &t->delivered, &t->duplicates);
    me->part = NULL; /* it goes with its host */
}

void sim_talk_set_side(sim_talk *t, sim_host *h, unsigned side)
{
    t->all[sim_host_index(h)].side = side;
}

void sim_talk_split(sim_talk *t, bool is_split)
{
    kith_time now = sim_now(t->world);
    t->is_split = is_split;
    if (!is_split)
        t->healed_at = now;
    for (size_t i = t->message_count; is_split && i-- > t->judged && t->messages[i].at + ON_ITS_WAY > now;)
        t->messages[i].when = CAUGHT;
}

/* ---- messages ---- */

void sim_talk_publish(sim_talk *t, sim_host *h, uint64_t bytes)
{
    talker *me = &t->all[sim_host_index(h)];
    kith_time now = sim_now(t->world);
    if (!was_there(me, now))
        return;
    if (t->message_count == t->message_cap) {
        t->message_cap = t->message_cap ? 2 * t->message_cap : 64;
        t->messages = realloc(t->messages, t->message_cap * sizeof *t->messages);
        assert(t->messages);
    }
    era when = t->is_split ? SPLIT : t->healed_at && now < t->healed_at + t->sc->heals ? MENDING : WHOLE;
    size_t no = t->message_count++, len = bytes < 4 ? 4 : bytes;
    t->messages[no] = (message){.at = now,
                                .author = (size_t)(me - t->all),
                                .side = me->side,
                                .when = when,
                                .heard = calloc(1, t->sc->nodes / 8 + 1)};
    uint8_t *data = calloc(1, len);
    assert(data && t->messages[no].heard);
    kith_store_be32(data, (uint32_t)no);
    kith_err e = kith_gossip_publish(kith_gossip_part_router(me->part), now, TOPIC, kith_bytes_of(data, len),
                                     NULL, NULL);
    assert(!e);
    (void)e;
    free(data);
    if (t->judged == no)
        sim_alarm_set(&t->judge, now + PATIENCE);
    sim_drive(h);
}

/* Who should have heard a message, on its author's side or on the other one, and has. */
static void tally(const sim_talk *t, const message *m, bool across, uint64_t *should, uint64_t *did)
{
    for (size_t i = 0; i < t->count; i++) {
        bool other = m->when == SPLIT && t->all[i].side != m->side;
        if (i == m->author || !was_there(&t->all[i], m->at) || other != across)
            continue;
        (*should)++;
        *did += m->heard[i / 8] >> i % 8 & 1;
    }
}

static void judge(void *ctx, sim_alarm *a)
{
    sim_talk *t = ctx;
    const message *m = &t->messages[t->judged++];
    tally(t, m, false, &t->should[m->when], &t->did[m->when]);
    if (t->judged < t->message_count)
        sim_alarm_set(a, t->messages[t->judged].at + PATIENCE);
}

/* ---- measuring ---- */

static int64_t share(uint64_t part, uint64_t of, uint64_t unit)
{
    return of ? (int64_t)(part * unit / of) : 0;
}

void sim_talk_measure(sim_talk *t, int64_t value[SIM_METRICS])
{
    uint64_t delivered = t->delivered, duplicates = t->duplicates;
    for (size_t i = 0; i < t->count; i++) {
        if (t->all[i].part)
            count(&t->all[i], &delivered, &duplicates);
    }
    for (size_t i = 0; i < t->judged; i++)
        tally(t, &t->messages[i], true, &t->across, &t->did_across);
    sim_alarm_set(&t->judge, KITH_NEVER);
    value[SIM_MESSAGES] = (int64_t)t->message_count;
    value[SIM_REACH] = share(t->did[WHOLE], t->should[WHOLE], 1000000);
    value[SIM_REACH_OWN_SIDE] = share(t->did[SPLIT], t->should[SPLIT], 1000000);
    value[SIM_REACH_ACROSS] = share(t->did_across, t->across, 1000000);
    value[SIM_REACH_MENDING] = share(t->did[MENDING], t->should[MENDING], 1000000);
    value[SIM_DUPLICATES] = share(duplicates, delivered, 1000);
    value[SIM_GOSSIP_P50] = sim_samples_at(&t->took, 50);
    value[SIM_GOSSIP_P99] = sim_samples_at(&t->took, 99);
    value[SIM_GOSSIP_MAX] = sim_samples_at(&t->took, 100);
}
