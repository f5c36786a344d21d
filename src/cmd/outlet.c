/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A bounded queue before a file descriptor that others may share. */
#include "cmd/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "host/host.h"

/* Who else holds the descriptor would see O_NONBLOCK too. So a pipe or terminal is opened anew where the system can, and otherwise is
 * written to when it says that it has room, in pieces that a pipe with room takes whole (POSIX's least PIPE_BUF). */
#define PIECE 512
#define RETRY_MS 50
#define LAST_MS 1000

struct outlet {
    uv_timer_t retry;
    kith_buf queue;
    size_t dropped; /* lines, since the queue was full */
    int fd;
    bool own, json, gone;
    bool full; /* the last write found no room on the disk that stdout goes to */
};

outlet *outlet_open(uv_loop_t *loop, int fd, bool json)
{
    outlet *o = calloc(1, sizeof *o);
    char path[32];
    struct stat st;
    if (!o)
        return NULL;
    o->fd = fd;
    o->json = json;
    if (fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        o->own = own >= 0;
        o->fd = o->own ? own : fd;
    }
    kith_buf_init(&o->queue, OUTLET_MAX);
    uv_timer_init(loop, &o->retry);
    uv_unref((uv_handle_t *)&o->retry);
    o->retry.data = o;
    return o;
}

static bool has_room(const outlet *o, int wait_ms)
{
    struct pollfd p = {.fd = o->fd, .events = POLLOUT};
    return poll(&p, 1, wait_ms) > 0;
}

/* There may be room again. poll does not tell: it takes a file for ready always. */
static bool is_full(int e)
{
    return e == ENOSPC || e == EDQUOT;
}

/* Writes what is taken at once. */
static void flush(outlet *o)
{
    o->full = false;
    while (o->queue.len > 0 && has_room(o, 0)) {
        kith_bytes out = kith_buf_view(&o->queue);
        ssize_t n = write(o->fd, out.p, out.len < PIECE ? out.len : PIECE);
        o->full = n < 0 && is_full(errno);
        if (o->full || (n < 0 && errno == EAGAIN))
            break;
        if (n < 0 && errno != EINTR) { /* nobody will read this any more */
            o->gone = true;
            n = (ssize_t)out.len;
        }
        if (n > 0)
            kith_buf_drop(&o->queue, kith_host_env(), (size_t)n);
    }
}

static void tell_dropped(outlet *o)
{
    char text[96];
    if (o->dropped == 0 || o->queue.len > 0)
        return;
    int n = o->json ? snprintf(text, sizeof text, "{\"event\":\"lines_dropped\",\"lines\":%zu}\n", o->dropped)
                    : snprintf(text, sizeof text,
                               "(%zu lines were dropped here: there was no room for them)\n", o->dropped);
    if (n > 0 && kith_buf_put(&o->queue, kith_host_env(), kith_bytes_of(text, (size_t)n)) == KITH_OK)
        o->dropped = 0;
    flush(o);
}

static void on_retry(uv_timer_t *t)
{
    outlet *o = t->data;
    flush(o);
    tell_dropped(o);
    if (o->queue.len == 0)
        uv_timer_stop(t);
}

void outlet_put(outlet *o, const char *text, size_t len)
{
    if (o->gone)
        return;
    flush(o);
    tell_dropped(o);
    /* Once something was dropped everything is, up to the notice. */
    if (o->dropped > 0 || kith_buf_put(&o->queue, kith_host_env(), kith_bytes_of(text, len))) {
        for (const char *p = text; p < text + len; p++)
            o->dropped += *p == '\n';
    } else {
        flush(o);
    }
    if (o->queue.len > 0 && !uv_is_active((uv_handle_t *)&o->retry))
        uv_timer_start(&o->retry, on_retry, RETRY_MS, RETRY_MS);
}

static void on_closed(uv_handle_t *h)
{
    outlet *o = h->data;
    kith_buf_fini(&o->queue, kith_host_env());
    if (o->own)
        close(o->fd);
    free(o);
}

void outlet_close(outlet *o)
{
    if (!o)
        return;
    uint64_t until = uv_hrtime() + LAST_MS * 1000000u;
    for (flush(o); o->queue.len > 0 && !o->full && uv_hrtime() < until && has_room(o, LAST_MS);
         tell_dropped(o))
        flush(o);
    uv_close((uv_handle_t *)&o->retry, on_closed);
}
