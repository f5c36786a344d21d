/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Both sides of an invitation, on streams of KITH_INVITE_ID. */
#include "host/invites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/invite.h"
#include "apps/pipe.h"
#include "base/list.h"
#include "crypto/crypto.h"
#include "host/clock.h"
#include "host/json.h"

#define TICK_MS 1000
#define TTL_MAX (30u * 86400)
#define FAREWELL_S 5 /* for a guest to take our proof, before its invitation counts as done */

typedef enum kind { OPEN, GREETING, JOINING } kind;

/* An open invitation; a guest whose proof was right, until it is pinned; or a visit of our own to somebody who invited us. */
typedef struct op {
    kith_link link;
    struct kith_invites *owner;
    kind kind;
    kith_rpc_call *call; /* NULL: answered */
    kith_invite v;
    char name[KITH_TRUST_NAME_MAX + 1];
    kith_stream *stream; /* GREETING, JOINING: while it lives */
    kith_sink sink;
    kith_pipe *pipe; /* the stream's */
    bool waiting;    /* for the disk or a dial: not to be freed */
    kith_verify_end guest, host;
    uint8_t proof[KITH_INVITE_PROOF_LEN]; /* GREETING: to send; JOINING: to come */
    kith_sig_alg sig;                     /* of the other side's key */
    uint64_t leave_by; /* GREETING: pinned; when its stream is over, or at this time, the call is answered */
} op;

struct kith_invites {
    kith_host *host;
    kith_trust *trust;
    kith_book *book;
    kith_pq_id own;
    kith_list ops;
    size_t open, guests;
    uv_timer_t timer;
    kith_sink door; /* of guests' streams */
    bool closed;
};

static const kith_bytes protocol[] = {{(const uint8_t *)KITH_INVITE_ID, sizeof KITH_INVITE_ID - 1}};

static kith_node *node_of(const kith_invites *v)
{
    return kith_host_node(v->host);
}

static void reset(kith_invites *v, kith_stream *s)
{
    kith_node_reset(node_of(v), kith_host_now(v->host), s);
    kith_host_kick(v->host);
}

static void op_release(op *o)
{
    if (o->call || o->waiting || o->stream)
        return;
    kith_link_remove(&o->link);
    o->owner->open -= o->kind == OPEN;
    o->owner->guests -= o->kind == GREETING;
    kith_wipe(o, sizeof *o);
    free(o);
}

static void op_error(op *o, kith_err err, const char *stage, const char *text)
{
    kith_rpc_call *call = o->call;
    o->call = NULL;
    if (call)
        kith_rpc_error(call, err, stage, "%s", text);
    if (o->stream)
        reset(o->owner, o->stream);
    op_release(o);
}

static void on_cancel(void *state)
{
    op *o = state;
    op_error(o, KITH_ECLOSED, NULL, "cancelled");
}

static op *op_new(kith_invites *v, kind k, kith_rpc_call *call, const json_t *params)
{
    const char *name = json_string_value(json_object_get(params, "name"));
    const char *wrong = name && *name ? kith_trust_name_wrong(kith_bytes_str(name)) : NULL;
    op *o = wrong ? NULL : calloc(1, sizeof *o);
    if (!o) {
        if (wrong)
            kith_rpc_bad_params(call, "this cannot be a name: %s", wrong);
        else if (call)
            kith_rpc_error(call, KITH_ENOMEM, NULL, "no memory");
        return NULL;
    }
    o->owner = v;
    o->kind = k;
    o->call = call;
    if (name)
        snprintf(o->name, sizeof o->name, "%s", name);
    if (call)
        kith_rpc_on_cancel(call, on_cancel, o);
    kith_list_push(&v->ops, &o->link);
    v->open += k == OPEN;
    v->guests += k == GREETING;
    return o;
}

/* Who the two ends of a connection are, as it has proven them. */
static void ends(const kith_invites *v, const kith_conn_facts *f, kith_verify_end *own,
                 kith_verify_end *other)
{
    *own = (kith_verify_end){.peer = *kith_node_id(node_of(v))};
    *other = (kith_verify_end){.peer = f->peer, .pq = f->pq.id};
    if (f->pq.id.len)
        own->pq = v->own;
}

static kith_trust_edit pin_of(const kith_verify_end *e, kith_sig_alg sig, const char *name)
{
    kith_trust_edit p = {.act = KITH_TRUST_PIN, .peer = e->peer, .pq = e->pq, .sig = sig};
    snprintf(p.name, sizeof p.name, "%s", name);
    return p;
}

static json_t *json_pinned(const kith_verify_end *e, const char *name)
{
    char key[KITH_PQ_ID_TEXT_LEN + 1];
    kith_pq_id_text(&e->pq, key);
    return json_pack("{s:o, s:o, s:s}", "peer", kith_json_peer(&e->peer), "name", kith_json_text(name), "key",
                     key);
}

/* ---- the host's side ---- */

static void *accept_guest(void *ctx, const kith_stream_info *info)
{
    (void)info;
    kith_invites *v = ctx;
    if (v->open == 0 || v->closed)
        return NULL;
    kith_pipe *p = kith_pipe_new(kith_node_env(node_of(v)));
    kith_pipe_free(p); /* the stream's hold is left */
    return p;
}

/* The guest is pinned, and has our proof or does not take it. Whoever waits for this may end the node then. */
static void greeted(op *o)
{
    kith_rpc_call *call = o->call;
    o->call = NULL;
    if (call)
        kith_rpc_result(call, json_pinned(&o->guest, o->name));
    op_release(o);
}

static void on_greeting_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    op *o = ctx;
    if (ev->kind != KITH_NODE_STREAM_GONE) {
        kith_pipe_seen(o->pipe);
        return;
    }
    o->stream = NULL;
    o->pipe = NULL;
    if (o->leave_by)
        greeted(o);
    else
        op_release(o);
}

static void on_guest_pinned(void *ctx, kith_err err, const char *why)
{
    op *o = ctx; /* GREETING; its call was the invitation's */
    char text[KITH_REASON_MAX + 64];
    o->waiting = false;
    if (!o->call) { /* the node is stopping */
        op_release(o);
    } else if (err) {
        snprintf(text, sizeof text, "the guest had the invitation, but %s", why);
        op_error(o, err, NULL, text);
    } else if (!o->stream || kith_pipe_put(o->pipe, kith_bytes_of(o->proof, sizeof o->proof))) {
        greeted(o);
    } else {
        o->leave_by = kith_wall_s() + FAREWELL_S;
        kith_pipe_finish(o->pipe);
        kith_node_wake(node_of(o->owner), kith_host_now(o->owner->host), o->stream);
        kith_host_kick(o->owner->host);
    }
}

static void on_ignore(void *state)
{
    (void)state;
}

/* The proof is right: the invitation is used up, whatever comes of it. */
static void greet(op *o, kith_stream *s, const kith_conn_facts *f, const kith_verify_end *guest,
                  const kith_verify_end *host)
{
    o->owner->open--;
    o->owner->guests++;
    o->kind = GREETING;
    o->guest = *guest;
    o->host = *host;
    o->stream = s;
    o->pipe = kith_stream_machine(s);
    o->sink = (kith_sink){.event = on_greeting_event, .ctx = o};
    kith_stream_set_user(s, &o->sink);
    kith_invite_proof(o->v.secret, KITH_INVITE_HOST, f->channel, guest, host, o->proof);
    kith_rpc_on_cancel(o->call, on_ignore, NULL); /* too late to take it back */
    kith_trust_edit pin = pin_of(guest, f->pq.alg, o->name);
    o->waiting = true;
    if (kith_trust_edit_all(o->owner->trust, &pin, 1, on_guest_pinned, o)) {
        o->waiting = false;
        op_error(o, KITH_ENOMEM, NULL, "no memory");
    }
}

static void on_door(void *ctx, kith_host *h, const kith_node_event *ev)
{
    kith_invites *v = ctx;
    uint8_t came[KITH_INVITE_PROOF_LEN], want[KITH_INVITE_PROOF_LEN];
    kith_conn_facts f;
    kith_verify_end own, other;
    if (ev->kind != KITH_NODE_STREAM_READY)
        return;
    kith_pipe *p = kith_stream_machine(ev->stream);
    kith_bytes in = kith_pipe_view(p);
    kith_pipe_seen(p);
    if (in.len < sizeof came)
        return; /* the rest comes, or the stream is left standing; it costs the only one of its connection */
    memcpy(came, in.p, sizeof came);
    kith_pipe_used(p, sizeof came);
    kith_conn *c = kith_stream_conn(ev->stream);
    kith_conn_facts_get(c, &f);
    ends(v, &f, &own, &other);
    op *found = NULL;
    KITH_EACH (&v->ops, k) {
        op *o = KITH_OF(k, op, link);
        if (o->kind != OPEN || !o->call || !f.channel)
            continue;
        kith_invite_proof(o->v.secret, KITH_INVITE_GUEST, f.channel, &other, &own, want);
        if (kith_ct_eq(kith_bytes_of(want, sizeof want), kith_bytes_of(came, sizeof came)) &&
            kith_wall_s() < o->v.expires)
            found = o;
    }
    kith_wipe(want, sizeof want);
    if (found && v->guests >= KITH_INVITE_GUESTS_MAX) { /* it stays open, and the guest may come again */
        reset(v, ev->stream);
        return;
    }
    if (found) {
        greet(found, ev->stream, &f, &other, &own);
        return;
    }
    kith_node_close(kith_host_node(h), kith_host_now(h), c); /* one guess costs a connection */
    kith_host_kick(h);
}

static void on_tick(uv_timer_t *t)
{
    kith_invites *v = t->data;
    uint64_t now = kith_wall_s();
    KITH_EACH (&v->ops, k) {
        op *o = KITH_OF(k, op, link);
        if (o->kind == OPEN && o->call && now >= o->v.expires)
            op_error(o, KITH_ETIMEOUT, NULL, "nobody came, and the invitation has expired");
        else if (o->leave_by && o->call && now >= o->leave_by)
            greeted(o);
    }
}

/* What others can reach; loopback only when there is nothing else. */
static void own_addrs(const kith_invites *v, kith_invite *out)
{
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX];
    size_t n = kith_host_addrs(v->host, addrs, KITH_RECORD_ADDRS_MAX);
    for (int loopback = 0; loopback < 2 && out->addr_count == 0; loopback++) {
        for (size_t i = 0; i < n && out->addr_count < KITH_INVITE_ADDRS_MAX; i++) {
            kith_ip_scope scope = kith_maddr_scope(&addrs[i]);
            if (scope != KITH_IP_LINK && (scope == KITH_IP_LOOPBACK) == loopback)
                out->addrs[out->addr_count++] = addrs[i];
        }
    }
}

void kith_invites_run_invite(kith_invites *v, kith_rpc_call *call, const json_t *params)
{
    json_int_t ttl = json_integer_value(json_object_get(params, "ttl"));
    char text[KITH_INVITE_TEXT_MAX + 1];
    if (ttl < 1 || ttl > TTL_MAX) {
        kith_rpc_bad_params(call, "'ttl' must be seconds from 1 to %u", TTL_MAX);
        return;
    }
    if (v->open >= KITH_INVITES_MAX) {
        kith_rpc_error(call, KITH_ELIMIT, NULL, "there are %d open invitations already", KITH_INVITES_MAX);
        return;
    }
    op *o = op_new(v, OPEN, call, params);
    if (!o)
        return;
    o->v.peer = *kith_node_id(node_of(v));
    o->v.pq = v->own;
    o->v.expires = kith_wall_s() + (uint64_t)ttl;
    kith_rand_fill(kith_host_env(), kith_span_of(o->v.secret, sizeof o->v.secret));
    own_addrs(v, &o->v);
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text - 1));
    if (o->v.addr_count == 0 || kith_invite_text(&o->v, &w)) {
        op_error(o, KITH_ESTATE, NULL, "this node has no address at which a guest could reach it");
        return;
    }
    text[w.len] = '\0';
    kith_rpc_event(call, json_pack("{s:s, s:s, s:I}", "event", "invitation", "link", text, "expires",
                                   (json_int_t)o->v.expires));
    kith_wipe(text, sizeof text);
}

/* ---- the guest's side ---- */

static void on_host_named(void *ctx, kith_err err, const char *why)
{
    op *o = ctx;
    o->waiting = false;
    if (!o->call) {
        op_release(o);
    } else if (err) {
        op_error(o, err, NULL, why);
    } else {
        kith_rpc_call *call = o->call;
        o->call = NULL;
        kith_rpc_result(call, json_pinned(&o->host, o->name));
        op_release(o);
    }
}

static void on_join_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    op *o = ctx;
    if (ev->kind == KITH_NODE_STREAM_GONE) {
        o->stream = NULL;
        o->pipe = NULL;
        const char *refusal = kith_conn_refusal(ev->conn);
        if (o->call && !o->waiting)
            op_error(o, ev->err == KITH_EUNSUPPORTED ? KITH_EUNSUPPORTED : KITH_EREFUSED, NULL,
                     refusal
                         ? refusal
                         : "the invitation is not open there: it was used, has expired, or was taken back");
        else
            op_release(o);
        return;
    }
    kith_bytes in = kith_pipe_view(o->pipe);
    kith_pipe_seen(o->pipe);
    if (in.len < sizeof o->proof || o->waiting || !o->call)
        return;
    if (!kith_ct_eq(kith_bytes_of(in.p, sizeof o->proof), kith_bytes_of(o->proof, sizeof o->proof))) {
        op_error(o, KITH_EAUTH, NULL, "whoever answered does not have the invitation's secret");
        return;
    }
    kith_pipe_used(o->pipe, in.len);
    kith_pipe_finish(o->pipe);
    kith_node_wake(node_of(o->owner), kith_host_now(o->owner->host), o->stream);
    kith_host_kick(o->owner->host);
    kith_trust_edit pin = pin_of(&o->host, o->sig, o->name);
    o->waiting = true;
    if (kith_trust_edit_all(o->owner->trust, &pin, 1, on_host_named, o)) {
        o->waiting = false;
        op_error(o, KITH_ENOMEM, NULL, "no memory");
    }
}

static void on_reached(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    op *o = ctx;
    uint8_t proof[KITH_INVITE_PROOF_LEN];
    kith_conn_facts f;
    o->waiting = false;
    if (!o->call) {
        op_release(o);
        return;
    }
    if (!c) {
        char text[KITH_REASON_MAX + 64];
        snprintf(text, sizeof text, "cannot reach who invited: %s", why ? why : kith_err_text(err));
        op_error(o, err, "dial", text);
        return;
    }
    kith_conn_facts_get(c, &f);
    ends(o->owner, &f, &o->guest, &o->host);
    o->sig = f.pq.alg;
    kith_invite_proof(o->v.secret, KITH_INVITE_GUEST, f.channel, &o->guest, &o->host, proof);
    kith_invite_proof(o->v.secret, KITH_INVITE_HOST, f.channel, &o->guest, &o->host, o->proof);
    o->pipe = kith_pipe_new(kith_host_env());
    o->sink = (kith_sink){.event = on_join_event, .ctx = o};
    kith_err e = o->pipe ? kith_pipe_put(o->pipe, kith_bytes_of(proof, sizeof proof)) : KITH_ENOMEM;
    if (o->pipe)
        kith_pipe_free(o->pipe); /* the stream's hold is left */
    if (!e)
        e = kith_node_open(kith_host_node(h), kith_host_now(h), c, protocol, 1, &kith_pipe_ops, o->pipe,
                           &o->sink, &o->stream);
    else if (o->pipe)
        kith_pipe_free(o->pipe);
    if (e) {
        o->pipe = NULL;
        op_error(o, e, NULL, kith_err_text(e));
        return;
    }
    kith_host_kick(h);
}

/* The link's word about the host's key counts before the first byte. */
static void on_host_pinned(void *ctx, kith_err err, const char *why)
{
    op *o = ctx;
    o->waiting = false;
    if (!o->call) {
        op_release(o);
        return;
    }
    if (err) {
        op_error(o, err, NULL, why);
        return;
    }
    kith_err e = kith_host_dial(o->owner->host, &o->v.peer, o->v.addrs, o->v.addr_count, on_reached, o);
    if (e)
        op_error(o, e, "dial",
                 e == KITH_ENOTFOUND ? "the invitation has no address that kith can dial" : kith_err_text(e));
    else
        o->waiting = true;
}

void kith_invites_run_join(kith_invites *v, kith_rpc_call *call, const json_t *params)
{
    const char *link = json_string_value(json_object_get(params, "link")), *why = NULL;
    kith_invite parsed;
    if (!link || kith_invite_parse(kith_bytes_str(link), &parsed, &why)) {
        kith_rpc_error(call, KITH_EFORMAT, NULL, "this invitation cannot be used: %s",
                       link ? why : "there is none");
        return;
    }
    if (kith_wall_s() >= parsed.expires) {
        kith_rpc_error(call, KITH_ETIMEOUT, NULL, "this invitation has expired; ask for another");
        return;
    }
    if (kith_peer_id_eq(&parsed.peer, kith_node_id(node_of(v)))) {
        kith_rpc_error(call, KITH_EFORMAT, NULL, "this invitation is your own; it is for somebody else");
        return;
    }
    op *o = op_new(v, JOINING, call, params);
    if (!o)
        return;
    o->v = parsed;
    kith_wipe(&parsed, sizeof parsed);
    kith_verify_end host = {.peer = o->v.peer, .pq = o->v.pq};
    kith_trust_edit pin = pin_of(&host, KITH_SIG_NONE, "");
    for (size_t i = 0; v->book && i < o->v.addr_count; i++)
        kith_book_note_addr(v->book, &o->v.peer, &o->v.addrs[i], KITH_BOOK_TICKET, kith_wall_s());
    o->waiting = true;
    if (kith_trust_edit_all(v->trust, &pin, 1, on_host_pinned, o)) {
        o->waiting = false;
        op_error(o, KITH_ENOMEM, NULL, "no memory");
    }
}

/* ---- life ---- */

kith_invites *kith_invites_new(kith_host *h, kith_trust *t, kith_book *book, const kith_pq_id *own)
{
    kith_invites *v = calloc(1, sizeof *v);
    if (!v)
        return NULL;
    v->host = h;
    v->trust = t;
    v->book = book;
    v->own = *own;
    kith_list_init(&v->ops);
    v->door = (kith_sink){.event = on_door, .ctx = v};
    kith_protocol row = {.id = protocol[0],
                         .ops = &kith_pipe_ops,
                         .accept = accept_guest,
                         .ctx = v,
                         .user = &v->door,
                         .streams_per_conn = 1};
    if (kith_node_serve(node_of(v), kith_host_now(h), &row)) {
        free(v);
        return NULL;
    }
    uv_timer_init(kith_host_loop(h), &v->timer);
    v->timer.data = v;
    uv_timer_start(&v->timer, on_tick, TICK_MS, TICK_MS);
    uv_unref((uv_handle_t *)&v->timer);
    return v;
}

void kith_invites_close(kith_invites *v)
{
    if (!v || v->closed)
        return;
    v->closed = true;
    uv_close((uv_handle_t *)&v->timer, NULL);
    KITH_EACH (&v->ops, k) {
        op *o = KITH_OF(k, op, link);
        if (o->leave_by)
            greeted(o);
        else
            op_error(o, KITH_ECLOSED, NULL, "the node is stopping");
    }
}

void kith_invites_free(kith_invites *v)
{
    if (!v)
        return;
    for (kith_link *k; (k = kith_list_pop(&v->ops));) { /* streams that the host cut off without a word */
        op *o = KITH_OF(k, op, link);
        kith_wipe(o, sizeof *o);
        free(o);
    }
    free(v);
}
