/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Nodes in private networks: who meets whom, what the others are told, and that nothing is ever said in clear. */
#include <stdio.h>

#include "crypto/crypto.h"
#include "node/node.h"
#include "proto/mss.h"
#include "unit/support.h"

#define NOT_IN "the peer is not in this private network: it speaks without a network key"
#define OTHER "the peer is not in this private network, or has another network key"
#define UNMET "it did not show the key of this private network: it is not in it, or has another key"
#define NEEDED                                                                                              \
    "the peer does not speak multistream-select 1.0.0: it is no libp2p node, or one in a private network, " \
    "whose key is needed (network.key)"

static const uint8_t keys[3][KITH_PNET_KEY_LEN] = {"", "the key of one private network",
                                                   "the key of another of them"};

typedef struct side {
    kith_node *node;
    kith_signer *signer;
    kith_pq_signer *pq_signer;
    kith_conn *conn;
    int network; /* 0: none */
    kith_qkd_policy qkd;
    unsigned open, ended, gone;
    uint64_t key_id;
    kith_err err;
    const char *why;
    uint8_t said[70000]; /* on the wire, its beginning */
    size_t said_len;
} side;

static side s[2]; /* 0 dials 1 */
static kith_time now = KITH_SEC(1);
static support_heap heap;
static size_t piece; /* bytes that arrive at a time; 0: all of a write */
static size_t cut;   /* the first that side 0 says arrive alone, so many; 0: no cut */
static bool silent;  /* nothing of side 1 arrives */

/* Under the heap: no block goes with a key in it. */
static kith_alloc under;
static size_t leaks;

static void *watching(void *ctx, void *p, size_t old, size_t size)
{
    for (size_t i = 0; p && size < old && i + KITH_PNET_KEY_LEN <= old - size; i++)
        leaks += memcmp((const uint8_t *)p + size + i, keys[1], KITH_PNET_KEY_LEN) == 0;
    return under.fn(ctx, p, old, size);
}

static void look(int i)
{
    kith_node_event ev;
    while (kith_node_next(s[i].node, now, &ev)) {
        if (ev.kind == KITH_NODE_DIAL) {
            s[i].conn = ev.conn;
        } else if (ev.kind == KITH_NODE_KEY) {
            s[i].key_id = ev.key_id;
        } else if (ev.kind == KITH_NODE_WORK) {
            kith_node_work(ev.conn);
            kith_node_worked(s[i].node, now, ev.conn);
        } else if (ev.kind == KITH_NODE_CLOSE) {
            s[i].conn = NULL;
        } else if (ev.kind == KITH_NODE_CONNECTED) {
            s[i].open++;
        } else if (ev.kind == KITH_NODE_DISCONNECTED) {
            s[i].gone++;
        } else if ((ev.kind == KITH_NODE_REFUSED || ev.kind == KITH_NODE_DIALED) && ev.err) {
            s[i].ended++;
            s[i].err = ev.err;
            s[i].why = ev.why;
        }
    }
    kith_node_check(s[i].node);
}

static void arrive(int to, kith_span in)
{
    while (in.len > 0 && s[to].conn) {
        size_t n = piece && piece < in.len ? piece : in.len;
        if (to == 1 && cut > 0) {
            n = cut < in.len ? cut : in.len;
            cut = 0;
        }
        kith_node_recv(s[to].node, now, s[to].conn, kith_span_of(in.p, n));
        look(to);
        in = kith_span_skip(in, n);
    }
}

static bool move(int i)
{
    static uint8_t buf[70000];
    side *from = &s[i];
    kith_conn *c = kith_node_writer(from->node);
    if (!c)
        return false;
    size_t n = kith_node_send(from->node, now, c, kith_span_of(buf, sizeof buf));
    size_t keep = sizeof from->said - from->said_len;
    keep = n < keep ? n : keep;
    memcpy(from->said + from->said_len, buf, keep);
    from->said_len += keep;
    look(i);
    if (!(silent && i == 1))
        arrive(1 - i, kith_span_of(buf, n));
    return true;
}

static void settle(void)
{
    for (bool any = true; any;) {
        any = move(0);
        any |= move(1);
    }
}

/* A socket that one end has closed is at its end for the other. */
static void hang_up(void)
{
    for (int i = 0; i < 2; i++) {
        if (!s[i].conn && s[1 - i].conn) {
            kith_node_eof(s[1 - i].node, now, s[1 - i].conn);
            look(1 - i);
        }
    }
    settle();
}

static void begin(int dials, int listens)
{
    memset(s, 0, sizeof s);
    piece = cut = 0;
    silent = false;
    s[0].network = dials;
    s[1].network = listens;
}

static void make(void)
{
    kith_env env = *support_env(&heap);
    under = env.alloc;
    env.alloc.fn = watching;
    for (int i = 0; i < 2; i++) {
        uint8_t seed[KITH_ED25519_SEED_LEN] = {(uint8_t)(i + 1)};
        kith_node_config cfg;
        kith_node_config_default(&cfg);
        cfg.env = env;
        cfg.network_key = s[i].network ? keys[s[i].network] : NULL;
        cfg.qkd = s[i].qkd;
        cfg.signer = s[i].signer = kith_signer_new(seed);
        assert_int_equal(
            kith_pq_signer_new(KITH_SIG_MLDSA44, kith_bytes_of(seed, sizeof seed), &s[i].pq_signer), KITH_OK);
        cfg.pq_signer = s[i].pq_signer;
        s[i].node = kith_node_new(&cfg, now);
        assert_non_null(s[i].node);
        assert_int_equal(kith_node_is_private(s[i].node), s[i].network != 0);
    }
}

/* False: a limit or memory was in the way, which the event says. */
static bool connect_them(void)
{
    static const uint8_t ip[4] = {127, 0, 0, 1};
    kith_maddr a;
    uint64_t id;
    const char *why;
    kith_maddr_from_tcp(kith_bytes_of(ip, 4), 4001, &a);
    assert_int_equal(kith_maddr_set_peer(&a, kith_node_id(s[1].node)), KITH_OK);
    if (kith_node_dial(s[0].node, now, NULL, &a, 1, &id))
        return false;
    look(0);
    if (!s[0].conn)
        return false;
    if (kith_node_accept(s[1].node, now, &a, &a, &s[1].conn, &why)) {
        s[1].conn = NULL;
        kith_node_link_failed(s[0].node, now, s[0].conn, KITH_EREFUSED, "refused");
        look(0);
        return false;
    }
    kith_node_connected(s[0].node, now, s[0].conn, NULL, NULL);
    look(0);
    look(1);
    return true;
}

static void dial(void)
{
    make();
    assert_true(connect_them());
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
    support_heap_check(&heap);
    assert_int_equal(leaks, 0);
}

static bool has(const side *of, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i + len <= of->said_len; i++) {
        if (memcmp(of->said + i, text, len) == 0)
            return true;
    }
    return false;
}

static void assert_private(const side *of)
{
    assert_true(of->said_len >= KITH_PNET_NONCE_LEN);
    assert_false(has(of, "multistream"));
    assert_false(has(of, "noise"));
}

static void those_with_the_same_key_meet(void **state)
{
    (void)state;
    begin(1, 1);
    dial();
    assert_int_equal(s[0].open, 1);
    assert_int_equal(s[1].open, 1);
    assert_private(&s[0]);
    assert_private(&s[1]);
    kith_node_close(s[0].node, now, s[0].conn); /* goodbye is said in there too */
    look(0);
    settle();
    hang_up();
    assert_int_equal(s[0].gone, 1);
    assert_int_equal(s[1].gone, 1);
    stop();
    begin(0, 0); /* or the test above proves nothing */
    dial();
    assert_int_equal(s[0].open, 1);
    assert_true(has(&s[0], "multistream"));
    stop();
}

static void it_does_not_matter_how_the_bytes_arrive(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 30; n += n < 4 ? 1 : 13) {
        begin(1, 1);
        piece = n;
        dial();
        assert_int_equal(s[0].open + s[1].open, 2);
        stop();
    }
    for (size_t n = 1; n <= KITH_PNET_NONCE_LEN + 21; n++) {
        begin(1, 1);
        cut = n;
        dial();
        assert_int_equal(s[0].open + s[1].open, 2);
        stop();
    }
}

static void the_wait_for_a_qkd_key_is_inside(void **state)
{
    (void)state;
    begin(1, 1);
    s[0].qkd = KITH_QKD_PREFERRED;
    dial();
    assert_int_equal(s[0].said_len, KITH_PNET_NONCE_LEN); /* and the listener's hello is there already */
    assert_int_equal(s[0].open, 0);
    kith_node_key(s[0].node, now, s[0].key_id, &(kith_node_key_answer){.unknown = true, .why = "none"});
    look(0);
    settle();
    assert_int_equal(s[0].open + s[1].open, 2);
    kith_conn_facts f;
    kith_conn_facts_get(s[0].conn, &f);
    assert_true(f.bytes_in > f.shaken_in + KITH_PNET_NONCE_LEN);
    stop();
}

static void others_are_refused_in_both_roles_and_told_why(void **state)
{
    (void)state;
    static const struct {
        int dials, listens;
        const char *why[2];
    } cases[] = {
        {1, 0, {NOT_IN, NEEDED}},
        {0, 1, {NEEDED, NOT_IN}},
        {1, 2, {OTHER, OTHER}},
        {2, 1, {OTHER, OTHER}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(cases[i].dials, cases[i].listens);
        dial();
        hang_up();
        for (int k = 0; k < 2; k++) {
            assert_int_equal(s[k].open, 0);
            assert_int_equal(s[k].ended, 1);
            assert_null(s[k].conn);
            assert_string_equal(s[k].why, cases[i].why[k]);
            assert_int_equal(s[k].err, s[k].network ? KITH_EPOLICY : KITH_EPROTO);
            if (s[k].network)
                assert_private(&s[k]);
        }
        stop();
    }
}

static void one_who_hangs_up_or_keeps_silent_has_not_shown_the_key(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        begin(1, 1);
        silent = true;
        dial();
        if (how == 0) {
            kith_node_eof(s[0].node, now, s[0].conn);
        } else if (how == 1) {
            kith_node_link_failed(s[0].node, now, s[0].conn, KITH_ERESET, "connection reset by peer");
        } else {
            now = kith_node_deadline(s[0].node);
            kith_node_tick(s[0].node, now);
        }
        look(0);
        assert_int_equal(s[0].err, how == 0 ? KITH_ECLOSED : how == 1 ? KITH_ERESET : KITH_ETIMEOUT);
        assert_string_equal(s[0].why, UNMET);
        stop();
    }
    begin(1, 1); /* what is our own doing is called so */
    silent = true;
    dial();
    kith_node_link_failed(s[0].node, now, s[0].conn, KITH_ENOMEM, "no memory for output");
    look(0);
    assert_string_equal(s[0].why, "no memory for output");
    stop();
}

/* A wrong bit anywhere in what the dialer says first, its nonce included, is the end. */
static void a_changed_byte_is_no_member(void **state)
{
    (void)state;
    for (size_t at = 0; at < KITH_PNET_NONCE_LEN + sizeof KITH_MSS_HELLO - 1; at++) {
        static uint8_t buf[70000];
        begin(1, 1);
        make();
        assert_true(connect_them());
        kith_conn *c = kith_node_writer(s[0].node);
        size_t n = kith_node_send(s[0].node, now, c, kith_span_of(buf, sizeof buf));
        look(0);
        buf[at] ^= 0x40;
        arrive(1, kith_span_of(buf, n));
        assert_int_equal(s[1].ended, 1);
        assert_int_equal(s[1].err, KITH_EPOLICY);
        assert_string_equal(s[1].why, OTHER);
        stop();
    }
}

static void memory_that_runs_out_ends_it_without_a_word_in_clear(void **state)
{
    (void)state;
    bool opened = false;
    for (size_t after = 1; !opened; after++) {
        begin(1, 1);
        make();
        heap.fail_at = heap.calls + after;
        heap.once = true;
        if (connect_them())
            settle();
        hang_up();
        opened = heap.calls < heap.fail_at;
        for (int i = 0; i < 2; i++) {
            assert_false(has(&s[i], "multistream"));
            assert_false(has(&s[i], "noise"));
        }
        heap.fail_at = 0;
        stop();
    }
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_with_the_same_key_meet),
        cmocka_unit_test(it_does_not_matter_how_the_bytes_arrive),
        cmocka_unit_test(the_wait_for_a_qkd_key_is_inside),
        cmocka_unit_test(others_are_refused_in_both_roles_and_told_why),
        cmocka_unit_test(one_who_hangs_up_or_keeps_silent_has_not_shown_the_key),
        cmocka_unit_test(a_changed_byte_is_no_member),
        cmocka_unit_test(memory_that_runs_out_ends_it_without_a_word_in_clear),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
