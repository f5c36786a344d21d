/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Questions to peers, from dialling to the answer. */
#include "mesh/request.h"

#include <assert.h>

#include "base/list.h"
#include "proto/frames.h"

#define CLOSING KITH_SEC(10) /* for the peer's half-close after its answer */

/* The machine of a question's stream. */
typedef struct asking {
    const kith_env *env; /* the node's */
    kith_requests *all;
    kith_request *request; /* NULL: it has its end, or was given up */
    kith_buf out;
    kith_frames in;
    bool answered; /* an answer is wanted */
    bool given_up;
    kith_time limit;
} asking;

typedef enum stage { WAITING, DIALING, ASKING, ENDED } stage;

struct kith_request {
    kith_link link; /* waiting, active or ended */
    stage stage;
    kith_peer_id peer;
    void *owner;
    uint64_t tag;
    bool answered;
    uint8_t *message, *addrs, *answer;
    size_t message_len, addrs_len, answer_len;
    uint64_t dial_id;
    kith_stream *stream;
    asking *machine;
    kith_time since, until;
    kith_time took;
    kith_err err;
    const char *why;
    bool ours;
};

struct kith_requests {
    kith_requests_config cfg;
    /* Those under way all have the same time, so the first of them is the first whose time is over. */
    kith_list waiting, active, ended;
    size_t count, active_count;
    kith_request *told; /* its end was told, by the last next */
};

static void request_free(kith_requests *r, kith_request *q)
{
    const kith_env *env = &r->cfg.env;
    kith_link_remove(&q->link);
    kith_mem_free(env, q->message, q->message_len);
    kith_mem_free(env, q->addrs, q->addrs_len);
    kith_mem_free(env, q->answer, q->answer_len);
    KITH_FREE(env, q);
    r->count--;
}

static void inactive(kith_requests *r, kith_request *q)
{
    r->active_count -= q->stage == DIALING || q->stage == ASKING;
}

/* why is static. */
static void end(kith_requests *r, kith_request *q, kith_time now, kith_err err, const char *why)
{
    assert(q->stage != ENDED);
    inactive(r, q);
    if (q->machine)
        q->machine->request = NULL;
    q->machine = NULL;
    q->stream = NULL;
    q->took = q->stage == WAITING ? 0 : now - q->since;
    q->stage = ENDED;
    q->err = err;
    q->why = why;
    kith_link_remove(&q->link);
    kith_list_push(&r->ended, &q->link);
}

/* ---- the stream ---- */

static kith_err asking_recv(void *m, kith_time now, kith_bytes in)
{
    asking *a = m;
    kith_request *q = a->request;
    if (!q)
        return KITH_OK; /* behind its answer, or too late */
    if (!a->answered) {
        end(a->all, q, now, KITH_EPROTO, "it answered what has no answer");
        return KITH_EPROTO;
    }
    kith_bytes msg;
    kith_err e = kith_frames_put(&a->in, a->env, in);
    if (!e)
        e = kith_frames_first(&a->in, &msg);
    if (e == KITH_ESHORT)
        return KITH_OK;
    if (!e && msg.len > 0) {
        q->answer = kith_mem_new(&a->all->cfg.env, msg.len);
        if (!q->answer)
            e = KITH_ENOMEM;
    }
    if (!e) {
        q->answer_len = msg.len;
        if (msg.len > 0)
            memcpy(q->answer, msg.p, msg.len);
    }
    kith_frames_fini(&a->in, a->env);
    q->ours = e == KITH_ENOMEM;
    end(a->all, q, now, e, e ? "its answer was refused" : NULL);
    a->limit = kith_time_after(now, CLOSING);
    return e;
}

static void asking_eof(void *m, kith_time now)
{
    asking *a = m;
    if (a->request)
        end(a->all, a->request, now, a->answered || a->out.len > 0 ? KITH_ECLOSED : KITH_OK,
            a->answered ? "it closed without an answer" : NULL);
}

static size_t asking_send(void *m, kith_time now, kith_span out)
{
    asking *a = m;
    (void)now;
    return kith_buf_take(&a->out, a->env, out);
}

static kith_stream_want asking_want(const void *m)
{
    const asking *a = m;
    if (a->given_up)
        return KITH_STREAM_RESET;
    return a->out.len == 0 && (!a->answered || !a->request) ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

static size_t asking_held(const void *m)
{
    return kith_frames_held(&((const asking *)m)->in);
}

static kith_time asking_deadline(const void *m)
{
    return ((const asking *)m)->limit;
}

static void asking_tick(void *m, kith_time now)
{
    asking *a = m;
    a->given_up |= now >= a->limit;
}

static void asking_gone(void *m, kith_time now, kith_err why)
{
    asking *a = m;
    bool said =
        !a->answered && a->out.len == 0 && why == KITH_ERESET; /* go closes in good order, js resets */
    if (a->request)
        end(a->all, a->request, now,
            said  ? KITH_OK
            : why ? why
                  : KITH_ECLOSED,
            said                       ? NULL
            : why == KITH_EUNSUPPORTED ? "it does not speak the protocol"
                                       : "the stream ended before the answer");
    a->limit = KITH_NEVER;
}

static void asking_free(void *m)
{
    asking *a = m;
    if (!a)
        return;
    kith_buf_fini(&a->out, a->env);
    kith_frames_fini(&a->in, a->env);
    KITH_FREE(a->env, a);
}

static const kith_stream_ops asking_ops = {
    .recv = asking_recv,
    .eof = asking_eof,
    .send = asking_send,
    .want = asking_want,
    .held = asking_held,
    .deadline = asking_deadline,
    .tick = asking_tick,
    .gone = asking_gone,
    .free = asking_free,
};

static asking *asking_new(kith_requests *r, kith_request *q)
{
    const kith_env *env = kith_node_env(r->cfg.node);
    asking *a = KITH_NEW(env, asking);
    if (!a)
        return NULL;
    uint8_t prefix[9];
    kith_wr w = kith_wr_of(kith_span_of(prefix, sizeof prefix));
    kith_put_uvarint(&w, q->message_len);
    *a = (asking){.env = env, .all = r, .request = q, .answered = q->answered, .limit = KITH_NEVER};
    kith_buf_init(&a->out, q->message_len + w.len);
    kith_frames_init(&a->in, r->cfg.answer_max, 256 * 1024); /* a window may be full behind the answer */
    if (kith_buf_put(&a->out, env, kith_wr_bytes(&w)) ||
        kith_buf_put(&a->out, env, kith_bytes_of(q->message, q->message_len))) {
        asking_free(a);
        return NULL;
    }
    return a;
}

/* ---- the way to it ---- */

static void ask(kith_requests *r, kith_request *q, kith_time now, kith_conn *c)
{
    asking *a = asking_new(r, q);
    kith_stream *s = NULL;
    q->stage = ASKING;
    if (!a) {
        q->ours = true;
        end(r, q, now, KITH_ENOMEM, "no memory");
        return;
    }
    q->machine = a;
    kith_err e = kith_node_open(r->cfg.node, now, c, &r->cfg.protocol, 1, &asking_ops, a, NULL, &s);
    if (e) { /* a is gone */
        q->machine = NULL;
        q->ours = e != KITH_ESTATE;
        end(r, q, now, e, "no stream could be opened");
    } else if (q->stage == ASKING) {
        q->stream = s;
    }
}

static void begin(kith_requests *r, kith_request *q, kith_time now)
{
    q->since = now;
    q->until = kith_time_after(now, r->cfg.timeout);
    q->stage = DIALING;
    r->active_count++;
    kith_link_remove(&q->link);
    kith_list_push(&r->active, &q->link);
    kith_conn *c = kith_node_conn_find(r->cfg.node, &q->peer);
    if (c) {
        ask(r, q, now, c);
        return;
    }
    kith_maddr addrs[KITH_ADDRS_MAX];
    size_t n = kith_addrs_unpack(kith_bytes_of(q->addrs, q->addrs_len), addrs, KITH_ADDRS_MAX);
    kith_err e = kith_node_dial(r->cfg.node, now, &q->peer, addrs, n, &q->dial_id);
    q->ours = e == KITH_ELIMIT || e == KITH_ENOMEM || e == KITH_ESTATE;
    if (e)
        end(r, q, now, e, "no usable address");
}

void kith_requests_event(kith_requests *r, kith_time now, const kith_node_event *ev)
{
    if (ev->kind != KITH_NODE_DIALED)
        return;
    KITH_EACH (&r->active, k) {
        kith_request *q = KITH_OF(k, kith_request, link);
        if (q->stage != DIALING || q->dial_id != ev->dial_id)
            continue;
        if (ev->conn) {
            ask(r, q, now, ev->conn);
        } else {
            q->ours = ev->err == KITH_ELIMIT || ev->err == KITH_ENOMEM || ev->err == KITH_ESTATE;
            end(r, q, now, ev->err, "it could not be reached");
        }
        return;
    }
}

bool kith_requests_act(kith_requests *r, kith_time now)
{
    bool any = false;
    while (r->active_count < r->cfg.active_max) {
        kith_link *k = kith_list_first(&r->waiting);
        if (!k)
            break;
        begin(r, KITH_OF(k, kith_request, link), now);
        any = true;
    }
    return any;
}

kith_time kith_requests_deadline(const kith_requests *r)
{
    kith_link *k = kith_list_first(&r->active);
    return k ? KITH_OF(k, kith_request, link)->until : KITH_NEVER;
}

/* Lets go of what it holds of the node. */
static void give_up(kith_requests *r, kith_request *q, kith_time now)
{
    if (q->stage == DIALING)
        kith_node_dial_cancel(r->cfg.node, now, q->dial_id);
    kith_stream *s = q->stream;
    if (q->machine) {
        q->machine->request = NULL;
        q->machine->given_up = true;
        q->machine = NULL;
        if (s)
            kith_node_reset(r->cfg.node, now, s);
    }
    q->stream = NULL;
}

void kith_requests_tick(kith_requests *r, kith_time now)
{
    for (kith_link *k; (k = kith_list_first(&r->active)) && KITH_OF(k, kith_request, link)->until <= now;) {
        kith_request *q = KITH_OF(k, kith_request, link);
        give_up(r, q, now);
        end(r, q, now, KITH_ETIMEOUT, "no answer in time");
    }
}

/* ---- the owner ---- */

kith_requests *kith_requests_new(const kith_requests_config *cfg)
{
    kith_requests *r = KITH_NEW(&cfg->env, kith_requests);
    if (!r)
        return NULL;
    r->cfg = *cfg;
    kith_list_init(&r->waiting);
    kith_list_init(&r->active);
    kith_list_init(&r->ended);
    return r;
}

void kith_requests_free(kith_requests *r)
{
    if (!r)
        return;
    kith_list *lists[] = {&r->waiting, &r->active, &r->ended};
    for (size_t i = 0; i < 3; i++) {
        for (kith_link *k; (k = kith_list_first(lists[i]));)
            request_free(r, KITH_OF(k, kith_request, link));
    }
    if (r->told)
        request_free(r, r->told);
    kith_env env = r->cfg.env;
    KITH_FREE(&env, r);
}

static bool copy(const kith_env *env, kith_bytes in, uint8_t **out, size_t *len)
{
    if (in.len == 0)
        return true;
    *out = kith_mem_new(env, in.len);
    if (!*out)
        return false;
    memcpy(*out, in.p, in.len);
    *len = in.len;
    return true;
}

kith_err kith_requests_start(kith_requests *r, const kith_peer_id *peer, kith_bytes addrs, kith_bytes message,
                             bool answered, void *owner, uint64_t tag)
{
    if (r->count >= r->cfg.most)
        return KITH_ELIMIT;
    kith_request *q = KITH_NEW(&r->cfg.env, kith_request);
    if (!q)
        return KITH_ENOMEM;
    r->count++;
    if (!copy(&r->cfg.env, addrs, &q->addrs, &q->addrs_len) ||
        !copy(&r->cfg.env, message, &q->message, &q->message_len)) {
        request_free(r, q);
        return KITH_ENOMEM;
    }
    q->peer = *peer;
    q->answered = answered;
    q->owner = owner;
    q->tag = tag;
    kith_list_push(&r->waiting, &q->link);
    return KITH_OK;
}

static void cancel_in(kith_requests *r, kith_list *l, kith_time now, const void *owner)
{
    KITH_EACH (l, k) {
        kith_request *q = KITH_OF(k, kith_request, link);
        if (q->owner != owner)
            continue;
        give_up(r, q, now);
        inactive(r, q);
        request_free(r, q);
    }
}

void kith_requests_cancel(kith_requests *r, kith_time now, const void *owner)
{
    cancel_in(r, &r->waiting, now, owner);
    cancel_in(r, &r->active, now, owner);
    cancel_in(r, &r->ended, now, owner);
}

unsigned kith_requests_leave(kith_requests *r, kith_time now, const void *owner, void *to, unsigned most)
{
    unsigned n = 0;
    KITH_EACH (&r->active, k) {
        kith_request *q = KITH_OF(k, kith_request, link);
        if (q->owner != owner || n == most)
            continue;
        q->owner = to;
        n++;
    }
    kith_requests_cancel(r, now, owner);
    return n;
}

bool kith_requests_asks(const kith_requests *r, const kith_peer_id *peer)
{
    KITH_EACH (&r->active, k) {
        if (kith_peer_id_eq(&KITH_OF(k, kith_request, link)->peer, peer))
            return true;
    }
    return false;
}

size_t kith_requests_count(const kith_requests *r)
{
    return r->count - (r->told != NULL);
}

bool kith_requests_next(kith_requests *r, kith_request_end *out)
{
    if (r->told)
        request_free(r, r->told);
    r->told = NULL;
    kith_link *k = kith_list_pop(&r->ended);
    if (!k)
        return false;
    kith_request *q = r->told = KITH_OF(k, kith_request, link);
    *out = (kith_request_end){.owner = q->owner,
                              .tag = q->tag,
                              .peer = q->peer,
                              .err = q->err,
                              .why = q->why,
                              .answer = kith_bytes_of(q->answer, q->answer_len),
                              .conn = kith_node_conn_find(r->cfg.node, &q->peer),
                              .took = q->took,
                              .ours = q->ours};
    return true;
}
