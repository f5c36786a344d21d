/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A receiver against a hostile sharer: nothing that was not asked for, or does not lead up to the root, is shown. */
#include "unit/share_pair.h"

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

/* Gives the receiver what was written, and says how it ended; KITH_OK: it goes on. */
static kith_err lab_run(lab *l)
{
    uint64_t rnd = 4;
    (void)kith_share_rx_ops.recv(l->p->rx, l->p->now, kith_wr_bytes(&l->w));
    (void)rx_events(l->p, &rnd);
    l->w.len = 0;
    return l->p->rx_failed.kind == KITH_SHARE_RX_FAILED ? l->p->rx_failed.err : KITH_OK;
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
    l = lab_new(
        s, KITH_MANIFEST_MAX); /* the longest, of which nothing comes but a wrong proof: nothing is kept */
    uint8_t pairs[8 * 64] = {0};
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA,
                                .id = 1,
                                .body = KITH_TREE_LEAF,
                                .pairs = kith_bytes_of(pairs, sizeof pairs)});
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
        kith_share_msg m = {.kind = KITH_SHARE_DATA,
                            .id = 2,
                            .blob = 1,
                            .body = KITH_TREE_LEAF,
                            .pairs = kith_bytes_of(both, 128)};
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
    world_share *s = share_new();
    world_add(s, KITH_ENTRY_FILE, 0, "f", 100);
    world_add(s, KITH_ENTRY_FILE, 0, "g", 100);
    world_seal(s, &share_env);
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
    world_share *s = one_file(100);
    for (int i = 0; i < 3; i++) {
        lab *l = lab_new(s, s->source.list.len);
        put_list(l, s);
        assert_int_equal(lab_run(l), KITH_OK);
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_DATA, .id = 2, .blob = 1, .body = 100});
        kith_put_bytes(&l->w, kith_bytes_of(s->content[0], 100));
        if (i == 0)
            put_msg(l, (kith_share_msg){.kind = KITH_SHARE_ERROR, .code = KITH_SHARE_STOPPED});
        (void)kith_share_rx_ops.recv(l->p->rx, l->p->now, kith_wr_bytes(&l->w));
        if (i == 1)
            kith_share_rx_ops.eof(l->p->rx, l->p->now);
        else if (i == 2)
            kith_share_rx_ops.gone(l->p->rx, l->p->now, KITH_ERESET);
        l->w.len = 0;
        assert_int_equal(lab_run(l), KITH_OK);
        assert_int_equal(l->p->have[0], 100);
        assert_true(l->p->done);
        lab_free(l);
    }
    share_free(s);
}

/* ---- a sharer that cuts finer than ours ---- */

typedef struct fine {
    lab *l;
    const uint8_t *data;
    uint64_t cut;
    uint8_t pairs[KITH_TREE_PROOF_MAX];
    size_t pairs_len;
} fine;

/* Sends [from, to) of a blob whose tree is walked from there, leaves of at most `cut` bytes. */
static void put_fine(fine *f, uint64_t from, uint64_t to)
{
    if (to - from <= f->cut) {
        put_msg(f->l, (kith_share_msg){.kind = KITH_SHARE_DATA,
                                       .id = 2,
                                       .blob = 1,
                                       .offset = from,
                                       .body = to - from,
                                       .pairs = kith_bytes_of(f->pairs, f->pairs_len)});
        kith_put_bytes(&f->l->w, kith_bytes_of(f->data + from, (size_t)(to - from)));
        assert_false(f->l->w.bad);
        f->pairs_len = 0;
        return;
    }
    uint64_t left = 1024;
    while (left < to - from - left)
        left *= 2;
    kith_blake3_subtree(kith_bytes_of(f->data + from, (size_t)left), from / 1024, f->pairs + f->pairs_len);
    kith_blake3_subtree(kith_bytes_of(f->data + from + left, (size_t)(to - from - left)),
                        (from + left) / 1024, f->pairs + f->pairs_len + 32);
    f->pairs_len += 64;
    put_fine(f, from, from + left);
    put_fine(f, from + left, to);
}

static void a_sharer_may_cut_finer(void **state)
{
    (void)state;
    enum { SIZE = 2 * KITH_TREE_LEAF + 5000 };
    world_share *s = one_file(SIZE);
    for (uint64_t cut = KITH_TREE_LEAF_MIN; cut <= KITH_TREE_LEAF; cut *= 2) {
        fine f = {.l = lab_new(s, s->source.list.len), .data = s->content[0], .cut = cut};
        put_list(f.l, s);
        assert_int_equal(lab_run(f.l), KITH_OK);
        put_fine(&f, 0, SIZE);
        assert_int_equal(lab_run(f.l), KITH_OK);
        assert_int_equal(f.l->p->have[0], SIZE);
        assert_memory_equal(f.l->p->files[0], s->content[0], SIZE);
        lab_free(f.l);
    }
    fine f = {.l = lab_new(s, s->source.list.len),
              .data = s->content[0],
              .cut = KITH_TREE_LEAF_MIN / 2}; /* too fine */
    put_list(f.l, s);
    assert_int_equal(lab_run(f.l), KITH_OK);
    put_fine(&f, 0, SIZE);
    assert_int_equal(lab_run(f.l), KITH_EPROTO);
    lab_free(f.l);
    share_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lies_about_the_list_are_found),
        cmocka_unit_test(a_list_that_breaks_the_rules_is_declined),
        cmocka_unit_test(wrong_content_is_never_shown),
        cmocka_unit_test(more_than_was_asked_for_is_refused),
        cmocka_unit_test(later_versions_messages_are_skipped),
        cmocka_unit_test(malformed_heads_kill_a_receiver),
        cmocka_unit_test(what_has_arrived_survives_the_sharers_end),
        cmocka_unit_test(a_sharer_may_cut_finer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
