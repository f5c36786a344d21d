/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Scenario files say what they mean, mistakes in them are named, and runs measure what happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim_run.h"

static sim_scenario parse(const char *text)
{
    sim_scenario sc;
    char why[200];
    if (!sim_scenario_parse("folder/some_name.ini", text, &sc, why))
        fail_msg("%s", why);
    return sc;
}

static void a_file_says_it_all(void **state)
{
    (void)state;
    sim_scenario sc =
        parse("; a comment\n"
              "[scenario]\nabout = all keys\nnodes = 1000\nseed = 7\nlinks = 5\nlasts = 2h\n"
              "join = 1.5m\nsettled = 90s\n"
              "[network]\nlatency = 2.5ms..120ms\njitter = 1ms\nloss = 0.25%\nup = 1MiB..2MiB\n"
              "down = 512KiB\nbuffer = 64KiB\n"
              "[node]\nidle = 5m\nkeepalive = never\nresume = 30m\nlevel = 5\npq = require\n"
              "[churn]\nstays = 20m\naway = 2m\nvanish = 30%\nresidents = 100%\n"
              "[split]\nshare = 40%\nat = 2m\nlasts = never\nheals = 3m\n"
              "[kad]\nservers = 80%\nrefresh = 30m\n"
              "[work]\necho = 4KiB every 20s\nping = every 1m\nbulk = 1MiB every 1h\n"
              "lookup = every 10m\nfind = every 11m\nvalue = every 12m\npublish = 200B every 5h\n"
              "[expect]\nmemory <= 200KiB\njobs_done >= 99.5%\nalone = 1\n"
              "hops <= 2.5\ngossip_p99 <= 800ms\n");
    assert_string_equal(sc.name, "some_name");
    assert_string_equal(sc.about, "all keys");
    assert_int_equal(sc.nodes, 1000);
    assert_int_equal(sc.seed, 7);
    assert_int_equal(sc.links, 5);
    assert_int_equal(sc.lasts, KITH_SEC(7200));
    assert_int_equal(sc.join, KITH_SEC(90));
    assert_int_equal(sc.settled, KITH_SEC(90));
    assert_int_equal(sc.latency.min, KITH_US(2500));
    assert_int_equal(sc.latency.max, KITH_MS(120));
    assert_int_equal(sc.jitter, KITH_MS(1));
    assert_int_equal(sc.loss, 2500);
    assert_int_equal(sc.up.min, 1u << 20);
    assert_int_equal(sc.up.max, 2u << 20);
    assert_int_equal(sc.down.min, 512u << 10);
    assert_int_equal(sc.down.max, 512u << 10);
    assert_int_equal(sc.buffer, 64u << 10);
    assert_int_equal(sc.idle, KITH_SEC(300));
    assert_int_equal(sc.keepalive, KITH_NEVER);
    assert_int_equal(sc.resume, KITH_SEC(1800));
    assert_int_equal(sc.level, 5);
    assert_int_equal(sc.pq, KITH_PQ_REQUIRE);
    assert_int_equal(sc.stays, KITH_SEC(1200));
    assert_int_equal(sc.away, KITH_SEC(120));
    assert_int_equal(sc.vanish, 300000);
    assert_int_equal(sc.residents, 1000000);
    assert_int_equal(sc.split, 400000);
    assert_int_equal(sc.split_at, KITH_SEC(120));
    assert_int_equal(sc.split_lasts, KITH_NEVER);
    assert_int_equal(sc.heals, KITH_SEC(180));
    assert_int_equal(sc.servers, 800000);
    assert_int_equal(sc.refresh, KITH_SEC(1800));
    assert_int_equal(sc.lookup.every, KITH_SEC(600));
    assert_int_equal(sc.find.every, KITH_SEC(660));
    assert_int_equal(sc.value.every, KITH_SEC(720));
    assert_int_equal(sc.publish.bytes, 200);
    assert_int_equal(sc.publish.every, KITH_SEC(5 * 3600));
    assert_int_equal(sc.echo.bytes, 4096);
    assert_int_equal(sc.echo.every, KITH_SEC(20));
    assert_int_equal(sc.ping.every, KITH_SEC(60));
    assert_int_equal(sc.bulk.bytes, 1u << 20);
    assert_int_equal(sc.expect_count, 5);
    assert_int_equal(sc.expect[0].metric, SIM_MEMORY);
    assert_int_equal(sc.expect[0].relation, SIM_AT_MOST);
    assert_int_equal(sc.expect[0].value, 200 * 1024);
    assert_int_equal(sc.expect[1].metric, SIM_JOBS_DONE);
    assert_int_equal(sc.expect[1].relation, SIM_AT_LEAST);
    assert_int_equal(sc.expect[1].value, 995000);
    assert_int_equal(sc.expect[2].relation, SIM_EXACTLY);
    assert_int_equal(sc.expect[3].value, 2500);
    assert_int_equal(sc.expect[4].value, KITH_MS(800));
}

static void what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    static const char *const bad[] = {"nodes = 10 s",
                                      "nodes = ",
                                      "lasts = 5",
                                      "lasts = 5 m",
                                      "lasts = 5mm",
                                      "lasts = -5m",
                                      "join = 5m..6m",
                                      "nonsense = 1",

                                      "[expect]\nmemory = 5m",
                                      "[expect]\nnothing <= 5",
                                      "[expect]\nalone < 1",
                                      "[network]\nlatency = 9ms..5ms",
                                      "[network]\nloss = 101%",
                                      "[network]\nloss = 1",
                                      "[work]\necho = 4KiB",
                                      "[work]\nping = every never ever",
                                      "[work]\necho = 4KiB each 5s",
                                      "[node]\npq = maybe",
                                      "[work]\nping = every 0s",
                                      "[network]\nlatency = 5ms..",
                                      "[network]\nlatency = 5ms.9ms"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sim_scenario sc;
        char text[200], why[200];
        snprintf(text, sizeof text, "[scenario]\nnodes = 3\nlasts = 5m\n%s\n", bad[i]);
        if (sim_scenario_parse("x", text, &sc, why))
            fail_msg("taken: %s", bad[i]);
        if (strncmp(why, strchr(bad[i], '\n') ? "line 5: " : "line 4: ", 8) != 0)
            fail_msg("%s: %s", bad[i], why);
    }
    sim_scenario sc;
    char why[200];
    assert_false(sim_scenario_parse("x", "[scenario]\nlasts = 5m\n", &sc, why));
    assert_string_equal(why, "[scenario] needs nodes, at most a million");
    assert_false(sim_scenario_parse("x", "[scenario]\nnodes = 5\n", &sc, why));
    assert_false(
        sim_scenario_parse("x", "[scenario]\nnodes = 5\nlasts = 5m\n[churn]\nstays = 1m\n", &sc, why));
    assert_false(sim_scenario_parse("x", "[scenario]\nnodes = 5\nlasts = 5m\njoin = 6m\n", &sc, why));
    assert_false(sim_scenario_parse("x", "[scenario]\nnodes = 5\nlasts = 5m\n[node]\nlevel = 2\n", &sc, why));
    assert_false(sim_scenario_read("/nowhere/at/all.ini", &sc, why));
    assert_string_equal(why, "cannot be read");
}

static void values_are_written_as_people_read_them(void **state)
{
    (void)state;
    static const struct {
        sim_unit unit;
        int64_t value;
        const char *text;
    } rows[] = {
        {SIM_COUNT, 0, "0"},
        {SIM_COUNT, 999, "999"},
        {SIM_COUNT, 1000, "1,000"},
        {SIM_COUNT, 1234567, "1,234,567"},
        {SIM_COUNT, -1000, "-1,000"},
        {SIM_COUNT, -100, "-100"},
        {SIM_BYTES, 1023, "1023 B"},
        {SIM_BYTES, 1536, "1.5 KiB"},
        {SIM_BYTES, 3 << 20, "3.0 MiB"},
        {SIM_PPM, 12345, "1.23 %"},
        {SIM_PPM, -500000, "-50.00 %"},
        {SIM_MILLI, 2506, "2.51"},
        {SIM_TIME, 120500000, "120.5 ms"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[32];
        sim_value_text(rows[i].unit, rows[i].value, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void an_expectation_holds_or_not(void **state)
{
    (void)state;
    sim_expectation x = {.relation = SIM_AT_MOST, .value = 5};
    assert_true(sim_expected(&x, 5) && !sim_expected(&x, 6));
    x.relation = SIM_AT_LEAST;
    assert_true(sim_expected(&x, 5) && !sim_expected(&x, 4));
    x.relation = SIM_EXACTLY;
    assert_true(sim_expected(&x, 5) && !sim_expected(&x, 4) && !sim_expected(&x, 6));
}

#define BASE "[scenario]\nnodes = 20\nlasts = 2m\njoin = 5s\nlinks = 3\n"

static sim_result run(const char *more)
{
    char text[600];
    sim_result r;
    snprintf(text, sizeof text, BASE "%s", more);
    sim_scenario sc = parse(text);
    sim_scenario_run(&sc, NULL, &r);
    return r;
}

static void a_quiet_network_has_its_links_and_nothing_else(void **state)
{
    (void)state;
    sim_result r = run("");
    assert_int_equal(r.value[SIM_UP], 20);
    assert_in_range(r.value[SIM_CONNECTIONS], 40, 60); /* those who came first had few to dial */
    assert_int_equal(r.value[SIM_TOGETHER], 1000000);
    assert_int_equal(r.value[SIM_ALONE], 0);
    assert_int_equal(r.value[SIM_DIALS_FAILED], 0);
    assert_int_equal(r.value[SIM_LEFT] + r.value[SIM_VANISHED], 0);
    assert_int_equal(r.value[SIM_JOBS], 0);
    assert_int_equal(r.value[SIM_LOST], 0);
    assert_int_equal(r.value[SIM_LEFT_OVER], 0);
    assert_true(r.value[SIM_MEMORY] > 1000 && r.value[SIM_MEMORY_MAX] >= r.value[SIM_MEMORY]);
    assert_true(r.value[SIM_TRAFFIC] > 0 && r.value[SIM_EVENTS] > 0);
}

static void links_that_are_not_wanted_leave_nodes_alone(void **state)
{
    (void)state;
    sim_result r = run("links = 0\n");
    assert_int_equal(r.value[SIM_ALONE], 20);
    assert_int_equal(r.value[SIM_TOGETHER], 50000); /* one of 20 */
    assert_int_equal(r.value[SIM_CONNECTIONS], 0);
}

static void work_is_done(void **state)
{
    (void)state;
    static const char *const works[] = {"echo = 10KiB every 5s", "ping = every 5s", "bulk = 10KiB every 5s"};
    for (size_t i = 0; i < 3; i++) {
        char text[100];
        snprintf(text, sizeof text, "[work]\n%s\n", works[i]);
        sim_result r = run(text);
        assert_in_range(r.value[SIM_JOBS], 300, 650); /* 20 nodes, 24 times each, less the time to join */
        assert_int_equal(r.value[SIM_JOBS_DONE], 1000000);
        assert_int_equal(r.value[SIM_JOBS_WRONG], 0);
    }
}

static void questions_to_the_dht_are_judged(void **state)
{
    (void)state;
    const char *text =
        "lasts = 4m\nlinks = 0\n[work]\nlookup = every 20s\nfind = every 20s\nvalue = every 20s\n";
    sim_result r = run(text);
    assert_in_range(r.value[SIM_LOOKUPS], 100, 230); /* 20 nodes, 9 times each after the first minute */
    assert_in_range(r.value[SIM_FINDS], 100, 230);
    assert_in_range(r.value[SIM_GETS], 40, 150);
    assert_int_equal(r.value[SIM_LOOKUPS_RIGHT], 1000000);
    assert_int_equal(r.value[SIM_LOOKUPS_NEAREST], 1000000);
    assert_int_equal(r.value[SIM_FOUND], 1000000);
    assert_int_equal(r.value[SIM_GOT], 1000000);
    assert_in_range(r.value[SIM_ASKED], 15000, 19000); /* 19 at most */
    assert_int_equal(r.value[SIM_TABLE], 19);
    assert_true(r.value[SIM_LOOKUP_P50] > 0 && r.value[SIM_LOOKUP_P99] >= r.value[SIM_LOOKUP_P50]);
}

static void messages_are_judged(void **state)
{
    (void)state;
    sim_result r = run("[work]\npublish = 100B every 30s\n");
    assert_in_range(r.value[SIM_MESSAGES], 40, 100);
    assert_int_equal(r.value[SIM_REACH], 1000000);
    assert_in_range(r.value[SIM_DUPLICATES], 1000, 8000);
    assert_in_range(r.value[SIM_GOSSIP_P50], KITH_MS(10), KITH_MS(50));
    assert_true(r.value[SIM_GOSSIP_MAX] >= r.value[SIM_GOSSIP_P99] &&
                r.value[SIM_GOSSIP_P99] >= r.value[SIM_GOSSIP_P50]);
    r = run("lasts = 4m\n[split]\nshare = 50%\nat = 1m\nlasts = never\n[work]\npublish = 100B every 30s\n");
    assert_int_equal(r.value[SIM_REACH], 1000000);
    assert_int_equal(r.value[SIM_REACH_ACROSS], 0);
    assert_in_range(r.value[SIM_REACH_OWN_SIDE], 800000, 1000000);
}

static void nodes_leave_and_come_back(void **state)
{
    (void)state;
    sim_result polite = run("[churn]\nstays = 20s\naway = 10s\n");
    assert_in_range(polite.value[SIM_LEFT], 40, 120);
    assert_int_equal(polite.value[SIM_VANISHED], 0);
    assert_in_range(polite.value[SIM_UP], 5, 19);
    assert_true(polite.value[SIM_DIALS_FAILED] > 0);
    assert_int_equal(polite.value[SIM_LEFT_OVER], 0);
    sim_result rude = run("[churn]\nstays = 20s\naway = 10s\nvanish = 100%\n");
    assert_in_range(rude.value[SIM_VANISHED], 40, 120);
    assert_int_equal(rude.value[SIM_LEFT], 0);
    assert_int_equal(rude.value[SIM_LEFT_OVER], 0);
    assert_int_equal(rude.value[SIM_BREACHES], 0);
    sim_result home = run("[churn]\nstays = 20s\naway = 10s\nresidents = 100%\n");
    assert_int_equal(home.value[SIM_UP], 20);
    assert_int_equal(home.value[SIM_LEFT], 0);
}

static void a_split_network_is_two_and_then_one_again(void **state)
{
    (void)state;
    const char *churn = "[churn]\nstays = 60s\naway = 2s\n";
    char text[300];
    snprintf(text, sizeof text, "%s[split]\nshare = 50%%\nat = 20s\nlasts = never\n", churn);
    sim_result apart = run(text);
    assert_in_range(apart.value[SIM_TOGETHER], 300000, 800000);
    assert_int_equal(apart.value[SIM_BREACHES], 0);
    snprintf(text, sizeof text, "lasts = 6m\n%s[split]\nshare = 50%%\nat = 20s\nlasts = 2m\n", churn);
    sim_result again = run(text);
    assert_true(again.value[SIM_TOGETHER] > 900000);
    assert_int_equal(again.value[SIM_LEFT_OVER], 0);
}

static void memory_is_flat_over_hours_of_coming_and_going(void **state)
{
    (void)state;
    sim_result r = run("nodes = 8\nlasts = 6h\n[node]\nkeepalive = 5m\n"
                       "[churn]\nstays = 5m\naway = 1m\nvanish = 30%\nresidents = 50%\n"
                       "[work]\nping = every 2m\n");
    assert_true(r.value[SIM_LEFT] + r.value[SIM_VANISHED] > 150);
    assert_true(r.value[SIM_MEMORY_GROWTH] < 50000);
    assert_in_range(r.value[SIM_LEFT_OVER_MEMORY], 0, 2048);
    assert_int_equal(r.value[SIM_LEFT_OVER], 0);
}

static void a_seed_decides(void **state)
{
    (void)state;
    const char *all = "[network]\nlatency = 5ms..50ms\njitter = 2ms\nloss = 1%\nup = 1MiB\n"
                      "[churn]\nstays = 30s\naway = 5s\nvanish = 50%\n"
                      "[work]\necho = 4KiB every 5s\n";
    char other[400];
    snprintf(other, sizeof other, "seed = 2\n%s", all);
    sim_result a = run(all), b = run(all), c = run(other);
    assert_int_equal(a.hash, b.hash);
    assert_int_equal(a.shape, b.shape);
    assert_memory_equal(a.value, b.value, sizeof a.value);
    assert_int_not_equal(a.hash, c.hash);
    assert_int_not_equal(a.shape, c.shape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_says_it_all),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
        cmocka_unit_test(values_are_written_as_people_read_them),
        cmocka_unit_test(an_expectation_holds_or_not),
        cmocka_unit_test(a_quiet_network_has_its_links_and_nothing_else),
        cmocka_unit_test(links_that_are_not_wanted_leave_nodes_alone),
        cmocka_unit_test(work_is_done),
        cmocka_unit_test(questions_to_the_dht_are_judged),
        cmocka_unit_test(messages_are_judged),
        cmocka_unit_test(nodes_leave_and_come_back),
        cmocka_unit_test(a_split_network_is_two_and_then_one_again),
        cmocka_unit_test(memory_is_flat_over_hours_of_coming_and_going),
        cmocka_unit_test(a_seed_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
