/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A scenario: what a simulated network is like, what its nodes do, and what must have come of it. A plain text file says it:
 *
 *     [scenario]
 *     about = one line for the report
 *     nodes = 1000
 *     seed = 1
 *     lasts = 5m            virtual time
 *     join = 30s            the nodes start one after another within this
 *     links = 4             so many others, of those that have started, each node dials and keeps
 *     settled = 1h          from when on memory should not grow any more; default: a fifth of `lasts`
 *     [network]
 *     latency = 5ms..120ms  one way: next door .. the furthest apart
 *     jitter = 2ms
 *     loss = 0.2%
 *     up = 1MiB..12MiB      each node's link, per second; a node gets its own value from the range. Without: unlimited
 *     down = 5MiB..50MiB
 *     buffer = 256KiB       of a socket
 *     [node]
 *     idle = 5m             closes idle connections; default never, since the nodes keep their links
 *     keepalive = 30s
 *     resume = 24h          for how long a checked signature is enough
 *     level = 3             of ML-KEM
 *     pq = prefer           require | prefer | off
 *     [churn]
 *     stays = 20m           mean time for which a node is there, exponentially distributed. Without: nobody leaves
 *     away = 2m             mean time for which it then is not
 *     vanish = 30%          so many lose power, the others leave in good order
 *     residents = 10%       so many never leave; memory_growth is then theirs alone
 *     [split]
 *     share = 40%           so many nodes are cut off from the others
 *     at = 2m               from then on
 *     lasts = 5m            for so long
 *     heals = 15m           time to grow together again; what is done meanwhile is counted apart. Default 1m
 *     [kad]                 of the DHT, which nodes have when [work] asks it something
 *     servers = 80%         so many serve it, the others only ask
 *     refresh = 10m         of the table
 *     [work]                each node, to one of its peers, at intervals of that mean:
 *     echo = 4KiB every 20s   a stream that sends so much and wants it back
 *     ping = every 30s        one ping on a stream of its own
 *     bulk = 1MiB every 5m    perf: so much up, then so much down
 *                           to the DHT:
 *     lookup = every 10m      the nearest to a random key
 *     find = every 10m        a server that is up, by its id
 *     value = every 10m       puts a value, or gets one that somebody has put
 *                           to everybody:
 *     publish = 200B every 1h   a message of gossip
 *     [expect]
 *     memory <= 200KiB      a metric of the report, a relation (<= >= =), a value
 *
 * Times: ms s m h, or never. Sizes: B KiB MiB. A value may be a range, first..last, where the example has one. */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include <stdio.h>

#include "node/node.h"

typedef struct sim_range {
    uint64_t min, max;
} sim_range;

typedef struct sim_work {
    uint64_t bytes;
    kith_time every; /* 0: not at all */
} sim_work;

/* What a run is measured by. Everything here is the same in equal runs. */
typedef enum sim_metric {
    SIM_NODES,
    SIM_UP,
    SIM_CONNECTIONS,
    SIM_ALONE,
    SIM_TOGETHER,
    SIM_DIALS,
    SIM_DIALS_FAILED,
    SIM_LEFT,
    SIM_VANISHED,
    SIM_JOBS,
    SIM_JOBS_DONE,
    SIM_JOBS_WRONG,
    SIM_BREACHES,
    SIM_MEMORY,
    SIM_MEMORY_FRESH,
    SIM_MEMORY_MAX,
    SIM_MEMORY_GROWTH,
    SIM_LEFT_OVER,
    SIM_LEFT_OVER_MEMORY,
    SIM_SIMULATOR,
    SIM_LOOKUPS,
    SIM_LOOKUPS_RIGHT,
    SIM_LOOKUPS_NEAREST,
    SIM_LOOKUPS_SPLIT,
    SIM_LOOKUPS_MENDING,
    SIM_HOPS,
    SIM_HOPS_P99,
    SIM_HOPS_MAX,
    SIM_ASKED,
    SIM_ASKED_IN_VAIN,
    SIM_LOOKUP_P50,
    SIM_LOOKUP_P99,
    SIM_FINDS,
    SIM_FOUND,
    SIM_GETS,
    SIM_GOT,
    SIM_REQUESTS,
    SIM_TABLE,
    SIM_MESSAGES,
    SIM_REACH,
    SIM_REACH_OWN_SIDE,
    SIM_REACH_ACROSS,
    SIM_REACH_MENDING,
    SIM_DUPLICATES,
    SIM_GOSSIP_P50,
    SIM_GOSSIP_P99,
    SIM_GOSSIP_MAX,
    SIM_TRAFFIC,
    SIM_LOST,
    SIM_EVENTS,
    SIM_METRICS
} sim_metric;

typedef enum sim_unit {
    SIM_COUNT,
    SIM_BYTES,
    SIM_PPM,   /* parts in a million, written as percent */
    SIM_MILLI, /* thousandths, written as a decimal */
    SIM_TIME,  /* nanoseconds, written in milliseconds */
} sim_unit;

/* What a metric is about: it is reported where that takes place. */
typedef enum sim_part { SIM_ALL, SIM_KAD, SIM_GOSSIP, SIM_KAD_SPLIT, SIM_GOSSIP_SPLIT } sim_part;

typedef struct sim_metric_info {
    const char *name, *about;
    sim_unit unit;
    sim_part part;
} sim_metric_info;

extern const sim_metric_info sim_metrics[SIM_METRICS];

typedef struct sim_expectation {
    sim_metric metric;
    enum { SIM_AT_MOST, SIM_AT_LEAST, SIM_EXACTLY } relation;
    int64_t value;
} sim_expectation;

#define SIM_EXPECTATIONS_MAX 24

typedef struct sim_scenario {
    char name[64]; /* of the file, without folder and ending */
    char about[200];
    uint64_t nodes, seed, links;
    kith_time lasts, join, settled;
    sim_range latency, up, down;
    kith_time jitter;
    uint64_t loss, buffer; /* loss in parts of a million */
    kith_time idle, keepalive, resume;
    uint64_t level;
    kith_pq_policy pq;
    kith_time stays, away;
    uint64_t vanish, residents; /* in parts of a million */
    uint64_t split;             /* in parts of a million */
    kith_time split_at, split_lasts, heals;
    uint64_t servers; /* in parts of a million */
    kith_time refresh;
    sim_work echo, ping, bulk, lookup, find, value, publish;
    sim_expectation expect[SIM_EXPECTATIONS_MAX];
    size_t expect_count;
} sim_scenario;

/* Reads a file. False: `why` (200 bytes) says what is wrong, with the line. */
bool sim_scenario_read(const char *path, sim_scenario *out, char why[200]);
bool sim_scenario_parse(const char *name, const char *text, sim_scenario *out, char why[200]);

/* Whether a metric is about something that takes place. */
bool sim_reported(const sim_scenario *s, sim_metric m);
bool sim_has_kad(const sim_scenario *s);
bool sim_has_gossip(const sim_scenario *s);
/* "197.3 KiB", "98.20 %", "12,345", "3.21", "120.5 ms" */
void sim_value_text(sim_unit unit, int64_t value, char out[32]);
bool sim_expected(const sim_expectation *x, int64_t value);

#endif
