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
    world_add(s, KITH_ENTRY_FILE, 0, "b", KITH_SHARE_RX_REQUEST_BYTES + 2 * KITH_TREE_LEAF + 5);
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

static void any_allocation_may_fail(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    for (int from_there_on = 0; from_there_on < 2; from_there_on++) {
        for (size_t nth = 1;; nth++) {
            heap = (world_heap){.fail_at = nth, .from_there_on = from_there_on};
            pair *p = pair_new(s);
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
        cmocka_unit_test(the_wrong_secret_and_the_wrong_share_are_refused_alike),
        cmocka_unit_test(either_side_may_stop_at_any_moment),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(silence_fails_at_the_deadlines),
        cmocka_unit_test(silence_at_any_moment_fails_at_a_deadline),
        cmocka_unit_test(a_lost_connection_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
