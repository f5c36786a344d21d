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
    uint8_t *list, *roots;
    kith_manifest manifest;
    kith_share_view view;
    kith_share_plan *plan;
    int source;
    uint64_t next_id;
    kith_manifest_fault fault; /* of the list */
    uint8_t *files[WORLD_FILES_MAX];
    uint64_t have[WORLD_FILES_MAX]; /* bytes that have come */
    kith_share_code lost[WORLD_FILES_MAX];
    const uint8_t *skip;
    bool listed, stored, done, offered, hold; /* hold: asks for nothing by itself */
    uint64_t waits, wait_done, ended;
    size_t pass_len, told_len; /* what admits elsewhere, and who was told of, to the receiver: */
    uint8_t pass[KITH_SHARE_TOKEN_MAX], told[KITH_SHARE_HEAD_MAX];
    size_t heard_len; /* and to the sharer */
    uint8_t heard[KITH_SHARE_HEAD_MAX];
    bool paused;
    const world_share *before;     /* older content, of the same list: */
    kith_leaves older, spoilt;     /* where it is; where it is lost before it is put to use */
    uint64_t same, stale;          /* leaves that came so */
    kith_share_rx_event rx_failed; /* kind FAILED when it failed */
    kith_list disk;                /* blocks that are being "written" */
    /* the sharer's owner */
    kith_share_block *reads[KITH_SHARE_TX_BLOCKS]; /* blocks that are being "read" */
    size_t read_count;
    bool asked, refuse, receipt, tx_paused;
    kith_share_source *source_of; /* what is admitted to; NULL: the share's */
    const kith_leaves *allowed;   /* and of it; NULL: everything */
    uint64_t receipt_files, receipt_bytes;
    kith_share_tx_event tx_failed;
    size_t break_entry; /* its reads fail with break_code from break_offset on; SIZE_MAX: none */
    uint64_t break_offset;
    kith_share_code break_code;
    size_t chunk_max;  /* bytes per piece of stream */
    uint64_t rx_bytes; /* through the receiver's recv */
} pair;

#define TOKEN "a capability, which is for the owner to judge"

static inline pair *pair_new(world_share *s)
{
    pair *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->share = s;
    p->now = KITH_SEC(1);
    p->source = -1;
    p->next_id = 1;
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
    kith_share_rx_config cfg = {.env = env, .capability = kith_bytes_str(TOKEN)};
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
    kith_share_plan_free(p->plan);
    kith_manifest_fini(&p->manifest, &env);
    kith_leaves_fini(&p->older, &share_env);
    kith_leaves_fini(&p->spoilt, &share_env);
    free(p->list);
    free(p->roots);
    free(p);
    assert_int_equal(heap.live, 0);
}

static inline uint32_t leaves_end(const kith_manifest *m, size_t entries)
{
    return entries < m->count ? m->places[entries].leaf : (uint32_t)m->leaves;
}

/* Asks for all that the plan wants of the source. */
static inline void rx_ask(pair *p)
{
    kith_leaf_range ranges[KITH_SHARE_RANGES];
    size_t n;
    uint64_t id = 0;
    if (!p->plan || p->hold)
        return;
    size_t knows = kith_share_rx_knows(p->rx);
    kith_share_plan_limit(p->plan, p->source,
                          leaves_end(&p->manifest, knows < p->view.known ? knows : p->view.known));
    while ((n = kith_share_plan_next(p->plan, p->now, p->source, p->next_id, ranges)) > 0) {
        if (kith_share_rx_request(p->rx, p->now, ranges, n, &id)) {
            kith_share_plan_ended(p->plan, p->source, p->next_id);
            break;
        }
        assert_int_equal(id, p->next_id);
        p->next_id++;
    }
    kith_share_plan_check(p->plan);
}

static inline void rx_refused(pair *p, const kith_share_item *it)
{
    uint32_t first = p->manifest.places[it->entry].leaf;
    size_t lost = 0;
    p->lost[it->entry] = it->code;
    kith_share_plan_refused(p->plan, p->source, it->request, (uint32_t)it->leaf);
    assert_true(kith_share_plan_lost(p->plan, &lost));
    assert_int_equal(lost, it->entry);
    kith_share_plan_settle(
        p->plan, first,
        first + (uint32_t)kith_manifest_leaves_of(kith_manifest_entry(&p->manifest, it->entry).size));
}

static inline void rx_block(pair *p, const kith_share_block *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const kith_share_item *it = &b->items[i];
        size_t e = it->entry;
        uint64_t offset;
        assert_true(e < p->share->count);
        assert_int_equal(kith_manifest_leaf(&p->manifest, it->leaf, &offset), e);
        assert_int_equal(offset, it->offset);
        if (it->code) {
            rx_refused(p, it);
            continue;
        }
        assert_true(it->offset + it->len <= p->share->entries[e].size);
        const uint32_t leaf = (uint32_t)it->leaf;
        bool is_new = kith_share_plan_got(p->plan, p->now, p->source, it->request, leaf, it->len);
        p->same += it->same;
        if (it->same && kith_leaves_has(&p->spoilt, leaf, leaf + 1)) {
            p->stale++;
            assert_int_equal(kith_leaves_remove(&p->older, &share_env, leaf, leaf + 1), KITH_OK);
            if (is_new)
                kith_share_plan_want(p->plan, leaf, leaf + 1);
            continue;
        }
        p->have[e] += is_new ? it->len : 0;
        if (it->same)
            memcpy(p->files[e] + it->offset, p->before->content[e] + it->offset, it->len);
        else if (it->zeros)
            memset(p->files[e] + it->offset, 0, it->len);
        else
            memcpy(p->files[e] + it->offset, b->buf + it->at, it->len);
    }
}

/* The list is here: everything that is not skipped is wanted. */
static inline void rx_list(pair *p, uint64_t size)
{
    kith_err e =
        kith_manifest_parse(&env, kith_bytes_of(p->list, (size_t)size), false, &p->manifest, &p->fault);
    if (e) {
        kith_share_rx_stop(p->rx, e == KITH_ENOMEM ? KITH_SHARE_INTERNAL : KITH_SHARE_DECLINED);
        p->rx_failed = (kith_share_rx_event){.kind = KITH_SHARE_RX_FAILED, .err = e};
        return;
    }
    p->listed = true;
    const kith_share_plan_config cfg = {.env = env, .manifest = &p->manifest};
    p->plan = kith_share_plan_new(&cfg);
    p->roots = calloc(p->manifest.count, KITH_BLAKE3_LEN);
    assert_non_null(p->roots);
    if (!p->plan) {
        kith_share_rx_stop(p->rx, KITH_SHARE_INTERNAL);
        p->rx_failed = (kith_share_rx_event){.kind = KITH_SHARE_RX_FAILED, .err = KITH_ENOMEM};
        return;
    }
    p->source = kith_share_plan_join(p->plan, p->now, kith_share_rx_have(p->rx));
    for (size_t i = 0; i < p->manifest.count; i++) {
        if (!p->skip || !p->skip[i])
            kith_share_plan_want(p->plan, p->manifest.places[i].leaf, leaves_end(&p->manifest, i + 1));
    }
    p->view = (kith_share_view){.manifest = &p->manifest, .roots = p->roots};
    if (p->before)
        p->view.older = (kith_share_older){.leaves = &p->older, .value = world_value, .ctx = p->before};
    kith_share_rx_use(p->rx, p->now, &p->view);
    kith_share_rx_get_roots(p->rx, p->now, p->roots, 0);
}

static inline bool rx_events(pair *p, uint64_t *rnd)
{
    bool any = false;
    static uint64_t list_size;
    kith_share_rx_event ev;
    kith_share_rx_check(p->rx);
    while (kith_share_rx_next(p->rx, &ev)) {
        any = true;
        switch (ev.kind) {
        case KITH_SHARE_RX_OFFER:
            p->offered = true;
            list_size = ev.list_size;
            p->list = calloc(1, (size_t)list_size);
            assert_non_null(p->list);
            kith_share_rx_get_list(p->rx, p->now, p->list);
            break;
        case KITH_SHARE_RX_LIST:
            rx_list(p, list_size);
            break;
        case KITH_SHARE_RX_ROOTS:
            p->view.known = kith_share_rx_roots(p->rx);
            break;
        case KITH_SHARE_RX_WAIT:
            p->waits++;
            p->wait_done = ev.done;
            break;
        case KITH_SHARE_RX_PAUSED:
            p->paused = ev.on;
            break;
        case KITH_SHARE_RX_ENDED:
            p->ended = ev.id;
            kith_share_plan_ended(p->plan, p->source, ev.id);
            break;
        case KITH_SHARE_RX_BLOCK:
            rx_block(p, ev.block);
            kith_list_push(&p->disk, &ev.block->link);
            break;
        case KITH_SHARE_RX_DONE:
            p->done = true;
            break;
        case KITH_SHARE_RX_FAILED:
            p->rx_failed = ev;
            break;
        case KITH_SHARE_RX_PEERS:
            p->told_len = ev.data.len;
            memcpy(p->told, ev.data.p, ev.data.len);
            break;
        case KITH_SHARE_RX_PASS:
            p->pass_len = ev.data.len;
            memcpy(p->pass, ev.data.p, ev.data.len);
            break;
        case KITH_SHARE_RX_PAKE:
        case KITH_SHARE_RX_HAVE:
            break;
        }
    }
    if (p->rx_failed.kind != KITH_SHARE_RX_FAILED && p->plan) {
        rx_ask(p);
        if (kith_share_plan_err(p->plan)) {
            kith_share_rx_stop(p->rx, KITH_SHARE_INTERNAL);
            p->rx_failed = (kith_share_rx_event){.kind = KITH_SHARE_RX_FAILED, .err = KITH_ENOMEM};
        }
    }
    while (!kith_list_empty(&p->disk) && world_rand(rnd, 3) > 0) {
        kith_share_block *b = KITH_OF(kith_list_pop(&p->disk), kith_share_block, link);
        kith_share_rx_stored(p->rx, p->now, b);
        any = true;
    }
    if (!p->stored && p->plan && !p->hold && kith_list_empty(&p->disk) &&
        kith_share_plan_missing(p->plan)->total == 0 && p->view.known == p->manifest.count &&
        p->rx_failed.kind != KITH_SHARE_RX_FAILED) {
        uint64_t bytes = 0, files = 0;
        p->stored = true;
        for (size_t i = 0; i < p->manifest.count; i++) {
            bytes += p->lost[i] ? 0 : p->have[i];
            files += p->have[i] > 0 && p->have[i] == p->share->entries[i].size;
        }
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
            assert_true(kith_bytes_eq_str(ev.capability, TOKEN));
            if (p->refuse)
                kith_share_tx_stop(p->tx, KITH_SHARE_REFUSED);
            else
                kith_share_tx_admit(p->tx, p->now, p->source_of ? p->source_of : &p->share->source,
                                    p->allowed);
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
        case KITH_SHARE_TX_PAUSED:
            p->tx_paused = ev.on;
            break;
        case KITH_SHARE_TX_PEERS:
            p->heard_len = ev.data.len;
            memcpy(p->heard, ev.data.p, ev.data.len);
            break;
        case KITH_SHARE_TX_PAKE:
            break;
        }
    }
    while (p->read_count > 0 && world_rand(rnd, 3) > 0) { /* the disk answers in any order */
        size_t i = (size_t)world_rand(rnd, p->read_count);
        kith_share_block *b = p->reads[i];
        p->reads[i] = p->reads[--p->read_count];
        for (size_t k = 0; k < b->count; k++) {
            if (b->items[k].entry == p->break_entry && b->items[k].offset >= p->break_offset)
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
    world_add_zeros(s, "h-holes", 3 * KITH_TREE_LEAF + 5000, KITH_TREE_LEAF, KITH_TREE_LEAF + 1);
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
        if (e->size > 0)
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
