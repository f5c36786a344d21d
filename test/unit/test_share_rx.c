/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A receiver against a hostile sharer: nothing that was not asked for, or does not lead up to the root, is shown. */
#include "unit/share_pair.h"

static void put_offer(lab *l, const world_share *s, uint64_t list_size)
{
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_OFFER,
                                .root = kith_bytes_of(s->source.list_root, KITH_BLAKE3_LEN),
                                .list_size = list_size,
                                .complete = true});
}

/* A receiver that has said hello and got an offer. */
static lab *lab_new(world_share *s, uint64_t list_size)
{
    lab *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->p = pair_new(s);
    l->w = kith_wr_of(kith_span_of(l->buf, sizeof l->buf));
    put_offer(l, s, list_size);
    return l;
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

static void put_list(lab *l, const world_share *s)
{
    kith_bytes list = s->manifest.list;
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_LIST, .body = list.len});
    kith_put_bytes(&l->w, list);
}

static void put_roots(lab *l, const world_share *s)
{
    size_t n = s->count * KITH_BLAKE3_LEN;
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_ROOTS, .body = n});
    kith_put_bytes(&l->w, kith_bytes_of(s->roots, n));
}

/* Up to the first request. */
static lab *lab_asked(world_share *s)
{
    lab *l = lab_new(s, s->manifest.list.len);
    assert_int_equal(lab_run(l), KITH_OK);
    put_list(l, s);
    assert_int_equal(lab_run(l), KITH_OK);
    put_roots(l, s);
    assert_int_equal(lab_run(l), KITH_OK);
    assert_true(l->p->listed && l->p->next_id == 2);
    return l;
}

static void lies_about_the_list_are_found(void **state)
{
    (void)state;
    world_share *s = one_file(1000);
    size_t len = s->manifest.list.len;
    static const uint64_t lengths[] = {0, KITH_MANIFEST_MAX + 1ull,
                                       UINT64_MAX}; /* no list, ones without end */
    for (size_t i = 0; i < 3; i++) {
        lab *l = lab_new(s, lengths[i]);
        assert_int_equal(lab_run(l), KITH_ELIMIT);
        lab_free(l);
    }
    for (int i = 0; i < 6; i++) {
        lab *l = lab_new(s, i == 0 ? len + 1 : len);
        assert_int_equal(lab_run(l), KITH_OK);
        kith_err want = KITH_ECRYPTO;
        switch (i) {
        case 0: /* more than there is */
            put_msg(l, (kith_share_msg){.kind = KITH_SHARE_LIST, .body = len + 1});
            kith_put_bytes(&l->w, s->manifest.list);
            kith_put_u8(&l->w, 0);
            break;
        case 1: /* another list */
            put_list(l, s);
            l->buf[l->w.len - 1] ^= 1;
            break;
        case 2: /* more than was said */
            put_msg(l, (kith_share_msg){.kind = KITH_SHARE_LIST, .body = len + 1});
            want = KITH_EPROTO;
            break;
        case 3: /* from another place */
            put_msg(l, (kith_share_msg){.kind = KITH_SHARE_LIST, .offset = 1, .body = 1});
            want = KITH_EPROTO;
            break;
        case 4: /* two offers */
            put_offer(l, s, len);
            want = KITH_EPROTO;
            break;
        case 5: /* hashes before the list */
            put_roots(l, s);
            want = KITH_EPROTO;
            break;
        }
        assert_int_equal(lab_run(l), want);
        if (want == KITH_ECRYPTO)
            assert_int_equal(l->p->rx_failed.entry, SIZE_MAX);
        assert_false(l->p->listed);
        lab_free(l);
    }
    /* after the list: more of it, and more hashes than there are entries */
    for (int i = 0; i < 3; i++) {
        lab *l = lab_asked(s);
        if (i == 0)
            put_list(l, s);
        else
            put_msg(l, (kith_share_msg){.kind = KITH_SHARE_ROOTS, .first = (uint64_t)i - 1, .body = 32});
        assert_int_equal(lab_run(l), KITH_EPROTO);
        lab_free(l);
    }
    share_free(s);
}

static void a_list_may_come_in_parts(void **state)
{
    (void)state;
    world_share *s = one_file(1000);
    const kith_bytes list = s->manifest.list;
    for (size_t cut = 1; cut < list.len; cut++) {
        lab *l = lab_new(s, list.len);
        assert_int_equal(lab_run(l), KITH_OK);
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_LIST, .body = cut});
        kith_put_bytes(&l->w, kith_bytes_of(list.p, cut));
        assert_int_equal(lab_run(l), KITH_OK);
        assert_false(l->p->listed);
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_LIST, .offset = cut, .body = list.len - cut});
        kith_put_bytes(&l->w, kith_bytes_skip(list, cut));
        assert_int_equal(lab_run(l), KITH_OK);
        assert_true(l->p->listed);
        lab_free(l);
    }
    share_free(s);
}

static void a_list_that_breaks_the_rules_is_declined(void **state)
{
    (void)state;
    world_share *s = one_file(10);
    /* a sharer who means harm makes a list of "..", with a root that is right for it */
    static const uint8_t list[] = {0x0a, 6, 0x12, 2, '.', '.', 0x18, 1};
    lab *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->p = pair_new(s);
    l->w = kith_wr_of(kith_span_of(l->buf, sizeof l->buf));
    uint8_t root[KITH_BLAKE3_LEN];
    kith_blake3_hash(kith_bytes_of(list, sizeof list), root);
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_OFFER,
                                .root = kith_bytes_of(root, sizeof root),
                                .list_size = sizeof list});
    assert_int_equal(lab_run(l), KITH_OK);
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_LIST, .body = sizeof list});
    kith_put_bytes(&l->w, kith_bytes_of(list, sizeof list));
    assert_int_equal(lab_run(l), KITH_EPROTO);
    assert_non_null(l->p->fault.why);
    assert_true(kith_bytes_eq_str(l->p->fault.name, ".."));
    assert_false(l->p->listed);
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
    uint8_t both[128];
    memcpy(both, nodes + 32, 32);
    memcpy(both + 32, nodes + 4 * 32, 32);
    memcpy(both + 64, nodes + 2 * 32, 64);
    for (int i = 0; i < 14; i++) {
        lab *l = lab_asked(s);
        kith_share_msg m = {
            .kind = KITH_SHARE_DATA, .id = 1, .body = KITH_TREE_LEAF, .pairs = kith_bytes_of(both, 128)};
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
        case 6: /* another leaf */
            m.leaf = 1;
            break;
        case 7: /* none of the share */
            m.leaf = 3;
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
        case 12: /* zeros that are none */
            m.body = 0;
            m.zeros = true;
            want = KITH_ECRYPTO;
            break;
        case 13: /* zeros with a body */
            m.zeros = true;
            break;
        }
        put_msg(l, m);
        kith_put_bytes(&l->w, data);
        if (i == 0)
            kith_share_rx_cancel(l->p->rx, 1); /* so that it is shown at once */
        if (i == 0)
            put_msg(l, (kith_share_msg){.kind = KITH_SHARE_ENDED, .id = 1});
        assert_int_equal(lab_run(l), want);
        both[70] ^= (uint8_t)(i == 2);
        assert_int_equal(l->p->have[0], want ? 0 : KITH_TREE_LEAF);
        if (want == KITH_ECRYPTO)
            assert_int_equal(l->p->rx_failed.entry, 0);
        if (want) { /* dead it is, whatever comes */
            put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 1, .body = 5});
            kith_put_bytes(&l->w, kith_bytes_of("hello", 5));
            (void)lab_run(l);
            assert_false(kith_share_rx_ops.pending(l->p->rx));
        }
        lab_free(l);
    }
    share_free(s);
}

/* The receiver has older content at leaf 0: the right one, or not. */
static void what_is_the_same_must_have_been_hinted_at_and_be_right(void **state)
{
    (void)state;
    enum { SIZE = 2 * KITH_TREE_LEAF + 100 };
    world_share *s = one_file(SIZE), *before = one_file(SIZE);
    world_change(before, 0, 7);
    uint8_t both[128];
    memcpy(both, s->nodes[0] + 32, 32);
    memcpy(both + 32, s->nodes[0] + 4 * 32, 32);
    memcpy(both + 64, s->nodes[0] + 2 * 32, 64);
    for (int i = 0; i < 7; i++) {
        lab *l = lab_new(s, s->manifest.list.len);
        kith_share_msg m = {
            .kind = KITH_SHARE_DATA, .id = 1, .pairs = kith_bytes_of(both, 128), .same = true};
        kith_err want = KITH_OK;
        l->p->before = i == 1 ? before : s;
        assert_int_equal(kith_leaves_add(&l->p->older, &share_env, i == 2, i == 3 ? 0 : 3), KITH_OK);
        switch (i) {
        case 0: /* as it should be */
            break;
        case 1: /* it has another value than was hinted */
            want = KITH_ECRYPTO;
            break;
        case 2: /* of this one was no hint, but of others */
        case 3: /* of none */
            want = KITH_EPROTO;
            break;
        case 4: /* another proof */
            both[70] ^= 1;
            want = KITH_ECRYPTO;
            break;
        case 5: /* with a body */
            m.body = KITH_TREE_LEAF;
            want = KITH_EPROTO;
            break;
        case 6: /* and zeros */
            m.zeros = true;
            want = KITH_EPROTO;
            break;
        }
        assert_int_equal(lab_run(l), KITH_OK);
        put_list(l, s);
        assert_int_equal(lab_run(l), KITH_OK);
        put_roots(l, s);
        assert_int_equal(lab_run(l), KITH_OK);
        put_msg(l, m);
        if (i == 0) {
            kith_share_rx_cancel(l->p->rx, 1); /* so that it is shown at once */
            put_msg(l, (kith_share_msg){.kind = KITH_SHARE_ENDED, .id = 1});
        }
        assert_int_equal(lab_run(l), want);
        both[70] ^= (uint8_t)(i == 4);
        assert_int_equal(l->p->same, want ? 0 : 1);
        assert_int_equal(l->p->have[0], want ? 0 : KITH_TREE_LEAF);
        lab_free(l);
    }
    share_free(before);
    share_free(s);
}

/* A request of as many leaves as may be, and a hint for each, fits beside what else is to be said. */
static void hints_for_the_largest_request_are_said_in_full(void **state)
{
    (void)state;
    enum { LEAVES = KITH_SHARE_REQUEST_LEAVES / KITH_SHARE_RANGES };
    world_share *s = one_file((uint64_t)LEAVES * KITH_TREE_LEAF);
    lab *l = lab_new(s, s->manifest.list.len);
    kith_leaf_range ranges[KITH_SHARE_RANGES];
    uint64_t id;
    l->p->before = s;
    l->p->hold = true;
    assert_int_equal(kith_leaves_add(&l->p->older, &share_env, 0, LEAVES), KITH_OK);
    assert_int_equal(lab_run(l), KITH_OK);
    put_list(l, s);
    assert_int_equal(lab_run(l), KITH_OK);
    put_roots(l, s);
    assert_int_equal(lab_run(l), KITH_OK);
    while (kith_share_rx_ops.send(l->p->rx, l->p->now, kith_span_of(l->buf, sizeof l->buf)) > 0)
        ;
    for (size_t i = 0; i < KITH_SHARE_RANGES; i++)
        ranges[i] = (kith_leaf_range){0, LEAVES};
    size_t asked = 0;
    while (kith_share_rx_request(l->p->rx, l->p->now, ranges, KITH_SHARE_RANGES, &id) == KITH_OK) {
        size_t n = 0, got;
        asked++;
        kith_share_rx_cancel(l->p->rx, id); /* there is room for more */
        while ((got = kith_share_rx_ops.send(l->p->rx, l->p->now, kith_span_of(l->buf, sizeof l->buf))) > 0)
            n += got;
        assert_true(n > KITH_SHARE_REQUEST_LEAVES * KITH_SHARE_HINT_LEN);
        kith_share_rx_check(l->p->rx);
    }
    assert_int_equal(asked, KITH_SHARE_REQUESTS);
    assert_true(heap.live < 200000);
    lab_free(l);
    share_free(s);
}

static void more_than_was_asked_for_is_refused(void **state)
{
    (void)state;
    world_share *s = share_new();
    world_add(s, KITH_ENTRY_FILE, 0, "f", 100);
    world_add(s, KITH_ENTRY_FILE, 0, "g", 100);
    world_seal(s, &share_env);
    lab *l = lab_asked(s);
    for (int i = 0; i < 2; i++) {
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 1, .body = 100});
        kith_put_bytes(&l->w, kith_bytes_of(s->content[0], 100));
    }
    assert_int_equal(lab_run(l), KITH_EPROTO);
    lab_free(l);
    l = lab_asked(s); /* the end of a request that was not cancelled, or does not exist */
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_ENDED, .id = 1});
    assert_int_equal(lab_run(l), KITH_EPROTO);
    lab_free(l);
    l = lab_asked(s); /* a whole source that says what it has */
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_HAVE, .range_count = 1, .ranges = {{0, 1}}});
    assert_int_equal(lab_run(l), KITH_EPROTO);
    lab_free(l);
    l = lab_asked(s); /* a proof of a code that was not named */
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_PAKE, .step = 2, .data = kith_bytes_str("x")});
    assert_int_equal(lab_run(l), KITH_EPROTO);
    lab_free(l);
    share_free(s);
}

/* right: after how many of our two messages of the proof a message may come. */
static void before_the_proof(world_share *s, kith_share_msg m, uint64_t right)
{
    for (uint64_t said = 0; said <= 2; said++) {
        lab *l = calloc(1, sizeof *l);
        assert_non_null(l);
        l->p = pair_new(s);
        l->w = kith_wr_of(kith_span_of(l->buf, sizeof l->buf));
        const kith_share_rx_config cfg = {.env = share_env, .code_tag = kith_bytes_str("0123456789abcdef")};
        kith_share_rx_ops.free(l->p->rx);
        l->p->rx = kith_share_rx_new(&cfg, l->p->now);
        assert_non_null(l->p->rx);
        for (uint64_t n = 0; n < said; n++)
            kith_share_rx_pake(l->p->rx, kith_bytes_str("proof"));
        if (m.kind == KITH_SHARE_OFFER)
            put_offer(l, s, s->manifest.list.len);
        else
            put_msg(l, m);
        assert_int_equal(lab_run(l), said == right ? KITH_OK : KITH_EPROTO);
        lab_free(l);
    }
}

static void nothing_is_taken_of_who_has_not_proved_to_have_the_code(void **state)
{
    (void)state;
    world_share *s = one_file(10);
    before_the_proof(s, (kith_share_msg){.kind = KITH_SHARE_OFFER}, 2);
    before_the_proof(s, (kith_share_msg){.kind = KITH_SHARE_WAIT, .done = 1, .total = 2}, 2);
    for (uint64_t step = 1; step <= 3; step++) /* the second of the three is the sharer's, and comes once */
        before_the_proof(s,
                         (kith_share_msg){.kind = KITH_SHARE_PAKE, .step = step, .data = kith_bytes_str("x")},
                         step == 2 ? 1 : UINT64_MAX);
    before_the_proof(s, (kith_share_msg){.kind = KITH_SHARE_PAUSE, .on = true},
                     UINT64_MAX); /* nor before the offer */
    share_free(s);
}

/* What a partial source says costs so much and no more. */
static void what_a_source_has_is_noted_up_to_a_cap(void **state)
{
    (void)state;
    world_share *s = one_file(10);
    lab *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->p = pair_new(s);
    l->w = kith_wr_of(kith_span_of(l->buf, sizeof l->buf));
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_OFFER,
                                .root = kith_bytes_of(s->source.list_root, KITH_BLAKE3_LEN),
                                .list_size = s->manifest.list.len,
                                .complete = true,
                                .partial = true});
    assert_int_equal(lab_run(l), KITH_OK);
    kith_share_msg m = {.kind = KITH_SHARE_HAVE, .range_count = KITH_SHARE_RANGES};
    for (uint32_t n = 0; n < KITH_SHARE_HAVE_RANGES_MAX + 2 * KITH_SHARE_RANGES; n += KITH_SHARE_RANGES) {
        for (uint32_t i = 0; i < KITH_SHARE_RANGES; i++)
            m.ranges[i] = (kith_leaf_range){2 * (n + i), 2 * (n + i) + 1};
        put_msg(l, m);
        assert_int_equal(lab_run(l), KITH_OK);
    }
    assert_int_equal(kith_share_rx_have(l->p->rx)->count, KITH_SHARE_HAVE_RANGES_MAX);
    lab_free(l);
    share_free(s);
}

static void later_versions_messages_are_skipped(void **state)
{
    (void)state;
    world_share *s = one_file(100);
    lab *l = lab_asked(s);
    /* kind 99 with a body of 300 bytes, a head of nothing at all, an unknown field in a known head */
    static const uint8_t other[] = {8, 0x08, 0xac, 0x02, 0x9a, 0x06, 2, 0x08, 1};
    kith_put_bytes(&l->w, kith_bytes_of(other, sizeof other));
    for (int i = 0; i < 300; i++)
        kith_put_u8(&l->w, 0xff);
    kith_put_u8(&l->w, 0);
    uint8_t head[64];
    kith_wr h = kith_wr_of(kith_span_of(head, sizeof head));
    static const uint8_t data[] = {0x08, 100, 0x2a, 5, 0x08, 1, 0xf8, 0x07, 5, 0xf8, 0x3f, 1};
    kith_put_lp(&h, kith_bytes_of(data, sizeof data));
    kith_put_bytes(&l->w, kith_wr_bytes(&h));
    kith_put_bytes(&l->w, kith_bytes_of(s->content[0], 100));
    assert_int_equal(lab_run(l), KITH_OK);
    assert_int_equal(l->p->have[0], 100);
    lab_free(l);
    share_free(s);
}

static kith_err said(lab *l, kith_share_msg m)
{
    put_msg(l, m);
    return lab_run(l);
}

/* WAIT keeps us as long as it says something new; any other chatter does not. */
static void a_sharer_that_has_us_wait_for_nothing_is_left(void **state)
{
    (void)state;
    world_share *s = one_file(1000);
    for (int listed = 0; listed < 2; listed++) {
        lab *l = listed ? lab_asked(s) : calloc(1, sizeof *l);
        assert_non_null(l);
        if (!listed) {
            l->p = pair_new(s);
            l->w = kith_wr_of(kith_span_of(l->buf, sizeof l->buf));
        }
        const kith_time step = KITH_SHARE_SILENCE_TIMEOUT - 1;
        const int steps = (int)(KITH_SHARE_USELESS_TIMEOUT / step) + 10;
        for (int i = 1; i <= steps; i++) { /* it reads on */
            l->p->now += step;
            assert_int_equal(
                said(l, (kith_share_msg){.kind = KITH_SHARE_WAIT, .done = (uint64_t)i, .total = 9999}),
                KITH_OK);
            assert_int_equal(kith_share_rx_ops.deadline(l->p->rx), l->p->now + KITH_SHARE_SILENCE_TIMEOUT);
        }
        const kith_time end = l->p->now + KITH_SHARE_USELESS_TIMEOUT;
        while (l->p->now + KITH_SHARE_SILENCE_TIMEOUT < end) { /* and then it does not, or has read less */
            l->p->now += step;
            kith_share_rx_ops.tick(l->p->rx, l->p->now);
            assert_int_equal(
                said(l, (kith_share_msg){.kind = KITH_SHARE_WAIT, .done = l->p->now % 2 + 5, .total = 9999}),
                KITH_OK);
        }
        assert_int_equal(kith_share_rx_ops.deadline(l->p->rx), end);
        kith_share_rx_ops.tick(l->p->rx, end - 1);
        assert_int_equal(lab_run(l), KITH_OK);
        l->p->now = end;
        kith_share_rx_ops.tick(l->p->rx, end);
        assert_int_equal(lab_run(l), KITH_ETIMEOUT);
        assert_non_null(strstr(l->p->rx_failed.why, "two hours"));
        lab_free(l);
    }
    share_free(s);
}

/* A receiver with older content at [from, from + 1), that asks for nothing by itself. */
static lab *lab_held(world_share *s, uint32_t from)
{
    lab *l = lab_new(s, s->manifest.list.len);
    l->p->before = s;
    l->p->hold = true;
    assert_int_equal(kith_leaves_add(&l->p->older, &share_env, from, from + 1), KITH_OK);
    assert_int_equal(lab_run(l), KITH_OK);
    put_list(l, s);
    assert_int_equal(lab_run(l), KITH_OK);
    put_roots(l, s);
    assert_int_equal(lab_run(l), KITH_OK);
    return l;
}

static void ask_for(lab *l, uint32_t first, uint32_t end)
{
    uint64_t id;
    const kith_leaf_range range = {first, end};
    assert_int_equal(kith_share_rx_request(l->p->rx, l->p->now, &range, 1, &id), KITH_OK);
}

static void put_leaf(lab *l, const world_share *s, size_t entry, uint64_t id, uint64_t leaf, uint64_t of,
                     kith_bytes pairs)
{
    put_msg(l, (kith_share_msg){
                   .kind = KITH_SHARE_DATA, .id = id, .leaf = leaf, .pairs = pairs, .body = KITH_TREE_LEAF});
    kith_put_bytes(&l->w, kith_bytes_of(s->content[entry] + of * KITH_TREE_LEAF, KITH_TREE_LEAF));
}

/* Of two files of two leaves the sharer cannot read the first. The hints of the second are still those of its own leaves. */
static void behind_a_file_that_is_not_given_hints_are_at_their_leaves(void **state)
{
    (void)state;
    world_share *s = share_new();
    world_add(s, KITH_ENTRY_FILE, 0, "f", 2 * KITH_TREE_LEAF);
    world_add(s, KITH_ENTRY_FILE, 0, "g", 2 * KITH_TREE_LEAF);
    world_seal(s, &share_env);
    const kith_bytes pairs = kith_bytes_of(s->nodes[1] + KITH_BLAKE3_LEN, 2 * KITH_BLAKE3_LEN);
    for (uint32_t hinted = 0; hinted < 4; hinted++) {
        lab *l = lab_held(s, hinted);
        ask_for(l, 0, 4);
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 1, .code = KITH_SHARE_UNREADABLE});
        put_leaf(l, s, 1, 1, 2, 0, pairs);
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 1, .leaf = 3, .same = true});
        assert_int_equal(lab_run(l), hinted == 3 ? KITH_OK : KITH_EPROTO);
        if (hinted == 3) {
            assert_int_equal(l->p->lost[0], KITH_SHARE_UNREADABLE);
            assert_int_equal(l->p->have[1], 2 * KITH_TREE_LEAF);
            assert_int_equal(l->p->same, 1);
        }
        lab_free(l);
    }
    share_free(s);
}

/* The clock of the sharer's silence stands still until our own disk has taken what is here, and begins anew then. */
static void a_slow_disk_is_not_the_sharers_silence(void **state)
{
    (void)state;
    world_share *s = one_file(2 * KITH_TREE_LEAF);
    lab *l = lab_held(s, 0);
    kith_share_rx *x = l->p->rx;
    kith_share_rx_event ev;
    ask_for(l, 0, 1);
    ask_for(l, 1, 2);
    put_leaf(l, s, 0, 1, 0, 0, kith_bytes_of(s->nodes[0] + KITH_BLAKE3_LEN, 2 * KITH_BLAKE3_LEN));
    assert_int_equal(kith_share_rx_ops.recv(x, l->p->now, kith_wr_bytes(&l->w)), KITH_OK);
    assert_true(kith_share_rx_next(x, &ev) && ev.kind == KITH_SHARE_RX_BLOCK);
    assert_int_equal(kith_share_rx_ops.held(x), KITH_TREE_LEAF);
    assert_int_equal(kith_share_rx_ops.deadline(x), KITH_NEVER);
    l->p->now += 2 * KITH_SHARE_USELESS_TIMEOUT;
    kith_share_rx_stored(x, l->p->now, ev.block);
    assert_int_equal(kith_share_rx_ops.held(x), 0);
    assert_int_equal(kith_share_rx_ops.deadline(x), l->p->now + KITH_SHARE_SILENCE_TIMEOUT);
    kith_share_rx_ops.tick(x, l->p->now);
    assert_false(kith_share_rx_next(x, &ev));
    lab_free(l);
    share_free(s);
}

static uint8_t *kept_nodes(void *ctx, size_t entry)
{
    assert_int_equal(entry, 0);
    return ctx;
}

static void the_nodes_that_come_with_content_are_kept_for_who_serves_it_in_turn(void **state)
{
    (void)state;
    world_share *s = one_file(2 * KITH_TREE_LEAF);
    uint8_t kept[3 * KITH_BLAKE3_LEN] = {0};
    const kith_bytes pairs = kith_bytes_of(s->nodes[0] + KITH_BLAKE3_LEN, 2 * KITH_BLAKE3_LEN);
    lab *l = lab_held(s, 0);
    l->p->view.nodes = kept_nodes;
    l->p->view.ctx = kept;
    ask_for(l, 0, 1);
    put_leaf(l, s, 0, 1, 0, 0, pairs);
    assert_int_equal(lab_run(l), KITH_OK);
    assert_memory_equal(kept + KITH_BLAKE3_LEN, pairs.p, pairs.len);
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
        {"\xff\xff\x01", 3},                                      /* a head of 32 KiB and more */
        {"\x80\x21", 2},                                          /* 4224 bytes */
        {"\x80\x00", 2},                                          /* a length that is not minimal */
        {"\x02\x08\xff", 3},                                      /* a varint that does not end */
        {"\x04\x1a\x00\x1a\x00", 5},                              /* two messages in one frame */
        {"\x02\x18\x01", 3},                                      /* an offer that is a number */
        {"\x02\x22\x00", 3},                                      /* a request, from a sharer */
        {"\x02\x12\x00", 3},                                      /* a hello */
        {"\x02\x3a\x00", 3},                                      /* a receipt */
        {"\x02\x2a\x00", 3},                                      /* content before there was an offer */
        {"\x02\x6a\x00", 3},                                      /* a cancellation */
        {"\x02\x4a\x00", 3},                                      /* a wish for the list */
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

/* The last bytes, and right behind them the sharer's end: nothing of what arrived is lost. */
static void what_has_arrived_survives_the_sharers_end(void **state)
{
    (void)state;
    world_share *s = one_file(KITH_TREE_LEAF / 2);
    for (int i = 0; i < 3; i++) {
        lab *l = lab_asked(s);
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 1, .body = s->entries[0].size});
        kith_put_bytes(&l->w, kith_bytes_of(s->content[0], s->entries[0].size));
        if (i == 0)
            put_msg(l, (kith_share_msg){.kind = KITH_SHARE_ERROR, .code = KITH_SHARE_STOPPED});
        (void)kith_share_rx_ops.recv(l->p->rx, l->p->now, kith_wr_bytes(&l->w));
        if (i == 1)
            kith_share_rx_ops.eof(l->p->rx, l->p->now);
        else if (i == 2)
            kith_share_rx_ops.gone(l->p->rx, l->p->now, KITH_ERESET);
        l->w.len = 0;
        (void)lab_run(l);
        assert_int_equal(l->p->have[0], s->entries[0].size);
        lab_free(l);
    }
    share_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lies_about_the_list_are_found),
        cmocka_unit_test(a_list_may_come_in_parts),
        cmocka_unit_test(a_list_that_breaks_the_rules_is_declined),
        cmocka_unit_test(wrong_content_is_never_shown),
        cmocka_unit_test(what_is_the_same_must_have_been_hinted_at_and_be_right),
        cmocka_unit_test(hints_for_the_largest_request_are_said_in_full),
        cmocka_unit_test(more_than_was_asked_for_is_refused),
        cmocka_unit_test(nothing_is_taken_of_who_has_not_proved_to_have_the_code),
        cmocka_unit_test(what_a_source_has_is_noted_up_to_a_cap),
        cmocka_unit_test(later_versions_messages_are_skipped),
        cmocka_unit_test(a_sharer_that_has_us_wait_for_nothing_is_left),
        cmocka_unit_test(behind_a_file_that_is_not_given_hints_are_at_their_leaves),
        cmocka_unit_test(a_slow_disk_is_not_the_sharers_silence),
        cmocka_unit_test(the_nodes_that_come_with_content_are_kept_for_who_serves_it_in_turn),
        cmocka_unit_test(malformed_heads_kill_a_receiver),
        cmocka_unit_test(what_has_arrived_survives_the_sharers_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
