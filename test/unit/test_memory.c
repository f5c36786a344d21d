/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory that runs out, in every machine: its nth allocation fails, or that one and all after it, for every n until it gets through. It
 * says KITH_ENOMEM or does without, and leaks nothing. A new machine is a row in the table at the end. What a whole node does then, and
 * that it serves on afterwards, is in test/sim/test_faults_sim.c; what its DHT and its gossip do, in test/sim/toy/test_memory_sim.c; what
 * OpenSSL does, in test_crypto_memory.c. Machines that need more than one peer have a test of this kind beside their own. */
#include "support.h"

#include <stdio.h>

#include "apps/pipe.h"
#include "apps/share_manifest.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/timer.h"
#include "crypto/crypto.h"
#include "node/limits.h"
#include "proto/identify.h"
#include "proto/mss.h"
#include "proto/noise.h"
#include "proto/perf.h"
#include "proto/ping.h"
#include "proto/yamux.h"
#include "wire/envelope.h"
#include "wire/pb.h"

static void dice_fn(void *ctx, kith_span out)
{
    for (size_t i = 0; i < out.len; i++)
        out.p[i] = (uint8_t)(support_next(ctx) >> 56);
}

static uint64_t other_dice = 2;
/* The other side of a conversation has all the memory it wants. */
static const kith_env other = {.alloc = {.fn = kith_heap}, .rand = {&other_dice, dice_fn}};
static kith_signer *signer, *other_signer;
static kith_pq_signer *pq;
static uint8_t pubkey[KITH_PUBKEY_ED25519_LEN];
static kith_peer_id peer;

/* ---- containers ---- */

static kith_err buffer(const kith_env *env, size_t arg)
{
    (void)arg;
    kith_buf b;
    kith_err e = KITH_OK;
    kith_buf_init(&b, 1 << 20);
    for (int i = 0; i < 1000 && !e; i++)
        e = kith_buf_put(&b, env, kith_bytes_str("some bytes"));
    assert_true(e || b.len == 10000);
    kith_buf_fini(&b, env);
    return e;
}

static kith_err map(const kith_env *env, size_t arg)
{
    (void)arg;
    kith_map m = {0};
    kith_err e = KITH_OK;
    uint64_t n = 0;
    for (; n < 1000 && !e; n++)
        e = kith_map_put(&m, env, n + 1, &m);
    n -= e != KITH_OK;
    assert_int_equal(m.len, n);
    for (uint64_t i = 0; i < n; i++)
        assert_ptr_equal(kith_map_get(&m, i + 1), &m); /* what was in stays in */
    kith_map_fini(&m, env);
    return e;
}

static kith_err timers(const kith_env *env, size_t arg)
{
    (void)arg;
    kith_timers t = {0};
    kith_err e = KITH_OK;
    for (size_t n = 1; n < 1000 && !e; n++)
        e = kith_timers_reserve(&t, env, n);
    kith_timers_fini(&t, env);
    return e;
}

static kith_err limiter(const kith_env *env, size_t arg)
{
    (void)arg;
    kith_limits caps;
    kith_limits_default(&caps);
    caps.conns_per_ip = 1;
    kith_limiter *l = kith_limiter_new(env, &caps);
    if (!l)
        return KITH_ENOMEM;
    kith_err e = KITH_OK;
    uint32_t in = 0;
    for (uint8_t i = 0; i < 100 && !e; i++) {
        kith_maddr a;
        const char *why;
        uint8_t subnet = i / 4; /* four to a subnet, so that the table grows at either of the two */
        kith_maddr_from_tcp(kith_bytes_of((const uint8_t[]){9, 1, subnet, i}, 4), 1, &a);
        e = kith_limiter_accept(l, 0, &a, &why);
        in += !e;
        if (e) { /* nothing was counted, so once there is memory the address gets its one connection */
            kith_err again = kith_limiter_accept(l, 0, &a, &why);
            assert_true(again == KITH_OK || again == KITH_ENOMEM);
            in += !again;
        }
    }
    assert_int_equal(kith_limiter_usage(l).conns_in, in);
    kith_limiter_free(l);
    return e;
}

/* ---- negotiation and channel ---- */

static int find(void *ctx, kith_bytes id)
{
    (void)ctx;
    return kith_bytes_eq_str(id, "/yamux/1.0.0") ? 0 : -1;
}

enum { DIALER, LISTENER };

static kith_err mss(const kith_env *env, size_t role)
{
    const kith_bytes ids[] = {kith_bytes_str("/tls/1.0.0"), kith_bytes_str("/yamux/1.0.0")};
    kith_mss *m[2] = {kith_mss_dial(role == DIALER ? env : &other, ids, 2),
                      kith_mss_listen(role == LISTENER ? env : &other, find, NULL)};
    kith_err e = m[role] ? KITH_OK : KITH_ENOMEM;
    for (bool any = !e; any && !e;) {
        any = false;
        for (size_t from = 0; from < 2 && !e; from++) {
            uint8_t b[3];
            size_t used, n = kith_mss_send(m[from], kith_span_of(b, sizeof b));
            any |= n > 0;
            if (n > 0 && kith_mss_status(m[!from]) == KITH_MSS_RUNNING)
                e = kith_mss_recv(m[!from], kith_bytes_of(b, n), &used);
        }
    }
    if (!e)
        assert_true(kith_mss_status(m[0]) == KITH_MSS_DONE && kith_mss_status(m[1]) == KITH_MSS_DONE);
    else if (m[role])
        assert_string_equal(kith_mss_why(m[role]), "out of memory");
    kith_mss_free(m[0]);
    kith_mss_free(m[1]);
    return e;
}

static kith_err identity(const kith_env *env, size_t arg)
{
    (void)arg;
    kith_noise_identity *id = kith_noise_identity_new(env, signer, pq);
    kith_noise_identity_free(id);
    return id ? KITH_OK : KITH_ENOMEM;
}

/* Feeds bytes and takes what comes; the payload is added to *got. */
static kith_err feed(kith_noise *n, const uint8_t *p, size_t len, size_t *got)
{
    kith_err e = KITH_OK;
    kith_span copy = support_copy(kith_bytes_of(p, len));
    kith_noise_event ev;
    kith_noise_recv(n, 0, copy);
    while (kith_noise_next(n, &ev)) {
        if (ev.kind == KITH_NOISE_WORK) {
            kith_noise_work(n);
            kith_noise_worked(n, 0);
        }
        if (ev.kind == KITH_NOISE_DATA)
            *got += ev.data.len;
        if (ev.kind == KITH_NOISE_FAILED) {
            e = ev.err;
            assert_non_null(ev.why);
        }
    }
    free(copy.p);
    return e;
}

/* arg: twice the suite, and the role. */
static kith_err noise(const kith_env *env, size_t arg)
{
    static uint8_t msg[8192];
    size_t role = arg % 2, got[2] = {0};
    const kith_bytes muxers[] = {kith_bytes_str("/yamux/1.0.0")};
    kith_noise_identity *id[2];
    kith_noise *n[2];
    for (size_t i = 0; i < 2; i++) {
        const kith_env *mine = i == role ? env : &other;
        id[i] = kith_noise_identity_new(&other, i ? other_signer : signer, pq);
        kith_noise_config cfg = {.env = mine,
                                 .suite = &kith_noise_suites[arg / 2],
                                 .identity = id[i],
                                 .initiator = i == DIALER,
                                 .muxers = muxers,
                                 .muxer_count = 1};
        n[i] = kith_noise_new(&cfg);
    }
    kith_err e = n[role] ? KITH_OK : KITH_ENOMEM;
    for (size_t turn = 0; turn < 5 && !e;
         turn++) { /* the handshake, and a record each way, all in two pieces */
        kith_noise *from = n[turn % 2], *to = n[!(turn % 2)];
        size_t len = kith_noise_send(from, 0, kith_span_of(msg, sizeof msg));
        if (len == 0) {
            kith_span out = kith_span_of(msg, 1000);
            memset(kith_noise_room(from, out).p, 1, 500);
            len = kith_noise_seal(from, out, 500);
        }
        e = feed(to, msg, len / 2, &got[!(turn % 2)]);
        if (!e)
            e = feed(to, msg + len / 2, len - len / 2, &got[!(turn % 2)]);
    }
    assert_true(e || (got[0] == 500 && got[1] == 500));
    for (size_t i = 0; i < 2; i++) {
        kith_noise_free(n[i]);
        kith_noise_identity_free(id[i]);
    }
    return e;
}

/* ---- yamux ---- */

typedef struct muxer {
    kith_yamux *y;
    size_t opened, closed, eofs, data;
    kith_err err;
    kith_yamux_stream *in[64];
} muxer;

static void take(muxer *m)
{
    kith_yamux_event ev;
    while (kith_yamux_next(m->y, &ev)) {
        if (ev.kind == KITH_YAMUX_OPENED)
            m->in[m->opened++] = ev.stream;
        else if (ev.kind == KITH_YAMUX_DATA)
            m->data += ev.data.len;
        else if (ev.kind == KITH_YAMUX_EOF)
            m->eofs++;
        else if (ev.kind == KITH_YAMUX_CLOSED)
            m->closed++;
        else if (ev.kind == KITH_YAMUX_FAILED)
            m->err = ev.err;
    }
    kith_yamux_check(m->y);
}

/* Everything that one side has to say: control frames, and 20 bytes with a FIN for each stream that wants a turn. */
static bool say(muxer *from, muxer *to)
{
    static uint8_t out[64 * 1024];
    size_t n = 0;
    for (size_t k; (k = kith_yamux_send(from->y, 0, kith_span_of(out + n, sizeof out - n))) > 0;)
        n += k;
    kith_yamux_turn t;
    while (kith_yamux_turn_next(from->y, 0, sizeof out - n, &t)) {
        memset(out + n + KITH_YAMUX_HDR_LEN, 7, 20);
        n += kith_yamux_turn_end(from->y, 0, &t, 20, true, out + n);
    }
    take(from);
    kith_yamux_recv(to->y, 0, kith_bytes_of(out, n));
    take(to);
    return n > 0;
}

/* 40 streams each way, of which the machine takes 30: the others are refused. */
static kith_err yamux(const kith_env *env, size_t role)
{
    muxer m[2] = {0};
    size_t refused = 10, mine = 0;
    for (size_t i = 0; i < 2; i++) {
        kith_yamux_config cfg;
        kith_yamux_config_default(&cfg, i == role ? env : &other, i == DIALER);
        if (i == role)
            cfg.streams_in_max = 40 - (uint32_t)refused;
        m[i].y = kith_yamux_new(&cfg, 0);
    }
    if (!m[role].y) {
        kith_yamux_free(m[!role].y);
        return KITH_ENOMEM;
    }
    for (size_t i = 0; i < 40; i++) {
        kith_yamux_stream *s;
        assert_int_equal(kith_yamux_open(m[!role].y, 0, &s), KITH_OK);
        kith_yamux_want(m[!role].y, s);
        kith_err e = kith_yamux_open(m[role].y, 0, &s);
        assert_true(e == KITH_OK || e == KITH_ENOMEM);
        mine += !e;
        if (!e)
            kith_yamux_want(m[role].y, s);
    }
    for (bool any = true; any;) {
        any = say(&m[!role], &m[role]);
        any |= say(&m[role], &m[!role]);
        for (size_t i = 0; i < m[role].opened && !m[role].err; i++) {
            if (m[role].in[i] && m[role].closed == 0)
                kith_yamux_want(m[role].y, m[role].in[i]);
        }
        if (m[role].closed > 0)
            memset(m[role].in, 0, sizeof m[role].in);
    }
    kith_err e = m[role].err;
    bool all = mine == 40 && m[role].opened == 40 - refused && m[role].data == 20 * m[role].opened;
    assert_true(e || m[!role].opened == mine); /* what was opened arrived */
    assert_true(e || all || m[role].opened < 40 - refused || mine < 40);
    kith_yamux_free(m[0].y);
    kith_yamux_free(m[1].y);
    return e ? e : all ? KITH_OK : KITH_ENOMEM;
}

/* ---- machines of a stream ---- */

typedef struct side {
    const kith_stream_ops *ops;
    void *machine;
    bool fin;
} side;

static bool tell(side *from, side *to, kith_err *err)
{
    uint8_t b[37];
    if (from->fin)
        return false;
    size_t n = from->ops->send(from->machine, 0, kith_span_of(b, sizeof b));
    if (n > 0) {
        *err = to->ops->recv(to->machine, 0, kith_bytes_of(b, n));
        return true;
    }
    switch (from->ops->want(from->machine)) {
    case KITH_STREAM_OPEN:
        return false;
    case KITH_STREAM_RESET:
        *err = KITH_ENOMEM;
        return false;
    case KITH_STREAM_FIN:
        from->fin = true;
        to->ops->eof(to->machine, 0);
        return true;
    }
    return false;
}

/* Two machines until neither has more to say. Frees both. */
static kith_err talk(side a, side b)
{
    kith_err e = a.machine && b.machine ? KITH_OK : KITH_ENOMEM;
    for (bool any = !e; any && !e;) {
        any = tell(&a, &b, &e);
        if (!e)
            any |= tell(&b, &a, &e);
    }
    side *both[] = {&a, &b};
    for (size_t i = 0; i < 2; i++) {
        if (!both[i]->machine)
            continue;
        both[i]->ops->gone(both[i]->machine, 0, e);
        both[i]->ops->free(both[i]->machine);
    }
    return e;
}

static kith_err ping_asks(const kith_env *env, size_t arg)
{
    (void)arg;
    kith_ping *p = kith_ping_new(env);
    if (p) {
        assert_int_equal(kith_ping_start(p, 0), KITH_OK);
        kith_ping_close(p);
    }
    return talk((side){&kith_ping_ops, p, false},
                (side){&kith_ping_ops, kith_ping_new_responder(&other), false});
}

static kith_err ping_answers(const kith_env *env, size_t arg)
{
    (void)arg;
    kith_ping *p = kith_ping_new(&other);
    assert_int_equal(kith_ping_start(p, 0), KITH_OK);
    kith_ping_close(p);
    return talk((side){&kith_ping_ops, p, false},
                (side){&kith_ping_ops, kith_ping_new_responder(env), false});
}

static kith_err perf(const kith_env *env, size_t role)
{
    return talk((side){&kith_perf_ops, kith_perf_client(role == DIALER ? env : &other, 500, 700), false},
                (side){&kith_perf_ops, kith_perf_server(role == DIALER ? &other : env), false});
}

static kith_err identify(const kith_env *env, size_t role)
{
    static kith_maddr addrs[30];
    static uint8_t sealed[KITH_ENVELOPE_MAX];
    kith_bytes protocols[100];
    char text[100][40];
    for (uint8_t i = 0; i < 30; i++)
        kith_maddr_from_tcp(kith_bytes_of((const uint8_t[]){1, 2, 3, i}, 4), 9, &addrs[i]);
    for (size_t i = 0; i < 100; i++) {
        (void)snprintf(text[i], sizeof text[i], "/a/protocol/of/ours/number/%zu", i);
        protocols[i] = kith_bytes_str(text[i]);
    }
    kith_wr w = kith_wr_of(kith_span_of(sealed, sizeof sealed));
    assert_int_equal(kith_peer_record_seal(signer, 1, addrs, 30, &w), KITH_OK);
    kith_identify_local local = {.pubkey = kith_bytes_of(pubkey, sizeof pubkey),
                                 .addrs = addrs,
                                 .addr_count = 30,
                                 .protocols = protocols,
                                 .protocol_count = 100,
                                 .agent = kith_bytes_str("kith"),
                                 .record = kith_wr_bytes(&w)};
    kith_identify *speaker = NULL, *listener = NULL;
    kith_err e = kith_identify_speaker(role == DIALER ? env : &other, &local, &speaker);
    assert_true(e == KITH_OK || (e == KITH_ENOMEM && !speaker));
    e = kith_identify_listener(role == DIALER ? &other : env, 0, &peer, &listener);
    assert_true(e == KITH_OK || (e == KITH_ENOMEM && !listener));
    return talk((side){&kith_identify_ops, speaker, false}, (side){&kith_identify_ops, listener, false});
}

static kith_err pipe_of(const kith_env *env, size_t arg)
{
    (void)arg;
    static uint8_t block[200 * 1024];
    kith_pipe *p = kith_pipe_new(env);
    if (!p)
        return KITH_ENOMEM;
    kith_err e = kith_pipe_put(p, kith_bytes_of(block, sizeof block));
    if (!e)
        e = kith_pipe_ops.recv(p, 0, kith_bytes_of(block, sizeof block));
    for (size_t n; (n = kith_pipe_view(p).len) > 0;)
        kith_pipe_used(p, n);
    kith_pipe_ops.gone(p, 0, e);
    kith_pipe_ops.free(p);
    kith_pipe_free(p);
    return e;
}

static kith_err manifest(const kith_env *env, size_t arg)
{
    (void)arg;
    static uint8_t list[8192];
    kith_wr w = kith_wr_of(kith_span_of(list, sizeof list));
    for (unsigned i = 0; i < 60; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "f%02u", i);
        kith_entry e = {.name = kith_bytes_str(name), .type = KITH_ENTRY_FILE, .size = i + 1, .mode = 0644};
        kith_manifest_put_entry(&w, &e);
    }
    assert_false(w.bad);
    kith_manifest m;
    kith_manifest_fault fault;
    kith_err e = kith_manifest_parse(env, kith_wr_bytes(&w), true, &m, &fault);
    if (!e)
        kith_manifest_fini(&m, env);
    return e;
}

/* ---- the table ---- */

static const struct {
    const char *name;
    kith_err (*run)(const kith_env *env,
                    size_t arg); /* all that it does, with that memory; KITH_OK: it got through */
    size_t arg;
} machines[] = {
    {"buf", buffer, 0},
    {"map", map, 0},
    {"timers", timers, 0},
    {"limiter", limiter, 0},
    {"mss dialer", mss, DIALER},
    {"mss listener", mss, LISTENER},
    {"noise identity", identity, 0},
    {"noise mlkem768 initiator", noise, 0},
    {"noise mlkem768 responder", noise, 1},
    {"noise mlkem1024 initiator", noise, 2},
    {"noise mlkem1024 responder", noise, 3},
    {"noise mlkem512 initiator", noise, 4},
    {"noise mlkem512 responder", noise, 5},
    {"noise initiator", noise, 6},
    {"noise responder", noise, 7},
    {"yamux dialer", yamux, DIALER},
    {"yamux listener", yamux, LISTENER},
    {"identify speaker", identify, DIALER},
    {"identify listener", identify, LISTENER},
    {"ping asker", ping_asks, 0},
    {"ping responder", ping_answers, 0},
    {"perf client", perf, DIALER},
    {"perf server", perf, LISTENER},
    {"pipe", pipe_of, 0},
    {"manifest", manifest, 0},
};

static void any_allocation_of_any_machine_may_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        for (int once = 0; once < 2; once++) {
            size_t n = 0;
            for (bool through = false; !through;) {
                support_heap heap;
                const kith_env *env = support_env(&heap);
                heap.fail_at = ++n;
                heap.once = once;
                kith_err e = machines[i].run(env, machines[i].arg);
                through = heap.calls < n;
                bool clean = heap.blocks == 0 && heap.bytes == 0;
                if (!clean || (e && e != KITH_ENOMEM) || (through && e))
                    print_error("%s, allocation %zu fails%s: error %d, %zu bytes left\n", machines[i].name, n,
                                once ? "" : " and all after it", e, heap.bytes);
                assert_true(clean);
                assert_true(e == KITH_OK || e == KITH_ENOMEM);
                assert_true(!through || e == KITH_OK);
            }
            if (once)
                print_message("%-28s %zu allocations\n", machines[i].name, n - 1);
            assert_true(n > 1);
        }
    }
}

static int setup(void **state)
{
    (void)state;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {1}, raw[KITH_ED25519_PUB_LEN];
    if (kith_crypto_init())
        return -1;
    signer = kith_signer_new(seed);
    if (kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, sizeof seed), &pq))
        return -1;
    seed[0] = 2;
    other_signer = kith_signer_new(seed);
    kith_signer_public(signer, raw);
    kith_pubkey_ed25519(raw, pubkey);
    return kith_peer_id_of_key(kith_bytes_of(pubkey, sizeof pubkey), &peer) == KITH_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    kith_signer_free(signer);
    kith_signer_free(other_signer);
    kith_pq_signer_free(pq);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_allocation_of_any_machine_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
