/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One stream: protocol negotiation, then its machine, with the window given back as the machine uses bytes up. */
#include <assert.h>

#include "node/node_impl.h"
#include "proto/ping.h"
#include "proto/rekey.h"

static kith_stream *stream_new(kith_conn *c)
{
    kith_node *n = c->node;
    if (kith_timer_claim_(n))
        return NULL;
    kith_stream *s = KITH_NEW(&n->env, kith_stream);
    if (!s) {
        n->timer_count--;
        return NULL;
    }
    s->note.kind = NOTE_STREAM;
    s->timer.owner = TIMER_STREAM;
    s->conn = c;
    s->negotiate_by = KITH_NEVER;
    kith_list_push(&c->streams, &s->in_conn);
    c->stream_total++;
    return s;
}

void kith_stream_free_(kith_stream *s)
{
    kith_node *n = s->conn->node;
    if (s->machine)
        s->ops->free(s->machine);
    kith_mss_free(s->mss);
    kith_mem_free(&n->env, s->ids, s->id_count * sizeof *s->ids);
    kith_mem_free(&n->env, s->protocol, s->protocol_len);
    if (s->row && --s->row->refs == 0 && !s->row->served) {
        kith_mem_free(&n->env, (void *)(uintptr_t)s->row->p.id.p, s->row->p.id.len);
        KITH_FREE(&n->env, s->row);
    }
    if (s->role == ROLE_APP)
        s->conn->stream_count--;
    s->conn->stream_total--;
    kith_limiter_release_stream(n->limiter);
    kith_timer_unclaim_(n, &s->timer);
    kith_link_remove(&s->note.link);
    kith_link_remove(&s->in_conn);
    KITH_FREE(&n->env, s);
}

kith_err kith_stream_open_(kith_conn *c, kith_time now, const kith_bytes *ids, size_t count,
                           const kith_stream_ops *ops, void *machine, void *user, stream_role role,
                           kith_stream **out)
{
    kith_node *n = c->node;
    kith_err e = KITH_ESTATE;
    if (c->state != CONN_OPEN || n->stopping)
        goto refused;
    e = kith_limiter_stream(n->limiter, c->stream_total);
    if (e)
        goto refused;
    kith_stream *s = stream_new(c);
    e = KITH_ENOMEM;
    if (!s) {
        kith_limiter_release_stream(n->limiter);
        goto refused;
    }
    s->role = (uint8_t)role;
    if (role == ROLE_APP)
        c->stream_count++;
    s->ids = kith_mem_new(&n->env, count * sizeof *ids);
    if (s->ids) {
        memcpy(s->ids, ids, count * sizeof *ids);
        s->id_count = count;
        s->mss = kith_mss_dial(&n->env, s->ids, count);
    }
    if (s->mss)
        e = kith_yamux_open(c->yamux, now, &s->ys);
    if (e) {
        kith_stream_free_(s);
        goto refused;
    }
    s->ops = ops;
    s->machine = machine;
    s->user = user;
    s->negotiate_by = kith_time_after(now, n->cfg.negotiate_timeout);
    kith_yamux_set_user(s->ys, s);
    if (role != ROLE_REKEY_ASK)
        c->active_at = now;
    kith_stream_settle_(s, now);
    *out = s;
    return KITH_OK;
refused:
    ops->free(machine);
    return e;
}

static int find_row(void *ctx, kith_bytes id)
{
    const kith_node *n = ctx;
    for (size_t i = 0; i < n->row_count; i++) {
        if (n->rows[i] && kith_bytes_eq(n->rows[i]->p.id, id))
            return (int)i;
    }
    return -1;
}

void kith_stream_accept_(kith_conn *c, kith_time now, kith_yamux_stream *ys)
{
    kith_node *n = c->node;
    if (kith_limiter_stream(n->limiter, c->stream_total))
        goto refused;
    kith_stream *s = stream_new(c);
    if (!s) {
        kith_limiter_release_stream(n->limiter);
        goto refused;
    }
    c->stream_count++;
    s->inbound = true;
    s->mss = kith_mss_listen(&n->env, find_row, n);
    if (!s->mss) {
        kith_stream_free_(s);
        goto refused;
    }
    s->ys = ys;
    s->negotiate_by = kith_time_after(now, n->cfg.negotiate_timeout);
    kith_yamux_set_user(ys, s);
    c->active_at = now;
    kith_stream_settle_(s, now);
    return;
refused:
    kith_yamux_reset(c->yamux, ys, KITH_YAMUX_RST_LIMIT);
}

static void reset(kith_stream *s, kith_err why, uint32_t code)
{
    if (!s->err)
        s->err = why;
    if (s->ys)
        kith_yamux_reset(s->conn->yamux, s->ys, code); /* its CLOSED event ends the stream */
}

/* The code that tells the peer why. Without one: an end that is nobody's fault, such as a reader who had enough. */
static uint32_t code_of(kith_err e)
{
    switch (e) {
    case KITH_ELIMIT:
    case KITH_ENOMEM:
    case KITH_EREFUSED: /* an application that takes no more */
        return KITH_YAMUX_RST_LIMIT;
    case KITH_ESHORT:
    case KITH_EFORMAT:
    case KITH_EPROTO:
    case KITH_ECRYPTO:
    case KITH_EAUTH:
        return KITH_YAMUX_RST_VIOLATION;
    case KITH_EUNSUPPORTED:
        return KITH_YAMUX_RST_NEGOTIATION;
    case KITH_OK:
    case KITH_ESPACE:
    case KITH_EPOLICY:
    case KITH_ENOTFOUND:
    case KITH_EEXISTS:
    case KITH_ETIMEOUT:
    case KITH_ECLOSED:
    case KITH_ERESET:
    case KITH_ESTATE:
    case KITH_EIO:
        return KITH_YAMUX_NO_ERROR;
    }
    return KITH_YAMUX_NO_ERROR;
}

/* Its machine wants the stream no more. Only identify's says more than that. */
static void give_up(kith_stream *s)
{
    const kith_identify_info *info;
    bool heard = s->role == ROLE_IDENTIFY_ASK || s->role == ROLE_PUSH_HEAR;
    reset(s, KITH_ERESET, heard ? code_of(kith_identify_result(s->machine, &info)) : KITH_YAMUX_NO_ERROR);
}

static uint32_t streams_of(const kith_conn *c, const protocol_row *row)
{
    uint32_t count = 0;
    KITH_EACH (&c->streams, k)
        count += KITH_OF(k, kith_stream, in_conn)->row == row;
    return count;
}

/* The stream's protocol is known: remembers its id and, inbound, makes the machine. often: refused, since there were so many of late. */
static kith_err agree(kith_stream *s, kith_time now, bool *often)
{
    kith_conn *c = s->conn;
    kith_node *n = c->node;
    int choice = kith_mss_choice(s->mss);
    protocol_row *row = s->inbound ? n->rows[choice] : NULL;
    if (s->inbound && !row)
        return KITH_EUNSUPPORTED; /* no longer served since it was offered */
    kith_bytes id = s->inbound ? row->p.id : s->ids[choice];
    s->protocol = kith_mem_new(&n->env, id.len);
    if (!s->protocol)
        return KITH_ENOMEM;
    memcpy(s->protocol, id.p, id.len);
    s->protocol_len = id.len;
    if (s->inbound) {
        if (row->p.streams_per_conn && streams_of(c, row) >= row->p.streams_per_conn)
            return KITH_ELIMIT;
        s->role = (uint8_t)ROLE_APP;
        if (kith_bytes_eq_str(id, KITH_IDENTIFY_ID)) {
            s->role = ROLE_IDENTIFY_ANSWER;
            s->machine = kith_identify_speak_(c, now);
        } else if (kith_bytes_eq_str(id, KITH_IDENTIFY_PUSH_ID)) {
            kith_identify *listener;
            s->role = ROLE_PUSH_HEAR;
            *often = !kith_rate_take(&c->pushes, now, n->cfg.limits.rate_pushes);
            if (!*often && kith_identify_listener(&n->env, now, &c->peer, &listener) == KITH_OK)
                s->machine = listener;
        } else if (kith_bytes_eq_str(id, KITH_PING_ID)) {
            s->role = ROLE_PING;
            s->machine = kith_ping_new_responder(&n->env);
        } else if (kith_bytes_eq_str(id, KITH_REKEY_ID)) {
            s->role = ROLE_REKEY_ANSWER;
            s->machine = kith_rekey_answer_(c, now, often);
        } else {
            kith_stream_info info = {.peer = c->peer, .inbound = true, .protocol = id};
            s->machine = row->p.accept(row->p.ctx, &info);
        }
        if (s->role != ROLE_APP)
            c->stream_count--;
        if (!s->machine)
            return KITH_EREFUSED;
        s->ops = row->p.ops;
        s->user = row->p.user;
        s->row = row;
        row->refs++;
    }
    kith_mem_free(&n->env, s->ids, s->id_count * sizeof *s->ids);
    s->ids = NULL;
    s->id_count = 0;
    s->opened = true;
    if (s->role == ROLE_APP)
        kith_note_(n, &s->note, STREAM_OPENED);
    return KITH_OK;
}

/* After more of the negotiation was read. */
static void negotiated(kith_stream *s, kith_time now)
{
    if (kith_mss_status(s->mss) != KITH_MSS_DONE)
        return;
    bool often = false;
    kith_err e = agree(s, now, &often);
    if (e) {
        reset(s, e, often ? KITH_YAMUX_RST_RATE : code_of(e));
        return;
    }
    s->negotiate_by = KITH_NEVER;
    if (!s->inbound) { /* answered, so everything of it was sent; a listener's echo still waits to be */
        kith_mss_free(s->mss);
        s->mss = NULL;
    }
}

/* Our own business with the peer, at times that say nothing about whether the connection is in use. */
static bool rekeys(const kith_stream *s)
{
    return s->role == ROLE_REKEY_ASK || s->role == ROLE_REKEY_ANSWER;
}

void kith_stream_data_(kith_stream *s, kith_time now, kith_bytes in)
{
    if (s->err)
        return;
    if (!rekeys(s))
        s->conn->active_at = now;
    if (s->mss && kith_mss_status(s->mss) == KITH_MSS_RUNNING) {
        size_t used = 0;
        kith_err e = kith_mss_recv(s->mss, in, &used);
        if (!e) {
            negotiated(s, now);
            if (s->err)
                return;
            kith_yamux_used(s->conn->yamux, now, s->ys, used);
            in = kith_bytes_skip(in, used);
        } else {
            reset(s, e, KITH_YAMUX_RST_NEGOTIATION);
            return;
        }
    }
    if (in.len > 0) {
        assert(s->machine && s->opened);
        s->unread += in.len;
        kith_err e = s->ops->recv(s->machine, now, in);
        if (!e && rekeys(s))
            e = kith_rekey_heard_(s);
        if (e) {
            reset(s, e, code_of(e));
            return;
        }
    }
    kith_stream_settle_(s, now);
}

void kith_stream_eof_(kith_stream *s, kith_time now)
{
    if (s->err || s->peer_eof)
        return;
    s->peer_eof = true;
    if (!s->opened) {
        reset(s, KITH_ECLOSED, KITH_YAMUX_RST_NEGOTIATION);
        return;
    }
    s->ops->eof(s->machine, now);
    kith_stream_settle_(s, now);
}

/* Payload right behind the last proposal saves a round trip, but a peer that refuses it takes the payload for negotiation and resets
 * the stream instead of saying no. So not towards a peer that is known to lack the protocol. */
static bool worth_passing(const kith_stream *s)
{
    return s->inbound || !s->conn->identified || kith_conn_supports(s->conn, s->ids[s->id_count - 1]);
}

size_t kith_stream_fill_(kith_stream *s, kith_time now, kith_span out, bool *fin)
{
    size_t len = 0;
    *fin = false;
    if (s->err || s->fin_sent)
        return 0;
    if (s->mss) {
        while (len < out.len) {
            size_t k = kith_mss_send(s->mss, kith_span_skip(out, len));
            if (k == 0)
                break;
            len += k;
        }
        if (len == out.len)
            return len; /* there may be more of it; a turn without window comes here too */
        if (kith_mss_status(s->mss) == KITH_MSS_DONE && s->opened) {
            kith_mss_free(s->mss);
            s->mss = NULL;
        } else if (!s->machine || !kith_mss_may_pass(s->mss) || !worth_passing(s)) {
            return len;
        }
    }
    while (len < out.len) {
        size_t k = s->ops->send(s->machine, now, kith_span_skip(out, len));
        assert(k <= out.len - len);
        if (k == 0)
            break;
        len += k;
        if (s->role == ROLE_APP)
            s->conn->active_at = now;
    }
    switch (s->ops->want(s->machine)) {
    case KITH_STREAM_OPEN:
        break;
    case KITH_STREAM_FIN:
        /* On an empty frame of its own, and once the protocol is agreed, as everybody sends it: js forgets payload that
         * comes with a FIN, and misses a FIN that comes before its application has the stream. */
        *fin = s->fin_sent = len == 0 && !s->mss;
        break;
    case KITH_STREAM_RESET:
        give_up(s);
        return 0;
    }
    return len;
}

void kith_stream_after_(kith_stream *s, kith_time now)
{
    kith_node *n = s->conn->node;
    if (s->over || !s->ys)
        return;
    kith_time at = s->negotiate_by;
    if (s->machine && !s->err) {
        if (s->ops->want(s->machine) == KITH_STREAM_RESET) {
            give_up(s);
        } else {
            size_t held = s->ops->held ? s->ops->held(s->machine) : 0;
            if (s->unread > held) {
                kith_yamux_used(s->conn->yamux, now, s->ys, s->unread - held);
                s->unread = held;
            }
            if (s->ops->deadline)
                at = kith_time_min(at, s->ops->deadline(s->machine));
        }
        if (s->role == ROLE_APP && s->ops->pending && s->ops->pending(s->machine))
            kith_note_(n, &s->note, STREAM_READY);
    }
    kith_timers_set(&n->timers, &s->timer.t, s->err ? KITH_NEVER : at);
}

void kith_stream_settle_(kith_stream *s, kith_time now)
{
    kith_stream_after_(s, now);
    if (s->ys && !s->fin_sent && !s->err)
        kith_yamux_want(s->conn->yamux, s->ys);
}

void kith_stream_tick_(kith_stream *s, kith_time now)
{
    if (s->over || s->err)
        return;
    if (now >= s->negotiate_by) {
        reset(s, KITH_ETIMEOUT, KITH_YAMUX_RST_NEGOTIATION);
        return;
    }
    if (s->machine && s->ops->deadline && now >= s->ops->deadline(s->machine))
        s->ops->tick(s->machine, now);
    kith_stream_settle_(s, now);
}

void kith_stream_end_(kith_stream *s, kith_time now, kith_err err)
{
    if (s->over)
        return;
    s->over = true;
    s->ys = NULL;
    if (!s->err)
        s->err = err;
    kith_timers_set(&s->conn->node->timers, &s->timer.t, KITH_NEVER);
    if (s->machine)
        s->ops->gone(s->machine, now, s->err);
    if (rekeys(s))
        kith_rekey_over_(s, now);
    kith_note_(s->conn->node, &s->note, STREAM_GONE);
}
