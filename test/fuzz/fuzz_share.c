/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes both machines of /kith/share/1: each against bytes from nowhere, and back to back over a wire that the input cuts and changes, with
 * an allocation that fails if the first byte says so. Whatever happens, what a receiver shows is what was shared. */
#include "unit/share_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static world_share the_share;
static world_heap share_heap, heap;
static uint64_t seed = 1;
static const kith_env share_env = {.alloc = {&share_heap, world_heap_fn}, .rand = {&seed, world_rand_fn}};
static const kith_env env = {.alloc = {&heap, world_heap_fn}, .rand = {&seed, world_rand_fn}};

#define READS_MAX KITH_SHARE_TX_BLOCKS

typedef struct both {
    kith_share_tx *tx;
    kith_share_rx *rx;
    kith_share_block *reads[READS_MAX];
    size_t read_count;
    kith_list disk;
    bool stored, rx_over, tx_over;
    kith_time now;
} both;

static void make_share(void)
{
    if (the_share.count > 0)
        return;
    world_add(&the_share, KITH_ENTRY_FILE, 0, "a", 2 * KITH_TREE_LEAF + 9);
    world_add(&the_share, KITH_ENTRY_DIR, 0, "d", 0);
    world_add(&the_share, KITH_ENTRY_FILE, 1, "e", 0);
    world_add(&the_share, KITH_ENTRY_FILE, 1, "s", 100);
    world_add(&the_share, KITH_ENTRY_FILE, 1, "t", 3);
    world_add(&the_share, KITH_ENTRY_LINK, 0, "l", 0);
    world_seal(&the_share, &share_env);
}

static void shown(const kith_share_block *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const kith_share_item *it = &b->items[i];
        assert(it->blob > 0 && it->blob <= the_share.count);
        size_t e = (size_t)it->blob - 1;
        assert(the_share.entries[e].type == KITH_ENTRY_FILE);
        assert(it->len <= the_share.entries[e].size && it->offset <= the_share.entries[e].size - it->len);
        assert(it->code ? it->len == 0
                        : memcmp(b->buf + it->at, the_share.content[e] + it->offset, it->len) == 0);
    }
}

static void rx_events(both *w, unsigned op)
{
    kith_share_rx_event ev;
    kith_share_rx_check(w->rx);
    while (kith_share_rx_next(w->rx, &ev)) {
        kith_err e = KITH_OK;
        if (ev.kind == KITH_SHARE_RX_LIST) {
            uint8_t skip[16] = {(uint8_t)(op & 64), 0, 0, (uint8_t)(op & 32)};
            assert(kith_share_rx_manifest(w->rx)->count == the_share.count);
            e = kith_share_rx_accept(w->rx, w->now, skip, NULL);
            assert(e == KITH_OK || heap.fail_at);
        } else if (ev.kind == KITH_SHARE_RX_BLOCK) {
            shown(ev.block);
            kith_list_push(&w->disk, &ev.block->link);
        } else if (ev.kind == KITH_SHARE_RX_STORED) {
            w->stored = true;
        } else if (ev.kind == KITH_SHARE_RX_FAILED) {
            assert(ev.why && ev.err);
        }
    }
    assert(!kith_share_rx_ops.pending(w->rx));
    kith_link *k = op & 16 ? NULL : kith_list_pop(&w->disk);
    if (k)
        kith_share_rx_stored(w->rx, w->now, KITH_OF(k, kith_share_block, link));
    if (w->stored && kith_list_empty(&w->disk))
        kith_share_rx_finish(w->rx, 1, 1);
    kith_share_rx_check(w->rx);
}

static void tx_events(both *w, unsigned op)
{
    kith_share_tx_event ev;
    kith_share_tx_check(w->tx);
    while (kith_share_tx_next(w->tx, &ev)) {
        if (ev.kind == KITH_SHARE_TX_ASKED)
            kith_share_tx_admit(w->tx, w->now, &the_share.source);
        else if (ev.kind == KITH_SHARE_TX_READ)
            w->reads[w->read_count++] = ev.block;
    }
    assert(!kith_share_tx_ops.pending(w->tx));
    while (w->read_count > 0 && !(op & 16)) {
        kith_share_block *b = w->reads[--w->read_count];
        if ((op & 15) == 15)
            b->items[b->count / 2].code = KITH_SHARE_CHANGED;
        world_fill(&the_share, b);
        kith_share_tx_filled(w->tx, w->now, b);
    }
    kith_share_tx_check(w->tx);
}

/* ---- the stream under each machine ---- */

static void rx_takes(both *w, kith_bytes in)
{
    if (!w->rx_over)
        (void)kith_share_rx_ops.recv(w->rx, w->now, in);
}

static void tx_takes(both *w, kith_bytes in)
{
    if (!w->tx_over)
        (void)kith_share_tx_ops.recv(w->tx, w->now, in);
}

static size_t rx_gives(both *w, kith_span out)
{
    return w->rx_over ? 0 : kith_share_rx_ops.send(w->rx, w->now, out);
}

static size_t tx_gives(both *w, kith_span out)
{
    return w->tx_over ? 0 : kith_share_tx_ops.send(w->tx, w->now, out);
}

/* Deadlines are kept, and a machine that gives its stream up loses it. */
static void settle(both *w, unsigned op)
{
    tx_events(w, op);
    rx_events(w, op);
    for (int i = 0; i < 2; i++) {
        const kith_stream_ops *ops = i ? &kith_share_tx_ops : &kith_share_rx_ops;
        void *m = i ? (void *)w->tx : (void *)w->rx;
        bool *over = i ? &w->tx_over : &w->rx_over;
        if (*over)
            continue;
        if (ops->deadline(m) <= w->now)
            ops->tick(m, w->now);
        assert(ops->deadline(m) > w->now);
        assert(i || ops->held(m) <= KITH_SHARE_RX_REQUESTS * KITH_SHARE_RX_REQUEST_BYTES);
        if (ops->want(m) == KITH_STREAM_RESET) {
            *over = true;
            ops->gone(m, w->now, KITH_ERESET);
        }
    }
    tx_events(w, op);
    rx_events(w, op);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t wire[1 << 19];
    make_share();
    both w = {.now = KITH_SEC(1)};
    kith_list_init(&w.disk);
    kith_rd r = kith_rd_of(kith_bytes_of(data, size));
    heap = (world_heap){.fail_at = size ? kith_get_u8(&r) : 0};
    kith_share_rx_config cfg = {.env = env, .secret = the_share.source.secret};
    memcpy(cfg.root, the_share.source.root, sizeof cfg.root);
    w.rx = kith_share_rx_new(&cfg, w.now);
    w.tx = kith_share_tx_new(&env, w.now);
    assert((w.rx && w.tx) || heap.fail_at);
    for (int steps = 0; w.rx && w.tx && r.in.len > 0 && steps < 400; steps++) {
        unsigned op = kith_get_u8(&r);
        size_t n = r.in.len ? (size_t)kith_get_u8(&r) << (op >> 4 & 7) : 0;
        switch (op & 7) {
        case 0: /* bytes from nowhere */
        case 1: {
            kith_bytes in = kith_get_bytes(&r, n < r.in.len ? n : r.in.len);
            if (op & 1)
                rx_takes(&w, in);
            else
                tx_takes(&w, in);
            break;
        }
        case 2: /* n bytes across, one of them changed when the op says so */
        case 3: {
            kith_span out = kith_span_of(wire, n * 8 + 1);
            n = op & 1 ? tx_gives(&w, out) : rx_gives(&w, out);
            if (n > 0 && op & 8)
                wire[(op * 31u) % n] ^= (uint8_t)(1u << (op >> 4 & 7));
            if (op & 1)
                rx_takes(&w, kith_bytes_of(wire, n));
            else
                tx_takes(&w, kith_bytes_of(wire, n));
            break;
        }
        case 4:
        case 5: /* everything across */
            for (size_t moved = 1; moved > 0;) {
                moved = rx_gives(&w, kith_span_of(wire, sizeof wire));
                tx_takes(&w, kith_bytes_of(wire, moved));
                tx_events(&w, 0);
                size_t back = tx_gives(&w, kith_span_of(wire, sizeof wire));
                rx_takes(&w, kith_bytes_of(wire, back));
                rx_events(&w, op & 96);
                moved += back;
            }
            break;
        case 6: /* time; settle keeps the deadlines */
            w.now += KITH_SEC(n);
            break;
        case 7:
            switch (n % 6) {
            case 0:
                if (!w.rx_over)
                    kith_share_rx_ops.eof(w.rx, w.now);
                break;
            case 1:
                if (!w.tx_over)
                    kith_share_tx_ops.eof(w.tx, w.now);
                break;
            case 2:
                kith_share_rx_stop(w.rx, KITH_SHARE_STOPPED);
                break;
            case 3:
                kith_share_tx_stop(w.tx, KITH_SHARE_STOPPED);
                break;
            case 4: /* the connection is lost */
                if (!w.rx_over)
                    kith_share_rx_ops.gone(w.rx, w.now, KITH_ERESET);
                w.rx_over = true;
                break;
            case 5:
                if (!w.tx_over)
                    kith_share_tx_ops.gone(w.tx, w.now, op & 8 ? KITH_OK : KITH_ERESET);
                w.tx_over = true;
                break;
            }
            break;
        }
        settle(&w, op);
    }
    if (w.rx)
        kith_share_rx_ops.free(w.rx);
    if (w.tx)
        kith_share_tx_ops.free(w.tx);
    kith_share_blocks_free(&w.disk);
    while (w.read_count > 0)
        kith_share_block_free(w.reads[--w.read_count]);
    assert(heap.live == 0);
    return 0;
}
