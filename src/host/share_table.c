/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tables in memory or in a file without a name. */
#include "host/share_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "host/scratch.h"

int kith_share_table_open(kith_share_table *t, const char *dir, size_t len)
{
    *t = (kith_share_table){.len = len};
    if (len <= KITH_SHARE_TABLE_HEAP_MAX) {
        t->p = calloc(1, len);
        return t->p ? 0 : ENOMEM;
    }
    kith_scratch file;
    kith_scratch_init(&file);
    int err = kith_scratch_open(&file, dir);
    if (!err)
        err = posix_fallocate(file.fd, 0, (off_t)len);
    if (!err) {
        void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
        err = p == MAP_FAILED ? errno : 0;
        t->p = err ? NULL : p;
        t->mapped = !err;
    }
    kith_scratch_close(&file);
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
