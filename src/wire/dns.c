/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The codec of DNS messages. */
#include "wire/dns.h"

#include <assert.h>

#define HEADER 12
#define POINTER 0xc0
#define POINTER_MAX 0x3fff
#define TOP 0x8000
#define JUMPS_MAX 32 /* pointers that one name may follow: whoever compresses well needs one */

/* ---- names ---- */

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Lengths of labels are below 'A', so letters are all that changes. */
static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (lower(a[i]) != lower(b[i]))
            return false;
    }
    return true;
}

bool kith_dns_name_eq(const kith_dns_name *a, const kith_dns_name *b)
{
    return a->len == b->len && same_bytes(a->b, b->b, a->len);
}

bool kith_dns_name_below(const kith_dns_name *name, const kith_dns_name *rest, kith_bytes *label)
{
    size_t skip = name->len ? (size_t)name->b[0] + 1 : 0;
    if (skip <= 1 || name->len != skip + rest->len || !same_bytes(name->b + skip, rest->b, rest->len))
        return false;
    *label = kith_bytes_of(name->b + 1, skip - 1);
    return true;
}

kith_err kith_dns_name_join(kith_bytes label, const kith_dns_name *rest, kith_dns_name *out)
{
    kith_dns_name n;
    if (label.len == 0 || label.len > KITH_DNS_LABEL_MAX || rest->len == 0 ||
        label.len + 1 > (size_t)KITH_DNS_NAME_MAX - rest->len)
        return KITH_EFORMAT;
    n.len = (uint8_t)(label.len + 1 + rest->len);
    n.b[0] = (uint8_t)label.len;
    memcpy(n.b + 1, label.p, label.len);
    memcpy(n.b + 1 + label.len, rest->b, rest->len);
    *out = n;
    return KITH_OK;
}

kith_err kith_dns_name_of(const char *text, kith_dns_name *out)
{
    kith_dns_name n = {.len = 1};
    size_t end = strlen(text);
    while (end > 0) { /* from the last label to the first */
        size_t from = end;
        while (from > 0 && text[from - 1] != '.')
            from--;
        kith_err e = kith_dns_name_join(kith_bytes_of(text + from, end - from), &n, &n);
        if (e)
            return e;
        if (from == 1)
            return KITH_EFORMAT; /* begins with a dot */
        end = from > 0 ? from - 1 : 0;
    }
    *out = n;
    return KITH_OK;
}

/* The name at *at, which is moved behind it. Every pointer leads to before the place where the labels that it ends
 * began, so there is no loop; and there are few of them, so that a message of pointers to pointers costs little. */
static bool read_name(kith_bytes msg, size_t *at, kith_dns_name *out)
{
    size_t pos = *at, began = *at, len = 0;
    unsigned jumps = 0;
    for (;;) {
        if (pos >= msg.len)
            return false;
        uint8_t c = msg.p[pos];
        if ((c & POINTER) == POINTER) {
            if (msg.len - pos < 2)
                return false;
            size_t to = kith_load_be16(msg.p + pos) & POINTER_MAX;
            if (to >= began || to < HEADER || jumps == JUMPS_MAX)
                return false;
            if (jumps++ == 0)
                *at = pos + 2;
            pos = began = to;
            continue;
        }
        if (c > KITH_DNS_LABEL_MAX || (size_t)c + 1 > KITH_DNS_NAME_MAX - len || msg.len - pos <= c)
            return false;
        memcpy(out->b + len, msg.p + pos, (size_t)c + 1);
        len += (size_t)c + 1;
        pos += (size_t)c + 1;
        if (c == 0)
            break;
    }
    out->len = (uint8_t)len;
    if (jumps == 0)
        *at = pos;
    return true;
}

/* ---- reading ---- */

bool kith_dns_txt_next(kith_bytes *data, kith_bytes *string)
{
    if (data->len == 0 || data->len - 1 < data->p[0])
        return false;
    *string = kith_bytes_of(data->p + 1, data->p[0]);
    *data = kith_bytes_skip(*data, string->len + 1);
    return true;
}

/* Whether the data is what its type says, and its name. */
static bool read_data(kith_bytes msg, size_t at, kith_dns_item *item)
{
    kith_bytes rest = item->data, string;
    size_t end = at + rest.len;
    switch (item->type) {
    case KITH_DNS_A:
        return rest.len == 4;
    case KITH_DNS_AAAA:
        return rest.len == 16;
    case KITH_DNS_SRV:
        if (rest.len < 6)
            return false;
        at += 6; /* priority, weight, port */
        return read_name(msg, &at, &item->target) && at == end;
    case KITH_DNS_PTR:
        return read_name(msg, &at, &item->target) && at == end;
    case KITH_DNS_TXT:
        while (kith_dns_txt_next(&rest, &string))
            ;
        return rest.len == 0;
    default: /* any other type, whose data is nobody's business here */
        return true;
    }
}

static bool read_item(kith_dns_rd *r, kith_dns_item *out)
{
    unsigned section = KITH_DNS_QUESTION;
    while (r->left[section] == 0)
        section++;
    r->left[section]--;
    *out = (kith_dns_item){.section = (kith_dns_section)section};
    if (!read_name(r->msg, &r->at, &out->name))
        return false;
    kith_rd rd = kith_rd_of(kith_bytes_skip(r->msg, r->at));
    out->type = kith_get_be16(&rd);
    out->cls = kith_get_be16(&rd);
    out->top = out->cls & TOP;
    out->cls &= TOP - 1;
    if (section != KITH_DNS_QUESTION) {
        out->ttl = kith_get_be32(&rd);
        out->data = kith_get_bytes(&rd, kith_get_be16(&rd));
    }
    if (rd.bad)
        return false;
    r->at = r->msg.len - rd.in.len;
    return section == KITH_DNS_QUESTION || read_data(r->msg, r->at - out->data.len, out);
}

static bool any_left(const kith_dns_rd *r)
{
    return r->left[0] || r->left[1] || r->left[2] || r->left[3];
}

bool kith_dns_next(kith_dns_rd *r, kith_dns_item *out)
{
    return any_left(r) && read_item(r, out);
}

kith_err kith_dns_open(kith_dns_rd *r, kith_bytes msg)
{
    kith_rd rd = kith_rd_of(msg);
    kith_dns_rd found = {.msg = msg, .at = HEADER}, walk;
    kith_dns_item item;
    size_t items = 0;
    if (msg.len > KITH_DNS_MSG_MAX)
        return KITH_ELIMIT;
    found.id = kith_get_be16(&rd);
    found.flags = kith_get_be16(&rd);
    for (int i = 0; i < 4; i++) {
        found.left[i] = kith_get_be16(&rd);
        items += found.left[i];
    }
    if (rd.bad)
        return KITH_EPROTO;
    if (items > KITH_DNS_ITEMS_MAX)
        return KITH_ELIMIT;
    for (walk = found; any_left(&walk);) {
        if (!read_item(&walk, &item))
            return KITH_EPROTO;
    }
    if (walk.at != msg.len)
        return KITH_EPROTO;
    *r = found;
    return KITH_OK;
}

/* ---- writing ---- */

void kith_dns_begin(kith_dns_wr *w, kith_span out, uint16_t flags)
{
    *w = (kith_dns_wr){.w = kith_wr_of(out)};
    kith_put_be16(&w->w, 0);
    kith_put_be16(&w->w, flags);
    for (int i = 0; i < 4; i++)
        kith_put_be16(&w->w, 0); /* filled in at the end */
}

/* Where this end of a name was written before; 0: nowhere. */
static size_t place_of(const kith_dns_wr *w, kith_bytes end)
{
    for (size_t i = 0; i < w->place_count; i++) {
        kith_dns_name n;
        size_t at = w->places[i];
        if (read_name(kith_wr_bytes(&w->w), &at, &n) && n.len == end.len && same_bytes(n.b, end.p, end.len))
            return w->places[i];
    }
    return 0;
}

void kith_dns_put_name(kith_dns_wr *w, const kith_dns_name *name)
{
    kith_bytes rest = kith_bytes_of(name->b, name->len);
    size_t fresh[KITH_DNS_SUFFIXES_MAX], count = 0;
    while (rest.len > 1) {
        size_t place = place_of(w, rest);
        if (place) {
            kith_put_be16(&w->w, (uint16_t)(POINTER << 8 | place));
            break;
        }
        if (count < KITH_DNS_SUFFIXES_MAX && w->w.len <= POINTER_MAX)
            fresh[count++] = w->w.len;
        kith_put_bytes(&w->w, kith_bytes_of(rest.p, (size_t)rest.p[0] + 1));
        rest = kith_bytes_skip(rest, (size_t)rest.p[0] + 1);
    }
    if (rest.len == 1)
        kith_put_u8(&w->w, 0);
    for (size_t i = 0; i < count && !w->w.bad && w->place_count < KITH_DNS_SUFFIXES_MAX; i++)
        w->places[w->place_count++] = (uint16_t)fresh[i];
}

void kith_dns_put_question(kith_dns_wr *w, const kith_dns_name *name, uint16_t type)
{
    kith_dns_put_name(w, name);
    kith_put_be16(&w->w, type);
    kith_put_be16(&w->w, KITH_DNS_IN);
    w->count[KITH_DNS_QUESTION]++;
}

void kith_dns_put_record(kith_dns_wr *w, kith_dns_section section, const kith_dns_name *name, uint16_t type,
                         uint32_t ttl)
{
    assert(section != KITH_DNS_QUESTION && w->data_at == 0);
    kith_dns_put_name(w, name);
    kith_put_be16(&w->w, type);
    kith_put_be16(&w->w, KITH_DNS_IN);
    kith_put_be32(&w->w, ttl);
    kith_put_be16(&w->w, 0);
    w->data_at = w->w.len;
    w->count[section]++;
}

void kith_dns_put_string(kith_dns_wr *w, kith_bytes string)
{
    if (string.len > 255) {
        w->w.bad = true;
        return;
    }
    kith_put_u8(&w->w, (uint8_t)string.len);
    kith_put_bytes(&w->w, string);
}

void kith_dns_end_record(kith_dns_wr *w)
{
    if (!w->w.bad)
        kith_store_be16(w->w.out.p + w->data_at - 2, (uint16_t)(w->w.len - w->data_at));
    w->data_at = 0;
}

kith_dns_mark kith_dns_here(const kith_dns_wr *w)
{
    kith_dns_mark m = {.len = w->w.len, .place_count = w->place_count, .data_at = w->data_at};
    memcpy(m.count, w->count, sizeof m.count);
    return m;
}

void kith_dns_undo(kith_dns_wr *w, kith_dns_mark to)
{
    w->w.len = to.len;
    w->w.bad = false;
    w->place_count = to.place_count;
    w->data_at = to.data_at;
    memcpy(w->count, to.count, sizeof w->count);
}

kith_bytes kith_dns_finish(kith_dns_wr *w)
{
    if (w->w.bad)
        return (kith_bytes){0};
    for (int i = 0; i < 4; i++)
        kith_store_be16(w->w.out.p + 4 + 2 * i, w->count[i]);
    return kith_wr_bytes(&w->w);
}
