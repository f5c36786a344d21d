/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Writing to who may be slow, and may be left at any time. */
#include "host/share_out.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 100 /* at stop */
#define PIECE 4096u /* PIPE_BUF: a pipe that is ready takes so much without a wait */

/* 0: it takes something now. */
static int wait_for_reader(const kith_share_out *o)
{
    while (!atomic_load(&o->stop)) {
        struct pollfd p = {.fd = o->fd, .events = POLLOUT};
        int n = poll(&p, 1, LOOK_MS);
        if (n > 0)
            return 0; /* or an error, which the write will tell */
        if (n < 0 && errno != EINTR)
            return errno;
    }
    return ECANCELED;
}

static int write_all(kith_share_out *o, const uint8_t *p, size_t len, size_t piece)
{
    while (len > 0) {
        int e = wait_for_reader(o);
        if (e)
            return e;
        ssize_t n = write(o->fd, p, len < piece ? len : piece);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return errno;
        if (n > 0) {
            p += n;
            len -= (size_t)n;
            o->written += (uint64_t)n;
        }
    }
    return 0;
}

int kith_share_out_write(kith_share_out *o, const kith_share_block *b)
{
    static const uint8_t zeros[64 * 1024];
    struct stat st;
    size_t piece = fstat(o->fd, &st) == 0 && S_ISREG(st.st_mode) ? sizeof zeros : PIECE;
    int e = 0;
    for (size_t i = 0; i < b->count && !e; i++) {
        const kith_share_item *it = &b->items[i];
        if (it->code)
            return ESTALE;
        if (it->offset != o->written)
            return EILSEQ;
        if (!it->zeros)
            e = write_all(o, b->buf + it->at, it->len, piece);
        for (size_t left = it->len; it->zeros && left > 0 && !e;) {
            size_t n = left < sizeof zeros ? left : sizeof zeros;
            e = write_all(o, zeros, n, piece);
            left -= n;
        }
    }
    return e;
}
