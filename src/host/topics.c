/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Being in topics, and hearing what is said there. */
#include "host/topics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/clock.h"
#include "host/json.h"
#include "host/message_json.h"
#include "host/topics_impl.h"
#include "host/trust_methods.h"

#define UNSENT_MAX (1u << 20) /* of a listener: it misses what is said until it has read some */
#define TURN_MAX 32           /* messages that are looked at in a turn of the loop */

/* A topic that we are in: as long as it is subscribed to, or somebody listens. */
typedef struct sub {
    kith_link link;
    char name[KITH_MESSAGE_TOPIC_MAX + 1];
    bool kept; /* subscribed to */
    unsigned listeners;
} sub;

typedef struct listener {
    kith_link link;
    kith_topics *topics;
    kith_rpc_call *call;
    sub *heard[KITH_TOPIC_HEARD_MAX];
    size_t heard_count;
    kith_peer_id from; /* len 0: whoever */
    char type[KITH_MESSAGE_TYPE_MAX + 1];
    uint64_t told, missed, missed_all;
} listener;

static kith_node *node_of(const kith_topics *t)
{
    return kith_host_node(t->cfg.host);
}

/* ---- being there ---- */

static sub *sub_find(const kith_topics *t, kith_bytes name)
{
    KITH_EACH (&t->subs, k) {
        sub *s = KITH_OF(k, sub, link);
        if (kith_bytes_eq_str(name, s->name))
            return s;
    }
    return NULL;
}

/* NULL: *why. */
static sub *sub_make(kith_topics *t, kith_bytes name, const char **why)
{
    sub *s = sub_find(t, name);
    if (s)
        return s;
    *why = "this node is in 128 topics already; 'kith topics unsub NAME' makes room";
    if (t->sub_count == KITH_TOPICS_MAX)
        return NULL;
    *why = "no memory";
    s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    kith_err e =
        kith_gossip_subscribe(kith_gossip_part_router(t->part), kith_host_now(t->cfg.host), name, true);
    if (e) {
        if (e == KITH_ELIMIT)
            *why = "the peers of this node are in so many topics that there is no room for one more";
        free(s);
        return NULL;
    }
    memcpy(s->name, name.p, name.len);
    kith_list_push(&t->subs, &s->link);
    t->sub_count++;
    kith_host_kick(t->cfg.host);
    return s;
}

static void sub_tidy(kith_topics *t, sub *s)
{
    if (s->kept || s->listeners)
        return;
    if (!t->closed) {
        kith_err e = kith_gossip_unsubscribe(kith_gossip_part_router(t->part), kith_host_now(t->cfg.host),
                                             kith_bytes_str(s->name));
        (void)e; /* it is there as long as the sub */
        kith_host_kick(t->cfg.host);
    }
    kith_link_remove(&s->link);
    t->sub_count--;
    free(s);
}

kith_bytes kith_topics_name(kith_rpc_call *call, const json_t *params)
{
    const char *name = json_string_value(json_object_get(params, "topic"));
    if (name && kith_message_topic_ok(kith_bytes_str(name)))
        return kith_bytes_str(name);
    kith_rpc_bad_params(call, "a topic is 1 to 256 bytes of text without spaces");
    return (kith_bytes){0};
}

const char *kith_topics_subscribe(kith_topics *t, kith_bytes name)
{
    const char *why = "a topic is 1 to 256 bytes of text without spaces";
    sub *s = kith_message_topic_ok(name) ? sub_make(t, name, &why) : NULL;
    if (!s)
        return why;
    s->kept = true;
    return NULL;
}

const char *kith_topics_next(const kith_topics *t, const char *name)
{
    bool found = name == NULL;
    KITH_EACH (&t->subs, k) {
        const sub *s = KITH_OF(k, sub, link);
        if (found && s->kept)
            return s->name;
        found |= s->name == name;
    }
    return NULL;
}

static json_t *json_sub(const kith_topics *t, const sub *s)
{
    const kith_gossip *g = kith_gossip_part_router(t->part);
    kith_bytes name = kith_bytes_str(s->name);
    return json_pack("{s:o, s:b, s:i, s:I, s:I}", "topic", kith_json_bytes(name), "subscribed", s->kept,
                     "listeners", (int)s->listeners, "peers",
                     (json_int_t)kith_gossip_peers_of(g, name, false, NULL, 0), "mesh",
                     (json_int_t)kith_gossip_peers_of(g, name, true, NULL, 0));
}

void kith_topics_run_subscribe(kith_topics *t, kith_rpc_call *call, const json_t *params)
{
    kith_bytes name = kith_topics_name(call, params);
    if (!name.len)
        return;
    const char *why = kith_topics_subscribe(t, name);
    if (why)
        kith_rpc_error(call, KITH_ELIMIT, NULL, "%s", why);
    else
        kith_rpc_result(call, json_sub(t, sub_find(t, name)));
}

void kith_topics_run_unsubscribe(kith_topics *t, kith_rpc_call *call, const json_t *params)
{
    kith_bytes name = kith_topics_name(call, params);
    sub *s = name.len ? sub_find(t, name) : NULL;
    if (!name.len)
        return;
    if (!s || !s->kept) {
        kith_rpc_error(call, KITH_ENOTFOUND, NULL,
                       "#%.256s is not subscribed to; 'kith topics' lists those that are",
                       (const char *)name.p);
        return;
    }
    s->kept = false;
    json_t *said = json_sub(t, s);
    sub_tidy(t, s);
    kith_rpc_result(call, said);
}

void kith_topics_run_list(kith_topics *t, kith_rpc_call *call, const json_t *params)
{
    (void)params;
    kith_gossip_counts c = kith_gossip_count(kith_gossip_part_router(t->part));
    json_t *list = json_array(), *fates = json_object();
    KITH_EACH (&t->subs, k)
        json_array_append_new(list, json_sub(t, KITH_OF(k, sub, link)));
    for (unsigned f = 0; f < KITH_TOPIC_FATES; f++)
        json_object_set_new(fates, kith_topic_fate_name((kith_topic_fate)f),
                            json_integer((json_int_t)t->fates[f]));
    kith_rpc_result(call, json_pack("{s:o, s:I, s:I, s:o}", "topics", list, "peers", (json_int_t)c.peers,
                                    "published", (json_int_t)c.published, "messages", fates));
}

/* ---- listeners ---- */

static bool wanted(const listener *l, const sub *s, const kith_message *m)
{
    bool heard = false;
    for (size_t i = 0; i < l->heard_count; i++)
        heard |= l->heard[i] == s;
    return heard && (l->from.len == 0 || kith_peer_id_eq(&l->from, &m->source)) &&
           (!l->type[0] || kith_bytes_eq_str(m->type, l->type));
}

static void hear(listener *l, json_t *event)
{
    if (kith_rpc_unsent(l->call) >= UNSENT_MAX) {
        l->missed++;
        l->missed_all++;
        return;
    }
    if (l->missed)
        kith_rpc_event(l->call, json_pack("{s:s, s:I}", "event", "missed", "count", (json_int_t)l->missed));
    l->missed = 0;
    l->told++;
    kith_rpc_event(l->call, json_copy(event));
}

static json_t *json_said(const kith_topics *t, const kith_message *m, uint64_t wall, bool own, bool brief)
{
    json_t *o = kith_json_message(t->cfg.trust, m, "topic_message", wall, brief);
    json_object_set_new(o, "topic", kith_json_bytes(m->topic));
    json_object_set_new(o, "format", json_string(m->type.len > 0 ? "kith" : "raw"));
    json_object_set_new(o, "pq", json_boolean(m->pq.len > 0));
    if (own)
        json_object_set_new(o, "own", json_true());
    return o;
}

static void spread(kith_topics *t, const sub *s, const kith_message *m, bool own)
{
    uint64_t wall = kith_wall_ms();
    json_t *whole = NULL;
    KITH_EACH (&t->listeners, k) {
        listener *l = KITH_OF(k, listener, link);
        if (!l->call || !wanted(l, s, m))
            continue;
        if (!whole)
            whole = json_said(t, m, wall, own, false);
        hear(l, whole);
    }
    json_decref(whole);
    if (!own && s->kept && t->cfg.tell) {
        json_t *brief = json_said(t, m, wall, own, true);
        t->cfg.tell(t->cfg.tell_ctx, brief);
        json_decref(brief);
    }
}

void kith_topics_said(kith_topics *t, const kith_message *m, bool raw)
{
    const sub *s = sub_find(t, m->topic);
    kith_message said = *m;
    said.source = *kith_node_id(node_of(t));
    if (raw)
        said.type = (kith_bytes){0};
    if (s)
        spread(t, s, &said, true);
}

static void listener_free(listener *l)
{
    kith_topics *t = l->topics;
    for (size_t i = 0; i < l->heard_count; i++) {
        l->heard[i]->listeners--;
        sub_tidy(t, l->heard[i]);
    }
    t->listener_count--;
    kith_link_remove(&l->link);
    free(l);
}

static void on_listen_cancel(void *state)
{
    listener *l = state;
    kith_rpc_call *call = l->call;
    l->call = NULL;
    kith_rpc_result(
        call, json_pack("{s:I, s:I}", "messages", (json_int_t)l->told, "missed", (json_int_t)l->missed_all));
    listener_free(l);
}

/* False: answered already. */
static bool listen_to(listener *l, kith_rpc_call *call, const json_t *names)
{
    const char *why = "'topics' must be a list of 1 to 16 topics";
    size_t count = json_array_size(names);
    if (count == 0 || count > KITH_TOPIC_HEARD_MAX) {
        kith_rpc_bad_params(call, "%s", why);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || !kith_message_topic_ok(kith_bytes_str(name))) {
            kith_rpc_bad_params(call, "a topic is 1 to 256 bytes of text without spaces");
            return false;
        }
        sub *s = sub_make(l->topics, kith_bytes_str(name), &why);
        if (!s) {
            kith_rpc_error(call, KITH_ELIMIT, NULL, "%s", why);
            return false;
        }
        s->listeners++;
        l->heard[l->heard_count++] = s;
    }
    return true;
}

void kith_topics_run_listen(kith_topics *t, kith_rpc_call *call, const json_t *params)
{
    const char *from = json_string_value(json_object_get(params, "from"));
    const char *type = json_string_value(json_object_get(params, "type"));
    kith_peer_id peer = {0};
    if (from && *from && !kith_trust_resolve(t->cfg.trust, from, &peer)) {
        kith_rpc_bad_params(call, "'%.100s' is neither a peer id nor the name of a known peer", from);
        return;
    }
    if (type && *type && !kith_message_type_ok(kith_bytes_str(type))) {
        kith_rpc_bad_params(call,
                            "a type is 1 to 64 of a-z, 0-9, '-', '.', '_' and '/', beginning with a letter");
        return;
    }
    listener *l = t->listener_count < KITH_TOPIC_LISTENERS_MAX ? calloc(1, sizeof *l) : NULL;
    if (!l) {
        kith_rpc_error(call, KITH_ELIMIT, NULL, "%d listen already", KITH_TOPIC_LISTENERS_MAX);
        return;
    }
    l->topics = t;
    l->from = peer;
    snprintf(l->type, sizeof l->type, "%s", type ? type : "");
    kith_list_push(&t->listeners, &l->link);
    t->listener_count++;
    if (!listen_to(l, call, json_object_get(params, "topics"))) {
        listener_free(l);
        return;
    }
    l->call = call;
    kith_rpc_on_cancel(call, on_listen_cancel, l);
    kith_rpc_event(call, json_pack("{s:s, s:o}", "event", "listening", "peer",
                                   kith_json_peer(kith_node_id(node_of(t)))));
}

/* ---- what comes ---- */

static kith_topic_author author_of(const kith_topics *t, const kith_peer_id *peer)
{
    const kith_trust_row *r = t->cfg.trust ? kith_trust_find(t->cfg.trust, peer) : NULL;
    kith_topic_author a = {0};
    if (r)
        a = (kith_topic_author){.blocked = r->blocked, .contact = kith_trust_kept(r), .pq = r->pq};
    return a;
}

static void take(kith_topics *t, kith_time now, const kith_gossip_event *ev)
{
    kith_gossip *g = kith_gossip_part_router(t->part);
    kith_topic_author author = author_of(t, &ev->from);
    kith_message m;
    kith_topic_fate f = kith_topic_take(t->door, now, kith_wall_ms(), ev, &author, &m);
    t->fates[f]++;
    if (ev->judged) {
        kith_err e = kith_gossip_judged(g, now, ev->id, kith_topic_verdict(f));
        (void)e; /* KITH_ENOTFOUND: it waited until it was forgotten */
    }
    if (f == KITH_TOPIC_WRONG && kith_peer_id_eq(&ev->source, &ev->from)) {
        kith_err e = kith_gossip_set_app_score(g, &ev->from, kith_topic_blame(t->door, now, &ev->from));
        (void)e; /* gone meanwhile */
    }
    const sub *s = kith_topic_verdict(f) == KITH_GOSSIP_ACCEPT ? sub_find(t, ev->topic) : NULL;
    if (s)
        spread(t, s, &m, false);
}

static void on_news(void *ctx, kith_time now)
{
    kith_topics *t = ctx;
    kith_gossip *g = kith_gossip_part_router(t->part);
    kith_gossip_event ev;
    for (int i = 0; i < TURN_MAX; i++) {
        if (!kith_gossip_next(g, &ev))
            return;
        take(t, now, &ev);
    }
    kith_host_kick(t->cfg.host); /* the others' turn, and then the rest */
}

/* ---- life ---- */

kith_topics *kith_topics_new(const kith_topics_config *cfg, const char **why)
{
    uint64_t wall = kith_wall_ms();
    *why = "no memory";
    kith_topics *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->cfg = *cfg;
    kith_list_init(&t->subs);
    kith_list_init(&t->listeners);
    kith_list_init(&t->posts);
    t->door = kith_topic_door_new(kith_host_env(), cfg->rate, wall);
    kith_gossip_part_config part = {.news = on_news, .ctx = t};
    kith_gossip_config_default(&part.router);
    part.router.env = *kith_host_env();
    part.router.signer = cfg->signer;
    part.router.seqno = wall * 1000000;
    if (t->door)
        t->part = kith_gossip_part_new(node_of(t), kith_host_now(cfg->host), &part, why);
    if (!t->part) {
        kith_topic_door_free(t->door);
        free(t);
        return NULL;
    }
    uv_timer_init(kith_host_loop(cfg->host), &t->timer);
    uv_unref((uv_handle_t *)&t->timer);
    t->timer.data = t;
    kith_host_attach(cfg->host, kith_gossip_part_of(t->part));
    return t;
}

void kith_topics_close(kith_topics *t)
{
    if (!t || t->closed)
        return;
    t->closed = true;
    kith_topics_say_close(t);
    uv_close((uv_handle_t *)&t->timer, NULL);
    KITH_EACH (&t->listeners, k) {
        listener *l = KITH_OF(k, listener, link);
        kith_rpc_call *call = l->call;
        l->call = NULL;
        if (call)
            kith_rpc_error(call, KITH_ECLOSED, NULL, "the node is stopping");
    }
    kith_gossip_part_stop(t->part, kith_host_now(t->cfg.host));
    kith_host_detach(t->cfg.host, kith_gossip_part_of(t->part));
    kith_host_kick(t->cfg.host);
}

void kith_topics_free(kith_topics *t)
{
    if (!t)
        return;
    kith_topics_say_free(t);
    for (kith_link *k; (k = kith_list_first(&t->listeners));)
        listener_free(KITH_OF(k, listener, link));
    for (kith_link *k; (k = kith_list_pop(&t->subs));)
        free(KITH_OF(k, sub, link));
    kith_gossip_part_free(t->part);
    kith_topic_door_free(t->door);
    free(t);
}

kith_gossip *kith_topics_router(const kith_topics *t)
{
    return t->closed ? NULL : kith_gossip_part_router(t->part);
}

uint64_t kith_topics_count(const kith_topics *t, kith_topic_fate f)
{
    return t->fates[f];
}
