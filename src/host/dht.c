/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The DHT of a node: its start, its followers, what it keeps. */
#include "host/dht.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "crypto/hash.h"
#include "host/clock.h"
#include "host/kad_file.h"
#include "mesh/inbound.h"

#define UPKEEP_MS 20000
#define REMEMBER_EVERY KITH_SEC(600)
#define REMEMBERED_MAX \
    (KITH_KAD_BOOTSTRAP_MAX - KITH_DHT_BOOTSTRAP_MAX) /* of earlier; the rest is for the list */
#define PATH_LEN 1100

/* Those that kubo and go-libp2p-kad-dht begin with (its dht_bootstrap.go), but for the one that has QUIC alone. */
static const char *const public_peers[] = {
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmQCU2EcMqAqQPR2i9bChDtGNJchTbq5TbXJJ16u19uLTa",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmbLHAnMoJPWSCR5Zhtx6BHJX9KiKNN6tpvbUcqanj75Nb",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmcZf59bWwK5XFi76CZX8cbJ4BhTzzA3gU1ZjYZcYW3dwt",
    "/ip4/104.131.131.82/tcp/4001/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ",
};

typedef struct follower {
    kith_link link;
    uint64_t op;
    kith_dht_fn fn;
    void *ctx;
} follower;

struct kith_dht {
    kith_dht_config cfg;
    char path[PATH_LEN]; /* "": nothing is kept */
    kith_kad *kad;       /* NULL: not started */
    kith_kad_file *file;
    kith_part puller; /* takes the events out, behind the kad's own part */
    kith_observer watch;
    kith_inbound inbound;
    uv_timer_t timer;
    kith_list followers;
    kith_time remember_at;
    size_t bootstrap, remembered;
    bool attached, waiting, closed;
};

/* ---- settings ---- */

static const char *const mode_names[] = {[KITH_DHT_AUTO] = "auto",
                                         [KITH_DHT_CLIENT] = "client",
                                         [KITH_DHT_SERVER] = "server",
                                         [KITH_DHT_OFF] = "off"};

const char *kith_dht_mode_name(kith_dht_mode m)
{
    return mode_names[m];
}

void kith_dht_settings_default(kith_dht_settings *s)
{
    *s = (kith_dht_settings){.mode = KITH_DHT_AUTO, .protocol = KITH_KAD_ID};
}

bool kith_dht_is_public(const kith_dht_settings *s)
{
    return strcmp(s->protocol, KITH_KAD_ID) == 0 && !s->network[0];
}

bool kith_dht_protocol_ok(const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    }
    return n >= 2 && n <= KITH_DHT_PROTOCOL_MAX && text[0] == '/';
}

kith_err kith_dht_settings_bootstrap(kith_dht_settings *s, const char *text)
{
    kith_maddr a;
    kith_maddr_tcp t;
    if (strcmp(text, "none") == 0) {
        s->own_list = true;
        s->bootstrap_count = 0;
        return KITH_OK;
    }
    if (kith_maddr_from_text(kith_bytes_str(text), &a, NULL) || kith_maddr_to_tcp(&a, &t) || t.peer.len == 0)
        return KITH_EFORMAT;
    if (s->bootstrap_count == KITH_DHT_BOOTSTRAP_MAX)
        return KITH_ELIMIT;
    s->own_list = true;
    s->bootstrap[s->bootstrap_count++] = a;
    return KITH_OK;
}

/* ---- peers to begin with ---- */

static bool add_bootstrap(kith_dht *d, const kith_maddr *a)
{
    kith_peer_id id;
    return kith_maddr_peer(a, &id) &&
           kith_kad_bootstrap(d->kad, kith_host_now(d->cfg.host), &id, a, 1) == KITH_OK;
}

/* A node that nobody but its own machine reaches is there to try something out, and is kept from the world. One that does not listen at
 * all is a command's, which wants an answer. */
static bool is_secluded(kith_host *h)
{
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX];
    size_t n = kith_host_addrs(h, addrs, KITH_RECORD_ADDRS_MAX), loopback = 0;
    for (size_t i = 0; i < n; i++)
        loopback += kith_maddr_scope(&addrs[i]) == KITH_IP_LOOPBACK;
    return n > 0 && loopback == n;
}

/* The configured peers, at once; the public ones as soon as it may be. */
static void add_bootstraps(kith_dht *d)
{
    const kith_dht_settings *s = d->cfg.settings;
    if (d->bootstrap > 0)
        return;
    for (size_t i = 0; s->own_list && i < s->bootstrap_count; i++)
        d->bootstrap += add_bootstrap(d, &s->bootstrap[i]);
    d->waiting = !s->own_list && kith_dht_is_public(s) && (d->cfg.alone || is_secluded(d->cfg.host));
    if (s->own_list || !kith_dht_is_public(s) || d->waiting)
        return;
    for (size_t i = 0; i < sizeof public_peers / sizeof *public_peers; i++) {
        kith_maddr a;
        if (kith_maddr_from_text(kith_bytes_str(public_peers[i]), &a, NULL) == KITH_OK)
            d->bootstrap += add_bootstrap(d, &a);
    }
}

static void on_remembered(void *ctx, const kith_peer_id *id, kith_bytes packed)
{
    kith_dht *d = ctx;
    kith_maddr addrs[KITH_ADDRS_MAX];
    size_t n = kith_addrs_unpack(packed, addrs, KITH_ADDRS_MAX);
    d->remembered += kith_kad_bootstrap(d->kad, kith_host_now(d->cfg.host), id, addrs, n) == KITH_OK;
}

/* ---- upkeep ---- */

static void remember(kith_dht *d)
{
    kith_time now = kith_host_now(d->cfg.host);
    if (d->file)
        kith_kad_file_remember(d->file, kith_kad_table_of(d->kad), now, kith_wall_s());
    d->remember_at = kith_time_after(now, REMEMBER_EVERY);
}

static void look_at_mode(kith_dht *d)
{
    kith_time now = kith_host_now(d->cfg.host);
    bool on = d->cfg.settings->mode == KITH_DHT_SERVER ||
              (d->cfg.settings->mode == KITH_DHT_AUTO &&
               kith_inbound_count(&d->inbound, now) == KITH_INBOUND_GROUPS);
    if (on == kith_kad_is_server(d->kad))
        return;
    if (kith_kad_set_server(d->kad, now, on) == KITH_OK)
        kith_host_kick(d->cfg.host);
}

static void on_timer(uv_timer_t *t)
{
    kith_dht *d = t->data;
    kith_time now = kith_host_now(d->cfg.host);
    kith_kad_set_clock(d->kad, now, kith_wall_s());
    add_bootstraps(d);
    look_at_mode(d);
    if (now >= d->remember_at)
        remember(d);
    kith_host_kick(d->cfg.host);
}

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    kith_dht *d = ctx;
    kith_conn_facts f;
    if (ev->kind != KITH_NODE_CONNECTED)
        return;
    kith_conn_facts_get(ev->conn, &f);
    if (f.inbound)
        kith_inbound_note(&d->inbound, kith_host_now(h), kith_kad_group(&f.remote));
}

/* ---- followers ---- */

static void tell(kith_dht *d, const kith_kad_event *ev)
{
    KITH_EACH (&d->followers, l) {
        follower *f = KITH_OF(l, follower, link);
        if (f->op != ev->op)
            continue;
        kith_dht_fn fn = f->fn;
        void *ctx = f->ctx;
        if (ev->kind == KITH_KAD_DONE) {
            kith_link_remove(&f->link);
            free(f);
        }
        fn(ctx, ev);
        return;
    }
}

static bool pull(void *self, kith_time now)
{
    kith_dht *d = self;
    kith_kad_event ev;
    bool any = false;
    (void)now;
    while (kith_kad_next(d->kad, &ev)) {
        any = true;
        tell(d, &ev);
    }
    return any;
}

static const kith_part_ops puller_ops = {.act = pull};

kith_err kith_dht_follow(kith_dht *d, uint64_t op, kith_dht_fn fn, void *ctx)
{
    follower *f = calloc(1, sizeof *f);
    if (!f) {
        kith_kad_cancel(d->kad, kith_host_now(d->cfg.host), op);
        return KITH_ENOMEM;
    }
    *f = (follower){.op = op, .fn = fn, .ctx = ctx};
    kith_list_push(&d->followers, &f->link);
    kith_host_kick(d->cfg.host);
    return KITH_OK;
}

void kith_dht_cancel(kith_dht *d, uint64_t op)
{
    KITH_EACH (&d->followers, l) {
        follower *f = KITH_OF(l, follower, link);
        if (f->op != op)
            continue;
        kith_link_remove(&f->link);
        free(f);
        kith_kad_cancel(d->kad, kith_host_now(d->cfg.host), op);
        kith_host_kick(d->cfg.host);
        return;
    }
}

void kith_dht_keep_provided(kith_dht *d, kith_bytes key, bool on)
{
    if (d->file)
        kith_kad_file_provide(d->file, key, on);
}

/* ---- the start ---- */

/* Each network has its own file: its peers and records are nothing to another. */
static void make_path(kith_dht *d, const char *file)
{
    uint8_t hash[KITH_SHA256_LEN];
    char tag[20] = "";
    const kith_dht_settings *s = d->cfg.settings;
    if (!kith_dht_is_public(s)) {
        kith_sha256_2(kith_bytes_str(s->protocol), kith_bytes_str(s->network), hash);
        snprintf(tag, sizeof tag, "-%02x%02x%02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3], hash[4],
                 hash[5]);
    }
    int n = file ? snprintf(d->path, sizeof d->path, "%s%s.db", file, tag) : 0;
    if (n < 0 || (size_t)n >= sizeof d->path)
        d->path[0] = '\0';
}

static void warn(const kith_dht *d, const char *what, const char *why)
{
    char line[PATH_LEN + 256];
    if (d->cfg.log && snprintf(line, sizeof line, "the DHT's file %s %s%s", d->path, what, why) > 0)
        d->cfg.log(d->cfg.log_ctx, line);
}

static void open_file(kith_dht *d)
{
    bool damaged = false;
    const char *why = NULL;
    if (!d->path[0])
        return;
    d->file = kith_kad_file_open(kith_host_loop(d->cfg.host), d->path, &damaged, &why);
    if (damaged)
        warn(d, "was damaged, and is now beside it as .damaged; a new one was begun", "");
    if (!d->file)
        warn(d, "cannot be used, so nothing is remembered: ", why ? why : "no memory");
}

static void on_provided(void *ctx, kith_bytes key)
{
    kith_dht *d = ctx;
    if (kith_kad_provide_again(d->kad, kith_host_now(d->cfg.host), key))
        return; /* a key that cannot be, as whoever can write the file can write anything */
}

static void on_conduct(void *ctx, const kith_peer_id *peer, kith_conduct what)
{
    const kith_dht *d = ctx;
    kith_host_conduct(d->cfg.host, peer, what);
}

bool kith_dht_start(kith_dht *d)
{
    kith_time now = kith_host_now(d->cfg.host);
    if (d->closed || d->kad)
        return !d->closed;
    kith_kad_config cfg;
    kith_kad_config_default(&cfg);
    cfg.env = *kith_host_env();
    cfg.node = kith_host_node(d->cfg.host);
    cfg.protocol = kith_bytes_str(d->cfg.settings->protocol);
    cfg.server = d->cfg.settings->mode == KITH_DHT_SERVER;
    cfg.conduct = on_conduct;
    cfg.conduct_ctx = d;
    open_file(d);
    if (d->file)
        kith_kad_file_watch(d->file, &cfg.store);
    d->kad = kith_kad_new(&cfg, now);
    if (!d->kad) {
        kith_kad_file_close(d->file);
        d->file = NULL;
        return false;
    }
    kith_kad_set_clock(d->kad, now, kith_wall_s());
    kith_host_attach(d->cfg.host,
                     &d->puller); /* the last attached acts first, and each acts until none does */
    kith_host_attach(d->cfg.host, kith_kad_part(d->kad));
    d->attached = true;
    kith_host_observe(d->cfg.host, &d->watch);
    add_bootstraps(d);
    if (d->file) {
        kith_kad_file_peers(d->file, REMEMBERED_MAX, on_remembered, d);
        kith_kad_file_provided(d->file, on_provided, d);
        (void)kith_kad_file_load(d->file, kith_kad_store_of(d->kad), kith_wall_s());
    }
    d->remember_at = kith_time_after(now, REMEMBER_EVERY);
    uv_timer_init(kith_host_loop(d->cfg.host), &d->timer);
    d->timer.data = d;
    uv_timer_start(&d->timer, on_timer, UPKEEP_MS, UPKEEP_MS);
    kith_host_kick(d->cfg.host);
    return true;
}

kith_kad *kith_dht_kad(kith_dht *d)
{
    return d && kith_dht_start(d) ? d->kad : NULL;
}

kith_kad *kith_dht_kad_at_hand(kith_dht *d)
{
    if (!d || d->closed || (!d->kad && !(d->cfg.settings->own_list && kith_dht_start(d))))
        return NULL;
    return d->bootstrap + d->remembered + kith_kad_look(d->kad).peers > 0 ? d->kad : NULL;
}

/* ---- life ---- */

kith_dht *kith_dht_new(const kith_dht_config *cfg)
{
    kith_dht *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->cfg = *cfg;
    make_path(d, cfg->file);
    d->cfg.file = NULL;
    d->puller = (kith_part){.ops = &puller_ops, .self = d};
    d->watch = (kith_observer){.event = on_event, .ctx = d};
    kith_list_init(&d->followers);
    return d;
}

void kith_dht_close(kith_dht *d)
{
    if (!d || d->closed)
        return;
    d->closed = true;
    if (d->kad)
        uv_close((uv_handle_t *)&d->timer, NULL);
    for (kith_link *l; (l = kith_list_first(&d->followers));) {
        kith_kad_event ev = {.kind = KITH_KAD_DONE,
                             .op = KITH_OF(l, follower, link)->op,
                             .err = KITH_ECLOSED,
                             .why = "the node is stopping"};
        tell(d, &ev);
    }
}

void kith_dht_save(kith_dht *d)
{
    if (!d || !d->attached)
        return;
    d->attached = false;
    kith_host_detach(d->cfg.host, kith_kad_part(d->kad));
    kith_host_detach(d->cfg.host, &d->puller);
    kith_host_unobserve(d->cfg.host, &d->watch);
    remember(d);
    kith_kad_file_close(d->file);
    d->file = NULL;
}

void kith_dht_free(kith_dht *d)
{
    if (!d)
        return;
    kith_kad_free(d->kad);
    free(d);
}

/* ---- looking ---- */

bool kith_dht_is_started(const kith_dht *d)
{
    return d && d->kad;
}

kith_dht_facts kith_dht_look(const kith_dht *d)
{
    return (kith_dht_facts){.mode = d->cfg.settings->mode,
                            .started = d->kad != NULL,
                            .server = d->kad && kith_kad_is_server(d->kad),
                            .bootstrap = d->bootstrap,
                            .remembered = d->remembered,
                            .waiting = d->waiting,
                            .public_networks = kith_inbound_count(&d->inbound, kith_host_now(d->cfg.host))};
}

const kith_dht_settings *kith_dht_settings_of(const kith_dht *d)
{
    return d->cfg.settings;
}
