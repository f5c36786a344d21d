/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Known peers as text: what is written is read, and what is not one is refused. */
#include "node/trust_text.h"

#include <stdio.h>

#include "support.h"

#define PEER "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
#define KEY "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"

static kith_trust_row full_row(void)
{
    kith_trust_row r = {.sig = KITH_SIG_MLDSA65,
                        .how = KITH_TRUST_PINNED,
                        .pq_how = KITH_TRUST_VERIFIED,
                        .policy = KITH_TRUST_REQUIRE,
                        .sequence = INT64_MAX,
                        .first = 1,
                        .last = INT64_MAX,
                        .level = 5,
                        .blocked = true,
                        .reached = true};
    memset(r.name, 'x', KITH_TRUST_NAME_MAX);
    assert_int_equal(kith_peer_id_from_text(kith_bytes_str(PEER), &r.peer), KITH_OK);
    assert_int_equal(kith_pq_id_from_text(kith_bytes_str(KEY), &r.pq), KITH_OK);
    r.former = r.pq;
    return r;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char text[KITH_TRUST_LINE_MAX + 32];
    kith_trust_row rows[2] = {full_row()}, back;
    rows[1].peer = rows[0].peer;
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    kith_put_str(&w, KITH_TRUST_TEXT_HEAD);
    assert_int_equal(kith_trust_put_line(&w, &rows[0]), KITH_OK);
    assert_int_equal(kith_trust_put_line(&w, &rows[1]), KITH_OK);
    assert_true(w.len <= KITH_TRUST_LINE_MAX + 32);
    kith_bytes in = kith_wr_bytes(&w);
    const char *why;
    assert_int_equal(kith_trust_get_head(&in, &why), KITH_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kith_trust_get_line(&in, &back, &why), KITH_OK);
        assert_true(kith_peer_id_eq(&back.peer, &rows[i].peer) && kith_pq_id_eq(&back.pq, &rows[i].pq));
        assert_true(kith_pq_id_eq(&back.former, &rows[i].former) && back.sig == rows[i].sig);
        assert_string_equal(back.name, rows[i].name);
        assert_true(back.how == rows[i].how && back.pq_how == rows[i].pq_how &&
                    back.policy == rows[i].policy);
        assert_true(back.sequence == rows[i].sequence && back.first == rows[i].first &&
                    back.last == rows[i].last);
        assert_true(back.level == rows[i].level && back.blocked == rows[i].blocked &&
                    back.reached == rows[i].reached);
    }
    assert_int_equal(kith_trust_get_line(&in, &back, &why), KITH_ENOTFOUND);
    for (size_t room = 0; room < KITH_TRUST_LINE_MAX; room += 7) {
        w = kith_wr_of(kith_span_of(text, room));
        kith_err e = kith_trust_put_line(&w, &rows[0]);
        assert_true(e == KITH_OK || e == KITH_ESPACE);
    }
}

static void what_is_not_a_line_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "name alice",
        "peer",
        "peer x",
        "peer " PEER " peer " PEER,
        "peer " PEER " name",
        "peer " PEER " name " PEER,
        "peer " PEER " name \x1b[2J",
        "peer " PEER " level 6",
        "peer " PEER " level -1",
        "peer " PEER " first 99999999999999999999",
        "peer " PEER " first 9999999999999999999",
        "peer " PEER " blocked 2",
        "peer " PEER " how trusted",
        "peer " PEER " key " PEER,
        "peer " PEER " key-how pinned",
        "peer " PEER " colour red",
        "   ",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        kith_bytes in = kith_bytes_str(wrong[i]);
        kith_trust_row r;
        const char *why = NULL;
        if (kith_trust_get_line(&in, &r, &why) != KITH_EFORMAT || !why || in.len)
            fail_msg("'%s' was taken", wrong[i]);
    }
    char lengthy[2 * KITH_TRUST_LINE_MAX];
    (void)snprintf(lengthy, sizeof lengthy, "peer " PEER "%*s", KITH_TRUST_LINE_MAX, "");
    kith_bytes in = kith_bytes_str(lengthy);
    kith_trust_row r;
    const char *why;
    assert_int_equal(kith_trust_get_line(&in, &r, &why), KITH_EFORMAT);
    assert_string_equal(why, "it is too long");
}

static void another_head_is_told_apart(void **state)
{
    (void)state;
    const char *why;
    kith_bytes in = kith_bytes_str("kith trust 2\n");
    assert_int_equal(kith_trust_get_head(&in, &why), KITH_EFORMAT);
    assert_string_equal(why, "a newer kith wrote it");
    in = kith_bytes_str("SQLite format 3");
    assert_int_equal(kith_trust_get_head(&in, &why), KITH_EFORMAT);
    assert_string_equal(why, "it does not begin with \"kith trust 1\"");
    in = kith_bytes_str("kith trust 1\r\n\r\n# nobody\r\n");
    assert_int_equal(kith_trust_get_head(&in, &why), KITH_OK);
    kith_trust_row r;
    assert_int_equal(kith_trust_get_line(&in, &r, &why), KITH_ENOTFOUND);
    in = (kith_bytes){0};
    assert_int_equal(kith_trust_get_head(&in, &why), KITH_EFORMAT);
}

static void try_both(void *ctx, kith_bytes in)
{
    (void)ctx;
    kith_trust_row r;
    const char *why = NULL;
    (void)!kith_trust_get_head(&in, &why);
    while (kith_trust_get_line(&in, &r, &why) != KITH_ENOTFOUND)
        ;
}

static void any_other_text_is_survived(void **state)
{
    (void)state;
    char text[KITH_TRUST_LINE_MAX + 32];
    kith_trust_row r = full_row();
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    kith_put_str(&w, KITH_TRUST_TEXT_HEAD);
    assert_int_equal(kith_trust_put_line(&w, &r), KITH_OK);
    support_mutate(kith_wr_bytes(&w), try_both, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_not_a_line_is_refused),
        cmocka_unit_test(another_head_is_told_apart),
        cmocka_unit_test(any_other_text_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
