/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A whole node against a hostile wire: two nodes that dial each other, the input says how the bytes between them are cut, flipped, dropped
 * and made up, what names resolve to, which sockets fail, which allocation does, and what the applications do meanwhile. The nodes must keep
 * their invariants, answer every dial once, end every stream and connection once, and give all memory back. */
#include "crypto/crypto.h"
#include "node/node.h"
#include "proto/perf.h"
#include "proto/ping.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINKS 8
#define STREAMS 16
#define LOOKUPS 4
#define STEPS_MAX 600

/* A socket pair, from DIAL on. */
typedef struct wire {
    kith_conn *end[2]; /* NULL: closed, or not accepted yet */
    bool used, up;
} wire;

typedef struct slot {
    kith_stream *s; /* NULL: free */
    bool ping;
} slot;

typedef struct side {
    kith_node *node;
    slot streams[STREAMS];
    size_t dials;                          /* asked and not yet answered */
    uint64_t last_dial, resolves[LOOKUPS]; /* asked and not yet answered; 0: free */
    kith_conn *working[LINKS];             /* whose handshake is worked on; NULL: free */
} side;

typedef struct rig {
    tape_env mem;
    tape t;
    kith_time now;
    bool late; /* work takes its time */
    side s[2];
    wire wires[LINKS];
    const kith_signer *signers[2];
    const kith_pq_signer *pq;
} rig;

static const char *const addr_texts[] = {
    "/ip4/10.0.0.1/tcp/4001",
    "/ip4/203.0.113.7/tcp/4001",
    "/ip6/2001:db8::1/tcp/4001",
    "/dns4/a.example/tcp/4001",
    "/dnsaddr/b.example",
    "/ip4/10.0.0.1/udp/4001/quic-v1",
    "/ip4/127.0.0.1/tcp/9",
    "/dns/c.example/tcp/1/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
};
#define ADDRS (sizeof addr_texts / sizeof addr_texts[0])
static kith_maddr addrs[ADDRS];

static wire *wire_new(rig *r)
{
    for (size_t i = 0; i < LINKS; i++) {
        if (!r->wires[i].used) {
            r->wires[i] = (wire){.used = true};
            return &r->wires[i];
        }
    }
    return NULL;
}

static void ask(rig *r, side *s, uint64_t id)
{
    for (size_t i = 0; i < LOOKUPS; i++) {
        if (s->resolves[i] == 0) {
            s->resolves[i] = id;
            return;
        }
    }
    kith_node_resolved(s->node, r->now, id, NULL, 0, KITH_ELIMIT);
}

/* Some computes at once, some later, some when its connection is no more. */
static void begin_work(rig *r, side *s, kith_conn *c)
{
    for (size_t i = 0; i < LINKS && r->late; i++) {
        if (!s->working[i]) {
            s->working[i] = c;
            return;
        }
    }
    kith_node_work(c);
    kith_node_worked(s->node, r->now, c);
}

static void events(rig *r, int me)
{
    side *s = &r->s[me];
    kith_node_event ev;
    kith_ping_event pong;
    while (kith_node_next(s->node, r->now, &ev)) {
        slot *at = ev.stream ? kith_stream_user(ev.stream) : NULL;
        wire *w = ev.conn ? kith_conn_link(ev.conn) : NULL;
        switch (ev.kind) {
        case KITH_NODE_DIAL:
            w = wire_new(r);
            kith_conn_set_link(ev.conn, w);
            if (w)
                w->end[me] = ev.conn;
            else
                kith_node_link_failed(s->node, r->now, ev.conn, KITH_EIO, "no socket is left");
            break;
        case KITH_NODE_KEY: /* qkd is off */
            break;
        case KITH_NODE_WORK:
            begin_work(r, s, ev.conn);
            break;
        case KITH_NODE_CLOSE:
            if (w) {
                assert(w->end[me] == ev.conn);
                w->end[me] = NULL;
                w->used = w->end[1 - me] != NULL;
            }
            break;
        case KITH_NODE_DIALED:
            assert(s->dials > 0 && (ev.conn != NULL) != (ev.err != KITH_OK));
            s->dials--;
            if (ev.dial_id == s->last_dial)
                s->last_dial = 0;
            break;
        case KITH_NODE_RESOLVE:
            ask(r, s, ev.resolve_id);
            break;
        case KITH_NODE_STREAM_READY:
            while (at && at->ping && kith_ping_next(kith_stream_machine(ev.stream), &pong))
                assert(pong.kind == KITH_PING_RTT || pong.why);
            break;
        case KITH_NODE_STREAM_GONE:
            if (at) {
                assert(at->s == ev.stream);
                at->s = NULL;
            }
            break;
        case KITH_NODE_CONNECTED:
            assert(w && w->end[me] == ev.conn);
            break;
        case KITH_NODE_IDENTIFIED:
            assert((ev.info != NULL) == (ev.err == KITH_OK));
            break;
        case KITH_NODE_DISCONNECTED:
        case KITH_NODE_REFUSED:
            assert(ev.err);
            break;
        case KITH_NODE_UPDATED:
        case KITH_NODE_STREAM_OPENED:
            break;
        }
    }
    kith_node_check(s->node);
}

static void end_work(rig *r, int me, size_t most)
{
    side *s = &r->s[me];
    for (size_t i = 0; i < LINKS && most > 0; i++) {
        if (!s->working[i])
            continue;
        kith_node_work(s->working[i]);
        kith_node_worked(s->node, r->now, s->working[i]);
        s->working[i] = NULL;
        events(r, me);
        most--;
    }
}

/* The next wire from a place on that the side has an end of; NULL: none. */
static wire *pick(rig *r, int me, size_t from)
{
    for (size_t i = 0; i < LINKS; i++) {
        wire *w = &r->wires[(from + i) % LINKS];
        if (w->used && w->end[me])
            return w;
    }
    return NULL;
}

/* ---- what the world does ---- */

/* Half of the sockets that a dial asked for connect, of the others none does. */
static void connect_or_fail(rig *r, int me, uint8_t how)
{
    wire *w = pick(r, me, how & 7);
    if (!w || w->up)
        return;
    const char *why;
    int other = 1 - me;
    kith_maddr from = addrs[how >> 3 & 3];
    if (how < 224 &&
        kith_node_accept(r->s[other].node, r->now, &from, &addrs[0], &w->end[other], &why) == KITH_OK) {
        kith_conn_set_link(w->end[other], w);
        w->up = true;
        kith_node_connected(r->s[me].node, r->now, w->end[me], &addrs[0], how & 1 ? &from : NULL);
    } else {
        kith_node_link_failed(r->s[me].node, r->now, w->end[me], KITH_EREFUSED, NULL);
    }
    events(r, other);
}

/* most: what a piece may cost before the rest of it has to wait, or 0. */
static void deliver(rig *r, int to, wire *w, uint8_t *bytes, size_t n, size_t piece, uint64_t most)
{
    static uint8_t copy[70000];
    for (size_t at = 0; at < n && w->used && w->end[to];) {
        size_t k = n - at < piece ? n - at : piece;
        memcpy(copy, bytes + at, k);
        if (most)
            kith_node_recv_some(r->s[to].node, r->now, w->end[to], kith_span_of(copy, k), most);
        else
            kith_node_recv(r->s[to].node, r->now, w->end[to], kith_span_of(copy, k));
        events(r, to);
        at += k;
    }
}

/* Takes more of what waits inside. A host that reads or tells the end before is one that breaks its word, and is harmless. */
static void go_on(rig *r, int me, uint64_t most)
{
    for (size_t i = 0; i < LINKS; i++) {
        const wire *w = &r->wires[i];
        if (!w->used || !w->end[me] || !kith_conn_laden(w->end[me]))
            continue;
        kith_node_go_on(r->s[me].node, r->now, w->end[me], most);
        events(r, me);
    }
}

/* Moves one batch of bytes from one side to the other, as the tape has it. */
static void move(rig *r, int from, bool hostile)
{
    static uint8_t buf[70000];
    kith_conn *c = kith_node_writer(r->s[from].node);
    if (!c)
        return;
    wire *w = kith_conn_link(c);
    size_t n = kith_node_send(r->s[from].node, r->now, c, kith_span_of(buf, sizeof buf));
    size_t how = hostile ? tape_u8(&r->t) : 0;
    if (n > 0 && how > 240) {
        size_t at = (size_t)tape_u8(&r->t) << 8;
        buf[(at | tape_u8(&r->t)) % n] ^= (uint8_t)(1u << (how & 7));
    } else if (n > 0 && how > 236) {
        n = tape_u32(&r->t) % n; /* the rest is lost: no TCP does that, but an attacker on the wire can */
    } else if (how > 228) {
        kith_node_blocked(r->s[from].node, c);
    }
    if (w)
        deliver(r, 1 - from, w, buf, n, how % 4 == 1 ? 1 + how : sizeof buf, how % 4 == 2 ? how : 0);
    events(r, from);
}

/* The other end of a closed socket is told, and sockets break. */
static void hang_up(rig *r, int me, uint8_t how)
{
    wire *w = pick(r, me, how & 7);
    if (!w || !w->up)
        return;
    if (how & 8 && (w->end[1 - me] == NULL || how > 250))
        kith_node_eof(r->s[me].node, r->now, w->end[me]);
    else if (w->end[1 - me] == NULL || how > 252)
        kith_node_link_failed(r->s[me].node, r->now, w->end[me], KITH_ERESET, "reset");
    else
        kith_node_writable(r->s[me].node, w->end[me]);
}

static void resolve(rig *r, int me, uint8_t how)
{
    kith_maddr found[3];
    size_t n = how & 3;
    for (size_t i = 0; i < n; i++)
        found[i] = addrs[((how >> 2) + i * 3) % ADDRS];
    uint64_t *id = &r->s[me].resolves[how >> 6];
    if (*id)
        kith_node_resolved(r->s[me].node, r->now, *id, found, n, n ? KITH_OK : KITH_ETIMEOUT);
    *id = 0;
}

static void pass_time(rig *r, uint8_t how)
{
    static const kith_time steps[] = {KITH_MS(1),  KITH_MS(60), KITH_MS(260), KITH_SEC(1),
                                      KITH_SEC(4), KITH_SEC(6), KITH_SEC(11), KITH_SEC(301)};
    r->now += steps[how % 8];
    for (int i = 0; i < 2; i++) {
        end_work(r, i, how >> 3 & 3);
        go_on(r, i, how >> 5 ? 1u << (how >> 5) : UINT32_MAX);
        if (kith_node_deadline(r->s[i].node) <= r->now)
            kith_node_tick(r->s[i].node, r->now);
        events(r, i);
    }
}

/* ---- what the applications do ---- */

static void dial(rig *r, int me, uint8_t how)
{
    side *s = &r->s[me];
    kith_maddr list[3];
    size_t n = 1 + how % 3;
    for (size_t i = 0; i < n; i++)
        list[i] = addrs[(tape_u8(&r->t)) % ADDRS];
    const kith_peer_id *other = kith_node_id(r->s[1 - me].node);
    if (kith_node_dial(s->node, r->now, how & 64 ? other : NULL, list, how & 32 ? 0 : n, &s->last_dial) ==
        KITH_OK)
        s->dials++;
}

/* A dial that was cancelled is not answered any more. */
static void cancel(rig *r, int me)
{
    side *s = &r->s[me];
    if (s->last_dial == 0)
        return;
    kith_node_dial_cancel(s->node, r->now, s->last_dial);
    s->last_dial = 0;
    s->dials--;
    events(r, me);
    assert(s->dials > 0 || kith_node_usage(s->node).dials == 0); /* nobody waits: nothing is tried any more */
}

static void open_stream(rig *r, int me, kith_conn *c, uint8_t how)
{
    static const kith_bytes ids[] = {{(const uint8_t *)"/none/1", 7},
                                     {(const uint8_t *)KITH_PING_ID, sizeof KITH_PING_ID - 1},
                                     {(const uint8_t *)KITH_PERF_ID, sizeof KITH_PERF_ID - 1}};
    side *s = &r->s[me];
    slot *at = NULL;
    for (size_t i = 0; i < STREAMS && !at; i++)
        at = s->streams[i].s ? NULL : &s->streams[i];
    bool ping = how & 1;
    void *m =
        ping ? (void *)kith_ping_new(&r->mem.env)
             : (void *)kith_perf_client(&r->mem.env, (uint64_t)how << (how & 8), (uint64_t)how << (how & 12));
    if (!m)
        return;
    const kith_stream_ops *ops = ping ? &kith_ping_ops : &kith_perf_ops;
    size_t skip = how & 2 ? 0 : ping ? 1 : 2; /* an id that nobody knows goes first, or not */
    if (!at)
        ops->free(m);
    else if (kith_node_open(s->node, r->now, c, ids + skip, ping ? 2 - skip : 3 - skip, ops, m, at, &at->s))
        at->s = NULL;
    else
        at->ping = ping;
}

static void *serve_perf(void *ctx, const kith_stream_info *info)
{
    assert(info->inbound && info->peer.len > 0);
    return kith_perf_server(ctx);
}

static kith_protocol perf_row(rig *r)
{
    return (kith_protocol){.id = {(const uint8_t *)KITH_PERF_ID, sizeof KITH_PERF_ID - 1},
                           .ops = &kith_perf_ops,
                           .accept = serve_perf,
                           .ctx = &r->mem.env,
                           .streams_per_conn = 2};
}

static void act(rig *r, int me, uint8_t what)
{
    side *s = &r->s[me];
    uint8_t how = tape_u8(&r->t);
    slot *at = &s->streams[how % STREAMS];
    wire *w = pick(r, me, how & 7);
    kith_conn_facts f = {0};
    if (w)
        kith_conn_facts_get(w->end[me], &f);
    switch (what % 10) {
    case 0:
    case 1:
    case 2:
        if (f.open)
            open_stream(r, me, w->end[me], how);
        break;
    case 3:
    case 4:
        if (at->s && at->ping && kith_ping_start(kith_stream_machine(at->s), r->now) == KITH_OK)
            kith_node_wake(s->node, r->now, at->s);
        break;
    case 5:
        if (at->s)
            kith_node_reset(s->node, r->now, at->s);
        break;
    case 6:
        if (kith_node_set_addrs(s->node, r->now, addrs, how % ADDRS) == KITH_OK)
            kith_node_set_clock(s->node, r->now, how);
        break;
    case 7: {
        const kith_protocol row = perf_row(r);
        if (kith_node_serve(s->node, r->now, &row) == KITH_EEXISTS)
            kith_node_unserve(s->node, r->now, row.id);
        break;
    }
    case 8:
        if (w && f.open && how & 8) {
            kith_node_protect(w->end[me], true);
            kith_node_protect(w->end[me], false);
        } else if (w && how > 200) {
            kith_node_close(s->node, r->now, w->end[me]);
        }
        break;
    case 9:
        if (how > 240)
            kith_node_shutdown(s->node, r->now);
        break;
    }
}

static bool start(rig *r, int me, uint8_t setup)
{
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.env = r->mem.env;
    cfg.signer = r->signers[me];
    cfg.pq_signer = r->pq;
    cfg.pq = setup & 1 ? KITH_PQ_OFF : KITH_PQ_PREFER;
    cfg.no_early_muxer = setup & 2;
    cfg.aes = setup & 4;
    if (setup & 32)
        cfg.limits.memory = 60000;
    if (setup & 4) {
        cfg.limits.conns = 5;
        cfg.limits.conns_in = setup & 64 ? 1 : 3; /* with 1, a second one makes room */
        cfg.limits.dials = 3;
        cfg.limits.conns_per_ip = 2;
        cfg.limits.conns_per_peer = 2;
        cfg.limits.handshakes = 2;
        cfg.limits.streams_in = 4;
        cfg.limits.streams = 12;
    }
    r->s[me].node = kith_node_new(&cfg, r->now);
    if (!r->s[me].node)
        return false;
    const kith_protocol row = perf_row(r);
    return kith_node_serve(r->s[me].node, r->now, &row) == KITH_OK;
}

/* The first connection of an input that wants to begin with one: its hostile part is what follows. */
static void meet(rig *r)
{
    uint64_t id;
    if (kith_node_dial(r->s[0].node, r->now, NULL, addrs, 1, &id) == KITH_OK)
        r->s[0].dials++;
    events(r, 0);
    connect_or_fail(r, 0, 0);
    events(r, 0);
    for (int i = 0; i < 40; i++)
        move(r, i & 1, false);
}

static void step(rig *r)
{
    uint8_t op = tape_u8(&r->t);
    int me = op & 1;
    switch (op >> 1 & 15) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
        move(r, me, true);
        break;
    case 6:
        pass_time(r, tape_u8(&r->t));
        break;
    case 7:
    case 8:
    case 9:
        act(r, me, tape_u8(&r->t));
        break;
    case 10:
        dial(r, me, tape_u8(&r->t));
        break;
    case 11:
        resolve(r, me, tape_u8(&r->t));
        break;
    case 12:
        connect_or_fail(r, me, tape_u8(&r->t));
        break;
    case 13:
        hang_up(r, me, tape_u8(&r->t));
        break;
    case 14: { /* bytes that nobody sent */
        wire *w = pick(r, me, op >> 5);
        uint8_t bytes[256];
        kith_bytes in = tape_bytes(&r->t, tape_u8(&r->t));
        if (in.len > 0)
            memcpy(bytes, in.p, in.len);
        if (w && w->up)
            deliver(r, me, w, bytes, in.len, sizeof bytes, 0);
        break;
    }
    case 15:
        cancel(r, me);
        break;
    }
    events(r, me);
    if (op & 128)
        go_on(r, me, op & 96 ? (uint64_t)op & 96 : 1);
}

/* The world goes quiet: names are not found, sockets do not connect, those that are do not say a word. Every dial comes to its end. */
static void let_dials_end(rig *r)
{
    for (int turn = 0; turn < 64 && r->s[0].dials + r->s[1].dials > 0; turn++) {
        for (int i = 0; i < 2; i++) {
            for (uint8_t k = 0; k < LOOKUPS; k++)
                resolve(r, i, (uint8_t)(k << 6));
            events(r, i);
            for (size_t k = 0; k < LINKS; k++) {
                wire *w = &r->wires[k];
                if (w->used && !w->up && w->end[i])
                    kith_node_link_failed(r->s[i].node, r->now, w->end[i], KITH_EREFUSED, NULL);
                events(r, i);
            }
        }
        pass_time(r, 4);
    }
    assert(r->s[0].dials + r->s[1].dials == 0);
}

/* Everything ends, and is told. */
static void finish(rig *r)
{
    let_dials_end(r);
    for (int i = 0; i < 2; i++) {
        side *s = &r->s[i];
        kith_node_shutdown(s->node, r->now);
        events(r, i);
        for (wire *w; (w = pick(r, i, 0));) {
            kith_node_link_failed(s->node, r->now, w->end[i], KITH_ECLOSED, NULL);
            events(r, i);
        }
        r->late = false;
        end_work(r, i, LINKS);
        assert(kith_node_conn_count(s->node) == 0);
        assert(s->dials == 0);
        for (size_t k = 0; k < STREAMS; k++)
            assert(!s->streams[k].s);
        kith_usage u = kith_node_usage(s->node);
        assert(u.conns_in + u.conns_out + u.handshakes + u.dials + u.streams == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static kith_signer *signers[2];
    static kith_pq_signer *pq; /* one for both: nothing here depends on whose it is */
    if (!signers[0]) {
        if (kith_crypto_init())
            abort();
        uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
        signers[0] = kith_signer_new(seed);
        if (kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, sizeof seed), &pq))
            abort();
        seed[0] = 2;
        signers[1] = kith_signer_new(seed);
        for (size_t i = 0; i < ADDRS; i++) {
            kith_err e = kith_maddr_from_text(kith_bytes_str(addr_texts[i]), &addrs[i], NULL);
            assert(e == KITH_OK);
        }
    }
    rig r = {.t = {data, size}, .now = KITH_SEC(1), .signers = {signers[0], signers[1]}, .pq = pq};
    uint8_t setup = tape_u8(&r.t);
    tape_env_init(&r.mem, setup & 16 ? tape_u32(&r.t) >> 22 : 0);
    r.mem.env.alloc.ctx = r.mem.env.rand.ctx = &r.mem;
    if (start(&r, 0, setup) && start(&r, 1, setup)) {
        if (setup & 8)
            meet(&r);
        r.late = setup & 128;
        for (int i = 0; r.t.len > 0 && i < STEPS_MAX; i++)
            step(&r);
        finish(&r);
    }
    for (int i = 0; i < 2; i++)
        kith_node_free(r.s[i].node);
    assert(r.mem.held == 0);
    return 0;
}
