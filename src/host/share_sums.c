/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One job at a time: some small files, or a large one. */
#include "host/share_sums.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "crypto/hash.h"

#define JOB_FILES 64
#define JOB_BYTES (16u << 20)
#define READ_LEN (256u << 10)

typedef struct result {
    size_t entry;
    bool ok;
    uint8_t sum[KITH_SUM_LEN];
    char why[KITH_SUM_WHY_MAX];
} result;

struct kith_share_sums {
    kith_share_sums_config cfg;
    uv_work_t work;
    size_t next; /* entry */
    size_t count;
    atomic_bool stop;
    result results[JOB_FILES];
};

int kith_sum_sha256(int fd, const atomic_bool *stop, uint8_t out[KITH_SUM_LEN])
{
    _Static_assert(KITH_SUM_LEN == KITH_SHA256_LEN, "a sum is a SHA-256");
    kith_sha256_ctx *h = kith_sha256_new();
    uint8_t *buf = malloc(READ_LEN);
    int e = h && buf ? 0 : ENOMEM;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (uint64_t at = 0; !e;) {
        ssize_t n = pread(fd, buf, READ_LEN, (off_t)at);
        if (n == 0)
            break;
        if (n > 0)
            kith_sha256_update(h, kith_bytes_of(buf, (size_t)n));
        else if (errno != EINTR)
            e = errno;
        at += n > 0 ? (uint64_t)n : 0;
        if (atomic_load_explicit(stop, memory_order_relaxed))
            e = ECANCELED;
    }
    if (!e)
        kith_sha256_final(h, out);
    kith_sha256_free(h);
    free(buf);
    return e;
}

static void put_escaped(kith_wr *w, kith_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];
        if (c != '\\' && c != '\n' && c != '\r') {
            kith_put_u8(w, c);
            continue;
        }
        kith_put_u8(w, '\\');
        kith_put_u8(w, c == '\n' ? 'n' : c == '\r' ? 'r' : '\\');
    }
}

static bool is_odd(kith_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '\\' || text.p[i] == '\n' || text.p[i] == '\r')
            return true;
    }
    return false;
}

void kith_sum_put_line(kith_wr *w, const uint8_t sum[KITH_SUM_LEN], const char *dir, kith_bytes path)
{
    if (is_odd(path) || (dir && is_odd(kith_bytes_str(dir))))
        kith_put_u8(w, '\\');
    kith_put_hex(w, kith_bytes_of(sum, KITH_SUM_LEN));
    kith_put_str(w, "  ");
    if (dir) {
        put_escaped(w, kith_bytes_str(dir));
        if (*dir && dir[strlen(dir) - 1] != '/')
            kith_put_u8(w, '/');
    }
    put_escaped(w, path);
    kith_put_u8(w, '\n');
}

/* ---- jobs ---- */

static void work(uv_work_t *w)
{
    kith_share_sums *s = KITH_OF(w, kith_share_sums, work);
    const kith_manifest *m = s->cfg.manifest;
    uint64_t bytes = 0;
    s->count = 0;
    for (; s->next < m->count && s->count < JOB_FILES && bytes < JOB_BYTES && !atomic_load(&s->stop);
         s->next++) {
        const kith_entry e = kith_manifest_entry(m, s->next);
        if (e.type != KITH_ENTRY_FILE || (s->cfg.skips && s->cfg.skips[s->next]))
            continue;
        result *r = &s->results[s->count++];
        r->entry = s->next;
        r->why[0] = 0;
        r->ok = s->cfg.sum(s->cfg.ctx, s->next, &s->stop, r->sum, r->why);
        bytes += e.size;
    }
}

static void after(uv_work_t *w, int status)
{
    kith_share_sums *s = KITH_OF(w, kith_share_sums, work);
    const kith_share_sums_config *cfg = &s->cfg;
    (void)status;
    for (size_t i = 0; i < s->count && !atomic_load(&s->stop); i++) {
        const result *r = &s->results[i];
        cfg->line(cfg->ctx, r->entry, r->ok ? r->sum : NULL, r->why);
    }
    if (!atomic_load(&s->stop) && s->next < cfg->manifest->count &&
        uv_queue_work(cfg->loop, &s->work, work, after) == 0)
        return;
    cfg->done(cfg->ctx);
    free(s);
}

kith_share_sums *kith_share_sums_start(const kith_share_sums_config *cfg)
{
    kith_share_sums *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->cfg = *cfg;
    if (uv_queue_work(cfg->loop, &s->work, work, after) == 0)
        return s;
    free(s);
    return NULL;
}

void kith_share_sums_stop(kith_share_sums *s)
{
    atomic_store(&s->stop, true);
}
