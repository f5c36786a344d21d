/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Walking what is shared: the list, written to a file as it is found. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "host/clock.h"
#include "host/host.h"
#include "host/io.h"
#include "host/share_dir.h"
#include "host/share_src_impl.h"

#define ENTRY_MAX (KITH_NAME_MAX + KITH_LINK_MAX + 256) /* bytes of an entry in the list */
#define LIST_PIECE (4u << 20)

typedef struct walk {
    kith_share_src *s;
    kith_hash_page page;
    uint32_t now_s;
    char path[PATH_MAX]; /* where we are, for messages */
    char *why;
} walk;

#define FAIL(w, err, ...) kith_src_fail((w)->why, (err), __VA_ARGS__)
#define HERE(w) KITH_SRC_SHOWN((w)->path)

/* ---- names in a folder ---- */

typedef struct names {
    char *text; /* one after another, each with its NUL */
    size_t len, cap, count;
    char **sorted;
} names;

static void names_free(names *n)
{
    free(n->text);
    free(n->sorted);
}

static bool names_push(names *n, const char *name)
{
    size_t len = strlen(name) + 1;
    if (len > n->cap - n->len) {
        size_t cap = n->cap ? 2 * n->cap : 4096;
        char *p = realloc(n->text, cap);
        if (!p)
            return false;
        n->text = p;
        n->cap = cap;
    }
    memcpy(n->text + n->len, name, len);
    n->len += len;
    n->count++;
    return true;
}

/* strcmp compares as unsigned char: the manifest's order. */
static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool names_sort(names *n)
{
    n->sorted = malloc(n->count * sizeof *n->sorted + 1);
    if (!n->sorted)
        return false;
    char *at = n->text;
    for (size_t i = 0; i < n->count; i++, at += strlen(at) + 1)
        n->sorted[i] = at;
    if (n->count > 0)
        qsort(n->sorted, n->count, sizeof *n->sorted, by_name);
    return true;
}

typedef struct reading {
    const walk *w;
    names *out;
    bool room;
} reading;

static bool take_name(void *ctx, int fd, const char *name)
{
    reading *r = ctx;
    (void)fd;
    r->room = names_push(r->out, name);
    return r->room && !atomic_load(&r->w->s->stop) && r->out->count <= KITH_MANIFEST_ENTRIES_MAX;
}

/* The names in the folder fd. */
static kith_err names_read(const walk *w, int fd, names *out)
{
    reading r = {.w = w, .out = out, .room = true};
    int e = kith_io_each_name(fd, take_name, &r);
    if (e)
        return FAIL(w, KITH_EIO, "cannot read the folder %s: %s", HERE(w), strerror(e));
    return r.room && names_sort(out) ? KITH_OK : FAIL(w, KITH_ENOMEM, "no memory for the list of files");
}

/* ---- entries ---- */

static kith_err no_room(const walk *w, int e)
{
    return FAIL(w, e == ENOMEM ? KITH_ENOMEM : KITH_EIO, "cannot keep the list of files: %s", strerror(e));
}

static kith_err push_place(const walk *w, uint32_t parent)
{
    kith_manifest *m = &w->s->m;
    if (m->count == KITH_MANIFEST_ENTRIES_MAX)
        return FAIL(w, KITH_ELIMIT, "there are more than %u files and folders; share them in parts",
                    KITH_MANIFEST_ENTRIES_MAX);
    if (m->count == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 64;
        kith_manifest_place *p =
            kith_mem_resize(kith_host_env(), m->places, m->cap * sizeof *p, cap * sizeof *p);
        if (!p)
            return FAIL(w, KITH_ENOMEM, "no memory for the list of files");
        m->places = p;
        m->cap = cap;
    }
    m->places[m->count++] =
        (kith_manifest_place){.at = (uint32_t)w->s->list.len, .parent = parent, .leaf = (uint32_t)m->leaves};
    return KITH_OK;
}

/* Adds an entry. target: of a link, or NULL. */
/* Bytes of a file for which nothing is stored. */
static uint64_t holes_of(const struct stat *st, uint64_t size)
{
    uint64_t stored = (uint64_t)st->st_blocks * 512; /* POSIX leaves the unit open; everybody's is this one */
    return stored < size ? size - stored : 0;
}

static kith_err push(walk *w, const struct stat *st, const char *name, const char *target, uint32_t parent,
                     size_t depth)
{
    kith_share_src *s = w->s;
    kith_manifest *m = &s->m;
    uint8_t buf[ENTRY_MAX];
    bool dir = S_ISDIR(st->st_mode), link = S_ISLNK(st->st_mode);
    const kith_entry e = {
        .type = dir    ? KITH_ENTRY_DIR
                : link ? KITH_ENTRY_LINK
                       : KITH_ENTRY_FILE,
        .depth = (uint8_t)depth,
        .name = kith_bytes_str(name),
        .target = kith_bytes_str(target ? target : ""),
        .size = dir || link ? 0 : (uint64_t)st->st_size,
        .mode = link ? 0 : (uint16_t)(st->st_mode & 0777),
        .mtime_ns = kith_ns_of(st->st_mtim),
    };
    kith_wr wr = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_manifest_put_entry(&wr, &e);
    uint64_t leaves = kith_manifest_leaves_of(e.size);
    if (wr.bad || wr.len > KITH_MANIFEST_MAX - s->list.len)
        return FAIL(w, KITH_ELIMIT, "the list of files is longer than %u MiB; share them in parts",
                    KITH_MANIFEST_MAX >> 20);
    if (leaves > KITH_MANIFEST_LEAVES_MAX - m->leaves)
        return FAIL(w, KITH_ELIMIT, "cannot share %s: together it is more than 1 PiB", HERE(w));
    const kith_hash_key key = kith_hash_key_of(st);
    uint64_t stamp = kith_src_stamp(&key);
    uint8_t root[KITH_BLAKE3_LEN];
    if (leaves > 0 && kith_hash_cache_get(s->cache, &w->page, &key, w->now_s, root, s->trees.fd,
                                          (uint64_t)2 * KITH_BLAKE3_LEN * m->leaves))
        atomic_fetch_add(&s->hashed, e.size);
    else
        memset(root, 0, sizeof root);
    kith_err err = push_place(w, parent);
    if (err)
        return err;
    int sys = kith_scratch_append(&s->list, buf, wr.len);
    if (!sys)
        sys = kith_scratch_append(&s->stamps, &stamp, sizeof stamp);
    if (!sys)
        sys = kith_scratch_append(&s->roots, root, sizeof root);
    if (sys)
        return no_room(w, sys);
    m->dirs += dir;
    m->links += link;
    m->files += !dir && !link;
    m->bytes += e.size;
    m->leaves += leaves;
    s->holes += holes_of(st, e.size);
    atomic_store_explicit(&s->found, m->count, memory_order_relaxed);
    atomic_store_explicit(&s->found_bytes, m->bytes, memory_order_relaxed);
    return KITH_OK;
}

static kith_err walk_folder(walk *w, int fd, size_t path_len, uint32_t parent, size_t depth);

static kith_err push_link(walk *w, int at, const char *name, const struct stat *st, const char *shown_as,
                          uint32_t parent, size_t depth)
{
    char target[KITH_LINK_MAX + 2];
    ssize_t n = readlinkat(at, name, target, sizeof target - 1);
    if (n < 0)
        return FAIL(w, KITH_EIO, "cannot read the link %s: %s", HERE(w), strerror(errno));
    target[n] = 0;
    const char *bad = kith_link_fault(kith_bytes_str(target), depth);
    if (!bad)
        return push(w, st, shown_as, target, parent, depth);
    kith_src_warn(w->s, w->path, bad);
    return KITH_OK;
}

/* By the user's patterns, which may also name what nobody could receive. */
static bool is_excluded(const walk *w, const struct stat *st, const char *name, size_t depth)
{
    const kith_entry e = {.type = S_ISDIR(st->st_mode) ? KITH_ENTRY_DIR : KITH_ENTRY_FILE,
                          .depth = (uint8_t)depth,
                          .name = kith_bytes_str(name)};
    bool holds = w->s->sieve && kith_share_sieve_holds(w->s->sieve, &e);
    if (holds)
        atomic_fetch_add_explicit(&w->s->excluded, 1, memory_order_relaxed);
    return holds;
}

/* Adds what is called `name` in the folder at. follow: the user named it, so a link stands for what it leads to. */
static kith_err walk_one(walk *w, int at, const char *name, const char *shown_as, size_t path_len,
                         uint32_t parent, size_t depth, bool follow)
{
    struct stat st;
    if (atomic_load(&w->s->stop))
        return FAIL(w, KITH_ECLOSED, "stopped");
    if (depth >= KITH_MANIFEST_DEPTH_MAX)
        return FAIL(w, KITH_ELIMIT, "cannot share %s: folders are nested more than %d deep", HERE(w),
                    KITH_MANIFEST_DEPTH_MAX);
    if (fstatat(at, name, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW))
        return FAIL(w, KITH_EIO, "cannot share %s: %s", HERE(w), strerror(errno));
    if (is_excluded(w, &st, shown_as, depth))
        return KITH_OK;
    const char *bad = kith_name_fault(kith_bytes_str(shown_as), false);
    if (bad)
        return FAIL(w, KITH_EFORMAT, "cannot share %s: %s; no receiver would take that name, rename it first",
                    HERE(w), bad);
    if (S_ISLNK(st.st_mode))
        return push_link(w, at, name, &st, shown_as, parent, depth);
    if (S_ISREG(st.st_mode))
        return push(w, &st, shown_as, NULL, parent, depth);
    if (!S_ISDIR(st.st_mode)) {
        kith_src_warn(w->s, w->path, "it is neither a file, a folder nor a link");
        return KITH_OK;
    }
    if (strcmp(shown_as, KITH_SHARE_PARTIAL) == 0) {
        kith_src_warn(w->s, w->path, "it holds unfinished transfers");
        return KITH_OK;
    }
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
    if (fd < 0)
        return FAIL(w, KITH_EIO, "cannot open the folder %s: %s", HERE(w), strerror(errno));
    kith_err err = push(w, &st, shown_as, NULL, parent, depth);
    if (!err)
        err = walk_folder(w, fd, path_len, (uint32_t)w->s->m.count - 1, depth + 1);
    (void)close(fd);
    return err;
}

/* At most KITH_MANIFEST_DEPTH_MAX deep, one descriptor and the names of one folder each. */
static kith_err walk_folder(walk *w, int fd, size_t path_len, uint32_t parent, size_t depth)
{
    names n = {0};
    kith_err err = names_read(w, fd, &n);
    for (size_t i = 0; i < n.count && !err; i++) {
        const char *name = n.sorted[i];
        size_t len = strlen(name);
        if (i > 0 && strcmp(name, n.sorted[i - 1]) == 0)
            continue; /* a folder that changes while it is read may say a name twice */
        if (len + 2 > PATH_MAX - path_len) {
            err = FAIL(w, KITH_ELIMIT, "cannot share %s/...: the path is too long", HERE(w));
            break;
        }
        w->path[path_len] = '/';
        memcpy(w->path + path_len + 1, name, len + 1);
        err = walk_one(w, fd, name, name, path_len + 1 + len, parent, depth, false);
        w->path[path_len] = 0;
    }
    names_free(&n);
    return err;
}

static kith_err walk_tops(walk *w)
{
    kith_share_src *s = w->s;
    size_t kept = 0;
    for (size_t i = 0; i < s->top_count; i++) {
        kith_src_top *t = &s->tops[i];
        size_t before = s->m.count, len = strlen(t->path);
        memcpy(w->path, t->path, len + 1);
        kith_err err = walk_one(w, AT_FDCWD, t->path, t->name, len, KITH_ENTRY_TOP, 0, true);
        if (err)
            return err;
        if (s->m.count == before) { /* left out */
            free(t->path);
            t->path = NULL;
            continue;
        }
        t->entry = before;
        kith_src_top top = *t;
        t->path = NULL;
        s->tops[kept++] = top;
    }
    s->top_count = kept;
    return kept > 0 ? KITH_OK : FAIL(w, KITH_ENOTFOUND, "there is nothing to share");
}

/* The list's hash, piece by piece, so that not all of it has to be in memory. */
static bool hash_list(kith_share_src *s)
{
    kith_blake3 *h = kith_blake3_new();
    if (!h)
        return false;
    for (kith_bytes left = s->m.list; left.len > 0;) {
        size_t n = left.len < LIST_PIECE ? left.len : LIST_PIECE;
        kith_blake3_update(h, kith_bytes_of(left.p, n));
        kith_scratch_trim(&s->list);
        left = kith_bytes_skip(left, n);
    }
    kith_blake3_final(h, s->list_root);
    kith_blake3_free(h);
    return true;
}

kith_err kith_share_src_walk(kith_share_src *s, char why[KITH_SHARE_SRC_WHY_MAX])
{
    walk *w = calloc(1, sizeof *w);
    if (!w)
        return kith_src_fail(why, KITH_ENOMEM, "no memory");
    w->s = s;
    w->why = why;
    w->now_s = (uint32_t)(s->clock_ns() / 1000000000);
    kith_err err = walk_tops(w);
    kith_hash_cache_flush(s->cache, &w->page);
    int sys = 0;
    if (!err)
        sys = kith_scratch_map(&s->list, s->list.len);
    if (!err && !sys)
        sys = kith_scratch_map(&s->stamps, s->stamps.len);
    if (!err && !sys)
        sys = kith_scratch_map(&s->roots, s->roots.len);
    if (!err && !sys)
        sys = kith_scratch_map(&s->trees, (uint64_t)2 * KITH_BLAKE3_LEN * s->m.leaves);
    if (sys)
        err = no_room(w, sys);
    free(w);
    s->m.list = kith_bytes_of(s->list.map, (size_t)s->list.map_len);
    if (!err && !hash_list(s))
        err = kith_src_fail(why, KITH_ENOMEM, "no memory");
    if (!err)
        kith_src_advance(s); /* over what the cache knew */
    atomic_store(&s->walked, err == KITH_OK);
    return err;
}
