/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A node and dialers made by hand that resume sessions with it: true ones, thieves, and who plays a message again. What nodes do among
 * themselves is tested in test/sim/test_resume_sim.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node/node.h"
#include "proto/mss.h"
#include "unit/noise_pair.h"

static side alice, carol, bob; /* bob's is the node's identity */
static kith_node *node;
static kith_time now;

/* One connection to the node. */
typedef struct caller {
    side *who;
    kith_mss *mss;
    kith_bytes ids[1];
    kith_conn *conn; /* NULL: closed */
    bool connected, resumed;
    kith_err err;
    const char *why;
    uint8_t first[KITH_NOISE_MESSAGE_MAX]; /* message A as it was sent */
    size_t first_len;
    int byte; /* in front of B; -1: none came */
} caller;

static int set_up(void **state)
{
    (void)state;
    static const uint8_t a[32] = {1}, b[32] = {2}, c[32] = {3};
    side_init(&alice, a, 1, (kith_bytes){0});
    side_init(&bob, b, 2, (kith_bytes){0});
    side_init(&carol, c, 3, (kith_bytes){0});
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.env = bob.env;
    cfg.signer = bob.signer;
    cfg.pq_signer = bob.pq;
    cfg.resume_for = KITH_SEC(1000);
    cfg.limits.exempt_loopback = true;
    now = KITH_SEC(1);
    node = kith_node_new(&cfg, now);
    assert_non_null(node);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kith_node_free(node);
    side_fini(&alice);
    side_fini(&bob);
    side_fini(&carol);
    return 0;
}

static void look(caller *c)
{
    kith_node_event ev;
    kith_conn_facts f;
    kith_node_check(node);
    while (kith_node_next(node, now, &ev)) {
        if (ev.kind == KITH_NODE_WORK) {
            kith_node_work(ev.conn);
            kith_node_worked(node, now, ev.conn);
        }
        if (ev.conn != c->conn)
            continue;
        if (ev.kind == KITH_NODE_CONNECTED) {
            kith_conn_facts_get(ev.conn, &f);
            c->connected = true;
            c->resumed = f.resumed;
            assert_int_equal(f.pq.alg, KITH_SIG_MLDSA65);
        } else if (ev.kind == KITH_NODE_REFUSED) {
            c->err = ev.err;
            c->why = ev.why;
        } else if (ev.kind == KITH_NODE_CLOSE) {
            c->conn = NULL;
        }
    }
}

/* To the node. */
static void say(caller *c, const void *p, size_t len)
{
    static uint8_t buf[KITH_NOISE_MESSAGE_MAX];
    if (len > 0 && c->conn) {
        memcpy(buf, p, len);
        kith_node_recv(node, now, c->conn, kith_span_of(buf, len));
    }
    look(c);
}

/* From it: what the negotiation leaves goes to the machine. */
static void hear(caller *c)
{
    static uint8_t buf[128 * 1024];
    size_t used = 0, len = c->conn ? kith_node_send(node, now, c->conn, kith_span_of(buf, sizeof buf)) : 0;
    look(c);
    if (len == 0)
        return;
    if (kith_mss_status(c->mss) != KITH_MSS_DONE)
        assert_int_equal(kith_mss_recv(c->mss, kith_bytes_of(buf, len), &used), KITH_OK);
    if (used < len && c->byte < 0 && len - used > 2)
        c->byte = buf[used + 2];
    if (used < len && c->who->noise)
        side_feed(c->who, kith_bytes_of(buf + used, len - used));
}

/* Agrees on the suite and says nothing yet. */
static void call_negotiate(caller *c, side *who, const kith_noise_suite *suite)
{
    kith_maddr from;
    const char *why;
    uint8_t words[256];
    side_reset(who);
    *c = (caller){.who = who, .ids = {kith_bytes_str(suite->id)}, .byte = -1};
    kith_maddr_from_tcp(kith_bytes_of((uint8_t[]){127, 0, 0, 1}, 4), 1, &from);
    assert_int_equal(kith_node_accept(node, now, &from, NULL, &c->conn, &why), KITH_OK);
    c->mss = kith_mss_dial(&who->env, c->ids, 1);
    say(c, words, kith_mss_send(c->mss, kith_span_of(words, sizeof words)));
    hear(c);
    assert_int_equal(kith_mss_status(c->mss), KITH_MSS_DONE);
}

/* Up to message A, which waits in first. */
static void call_prepare(caller *c, side *who, const kith_noise_suite *suite, const kith_noise_secret *secret)
{
    static kith_bytes muxers[1], lists[3][1]; /* until the machine is ready */
    call_negotiate(c, who, suite);
    kith_bytes *list = lists[who == &alice ? 0 : who == &carol ? 1 : 2];
    muxers[0] = kith_bytes_str("/yamux/1.0.0");
    list[0] = c->ids[0];
    kith_noise_config cfg = side_config(who, suite, true);
    cfg.muxers = muxers;
    cfg.channels = list;
    cfg.muxer_count = cfg.channel_count = 1;
    cfg.psk = secret ? secret->psk : NULL;
    cfg.key_name = secret ? secret->name : NULL;
    who->noise = kith_noise_new(&cfg);
    assert_non_null(who->noise);
    c->first_len = kith_noise_send(who->noise, now, kith_span_of(c->first, sizeof c->first));
}

static void call_begin(caller *c, side *who, const kith_noise_suite *suite, const kith_noise_secret *secret)
{
    call_prepare(c, who, suite, secret);
    say(c, c->first, c->first_len);
}

static void call_go_on(caller *c)
{
    uint8_t msg[KITH_NOISE_MESSAGE_MAX];
    hear(c);
    size_t len = kith_noise_send(c->who->noise, now, kith_span_of(msg, sizeof msg));
    say(c, msg, len);
}

static void call_end(caller *c)
{
    if (c->conn)
        kith_node_close(node, now, c->conn);
    while (c->conn)
        hear(c);
    look(c);
    kith_mss_free(c->mss);
}

/* A whole handshake; whether it came to a connection. */
static bool call(caller *c, side *who, const kith_noise_suite *suite, const kith_noise_secret *secret)
{
    call_begin(c, who, suite, secret);
    call_go_on(c);
    bool there = c->connected;
    assert_true(!there || who->ready);
    call_end(c);
    return there;
}

static const kith_noise_suite *plain(void)
{
    return kith_noise_suite_find(kith_bytes_str("/kith/noise-mlkem768-hfs/1"));
}

static const kith_noise_suite *resume(void)
{
    return kith_noise_suite_find(kith_bytes_str("/kith/noise-mlkem768-hfs-resume/1"));
}

/* A session of Alice's with signatures, and what it has left her. */
static kith_noise_legacy meet(void)
{
    caller c;
    kith_noise_legacy l;
    call_begin(&c, &alice, plain(), NULL);
    call_go_on(&c);
    assert_true(c.connected && !c.resumed);
    assert_true(kith_noise_take_legacy(alice.noise, &l));
    call_end(&c);
    return l;
}

static void a_session_is_resumed_once(void **state)
{
    (void)state;
    caller c;
    kith_noise_legacy l = meet();
    assert_true(call(&c, &alice, resume(), &l.ours));
    assert_true(c.resumed && c.byte == 1);
    assert_true(
        call(&c, &alice, resume(), &l.ours)); /* once more: signatures again, and a connection all the same */
    assert_true(!c.resumed && c.byte == 0);
}

static void a_secret_is_of_no_use_to_another_peer(void **state)
{
    (void)state;
    caller c;
    kith_noise_legacy l = meet();
    assert_false(call(&c, &carol, resume(), &l.ours));
    assert_int_equal(c.err, KITH_EAUTH);
    assert_string_equal(c.why, "the peer is not the one that was expected");
    assert_true(call(&c, &alice, resume(), &l.ours)); /* nor has it taken it from its owner */
    assert_true(c.resumed);
}

static void a_secret_serves_its_own_level_alone(void **state)
{
    (void)state;
    caller c;
    kith_noise_legacy l = meet();
    assert_true(call(&c, &alice, &kith_noise_resume_suites[2], &l.ours));
    assert_true(!c.resumed && c.byte == 0);
    assert_true(call(&c, &alice, resume(), &l.ours));
    assert_true(c.resumed);
}

/* Who plays A again gets an answer that it cannot read, no signature, and takes the secret from nobody. */
static void a_message_played_again_comes_to_nothing(void **state)
{
    (void)state;
    caller c, thief;
    kith_noise_legacy l = meet();
    call_begin(&c, &alice, resume(), &l.ours);
    for (int i = 0; i < 3; i++) {
        call_negotiate(&thief, &carol, resume());
        say(&thief, c.first, c.first_len);
        hear(&thief);
        assert_int_equal(thief.byte, 1);
        say(&thief, c.first, 200); /* no C of its own */
        assert_false(thief.connected);
        call_end(&thief);
    }
    call_go_on(&c);
    assert_true(c.connected && c.resumed);
    call_end(&c);
}

static void two_that_prove_the_same_secret_are_one_too_many(void **state)
{
    (void)state;
    caller c[2];
    side twin;
    static const uint8_t a[32] = {1};
    kith_noise_legacy l = meet();
    side_init(&twin, a, 9, (kith_bytes){0}); /* Alice's keys and secret, in somebody else's hands too */
    call_begin(&c[0], &alice, resume(), &l.ours);
    call_begin(&c[1], &twin, resume(), &l.ours);
    call_go_on(&c[0]);
    call_go_on(&c[1]);
    assert_true(c[0].connected && c[0].resumed);
    assert_false(c[1].connected);
    assert_int_equal(c[1].err, KITH_EAUTH);
    assert_string_equal(c[1].why, "the secret of the earlier session has been used");
    call_end(&c[0]);
    call_end(&c[1]);
    side_fini(&twin);
}

static void a_name_that_was_edited_is_unknown_and_found_out(void **state)
{
    (void)state;
    caller c;
    kith_noise_legacy l = meet();
    kith_noise_secret other = l.ours;
    other.name[3] ^= 1;
    call_begin(&c, &alice, resume(), &other); /* as if on the way: here it is in the prologue of both */
    call_go_on(&c);
    assert_true(c.byte == 0 && c.connected && !c.resumed);
    call_end(&c);
    call_prepare(&c, &alice, resume(), &l.ours); /* and on the way */
    c.first[2 + 3] ^= 1;
    say(&c, c.first, c.first_len);
    call_go_on(&c);
    assert_false(c.connected);
    assert_true(c.err == KITH_ECRYPTO || alice.err == KITH_ECRYPTO);
    call_end(&c);
    assert_true(call(&c, &alice, resume(), &l.ours));
    assert_true(c.resumed);
}

/* A foreign peer's handshake has not a byte about it: were the listener to name such a suite, these lists would lead to that one. */
static void who_is_not_kith_hears_nothing_of_it(void **state)
{
    (void)state;
    caller c;
    static const char *const foreign[] = {"/noise-mlkem768-hfs/0.2.0", "/noise"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        const kith_noise_suite *suite = kith_noise_suite_find(kith_bytes_str(foreign[i]));
        kith_bytes list[] = {kith_bytes_str(resume()->id), kith_bytes_str(suite->id)};
        call_negotiate(&c, &alice, suite);
        kith_noise_config cfg = side_config(&alice, suite, true);
        cfg.channels = list;
        cfg.channel_count = 2;
        alice.noise = kith_noise_new(&cfg);
        assert_non_null(alice.noise);
        call_go_on(&c);
        call_go_on(&c);
        assert_string_equal(alice.why ? alice.why : "", "");
        assert_true(alice.ready);
        call_end(&c);
    }
}

static void what_is_forgotten_or_over_is_unknown(void **state)
{
    (void)state;
    caller c;
    kith_noise_legacy l = meet();
    kith_node_forget_sessions(node, &alice.id);
    assert_true(call(&c, &alice, resume(), &l.ours));
    assert_true(!c.resumed && c.byte == 0);
    l = meet();
    kith_node_forget_sessions(node, &carol.id);
    now += KITH_SEC(1000);
    kith_node_tick(node, now);
    assert_true(call(&c, &alice, resume(), &l.ours));
    assert_true(!c.resumed && c.byte == 0);
    l = meet();
    assert_true(call(&c, &alice, resume(), &l.ours));
    assert_true(c.resumed);
    kith_node_forget_sessions(node, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_session_is_resumed_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_secret_is_of_no_use_to_another_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_secret_serves_its_own_level_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_played_again_comes_to_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_that_prove_the_same_secret_are_one_too_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_was_edited_is_unknown_and_found_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_not_kith_hears_nothing_of_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_forgotten_or_over_is_unknown, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
