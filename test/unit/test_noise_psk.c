/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The suites with a psk: a key that both ends have from elsewhere, one that only one of them has, and one that differs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/noise_pair.h"

static side alice, bob;
static uint8_t key[KITH_NOISE_PSK_LEN], other_key[KITH_NOISE_PSK_LEN], name[KITH_NOISE_KEY_NAME_LEN];

static int set_up(void **state)
{
    (void)state;
    static const uint8_t a[32] = {1}, b[32] = {2};
    memset(key, 0x17, sizeof key);
    memset(other_key, 0x71, sizeof other_key);
    memset(name, 0x18, sizeof name);
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

static void begin_with(size_t suite, const uint8_t *bobs, bool required)
{
    side_reset(&alice);
    side_reset(&bob);
    kith_noise_config a = side_config(&alice, &kith_noise_psk_suites[suite], true);
    a.psk = key;
    a.key_name = name;
    a.psk_required = required;
    kith_noise_config b = side_config(&bob, &kith_noise_psk_suites[suite], false);
    bob.psk = bobs;
    bob.sharer = NULL;
    bob.late = false;
    alice.noise = kith_noise_new(&a);
    bob.noise = kith_noise_new(&b);
    assert_non_null(alice.noise);
    assert_non_null(bob.noise);
}

static void assert_open(bool keyed)
{
    uint8_t record[64];
    assert_true(kith_noise_ready(alice.noise) && kith_noise_ready(bob.noise));
    assert_int_equal(kith_noise_keyed(alice.noise), keyed);
    assert_int_equal(kith_noise_keyed(bob.noise), keyed);
    assert_memory_equal(kith_noise_hash(alice.noise), kith_noise_hash(bob.noise), 32);
    side_feed(&bob, kith_bytes_of(record, side_seal(&alice, "ping", 4, record)));
    assert_int_equal(bob.got_len, 4);
    assert_memory_equal(bob.got, "ping", 4);
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

static void a_key_that_both_have_is_mixed_in(void **state)
{
    (void)state;
    for (size_t s = 0; s < kith_noise_psk_suite_count; s++) {
        begin_with(s, key, true);
        pair_shake(&alice, &bob);
        assert_open(true);
        assert_int_equal(bob.asked, 1);
        assert_memory_equal(bob.key_name, name, sizeof name);
    }
}

static void messages_have_the_documented_sizes(void **state)
{
    (void)state;
    enum { PQ = 3 + 4 + 1958 + 4 + 3309 }; /* extensions with key and signature of ML-DSA-65 */
    static const size_t sizes[][3] = {{1300, 1305 + PQ, 168 + PQ}, {1684, 1785 + PQ, 168 + PQ}};
    for (size_t s = 0; s < kith_noise_psk_suite_count; s++) {
        begin_with(s, key, true);
        uint8_t msg[8192];
        for (int i = 0; i < 3; i++) {
            side *from = i % 2 ? &bob : &alice, *to = i % 2 ? &alice : &bob;
            size_t len = side_send(from, msg);
            assert_int_equal(len, 2 + sizes[s][i]);
            side_feed(to, kith_bytes_of(msg, len));
        }
        assert_open(true);
    }
}

static void without_the_key_both_know_it(void **state)
{
    (void)state;
    begin_with(0, NULL, false);
    pair_shake(&alice, &bob);
    assert_open(false);
}

static void who_requires_the_key_ends_without_it(void **state)
{
    (void)state;
    begin_with(0, NULL, true);
    pair_shake(&alice, &bob);
    assert_int_equal(alice.failed, 1);
    assert_int_equal(alice.err, KITH_EPOLICY);
    assert_string_equal(alice.why, "the peer did not get the key that was to be mixed in");
    assert_int_equal(bob.ready, 0);
}

static void another_key_does_not_authenticate(void **state)
{
    (void)state;
    begin_with(0, other_key, false);
    pair_shake(&alice, &bob);
    assert_int_equal(alice.err, KITH_ECRYPTO);
    assert_int_equal(bob.ready, 0);
}

/* Nobody on the way can talk the two out of the key, or into believing that they have it. */
static void whether_there_is_a_key_cannot_be_changed_on_the_way(void **state)
{
    (void)state;
    begin_with(0, key, false);
    shake_edited(0, 0, 2, 1); /* 1 -> 0 */
    assert_int_equal(alice.err, KITH_ECRYPTO);
    begin_with(0, NULL, false);
    shake_edited(0, 0, 2, 1); /* 0 -> 1 */
    assert_int_equal(alice.err, KITH_ECRYPTO);
    begin_with(0, key, false);
    shake_edited(0, 0, 2, 3); /* neither */
    assert_int_equal(alice.err, KITH_EPROTO);
}

static void the_name_is_part_of_the_transcript(void **state)
{
    (void)state;
    for (size_t i = 0; i < KITH_NOISE_KEY_NAME_LEN; i++) {
        begin_with(0, key, false); /* Bob finds the same key under any name */
        shake_edited(2 + i, 1, 0, 0);
        assert_true(bob.failed || alice.failed);
        assert_int_equal(alice.ready, 0);
    }
}

static void a_key_is_of_one_peer(void **state)
{
    (void)state;
    begin_with(0, key, true);
    bob.sharer = &alice.id;
    pair_shake(&alice, &bob);
    assert_open(true);
    begin_with(0, key, true);
    bob.sharer = &bob.id; /* the key is somebody else's than Alice's */
    pair_shake(&alice, &bob);
    assert_int_equal(bob.err, KITH_EAUTH);
}

static void the_answer_may_take_its_time(void **state)
{
    (void)state;
    uint8_t msg[8192];
    begin_with(0, NULL, true);
    bob.late = true;
    size_t len = side_send(&alice, msg);
    for (size_t i = 0; i < len; i++) /* byte by byte, and one question */
        side_feed(&bob, kith_bytes_of(msg + i, 1));
    assert_int_equal(bob.asked, 1);
    assert_int_equal(side_send(&bob, msg), 0);
    kith_noise_key(bob.noise, key, NULL);
    side_drain(&bob);
    pair_shake(&alice, &bob);
    pair_shake(&bob, &alice);
    assert_open(true);
}

static void who_waits_for_a_key_can_go(void **state)
{
    (void)state;
    uint8_t msg[8192];
    begin_with(0, NULL, true);
    bob.late = true;
    size_t len = side_send(&alice, msg);
    side_feed(&bob, kith_bytes_of(msg, len));
    assert_int_equal(bob.asked, 1);
    side_reset(&bob); /* side_fini counts its memory */
    begin_with(0, NULL, true);
    bob.late = true;
    len = side_send(&alice, msg);
    side_feed(&bob, kith_bytes_of(msg, len));
    kith_noise_key(bob.noise, key, NULL); /* answered, and not yet worked on */
    side_reset(&bob);
}

/* Noise's own part of the documented vector: empty payloads, so that it does not depend on identities. */
static void the_documented_vector_holds(void **state)
{
    (void)state;
    static const char *const want[3] = {"523fdf35471910a859172daa1cda63b34617f4d30aa5cc565c91a2dff6498046",
                                        "a6dc0e94c1990ea6f305a3894d8dd26d1b2801d69a3341bbd78383ce875eda70",
                                        "9b92284b1d0ec684390f9a993306ee546349cce85956ba5cd4f2854a8784718a"};
    uint8_t secret[32];
    kith_dh *s[2];
    heap heaps = {0};
    dice d[2];
    kith_env env[2];
    kith_noise_hs hs[2];
    uint8_t draws[2][96];
    memset(draws[0], 0x13, 32), memset(draws[0] + 32, 0x15, 64);
    memset(draws[1], 0x14, 32), memset(draws[1] + 32, 0x16, 32);
    for (int i = 0; i < 2; i++) {
        memset(secret, 0x11 + i, sizeof secret);
        s[i] = kith_dh_new(secret);
        d[i] = (dice){.script = kith_bytes_of(draws[i], i ? 64 : 96)};
        env[i] = (kith_env){.alloc = {&heaps, heap_fn}, .rand = {&d[i], dice_fn}};
        assert_int_equal(kith_noise_hs_init(&hs[i], &kith_noise_psk_suites[0], i == 0, s[i],
                                            kith_bytes_of(name, sizeof name)),
                         KITH_OK);
        kith_noise_hs_set_psks(&hs[i], key);
        kith_noise_hs_draw(&hs[i], &env[i]);
    }
    for (int i = 0; i < 3; i++) {
        uint8_t msg[4096];
        kith_bytes payload;
        size_t len = kith_noise_hs_len(&hs[i % 2], 0);
        assert_int_equal(kith_noise_hs_write(&hs[i % 2], (kith_bytes){0}, msg), KITH_OK);
        assert_int_equal(kith_noise_hs_read(&hs[!(i % 2)], kith_span_of(msg, len), &payload), KITH_OK);
    }
    uint8_t k1[32], k2[32];
    kith_noise_hs_split(&hs[0], k1, k2);
    const uint8_t *const got[3] = {hs[0].h, k1, k2};
    for (int i = 0; i < 3; i++) {
        uint8_t hex[64];
        kith_wr w = kith_wr_of(kith_span_of(hex, sizeof hex));
        kith_put_hex(&w, kith_bytes_of(got[i], 32));
        assert_memory_equal(hex, want[i], 64);
    }
    for (int i = 0; i < 2; i++) {
        kith_noise_hs_fini(&hs[i]);
        kith_dh_free(s[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_that_both_have_is_mixed_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_have_the_documented_sizes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_the_key_both_know_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_requires_the_key_ends_without_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_key_does_not_authenticate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whether_there_is_a_key_cannot_be_changed_on_the_way, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_name_is_part_of_the_transcript, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_is_of_one_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_answer_may_take_its_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_waits_for_a_key_can_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_documented_vector_holds, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
