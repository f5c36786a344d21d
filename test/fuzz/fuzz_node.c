/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A whole node against a hostile wire: two nodes back to back, the input says how the bytes between them are cut, flipped, dropped and
 * doubled, and what the applications do meanwhile. The node must keep its invariants and give all memory back. */
#include <assert.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "node/node.h"
#include "proto/ping.h"

static size_t held;

static void *count_alloc(void *ctx, void *p, size_t old, size_t size)
{
    (void)ctx;
    held = held - old + size;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, size);
}

static uint64_t rng;

static void fuzz_rand(void *ctx, kith_span out)
{
    (void)ctx;
    for (size_t i = 0; i < out.len; i++) {
        rng = rng * 6364136223846793005u + 1442695040888963407u;
        out.p[i] = (uint8_t)(rng >> 56);
    }
}

static const kith_env env = {.alloc = {.fn = count_alloc}, .rand = {.fn = fuzz_rand}};

typedef struct side {
    kith_node *node;
    kith_conn *conn;
    kith_stream *ping;
    bool open;
} side;

typedef struct tape {
    const uint8_t *p;
    size_t len;
} tape;

static size_t take(tape *t)
{
    if (t->len == 0)
        return 0;
    t->len--;
    return *t->p++;
}

static void events(side *s, kith_time now)
{
    kith_node_event ev;
    while (kith_node_next(s->node, now, &ev)) {
        switch (ev.kind) {
        case KITH_NODE_DIAL:
            s->conn = ev.conn;
            break;
        case KITH_NODE_CONNECTED:
            s->open = true;
            break;
        case KITH_NODE_CLOSE:
            s->conn = NULL;
            s->open = false;
            break;
        case KITH_NODE_STREAM_GONE:
            if (ev.stream == s->ping)
                s->ping = NULL;
            break;
        case KITH_NODE_RESOLVE:
        case KITH_NODE_IDENTIFIED:
        case KITH_NODE_UPDATED:
        case KITH_NODE_DISCONNECTED:
        case KITH_NODE_REFUSED:
        case KITH_NODE_DIALED:
        case KITH_NODE_STREAM_OPENED:
        case KITH_NODE_STREAM_READY:
            break;
        }
    }
    kith_node_check(s->node);
}

/* What the application of a side does. */
static void act(side *s, kith_time now, size_t what)
{
    static const kith_bytes ids[] = {{(const uint8_t *)KITH_PING_ID, sizeof KITH_PING_ID - 1}};
    if (!s->conn || !s->open)
        return;
    switch (what % 5) {
    case 0: {
        kith_ping *p = kith_ping_new(&env);
        if (s->ping) {
            kith_ping_ops.free(p);
        } else if (kith_node_open(s->node, now, s->conn, ids, 1, &kith_ping_ops, p, NULL, &s->ping) !=
                   KITH_OK) {
            s->ping = NULL;
        }
        break;
    }
    case 1:
        if (s->ping && kith_ping_start(kith_stream_machine(s->ping), now) == KITH_OK)
            kith_node_wake(s->node, now, s->ping);
        break;
    case 2:
        if (s->ping)
            kith_node_reset(s->node, now, s->ping);
        break;
    case 3:
        if (kith_node_set_addrs(s->node, now, NULL, 0))
            return;
        break;
    case 4:
        if (what > 250)
            kith_node_close(s->node, now, s->conn);
        break;
    }
}

/* Moves one batch of bytes from one side to the other, as the tape has it. */
static void move(side *from, side *to, kith_time now, tape *t, bool hostile)
{
    static uint8_t buf[70000], copy[70000];
    kith_conn *c = kith_node_writer(from->node);
    if (!c)
        return;
    size_t n = kith_node_send(from->node, now, c, kith_span_of(buf, sizeof buf));
    size_t how = hostile ? take(t) : 0;
    if (n > 0 && how > 240)
        buf[(take(t) << 8 | take(t)) % n] ^= (uint8_t)(1u << (how & 7));
    else if (how > 236)
        n = n ? (take(t) << 8 | take(t)) % n : 0;
    size_t piece = how % 4 == 1 ? 1u + how : n;
    for (size_t at = 0; at < n && to->conn;) {
        size_t k = n - at < piece ? n - at : piece;
        memcpy(copy, buf + at, k);
        kith_node_recv(to->node, now, to->conn, kith_span_of(copy, k));
        events(to, now);
        at += k;
    }
    events(from, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static kith_signer *signer[2];
    if (!signer[0]) {
        if (kith_crypto_init())
            abort();
        uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
        signer[0] = kith_signer_new(seed);
        seed[0] = 2;
        signer[1] = kith_signer_new(seed);
    }
    tape t = {data, size};
    rng = 42;
    kith_time now = KITH_SEC(1);
    size_t setup = take(&t);
    side s[2] = {0};
    kith_maddr addr;
    const uint8_t ip[4] = {10, 0, 0, 1};
    kith_maddr_from_tcp(kith_bytes_of(ip, 4), 4001, &addr);
    for (int i = 0; i < 2; i++) {
        kith_node_config cfg;
        kith_node_config_default(&cfg);
        cfg.env = env;
        cfg.signer = signer[i];
        cfg.pq = setup & 1 ? KITH_PQ_OFF : KITH_PQ_PREFER;
        cfg.no_early_muxer = setup & 2;
        cfg.limits.memory = setup & 4 ? 60000 : 1 << 20;
        s[i].node = kith_node_new(&cfg, now);
        assert(s[i].node);
    }
    uint64_t id;
    const char *why;
    if (kith_node_dial(s[0].node, now, NULL, &addr, 1, &id) == KITH_OK)
        events(&s[0], now);
    if (s[0].conn && kith_node_accept(s[1].node, now, &addr, &addr, &s[1].conn, &why) == KITH_OK) {
        kith_node_connected(s[0].node, now, s[0].conn, NULL, NULL);
        if (setup & 8) { /* let them meet first: the hostile part is what follows */
            for (int i = 0; i < 40; i++)
                move(&s[i & 1], &s[1 - (i & 1)], now, &t, false);
        }
        while (t.len > 0) {
            size_t op = take(&t);
            side *me = &s[op & 1], *other = &s[1 - (op & 1)];
            now += (kith_time)(op >> 6) * (op & 32 ? KITH_SEC(4) : KITH_MS(3));
            if (kith_node_deadline(me->node) <= now)
                kith_node_tick(me->node, now);
            events(me, now);
            if (op & 2)
                act(me, now, take(&t));
            events(me, now);
            if ((op & 28) == 28 && me->conn)
                kith_node_eof(me->node, now, me->conn);
            events(me, now);
            move(me, other, now, &t, true);
        }
    }
    for (int i = 0; i < 2; i++)
        kith_node_free(s[i].node);
    assert(held == 0);
    return 0;
}
