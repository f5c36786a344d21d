/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Files without a name. */
#include "host/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/io.h"

void kith_scratch_init(kith_scratch *s)
{
    *s = (kith_scratch){.fd = -1};
}

int kith_scratch_open(kith_scratch *s, const char *dir)
{
    char path[4096];
    const char *set = getenv("TMPDIR");
    if (!dir)
        dir = set && *set ? set : "/tmp";
#ifdef O_TMPFILE
    s->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (s->fd >= 0)
        return 0;
#endif
    if (snprintf(path, sizeof path, "%s/kith-XXXXXX", dir) >= (int)sizeof path)
        return ENAMETOOLONG;
    s->fd = mkostemp(path, O_CLOEXEC);
    if (s->fd < 0)
        return errno;
    (void)unlink(path);
    return 0;
}

void kith_scratch_close(kith_scratch *s)
{
    if (s->map)
        (void)munmap((void *)(uintptr_t)s->map, s->map_len);
    if (s->fd >= 0)
        (void)close(s->fd);
    free(s->buf);
    kith_scratch_init(s);
}

int kith_scratch_write(const kith_scratch *s, const void *p, size_t n, uint64_t at)
{
    return kith_io_write(s->fd, p, n, at);
}

int kith_scratch_read(const kith_scratch *s, void *p, size_t n, uint64_t at)
{
    ssize_t got = kith_io_read(s->fd, p, n, at);
    if (got < 0)
        return (int)-got;
    memset((uint8_t *)p + got, 0, n - (size_t)got);
    return 0;
}

static int flush(kith_scratch *s)
{
    int e = s->buf_len > 0 ? kith_scratch_write(s, s->buf, s->buf_len, s->len - s->buf_len) : 0;
    if (!e)
        s->buf_len = 0;
    return e;
}

int kith_scratch_append(kith_scratch *s, const void *p, size_t n)
{
    int e = 0;
    if (!s->buf && !(s->buf = malloc(KITH_SCRATCH_BUFFER)))
        return ENOMEM;
    if (n > KITH_SCRATCH_BUFFER - s->buf_len)
        e = flush(s);
    if (!e && n > KITH_SCRATCH_BUFFER)
        e = kith_scratch_write(s, p, n, s->len);
    else if (!e) {
        memcpy(s->buf + s->buf_len, p, n);
        s->buf_len += n;
    }
    if (!e)
        s->len += n;
    return e;
}

int kith_scratch_map(kith_scratch *s, uint64_t len)
{
    int e = flush(s);
    if (e || len == 0)
        return e;
    if (len > SIZE_MAX)
        return EFBIG;
    if (ftruncate(s->fd, (off_t)len))
        return errno;
    void *p = mmap(NULL, (size_t)len, PROT_READ, MAP_SHARED, s->fd, 0);
    if (p == MAP_FAILED)
        return errno;
    s->map = p;
    s->map_len = len;
    return 0;
}

void kith_scratch_trim(const kith_scratch *s)
{
    if (s->map)
        (void)madvise((void *)(uintptr_t)s->map, (size_t)s->map_len, MADV_DONTNEED);
}
