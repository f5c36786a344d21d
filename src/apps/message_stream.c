/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages on their way: both sides of a stream, and the door that all receiving streams share. */
#include "apps/message_stream.h"

#include <assert.h>

#include "base/buf.h"
#include "base/list.h"
#include "node/limits.h"
#include "wire/pb.h"

enum { R_ID = 1, R_CODE = 2 };

#define LEN_MAX 3 /* bytes of a length: KITH_MESSAGE_MAX is below 2^21 */
#define RECEIPT_LEN (1 + 2 + KITH_MESSAGE_ID_LEN + 2)

const char *kith_message_code_name(kith_message_code c)
{
    switch (c) {
    case KITH_MESSAGE_TAKEN:
        return "taken";
    case KITH_MESSAGE_HAD:
        return "had";
    case KITH_MESSAGE_EXPIRED:
        return "expired";
    case KITH_MESSAGE_NOT_FOR_ME:
        return "not-for-me";
    case KITH_MESSAGE_REFUSED:
        return "refused";
    case KITH_MESSAGE_BUSY:
        return "busy";
    case KITH_MESSAGE_MALFORMED:
        return "malformed";
    case KITH_MESSAGE_AHEAD:
        return "ahead";
    }
    return "refused";
}

/* ---- judging ---- */

/* Who has proven its post-quantum key on this link has signed everything on it by both keys; the message need not say it again. On a link
 * that proves none, a message that brings a key has to be signed by it. */
static bool signed_well(const kith_message *m, const kith_message_link *link)
{
    if (link->pq.len == 0)
        return kith_message_verify(m) == KITH_OK;
    return (m->pq_key.len == 0 || kith_pq_id_eq(&m->pq, &link->pq)) &&
           kith_message_verify_source(m) == KITH_OK;
}

kith_message_code kith_message_judge(kith_bytes in, const kith_message_link *link, uint64_t now,
                                     kith_message *out)
{
    if (kith_message_parse(in, out))
        return KITH_MESSAGE_MALFORMED;
    if (out->to.len == 0 || !kith_peer_id_eq(&out->to, &link->self))
        return KITH_MESSAGE_NOT_FOR_ME;
    if (link->blocked || !kith_peer_id_eq(&out->source, &link->peer))
        return KITH_MESSAGE_REFUSED;
    kith_err e = kith_message_fresh(out, now);
    if (e)
        return e == KITH_ETIMEOUT ? KITH_MESSAGE_EXPIRED : KITH_MESSAGE_AHEAD;
    return signed_well(out, link) ? KITH_MESSAGE_TAKEN : KITH_MESSAGE_REFUSED;
}

/* ---- the sender's side ---- */

typedef struct flight {
    uint8_t id[KITH_MESSAGE_ID_LEN];
    size_t len; /* with its length */
} flight;

struct kith_message_tx {
    const kith_env *env;
    kith_buf out;    /* not taken by the stream yet */
    kith_time since; /* of the last progress */
    const char *why; /* FAILED */
    bool finished;   /* nothing more is put */
    flight flights[KITH_MESSAGE_FLIGHT];
    size_t flying, bytes; /* the oldest first */
    kith_message_receipt receipts[KITH_MESSAGE_FLIGHT];
    size_t receipt_count;
    uint8_t in[1 + KITH_MESSAGE_RECEIPT_MAX];
    size_t in_len;
};

kith_message_tx *kith_message_tx_new(const kith_env *env)
{
    kith_message_tx *tx = KITH_NEW(env, kith_message_tx);
    if (!tx)
        return NULL;
    tx->env = env;
    kith_buf_init(&tx->out, KITH_MESSAGE_FLIGHT_BYTES);
    return tx;
}

static void tx_free(void *m)
{
    kith_message_tx *tx = m;
    if (!tx)
        return;
    kith_buf_fini(&tx->out, tx->env);
    KITH_FREE(tx->env, tx);
}

static kith_err tx_fail(kith_message_tx *tx, kith_err e, const char *why)
{
    kith_buf_fini(&tx->out, tx->env);
    tx->in_len = 0;
    tx->why = why;
    return e;
}

bool kith_message_tx_room(const kith_message_tx *tx, size_t len)
{
    return !tx->why && !tx->finished && len > 0 && len <= KITH_MESSAGE_MAX &&
           tx->flying + tx->receipt_count < KITH_MESSAGE_FLIGHT &&
           kith_uvarint_len(len) + len <= KITH_MESSAGE_FLIGHT_BYTES - tx->bytes;
}

kith_err kith_message_tx_put(kith_message_tx *tx, kith_time now, const uint8_t id[KITH_MESSAGE_ID_LEN],
                             kith_bytes message)
{
    uint8_t prefix[LEN_MAX];
    kith_span room;
    if (!kith_message_tx_room(tx, message.len))
        return KITH_ELIMIT;
    kith_wr w = kith_wr_of(kith_span_of(prefix, sizeof prefix));
    kith_put_uvarint(&w, message.len);
    kith_err e = kith_buf_room(&tx->out, tx->env, w.len + message.len, &room);
    if (e)
        return e;
    memcpy(room.p, prefix, w.len);
    memcpy(room.p + w.len, message.p, message.len);
    kith_buf_add(&tx->out, w.len + message.len);
    flight *f = &tx->flights[tx->flying++];
    memcpy(f->id, id, sizeof f->id);
    f->len = w.len + message.len;
    tx->bytes += f->len;
    tx->since = now;
    return KITH_OK;
}

void kith_message_tx_finish(kith_message_tx *tx)
{
    tx->finished = true;
}

bool kith_message_tx_next(kith_message_tx *tx, kith_message_receipt *out)
{
    if (tx->receipt_count == 0)
        return false;
    *out = tx->receipts[0];
    tx->receipt_count--;
    memmove(tx->receipts, tx->receipts + 1, tx->receipt_count * sizeof tx->receipts[0]);
    return true;
}

const char *kith_message_tx_why(const kith_message_tx *tx)
{
    return tx->why;
}

static bool parse_receipt(kith_bytes in, kith_bytes *id, uint64_t *code)
{
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    unsigned seen = 0;
    *id = (kith_bytes){0};
    *code = 0;
    while (kith_pb_next(&r, &f)) {
        if (f.tag > R_CODE)
            continue; /* a later version's */
        if (seen >> f.tag & 1 || f.wire != (f.tag == R_ID ? KITH_PB_BYTES : KITH_PB_VARINT))
            return false;
        seen |= 1u << f.tag;
        if (f.tag == R_ID)
            *id = f.data;
        else
            *code = f.num;
    }
    return !r.bad && *code > 0 && (!(seen >> R_ID & 1) || id->len == KITH_MESSAGE_ID_LEN);
}

/* For the oldest message, which must be all there. */
static kith_err take_receipt(kith_message_tx *tx, kith_bytes in)
{
    kith_bytes id;
    uint64_t code;
    if (!parse_receipt(in, &id, &code))
        return tx_fail(tx, KITH_EPROTO, "a receipt of the peer is malformed");
    flight *f = &tx->flights[0];
    if (tx->flying == 0 || kith_buf_view(&tx->out).len > tx->bytes - f->len ||
        (id.len > 0 && memcmp(id.p, f->id, sizeof f->id) != 0))
        return tx_fail(tx, KITH_EPROTO, "the peer sent a receipt for what it has not got");
    kith_message_receipt *r = &tx->receipts[tx->receipt_count++];
    memcpy(r->id, f->id, sizeof r->id);
    r->code = code <= KITH_MESSAGE_AHEAD ? (kith_message_code)code : KITH_MESSAGE_REFUSED;
    tx->bytes -= f->len;
    tx->flying--;
    memmove(tx->flights, tx->flights + 1, tx->flying * sizeof tx->flights[0]);
    return KITH_OK;
}

static kith_err tx_recv(void *m, kith_time now, kith_bytes in)
{
    kith_message_tx *tx = m;
    if (tx->why)
        return KITH_ESTATE;
    for (; in.len > 0; in = kith_bytes_skip(in, 1)) {
        tx->in[tx->in_len++] = in.p[0];
        tx->since = now;
        if (tx->in[0] == 0 || tx->in[0] > KITH_MESSAGE_RECEIPT_MAX)
            return tx_fail(tx, KITH_EPROTO, "a receipt of the peer has no length, or too much");
        if (tx->in_len <= tx->in[0])
            continue;
        kith_err e = take_receipt(tx, kith_bytes_of(tx->in + 1, tx->in[0]));
        if (e)
            return e;
        tx->in_len = 0;
    }
    return KITH_OK;
}

static void tx_eof(void *m, kith_time now)
{
    kith_message_tx *tx = m;
    (void)now;
    if (!tx->why && (tx->flying > 0 || tx->in_len > 0))
        (void)tx_fail(tx, KITH_ECLOSED, "the peer ended the stream before it had answered");
    tx->finished = true;
}

static size_t tx_send(void *m, kith_time now, kith_span out)
{
    kith_message_tx *tx = m;
    size_t n = tx->why ? 0 : kith_buf_take(&tx->out, tx->env, out);
    if (n > 0)
        tx->since = now;
    return n;
}

static kith_stream_want tx_want(const void *m)
{
    const kith_message_tx *tx = m;
    if (tx->why)
        return KITH_STREAM_RESET;
    return tx->finished && tx->flying == 0 ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

static kith_time tx_deadline(const void *m)
{
    const kith_message_tx *tx = m;
    if (tx->why)
        return KITH_NEVER;
    return kith_time_after(tx->since,
                           tx->flying > 0 || tx->finished ? KITH_MESSAGE_SILENCE : KITH_MESSAGE_IDLE);
}

static void tx_tick(void *m, kith_time now)
{
    kith_message_tx *tx = m;
    if (now < tx_deadline(tx))
        return;
    if (tx->flying > 0 || tx->finished) {
        (void)tx_fail(tx, KITH_ETIMEOUT, "the peer did not answer in time");
    } else {
        tx->finished = true;
        tx->since = now;
    }
}

static void tx_gone(void *m, kith_time now, kith_err why)
{
    kith_message_tx *tx = m;
    (void)now;
    if (!tx->why)
        (void)tx_fail(tx, why,
                      why == KITH_EUNSUPPORTED ? "the peer does not take messages" : "the stream is over");
}

static bool tx_pending(const void *m)
{
    return ((const kith_message_tx *)m)->receipt_count > 0;
}

const kith_stream_ops kith_message_tx_ops = {
    .recv = tx_recv,
    .eof = tx_eof,
    .send = tx_send,
    .want = tx_want,
    .deadline = tx_deadline,
    .tick = tx_tick,
    .gone = tx_gone,
    .pending = tx_pending,
    .free = tx_free,
};

void kith_message_tx_check(const kith_message_tx *tx)
{
    size_t sum = 0;
    for (size_t i = 0; i < tx->flying; i++)
        sum += tx->flights[i].len;
    assert(sum == tx->bytes && sum <= KITH_MESSAGE_FLIGHT_BYTES);
    assert(tx->flying + tx->receipt_count <= KITH_MESSAGE_FLIGHT);
    assert(kith_buf_view(&tx->out).len <= tx->bytes && tx->in_len <= KITH_MESSAGE_RECEIPT_MAX);
}

/* ---- the door ---- */

typedef struct visitor {
    kith_link link; /* who came first, first */
    kith_peer_id peer;
    size_t streams, bytes;
    kith_rate rate;
} visitor;

struct kith_message_door {
    kith_env env;
    uint32_t per_minute;
    kith_list visitors;
    size_t count;
    kith_time now; /* the latest that a stream was told */
};

kith_message_door *kith_message_door_new(const kith_env *env, uint32_t per_minute)
{
    kith_message_door *d = KITH_NEW(env, kith_message_door);
    if (!d)
        return NULL;
    d->env = *env;
    d->per_minute = per_minute;
    kith_list_init(&d->visitors);
    return d;
}

static void visitor_drop(kith_message_door *d, visitor *v)
{
    kith_link_remove(&v->link);
    d->count--;
    KITH_FREE(&d->env, v);
}

void kith_message_door_free(kith_message_door *d)
{
    if (!d)
        return;
    for (kith_link *k; (k = kith_list_first(&d->visitors));)
        visitor_drop(d, KITH_OF(k, visitor, link));
    kith_env env = d->env;
    KITH_FREE(&env, d);
}

/* Whoever has no stream and its whole rate again is as one who never came. */
static visitor *visitor_of(kith_message_door *d, const kith_peer_id *peer)
{
    visitor *found = NULL, *spare = NULL;
    KITH_EACH (&d->visitors, k) {
        visitor *v = KITH_OF(k, visitor, link);
        if (kith_peer_id_eq(&v->peer, peer))
            found = v;
        else if (v->streams == 0 && v->rate.full_at <= d->now)
            visitor_drop(d, v);
        else if (v->streams == 0 && !spare)
            spare = v;
    }
    if (found)
        return found;
    if (d->count >= KITH_MESSAGE_VISITORS_MAX && spare)
        visitor_drop(d, spare);
    visitor *v = d->count < KITH_MESSAGE_VISITORS_MAX ? KITH_NEW(&d->env, visitor) : NULL;
    if (!v)
        return NULL;
    v->peer = *peer;
    kith_list_push(&d->visitors, &v->link);
    d->count++;
    return v;
}

/* ---- the receiver's side ---- */

typedef enum slot_state { WAITING, HANDED, ANSWERED } slot_state;

/* A message that came whole and has no receipt on the wire yet. */
typedef struct slot {
    slot_state state;
    size_t prefix, len; /* bytes of its length, and with them */
    uint8_t receipt[RECEIPT_LEN];
    size_t receipt_len;
} slot;

struct kith_message_rx {
    const kith_env *env;
    kith_message_door *door;
    visitor *visitor;
    kith_buf in;     /* of the slots, and of what is not whole yet */
    kith_time since; /* of the last byte or answer */
    slot slots[KITH_MESSAGE_FLIGHT];
    size_t count, handed; /* the oldest first */
    uint64_t first;       /* the number of the oldest */
    size_t whole;         /* bytes of the slots */
    uint8_t out[KITH_MESSAGE_FLIGHT * RECEIPT_LEN];
    size_t out_len;
    bool failed, ended; /* the peer has half-closed */
};

kith_message_rx *kith_message_rx_new(const kith_env *env, kith_message_door *d, const kith_peer_id *peer)
{
    visitor *v = visitor_of(d, peer);
    if (!v || v->streams >= KITH_MESSAGE_PEER_STREAMS)
        return NULL;
    kith_message_rx *rx = KITH_NEW(env, kith_message_rx);
    if (!rx)
        return NULL;
    rx->env = env;
    rx->door = d;
    rx->visitor = v;
    rx->since = d->now;
    v->streams++;
    kith_buf_init(&rx->in, KITH_MESSAGE_FLIGHT_BYTES);
    return rx;
}

static void drop_input(kith_message_rx *rx)
{
    rx->visitor->bytes -= kith_buf_view(&rx->in).len;
    kith_buf_fini(&rx->in, rx->env);
}

static void rx_free(void *m)
{
    kith_message_rx *rx = m;
    if (!rx)
        return;
    drop_input(rx);
    rx->visitor->streams--;
    KITH_FREE(rx->env, rx);
}

static kith_err rx_fail(kith_message_rx *rx, kith_err e, const char *why)
{
    drop_input(rx);
    rx->count = rx->handed = rx->whole = rx->out_len = 0;
    rx->failed = true;
    kith_trace_line(rx->env, "message", why);
    return e;
}

static void note_time(kith_message_rx *rx, kith_time now)
{
    rx->since = now;
    if (now > rx->door->now)
        rx->door->now = now;
}

/* Receipts that are due, and what they answer leaves. */
static void flush(kith_message_rx *rx)
{
    size_t n = 0, bytes = 0;
    for (; n < rx->count && rx->slots[n].state == ANSWERED; n++) {
        const slot *s = &rx->slots[n];
        if (s->receipt_len > sizeof rx->out - rx->out_len)
            break;
        memcpy(rx->out + rx->out_len, s->receipt, s->receipt_len);
        rx->out_len += s->receipt_len;
        bytes += s->len;
    }
    if (n == 0)
        return;
    rx->count -= n;
    rx->handed -= n;
    rx->first += n;
    rx->whole -= bytes;
    rx->visitor->bytes -= bytes;
    kith_buf_drop(&rx->in, rx->env, bytes);
    memmove(rx->slots, rx->slots + n, rx->count * sizeof rx->slots[0]);
}

static void answer(slot *s, const uint8_t *id, kith_message_code code)
{
    kith_wr w = kith_wr_of(kith_span_of(s->receipt + 1, sizeof s->receipt - 1));
    if (id)
        kith_pb_put_bytes(&w, R_ID, kith_bytes_of(id, KITH_MESSAGE_ID_LEN));
    kith_pb_put_num(&w, R_CODE, (uint64_t)code);
    assert(!w.bad);
    s->receipt[0] = (uint8_t)w.len;
    s->receipt_len = 1 + w.len;
    s->state = ANSWERED;
}

/* The length of what comes next: false: not all there yet. *len 0: it is none. */
static bool next_length(kith_bytes in, size_t *prefix, size_t *len)
{
    size_t n = 0;
    while (n < in.len && n < LEN_MAX && in.p[n] & 0x80)
        n++;
    if (n == in.len && n < LEN_MAX)
        return false;
    kith_rd r = kith_rd_of(kith_bytes_of(in.p, n < LEN_MAX ? n + 1 : n));
    uint64_t v = kith_get_uvarint(&r);
    *prefix = n + 1;
    *len = r.bad || v > KITH_MESSAGE_MAX ? 0 : (size_t)v;
    return true;
}

static kith_err cut(kith_message_rx *rx)
{
    size_t prefix, len;
    for (;;) {
        kith_bytes in = kith_bytes_skip(kith_buf_view(&rx->in), rx->whole);
        if (in.len == 0 || !next_length(in, &prefix, &len))
            return KITH_OK;
        if (len == 0)
            return rx_fail(rx, KITH_EPROTO, "a message has no length, or too much");
        if (in.len - prefix < len)
            return KITH_OK;
        if (rx->count == KITH_MESSAGE_FLIGHT)
            return rx_fail(rx, KITH_EPROTO, "more messages than may be on the way");
        slot *s = &rx->slots[rx->count++];
        *s = (slot){.state = WAITING, .prefix = prefix, .len = prefix + len};
        rx->whole += s->len;
        if (!kith_rate_take(&rx->visitor->rate, rx->door->now, rx->door->per_minute))
            answer(s, NULL, KITH_MESSAGE_BUSY);
    }
}

/* Answered unread: passed over when its turn comes to be handed out. */
static void pass_busy(kith_message_rx *rx)
{
    while (rx->handed < rx->count && rx->slots[rx->handed].state == ANSWERED)
        rx->handed++;
}

static kith_err rx_recv(void *m, kith_time now, kith_bytes in)
{
    kith_message_rx *rx = m;
    if (rx->failed)
        return KITH_ESTATE;
    if (in.len == 0)
        return KITH_OK;
    note_time(rx, now);
    if (in.len > KITH_MESSAGE_PEER_BYTES - rx->visitor->bytes)
        return rx_fail(rx, KITH_ELIMIT, "the peer has too much on the way in all of its streams");
    kith_err e = kith_buf_put(&rx->in, rx->env, in);
    if (e)
        return rx_fail(rx, e, "more than may be on the way in a stream, or no memory");
    rx->visitor->bytes += in.len;
    e = cut(rx);
    if (e)
        return e;
    pass_busy(rx);
    flush(rx);
    return KITH_OK;
}

bool kith_message_rx_next(kith_message_rx *rx, kith_message_arrival *out)
{
    size_t at = 0;
    if (rx->handed == rx->count)
        return false;
    for (size_t i = 0; i < rx->handed; i++)
        at += rx->slots[i].len;
    slot *s = &rx->slots[rx->handed];
    out->number = rx->first + rx->handed++;
    out->message = kith_bytes_of(kith_buf_view(&rx->in).p + at + s->prefix, s->len - s->prefix);
    s->state = HANDED;
    pass_busy(rx);
    return true;
}

void kith_message_rx_answer(kith_message_rx *rx, kith_time now, uint64_t number,
                            const uint8_t id[KITH_MESSAGE_ID_LEN], kith_message_code code)
{
    if (rx->failed)
        return;
    assert(number - rx->first < rx->handed && rx->slots[number - rx->first].state == HANDED);
    note_time(rx, now);
    answer(&rx->slots[number - rx->first], id, code);
    flush(rx);
}

static bool in_message(const kith_message_rx *rx)
{
    return kith_buf_view(&rx->in).len > rx->whole;
}

static void rx_eof(void *m, kith_time now)
{
    kith_message_rx *rx = m;
    (void)now;
    if (!rx->failed && in_message(rx))
        (void)rx_fail(rx, KITH_EPROTO, "the stream ends in the middle of a message");
    rx->ended = true;
}

static size_t rx_send(void *m, kith_time now, kith_span out)
{
    kith_message_rx *rx = m;
    (void)now;
    size_t n = rx->out_len < out.len ? rx->out_len : out.len;
    memcpy(out.p, rx->out, n);
    rx->out_len -= n;
    memmove(rx->out, rx->out + n, rx->out_len);
    flush(rx);
    return n;
}

static kith_stream_want rx_want(const void *m)
{
    const kith_message_rx *rx = m;
    if (rx->failed)
        return KITH_STREAM_RESET;
    return rx->ended && rx->count == 0 && rx->out_len == 0 ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

/* No timer while the owner, or the peer's window, is what is waited for. */
static kith_time rx_deadline(const void *m)
{
    const kith_message_rx *rx = m;
    if (rx->failed || rx->ended || rx->count > 0)
        return KITH_NEVER;
    return kith_time_after(rx->since, in_message(rx) ? KITH_MESSAGE_SILENCE : KITH_MESSAGE_IDLE_PEER);
}

static void rx_tick(void *m, kith_time now)
{
    kith_message_rx *rx = m;
    if (now >= rx_deadline(rx))
        (void)rx_fail(rx, KITH_ETIMEOUT, "nothing came in time");
}

static void rx_gone(void *m, kith_time now, kith_err why)
{
    (void)now, (void)why;
    kith_message_rx *rx = m;
    if (!rx->failed)
        (void)rx_fail(rx, KITH_ECLOSED, "the stream is over");
}

static bool rx_pending(const void *m)
{
    const kith_message_rx *rx = m;
    return rx->handed < rx->count;
}

const kith_stream_ops kith_message_rx_ops = {
    .recv = rx_recv,
    .eof = rx_eof,
    .send = rx_send,
    .want = rx_want,
    .deadline = rx_deadline,
    .tick = rx_tick,
    .gone = rx_gone,
    .pending = rx_pending,
    .free = rx_free,
};

void kith_message_rx_check(const kith_message_rx *rx)
{
    size_t sum = 0, in = kith_buf_view(&rx->in).len;
    for (size_t i = 0; i < rx->count; i++)
        sum += rx->slots[i].len;
    assert(sum == rx->whole && rx->whole <= in && in <= KITH_MESSAGE_FLIGHT_BYTES);
    assert(rx->handed <= rx->count && rx->count <= KITH_MESSAGE_FLIGHT);
    assert(in <= rx->visitor->bytes && rx->visitor->bytes <= KITH_MESSAGE_PEER_BYTES);
    assert(rx->visitor->streams > 0 && rx->visitor->streams <= KITH_MESSAGE_PEER_STREAMS);
    assert(!rx->failed || (rx->count == 0 && rx->out_len == 0 && in == 0));
}
