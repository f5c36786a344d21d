/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Questions to peers: whatever the peer does, each has one end, in time, and no more are under way than may be. */
#include <stdio.h>

#include "mesh/answers.h"
#include "mesh/request.h"
#include "sim/sim_world.h"
#include "support.h"

#define PROTOCOL "/kith-test/ask/1"

/* "e": echoed with an 'E'; "s": no answer; "l": one that is too long; all else is refused. */
static kith_err answer(void *ctx, kith_time now, const kith_peer_id *from, kith_bytes q, kith_wr *w)
{
    (void)ctx, (void)now, (void)from;
    if (q.len == 0)
        return KITH_EPROTO;
    if (q.p[0] == 'e') {
        kith_put_u8(w, 'E');
        kith_put_bytes(w, q);
    } else if (q.p[0] == 'l') {
        for (unsigned i = 0; i < 101; i++)
            kith_put_u8(w, 'l');
    }
    return q.p[0] == 'e' || q.p[0] == 's' || q.p[0] == 'l' ? KITH_OK : KITH_EPROTO;
}

typedef struct end {
    uint64_t tag;
    kith_err err;
    char answer[32];
    bool ours, conn;
    kith_time at;
} end;

typedef struct world {
    sim *s;
    sim_host *a, *b;
    kith_requests *requests; /* of a */
    kith_answers *answers;   /* of b */
    kith_part part;
    end ends[64];
    size_t count;
    size_t takes; /* ends; no more are asked for */
} world;

static bool part_act(void *self, kith_time now)
{
    world *w = self;
    kith_request_end e;
    bool any = false;
    while (w->count < w->takes && kith_requests_next(w->requests, &e)) {
        end *out = &w->ends[w->count++];
        *out = (end){.tag = e.tag, .err = e.err, .ours = e.ours, .conn = e.conn != NULL, .at = now};
        if (e.answer.len)
            memcpy(out->answer, e.answer.p, e.answer.len < 31 ? e.answer.len : 31);
        any = true;
    }
    return kith_requests_act(w->requests, now) || any;
}

static void part_event(void *self, kith_time now, const kith_node_event *ev)
{
    kith_requests_event(((world *)self)->requests, now, ev);
}

static kith_time part_deadline(const void *self)
{
    return kith_requests_deadline(((const world *)self)->requests);
}

static void part_tick(void *self, kith_time now)
{
    kith_requests_tick(((world *)self)->requests, now);
}

static const kith_part_ops part_ops = {part_event, part_act, part_deadline, part_tick};

static void free_requests(void *self)
{
    kith_requests_free(((world *)self)->requests);
}

static void free_answers(void *self)
{
    kith_answers_free(((world *)self)->answers);
}

static const kith_part_ops no_ops = {0};

static void init(world *w)
{
    *w = (world){.s = sim_new(4), .takes = 64};
    w->a = sim_add(w->s, NULL);
    w->b = sim_add(w->s, NULL);
    kith_requests_config cfg = {.env = *sim_env(w->a),
                                .node = sim_node(w->a),
                                .protocol = kith_bytes_str(PROTOCOL),
                                .answer_max = 100,
                                .active_max = 3,
                                .most = 6,
                                .timeout = KITH_SEC(10)};
    w->requests = kith_requests_new(&cfg);
    kith_answers_config ac = {.env = *sim_env(w->b),
                              .stream_env = kith_node_env(sim_node(w->b)),
                              .question_max = 100,
                              .answer_max = 200,
                              .streams_max = 50,
                              .answer = answer};
    w->answers = kith_answers_new(&ac);
    assert_true(w->requests && w->answers);
    kith_protocol row = {.id = kith_bytes_str(PROTOCOL),
                         .ops = &kith_answers_ops,
                         .accept = kith_answers_accept,
                         .ctx = w->answers};
    assert_int_equal(kith_node_serve(sim_node(w->b), 0, &row), KITH_OK);
    w->part = (kith_part){.ops = &part_ops, .self = w};
    sim_attach(w->a, &w->part, free_requests);
    static kith_part other;
    other = (kith_part){.ops = &no_ops, .self = w};
    sim_attach(w->b, &other, free_answers);
}

static kith_err ask_for(world *w, void *owner, sim_host *to, const char *text, bool answered, uint64_t tag)
{
    kith_peer_id id;
    kith_addrs addrs = {0};
    assert_true(kith_maddr_peer(sim_addr(to), &id));
    kith_addrs_pack(&addrs, sim_addr(to), 1);
    return kith_requests_start(w->requests, &id, kith_addrs_bytes(&addrs), kith_bytes_str(text), answered,
                               owner, tag);
}

static kith_err ask(world *w, sim_host *to, const char *text, bool answered, uint64_t tag)
{
    return ask_for(w, w, to, text, answered, tag);
}

static void run(world *w, unsigned seconds)
{
    sim_drive(w->a);
    sim_run(w->s, sim_now(w->s) + KITH_SEC(seconds));
}

static void a_question_is_answered_whether_connected_or_not(void **state)
{
    (void)state;
    world w;
    init(&w);
    assert_int_equal(ask(&w, w.b, "eone", true, 1), KITH_OK);
    run(&w, 2);
    assert_int_equal(ask(&w, w.b, "etwo", true, 2), KITH_OK);
    assert_int_equal(ask(&w, w.b, "s", false, 3), KITH_OK);
    run(&w, 2);
    assert_int_equal(ask(&w, w.b, "x", false, 4), KITH_OK); /* reset, but said */
    run(&w, 2);
    assert_int_equal(w.count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_true(w.ends[i].err == KITH_OK && w.ends[i].conn && !w.ends[i].ours);
    assert_string_equal(w.ends[0].answer, "Eeone");
    size_t two = w.ends[1].tag == 2 ? 1 : 2;
    assert_string_equal(w.ends[two].answer, "Eetwo");
    assert_int_equal(kith_requests_count(w.requests), 0);
    run(&w, 30);
    kith_conn_facts f;
    kith_conn_facts_get(kith_node_conn_find(sim_node(w.a), kith_node_id(sim_node(w.b))), &f);
    assert_int_equal(f.streams, 0); /* nothing is left open */
    sim_free(w.s);
}

static void whatever_goes_wrong_is_told_once_and_in_time(void **state)
{
    (void)state;
    world w;
    init(&w);
    kith_time start = sim_now(w.s);
    sim_host *plain = sim_add(w.s, NULL), *dead = sim_add(w.s, NULL);
    sim_vanish(dead);
    assert_int_equal(ask(&w, plain, "e", true, 1),
                     KITH_OK); /* does not speak it, and takes the question for a proposal */
    assert_int_equal(ask(&w, w.b, "s", true, 2), KITH_OK);  /* says nothing */
    assert_int_equal(ask(&w, w.b, "l", true, 3), KITH_OK);  /* says too much */
    assert_int_equal(ask(&w, w.b, "x", true, 4), KITH_OK);  /* refuses */
    assert_int_equal(ask(&w, w.b, "e", false, 5), KITH_OK); /* answers what has no answer */
    assert_int_equal(ask(&w, dead, "e", true, 6), KITH_OK);
    run(&w, 40);
    assert_int_equal(w.count, 6);
    const kith_err want[] = {KITH_ERESET, KITH_ETIMEOUT, KITH_ELIMIT,
                             KITH_ERESET, KITH_EPROTO,   KITH_ETIMEOUT};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(w.ends[i].err, want[w.ends[i].tag - 1]);
        assert_false(w.ends[i].ours);
        assert_true(w.ends[i].at <= start + KITH_SEC(25));
    }
    sim_free(w.s);
}

static void caps_hold_and_those_beyond_wait(void **state)
{
    (void)state;
    world w;
    init(&w);
    assert_non_null(sim_connect(w.s, w.a, w.b));
    for (uint64_t i = 0; i < 7; i++)
        assert_int_equal(ask(&w, w.b, "s", true, i), i < 6 ? KITH_OK : KITH_ELIMIT);
    kith_time start = sim_now(w.s);
    run(&w, 30);
    assert_int_equal(w.count, 6);
    for (size_t i = 0; i < 6; i++) /* three at a time, ten seconds each */
        assert_in_range(w.ends[i].at, start + KITH_SEC(i < 3 ? 10 : 20), start + KITH_SEC(i < 3 ? 11 : 21));
    assert_int_equal(ask(&w, w.b, "e", true, 9), KITH_OK);
    run(&w, 1);
    assert_int_equal(w.count, 7);
    sim_free(w.s);
}

static void what_is_given_up_is_not_told(void **state)
{
    (void)state;
    for (unsigned when = 0; when < 60;
         when += 5) { /* ms: before it begins, while dialling, asking, and after its end */
        world w;
        init(&w);
        assert_int_equal(ask(&w, w.b, "e", true, 1), KITH_OK);
        if (when > 0) {
            sim_drive(w.a);
            sim_run(w.s, sim_now(w.s) + KITH_MS(when));
        }
        size_t told = w.count;
        kith_requests_cancel(w.requests, sim_now(w.s), &w);
        assert_int_equal(kith_requests_count(w.requests), 0);
        run(&w, 20);
        assert_int_equal(w.count, told);
        assert_int_equal(ask(&w, w.b, "e", true, 2), KITH_OK);
        run(&w, 2);
        assert_int_equal(w.ends[told].tag, 2);
        assert_int_equal(w.ends[told].err, KITH_OK);
        sim_free(w.s);
    }
}

/* An owner that ends leaves what is under way to another; what waits is given up. */
static void what_is_left_goes_on_for_another(void **state)
{
    (void)state;
    for (unsigned most = 0; most <= 4; most++) {
        world w;
        init(&w);
        int other = 0;
        for (uint64_t i = 0; i < 6; i++) /* three at a time */
            assert_int_equal(ask_for(&w, &other, w.b, "e", true, i), KITH_OK);
        sim_drive(w.a);
        assert_int_equal(kith_requests_leave(w.requests, sim_now(w.s), &other, &w, most),
                         most < 3 ? most : 3);
        run(&w, 40);
        assert_int_equal(w.count, most < 3 ? most : 3);
        for (size_t i = 0; i < w.count; i++) {
            assert_int_equal(w.ends[i].err, KITH_OK);
            assert_int_equal(w.ends[i].tag, i);
        }
        assert_int_equal(kith_requests_count(w.requests), 0);
        sim_free(w.s);
    }
}

/* ---- a peer that never ends its side ---- */

#define DRIPS "\003abc\003def\001g"

/* Says a byte a second: an answer, and two more that nobody asked for. */
typedef struct drip {
    const kith_env *env;
    size_t said, may;
    kith_time at;
    bool gone;
} drip;

static kith_err drip_recv(void *m, kith_time now, kith_bytes in)
{
    drip *d = m;
    (void)in;
    if (d->at == KITH_NEVER)
        d->at = now + KITH_SEC(1);
    return KITH_OK;
}

static void drip_eof(void *m, kith_time now)
{
    (void)m, (void)now;
}

static size_t drip_send(void *m, kith_time now, kith_span out)
{
    drip *d = m;
    (void)now;
    size_t n = d->may - d->said < out.len ? d->may - d->said : out.len;
    memcpy(out.p, &DRIPS[d->said], n);
    d->said += n;
    return n;
}

static kith_stream_want drip_want(const void *m)
{
    (void)m;
    return KITH_STREAM_OPEN;
}

static kith_time drip_deadline(const void *m)
{
    return ((const drip *)m)->at;
}

static void drip_tick(void *m, kith_time now)
{
    drip *d = m;
    if (now < d->at)
        return;
    d->may++;
    d->at = d->may < sizeof DRIPS - 1 ? now + KITH_SEC(1) : KITH_NEVER;
}

static void drip_gone(void *m, kith_time now, kith_err why)
{
    (void)now, (void)why;
    ((drip *)m)->gone = true;
}

static void drip_free(void *m)
{
    (void)m; /* the test's */
}

static const kith_stream_ops drip_ops = {.recv = drip_recv,
                                         .eof = drip_eof,
                                         .send = drip_send,
                                         .want = drip_want,
                                         .deadline = drip_deadline,
                                         .tick = drip_tick,
                                         .gone = drip_gone,
                                         .free = drip_free};

static void *drip_accept(void *ctx, const kith_stream_info *info)
{
    (void)info;
    return ctx;
}

static size_t streams_to(world *w, sim_host *h)
{
    kith_conn_facts f;
    kith_conn_facts_get(kith_node_conn_find(sim_node(w->a), kith_node_id(sim_node(h))), &f);
    return f.streams;
}

static void a_stream_that_its_peer_leaves_open_ends_ten_seconds_after_the_answer(void **state)
{
    (void)state;
    world w;
    init(&w);
    sim_host *h = sim_add(w.s, NULL);
    drip d = {.at = KITH_NEVER};
    kith_protocol row = {.id = kith_bytes_str(PROTOCOL), .ops = &drip_ops, .accept = drip_accept, .ctx = &d};
    assert_int_equal(kith_node_serve(sim_node(h), 0, &row), KITH_OK);
    assert_non_null(sim_connect(w.s, w.a, h));
    run(&w, 2); /* identify is through */
    assert_int_equal(streams_to(&w, h), 0);
    kith_time start = sim_now(w.s);
    assert_int_equal(ask(&w, h, "e", true, 1), KITH_OK);
    run(&w, 5);
    assert_int_equal(w.count, 1); /* as soon as it was whole */
    assert_int_equal(w.ends[0].err, KITH_OK);
    assert_string_equal(w.ends[0].answer, "abc");
    assert_in_range(w.ends[0].at, start + KITH_SEC(4), start + KITH_SEC(5));
    run(&w, 8);
    assert_int_equal(d.said, sizeof DRIPS - 1); /* what came behind it did no harm */
    assert_true(streams_to(&w, h) == 1 && !d.gone);
    run(&w, 3);
    assert_true(streams_to(&w, h) == 0 && d.gone);
    assert_int_equal(w.count, 1);
    sim_free(w.s);
}

/* Waiting, under way, ended and told: what each holds comes back, as the simulator checks. */
static void questions_that_are_open_at_the_end_cost_nothing(void **state)
{
    (void)state;
    world w;
    init(&w);
    w.takes = 1;
    for (uint64_t i = 0; i < 6; i++)
        assert_int_equal(ask(&w, w.b, i < 2 ? "e" : "s", true, i), KITH_OK);
    run(&w, 2);
    assert_int_equal(w.count, 1);
    assert_int_equal(kith_requests_count(w.requests), 5); /* one that has ended, three under way, one waits */
    sim_free(w.s);
}

static void without_memory_it_ends_all_the_same(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) { /* connected or not; one fails or all after it too */
        bool through = false;
        for (int64_t nth = 0; !through; nth++) {
            world w;
            init(&w);
            if (kind & 1)
                assert_non_null(sim_connect(w.s, w.a, w.b));
            sim_fail_alloc(w.a, nth, kind & 2);
            kith_err e = ask(&w, w.b, "e", true, 1);
            assert_true(e == KITH_OK || e == KITH_ENOMEM);
            run(&w, 15);
            through = !sim_alloc_failed(w.a);
            sim_fail_alloc(w.a, -1, false);
            run(&w, 15);
            assert_int_equal(w.count, e ? 0 : 1);
            assert_true(!through || (w.count == 1 && w.ends[0].err == KITH_OK));
            assert_int_equal(kith_requests_count(w.requests), 0);
            assert_int_equal(ask(&w, w.b, "e", true, 2), KITH_OK); /* and then it works */
            run(&w, 15);
            assert_int_equal(w.ends[w.count - 1].tag, 2);
            assert_int_equal(w.ends[w.count - 1].err, KITH_OK);
            assert_true(through || nth < 500);
            sim_free(w.s);
        }
    }
    support_heap heap;
    kith_requests *r = NULL;
    for (size_t nth = 1; !r; nth++) {
        kith_requests_config cfg = {.env = *support_env(&heap),
                                    .protocol = kith_bytes_str(PROTOCOL),
                                    .answer_max = 100,
                                    .active_max = 3,
                                    .most = 6,
                                    .timeout = KITH_SEC(10)};
        heap.fail_at = nth;
        r = kith_requests_new(&cfg);
        assert_true(r || heap.calls >= nth);
        kith_requests_free(r);
        support_heap_check(&heap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_answered_whether_connected_or_not),
        cmocka_unit_test(whatever_goes_wrong_is_told_once_and_in_time),
        cmocka_unit_test(caps_hold_and_those_beyond_wait),
        cmocka_unit_test(what_is_given_up_is_not_told),
        cmocka_unit_test(what_is_left_goes_on_for_another),
        cmocka_unit_test(a_stream_that_its_peer_leaves_open_ends_ten_seconds_after_the_answer),
        cmocka_unit_test(questions_that_are_open_at_the_end_cost_nothing),
        cmocka_unit_test(without_memory_it_ends_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
