/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Bytes of files, all of them, and names in folders. */
#include "host/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

ssize_t kith_io_read(int fd, void *out, size_t n, uint64_t at)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = pread(fd, (uint8_t *)out + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

int kith_io_write(int fd, const void *in, size_t n, uint64_t at)
{
    for (size_t done = 0; done < n;) {
        ssize_t put = pwrite(fd, (const uint8_t *)in + done, n - done, (off_t)(at + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? errno : EIO;
        done += (size_t)put;
    }
    return 0;
}

uint64_t kith_io_next_data(int fd, uint64_t at)
{
#ifdef SEEK_DATA
    off_t data = lseek(fd, (off_t)at, SEEK_DATA);
    if (data >= 0)
        return (uint64_t)data;
    if (errno == ENXIO)
        return UINT64_MAX;
#else
    (void)fd;
#endif
    return at;
}

int kith_io_each_name(int fd, bool (*each)(void *ctx, int fd, const char *name), void *ctx)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *e;
    if (!dir) {
        int err = errno;
        if (copy >= 0)
            (void)close(copy);
        return err;
    }
    bool on = true;
    while (on && (errno = 0, (e = readdir(dir)) != NULL))
        on = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || each(ctx, fd, e->d_name);
    int err = on ? errno : 0;
    (void)closedir(dir);
    return err;
}
