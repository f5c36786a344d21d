/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A long cable on one machine: forwards TCP connections to a loopback port, half a round-trip time late each
 * way.
 *
 *     relay PORT RTT_MILLISECONDS        prints {"port":N}, where it listens, and runs until its stdin ends
 *
 * The kernel answers a connect() at once, so the delay of TCP's own handshake is put on what follows. As on a
 * real path whose SYN leaves at 0:
 *
 *     1.0 RTT   the dialer may send (SYN-ACK)     so its bytes count as sent then, if they came earlier
 *     1.5 RTT   the listener accepts (ACK)        so we connect to it then, not before
 *
 * Bytes wait in memory, at most QUEUE_MAX each way and connection. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS_MAX 256
#define CHUNK (256u * 1024)
#define QUEUE_MAX (64u * 1024 * 1024)

typedef uint64_t ns;

typedef struct chunk {
    struct chunk *next;
    ns due;
    size_t at, len; /* len 0: the end */
    uint8_t data[];
} chunk;

/* One direction of a connection. */
typedef struct way {
    chunk *first, **last;
    size_t queued;
    bool in_done, out_done;
} way;

typedef struct conn {
    bool used;
    int fd[2];   /* 0: the dialer's side, 1: the listener's, -1 before start */
    ns start;    /* when to connect to the listener */
    way from[2]; /* what comes from fd[i] and goes to fd[1 - i] */
} conn;

static conn conns[CONNS_MAX];
static ns rtt;
static struct sockaddr_in target = {.sin_family = AF_INET};

static ns clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (ns)t.tv_sec * 1000000000u + (ns)t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static void set_up(int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fd >= FD_SETSIZE || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        die("socket");
}

static void queue(conn *c, int i, chunk *k, size_t len, ns now)
{
    ns sent = now;
    if (i == 0 && sent < c->start - rtt / 2)
        sent = c->start - rtt / 2; /* the dialer's TCP handshake is not over */
    *k = (chunk){.due = sent + rtt / 2, .len = len};
    *c->from[i].last = k;
    c->from[i].last = &k->next;
    c->from[i].queued += len;
}

static void drop(conn *c)
{
    for (int i = 0; i < 2; i++) {
        if (c->fd[i] >= 0)
            close(c->fd[i]);
        for (chunk *k; (k = c->from[i].first);) {
            c->from[i].first = k->next;
            free(k);
        }
    }
    c->used = false;
}

static void accept_one(int listener)
{
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        return;
    set_up(fd);
    for (int i = 0; i < CONNS_MAX; i++) {
        conn *c = &conns[i];
        if (c->used)
            continue;
        *c = (conn){.used = true, .fd = {fd, -1}, .start = clock_now() + rtt + rtt / 2};
        c->from[0].last = &c->from[0].first;
        c->from[1].last = &c->from[1].first;
        return;
    }
    close(fd);
}

/* False: the connection broke. */
static bool take(conn *c, int i)
{
    chunk *k = malloc(sizeof *k + CHUNK);
    if (!k)
        die("malloc");
    ssize_t n = read(c->fd[i], k->data, CHUNK);
    if (n < 0) {
        free(k);
        return errno == EAGAIN || errno == EINTR;
    }
    c->from[i].in_done = n == 0;
    chunk *less = realloc(k, sizeof *k + (size_t)n);
    queue(c, i, less ? less : k, (size_t)n, clock_now());
    return true;
}

/* False: the connection broke. */
static bool give(conn *c, int i, ns now)
{
    way *w = &c->from[i];
    for (chunk *k; (k = w->first) && k->due <= now;) {
        if (k->len == 0) {
            shutdown(c->fd[1 - i], SHUT_WR);
            w->out_done = true;
        } else {
            ssize_t n = write(c->fd[1 - i], k->data + k->at, k->len - k->at);
            if (n < 0)
                return errno == EAGAIN || errno == EINTR;
            k->at += (size_t)n;
            w->queued -= (size_t)n;
            if (k->at < k->len)
                return true;
        }
        w->first = k->next;
        if (!w->first)
            w->last = &w->first;
        free(k);
    }
    return true;
}

typedef struct waiting {
    fd_set in, out;
    int max;
    ns until; /* UINT64_MAX: nothing is due */
} waiting;

static void wait_for(fd_set *set, waiting *w, int fd)
{
    FD_SET(fd, set);
    if (fd > w->max)
        w->max = fd;
}

static void wait_conn(conn *c, waiting *w, ns now)
{
    if (c->fd[1] < 0 && c->start < w->until)
        w->until = c->start;
    for (int i = 0; i < 2; i++) {
        way *from = &c->from[i];
        if (c->fd[i] >= 0 && !from->in_done && from->queued < QUEUE_MAX)
            wait_for(&w->in, w, c->fd[i]);
        if (c->fd[1] < 0 || !from->first)
            continue;
        if (from->first->due <= now)
            wait_for(&w->out, w, c->fd[1 - i]);
        else if (from->first->due < w->until)
            w->until = from->first->due;
    }
}

static void move(conn *c, const waiting *w)
{
    ns now = clock_now();
    bool ok = true;
    if (c->fd[1] < 0 && now >= c->start) {
        c->fd[1] = socket(AF_INET, SOCK_STREAM, 0);
        if (c->fd[1] < 0 || connect(c->fd[1], (struct sockaddr *)&target, sizeof target))
            ok = false;
        else
            set_up(c->fd[1]);
    }
    for (int i = 0; i < 2 && ok; i++) {
        if (c->fd[i] >= 0 && FD_ISSET(c->fd[i], &w->in))
            ok = take(c, i);
        if (ok && c->fd[1] >= 0)
            ok = give(c, i, clock_now());
    }
    if (!ok || (c->from[0].out_done && c->from[1].out_done))
        drop(c);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: relay PORT RTT_MILLISECONDS\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    target.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    rtt = (ns)(strtod(argv[2], NULL) * 1e6);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = target.sin_addr};
    socklen_t len = sizeof own;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&own, len) || listen(listener, CONNS_MAX) ||
        getsockname(listener, (struct sockaddr *)&own, &len))
        die("listen");
    set_up(listener);
    printf("{\"port\":%u}\n", ntohs(own.sin_port));
    fflush(stdout);
    for (;;) {
        ns now = clock_now();
        waiting w = {.until = UINT64_MAX};
        wait_for(&w.in, &w, STDIN_FILENO);
        wait_for(&w.in, &w, listener);
        for (int i = 0; i < CONNS_MAX; i++) {
            if (conns[i].used)
                wait_conn(&conns[i], &w, now);
        }
        ns left = w.until > now ? w.until - now : 0;
        struct timespec t = {.tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u)};
        if (pselect(w.max + 1, &w.in, &w.out, NULL, w.until == UINT64_MAX ? NULL : &t, NULL) < 0)
            die("pselect");
        if (FD_ISSET(STDIN_FILENO, &w.in) && read(STDIN_FILENO, (char[64]){0}, 64) <= 0)
            return 0;
        for (int i = 0; i < CONNS_MAX; i++) {
            if (conns[i].used)
                move(&conns[i], &w);
        }
        if (FD_ISSET(listener, &w.in))
            accept_one(listener);
    }
}
