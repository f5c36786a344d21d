/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Frames, codes and blocks of the share protocol. */
#include "apps/share.h"

#include <assert.h>

#include "wire/pb.h"

enum { HEAD_BODY = 1 };
enum { REQUEST_ID = 1, REQUEST_RANGE = 2 };
enum { PEERS_PEER = 1, PEER_ID = 1, PEER_ADDR = 2 };
#define ZEROS_MIN 4096 /* bytes; fewer are sent as they are */
#define FIELDS_MAX 8

static const char *const code_texts[] = {
    [KITH_SHARE_NONE] = "no reason given",
    [KITH_SHARE_PROTOCOL] = "it says that we broke the protocol",
    [KITH_SHARE_REFUSED] = "it has no such share, or the ticket or code does not admit to it (any more)",
    [KITH_SHARE_USED_UP] = "it has been fetched as often as it may be",
    [KITH_SHARE_BUSY] = "as many as it may have at once are fetching it just now",
    [KITH_SHARE_STOPPED] = "it was stopped on the other side",
    [KITH_SHARE_CHANGED] = "it has changed since it was shared",
    [KITH_SHARE_UNREADABLE] = "it cannot be read any more on the other side",
    [KITH_SHARE_DECLINED] = "the receiver declined",
    [KITH_SHARE_DISK] = "the receiver could not store it",
    [KITH_SHARE_BAD_DATA] = "the receiver got data that does not match",
    [KITH_SHARE_INTERNAL] = "the other side ran out of memory",
    [KITH_SHARE_EXPIRED] = "the ticket or code has expired; ask for a new one",
};

const char *kith_share_code_text(kith_share_code c)
{
    return (size_t)c < sizeof code_texts / sizeof code_texts[0] ? code_texts[c]
                                                                : "a reason that this version does not know";
}

const char *kith_share_code_advice(kith_share_code c)
{
    return c == KITH_SHARE_USED_UP ? "; ask for a new code or ticket"
           : c == KITH_SHARE_BUSY
               ? "; try again later, as they may not finish, or ask for a code or ticket of your own"
               : "";
}

bool kith_share_code_is_late(kith_share_code c)
{
    return c == KITH_SHARE_USED_UP || c == KITH_SHARE_BUSY || c == KITH_SHARE_EXPIRED;
}

void kith_share_id(const uint8_t list_root[KITH_BLAKE3_LEN], const uint8_t *roots, size_t entries,
                   uint8_t out[KITH_BLAKE3_LEN])
{
    static const char domain[] = "kith share 2";
    uint8_t all[KITH_BLAKE3_LEN], buf[sizeof domain - 1 + 2 * KITH_BLAKE3_LEN];
    kith_blake3_hash(kith_bytes_of(roots, entries * KITH_BLAKE3_LEN), all);
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_put_str(&w, domain);
    kith_put_bytes(&w, kith_bytes_of(list_root, KITH_BLAKE3_LEN));
    kith_put_bytes(&w, kith_bytes_of(all, sizeof all));
    kith_blake3_hash(kith_wr_bytes(&w), out);
}

/* ---- fields ---- */

/* Where a field is kept: one of them. */
typedef struct slot {
    uint64_t *num;
    kith_bytes *data;
    bool *flag;
} slot;

/* The fields of a kind, by tag - 1; ranges, codes and peers stand apart. */
static size_t slots_of(kith_share_msg *m, uint64_t *code, slot out[FIELDS_MAX])
{
    size_t n = 0;
#define NUM(x)        \
    out[n++] = (slot) \
    {                 \
        .num = &(x)   \
    }
#define DATA(x)       \
    out[n++] = (slot) \
    {                 \
        .data = &(x)  \
    }
#define FLAG(x)       \
    out[n++] = (slot) \
    {                 \
        .flag = &(x)  \
    }
    switch (m->kind) {
    case KITH_SHARE_HELLO:
        NUM(m->version), DATA(m->capability), DATA(m->code_tag), FLAG(m->swarm);
        break;
    case KITH_SHARE_OFFER:
        DATA(m->root), NUM(m->list_size), FLAG(m->complete), FLAG(m->partial), DATA(m->share_id),
            DATA(m->name), NUM(m->holes);
        break;
    case KITH_SHARE_REQUEST:
    case KITH_SHARE_CANCEL:
    case KITH_SHARE_ENDED:
        NUM(m->id);
        break;
    case KITH_SHARE_DATA:
        NUM(m->id), NUM(m->leaf), DATA(m->pairs), NUM(*code), FLAG(m->zeros), FLAG(m->same);
        break;
    case KITH_SHARE_ERROR:
        NUM(*code), DATA(m->text);
        break;
    case KITH_SHARE_RECEIPT:
        NUM(m->files), NUM(m->bytes);
        break;
    case KITH_SHARE_WAIT:
        NUM(m->done), NUM(m->total);
        break;
    case KITH_SHARE_GET_LIST:
    case KITH_SHARE_LIST:
        NUM(m->offset);
        break;
    case KITH_SHARE_GET_ROOTS:
    case KITH_SHARE_ROOTS:
        NUM(m->first);
        break;
    case KITH_SHARE_PAUSE:
    case KITH_SHARE_STREAM:
        FLAG(m->on);
        break;
    case KITH_SHARE_END:
        NUM(m->bytes), DATA(m->root);
        break;
    case KITH_SHARE_PAKE:
        NUM(m->step), DATA(m->data);
        break;
    case KITH_SHARE_PASS:
        DATA(m->capability);
        break;
    case KITH_SHARE_HAVE:
    case KITH_SHARE_PEERS:
    case KITH_SHARE_OTHER:
        break;
    }
#undef NUM
#undef DATA
#undef FLAG
    return n;
}

static bool has_ranges(kith_share_kind k)
{
    return k == KITH_SHARE_REQUEST || k == KITH_SHARE_HAVE;
}

/* ---- parsing ---- */

static bool set_field(const slot *s, const kith_pb_field *f)
{
    if (s->num && f->wire == KITH_PB_VARINT)
        *s->num = f->num;
    else if (s->flag && f->wire == KITH_PB_VARINT)
        *s->flag = f->num != 0;
    else if (s->data && f->wire == KITH_PB_BYTES)
        *s->data = f->data;
    else
        return false;
    return true;
}

/* Adds a range. */
static bool parse_range(kith_share_msg *m, kith_bytes in)
{
    uint64_t first = 0, count = 1;
    const slot slots[] = {{.num = &first}, {.num = &count}};
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        if (f.tag <= 2 && !set_field(&slots[f.tag - 1], &f))
            return false;
    }
    if (r.bad || m->range_count == KITH_SHARE_RANGES || count == 0 || first > KITH_MANIFEST_LEAVES_MAX ||
        count > KITH_MANIFEST_LEAVES_MAX - first)
        return false;
    m->ranges[m->range_count++] = (kith_leaf_range){(uint32_t)first, (uint32_t)(first + count)};
    return true;
}

static bool limits_ok(const kith_share_msg *m)
{
    uint64_t leaves = 0;
    for (size_t i = 0; i < m->range_count; i++)
        leaves += m->ranges[i].end - m->ranges[i].first;
    switch (m->kind) {
    case KITH_SHARE_HELLO:
        return m->capability.len <= KITH_SHARE_TOKEN_MAX && m->code_tag.len <= KITH_SHARE_CODE_TAG_MAX &&
               (m->capability.len > 0) + (m->code_tag.len > 0) == 1;
    case KITH_SHARE_OFFER:
        return m->root.len == KITH_BLAKE3_LEN &&
               (m->share_id.len == 0 || (m->share_id.len == KITH_BLAKE3_LEN && m->complete)) &&
               m->name.len <= KITH_SHARE_NAME_MAX && (!m->partial || m->complete);
    case KITH_SHARE_REQUEST:
        if (m->body > 0 && m->body != leaves * KITH_SHARE_HINT_LEN)
            return false;
        return m->range_count > 0 && leaves <= KITH_SHARE_REQUEST_LEAVES;
    case KITH_SHARE_DATA:
        return m->body <= KITH_SHARE_BODY_MAX &&
               (m->body > 0) + (m->code != KITH_SHARE_NONE) + m->zeros + m->same <= 1;
    case KITH_SHARE_LIST:
        return m->body > 0 && m->body <= KITH_SHARE_BODY_MAX;
    case KITH_SHARE_ROOTS:
        return m->body > 0 && m->body <= KITH_SHARE_BODY_MAX && m->body % KITH_BLAKE3_LEN == 0;
    case KITH_SHARE_ERROR:
        return m->text.len <= KITH_SHARE_TEXT_MAX;
    case KITH_SHARE_PAKE:
        return m->step >= 1 && m->step <= 3 && m->data.len > 0 && m->data.len <= KITH_SHARE_TOKEN_MAX;
    case KITH_SHARE_PASS:
        return m->capability.len > 0 && m->capability.len <= KITH_SHARE_TOKEN_MAX;
    case KITH_SHARE_HAVE:
        return m->range_count > 0;
    case KITH_SHARE_END:
        return m->root.len == KITH_BLAKE3_LEN;
    case KITH_SHARE_PEERS: {
        kith_rd r = kith_rd_of(m->peers);
        kith_share_peer p;
        size_t n = 0;
        while (kith_share_peers_next(&r, &p))
            n++;
        return !r.bad && n <= KITH_SHARE_PEERS_MAX;
    }
    case KITH_SHARE_RECEIPT:
    case KITH_SHARE_WAIT:
    case KITH_SHARE_GET_LIST:
    case KITH_SHARE_GET_ROOTS:
    case KITH_SHARE_CANCEL:
    case KITH_SHARE_ENDED:
    case KITH_SHARE_PAUSE:
    case KITH_SHARE_STREAM:
    case KITH_SHARE_OTHER:
        return true;
    }
    return false;
}

static bool parse_message(kith_bytes in, kith_share_msg *m)
{
    uint64_t code = 0;
    slot slots[FIELDS_MAX] = {0};
    size_t n = slots_of(m, &code, slots);
    const uint32_t range_tag = m->kind == KITH_SHARE_REQUEST ? REQUEST_RANGE : 1;
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    if (m->kind == KITH_SHARE_PEERS)
        m->peers = in;
    while (kith_pb_next(&r, &f)) {
        if (has_ranges(m->kind) && f.tag == range_tag) {
            if (f.wire != KITH_PB_BYTES || !parse_range(m, f.data))
                return false;
        } else if (f.tag <= n && !set_field(&slots[f.tag - 1], &f)) {
            return false;
        }
    }
    m->code = code < 1u << 16 ? (kith_share_code)code : (kith_share_code)(1u << 16);
    return !r.bad;
}

kith_err kith_share_msg_parse(kith_bytes head, kith_share_msg *out)
{
    memset(out, 0, offsetof(kith_share_msg, ranges));
    kith_rd r = kith_rd_of(head);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        if (f.tag == HEAD_BODY) {
            if (f.wire != KITH_PB_VARINT || f.num > KITH_TREE_SIZE_MAX)
                return KITH_EPROTO;
            out->body = f.num;
        } else if (f.tag >= KITH_SHARE_HELLO && f.tag <= KITH_SHARE_KIND_MAX) {
            if (f.wire != KITH_PB_BYTES || out->kind != KITH_SHARE_OTHER)
                return KITH_EPROTO; /* one message per frame */
            out->kind = (kith_share_kind)f.tag;
            if (!parse_message(f.data, out))
                return KITH_EPROTO;
        }
    }
    return r.bad || !limits_ok(out) ? KITH_EPROTO : KITH_OK;
}

bool kith_share_peers_next(kith_rd *r, kith_share_peer *out)
{
    kith_pb_field f;
    *out = (kith_share_peer){0};
    while (kith_pb_next(r, &f)) {
        if (f.tag != PEERS_PEER)
            continue;
        kith_rd in = kith_rd_of(f.data);
        while (!r->bad && kith_pb_next(&in, &f)) {
            if (f.tag > PEER_ADDR)
                continue;
            if (f.wire != KITH_PB_BYTES)
                r->bad = true;
            else if (f.tag == PEER_ID)
                out->id = f.data;
            else if (out->addr_count < KITH_SHARE_PEER_ADDRS_MAX)
                out->addrs[out->addr_count++] = f.data;
        }
        r->bad |= in.bad || out->id.len == 0;
        return !r->bad;
    }
    return false;
}

void kith_share_peers_put(kith_wr *w, const kith_share_peer *p)
{
    uint8_t buf[KITH_SHARE_HEAD_MAX];
    kith_wr i = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_pb_put_bytes(&i, PEER_ID, p->id);
    for (size_t k = 0; k < p->addr_count; k++)
        kith_pb_put_bytes(&i, PEER_ADDR, p->addrs[k]);
    w->bad |= i.bad;
    kith_pb_put_bytes(w, PEERS_PEER, kith_wr_bytes(&i));
}

/* ---- writing ---- */

static void put_message(kith_wr *w, const kith_share_msg *m)
{
    kith_share_msg copy = *m; /* slots point into one that could be written to */
    uint64_t code = (uint64_t)m->code;
    slot slots[FIELDS_MAX] = {0};
    size_t n = slots_of(&copy, &code, slots);
    for (size_t i = 0; i < n; i++) {
        const slot *s = &slots[i];
        uint32_t tag = (uint32_t)(i + 1);
        if (s->data && s->data->len > 0)
            kith_pb_put_bytes(w, tag, *s->data);
        else if (!s->data && (s->num ? *s->num > 0 : *s->flag))
            kith_pb_put_num(w, tag, s->num ? *s->num : 1);
    }
    const uint32_t range_tag = m->kind == KITH_SHARE_REQUEST ? REQUEST_RANGE : 1;
    for (size_t i = 0; has_ranges(m->kind) && i < m->range_count; i++) {
        const kith_leaf_range *g = &m->ranges[i];
        uint8_t buf[24];
        kith_wr b = kith_wr_of(kith_span_of(buf, sizeof buf));
        if (g->first > 0)
            kith_pb_put_num(&b, 1, g->first);
        if (g->end - g->first != 1)
            kith_pb_put_num(&b, 2, g->end - g->first);
        kith_pb_put_bytes(w, range_tag, kith_wr_bytes(&b));
    }
    if (m->kind == KITH_SHARE_PEERS)
        kith_put_bytes(w, m->peers);
}

void kith_share_msg_put(kith_wr *w, const kith_share_msg *m)
{
    uint8_t inner[KITH_SHARE_HEAD_MAX];
    kith_wr i = kith_wr_of(kith_span_of(inner, sizeof inner - 16)); /* the head adds up to 16 bytes */
    put_message(&i, m);
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

bool kith_share_is_zeros(kith_bytes leaf)
{
    return leaf.len >= ZEROS_MIN && kith_bytes_all_zero(leaf);
}

kith_share_block *kith_share_block_new(const kith_env *env)
{
    kith_share_block *b = kith_mem_resize(env, NULL, 0, sizeof *b);
    if (!b)
        return NULL;
    b->link = (kith_link){0};
    b->env = *env;
    b->owner = NULL;
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
