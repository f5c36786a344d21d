/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The journal of partial content: its format, and the file. */
#include "host/share_journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "crypto/crypto.h"
#include "host/host.h"
#include "host/io.h"

#define NEW_NAME KITH_JOURNAL_NAME ".new"

#define BEGIN 1 /* kinds of records, besides kith_journal_kind */

enum {
    VERSION = 1,
    HEAD_LEN = 3,
    SUM_LEN = 4,
    RANGE_LEN = 8,
    BEGIN_LEN = 2 + KITH_JOURNAL_RUN_LEN + KITH_BLAKE3_LEN
};
enum { RECORD_MAX = HEAD_LEN + KITH_JOURNAL_RANGES * RANGE_LEN + SUM_LEN };

static uint32_t sum_of(const uint8_t root[KITH_BLAKE3_LEN], uint64_t place, kith_bytes head_and_body)
{
    uint8_t at[8];
    kith_store_be64(at, place);
    uint32_t c = kith_crc32c(0, kith_bytes_of(root, KITH_BLAKE3_LEN));
    return kith_crc32c(kith_crc32c(c, kith_bytes_of(at, sizeof at)), head_and_body);
}

/* ---- reading ---- */

static kith_err take_ranges(const kith_env *env, kith_leaves *s, kith_bytes body, bool add)
{
    kith_err err = KITH_OK;
    for (kith_rd r = kith_rd_of(body); r.in.len > 0 && !err;) {
        uint32_t first = kith_get_be32(&r), end = kith_get_be32(&r);
        if (r.bad || first >= end)
            return KITH_EFORMAT; /* our own sum is right: written by another version */
        err = add ? kith_leaves_add(s, env, first, end) : kith_leaves_remove(s, env, first, end);
    }
    return err;
}

static kith_err take_begin(kith_bytes body, const uint8_t root[KITH_BLAKE3_LEN], kith_journal_state *out)
{
    kith_rd r = kith_rd_of(body);
    uint8_t version = kith_get_u8(&r), durability = kith_get_u8(&r);
    kith_bytes run = kith_get_bytes(&r, KITH_JOURNAL_RUN_LEN), list = kith_get_bytes(&r, KITH_BLAKE3_LEN);
    if (r.bad || r.in.len > 0 || version != VERSION || durability > KITH_DURABILITY_STRICT ||
        !kith_bytes_eq(list, kith_bytes_of(root, KITH_BLAKE3_LEN)))
        return KITH_EFORMAT;
    out->durability = (kith_durability)durability;
    memcpy(out->run, run.p, run.len);
    return KITH_OK;
}

kith_err kith_journal_parse(const kith_env *env, kith_bytes in, const uint8_t list_root[KITH_BLAKE3_LEN],
                            kith_journal_state *out)
{
    *out = (kith_journal_state){0};
    kith_rd r = kith_rd_of(in);
    for (;;) {
        const uint8_t *record = r.in.p;
        uint64_t place = in.len - r.in.len;
        uint8_t kind = kith_get_u8(&r);
        uint16_t len = kith_get_be16(&r);
        kith_bytes body = kith_get_bytes(&r, len);
        uint32_t sum = kith_get_be32(&r);
        if (r.bad || sum != sum_of(list_root, place, kith_bytes_of(record, HEAD_LEN + body.len)))
            return place > 0 ? KITH_OK : KITH_EFORMAT;
        kith_err err;
        if ((kind == BEGIN) != (place == 0))
            return place > 0 ? KITH_OK : KITH_EFORMAT;
        if (kind == BEGIN)
            err = take_begin(body, list_root, out);
        else if (kind == KITH_JOURNAL_HERE || kind == KITH_JOURNAL_GONE)
            err = take_ranges(env, &out->here, body, kind == KITH_JOURNAL_HERE);
        else if (kind == KITH_JOURNAL_MADE)
            err = take_ranges(env, &out->made, body, true);
        else
            err = KITH_EFORMAT;
        if (err)
            return err;
        out->good = in.len - r.in.len;
    }
}

void kith_journal_state_fini(kith_journal_state *st, const kith_env *env)
{
    kith_leaves_fini(&st->here, env);
    kith_leaves_fini(&st->made, env);
}

/* What was never synced is there for as long as the system runs. */
static bool believed(const kith_journal_state *st)
{
    uint8_t run[KITH_JOURNAL_RUN_LEN];
    kith_journal_run(run);
    return st->durability != KITH_DURABILITY_NONE || memcmp(run, st->run, sizeof run) == 0;
}

int kith_journal_load(int folder, const uint8_t list_root[KITH_BLAKE3_LEN], kith_journal_state *out)
{
    struct stat st;
    uint8_t *bytes = NULL;
    int e = 0;
    *out = (kith_journal_state){0};
    int fd = openat(folder, KITH_JOURNAL_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ELOOP ? ENOENT : errno;
    if (fstat(fd, &st))
        e = errno;
    else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_size == 0 ||
             st.st_size > KITH_JOURNAL_MAX)
        e = ENOENT;
    else if (!(bytes = malloc((size_t)st.st_size)))
        e = ENOMEM;
    ssize_t got = e ? 0 : kith_io_read(fd, bytes, (size_t)st.st_size, 0);
    if (!e && got < st.st_size)
        e = got < 0 ? (int)-got : EIO;
    if (!e) {
        kith_err err =
            kith_journal_parse(kith_host_env(), kith_bytes_of(bytes, (size_t)st.st_size), list_root, out);
        e = err == KITH_ENOMEM ? ENOMEM : err || !believed(out) ? ENOENT : 0;
    }
    if (e) {
        kith_journal_state_fini(out, kith_host_env());
        *out = (kith_journal_state){0};
    }
    free(bytes);
    (void)close(fd);
    return e;
}

/* ---- writing ---- */

static int append(kith_journal *j, uint8_t kind, kith_bytes body)
{
    uint8_t record[RECORD_MAX];
    kith_wr w = kith_wr_of(kith_span_of(record, sizeof record));
    kith_put_u8(&w, kind);
    kith_put_be16(&w, (uint16_t)body.len);
    kith_put_bytes(&w, body);
    kith_put_be32(&w, sum_of(j->list_root, j->end, kith_wr_bytes(&w)));
    assert(!w.bad);
    int e = kith_io_write(j->fd, record, w.len, j->end);
    if (!e)
        j->end += w.len;
    return e;
}

int kith_journal_put(kith_journal *j, kith_journal_kind kind, const kith_leaves *ranges)
{
    uint8_t body[KITH_JOURNAL_RANGES * RANGE_LEN];
    int e = 0;
    for (size_t i = 0; i < ranges->count && !e;) {
        kith_wr w = kith_wr_of(kith_span_of(body, sizeof body));
        for (; i < ranges->count && w.len < sizeof body; i++) {
            kith_put_be32(&w, ranges->ranges[i].first);
            kith_put_be32(&w, ranges->ranges[i].end);
        }
        e = append(j, (uint8_t)kind, kith_wr_bytes(&w));
    }
    return e;
}

void kith_journal_run(uint8_t out[KITH_JOURNAL_RUN_LEN])
{
    uint8_t text[64] = "";
    uint8_t hash[KITH_BLAKE3_LEN];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0)
        (void)close(fd);
    if (n <= 0) { /* never twice the same: what was not synced is then not trusted */
        kith_rand_fill(kith_host_env(), kith_span_of(out, KITH_JOURNAL_RUN_LEN));
        return;
    }
    kith_blake3_hash(kith_bytes_of(text, (size_t)n), hash);
    memcpy(out, hash, KITH_JOURNAL_RUN_LEN);
}

int kith_journal_begin(kith_journal *j, int folder, const uint8_t list_root[KITH_BLAKE3_LEN],
                       const kith_journal_state *st, bool sync)
{
    uint8_t body[BEGIN_LEN];
    kith_wr w = kith_wr_of(kith_span_of(body, sizeof body));
    kith_put_u8(&w, VERSION);
    kith_put_u8(&w, (uint8_t)st->durability);
    kith_put_bytes(&w, kith_bytes_of(st->run, sizeof st->run));
    kith_put_bytes(&w, kith_bytes_of(list_root, KITH_BLAKE3_LEN));
    assert(!w.bad && w.len == BEGIN_LEN);
    (void)unlinkat(folder, NEW_NAME, 0);
    *j = (kith_journal){
        .fd = openat(folder, NEW_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
    if (j->fd < 0)
        return errno;
    memcpy(j->list_root, list_root, KITH_BLAKE3_LEN);
    int e = append(j, BEGIN, kith_wr_bytes(&w));
    if (!e)
        e = kith_journal_put(j, KITH_JOURNAL_HERE, &st->here);
    if (!e)
        e = kith_journal_put(j, KITH_JOURNAL_MADE, &st->made);
    if (!e && sync && fdatasync(j->fd))
        e = errno;
    if (!e && renameat(folder, NEW_NAME, folder, KITH_JOURNAL_NAME))
        e = errno;
    if (!e && sync && fsync(folder))
        e = errno;
    if (e) {
        (void)unlinkat(folder, NEW_NAME, 0);
        kith_journal_close(j);
    }
    return e;
}

int kith_journal_sync(kith_journal *j)
{
    return fdatasync(j->fd) ? errno : 0;
}

void kith_journal_close(kith_journal *j)
{
    if (j->fd >= 0)
        (void)close(j->fd);
    j->fd = -1;
}
