/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A node's registrations at points, who else is there, and to whom of them it is connected. */
#include "host/rendezvous.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/text.h"
#include "host/clock.h"
#include "host/json.h"
#include "host/met.h"

#define UPKEEP_MS 10000
#define RETRY_MIN KITH_SEC(10) /* of a peer found there */
#define RETRY_MAX KITH_SEC(900)
#define LEAVE_MS 1000

typedef struct follower {
    kith_link link;
    uint64_t id;
    kith_rendezvous_fn fn;
    void *ctx;
} follower;

struct kith_rendezvous {
    kith_rendezvous_config cfg;
    kith_rdv *rdv;     /* NULL: not asked yet */
    kith_point *point; /* NULL: no server */
    kith_part part;
    kith_met *met; /* who is registered where we are; NULL: nobody has asked */
    uv_timer_t timer;
    kith_list followers;
    kith_rendezvous_found found;
    void *found_ctx;
    bool (*avoid)(void *ctx, const kith_peer_id *peer);
    void *avoid_ctx;
    void (*left)(void *ctx); /* not NULL: the points are being told that this node goes */
    void *left_ctx;
    const char *refusals[KITH_RDV_POINTS_MAX]; /* what was warned of */
    bool staying, left_once, attached, closed;
};

/* ---- settings ---- */

void kith_rendezvous_settings_default(kith_rendezvous_settings *s)
{
    *s = (kith_rendezvous_settings){.registrations = KITH_POINT_MAX, .connect = 8};
    snprintf(s->ns, sizeof s->ns, "kith");
}

kith_err kith_rendezvous_settings_point(kith_rendezvous_settings *s, const char *text)
{
    kith_maddr a;
    kith_maddr_tcp t;
    kith_peer_id id, other;
    if (kith_maddr_from_text(kith_bytes_str(text), &a, NULL) || kith_maddr_to_tcp(&a, &t) ||
        t.peer.len == 0 || !kith_maddr_peer(&a, &id))
        return KITH_EFORMAT;
    for (size_t i = 0; i < s->point_count; i++) {
        if (kith_maddr_peer(&s->points[i], &other) && kith_peer_id_eq(&id, &other))
            return KITH_EEXISTS;
    }
    if (s->point_count == KITH_RDV_POINTS_MAX)
        return KITH_ELIMIT;
    s->points[s->point_count++] = a;
    return KITH_OK;
}

bool kith_rendezvous_ns_ok(const char *text)
{
    size_t n = strlen(text);
    return n > 0 && n <= KITH_RDV_NS_MAX && kith_text_clean(kith_bytes_str(text));
}

static kith_time now_of(const kith_rendezvous *r)
{
    return kith_host_now(r->cfg.host);
}

/* ---- the points ---- */

static void on_timer(uv_timer_t *t)
{
    kith_rendezvous *r = t->data;
    (void)kith_met_tick(r->met);
    kith_host_kick(r->cfg.host);
}

static void on_known(kith_rendezvous *r, const kith_rdv_event *ev)
{
    kith_maddr addrs[KITH_ADDRS_MAX];
    bool fresh =
        kith_met_add(r->met, &ev->peer, &ev->addrs, now_of(r), kith_time_after(now_of(r), KITH_SEC(ev->ttl)));
    (void)kith_met_tick(r->met);
    if (fresh && r->found)
        r->found(r->found_ctx, &ev->peer, addrs,
                 kith_addrs_unpack(kith_addrs_bytes(&ev->addrs), addrs, KITH_ADDRS_MAX));
}

static void tell(kith_rendezvous *r, const kith_rdv_event *ev)
{
    KITH_EACH (&r->followers, l) {
        follower *f = KITH_OF(l, follower, link);
        if (f->id != ev->id)
            continue;
        kith_rendezvous_fn fn = f->fn;
        void *ctx = f->ctx;
        if (ev->kind == KITH_RDV_OVER) {
            kith_link_remove(&f->link);
            free(f);
        }
        fn(ctx, ev);
        return;
    }
}

/* Once for each reason: it is tried again for ever. */
static void on_refused(kith_rendezvous *r, const kith_rdv_event *ev)
{
    kith_rdv_point_facts p;
    char peer[KITH_PEER_ID_TEXT_MAX + 1], line[256];
    size_t i = 0;
    while (kith_rdv_point_at(r->rdv, i, &p) && !kith_peer_id_eq(&p.peer, &ev->peer))
        i++;
    if (i == KITH_RDV_POINTS_MAX || r->refusals[i] == ev->why || !r->cfg.log)
        return;
    r->refusals[i] = ev->why;
    kith_peer_id_text(&ev->peer, peer);
    snprintf(line, sizeof line, "not registered at the rendezvous point %s: %s; it is tried again", peer,
             ev->why);
    r->cfg.log(r->cfg.log_ctx, line);
}

static void on_registered(kith_rendezvous *r, const kith_peer_id *peer)
{
    kith_rdv_point_facts p;
    for (size_t i = 0; kith_rdv_point_at(r->rdv, i, &p); i++) {
        if (kith_peer_id_eq(&p.peer, peer))
            r->refusals[i] = NULL;
    }
}

static void part_event(void *self, kith_time now, const kith_node_event *ev)
{
    kith_rdv_event_of(((kith_rendezvous *)self)->rdv, now, ev);
}

static void on_left(kith_rendezvous *r)
{
    void (*fn)(void *ctx) = r->left;
    r->left = NULL;
    uv_timer_stop(&r->timer);
    if (fn)
        fn(r->left_ctx);
}

static void on_leave_late(uv_timer_t *t)
{
    on_left(t->data);
}

static bool part_act(void *self, kith_time now)
{
    kith_rendezvous *r = self;
    kith_rdv_event ev;
    bool any = kith_rdv_act(r->rdv, now);
    while (kith_rdv_next(r->rdv, &ev)) {
        any = true;
        switch (ev.kind) {
        case KITH_RDV_FOUND:
        case KITH_RDV_OVER:
            if (ev.id)
                tell(r, &ev);
            else
                on_known(r, &ev);
            break;
        case KITH_RDV_REGISTERED:
            on_registered(r, &ev.peer);
            break;
        case KITH_RDV_REFUSED:
            on_refused(r, &ev);
            break;
        }
    }
    if (r->left && kith_rdv_is_quiet(r->rdv))
        on_left(r);
    return any;
}

static kith_time part_deadline(const void *self)
{
    return kith_rdv_deadline(((const kith_rendezvous *)self)->rdv);
}

static void part_tick(void *self, kith_time now)
{
    kith_rdv_tick(((kith_rendezvous *)self)->rdv, now);
}

static const kith_part_ops part_ops = {part_event, part_act, part_deadline, part_tick};

static bool begin_client(kith_rendezvous *r)
{
    const kith_rendezvous_settings *s = r->cfg.settings;
    kith_node *node = kith_host_node(r->cfg.host);
    if (r->rdv || r->closed)
        return !r->closed;
    r->rdv = kith_rdv_new(&(kith_rdv_config){.env = *kith_host_env(),
                                             .node = node,
                                             .signer = r->cfg.signer,
                                             .ns = kith_bytes_str(s->ns),
                                             .unix_seconds = kith_wall_s()},
                          now_of(r));
    if (!r->rdv)
        return false;
    for (size_t i = 0; i < s->point_count; i++) {
        kith_peer_id id;
        kith_addrs addrs = {0};
        kith_addrs_pack(&addrs, &s->points[i], 1);
        if (!kith_maddr_peer(&s->points[i], &id) || kith_peer_id_eq(&id, kith_node_id(node)) ||
            kith_rdv_add_point(r->rdv, &id, &addrs))
            continue; /* a file that several machines share may name this one too */
    }
    kith_host_attach(r->cfg.host, &r->part);
    r->attached = true;
    return true;
}

void kith_rendezvous_watch(kith_rendezvous *r, kith_rendezvous_found fn, void *ctx)
{
    r->found = fn;
    r->found_ctx = ctx;
}

void kith_rendezvous_avoid(kith_rendezvous *r, bool (*avoid)(void *ctx, const kith_peer_id *peer), void *ctx)
{
    r->avoid = avoid;
    r->avoid_ctx = ctx;
}

bool kith_rendezvous_stay(kith_rendezvous *r)
{
    const kith_rendezvous_settings *s = r->cfg.settings;
    if (r->closed || r->staying)
        return !r->closed;
    if (s->server) {
        r->point = kith_point_new(kith_host_env(), kith_host_node(r->cfg.host), s->registrations, now_of(r));
        if (!r->point)
            return false;
    }
    if (s->point_count > 0) {
        r->met = kith_met_new(&(kith_met_config){.host = r->cfg.host,
                                                 .trust = r->cfg.trust,
                                                 .connect = s->connect,
                                                 .retry_min = RETRY_MIN,
                                                 .retry_max = RETRY_MAX});
        if (!r->met || !begin_client(r))
            return false;
        kith_met_avoid(r->met, r->avoid, r->avoid_ctx);
    }
    uv_timer_init(kith_host_loop(r->cfg.host), &r->timer);
    r->timer.data = r;
    r->staying = true;
    if (r->rdv) {
        uv_timer_start(&r->timer, on_timer, UPKEEP_MS, UPKEEP_MS);
        kith_rdv_register(r->rdv, now_of(r), true);
    }
    kith_host_kick(r->cfg.host);
    return true;
}

bool kith_rendezvous_has_points(const kith_rendezvous *r)
{
    return r && r->cfg.settings->point_count > 0;
}

kith_err kith_rendezvous_find(kith_rendezvous *r, const char *ns, kith_rendezvous_fn fn, void *ctx,
                              uint64_t *id)
{
    if (r->closed || !begin_client(r))
        return r->closed ? KITH_ECLOSED : KITH_ENOMEM;
    follower *f = calloc(1, sizeof *f);
    if (!f)
        return KITH_ENOMEM;
    kith_err e = kith_rdv_find(r->rdv, kith_bytes_str(ns ? ns : r->cfg.settings->ns), &f->id);
    if (e) {
        free(f);
        return e;
    }
    f->fn = fn;
    f->ctx = ctx;
    *id = f->id;
    kith_list_push(&r->followers, &f->link);
    kith_host_kick(r->cfg.host);
    return KITH_OK;
}

void kith_rendezvous_cancel(kith_rendezvous *r, uint64_t id)
{
    KITH_EACH (&r->followers, l) {
        follower *f = KITH_OF(l, follower, link);
        if (f->id != id)
            continue;
        kith_link_remove(&f->link);
        free(f);
        kith_rdv_cancel(r->rdv, now_of(r), id);
        kith_host_kick(r->cfg.host);
        return;
    }
}

/* ---- looking ---- */

kith_rendezvous_facts kith_rendezvous_look(const kith_rendezvous *r)
{
    kith_rdv_point_facts p;
    kith_rendezvous_facts f = {.points = r->cfg.settings->point_count,
                               .found = kith_met_count(r->met),
                               .connected = kith_met_connected(r->met),
                               .server = r->point != NULL,
                               .registrations = r->point ? kith_point_count(r->point) : 0};
    for (size_t i = 0; r->rdv && kith_rdv_point_at(r->rdv, i, &p); i++)
        f.registered += p.registered;
    return f;
}

json_t *kith_rendezvous_json(const kith_rendezvous *r)
{
    kith_rdv_point_facts p;
    kith_rendezvous_facts f = kith_rendezvous_look(r);
    json_t *points = json_array();
    for (size_t i = 0; r->rdv && kith_rdv_point_at(r->rdv, i, &p); i++) {
        json_t *o = json_pack("{s:o, s:b}", "peer", kith_json_peer(&p.peer), "registered", p.registered);
        if (p.why)
            json_object_set_new(o, "error", json_string(p.why));
        json_array_append_new(points, o);
    }
    json_t *o =
        json_pack("{s:s, s:o, s:I, s:I, s:b}", "namespace", r->cfg.settings->ns, "points", points, "found",
                  (json_int_t)f.found, "connected", (json_int_t)f.connected, "server", f.server);
    if (f.server)
        json_object_set_new(o, "registrations", json_integer((json_int_t)f.registrations));
    return o;
}

/* ---- life ---- */

kith_rendezvous *kith_rendezvous_new(const kith_rendezvous_config *cfg)
{
    kith_rendezvous *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->cfg = *cfg;
    r->part = (kith_part){.ops = &part_ops, .self = r};
    kith_list_init(&r->followers);
    return r;
}

bool kith_rendezvous_leave(kith_rendezvous *r, void (*fn)(void *ctx), void *ctx)
{
    if (!r || !r->staying || !r->rdv || r->closed || r->left_once || kith_host_stopping(r->cfg.host))
        return false;
    r->left_once = true;
    kith_rdv_register(r->rdv, now_of(r), false);
    if (kith_rdv_is_quiet(r->rdv))
        return false;
    r->left = fn;
    r->left_ctx = ctx;
    uv_timer_start(&r->timer, on_leave_late, LEAVE_MS, 0);
    kith_host_kick(r->cfg.host);
    return true;
}

void kith_rendezvous_close(kith_rendezvous *r)
{
    if (!r || r->closed)
        return;
    r->closed = true;
    r->left = NULL;
    if (r->staying)
        uv_close((uv_handle_t *)&r->timer, NULL);
    for (kith_link *l; (l = kith_list_first(&r->followers));) {
        kith_rdv_event ev = {.kind = KITH_RDV_OVER, .id = KITH_OF(l, follower, link)->id};
        tell(r, &ev);
    }
}

void kith_rendezvous_detach(kith_rendezvous *r)
{
    if (!r || !r->attached)
        return;
    r->attached = false;
    kith_host_detach(r->cfg.host, &r->part);
    kith_met_close(r->met);
}

void kith_rendezvous_free(kith_rendezvous *r)
{
    if (!r)
        return;
    kith_met_free(r->met);
    kith_rdv_free(r->rdv);
    kith_point_free(r->point);
    free(r);
}
