/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A sharer and a receiver back to back in memory: whole transfers in random pieces, every allocation failing once, and each of the two
 * against a hostile other side. */
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
    kith_list disk; /* blocks that are being "written" */
    /* the sharer's owner */
    kith_share_block *reads[KITH_SHARE_TX_BLOCKS]; /* blocks that are being "read" */
    size_t read_count;
    bool asked, receipt;
    uint64_t receipt_files, receipt_bytes;
    kith_share_tx_event tx_failed;
    size_t break_entry; /* its reads fail with break_code from break_offset on; SIZE_MAX: none */
    uint64_t break_offset;
    kith_share_code break_code;
    size_t chunk_max; /* bytes per piece of stream */
    uint64_t rx_bytes; /* through the receiver's recv */
} pair;

static pair *pair_new(world_share *s)
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

static void pair_free(pair *p)
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

static void rx_block(pair *p, const kith_share_block *b)
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

static bool rx_events(pair *p, uint64_t *rnd)
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
            kith_err e = kith_share_rx_accept(p->rx, p->now, p->skip);
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

static bool tx_events(pair *p, uint64_t *rnd)
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
static bool move(pair *p, const kith_stream_ops *from_ops, void *from, bool *fin, const kith_stream_ops *to_ops, void *to, bool *gone,
                 uint64_t *rnd)
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
static void run(pair *p, uint64_t rnd)
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

static world_share *share_new(void)
{
    world_share *s = calloc(1, sizeof *s);
    assert_non_null(s);
    return s;
}

static void share_free(world_share *s)
{
    world_share_free(s, &share_env);
    free(s);
    assert_int_equal(heap.live, 0);
}

static world_share *mixed_share(void)
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

static void same_files(const pair *p)
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

static void ended_well(pair *p)
{
    assert_true(p->asked && p->listed && p->done && p->receipt);
    assert_int_not_equal(p->rx_failed.kind, KITH_SHARE_RX_FAILED);
    assert_int_not_equal(p->tx_failed.kind, KITH_SHARE_TX_FAILED);
    assert_int_equal(kith_share_tx_ops.want(p->tx), KITH_STREAM_FIN);
    assert_int_equal(kith_share_rx_ops.want(p->rx), KITH_STREAM_FIN);
    same_files(p);
}

static void a_share_arrives_whole_in_pieces_of_any_size(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    static const size_t chunks[] = {1, 7, 300, 5000, 70000, 1 << 17};
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        for (uint64_t r = 1; r <= 3; r++) {
            pair *p = pair_new(s);
            p->chunk_max = chunks[i];
            run(p, r * 1000 + i);
            ended_well(p);
            uint64_t bytes, files;
            kith_share_tx_progress(p->tx, &bytes, &files);
            assert_int_equal(bytes, s->manifest.bytes);
            assert_int_equal(p->receipt_bytes, s->manifest.bytes);
            assert_int_equal(files, p->receipt_files);
            kith_share_tx_ops.gone(p->tx, p->now, KITH_OK);
            kith_share_rx_ops.gone(p->rx, p->now, KITH_OK);
            assert_false(kith_share_tx_ops.pending(p->tx) || kith_share_rx_ops.pending(p->rx));
            pair_free(p);
            if (chunks[i] == 1)
                break;
        }
    }
    share_free(s);
}

static void ten_thousand_small_files_and_tiny_ones(void **state)
{
    (void)state;
    world_share *s = share_new();
    for (int i = 0; i < WORLD_FILES_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%05d", i);
        world_add(s, i % 11 ? KITH_ENTRY_FILE : KITH_ENTRY_DIR, 0, name, i % 11 ? i % 3 ? 1 : (uint64_t)i : 0);
    }
    world_seal(s, &share_env);
    pair *p = pair_new(s);
    run(p, 5);
    ended_well(p);
    pair_free(p);
    share_free(s);
}

static void a_share_without_content_arrives(void **state)
{
    (void)state;
    world_share *s = share_new();
    world_add(s, KITH_ENTRY_DIR, 0, "d", 0);
    world_add(s, KITH_ENTRY_FILE, 1, "empty", 0);
    world_add(s, KITH_ENTRY_LINK, 1, "link", 0);
    world_seal(s, &share_env);
    pair *p = pair_new(s);
    run(p, 9);
    ended_well(p);
    assert_int_equal(p->receipt_bytes, 0);
    pair_free(p);
    share_free(s);
}

static void only_what_is_wanted_is_fetched(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    uint8_t *skip = calloc(s->count, 1);
    assert_non_null(skip);
    for (uint64_t r = 0; r < 6; r++) {
        uint64_t rnd = r + 77, want = 0;
        for (size_t i = 0; i < s->count; i++) {
            skip[i] = r == 5 || world_rand(&rnd, r + 2) > 0;
            want += skip[i] || s->entries[i].type != KITH_ENTRY_FILE ? 0 : s->entries[i].size;
        }
        pair *p = pair_new(s);
        p->skip = skip;
        run(p, r);
        ended_well(p);
        assert_int_equal(p->receipt_bytes, want);
        pair_free(p);
    }
    free(skip);
    share_free(s);
}

static void a_file_that_cannot_be_read_is_lost_and_the_others_arrive(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    static const size_t entries[] = {0, 0, 3, 10, 305, 306, 307};
    static const uint64_t offsets[] = {0, 2 * KITH_TREE_LEAF, 0, 0, KITH_TREE_LEAF, 0, KITH_TREE_LEAF};
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        pair *p = pair_new(s);
        p->break_entry = entries[i];
        p->break_offset = offsets[i];
        p->break_code = i % 2 ? KITH_SHARE_CHANGED : KITH_SHARE_UNREADABLE;
        run(p, i);
        ended_well(p);
        for (size_t e = 0; e < s->count; e++)
            assert_int_equal(p->lost[e], e == entries[i] ? p->break_code : KITH_SHARE_NONE);
        pair_free(p);
    }
    share_free(s);
}

static void the_wrong_secret_and_the_wrong_share_are_refused_alike(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    for (int i = 0; i < 4; i++) {
        pair *p = pair_new(s);
        kith_share_rx_ops.free(p->rx);
        kith_share_rx_config cfg = {.env = env, .secret = s->source.secret};
        memcpy(cfg.root, s->source.root, sizeof cfg.root);
        if (i == 0)
            cfg.secret = kith_bytes_str("0123456789abcdeF");
        else if (i == 1)
            cfg.secret = kith_bytes_str("0123456789abcdef0");
        else if (i == 2)
            cfg.secret = (kith_bytes){0};
        else
            cfg.root[31] ^= 1;
        p->rx = kith_share_rx_new(&cfg, p->now);
        run(p, 3);
        assert_int_equal(p->rx_failed.kind, KITH_SHARE_RX_FAILED);
        assert_int_equal(p->rx_failed.err, KITH_EREFUSED);
        assert_int_equal(p->rx_failed.code, KITH_SHARE_REFUSED);
        assert_int_equal(p->tx_failed.kind, KITH_SHARE_TX_FAILED);
        assert_int_equal(p->tx_failed.err, KITH_EAUTH);
        assert_false(p->listed);
        pair_free(p);
    }
    share_free(s);
}

static void either_side_may_stop_at_any_moment(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    for (uint64_t r = 0; r < 60; r++) {
        pair *p = pair_new(s);
        uint64_t rnd = r;
        bool gone = false, by_rx = r % 2;
        for (uint64_t n = 0; n < r * 3; n++) {
            (void)rx_events(p, &rnd);
            (void)tx_events(p, &rnd);
            if (!gone)
                (void)move(p, &kith_share_rx_ops, p->rx, &p->rx_fin, &kith_share_tx_ops, p->tx, &gone, &rnd);
            if (!gone)
                (void)move(p, &kith_share_tx_ops, p->tx, &p->tx_fin, &kith_share_rx_ops, p->rx, &gone, &rnd);
        }
        bool over = p->done || p->receipt;
        if (by_rx)
            kith_share_rx_stop(p->rx, KITH_SHARE_STOPPED);
        else
            kith_share_tx_stop(p->tx, KITH_SHARE_STOPPED);
        run(p, rnd);
        if (over) {
            pair_free(p);
            continue;
        }
        if (p->done) { /* the receipt was under way already */
            ended_well(p);
        } else if (by_rx) {
            assert_int_equal(p->tx_failed.kind, KITH_SHARE_TX_FAILED);
            assert_int_equal(p->tx_failed.code, KITH_SHARE_STOPPED);
        } else {
            assert_int_equal(p->rx_failed.kind, KITH_SHARE_RX_FAILED);
            assert_int_equal(p->rx_failed.code, KITH_SHARE_STOPPED);
        }
        pair_free(p);
    }
    share_free(s);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    for (size_t nth = 1;; nth++) {
        heap = (world_heap){.fail_at = nth};
        pair *p = pair_new(s);
        if (p->rx && p->tx)
            run(p, nth);
        bool done = p->done;
        if (heap.calls >= nth && p->rx && p->tx)
            assert_true(p->rx_failed.kind == KITH_SHARE_RX_FAILED || p->tx_failed.kind == KITH_SHARE_TX_FAILED || done);
        size_t calls = heap.calls;
        pair_free(p);
        if (calls < nth) {
            assert_true(done);
            break;
        }
    }
    heap = (world_heap){0};
    share_free(s);
}

static void silence_fails_at_the_deadlines(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    pair *p = pair_new(s);
    kith_time rx_at = kith_share_rx_ops.deadline(p->rx), tx_at = kith_share_tx_ops.deadline(p->tx);
    assert_int_equal(rx_at, p->now + KITH_SHARE_SILENCE_TIMEOUT);
    assert_int_equal(tx_at, p->now + KITH_SHARE_HELLO_TIMEOUT);
    kith_share_rx_ops.tick(p->rx, rx_at - 1);
    kith_share_tx_ops.tick(p->tx, tx_at - 1);
    assert_false(kith_share_rx_ops.pending(p->rx) || kith_share_tx_ops.pending(p->tx));
    kith_share_rx_ops.tick(p->rx, rx_at);
    kith_share_tx_ops.tick(p->tx, tx_at);
    kith_share_rx_event rev;
    kith_share_tx_event tev;
    assert_true(kith_share_rx_next(p->rx, &rev));
    assert_true(kith_share_tx_next(p->tx, &tev));
    assert_int_equal(rev.err, KITH_ETIMEOUT);
    assert_int_equal(tev.err, KITH_ETIMEOUT);
    assert_int_equal(kith_share_rx_ops.want(p->rx), KITH_STREAM_RESET);
    assert_int_equal(kith_share_tx_ops.want(p->tx), KITH_STREAM_RESET);
    pair_free(p);
    share_free(s);
}

static void a_lost_connection_is_told(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    pair *p = pair_new(s);
    kith_share_rx_ops.gone(p->rx, p->now, KITH_ERESET);
    kith_share_tx_ops.gone(p->tx, p->now, KITH_ERESET);
    kith_share_rx_event rev;
    kith_share_tx_event tev;
    assert_true(kith_share_rx_next(p->rx, &rev));
    assert_true(kith_share_tx_next(p->tx, &tev));
    assert_int_equal(rev.err, KITH_ERESET);
    assert_int_equal(tev.err, KITH_ERESET);
    pair_free(p);
    share_free(s);
}

/* ---- a hostile sharer: bytes of our making into a receiver ---- */

typedef struct lab {
    pair *p;
    size_t hello_len;
    uint8_t buf[1 << 20];
    kith_wr w;
} lab;

static void put_msg(lab *l, kith_share_msg m)
{
    kith_share_msg_put(&l->w, &m);
    assert_false(l->w.bad);
}

/* A receiver that has said hello and got an offer. */
static lab *lab_new(world_share *s, uint64_t list_size)
{
    lab *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->p = pair_new(s);
    l->w = kith_wr_of(kith_span_of(l->buf, sizeof l->buf));
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_OFFER, .version = 1, .list_size = list_size});
    return l;
}

static void lab_free(lab *l)
{
    pair_free(l->p);
    free(l);
}

/* Gives the receiver what was written, and says how it ended; KITH_OK: it goes on. */
static kith_err lab_run(lab *l)
{
    uint64_t rnd = 4;
    (void)kith_share_rx_ops.recv(l->p->rx, l->p->now, kith_wr_bytes(&l->w));
    (void)rx_events(l->p, &rnd);
    l->w.len = 0;
    return l->p->rx_failed.kind == KITH_SHARE_RX_FAILED ? l->p->rx_failed.err : KITH_OK;
}

static world_share *one_file(uint64_t size)
{
    world_share *s = share_new();
    world_add(s, KITH_ENTRY_FILE, 0, "f", size);
    world_seal(s, &share_env);
    return s;
}

/* The list in one DATA frame, as request 1 asks for it. */
static void put_list(lab *l, const world_share *s)
{
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 1, .body = s->source.list.len});
    kith_put_bytes(&l->w, s->source.list);
}

static void lies_about_the_list_are_found(void **state)
{
    (void)state;
    world_share *s = one_file(1000);
    size_t len = s->source.list.len;
    lab *l = lab_new(s, 0); /* no list */
    assert_int_equal(lab_run(l), KITH_ELIMIT);
    lab_free(l);
    l = lab_new(s, KITH_MANIFEST_MAX + 1); /* one without end */
    assert_int_equal(lab_run(l), KITH_ELIMIT);
    lab_free(l);
    l = lab_new(s, UINT64_MAX);
    assert_int_equal(lab_run(l), KITH_ELIMIT);
    lab_free(l);
    l = lab_new(s, len + 1); /* more than there is */
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 1, .body = len + 1});
    kith_put_bytes(&l->w, s->source.list);
    kith_put_u8(&l->w, 0);
    assert_int_equal(lab_run(l), KITH_ECRYPTO);
    assert_int_equal(l->p->rx_failed.blob, 0);
    lab_free(l);
    l = lab_new(s, len); /* another list */
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 1, .body = len});
    kith_put_bytes(&l->w, s->source.list);
    l->buf[l->w.len - 1] ^= 1;
    assert_int_equal(lab_run(l), KITH_ECRYPTO);
    lab_free(l);
    l = lab_new(s, KITH_MANIFEST_MAX); /* the longest, of which nothing comes but a wrong proof: nothing is kept */
    uint8_t pairs[8 * 64] = {0};
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 1, .body = KITH_TREE_LEAF, .pairs = kith_bytes_of(pairs, sizeof pairs)});
    assert_int_equal(lab_run(l), KITH_ECRYPTO);
    lab_free(l);
    l = lab_new(s, len); /* the list cannot be "lost" */
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 1, .code = KITH_SHARE_CHANGED});
    assert_int_equal(lab_run(l), KITH_EPROTO);
    lab_free(l);
    l = lab_new(s, len); /* two offers */
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_OFFER, .version = 1, .list_size = len});
    assert_int_equal(lab_run(l), KITH_EPROTO);
    lab_free(l);
    share_free(s);
}

static void a_list_that_breaks_the_rules_is_declined(void **state)
{
    (void)state;
    world_share *s = one_file(10);
    /* a sharer who means harm makes a list of "..", with a root that is right for it */
    static const uint8_t list[] = {0x0a, 6, 0x12, 2, '.', '.', 0x18, 1};
    pair *p = pair_new(s);
    kith_share_rx_ops.free(p->rx);
    kith_share_rx_config cfg = {.env = env, .secret = s->source.secret};
    kith_blake3_hash(kith_bytes_of(list, sizeof list), cfg.root);
    p->rx = kith_share_rx_new(&cfg, p->now);
    lab *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->p = p;
    l->w = kith_wr_of(kith_span_of(l->buf, sizeof l->buf));
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_OFFER, .version = 1, .list_size = sizeof list});
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 1, .body = sizeof list});
    kith_put_bytes(&l->w, kith_bytes_of(list, sizeof list));
    assert_int_equal(lab_run(l), KITH_EPROTO);
    assert_non_null(p->rx_failed.fault.why);
    assert_true(kith_bytes_eq_str(p->rx_failed.fault.name, ".."));
    assert_false(p->listed);
    lab_free(l);
    share_free(s);
}

static void wrong_content_is_never_shown(void **state)
{
    (void)state;
    enum { SIZE = 2 * KITH_TREE_LEAF + 100 };
    world_share *s = one_file(SIZE);
    const uint8_t *content = s->content[0], *nodes = s->nodes[0];
    /* nodes in pre-order: root, (l0 l1), l2 -> root, a, l0, l1, l2 */
    uint8_t top[64], low[64];
    memcpy(top, nodes + 32, 32);
    memcpy(top + 32, nodes + 4 * 32, 32);
    memcpy(low, nodes + 2 * 32, 64);
    uint8_t both[128];
    memcpy(both, top, 64);
    memcpy(both + 64, low, 64);
    for (int i = 0; i < 12; i++) {
        lab *l = lab_new(s, s->source.list.len);
        put_list(l, s);
        assert_int_equal(lab_run(l), KITH_OK);
        assert_true(l->p->listed);
        kith_share_msg m = {.kind = KITH_SHARE_DATA, .id = 2, .blob = 1, .body = KITH_TREE_LEAF, .pairs = kith_bytes_of(both, 128)};
        kith_bytes data = kith_bytes_of(content, KITH_TREE_LEAF);
        kith_err want = KITH_EPROTO;
        switch (i) {
        case 0: /* as it should be */
            want = KITH_OK;
            break;
        case 1: /* other bytes of the same file */
            data = kith_bytes_of(content + 1, KITH_TREE_LEAF);
            want = KITH_ECRYPTO;
            break;
        case 2: /* another proof */
            both[70] ^= 1;
            want = KITH_ECRYPTO;
            break;
        case 3: /* too short a body */
            m.body = KITH_TREE_LEAF - 1;
            break;
        case 4: /* too long a one */
            m.body = KITH_TREE_LEAF + 1;
            break;
        case 5:
            m.body = KITH_TREE_SIZE_MAX;
            break;
        case 6: /* another place */
            m.offset = KITH_TREE_LEAF;
            break;
        case 7: /* another file */
            m.blob = 2;
            break;
        case 8: /* another request */
            m.id = 3;
            break;
        case 9: /* no proof */
            m.pairs = (kith_bytes){0};
            break;
        case 10: /* half a pair */
            m.pairs.len = 96;
            break;
        case 11: /* nothing */
            m.body = 0;
            break;
        }
        put_msg(l, m);
        kith_put_bytes(&l->w, data);
        assert_int_equal(lab_run(l), want);
        both[70] ^= (uint8_t)(i == 2);
        assert_int_equal(l->p->have[0], 0);
        uint64_t bytes, files;
        kith_share_rx_progress(l->p->rx, &bytes, &files);
        assert_int_equal(bytes, want ? 0 : KITH_TREE_LEAF);
        if (want) { /* dead it is, whatever comes */
            put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 2, .blob = 1, .body = 5});
            kith_put_bytes(&l->w, kith_bytes_of("hello", 5));
            (void)lab_run(l);
            assert_false(kith_share_rx_ops.pending(l->p->rx));
        }
        lab_free(l);
    }
    share_free(s);
}

static void more_than_was_asked_for_is_refused(void **state)
{
    (void)state;
    world_share *s = one_file(100);
    lab *l = lab_new(s, s->source.list.len);
    put_list(l, s);
    assert_int_equal(lab_run(l), KITH_OK);
    for (int i = 0; i < 2; i++) {
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 2, .blob = 1, .body = 100});
        kith_put_bytes(&l->w, kith_bytes_of(s->content[0], 100));
    }
    assert_int_equal(lab_run(l), KITH_EPROTO);
    lab_free(l);
    share_free(s);
}

static void later_versions_messages_are_skipped(void **state)
{
    (void)state;
    world_share *s = one_file(100);
    lab *l = lab_new(s, s->source.list.len);
    /* kind 12 with a body of 300 bytes, a head of nothing at all, an unknown field in a known head */
    static const uint8_t other[] = {7, 0x08, 0xac, 0x02, 0x62, 2, 0x08, 1};
    kith_put_bytes(&l->w, kith_bytes_of(other, sizeof other));
    for (int i = 0; i < 300; i++)
        kith_put_u8(&l->w, 0xff);
    kith_put_u8(&l->w, 0);
    put_list(l, s);
    assert_int_equal(lab_run(l), KITH_OK);
    uint8_t head[64];
    kith_wr h = kith_wr_of(kith_span_of(head, sizeof head));
    static const uint8_t data[] = {0x08, 100, 0x2a, 7, 0x08, 2, 0x10, 1, 0xf8, 0x07, 5, 0xf8, 0x3f, 1};
    kith_put_lp(&h, kith_bytes_of(data, sizeof data));
    kith_put_bytes(&l->w, kith_wr_bytes(&h));
    kith_put_bytes(&l->w, kith_bytes_of(s->content[0], 100));
    assert_int_equal(lab_run(l), KITH_OK);
    uint64_t bytes, files;
    kith_share_rx_progress(l->p->rx, &bytes, &files);
    assert_int_equal(bytes, 100);
    lab_free(l);
    share_free(s);
}

static void malformed_heads_kill_a_receiver(void **state)
{
    (void)state;
    world_share *s = one_file(100);
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\xff\xff\x01", 3},             /* a head of 32 KiB and more */
        {"\x80\x21", 2},                 /* 4224 bytes */
        {"\x80\x00", 2},                 /* a length that is not minimal */
        {"\x02\x08\xff", 3},             /* a varint that does not end */
        {"\x04\x1a\x00\x1a\x00", 5},     /* two messages in one frame */
        {"\x02\x18\x01", 3},             /* an offer that is a number */
        {"\x02\x22\x00", 3},             /* a request, from a sharer */
        {"\x02\x12\x00", 3},             /* a hello */
        {"\x02\x3a\x00", 3},             /* a receipt */
        {"\x02\x2a\x00", 3},             /* content before there was an offer */
        {"\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* a body of 2^64 - 1 */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lab *l = lab_new(s, 1);
        l->w.len = 0;
        kith_put_bytes(&l->w, kith_bytes_of(bad[i].bytes, bad[i].len));
        kith_put_u8(&l->w, 0);
        assert_int_equal(lab_run(l), KITH_EPROTO);
        lab_free(l);
    }
    share_free(s);
}

/* ---- a hostile receiver ---- */

static lab *tx_lab(world_share *s, bool hello)
{
    lab *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->p = pair_new(s);
    l->w = kith_wr_of(kith_span_of(l->buf, sizeof l->buf));
    if (hello)
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_HELLO, .version = 1, .root = kith_bytes_of(s->source.root, 32), .secret = s->source.secret});
    l->hello_len = l->w.len;
    return l;
}

/* Gives the sharer what was written; its answer is dropped after `room` bytes. */
static kith_err tx_lab_run(lab *l, size_t room)
{
    static uint8_t out[1 << 16];
    uint64_t rnd = 4;
    /* in two parts, so that hello is answered before requests come */
    size_t half = l->hello_len;
    l->hello_len = 0;
    (void)kith_share_tx_ops.recv(l->p->tx, l->p->now, kith_bytes_of(l->buf, half));
    (void)tx_events(l->p, &rnd);
    (void)kith_share_tx_ops.recv(l->p->tx, l->p->now, kith_bytes_of(l->buf + half, l->w.len - half));
    (void)tx_events(l->p, &rnd);
    while (room > 0) {
        size_t n = kith_share_tx_ops.send(l->p->tx, l->p->now, kith_span_of(out, room < sizeof out ? room : sizeof out));
        bool more = tx_events(l->p, &rnd);
        if (n == 0 && !more)
            break;
        room -= n;
    }
    l->w.len = 0;
    return l->p->tx_failed.kind == KITH_SHARE_TX_FAILED ? l->p->tx_failed.err : KITH_OK;
}

static void requests_out_of_range_are_refused(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    const uint64_t last = s->count;
    static const uint64_t L = KITH_TREE_LEAF;
    const struct {
        kith_share_range g;
        kith_err want;
    } cases[] = {
        {{.blob = 1, .count = 1}, KITH_OK},
        {{.blob = 1, .count = last}, KITH_OK},
        {{.blob = 0, .count = last + 1}, KITH_OK},
        {{.blob = 1, .count = 1, .offset = L, .length = L}, KITH_OK},
        {{.blob = last + 1, .count = 1}, KITH_EPROTO},
        {{.blob = 2, .count = last}, KITH_EPROTO},
        {{.blob = UINT64_MAX, .count = 2}, KITH_EPROTO},
        {{.blob = UINT64_MAX, .count = 1}, KITH_EPROTO},
        {{.blob = 2, .count = 1}, KITH_EPROTO},                              /* a folder */
        {{.blob = 3, .count = 1}, KITH_EPROTO},                              /* an empty file */
        {{.blob = 1, .count = 1, .offset = 1}, KITH_EPROTO},                 /* not aligned */
        {{.blob = 1, .count = 1, .offset = L, .length = 5}, KITH_EPROTO},
        {{.blob = 1, .count = 1, .offset = 6 * L}, KITH_EPROTO},             /* behind the end */
        {{.blob = 1, .count = 1, .offset = 5 * L, .length = L}, KITH_EPROTO},
        {{.blob = 1, .count = 1, .offset = UINT64_MAX - L + 1, .length = L}, KITH_EPROTO},
        {{.blob = 1, .count = 1, .offset = L, .length = UINT64_MAX}, KITH_EPROTO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lab *l = tx_lab(s, true);
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_REQUEST, .id = 1, .range_count = 1, .ranges = {cases[i].g}});
        assert_int_equal(tx_lab_run(l, 10000), cases[i].want);
        lab_free(l);
    }
    share_free(s);
}

static void a_flood_of_requests_is_refused_at_the_cap(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    lab *l = tx_lab(s, true);
    kith_share_msg m = {.kind = KITH_SHARE_REQUEST, .range_count = 1, .ranges = {{.blob = 1, .count = s->count}}};
    for (uint64_t i = 0; i < KITH_SHARE_REQUESTS + 20; i++) {
        m.id = i;
        put_msg(l, m);
    }
    assert_int_equal(tx_lab_run(l, 0), KITH_ELIMIT);
    lab_free(l);
    /* too many ranges, and too many blobs, in one request */
    l = tx_lab(s, true);
    for (size_t i = 0; i < KITH_SHARE_REQUEST_RANGES; i++)
        m.ranges[i] = (kith_share_range){.blob = 1, .count = 1};
    m.range_count = KITH_SHARE_REQUEST_RANGES;
    put_msg(l, m);
    assert_int_equal(tx_lab_run(l, 0), KITH_OK);
    static uint8_t req[400];
    kith_wr inner = kith_wr_of(kith_span_of(req, sizeof req));
    for (size_t i = 0; i < KITH_SHARE_REQUEST_RANGES + 1; i++)
        kith_put_bytes(&inner, kith_bytes_of("\x12\x02\x08\x01", 4));
    kith_put_uvarint(&l->w, inner.len + 3);
    kith_put_u8(&l->w, 0x22);
    kith_put_lp(&l->w, kith_wr_bytes(&inner));
    assert_int_equal(tx_lab_run(l, 0), KITH_EPROTO);
    lab_free(l);
    l = tx_lab(s, true);
    m.range_count = 0;
    put_msg(l, m); /* no range at all */
    assert_int_equal(tx_lab_run(l, 0), KITH_EPROTO);
    lab_free(l);
    /* 64 times everything: more blobs than the cap */
    l = tx_lab(s, true);
    m.range_count = KITH_SHARE_REQUEST_RANGES;
    for (size_t i = 0; i < KITH_SHARE_REQUEST_RANGES; i++)
        m.ranges[i] = (kith_share_range){.blob = 1, .count = s->count};
    put_msg(l, m);
    assert_int_equal(tx_lab_run(l, 0), KITH_EPROTO);
    lab_free(l);
    share_free(s);
}

static void a_receiver_that_never_reads_costs_a_bounded_amount(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    lab *l = tx_lab(s, true);
    kith_share_msg m = {.kind = KITH_SHARE_REQUEST, .range_count = 1, .ranges = {{.blob = 1, .count = s->count}}};
    for (uint64_t i = 0; i < KITH_SHARE_REQUESTS; i++) {
        m.id = i;
        put_msg(l, m);
    }
    assert_int_equal(tx_lab_run(l, 0), KITH_OK);
    assert_true(heap.live <= sizeof(kith_share_block) * (KITH_SHARE_TX_BLOCKS + 1) + 200000);
    kith_time at = kith_share_tx_ops.deadline(l->p->tx);
    uint64_t rnd = 1;
    while (l->p->read_count > 0)
        (void)tx_events(l->p, &rnd);
    at = kith_share_tx_ops.deadline(l->p->tx);
    assert_int_equal(at, l->p->now + KITH_SHARE_STALL_TIMEOUT);
    kith_share_tx_ops.tick(l->p->tx, at);
    (void)tx_events(l->p, &rnd);
    assert_int_equal(l->p->tx_failed.err, KITH_ETIMEOUT);
    assert_int_equal(kith_share_tx_ops.want(l->p->tx), KITH_STREAM_RESET);
    lab_free(l);
    share_free(s);
}

static void what_comes_out_of_turn_is_refused(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    const kith_share_msg hello = {.kind = KITH_SHARE_HELLO, .version = 1, .root = kith_bytes_of(s->source.root, 32), .secret = s->source.secret};
    kith_share_msg request = {.kind = KITH_SHARE_REQUEST, .id = 1, .range_count = 1, .ranges = {{.blob = 1, .count = 1}}};
    lab *l = tx_lab(s, false);
    put_msg(l, request);
    assert_int_equal(tx_lab_run(l, 1000), KITH_EPROTO);
    lab_free(l);
    l = tx_lab(s, true);
    put_msg(l, hello);
    assert_int_equal(tx_lab_run(l, 1000), KITH_EPROTO);
    lab_free(l);
    l = tx_lab(s, false);
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_RECEIPT});
    assert_int_equal(tx_lab_run(l, 1000), KITH_EPROTO);
    lab_free(l);
    l = tx_lab(s, true);
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_OFFER, .version = 1});
    assert_int_equal(tx_lab_run(l, 1000), KITH_EPROTO);
    lab_free(l);
    l = tx_lab(s, false); /* a hello with a short root */
    kith_share_msg h = hello;
    h.root.len = 31;
    put_msg(l, h);
    assert_int_equal(tx_lab_run(l, 1000), KITH_EPROTO);
    lab_free(l);
    l = tx_lab(s, true); /* FIN in the middle */
    assert_int_equal(tx_lab_run(l, 1000), KITH_OK);
    kith_share_tx_ops.eof(l->p->tx, l->p->now);
    assert_int_equal(tx_lab_run(l, 1000), KITH_ECLOSED);
    lab_free(l);
    share_free(s);
}

static void blocks_on_loan_outlive_their_machine(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    lab *l = tx_lab(s, true);
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_REQUEST, .id = 1, .range_count = 1, .ranges = {{.blob = 1, .count = s->count}}});
    (void)tx_lab_run(l, 0);
    kith_share_tx_event ev;
    kith_share_msg m = {.kind = KITH_SHARE_REQUEST, .id = 2, .range_count = 1, .ranges = {{.blob = 1, .count = 1}}};
    put_msg(l, m);
    (void)kith_share_tx_ops.recv(l->p->tx, l->p->now, kith_wr_bytes(&l->w));
    while (kith_share_tx_next(l->p->tx, &ev)) {
        if (ev.kind == KITH_SHARE_TX_READ)
            l->p->reads[l->p->read_count++] = ev.block;
    }
    kith_share_tx_ops.free(l->p->tx);
    l->p->tx = NULL;
    lab_free(l); /* frees the blocks, and finds nothing else alive */
    share_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_arrives_whole_in_pieces_of_any_size),
        cmocka_unit_test(ten_thousand_small_files_and_tiny_ones),
        cmocka_unit_test(a_share_without_content_arrives),
        cmocka_unit_test(only_what_is_wanted_is_fetched),
        cmocka_unit_test(a_file_that_cannot_be_read_is_lost_and_the_others_arrive),
        cmocka_unit_test(the_wrong_secret_and_the_wrong_share_are_refused_alike),
        cmocka_unit_test(either_side_may_stop_at_any_moment),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(silence_fails_at_the_deadlines),
        cmocka_unit_test(a_lost_connection_is_told),
        cmocka_unit_test(lies_about_the_list_are_found),
        cmocka_unit_test(a_list_that_breaks_the_rules_is_declined),
        cmocka_unit_test(wrong_content_is_never_shown),
        cmocka_unit_test(more_than_was_asked_for_is_refused),
        cmocka_unit_test(later_versions_messages_are_skipped),
        cmocka_unit_test(malformed_heads_kill_a_receiver),
        cmocka_unit_test(requests_out_of_range_are_refused),
        cmocka_unit_test(a_flood_of_requests_is_refused_at_the_cap),
        cmocka_unit_test(a_receiver_that_never_reads_costs_a_bounded_amount),
        cmocka_unit_test(what_comes_out_of_turn_is_refused),
        cmocka_unit_test(blocks_on_loan_outlive_their_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
