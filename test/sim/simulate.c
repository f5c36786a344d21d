/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Runs scenario files and reports. Exit code 0: all expectations hold; 1: some do not; 2: usage, or a file that cannot be read. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "sim_run.h"
#ifdef SIM_TOY
#include "toy/toy_crypto.h"
#define CRYPTO kith_toy_crypto
#else
#define CRYPTO "real cryptography"
#endif

typedef struct options {
    bool once, json, trace;
    uint64_t seed, nodes;
} options;

/* What differs from run to run. */
typedef struct cost {
    double wall, cpu;
    int64_t rss; /* bytes, the process's largest so far */
} cost;

static double seconds(clockid_t of)
{
    struct timespec t;
    clock_gettime(of, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static cost run(const sim_scenario *sc, FILE *trace, sim_result *out)
{
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    struct rusage use;
    sim_scenario_run(sc, trace, out);
    getrusage(RUSAGE_SELF, &use);
    return (cost){.wall = seconds(CLOCK_MONOTONIC) - wall,
                  .cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu,
                  .rss = (int64_t)use.ru_maxrss * 1024};
}

static void report(const sim_scenario *sc, const sim_result *r, const cost *c)
{
    char text[32];
    printf("%s: %s [%s]\n", sc->name, sc->about, CRYPTO);
    for (size_t i = 0; i < SIM_METRICS; i++) {
        if (!sim_reported(sc, (sim_metric)i))
            continue;
        sim_value_text(sim_metrics[i].unit, r->value[i], text);
        printf("  %-18s %14s  %s\n", sim_metrics[i].name, text, sim_metrics[i].about);
    }
    double events = (double)r->value[SIM_EVENTS];
    sim_value_text(SIM_COUNT, (int64_t)(events / c->cpu), text);
    printf("  %-18s %14s  of CPU\n", "events per second", text);
    sim_value_text(SIM_BYTES, c->rss, text);
    printf("  %-18s %14s  the process at its largest\n", "resident", text);
    printf("  %-18s %12.1f s\n", "virtual time", (double)sc->lasts / 1e9);
    printf("  %-18s %12.1f s  %.1f s of CPU\n", "wall time", c->wall, c->cpu);
    printf("  %-18s %016llx\n", "hash", (unsigned long long)r->hash);
}

/* Prints what does not hold, and returns whether all does. */
static bool judge(const sim_scenario *sc, const sim_result *r, FILE *out)
{
    static const char *const relation[] = {[SIM_AT_MOST] = "<=", [SIM_AT_LEAST] = ">=", [SIM_EXACTLY] = "="};
    bool ok = true;
    for (size_t i = 0; i < sc->expect_count; i++) {
        const sim_expectation *x = &sc->expect[i];
        char is[32], want[32];
        sim_value_text(sim_metrics[x->metric].unit, r->value[x->metric], is);
        sim_value_text(sim_metrics[x->metric].unit, x->value, want);
        bool holds = sim_expected(x, r->value[x->metric]);
        fprintf(out, "  %-6s %s %s %s", holds ? "ok" : "FAILED", sim_metrics[x->metric].name,
                relation[x->relation], want);
        fprintf(out, holds ? "\n" : ": it is %s (seed %llu)\n", is, (unsigned long long)sc->seed);
        ok = ok && holds;
    }
    return ok;
}

static void report_json(const sim_scenario *sc, const sim_result *r, const cost *c, bool ok)
{
    char hash[17], shape[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)r->hash);
    snprintf(shape, sizeof shape, "%016llx", (unsigned long long)r->shape);
    json_t *metrics = json_object();
    for (size_t i = 0; i < SIM_METRICS; i++) {
        static const double per[] = {[SIM_PPM] = 1e6, [SIM_MILLI] = 1e3, [SIM_TIME] = 1e9};
        double unit = per[sim_metrics[i].unit];
        if (sim_reported(sc, (sim_metric)i))
            json_object_set_new(metrics, sim_metrics[i].name,
                                unit > 0 ? json_real((double)r->value[i] / unit) : json_integer(r->value[i]));
    }
    json_t *o = json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:I, s:s, s:s, s:b, s:o}", "scenario",
                          sc->name, "crypto", CRYPTO, "seed", (json_int_t)sc->seed, "virtual_s",
                          (double)sc->lasts / 1e9, "wall_s", c->wall, "cpu_s", c->cpu, "events_per_cpu_s",
                          (double)r->value[SIM_EVENTS] / c->cpu, "resident", (json_int_t)c->rss, "hash", hash,
                          "shape", shape, "ok", ok, "metrics", metrics);
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

static int simulate(const char *path, const options *opt)
{
    sim_scenario sc;
    sim_result first, second;
    char why[200];
    if (!sim_scenario_read(path, &sc, why)) {
        fprintf(stderr, "simulate: %s: %s\n", path, why);
        return 2;
    }
    if (opt->seed)
        sc.seed = opt->seed;
    if (opt->nodes)
        sc.nodes = opt->nodes;
    if (opt->trace) {
        run(&sc, stdout, &first);
        printf("shape %016llx\n", (unsigned long long)first.shape);
        return 0;
    }
    cost c = run(&sc, NULL, &first);
    bool ok;
    if (opt->json) {
        ok = judge(&sc, &first, stderr);
    } else {
        report(&sc, &first, &c);
        ok = judge(&sc, &first, stdout);
    }
    if (!opt->once) {
        run(&sc, NULL, &second);
        bool same = first.hash == second.hash && memcmp(first.value, second.value, sizeof first.value) == 0;
        fprintf(opt->json ? stderr : stdout,
                same ? "  ok     a second run is the same\n"
                     : "  FAILED a second run differs: hash %016llx\n",
                (unsigned long long)second.hash);
        ok = ok && same;
    }
    if (opt->json)
        report_json(&sc, &first, &c, ok);
    fflush(stdout);
    return ok ? 0 : 1;
}

static int usage(FILE *out)
{
    fprintf(out, "usage: simulate [--once] [--json] [--trace] [--seed N] [--nodes N] FILE...\n"
                 "  --once   one run; otherwise two, whose hashes are compared\n"
                 "  --json   the report as one line of JSON\n"
                 "  --trace  every delivery instead of the report\n"
                 "  --seed, --nodes  instead of the file's\n");
    return out == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    options opt = {0};
    int i = 1, worst = 0;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--once") == 0)
            opt.once = true;
        else if (strcmp(argv[i], "--json") == 0)
            opt.json = true;
        else if (strcmp(argv[i], "--trace") == 0)
            opt.trace = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            opt.seed = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--nodes") == 0 && i + 1 < argc)
            opt.nodes = strtoull(argv[++i], NULL, 0);
        else
            return usage(strcmp(argv[i], "--help") == 0 ? stdout : stderr);
    }
    if (i == argc)
        return usage(stderr);
    for (; i < argc; i++) {
        int code = simulate(argv[i], &opt);
        if (code > worst)
            worst = code;
    }
    return worst;
}
