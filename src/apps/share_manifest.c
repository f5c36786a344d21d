/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Writing, parsing and judging the list of a share. */
#include "apps/share_manifest.h"

#include <assert.h>

#include "base/map.h"
#include "wire/pb.h"

enum { MANIFEST_ENTRY = 1 };
enum {
    ENTRY_DEPTH = 1,
    ENTRY_NAME = 2,
    ENTRY_TYPE = 3,
    ENTRY_SIZE = 4,
    ENTRY_MODE = 5,
    ENTRY_MTIME = 6,
    ENTRY_TARGET = 7
};
/* protobuf's sint64. */
static uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
}

/* The fields of one entry; w NULL: their length only. Zeros are left out, as proto3 does. */
static size_t entry_fields(kith_wr *w, const kith_entry *e)
{
    const struct {
        uint32_t tag;
        uint64_t num;
        kith_bytes data;
    } fields[] = {
        {ENTRY_DEPTH, e->depth, {0}}, {ENTRY_NAME, 0, e->name},   {ENTRY_TYPE, (uint64_t)e->type, {0}},
        {ENTRY_SIZE, e->size, {0}},   {ENTRY_MODE, e->mode, {0}}, {ENTRY_MTIME, zigzag(e->mtime_ns), {0}},
        {ENTRY_TARGET, 0, e->target},
    };
    size_t len = 0;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].data.len > 0) {
            len += kith_pb_bytes_len(fields[i].tag, fields[i].data.len);
            if (w)
                kith_pb_put_bytes(w, fields[i].tag, fields[i].data);
        } else if (fields[i].num > 0) {
            len += kith_pb_num_len(fields[i].tag, fields[i].num);
            if (w)
                kith_pb_put_num(w, fields[i].tag, fields[i].num);
        }
    }
    return len;
}

size_t kith_manifest_entry_len(const kith_entry *e)
{
    return kith_pb_bytes_len(MANIFEST_ENTRY, entry_fields(NULL, e));
}

void kith_manifest_put_entry(kith_wr *w, const kith_entry *e)
{
    kith_put_uvarint(w, MANIFEST_ENTRY << 3 | KITH_PB_BYTES);
    kith_put_uvarint(w, entry_fields(NULL, e));
    (void)entry_fields(w, e);
}

/* Reads the fields; what they may be is judge's business. Returns what is wrong with them, or NULL. */
static const char *entry_parse(kith_bytes in, kith_entry *e)
{
    *e = (kith_entry){0};
    uint64_t depth = 0, type = 0, mode = 0;
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        bool data = f.tag == ENTRY_NAME || f.tag == ENTRY_TARGET;
        if (f.tag < ENTRY_DEPTH || f.tag > ENTRY_TARGET)
            continue; /* a later version's */
        if (f.wire != (data ? KITH_PB_BYTES : KITH_PB_VARINT))
            return "a field has the wrong type";
        switch (f.tag) {
        case ENTRY_DEPTH:
            depth = f.num;
            break;
        case ENTRY_NAME:
            e->name = f.data;
            break;
        case ENTRY_TYPE:
            type = f.num;
            break;
        case ENTRY_SIZE:
            e->size = f.num;
            break;
        case ENTRY_MODE:
            mode = f.num;
            break;
        case ENTRY_MTIME:
            e->mtime_ns = unzigzag(f.num);
            break;
        case ENTRY_TARGET:
            e->target = f.data;
            break;
        }
    }
    if (r.bad)
        return "it is malformed";
    if (depth >= KITH_MANIFEST_DEPTH_MAX)
        return "it lies too deep";
    if (type > KITH_ENTRY_LINK)
        return "it is neither a file, a folder nor a symbolic link";
    if (mode > 0777)
        return "its mode has more than read, write and execute";
    e->depth = (uint8_t)depth;
    e->type = (kith_entry_type)type;
    e->mode = (uint16_t)mode;
    return NULL;
}

/* An entry by itself. */
static const char *judge_entry(const kith_entry *e, bool portable)
{
    const char *why = kith_name_fault(e->name, portable);
    if (why)
        return why;
    switch (e->type) {
    case KITH_ENTRY_FILE:
        if (e->size > KITH_TREE_SIZE_MAX)
            return "it is too large";
        return e->target.len > 0 ? "it is a file with a link's target" : NULL;
    case KITH_ENTRY_DIR:
        return e->size > 0 || e->target.len > 0 ? "it is a folder with content of its own" : NULL;
    case KITH_ENTRY_LINK:
        if (e->size > 0 || e->mode > 0)
            return "it is a symbolic link with content or a mode of its own";
        return kith_link_fault(e->target, e->depth);
    }
    return "it is of no known kind";
}

/* Where the walk stands: the last entry seen at each depth up to the current one. */
typedef struct walk {
    struct {
        uint32_t entry;
        kith_entry_type type;
        kith_bytes name;
    } last[KITH_MANIFEST_DEPTH_MAX];
    size_t depths; /* how many of them are valid */
} walk;

/* An entry by its place: finds its parent. */
static const char *judge_place(const kith_manifest *m, walk *w, const kith_entry *e, uint32_t *parent)
{
    size_t d = e->depth;
    *parent = KITH_ENTRY_TOP;
    if (d > w->depths)
        return "it lies in no listed folder";
    if (d > 0) {
        *parent = w->last[d - 1].entry;
        if (w->last[d - 1].type != KITH_ENTRY_DIR)
            return "what it lies in is not a folder";
    }
    if (d < w->depths) {
        int c = kith_bytes_cmp(w->last[d].name, e->name);
        if (c == 0)
            return "it is listed twice";
        if (c > 0)
            return "it is not in order";
    }
    w->last[d].entry = (uint32_t)m->count;
    w->last[d].type = e->type;
    w->last[d].name = e->name;
    w->depths = d + 1;
    return NULL;
}

/* Names that a case-insensitive file system takes for one. The table is asked by a secret hash of folder and folded name. */
typedef struct folds {
    uint64_t seed[2];
    kith_map map;
} folds;

static kith_err fold_put(folds *f, const kith_env *env, uint32_t parent, const kith_entry *e,
                         const char **why)
{
    uint8_t key[4 + KITH_NAME_MAX];
    kith_store_be32(key, parent);
    kith_name_fold(e->name, key + 4);
    uint64_t h = kith_hash(f->seed, kith_bytes_of(key, 4 + e->name.len));
    if (kith_map_get(&f->map, h)) {
        *why = "only the case of its letters tells it from another name";
        return KITH_EPROTO;
    }
    return kith_map_put(&f->map, env, h, f);
}

static kith_err push(kith_manifest *m, const kith_env *env, kith_manifest_place place)
{
    if (m->count == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 16;
        kith_manifest_place *p = kith_mem_resize(env, m->places, m->cap * sizeof *p, cap * sizeof *p);
        if (!p)
            return KITH_ENOMEM;
        m->places = p;
        m->cap = cap;
    }
    m->places[m->count++] = place;
    return KITH_OK;
}

static kith_err add(kith_manifest *m, const kith_env *env, walk *w, folds *f, size_t at, const kith_entry *e,
                    const char **why)
{
    uint32_t parent = KITH_ENTRY_TOP;
    *why = judge_entry(e, f != NULL);
    if (!*why)
        *why = judge_place(m, w, e, &parent);
    if (*why)
        return KITH_EPROTO;
    if (m->count == KITH_MANIFEST_ENTRIES_MAX ||
        kith_manifest_leaves_of(e->size) > KITH_MANIFEST_LEAVES_MAX - m->leaves) {
        *why = m->count == KITH_MANIFEST_ENTRIES_MAX ? "the share has too many entries"
                                                     : "the share is too large";
        return KITH_ELIMIT;
    }
    kith_err err = f ? fold_put(f, env, parent, e, why) : KITH_OK;
    if (!err)
        err = push(m, env, (kith_manifest_place){(uint32_t)at, parent, (uint32_t)m->leaves});
    if (err)
        return err;
    m->bytes += e->size;
    m->leaves += kith_manifest_leaves_of(e->size);
    m->files += e->type == KITH_ENTRY_FILE;
    m->dirs += e->type == KITH_ENTRY_DIR;
    m->links += e->type == KITH_ENTRY_LINK;
    return KITH_OK;
}

kith_err kith_manifest_parse(const kith_env *env, kith_bytes in, bool portable, kith_manifest *out,
                             kith_manifest_fault *fault)
{
    kith_manifest m = {.list = in};
    folds f = {0};
    walk w = {0};
    kith_entry e = {0};
    const char *why = NULL;
    kith_err err = KITH_OK;
    if (portable) {
        f.seed[0] = kith_rand_u64(env);
        f.seed[1] = kith_rand_u64(env);
    }
    if (in.len > KITH_MANIFEST_MAX) {
        err = KITH_ELIMIT;
        why = "the list is too long";
    }
    kith_rd r = kith_rd_of(in);
    kith_pb_field field;
    for (size_t at = 0; !err && kith_pb_next(&r, &field); at = in.len - r.in.len) {
        if (field.tag != MANIFEST_ENTRY)
            continue;
        why = field.wire == KITH_PB_BYTES ? entry_parse(field.data, &e) : "it is malformed";
        err = why ? KITH_EPROTO : add(&m, env, &w, portable ? &f : NULL, at, &e, &why);
    }
    if (!err && (r.bad || m.count == 0)) {
        err = KITH_EPROTO;
        why = r.bad ? "the list is malformed" : "the list is empty";
        e.name = (kith_bytes){0};
    }
    kith_map_fini(&f.map, env);
    if (err) {
        if (err != KITH_ENOMEM)
            *fault = (kith_manifest_fault){.why = why, .name = e.name, .entry = m.count};
        kith_manifest_fini(&m, env);
        return err;
    }
    *out = m;
    return KITH_OK;
}

void kith_manifest_fini(kith_manifest *m, const kith_env *env)
{
    kith_mem_free(env, m->places, m->cap * sizeof *m->places);
    *m = (kith_manifest){0};
}

uint64_t kith_manifest_leaves_of(uint64_t size)
{
    return size / KITH_TREE_LEAF + (size % KITH_TREE_LEAF != 0);
}

kith_entry kith_manifest_entry(const kith_manifest *m, size_t i)
{
    kith_entry e = {0};
    kith_pb_field field;
    assert(i < m->count);
    kith_rd r = kith_rd_of(kith_bytes_skip(m->list, m->places[i].at));
    bool ok =
        kith_pb_next(&r, &field) && !entry_parse(field.data, &e); /* as it was when the list was judged */
    assert(ok);
    (void)ok;
    return e;
}

void kith_manifest_leaves(const kith_manifest *m, size_t i, uint32_t *first, uint32_t *end)
{
    assert(i < m->count);
    *first = m->places[i].leaf;
    *end = i + 1 < m->count ? m->places[i + 1].leaf : (uint32_t)m->leaves;
}

size_t kith_manifest_leaf(const kith_manifest *m, uint64_t leaf, uint64_t *offset)
{
    size_t lo = 0,
           hi =
               m->count; /* the last entry that does not begin behind it: those without leaves stand before */
    assert(leaf < m->leaves);
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (m->places[mid].leaf <= leaf)
            lo = mid;
        else
            hi = mid;
    }
    *offset = (leaf - m->places[lo].leaf) * KITH_TREE_LEAF;
    return lo;
}

void kith_manifest_put_path(const kith_manifest *m, size_t i, bool escaped, kith_wr *w)
{
    size_t chain[KITH_MANIFEST_DEPTH_MAX], n = 0;
    assert(i < m->count);
    for (size_t at = i;; at = m->places[at].parent) {
        chain[n++] = at;
        if (m->places[at].parent == KITH_ENTRY_TOP)
            break;
    }
    while (n-- > 0) {
        kith_bytes name = kith_manifest_entry(m, chain[n]).name;
        if (escaped)
            kith_name_put(w, name);
        else
            kith_put_bytes(w, name);
        if (n > 0)
            kith_put_u8(w, '/');
    }
}
