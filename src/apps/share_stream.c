/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The machine of a shared stream: frames around a pipe. */
#include "apps/share_stream.h"

#include <assert.h>

#include "base/buf.h"
#include "crypto/blake3.h"

#define ASK_TIMEOUT KITH_SEC(15)   /* for HELLO, and for each message of the proof */
#define OFFER_TIMEOUT KITH_SEC(60) /* for a sharer's answer */
#define CONTROL_MAX (3 * (KITH_SHARE_HEAD_MAX + 2))

typedef enum state { HELLO, ASKED, ASKING, OPEN, OVER } state;

/* One direction's content. */
typedef struct tally {
    kith_blake3 *hash;
    uint64_t bytes;
    bool ended; /* END was said, or has come */
} tally;

struct kith_share_stream {
    const kith_env *env;
    kith_pipe *pipe;
    state state;
    bool sharer, both, silent;
    kith_time deadline;
    /* in */
    kith_share_reader reader;
    uint64_t body; /* left of the frame that is coming in */
    bool skip;     /* it is of a kind that is skipped */
    tally in;
    uint64_t steps; /* of PAKE: how many have come or gone */
    /* out */
    kith_buf control; /* frames that go before all else */
    uint64_t out_body;
    tally out;
    /* events */
    bool has_asked, has_pake, has_opened, has_failed;
    uint8_t token[KITH_SHARE_TOKEN_MAX], data[KITH_SHARE_TOKEN_MAX];
    size_t token_len, data_len;
    bool token_is_tag;
    kith_err err;
    kith_share_code code;
    const char *why;
};

/* Nothing more is done. It was open: the pipe says how it ended, and else an event. */
static void fail(kith_share_stream *m, kith_err err, kith_share_code code, const char *why)
{
    if (m->state == OVER)
        return;
    m->has_failed = m->state != OPEN;
    m->state = OVER;
    m->err = err;
    m->code = code;
    m->why = why;
    m->deadline = KITH_NEVER;
}

static void put(kith_share_stream *m, const kith_share_msg *msg)
{
    uint8_t buf[KITH_SHARE_HEAD_MAX + 2];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_share_msg_put(&w, msg);
    assert(!w.bad);
    if (kith_buf_put(&m->control, m->env, kith_wr_bytes(&w)))
        fail(m, KITH_ENOMEM, KITH_SHARE_INTERNAL, "no memory");
}

/* Last words, and until when they may take. */
static void say_error(kith_share_stream *m, kith_time now, kith_share_code code)
{
    const kith_share_msg msg = {.kind = KITH_SHARE_ERROR, .code = code};
    m->deadline = KITH_NEVER;
    if (m->state == OVER || m->out_body > 0)
        return; /* in the middle of a frame nothing can be said */
    put(m, &msg);
    m->deadline = now + KITH_SHARE_GOODBYE_TIMEOUT;
}

/* The same with last words. */
static void fail_aloud(kith_share_stream *m, kith_time now, kith_err err, kith_share_code code,
                       const char *why)
{
    if (m->state == OVER)
        return;
    say_error(m, now, code);
    kith_time deadline = m->deadline;
    fail(m, err, code, why);
    m->deadline = deadline;
}

/* ---- making one ---- */

static kith_share_stream *new_machine(const kith_env *env, state first)
{
    kith_share_stream *m = KITH_NEW(env, kith_share_stream);
    if (!m)
        return NULL;
    m->env = env;
    m->pipe = kith_pipe_new(env);
    kith_pipe_free(m->pipe); /* nobody else has it yet */
    m->state = first;
    m->sharer = first == HELLO;
    kith_buf_init(&m->control, CONTROL_MAX);
    m->in.hash = kith_blake3_new();
    m->out.hash = kith_blake3_new();
    if (m->pipe && m->in.hash && m->out.hash)
        return m;
    kith_share_stream_ops.free(m);
    return NULL;
}

kith_share_stream *kith_share_stream_new_sharer(const kith_env *env, kith_time now)
{
    kith_share_stream *m = new_machine(env, HELLO);
    if (m)
        m->deadline = now + ASK_TIMEOUT;
    return m;
}

kith_share_stream *kith_share_stream_new_receiver(const kith_env *env, kith_time now, kith_bytes capability,
                                                  kith_bytes code_tag)
{
    const kith_share_msg hello = {.kind = KITH_SHARE_HELLO,
                                  .version = KITH_SHARE_STREAM_VERSION,
                                  .capability = capability,
                                  .code_tag = code_tag};
    kith_share_stream *m = new_machine(env, ASKING);
    if (!m)
        return NULL;
    m->deadline = now + OFFER_TIMEOUT;
    m->token_is_tag = code_tag.len > 0;
    put(m, &hello);
    if (m->state != OVER)
        return m;
    kith_share_stream_ops.free(m);
    return NULL;
}

/* ---- what the owner says ---- */

void kith_share_stream_pake(kith_share_stream *m, kith_time now, kith_bytes data)
{
    const kith_share_msg msg = {.kind = KITH_SHARE_PAKE, .step = m->steps + 1, .data = data};
    if ((m->state != ASKED && m->state != ASKING) || m->steps >= 3 || (m->steps % 2 == 1) != m->sharer)
        return; /* not our turn */
    m->steps++;
    m->deadline = now + (m->sharer ? ASK_TIMEOUT : OFFER_TIMEOUT);
    put(m, &msg);
}

void kith_share_stream_admit(kith_share_stream *m, kith_time now, bool both)
{
    const kith_share_msg msg = {.kind = KITH_SHARE_STREAM, .on = both};
    (void)now;
    if (m->state != ASKED)
        return;
    m->both = both;
    put(m, &msg);
    if (m->state == OVER)
        return;
    m->state = OPEN;
    m->deadline = KITH_NEVER; /* its writer may be as slow as it likes */
}

kith_pipe *kith_share_stream_pipe(kith_share_stream *m)
{
    kith_pipe_hold(m->pipe);
    return m->pipe;
}

void kith_share_stream_silent(kith_share_stream *m)
{
    m->silent = true;
}

void kith_share_stream_stop(kith_share_stream *m, kith_time now, kith_share_code code)
{
    if (m->state == OVER)
        return;
    fail_aloud(m, now, KITH_ECLOSED, code, "stopped");
    m->has_failed = false; /* its owner knows */
}

bool kith_share_stream_next(kith_share_stream *m, kith_share_stream_event *ev)
{
    *ev = (kith_share_stream_event){0};
    if (m->has_asked) {
        m->has_asked = false;
        ev->kind = KITH_SHARE_STREAM_ASKED;
        *(m->token_is_tag ? &ev->code_tag : &ev->capability) = kith_bytes_of(m->token, m->token_len);
    } else if (m->has_pake) {
        m->has_pake = false;
        ev->kind = KITH_SHARE_STREAM_PAKE;
        ev->data = kith_bytes_of(m->data, m->data_len);
    } else if (m->has_opened) {
        m->has_opened = false;
        ev->kind = KITH_SHARE_STREAM_OPENED;
        ev->both = m->both;
    } else if (m->has_failed) {
        m->has_failed = false;
        *ev = (kith_share_stream_event){
            .kind = KITH_SHARE_STREAM_FAILED, .err = m->err, .code = m->code, .why = m->why};
    } else {
        return false;
    }
    return true;
}

/* ---- in ---- */

static void broke(kith_share_stream *m, kith_time now, const char *why)
{
    fail_aloud(m, now, KITH_EPROTO, KITH_SHARE_PROTOCOL, why);
}

static void on_hello(kith_share_stream *m, kith_time now, const kith_share_msg *msg)
{
    kith_bytes token = msg->code_tag.len > 0 ? msg->code_tag : msg->capability;
    if (m->state != HELLO || msg->version != KITH_SHARE_STREAM_VERSION) {
        broke(m, now, m->state == HELLO ? "another version" : "a hello out of turn");
        return;
    }
    m->state = ASKED;
    m->deadline = now + ASK_TIMEOUT;
    m->token_is_tag = msg->code_tag.len > 0;
    m->token_len = token.len;
    memcpy(m->token, token.p, token.len);
    m->has_asked = true;
}

static void on_pake(kith_share_stream *m, kith_time now, const kith_share_msg *msg)
{
    if ((m->state != ASKED && m->state != ASKING) || msg->step != m->steps + 1 ||
        (msg->step % 2 == 1) != m->sharer || m->has_pake || (m->sharer && !m->token_is_tag)) {
        broke(m, now, "a message of a proof out of turn");
        return;
    }
    m->steps++;
    m->deadline = now + (m->sharer ? ASK_TIMEOUT : OFFER_TIMEOUT);
    m->data_len = msg->data.len;
    memcpy(m->data, msg->data.p, msg->data.len);
    m->has_pake = true;
}

static void on_end(kith_share_stream *m, kith_time now, const kith_share_msg *msg)
{
    uint8_t hash[KITH_BLAKE3_LEN];
    kith_blake3_final(m->in.hash, hash);
    if (msg->bytes != m->in.bytes || memcmp(hash, msg->root.p, sizeof hash) != 0) {
        fail_aloud(m, now, KITH_ECRYPTO, KITH_SHARE_BAD_DATA, "what came is not what was sent");
        return;
    }
    m->in.ended = true;
    kith_pipe_ops.eof(m->pipe, now);
}

static void on_message(kith_share_stream *m, kith_time now, const kith_share_msg *msg)
{
    bool open = m->state == OPEN && !m->in.ended;
    m->body = msg->body;
    m->skip = true;
    switch ((int)msg->kind) {
    case KITH_SHARE_HELLO:
        on_hello(m, now, msg);
        break;
    case KITH_SHARE_PAKE:
        on_pake(m, now, msg);
        break;
    case KITH_SHARE_STREAM:
        if (m->state != ASKING || (m->token_is_tag && m->steps < 3)) { /* or nobody has proved anything */
            broke(m, now, "an offer out of turn");
            break;
        }
        m->both = msg->on;
        m->state = OPEN;
        m->deadline = KITH_NEVER;
        m->has_opened = true;
        break;
    case KITH_SHARE_DATA:
        if (!open || (m->sharer && !m->both) || msg->code || msg->zeros || msg->same || msg->pairs.len > 0)
            broke(m, now, "data out of turn");
        m->skip = false;
        break;
    case KITH_SHARE_END:
        if (open)
            on_end(m, now, msg);
        else
            broke(m, now, "an end out of turn");
        break;
    case KITH_SHARE_ERROR:
        fail(m, KITH_EREFUSED, msg->code, "the other side ended it");
        break;
    case KITH_SHARE_OTHER: /* a later version's */
        break;
    default:
        broke(m, now, "a message that is for shares of files");
    }
}

static kith_err recv_body(kith_share_stream *m, kith_time now, kith_bytes *in)
{
    size_t n = m->body < in->len ? (size_t)m->body : in->len;
    kith_bytes part = kith_bytes_of(in->p, n);
    *in = kith_bytes_skip(*in, n);
    m->body -= n;
    if (m->skip)
        return KITH_OK;
    kith_blake3_update(m->in.hash, part);
    m->in.bytes += n;
    return kith_pipe_ops.recv(m->pipe, now, part);
}

static kith_err on_recv(void *ctx, kith_time now, kith_bytes in)
{
    kith_share_stream *m = ctx;
    while (in.len > 0 && m->state != OVER) {
        kith_bytes head;
        kith_share_msg msg;
        bool bad;
        if (m->body > 0) {
            kith_err e = recv_body(m, now, &in);
            if (e) {
                fail(m, e, KITH_SHARE_INTERNAL, "no memory");
                return e;
            }
            continue;
        }
        if (kith_share_read_head(&m->reader, &in, &head, &bad)) {
            if (kith_share_msg_parse(head, &msg))
                broke(m, now, "a malformed message");
            else
                on_message(m, now, &msg);
        } else if (bad) {
            broke(m, now, "a head that is too long");
        }
    }
    return KITH_OK;
}

static void on_eof(void *ctx, kith_time now)
{
    kith_share_stream *m = ctx;
    (void)now;
    if (!m->in.ended)
        fail(m, KITH_ESHORT, KITH_SHARE_NONE, "it ended in the middle");
}

/* ---- out ---- */

/* The next frame, if there is one to be begun. */
static void begin_frame(kith_share_stream *m)
{
    kith_share_msg msg = {.kind = KITH_SHARE_DATA};
    uint8_t hash[KITH_BLAKE3_LEN];
    size_t n = kith_pipe_waiting(m->pipe);
    if (m->state != OPEN || m->out.ended)
        return;
    if (n > 0) {
        m->out_body = msg.body = n < KITH_SHARE_BODY_MAX ? n : KITH_SHARE_BODY_MAX;
        put(m, &msg);
    } else if (kith_pipe_ops.want(m->pipe) == KITH_STREAM_FIN && (!m->silent || kith_pipe_ended(m->pipe))) {
        kith_blake3_final(m->out.hash, hash);
        msg.kind = KITH_SHARE_END;
        msg.bytes = m->out.bytes;
        msg.root = kith_bytes_of(hash, sizeof hash);
        m->out.ended = true;
        put(m, &msg);
    }
}

static size_t on_send(void *ctx, kith_time now, kith_span out)
{
    kith_share_stream *m = ctx;
    size_t n = 0;
    while (n < out.len) {
        kith_span rest = kith_span_of(out.p + n, out.len - n);
        if (m->control.len == 0 && m->out_body == 0)
            begin_frame(m);
        size_t k;
        if (m->control.len > 0) {
            k = kith_buf_take(&m->control, m->env, rest);
        } else if (m->out_body > 0) {
            rest.len = m->out_body < rest.len ? (size_t)m->out_body : rest.len;
            k = kith_pipe_ops.send(m->pipe, now, rest);
            kith_blake3_update(m->out.hash, kith_bytes_of(rest.p, k));
            m->out.bytes += k;
            m->out_body -= k;
        } else {
            break;
        }
        n += k;
    }
    return n;
}

static kith_stream_want on_want(const void *ctx)
{
    const kith_share_stream *m = ctx;
    if (m->state == OVER)
        return m->deadline == KITH_NEVER ? KITH_STREAM_RESET
               : m->control.len == 0     ? KITH_STREAM_FIN
                                         : KITH_STREAM_OPEN;
    return m->out.ended && m->control.len == 0 ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

static size_t on_held(const void *ctx)
{
    return kith_pipe_ops.held(((const kith_share_stream *)ctx)->pipe);
}

static kith_time on_deadline(const void *ctx)
{
    return ((const kith_share_stream *)ctx)->deadline;
}

static void on_tick(void *ctx, kith_time now)
{
    kith_share_stream *m = ctx;
    if (now < m->deadline)
        return;
    fail(m, KITH_ETIMEOUT, KITH_SHARE_NONE, "it did not answer");
    m->deadline = KITH_NEVER;
}

static void on_gone(void *ctx, kith_time now, kith_err why)
{
    kith_share_stream *m = ctx;
    bool whole = m->in.ended && m->out.ended;
    fail(m, why ? why : whole ? KITH_OK : KITH_ESHORT, KITH_SHARE_NONE, "the connection was lost");
    kith_pipe_ops.gone(m->pipe, now, m->err);
}

static bool on_pending(const void *ctx)
{
    const kith_share_stream *m = ctx;
    return m->has_asked || m->has_pake || m->has_opened || m->has_failed || kith_pipe_ops.pending(m->pipe);
}

static void on_free(void *ctx)
{
    kith_share_stream *m = ctx;
    kith_buf_fini(&m->control, m->env);
    kith_blake3_free(m->in.hash);
    kith_blake3_free(m->out.hash);
    kith_pipe_free(m->pipe);
    KITH_FREE(m->env, m);
}

void kith_share_stream_check(const kith_share_stream *m)
{
    assert(m->token_len <= sizeof m->token && m->data_len <= sizeof m->data);
    assert(m->out_body <= KITH_PIPE_OUT_MAX && m->steps <= 3);
    assert(m->state == OPEN || m->state == OVER || (m->out.bytes == 0 && m->in.bytes == 0));
    assert(!m->sharer || m->both || m->in.bytes == 0);
}

const kith_stream_ops kith_share_stream_ops = {
    .recv = on_recv,
    .eof = on_eof,
    .send = on_send,
    .want = on_want,
    .held = on_held,
    .deadline = on_deadline,
    .tick = on_tick,
    .gone = on_gone,
    .pending = on_pending,
    .free = on_free,
};
