/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is shared: its beginning and its end, and what walking, hashing and reading have in common. */
#include "host/share_src_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "host/clock.h"
#include "host/host.h"

kith_err kith_src_fail(char why[KITH_SHARE_SRC_WHY_MAX], kith_err err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, KITH_SHARE_SRC_WHY_MAX, fmt, ap);
    va_end(ap);
    return err;
}

const char *kith_src_shown(const char *path, char *out, size_t size)
{
    size_t n = strlen(path), most = (size - 1) / 4;
    kith_wr w = kith_wr_of(kith_span_of(out, size - 1));
    kith_name_put(&w, kith_bytes_of(path, n < most ? n : most));
    out[w.len] = 0;
    return out;
}

static int64_t system_clock_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return kith_ns_of(t);
}

kith_share_src *kith_share_src_new(const kith_share_src_config *cfg)
{
    kith_share_src *s = calloc(1, sizeof *s);
    char *scratch = cfg->scratch ? strdup(cfg->scratch) : NULL;
    kith_share_sieve *sieve =
        cfg->exclude_count ? kith_share_sieve_new(kith_host_env(), cfg->exclude, cfg->exclude_count) : NULL;
    if (!s || (cfg->scratch && !scratch) || (cfg->exclude_count && !sieve)) {
        kith_hash_cache_close(cfg->cache);
        kith_share_sieve_free(sieve);
        free(scratch);
        free(s);
        return NULL;
    }
    s->cache = cfg->cache;
    s->scratch = scratch;
    s->sieve = sieve;
    s->clock_ns = cfg->clock_ns ? cfg->clock_ns : system_clock_ns;
    kith_scratch_init(&s->list);
    kith_scratch_init(&s->stamps);
    kith_scratch_init(&s->roots);
    kith_scratch_init(&s->trees);
    for (size_t i = 0; i < KITH_SRC_OPEN; i++)
        s->open[i].fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void kith_share_src_free(kith_share_src *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->top_count; i++)
        free(s->tops[i].path);
    for (size_t i = 0; i < KITH_SRC_OPEN; i++) {
        if (s->open[i].fd >= 0)
            (void)close(s->open[i].fd);
    }
    for (char *line; (line = kith_share_src_warning(s)) != NULL;)
        free(line);
    kith_manifest_fini(&s->m, kith_host_env());
    kith_scratch_close(&s->list);
    kith_scratch_close(&s->stamps);
    kith_scratch_close(&s->roots);
    kith_scratch_close(&s->trees);
    kith_hash_cache_close(s->cache);
    kith_share_sieve_free(s->sieve);
    pthread_mutex_destroy(&s->lock);
    free(s->scratch);
    free(s->tops);
    free(s->next_big);
    free(s);
}

void kith_share_src_stop(kith_share_src *s)
{
    atomic_store(&s->stop, true);
}

/* ---- warnings ---- */

void kith_src_warn(kith_share_src *s, const char *path, const char *why)
{
    char line[KITH_SHARE_SRC_WHY_MAX];
    (void)snprintf(line, sizeof line, "left out %s: %s", KITH_SRC_SHOWN(path), why);
    pthread_mutex_lock(&s->lock);
    char *copy = s->warning_count < KITH_SHARE_SRC_WARNINGS_MAX ? strdup(line) : NULL;
    if (copy)
        s->warnings[(s->warning_first + s->warning_count++) % KITH_SHARE_SRC_WARNINGS_MAX] = copy;
    else
        s->warning_lost++;
    pthread_mutex_unlock(&s->lock);
}

char *kith_share_src_warning(kith_share_src *s)
{
    char *line = NULL, text[80];
    pthread_mutex_lock(&s->lock);
    if (s->warning_count > 0) {
        line = s->warnings[s->warning_first];
        s->warning_first = (s->warning_first + 1) % KITH_SHARE_SRC_WARNINGS_MAX;
        s->warning_count--;
    } else if (s->warning_lost > 0) {
        (void)snprintf(text, sizeof text, "left out %zu more", s->warning_lost);
        s->warning_lost = 0;
        line = strdup(text);
    }
    pthread_mutex_unlock(&s->lock);
    return line;
}

/* ---- what is to be shared ---- */

/* The name that a path's last component gives; for "." and the like the real folder's name. */
static bool top_name(const char *path, char name[KITH_NAME_MAX + 1])
{
    char real[PATH_MAX];
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    const char *from = path + begin;
    size_t len = end - begin;
    if (len == 0 || (len == 1 && from[0] == '.') || (len == 2 && from[0] == '.' && from[1] == '.')) {
        if (!realpath(path, real))
            return false;
        from = strrchr(real, '/') + 1;
        len = strlen(from);
    }
    if (len == 0 || len > KITH_NAME_MAX) {
        errno = len == 0 ? EISDIR : ENAMETOOLONG; /* the root folder has no name to share it under */
        return false;
    }
    memcpy(name, from, len);
    name[len] = 0;
    return true;
}

kith_err kith_share_src_add(kith_share_src *s, const char *path, char why[KITH_SHARE_SRC_WHY_MAX])
{
    kith_src_top top = {0};
    struct stat st;
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len == 0 || len >= PATH_MAX || !top_name(path, top.name) || stat(path, &st))
        return kith_src_fail(why, KITH_EIO, "cannot share %s: %s", KITH_SRC_SHOWN(path),
                             strerror(len == 0          ? ENOENT
                                      : len >= PATH_MAX ? ENAMETOOLONG
                                                        : errno));
    if (s->top_count == s->top_cap) {
        size_t cap = s->top_cap ? 2 * s->top_cap : 16;
        kith_src_top *p = realloc(s->tops, cap * sizeof *p);
        if (!p)
            return kith_src_fail(why, KITH_ENOMEM, "no memory");
        s->tops = p;
        s->top_cap = cap;
    }
    top.path = strndup(path, len);
    if (!top.path)
        return kith_src_fail(why, KITH_ENOMEM, "no memory");
    s->tops[s->top_count++] = top;
    return KITH_OK;
}

/* strcmp compares as unsigned char: the manifest's order. */
static int by_name(const void *a, const void *b)
{
    return strcmp(((const kith_src_top *)a)->name, ((const kith_src_top *)b)->name);
}

kith_err kith_share_src_begin(kith_share_src *s, char why[KITH_SHARE_SRC_WHY_MAX])
{
    if (s->top_count == 0)
        return kith_src_fail(why, KITH_ENOTFOUND, "there is nothing to share");
    qsort(s->tops, s->top_count, sizeof *s->tops, by_name);
    for (size_t i = 1; i < s->top_count; i++) {
        if (by_name(&s->tops[i - 1], &s->tops[i]) == 0)
            return kith_src_fail(why, KITH_EEXISTS,
                                 "cannot share %s and %s together: they would get the same name",
                                 KITH_SRC_SHOWN(s->tops[i - 1].path), KITH_SRC_SHOWN(s->tops[i].path));
    }
    kith_scratch *all[] = {&s->list, &s->stamps, &s->roots, &s->trees};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        int e = kith_scratch_open(all[i], s->scratch);
        if (e)
            return kith_src_fail(why, KITH_EIO, "cannot make a temporary file in %s: %s",
                                 s->scratch ? s->scratch : "the folder for temporary files ($TMPDIR)",
                                 strerror(e));
    }
    return KITH_OK;
}

/* ---- what there is ---- */

kith_share_src_progress kith_share_src_progress_of(const kith_share_src *s)
{
    return (kith_share_src_progress){
        .entries = atomic_load(&s->found),
        .bytes = atomic_load(&s->found_bytes),
        .hashed = atomic_load(&s->hashed),
        .excluded = atomic_load(&s->excluded),
        .walked = atomic_load(&s->walked),
    };
}

void kith_share_src_counts(const kith_share_src *s, uint64_t *bytes, size_t *files, size_t *dirs,
                           size_t *links)
{
    bool walked = atomic_load(&s->walked); /* before that the numbers are another thread's */
    *bytes = walked ? s->m.bytes : 0;
    *files = walked ? s->m.files : 0;
    *dirs = walked ? s->m.dirs : 0;
    *links = walked ? s->m.links : 0;
}

void kith_share_src_trim(const kith_share_src *s)
{
    if (!atomic_load(&s->walked))
        return; /* they are still being mapped */
    kith_scratch_trim(&s->list);
    kith_scratch_trim(&s->stamps);
    kith_scratch_trim(&s->roots);
    kith_scratch_trim(&s->trees);
}

uint64_t kith_src_stamp(const kith_hash_key *key)
{
    const uint64_t parts[] = {key->dev, key->ino, key->size, (uint64_t)key->mtime_ns,
                              (uint64_t)key->ctime_ns};
    uint64_t h = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) { /* splitmix64 */
        h = (h ^ parts[i]) + UINT64_C(0x9e3779b97f4a7c15);
        h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
        h ^= h >> 31;
    }
    return h;
}

bool kith_src_same(const kith_share_src *s, size_t i, const struct stat *st)
{
    uint64_t stamp;
    const kith_hash_key key = kith_hash_key_of(st);
    memcpy(&stamp, s->stamps.map + i * sizeof stamp, sizeof stamp);
    return S_ISREG(st->st_mode) && kith_src_stamp(&key) == stamp;
}

/* The PATH that leads to a top entry. */
static const char *top_path(const kith_share_src *s, size_t entry)
{
    size_t lo = 0, hi = s->top_count;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->tops[mid].entry <= entry)
            lo = mid;
        else
            hi = mid;
    }
    return s->tops[lo].path;
}

bool kith_src_path(const kith_share_src *s, size_t i, char out[PATH_MAX])
{
    size_t chain[KITH_MANIFEST_DEPTH_MAX], n = 0;
    for (; s->m.places[i].parent != KITH_ENTRY_TOP; i = s->m.places[i].parent)
        chain[n++] = i;
    kith_wr w = kith_wr_of(kith_span_of(out, PATH_MAX - 1));
    kith_put_str(&w, top_path(s, i));
    while (n-- > 0) {
        kith_put_u8(&w, '/');
        kith_put_bytes(&w, kith_manifest_entry(&s->m, chain[n]).name);
    }
    out[w.len] = 0;
    return !w.bad;
}

void kith_share_src_path(const kith_share_src *s, size_t entry, char *out, size_t size)
{
    char path[PATH_MAX] = "";
    if (entry < s->m.count)
        (void)kith_src_path(s, entry, path);
    (void)kith_src_shown(path, out, size);
}

void kith_share_src_seal(kith_share_src *s)
{
    kith_share_id(s->list_root, s->roots.map, s->m.count, s->id);
    kith_share_src_trim(s);
}

static const uint8_t *tree_of(const void *ctx, size_t entry)
{
    const kith_share_src *s = ctx;
    return kith_src_leaves(s, entry) > 1 ? s->trees.map + kith_src_tree_at(s, entry) : NULL;
}

kith_share_source kith_share_src_source(const kith_share_src *s)
{
    kith_share_source source = {
        .done = atomic_load(&s->hashed), .total = atomic_load(&s->found_bytes), .nodes = tree_of, .ctx = s};
    if (!atomic_load(&s->walked))
        return source;
    source.manifest = &s->m;
    source.holes = s->holes;
    source.roots = s->roots.map;
    source.known = atomic_load(&s->known);
    memcpy(source.list_root, s->list_root, sizeof source.list_root);
    memcpy(source.id, s->id, sizeof source.id);
    return source;
}
