/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A sharer against a hostile receiver: requests out of range, floods, silence. */
#include "apps/share_pake.h"
#include "unit/share_pair.h"
#include "wire/pb.h"

static lab *tx_lab(world_share *s, bool hello)
{
    lab *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->p = pair_new(s);
    l->w = kith_wr_of(kith_span_of(l->buf, sizeof l->buf));
    if (hello)
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_HELLO,
                                    .version = KITH_SHARE_VERSION,
                                    .capability = kith_bytes_str(TOKEN)});
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
    if (half > 0) /* the offer */
        (void)kith_share_tx_ops.send(l->p->tx, l->p->now, kith_span_of(out, sizeof out));
    (void)kith_share_tx_ops.recv(l->p->tx, l->p->now, kith_bytes_of(l->buf + half, l->w.len - half));
    (void)tx_events(l->p, &rnd);
    while (room > 0) {
        size_t n = kith_share_tx_ops.send(l->p->tx, l->p->now,
                                          kith_span_of(out, room < sizeof out ? room : sizeof out));
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
    const uint32_t n = (uint32_t)s->manifest.leaves;
    const struct {
        kith_leaf_range g;
        kith_err want;
    } cases[] = {
        {{0, 1}, KITH_OK},
        {{0, n}, KITH_OK},
        {{n - 1, n}, KITH_OK},
        {{n - 1, n + 1}, KITH_EPROTO},
        {{n, n + 1}, KITH_EPROTO},
        {{0, n + 1}, KITH_EPROTO},
        {{UINT32_MAX - 1, UINT32_MAX}, KITH_EPROTO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lab *l = tx_lab(s, true);
        put_msg(l, (kith_share_msg){
                       .kind = KITH_SHARE_REQUEST, .id = 1, .range_count = 1, .ranges = {cases[i].g}});
        assert_int_equal(tx_lab_run(l, 10000), cases[i].want);
        lab_free(l);
    }
    share_free(s);
}

static void who_has_all_and_is_not_done_costs_no_blocks_and_has_its_time(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    lab *l = tx_lab(s, true);
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_REQUEST,
                                .id = 1,
                                .range_count = 1,
                                .ranges = {{0, (uint32_t)s->manifest.leaves}}});
    uint64_t bytes = 0, files;
    for (int i = 0; i < 1000 && bytes < s->manifest.bytes; i++) {
        assert_int_equal(tx_lab_run(l, 1 << 30), KITH_OK);
        kith_share_tx_progress(l->p->tx, &bytes, &files);
    }
    assert_int_equal(bytes, s->manifest.bytes);
    assert_int_equal(tx_lab_run(l, 1 << 30), KITH_OK);
    assert_true(heap.live < KITH_TREE_LEAF); /* it syncs what it has, or waits for another sharer */
    assert_true(kith_share_tx_ops.deadline(l->p->tx) == l->p->now + KITH_SHARE_IDLE_TIMEOUT);
    lab_free(l);
    share_free(s);
}

static void a_flood_of_requests_is_refused_at_the_cap(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    lab *l = tx_lab(s, true);
    kith_share_msg m = {
        .kind = KITH_SHARE_REQUEST, .range_count = 1, .ranges = {{0, (uint32_t)s->manifest.leaves}}};
    for (uint64_t i = 0; i < KITH_SHARE_REQUESTS + 20; i++) {
        m.id = i;
        put_msg(l, m);
    }
    assert_int_equal(tx_lab_run(l, 0), KITH_ELIMIT);
    lab_free(l);
    /* too many ranges, and too many blobs, in one request */
    l = tx_lab(s, true);
    for (size_t i = 0; i < KITH_SHARE_RANGES; i++)
        m.ranges[i] = (kith_leaf_range){0, 1};
    m.range_count = KITH_SHARE_RANGES;
    put_msg(l, m);
    assert_int_equal(tx_lab_run(l, 0), KITH_OK);
    static uint8_t req[400];
    kith_wr inner = kith_wr_of(kith_span_of(req, sizeof req));
    for (size_t i = 0; i < KITH_SHARE_RANGES + 1; i++)
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
    /* 64 times everything: more leaves than the cap */
    l = tx_lab(s, true);
    m.range_count = KITH_SHARE_RANGES;
    for (size_t i = 0; i < KITH_SHARE_RANGES; i++)
        m.ranges[i] = (kith_leaf_range){0, (uint32_t)s->manifest.leaves};
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
    kith_share_msg m = {
        .kind = KITH_SHARE_REQUEST, .range_count = 1, .ranges = {{0, (uint32_t)s->manifest.leaves}}};
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

/* A byte now and then is no hello, and later versions' messages are no reading. */
static void dripped_bytes_put_no_deadline_off(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    lab *l = tx_lab(s, false);
    const kith_time began = l->p->now;
    uint64_t rnd = 1;
    for (int i = 0; i < 3; i++) { /* of a head of 100 bytes */
        l->p->now += KITH_SHARE_HELLO_TIMEOUT / 4;
        (void)kith_share_tx_ops.recv(l->p->tx, l->p->now, kith_bytes_of("d", 1));
        assert_int_equal(kith_share_tx_ops.deadline(l->p->tx), began + KITH_SHARE_HELLO_TIMEOUT);
    }
    lab_free(l);

    l = tx_lab(s, true);
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_REQUEST,
                                .range_count = 1,
                                .ranges = {{0, (uint32_t)s->manifest.leaves}}});
    assert_int_equal(tx_lab_run(l, 0), KITH_OK);
    while (l->p->read_count > 0)
        (void)tx_events(l->p, &rnd);
    const kith_time at = kith_share_tx_ops.deadline(l->p->tx);
    l->p->now += KITH_SHARE_STALL_TIMEOUT / 2;
    (void)kith_share_tx_ops.recv(l->p->tx, l->p->now, kith_bytes_of("\0", 1)); /* an empty message */
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_CANCEL, .id = 77});
    (void)kith_share_tx_ops.recv(l->p->tx, l->p->now, kith_wr_bytes(&l->w));
    assert_int_equal(kith_share_tx_ops.deadline(l->p->tx), at);
    kith_share_tx_ops.tick(l->p->tx, at);
    (void)tx_events(l->p, &rnd);
    assert_int_equal(l->p->tx_failed.err, KITH_ETIMEOUT);
    /* nor are any bytes after the end of it */
    const kith_time end = kith_share_tx_ops.deadline(l->p->tx);
    (void)kith_share_tx_ops.recv(l->p->tx, at + KITH_SEC(1), kith_bytes_of("\0", 1));
    assert_int_equal(kith_share_tx_ops.deadline(l->p->tx), end);
    lab_free(l);
    share_free(s);
}

static void what_comes_out_of_turn_is_refused(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    const kith_share_msg hello = {
        .kind = KITH_SHARE_HELLO, .version = KITH_SHARE_VERSION, .capability = kith_bytes_str(TOKEN)};
    kith_share_msg request = {.kind = KITH_SHARE_REQUEST, .id = 1, .range_count = 1, .ranges = {{0, 6}}};
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
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_OFFER, .root = kith_bytes_of(s->source.list_root, 32)});
    assert_int_equal(tx_lab_run(l, 1000), KITH_EPROTO);
    lab_free(l);
    for (int i = 0; i < 3; i++) {
        kith_share_msg h = hello;
        l = tx_lab(s, false);
        if (i == 0)
            h.version = KITH_SHARE_VERSION - 1;
        else if (i == 1)
            h.capability = (kith_bytes){0}; /* nothing that would admit */
        else
            h.code_tag = kith_bytes_str("tag"); /* two things */
        put_msg(l, h);
        assert_int_equal(tx_lab_run(l, 1000), KITH_EPROTO);
        lab_free(l);
    }
    static const kith_share_msg wishes[] = {
        {.kind = KITH_SHARE_GET_LIST},
        {.kind = KITH_SHARE_GET_ROOTS},
        {.kind = KITH_SHARE_CANCEL, .id = 1},
        {.kind = KITH_SHARE_PAUSE, .on = true},
        {.kind = KITH_SHARE_PEERS},
        {.kind = KITH_SHARE_PAKE, .step = 1, .data = {(const uint8_t *)"x", 1}},
    };
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) { /* before the hello */
        l = tx_lab(s, false);
        put_msg(l, wishes[i]);
        assert_int_equal(tx_lab_run(l, 1000), KITH_EPROTO);
        lab_free(l);
    }
    for (int i = 0; i < 5;
         i++) { /* a list and hashes twice, or from behind their end; a proof of a code that was not named */
        l = tx_lab(s, true);
        put_msg(l, (kith_share_msg){.kind = i < 2   ? KITH_SHARE_GET_LIST
                                            : i < 4 ? KITH_SHARE_GET_ROOTS
                                                    : KITH_SHARE_PAKE,
                                    .step = 1,
                                    .data = kith_bytes_str("x"),
                                    .offset = i == 1 ? s->manifest.list.len : 0,
                                    .first = i == 3 ? s->count + 1 : 0});
        if (i == 0 || i == 2)
            put_msg(l, (kith_share_msg){.kind = i ? KITH_SHARE_GET_ROOTS : KITH_SHARE_GET_LIST});
        assert_int_equal(tx_lab_run(l, 1000), KITH_EPROTO);
        lab_free(l);
    }
    l = tx_lab(s, true); /* FIN in the middle */
    assert_int_equal(tx_lab_run(l, 1000), KITH_OK);
    kith_share_tx_ops.eof(l->p->tx, l->p->now);
    assert_int_equal(tx_lab_run(l, 1000), KITH_ECLOSED);
    lab_free(l);
    share_free(s);
}

static void a_proof_may_come_with_the_hello_and_one_at_a_time(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    uint8_t data[KITH_PAKE_FIRST_LEN + 1] = {7};
    for (int i = 0; i < 5; i++) {
        kith_share_tx_event ev;
        lab *l = tx_lab(s, false);
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_HELLO,
                                    .version = KITH_SHARE_VERSION,
                                    .code_tag = kith_bytes_str("0123456789abcdef")});
        for (int n = 0; n <= (i == 1); n++) /* one; two; one that is too long; those of the others' turns */
            put_msg(l, (kith_share_msg){.kind = KITH_SHARE_PAKE,
                                        .step = i < 3 ? 1 : (uint64_t)i - 1,
                                        .data = kith_bytes_of(data, KITH_PAKE_FIRST_LEN + (i == 2))});
        (void)kith_share_tx_ops.recv(l->p->tx, l->p->now, kith_wr_bytes(&l->w));
        if (i == 0) {
            assert_true(kith_share_tx_next(l->p->tx, &ev));
            assert_int_equal(ev.kind, KITH_SHARE_TX_ASKED);
            assert_true(kith_bytes_eq_str(ev.code_tag, "0123456789abcdef"));
            assert_true(kith_share_tx_next(l->p->tx, &ev));
            assert_int_equal(ev.kind, KITH_SHARE_TX_PAKE);
            assert_true(kith_bytes_eq(ev.data, kith_bytes_of(data, KITH_PAKE_FIRST_LEN)));
        }
        while (kith_share_tx_next(l->p->tx, &ev) && ev.kind != KITH_SHARE_TX_FAILED)
            ;
        assert_int_equal(ev.kind == KITH_SHARE_TX_FAILED && ev.err == KITH_EPROTO, i > 0);
        lab_free(l);
    }
    share_free(s);
}

/* A message of a kind that we do not know, as a later version may send: a head with a field 99, and a body. */
static void put_later(lab *l, uint64_t body)
{
    uint8_t head[32];
    kith_wr h = kith_wr_of(kith_span_of(head, sizeof head));
    kith_pb_put_num(&h, 1, body);
    kith_pb_put_bytes(&h, 99, kith_bytes_str("news"));
    kith_put_uvarint(&l->w, h.len);
    kith_put_bytes(&l->w, kith_wr_bytes(&h));
    for (uint64_t i = 0; i < body; i++)
        kith_put_u8(&l->w, 0xff);
}

static void what_a_later_version_says_is_skipped_with_its_body(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    lab *l = tx_lab(s, true);
    assert_int_equal(tx_lab_run(l, 1000), KITH_OK);
    put_later(l, 0);
    put_later(l, 100000);
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_REQUEST, .id = 1, .range_count = 1, .ranges = {{0, 6}}});
    for (size_t at = 0; at < l->w.len; at += 777)
        assert_int_equal(
            kith_share_tx_ops.recv(l->p->tx, l->p->now,
                                   kith_bytes_of(l->buf + at, l->w.len - at < 777 ? l->w.len - at : 777)),
            KITH_OK);
    l->w.len = 0;
    assert_int_equal(tx_lab_run(l, 4 << 20), KITH_OK);
    uint64_t bytes, files;
    kith_share_tx_progress(l->p->tx, &bytes, &files);
    assert_int_equal(bytes, s->entries[0].size); /* the request behind it was heard */
    lab_free(l);
    share_free(s);
}

static void who_asks_for_nothing_does_not_stay_by_talking(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    lab *l = tx_lab(s, true);
    assert_int_equal(tx_lab_run(l, 1 << 20), KITH_OK);
    kith_time at = kith_share_tx_ops.deadline(l->p->tx);
    assert_int_equal(at, l->p->now + KITH_SHARE_IDLE_TIMEOUT);
    for (int i = 0; i < 3; i++) { /* what a later version says, half a message, an answer to nothing */
        l->p->now += KITH_SHARE_IDLE_TIMEOUT / 8;
        put_later(l, 10);
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_CANCEL, .id = 77});
        assert_int_equal(tx_lab_run(l, 1 << 20), KITH_OK);
        assert_int_equal(kith_share_tx_ops.deadline(l->p->tx), at);
    }
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_GET_LIST}); /* that is something */
    (void)kith_share_tx_ops.recv(l->p->tx, l->p->now, kith_wr_bytes(&l->w));
    l->w.len = 0;
    at = kith_share_tx_ops.deadline(l->p->tx);
    assert_int_equal(at, l->p->now + KITH_SHARE_IDLE_TIMEOUT);
    lab_free(l);
    share_free(s);
}

static void malformed_messages_are_refused(void **state)
{
    (void)state;
    static uint8_t chat[4 + KITH_SHARE_TEXT_MAX + 1] = {0x12, 0xc9, 0x01}; /* a text of 201 bytes */
    const struct {
        kith_share_kind kind;
        kith_bytes inner;
    } cases[] = {
        {KITH_SHARE_HELLO, {(const uint8_t *)"\x0a\x00", 2}},           /* a version that is bytes */
        {KITH_SHARE_HELLO, {(const uint8_t *)"\x10\x01", 2}},           /* a capability that is a number */
        {KITH_SHARE_HELLO, {(const uint8_t *)"\x12\x20", 2}},           /* one that breaks off */
        {KITH_SHARE_REQUEST, {(const uint8_t *)"\x0a\x00", 2}},         /* an id that is bytes */
        {KITH_SHARE_REQUEST, {(const uint8_t *)"\x10\x01", 2}},         /* a range that is a number */
        {KITH_SHARE_REQUEST, {(const uint8_t *)"\x12\x02\x0a\x00", 4}}, /* a leaf that is bytes */
        {KITH_SHARE_REQUEST, {(const uint8_t *)"\x12\x04\x08\x01\x10\x00", 6}}, /* a range of none */
        {KITH_SHARE_REQUEST,
         {(const uint8_t *)"\x12\x08\x08\xff\xff\xff\xff\x0f\x10\x01", 10}},   /* the last and one */
        {KITH_SHARE_PEERS, {(const uint8_t *)"\x0a\x00", 2}},                  /* a peer without a name */
        {KITH_SHARE_PEERS, {(const uint8_t *)"\x08\x01", 2}},                  /* a peer that is a number */
        {KITH_SHARE_PEERS, {(const uint8_t *)"\x0a\x02\x08\x01", 4}},          /* a name that is one */
        {KITH_SHARE_PEERS, {(const uint8_t *)"\x0a\x05\x0a\x01x\x10\x01", 7}}, /* an address that is one */
        {KITH_SHARE_PEERS,
         {(const uint8_t *)"\x0a\x05\x0a\x01x\x12\x09", 7}},          /* an address that breaks off */
        {KITH_SHARE_PASS, {(const uint8_t *)"", 0}},                  /* a pass that is none */
        {KITH_SHARE_PASS, {(const uint8_t *)"\x08\x01", 2}},          /* a pass that is a number */
        {KITH_SHARE_PAKE, {(const uint8_t *)"\x08\x04\x12\x01x", 5}}, /* a fourth step */
        {KITH_SHARE_PAKE, {(const uint8_t *)"\x08\x01", 2}},          /* a proof of nothing */
        {KITH_SHARE_ERROR, {chat, 3 + KITH_SHARE_TEXT_MAX + 1}},
    };
    world_share *s = mixed_share();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lab *l = tx_lab(s, cases[i].kind != KITH_SHARE_HELLO);
        kith_put_uvarint(&l->w, kith_pb_bytes_len((uint32_t)cases[i].kind, cases[i].inner.len));
        kith_pb_put_bytes(&l->w, (uint32_t)cases[i].kind, cases[i].inner);
        assert_int_equal(tx_lab_run(l, 0), KITH_EPROTO);
        assert_string_equal(l->p->tx_failed.why, "a malformed message");
        lab_free(l);
    }
    /* a body that is bytes, two messages in one head, a head longer than any may be */
    static const char *const heads[] = {"\x02\x0a\x00", "\x04\x3a\x00\x3a\x00", "\x81\x20"};
    static const size_t lens[] = {3, 5, 2};
    for (size_t i = 0; i < 3; i++) {
        lab *l = tx_lab(s, true);
        kith_put_bytes(&l->w, kith_bytes_of(heads[i], lens[i]));
        assert_int_equal(tx_lab_run(l, 0), KITH_EPROTO);
        assert_string_equal(l->p->tx_failed.why,
                            i < 2 ? "a malformed message" : "a message that is too long");
        lab_free(l);
    }
    share_free(s);
}

/* Says hints for a request that was put: n of them, of all leaves one after another. */
static void put_hints(lab *l, const world_share *s, uint32_t leaves, size_t n)
{
    for (size_t i = 0; i < n; i++)
        kith_put_bytes(&l->w, kith_bytes_of(world_value(s, (uint32_t)i % leaves), KITH_SHARE_HINT_LEN));
    assert_false(l->w.bad);
}

/* Until nothing more comes. */
static void tx_lab_drain(lab *l, uint64_t *bytes, uint64_t *files)
{
    for (int i = 0; i < 1000; i++)
        assert_int_equal(tx_lab_run(l, 1 << 26), KITH_OK);
    kith_share_tx_progress(l->p->tx, bytes, files);
}

/* The largest requests, as many as may be, each with all hints: that costs 4 KiB, and no content is sent. */
static void hints_at_the_cap_cost_a_bounded_amount(void **state)
{
    (void)state;
    enum { LEAVES = KITH_SHARE_REQUEST_LEAVES / KITH_SHARE_RANGES };
    world_share *s = one_file((uint64_t)LEAVES * KITH_TREE_LEAF);
    lab *l = tx_lab(s, true);
    kith_share_msg m = {.kind = KITH_SHARE_REQUEST,
                        .range_count = KITH_SHARE_RANGES,
                        .body = KITH_SHARE_REQUEST_LEAVES * KITH_SHARE_HINT_LEN};
    for (size_t i = 0; i < KITH_SHARE_RANGES; i++)
        m.ranges[i] = (kith_leaf_range){0, LEAVES};
    assert_int_equal(tx_lab_run(l, 0), KITH_OK);
    const size_t before = heap.live;
    for (m.id = 1; m.id <= KITH_SHARE_REQUESTS; m.id++) {
        put_msg(l, m);
        put_hints(l, s, LEAVES, KITH_SHARE_REQUEST_LEAVES);
    }
    assert_int_equal(tx_lab_run(l, 0), KITH_OK);
    assert_true(heap.live - before <= sizeof(kith_share_block) * (KITH_SHARE_TX_BLOCKS + 1));
    uint64_t bytes, files;
    tx_lab_drain(l, &bytes, &files);
    assert_int_equal(bytes, 0);
    assert_int_equal(files, KITH_SHARE_REQUESTS * KITH_SHARE_RANGES);
    put_msg(l, m); /* and once more they are new */
    put_hints(l, s, LEAVES, KITH_SHARE_REQUEST_LEAVES);
    tx_lab_drain(l, &bytes, &files);
    assert_int_equal(files, (KITH_SHARE_REQUESTS + 1) * KITH_SHARE_RANGES);
    lab_free(l);
    share_free(s);
}

static void hints_of_a_wrong_length_are_refused(void **state)
{
    (void)state;
    world_share *s = one_file(3 * KITH_TREE_LEAF);
    static const uint64_t lengths[] = {
        1, 15, 16, 32, 47, 48, 49, 64, KITH_SHARE_BODY_MAX, KITH_TREE_SIZE_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        lab *l = tx_lab(s, true);
        put_msg(l, (kith_share_msg){.kind = KITH_SHARE_REQUEST,
                                    .id = 1,
                                    .range_count = 1,
                                    .ranges = {{0, 3}},
                                    .body = lengths[i]});
        assert_int_equal(tx_lab_run(l, 0), lengths[i] == 48 ? KITH_OK : KITH_EPROTO);
        lab_free(l);
    }
    share_free(s);
}

/* Of three leaves the first is hinted at rightly, the second wrongly, the third not; the hints come a byte at a time. */
static void only_what_is_the_same_is_spared(void **state)
{
    (void)state;
    world_share *s = one_file(3 * KITH_TREE_LEAF);
    lab *l = tx_lab(s, true);
    assert_int_equal(tx_lab_run(l, 0), KITH_OK);
    uint8_t hints[3 * KITH_SHARE_HINT_LEN] = {0};
    memcpy(hints, world_value(s, 0), KITH_SHARE_HINT_LEN);
    memcpy(hints + KITH_SHARE_HINT_LEN, world_value(s, 1), KITH_SHARE_HINT_LEN);
    hints[2 * KITH_SHARE_HINT_LEN - 1] ^= 1;
    put_msg(
        l,
        (kith_share_msg){
            .kind = KITH_SHARE_REQUEST, .id = 1, .range_count = 1, .ranges = {{0, 3}}, .body = sizeof hints});
    assert_int_equal(tx_lab_run(l, 100), KITH_OK);
    uint64_t bytes, files;
    for (size_t i = 0; i < sizeof hints; i++) {
        kith_share_tx_progress(l->p->tx, &bytes, &files);
        assert_true(bytes == 0 && files == 0 &&
                    l->p->read_count == 0); /* nothing before all of it is known */
        kith_put_u8(&l->w, hints[i]);
        assert_int_equal(tx_lab_run(l, i + 1 < sizeof hints ? 100 : 0), KITH_OK);
    }
    tx_lab_drain(l, &bytes, &files);
    assert_int_equal(bytes, 2 * KITH_TREE_LEAF);
    assert_int_equal(files, 1);
    lab_free(l);
    share_free(s);
}

static void blocks_on_loan_outlive_their_machine(void **state)
{
    (void)state;
    world_share *s = mixed_share();
    lab *l = tx_lab(s, true);
    put_msg(l, (kith_share_msg){.kind = KITH_SHARE_REQUEST,
                                .id = 1,
                                .range_count = 1,
                                .ranges = {{0, (uint32_t)s->manifest.leaves}}});
    (void)tx_lab_run(l, 0);
    kith_share_tx_event ev;
    kith_share_msg m = {.kind = KITH_SHARE_REQUEST, .id = 2, .range_count = 1, .ranges = {{0, 6}}};
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
        cmocka_unit_test(requests_out_of_range_are_refused),
        cmocka_unit_test(who_has_all_and_is_not_done_costs_no_blocks_and_has_its_time),
        cmocka_unit_test(a_flood_of_requests_is_refused_at_the_cap),
        cmocka_unit_test(a_receiver_that_never_reads_costs_a_bounded_amount),
        cmocka_unit_test(dripped_bytes_put_no_deadline_off),
        cmocka_unit_test(what_comes_out_of_turn_is_refused),
        cmocka_unit_test(what_a_later_version_says_is_skipped_with_its_body),
        cmocka_unit_test(who_asks_for_nothing_does_not_stay_by_talking),
        cmocka_unit_test(malformed_messages_are_refused),
        cmocka_unit_test(hints_at_the_cap_cost_a_bounded_amount),
        cmocka_unit_test(hints_of_a_wrong_length_are_refused),
        cmocka_unit_test(only_what_is_the_same_is_spared),
        cmocka_unit_test(blocks_on_loan_outlive_their_machine),
        cmocka_unit_test(a_proof_may_come_with_the_hello_and_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
