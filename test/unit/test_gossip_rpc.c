/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The bytes of pubsub, against what go-libp2p-pubsub v0.19.0 writes. */
#include "proto/gossip_rpc.h"

#include "support.h"
#include "wire/pb.h"

/* Made by go-libp2p-pubsub's protobufs: the Ed25519 seed is 32 times 7, data "hello", seqno 0x102, topic "blue". */
#define GO_MSG                                                                                             \
    "0a26002408011220ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c120568656c6c6f1a0800" \
    "000000000001022204626c75652a40956dc709ce0688baf8a6093b94c5f1447a453bafa30ad83ad08f0c6b2f8cf614dbba3a" \
    "cafbaa29e695a412917c09c669a0ff2025ef8d6cff568a6062be724a0a"
/* Two subscriptions, that message, one of each control message with the test extension, and the test extension's own message. */
#define GO_RPC                                                                                             \
    "0a0808011204626c75650a07080012037265641281010a26002408011220ea4a6c63e29c520abef5507b132ec5f995477"    \
    "6aebebe7b92421eea691446d22c120568656c6c6f1a0800000000000001022204626c75652a40956dc709ce0688baf8a609"  \
    "3b94c5f1447a453bafa30ad83ad08f0c6b2f8cf614dbba3acafbaa29e695a412917c09c669a0ff2025ef8d6cff568a6062b"  \
    "e724a0a1a9f010a130a04626c7565120469642d31120569642d323212060a0469642d331a060a04626c756522630a0372656" \
    "412300a26002408011220ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c12067265636f72"  \
    "6412280a26002408011220ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c183c2a0c0a046"  \
    "9642d340a0469642d3532059091e218019291e21800"

static kith_signer *signer(uint8_t fill)
{
    uint8_t seed[KITH_ED25519_SEED_LEN];
    memset(seed, fill, sizeof seed);
    return kith_signer_new(seed);
}

static kith_err verify(kith_bytes raw)
{
    kith_gossip_msg m;
    kith_err e = kith_gossip_msg_parse(raw, &m);
    if (e)
        return e;
    kith_span scratch = {malloc(raw.len + 64), raw.len + 64};
    e = kith_gossip_msg_verify(&m, scratch);
    free(scratch.p);
    return e;
}

static void a_message_is_what_go_makes(void **state)
{
    (void)state;
    kith_signer *s = signer(7);
    uint8_t buf[256];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    assert_int_equal(kith_gossip_msg_put(&w, s, 0x102, kith_bytes_str("hello"), kith_bytes_str("blue")),
                     KITH_OK);
    support_assert_hex(kith_wr_bytes(&w), GO_MSG);
    assert_true(w.len <= 5 + 4 + KITH_GOSSIP_MSG_EXTRA);
    assert_int_equal(verify(kith_wr_bytes(&w)), KITH_OK);

    kith_gossip_msg m;
    assert_int_equal(kith_gossip_msg_parse(kith_wr_bytes(&w), &m), KITH_OK);
    support_assert_str(m.data, "hello");
    support_assert_str(m.topic, "blue");
    support_assert_hex(m.seqno, "0000000000000102");
    assert_true(m.has_from && m.has_seqno && m.has_sig && !m.has_key);

    /* Every room that is too small. */
    for (size_t room = 0; room < w.len; room++) {
        kith_wr small = kith_wr_of(kith_span_of(buf, room));
        assert_int_equal(
            kith_gossip_msg_put(&small, s, 0x102, kith_bytes_str("hello"), kith_bytes_str("blue")),
            KITH_ESPACE);
    }
    kith_signer_free(s);
}

static void an_anonymous_message_has_two_fields(void **state)
{
    (void)state;
    uint8_t buf[64];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    assert_int_equal(kith_gossip_msg_put(&w, NULL, 1, kith_bytes_str("hi"), kith_bytes_str("t")), KITH_OK);
    support_assert_hex(kith_wr_bytes(&w), "12026869220174");
}

static void no_bit_of_a_signed_message_can_be_turned(void **state)
{
    (void)state;
    kith_span good = support_hex(GO_MSG);
    assert_int_equal(verify(kith_span_bytes(good)), KITH_OK);
    for (size_t i = 0; i < good.len * 8; i++) {
        good.p[i / 8] ^= (uint8_t)(1u << i % 8);
        kith_gossip_msg m;
        if (kith_gossip_msg_parse(kith_span_bytes(good), &m) == KITH_OK && m.has_from && m.has_sig)
            assert_int_not_equal(verify(kith_span_bytes(good)), KITH_OK);
        good.p[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    free(good.p);
}

/* Fields of a message in any order, signed over what go would sign. */
static void what_is_signed_is_what_go_would_encode(void **state)
{
    (void)state;
    kith_span raw = support_hex("2204626c7565" /* topic first */
                                "0a0161"       /* from, which another one replaces */
                                "f20603787878" /* an unknown field, 110 */
                                "1a00"         /* an empty seqno, which is there */
                                "2a0173"       /* signature */
                                "32016b"       /* key */
                                "0a0162"
                                "980701"); /* another unknown one, a number */
    kith_gossip_msg m;
    assert_int_equal(kith_gossip_msg_parse(kith_span_bytes(raw), &m), KITH_OK);
    support_assert_str(m.from, "b");
    uint8_t buf[128];
    kith_wr w = kith_wr_of(kith_span_of(buf, raw.len + 64));
    kith_gossip_msg_signed(&m, &w);
    /* "libp2p-pubsub:", from, seqno, topic, and the unknown ones as they came; no data, since there was none */
    support_assert_hex(kith_wr_bytes(&w), "6c69627032702d7075627375623a"
                                          "0a0162"
                                          "1a00"
                                          "2204626c7565"
                                          "f20603787878"
                                          "980701");
    free(raw.p);
}

static void a_key_must_be_the_authors(void **state)
{
    (void)state;
    kith_signer *s = signer(7), *other = signer(8);
    uint8_t buf[512], pub[KITH_ED25519_PUB_LEN], key[KITH_PUBKEY_ED25519_LEN];
    for (int own = 0; own < 2; own++) {
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        assert_int_equal(kith_gossip_msg_put(&w, s, 1, kith_bytes_str("x"), kith_bytes_str("t")), KITH_OK);
        kith_signer_public(own ? s : other, pub);
        kith_pubkey_ed25519(pub, key);
        kith_pb_put_bytes(&w, 6, kith_bytes_of(key, sizeof key)); /* as js sends it; not signed */
        assert_int_equal(verify(kith_wr_bytes(&w)), own ? KITH_OK : KITH_EAUTH);
    }
    /* An id that is only a hash needs the key, and no id at all is malformed. */
    kith_gossip_msg m = {.has_from = true, .has_sig = true};
    uint8_t hash[34] = {0x12, 0x20};
    m.from = kith_bytes_of(hash, sizeof hash);
    assert_int_equal(kith_gossip_msg_verify(&m, kith_span_of(buf, sizeof buf)), KITH_EFORMAT);
    m.from = kith_bytes_str("nobody");
    assert_int_equal(kith_gossip_msg_verify(&m, kith_span_of(buf, sizeof buf)), KITH_EFORMAT);
    kith_signer_free(s);
    kith_signer_free(other);
}

static void an_rpc_of_go_is_read(void **state)
{
    (void)state;
    kith_span in = support_hex(GO_RPC);
    kith_bytes rpc = kith_span_bytes(in), list, id, record;
    kith_gossip_item it;
    assert_int_equal(kith_gossip_rpc_check(rpc), KITH_OK);

    kith_gossip_reader r = kith_gossip_rpc_read(rpc, KITH_GOSSIP_SUBS);
    assert_true(kith_gossip_rpc_next(&r, &it));
    assert_true(it.kind == KITH_GOSSIP_SUB && it.on);
    support_assert_str(it.topic, "blue");
    assert_true(kith_gossip_rpc_next(&r, &it));
    assert_true(it.kind == KITH_GOSSIP_SUB && !it.on);
    support_assert_str(it.topic, "red");
    assert_false(kith_gossip_rpc_next(&r, &it));

    r = kith_gossip_rpc_read(rpc, KITH_GOSSIP_MSGS);
    assert_true(kith_gossip_rpc_next(&r, &it));
    assert_int_equal(it.kind, KITH_GOSSIP_MSG);
    support_assert_hex(it.raw, GO_MSG);
    assert_false(kith_gossip_rpc_next(&r, &it));

    r = kith_gossip_rpc_read(rpc, KITH_GOSSIP_CONTROL);
    assert_true(kith_gossip_rpc_next(&r, &it));
    assert_int_equal(it.kind, KITH_GOSSIP_IHAVE);
    support_assert_str(it.topic, "blue");
    list = it.list;
    assert_true(kith_gossip_list_next(it.kind, &list, &id));
    support_assert_str(id, "id-1");
    assert_true(kith_gossip_list_next(it.kind, &list, &id));
    support_assert_str(id, "id-22");
    assert_false(kith_gossip_list_next(it.kind, &list, &id));

    assert_true(kith_gossip_rpc_next(&r, &it));
    assert_int_equal(it.kind, KITH_GOSSIP_IWANT);
    list = it.list;
    assert_true(kith_gossip_list_next(it.kind, &list, &id));
    support_assert_str(id, "id-3");

    assert_true(kith_gossip_rpc_next(&r, &it));
    assert_int_equal(it.kind, KITH_GOSSIP_GRAFT);
    support_assert_str(it.topic, "blue");

    assert_true(kith_gossip_rpc_next(&r, &it));
    assert_int_equal(it.kind, KITH_GOSSIP_PRUNE);
    support_assert_str(it.topic, "red");
    assert_int_equal(it.backoff_s, 60);
    list = it.list;
    assert_true(kith_gossip_list_next(it.kind, &list, &id));
    kith_gossip_peer_info(id, &id, &record);
    assert_int_equal(id.len, 38);
    support_assert_str(record, "record");
    assert_true(kith_gossip_list_next(it.kind, &list, &id));
    kith_gossip_peer_info(id, &id, &record);
    assert_int_equal(record.len, 0);
    assert_false(kith_gossip_list_next(it.kind, &list, &id));

    assert_true(kith_gossip_rpc_next(&r, &it));
    assert_int_equal(it.kind, KITH_GOSSIP_IDONTWANT);
    assert_true(kith_gossip_rpc_next(&r, &it));
    assert_true(it.kind == KITH_GOSSIP_EXTENSIONS && it.on);
    assert_true(kith_gossip_rpc_next(&r, &it));
    assert_int_equal(it.kind, KITH_GOSSIP_TEST);
    assert_false(kith_gossip_rpc_next(&r, &it));
    free(in.p);
}

static void an_rpc_is_written_as_go_writes_it(void **state)
{
    (void)state;
    kith_span want = support_hex(GO_RPC), msg = support_hex(GO_MSG);
    uint8_t out[1024], control[512], peers[256];
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out)),
            c = kith_wr_of(kith_span_of(control, sizeof control)),
            p = kith_wr_of(kith_span_of(peers, sizeof peers));
    kith_gossip_msg m;
    kith_peer_id id;
    assert_int_equal(kith_gossip_msg_parse(kith_span_bytes(msg), &m), KITH_OK);
    assert_int_equal(kith_peer_id_parse(m.from, &id), KITH_OK);

    kith_bytes blue = kith_bytes_str("blue"), red = kith_bytes_str("red");
    const kith_bytes have[] = {kith_bytes_str("id-1"), kith_bytes_str("id-22")},
                     want_ids[] = {kith_bytes_str("id-3")};
    const kith_bytes dont[] = {kith_bytes_str("id-4"), kith_bytes_str("id-5")};
    kith_gossip_put_sub(&w, true, blue);
    kith_gossip_put_sub(&w, false, red);
    kith_pb_put_bytes(&w, 2, kith_span_bytes(msg));
    kith_gossip_put_ids(&c, KITH_GOSSIP_IHAVE, blue, have, 2);
    kith_gossip_put_ids(&c, KITH_GOSSIP_IWANT, blue, want_ids, 1);
    kith_gossip_put_graft(&c, blue);
    kith_gossip_put_peer(&p, &id, kith_bytes_str("record"));
    kith_gossip_put_peer(&p, &id, (kith_bytes){0});
    kith_gossip_put_prune(&c, red, kith_wr_bytes(&p), 60);
    kith_gossip_put_ids(&c, KITH_GOSSIP_IDONTWANT, blue, dont, 2);
    kith_gossip_put_extensions(&c, true);
    kith_gossip_put_control(&w, kith_wr_bytes(&c));
    kith_gossip_put_test(&w);
    support_assert_bytes(kith_wr_bytes(&w), kith_span_bytes(want));

    c.len = 0;
    kith_gossip_put_prune(&c, red, (kith_bytes){0}, 0);
    kith_gossip_put_extensions(&c, false);
    support_assert_hex(kith_wr_bytes(&c), "22050a037265643200");
    free(want.p);
    free(msg.p);
}

static void the_head_of_a_message_is_its_rpc_without_it(void **state)
{
    (void)state;
    uint8_t head[16], body[300] = {0};
    for (size_t len = 0; len < sizeof body; len += 37) {
        uint8_t out[340];
        kith_wr w = kith_wr_of(kith_span_of(out, sizeof out)),
                inner = kith_wr_of(kith_span_of(out + 20, 320));
        kith_pb_put_bytes(&inner, 2, kith_bytes_of(body, len));
        kith_put_uvarint(&w, inner.len);
        size_t n = kith_gossip_msg_head(len, head);
        assert_int_equal(n, w.len + inner.len - len);
        assert_memory_equal(head, out, w.len);
        assert_memory_equal(head + w.len, out + 20, n - w.len);
    }
}

/* Whatever was checked can be walked, and no walk leaves its input. */
static void walk(void *ctx, kith_bytes in)
{
    (void)ctx;
    if (kith_gossip_rpc_check(in))
        return;
    for (int s = KITH_GOSSIP_SUBS; s <= KITH_GOSSIP_CONTROL; s++) {
        kith_gossip_reader r = kith_gossip_rpc_read(in, (kith_gossip_section)s);
        kith_gossip_item it;
        while (kith_gossip_rpc_next(&r, &it)) {
            kith_bytes list = it.list, a, b;
            while (kith_gossip_list_next(it.kind, &list, &a))
                kith_gossip_peer_info(a, &a, &b);
            kith_gossip_msg m;
            if (it.kind == KITH_GOSSIP_MSG)
                assert_int_equal(kith_gossip_msg_parse(it.raw, &m), KITH_OK);
        }
    }
}

static void every_cut_and_every_wrong_byte_is_survived(void **state)
{
    (void)state;
    kith_span rpc = support_hex(GO_RPC), msg = support_hex(GO_MSG);
    support_mutate(kith_span_bytes(rpc), walk, NULL);
    support_mutate(kith_span_bytes(msg), walk, NULL);
    free(rpc.p);
    free(msg.p);
}

static void expect(const char *hex, kith_err want)
{
    kith_span in = support_hex(hex);
    assert_int_equal(kith_gossip_rpc_check(kith_span_bytes(in)), want);
    free(in.p);
}

static void what_is_malformed_is_refused(void **state)
{
    (void)state;
    expect("", KITH_OK);
    expect("780a", KITH_OK);             /* an unknown field */
    expect("0a02", KITH_EPROTO);         /* cut */
    expect("0801", KITH_EPROTO);         /* a number where subscriptions are */
    expect("1001", KITH_EPROTO);         /* where messages are */
    expect("1801", KITH_EPROTO);         /* where control is */
    expect("0a020a00", KITH_EPROTO);     /* bytes where subscribe is */
    expect("0a021001", KITH_EPROTO);     /* a number where a topic is */
    expect("12020801", KITH_EPROTO);     /* where an author is */
    expect("1a020801", KITH_EPROTO);     /* where an IHAVE is */
    expect("1a040a021001", KITH_EPROTO); /* where an IHAVE's id is */
    expect("1a0412020801", KITH_EPROTO); /* an IWANT's */
    expect("1a041a020801", KITH_EPROTO); /* a GRAFT's topic */
    expect("1a0422021a00", KITH_EPROTO); /* bytes where a backoff is */
    expect("1a04220212ff", KITH_EPROTO); /* a peer that is cut */
    expect("1a0622041202"
           "0801",
           KITH_EPROTO);                 /* a number where a peer's id is */
    expect("1a042a020801", KITH_EPROTO); /* an IDONTWANT's */
    expect("1a043202"
           "0a00",
           KITH_OK);                         /* an unknown extension */
    expect("1a0632049291e218", KITH_EPROTO); /* the test extension, cut */
    expect("1a07320590"
           "91e21801",
           KITH_OK);
    expect("1a0732059291e21800", KITH_EPROTO); /* bytes where it is a bool */
    expect("9091e21800", KITH_EPROTO);         /* a number where its message is */
}

static void an_rpc_has_so_many_bytes_and_items(void **state)
{
    (void)state;
    uint8_t *p = calloc(1, KITH_GOSSIP_RPC_MAX + 1), *zeros = calloc(1, KITH_GOSSIP_RPC_MAX);
    /* one message that fills it: tag, length in three bytes, an unknown field of the rest */
    kith_wr w = kith_wr_of(kith_span_of(p, KITH_GOSSIP_RPC_MAX + 1));
    kith_pb_put_bytes(&w, 15, kith_bytes_of(zeros, 1000000));
    kith_pb_put_bytes(&w, 15, kith_bytes_of(zeros, KITH_GOSSIP_RPC_MAX - w.len - 4));
    assert_int_equal(w.len, KITH_GOSSIP_RPC_MAX);
    assert_int_equal(kith_gossip_rpc_check(kith_wr_bytes(&w)), KITH_OK);
    kith_pb_put_bytes(&w, 15, (kith_bytes){0});
    assert_int_equal(kith_gossip_rpc_check(kith_bytes_of(p, KITH_GOSSIP_RPC_MAX + 1)), KITH_ELIMIT);

    /* empty subscriptions; and one IWANT of empty ids, which counts itself */
    for (size_t i = 0; i <= KITH_GOSSIP_ITEMS_MAX; i++)
        p[2 * i] = 0x0a, p[2 * i + 1] = 0;
    assert_int_equal(kith_gossip_rpc_check(kith_bytes_of(p, 2 * KITH_GOSSIP_ITEMS_MAX)), KITH_OK);
    assert_int_equal(kith_gossip_rpc_check(kith_bytes_of(p, 2 * KITH_GOSSIP_ITEMS_MAX + 2)), KITH_ELIMIT);
    for (size_t more = 0; more < 2; more++) {
        uint8_t *q = calloc(1, KITH_GOSSIP_ITEMS_MAX * 3);
        kith_wr c = kith_wr_of(kith_span_of(q, KITH_GOSSIP_ITEMS_MAX * 3));
        kith_pb_put_bytes(&c, 2, kith_bytes_of(p, 2 * (KITH_GOSSIP_ITEMS_MAX - 1 + more)));
        w = kith_wr_of(kith_span_of(p + 65536, KITH_GOSSIP_RPC_MAX - 65536));
        kith_gossip_put_control(&w, kith_wr_bytes(&c));
        assert_int_equal(kith_gossip_rpc_check(kith_wr_bytes(&w)), more ? KITH_ELIMIT : KITH_OK);
        free(q);
    }
    free(zeros);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_what_go_makes),
        cmocka_unit_test(an_anonymous_message_has_two_fields),
        cmocka_unit_test(no_bit_of_a_signed_message_can_be_turned),
        cmocka_unit_test(what_is_signed_is_what_go_would_encode),
        cmocka_unit_test(a_key_must_be_the_authors),
        cmocka_unit_test(an_rpc_of_go_is_read),
        cmocka_unit_test(an_rpc_is_written_as_go_writes_it),
        cmocka_unit_test(the_head_of_a_message_is_its_rpc_without_it),
        cmocka_unit_test(every_cut_and_every_wrong_byte_is_survived),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(an_rpc_has_so_many_bytes_and_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
