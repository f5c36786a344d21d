/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A disk that takes the process with it: SQLite's own, in the middle of whose nth write the process is killed. */
#ifndef KITH_TEST_DYING_DISK_H
#define KITH_TEST_DYING_DISK_H

#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>

static sqlite3_io_methods dying[8]; /* SQLite's own, of the kinds of files it has, with another xWrite */
static const sqlite3_io_methods *living[8];
static int (*really_open)(sqlite3_vfs *, sqlite3_filename, sqlite3_file *, int, int *);
static long writes_left;

static int write_or_die(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    const sqlite3_io_methods *real = living[f->pMethods - dying];
    if (--writes_left == 0) {
        (void)real->xWrite(f, p, n / 2, at);
        raise(SIGKILL);
    }
    return real->xWrite(f, p, n, at);
}

static int open_dying(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *out)
{
    int e = really_open(vfs, name, f, flags, out);
    for (size_t i = 0; !e && f->pMethods && i < sizeof living / sizeof *living; i++) {
        if (!living[i]) {
            living[i] = f->pMethods;
            dying[i] = *living[i];
            dying[i].xWrite = write_or_die;
        }
        if (living[i] == f->pMethods) {
            f->pMethods = &dying[i];
            break;
        }
    }
    return e;
}

/* From here on: half of the nth write is done, and nothing after it. nth 0: never. */
static void die_at_write(long nth)
{
    static sqlite3_vfs vfs;
    vfs = *sqlite3_vfs_find(NULL);
    really_open = vfs.xOpen;
    vfs.xOpen = open_dying;
    vfs.zName = "dying";
    writes_left = nth;
    if (sqlite3_vfs_register(&vfs, 1))
        abort();
}

#endif
