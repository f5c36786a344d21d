/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rendezvous messages, read and written. */
#include "proto/rendezvous_msg.h"

#include "wire/pb.h"

/* message Message, and what is in it. Its types are the field of each plus two. */
enum { TYPE = 1, REGISTER = 2, REGISTER_RESPONSE = 3, UNREGISTER = 4, DISCOVER = 5, DISCOVER_RESPONSE = 6 };
enum { REG_NS = 1, REG_RECORD = 2, REG_TTL = 3 };
enum { RES_STATUS = 1, RES_TEXT = 2, RES_TTL = 3 };
enum { UNREG_NS = 1, UNREG_ID = 2 };
enum { DIS_NS = 1, DIS_LIMIT = 2, DIS_COOKIE = 3 };
enum { FOUND_REGISTRATIONS = 1, FOUND_COOKIE = 2, FOUND_STATUS = 3, FOUND_TEXT = 4 };

/* Wire types of the fields 1 to 4 of each body, as digits; 9: any. */
static bool wire_ok(const char *types, const kith_pb_field *f)
{
    return f->tag > strlen(types) || types[f->tag - 1] == '0' + f->wire;
}

static bool take_register(kith_rdv_msg *m, const kith_pb_field *f)
{
    if (f->tag == REG_NS) {
        m->ns = f->data;
        m->has_ns = true;
    } else if (f->tag == REG_RECORD) {
        m->record = f->data;
    } else if (f->tag == REG_TTL) {
        m->ttl = f->num;
        m->has_ttl = true;
    }
    return wire_ok("220", f);
}

static bool take_registered(kith_rdv_msg *m, const kith_pb_field *f)
{
    if (f->tag == RES_STATUS)
        m->status = f->num;
    else if (f->tag == RES_TTL) {
        m->ttl = f->num;
        m->has_ttl = true;
    }
    return wire_ok("020", f);
}

static bool take_unregister(kith_rdv_msg *m, const kith_pb_field *f)
{
    if (f->tag == UNREG_NS) {
        m->ns = f->data;
        m->has_ns = true;
    }
    return wire_ok("22", f);
}

static bool take_discover(kith_rdv_msg *m, const kith_pb_field *f)
{
    if (f->tag == DIS_NS) {
        m->ns = f->data;
        m->has_ns = f->data.len > 0;
    } else if (f->tag == DIS_LIMIT) {
        m->limit = f->num;
    } else if (f->tag == DIS_COOKIE) {
        m->cookie = f->data;
        m->has_cookie = f->data.len > 0;
    }
    return wire_ok("202", f);
}

static kith_err parse_body(kith_rdv_msg *m, kith_bytes in,
                           bool (*take)(kith_rdv_msg *, const kith_pb_field *))
{
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        if (!take(m, &f))
            return KITH_EPROTO;
    }
    return r.bad ? KITH_EPROTO : KITH_OK;
}

static bool take_discovered(kith_rdv_msg *m, const kith_pb_field *f)
{
    kith_rdv_msg reg = {0};
    if (f->tag == FOUND_COOKIE) {
        m->cookie = f->data;
        m->has_cookie = f->data.len > 0;
    } else if (f->tag == FOUND_STATUS) {
        m->status = f->num;
    }
    if (!wire_ok("2202", f))
        return false;
    return f->tag != FOUND_REGISTRATIONS || parse_body(&reg, f->data, take_register) == KITH_OK;
}

kith_err kith_rdv_parse(kith_bytes in, kith_rdv_msg *out)
{
    static bool (*const takes[])(kith_rdv_msg *,
                                 const kith_pb_field *) = {[KITH_RDV_REGISTER] = take_register,
                                                           [KITH_RDV_REGISTER_RESPONSE] = take_registered,
                                                           [KITH_RDV_UNREGISTER] = take_unregister,
                                                           [KITH_RDV_DISCOVER] = take_discover,
                                                           [KITH_RDV_DISCOVER_RESPONSE] = take_discovered};
    kith_rdv_msg m = {0};
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    kith_bytes bodies[5] = {{0}};
    bool there[5] = {0}, typed = false;
    uint64_t type = 0;
    while (kith_pb_next(&r, &f)) {
        if (f.tag == TYPE) {
            if (f.wire != KITH_PB_VARINT)
                return KITH_EPROTO;
            type = f.num;
            typed = true;
        } else if (f.tag >= REGISTER && f.tag <= DISCOVER_RESPONSE) {
            if (f.wire != KITH_PB_BYTES || there[f.tag - REGISTER])
                return KITH_EPROTO;
            bodies[f.tag - REGISTER] = f.data;
            there[f.tag - REGISTER] = true;
        }
    }
    if (r.bad || !typed)
        return KITH_EPROTO;
    if (type > KITH_RDV_DISCOVER_RESPONSE)
        return KITH_EUNSUPPORTED;
    if (!there[type] && type != KITH_RDV_DISCOVER) /* all that may be in that one is optional */
        return KITH_EPROTO;
    m.type = (kith_rdv_type)type;
    m.body = bodies[type];
    kith_err e = parse_body(&m, m.body, takes[type]);
    if (!e)
        *out = m;
    return e;
}

kith_rdv_walk kith_rdv_walk_of(const kith_rdv_msg *m)
{
    return (kith_rdv_walk){.in = kith_rd_of(m->body)};
}

bool kith_rdv_walk_next(kith_rdv_walk *w, kith_rdv_msg *out)
{
    kith_pb_field f;
    while (kith_pb_next(&w->in, &f)) {
        if (f.tag != FOUND_REGISTRATIONS)
            continue;
        *out = (kith_rdv_msg){.type = KITH_RDV_REGISTER};
        if (parse_body(out, f.data, take_register) == KITH_OK)
            return true;
    }
    return false;
}

/* ---- writing ---- */

static size_t registration_len(kith_bytes ns, kith_bytes record, uint64_t ttl)
{
    return kith_pb_bytes_len(REG_NS, ns.len) + kith_pb_bytes_len(REG_RECORD, record.len) +
           kith_pb_num_len(REG_TTL, ttl);
}

/* The key and length of a nested message. */
static void put_head(kith_wr *w, uint32_t tag, size_t len)
{
    kith_put_uvarint(w, tag << 3 | 2);
    kith_put_uvarint(w, len);
}

static void put_registration(kith_wr *w, kith_bytes ns, kith_bytes record, uint64_t ttl)
{
    kith_pb_put_bytes(w, REG_NS, ns);
    kith_pb_put_bytes(w, REG_RECORD, record);
    kith_pb_put_num(w, REG_TTL, ttl);
}

void kith_rdv_put_register(kith_wr *w, kith_bytes ns, kith_bytes record, uint64_t ttl)
{
    kith_pb_put_num(w, TYPE, KITH_RDV_REGISTER);
    put_head(w, REGISTER, registration_len(ns, record, ttl));
    put_registration(w, ns, record, ttl);
}

void kith_rdv_put_unregister(kith_wr *w, kith_bytes ns, const kith_peer_id *self)
{
    kith_bytes id = kith_peer_id_bytes(self);
    kith_pb_put_num(w, TYPE, KITH_RDV_UNREGISTER);
    put_head(w, UNREGISTER, kith_pb_bytes_len(UNREG_NS, ns.len) + kith_pb_bytes_len(UNREG_ID, id.len));
    kith_pb_put_bytes(w, UNREG_NS, ns);
    kith_pb_put_bytes(w, UNREG_ID, id);
}

void kith_rdv_put_discover(kith_wr *w, kith_bytes ns, uint64_t limit, kith_bytes cookie)
{
    size_t len = (ns.len ? kith_pb_bytes_len(DIS_NS, ns.len) : 0) +
                 (limit ? kith_pb_num_len(DIS_LIMIT, limit) : 0) +
                 (cookie.len ? kith_pb_bytes_len(DIS_COOKIE, cookie.len) : 0);
    kith_pb_put_num(w, TYPE, KITH_RDV_DISCOVER);
    put_head(w, DISCOVER, len);
    if (ns.len)
        kith_pb_put_bytes(w, DIS_NS, ns);
    if (limit)
        kith_pb_put_num(w, DIS_LIMIT, limit);
    if (cookie.len)
        kith_pb_put_bytes(w, DIS_COOKIE, cookie);
}

void kith_rdv_put_registered(kith_wr *w, kith_rdv_status status, const char *text, uint64_t ttl)
{
    bool ok = status == KITH_RDV_OK;
    kith_pb_put_num(w, TYPE, KITH_RDV_REGISTER_RESPONSE);
    put_head(w, REGISTER_RESPONSE,
             kith_pb_num_len(RES_STATUS, status) +
                 (ok ? kith_pb_num_len(RES_TTL, ttl) : kith_pb_bytes_len(RES_TEXT, strlen(text))));
    kith_pb_put_num(w, RES_STATUS, status);
    if (ok)
        kith_pb_put_num(w, RES_TTL, ttl);
    else
        kith_pb_put_str(w, RES_TEXT, text);
}

bool kith_rdv_put_registration(kith_wr *w, kith_bytes ns, kith_bytes record, uint64_t ttl)
{
    size_t len = registration_len(ns, record, ttl);
    if (w->bad || kith_pb_bytes_len(FOUND_REGISTRATIONS, len) > w->out.len - w->len)
        return false;
    put_head(w, FOUND_REGISTRATIONS, len);
    put_registration(w, ns, record, ttl);
    return true;
}

void kith_rdv_put_discovered(kith_wr *w, kith_rdv_status status, const char *text, kith_bytes registrations,
                             kith_bytes cookie)
{
    size_t len = registrations.len + kith_pb_num_len(FOUND_STATUS, status) +
                 (cookie.len ? kith_pb_bytes_len(FOUND_COOKIE, cookie.len) : 0) +
                 (text ? kith_pb_bytes_len(FOUND_TEXT, strlen(text)) : 0);
    kith_pb_put_num(w, TYPE, KITH_RDV_DISCOVER_RESPONSE);
    put_head(w, DISCOVER_RESPONSE, len);
    kith_put_bytes(w, registrations);
    if (cookie.len)
        kith_pb_put_bytes(w, FOUND_COOKIE, cookie);
    kith_pb_put_num(w, FOUND_STATUS, status);
    if (text)
        kith_pb_put_str(w, FOUND_TEXT, text);
}
