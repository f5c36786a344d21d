/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A netlink socket. */
#include "host/netnews.h"

#ifdef __linux__
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct kith_netnews {
    uv_poll_t poll;
    int fd;
    void (*fn)(void *ctx);
    void *ctx;
};

/* What it says is not read: that there is something is enough. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    const kith_netnews *n = poll->data;
    char thrown[4096];
    (void)status, (void)events;
    while (recv(n->fd, thrown, sizeof thrown, MSG_DONTWAIT) > 0)
        ;
    n->fn(n->ctx);
}

kith_netnews *kith_netnews_open(uv_loop_t *loop, void (*fn)(void *ctx), void *ctx)
{
    struct sockaddr_nl at = {.nl_family = AF_NETLINK,
                             .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    kith_netnews *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->fn = fn;
    n->ctx = ctx;
    n->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (n->fd >= 0 && bind(n->fd, (const struct sockaddr *)&at, sizeof at) == 0 &&
        uv_poll_init(loop, &n->poll, n->fd) == 0) {
        n->poll.data = n;
        uv_poll_start(&n->poll, UV_READABLE, on_readable);
        return n;
    }
    if (n->fd >= 0)
        close(n->fd);
    free(n);
    return NULL;
}

static void on_closed(uv_handle_t *handle)
{
    kith_netnews *n = handle->data;
    close(n->fd);
    free(n);
}

void kith_netnews_close(kith_netnews *n)
{
    if (n)
        uv_close((uv_handle_t *)&n->poll, on_closed);
}
#else
#include <stddef.h>

kith_netnews *kith_netnews_open(uv_loop_t *loop, void (*fn)(void *ctx), void *ctx)
{
    (void)loop, (void)fn, (void)ctx;
    return NULL;
}

void kith_netnews_close(kith_netnews *n)
{
    (void)n;
}
#endif
