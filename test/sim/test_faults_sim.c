/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A peer that stops, hangs up, resets, flips a bit or turns to rubbish at every single byte of what it says from the first
 * multistream-select message to the end of identify, as dialer and as listener. Whatever happens, the node under test says why, has ended
 * it by a deadline, holds not a byte more than before, and has served its other peer meanwhile.
 *
 * Three nodes for all of the thousands of conversations: what leaks in one would be seen in the next. With the toy cryptography (the
 * program is built twice) every byte has its turn; with the real one every byte of the negotiation, and of the rest one of several. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "node/node.h"
#include "proto/ping.h"
#include "sim_echo.h"
#include "sim_hostile.h"
#include "wire/pb.h"

extern const char kith_toy_crypto[]
    __attribute__((weak)); /* NULL unless this program is the one with the toy */

typedef enum fault { STOP, HANG_UP, RESET, FLIP, RUBBISH } fault;
static const char *const fault_names[] = {"stop", "hang up", "reset", "flip", "rubbish"};

enum { VICTIM, HONEST, FAULTY, NODES };

/* One connection between two nodes. end[0] dialled. */
typedef struct wire {
    int node[2];
    kith_conn *end[2];
    bool faulty;
    fault fault;
    size_t at, sent; /* the byte of the faulty node that is hit, and how many it has said */
    bool hit;        /* nothing true comes from it any more */
    unsigned bit;
} wire;

/* What the node under test was told about the faulty connection. */
typedef struct told {
    unsigned connected, over, identified, identify_failed;
    kith_err err;
    const char *why;
} told;

typedef struct heap {
    size_t held, calls;
    size_t fail_at; /* the call from 1 that fails, and all after it; 0: none */
    bool once;      /* those after it do not */
} heap;

typedef struct lab {
    kith_time now;
    uint64_t rng;
    heap heap; /* of the node under test */
    kith_env env[NODES];
    kith_signer *signer[NODES];
    kith_pq_signer *pq[NODES];
    kith_node *node[NODES];
    kith_maddr addr[NODES];
    wire calm, wild;
    bool dialing_wild; /* the next DIAL event is for it */
    told told;
    kith_stream *stream; /* the honest one's */
    kith_ping *ping;
    unsigned pongs;
    uint64_t echoed, record_seq; /* of the victim's record, as the honest one was told */
    /* connections of the node under test that have nobody at the other end */
    bool alone; /* the next DIAL events are for such */
    kith_conn *dial[4];
    unsigned dials, dial_answers, refused, closed, events;
    sim_hostile *inner; /* takes the place of the faulty node */
} lab;

static void *counting(void *ctx, void *p, size_t old, size_t size)
{
    heap *h = ctx;
    if (h && size > old) {
        h->calls++;
        if (h->fail_at && (h->once ? h->calls == h->fail_at : h->calls >= h->fail_at))
            return NULL;
    }
    if (h)
        h->held = h->held - old + size;
    return kith_heap(NULL, p, old, size);
}

static void dice(void *ctx, kith_span out)
{
    uint64_t *x = ctx;
    for (size_t i = 0; i < out.len; i++) {
        *x = *x * 6364136223846793005u + 1442695040888963407u;
        out.p[i] = (uint8_t)(*x >> 56);
    }
}

static int side_of(const wire *w, int node)
{
    return w->node[0] == node ? 0 : 1;
}

static wire nowhere; /* to nobody */

static wire *wire_of(lab *l, int node, const kith_conn *c)
{
    if (l->wild.end[side_of(&l->wild, node)] == c)
        return &l->wild;
    return l->calm.end[side_of(&l->calm, node)] == c ? &l->calm : &nowhere;
}

static void look(lab *l, int i)
{
    kith_node_event ev;
    kith_ping_event p;
    kith_peer_record rec;
    while (kith_node_next(l->node[i], l->now, &ev)) {
        told *t = &l->told;
        wire *w = wire_of(l, i, ev.conn);
        bool here = i == VICTIM && w == &l->wild, lonely = w == &nowhere && ev.conn;
        l->events += i == VICTIM;
        switch (ev.kind) {
        case KITH_NODE_DIAL:
            if (l->alone) {
                assert_true(l->dials < 4);
                l->dial[l->dials++] = ev.conn;
                break;
            }
            w = l->dialing_wild ? &l->wild : &l->calm;
            w->end[0] = ev.conn;
            break;
        case KITH_NODE_KEY: /* qkd is off */
            break;
        case KITH_NODE_WORK:
            kith_node_work(ev.conn);
            kith_node_worked(l->node[i], l->now, ev.conn);
            break;
        case KITH_NODE_CLOSE:
            if (lonely)
                l->closed++;
            else
                w->end[side_of(w, i)] = NULL;
            break;
        case KITH_NODE_CONNECTED:
            if (here)
                t->connected++;
            break;
        case KITH_NODE_IDENTIFIED:
            if (here)
                *(ev.info ? &t->identified : &t->identify_failed) += 1;
            break;
        case KITH_NODE_DISCONNECTED:
        case KITH_NODE_REFUSED:
        case KITH_NODE_DIALED: /* of a connection that then lives, or the news that there is none */
            if (ev.kind == KITH_NODE_REFUSED && lonely) {
                assert_int_equal(ev.err, KITH_ETIMEOUT);
                l->refused++;
            }
            if (ev.kind == KITH_NODE_DIALED && l->alone) {
                l->dial_answers++;
                break;
            }
            if (ev.kind == KITH_NODE_DIALED ? i == VICTIM && !ev.conn : here) {
                t->over++;
                t->err = ev.err;
                t->why = ev.why;
            }
            break;
        case KITH_NODE_STREAM_READY:
            while (l->ping && kith_ping_next(l->ping, &p))
                l->pongs += p.kind == KITH_PING_RTT;
            break;
        case KITH_NODE_STREAM_GONE:
            if (ev.stream == l->stream) {
                l->stream = NULL;
                l->ping = NULL;
            }
            break;
        case KITH_NODE_RESOLVE: /* all names are the faulty node's */
            kith_node_resolved(l->node[i], l->now, ev.resolve_id, &l->addr[FAULTY], 1, KITH_OK);
            break;
        case KITH_NODE_UPDATED:
            if (i == HONEST && ev.info && kith_identify_record(ev.info, &rec) == KITH_OK)
                l->record_seq = rec.seq;
            break;
        case KITH_NODE_STREAM_OPENED:
            break;
        }
    }
    kith_node_check(l->node[i]);
}

/* Bytes of the faulty node on their way; what becomes of them. */
static void mangle(lab *l, wire *w, uint8_t *b, size_t *n, size_t size)
{
    size_t first = w->sent;
    w->sent += *n;
    if (w->hit)
        *n = 0;
    if (w->hit || w->at < first || w->at >= w->sent)
        return;
    size_t k = w->at - first;
    w->hit = w->fault != FLIP;
    switch (w->fault) {
    case STOP:
    case HANG_UP:
    case RESET:
        *n = k;
        break;
    case FLIP:
        b[k] ^= (uint8_t)(1u << w->bit);
        break;
    case RUBBISH:
        *n = k + 4096 < size ? k + 4096 : size;
        dice(&l->rng, kith_span_of(b + k, *n - k));
        break;
    }
}

static void end_at(lab *l, wire *w, int side, kith_err err)
{
    kith_conn *c = w->end[side];
    if (!c)
        return;
    if (err == KITH_ECLOSED)
        kith_node_eof(l->node[w->node[side]], l->now, c);
    else
        kith_node_link_failed(l->node[w->node[side]], l->now, c, err, "connection reset by the peer");
    look(l, w->node[side]);
}

static void push_inner(lab *l);

/* One buffer from a node to the other end of its wire. */
static bool move(lab *l, int i)
{
    static uint8_t buf[80 * 1024];
    kith_conn *c = kith_node_writer(l->node[i]);
    if (!c)
        return false;
    wire *w = wire_of(l, i, c);
    int to = 1 - side_of(w, i);
    size_t n = kith_node_send(l->node[i], l->now, c, kith_span_of(buf, 70 * 1024));
    look(l, i);
    bool before = w->hit;
    if (w->faulty && i == FAULTY && n > 0)
        mangle(l, w, buf, &n, sizeof buf);
    if (n > 0 && w == &l->wild && i == VICTIM && l->inner) {
        sim_hostile_recv(l->inner, kith_bytes_of(buf, n));
        push_inner(l);
    } else if (n > 0 && w->end[to]) {
        kith_node_recv(l->node[w->node[to]], l->now, w->end[to], kith_span_of(buf, n));
        look(l, w->node[to]);
    }
    if (w->hit && !before && w->fault == HANG_UP)
        end_at(l, w, to, KITH_ECLOSED);
    if (w->hit && !before && w->fault == RESET)
        end_at(l, w, to, KITH_ERESET);
    return true;
}

static void settle(lab *l)
{
    for (bool any = true; any;) {
        any = false;
        for (int i = 0; i < NODES; i++)
            any |= move(l, i);
        wire *w = &l->wild;
        for (int side = 0; side < 2;
             side++) { /* a socket whose peer is gone hears of it, unless that one has fallen silent */
            bool silent = w->hit && w->node[1 - side] == FAULTY;
            if (w->end[side] && !w->end[1 - side] && !silent) {
                end_at(l, w, side, KITH_ECLOSED);
                any = true;
            }
        }
    }
}

/* Lets time pass until the condition holds; false: it never did. */
static bool wait_until(lab *l, kith_time until, bool (*done)(const lab *l))
{
    while (!done(l)) {
        kith_time at = KITH_NEVER;
        for (int i = 0; i < NODES; i++)
            at = kith_time_min(at, kith_node_deadline(l->node[i]));
        if (at > until)
            return false;
        l->now = at > l->now ? at : l->now;
        for (int i = 0; i < NODES; i++) {
            kith_node_tick(l->node[i], l->now);
            look(l, i);
        }
        settle(l);
    }
    return true;
}

static bool wild_is_over(const lab *l)
{
    return !l->wild.end[0] && !l->wild.end[1];
}

static bool never(const lab *l)
{
    (void)l;
    return false;
}

static bool victim_is_rid_of_it(const lab *l)
{
    return !l->wild.end[side_of(&l->wild, VICTIM)];
}

static void join(lab *l, wire *w)
{
    uint64_t id;
    const char *why;
    int from = w->node[0], to = w->node[1];
    l->dialing_wild = w == &l->wild;
    assert_int_equal(kith_node_dial(l->node[from], l->now, NULL, &l->addr[to], 1, &id), KITH_OK);
    look(l, from);
    assert_non_null(w->end[0]);
    assert_int_equal(kith_node_accept(l->node[to], l->now, &l->addr[from], &l->addr[to], &w->end[1], &why),
                     KITH_OK);
    kith_node_connected(l->node[from], l->now, w->end[0], NULL, NULL);
    settle(l);
}

static void honest_ping(lab *l)
{
    static const kith_bytes id[] = {{(const uint8_t *)KITH_PING_ID, sizeof KITH_PING_ID - 1}};
    assert_non_null(l->calm.end[0]);
    if (!l->stream) {
        l->ping = kith_ping_new(&l->env[HONEST]);
        assert_int_equal(kith_node_open(l->node[HONEST], l->now, l->calm.end[0], id, 1, &kith_ping_ops,
                                        l->ping, NULL, &l->stream),
                         KITH_OK);
    }
    unsigned before = l->pongs;
    assert_int_equal(kith_ping_start(l->ping, l->now), KITH_OK);
    kith_node_wake(l->node[HONEST], l->now, l->stream);
    settle(l);
    assert_int_equal(l->pongs, before + 1);
}

typedef struct kind {
    const char *name;
    kith_pq_policy pq;
    bool early, victim_dials;
} kind;

static void start(lab *l, const kind *k)
{
    *l = (lab){.now = KITH_SEC(1), .rng = 1};
    assert_int_equal(kith_crypto_init(), KITH_OK);
    for (int i = 0; i < NODES; i++) {
        uint8_t seed[KITH_ED25519_SEED_LEN] = {(uint8_t)(i + 1)}, ip[4] = {10, 0, 0, (uint8_t)(i + 1)};
        kith_node_config c;
        kith_node_config_default(&c);
        l->env[i] = (kith_env){.alloc = {.ctx = i == VICTIM ? &l->heap : NULL, .fn = counting},
                               .rand = {.ctx = &l->rng, .fn = dice}};
        c.env = l->env[i];
        c.signer = l->signer[i] = kith_signer_new(seed);
        if (kith_toy_crypto) { /* thousands of conversations: with signatures of milliseconds that would be hours */
            assert_int_equal(
                kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, sizeof seed), &l->pq[i]), KITH_OK);
            c.pq_signer = l->pq[i];
            c.limits.sign_ms = c.limits.sign_ms_per_ip = UINT32_MAX;
        }
        c.pq = k->pq;
        c.no_early_muxer = !k->early;
        c.limits.rate_per_ip = c.limits.rate_per_subnet =
            UINT32_MAX; /* thousands of conversations at no time */
        l->node[i] = kith_node_new(&c, l->now);
        assert_non_null(l->node[i]);
        kith_node_set_clock(l->node[i], l->now, 1800000000); /* so that sequence numbers keep their length */
        kith_maddr_from_tcp(kith_bytes_of(ip, 4), 4001, &l->addr[i]);
        assert_int_equal(kith_node_set_addrs(l->node[i], l->now, &l->addr[i], 1), KITH_OK);
    }
    l->calm = (wire){.node = {HONEST, VICTIM}};
    join(l, &l->calm);
    honest_ping(l);
}

static void finish(lab *l)
{
    sim_hostile_free(l->inner);
    for (int i = 0; i < NODES; i++)
        kith_node_free(l->node[i]);
    assert_int_equal(l->heap.held, 0);
    for (int i = 0; i < NODES; i++)
        kith_signer_free(l->signer[i]), kith_pq_signer_free(l->pq[i]);
}

/* Starts a conversation in which byte `at` of the faulty node's is hit. */
static void converse(lab *l, const kind *k, fault f, size_t at)
{
    l->told = (told){0};
    l->wild = (wire){.node = {k->victim_dials ? VICTIM : FAULTY, k->victim_dials ? FAULTY : VICTIM},
                     .faulty = true,
                     .fault = f,
                     .at = at,
                     .bit = (unsigned)(at * 5 % 8)};
    join(l, &l->wild);
}

/* Ends what is left of it, on both sides. */
static void part(lab *l)
{
    end_at(l, &l->wild, side_of(&l->wild, FAULTY), KITH_ERESET);
    end_at(l, &l->wild, side_of(&l->wild, VICTIM), KITH_ERESET);
    settle(l);
    assert_true(wild_is_over(l));
}

/* How many bytes it says when nothing is wrong. */
static size_t measure(lab *l, const kind *k)
{
    converse(l, k, STOP, SIZE_MAX);
    assert_int_equal(l->told.connected, 1);
    assert_int_equal(l->told.identified, 1);
    size_t n = l->wild.sent;
    part(l);
    return n;
}

/* A sentence, fit to be shown: words, and none of the peer's bytes. */
static bool is_clear(const char *why)
{
    size_t n = why ? strlen(why) : 0, words = n > 0;
    for (size_t i = 0; i < n; i++) {
        if (why[i] < ' ' || why[i] > '~')
            return false;
        words += why[i] == ' ';
    }
    return words >= 2 && n < KITH_REASON_MAX;
}

/* Whether what was told fits what happened. */
static bool told_well(const told *t, fault f)
{
    if (t->over != 1 || !is_clear(t->why))
        return false;
    switch (f) {
    case STOP:
        return t->err == KITH_ETIMEOUT;
    case HANG_UP:
        return t->err == KITH_ECLOSED;
    case RESET:
        return t->err == KITH_ERESET;
    case FLIP: /* a longer length waits for bytes that never come */
        return t->err == KITH_EPROTO || t->err == KITH_ECRYPTO || t->err == KITH_EPOLICY ||
               t->err == KITH_ETIMEOUT || t->err == KITH_ECLOSED || t->err == KITH_EUNSUPPORTED;
    case RUBBISH: /* the same */
        return t->err == KITH_EPROTO || t->err == KITH_ECRYPTO || t->err == KITH_ETIMEOUT;
    }
    return false;
}

#define LONGEST \
    KITH_SEC(60) /* a handshake has 10 s; silence after it is probed after 30 s and fatal after 20 more */

static size_t step(void)
{
    return kith_toy_crypto ? 1 : 3;
}

/* Nobody relies on what a negotiation says besides the choice: the ids further down the list that goes ahead, the proposal that
 * the choice has made void. A bit flipped there changes nothing at all. */
static bool harmless(const lab *l, fault f, size_t at)
{
    static const size_t first_flight = 1800;
    return f == FLIP && at < first_flight && l->told.connected == 1 && l->told.identified == 1 &&
           l->told.over == 0;
}

static void a_fault_at_every_byte(fault f, const kind *k)
{
    static const size_t idle_words = 80; /* an id and its length, in base64; a proposal */
    lab l;
    start(&l, k);
    size_t n = measure(&l, k);
    kith_usage base = kith_node_usage(l.node[VICTIM]);
    size_t memory = l.heap.held, conversations = 0, unharmed = 0;
    kith_time slowest = 0;
    for (size_t at = 0; at < n; at += at < 100 ? 1 : step()) {
        kith_time from = l.now;
        conversations++;
        converse(&l, k, f, at);
        honest_ping(&l);
        if (harmless(&l, f, at)) {
            assert_in_range(++unharmed, 1, idle_words);
            part(&l);
            continue;
        }
        bool over = wait_until(&l, from + LONGEST, victim_is_rid_of_it);
        if (!over || !told_well(&l.told, f) || l.heap.held != memory)
            print_error(
                "%s, %s at byte %zu of %zu: %s; told %u times: error %d, %s; %zu bytes more than before\n",
                k->name, fault_names[f], at, n, over ? "over" : "still there", l.told.over, l.told.err,
                l.told.why ? l.told.why : "-", l.heap.held - memory);
        assert_true(over);
        assert_true(told_well(&l.told, f));
        slowest = l.now - from > slowest ? l.now - from : slowest;
        part(&l);
        kith_usage use = kith_node_usage(l.node[VICTIM]);
        assert_memory_equal(&use, &base, sizeof use);
        assert_int_equal(l.heap.held, memory);
        honest_ping(&l);
    }
    print_message("%s, %s: %zu conversations of %zu bytes, slowest end after %.1f s\n", k->name,
                  fault_names[f], conversations, n, (double)slowest / 1e9);
    finish(&l);
}

static const kind kinds[] = {
    {"listener, /noise, early muxer", KITH_PQ_OFF, true, false},
    {"dialer, /noise, early muxer", KITH_PQ_OFF, true, true},
    {"listener, /noise, muxer by mss", KITH_PQ_OFF, false, false},
    {"dialer, /noise, muxer by mss", KITH_PQ_OFF, false, true},
    {"listener, hybrid", KITH_PQ_REQUIRE, true, false},
    {"dialer, hybrid", KITH_PQ_REQUIRE, true, true},
};

static void in_all_kinds(fault f)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        a_fault_at_every_byte(f, &kinds[i]);
}

static void a_peer_that_stops_at_any_byte_is_given_up_at_the_deadline(void **state)
{
    (void)state;
    in_all_kinds(STOP);
}

static void a_peer_that_hangs_up_at_any_byte_costs_nothing(void **state)
{
    (void)state;
    in_all_kinds(HANG_UP);
}

static void a_connection_that_is_reset_at_any_byte_costs_nothing(void **state)
{
    (void)state;
    in_all_kinds(RESET);
}

static void a_flipped_bit_in_any_byte_ends_the_connection(void **state)
{
    (void)state;
    in_all_kinds(FLIP);
}

static void rubbish_from_any_byte_on_ends_the_connection(void **state)
{
    (void)state;
    in_all_kinds(RUBBISH);
}

/* ---- the same inside the channel: a peer that has proved who it is, and then breaks off or talks rubbish ---- */

static void put_frame(kith_wr *w, uint8_t type, uint16_t flags, uint32_t id, uint32_t len)
{
    kith_put_u8(w, 0);
    kith_put_u8(w, type);
    kith_put_be16(w, flags);
    kith_put_be32(w, id);
    kith_put_be32(w, len);
}

static void put_data(kith_wr *w, uint16_t flags, uint32_t id, kith_bytes payload)
{
    put_frame(w, HOSTILE_DATA, flags, id, (uint32_t)payload.len);
    kith_put_bytes(w, payload);
}

#define HELLO "\x13/multistream/1.0.0\n"
#define CHOICE HELLO "\x0d/yamux/1.0.0\n"

/* Everything that yamux, stream negotiation, identify, push and ping have, said as an honest peer says it; before it the negotiation of the
 * muxer, where that is not done in the handshake. */
static size_t script(const sim_hostile *h, const kind *like, uint8_t *out, size_t size)
{
    uint32_t mine = like->victim_dials ? 2 : 1, asked = like->victim_dials ? 1 : 2;
    uint8_t msg[300], chunk[400], ping[32] = {7};
    kith_wr m = kith_wr_of(kith_span_of(msg, sizeof msg)), c = kith_wr_of(kith_span_of(chunk, sizeof chunk));
    kith_wr w = kith_wr_of(kith_span_of(out, size));
    kith_maddr at;
    kith_maddr_from_tcp(kith_bytes_of("\x0a\x00\x00\x09", 4), 4001, &at);
    kith_pb_put_bytes(&m, 1, sim_hostile_key(h));
    kith_pb_put_bytes(&m, 2, kith_maddr_bytes(&at));
    kith_pb_put_str(&m, 3, "/ipfs/id/1.0.0");
    kith_pb_put_str(&m, 3, KITH_PING_ID);
    kith_pb_put_bytes(&m, 4, kith_maddr_bytes(&at));
    kith_pb_put_str(&m, 5, "ipfs/0.1.0");
    kith_pb_put_str(&m, 6, "a peer");

    if (!like->early)
        kith_put_str(&w, CHOICE);
    put_frame(&w, HOSTILE_PING, HOSTILE_SYN, 0, 1);
    kith_put_str(&c, HELLO "\x0f/ipfs/id/1.0.0\n");
    kith_put_lp(&c, kith_wr_bytes(&m));
    put_data(&w, HOSTILE_ACK, asked, kith_wr_bytes(&c));
    put_frame(&w, HOSTILE_DATA, HOSTILE_FIN, asked, 0);
    c.len = 0;
    kith_put_str(&c, HELLO "\x14/ipfs/id/push/1.0.0\n");
    kith_put_lp(&c, kith_wr_bytes(&m));
    put_data(&w, HOSTILE_SYN | HOSTILE_FIN, mine, kith_wr_bytes(&c));
    c.len = 0;
    kith_put_str(&c, HELLO "\x03na\n\x11/ipfs/ping/1.0.0\n");
    kith_put_bytes(&c, kith_bytes_of(ping, 32));
    put_frame(&w, HOSTILE_UPDATE, HOSTILE_SYN, mine + 2, 65536);
    put_data(&w, 0, mine + 2, kith_wr_bytes(&c));
    put_frame(&w, HOSTILE_UPDATE, HOSTILE_RST, mine + 2, 0x1001);
    put_frame(&w, HOSTILE_GOAWAY, 0, 0, 0);
    assert_false(m.bad || c.bad || w.bad);
    return w.len;
}

/* What the hostile peer has to say goes to the node under test, until neither has more. */
static void push_inner(lab *l)
{
    static uint8_t buf[80 * 1024];
    for (size_t n; (n = sim_hostile_send(l->inner, kith_span_of(buf, sizeof buf))) > 0;) {
        kith_conn *c = l->wild.end[side_of(&l->wild, VICTIM)];
        if (!c)
            return;
        kith_node_recv(l->node[VICTIM], l->now, c, kith_span_of(buf, n));
        look(l, VICTIM);
        settle(l);
    }
}

/* Up to the open channel; the script is said then, up to byte `at` as it stands. */
static void converse_inside(lab *l, const kind *k, fault f, size_t at)
{
    static uint8_t text[8192];
    kith_conn *c;
    const char *why;
    uint64_t id;
    l->told = (told){0};
    sim_hostile_free(l->inner);
    l->inner = sim_hostile_new(1000 + at, !k->victim_dials);
    l->wild =
        (wire){.node = {k->victim_dials ? VICTIM : FAULTY, k->victim_dials ? FAULTY : VICTIM}, .hit = true};
    l->dialing_wild = true;
    if (k->victim_dials) {
        assert_int_equal(kith_node_dial(l->node[VICTIM], l->now, NULL, &l->addr[FAULTY], 1, &id), KITH_OK);
        look(l, VICTIM);
        kith_node_connected(l->node[VICTIM], l->now, l->wild.end[0], NULL, NULL);
    } else {
        assert_int_equal(
            kith_node_accept(l->node[VICTIM], l->now, &l->addr[FAULTY], &l->addr[VICTIM], &c, &why), KITH_OK);
        l->wild.end[1] = c;
    }
    settle(l);
    push_inner(l);
    assert_true(sim_hostile_ready(l->inner) && l->told.connected == k->early);
    sim_hostile_mute(l->inner, true);
    size_t n = script(l->inner, k, text, 4096);
    if (f == FLIP && at < n) {
        text[at] ^= (uint8_t)(1u << at * 5 % 8);
    } else if (f == RUBBISH && at < n) {
        n = sizeof text;
        dice(&l->rng, kith_span_of(text + at, n - at));
    } else if (at < n) {
        n = at;
    }
    size_t choice = k->early ? 0 : sizeof CHOICE - 1; /* the node speaks yamux once it has that */
    choice = choice < n ? choice : n;
    if (choice > 0)
        sim_hostile_say(l->inner, kith_bytes_of(text, choice));
    push_inner(l);
    if (n > choice)
        sim_hostile_say(l->inner, kith_bytes_of(text + choice, n - choice));
    push_inner(l);
    if (f == HANG_UP || f == RESET)
        end_at(l, &l->wild, side_of(&l->wild, VICTIM), f == RESET ? KITH_ERESET : KITH_ECLOSED);
    settle(l);
}

/* What was hit was, or became, a GoAway with a reason. */
static bool sent_away(const told *t)
{
    return t->why && (t->err == KITH_ERESET || t->err == KITH_EUNSUPPORTED) &&
           strncmp(t->why, "the peer ", 9) == 0;
}

static bool told_well_inside(const told *t, fault f)
{
    if (t->over != 1 || !is_clear(t->why))
        return false;
    switch (f) {
    case STOP:
    case HANG_UP:
    case RESET:
        return told_well(t, f);
    case FLIP:
    case RUBBISH: /* where yamux sees nothing wrong, the silence afterwards ends it */
        return t->err == KITH_EPROTO || t->err == KITH_ELIMIT || t->err == KITH_ETIMEOUT || sent_away(t);
    }
    return false;
}

static void a_fault_inside_at_every_byte(fault f, const kind *k)
{
    static uint8_t text[8192];
    lab l;
    start(&l, k);
    converse_inside(&l, k, STOP, SIZE_MAX);
    assert_int_equal(l.told.identified, 1);
    size_t n = script(l.inner, k, text, sizeof text);
    assert_true(wait_until(&l, l.now + LONGEST, victim_is_rid_of_it));
    kith_usage base = kith_node_usage(l.node[VICTIM]);
    size_t memory = l.heap.held, protocol_errors = 0;
    for (size_t at = 0; at < n; at += step()) {
        kith_time from = l.now;
        converse_inside(&l, k, f, at);
        protocol_errors += l.told.err == KITH_EPROTO;
        honest_ping(&l);
        bool over = wait_until(&l, from + LONGEST, victim_is_rid_of_it);
        if (!over || !told_well_inside(&l.told, f) || l.heap.held != memory)
            print_error(
                "inside, %s, %s at byte %zu of %zu: %s; told %u times: error %d, %s; %zu bytes more\n",
                k->name, fault_names[f], at, n, over ? "over" : "still there", l.told.over, l.told.err,
                l.told.why ? l.told.why : "-", l.heap.held - memory);
        assert_true(over);
        assert_true(told_well_inside(&l.told, f));
        /* Unless the session ended first, identify came to its end, one way or the other. */
        assert_true(l.told.connected == 0 || l.told.identified + l.told.identify_failed == 1 ||
                    l.told.err == KITH_EPROTO || f == HANG_UP || f == RESET || sent_away(&l.told));
        kith_usage use = kith_node_usage(l.node[VICTIM]);
        assert_memory_equal(&use, &base, sizeof use);
        assert_int_equal(l.heap.held, memory);
        honest_ping(&l);
    }
    print_message("inside, %s, %s: %zu bytes, %zu protocol errors\n", k->name, fault_names[f], n,
                  protocol_errors);
    assert_true(protocol_errors > 0 || (f != FLIP && f != RUBBISH));
    finish(&l);
}

static void a_peer_inside_that_breaks_off_or_talks_rubbish_at_any_byte_costs_nothing(void **state)
{
    (void)state;
    static const kind inside[] = {{"listener", KITH_PQ_OFF, true, false},
                                  {"dialer", KITH_PQ_OFF, true, true},
                                  {"listener, muxer by mss", KITH_PQ_OFF, false, false},
                                  {"dialer, muxer by mss", KITH_PQ_OFF, false, true}};
    static const fault all[] = {STOP, HANG_UP, RESET, FLIP, RUBBISH};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        for (size_t f = 0; f < sizeof all / sizeof *all; f++)
            a_fault_inside_at_every_byte(all[f], &inside[i]);
    }
}

/* ---- memory ---- */

static void echo_both_ways(lab *l)
{
    static const kith_bytes id[] = {{(const uint8_t *)SIM_ECHO_ID, sizeof SIM_ECHO_ID - 1}};
    static sim_caller caller[2];
    for (int side = 0; side < 2; side++) {
        kith_stream *s;
        caller[side] = (sim_caller){.total = 20000};
        kith_node *n = l->node[l->wild.node[side]];
        kith_conn *c = l->wild.end[side];
        if (c && kith_node_open(n, l->now, c, id, 1, &sim_caller_ops, &caller[side], NULL, &s) == KITH_OK)
            look(l, l->wild.node[side]);
        settle(l);
    }
    l->echoed = caller[0].got + caller[1].got;
}

static void pass_time(lab *l, kith_time by)
{
    kith_time until = l->now + by;
    (void)wait_until(l, until, never);
    l->now = until;
}

/* Everything that a node allocates for: a name looked up, a connection, identify, streams of both sides, a protocol that comes and goes,
 * pushes, new addresses. */
static void live_through(lab *l, const kind *k)
{
    static const kith_bytes extra = {(const uint8_t *)"/another/1", 10};
    kith_maddr name, more[2];
    uint64_t id;
    const char *why;
    l->told = (told){0};
    l->wild = (wire){.node = {k->victim_dials ? VICTIM : FAULTY, k->victim_dials ? FAULTY : VICTIM},
                     .faulty = true,
                     .at = SIZE_MAX};
    l->dialing_wild = true;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/dns4/somewhere.example/tcp/4001"), &name, &why),
                     KITH_OK);
    kith_err e = kith_node_dial(l->node[l->wild.node[0]], l->now, NULL, &name, 1, &id);
    assert_true(e == KITH_OK || e == KITH_ENOMEM);
    look(l, l->wild.node[0]);
    if (l->wild.end[0] && kith_node_accept(l->node[l->wild.node[1]], l->now, &l->addr[l->wild.node[0]],
                                           &l->addr[l->wild.node[1]], &l->wild.end[1], &why) == KITH_OK)
        kith_node_connected(l->node[l->wild.node[0]], l->now, l->wild.end[0], NULL, NULL);
    settle(l);
    echo_both_ways(l);
    kith_protocol row = {
        .id = extra, .ops = &sim_echo_ops, .accept = sim_echo_accept, .ctx = &l->env[VICTIM]};
    e = kith_node_serve(l->node[VICTIM], l->now, &row);
    assert_true(e == KITH_OK || e == KITH_ENOMEM);
    more[0] = more[1] = l->addr[VICTIM];
    more[1].b[1]++;
    e = kith_node_set_addrs(l->node[VICTIM], l->now, more, 2);
    assert_true(e == KITH_OK || e == KITH_ENOMEM);
    settle(l);
    pass_time(l, KITH_MS(300)); /* the push */
    kith_node_unserve(l->node[VICTIM], l->now, extra);
    pass_time(l, KITH_MS(300));
}

static void serve_echo(lab *l)
{
    for (int i = 0; i < NODES; i++) {
        kith_protocol row = {.id = kith_bytes_str(SIM_ECHO_ID),
                             .ops = &sim_echo_ops,
                             .accept = sim_echo_accept,
                             .ctx = &l->env[i]};
        assert_int_equal(kith_node_serve(l->node[i], l->now, &row), KITH_OK);
    }
}

static void any_allocation_of_a_node_may_fail(const kind *k, bool once)
{
    lab l;
    start(&l, k);
    serve_echo(&l);
    for (int i = 0; i < 2; i++) {
        live_through(&l, k);
        assert_int_equal(l.echoed, 40000);
        part(&l);
        pass_time(&l, KITH_SEC(2));
    }
    kith_usage base = kith_node_usage(l.node[VICTIM]);
    size_t memory = l.heap.held, n = 0;
    for (bool through = false; !through;) {
        l.heap.calls = 0;
        l.heap.fail_at = ++n;
        l.heap.once = once;
        live_through(&l, k);
        through = l.heap.calls < n;
        l.heap.fail_at = 0;
        assert_true(l.told.over == 0 || (l.told.err && l.told.why));
        assert_true(l.told.over <= 1 + l.told.connected); /* the dial, and the connection that it had got */
        assert_true(!through || l.echoed == 40000);
        pass_time(&l, KITH_SEC(15)); /* what was left half-way ends at its deadline */
        part(&l);
        if (!l.calm.end[0]) /* there was no memory for its bytes either */
            join(&l, &l.calm);
        honest_ping(&l);

        live_through(&l, k);
        assert_int_equal(l.told.identified, 1);
        assert_int_equal(l.echoed, 40000);
        part(&l);
        pass_time(&l, KITH_SEC(2));
        kith_usage use = kith_node_usage(l.node[VICTIM]);
        if (l.heap.held != memory || memcmp(&use, &base, sizeof use) != 0)
            print_error("%s, allocation %zu fails%s: %zu bytes, before %zu\n", k->name, n,
                        once ? "" : " and all after it", l.heap.held, memory);
        assert_memory_equal(&use, &base, sizeof use);
        assert_int_equal(l.heap.held, memory);
    }
    print_message("%s: %zu allocations\n", k->name, n - 1);
    assert_true(n > 50);
    finish(&l);
}

static void any_allocation_of_a_node_may_fail_and_it_serves_on(void **state)
{
    (void)state;
    for (size_t i = kith_toy_crypto ? 0 : 4; i < sizeof kinds / sizeof *kinds; i++) {
        any_allocation_of_a_node_may_fail(&kinds[i], true);
        any_allocation_of_a_node_may_fail(&kinds[i], false);
    }
}

/* ---- clocks ---- */

/* Suspended for eight hours, with everything under way that has a deadline. */
static void a_leap_of_the_clock_fires_each_deadline_once(void **state)
{
    (void)state;
    lab l;
    start(&l, &kinds[0]);
    serve_echo(&l);
    for (uint8_t i = 0; i < 5; i++) { /* handshakes of which nothing has come */
        kith_maddr at;
        kith_conn *c;
        const char *why;
        kith_maddr_from_tcp(kith_bytes_of((const uint8_t[]){10, 7, i, 1}, 4), 4001, &at);
        assert_int_equal(kith_node_accept(l.node[VICTIM], l.now, &at, &at, &c, &why), KITH_OK);
        settle(&l);
    }
    converse_inside(&l, &kinds[0], STOP, 0);         /* never answers identify, nor pings */
    (void)sim_hostile_open(l.inner, NULL, 0);        /* agrees on nothing here, */
    (void)sim_hostile_open(l.inner, SIM_ECHO_ID, 0); /* and is not idle */
    push_inner(&l);
    kith_maddr to[3];
    uint64_t id;
    for (uint8_t i = 0; i < 3; i++) /* public ones, so that they are tried one after another */
        kith_maddr_from_tcp(kith_bytes_of((const uint8_t[]){9, 9, 9, i}, 4), 4001, &to[i]);
    l.alone = true;
    assert_int_equal(kith_node_dial(l.node[VICTIM], l.now, NULL, to, 3, &id), KITH_OK);
    pass_time(&l, KITH_MS(300));
    assert_int_equal(l.dials, 2);
    assert_int_equal(kith_node_usage(l.node[VICTIM]).streams, 4); /* ping, identify, nothing agreed, echo */
    kith_node_protect(l.calm.end[1], true);

    l.now += KITH_SEC(8 * 3600);
    l.events = 0;
    kith_node_tick(l.node[VICTIM], l.now);
    look(&l, VICTIM);
    settle(&l);
    assert_int_equal(l.refused, 5);
    assert_int_equal(l.closed, 5 + 2); /* they, and the sockets that were dialling */
    assert_int_equal(l.dials, 3);      /* the last address has its own time */
    assert_int_equal(l.dial_answers, 0);
    assert_int_equal(l.told.identify_failed, 1);
    assert_int_equal(kith_node_usage(l.node[VICTIM]).streams, 1);
    assert_int_equal(l.told.over, 0); /* it is asked first */
    assert_in_range(l.events, 0, 5 * 2 + 2 + 1 + 1);
    assert_true(kith_node_deadline(l.node[VICTIM]) > l.now); /* nothing fires again at once */
    honest_ping(&l);

    kith_node_link_failed(l.node[VICTIM], l.now, l.dial[2], KITH_EREFUSED, "connection refused");
    look(&l, VICTIM);
    assert_int_equal(l.dial_answers, 1);
    l.alone = false;
    assert_true(wait_until(&l, l.now + KITH_SEC(21), victim_is_rid_of_it));
    assert_int_equal(l.told.over, 1);
    assert_int_equal(l.told.err, KITH_ETIMEOUT);
    honest_ping(&l);
    finish(&l);
}

/* A stream that stays open and says a byte when it is told to. */
typedef struct talker {
    unsigned say, heard;
    bool gone;
} talker;

static kith_err talker_recv(void *m, kith_time now, kith_bytes in)
{
    (void)now;
    ((talker *)m)->heard += (unsigned)in.len;
    return KITH_OK;
}

static void talker_eof(void *m, kith_time now)
{
    (void)m, (void)now;
}

static size_t talker_send(void *m, kith_time now, kith_span out)
{
    (void)now;
    talker *t = m;
    if (t->say == 0)
        return 0;
    t->say--;
    out.p[0] = 'x';
    return 1;
}

static kith_stream_want talker_want(const void *m)
{
    (void)m;
    return KITH_STREAM_OPEN;
}

static void talker_gone(void *m, kith_time now, kith_err why)
{
    (void)now, (void)why;
    ((talker *)m)->gone = true;
}

static void talker_free(void *m)
{
    (void)m;
}

static const kith_stream_ops talker_ops = {.recv = talker_recv,
                                           .eof = talker_eof,
                                           .send = talker_send,
                                           .want = talker_want,
                                           .gone = talker_gone,
                                           .free = talker_free};

static void a_leap_of_the_clock_keeps_what_is_in_use_and_ends_what_was_idle(void **state)
{
    (void)state;
    static const kith_bytes id[] = {{(const uint8_t *)SIM_ECHO_ID, sizeof SIM_ECHO_ID - 1}};
    lab l;
    start(&l, &kinds[0]);
    serve_echo(&l);
    talker t = {0};
    kith_stream *s;
    assert_int_equal(kith_node_open(l.node[HONEST], l.now, l.calm.end[0], id, 1, &talker_ops, &t, NULL, &s),
                     KITH_OK);
    converse(&l, &kinds[0], STOP, SIZE_MAX); /* no fault, and no stream */
    for (int i = 0; i < 3; i++) {
        l.now += KITH_SEC(8 * 3600);
        assert_int_equal(l.told.over, i > 0);
        for (int k = 0; k < NODES; k++) {
            kith_node_tick(l.node[k], l.now);
            look(&l, k);
        }
        settle(&l);
        assert_true(kith_node_deadline(l.node[VICTIM]) > l.now);
        assert_int_equal(l.told.over, 1); /* for it was idle for longer than idle_timeout */
        assert_int_equal(l.told.err, KITH_ECLOSED);
        assert_false(t.gone);
        t.say = 1;
        kith_node_wake(l.node[HONEST], l.now, s);
        settle(&l);
        assert_int_equal(t.heard, i + 1);
    }
    assert_true(wild_is_over(&l));
    finish(&l);
}

/* A peer takes a record only when its number is higher than that of the one it has. */
static void record_numbers_rise_whatever_the_wall_clock_does(void **state)
{
    (void)state;
    static const uint64_t clocks[] = {1800000000, 1700000000, 0, 4000000000, 1800000000, 1800000001, 1};
    lab l;
    start(&l, &kinds[0]);
    uint64_t last = 0;
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        kith_maddr at = l.addr[VICTIM];
        at.b[4] = (uint8_t)(i + 1);
        kith_node_set_clock(l.node[VICTIM], l.now, clocks[i]);
        assert_int_equal(kith_node_set_addrs(l.node[VICTIM], l.now, &at, 1), KITH_OK);
        pass_time(&l, KITH_SEC(1)); /* the push */
        assert_true(l.record_seq > last);
        last = l.record_seq;
    }
    assert_true(last > 4000000000);
    finish(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_that_stops_at_any_byte_is_given_up_at_the_deadline),
        cmocka_unit_test(a_peer_that_hangs_up_at_any_byte_costs_nothing),
        cmocka_unit_test(a_connection_that_is_reset_at_any_byte_costs_nothing),
        cmocka_unit_test(a_flipped_bit_in_any_byte_ends_the_connection),
        cmocka_unit_test(rubbish_from_any_byte_on_ends_the_connection),
        cmocka_unit_test(a_peer_inside_that_breaks_off_or_talks_rubbish_at_any_byte_costs_nothing),
        cmocka_unit_test(any_allocation_of_a_node_may_fail_and_it_serves_on),
        cmocka_unit_test(a_leap_of_the_clock_fires_each_deadline_once),
        cmocka_unit_test(a_leap_of_the_clock_keeps_what_is_in_use_and_ends_what_was_idle),
        cmocka_unit_test(record_numbers_rise_whatever_the_wall_clock_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
