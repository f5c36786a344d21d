/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* identify, both sides: what is said is heard, in any pieces; the splits, the caps, every broken message, no memory, no time. */
#include "proto/identify.h"

#include <stdio.h>

#include "crypto/crypto.h"
#include "support.h"
#include "wire/pb.h"

static kith_signer *signer;
static uint8_t own_key[KITH_PUBKEY_ED25519_LEN];
static kith_peer_id own, other;
static uint8_t record_buf[KITH_ENVELOPE_MAX];
static kith_bytes record; /* own's, with one address */

static const kith_stream_ops *const ops = &kith_identify_ops;

static kith_maddr addr(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return a;
}

static void make_key(const kith_signer *s, uint8_t key[KITH_PUBKEY_ED25519_LEN], kith_peer_id *id)
{
    uint8_t pub[KITH_ED25519_PUB_LEN];
    kith_signer_public(s, pub);
    kith_pubkey_ed25519(pub, key);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(key, KITH_PUBKEY_ED25519_LEN), id), KITH_OK);
}

static int set_up(void **state)
{
    (void)state;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {1}, key[KITH_PUBKEY_ED25519_LEN];
    signer = kith_signer_new(seed);
    make_key(signer, own_key, &own);
    seed[0] = 2;
    kith_signer *s = kith_signer_new(seed);
    make_key(s, key, &other);
    kith_signer_free(s);
    kith_maddr a = addr("/ip4/1.2.3.4/tcp/9000");
    kith_wr w = kith_wr_of(kith_span_of(record_buf, sizeof record_buf));
    if (kith_peer_record_seal(signer, 5, &a, 1, &w) != KITH_OK)
        return 1;
    record = kith_wr_bytes(&w);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kith_signer_free(signer);
    return 0;
}

/* Everything a speaker says, in pieces of at most `piece`; checks its verbs. */
static size_t speak(kith_identify *s, kith_span out, size_t piece)
{
    size_t len = 0;
    assert_int_equal(ops->want(s), KITH_STREAM_OPEN);
    assert_true(ops->deadline(s) == KITH_NEVER);
    for (size_t n = 1; n > 0; len += n) {
        n = out.len - len < piece ? out.len - len : piece;
        n = ops->send(s, KITH_SEC(100), kith_span_of(out.p + len, n));
    }
    assert_int_equal(ops->want(s), KITH_STREAM_FIN);
    assert_true(ops->deadline(s) == KITH_SEC(100) + KITH_IDENTIFY_TIMEOUT);
    assert_false(ops->pending(s));
    return len;
}

/* A listener for `peer` that is given in, in pieces, and the end. */
static kith_identify *listen(const kith_env *env, const kith_peer_id *peer, kith_bytes in, size_t piece)
{
    kith_identify *l;
    const kith_identify_info *info;
    assert_int_equal(kith_identify_listener(env, 0, peer, &l), KITH_OK);
    while (in.len > 0) {
        size_t n = in.len < piece ? in.len : piece;
        if (ops->recv(l, 0, kith_bytes_of(in.p, n)) != KITH_OK)
            return l;
        assert_int_equal(kith_identify_result(l, &info), KITH_ESTATE);
        assert_false(ops->pending(l));
        in = kith_bytes_skip(in, n);
    }
    ops->eof(l, 0);
    return l;
}

static void all_of_it_arrives_in_any_pieces(void **state)
{
    (void)state;
    const kith_maddr addrs[] = {addr("/ip4/1.2.3.4/tcp/9000"), addr("/ip6/2001:db8::1/tcp/9000"),
                                addr("/dns4/example.org/udp/9/quic-v1")};
    const kith_maddr observed = addr("/ip4/5.6.7.8/tcp/50000");
    const kith_bytes protocols[] = {kith_bytes_str(KITH_IDENTIFY_ID), kith_bytes_str("/ipfs/ping/1.0.0")};
    const kith_identify_local local = {.pubkey = kith_bytes_of(own_key, sizeof own_key),
                                       .addrs = addrs,
                                       .addr_count = 3,
                                       .observed = kith_maddr_bytes(&observed),
                                       .protocols = protocols,
                                       .protocol_count = 2,
                                       .agent = kith_bytes_str("kith/0.1"),
                                       .record = record};
    static const size_t pieces[] = {1, 2, 7, 100, 100000};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        uint8_t out[8192];
        kith_identify *s;
        assert_int_equal(kith_identify_speaker(env, &local, &s), KITH_OK);
        size_t len = speak(s, kith_span_of(out, sizeof out), pieces[i]);
        assert_true(len < 2100); /* one message */
        kith_identify *l =
            listen(env, &own, kith_bytes_of(out, len), pieces[sizeof pieces / sizeof pieces[0] - 1 - i]);
        const kith_identify_info *info;
        assert_int_equal(kith_identify_result(l, &info), KITH_OK);
        assert_true(ops->pending(l));
        assert_int_equal(ops->want(l), KITH_STREAM_FIN);
        assert_true(ops->deadline(l) == KITH_NEVER);
        assert_null(kith_identify_why(l));
        assert_true(info->has_agent && info->has_protocols && info->has_addrs && info->has_observed);
        support_assert_str(info->agent, "kith/0.1");
        support_assert_str(info->protocol_version, KITH_IDENTIFY_VERSION);
        assert_int_equal(info->protocol_count, 2);
        for (size_t j = 0; j < 2; j++)
            support_assert_bytes(info->protocols[j], protocols[j]);
        assert_int_equal(info->addr_count, 3);
        for (size_t j = 0; j < 3; j++)
            assert_true(kith_maddr_eq(&info->addrs[j], &addrs[j]));
        assert_true(kith_maddr_eq(&info->observed, &observed));
        kith_peer_record rec;
        support_assert_bytes(info->record, record);
        assert_int_equal(kith_identify_record(info, &rec), KITH_OK);
        assert_true(rec.seq == 5 && rec.addr_count == 1 && kith_peer_id_eq(&rec.peer, &own));
        support_assert_bytes(rec.addrs[0], kith_maddr_bytes(&addrs[0]));
        assert_int_equal(ops->send(l, 0, kith_span_of(out, sizeof out)), 0); /* a listener says nothing */
        ops->gone(l, 0, KITH_OK);
        assert_int_equal(kith_identify_result(l, &info), KITH_OK); /* and keeps what it heard */
        ops->gone(s, 0, KITH_OK);
        ops->free(l);
        ops->free(s);
        support_heap_check(&heap);
    }
    ops->free(NULL);
}

static void the_message_is_laid_out_as_the_specification_says(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    const kith_maddr a = addr("/ip4/1.2.3.4/tcp/9000");
    const kith_bytes protocol = kith_bytes_str("/a");
    const kith_identify_local local = {.pubkey = kith_bytes_str("KEY"),
                                       .addrs = &a,
                                       .addr_count = 1,
                                       .observed = kith_maddr_bytes(&a),
                                       .protocols = &protocol,
                                       .protocol_count = 1,
                                       .agent = kith_bytes_str("k"),
                                       .record = kith_bytes_str("R")};
    uint8_t out[256];
    kith_identify *s;
    assert_int_equal(kith_identify_speaker(env, &local, &s), KITH_OK);
    size_t len = speak(s, kith_span_of(out, sizeof out), 1000);
    support_assert_hex(kith_bytes_of(out, len), "2f"         /* length */
                                                "0a034b4559" /* publicKey = 1 */
                                                "1208"
                                                "0401020304062328" /* listenAddrs = 2 */
                                                "1a022f61"         /* protocols = 3 */
                                                "2208"
                                                "0401020304062328"         /* observedAddr = 4 */
                                                "2a0a697066732f302e312e30" /* protocolVersion = 5 */
                                                "32016b"                   /* agentVersion = 6 */
                                                "420152");                 /* signedPeerRecord = 8 */
    ops->free(s);
    support_heap_check(&heap);
}

/* The lengths of the messages in a stream; checks that none is too long to be read by others. */
static size_t message_lengths(kith_bytes in, size_t *lengths, size_t max)
{
    size_t n = 0;
    kith_rd r = kith_rd_of(in);
    while (r.in.len > 0) {
        assert_true(n < max);
        size_t before = r.in.len;
        lengths[n++] = kith_get_lp(&r).len;
        assert_false(r.bad);
        assert_true(before - r.in.len <= KITH_IDENTIFY_SEND_MAX);
    }
    return n;
}

/* Says many protocols and addresses, and tells in how many messages. */
static size_t say_many(size_t protocol_count, size_t addr_count, bool with_record, kith_identify **listener,
                       const kith_env *env)
{
    static char names[1000][40];
    static kith_bytes protocols[1000];
    static kith_maddr addrs[1000];
    static uint8_t out[KITH_IDENTIFY_CHUNKS_MAX * KITH_IDENTIFY_SEND_MAX];
    size_t lengths[KITH_IDENTIFY_CHUNKS_MAX];
    for (size_t i = 0; i < protocol_count; i++) {
        (void)snprintf(names[i], sizeof names[i], "/kith/many/%zu/1", i);
        protocols[i] = kith_bytes_str(names[i]);
    }
    for (size_t i = 0; i < addr_count; i++)
        kith_maddr_from_tcp(kith_bytes_of("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16), (uint16_t)i,
                            &addrs[i]);
    const kith_identify_local local = {.pubkey = kith_bytes_of(own_key, sizeof own_key),
                                       .addrs = addrs,
                                       .addr_count = addr_count,
                                       .protocols = protocols,
                                       .protocol_count = protocol_count,
                                       .agent = kith_bytes_str("kith"),
                                       .record = with_record ? record : (kith_bytes){0}};
    kith_identify *s;
    if (kith_identify_speaker(env, &local, &s) != KITH_OK)
        return 0;
    size_t len = speak(s, kith_span_of(out, sizeof out), sizeof out);
    ops->free(s);
    *listener = listen(env, &own, kith_bytes_of(out, len), 333);
    return message_lengths(kith_bytes_of(out, len), lengths, KITH_IDENTIFY_CHUNKS_MAX);
}

static void much_is_split_into_messages_that_everyone_reads(void **state)
{
    (void)state;
    static const struct {
        size_t protocols, addrs;
        bool record;
        size_t messages;
    } known[] = {
        {10, 10, true, 1},  {10, 10, false, 1},    {100, 10, false, 1}, {100, 10, true, 2},
        {0, 0, true, 1},    {250, 0, false, 2},    {250, 60, true, 3},  {0, 60, true, 1},
        {1000, 0, true, 6}, {1000, 1000, true, 0},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_identify *l = NULL;
        size_t messages = say_many(known[i].protocols, known[i].addrs, known[i].record, &l, env);
        if (messages != known[i].messages)
            fail_msg("%zu: %zu messages", i, messages);
        if (l) {
            const kith_identify_info *info;
            assert_int_equal(kith_identify_result(l, &info), KITH_OK);
            size_t p = known[i].protocols, a = known[i].addrs;
            assert_int_equal(info->protocol_count,
                             p < KITH_IDENTIFY_PROTOCOLS_MAX ? p : KITH_IDENTIFY_PROTOCOLS_MAX);
            assert_int_equal(info->addr_count, a < KITH_IDENTIFY_ADDRS_MAX ? a : KITH_IDENTIFY_ADDRS_MAX);
            assert_int_equal(info->record.len > 0, known[i].record);
            for (size_t j = 0; j < info->protocol_count; j++) {
                char want[40];
                (void)snprintf(want, sizeof want, "/kith/many/%zu/1", j);
                support_assert_str(info->protocols[j], want); /* in order */
            }
            for (size_t j = 0; j < info->addr_count; j++)
                assert_int_equal(kith_load_be16(info->addrs[j].b + info->addrs[j].len - 2), j);
            ops->free(l);
        }
        support_heap_check(&heap);
    }
}

static void what_fits_into_no_message_is_refused(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    static uint8_t big[5000];
    memset(big, 'x', sizeof big);
    const kith_bytes protocol = kith_bytes_of(big, sizeof big);
    kith_identify *s = NULL;
    kith_identify_local local = {
        .pubkey = kith_bytes_of(own_key, sizeof own_key), .protocols = &protocol, .protocol_count = 1};
    assert_int_equal(kith_identify_speaker(env, &local, &s), KITH_ELIMIT);
    local.protocol_count = 0;
    local.agent = protocol;
    assert_int_equal(kith_identify_speaker(env, &local, &s), KITH_ELIMIT);
    assert_null(s);
    support_heap_check(&heap);
    /* A record that is too long only stays away. */
    local.agent = kith_bytes_str("k");
    local.record = protocol;
    uint8_t out[200];
    assert_int_equal(kith_identify_speaker(env, &local, &s), KITH_OK);
    assert_true(speak(s, kith_span_of(out, sizeof out), sizeof out) < 100);
    ops->free(s);
    support_heap_check(&heap);
}

/* ---- a message made by hand ---- */

typedef struct said {
    uint8_t b[100000];
    size_t len;
} said;

/* Appends one message of fields given as hex, with its length. */
static void say(said *m, kith_bytes fields)
{
    kith_wr w = kith_wr_of(kith_span_of(m->b + m->len, sizeof m->b - m->len));
    kith_put_lp(&w, fields);
    assert_false(w.bad);
    m->len += w.len;
}

static void say_hex(said *m, const char *hex)
{
    kith_span b = support_hex(hex);
    say(m, kith_span_bytes(b));
    free(b.p);
}

static void assert_fails(const said *m, kith_err e)
{
    static const size_t pieces[] = {1, 5, 100000};
    for (size_t i = 0; i < 3; i++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_identify *l = listen(env, &own, kith_bytes_of(m->b, m->len), pieces[i]);
        const kith_identify_info *info = NULL;
        assert_int_equal(kith_identify_result(l, &info), e);
        assert_null(info);
        assert_non_null(kith_identify_why(l));
        assert_int_equal(ops->want(l), KITH_STREAM_RESET);
        assert_true(ops->pending(l));
        assert_true(ops->deadline(l) == KITH_NEVER);
        assert_int_equal(ops->recv(l, 0, kith_bytes_str("x")), e); /* stays dead */
        ops->eof(l, 0);
        ops->gone(l, 0, KITH_ERESET);
        assert_int_equal(kith_identify_result(l, &info), e);
        ops->free(l);
        support_heap_check(&heap);
    }
}

static void missing_fields_are_told_from_empty_ones(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    static said m;
    const kith_identify_info *info;
    m.len = 0;
    say_hex(&m, "");
    kith_identify *l = listen(env, &own, kith_bytes_of(m.b, m.len), 1);
    assert_int_equal(kith_identify_result(l, &info), KITH_OK);
    assert_false(info->has_agent || info->has_protocols || info->has_addrs || info->has_observed);
    assert_true(info->record.len == 0 && info->agent.len == 0 && info->protocol_count == 0 &&
                info->addr_count == 0 && info->observed.len == 0);
    ops->free(l);
    m.len = 0;
    say_hex(&m, "3200"
                "1200"
                "1a00"
                "2200"
                "4200"
                "0a00"
                "3a0161"
                "4801"); /* empty: agent, address, protocol, observed, record, key; unknown */
    l = listen(env, &own, kith_bytes_of(m.b, m.len), 1);
    assert_int_equal(kith_identify_result(l, &info), KITH_OK);
    assert_true(info->has_agent && info->has_protocols && info->has_addrs);
    assert_false(info->has_observed);
    assert_true(info->record.len == 0 && info->agent.len == 0 && info->protocol_count == 0 &&
                info->addr_count == 0);
    ops->free(l);
    support_heap_check(&heap);
}

static void messages_are_merged_and_the_last_word_counts(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    static said m;
    const kith_identify_info *info;
    m.len = 0;
    say_hex(&m, "1a0161"
                "320161"
                "2208"
                "0401020304060001");
    say_hex(&m, "1a0162"
                "320162");
    say_hex(&m, "1a0163"
                "2208"
                "0401020304060002");
    kith_identify *l = listen(env, &own, kith_bytes_of(m.b, m.len), 3);
    assert_int_equal(kith_identify_result(l, &info), KITH_OK);
    assert_int_equal(info->protocol_count, 3);
    support_assert_str(info->protocols[0], "a");
    support_assert_str(info->protocols[2], "c");
    support_assert_str(info->agent, "b");
    assert_int_equal(info->observed.b[info->observed.len - 1], 2);
    ops->free(l);
    support_heap_check(&heap);
}

static void what_is_invalid_is_left_out_and_the_rest_kept(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    static said m;
    static uint8_t fields[2000];
    const kith_identify_info *info;
    kith_wr w = kith_wr_of(kith_span_of(fields, sizeof fields));
    static uint8_t long_id[KITH_IDENTIFY_PROTOCOL_MAX + 1];
    memset(long_id, 'a', sizeof long_id);
    kith_pb_put_str(&w, 2, "no address");
    kith_pb_put_bytes(&w, 2, kith_bytes_of("\4\1\2\3\4\6\0\1", 8));
    kith_pb_put_bytes(&w, 2, kith_bytes_of("\4\1\2\3", 4));
    kith_pb_put_str(&w, 3, "/good");
    kith_pb_put_str(&w, 3, "");
    kith_pb_put_str(&w, 3, "/bad\n");
    kith_pb_put_str(&w, 3, "/bad\xff");
    kith_pb_put_bytes(&w, 3, kith_bytes_of(long_id, sizeof long_id));
    kith_pb_put_bytes(&w, 3, kith_bytes_of(long_id, sizeof long_id - 1));
    kith_pb_put_str(&w, 4, "nowhere");
    m.len = 0;
    say(&m, kith_wr_bytes(&w));
    kith_identify *l = listen(env, &own, kith_bytes_of(m.b, m.len), 100);
    assert_int_equal(kith_identify_result(l, &info), KITH_OK);
    assert_int_equal(info->addr_count, 1);
    assert_int_equal(info->addrs[0].len, 8);
    assert_int_equal(info->protocol_count, 2);
    support_assert_str(info->protocols[0], "/good");
    assert_int_equal(info->protocols[1].len, KITH_IDENTIFY_PROTOCOL_MAX);
    assert_false(info->has_observed);
    assert_int_equal(info->observed.len, 0);
    ops->free(l);
    support_heap_check(&heap);
}

static void an_agent_is_fit_to_be_shown(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"go-libp2p/0.48", "go-libp2p/0.48"},
        {"\x1b[2Jx\n\t\x7f", "?[2Jx???"},
        {"na\xc3\xafve \xe6\x97\xa5", "na\xc3\xafve \xe6\x97\xa5"},
        {"a\xff\xc3", "a??"},
        {"\xc2\x9b"
         "x",
         "?x"},
        {"\xe2\x80\xae"
         "x",
         "?x"},
        {"\xed\xa0\x80", "???"},
    };
    static said m;
    uint8_t fields[1000];
    const kith_identify_info *info;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_wr w = kith_wr_of(kith_span_of(fields, sizeof fields));
        kith_pb_put_str(&w, 5, pairs[i][0]);
        kith_pb_put_str(&w, 6, pairs[i][0]);
        m.len = 0;
        say(&m, kith_wr_bytes(&w));
        kith_identify *l = listen(env, &own, kith_bytes_of(m.b, m.len), 100);
        assert_int_equal(kith_identify_result(l, &info), KITH_OK);
        support_assert_str(info->agent, pairs[i][1]);
        support_assert_str(info->protocol_version, pairs[i][1]);
        ops->free(l);
        support_heap_check(&heap);
    }
    /* Cut at the cap, and not inside a character. */
    for (size_t lead = 0; lead < 3; lead++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        char agent[3 * KITH_IDENTIFY_AGENT_MAX + 4] = "xxx";
        for (size_t i = lead; i + 3 < sizeof agent; i += 3)
            memcpy(agent + i, "\xe6\x97\xa5", 4);
        kith_wr w = kith_wr_of(kith_span_of(fields, sizeof fields));
        kith_pb_put_str(&w, 6, agent);
        m.len = 0;
        say(&m, kith_wr_bytes(&w));
        kith_identify *l = listen(env, &own, kith_bytes_of(m.b, m.len), 100);
        assert_int_equal(kith_identify_result(l, &info), KITH_OK);
        assert_int_equal(info->agent.len, lead + (KITH_IDENTIFY_AGENT_MAX - lead) / 3 * 3);
        assert_memory_equal(info->agent.p, agent, info->agent.len);
        ops->free(l);
        support_heap_check(&heap);
    }
}

static void another_key_than_the_channels_is_refused(void **state)
{
    (void)state;
    static said m;
    uint8_t fields[200];
    kith_wr w = kith_wr_of(kith_span_of(fields, sizeof fields));
    kith_pb_put_bytes(&w, 1, kith_peer_id_inline_key(&other));
    m.len = 0;
    say(&m, kith_wr_bytes(&w));
    assert_fails(&m, KITH_EAUTH);
    m.len = 0;
    say_hex(&m, "0a03616263"); /* no key at all */
    assert_fails(&m, KITH_EAUTH);
}

static void a_bad_record_costs_only_the_record(void **state)
{
    (void)state;
    static said m;
    static uint8_t fields[2 * KITH_ENVELOPE_MAX];
    kith_span changed = support_copy(record);
    changed.p[changed.len - 1] ^= 1;
    const struct {
        kith_bytes record;
        const kith_peer_id *peer;
        kith_err e;
    } cases[] = {
        {kith_span_bytes(changed), &own, KITH_ECRYPTO},
        {kith_bytes_of(record.p, record.len - 1), &own, KITH_EFORMAT},
        {kith_bytes_str("nonsense"), &own, KITH_EFORMAT},
        {record, &other, KITH_EAUTH}, /* good, but of somebody else */
        {record, &own, KITH_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        const kith_identify_info *info;
        kith_wr w = kith_wr_of(kith_span_of(fields, sizeof fields));
        kith_pb_put_str(&w, 6, "agent");
        kith_pb_put_bytes(&w, 8, cases[i].record);
        m.len = 0;
        say(&m, kith_wr_bytes(&w));
        kith_identify *l = listen(env, cases[i].peer, kith_bytes_of(m.b, m.len), 50);
        assert_int_equal(kith_identify_result(l, &info), KITH_OK);
        support_assert_str(info->agent, "agent");
        support_assert_bytes(info->record, cases[i].record);
        kith_peer_record rec = {.seq = 77};
        assert_int_equal(kith_identify_record(info, &rec), cases[i].e);
        assert_int_equal(rec.seq, cases[i].e ? 77 : 5); /* nothing of a bad one comes out */
        ops->free(l);
        support_heap_check(&heap);
    }
    free(changed.p);
}

static void the_caps_hold_over_all_messages_together(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    static said m;
    static uint8_t fields[KITH_IDENTIFY_MSG_MAX], padding[KITH_IDENTIFY_MSG_MAX];
    const kith_identify_info *info;
    m.len = 0;
    for (size_t i = 0; i < KITH_IDENTIFY_CHUNKS_MAX; i++) {
        kith_wr w = kith_wr_of(kith_span_of(fields, sizeof fields));
        for (size_t j = 0; j < 180; j++) {
            kith_pb_put_bytes(&w, 2, kith_bytes_of("\4\1\2\3\4\6\0\1", 8));
            kith_pb_put_str(&w, 3, "/some/protocol");
        }
        size_t room = sizeof fields - w.len;
        kith_pb_put_bytes(&w, 100, kith_bytes_of(padding, room - 4));
        assert_false(w.bad);
        assert_int_equal(w.len, KITH_IDENTIFY_MSG_MAX);
        say(&m, kith_wr_bytes(&w));
    }
    kith_identify *l = listen(env, &own, kith_bytes_of(m.b, m.len), 1000);
    assert_int_equal(kith_identify_result(l, &info), KITH_OK);
    assert_int_equal(info->protocol_count, KITH_IDENTIFY_PROTOCOLS_MAX);
    assert_int_equal(info->addr_count, KITH_IDENTIFY_ADDRS_MAX);
    /* As the header says: 80 KiB received, 37 KiB kept, and what the machine itself takes. */
    assert_true(heap.bytes <= (80 + 20 + 37 + 3) * 1024);
    ops->free(l);
    support_heap_check(&heap);
    /* One message more. */
    say_hex(&m, "");
    assert_fails(&m, KITH_ELIMIT);
    m.len = 0;
    for (size_t i = 0; i <= KITH_IDENTIFY_CHUNKS_MAX; i++)
        say_hex(&m, "");
    assert_fails(&m, KITH_ELIMIT);
    /* One byte more, claimed or sent. */
    m.len = 0;
    memcpy(m.b, "\x81\x40", 2); /* 8193 */
    m.len = 2;
    assert_fails(&m, KITH_ELIMIT);
    memcpy(m.b, "\xff\xff\xff\xff\x7f", 5);
    m.len = 5;
    assert_fails(&m, KITH_ELIMIT);
}

static void malformed_messages_are_refused(void **state)
{
    (void)state;
    static said m;
    static const char *const bad[] = {"0a", "0a05616263", "00",         "0b",         "0801",      "1801",
                                      "2a", "4201",       "3501020304", "2501020304", "1d01020304"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        m.len = 0;
        say_hex(&m, "1a0161");
        say_hex(&m, bad[i]);
        assert_fails(&m, KITH_EPROTO);
    }
    m.len = 0;
    memcpy(m.b, "\x80\0", 2); /* a length that is not minimal */
    m.len = 2;
    assert_fails(&m, KITH_EPROTO);
}

static void an_end_too_early_is_an_error(void **state)
{
    (void)state;
    static said m;
    m.len = 0;
    assert_fails(&m, KITH_ESHORT);
    say_hex(&m, "1a0161");
    say_hex(&m, "3203616263");
    for (size_t n = 1; n < m.len; n++) {
        said cut = m;
        cut.len = n;
        if (n != 4)
            assert_fails(&cut, KITH_ESHORT);
    }
    m.b[0] = 0x80;
    m.len = 1; /* half a length */
    assert_fails(&m, KITH_ESHORT);
}

static void silence_fails_at_the_deadline(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    const kith_identify_info *info;
    kith_identify *l;
    assert_int_equal(kith_identify_listener(env, KITH_SEC(5), &own, &l), KITH_OK);
    kith_time due = KITH_SEC(5) + KITH_IDENTIFY_TIMEOUT;
    assert_true(ops->deadline(l) == due);
    ops->tick(l, due - 1);
    assert_int_equal(kith_identify_result(l, &info), KITH_ESTATE);
    assert_int_equal(ops->recv(l, due - 1, kith_bytes_of("\0", 1)), KITH_OK); /* a message does not move it */
    assert_true(ops->deadline(l) == due);
    ops->tick(l, due);
    assert_int_equal(kith_identify_result(l, &info), KITH_ETIMEOUT);
    assert_int_equal(ops->want(l), KITH_STREAM_RESET);
    assert_true(ops->deadline(l) == KITH_NEVER);
    ops->free(l);
    support_heap_check(&heap);
}

static void a_speaker_gives_up_on_a_peer_that_does_not_read(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint8_t b[4];
    const kith_identify_local local = {.pubkey = kith_bytes_of(own_key, sizeof own_key)};
    kith_identify *s;
    const kith_identify_info *info;
    assert_int_equal(kith_identify_speaker(env, &local, &s), KITH_OK);
    assert_int_equal(ops->send(s, 7, kith_span_of(b, sizeof b)), 4);
    assert_int_equal(ops->want(s), KITH_STREAM_OPEN);
    assert_true(ops->deadline(s) == 7 + KITH_IDENTIFY_TIMEOUT);
    assert_int_equal(kith_identify_result(s, &info), KITH_ESTATE);
    ops->tick(s, 7 + KITH_IDENTIFY_TIMEOUT);
    assert_int_equal(ops->want(s), KITH_STREAM_RESET);
    assert_int_equal(ops->send(s, 100, kith_span_of(b, sizeof b)), 0);
    ops->free(s);
    /* And one that talks back is out of order. */
    assert_int_equal(kith_identify_speaker(env, &local, &s), KITH_OK);
    assert_int_equal(ops->recv(s, 0, (kith_bytes){0}), KITH_OK);
    ops->eof(s, 0); /* fine: it has nothing to say */
    assert_int_equal(ops->want(s), KITH_STREAM_OPEN);
    assert_int_equal(ops->recv(s, 0, kith_bytes_str("hi")), KITH_EPROTO);
    assert_int_equal(ops->want(s), KITH_STREAM_RESET);
    ops->gone(s, 0, KITH_ERESET);
    ops->free(s);
    support_heap_check(&heap);
}

static void a_stream_that_goes_away_is_told(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    const kith_identify_info *info;
    static const kith_err pairs[][2] = {
        {KITH_ERESET, KITH_ERESET}, {KITH_OK, KITH_ECLOSED}, {KITH_ETIMEOUT, KITH_ETIMEOUT}};
    for (size_t i = 0; i < 3; i++) {
        kith_identify *l;
        assert_int_equal(kith_identify_listener(env, 0, &own, &l), KITH_OK);
        assert_int_equal(ops->recv(l, 0, kith_bytes_of("\0", 1)), KITH_OK);
        ops->gone(l, 0, pairs[i][0]);
        assert_int_equal(kith_identify_result(l, &info), pairs[i][1]);
        ops->free(l);
    }
    support_heap_check(&heap);
}

static void the_nth_allocation_may_fail(void **state)
{
    (void)state;
    const kith_maddr a = addr("/ip4/1.2.3.4/tcp/9000");
    const kith_bytes protocol = kith_bytes_str("/a");
    const kith_identify_local local = {.pubkey = kith_bytes_of(own_key, sizeof own_key),
                                       .addrs = &a,
                                       .addr_count = 1,
                                       .protocols = &protocol,
                                       .protocol_count = 1,
                                       .agent = kith_bytes_str("k"),
                                       .record = record};
    uint8_t out[1024];
    size_t len = 0;
    bool spoke = false, heard = false;
    for (size_t n = 1; !spoke; n++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        heap.fail_at = n;
        kith_identify *s = NULL;
        kith_err e = kith_identify_speaker(env, &local, &s);
        if (e == KITH_OK) {
            len = speak(s, kith_span_of(out, sizeof out), 100);
            ops->free(s);
            spoke = true;
        } else {
            assert_int_equal(e, KITH_ENOMEM);
            assert_null(s);
        }
        support_heap_check(&heap);
        assert_true(n < 20);
    }
    for (size_t n = 1; !heard; n++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        heap.fail_at = n;
        kith_identify *l = NULL;
        const kith_identify_info *info;
        if (kith_identify_listener(env, 0, &own, &l) == KITH_OK) {
            ops->free(l);
            heap.calls = 0;
            l = listen(env, &own, kith_bytes_of(out, len), 40);
            kith_err e = kith_identify_result(l, &info);
            heard = e == KITH_OK;
            assert_true(heard || e == KITH_ENOMEM);
            assert_int_equal(ops->want(l), heard ? KITH_STREAM_FIN : KITH_STREAM_RESET);
            ops->free(l);
        }
        support_heap_check(&heap);
        assert_true(n < 40);
    }
}

/* Whatever comes, a listener ends in a result or an error and its info is within the caps. */
static void listens(void *ctx, kith_bytes in)
{
    (void)ctx;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_identify *l = listen(env, &own, in, 64);
    const kith_identify_info *info;
    kith_err e = kith_identify_result(l, &info);
    assert_int_not_equal(e, KITH_ESTATE);
    if (e == KITH_OK) {
        assert_true(info->protocol_count <= KITH_IDENTIFY_PROTOCOLS_MAX &&
                    info->addr_count <= KITH_IDENTIFY_ADDRS_MAX);
        assert_true(info->agent.len <= KITH_IDENTIFY_AGENT_MAX);
        kith_peer_record rec;
        if (kith_identify_record(info, &rec) == KITH_OK)
            support_assert_bytes(info->record, record); /* nothing else verifies */
        for (size_t i = 0; i < info->addr_count; i++) {
            char text[KITH_MADDR_TEXT_MAX + 1];
            kith_maddr_text(&info->addrs[i], text);
        }
    }
    ops->free(l);
    support_heap_check(&heap);
}

static void broken_messages_end_in_a_result_or_an_error(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    const kith_maddr a = addr("/ip4/1.2.3.4/tcp/9000");
    const kith_bytes protocol = kith_bytes_str("/a");
    const kith_identify_local local = {.pubkey = kith_bytes_of(own_key, sizeof own_key),
                                       .addrs = &a,
                                       .addr_count = 1,
                                       .observed = kith_maddr_bytes(&a),
                                       .protocols = &protocol,
                                       .protocol_count = 1,
                                       .agent = kith_bytes_str("k"),
                                       .record = record};
    uint8_t out[1024];
    kith_identify *s;
    assert_int_equal(kith_identify_speaker(env, &local, &s), KITH_OK);
    size_t len = speak(s, kith_span_of(out, sizeof out), 100);
    ops->free(s);
    support_mutate(kith_bytes_of(out, len), listens, NULL);
}

int main(void)
{
    if (kith_crypto_init() != KITH_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_arrives_in_any_pieces),
        cmocka_unit_test(the_message_is_laid_out_as_the_specification_says),
        cmocka_unit_test(much_is_split_into_messages_that_everyone_reads),
        cmocka_unit_test(what_fits_into_no_message_is_refused),
        cmocka_unit_test(missing_fields_are_told_from_empty_ones),
        cmocka_unit_test(messages_are_merged_and_the_last_word_counts),
        cmocka_unit_test(what_is_invalid_is_left_out_and_the_rest_kept),
        cmocka_unit_test(an_agent_is_fit_to_be_shown),
        cmocka_unit_test(another_key_than_the_channels_is_refused),
        cmocka_unit_test(a_bad_record_costs_only_the_record),
        cmocka_unit_test(the_caps_hold_over_all_messages_together),
        cmocka_unit_test(malformed_messages_are_refused),
        cmocka_unit_test(an_end_too_early_is_an_error),
        cmocka_unit_test(silence_fails_at_the_deadline),
        cmocka_unit_test(a_speaker_gives_up_on_a_peer_that_does_not_read),
        cmocka_unit_test(a_stream_that_goes_away_is_told),
        cmocka_unit_test(the_nth_allocation_may_fail),
        cmocka_unit_test(broken_messages_end_in_a_result_or_an_error),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
