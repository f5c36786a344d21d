/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sending messages: from a call into the outbox, and from there to the peers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"
#include "host/clock.h"
#include "host/json.h"
#include "host/message_json.h"
#include "host/messages_impl.h"
#include "host/reach.h"

#define TICK_MAX_MS 60000 /* the wall clock may be set: look at it now and then */
#define HEAD_ROOM 2048    /* of a message without a post-quantum signature, besides its payload */

/* A message that is to be sent: from the call, or from the file. */
typedef struct post {
    kith_link link;
    kith_messages *messages;
    kith_rpc_call *call; /* NULL: nobody waits */
    kith_time patience;  /* until then */
    bool forever;        /* waits until it is delivered or over, and not for patience */
    bool reaching, storing;
    kith_peer_id to;
    kith_maddr addr;        /* as the user gave it; len 0: none */
    kith_outbox_item *item; /* NULL: not yet, or over */
    uint8_t *bytes;         /* sealed; NULL: in the file */
    size_t len;
    bool stored;
    kith_message head; /* its views are of `payload` and `type`, until it is sealed */
    uint8_t *payload;
    char type[KITH_MESSAGE_TYPE_MAX + 1];
} post;

/* To one peer: its lane's user. */
typedef struct route {
    kith_messages *messages;
    kith_outbox_lane *lane;
    kith_maddr addr; /* the last that a user gave; len 0: none */
    bool dialing, loading;
    kith_stream *stream;
    kith_message_tx *tx; /* the stream's */
    kith_sink sink;
    char why[KITH_WHY_MAX]; /* the last failure; "": none */
} route;

static const kith_bytes protocol[] = {
    {(const uint8_t *)KITH_MESSAGE_PROTOCOL, sizeof KITH_MESSAGE_PROTOCOL - 1}};

static kith_node *node_of(const kith_messages *m)
{
    return kith_host_node(m->cfg.host);
}

static kith_time mono(const kith_messages *m)
{
    return kith_host_now(m->cfg.host);
}

static void arm(kith_messages *m);
static void kick(route *r);

/* ---- answers ---- */

static void post_free(post *p)
{
    kith_link_remove(&p->link);
    free(p->bytes);
    free(p->payload);
    free(p);
}

static const char *state_why(const post *p)
{
    const route *r = p->item ? p->item->lane->user : NULL;
    return r ? r->why : "";
}

static json_t *report(const post *p, const char *state, const char *why)
{
    uint64_t ends = p->head.time + (uint64_t)p->head.ttl * 1000;
    return json_pack("{s:o, s:o, s:o, s:s, s:I, s:o}", "message", kith_messages_id(p->head.id), "peer",
                     kith_json_peer(&p->to), "name", kith_json_text(kith_messages_name(p->messages, &p->to)),
                     "state", state, "until", (json_int_t)(ends / 1000), "why", kith_json_text(why));
}

/* Nobody waits for it any more: those for whom somebody does stand in front. */
static kith_rpc_call *let_go(post *p)
{
    kith_rpc_call *call = p->call;
    p->call = NULL;
    kith_link_remove(&p->link);
    kith_list_push(&p->messages->posts, &p->link);
    return call;
}

static void answer_error(post *p, kith_err e, const char *stage, const char *text)
{
    kith_rpc_call *call = let_go(p);
    if (call)
        kith_rpc_error(call, e, stage, "%s", text);
}

/* It waits on, and its call no longer. */
static void answer_kept(post *p)
{
    kith_rpc_call *call = let_go(p);
    if (call)
        kith_rpc_result(call, report(p, "kept", state_why(p)));
}

/* Takes an item out of the outbox. Its route may be gone after it. */
static void drop_item(post *p)
{
    kith_messages *m = p->messages;
    kith_outbox_lane *l = p->item->lane;
    route *r = l->user;
    kith_outbox_remove(m->outbox, p->item);
    p->item = NULL;
    if (!r || r->dialing || r->loading || r->stream || l->count > 0)
        return;
    l->user = NULL;
    free(r);
    kith_outbox_rest(m->outbox, l);
}

/* The file's copy goes with the post, as soon as it is there. */
static void post_over(post *p)
{
    kith_messages *m = p->messages;
    if (p->item)
        drop_item(p);
    if (p->storing || p->reaching)
        return;
    if (p->stored)
        kith_message_store_delete(m->cfg.store, p->head.id);
    post_free(p);
}

static void count_end(post *p, const char *state)
{
    kith_messages_counts *c = &p->messages->counts;
    uint64_t now = kith_wall_ms();
    if (strcmp(state, "delivered") == 0) {
        c->delivered[kith_messages_kind(kith_bytes_str(p->type))]++;
        kith_histogram_add(&c->delivery, now > p->head.time ? (now - p->head.time) * 1000000 : 0);
    } else if (strcmp(state, "refused") == 0) {
        c->refused++;
    } else {
        c->expired++;
    }
}

/* delivered, refused, expired: its end. */
static void conclude(post *p, const char *state, const char *why)
{
    count_end(p, state);
    kith_rpc_call *call = let_go(p);
    json_t *said = report(p, state, why);
    if (call) {
        kith_rpc_result(call, said);
    } else {
        char name[32];
        snprintf(name, sizeof name, "message_%s", state);
        json_object_set_new(said, "event", json_string(name));
        kith_messages_tell(p->messages, said);
        json_decref(said);
    }
    post_over(p);
}

static void route_settle(route *r)
{
    kith_outbox_lane *l = r->lane;
    kith_messages *m = r->messages;
    if (r->dialing || r->loading || r->stream || l->count > 0)
        return;
    l->user = NULL;
    free(r);
    kith_outbox_rest(m->outbox, l);
}

/* ---- the way to a peer ---- */

/* Not now: again later, or, where nothing is kept, never. */
static void route_failed(route *r, kith_err e, const char *stage, const char *why)
{
    kith_messages *m = r->messages;
    snprintf(r->why, sizeof r->why, "%s", why);
    if (m->cfg.standing) {
        kith_outbox_failed(m->outbox, r->lane, mono(m));
    } else {
        kith_peer_id peer = r->lane->peer;
        KITH_EACH (&m->posts, k) {
            post *p = KITH_OF(k, post, link);
            if (p->item && !p->item->flying && kith_peer_id_eq(&p->to, &peer)) {
                answer_error(p, e, stage, why);
                post_over(p); /* the last one takes the route with it */
            }
        }
        kith_outbox_lane *l = kith_outbox_lane_of(m->outbox, &peer);
        if (!l || l->user != r)
            r = NULL;
    }
    if (r)
        route_settle(r);
    arm(m);
}

static void on_loaded(void *ctx, kith_err e, kith_bytes message)
{
    route *r = ctx;
    kith_outbox_item *i = kith_outbox_pick(r->lane);
    kith_message parsed;
    r->loading = false;
    post *p = i ? i->user : NULL;
    /* What was asked for may have been cancelled meanwhile, or something more urgent have come: then it is asked again. */
    if (!e && p && !p->bytes && message.len == p->len && kith_message_parse(message, &parsed) == KITH_OK &&
        memcmp(parsed.id, p->head.id, sizeof parsed.id) == 0) {
        p->bytes = malloc(message.len);
        if (p->bytes)
            memcpy(p->bytes, message.p, message.len);
    }
    if (e && p && !r->messages->closed)
        route_failed(r, e, NULL, "the messages' file cannot be read");
    else if (r->messages->closed)
        return;
    else
        kick(r);
}

/* Puts what there is room for. False: the stream is to be given up. */
static bool fill(route *r)
{
    kith_messages *m = r->messages;
    bool some = false;
    for (kith_outbox_item *i; !r->lane->resting && (i = kith_outbox_pick(r->lane));) {
        post *p = i->user;
        if (!kith_message_tx_room(r->tx, i->len))
            break;
        if (!p->bytes) {
            r->loading = r->loading || kith_message_store_get(m->cfg.store, i->id, on_loaded, r) == KITH_OK;
            break;
        }
        if (kith_message_tx_put(r->tx, mono(m), i->id, kith_bytes_of(p->bytes, p->len)))
            return false;
        kith_outbox_fly(i);
        if (p->stored) {
            free(p->bytes);
            p->bytes = NULL;
        }
        some = true;
    }
    if (some) {
        kith_node_wake(node_of(m), mono(m), r->stream);
        kith_host_kick(m->cfg.host);
    }
    return true;
}

static void on_receipt(route *r, const kith_message_receipt *got)
{
    kith_messages *m = r->messages;
    kith_outbox_item *i = kith_outbox_find(m->outbox, got->id);
    if (!i)
        return; /* cancelled while it was on its way */
    post *p = i->user;
    switch (got->code) {
    case KITH_MESSAGE_TAKEN:
    case KITH_MESSAGE_HAD:
        r->why[0] = '\0';
        kith_outbox_wake(m->outbox, r->lane);
        conclude(p, "delivered", "");
        return;
    case KITH_MESSAGE_EXPIRED:
        conclude(p, "expired", "it came too late, by the clock of the peer");
        return;
    case KITH_MESSAGE_NOT_FOR_ME:
        conclude(p, "refused", "the peer says that it is not for it");
        return;
    case KITH_MESSAGE_REFUSED:
        conclude(p, "refused", "the peer refuses it: it may have blocked this node");
        return;
    case KITH_MESSAGE_MALFORMED:
        conclude(p, "refused", "the peer cannot read it");
        return;
    case KITH_MESSAGE_BUSY:
    case KITH_MESSAGE_AHEAD:
        break;
    }
    kith_outbox_land(m->outbox, i);
    if (!r->lane->resting || !m->cfg.standing)
        route_failed(r, KITH_EREFUSED, NULL,
                     got->code == KITH_MESSAGE_BUSY
                         ? "the peer takes no messages just now"
                         : "by the peer's clock it comes from the future: look at both clocks");
}

static void stream_gone(route *r, const kith_node_event *ev)
{
    kith_messages *m = r->messages;
    bool cut = false;
    r->stream = NULL;
    r->tx = NULL;
    KITH_EACH (&r->lane->flying, k) {
        kith_outbox_item *i = KITH_OF(k, kith_outbox_item, link);
        if (((const post *)i->user)->storing)
            continue; /* is not on its way yet */
        kith_outbox_land(m->outbox, i);
        cut = true;
    }
    if (m->closed)
        return;
    if (cut || ev->err == KITH_EUNSUPPORTED)
        route_failed(r, ev->err ? ev->err : KITH_ECLOSED, NULL,
                     ev->err == KITH_EUNSUPPORTED
                         ? "the peer takes no messages: it may be an older kith, or no kith"
                         : "the connection broke before the peer had confirmed it");
    else
        kick(r);
}

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    route *r = ctx;
    kith_messages *m = r->messages;
    kith_message_receipt got;
    while (kith_message_tx_next(r->tx, &got))
        on_receipt(r, &got);
    if (ev->kind == KITH_NODE_STREAM_GONE)
        stream_gone(r, ev);
    else
        kick(r);
    arm(m);
}

static void open_stream(route *r, kith_conn *c)
{
    kith_messages *m = r->messages;
    r->tx = kith_message_tx_new(kith_node_env(node_of(m)));
    r->sink = (kith_sink){.event = on_stream, .ctx = r};
    kith_err e = r->tx ? kith_node_open(node_of(m), mono(m), c, protocol, 1, &kith_message_tx_ops, r->tx,
                                        &r->sink, &r->stream)
                       : KITH_ENOMEM;
    if (e) {
        r->tx = NULL;
        r->stream = NULL;
        route_failed(r, e, NULL, kith_err_text(e));
        return;
    }
    if (!fill(r))
        kith_node_reset(node_of(m), mono(m), r->stream);
    kith_host_kick(m->cfg.host);
}

static void on_reached(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *sentence)
{
    (void)h;
    route *r = ctx;
    kith_conn_facts f;
    r->dialing = false;
    if (r->messages->closed)
        return;
    if (c)
        kith_conn_facts_get(c, &f);
    if (c && kith_peer_id_eq(&f.peer, &r->lane->peer)) {
        open_stream(r, c);
    } else {
        r->addr.len = 0; /* the book has it, and perhaps better ones */
        route_failed(r, c ? KITH_EAUTH : err, "dial", c ? "somebody else answered at the address" : sentence);
    }
}

static void dial(route *r)
{
    kith_messages *m = r->messages;
    char target[KITH_MADDR_TEXT_MAX + 1];
    kith_peer_id_text(&r->lane->peer, target);
    if (r->addr.len)
        kith_maddr_text(&r->addr, target);
    r->dialing = true;
    kith_reach_by by = {.book = m->cfg.book, .lan = m->cfg.lan, .dht = m->cfg.dht, .names = m->cfg.trust};
    if (kith_reach(m->cfg.host, &by, target, on_reached, r)) {
        r->dialing = false;
        route_failed(r, KITH_ENOMEM, NULL, "no memory");
    }
}

/* Whatever can be done for this peer now. The route may be gone after it. */
static void kick(route *r)
{
    kith_messages *m = r->messages;
    kith_conn *c;
    if (m->closed || r->dialing || r->loading)
        return;
    if (r->stream) {
        if (!fill(r))
            kith_node_reset(node_of(m), mono(m), r->stream);
        return;
    }
    if (!kith_outbox_pick(r->lane))
        route_settle(r);
    else if (!r->lane->resting && (c = kith_node_conn_find(node_of(m), &r->lane->peer)))
        open_stream(r, c);
    else if (!r->lane->resting)
        dial(r);
}

void kith_messages_send_connected(kith_messages *m, const kith_peer_id *peer)
{
    kith_outbox_lane *l = kith_outbox_lane_of(m->outbox, peer);
    route *r = l ? l->user : NULL;
    if (!r || r->dialing)
        return;
    kith_outbox_wake(m->outbox, l);
    kick(r);
    arm(m);
}

/* ---- time ---- */

static void on_timer(uv_timer_t *t)
{
    kith_messages *m = t->data;
    kith_time now = mono(m);
    for (kith_outbox_item *i; (i = kith_outbox_expired(m->outbox, kith_wall_ms()));) {
        const route *r = i->lane->user;
        char why[KITH_WHY_MAX];
        snprintf(why, sizeof why, "%s", r && r->why[0] ? r->why : "nobody confirmed it in time");
        conclude(i->user, "expired", why);
    }
    for (kith_outbox_lane *l; (l = kith_outbox_due(m->outbox, now));)
        kick(l->user);
    KITH_EACH (&m->posts, k) {
        post *p = KITH_OF(k, post, link);
        if (!p->call)
            break; /* and none behind it */
        if (p->item && !p->storing && !p->forever && p->patience <= now)
            answer_kept(p);
    }
    arm(m);
}

static void arm(kith_messages *m)
{
    kith_time now = mono(m), next = kith_outbox_deadline(m->outbox);
    uint64_t wall = kith_wall_ms(), end = kith_outbox_first_end(m->outbox), ms = TICK_MAX_MS;
    if (m->closed)
        return;
    KITH_EACH (&m->posts, k) {
        const post *p = KITH_OF(k, post, link);
        if (!p->call)
            break;
        if (p->item && !p->storing && !p->forever)
            next = kith_time_min(next, p->patience);
    }
    if (end != UINT64_MAX)
        ms = end <= wall ? 0 : end - wall < ms ? end - wall : ms;
    if (next != KITH_NEVER)
        ms = next <= now ? 0 : (next - now) / 1000000 + 1 < ms ? (next - now) / 1000000 + 1 : ms;
    if (end != UINT64_MAX || next != KITH_NEVER)
        uv_timer_start(&m->timer, on_timer, ms, 0);
    else
        uv_timer_stop(&m->timer);
}

/* ---- calls ---- */

static route *route_for(kith_messages *m, kith_outbox_lane *l)
{
    route *r = l->user ? l->user : calloc(1, sizeof *r);
    if (!r || l->user)
        return r;
    r->messages = m;
    r->lane = l;
    l->user = r;
    l->held = true;
    return r;
}

/* Into the outbox; there its item stands as if it was on its way, until it is stored. */
static kith_err enter(post *p, uint64_t age)
{
    kith_messages *m = p->messages;
    kith_outbox_item i = {.priority = p->head.priority,
                          .ends = p->head.time + (uint64_t)p->head.ttl * 1000,
                          .len = p->len,
                          .age = age,
                          .user = p};
    memcpy(i.id, p->head.id, sizeof i.id);
    kith_err e = kith_outbox_add(m->outbox, &p->to, &i, &p->item);
    if (e)
        return e;
    route *r = route_for(m, p->item->lane);
    if (!r) {
        kith_outbox_remove(m->outbox, p->item);
        p->item = NULL;
        return KITH_ENOMEM;
    }
    if (p->addr.len)
        r->addr = p->addr;
    kith_outbox_fly(p->item);
    return KITH_OK;
}

static void depart(post *p)
{
    kith_messages *m = p->messages;
    route *r = p->item->lane->user;
    kith_outbox_land(m->outbox, p->item);
    if (p->call && !p->forever && p->patience <= mono(m))
        answer_kept(p);
    else if (p->call && r->lane->resting && !r->dialing)
        kith_outbox_wake(m->outbox, r->lane); /* somebody waits: try it now */
    bool stored = p->stored;
    kick(r);
    if (stored && p->bytes && !p->item->flying) { /* it is read again when its time comes */
        free(p->bytes);
        p->bytes = NULL;
    }
    arm(m);
}

static void on_stored(void *ctx, kith_err e, const char *why)
{
    post *p = ctx;
    p->storing = false;
    p->stored = !e;
    if (!p->item) { /* cancelled */
        post_over(p);
        return;
    }
    if (p->messages->closed)
        return;
    if (e) {
        char text[256];
        snprintf(text, sizeof text, "the messages' file cannot be written: %s; the message was not sent",
                 why);
        answer_error(p, e, "disk", text);
        post_over(p);
        return;
    }
    depart(p);
}

static void fail_early(post *p, kith_err e, const char *stage, const char *text)
{
    answer_error(p, e, stage, text);
    post_over(p);
}

static kith_err seal(post *p)
{
    kith_messages *m = p->messages;
    kith_message_keys keys = {.signer = m->cfg.signer};
    p->head.to = p->to;
    p->head.time = kith_wall_ms();
    kith_rand_fill(kith_host_env(), kith_span_of(p->head.id, sizeof p->head.id));
    size_t room = p->head.payload.len + HEAD_ROOM;
    p->bytes = malloc(room);
    if (!p->bytes)
        return KITH_ENOMEM;
    kith_wr w = kith_wr_of(kith_span_of(p->bytes, room));
    kith_err e = kith_message_seal(&p->head, &keys, &w);
    p->len = w.len;
    free(p->payload);
    p->payload = NULL;
    p->head.payload = (kith_bytes){0};
    return e;
}

static void send_now(post *p)
{
    kith_messages *m = p->messages;
    char text[KITH_WHY_MAX], peer[KITH_PEER_ID_TEXT_MAX + 1];
    const kith_trust_row *known = m->cfg.trust ? kith_trust_find(m->cfg.trust, &p->to) : NULL;
    kith_peer_id_text(&p->to, peer);
    if (kith_peer_id_eq(&p->to, kith_node_id(node_of(m)))) {
        fail_early(p, KITH_EFORMAT, "dial", "this is the node itself; a message is for somebody else");
        return;
    }
    if (known && known->blocked) {
        snprintf(text, sizeof text, "%s is blocked here; 'kith trust unblock %s' lets messages through", peer,
                 known->name[0] ? known->name : peer);
        fail_early(p, KITH_EPOLICY, NULL, text);
        return;
    }
    if (m->cfg.book && p->addr.len)
        kith_book_note_addr(m->cfg.book, &p->to, &p->addr, KITH_BOOK_MANUAL, kith_wall_s());
    kith_err e = seal(p);
    if (!e)
        e = enter(p, m->next_age++);
    if (e == KITH_ELIMIT) {
        snprintf(text, sizeof text,
                 "the outbox is full: %zu messages of %zu MiB wait; 'kith message --outbox' lists them, and "
                 "'--cancel ID' makes room",
                 kith_outbox_count(m->outbox), kith_outbox_bytes(m->outbox) >> 20);
        fail_early(p, e, NULL, text);
        return;
    }
    if (!e && m->cfg.standing) {
        e = kith_message_store_put(m->cfg.store, p->head.id, &p->to, kith_bytes_of(p->bytes, p->len),
                                   p->item->age, on_stored, p);
        p->storing = !e;
    }
    if (e)
        fail_early(p, e, NULL,
                   e == KITH_ELIMIT    ? "too much waits for the disk already; try again in a moment"
                   : e == KITH_EFORMAT ? "what is to be a text is not UTF-8"
                                       : kith_err_text(e));
    else if (!m->cfg.standing)
        depart(p);
}

/* Whoever is at an address that does not say who. */
static void on_met(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *sentence)
{
    (void)h;
    post *p = ctx;
    kith_conn_facts f;
    p->reaching = false;
    if (!p->call) {
        post_over(p);
        return;
    }
    if (!c) {
        fail_early(p, err, "dial", sentence);
        return;
    }
    kith_conn_facts_get(c, &f);
    p->to = f.peer;
    send_now(p);
}

static void on_cancel(void *state)
{
    post *p = state;
    if (p->item && p->stored) {
        answer_kept(p);
        return;
    }
    if (p->item &&
        p->storing) { /* it is on its way to the disk: kept, which is answered as soon as that is true */
        p->forever = false;
        p->patience = 0;
        return;
    }
    answer_error(p, KITH_ECLOSED, NULL, "cancelled; the message was not sent");
    post_over(p);
}

/* NULL, or what is wrong; *e is KITH_EFORMAT or another. */
static const char *take_params(post *p, const json_t *params, kith_err *e)
{
    kith_message_given g;
    const char *wrong = kith_message_given_of(params, KITH_MESSAGE_TTL_MAX, KITH_MESSAGE_PAYLOAD_MAX, &g, e);
    p->head = g.head;
    p->payload = g.payload;
    memcpy(p->type, g.type, sizeof p->type);
    p->head.type = kith_bytes_str(p->type);
    p->forever = g.wait_ms < 0 || !p->messages->cfg.standing;
    p->patience = kith_time_after(mono(p->messages), KITH_MS(g.wait_ms < 0 ? 0 : (kith_time)g.wait_ms));
    return wrong;
}

void kith_messages_run_send(kith_messages *m, kith_rpc_call *call, const json_t *params)
{
    const char *target = json_string_value(json_object_get(params, "target"));
    char why[KITH_WHY_MAX];
    kith_err e = KITH_ENOMEM;
    post *p = calloc(1, sizeof *p);
    if (!p) {
        kith_rpc_error(call, e, NULL, "no memory");
        return;
    }
    p->messages = m;
    kith_list_push_front(&m->posts, &p->link);
    const char *wrong = take_params(p, params, &e);
    if (!wrong && (!target || kith_target_parse(target, m->cfg.trust, &p->to, &p->addr, why))) {
        wrong = target ? why : "'target' must be a peer";
        if (target && *target != '/')
            snprintf(why + strlen(why), sizeof why - strlen(why), "; a topic is named by --topic");
        e = KITH_EFORMAT;
    }
    if (wrong) {
        kith_message_refuse(call, e, wrong);
        post_free(p);
        return;
    }
    p->call = call;
    kith_rpc_on_cancel(call, on_cancel, p);
    if (p->to.len) {
        send_now(p);
        return;
    }
    p->reaching = true;
    kith_reach_by by = {.book = m->cfg.book, .lan = m->cfg.lan, .dht = m->cfg.dht, .names = m->cfg.trust};
    if (kith_reach(m->cfg.host, &by, target, on_met, p)) {
        p->reaching = false;
        fail_early(p, KITH_ENOMEM, NULL, "no memory");
    }
}

static json_t *json_item(const kith_outbox_item *i)
{
    const post *p = i->user;
    const route *r = i->lane->user;
    json_t *o = report(p, i->flying ? "sending" : "waiting", r ? r->why : "");
    json_object_set_new(o, "type", json_string(p->type));
    json_object_set_new(o, "priority", json_integer(i->priority));
    json_object_set_new(o, "bytes", json_integer((json_int_t)i->len));
    json_object_set_new(o, "time", json_integer((json_int_t)(p->head.time / 1000)));
    json_object_set_new(o, "failures", json_integer(i->lane->failures));
    return o;
}

static void run_cancel(kith_messages *m, kith_rpc_call *call, const char *text)
{
    uint8_t id[KITH_MESSAGE_ID_LEN];
    if (!kith_messages_id_parse(text, id)) {
        kith_rpc_bad_params(call, "'%.100s' is not the id of a message, 32 hex digits", text);
        return;
    }
    kith_outbox_item *i = kith_outbox_find(m->outbox, id);
    if (!i) {
        kith_rpc_error(call, KITH_ENOTFOUND, NULL, "there is no message %s in the outbox", text);
        return;
    }
    post *p = i->user;
    bool flying = i->flying && p->stored;
    answer_error(p, KITH_ECLOSED, NULL, "cancelled in the outbox");
    json_t *said = report(p, "cancelled", flying ? "it was on its way, and may arrive" : "");
    post_over(p);
    kith_rpc_result(call, said);
    arm(m);
}

void kith_messages_run_outbox(kith_messages *m, kith_rpc_call *call, const json_t *params)
{
    const char *cancel = json_string_value(json_object_get(params, "cancel"));
    if (cancel) {
        run_cancel(m, call, cancel);
        return;
    }
    json_t *list = json_array();
    size_t shown = 0;
    for (kith_outbox_item *i = NULL; shown < KITH_OUTBOX_SHOWN_MAX && (i = kith_outbox_each(m->outbox, i));
         shown++)
        json_array_append_new(list, json_item(i));
    kith_rpc_result(call, json_pack("{s:o, s:I, s:I}", "outbox", list, "messages",
                                    (json_int_t)kith_outbox_count(m->outbox), "bytes",
                                    (json_int_t)kith_outbox_bytes(m->outbox)));
}

/* ---- life ---- */

kith_err kith_messages_send_begin(kith_messages *m)
{
    uv_timer_init(kith_host_loop(m->cfg.host), &m->timer);
    uv_unref((uv_handle_t *)&m->timer);
    m->timer.data = m;
    kith_list_init(&m->posts);
    m->next_age = 1;
    m->outbox = kith_outbox_new(kith_host_env());
    return m->outbox ? KITH_OK : KITH_ENOMEM;
}

void kith_messages_send_again(kith_messages *m, const kith_peer_id *to, kith_bytes message, uint64_t age)
{
    post *p = calloc(1, sizeof *p);
    if (age >= m->next_age)
        m->next_age = age + 1;
    if (!p || kith_message_parse(message, &p->head)) {
        free(p);
        return;
    }
    p->messages = m;
    p->to = *to;
    p->len = message.len;
    p->stored = true;
    memcpy(p->type, p->head.type.p, p->head.type.len);
    kith_list_push(&m->posts, &p->link);
    if (enter(p, age))
        post_free(p);
}

void kith_messages_send_start(kith_messages *m)
{
    for (kith_outbox_item *i = NULL; (i = kith_outbox_each(m->outbox, i));)
        kith_outbox_land(m->outbox, i);
    uv_timer_start(&m->timer, on_timer, 0, 0);
    for (kith_outbox_lane *l = NULL; (l = kith_outbox_lane_next(m->outbox, l));)
        kith_outbox_failed(m->outbox, l, mono(m)); /* tried one after another, in about a second */
}

void kith_messages_send_close(kith_messages *m)
{
    post *p; /* those that somebody waits for stand in front, until they are answered */
    for (kith_link *k; (k = kith_list_first(&m->posts)) && (p = KITH_OF(k, post, link))->call;) {
        if (p->stored)
            answer_kept(p);
        else
            answer_error(p, KITH_ECLOSED, NULL,
                         p->storing ? "the node is stopping; the message may be in the outbox already"
                                    : "the node is stopping; the message was not sent");
    }
    uv_close((uv_handle_t *)&m->timer, NULL);
}

void kith_messages_send_free(kith_messages *m)
{
    for (kith_outbox_lane *l = NULL; m->outbox && (l = kith_outbox_lane_next(m->outbox, l));) {
        free(l->user);
        l->user = NULL;
    }
    for (kith_link *k; (k = kith_list_first(&m->posts));)
        post_free(KITH_OF(k, post, link));
    kith_outbox_free(m->outbox);
}
