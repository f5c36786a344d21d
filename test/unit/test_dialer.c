/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Dialling, address by address: what is tried when, what names lead to, and who answers a dial in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "node/node.h"
#include "sim/sim_hostile.h"

static size_t held;

static void *count_alloc(void *ctx, void *p, size_t old, size_t size)
{
    (void)ctx;
    held = held - old + size;
    return kith_heap(NULL, p, old, size);
}

static void seeded(void *ctx, kith_span out)
{
    static uint64_t x;
    (void)ctx;
    for (size_t i = 0; i < out.len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        out.p[i] = (uint8_t)(x >> 56);
    }
}

static const kith_env env = {.alloc = {.fn = count_alloc}, .rand = {.fn = seeded}};

#define SEEN_MAX 64

/* A node, and what it asked its host for. */
typedef struct lab {
    kith_node *node;
    kith_signer *signer;
    kith_time now;
    kith_conn *dials[SEEN_MAX]; /* NULL once closed */
    char addrs[SEEN_MAX][KITH_MADDR_TEXT_MAX + 1];
    size_t dial_count;
    uint64_t lookups[SEEN_MAX];
    size_t lookup_count;
    unsigned answered, connected;
    kith_conn *conn; /* of the last answer */
    kith_err err;
    const char *why;
} lab;

static void look(lab *l)
{
    kith_node_event ev;
    while (kith_node_next(l->node, l->now, &ev)) {
        if (ev.kind == KITH_NODE_DIAL) {
            assert_true(l->dial_count < SEEN_MAX);
            kith_maddr_text(&ev.addr, l->addrs[l->dial_count]);
            l->dials[l->dial_count++] = ev.conn;
        } else if (ev.kind == KITH_NODE_WORK) {
            kith_node_work(ev.conn);
            kith_node_worked(l->node, l->now, ev.conn);
        } else if (ev.kind == KITH_NODE_RESOLVE) {
            assert_true(l->lookup_count < SEEN_MAX);
            l->lookups[l->lookup_count++] = ev.resolve_id;
        } else if (ev.kind == KITH_NODE_CLOSE) {
            for (size_t i = 0; i < l->dial_count; i++)
                l->dials[i] = l->dials[i] == ev.conn ? NULL : l->dials[i];
        } else if (ev.kind == KITH_NODE_DIALED) {
            l->answered++;
            l->conn = ev.conn;
            l->err = ev.err;
            l->why = ev.why;
        } else if (ev.kind == KITH_NODE_CONNECTED) {
            l->connected++;
        }
    }
    kith_node_check(l->node);
}

static void lab_init_with(lab *l, uint8_t who, bool no_early_muxer)
{
    uint8_t seed[KITH_ED25519_SEED_LEN] = {who};
    kith_node_config cfg;
    *l = (lab){.now = KITH_SEC(1), .signer = kith_signer_new(seed)};
    kith_node_config_default(&cfg);
    cfg.env = env;
    cfg.signer = l->signer;
    cfg.no_early_muxer = no_early_muxer;
    l->node = kith_node_new(&cfg, l->now);
    assert_non_null(l->node);
}

static void lab_init(lab *l, uint8_t who)
{
    lab_init_with(l, who, false);
}

static void lab_fini(lab *l)
{
    kith_node_free(l->node);
    kith_signer_free(l->signer);
}

static void over(lab *l)
{
    lab_fini(l);
    assert_int_equal(held, 0);
}

static kith_maddr addr(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return a;
}

static kith_err dial(lab *l, const kith_peer_id *peer, const char *const *texts, size_t n, uint64_t *id)
{
    kith_maddr list[8];
    for (size_t i = 0; i < n; i++)
        list[i] = addr(texts[i]);
    kith_err e = kith_node_dial(l->node, l->now, peer, list, n, id);
    look(l);
    return e;
}

/* Time passes to just before, then to the moment of, the node's next deadline. */
static void next_deadline(lab *l)
{
    kith_time at = kith_node_deadline(l->node);
    size_t dials = l->dial_count;
    l->now = at - 1;
    kith_node_tick(l->node, l->now);
    look(l);
    assert_int_equal(l->dial_count, dials);
    l->now = at;
    kith_node_tick(l->node, l->now);
    look(l);
}

static void break_socket(lab *l, size_t i, kith_err err)
{
    assert_non_null(l->dials[i]);
    kith_node_link_failed(l->node, l->now, l->dials[i], err, NULL);
    look(l);
}

static void near_addresses_are_tried_at_once_and_public_ones_one_after_another(void **state)
{
    (void)state;
    lab l;
    uint64_t id;
    lab_init(&l, 1);
    static const char *const texts[] = {"/ip4/203.0.113.1/tcp/1", "/ip4/192.168.1.9/tcp/1",
                                        "/ip6/2001:db9::1/tcp/1", "/ip4/203.0.113.2/tcp/1",
                                        "/ip4/127.0.0.1/tcp/1"};
    assert_int_equal(dial(&l, NULL, texts, 5, &id), KITH_OK);
    kith_time begun = l.now;
    assert_int_equal(l.dial_count, 3);
    assert_string_equal(l.addrs[0], texts[4]);
    assert_string_equal(l.addrs[1], texts[1]);
    assert_string_equal(l.addrs[2], texts[2]); /* IPv6 before IPv4 */
    next_deadline(&l);
    assert_int_equal(l.now, begun + KITH_MS(250));
    assert_int_equal(l.dial_count, 4);
    assert_string_equal(l.addrs[3], texts[0]);
    break_socket(&l, 0, KITH_EREFUSED);
    break_socket(&l, 1, KITH_EREFUSED);
    break_socket(&l, 2, KITH_EAUTH);
    assert_int_equal(l.dial_count, 4);
    break_socket(&l, 3, KITH_EREFUSED); /* nothing is left under way: the last one need not wait */
    assert_int_equal(l.dial_count, 5);
    assert_string_equal(l.addrs[4], texts[3]);
    assert_int_equal(l.answered, 0);
    break_socket(&l, 4, KITH_ETIMEOUT); /* of all failures the one that says most is told */
    assert_int_equal(l.answered, 1);
    assert_int_equal(l.err, KITH_EAUTH);
    assert_null(l.conn);
    over(&l);
}

static void addresses_of_two_peers_are_not_one_dial(void **state)
{
    (void)state;
    lab l, other;
    uint64_t id;
    char a[KITH_MADDR_TEXT_MAX + 1], b[KITH_MADDR_TEXT_MAX + 1];
    lab_init(&l, 1);
    lab_init(&other, 2);
    kith_maddr x = addr("/ip4/192.0.2.1/tcp/1"), y = x;
    assert_int_equal(kith_maddr_set_peer(&x, kith_node_id(l.node)), KITH_OK);
    assert_int_equal(kith_maddr_set_peer(&y, kith_node_id(other.node)), KITH_OK);
    kith_maddr_text(&x, a);
    kith_maddr_text(&y, b);
    assert_int_equal(dial(&l, NULL, (const char *[]){a, b}, 2, &id), KITH_EFORMAT);
    assert_int_equal(dial(&l, kith_node_id(l.node), (const char *[]){b}, 1, &id), KITH_EFORMAT);
    assert_int_equal(dial(&l, NULL, (const char *[]){"/ip4/192.0.2.1/udp/1/quic-v1"}, 1, &id),
                     KITH_EUNSUPPORTED);
    assert_int_equal(dial(&l, NULL, (const char *[]){"/ip4/0.0.0.0/tcp/1"}, 1, &id), KITH_EUNSUPPORTED);
    assert_int_equal(dial(&l, kith_node_id(other.node), NULL, 0, &id), KITH_ENOTFOUND);
    assert_int_equal(l.dial_count + l.answered, 0);
    lab_fini(&other);
    over(&l);
}

/* A name that stands for many, and for names that stand for names. */
static void names_are_followed_to_a_depth_and_to_a_number(void **state)
{
    (void)state;
    lab l, other;
    uint64_t id;
    kith_maddr list[40];
    lab_init(&l, 1);
    lab_init(&other, 2);
    assert_int_equal(dial(&l, kith_node_id(other.node), (const char *[]){"/dnsaddr/a.example"}, 1, &id),
                     KITH_OK);
    assert_int_equal(l.lookup_count, 1);
    /* of another peer: not meant */
    list[0] = addr("/ip4/10.0.0.1/tcp/1");
    assert_int_equal(kith_maddr_set_peer(&list[0], kith_node_id(l.node)), KITH_OK);
    list[1] = addr("/dnsaddr/b.example");
    kith_node_resolved(l.node, l.now, l.lookups[0], list, 2, KITH_OK);
    look(&l);
    assert_int_equal(l.dial_count, 0);
    for (size_t depth = 2; depth <= 4; depth++) {
        char text[64];
        assert_int_equal(l.lookup_count, depth);
        (void)snprintf(text, sizeof text, "/dnsaddr/c%zu.example", depth);
        list[0] = addr(text);
        kith_node_resolved(l.node, l.now, l.lookups[depth - 1], list, 1, KITH_OK);
        look(&l);
    }
    assert_int_equal(l.lookup_count, 5);
    list[0] = addr("/dnsaddr/too.deep.example");
    kith_node_resolved(l.node, l.now, l.lookups[4], list, 1, KITH_OK);
    look(&l);
    assert_int_equal(l.lookup_count, 5);
    assert_int_equal(l.answered, 1);
    assert_null(l.conn);
    /* many: all that fit are tried, the others are left out */
    assert_int_equal(dial(&l, NULL, (const char *[]){"/dns4/many.example/tcp/1"}, 1, &id), KITH_OK);
    for (unsigned i = 0; i < 40; i++) {
        const uint8_t ip[4] = {10, 0, 1, (uint8_t)i};
        kith_maddr_from_tcp(kith_bytes_of(ip, 4), 1, &list[i]);
    }
    kith_node_resolved(l.node, l.now, l.lookups[5], list, 40, KITH_OK);
    look(&l);
    assert_int_equal(l.dial_count, 23); /* 24 with the name */
    lab_fini(&other);
    over(&l);
}

static void a_cancelled_dial_gives_up_its_sockets_and_does_not_mind_late_answers(void **state)
{
    (void)state;
    lab l;
    uint64_t id;
    lab_init(&l, 1);
    assert_int_equal(
        dial(&l, NULL, (const char *[]){"/dns4/slow.example/tcp/1", "/ip4/10.0.0.1/tcp/1"}, 2, &id), KITH_OK);
    assert_int_equal(l.dial_count, 1);
    assert_int_equal(l.lookup_count, 1);
    kith_node_dial_cancel(l.node, l.now, id);
    look(&l);
    assert_null(l.dials[0]); /* CLOSE was told */
    assert_int_equal(kith_node_conn_count(l.node), 0);
    kith_maddr late = addr("/ip4/10.0.0.2/tcp/1");
    kith_node_resolved(l.node, l.now, l.lookups[0], &late, 1, KITH_OK);
    look(&l);
    assert_int_equal(l.dial_count, 1);
    assert_int_equal(l.answered, 0);
    kith_node_dial_cancel(l.node, l.now, id); /* and is no bug twice */
    kith_node_resolved(l.node, l.now, l.lookups[0], &late, 1, KITH_OK);
    look(&l);
    over(&l);
}

static void a_node_that_goes_with_answers_untold_gives_all_back(void **state)
{
    (void)state;
    for (int told = 0; told < 2; told++) {
        lab l;
        uint64_t id;
        kith_node_event ev;
        lab_init(&l, 1);
        for (int i = 0; i < 3; i++)
            assert_int_equal(dial(&l, NULL, (const char *[]){"/dns4/a.example/tcp/1"}, 1, &id), KITH_OK);
        for (int i = 0; i < 2; i++) /* the third lookup stays open */
            kith_node_resolved(l.node, l.now, l.lookups[i], NULL, 0, KITH_ENOTFOUND);
        if (told) {
            assert_true(kith_node_next(l.node, l.now, &ev));
            assert_int_equal(ev.kind, KITH_NODE_DIALED);
        }
        over(&l);
    }
}

/* ---- two nodes ---- */

static bool carry(lab *from, kith_conn *end, lab *to, kith_conn *other)
{
    static uint8_t buf[70000];
    bool any = false;
    for (kith_conn *c; (c = kith_node_writer(from->node));) {
        size_t n = kith_node_send(from->node, from->now, c, kith_span_of(buf, sizeof buf));
        if (n > 0 && c == end)
            kith_node_recv(to->node, to->now, other, kith_span_of(buf, n));
        any = true;
    }
    return any;
}

/* b's first socket and a connection that a accepts. */
static kith_conn *join(lab *a, lab *b)
{
    kith_conn *in;
    const char *why;
    kith_maddr x = addr("/ip4/10.0.0.9/tcp/1");
    assert_int_equal(kith_node_accept(a->node, a->now, &x, &x, &in, &why), KITH_OK);
    kith_node_connected(b->node, b->now, b->dials[0], NULL, NULL);
    return in;
}

static void a_peer_that_comes_to_us_answers_our_dial(void **state)
{
    (void)state;
    lab a, b;
    uint64_t id;
    lab_init(&a, 1);
    lab_init(&b, 2);
    const char *const nowhere[] = {"/ip4/10.255.0.1/tcp/1"}, *const there[] = {"/ip4/10.0.0.1/tcp/1"};
    assert_int_equal(dial(&a, kith_node_id(b.node), nowhere, 1, &id), KITH_OK);
    assert_int_equal(dial(&b, NULL, there, 1, &id), KITH_OK);
    kith_conn *in = join(&a, &b), *out = b.dials[0];
    for (bool any = true; any;) {
        any = carry(&b, out, &a, in);
        look(&a);
        any |= carry(&a, in, &b, out);
        look(&b);
    }
    assert_int_equal(a.connected, 1);
    assert_int_equal(a.answered, 1);
    assert_ptr_equal(a.conn, in);
    assert_null(a.dials[0]); /* and the way that led nowhere is given up */
    lab_fini(&b);
    over(&a);
}

static void a_connection_that_ends_before_the_answer_is_told_is_no_answer(void **state)
{
    (void)state;
    lab a, b;
    uint64_t id;
    lab_init(&a, 1);
    lab_init(&b, 2);
    const char *const there[] = {"/ip4/10.0.0.1/tcp/1"};
    assert_int_equal(dial(&b, NULL, there, 1, &id), KITH_OK);
    kith_conn *in = join(&a, &b), *out = b.dials[0];
    kith_conn_facts f = {0};
    kith_node_event ev;
    for (int i = 0; i < 20 && !f.open; i++) { /* b's events wait, once it is open */
        carry(&b, out, &a, in);
        look(&a);
        carry(&a, in, &b, out);
        for (; !f.open && kith_node_next(b.node, b.now, &ev); kith_conn_facts_get(out, &f)) {
            if (ev.kind != KITH_NODE_WORK)
                continue;
            kith_node_work(out);
            kith_node_worked(b.node, b.now, out);
        }
    }
    assert_true(f.open);
    assert_int_equal(b.answered, 0);
    kith_node_link_failed(b.node, b.now, out, KITH_ERESET, "the cable was cut");
    look(&b);
    assert_int_equal(b.answered, 1);
    assert_null(b.conn);
    assert_int_equal(b.err, KITH_ERESET);
    assert_string_equal(b.why, "the cable was cut");
    lab_fini(&a);
    over(&b);
}

static void a_peer_that_has_no_muxer_of_ours_is_named_as_such(void **state)
{
    (void)state;
    static uint8_t buf[70000];
    lab l;
    uint64_t id;
    bool said = false;
    lab_init_with(&l, 1, true);
    sim_hostile *h = sim_hostile_new(7, false);
    assert_int_equal(dial(&l, NULL, (const char *[]){"/ip4/10.0.0.1/tcp/1"}, 1, &id), KITH_OK);
    kith_node_connected(l.node, l.now, l.dials[0], NULL, NULL);
    for (int i = 0; i < 20 && l.dials[0]; i++) {
        look(&l);
        kith_conn *c = kith_node_writer(l.node);
        size_t n = c ? kith_node_send(l.node, l.now, c, kith_span_of(buf, sizeof buf)) : 0;
        for (size_t k = 0; k < n && !sim_hostile_ready(h); k++) /* it takes what follows for frames */
            sim_hostile_recv(h, kith_bytes_of(buf + k, 1));
        if (sim_hostile_ready(h) && !said) {
            said = true;
            sim_hostile_say(h, kith_bytes_str("\x13/multistream/1.0.0\n\x03na\n"));
        }
        n = sim_hostile_send(h, kith_span_of(buf, sizeof buf));
        if (n > 0 && l.dials[0])
            kith_node_recv(l.node, l.now, l.dials[0], kith_span_of(buf, n));
        look(&l);
    }
    assert_true(said);
    assert_int_equal(l.answered, 1);
    assert_int_equal(l.err, KITH_EUNSUPPORTED);
    assert_string_equal(l.why, "the peer speaks no muxer that we do");
    sim_hostile_free(h);
    over(&l);
}

static int set_up(void **state)
{
    (void)state;
    return kith_crypto_init() == KITH_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_addresses_are_tried_at_once_and_public_ones_one_after_another),
        cmocka_unit_test(addresses_of_two_peers_are_not_one_dial),
        cmocka_unit_test(names_are_followed_to_a_depth_and_to_a_number),
        cmocka_unit_test(a_cancelled_dial_gives_up_its_sockets_and_does_not_mind_late_answers),
        cmocka_unit_test(a_node_that_goes_with_answers_untold_gives_all_back),
        cmocka_unit_test(a_peer_that_comes_to_us_answers_our_dial),
        cmocka_unit_test(a_peer_that_has_no_muxer_of_ours_is_named_as_such),
        cmocka_unit_test(a_connection_that_ends_before_the_answer_is_told_is_no_answer),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
