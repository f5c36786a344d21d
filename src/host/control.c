/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The control socket's clients on the loop. */
#include "host/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/list.h"

#define CLOSE_MS 1000 /* for answers that are still being written */

typedef struct client {
    uv_pipe_t pipe;
    kith_link link;
    struct kith_control *control;
    kith_rpc_client *rpc;
    char *in; /* an unfinished line */
    size_t in_len, in_cap;
    bool skipping; /* the rest of a line that was too long */
    size_t out_len;
    unsigned writes;
    bool leaving; /* has said its last word: closed once it has all its answers */
    bool broken, closing;
} client;

struct kith_control {
    uv_pipe_t pipe;
    uv_timer_t timer;
    const kith_rpc_method *methods;
    void *ctx;
    kith_list clients;
    size_t count;
    char path[1024];
    bool stopping;
    unsigned open; /* handles of its own */
};

/* ---- the lock ---- */

static void write_pid(int lock)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    bool ok = ftruncate(lock, 0) == 0 && pwrite(lock, text, (size_t)n, 0) == n;
    (void)ok; /* it only makes a message better */
}

int kith_control_lock(const char *path, long *pid)
{
    *pid = 0;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        int e = errno;
        char text[32] = "";
        ssize_t n = pread(fd, text, sizeof text - 1, 0);
        if (n > 0)
            *pid = strtol(text, NULL, 10);
        close(fd);
        return -e;
    }
    write_pid(fd);
    return fd;
}

bool kith_control_wait_unlocked(const char *path, int ms)
{
    for (;; ms -= 20) {
        int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        bool unlocked = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (fd >= 0)
            close(fd);
        if (unlocked || ms <= 0)
            return unlocked;
        usleep(20000);
    }
}

/* ---- addresses ---- */

/* The socket's address. A path that is too long for one is reached through a descriptor of its folder, *dir (else -1). */
static int socket_address(const char *path, struct sockaddr_un *out, int *dir)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    *dir = -1;
    size_t len = strlen(path);
    if (len < sizeof out->sun_path) {
        memcpy(out->sun_path, path, len);
        return 0;
    }
    char folder[1024];
    const char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash - path) >= sizeof folder)
        return -ENAMETOOLONG;
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    *dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*dir < 0)
        return -errno;
    int n = snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d%s", *dir, slash);
    return n > 0 && (size_t)n < sizeof out->sun_path ? 0 : -ENAMETOOLONG;
}

static int socket_at(const char *path, int (*use)(int, const struct sockaddr *, socklen_t))
{
    struct sockaddr_un at;
    int dir, e = socket_address(path, &at, &dir);
    int fd = e ? -1 : socket(AF_UNIX, SOCK_STREAM, 0);
    if (!e && (fd < 0 || use(fd, (const struct sockaddr *)&at, sizeof at)))
        e = -errno;
    if (!e)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (dir >= 0)
        close(dir);
    if (e && fd >= 0)
        close(fd);
    return e ? e : fd;
}

int kith_control_connect(const char *path)
{
    return socket_at(path, connect);
}

/* ---- clients ---- */

static void on_client_closed(uv_handle_t *handle)
{
    client *c = handle->data;
    kith_link_remove(&c->link);
    c->control->count--;
    free(c->in);
    free(c);
}

static void client_close(client *c)
{
    /* Never from inside on_send: whoever sends is in the middle of a call. */
    if (c->closing)
        return;
    c->closing = true;
    kith_rpc_client_free(c->rpc);
    c->rpc = NULL;
    uv_close((uv_handle_t *)&c->pipe, on_client_closed);
}

typedef struct output {
    uv_write_t req;
    client *client;
    size_t len;
    char *text;
} output;

static bool all_said(const client *c)
{
    return c->writes == 0 && (!c->rpc || kith_rpc_calls(c->rpc) == 0);
}

static void on_written(uv_write_t *req, int status)
{
    output *o = req->data;
    client *c = o->client;
    c->out_len -= o->len;
    c->writes--;
    free(o->text);
    free(o);
    if (status < 0 || (c->leaving && all_said(c)))
        client_close(c);
}

/* Ends a client from where it must not be closed: its reading and writing fail at once. */
static void client_break(client *c)
{
    uv_os_fd_t fd;
    c->broken = true;
    if (uv_fileno((const uv_handle_t *)&c->pipe, &fd) == 0)
        (void)shutdown(fd, SHUT_RDWR);
}

static void on_send(void *ctx, const json_t *message)
{
    client *c = ctx;
    if (c->closing || c->broken)
        return;
    output *o = calloc(1, sizeof *o);
    char *text = json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(9));
    size_t len = text ? strlen(text) : 0;
    if (!o || !text || len + 1 > KITH_CONTROL_OUT_MAX - c->out_len) {
        free(o);
        free(text);
        client_break(c); /* does not read what it asked for */
        return;
    }
    text[len] = '\n'; /* in place of the NUL */
    *o = (output){.client = c, .len = len + 1, .text = text};
    o->req.data = o;
    uv_buf_t b = uv_buf_init(text, (unsigned)o->len);
    if (uv_write(&o->req, (uv_stream_t *)&c->pipe, &b, 1, on_written)) {
        free(text);
        free(o);
        client_break(c);
        return;
    }
    c->out_len += o->len;
    c->writes++;
}

static size_t on_unsent(void *ctx)
{
    return ((const client *)ctx)->out_len;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    client *c = handle->data;
    if (c->in_cap - c->in_len < 1024) {
        size_t cap = c->in_cap ? c->in_cap * 2 : 4096;
        char *in = realloc(c->in, cap);
        if (in) {
            c->in = in;
            c->in_cap = cap;
        }
    }
    *buf = uv_buf_init(c->in ? c->in + c->in_len : NULL, (unsigned)(c->in_cap - c->in_len));
}

static void take_lines(client *c)
{
    size_t at = 0;
    const char *nl;
    while (!c->closing && (nl = memchr(c->in + at, '\n', c->in_len - at))) {
        size_t len = (size_t)(nl - (c->in + at));
        if (!c->skipping && len > 0)
            kith_rpc_line(c->rpc, kith_bytes_of(c->in + at, len));
        c->skipping = false;
        at += len + 1;
    }
    if (c->closing)
        return;
    c->in_len -= at;
    memmove(c->in, c->in + at, c->in_len);
    if (c->in_len > KITH_RPC_LINE_MAX && !c->skipping) {
        kith_rpc_line(c->rpc, kith_bytes_of(c->in, c->in_len)); /* which says that it is too long */
        c->skipping = true;
    }
    if (c->skipping)
        c->in_len = 0;
}

/* Whether the other side closed both ways, or is dead. A half-close looks the same to read. */
static bool has_hung_up(const client *c)
{
    struct pollfd p = {.events = 0};
    return uv_fileno((const uv_handle_t *)&c->pipe, &p.fd) ||
           (poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    client *c = stream->data;
    if (n == UV_EOF && !c->broken && !all_said(c) && !has_hung_up(c)) {
        c->leaving = true; /* it still wants its answers */
        return;
    }
    if (n < 0) {
        client_close(c);
        return;
    }
    c->in_len += (size_t)n;
    if (n > 0)
        take_lines(c);
}

/* Whoever is on the other side must be us, or root. */
static bool is_ours(const uv_pipe_t *pipe)
{
    uv_os_fd_t fd;
    uid_t uid;
    if (uv_fileno((const uv_handle_t *)pipe, &fd))
        return false;
#ifdef SO_PEERCRED
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
        return false;
    uid = cred.uid;
#else
    gid_t gid;
    if (getpeereid(fd, &uid, &gid))
        return false;
#endif
    return uid == geteuid() || uid == 0;
}

static void on_connection(uv_stream_t *server, int status)
{
    struct kith_control *k = server->data;
    client *c = status < 0 ? NULL : calloc(1, sizeof *c);
    if (!c)
        return;
    c->control = k;
    c->pipe.data = c;
    if (uv_pipe_init(k->pipe.loop, &c->pipe, 0)) {
        free(c);
        return;
    }
    kith_list_push(&k->clients, &c->link);
    k->count++;
    c->rpc = kith_rpc_client_new(k->methods, k->ctx, on_send, c);
    if (c->rpc)
        kith_rpc_client_on_unsent(c->rpc, on_unsent);
    if (uv_accept(server, (uv_stream_t *)&c->pipe) || !c->rpc || k->count > KITH_CONTROL_CLIENTS_MAX ||
        !is_ours(&c->pipe) || uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read))
        client_close(c);
}

/* ---- the socket ---- */

static void on_own_closed(uv_handle_t *handle)
{
    struct kith_control *k = handle->data;
    if (--k->open == 0 && kith_list_empty(&k->clients))
        free(k);
}

static void on_late(uv_timer_t *t)
{
    struct kith_control *k = t->data;
    KITH_EACH (&k->clients, l)
        client_close(KITH_OF(l, client, link));
    if (kith_list_empty(&k->clients))
        uv_close((uv_handle_t *)&k->timer, on_own_closed);
    else
        uv_timer_start(&k->timer, on_late, 1, 0); /* after their close callbacks */
}

void kith_control_close(kith_control *k)
{
    if (!k || k->stopping)
        return;
    k->stopping = true;
    unlink(k->path);
    uv_close((uv_handle_t *)&k->pipe, on_own_closed);
    bool waiting = false;
    KITH_EACH (&k->clients, l) {
        client *c = KITH_OF(l, client, link);
        c->leaving = true;
        if (!c->closing)
            uv_read_stop((uv_stream_t *)&c->pipe);
        waiting |= c->writes > 0;
        if (c->writes == 0)
            client_close(c);
    }
    uv_ref((uv_handle_t *)&k->timer);
    uv_timer_start(&k->timer, on_late, waiting ? CLOSE_MS : 0, 0);
}

int kith_control_open(uv_loop_t *loop, const char *path, const kith_rpc_method *methods, void *ctx,
                      kith_control **out)
{
    struct kith_control *k = calloc(1, sizeof *k);
    if (!k)
        return UV_ENOMEM;
    if ((size_t)snprintf(k->path, sizeof k->path, "%s", path) >= sizeof k->path) {
        free(k);
        return UV_ENAMETOOLONG;
    }
    k->methods = methods;
    k->ctx = ctx;
    kith_list_init(&k->clients);
    (void)unlink(path); /* we hold the lock: whoever made it is gone */
    mode_t mask = umask(0177);
    int fd = socket_at(path, bind);
    umask(mask);
    if (fd < 0) {
        free(k);
        return fd;
    }
    uv_pipe_init(loop, &k->pipe, 0);
    uv_timer_init(loop, &k->timer);
    uv_unref((uv_handle_t *)&k->timer);
    k->pipe.data = k->timer.data = k;
    k->open = 2;
    int e = uv_pipe_open(&k->pipe, fd);
    if (e)
        close(fd);
    else
        e = uv_listen((uv_stream_t *)&k->pipe, 16, on_connection);
    if (e) {
        k->stopping = true;
        uv_close((uv_handle_t *)&k->pipe, on_own_closed);
        uv_close((uv_handle_t *)&k->timer, on_own_closed);
        return e;
    }
    *out = k;
    return 0;
}
