/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Configuration: every key, the file, what is refused and how it is said. */
#include "host/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char err[KITH_CONFIG_ERR_MAX];

static kith_err parse(kith_config *c, const char *text)
{
    kith_config_default(c);
    return kith_config_parse(c, text, "kith.ini", err);
}

static void every_key_takes_back_what_it_prints(void **state)
{
    (void)state;
    kith_config c, d;
    kith_config_default(&c);
    for (size_t i = 0; i < kith_config_key_count; i++) {
        const kith_config_key *k = &kith_config_keys[i];
        char text[2048], again[2048];
        kith_config_text(&c, k, text, sizeof text);
        if (k->type == KITH_CONFIG_ADDRS)
            snprintf(text, sizeof text, "/ip4/127.0.0.1/tcp/9000");
        if (k->type == KITH_CONFIG_KEEP)
            snprintf(text, sizeof text, "alice");
        if (k->type == KITH_CONFIG_SHARERS)
            snprintf(text, sizeof text, "12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE=sae-1");
        if (k->type == KITH_CONFIG_PEERS || k->type == KITH_CONFIG_POINTS)
            snprintf(text, sizeof text,
                     "/dnsaddr/a.example/p2p/12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE");
        kith_config_default(&d);
        if (kith_config_set(&d, k, text, err))
            fail_msg("%s", err);
        kith_config_text(&d, k, again, sizeof again);
        assert_string_equal(text, again);
        assert_ptr_equal(kith_config_find(k->name), k);
        assert_true(strlen(k->help) > 10);
    }
}

static void a_file_sets_what_it_names(void **state)
{
    (void)state;
    kith_config c;
    assert_int_equal(
        parse(&c,
              "; a comment\nlisten = /ip4/10.0.0.1/tcp/4001\nlisten = /ip6/::1/tcp/0\npq = require\nlevel=5\n"
              "idle_timeout = 90s\n[limits]\nconns = 17\nwindow_max = 1MiB\nmemory = 2GiB\n"),
        KITH_OK);
    assert_int_equal(c.listen_count, 2);
    assert_true(c.listen_from_file);
    assert_int_equal(c.node.pq, KITH_PQ_REQUIRE);
    assert_int_equal(c.node.level, 5);
    assert_int_equal(c.node.idle_timeout, KITH_SEC(90));
    assert_int_equal(c.node.limits.conns, 17);
    assert_int_equal(c.node.limits.window_max, 1 << 20);
    assert_int_equal(c.node.limits.memory, 2ull << 30);
}

static void a_mistake_is_told_with_its_line_and_the_nearest_key(void **state)
{
    (void)state;
    kith_config c;
    assert_int_equal(parse(&c, "pq = prefer\npw = off\n"), KITH_EFORMAT);
    assert_string_equal(err, "kith.ini:2: unknown key 'pw'; did you mean 'pq'?");
    assert_int_equal(parse(&c, "[limits]\nconns_per_pear = 3\n"), KITH_EFORMAT);
    assert_non_null(strstr(err, "did you mean 'limits.conns_per_peer'?"));
    assert_int_equal(parse(&c, "zzzzzzzzzzzz = 1\n"), KITH_EFORMAT);
    assert_string_equal(err, "kith.ini:1: unknown key 'zzzzzzzzzzzz'");
    assert_int_equal(parse(&c, "pq = maybe\n"), KITH_EFORMAT);
    assert_string_equal(err, "kith.ini:1: pq: 'maybe' is not require, prefer or off");
    assert_int_equal(parse(&c, "nonsense\n"), KITH_EFORMAT);
    assert_non_null(strstr(err, "kith.ini:1:"));
    assert_int_equal(parse(&c, "listen = /ip4/10.0.0.1/udp/5/quic-v1\n"), KITH_EFORMAT);
    assert_int_equal(parse(&c, "listen = /dns4/example.org/tcp/5\n"), KITH_EFORMAT);
    assert_int_equal(parse(&c, "listen = 10.0.0.1:5\n"), KITH_EFORMAT);
}

static void a_file_that_is_not_there_is_empty(void **state)
{
    (void)state;
    kith_config c, d;
    kith_config_default(&c);
    d = c;
    assert_int_equal(kith_config_load(&c, "/nowhere/kith.ini", err), KITH_OK);
    assert_memory_equal(&c, &d, sizeof c);
    assert_int_equal(kith_config_load(&c, "/", err), KITH_EIO); /* a folder */
}

static void at_most_sixteen_addresses(void **state)
{
    (void)state;
    kith_config c;
    kith_config_default(&c);
    const kith_config_key *k = kith_config_find("listen");
    for (int i = 0; i < KITH_CONFIG_LISTEN_MAX; i++)
        assert_int_equal(kith_config_set(&c, k, "/ip4/127.0.0.1/tcp/0", err), KITH_OK);
    assert_int_equal(kith_config_set(&c, k, "/ip4/127.0.0.1/tcp/0", err), KITH_EFORMAT);
}

static void rendezvous_points_are_different_peers_and_have_a_cap(void **state)
{
    (void)state;
    kith_config c;
    static const char *const bad[] = {"/ip4/10.0.0.1/tcp/4001", "/ip4/10.0.0.1/udp/4001/quic-v1/p2p/x",
                                      "none", ""};
    char text[KITH_PEER_ID_TEXT_MAX + 64], id[KITH_PEER_ID_TEXT_MAX + 1], ns[KITH_RDV_NS_MAX + 2];
    kith_config_default(&c);
    const kith_config_key *k = kith_config_find("rendezvous.point");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(kith_config_set(&c, k, bad[i], err), KITH_EFORMAT);
        assert_non_null(strstr(err, "write it like /ip4/"));
    }
    for (unsigned i = 0; i <= KITH_RDV_POINTS_MAX; i++) {
        uint8_t key[KITH_PUBKEY_ED25519_LEN], pub[KITH_ED25519_PUB_LEN] = {(uint8_t)(i + 1)};
        kith_peer_id peer;
        kith_pubkey_ed25519(pub, key);
        assert_int_equal(kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &peer), KITH_OK);
        kith_peer_id_text(&peer, id);
        snprintf(text, sizeof text, "/ip4/10.0.0.1/tcp/4001/p2p/%s", id);
        assert_int_equal(kith_config_set(&c, k, text, err), i < KITH_RDV_POINTS_MAX ? KITH_OK : KITH_EFORMAT);
    }
    assert_non_null(strstr(err, "there are 8 points already"));
    kith_config_default(&c);
    assert_int_equal(kith_config_set(&c, k, text, err), KITH_OK);
    assert_int_equal(kith_config_set(&c, k, text, err), KITH_EFORMAT);
    assert_non_null(strstr(err, "in the list already"));
    k = kith_config_find("rendezvous.namespace");
    memset(ns, 'n', sizeof ns);
    ns[KITH_RDV_NS_MAX + 1] = '\0';
    assert_int_equal(kith_config_set(&c, k, ns, err), KITH_EFORMAT);
    ns[KITH_RDV_NS_MAX] = '\0';
    assert_int_equal(kith_config_set(&c, k, ns, err), KITH_OK);
    assert_int_equal(kith_config_set(&c, k, "", err), KITH_EFORMAT);
    assert_int_equal(kith_config_set(&c, k, "a\x1b[m", err), KITH_EFORMAT);
    assert_int_equal(parse(&c, "[rendezvous]\nserver = on\nregistrations = 7\n"), KITH_OK);
    assert_true(c.rendezvous.server && c.rendezvous.registrations == 7 && !c.points_from_file);
}

static void a_private_network_has_no_public_bootstrap_peers(void **state)
{
    (void)state;
    kith_config c;
    assert_int_equal(parse(&c, "[network]\nkey = /etc/kith/swarm.key\n"), KITH_OK);
    assert_string_equal(c.network_key, "/etc/kith/swarm.key");
    assert_true(kith_dht_is_public(&c.dht)); /* before the key is loaded */
    snprintf(c.dht.network, sizeof c.dht.network, "c622f20b5a408852a39b0f7ed8ad58f8");
    assert_false(kith_dht_is_public(&c.dht));
}

static void bootstrap_peers_have_an_id_and_a_cap(void **state)
{
    (void)state;
    kith_config c;
#define ID "/p2p/12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE"
    static const char *const bad[] = {"/dnsaddr/example.org", ("/ip4/10.0.0.1/udp/4001/quic-v1" ID),
                                      "example.org", ""};
    kith_config_default(&c);
    const kith_config_key *k = kith_config_find("bootstrap");
    assert_false(c.dht.own_list);
    assert_true(kith_dht_is_public(&c.dht));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(kith_config_set(&c, k, bad[i], err), KITH_EFORMAT);
        assert_non_null(strstr(err, "write it like /dnsaddr/"));
    }
    for (int i = 0; i < KITH_DHT_BOOTSTRAP_MAX; i++)
        assert_int_equal(
            kith_config_set(&c, k, i % 2 ? "/dnsaddr/a.example" ID : "/ip4/10.0.0.1/tcp/4001" ID, err),
            KITH_OK);
    assert_int_equal(kith_config_set(&c, k, "/dnsaddr/a.example" ID, err), KITH_EFORMAT);
    assert_non_null(strstr(err, "there are 16 peers already"));
    assert_int_equal(kith_config_set(&c, k, "none", err), KITH_OK);
    assert_true(c.dht.own_list && c.dht.bootstrap_count == 0);
    assert_int_equal(parse(&c, "dht = server\nbootstrap = none\n[dht]\nprotocol = /club/kad/1.0.0\n"),
                     KITH_OK);
    assert_int_equal(c.dht.mode, KITH_DHT_SERVER);
    assert_false(kith_dht_is_public(&c.dht));
    assert_true(c.bootstrap_from_file);
    assert_int_equal(parse(&c, "dht = on\n"), KITH_EFORMAT);
    assert_string_equal(err, "kith.ini:1: dht: 'on' is not auto, client, server or off");
    char id[KITH_DHT_PROTOCOL_MAX + 2];
    k = kith_config_find("dht.protocol");
    memset(id, '/', sizeof id);
    id[KITH_DHT_PROTOCOL_MAX] = '\0';
    assert_int_equal(kith_config_set(&c, k, id, err), KITH_OK);
    id[KITH_DHT_PROTOCOL_MAX] = '/';
    id[KITH_DHT_PROTOCOL_MAX + 1] = '\0';
    assert_int_equal(kith_config_set(&c, k, id, err), KITH_EFORMAT);
    assert_int_equal(kith_config_set(&c, k, "club", err), KITH_EFORMAT);
    assert_int_equal(kith_config_set(&c, k, "/a b", err), KITH_EFORMAT);
    assert_int_equal(kith_config_set(&c, k, "/", err), KITH_EFORMAT);
}

static void sizes_and_times_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } sizes[] = {{"0", true, 0},           {"1", true, 1},
                 {"64K", true, 65536},     {"64KiB", true, 65536},
                 {"3MiB", true, 3u << 20}, {"1GiB", true, 1u << 30},
                 {"2T", true, 2ull << 40}, {"7B", true, 7},
                 {"", false, 0},           {"-1", false, 0},
                 {"1k", false, 0},         {"1.5M", false, 0},
                 {"K", false, 0},          {"9223372036854775807", false, 0},
                 {"8388608T", false, 0},   {" 1", false, 0}},
      times[] = {{"250ms", true, KITH_MS(250)},
                 {"10s", true, KITH_SEC(10)},
                 {"5m", true, KITH_SEC(300)},
                 {"1h", true, KITH_SEC(3600)},
                 {"never", true, KITH_NEVER},
                 {"0s", true, 0},
                 {"10", false, 0},
                 {"s", false, 0},
                 {"1d", false, 0},
                 {"99999999999999999h", false, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t v = 0;
        assert_int_equal(kith_parse_size(sizes[i].text, &v), sizes[i].ok);
        assert_int_equal(v, sizes[i].value);
    }
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        kith_time v = 0;
        assert_int_equal(kith_parse_duration(times[i].text, &v), times[i].ok);
        assert_int_equal(v, times[i].value);
    }
}

/* An idle connection that closes at once, a keep-alive without pause, a handshake without time: nobody means that. */
static void no_time_at_all_is_refused_for_every_duration(void **state)
{
    (void)state;
    kith_config c, d;
    unsigned durations = 0;
    kith_config_default(&c);
    d = c;
    for (size_t i = 0; i < kith_config_key_count; i++) {
        const kith_config_key *k = &kith_config_keys[i];
        char want[160];
        if (k->type != KITH_CONFIG_DURATION)
            continue;
        durations++;
        snprintf(want, sizeof want,
                 "%s: '0s' is not a time above zero; write it like 250ms, 10s, 5m or never", k->name);
        assert_int_equal(kith_config_set(&c, k, "0s", err), KITH_EFORMAT);
        assert_string_equal(err, want);
        assert_int_equal(kith_config_set(&c, k, "0ms", err), KITH_EFORMAT);
        assert_memory_equal(&c, &d, sizeof c);
        assert_int_equal(kith_config_set(&c, k, "1ms", err), KITH_OK);
        assert_int_equal(kith_config_set(&c, k, "never", err), KITH_OK);
        d = c;
    }
    assert_int_equal(durations, 8);
}

static void how_much_traffic_keys_serve_is_a_size_or_never(void **state)
{
    (void)state;
    kith_config c;
    assert_int_equal(parse(&c, "[security]\nrekey_after_time = 5m\nrekey_after_bytes = never\n"), KITH_OK);
    assert_int_equal(c.node.rekey_after_time, KITH_SEC(300));
    assert_true(c.node.rekey_after_bytes == UINT64_MAX);
    assert_int_equal(parse(&c, "security.rekey_after_bytes = 16MiB\n"), KITH_OK);
    assert_int_equal(c.node.rekey_after_bytes, 16 << 20);
    assert_int_equal(parse(&c, "security.rekey_after_bytes = 16777215\n"), KITH_EFORMAT);
    assert_string_equal(
        err, "kith.ini:1: security.rekey_after_bytes: '16777215' is not a size from 16MiB, or never");
    assert_int_equal(parse(&c, "security.rekey_after_bytes = soon\n"), KITH_EFORMAT);
}

static void how_long_sessions_live_is_a_time_or_off(void **state)
{
    (void)state;
    kith_config c;
    char text[32];
    const kith_config_key *k = kith_config_find("security.resume");
    assert_int_equal(parse(&c, "ping_every = 5m\n"), KITH_OK);
    assert_int_equal(c.node.resume_for, KITH_SEC(24 * 3600));
    assert_int_equal(parse(&c, "[security]\nresume = 168h\n"), KITH_OK);
    assert_int_equal(c.node.resume_for, KITH_SEC(168 * 3600));
    kith_config_text(&c, k, text, sizeof text);
    assert_string_equal(text, "604800s");
    assert_int_equal(parse(&c, "security.resume = off\n"), KITH_OK);
    assert_int_equal(c.node.resume_for, 0);
    kith_config_text(&c, k, text, sizeof text);
    assert_string_equal(text, "off");
    assert_int_equal(parse(&c, "security.resume = 0s\n"), KITH_OK);
    assert_int_equal(parse(&c, "security.resume = 604801s\n"), KITH_EFORMAT);
    assert_string_equal(err, "kith.ini:1: security.resume: '604801s' is not off or a time up to 168h");
    assert_int_equal(parse(&c, "security.resume = never\n"), KITH_EFORMAT);
    assert_int_equal(parse(&c, "security.resume = 5\n"), KITH_EFORMAT);
}

static void peers_to_keep_are_ids_names_or_addresses_that_say_whose_they_are(void **state)
{
    (void)state;
    kith_config c;
    const kith_config_key *k = kith_config_find("keep");
    assert_int_equal(parse(&c, "keep = /ip4/10.0.0.1/tcp/4001\n"), KITH_EFORMAT);
    assert_non_null(strstr(err, "says whose it is"));
    assert_int_equal(parse(&c, "keep =\n"), KITH_EFORMAT);
    assert_int_equal(parse(&c, "keep = two words\n"), KITH_EFORMAT);
    kith_config_default(&c);
    for (int i = 0; i < KITH_CONFIG_KEEP_MAX; i++)
        assert_int_equal(kith_config_set(&c, k, "12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE", err),
                         KITH_OK);
    assert_int_equal(kith_config_set(&c, k, "alice", err), KITH_EFORMAT);
    assert_string_equal(err, "keep: 'alice' is not needed: there are 64 peers already");
}

static void a_command_line_may_write_hyphens(void **state)
{
    (void)state;
    assert_non_null(kith_config_find("limits.conns-per-ip"));
    assert_ptr_equal(kith_config_find("idle-timeout"), kith_config_find("idle_timeout"));
    assert_null(kith_config_find("idle"));
    assert_null(kith_config_find(""));
}

static void suggestions_are_near_or_none(void **state)
{
    (void)state;
    static const char *const names[] = {"ping", "pipe", "perf", "peers"};
    assert_string_equal(kith_nearest("pign", names, 2), "ping");
    assert_string_equal(kith_nearest("peer", names, 4), "peers");
    assert_null(kith_nearest("frobnicate", names, 4));
    assert_null(kith_nearest("x", names, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_takes_back_what_it_prints),
        cmocka_unit_test(a_file_sets_what_it_names),
        cmocka_unit_test(a_mistake_is_told_with_its_line_and_the_nearest_key),
        cmocka_unit_test(a_file_that_is_not_there_is_empty),
        cmocka_unit_test(at_most_sixteen_addresses),
        cmocka_unit_test(a_private_network_has_no_public_bootstrap_peers),
        cmocka_unit_test(bootstrap_peers_have_an_id_and_a_cap),
        cmocka_unit_test(rendezvous_points_are_different_peers_and_have_a_cap),
        cmocka_unit_test(sizes_and_times_are_exact),
        cmocka_unit_test(no_time_at_all_is_refused_for_every_duration),
        cmocka_unit_test(how_much_traffic_keys_serve_is_a_size_or_never),
        cmocka_unit_test(how_long_sessions_live_is_a_time_or_off),
        cmocka_unit_test(peers_to_keep_are_ids_names_or_addresses_that_say_whose_they_are),
        cmocka_unit_test(a_command_line_may_write_hyphens),
        cmocka_unit_test(suggestions_are_near_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
