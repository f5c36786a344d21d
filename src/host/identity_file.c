/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The identity file: read, made and replaced, so that at every moment a complete one is there. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "host/identity_impl.h"
#include "host/io.h"
#include "host/secret_file.h"

#define PATH_ROOM 4096
#define KEPT_MAX 100 /* old identities beside the file */

static kith_err io_error(const char **why)
{
    *why = strerror(errno);
    return KITH_EIO;
}

/* ---- reading ---- */

static kith_err read_text(int fd, kith_span *out, const char **why)
{
    return kith_secret_read(
        fd, KITH_IDENTITY_TEXT_MAX,
        "other users can read it; run 'chmod 600' on it, or delete it to get a new identity", out, why);
}

static kith_err read_identity(int fd, kith_identity **out, const char **why)
{
    kith_span text = {0};
    kith_err e = read_text(fd, &text, why);
    if (!e)
        e = kith_identity_parse(kith_span_bytes(text), out, why);
    if (!e)
        kith_sha256(kith_span_bytes(text), (*out)->origin);
    kith_secret_drop(text);
    return e;
}

kith_err kith_identity_read(const char *path, kith_identity **out, const char **why)
{
    *why = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        *why = "there is none";
        return KITH_ENOTFOUND;
    }
    if (fd < 0)
        return io_error(why);
    kith_err e = read_identity(fd, out, why);
    close(fd);
    return e;
}

/* ---- writing ---- */

/* A file of its own with the identity in it, on the disk. */
static kith_err write_new(const char *path, const kith_identity *id, const char **why)
{
    kith_span text = kith_span_of(malloc(KITH_IDENTITY_TEXT_MAX), KITH_IDENTITY_TEXT_MAX);
    if (!text.p) {
        *why = "there is no memory";
        return KITH_ENOMEM;
    }
    kith_wr w = kith_wr_of(text);
    kith_identity_put(id, &w);
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int e = fd < 0 ? errno : kith_io_write(fd, text.p, w.len, 0);
    if (!e && fsync(fd))
        e = errno;
    if (fd >= 0 && close(fd) && !e)
        e = errno;
    text.len = w.len;
    kith_secret_drop(text);
    if (!e)
        return KITH_OK;
    if (fd >= 0)
        (void)unlink(path);
    errno = e;
    return io_error(why);
}

/* After a link or a rename: that it outlasts a loss of power. It is done already, so a failure is nobody's business. */
static void sync_folder(const char *path)
{
    char copy[PATH_ROOM];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

static kith_err beside(const char *path, const char *suffix, char out[PATH_ROOM], const char **why)
{
    if (snprintf(out, PATH_ROOM, "%s%s", path, suffix) < PATH_ROOM)
        return KITH_OK;
    *why = "its path is too long";
    return KITH_EIO;
}

/* Written beside and linked into place, so that of two processes one wins. */
kith_err kith_identity_create(const char *path, const kith_identity *id, const char **why)
{
    char tmp[PATH_ROOM], suffix[32];
    *why = NULL;
    snprintf(suffix, sizeof suffix, ".%ld.tmp", (long)getpid());
    kith_err e = beside(path, suffix, tmp, why);
    if (!e)
        e = write_new(tmp, id, why);
    if (e)
        return e;
    if (link(tmp, path))
        e = errno == EEXIST ? KITH_EEXISTS : io_error(why);
    (void)unlink(tmp);
    if (e == KITH_EEXISTS)
        *why = "there is one already";
    if (!e)
        sync_folder(path);
    return e;
}

/* The file, open and locked: the one that is at path now, not one that was replaced while we waited. */
static kith_err open_locked(const char *path, int *out, const char **why)
{
    for (;;) {
        struct stat ours, there;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
            return io_error(why);
        if (flock(fd, LOCK_EX) || fstat(fd, &ours)) {
            kith_err e = io_error(why);
            close(fd);
            return e;
        }
        if (stat(path, &there) == 0 && there.st_ino == ours.st_ino && there.st_dev == ours.st_dev) {
            *out = fd;
            return KITH_OK;
        }
        close(fd);
    }
}

/* Another name for the file that is about to be replaced: path.old, path.old.1, ... */
static kith_err keep_old(const char *path, char *keep, size_t size, const char **why)
{
    for (int n = 0; n < KEPT_MAX; n++) {
        if (n == 0)
            snprintf(keep, size, "%s.old", path);
        else
            snprintf(keep, size, "%s.old.%d", path, n);
        if (link(path, keep) == 0)
            return KITH_OK;
        if (errno != EEXIST)
            return io_error(why);
    }
    *why = "there are too many old ones beside it";
    return KITH_EEXISTS;
}

static kith_err unchanged(int fd, const kith_identity *was, const char **why)
{
    kith_span text = {0};
    uint8_t now[KITH_SHA256_LEN];
    kith_err e = read_text(fd, &text, why);
    if (e)
        return e;
    kith_sha256(kith_span_bytes(text), now);
    kith_secret_drop(text);
    if (kith_ct_eq(kith_bytes_of(now, sizeof now), kith_bytes_of(was->origin, sizeof was->origin)))
        return KITH_OK;
    *why = "another process has changed it meanwhile; nothing was done";
    return KITH_ESTATE;
}

kith_err kith_identity_replace(const char *path, const kith_identity *was, const kith_identity *id,
                               char *keep, size_t keep_size, const char **why)
{
    char tmp[PATH_ROOM];
    int lock;
    *why = NULL;
    kith_err e = beside(path, ".new", tmp,
                        why); /* under the lock: one writer, and a killed one leaves no second file */
    if (!e)
        e = open_locked(path, &lock, why);
    if (e)
        return e;
    if (was)
        e = unchanged(lock, was, why);
    if (!e)
        e = write_new(tmp, id, why);
    if (!e && keep)
        e = keep_old(path, keep, keep_size, why);
    if (!e && rename(tmp, path))
        e = io_error(why);
    if (e)
        (void)unlink(tmp);
    else
        sync_folder(path);
    close(lock);
    return e;
}

/* ---- for a node that starts ---- */

static kith_err make(const char *path, const char **why)
{
    kith_identity *id = NULL;
    kith_err e = kith_identity_new(KITH_IDENTITY_SIG, kith_random_os(), &id);
    if (e)
        return e;
    e = kith_identity_create(path, id, why);
    kith_identity_free(id);
    return e == KITH_EEXISTS ? KITH_OK : e; /* another process was first: its identity is ours */
}

/* Version 1 gets its post-quantum key. Of two processes that do it at once one wins, and both have its key. */
static kith_err upgrade(const char *path, kith_identity **id, const char **why)
{
    kith_err e = kith_identity_rotate(*id, KITH_IDENTITY_SIG, 0, kith_random_os());
    if (!e)
        e = kith_identity_replace(path, *id, *id, NULL, 0, why);
    if (e && e != KITH_ESTATE)
        return e;
    kith_identity_free(*id);
    *id = NULL;
    e = kith_identity_read(path, id, why);
    if (e || (*id)->facts.alg != KITH_SIG_NONE)
        return e;
    *why = "another process keeps changing it";
    return KITH_ESTATE;
}

kith_err kith_identity_load(const char *path, kith_identity **out, const char **why)
{
    kith_identity *id = NULL;
    kith_err e = kith_identity_read(path, &id, why);
    if (e == KITH_ENOTFOUND) {
        e = make(path, why);
        if (!e)
            e = kith_identity_read(path, &id, why);
    }
    if (!e && id->facts.alg == KITH_SIG_NONE)
        e = upgrade(path, &id, why);
    if (e)
        kith_identity_free(id);
    else
        *out = id;
    return e;
}
