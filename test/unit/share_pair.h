/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A sharer and a receiver back to back in memory, with their owners: what the tests of both machines share. */
#ifndef KITH_TEST_SHARE_PAIR_H
#define KITH_TEST_SHARE_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/share_world.h"

static world_heap heap;
static uint64_t seed = 1;
static const kith_env env = {.alloc = {&heap, world_heap_fn}, .rand = {&seed, world_rand_fn}};
static world_heap share_heap; /* of what is shared: apart, so that heap is the machines' alone */
static const kith_env share_env = {.alloc = {&share_heap, world_heap_fn}, .rand = {&seed, world_rand_fn}};

/* Both machines, the bytes between them, and the receiver's files. */
typedef struct pair {
    world_share *share;
    kith_share_tx *tx;
    kith_share_rx *rx;
    kith_time now;
    bool tx_gone, rx_gone, tx_fin, rx_fin;
    /* the receiver's owner */
    uint8_t *files[WORLD_FILES_MAX];
    uint64_t have[WORLD_FILES_MAX];
    kith_share_code lost[WORLD_FILES_MAX];
    const uint8_t *skip;
    bool listed, stored, done;
    kith_share_rx_event rx_failed; /* kind FAILED when it failed */
    kith_list disk;                /* blocks that are being "written" */
    /* the sharer's owner */
    kith_share_block *reads[KITH_SHARE_TX_BLOCKS]; /* blocks that are being "read" */
    size_t read_count;
    bool asked, receipt;
    uint64_t receipt_files, receipt_bytes;
    kith_share_tx_event tx_failed;
    size_t break_entry; /* its reads fail with break_code from break_offset on; SIZE_MAX: none */
    uint64_t break_offset;
    kith_share_code break_code;
    size_t chunk_max;  /* bytes per piece of stream */
    uint64_t rx_bytes; /* through the receiver's recv */
} pair;

static inline pair *pair_new(world_share *s)
{
    pair *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->share = s;
    p->now = KITH_SEC(1);
    p->break_entry = SIZE_MAX;
    p->chunk_max = 70000;
    kith_list_init(&p->disk);
    p->rx_failed.kind = KITH_SHARE_RX_DONE;
    p->tx_failed.kind = KITH_SHARE_TX_ASKED;
    for (size_t i = 0; i < s->count; i++) {
        if (s->entries[i].type == KITH_ENTRY_FILE) {
            p->files[i] = malloc((size_t)s->entries[i].size + 1);
            assert_non_null(p->files[i]);
        }
    }
    kith_share_rx_config cfg = {.env = env, .secret = s->source.secret};
    memcpy(cfg.root, s->source.root, sizeof cfg.root);
    p->rx = kith_share_rx_new(&cfg, p->now);
    p->tx = kith_share_tx_new(&env, p->now);
    return p;
}

static inline void pair_free(pair *p)
{
    kith_share_blocks_free(&p->disk);
    if (p->rx)
        kith_share_rx_ops.free(p->rx);
    if (p->tx)
        kith_share_tx_ops.free(p->tx);
    for (size_t i = 0; i < p->read_count; i++) /* they outlived their machine */
        kith_share_block_free(p->reads[i]);
    for (size_t i = 0; i < p->share->count; i++)
        free(p->files[i]);
    free(p);
    assert_int_equal(heap.live, 0);
}

static inline void rx_block(pair *p, const kith_share_block *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const kith_share_item *it = &b->items[i];
        size_t e = (size_t)it->blob - 1;
        assert_true(it->blob > 0 && e < p->share->count);
        if (it->code) {
            p->lost[e] = it->code;
            continue;
        }
        if (!p->lost[e])
            assert_int_equal(it->offset, p->have[e]); /* in order, no gap */
        p->have[e] = it->offset + it->len;
        assert_true(p->have[e] <= p->share->entries[e].size);
        memcpy(p->files[e] + it->offset, b->buf + it->at, it->len);
    }
}

static inline bool rx_events(pair *p, uint64_t *rnd)
{
    bool any = false;
    kith_share_rx_event ev;
    kith_share_rx_check(p->rx);
    while (kith_share_rx_next(p->rx, &ev)) {
        any = true;
        switch (ev.kind) {
        case KITH_SHARE_RX_LIST: {
            p->listed = true;
            const kith_manifest *m = kith_share_rx_manifest(p->rx);
            assert_int_equal(m->count, p->share->count);
            kith_err e = kith_share_rx_accept(p->rx, p->now, p->skip, NULL);
            if (e)
                kith_share_rx_stop(p->rx, KITH_SHARE_INTERNAL);
            break;
        }
        case KITH_SHARE_RX_BLOCK:
            rx_block(p, ev.block);
            kith_list_push(&p->disk, &ev.block->link);
            break;
        case KITH_SHARE_RX_STORED:
            p->stored = true;
            break;
        case KITH_SHARE_RX_DONE:
            p->done = true;
            break;
        case KITH_SHARE_RX_FAILED:
            p->rx_failed = ev;
            break;
        }
    }
    while (!kith_list_empty(&p->disk) && world_rand(rnd, 3) > 0) {
        kith_share_block *b = KITH_OF(kith_list_pop(&p->disk), kith_share_block, link);
        kith_share_rx_stored(p->rx, p->now, b);
        any = true;
    }
    if (p->stored && kith_list_empty(&p->disk)) {
        p->stored = false;
        uint64_t bytes, files;
        kith_share_rx_progress(p->rx, &bytes, &files);
        kith_share_rx_finish(p->rx, files, bytes);
        any = true;
    }
    kith_share_rx_check(p->rx);
    return any;
}

static inline bool tx_events(pair *p, uint64_t *rnd)
{
    bool any = false;
    kith_share_tx_event ev;
    kith_share_tx_check(p->tx);
    while (kith_share_tx_next(p->tx, &ev)) {
        any = true;
        switch (ev.kind) {
        case KITH_SHARE_TX_ASKED:
            p->asked = true;
            kith_share_tx_admit(p->tx, p->now, &p->share->source);
            break;
        case KITH_SHARE_TX_READ:
            assert_true(p->read_count < KITH_SHARE_TX_BLOCKS);
            p->reads[p->read_count++] = ev.block;
            break;
        case KITH_SHARE_TX_RECEIPT:
            p->receipt = true;
            p->receipt_files = ev.files;
            p->receipt_bytes = ev.bytes;
            break;
        case KITH_SHARE_TX_FAILED:
            p->tx_failed = ev;
            break;
        }
    }
    while (p->read_count > 0 && world_rand(rnd, 3) > 0) { /* the disk answers in any order */
        size_t i = (size_t)world_rand(rnd, p->read_count);
        kith_share_block *b = p->reads[i];
        p->reads[i] = p->reads[--p->read_count];
        for (size_t k = 0; k < b->count; k++) {
            if (b->items[k].blob == p->break_entry + 1 && b->items[k].offset >= p->break_offset)
                b->items[k].code = p->break_code;
        }
        world_fill(p->share, b);
        kith_share_tx_filled(p->tx, p->now, b);
        any = true;
    }
    kith_share_tx_check(p->tx);
    return any;
}

/* Moves bytes one way, as many as the sender has, in random pieces. Returns whether anything moved. */
static inline bool move(pair *p, const kith_stream_ops *from_ops, void *from, bool *fin,
                        const kith_stream_ops *to_ops, void *to, bool *gone, uint64_t *rnd)
{
    static uint8_t buf[1 << 17];
    if (*fin || *gone)
        return false;
    size_t room = 1 + (size_t)world_rand(rnd, p->chunk_max);
    size_t n = from_ops->send(from, p->now, kith_span_of(buf, room));
    assert_true(n <= room);
    for (size_t at = 0; at < n;) {
        size_t piece = 1 + (size_t)world_rand(rnd, world_rand(rnd, 4) == 0 ? 3 : n);
        if (piece > n - at)
            piece = n - at;
        assert_int_equal(to_ops->recv(to, p->now, kith_bytes_of(buf + at, piece)), KITH_OK);
        at += piece;
        if (to == p->rx) {
            p->rx_bytes += piece;
            assert_true(kith_share_rx_ops.held(p->rx) <= p->rx_bytes);
        }
    }
    if (n > 0)
        return true;
    switch (from_ops->want(from)) {
    case KITH_STREAM_OPEN:
        return false;
    case KITH_STREAM_FIN:
        *fin = true;
        to_ops->eof(to, p->now);
        return true;
    case KITH_STREAM_RESET:
        *gone = true;
        to_ops->gone(to, p->now, KITH_ERESET);
        return true;
    }
    return false;
}

/* Runs until nothing moves any more. */
static inline void run(pair *p, uint64_t rnd)
{
    int quiet = 0;
    bool gone = false;
    for (long steps = 0; quiet < 40; steps++) {
        assert_true(steps < 20000000);
        bool any = rx_events(p, &rnd);
        any |= tx_events(p, &rnd);
        if (!gone)
            any |= move(p, &kith_share_rx_ops, p->rx, &p->rx_fin, &kith_share_tx_ops, p->tx, &gone, &rnd);
        if (!gone)
            any |= move(p, &kith_share_tx_ops, p->tx, &p->tx_fin, &kith_share_rx_ops, p->rx, &gone, &rnd);
        p->now += KITH_US(10);
        quiet = any ? 0 : quiet + 1;
    }
    (void)rx_events(p, &rnd);
    (void)tx_events(p, &rnd);
}

static inline world_share *share_new(void)
{
    world_share *s = calloc(1, sizeof *s);
    assert_non_null(s);
    return s;
}

static inline void share_free(world_share *s)
{
    world_share_free(s, &share_env);
    free(s);
    assert_int_equal(heap.live, 0);
}

static inline world_share *mixed_share(void)
{
    world_share *s = share_new();
    world_add(s, KITH_ENTRY_FILE, 0, "a-large", 5 * KITH_TREE_LEAF + 77);
    world_add(s, KITH_ENTRY_DIR, 0, "b", 0);
    world_add(s, KITH_ENTRY_FILE, 1, "empty", 0);
    world_add(s, KITH_ENTRY_FILE, 1, "exact", KITH_TREE_LEAF);
    world_add(s, KITH_ENTRY_LINK, 1, "link", 0);
    for (int i = 0; i < 300; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "s%03d", i);
        world_add(s, KITH_ENTRY_FILE, 1, name, (uint64_t)(i * 37) % 5000);
    }
    world_add(s, KITH_ENTRY_FILE, 0, "c", KITH_TREE_LEAF + 1);
    world_add(s, KITH_ENTRY_FILE, 0, "d", 1);
    world_add(s, KITH_ENTRY_FILE, 0, "e", 2 * KITH_TREE_LEAF);
    world_add(s, KITH_ENTRY_DIR, 0, "z", 0);
    world_seal(s, &share_env);
    return s;
}

static inline void same_files(const pair *p)
{
    for (size_t i = 0; i < p->share->count; i++) {
        const kith_entry *e = &p->share->entries[i];
        if (e->type != KITH_ENTRY_FILE || p->lost[i])
            continue;
        if (p->skip && p->skip[i]) {
            assert_int_equal(p->have[i], 0);
            continue;
        }
        assert_int_equal(p->have[i], e->size);
        assert_memory_equal(p->files[i], p->share->content[i], e->size);
    }
}

static inline void ended_well(pair *p)
{
    assert_true(p->asked && p->listed && p->done && p->receipt);
    assert_int_not_equal(p->rx_failed.kind, KITH_SHARE_RX_FAILED);
    assert_int_not_equal(p->tx_failed.kind, KITH_SHARE_TX_FAILED);
    assert_int_equal(kith_share_tx_ops.want(p->tx), KITH_STREAM_FIN);
    assert_int_equal(kith_share_rx_ops.want(p->rx), KITH_STREAM_FIN);
    same_files(p);
}

static inline world_share *one_file(uint64_t size)
{
    world_share *s = share_new();
    world_add(s, KITH_ENTRY_FILE, 0, "f", size);
    world_seal(s, &share_env);
    return s;
}

/* One machine and bytes of our making. */
typedef struct lab {
    pair *p;
    size_t hello_len;
    uint8_t buf[1 << 20];
    kith_wr w;
} lab;

static inline void put_msg(lab *l, kith_share_msg m)
{
    kith_share_msg_put(&l->w, &m);
    assert_false(l->w.bad);
}

static inline void lab_free(lab *l)
{
    pair_free(l->p);
    free(l);
}

#endif
