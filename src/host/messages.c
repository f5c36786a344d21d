/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Receiving messages, and showing them to whoever listens. */
#include "host/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/clock.h"
#include "host/json.h"
#include "host/message_json.h"
#include "host/messages_impl.h"
#include "host/trust_methods.h"

#define UNSENT_MAX (1u << 20) /* of a listener: more waits until it has read */
#define PAGE_MS 20            /* between two looks at whether it has */

/* A message on its way to the disk. */
typedef struct arrival {
    kith_link link;
    kith_messages *messages;
    kith_stream *stream; /* NULL: it is gone */
    uint64_t number;
    uint8_t *bytes;
    size_t len;
    kith_message m; /* of bytes */
} arrival;

typedef struct listener {
    kith_link link;
    kith_messages *messages;
    kith_rpc_call *call; /* NULL: it has gone while the file is read */
    kith_peer_id from;   /* len 0: whoever */
    char type[KITH_MESSAGE_TYPE_MAX + 1];
    uint64_t seq; /* of the last that it was told */
    uint64_t since;
    uint64_t told;      /* messages */
    bool reading, past; /* past: has come to what is newer than its beginning */
} listener;

static const kith_bytes protocol = {(const uint8_t *)KITH_MESSAGE_PROTOCOL, sizeof KITH_MESSAGE_PROTOCOL - 1};

void kith_messages_tell(const kith_messages *m, const json_t *event)
{
    if (m->cfg.tell)
        m->cfg.tell(m->cfg.tell_ctx, event);
}

const char *kith_messages_name(const kith_messages *m, const kith_peer_id *peer)
{
    const kith_trust_row *r = m->cfg.trust ? kith_trust_find(m->cfg.trust, peer) : NULL;
    return r ? r->name : "";
}

size_t kith_messages_kind(kith_bytes type)
{
    size_t i = 0;
    while (i < KITH_MESSAGE_KINDS - 1 && !kith_bytes_eq_str(type, kith_message_types[i]))
        i++;
    return i;
}

/* As it is told: of the inbox. */
static json_t *json_message(const kith_messages *m, const kith_message *msg, uint64_t seq, uint64_t received,
                            bool brief)
{
    json_t *o = kith_json_message(m->cfg.trust, msg, "message", received, brief);
    json_object_set_new(o, "seq", json_integer((json_int_t)seq));
    return o;
}

/* ---- listeners ---- */

static void pump(listener *l);

static void listener_free(listener *l)
{
    l->messages->listener_count--;
    kith_link_remove(&l->link);
    free(l);
}

static bool wanted(const listener *l, const kith_message *m)
{
    return (l->from.len == 0 || kith_peer_id_eq(&l->from, &m->source)) &&
           (!l->type[0] || kith_bytes_eq_str(m->type, l->type));
}

static void on_rows(void *ctx, kith_err e, const kith_inbox_row *rows, size_t count)
{
    listener *l = ctx;
    kith_message m;
    l->reading = false;
    if (!l->call) {
        listener_free(l);
        return;
    }
    if (e) {
        kith_rpc_call *call = l->call;
        l->call = NULL;
        kith_rpc_error(call, e, "disk", "the messages' file cannot be read");
        listener_free(l);
        return;
    }
    for (size_t i = 0; i < count && kith_rpc_unsent(l->call) < UNSENT_MAX; i++) {
        const kith_inbox_row *r = &rows[i];
        /* What the inbox had to forget before this one read it. */
        if (l->past && r->seq > l->seq + 1)
            kith_rpc_event(l->call, json_pack("{s:s, s:I}", "event", "missed", "count",
                                              (json_int_t)(r->seq - l->seq - 1)));
        l->seq = r->seq;
        l->past = true;
        if (kith_message_parse(kith_bytes_of(r->message, r->len), &m) || !wanted(l, &m))
            continue;
        l->told++;
        kith_rpc_event(l->call, json_message(l->messages, &m, r->seq, r->received, false));
    }
    if (count == 0)
        l->past = true; /* there is nothing older */
    pump(l);
}

static void on_pages(uv_timer_t *t)
{
    kith_messages *m = t->data;
    KITH_EACH (&m->listeners, k)
        pump(KITH_OF(k, listener, link));
}

/* Reads on, unless the listener has enough to read itself. */
static void pump(listener *l)
{
    kith_messages *m = l->messages;
    if (l->reading || !l->call || m->closed || l->seq >= kith_message_store_last(m->cfg.store))
        return;
    if (kith_rpc_unsent(l->call) >= UNSENT_MAX ||
        kith_message_store_read(m->cfg.store, l->seq, l->past ? 0 : l->since, on_rows, l))
        uv_timer_start(&m->pages, on_pages, PAGE_MS, 0);
    else
        l->reading = true;
}

static void on_listen_cancel(void *state)
{
    listener *l = state;
    kith_rpc_call *call = l->call;
    l->call = NULL;
    kith_rpc_result(call, json_pack("{s:I}", "messages", (json_int_t)l->told));
    if (!l->reading)
        listener_free(l);
}

void kith_messages_run_listen(kith_messages *m, kith_rpc_call *call, const json_t *params)
{
    const char *from = json_string_value(json_object_get(params, "from"));
    const char *type = json_string_value(json_object_get(params, "type"));
    const json_t *since = json_object_get(params, "since");
    kith_peer_id peer = {0};
    if (!m->cfg.store) {
        kith_rpc_error(call, KITH_EUNSUPPORTED, NULL,
                       "this node takes no messages: their file cannot be used");
        return;
    }
    if (from && *from && !kith_trust_resolve(m->cfg.trust, from, &peer)) {
        kith_rpc_bad_params(call, "'%.100s' is neither a peer id nor the name of a known peer", from);
        return;
    }
    if (type && *type && !kith_message_type_ok(kith_bytes_str(type))) {
        kith_rpc_bad_params(call,
                            "a type is 1 to 64 of a-z, 0-9, '-', '.', '_' and '/', beginning with a letter");
        return;
    }
    if (since && (!json_is_integer(since) || json_integer_value(since) < 0)) {
        kith_rpc_bad_params(call, "'since' must be milliseconds since 1970");
        return;
    }
    listener *l = m->listener_count < KITH_LISTENERS_MAX ? calloc(1, sizeof *l) : NULL;
    if (!l) {
        kith_rpc_error(call, KITH_ELIMIT, NULL, "%d listen already", KITH_LISTENERS_MAX);
        return;
    }
    l->messages = m;
    l->call = call;
    l->from = peer;
    snprintf(l->type, sizeof l->type, "%s", type ? type : "");
    l->past = !since;
    l->since = since ? (uint64_t)json_integer_value(since) : 0;
    l->seq = since ? 0 : kith_message_store_last(m->cfg.store);
    kith_list_push(&m->listeners, &l->link);
    m->listener_count++;
    kith_rpc_on_cancel(call, on_listen_cancel, l);
    kith_rpc_event(call, json_pack("{s:s, s:o}", "event", "listening", "peer",
                                   kith_json_peer(kith_node_id(kith_host_node(m->cfg.host)))));
    pump(l);
}

/* ---- receiving ---- */

static void reply(kith_messages *m, kith_stream *s, uint64_t number, const uint8_t *id,
                  kith_message_code code)
{
    kith_time now = kith_host_now(m->cfg.host);
    m->counts.answered[code]++;
    kith_message_rx_answer(kith_stream_machine(s), now, number, id, code);
    kith_node_wake(kith_host_node(m->cfg.host), now, s);
    kith_host_kick(m->cfg.host);
}

static void arrival_free(arrival *a)
{
    kith_link_remove(&a->link);
    free(a->bytes);
    free(a);
}

static void on_taken(void *ctx, kith_err e, uint64_t seq)
{
    arrival *a = ctx;
    kith_messages *m = a->messages;
    if (e && e != KITH_EEXISTS)
        kith_replay_untake(m->replay, &a->m);
    if (a->stream && !m->closed)
        reply(m, a->stream, a->number, a->m.id,
              !e                  ? KITH_MESSAGE_TAKEN
              : e == KITH_EEXISTS ? KITH_MESSAGE_HAD
                                  : KITH_MESSAGE_BUSY);
    if (!e) {
        m->counts.received[kith_messages_kind(a->m.type)]++;
        json_t *event = json_message(m, &a->m, seq, kith_wall_ms(), true);
        kith_messages_tell(m, event);
        json_decref(event);
        KITH_EACH (&m->listeners, k)
            pump(KITH_OF(k, listener, link));
    }
    arrival_free(a);
}

static bool on_its_way(const kith_messages *m, const kith_message *msg)
{
    KITH_EACH (&m->arrivals, k) {
        const arrival *a = KITH_OF(k, arrival, link);
        if (memcmp(a->m.id, msg->id, sizeof msg->id) == 0 && kith_peer_id_eq(&a->m.source, &msg->source))
            return true;
    }
    return false;
}

/* KITH_MESSAGE_TAKEN: it is on its way to the disk, and answered from there. */
static kith_message_code take(kith_messages *m, kith_stream *s, uint64_t number, kith_bytes in,
                              const kith_message *msg)
{
    uint64_t now = kith_wall_ms();
    const kith_trust_row *known = m->cfg.trust ? kith_trust_find(m->cfg.trust, &msg->source) : NULL;
    bool contact = known && kith_trust_kept(known);
    arrival *a = calloc(1, sizeof *a);
    if (!a || !(a->bytes = malloc(in.len))) {
        free(a);
        return KITH_MESSAGE_BUSY;
    }
    memcpy(a->bytes, in.p, in.len);
    a->len = in.len;
    a->messages = m;
    a->stream = s;
    a->number = number;
    kith_err e = kith_message_parse(kith_bytes_of(a->bytes, a->len), &a->m);
    if (!e)
        e = kith_replay_take(m->replay, &a->m, now, contact);
    if (!e) {
        e = kith_message_store_take(m->cfg.store, &a->m, kith_bytes_of(a->bytes, a->len), now, contact,
                                    on_taken, a);
        if (!e) {
            kith_list_push(&m->arrivals, &a->link);
            return KITH_MESSAGE_TAKEN;
        }
        kith_replay_untake(m->replay, &a->m);
        e = KITH_ENOMEM;
    }
    arrival_free(a);
    if (e == KITH_EEXISTS && !on_its_way(m, msg)) /* else whether it will be taken is not known yet */
        return KITH_MESSAGE_HAD;
    /* Whether it was here is not known any more; or there is no room now. */
    return e == KITH_ELIMIT ? KITH_MESSAGE_REFUSED : KITH_MESSAGE_BUSY;
}

static kith_message_link link_of(const kith_messages *m, const kith_stream *s)
{
    kith_conn_facts f;
    kith_conn_facts_get(kith_stream_conn(s), &f);
    const kith_trust_row *r = m->cfg.trust ? kith_trust_find(m->cfg.trust, &f.peer) : NULL;
    return (kith_message_link){.self = *kith_node_id(kith_host_node(m->cfg.host)),
                               .peer = f.peer,
                               .pq = f.pq.id,
                               .blocked = r && r->blocked};
}

static void on_door(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    kith_messages *m = ctx;
    kith_message_arrival in;
    kith_message msg;
    if (ev->kind == KITH_NODE_STREAM_GONE) {
        KITH_EACH (&m->arrivals, k) {
            arrival *a = KITH_OF(k, arrival, link);
            if (a->stream == ev->stream)
                a->stream = NULL;
        }
        return;
    }
    if (ev->kind != KITH_NODE_STREAM_READY || m->closed)
        return;
    kith_message_link link = link_of(m, ev->stream);
    while (kith_message_rx_next(kith_stream_machine(ev->stream), &in)) {
        kith_message_code code = kith_message_judge(in.message, &link, kith_wall_ms(), &msg);
        bool read = code != KITH_MESSAGE_MALFORMED;
        if (code == KITH_MESSAGE_TAKEN)
            code = take(m, ev->stream, in.number, in.message, &msg);
        if (code != KITH_MESSAGE_TAKEN)
            reply(m, ev->stream, in.number, read ? msg.id : NULL, code);
    }
}

static void *accept_stream(void *ctx, const kith_stream_info *info)
{
    kith_messages *m = ctx;
    if (m->closed)
        return NULL;
    return kith_message_rx_new(kith_node_env(kith_host_node(m->cfg.host)), m->door, &info->peer);
}

static kith_err serve(kith_messages *m)
{
    kith_node *n = kith_host_node(m->cfg.host);
    m->door_sink = (kith_sink){.event = on_door, .ctx = m};
    kith_protocol row = {.id = protocol,
                         .ops = &kith_message_rx_ops,
                         .accept = accept_stream,
                         .ctx = m,
                         .user = &m->door_sink,
                         .streams_per_conn = KITH_MESSAGE_PEER_STREAMS};
    return kith_node_serve(n, kith_host_now(m->cfg.host), &row);
}

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    kith_conn_facts f;
    if (ev->kind != KITH_NODE_CONNECTED)
        return;
    kith_conn_facts_get(ev->conn, &f);
    kith_messages_send_connected(ctx, &f.peer);
}

/* ---- life ---- */

static void load_outbox(void *ctx, const kith_peer_id *to, kith_bytes message, uint64_t age)
{
    kith_messages_send_again(ctx, to, message, age);
}

static void load_id(void *ctx, const kith_peer_id *source, const uint8_t id[KITH_MESSAGE_ID_LEN],
                    uint64_t ends, bool contact)
{
    kith_messages *m = ctx;
    kith_message msg = {.source = *source, .time = ends - 1000, .ttl = 1};
    memcpy(msg.id, id, sizeof msg.id);
    kith_err e = kith_replay_take(m->replay, &msg, kith_wall_ms(), contact);
    (void)e; /* what does not fit is not believed from now on */
}

static void load_forgot(void *ctx, bool contact, uint64_t ends)
{
    kith_replay_forgot(((kith_messages *)ctx)->replay, contact, ends);
}

static kith_err begin(kith_messages *m)
{
    kith_err e = kith_messages_send_begin(m);
    if (e || !m->cfg.store)
        return e;
    m->door = kith_message_door_new(kith_host_env(), m->cfg.rate);
    m->replay = kith_replay_new(kith_host_env());
    if (!m->door || !m->replay)
        return KITH_ENOMEM;
    kith_message_store_load load = {
        .ctx = m, .outbox = m->cfg.standing ? load_outbox : NULL, .id = load_id, .forgot = load_forgot};
    e = kith_message_store_read_all(m->cfg.store, kith_wall_ms(), &load);
    return e ? e : serve(m);
}

kith_messages *kith_messages_new(const kith_messages_config *cfg)
{
    kith_messages *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->cfg = *cfg;
    m->cfg.standing = cfg->standing && cfg->store;
    kith_list_init(&m->arrivals);
    kith_list_init(&m->listeners);
    uv_timer_init(kith_host_loop(cfg->host), &m->pages);
    uv_unref((uv_handle_t *)&m->pages);
    m->pages.data = m;
    m->watch = (kith_observer){.event = on_event, .ctx = m};
    kith_host_observe(cfg->host, &m->watch);
    m->failed = begin(m) != KITH_OK;
    if (!m->failed)
        kith_messages_send_start(m);
    return m;
}

bool kith_messages_failed(const kith_messages *m)
{
    return m->failed;
}

kith_messages_counts kith_messages_count(const kith_messages *m)
{
    kith_messages_counts c = m->counts;
    if (m->outbox) {
        c.waiting = kith_outbox_count(m->outbox);
        c.waiting_bytes = kith_outbox_bytes(m->outbox);
    }
    c.listeners = m->listener_count;
    return c;
}

void kith_messages_close(kith_messages *m)
{
    if (!m || m->closed)
        return;
    m->closed = true;
    kith_host_unobserve(m->cfg.host, &m->watch);
    kith_messages_send_close(m);
    uv_close((uv_handle_t *)&m->pages, NULL);
    KITH_EACH (&m->listeners, k) {
        listener *l = KITH_OF(k, listener, link);
        kith_rpc_call *call = l->call;
        l->call = NULL;
        if (call)
            kith_rpc_error(call, KITH_ECLOSED, NULL, "the node is stopping");
        if (!l->reading)
            listener_free(l);
    }
}

void kith_messages_free(kith_messages *m)
{
    if (!m)
        return;
    kith_messages_send_free(m);
    for (kith_link *k; (k = kith_list_first(&m->arrivals));)
        arrival_free(KITH_OF(k, arrival, link));
    for (kith_link *k; (k = kith_list_first(&m->listeners));)
        listener_free(KITH_OF(k, listener, link));
    kith_message_door_free(m->door);
    kith_replay_free(m->replay);
    free(m);
}
