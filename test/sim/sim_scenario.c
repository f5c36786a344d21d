/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Scenario files. */
#include "sim_scenario.h"

#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>

const sim_metric_info sim_metrics[SIM_METRICS] = {
    [SIM_NODES] = {"nodes", "nodes", SIM_COUNT, SIM_ALL},
    [SIM_UP] = {"up", "nodes up at the end", SIM_COUNT, SIM_ALL},
    [SIM_CONNECTIONS] = {"connections", "connections at the end", SIM_COUNT, SIM_ALL},
    [SIM_ALONE] = {"alone", "nodes without any, for 30 s or more", SIM_COUNT, SIM_ALL},
    [SIM_TOGETHER] = {"together", "of the nodes have a way to each other", SIM_PPM, SIM_ALL},
    [SIM_DIALS] = {"dials", "dials", SIM_COUNT, SIM_ALL},
    [SIM_DIALS_FAILED] = {"dials_failed", "of these failed", SIM_PPM, SIM_ALL},
    [SIM_LEFT] = {"left", "nodes left in good order", SIM_COUNT, SIM_ALL},
    [SIM_VANISHED] = {"vanished", "nodes lost power", SIM_COUNT, SIM_ALL},
    [SIM_JOBS] = {"jobs", "jobs", SIM_COUNT, SIM_ALL},
    [SIM_JOBS_DONE] = {"jobs_done", "of these done", SIM_PPM, SIM_ALL},
    [SIM_JOBS_WRONG] = {"jobs_wrong", "jobs with a wrong result", SIM_COUNT, SIM_ALL},
    [SIM_BREACHES] = {"breaches", "breaches of protocol", SIM_COUNT, SIM_ALL},
    [SIM_MEMORY] = {"memory", "memory per node", SIM_BYTES, SIM_ALL},
    [SIM_MEMORY_FRESH] = {"memory_fresh", "of a node that knows nobody", SIM_BYTES, SIM_ALL},
    [SIM_MEMORY_MAX] = {"memory_max", "memory of the largest node", SIM_BYTES, SIM_ALL},
    [SIM_MEMORY_GROWTH] = {"memory_growth", "memory per connection, end against settled", SIM_PPM, SIM_ALL},
    [SIM_LEFT_OVER] = {"left_over", "connections, streams, timers, jobs left after all have closed",
                       SIM_COUNT, SIM_ALL},
    [SIM_LEFT_OVER_MEMORY] = {"left_over_memory", "memory per node then, above a fresh one", SIM_BYTES,
                              SIM_ALL},
    [SIM_SIMULATOR] = {"simulator", "the simulator's own memory per node", SIM_BYTES, SIM_ALL},
    [SIM_LOOKUPS] = {"lookups", "lookups of a key in the DHT", SIM_COUNT, SIM_KAD},
    [SIM_LOOKUPS_RIGHT] = {"lookups_right", "of these found the nearest node", SIM_PPM, SIM_KAD},
    [SIM_LOOKUPS_NEAREST] = {"lookups_nearest", "of the ten nearest were found", SIM_PPM, SIM_KAD},
    [SIM_LOOKUPS_SPLIT] = {"lookups_split", "found the nearest on their side while the network was split",
                           SIM_PPM, SIM_KAD_SPLIT},
    [SIM_LOOKUPS_MENDING] = {"lookups_mending", "found the nearest while it grew together again", SIM_PPM,
                             SIM_KAD_SPLIT},
    [SIM_HOPS] = {"hops", "hops to the nearest, those in the own table being 0", SIM_MILLI, SIM_KAD},
    [SIM_HOPS_P99] = {"hops_p99", "99 of 100 lookups at most", SIM_COUNT, SIM_KAD},
    [SIM_HOPS_MAX] = {"hops_max", "hops at most", SIM_COUNT, SIM_KAD},
    [SIM_ASKED] = {"asked", "questions of a lookup", SIM_MILLI, SIM_KAD},
    [SIM_ASKED_IN_VAIN] = {"asked_in_vain", "of these without an answer", SIM_MILLI, SIM_KAD},
    [SIM_LOOKUP_P50] = {"lookup_p50", "half of the lookups took at most", SIM_TIME, SIM_KAD},
    [SIM_LOOKUP_P99] = {"lookup_p99", "99 of 100 took at most", SIM_TIME, SIM_KAD},
    [SIM_FINDS] = {"finds", "peers looked for by their id", SIM_COUNT, SIM_KAD},
    [SIM_FOUND] = {"found", "of these found and called", SIM_PPM, SIM_KAD},
    [SIM_GETS] = {"gets", "values looked for", SIM_COUNT, SIM_KAD},
    [SIM_GOT] = {"got", "of these got", SIM_PPM, SIM_KAD},
    [SIM_REQUESTS] = {"requests", "questions of the DHT in all, upkeep included", SIM_COUNT, SIM_KAD},
    [SIM_TABLE] = {"table", "peers in a node's table", SIM_COUNT, SIM_KAD},
    [SIM_MESSAGES] = {"messages", "messages of gossip", SIM_COUNT, SIM_GOSSIP},
    [SIM_REACH] = {"reach", "of the nodes that were there heard them", SIM_PPM, SIM_GOSSIP},
    [SIM_REACH_OWN_SIDE] = {"reach_own_side", "the same on the author's side of a split network", SIM_PPM,
                            SIM_GOSSIP_SPLIT},
    [SIM_REACH_ACROSS] = {"reach_across", "and on the other side, by the end", SIM_PPM, SIM_GOSSIP_SPLIT},
    [SIM_REACH_MENDING] = {"reach_mending", "the same while the network grew together again", SIM_PPM,
                           SIM_GOSSIP_SPLIT},
    [SIM_DUPLICATES] = {"duplicates", "times that a message came once more", SIM_MILLI, SIM_GOSSIP},
    [SIM_GOSSIP_P50] = {"gossip_p50", "after which half of the nodes had heard", SIM_TIME, SIM_GOSSIP},
    [SIM_GOSSIP_P99] = {"gossip_p99", "after which 99 of 100 had", SIM_TIME, SIM_GOSSIP},
    [SIM_GOSSIP_MAX] = {"gossip_max", "after which all had that ever did", SIM_TIME, SIM_GOSSIP},
    [SIM_TRAFFIC] = {"traffic", "bytes delivered", SIM_BYTES, SIM_ALL},
    [SIM_LOST] = {"lost", "packets lost", SIM_COUNT, SIM_ALL},
    [SIM_EVENTS] = {"events", "events", SIM_COUNT, SIM_ALL},
};

/* ---- values ---- */

typedef struct suffix {
    const char *text;
    uint64_t times;
} suffix;

static const suffix times[] = {
    {"ms", KITH_MS(1)}, {"s", KITH_SEC(1)}, {"m", 60 * KITH_SEC(1)}, {"h", 3600 * KITH_SEC(1)}, {NULL, 0}};
static const suffix sizes[] = {{"B", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}, {NULL, 0}};
static const suffix counts[] = {{"", 1}, {NULL, 0}};
static const suffix decimals[] = {{"", 1000}, {NULL, 0}};
static const suffix percents[] = {{"%", 10000}, {NULL, 0}};

/* A decimal number with one of the suffixes, up to the end of the text or the ".." of a range. */
static bool number(const char *text, const suffix *of, uint64_t *out, const char **rest)
{
    if (of == times && strcmp(text, "never") == 0) {
        *out = KITH_NEVER;
        *rest = text + 5;
        return true;
    }
    uint64_t whole = 0, part = 0, scale = 1;
    const char *p = text;
    for (; *p >= '0' && *p <= '9' && whole < 1u << 30; p++)
        whole = whole * 10 + (uint64_t)(*p - '0');
    if (p == text)
        return false;
    if (p[0] == '.' && p[1] != '.') {
        for (p++; *p >= '0' && *p <= '9' && scale < 1000000; p++, scale *= 10)
            part = part * 10 + (uint64_t)(*p - '0');
    }
    for (; of->text; of++) {
        size_t n = strlen(of->text);
        if (strncmp(p, of->text, n) == 0 && (p[n] == '\0' || p[n] == ' ' || strncmp(p + n, "..", 2) == 0)) {
            *out = whole * of->times + part * of->times / scale;
            *rest = p + n;
            return true;
        }
    }
    return false;
}

static bool single(const char *text, const suffix *of, uint64_t *out)
{
    const char *rest;
    return number(text, of, out, &rest) && !*rest;
}

static bool range(const char *text, const suffix *of, sim_range *out)
{
    const char *rest;
    if (!number(text, of, &out->min, &rest))
        return false;
    out->max = out->min;
    return !*rest || (strncmp(rest, "..", 2) == 0 && single(rest + 2, of, &out->max) && out->max >= out->min);
}

/* "4KiB every 20s", "every 20s" */
static bool work(const char *text, sim_work *out)
{
    const char *rest = text;
    if (strncmp(text, "every ", 6) != 0) {
        if (!number(text, sizes, &out->bytes, &rest) || *rest++ != ' ' || strncmp(rest, "every ", 6) != 0)
            return false;
    }
    return single(rest + 6, times, &out->every) && out->every > 0;
}

static bool policy(const char *text, kith_pq_policy *out)
{
    static const char *const names[] = {
        [KITH_PQ_PREFER] = "prefer", [KITH_PQ_REQUIRE] = "require", [KITH_PQ_OFF] = "off"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (kith_pq_policy)i;
            return true;
        }
    }
    return false;
}

/* ---- keys ---- */

typedef enum kind { COUNT, TIME, SIZE, PERCENT, TIMES, SIZES, WORK, POLICY, TEXT } kind;

static const struct key {
    const char *section, *name;
    kind kind;
    size_t at;
} keys[] = {
    {"scenario", "about", TEXT, offsetof(sim_scenario, about)},
    {"scenario", "nodes", COUNT, offsetof(sim_scenario, nodes)},
    {"scenario", "seed", COUNT, offsetof(sim_scenario, seed)},
    {"scenario", "links", COUNT, offsetof(sim_scenario, links)},
    {"scenario", "lasts", TIME, offsetof(sim_scenario, lasts)},
    {"scenario", "join", TIME, offsetof(sim_scenario, join)},
    {"scenario", "settled", TIME, offsetof(sim_scenario, settled)},
    {"network", "latency", TIMES, offsetof(sim_scenario, latency)},
    {"network", "jitter", TIME, offsetof(sim_scenario, jitter)},
    {"network", "loss", PERCENT, offsetof(sim_scenario, loss)},
    {"network", "up", SIZES, offsetof(sim_scenario, up)},
    {"network", "down", SIZES, offsetof(sim_scenario, down)},
    {"network", "buffer", SIZE, offsetof(sim_scenario, buffer)},
    {"node", "idle", TIME, offsetof(sim_scenario, idle)},
    {"node", "keepalive", TIME, offsetof(sim_scenario, keepalive)},
    {"node", "resume", TIME, offsetof(sim_scenario, resume)},
    {"node", "level", COUNT, offsetof(sim_scenario, level)},
    {"node", "pq", POLICY, offsetof(sim_scenario, pq)},
    {"churn", "stays", TIME, offsetof(sim_scenario, stays)},
    {"churn", "away", TIME, offsetof(sim_scenario, away)},
    {"churn", "vanish", PERCENT, offsetof(sim_scenario, vanish)},
    {"churn", "residents", PERCENT, offsetof(sim_scenario, residents)},
    {"split", "share", PERCENT, offsetof(sim_scenario, split)},
    {"split", "at", TIME, offsetof(sim_scenario, split_at)},
    {"split", "lasts", TIME, offsetof(sim_scenario, split_lasts)},
    {"split", "heals", TIME, offsetof(sim_scenario, heals)},
    {"kad", "servers", PERCENT, offsetof(sim_scenario, servers)},
    {"kad", "refresh", TIME, offsetof(sim_scenario, refresh)},
    {"work", "echo", WORK, offsetof(sim_scenario, echo)},
    {"work", "ping", WORK, offsetof(sim_scenario, ping)},
    {"work", "bulk", WORK, offsetof(sim_scenario, bulk)},
    {"work", "lookup", WORK, offsetof(sim_scenario, lookup)},
    {"work", "find", WORK, offsetof(sim_scenario, find)},
    {"work", "value", WORK, offsetof(sim_scenario, value)},
    {"work", "publish", WORK, offsetof(sim_scenario, publish)},
};

static bool assign(const struct key *k, const char *value, sim_scenario *s)
{
    void *at = (char *)s + k->at;
    switch (k->kind) {
    case COUNT:
        return single(value, counts, at);
    case TIME:
        return single(value, times, at);
    case SIZE:
        return single(value, sizes, at);
    case PERCENT:
        return single(value, percents, at) && *(uint64_t *)at <= 1000000;
    case TIMES:
        return range(value, times, at);
    case SIZES:
        return range(value, sizes, at);
    case WORK:
        return work(value, at);
    case POLICY:
        return policy(value, at);
    case TEXT:
        return snprintf(at, sizeof s->about, "%s", value) < (int)sizeof s->about;
    }
    return false;
}

/* ---- expectations ----
 * inih splits "memory <= 200KiB" at the '=': the name keeps the '<'. */
static bool expect(const char *name, const char *value, sim_scenario *s)
{
    static const suffix *const of[] = {[SIM_COUNT] = counts,
                                       [SIM_BYTES] = sizes,
                                       [SIM_PPM] = percents,
                                       [SIM_MILLI] = decimals,
                                       [SIM_TIME] = times};
    size_t len = strlen(name);
    sim_expectation x = {.relation = SIM_EXACTLY};
    if (len > 0 && (name[len - 1] == '<' || name[len - 1] == '>')) {
        x.relation = name[--len] == '<' ? SIM_AT_MOST : SIM_AT_LEAST;
        while (len > 0 && name[len - 1] == ' ')
            len--;
    }
    for (size_t i = 0; i < SIM_METRICS; i++) {
        uint64_t v;
        if (strlen(sim_metrics[i].name) != len || strncmp(sim_metrics[i].name, name, len) != 0)
            continue;
        if (s->expect_count == SIM_EXPECTATIONS_MAX || !single(value, of[sim_metrics[i].unit], &v))
            return false;
        x.metric = (sim_metric)i;
        x.value = (int64_t)v;
        s->expect[s->expect_count++] = x;
        return true;
    }
    return false;
}

bool sim_expected(const sim_expectation *x, int64_t value)
{
    switch (x->relation) {
    case SIM_AT_MOST:
        return value <= x->value;
    case SIM_AT_LEAST:
        return value >= x->value;
    case SIM_EXACTLY:
        return value == x->value;
    }
    return false;
}

/* ---- files ---- */

typedef struct reading {
    sim_scenario *s;
    char *why;
} reading;

static int on_pair(void *ctx, const char *section, const char *name, const char *value)
{
    reading *r = ctx;
    if (strcmp(section, "expect") == 0) {
        if (expect(name, value, r->s))
            return 1;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0 &&
            assign(&keys[i], value, r->s))
            return 1;
    }
    if (!r->why[0])
        snprintf(r->why, 200, "[%.20s] %.40s = %.80s: no such key, or not a value for it", section, name,
                 value);
    return 0;
}

static bool finish(int line, sim_scenario *s, char why[200])
{
    if (line != 0) {
        char what[200];
        snprintf(what, sizeof what, "%s", why[0] ? why : "not a line of a scenario");
        snprintf(why, 200, line < 0 ? "cannot be read" : "line %d: %.180s", line, what);
        return false;
    }
    const char *missing = !s->nodes || s->nodes > 1u << 20 ? "nodes, at most a million"
                          : !s->lasts                      ? "lasts"
                                                           : NULL;
    if (missing)
        snprintf(why, 200, "[scenario] needs %s", missing);
    else if (s->stays && !s->away)
        snprintf(why, 200, "[churn] stays needs away");
    else if (s->split && !s->split_lasts)
        snprintf(why, 200, "[split] needs lasts");
    else if (s->level != 1 && s->level != 3 && s->level != 5)
        snprintf(why, 200, "[node] level is 1, 3 or 5");
    else if (s->join > s->lasts)
        snprintf(why, 200, "[scenario] join is longer than it lasts");
    if (why[0])
        return false;
    if (!s->settled)
        s->settled = s->lasts / 5;
    return true;
}

static void begin(const char *name, sim_scenario *s, char why[200])
{
    *s = (sim_scenario){.seed = 1,
                        .links = 4,
                        .latency = {KITH_MS(10), KITH_MS(10)},
                        .buffer = 256 * 1024,
                        .idle = KITH_NEVER,
                        .keepalive = KITH_SEC(30),
                        .resume = KITH_SEC(24 * 3600),
                        .level = 3,
                        .pq = KITH_PQ_PREFER,
                        .heals = KITH_SEC(60),
                        .servers = 1000000,
                        .refresh = KITH_SEC(600)};
    const char *slash = strrchr(name, '/');
    snprintf(s->name, sizeof s->name, "%s", slash ? slash + 1 : name);
    char *dot = strrchr(s->name, '.');
    if (dot)
        *dot = '\0';
    why[0] = '\0';
}

bool sim_scenario_read(const char *path, sim_scenario *out, char why[200])
{
    begin(path, out, why);
    reading r = {out, why};
    return finish(ini_parse(path, on_pair, &r), out, why);
}

bool sim_scenario_parse(const char *name, const char *text, sim_scenario *out, char why[200])
{
    begin(name, out, why);
    reading r = {out, why};
    return finish(ini_parse_string(text, on_pair, &r), out, why);
}

/* ---- what takes place ---- */

bool sim_has_kad(const sim_scenario *s)
{
    return s->lookup.every || s->find.every || s->value.every;
}

bool sim_has_gossip(const sim_scenario *s)
{
    return s->publish.every;
}

bool sim_reported(const sim_scenario *s, sim_metric m)
{
    switch (sim_metrics[m].part) {
    case SIM_ALL:
        return true;
    case SIM_KAD:
        return sim_has_kad(s);
    case SIM_GOSSIP:
        return sim_has_gossip(s);
    case SIM_KAD_SPLIT:
        return sim_has_kad(s) && s->split;
    case SIM_GOSSIP_SPLIT:
        return sim_has_gossip(s) && s->split;
    }
    return false;
}

/* ---- text ---- */

void sim_value_text(sim_unit unit, int64_t value, char out[32])
{
    char digits[24];
    switch (unit) {
    case SIM_PPM:
        snprintf(out, 32, "%.2f %%", (double)value / 1e4);
        return;
    case SIM_MILLI:
        snprintf(out, 32, "%.2f", (double)value / 1e3);
        return;
    case SIM_TIME:
        snprintf(out, 32, "%.1f ms", (double)value / 1e6);
        return;
    case SIM_BYTES:
        if (value >= -1024 && value < 1024)
            snprintf(out, 32, "%d B", (int)value);
        else if (value < 1024 * 1024)
            snprintf(out, 32, "%.1f KiB", (double)value / 1024);
        else
            snprintf(out, 32, "%.1f MiB", (double)value / 1024 / 1024);
        return;
    case SIM_COUNT: {
        size_t len = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)value), at = 0;
        for (size_t i = 0; i < len; i++) {
            out[at++] = digits[i];
            if ((len - 1 - i) % 3 == 0 && i + 1 < len && digits[i] != '-')
                out[at++] = ',';
        }
        out[at] = '\0';
        return;
    }
    }
}
