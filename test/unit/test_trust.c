/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The rules of trust, as a table: what is known, what comes, what is decided. */
#include "node/trust.h"

#include <stdio.h>

#include "crypto/crypto.h"
#include "support.h"
#include "wire/successor.h"

#define T0 1800000000u

enum { KEYS = 4 };
static kith_signer *signers[3];
static kith_pq_signer *keys[KEYS]; /* from 1 */

static kith_peer_id peer_id(uint8_t n)
{
    kith_peer_id id;
    uint8_t pub[KITH_ED25519_PUB_LEN], pb[KITH_PUBKEY_ED25519_LEN];
    kith_signer_public(signers[n], pub);
    kith_pubkey_ed25519(pub, pb);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(pb, sizeof pb), &id), KITH_OK);
    return id;
}

/* The id of the nth post-quantum key; none for 0. */
static kith_pq_id pq_id(uint8_t n)
{
    return n ? kith_pq_id_of_signer(keys[n]) : (kith_pq_id){0};
}

/* A statement of the nth peer, in static storage. */
static kith_bytes statement(uint8_t peer, uint8_t from, uint8_t to, uint64_t seq)
{
    static uint8_t out[KITH_SUCCESSOR_MAX], room[KITH_SIG_MAX];
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_successor_of of = {.signer = signers[peer],
                            .old_key = keys[from],
                            .new_key = keys[to],
                            .seq = seq,
                            .time = T0,
                            .room = room};
    assert_int_equal(kith_successor_sign(&of, &w), KITH_OK);
    return kith_wr_bytes(&w);
}

static const kith_noise_suite *suite(uint8_t level)
{
    for (size_t i = 0; i < kith_noise_suite_count; i++) {
        if (kith_noise_suites[i].level == level)
            return &kith_noise_suites[i];
    }
    return NULL;
}

typedef struct line {
    const char *what;
    bool known;
    kith_trust_row row;       /* known: what is remembered; peer is filled in */
    uint8_t known_pq, former; /* the nth key */
    uint8_t pq, level;        /* what comes: key, category of the channel */
    struct {
        uint8_t from, to;
        uint64_t sequence;
        bool forged, foreign;
    } said; /* the successor statement; from 0: none */
    kith_pq_policy policy;
    kith_err want;
    const char *in_why; /* NULL: accepted */
    const char *command;
    uint8_t then_pq, then_level;
} line;

#define PREFER KITH_PQ_PREFER
#define SEEN .how = KITH_TRUST_FIRST_SEEN
#define PINNED .how = KITH_TRUST_PINNED, .pq_how = KITH_TRUST_PINNED

static const line table[] = {
    {"first contact, classical", .then_level = 0},
    {"first contact, post-quantum, without a key", .level = 3, .then_level = 3},
    {"first contact with a key", .pq = 1, .level = 3, .then_pq = 1, .then_level = 3},
    {"first contact is bound by require", .policy = KITH_PQ_REQUIRE, .want = KITH_EPOLICY,
     .in_why = "pq = require", .command = "kith trust policy 12D3", .level = 0},
    {"a known one comes back", .known = true, .row = {.level = 3}, .known_pq = 1, .pq = 1, .level = 3,
     .then_pq = 1, .then_level = 3},
    {"a better channel is remembered", .known = true, .row = {.level = 3}, .level = 5, .then_level = 5},
    {"a lower category is still post-quantum", .known = true, .row = {.level = 5}, .level = 1,
     .then_level = 5},
    {"a key comes to one that had none", .known = true, .row = {.level = 3}, .pq = 2, .level = 3,
     .then_pq = 2, .then_level = 3},

    {"once post-quantum, now classical", .known = true, .row = {.level = 3}, .want = KITH_EPOLICY,
     .in_why = "somebody on the way", .command = "--classical'"},
    {"once post-quantum, now classical, off", .known = true, .row = {.level = 3}, .policy = KITH_PQ_OFF,
     .then_level = 3},
    {"the same, off for this peer", .known = true, .row = {.level = 3, .policy = KITH_TRUST_OFF},
     .then_level = 3},
    {"prefer for this peer does not lift it", .known = true, .row = {.level = 1, .policy = KITH_TRUST_PREFER},
     .policy = KITH_PQ_OFF, .want = KITH_EPOLICY, .in_why = "post-quantum"},
    {"always classical", .known = true, .then_level = 0},
    {"require for this peer", .known = true, .row = {.policy = KITH_TRUST_REQUIRE}, .want = KITH_EPOLICY,
     .in_why = "pq = require"},
    {"prefer for this peer under require", .known = true, .row = {.policy = KITH_TRUST_PREFER},
     .policy = KITH_PQ_REQUIRE},

    {"a changed key", .known = true, .row = {.level = 3}, .known_pq = 1, .pq = 2, .level = 3,
     .want = KITH_EAUTH, .in_why = "CHANGED", .command = "--key Qm"},
    {"a changed key, pinned", .known = true, .row = {.level = 3, PINNED}, .known_pq = 1, .pq = 2, .level = 3,
     .want = KITH_EAUTH, .in_why = "pinned"},
    {"a changed key, off", .known = true, .row = {.level = 3, .policy = KITH_TRUST_OFF}, .known_pq = 1,
     .pq = 2, .level = 3, .policy = KITH_PQ_OFF, .want = KITH_EAUTH, .in_why = "CHANGED"},
    {"a pin counts from the first byte", .known = true, .row = {PINNED}, .known_pq = 1, .pq = 2, .level = 3,
     .want = KITH_EAUTH, .in_why = "pinned"},
    {"a key that is gone", .known = true, .row = {.level = 3}, .known_pq = 1, .level = 3, .want = KITH_EAUTH,
     .in_why = "no longer proves", .command = "--key none'"},
    {"a key that is gone, on a classical channel", .known = true, .row = {.level = 3},
     .command = "--classical'", .known_pq = 1, .want = KITH_EAUTH, .in_why = "no longer proves"},
    {"a key that is gone, off", .known = true, .row = {.level = 3}, .known_pq = 1, .policy = KITH_PQ_OFF,
     .then_pq = 1, .then_level = 3},
    {"a pinned key that is gone, off", .known = true, .row = {.level = 3, PINNED}, .known_pq = 1,
     .policy = KITH_PQ_OFF, .want = KITH_EPOLICY, .in_why = "pq = off does not lift", .command = " off'"},
    {"a pinned key that is gone, off for this peer", .known = true,
     .row = {.level = 3, PINNED, .policy = KITH_TRUST_OFF}, .known_pq = 1, .then_pq = 1, .then_level = 3},

    {"a successor that its key names", .known = true, .row = {.level = 3, PINNED}, .known_pq = 1, .pq = 2,
     .level = 3, .said = {1, 2, 1, .forged = false}, .then_pq = 2, .then_level = 3},
    {"a successor that another key names", .known = true, .row = {.level = 3}, .known_pq = 1, .pq = 2,
     .level = 3, .said = {3, 2, 9, .forged = false}, .want = KITH_EAUTH, .in_why = "CHANGED"},
    {"a statement about another key than is shown", .known = true, .row = {.level = 3}, .known_pq = 1,
     .pq = 2, .level = 3, .said = {1, 3, 9, .forged = false}, .want = KITH_EAUTH, .in_why = "CHANGED"},
    {"a statement that nobody signed", .known = true, .row = {.level = 3}, .known_pq = 1, .pq = 2, .level = 3,
     .said = {1, 2, 1, .forged = true}, .want = KITH_EAUTH, .in_why = "CHANGED"},
    {"a statement of another peer", .known = true, .row = {.level = 3}, .known_pq = 1, .pq = 2, .level = 3,
     .said = {1, 2, 1, .foreign = true}, .want = KITH_EAUTH, .in_why = "CHANGED"},
    {"a statement of an old sequence", .known = true, .row = {.level = 3, .sequence = 5}, .known_pq = 1,
     .pq = 2, .level = 3, .said = {1, 2, 5, .forged = false}, .want = KITH_EAUTH, .in_why = "older"},
    {"a key that was replaced comes back", .known = true, .row = {.level = 3, .sequence = 5}, .known_pq = 2,
     .former = 1, .pq = 1, .level = 3, .want = KITH_EAUTH, .in_why = "replaced itself"},
    {"even with a statement", .known = true, .row = {.level = 3, .sequence = 5}, .known_pq = 2, .former = 1,
     .pq = 1, .level = 3, .said = {2, 1, 6, .forged = false}, .want = KITH_EAUTH,
     .in_why = "replaced itself"},

    {"blocked", .known = true, .row = {.blocked = true}, .level = 3, .want = KITH_EPOLICY,
     .in_why = "is blocked", .command = "kith trust unblock"},
    {"blocked, with the right key", .known = true, .row = {.blocked = true, PINNED}, .known_pq = 1, .pq = 1,
     .level = 3, .policy = KITH_PQ_OFF, .want = KITH_EPOLICY, .in_why = "is blocked"},
};

static void what_is_known_decides(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const line *l = &table[i];
        kith_trust_row row = l->row, record, untouched;
        row.peer = peer_id(1);
        row.pq = pq_id(l->known_pq);
        row.former = pq_id(l->former);
        if (l->known)
            row.first = row.last = T0 - 5;
        kith_bytes said = {0};
        if (l->said.from)
            said = statement(l->said.foreign ? 2 : 1, l->said.from, l->said.to, l->said.sequence);
        if (l->said.forged)
            ((uint8_t *)(uintptr_t)said.p)[said.len - 1] ^= 1;
        kith_contact c = {.peer = row.peer,
                          .pq = pq_id(l->pq),
                          .sig = l->pq ? KITH_SIG_MLDSA44 : KITH_SIG_NONE,
                          .suite = suite(l->level),
                          .successors = &said,
                          .successor_count = said.len > 0};
        char why[KITH_REASON_MAX] = "";
        memset(&record, 0xee, sizeof record);
        untouched = record;
        kith_err e = kith_trust_decide(l->known ? &row : NULL, &c, l->policy, T0, &record, why);
        if (e != l->want || (l->in_why && !strstr(why, l->in_why)) ||
            (l->command && !strstr(why, l->command)))
            fail_msg("%s: %s, \"%s\"", l->what, kith_err_name(e), why);
        if (e) {
            assert_memory_equal(&record, &untouched, sizeof record);
            assert_non_null(strstr(why, "12D3Koo"));
            continue;
        }
        kith_pq_id then = pq_id(l->then_pq);
        if (!kith_pq_id_eq(&record.pq, &then) || record.level != l->then_level)
            fail_msg("%s: recorded otherwise", l->what);
        assert_int_equal(record.last, T0);
        assert_int_equal(record.first, l->known ? T0 - 5 : T0);
        assert_true(record.reached);
        assert_int_equal(record.pq_how, l->known_pq ? row.pq_how : KITH_TRUST_FIRST_SEEN);
    }
}

static void a_succession_moves_the_pin_and_keeps_what_it_is_worth(void **state)
{
    (void)state;
    kith_trust_row r = {.peer = peer_id(1), .pq = pq_id(1), PINNED, .level = 3}, next;
    kith_bytes said = statement(1, 1, 2, 4);
    kith_contact c = {.peer = r.peer,
                      .pq = pq_id(2),
                      .sig = KITH_SIG_MLDSA44,
                      .suite = suite(3),
                      .successors = &said,
                      .successor_count = 1};
    char why[KITH_REASON_MAX];
    assert_int_equal(kith_trust_decide(&r, &c, PREFER, T0, &next, why), KITH_OK);
    kith_pq_id one = pq_id(1), two = pq_id(2);
    assert_true(kith_pq_id_eq(&next.pq, &two) && kith_pq_id_eq(&next.former, &one));
    assert_int_equal(next.sequence, 4);
    assert_int_equal(next.pq_how, KITH_TRUST_PINNED);
    assert_int_equal(next.sig, KITH_SIG_MLDSA44);
    r = next;
    c.successor_count = 0; /* from now on it stands alone */
    assert_int_equal(kith_trust_decide(&r, &c, PREFER, T0, &next, why), KITH_OK);
    c.pq = one;
    assert_int_equal(kith_trust_decide(&r, &c, PREFER, T0, &next, why), KITH_EAUTH);
}

static void a_petname_stands_in_the_sentence_and_in_the_command(void **state)
{
    (void)state;
    kith_trust_row r = {.peer = peer_id(1), .pq = pq_id(1), .name = "alice", .level = 3}, next;
    kith_contact c = {.peer = r.peer, .pq = pq_id(2), .suite = suite(3)};
    char why[KITH_REASON_MAX], was[KITH_PEER_ID_TEXT_MAX + 1], is[KITH_PEER_ID_TEXT_MAX + 1],
        want[KITH_REASON_MAX];
    assert_int_equal(kith_trust_decide(&r, &c, PREFER, T0, &next, why), KITH_EAUTH);
    kith_pq_id_text(&r.pq, was);
    kith_pq_id_text(&c.pq, is);
    (void)snprintf(
        want, sizeof want,
        "alice's post-quantum key has CHANGED: known is %s, first-seen; it came with %s. If you know why, accept "
        "it with 'kith trust accept alice --key %s'",
        was, is, is);
    assert_string_equal(why, want);
}

/* The longest name and the longest ids. */
static void no_sentence_is_cut_off(void **state)
{
    (void)state;
    kith_trust_row r = {.peer = peer_id(1), .pq = pq_id(1), .former = pq_id(2), .level = 3, PINNED}, next;
    memset(r.name, 'x', KITH_TRUST_NAME_MAX);
    char why[KITH_REASON_MAX];
    for (unsigned i = 0; i < 16; i++) {
        kith_contact c = {.peer = r.peer, .pq = pq_id(i & 1 ? 2 : 0), .suite = suite(i & 2 ? 3 : 0)};
        r.blocked = i & 4;
        r.former = pq_id(i & 8 ? 2 : 3);
        for (int p = KITH_PQ_PREFER; p <= KITH_PQ_OFF; p++) {
            assert_int_not_equal(kith_trust_decide(&r, &c, (kith_pq_policy)p, T0, &next, why), KITH_OK);
            assert_int_equal(why[strlen(why) - 1], '\'');
        }
    }
}

/* ---- what people change ---- */

static kith_err apply(kith_trust_row *r, bool known, kith_trust_edit e)
{
    char why[KITH_REASON_MAX] = "";
    kith_err err = kith_trust_apply(&e, known, r, why);
    assert_int_equal(err != KITH_OK, why[0] != '\0');
    return err;
}

static void names_differ_in_more_than_capitals(void **state)
{
    (void)state;
    assert_true(kith_trust_name_eq(kith_bytes_str("Alice"), kith_bytes_str("aLICE")));
    assert_false(kith_trust_name_eq(kith_bytes_str("alice"), kith_bytes_str("alic")));
    assert_false(kith_trust_name_eq(kith_bytes_str("alice"), kith_bytes_str("alicf")));
}

static void a_policy_is_set_and_a_row_of_ones_own_is_put_back(void **state)
{
    (void)state;
    kith_trust_row r = {.peer = peer_id(1), .pq = pq_id(1), .level = 3, PINNED}, was = r;
    assert_int_equal(
        apply(&r, true, (kith_trust_edit){.act = KITH_TRUST_SET_POLICY, .policy = KITH_TRUST_OFF}), KITH_OK);
    was.policy = KITH_TRUST_OFF;
    assert_memory_equal(&r, &was, sizeof r);
    kith_trust_row copy = {.peer = r.peer, .pq = pq_id(2), .blocked = true, .sequence = 7};
    assert_int_equal(apply(&r, true, (kith_trust_edit){.act = KITH_TRUST_PUT, .peer = r.peer, .row = copy}),
                     KITH_OK);
    assert_memory_equal(&r, &copy, sizeof r);
}

static void a_pin_never_takes_the_place_of_another_key(void **state)
{
    (void)state;
    kith_trust_row r = kith_trust_begin(&(kith_peer_id){0});
    r.peer = peer_id(1);
    kith_trust_edit e = {
        .act = KITH_TRUST_PIN, .peer = r.peer, .pq = pq_id(1), .sig = KITH_SIG_MLDSA44, .name = "bob"};
    assert_int_equal(apply(&r, false, e), KITH_OK);
    assert_int_equal(r.how, KITH_TRUST_PINNED);
    assert_int_equal(r.pq_how, KITH_TRUST_PINNED);
    assert_string_equal(r.name, "bob");
    e.pq = pq_id(2);
    assert_int_equal(apply(&r, true, e), KITH_EAUTH);
    e.pq = pq_id(0); /* of the peer alone: its key stays */
    e.name[0] = '\0';
    assert_int_equal(apply(&r, true, e), KITH_OK);
    kith_pq_id one = pq_id(1);
    assert_true(kith_pq_id_eq(&r.pq, &one));
    assert_string_equal(r.name, "bob");
    r.blocked = true;
    assert_int_equal(apply(&r, true, e), KITH_EPOLICY);
}

static void verified_is_not_lost_by_a_pin(void **state)
{
    (void)state;
    kith_trust_row r = {.peer = peer_id(1), .pq = pq_id(1)};
    assert_int_equal(apply(&r, true, (kith_trust_edit){.act = KITH_TRUST_VERIFY, .pq = pq_id(1)}), KITH_OK);
    assert_int_equal(apply(&r, true, (kith_trust_edit){.act = KITH_TRUST_PIN, .pq = pq_id(1)}), KITH_OK);
    assert_int_equal(r.how, KITH_TRUST_VERIFIED);
    assert_int_equal(r.pq_how, KITH_TRUST_VERIFIED);
}

static void an_accepted_key_begins_another_line(void **state)
{
    (void)state;
    kith_trust_row r = {.peer = peer_id(1),
                        .pq = pq_id(1),
                        .former = pq_id(3),
                        .sequence = 7,
                        .level = 3,
                        .pq_how = KITH_TRUST_VERIFIED};
    assert_int_equal(apply(&r, true, (kith_trust_edit){.act = KITH_TRUST_KEY, .pq = pq_id(2)}), KITH_OK);
    assert_int_equal(r.sequence, 0);
    assert_int_equal(r.former.len, 0);
    assert_int_equal(r.pq_how, KITH_TRUST_PINNED); /* nobody has compared this one */
    assert_int_equal(apply(&r, true, (kith_trust_edit){.act = KITH_TRUST_KEY}), KITH_OK);
    assert_int_equal(r.pq.len, 0);
    assert_int_equal(r.pq_how, KITH_TRUST_FIRST_SEEN);
    assert_int_equal(apply(&r, true, (kith_trust_edit){.act = KITH_TRUST_CLASSICAL}), KITH_OK);
    assert_int_equal(r.level, 0);
    r.pq = pq_id(2);
    r.sequence = 3;
    assert_int_equal(apply(&r, true, (kith_trust_edit){.act = KITH_TRUST_CLASSICAL}), KITH_OK);
    assert_int_equal(r.pq.len, 0);
    assert_int_equal(r.sequence, 0);
}

static void some_changes_need_somebody_known(void **state)
{
    (void)state;
    static const kith_trust_act acts[] = {KITH_TRUST_UNBLOCK, KITH_TRUST_CLASSICAL, KITH_TRUST_FORGET,
                                          KITH_TRUST_RENAME};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        kith_trust_row r = {.peer = peer_id(1)};
        assert_int_equal(apply(&r, false, (kith_trust_edit){.act = acts[i]}), KITH_ENOTFOUND);
        assert_int_equal(apply(&r, true, (kith_trust_edit){.act = acts[i]}), KITH_OK);
    }
}

static void what_people_made_is_kept(void **state)
{
    (void)state;
    kith_trust_row r = {.level = 5, .reached = true};
    assert_false(kith_trust_kept(&r));
    r.blocked = true;
    assert_true(kith_trust_kept(&r));
    r = (kith_trust_row){.name = "x"};
    assert_true(kith_trust_kept(&r));
    r = (kith_trust_row){.policy = KITH_TRUST_OFF};
    assert_true(kith_trust_kept(&r));
    r = (kith_trust_row){.pq_how = KITH_TRUST_PINNED};
    assert_true(kith_trust_kept(&r));
}

static void names_are_short_printable_and_no_ids(void **state)
{
    (void)state;
    static const char *const good[] = {"alice", "Bob's-laptop", "\xc3\xa9lan", "a", "7", "x.y_z+1"};
    static const char *const bad[] = {"",           "two words",    "a/b",         "-x",
                                      "@x",         "tab\t",        "\x1b[2J",     "\xff",
                                      "a\xc2\xa0z", "\xe2\x80\xae", "\xe2\x80\x8b"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_null(kith_trust_name_wrong(kith_bytes_str(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_non_null(kith_trust_name_wrong(kith_bytes_str(bad[i])));
    char text[KITH_PEER_ID_TEXT_MAX + 1], longest[65];
    kith_peer_id id = peer_id(1);
    kith_peer_id_text(&id, text);
    assert_string_equal(kith_trust_name_wrong(kith_bytes_str(text)), "it is a peer id");
    memset(longest, 'x', sizeof longest);
    assert_null(kith_trust_name_wrong(kith_bytes_of(longest, KITH_TRUST_NAME_MAX)));
    assert_non_null(kith_trust_name_wrong(kith_bytes_of(longest, KITH_TRUST_NAME_MAX + 1)));
    assert_true(kith_trust_name_eq(kith_bytes_str("Alice"), kith_bytes_str("aLICE")));
    assert_false(kith_trust_name_eq(kith_bytes_str("alice"), kith_bytes_str("alic")));
}

static void words_of_the_enums_are_read_back(void **state)
{
    (void)state;
    for (int i = 0; i <= KITH_TRUST_VERIFIED; i++) {
        kith_trust_how h;
        assert_true(kith_trust_how_named(kith_bytes_str(kith_trust_how_name((kith_trust_how)i)), &h));
        assert_int_equal(h, i);
    }
    for (int i = 0; i <= KITH_TRUST_OFF; i++) {
        kith_trust_policy p;
        assert_true(
            kith_trust_policy_named(kith_bytes_str(kith_trust_policy_name((kith_trust_policy)i)), &p));
        assert_int_equal(p, i);
    }
    kith_trust_how h;
    assert_false(kith_trust_how_named(kith_bytes_str("pinne"), &h));
}

static int set_up(void **state)
{
    (void)state;
    if (kith_crypto_init())
        return -1;
    for (uint8_t i = 1; i < KEYS; i++) {
        uint8_t seed[32] = {i};
        if (kith_pq_signer_new(KITH_SIG_MLDSA44, kith_bytes_of(seed, sizeof seed), &keys[i]))
            return -1;
        if (i < 3)
            signers[i] = kith_signer_new(seed);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 1; i < KEYS; i++)
        kith_pq_signer_free(keys[i]);
    kith_signer_free(signers[1]);
    kith_signer_free(signers[2]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_decides),
        cmocka_unit_test(a_succession_moves_the_pin_and_keeps_what_it_is_worth),
        cmocka_unit_test(a_petname_stands_in_the_sentence_and_in_the_command),
        cmocka_unit_test(no_sentence_is_cut_off),
        cmocka_unit_test(names_differ_in_more_than_capitals),
        cmocka_unit_test(a_policy_is_set_and_a_row_of_ones_own_is_put_back),
        cmocka_unit_test(a_pin_never_takes_the_place_of_another_key),
        cmocka_unit_test(verified_is_not_lost_by_a_pin),
        cmocka_unit_test(an_accepted_key_begins_another_line),
        cmocka_unit_test(some_changes_need_somebody_known),
        cmocka_unit_test(what_people_made_is_kept),
        cmocka_unit_test(names_are_short_printable_and_no_ids),
        cmocka_unit_test(words_of_the_enums_are_read_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
