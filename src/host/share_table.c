/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tables in memory or in a file without a name. */
#include "host/share_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int nameless(const char *dir)
{
    char path[4096];
#ifdef O_TMPFILE
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
#endif
    int n = snprintf(path, sizeof path, "%s/.kith-table-XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int made = mkstemp(path);
    if (made >= 0)
        (void)unlink(path);
    return made;
}

int kith_share_table_open(kith_share_table *t, const char *dir, size_t len)
{
    *t = (kith_share_table){.len = len};
    if (len <= KITH_SHARE_TABLE_HEAP_MAX) {
        t->p = calloc(1, len);
        return t->p ? 0 : ENOMEM;
    }
    int fd = nameless(dir);
    if (fd < 0)
        return errno;
    int err = posix_fallocate(fd, 0, (off_t)len);
    if (!err) {
        void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        err = p == MAP_FAILED ? errno : 0;
        t->p = err ? NULL : p;
        t->mapped = !err;
    }
    (void)close(fd);
    return err;
}

void kith_share_table_close(kith_share_table *t)
{
    if (t->mapped)
        (void)munmap(t->p, t->len);
    else
        free(t->p);
    *t = (kith_share_table){0};
}
