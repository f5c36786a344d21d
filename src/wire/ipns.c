/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* IPNS records. */
#include "wire/ipns.h"

#include <assert.h>

#include "wire/dagcbor.h"
#include "wire/pb.h"

enum { VALUE = 1, SIG_V1, VALIDITY_TYPE, VALIDITY, SEQUENCE, TTL, PUB_KEY, SIG_V2, DATA, FIELDS };
static const char signed_prefix[] = "ipns-signature:";

/* The fields of the protobuf; of one that stands twice the last counts, as everywhere in protobuf. */
typedef struct fields {
    kith_bytes data[FIELDS];
    uint64_t num[FIELDS];
} fields;

static bool is_number(uint32_t tag)
{
    return tag == VALIDITY_TYPE || tag == SEQUENCE || tag == TTL;
}

static kith_err get_fields(kith_bytes in, fields *out)
{
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    *out = (fields){0};
    if (in.len > KITH_IPNS_MAX)
        return KITH_EFORMAT;
    while (kith_pb_next(&r, &f)) {
        if (f.tag >= FIELDS)
            continue;
        if (f.wire != (is_number(f.tag) ? KITH_PB_VARINT : KITH_PB_BYTES))
            return KITH_EFORMAT;
        out->num[f.tag] = f.num;
        out->data[f.tag] = f.data;
    }
    return r.bad || out->data[SIG_V2].len == 0 || out->data[DATA].len == 0 ? KITH_EFORMAT : KITH_OK;
}

/* ---- the end, RFC 3339 ---- */

static unsigned digits(kith_rd *r, unsigned n)
{
    unsigned v = 0;
    while (n-- > 0) {
        uint8_t c = kith_get_u8(r);
        if (c < '0' || c > '9')
            r->bad = true;
        v = v * 10 + (r->bad ? 0u : (unsigned)c - (unsigned)'0');
    }
    return v;
}

static void expect(kith_rd *r, char c)
{
    if (kith_get_u8(r) != (uint8_t)c)
        r->bad = true;
}

/* Up to nine digits behind the point. */
static uint32_t fraction(kith_rd *r)
{
    uint32_t v = 0, unit = 100000000;
    if (r->in.len == 0 || r->in.p[0] != '.')
        return 0;
    expect(r, '.');
    do {
        v += digits(r, 1) * unit;
        unit /= 10;
    } while (unit > 0 && r->in.len > 0 && r->in.p[0] >= '0' && r->in.p[0] <= '9');
    return v;
}

static unsigned days_of_month(unsigned y, unsigned m)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m == 2 && leap ? 29 : days[m - 1];
}

/* Days from 1 January 1970; years are counted from March, so that a leap day is the last. */
static int64_t days_of(unsigned year, unsigned m, unsigned d)
{
    int64_t y = (int64_t)year - (m <= 2);
    unsigned day = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    int64_t leaps = y < 0 ? -1 : y / 4 - y / 100 + y / 400; /* only 1 and 2 of year 0 are before it */
    return y * 365 + leaps + day - 719468;
}

static bool get_time(kith_bytes text, uint64_t *seconds, uint32_t *ns)
{
    kith_rd r = kith_rd_of(text);
    unsigned y = digits(&r, 4);
    expect(&r, '-');
    unsigned m = digits(&r, 2);
    expect(&r, '-');
    unsigned d = digits(&r, 2);
    expect(&r, 'T');
    unsigned h = digits(&r, 2);
    expect(&r, ':');
    unsigned min = digits(&r, 2);
    expect(&r, ':');
    unsigned s = digits(&r, 2), off_h = 0, off_min = 0;
    *ns = fraction(&r);
    uint8_t zone = kith_get_u8(&r);
    if (zone == '+' || zone == '-') {
        off_h = digits(&r, 2);
        expect(&r, ':');
        off_min = digits(&r, 2);
    } else if (zone != 'Z') {
        r.bad = true;
    }
    if (r.bad || r.in.len > 0 || m < 1 || m > 12 || d < 1 || d > days_of_month(y, m) || h > 23 || min > 59 ||
        s > 59 || off_h > 23 || off_min > 59)
        return false;
    int64_t off = (int64_t)off_h * 3600 + off_min * 60;
    int64_t t = days_of(y, m, d) * 86400 + h * 3600 + min * 60 + s - (zone == '+' ? off : -off);
    if (t < 0)
        *ns = 0;
    *seconds = t < 0 ? 0 : (uint64_t)t;
    return true;
}

/* ---- what is signed ---- */

typedef struct document {
    kith_bytes value, validity;
    uint64_t validity_type, sequence, ttl;
} document;

/* Other keys are for extensions. */
static bool get_document(kith_bytes in, document *out)
{
    document d = {0};
    struct {
        const char *key;
        kith_bytes *data;
        uint64_t *num;
        bool seen;
    } want[] = {{"TTL", NULL, &d.ttl, false},
                {"Value", &d.value, NULL, false},
                {"Sequence", NULL, &d.sequence, false},
                {"Validity", &d.validity, NULL, false},
                {"ValidityType", NULL, &d.validity_type, false}};
    const size_t n = sizeof want / sizeof *want;
    kith_dagcbor_map m = kith_dagcbor_map_of(in);
    kith_dagcbor_entry e;
    size_t seen = 0;
    while (kith_dagcbor_next(&m, &e)) {
        size_t i = 0;
        while (i < n && !kith_bytes_eq_str(e.key, want[i].key))
            i++;
        if (i == n)
            continue;
        if (e.kind != (want[i].num ? KITH_DAGCBOR_UINT : KITH_DAGCBOR_BYTES) || e.num > INT64_MAX)
            return false;
        if (want[i].num)
            *want[i].num = e.num;
        else
            *want[i].data = e.data;
        seen++; /* no key stands twice */
    }
    if (m.in.bad || seen < n || d.validity_type != 0) /* 0: EOL, the only one there is */
        return false;
    *out = d;
    return true;
}

/* As go: a record with one of these two has to hold the same in all of the old fields. */
static bool agrees(const fields *f, const document *d)
{
    if (f->data[VALUE].len == 0 && f->data[SIG_V1].len == 0)
        return true;
    return kith_bytes_eq(f->data[VALUE], d->value) && kith_bytes_eq(f->data[VALIDITY], d->validity) &&
           f->num[VALIDITY_TYPE] == d->validity_type && f->num[SEQUENCE] == d->sequence &&
           f->num[TTL] == d->ttl;
}

static kith_err verify(const fields *f, const kith_peer_id *name)
{
    uint8_t b[sizeof signed_prefix + KITH_IPNS_MAX];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    kith_bytes key = kith_peer_id_inline_key(name);
    kith_peer_id of;
    kith_key_type type;
    kith_bytes raw;
    if (f->data[PUB_KEY].len) {
        if (kith_peer_id_of_key(f->data[PUB_KEY], &of) || !kith_peer_id_eq(&of, name))
            return KITH_EAUTH;
        key = f->data[PUB_KEY];
    }
    if (key.len == 0) /* the name is a hash, and nobody says of what */
        return KITH_EAUTH;
    kith_err e = kith_pubkey_parse(key, &type, &raw);
    if (e || kith_key_check(type, raw))
        return e ? e : KITH_EUNSUPPORTED; /* whose name it is made it, and others may know more curves */
    kith_put_str(&w, signed_prefix);
    kith_put_bytes(&w, f->data[DATA]);
    assert(!w.bad);
    return kith_verify(type, raw, kith_wr_bytes(&w), f->data[SIG_V2]);
}

static kith_err read_fields(const fields *f, kith_ipns *out)
{
    document d;
    kith_ipns r = {0};
    if (!get_document(f->data[DATA], &d) || !get_time(d.validity, &r.eol, &r.eol_ns))
        return KITH_EUNSUPPORTED;
    if (!agrees(f, &d))
        return KITH_EAUTH;
    r.value = d.value;
    r.sequence = d.sequence;
    r.ttl = d.ttl;
    *out = r;
    return KITH_OK;
}

kith_err kith_ipns_open(kith_bytes in, const kith_peer_id *name, kith_ipns *out)
{
    fields f;
    kith_err e = get_fields(in, &f);
    if (!e)
        e = verify(&f, name);
    return e ? e : read_fields(&f, out);
}

kith_err kith_ipns_read(kith_bytes in, kith_ipns *out)
{
    fields f;
    kith_err e = get_fields(in, &f);
    return e ? e : read_fields(&f, out);
}

bool kith_ipns_ended(const kith_ipns *r, uint64_t unix_seconds)
{
    return unix_seconds > r->eol;
}

int kith_ipns_cmp(const kith_ipns *a, const kith_ipns *b)
{
    if (a->sequence != b->sequence)
        return a->sequence > b->sequence ? 1 : -1;
    if (a->eol != b->eol)
        return a->eol > b->eol ? 1 : -1;
    return (a->eol_ns > b->eol_ns) - (a->eol_ns < b->eol_ns);
}
