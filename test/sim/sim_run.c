/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A scenario's nodes at work. */
#include "sim_run.h"

#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "proto/perf.h"
#include "proto/ping.h"
#include "sim_dht.h"
#include "sim_echo.h"
#include "sim_talk.h"
#include "sim_world.h"

#define RETRY \
    KITH_SEC(1) /* at least so long after a link was lost or a dial failed, and up to three times that */
#define GOODBYE KITH_SEC(2)     /* what a node that leaves in good order gets for it */
#define SAMPLES 100u            /* of memory, over the whole time */
#define QUIET KITH_SEC(300)     /* after which nothing may be left: TCP has given up who vanished */
#define FIND_PEERS KITH_SEC(30) /* after which a node should not be alone */
#define LINK_TRIES 8u           /* random peers looked at to find one for a link */

typedef struct run run;
typedef struct job job;

typedef enum work_kind { ECHO, PING, BULK, LOOKUP, FIND, VALUE, PUBLISH, WORKS } work_kind;

/* A node of the scenario. */
typedef struct member {
    run *r;
    sim_host *host; /* NULL: has not joined */
    sim_alarm life, tend, work[WORKS];
    enum { UNBORN, UP, LEAVING, AWAY } state;
    size_t fresh;    /* bytes that its node holds before it meets anybody */
    size_t open;     /* connections */
    kith_time since; /* it came up, or lost its last connection */
    bool resident;   /* never leaves */
    kith_list jobs;
} member;

struct job {
    kith_link link; /* member->jobs */
    const struct work *work;
    bool done;
};

struct run {
    const sim_scenario *sc;
    sim *world;
    sim_dht *dht;   /* NULL: nobody has Kademlia */
    sim_talk *talk; /* NULL: nobody gossips */
    member *members;
    size_t joined;
    sim_alarm join, sample, split;
    bool is_split;
    uint64_t samples[SAMPLES];
    size_t sample_count;
    uint64_t dials, dials_failed, left, vanished, jobs, jobs_done, jobs_failed, jobs_wrong, breaches;
    bool over; /* nobody starts anything any more */
};

/* ---- chance ---- */

static uint64_t pick(run *r, sim_range of)
{
    return of.min + (of.max > of.min ? sim_random(r->world) % (of.max - of.min + 1) : 0);
}

/* Exponentially distributed about that mean. In whole numbers, so that all machines agree: -log2 of a random number is its leading
 * zeros and, near enough, what is left of its mantissa. */
static kith_time interval(run *r, kith_time mean)
{
    uint64_t u = sim_random(r->world) | 1;
    unsigned zeros = 0;
    for (; !(u >> 63); u <<= 1)
        zeros++;
    uint64_t log2 = ((uint64_t)zeros + 1) * 1024 - (u << 1 >> 54); /* in 1024ths */
    return mean / 1024 * log2 / 1000 * 693;                        /* ln 2 */
}

static bool chance(run *r, uint64_t ppm)
{
    return sim_random(r->world) % 1000000 < ppm;
}

/* ---- works ---- */

/* What a node does over and over: with a peer, on a stream, or with all the network, by a part. */
struct work {
    const char *id; /* NULL: no stream */
    const kith_stream_ops *ops;
    void *(*machine)(const kith_env *env, uint64_t bytes, uint64_t seed, kith_time now);
    void *(*accept)(void *ctx, const kith_stream_info *info); /* NULL: the node serves it by itself */
    const kith_stream_ops *serve;
    /* The machine has events. True: it is done, and well. NULL: it has none. */
    bool (*ready)(void *machine);
    /* The stream closed in good order: was the result right? */
    bool (*right)(const void *machine);
    void (*ask)(run *r, sim_host *h, uint64_t bytes); /* where there is no stream */
};

static void *echo_machine(const kith_env *env, uint64_t bytes, uint64_t seed, kith_time now)
{
    (void)now;
    return sim_caller_new(env, seed, bytes);
}

static bool echo_right(const void *machine)
{
    const sim_caller *c = machine;
    return c->got == c->total && !c->wrong;
}

static void *ping_machine(const kith_env *env, uint64_t bytes, uint64_t seed, kith_time now)
{
    (void)bytes, (void)seed;
    kith_ping *p = kith_ping_new(env);
    kith_err e = kith_ping_start(p, now);
    assert(!e);
    (void)e;
    return p;
}

static bool ping_ready(void *machine)
{
    kith_ping_event ev;
    bool answered = false;
    while (kith_ping_next(machine, &ev))
        answered = ev.kind == KITH_PING_RTT;
    kith_ping_close(machine);
    return answered;
}

static void *bulk_machine(const kith_env *env, uint64_t bytes, uint64_t seed, kith_time now)
{
    (void)seed, (void)now;
    return kith_perf_client(env, bytes, bytes);
}

static void *bulk_accept(void *ctx, const kith_stream_info *info)
{
    (void)info;
    return kith_perf_server(ctx);
}

static bool bulk_right(const void *machine)
{
    kith_perf_result result;
    return kith_perf_result_get(machine, &result) == KITH_OK;
}

static void ask_lookup(run *r, sim_host *h, uint64_t bytes)
{
    (void)bytes;
    sim_dht_lookup(r->dht, h);
}

static void ask_find(run *r, sim_host *h, uint64_t bytes)
{
    (void)bytes;
    sim_dht_find(r->dht, h);
}

static void ask_value(run *r, sim_host *h, uint64_t bytes)
{
    (void)bytes;
    sim_dht_value(r->dht, h);
}

static void publish(run *r, sim_host *h, uint64_t bytes)
{
    sim_talk_publish(r->talk, h, bytes);
}

static const struct work works[WORKS] = {
    [ECHO] = {SIM_ECHO_ID, &sim_caller_own_ops, echo_machine, sim_echo_accept, &sim_echo_ops, NULL,
              echo_right, NULL},
    [PING] = {KITH_PING_ID, &kith_ping_ops, ping_machine, NULL, NULL, ping_ready, NULL, NULL},
    [BULK] = {KITH_PERF_ID, &kith_perf_ops, bulk_machine, bulk_accept, &kith_perf_ops, NULL, bulk_right,
              NULL},
    [LOOKUP] = {.ask = ask_lookup},
    [FIND] = {.ask = ask_find},
    [VALUE] = {.ask = ask_value},
    [PUBLISH] = {.ask = publish},
};

static const sim_work *wanted(const sim_scenario *sc, work_kind w)
{
    const sim_work *of[WORKS] = {
        [ECHO] = &sc->echo, [PING] = &sc->ping,   [BULK] = &sc->bulk,      [LOOKUP] = &sc->lookup,
        [FIND] = &sc->find, [VALUE] = &sc->value, [PUBLISH] = &sc->publish};
    return of[w];
}

static void serve_works(member *m)
{
    for (size_t w = 0; w < WORKS; w++) {
        if (!works[w].accept)
            continue;
        kith_protocol row = {.id = kith_bytes_str(works[w].id),
                             .ops = works[w].serve,
                             .accept = works[w].accept,
                             .ctx = (void *)(uintptr_t)sim_env(m->host)};
        kith_err e = kith_node_serve(sim_node(m->host), sim_now(m->r->world), &row);
        assert(!e);
        (void)e;
    }
}

static void drop_job(job *j)
{
    kith_link_remove(&j->link);
    free(j);
}

/* One of the node's open connections, or NULL. */
static kith_conn *some_conn(run *r, const kith_node *n)
{
    size_t count = kith_node_conn_count(n);
    kith_conn *c = NULL, *found = NULL;
    for (size_t skip = count ? sim_random(r->world) % count : 0, i = 0; i < count; i++) {
        c = kith_node_conn_next(n, c);
        kith_conn_facts f;
        if (i > skip && found)
            break;
        kith_conn_facts_get(c, &f);
        if (f.open)
            found = c;
    }
    return found;
}

static void start_job(member *m, work_kind kind)
{
    run *r = m->r;
    kith_node *n = sim_node(m->host);
    kith_conn *c = some_conn(r, n);
    if (!c)
        return;
    const struct work *w = &works[kind];
    const kith_bytes id[] = {kith_bytes_str(w->id)};
    job *j = calloc(1, sizeof *j);
    assert(j);
    j->work = w;
    kith_stream *s;
    void *machine =
        w->machine(sim_env(m->host), wanted(r->sc, kind)->bytes, sim_random(r->world), sim_now(r->world));
    r->jobs++;
    if (kith_node_open(n, sim_now(r->world), c, id, 1, w->ops, machine, j, &s)) {
        r->jobs_failed++;
        free(j);
        return;
    }
    kith_list_push(&m->jobs, &j->link);
    sim_drive(m->host);
}

static void end_job(run *r, job *j, const void *machine, kith_err err)
{
    bool well = err == KITH_OK && (j->work->right ? j->work->right(machine) : j->done);
    r->jobs_done += well;
    r->jobs_failed += !well;
    r->jobs_wrong += !well && err == KITH_OK;
    drop_job(j);
}

/* ---- what a node hears ---- */

/* No network can do this to two honest nodes. */
static bool breach(kith_err e)
{
    return e == KITH_EPROTO || e == KITH_ECRYPTO || e == KITH_EAUTH || e == KITH_EFORMAT ||
           e == KITH_EPOLICY || e == KITH_ESHORT;
}

static void tend_soon(member *m)
{
    if (!m->r->over && m->r->sc->links)
        sim_alarm_set(&m->tend, sim_now(m->r->world) + RETRY + sim_random(m->r->world) % (2 * RETRY));
}

static void watch(void *ctx, sim_host *h, const kith_node_event *ev)
{
    (void)h;
    member *m = ctx;
    run *r = m->r;
    r->breaches += breach(ev->err);
    switch (ev->kind) {
    case KITH_NODE_DIAL:
    case KITH_NODE_RESOLVE:
    case KITH_NODE_KEY:
    case KITH_NODE_WORK:
    case KITH_NODE_CLOSE:
    case KITH_NODE_IDENTIFIED:
    case KITH_NODE_UPDATED:
    case KITH_NODE_REFUSED:
    case KITH_NODE_STREAM_OPENED:
        break;
    case KITH_NODE_CONNECTED:
        m->open++;
        break;
    case KITH_NODE_DISCONNECTED:
        if (--m->open == 0)
            m->since = sim_now(r->world);
        tend_soon(m);
        break;
    case KITH_NODE_DIALED:
        if (!ev->conn) {
            r->dials_failed++;
            tend_soon(m);
        }
        break;
    case KITH_NODE_STREAM_READY: {
        job *j = kith_stream_user(ev->stream);
        if (j && j->work->ready) {
            j->done = j->work->ready(kith_stream_machine(ev->stream)) || j->done;
            kith_node_wake(sim_node(m->host), sim_now(r->world), ev->stream);
        }
        break;
    }
    case KITH_NODE_STREAM_GONE:
        if (kith_stream_user(ev->stream))
            end_job(r, kith_stream_user(ev->stream), kith_stream_machine(ev->stream), ev->err);
        break;
    }
}

/* ---- a node's life ---- */

/* Dials until it has its links. */
static void tend(void *ctx, sim_alarm *a)
{
    member *m = ctx;
    run *r = m->r;
    kith_node *n = sim_node(m->host);
    (void)a;
    if (m->state != UP)
        return;
    for (unsigned tries = 0; tries < LINK_TRIES + r->sc->links; tries++) {
        if (kith_node_usage(n).conns_out >= r->sc->links || r->joined < 2)
            break;
        member *to = &r->members[sim_random(r->world) % r->joined];
        kith_peer_id id;
        uint64_t dial;
        if (to == m || !kith_maddr_peer(sim_addr(to->host), &id) || kith_node_conn_find(n, &id))
            continue;
        if (kith_node_dial(n, sim_now(r->world), NULL, sim_addr(to->host), 1, &dial) == KITH_OK)
            r->dials++;
        sim_drive(m->host);
    }
}

static void toil(void *ctx, sim_alarm *a)
{
    member *m = ctx;
    work_kind w = (work_kind)(a - m->work);
    const sim_work *want = wanted(m->r->sc, w);
    if (m->state == UP && works[w].ask)
        works[w].ask(m->r, m->host, want->bytes);
    else if (m->state == UP)
        start_job(m, w);
    sim_alarm_set(a, sim_now(m->r->world) + interval(m->r, want->every));
}

static void come_up(member *m)
{
    run *r = m->r;
    kith_time now = sim_now(r->world);
    m->state = UP;
    serve_works(m);
    if (r->dht)
        sim_dht_up(r->dht, m->host);
    if (r->talk)
        sim_talk_up(r->talk, m->host);
    m->fresh = sim_memory(m->host);
    m->open = 0;
    m->since = now;
    if (r->sc->stays && !m->resident)
        sim_alarm_set(&m->life, now + interval(r, r->sc->stays));
    tend(m, NULL);
    for (size_t w = 0; w < WORKS; w++) {
        kith_time every = wanted(r->sc, (work_kind)w)->every;
        if (every)
            sim_alarm_set(&m->work[w], now + interval(r, every));
    }
}

/* The host still is what it was. */
static void down(member *m)
{
    if (m->r->dht)
        sim_dht_down(m->r->dht, m->host);
    if (m->r->talk)
        sim_talk_down(m->r->talk, m->host);
}

static void go_away(member *m)
{
    m->state = AWAY;
    for (size_t w = 0; w < WORKS; w++)
        sim_alarm_set(&m->work[w], KITH_NEVER);
    for (kith_link *k; (k = kith_list_first(&m->jobs));)
        drop_job(KITH_OF(k, job, link)); /* its own affair: neither done nor failed */
    sim_alarm_set(&m->life, sim_now(m->r->world) + interval(m->r, m->r->sc->away));
}

static void live(void *ctx, sim_alarm *a)
{
    member *m = ctx;
    run *r = m->r;
    switch (m->state) {
    case UNBORN:
        break;
    case UP:
        if (chance(r, r->sc->vanish)) {
            r->vanished++;
            down(m);
            sim_vanish(m->host);
            go_away(m);
            break;
        }
        r->left++;
        m->state = LEAVING;
        down(m);
        kith_node_shutdown(sim_node(m->host), sim_now(r->world));
        sim_drive(m->host);
        sim_alarm_set(a, sim_now(r->world) + GOODBYE);
        break;
    case LEAVING:
        sim_off(m->host);
        go_away(m);
        break;
    case AWAY:
        sim_on(m->host);
        come_up(m);
        break;
    }
}

static void join(void *ctx, sim_alarm *a)
{
    run *r = ctx;
    const sim_scenario *sc = r->sc;
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.idle_timeout = sc->idle;
    cfg.ping_every = sc->keepalive;
    cfg.resume_for = sc->resume;
    cfg.level = (uint8_t)sc->level;
    cfg.pq = sc->pq;
    member *m = &r->members[r->joined];
    m->r = r;
    m->host = sim_add(r->world, &cfg);
    m->resident = chance(r, sc->residents);
    uint64_t up = pick(r, sc->up), down = pick(r, sc->down); /* in this order with every compiler */
    sim_set_link(m->host, up, down);
    sim_set_watch(m->host, watch, m);
    sim_set_user(m->host, m);
    kith_list_init(&m->jobs);
    sim_alarm_init(r->world, &m->life, live, m);
    sim_alarm_init(r->world, &m->tend, tend, m);
    for (size_t w = 0; w < WORKS; w++)
        sim_alarm_init(r->world, &m->work[w], toil, m);
    r->joined++;
    come_up(m);
    if (r->joined < sc->nodes)
        sim_alarm_set(a, sim_now(r->world) + sc->join / sc->nodes);
}

/* Cuts the network in two, and joins it again. */
static void split(void *ctx, sim_alarm *a)
{
    run *r = ctx;
    r->is_split = !r->is_split;
    for (size_t i = 0; i < r->joined; i++) {
        sim_host *h = r->members[i].host;
        unsigned side = r->is_split && chance(r, r->sc->split);
        sim_set_side(h, side);
        if (r->dht)
            sim_dht_set_side(r->dht, h, side);
        if (r->talk && r->is_split)
            sim_talk_set_side(r->talk, h, side);
    }
    if (r->dht)
        sim_dht_split(r->dht, r->is_split);
    if (r->talk)
        sim_talk_split(r->talk, r->is_split);
    if (r->is_split)
        sim_alarm_set(a, kith_time_after(sim_now(r->world), r->sc->split_lasts));
}

/* ---- measuring ---- */

static uint64_t mean_memory(const run *r)
{
    uint64_t sum = 0, up = 0;
    for (size_t i = 0; i < r->joined; i++) {
        if (r->members[i].state == UP) {
            sum += sim_memory(r->members[i].host);
            up++;
        }
    }
    return up ? sum / up : 0;
}

/* What a connection costs the nodes that never leave, if there are any, with all that they kept of former ones. Per connection, since
 * who stays for long has more and more of them. */
static void sample(void *ctx, sim_alarm *a)
{
    run *r = ctx;
    uint64_t sum = 0, conns = 0;
    for (size_t i = 0; i < r->joined; i++) {
        const member *m = &r->members[i];
        if (m->state != UP || (r->sc->residents && !m->resident))
            continue;
        sum += sim_memory(m->host) - m->fresh;
        conns += kith_node_conn_count(sim_node(m->host));
    }
    r->samples[r->sample_count++] = conns ? sum / conns : 0;
    if (r->sample_count < SAMPLES)
        sim_alarm_set(a, sim_now(r->world) + r->sc->lasts / SAMPLES);
}

static uint64_t mean_sample(const run *r, size_t from, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = from; i < from + n; i++)
        sum += r->samples[i];
    return sum / n;
}

/* The last tenth of the time against the tenth after it settled. */
static int64_t growth(const run *r)
{
    size_t n = SAMPLES / 10, from = (size_t)(r->sc->settled / (r->sc->lasts / SAMPLES));
    if (from > SAMPLES - n)
        from = SAMPLES - n;
    int64_t first = (int64_t)mean_sample(r, from, n), last = (int64_t)mean_sample(r, SAMPLES - n, n);
    return first ? (last - first) * 1000000 / first : 0;
}

static size_t root(size_t *up, size_t i)
{
    for (; up[i] != i; i = up[i])
        up[i] = up[up[i]];
    return i;
}

static int64_t ppm(uint64_t part, uint64_t of)
{
    return of ? (int64_t)(part * 1000000 / of) : 0;
}

/* How the nodes that are up hang together. */
static void count_network(const run *r, int64_t *value)
{
    size_t *parts = calloc(2 * r->joined, sizeof *parts), *sizes = parts + r->joined;
    assert(parts);
    for (size_t i = 0; i < r->joined; i++)
        parts[i] = i;
    for (size_t i = 0; i < r->joined; i++) {
        const member *m = &r->members[i];
        if (m->state != UP)
            continue;
        kith_node *n = sim_node(m->host);
        int64_t bytes = (int64_t)sim_memory(m->host);
        value[SIM_UP]++;
        value[SIM_ALONE] += !m->open && sim_now(r->world) - m->since >= FIND_PEERS;
        if (bytes > value[SIM_MEMORY_MAX])
            value[SIM_MEMORY_MAX] = bytes;
        for (kith_conn *c = NULL; (c = kith_node_conn_next(n, c));) {
            kith_conn_facts f;
            kith_conn_facts_get(c, &f);
            const sim_host *to = sim_host_of(r->world, &f.remote);
            const member *other = to ? sim_user(to) : NULL;
            if (!f.open || !other || other->state != UP)
                continue;
            value[SIM_CONNECTIONS] += !f.inbound;
            parts[root(parts, i)] = root(parts, (size_t)(other - r->members));
        }
    }
    size_t largest = 0;
    for (size_t i = 0; i < r->joined; i++) {
        size_t *size = &sizes[root(parts, i)];
        *size += r->members[i].state == UP;
        if (*size > largest)
            largest = *size;
    }
    value[SIM_TOGETHER] = ppm(largest, (uint64_t)value[SIM_UP]);
    free(parts);
}

/* Everybody closes; then nothing may be left. */
static void close_all(run *r, int64_t *value)
{
    r->over = true;
    for (size_t i = 0; i < r->joined; i++) {
        member *m = &r->members[i];
        sim_alarm_set(&m->life, KITH_NEVER);
        sim_alarm_set(&m->tend, KITH_NEVER);
        for (size_t w = 0; w < WORKS; w++)
            sim_alarm_set(&m->work[w], KITH_NEVER);
        if (m->state == UP) {
            kith_node_shutdown(sim_node(m->host), sim_now(r->world));
            sim_drive(m->host);
        }
    }
    sim_run(r->world, sim_now(r->world) + QUIET);
    for (size_t i = 0; i < r->joined; i++) { /* whom they could meet again stays for a day */
        if (r->members[i].state == UP)
            kith_node_forget_sessions(sim_node(r->members[i].host), NULL);
    }
    int64_t up = 0, memory = 0;
    for (size_t i = 0; i < r->joined; i++) {
        const member *m = &r->members[i];
        if (m->state != UP)
            continue;
        up++;
        memory += (int64_t)sim_memory(m->host) - (int64_t)m->fresh;
        const kith_node *n = sim_node(m->host);
        value[SIM_LEFT_OVER] += (int64_t)kith_node_conn_count(n) + kith_node_usage(n).streams +
                                (kith_node_deadline(n) != KITH_NEVER) + !kith_list_empty(&m->jobs);
    }
    value[SIM_LEFT_OVER] += (int64_t)sim_count(r->world).tcps;
    value[SIM_LEFT_OVER_MEMORY] = up ? memory / up : 0;
}

void sim_scenario_run(const sim_scenario *sc, FILE *trace, sim_result *out)
{
    run r = {.sc = sc, .world = sim_new(sc->seed)};
    int64_t *value = out->value;
    *out = (sim_result){0};
    r.members = calloc(sc->nodes, sizeof *r.members);
    assert(r.members);
    r.dht = sim_has_kad(sc) ? sim_dht_new(sc, r.world) : NULL;
    r.talk = sim_has_gossip(sc) ? sim_talk_new(sc, r.world) : NULL;
    sim_set_trace(r.world, trace);
    sim_set_path(r.world, (sim_path){.latency = sc->latency.min,
                                     .latency_max = sc->latency.max,
                                     .jitter = sc->jitter,
                                     .loss_ppm = (uint32_t)sc->loss,
                                     .buffer = sc->buffer});
    kith_time start = sim_now(r.world);
    sim_alarm_init(r.world, &r.join, join, &r);
    sim_alarm_init(r.world, &r.sample, sample, &r);
    sim_alarm_init(r.world, &r.split, split, &r);
    sim_alarm_set(&r.join, start);
    if (sc->split)
        sim_alarm_set(&r.split, start + sc->split_at);
    sim_alarm_set(&r.sample, start + sc->lasts / SAMPLES);
    sim_run(r.world, start + sc->lasts);

    value[SIM_NODES] = (int64_t)sc->nodes;
    value[SIM_MEMORY] = (int64_t)mean_memory(&r);
    value[SIM_MEMORY_FRESH] = (int64_t)r.members[0].fresh;
    value[SIM_MEMORY_GROWTH] = growth(&r);
    value[SIM_SIMULATOR] = (int64_t)((sim_count(r.world).memory + sc->nodes * sizeof *r.members) / sc->nodes);
    count_network(&r, value);
    if (r.dht)
        sim_dht_measure(r.dht, value);
    if (r.talk)
        sim_talk_measure(r.talk, value);
    value[SIM_DIALS] = (int64_t)r.dials;
    value[SIM_DIALS_FAILED] = ppm(r.dials_failed, r.dials);
    value[SIM_LEFT] = (int64_t)r.left;
    value[SIM_VANISHED] = (int64_t)r.vanished;
    value[SIM_JOBS] = (int64_t)r.jobs;
    value[SIM_JOBS_DONE] = ppm(r.jobs_done, r.jobs_done + r.jobs_failed);
    close_all(&r, value);
    value[SIM_JOBS_WRONG] = (int64_t)r.jobs_wrong;
    value[SIM_BREACHES] = (int64_t)r.breaches;
    sim_counts counts = sim_count(r.world);
    value[SIM_TRAFFIC] = (int64_t)counts.bytes;
    value[SIM_LOST] = (int64_t)counts.lost;
    value[SIM_EVENTS] = (int64_t)counts.steps;
    out->hash = sim_hash(r.world);
    out->shape = sim_shape(r.world);

    sim_alarm_fini(&r.join);
    sim_alarm_fini(&r.sample);
    sim_alarm_fini(&r.split);
    for (size_t i = 0; i < r.joined; i++) {
        member *m = &r.members[i];
        sim_alarm_fini(&m->life);
        sim_alarm_fini(&m->tend);
        for (size_t w = 0; w < WORKS; w++)
            sim_alarm_fini(&m->work[w]);
        for (kith_link *k; (k = kith_list_first(&m->jobs));)
            drop_job(KITH_OF(k, job, link));
    }
    free(r.members);
    if (r.talk)
        sim_talk_free(r.talk);
    sim_free(r.world);
    if (r.dht)
        sim_dht_free(r.dht);
}
