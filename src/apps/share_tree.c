/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Building, proving and checking the hash tree of a blob. */
#include "apps/share_tree.h"

#include <assert.h>

/* Bytes of the left child of a node of n > unit bytes: the largest power of two of units that leaves at least one byte. */
static uint64_t left_len(uint64_t n, uint64_t unit)
{
    uint64_t left = unit;
    while (left < n - left)
        left *= 2;
    return left;
}

size_t kith_tree_leaves(uint64_t size)
{
    return size == 0 ? 1 : (size_t)((size - 1) / KITH_TREE_LEAF) + 1;
}

size_t kith_tree_nodes(uint64_t size)
{
    return 2 * kith_tree_leaves(size) - 1;
}

/* Place of the right child of the node at pos, whose left child has `left` bytes. */
static size_t right_pos(size_t pos, uint64_t left)
{
    return pos + 1 + kith_tree_nodes(left);
}

static bool is_leaf(uint64_t from, uint64_t to)
{
    return to - from <= KITH_TREE_LEAF;
}

void kith_tree_value(kith_bytes data, uint64_t size, uint64_t from, uint8_t out[KITH_BLAKE3_LEN])
{
    if (data.len == size)
        kith_blake3_hash(data, out);
    else
        kith_blake3_subtree(data, from / KITH_BLAKE3_CHUNK, out);
}

size_t kith_tree_place(uint64_t size, uint64_t from, uint64_t to)
{
    uint64_t at = 0, end = size;
    size_t pos = 0;
    while (at != from || end != to) {
        assert(!is_leaf(at, end));
        uint64_t left = left_len(end - at, KITH_TREE_LEAF);
        if (from - at < left) {
            pos += 1;
            end = at + left;
        } else {
            pos = right_pos(pos, left);
            at += left;
        }
    }
    return pos;
}

uint64_t kith_tree_left(uint64_t n)
{
    return left_len(n, KITH_TREE_LEAF);
}

void kith_tree_part_leaf(uint8_t *nodes, uint64_t size, uint64_t from, uint64_t part, size_t leaf,
                         kith_bytes data)
{
    uint64_t at = (uint64_t)leaf * KITH_TREE_LEAF;
    size_t pos = kith_tree_place(part, at, at + data.len);
    kith_tree_value(data, size, from + at, nodes + pos * KITH_BLAKE3_LEN);
}

void kith_tree_leaf(uint8_t *nodes, uint64_t size, size_t leaf, kith_bytes data)
{
    kith_tree_part_leaf(nodes, size, 0, size, leaf, data);
}

/* At most KITH_TREE_DEPTH_MAX deep. */
static void join(uint8_t *nodes, size_t pos, uint64_t n, bool root)
{
    if (n <= KITH_TREE_LEAF)
        return;
    uint64_t left = left_len(n, KITH_TREE_LEAF);
    size_t l = pos + 1, r = right_pos(pos, left);
    join(nodes, l, left, false);
    join(nodes, r, n - left, false);
    kith_blake3_parent(nodes + l * KITH_BLAKE3_LEN, nodes + r * KITH_BLAKE3_LEN, root,
                       nodes + pos * KITH_BLAKE3_LEN);
}

void kith_tree_part_join(uint8_t *nodes, uint64_t size, uint64_t part)
{
    join(nodes, 0, part, part == size);
}

void kith_tree_join(uint8_t *nodes, uint64_t size)
{
    kith_tree_part_join(nodes, size, size);
}

static void merge(kith_tree_sum *s, bool root)
{
    s->depth--;
    kith_blake3_parent(s->stack[s->depth - 1], s->stack[s->depth], root, s->stack[s->depth - 1]);
}

/* Subtrees lie on the stack, each of a power of two of leaves: the binary digits of how many there are. They are put together only when
 * there is something behind them, as what is last may be the top (BLAKE3 paper, 5.1.2). */
void kith_tree_sum_add(kith_tree_sum *s, const uint8_t value[KITH_BLAKE3_LEN])
{
    size_t ones = 0;
    for (uint64_t n = s->leaves; n > 0; n &= n - 1)
        ones++;
    while (s->depth > ones)
        merge(s, false);
    assert(s->depth < sizeof s->stack / sizeof s->stack[0]);
    memcpy(s->stack[s->depth++], value, KITH_BLAKE3_LEN);
    s->leaves++;
}

void kith_tree_sum_root(kith_tree_sum *s, uint8_t out[KITH_BLAKE3_LEN])
{
    assert(s->leaves > 1);
    while (s->depth > 1)
        merge(s, s->depth == 2);
    memcpy(out, s->stack[0], KITH_BLAKE3_LEN);
}

bool kith_tree_range_ok(uint64_t size, uint64_t from, uint64_t to)
{
    return from < to && to <= size && from % KITH_TREE_LEAF == 0 && (to % KITH_TREE_LEAF == 0 || to == size);
}

void kith_tree_prove(kith_tree_prover *p, const uint8_t *nodes, uint64_t size, uint64_t from, uint64_t to)
{
    assert(kith_tree_range_ok(size, from, to));
    p->nodes = nodes;
    p->from = from;
    p->to = to;
    p->depth = 1;
    p->stack[0] = (kith_tree_node){.from = 0, .to = size};
}

static bool touches(uint64_t from, uint64_t to, uint64_t a, uint64_t b)
{
    return from < b && a < to;
}

bool kith_tree_prove_next(kith_tree_prover *p, kith_wr *w, uint64_t *from, uint64_t *to)
{
    if (p->depth == 0)
        return false;
    kith_tree_node n = p->stack[--p->depth];
    while (!is_leaf(n.from, n.to)) {
        uint64_t left = left_len(n.to - n.from, KITH_TREE_LEAF);
        kith_tree_node l = {.from = n.from, .to = n.from + left, .pos = n.pos + 1};
        kith_tree_node r = {.from = n.from + left, .to = n.to, .pos = right_pos(n.pos, left)};
        kith_put_bytes(w, kith_bytes_of(p->nodes + l.pos * KITH_BLAKE3_LEN, KITH_BLAKE3_LEN));
        kith_put_bytes(w, kith_bytes_of(p->nodes + r.pos * KITH_BLAKE3_LEN, KITH_BLAKE3_LEN));
        if (!touches(l.from, l.to, p->from, p->to)) {
            n = r;
        } else {
            n = l;
            if (touches(r.from, r.to, p->from, p->to))
                p->stack[p->depth++] = r;
        }
    }
    *from = n.from;
    *to = n.to;
    return true;
}

void kith_tree_check(kith_tree_checker *c, const uint8_t root[KITH_BLAKE3_LEN], uint64_t size, uint64_t from,
                     uint64_t to)
{
    assert(kith_tree_range_ok(size, from, to) && size <= KITH_TREE_SIZE_MAX);
    c->size = size;
    c->from = from;
    c->to = to;
    c->nodes = NULL;
    c->depth = 1;
    c->stack[0] = (kith_tree_node){.from = 0, .to = size};
    memcpy(c->stack[0].cv, root, KITH_BLAKE3_LEN);
}

/* A node that is there already is not written again: another thread may be reading it. */
static void keep(uint8_t *node, const uint8_t *cv)
{
    if (memcmp(node, cv, KITH_BLAKE3_LEN) != 0)
        memcpy(node, cv, KITH_BLAKE3_LEN);
}

kith_err kith_tree_check_pairs(kith_tree_checker *c, kith_bytes pairs, uint64_t *from, uint64_t *to)
{
    if (c->depth == 0 || pairs.len % KITH_TREE_PAIR_LEN != 0)
        return KITH_EPROTO;
    kith_tree_node *n = &c->stack[c->depth - 1];
    for (; pairs.len > 0; pairs = kith_bytes_skip(pairs, KITH_TREE_PAIR_LEN)) {
        if (n->to - n->from <= KITH_TREE_LEAF_MIN)
            return KITH_EPROTO; /* cut too fine */
        const uint8_t *lcv = pairs.p, *rcv = pairs.p + KITH_BLAKE3_LEN;
        uint8_t cv[KITH_BLAKE3_LEN];
        kith_blake3_parent(lcv, rcv, n->to - n->from == c->size, cv);
        if (memcmp(cv, n->cv, sizeof cv) != 0)
            return KITH_ECRYPTO;
        uint64_t left = left_len(n->to - n->from, KITH_TREE_LEAF_MIN);
        kith_tree_node r = {.from = n->from + left, .to = n->to, .pos = right_pos(n->pos, left)};
        memcpy(r.cv, rcv, KITH_BLAKE3_LEN);
        kith_tree_node l = {.from = n->from, .to = n->from + left, .pos = n->pos + 1};
        memcpy(l.cv, lcv, KITH_BLAKE3_LEN);
        if (c->nodes && !is_leaf(n->from, n->to)) {
            keep(c->nodes + l.pos * KITH_BLAKE3_LEN, lcv);
            keep(c->nodes + r.pos * KITH_BLAKE3_LEN, rcv);
        }
        if (!touches(l.from, l.to, c->from, c->to)) {
            *n = r;
        } else if (!touches(r.from, r.to, c->from, c->to)) {
            *n = l;
        } else {
            assert(c->depth <= KITH_TREE_DEPTH_MAX);
            *n = r;
            *++n = l;
            c->depth++;
        }
    }
    if (n->to - n->from > KITH_TREE_LEAF)
        return KITH_EPROTO; /* cut too coarse */
    *from = n->from;
    *to = n->to;
    return KITH_OK;
}

kith_err kith_tree_check_data(kith_tree_checker *c, kith_bytes data)
{
    assert(c->depth > 0);
    const kith_tree_node *n = &c->stack[c->depth - 1];
    if (data.len != n->to - n->from)
        return KITH_EPROTO;
    uint8_t cv[KITH_BLAKE3_LEN];
    kith_tree_value(data, c->size, n->from, cv);
    if (memcmp(cv, n->cv, sizeof cv) != 0)
        return KITH_ECRYPTO;
    c->depth--;
    return KITH_OK;
}

kith_err kith_tree_check_value(kith_tree_checker *c, const uint8_t value[KITH_BLAKE3_LEN])
{
    assert(c->depth > 0);
    if (memcmp(c->stack[c->depth - 1].cv, value, KITH_BLAKE3_LEN) != 0)
        return KITH_ECRYPTO;
    c->depth--;
    return KITH_OK;
}

bool kith_tree_checked(const kith_tree_checker *c)
{
    return c->depth == 0;
}
