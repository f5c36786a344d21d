/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Invitations as text, and the proofs: the same on both sides, and worth nothing elsewhere. */
#include "apps/invite.h"

#include "crypto/crypto.h"
#include "support.h"
#include "wire/multibase.h"
#include "wire/pb.h"

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

/* As a mail or a chat breaks it. */
static void white_space_anywhere_is_ignored(void **state)
{
    (void)state;
    kith_invite v = sample(2), back;
    char text[KITH_INVITE_TEXT_MAX], broken[2 * KITH_INVITE_TEXT_MAX];
    const char *why;
    size_t len = text_of(&v, text), n = 0;
    for (size_t i = 0; i < len; i++) {
        if (i % 7 == 0)
            broken[n++] = " \t\n\r"[i / 7 % 4];
        broken[n++] = text[i];
    }
    broken[n++] = '\n';
    assert_int_equal(kith_invite_parse(kith_bytes_of(broken, n), &back, &why), KITH_OK);
    assert_memory_equal(v.secret, back.secret, sizeof v.secret);
    assert_int_equal(back.addr_count, 2);
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

/* What a link of these fields is read as; NULL: it is good. */
static const char *read(const kith_wr *body, kith_invite *out)
{
    static char text[2 * KITH_INVITE_TEXT_MAX];
    uint8_t raw[KITH_INVITE_BYTES_MAX], digest[KITH_SHA256_LEN];
    kith_wr b = kith_wr_of(kith_span_of(raw, sizeof raw)), w = kith_wr_of(kith_span_of(text, sizeof text));
    const char *why;
    kith_sha256(kith_wr_bytes(body), digest);
    kith_put_bytes(&b, kith_wr_bytes(body));
    kith_put_bytes(&b, kith_bytes_of(digest, 4));
    kith_put_str(&w, KITH_INVITE_PREFIX);
    kith_base_put(&w, KITH_BASE64URL, kith_wr_bytes(&b));
    assert_false(body->bad || b.bad || w.bad);
    kith_err e = kith_invite_parse(kith_wr_bytes(&w), out, &why);
    assert_int_equal(e, why ? KITH_EFORMAT : KITH_OK);
    return why;
}

enum { PEER = 1, PQ, SECRET, EXPIRES, ADDR, LATER = 99 };

/* A good body, but for one field, which is left out. */
static kith_wr body_without(uint32_t tag)
{
    static uint8_t buf[KITH_INVITE_BYTES_MAX];
    kith_invite v = sample(0);
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    if (tag != PEER)
        kith_pb_put_bytes(&w, PEER, kith_peer_id_bytes(&v.peer));
    if (tag != PQ)
        kith_pb_put_bytes(&w, PQ, kith_pq_id_bytes(&v.pq));
    if (tag != SECRET)
        kith_pb_put_bytes(&w, SECRET, kith_bytes_of(v.secret, sizeof v.secret));
    if (tag != EXPIRES)
        kith_pb_put_num(&w, EXPIRES, v.expires);
    return w;
}

static void fields_are_there_and_have_their_form(void **state)
{
    (void)state;
    static const char missing[] = "it was made wrongly: a field is missing",
                      malformed[] = "it was made wrongly: a field is malformed";
    kith_invite v;
    for (uint32_t tag = PEER; tag <= ADDR; tag++) {
        kith_wr w = body_without(tag);
        const char *why = read(&w, &v);
        if (tag == PQ || tag == ADDR)
            assert_null(why);
        else
            assert_string_equal(why, missing);
        if (tag == EXPIRES)
            kith_pb_put_bytes(&w, tag, kith_bytes_str("12"));
        else
            kith_pb_put_num(&w, tag, 12);
        assert_string_equal(read(&w, &v), malformed);
        w = body_without(tag);
        if (tag == EXPIRES)
            kith_pb_put_num(&w, tag, (uint64_t)INT64_MAX + 1);
        else
            kith_pb_put_bytes(&w, tag, kith_bytes_str("short"));
        if (tag == ADDR)
            assert_true(!read(&w, &v) && v.addr_count == 0); /* a kind that we do not know */
        else
            assert_string_equal(read(&w, &v), malformed);
    }
    kith_wr w = body_without(0);
    kith_pb_put_num(&w, LATER, 7);
    kith_pb_put_bytes(&w, LATER, kith_bytes_str("from a later version"));
    assert_null(read(&w, &v));
    kith_put_u8(&w, 0x2a); /* field 5, cut off */
    assert_string_equal(read(&w, &v), malformed);
}

static void so_many_addresses_are_read(void **state)
{
    (void)state;
    kith_invite many = sample(1), v;
    kith_bytes a = kith_maddr_bytes(&many.addrs[0]);
    for (size_t n = KITH_INVITE_ADDRS_MAX - 1; n <= KITH_INVITE_ADDRS_MAX + 1; n++) {
        kith_wr w = body_without(0);
        for (size_t i = 0; i < n; i++)
            kith_pb_put_bytes(&w, ADDR, a);
        assert_null(read(&w, &v));
        assert_int_equal(v.addr_count, n < KITH_INVITE_ADDRS_MAX ? n : KITH_INVITE_ADDRS_MAX);
    }
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
        cmocka_unit_test(white_space_anywhere_is_ignored),
        cmocka_unit_test(every_wrong_character_is_found),
        cmocka_unit_test(fields_are_there_and_have_their_form),
        cmocka_unit_test(so_many_addresses_are_read),
        cmocka_unit_test(a_proof_is_good_for_one_side_of_one_connection),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
