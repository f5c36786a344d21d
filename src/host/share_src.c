/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Walking, hashing and reading what is shared. */
#include "host/share_src.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host.h"
#include "host/share_dir.h"

#define SLICE_BYTES (16u << 20)
#define SLICE_FILES 64
#define ZEROS_MIN 4096 /* bytes; fewer are sent as they are */

/* One thing on disk. */
typedef struct item {
    char *name;   /* owned */
    char *target; /* of a link; owned */
    struct timespec mtime;
    dev_t dev;
    ino_t ino;
    size_t parent; /* item; SIZE_MAX: a top one */
    size_t top;    /* whose path leads here */
} item;

struct kith_share_src {
    void (*warn)(void *ctx, const char *line);
    void *warn_ctx;
    kith_entry *entries; /* parallel to items */
    item *items;
    size_t count, cap;
    char **tops; /* paths as given */
    size_t top_count, top_cap;
    uint64_t bytes;
    size_t files, dirs, links;
    /* hashes */
    uint8_t *arena;
    const uint8_t **nodes; /* by entry; NULL for what is no file */
    size_t next;           /* slicing */
    uint64_t next_from;
    /* the list; roots when it is sealed */
    uint8_t *list, *roots;
    kith_manifest manifest;
    kith_share_source source;
};

static kith_err fail(char why[KITH_SHARE_SRC_WHY_MAX], kith_err err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static kith_err fail(char why[KITH_SHARE_SRC_WHY_MAX], kith_err err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, KITH_SHARE_SRC_WHY_MAX, fmt, ap);
    va_end(ap);
    return err;
}

/* A path for people, cut to what fits. */
static const char *shown(const char *path, char *out, size_t size)
{
    size_t n = strlen(path), most = (size - 1) / 4;
    kith_wr w = kith_wr_of(kith_span_of(out, size - 1));
    kith_name_put(&w, kith_bytes_of(path, n < most ? n : most));
    out[w.len] = 0;
    return out;
}

#define SHOWN(path) shown((path), (char[KITH_SHARE_SRC_WHY_MAX / 2]){0}, KITH_SHARE_SRC_WHY_MAX / 2)

kith_share_src *kith_share_src_new(void (*warn)(void *ctx, const char *line), void *ctx)
{
    kith_share_src *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->warn = warn;
    s->warn_ctx = ctx;
    return s;
}

void kith_share_src_free(kith_share_src *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        free(s->items[i].name);
        free(s->items[i].target);
    }
    for (size_t i = 0; i < s->top_count; i++)
        free(s->tops[i]);
    kith_manifest_fini(&s->manifest, kith_host_env());
    free(s->entries);
    free(s->items);
    free(s->tops);
    free(s->arena);
    free(s->nodes);
    free(s->list);
    free(s->roots);
    free(s);
}

/* p with room for one more element, moved; NULL: no memory, and p is as it was. */
static void *grow(void *p, size_t *cap, size_t count, size_t each)
{
    if (count < *cap)
        return p;
    size_t n = *cap ? 2 * *cap : 16;
    void *q = realloc(p, n * each);
    if (q)
        *cap = n;
    return q;
}

/* Appends a string, which is taken over. */
static bool push_string(char ***list, size_t *cap, size_t *count, char *text)
{
    char **p = text ? grow(*list, cap, *count, sizeof *p) : NULL;
    if (!p) {
        free(text);
        return false;
    }
    *list = p;
    p[(*count)++] = text;
    return true;
}

static void warn(const kith_share_src *s, const char *path, const char *why)
{
    char line[KITH_SHARE_SRC_WHY_MAX];
    if (!s->warn)
        return;
    (void)snprintf(line, sizeof line, "left out %s: %s", SHOWN(path), why);
    s->warn(s->warn_ctx, line);
}

/* ---- walking ---- */

/* Adds an entry. target is taken over. */
static kith_err push(kith_share_src *s, const struct stat *st, const char *name, char *target, size_t parent,
                     size_t depth, char why[KITH_SHARE_SRC_WHY_MAX])
{
    size_t cap = s->cap;
    char *copy = strdup(name);
    kith_entry *entries = grow(s->entries, &cap, s->count, sizeof *entries);
    if (entries)
        s->entries = entries;
    item *items = entries ? grow(s->items, &s->cap, s->count, sizeof *items) : NULL;
    if (items)
        s->items = items;
    if (!copy || !items) {
        free(copy);
        free(target);
        return fail(why, KITH_ENOMEM, "no memory for the list of files");
    }
    s->items[s->count] = (item){
        .name = copy,
        .target = target,
        .mtime = st->st_mtim,
        .dev = st->st_dev,
        .ino = st->st_ino,
        .parent = parent,
        .top = s->top_count - 1,
    };
    bool dir = S_ISDIR(st->st_mode), link = S_ISLNK(st->st_mode);
    s->entries[s->count] = (kith_entry){
        .type = dir    ? KITH_ENTRY_DIR
                : link ? KITH_ENTRY_LINK
                       : KITH_ENTRY_FILE,
        .depth = (uint8_t)depth,
        .size = dir || link ? 0 : (uint64_t)st->st_size,
        .mode = link ? 0 : (uint16_t)(st->st_mode & 0777),
        .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
    };
    s->count++;
    s->dirs += dir;
    s->links += link;
    s->files += !dir && !link;
    s->bytes += dir || link ? 0 : (uint64_t)st->st_size;
    return KITH_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a,
                  *(char *const *)b); /* strcmp compares as unsigned char: the manifest's order */
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

/* The names in a folder, sorted. Takes fd over. */
static kith_err read_names(int fd, const char *path, char ***out, size_t *count,
                           char why[KITH_SHARE_SRC_WHY_MAX])
{
    char **names = NULL;
    size_t n = 0, cap = 0;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int e = errno;
        (void)close(fd);
        return fail(why, KITH_EIO, "cannot read the folder %s: %s", SHOWN(path), strerror(e));
    }
    for (struct dirent *e; errno = 0, (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (!push_string(&names, &cap, &n, strdup(e->d_name))) {
            free_names(names, n);
            (void)closedir(dir);
            return fail(why, KITH_ENOMEM, "no memory for the list of files");
        }
    }
    int e = errno;
    (void)closedir(dir);
    if (e) {
        free_names(names, n);
        return fail(why, KITH_EIO, "cannot read the folder %s: %s", SHOWN(path), strerror(e));
    }
    if (n > 0)
        qsort(names, n, sizeof *names, by_name);
    *out = names;
    *count = n;
    return KITH_OK;
}

/* The target of the link `name` in the folder at. NULL: *err. */
static char *read_link(int at, const char *name)
{
    char buf[KITH_LINK_MAX + 2];
    ssize_t n = readlinkat(at, name, buf, sizeof buf - 1);
    if (n < 0)
        return NULL;
    buf[n] = 0;
    return strdup(buf);
}

static kith_err walk_folder(kith_share_src *s, int fd, char *path, size_t path_len, size_t parent,
                            size_t depth, char why[KITH_SHARE_SRC_WHY_MAX]);

/* Adds what is called `name` in the folder at; path is where that is, for messages, and has room for PATH_MAX. follow: the user named
 * it, so a link stands for what it leads to. */
static kith_err walk_one(kith_share_src *s, int at, const char *name, const char *shown_as, char *path,
                         size_t path_len, size_t parent, size_t depth, bool follow,
                         char why[KITH_SHARE_SRC_WHY_MAX])
{
    struct stat st;
    const char *bad = kith_name_fault(kith_bytes_str(shown_as), false);
    if (bad)
        return fail(why, KITH_EFORMAT,
                    "cannot share %s: %s; no receiver would take that name, rename it first", SHOWN(path),
                    bad);
    if (depth >= KITH_MANIFEST_DEPTH_MAX)
        return fail(why, KITH_ELIMIT, "cannot share %s: folders are nested more than %d deep", SHOWN(path),
                    KITH_MANIFEST_DEPTH_MAX);
    if (fstatat(at, name, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW))
        return fail(why, KITH_EIO, "cannot share %s: %s", SHOWN(path), strerror(errno));
    if (S_ISLNK(st.st_mode)) {
        char *target = read_link(at, name);
        if (!target)
            return fail(why, KITH_EIO, "cannot read the link %s: %s", SHOWN(path), strerror(errno));
        bad = kith_link_fault(kith_bytes_str(target), depth);
        if (bad) {
            warn(s, path, bad);
            free(target);
            return KITH_OK;
        }
        return push(s, &st, shown_as, target, parent, depth, why);
    }
    if (S_ISREG(st.st_mode))
        return push(s, &st, shown_as, NULL, parent, depth, why);
    if (!S_ISDIR(st.st_mode)) {
        warn(s, path, "it is neither a file, a folder nor a link");
        return KITH_OK;
    }
    if (strcmp(shown_as, KITH_SHARE_PARTIAL) == 0) {
        warn(s, path, "it holds unfinished transfers");
        return KITH_OK;
    }
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
    if (fd < 0)
        return fail(why, KITH_EIO, "cannot open the folder %s: %s", SHOWN(path), strerror(errno));
    kith_err err = push(s, &st, shown_as, NULL, parent, depth, why);
    if (!err)
        err = walk_folder(s, fd, path, path_len, s->count - 1, depth + 1, why);
    (void)close(fd);
    return err;
}

/* At most KITH_MANIFEST_DEPTH_MAX deep, one descriptor each. */
static kith_err walk_folder(kith_share_src *s, int fd, char *path, size_t path_len, size_t parent,
                            size_t depth, char why[KITH_SHARE_SRC_WHY_MAX])
{
    char **names = NULL;
    size_t n = 0;
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy < 0)
        return fail(why, KITH_EIO, "cannot read the folder %s: %s", SHOWN(path), strerror(errno));
    kith_err err = read_names(copy, path, &names, &n, why);
    if (err)
        return err;
    for (size_t i = 0; i < n && !err; i++) {
        size_t len = strlen(names[i]);
        if (len + 2 > PATH_MAX - path_len) {
            err = fail(why, KITH_ELIMIT, "cannot share %s/...: the path is too long", SHOWN(path));
            break;
        }
        path[path_len] = '/';
        memcpy(path + path_len + 1, names[i], len + 1);
        err = walk_one(s, fd, names[i], names[i], path, path_len + 1 + len, parent, depth, false, why);
        path[path_len] = 0;
    }
    free_names(names, n);
    return err;
}

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
    char name[KITH_NAME_MAX + 1], full[PATH_MAX];
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len == 0 || len >= sizeof full || !top_name(path, name))
        return fail(why, KITH_EIO, "cannot share %s: %s", SHOWN(path),
                    strerror(len == 0             ? ENOENT
                             : len >= sizeof full ? ENAMETOOLONG
                                                  : errno));
    memcpy(full, path, len);
    full[len] = 0;
    if (!push_string(&s->tops, &s->top_cap, &s->top_count, strdup(full)))
        return fail(why, KITH_ENOMEM, "no memory");
    return walk_one(s, AT_FDCWD, full, name, full, len, SIZE_MAX, 0, true, why);
}

/* ---- order, and room for the hashes ---- */

typedef struct span_of_top {
    const kith_share_src *s;
    size_t first, count;
} span_of_top;

static int by_top_name(const void *a, const void *b)
{
    const span_of_top *x = a, *y = b;
    return strcmp(x->s->items[x->first].name, y->s->items[y->first].name);
}

/* Puts the tops in order of their names; what lies in each stays together. */
static kith_err sort_tops(kith_share_src *s, char why[KITH_SHARE_SRC_WHY_MAX])
{
    span_of_top *spans = calloc(s->top_count, sizeof *spans);
    kith_entry *entries = malloc(s->count * sizeof *entries);
    item *items = malloc(s->count * sizeof *items);
    size_t n = 0, at = 0;
    kith_err err = KITH_OK;
    if (!spans || !entries || !items) {
        err = fail(why, KITH_ENOMEM, "no memory for the list of files");
        goto out;
    }
    for (size_t i = 0; i < s->count; i++) {
        if (s->entries[i].depth == 0)
            spans[n++] = (span_of_top){.s = s, .first = i};
        spans[n - 1].count++;
    }
    qsort(spans, n, sizeof *spans, by_top_name);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && by_top_name(&spans[i - 1], &spans[i]) == 0) {
            err = fail(why, KITH_EEXISTS, "cannot share %s and %s together: they would get the same name",
                       SHOWN(s->tops[s->items[spans[i - 1].first].top]),
                       SHOWN(s->tops[s->items[spans[i].first].top]));
            goto out;
        }
        for (size_t k = 0; k < spans[i].count; k++) {
            entries[at + k] = s->entries[spans[i].first + k];
            items[at + k] = s->items[spans[i].first + k];
            if (items[at + k].parent != SIZE_MAX)
                items[at + k].parent = items[at + k].parent - spans[i].first + at;
        }
        at += spans[i].count;
    }
    memcpy(s->entries, entries, s->count * sizeof *entries);
    memcpy(s->items, items, s->count * sizeof *items);
out:
    free(spans);
    free(entries);
    free(items);
    return err;
}

static const uint8_t *tree_of(const void *ctx, size_t entry)
{
    const kith_share_src *s = ctx;
    return s->nodes[entry];
}

/* The list, and what every receiver will ask of it. */
static kith_err make_list(kith_share_src *s, char why[KITH_SHARE_SRC_WHY_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < s->count; i++)
        len += kith_manifest_entry_len(&s->entries[i]);
    if (len > KITH_MANIFEST_MAX)
        return fail(why, KITH_ELIMIT, "the list of files is longer than %u MiB; share them in parts",
                    KITH_MANIFEST_MAX >> 20);
    s->list = malloc(len);
    s->roots = calloc(s->count, KITH_BLAKE3_LEN);
    if (!s->list || !s->roots)
        return fail(why, KITH_ENOMEM, "no memory for the list of files");
    kith_wr w = kith_wr_of(kith_span_of(s->list, len));
    for (size_t i = 0; i < s->count; i++)
        kith_manifest_put_entry(&w, &s->entries[i]);
    assert(!w.bad && w.len == len);
    kith_manifest_fault fault = {0};
    kith_err err =
        kith_manifest_parse(kith_host_env(), kith_bytes_of(s->list, len), false, &s->manifest, &fault);
    if (err) {
        char path[KITH_SHARE_SRC_WHY_MAX / 2];
        kith_share_src_path(s, fault.entry, path, sizeof path);
        return fail(why, err, "cannot share %s: %s", path, fault.why ? fault.why : "no memory");
    }
    s->source = (kith_share_source){
        .manifest = &s->manifest,
        .roots = s->roots,
        .nodes = tree_of,
        .ctx = s,
    };
    kith_blake3_hash(kith_bytes_of(s->list, len), s->source.list_root);
    return KITH_OK;
}

kith_err kith_share_src_begin(kith_share_src *s, char why[KITH_SHARE_SRC_WHY_MAX])
{
    if (s->count == 0)
        return fail(why, KITH_ENOTFOUND, "there is nothing to share");
    if (s->count > KITH_MANIFEST_ENTRIES_MAX)
        return fail(why, KITH_ELIMIT, "there are more than %u files and folders; share them in parts",
                    KITH_MANIFEST_ENTRIES_MAX);
    kith_err err = sort_tops(s, why);
    if (err)
        return err;
    size_t total = 0;
    for (size_t i = 0; i < s->count; i++)
        total += s->entries[i].type == KITH_ENTRY_FILE ? kith_tree_nodes(s->entries[i].size) : 0;
    s->arena = malloc(total * KITH_BLAKE3_LEN + 1);
    s->nodes = calloc(s->count, sizeof *s->nodes);
    if (!s->arena || !s->nodes)
        return fail(why, KITH_ENOMEM, "no memory for the hashes");
    uint8_t *at = s->arena;
    for (size_t i = 0; i < s->count; i++) {
        kith_entry *e = &s->entries[i];
        e->name = kith_bytes_str(s->items[i].name);
        if (s->items[i].target)
            e->target = kith_bytes_str(s->items[i].target);
        if (e->type != KITH_ENTRY_FILE)
            continue;
        s->nodes[i] = at;
        at += kith_tree_nodes(e->size) * KITH_BLAKE3_LEN;
    }
    return make_list(s, why);
}

void kith_share_src_counts(const kith_share_src *s, uint64_t *bytes, size_t *files, size_t *dirs,
                           size_t *links)
{
    *bytes = s->bytes;
    *files = s->files;
    *dirs = s->dirs;
    *links = s->links;
}

/* ---- reading ---- */

/* The path of an item. False: it is too long. */
static bool path_of(const kith_share_src *s, size_t i, char out[PATH_MAX])
{
    size_t chain[KITH_MANIFEST_DEPTH_MAX], n = 0;
    for (size_t at = i; s->items[at].parent != SIZE_MAX; at = s->items[at].parent)
        chain[n++] = at;
    kith_wr w = kith_wr_of(kith_span_of(out, PATH_MAX - 1));
    kith_put_str(&w, s->tops[s->items[i].top]);
    while (n-- > 0) {
        kith_put_u8(&w, '/');
        kith_put_str(&w, s->items[chain[n]].name);
    }
    out[w.len] = 0;
    return !w.bad;
}

void kith_share_src_path(const kith_share_src *s, size_t entry, char *out, size_t size)
{
    char path[PATH_MAX] = "";
    if (entry < s->count)
        (void)path_of(s, entry, path);
    (void)shown(path, out, size);
}

static bool same_file(const kith_share_src *s, size_t i, const struct stat *st)
{
    const item *it = &s->items[i];
    return S_ISREG(st->st_mode) && st->st_dev == it->dev && st->st_ino == it->ino &&
           (uint64_t)st->st_size == s->entries[i].size && st->st_mtim.tv_sec == it->mtime.tv_sec &&
           st->st_mtim.tv_nsec == it->mtime.tv_nsec;
}

/* Opens the file of an item if it is still the one that was found. -1: *code. */
static int open_item(const kith_share_src *s, size_t i, kith_share_code *code)
{
    char path[PATH_MAX];
    struct stat st;
    *code = KITH_SHARE_UNREADABLE;
    if (!path_of(s, i, path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    /* a top item may be a link that the user named; a pipe that took a file's place must not block us */
    int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (s->items[i].parent == SIZE_MAX ? 0 : O_NOFOLLOW));
    if (fd < 0) {
        if (errno == ENOENT || errno == ELOOP || errno == ENOTDIR)
            *code = KITH_SHARE_CHANGED;
        return -1;
    }
    if (fstat(fd, &st) == 0 && same_file(s, i, &st))
        return fd;
    *code = KITH_SHARE_CHANGED;
    (void)close(fd);
    errno = ESTALE;
    return -1;
}

/* Reads exactly n bytes. */
static kith_share_code read_exactly(int fd, uint8_t *out, size_t n, uint64_t offset)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = pread(fd, out + at, n - at, (off_t)(offset + at));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return KITH_SHARE_UNREADABLE;
        if (got == 0)
            return KITH_SHARE_CHANGED; /* it is shorter than it was */
        at += (size_t)got;
    }
    return KITH_SHARE_NONE;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    return n >= ZEROS_MIN && p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

void kith_share_src_read(const kith_share_src *s, kith_share_block *b)
{
    for (size_t k = 0; k < b->count; k++) {
        kith_share_item *it = &b->items[k];
        size_t i = it->entry;
        struct stat st;
        int fd = open_item(s, i, &it->code);
        if (fd < 0)
            continue;
        it->code = read_exactly(fd, b->buf + it->at, it->len, it->offset);
        /* written to while we read? */
        if (!it->code && (fstat(fd, &st) || !same_file(s, i, &st)))
            it->code = KITH_SHARE_CHANGED;
        it->zeros = !it->code && all_zero(b->buf + it->at, it->len);
        (void)close(fd);
    }
}

/* ---- hashing ---- */

bool kith_share_src_slice(kith_share_src *s, kith_share_slice *out)
{
    out->err = KITH_OK;
    out->entries = 0;
    out->from = out->to = out->bytes = 0;
    for (; s->next < s->count; s->next++) {
        const kith_entry *e = &s->entries[s->next];
        if (e->type != KITH_ENTRY_FILE) {
            out->entries += out->entries > 0;
            continue;
        }
        if (out->entries > 0 && (e->size > SLICE_BYTES - out->bytes || out->entries >= SLICE_FILES))
            return true;
        if (out->entries == 0)
            out->entry = s->next;
        out->entries++;
        if (e->size > SLICE_BYTES) {
            out->from = s->next_from;
            out->to = e->size - out->from > SLICE_BYTES ? out->from + SLICE_BYTES : e->size;
            out->bytes = out->to - out->from;
            s->next_from = out->to;
            if (s->next_from == e->size) {
                s->next_from = 0;
                s->next++;
            }
            return true;
        }
        out->bytes += e->size;
    }
    return out->entries > 0;
}

static kith_err hash_failed(const kith_share_src *s, size_t i, kith_share_code code, int e,
                            char why[KITH_SHARE_SRC_WHY_MAX])
{
    char path[KITH_SHARE_SRC_WHY_MAX / 2];
    kith_share_src_path(s, i, path, sizeof path);
    if (code == KITH_SHARE_CHANGED)
        return fail(why, KITH_EIO, "%s changed while it was being read; share it again when it is finished",
                    path);
    return fail(why, KITH_EIO, "cannot read %s: %s", path, strerror(e));
}

/* Hashes the leaves [from, to) of a file. buf holds one. */
static kith_err hash_part(const kith_share_src *s, size_t i, uint64_t from, uint64_t to, uint8_t *buf,
                          char why[KITH_SHARE_SRC_WHY_MAX])
{
    kith_share_code code;
    struct stat st;
    uint64_t size = s->entries[i].size;
    uint8_t *nodes = s->arena + (s->nodes[i] - s->arena);
    int fd = open_item(s, i, &code);
    if (fd < 0)
        return hash_failed(s, i, code, errno, why);
    (void)posix_fadvise(fd, (off_t)from, (off_t)(to - from), POSIX_FADV_SEQUENTIAL);
    kith_err err = KITH_OK;
    for (uint64_t at = from; !err && (at < to || size == 0); at += KITH_TREE_LEAF) {
        size_t n = to - at < KITH_TREE_LEAF ? (size_t)(to - at) : KITH_TREE_LEAF;
        code = read_exactly(fd, buf, n, at);
        if (code)
            err = hash_failed(s, i, code, errno, why);
        else
            kith_tree_leaf(nodes, size, (size_t)(at / KITH_TREE_LEAF), kith_bytes_of(buf, n));
        if (size == 0)
            break;
    }
    if (!err && (fstat(fd, &st) || !same_file(s, i, &st)))
        err = hash_failed(s, i, KITH_SHARE_CHANGED, 0, why);
    (void)close(fd);
    return err;
}

void kith_share_src_hash(const kith_share_src *s, kith_share_slice *slice)
{
    uint8_t *buf = malloc(KITH_TREE_LEAF);
    slice->err = buf ? KITH_OK : fail(slice->why, KITH_ENOMEM, "no memory");
    for (size_t k = 0; k < slice->entries && !slice->err; k++) {
        size_t i = slice->entry + k;
        const kith_entry *e = &s->entries[i];
        if (e->type == KITH_ENTRY_FILE)
            slice->err = slice->to > 0 ? hash_part(s, i, slice->from, slice->to, buf, slice->why)
                                       : hash_part(s, i, 0, e->size, buf, slice->why);
    }
    free(buf);
}

void kith_share_src_seal(kith_share_src *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (!s->nodes[i] || s->entries[i].size == 0)
            continue;
        kith_tree_join(s->arena + (s->nodes[i] - s->arena), s->entries[i].size);
        memcpy(s->roots + i * KITH_BLAKE3_LEN, s->nodes[i], KITH_BLAKE3_LEN);
    }
    s->source.known = s->count;
    kith_share_id(s->source.list_root, s->roots, s->count, s->source.id);
}

const kith_share_source *kith_share_src_source(const kith_share_src *s)
{
    return &s->source;
}
