/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two yamux machines against each other: random schedules against a model, fair turns, and windows on simulated
 * links in virtual time. */
#include "proto/yamux.h"

#include <stdio.h>

#include "support.h"

/* ---- the model: every byte that went in comes out, in order, once ---- */

#define STREAMS 100
#define PIPE (300 * 1024)

/* One direction of one stream. */
typedef struct half {
    uint64_t sent, got; /* by the application at either end */
    uint64_t left;      /* the application still wants to send */
    size_t unread;      /* at the receiver, not used up */
    bool fin, eof;
} half;

typedef struct model {
    uint32_t id;
    half dir[2];               /* [0]: written by the dialer */
    kith_yamux_stream *end[2]; /* NULL: closed, or not there yet */
    bool there[2], closed[2];
    bool reset;
} model;

typedef struct pipe {
    uint8_t b[PIPE];
    size_t off, len; /* delivered, written */
} pipe;

typedef struct world {
    support_heap heap;
    uint64_t seed;
    kith_time now;
    kith_yamux *y[2]; /* [0] dials */
    pipe wire[2];     /* [i]: written by y[i] */
    model m[STREAMS];
    size_t n;
    uint64_t moved;
    bool calm; /* no more resets, everybody reads at once */
} world;

static uint8_t pattern(const model *m, int dir, uint64_t at)
{
    return (uint8_t)(m->id * 31u + (unsigned)dir * 101u + at * 7u + (at >> 8));
}

static model *model_of(world *w, uint32_t id)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->m[i].id == id)
            return &w->m[i];
    }
    fail_msg("nobody opened #%u", id);
    return NULL;
}

static void use(world *w, int me, model *m, size_t n)
{
    m->dir[!me].unread -= n;
    kith_yamux_used(w->y[me], w->now, m->end[me], n);
}

static void take_events(world *w, int me)
{
    kith_yamux_event ev;
    size_t wrong = 0;
    while (kith_yamux_next(w->y[me], &ev)) {
        model *m = ev.stream ? kith_yamux_user(ev.stream) : NULL;
        half *h = m ? &m->dir[!me] : NULL;
        switch (ev.kind) {
        case KITH_YAMUX_OPENED:
            m = model_of(w, kith_yamux_stream_id(ev.stream));
            assert_false(m->there[me]);
            m->there[me] = true;
            m->end[me] = ev.stream;
            kith_yamux_set_user(ev.stream, m);
            m->dir[me].left = support_below(&w->seed, 100000);
            break;
        case KITH_YAMUX_DATA:
            assert_false(h->eof);
            for (size_t i = 0; i < ev.data.len; i++)
                wrong += ev.data.p[i] != pattern(m, !me, h->got + i);
            assert_int_equal(wrong, 0);
            h->got += ev.data.len;
            assert_true(h->got <= h->sent);
            w->moved += ev.data.len;
            h->unread += ev.data.len;
            if (w->calm || support_below(&w->seed, 3) == 0)
                use(w, me, m, h->unread);
            break;
        case KITH_YAMUX_EOF:
            assert_false(h->eof);
            assert_true(h->fin);
            assert_int_equal(h->got, h->sent);
            h->eof = true;
            break;
        case KITH_YAMUX_RESET:
            assert_true(m->reset);
            assert_int_equal(ev.code, m->id % 7);
            break;
        case KITH_YAMUX_CLOSED:
            assert_false(m->closed[me]);
            m->closed[me] = true;
            assert_int_equal(ev.err, m->reset && ev.err ? KITH_ERESET : KITH_OK);
            if (!ev.err)
                assert_true(h->eof && m->dir[me].fin);
            m->end[me] = NULL;
            break;
        case KITH_YAMUX_RTT:
            break;
        case KITH_YAMUX_GOAWAY:
            break;
        case KITH_YAMUX_FAILED:
            fail_msg("%s", ev.why);
        }
    }
}

static void write_out(world *w, int me)
{
    pipe *p = &w->wire[me];
    kith_yamux *y = w->y[me];
    if (p->off > PIPE / 2 || p->off == p->len) {
        memmove(p->b, p->b + p->off, p->len - p->off);
        p->len -= p->off;
        p->off = 0;
    }
    for (;;) {
        size_t room = sizeof p->b - p->len;
        if (support_below(&w->seed, 2) && !w->calm)
            room = room < 100 ? room : support_below(&w->seed, room);
        size_t n = kith_yamux_send(y, w->now, kith_span_of(p->b + p->len, room));
        if (n == 0)
            break;
        p->len += n;
    }
    kith_yamux_turn t;
    while (kith_yamux_turn_next(y, w->now, sizeof p->b - p->len, &t)) {
        model *m = kith_yamux_user(t.stream);
        half *h = &m->dir[me];
        uint8_t *out = p->b + p->len + KITH_YAMUX_HDR_LEN;
        size_t len = h->left < t.max ? (size_t)h->left : t.max;
        if (!w->calm && len > 0 && support_below(&w->seed, 2))
            len = support_below(&w->seed, len + 1);
        for (size_t i = 0; i < len; i++)
            out[i] = pattern(m, me, h->sent + i);
        bool fin = len == h->left && (w->calm || support_below(&w->seed, 20) == 0);
        h->sent += len;
        h->left -= len;
        h->fin |= fin;
        size_t n = kith_yamux_turn_end(y, w->now, &t, len, fin, p->b + p->len);
        assert_true(n == 0 || n >= KITH_YAMUX_HDR_LEN + len);
        p->len += n;
        take_events(w, me);
        if (!w->calm && support_below(&w->seed, 8) == 0)
            break;
    }
}

static void deliver(world *w, int to, size_t n)
{
    pipe *p = &w->wire[!to];
    n = n < p->len - p->off ? n : p->len - p->off;
    if (n == 0)
        return;
    kith_span c = support_copy(kith_bytes_of(p->b + p->off, n));
    p->off += n;
    kith_yamux_recv(w->y[to], w->now, kith_span_bytes(c));
    take_events(w, to);
    free(c.p);
}

static void step(world *w)
{
    int me = (int)support_below(&w->seed, 2);
    w->now += support_below(&w->seed, KITH_MS(2));
    model *m = w->n ? &w->m[support_below(&w->seed, w->n)] : NULL;
    switch (support_below(&w->seed, 12)) {
    case 0:
        if (w->n < STREAMS) {
            kith_yamux_stream *s;
            kith_err e = kith_yamux_open(w->y[me], w->now, &s);
            assert_true(e == KITH_OK || e == KITH_ELIMIT);
            if (!e) {
                m = &w->m[w->n++];
                *m = (model){.id = kith_yamux_stream_id(s)};
                m->end[me] = s;
                m->there[me] = true;
                m->dir[me].left = support_below(&w->seed, support_below(&w->seed, 5) ? 1000 : 1000000);
                kith_yamux_set_user(s, m);
                if (support_below(&w->seed, 4))
                    kith_yamux_want(w->y[me], s);
            }
        }
        break;
    case 1:
    case 2:
        if (m && m->end[me] && !m->dir[me].fin) {
            m->dir[me].left += support_below(&w->seed, 20000);
            kith_yamux_want(w->y[me], m->end[me]);
        }
        break;
    case 3:
        if (m && m->end[me] && m->dir[!me].unread > 0)
            use(w, me, m, 1 + support_below(&w->seed, m->dir[!me].unread));
        break;
    case 4:
        if (m && m->end[me] && support_below(&w->seed, 10) == 0) {
            m->reset = true;
            kith_yamux_reset(w->y[me], m->end[me], m->id % 7);
        }
        break;
    case 5:
        kith_yamux_ping(w->y[me], w->now);
        break;
    case 6:
    case 7:
    case 8:
        deliver(w, me, 1 + support_below(&w->seed, support_below(&w->seed, 2) ? 40 : 100000));
        break;
    default:
        write_out(w, me);
    }
    kith_yamux_check(w->y[me]);
    take_events(w, me);
}

static void run_model(uint64_t seed, const kith_yamux_config *cfg, uint64_t *digest)
{
    world *w = calloc(1, sizeof *w);
    const kith_env *env = support_env(&w->heap);
    w->seed = seed;
    for (int i = 0; i < 2; i++) {
        kith_yamux_config c = *cfg;
        c.env = env;
        c.dialer = i == 0;
        w->y[i] = kith_yamux_new(&c, 0);
    }
    for (int i = 0; i < 6000; i++)
        step(w);
    /* Calm down: everything that was begun ends. */
    w->calm = true;
    for (int round = 0; round < 200; round++) {
        w->now += KITH_MS(1);
        for (int me = 0; me < 2; me++) {
            for (size_t i = 0; i < w->n; i++) {
                model *m = &w->m[i];
                if (!m->end[me])
                    continue;
                if (m->dir[!me].unread > 0)
                    use(w, me, m, m->dir[!me].unread);
                if (m->end[me] && !m->dir[me].fin)
                    kith_yamux_want(w->y[me], m->end[me]);
            }
            take_events(w, me);
            write_out(w, me);
            deliver(w, !me, SIZE_MAX);
            kith_yamux_check(w->y[me]);
            kith_yamux_check(w->y[!me]);
        }
    }
    *digest = w->moved;
    for (size_t i = 0; i < w->n; i++) {
        model *m = &w->m[i];
        *digest = *digest * 31 + m->dir[0].got * 7 + m->dir[1].got;
        for (int me = 0; me < 2; me++) {
            if (m->there[me])
                assert_true(m->closed[me]);
            if (!m->reset) {
                assert_true(m->there[me] && m->dir[me].fin && m->dir[me].eof);
                assert_int_equal(m->dir[me].got, m->dir[me].sent);
            }
        }
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kith_yamux_stream_count(w->y[i]), 0);
        kith_yamux_free(w->y[i]);
    }
    support_heap_check(&w->heap);
    free(w);
}

static void every_byte_arrives_once_and_in_order_whatever_the_schedule(void **state)
{
    (void)state;
    const char *from = getenv("KITH_SEED");
    uint64_t first = from ? strtoull(from, NULL, 10) : 1, n = from ? 1 : 40;
    for (uint64_t seed = first; seed < first + n; seed++) {
        kith_yamux_config c;
        kith_yamux_config_default(&c, NULL, true);
        if (seed % 3 == 0)
            c.frame_max = 100;
        if (seed % 4 == 0)
            c.budget_max = 300000;
        if (seed % 5 == 0)
            c.streams_in_max = 40; /* streams are refused... */
        if (seed % 5 == 0)
            c.streams_out_max = 20; /* ...but never more are open */
        uint64_t one, two;
        if (from)
            print_message("seed %llu\n", (unsigned long long)seed);
        run_model(seed, &c, &one);
        if (seed % 10 == 0) {
            run_model(seed, &c, &two);
            assert_int_equal(one, two); /* the same calls, the same bytes */
        }
    }
}

/* ---- fairness ---- */

typedef struct flow {
    kith_yamux_stream *s;
    size_t chunk;  /* bytes it writes at a time, at most */
    uint64_t left; /* bytes it has */
    uint64_t sent;
    bool again;  /* asks for a turn anew after every frame */
    bool silent; /* had a turn and nothing to say */
} flow;

typedef struct sender {
    support_heap heap;
    kith_yamux *y;
    flow f[64];
    size_t n;
    uint64_t frames;
} sender;

/* A stream that the peer knows, and for which it has granted plenty. */
static flow *flow_new(sender *x, size_t chunk, uint64_t left)
{
    flow *f = &x->f[x->n++];
    *f = (flow){.chunk = chunk, .left = left};
    assert_int_equal(kith_yamux_open(x->y, 0, &f->s), KITH_OK);
    kith_yamux_set_user(f->s, f);
    kith_yamux_want(x->y, f->s);
    uint8_t out[12], b[12] = {0, 1};
    kith_yamux_turn t = {0};
    while (t.stream != f->s) {
        assert_true(kith_yamux_turn_next(x->y, 0, 13, &t));
        size_t n = kith_yamux_turn_end(x->y, 0, &t, 0, false, out); /* its SYN, alone */
        assert_int_equal(n, t.stream == f->s ? 12 : 0);
    }
    kith_store_be32(b + 4, kith_yamux_stream_id(f->s));
    kith_store_be32(b + 8, 0x70000000);
    kith_yamux_recv(x->y, 0, kith_bytes_of(b, 12));
    kith_yamux_event ev;
    assert_false(kith_yamux_next(x->y, &ev));
    return f;
}

static sender *sender_new(uint32_t frame_max)
{
    sender *x = calloc(1, sizeof *x);
    kith_yamux_config c;
    kith_yamux_config_default(&c, support_env(&x->heap), true);
    c.frame_max = frame_max;
    c.ping_every = KITH_NEVER;
    x->y = kith_yamux_new(&c, 0);
    return x;
}

static void sender_free(sender *x)
{
    kith_yamux_free(x->y);
    support_heap_check(&x->heap);
    free(x);
}

/* Sends one Data frame and says whose it was; NULL: nobody wants. */
static flow *one_frame(sender *x)
{
    static uint8_t out[70000];
    kith_yamux_turn t;
    while (kith_yamux_turn_next(x->y, 0, sizeof out, &t)) {
        flow *f = kith_yamux_user(t.stream);
        size_t len = f->chunk < t.max ? f->chunk : t.max;
        len = f->left < len ? (size_t)f->left : len;
        f->left -= len;
        f->sent += len;
        size_t n = kith_yamux_turn_end(x->y, 0, &t, len, false, out);
        kith_yamux_check(x->y);
        f->silent = len == 0;
        if (f->again)
            kith_yamux_want(x->y, f->s);
        if (len > 0) {
            assert_int_equal(n, len + 12);
            x->frames++;
            return f;
        }
    }
    return NULL;
}

static void small_streams_pass_a_bulk_stream_at_once(void **state)
{
    (void)state;
    sender *x = sender_new(65507);
    flow *bulk = flow_new(x, SIZE_MAX, UINT64_MAX);
    for (int i = 0; i < 20; i++)
        (void)flow_new(x, 32, 0);
    kith_yamux_want(x->y, bulk->s);
    assert_ptr_equal(one_frame(x), bulk);
    uint64_t seed = 7, since[64] = {0}, worst = 0, pings = 0;
    for (int i = 0; i < 20000; i++) {
        /* now and then a small one gets a ping's worth to send */
        flow *f = &x->f[1 + support_below(&seed, 20)];
        if (f->left == 0 && support_below(&seed, 3) == 0) {
            f->left = 32;
            since[f - x->f] = x->frames;
            kith_yamux_want(x->y, f->s);
        }
        flow *who = one_frame(x);
        assert_non_null(who);
        if (who != bulk) {
            uint64_t waited = x->frames - 1 - since[who - x->f];
            worst = waited > worst ? waited : worst;
            pings++;
        }
    }
    /* never behind more than the other small ones and one frame of the bulk stream each time round */
    assert_true(pings > 4000);
    assert_true(worst <= 21);
    assert_true(bulk->sent > 10000ull * 65507);
    sender_free(x);
}

static void a_small_stream_waits_for_at_most_one_bulk_frame(void **state)
{
    (void)state;
    sender *x = sender_new(65507);
    for (int i = 0; i < 10; i++)
        (void)flow_new(x, SIZE_MAX, UINT64_MAX);
    flow *small = flow_new(x, 32, 0);
    for (int i = 0; i < 10; i++)
        kith_yamux_want(x->y, x->f[i].s);
    for (int i = 0; i < 1000; i++) {
        for (int k = 0; k < 25; k++) /* the long round has passed */
            (void)one_frame(x);
        small->left = 32;
        kith_yamux_want(x->y, small->s);
        assert_ptr_equal(one_frame(x), small);
    }
    sender_free(x);
}

static void a_crowd_of_small_streams_does_not_starve_the_bulk_stream(void **state)
{
    (void)state;
    sender *x = sender_new(16384);
    (void)flow_new(x, SIZE_MAX, UINT64_MAX);
    /* They pretend to be new after every frame. */
    for (int i = 0; i < 20; i++) {
        flow *f = flow_new(x, 1000, UINT64_MAX);
        f->again = true;
    }
    for (size_t i = 0; i < x->n; i++)
        kith_yamux_want(x->y, x->f[i].s);
    uint64_t all = 0;
    for (int i = 0; i < 50000; i++)
        all += one_frame(x) ? 1 : 0;
    assert_int_equal(all, 50000);
    uint64_t total = 0;
    for (size_t i = 0; i < x->n; i++)
        total += x->f[i].sent;
    /* a twenty-first of the bytes each, give or take the first round */
    for (size_t i = 0; i < x->n; i++) {
        assert_true(x->f[i].sent * 21 > total * 90 / 100);
        assert_true(x->f[i].sent * 21 < total * 110 / 100);
    }
    sender_free(x);
}

static void one_byte_messages_over_and_over_do_not_starve_the_bulk_stream(void **state)
{
    (void)state;
    sender *x = sender_new(16384);
    flow *bulk = flow_new(x, SIZE_MAX, UINT64_MAX);
    for (int i = 0; i < 20; i++)
        (void)flow_new(x, 1, 0);
    kith_yamux_want(x->y, bulk->s);
    for (size_t k = 1; k < x->n; k++)
        x->f[k].silent = true;
    uint64_t bulk_frames = 0;
    for (int i = 0; i < 50000; i++) {
        /* each falls silent after its byte, and at once has one more */
        for (size_t k = 1; k < x->n; k++) {
            flow *f = &x->f[k];
            if (f->silent) {
                f->silent = false;
                f->left = 1;
                kith_yamux_want(x->y, f->s);
            }
        }
        bulk_frames += one_frame(x) == bulk;
    }
    /* twice in a round at most: as new ones, and in their place in the long list */
    assert_true(bulk_frames >= 50000 / 41);
    sender_free(x);
}

static void bytes_are_shared_evenly_whatever_the_frame_sizes(void **state)
{
    (void)state;
    sender *x = sender_new(65507);
    static const size_t chunks[] = {100, 1000, 16384, 65507, SIZE_MAX};
    for (size_t i = 0; i < 5; i++)
        (void)flow_new(x, chunks[i], UINT64_MAX);
    for (size_t i = 0; i < 5; i++)
        kith_yamux_want(x->y, x->f[i].s);
    for (int i = 0; i < 200000; i++)
        (void)one_frame(x);
    /* headers count: 100-byte frames pay 12 % for theirs */
    for (size_t i = 1; i < 5; i++) {
        assert_true(x->f[i].sent > x->f[3].sent * 98 / 100);
        assert_true(x->f[i].sent < x->f[3].sent * 102 / 100);
    }
    assert_true(x->f[0].sent > x->f[3].sent * 86 / 100);
    sender_free(x);
}

/* ---- windows on links ---- */

typedef struct parcel {
    kith_time at;
    size_t len;
    uint8_t *p;
} parcel;

/* One direction: a rate and a delay. */
typedef struct link {
    parcel q[8192];
    size_t first, n;
    kith_time free_at;
} link;

typedef struct path {
    support_heap heap;
    const kith_env *env;
    kith_time now, delay; /* one way */
    double ns_per_byte;   /* data direction */
    kith_yamux *from, *to;
    link there, back;
    uint64_t got[64]; /* per stream, in order of opening */
    uint64_t granted[64], credit_max;
    uint64_t total;
    double app_rate; /* bytes per ns that a reader takes; 0: at once */
    uint64_t held[64];
    kith_yamux_stream *reader[64];
} path;

static void link_put(path *p, link *l, const uint8_t *b, size_t len, double ns_per_byte)
{
    if (len == 0)
        return;
    kith_time start = l->free_at > p->now ? l->free_at : p->now;
    l->free_at = start + (kith_time)(ns_per_byte * (double)len);
    assert_true(l->n < sizeof l->q / sizeof *l->q);
    parcel *q = &l->q[(l->first + l->n++) % (sizeof l->q / sizeof *l->q)];
    *q = (parcel){.at = l->free_at + p->delay, .len = len, .p = malloc(len)};
    memcpy(q->p, b, len);
}

static size_t index_of(const kith_yamux_stream *s)
{
    return (kith_yamux_stream_id(s) - 1) / 2;
}

static void sender_turn(path *p)
{
    static uint8_t out[70000];
    kith_yamux_event ev;
    while (kith_yamux_next(p->from, &ev))
        assert_true(ev.kind == KITH_YAMUX_RTT);
    size_t n;
    while ((n = kith_yamux_send(p->from, p->now, kith_span_of(out, sizeof out))) > 0)
        link_put(p, &p->there, out, n, p->ns_per_byte);
    /* the socket takes 128 KiB beyond what is on its way */
    kith_yamux_turn t;
    while (p->there.free_at < p->now + (kith_time)(p->ns_per_byte * 131072) + 1 &&
           kith_yamux_turn_next(p->from, p->now, sizeof out, &t)) {
        n = kith_yamux_turn_end(p->from, p->now, &t, t.max, false, out);
        link_put(p, &p->there, out, n, p->ns_per_byte);
    }
}

static void receiver_turn(path *p)
{
    static uint8_t out[4096];
    kith_yamux_event ev;
    while (kith_yamux_next(p->to, &ev)) {
        if (ev.kind == KITH_YAMUX_OPENED) {
            p->granted[index_of(ev.stream)] = KITH_YAMUX_WINDOW_INIT;
            p->reader[index_of(ev.stream)] = ev.stream;
        } else if (ev.kind == KITH_YAMUX_DATA) {
            size_t i = index_of(ev.stream);
            p->got[i] += ev.data.len;
            p->total += ev.data.len;
            assert_true(p->got[i] <= p->granted[i]);
            if (p->app_rate == 0)
                kith_yamux_used(p->to, p->now, ev.stream, ev.data.len);
            else
                p->held[i] += ev.data.len;
        } else {
            assert_true(ev.kind == KITH_YAMUX_RTT);
        }
    }
    size_t n;
    while ((n = kith_yamux_send(p->to, p->now, kith_span_of(out, sizeof out))) > 0) {
        for (size_t k = 0; k < n; k += 12) {
            if (out[k + 1] == 1) {
                size_t i = (kith_load_be32(out + k + 4) - 1) / 2;
                p->granted[i] += kith_load_be32(out + k + 8);
                uint64_t credit = p->granted[i] - p->got[i];
                p->credit_max = credit > p->credit_max ? credit : p->credit_max;
            }
        }
        link_put(p, &p->back, out, n, 0.1);
    }
    kith_yamux_check(p->to);
}

static bool arrive(path *p, link *l, kith_yamux *y)
{
    if (l->n == 0 || l->q[l->first].at > p->now)
        return false;
    parcel *q = &l->q[l->first];
    l->first = (l->first + 1) % (sizeof l->q / sizeof *l->q);
    l->n--;
    kith_yamux_recv(y, p->now, kith_bytes_of(q->p, q->len));
    if (y == p->to)
        receiver_turn(p);
    else
        sender_turn(p);
    free(q->p);
    return true;
}

static path *path_new(kith_time rtt, double bytes_per_s, uint32_t window_max, uint32_t budget_max)
{
    path *p = calloc(1, sizeof *p);
    const kith_env *env = p->env = support_env(&p->heap);
    p->delay = rtt / 2;
    p->ns_per_byte = 1e9 / bytes_per_s;
    for (int i = 0; i < 2; i++) {
        kith_yamux_config c;
        kith_yamux_config_default(&c, env, i == 0);
        c.window_max = window_max;
        c.budget_max = budget_max;
        *(i == 0 ? &p->from : &p->to) = kith_yamux_new(&c, 0);
    }
    receiver_turn(p);
    return p;
}

static void path_open(path *p)
{
    kith_yamux_stream *s;
    assert_int_equal(kith_yamux_open(p->from, p->now, &s), KITH_OK);
    kith_yamux_want(p->from, s);
}

/* Runs for a while; steps of 100 us at most, so that the reader's own pace counts. */
static void path_run(path *p, kith_time for_ns)
{
    kith_time end = p->now + for_ns;
    while (p->now < end) {
        sender_turn(p);
        while (arrive(p, &p->there, p->to) || arrive(p, &p->back, p->from))
            ;
        for (size_t i = 0; i < 64 && p->app_rate > 0; i++) {
            uint64_t n = (uint64_t)(p->app_rate * 1e5);
            n = n < p->held[i] ? n : p->held[i];
            if (n > 0)
                kith_yamux_used(p->to, p->now, p->reader[i], n);
            p->held[i] -= n;
        }
        receiver_turn(p);
        p->now += KITH_US(100);
        if (kith_yamux_deadline(p->from) <= p->now)
            kith_yamux_tick(p->from, p->now);
        if (kith_yamux_deadline(p->to) <= p->now)
            kith_yamux_tick(p->to, p->now);
    }
}

static void path_free(path *p)
{
    while (p->there.n > 0 || p->back.n > 0) {
        p->now += KITH_SEC(1);
        while (p->there.n > 0) {
            free(p->there.q[p->there.first].p);
            p->there.first = (p->there.first + 1) % (sizeof p->there.q / sizeof *p->there.q);
            p->there.n--;
        }
        while (p->back.n > 0) {
            free(p->back.q[p->back.first].p);
            p->back.first = (p->back.first + 1) % (sizeof p->back.q / sizeof *p->back.q);
            p->back.n--;
        }
    }
    kith_yamux_free(p->from);
    kith_yamux_free(p->to);
    support_heap_check(&p->heap);
    free(p);
}

static void one_stream_fills_the_path_within_a_few_round_trips(void **state)
{
    (void)state;
    static const struct {
        kith_time rtt;
        double rate; /* bytes/s */
    } paths[] = {
        {KITH_MS(50), 1e6},  {KITH_MS(50), 12.5e6}, {KITH_MS(50), 125e6}, {KITH_MS(50), 600e6},
        {KITH_MS(5), 125e6}, {KITH_MS(5), 1e9},     {KITH_MS(200), 2e6},  {KITH_MS(200), 60e6},
        {KITH_US(200), 1e9}, {KITH_MS(100), 20e6},
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        path *p = path_new(paths[i].rtt, paths[i].rate, 64u << 20, 64u << 20);
        path_open(p);
        kith_time rtt = paths[i].rtt > KITH_MS(1) ? paths[i].rtt : KITH_MS(1);
        path_run(p, 4 * rtt);
        uint64_t before = p->total;
        path_run(p, 20 * rtt);
        double share = (double)(p->total - before) / (paths[i].rate * 20e-9 * (double)rtt);
        double bdp = paths[i].rate * 1e-9 * (double)rtt;
        if (getenv("KITH_VERBOSE"))
            print_message("%6.1f ms %7.1f MB/s: %5.1f %% after 4 RTT, credit %.0f KiB, BDP %.0f KiB\n",
                          (double)paths[i].rtt / 1e6, paths[i].rate / 1e6, share * 100,
                          (double)p->credit_max / 1024, bdp / 1024);
        assert_true(share >= 0.9);
        /* and not much more memory is promised than that needs */
        assert_true((double)p->credit_max <=
                    4 * (bdp + paths[i].rate * 1e-3 + 196608) + KITH_YAMUX_WINDOW_INIT);
        path_free(p);
    }
}

/* As in a node that listens: its machine is made when the handshake ends, and the peer's first window comes with that. */
static void a_round_trip_known_beforehand_makes_the_first_update_fit(void **state)
{
    (void)state;
    static const double rates[] = {1.5e6, 12.5e6, 125e6};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        uint64_t total[2], after[2];
        for (int known = 0; known < 2; known++) {
            path *p = path_new(KITH_MS(50), rates[i], 64u << 20, 64u << 20);
            path_open(p);
            while (p->now < p->delay) {
                sender_turn(p);
                p->now += KITH_US(100);
            }
            kith_yamux_config c;
            kith_yamux_config_default(&c, p->env, false);
            c.rtt = known ? KITH_MS(50) : 0;
            kith_yamux_free(p->to);
            p->to = kith_yamux_new(&c, p->now);
            path_run(p, KITH_MS(100)); /* the first bytes, their update, and what that made the sender send */
            total[known] = p->total;
            path_run(p, KITH_MS(50));
            after[known] = p->total - total[known];
            path_free(p);
        }
        if (getenv("KITH_VERBOSE"))
            print_message(
                "%6.1f MB/s: KiB in 2 round trips, then in one: %llu, %llu; not known: %llu, %llu\n",
                rates[i] / 1e6, (unsigned long long)total[1] / 1024, (unsigned long long)after[1] / 1024,
                (unsigned long long)total[0] / 1024, (unsigned long long)after[0] / 1024);
        assert_true((double)(total[1] + after[1]) >
                    0.85 * 0.1 * rates[i]); /* two round trips full of three */
    }
}

static void go_yamux_136_the_window_does_not_stall_below_the_path(void **state)
{
    (void)state;
    /* go stays at 512 KiB where the path holds 2.5 MB: 50 ms, 50 MB/s. */
    path *p = path_new(KITH_MS(50), 50e6, 16u << 20, 64u << 20);
    path_open(p);
    path_run(p, KITH_MS(200));
    uint64_t before = p->total;
    path_run(p, KITH_SEC(2));
    assert_true((double)(p->total - before) > 0.95 * 100e6);
    path_free(p);
}

static void a_window_never_grows_beyond_its_cap(void **state)
{
    (void)state;
    path *p = path_new(KITH_MS(50), 600e6, 1u << 20, 64u << 20);
    path_open(p);
    path_run(p, KITH_SEC(2));
    assert_int_equal(p->credit_max, 1u << 20);
    path_free(p);
}

static void a_slow_reader_keeps_the_window_small(void **state)
{
    (void)state;
    path *p = path_new(KITH_MS(50), 125e6, 64u << 20, 64u << 20);
    path_open(p);
    p->app_rate = 2e6 * 1e-9; /* 2 MB/s */
    path_run(p, KITH_SEC(2));
    assert_true(p->credit_max <= KITH_YAMUX_WINDOW_INIT);
    assert_true((double)p->total > 0.95 * 4e6);
    /* it wakes up, and so does the window */
    p->app_rate = 0;
    kith_yamux_used(p->to, p->now, p->reader[0], p->held[0]);
    path_run(p, KITH_MS(200));
    uint64_t before = p->total;
    path_run(p, KITH_SEC(1));
    assert_true((double)(p->total - before) > 0.9 * 125e6);
    path_free(p);
}

static void a_window_shrinks_when_the_path_gets_slow(void **state)
{
    (void)state;
    path *p = path_new(KITH_MS(50), 125e6, 64u << 20, 64u << 20);
    path_open(p);
    path_run(p, KITH_SEC(1));
    assert_true(p->credit_max > 12u << 20);
    p->ns_per_byte = 1e9 / 2e6;
    path_run(p, KITH_SEC(30)); /* most of that works off what was under way */
    p->credit_max = 0;
    path_run(p, KITH_SEC(5));
    assert_in_range(p->credit_max, KITH_YAMUX_WINDOW_INIT, 3u << 20);
    path_free(p);
}

static void streams_share_the_budget_and_latecomers_get_theirs(void **state)
{
    (void)state;
    path *p = path_new(KITH_MS(50), 125e6, 64u << 20, 16u << 20);
    path_open(p);
    path_run(p, KITH_SEC(1));
    uint64_t first = p->got[0];
    assert_true((double)first > 100e6); /* alone it has the whole budget, and fills the path */
    for (int i = 0; i < 7; i++)
        path_open(p);
    path_run(p, KITH_SEC(3)); /* the first one shrinks, the others grow */
    uint64_t before[8], sum = 0;
    memcpy(before, p->got, sizeof before);
    path_run(p, KITH_SEC(4));
    for (size_t i = 0; i < 8; i++)
        sum += p->got[i] - before[i];
    for (size_t i = 0; i < 8; i++) {
        double share = (double)(p->got[i] - before[i]) / (double)sum * 8;
        if (getenv("KITH_VERBOSE"))
            print_message("stream %zu: %.2f of a fair share\n", i, share);
        assert_true(share > 0.5 && share < 2);
    }
    assert_true((double)sum > 0.9 * 125e6 * 4);
    path_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_arrives_once_and_in_order_whatever_the_schedule),
        cmocka_unit_test(small_streams_pass_a_bulk_stream_at_once),
        cmocka_unit_test(a_small_stream_waits_for_at_most_one_bulk_frame),
        cmocka_unit_test(a_crowd_of_small_streams_does_not_starve_the_bulk_stream),
        cmocka_unit_test(one_byte_messages_over_and_over_do_not_starve_the_bulk_stream),
        cmocka_unit_test(bytes_are_shared_evenly_whatever_the_frame_sizes),
        cmocka_unit_test(one_stream_fills_the_path_within_a_few_round_trips),
        cmocka_unit_test(a_round_trip_known_beforehand_makes_the_first_update_fit),
        cmocka_unit_test(go_yamux_136_the_window_does_not_stall_below_the_path),
        cmocka_unit_test(a_window_never_grows_beyond_its_cap),
        cmocka_unit_test(a_slow_reader_keeps_the_window_small),
        cmocka_unit_test(a_window_shrinks_when_the_path_gets_slow),
        cmocka_unit_test(streams_share_the_budget_and_latecomers_get_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
