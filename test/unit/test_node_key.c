/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Keys of quantum key distribution in a node: asked of the host, mixed in or not, and what both ends then say of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "node/node.h"

static size_t held;

static void *count_alloc(void *ctx, void *p, size_t old, size_t size)
{
    (void)ctx;
    held = held - old + size;
    return kith_heap(NULL, p, old, size);
}

static uint64_t rng;

static void seeded(void *ctx, kith_span out)
{
    (void)ctx;
    for (size_t i = 0; i < out.len; i++) {
        rng = rng * 6364136223846793005u + 1442695040888963407u;
        out.p[i] = (uint8_t)(rng >> 56);
    }
}

/* ---- two nodes with hosts that have keys ---- */

typedef enum has { NOTHING, KEY, OTHER_KEY, UNKNOWN, LATE } has;

typedef struct side {
    kith_node *node;
    kith_signer *signer;
    kith_pq_signer *pq_signer;
    kith_conn *conn;
    kith_qkd_policy policy;
    has has;
    bool simulated;
    kith_peer_id sharer; /* of whom the inbound side's key is */
    uint64_t asked_id;
    unsigned asked, open, ended;
    uint8_t asked_name[KITH_NOISE_KEY_NAME_LEN];
    kith_peer_id asked_peer;
    kith_err err;
    const char *why;
    uint8_t level;
    bool no_pq; /* an identity without a post-quantum key */
    kith_pq_policy pq;
} side;

static side s[2]; /* 0 dials 1 */
static kith_time now = KITH_SEC(1);
static uint8_t key[2][KITH_NOISE_PSK_LEN], name[KITH_NOISE_KEY_NAME_LEN];

static void answer(int i)
{
    kith_node_key_answer a = {.why = "the KME is asleep", .unknown = s[i].has == UNKNOWN};
    if (s[i].has == KEY || s[i].has == OTHER_KEY)
        a = (kith_node_key_answer){.key = key[s[i].has == OTHER_KEY],
                                   .name = name,
                                   .peer = s[i].sharer,
                                   .simulated = s[i].simulated};
    kith_node_key(s[i].node, now, s[i].asked_id, &a);
}

static void look(int i)
{
    kith_node_event ev;
    while (kith_node_next(s[i].node, now, &ev)) {
        switch (ev.kind) {
        case KITH_NODE_DIAL:
            s[i].conn = ev.conn;
            break;
        case KITH_NODE_KEY:
            assert_ptr_equal(ev.conn, s[i].conn);
            s[i].asked++;
            s[i].asked_id = ev.key_id;
            s[i].asked_peer = ev.peer;
            if (i == 1) {
                assert_int_equal(ev.key_name.len, sizeof s[i].asked_name);
                memcpy(s[i].asked_name, ev.key_name.p, ev.key_name.len);
            } else {
                assert_int_equal(ev.key_name.len, 0);
            }
            if (s[i].has != LATE)
                answer(i);
            break;
        case KITH_NODE_WORK:
            kith_node_work(ev.conn);
            kith_node_worked(s[i].node, now, ev.conn);
            break;
        case KITH_NODE_CLOSE:
            s[i].conn = NULL;
            break;
        case KITH_NODE_CONNECTED:
            s[i].open++;
            break;
        case KITH_NODE_REFUSED:
        case KITH_NODE_DIALED:
            if (ev.err) {
                s[i].ended++;
                s[i].err = ev.err;
                s[i].why = ev.why;
            }
            break;
        case KITH_NODE_DISCONNECTED:
        case KITH_NODE_RESOLVE:
        case KITH_NODE_IDENTIFIED:
        case KITH_NODE_UPDATED:
        case KITH_NODE_STREAM_OPENED:
        case KITH_NODE_STREAM_READY:
        case KITH_NODE_STREAM_GONE:
            break;
        }
    }
    kith_node_check(s[i].node);
}

static bool move(int i)
{
    static uint8_t buf[70000];
    kith_conn *c = kith_node_writer(s[i].node);
    if (!c)
        return false;
    size_t n = kith_node_send(s[i].node, now, c, kith_span_of(buf, sizeof buf));
    look(i);
    if (n > 0 && s[1 - i].conn) {
        kith_node_recv(s[1 - i].node, now, s[1 - i].conn, kith_span_of(buf, n));
        look(1 - i);
    }
    return true;
}

static void settle(void)
{
    for (bool any = true; any;) {
        any = move(0);
        any |= move(1);
    }
    for (int i = 0; i < 2; i++) { /* a socket that one end closed */
        if (!s[i].conn && s[1 - i].conn) {
            kith_node_link_failed(s[1 - i].node, now, s[1 - i].conn, KITH_ERESET, "closed by the peer");
            look(1 - i);
        }
    }
}

static void start(kith_qkd_policy dials, has dials_has, kith_qkd_policy listens, has listens_has)
{
    memset(key[0], 7, sizeof key[0]);
    memset(key[1], 8, sizeof key[1]);
    memset(name, 'n', sizeof name);
    memset(s, 0, sizeof s);
    s[0].policy = dials, s[0].has = dials_has, s[1].policy = listens, s[1].has = listens_has;
    s[0].level = s[1].level = 3;
}

static void dial(void)
{
    static const uint8_t ip[4] = {127, 0, 0, 1};
    kith_maddr a;
    uint64_t id;
    const char *why;
    rng = 1;
    for (int i = 0; i < 2; i++) {
        uint8_t seed[KITH_ED25519_SEED_LEN] = {(uint8_t)(i + 1)};
        kith_node_config cfg;
        kith_node_config_default(&cfg);
        cfg.env = (kith_env){.alloc = {.fn = count_alloc}, .rand = {.fn = seeded}};
        cfg.qkd = s[i].policy;
        cfg.pq = s[i].pq;
        cfg.level = s[i].level;
        cfg.signer = s[i].signer = kith_signer_new(seed);
        assert_int_equal(
            kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, sizeof seed), &s[i].pq_signer), KITH_OK);
        cfg.pq_signer = s[i].no_pq ? NULL : s[i].pq_signer;
        s[i].node = kith_node_new(&cfg, now);
        assert_non_null(s[i].node);
    }
    kith_maddr_from_tcp(kith_bytes_of(ip, 4), 4001, &a);
    assert_int_equal(kith_maddr_set_peer(&a, kith_node_id(s[1].node)), KITH_OK);
    assert_int_equal(kith_node_dial(s[0].node, now, NULL, &a, 1, &id), KITH_OK);
    look(0);
    assert_int_equal(kith_node_accept(s[1].node, now, &a, &a, &s[1].conn, &why), KITH_OK);
    kith_node_connected(s[0].node, now, s[0].conn, NULL, NULL);
    look(0);
    settle();
}

static void stop(void)
{
    for (int i = 0; i < 2; i++) {
        kith_node_free(s[i].node);
        kith_signer_free(s[i].signer);
        kith_pq_signer_free(s[i].pq_signer);
        s[i].node = NULL;
    }
    assert_int_equal(held, 0);
}

static void assert_open(const char *suite, kith_qkd_state dials, const char *dials_why,
                        kith_qkd_state listens, const char *listens_why)
{
    const kith_qkd_state want[2] = {dials, listens};
    const char *const why[2] = {dials_why, listens_why};
    for (int i = 0; i < 2; i++) {
        kith_conn_facts f;
        assert_int_equal(s[i].open, 1);
        kith_conn_facts_get(s[i].conn, &f);
        assert_string_equal(f.suite->id, suite);
        assert_int_equal(f.qkd, want[i]);
        assert_string_equal(f.qkd_why ? f.qkd_why : "", why[i] ? why[i] : "");
    }
}

#define PSK768 "/kith/noise-mlkem768-hfs-psk/1"
#define PSK1024 "/kith/noise-mlkem1024-hfs-psk/1"
#define PLAIN768 "/kith/noise-mlkem768-hfs/1"
#define ON KITH_QKD_STATE_ON
#define OFF KITH_QKD_STATE_OFF
#define FAILED KITH_QKD_STATE_FAILED
#define PREFERRED KITH_QKD_PREFERRED
#define REQUIRED KITH_QKD_REQUIRED

static void a_key_of_both_hosts_is_used(void **state)
{
    (void)state;
    static const kith_qkd_policy policies[] = {PREFERRED, REQUIRED};
    for (int i = 0; i < 4; i++) {
        start(policies[i & 1], KEY, policies[i >> 1], KEY);
        dial();
        assert_open(PSK768, ON, NULL, ON, NULL);
        assert_memory_equal(s[1].asked_name, name, sizeof name);
        assert_true(kith_peer_id_eq(&s[0].asked_peer, kith_node_id(s[1].node)));
        assert_int_equal(s[0].asked, 1);
        assert_int_equal(s[1].asked, 1);
        stop();
    }
}

static void a_simulated_key_is_called_so(void **state)
{
    (void)state;
    start(REQUIRED, KEY, REQUIRED, KEY);
    s[0].simulated = s[1].simulated = true;
    dial();
    assert_open(PSK768, KITH_QKD_STATE_SIMULATED, NULL, KITH_QKD_STATE_SIMULATED, NULL);
    stop();
}

static void the_higher_level_is_met_with_the_same_key(void **state)
{
    (void)state;
    start(REQUIRED, KEY, REQUIRED, KEY);
    s[1].level = 5;
    dial();
    assert_open(PSK1024, ON, NULL, ON, NULL);
    stop();
    start(PREFERRED, KEY, PREFERRED, KEY);
    s[0].level = 5;
    dial();
    assert_open(PSK1024, ON, NULL, ON, NULL);
    stop();
}

static void preferred_goes_on_without_and_says_so(void **state)
{
    (void)state;
    start(PREFERRED, NOTHING, PREFERRED, KEY);
    dial();
    assert_open(PLAIN768, FAILED, "the KME is asleep", OFF, "the peer proposed no QKD key");
    assert_int_equal(s[1].asked, 0);
    stop();
    start(PREFERRED, KEY, PREFERRED, NOTHING);
    dial();
    assert_open(PSK768, FAILED, "the peer did not get the key from its KME", FAILED, "the KME is asleep");
    stop();
    start(PREFERRED, UNKNOWN, PREFERRED, KEY);
    dial();
    assert_open(PLAIN768, OFF, "the KME is asleep", OFF, "the peer proposed no QKD key");
    stop();
    start(PREFERRED, KEY, KITH_QKD_OFF, KEY);
    dial();
    assert_open(PLAIN768, OFF, "the peer takes no QKD key", OFF, NULL);
    stop();
    start(KITH_QKD_OFF, KEY, PREFERRED, KEY);
    dial();
    assert_open(PLAIN768, OFF, NULL, OFF, "the peer proposed no QKD key");
    assert_int_equal(s[0].asked + s[1].asked, 0);
    stop();
}

static void required_refuses_and_says_why(void **state)
{
    (void)state;
    static const char asleep[] = "the KME is asleep",
                      no[] = "the peer does not agree on a QKD key, and qkd = required";
    static const struct {
        kith_qkd_policy a;
        has a_has;
        kith_qkd_policy b;
        has b_has;
        int who; /* it refuses */
        const char *why;
    } cases[] = {
        {REQUIRED, NOTHING, PREFERRED, KEY, 0, asleep},
        {REQUIRED, UNKNOWN, PREFERRED, KEY, 0, asleep},
        {REQUIRED, KEY, KITH_QKD_OFF, KEY, 0, no},
        {REQUIRED, KEY, PREFERRED, NOTHING, 0, "the peer did not get the key that was to be mixed in"},
        {PREFERRED, KEY, REQUIRED, NOTHING, 1, asleep},
        {REQUIRED, KEY, REQUIRED, NOTHING, 1, asleep},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start(cases[i].a, cases[i].a_has, cases[i].b, cases[i].b_has);
        dial();
        assert_int_equal(s[0].open + s[1].open, 0);
        assert_int_equal(s[cases[i].who].err, KITH_EPOLICY);
        assert_string_equal(s[cases[i].who].why, cases[i].why);
        stop();
    }
    /* Who dials a node that requires a key without having one is refused. */
    start(KITH_QKD_OFF, KEY, REQUIRED, KEY);
    dial();
    assert_int_equal(s[0].open + s[1].open, 0);
    assert_int_equal(s[0].ended, 1);
    stop();
}

static void keys_that_differ_end_the_handshake(void **state)
{
    (void)state;
    start(PREFERRED, KEY, PREFERRED, OTHER_KEY);
    dial();
    assert_int_equal(s[0].open + s[1].open, 0);
    assert_int_equal(s[0].err, KITH_ECRYPTO);
    stop();
}

static void a_key_shared_with_another_peer_is_of_no_use(void **state)
{
    (void)state;
    start(PREFERRED, KEY, PREFERRED, KEY);
    dial();
    s[1].sharer = *kith_node_id(s[1].node);
    kith_peer_id right = *kith_node_id(s[0].node), wrong = *kith_node_id(s[1].node);
    stop();
    start(PREFERRED, KEY, PREFERRED, KEY);
    s[1].sharer = wrong;
    dial();
    assert_int_equal(s[1].open, 0);
    assert_int_equal(s[1].err, KITH_EAUTH);
    stop();
    start(PREFERRED, KEY, PREFERRED, KEY);
    s[1].sharer = right;
    dial();
    assert_open(PSK768, ON, NULL, ON, NULL);
    stop();
}

static void both_hosts_may_take_their_time(void **state)
{
    (void)state;
    start(REQUIRED, LATE, REQUIRED, LATE);
    dial(); /* the listener's hello has come */
    assert_int_equal(s[0].asked, 1);
    assert_int_equal(s[1].asked, 0);
    s[0].has = KEY;
    answer(0);
    look(0);
    settle();
    assert_int_equal(s[1].asked, 1);
    assert_int_equal(s[0].open, 0);
    s[1].has = KEY;
    answer(1);
    look(1);
    settle();
    assert_open(PSK768, ON, NULL, ON, NULL);
    answer(0); /* once more, too late */
    stop();
}

static void a_host_that_never_answers_meets_the_deadline(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++) {
        start(REQUIRED, who == 0 ? LATE : KEY, REQUIRED, who == 1 ? LATE : KEY);
        dial();
        assert_int_equal(s[who].asked, 1);
        now = kith_node_deadline(s[who].node);
        kith_node_tick(s[who].node, now);
        look(who);
        assert_int_equal(s[who].err, KITH_ETIMEOUT);
        s[who].has = KEY;
        answer(who); /* nobody is there any more */
        settle();
        assert_int_equal(s[0].open + s[1].open, 0);
        stop();
    }
}

static void a_listener_that_talks_before_its_turn_is_left(void **state)
{
    (void)state;
    uint8_t noise[65] = {0};
    start(REQUIRED, LATE, REQUIRED, KEY);
    dial();
    kith_node_recv(s[0].node, now, s[0].conn, kith_span_of(noise, 44)); /* 20 were the hello */
    look(0);
    assert_non_null(s[0].conn);
    kith_node_recv(s[0].node, now, s[0].conn, kith_span_of(noise, 1));
    look(0);
    assert_null(s[0].conn);
    assert_int_equal(s[0].err, KITH_EPROTO);
    settle();
    stop();
}

static void without_a_post_quantum_identity_there_is_no_such_channel(void **state)
{
    (void)state;
    static const kith_pq_policy policies[] = {KITH_PQ_PREFER, KITH_PQ_REQUIRE, KITH_PQ_OFF};
    for (int i = 0; i < 6; i++) {
        int who = i % 2;
        start(REQUIRED, KEY, REQUIRED, KEY);
        s[who].no_pq = true;
        s[who].pq = policies[i / 2];
        dial();
        assert_int_equal(s[0].open + s[1].open, 0);
        assert_int_equal(s[who].err, KITH_EPOLICY);
        assert_string_equal(s[who].why,
                            s[who].pq == KITH_PQ_OFF
                                ? "qkd = required needs pq = prefer or require"
                                : "qkd = required needs a post-quantum identity, and this node has none");
        assert_int_equal(s[who].asked, 0); /* no key was wasted on it */
        stop();
    }
}

static void a_node_can_go_while_keys_are_asked_for(void **state)
{
    (void)state;
    start(REQUIRED, LATE, REQUIRED, KEY);
    dial();
    stop();
    start(REQUIRED, KEY, REQUIRED, LATE);
    dial();
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_of_both_hosts_is_used),
        cmocka_unit_test(a_simulated_key_is_called_so),
        cmocka_unit_test(the_higher_level_is_met_with_the_same_key),
        cmocka_unit_test(preferred_goes_on_without_and_says_so),
        cmocka_unit_test(required_refuses_and_says_why),
        cmocka_unit_test(keys_that_differ_end_the_handshake),
        cmocka_unit_test(a_key_shared_with_another_peer_is_of_no_use),
        cmocka_unit_test(both_hosts_may_take_their_time),
        cmocka_unit_test(a_host_that_never_answers_meets_the_deadline),
        cmocka_unit_test(a_listener_that_talks_before_its_turn_is_left),
        cmocka_unit_test(without_a_post_quantum_identity_there_is_no_such_channel),
        cmocka_unit_test(a_node_can_go_while_keys_are_asked_for),
    };
    if (kith_crypto_init())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
