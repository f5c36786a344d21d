/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The same client for every implementation's listener: many kith nodes in one process that dial one address.
 *
 *     load ADDR crowd COUNT           opens so many connections, each from a peer of its own, says so, and
 *                                     keeps them until stdin ends
 *     load ADDR handshakes SECONDS    connects, authenticates, closes, and again, on eight peers at once
 *     load ADDR pings COUNT           one ping after the other on one stream
 *     ... classical                   offers only /noise; the default is kith's own preference: ML-KEM, and an ML-DSA identity
 *     ... hybrid                      the channel without that identity: /noise-mlkem768-hfs/0.2.0, then /noise
 *
 * Prints one line of JSON. A connection counts when it is open: authenticated and multiplexed. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <uv.h>

#include "crypto/crypto.h"
#include "node/node.h"
#include "proto/ping.h"

#define SLOTS 8                 /* peers of the handshakes job */
#define CONNECTING 32           /* of the crowd's connections under way at once */
#define CROWD_TIME KITH_SEC(60) /* what a listener has not taken by then it does not take */

typedef struct client {
    kith_node *node;
    kith_conn *conn;
    uv_tcp_t *tcp; /* NULL: not connected */
    bool open;
    kith_time asked; /* when this connection was wanted */
    kith_ping *ping;
    kith_stream *stream;
} client;

typedef struct late_write {
    uv_write_t req;
    client *client;
    uv_tcp_t *tcp;
    char data[];
} late_write;

static enum { CROWD, HANDSHAKES, PINGS } job;
static enum { OWN, HYBRID, CLASSICAL } channel;
static client *clients;
static size_t client_count, wanted, started, live, failures;
static const char *why_not = "";
static kith_maddr addr;
static struct sockaddr_storage target;
static kith_time begin, until = KITH_NEVER;
static const char *suite = "";
static bool reported;

static double *samples;
static size_t sample_count, sample_room;

static void *heap(void *ctx, void *p, size_t old, size_t size)
{
    (void)ctx, (void)old;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, size);
}

static kith_env env = {.alloc = {.fn = heap}};

static _Noreturn void die(const char *text)
{
    fprintf(stderr, "load: %s\n", text);
    exit(1);
}

static kith_time now(void)
{
    return uv_hrtime();
}

static void sample(kith_time took)
{
    if (sample_count == sample_room) {
        sample_room = sample_room ? 2 * sample_room : 1024;
        samples = realloc(samples, sample_room * sizeof *samples);
        if (!samples)
            die("no memory");
    }
    samples[sample_count++] = (double)took / 1e9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double percentile(double p)
{
    if (sample_count == 0)
        return 0;
    size_t i = (size_t)(p * (double)sample_count);
    return samples[i < sample_count ? i : sample_count - 1];
}

static void report(void)
{
    reported = true;
    if (sample_count > 0)
        qsort(samples, sample_count, sizeof *samples, by_value);
    printf(
        "{\"count\":%zu,\"open\":%zu,\"failed\":%zu,\"why\":\"%s\",\"seconds\":%.6f,\"secure_channel\":\"%s\","
        "\"p50\":%.9f,\"p90\":%.9f,\"p99\":%.9f}\n",
        sample_count, live, failures, why_not, (double)(now() - begin) / 1e9, suite, percentile(0.5),
        percentile(0.9), percentile(0.99));
    fflush(stdout);
}

/* ---- the sockets of a client ---- */

static void drive(client *c);
static void dial(client *c);

static void free_handle(uv_handle_t *h)
{
    free(h);
}

static void hang_up(client *c)
{
    if (!c->tcp)
        return;
    c->tcp->data = NULL;
    uv_close((uv_handle_t *)c->tcp, free_handle);
    c->tcp = NULL;
}

static void room(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    static char block[256 * 1024]; /* one loop, one thread */
    (void)h, (void)suggested;
    *buf = uv_buf_init(block, sizeof block);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    client *c = stream->data;
    if (!c || n == 0)
        return;
    if (n > 0)
        kith_node_recv(c->node, now(), c->conn, kith_span_of(buf->base, (size_t)n));
    else if (n == UV_EOF)
        kith_node_eof(c->node, now(), c->conn);
    else
        kith_node_link_failed(c->node, now(), c->conn, KITH_ECLOSED, uv_err_name((int)n));
    if (n < 0)
        uv_read_stop(stream);
    drive(c);
}

static void on_connect(uv_connect_t *req, int status)
{
    uv_tcp_t *tcp = (uv_tcp_t *)req->handle;
    client *c = tcp->data;
    free(req);
    if (!c)
        return;
    if (status < 0) {
        kith_node_link_failed(c->node, now(), c->conn, KITH_ECLOSED, uv_err_name(status));
    } else {
        uv_tcp_nodelay(tcp, 1);
        uv_read_start((uv_stream_t *)tcp, room, on_read);
        kith_node_connected(c->node, now(), c->conn, NULL, NULL);
    }
    drive(c);
}

static void hook_up(client *c)
{
    uv_connect_t *req = malloc(sizeof *req);
    c->tcp = malloc(sizeof *c->tcp);
    if (!req || !c->tcp)
        die("no memory");
    uv_tcp_init(uv_default_loop(), c->tcp);
    c->tcp->data = c;
    int e = uv_tcp_connect(req, c->tcp, (const struct sockaddr *)&target, on_connect);
    if (e < 0)
        die(uv_strerror(e));
}

static void on_late(uv_write_t *req, int status)
{
    late_write *w = (late_write *)req;
    client *c = w->client;
    if (status == 0 && c->tcp == w->tcp) {
        kith_node_writable(c->node, c->conn);
        drive(c);
    }
    free(w);
}

/* What the socket does not take at once waits, and the node with it. */
static void put(client *c, uint8_t *data, size_t len)
{
    uv_buf_t buf = uv_buf_init((char *)data, (unsigned)len);
    int n = uv_try_write((uv_stream_t *)c->tcp, &buf, 1);
    if (n == (int)len || (n < 0 && n != UV_EAGAIN))
        return; /* an error comes again in read */
    size_t sent = n > 0 ? (size_t)n : 0;
    late_write *w = malloc(sizeof *w + len - sent);
    if (!w)
        die("no memory");
    w->client = c;
    w->tcp = c->tcp;
    memcpy(w->data, data + sent, len - sent);
    buf = uv_buf_init(w->data, (unsigned)(len - sent));
    kith_node_blocked(c->node, c->conn);
    if (uv_write(&w->req, (uv_stream_t *)c->tcp, &buf, 1, on_late) < 0)
        free(w);
}

/* ---- what the client does ---- */

static void next_of_crowd(void)
{
    while (started < wanted && started - live - failures < CONNECTING)
        dial(&clients[started++]);
    if (!reported && started == wanted && live + failures == wanted)
        report();
}

static void on_open(client *c)
{
    kith_conn_facts f;
    kith_conn_facts_get(c->conn, &f);
    suite = f.suite->id;
    c->open = true;
    live++;
    if (job != PINGS)
        sample(now() - c->asked);
    if (job == CROWD) {
        next_of_crowd();
    } else if (job == HANDSHAKES) {
        kith_node_close(c->node, now(), c->conn);
    } else {
        static const kith_bytes id = {(const uint8_t *)KITH_PING_ID, sizeof KITH_PING_ID - 1};
        c->ping = kith_ping_new(&env);
        if (!c->ping || kith_ping_start(c->ping, now()) ||
            kith_node_open(c->node, now(), c->conn, &id, 1, &kith_ping_ops, c->ping, NULL, &c->stream))
            die("cannot open a stream");
    }
}

static void on_end(client *c, const kith_node_event *ev)
{
    hang_up(c);
    if (c->open)
        live--;
    else
        failures++;
    if (!c->open || job == CROWD)
        why_not = ev->why ? ev->why : kith_err_text(ev->err);
    bool was_open = c->open;
    c->open = false;
    c->conn = NULL;
    if (job == PINGS)
        die("the connection is gone");
    if (job == CROWD && !was_open)
        next_of_crowd();
    if (job == HANDSHAKES && failures > 100)
        die(why_not);
}

static void on_pong(client *c)
{
    kith_ping_event ev;
    while (kith_ping_next(c->ping, &ev)) {
        if (ev.kind != KITH_PING_RTT)
            die(ev.why ? ev.why : "ping failed");
        sample(ev.rtt);
    }
    if (sample_count == wanted) {
        report();
        exit(0);
    }
    if (kith_ping_start(c->ping, now()))
        die("cannot ping");
    kith_node_wake(c->node, now(), c->stream);
}

static bool events(client *c)
{
    kith_node_event ev;
    bool any = false;
    while (kith_node_next(c->node, now(), &ev)) {
        any = true;
        switch (ev.kind) {
        case KITH_NODE_DIAL:
            c->conn = ev.conn;
            hook_up(c);
            break;
        case KITH_NODE_KEY: /* qkd is off */
            break;
        case KITH_NODE_WORK:
            kith_node_work(ev.conn);
            kith_node_worked(c->node, now(), ev.conn);
            break;
        case KITH_NODE_CONNECTED:
            on_open(c);
            break;
        case KITH_NODE_STREAM_READY:
            on_pong(c);
            break;
        case KITH_NODE_STREAM_GONE:
            if (ev.stream == c->stream)
                die("the peer does not answer pings");
            break;
        case KITH_NODE_DIALED:
            if (ev.err)
                why_not = ev.why ? ev.why : kith_err_text(ev.err);
            break;
        case KITH_NODE_CLOSE:
            on_end(c, &ev);
            break;
        case KITH_NODE_RESOLVE:
        case KITH_NODE_IDENTIFIED:
        case KITH_NODE_UPDATED:
        case KITH_NODE_DISCONNECTED:
        case KITH_NODE_REFUSED:
        case KITH_NODE_STREAM_OPENED:
            break;
        }
    }
    return any;
}

static void drive(client *c)
{
    static uint8_t buf[256 * 1024];
    for (;;) {
        bool any = events(c);
        for (kith_conn *w; (w = kith_node_writer(c->node));) {
            size_t n = kith_node_send(c->node, now(), w, kith_span_of(buf, sizeof buf));
            if (n > 0 && c->tcp)
                put(c, buf, n);
            any = true;
        }
        if (!any)
            break;
    }
    if (job == HANDSHAKES && !c->conn && now() < until)
        dial(c);
}

static void dial(client *c)
{
    uint64_t id;
    c->asked = now();
    if (kith_node_dial(c->node, c->asked, NULL, &addr, 1, &id))
        die("cannot dial");
    drive(c);
}

/* Deadlines are seconds away; nobody needs them to the millisecond. */
static void on_tick(uv_timer_t *timer)
{
    kith_time t = now();
    for (size_t i = 0; i < client_count; i++) {
        if (kith_node_deadline(clients[i].node) <= t) {
            kith_node_tick(clients[i].node, t);
            drive(&clients[i]);
        }
    }
    if (job == HANDSHAKES && t >= until) {
        live = 0;
        report();
        exit(0);
    }
    if (job == CROWD && !reported && t - begin >= CROWD_TIME) {
        wanted = started;
        why_not = live + failures < started && !*why_not ? "no answer" : why_not;
        report();
    }
    (void)timer;
}

static void on_stdin(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)stream, (void)buf;
    if (n < 0)
        exit(0);
}

static void client_init(client *c, size_t i)
{
    uint8_t seed[KITH_ED25519_SEED_LEN] = {'l', 'o', 'a', 'd'};
    kith_store_be32(seed + 4, (uint32_t)i);
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.env = env;
    cfg.signer = kith_signer_new(seed);
    kith_pq_signer *pq = NULL;
    if (channel == OWN && kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, sizeof seed), &pq))
        die("no memory");
    cfg.pq_signer = pq;
    cfg.agent = "kith-bench";
    cfg.pq = channel == CLASSICAL ? KITH_PQ_OFF : KITH_PQ_PREFER;
    cfg.idle_timeout = KITH_NEVER;
    cfg.ping_every = KITH_NEVER;
    c->node = cfg.signer ? kith_node_new(&cfg, now()) : NULL;
    if (!c->node)
        die("no memory");
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[4], "classical") == 0)
        channel = CLASSICAL;
    else if (argc == 5 && strcmp(argv[4], "hybrid") == 0)
        channel = HYBRID;
    if (argc != 4 && channel == OWN) {
        fputs("usage: load ADDR crowd COUNT | handshakes SECONDS | pings COUNT [classical | hybrid]\n",
              stderr);
        return 2;
    }
    kith_maddr_tcp to;
    const char *why;
    if (kith_maddr_from_text(kith_bytes_str(argv[1]), &addr, &why) || kith_maddr_to_tcp(&addr, &to) ||
        to.host != KITH_HOST_IP4)
        die("the address must be /ip4/.../tcp/...");
    struct sockaddr_in *sin = (struct sockaddr_in *)&target;
    sin->sin_family = AF_INET;
    sin->sin_port = htons(to.port);
    memcpy(&sin->sin_addr, to.value.p, 4);
    wanted = strtoul(argv[3], NULL, 10);
    if (strcmp(argv[2], "crowd") == 0)
        job = CROWD;
    else if (strcmp(argv[2], "handshakes") == 0)
        job = HANDSHAKES;
    else if (strcmp(argv[2], "pings") == 0)
        job = PINGS;
    else
        die("what is the job?");
    if (kith_crypto_init())
        die("this OpenSSL lacks something that kith needs");
    env.rand = kith_random_os();
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    client_count = job == CROWD ? wanted : job == HANDSHAKES ? SLOTS : 1;
    clients = calloc(client_count, sizeof *clients);
    if (!clients)
        die("no memory");
    for (size_t i = 0; i < client_count; i++)
        client_init(&clients[i], i);
    uv_pipe_t in;
    uv_timer_t timer;
    uv_pipe_init(uv_default_loop(), &in, 0);
    uv_timer_init(uv_default_loop(), &timer);
    uv_timer_start(&timer, on_tick, 100, 100);
    begin = now();
    if (job == HANDSHAKES)
        until = begin + KITH_SEC(wanted);
    if (job == CROWD) {
        if (uv_pipe_open(&in, 0) < 0 || uv_read_start((uv_stream_t *)&in, room, on_stdin) < 0)
            die("stdin must be a pipe");
        next_of_crowd();
    } else {
        for (size_t i = 0; i < client_count; i++)
            dial(&clients[i]);
    }
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
