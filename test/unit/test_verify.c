/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The number to compare: the same on both sides, another when anything is another, and what is typed counts without its blanks. */
#include "node/verify.h"

#include "crypto/crypto.h"
#include "support.h"

static kith_verify_end end_of(uint8_t n, bool pq)
{
    kith_verify_end e = {0};
    uint8_t pub[KITH_ED25519_PUB_LEN] = {n, 7}, pb[KITH_PUBKEY_ED25519_LEN], mh[34] = {0x12, 0x20, n};
    kith_pubkey_ed25519(pub, pb);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(pb, sizeof pb), &e.peer), KITH_OK);
    if (pq)
        assert_int_equal(kith_pq_id_parse(kith_bytes_of(mh, sizeof mh), &e.pq), KITH_OK);
    return e;
}

static void both_sides_show_the_same(void **state)
{
    (void)state;
    uint8_t h[KITH_CHANNEL_LEN] = {1, 2, 3};
    char one[KITH_VERIFY_TEXT_LEN + 1], two[KITH_VERIFY_TEXT_LEN + 1];
    kith_verify_end a = end_of(1, true), b = end_of(2, true);
    kith_verify_text(h, &a, &b, one);
    kith_verify_text(h, &b, &a, two);
    assert_string_equal(one, two);
    assert_int_equal(strlen(one), KITH_VERIFY_TEXT_LEN);
    for (size_t i = 0; i < KITH_VERIFY_TEXT_LEN; i++)
        assert_true(i % 6 == 5 ? one[i] == ' ' : one[i] >= '0' && one[i] <= '9');
    assert_string_equal(one, "76717 41668 57219 98912"); /* a second implementation, in Python, says so too */
}

static void anything_else_gives_another(void **state)
{
    (void)state;
    uint8_t h[KITH_CHANNEL_LEN] = {1, 2, 3};
    char one[KITH_VERIFY_TEXT_LEN + 1], two[KITH_VERIFY_TEXT_LEN + 1];
    kith_verify_end a = end_of(1, true), b = end_of(2, true), other = end_of(3, true),
                    bare = end_of(2, false);
    kith_verify_text(h, &a, &b, one);
    kith_verify_text(h, &a, &bare, two);
    assert_string_not_equal(one, two);
    kith_verify_text(h, &a, &other, two);
    assert_string_not_equal(one, two);
    bare = b;
    bare.pq = other.pq; /* a man in the middle's key beside the right peer id */
    kith_verify_text(h, &a, &bare, two);
    assert_string_not_equal(one, two);
    for (size_t i = 0; i < sizeof h; i++) {
        h[i] ^= 0x80;
        kith_verify_text(h, &a, &b, two);
        assert_string_not_equal(one, two);
        h[i] ^= 0x80;
    }
}

static void what_is_typed_counts_without_blanks(void **state)
{
    (void)state;
    static const char number[] = "01234 56789 01234 56789";
    assert_true(kith_verify_same(number, kith_bytes_str("01234567890123456789")));
    assert_true(kith_verify_same(number, kith_bytes_str(" 01234-56789-01234-56789 ")));
    assert_false(kith_verify_same(number, kith_bytes_str("01234 56789 01234 56788")));
    assert_false(kith_verify_same(number, kith_bytes_str("01234 56789 01234 5678")));
    assert_false(kith_verify_same(number, kith_bytes_str("01234 56789 01234 567890")));
    assert_false(kith_verify_same(number, kith_bytes_str("")));
    assert_false(kith_verify_same(number, kith_bytes_str("-")));
}

static int set_up(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_show_the_same),
        cmocka_unit_test(anything_else_gives_another),
        cmocka_unit_test(what_is_typed_counts_without_blanks),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
