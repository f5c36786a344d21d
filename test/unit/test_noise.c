/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The Noise machine: both roles, every suite, bad peers, bad bytes, bad luck with memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/noise_pq.h"
#include "unit/noise_pair.h"
#include "unit/vectors.h"
#include "wire/pb.h"

/* Alice dials, Bob listens, Mallory is somebody else. Identities are made once; each test makes its machines.
 */
static side alice, bob, mallory;

static const kith_noise_suite *suite_of(const char *id)
{
    const kith_noise_suite *s = kith_noise_suite_find(kith_bytes_str(id));
    assert_non_null(s);
    return s;
}

#define XX suite_of("/noise")
#define HFS suite_of("/noise-mlkem768-hfs/0.2.0")

/* New machines whose randomness starts at the same place every time. */
static void renew(side *s, const kith_noise_config *cfg)
{
    side_reset(s);
    s->dice = (dice){.seed = cfg->initiator ? 1000 : 2000};
    s->noise = kith_noise_new(cfg);
    assert_non_null(s->noise);
}

static void begin(const kith_noise_suite *suite)
{
    kith_noise_config a = side_config(&alice, suite, true), b = side_config(&bob, suite, false);
    a.expected = bob.id;
    renew(&alice, &a);
    renew(&bob, &b);
}

static void joined(const kith_noise_suite *suite)
{
    begin(suite);
    pair_shake(&alice, &bob);
    assert_true(alice.ready && bob.ready);
}

static void end(void)
{
    side_reset(&alice);
    side_reset(&bob);
}

static void assert_failed(const side *s, kith_err err, const char *why)
{
    assert_int_equal(s->failed, 1);
    assert_int_equal(s->err, err);
    if (why)
        assert_string_equal(s->why, why);
}

/* ---- what should happen ---- */

static void the_table_names_each_suite_once_and_in_order(void **state)
{
    (void)state;
    for (size_t i = 1; i < kith_noise_suite_count; i++) {
        const kith_noise_suite *a = &kith_noise_suites[i - 1], *b = a + 1;
        assert_true(a->own != b->own ? a->own : a->own ? a->level < b->level : a->level > b->level);
    }
    assert_string_equal(kith_noise_suites[kith_noise_suite_count - 1].id, "/noise");
    for (size_t i = 0; i < kith_noise_suite_count; i++)
        assert_ptr_equal(kith_noise_suite_find(kith_bytes_str(kith_noise_suites[i].id)),
                         &kith_noise_suites[i]);
    assert_null(kith_noise_suite_find(kith_bytes_str("/noise/")));
    assert_null(kith_noise_suite_find((kith_bytes){0}));
}

#define PQ65 (3 + (4 + 1958) + (4 + 3309)) /* extensions with key and signature of ML-DSA-65 */

static void every_suite_shakes_hands_in_messages_of_the_known_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        size_t a, b, c; /* post-quantum.md 2.2, with the 2 bytes of length */
    } sizes[] = {{"/noise-mlkem768-hfs/0.2.0", 1218, 1306, 170},
                 {"/kith/noise-mlkem1024-hfs/1", 1602, 1786 + PQ65, 170 + PQ65},
                 {"/kith/noise-mlkem768-hfs/1", 1218, 1306 + PQ65, 170 + PQ65},
                 {"/kith/noise-mlkem512-hfs/1", 834, 986 + PQ65, 170 + PQ65},
                 {"/noise", 34, 202, 170}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t msg[8192];
        begin(suite_of(sizes[i].id));
        assert_int_equal(side_send(&bob, msg), 0);
        assert_int_equal(kith_noise_send(alice.noise, 0, kith_span_of(msg, sizes[i].a - 1)), 0);
        assert_int_equal(side_send(&alice, msg), sizes[i].a);
        assert_int_equal(side_send(&alice, msg), 0);
        side_feed(&bob, kith_bytes_of(msg, sizes[i].a));
        assert_false(bob.ready || bob.failed);
        assert_int_equal(side_send(&bob, msg), sizes[i].b);
        side_feed(&alice, kith_bytes_of(msg, sizes[i].b));
        assert_true(alice.ready);
        /* Nothing may overtake message C. */
        assert_int_equal(kith_noise_room(alice.noise, kith_span_of(msg, sizeof msg)).len, 0);
        assert_int_equal(side_send(&alice, msg), sizes[i].c);
        assert_true(kith_noise_room(alice.noise, kith_span_of(msg, sizeof msg)).len > 0);
        side_feed(&bob, kith_bytes_of(msg, sizes[i].c));
        assert_true(bob.ready);

        assert_true(kith_peer_id_eq(kith_noise_peer(alice.noise), &bob.id));
        assert_true(kith_peer_id_eq(kith_noise_peer(bob.noise), &alice.id));
        assert_true(kith_bytes_eq(kith_noise_peer_key(alice.noise), kith_peer_id_inline_key(&bob.id)));
        assert_int_equal(kith_noise_peer_key(bob.noise).len, KITH_PUBKEY_ED25519_LEN);
        assert_memory_equal(kith_noise_hash(alice.noise), kith_noise_hash(bob.noise), 32);
        assert_int_equal(kith_noise_muxer(alice.noise).len, 0);
    }
    end();
}

static void talk(side *from, side *to, size_t len)
{
    uint8_t *text = malloc(len), *wire = malloc(len + KITH_NOISE_OVERHEAD);
    for (size_t i = 0; i < len; i++)
        text[i] = (uint8_t)(i * 7 + len);
    size_t before = to->got_len;
    assert_int_equal(side_seal(from, text, len, wire), len + KITH_NOISE_OVERHEAD);
    side_feed(to, kith_bytes_of(wire, len + KITH_NOISE_OVERHEAD));
    assert_int_equal(to->got_len, before + len);
    assert_memory_equal(to->got + before, text, len);
    free(text), free(wire);
}

static void records_of_every_size_arrive_both_ways(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 15, 16, 17, 255, 256, 4096, 65518, KITH_NOISE_PLAIN_MAX};
    joined(HFS);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        talk(&alice, &bob, sizes[i]);
        talk(&bob, &alice, sizes[i]);
        talk(&bob, &alice, sizes[i]);
    }
    end();
}

static void room_leaves_space_for_length_and_tag(void **state)
{
    (void)state;
    joined(XX);
    uint8_t *out = malloc(70000);
    assert_int_equal(kith_noise_room(alice.noise, kith_span_of(out, 0)).len, 0);
    assert_int_equal(kith_noise_room(alice.noise, kith_span_of(out, 18)).len, 0);
    assert_int_equal(kith_noise_room(alice.noise, kith_span_of(out, 19)).len, 1);
    assert_ptr_equal(kith_noise_room(alice.noise, kith_span_of(out, 19)).p, out + 2);
    assert_int_equal(kith_noise_room(alice.noise, kith_span_of(out, 65537)).len, KITH_NOISE_PLAIN_MAX);
    assert_int_equal(kith_noise_room(alice.noise, kith_span_of(out, 70000)).len, KITH_NOISE_PLAIN_MAX);
    free(out);
    end();
}

/* The whole conversation as two streams of bytes: handshake, then records. */
static size_t record_stream(uint8_t *from_alice)
{
    uint8_t msg[8192];
    begin(HFS);
    size_t len = side_send(&alice, from_alice);
    side_feed(&bob, kith_bytes_of(from_alice, len));
    size_t b = side_send(&bob, msg);
    side_feed(&alice, kith_bytes_of(msg, b));
    len += side_send(&alice, from_alice + len);
    len += side_seal(&alice, "first", 5, from_alice + len);
    len += side_seal(&alice, "second", 6, from_alice + len);
    return len;
}

static void a_stream_may_be_cut_anywhere(void **state)
{
    (void)state;
    uint8_t stream[4096], msg[8192];
    size_t len = record_stream(stream);
    for (size_t cut = 0; cut <= len; cut++) {
        kith_noise_config b = side_config(&bob, HFS, false);
        renew(&bob, &b);
        side_feed(&bob, kith_bytes_of(stream, cut));
        side_feed(&bob, kith_bytes_of(stream + cut, len - cut));
        (void)side_send(&bob, msg);
        assert_true(bob.ready && !bob.failed);
        assert_int_equal(bob.got_len, 11);
        assert_memory_equal(bob.got, "firstsecond", 11);
    }
    end();
}

static void a_stream_may_come_byte_by_byte(void **state)
{
    (void)state;
    uint8_t stream[4096];
    size_t len = record_stream(stream);
    size_t before = bob.heap.live;
    kith_noise_config b = side_config(&bob, HFS, false);
    renew(&bob, &b);
    for (size_t i = 0; i < len; i++)
        side_feed(&bob, kith_bytes_of(stream + i, 1));
    assert_true(bob.ready && !bob.failed);
    assert_int_equal(bob.datas, 2);
    assert_memory_equal(bob.got, "firstsecond", 11);
    uint8_t msg[8192];
    (void)side_send(&bob, msg);
    assert_true(bob.heap.live <= before);
    end();
}

static void many_records_come_in_one_piece(void **state)
{
    (void)state;
    joined(XX);
    uint8_t *wire = malloc(200 * 64), text[32];
    size_t len = 0, sum = 0;
    for (size_t i = 1; i <= 200; i++) {
        memset(text, (int)i, sizeof text);
        len += side_seal(&alice, text, 1 + i % 32, wire + len);
        sum += 1 + i % 32;
    }
    size_t before = bob.heap.calls;
    side_feed(&bob, kith_bytes_of(wire, len));
    assert_int_equal(bob.datas, 200);
    assert_int_equal(bob.got_len, sum);
    assert_int_equal(bob.heap.calls, before); /* nothing is copied or allocated */
    free(wire);
    end();
}

static void an_open_machine_is_small_and_an_idle_one_buffers_nothing(void **state)
{
    (void)state;
    size_t a = alice.heap.live, b = bob.heap.live;
    alice.heap.peak = 0;
    joined(HFS);
    assert_true(alice.heap.peak - a < 8192);
    size_t open = bob.heap.live - b;
    assert_true(open < 1024);
    uint8_t *wire = malloc(65537), *text = calloc(1, 65519);
    (void)side_seal(&alice, text, 65519, wire);
    side_feed(&bob, kith_bytes_of(wire, 2)); /* a length alone costs nothing */
    assert_int_equal(bob.heap.live - b, open);
    side_feed(&bob, kith_bytes_of(wire + 2, 1));
    assert_int_equal(bob.heap.live - b, open + 65535);
    side_feed(&bob, kith_bytes_of(wire + 3, 65534));
    assert_int_equal(bob.heap.live - b, open);
    assert_int_equal(bob.got_len, 65519);
    free(wire), free(text);
    end();
}

static void the_same_dice_give_the_same_bytes(void **state)
{
    (void)state;
    uint8_t one[4096], two[4096];
    size_t len = record_stream(one);
    assert_int_equal(record_stream(two), len);
    assert_memory_equal(one, two, len);
    end();
}

static void each_side_may_insist_on_its_peer(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 4; wrong++) {
        kith_noise_config a = side_config(&alice, HFS, true), b = side_config(&bob, HFS, false);
        a.expected = wrong & 1 ? mallory.id : bob.id;
        b.expected = wrong & 2 ? mallory.id : alice.id;
        renew(&alice, &a);
        renew(&bob, &b);
        pair_shake(&alice, &bob);
        if (wrong & 1) {
            assert_failed(&alice, KITH_EAUTH, "the peer is not the one that was expected");
            assert_false(alice.ready || bob.ready || bob.failed);
        } else {
            assert_true(alice.ready);
            assert_int_equal(bob.ready, !(wrong & 2));
            if (wrong & 2)
                assert_failed(&bob, KITH_EAUTH, NULL);
        }
    }
    end();
}

/* ---- early muxer negotiation ---- */

typedef struct offer {
    const char *names[4];
} offer;

static size_t names_of(const offer *o, kith_bytes out[4])
{
    size_t n = 0;
    while (n < 4 && o->names[n]) {
        out[n] = kith_bytes_str(o->names[n]);
        n++;
    }
    return n;
}

static void the_muxer_is_the_first_of_the_initiator_that_both_have(void **state)
{
    (void)state;
    static const struct {
        offer initiator, responder;
        const char *choice;
    } cases[] = {
        {{{"/yamux/1.0.0"}}, {{"/yamux/1.0.0"}}, "/yamux/1.0.0"},
        {{{"/mplex/6.7.0", "/yamux/1.0.0"}}, {{"/yamux/1.0.0", "/mplex/6.7.0"}}, "/mplex/6.7.0"},
        {{{"/qmux/1", "/yamux/1.0.0"}}, {{"/a", "/yamux/1.0.0", "/b"}}, "/yamux/1.0.0"},
        {{{"/yamux/1.0.0"}}, {{"/mplex/6.7.0"}}, ""},
        {{{"/yamux/1.0.0"}}, {{NULL}}, ""},
        {{{NULL}}, {{"/yamux/1.0.0"}}, ""},
        {{{"/yamux/1.0.0"}}, {{"/yamux/1.0.00", "/yamux"}}, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t s = 0; s < kith_noise_suite_count; s++) {
            kith_bytes mi[4], mr[4];
            kith_noise_config a = side_config(&alice, &kith_noise_suites[s], true);
            kith_noise_config b = side_config(&bob, &kith_noise_suites[s], false);
            a.muxers = mi;
            a.muxer_count = names_of(&cases[i].initiator, mi);
            b.muxers = mr;
            b.muxer_count = names_of(&cases[i].responder, mr);
            renew(&alice, &a);
            renew(&bob, &b);
            pair_shake(&alice, &bob);
            assert_true(alice.ready && bob.ready);
            assert_true(kith_bytes_eq_str(kith_noise_muxer(alice.noise), cases[i].choice));
            assert_true(kith_bytes_eq_str(kith_noise_muxer(bob.noise), cases[i].choice));
        }
    }
    end();
}

/* ---- peers that do not follow the protocol ---- */

/* A peer made of the bare core, which may say anything in its payloads. Plays against `to`. */
typedef struct rogue {
    kith_noise_hs hs;
    kith_dh *s;
    uint8_t pub[32];
} rogue;

static void rogue_begin(rogue *r, const kith_noise_suite *suite, bool initiator)
{
    uint8_t secret[32];
    memset(secret, 0x42, sizeof secret);
    r->s = kith_dh_new(secret);
    kith_dh_public(r->s, r->pub);
    mallory.dice = (dice){.seed = 3000};
    assert_int_equal(kith_noise_hs_init(&r->hs, suite, initiator, r->s, (kith_bytes){0}), KITH_OK);
    kith_noise_hs_draw(&r->hs, &mallory.env);
}

static void rogue_end(rogue *r)
{
    kith_noise_hs_fini(&r->hs);
    kith_dh_free(r->s);
}

static void rogue_write(rogue *r, kith_bytes payload, side *to)
{
    size_t len = kith_noise_hs_len(&r->hs, payload.len);
    uint8_t *msg = malloc(2 + len);
    kith_store_be16(msg, (uint16_t)len);
    assert_int_equal(kith_noise_hs_write(&r->hs, payload, msg + 2), KITH_OK);
    side_feed(to, kith_bytes_of(msg, 2 + len));
    free(msg);
}

static void rogue_read(rogue *r, side *from)
{
    uint8_t msg[8192];
    kith_bytes payload;
    size_t len = side_send(from, msg);
    assert_true(len > 2);
    assert_int_equal(kith_noise_hs_read(&r->hs, kith_span_of(msg + 2, len - 2), &payload), KITH_OK);
}

/* Whoever is against the rogue, after the rogue's payload. */
static side *against_rogue(const kith_noise_suite *suite, bool initiator, kith_bytes payload)
{
    static const char *muxers_text = "/yamux/1.0.0";
    kith_bytes muxers[1] = {kith_bytes_str(muxers_text)};
    side *us = initiator ? &alice : &bob;
    kith_noise_config cfg = side_config(us, suite, initiator);
    cfg.muxers = muxers;
    cfg.muxer_count = 1;
    renew(us, &cfg);
    rogue r;
    rogue_begin(&r, suite, !initiator);
    if (initiator) {
        rogue_read(&r, us);
        rogue_write(&r, payload, us);
    } else {
        rogue_write(&r, (kith_bytes){0}, us);
        rogue_read(&r, us);
        rogue_write(&r, payload, us);
    }
    rogue_end(&r);
    assert_int_equal(us->ready + us->failed, 1);
    return us;
}

static const char static_prefix[] = "noise-libp2p-static-key:";

/* Mallory's key and her signature over the rogue's static key (or over something else). */
static void honest_identity(kith_wr *key, uint8_t sig[64], bool right)
{
    uint8_t raw[32], text[24 + 32];
    kith_signer_public(mallory.signer, raw);
    kith_pubkey_ed25519(raw, kith_put_room(key, KITH_PUBKEY_ED25519_LEN));
    memcpy(text, static_prefix, 24);
    unhex("132c442be010fbd57e72603328aa76e71fccc1503aae219327d14d9c9993f472", text + 24, 32);
    if (!right)
        text[55] ^= 1;
    assert_int_equal(kith_signer_sign(mallory.signer, kith_bytes_of(text, sizeof text), sig), KITH_OK);
}

typedef enum twist {
    HONEST,
    EMPTY,
    NO_KEY,
    NO_SIG,
    EMPTY_KEY,
    SIG_OVER_ANOTHER_KEY,
    SIG_SHORT,
    KEY_OF_BOB,
    KEY_TWICE,
    SIG_TWICE,
    EXT_TWICE,
    KEY_AS_NUMBER,
    CUT_SHORT,
    KEY_NOT_CANONICAL,
    KEY_OF_UNKNOWN_TYPE,
    KEY_TOO_LONG,
    UNKNOWN_FIELDS,
    AS_LONG_AS_ALLOWED,
    LONGER_THAN_ALLOWED,
    EXT_MALFORMED,
    EXT_WITH_UNKNOWN_FIELDS,
    EXT_WITH_100_MUXERS,
    EXT_WITH_101_MUXERS,
    EXT_WITH_EMPTY_NAMES,
    TWISTS
} twist;

static kith_bytes twisted_payload(twist t, uint8_t *buf, size_t cap)
{
    static uint8_t scratch[9000];
    uint8_t key_b[64], sig[64];
    kith_wr key = kith_wr_of(kith_span_of(key_b, sizeof key_b));
    honest_identity(&key, sig, t != SIG_OVER_ANOTHER_KEY);
    kith_bytes k = kith_wr_bytes(&key), s = kith_bytes_of(sig, sizeof sig);
    kith_wr w = kith_wr_of(kith_span_of(buf, cap));
    kith_wr x = kith_wr_of(kith_span_of(scratch, sizeof scratch));
    if (t == EMPTY)
        return (kith_bytes){0};
    if (t == EMPTY_KEY)
        k = (kith_bytes){0};
    if (t == KEY_OF_BOB)
        k = kith_peer_id_inline_key(&bob.id);
    if (t == KEY_NOT_CANONICAL)
        kith_put_u8(&key, 0), k = kith_wr_bytes(&key);
    if (t == KEY_OF_UNKNOWN_TYPE)
        key_b[1] = 4;
    if (t == KEY_TOO_LONG) {
        kith_pb_put_num(&x, 1, 0);
        kith_pb_put_bytes(&x, 2, kith_bytes_of(scratch + 4096, 4000));
        k = kith_wr_bytes(&x);
    }
    if (t == SIG_SHORT)
        s.len--;
    if (t == KEY_AS_NUMBER)
        kith_pb_put_num(&w, 1, 7);
    else if (t != NO_KEY)
        kith_pb_put_bytes(&w, 1, k);
    if (t == KEY_TWICE)
        kith_pb_put_bytes(&w, 1, k);
    if (t != NO_SIG)
        kith_pb_put_bytes(&w, 2, s);
    if (t == SIG_TWICE)
        kith_pb_put_bytes(&w, 2, s);
    if (t == UNKNOWN_FIELDS) {
        kith_pb_put_str(&w, 3, "the old data field");
        kith_pb_put_num(&w, 5, 99);
        kith_pb_put_fixed64(&w, 1u << 28, 99);
        kith_pb_put_str(&w, 1101, "an experiment");
    }
    if (t == EXT_TWICE)
        kith_pb_put_bytes(&w, 4, (kith_bytes){0}), kith_pb_put_bytes(&w, 4, (kith_bytes){0});
    if (t == EXT_MALFORMED)
        kith_pb_put_bytes(&w, 4, kith_bytes_str("\x12\x7f"));
    if (t == EXT_WITH_UNKNOWN_FIELDS) {
        kith_pb_put_str(&x, 1, "a certificate hash");
        kith_pb_put_str(&x, 2, "/yamux/1.0.0");
        kith_pb_put_num(&x, 3, 1);
        kith_pb_put_str(&x, 1102, "an experiment");
        kith_pb_put_bytes(&w, 4, kith_wr_bytes(&x));
    }
    if (t == EXT_WITH_100_MUXERS || t == EXT_WITH_101_MUXERS) {
        for (int i = t == EXT_WITH_100_MUXERS ? 1 : 0; i < 100; i++)
            kith_pb_put_str(&x, 2, "/another/1");
        kith_pb_put_str(&x, 2, "/yamux/1.0.0");
        kith_pb_put_bytes(&w, 4, kith_wr_bytes(&x));
    }
    if (t == EXT_WITH_EMPTY_NAMES) {
        kith_pb_put_str(&x, 2, "");
        kith_pb_put_str(&x, 2, "");
        kith_pb_put_bytes(&w, 4, kith_wr_bytes(&x));
    }
    if (t == AS_LONG_AS_ALLOWED || t == LONGER_THAN_ALLOWED) {
        size_t want = t == AS_LONG_AS_ALLOWED ? 8192 : 8193;
        kith_pb_put_bytes(&w, 1101,
                          kith_bytes_of(scratch, want - w.len - kith_pb_bytes_len(1101, 5000) + 5000));
        assert_int_equal(w.len, want);
    }
    assert_false(w.bad || x.bad);
    kith_bytes out = kith_wr_bytes(&w);
    if (t == CUT_SHORT)
        out.len--;
    return out;
}

static void a_payload_is_taken_or_refused_for_the_right_reason(void **state)
{
    (void)state;
    static const struct {
        kith_err err;
        const char *why; /* or the muxer */
    } want[TWISTS] = {
        [HONEST] = {KITH_OK, ""},
        [EMPTY] = {KITH_EPROTO, "the peer's handshake payload lacks its identity"},
        [NO_KEY] = {KITH_EPROTO, "the peer's handshake payload lacks its identity"},
        [NO_SIG] = {KITH_EPROTO, "the peer's handshake payload lacks its identity"},
        [EMPTY_KEY] = {KITH_EPROTO, "the peer's handshake payload lacks its identity"},
        [SIG_OVER_ANOTHER_KEY] = {KITH_ECRYPTO, "the peer's identity key or its signature is wrong"},
        [SIG_SHORT] = {KITH_ECRYPTO, "the peer's identity key or its signature is wrong"},
        [KEY_OF_BOB] = {KITH_ECRYPTO, "the peer's identity key or its signature is wrong"},
        [KEY_TWICE] = {KITH_EPROTO, "the peer's handshake payload is malformed"},
        [SIG_TWICE] = {KITH_EPROTO, "the peer's handshake payload is malformed"},
        [EXT_TWICE] = {KITH_EPROTO, "the peer's handshake payload is malformed"},
        [KEY_AS_NUMBER] = {KITH_EPROTO, "the peer's handshake payload is malformed"},
        [CUT_SHORT] = {KITH_EPROTO, "the peer's handshake payload is malformed"},
        [KEY_NOT_CANONICAL] = {KITH_EPROTO, "the peer's identity key is malformed"},
        [KEY_OF_UNKNOWN_TYPE] = {KITH_EUNSUPPORTED, "the peer's identity key has an unknown type"},
        [KEY_TOO_LONG] = {KITH_EPROTO, "the peer's identity key is malformed"},
        [UNKNOWN_FIELDS] = {KITH_OK, ""},
        [AS_LONG_AS_ALLOWED] = {KITH_OK, ""},
        [LONGER_THAN_ALLOWED] = {KITH_EPROTO, "the handshake message is too long"},
        [EXT_MALFORMED] = {KITH_EPROTO, "the peer's handshake extensions are malformed"},
        [EXT_WITH_UNKNOWN_FIELDS] = {KITH_OK, "/yamux/1.0.0"},
        [EXT_WITH_100_MUXERS] = {KITH_OK, "/yamux/1.0.0"},
        [EXT_WITH_101_MUXERS] = {KITH_OK, ""},
        [EXT_WITH_EMPTY_NAMES] = {KITH_OK, ""},
    };
    static uint8_t buf[10000];
    for (twist t = HONEST; t < TWISTS; t++) {
        for (int role = 0; role < 4; role++) {
            kith_bytes payload = twisted_payload(t, buf, sizeof buf);
            side *us = against_rogue(role & 1 ? HFS : XX, role & 2, payload);
            if (want[t].err) {
                assert_failed(us, want[t].err, want[t].why);
            } else {
                assert_true(us->ready);
                assert_true(kith_peer_id_eq(kith_noise_peer(us->noise), &mallory.id));
                assert_true(kith_bytes_eq_str(kith_noise_muxer(us->noise), want[t].why));
            }
        }
    }
    end();
}

/* Signatures over "noise-libp2p-static-key:" and the public key of 32 x 0x42, made with Python's
 * cryptography. */
static const char rsa_key[] =
    "080012a60230820122300d06092a864886f70d01010105000382010f003082010a0282010100a3bac8e0ae69e59da6491d0d"
    "8bdb971db51117a5a249d772e87e099c5c426bb1e0285298e03216b9ca1935a070eeb1f5d3cfbcd8ab574c2b69dad356386f"
    "f3ad543dd262d90e9e17b5265007420cfdbd994e0aa80ace3d6b3c280905704f10812e34178ef9e22d0050ddddaf54f34b0b"
    "0b1361929c9d7783aaa728525c86e36c8a73fc2200c7be06466c1717d25905492d2b4b24bc3246bd3d1c4d4c30470c5a4400"
    "de0b3392991e7936ea8b3e46a6349bf004997fcad4ab7b33a8b75a59db61302ea264c78e0aefe61a596a067be26352f373bd"
    "1bfe44fb525c43621c266fda0d72e5ea15d2457eddae2797aec13e43b9e95e8047c4206cfd6cc5980356ece50203010001";
static const char rsa_sig[] =
    "592b1189d64bd5a8404aaff629f4014785afa8778fee0f63a85ccb8c9f41815dff2075abe16beac2c06b6d716bc8cad4272a"
    "81d6e699a9fd44d1c10ddd843677ab3fc831dcf6ff4d494685b08f6ab59895779dc1f207891886fce69551bcaeec65ad4372"
    "e8804598be6c6f0aeca50a136c8d2c78fdf89c40c515a9abd3f48f34aa391163793f0b870d79f47c44e085e2d9ebaa276135"
    "8407cb6e2054fc77823edba798290c8e305283c40b93a1e981ac8ff1a68edaeb024811538a9539bc07fbffdc020931e08f0c"
    "285bce6f1534998a513e99876f8ecea57fcedfffccd3f5592d2b65374d18e627ff9e511fbb12e65a417fcecdb8972380cb4d"
    "70f44eed788f";
static const char secp256k1_key[] =
    "08021221032b230f5c8e862720434610b43edd9ba72ba397518d9408cd604cc7be4b10294e";
static const char secp256k1_sig[] =
    "304402206d7f724f09d204ad04a9e2eec54925cf55ab4e0574dba885bea9f3e25ead87fd022025c5b22384ac44231a3d9a8c"
    "428a2645851b76daa78d20aaf7ad60a574d8d693";
static const char p256_key[] =
    "0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004ec54f4dc17cb009616207c670c62acb2b0d32d"
    "bdbbc4e29f7760c8d1c939ffef6685cba0034587afce456fa843652a6fa78527b72071040df7626223ec88d674";
static const char p256_sig[] =
    "304502201e50d58d103f6f3e2daed2e2f03393b341943d04a582d3064a7b0be14021d4d7022100f79ac46dd2db24a9b4bc89"
    "017cc87c2d41bf502dc46d9429ad5737be34e6400b";

/* Its signature has been found good before: everything else about it is looked at as the first time. */
static void a_peer_that_comes_again_is_taken_or_refused_for_the_right_reason(void **state)
{
    (void)state;
    static const struct {
        twist t;
        kith_err err;
    } again[] = {{HONEST, KITH_OK},
                 {SIG_OVER_ANOTHER_KEY, KITH_ECRYPTO},
                 {SIG_OVER_ANOTHER_KEY, KITH_ECRYPTO}, /* what was wrong is wrong again */
                 {KEY_OF_BOB, KITH_ECRYPTO},
                 {HONEST, KITH_OK}};
    static uint8_t buf[10000];
    for (size_t i = 0; i < sizeof again / sizeof *again; i++) {
        side *us = against_rogue(XX, true, twisted_payload(again[i].t, buf, sizeof buf));
        assert_int_equal(us->err, again[i].err);
        assert_true(again[i].err || kith_peer_id_eq(kith_noise_peer(us->noise), &mallory.id));
    }
    end();
}

/* js-libp2p-noise (GHSA-j3ff-xp6c-6gcc): a peer was who it said it was, whatever the signature. */
static void CVE_2022_24759_nobody_is_who_others_have_not_signed_for(void **state)
{
    (void)state;
    static const twist lies[] = {KEY_OF_BOB, SIG_OVER_ANOTHER_KEY, NO_SIG, SIG_SHORT};
    for (size_t s = 0; s < kith_noise_suite_count; s++) {
        for (int initiator = 0; initiator < 2; initiator++) {
            for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
                uint8_t buf[1024];
                const side *us = against_rogue(&kith_noise_suites[s], initiator == 0,
                                               twisted_payload(lies[i], buf, sizeof buf));
                assert_int_equal(us->ready, 0);
                assert_int_equal(us->failed, 1);
                assert_true(us->err == KITH_ECRYPTO || us->err == KITH_EPROTO);
            }
        }
    }
}

static void peers_with_other_key_types_are_authenticated(void **state)
{
    (void)state;
    static const struct {
        const char *key, *sig, *id;
    } peers[] = {
        {rsa_key, rsa_sig, "Qm"},
        {secp256k1_key, secp256k1_sig, "16Uiu2"},
        {p256_key, p256_sig, "Qm"},
    };
    for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
        for (int role = 0; role < 4; role++) {
            uint8_t key[512], sig[512], buf[1024];
            kith_bytes k = kith_bytes_of(key, strlen(peers[i].key) / 2),
                       s = kith_bytes_of(sig, strlen(peers[i].sig) / 2);
            unhex(peers[i].key, key, k.len);
            unhex(peers[i].sig, sig, s.len);
            kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
            kith_pb_put_bytes(&w, 1, k);
            kith_pb_put_bytes(&w, 2, s);
            side *us = against_rogue(role & 1 ? HFS : XX, role & 2, kith_wr_bytes(&w));
            assert_true(us->ready);
            assert_true(kith_bytes_eq(kith_noise_peer_key(us->noise), k));
            char text[KITH_PEER_ID_TEXT_MAX + 1];
            kith_peer_id_text(kith_noise_peer(us->noise), text);
            assert_memory_equal(text, peers[i].id, strlen(peers[i].id));
            sig[s.len - 1] ^= 1;
            w = kith_wr_of(kith_span_of(buf, sizeof buf));
            kith_pb_put_bytes(&w, 1, k);
            kith_pb_put_bytes(&w, 2, s);
            assert_failed(against_rogue(role & 1 ? HFS : XX, role & 2, kith_wr_bytes(&w)), KITH_ECRYPTO,
                          NULL);
        }
    }
    end();
}

static void a_payload_in_message_a_is_ignored_by_xx_and_refused_by_hfs(void **state)
{
    (void)state;
    static uint8_t big[9000], buf[1024];
    static const size_t sizes[] = {1, 100, 8192, 8193};
    for (size_t i = 0; i < 8; i++) {
        bool hfs = i & 1;
        size_t len = sizes[i / 2];
        kith_noise_config cfg = side_config(&bob, hfs ? HFS : XX, false);
        renew(&bob, &cfg);
        rogue r;
        rogue_begin(&r, cfg.suite, true);
        rogue_write(&r, kith_bytes_of(big, len), &bob);
        if (hfs || len > 8192) {
            assert_failed(&bob, KITH_EPROTO, "the handshake message is too long");
        } else {
            assert_false(bob.failed);
            rogue_read(&r, &bob);
            rogue_write(&r, twisted_payload(HONEST, buf, sizeof buf), &bob);
            assert_true(bob.ready);
        }
        rogue_end(&r);
    }
    end();
}

static void key_shares_of_low_order_are_refused(void **state)
{
    (void)state;
    uint8_t a[34] = {0, 32};
    kith_noise_config b = side_config(&bob, XX, false);
    renew(&bob, &b);
    side_feed(&bob, kith_bytes_of(a, sizeof a));
    assert_failed(&bob, KITH_ECRYPTO, "the peer sent a key share of low order");

    uint8_t msg[8192];
    for (size_t s = 0; s < kith_noise_suite_count; s++) {
        begin(&kith_noise_suites[s]);
        size_t len = side_send(&alice, msg);
        memset(msg + 2, 0, 32);
        side_feed(&bob, kith_bytes_of(msg, len));
        assert_failed(&bob, KITH_ECRYPTO, "the peer sent a key share of low order");
        memset(msg, 0, sizeof msg);
        kith_store_be16(
            msg, (uint16_t)(96 + 104 +
                            (s + 1 < kith_noise_suite_count ? 16 + kith_kem_ct_len(kith_noise_suites[s].kem)
                                                            : 0)));
        side_feed(&alice, kith_bytes_of(msg, 2u + kith_load_be16(msg)));
        assert_failed(&alice, KITH_ECRYPTO, "the peer sent a key share of low order");
    }
    end();
}

static void a_malformed_ml_kem_key_is_refused(void **state)
{
    (void)state;
    uint8_t msg[8192];
    for (size_t s = 0; s + 1 < kith_noise_suite_count; s++) {
        begin(&kith_noise_suites[s]);
        size_t len = side_send(&alice, msg);
        memset(msg + 34, 0xff, 3);
        side_feed(&bob, kith_bytes_of(msg, len));
        assert_failed(&bob, KITH_ECRYPTO, "the peer sent a bad ML-KEM key");
    }
    end();
}

static void suites_and_prologues_must_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < kith_noise_suite_count; i++) {
        for (size_t r = 0; r < kith_noise_suite_count; r++) {
            kith_noise_config a = side_config(&alice, &kith_noise_suites[i], true);
            kith_noise_config b = side_config(&bob, &kith_noise_suites[r], false);
            renew(&alice, &a);
            renew(&bob, &b);
            pair_shake(&alice, &bob);
            bool same = strcmp(kith_noise_suites[i].name, kith_noise_suites[r].name) == 0;
            assert_int_equal(alice.ready && bob.ready, i == r); /* kith's own needs a signature from both */
            assert_false(!same && (alice.ready || bob.ready));
        }
        kith_noise_config a = side_config(&alice, &kith_noise_suites[i], true);
        kith_noise_config b = side_config(&bob, &kith_noise_suites[i], false);
        a.prologue = b.prologue = kith_bytes_str("libp2p-webrtc-noise:");
        renew(&alice, &a);
        renew(&bob, &b);
        pair_shake(&alice, &bob);
        assert_true(alice.ready && bob.ready);
        b.prologue = (kith_bytes){0};
        renew(&alice, &a);
        renew(&bob, &b);
        pair_shake(&alice, &bob);
        assert_failed(&alice, KITH_ECRYPTO, "the handshake message does not authenticate");
        assert_false(bob.ready);
    }
    end();
}

/* ---- what somebody on the way has done to multistream-select ---- */

#define UP "/noise-mlkem768-hfs/0.2.0"
#define K1 "/kith/noise-mlkem512-hfs/1"
#define K3 "/kith/noise-mlkem768-hfs/1"
#define K5 "/kith/noise-mlkem1024-hfs/1"
#define DOWNGRADE "downgrade: somebody on the way has changed which secure channel the two of us agreed on"

static size_t channels_of(const char *text, kith_bytes *out)
{
    size_t n = 0;
    for (const char *p = text; *p; n++) {
        size_t len = strcspn(p, " ");
        out[n] = kith_bytes_of(p, len);
        p += len + (p[len] == ' ');
    }
    return n;
}

/* The handshake of a suite between a dialer that has proposed, and a listener that takes, so much. */
static void shake_in(const char *suite, const char *proposed, const char *taken)
{
    static kith_bytes a_list[40], b_list[40];
    kith_noise_config a = side_config(&alice, suite_of(suite), true),
                      b = side_config(&bob, suite_of(suite), false);
    a.channels = a_list;
    a.channel_count = channels_of(proposed, a_list);
    b.channels = b_list;
    b.channel_count = channels_of(taken, b_list);
    renew(&alice, &a);
    renew(&bob, &b);
    pair_shake(&alice, &bob);
}

static void the_suite_is_what_the_two_lists_lead_to_or_there_is_no_connection(void **state)
{
    (void)state;
    static const struct {
        const char *suite, *proposed, *taken;
        bool right;
    } cases[] = {
        {K3, K3 " " K5 " " UP " /noise", K3 " " K5 " " UP " /noise", true},
        {K5, K3 " " K5 " " UP " /noise", K5 " " UP " /noise", true},
        {K3, K1 " " K3 " " K5 " " UP " /noise", K3 " " K5 " " UP " /noise", true},
        {UP, UP " /noise", K3 " " K5 " " UP " /noise", true},
        {"/noise", "/noise", K3 " " K5 " " UP " /noise", true},
        {"/noise", K3 " " K5 " " UP " /noise", "/noise", true},
        /* the proposals taken away, or answered na in the listener's name */
        {"/noise", K3 " " K5 " " UP " /noise", K3 " " K5 " " UP " /noise", false},
        {UP, K3 " " K5 " " UP " /noise", K3 " " K5 " " UP " /noise", false},
        {UP, K3 " " K5 " " UP, K5 " " UP, false},
        {"/noise", UP " /noise", K3 " " UP " /noise", false},
        /* put in another order */
        {K5, K3 " " K5 " " UP " /noise", K3 " " K5 " " UP " /noise", false},
        {K1, K3 " " K1, K1 " " K3, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        shake_in(cases[i].suite, cases[i].proposed, cases[i].taken);
        assert_int_equal(alice.ready && bob.ready, cases[i].right);
        if (!cases[i].right)
            assert_failed(&alice, KITH_EAUTH, DOWNGRADE);
    }
    end();
}

/* Alike when the dialer does not look: mallory proposes so much, bob takes all of it. */
static void a_listener_sees_it_too(void **state)
{
    (void)state;
    static const struct {
        const char *proposed, *taken;
        bool right;
    } cases[] = {
        {"/noise", K3 " " UP " /noise", true},
        {K3 " " UP " /noise", "/noise", true},
        {K3 " " UP " /noise", K3 " " UP " /noise", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kith_bytes taken[8], proposed[8];
        uint8_t buf[2048], ext[512];
        kith_wr x = kith_wr_of(kith_span_of(ext, sizeof ext));
        size_t n = channels_of(cases[i].proposed, proposed);
        for (size_t k = 0; k < n; k++)
            kith_pb_put_bytes(&x, 1104, proposed[k]);
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        (void)kith_put_room(&w, twisted_payload(HONEST, buf, sizeof buf).len);
        kith_pb_put_bytes(&w, 4, kith_wr_bytes(&x));
        kith_noise_config cfg = side_config(&bob, XX, false);
        cfg.channels = taken;
        cfg.channel_count = channels_of(cases[i].taken, taken);
        renew(&bob, &cfg);
        rogue r;
        rogue_begin(&r, XX, true);
        rogue_write(&r, (kith_bytes){0}, &bob);
        rogue_read(&r, &bob);
        rogue_write(&r, kith_wr_bytes(&w), &bob);
        rogue_end(&r);
        assert_int_equal(bob.ready, cases[i].right);
        if (!cases[i].right)
            assert_failed(&bob, KITH_EAUTH, DOWNGRADE);
        side_reset(&bob);
    }
    end();
}

static void a_peer_without_a_list_is_not_kith_and_kiths_own_suites_need_one(void **state)
{
    (void)state;
    shake_in("/noise", "", K3 " " UP " /noise");
    assert_true(alice.ready && bob.ready);
    shake_in(UP, K3 " " UP " /noise", "");
    assert_true(alice.ready && bob.ready);
    shake_in(K3, K3 " " UP " /noise", "");
    assert_failed(&alice, KITH_EAUTH, DOWNGRADE);
    end();
}

static void a_list_of_channels_has_a_cap(void **state)
{
    (void)state;
    char at[512] = "/noise", beyond[512];
    for (int i = 1; i < KITH_NOISE_CHANNELS_MAX; i++)
        strcat(at, " /x");
    snprintf(beyond, sizeof beyond, "%s /x", at);
    shake_in("/noise", "/noise", at);
    assert_true(alice.ready && bob.ready);
    shake_in("/noise", "/noise", beyond);
    assert_failed(&alice, KITH_EAUTH, DOWNGRADE);
    end();
}

/* ---- the post-quantum identity ---- */

/* A side with a key of this algorithm, and a machine. */
static void side_with(side *s, const side *like, kith_sig_alg alg, const kith_noise_config *cfg)
{
    uint8_t seed[KITH_SIG_SEED_MAX];
    kith_noise_config mine = *cfg;
    *s = (side){.dice.seed = 9};
    s->env = (kith_env){.alloc = {&s->heap, heap_fn}, .rand = {&s->dice, dice_fn}};
    assert_int_equal(kith_pq_seed_new(alg, s->env.rand, seed), KITH_OK);
    assert_int_equal(kith_pq_signer_new(alg, kith_bytes_of(seed, kith_sig_info_of(alg)->seed_len), &s->pq),
                     KITH_OK);
    s->identity = kith_noise_identity_new(&s->env, like->signer, s->pq);
    mine.env = &s->env;
    mine.identity = s->identity;
    s->noise = kith_noise_new(&mine);
    assert_non_null(s->noise);
}

static void side_done(side *s)
{
    side_reset(s);
    kith_noise_identity_free(s->identity);
    kith_pq_signer_free(s->pq);
    assert_int_equal(s->heap.live, 0);
}

static void each_side_proves_its_post_quantum_key_with_every_algorithm(void **state)
{
    (void)state;
    enum { FALCON = 104 + 3 + 666 + 4 + 4 }; /* and the key, as long as its message is */
    /* docs/protocols/pq-identity.md, section 5: a side's payload without lists */
    static const size_t payload[KITH_SIG_COUNT] = {
        [KITH_SIG_MLDSA44] = 3853,    [KITH_SIG_MLDSA65] = 5382,     [KITH_SIG_MLDSA87] = 7340,
        [KITH_SIG_SLHDSA128S] = 8007, [KITH_SIG_SLHDSA128F] = 17241, [KITH_SIG_FALCON512] = FALCON};
    static uint8_t msg[KITH_NOISE_MESSAGE_MAX];
    for (int a = KITH_SIG_NONE + 1; a < KITH_SIG_COUNT; a++) {
        side i, r;
        if (!kith_sig_available((kith_sig_alg)a))
            continue;
        kith_noise_config ci = side_config(&alice, suite_of(K3), true),
                          cr = side_config(&bob, suite_of(K3), false);
        side_with(&i, &alice, KITH_SIG_MLDSA65, &ci);
        side_with(&r, &bob, (kith_sig_alg)a, &cr);
        for (int turn = 0; turn < 3; turn++) {
            size_t len = kith_noise_send((turn % 2 ? &r : &i)->noise, 0, kith_span_of(msg, sizeof msg));
            size_t want = turn == 0 ? 1216 : turn == 1 ? 1200 + payload[a] : 64 + payload[KITH_SIG_MLDSA65];
            if (turn == 1 && a == KITH_SIG_FALCON512)
                want += kith_pq_key_len((kith_sig_alg)a);
            assert_int_equal(len, 2 + want);
            side_feed(turn % 2 ? &i : &r, kith_bytes_of(msg, len));
        }
        assert_true(i.ready && r.ready);
        kith_pq_id id = kith_pq_id_of_signer(r.pq);
        assert_true(kith_pq_id_eq(&kith_noise_peer_pq(i.noise)->id, &id));
        assert_int_equal(kith_noise_peer_pq(i.noise)->alg, a);
        id = kith_pq_id_of_signer(i.pq);
        assert_true(kith_pq_id_eq(&kith_noise_peer_pq(r.noise)->id, &id));
        assert_int_equal(kith_noise_peer_pq(r.noise)->alg, KITH_SIG_MLDSA65);
        side_done(&i);
        side_done(&r);
    }
}

/* Runs a handshake in which both sides tell of these statements, and returns how many arrive at the initiator. */
static size_t arriving(const kith_noise_suite *suite, const kith_bytes *list, size_t count,
                       kith_bytes out[KITH_SUCCESSORS_MAX])
{
    static side i, r;
    static uint8_t msg[KITH_NOISE_MESSAGE_MAX], copy[2 * KITH_NOISE_SUCCESSORS_MAX];
    kith_bytes got[KITH_SUCCESSORS_MAX];
    kith_noise_config ci = side_config(&alice, suite, true), cr = side_config(&bob, suite, false);
    side_with(&i, &alice, KITH_SIG_MLDSA44, &ci);
    side_with(&r, &bob, KITH_SIG_MLDSA44, &cr);
    assert_int_equal(kith_noise_identity_tell(i.identity, list, count), KITH_OK);
    assert_int_equal(kith_noise_identity_tell(r.identity, list, count), KITH_OK);
    for (int turn = 0; turn < 3; turn++)
        side_feed(turn % 2 ? &i : &r, kith_bytes_of(msg, kith_noise_send((turn % 2 ? &r : &i)->noise, 0,
                                                                         kith_span_of(msg, sizeof msg))));
    assert_true(i.ready && r.ready);
    size_t n = kith_noise_peer_successors(i.noise, got);
    assert_int_equal(kith_noise_peer_successors(r.noise, got), n);
    kith_wr w = kith_wr_of(kith_span_of(copy, sizeof copy));
    for (size_t k = 0; k < n; k++) {
        out[k] = kith_bytes_of(copy + w.len, got[k].len);
        kith_put_bytes(&w, got[k]);
    }
    assert_false(w.bad);
    kith_noise_forget_successors(i.noise);
    assert_int_equal(kith_noise_peer_successors(i.noise, got), 0);
    side_done(&i); /* and nothing is left of what r still has */
    side_done(&r);
    return n;
}

static void statements_about_former_keys_come_along_as_far_as_they_fit(void **state)
{
    (void)state;
    static uint8_t bytes[KITH_NOISE_SUCCESSORS_MAX + 1];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    kith_bytes list[] = {kith_bytes_of(bytes, 9000), kith_bytes_of(bytes + 1, 7346),
                         kith_bytes_of(bytes + 2, 7346)};
    kith_bytes out[KITH_SUCCESSORS_MAX];
    assert_int_equal(arriving(suite_of(K3), list, 0, out), 0);
    assert_int_equal(arriving(suite_of(K3), list, 1, out), 1);
    assert_true(kith_bytes_eq(out[0], list[0]));
    assert_int_equal(arriving(suite_of(K3), list, 3, out), 2); /* the last ones */
    assert_true(kith_bytes_eq(out[0], list[1]) && kith_bytes_eq(out[1], list[2]));
    list[0].len = KITH_NOISE_SUCCESSORS_MAX - 5;
    assert_int_equal(arriving(suite_of(K5), list, 1, out), 1);
    list[0].len = KITH_NOISE_SUCCESSORS_MAX - 4; /* with its head it is one too long */
    assert_int_equal(arriving(suite_of(K3), list, 1, out), 0);
    assert_int_equal(arriving(HFS, list + 1, 2, out), 0); /* not to foreign peers */
}

static void other_suites_prove_no_post_quantum_key(void **state)
{
    (void)state;
    joined(HFS);
    assert_int_equal(kith_noise_peer_pq(alice.noise)->alg, KITH_SIG_NONE);
    assert_int_equal(kith_noise_peer_pq(bob.noise)->id.len, 0);
    end();
}

typedef enum lie {
    TRUTH,
    NO_PQ_KEY,
    NO_PQ_SIG,
    NO_EXTENSIONS,
    PQ_KEY_TWICE,
    PQ_SIG_TWICE,
    PQ_KEY_AS_NUMBER,
    PQ_KEY_NOT_CANONICAL,
    PQ_KEY_OF_UNKNOWN_KIND,
    PQ_KEY_OF_FALCON,
    PQ_KEY_OF_ANOTHER,
    PQ_SIG_SHORT,
    PQ_SIG_FLIPPED,
    OTHER_ROLE,
    OTHER_SUITE,
    OTHER_HASH,
    OTHER_STATIC,
    OTHER_IDENTITY,
    OTHER_LIST,
    LIST_CUT,
    LIST_OF_NUMBERS,
    SUCCESSORS_MANY,
    SUCCESSORS_LONG,
    LIES
} lie;

/* The rogue's next message, with mallory's Ed25519 key, her post-quantum key, and whatever is untrue in between. */
static void rogue_write_pq(rogue *r, lie l, side *to)
{
    static uint8_t msg[KITH_NOISE_MESSAGE_MAX], payload[48 * 1024], ext[48 * 1024],
        lots[KITH_NOISE_SUCCESSORS_MAX], text[KITH_NOISE_PQ_TEXT_MAX];
    uint8_t key_b[64], sig[64], pq_key[KITH_PQ_KEY_MAX + 1], pq_sig[KITH_SIG_MAX], other[32] = {1}, *at;
    kith_wr key = kith_wr_of(kith_span_of(key_b, sizeof key_b)),
            w = kith_wr_of(kith_span_of(payload, sizeof payload)),
            x = kith_wr_of(kith_span_of(ext, sizeof ext)),
            k = kith_wr_of(kith_span_of(pq_key, sizeof pq_key)),
            m = kith_wr_of(kith_span_of(text, sizeof text));
    kith_bytes list[2] = {kith_bytes_str(K3), kith_bytes_str("/noise")};
    honest_identity(&key, sig, true);
    assert_int_equal(kith_noise_hs_write_keys(&r->hs, msg + 2, &at), KITH_OK);

    kith_put_pq_key(&k, KITH_SIG_MLDSA65,
                    kith_pq_signer_public((l == PQ_KEY_OF_ANOTHER ? &bob : &mallory)->pq));
    if (l == PQ_KEY_NOT_CANONICAL)
        kith_put_u8(&k, 0);
    if (l == PQ_KEY_OF_UNKNOWN_KIND)
        pq_key[1] = 9;
    if (l == PQ_KEY_OF_FALCON) {
        k = kith_wr_of(kith_span_of(pq_key, sizeof pq_key));
        kith_put_pq_key(&k, KITH_SIG_FALCON512,
                        kith_bytes_of(lots, kith_sig_info_of(KITH_SIG_FALCON512)->pub_len));
    }
    kith_noise_pq_text t = {.initiator = r->hs.initiator != (l == OTHER_ROLE),
                            .suite = l == OTHER_SUITE ? K5 : K3,
                            .h = l == OTHER_HASH ? other : r->hs.h,
                            .s = l == OTHER_STATIC ? other : r->pub,
                            .identity =
                                l == OTHER_IDENTITY ? kith_peer_id_inline_key(&bob.id) : kith_wr_bytes(&key),
                            .pq_identity = kith_wr_bytes(&k)};
    kith_put_noise_pq_text(&m, &t);
    kith_put_noise_pq_channel(&m, l == OTHER_LIST ? kith_bytes_str(K5) : list[0]);
    if (l != LIST_CUT)
        kith_put_noise_pq_channel(&m, list[1]);
    assert_int_equal(kith_pq_sign(mallory.pq, kith_wr_bytes(&m), NULL, pq_sig), KITH_OK);
    pq_sig[100] ^= l == PQ_SIG_FLIPPED;

    for (int i = 0; i < 1 + (l == PQ_KEY_TWICE); i++) {
        if (l == PQ_KEY_AS_NUMBER)
            kith_pb_put_num(&x, 1101, 7);
        else if (l != NO_PQ_KEY)
            kith_pb_put_bytes(&x, 1101, kith_wr_bytes(&k));
    }
    for (int i = 0; i < 1 + (l == PQ_SIG_TWICE) && l != NO_PQ_SIG; i++)
        kith_pb_put_bytes(&x, 1102,
                          kith_bytes_of(pq_sig, l == PQ_KEY_OF_FALCON ? 666u : 3309u - (l == PQ_SIG_SHORT)));
    for (int i = 0; i < 2 && l != LIST_OF_NUMBERS; i++)
        kith_pb_put_bytes(&x, 1104, list[i]);
    if (l == LIST_OF_NUMBERS)
        kith_pb_put_num(&x, 1104, 7);
    for (int i = 0; i <= KITH_SUCCESSORS_MAX && l == SUCCESSORS_MANY; i++)
        kith_pb_put_bytes(&x, 1105, list[0]);
    if (l == SUCCESSORS_LONG)
        kith_pb_put_bytes(&x, 1105, kith_bytes_of(lots, sizeof lots));
    kith_pb_put_bytes(&w, 1, kith_wr_bytes(&key));
    kith_pb_put_bytes(&w, 2, kith_bytes_of(sig, sizeof sig));
    if (l != NO_EXTENSIONS)
        kith_pb_put_bytes(&w, 4, kith_wr_bytes(&x));
    assert_false(w.bad || x.bad || k.bad || m.bad || key.bad);

    kith_noise_hs_write_payload(&r->hs, kith_wr_bytes(&w), at);
    size_t len = (size_t)(at - msg) - 2 + w.len + KITH_AEAD_TAG_LEN;
    kith_store_be16(msg, (uint16_t)len);
    side_feed(to, kith_bytes_of(msg, 2 + len));
}

static const side *against_liar(lie l, bool initiator)
{
    kith_bytes list[2] = {kith_bytes_str(K3), kith_bytes_str("/noise")};
    side *us = initiator ? &alice : &bob;
    kith_noise_config cfg = side_config(us, suite_of(K3), initiator);
    cfg.channels = list;
    cfg.channel_count = 2;
    renew(us, &cfg);
    rogue r;
    rogue_begin(&r, suite_of(K3), !initiator);
    if (!initiator)
        rogue_write(&r, (kith_bytes){0}, us);
    rogue_read(&r, us);
    rogue_write_pq(&r, l, us);
    rogue_end(&r);
    return us;
}

static void a_post_quantum_identity_is_taken_or_refused_for_the_right_reason(void **state)
{
    (void)state;
    static const char missing[] =
        "the peer proves no post-quantum identity, without which this channel is not to be had";
    static const char malformed[] = "the peer's post-quantum identity is malformed";
    static const char wrong[] =
        "the peer's post-quantum signature is wrong: somebody else holds its other key, or changes this handshake";
    static const char no_falcon[] =
        "the peer's post-quantum key has an algorithm that this program was built without";
    const bool falcon = kith_sig_available(KITH_SIG_FALCON512);
    const struct {
        kith_err err;
        const char *why;
    } want[LIES] = {
        [TRUTH] = {KITH_OK, NULL},
        [NO_PQ_KEY] = {KITH_EAUTH, missing},
        [NO_PQ_SIG] = {KITH_EAUTH, missing},
        [NO_EXTENSIONS] = {KITH_EAUTH, DOWNGRADE}, /* which lack the list too */
        [PQ_KEY_TWICE] = {KITH_EPROTO, malformed},
        [PQ_SIG_TWICE] = {KITH_EPROTO, malformed},
        [PQ_KEY_AS_NUMBER] = {KITH_EPROTO, malformed},
        [PQ_KEY_NOT_CANONICAL] = {KITH_EPROTO, malformed},
        [PQ_KEY_OF_UNKNOWN_KIND] = {KITH_EUNSUPPORTED,
                                    "the peer's post-quantum key has an unknown algorithm"},
        [PQ_KEY_OF_FALCON] = {falcon ? KITH_ECRYPTO : KITH_EUNSUPPORTED, falcon ? wrong : no_falcon},
        [PQ_KEY_OF_ANOTHER] = {KITH_ECRYPTO, wrong},
        [PQ_SIG_SHORT] = {KITH_ECRYPTO, wrong},
        [PQ_SIG_FLIPPED] = {KITH_ECRYPTO, wrong},
        [OTHER_ROLE] = {KITH_ECRYPTO, wrong},
        [OTHER_SUITE] = {KITH_ECRYPTO, wrong},
        [OTHER_HASH] = {KITH_ECRYPTO, wrong},
        [OTHER_STATIC] = {KITH_ECRYPTO, wrong},
        [OTHER_IDENTITY] = {KITH_ECRYPTO, wrong},
        [OTHER_LIST] = {KITH_ECRYPTO, wrong},
        [LIST_CUT] = {KITH_ECRYPTO, wrong},
        [LIST_OF_NUMBERS] = {KITH_EAUTH, DOWNGRADE}, /* which is none */
        [SUCCESSORS_MANY] = {KITH_EPROTO, "the peer says too much about its former keys"},
        [SUCCESSORS_LONG] = {KITH_EPROTO, "the peer says too much about its former keys"},
    };
    for (lie l = TRUTH; l < LIES; l++) {
        for (int initiator = 0; initiator < 2; initiator++) {
            const side *us = against_liar(l, initiator);
            if (want[l].err) {
                assert_failed(us, want[l].err, want[l].why);
                continue;
            }
            kith_pq_id id = kith_pq_id_of_signer(mallory.pq);
            assert_true(us->ready && kith_pq_id_eq(&kith_noise_peer_pq(us->noise)->id, &id));
        }
    }
    end();
}

/* Who has recorded a handshake cannot use it again: h is another one. */
static void a_message_of_another_handshake_does_not_authenticate(void **state)
{
    (void)state;
    uint8_t a[8192], b[8192], c[8192];
    begin(suite_of(K3));
    size_t na = side_send(&alice, a);
    side_feed(&bob, kith_bytes_of(a, na));
    size_t nb = side_send(&bob, b);
    side_feed(&alice, kith_bytes_of(b, nb));
    size_t nc = side_send(&alice, c);
    side_feed(&bob, kith_bytes_of(c, nc));
    assert_true(alice.ready && bob.ready);
    kith_noise_config cb = side_config(&bob, suite_of(K3), false),
                      ca = side_config(&alice, suite_of(K3), true);
    renew(&bob, &cb);
    bob.dice.seed = 77; /* a fresh one, as always */
    side_feed(&bob, kith_bytes_of(a, na));
    side_feed(&bob, kith_bytes_of(c, nc));
    assert_failed(&bob, KITH_ECRYPTO, "the handshake message does not authenticate");
    side_reset(&alice);
    alice.dice.seed = 78;
    alice.noise = kith_noise_new(&ca);
    side_feed(&alice, kith_bytes_of(b, nb));
    assert_failed(&alice, KITH_ECRYPTO, "the handshake message does not authenticate");
    end();
}

/* 18 KiB of payload are what SLH-DSA needs, and what nobody gets for naming a length. */
static void a_long_message_costs_what_has_come_of_it(void **state)
{
    (void)state;
    enum { LEAST = 1200 };
    static uint8_t junk[LEAST + 38 * 1024];
    for (int longer = 0; longer < 2; longer++) {
        uint8_t msg[8192], head[2];
        begin(suite_of(K3));
        (void)side_send(&alice, msg);
        size_t before = alice.heap.live;
        kith_store_be16(head, (uint16_t)(LEAST + 38 * 1024 + longer));
        side_feed(&alice, kith_bytes_of(head, 2));
        side_feed(&alice, kith_bytes_of(junk, 100));
        if (longer) {
            assert_failed(&alice, KITH_EPROTO, "the handshake message is too long");
            continue;
        }
        assert_in_range(alice.heap.live - before, 100, 512);
        for (size_t n = 100; n < sizeof junk - 1; n++) {
            side_feed(&alice, kith_bytes_of(junk, 1));
            assert_in_range(alice.heap.live - before, n, n < 512 ? 512 : 2 * (n + 1));
        }
        assert_int_equal(alice.failed, 0);
        side_feed(&alice, kith_bytes_of(junk, 1));
        assert_int_equal(alice.failed, 1);
    }
    end();
}

/* ---- every truncation, every flipped byte ---- */

typedef struct script {
    uint8_t a[2048], b[2048], c[512];
    size_t a_len, b_len, c_len;
} script;

static void record_script(const kith_noise_suite *suite, script *s)
{
    begin(suite);
    s->a_len = side_send(&alice, s->a);
    side_feed(&bob, kith_bytes_of(s->a, s->a_len));
    s->b_len = side_send(&bob, s->b);
    side_feed(&alice, kith_bytes_of(s->b, s->b_len));
    s->c_len = side_send(&alice, s->c);
    assert_true(s->a_len && s->b_len && s->c_len);
}

/* Bad bytes in place of message A, B or C, to a machine that has come so far. Says who is to be looked at. */
static side *inject(const kith_noise_suite *suite, const script *s, int which, kith_bytes bad)
{
    uint8_t msg[8192];
    if (which == 1) {
        kith_noise_config a = side_config(&alice, suite, true);
        renew(&alice, &a);
        (void)side_send(&alice, msg);
        side_feed(&alice, bad);
        return &alice;
    }
    kith_noise_config b = side_config(&bob, suite, false);
    renew(&bob, &b);
    if (which == 2) {
        side_feed(&bob, kith_bytes_of(s->a, s->a_len));
        (void)side_send(&bob, msg);
    }
    side_feed(&bob, bad);
    return &bob;
}

static kith_bytes message_of(const script *s, int which)
{
    return which == 0   ? kith_bytes_of(s->a, s->a_len)
           : which == 1 ? kith_bytes_of(s->b, s->b_len)
                        : kith_bytes_of(s->c, s->c_len);
}

static void flip_all(const kith_noise_suite *suite)
{
    script s;
    uint8_t bad[2048], msg[8192];
    record_script(suite, &s);
    for (int which = 0; which < 3; which++) {
        kith_bytes good = message_of(&s, which);
        for (size_t at = 0; at < good.len; at++) {
            memcpy(bad, good.p, good.len);
            bad[at] ^= (uint8_t)(at % 3 == 0 ? 0x80 : at % 3 == 1 ? 1 : 0xff);
            side *us = inject(suite, &s, which, kith_bytes_of(bad, good.len));
            assert_false(us->ready);
            if (at < 2)
                continue; /* another length: refused, or waiting for more */
            if (which > 0) {
                assert_int_equal(us->failed, 1);
                assert_int_equal(us->err, KITH_ECRYPTO);
            } else if (!us->failed) {
                /* A is not authenticated; then it is Alice who notices. */
                kith_noise_config a = side_config(&alice, suite, true);
                renew(&alice, &a);
                (void)side_send(&alice, msg);
                size_t len = side_send(&bob, msg);
                side_feed(&alice, kith_bytes_of(msg, len));
                assert_failed(&alice, KITH_ECRYPTO, "the handshake message does not authenticate");
            }
        }
    }
    end();
}

static void every_flipped_byte_of_an_xx_handshake_is_fatal(void **state)
{
    (void)state;
    flip_all(XX);
}

static void every_flipped_byte_of_an_hfs_handshake_is_fatal(void **state)
{
    (void)state;
    flip_all(HFS);
}

static void truncate_all(const kith_noise_suite *suite)
{
    script s;
    uint8_t bad[2048];
    record_script(suite, &s);
    for (int which = 0; which < 3; which++) {
        kith_bytes good = message_of(&s, which);
        for (size_t len = 0; len < good.len; len++) {
            /* The stream ends early: the machine waits. */
            side *us = inject(suite, &s, which, kith_bytes_of(good.p, len));
            assert_false(us->ready || us->failed);
            if (len < 2)
                continue;
            /* A shorter message with its true length: refused. */
            memcpy(bad, good.p, len);
            kith_store_be16(bad, (uint16_t)(len - 2));
            us = inject(suite, &s, which, kith_bytes_of(bad, len));
            assert_false(us->ready);
            assert_int_equal(us->failed, 1);
            assert_true(us->err == KITH_EPROTO || us->err == KITH_ECRYPTO);
        }
        /* And one that is too long. */
        memcpy(bad, good.p, good.len);
        bad[good.len] = 0;
        kith_store_be16(bad, (uint16_t)(good.len - 1));
        side *us = inject(suite, &s, which, kith_bytes_of(bad, good.len + 1));
        assert_false(us->ready);
        assert_int_equal(us->failed, which > 0 || suite->kem != KITH_KEM_NONE);
    }
    end();
}

static void every_truncation_of_an_xx_handshake_fails_or_waits(void **state)
{
    (void)state;
    truncate_all(XX);
}

static void every_truncation_of_an_hfs_handshake_fails_or_waits(void **state)
{
    (void)state;
    truncate_all(HFS);
}

static void every_flipped_byte_of_a_record_is_fatal(void **state)
{
    (void)state;
    uint8_t wire[64], bad[64];
    for (size_t at = 0; at < 40; at++) {
        joined(at % 2 ? HFS : XX);
        size_t len = side_seal(&bob, "twenty-two characters.", 22, wire);
        assert_int_equal(len, 40);
        memcpy(bad, wire, len);
        bad[at] ^= (uint8_t)(at < 2 ? 8 : 1 + at);
        side_feed(&alice, kith_bytes_of(bad, len));
        assert_int_equal(alice.got_len, 0);
        if (at >= 2)
            assert_failed(&alice, KITH_ECRYPTO, "a record does not authenticate");
        else
            assert_int_equal(alice.failed, at == 1 && (wire[1] ^ 8) < wire[1]);
    }
    end();
}

static void a_record_that_is_replayed_reflected_or_out_of_turn_is_fatal(void **state)
{
    (void)state;
    uint8_t one[64], two[64];
    for (int what = 0; what < 3; what++) {
        joined(HFS);
        size_t len = side_seal(&alice, "first", 5, one);
        (void)side_seal(&alice, "other", 5, two);
        side *us = what == 1 ? &alice : &bob;
        if (what == 0)
            side_feed(&bob, kith_bytes_of(one, len));
        side_feed(us, kith_bytes_of(what == 2 ? two : one, len));
        assert_failed(us, KITH_ECRYPTO, "a record does not authenticate");
        assert_int_equal(us->got_len, what == 0 ? 5 : 0);
    }
    end();
}

static void a_record_shorter_than_its_tag_is_fatal(void **state)
{
    (void)state;
    for (uint8_t len = 0; len < 16; len++) {
        for (int split = 0; split < 2; split++) {
            joined(XX);
            uint8_t bad[32] = {0, len};
            side_feed(&bob, kith_bytes_of(bad, split ? 1 : 2u + len));
            if (split)
                side_feed(&bob, kith_bytes_of(bad + 1, 1u + len + 1));
            assert_failed(&bob, KITH_EPROTO, "a record is shorter than its tag");
        }
    }
    end();
}

/* seal makes none: by the machine's own cipher. */
static size_t empty_record(side *s, uint8_t out[18])
{
    kith_store_be16(out, 16);
    assert_int_equal(kith_noise_cipher_seal(kith_noise_tx(s->noise), (kith_span){out + 2, 0}, out + 2),
                     KITH_OK);
    return 18;
}

static void empty_records_are_borne_but_not_for_ever(void **state)
{
    (void)state;
    uint8_t wire[18], data[64];
    joined(XX);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 256; i++)
            side_feed(&bob, kith_bytes_of(wire, empty_record(&alice, wire)));
        side_feed(&bob, kith_bytes_of(data, side_seal(&alice, "x", 1, data)));
        assert_int_equal(bob.datas, round + 1);
        assert_false(bob.failed);
    }
    for (int i = 0; i < 257; i++)
        side_feed(&bob, kith_bytes_of(wire, empty_record(&alice, wire)));
    assert_failed(&bob, KITH_EPROTO, "too many empty records");
    end();
}

static void used_up_nonces_end_the_connection(void **state)
{
    (void)state;
    uint8_t wire[64];
    joined(HFS);
    kith_noise_tx(alice.noise)->n = UINT64_MAX - 1;
    kith_noise_rx(bob.noise)->n = UINT64_MAX - 1;
    size_t len = side_seal(&alice, "last", 4, wire);
    side_feed(&bob, kith_bytes_of(wire, len));
    assert_int_equal(bob.got_len, 4);
    assert_int_equal(side_seal(&alice, "more", 4, wire), 0);
    side_drain(&alice);
    assert_failed(&alice, KITH_ELIMIT, "the connection has used up its nonces");
    side_feed(&bob, kith_bytes_of(wire, len));
    assert_failed(&bob, KITH_ELIMIT, "the connection has used up its nonces");
    end();
}

static void the_dead_stay_dead(void **state)
{
    (void)state;
    uint8_t wire[64], bad[64] = {0, 20};
    joined(HFS);
    size_t len = side_seal(&alice, "hello", 5, wire);
    side_feed(&bob, kith_bytes_of(bad, 22));
    assert_failed(&bob, KITH_ECRYPTO, NULL);
    side_feed(&bob, kith_bytes_of(wire, len));
    side_feed(&bob, kith_bytes_of(wire, len));
    assert_int_equal(bob.failed, 1);
    assert_int_equal(bob.got_len, 0);
    assert_false(kith_noise_ready(bob.noise));
    assert_int_equal(side_send(&bob, wire), 0);
    assert_int_equal(kith_noise_room(bob.noise, kith_span_of(wire, sizeof wire)).len, 0);
    end();
}

/* ---- work ---- */

/* The message that a machine waits for, and what follows it, in a block that is gone at once. */
static void hand(side *to, const uint8_t *msg, size_t len)
{
    kith_noise_event ev;
    uint8_t *copy = malloc(len);
    memcpy(copy, msg, len);
    kith_noise_recv(to->noise, 0, kith_span_of(copy, len));
    assert_true(kith_noise_next(to->noise, &ev));
    assert_int_equal(ev.kind, KITH_NOISE_WORK);
    assert_false(kith_noise_next(to->noise, &ev));
    free(copy);
}

/* Bob waits for C; msg is what comes next, C and a record behind it. */
static size_t before_c(const kith_noise_suite *suite, uint8_t *msg)
{
    begin(suite);
    side_feed(&bob, kith_bytes_of(msg, side_send(&alice, msg)));
    side_feed(&alice, kith_bytes_of(msg, side_send(&bob, msg)));
    assert_true(alice.ready && !bob.ready);
    size_t len = side_send(&alice, msg);
    return len + side_seal(&alice, "first", 5, msg + len);
}

static void nothing_happens_between_work_and_its_being_told(void **state)
{
    (void)state;
    uint8_t msg[8192], b[8192];
    begin(HFS);
    hand(&bob, msg, side_send(&alice, msg));
    assert_int_equal(side_send(&bob, b), 0);
    side_work(&bob);
    assert_int_equal(side_send(&bob, b), 0);
    kith_noise_worked(bob.noise, 0);
    side_drain(&bob);
    hand(&alice, b, side_send(&bob, b));
    side_work(&alice);
    assert_false(kith_noise_ready(alice.noise));
    assert_int_equal(kith_noise_room(alice.noise, kith_span_of(b, sizeof b)).len, 0);
    kith_noise_worked(alice.noise, 0);
    assert_true(kith_noise_ready(alice.noise));
    side_drain(&alice);
    assert_int_equal(alice.ready, 1);
    assert_true(side_send(&alice, msg) > 0);
    end();
}

static void records_that_come_while_work_is_under_way_are_read_after_it(void **state)
{
    (void)state;
    uint8_t msg[8192], more[64];
    for (size_t cut = 0; cut < 40; cut++) {
        size_t live = bob.heap.live, len = before_c(HFS, msg), n = side_seal(&alice, "second", 6, more);
        size_t behind = len - (5 + KITH_NOISE_OVERHEAD);
        hand(&bob, msg, cut < 23 ? behind + cut : len); /* C, and the start of the record */
        if (cut < 23)
            kith_noise_recv(bob.noise, 0, kith_span_of(msg + behind + cut, len - behind - cut));
        kith_noise_recv(bob.noise, 0, kith_span_of(more, n));
        memset(msg, 0, sizeof msg);
        memset(more, 0, sizeof more);
        side_work(&bob);
        kith_noise_worked(bob.noise, 0);
        side_drain(&bob);
        assert_true(bob.ready && !bob.failed && bob.datas == 2);
        assert_memory_equal(bob.got, "firstsecond", 11);
        assert_true(bob.heap.live < live + 1024); /* nothing of it is kept */
        end();
    }
}

static void what_comes_ahead_is_kept_up_to_a_cap(void **state)
{
    (void)state;
    uint8_t msg[8192];
    uint8_t *rest = calloc(1, KITH_NOISE_AHEAD_MAX);
    for (size_t over = 0; over < 2; over++) {
        size_t len = before_c(XX, msg);
        hand(&bob, msg, len);
        size_t kept = 5 + KITH_NOISE_OVERHEAD;
        for (size_t i = 0; i < 3; i++)
            kith_noise_recv(bob.noise, 0, kith_span_of(rest, (KITH_NOISE_AHEAD_MAX - kept) / 3));
        kith_noise_recv(bob.noise, 0, kith_span_of(rest, (KITH_NOISE_AHEAD_MAX - kept) % 3 + over));
        kith_noise_recv(bob.noise, 0, kith_span_of(rest, over));
        assert_true(bob.heap.live < KITH_NOISE_AHEAD_MAX + 32768);
        side_work(&bob);
        kith_noise_worked(bob.noise, 0);
        side_drain(&bob);
        assert_int_equal(bob.ready, !over);
        if (over)
            assert_failed(&bob, KITH_ELIMIT, "the peer sent too much ahead of the handshake's end");
        else
            assert_failed(&bob, KITH_EPROTO, "a record is shorter than its tag"); /* the zeros */
        end();
    }
    free(rest);
}

/* Who cannot have heard us yet says all the messages at once. */
static void messages_that_answer_nothing_are_no_handshake(void **state)
{
    (void)state;
    uint8_t msg[8192] = {0};
    begin(XX);
    size_t len = side_send(&alice, msg);
    kith_store_be16(msg + len, 168);
    hand(&bob, msg, len + 170 + 30);
    side_work(&bob);
    kith_noise_worked(bob.noise, 0);
    side_drain(&bob);
    assert_failed(&bob, KITH_ECRYPTO, NULL);
    end();
}

static void work_that_fails_says_so_when_it_is_told(void **state)
{
    (void)state;
    uint8_t msg[8192];
    size_t len = before_c(HFS, msg);
    msg[20] ^= 1;
    hand(&bob, msg, len);
    side_work(&bob);
    assert_false(bob.failed);
    kith_noise_worked(bob.noise, 0);
    side_drain(&bob);
    assert_failed(&bob, KITH_ECRYPTO, "the handshake message does not authenticate");
    end();
}

static void a_machine_freed_while_it_is_worked_on_goes_when_that_is_told(void **state)
{
    (void)state;
    uint8_t msg[8192];
    for (unsigned when = 0; when < 3; when++) {
        size_t live = bob.heap.live, len = before_c(HFS, msg);
        kith_noise *n = bob.noise;
        hand(&bob, msg, len);
        if (when == 1)
            side_work(&bob);
        kith_noise_free(n);
        kith_noise_recv(n, 0, kith_span_of(msg, 100)); /* it does no harm */
        assert_true(bob.heap.live > live);
        if (when == 2)
            side_work(&bob);
        kith_noise_worked(n, 0);
        assert_int_equal(bob.heap.live, live);
        bob.noise = NULL;
        end();
    }
}

/* ---- memory ---- */

static void failing_any_allocation_fails_cleanly(void **state)
{
    (void)state;
    uint8_t seed[32] = {5};
    for (size_t s = 0; s < kith_noise_suite_count; s++) {
        for (size_t fail_at = 1;; fail_at++) {
            heap h = {.fail_at = fail_at};
            dice d = {.seed = 7};
            kith_env env = {.alloc = {&h, heap_fn}, .rand = {&d, dice_fn}};
            kith_signer *signer = kith_signer_new(seed);
            kith_noise_identity *id = kith_noise_identity_new(&env, signer, alice.pq);
            side us[2] = {{.identity = id}, {.identity = id}};
            uint8_t msg[8192];
            for (int i = 0; i < 2 && id; i++) {
                kith_noise_config cfg = side_config(&us[i], &kith_noise_suites[s], i == 0);
                cfg.env = &env;
                us[i].noise = kith_noise_new(&cfg);
            }
            if (us[0].noise && us[1].noise) {
                /* In two pieces, so that they are gathered. */
                for (int turn = 0; turn < 3; turn++) {
                    size_t len = side_send(&us[turn % 2], msg);
                    side_feed(&us[!(turn % 2)], kith_bytes_of(msg, len / 2));
                    side_feed(&us[!(turn % 2)], kith_bytes_of(msg + len / 2, len - len / 2));
                }
                if (us[0].ready && us[1].ready) {
                    size_t len = side_seal(&us[0], "hello", 5, msg);
                    side_feed(&us[1], kith_bytes_of(msg, len / 2));
                    side_feed(&us[1], kith_bytes_of(msg + len / 2, len - len / 2));
                }
            }
            for (int i = 0; i < 2; i++)
                assert_true(!us[i].failed || us[i].err == KITH_ENOMEM);
            bool all = us[1].got_len == 5;
            assert_int_equal(all, h.calls < fail_at);
            assert_int_equal(us[0].failed + us[1].failed, !all && us[0].noise && us[1].noise);
            for (int i = 0; i < 2; i++) {
                kith_noise_free(us[i].noise);
                free(us[i].got);
            }
            kith_noise_identity_free(id);
            kith_signer_free(signer);
            assert_int_equal(h.live, 0);
            if (all) {
                assert_true(fail_at > 8);
                break;
            }
        }
    }
}

static void failing_any_allocation_of_what_comes_ahead_fails_cleanly(void **state)
{
    (void)state;
    for (size_t fail_at = 1;; fail_at++) {
        uint8_t msg[8192];
        size_t live = bob.heap.live, len = before_c(HFS, msg);
        bob.heap.fail_at = bob.heap.calls + fail_at;
        side_feed(&bob, kith_bytes_of(msg, len));
        bool all = bob.heap.calls < bob.heap.fail_at;
        bob.heap.fail_at = 0;
        assert_int_equal(bob.failed, !all);
        assert_int_equal(bob.got_len, all ? 5 : 0);
        if (!all)
            assert_failed(&bob, KITH_ENOMEM, "no memory for the handshake");
        end();
        assert_int_equal(bob.heap.live, live);
        if (all) {
            assert_int_equal(fail_at, 3); /* the step, what came ahead */
            break;
        }
    }
}

static int setup(void **state)
{
    (void)state;
    uint8_t a[32] = {1}, b[32] = {2}, m[32] = {3};
    side_init(&alice, a, 1, (kith_bytes){0});
    side_init(&bob, b, 2, (kith_bytes){0});
    side_init(&mallory, m, 3, (kith_bytes){0});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    side_fini(&alice);
    side_fini(&bob);
    side_fini(&mallory);
    kith_noise_free(NULL);
    kith_noise_identity_free(NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_names_each_suite_once_and_in_order),
        cmocka_unit_test(every_suite_shakes_hands_in_messages_of_the_known_sizes),
        cmocka_unit_test(records_of_every_size_arrive_both_ways),
        cmocka_unit_test(room_leaves_space_for_length_and_tag),
        cmocka_unit_test(a_stream_may_be_cut_anywhere),
        cmocka_unit_test(a_stream_may_come_byte_by_byte),
        cmocka_unit_test(many_records_come_in_one_piece),
        cmocka_unit_test(an_open_machine_is_small_and_an_idle_one_buffers_nothing),
        cmocka_unit_test(the_same_dice_give_the_same_bytes),
        cmocka_unit_test(each_side_may_insist_on_its_peer),
        cmocka_unit_test(the_muxer_is_the_first_of_the_initiator_that_both_have),
        cmocka_unit_test(a_payload_is_taken_or_refused_for_the_right_reason),
        cmocka_unit_test(a_peer_that_comes_again_is_taken_or_refused_for_the_right_reason),
        cmocka_unit_test(CVE_2022_24759_nobody_is_who_others_have_not_signed_for),
        cmocka_unit_test(peers_with_other_key_types_are_authenticated),
        cmocka_unit_test(a_payload_in_message_a_is_ignored_by_xx_and_refused_by_hfs),
        cmocka_unit_test(key_shares_of_low_order_are_refused),
        cmocka_unit_test(a_malformed_ml_kem_key_is_refused),
        cmocka_unit_test(suites_and_prologues_must_agree),
        cmocka_unit_test(the_suite_is_what_the_two_lists_lead_to_or_there_is_no_connection),
        cmocka_unit_test(a_listener_sees_it_too),
        cmocka_unit_test(a_peer_without_a_list_is_not_kith_and_kiths_own_suites_need_one),
        cmocka_unit_test(a_list_of_channels_has_a_cap),
        cmocka_unit_test(each_side_proves_its_post_quantum_key_with_every_algorithm),
        cmocka_unit_test(statements_about_former_keys_come_along_as_far_as_they_fit),
        cmocka_unit_test(other_suites_prove_no_post_quantum_key),
        cmocka_unit_test(a_post_quantum_identity_is_taken_or_refused_for_the_right_reason),
        cmocka_unit_test(a_message_of_another_handshake_does_not_authenticate),
        cmocka_unit_test(a_long_message_costs_what_has_come_of_it),
        cmocka_unit_test(every_flipped_byte_of_an_xx_handshake_is_fatal),
        cmocka_unit_test(every_flipped_byte_of_an_hfs_handshake_is_fatal),
        cmocka_unit_test(every_truncation_of_an_xx_handshake_fails_or_waits),
        cmocka_unit_test(every_truncation_of_an_hfs_handshake_fails_or_waits),
        cmocka_unit_test(every_flipped_byte_of_a_record_is_fatal),
        cmocka_unit_test(a_record_that_is_replayed_reflected_or_out_of_turn_is_fatal),
        cmocka_unit_test(a_record_shorter_than_its_tag_is_fatal),
        cmocka_unit_test(empty_records_are_borne_but_not_for_ever),
        cmocka_unit_test(used_up_nonces_end_the_connection),
        cmocka_unit_test(the_dead_stay_dead),
        cmocka_unit_test(nothing_happens_between_work_and_its_being_told),
        cmocka_unit_test(records_that_come_while_work_is_under_way_are_read_after_it),
        cmocka_unit_test(what_comes_ahead_is_kept_up_to_a_cap),
        cmocka_unit_test(messages_that_answer_nothing_are_no_handshake),
        cmocka_unit_test(work_that_fails_says_so_when_it_is_told),
        cmocka_unit_test(a_machine_freed_while_it_is_worked_on_goes_when_that_is_told),
        cmocka_unit_test(failing_any_allocation_fails_cleanly),
        cmocka_unit_test(failing_any_allocation_of_what_comes_ahead_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
