/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The methods: status, peers, id, dial, ping, perf, disconnect, stop; and the way to those of other files. */
#include "host/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "host/dht_methods.h"
#include "host/discover.h"
#include "host/invites.h"
#include "host/json.h"
#include "host/messages.h"
#include "host/metrics.h"
#include "host/reach.h"
#include "host/topics.h"
#include "host/trust_methods.h"
#include "proto/perf.h"
#include "proto/ping.h"

#define PING_COUNT_MAX 1000000000
#define PROGRESS_MS 500
#define IDENTIFY_WAIT_MS 12000 /* a little more than identify itself has */
#define KNOWN_MAX 512          /* rows of the peer book in one answer */

typedef enum op_kind { OP_DIAL, OP_PING, OP_PERF } op_kind;

/* A dial, a ping or a measurement under way: from the request until its answer is given and nothing of it is left in the host. */
typedef struct op {
    kith_link link;
    kith_service *service;
    kith_rpc_call *call; /* NULL once answered */
    op_kind kind;
    kith_time asked;
    uv_timer_t timer;
    bool timer_open, reaching;
    bool keep;       /* DIAL: stay connected */
    kith_conn *conn; /* DIAL: waiting for identify; PERF: while the stream lives */
    kith_stream *stream;
    kith_sink sink;
    /* PING */
    kith_ping *ping;
    uint64_t count, interval_ms, sent, received;
    kith_time least, most, sum, first; /* first: from the request to the first answer */
    kith_peer_id peer;
    /* PERF */
    kith_perf *perf;
    uint64_t upload, download;
    kith_time connected;
    bool opened;
} op;

struct kith_service {
    kith_service_config cfg;
    kith_time started;
    kith_list ops;
    kith_observer watch;
    kith_invites *invites;     /* made when somebody invites or joins */
    kith_discoveries *looking; /* made when somebody discovers */
    kith_messages *messages;
    kith_topics *topics;
    kith_metrics *metrics; /* NULL: no host */
    kith_dht_methods *dht; /* made when somebody asks the DHT */
    bool closed;
};

static kith_node *node_of(const kith_service *s)
{
    return kith_host_node(s->cfg.host);
}

/* ---- life of an op ---- */

static void op_release(op *o)
{
    if (o->call || o->timer_open || o->reaching || o->stream)
        return;
    kith_link_remove(&o->link);
    free(o);
}

static void on_timer_closed(uv_handle_t *handle)
{
    op *o = handle->data;
    o->timer_open = false;
    op_release(o);
}

/* The answer is given: lets go of what is left. */
static void op_done(op *o)
{
    o->call = NULL;
    o->conn = NULL;
    if (o->stream) {
        kith_service *s = o->service;
        if (o->kind == OP_PING && o->ping)
            kith_ping_close(o->ping);
        kith_node_reset(node_of(s), kith_host_now(s->cfg.host), o->stream);
        kith_host_kick(s->cfg.host);
    }
    if (o->timer_open && !uv_is_closing((uv_handle_t *)&o->timer))
        uv_close((uv_handle_t *)&o->timer, on_timer_closed);
    op_release(o);
}

static void op_result(op *o, json_t *result)
{
    kith_rpc_result(o->call, result);
    op_done(o);
}

static void op_error(op *o, kith_err err, const char *stage, const char *text)
{
    kith_rpc_error(o->call, err, stage, "%s", text);
    op_done(o);
}

static void on_op_cancel(void *state);

/* NULL: answered already. */
static op *op_new(kith_service *s, kith_rpc_call *call, op_kind kind)
{
    op *o = calloc(1, sizeof *o);
    if (!o) {
        kith_rpc_error(call, KITH_ENOMEM, NULL, "no memory");
        return NULL;
    }
    o->service = s;
    o->call = call;
    o->kind = kind;
    o->asked = kith_host_now(s->cfg.host);
    uv_timer_init(kith_host_loop(s->cfg.host), &o->timer);
    o->timer.data = o;
    o->timer_open = true;
    kith_list_push(&s->ops, &o->link);
    kith_rpc_on_cancel(call, on_op_cancel, o);
    return o;
}

static const char *text_param(const json_t *params, const char *name)
{
    return json_string_value(json_object_get(params, name));
}

/* False: answered already. A missing one leaves *out. */
static bool number_param(kith_rpc_call *call, const json_t *params, const char *name, uint64_t min,
                         uint64_t max, uint64_t *out)
{
    const json_t *v = json_object_get(params, name);
    if (!v)
        return true;
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < 0 || (uint64_t)n < min || (uint64_t)n > max) {
        kith_rpc_bad_params(call, "'%s' must be an integer from %llu to %llu", name, (unsigned long long)min,
                            (unsigned long long)max);
        return false;
    }
    *out = (uint64_t)n;
    return true;
}

static void op_reach(op *o, const json_t *params, kith_reached_fn fn)
{
    const char *target = text_param(params, "target");
    kith_peer_id peer;
    kith_maddr addr;
    char why[KITH_WHY_MAX];
    if (!target) {
        kith_rpc_bad_params(o->call, "'target' must be an address or a peer id");
        op_done(o);
        return;
    }
    if (kith_target_parse(target, o->service->cfg.trust, &peer, &addr, why)) {
        kith_rpc_bad_params(o->call, "%s", why);
        op_done(o);
        return;
    }
    o->reaching = true;
    const kith_service_config *cfg = &o->service->cfg;
    kith_reach_by by = {.book = cfg->book, .lan = cfg->lan, .dht = cfg->dht, .names = cfg->trust};
    if (kith_reach(cfg->host, &by, target, fn, o)) {
        o->reaching = false;
        op_error(o, KITH_ENOMEM, "dial", "no memory");
    }
}

/* The common part of what happens when a target was reached: false when the op is over. */
static bool op_reached(op *o, kith_conn *c, kith_err err, const char *sentence)
{
    o->reaching = false;
    if (!o->call) {
        op_release(o);
        return false;
    }
    if (!c) {
        op_error(o, err, "dial", sentence);
        return false;
    }
    return true;
}

/* ---- dial ---- */

/* How the key that the peer has proven came to be known: "" where it has proven none, or nothing is remembered of it. */
static const char *key_trust(const kith_trust *t, const kith_conn_facts *f)
{
    const kith_trust_row *r = t ? kith_trust_find(t, &f->peer) : NULL;
    return r && f->pq.id.len > 0 && kith_pq_id_eq(&r->pq, &f->pq.id) ? kith_trust_how_name(r->pq_how) : "";
}

static void dial_report(op *o)
{
    json_t *result = kith_json_conn(o->conn), *protocols = json_array();
    kith_conn_facts f;
    kith_conn_facts_get(o->conn, &f);
    kith_bytes ids[KITH_IDENTIFY_PROTOCOLS_MAX];
    size_t n = kith_conn_protocols(o->conn, ids, KITH_IDENTIFY_PROTOCOLS_MAX);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(protocols, kith_json_bytes(ids[i]));
    kith_json_add_trust(result, o->service->cfg.trust, &f.peer);
    kith_json_add_self_name(result, o->service->cfg.names, &f.peer);
    json_object_set_new(result, "key_trust", json_string(key_trust(o->service->cfg.trust, &f)));
    json_object_set_new(result, "protocols", protocols);
    json_object_set_new(result, "reused", json_boolean(f.opened_at < o->asked));
    op_result(o, result);
}

static void on_identify_late(uv_timer_t *t)
{
    dial_report(t->data);
}

static void on_dial_reached(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *sentence)
{
    (void)h;
    op *o = ctx;
    if (!op_reached(o, c, err, sentence))
        return;
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    o->conn = c;
    kith_keeper *keeper = o->service->cfg.keeper;
    if (o->keep && kith_keeper_keep(keeper, &f.peer, f.inbound ? NULL : &f.remote)) {
        op_error(o, KITH_ELIMIT, NULL, "connected, but 256 peers are kept already, or there is no memory");
        return;
    }
    if (f.identified)
        dial_report(o);
    else
        uv_timer_start(&o->timer, on_identify_late, IDENTIFY_WAIT_MS, 0);
}

static void run_dial(void *ctx, kith_rpc_call *call, const json_t *params)
{
    const kith_service *s = ctx;
    bool keep = json_is_true(json_object_get(params, "keep"));
    if (keep && !s->cfg.keeper) {
        kith_rpc_error(call, KITH_EUNSUPPORTED, NULL,
                       "only a node that stays keeps peers; start one with 'kith up'");
        return;
    }
    op *o = op_new(ctx, call, OP_DIAL);
    if (!o)
        return;
    o->keep = keep;
    op_reach(o, params, on_dial_reached);
}

/* ---- ping ---- */

static void ping_summary(op *o)
{
    double n = o->received ? (double)o->received : 1;
    op_result(o, json_pack("{s:o, s:I, s:I, s:f, s:f, s:f, s:f}", "peer", kith_json_peer(&o->peer), "sent",
                           (json_int_t)o->sent, "received", (json_int_t)o->received, "min_ms",
                           (double)o->least / 1e6, "avg_ms", (double)o->sum / n / 1e6, "max_ms",
                           (double)o->most / 1e6, "first_answer_ms", (double)o->first / 1e6));
}

static void ping_next(op *o)
{
    kith_host *h = o->service->cfg.host;
    kith_time now = kith_host_now(h);
    if (!o->call || !o->stream || kith_ping_start(o->ping, now))
        return;
    o->sent++;
    kith_node_wake(kith_host_node(h), now, o->stream);
    kith_host_kick(h);
}

static void on_ping_timer(uv_timer_t *t)
{
    ping_next(t->data);
}

static void on_rtt(op *o, kith_time rtt)
{
    o->received++;
    o->sum += rtt;
    if (o->received == 1)
        o->first = kith_host_now(o->service->cfg.host) - o->asked;
    if (o->received == 1 || rtt < o->least)
        o->least = rtt;
    if (rtt > o->most)
        o->most = rtt;
    kith_rpc_event(o->call,
                   json_pack("{s:s, s:o, s:I, s:f}", "event", "ping", "peer", kith_json_peer(&o->peer), "seq",
                             (json_int_t)o->received, "rtt_ms", (double)rtt / 1e6));
    if (o->count && o->received >= o->count)
        ping_summary(o);
    else
        uv_timer_start(&o->timer, on_ping_timer, o->interval_ms, 0);
}

/* The peer has refused the connection itself: that is the answer then. */
static bool op_turned_away(op *o, const kith_conn *c)
{
    const char *refusal = kith_conn_refusal(c);
    if (refusal)
        op_error(o, KITH_EREFUSED, NULL, refusal);
    return refusal != NULL;
}

static void on_ping_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    op *o = ctx;
    kith_ping_event e;
    if (ev->kind == KITH_NODE_STREAM_READY) {
        while (o->call && kith_ping_next(o->ping, &e)) {
            if (e.kind == KITH_PING_RTT)
                on_rtt(o, e.rtt);
            else if (!op_turned_away(o, ev->conn))
                op_error(o, e.err == KITH_OK ? KITH_ERESET : e.err, NULL,
                         e.why ? e.why : kith_err_text(e.err));
        }
    } else if (ev->kind == KITH_NODE_STREAM_GONE) {
        o->stream = NULL;
        o->ping = NULL;
        if (!o->call)
            op_release(o);
        else if (ev->err == KITH_EUNSUPPORTED)
            op_error(o, ev->err, NULL, "the peer does not answer pings");
        else if (!op_turned_away(o, ev->conn))
            op_error(o, ev->err ? ev->err : KITH_ECLOSED, NULL,
                     kith_err_text(ev->err ? ev->err : KITH_ECLOSED));
    }
}

static void on_ping_reached(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *sentence)
{
    static const kith_bytes id[] = {{(const uint8_t *)KITH_PING_ID, sizeof KITH_PING_ID - 1}};
    op *o = ctx;
    if (!op_reached(o, c, err, sentence))
        return;
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    o->peer = f.peer;
    o->sink = (kith_sink){.event = on_ping_stream, .ctx = o};
    o->ping = kith_ping_new(kith_host_env());
    kith_err e = o->ping ? kith_node_open(kith_host_node(h), kith_host_now(h), c, id, 1, &kith_ping_ops,
                                          o->ping, &o->sink, &o->stream)
                         : KITH_ENOMEM;
    if (e) {
        o->ping = NULL;
        op_error(o, e, NULL, kith_err_text(e));
        return;
    }
    ping_next(o);
}

static void run_ping(void *ctx, kith_rpc_call *call, const json_t *params)
{
    uint64_t count = 0, interval = 1000;
    if (!number_param(call, params, "count", 0, PING_COUNT_MAX, &count) ||
        !number_param(call, params, "interval_ms", 0, 3600000, &interval))
        return;
    op *o = op_new(ctx, call, OP_PING);
    if (!o)
        return;
    o->count = count;
    o->interval_ms = interval;
    op_reach(o, params, on_ping_reached);
}

/* ---- perf ---- */

static void on_progress(uv_timer_t *t)
{
    op *o = t->data;
    uint64_t sent, received;
    if (!o->call || !o->perf)
        return;
    kith_perf_progress(o->perf, &sent, &received);
    kith_rpc_event(o->call, json_pack("{s:s, s:I, s:I}", "event", "progress", "sent", (json_int_t)sent,
                                      "received", (json_int_t)received));
}

static bool conn_open(const kith_conn *c)
{
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    return f.open;
}

static void perf_failed(op *o, const kith_node_event *ev, kith_err e)
{
    char text[128];
    if (!o->opened && ev->err != KITH_EUNSUPPORTED && !conn_open(ev->conn)) {
        op_error(o, KITH_ECLOSED, NULL, "the peer closed the connection at once; its log may say why");
    } else if (ev->err == KITH_EUNSUPPORTED || (ev->err == KITH_ERESET && !o->opened)) {
        /* A peer that gets data right behind a proposal that it refuses resets the stream. */
        op_error(o, KITH_EUNSUPPORTED, NULL,
                 "the peer does not serve " KITH_PERF_ID "; a kith node does with 'kith up --perf'");
    } else {
        e = ev->err ? ev->err : e;
        snprintf(text, sizeof text, "the measurement broke off: %s", kith_err_text(e));
        op_error(o, e, NULL, text);
    }
}

static void on_perf_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    op *o = ctx;
    kith_perf_result r;
    o->opened |= ev->kind == KITH_NODE_STREAM_OPENED;
    if (ev->kind != KITH_NODE_STREAM_GONE)
        return;
    kith_err e = kith_perf_result_get(o->perf, &r);
    o->stream = NULL;
    o->perf = NULL;
    if (!o->call) {
        op_release(o);
    } else if (!e) {
        json_t *result = kith_json_conn(o->conn);
        json_object_set_new(result, "connect_seconds",
                            json_real((double)(o->connected - o->asked) / 1e9)); /* reused: next to nothing */
        json_object_set_new(result, "upload_bytes", json_integer((json_int_t)r.upload_bytes));
        json_object_set_new(result, "upload_seconds", json_real((double)r.upload_time / 1e9));
        json_object_set_new(result, "download_bytes", json_integer((json_int_t)r.download_bytes));
        json_object_set_new(result, "download_seconds", json_real((double)r.download_time / 1e9));
        op_result(o, result);
    } else if (!op_turned_away(o, ev->conn)) {
        perf_failed(o, ev, e);
    }
}

static void on_perf_reached(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *sentence)
{
    static const kith_bytes id[] = {{(const uint8_t *)KITH_PERF_ID, sizeof KITH_PERF_ID - 1}};
    op *o = ctx;
    if (!op_reached(o, c, err, sentence))
        return;
    o->conn = c;
    o->connected = kith_host_now(h);
    o->sink = (kith_sink){.event = on_perf_stream, .ctx = o};
    o->perf = kith_perf_client(kith_host_env(), o->upload, o->download);
    kith_err e = o->perf ? kith_node_open(kith_host_node(h), kith_host_now(h), c, id, 1, &kith_perf_ops,
                                          o->perf, &o->sink, &o->stream)
                         : KITH_ENOMEM;
    if (e) {
        o->perf = NULL;
        op_error(o, e, NULL, kith_err_text(e));
        return;
    }
    uv_timer_start(&o->timer, on_progress, PROGRESS_MS, PROGRESS_MS);
}

static void run_perf(void *ctx, kith_rpc_call *call, const json_t *params)
{
    uint64_t upload = 0, download = 0;
    if (!number_param(call, params, "upload", 0, 1ull << 62, &upload) ||
        !number_param(call, params, "download", 0, 1ull << 62, &download))
        return;
    op *o = op_new(ctx, call, OP_PERF);
    if (!o)
        return;
    o->upload = upload;
    o->download = download;
    op_reach(o, params, on_perf_reached);
}

/* A client has lost interest. Only ping has something to say when it ends early. */
static void on_op_cancel(void *state)
{
    op *o = state;
    if (!o->call)
        return;
    if (o->kind == OP_PING && o->received)
        ping_summary(o);
    else
        op_error(o, KITH_ECLOSED, NULL, "cancelled");
}

/* ---- looking ---- */

static uint64_t seconds_since(const kith_service *s, kith_time t)
{
    return (kith_host_now(s->cfg.host) - t) / KITH_SEC(1);
}

static json_t *own_addrs(const kith_service *s)
{
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX];
    size_t n = kith_host_addrs(s->cfg.host, addrs, KITH_RECORD_ADDRS_MAX);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        if (kith_maddr_set_peer(&addrs[i], kith_node_id(node_of(s))) == KITH_OK)
            json_array_append_new(list, kith_json_addr(&addrs[i]));
    }
    return list;
}

static json_t *conn_details(const kith_service *s, const kith_conn *c)
{
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    json_t *o = kith_json_conn(c);
    json_object_set_new(o, "seconds", json_integer((json_int_t)seconds_since(s, f.opened_at)));
    json_object_set_new(o, "streams", json_integer((json_int_t)f.streams));
    json_object_set_new(o, "bytes_in", json_integer((json_int_t)f.bytes_in));
    json_object_set_new(o, "bytes_out", json_integer((json_int_t)f.bytes_out));
    json_object_set_new(o, "rtt_ms", f.rtt ? json_real((double)f.rtt / 1e6) : json_null());
    json_object_set_new(o, "keyed_seconds", json_integer((json_int_t)seconds_since(s, f.keyed_at)));
    json_object_set_new(o, "keyed_bytes", json_integer((json_int_t)f.keyed_bytes));
    kith_json_add_trust(o, s->cfg.trust, &f.peer);
    json_object_set_new(o, "kept", json_boolean(s->cfg.keeper && kith_keeper_keeps(s->cfg.keeper, &f.peer)));
    kith_json_add_self_name(o, s->cfg.names, &f.peer);
    json_t *info = kith_json_peer_info(s->cfg.names, &f.peer);
    if (info)
        json_object_set_new(o, "info", info);
    json_object_set_new(o, "path", json_string("direct")); /* there is no other one yet */
    return o;
}

static json_t *open_conns(const kith_service *s, bool judged)
{
    json_t *list = json_array();
    kith_conn_facts f;
    for (kith_conn *c = NULL; (c = kith_node_conn_next(node_of(s), c));) {
        kith_conn_facts_get(c, &f);
        if (!f.open)
            continue;
        json_t *o = conn_details(s, c);
        if (judged && s->cfg.reputation)
            json_object_set_new(o, "reputation", kith_standing_json(s->cfg.reputation, &f.peer));
        json_array_append_new(list, o);
    }
    return list;
}

/* The identity file may have got another key since this node read it. Needs no passphrase. */
static void add_newer_key(const kith_service *s, json_t *r)
{
    kith_identity *there;
    const char *why;
    if (!s->cfg.identity || kith_identity_read(s->cfg.identity_file, &there, &why))
        return;
    kith_identity_facts used = kith_identity_facts_of(s->cfg.identity), f = kith_identity_facts_of(there);
    kith_identity_free(there);
    if (kith_peer_id_eq(&used.peer, &f.peer) && kith_pq_id_eq(&used.pq_id, &f.pq_id))
        return;
    json_t *facts = kith_json_identity(&f);
    json_object_set(r, "waiting_peer", json_object_get(facts, "peer"));
    json_object_set(r, "waiting_pq_id", json_object_get(facts, "pq_id"));
    json_decref(facts);
}

/* NULL: no memory, or it is closed. */
static json_t *read_metrics(kith_service *s)
{
    kith_metrics_sources from = {.host = s->cfg.host,
                                 .version = s->cfg.version,
                                 .started = s->started,
                                 .lan = s->cfg.lan,
                                 .trust = s->cfg.trust,
                                 .messages = s->messages,
                                 .topics = s->topics,
                                 .dht = s->cfg.dht,
                                 .rendezvous = s->cfg.rendezvous};
    return s->closed || !s->metrics ? NULL : kith_metrics_read(s->metrics, &from);
}

char *kith_service_metrics(kith_service *s)
{
    json_t *values = read_metrics(s);
    char *text = values ? kith_metrics_text(kith_metric_table, values) : NULL;
    json_decref(values);
    return text;
}

static void run_metrics(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)params;
    char *text = kith_service_metrics(ctx);
    if (text)
        kith_rpc_result(call, json_pack("{s:s, s:s}", "type", KITH_METRICS_TYPE, "text", text));
    else
        kith_rpc_error(call, KITH_ENOMEM, NULL, "no memory");
    free(text);
}

static void run_status(void *ctx, kith_rpc_call *call, const json_t *params)
{
    kith_service *s = ctx;
    kith_usage u = kith_node_usage(node_of(s));
    json_t *conns = open_conns(s, false), *conn;
    size_t i, pq = 0;
    uint64_t in = 0, out = 0;
    json_array_foreach(conns, i, conn)
    {
        pq += json_is_true(json_object_get(conn, "pq"));
        in += (uint64_t)json_integer_value(json_object_get(conn, "bytes_in"));
        out += (uint64_t)json_integer_value(json_object_get(conn, "bytes_out"));
    }
    json_t *r =
        json_pack("{s:o, s:s, s:i, s:I, s:o, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I}", "peer",
                  kith_json_peer(kith_node_id(node_of(s))), "version", s->cfg.version, "pid", (int)getpid(),
                  "uptime_seconds", (json_int_t)seconds_since(s, s->started), "addrs", own_addrs(s), "peers",
                  (int)json_array_size(conns), "peers_pq", (int)pq, "conns_in", (int)u.conns_in, "conns_out",
                  (int)u.conns_out, "handshakes", (int)u.handshakes, "dials", (int)u.dials, "streams",
                  (int)u.streams, "bytes_in", (json_int_t)in, "bytes_out", (json_int_t)out);
    if (kith_host_network(s->cfg.host))
        json_object_set_new(r, "network_fingerprint", json_string(kith_host_network(s->cfg.host)));
    add_newer_key(s, r);
    if (s->cfg.rendezvous)
        json_object_set_new(r, "rendezvous", kith_rendezvous_json(s->cfg.rendezvous));
    if (json_is_true(json_object_get(params, "detailed"))) {
        size_t rss = 0;
        (void)uv_resident_set_memory(&rss);
        json_object_set_new(r, "memory_bytes", json_integer((json_int_t)rss));
        json_object_set(r, "connections", conns);
        if (s->cfg.keeper)
            json_object_set_new(r, "keeper", kith_keeper_json(s->cfg.keeper));
        json_object_set_new(r, "metrics", read_metrics(s));
    }
    json_decref(conns);
    kith_rpc_result(call, r);
}

static void on_known(void *ctx, const kith_book_row *rows, size_t count)
{
    kith_rpc_call *call = ctx;
    json_t *list = json_array(), *last = NULL;
    const kith_peer_id *peer = NULL;
    for (size_t i = 0; i < count; i++) {
        const kith_book_row *r = &rows[i];
        if (!peer || !kith_peer_id_eq(peer, &r->peer)) {
            peer = &r->peer;
            last = json_pack("{s:o, s:o, s:o, s:b, s:I, s:I, s:[]}", "peer", kith_json_peer(peer),
                             "self_name", kith_json_text(r->self_name), "agent", kith_json_text(r->agent),
                             "pq", r->pq, "seen", (json_int_t)r->peer_seen, "succeeded",
                             (json_int_t)r->peer_succeeded, "addrs");
            json_array_append_new(list, last);
        }
        if (r->addr.len)
            json_array_append_new(json_object_get(last, "addrs"),
                                  json_pack("{s:o, s:s, s:I, s:I}", "addr", kith_json_addr(&r->addr),
                                            "source", kith_book_source_name(r->source), "seen",
                                            (json_int_t)r->seen, "succeeded", (json_int_t)r->succeeded));
    }
    kith_rpc_result(call, json_pack("{s:o}", "known", list));
}

static void run_peers(void *ctx, kith_rpc_call *call, const json_t *params)
{
    kith_service *s = ctx;
    bool detailed = json_is_true(json_object_get(params, "detailed"));
    if (!json_is_true(json_object_get(params, "known"))) {
        json_t *r = json_pack("{s:o}", "peers", open_conns(s, detailed));
        if (detailed && s->cfg.reputation)
            json_object_set_new(r, "banned", kith_standing_banned_json(s->cfg.reputation));
        kith_rpc_result(call, r);
    } else if (!s->cfg.book) {
        kith_rpc_error(call, KITH_EUNSUPPORTED, NULL, "the peer book cannot be used");
    } else if (kith_book_ask(s->cfg.book, NULL, KNOWN_MAX, on_known, call)) {
        kith_rpc_error(call, KITH_ENOMEM, NULL, "no memory");
    }
}

static void run_id(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)params;
    kith_service *s = ctx;
    kith_identity_facts facts = {.peer = *kith_node_id(node_of(s))};
    if (s->cfg.identity)
        facts = kith_identity_facts_of(s->cfg.identity);
    json_t *r = kith_json_identity(&facts);
    json_object_set_new(r, "file", kith_json_text(s->cfg.identity_file));
    if (s->cfg.standing)
        json_object_set_new(r, "addrs", own_addrs(s));
    kith_rpc_result(call, r);
}

/* ---- ending ---- */

static void run_disconnect(void *ctx, kith_rpc_call *call, const json_t *params)
{
    kith_service *s = ctx;
    const char *text = text_param(params, "peer");
    kith_peer_id peer;
    if (!text || !kith_trust_resolve(s->cfg.trust, text, &peer)) {
        kith_rpc_bad_params(call, "'peer' must be a peer id or the name of a known peer");
        return;
    }
    int closed = 0;
    kith_conn_facts f;
    if (s->cfg.keeper)
        kith_keeper_let_go(s->cfg.keeper, &peer);
    for (kith_conn *c = NULL; (c = kith_node_conn_next(node_of(s), c));) {
        kith_conn_facts_get(c, &f);
        if (!f.open || !kith_peer_id_eq(&f.peer, &peer))
            continue;
        kith_node_close(node_of(s), kith_host_now(s->cfg.host), c);
        closed++;
    }
    kith_host_kick(s->cfg.host);
    if (closed)
        kith_rpc_result(call, json_pack("{s:i}", "closed", closed));
    else
        kith_rpc_error(call, KITH_ENOTFOUND, NULL, "%s is not connected", text);
}

static void run_stop(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)params;
    kith_service *s = ctx;
    kith_rpc_result(call, json_pack("{s:b, s:i}", "stopping", 1, "pid", (int)getpid()));
    if (s->cfg.stop)
        s->cfg.stop(s->cfg.stop_ctx);
}

/* ---- known peers ---- */

#define TRUST_METHOD(name)                                                                  \
    static void run_trust_##name(void *ctx, kith_rpc_call *call, const json_t *params)      \
    {                                                                                       \
        const kith_service *s = ctx;                                                        \
        kith_trust_desk desk = {.trust = s->cfg.trust, .host = s->cfg.host};                \
        if (s->cfg.identity)                                                                \
            desk.own = kith_identity_facts_of(s->cfg.identity).pq_id;                       \
        if (s->cfg.trust)                                                                   \
            kith_trust_run_##name(&desk, call, params);                                     \
        else                                                                                \
            kith_rpc_error(call, KITH_EUNSUPPORTED, NULL, "there are no known peers here"); \
    }
TRUST_METHOD(list)
TRUST_METHOD(show)
TRUST_METHOD(change)
TRUST_METHOD(export)
TRUST_METHOD(import)
TRUST_METHOD(verify)

static void run_trust_unban(void *ctx, kith_rpc_call *call, const json_t *params)
{
    const kith_service *s = ctx;
    const char *text = text_param(params, "peer");
    kith_peer_id peer;
    if (!text || !kith_trust_resolve(s->cfg.trust, text, &peer))
        kith_rpc_bad_params(call, "'peer' must be a peer id or the name of a known peer");
    else if (!s->cfg.reputation || !kith_standing_lift(s->cfg.reputation, &peer))
        kith_rpc_error(call, KITH_ENOTFOUND, NULL, "nothing that %.100s did is known here", text);
    else
        kith_rpc_result(call, json_pack("{s:o, s:o}", "peer", kith_json_peer(&peer), "reputation",
                                        kith_standing_json(s->cfg.reputation, &peer)));
}

/* NULL: answered already. */
static kith_invites *invites_of(kith_service *s, kith_rpc_call *call)
{
    kith_pq_id own = {0};
    if (s->cfg.identity)
        own = kith_identity_facts_of(s->cfg.identity).pq_id;
    if (!s->invites && s->cfg.host && s->cfg.trust && !s->closed)
        s->invites = kith_invites_new(s->cfg.host, s->cfg.trust, s->cfg.book, &own);
    if (!s->invites)
        kith_rpc_error(call, KITH_ENOMEM, NULL, "no memory");
    return s->invites;
}

static void run_invite(void *ctx, kith_rpc_call *call, const json_t *params)
{
    kith_invites *v = invites_of(ctx, call);
    if (v)
        kith_invites_run_invite(v, call, params);
}

static void run_join(void *ctx, kith_rpc_call *call, const json_t *params)
{
    kith_invites *v = invites_of(ctx, call);
    if (v)
        kith_invites_run_join(v, call, params);
}

static void run_discover(void *ctx, kith_rpc_call *call, const json_t *params)
{
    kith_service *s = ctx;
    if (!s->looking && s->cfg.host && !s->closed)
        s->looking = kith_discoveries_new(s->cfg.host, s->cfg.lan, s->cfg.dht, s->cfg.rendezvous, s->cfg.book,
                                          s->cfg.trust, s->cfg.names);
    if (s->looking)
        kith_discoveries_run(s->looking, call, params);
    else
        kith_rpc_error(call, KITH_ENOMEM, NULL, "no memory");
}

/* ---- the DHT ---- */

#define DHT_METHOD(name)                                                                                   \
    static void run_dht_##name(void *ctx, kith_rpc_call *call, const json_t *params)                       \
    {                                                                                                      \
        kith_service *s = ctx;                                                                             \
        if (!s->dht && s->cfg.host && !s->closed)                                                          \
            s->dht = kith_dht_methods_new(s->cfg.host, s->cfg.dht, s->cfg.lan, s->cfg.book, s->cfg.trust); \
        if (s->dht)                                                                                        \
            kith_dht_run_##name(s->dht, call, params);                                                     \
        else                                                                                               \
            kith_rpc_error(call, KITH_ENOMEM, NULL, "no memory");                                          \
    }
DHT_METHOD(status)
DHT_METHOD(find_peer)
DHT_METHOD(provide)
DHT_METHOD(unprovide)
DHT_METHOD(providers)
DHT_METHOD(put)
DHT_METHOD(get)

/* ---- messages ---- */

bool kith_service_take_messages(kith_service *s)
{
    if (!s->messages && s->cfg.host && s->cfg.signer && !s->closed)
        s->messages = kith_messages_new(&(kith_messages_config){.host = s->cfg.host,
                                                                .book = s->cfg.book,
                                                                .lan = s->cfg.lan,
                                                                .dht = s->cfg.dht,
                                                                .trust = s->cfg.trust,
                                                                .signer = s->cfg.signer,
                                                                .store = s->cfg.messages,
                                                                .standing = s->cfg.standing,
                                                                .rate = s->cfg.message_rate,
                                                                .tell = s->cfg.tell,
                                                                .tell_ctx = s->cfg.tell_ctx});
    return s->messages && !kith_messages_failed(s->messages);
}

#define MESSAGE_METHOD(name)                                                                     \
    static void run_message_##name(void *ctx, kith_rpc_call *call, const json_t *params)         \
    {                                                                                            \
        kith_service *s = ctx;                                                                   \
        if (kith_service_take_messages(s))                                                       \
            kith_messages_run_##name(s->messages, call, params);                                 \
        else                                                                                     \
            kith_rpc_error(call, KITH_EUNSUPPORTED, NULL, "this node does not do messages now"); \
    }
MESSAGE_METHOD(send)
MESSAGE_METHOD(outbox)
MESSAGE_METHOD(listen)

/* ---- topics ---- */

const char *kith_service_join_topics(kith_service *s, const char *names)
{
    const char *why = "no node runs";
    if (!s->topics && s->cfg.host && s->cfg.signer && !s->closed)
        s->topics = kith_topics_new(&(kith_topics_config){.host = s->cfg.host,
                                                          .trust = s->cfg.trust,
                                                          .signer = s->cfg.signer,
                                                          .pq_signer = s->cfg.pq_signer,
                                                          .rate = s->cfg.message_rate,
                                                          .tell = s->cfg.tell,
                                                          .tell_ctx = s->cfg.tell_ctx},
                                    &why);
    if (!s->topics)
        return why;
    if (s->cfg.reputation)
        kith_standing_watch_gossip(s->cfg.reputation, kith_topics_router(s->topics));
    while (*(names += strspn(names, " ")) != '\0') {
        size_t len = strcspn(names, " ");
        why = kith_topics_subscribe(s->topics, kith_bytes_of(names, len));
        if (why)
            return why;
        names += len;
    }
    return NULL;
}

kith_topics *kith_service_topics(const kith_service *s)
{
    return s->topics;
}

#define TOPIC_METHOD(name)                                                                       \
    static void run_topic_##name(void *ctx, kith_rpc_call *call, const json_t *params)           \
    {                                                                                            \
        kith_service *s = ctx;                                                                   \
        if (s->topics && !s->closed)                                                             \
            kith_topics_run_##name(s->topics, call, params);                                     \
        else                                                                                     \
            kith_rpc_error(call, KITH_EUNSUPPORTED, NULL,                                        \
                           "this node does not speak gossip; 'kith up' does, with gossip = on"); \
    }
TOPIC_METHOD(list)
TOPIC_METHOD(subscribe)
TOPIC_METHOD(unsubscribe)
TOPIC_METHOD(publish)
TOPIC_METHOD(listen)

const kith_rpc_method kith_service_methods[] = {
    {"status", run_status},
    {"metrics", run_metrics},
    {"peers", run_peers},
    {"id", run_id},
    {"dial", run_dial},
    {"ping", run_ping},
    {"perf", run_perf},
    {"disconnect", run_disconnect},
    {"stop", run_stop},
    {"discover", run_discover},
    {"invite", run_invite},
    {"join", run_join},
    {"message.send", run_message_send},
    {"message.outbox", run_message_outbox},
    {"message.listen", run_message_listen},
    {"topics.list", run_topic_list},
    {"topics.subscribe", run_topic_subscribe},
    {"topics.unsubscribe", run_topic_unsubscribe},
    {"topics.publish", run_topic_publish},
    {"topics.listen", run_topic_listen},
    {"dht.status", run_dht_status},
    {"dht.find_peer", run_dht_find_peer},
    {"dht.provide", run_dht_provide},
    {"dht.unprovide", run_dht_unprovide},
    {"dht.providers", run_dht_providers},
    {"dht.put", run_dht_put},
    {"dht.get", run_dht_get},
    {"trust.list", run_trust_list},
    {"trust.show", run_trust_show},
    {"trust.change", run_trust_change},
    {"trust.export", run_trust_export},
    {"trust.import", run_trust_import},
    {"trust.verify", run_trust_verify},
    {"trust.unban", run_trust_unban},
    {0},
};

/* ---- the service ---- */

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    kith_service *s = ctx;
    if (ev->kind != KITH_NODE_IDENTIFIED && ev->kind != KITH_NODE_DISCONNECTED)
        return;
    KITH_EACH (&s->ops, k) {
        op *o = KITH_OF(k, op, link);
        if (o->kind != OP_DIAL || !o->call || o->conn != ev->conn)
            continue;
        if (ev->kind == KITH_NODE_IDENTIFIED) {
            dial_report(o);
        } else if (!op_turned_away(o, ev->conn)) {
            char text[256];
            snprintf(text, sizeof text, "connected, but lost before identify was complete: %s",
                     ev->why ? ev->why : kith_err_text(ev->err));
            op_error(o, ev->err == KITH_OK ? KITH_ECLOSED : ev->err, NULL, text);
        }
    }
}

kith_service *kith_service_new(const kith_service_config *cfg)
{
    kith_service *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->cfg = *cfg;
    kith_list_init(&s->ops);
    if (!cfg->host)
        return s;
    s->started = kith_host_now(cfg->host);
    s->metrics = kith_metrics_new(cfg->host);
    s->watch = (kith_observer){.event = on_event, .ctx = s};
    kith_host_observe(cfg->host, &s->watch);
    return s;
}

void kith_service_close(kith_service *s)
{
    if (!s || s->closed)
        return;
    s->closed = true;
    kith_invites_close(s->invites);
    kith_discoveries_close(s->looking);
    kith_messages_close(s->messages);
    if (s->cfg.reputation)
        kith_standing_watch_gossip(s->cfg.reputation, NULL);
    kith_topics_close(s->topics);
    kith_metrics_close(s->metrics);
    kith_dht_methods_close(s->dht);
    if (s->cfg.host)
        kith_host_unobserve(s->cfg.host, &s->watch);
    KITH_EACH (&s->ops, k) {
        op *o = KITH_OF(k, op, link);
        if (o->call)
            op_error(o, KITH_ECLOSED, NULL, "the node is stopping");
    }
}

void kith_service_free(kith_service *s)
{
    if (!s)
        return;
    kith_invites_free(s->invites);
    kith_discoveries_free(s->looking);
    kith_messages_free(s->messages);
    kith_topics_free(s->topics);
    kith_metrics_free(s->metrics);
    kith_dht_methods_free(s->dht);
    for (kith_link *k; (k = kith_list_pop(&s->ops));) /* streams that the host cut off without a word */
        free(KITH_OF(k, op, link));
    free(s);
}
