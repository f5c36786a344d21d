/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sums of files, of those that are shared and of those that were fetched. */
#include "cmd/sums.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/json.h"
#include "host/share_sums.h"

/* A top entry that has got another name. */
typedef struct renamed {
    size_t entry;
    char name[KITH_NAME_MAX + 1];
} renamed;

struct sums {
    const session *s;
    sums_kind kind;
    const kith_manifest *manifest;
    kith_share_src *src;           /* of a share */
    const kith_share_fetch *fetch; /* of a fetch: */
    const char *dest;              /* NULL: the names alone */
    uint8_t *skips;
    renamed *renamed;
    size_t renamed_count;
    kith_share_sums *running;
    void (*done)(void *ctx);
    void *ctx;
};

int sums_read_options(const cmd_args *args, sums_kind *out)
{
    *out = cmd_has(args, "sha256") ? SUMS_SHA256 : cmd_has(args, "blake3") ? SUMS_BLAKE3 : SUMS_NONE;
    if (cmd_has(args, "sha256") && cmd_has(args, "blake3"))
        return cmd_fail(EXIT_USAGE, "%s: give either --sha256 or --blake3: their lines look the same",
                        args->cmd->name);
    return EXIT_OK;
}

void sums_free(sums *u)
{
    if (!u)
        return;
    free(u->skips);
    free(u->renamed);
    free(u);
}

static const char *new_name(const sums *u, size_t top)
{
    for (size_t i = 0; i < u->renamed_count; i++) {
        if (u->renamed[i].entry == top)
            return u->renamed[i].name;
    }
    return NULL;
}

/* The path of an entry below dest, as it is there. Cut where it is too long, which makes it one that is not there. */
static size_t put_path(const sums *u, size_t entry, char *out, size_t size)
{
    kith_wr w = kith_wr_of(kith_span_of(out, size - 1)), t = kith_wr_of(kith_span_of(out, size - 1));
    size_t top = entry;
    for (uint32_t up; (up = u->manifest->places[top].parent) != KITH_ENTRY_TOP;)
        top = up;
    kith_manifest_put_path(u->manifest, entry, false, &w);
    const char *name = new_name(u, top);
    if (name && !w.bad) {
        size_t old = kith_manifest_entry(u->manifest, top).name.len, len = strlen(name), rest = w.len - old;
        if (len + rest > size - 1)
            rest = size - 1 > len ? size - 1 - len : 0;
        memmove(out + len, out + old, rest);
        kith_put_str(&t, name);
        w.len = len + rest;
    }
    out[w.len] = 0;
    return w.len;
}

#if KITH_SUM_WHY_MAX != KITH_SHARE_SRC_WHY_MAX
#error one line for both
#endif

/* ---- on a worker thread ---- */

static bool sum_fetched(const sums *u, size_t entry, const atomic_bool *stop, uint8_t out[KITH_SUM_LEN],
                        char why[KITH_SUM_WHY_MAX])
{
    char *path = malloc(PATH_MAX);
    int e = path ? 0 : ENOMEM, fd = -1;
    if (!e) {
        int n = snprintf(path, PATH_MAX, "%s/", u->dest);
        if (n < 0 || n >= PATH_MAX)
            e = ENAMETOOLONG;
        else
            (void)put_path(u, entry, path + n, PATH_MAX - (size_t)n);
    }
    if (!e) {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        e = fd < 0 ? errno : kith_sum_sha256(fd, stop, out);
    }
    if (fd >= 0)
        (void)close(fd);
    free(path);
    if (e)
        (void)snprintf(why, KITH_SUM_WHY_MAX, "%s", strerror(e));
    return e == 0;
}

static bool on_sum(void *ctx, size_t entry, const atomic_bool *stop, uint8_t out[KITH_SUM_LEN],
                   char why[KITH_SUM_WHY_MAX])
{
    const sums *u = ctx;
    if (u->kind == SUMS_BLAKE3) { /* known, and what content was compared with */
        const uint8_t *root = u->src ? kith_share_src_source(u->src).roots + entry * KITH_BLAKE3_LEN
                                     : kith_share_fetch_root(u->fetch, entry);
        if (kith_manifest_entry(u->manifest, entry).size == 0)
            kith_blake3_hash((kith_bytes){0}, out);
        else
            memcpy(out, root, KITH_SUM_LEN);
        return true;
    }
    return u->src ? kith_share_src_sha256(u->src, entry, stop, out, why)
                  : sum_fetched(u, entry, stop, out, why);
}

/* ---- on the loop's ---- */

static void on_line(void *ctx, size_t entry, const uint8_t *sum, const char *why)
{
    const sums *u = ctx;
    static char path[KITH_MANIFEST_PATH_MAX + KITH_NAME_MAX + 1],
        line[2 * KITH_SUM_LEN + 4 + 2 * (PATH_MAX + sizeof path)];
    size_t len = put_path(u, entry, path, sizeof path);
    bool here = u->dest && strcmp(u->dest, ".") != 0;
    if (u->s->json) {
        json_t *o = json_pack("{s:s, s:o}", "event", "sum", "file", kith_json_text(path));
        char hex[2 * KITH_SUM_LEN + 1] = "";
        kith_wr w = kith_wr_of(kith_span_of(hex, sizeof hex - 1));
        if (sum)
            kith_put_hex(&w, kith_bytes_of(sum, KITH_SUM_LEN));
        if (sum)
            json_object_set_new(o, u->kind == SUMS_SHA256 ? "sha256" : "blake3", json_string(hex));
        else
            json_object_set_new(o, "text", kith_json_text(why));
        session_print(o);
        return;
    }
    kith_wr w = kith_wr_of(kith_span_of(line, sizeof line));
    if (sum)
        kith_sum_put_line(&w, sum, here ? u->dest : NULL, kith_bytes_of(path, len));
    if (!sum || w.bad)
        cmd_warn("there is no sum of '%s': %s", path, sum ? "its path is too long" : why);
    else
        (void)fwrite(line, 1, w.len, stdout);
}

static void on_done(void *ctx)
{
    sums *u = ctx;
    void (*done)(void *) = u->done;
    void *done_ctx = u->ctx;
    session_flush(stdout);
    sums_free(u);
    done(done_ctx);
}

bool sums_start(sums *u, void (*done)(void *ctx), void *ctx)
{
    const kith_share_sums_config cfg = {.loop = kith_host_loop(u->s->host),
                                        .manifest = u->manifest,
                                        .skips = u->skips,
                                        .sum = on_sum,
                                        .line = on_line,
                                        .done = on_done,
                                        .ctx = u};
    u->done = done;
    u->ctx = ctx;
    u->running = kith_share_sums_start(&cfg);
    if (u->running)
        return true;
    sums_free(u);
    return false;
}

void sums_stop(sums *u)
{
    kith_share_sums_stop(u->running);
}

sums *sums_of_share(const session *s, kith_share_src *src, sums_kind kind, void (*done)(void *ctx), void *ctx)
{
    sums *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    *u = (sums){.s = s, .kind = kind, .src = src, .manifest = kith_share_src_source(src).manifest};
    return sums_start(u, done, ctx) ? u : NULL;
}

/* Names that top entries get instead of their own. */
static bool keep_names(sums *u, const kith_share_dir *d)
{
    for (size_t i = 0; i < u->manifest->count; i++) {
        if (u->manifest->places[i].parent != KITH_ENTRY_TOP)
            continue;
        kith_bytes name = kith_share_dir_new_name(d, i);
        if (name.len == 0)
            continue;
        renamed *p = realloc(u->renamed, (u->renamed_count + 1) * sizeof *p);
        if (!p)
            return false;
        u->renamed = p;
        p += u->renamed_count++;
        p->entry = i;
        (void)snprintf(p->name, sizeof p->name, "%.*s", (int)name.len, (const char *)name.p);
    }
    return true;
}

sums *sums_of_fetch(const session *s, const kith_share_fetch *f, const char *dest, sums_kind kind)
{
    sums *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    *u = (sums){.s = s, .kind = kind, .fetch = f, .dest = dest, .manifest = kith_share_fetch_manifest(f)};
    const uint8_t *skips = kith_share_dir_skips(kith_share_fetch_dir(f));
    u->skips = malloc(u->manifest->count);
    if (!u->skips || !keep_names(u, kith_share_fetch_dir(f))) {
        sums_free(u);
        return NULL;
    }
    for (size_t i = 0; i < u->manifest->count; i++)
        u->skips[i] = skips[i] == KITH_SHARE_SKIPPED;
    return u;
}

void sums_lost(sums *u, size_t entry)
{
    u->skips[entry] = 1;
}
