/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kademlia's messages, read and written. */
#include "proto/kad_msg.h"

#include "wire/pb.h"

enum { F_TYPE = 1, F_KEY = 2, F_RECORD = 3 };
enum { F_RECORD_KEY = 1, F_RECORD_VALUE = 2, F_RECORD_TIME = 5 };
enum { F_PEER_ID = 1, F_PEER_ADDR = 2, F_PEER_CONNECTION = 3 };
enum { CONNECTED = 1 }; /* ConnectionType */

static kith_err parse_record(kith_bytes in, kith_kad_msg *m)
{
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    m->has_record = true;
    m->record_key = m->value = (kith_bytes){0};
    while (kith_pb_next(&r, &f)) {
        bool known = f.tag == F_RECORD_KEY || f.tag == F_RECORD_VALUE || f.tag == F_RECORD_TIME;
        if (known && f.wire != KITH_PB_BYTES)
            return KITH_EPROTO;
        if (f.tag == F_RECORD_KEY)
            m->record_key = f.data;
        else if (f.tag == F_RECORD_VALUE)
            m->value = f.data;
    }
    if (r.bad)
        return KITH_EPROTO;
    return m->record_key.len > KITH_KAD_KEY_MAX || m->value.len > KITH_KAD_VALUE_MAX ? KITH_ELIMIT : KITH_OK;
}

static kith_err check_peer(kith_bytes in)
{
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        if ((f.tag == F_PEER_ID || f.tag == F_PEER_ADDR) && f.wire != KITH_PB_BYTES)
            return KITH_EPROTO;
        if (f.tag == F_PEER_CONNECTION && f.wire != KITH_PB_VARINT)
            return KITH_EPROTO;
    }
    return r.bad ? KITH_EPROTO : KITH_OK;
}

static kith_err take_field(const kith_pb_field *f, kith_kad_msg *m)
{
    switch (f->tag) {
    case F_TYPE:
        if (f->wire != KITH_PB_VARINT)
            return KITH_EPROTO;
        if (f->num > KITH_KAD_PING)
            return KITH_EUNSUPPORTED;
        m->type = (kith_kad_type)f->num;
        return KITH_OK;
    case F_KEY:
        m->key = f->data;
        return f->wire != KITH_PB_BYTES         ? KITH_EPROTO
               : f->data.len > KITH_KAD_KEY_MAX ? KITH_ELIMIT
                                                : KITH_OK;
    case F_RECORD:
        return f->wire == KITH_PB_BYTES ? parse_record(f->data, m) : KITH_EPROTO;
    case KITH_KAD_CLOSER:
    case KITH_KAD_PROVIDERS:
        return f->wire == KITH_PB_BYTES ? check_peer(f->data) : KITH_EPROTO;
    default:
        return KITH_OK; /* clusterLevelRaw, and what is not known */
    }
}

kith_err kith_kad_msg_parse(kith_bytes in, kith_kad_msg *out)
{
    kith_kad_msg m = {.raw = in};
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        kith_err e = take_field(&f, &m);
        if (e)
            return e;
    }
    if (r.bad)
        return KITH_EPROTO;
    *out = m;
    return KITH_OK;
}

kith_kad_walk kith_kad_walk_of(const kith_kad_msg *m, kith_kad_list list)
{
    return (kith_kad_walk){.in = kith_rd_of(m->raw), .list = list};
}

/* False: an id that is none of ours to know. */
static bool read_peer(kith_bytes in, kith_kad_peer *out)
{
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    bool good = false;
    out->addrs.len = 0;
    while (kith_pb_next(&r, &f)) {
        kith_maddr a;
        if (f.tag == F_PEER_ID)
            good = kith_peer_id_parse(f.data, &out->id) == KITH_OK;
        else if (f.tag == F_PEER_ADDR && kith_maddr_parse(f.data, &a) == KITH_OK)
            kith_addrs_pack(&out->addrs, &a, 1);
    }
    return good;
}

bool kith_kad_walk_next(kith_kad_walk *w, kith_kad_peer *out)
{
    kith_pb_field f;
    while (w->count < KITH_KAD_PEERS_MAX && kith_pb_next(&w->in, &f)) {
        if (f.tag != (uint32_t)w->list)
            continue;
        w->count++;
        if (read_peer(f.data, out))
            return true;
    }
    return false;
}

/* ---- writing ---- */

void kith_kad_put_head(kith_wr *w, kith_kad_type type, kith_bytes key)
{
    if (type != KITH_KAD_PUT_VALUE) /* proto3 leaves zero away */
        kith_pb_put_num(w, F_TYPE, type);
    if (key.len > 0)
        kith_pb_put_bytes(w, F_KEY, key);
}

static void put_2(kith_wr *w, unsigned v)
{
    kith_put_u8(w, (uint8_t)('0' + v / 10 % 10));
    kith_put_u8(w, (uint8_t)('0' + v % 10));
}

#define TIME_LEN (sizeof "2026-11-26T00:00:00Z" - 1)

/* RFC 3339 in UTC, of the years up to 9999. Days to a date by the count of a year that begins in March, whose leap day is its last. */
static void put_time(kith_wr *w, uint64_t unix)
{
    const uint64_t last = 253402300799u; /* 9999-12-31T23:59:59Z */
    if (unix > last)
        unix = last;
    uint64_t days = unix / 86400 + 719468; /* since 0000-03-01 */
    unsigned second = (unsigned)(unix % 86400);
    uint64_t era = days / 146097;
    unsigned of_era = (unsigned)(days % 146097);
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned march = (5 * of_year + 2) / 153;
    unsigned day = of_year - (153 * march + 2) / 5 + 1;
    unsigned month = march < 10 ? march + 3 : march - 9;
    year = (unsigned)(year + era * 400) + (month <= 2);
    put_2(w, year / 100);
    put_2(w, year);
    kith_put_u8(w, '-');
    put_2(w, month);
    kith_put_u8(w, '-');
    put_2(w, day);
    kith_put_u8(w, 'T');
    put_2(w, second / 3600);
    kith_put_u8(w, ':');
    put_2(w, second / 60 % 60);
    kith_put_u8(w, ':');
    put_2(w, second % 60);
    kith_put_u8(w, 'Z');
}

void kith_kad_put_record(kith_wr *w, kith_bytes key, kith_bytes value, uint64_t received)
{
    uint8_t time[TIME_LEN];
    kith_wr t = kith_wr_of(kith_span_of(time, sizeof time));
    size_t len = kith_pb_bytes_len(F_RECORD_KEY, key.len) + kith_pb_bytes_len(F_RECORD_VALUE, value.len);
    if (received) {
        put_time(&t, received);
        len += kith_pb_bytes_len(F_RECORD_TIME, t.len);
    }
    kith_put_uvarint(w, F_RECORD << 3 | KITH_PB_BYTES);
    kith_put_uvarint(w, len);
    kith_pb_put_bytes(w, F_RECORD_KEY, key);
    kith_pb_put_bytes(w, F_RECORD_VALUE, value);
    if (received)
        kith_pb_put_bytes(w, F_RECORD_TIME, kith_wr_bytes(&t));
}

bool kith_kad_put_peer(kith_wr *w, kith_kad_list list, const kith_peer_id *id, kith_bytes addrs,
                       bool connected)
{
    size_t len = kith_pb_bytes_len(F_PEER_ID, id->len) + (connected ? 2 : 0);
    kith_rd r = kith_rd_of(addrs);
    while (r.in.len > 0)
        len += kith_pb_bytes_len(F_PEER_ADDR, kith_get_lp(&r).len);
    if (w->bad || kith_pb_bytes_len(list, len) > w->out.len - w->len)
        return false;
    kith_put_uvarint(w, (uint64_t)list << 3 | KITH_PB_BYTES);
    kith_put_uvarint(w, len);
    kith_pb_put_bytes(w, F_PEER_ID, kith_peer_id_bytes(id));
    r = kith_rd_of(addrs);
    while (r.in.len > 0)
        kith_pb_put_bytes(w, F_PEER_ADDR, kith_get_lp(&r));
    if (connected)
        kith_pb_put_num(w, F_PEER_CONNECTION, CONNECTED);
    return true;
}
