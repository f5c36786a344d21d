/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whom to call of those that are said to have some of a share: caps, rates, scopes, who is not called again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "apps/share_hints.h"

#define START KITH_SEC(10)

static kith_peer_id peer_of(uint32_t n)
{
    uint8_t pub[KITH_ED25519_PUB_LEN] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), 1},
            pb[KITH_PUBKEY_ED25519_LEN];
    kith_peer_id id;
    kith_pubkey_ed25519(pub, pb);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(pb, sizeof pb), &id), KITH_OK);
    return id;
}

static kith_maddr addr(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return a;
}

/* A message about peers from..to-1, each at these addresses. */
static size_t tell(uint32_t from, uint32_t to, const char *const *texts, size_t count, uint8_t *out,
                   size_t size)
{
    kith_wr w = kith_wr_of(kith_span_of(out, size));
    for (uint32_t n = from; n < to; n++) {
        kith_peer_id id = peer_of(n);
        kith_maddr addrs[KITH_SHARE_PEER_ADDRS_MAX];
        kith_share_peer p = {.id = kith_peer_id_bytes(&id)};
        for (size_t i = 0; i < count; i++) {
            addrs[i] = addr(texts[i]);
            p.addrs[p.addr_count++] = kith_maddr_bytes(&addrs[i]);
        }
        kith_share_peers_put(&w, &p);
    }
    assert_false(w.bad);
    return w.len;
}

static kith_share_hints *fresh(void)
{
    kith_share_hints *h = malloc(sizeof *h);
    const kith_peer_id self = peer_of(1);
    assert_non_null(h);
    kith_share_hints_init(h, &self);
    return h;
}

static const char *const public_addr[] = {"/ip4/8.8.4.4/tcp/9000"};

static void hear(kith_share_hints *h, kith_time now, uint32_t teller, bool sharer, const char *remote,
                 uint32_t from, uint32_t to, const char *const *texts, size_t count)
{
    uint8_t buf[8192];
    const kith_peer_id id = peer_of(teller);
    const kith_maddr at = addr(remote);
    size_t n = tell(from, to, texts, count, buf, sizeof buf);
    kith_share_hints_hear(h, now, &id, sharer, &at, 7, kith_bytes_of(buf, n));
    kith_share_hints_check(h);
}

static void peers_that_are_told_of_are_called_one_by_one(void **state)
{
    (void)state;
    kith_share_hints *h = fresh();
    assert_null(kith_share_hints_next(h, START));
    hear(h, START, 2, true, "/ip4/9.9.9.9/tcp/1", 1, 5, public_addr, 1); /* 1 is we ourselves */
    for (uint32_t n = 2; n < 5; n++) {
        const kith_share_hint *got = kith_share_hints_next(h, START + n * KITH_SEC(1));
        const kith_peer_id want = peer_of(n);
        assert_non_null(got);
        assert_true(kith_peer_id_eq(&got->peer, &want));
        assert_int_equal(got->addr_count, 1);
        assert_int_equal(got->tag, 7);
        assert_null(kith_share_hints_next(h, START + n * KITH_SEC(1) + KITH_HINT_CALL_EVERY - 1));
    }
    assert_null(kith_share_hints_next(h, START + KITH_SEC(1000)));
    free(h);
}

/* A member fills a small part of the table, and the sharer's word still has room. */
static void a_flood_of_hints_has_a_cap(void **state)
{
    (void)state;
    kith_share_hints *h = fresh();
    for (uint32_t n = 0; n < 100; n++)
        hear(h, START, 2, false, "/ip4/9.9.9.9/tcp/1", 1000 + 16 * n, 1016 + 16 * n, public_addr, 1);
    assert_int_equal(h->count, KITH_HINTS_OF_MEMBER);
    hear(h, START, 3, true, "/ip4/9.9.9.9/tcp/1", 10, 26, public_addr, 1);
    assert_int_equal(h->count, 2 * KITH_SHARE_PEERS_MAX);
    for (uint32_t n = 0; n < 100; n++)
        hear(h, START, 3, true, "/ip4/9.9.9.9/tcp/1", 5000 + 16 * n, 5016 + 16 * n, public_addr, 1);
    assert_int_equal(h->count, KITH_HINTS_MAX);
    size_t calls = 0;
    kith_time now = START;
    for (; now < START + KITH_SEC(3600); now += KITH_MS(50)) {
        const kith_share_hint *n = kith_share_hints_next(h, now);
        kith_share_hints_check(h);
        if (!n)
            continue;
        calls++;
        const kith_peer_id who = n->peer;
        kith_share_hints_over(h, now, &who, false);
        if (calls % 4 == 0) /* and it goes on */
            hear(h, now, 3, true, "/ip4/9.9.9.9/tcp/1", 9000 + (uint32_t)calls, 9016 + (uint32_t)calls,
                 public_addr, 1);
    }
    assert_int_equal(calls, KITH_HINT_CALLS_MAX);
    free(h);
}

static void a_stranger_far_away_cannot_send_us_into_our_own_network(void **state)
{
    (void)state;
    static const char *const addrs[] = {"/ip4/127.0.0.1/tcp/22", "/ip4/192.168.1.1/tcp/80",
                                        "/ip4/8.8.4.4/tcp/9000", "/ip6/fe80::1/tcp/80"};
    static const struct {
        const char *remote;
        size_t taken;
    } cases[] = {{"/ip4/9.9.9.9/tcp/1", 1}, {"/ip4/192.168.1.7/tcp/1", 3}, {"/ip4/127.0.0.1/tcp/1", 4}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kith_share_hints *h = fresh();
        hear(h, START, 2, true, cases[i].remote, 20, 21, addrs, 4);
        assert_int_equal(kith_share_hints_next(h, START)->addr_count, cases[i].taken);
        free(h);
    }
}

static void addresses_of_another_peer_and_nonsense_are_left_out(void **state)
{
    (void)state;
    uint8_t buf[1024];
    char text[KITH_PEER_ID_TEXT_MAX + 64], other[KITH_PEER_ID_TEXT_MAX + 1];
    const kith_peer_id teller = peer_of(2), a = peer_of(30), b = peer_of(31);
    kith_peer_id_text(&b, other);
    (void)snprintf(text, sizeof text, "/ip4/8.8.8.8/tcp/1/p2p/%s", other);
    kith_share_hints *h = fresh();
    const kith_maddr remote = addr("/ip4/9.9.9.9/tcp/1"), named = addr(text);
    const kith_share_peer peers[] = {
        {.id = kith_bytes_str("no peer id")},
        {.id = kith_peer_id_bytes(&a),
         .addr_count = 2,
         .addrs = {kith_maddr_bytes(&named), kith_bytes_str("x")}},
        {.id = kith_peer_id_bytes(&b), .addr_count = 1, .addrs = {kith_maddr_bytes(&named)}}};
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    for (size_t i = 0; i < 3; i++)
        kith_share_peers_put(&w, &peers[i]);
    kith_share_hints_hear(h, START, &teller, true, &remote, 0, kith_wr_bytes(&w));
    assert_int_equal(h->count, 2);
    const kith_share_hint *n = kith_share_hints_next(h, START);
    assert_true(kith_peer_id_eq(&n->peer, &a));
    assert_int_equal(n->addr_count, 0); /* it may be connected to us */
    n = kith_share_hints_next(h, START + KITH_SEC(1));
    assert_true(kith_peer_id_eq(&n->peer, &b));
    assert_int_equal(n->addr_count, 1);
    free(h);
}

static void who_is_not_there_is_called_again_later_and_not_for_ever(void **state)
{
    (void)state;
    kith_share_hints *h = fresh();
    hear(h, START, 2, true, "/ip4/9.9.9.9/tcp/1", 40, 41, public_addr, 1);
    const kith_peer_id who = peer_of(40);
    kith_time now = START, wait = KITH_HINT_AGAIN;
    for (int i = 0; i < KITH_HINT_TRIES; i++) {
        assert_non_null(kith_share_hints_next(h, now));
        kith_share_hints_over(h, now, &who, false);
        if (i == KITH_HINT_TRIES - 1)
            break;
        assert_null(kith_share_hints_next(h, now + wait - 1));
        now += wait;
        wait *= 2;
    }
    assert_null(kith_share_hints_next(h, now + KITH_SEC(86400)));
    hear(h, now, 5, false, "/ip4/9.9.9.9/tcp/1", 40, 41, public_addr,
         1); /* a member's word does not change that */
    assert_null(kith_share_hints_next(h, now + KITH_SEC(86400)));
    hear(h, now, 2, true, "/ip4/9.9.9.9/tcp/1", 40, 41, public_addr, 1); /* the sharer's does, once */
    assert_non_null(kith_share_hints_next(h, now + KITH_SEC(86400)));
    kith_share_hints_over(h, now, &who, false);
    assert_null(kith_share_hints_next(h, now + KITH_SEC(2 * 86400)));
    free(h);
}

static void who_lied_is_not_called_again_whoever_tells_of_it(void **state)
{
    (void)state;
    kith_share_hints *h = fresh();
    const kith_peer_id who = peer_of(50);
    hear(h, START, 2, true, "/ip4/9.9.9.9/tcp/1", 50, 51, public_addr, 1);
    assert_non_null(kith_share_hints_next(h, START));
    kith_share_hints_over(h, START, &who, true);
    hear(h, START, 2, true, "/ip4/9.9.9.9/tcp/1", 50, 51, public_addr, 1);
    kith_share_hints_met(h, START, &who, 1);
    assert_null(kith_share_hints_next(h, START + KITH_SEC(86400)));
    free(h);
}

static void who_calls_us_is_called_back(void **state)
{
    (void)state;
    kith_share_hints *h = fresh();
    const kith_peer_id who = peer_of(60);
    kith_share_hints_met(h, START, &who, 3);
    const kith_share_hint *n = kith_share_hints_next(h, START);
    assert_non_null(n);
    assert_true(kith_peer_id_eq(&n->peer, &who) && n->tag == 3);
    kith_share_hints_over(h, START, &who, false);
    kith_share_hints_met(h, START, &who, 3); /* and at once when it calls again */
    assert_non_null(kith_share_hints_next(h, START + KITH_HINT_CALL_EVERY));
    kith_share_hints_useful(h, &who);
    kith_share_hints_over(h, START, &who, false);
    assert_int_equal(h->list[0].next_at, START + KITH_HINT_AGAIN);
    free(h);
}

static void what_a_later_version_says_of_a_peer_is_passed_over(void **state)
{
    (void)state;
    static const uint8_t said[] = {0x1a, 1, 9,                                    /* beside the peers */
                                   0x0a, 8, 0x0a, 1, 'x', 0x18, 5, 0x12, 1, 'y'}; /* and of one */
    kith_rd r = kith_rd_of(kith_bytes_of(said, sizeof said));
    kith_share_peer p;
    assert_true(kith_share_peers_next(&r, &p));
    assert_true(kith_bytes_eq_str(p.id, "x"));
    assert_int_equal(p.addr_count, 1);
    assert_true(kith_bytes_eq_str(p.addrs[0], "y"));
    assert_false(kith_share_peers_next(&r, &p));
    assert_false(r.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_later_version_says_of_a_peer_is_passed_over),
        cmocka_unit_test(peers_that_are_told_of_are_called_one_by_one),
        cmocka_unit_test(a_flood_of_hints_has_a_cap),
        cmocka_unit_test(a_stranger_far_away_cannot_send_us_into_our_own_network),
        cmocka_unit_test(addresses_of_another_peer_and_nonsense_are_left_out),
        cmocka_unit_test(who_is_not_there_is_called_again_later_and_not_for_ever),
        cmocka_unit_test(who_lied_is_not_called_again_whoever_tells_of_it),
        cmocka_unit_test(who_calls_us_is_called_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
