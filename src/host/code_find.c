/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The race of networks, DHT and connections for whoever has a code. */
#include "host/code_find.h"

#include <stdio.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "host/clock.h"
#include "host/code_call.h"

#define KEYS 3                /* the half hour before, this one, the next */
#define RETRY_MIN KITH_SEC(1) /* the DHT may be joined only just now */
#define RETRY_MAX KITH_SEC(20)
#define LOOK_MS 1000 /* at the clock and the connections */

typedef struct sought {
    kith_code_find *owner;
    uint8_t hash[KITH_CODE_HASH_LEN];
    uint64_t op; /* in the DHT; 0: none */
    kith_time ask_at, retry;
} sought;

typedef struct known {
    kith_peer_id peer;
    bool told[KITH_CODE_SOURCES];
} known;

struct kith_code_find {
    kith_code_find_config cfg;
    sought keys[KEYS];
    uint64_t bucket; /* whose keys and neighbours' they are */
    bool looking;
    kith_lan_seek seek;
    known known[KITH_CODE_CANDIDATES_MAX];
    size_t known_count, remembered;
    kith_code_call *call; /* NULL: nobody is called */
    uv_timer_t timer;
    bool ended;
};

const char *kith_code_source_text(kith_code_source s)
{
    static const char *const texts[] = {"on this network", "by the DHT", "among the connected peers",
                                        "by calling a peer that is remembered"};
    return texts[s];
}

const char *kith_code_source_name(kith_code_source s)
{
    static const char *const names[] = {"mdns", "dht", "connected", "remembered"};
    return names[s];
}

/* Whether the peer was not told yet as of that source, and may be. */
static bool is_news(kith_code_find *f, const kith_peer_id *peer, kith_code_source source)
{
    size_t i = 0;
    while (i < f->known_count && !kith_peer_id_eq(&f->known[i].peer, peer))
        i++;
    if (f->ended || i == KITH_CODE_CANDIDATES_MAX ||
        kith_peer_id_eq(peer, kith_node_id(kith_host_node(f->cfg.host))))
        return false;
    if (i == f->known_count)
        f->known[f->known_count++] = (known){.peer = *peer};
    bool news = !f->known[i].told[source];
    f->known[i].told[source] = true;
    return news;
}

static void on_lan(void *ctx, const kith_peer_id *peer)
{
    kith_code_find *f = ctx;
    kith_code_candidate c = {.peer = *peer, .source = KITH_CODE_LAN};
    c.addr_count = kith_lan_addrs(f->cfg.lan, peer, c.addrs, KITH_CODE_ADDRS_MAX);
    if (is_news(f, peer, KITH_CODE_LAN))
        f->cfg.found(f->cfg.ctx, &c);
}

static void plan(kith_code_find *f);

static void on_dht(void *ctx, const kith_kad_event *ev)
{
    sought *k = ctx;
    kith_code_find *f = k->owner;
    if (ev->kind == KITH_KAD_DONE) {
        k->op = 0;
        k->ask_at = kith_host_now(f->cfg.host) + k->retry;
        k->retry = kith_time_min(2 * k->retry, RETRY_MAX);
        plan(f);
        return;
    }
    kith_code_candidate c = {.peer = ev->peers[0].id, .source = KITH_CODE_DHT};
    c.addr_count = kith_addrs_unpack(kith_addrs_bytes(&ev->peers[0].addrs), c.addrs, KITH_CODE_ADDRS_MAX);
    if (is_news(f, &c.peer, KITH_CODE_DHT))
        f->cfg.found(f->cfg.ctx, &c);
}

static void look_at_connections(kith_code_find *f)
{
    kith_code_candidate c = {0};
    if (f->call)
        kith_code_call_tick(f->call);
    for (kith_conn *n = NULL; (n = kith_node_conn_next(kith_host_node(f->cfg.host), n)) && !f->ended;) {
        kith_conn_facts facts;
        kith_conn_facts_get(n, &facts);
        if (!facts.open || !kith_code_speaks(n, f->cfg.protocols))
            continue;
        c.addr_count = 0;
        c.source = kith_code_call_knows(f->call, &facts.peer, c.addrs, KITH_CODE_ADDRS_MAX, &c.addr_count)
                       ? KITH_CODE_REMEMBERED
                       : KITH_CODE_CONNECTED;
        bool called = c.source == KITH_CODE_REMEMBERED;
        if ((called && f->remembered == KITH_CODE_REMEMBERED_MAX) || !is_news(f, &facts.peer, c.source))
            continue;
        f->remembered += called;
        c.peer = facts.peer;
        f->cfg.found(f->cfg.ctx, &c);
    }
}

static void ask(kith_code_find *f, sought *k)
{
    kith_time now = kith_host_now(f->cfg.host);
    kith_kad *kad = kith_dht_kad(f->cfg.dht);
    k->ask_at = now + k->retry;
    if (!kad || kith_kad_find_providers(kad, now, kith_bytes_of(k->hash, sizeof k->hash),
                                        KITH_CODE_CANDIDATES_MAX, &k->op))
        return;
    if (kith_dht_follow(f->cfg.dht, k->op, on_dht, k))
        k->op = 0;
}

static void stop(kith_code_find *f)
{
    if (f->cfg.lan)
        kith_lan_seek_end(f->cfg.lan, &f->seek);
    for (size_t i = 0; i < KEYS; i++) {
        if (f->keys[i].op)
            kith_dht_cancel(f->cfg.dht, f->keys[i].op);
    }
}

/* What is looked for is what the clock wants. */
static void turn(kith_code_find *f)
{
    uint64_t bucket = kith_code_bucket(f->cfg.wall ? f->cfg.wall() : kith_wall_s());
    if (f->looking && f->bucket == bucket)
        return;
    stop(f);
    f->looking = true;
    f->bucket = bucket;
    f->seek = (kith_lan_seek){.count = KEYS, .found = on_lan, .ctx = f};
    for (size_t i = 0; i < KEYS; i++) { /* the likely one first; no matter what the one before 1970 is */
        sought *k = &f->keys[i];
        *k = (sought){.owner = f, .retry = RETRY_MIN};
        kith_code_hash(f->cfg.place, bucket + (i == 1 ? UINT64_MAX : i / 2), k->hash);
        memcpy(f->seek.keys[i], k->hash + 2, KITH_CODE_KEY_LEN);
    }
    if (f->cfg.lan)
        (void)kith_lan_seek_begin(f->cfg.lan, &f->seek);
}

static void on_timer(uv_timer_t *t)
{
    kith_code_find *f = t->data;
    turn(f);
    if (!f->ended)
        look_at_connections(f);
    for (size_t i = 0; i < KEYS && !f->ended; i++) {
        sought *k = &f->keys[i];
        if (f->cfg.dht && !k->op && k->ask_at <= kith_host_now(f->cfg.host))
            ask(f, k);
    }
    if (!f->ended)
        plan(f);
}

static void plan(kith_code_find *f)
{
    kith_time now = kith_host_now(f->cfg.host), at = now + KITH_MS(LOOK_MS);
    for (size_t i = 0; i < KEYS; i++) {
        if (f->cfg.dht && !f->keys[i].op)
            at = kith_time_min(at, f->keys[i].ask_at);
    }
    uv_timer_start(&f->timer, on_timer, at > now ? (at - now) / 1000000u + 1 : 1, 0);
}

kith_code_find *kith_code_find_new(const kith_code_find_config *cfg)
{
    kith_code_find *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->cfg = *cfg;
    if (cfg->book) /* without memory the others are asked all the same */
        f->call = kith_code_call_new(cfg->host, cfg->book, cfg->trust, cfg->protocols);
    uv_timer_init(kith_host_loop(cfg->host), &f->timer);
    f->timer.data = f;
    uv_timer_start(&f->timer, on_timer, 0, 0);
    return f;
}

static void on_closed(uv_handle_t *h)
{
    kith_code_find *f = h->data;
    kith_wipe(f, sizeof *f);
    free(f);
}

void kith_code_find_end(kith_code_find *f)
{
    if (!f || f->ended)
        return;
    f->ended = true;
    stop(f);
    kith_code_call_end(f->call);
    f->call = NULL;
    uv_close((uv_handle_t *)&f->timer, on_closed);
}

bool kith_code_find_is_nowhere(const kith_code_find *f)
{
    return !f->cfg.lan && !f->cfg.dht && kith_code_call_is_idle(f->call) &&
           kith_node_conn_count(kith_host_node(f->cfg.host)) == 0;
}

void kith_code_find_state(const kith_code_find *f, char out[KITH_CODE_STATE_MAX + 1])
{
    kith_kad *kad = f->cfg.dht && kith_dht_is_started(f->cfg.dht) ? kith_dht_kad(f->cfg.dht) : NULL;
    size_t peers = kad ? kith_kad_look(kad).peers : 0, called = kith_code_call_count(f->call);
    const char *lan = f->cfg.lan ? "looking on this network; " : "";
    char calls[64] = "";
    if (called > 0)
        (void)snprintf(calls, sizeof calls, "; calling %zu remembered peer%s", called,
                       called == 1 ? "" : "s");
    if (kad && peers > 0)
        (void)snprintf(out, KITH_CODE_STATE_MAX + 1, "%sasking the DHT (%zu peer%s)%s", lan, peers,
                       peers == 1 ? "" : "s", calls);
    else
        (void)snprintf(out, KITH_CODE_STATE_MAX + 1, "%s%s%s", lan,
                       f->cfg.dht   ? "joining the DHT"
                       : f->cfg.lan ? "the DHT is off"
                       : called > 0
                           ? "mdns and dht are off"
                           : "there is nowhere to look: mdns and dht are off, and no peer is remembered",
                       calls);
}
