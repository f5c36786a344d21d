/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages: sealed, taken apart, verified, and everything that is not one. */
#include "wire/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "unit/vectors.h"
#include "wire/pb.h"

static kith_signer *signer, *other;
static kith_pq_signer *pq, *other_pq;
static uint8_t room[KITH_SIG_MAX];
static uint8_t sealed[KITH_MESSAGE_MAX + 64];

static const uint64_t noon = 1800000000000u; /* ms */

static int set_up(void **state)
{
    (void)state;
    uint8_t seed[32];
    memset(seed, 1, sizeof seed);
    signer = kith_signer_new(seed);
    bool bad = kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, sizeof seed), &pq) != KITH_OK;
    memset(seed, 2, sizeof seed);
    other = kith_signer_new(seed);
    bad |= kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, sizeof seed), &other_pq) != KITH_OK;
    return bad || !signer || !other;
}

static int tear_down(void **state)
{
    (void)state;
    kith_signer_free(signer);
    kith_signer_free(other);
    kith_pq_signer_free(pq);
    kith_pq_signer_free(other_pq);
    return 0;
}

static kith_message greeting(void)
{
    kith_message m = {.time = noon,
                      .ttl = KITH_MESSAGE_TTL_DEFAULT,
                      .priority = KITH_MESSAGE_PRIORITY_DEFAULT,
                      .text = true,
                      .type = kith_bytes_str("text"),
                      .topic = kith_bytes_str("quantra-default"),
                      .payload = kith_bytes_str("good morning")};
    memset(m.id, 7, sizeof m.id);
    return m;
}

static kith_message_keys both(void)
{
    return (kith_message_keys){.signer = signer, .pq_signer = pq, .room = room};
}

static kith_bytes seal_with(const kith_message *m, kith_message_keys keys)
{
    kith_wr w = kith_wr_of(kith_span_of(sealed, sizeof sealed));
    assert_int_equal(kith_message_seal(m, &keys, &w), KITH_OK);
    return kith_wr_bytes(&w);
}

static kith_err seals(const kith_message *m)
{
    kith_message_keys keys = {.signer = signer};
    kith_wr w = kith_wr_of(kith_span_of(sealed, sizeof sealed));
    kith_err e = kith_message_seal(m, &keys, &w);
    kith_message back;
    if (!e)
        assert_int_equal(kith_message_parse(kith_wr_bytes(&w), &back), KITH_OK);
    return e;
}

static void a_message_is_read_as_it_was_written(void **state)
{
    (void)state;
    kith_message m = greeting(), got;
    m.answers = true;
    memset(m.reply_to, 9, sizeof m.reply_to);
    kith_bytes in = seal_with(&m, both());
    assert_int_equal(kith_message_parse(in, &got), KITH_OK);
    assert_memory_equal(got.id, m.id, sizeof m.id);
    assert_memory_equal(got.reply_to, m.reply_to, sizeof m.reply_to);
    assert_true(got.time == noon && got.ttl == m.ttl && got.priority == m.priority && got.text &&
                got.answers);
    assert_true(kith_bytes_eq(got.type, m.type) && kith_bytes_eq(got.topic, m.topic) && got.to.len == 0);
    assert_true(kith_bytes_eq(got.payload, m.payload));
    kith_pq_id id = kith_pq_id_of_signer(pq);
    assert_true(kith_pq_id_eq(&got.pq, &id));
    assert_int_equal(kith_message_verify(&got), KITH_OK);

    kith_message to_peer = greeting(),
                 back; /* the other form: to a peer, of bytes, signed by one key, its own type */
    to_peer.topic = (kith_bytes){0};
    to_peer.to = got.source;
    to_peer.text = false;
    to_peer.payload = kith_bytes_of("\xff\0\xfe", 3);
    to_peer.type = kith_bytes_str("acme/lamp.on");
    to_peer.priority = 0;
    in = seal_with(&to_peer, (kith_message_keys){.signer = other});
    assert_int_equal(kith_message_parse(in, &back), KITH_OK);
    assert_true(kith_peer_id_eq(&back.to, &got.source) && back.topic.len == 0 && !back.text && !back.answers);
    assert_true(back.pq.len == 0 && back.priority == 0 && kith_bytes_eq(back.payload, to_peer.payload));
    assert_false(kith_peer_id_eq(&back.source, &got.source));
    assert_int_equal(kith_message_verify(&back), KITH_OK);
}

static void every_truncation_and_every_wrong_byte_is_refused(void **state)
{
    (void)state;
    kith_message m = greeting(), got;
    kith_bytes in = seal_with(&m, both());
    for (size_t n = 0; n < in.len; n++) {
        kith_err e = kith_message_parse(kith_bytes_of(sealed, n), &got);
        assert_int_not_equal(e ? e : kith_message_verify(&got), KITH_OK);
    }
    for (size_t i = 0; i < in.len; i++) {
        sealed[i] ^= 0x21;
        kith_err e = kith_message_parse(in, &got);
        assert_int_not_equal(e ? e : kith_message_verify(&got), KITH_OK);
        sealed[i] ^= 0x21;
    }
    assert_int_equal(kith_message_parse(in, &got), KITH_OK);
    assert_int_equal(kith_message_verify(&got), KITH_OK);
}

/* Fields of a sealed message put together anew, with those of another in their place where `from` says so, or left out where 2, or twice
 * where 3. */
static kith_err spliced(kith_bytes a, kith_bytes b, const int from[5])
{
    static uint8_t out[2 * sizeof sealed];
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    for (int side = 0; side < 2; side++) {
        kith_rd r = kith_rd_of(side ? b : a);
        kith_pb_field f;
        while (kith_pb_next(&r, &f)) {
            if (from[f.tag] == side || from[f.tag] == 3)
                kith_pb_put_bytes(&w, f.tag, f.data);
        }
    }
    kith_message got;
    kith_err e = kith_message_parse(kith_wr_bytes(&w), &got);
    return e ? e : kith_message_verify(&got);
}

static void keys_and_signatures_are_not_exchanged_nor_taken_away(void **state)
{
    (void)state;
    static uint8_t first[16384];
    kith_message m = greeting();
    kith_bytes in = seal_with(&m, both());
    assert_true(in.len <= sizeof first);
    memcpy(first, in.p, in.len);
    kith_bytes a = kith_bytes_of(first, in.len);
    kith_bytes b = seal_with(&m, (kith_message_keys){.signer = signer, .pq_signer = other_pq, .room = room});
    /*                                     body sig key pq_sig */
    assert_int_equal(spliced(a, b, (int[]){0, 0, 0, 0, 0}), KITH_OK);
    assert_int_equal(spliced(a, b, (int[]){0, 1, 1, 1, 1}), KITH_OK);
    assert_int_equal(spliced(a, b, (int[]){0, 0, 0, 1, 1}),
                     KITH_ECRYPTO); /* another's post-quantum key on it */
    assert_int_equal(spliced(a, b, (int[]){0, 0, 0, 0, 1}), KITH_ECRYPTO);
    assert_int_equal(spliced(a, b, (int[]){0, 0, 0, 2, 2}), KITH_ECRYPTO); /* none */
    assert_int_equal(spliced(a, b, (int[]){0, 0, 0, 0, 2}), KITH_EFORMAT);
    assert_int_equal(spliced(a, b, (int[]){0, 0, 0, 2, 0}), KITH_EFORMAT);
    assert_int_equal(spliced(a, b, (int[]){0, 0, 2, 0, 0}), KITH_EFORMAT);
    assert_int_equal(spliced(a, b, (int[]){0, 2, 0, 0, 0}), KITH_EFORMAT);
    for (int twice = 1; twice <= 4; twice++) {
        int from[5] = {0};
        from[twice] = 3;
        assert_int_equal(spliced(a, a, from), KITH_EFORMAT);
    }
    b = seal_with(&m, (kith_message_keys){.signer = other, .pq_signer = pq, .room = room});
    assert_int_equal(spliced(a, b, (int[]){0, 0, 1, 0, 0}), KITH_ECRYPTO); /* another's signature */
    assert_int_equal(spliced(a, b, (int[]){0, 1, 0, 0, 0}), KITH_ECRYPTO);
}

static void what_may_not_be_sent_is_not_sealed(void **state)
{
    (void)state;
    kith_message m = greeting();
    assert_int_equal(seals(&m), KITH_OK);
    m.ttl = KITH_MESSAGE_TTL_MAX, m.priority = KITH_MESSAGE_PRIORITY_MAX;
    assert_int_equal(seals(&m), KITH_OK);
    m.ttl++;
    assert_int_equal(seals(&m), KITH_EFORMAT);
    m.ttl = 0;
    assert_int_equal(seals(&m), KITH_EFORMAT);
    m = greeting();
    m.priority = KITH_MESSAGE_PRIORITY_MAX + 1;
    assert_int_equal(seals(&m), KITH_EFORMAT);
    m = greeting();
    m.payload = kith_bytes_of("\xc3", 1); /* half a letter */
    assert_int_equal(seals(&m), KITH_EFORMAT);
    m.text = false;
    assert_int_equal(seals(&m), KITH_OK);
    m.topic = (kith_bytes){0};
    assert_int_equal(seals(&m), KITH_EFORMAT); /* to nobody */
    m = greeting();
    static const uint8_t id[] = {0x12, 0x20};
    m.to.len = 34;
    memcpy(m.to.b, id, sizeof id);
    assert_int_equal(seals(&m), KITH_EFORMAT); /* to two */
}

static void names_of_types_and_topics_have_their_letters_and_lengths(void **state)
{
    (void)state;
    char name[KITH_MESSAGE_TOPIC_MAX + 2];
    memset(name, 'a', sizeof name);
    for (const char *const *t = kith_message_types; *t; t++)
        assert_true(kith_message_type_ok(kith_bytes_str(*t)));
    assert_true(kith_message_type_ok(kith_bytes_of(name, KITH_MESSAGE_TYPE_MAX)));
    assert_false(kith_message_type_ok(kith_bytes_of(name, KITH_MESSAGE_TYPE_MAX + 1)));
    assert_true(kith_message_topic_ok(kith_bytes_of(name, KITH_MESSAGE_TOPIC_MAX)));
    assert_false(kith_message_topic_ok(kith_bytes_of(name, KITH_MESSAGE_TOPIC_MAX + 1)));
    static const char *const types[] = {"", "1a", "-a", "/a", "A", "aB", "a b", "a\n", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        assert_false(kith_message_type_ok(kith_bytes_str(types[i])));
    static const char *const topics[] = {"", "a b", "a\n", "\xff", "\xe2\x80\xae-"};
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        assert_false(kith_message_topic_ok(kith_bytes_str(topics[i])));
    assert_true(kith_message_topic_ok(kith_bytes_str("/synaptic/thoughts/\xe4\xb8\x96")));
}

/* A body of the test's own making, signed rightly: only its fields can be what is refused. */
static kith_err with_body(kith_bytes body)
{
    static uint8_t out[KITH_MESSAGE_MAX + 4096];
    uint8_t sig[64] = {0};
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_message got;
    kith_pb_put_bytes(&w, 1, body);
    kith_pb_put_bytes(&w, 2, kith_bytes_of(sig, sizeof sig));
    assert_false(w.bad);
    return kith_message_parse(kith_wr_bytes(&w), &got);
}

static void bodies_have_every_field_once_and_in_range(void **state)
{
    (void)state;
    static uint8_t copy[1024], body[4096];
    kith_message m = greeting(), got;
    kith_bytes in = seal_with(&m, (kith_message_keys){.signer = signer});
    assert_int_equal(kith_message_parse(in, &got), KITH_OK);
    memcpy(copy, got.body.p, got.body.len);
    kith_bytes good = kith_bytes_of(copy, got.body.len);
    assert_int_equal(with_body(good), KITH_OK);
    for (uint32_t drop = 1; drop <= 11; drop++) { /* without it, and with it twice */
        kith_wr less = kith_wr_of(kith_span_of(body, sizeof body));
        kith_rd r = kith_rd_of(good);
        kith_pb_field f;
        bool there = false;
        while (kith_pb_next(&r, &f)) {
            there |= f.tag == drop;
            if (f.tag != drop && f.wire == 0)
                kith_pb_put_num(&less, f.tag, f.num);
            else if (f.tag != drop)
                kith_pb_put_bytes(&less, f.tag, f.data);
        }
        bool may = drop == 4 || drop == 7 || drop == 9 || drop == 10 ||
                   drop == 11; /* priority, to, text, reply_to, payload */
        assert_int_equal(with_body(kith_wr_bytes(&less)), may ? KITH_OK : KITH_EFORMAT);
        kith_wr twice = kith_wr_of(kith_span_of(body, sizeof body));
        kith_put_bytes(&twice, good);
        r = kith_rd_of(good);
        while (kith_pb_next(&r, &f)) {
            if (f.tag == drop && f.wire == 0)
                kith_pb_put_num(&twice, f.tag, f.num);
            else if (f.tag == drop)
                kith_pb_put_bytes(&twice, f.tag, f.data);
        }
        assert_int_equal(with_body(kith_wr_bytes(&twice)), there ? KITH_EFORMAT : KITH_OK);
    }
    static const struct {
        uint8_t b[40];
        size_t len;
    } sources[] = {{{0x00, 5, 'n', 'o', 'k', 'e', 'y'}, 7}, /* the identity of what is no key, */
                   {{0x00, 37, 8, 2, 0x12, 33, 2}, 39},     /* of a secp256k1 key, */
                   {{0x00, 35, 8, 1, 0x12, 31}, 37},        /* of one that is too short, */
                   {{0x12, 32, 1}, 34}};                    /* and a hash */
    for (size_t i = 0; i < 4; i++) {
        kith_wr w = kith_wr_of(kith_span_of(body, sizeof body));
        kith_rd r = kith_rd_of(good);
        kith_pb_field f;
        while (kith_pb_next(&r, &f)) {
            if (f.wire == 0)
                kith_pb_put_num(&w, f.tag, f.num);
            else
                kith_pb_put_bytes(&w, f.tag,
                                  f.tag == 6 ? kith_bytes_of(sources[i].b, sources[i].len) : f.data);
        }
        assert_int_equal(with_body(kith_wr_bytes(&w)), KITH_EFORMAT);
    }
    kith_wr later = kith_wr_of(kith_span_of(body, sizeof body));
    kith_put_bytes(&later, good);
    kith_pb_put_num(&later, 99, 5); /* a field of a later version */
    assert_int_equal(with_body(kith_wr_bytes(&later)), KITH_OK);
    static const struct {
        uint32_t tag;
        uint64_t value;
    } numbers[] = {{4, 11}, {9, 2}, {4, UINT64_MAX}};
    for (size_t i = 0; i < 3; i++) {
        kith_wr w = kith_wr_of(kith_span_of(body, sizeof body));
        kith_rd r = kith_rd_of(good);
        kith_pb_field f;
        while (kith_pb_next(&r, &f)) {
            if (f.wire == 0)
                kith_pb_put_num(&w, f.tag, f.tag == numbers[i].tag ? numbers[i].value : f.num);
            else
                kith_pb_put_bytes(&w, f.tag, f.data);
        }
        assert_int_equal(with_body(kith_wr_bytes(&w)), KITH_EFORMAT);
    }
}

static void the_payload_has_a_megabyte_and_not_a_byte_more(void **state)
{
    (void)state;
    uint8_t *big = calloc(1, KITH_MESSAGE_PAYLOAD_MAX + 1);
    kith_message m = greeting(), got;
    m.text = false;
    m.payload = kith_bytes_of(big, KITH_MESSAGE_PAYLOAD_MAX);
    kith_bytes in = seal_with(&m, both());
    assert_int_equal(kith_message_parse(in, &got), KITH_OK);
    assert_int_equal(got.payload.len, KITH_MESSAGE_PAYLOAD_MAX);
    assert_int_equal(kith_message_verify(&got), KITH_OK);
    m.payload.len++;
    assert_int_equal(seals(&m), KITH_ELIMIT);
    kith_wr small = kith_wr_of(kith_span_of(sealed, 100));
    kith_message_keys keys = both();
    m = greeting();
    assert_int_equal(kith_message_seal(&m, &keys, &small), KITH_ESPACE);
    assert_int_equal(kith_message_parse(kith_bytes_of(sealed, KITH_MESSAGE_MAX + 1), &got), KITH_ELIMIT);
    free(big);
}

static void it_is_fresh_until_its_time_is_over(void **state)
{
    (void)state;
    kith_message m = greeting();
    assert_int_equal(kith_message_fresh(&m, noon), KITH_OK);
    assert_int_equal(kith_message_fresh(&m, noon + 60000), KITH_OK);
    assert_int_equal(kith_message_fresh(&m, noon + 60001), KITH_ETIMEOUT);
    assert_int_equal(kith_message_fresh(&m, noon - KITH_MESSAGE_AHEAD_MAX), KITH_OK);
    assert_int_equal(kith_message_fresh(&m, noon - KITH_MESSAGE_AHEAD_MAX - 1), KITH_EPROTO);
    m.time = 0;
    assert_int_equal(kith_message_fresh(&m, UINT64_MAX), KITH_ETIMEOUT);
}

/* ---- the project's own vectors ---- */

static json_t *vector_of(const kith_message *m, kith_message_keys keys, const char *what)
{
    kith_bytes in = seal_with(m, keys);
    char *hex = calloc(1, 2 * in.len + 1);
    kith_wr w = kith_wr_of(kith_span_of(hex, 2 * in.len));
    kith_put_hex(&w, in);
    json_t *v = json_pack("{s:s, s:s}", "what", what, "message", hex);
    free(hex);
    return v;
}

/* test/vectors/message.json; with KITH_WRITE_VECTORS set it is written anew. */
static void the_vectors_come_out_again(void **state)
{
    (void)state;
    json_t *made = json_array();
    kith_message m = greeting(), got;
    json_array_append_new(made, vector_of(&m, (kith_message_keys){.signer = signer}, "to a topic, Ed25519"));
    json_array_append_new(made, vector_of(&m, both(), "to a topic, Ed25519 and ML-DSA-65"));
    assert_int_equal(kith_message_parse(seal_with(&m, both()), &got), KITH_OK);
    m.to = got.source;
    m.topic = (kith_bytes){0};
    m.text = false;
    m.answers = true;
    memset(m.reply_to, 9, sizeof m.reply_to);
    m.payload = kith_bytes_of("\0\1\2", 3);
    m.type = kith_bytes_str("response");
    json_array_append_new(made,
                          vector_of(&m, (kith_message_keys){.signer = other}, "to a peer, bytes, an answer"));
    if (getenv("KITH_WRITE_VECTORS"))
        assert_int_equal(json_dump_file(made, KITH_SOURCE_DIR "/test/vectors/message.json", JSON_INDENT(1)),
                         0);
    json_t *v = vectors_own("message.json");
    assert_true(json_equal(made, v));
    json_decref(v), json_decref(made);
}

int main(void)
{
    if (kith_crypto_init())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_read_as_it_was_written),
        cmocka_unit_test(every_truncation_and_every_wrong_byte_is_refused),
        cmocka_unit_test(keys_and_signatures_are_not_exchanged_nor_taken_away),
        cmocka_unit_test(what_may_not_be_sent_is_not_sealed),
        cmocka_unit_test(names_of_types_and_topics_have_their_letters_and_lengths),
        cmocka_unit_test(bodies_have_every_field_once_and_in_range),
        cmocka_unit_test(the_payload_has_a_megabyte_and_not_a_byte_more),
        cmocka_unit_test(it_is_fresh_until_its_time_is_over),
        cmocka_unit_test(the_vectors_come_out_again),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
