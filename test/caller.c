/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Nodes that call one address. */
#include "caller.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "crypto/crypto.h"

typedef struct late_write {
    uv_write_t req;
    caller *c;
    uv_tcp_t *tcp;
    char data[];
} late_write;

static const char *self;
static uv_loop_t *loop;
static kith_maddr addr;
static struct sockaddr_storage target;

static kith_env env = {.alloc = {.fn = kith_heap}};

void callers_die(const char *why)
{
    fprintf(stderr, "%s: %s\n", self, why);
    exit(1);
}

const kith_env *callers_env(void)
{
    return &env;
}

kith_time callers_now(void)
{
    return uv_hrtime();
}

void callers_start(const char *who, uv_loop_t *l, const char *address)
{
    kith_maddr_tcp to;
    struct rlimit files;
    self = who;
    loop = l;
    if (kith_maddr_from_text(kith_bytes_str(address), &addr, NULL) || kith_maddr_to_tcp(&addr, &to) ||
        to.host != KITH_HOST_IP4)
        callers_die("the address must be /ip4/.../tcp/...");
    struct sockaddr_in *sin = (struct sockaddr_in *)&target;
    sin->sin_family = AF_INET;
    sin->sin_port = htons(to.port);
    memcpy(&sin->sin_addr, to.value.p, 4);
    if (kith_crypto_init())
        callers_die("this OpenSSL lacks something that kith needs");
    env.rand = kith_random_os();
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

void caller_init(caller *c, const char *name, size_t i, kith_node_config *cfg, bool own,
                 bool (*events)(caller *))
{
    uint8_t seed[KITH_ED25519_SEED_LEN] = {0};
    size_t len = strlen(name);
    memcpy(seed, name, len < 7 ? len : 7);
    kith_store_be32(seed + 8, (uint32_t)i);
    *c = (caller){.events = events, .signer = kith_signer_new(seed)};
    if (own && kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, sizeof seed), &c->pq))
        callers_die("no memory");
    cfg->env = env;
    cfg->signer = c->signer;
    cfg->pq_signer = c->pq;
    c->node = c->signer ? kith_node_new(cfg, callers_now()) : NULL;
    if (!c->node)
        callers_die("no memory");
}

void caller_fini(caller *c)
{
    kith_node_free(c->node);
    kith_signer_free(c->signer);
    kith_pq_signer_free(c->pq);
}

/* ---- its socket ---- */

static void free_handle(uv_handle_t *h)
{
    free(h);
}

void caller_hang_up(caller *c, bool reset)
{
    if (!c->tcp)
        return;
    c->tcp->data = NULL;
    if (!reset || uv_tcp_close_reset(c->tcp, free_handle) < 0)
        uv_close((uv_handle_t *)c->tcp, free_handle);
    c->tcp = NULL;
}

static void room(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    static char block[256 * 1024];
    (void)h, (void)suggested;
    *buf = uv_buf_init(block, sizeof block);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    caller *c = stream->data;
    if (!c || n == 0)
        return;
    if (n > 0)
        kith_node_recv(c->node, callers_now(), c->conn, kith_span_of(buf->base, (size_t)n));
    else if (n == UV_EOF)
        kith_node_eof(c->node, callers_now(), c->conn);
    else
        kith_node_link_failed(c->node, callers_now(), c->conn, KITH_ECLOSED, uv_err_name((int)n));
    if (n < 0)
        uv_read_stop(stream);
    caller_drive(c);
}

static void on_connect(uv_connect_t *req, int status)
{
    uv_tcp_t *tcp = (uv_tcp_t *)req->handle;
    caller *c = tcp->data;
    free(req);
    if (!c)
        return;
    if (status < 0) {
        kith_node_link_failed(c->node, callers_now(), c->conn, KITH_ECLOSED, uv_err_name(status));
    } else {
        uv_tcp_nodelay(tcp, 1);
        uv_read_start((uv_stream_t *)tcp, room, on_read);
        kith_node_connected(c->node, callers_now(), c->conn, NULL, NULL);
    }
    caller_drive(c);
}

void caller_hook_up(caller *c, kith_conn *conn)
{
    uv_connect_t *req = malloc(sizeof *req);
    c->conn = conn;
    c->tcp = malloc(sizeof *c->tcp);
    if (!req || !c->tcp)
        callers_die("no memory");
    uv_tcp_init(loop, c->tcp);
    c->tcp->data = c;
    int e = uv_tcp_connect(req, c->tcp, (const struct sockaddr *)&target, on_connect);
    if (e < 0)
        callers_die(uv_strerror(e));
}

static void on_late(uv_write_t *req, int status)
{
    late_write *w = (late_write *)req;
    caller *c = w->c;
    if (status == 0 && c->tcp == w->tcp) {
        kith_node_writable(c->node, c->conn);
        caller_drive(c);
    }
    free(w);
}

/* What the socket does not take at once waits, and the node with it. */
static void put(caller *c, uint8_t *data, size_t len)
{
    uv_buf_t buf = uv_buf_init((char *)data, (unsigned)len);
    int n = uv_try_write((uv_stream_t *)c->tcp, &buf, 1);
    if (n == (int)len || (n < 0 && n != UV_EAGAIN))
        return; /* an error comes again in read */
    size_t sent = n > 0 ? (size_t)n : 0;
    late_write *w = malloc(sizeof *w + len - sent);
    if (!w)
        callers_die("no memory");
    w->c = c;
    w->tcp = c->tcp;
    memcpy(w->data, data + sent, len - sent);
    buf = uv_buf_init(w->data, (unsigned)(len - sent));
    kith_node_blocked(c->node, c->conn);
    if (uv_write(&w->req, (uv_stream_t *)c->tcp, &buf, 1, on_late) < 0)
        free(w);
}

/* ---- its node ---- */

void caller_dial(caller *c)
{
    uint64_t id;
    if (kith_node_dial(c->node, callers_now(), NULL, &addr, 1, &id))
        callers_die("cannot dial");
}

void caller_work(caller *c, kith_conn *conn)
{
    kith_node_work(conn);
    kith_node_worked(c->node, callers_now(), conn);
}

void caller_drive(caller *c)
{
    static uint8_t buf[256 * 1024];
    for (bool any = true; any;) {
        any = c->events(c);
        for (kith_conn *w; (w = kith_node_writer(c->node)); any = true) {
            size_t n = kith_node_send(c->node, callers_now(), w, kith_span_of(buf, sizeof buf));
            if (n > 0 && c->tcp)
                put(c, buf, n);
        }
    }
}

void caller_tick(caller *c)
{
    kith_time t = callers_now();
    if (kith_node_deadline(c->node) > t)
        return;
    kith_node_tick(c->node, t);
    caller_drive(c);
}
