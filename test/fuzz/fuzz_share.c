/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes both machines of /kith/share/2: each against bytes from nowhere, and back to back over a wire that the input cuts and changes, with
 * an allocation that fails if the first byte says so. Whatever happens, what a receiver shows is what was shared. */
#include "apps/share_hints.h"
#include "unit/share_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static world_share the_share, before; /* before: of the same list, with other content here and there */
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
    bool by_code, answered, proved; /* the sharer's answer is out; the receiver has seen it */
    kith_time now;
    /* the sharer's owner: the share becomes known bit by bit */
    kith_share_source source;
    kith_leaves have;
    /* the receiver's owner */
    uint8_t *list, *roots;
    uint64_t list_size;
    kith_manifest manifest;
    kith_share_view view;
    kith_share_plan *plan;
    int number;
    uint64_t next_id;
    kith_leaves older; /* where it has older content */
    bool stale;        /* which is lost before it is put to use */
} both;

static kith_share_hints hints; /* of whom the other side tells */

static void make_one(world_share *s)
{
    world_add(s, KITH_ENTRY_FILE, 0, "a", 2 * KITH_TREE_LEAF + 9);
    world_add(s, KITH_ENTRY_DIR, 0, "d", 0);
    world_add(s, KITH_ENTRY_FILE, 1, "e", 0);
    world_add(s, KITH_ENTRY_FILE, 1, "s", 100);
    world_add(s, KITH_ENTRY_FILE, 1, "t", 3);
    world_add(s, KITH_ENTRY_LINK, 0, "l", 0);
    world_add_zeros(s, "z", KITH_TREE_LEAF + 7000, KITH_TREE_LEAF - 1, 1);
    world_seal(s, &share_env);
}

static void make_share(void)
{
    if (the_share.count > 0)
        return;
    make_one(&the_share);
    make_one(&before);
    world_change(&before, 0, KITH_TREE_LEAF + 1);
    world_change(&before, 3, 99);
}

static void shown(both *w, const kith_share_block *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const kith_share_item *it = &b->items[i];
        assert(it->entry < the_share.count);
        const kith_entry *e = &the_share.entries[it->entry];
        assert(e->type == KITH_ENTRY_FILE);
        assert(it->len <= e->size && it->offset <= e->size - it->len);
        const uint8_t *want = the_share.content[it->entry] + it->offset;
        if (it->code) {
            assert(it->len == 0);
            size_t lost;
            kith_share_plan_refused(w->plan, w->number, it->request, (uint32_t)it->leaf);
            while (kith_share_plan_lost(w->plan, &lost) && !kith_share_plan_err(w->plan)) {
                uint32_t first = w->manifest.places[lost].leaf;
                kith_share_plan_settle(
                    w->plan, first, first + (uint32_t)kith_manifest_leaves_of(the_share.entries[lost].size));
            }
            continue;
        }
        const uint8_t *has = it->same ? before.content[it->entry] + it->offset : b->buf + it->at;
        assert(it->zeros ? world_zero(want, it->len) : memcmp(has, want, it->len) == 0);
        const uint32_t leaf = (uint32_t)it->leaf;
        (void)kith_share_plan_got(w->plan, w->now, w->number, it->request, leaf, it->len);
        if (it->same && w->stale) {
            assert(kith_leaves_remove(&w->older, &share_env, leaf, leaf + 1) == KITH_OK);
            kith_share_plan_want(w->plan, leaf, leaf + 1);
        }
    }
}

static uint32_t leaves_before(const kith_manifest *m, size_t entries)
{
    return entries < m->count ? m->places[entries].leaf : (uint32_t)m->leaves;
}

static void rx_listed(both *w)
{
    kith_manifest_fault fault;
    if (kith_manifest_parse(&env, kith_bytes_of(w->list, (size_t)w->list_size), false, &w->manifest,
                            &fault)) {
        assert(heap.fail_at);
        kith_share_rx_stop(w->rx, KITH_SHARE_INTERNAL);
        return;
    }
    assert(w->manifest.count ==
           the_share.count); /* it has the root that it should have, or nothing is shown */
    const kith_share_plan_config cfg = {.env = env, .manifest = &w->manifest};
    w->plan = kith_share_plan_new(&cfg);
    w->roots = calloc(w->manifest.count, KITH_BLAKE3_LEN);
    assert(w->roots);
    if (!w->plan) {
        kith_share_rx_stop(w->rx, KITH_SHARE_INTERNAL);
        return;
    }
    w->number = kith_share_plan_join(w->plan, w->now, kith_share_rx_have(w->rx));
    kith_share_plan_want(w->plan, 0, (uint32_t)w->manifest.leaves);
    w->view = (kith_share_view){
        .manifest = &w->manifest,
        .roots = w->roots,
        .older = {.leaves = &w->older, .value = world_value, .ctx = &before},
    };
    kith_share_rx_use(w->rx, w->now, &w->view);
    kith_share_rx_get_roots(w->rx, w->now, w->roots, 0);
}

/* What the two say for the proof of a code. It is theirs to judge: here they compare. */
static const uint8_t pake_first[65] = {1}, pake_answer[97] = {2}, pake_confirmation[32] = {3};
#define PAKE(x) kith_bytes_of((x), sizeof(x))

static void rx_pake(both *w, const kith_share_rx_event *ev)
{
    w->proved = kith_bytes_eq(ev->data, PAKE(pake_answer));
    if (w->proved)
        kith_share_rx_pake(w->rx, PAKE(pake_confirmation));
    else
        kith_share_rx_stop(w->rx, KITH_SHARE_STOPPED);
}

static void tx_pake(both *w, const kith_share_tx_event *ev)
{
    if (!w->answered && kith_bytes_eq(ev->data, PAKE(pake_first)))
        kith_share_tx_pake(w->tx, PAKE(pake_answer));
    else if (w->answered && kith_bytes_eq(ev->data, PAKE(pake_confirmation)))
        kith_share_tx_admit(w->tx, w->now, &w->source, NULL);
    else
        kith_share_tx_stop(w->tx, KITH_SHARE_REFUSED);
    w->answered = true;
}

static void rx_offered(both *w, const kith_share_rx_event *ev)
{
    assert(!w->by_code || w->proved);
    if (w->list || memcmp(ev->root.p, the_share.source.list_root, KITH_BLAKE3_LEN) != 0 ||
        ev->list_size > 1 << 20) {
        kith_share_rx_stop(w->rx, KITH_SHARE_DECLINED); /* another share: the owner looks at that */
        return;
    }
    w->list_size = ev->list_size;
    w->list = calloc(1, (size_t)w->list_size);
    assert(w->list);
    kith_share_rx_get_list(w->rx, w->now, w->list);
}

/* Roots are the owner's to judge: those of this share are known here. */
static void rx_rooted(both *w)
{
    size_t n = kith_share_rx_roots(w->rx);
    if (memcmp(w->roots, the_share.roots, n * KITH_BLAKE3_LEN) == 0)
        w->view.known = n;
    else
        kith_share_rx_stop(w->rx, KITH_SHARE_BAD_DATA);
}

static void rx_ask(both *w, unsigned op)
{
    kith_leaf_range ranges[KITH_SHARE_RANGES];
    uint64_t id = 0;
    size_t n, knows = kith_share_rx_knows(w->rx);
    if (op & 64 && w->next_id > 1) {
        kith_share_rx_cancel(w->rx, w->next_id - 1);
        kith_share_plan_want(w->plan, 0, 1);
    }
    kith_share_plan_limit(w->plan, w->number,
                          leaves_before(&w->manifest, knows < w->view.known ? knows : w->view.known));
    while ((n = kith_share_plan_next(w->plan, w->now, w->number, w->next_id, ranges)) > 0) {
        if (kith_share_rx_request(w->rx, w->now, ranges, n, &id)) {
            kith_share_plan_ended(w->plan, w->number, w->next_id);
            break;
        }
        w->next_id = id + 1;
    }
    kith_share_plan_check(w->plan);
    if (kith_share_plan_err(w->plan))
        kith_share_rx_stop(w->rx, KITH_SHARE_INTERNAL);
    else if (!w->stored && kith_share_plan_missing(w->plan)->total == 0 && kith_list_empty(&w->disk) &&
             w->view.known == w->manifest.count) {
        w->stored = true;
        kith_share_rx_finish(w->rx, 1, 1);
    }
}

/* Whoever is told of is called, and leaves or lies. */
static void heard(both *w, kith_bytes peers, bool sharer)
{
    static const kith_maddr nowhere;
    const kith_share_hint *n;
    const kith_peer_id teller = {.len = 1, .b = {sharer}};
    kith_share_hints_hear(&hints, w->now, &teller, sharer, &nowhere, 0, peers);
    kith_share_hints_check(&hints);
    if ((n = kith_share_hints_next(&hints, w->now)) != NULL) {
        const kith_peer_id peer = n->peer;
        kith_share_hints_over(&hints, w->now, &peer, peer.b[peer.len - 1] & 1);
    }
    kith_share_hints_check(&hints);
}

static void rx_events(both *w, unsigned op)
{
    kith_share_rx_event ev;
    bool over = false;
    kith_share_rx_check(w->rx);
    while (kith_share_rx_next(w->rx, &ev)) {
        if (ev.kind == KITH_SHARE_RX_PAKE) {
            rx_pake(w, &ev);
        } else if (ev.kind == KITH_SHARE_RX_OFFER) {
            rx_offered(w, &ev);
        } else if (ev.kind == KITH_SHARE_RX_LIST) {
            rx_listed(w);
        } else if (ev.kind == KITH_SHARE_RX_ROOTS) {
            rx_rooted(w);
        } else if (ev.kind == KITH_SHARE_RX_ENDED) {
            kith_share_plan_ended(w->plan, w->number, ev.id);
        } else if (ev.kind == KITH_SHARE_RX_BLOCK) {
            shown(w, ev.block);
            kith_list_push(&w->disk, &ev.block->link);
        } else if (ev.kind == KITH_SHARE_RX_PEERS) {
            heard(w, ev.data, true);
        } else if (ev.kind == KITH_SHARE_RX_FAILED) {
            assert(ev.why && ev.err);
            over = true;
        }
    }
    assert(!kith_share_rx_ops.pending(w->rx));
    kith_link *k = op & 16 ? NULL : kith_list_pop(&w->disk);
    if (k)
        kith_share_rx_stored(w->rx, w->now, KITH_OF(k, kith_share_block, link));
    if (w->plan && !over && !w->rx_over)
        rx_ask(w, op);
    kith_share_rx_check(w->rx);
}

static void tx_events(both *w, unsigned op)
{
    kith_share_tx_event ev;
    kith_share_tx_check(w->tx);
    while (kith_share_tx_next(w->tx, &ev)) {
        if (ev.kind == KITH_SHARE_TX_ASKED && ev.code_tag.len == 0)
            kith_share_tx_admit(w->tx, w->now, &w->source, NULL);
        else if (ev.kind == KITH_SHARE_TX_PAKE)
            tx_pake(w, &ev);
        else if (ev.kind == KITH_SHARE_TX_READ)
            w->reads[w->read_count++] = ev.block;
        else if (ev.kind == KITH_SHARE_TX_PEERS)
            heard(w, ev.data, false);
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

/* What is shared becomes known. */
static void learn(both *w, size_t n)
{
    if (!w->source.manifest)
        w->source.manifest = &the_share.manifest;
    else if (w->source.known < the_share.count)
        w->source.known += n % 4 <= the_share.count - w->source.known ? n % 4 : 1;
    if (w->source.have)
        assert(kith_leaves_add(&w->have, &share_env, (uint32_t)n % 4, (uint32_t)(n % 4 + n % 3)) == KITH_OK);
    kith_share_tx_update(w->tx, w->now);
}

static void tell_peers(both *w, kith_bytes peers)
{
    kith_rd r = kith_rd_of(peers);
    kith_share_peer who;
    size_t n = 0;
    while (kith_share_peers_next(&r, &who))
        n++;
    if (r.bad || n > KITH_SHARE_PEERS_MAX) /* what an owner would not say */
        return;
    kith_share_tx_peers(w->tx, peers);
    kith_share_rx_peers(w->rx, peers);
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
        assert(i || ops->held(m) <= KITH_SHARE_REQUESTS * KITH_SHARE_REQUEST_LEAVES * (size_t)KITH_TREE_LEAF);
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
    both w = {.now = KITH_SEC(1), .number = -1, .next_id = 1, .source = the_share.source};
    kith_list_init(&w.disk);
    hints.count = hints.calls = 0;
    hints.next_at = 0;
    kith_rd r = kith_rd_of(kith_bytes_of(data, size));
    heap = (world_heap){.fail_at = size ? kith_get_u8(&r) : 0};
    unsigned how = r.in.len ? kith_get_u8(&r) : 0;
    if (how & 1) { /* it is still walked and hashed */
        w.source.manifest = NULL;
        w.source.known = 0;
    } else if (how & 2) {
        w.source.have = &w.have;
    }
    w.stale = how & 16;
    if (how & 32 && kith_leaves_add(&w.older, &share_env, how >> 6, (uint32_t)the_share.manifest.leaves))
        abort();
    const kith_share_rx_config cfg = {
        .env = env,
        .capability = kith_bytes_str(how & 12 ? "capability" : ""),
        .code_tag = kith_bytes_str((how & 12) == 0 ? "code" : ""),
        .swarm = how & 4,
    };
    w.rx = kith_share_rx_new(&cfg, w.now);
    w.tx = kith_share_tx_new(&env, w.now);
    assert((w.rx && w.tx) || heap.fail_at);
    w.by_code = cfg.code_tag.len > 0;
    if (w.rx && w.by_code)
        kith_share_rx_pake(w.rx, PAKE(pake_first));
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
            for (size_t moved = 1, round = 0; moved > 0; round++) {
                moved = rx_gives(&w, kith_span_of(wire, sizeof wire));
                tx_takes(&w, kith_bytes_of(wire, moved));
                tx_events(&w, 0);
                size_t back = tx_gives(&w, kith_span_of(wire, sizeof wire));
                rx_takes(&w, kith_bytes_of(wire, back));
                rx_events(&w, round ? op & 32 : op & 96); /* what is cancelled every time never comes */
                moved += back;
            }
            break;
        case 6: /* time; settle keeps the deadlines */
            w.now += KITH_SEC(n);
            break;
        case 7:
            switch (n % 10) {
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
            case 6:
                learn(&w, op >> 3);
                break;
            case 7:
                kith_share_tx_pause(w.tx, w.now, op & 8);
                break;
            case 8:
                kith_share_rx_pause(w.rx, w.now, op & 8);
                break;
            case 9: /* each tells of others; op says whether they are from the input, as they are */
                kith_share_tx_pass(w.tx, kith_bytes_str("a capability with a holder"));
                tell_peers(&w, op & 8 ? kith_get_bytes(&r, r.in.len < 64 ? r.in.len : 64)
                                      : kith_bytes_str("\x0a\x04\x0a\x02id"));
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
    kith_share_plan_free(w.plan);
    kith_manifest_fini(&w.manifest, &env);
    kith_leaves_fini(&w.have, &share_env);
    kith_leaves_fini(&w.older, &share_env);
    free(w.list);
    free(w.roots);
    while (w.read_count > 0)
        kith_share_block_free(w.reads[--w.read_count]);
    assert(heap.live == 0);
    return 0;
}
