/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is taken in a topic: kith's messages once, while they are good and from whom they say; other programs' as they are; and how much
 * authors can make the door remember. */
#include "apps/topic.h"

#include "crypto/crypto.h"
#include "crypto/pqsign.h"
#include "support.h"
#include "wire/envelope.h"

#define TOPIC kith_bytes_str("news")
#define NOON 1800000000000u /* ms */

typedef struct side {
    kith_signer *signer;
    kith_pq_signer *pq;
    kith_peer_id id;
    kith_pq_id pq_id;
} side;

typedef struct stage {
    support_heap heap;
    kith_topic_door *door;
    side author, other;
    kith_time now;
    uint8_t bytes[32768], room[KITH_SIG_MAX];
    kith_topic_author known;
} stage;

static void side_init(side *s, uint8_t n, bool pq)
{
    uint8_t seed[KITH_ED25519_SEED_LEN] = {n}, pub[KITH_ED25519_PUB_LEN], key[KITH_PUBKEY_ED25519_LEN];
    s->signer = kith_signer_new(seed);
    kith_signer_public(s->signer, pub);
    kith_pubkey_ed25519(pub, key);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &s->id), KITH_OK);
    uint8_t pq_seed[KITH_SIG_SEED_MAX] = {n}, encoded[KITH_PQ_KEY_MAX];
    assert_int_equal(kith_pq_signer_new(KITH_SIG_MLDSA44,
                                        kith_bytes_of(pq_seed, kith_sig_info_of(KITH_SIG_MLDSA44)->seed_len),
                                        &s->pq),
                     KITH_OK);
    kith_wr w = kith_wr_of(kith_span_of(encoded, sizeof encoded));
    kith_put_pq_key(&w, KITH_SIG_MLDSA44, kith_pq_signer_public(s->pq));
    s->pq_id = kith_pq_id_of_key(kith_wr_bytes(&w));
    if (!pq) {
        kith_pq_signer_free(s->pq);
        s->pq = NULL;
    }
}

static void side_fini(side *s)
{
    kith_signer_free(s->signer);
    kith_pq_signer_free(s->pq);
}

static void begin(stage *s, uint32_t rate, uint64_t since)
{
    memset(s, 0, sizeof *s);
    s->now = KITH_SEC(1000);
    s->door = kith_topic_door_new(support_env(&s->heap), rate, since);
    assert_non_null(s->door);
    side_init(&s->author, 1, true);
    side_init(&s->other, 2, true);
}

static void end(stage *s)
{
    kith_topic_door_free(s->door);
    side_fini(&s->author);
    side_fini(&s->other);
    support_heap_check(&s->heap);
}

static kith_message message(uint32_t id)
{
    kith_message m = {.time = NOON,
                      .ttl = 60,
                      .type = kith_bytes_str("text"),
                      .topic = TOPIC,
                      .text = true,
                      .payload = kith_bytes_str("hello")};
    kith_store_be32(m.id, id);
    return m;
}

static kith_bytes sealed(stage *s, const side *by, const kith_message *m)
{
    kith_message_keys keys = {.signer = by->signer, .pq_signer = by->pq, .room = s->room};
    kith_wr w = kith_wr_of(kith_span_of(s->bytes, sizeof s->bytes));
    assert_int_equal(kith_message_seal(m, &keys, &w), KITH_OK);
    return kith_wr_bytes(&w);
}

static kith_gossip_event event(const stage *s, kith_bytes data)
{
    return (kith_gossip_event){.topic = TOPIC, .data = data, .from = s->author.id, .source = s->other.id};
}

static kith_topic_fate take_at(stage *s, uint64_t wall, kith_bytes data)
{
    kith_gossip_event ev = event(s, data);
    kith_message m;
    return kith_topic_take(s->door, s->now, wall, &ev, &s->known, &m);
}

static kith_topic_fate take(stage *s, const kith_message *m)
{
    return take_at(s, NOON, sealed(s, &s->author, m));
}

static void a_message_is_taken_once(void **state)
{
    (void)state;
    stage s;
    begin(&s, 1200, 0);
    kith_message m = message(1), got;
    kith_gossip_event ev = event(&s, sealed(&s, &s.author, &m));
    assert_int_equal(kith_topic_take(s.door, s.now, NOON, &ev, &s.known, &got), KITH_TOPIC_TAKEN);
    support_assert_bytes(got.payload, m.payload);
    assert_true(kith_peer_id_eq(&got.source, &s.author.id) && kith_pq_id_eq(&got.pq, &s.author.pq_id));
    assert_int_equal(take(&s, &m), KITH_TOPIC_HAD);
    m = message(2);
    assert_int_equal(take(&s, &m), KITH_TOPIC_TAKEN);
    assert_int_equal(kith_topic_verdict(KITH_TOPIC_TAKEN), KITH_GOSSIP_ACCEPT);
    assert_int_equal(kith_topic_verdict(KITH_TOPIC_HAD), KITH_GOSSIP_IGNORE);
    end(&s);
}

static void it_is_taken_in_its_time(void **state)
{
    (void)state;
    stage s;
    begin(&s, 1200, NOON);
    kith_message m = message(1);
    assert_int_equal(take_at(&s, NOON + 60001, sealed(&s, &s.author, &m)), KITH_TOPIC_EXPIRED);
    m.time = NOON + KITH_MESSAGE_AHEAD_MAX + 1;
    assert_int_equal(take(&s, &m), KITH_TOPIC_AHEAD);
    m.time = NOON - 1; /* another node of this home may have shown it */
    assert_int_equal(take(&s, &m), KITH_TOPIC_EXPIRED);
    m.time = NOON;
    m.ttl = KITH_TOPIC_TTL_MAX;
    assert_int_equal(take(&s, &m), KITH_TOPIC_TAKEN);
    m = message(2);
    m.ttl = KITH_TOPIC_TTL_MAX + 1;
    assert_int_equal(take(&s, &m), KITH_TOPIC_WRONG);
    assert_true(kith_topic_blame(s.door, s.now, &s.author.id) == 0); /* it came from somebody else */
    end(&s);
}

static void somebody_elses_and_what_is_elsewhere_is_not_taken(void **state)
{
    (void)state;
    stage s;
    begin(&s, 1200, 0);
    kith_message m = message(1);
    assert_int_equal(take_at(&s, NOON, sealed(&s, &s.other, &m)), KITH_TOPIC_WRONG);
    m.topic = kith_bytes_str("olds");
    assert_int_equal(take(&s, &m), KITH_TOPIC_WRONG);
    m = message(2);
    m.topic = (kith_bytes){0};
    m.to = s.other.id;
    assert_int_equal(take(&s, &m), KITH_TOPIC_WRONG);
    m = message(3);
    kith_bytes data = sealed(&s, &s.author, &m);
    s.bytes[data.len - 1] ^= 1; /* of the post-quantum signature */
    assert_int_equal(take_at(&s, NOON, data), KITH_TOPIC_WRONG);
    s.bytes[data.len - 1] ^= 1;
    assert_int_equal(take_at(&s, NOON, data), KITH_TOPIC_TAKEN);
    end(&s);
}

static void a_known_post_quantum_key_must_have_signed(void **state)
{
    (void)state;
    stage s;
    side plain;
    begin(&s, 1200, 0);
    side_init(&plain, 1, false); /* the same author, for whoever looks at Ed25519 alone */
    kith_message m = message(1);
    s.known.pq = s.author.pq_id;
    assert_int_equal(take(&s, &m), KITH_TOPIC_TAKEN);
    m = message(2);
    assert_int_equal(take_at(&s, NOON, sealed(&s, &plain, &m)), KITH_TOPIC_UNPROVEN);
    assert_int_equal(take_at(&s, NOON, kith_bytes_str("plain words")), KITH_TOPIC_UNPROVEN);
    s.known.pq = s.other.pq_id;
    assert_int_equal(take(&s, &m), KITH_TOPIC_UNPROVEN);
    s.known.pq.len = 0; /* none is known: what is there must be right, and need not be there */
    assert_int_equal(take_at(&s, NOON, sealed(&s, &plain, &m)), KITH_TOPIC_TAKEN);
    side_fini(&plain);
    end(&s);
}

static void what_others_say_is_taken_as_it_is(void **state)
{
    (void)state;
    stage s;
    begin(&s, 1200, 0);
    static const uint8_t odd[] = {0x0a, 0x02, 0xff, 0xfe}, nul[] = "a\0b";
    struct {
        kith_bytes data;
        bool text;
    } says[] = {{kith_bytes_str("hello\tfrom\r\nelsewhere"), true},
                {{0}, true},
                {kith_bytes_of(odd, sizeof odd), false},
                {kith_bytes_of(nul, 3), false},
                {kith_bytes_str("\x1b[2J"), false}};
    for (size_t i = 0; i < sizeof says / sizeof *says; i++) {
        kith_gossip_event ev = event(&s, says[i].data);
        kith_message m;
        assert_int_equal(kith_topic_take(s.door, s.now, NOON, &ev, &s.known, &m), KITH_TOPIC_RAW);
        assert_int_equal(m.text, says[i].text);
        support_assert_bytes(m.payload, says[i].data);
        support_assert_bytes(m.topic, TOPIC);
        assert_true(m.type.len == 0 && kith_peer_id_eq(&m.source, &s.author.id));
    }
    /* A message of kith that is cut is somebody's bytes, too. */
    kith_message m = message(1);
    kith_bytes whole = sealed(&s, &s.author, &m);
    assert_int_equal(take_at(&s, NOON, kith_bytes_of(whole.p, whole.len - 1)), KITH_TOPIC_RAW);
    end(&s);
}

static void who_is_blocked_is_not_heard(void **state)
{
    (void)state;
    stage s;
    begin(&s, 1200, 0);
    kith_message m = message(1);
    s.known.blocked = true;
    assert_int_equal(take(&s, &m), KITH_TOPIC_BLOCKED);
    assert_int_equal(take_at(&s, NOON, kith_bytes_str("words")), KITH_TOPIC_BLOCKED);
    assert_int_equal(kith_topic_authors(s.door), 0);
    end(&s);
}

static void an_author_has_a_rate(void **state)
{
    (void)state;
    stage s;
    begin(&s, 60, 0);
    for (int i = 0; i < 60; i++)
        assert_int_equal(take_at(&s, NOON, kith_bytes_str("x")), KITH_TOPIC_RAW);
    assert_int_equal(take_at(&s, NOON, kith_bytes_str("x")), KITH_TOPIC_BUSY);
    s.now += KITH_SEC(1);
    assert_int_equal(take_at(&s, NOON, kith_bytes_str("x")), KITH_TOPIC_RAW);
    assert_int_equal(take_at(&s, NOON, kith_bytes_str("x")), KITH_TOPIC_BUSY);
    end(&s);
}

static void so_many_authors_are_remembered_and_no_more(void **state)
{
    (void)state;
    stage s;
    begin(&s, 1, 0);
    kith_gossip_event ev = event(&s, kith_bytes_str("x"));
    kith_message m;
    ev.from = (kith_peer_id){.len = 36};
    for (uint32_t i = 0; i <= KITH_TOPIC_AUTHORS_MAX; i++) {
        kith_store_be32(ev.from.b, i);
        assert_int_equal(kith_topic_take(s.door, s.now, NOON, &ev, &s.known, &m), KITH_TOPIC_RAW);
        assert_int_equal(kith_topic_authors(s.door),
                         i < KITH_TOPIC_AUTHORS_MAX ? i + 1 : KITH_TOPIC_AUTHORS_MAX);
    }
    kith_store_be32(ev.from.b, 1); /* is remembered; 0 was the one not heard of for longest */
    assert_int_equal(kith_topic_take(s.door, s.now, NOON, &ev, &s.known, &m), KITH_TOPIC_BUSY);
    kith_store_be32(ev.from.b, 0);
    assert_int_equal(kith_topic_take(s.door, s.now, NOON, &ev, &s.known, &m), KITH_TOPIC_RAW);
    end(&s);
}

static void the_author_is_blamed_and_nobody_else(void **state)
{
    (void)state;
    stage s;
    begin(&s, 1200, 0);
    kith_message m = message(1), got;
    kith_gossip_event ev = event(&s, sealed(&s, &s.other, &m));
    for (int i = 0; i < 3; i++)
        assert_int_equal(kith_topic_take(s.door, s.now, NOON, &ev, &s.known, &got), KITH_TOPIC_WRONG);
    assert_true(kith_topic_blame(s.door, s.now, &s.author.id) == 0);
    assert_true(kith_topic_blame(s.door, s.now, &s.other.id) == 0); /* it passed on what it could not read */
    ev.source = s.author.id;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(kith_topic_take(s.door, s.now, NOON, &ev, &s.known, &got), KITH_TOPIC_WRONG);
        assert_true(kith_topic_blame(s.door, s.now, &s.author.id) == -KITH_TOPIC_BLAME * i);
    }
    assert_true(kith_topic_blame(s.door, s.now + KITH_TOPIC_BLAME_HALVES, &s.author.id) ==
                -KITH_TOPIC_BLAME * 3 / 2);
    assert_true(kith_topic_blame(s.door, s.now + 20 * KITH_TOPIC_BLAME_HALVES, &s.author.id) == 0);
    end(&s);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        stage s;
        memset(&s, 0, sizeof s);
        s.now = KITH_SEC(1000);
        side_init(&s.author, 1, true);
        side_init(&s.other, 2, true);
        const kith_env *env = support_env(&s.heap);
        s.heap.fail_at = n;
        s.door = kith_topic_door_new(env, 1200, 0);
        kith_topic_fate f = KITH_TOPIC_BUSY;
        kith_message m = message(1);
        if (s.door)
            f = take(&s, &m);
        bool whole = s.door && f == KITH_TOPIC_TAKEN;
        assert_true(whole || f == KITH_TOPIC_BUSY);
        s.heap.fail_at = 0;
        if (s.door && !whole)
            assert_int_equal(take(&s, &m), KITH_TOPIC_TAKEN); /* nothing was noted of it */
        end(&s);
        if (whole)
            break;
    }
}

static void fates_have_names(void **state)
{
    (void)state;
    for (int f = 0; f < KITH_TOPIC_FATES; f++)
        assert_true(strlen(kith_topic_fate_name((kith_topic_fate)f)) > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_taken_once),
        cmocka_unit_test(it_is_taken_in_its_time),
        cmocka_unit_test(somebody_elses_and_what_is_elsewhere_is_not_taken),
        cmocka_unit_test(a_known_post_quantum_key_must_have_signed),
        cmocka_unit_test(what_others_say_is_taken_as_it_is),
        cmocka_unit_test(who_is_blocked_is_not_heard),
        cmocka_unit_test(an_author_has_a_rate),
        cmocka_unit_test(so_many_authors_are_remembered_and_no_more),
        cmocka_unit_test(the_author_is_blamed_and_nobody_else),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(fates_have_names),
    };
    if (kith_crypto_init())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
