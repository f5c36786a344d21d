/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a peer's reason for ending a connection becomes here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/goaway.h"

#define ME "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
#define KEY "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"

/* The numbers as go-libp2p sends them: core/network/conn.go. */
static void every_code_has_its_meaning(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        kith_err err;
        const char *word; /* in the sentence */
    } cases[] = {
        {1, KITH_ERESET, "broke the protocol"},
        {2, KITH_ERESET, "trouble of its own"},
        {0x1000, KITH_EUNSUPPORTED, "could be agreed on"},
        {0x1001, KITH_EREFUSED, "limits"},
        {0x1002, KITH_EREFUSED, "too many"},
        {0x1003, KITH_ERESET, "broke the protocol"},
        {0x1004, KITH_ECLOSED, "better connection"},
        {0x1005, KITH_ECLOSED, "idle"},
        {0x1006, KITH_ECLOSED, "stopping"},
        {0x1007, KITH_EREFUSED, "refuses this node"},
        {3, KITH_ERESET, "only it knows"},
        {0xfff, KITH_ERESET, "only it knows"},
        {0x1008, KITH_ERESET, "only it knows"},
        {UINT32_MAX, KITH_ERESET, "only it knows"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *why = NULL;
        assert_int_equal(kith_goaway_err(cases[i].code, &why), cases[i].err);
        assert_non_null(strstr(why, cases[i].word));
    }
}

static void says(bool classical, bool keyed, bool kith, const char *want)
{
    kith_goaway_self self = {.classical = classical, .kith = kith};
    char text[KITH_REASON_MAX];
    memset(text, 'x', sizeof text);
    assert_int_equal(kith_peer_id_from_text(kith_bytes_str(ME), &self.peer), KITH_OK);
    if (keyed)
        assert_int_equal(kith_pq_id_from_text(kith_bytes_str(KEY), &self.pq), KITH_OK);
    kith_goaway_gated(&self, text);
    assert_string_equal(text, want);
}

static void a_refusal_names_the_commands_that_lift_it(void **state)
{
    (void)state;
    says(
        false, true, true,
        "the peer refuses this node: it is blocked there, or known by another post-quantum key. Its 'kith up' or its log says "
        "which; there, 'kith trust unblock " ME "' or 'kith trust accept " ME " --key " KEY "' lets it in");
    says(
        false, false, false,
        "the peer refuses this node: it is blocked there, or known by a post-quantum key, which it did not show. If it is a kith "
        "node, its 'kith up' or its log says which; there, 'kith trust unblock " ME
        "' or 'kith trust accept " ME " --key none' lets it in");
    says(
        true, false, false,
        "the peer refuses this node: it is blocked there, or has to come over a post-quantum channel, which this is not. If it is "
        "a kith node, its 'kith up' or its log says which; there, 'kith trust unblock " ME
        "', 'kith trust policy " ME " prefer' or 'kith trust accept " ME " --classical' lets it in");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_meaning),
        cmocka_unit_test(a_refusal_names_the_commands_that_lift_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
