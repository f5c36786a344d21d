/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A set-associative table and a ring, in two files. */
#include "host/hash_cache.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "apps/share_tree.h"
#include "host/clock.h"
#include "host/io.h"

#define HEADER_LEN 4096
#define BUCKET_LEN 4096
#define SLOT_LEN 128
#define SLOTS (BUCKET_LEN / SLOT_LEN)
#define CLUMP_BITS 3 /* neighbouring inodes in one bucket: 8 of them, so that four clumps fill it */
#define RENEW_S 3600 /* a slot's time of use is not written more often */
#define LOCK_TRIES 100
#define COPY_LEN (64u << 10)

/* A slot; numbers are little-endian. */
enum {
    SLOT_DEV = 0,
    SLOT_INO = 8,
    SLOT_SIZE = 16,
    SLOT_MTIME = 24,
    SLOT_CTIME = 32,
    SLOT_ROOT = 40,
    SLOT_SHA256 = 72,
    SLOT_TREE = 104, /* place in the ring, for files of more than one leaf */
    SLOT_USED = 112, /* seconds since 1970, 4 bytes */
    SLOT_FLAGS = 116,
    SLOT_SUM = 120,
};
enum { FLAG_SET = 1, FLAG_SHA256 = 2 };

/* A record of the ring, and the tree after it. */
enum { RECORD_PLACE = 0, RECORD_LEN = 8, RECORD_ROOT = 16, RECORD_SUM = 48, RECORD_HEAD = 80 };

/* Headers: a magic of 8 bytes, a number of 8, and in the ring the place where the next record goes. A place only grows; it lies at its
 * remainder by the ring's length. */
enum { HEAD_NUMBER = 8, HEAD_NEXT = 16, HEAD_LEN = 24 };

struct kith_hash_cache {
    int index, ring;
    uint64_t buckets, ring_len;
    pthread_mutex_t lock; /* flock is the process's, not the thread's */
};

kith_hash_key kith_hash_key_of(const struct stat *st)
{
    return (kith_hash_key){
        .dev = (uint64_t)st->st_dev,
        .ino = (uint64_t)st->st_ino,
        .size = (uint64_t)st->st_size,
        .mtime_ns = kith_ns_of(st->st_mtim),
        .ctime_ns = kith_ns_of(st->st_ctim),
    };
}

/* ---- files ---- */

static bool read_at(int fd, void *out, size_t n, uint64_t at)
{
    return kith_io_read(fd, out, n, at) == (ssize_t)n;
}

static bool write_at(int fd, const void *in, size_t n, uint64_t at)
{
    return kith_io_write(fd, in, n, at) == 0;
}

static void header_of(const char magic[9], uint64_t number, uint8_t out[HEAD_LEN])
{
    memcpy(out, magic, 8);
    kith_store_le64(out + HEAD_NUMBER, number);
    kith_store_le64(out + HEAD_NEXT, 0);
}

static bool header_fits(int fd, const uint8_t want[HEAD_LEN], uint64_t len)
{
    uint8_t got[HEAD_LEN];
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == len &&
           read_at(fd, got, sizeof got, 0) && memcmp(got, want, HEAD_NEXT) == 0;
}

/* Opens a file, or makes it anew beside itself and moves it there. Whoever has the old one open goes on with that. */
static int open_file(int dir, const char *name, const char *fresh, const char magic[9], uint64_t number,
                     uint64_t len)
{
    uint8_t head[HEAD_LEN];
    header_of(magic, number, head);
    int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && header_fits(fd, head, len))
        return fd;
    if (fd >= 0)
        close(fd);
    (void)unlinkat(dir, fresh, 0); /* of a process that died; one that lives will fail, and have no cache */
    fd = openat(dir, fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 && write_at(fd, head, sizeof head, 0) && ftruncate(fd, (off_t)len) == 0 &&
        renameat(dir, fresh, dir, name) == 0)
        return fd;
    int e = errno;
    if (fd >= 0)
        close(fd);
    errno = e;
    return -1;
}

kith_hash_cache *kith_hash_cache_open(const char *dir, uint64_t cap)
{
    kith_hash_cache *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    if (cap < KITH_HASH_CACHE_MIN)
        cap = KITH_HASH_CACHE_MIN;
    c->buckets = 1; /* a quarter of the cap, rounded down to a power of two of them */
    while (c->buckets * 2 * BUCKET_LEN <= cap / 4)
        c->buckets *= 2;
    c->ring_len = cap - c->buckets * BUCKET_LEN - (uint64_t)2 * HEADER_LEN;
    c->index = c->ring = -1;
    pthread_mutex_init(&c->lock, NULL);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        c->index = open_file(fd, "hashes", "hashes.new", "kith.hs1", c->buckets,
                             HEADER_LEN + c->buckets * BUCKET_LEN);
        if (c->index >= 0)
            c->ring = open_file(fd, "trees", "trees.new", "kith.tr1", c->ring_len, HEADER_LEN + c->ring_len);
    }
    int e = errno;
    if (fd >= 0)
        close(fd);
    if (c->ring >= 0)
        return c;
    kith_hash_cache_close(c);
    errno = e;
    return NULL;
}

void kith_hash_cache_close(kith_hash_cache *c)
{
    if (!c)
        return;
    if (c->index >= 0)
        close(c->index);
    if (c->ring >= 0)
        close(c->ring);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- slots ---- */

/* splitmix64's last steps. */
static uint64_t mix(uint64_t v)
{
    v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
    return v ^ v >> 31;
}

static uint64_t bucket_of(const kith_hash_cache *c, const kith_hash_key *key)
{
    return mix(mix(key->dev + UINT64_C(0x9e3779b97f4a7c15)) + (key->ino >> CLUMP_BITS)) & (c->buckets - 1);
}

/* Against accidents; whoever can write to the cache can write to all of the user's files. */
static uint64_t slot_sum(const uint8_t *slot)
{
    uint8_t sum[KITH_BLAKE3_LEN];
    kith_blake3_hash(kith_bytes_of(slot, SLOT_SUM), sum);
    return kith_load_le64(sum);
}

static bool slot_sound(const uint8_t *slot)
{
    return slot[SLOT_FLAGS] & FLAG_SET && kith_load_le64(slot + SLOT_SUM) == slot_sum(slot);
}

static uint32_t slot_used(const uint8_t *slot)
{
    return (uint32_t)slot[SLOT_USED] | (uint32_t)slot[SLOT_USED + 1] << 8 |
           (uint32_t)slot[SLOT_USED + 2] << 16 | (uint32_t)slot[SLOT_USED + 3] << 24;
}

static void slot_stamp(uint8_t *slot, uint32_t now_s)
{
    for (int i = 0; i < 4; i++)
        slot[SLOT_USED + i] = (uint8_t)(now_s >> 8 * i);
    kith_store_le64(slot + SLOT_SUM, slot_sum(slot));
}

static bool slot_of_file(const uint8_t *slot, const kith_hash_key *key)
{
    return slot[SLOT_FLAGS] & FLAG_SET && kith_load_le64(slot + SLOT_DEV) == key->dev &&
           kith_load_le64(slot + SLOT_INO) == key->ino;
}

static bool slot_of_content(const uint8_t *slot, const kith_hash_key *key)
{
    return kith_load_le64(slot + SLOT_SIZE) == key->size &&
           (int64_t)kith_load_le64(slot + SLOT_MTIME) == key->mtime_ns &&
           (int64_t)kith_load_le64(slot + SLOT_CTIME) == key->ctime_ns;
}

void kith_hash_cache_flush(kith_hash_cache *c, kith_hash_page *page)
{
    if (!c || page->bucket == 0 || page->from >= page->to)
        return;
    /* what another has put into these slots meanwhile is lost, which a cache may */
    (void)write_at(c->index, page->data + (size_t)page->from * SLOT_LEN,
                   (size_t)(page->to - page->from) * SLOT_LEN,
                   HEADER_LEN + (page->bucket - 1) * BUCKET_LEN + (uint64_t)page->from * SLOT_LEN);
    page->from = page->to = 0;
}

/* Has the page hold a file's bucket. False: it cannot be read. */
static bool load(kith_hash_cache *c, kith_hash_page *page, const kith_hash_key *key)
{
    uint64_t bucket = bucket_of(c, key);
    if (page->bucket == bucket + 1)
        return true;
    kith_hash_cache_flush(c, page);
    page->from = page->to = 0;
    page->bucket = bucket + 1;
    if (read_at(c->index, page->data, BUCKET_LEN, HEADER_LEN + bucket * BUCKET_LEN))
        return true;
    page->bucket = 0;
    return false;
}

static void changed(kith_hash_page *page, unsigned slot)
{
    if (page->from >= page->to) {
        page->from = slot;
        page->to = slot + 1;
        return;
    }
    page->from = slot < page->from ? slot : page->from;
    page->to = slot + 1 > page->to ? slot + 1 : page->to;
}

static uint8_t *slot_at(kith_hash_page *page, unsigned i)
{
    return page->data + (size_t)i * SLOT_LEN;
}

/* The slot of a file, whichever content it stands for; SLOTS: none. Unsound ones are cleared. */
static unsigned find(kith_hash_page *page, const kith_hash_key *key)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        uint8_t *slot = slot_at(page, i);
        if (!slot_of_file(slot, key))
            continue;
        if (slot_sound(slot))
            return i;
        memset(slot, 0, SLOT_LEN);
        changed(page, i);
    }
    return SLOTS;
}

/* A slot for another file: an empty one, or the one that was not used for longest. */
static unsigned make_room(kith_hash_page *page)
{
    unsigned oldest = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (!(slot_at(page, i)[SLOT_FLAGS] & FLAG_SET))
            return i;
        if (slot_used(slot_at(page, i)) < slot_used(slot_at(page, oldest)))
            oldest = i;
    }
    return oldest;
}

/* ---- the ring ---- */

static uint64_t tree_len(uint64_t size)
{
    return kith_tree_leaves(size) > 1 ? (uint64_t)kith_tree_nodes(size) * KITH_BLAKE3_LEN : 0;
}

/* A process that was stopped in the wrong moment shall not stop us too: then nothing is stored. */
static bool lock_ring(const kith_hash_cache *c)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(c->ring, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return false;
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

/* Where the next record goes. */
static bool ring_next(const kith_hash_cache *c, uint64_t *next)
{
    uint8_t buf[8];
    if (!read_at(c->ring, buf, sizeof buf, HEAD_NEXT))
        return false;
    *next = kith_load_le64(buf);
    return true;
}

/* Takes n bytes in one piece from the ring. */
static bool ring_take(kith_hash_cache *c, uint64_t n, uint64_t *place)
{
    uint8_t buf[8];
    uint64_t next = 0;
    pthread_mutex_lock(&c->lock);
    bool locked = lock_ring(c), ok = locked && ring_next(c, &next);
    if (ok) {
        if (next > UINT64_MAX / 2)
            next = 0; /* nonsense */
        uint64_t left = c->ring_len - next % c->ring_len;
        if (left < n)
            next += left;
        kith_store_le64(buf, next + n);
        ok = write_at(c->ring, buf, sizeof buf, HEAD_NEXT);
    }
    if (locked)
        (void)flock(c->ring, LOCK_UN);
    pthread_mutex_unlock(&c->lock);
    *place = next;
    return ok;
}

/* Copies n bytes and hashes them on the way. */
static bool copy(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t n, uint8_t sum[KITH_BLAKE3_LEN])
{
    kith_blake3 *h = kith_blake3_new();
    uint8_t *buf = malloc(COPY_LEN);
    bool ok = h && buf;
    for (uint64_t done = 0; ok && done < n;) {
        size_t part = n - done < COPY_LEN ? (size_t)(n - done) : COPY_LEN;
        ok = read_at(from, buf, part, from_at + done) && write_at(to, buf, part, to_at + done);
        if (ok)
            kith_blake3_update(h, kith_bytes_of(buf, part));
        done += part;
    }
    if (ok)
        kith_blake3_final(h, sum);
    kith_blake3_free(h);
    free(buf);
    return ok;
}

static bool tree_put(kith_hash_cache *c, const uint8_t root[KITH_BLAKE3_LEN], uint64_t len, int fd,
                     uint64_t at, uint64_t *place)
{
    uint8_t head[RECORD_HEAD];
    if (len + RECORD_HEAD > c->ring_len / 2 || !ring_take(c, len + RECORD_HEAD, place))
        return false;
    uint64_t to = HEADER_LEN + *place % c->ring_len;
    kith_store_le64(head + RECORD_PLACE, *place);
    kith_store_le64(head + RECORD_LEN, len);
    memcpy(head + RECORD_ROOT, root, KITH_BLAKE3_LEN);
    return copy(fd, at, c->ring, to + RECORD_HEAD, len, head + RECORD_SUM) &&
           write_at(c->ring, head, sizeof head, to);
}

static bool tree_get(kith_hash_cache *c, const uint8_t root[KITH_BLAKE3_LEN], uint64_t len, uint64_t place,
                     int fd, uint64_t at)
{
    uint8_t head[RECORD_HEAD], sum[KITH_BLAKE3_LEN];
    uint64_t from = place % c->ring_len;
    if (len + RECORD_HEAD > c->ring_len - from || !read_at(c->ring, head, sizeof head, HEADER_LEN + from) ||
        kith_load_le64(head + RECORD_PLACE) != place || kith_load_le64(head + RECORD_LEN) != len ||
        memcmp(head + RECORD_ROOT, root, KITH_BLAKE3_LEN) != 0)
        return false;
    return copy(c->ring, HEADER_LEN + from + RECORD_HEAD, fd, at, len, sum) &&
           memcmp(sum, head + RECORD_SUM, sizeof sum) == 0;
}

/* ---- files ---- */

bool kith_hash_cache_get(kith_hash_cache *c, kith_hash_page *page, const kith_hash_key *key, uint32_t now_s,
                         uint8_t root[KITH_BLAKE3_LEN], int fd, uint64_t at)
{
    if (!c || !load(c, page, key))
        return false;
    unsigned i = find(page, key);
    if (i == SLOTS || !slot_of_content(slot_at(page, i), key))
        return false;
    uint8_t *slot = slot_at(page, i);
    uint64_t len = tree_len(key->size), next = 0, place = kith_load_le64(slot + SLOT_TREE);
    bool stamp = slot_used(slot) + RENEW_S <= now_s;
    if (len > 0) {
        if (!tree_get(c, slot + SLOT_ROOT, len, place, fd, at)) {
            memset(slot, 0, SLOT_LEN);
            changed(page, i);
            return false;
        }
        if (ring_next(c, &next) && next > place && next - place > c->ring_len / 2 &&
            tree_put(c, slot + SLOT_ROOT, len, fd, at, &place)) {
            kith_store_le64(slot + SLOT_TREE, place);
            stamp = true;
        }
    }
    if (stamp) {
        slot_stamp(slot, now_s);
        changed(page, i);
    }
    memcpy(root, slot + SLOT_ROOT, KITH_BLAKE3_LEN);
    return true;
}

void kith_hash_cache_put(kith_hash_cache *c, kith_hash_page *page, const kith_hash_key *key, int64_t began_ns,
                         const uint8_t root[KITH_BLAKE3_LEN], int fd, uint64_t at)
{
    int64_t sure = began_ns - KITH_HASH_CACHE_MARGIN_NS;
    if (!c || key->mtime_ns >= sure || key->ctime_ns >= sure || !load(c, page, key))
        return;
    uint64_t len = tree_len(key->size), place = 0;
    if (len > 0 && !tree_put(c, root, len, fd, at, &place))
        return;
    unsigned i = find(page, key);
    if (i == SLOTS)
        i = make_room(page);
    uint8_t *slot = slot_at(page, i);
    memset(slot, 0, SLOT_LEN);
    kith_store_le64(slot + SLOT_DEV, key->dev);
    kith_store_le64(slot + SLOT_INO, key->ino);
    kith_store_le64(slot + SLOT_SIZE, key->size);
    kith_store_le64(slot + SLOT_MTIME, (uint64_t)key->mtime_ns);
    kith_store_le64(slot + SLOT_CTIME, (uint64_t)key->ctime_ns);
    memcpy(slot + SLOT_ROOT, root, KITH_BLAKE3_LEN);
    kith_store_le64(slot + SLOT_TREE, place);
    slot[SLOT_FLAGS] = FLAG_SET;
    slot_stamp(slot, (uint32_t)(began_ns / 1000000000));
    changed(page, i);
}

bool kith_hash_cache_get_sha256(kith_hash_cache *c, kith_hash_page *page, const kith_hash_key *key,
                                uint8_t out[KITH_SHA256_LEN])
{
    unsigned i = c && load(c, page, key) ? find(page, key) : SLOTS;
    if (i == SLOTS || !slot_of_content(slot_at(page, i), key) ||
        !(slot_at(page, i)[SLOT_FLAGS] & FLAG_SHA256))
        return false;
    memcpy(out, slot_at(page, i) + SLOT_SHA256, KITH_SHA256_LEN);
    return true;
}

void kith_hash_cache_put_sha256(kith_hash_cache *c, kith_hash_page *page, const kith_hash_key *key,
                                const uint8_t sha256[KITH_SHA256_LEN])
{
    unsigned i = c && load(c, page, key) ? find(page, key) : SLOTS;
    if (i == SLOTS || !slot_of_content(slot_at(page, i), key))
        return;
    uint8_t *slot = slot_at(page, i);
    memcpy(slot + SLOT_SHA256, sha256, KITH_SHA256_LEN);
    slot[SLOT_FLAGS] |= FLAG_SHA256;
    slot_stamp(slot, slot_used(slot));
    changed(page, i);
}
