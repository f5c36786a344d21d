/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* TCP sockets: accept, connect, read into one shared buffer, write each connection's output in one call per loop turn. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/sockios.h>
#endif

#include "host/clock.h"
#include "host/host_impl.h"

typedef struct sock {
    uv_tcp_t tcp;
    union {
        uv_connect_t connect;
        uv_write_t write;
        uv_shutdown_t shutdown;
    } req; /* one after another */
    kith_link link;
    kith_link leaving; /* host->leaving: we have said our last word, and wait for the peer's */
    kith_time leave_by;
    size_t untaken; /* as leave_by was set */
    kith_host *host;
    kith_conn *conn; /* NULL once the node is done with it */
    uint8_t *buf;    /* being written: from the pool, or (copied) a block of its own */
    size_t queued;   /* bytes of it */
    bool copied;
    bool connected, eof, closing;
    struct handshake *handshake; /* being worked on, or NULL */
    bool held;                   /* not read from until that is done */
    kith_link waiting;     /* host->waiting: its input has to wait for another turn; or host->slowed_reads */
    kith_link slowed;      /* host->slowed_writes */
    uint64_t turn, called; /* when it last read, and when it last was called from the queue */
    uint64_t spent;        /* of that turn */
    size_t read_max;
    unsigned cheap, patience; /* reads of this size in a row that were cheap; so many make it larger */
} sock;

/* A handshake message that is worked on. Stays until that is done, also when its socket is gone. */
typedef struct handshake {
    kith_job job;
    kith_host *host;
    kith_conn *conn;
    sock *sock; /* NULL: given up */
} handshake;

typedef struct listener {
    uv_poll_t poll;
    kith_link link;
    kith_host *host;
    int fd;
    kith_maddr bound;
} listener;

/* A close with unread bytes, and any bytes that come after it, make the kernel send a reset and forget what it has not sent yet. So a
 * socket stays until the peer has closed too; or has taken all and is silent, or takes nothing, for so long. */
#define LEAVE_SILENT KITH_SEC(1)
#define LEAVE_STALLED KITH_SEC(3)
#define LEAVE_LOOK_MS 250
#define ACCEPTS_PER_TURN 2
#define PAUSE_MIN_MS 100 /* without descriptors */
#define PAUSE_MAX_MS 1600
#define SLOW_MS 15000

/* ---- addresses ---- */

static bool to_sockaddr(const kith_maddr *a, struct sockaddr_storage *out)
{
    kith_maddr_tcp t;
    memset(out, 0, sizeof *out);
    if (kith_maddr_to_tcp(a, &t))
        return false;
    if (t.host == KITH_HOST_IP4) {
        struct sockaddr_in *in = (void *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(t.port);
        memcpy(&in->sin_addr, t.value.p, 4);
        return true;
    }
    if (t.host == KITH_HOST_IP6) {
        struct sockaddr_in6 *in = (void *)out;
        char zone[UV_IF_NAMESIZE] = "";
        in->sin6_family = AF_INET6;
        in->sin6_port = htons(t.port);
        memcpy(&in->sin6_addr, t.value.p, 16);
        if (t.zone.len > 0 && t.zone.len < sizeof zone) {
            memcpy(zone, t.zone.p, t.zone.len);
            in->sin6_scope_id = if_nametoindex(zone);
        }
        return true;
    }
    return false;
}

static void from_sockaddr(const struct sockaddr_storage *a, kith_maddr *out)
{
    *out = (kith_maddr){0};
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)a;
        kith_maddr_from_tcp(kith_bytes_of(&in->sin_addr, 4), ntohs(in->sin_port), out);
    } else if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)a;
        kith_bytes ip = kith_bytes_of(&in->sin6_addr, 16);
        if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr))
            ip = kith_bytes_skip(ip, 12);
        kith_maddr_from_tcp(ip, ntohs(in->sin6_port), out);
    }
}

static void ends_of(const uv_tcp_t *t, kith_maddr *local, kith_maddr *remote)
{
    struct sockaddr_storage a;
    int len = sizeof a;
    *local = *remote = (kith_maddr){0};
    if (uv_tcp_getsockname(t, (struct sockaddr *)&a, &len) == 0)
        from_sockaddr(&a, local);
    len = sizeof a;
    if (uv_tcp_getpeername(t, (struct sockaddr *)&a, &len) == 0)
        from_sockaddr(&a, remote);
}

/* ---- errors ---- */

static kith_err err_of(int uv)
{
    switch (uv) {
    case UV_ECONNREFUSED:
        return KITH_EREFUSED;
    case UV_ETIMEDOUT:
        return KITH_ETIMEOUT;
    case UV_ECONNRESET:
    case UV_EPIPE:
    case UV_ECONNABORTED:
        return KITH_ERESET;
    default:
        return KITH_EIO;
    }
}

/* ---- buffers ---- */

static uint8_t *pool_get(kith_host *h)
{
    return h->pool_len ? h->pool[--h->pool_len] : malloc(WRITE_BUF);
}

static void pool_put(kith_host *h, uint8_t *p)
{
    if (p && h->pool_len < POOL_MAX)
        h->pool[h->pool_len++] = p;
    else
        free(p);
}

/* ---- closing ---- */

static void release_buf(sock *s)
{
    if (s->copied)
        free(s->buf);
    else
        pool_put(s->host, s->buf);
    s->buf = NULL;
    s->host->queued -= s->queued;
    s->queued = 0;
}

static void on_closed(uv_handle_t *handle)
{
    sock *s = handle->data;
    release_buf(s);
    kith_link_remove(&s->link);
    kith_host_kick(s->host);
    free(s);
}

static void sock_close(sock *s)
{
    if (s->closing)
        return;
    s->closing = true;
    kith_link_remove(&s->waiting);
    kith_link_remove(&s->slowed);
    if (kith_link_in(&s->leaving)) {
        kith_link_remove(&s->leaving);
        s->host->leaving_count--;
    }
    uv_close((uv_handle_t *)&s->tcp, on_closed);
}

/* The node is done with the connection: what nobody has begun to compute need not be. */
static void handshake_drop(sock *s)
{
    handshake *x = s->handshake;
    if (!x)
        return;
    s->handshake = NULL;
    x->sock = NULL;
    if (kith_workers_cancel(&s->host->workers, &x->job)) {
        kith_node_worked(s->host->node, kith_host_now(s->host), x->conn);
        free(x);
    }
}

/* The socket broke, or could not connect. */
static void sock_failed(sock *s, int uv)
{
    kith_host *h = s->host;
    kith_conn *c = s->conn;
    s->conn = NULL;
    if (c) {
        kith_conn_set_link(c, NULL);
        kith_node_link_failed(h->node, kith_host_now(h), c, err_of(uv), uv_strerror(uv));
        handshake_drop(s);
        kith_host_kick(h);
    }
    sock_close(s);
}

/* Bytes written that the peer's machine has not acknowledged; where the system does not tell, those that the kernel has not taken. */
static size_t untaken(const sock *s)
{
    size_t n = uv_stream_get_write_queue_size((const uv_stream_t *)&s->tcp);
    int queued = 0;
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)&s->tcp, &fd))
        return n;
#if defined(SIOCOUTQ)
    (void)ioctl(fd, SIOCOUTQ, &queued);
#elif defined(FIONWRITE)
    (void)ioctl(fd, FIONWRITE, &queued);
#elif defined(SO_NWRITE)
    socklen_t len = sizeof queued;
    (void)getsockopt(fd, SOL_SOCKET, SO_NWRITE, &queued, &len);
#endif
    return n + (queued > 0 ? (size_t)queued : 0);
}

/* The kernel need not keep what the peer will not take. */
static void forget(const sock *s)
{
    const struct linger at_once = {.l_onoff = 1};
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)&s->tcp, &fd) == 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static void stay(sock *s, kith_time now)
{
    s->untaken = untaken(s);
    s->leave_by = now + (s->untaken > 0 ? LEAVE_STALLED : LEAVE_SILENT);
}

static void on_leave_timer(uv_timer_t *t)
{
    kith_host *h = t->data;
    kith_time now = kith_host_now(h);
    KITH_EACH (&h->leaving, k) {
        sock *s = KITH_OF(k, sock, leaving);
        if (s->untaken > 0 && untaken(s) < s->untaken) {
            stay(s, now);
        } else if (now >= s->leave_by) {
            h->untaken += s->untaken;
            if (s->untaken > 0)
                forget(s);
            sock_close(s);
        }
    }
    if (h->leaving_count == 0)
        uv_timer_stop(t);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void read_on(sock *s)
{
    s->held = false;
    int e = uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
    if (e)
        sock_failed(s, e);
}

static void on_shut(uv_shutdown_t *req, int status)
{
    if (status < 0)
        sock_close(req->data);
}

/* All is written and the node is done with it: half-closes, and closes when the peer has done the same. */
static void sock_leave(sock *s)
{
    s->req.shutdown.data = s;
    if (s->eof || uv_shutdown(&s->req.shutdown, (uv_stream_t *)&s->tcp, on_shut))
        sock_close(s);
}

void kith_tcp_close_(kith_host *h, kith_conn *c)
{
    sock *s = kith_conn_link(c);
    if (!s)
        return;
    s->conn = NULL;
    kith_link_remove(&s->slowed);
    kith_conn_set_link(c, NULL);
    handshake_drop(s);
    if (!s->connected) {
        sock_close(s);
        return;
    }
    if (h->leaving_count == LEAVING_MAX)
        sock_close(KITH_OF(kith_list_first(&h->leaving), sock, leaving));
    stay(s, kith_host_now(h));
    kith_list_push(&h->leaving, &s->leaving);
    h->leaving_count++;
    if (!uv_is_active((uv_handle_t *)&h->leave_timer))
        uv_timer_start(&h->leave_timer, on_leave_timer, LEAVE_LOOK_MS, LEAVE_LOOK_MS);
    if (!s->buf)
        sock_leave(s); /* else when its last bytes are written */
    if (s->held && !s->closing)
        read_on(s);
}

/* ---- reading ---- */

static bool is_stranger(const sock *s)
{
    return s->conn && kith_conn_stranger(s->conn);
}

/* Strangers have their turns in the order in which they came. */
static bool may_read(const sock *s)
{
    const kith_host *h = s->host;
    return !is_stranger(s) ||
           (h->by_strangers < TURN_STRANGERS && (s->called == h->turn || kith_list_empty(&h->waiting[1])));
}

static void wait_for_turn(sock *s)
{
    uv_read_stop((uv_stream_t *)&s->tcp);
    if (!kith_link_in(&s->waiting))
        kith_list_push(&s->host->waiting[is_stranger(s)], &s->waiting);
}

/* ---- limits ---- */

static void on_limit_timer(uv_timer_t *t);

static void set_limit_timer(kith_host *h)
{
    kith_time now = kith_host_now(h), at = KITH_NEVER;
    if (!kith_list_empty(&h->slowed_reads))
        at = kith_bucket_next(&h->down, now);
    if (!kith_list_empty(&h->slowed_writes))
        at = kith_time_min(at, kith_bucket_next(&h->up, now));
    if (at != KITH_NEVER && !h->closed) {
        uv_update_time(&h->loop);
        uv_timer_start(&h->limit_timer, on_limit_timer, (at - now) / 1000000u + 1, 0);
    }
}

static void on_limit_timer(uv_timer_t *t)
{
    kith_host *h = t->data;
    if (kith_bucket_ready(&h->down, kith_host_now(h))) {
        for (kith_link *k; (k = kith_list_pop(&h->slowed_reads));)
            read_on(KITH_OF(k, sock, waiting));
    }
    if (kith_bucket_ready(&h->up, kith_host_now(h))) {
        for (kith_link *k; (k = kith_list_pop(&h->slowed_writes));)
            kith_node_writable(h->node, KITH_OF(k, sock, slowed)->conn);
        kith_host_kick(h);
    }
    set_limit_timer(h);
}

void kith_host_limit(kith_host *h, uint64_t up, uint64_t down)
{
    if (h->closed || (h->up.rate == up && h->down.rate == down))
        return;
    kith_bucket_set_rate(&h->up, kith_host_now(h), up);
    kith_bucket_set_rate(&h->down, kith_host_now(h), down);
    set_limit_timer(h);
}

void kith_host_moved(const kith_host *h, uint64_t *up, uint64_t *down)
{
    if (up)
        *up = h->up.spent;
    if (down)
        *down = h->down.spent;
}

static bool read_too_much(const sock *s)
{
    kith_host *h = s->host;
    return h->down.rate > 0 && s->conn && !is_stranger(s) && !kith_bucket_ready(&h->down, kith_host_now(h));
}

static void wait_to_read(sock *s)
{
    uv_read_stop((uv_stream_t *)&s->tcp);
    kith_link_remove(&s->waiting);
    kith_list_push(&s->host->slowed_reads, &s->waiting);
    set_limit_timer(s->host);
}

/* False: it has to wait until what was written is within the limit. */
static bool may_write(sock *s)
{
    kith_host *h = s->host;
    if (h->up.rate == 0 || kith_conn_stranger(s->conn) || kith_bucket_ready(&h->up, kith_host_now(h)))
        return true;
    kith_node_blocked(h->node, s->conn);
    kith_list_push(&h->slowed_writes, &s->slowed);
    set_limit_timer(h);
    return false;
}

static void spend(kith_host *h, kith_bucket *b, size_t n)
{
    kith_bucket_spend(b, b->rate ? kith_host_now(h) : 0, n);
}

/* ---- turns ---- */

/* What a read of n bytes in large records costs, or a little more. */
static uint64_t cheap(size_t n)
{
    return n / 100 + 2 * READ_COST;
}

/* Of a loop turn. */
static uint64_t share_of(const sock *s)
{
    return s->conn && kith_conn_throttled(s->conn) ? TURN_PEER / TURN_THROTTLED : TURN_PEER;
}

/* libuv reads up to 32 buffers in a row as long as they come out full, and knows nothing of what they cost. So this counts it, and sets
 * the size of the next: a peer whose bytes are dear gets few at a time, and more again only after many that were cheap, each time twice
 * as many. */
static void account(sock *s, bool stranger, size_t n, uint64_t cost)
{
    kith_host *h = s->host;
    if (s->turn != h->turn)
        s->spent = 0;
    s->turn = h->turn;
    cost += READ_COST;
    s->spent += cost;
    h->spent += cost;
    if (stranger)
        h->by_strangers += cost;
    if (cost > TURN_PEER && cost > cheap(n)) {
        s->read_max = n * TURN_PEER / cost;
        s->read_max = s->read_max < READ_MIN ? READ_MIN : s->read_max;
        s->patience = s->patience < PATIENCE_MAX ? s->patience * 2 : s->patience;
        s->cheap = 0;
    } else if (n == s->read_max && n < READ_BUF && ++s->cheap >= s->patience) {
        s->read_max = s->read_max * 2 < READ_BUF ? s->read_max * 2 : READ_BUF;
        s->cheap = 0;
    }
    if (s->spent >= share_of(s) || (h->spent >= TURN_ALL && s->spent > TURN_LIGHT) ||
        (s->conn && kith_conn_laden(s->conn)))
        wait_for_turn(s);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    sock *s = handle->data;
    const kith_bucket *down = &s->host->down;
    size_t max = s->read_max;
    s->held = s->handshake != NULL;
    if (down->rate && max > kith_bucket_burst(down))
        max = kith_bucket_burst(down);
    bool may = !s->held && !read_too_much(s) && may_read(s);
    *buf = uv_buf_init((char *)s->host->read_buf, may ? (unsigned)max : 0);
}

/* Without reading. */
static bool is_reset(const sock *s)
{
    struct pollfd p = {0};
    return uv_fileno((const uv_handle_t *)&s->tcp, &p.fd) == 0 && poll(&p, 1, 0) == 1 &&
           (p.revents & (POLLERR | POLLHUP));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    sock *s = stream->data;
    kith_host *h = s->host;
    if (n == UV_ENOBUFS) { /* on_alloc said no, and nothing was read */
        if (!s->held && read_too_much(s))
            wait_to_read(s);
        else if (!s->held)
            wait_for_turn(s);
        else if (is_reset(s))
            sock_failed(s, UV_ECONNRESET);
        else
            uv_read_stop(stream);
        return;
    }
    s->eof |= n == UV_EOF;
    if (!s->conn) {
        if (n < 0 && !s->buf)
            sock_close(s);
        else if (n > 0)
            account(s, false, (size_t)n, (uint64_t)n / 512); /* only copied */
        return;
    }
    if (n == 0)
        return;
    if (n == UV_EOF) {
        kith_node_eof(h->node, kith_host_now(h), s->conn);
    } else if (n < 0) {
        sock_failed(s, (int)n);
        return;
    } else {
        bool stranger = kith_conn_stranger(s->conn);
        spend(h, &h->down, (size_t)n);
        uint64_t before = kith_conn_cost(s->conn);
        kith_node_recv_some(h->node, kith_host_now(h), s->conn, kith_span_of(buf->base, (size_t)n),
                            share_of(s));
        account(s, stranger, (size_t)n, kith_conn_cost(s->conn) - before);
    }
    kith_host_kick(h);
}

/* ---- handshakes: computed by workers ---- */

static void work_run(kith_job *job)
{
    kith_node_work(KITH_OF(job, handshake, job)->conn);
}

static void work_done(kith_job *job, bool ran)
{
    handshake *x = KITH_OF(job, handshake, job);
    kith_host *h = x->host;
    sock *s = x->sock;
    if (!ran)
        kith_node_link_failed(h->node, kith_host_now(h), x->conn, KITH_ECLOSED, "this node is stopping");
    if (s)
        s->handshake = NULL;
    kith_node_worked(h->node, kith_host_now(h), x->conn);
    free(x);
    if (s && s->held && !s->closing)
        read_on(s);
    kith_host_kick(h);
}

/* Whose turn it is: that of an IPv4 address or an IPv6 /64, as with the limits. */
static uint64_t source_of(const kith_conn *c)
{
    kith_conn_facts f;
    kith_maddr_tcp t;
    uint8_t key[8] = {0};
    kith_conn_facts_get(c, &f);
    if (!f.inbound)
        return KITH_JOB_OURS;
    if (kith_maddr_to_tcp(&f.remote, &t) == KITH_OK)
        memcpy(key, t.value.p, t.value.len < sizeof key ? t.value.len : sizeof key);
    return kith_load_le64(key);
}

/* With nobody else there, nobody has to wait: then a change of threads, and back, would only take time. */
void kith_tcp_work_(kith_host *h, kith_conn *c)
{
    sock *s = kith_conn_link(c);
    handshake *x = s && kith_node_conn_count(h->node) > 1 ? malloc(sizeof *x) : NULL;
    if (x) {
        *x = (handshake){.job = {.run = work_run, .done = work_done, .source = source_of(c)},
                         .host = h,
                         .conn = c,
                         .sock = s};
        if (kith_workers_add(&h->workers, &x->job)) {
            s->handshake = x;
            return;
        }
        free(x);
    }
    kith_node_work(c);
    kith_node_worked(h->node, kith_host_now(h), c);
}

/* What it read before, and then its place at the end again. */
static void go_on(sock *s)
{
    kith_host *h = s->host;
    uint64_t before = kith_conn_cost(s->conn);
    kith_node_go_on(h->node, kith_host_now(h), s->conn, share_of(s));
    s->turn = h->turn;
    s->spent = kith_conn_cost(s->conn) - before;
    h->spent += s->spent;
    wait_for_turn(s);
    kith_host_kick(h);
}

/* A turn holds so many whole shares. */
static void call_up(kith_list *waiting, unsigned count)
{
    for (kith_link *k; count-- > 0 && (k = kith_list_first(waiting));) {
        sock *s = KITH_OF(k, sock, waiting);
        if (s->called == s->host->turn)
            return; /* it has gone on already, and so have all before it */
        kith_link_remove(k);
        s->called = s->host->turn;
        if (s->conn && kith_conn_laden(s->conn))
            go_on(s);
        else
            read_on(s);
    }
}

void kith_tcp_turn_(kith_host *h)
{
    h->turn++;
    h->spent = h->by_strangers = 0;
    call_up(&h->waiting[0], TURN_ALL / TURN_PEER);
    call_up(&h->waiting[1], 1);
    if (!kith_list_empty(&h->waiting[0]) || !kith_list_empty(&h->waiting[1]))
        kith_host_kick(h); /* those who were called up may have nothing to say */
}

#define DSCP_LE (1 << 2) /* RFC 8622, lower effort, as it stands in the octet */

/* Each of these helps where it is heeded, and does no harm where it is not. */
static void give_way(const uv_tcp_t *t)
{
    uv_os_fd_t fd;
    const int le = DSCP_LE;
    if (uv_fileno((const uv_handle_t *)t, &fd))
        return;
    /* an IPv6 socket may speak IPv4, and takes both; the other kind refuses the second */
    (void)setsockopt(fd, IPPROTO_IP, IP_TOS, &le, sizeof le);
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &le, sizeof le);
#ifdef SO_PRIORITY
    const int filler =
        1; /* TC_PRIO_FILLER: the last band of this machine's own queues; after IP_TOS, which sets it too */
    (void)setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &filler, sizeof filler);
#endif
#ifdef TCP_CONGESTION
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "lp",
                     2); /* TCP Low Priority, where the kernel has it */
#endif
}

static void tune(const kith_host *h, uv_tcp_t *t)
{
    uv_tcp_nodelay(t, 1);
    uv_tcp_keepalive(t, 1, 60);
    if (h->cfg.background)
        give_way(t);
}

static void start_reading(sock *s)
{
    s->connected = true;
    s->read_max = READ_MIN;
    s->patience = PATIENCE_MIN;
    tune(s->host, &s->tcp);
    read_on(s);
}

static sock *sock_new(kith_host *h)
{
    sock *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->host = h;
    s->tcp.data = s;
    if (uv_tcp_init(&h->loop, &s->tcp)) {
        free(s);
        return NULL;
    }
    kith_list_push(&h->socks, &s->link);
    return s;
}

/* ---- writing ---- */

static void on_written(uv_write_t *req, int status)
{
    sock *s = req->data;
    kith_host *h = s->host;
    release_buf(s);
    if (status < 0) {
        sock_failed(s, status);
        return;
    }
    if (!s->conn) {
        if (!s->closing)
            sock_leave(s);
        return;
    }
    kith_node_writable(h->node, s->conn);
    kith_host_kick(h);
}

/* The socket is full: buf's bytes from..to go when it is not any more. */
static void wait_to_write(sock *s, uint8_t *buf, size_t from, size_t to)
{
    kith_host *h = s->host;
    uint8_t *copy = to - from <= WRITE_COPY ? malloc(to - from) : NULL;
    if (copy) {
        memcpy(copy, buf + from, to - from);
        pool_put(h, buf);
        buf = copy;
        to -= from;
        from = 0;
    }
    s->buf = buf;
    s->copied = copy != NULL;
    s->queued = to - from;
    h->queued += s->queued;
    s->req.write.data = s;
    kith_node_blocked(h->node, s->conn);
    uv_buf_t out = uv_buf_init((char *)buf + from, (unsigned)(to - from));
    int e = uv_write(&s->req.write, (uv_stream_t *)&s->tcp, &out, 1, on_written);
    if (e) {
        release_buf(s);
        sock_failed(s, e);
    }
}

static size_t write_max(const kith_host *h, const kith_conn *c)
{
    if (h->queued > QUEUED_SOFT || h->up.rate)
        return WRITE_SMALL;
    return kith_conn_aead(c) == KITH_AEAD_AES_256_GCM ? WRITE_BUF : WRITE_CHACHA;
}

size_t kith_tcp_write_(kith_host *h, kith_conn *c)
{
    sock *s = kith_conn_link(c);
    assert(s && !s->buf);
    if (!may_write(s))
        return 0;
    uint8_t *buf = pool_get(h);
    if (!buf) {
        kith_node_link_failed(h->node, kith_host_now(h), c, KITH_ENOMEM, "no memory for output");
        return 0;
    }
    size_t n = kith_node_send(h->node, kith_host_now(h), c, kith_span_of(buf, write_max(h, c)));
    if (n == 0) {
        pool_put(h, buf);
        return 0;
    }
    spend(h, &h->up, n);
    uv_buf_t out = uv_buf_init((char *)buf, (unsigned)n);
    int e = uv_try_write((uv_stream_t *)&s->tcp, &out, 1);
    if (e == (int)n) {
        pool_put(h, buf);
        return n;
    }
    if (e < 0 && e != UV_EAGAIN) {
        pool_put(h, buf);
        sock_failed(s, e);
        return n;
    }
    wait_to_write(s, buf, e > 0 ? (size_t)e : 0, n);
    return n;
}

/* ---- connecting ---- */

static void on_connected(uv_connect_t *req, int status)
{
    sock *s = req->data;
    kith_host *h = s->host;
    if (!s->conn)
        return; /* given up; it is being closed */
    if (status < 0) {
        sock_failed(s, status);
        return;
    }
    kith_maddr local, remote;
    ends_of(&s->tcp, &local, &remote);
    start_reading(s);
    if (!s->conn)
        return;
    kith_node_connected(h->node, kith_host_now(h), s->conn, &remote, &local);
    kith_host_kick(h);
}

void kith_tcp_connect_(kith_host *h, kith_conn *c, const kith_maddr *addr)
{
    struct sockaddr_storage to;
    sock *s = to_sockaddr(addr, &to) ? sock_new(h) : NULL;
    if (!s) {
        kith_node_link_failed(h->node, kith_host_now(h), c, KITH_EIO, "no socket to be had");
        return;
    }
    s->conn = c;
    kith_conn_set_link(c, s);
    s->req.connect.data = s;
    int e = uv_tcp_connect(&s->req.connect, &s->tcp, (const struct sockaddr *)&to, on_connected);
    if (e)
        sock_failed(s, e);
}

/* ---- listening ---- */

static void warn_now_and_then(kith_host *h, const char *what)
{
    kith_time now = kith_host_now(h);
    if (h->warned_at && now - h->warned_at < KITH_SEC(10))
        return;
    h->warned_at = now;
    kith_host_log_(h, "a connection was not taken: %s", what);
}

static void take(kith_host *h, int fd, const struct sockaddr_storage *from)
{
    kith_maddr local, remote;
    struct sockaddr_storage to = {0};
    socklen_t len = sizeof to;
    kith_conn *c;
    const char *why = NULL;
    (void)getsockname(fd, (struct sockaddr *)&to, &len);
    from_sockaddr(&to, &local);
    from_sockaddr(from, &remote);
    if (kith_node_accept(h->node, kith_host_now(h), &remote, &local, &c, &why)) {
        warn_now_and_then(h, why ? why : "no memory");
        close(fd);
        return;
    }
    kith_host_kick(h);
    sock *s = sock_new(h);
    if (!s) {
        kith_node_link_failed(h->node, kith_host_now(h), c, KITH_ENOMEM, "no memory for the socket");
        close(fd);
        return;
    }
    s->conn = c;
    kith_conn_set_link(c, s);
    int e = uv_tcp_open(&s->tcp, fd);
    if (e) {
        close(fd);
        sock_failed(s, e);
        return;
    }
    start_reading(s);
}

static void on_acceptable(uv_poll_t *p, int status, int events);

static void on_accept_timer(uv_timer_t *t)
{
    kith_host *h = t->data;
    KITH_EACH (&h->listeners, k)
        uv_poll_start(&KITH_OF(k, listener, link)->poll, UV_READABLE, on_acceptable);
}

/* Out of descriptors: who wants to connect waits in the backlog; each time that it does not help, twice as long. */
static void pause_accepting(kith_host *h, int error)
{
    KITH_EACH (&h->listeners, k)
        uv_poll_stop(&KITH_OF(k, listener, link)->poll);
    if (h->accept_pause == 0)
        kith_host_log_(
            h,
            "new connections have to wait: %s; raise the limit of open files (ulimit -n), or lower limits.conns",
            strerror(error));
    h->accept_pause = h->accept_pause == 0                 ? PAUSE_MIN_MS
                      : h->accept_pause * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS
                                                           : h->accept_pause * 2;
    uv_timer_start(&h->accept_timer, on_accept_timer, h->accept_pause, 0);
}

static void on_acceptable(uv_poll_t *p, int status, int events)
{
    listener *l = p->data;
    kith_host *h = l->host;
    (void)status, (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int fd = accept(l->fd, (struct sockaddr *)&from, &len);
        if (fd >= 0) {
            (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
            h->accept_pause = 0;
            take(h, fd, &from);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(h, errno);
            return;
        } else if (errno == EAGAIN) {
            return;
        } /* else this newcomer is gone already */
    }
}

void kith_tcp_look_at_addrs_(kith_host *h)
{
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX];
    size_t n = kith_host_addrs(h, addrs, KITH_RECORD_ADDRS_MAX);
    bool same = n == h->told_count;
    for (size_t i = 0; i < n && same; i++)
        same = kith_maddr_eq(&addrs[i], &h->told[i]);
    if (same)
        return;
    if (kith_node_set_addrs(h->node, kith_host_now(h), addrs, n)) {
        kith_host_log_(h, "no memory to announce our addresses");
        return;
    }
    memcpy(h->told, addrs, sizeof h->told);
    h->told_count = n;
    kith_host_kick(h);
}

static void on_slow_timer(uv_timer_t *t)
{
    kith_host *h = t->data;
    /* the machine may have slept, or been set right */
    kith_node_set_clock(h->node, kith_host_now(h), kith_wall_s());
    kith_tcp_look_at_addrs_(h);
}

static void on_listener_closed(uv_handle_t *handle)
{
    listener *l = handle->data;
    close(l->fd);
    free(l);
}

/* Whoever dials speaks first. A connection that says nothing is the kernel's, which keeps little for it, until its first bytes come or a
 * second is over: a storm of resets never gets here. */
static void leave_silent_to_kernel(int fd)
{
#ifdef TCP_DEFER_ACCEPT
    const int seconds = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
#else
    (void)fd;
#endif
}

static int socket_at(const struct sockaddr_storage *at, int backlog)
{
    int on = 1, fd = socket(at->ss_family, SOCK_STREAM, 0);
    if (fd < 0)
        return -errno;
    socklen_t len = at->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        (at->ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on)) ||
        bind(fd, (const struct sockaddr *)at, len) || listen(fd, backlog)) {
        int e = -errno;
        close(fd);
        return e;
    }
    leave_silent_to_kernel(fd);
    return fd;
}

int kith_host_listen(kith_host *h, const kith_maddr *addr, kith_maddr *bound)
{
    struct sockaddr_storage at;
    if (!to_sockaddr(addr, &at))
        return UV_EINVAL;
    listener *l = calloc(1, sizeof *l);
    if (!l)
        return UV_ENOMEM;
    l->host = h;
    l->poll.data = l;
    l->fd = socket_at(&at, h->cfg.backlog ? (int)h->cfg.backlog : 1024);
    int e = l->fd < 0 ? l->fd : uv_poll_init(&h->loop, &l->poll, l->fd); /* which makes it non-blocking */
    if (e) {
        if (l->fd >= 0)
            close(l->fd);
        free(l);
        return e;
    }
    uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
    socklen_t len = sizeof at;
    (void)getsockname(l->fd, (struct sockaddr *)&at, &len);
    from_sockaddr(&at, &l->bound);
    if (bound)
        *bound = l->bound;
    kith_list_push(&h->listeners, &l->link);
    kith_tcp_look_at_addrs_(h);
    if (!uv_is_active((uv_handle_t *)&h->slow_timer))
        uv_timer_start(&h->slow_timer, on_slow_timer, SLOW_MS, SLOW_MS);
    return 0;
}

static bool is_wildcard(const kith_maddr_tcp *t)
{
    for (size_t i = 0; i < t->value.len; i++) {
        if (t->value.p[i])
            return false;
    }
    return true;
}

static size_t add_unique(kith_maddr *out, size_t n, size_t max, const kith_maddr *a)
{
    for (size_t i = 0; i < n; i++) {
        if (kith_maddr_eq(&out[i], a))
            return n;
    }
    if (n < max)
        out[n++] = *a;
    return n;
}

/* Where a listener is reached at this address of the machine, without /p2p; false: not there. */
static bool reached_at(const listener *l, kith_bytes ip, kith_maddr *out)
{
    kith_maddr_tcp t;
    if (kith_maddr_to_tcp(&l->bound, &t) || t.value.len != ip.len)
        return false;
    if (!is_wildcard(&t) && !kith_bytes_eq(t.value, ip))
        return false;
    kith_maddr_from_tcp(ip, t.port, out);
    return true;
}

static kith_bytes ip_of(const uv_interface_address_t *i)
{
    if (i->address.address4.sin_family == AF_INET)
        return kith_bytes_of(&i->address.address4.sin_addr, 4);
    if (i->address.address4.sin_family == AF_INET6)
        return kith_bytes_of(&i->address.address6.sin6_addr, 16);
    return (kith_bytes){0};
}

size_t kith_host_addrs_at(kith_host *h, kith_bytes ip, kith_maddr *out, size_t max)
{
    size_t n = 0;
    kith_maddr a;
    KITH_EACH (&h->listeners, k) {
        if (reached_at(KITH_OF(k, listener, link), ip, &a))
            n = add_unique(out, n, max, &a);
    }
    return n;
}

size_t kith_host_addrs(kith_host *h, kith_maddr *out, size_t max)
{
    size_t n = 0;
    uv_interface_address_t *ifs = NULL;
    int count = 0;
    if (uv_interface_addresses(&ifs, &count))
        count = 0;
    KITH_EACH (&h->listeners, k) {
        const listener *l = KITH_OF(k, listener, link);
        kith_maddr_tcp t;
        if (kith_maddr_to_tcp(&l->bound, &t))
            continue;
        if (!is_wildcard(&t)) {
            n = add_unique(out, n, max, &l->bound);
            continue;
        }
        for (int i = 0; i < count; i++) {
            kith_maddr a;
            if (!reached_at(l, ip_of(&ifs[i]), &a) ||
                (t.host == KITH_HOST_IP6 && kith_maddr_scope(&a) == KITH_IP_LINK))
                continue; /* which means nothing without its zone */
            n = add_unique(out, n, max, &a);
        }
    }
    if (count)
        uv_free_interface_addresses(ifs, count);
    return n;
}

void kith_tcp_unlisten_(kith_host *h)
{
    for (kith_link *k; (k = kith_list_pop(&h->listeners));) {
        listener *l = KITH_OF(k, listener, link);
        uv_close((uv_handle_t *)&l->poll, on_listener_closed);
    }
}

void kith_tcp_init_(kith_host *h)
{
    uv_timer_t *const timers[] = {&h->leave_timer, &h->accept_timer, &h->slow_timer, &h->limit_timer};
    for (int i = 0; i < 4; i++) {
        uv_timer_init(&h->loop, timers[i]);
        timers[i]->data = h;
    }
    kith_list_init(&h->leaving);
    kith_list_init(&h->waiting[0]);
    kith_list_init(&h->waiting[1]);
    kith_list_init(&h->slowed_reads);
    kith_list_init(&h->slowed_writes);
    kith_bucket_init(&h->up, kith_host_now(h), 0);
    kith_bucket_init(&h->down, kith_host_now(h), 0);
}

void kith_tcp_close_all_(kith_host *h)
{
    uv_close((uv_handle_t *)&h->leave_timer, NULL);
    uv_close((uv_handle_t *)&h->accept_timer, NULL);
    uv_close((uv_handle_t *)&h->slow_timer, NULL);
    uv_close((uv_handle_t *)&h->limit_timer, NULL);
    KITH_EACH (&h->socks, k) {
        sock *s = KITH_OF(k, sock, link);
        if (s->conn)
            kith_conn_set_link(s->conn, NULL);
        s->conn = NULL;
        sock_close(s);
    }
}
