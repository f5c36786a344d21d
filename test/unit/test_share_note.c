/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages of type share: what ours say, and what strangers may try. */
#include "crypto/crypto.h"
#include "host/share_note.h"

#include <stdio.h>

#include "support.h"

static kith_peer_id alice, mallory;
static char ticket[KITH_TICKET_TEXT_MAX + 1];

static int set_up(void **state)
{
    (void)state;
    static const char *const ids[] = {"12D3KooWGRUfMDYgXpbwy5nZ9XUXiX7v2g6rAWMPAvZrS6aqvZ4h",
                                      "12D3KooWKgWouHVAExAAGGAFHWe6FdzJHnFepKMzsgwxiEyVq66n"};
    if (kith_peer_id_from_text(kith_bytes_str(ids[0]), &alice) ||
        kith_peer_id_from_text(kith_bytes_str(ids[1]), &mallory))
        return 1;
    kith_ticket t = {.peer = alice};
    static const uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
    kith_signer *signer = kith_crypto_init() ? NULL : kith_signer_new(seed);
    kith_wr c = kith_wr_of(kith_span_of(t.capability, sizeof t.capability));
    kith_err err = signer ? kith_capability_put(&(kith_capability){0}, signer, &c) : KITH_ENOMEM;
    kith_signer_free(signer);
    t.capability_len = c.len;
    kith_wr w = kith_wr_of(kith_span_of(ticket, sizeof ticket - 1));
    return err || kith_maddr_from_text(kith_bytes_str("/ip4/127.0.0.1/tcp/9000"), &t.addrs[0], NULL) ||
           (t.addr_count = 1, kith_ticket_text(&t, &w) != KITH_OK);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    kith_share_note n = {.files = 3, .folders = 2, .links = 1, .bytes = 1ull << 41}, got;
    snprintf(n.ticket, sizeof n.ticket, "%s", ticket);
    snprintf(n.what, sizeof n.what, "%s", "ünïcödé \"漢字\"/");
    char *text = kith_share_note_text(&n);
    assert_non_null(text);
    assert_null(kith_share_note_parse(text, &alice, &got));
    assert_string_equal(got.ticket, ticket);
    assert_string_equal(got.what, n.what);
    assert_int_equal(got.files, 3);
    assert_int_equal(got.folders, 2);
    assert_int_equal(got.links, 1);
    assert_int_equal(got.bytes, 1ull << 41);
    assert_true(kith_peer_id_eq(&got.peer, &alice));
    for (size_t len = strlen(text); len-- > 0;) { /* every truncation */
        text[len] = '\0';
        assert_non_null(kith_share_note_parse(text, &alice, &got));
    }
    free(text);
}

static void a_ticket_of_somebody_else_is_refused(void **state)
{
    (void)state;
    char text[4096];
    kith_share_note got;
    snprintf(text, sizeof text, "{\"ticket\":\"%s\",\"what\":\"x\"}", ticket);
    assert_null(kith_share_note_parse(text, &alice, &got));
    assert_non_null(strstr(kith_share_note_parse(text, &mallory, &got), "not the sender's own"));
}

static void hostile_notes_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "hello",
        "[]",
        "{}",
        "null",
        "{\"ticket\":1,\"what\":\"x\"}",
        "{\"ticket\":\"kith1\",\"what\":\"x\"}",
        "{\"ticket\":\"T\"}",
        "{\"ticket\":\"T\",\"what\":\"\"}",
        "{\"ticket\":\"T\",\"what\":7}",
        "{\"ticket\":\"T\",\"what\":\"a\\u001b[31mb\"}",
        "{\"ticket\":\"T\",\"what\":\"a\\nb\"}",
        "{\"ticket\":\"T\",\"what\":\"a\\u202eb\"}",
        "{\"ticket\":\"T\",\"what\":\"x\",\"files\":-1}",
        "{\"ticket\":\"T\",\"what\":\"x\",\"bytes\":1.5}",
        "{\"ticket\":\"T\",\"what\":\"x\",\"links\":\"1\"}",
        "{\"ticket\":\"T\",\"ticket\":\"T\",\"what\":\"x\"}",
        "{\"ticket\":\"T\",\"what\":\"x\"} and more",
        "{\"ticket\":\"T\",\"what\":\"a\\u0000b\"}",
    };
    kith_share_note got;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[4096] = "";
        size_t n = 0;
        for (const char *p = bad[i]; *p; p++) { /* T is the ticket */
            if (strncmp(p, "\"T\"", 3) == 0) {
                n += (size_t)snprintf(text + n, sizeof text - n, "\"%s\"", ticket);
                p += 2;
            } else {
                text[n++] = *p;
                text[n] = '\0';
            }
        }
        assert_non_null(kith_share_note_parse(text, &alice, &got));
    }
}

/* A note of exactly that many bytes, filled up with white space; its what has so many. */
static const char *sized(size_t len, size_t what)
{
    static char text[KITH_SHARE_NOTE_MAX + 2], name[KITH_SHARE_NOTE_WHAT_MAX + 2];
    static kith_share_note got;
    memset(name, 'x', sizeof name);
    name[what] = '\0';
    int n = snprintf(text, sizeof text, "{\"ticket\":\"%s\",\"what\":\"%s\"}", ticket, name);
    memset(text + n, ' ', len - (size_t)n);
    text[len] = '\0';
    return kith_share_note_parse(text, &alice, &got);
}

static void notes_and_names_have_caps(void **state)
{
    (void)state;
    assert_null(sized(KITH_SHARE_NOTE_MAX, 1));
    assert_non_null(sized(KITH_SHARE_NOTE_MAX + 1, 1));
    assert_null(sized(1000, KITH_SHARE_NOTE_WHAT_MAX));
    assert_non_null(sized(1000, KITH_SHARE_NOTE_WHAT_MAX + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_ticket_of_somebody_else_is_refused),
        cmocka_unit_test(hostile_notes_are_refused),
        cmocka_unit_test(notes_and_names_have_caps),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
