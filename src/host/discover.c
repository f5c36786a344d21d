/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Requests to discover, and whom each of them has found. */
#include "host/discover_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/json.h"
#include "host/trust_methods.h"
#include "proto/ping.h"

#define TIMEOUT_MS 5000
#define TIMEOUT_MAX 86400000
#define COUNT_MAX 1000000
#define FOUND_MAX 4096 /* of one request; more are not told */
#define KNOWN_MAX 512  /* rows of the peer book */

typedef enum stage { WAITING, DIALLING, PINGING, TOLD } stage;

typedef kith_discovery op;

/* Somebody who was found. */
typedef struct find {
    kith_link link;
    op *op;
    kith_peer_id peer;
    const char *source; /* static */
    char interface[32];
    kith_maddr *addrs;
    size_t count;
    stage stage;
    kith_stream *stream; /* PINGING, until it is gone */
    kith_ping *ping;
    kith_sink sink;
} find;

static const kith_discover_source mdns, manual;
/* The place of auto's rows is the order in which they are asked. */
static const kith_discover_source *const sources[] = {&mdns, &manual, &kith_discover_rendezvous_,
                                                      &kith_discover_kad_};
#define SOURCES (sizeof sources / sizeof *sources)
_Static_assert(SOURCES <= sizeof((op *)0)->looking / sizeof(bool), "a request has no room for so many");

static kith_node *node_of(const op *o)
{
    return kith_host_node(o->owner->host);
}

/* ---- life ---- */

static void find_free(find *f)
{
    kith_link_remove(&f->link);
    free(f->addrs);
    free(f);
}

static void op_free(op *o)
{
    KITH_EACH (&o->found, k)
        find_free(KITH_OF(k, find, link));
    kith_link_remove(&o->link);
    free(o);
}

static void op_release(op *o)
{
    if (!o->call && !o->timer_open && !o->book_waiting && o->under_way == 0)
        op_free(o);
}

void kith_discover_release_(op *o)
{
    op_release(o);
}

static void on_timer_closed(uv_handle_t *handle)
{
    op *o = handle->data;
    o->timer_open = false;
    op_release(o);
}

static void hang_up(find *f)
{
    op *o = f->op;
    if (!f->stream)
        return;
    if (f->ping)
        kith_ping_close(f->ping);
    kith_node_reset(node_of(o), kith_host_now(o->owner->host), f->stream);
    kith_host_kick(o->owner->host);
}

/* The answer is given: lets go of what is left. */
static void op_done(op *o)
{
    o->call = NULL;
    for (size_t i = 0; i < SOURCES; i++) {
        if (o->looking[i] && sources[i]->end)
            sources[i]->end(o);
        o->looking[i] = false;
    }
    KITH_EACH (&o->found, k)
        hang_up(KITH_OF(k, find, link));
    if (o->timer_open && !uv_is_closing((uv_handle_t *)&o->timer))
        uv_close((uv_handle_t *)&o->timer, on_timer_closed);
    op_release(o);
}

static double seconds(const op *o)
{
    return (double)(kith_host_now(o->owner->host) - o->asked) / 1e9;
}

/* ---- telling ---- */

static json_t *addrs_json(const kith_peer_id *peer, const kith_maddr *addrs, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        kith_maddr a = addrs[i];
        if (kith_maddr_set_peer(&a, peer) == KITH_OK)
            json_array_append_new(list, kith_json_addr(&a));
    }
    return list;
}

json_t *kith_json_found_by(const kith_trust *trust, const kith_names *names, const kith_peer_id *peer,
                           const char *source, const char *interface, const kith_maddr *addrs, size_t count)
{
    json_t *o = json_pack("{s:s, s:o}", "event", "peer_found", "peer", kith_json_peer(peer));
    kith_json_add_trust(o, trust, peer);
    kith_json_add_self_name(o, names, peer);
    json_object_set_new(o, "source", json_string(source));
    json_object_set_new(o, "interface", kith_json_text(interface));
    json_object_set_new(o, "addrs", addrs_json(peer, addrs, count));
    return o;
}

json_t *kith_json_found(const kith_lan *lan, const kith_trust *trust, const kith_names *names,
                        const kith_peer_id *peer, const char *interface)
{
    kith_maddr addrs[KITH_LAN_ADDRS_MAX];
    size_t n = kith_lan_addrs(lan, peer, addrs, KITH_LAN_ADDRS_MAX);
    return kith_json_found_by(trust, names, peer, "mdns", interface, addrs, n);
}

static void finish(op *o)
{
    json_t *r = json_pack("{s:I, s:f}", "found", (json_int_t)o->told, "seconds", seconds(o));
    if (o->trouble)
        json_object_set_new(r, "trouble", json_string(o->trouble));
    kith_rpc_result(o->call, r);
    op_done(o);
}

/* rtt 0: not measured; why: what the peer's silence is about, or NULL. */
static void tell(find *f, kith_time rtt, const char *why)
{
    op *o = f->op;
    const kith_trust_row *row = o->owner->trust ? kith_trust_find(o->owner->trust, &f->peer) : NULL;
    kith_conn *c = kith_node_conn_find(node_of(o), &f->peer);
    kith_conn_facts facts = {0};
    if (c)
        kith_conn_facts_get(c, &facts);
    if (!rtt)
        rtt = facts.rtt;
    f->stage = TOLD;
    json_t *ev = kith_json_found_by(o->owner->trust, o->owner->names, &f->peer, f->source, f->interface,
                                    f->addrs, f->count);
    json_object_set_new(ev, "seconds", json_real(seconds(o)));
    json_object_set_new(ev, "connected", json_boolean(c != NULL));
    json_object_set_new(ev, "blocked", json_boolean(row && row->blocked));
    json_object_set_new(ev, "latency_ms", rtt ? json_real((double)rtt / 1e6) : json_null());
    if (why)
        json_object_set_new(ev, "error", kith_json_text(why));
    o->told++;
    kith_rpc_event(o->call, ev);
}

/* After something was told: whether it is enough. */
static bool enough(const op *o)
{
    return o->wanted && o->told >= o->wanted;
}

/* Whether nobody will be found any more, and all who were are told. */
static bool exhausted(const op *o)
{
    bool looking = o->under_way > 0;
    for (size_t i = 0; i < SOURCES; i++)
        looking |= o->looking[i];
    return !looking && o->told == o->found_count;
}

/* ---- pings ---- */

static void next_pings(op *o);

/* A find's attempt is over: goes on, or lets go. */
static void attempt_over(find *f, kith_time rtt, const char *why)
{
    op *o = f->op;
    if (o->call && f->stage != TOLD)
        tell(f, rtt, why);
    if (o->call && !enough(o))
        next_pings(o);
    if (o->call && (enough(o) || exhausted(o)))
        finish(o);
    else if (!o->call)
        op_release(o);
}

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    find *f = ctx;
    op *o = f->op;
    kith_ping_event e;
    (void)h;
    if (ev->kind == KITH_NODE_STREAM_READY) {
        while (f->ping && kith_ping_next(f->ping, &e)) {
            if (o->call && f->stage != TOLD)
                tell(f, e.kind == KITH_PING_RTT ? e.rtt : 0, e.kind == KITH_PING_RTT ? NULL : e.why);
        }
        if (f->stage == TOLD)
            hang_up(f); /* and then STREAM_GONE */
    } else if (ev->kind == KITH_NODE_STREAM_GONE) {
        f->stream = NULL;
        f->ping = NULL;
        o->under_way--;
        attempt_over(f, 0,
                     ev->err == KITH_EUNSUPPORTED ? "it does not answer pings" : kith_err_text(ev->err));
    }
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    static const kith_bytes id[] = {{(const uint8_t *)KITH_PING_ID, sizeof KITH_PING_ID - 1}};
    find *f = ctx;
    op *o = f->op;
    kith_time now = kith_host_now(h);
    f->stage = f->stage == TOLD ? TOLD : PINGING;
    if (c && o->call) {
        f->sink = (kith_sink){.event = on_stream, .ctx = f};
        f->ping = kith_ping_new(kith_host_env());
        err = f->ping ? kith_node_open(kith_host_node(h), now, c, id, 1, &kith_ping_ops, f->ping, &f->sink,
                                       &f->stream)
                      : KITH_ENOMEM;
        if (!err && kith_ping_start(f->ping, now) == KITH_OK) {
            kith_node_wake(kith_host_node(h), now, f->stream);
            kith_host_kick(h);
            return;
        }
        if (!err) { /* cannot be, with a new machine */
            hang_up(f);
            return;
        }
        f->ping = NULL; /* the node took it, and it is gone */
        why = NULL;
    }
    o->under_way--;
    attempt_over(f, 0, why ? why : kith_err_text(err));
}

/* Dials who waits, a few at a time. */
static void next_pings(op *o)
{
    KITH_EACH (&o->found, k) {
        find *f = KITH_OF(k, find, link);
        if (o->under_way >= KITH_DISCOVER_PINGS_MAX)
            return;
        if (f->stage != WAITING)
            continue;
        f->stage = DIALLING;
        if (kith_host_dial(o->owner->host, &f->peer, f->addrs, f->count, on_dialed, f) == KITH_OK)
            o->under_way++;
        else
            tell(f, 0, "it cannot be dialled now");
    }
}

/* ---- finding ---- */

static bool is_blocked(const op *o, const kith_peer_id *peer)
{
    const kith_trust_row *row = o->owner->trust ? kith_trust_find(o->owner->trust, peer) : NULL;
    return row && row->blocked;
}

void kith_discover_take_(op *o, const kith_peer_id *peer, const char *source, const char *interface,
                         const kith_maddr *addrs, size_t count)
{
    if (!o->call || o->found_count >= FOUND_MAX || kith_peer_id_eq(peer, kith_node_id(node_of(o))))
        return;
    KITH_EACH (&o->found, k) {
        if (kith_peer_id_eq(&KITH_OF(k, find, link)->peer, peer))
            return;
    }
    find *f = calloc(1, sizeof *f);
    if (f && count)
        f->addrs = malloc(count * sizeof *addrs);
    if (!f || (count && !f->addrs)) {
        free(f);
        return;
    }
    f->op = o;
    f->peer = *peer;
    f->source = source;
    snprintf(f->interface, sizeof f->interface, "%s", interface);
    for (size_t i = 0; i < count; i++)
        f->addrs[i] = addrs[i];
    f->count = count;
    kith_list_push(&o->found, &f->link);
    o->found_count++;
    if (o->ping && !is_blocked(o, peer)) {
        next_pings(o);
        return;
    }
    tell(f, 0, NULL);
    if (enough(o))
        finish(o);
}

void kith_discover_over_(op *o, const kith_discover_source *s)
{
    for (size_t i = 0; i < SOURCES; i++) {
        if (sources[i] == s)
            o->looking[i] = false;
    }
    if (o->call && exhausted(o))
        finish(o);
}

/* ---- the local network ---- */

static bool mdns_usable(const kith_discoveries *d)
{
    return d->lan != NULL;
}

static void on_found(void *ctx, const kith_peer_id *peer, const char *interface)
{
    op *o = ctx;
    kith_maddr addrs[KITH_LAN_ADDRS_MAX];
    size_t n = kith_lan_addrs(o->owner->lan, peer, addrs, KITH_LAN_ADDRS_MAX);
    kith_discover_take_(o, peer, "mdns", interface, addrs, n);
}

static void on_lan_closed(void *ctx)
{
    op *o = ctx;
    if (o->call)
        finish(o);
}

static void mdns_begin(op *o)
{
    const kith_lan *lan = o->owner->lan;
    const char *interface;
    kith_peer_id at;
    o->watch = (kith_lan_watch){.found = on_found, .closed = on_lan_closed, .ctx = o};
    for (const kith_peer_id *p = NULL; o->call && (p = kith_lan_next(lan, p, &interface));) {
        at = *p;
        on_found(o, &at, interface);
    }
    if (o->call)
        (void)kith_lan_look(o->owner->lan, &o->watch);
}

static void mdns_end(op *o)
{
    kith_lan_look_away(o->owner->lan, &o->watch);
}

static const kith_discover_source mdns = {
    .name = "mdns",
    .off = "looking at the local network is off here; set mdns = on, or use another --method",
    .usable = mdns_usable,
    .begin = mdns_begin,
    .end = mdns_end,
};

/* ---- the peer book ---- */

static bool manual_usable(const kith_discoveries *d)
{
    return d->book != NULL;
}

static void on_book(void *ctx, const kith_book_row *rows, size_t count)
{
    op *o = ctx;
    for (size_t i = 0; i < count && o->call;) { /* it is waiting still, so that it is not freed under us */
        kith_maddr addrs[KITH_BOOK_ADDRS_MAX];
        size_t n = 0, from = i;
        for (; i < count && kith_peer_id_eq(&rows[i].peer, &rows[from].peer); i++) {
            if (rows[i].addr.len && n < KITH_BOOK_ADDRS_MAX)
                addrs[n++] = rows[i].addr;
        }
        if (n > 0)
            kith_discover_take_(o, &rows[from].peer, "manual", "", addrs, n);
    }
    kith_discover_over_(o, &manual);
    o->book_waiting = false;
    op_release(o);
}

static void manual_begin(op *o)
{
    o->book_waiting = kith_book_ask(o->owner->book, NULL, KNOWN_MAX, on_book, o) == KITH_OK;
    if (!o->book_waiting)
        kith_discover_over_(o, &manual);
}

static const kith_discover_source manual = {
    .name = "manual",
    .off = "the peer book cannot be used",
    .usable = manual_usable,
    .begin = manual_begin,
};

/* ---- the request ---- */

static void on_timeout(uv_timer_t *t)
{
    op *o = t->data;
    KITH_EACH (&o->found, k) { /* who was found, and is not measured yet */
        find *f = KITH_OF(k, find, link);
        if (f->stage != TOLD)
            tell(f, 0, "it has not answered in time");
    }
    finish(o);
}

static void on_cancel(void *state)
{
    op *o = state;
    if (o->call)
        finish(o);
}

/* False: answered already. */
static bool number_param(kith_rpc_call *call, const json_t *params, const char *name, uint64_t max,
                         uint64_t *out)
{
    const json_t *v = json_object_get(params, name);
    json_int_t n = json_integer_value(v);
    if (!v)
        return true;
    if (!json_is_integer(v) || n < 0 || (uint64_t)n > max) {
        kith_rpc_bad_params(call, "'%s' must be an integer from 0 to %llu", name, (unsigned long long)max);
        return false;
    }
    *out = (uint64_t)n;
    return true;
}

/* Which of the sources are asked; false: answered already. */
static bool choose(const kith_discoveries *d, kith_rpc_call *call, const char *method, bool chosen[SOURCES])
{
    char names[128] = "auto";
    bool every = strcmp(method, "auto") == 0, any = every;
    for (size_t i = 0; i < SOURCES; i++) {
        const kith_discover_source *s = sources[i];
        bool usable = s->usable(d), named = strcmp(method, s->name) == 0;
        chosen[i] = usable && (named || (every && (!s->in_auto || s->in_auto(d))));
        any |= named;
        if (named && !usable) {
            kith_rpc_error(call, KITH_EUNSUPPORTED, NULL, "%s", s->off);
            return false;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, ", %s", s->name);
    }
    if (!any)
        kith_rpc_bad_params(call, "'%.40s' is none of the methods %s", method, names);
    return any;
}

void kith_discoveries_run(kith_discoveries *d, kith_rpc_call *call, const json_t *params)
{
    const char *method = json_string_value(json_object_get(params, "method"));
    uint64_t wanted = 0, timeout = TIMEOUT_MS;
    const char *ns = json_string_value(json_object_get(params, "namespace"));
    bool chosen[SOURCES];
    if (ns && !kith_rendezvous_ns_ok(ns)) {
        kith_rpc_bad_params(call, "'namespace' must be 1 to 255 bytes of printable text");
        return;
    }
    if (!choose(d, call, method ? method : "auto", chosen) ||
        !number_param(call, params, "count", COUNT_MAX, &wanted) ||
        !number_param(call, params, "timeout_ms", TIMEOUT_MAX, &timeout))
        return;
    op *o = d->closed ? NULL : calloc(1, sizeof *o);
    if (!o) {
        kith_rpc_error(call, KITH_ENOMEM, NULL, "no memory");
        return;
    }
    o->owner = d;
    o->call = call;
    o->asked = kith_host_now(d->host);
    o->wanted = wanted;
    o->ping = json_is_true(json_object_get(params, "ping"));
    o->key = json_string_value(json_object_get(params, "key"));
    o->ns = ns;
    kith_list_init(&o->found);
    uv_timer_init(kith_host_loop(d->host), &o->timer);
    o->timer.data = o;
    o->timer_open = true;
    kith_list_push(&d->ops, &o->link);
    kith_rpc_on_cancel(call, on_cancel, o);
    if (timeout)
        uv_timer_start(&o->timer, on_timeout, timeout, 0);
    /* The timer's handle keeps the op until the loop runs again, however soon there is enough. */
    memcpy(o->looking, chosen, sizeof chosen);
    for (size_t i = 0; i < SOURCES && o->call; i++) {
        if (chosen[i])
            sources[i]->begin(o);
    }
    if (o->call && exhausted(o))
        finish(o); /* there is nowhere to look */
}

kith_discoveries *kith_discoveries_new(kith_host *h, kith_lan *lan, kith_dht *dht,
                                       kith_rendezvous *rendezvous, kith_book *book, const kith_trust *trust,
                                       const kith_names *names)
{
    kith_discoveries *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->host = h;
    d->lan = lan;
    d->dht = dht;
    d->rendezvous = rendezvous;
    d->book = book;
    d->trust = trust;
    d->names = names;
    kith_list_init(&d->ops);
    return d;
}

void kith_discoveries_close(kith_discoveries *d)
{
    if (!d || d->closed)
        return;
    d->closed = true;
    KITH_EACH (&d->ops, k) {
        op *o = KITH_OF(k, op, link);
        if (o->call)
            finish(o);
    }
}

void kith_discoveries_free(kith_discoveries *d)
{
    if (!d)
        return;
    KITH_EACH (&d->ops, k) /* streams that the host cut off without a word */
        op_free(KITH_OF(k, op, link));
    free(d);
}
