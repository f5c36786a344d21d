/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages on a stream: both machines against each other, every cap at the cap, and every way to be wrong. */
#include "apps/message_stream.h"

#include "crypto/crypto.h"
#include "unit/support.h"

static kith_signer *alice, *bob, *mallory;
static kith_pq_signer *alice_pq, *mallory_pq;
static kith_peer_id alice_id, bob_id;
static kith_pq_id alice_pq_id;
static uint8_t sealed[KITH_MESSAGE_MAX + 64], payload[KITH_MESSAGE_PAYLOAD_MAX];
#define RATE 1200 /* a minute */

static const uint64_t noon = 1800000000000u; /* ms */
static const kith_stream_ops *const tx_ops = &kith_message_tx_ops, *const rx_ops = &kith_message_rx_ops;

static kith_pq_signer *pq_of(uint8_t seed)
{
    uint8_t raw[32];
    kith_pq_signer *s = NULL;
    memset(raw, seed, sizeof raw);
    assert_int_equal(kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(raw, sizeof raw), &s), KITH_OK);
    return s;
}

static kith_signer *signer_of(uint8_t seed)
{
    uint8_t raw[32];
    memset(raw, seed, sizeof raw);
    kith_signer *s = kith_signer_new(raw);
    assert_non_null(s);
    return s;
}

static int set_up(void **state)
{
    (void)state;
    uint8_t key[KITH_PQ_KEY_MAX];
    kith_wr w = kith_wr_of(kith_span_of(key, sizeof key));
    alice = signer_of(1);
    bob = signer_of(2);
    mallory = signer_of(3);
    alice_id = support_peer_of(alice);
    bob_id = support_peer_of(bob);
    alice_pq = pq_of(1);
    mallory_pq = pq_of(3);
    kith_put_pq_key(&w, kith_pq_signer_alg(alice_pq), kith_pq_signer_public(alice_pq));
    alice_pq_id = kith_pq_id_of_key(kith_wr_bytes(&w));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kith_signer_free(alice);
    kith_signer_free(bob);
    kith_signer_free(mallory);
    kith_pq_signer_free(alice_pq);
    kith_pq_signer_free(mallory_pq);
    return 0;
}

static kith_message greeting(uint8_t id)
{
    kith_message m = {.time = noon,
                      .ttl = KITH_MESSAGE_TTL_DEFAULT,
                      .priority = KITH_MESSAGE_PRIORITY_DEFAULT,
                      .text = true,
                      .type = kith_bytes_str("text"),
                      .to = bob_id,
                      .payload = kith_bytes_str("good morning")};
    memset(m.id, id, sizeof m.id);
    return m;
}

static kith_bytes seal(const kith_message *m, const kith_signer *by, const kith_pq_signer *pq)
{
    static uint8_t room[KITH_SIG_MAX];
    kith_message_keys keys = {.signer = by, .pq_signer = pq, .room = room};
    kith_wr w = kith_wr_of(kith_span_of(sealed, sizeof sealed));
    assert_int_equal(kith_message_seal(m, &keys, &w), KITH_OK);
    return kith_wr_bytes(&w);
}

/* ---- judging ---- */

static kith_message_link from_alice(bool proven)
{
    kith_message_link l = {.self = bob_id, .peer = alice_id};
    if (proven)
        l.pq = alice_pq_id;
    return l;
}

static kith_message_code judge(const kith_message *m, const kith_signer *by, const kith_pq_signer *pq,
                               kith_message_link link, uint64_t now)
{
    kith_message out;
    return kith_message_judge(seal(m, by, pq), &link, now, &out);
}

static void a_message_is_taken_from_who_wrote_it_by_who_it_is_for(void **state)
{
    (void)state;
    kith_message m = greeting(1), out;
    kith_message_link link = from_alice(true);
    assert_int_equal(judge(&m, alice, NULL, link, noon), KITH_MESSAGE_TAKEN);
    assert_int_equal(kith_message_judge(kith_bytes_of("?", 1), &link, noon, &out), KITH_MESSAGE_MALFORMED);
    /* somebody else's, honestly signed, passed on */
    assert_int_equal(judge(&m, mallory, NULL, link, noon), KITH_MESSAGE_REFUSED);
    link.blocked = true;
    assert_int_equal(judge(&m, alice, NULL, link, noon), KITH_MESSAGE_REFUSED);
    link = from_alice(true);
    m.to = alice_id;
    assert_int_equal(judge(&m, alice, NULL, link, noon), KITH_MESSAGE_NOT_FOR_ME);
    m.to = (kith_peer_id){0};
    m.topic = kith_bytes_str("weather");
    assert_int_equal(judge(&m, alice, NULL, link, noon), KITH_MESSAGE_NOT_FOR_ME);
    /* a signature that is not */
    m = greeting(1);
    kith_bytes in = seal(&m, alice, NULL);
    sealed[in.len - 1] ^= 1;
    assert_int_equal(kith_message_judge(in, &link, noon, &out), KITH_MESSAGE_REFUSED);
}

static void it_is_taken_in_its_time(void **state)
{
    (void)state;
    kith_message m = greeting(1);
    kith_message_link link = from_alice(true);
    uint64_t end = noon + m.ttl * 1000u;
    assert_int_equal(judge(&m, alice, NULL, link, end), KITH_MESSAGE_TAKEN);
    assert_int_equal(judge(&m, alice, NULL, link, end + 1), KITH_MESSAGE_EXPIRED);
    assert_int_equal(judge(&m, alice, NULL, link, noon - KITH_MESSAGE_AHEAD_MAX), KITH_MESSAGE_TAKEN);
    assert_int_equal(judge(&m, alice, NULL, link, noon - KITH_MESSAGE_AHEAD_MAX - 1), KITH_MESSAGE_AHEAD);
}

static void the_link_vouches_for_the_post_quantum_key_or_the_message_proves_it(void **state)
{
    (void)state;
    kith_message m = greeting(1), out;
    kith_message_link proven = from_alice(true), bare = from_alice(false);
    assert_int_equal(judge(&m, alice, NULL, bare, noon), KITH_MESSAGE_TAKEN);
    assert_int_equal(judge(&m, alice, alice_pq, proven, noon), KITH_MESSAGE_TAKEN);
    assert_int_equal(judge(&m, alice, alice_pq, bare, noon), KITH_MESSAGE_TAKEN);
    /* another key than the link's: whoever could forge Ed25519 could write it */
    assert_int_equal(judge(&m, alice, mallory_pq, proven, noon), KITH_MESSAGE_REFUSED);
    /* where the link proves none, a key that is there has to have signed */
    kith_bytes in = seal(&m, alice, alice_pq);
    sealed[in.len - 1] ^= 1; /* the last byte of pq_sig */
    assert_int_equal(kith_message_judge(in, &bare, noon, &out), KITH_MESSAGE_REFUSED);
    assert_int_equal(kith_message_judge(in, &proven, noon, &out), KITH_MESSAGE_TAKEN);
}

/* ---- the two machines ---- */

typedef struct pair {
    support_heap heap;
    const kith_env *env;
    kith_message_door *door;
    kith_message_tx *tx;
    kith_message_rx *rx;
    kith_time now;
} pair;

static void open_pair(pair *p, uint32_t rate)
{
    *p = (pair){0};
    const kith_env *env = p->env = support_env(&p->heap);
    p->door = kith_message_door_new(env, rate);
    p->tx = kith_message_tx_new(env);
    p->rx = kith_message_rx_new(env, p->door, &alice_id);
    assert_true(p->door && p->tx && p->rx);
}

static void close_pair(pair *p)
{
    tx_ops->free(p->tx);
    rx_ops->free(p->rx);
    kith_message_door_free(p->door);
    support_heap_check(&p->heap);
}

/* Everything that one side has to say, in pieces. */
static kith_err flow(pair *p, bool forth, size_t step)
{
    static uint8_t buf[65536];
    for (;;) {
        size_t n = forth ? tx_ops->send(p->tx, p->now, kith_span_of(buf, step))
                         : rx_ops->send(p->rx, p->now, kith_span_of(buf, step));
        if (n == 0)
            return KITH_OK;
        kith_err e = forth ? rx_ops->recv(p->rx, p->now, kith_bytes_of(buf, n))
                           : tx_ops->recv(p->tx, p->now, kith_bytes_of(buf, n));
        kith_message_tx_check(p->tx);
        kith_message_rx_check(p->rx);
        if (e)
            return e;
    }
}

static kith_err put(pair *p, uint8_t id, kith_bytes message)
{
    uint8_t raw[KITH_MESSAGE_ID_LEN];
    memset(raw, id, sizeof raw);
    return kith_message_tx_put(p->tx, p->now, raw, message);
}

static void expect_receipt(pair *p, uint8_t id, kith_message_code code)
{
    kith_message_receipt r;
    assert_true(kith_message_tx_next(p->tx, &r));
    assert_int_equal(r.id[0], id);
    assert_int_equal(r.code, code);
}

static kith_message_arrival arrive(pair *p)
{
    kith_message_arrival a;
    assert_true(kith_message_rx_next(p->rx, &a));
    return a;
}

static void answer(pair *p, uint64_t number, uint8_t id, kith_message_code code)
{
    uint8_t raw[KITH_MESSAGE_ID_LEN];
    memset(raw, id, sizeof raw);
    kith_message_rx_answer(p->rx, p->now, number, raw, code);
    kith_message_rx_check(p->rx);
}

static void messages_are_answered_in_their_order_whatever_the_owners(void **state)
{
    (void)state;
    kith_message_receipt r;
    for (size_t step = 1; step < 40; step += 6) {
        pair p;
        open_pair(&p, RATE);
        for (uint8_t i = 1; i <= 3; i++)
            assert_int_equal(put(&p, i, kith_bytes_of("abc", i)), KITH_OK);
        assert_int_equal(flow(&p, true, step), KITH_OK);
        assert_true(rx_ops->pending(p.rx));
        uint64_t numbers[3];
        for (size_t i = 0; i < 3; i++) {
            kith_message_arrival a = arrive(&p);
            support_assert_bytes(a.message, kith_bytes_of("abc", i + 1));
            numbers[i] = a.number;
        }
        assert_false(rx_ops->pending(p.rx));
        answer(&p, numbers[2], 3, KITH_MESSAGE_HAD);
        answer(&p, numbers[1], 2, KITH_MESSAGE_BUSY);
        assert_int_equal(flow(&p, false, step), KITH_OK);
        assert_false(kith_message_tx_next(p.tx, &r));
        answer(&p, numbers[0], 1, KITH_MESSAGE_TAKEN);
        assert_int_equal(flow(&p, false, step), KITH_OK);
        expect_receipt(&p, 1, KITH_MESSAGE_TAKEN);
        expect_receipt(&p, 2, KITH_MESSAGE_BUSY);
        expect_receipt(&p, 3, KITH_MESSAGE_HAD);
        kith_message_tx_finish(p.tx);
        assert_int_equal(tx_ops->want(p.tx), KITH_STREAM_FIN);
        rx_ops->eof(p.rx, p.now);
        assert_int_equal(rx_ops->want(p.rx), KITH_STREAM_FIN);
        tx_ops->eof(p.tx, p.now);
        assert_null(kith_message_tx_why(p.tx));
        close_pair(&p);
    }
}

static void the_longest_message_fits_and_nothing_beside_it(void **state)
{
    (void)state;
    pair p;
    kith_message m = greeting(1);
    m.text = false;
    m.payload = kith_bytes_of(payload, sizeof payload);
    kith_bytes in = seal(&m, alice, alice_pq);
    open_pair(&p, RATE);
    assert_int_equal(put(&p, 1, in), KITH_OK);
    assert_int_equal(flow(&p, true, 65536), KITH_OK);
    kith_message_arrival a = arrive(&p);
    support_assert_bytes(a.message, in);
    /* the cap on bytes, to the byte */
    size_t left = KITH_MESSAGE_FLIGHT_BYTES - in.len - 3;
    assert_true(left - 3 > 16384 && kith_message_tx_room(p.tx, left - 3));
    assert_false(kith_message_tx_room(p.tx, left - 2));
    assert_int_equal(put(&p, 2, kith_bytes_of(payload, left - 2)), KITH_ELIMIT);
    answer(&p, a.number, 1, KITH_MESSAGE_TAKEN);
    assert_int_equal(flow(&p, false, 65536), KITH_OK);
    expect_receipt(&p, 1, KITH_MESSAGE_TAKEN);
    assert_false(kith_message_tx_room(p.tx, KITH_MESSAGE_MAX + 1));
    assert_true(kith_message_tx_room(p.tx, KITH_MESSAGE_MAX));
    assert_int_equal(put(&p, 2, kith_bytes_of(sealed, KITH_MESSAGE_MAX)), KITH_OK);
    assert_int_equal(flow(&p, true, 65536), KITH_OK);
    assert_int_equal(arrive(&p).message.len, KITH_MESSAGE_MAX);
    /* one more byte than a stream may have on the way */
    assert_int_equal(rx_ops->recv(p.rx, 0, kith_bytes_of("\1", 1)), KITH_ELIMIT);
    assert_int_equal(rx_ops->want(p.rx), KITH_STREAM_RESET);
    kith_message_rx_check(p.rx);
    close_pair(&p);
}

static void so_many_messages_are_on_the_way_and_not_one_more(void **state)
{
    (void)state;
    pair p;
    kith_message_receipt r;
    open_pair(&p, RATE);
    for (uint8_t i = 0; i < KITH_MESSAGE_FLIGHT; i++)
        assert_int_equal(put(&p, i, kith_bytes_of("x", 1)), KITH_OK);
    assert_int_equal(put(&p, 99, kith_bytes_of("x", 1)), KITH_ELIMIT);
    assert_int_equal(flow(&p, true, 100), KITH_OK);
    for (uint8_t i = 0; i < KITH_MESSAGE_FLIGHT; i++)
        answer(&p, arrive(&p).number, i, KITH_MESSAGE_TAKEN);
    assert_int_equal(flow(&p, false, 100), KITH_OK);
    assert_int_equal(put(&p, 99, kith_bytes_of("x", 1)), KITH_ELIMIT); /* receipts wait to be read */
    assert_true(kith_message_tx_next(p.tx, &r));
    assert_int_equal(put(&p, 99, kith_bytes_of("x", 1)), KITH_OK);
    /* one who does not keep to it */
    uint8_t many[2 * (KITH_MESSAGE_FLIGHT + 1)];
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = 1;
    assert_int_equal(rx_ops->recv(p.rx, 0, kith_bytes_of(many, sizeof many - 2)), KITH_OK);
    assert_int_equal(rx_ops->recv(p.rx, 0, kith_bytes_of(many, 2)), KITH_EPROTO);
    close_pair(&p);
}

static void a_peer_has_so_many_streams_and_bytes_in_all_of_them(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_message_door *d = kith_message_door_new(env, RATE);
    kith_message_rx *rx[KITH_MESSAGE_PEER_STREAMS], *other;
    for (size_t i = 0; i < KITH_MESSAGE_PEER_STREAMS; i++)
        assert_non_null(rx[i] = kith_message_rx_new(env, d, &alice_id));
    assert_null(kith_message_rx_new(env, d, &alice_id));
    assert_non_null(other = kith_message_rx_new(env, d, &bob_id));
    rx_ops->free(rx[3]);
    assert_non_null(rx[3] = kith_message_rx_new(env, d, &alice_id));
    static uint8_t most[KITH_MESSAGE_FLIGHT_BYTES] = {
        0x80 | (KITH_MESSAGE_MAX & 0x7f), 0x80 | (KITH_MESSAGE_MAX >> 7 & 0x7f), KITH_MESSAGE_MAX >> 14};
    kith_message_arrival a;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(rx_ops->recv(rx[i], 0, kith_bytes_of(most, sizeof most)), KITH_OK);
        assert_true(kith_message_rx_next(rx[i], &a));
    }
    assert_int_equal(rx_ops->recv(rx[2], 0, kith_bytes_of(most, 1)), KITH_ELIMIT);
    assert_int_equal(rx_ops->recv(other, 0, kith_bytes_of(most, 1)), KITH_OK);
    kith_message_rx_answer(rx[0], 0, 0, NULL, KITH_MESSAGE_BUSY);
    assert_int_equal(rx_ops->recv(rx[3], 0, kith_bytes_of(most, sizeof most)), KITH_OK);
    for (size_t i = 0; i < KITH_MESSAGE_PEER_STREAMS; i++) {
        kith_message_rx_check(rx[i]);
        rx_ops->free(rx[i]);
    }
    rx_ops->free(other);
    kith_message_door_free(d);
    support_heap_check(&heap);
}

static void a_peer_has_so_many_messages_a_minute_on_whatever_streams(void **state)
{
    (void)state;
    pair p;
    open_pair(&p, 6);
    for (uint8_t i = 0; i < 8; i++)
        assert_int_equal(put(&p, i, kith_bytes_of("x", 1)), KITH_OK);
    assert_int_equal(flow(&p, true, 100), KITH_OK);
    for (uint8_t i = 0; i < 6; i++)
        answer(&p, arrive(&p).number, i, KITH_MESSAGE_TAKEN);
    assert_false(rx_ops->pending(p.rx));
    assert_int_equal(flow(&p, false, 100), KITH_OK);
    for (uint8_t i = 0; i < 8; i++)
        expect_receipt(&p, i, i < 6 ? KITH_MESSAGE_TAKEN : KITH_MESSAGE_BUSY);
    /* another stream is no way around it, also when the first is over */
    rx_ops->free(p.rx);
    p.rx = kith_message_rx_new(p.env, p.door, &alice_id);
    assert_non_null(p.rx);
    assert_int_equal(rx_ops->recv(p.rx, p.now, kith_bytes_of("\1x", 2)), KITH_OK);
    assert_false(rx_ops->pending(p.rx));
    p.now += KITH_SEC(10);
    assert_int_equal(rx_ops->recv(p.rx, p.now, kith_bytes_of("\1x", 2)), KITH_OK);
    assert_true(rx_ops->pending(p.rx));
    close_pair(&p);
}

static void the_door_remembers_so_many_peers(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_message_door *d = kith_message_door_new(env, RATE);
    kith_message_rx *rx = NULL;
    kith_peer_id peer = alice_id;
    for (uint32_t i = 0; i < KITH_MESSAGE_VISITORS_MAX + 10; i++) {
        kith_store_be32(peer.b + 10, i);
        assert_non_null(rx = kith_message_rx_new(env, d, &peer));
        assert_int_equal(rx_ops->recv(rx, 1, kith_bytes_of("\1x", 2)), KITH_OK);
        rx_ops->free(rx);
    }
    size_t blocks = heap.blocks;
    assert_in_range(blocks, KITH_MESSAGE_VISITORS_MAX, KITH_MESSAGE_VISITORS_MAX + 2);
    /* a minute later they are forgotten */
    assert_non_null(rx = kith_message_rx_new(env, d, &peer));
    assert_int_equal(rx_ops->recv(rx, KITH_SEC(120), kith_bytes_of("\1x", 2)), KITH_OK);
    rx_ops->free(rx);
    assert_non_null(rx = kith_message_rx_new(env, d, &peer));
    assert_int_equal(heap.blocks, 3);
    rx_ops->free(rx);
    kith_message_door_free(d);
    support_heap_check(&heap);
}

static kith_err says(kith_bytes in)
{
    pair p;
    open_pair(&p, RATE);
    kith_err e = rx_ops->recv(p.rx, 0, in);
    assert_int_equal(rx_ops->want(p.rx), e ? KITH_STREAM_RESET : KITH_STREAM_OPEN);
    close_pair(&p);
    return e;
}

static void lengths_are_in_range_and_short(void **state)
{
    (void)state;
    assert_int_equal(says(kith_bytes_of("\0", 1)), KITH_EPROTO);
    assert_int_equal(says(kith_bytes_of("\x81\x00", 2)), KITH_EPROTO); /* not minimal */
    assert_int_equal(says(kith_bytes_of("\xff\xff\xff", 3)), KITH_EPROTO);
    assert_int_equal(says(kith_bytes_of("\xff\xff", 2)), KITH_OK);
    uint8_t len[4];
    kith_wr w = kith_wr_of(kith_span_of(len, sizeof len));
    kith_put_uvarint(&w, KITH_MESSAGE_MAX);
    assert_int_equal(says(kith_wr_bytes(&w)), KITH_OK);
    w.len = 0;
    kith_put_uvarint(&w, KITH_MESSAGE_MAX + 1);
    assert_int_equal(says(kith_wr_bytes(&w)), KITH_EPROTO);
}

/* What a sender makes of bytes behind one message that it has sent. */
static kith_err answers(kith_bytes in, kith_message_receipt *r)
{
    pair p;
    open_pair(&p, RATE);
    assert_int_equal(put(&p, 7, kith_bytes_of("x", 1)), KITH_OK);
    assert_int_equal(flow(&p, true, 100), KITH_OK);
    kith_err e = tx_ops->recv(p.tx, 0, in);
    if (!e && !kith_message_tx_next(p.tx, r))
        e = KITH_ESHORT;
    assert_int_equal(kith_message_tx_why(p.tx) != NULL, e && e != KITH_ESHORT);
    kith_message_tx_check(p.tx);
    close_pair(&p);
    return e;
}

static void receipts_are_for_what_was_sent_and_well_formed(void **state)
{
    (void)state;
    kith_message_receipt r;
    static const uint8_t taken[] = {20, 0x0a, 16, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0x10, 1};
    for (size_t n = 0; n < sizeof taken; n++)
        assert_int_equal(answers(kith_bytes_of(taken, n), &r), KITH_ESHORT);
    assert_int_equal(answers(kith_bytes_of(taken, sizeof taken), &r), KITH_OK);
    assert_int_equal(r.code, KITH_MESSAGE_TAKEN);
    uint8_t other[sizeof taken];
    memcpy(other, taken, sizeof taken);
    other[5] = 8; /* another message's */
    assert_int_equal(answers(kith_bytes_of(other, sizeof other), &r), KITH_EPROTO);
    assert_int_equal(answers(kith_bytes_of("\2\x10\6", 3), &r), KITH_OK); /* of one that it could not read */
    assert_int_equal(r.code, KITH_MESSAGE_BUSY);
    assert_int_equal(answers(kith_bytes_of("\4\x10\1\x18\5", 5), &r), KITH_OK); /* a later version's field */
    assert_int_equal(answers(kith_bytes_of("\2\x10\x63", 3), &r), KITH_OK);
    assert_int_equal(r.code, KITH_MESSAGE_REFUSED); /* a later version's code */
    assert_int_equal(answers(kith_bytes_of("\2\x10\0", 3), &r), KITH_EPROTO);
    assert_int_equal(answers(kith_bytes_of("\4\x10\1\x10\1", 5), &r), KITH_EPROTO);
    assert_int_equal(answers(kith_bytes_of("\4\x0a\0\x10\1", 5), &r), KITH_EPROTO); /* an id of no bytes */
    assert_int_equal(answers(kith_bytes_of("\2\x0a\x00", 3), &r), KITH_EPROTO);     /* no code */
    assert_int_equal(answers(kith_bytes_of("\0", 1), &r), KITH_EPROTO);
    assert_int_equal(answers(kith_bytes_of("\x41", 1), &r), KITH_EPROTO);
    assert_int_equal(answers(kith_bytes_of("\2\x10\1\2\x10\1", 6), &r), KITH_EPROTO); /* one too many */
    /* of a message that is not whole on the way */
    pair p;
    uint8_t byte;
    open_pair(&p, RATE);
    assert_int_equal(put(&p, 7, kith_bytes_of("x", 1)), KITH_OK);
    assert_int_equal(tx_ops->send(p.tx, 0, kith_span_of(&byte, 1)), 1);
    assert_int_equal(tx_ops->recv(p.tx, 0, kith_bytes_of("\2\x10\1", 3)), KITH_EPROTO);
    assert_int_equal(tx_ops->want(p.tx), KITH_STREAM_RESET);
    close_pair(&p);
}

static void silence_ends_both_sides(void **state)
{
    (void)state;
    pair p;
    open_pair(&p, RATE);
    /* nothing to say: the sender half-closes, and gives the peer some time for the same */
    assert_int_equal(tx_ops->deadline(p.tx), KITH_MESSAGE_IDLE);
    tx_ops->tick(p.tx, KITH_MESSAGE_IDLE - 1);
    assert_int_equal(tx_ops->want(p.tx), KITH_STREAM_OPEN);
    tx_ops->tick(p.tx, KITH_MESSAGE_IDLE);
    assert_int_equal(tx_ops->want(p.tx), KITH_STREAM_FIN);
    assert_false(kith_message_tx_room(p.tx, 1));
    tx_ops->tick(p.tx, KITH_MESSAGE_IDLE + KITH_MESSAGE_SILENCE);
    assert_int_equal(tx_ops->want(p.tx), KITH_STREAM_RESET);
    /* a receiver to whom nobody speaks */
    assert_int_equal(rx_ops->deadline(p.rx), KITH_MESSAGE_IDLE_PEER);
    assert_int_equal(rx_ops->recv(p.rx, KITH_SEC(1), kith_bytes_of("\2x", 2)), KITH_OK);
    assert_int_equal(rx_ops->deadline(p.rx), KITH_SEC(1) + KITH_MESSAGE_SILENCE);
    /* or whose owner has not made up its mind */
    assert_int_equal(rx_ops->recv(p.rx, KITH_SEC(2), kith_bytes_of("y", 1)), KITH_OK);
    assert_int_equal(rx_ops->deadline(p.rx), KITH_NEVER);
    p.now = KITH_SEC(3);
    answer(&p, arrive(&p).number, 1, KITH_MESSAGE_TAKEN);
    assert_int_equal(rx_ops->deadline(p.rx), KITH_SEC(3) + KITH_MESSAGE_IDLE_PEER);
    rx_ops->tick(p.rx, KITH_SEC(3) + KITH_MESSAGE_IDLE_PEER);
    assert_int_equal(rx_ops->want(p.rx), KITH_STREAM_RESET);
    close_pair(&p);
    /* a sender whom nobody answers */
    open_pair(&p, RATE);
    assert_int_equal(put(&p, 1, kith_bytes_of("x", 1)), KITH_OK);
    assert_int_equal(flow(&p, true, 10), KITH_OK);
    tx_ops->tick(p.tx, KITH_MESSAGE_SILENCE);
    assert_string_equal(kith_message_tx_why(p.tx), "the peer did not answer in time");
    close_pair(&p);
}

static void what_is_not_answered_at_the_end_is_told(void **state)
{
    (void)state;
    pair p;
    open_pair(&p, RATE);
    assert_int_equal(put(&p, 1, kith_bytes_of("x", 1)), KITH_OK);
    kith_message_tx_finish(p.tx);
    assert_int_equal(tx_ops->want(p.tx), KITH_STREAM_OPEN); /* it is not answered */
    tx_ops->eof(p.tx, 0);
    assert_non_null(kith_message_tx_why(p.tx));
    close_pair(&p);
    open_pair(&p, RATE);
    tx_ops->gone(p.tx, 0, KITH_EUNSUPPORTED);
    assert_string_equal(kith_message_tx_why(p.tx), "the peer does not take messages");
    /* the middle of a message is no end; and an answer to what is gone does nothing */
    assert_int_equal(rx_ops->recv(p.rx, 0, kith_bytes_of("\1x\2x", 4)), KITH_OK);
    kith_message_arrival a = arrive(&p);
    rx_ops->eof(p.rx, 0);
    assert_int_equal(rx_ops->want(p.rx), KITH_STREAM_RESET);
    answer(&p, a.number, 1, KITH_MESSAGE_TAKEN);
    assert_int_equal(rx_ops->recv(p.rx, 0, kith_bytes_of("x", 1)), KITH_ESTATE);
    close_pair(&p);
}

/* The nth allocation fails, for all n: the stream fails or a call does, nothing leaks, nothing is answered that was not. */
static void no_memory_is_an_error_and_no_more(void **state)
{
    (void)state;
    bool done = false;
    for (size_t n = 1; !done; n++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        heap.fail_at = n;
        pair p = {.door = kith_message_door_new(env, RATE)};
        p.tx = p.door ? kith_message_tx_new(env) : NULL;
        p.rx = p.tx ? kith_message_rx_new(env, p.door, &alice_id) : NULL;
        kith_err e = p.rx ? put(&p, 1, kith_bytes_of(payload, 5000)) : KITH_ENOMEM;
        if (!e)
            e = flow(&p, true, 700);
        if (!e) {
            answer(&p, arrive(&p).number, 1, KITH_MESSAGE_TAKEN);
            assert_int_equal(flow(&p, false, 700), KITH_OK);
            expect_receipt(&p, 1, KITH_MESSAGE_TAKEN);
            done = true;
        } else {
            assert_int_equal(e, KITH_ENOMEM);
        }
        tx_ops->free(p.tx);
        rx_ops->free(p.rx);
        kith_message_door_free(p.door);
        support_heap_check(&heap);
        assert_true(n < 100);
    }
}

static void codes_have_names(void **state)
{
    (void)state;
    for (int c = KITH_MESSAGE_TAKEN; c <= KITH_MESSAGE_AHEAD; c++) {
        for (int d = KITH_MESSAGE_TAKEN; d < c; d++)
            assert_string_not_equal(kith_message_code_name((kith_message_code)c),
                                    kith_message_code_name((kith_message_code)d));
    }
    assert_string_equal(kith_message_code_name((kith_message_code)77), "refused");
}

int main(void)
{
    if (kith_crypto_init())
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_taken_from_who_wrote_it_by_who_it_is_for),
        cmocka_unit_test(it_is_taken_in_its_time),
        cmocka_unit_test(the_link_vouches_for_the_post_quantum_key_or_the_message_proves_it),
        cmocka_unit_test(messages_are_answered_in_their_order_whatever_the_owners),
        cmocka_unit_test(the_longest_message_fits_and_nothing_beside_it),
        cmocka_unit_test(so_many_messages_are_on_the_way_and_not_one_more),
        cmocka_unit_test(a_peer_has_so_many_streams_and_bytes_in_all_of_them),
        cmocka_unit_test(a_peer_has_so_many_messages_a_minute_on_whatever_streams),
        cmocka_unit_test(the_door_remembers_so_many_peers),
        cmocka_unit_test(lengths_are_in_range_and_short),
        cmocka_unit_test(receipts_are_for_what_was_sent_and_well_formed),
        cmocka_unit_test(silence_ends_both_sides),
        cmocka_unit_test(what_is_not_answered_at_the_end_is_told),
        cmocka_unit_test(no_memory_is_an_error_and_no_more),
        cmocka_unit_test(codes_have_names),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
