/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Invitations as text, and the proofs: the same on both sides, and worth nothing elsewhere. */
#include "apps/invite.h"

#include "crypto/crypto.h"
#include "support.h"

static kith_invite sample(size_t addrs)
{
    kith_invite v = {.expires = 1800000000};
    uint8_t mh[34] = {0x12, 0x20, 1, 2, 3};
    assert_int_equal(kith_peer_id_from_text(
                         kith_bytes_str("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"), &v.peer),
                     KITH_OK);
    assert_int_equal(kith_pq_id_parse(kith_bytes_of(mh, sizeof mh), &v.pq), KITH_OK);
    for (uint8_t i = 0; i < sizeof v.secret; i++)
        v.secret[i] = (uint8_t)(0xf0 ^ i * 11);
    for (size_t i = 0; i < addrs; i++) {
        const char *why;
        assert_int_equal(kith_maddr_from_text(
                             kith_bytes_str(i % 2 ? "/ip6/2001:db8::1/tcp/9000" : "/ip4/192.0.2.1/tcp/9000"),
                             &v.addrs[v.addr_count++], &why),
                         KITH_OK);
    }
    return v;
}

static size_t text_of(const kith_invite *v, char out[KITH_INVITE_TEXT_MAX])
{
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_INVITE_TEXT_MAX));
    assert_int_equal(kith_invite_text(v, &w), KITH_OK);
    return w.len;
}

static void a_link_comes_back_as_it_was(void **state)
{
    (void)state;
    for (size_t n = 0; n <= KITH_INVITE_ADDRS_MAX; n++) {
        kith_invite v = sample(n), back;
        char text[KITH_INVITE_TEXT_MAX];
        const char *why;
        if (n % 2)
            v.pq = (kith_pq_id){0};
        size_t len = text_of(&v, text);
        assert_int_equal(kith_invite_parse(kith_bytes_of(text, len), &back, &why), KITH_OK);
        assert_true(kith_peer_id_eq(&v.peer, &back.peer) && kith_pq_id_eq(&v.pq, &back.pq));
        assert_memory_equal(v.secret, back.secret, sizeof v.secret);
        assert_int_equal(back.expires, v.expires);
        assert_int_equal(back.addr_count, n);
    }
}

static void every_wrong_character_is_found(void **state)
{
    (void)state;
    kith_invite v = sample(1), back;
    char text[KITH_INVITE_TEXT_MAX];
    size_t len = text_of(&v, text);
    const char *why;
    for (size_t i = 0; i < len; i++) {
        char was = text[i];
        for (int c = 33; c < 127; c++) {
            text[i] = (char)c;
            if ((char)c != was && kith_invite_parse(kith_bytes_of(text, len), &back, &why) != KITH_EFORMAT)
                fail_msg("'%c' at %zu", c, i);
        }
        text[i] = was;
    }
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(kith_invite_parse(kith_bytes_of(text, cut), &back, &why), KITH_EFORMAT);
    static char much[KITH_INVITE_TEXT_MAX + 1];
    memset(much, 'a', sizeof much);
    assert_int_equal(kith_invite_parse(kith_bytes_of(much, sizeof much), &back, &why), KITH_EFORMAT);
    assert_string_equal(why, "it is too long for an invitation");
}

static void a_proof_is_good_for_one_side_of_one_connection(void **state)
{
    (void)state;
    uint8_t h[KITH_CHANNEL_LEN] = {1}, one[KITH_INVITE_PROOF_LEN], two[KITH_INVITE_PROOF_LEN];
    kith_invite v = sample(0);
    kith_verify_end host = {v.peer, v.pq}, guest = {v.peer, {0}};
    guest.peer.b[20] ^= 1;
    kith_invite_proof(v.secret, KITH_INVITE_GUEST, h, &guest, &host, one);
    kith_invite_proof(v.secret, KITH_INVITE_GUEST, h, &guest, &host, two);
    assert_memory_equal(one, two, sizeof one);
    kith_invite_proof(v.secret, KITH_INVITE_HOST, h, &guest, &host, two); /* sent back */
    assert_memory_not_equal(one, two, sizeof one);
    h[31] ^= 1; /* passed on to another connection */
    kith_invite_proof(v.secret, KITH_INVITE_GUEST, h, &guest, &host, two);
    assert_memory_not_equal(one, two, sizeof one);
    h[31] ^= 1;
    host.pq.b[9] ^= 1; /* another key at the other end */
    kith_invite_proof(v.secret, KITH_INVITE_GUEST, h, &guest, &host, two);
    assert_memory_not_equal(one, two, sizeof one);
    host.pq.b[9] ^= 1;
    v.secret[0] ^= 1;
    kith_invite_proof(v.secret, KITH_INVITE_GUEST, h, &guest, &host, two);
    assert_memory_not_equal(one, two, sizeof one);
}

static int set_up(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_comes_back_as_it_was),
        cmocka_unit_test(every_wrong_character_is_found),
        cmocka_unit_test(a_proof_is_good_for_one_side_of_one_connection),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
