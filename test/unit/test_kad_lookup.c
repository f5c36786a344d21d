/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The lookup asks the nearest first, ends when the nearest have answered, and keeps its paths apart. */
#include <stdio.h>

#include "crypto/crypto.h"
#include "mesh/kad_lookup.h"
#include "support.h"

static support_heap heap;
static uint64_t rng = 3;

static kith_peer_id random_id(void)
{
    kith_peer_id id = {.len = 34, .b = {0x12, 32}};
    for (size_t i = 2; i < 34; i++)
        id.b[i] = (uint8_t)support_next(&rng);
    return id;
}

/* A network of so many, sorted by their distance from the target; each knows some of those nearer and some further. */
#define NODES 200
static kith_peer_id nodes[NODES];
static kith_kad_key target;

static void make_network(void)
{
    static const uint8_t t[] = "target";
    target = kith_kad_key_of(kith_bytes_of(t, 6));
    for (size_t i = 0; i < NODES; i++) {
        kith_peer_id id = random_id();
        kith_kad_key k = kith_kad_key_of(kith_peer_id_bytes(&id));
        size_t at = i;
        for (; at > 0; at--) {
            kith_kad_key o = kith_kad_key_of(kith_peer_id_bytes(&nodes[at - 1]));
            if (kith_kad_key_nearer(&target, &o, &k) < 0)
                break;
            nodes[at] = nodes[at - 1];
        }
        nodes[at] = id;
    }
}

static size_t index_of(const kith_peer_id *id)
{
    for (size_t i = 0; i < NODES; i++) {
        if (kith_peer_id_eq(&nodes[i], id))
            return i;
    }
    return NODES;
}

static kith_kad_lookup *lookup(unsigned paths, unsigned alpha, unsigned group_max)
{
    kith_kad_lookup_config cfg = {.env = *support_env(&heap),
                                  .target = target,
                                  .k = 20,
                                  .alpha = alpha,
                                  .beta = 3,
                                  .paths = paths,
                                  .group_max = group_max};
    cfg.self = nodes[5];
    kith_kad_lookup *l = kith_kad_lookup_new(&cfg);
    assert_non_null(l);
    return l;
}

static void done(kith_kad_lookup *l)
{
    kith_kad_lookup_check(l);
    kith_kad_lookup_free(l);
    support_heap_check(&heap);
}

/* Whom a node names: its ten neighbours on each side in the order, and one much nearer. */
static size_t names(size_t i, kith_kad_peer out[])
{
    size_t n = 0;
    for (size_t j = i < 10 ? 0 : i - 10; j < i + 10 && j < NODES && n < 21; j++)
        out[n++] = (kith_kad_peer){.id = nodes[j]};
    out[n++] = (kith_kad_peer){.id = nodes[i / 4]};
    return n;
}

/* Answers every question at once, the last asked first; `dead` in a hundred do not. */
static void run(kith_kad_lookup *l, unsigned dead)
{
    kith_kad_contact asked[16];
    kith_kad_peer named[KITH_KAD_PEERS_MAX];
    size_t n = 0;
    for (;;) {
        kith_kad_lookup_check(l);
        while (n < 16 && kith_kad_lookup_next(l, 0, &asked[n]))
            n++;
        if (n == 0)
            break;
        kith_kad_contact c = asked[--n];
        if (support_below(&rng, 100) < dead)
            kith_kad_lookup_failed(l, &c.id);
        else
            kith_kad_lookup_answered(l, 0, &c.id, named, names(index_of(&c.id), named));
    }
    assert_true(kith_kad_lookup_done(l));
}

static void seeds(kith_kad_lookup *l, size_t from, size_t count)
{
    for (size_t i = from; i < from + count; i++)
        assert_int_equal(kith_kad_lookup_seed(l, &nodes[i], (kith_bytes){0}), KITH_OK);
}

static void it_finds_the_nearest_and_not_itself(void **state)
{
    (void)state;
    make_network();
    for (unsigned paths = 1; paths <= 4; paths++) {
        kith_kad_lookup *l = lookup(paths, 10, 0);
        kith_kad_contact near[20];
        seeds(l, 180, 12);
        run(l, 0);
        assert_int_equal(kith_kad_lookup_nearest(l, near, 20), 20);
        for (size_t i = 0; i < 20; i++)
            assert_int_equal(index_of(&near[i].id), i < 5 ? i : i + 1); /* 5 is the one who asks */
        kith_kad_lookup_facts f = kith_kad_lookup_look(l);
        assert_true(f.asked < 120 && f.under_way == 0 && f.hops >= 2);
        done(l);
    }
}

static void it_asks_no_more_than_alpha_at_a_time_and_each_path_its_share(void **state)
{
    (void)state;
    make_network();
    kith_kad_lookup *l = lookup(3, 6, 0);
    kith_kad_contact c;
    unsigned n = 0;
    seeds(l, 100, 30);
    while (kith_kad_lookup_next(l, 0, &c))
        n++;
    assert_int_equal(n, 6);
    /* Dealt out in turn: of the nearest six two are on each path. */
    for (size_t i = 100; i < 106; i++)
        kith_kad_lookup_failed(l, &nodes[i]);
    assert_int_equal(kith_kad_lookup_look(l).under_way, 0);
    done(l);
}

static void the_dead_are_passed_over(void **state)
{
    (void)state;
    make_network();
    kith_kad_lookup *l = lookup(3, 10, 0);
    kith_kad_contact near[20];
    seeds(l, 150, 20);
    run(l, 30);
    size_t n = kith_kad_lookup_nearest(l, near, 20);
    assert_true(n >= 15);
    assert_true(kith_kad_lookup_look(l).failed > 5);
    done(l);
}

static void nobody_to_ask_is_an_end(void **state)
{
    (void)state;
    make_network();
    kith_kad_contact c;
    kith_kad_lookup *l = lookup(3, 10, 0);
    assert_false(kith_kad_lookup_next(l, 0, &c));
    assert_true(kith_kad_lookup_done(l));
    assert_int_equal(kith_kad_lookup_nearest(l, &c, 1), 0);
    done(l);
    l = lookup(1, 1, 0);
    seeds(l, 0, 1);
    assert_true(kith_kad_lookup_next(l, 0, &c));
    assert_false(kith_kad_lookup_done(l));
    kith_kad_lookup_failed(l, &c.id);
    kith_kad_lookup_failed(l, &c.id); /* told twice */
    assert_true(kith_kad_lookup_done(l));
    done(l);
}

static void an_answer_that_nobody_awaits_is_nothing(void **state)
{
    (void)state;
    make_network();
    kith_kad_lookup *l = lookup(1, 10, 0);
    kith_kad_peer named[1] = {{.id = nodes[1]}};
    seeds(l, 50, 1);
    kith_kad_lookup_answered(l, 0, &nodes[50], named, 1); /* not asked yet */
    kith_kad_lookup_answered(l, 0, &nodes[60], named, 1); /* not known */
    assert_int_equal(kith_kad_lookup_look(l).candidates, 1);
    done(l);
}

/* An attacker on one path names only its own: the other paths go their way. */
static void who_lies_on_one_path_does_not_lead_the_others(void **state)
{
    (void)state;
    make_network();
    for (unsigned paths = 1; paths <= 3; paths += 2) {
        kith_kad_lookup *l = lookup(paths, 9, 0);
        kith_kad_peer named[KITH_KAD_PEERS_MAX];
        kith_peer_id liars[64] = {nodes[60]};
        size_t liar_count = 1, honest = 0;
        seeds(l, 60, 3); /* one for each path */
        kith_kad_contact c;
        while (kith_kad_lookup_next(l, 0, &c)) {
            bool lies = false;
            for (size_t i = 0; i < liar_count; i++)
                lies = lies || kith_peer_id_eq(&liars[i], &c.id);
            if (!lies) {
                kith_kad_lookup_answered(l, 0, &c.id, named, names(index_of(&c.id), named));
                honest++;
                continue;
            }
            size_t n = 0;
            for (; n < 20 && liar_count < 64; n++) { /* found by trying: much nearer than anybody honest */
                kith_peer_id id;
                kith_kad_key k;
                do {
                    id = random_id();
                    k = kith_kad_key_of(kith_peer_id_bytes(&id));
                } while (kith_kad_key_common(&target, &k) < 10);
                liars[liar_count++] = id;
                named[n] = (kith_kad_peer){.id = id};
            }
            kith_kad_lookup_answered(l, 0, &c.id, named, n);
        }
        assert_true(kith_kad_lookup_done(l));
        /* With a single path the liars are its nearest, and the nearest honest are never asked. */
        kith_kad_contact near[64];
        size_t n = kith_kad_lookup_nearest(l, near, 64), best = 0;
        for (size_t i = 0; i < n; i++)
            best += index_of(&near[i].id) < 5;
        if (paths == 1)
            assert_true(best == 0);
        else
            assert_true(best >= 3);
        done(l);
    }
}

/* A network that fell apart: the even know only the even, the odd only the odd. */
static void one_that_is_seeded_apart_opens_what_the_others_do_not_know(void **state)
{
    (void)state;
    make_network();
    for (int apart = 0; apart < 2; apart++) {
        kith_kad_lookup *l = lookup(3, 10, 0);
        kith_kad_contact c, near[20];
        size_t odd = 0;
        for (size_t i = 150; i < 170; i += 2)
            assert_int_equal(kith_kad_lookup_seed(l, &nodes[i], (kith_bytes){0}), KITH_OK);
        if (apart)
            assert_int_equal(kith_kad_lookup_seed_apart(l, &nodes[199], (kith_bytes){0}), KITH_OK);
        while (kith_kad_lookup_next(l, 0, &c)) {
            kith_kad_peer named[21];
            size_t i = index_of(&c.id), n = 0;
            for (size_t j = i < 20 ? i % 2 : i - 20; j <= i + 20 && j < NODES && n < 20; j += 2)
                named[n++] = (kith_kad_peer){.id = nodes[j]};
            named[n++] = (kith_kad_peer){.id = nodes[i / 8 * 2 + i % 2]};
            kith_kad_lookup_answered(l, 0, &c.id, named, n);
            kith_kad_lookup_check(l);
        }
        assert_int_equal(kith_kad_lookup_nearest(l, near, 20), 20);
        for (size_t i = 0; i < 20; i++)
            odd += index_of(&near[i].id) % 2;
        assert_int_equal(odd, apart ? 9 : 0); /* and 5 is the one who asks */
        done(l);
    }
    kith_kad_lookup *l = lookup(KITH_KAD_PATHS_MAX, 10, 0);
    assert_int_equal(kith_kad_lookup_seed_apart(l, &nodes[0], (kith_bytes){0}), KITH_ELIMIT);
    done(l);
}

static void crowds_of_one_network_are_dropped(void **state)
{
    (void)state;
    make_network();
    for (unsigned max = 0; max <= 3; max += 3) {
        kith_kad_lookup *l = lookup(1, 10, max);
        kith_kad_peer named[8] = {{.id = {0}}};
        kith_kad_contact c;
        seeds(l, 100, 1);
        assert_true(kith_kad_lookup_next(l, 0, &c));
        for (unsigned i = 0; i < 8; i++) {
            char text[64];
            kith_maddr a;
            snprintf(text, sizeof text, "/ip4/%u.8.1.%u/tcp/1", i < 4 ? 8 : 20 + i, i);
            assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
            named[i].id = nodes[10 + i];
            kith_addrs_pack(&named[i].addrs, &a, 1);
        }
        kith_kad_lookup_answered(l, 0, &c.id, named, 8);
        assert_int_equal(kith_kad_lookup_look(l).candidates, max ? 5 : 9);
        done(l);
    }
}

static void candidates_have_their_cap_and_the_nearest_stay(void **state)
{
    (void)state;
    make_network();
    kith_kad_lookup *l = lookup(1, 10, 0);
    for (size_t i = NODES; i-- > 0;)
        assert_int_equal(kith_kad_lookup_seed(l, &nodes[i], (kith_bytes){0}), KITH_OK);
    assert_int_equal(kith_kad_lookup_look(l).candidates, KITH_KAD_CANDIDATES_MAX);
    kith_kad_contact c;
    for (size_t i = 0; i < 10; i++) {
        assert_true(kith_kad_lookup_next(l, 0, &c));
        assert_int_equal(index_of(&c.id), i < 5 ? i : i + 1);
    }
    done(l);
}

/* Whoever always names somebody nearer does not keep it going for ever. */
static void an_endless_answer_comes_to_an_end(void **state)
{
    (void)state;
    make_network();
    kith_kad_lookup *l = lookup(1, 1, 0);
    kith_kad_contact c;
    kith_kad_peer named[1];
    unsigned asked = 0;
    seeds(l, 100, 1);
    kith_kad_key best = kith_kad_key_of(kith_peer_id_bytes(&nodes[100]));
    while (kith_kad_lookup_next(l, 0, &c)) {
        asked++;
        size_t n = 0;
        for (unsigned i = 0; i < 2000 && n == 0; i++) {
            named[0] = (kith_kad_peer){.id = random_id()};
            kith_kad_key k = kith_kad_key_of(kith_peer_id_bytes(&named[0].id));
            if (kith_kad_key_nearer(&target, &k, &best) < 0 || asked > 8) {
                best = k;
                n = 1;
            }
        }
        kith_kad_lookup_answered(l, 0, &c.id, named, n);
        assert_true(asked <= KITH_KAD_ASKED_MAX);
    }
    assert_true(kith_kad_lookup_done(l));
    done(l);
}

static void the_number_of_questions_has_its_cap(void **state)
{
    (void)state;
    make_network();
    kith_kad_lookup *l = lookup(7, 7, 0);
    kith_kad_contact c[7];
    kith_kad_peer named[KITH_KAD_PEERS_MAX];
    unsigned asked = 0;
    seeds(l, 100, 16);
    for (size_t n = 0;; n = 0) { /* seven at a time: those that exist name forty each that do not */
        while (n < 7 && kith_kad_lookup_next(l, 0, &c[n]))
            n++;
        asked += (unsigned)n;
        assert_true(asked <= KITH_KAD_ASKED_MAX);
        kith_kad_lookup_check(l);
        for (size_t i = 0; i < n; i++) {
            kith_peer_id id = c[i].id;
            for (size_t k = 0; k < KITH_KAD_PEERS_MAX; k++)
                named[k] = (kith_kad_peer){.id = random_id()};
            if (index_of(&id) == NODES)
                kith_kad_lookup_failed(l, &id);
            else
                kith_kad_lookup_answered(l, 0, &id, named, KITH_KAD_PEERS_MAX);
        }
        if (n == 0)
            break;
    }
    assert_int_equal(asked, KITH_KAD_ASKED_MAX);
    assert_true(kith_kad_lookup_done(l));
    done(l);
}

static void it_can_be_stopped(void **state)
{
    (void)state;
    make_network();
    kith_kad_lookup *l = lookup(2, 4, 0);
    kith_kad_contact c;
    seeds(l, 10, 8);
    assert_true(kith_kad_lookup_next(l, 0, &c));
    kith_kad_lookup_stop(l);
    assert_true(kith_kad_lookup_done(l));
    assert_false(kith_kad_lookup_next(l, 0, &c));
    kith_kad_lookup_failed(l, &c.id);
    done(l);
}

static void memory_that_runs_out_costs_candidates_only(void **state)
{
    (void)state;
    make_network();
    bool through = false;
    for (size_t nth = 1; !through; nth++) {
        kith_kad_lookup *l = lookup(2, 4, 0);
        heap.calls = 0;
        heap.fail_at = nth / 2 + 1;
        heap.once = nth % 2;
        for (size_t i = 100; i < 110; i++)
            (void)!kith_kad_lookup_seed(l, &nodes[i], kith_bytes_of("\x01x", 2));
        run(l, 0);
        through = heap.calls < heap.fail_at;
        assert_true(through || nth < 1000);
        heap.fail_at = 0;
        done(l);
    }
}

/* ---- who is slow ---- */

static size_t ask_all(kith_kad_lookup *l, kith_time now, kith_kad_contact out[], size_t most)
{
    size_t n = 0;
    while (n < most && kith_kad_lookup_next(l, now, &out[n]))
        n++;
    kith_kad_lookup_check(l);
    return n;
}

static void beside_who_is_late_another_is_asked_and_there_is_a_cap(void **state)
{
    (void)state;
    make_network();
    kith_kad_contact c[16];
    kith_kad_lookup *l = lookup(1, 3, 0);
    seeds(l, 10, 16);
    assert_true(kith_kad_lookup_deadline(l) == KITH_NEVER);
    assert_int_equal(ask_all(l, 0, c, 16), 3);
    assert_true(kith_kad_lookup_deadline(l) == KITH_KAD_LATE_FIRST);
    kith_kad_lookup_tick(l, KITH_KAD_LATE_FIRST - 1);
    assert_int_equal(ask_all(l, KITH_KAD_LATE_FIRST - 1, c, 16), 0);
    kith_kad_lookup_tick(l, KITH_KAD_LATE_FIRST);
    assert_int_equal(ask_all(l, KITH_KAD_LATE_FIRST, c, 16), 3);
    assert_true(kith_kad_lookup_deadline(l) == 2 * KITH_KAD_LATE_FIRST);
    kith_kad_lookup_tick(l, 2 * KITH_KAD_LATE_FIRST);
    assert_int_equal(ask_all(l, 2 * KITH_KAD_LATE_FIRST, c, 16), 0); /* twice alpha wait for their answers */
    assert_int_equal(kith_kad_lookup_look(l).under_way, 6);
    assert_true(kith_kad_lookup_deadline(l) == KITH_NEVER); /* nobody has answered: nobody is passed */
    kith_kad_lookup_failed(l, &nodes[10]);
    assert_int_equal(ask_all(l, 2 * KITH_KAD_LATE_FIRST, c, 16), 1);
    assert_false(kith_kad_lookup_done(l));
    done(l);
}

static void patience_is_what_the_answers_took(void **state)
{
    (void)state;
    make_network();
    kith_kad_contact c[16];
    const struct {
        kith_time took, late;
    } rows[] = {{0, KITH_KAD_LATE_MIN},
                {KITH_MS(250), KITH_KAD_LATE_MIN},
                {KITH_MS(400), KITH_MS(800)},
                {KITH_SEC(3), KITH_SEC(6)}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        kith_kad_lookup *l = lookup(1, 2, 0);
        seeds(l, 10, 8);
        assert_int_equal(ask_all(l, KITH_SEC(100), c, 16), 2);
        kith_kad_lookup_answered(l, KITH_SEC(100) + rows[i].took, &c[0].id, NULL, 0);
        assert_true(kith_kad_lookup_deadline(l) == KITH_SEC(100) + rows[i].late);
        done(l);
    }
    /* Equal answers make it the more certain. */
    kith_kad_lookup *l = lookup(1, 1, 0);
    kith_time now = 0, patience = 0;
    seeds(l, 10, 40);
    while (ask_all(l, now, c, 1) == 1) {
        patience = kith_kad_lookup_deadline(l) - now;
        kith_kad_lookup_answered(l, now += KITH_SEC(1), &c[0].id, NULL, 0);
    }
    assert_true(kith_kad_lookup_done(l));
    assert_in_range(patience, KITH_SEC(1), KITH_MS(1100));
    done(l);
}

/* One of the nearest is silent: the end comes without it. An answer that comes before counts, however late. */
static void an_end_does_not_wait_for_who_was_passed(void **state)
{
    (void)state;
    make_network();
    for (int answers = 0; answers < 3; answers++) {
        kith_kad_contact c[40], near[20];
        kith_kad_lookup *l = lookup(1, 10, 0);
        kith_time now = 0;
        seeds(l, 6, 25);
        for (size_t n; (n = ask_all(l, now, c, 40));) {
            for (size_t i = 0; i < n; i++) {
                if (!kith_peer_id_eq(&c[i].id, &nodes[12]))
                    kith_kad_lookup_answered(l, now + KITH_MS(1), &c[i].id, NULL, 0);
            }
        }
        assert_false(kith_kad_lookup_done(l));
        assert_true(kith_kad_lookup_deadline(l) == KITH_KAD_LATE_MIN);
        if (answers == 1)
            kith_kad_lookup_answered(l, now, &nodes[12], NULL, 0);
        kith_kad_lookup_tick(l, now = KITH_KAD_LATE_MIN);
        if (answers != 1) {
            /* The next is asked in its place, and yet it is waited for. */
            assert_int_equal(ask_all(l, now, c, 40), 1);
            assert_int_equal(index_of(&c[0].id), 26);
            kith_kad_lookup_answered(l, now, &c[0].id, NULL, 0);
            assert_false(kith_kad_lookup_done(l));
            if (answers == 2)
                kith_kad_lookup_answered(l, now, &nodes[12], NULL, 0);
            else
                assert_true(kith_kad_lookup_deadline(l) == KITH_KAD_LATE_MIN + KITH_KAD_PASSED_AFTER);
            kith_kad_lookup_tick(l, KITH_KAD_LATE_MIN + KITH_KAD_PASSED_AFTER);
        }
        assert_true(kith_kad_lookup_done(l));
        assert_true(kith_kad_lookup_deadline(l) == KITH_NEVER);
        assert_int_equal(kith_kad_lookup_nearest(l, near, 20), 20);
        assert_int_equal(index_of(&near[6].id), answers ? 12 : 13);
        done(l);
    }
}

/* Whoever is slow in a network that is so small, or just joined, is not left out by two that are fast. */
static void nobody_is_passed_before_beta_have_answered(void **state)
{
    (void)state;
    make_network();
    kith_kad_contact c[8];
    for (size_t fast = 2; fast <= 3; fast++) {
        kith_kad_lookup *l = lookup(1, 10, 0);
        seeds(l, 10, 4);
        assert_int_equal(ask_all(l, 0, c, 8), 4);
        for (size_t i = 0; i < fast; i++)
            kith_kad_lookup_answered(l, KITH_MS(1), &c[3 - i].id, NULL, 0);
        kith_kad_lookup_tick(l, KITH_SEC(3600));
        kith_kad_lookup_check(l);
        assert_int_equal(kith_kad_lookup_done(l), fast == 3);
        assert_true(kith_kad_lookup_deadline(l) == KITH_NEVER);
        done(l);
    }
}

int main(void)
{
    assert_int_equal(kith_crypto_init(), KITH_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_finds_the_nearest_and_not_itself),
        cmocka_unit_test(it_asks_no_more_than_alpha_at_a_time_and_each_path_its_share),
        cmocka_unit_test(the_dead_are_passed_over),
        cmocka_unit_test(nobody_to_ask_is_an_end),
        cmocka_unit_test(an_answer_that_nobody_awaits_is_nothing),
        cmocka_unit_test(who_lies_on_one_path_does_not_lead_the_others),
        cmocka_unit_test(one_that_is_seeded_apart_opens_what_the_others_do_not_know),
        cmocka_unit_test(crowds_of_one_network_are_dropped),
        cmocka_unit_test(candidates_have_their_cap_and_the_nearest_stay),
        cmocka_unit_test(an_endless_answer_comes_to_an_end),
        cmocka_unit_test(the_number_of_questions_has_its_cap),
        cmocka_unit_test(it_can_be_stopped),
        cmocka_unit_test(memory_that_runs_out_costs_candidates_only),
        cmocka_unit_test(beside_who_is_late_another_is_asked_and_there_is_a_cap),
        cmocka_unit_test(patience_is_what_the_answers_took),
        cmocka_unit_test(an_end_does_not_wait_for_who_was_passed),
        cmocka_unit_test(nobody_is_passed_before_beta_have_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
