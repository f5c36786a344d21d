/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Handshakes that resume an earlier one: its secret in the place of signatures, and signatures when it is not there any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/noise_pq.h"
#include "unit/noise_pair.h"
#include "unit/support.h"
#include "unit/vectors.h"

static side alice, bob;
static kith_noise_legacy of_alice, of_bob; /* of the last handshake */

static int set_up(void **state)
{
    (void)state;
    static const uint8_t a[32] = {1}, b[32] = {2};
    side_init(&alice, a, 1, (kith_bytes){0});
    side_init(&bob, b, 2, (kith_bytes){0});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    side_fini(&alice);
    side_fini(&bob);
    return 0;
}

/* The level's suites: resumed, and with signatures. */
static kith_bytes ids[2];

static kith_noise_config config_of(side *s, const kith_noise_suite *suite)
{
    kith_noise_config cfg = side_config(s, suite, s == &alice);
    cfg.channels = ids;
    cfg.channel_count = 2;
    return cfg;
}

static void begin(const kith_noise_suite *suite)
{
    side_reset(&alice);
    side_reset(&bob);
    kith_noise_config a = config_of(&alice, suite), b = config_of(&bob, suite);
    if (suite->resumes) {
        a.psk = of_alice.ours.psk;
        a.key_name = of_alice.ours.name;
    }
    bob.psk = of_bob.theirs.psk;
    bob.sharer = &alice.id;
    bob.late = false;
    alice.noise = kith_noise_new(&a);
    bob.noise = kith_noise_new(&b);
    assert_non_null(alice.noise);
    assert_non_null(bob.noise);
}

static void take_both(void)
{
    assert_true(kith_noise_take_legacy(alice.noise, &of_alice));
    assert_true(kith_noise_take_legacy(bob.noise, &of_bob));
    assert_memory_equal(&of_alice.ours, &of_bob.theirs, sizeof of_alice.ours);
    assert_memory_equal(&of_alice.theirs, &of_bob.ours, sizeof of_alice.ours);
}

/* A handshake with signatures, and what it has left. */
static void meet(size_t level)
{
    ids[0] = kith_bytes_str(kith_noise_resume_suites[level].id);
    ids[1] = kith_bytes_str(kith_noise_suites[level].id);
    side_reset(&alice);
    side_reset(&bob);
    kith_noise_config a = config_of(&alice, &kith_noise_suites[level]);
    a.channels++; /* who has no secret proposes no suite that resumes; a listener takes it all the same */
    a.channel_count = 1;
    kith_noise_config b = config_of(&bob, &kith_noise_suites[level]);
    alice.noise = kith_noise_new(&a);
    bob.noise = kith_noise_new(&b);
    pair_shake(&alice, &bob);
    assert_true(alice.ready && bob.ready);
    assert_int_equal(kith_noise_peer_pq(alice.noise)->alg, KITH_SIG_MLDSA65);
    take_both();
}

static void assert_open(bool resumed)
{
    uint8_t record[64];
    assert_true(kith_noise_ready(alice.noise) && kith_noise_ready(bob.noise));
    assert_int_equal(kith_noise_resumed(alice.noise), resumed);
    assert_int_equal(kith_noise_resumed(bob.noise), resumed);
    assert_int_equal(kith_noise_peer_pq(alice.noise)->alg, resumed ? KITH_SIG_NONE : KITH_SIG_MLDSA65);
    assert_int_equal(kith_noise_peer_pq(bob.noise)->alg, resumed ? KITH_SIG_NONE : KITH_SIG_MLDSA65);
    assert_memory_equal(kith_noise_hash(alice.noise), kith_noise_hash(bob.noise), 32);
    side_feed(&bob, kith_bytes_of(record, side_seal(&alice, "ping", 4, record)));
    assert_int_equal(bob.got_len, 4);
}

static void a_secret_of_before_stands_for_signatures(void **state)
{
    (void)state;
    for (size_t l = 0; l < kith_noise_resume_suite_count; l++) {
        assert_int_equal(kith_noise_resume_suites[l].level, kith_noise_suites[l].level);
        meet(l);
        for (int again = 0; again < 3; again++) { /* and each leaves the next one */
            kith_noise_legacy before = of_alice;
            begin(&kith_noise_resume_suites[l]);
            pair_shake(&alice, &bob);
            assert_open(true);
            assert_int_equal(bob.asked, 1);
            assert_memory_equal(bob.key_name, before.ours.name, sizeof before.ours.name);
            take_both();
            assert_memory_not_equal(&of_alice.ours, &before.ours, sizeof before.ours);
            assert_memory_not_equal(&of_alice.theirs, &of_alice.ours, sizeof before.ours);
        }
    }
}

static void without_the_secret_both_sign(void **state)
{
    (void)state;
    meet(1);
    begin(&kith_noise_resume_suites[1]);
    bob.psk = NULL;
    bob.sharer = NULL;
    pair_shake(&alice, &bob);
    assert_open(false);
    take_both();
    begin(&kith_noise_resume_suites[1]);
    pair_shake(&alice, &bob);
    assert_open(true);
}

static void messages_have_the_documented_sizes(void **state)
{
    (void)state;
    enum { PQ = 3 + 4 + 1958 + 4 + 3309, EXT = 2, FRESH = EXT + 3 + 32 };
    static const size_t sizes[][3] = {{880, 985, 205}, {1264, 1305, 205}, {1648, 1785, 205}};
    for (size_t l = 0; l < kith_noise_resume_suite_count; l++) {
        for (int has = 0; has < 2; has++) {
            meet(l);
            side_reset(&alice);
            side_reset(&bob);
            kith_noise_config a = side_config(&alice, &kith_noise_resume_suites[l], true),
                              b = side_config(&bob, &kith_noise_resume_suites[l], false);
            a.psk = of_alice.ours.psk;
            a.key_name = of_alice.ours.name;
            bob.psk = has ? of_bob.theirs.psk : NULL;
            static kith_bytes one[1];
            one[0] = kith_bytes_str(kith_noise_resume_suites[l].id);
            a.channels = b.channels = one; /* or there is no such channel */
            a.channel_count = b.channel_count = 1;
            alice.noise = kith_noise_new(&a);
            bob.noise = kith_noise_new(&b);
            uint8_t msg[8192];
            size_t list = 3 + one[0].len;
            for (int i = 0; i < 3; i++) {
                side *from = i % 2 ? &bob : &alice, *to = i % 2 ? &alice : &bob;
                size_t more =
                    i == 0 ? 0 : (has && i == 1 ? EXT : 0) + list; /* C has extensions in any case */
                if (i > 0 && !has)
                    more += i == 1 ? PQ : PQ - FRESH;
                size_t len = side_send(from, msg);
                assert_int_equal(len, 2 + sizes[l][i] + more);
                side_feed(to, kith_bytes_of(msg, len));
            }
            assert_true(alice.ready && bob.ready);
        }
    }
}

/* Alice's A with edits to Bob, who answers; his B with edits to Alice. */
static void shake_edited(size_t at_a, uint8_t xor_a, size_t at_b, uint8_t xor_b)
{
    uint8_t msg[8192];
    size_t len = side_send(&alice, msg);
    msg[at_a] ^= xor_a;
    side_feed(&bob, kith_bytes_of(msg, len));
    len = side_send(&bob, msg);
    if (len == 0)
        return;
    msg[at_b] ^= xor_b;
    side_feed(&alice, kith_bytes_of(msg, len));
}

static void another_secret_does_not_authenticate(void **state)
{
    (void)state;
    meet(1);
    of_bob.theirs.psk[31] ^= 1;
    begin(&kith_noise_resume_suites[1]);
    pair_shake(&alice, &bob);
    assert_int_equal(alice.err, KITH_ECRYPTO);
    assert_int_equal(bob.ready, 0);
    meet(1);
    of_bob.theirs = of_bob.ours; /* the other half */
    begin(&kith_noise_resume_suites[1]);
    pair_shake(&alice, &bob);
    assert_int_equal(alice.err, KITH_ECRYPTO);
}

/* Who does not have the secret cannot finish in its owner's name, whatever it answers. */
static void who_has_not_the_secret_cannot_dial_with_its_name(void **state)
{
    (void)state;
    meet(1);
    memset(of_alice.ours.psk, 0, sizeof of_alice.ours.psk);
    begin(&kith_noise_resume_suites[1]);
    pair_shake(&alice, &bob);
    assert_int_equal(bob.ready, 0);
    assert_int_equal(alice.ready, 0);
}

static void whether_the_responder_has_it_cannot_be_changed_on_the_way(void **state)
{
    (void)state;
    meet(1);
    begin(&kith_noise_resume_suites[1]);
    shake_edited(0, 0, 2, 1); /* 1 -> 0 */
    assert_int_equal(alice.err, KITH_ECRYPTO);
    begin(&kith_noise_resume_suites[1]);
    side_reset(&bob);
    kith_noise_config b = config_of(&bob, &kith_noise_resume_suites[1]);
    bob.noise = kith_noise_new(&b);
    bob.psk = NULL;
    shake_edited(0, 0, 2, 1); /* 0 -> 1 */
    assert_int_equal(alice.err, KITH_ECRYPTO);
    begin(&kith_noise_resume_suites[1]);
    shake_edited(0, 0, 2, 3); /* neither */
    assert_int_equal(alice.err, KITH_EPROTO);
}

static void the_name_is_part_of_the_transcript(void **state)
{
    (void)state;
    meet(1);
    for (size_t i = 0; i < KITH_NOISE_RESUME_NAME_LEN; i++) {
        begin(&kith_noise_resume_suites[1]); /* Bob finds the same secret under any name */
        shake_edited(2 + i, 1, 0, 0);
        assert_true(bob.failed || alice.failed);
        assert_int_equal(alice.ready, 0);
    }
}

static void a_secret_is_of_one_peer(void **state)
{
    (void)state;
    meet(1);
    begin(&kith_noise_resume_suites[1]);
    bob.sharer = &bob.id;
    pair_shake(&alice, &bob);
    assert_int_equal(bob.err, KITH_EAUTH);
    assert_int_equal(bob.ready, 0);
}

/* Both have signed a list that leads to a suite which resumes; somebody has struck that out. */
static void to_strike_it_out_is_a_downgrade(void **state)
{
    (void)state;
    meet(1);
    begin(&kith_noise_suites[1]);
    pair_shake(&alice, &bob);
    assert_int_equal(alice.err, KITH_EAUTH);
    assert_non_null(strstr(alice.why, "downgrade"));
    assert_int_equal(bob.ready, 0);
}

static void a_legacy_is_taken_once_and_not_everywhere_there(void **state)
{
    (void)state;
    kith_noise_legacy l;
    static const uint8_t zeros[sizeof l];
    meet(1); /* has taken both */
    memset(&l, 0, sizeof l);
    assert_false(kith_noise_take_legacy(alice.noise, &l));
    assert_memory_equal(&l, zeros, sizeof l);
    for (size_t s = 3; s < kith_noise_suite_count; s++) { /* others' suites */
        side_reset(&alice);
        side_reset(&bob);
        kith_noise_config a = side_config(&alice, &kith_noise_suites[s], true),
                          b = side_config(&bob, &kith_noise_suites[s], false);
        alice.noise = kith_noise_new(&a);
        bob.noise = kith_noise_new(&b);
        assert_false(kith_noise_take_legacy(alice.noise, &l));
        pair_shake(&alice, &bob);
        assert_true(alice.ready && bob.ready);
        assert_false(kith_noise_take_legacy(alice.noise, &l) || kith_noise_take_legacy(bob.noise, &l));
    }
    /* a responder that takes no suite which resumes; nor one of another level */
    for (size_t other = 0; other < 2; other++) {
        side_reset(&alice);
        side_reset(&bob);
        kith_bytes list[2] = {kith_bytes_str(kith_noise_resume_suites[0].id),
                              kith_bytes_str(kith_noise_suites[1].id)};
        kith_noise_config a = side_config(&alice, &kith_noise_suites[1], true),
                          b = side_config(&bob, &kith_noise_suites[1], false);
        a.channels = list + 1;
        a.channel_count = 1;
        b.channels = list + 1 - other;
        b.channel_count = 1 + other;
        alice.noise = kith_noise_new(&a);
        bob.noise = kith_noise_new(&b);
        pair_shake(&alice, &bob);
        assert_true(alice.ready && bob.ready);
        assert_false(kith_noise_take_legacy(alice.noise, &l));
        assert_true(kith_noise_take_legacy(bob.noise, &l));
    }
}

/* What an initiator says last is not to be known before: or who answers could choose h (kith verify). */
static void the_last_message_is_fresh(void **state)
{
    (void)state;
    uint8_t script[32 + 64 + 32], hash[2][32];
    memset(script, 0x33, sizeof script);
    meet(1);
    for (int i = 0; i < 2; i++) {
        alice.dice.script = kith_bytes_of(script, sizeof script); /* its ephemeral keys, and then */
        bob.dice.script = kith_bytes_of(script, 64);
        bob.dice.seed = 5;
        script[sizeof script - 1] = (uint8_t)i;
        begin(&kith_noise_resume_suites[1]);
        pair_shake(&alice, &bob);
        assert_open(true);
        assert_int_equal(alice.dice.script.len, 0);
        memcpy(hash[i], kith_noise_hash(alice.noise), 32);
    }
    assert_memory_not_equal(hash[0], hash[1], 32);
}

static void who_waits_for_an_answer_can_go_and_memory_may_fail(void **state)
{
    (void)state;
    uint8_t msg[8192];
    meet(1);
    begin(&kith_noise_resume_suites[1]);
    bob.late = true;
    size_t len = side_send(&alice, msg);
    side_feed(&bob, kith_bytes_of(msg, len));
    assert_int_equal(bob.asked, 1);
    side_reset(&bob); /* side_fini counts its memory */
    for (int has = 0; has < 2; has++) {
        for (size_t at = 1;; at++) {
            begin(&kith_noise_resume_suites[1]);
            if (!has)
                bob.psk = NULL;
            bob.heap.fail_at = bob.heap.calls + at;
            pair_shake(&alice, &bob);
            bool reached = bob.heap.calls >= bob.heap.fail_at;
            bob.heap.fail_at = 0;
            if (!reached)
                break;
            assert_int_equal(bob.err, KITH_ENOMEM);
            assert_int_equal(bob.ready, 0);
            assert_true(at < 20);
        }
        assert_true(bob.ready && alice.ready);
    }
}

/* ---- the derivation ---- */

static void add(json_t *o, const char *key, const void *p, size_t n)
{
    uint8_t hex[128];
    kith_wr w = kith_wr_of(kith_span_of(hex, sizeof hex));
    kith_put_hex(&w, kith_bytes_of(p, n));
    json_object_set_new(o, key, json_stringn((const char *)hex, w.len));
}

/* test/vectors/resume.json; with KITH_WRITE_VECTORS set it is written anew. */
static void secrets_are_those_of_the_vectors(void **state)
{
    (void)state;
    json_t *made = json_array(), *v;
    for (uint8_t i = 0; i < 3; i++) {
        kith_noise_legacy l[2];
        kith_noise_hs hs = {.done = 3};
        memset(hs.ck, 0x20 + i, sizeof hs.ck);
        memset(hs.h, 0x30 + i, sizeof hs.h);
        for (int initiator = 0; initiator < 2; initiator++) {
            hs.initiator = initiator;
            kith_noise_hs_legacy(&hs, &l[initiator]);
        }
        assert_memory_equal(&l[0].ours, &l[1].theirs, sizeof l[0].ours);
        assert_memory_equal(&l[1].ours, &l[0].theirs, sizeof l[0].ours);
        json_t *o = json_object();
        add(o, "ck", hs.ck, sizeof hs.ck);
        add(o, "h", hs.h, sizeof hs.h);
        add(o, "initiator_name", l[1].ours.name, sizeof l[1].ours.name);
        add(o, "initiator_psk", l[1].ours.psk, sizeof l[1].ours.psk);
        add(o, "responder_name", l[1].theirs.name, sizeof l[1].theirs.name);
        add(o, "responder_psk", l[1].theirs.psk, sizeof l[1].theirs.psk);
        json_array_append_new(made, o);
    }
    if (getenv("KITH_WRITE_VECTORS"))
        assert_int_equal(json_dump_file(made, KITH_SOURCE_DIR "/test/vectors/resume.json", JSON_INDENT(1)),
                         0);
    v = vectors_own("resume.json");
    assert_true(json_equal(made, v));
    json_decref(v), json_decref(made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_secret_of_before_stands_for_signatures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_the_secret_both_sign, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_have_the_documented_sizes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_secret_does_not_authenticate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_has_not_the_secret_cannot_dial_with_its_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whether_the_responder_has_it_cannot_be_changed_on_the_way, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_name_is_part_of_the_transcript, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_secret_is_of_one_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(to_strike_it_out_is_a_downgrade, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_legacy_is_taken_once_and_not_everywhere_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_last_message_is_fresh, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_waits_for_an_answer_can_go_and_memory_may_fail, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(secrets_are_those_of_the_vectors, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
