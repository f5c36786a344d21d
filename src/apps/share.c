/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Frames, codes and blocks of the share protocol. */
#include "apps/share.h"

#include <assert.h>

#include "wire/pb.h"

enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };
enum { HEAD_BODY = 1 };
enum { HELLO_VERSION = 1, HELLO_ROOT = 2, HELLO_SECRET = 3 };
enum { OFFER_VERSION = 1, OFFER_LIST_SIZE = 2 };
enum { REQUEST_ID = 1, REQUEST_RANGE = 2 };
enum { RANGE_BLOB = 1, RANGE_COUNT = 2, RANGE_OFFSET = 3, RANGE_LENGTH = 4 };
enum { DATA_ID = 1, DATA_BLOB = 2, DATA_OFFSET = 3, DATA_PAIRS = 4, DATA_CODE = 5 };
enum { ERROR_CODE = 1, ERROR_BLOB = 2, ERROR_TEXT = 3 };
enum { RECEIPT_FILES = 1, RECEIPT_BYTES = 2 };

static const char *const code_texts[] = {
    [KITH_SHARE_NONE] = "no reason given",
    [KITH_SHARE_PROTOCOL] = "it says that we broke the protocol",
    [KITH_SHARE_REFUSED] = "it has no such share, or the ticket's secret is not the right one",
    [KITH_SHARE_USED_UP] = "the share has been fetched as often as it may be",
    [KITH_SHARE_BUSY] = "it has too many receivers at the moment",
    [KITH_SHARE_STOPPED] = "it was stopped on the other side",
    [KITH_SHARE_CHANGED] = "it has changed since it was shared",
    [KITH_SHARE_UNREADABLE] = "it cannot be read any more on the other side",
    [KITH_SHARE_DECLINED] = "the receiver declined",
    [KITH_SHARE_DISK] = "the receiver could not store it",
    [KITH_SHARE_BAD_DATA] = "the receiver got data that does not match",
    [KITH_SHARE_INTERNAL] = "the other side ran out of memory",
};

const char *kith_share_code_text(kith_share_code c)
{
    return (size_t)c < sizeof code_texts / sizeof code_texts[0] ? code_texts[c]
                                                                : "a reason that this version does not know";
}

/* ---- parsing ---- */

/* Where a field goes: one of the two, by its wire type. */
typedef struct slot {
    uint64_t *num;
    kith_bytes *data;
} slot;

/* Reads fields 1..n into their slots; others are skipped. */
static bool parse_fields(kith_bytes in, const slot *slots, size_t n)
{
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        if (f.tag > n)
            continue;
        const slot *s = &slots[f.tag - 1];
        if (f.wire == WIRE_VARINT && s->num)
            *s->num = f.num;
        else if (f.wire == WIRE_BYTES && s->data)
            *s->data = f.data;
        else
            return false;
    }
    return !r.bad;
}

static bool parse_request(kith_bytes in, kith_share_msg *m)
{
    uint64_t blobs = 0;
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        if (f.tag == REQUEST_ID && f.wire == WIRE_VARINT) {
            m->id = f.num;
        } else if (f.tag == REQUEST_RANGE && f.wire == WIRE_BYTES) {
            kith_share_range g = {.count = 1};
            if (m->range_count == KITH_SHARE_REQUEST_RANGES)
                return false;
            if (!parse_fields(
                    f.data, (slot[]){{&g.blob, NULL}, {&g.count, NULL}, {&g.offset, NULL}, {&g.length, NULL}},
                    4))
                return false;
            if (g.count == 0 || g.count > KITH_SHARE_REQUEST_BLOBS - blobs ||
                (g.count > 1 && (g.offset > 0 || g.length > 0)))
                return false;
            blobs += g.count;
            m->ranges[m->range_count++] = g;
        } else if (f.tag <= REQUEST_RANGE) {
            return false;
        }
    }
    return !r.bad && m->range_count > 0;
}

static bool parse_kind(kith_share_kind kind, kith_bytes in, kith_share_msg *m)
{
    uint64_t code = 0;
    bool ok = true;
    switch (kind) {
    case KITH_SHARE_HELLO:
        ok = parse_fields(in, (slot[]){{&m->version, NULL}, {NULL, &m->root}, {NULL, &m->secret}}, 3);
        break;
    case KITH_SHARE_OFFER:
        ok = parse_fields(in, (slot[]){{&m->version, NULL}, {&m->list_size, NULL}}, 2);
        break;
    case KITH_SHARE_REQUEST:
        ok = parse_request(in, m);
        break;
    case KITH_SHARE_DATA:
        ok = parse_fields(
            in,
            (slot[]){{&m->id, NULL}, {&m->blob, NULL}, {&m->offset, NULL}, {NULL, &m->pairs}, {&code, NULL}},
            5);
        break;
    case KITH_SHARE_ERROR:
        ok = parse_fields(in, (slot[]){{&code, NULL}, {&m->blob, NULL}, {NULL, &m->text}}, 3) &&
             m->text.len <= KITH_SHARE_TEXT_MAX;
        break;
    case KITH_SHARE_RECEIPT:
        ok = parse_fields(in, (slot[]){{&m->files, NULL}, {&m->bytes, NULL}}, 2);
        break;
    case KITH_SHARE_OTHER:
        break;
    }
    m->code = code < 1u << 16 ? (kith_share_code)code : (kith_share_code)(1u << 16);
    return ok;
}

kith_err kith_share_msg_parse(kith_bytes head, kith_share_msg *out)
{
    out->kind = KITH_SHARE_OTHER;
    out->body = out->version = out->list_size = out->id = out->blob = out->offset = out->files = out->bytes =
        0;
    out->root = out->secret = out->pairs = out->text = (kith_bytes){0};
    out->code = KITH_SHARE_NONE;
    out->range_count = 0;
    kith_rd r = kith_rd_of(head);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        if (f.tag == HEAD_BODY) {
            if (f.wire != WIRE_VARINT || f.num > KITH_TREE_SIZE_MAX)
                return KITH_EPROTO;
            out->body = f.num;
        } else if (f.tag >= KITH_SHARE_HELLO && f.tag <= KITH_SHARE_RECEIPT) {
            if (f.wire != WIRE_BYTES || out->kind != KITH_SHARE_OTHER)
                return KITH_EPROTO; /* one message per frame */
            out->kind = (kith_share_kind)f.tag;
            if (!parse_kind(out->kind, f.data, out))
                return KITH_EPROTO;
        }
    }
    return r.bad ? KITH_EPROTO : KITH_OK;
}

/* ---- writing ---- */

static void put_nums(kith_wr *w, const uint64_t *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i] > 0)
            kith_pb_put_num(w, (uint32_t)(i + 1), v[i]);
    }
}

static void put_data(kith_wr *w, uint32_t tag, kith_bytes v)
{
    if (v.len > 0)
        kith_pb_put_bytes(w, tag, v);
}

static void put_kind(kith_wr *w, const kith_share_msg *m)
{
    switch (m->kind) {
    case KITH_SHARE_HELLO:
        put_nums(w, &m->version, 1);
        put_data(w, HELLO_ROOT, m->root);
        put_data(w, HELLO_SECRET, m->secret);
        break;
    case KITH_SHARE_OFFER:
        put_nums(w, (uint64_t[]){m->version, m->list_size}, 2);
        break;
    case KITH_SHARE_REQUEST:
        put_nums(w, &m->id, 1);
        for (size_t i = 0; i < m->range_count; i++) {
            const kith_share_range *g = &m->ranges[i];
            uint8_t buf[48];
            kith_wr b = kith_wr_of(kith_span_of(buf, sizeof buf));
            put_nums(&b, (uint64_t[]){g->blob, g->count == 1 ? 0 : g->count, g->offset, g->length}, 4);
            kith_pb_put_bytes(w, REQUEST_RANGE, kith_wr_bytes(&b));
        }
        break;
    case KITH_SHARE_DATA:
        put_nums(w, (uint64_t[]){m->id, m->blob, m->offset}, 3);
        put_data(w, DATA_PAIRS, m->pairs);
        if (m->code)
            kith_pb_put_num(w, DATA_CODE, (uint64_t)m->code);
        break;
    case KITH_SHARE_ERROR:
        put_nums(w, (uint64_t[]){(uint64_t)m->code, m->blob}, 2);
        put_data(w, ERROR_TEXT, m->text);
        break;
    case KITH_SHARE_RECEIPT:
        put_nums(w, (uint64_t[]){m->files, m->bytes}, 2);
        break;
    case KITH_SHARE_OTHER:
        break;
    }
}

void kith_share_msg_put(kith_wr *w, const kith_share_msg *m)
{
    uint8_t inner[KITH_SHARE_HEAD_MAX];
    kith_wr i = kith_wr_of(kith_span_of(inner, sizeof inner - 16)); /* the head adds up to 16 bytes */
    put_kind(&i, m);
    uint8_t tail[16];
    kith_wr t = kith_wr_of(kith_span_of(tail, sizeof tail));
    if (m->body > 0)
        kith_pb_put_num(&t, HEAD_BODY, m->body);
    w->bad |= i.bad;
    kith_put_uvarint(w, t.len + kith_pb_bytes_len((uint32_t)m->kind, i.len));
    kith_put_bytes(w, kith_wr_bytes(&t));
    kith_pb_put_bytes(w, (uint32_t)m->kind, kith_wr_bytes(&i));
}

/* The length of a head, and of its own length, from the front of p. False: p is too short to tell, or *bad. */
static bool measure(kith_bytes p, size_t *skip, size_t *len, bool *bad)
{
    if (p.len == 0 || (p.p[0] & 0x80 && p.len == 1))
        return false;
    *skip = p.p[0] & 0x80 ? 2 : 1; /* two bytes say more than the cap */
    *len = *skip == 1 ? p.p[0] : (size_t)(p.p[0] & 0x7f) | (size_t)p.p[1] << 7;
    *bad = *len > KITH_SHARE_HEAD_MAX || (*skip == 2 && p.p[1] == 0);
    return !*bad;
}

bool kith_share_read_head(kith_share_reader *r, kith_bytes *in, kith_bytes *head, bool *bad)
{
    size_t skip, len;
    *bad = false;
    if (r->have == 0 && measure(*in, &skip, &len, bad) && len <= in->len - skip) {
        *head = kith_bytes_of(in->p + skip, len); /* all of it lies here: no copy */
        *in = kith_bytes_skip(*in, skip + len);
        return true;
    }
    while (in->len > 0 && !*bad) {
        bool known = measure(kith_bytes_of(r->buf, r->have), &skip, &len, bad);
        size_t need = known ? skip + len - r->have : 1;
        size_t n = need < in->len ? need : in->len;
        if (*bad)
            break;
        memcpy(r->buf + r->have, in->p, n);
        r->have += n;
        *in = kith_bytes_skip(*in, n);
        if (known && n == need) {
            *head = kith_bytes_of(r->buf + skip, len);
            r->have = 0;
            return true;
        }
    }
    return false;
}

bool kith_share_range_span(const kith_share_range *r, uint64_t size, uint64_t *from, uint64_t *to)
{
    *from = r->offset;
    *to = r->length == 0                                     ? size
          : r->length > size || r->offset > size - r->length ? 0
                                                             : r->offset + r->length;
    return kith_tree_range_ok(size, *from, *to);
}

kith_share_block *kith_share_block_new(const kith_env *env)
{
    kith_share_block *b = kith_mem_resize(env, NULL, 0, sizeof *b);
    if (!b)
        return NULL;
    b->link = (kith_link){0};
    b->env = *env;
    b->lent = b->ready = false;
    b->len = b->count = b->next = 0;
    return b;
}

void kith_share_block_free(kith_share_block *b)
{
    if (!b)
        return;
    kith_env env = b->env;
    kith_mem_free(&env, b, sizeof *b);
}

void kith_share_blocks_free(kith_list *l)
{
    for (kith_link *k; (k = kith_list_pop(l)) != NULL;)
        kith_share_block_free(KITH_OF(k, kith_share_block, link));
}
