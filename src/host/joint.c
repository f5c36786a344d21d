/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The joint between a stream and descriptors or a command. */
#include "host/joint.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK (64u * 1024)
#define KILL_AFTER_MS 3000 /* from SIGTERM to SIGKILL */

extern char **environ;

/* One local end: a libuv stream, or a file, which libuv reads and writes on its thread pool. */
typedef struct port {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tty_t tty;
        uv_tcp_t tcp;
    } u;
    int fd;    /* of a file, else -1 */
    int given; /* the descriptor of a handle, whose O_NONBLOCK is to be taken back; -1: none */
    int flags; /* of it, before */
    bool open; /* a handle that must be closed */
    bool busy; /* a request is under way */
    bool over; /* EOF, error or closed: nothing more happens here */
    uv_fs_t fs;
    uv_write_t write;
    uint8_t buf[CHUNK];
    size_t len; /* being written */
} port;

typedef struct kith_joint {
    kith_link link; /* in the caller's group */
    kith_host *host;
    kith_stream *stream; /* NULL once gone */
    kith_pipe *pipe;
    kith_sink sink;
    port in, out;
    uv_process_t process;
    uv_timer_t timer; /* to SIGKILL */
    bool has_command, running, told_to_end;
    unsigned handles; /* not yet closed */
    kith_joint_end how;
    kith_joint_done done;
    void *ctx;
} kith_joint;

static void pump(kith_joint *j);

static void finish_if_over(kith_joint *j)
{
    if (j->handles || j->in.busy || j->out.busy || j->stream)
        return;
    if (j->in.fd >= 0)
        close(j->in.fd);
    if (j->out.fd >= 0)
        close(j->out.fd);
    kith_link_remove(&j->link);
    j->done(j->ctx, &j->how);
    kith_pipe_free(j->pipe);
    free(j);
}

static void on_closed(uv_handle_t *handle)
{
    kith_joint *j = handle->data;
    j->handles--;
    finish_if_over(j);
}

static void port_close(kith_joint *j, port *p)
{
    (void)j;
    p->over = true;
    if (!p->open)
        return;
    p->open = false;
    if (p->given >= 0) /* whoever shares it does not expect EAGAIN */
        (void)fcntl(p->given, F_SETFL, p->flags);
    uv_close(&p->u.handle, on_closed);
}

static void touched(kith_joint *j)
{
    if (j->stream)
        kith_node_wake(kith_host_node(j->host), kith_host_now(j->host), j->stream);
    kith_host_kick(j->host);
}

/* ---- local input to stream ---- */

static void input_over(kith_joint *j, int err)
{
    bool broke = err != UV_EOF && err != 0;
    if (broke && !j->how.local_err)
        j->how.local_err = err;
    if (broke && !j->has_command &&
        j->stream) /* what could not be read to its end must not look as if it were whole */
        kith_node_reset(kith_host_node(j->host), kith_host_now(j->host), j->stream);
    j->how.last_word = kith_pipe_ended(j->pipe);
    kith_pipe_finish(j->pipe);
    if (j->in.fd < 0)
        j->in.busy = false;
    port_close(j, &j->in);
    touched(j);
}

static void input_bytes(kith_joint *j, size_t n)
{
    if (kith_pipe_room(j->pipe) < n)
        return; /* the stream is over */
    if (kith_pipe_put(j->pipe, kith_bytes_of(j->in.buf, n))) {
        input_over(j, UV_ENOMEM);
        return;
    }
    j->how.sent += n;
    touched(j);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    kith_joint *j = handle->data;
    size_t room = kith_pipe_room(j->pipe);
    *buf = uv_buf_init((char *)j->in.buf, (unsigned)(room < CHUNK ? room : CHUNK));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    kith_joint *j = stream->data;
    if (n == 0)
        return;
    if (n == UV_ENOBUFS) { /* no room: pump starts it again */
        uv_read_stop(stream);
        j->in.busy = false;
        return;
    }
    if (n < 0) {
        j->in.busy = false;
        input_over(j, (int)n);
        pump(j);
        return;
    }
    input_bytes(j, (size_t)n);
    if (j->in.open && kith_pipe_room(j->pipe) == 0) {
        uv_read_stop(stream);
        j->in.busy = false;
    }
}

static void on_file_read(uv_fs_t *req)
{
    kith_joint *j = req->data;
    ssize_t n = req->result;
    uv_fs_req_cleanup(req);
    j->in.busy = false;
    if (n > 0)
        input_bytes(j, (size_t)n);
    else
        input_over(j, (int)n);
    pump(j);
}

static void pump_in(kith_joint *j)
{
    port *p = &j->in;
    size_t room = kith_pipe_room(j->pipe);
    if (p->over || p->busy || room == 0)
        return;
    p->busy = true;
    if (p->fd < 0) {
        int e = uv_read_start(&p->u.stream, on_alloc, on_read);
        if (e) {
            p->busy = false;
            input_over(j, e);
        }
        return;
    }
    uv_buf_t b = uv_buf_init((char *)p->buf, (unsigned)(room < CHUNK ? room : CHUNK));
    p->fs.data = j;
    if (uv_fs_read(kith_host_loop(j->host), &p->fs, p->fd, &b, 1, -1, on_file_read)) {
        p->busy = false;
        input_over(j, UV_EIO);
    }
}

/* ---- stream to local output ---- */

/* Nobody takes our output any more. A command may still have something to say; else the stream has no use. */
static void output_broke(kith_joint *j, int err)
{
    if (!j->has_command && !j->how.local_err)
        j->how.local_err = err;
    port_close(j, &j->out);
    if (!j->has_command && j->stream)
        kith_node_reset(kith_host_node(j->host), kith_host_now(j->host), j->stream);
    kith_host_kick(j->host);
}

static void output_done(kith_joint *j, ssize_t n)
{
    j->out.busy = false;
    if (n < 0) {
        output_broke(j, (int)n);
    } else {
        j->how.received += (uint64_t)n;
        kith_pipe_used(j->pipe, (size_t)n);
        touched(j);
    }
    pump(j);
}

static void on_written(uv_write_t *req, int status)
{
    kith_joint *j = req->data;
    output_done(j, status < 0 ? status : (ssize_t)j->out.len);
}

static void on_file_written(uv_fs_t *req)
{
    kith_joint *j = req->data;
    ssize_t n = req->result;
    uv_fs_req_cleanup(req);
    output_done(j, n);
}

static void pump_out(kith_joint *j)
{
    port *p = &j->out;
    if (p->busy)
        return;
    kith_bytes view = kith_pipe_view(j->pipe);
    if (p->over) { /* thrown away, so that the peer is not held up */
        if (view.len) {
            kith_pipe_used(j->pipe, view.len);
            touched(j);
        }
        return;
    }
    if (view.len == 0) {
        if (kith_pipe_ended(j->pipe) || !j->stream)
            port_close(j, p); /* EOF for whoever reads it */
        return;
    }
    p->busy =
        true; /* from where it lies, and used when it is written: so the peer's window says what was really taken */
    p->len = view.len;
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)view.p, (unsigned)p->len);
    p->write.data = p->fs.data = j;
    int e = p->fd < 0 ? uv_write(&p->write, &p->u.stream, &b, 1, on_written)
                      : uv_fs_write(kith_host_loop(j->host), &p->fs, p->fd, &b, 1, -1, on_file_written);
    if (e) {
        p->busy = false;
        output_broke(j, e);
    }
}

/* ---- both ---- */

static void on_kill_timer(uv_timer_t *t)
{
    kith_joint *j = t->data;
    uv_process_kill(&j->process, SIGKILL);
}

/* The command has nobody to talk to any more. */
static void end_command(kith_joint *j)
{
    if (!j->running || j->told_to_end)
        return;
    j->told_to_end = true;
    uv_process_kill(&j->process, SIGTERM);
    uv_timer_start(&j->timer, on_kill_timer, KILL_AFTER_MS, 0);
}

static void close_input(kith_joint *j)
{
    if (j->in.over)
        return;
    if (j->in.fd < 0 && j->in.busy) {
        uv_read_stop(&j->in.u.stream);
        j->in.busy = false;
    }
    port_close(j, &j->in);
}

static void pump(kith_joint *j)
{
    kith_pipe_seen(j->pipe);
    pump_in(j);
    pump_out(j);
    if (!j->stream) {
        close_input(j);
        if (j->how.stream_err)
            end_command(j);
    }
    finish_if_over(j);
}

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    kith_joint *j = ctx;
    if (ev->kind == KITH_NODE_STREAM_GONE) {
        j->stream = NULL;
        if (!kith_pipe_gone(j->pipe,
                            &j->how.stream_err)) /* a machine around it may know more than the stream */
            j->how.stream_err = ev->err;
    }
    pump(j);
}

static void on_command_exit(uv_process_t *process, int64_t status, int signal)
{
    kith_joint *j = process->data;
    j->running = false;
    j->how.exit_status = (int)status;
    j->how.term_signal = signal;
    uv_close((uv_handle_t *)&j->timer, on_closed);
    uv_close((uv_handle_t *)process, on_closed);
}

/* NULL: no memory, and everything is given back. */
static kith_joint *joint_new(kith_host *h, kith_list *group, kith_stream *s, kith_pipe *p,
                             kith_joint_done done, void *ctx)
{
    kith_joint *j = calloc(1, sizeof *j);
    if (!j) {
        kith_joint_end how = {.local_err = UV_ENOMEM};
        kith_node_reset(kith_host_node(h), kith_host_now(h), s);
        kith_host_kick(h);
        kith_pipe_free(p);
        done(ctx, &how);
        return NULL;
    }
    kith_list_push(group, &j->link);
    j->host = h;
    j->stream = s;
    j->pipe = p;
    j->done = done;
    j->ctx = ctx;
    j->in.fd = j->out.fd = j->in.given = j->out.given = -1;
    j->sink = (kith_sink){.event = on_stream, .ctx = j};
    return j;
}

/* A port on a descriptor of any kind. */
static int port_open(kith_joint *j, port *p, int fd)
{
    uv_loop_t *loop = kith_host_loop(j->host);
    int e;
    int flags = fcntl(fd, F_GETFL);
    p->u.handle.data = j;
    uv_handle_type kind = uv_guess_handle(fd);
    if (kind == UV_TTY) {
        e = uv_tty_init(loop, &p->u.tty, fd, 0);
    } else if (kind == UV_NAMED_PIPE) {
        e = uv_pipe_init(loop, &p->u.pipe, 0);
        p->open = !e;
        if (!e)
            e = uv_pipe_open(&p->u.pipe, fd);
    } else if (kind == UV_TCP) {
        e = uv_tcp_init(loop, &p->u.tcp);
        p->open = !e;
        if (!e)
            e = uv_tcp_open(&p->u.tcp, fd);
    } else {
        p->fd = fd; /* a file or a device: read and written on libuv's thread pool */
        return 0;
    }
    p->u.handle.data = j;
    if (!e)
        p->open = true;
    else
        close(fd);              /* the handle did not take it */
    if (!e && kind != UV_TTY) { /* a terminal is opened anew by libuv */
        p->given = fd;
        p->flags = flags;
    }
    j->handles += p->open;
    return e;
}

static int give_up(kith_joint *j, int e)
{
    kith_stream *s = j->stream;
    j->stream = NULL; /* its end is nobody's news */
    j->how.local_err = e;
    kith_stream_set_user(s, NULL);
    kith_node_reset(kith_host_node(j->host), kith_host_now(j->host), s);
    kith_host_kick(j->host);
    port_close(j, &j->in);
    port_close(j, &j->out);
    finish_if_over(j);
    return e;
}

int kith_joint_fds(kith_host *h, kith_list *group, kith_stream *s, kith_pipe *p, int in, int out,
                   kith_joint_done done, void *ctx)
{
    kith_joint *j = joint_new(h, group, s, p, done, ctx);
    if (!j) {
        close(in);
        close(out);
        return UV_ENOMEM;
    }
    int e = port_open(j, &j->in, in);
    if (e) {
        close(out);
        return give_up(j, e);
    }
    e = port_open(j, &j->out, out);
    if (e)
        return give_up(j, e);
    kith_stream_set_user(s, &j->sink);
    pump(j);
    return 0;
}

/* A pipe to or from the command; *theirs is its end. A pair of sockets, which libuv would make, cannot be opened as /dev/stdout. */
static int port_pipe(kith_joint *j, port *p, bool to_command, int *theirs)
{
    uv_file ends[2];
    int e = uv_pipe(ends, to_command ? 0 : UV_NONBLOCK_PIPE, to_command ? UV_NONBLOCK_PIPE : 0);
    if (e)
        return e;
    int ours = ends[to_command ? 1 : 0];
    *theirs = ends[to_command ? 0 : 1];
    e = uv_pipe_init(kith_host_loop(j->host), &p->u.pipe, 0);
    if (!e) {
        p->u.handle.data = j;
        p->open = true;
        j->handles++;
        e = uv_pipe_open(&p->u.pipe, ours);
    }
    if (e)
        close(ours);
    return e;
}

/* The environment with KITH_PEER in front; freed by the caller. NULL: no memory. */
static char **environment(const char *peer)
{
    size_t n = 0, at = 0;
    while (environ[n])
        n++;
    char **env = calloc(n + 2, sizeof *env);
    if (!env)
        return NULL;
    env[at++] = (char *)(uintptr_t)peer;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(environ[i], "KITH_PEER=", 10) != 0)
            env[at++] = environ[i];
    }
    return env;
}

static int spawn(kith_joint *j, const char *const *argv, int in, int out)
{
    kith_conn_facts f;
    char peer[KITH_PEER_ID_TEXT_MAX + 16] = "KITH_PEER=";
    kith_conn_facts_get(kith_stream_conn(j->stream), &f);
    kith_peer_id_text(&f.peer, peer + strlen(peer));
    char **env = environment(peer);
    if (!env)
        return UV_ENOMEM;
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_INHERIT_FD, .data.fd = in},
        {.flags = UV_INHERIT_FD, .data.fd = out},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t o = {
        .file = argv[0],
        .args = (char **)(uintptr_t)argv,
        .env = env,
        .stdio = stdio,
        .stdio_count = 3,
        .exit_cb = on_command_exit,
    };
    j->process.data = j->timer.data = j;
    int e = uv_timer_init(kith_host_loop(j->host), &j->timer);
    if (!e) {
        e = uv_spawn(kith_host_loop(j->host), &j->process, &o);
        j->handles += 2; /* the process handle must be closed also when spawning failed */
        j->running = !e;
        if (e) {
            uv_close((uv_handle_t *)&j->timer, on_closed);
            uv_close((uv_handle_t *)&j->process, on_closed);
        }
    }
    free(env);
    return e;
}

int kith_joint_command(kith_host *h, kith_list *group, kith_stream *s, kith_pipe *p, const char *const *argv,
                       kith_joint_done done, void *ctx)
{
    kith_joint *j = joint_new(h, group, s, p, done, ctx);
    if (!j)
        return UV_ENOMEM;
    int in = -1, out = -1; /* the command's */
    j->has_command = true;
    int e = port_pipe(j, &j->in, false, &out);
    if (!e)
        e = port_pipe(j, &j->out, true, &in);
    if (!e)
        e = spawn(j, argv, in, out);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    if (e)
        return give_up(j, e);
    kith_stream_set_user(s, &j->sink);
    pump(j);
    return 0;
}

static void cancel(kith_joint *j)
{
    if (j->stream) {
        kith_stream_set_user(j->stream, NULL);
        kith_node_reset(kith_host_node(j->host), kith_host_now(j->host), j->stream);
        kith_host_kick(j->host);
        j->stream = NULL;
        j->how.stream_err = KITH_ECLOSED;
    }
    end_command(j);
    close_input(j);
    port_close(j, &j->out);
    finish_if_over(j);
}

void kith_joint_cancel_all(kith_list *group)
{
    KITH_EACH (group, k)
        cancel(KITH_OF(k, kith_joint, link));
}
