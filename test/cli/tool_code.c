/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A node that is found by a code, or looks for one who is; for the tests of networks and DHT, without anything that is shared.
 *
 *     tool_code publish|find CODE ADDR SHIFT mdns|- [PROTOCOL BOOTSTRAP]
 *
 * ADDR: a multiaddr to listen on, or -. SHIFT: seconds by which the wall clock is wrong. PROTOCOL, BOOTSTRAP: of the DHT; without them it is off.
 * Prints a line of JSON for all that happens, until it is killed. */
#include <stdio.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "host/clock.h"
#include "host/code_find.h"
#include "host/code_publish.h"

static kith_host *host;
static kith_lan *lan;
static kith_dht *dht;
static bool publishing;
static long shift;

static void die(const char *why)
{
    fprintf(stderr, "tool_code: %s\n", why);
    exit(1);
}

static uint64_t wall(void)
{
    return kith_wall_s() + (uint64_t)shift;
}

static void say(const char *text)
{
    puts(text);
    fflush(stdout);
}

static void on_told(void *ctx, unsigned reached, const char *why)
{
    char line[400];
    (void)ctx;
    snprintf(line, sizeof line, "{\"event\":\"told\",\"reached\":%u,\"why\":\"%s\"}", reached,
             why ? why : "");
    say(line);
}

static void on_found(void *ctx, const kith_code_candidate *c)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1], addr[KITH_MADDR_TEXT_MAX + 1] = "";
    (void)ctx;
    kith_peer_id_text(&c->peer, peer);
    if (c->addr_count > 0)
        kith_maddr_text(&c->addrs[0], addr);
    printf("{\"event\":\"found\",\"source\":\"%s\",\"peer\":\"%s\",\"count\":%zu,\"addr\":\"%s\"}\n",
           kith_code_source_name(c->source), peer, c->addr_count, addr);
    fflush(stdout);
}

static void on_keys(void *ctx, kith_err e, const kith_code_keys *keys, bool whole)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1], line[200];
    (void)ctx;
    if (e)
        die("no memory");
    if (whole)
        return;
    kith_peer_id_text(kith_node_id(kith_host_node(host)), peer);
    snprintf(line, sizeof line, "{\"event\":\"ready\",\"peer\":\"%s\"}", peer);
    say(line);
    kith_code_publish_config p = {.host = host, .lan = lan, .dht = dht, .wall = wall, .told = on_told};
    kith_code_find_config f = {.host = host,
                               .lan = lan,
                               .dht = dht,
                               .wall = wall,
                               .found = on_found,
                               .protocols = {kith_bytes_str("/test/none")}};
    memcpy(p.place, keys->place, sizeof p.place);
    memcpy(f.place, keys->place, sizeof f.place);
    if (publishing ? !kith_code_publish_new(&p) : !kith_code_find_new(&f))
        die("no memory");
}

int main(int argc, char **argv)
{
    static kith_dht_settings settings;
    kith_host_config cfg = {0};
    kith_code code;
    kith_maddr at, bound;
    char note[KITH_CODE_NOTE_MAX + 1];
    uint8_t seed[KITH_ED25519_SEED_LEN];
    const char *why = NULL;
    if (argc < 6 || kith_crypto_init())
        die("publish|find CODE ADDR SHIFT mdns|- [PROTOCOL BOOTSTRAP]");
    publishing = strcmp(argv[1], "publish") == 0;
    if (kith_code_parse(kith_bytes_str(argv[2]), &code, note))
        die(note);
    shift = strtol(argv[4], NULL, 10);
    kith_node_config_default(&cfg.node);
    kith_random_os().fn(NULL, kith_span_of(seed, sizeof seed));
    cfg.node.signer = kith_signer_new(seed);
    cfg.node.agent = "tool_code";
    host = kith_host_new(&cfg, &why);
    if (!host)
        die(why);
    if (argv[3][0] != '-' &&
        (kith_maddr_from_text(kith_bytes_str(argv[3]), &at, NULL) || kith_host_listen(host, &at, &bound)))
        die("cannot listen there");
    if (argv[5][0] != '-')
        lan = kith_lan_new(&(kith_lan_config){.host = host});
    if (argc > 7) {
        kith_dht_settings_default(&settings);
        settings.mode = KITH_DHT_CLIENT;
        settings.own_list = true;
        snprintf(settings.protocol, sizeof settings.protocol, "%s", argv[6]);
        if (kith_dht_settings_bootstrap(&settings, argv[7]))
            die("not a bootstrap peer");
        dht = kith_dht_new(&(kith_dht_config){.host = host, .settings = &settings});
    }
    if (!kith_code_work_new(kith_host_loop(host), &code, on_keys, NULL))
        die("no memory");
    kith_host_run(host);
    return 0;
}
