/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two hosts over real sockets on loopback, their loops run in turns by one thread. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/host.h"
#include "proto/perf.h"
#include "proto/ping.h"

typedef struct end {
    kith_host *h;
    kith_signer *signer;
    kith_observer watch;
    unsigned connected, identified, disconnected, refused;
    kith_conn *conn;
    bool answered, gone;
    kith_err err;
    kith_sink sink;
} end;

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    end *e = ctx;
    e->connected += ev->kind == KITH_NODE_CONNECTED;
    e->identified += ev->kind == KITH_NODE_IDENTIFIED && ev->info;
    e->disconnected += ev->kind == KITH_NODE_DISCONNECTED;
    e->refused += ev->kind == KITH_NODE_REFUSED;
}

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    end *e = ctx;
    e->gone |= ev->kind == KITH_NODE_STREAM_GONE;
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    (void)h, (void)why;
    end *e = ctx;
    e->answered = true;
    e->conn = c;
    e->err = err;
}

static const char *servers; /* of names, for the next start */
static bool background;

static void start(end *e, uint8_t id)
{
    *e = (end){0};
    kith_host_config cfg = {0};
    const char *why;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {id};
    kith_node_config_default(&cfg.node);
    e->signer = kith_signer_new(seed);
    cfg.node.signer = e->signer;
    cfg.node.agent = "test";
    cfg.dns = servers;
    cfg.background = background;
    e->h = kith_host_new(&cfg, &why);
    assert_non_null(e->h);
    e->watch = (kith_observer){.event = on_event, .ctx = e};
    e->sink = (kith_sink){.event = on_stream, .ctx = e};
    kith_host_observe(e->h, &e->watch);
    kith_host_kick(e->h);
}

static void turn(end *a, end *b)
{
    uv_run(kith_host_loop(a->h), UV_RUN_NOWAIT);
    uv_run(kith_host_loop(b->h), UV_RUN_NOWAIT);
}

static void stop(end *e)
{
    kith_host_stop(e->h);
    kith_host_run(e->h);
    kith_host_free(e->h);
    kith_signer_free(e->signer);
}

static kith_maddr addr(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return a;
}

static void join(end *a, end *b, const char *where)
{
    kith_maddr at = addr(where), bound;
    start(a, 1);
    start(b, 2);
    assert_int_equal(kith_host_listen(b->h, &at, &bound), 0);
    assert_int_equal(kith_host_dial(a->h, NULL, &bound, 1, on_dialed, a), KITH_OK);
    for (int i = 0; i < 200000 && !(a->identified && b->identified); i++)
        turn(a, b);
    assert_int_equal(a->identified, 1);
    assert_int_equal(b->identified, 1);
    assert_true(a->answered);
    assert_non_null(a->conn);
}

static void two_hosts_meet_over_ipv4_and_ipv6(void **state)
{
    (void)state;
    static const char *const at[] = {"/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0"};
    for (int i = 0; i < 2; i++) {
        end a, b;
        join(&a, &b, at[i]);
        kith_conn_facts f;
        kith_conn_facts_get(a.conn, &f);
        assert_int_equal(f.suite->level, 3);
        kith_host_stop(a.h);
        for (int k = 0; k < 200000 && !b.disconnected; k++)
            turn(&a, &b);
        assert_int_equal(b.disconnected, 1);
        stop(&a);
        stop(&b);
    }
}

static void *serve_perf(void *ctx, const kith_stream_info *info)
{
    (void)ctx, (void)info;
    return kith_perf_server(kith_host_env());
}

static void bulk_goes_both_ways(void **state)
{
    (void)state;
    end a, b;
    join(&a, &b, "/ip4/127.0.0.1/tcp/0");
    kith_protocol row = {.id = kith_bytes_str(KITH_PERF_ID), .ops = &kith_perf_ops, .accept = serve_perf};
    assert_int_equal(kith_node_serve(kith_host_node(b.h), kith_host_now(b.h), &row), KITH_OK);
    kith_perf *p = kith_perf_client(kith_host_env(), 64u << 20, 64u << 20);
    kith_stream *s;
    kith_perf_result r;
    assert_int_equal(kith_node_open(kith_host_node(a.h), kith_host_now(a.h), a.conn, &row.id, 1,
                                    &kith_perf_ops, p, &a.sink, &s),
                     KITH_OK);
    kith_host_kick(a.h);
    while (kith_perf_result_get(p, &r) == KITH_ESTATE)
        turn(&a, &b);
    assert_int_equal(r.upload_bytes, 64u << 20);
    assert_int_equal(r.download_bytes, 64u << 20);
    stop(&a);
    stop(&b);
}

static void serve_bulk(end *e)
{
    kith_protocol row = {.id = kith_bytes_str(KITH_PERF_ID), .ops = &kith_perf_ops, .accept = serve_perf};
    assert_int_equal(kith_node_serve(kith_host_node(e->h), kith_host_now(e->h), &row), KITH_OK);
}

/* How long it took. */
static kith_time bulk(end *a, end *b, uint64_t up, uint64_t down)
{
    const kith_bytes id = kith_bytes_str(KITH_PERF_ID);
    kith_perf *p = kith_perf_client(kith_host_env(), up, down);
    kith_stream *s;
    kith_perf_result r;
    kith_time began = kith_host_now(a->h);
    assert_int_equal(kith_node_open(kith_host_node(a->h), kith_host_now(a->h), a->conn, &id, 1,
                                    &kith_perf_ops, p, &a->sink, &s),
                     KITH_OK);
    kith_host_kick(a->h);
    while (kith_perf_result_get(p, &r) == KITH_ESTATE)
        turn(a, b);
    assert_int_equal(r.upload_bytes, up);
    assert_int_equal(r.download_bytes, down);
    return kith_host_now(a->h) - began;
}

#define LIMIT (8u << 20)
#define BULK (2u << 20)

static void what_goes_over_connections_can_be_limited_both_ways(void **state)
{
    (void)state;
    end a, b;
    join(&a, &b, "/ip4/127.0.0.1/tcp/0");
    serve_bulk(&b);
    for (int way = 0; way < 2; way++) {
        uint64_t before[2], after[2];
        kith_host_moved(a.h, &before[0], &before[1]);
        kith_host_limit(a.h, way == 0 ? LIMIT : 0, way == 1 ? LIMIT : 0);
        kith_time took = bulk(&a, &b, way == 0 ? BULK : 0, way == 1 ? BULK : 0);
        kith_host_moved(a.h, &after[0], &after[1]);
        uint64_t moved = after[way] - before[way];
        assert_true(moved >= BULK && moved < BULK + BULK / 50);
        /* a burst, and a piece more than was there */
        assert_true((double)moved <= LIMIT * 0.1 + 256 * 1024 + LIMIT * ((double)took / 1e9));
        kith_host_limit(a.h, 0, 0);
    }
    (void)bulk(&a, &b, BULK, BULK); /* and without it nobody waits any more */
    kith_host_limit(a.h, 1, 1);     /* who cannot say its last words for years says them all the same */
    stop(&a);
    stop(&b);
}

/* Of the sockets of this process that are connected over TCP of a family: how many say that they give way. */
static unsigned marked(sa_family_t family)
{
    const bool v6 = family == AF_INET6;
    unsigned n = 0;
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    bool lp = setsockopt(probe, IPPROTO_TCP, TCP_CONGESTION, "lp", 2) == 0;
    close(probe);
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        int tos = 0, priority = 0;
        char congestion[16] = "";
        if (getpeername(fd, (struct sockaddr *)&peer, &len) || peer.ss_family != family)
            continue;
        len = sizeof tos;
        assert_int_equal(
            getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, &tos, &len), 0);
        len = sizeof priority;
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, &len), 0);
        len = sizeof congestion;
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, &len), 0);
        if (tos == 4) {
            assert_int_equal(priority, 1);
            assert_true(!lp || strcmp(congestion, "lp") == 0);
            n++;
        }
    }
    return n;
}

static void connections_of_a_host_in_the_background_give_way(void **state)
{
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        const char *at = v6 ? "/ip6/::1/tcp/0" : "/ip4/127.0.0.1/tcp/0";
        const sa_family_t family = v6 ? AF_INET6 : AF_INET;
        end a, b;
        join(&a, &b, at);
        assert_int_equal(marked(family), 0);
        stop(&a);
        stop(&b);
        background = true;
        join(&a, &b, at);
        background = false;
        assert_int_equal(marked(family), 2); /* both ends */
        stop(&a);
        stop(&b);
    }
}

static void a_closed_port_is_refused(void **state)
{
    (void)state;
    end a, b;
    start(&a, 1);
    start(&b, 2);
    kith_maddr at = addr("/ip4/127.0.0.1/tcp/0"), bound;
    assert_int_equal(kith_host_listen(b.h, &at, &bound), 0);
    stop(&b);
    assert_int_equal(kith_host_dial(a.h, NULL, &bound, 1, on_dialed, &a), KITH_OK);
    for (int i = 0; i < 200000 && !a.answered; i++)
        uv_run(kith_host_loop(a.h), UV_RUN_NOWAIT);
    assert_true(a.answered);
    assert_null(a.conn);
    assert_int_equal(a.err, KITH_EREFUSED);
    stop(&a);
}

static void a_taken_port_is_an_error(void **state)
{
    (void)state;
    end a, b;
    start(&a, 1);
    start(&b, 2);
    kith_maddr at = addr("/ip4/127.0.0.1/tcp/0"), bound;
    assert_int_equal(kith_host_listen(b.h, &at, &bound), 0);
    assert_int_equal(kith_host_listen(a.h, &bound, NULL), UV_EADDRINUSE);
    stop(&a);
    stop(&b);
}

static void dial_localhost(const char *spelling)
{
    end a, b;
    start(&a, 1);
    start(&b, 2);
    kith_maddr at = addr("/ip4/127.0.0.1/tcp/0"), bound, name = addr(spelling);
    kith_maddr_tcp t;
    assert_int_equal(kith_host_listen(b.h, &at, &bound), 0);
    assert_int_equal(kith_maddr_to_tcp(&bound, &t), KITH_OK);
    uint8_t port[2] = {(uint8_t)(t.port >> 8), (uint8_t)t.port};
    assert_int_equal(kith_maddr_add(&name, KITH_MA_TCP, kith_bytes_of(port, 2)), KITH_OK);
    assert_int_equal(kith_host_dial(a.h, NULL, &name, 1, on_dialed, &a), KITH_OK);
    for (int i = 0; i < 2000000 && !a.answered; i++)
        turn(&a, &b);
    assert_true(a.answered);
    assert_non_null(a.conn);
    stop(&a);
    stop(&b);
}

static void names_below_localhost_are_this_machine_and_nobody_is_asked(void **state)
{
    (void)state;
    servers = "127.0.0.1:1"; /* where nobody answers */
    dial_localhost("/dns4/localhost");
    dial_localhost("/dns/kith.LocalHost");
    servers = NULL;
}

/* ---- a name server ---- */

typedef struct zone {
    uv_udp_t udp;
    char servers[64];
    const char *txt[4][2]; /* name, one dnsaddr */
    unsigned asked;
} zone;

static size_t put_name(uint8_t *out, const uint8_t *question)
{
    size_t n = 0;
    while (question[n])
        n += question[n] + 1u;
    memcpy(out, question, n + 1);
    return n + 1;
}

static void name_text(const uint8_t *question, char out[256])
{
    size_t at = 0;
    for (; *question; question += *question + 1) {
        memcpy(out + at, question + 1, *question);
        at += *question;
        out[at++] = '.';
    }
    out[at ? at - 1 : 0] = '\0';
}

static void on_query(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
                     unsigned flags)
{
    (void)flags;
    zone *z = udp->data;
    const uint8_t *q = (const uint8_t *)buf->base;
    uint8_t out[1024];
    char name[256];
    if (n < 17)
        return;
    z->asked++;
    name_text(q + 12, name);
    memcpy(out, q, 12);
    size_t len = 12 + put_name(out + 12, q + 12);
    uint8_t type = q[len + 1];
    memcpy(out + len, q + len, 4);
    len += 4;
    out[2] = 0x85; /* an authoritative answer */
    out[3] = 0x80;
    memset(out + 6, 0, 6);
    out[5] = 1;
    if (type == 1 && strcmp(name, "b.kith.test") == 0) {
        static const uint8_t a[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 127, 0, 0, 1};
        memcpy(out + len, a, sizeof a);
        len += sizeof a;
        out[7]++;
    }
    for (size_t i = 0; i < 4 && type == 16; i++) {
        if (!z->txt[i][0] || strcmp(z->txt[i][0], name) != 0)
            continue;
        size_t text = strlen(z->txt[i][1]);
        assert_true(text < 255);
        const uint8_t head[] = {0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 9, 0, (uint8_t)(text + 1), (uint8_t)text};
        memcpy(out + len, head, sizeof head);
        memcpy(out + len + sizeof head, z->txt[i][1], text);
        len += sizeof head + text;
        out[7]++;
    }
    if (out[7] == 0 && type != 28)
        out[3] |= 3; /* no such name */
    uv_buf_t answer = uv_buf_init((char *)out, (unsigned)len);
    assert_int_equal(uv_udp_try_send(udp, &answer, 1, from), len);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    static char space[2048];
    (void)handle, (void)size;
    *buf = uv_buf_init(space, sizeof space);
}

static void zone_open(zone *z, uv_loop_t *loop)
{
    struct sockaddr_in at;
    int len = sizeof at;
    *z = (zone){0};
    uv_ip4_addr("127.0.0.1", 0, &at);
    assert_int_equal(uv_udp_init(loop, &z->udp), 0);
    assert_int_equal(uv_udp_bind(&z->udp, (struct sockaddr *)&at, 0), 0);
    assert_int_equal(uv_udp_getsockname(&z->udp, (struct sockaddr *)&at, &len), 0);
    snprintf(z->servers, sizeof z->servers, "127.0.0.1:%d", ntohs(at.sin_port));
    z->udp.data = z;
    uv_udp_recv_start(&z->udp, on_alloc, on_query);
}

static void dial_name(end *a, end *b, const char *name, kith_err want)
{
    kith_maddr at = addr(name);
    a->answered = false;
    a->conn = NULL;
    assert_int_equal(kith_host_dial(a->h, NULL, &at, 1, on_dialed, a), KITH_OK);
    for (int i = 0; i < 2000000 && !a->answered; i++)
        turn(a, b);
    assert_true(a->answered);
    assert_int_equal(a->err, want);
}

/* TXT records lead to addresses, over further names, to the peer that is wanted; and a circle ends. */
static void a_dnsaddr_leads_to_the_peer(void **state)
{
    (void)state;
    end a, b;
    zone z;
    char id[KITH_PEER_ID_TEXT_MAX + 1], text[KITH_MADDR_TEXT_MAX + 1], good[2048], wrong[2048], name[256];
    start(&b, 2);
    kith_maddr at = addr("/ip4/127.0.0.1/tcp/0"), bound;
    assert_int_equal(kith_host_listen(b.h, &at, &bound), 0);
    zone_open(&z, kith_host_loop(b.h));
    servers = z.servers;
    start(&a, 1);
    servers = NULL;
    kith_peer_id_text(kith_node_id(kith_host_node(b.h)), id);
    kith_maddr_text(&bound, text);
    snprintf(good, sizeof good, "dnsaddr=%s/p2p/%s", text, id);
    kith_peer_id_text(kith_node_id(kith_host_node(a.h)), name);
    snprintf(wrong, sizeof wrong, "dnsaddr=/ip4/127.0.0.1/tcp/1/p2p/%s", name);
    const char *records[4][2] = {{"_dnsaddr.kith.test", "dnsaddr=/dnsaddr/more.kith.test"},
                                 {"_dnsaddr.more.kith.test", wrong},
                                 {"_dnsaddr.more.kith.test", good},
                                 {"_dnsaddr.circle.kith.test", "dnsaddr=/dnsaddr/circle.kith.test"}};
    memcpy(z.txt, records, sizeof records);

    snprintf(name, sizeof name, "/dnsaddr/kith.test/p2p/%s", id);
    dial_name(&a, &b, name, KITH_OK);
    assert_non_null(a.conn);
    assert_int_equal(z.asked, 2);
    dial_name(&a, &b, "/dnsaddr/nowhere.kith.test", KITH_ENOTFOUND);
    z.asked = 0;
    dial_name(&a, &b, "/dnsaddr/circle.kith.test", KITH_ENOTFOUND);
    assert_in_range(z.asked, 1, 5);
    kith_maddr_tcp t;
    assert_int_equal(kith_maddr_to_tcp(&bound, &t), KITH_OK);
    snprintf(name, sizeof name, "/dns/b.kith.test/tcp/%u", t.port);
    dial_name(&a, &b, name, KITH_OK);
    snprintf(name, sizeof name, "/dns6/b.kith.test/tcp/%u", t.port);
    dial_name(&a, &b, name, KITH_ENOTFOUND);
    uv_close((uv_handle_t *)&z.udp, NULL);
    stop(&a);
    stop(&b);
}

static void a_wildcard_is_told_as_the_interfaces_addresses(void **state)
{
    (void)state;
    end a;
    start(&a, 1);
    kith_maddr at = addr("/ip4/0.0.0.0/tcp/0"), bound, out[64];
    assert_int_equal(kith_host_listen(a.h, &at, &bound), 0);
    size_t n = kith_host_addrs(a.h, out, 64);
    assert_true(n >= 1);
    for (size_t i = 0; i < n; i++) {
        kith_maddr_tcp t;
        assert_int_equal(kith_maddr_to_tcp(&out[i], &t), KITH_OK);
        assert_int_not_equal(t.value.p[0], 0);
        assert_int_not_equal(t.port, 0);
    }
    stop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_hosts_meet_over_ipv4_and_ipv6),
        cmocka_unit_test(bulk_goes_both_ways),
        cmocka_unit_test(what_goes_over_connections_can_be_limited_both_ways),
        cmocka_unit_test(connections_of_a_host_in_the_background_give_way),
        cmocka_unit_test(a_closed_port_is_refused),
        cmocka_unit_test(a_taken_port_is_an_error),
        cmocka_unit_test(names_below_localhost_are_this_machine_and_nobody_is_asked),
        cmocka_unit_test(a_dnsaddr_leads_to_the_peer),
        cmocka_unit_test(a_wildcard_is_told_as_the_interfaces_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
