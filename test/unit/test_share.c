/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A sharer and a receiver back to back: whole transfers in random pieces, partial ones, and every allocation failing once. */
#include "unit/share_pair.h"

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
        world_add(s, i % 11 ? KITH_ENTRY_FILE : KITH_ENTRY_DIR, 0, name,
                  i % 11 ? i % 3 ? 1 : (uint64_t)i : 0);
    }
    world_seal(s, &share_env);
    pair *p = pair_new(s);
    run(p, 5);
    ended_well(p);
    pair_free(p);
    share_free(s);
}

/* Small ones before it take some of the first request's bytes. */
static void a_file_larger_than_a_request_arrives(void **state)
{
    (void)state;
    world_share *s = share_new();
    world_add(s, KITH_ENTRY_FILE, 0, "a", 3);
    world_add(s, KITH_ENTRY_FILE, 0, "b", (KITH_PLAN_RUN_MAX + 2) * (uint64_t)KITH_TREE_LEAF + 5);
    world_add(s, KITH_ENTRY_FILE, 0, "c", 4);
    world_seal(s, &share_env);
    pair *p = pair_new(s);
    p->chunk_max = 1 << 17;
    run(p, 5);
    ended_well(p);
    assert_int_equal(p->receipt_bytes, s->manifest.bytes);
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

static void who_is_not_admitted_is_told_and_gets_nothing(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    pair *p = pair_new(s);
    p->refuse = true;
    run(p, 3);
    assert_int_equal(p->rx_failed.kind, KITH_SHARE_RX_FAILED);
    assert_int_equal(p->rx_failed.err, KITH_EREFUSED);
    assert_int_equal(p->rx_failed.code, KITH_SHARE_REFUSED);
    assert_false(p->offered || p->listed);
    pair_free(p);
    share_free(s);
}

/* What is shared is still walked, then hashed, entry by entry: the receiver waits, and takes what it can have. */
static void a_share_that_is_still_hashed_arrives_as_it_becomes_known(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    kith_share_source source = s->source;
    pair *p = pair_new(s);
    source.manifest = NULL;
    source.known = 0;
    source.total = 1000;
    p->source_of = &source;
    run(p, 3);
    assert_true(p->asked && p->waits == 1 && !p->offered);
    source.done = 77;
    kith_time at = kith_share_tx_ops.deadline(p->tx);
    assert_true(at <= p->now + KITH_SHARE_WAIT_EVERY);
    kith_share_tx_ops.tick(p->tx, at);
    p->now = at;
    run(p, 4);
    assert_int_equal(p->waits, 2);
    assert_int_equal(p->wait_done, 77);
    source.manifest = &s->manifest;
    kith_share_tx_update(p->tx, p->now);
    run(p, 5);
    assert_true(p->offered && p->listed);
    assert_int_equal(p->view.known, 0);
    for (size_t i = 0; i < s->count && !p->done; i += 50) {
        source.known = i;
        kith_share_tx_update(p->tx, p->now);
        run(p, i);
        assert_int_equal(p->view.known, i);
        for (size_t e = 0; e < i; e++)
            assert_int_equal(p->have[e], s->entries[e].size);
        assert_false(p->stored);
    }
    source.known = s->count;
    kith_share_tx_update(p->tx, p->now);
    run(p, 6);
    ended_well(p);
    pair_free(p);
    share_free(s);
}

/* A receiver that asks before the root is known has not been told of it: it breaks the rules. */
static void what_is_not_known_yet_may_not_be_asked_for(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    for (int i = 0; i < 2; i++) {
        kith_share_source source = s->source;
        pair *p = pair_new(s);
        p->hold = true;
        source.known = 1;
        p->source_of = &source;
        run(p, 3);
        assert_int_equal(p->view.known, 1);
        uint64_t id;
        kith_leaf_range r = {0, 6 + (uint32_t)i}; /* the first file has six leaves */
        p->view.known = s->count;
        memcpy(p->roots, s->roots, s->count * KITH_BLAKE3_LEN);
        assert_int_equal(kith_share_rx_request(p->rx, p->now, &r, 1, &id), KITH_OK);
        p->hold = false;
        kith_share_plan_settle(p->plan, 0, (uint32_t)s->manifest.leaves);
        p->view.known = 0; /* it does not end */
        run(p, 4);
        assert_int_equal(p->tx_failed.kind == KITH_SHARE_TX_FAILED, i == 1);
        pair_free(p);
    }
    share_free(s);
}

/* Bytes go across until n of content have come; then the first request is cancelled. */
static void a_cancelled_request_ends_soon(void **state)
{
    (void)state;
    world_share *s = one_file(40 * KITH_TREE_LEAF);
    unsigned early = 0;
    for (uint64_t r = 0; r < 30; r++) {
        pair *p = pair_new(s);
        uint64_t rnd = r, id;
        bool gone = false;
        p->hold = true;
        run(p, 3);
        kith_leaf_range all[2] = {{0, 20}, {30, 40}}, more = {20, 22};
        assert_int_equal(kith_share_rx_request(p->rx, p->now, all, 2, &id), KITH_OK);
        p->chunk_max = 100000;
        for (uint64_t n = 0; n < r * 4; n++) {
            (void)rx_events(p, &rnd);
            (void)tx_events(p, &rnd);
            (void)move(p, &kith_share_rx_ops, p->rx, &p->rx_fin, &kith_share_tx_ops, p->tx, &gone, &rnd);
            (void)move(p, &kith_share_tx_ops, p->tx, &p->tx_fin, &kith_share_rx_ops, p->rx, &gone, &rnd);
        }
        uint64_t before = p->have[0];
        kith_share_rx_cancel(p->rx, id);
        kith_share_rx_cancel(p->rx, id);
        kith_share_rx_cancel(p->rx, 99);
        assert_int_equal(kith_share_rx_request(p->rx, p->now, &more, 1, &id), KITH_OK);
        run(p, r);
        assert_int_equal(p->rx_failed.kind, KITH_SHARE_RX_DONE);
        assert_int_equal(p->tx_failed.kind, KITH_SHARE_TX_ASKED);
        if (before < 30 * KITH_TREE_LEAF && p->ended == 1)
            early++;
        assert_true(p->ended == 1 || p->have[0] == 32 * KITH_TREE_LEAF);
        assert_true(p->have[0] >= 2 * KITH_TREE_LEAF); /* the second one was answered */
        pair_free(p);
    }
    assert_true(early > 5);
    share_free(s);
}

/* However the end of an answer and a cancel cross, the receiver hears of an end just when it still waits. */
static void a_cancel_may_cross_the_end_of_the_answer(void **state)
{
    (void)state;
    world_share *s = one_file(40 * KITH_TREE_LEAF);
    static uint8_t buf[1 << 20];
    for (int broken = 0; broken < 2; broken++) {
        for (size_t before = 0;; before++) { /* bytes of the answer that are not yet out */
            pair *p = pair_new(s);
            uint64_t rnd = before, id;
            size_t n = 0, all = 0;
            p->hold = true;
            run(p, 3);
            if (broken) { /* the answer is that it cannot be had: its last frame is a short one */
                p->break_entry = 0;
                p->break_code = KITH_SHARE_CHANGED;
            }
            kith_leaf_range two = {4, 6}, more = {20, 22};
            assert_int_equal(kith_share_rx_request(p->rx, p->now, &two, 1, &id), KITH_OK);
            all = kith_share_rx_ops.send(p->rx, p->now, kith_span_of(buf, sizeof buf));
            assert_int_equal(kith_share_tx_ops.recv(p->tx, p->now, kith_bytes_of(buf, all)), KITH_OK);
            while (tx_events(p, &rnd) || p->read_count > 0)
                ;
            all = broken ? 12 : 2 * KITH_TREE_LEAF;
            size_t want = all > before ? all - before + (broken ? 0 : 400) : 0;
            for (size_t got; n < want; n += got) {
                got = kith_share_tx_ops.send(p->tx, p->now, kith_span_of(buf + n, want - n));
                (void)tx_events(p, &rnd);
                if (got == 0)
                    break;
            }
            p->rx_bytes += n;
            (void)kith_share_rx_ops.recv(p->rx, p->now, kith_bytes_of(buf, n / 2));
            kith_share_rx_cancel(p->rx, id); /* it has half of what is on the way */
            (void)kith_share_rx_ops.recv(p->rx, p->now, kith_bytes_of(buf + n / 2, n - n / 2));
            p->break_entry = SIZE_MAX;
            assert_int_equal(kith_share_rx_request(p->rx, p->now, &more, 1, &id), KITH_OK);
            run(p, before);
            assert_int_equal(p->rx_failed.kind, KITH_SHARE_RX_DONE);
            assert_int_equal(p->tx_failed.kind, KITH_SHARE_TX_ASKED);
            pair_free(p);
            if (want == 0 || before == 600)
                break;
        }
    }
    share_free(s);
}

static void either_side_may_pause(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    for (int by_rx = 0; by_rx < 2; by_rx++) {
        pair *p = pair_new(s);
        p->hold = true;
        run(p, 3);
        if (by_rx)
            kith_share_rx_pause(p->rx, p->now, true);
        else
            kith_share_tx_pause(p->tx, p->now, true);
        run(p, 4);
        assert_true(by_rx ? p->tx_paused : p->paused);
        p->hold = false;
        run(p, 5);
        for (size_t i = 0; i < s->count; i++)
            assert_int_equal(p->have[i], 0);
        assert_int_equal(kith_share_rx_ops.deadline(p->rx), KITH_NEVER);
        assert_int_equal(kith_share_tx_ops.deadline(p->tx), KITH_NEVER);
        if (by_rx)
            kith_share_rx_pause(p->rx, p->now, false);
        else
            kith_share_tx_pause(p->tx, p->now, false);
        run(p, 6);
        assert_false(p->tx_paused || p->paused);
        ended_well(p);
        pair_free(p);
    }
    share_free(s);
}

static void a_partial_source_gives_what_it_has(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    kith_leaves have = {0};
    kith_share_source source = s->source;
    pair *p = pair_new(s);
    source.have = &have;
    p->source_of = &source;
    for (uint32_t i = 0; i < 200; i += 2) /* more ranges than one HAVE holds */
        assert_int_equal(kith_leaves_add(&have, &share_env, i, i + 1), KITH_OK);
    run(p, 3);
    assert_int_equal(kith_share_rx_have(p->rx)->total, 100);
    assert_int_equal(kith_share_plan_missing(p->plan)->total, s->manifest.leaves - 100);
    assert_int_equal(kith_leaves_add(&have, &share_env, 0, (uint32_t)s->manifest.leaves), KITH_OK);
    kith_share_tx_update(p->tx, p->now);
    run(p, 4);
    assert_int_equal(kith_share_rx_have(p->rx)->total, 100); /* once in a second */
    kith_time at = kith_share_tx_ops.deadline(p->tx);
    assert_true(at <= p->now + KITH_SHARE_HAVE_EVERY);
    p->now = at;
    kith_share_tx_ops.tick(p->tx, p->now);
    run(p, 5);
    ended_well(p);
    pair_free(p);
    kith_leaves_fini(&have, &share_env);
    share_free(s);
}

static void who_is_admitted_to_a_part_gets_no_more(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    for (int more = 0; more < 2; more++) {
        kith_leaves allowed = {0};
        uint8_t *skip = calloc(s->count, 1);
        bool first = true;
        pair *p = pair_new(s);
        assert_non_null(skip);
        for (size_t i = 0; i < s->count; i++) {
            uint32_t from, to;
            kith_manifest_leaves(&s->manifest, i, &from, &to);
            skip[i] = i % 2 == 1 && !(more && to > from && first);
            first &= !(more && i % 2 == 1 && to > from);
            if (i % 2 == 0)
                assert_int_equal(kith_leaves_add(&allowed, &share_env, from, to), KITH_OK);
        }
        p->skip = skip;
        p->allowed = &allowed;
        run(p, 3);
        assert_int_equal(p->rx_failed.kind == KITH_SHARE_RX_FAILED, more);
        assert_int_equal(p->rx_failed.code, more ? KITH_SHARE_REFUSED : KITH_SHARE_NONE);
        assert_int_equal(p->receipt, !more);
        if (more)
            assert_int_equal(p->tx_failed.err, KITH_EAUTH);
        pair_free(p);
        free(skip);
        kith_leaves_fini(&allowed, &share_env);
    }
    share_free(s);
}

/* Peers both ways, and a pass; also to a receiver whose person still looks at the list. */
static void who_else_is_there_is_told_and_what_admits_to_them(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    pair *p = pair_new(s);
    uint8_t buf[1024], pass[KITH_SHARE_TOKEN_MAX];
    memset(pass, 7, sizeof pass);
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    for (int i = 0; i < KITH_SHARE_PEERS_MAX; i++)
        kith_share_peers_put(&w, &(kith_share_peer){.id = kith_bytes_str("somebody"),
                                                    .addr_count = 1,
                                                    .addrs = {kith_bytes_str("somewhere")}});
    const kith_bytes peers = kith_wr_bytes(&w);
    p->hold = true;
    kith_share_tx_pass(p->tx, kith_bytes_str("an older one"));
    kith_share_tx_pass(p->tx, kith_bytes_of(pass, sizeof pass)); /* before it is admitted: kept until then */
    kith_share_tx_peers(p->tx, peers);
    run(p, 3);
    assert_true(kith_bytes_eq(kith_bytes_of(p->pass, p->pass_len), kith_bytes_of(pass, sizeof pass)));
    assert_true(kith_bytes_eq(kith_bytes_of(p->told, p->told_len), peers));
    kith_share_rx_peers(p->rx, peers);
    run(p, 4);
    assert_true(kith_bytes_eq(kith_bytes_of(p->heard, p->heard_len), peers));
    p->hold = false;
    run(p, 5);
    ended_well(p);
    pair_free(p);
    share_free(s);
}

/* What is given away again can be proven with what came along: the nodes of the trees. */
static void nodes_that_came_prove_the_same(void **state)
{
    (void)state;
    world_share *s = one_file(11 * KITH_TREE_LEAF + 3);
    const size_t len = kith_tree_nodes(s->entries[0].size) * KITH_BLAKE3_LEN;
    uint8_t *nodes = calloc(1, len);
    assert_non_null(nodes);
    memcpy(nodes, s->nodes[0], KITH_BLAKE3_LEN); /* the root is known anyway */
    static const kith_leaf_range parts[] = {{4, 6}, {0, 1}, {9, 12}, {1, 9}};
    for (size_t i = 0; i < 4; i++) {
        kith_tree_prover pr;
        kith_tree_checker c;
        uint64_t size = s->entries[0].size, from = parts[i].first * (uint64_t)KITH_TREE_LEAF;
        uint64_t to =
            parts[i].end * (uint64_t)KITH_TREE_LEAF < size ? parts[i].end * (uint64_t)KITH_TREE_LEAF : size;
        kith_tree_prove(&pr, s->nodes[0], size, from, to);
        kith_tree_check(&c, s->nodes[0], size, from, to);
        c.nodes = nodes;
        for (;;) {
            uint8_t pairs[KITH_TREE_PROOF_MAX];
            kith_wr w = kith_wr_of(kith_span_of(pairs, sizeof pairs));
            uint64_t a, b, x, y;
            if (!kith_tree_prove_next(&pr, &w, &a, &b))
                break;
            assert_int_equal(kith_tree_check_pairs(&c, kith_wr_bytes(&w), &x, &y), KITH_OK);
            assert_int_equal(kith_tree_check_data(&c, kith_bytes_of(s->content[0] + a, (size_t)(b - a))),
                             KITH_OK);
        }
    }
    assert_memory_equal(nodes, s->nodes[0], len);
    free(nodes);
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
        if (p->done) { /* everything had arrived already */
            same_files(p);
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

/* Older content of the same list: all leaves are there. */
static void has_before(pair *p, const world_share *before)
{
    p->before = before;
    assert_int_equal(kith_leaves_add(&p->older, &share_env, 0, (uint32_t)before->manifest.leaves), KITH_OK);
}

/* What mixed_share was before its first file changed in leaf 2, and a small one. */
static world_share *mixed_before(size_t *small)
{
    world_share *s = mixed_share();
    world_change(s, 0, 2 * KITH_TREE_LEAF + 5);
    for (*small = 1; s->entries[*small].type != KITH_ENTRY_FILE || s->entries[*small].size == 0;)
        ++*small;
    world_change(s, *small, 0);
    return s;
}

static void what_is_here_already_is_not_sent(void **state)
{
    (void)state;
    size_t small;
    world_share *s = mixed_share(), *before = mixed_before(&small);
    for (uint64_t rnd = 0; rnd < 30; rnd++) {
        pair *p = pair_new(s);
        has_before(p, before);
        run(p, rnd);
        ended_well(p);
        uint64_t sent, files;
        kith_share_tx_progress(p->tx, &sent, &files);
        /* zeros are told as zeros, or as the same */
        assert_int_equal(p->same, s->manifest.leaves - 2);
        assert_int_equal(sent,
                         KITH_TREE_LEAF + (s->entries[small].size < KITH_TREE_LEAF ? s->entries[small].size
                                                                                   : KITH_TREE_LEAF));
        assert_true(p->rx_bytes < sent + 100000);
        pair_free(p);
    }
    share_free(before);
    share_free(s);
}

static void what_is_not_here_after_all_is_asked_for_again(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    for (uint64_t rnd = 0; rnd < 30; rnd++) {
        pair *p = pair_new(s);
        has_before(p, s);
        assert_int_equal(kith_leaves_add(&p->spoilt, &share_env, 1, 4), KITH_OK);
        run(p, rnd);
        ended_well(p);
        assert_int_equal(p->stale, 3);
        assert_int_equal(p->same, s->manifest.leaves);
        pair_free(p);
    }
    share_free(s);
}

/* before: NULL: there is no older content. */
static void fail_allocations(world_share *s, const world_share *before)
{
    for (int from_there_on = 0; from_there_on < 2; from_there_on++) {
        for (size_t nth = 1;; nth++) {
            heap = (world_heap){.fail_at = nth, .from_there_on = from_there_on};
            pair *p = pair_new(s);
            if (before)
                has_before(p, before);
            if (p->rx && p->tx)
                run(p, nth);
            bool done = p->done;
            if (heap.calls >= nth && p->rx && p->tx)
                assert_true(p->rx_failed.kind == KITH_SHARE_RX_FAILED ||
                            p->tx_failed.kind == KITH_SHARE_TX_FAILED || done);
            size_t calls = heap.calls;
            pair_free(p);
            if (calls < nth) {
                assert_true(done);
                break;
            }
        }
    }
    heap = (world_heap){0};
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    size_t small;
    world_share *s = mixed_share(), *before = mixed_before(&small);
    fail_allocations(s, NULL);
    fail_allocations(s, before);
    share_free(before);
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

/* What comes after the end is not for us, and does not keep us. */
static void an_end_is_not_put_off_by_what_still_comes(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    pair *p = pair_new(s);
    (void)kith_share_rx_ops.recv(p->rx, p->now, kith_bytes_of("\x01\xff", 2)); /* malformed */
    kith_time at = kith_share_rx_ops.deadline(p->rx);
    assert_int_equal(at, p->now + KITH_SHARE_GOODBYE_TIMEOUT);
    (void)kith_share_rx_ops.recv(p->rx, at - 1, kith_bytes_of("\0", 1));
    assert_int_equal(kith_share_rx_ops.deadline(p->rx), at);
    kith_share_rx_ops.tick(p->rx, at);
    assert_int_equal(kith_share_rx_ops.want(p->rx), KITH_STREAM_RESET);
    pair_free(p);
    share_free(s);
}

/* The connection stays and nothing comes any more: neither side waits for ever. */
static void silence_at_any_moment_fails_at_a_deadline(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    unsigned rx_failed = 0, tx_failed = 0;
    for (uint64_t r = 0; r < 60; r++) {
        pair *p = pair_new(s);
        uint64_t rnd = r;
        bool gone = false;
        for (uint64_t n = 0; n < r * 3; n++) {
            (void)rx_events(p, &rnd);
            (void)tx_events(p, &rnd);
            if (!gone)
                (void)move(p, &kith_share_rx_ops, p->rx, &p->rx_fin, &kith_share_tx_ops, p->tx, &gone, &rnd);
            if (!gone)
                (void)move(p, &kith_share_tx_ops, p->tx, &p->tx_fin, &kith_share_rx_ops, p->rx, &gone, &rnd);
        }
        for (int i = 0; i < 100; i++) { /* their owners do what they have to do */
            (void)rx_events(p, &rnd);
            (void)tx_events(p, &rnd);
        }
        if (!gone && !p->done) {
            kith_time at = kith_share_rx_ops.deadline(p->rx);
            assert_true(at <= p->now + KITH_SHARE_SILENCE_TIMEOUT);
            kith_share_rx_ops.tick(p->rx, at);
            (void)rx_events(p, &rnd);
            if (!p->done) { /* all is stored, and it need not wait for the goodbye */
                assert_int_equal(p->rx_failed.kind, KITH_SHARE_RX_FAILED);
                assert_int_equal(p->rx_failed.err, KITH_ETIMEOUT);
                rx_failed++;
            }
        }
        if (!gone && !p->receipt) {
            kith_time at = kith_share_tx_ops.deadline(p->tx);
            assert_true(at <= p->now + KITH_SHARE_IDLE_TIMEOUT);
            kith_share_tx_ops.tick(p->tx, at);
            (void)tx_events(p, &rnd);
            assert_int_equal(p->tx_failed.kind, KITH_SHARE_TX_FAILED);
            assert_int_equal(p->tx_failed.err, KITH_ETIMEOUT);
            tx_failed++;
        }
        pair_free(p);
    }
    assert_true(rx_failed > 10 && tx_failed > 10);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_arrives_whole_in_pieces_of_any_size),
        cmocka_unit_test(ten_thousand_small_files_and_tiny_ones),
        cmocka_unit_test(a_file_larger_than_a_request_arrives),
        cmocka_unit_test(a_share_without_content_arrives),
        cmocka_unit_test(only_what_is_wanted_is_fetched),
        cmocka_unit_test(a_file_that_cannot_be_read_is_lost_and_the_others_arrive),
        cmocka_unit_test(who_is_not_admitted_is_told_and_gets_nothing),
        cmocka_unit_test(a_share_that_is_still_hashed_arrives_as_it_becomes_known),
        cmocka_unit_test(what_is_not_known_yet_may_not_be_asked_for),
        cmocka_unit_test(a_cancelled_request_ends_soon),
        cmocka_unit_test(a_cancel_may_cross_the_end_of_the_answer),
        cmocka_unit_test(either_side_may_pause),
        cmocka_unit_test(a_partial_source_gives_what_it_has),
        cmocka_unit_test(who_is_admitted_to_a_part_gets_no_more),
        cmocka_unit_test(who_else_is_there_is_told_and_what_admits_to_them),
        cmocka_unit_test(nodes_that_came_prove_the_same),
        cmocka_unit_test(either_side_may_stop_at_any_moment),
        cmocka_unit_test(what_is_here_already_is_not_sent),
        cmocka_unit_test(what_is_not_here_after_all_is_asked_for_again),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(silence_fails_at_the_deadlines),
        cmocka_unit_test(an_end_is_not_put_off_by_what_still_comes),
        cmocka_unit_test(silence_at_any_moment_fails_at_a_deadline),
        cmocka_unit_test(a_lost_connection_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
