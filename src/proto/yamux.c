/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* yamux as a machine: frames in and out, windows, whose turn it is to send, and what a peer may not do to
 * us.
 *
 *   0       1       2               4                               8                              12
 *   +-------+-------+---------------+-------------------------------+-------------------------------+
 *   |   0   | type  |     flags     |           stream id           |  length, delta, ping or code  |
 *   +-------+-------+---------------+-------------------------------+-------------------------------+
 *   Data: then length bytes
 *
 * A stream object lives from SYN until its CLOSED event has been taken and, when we reset it, its RST has
 * been written: so an owed RST needs no memory of its own. */
#include "proto/yamux.h"

#include <assert.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"

enum { DATA, WINDOW_UPDATE, PING, GOAWAY };  /* types */
enum { SYN = 1, ACK = 2, FIN = 4, RST = 8 }; /* flags */

#define FRAME_MAX_MAX (1024u * 1024) /* rust-yamux refuses a longer body (MAX_FRAME_BODY_LEN) */
#define PONGS_MAX 16                 /* pings that wait for our answer; more are dropped, as go does */
#define REFUSED_MAX 1024             /* streams that wait for our RST; js opens 1000 at once at most */

/* Floods. Every frame that carries nothing costs credit, what moves data brings credit, and so does time.
 * An honest peer never gets near the end: docs/protocols/yamux.md has the sums. */
#define CREDIT_MAX 65536u
#define CREDIT_PER_MS 10u
#define COST_FRAME 1u      /* a frame without effect, a ping, a small window update */
#define COST_STREAM 8u     /* a stream opened, and again when its opener resets it */
#define EARN_SENT 8u       /* each Data frame of ours */
#define EARN_BYTES 64u     /* one for so many bytes received */
#define SMALL_UPDATE 1024u /* a window update below this costs */

/* Windows. */
#define BURST 64u        /* a burst shorter than this fraction of a round trip counts as that long */
#define LUMP 4u          /* the same when all came at one moment; and a longer pause begins a new burst */
#define SLACK KITH_MS(1) /* added to the RTT: both sides take time to wake up */
#define RTT_GUESS KITH_MS(50) /* while nobody knows */
#define RTT_MAX KITH_SEC(10)  /* for tuning */
#define RTT_FRESH KITH_SEC(2) /* an older one is measured anew while bulk data comes in */
#define PRESSURE KITH_SEC(1)  /* after a stream was denied window, others shrink to their share */

typedef enum stream_state { OPEN, LOCAL_CLOSED, REMOTE_CLOSED, CLOSED } stream_state;

struct kith_yamux_stream {
    kith_link all;   /* y->all */
    kith_link sched; /* y->fresh or y->old; CLOSED: y->over */
    kith_link ctl;   /* y->ctl */
    void *user;
    kith_time epoch; /* when the first byte came after the last window update, or a pause; 0: none yet */
    kith_time heard; /* the last byte */
    uint32_t id;
    uint32_t send_left; /* what we may send */
    uint32_t recv_left; /* what the peer may send */
    uint32_t unread;    /* received, not used up */
    uint32_t taken;     /* used up, not granted again */
    uint32_t window;    /* recv_left + unread + taken, and more when growth has not been granted yet */
    uint32_t old;       /* taken + unread just before epoch: what the reader uses of these says nothing */
    uint32_t base;      /* and with the bytes that came at epoch itself */
    int32_t deficit;    /* bytes it may send in this round */
    uint32_t rst_code;
    stream_state state;
    kith_err err;
    bool outbound;
    bool syn_owed, ack_owed, update_owed, rst_owed;
    bool unacked; /* outbound: SYN sent, no answer yet; counts against the backlog */
    bool idle;    /* scheduled, but had nothing to send: leaves at its next turn */
    bool fresh;   /* in y->fresh */
    bool blocked; /* wants to send, has no window */
    bool denied;  /* the budget was too small for the window it should have */
    bool reported;
};

typedef enum ping_state { PING_IDLE, PING_OWED, PING_SENT } ping_state;

struct kith_yamux {
    kith_yamux_config cfg;
    kith_map map; /* live streams by map_key */
    uint64_t seed[2];
    kith_list all;
    kith_list fresh, old;    /* streams that want to send: first round, later rounds */
    kith_list ctl;           /* streams that owe a control frame */
    kith_list over;          /* streams that owe a CLOSED event */
    kith_yamux_stream *last; /* the last one looked up */
    kith_yamux_stream *dead; /* CLOSED was taken by the last next */
    kith_yamux_stream *turn;
    size_t streams_in, streams_out; /* objects */
    size_t live, unacked;
    uint32_t next_id; /* 0: exhausted */

    kith_bytes in;
    kith_time now; /* of in */
    uint8_t part[KITH_YAMUX_HDR_LEN];
    uint8_t part_len;
    bool body_fin;
    uint32_t body_left;
    kith_yamux_stream *body; /* NULL: discard */
    uint64_t late;           /* bytes that may still come for streams we reset */

    kith_buf refused; /* ids, big-endian */
    uint32_t pongs[PONGS_MAX];
    uint8_t pong_first, pong_count;
    uint32_t ping_value;
    ping_state ping;
    kith_time ping_sent, ping_due, ping_limit, heard;
    kith_time rtt, rtt_low, rtt_at;
    kith_time pause; /* data that was silent for longer was waiting: for window, or for its application */

    uint64_t budget_used;
    size_t sharers; /* streams that have or want a part of it */
    kith_time pressed;
    bool pressure;

    uint32_t credit;
    kith_time credit_at;

    uint32_t goaway_code;
    bool goaway_owed, local_goaway, remote_goaway;
    bool failed, fail_reported;
    kith_err err;
    const char *why;
};

static uint32_t min32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint64_t min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static kith_time later(kith_time t, kith_time by)
{
    return by > KITH_NEVER - t ? KITH_NEVER : t + by;
}

/* A peer chooses its ids, so where they lie must be a secret; the id itself stays in the key, so keys are
 * unique. */
static uint64_t map_key(const kith_yamux *y, uint32_t id)
{
    uint8_t b[4];
    kith_store_be32(b, id);
    return kith_hash(y->seed, kith_bytes_of(b, sizeof b)) << 32 | id;
}

static kith_yamux_stream *find(kith_yamux *y, uint32_t id)
{
    if (y->last && y->last->id == id)
        return y->last;
    kith_yamux_stream *s = kith_map_get(&y->map, map_key(y, id));
    if (s)
        y->last = s;
    return s;
}

/* ---- life and death ---- */

void kith_yamux_config_default(kith_yamux_config *cfg, const kith_env *env, bool dialer)
{
    *cfg = (kith_yamux_config){
        .env = env,
        .dialer = dialer,
        .window_max = 64u * 1024 * 1024, /* 4.8 Gbit/s at 60 ms, and half of it again */
        .budget_max = 64u * 1024 * 1024,
        .frame_max = 65519 - KITH_YAMUX_HDR_LEN, /* a frame fills a Noise record */
        .streams_in_max = 1024,
        .streams_out_max = 256, /* rust-yamux ends a session with more than 512, both directions together */
        .ping_every = KITH_SEC(30),
        .ping_timeout = KITH_SEC(20),
    };
}

kith_yamux *kith_yamux_new(const kith_yamux_config *cfg, kith_time now)
{
    assert(cfg->frame_max > 0 && cfg->frame_max <= FRAME_MAX_MAX);
    assert(cfg->window_max >= KITH_YAMUX_WINDOW_INIT);
    kith_yamux *y = KITH_NEW(cfg->env, kith_yamux);
    if (!y)
        return NULL;
    y->cfg = *cfg;
    y->seed[0] = kith_rand_u64(cfg->env);
    y->seed[1] = kith_rand_u64(cfg->env);
    kith_list_init(&y->all);
    kith_list_init(&y->fresh);
    kith_list_init(&y->old);
    kith_list_init(&y->ctl);
    kith_list_init(&y->over);
    kith_buf_init(&y->refused, REFUSED_MAX * 4);
    y->next_id = cfg->dialer ? 1 : 2;
    y->credit = CREDIT_MAX;
    y->credit_at = y->now = y->heard = now;
    y->rtt_low = cfg->rtt;
    y->pause = ((cfg->rtt ? cfg->rtt : RTT_GUESS) + SLACK) / LUMP;
    y->ping_due = later(now, cfg->ping_every);
    if (cfg->ping_every != KITH_NEVER)
        kith_yamux_ping(y, now); /* window tuning needs an RTT before the first bulk transfer */
    return y;
}

static void stream_free(kith_yamux *y, kith_yamux_stream *s)
{
    kith_link_remove(&s->all);
    kith_link_remove(&s->sched);
    kith_link_remove(&s->ctl);
    if (s->outbound)
        y->streams_out--;
    else
        y->streams_in--;
    KITH_FREE(y->cfg.env, s);
}

void kith_yamux_free(kith_yamux *y)
{
    if (!y)
        return;
    KITH_EACH (&y->all, k)
        stream_free(y, KITH_OF(k, kith_yamux_stream, all));
    kith_map_fini(&y->map, y->cfg.env);
    kith_buf_fini(&y->refused, y->cfg.env);
    KITH_FREE(y->cfg.env, y);
}

static kith_err stream_new(kith_yamux *y, uint32_t id, bool outbound, kith_yamux_stream **out)
{
    kith_yamux_stream *s = KITH_NEW(y->cfg.env, kith_yamux_stream);
    if (!s)
        return KITH_ENOMEM;
    if (kith_map_put(&y->map, y->cfg.env, map_key(y, id), s)) {
        KITH_FREE(y->cfg.env, s);
        return KITH_ENOMEM;
    }
    s->id = id;
    s->outbound = outbound;
    s->send_left = s->recv_left = s->window = KITH_YAMUX_WINDOW_INIT;
    kith_list_push(&y->all, &s->all);
    if (outbound)
        y->streams_out++;
    else
        y->streams_in++;
    y->live++;
    *out = s;
    return KITH_OK;
}

static void owe(kith_yamux *y, kith_yamux_stream *s)
{
    if (!kith_link_in(&s->ctl))
        kith_list_push(&y->ctl, &s->ctl);
}

static void acked(kith_yamux *y, kith_yamux_stream *s)
{
    if (s->unacked) {
        s->unacked = false;
        y->unacked--;
    }
}

/* Has a part of the budget, or would like one. */
static bool shares(const kith_yamux_stream *s)
{
    return s->denied || s->window > KITH_YAMUX_WINDOW_INIT;
}

static void window_set(kith_yamux *y, kith_yamux_stream *s, uint32_t window, bool denied)
{
    y->budget_used += window - KITH_YAMUX_WINDOW_INIT;
    y->budget_used -= s->window - KITH_YAMUX_WINDOW_INIT;
    y->sharers -= shares(s) ? 1 : 0;
    s->window = window;
    s->denied = denied;
    y->sharers += shares(s) ? 1 : 0;
}

/* To CLOSED. The CLOSED event follows, and the RST where one is owed. */
static void finish(kith_yamux *y, kith_yamux_stream *s, kith_err err)
{
    assert(s->state != CLOSED);
    s->state = CLOSED;
    s->err = err;
    acked(y, s);
    window_set(y, s, KITH_YAMUX_WINDOW_INIT, false);
    (void)kith_map_remove(&y->map, map_key(y, s->id));
    y->live--;
    if (y->last == s)
        y->last = NULL;
    if (y->body == s)
        y->body = NULL;
    if (y->turn == s)
        y->turn = NULL;
    kith_link_remove(&s->sched);
    kith_list_push(&y->over, &s->sched);
    s->syn_owed = s->ack_owed = s->update_owed = s->blocked = false;
    if (s->rst_owed)
        owe(y, s);
    else
        kith_link_remove(&s->ctl);
}

/* The session is dead. Every stream gets its CLOSED, then FAILED comes. */
static void fail(kith_yamux *y, kith_err err, const char *why)
{
    if (y->failed)
        return;
    y->failed = true;
    y->err = err;
    y->why = why;
    y->in = (kith_bytes){0};
    y->goaway_owed = err != KITH_ETIMEOUT;
    y->goaway_code = err == KITH_ENOMEM ? KITH_YAMUX_INTERNAL_ERROR : KITH_YAMUX_PROTOCOL_ERROR;
    y->pong_count = 0;
    y->ping = PING_IDLE;
    kith_buf_fini(&y->refused, y->cfg.env);
    KITH_EACH (&y->all, k) {
        kith_yamux_stream *s = KITH_OF(k, kith_yamux_stream, all);
        if (s->state != CLOSED)
            finish(y, s, err);
        s->rst_owed = false;
        kith_link_remove(&s->ctl);
        if (s->reported && s != y->dead)
            stream_free(y, s);
    }
}

/* Takes cost from the credit; false: it is used up and the session is dead. */
static bool charge(kith_yamux *y, uint32_t cost)
{
    if (cost <= y->credit) {
        y->credit -= cost;
        return true;
    }
    fail(y, KITH_ELIMIT, "a flood of frames that carry nothing");
    return false;
}

static void earn(kith_yamux *y, uint64_t n)
{
    y->credit = (uint32_t)min64(CREDIT_MAX, y->credit + n);
}

/* ---- receiving ---- */

void kith_yamux_recv(kith_yamux *y, kith_time now, kith_bytes in)
{
    assert(y->in.len == 0); /* the drive rule: the last input was taken whole */
    y->now = now;
    if (y->failed || in.len == 0)
        return;
    y->in = in;
    y->heard = now;
    kith_time ms = (now - y->credit_at) / KITH_MS(1);
    if (ms > 0) {
        earn(y, ms > CREDIT_MAX ? CREDIT_MAX : ms * CREDIT_PER_MS);
        y->credit_at += ms * KITH_MS(1);
    }
}

/* Refuses a stream: no object, just its RST. */
static void refuse(kith_yamux *y, uint32_t id)
{
    uint8_t b[4];
    kith_store_be32(b, id);
    y->late += KITH_YAMUX_WINDOW_INIT; /* the peer may send that much before our RST arrives */
    kith_err e = kith_buf_put(&y->refused, y->cfg.env, kith_bytes_of(b, sizeof b));
    if (e == KITH_ELIMIT)
        fail(y, e, "too many streams beyond the limit");
    else if (e)
        fail(y, e, "out of memory");
}

/* A SYN. *s is the stream, or NULL when it was refused; false: no event (yet). */
static bool on_syn(kith_yamux *y, uint32_t id, kith_yamux_stream **s, kith_yamux_event *ev)
{
    if ((id & 1) == (y->cfg.dialer ? 1u : 0u)) {
        fail(y, KITH_EPROTO, "the peer opened a stream with an id of ours");
        return false;
    }
    if (!charge(y, COST_STREAM))
        return false;
    if (y->local_goaway || y->streams_in >= y->cfg.streams_in_max || stream_new(y, id, false, s)) {
        refuse(y, id);
        return false;
    }
    (*s)->ack_owed = true;
    owe(y, *s);
    *ev = (kith_yamux_event){.kind = KITH_YAMUX_OPENED, .stream = *s};
    return true;
}

static bool on_rst(kith_yamux *y, kith_yamux_stream *s, uint32_t code, kith_yamux_event *ev)
{
    if (!charge(y, s && !s->outbound ? COST_STREAM : COST_FRAME) || !s)
        return false;
    finish(y, s, KITH_ERESET);
    *ev = (kith_yamux_event){.kind = KITH_YAMUX_RESET, .stream = s, .code = code, .err = KITH_ERESET};
    return true;
}

/* A Data frame for a stream that we do not have (any more): its payload is discarded. Free as long as a
 * stream that we reset may still send it. */
static void on_late_data(kith_yamux *y, uint32_t len)
{
    if (len > 0 && len <= y->late)
        return; /* counted down as it is discarded */
    if (len > y->cfg.window_max)
        fail(y, KITH_EPROTO, "data beyond any window that we granted");
    else
        (void)charge(y, COST_FRAME + len / SMALL_UPDATE);
}

/* Data and WindowUpdate. */
static bool on_stream_frame(kith_yamux *y, uint8_t type, uint16_t flags, uint32_t id, uint32_t len,
                            kith_yamux_event *ev)
{
    if (id == 0) {
        fail(y, KITH_EPROTO, "a stream frame with stream id 0");
        return false;
    }
    kith_yamux_stream *s = find(y, id);
    if (s && s->syn_owed)
        s = NULL; /* the peer cannot know of it */
    bool any = false;
    if (type == DATA)
        y->body_left = len; /* on the wire whatever becomes of the stream */
    y->body = NULL;
    y->body_fin = false;
    /* RST first: go carries an error code where other frames have a window. */
    if ((flags & RST) != 0) {
        any = on_rst(y, s, type == WINDOW_UPDATE ? len : 0, ev);
        if (type == DATA && len > 0 && !y->failed)
            on_late_data(y, len);
        return any && !y->failed;
    }
    if ((flags & SYN) != 0) {
        if (s) {
            fail(y, KITH_EPROTO, "a stream was opened twice");
            return false;
        }
        /* Refused before the stream exists, so that it is not closed without having been opened. */
        if (type == DATA && len > KITH_YAMUX_WINDOW_INIT) { /* GHSA-vxx9-2994-q338 */
            fail(y, KITH_EPROTO, "data beyond the receive window");
            return false;
        }
        if (type == WINDOW_UPDATE && len > UINT32_MAX - KITH_YAMUX_WINDOW_INIT) {
            fail(y, KITH_EPROTO, "a window larger than 2^32-1");
            return false;
        }
        any = on_syn(y, id, &s, ev);
        if (!s)
            return false;
    }
    if (!s) {
        if (type == DATA)
            on_late_data(y, len);
        else
            (void)charge(y, COST_FRAME);
        return false;
    }

    bool useful = (flags & SYN) != 0;
    if (s->unacked && ((flags & ACK) != 0 || type == DATA)) {
        acked(y, s); /* who answers with data has accepted, with or without the flag */
        useful = true;
    }
    bool had_fin = s->state == REMOTE_CLOSED;
    if ((flags & FIN) != 0 && !had_fin)
        useful = true;
    if (type == DATA) {
        if (len > s->recv_left) {
            fail(y, KITH_EPROTO, "data beyond the receive window");
            return false;
        }
        if (len > 0 && had_fin) {
            fail(y, KITH_EPROTO, "data after FIN");
            return false;
        }
        if (len > 0)
            earn(y, len / EARN_BYTES);
        else if (!useful && !charge(y, COST_FRAME))
            return false;
    } else {
        if (len > UINT32_MAX - s->send_left) {
            fail(y, KITH_EPROTO, "a window larger than 2^32-1");
            return false;
        }
        if (!useful && len < SMALL_UPDATE && !charge(y, COST_FRAME))
            return false;
        s->send_left += len;
        if (s->blocked && len > 0) {
            s->blocked = false;
            kith_list_push(&y->old, &s->sched);
        }
    }
    y->body = s;
    y->body_fin = (flags & FIN) != 0 && !had_fin;
    return any;
}

static void on_ping(kith_yamux *y, uint16_t flags, uint32_t value, kith_yamux_event *ev, bool *any)
{
    if ((flags & SYN) != 0) {
        if (charge(y, COST_FRAME) && y->pong_count < PONGS_MAX)
            y->pongs[(y->pong_first + y->pong_count++) % PONGS_MAX] = value;
        return;
    }
    if ((flags & ACK) == 0 || y->ping != PING_SENT || value != y->ping_value) {
        (void)charge(y, COST_FRAME); /* an answer to nothing that we asked */
        return;
    }
    kith_time rtt = max64(y->now - y->ping_sent, 1);
    y->rtt = y->rtt == 0 ? rtt : y->rtt - y->rtt / 8 + rtt / 8;
    y->rtt_low = y->rtt_low == 0 ? rtt : min64(rtt, y->rtt_low + y->rtt_low / 8);
    y->rtt_at = y->now;
    y->pause = (y->rtt_low + SLACK) / LUMP;
    y->ping = PING_IDLE;
    y->ping_due = later(y->now, y->cfg.ping_every);
    *ev = (kith_yamux_event){.kind = KITH_YAMUX_RTT, .rtt = rtt};
    *any = true;
}

static bool on_header(kith_yamux *y, const uint8_t *h, kith_yamux_event *ev)
{
    uint8_t type = h[1];
    uint16_t flags = kith_load_be16(h + 2);
    uint32_t id = kith_load_be32(h + 4);
    uint32_t len = kith_load_be32(h + 8);
    bool any = false;
    if (h[0] != 0) {
        fail(y, KITH_EPROTO, "unknown yamux version");
        return false;
    }
    switch (type) {
    case DATA:
    case WINDOW_UPDATE:
        return on_stream_frame(y, type, flags, id, len, ev);
    case PING:
        on_ping(y, flags, len, ev, &any);
        return any;
    case GOAWAY:
        if (y->remote_goaway) {
            (void)charge(y, COST_FRAME);
            return false;
        }
        y->remote_goaway = true;
        KITH_EACH (&y->all, k) {
            kith_yamux_stream *s = KITH_OF(k, kith_yamux_stream, all);
            if (s->syn_owed)
                finish(y, s, KITH_EREFUSED);
        }
        *ev = (kith_yamux_event){.kind = KITH_YAMUX_GOAWAY, .code = len};
        return true;
    default:
        fail(y, KITH_EPROTO, "unknown frame type");
        return false;
    }
}

/* Hands on what there is of a Data frame's payload, or drops it. */
static bool on_body(kith_yamux *y, kith_yamux_event *ev)
{
    uint32_t n = (uint32_t)min64(y->body_left, y->in.len);
    kith_bytes data = kith_bytes_of(y->in.p, n);
    y->in = kith_bytes_skip(y->in, n);
    y->body_left -= n;
    kith_yamux_stream *s = y->body;
    if (!s) {
        y->late -= min64(y->late, n);
        return false;
    }
    if (s->epoch == 0 || y->now - s->heard > y->pause) {
        s->epoch = max64(y->now, 1);
        s->old = s->taken + s->unread;
    }
    s->heard = y->now;
    s->recv_left -= n;
    s->unread += n;
    if (s->epoch == y->now)
        s->base = s->taken + s->unread;
    *ev = (kith_yamux_event){.kind = KITH_YAMUX_DATA, .stream = s, .data = data};
    return true;
}

/* The next 12 bytes, from the input or put together from several inputs; NULL: not there yet. */
static const uint8_t *take_header(kith_yamux *y)
{
    if (y->part_len == 0 && y->in.len >= KITH_YAMUX_HDR_LEN) {
        const uint8_t *h = y->in.p;
        y->in = kith_bytes_skip(y->in, KITH_YAMUX_HDR_LEN);
        return h;
    }
    size_t n = min64(y->in.len, (size_t)KITH_YAMUX_HDR_LEN - y->part_len);
    if (n == 0)
        return NULL;
    memcpy(y->part + y->part_len, y->in.p, n);
    y->in = kith_bytes_skip(y->in, n);
    y->part_len = (uint8_t)(y->part_len + n);
    if (y->part_len < KITH_YAMUX_HDR_LEN)
        return NULL;
    y->part_len = 0;
    return y->part;
}

bool kith_yamux_next(kith_yamux *y, kith_yamux_event *ev)
{
    if (y->dead) {
        if (!y->dead->rst_owed)
            stream_free(y, y->dead);
        y->dead = NULL;
    }
    for (;;) {
        kith_link *k = kith_list_pop(&y->over);
        if (k) {
            kith_yamux_stream *s = KITH_OF(k, kith_yamux_stream, sched);
            s->reported = true;
            y->dead = s;
            *ev = (kith_yamux_event){.kind = KITH_YAMUX_CLOSED, .stream = s, .err = s->err};
            return true;
        }
        if (y->failed) {
            if (y->fail_reported)
                return false;
            y->fail_reported = true;
            *ev = (kith_yamux_event){.kind = KITH_YAMUX_FAILED, .err = y->err, .why = y->why};
            return true;
        }
        if (y->body_left > 0) {
            if (y->in.len == 0)
                return false;
            if (on_body(y, ev))
                return true;
            continue;
        }
        if (y->body_fin) {
            kith_yamux_stream *s = y->body;
            y->body_fin = false;
            if (!s)
                continue; /* reset in between */
            if (s->state == LOCAL_CLOSED)
                finish(y, s, KITH_OK);
            else
                s->state = REMOTE_CLOSED;
            *ev = (kith_yamux_event){.kind = KITH_YAMUX_EOF, .stream = s};
            return true;
        }
        const uint8_t *h = take_header(y);
        if (!h)
            return false;
        if (on_header(y, h, ev))
            return true;
    }
}

kith_bytes kith_yamux_give_back(kith_yamux *y)
{
    kith_bytes in = y->in;
    y->in = (kith_bytes){0};
    return in;
}

/* ---- windows that fit the path ---- */

/* The window a stream should have: three times what the path holds (one being sent, one being acknowledged,
 * and half a window that waits for its update), at the rate at which the reader just used up what came after
 * the first bytes of this burst. Pauses are not in that time, so a sender that is held up by its window shows
 * the rate of its bursts, which is the rate of the path; and a reader that is behind shows its own. */
static void tune(kith_yamux *y, kith_yamux_stream *s, kith_time now)
{
    if (s->epoch == 0)
        return; /* nothing came since the last update: a reader that catches up says nothing about the path */
    kith_time path = RTT_GUESS;
    if (y->rtt_low > 0)
        path = min64(y->rtt_low, RTT_MAX);
    else if (y->ping == PING_SENT) /* it is at least as long as our first ping has been away */
        path = min64(now - y->ping_sent, 4 * RTT_GUESS);
    path += SLACK;
    kith_time took = now > s->epoch ? now - s->epoch : 0; /* an epoch at time 0 is written as 1 */
    uint64_t count;
    if (s->taken > s->base) {
        count = s->taken - s->base;
        took = max64(took, path / BURST);
    } else if (s->taken > s->old) {
        count = s->taken - s->old;
        took = max64(took, path / LUMP);
    } else {
        return;
    }
    /* In microseconds: at most 2^34 * 2^24, and took is at least 15. */
    uint64_t ideal = 3 * count * (path / 1000) / (took / 1000);
    uint64_t old = s->window;
    uint64_t want = old;
    if (ideal > old)
        want = ideal;
    else if (ideal < old / 4)
        want = old / 2;

    uint64_t extra = old - KITH_YAMUX_WINDOW_INIT;
    uint64_t most =
        min64(y->cfg.window_max, KITH_YAMUX_WINDOW_INIT + y->cfg.budget_max - (y->budget_used - extra));
    bool denied = want > most && most < y->cfg.window_max;
    if (denied) {
        y->pressure = true;
        y->pressed = now;
    }
    want = min64(want, most);
    if (y->pressure && now - y->pressed > PRESSURE)
        y->pressure = false;
    if (y->pressure) {
        size_t sharers = y->sharers + (shares(s) ? 0 : 1);
        uint64_t share = KITH_YAMUX_WINDOW_INIT + y->cfg.budget_max / sharers;
        if (want > share)
            want = max64(share, old / 2);
    }
    /* What was granted stays granted: only what was used up can be kept back. */
    want = max64(want, (uint64_t)s->recv_left + s->unread);
    window_set(y, s, (uint32_t)max64(want, KITH_YAMUX_WINDOW_INIT), denied);
}

void kith_yamux_used(kith_yamux *y, kith_time now, kith_yamux_stream *s, size_t n)
{
    if (s->state == CLOSED)
        return;
    assert(n <= s->unread);
    s->unread -= (uint32_t)n;
    s->taken += (uint32_t)n;
    /* Half of what the reader leaves room for: a machine that holds on to most of a window must not stall
     * its own stream. Not less than an eighth of the window, or a slow reader would make the peer send in
     * crumbs. */
    uint64_t enough = max64(((uint64_t)s->taken + s->recv_left) / 2, s->window / 8);
    if (s->update_owed || s->taken < enough || s->state == REMOTE_CLOSED)
        return;
    if (y->cfg.ping_every != KITH_NEVER && (y->rtt == 0 || now - y->rtt_at > RTT_FRESH))
        kith_yamux_ping(y, now);
    tune(y, s, now);
    s->update_owed = true;
    owe(y, s);
}

/* ---- sending ---- */

static void put_header(uint8_t *out, uint8_t type, unsigned flags, uint32_t id, uint32_t len)
{
    out[0] = 0;
    out[1] = type;
    kith_store_be16(out + 2, (uint16_t)flags);
    kith_store_be32(out + 4, id);
    kith_store_be32(out + 8, len);
}

/* SYN and ACK ride on whatever frame of the stream goes first. */
static unsigned take_flags(kith_yamux_stream *s)
{
    unsigned flags = 0;
    if (s->syn_owed) {
        s->syn_owed = false;
        flags |= SYN;
    }
    if (s->ack_owed) {
        s->ack_owed = false;
        flags |= ACK;
    }
    return flags;
}

/* The control frame that a stream owes: false when a Data frame that is coming anyway does for it. */
static bool put_stream_control(kith_yamux *y, kith_yamux_stream *s, uint8_t *out)
{
    if (s->rst_owed) {
        s->rst_owed = false;
        put_header(out, WINDOW_UPDATE, RST, s->id, s->rst_code);
        if (s->reported && s != y->dead)
            stream_free(y, s);
        return true;
    }
    bool update = s->update_owed && s->state != REMOTE_CLOSED;
    s->update_owed = false;
    if (!update && (!s->ack_owed || (kith_link_in(&s->sched) && !s->idle)))
        return false;
    uint32_t delta = 0;
    if (update) {
        delta = s->window - s->recv_left - s->unread;
        s->recv_left += delta;
        s->taken = 0;
        s->epoch = 0;
    }
    put_header(out, WINDOW_UPDATE, take_flags(s), s->id, delta);
    return true;
}

size_t kith_yamux_send(kith_yamux *y, kith_time now, kith_span out)
{
    size_t n = 0;
    if (y->goaway_owed && out.len >= KITH_YAMUX_HDR_LEN) {
        y->goaway_owed = false;
        put_header(out.p, GOAWAY, 0, 0, y->goaway_code);
        n = KITH_YAMUX_HDR_LEN;
    }
    for (; !y->failed && out.len - n >= KITH_YAMUX_HDR_LEN; n += KITH_YAMUX_HDR_LEN) {
        uint8_t *p = out.p + n;
        if (y->pong_count > 0) {
            put_header(p, PING, ACK, 0, y->pongs[y->pong_first]);
            y->pong_first = (uint8_t)((y->pong_first + 1) % PONGS_MAX);
            y->pong_count--;
        } else if (y->ping == PING_OWED) {
            y->ping = PING_SENT;
            y->ping_sent = now;
            y->ping_limit = later(now, y->cfg.ping_timeout);
            put_header(p, PING, SYN, 0, y->ping_value);
        } else if (y->refused.len > 0) {
            put_header(p, WINDOW_UPDATE, RST, kith_load_be32(kith_buf_view(&y->refused).p),
                       KITH_YAMUX_RST_LIMIT);
            kith_buf_drop(&y->refused, y->cfg.env, 4);
        } else {
            kith_link *k;
            while ((k = kith_list_pop(&y->ctl)) != NULL &&
                   !put_stream_control(y, KITH_OF(k, kith_yamux_stream, ctl), p))
                ;
            if (!k)
                break;
        }
    }
    return n;
}

/* Deficit round robin with two lists, as fq_codel has it: a stream that was silent goes to the front for as
 * long as its first quantum lasts, and one that falls silent takes a place in the long round before it may
 * be new again, so a crowd of small ones cannot keep a large one waiting for ever. */
bool kith_yamux_turn_next(kith_yamux *y, kith_time now, size_t room, kith_yamux_turn *t)
{
    (void)now;
    if (y->failed || room <= KITH_YAMUX_HDR_LEN)
        return false;
    for (;;) {
        kith_link *k = kith_list_first(&y->fresh);
        if (!k)
            k = kith_list_first(&y->old);
        if (!k)
            return false;
        kith_yamux_stream *s = KITH_OF(k, kith_yamux_stream, sched);
        if (s->idle) {
            s->idle = false;
            kith_link_remove(k);
        } else if (s->deficit <= 0) {
            s->deficit += (int32_t)y->cfg.frame_max;
            s->fresh = false;
            kith_link_remove(k);
            kith_list_push(&y->old, k);
        } else {
            y->turn = s;
            t->stream = s;
            t->max = min64(room - KITH_YAMUX_HDR_LEN, min32(s->send_left, y->cfg.frame_max));
            return true;
        }
    }
}

/* It had nothing to send: out of the round, or blocked until the peer grants window. */
static void rest(kith_yamux *y, kith_yamux_stream *s, bool no_window)
{
    bool was_fresh = s->fresh;
    s->fresh = false;
    kith_link_remove(&s->sched);
    if (no_window) {
        s->blocked = true;
    } else if (was_fresh && !kith_list_empty(&y->old)) {
        s->idle = true;
        kith_list_push(&y->old, &s->sched);
    }
}

size_t kith_yamux_turn_end(kith_yamux *y, kith_time now, const kith_yamux_turn *t, size_t len, bool fin,
                           uint8_t *out)
{
    (void)now;
    kith_yamux_stream *s = t->stream;
    if (y->turn != s || y->failed)
        return 0; /* the stream was reset since */
    y->turn = NULL;
    assert(len <= t->max);
    if (len == 0 && !fin) {
        rest(y, s, t->max == 0);
        if (!s->syn_owed && !s->ack_owed)
            return 0;
        put_header(out, WINDOW_UPDATE, take_flags(s), s->id, 0);
        return KITH_YAMUX_HDR_LEN;
    }
    put_header(out, DATA, take_flags(s) | (fin ? FIN : 0u), s->id, (uint32_t)len);
    s->send_left -= (uint32_t)len;
    s->deficit -= (int32_t)(len + KITH_YAMUX_HDR_LEN);
    earn(y, EARN_SENT);
    if (fin) {
        kith_link_remove(&s->sched);
        s->fresh = s->idle = false;
        if (s->state == REMOTE_CLOSED)
            finish(y, s, KITH_OK);
        else
            s->state = LOCAL_CLOSED;
    }
    return KITH_YAMUX_HDR_LEN + len;
}

void kith_yamux_want(kith_yamux *y, kith_yamux_stream *s)
{
    if (s->state == LOCAL_CLOSED || s->state == CLOSED)
        return;
    s->idle = false;
    if (kith_link_in(&s->sched))
        return;
    if (s->blocked) { /* perhaps a FIN, which needs no window */
        s->blocked = false;
        kith_list_push(&y->old, &s->sched);
        return;
    }
    s->deficit = (int32_t)y->cfg.frame_max;
    s->fresh = true;
    kith_list_push(&y->fresh, &s->sched);
}

/* ---- commands ---- */

kith_err kith_yamux_open(kith_yamux *y, kith_time now, kith_yamux_stream **out)
{
    (void)now;
    if (y->failed || y->remote_goaway || y->next_id == 0)
        return KITH_ESTATE;
    if (y->streams_out >= y->cfg.streams_out_max || y->unacked >= KITH_YAMUX_BACKLOG)
        return KITH_ELIMIT;
    kith_yamux_stream *s;
    kith_err e = stream_new(y, y->next_id, true, &s);
    if (e)
        return e;
    y->next_id = y->next_id > UINT32_MAX - 2 ? 0 : y->next_id + 2;
    s->syn_owed = true;
    s->unacked = true;
    y->unacked++;
    *out = s;
    return KITH_OK;
}

void kith_yamux_reset(kith_yamux *y, kith_yamux_stream *s, uint32_t code)
{
    if (s->state == CLOSED)
        return;
    s->rst_owed = !s->syn_owed; /* the peer has not heard of a stream whose SYN is not out */
    s->rst_code = code;
    if (s->state != REMOTE_CLOSED)
        y->late += s->recv_left;
    finish(y, s, KITH_ERESET);
}

void kith_yamux_goaway(kith_yamux *y, uint32_t code)
{
    if (y->failed || y->local_goaway)
        return;
    y->local_goaway = y->goaway_owed = true;
    y->goaway_code = code;
}

void kith_yamux_ping(kith_yamux *y, kith_time now)
{
    if (y->failed || y->ping != PING_IDLE)
        return;
    uint8_t b[4]; /* random: an answer cannot be made before the question is read */
    kith_rand_fill(y->cfg.env, kith_span_of(b, sizeof b));
    y->ping_value = kith_load_be32(b);
    y->ping = PING_OWED;
    y->ping_limit = later(now, y->cfg.ping_timeout);
}

kith_time kith_yamux_deadline(const kith_yamux *y)
{
    if (y->failed)
        return KITH_NEVER;
    return y->ping == PING_IDLE ? y->ping_due : y->ping_limit;
}

/* Bytes from the peer count as life: neither is a ping due, nor one overdue that waits behind them. The
 * deadlines move only here, so receiving costs no timer. Who comes much too late has slept: the answer may lie
 * in the socket, so the wait begins again. */
void kith_yamux_tick(kith_yamux *y, kith_time now)
{
    if (now < kith_yamux_deadline(y))
        return;
    if (y->ping != PING_IDLE) {
        y->ping_limit = max64(y->ping_limit, later(y->heard, y->cfg.ping_timeout));
        if (now < y->ping_limit)
            return;
        if (now - y->ping_limit >= y->cfg.ping_timeout)
            y->ping_limit = later(now, y->cfg.ping_timeout);
        else
            fail(y, KITH_ETIMEOUT, "the peer does not answer pings");
        return;
    }
    y->ping_due = max64(y->ping_due, later(y->heard, y->cfg.ping_every));
    if (now >= y->ping_due)
        kith_yamux_ping(y, now);
}

/* ---- questions ---- */

void *kith_yamux_user(const kith_yamux_stream *s)
{
    return s->user;
}

void kith_yamux_set_user(kith_yamux_stream *s, void *user)
{
    s->user = user;
}

uint32_t kith_yamux_stream_id(const kith_yamux_stream *s)
{
    return s->id;
}

size_t kith_yamux_stream_count(const kith_yamux *y)
{
    return y->live;
}

kith_time kith_yamux_heard(const kith_yamux *y)
{
    return y->heard;
}

kith_time kith_yamux_rtt(const kith_yamux *y)
{
    return y->rtt ? y->rtt : y->rtt_low;
}

void kith_yamux_check(const kith_yamux *y)
{
    size_t in = 0, out = 0, live = 0, unacked = 0, sharers = 0;
    uint64_t extra = 0;
    KITH_EACH (&y->all, k) {
        const kith_yamux_stream *s = KITH_OF(k, kith_yamux_stream, all);
        *(s->outbound ? &out : &in) += 1;
        if (s->state == CLOSED) {
            assert(kith_link_in(&s->sched) || s == y->dead || s->rst_owed);
            assert(kith_link_in(&s->sched) == !s->reported);
            assert(s->rst_owed == kith_link_in(&s->ctl));
            assert(!s->unacked && !s->syn_owed && s->window == KITH_YAMUX_WINDOW_INIT);
            assert(s != y->last && s != y->body && s != y->turn);
            continue;
        }
        live++;
        unacked += s->unacked ? 1 : 0;
        assert(kith_map_get(&y->map, map_key(y, s->id)) == s);
        assert(((s->id & 1) == (y->cfg.dialer ? 1u : 0u)) == s->outbound);
        assert(!s->rst_owed && !s->reported);
        uint64_t granted = (uint64_t)s->recv_left + s->unread;
        assert(granted <= s->window); /* also while a smaller window waits for its update */
        assert(s->update_owed || granted + s->taken == s->window || s->state == REMOTE_CLOSED);
        assert(s->window >= KITH_YAMUX_WINDOW_INIT && s->window <= y->cfg.window_max);
        sharers += shares(s) ? 1 : 0;
        extra += s->window - KITH_YAMUX_WINDOW_INIT;
        assert(!s->update_owed || kith_link_in(&s->ctl));
        assert(!s->blocked || !kith_link_in(&s->sched));
        assert(!s->idle || kith_link_in(&s->sched));
        assert(!s->syn_owed || s->outbound);
        assert(!s->ack_owed || (!s->outbound && (kith_link_in(&s->ctl) || kith_link_in(&s->sched))));
        assert(!kith_link_in(&s->sched) || s->state != LOCAL_CLOSED);
    }
    assert(in == y->streams_in && out == y->streams_out && live == y->live && live == y->map.len);
    assert(in <= y->cfg.streams_in_max && out <= y->cfg.streams_out_max);
    assert(unacked == y->unacked && unacked <= KITH_YAMUX_BACKLOG);
    assert(sharers == y->sharers && extra == y->budget_used && extra <= y->cfg.budget_max);
    assert(y->pong_count <= PONGS_MAX && y->refused.len <= REFUSED_MAX * 4 && y->credit <= CREDIT_MAX);
    assert(y->part_len < KITH_YAMUX_HDR_LEN);
    assert(!y->failed || (live == 0 && kith_list_empty(&y->ctl)));
}
