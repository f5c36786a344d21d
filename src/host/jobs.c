/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sockets in a folder. */
#include "host/jobs.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_MAX_LEN 1024
#define YOUNG 10 /* seconds: it may be bound and not listen yet */

struct kith_jobs {
    kith_control *control;
    mode_t mode; /* that was set last; 0: none was */
    char path[PATH_MAX_LEN];
};

static bool path_of(const char *folder, long pid, bool up, char out[PATH_MAX_LEN])
{
    return snprintf(out, PATH_MAX_LEN, "%s/%ld.%s", folder, pid, up ? "up" : "down") < PATH_MAX_LEN;
}

/* ---- this process's ---- */

kith_jobs *kith_jobs_open(uv_loop_t *loop, const char *folder, bool up, const kith_rpc_method *methods,
                          void *ctx, const char **why)
{
    kith_jobs *j = calloc(1, sizeof *j);
    *why = "no memory";
    if (!j)
        return NULL;
    int e = UV_ENAMETOOLONG;
    if (path_of(folder, (long)getpid(), up, j->path))
        e = kith_control_open(loop, j->path, methods, ctx, &j->control);
    if (!e)
        return j;
    *why = uv_strerror(e);
    free(j);
    return NULL;
}

void kith_jobs_active(kith_jobs *j, bool active, bool other)
{
    const mode_t mode = 0600 | (active ? S_IXUSR : 0) | (other ? S_IXGRP : 0);
    if (j->mode != mode && chmod(j->path, mode) == 0)
        j->mode = mode;
}

void kith_jobs_close(kith_jobs *j)
{
    if (!j)
        return;
    kith_control_close(j->control);
    free(j);
}

/* ---- all of them ---- */

typedef struct found {
    long pid;
    bool up;
} found;

static bool read_name(const char *name, found *out)
{
    char *end;
    if (*name < '1' || *name > '9')
        return false;
    errno = 0;
    out->pid = strtol(name, &end, 10);
    out->up = strcmp(end, ".up") == 0;
    return errno == 0 && out->pid <= INT32_MAX && (out->up || strcmp(end, ".down") == 0);
}

static int by_pid(const void *a, const void *b)
{
    const found *x = a, *y = b;
    return x->pid != y->pid ? (x->pid < y->pid ? -1 : 1) : (int)y->up - (int)x->up;
}

static size_t read_folder(const char *folder, found out[KITH_JOBS_MAX])
{
    DIR *d = opendir(folder);
    size_t n = 0;
    for (struct dirent *e; d && n < KITH_JOBS_MAX && (e = readdir(d)) != NULL;)
        n += read_name(e->d_name, &out[n]);
    if (d)
        closedir(d);
    qsort(out, n, sizeof *out, by_pid);
    return n;
}

static bool gone(long pid)
{
    return kill((pid_t)pid, 0) && errno == ESRCH;
}

/* Nobody listens there, nor will. Another process may have got the number meanwhile; then the file's age says it. */
static bool stale(const char *path, const found *f)
{
    struct stat st;
    return gone(f->pid) || (stat(path, &st) == 0 && st.st_mtime + YOUNG < time(NULL));
}

size_t kith_jobs_each(const char *folder, kith_jobs_fn fn, void *ctx)
{
    found all[KITH_JOBS_MAX];
    char path[PATH_MAX_LEN];
    size_t n = read_folder(folder, all), there = 0;
    for (size_t i = 0; i < n; i++) {
        if (!path_of(folder, all[i].pid, all[i].up, path))
            continue;
        int fd = kith_control_connect(path);
        if (fd == -ECONNREFUSED && stale(path, &all[i]))
            (void)unlink(path);
        if (fd < 0)
            continue;
        there++;
        fn(ctx, all[i].pid, all[i].up, fd);
    }
    return there;
}

size_t kith_jobs_moving(const char *folder, bool up)
{
    found all[KITH_JOBS_MAX];
    char path[PATH_MAX_LEN];
    struct stat st;
    size_t n = read_folder(folder, all), there = 0;
    for (size_t i = 0; i < n; i++)
        there += path_of(folder, all[i].pid, all[i].up, path) && stat(path, &st) == 0 &&
                 st.st_mode & (all[i].up == up ? S_IXUSR : S_IXGRP) && !gone(all[i].pid);
    return there;
}

/* ---- asking ---- */

static bool say(int fd, const char *method, json_t *params)
{
    json_t *o = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id", 1, "method", method, "params",
                          params ? params : json_object());
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    size_t len = text ? strlen(text) : 0, at = 0;
    json_decref(o);
    if (text)
        text[len++] = '\n'; /* in place of the NUL */
    while (at < len) {
        ssize_t n = send(fd, text + at, len - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            break;
        at += n > 0 ? (size_t)n : 0;
    }
    free(text);
    return len > 0 && at == len;
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* A line, without its newline. NULL: none came. */
static json_t *hear(int fd, int ms)
{
    char *in = malloc(KITH_JOBS_ANSWER_MAX), *nl = NULL;
    size_t len = 0;
    const uint64_t end = now_ms() + (uint64_t)ms;
    while (in && !nl && len < KITH_JOBS_ANSWER_MAX) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = now_ms();
        int ready = now < end ? poll(&p, 1, (int)(end - now)) : 0;
        ssize_t n = ready > 0 ? read(fd, in + len, KITH_JOBS_ANSWER_MAX - len) : ready;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        nl = memchr(in + len, '\n', (size_t)n);
        len += (size_t)n;
    }
    json_t *o = nl ? json_loadb(in, (size_t)(nl - in), 0, NULL) : NULL;
    free(in);
    return o;
}

json_t *kith_jobs_ask(int fd, const char *method, json_t *params, int ms)
{
    json_t *o = say(fd, method, params) ? hear(fd, ms) : NULL;
    if (o && !json_object_get(o, "result") && !json_is_object(json_object_get(o, "error"))) {
        json_decref(o);
        return NULL;
    }
    return o;
}
