/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* identify and identify/push. */
#include "proto/identify.h"

#include <assert.h>

#include "base/buf.h"
#include "base/text.h"
#include "wire/pb.h"

/* message Identify (identify spec; SIGNED_RECORD is go's). */
enum {
    PUBLIC_KEY = 1,
    LISTEN_ADDRS = 2,
    PROTOCOLS = 3,
    OBSERVED_ADDR = 4,
    PROTOCOL_VERSION = 5,
    AGENT_VERSION = 6,
    SIGNED_RECORD = 8
};

#define RECORD_ALONE (2 * 1024) /* go-libp2p identify, legacyIDSize */
#define PREFIX_MAX 2            /* a message's length as uvarint: both caps are below 2^14 */

typedef enum state { SPEAKING, LISTENING, DONE, FAILED } state;

struct kith_identify {
    const kith_env *env;
    state state;
    bool speaker;
    kith_time deadline;
    kith_buf buf; /* a speaker's bytes to send, a listener's received ones */

    /* of the listener */
    size_t scanned; /* bytes of buf in whole messages */
    unsigned messages;
    kith_err err;
    const char *why;
    kith_identify_info info;
    kith_bytes *protocols;
    size_t protocols_cap;
    kith_maddr *addrs;
    size_t addrs_cap;
    uint8_t agent[KITH_IDENTIFY_AGENT_MAX];
    uint8_t version[KITH_IDENTIFY_AGENT_MAX];
};

static void identify_free(void *m)
{
    kith_identify *i = m;
    if (!i)
        return;
    const kith_env *env = i->env;
    kith_buf_fini(&i->buf, env);
    kith_mem_free(env, i->protocols, i->protocols_cap * sizeof *i->protocols);
    kith_mem_free(env, i->addrs, i->addrs_cap * sizeof *i->addrs);
    KITH_FREE(env, i);
}

/* ---- speaking ---- */

static kith_err put_message(kith_identify *i, kith_bytes msg)
{
    uint8_t prefix[PREFIX_MAX];
    kith_wr w = kith_wr_of(kith_span_of(prefix, sizeof prefix));
    kith_put_uvarint(&w, msg.len);
    assert(!w.bad);
    if (++i->messages > KITH_IDENTIFY_CHUNKS_MAX)
        return KITH_ELIMIT;
    kith_err e = kith_buf_put(&i->buf, i->env, kith_wr_bytes(&w));
    return e ? e : kith_buf_put(&i->buf, i->env, msg);
}

static size_t field_len(uint32_t tag, kith_bytes v)
{
    return v.len ? kith_pb_bytes_len(tag, v.len) : 0;
}

static void put_field(kith_wr *w, uint32_t tag, kith_bytes v)
{
    if (v.len)
        kith_pb_put_bytes(w, tag, v);
}

/* What stands once, apart from the record. */
static size_t head_len(const kith_identify_local *l)
{
    return field_len(PUBLIC_KEY, l->pubkey) + field_len(OBSERVED_ADDR, l->observed) +
           field_len(PROTOCOL_VERSION, kith_bytes_str(KITH_IDENTIFY_VERSION)) +
           field_len(AGENT_VERSION, l->agent);
}

/* How many of the items from `from` on fit into *room, which shrinks by them. */
static size_t fit_protocols(const kith_identify_local *l, size_t from, size_t *room)
{
    size_t to = from;
    for (; to < l->protocol_count; to++) {
        size_t n = kith_pb_bytes_len(PROTOCOLS, l->protocols[to].len);
        if (n > *room)
            break;
        *room -= n;
    }
    return to;
}

static size_t fit_addrs(const kith_identify_local *l, size_t from, size_t *room)
{
    size_t to = from;
    for (; to < l->addr_count; to++) {
        size_t n = kith_pb_bytes_len(LISTEN_ADDRS, l->addrs[to].len);
        if (n > *room)
            break;
        *room -= n;
    }
    return to;
}

/* rust reads the first message and no other: what stands once goes there, then protocols, then addresses. */
static kith_err encode(kith_identify *i, const kith_identify_local *l)
{
    uint8_t b[KITH_IDENTIFY_SEND_MAX - PREFIX_MAX];
    size_t p = 0, a = 0, all = SIZE_MAX;
    size_t record = field_len(SIGNED_RECORD, l->record);
    bool first = true;
    if (record > sizeof b) {
        kith_trace_line(i->env, "identify", "our signed record is too long to be sent");
        record = 0;
    }
    (void)fit_protocols(l, 0, &all);
    (void)fit_addrs(l, 0, &all);
    bool record_first = record > 0 && head_len(l) + (SIZE_MAX - all) + record <= RECORD_ALONE;
    while (first || p < l->protocol_count || a < l->addr_count) {
        size_t taken = first ? head_len(l) + (record_first ? record : 0) : 0;
        if (taken > sizeof b)
            return KITH_ELIMIT;
        size_t room = sizeof b - taken;
        size_t p_end = fit_protocols(l, p, &room), a_end = fit_addrs(l, a, &room);
        if (!first && p == p_end && a == a_end)
            return KITH_ELIMIT; /* the next item is longer than a message */
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
        if (first)
            put_field(&w, PUBLIC_KEY, l->pubkey);
        for (; a < a_end; a++)
            kith_pb_put_bytes(&w, LISTEN_ADDRS, kith_maddr_bytes(&l->addrs[a]));
        for (; p < p_end; p++)
            kith_pb_put_bytes(&w, PROTOCOLS, l->protocols[p]);
        if (first) {
            put_field(&w, OBSERVED_ADDR, l->observed);
            kith_pb_put_str(&w, PROTOCOL_VERSION, KITH_IDENTIFY_VERSION);
            put_field(&w, AGENT_VERSION, l->agent);
        }
        if (first && record_first)
            put_field(&w, SIGNED_RECORD, l->record);
        assert(!w.bad);
        kith_err e = put_message(i, kith_wr_bytes(&w));
        if (e)
            return e;
        first = false;
    }
    if (record == 0 || record_first)
        return KITH_OK;
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    put_field(&w, SIGNED_RECORD, l->record);
    return put_message(i, kith_wr_bytes(&w));
}

kith_err kith_identify_speaker(const kith_env *env, const kith_identify_local *local, kith_identify **out)
{
    kith_identify *i = KITH_NEW(env, kith_identify);
    if (!i)
        return KITH_ENOMEM;
    i->env = env;
    i->state = SPEAKING;
    i->speaker = true;
    i->deadline = KITH_NEVER;
    kith_buf_init(&i->buf, KITH_IDENTIFY_CHUNKS_MAX * KITH_IDENTIFY_SEND_MAX);
    kith_err e = encode(i, local);
    if (e) {
        identify_free(i);
        return e;
    }
    *out = i;
    return KITH_OK;
}

static size_t identify_send(void *m, kith_time now, kith_span out)
{
    kith_identify *i = m;
    if (i->state != SPEAKING)
        return 0;
    if (i->deadline == KITH_NEVER)
        i->deadline = now + KITH_IDENTIFY_TIMEOUT;
    size_t n = kith_buf_take(&i->buf, i->env, out);
    if (i->buf.len == 0)
        i->state = DONE;
    return n;
}

/* ---- listening ---- */

kith_err kith_identify_listener(const kith_env *env, kith_time now, const kith_peer_id *peer,
                                kith_identify **out)
{
    kith_identify *i = KITH_NEW(env, kith_identify);
    if (!i)
        return KITH_ENOMEM;
    i->env = env;
    i->state = LISTENING;
    i->deadline = now + KITH_IDENTIFY_TIMEOUT;
    i->info.peer = *peer;
    kith_buf_init(&i->buf, KITH_IDENTIFY_CHUNKS_MAX * (KITH_IDENTIFY_MSG_MAX + PREFIX_MAX));
    *out = i;
    return KITH_OK;
}

static kith_err fail(kith_identify *i, kith_err e, const char *why)
{
    i->state = FAILED;
    i->err = e;
    i->why = why;
    i->deadline = KITH_NEVER;
    kith_buf_fini(&i->buf, i->env);
    return e;
}

/* Counts the whole messages at the end of buf, and refuses a length or a number of them as soon as it shows. */
static kith_err scan(kith_identify *i)
{
    for (;;) {
        kith_bytes rest = kith_bytes_skip(kith_buf_view(&i->buf), i->scanned);
        if (rest.len == 0)
            return KITH_OK;
        if (i->messages == KITH_IDENTIFY_CHUNKS_MAX)
            return fail(i, KITH_ELIMIT, "too many identify messages");
        if (rest.len == 1 && rest.p[0] >= 0x80)
            return KITH_OK; /* half a length */
        kith_rd r = kith_rd_of(rest);
        uint64_t n = kith_get_uvarint(&r);
        if ((rest.len >= PREFIX_MAX && (rest.p[0] & rest.p[1] & 0x80)) || n > KITH_IDENTIFY_MSG_MAX)
            return fail(i, KITH_ELIMIT, "an identify message is too long");
        if (r.bad)
            return fail(i, KITH_EPROTO, "a malformed length of an identify message");
        if (n > r.in.len)
            return KITH_OK;
        i->scanned += rest.len - r.in.len + (size_t)n;
        i->messages++;
    }
}

static kith_err identify_recv(void *m, kith_time now, kith_bytes in)
{
    kith_identify *i = m;
    (void)now;
    if (i->state == FAILED)
        return i->err;
    if (i->speaker)
        return in.len ? fail(i, KITH_EPROTO, "an identify listener has sent something") : KITH_OK;
    if (i->state == DONE)
        return fail(i, KITH_EPROTO, "identify went on after its end");
    kith_err e = kith_buf_put(&i->buf, i->env, in);
    if (e == KITH_ELIMIT)
        return fail(i, e, "identify messages are too long");
    return e ? fail(i, e, "no memory for identify") : scan(i);
}

/* Copies text for showing: malformed and unprintable parts become '?', what does not fit is cut at a character. */
static kith_bytes cleaned(kith_bytes in, kith_span out)
{
    kith_wr w = kith_wr_of(out);
    while (in.len > 0) {
        uint32_t cp;
        size_t n = kith_utf8_next(in, &cp);
        bool shown = n > 0 && kith_text_printable(cp);
        if (n == 0)
            n = 1;
        if ((shown ? n : 1) > w.out.len - w.len)
            break;
        if (shown)
            kith_put_bytes(&w, kith_bytes_of(in.p, n));
        else
            kith_put_u8(&w, '?');
        in = kith_bytes_skip(in, n);
    }
    return kith_wr_bytes(&w);
}

static bool keeps_protocol(kith_bytes id)
{
    return id.len > 0 && id.len <= KITH_IDENTIFY_PROTOCOL_MAX && kith_text_clean(id);
}

/* Goes through the fields of all messages; fields.bad when one is malformed. */
typedef struct cursor {
    kith_rd messages;
    kith_rd fields;
} cursor;

static bool next_field(cursor *c, kith_pb_field *f)
{
    while (!kith_pb_next(&c->fields, f)) {
        if (c->fields.bad || c->messages.in.len == 0)
            return false;
        c->fields = kith_rd_of(kith_get_lp(&c->messages));
    }
    return true;
}

static cursor fields_of(const kith_identify *i)
{
    return (cursor){.messages = kith_rd_of(kith_buf_view(&i->buf))};
}

static bool known(uint32_t tag)
{
    return tag <= AGENT_VERSION || tag == SIGNED_RECORD;
}

/* Checks every field's form and counts the repeated ones, so that two blocks hold them. */
static kith_err make_room(kith_identify *i)
{
    size_t protocols = 0, addrs = 0;
    cursor c = fields_of(i);
    kith_pb_field f;
    while (next_field(&c, &f)) {
        if (!known(f.tag))
            continue;
        if (f.wire != KITH_PB_BYTES)
            return fail(i, KITH_EPROTO, "a field of identify has the wrong type");
        protocols += f.tag == PROTOCOLS;
        addrs += f.tag == LISTEN_ADDRS;
    }
    if (c.fields.bad)
        return fail(i, KITH_EPROTO, "a malformed identify message");
    protocols = protocols < KITH_IDENTIFY_PROTOCOLS_MAX ? protocols : KITH_IDENTIFY_PROTOCOLS_MAX;
    addrs = addrs < KITH_IDENTIFY_ADDRS_MAX ? addrs : KITH_IDENTIFY_ADDRS_MAX;
    if (protocols > 0) {
        i->protocols = kith_mem_new(i->env, protocols * sizeof *i->protocols);
        if (!i->protocols)
            return fail(i, KITH_ENOMEM, "no memory for identify");
        i->protocols_cap = protocols;
    }
    if (addrs > 0) {
        i->addrs = kith_mem_new(i->env, addrs * sizeof *i->addrs);
        if (!i->addrs)
            return fail(i, KITH_ENOMEM, "no memory for identify");
        i->addrs_cap = addrs;
    }
    return KITH_OK;
}

static kith_err merge(kith_identify *i)
{
    kith_identify_info *info = &i->info;
    kith_bytes key = {0};
    cursor c = fields_of(i);
    kith_pb_field f;
    while (next_field(&c, &f)) {
        switch (f.tag) {
        case PUBLIC_KEY:
            key = f.data;
            break;
        case LISTEN_ADDRS:
            info->has_addrs = true;
            if (info->addr_count < i->addrs_cap &&
                kith_maddr_parse(f.data, &i->addrs[info->addr_count]) == KITH_OK)
                info->addr_count++;
            break;
        case PROTOCOLS:
            info->has_protocols = true;
            if (info->protocol_count < i->protocols_cap && keeps_protocol(f.data))
                i->protocols[info->protocol_count++] = f.data;
            break;
        case OBSERVED_ADDR:
            info->has_observed = kith_maddr_parse(f.data, &info->observed) == KITH_OK;
            break;
        case PROTOCOL_VERSION:
            info->protocol_version = cleaned(f.data, kith_span_of(i->version, sizeof i->version));
            break;
        case AGENT_VERSION:
            info->has_agent = true;
            info->agent = cleaned(f.data, kith_span_of(i->agent, sizeof i->agent));
            break;
        case SIGNED_RECORD:
            info->record = f.data;
            break;
        default: /* of a later version of the protocol */
            break;
        }
    }
    if (!info->has_observed)
        info->observed.len = 0;
    info->protocols = i->protocols;
    info->addrs = i->addrs;
    kith_peer_id id;
    if (key.len > 0 && (kith_peer_id_of_key(key, &id) != KITH_OK || !kith_peer_id_eq(&id, &info->peer)))
        return fail(i, KITH_EAUTH, "identify names another key than the secure channel");
    return KITH_OK;
}

static void identify_eof(void *m, kith_time now)
{
    kith_identify *i = m;
    (void)now;
    if (i->state != LISTENING)
        return;
    if (i->messages == 0 || i->scanned < i->buf.len) {
        (void)fail(i, KITH_ESHORT,
                   i->buf.len ? "identify ends inside a message" : "identify ends without a message");
        return;
    }
    if (make_room(i) || merge(i))
        return;
    i->state = DONE;
    i->deadline = KITH_NEVER;
}

/* ---- both ---- */

static kith_stream_want identify_want(const void *m)
{
    const kith_identify *i = m;
    switch (i->state) {
    case SPEAKING:
    case LISTENING:
        return KITH_STREAM_OPEN;
    case DONE:
        return KITH_STREAM_FIN;
    case FAILED:
        return KITH_STREAM_RESET;
    }
    return KITH_STREAM_RESET;
}

static kith_time identify_deadline(const void *m)
{
    const kith_identify *i = m;
    return i->deadline;
}

static void identify_tick(void *m, kith_time now)
{
    kith_identify *i = m;
    if (now >= i->deadline)
        (void)fail(i, KITH_ETIMEOUT, "identify took too long");
}

static void identify_gone(void *m, kith_time now, kith_err why)
{
    kith_identify *i = m;
    (void)now;
    i->deadline = KITH_NEVER;
    if (i->state == LISTENING || i->state == SPEAKING)
        (void)fail(i, why ? why : KITH_ECLOSED, "the stream of identify is gone");
}

static bool identify_pending(const void *m)
{
    const kith_identify *i = m;
    return !i->speaker && (i->state == DONE || i->state == FAILED);
}

const kith_stream_ops kith_identify_ops = {
    .recv = identify_recv,
    .eof = identify_eof,
    .send = identify_send,
    .want = identify_want,
    .deadline = identify_deadline,
    .tick = identify_tick,
    .gone = identify_gone,
    .pending = identify_pending,
    .free = identify_free,
};

kith_err kith_identify_result(const kith_identify *i, const kith_identify_info **out)
{
    if (i->speaker || i->state == LISTENING)
        return KITH_ESTATE;
    if (i->state == FAILED)
        return i->err;
    *out = &i->info;
    return KITH_OK;
}

kith_err kith_identify_record(const kith_identify_info *info, kith_peer_record *out)
{
    kith_peer_record rec;
    kith_err e = kith_peer_record_open(info->record, &rec);
    if (!e && !kith_peer_id_eq(&rec.peer, &info->peer))
        e = KITH_EAUTH;
    if (!e)
        *out = rec;
    return e;
}

const char *kith_identify_why(const kith_identify *i)
{
    return i->why;
}
