/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* multistream-select 1.0 as a machine: reads one message at a time, in whatever pieces it comes, and
 * answers or proposes the next. */
#include "proto/mss.h"

#include <assert.h>

#include "base/buf.h"
#include "wire/multibase.h"

#define HELLO "/multistream/1.0.0"
#define AHEAD "/kith/ahead/1/" /* then which part, of how many, '/', bytes as base64url */
#define AHEAD_HEAD_LEN (sizeof AHEAD - 1 + 3)
#define AHEAD_PART 700 /* bytes; as text with its head below KITH_MSS_MSG_MAX */
#define AHEAD_PARTS ((KITH_MSS_AHEAD_MAX + AHEAD_PART - 1) / AHEAD_PART)
#define PREFIX_MAX 2 /* bytes of a length prefix: enough for KITH_MSS_MSG_MAX */

/* Longest output that can be queued: our hello, a "na" for each try, and the echo. */
#define OUT_MAX (1 + sizeof HELLO + KITH_MSS_TRIES_MAX * 4 + PREFIX_MAX + KITH_MSS_ID_MAX + 1)

static const char not_mss[] = "the peer does not speak multistream-select 1.0.0";

struct kith_mss {
    const kith_env *env;
    const kith_bytes *ids; /* dialer: what it proposes; NULL: a listener */
    size_t n, tried;       /* dialer: ids[tried] is proposed; listener: proposals answered with "na" */
    size_t own;            /* dialer: ids[0..own) went ahead */
    kith_mss_find find;
    void *ctx;
    kith_buf part; /* what has arrived of a message whose end has not */
    kith_buf out;
    const char *why;
    size_t need; /* length of the message being read; 0: the prefix is not complete */
    kith_mss_state state;
    int choice;
    uint8_t prefix; /* the first byte of a two-byte length prefix */
    bool have_prefix;
    bool greeted;   /* the peer's hello is in */
    kith_buf ahead; /* listener: all that came ahead */
    size_t
        ahead_head; /* listener: bytes of it in front of the payload; beyond its end: the payload is not for the choice */
    uint8_t part_next, parts; /* dialer: parts that were answered, of how many; listener: that came */
    uint8_t behind;           /* listener: proposals that still come and that the choice has made void */
};

static kith_err fail(kith_mss *m, kith_err e, const char *why)
{
    m->state = KITH_MSS_FAILED;
    m->why = why;
    kith_buf_fini(&m->part, m->env);
    return e;
}

/* Queues a message: length, text, newline. */
static kith_err say(kith_mss *m, kith_bytes text)
{
    size_t len = text.len + 1;
    size_t all = kith_uvarint_len(len) + len;
    kith_span room;
    kith_err e = kith_buf_room(&m->out, m->env, all, &room);
    if (e)
        return e;
    kith_wr w = kith_wr_of(room);
    kith_put_uvarint(&w, len);
    kith_put_bytes(&w, text);
    kith_put_u8(&w, '\n');
    assert(!w.bad && w.len == all);
    kith_buf_add(&m->out, all);
    return KITH_OK;
}

static kith_mss *start(const kith_env *env, size_t out_max, kith_bytes first)
{
    kith_mss *m = KITH_NEW(env, kith_mss);
    if (!m)
        return NULL;
    m->env = env;
    m->choice = -1;
    kith_buf_init(&m->part, KITH_MSS_MSG_MAX);
    kith_buf_init(&m->out, out_max);
    if (say(m, kith_bytes_str(HELLO)) || (first.len > 0 && say(m, first))) {
        kith_mss_free(m);
        return NULL;
    }
    return m;
}

kith_mss *kith_mss_dial(const kith_env *env, const kith_bytes *ids, size_t n)
{
    assert(n > 0);
    for (size_t i = 0; i < n; i++)
        assert(ids[i].len > 0 && ids[i].len <= KITH_MSS_ID_MAX);
    kith_mss *m = start(env, OUT_MAX, ids[0]);
    if (m) {
        m->ids = ids;
        m->n = n;
    }
    return m;
}

/* What goes ahead: how many proposals come behind it in the same flight, the ids with their lengths, a zero, the payload. */
static kith_bytes ahead_of(const kith_bytes *ids, size_t own, size_t n, kith_bytes payload, kith_span out)
{
    kith_wr w = kith_wr_of(out);
    kith_put_u8(&w, own < n);
    for (size_t i = 0; i < own; i++) {
        kith_put_u8(&w, (uint8_t)ids[i].len);
        kith_put_bytes(&w, ids[i]);
    }
    kith_put_u8(&w, 0);
    kith_put_bytes(&w, payload);
    assert(!w.bad);
    return kith_wr_bytes(&w);
}

static kith_err say_part(kith_mss *m, unsigned k, kith_bytes part)
{
    uint8_t text[KITH_MSS_MSG_MAX];
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text - 1)); /* and a newline */
    kith_put_bytes(&w, kith_bytes_str(AHEAD));
    kith_put_u8(&w, (uint8_t)('0' + k));
    kith_put_u8(&w, (uint8_t)('0' + m->parts));
    kith_put_u8(&w, '/');
    kith_base_put(&w, KITH_BASE64URL, part);
    assert(!w.bad);
    return say(m, kith_wr_bytes(&w));
}

kith_mss *kith_mss_dial_ahead(const kith_env *env, const kith_bytes *ids, size_t own, size_t n,
                              kith_bytes payload)
{
    uint8_t all[KITH_MSS_AHEAD_MAX];
    assert(own >= 1 && own <= n && payload.len > 0);
    kith_bytes ahead = ahead_of(ids, own, n, payload, kith_span_of(all, sizeof all));
    kith_mss *m = start(env, OUT_MAX + AHEAD_PARTS * KITH_MSS_MSG_MAX, (kith_bytes){0});
    if (!m)
        return NULL;
    m->ids = ids;
    m->n = n;
    m->own = m->tried = own; /* ids[own] is proposed right behind */
    m->parts = (uint8_t)((ahead.len + AHEAD_PART - 1) / AHEAD_PART);
    size_t each = (ahead.len + m->parts - 1) / m->parts;
    kith_err e = KITH_OK;
    for (unsigned k = 1; k <= m->parts && !e; k++) {
        size_t len = each < ahead.len ? each : ahead.len;
        e = say_part(m, k, kith_bytes_of(ahead.p, len));
        ahead = kith_bytes_skip(ahead, len);
    }
    if (!e && own < n)
        e = say(m, ids[own]);
    if (e) {
        kith_mss_free(m);
        return NULL;
    }
    return m;
}

bool kith_mss_ahead_taken(const kith_mss *m)
{
    return m->own > 0 && m->state == KITH_MSS_DONE && m->choice == 0;
}

kith_mss *kith_mss_listen(const kith_env *env, kith_mss_find find, void *ctx)
{
    kith_mss *m = start(env, OUT_MAX, (kith_bytes){0});
    if (m) {
        m->find = find;
        m->ctx = ctx;
    }
    return m;
}

void kith_mss_free(kith_mss *m)
{
    if (!m)
        return;
    kith_buf_fini(&m->part, m->env);
    kith_buf_fini(&m->out, m->env);
    kith_buf_fini(&m->ahead, m->env);
    KITH_FREE(m->env, m);
}

void kith_mss_take_ahead(kith_mss *m, size_t max)
{
    assert(!m->ids && !m->greeted);
    kith_buf_init(&m->ahead, max);
}

kith_span kith_mss_ahead(kith_mss *m)
{
    if (m->ids || m->state != KITH_MSS_DONE || m->ahead_head > m->ahead.len)
        return (kith_span){0};
    return kith_span_skip(kith_buf_span(&m->ahead), m->ahead_head);
}

static kith_err chosen(kith_mss *m, size_t choice)
{
    m->state = KITH_MSS_DONE;
    m->choice = (int)choice;
    return KITH_OK;
}

static kith_err refused(kith_mss *m)
{
    return fail(m, KITH_EUNSUPPORTED, "the peer refused every protocol we proposed");
}

/* The answer to a part: na, or to the last one the id that the listener takes of those that went ahead. */
static kith_err on_part_answer(kith_mss *m, kith_bytes text)
{
    bool last = ++m->part_next == m->parts;
    for (size_t i = 0; last && i < m->own; i++) {
        if (kith_bytes_eq(text, m->ids[i]))
            return chosen(m, i);
    }
    if (!kith_bytes_eq_str(text, "na"))
        return fail(m, KITH_EPROTO, "the answer is neither our proposal nor na");
    return last && m->own == m->n ? refused(m) : KITH_OK;
}

static kith_err on_answer(kith_mss *m, kith_bytes text)
{
    if (m->out.len > 0)
        return fail(m, KITH_EPROTO, "the answer came before our proposal was sent");
    if (m->part_next < m->parts)
        return on_part_answer(m, text);
    if (kith_bytes_eq(text, m->ids[m->tried]))
        return chosen(m, m->tried);
    if (!kith_bytes_eq_str(text, "na"))
        return fail(m, KITH_EPROTO, "the answer is neither our proposal nor na");
    if (++m->tried == m->n)
        return refused(m);
    return say(m, m->ids[m->tried]) ? fail(m, KITH_ENOMEM, "out of memory") : KITH_OK;
}

/* A part of what comes ahead. KITH_EUNSUPPORTED: it is none, not the next one, or there is no room for it. KITH_ENOMEM. */
static kith_err take_part(kith_mss *m, kith_bytes text)
{
    if (text.len <= AHEAD_HEAD_LEN || memcmp(text.p, AHEAD, sizeof AHEAD - 1) != 0)
        return KITH_EUNSUPPORTED;
    const uint8_t *head = text.p + sizeof AHEAD - 1;
    unsigned k = head[0] - '0', n = head[1] - '0';
    if (k != m->part_next + 1u || k > n || n > AHEAD_PARTS || (k > 1 && n != m->parts) || head[2] != '/')
        return KITH_EUNSUPPORTED;
    kith_bytes coded = kith_bytes_skip(text, AHEAD_HEAD_LEN);
    kith_span room;
    kith_err e = kith_buf_room(&m->ahead, m->env, coded.len * 3 / 4, &room);
    if (e)
        return e == KITH_ENOMEM ? e : KITH_EUNSUPPORTED;
    kith_wr w = kith_wr_of(room);
    if (room.len == 0 || kith_base_get(coded, KITH_BASE64URL, &w))
        return KITH_EUNSUPPORTED;
    kith_buf_add(&m->ahead, w.len);
    m->part_next++;
    m->parts = (uint8_t)n;
    return KITH_OK;
}

/* All parts are there: the first id among them that we know, or an empty view; then what came ahead is dropped. The payload is
 * the first id's alone. */
static kith_bytes take_ahead(kith_mss *m)
{
    kith_rd r = kith_rd_of(kith_buf_view(&m->ahead));
    kith_bytes found = {0};
    int choice = -1;
    size_t ids = 0, at = 0;
    uint8_t behind = kith_get_u8(&r);
    for (uint8_t len; (len = kith_get_u8(&r)) > 0 && !r.bad; ids++) {
        kith_bytes id = kith_get_bytes(&r, len);
        if (r.bad || choice >= 0)
            continue;
        choice = id.len <= KITH_MSS_ID_MAX ? m->find(m->ctx, id) : -1;
        found = id;
        at = ids;
    }
    if (r.bad || choice < 0 || behind > 1)
        return (kith_bytes){0};
    m->behind = behind;
    m->choice = choice;
    m->ahead_head = at == 0 ? m->ahead.len - r.in.len : m->ahead.len + 1;
    return found;
}

static void forget_ahead(kith_mss *m)
{
    kith_buf_fini(&m->ahead, m->env);
    kith_buf_init(&m->ahead, 0); /* and nothing more is taken */
}

static kith_err on_ahead(kith_mss *m)
{
    bool whole = m->part_next == m->parts;
    kith_bytes id = whole ? take_ahead(m) : (kith_bytes){0};
    m->tried++;
    kith_err e = say(m, id.len > 0 ? id : kith_bytes_str("na"));
    if (e)
        return fail(m, KITH_ENOMEM, "out of memory");
    if (id.len > 0)
        m->state = m->behind > 0 ? KITH_MSS_RUNNING : KITH_MSS_DONE;
    else if (whole)
        forget_ahead(m);
    return KITH_OK;
}

static kith_err on_proposal(kith_mss *m, kith_bytes text)
{
    if (m->behind > 0) {
        if (--m->behind == 0)
            m->state = KITH_MSS_DONE;
        return KITH_OK;
    }
    if (m->ahead.max > 0 && m->tried < KITH_MSS_TRIES_MAX) {
        kith_err e = take_part(m, text);
        if (!e)
            return on_ahead(m);
        if (e == KITH_ENOMEM)
            return fail(m, e, "out of memory");
    }
    forget_ahead(m); /* nothing comes between the parts */
    /* "ls" may be answered "na", and so it is: nobody needs the list. */
    int found = text.len > KITH_MSS_ID_MAX || kith_bytes_eq_str(text, "ls") ? -1 : m->find(m->ctx, text);
    if (found >= 0)
        return say(m, text) ? fail(m, KITH_ENOMEM, "out of memory") : chosen(m, (size_t)found);
    if (m->tried == KITH_MSS_TRIES_MAX)
        return fail(m, KITH_ELIMIT, "too many proposals");
    m->tried++;
    return say(m, kith_bytes_str("na")) ? fail(m, KITH_ENOMEM, "out of memory") : KITH_OK;
}

static kith_err on_message(kith_mss *m, kith_bytes msg)
{
    if (msg.p[msg.len - 1] != '\n')
        return fail(m, KITH_EPROTO, "a message does not end with a newline");
    kith_bytes text = kith_bytes_of(msg.p, msg.len - 1);
    if (!m->greeted) {
        if (!kith_bytes_eq_str(text, HELLO))
            return fail(m, KITH_EPROTO, not_mss);
        m->greeted = true;
        return KITH_OK;
    }
    return m->ids ? on_answer(m, text) : on_proposal(m, text);
}

/* A message of this length begins. One that cannot be the hello is not waited for: what speaks another protocol, or is encrypted for a
 * private network, may never send so much. */
static kith_err expect(kith_mss *m, size_t len)
{
    m->need = len;
    return m->greeted || len == sizeof HELLO ? KITH_OK : fail(m, KITH_EPROTO, not_mss);
}

/* One byte of the length prefix. At most two, minimal, not zero. */
static kith_err on_prefix(kith_mss *m, uint8_t b)
{
    if (!m->have_prefix) {
        if (b == 0)
            return fail(m, KITH_EPROTO, "a message of length zero");
        m->have_prefix = (b & 0x80) != 0;
        m->prefix = b;
        return m->have_prefix ? KITH_OK : expect(m, b);
    }
    if (b == 0)
        return fail(m, KITH_EPROTO, "a length prefix is not minimal");
    size_t len = (size_t)(m->prefix & 0x7f) | (size_t)(b & 0x7f) << 7;
    if ((b & 0x80) != 0 || len > KITH_MSS_MSG_MAX)
        return fail(m, KITH_EPROTO, "a message is longer than 1024 bytes");
    m->have_prefix = false;
    return expect(m, len);
}

/* The message itself, straight from the input when it is there whole. */
static kith_err on_body(kith_mss *m, kith_bytes in, size_t *used)
{
    size_t have = m->part.len;
    size_t n = m->need - have < in.len ? m->need - have : in.len;
    *used = n;
    if (have == 0 && n == m->need) {
        m->need = 0;
        return on_message(m, kith_bytes_of(in.p, n));
    }
    if (kith_buf_put(&m->part, m->env, kith_bytes_of(in.p, n)))
        return fail(m, KITH_ENOMEM, "out of memory");
    if (m->part.len < m->need)
        return KITH_OK;
    m->need = 0;
    kith_err e = on_message(m, kith_buf_view(&m->part));
    kith_buf_fini(&m->part, m->env);
    return e;
}

kith_err kith_mss_recv(kith_mss *m, kith_bytes in, size_t *used)
{
    size_t at = 0;
    kith_err e = KITH_OK;
    while (at < in.len && m->state == KITH_MSS_RUNNING) {
        size_t n = 1;
        if (m->need == 0)
            e = on_prefix(m, in.p[at]);
        else
            e = on_body(m, kith_bytes_skip(in, at), &n);
        at += n;
    }
    *used = at;
    return e;
}

size_t kith_mss_send(kith_mss *m, kith_span out)
{
    return kith_buf_take(&m->out, m->env, out);
}

kith_mss_state kith_mss_status(const kith_mss *m)
{
    return m->state;
}

int kith_mss_choice(const kith_mss *m)
{
    return m->state == KITH_MSS_DONE ? m->choice : -1;
}

bool kith_mss_may_pass(const kith_mss *m)
{
    if (m->out.len > 0)
        return false;
    switch (m->state) {
    case KITH_MSS_RUNNING:
        return m->ids && m->tried == m->n - 1 && m->part_next == m->parts;
    case KITH_MSS_DONE:
        return true;
    case KITH_MSS_FAILED:
        return false;
    }
    return false;
}

const char *kith_mss_why(const kith_mss *m)
{
    return m->why;
}

bool kith_mss_greeted(const kith_mss *m)
{
    return m->greeted;
}
