/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Maps in DAG-CBOR. */
#include "wire/dagcbor.h"

enum {
    UINT,
    NEGATIVE,
    BYTES,
    TEXT,
    LIST,
    MAP,
    TAG,
    SIMPLE
}; /* RFC 8949, 3.1: the top three bits of a head */
enum { FALSE = 20, TRUE = 21, NIL = 22, FLOAT64 = 27 };
#define TAG_CID 42

/* A head: major type, and the number behind it in its shortest form. */
static unsigned get_head(kith_rd *r, uint64_t *num)
{
    uint8_t b = kith_get_u8(r);
    unsigned major = b >> 5, low = b & 31;
    uint64_t v = low, least = 0;
    if (major == SIMPLE) { /* no other floats, no undefined, no break */
        if (low == FLOAT64)
            (void)kith_get_be64(r);
        else if (low < FALSE || low > NIL)
            r->bad = true;
        *num = low;
        return major;
    }
    if (low == 24)
        v = kith_get_u8(r), least = 24;
    else if (low == 25)
        v = kith_get_be16(r), least = UINT8_MAX + 1;
    else if (low == 26)
        v = kith_get_be32(r), least = UINT16_MAX + 1;
    else if (low == 27)
        v = kith_get_be64(r), least = (uint64_t)UINT32_MAX + 1;
    else if (low > 27) /* without a length, or not assigned */
        r->bad = true;
    if (v < least)
        r->bad = true;
    *num = v;
    return major;
}

static kith_bytes get_string(kith_rd *r, uint64_t n)
{
    if (n > r->in.len)
        r->bad = true;
    return r->bad ? (kith_bytes){0} : kith_get_bytes(r, (size_t)n);
}

/* A value with all that is in it: by a count of what is still to come, each of which takes a byte at least, so that depth costs nothing. */
static void get_value(kith_rd *r, kith_dagcbor_entry *e)
{
    uint64_t num, todo = 1;
    bool outer = true;
    for (; todo > 0 && !r->bad; outer = false) {
        unsigned major = get_head(r, &num);
        kith_bytes data = {0};
        todo--;
        if (major == BYTES || major == TEXT)
            data = get_string(r, num);
        else if ((major == LIST || major == MAP) && num > r->in.len)
            r->bad = true;
        else if (major == LIST || major == MAP)
            todo += major == MAP ? 2 * num : num;
        else if (major == TAG && num != TAG_CID)
            r->bad = true;
        else if (major == TAG)
            todo++;
        if (outer) {
            e->kind = major == UINT    ? KITH_DAGCBOR_UINT
                      : major == BYTES ? KITH_DAGCBOR_BYTES
                                       : KITH_DAGCBOR_OTHER;
            e->num = major == UINT ? num : 0;
            e->data = major == BYTES ? data : (kith_bytes){0};
        }
        if (todo > r->in.len)
            r->bad = true;
    }
}

kith_dagcbor_map kith_dagcbor_map_of(kith_bytes in)
{
    kith_dagcbor_map m = {.in = kith_rd_of(in)};
    if (get_head(&m.in, &m.left) != MAP || m.left > in.len)
        m.in.bad = true;
    return m;
}

bool kith_dagcbor_next(kith_dagcbor_map *m, kith_dagcbor_entry *out)
{
    kith_dagcbor_entry e = {0};
    uint64_t n;
    if (m->in.bad)
        return false;
    if (m->left == 0) {
        m->in.bad = m->in.in.len > 0;
        return false;
    }
    if (get_head(&m->in, &n) != TEXT)
        m->in.bad = true;
    e.key = get_string(&m->in, n);
    bool sorted = !m->begun || e.key.len > m->last.len ||
                  (e.key.len == m->last.len && kith_bytes_cmp(e.key, m->last) > 0);
    if (!sorted)
        m->in.bad = true;
    get_value(&m->in, &e);
    if (m->in.bad)
        return false;
    m->last = e.key;
    m->begun = true;
    m->left--;
    *out = e;
    return true;
}
