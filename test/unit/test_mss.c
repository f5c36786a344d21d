/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* multistream-select against itself and against scripts, cut at every byte. Conversations are compared as text: one line per write,
 * each message with ";" for its newline. */
#include "proto/mss.h"

#include <stdio.h>

#include "support.h"

#define HELLO "\x13/multistream/1.0.0\n"

static const char *known[] = {"/noise", "/yamux/1.0.0", "/kith/a", NULL};

static int find(void *ctx, kith_bytes id)
{
    const char **ids = ctx;
    for (int i = 0; ids[i]; i++) {
        if (kith_bytes_eq_str(id, ids[i]))
            return i;
    }
    return -1;
}

typedef struct talk {
    char text[4096];
    size_t len;
} talk;

static void note(talk *t, const char *who, kith_bytes b)
{
    t->len += (size_t)snprintf(t->text + t->len, sizeof t->text - t->len, "%s", who);
    kith_rd r = kith_rd_of(b);
    while (r.in.len > 0) {
        kith_bytes m = kith_get_lp(&r);
        assert_false(r.bad);
        assert_int_equal(m.p[m.len - 1], '\n');
        t->len += (size_t)snprintf(t->text + t->len, sizeof t->text - t->len, " %.*s;", (int)m.len - 1, m.p);
    }
    t->len += (size_t)snprintf(t->text + t->len, sizeof t->text - t->len, "\n");
}

/* Everything a machine wants to send, in pieces of at most `piece` bytes. */
static size_t drain(kith_mss *m, uint8_t *out, size_t max, size_t piece)
{
    size_t n = 0;
    for (;;) {
        size_t room = max - n < piece ? max - n : piece;
        size_t k = kith_mss_send(m, kith_span_of(out + n, room));
        if (k == 0)
            return n;
        n += k;
    }
}

/* Feeds in pieces; what is not used ends up in *rest. */
static kith_err feed(kith_mss *m, kith_bytes in, size_t piece, size_t *used)
{
    *used = 0;
    while (in.len > *used) {
        size_t n = in.len - *used < piece ? in.len - *used : piece, k = 99;
        /* a copy of exactly the size, so that reading beyond it is found */
        kith_span c = support_copy(kith_bytes_of(in.p + *used, n));
        kith_err e = kith_mss_recv(m, kith_span_bytes(c), &k);
        free(c.p);
        assert_true(k <= n);
        *used += k;
        if (e || k < n)
            return e;
    }
    return KITH_OK;
}

/* Runs both to the end. */
static void converse(kith_mss *d, kith_mss *l, size_t piece, talk *t)
{
    uint8_t buf[4096];
    for (;;) {
        size_t n = drain(d, buf, sizeof buf, piece), used, n2;
        if (n > 0) {
            note(t, "d", kith_bytes_of(buf, n));
            (void)feed(l, kith_bytes_of(buf, n), piece, &used);
        }
        n2 = drain(l, buf, sizeof buf, piece);
        if (n2 > 0) {
            note(t, "l", kith_bytes_of(buf, n2));
            (void)feed(d, kith_bytes_of(buf, n2), piece, &used);
        }
        if (n == 0 && n2 == 0)
            return;
    }
}

static void hello_and_first_proposal_leave_in_one_write(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_bytes ids[] = {kith_bytes_str("/noise")};
    kith_mss *m = kith_mss_dial(env, ids, 1);
    uint8_t buf[100];
    size_t n = kith_mss_send(m, kith_span_of(buf, sizeof buf));
    support_assert_bytes(kith_bytes_of(buf, n), kith_bytes_str(HELLO "\x07/noise\n"));
    assert_int_equal(kith_mss_send(m, kith_span_of(buf, sizeof buf)), 0);
    kith_mss_free(m);
    support_heap_check(&heap);
}

static void both_agree_whatever_the_pieces(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 100; piece++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_bytes ids[] = {kith_bytes_str("/tls/1.0.0"), kith_bytes_str("/yamux/1.0.0"),
                            kith_bytes_str("/noise")};
        kith_mss *d = kith_mss_dial(env, ids, 3);
        kith_mss *l = kith_mss_listen(env, find, known);
        talk t = {0};
        converse(d, l, piece, &t);
        assert_string_equal(t.text, "d /multistream/1.0.0; /tls/1.0.0;\n"
                                    "l /multistream/1.0.0; na;\n"
                                    "d /yamux/1.0.0;\n"
                                    "l /yamux/1.0.0;\n");
        assert_int_equal(kith_mss_status(d), KITH_MSS_DONE);
        assert_int_equal(kith_mss_status(l), KITH_MSS_DONE);
        assert_int_equal(kith_mss_choice(d), 1);
        assert_int_equal(kith_mss_choice(l), 1);
        kith_mss_free(d);
        kith_mss_free(l);
        support_heap_check(&heap);
    }
}

static void a_dialer_that_nobody_understands_gives_up_after_its_last_id(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_bytes ids[] = {kith_bytes_str("/x"), kith_bytes_str("/y")};
    kith_mss *d = kith_mss_dial(env, ids, 2);
    kith_mss *l = kith_mss_listen(env, find, known);
    talk t = {0};
    converse(d, l, 1000, &t);
    assert_string_equal(t.text, "d /multistream/1.0.0; /x;\n"
                                "l /multistream/1.0.0; na;\n"
                                "d /y;\n"
                                "l na;\n");
    assert_int_equal(kith_mss_status(d), KITH_MSS_FAILED);
    assert_string_equal(kith_mss_why(d), "the peer refused every protocol we proposed");
    assert_int_equal(kith_mss_status(l), KITH_MSS_RUNNING);
    kith_mss_free(d);
    kith_mss_free(l);
    support_heap_check(&heap);
}

static void the_error_of_a_refusal_is_unsupported(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_bytes ids[] = {kith_bytes_str("/x")};
    kith_mss *d = kith_mss_dial(env, ids, 1);
    uint8_t buf[100];
    (void)drain(d, buf, sizeof buf, 100);
    size_t used;
    kith_bytes in = kith_bytes_str(HELLO "\x03na\n");
    assert_int_equal(kith_mss_recv(d, in, &used), KITH_EUNSUPPORTED);
    assert_int_equal(used, in.len);
    /* dead: takes nothing more */
    assert_int_equal(kith_mss_recv(d, in, &used), KITH_OK);
    assert_int_equal(used, 0);
    assert_false(kith_mss_may_pass(d));
    kith_mss_free(d);
    support_heap_check(&heap);
}

static void ls_is_answered_na(void **state)
{
    (void)state;
    static const char *with_ls[] = {"ls", "/noise", NULL};
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_mss *l = kith_mss_listen(env, find, with_ls);
    uint8_t buf[100];
    size_t used;
    kith_bytes in = kith_bytes_str(HELLO "\x03ls\n\x07/noise\n");
    assert_int_equal(kith_mss_recv(l, in, &used), KITH_OK);
    size_t n = drain(l, buf, sizeof buf, 100);
    support_assert_bytes(kith_bytes_of(buf, n), kith_bytes_str(HELLO "\x03na\n\x07/noise\n"));
    assert_int_equal(kith_mss_choice(l), 1);
    kith_mss_free(l);
    support_heap_check(&heap);
}

static void a_listener_greets_before_it_hears_anything(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_mss *l = kith_mss_listen(env, find, known);
    uint8_t buf[100];
    size_t n = drain(l, buf, sizeof buf, 100);
    support_assert_bytes(kith_bytes_of(buf, n), kith_bytes_str(HELLO));
    kith_mss_free(l);
    support_heap_check(&heap);
}

static void what_follows_the_last_message_is_left_to_the_next_layer(void **state)
{
    (void)state;
    static const char in[] = HELLO "\x03/x\n\x07/noise\n\x01payload";
    size_t want = sizeof in - 1 - 8;
    for (size_t piece = 1; piece < sizeof in; piece++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_mss *l = kith_mss_listen(env, find, known);
        size_t used;
        assert_int_equal(feed(l, kith_bytes_of(in, sizeof in - 1), piece, &used), KITH_OK);
        assert_int_equal(used, want);
        assert_int_equal(kith_mss_status(l), KITH_MSS_DONE);
        kith_mss_free(l);
        support_heap_check(&heap);
    }
}

static void lazy_payload_may_follow_the_only_proposal_at_once(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_bytes ids[] = {kith_bytes_str("/noise")};
    kith_mss *d = kith_mss_dial(env, ids, 1);
    uint8_t buf[100];
    assert_false(kith_mss_may_pass(d)); /* our own bytes come first */
    assert_int_equal(kith_mss_send(d, kith_span_of(buf, 27)), 27);
    assert_false(kith_mss_may_pass(d));
    assert_int_equal(kith_mss_send(d, kith_span_of(buf, 27)), 1);
    assert_true(kith_mss_may_pass(d));
    assert_int_equal(kith_mss_status(d), KITH_MSS_RUNNING);
    size_t used;
    assert_int_equal(kith_mss_recv(d, kith_bytes_str(HELLO "\x07/noise\nrest"), &used), KITH_OK);
    assert_int_equal(used, 28);
    assert_int_equal(kith_mss_status(d), KITH_MSS_DONE);
    assert_true(kith_mss_may_pass(d));
    kith_mss_free(d);
    support_heap_check(&heap);
}

static void lazy_payload_waits_while_there_is_more_than_one_id_left(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_bytes ids[] = {kith_bytes_str("/a"), kith_bytes_str("/b")};
    kith_mss *d = kith_mss_dial(env, ids, 2);
    uint8_t buf[100];
    (void)drain(d, buf, sizeof buf, 100);
    assert_false(kith_mss_may_pass(d));
    size_t used;
    assert_int_equal(kith_mss_recv(d, kith_bytes_str(HELLO "\x03na\n"), &used), KITH_OK);
    assert_false(kith_mss_may_pass(d)); /* the second proposal is not out */
    (void)drain(d, buf, sizeof buf, 100);
    assert_true(kith_mss_may_pass(d));
    kith_mss_free(d);
    support_heap_check(&heap);
}

static void a_listeners_payload_waits_for_its_echo(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_mss *l = kith_mss_listen(env, find, known);
    uint8_t buf[100];
    size_t used;
    assert_false(kith_mss_may_pass(l));
    (void)drain(l, buf, sizeof buf, 100);
    assert_false(kith_mss_may_pass(l));
    assert_int_equal(kith_mss_recv(l, kith_bytes_str(HELLO "\x07/noise\n"), &used), KITH_OK);
    assert_false(kith_mss_may_pass(l));
    (void)drain(l, buf, sizeof buf, 100);
    assert_true(kith_mss_may_pass(l));
    kith_mss_free(l);
    support_heap_check(&heap);
}

/* What a dialer (that has proposed /noise, /b) or a listener makes of `in`, in pieces of every size. */
static void expect(bool dialer, const char *in, size_t len, kith_err err, const char *why)
{
    for (size_t piece = 1; piece <= len; piece++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_bytes ids[] = {kith_bytes_str("/noise"), kith_bytes_str("/b")};
        kith_mss *m = dialer ? kith_mss_dial(env, ids, 2) : kith_mss_listen(env, find, known);
        uint8_t buf[4096];
        size_t used;
        (void)drain(m, buf, sizeof buf, 4096);
        assert_int_equal(feed(m, kith_bytes_of(in, len), piece, &used), err);
        if (err) {
            assert_int_equal(kith_mss_status(m), KITH_MSS_FAILED);
            assert_string_equal(kith_mss_why(m), why);
        } else {
            assert_int_equal(kith_mss_status(m), KITH_MSS_RUNNING);
        }
        kith_mss_free(m);
        support_heap_check(&heap);
    }
}
#define EXPECT(dialer, in, err, why) expect(dialer, in, sizeof(in) - 1, err, why)

static void malformed_messages_are_refused_with_the_reason(void **state)
{
    (void)state;
    for (int dialer = 0; dialer < 2; dialer++) {
        EXPECT(dialer, "\x13/multistream/2.0.0\n", KITH_EPROTO,
               "the peer does not speak multistream-select 1.0.0");
        EXPECT(dialer, "\x03na\n", KITH_EPROTO, "the peer does not speak multistream-select 1.0.0");
        EXPECT(dialer, "\x12/multistream/1.0.0", KITH_EPROTO,
               "the peer does not speak multistream-select 1.0.0");
        EXPECT(dialer, "\x13/multistream/1.0.0 ", KITH_EPROTO, "a message does not end with a newline");
        EXPECT(dialer, "\x7f", KITH_EPROTO, "the peer does not speak multistream-select 1.0.0");
        EXPECT(dialer, "\xff\x01", KITH_EPROTO, "the peer does not speak multistream-select 1.0.0");
        EXPECT(dialer, HELLO "\x02na\n", KITH_EPROTO, "a message does not end with a newline");
        EXPECT(dialer, HELLO "\0", KITH_EPROTO, "a message of length zero");
        EXPECT(dialer, "\0", KITH_EPROTO, "a message of length zero");
        EXPECT(dialer, "\x93\0/multistream/1.0.0\n", KITH_EPROTO, "a length prefix is not minimal");
        EXPECT(dialer, "\x80\0", KITH_EPROTO, "a length prefix is not minimal");
        EXPECT(dialer, HELLO "\x83\0na\n", KITH_EPROTO, "a length prefix is not minimal");
        EXPECT(dialer, "\x81\x08", KITH_EPROTO, "a message is longer than 1024 bytes");
        EXPECT(dialer, "\xff\x7f", KITH_EPROTO, "a message is longer than 1024 bytes");
        EXPECT(dialer, "\xff\xff", KITH_EPROTO, "a message is longer than 1024 bytes");
        EXPECT(dialer, "\x80\x80\x01", KITH_EPROTO, "a message is longer than 1024 bytes");
        EXPECT(dialer, HELLO, KITH_OK, NULL);
    }
    EXPECT(true, HELLO "\x03/b\n", KITH_EPROTO, "the answer is neither our proposal nor na");
    EXPECT(true, HELLO "\x08/noise \n", KITH_EPROTO, "the answer is neither our proposal nor na");
    EXPECT(true, HELLO "\x01\n", KITH_EPROTO, "the answer is neither our proposal nor na");
    EXPECT(false, HELLO "\x01\n", KITH_OK, NULL); /* an empty proposal is just unknown */
    EXPECT(false, HELLO HELLO, KITH_OK, NULL);    /* and so is a second hello */
}

static void an_answer_before_the_proposal_left_is_refused(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_bytes ids[] = {kith_bytes_str("/noise"), kith_bytes_str("/b")};
    kith_mss *d = kith_mss_dial(env, ids, 2);
    uint8_t buf[100];
    size_t used;
    (void)kith_mss_send(d, kith_span_of(buf, 27)); /* all but the newline */
    assert_int_equal(kith_mss_recv(d, kith_bytes_str(HELLO "\x03na\n"), &used), KITH_EPROTO);
    assert_string_equal(kith_mss_why(d), "the answer came before our proposal was sent");
    kith_mss_free(d);
    support_heap_check(&heap);
}

static void the_longest_message_is_read_and_one_byte_more_is_not(void **state)
{
    (void)state;
    for (size_t len = KITH_MSS_MSG_MAX - 1; len <= KITH_MSS_MSG_MAX + 1; len++) {
        for (size_t piece = 1; piece < 2000; piece += 1 + piece / 2) {
            support_heap heap;
            const kith_env *env = support_env(&heap);
            kith_mss *l = kith_mss_listen(env, find, known);
            uint8_t in[KITH_MSS_MSG_MAX + 40];
            kith_wr w = kith_wr_of(kith_span_of(in, sizeof in));
            kith_put_str(&w, HELLO);
            kith_put_uvarint(&w, len);
            for (size_t i = 0; i < len - 1 && i < KITH_MSS_MSG_MAX; i++)
                kith_put_u8(&w, 'x');
            kith_put_u8(&w, '\n');
            size_t used;
            uint8_t buf[100];
            kith_err e = feed(l, kith_bytes_of(in, w.len), piece, &used);
            if (len <= KITH_MSS_MSG_MAX) {
                assert_int_equal(e, KITH_OK);
                size_t n = drain(l, buf, sizeof buf, 100);
                support_assert_bytes(kith_bytes_of(buf, n), kith_bytes_str(HELLO "\x03na\n"));
            } else {
                assert_int_equal(e, KITH_EPROTO);
            }
            assert_true(heap.peak < 2048);
            kith_mss_free(l);
            support_heap_check(&heap);
        }
    }
}

static void an_id_beyond_the_cap_is_not_even_looked_up(void **state)
{
    (void)state;
    for (size_t len = KITH_MSS_ID_MAX; len <= KITH_MSS_ID_MAX + 1; len++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        char id[KITH_MSS_ID_MAX + 2];
        memset(id, 'a', sizeof id);
        id[len] = '\0';
        const char *ids[] = {id, NULL};
        kith_mss *l = kith_mss_listen(env, find, ids);
        uint8_t in[300];
        kith_wr w = kith_wr_of(kith_span_of(in, sizeof in));
        kith_put_str(&w, HELLO);
        kith_put_uvarint(&w, len + 1);
        kith_put_str(&w, id);
        kith_put_u8(&w, '\n');
        size_t used;
        assert_int_equal(feed(l, kith_wr_bytes(&w), 7, &used), KITH_OK);
        assert_int_equal(kith_mss_status(l), len <= KITH_MSS_ID_MAX ? KITH_MSS_DONE : KITH_MSS_RUNNING);
        /* the longest echo fits */
        uint8_t buf[300];
        size_t n = drain(l, buf, sizeof buf, 300);
        assert_int_equal(n, len <= KITH_MSS_ID_MAX ? w.len : 24);
        kith_mss_free(l);
        support_heap_check(&heap);
    }
}

static void a_listener_answers_64_proposals_and_no_more(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 400; piece += 1 + piece) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_mss *l = kith_mss_listen(env, find, known);
        uint8_t in[600], buf[600];
        kith_wr w = kith_wr_of(kith_span_of(in, sizeof in));
        kith_put_str(&w, HELLO);
        for (size_t i = 0; i < KITH_MSS_TRIES_MAX; i++)
            kith_put_str(&w, "\x03/x\n");
        size_t used;
        /* all at once, nothing drained in between */
        assert_int_equal(feed(l, kith_wr_bytes(&w), piece, &used), KITH_OK);
        size_t n = kith_mss_send(l, kith_span_of(buf, sizeof buf));
        assert_int_equal(n, 20 + KITH_MSS_TRIES_MAX * 4);
        assert_int_equal(feed(l, kith_bytes_str("\x03/x\n"), piece, &used), KITH_ELIMIT);
        assert_string_equal(kith_mss_why(l), "too many proposals");
        kith_mss_free(l);
        support_heap_check(&heap);
    }
}

static void a_known_id_as_the_last_allowed_try_is_taken(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_mss *l = kith_mss_listen(env, find, known);
    size_t used;
    assert_int_equal(kith_mss_recv(l, kith_bytes_str(HELLO), &used), KITH_OK);
    for (size_t i = 0; i < KITH_MSS_TRIES_MAX; i++)
        assert_int_equal(kith_mss_recv(l, kith_bytes_str("\x03/x\n"), &used), KITH_OK);
    assert_int_equal(kith_mss_recv(l, kith_bytes_str("\x07/noise\n"), &used), KITH_OK);
    assert_int_equal(kith_mss_status(l), KITH_MSS_DONE);
    kith_mss_free(l);
    support_heap_check(&heap);
}

static void no_truncation_completes_and_no_wrong_byte_is_taken_for_right(void **state)
{
    (void)state;
    static const char answer[] = HELLO "\x07/noise\n", question[] = HELLO "\x07/noise\n";
    for (int dialer = 0; dialer < 2; dialer++) {
        const char *good = dialer ? answer : question;
        size_t len = sizeof answer - 1;
        for (size_t cut = 0; cut < len; cut++) {
            support_heap heap;
            const kith_env *env = support_env(&heap);
            kith_bytes ids[] = {kith_bytes_str("/noise")};
            kith_mss *m = dialer ? kith_mss_dial(env, ids, 1) : kith_mss_listen(env, find, known);
            uint8_t buf[100];
            size_t used;
            (void)drain(m, buf, sizeof buf, 100);
            assert_int_equal(feed(m, kith_bytes_of(good, cut), 100, &used), KITH_OK);
            assert_int_equal(kith_mss_status(m), KITH_MSS_RUNNING);
            kith_mss_free(m);
            support_heap_check(&heap);
        }
        for (size_t at = 0; at < len; at++) {
            for (unsigned flip = 1; flip < 256; flip++) {
                support_heap heap;
                const kith_env *env = support_env(&heap);
                kith_bytes ids[] = {kith_bytes_str("/noise")};
                kith_mss *m = dialer ? kith_mss_dial(env, ids, 1) : kith_mss_listen(env, find, known);
                uint8_t buf[100], bad[sizeof answer];
                size_t used;
                (void)drain(m, buf, sizeof buf, 100);
                memcpy(bad, good, len);
                bad[at] = (uint8_t)(bad[at] ^ flip);
                (void)feed(m, kith_bytes_of(bad, len), 100, &used);
                assert_int_not_equal(kith_mss_status(m), KITH_MSS_DONE);
                kith_mss_free(m);
                support_heap_check(&heap);
            }
        }
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    bool completed = false;
    for (size_t fail_at = 1; !completed; fail_at++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        heap.fail_at = fail_at;
        kith_bytes ids[] = {kith_bytes_str("/tls/1.0.0"), kith_bytes_str("/yamux/1.0.0")};
        kith_mss *d = kith_mss_dial(env, ids, 2);
        kith_mss *l = d ? kith_mss_listen(env, find, known) : NULL;
        if (l) {
            talk t = {0};
            converse(d, l, 3, &t);
            completed = kith_mss_status(d) == KITH_MSS_DONE && kith_mss_status(l) == KITH_MSS_DONE;
            if (!completed)
                assert_string_equal(kith_mss_why(kith_mss_status(d) == KITH_MSS_FAILED ? d : l),
                                    "out of memory");
        }
        kith_mss_free(d);
        kith_mss_free(l);
        support_heap_check(&heap);
    }
}

static void only_a_split_message_costs_a_buffer(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_mss *l = kith_mss_listen(env, find, known);
    uint8_t buf[100];
    size_t used;
    (void)drain(l, buf, sizeof buf, 100);
    assert_int_equal(heap.blocks, 1);
    assert_int_equal(kith_mss_recv(l, kith_bytes_str(HELLO), &used), KITH_OK);
    assert_int_equal(heap.blocks, 1);
    assert_int_equal(kith_mss_recv(l, kith_bytes_str("\x07/no"), &used), KITH_OK);
    assert_int_equal(heap.blocks, 2);
    assert_int_equal(kith_mss_recv(l, kith_bytes_str("ise\n"), &used), KITH_OK);
    (void)drain(l, buf, sizeof buf, 100);
    assert_int_equal(heap.blocks, 1);
    kith_mss_free(l);
    support_heap_check(&heap);
}

/* ---- bytes ahead ---- */

/* Conversations without their text. Returns how often the dialer had something to send. */
static unsigned flights(kith_mss *d, kith_mss *l, size_t piece)
{
    static uint8_t buf[8192];
    for (unsigned count = 0;; count++) {
        size_t used, n = drain(d, buf, sizeof buf, piece);
        if (n == 0)
            return count;
        (void)feed(l, kith_bytes_of(buf, n), piece, &used);
        n = drain(l, buf, sizeof buf, piece);
        (void)feed(d, kith_bytes_of(buf, n), piece, &used);
    }
}

static void what_goes_ahead_arrives_with_the_first_flight(void **state)
{
    (void)state;
    static uint8_t ahead[KITH_MSS_AHEAD_MAX];
    for (size_t i = 0; i < sizeof ahead; i++)
        ahead[i] = (uint8_t)(i * 7 + (i >> 8));
    enum { HEAD = 1 + 1 + 12 + 1 + 7 + 1 };
    static const size_t lens[] = {1, 2, 3, 677, 678, 834, 1218, 1377, 1378, 1602, KITH_MSS_AHEAD_MAX - HEAD};
    static const size_t pieces[] = {1, 2, 13, 1000, 8192};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        for (size_t p = 0; p < 2 * sizeof pieces / sizeof *pieces; p++) {
            support_heap heap;
            const kith_env *env = support_env(&heap);
            kith_bytes ids[] = {kith_bytes_str("/yamux/1.0.0"), kith_bytes_str("/kith/a"),
                                kith_bytes_str("/noise")};
            kith_mss *d = kith_mss_dial_ahead(env, ids, 2, 2 + p % 2, kith_bytes_of(ahead, lens[i]));
            kith_mss *l = kith_mss_listen(env, find, known);
            kith_mss_take_ahead(l, HEAD + lens[i]); /* exactly: one byte less is too small */
            assert_int_equal(flights(d, l, pieces[p / 2]), 1);
            assert_int_equal(kith_mss_choice(d), 0);
            assert_int_equal(kith_mss_choice(l), 1);
            assert_true(kith_mss_ahead_taken(d));
            support_assert_bytes(kith_span_bytes(kith_mss_ahead(l)), kith_bytes_of(ahead, lens[i]));
            kith_mss_free(d);
            kith_mss_free(l);
            support_heap_check(&heap);
        }
    }
}

static void to_a_listener_that_does_not_take_it_or_has_no_room_it_is_unknown_ids(void **state)
{
    (void)state;
    static const uint8_t ahead[1218] = {1};
    for (size_t room = 0; room < 2000; room += 1 + 1 + 7 + 1 + 1217) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_bytes ids[] = {kith_bytes_str("/kith/a"), kith_bytes_str("/noise")};
        kith_mss *d = kith_mss_dial_ahead(env, ids, 1, 2, kith_bytes_of(ahead, sizeof ahead));
        kith_mss *l = kith_mss_listen(env, find, known);
        if (room)
            kith_mss_take_ahead(l, room);
        uint8_t buf[4096];
        size_t used, n = drain(d, buf, sizeof buf, 4096);
        assert_int_equal(feed(l, kith_bytes_of(buf, n), 4096, &used), KITH_OK);
        n = drain(l, buf, sizeof buf, 4096);
        support_assert_bytes(kith_bytes_of(buf, n), kith_bytes_str(HELLO "\x03na\n\x03na\n\x07/noise\n"));
        assert_int_equal(feed(d, kith_bytes_of(buf, n), 4096, &used), KITH_OK);
        assert_int_equal(kith_mss_choice(d), 1);
        assert_false(kith_mss_ahead_taken(d));
        assert_int_equal(kith_mss_ahead(l).len, 0);
        kith_mss_free(d);
        kith_mss_free(l);
        support_heap_check(&heap);
    }
}

static void the_listener_takes_the_first_that_it_knows_of_what_went_ahead(void **state)
{
    (void)state;
    for (size_t behind = 0; behind < 2; behind++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_bytes ids[] = {kith_bytes_str("/tls/1.0.0"), kith_bytes_str("/kith/a"),
                            kith_bytes_str("/yamux/1.0.0"), kith_bytes_str("/noise")};
        kith_mss *d = kith_mss_dial_ahead(env, ids, 3, 3 + behind, kith_bytes_str("for tls"));
        kith_mss *l = kith_mss_listen(env, find, known);
        kith_mss_take_ahead(l, 100);
        assert_int_equal(flights(d, l, 100), 1);
        assert_int_equal(kith_mss_choice(d), 1);
        assert_int_equal(kith_mss_choice(l), 2);
        assert_false(kith_mss_ahead_taken(d)); /* the payload is for ids[0] */
        assert_int_equal(kith_mss_ahead(l).len, 0);
        kith_mss_free(d);
        kith_mss_free(l);
        support_heap_check(&heap);
    }
}

static void where_none_of_it_is_known_the_rest_is_proposed_one_by_one(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 3; n++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_bytes ids[] = {kith_bytes_str("/tls/1.0.0"), kith_bytes_str("/tls/1.1.0"),
                            kith_bytes_str("/noise")};
        kith_mss *d = kith_mss_dial_ahead(env, ids, 1, n, kith_bytes_str("for tls"));
        kith_mss *l = kith_mss_listen(env, find, known);
        kith_mss_take_ahead(l, 100);
        assert_false(kith_mss_may_pass(d));
        assert_int_equal(flights(d, l, 100), n < 3 ? 1u : 2u);
        assert_int_equal(kith_mss_status(d), n < 3 ? KITH_MSS_FAILED : KITH_MSS_DONE);
        assert_int_equal(kith_mss_choice(d), n < 3 ? -1 : 2);
        kith_mss_free(d);
        kith_mss_free(l);
        support_heap_check(&heap);
    }
}

/* The last one left may be followed by its payload: but a listener that takes what went ahead expects nothing more of it. */
static void payload_follows_the_last_proposal_once_nothing_of_what_went_ahead_was_taken(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_bytes ids[] = {kith_bytes_str("/kith/a"), kith_bytes_str("/noise")};
    kith_mss *d = kith_mss_dial_ahead(env, ids, 1, 2, kith_bytes_str("abc"));
    uint8_t buf[400];
    size_t used;
    (void)drain(d, buf, sizeof buf, 400);
    assert_false(kith_mss_may_pass(d));
    assert_int_equal(feed(d, kith_bytes_str(HELLO), 100, &used), KITH_OK);
    assert_false(kith_mss_may_pass(d));
    assert_int_equal(feed(d, kith_bytes_str("\x03na\n"), 100, &used), KITH_OK);
    assert_true(kith_mss_may_pass(d));
    kith_mss_free(d);
    support_heap_check(&heap);
}

/* base64url of 00 06 "/noise" 00 "abc": nothing comes behind; AQ..: one proposal. */
#define ALONE "AAYvbm9pc2UAYWJj"
#define ONE_MORE "AQYvbm9pc2UAYWJj"

static void parts_in_disorder_are_unknown_ids(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* behind the hellos */
        bool taken;
    } cases[] = {
        {"\x22/kith/ahead/1/11/" ALONE "\n", "\x07/noise\n", true}, /* these are right */
        {"\x22/kith/ahead/1/11/" ONE_MORE "\n\x07/noise\n", "\x07/noise\n", true},
        {"\x22/kith/ahead/1/11/" ONE_MORE "\n\x03/x\n", "\x07/noise\n", true},
        {"\x16/kith/ahead/1/12/AAYv\n\x1e/kith/ahead/1/22/bm9pc2UAYWJj\n", "\x03na\n\x07/noise\n", true},
        {"\x22/kith/ahead/1/22/" ALONE "\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x22/kith/ahead/1/01/" ALONE "\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x22/kith/ahead/1/10/" ALONE "\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x16/kith/ahead/1/14/AAYv\n\x16/kith/ahead/1/24/bm9p\n\x16/kith/ahead/1/34/c2UA\n\x16/kith/ahead/1/44/YWJj\n\x07/noise\n",
         "\x03na\n\x03na\n\x03na\n\x03na\n\x07/noise\n", false}, /* more than there can be */
        {"\x22/kith/ahead/1/11-" ALONE "\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x22/kith/ahead/2/11/" ALONE "\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x16/kith/ahead/1/11/YW=j\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x12/kith/ahead/1/11/\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x13/kith/ahead/1/11/Y\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x0e/kith/ahead/1\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x16/kith/ahead/1/12/AAYv\n\x16/kith/ahead/1/12/AAYv\n\x1e/kith/ahead/1/22/bm9pc2UAYWJj\n\x07/noise\n",
         "\x03na\n\x03na\n\x03na\n\x07/noise\n", false},
        {"\x16/kith/ahead/1/12/AAYv\n\x03/x\n\x1e/kith/ahead/1/22/bm9pc2UAYWJj\n\x07/noise\n",
         "\x03na\n\x03na\n\x03na\n\x07/noise\n", false},
        {"\x16/kith/ahead/1/13/AAYv\n\x1e/kith/ahead/1/22/bm9pc2UAYWJj\n\x07/noise\n",
         "\x03na\n\x03na\n\x07/noise\n", false},
        {"\x16/kith/ahead/1/12/AAYv\n\x1e/kith/ahead/1/23/bm9pc2UAYWJj\n\x07/noise\n",
         "\x03na\n\x03na\n\x07/noise\n", false},
        {"\x16/kith/ahead/1/12/AAYv\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x22/kith/ahead/1/24/" ALONE "\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        /* what they hold: two behind; no list; an id that is cut, or that nobody knows */
        {"\x22/kith/ahead/1/11/AgYvbm9pc2UAYWJj\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x1a/kith/ahead/1/11/AABhYmNk\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x1a/kith/ahead/1/11/AAYvbm9p\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x1e/kith/ahead/1/11/AAYvbm9pc2VB\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
        {"\x1a/kith/ahead/1/11/AAIveABh\n\x07/noise\n", "\x03na\n\x07/noise\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_mss *l = kith_mss_listen(env, find, known);
        kith_mss_take_ahead(l, 100);
        uint8_t buf[200];
        size_t used, n = drain(l, buf, sizeof buf, 200);
        assert_int_equal(feed(l, kith_bytes_str(HELLO), 200, &used), KITH_OK);
        assert_int_equal(feed(l, kith_bytes_str(cases[i].in), 200, &used), KITH_OK);
        n = drain(l, buf, sizeof buf, 200);
        support_assert_bytes(kith_bytes_of(buf, n), kith_bytes_str(cases[i].out));
        assert_int_equal(kith_mss_status(l), KITH_MSS_DONE);
        assert_int_equal(kith_mss_ahead(l).len, cases[i].taken ? 3 : 0);
        assert_true(heap.blocks <= (cases[i].taken ? 2 : 1)); /* nothing is kept of what was not taken */
        kith_mss_free(l);
        support_heap_check(&heap);
    }
}

static void parts_count_as_proposals(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_mss *l = kith_mss_listen(env, find, known);
    kith_mss_take_ahead(l, 100);
    uint8_t buf[400];
    size_t used;
    assert_int_equal(feed(l, kith_bytes_str(HELLO "\x16/kith/ahead/1/11/YWJj\n"), 100, &used), KITH_OK);
    for (int i = 1; i < KITH_MSS_TRIES_MAX; i++)
        assert_int_equal(feed(l, kith_bytes_str("\x03/x\n"), 100, &used), KITH_OK);
    assert_int_equal(feed(l, kith_bytes_str("\x03/x\n"), 100, &used), KITH_ELIMIT);
    assert_true(drain(l, buf, sizeof buf, 400) < sizeof buf); /* all of the answers fit, unread */
    kith_mss_free(l);
    support_heap_check(&heap);
}

static void an_answer_to_a_part_is_na_or_one_of_the_ids_to_the_last(void **state)
{
    (void)state;
    static const struct {
        const char *answers;
        kith_err err;
        int choice;
    } cases[] = {
        {"\x03na\n\x08/kith/a\n", KITH_OK, 0},        {"\x03na\n\x08/kith/b\n", KITH_OK, 1},
        {"\x03na\n\x03na\n\x07/noise\n", KITH_OK, 2}, {"\x08/kith/a\n\x03na\n", KITH_EPROTO, -1},
        {"\x03na\n\x07/noise\n", KITH_EPROTO, -1},    {"\x03na\n\x03na\n\x08/kith/a\n", KITH_EPROTO, -1},
        {"\x03na\n\x08/kith/c\n", KITH_EPROTO, -1},   {"\x07/noise\n", KITH_EPROTO, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        static const uint8_t ahead[1000];
        kith_bytes ids[] = {kith_bytes_str("/kith/a"), kith_bytes_str("/kith/b"), kith_bytes_str("/noise"),
                            kith_bytes_str("/tls/1.0.0")};
        kith_mss *d = kith_mss_dial_ahead(env, ids, 2, 4, kith_bytes_of(ahead, sizeof ahead));
        static uint8_t buf[4096];
        size_t used;
        (void)drain(d, buf, sizeof buf, 4096);
        assert_int_equal(feed(d, kith_bytes_str(HELLO), 100, &used), KITH_OK);
        assert_int_equal(feed(d, kith_bytes_str(cases[i].answers), 100, &used), cases[i].err);
        assert_int_equal(kith_mss_status(d), cases[i].err ? KITH_MSS_FAILED : KITH_MSS_DONE);
        assert_int_equal(kith_mss_choice(d), cases[i].choice);
        assert_int_equal(kith_mss_ahead_taken(d), cases[i].choice == 0);
        kith_mss_free(d);
        support_heap_check(&heap);
    }
}

static void without_memory_for_what_comes_ahead_the_negotiation_fails(void **state)
{
    (void)state;
    bool whole = false;
    for (size_t fail_at = 1; !whole; fail_at++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        heap.fail_at = fail_at;
        static const uint8_t ahead[1218];
        kith_bytes ids[] = {kith_bytes_str("/kith/a"), kith_bytes_str("/noise")};
        kith_mss *d = kith_mss_dial_ahead(env, ids, 1, 2, kith_bytes_of(ahead, sizeof ahead));
        kith_mss *l = d ? kith_mss_listen(env, find, known) : NULL;
        if (l) {
            kith_mss_take_ahead(l, KITH_MSS_AHEAD_MAX);
            (void)flights(d, l, 8192);
            whole = kith_mss_status(d) == KITH_MSS_DONE && kith_mss_status(l) == KITH_MSS_DONE;
            if (!whole)
                assert_string_equal(kith_mss_why(kith_mss_status(d) == KITH_MSS_FAILED ? d : l),
                                    "out of memory");
            else
                assert_int_equal(kith_mss_ahead(l).len, 1218); /* and never the next best id instead */
        }
        kith_mss_free(d);
        kith_mss_free(l);
        support_heap_check(&heap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_and_first_proposal_leave_in_one_write),
        cmocka_unit_test(both_agree_whatever_the_pieces),
        cmocka_unit_test(a_dialer_that_nobody_understands_gives_up_after_its_last_id),
        cmocka_unit_test(the_error_of_a_refusal_is_unsupported),
        cmocka_unit_test(ls_is_answered_na),
        cmocka_unit_test(a_listener_greets_before_it_hears_anything),
        cmocka_unit_test(what_follows_the_last_message_is_left_to_the_next_layer),
        cmocka_unit_test(lazy_payload_may_follow_the_only_proposal_at_once),
        cmocka_unit_test(lazy_payload_waits_while_there_is_more_than_one_id_left),
        cmocka_unit_test(a_listeners_payload_waits_for_its_echo),
        cmocka_unit_test(malformed_messages_are_refused_with_the_reason),
        cmocka_unit_test(an_answer_before_the_proposal_left_is_refused),
        cmocka_unit_test(the_longest_message_is_read_and_one_byte_more_is_not),
        cmocka_unit_test(an_id_beyond_the_cap_is_not_even_looked_up),
        cmocka_unit_test(a_listener_answers_64_proposals_and_no_more),
        cmocka_unit_test(a_known_id_as_the_last_allowed_try_is_taken),
        cmocka_unit_test(no_truncation_completes_and_no_wrong_byte_is_taken_for_right),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(only_a_split_message_costs_a_buffer),
        cmocka_unit_test(what_goes_ahead_arrives_with_the_first_flight),
        cmocka_unit_test(to_a_listener_that_does_not_take_it_or_has_no_room_it_is_unknown_ids),
        cmocka_unit_test(the_listener_takes_the_first_that_it_knows_of_what_went_ahead),
        cmocka_unit_test(where_none_of_it_is_known_the_rest_is_proposed_one_by_one),
        cmocka_unit_test(payload_follows_the_last_proposal_once_nothing_of_what_went_ahead_was_taken),
        cmocka_unit_test(parts_in_disorder_are_unknown_ids),
        cmocka_unit_test(parts_count_as_proposals),
        cmocka_unit_test(an_answer_to_a_part_is_na_or_one_of_the_ids_to_the_last),
        cmocka_unit_test(without_memory_for_what_comes_ahead_the_negotiation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
