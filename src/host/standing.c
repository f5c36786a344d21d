/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Who feeds the reputation, and who heeds it. */
#include "host/standing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/clock.h"
#include "host/json.h"
#include "host/reputation_file.h"
#include "host/trust_methods.h"

#define LOOK_MS 1000 /* at gossip, at round trips, at who is to be throttled */
#define RTT_EVERY 30 /* looks from one note of a round trip to the next */
#define STEADY KITH_SEC(600)
#define ANSWERED_MAX 1024 /* addresses at which peers answered us; of two in one slot the later is known */

struct kith_standing {
    kith_standing_config cfg;
    kith_reputation *r;
    kith_reputation_file *file; /* NULL: none */
    kith_observer watch;
    kith_gossip *gossip;
    uv_timer_t look,
        soon; /* the other: for what is to be carried out, since who notes may be inside the node */
    unsigned looks;
    uint64_t seed[2];
    uint64_t answered[ANSWERED_MAX]; /* hashes of peer and address */
    bool closed;
};

/* ---- heeding ---- */

static bool is_exempt(void *ctx, const kith_peer_id *peer)
{
    const kith_standing *s = ctx;
    const kith_trust_row *row = s->cfg.trust ? kith_trust_find(s->cfg.trust, peer) : NULL;
    return row && kith_trust_kept(row);
}

static void when_text(uint64_t unix, char out[32])
{
    time_t t = (time_t)unix;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm))
        out[0] = '\0';
}

/* The kind that weighs most against it. */
static const char *worst(const kith_reputation_facts *f)
{
    int at = 0;
    for (int k = 1; k < KITH_CONDUCTS; k++)
        at = f->points[k] < f->points[at] ? k : at;
    return kith_conduct_name((kith_conduct)at);
}

/* kith_trust_gate */
static kith_err on_gate(void *ctx, const kith_peer_id *peer, char why[KITH_REASON_MAX])
{
    const kith_standing *s = ctx;
    kith_reputation_facts f;
    char id[KITH_PEER_ID_TEXT_MAX + 1], when[32];
    if (!kith_reputation_look(s->r, peer, kith_wall_s(), &f) || !f.banned_until ||
        is_exempt((void *)(uintptr_t)s, peer))
        return KITH_OK;
    kith_peer_id_text(peer, id);
    when_text(f.banned_until, when);
    snprintf(why, KITH_REASON_MAX,
             "%s is banned until %s for what it did, most of all %s; 'kith trust unban %s' lets it in", id,
             when, worst(&f), id);
    return KITH_EPOLICY;
}

static void send_away(kith_standing *s, const kith_peer_id *peer)
{
    kith_node *n = kith_host_node(s->cfg.host);
    kith_conn_facts f;
    for (kith_conn *c = NULL; (c = kith_node_conn_next(n, c));) {
        kith_conn_facts_get(c, &f);
        if (f.open && kith_peer_id_eq(&f.peer, peer))
            kith_node_send_away(n, kith_host_now(s->cfg.host), c);
    }
    kith_host_kick(s->cfg.host);
}

static void carry_out(kith_standing *s)
{
    kith_peer_id peer;
    kith_reputation_facts f;
    while (kith_reputation_next_banned(s->r, &peer)) {
        if (!kith_reputation_look(s->r, &peer, kith_wall_s(), &f) || !f.banned_until)
            continue; /* a note of long ago: it is over */
        if (s->cfg.banned)
            s->cfg.banned(s->cfg.banned_ctx, &peer, &f);
        send_away(s, &peer);
    }
}

static void on_soon(uv_timer_t *t)
{
    carry_out(t->data);
}

void kith_standing_note(kith_standing *s, const kith_peer_id *peer, kith_conduct kind)
{
    if (s->closed)
        return;
    kith_reputation_note(s->r, peer, kind, kith_wall_s());
    uv_timer_start(&s->soon, on_soon, 0, 0);
}

/* ---- feeding ---- */

static uint64_t place_of(const kith_standing *s, const kith_peer_id *peer, const kith_maddr *addr)
{
    return (kith_hash(s->seed, kith_peer_id_bytes(peer)) ^ kith_hash(s->seed, kith_maddr_bytes(addr))) | 1;
}

static uint64_t *slot_of(kith_standing *s, uint64_t place)
{
    return &s->answered[(place >> 1) % ANSWERED_MAX];
}

static void on_connected(kith_standing *s, const kith_conn_facts *f)
{
    if (f->inbound)
        return;
    uint64_t place = place_of(s, &f->peer, &f->remote);
    *slot_of(s, place) = place;
    kith_standing_note(s, &f->peer, KITH_CONDUCT_CONNECTED);
}

static void on_disconnected(kith_standing *s, const kith_conn_facts *f)
{
    if (f->broke)
        kith_standing_note(s, &f->peer, KITH_CONDUCT_PROTOCOL);
    else if (kith_host_now(s->cfg.host) - f->opened_at >= STEADY)
        kith_standing_note(s, &f->peer, KITH_CONDUCT_STEADY);
}

/* Only where it had answered us: an address that somebody else gave says nothing of the peer. */
static void on_missed(kith_standing *s, const kith_node_event *ev)
{
    kith_maddr addr = ev->addr;
    if (kith_maddr_set_peer(&addr, NULL))
        return;
    uint64_t place = place_of(s, &ev->peer, &addr);
    if (*slot_of(s, place) == place)
        kith_standing_note(s, &ev->peer, KITH_CONDUCT_UNREACHED);
}

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    kith_standing *s = ctx;
    kith_conn_facts f;
    (void)h;
    if (ev->kind == KITH_NODE_CLOSE) {
        on_missed(s, ev);
    } else if (ev->kind == KITH_NODE_CONNECTED || ev->kind == KITH_NODE_DISCONNECTED) {
        kith_conn_facts_get(ev->conn, &f);
        if (ev->kind == KITH_NODE_CONNECTED)
            on_connected(s, &f);
        else
            on_disconnected(s, &f);
    }
}

static void on_conduct(void *ctx, const kith_peer_id *peer, kith_conduct kind)
{
    kith_standing_note(ctx, peer, kind);
}

static void on_look(uv_timer_t *t)
{
    kith_standing *s = t->data;
    kith_node *n = kith_host_node(s->cfg.host);
    kith_conn_facts f;
    kith_reputation_facts known;
    uint64_t unix = kith_wall_s();
    bool rtt = ++s->looks % RTT_EVERY == 0;
    for (kith_conn *c = NULL; (c = kith_node_conn_next(n, c));) {
        kith_conn_facts_get(c, &f);
        if (!f.open)
            continue;
        if (rtt && f.rtt)
            kith_reputation_rtt(s->r, &f.peer, f.rtt, unix);
        if (s->gossip)
            kith_reputation_gossip(s->r, &f.peer, kith_gossip_misconduct_of(s->gossip, &f.peer), unix);
        kith_node_throttle(c, kith_reputation_look(s->r, &f.peer, unix, &known) && known.throttled);
    }
    carry_out(s);
}

void kith_standing_watch_gossip(kith_standing *s, kith_gossip *router)
{
    s->gossip = router;
}

/* ---- looking ---- */

int32_t kith_standing_score(const kith_standing *s, const kith_peer_id *peer)
{
    return kith_reputation_score(s->r, peer, kith_wall_s());
}

bool kith_standing_avoids(void *ctx, const kith_peer_id *peer)
{
    const kith_standing *s = ctx;
    kith_reputation_facts f;
    return kith_reputation_look(s->r, peer, kith_wall_s(), &f) && (f.throttled || f.banned_until) &&
           !is_exempt(ctx, peer);
}

bool kith_standing_lift(kith_standing *s, const kith_peer_id *peer)
{
    return kith_reputation_lift(s->r, peer, kith_wall_s());
}

static json_t *json_of(const kith_reputation_facts *f)
{
    json_t *reasons = json_array();
    for (int k = 0; k < KITH_CONDUCTS; k++) {
        if (f->counts[k])
            json_array_append_new(reasons,
                                  json_pack("{s:s, s:I, s:f}", "kind", kith_conduct_name((kith_conduct)k),
                                            "count", (json_int_t)f->counts[k], "points",
                                            f->points[k] / (double)KITH_REPUTATION_POINT));
    }
    json_t *o = json_pack("{s:f, s:b, s:I, s:I, s:o}", "score", f->score / (double)KITH_REPUTATION_POINT,
                          "throttled", (int)f->throttled, "banned_until", (json_int_t)f->banned_until, "bans",
                          (json_int_t)f->bans, "reasons", reasons);
    json_object_set_new(o, "rtt_ms", f->rtt ? json_real((double)f->rtt / 1e6) : json_null());
    return o;
}

json_t *kith_standing_json(const kith_standing *s, const kith_peer_id *peer)
{
    kith_reputation_facts f;
    return kith_reputation_look(s->r, peer, kith_wall_s(), &f) ? json_of(&f) : json_null();
}

json_t *kith_standing_banned_json(const kith_standing *s)
{
    kith_reputation_facts f;
    json_t *list = json_array();
    for (size_t i = 0; kith_reputation_at(s->r, i, kith_wall_s(), &f); i++) {
        if (!f.banned_until)
            continue;
        json_t *o = json_of(&f);
        json_object_set_new(o, "peer", kith_json_peer(&f.peer));
        kith_json_add_trust(o, s->cfg.trust, &f.peer);
        json_array_append_new(list, o);
    }
    return list;
}

/* ---- life ---- */

/* What another process has seen. */
static void on_note(void *ctx)
{
    kith_standing *s = ctx;
    if (!s->closed)
        carry_out(s);
}

static void open_file(kith_standing *s)
{
    char line[512];
    const char *why;
    s->file = kith_reputation_file_open(kith_host_loop(s->cfg.host), s->cfg.path, s->r, kith_wall_s(), &why);
    if (s->file) {
        kith_reputation_file_on_trouble(s->file, s->cfg.log, s->cfg.log_ctx);
        kith_reputation_file_on_note(s->file, on_note, s);
    } else if (s->cfg.log) {
        snprintf(line, sizeof line, "what is thought of peers is not kept: %.300s: %.100s", s->cfg.path, why);
        s->cfg.log(s->cfg.log_ctx, line);
    }
}

kith_standing *kith_standing_new(const kith_standing_config *cfg)
{
    kith_standing *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->cfg = *cfg;
    kith_reputation_config r;
    kith_reputation_config_default(&r);
    r.env = *kith_host_env();
    r.exempt = is_exempt;
    r.ctx = s;
    s->r = kith_reputation_new(&r);
    if (!s->r) {
        free(s);
        return NULL;
    }
    s->seed[0] = kith_rand_u64(kith_host_env());
    s->seed[1] = kith_rand_u64(kith_host_env());
    if (cfg->path)
        open_file(s);
    if (cfg->trust)
        kith_trust_set_gate(cfg->trust, on_gate, s);
    s->watch = (kith_observer){.event = on_event, .ctx = s};
    kith_host_observe(cfg->host, &s->watch);
    kith_host_on_conduct(cfg->host, on_conduct, s);
    uv_timer_init(kith_host_loop(cfg->host), &s->look);
    uv_timer_init(kith_host_loop(cfg->host), &s->soon);
    s->look.data = s->soon.data = s;
    uv_timer_start(&s->look, on_look, LOOK_MS, LOOK_MS);
    return s;
}

void kith_standing_close(kith_standing *s)
{
    if (!s || s->closed)
        return;
    s->closed = true;
    s->gossip = NULL;
    kith_host_unobserve(s->cfg.host, &s->watch);
    kith_host_on_conduct(s->cfg.host, NULL, NULL);
    if (s->cfg.trust)
        kith_trust_set_gate(s->cfg.trust, NULL, NULL);
    uv_close((uv_handle_t *)&s->look, NULL);
    uv_close((uv_handle_t *)&s->soon, NULL);
}

void kith_standing_free(kith_standing *s)
{
    if (!s)
        return;
    kith_reputation_file_close(s->file);
    kith_reputation_free(s->r);
    free(s);
}
