/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fetching a share. One job at a time runs on the worker pool: it writes the blocks that have come, or puts everything into place. While
 * it runs the folder is its own, but for the sync that may run beside it, so that writing does not wait for the disk. */
#include "host/share_fetch_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "host/share_path.h"
#include "host/share_swarm.h"

void share_fetch_tell(kith_share_fetch *f, kith_share_fetch_event ev)
{
    if (!f->ended)
        f->cfg.event(f->cfg.ctx, &ev);
}

bool share_fetch_failed(const kith_share_fetch *f)
{
    return f->why != KITH_FETCH_OK;
}

void share_fetch_fail(kith_share_fetch *f, kith_share_fetch_why why, kith_share_code code, const char *fmt,
                      ...)
{
    if (share_fetch_failed(f) || f->ended)
        return;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    f->why = why;
    if (f->cfg.out)
        atomic_store(&f->cfg.out->stop, true);
    else if (f->job == JOB_SURVEY || f->job == JOB_BEGIN)
        kith_share_dir_stop(f->dir);
    share_links_stop(f, code);
    share_links_fini(f);
    share_fetch_pump(f);
}

static void surveyed(kith_share_fetch *f);
static void begun(kith_share_fetch *f);

static void fail_out(kith_share_fetch *f, int err)
{
    if (err == EPIPE)
        share_fetch_fail(f, KITH_FETCH_ENOUGH, KITH_SHARE_DECLINED, "the reader of the output has gone away");
    else if (err == ESTALE)
        share_fetch_fail(f, KITH_FETCH_CHANGED, KITH_SHARE_STOPPED,
                         "the file changed or vanished at the sharer: what was written is not whole");
    else
        share_fetch_fail(f, KITH_FETCH_DISK, KITH_SHARE_DISK, "cannot write to the output: %s",
                         strerror(err));
}

static void fail_disk(kith_share_fetch *f, const kith_share_dir_fault *fault)
{
    char path[KITH_SHARE_PATH_MAX];
    if (f->cfg.out)
        fail_out(f, fault->err);
    else if (fault->err == EWOULDBLOCK)
        share_fetch_fail(
            f, KITH_FETCH_BUSY, KITH_SHARE_DECLINED,
            "another kith is fetching this share into this folder; wait for it, or choose another folder with -o");
    else if (fault->entry == SIZE_MAX)
        share_fetch_fail(f, KITH_FETCH_DISK, KITH_SHARE_DISK, "cannot %s the folder %s: %s", fault->what,
                         f->cfg.dest, strerror(fault->err));
    else
        share_fetch_fail(f, fault->err == EEXIST ? KITH_FETCH_CLASH : KITH_FETCH_DISK, KITH_SHARE_DISK,
                         "cannot %s '%s': %s%s", fault->what,
                         kith_share_path(&f->manifest, fault->entry, path), strerror(fault->err),
                         fault->err == ENOSPC || fault->err == EDQUOT ? "; make room and fetch again" : "");
}

/* ---- jobs ---- */

/* What is done where there is no folder. */
static void out_work(kith_share_fetch *f)
{
    KITH_EACH (&f->writing, k) {
        f->fault.err =
            f->job_err ? f->fault.err : kith_share_out_write(f->cfg.out, KITH_OF(k, kith_share_block, link));
        f->job_err = f->fault.err ? KITH_EIO : KITH_OK;
    }
    if (f->job == JOB_FINISH)
        f->sum = (kith_share_dir_sum){.files = 1, .bytes = f->cfg.out->written};
}

static void job_work(uv_work_t *w)
{
    kith_share_fetch *f = KITH_OF(w, kith_share_fetch, work);
    f->job_err = KITH_OK;
    if (f->cfg.out) {
        out_work(f);
        return;
    }
    switch (f->job) {
    case JOB_SURVEY:
        f->job_err = f->decided
                         ? kith_share_dir_decided(f->dir, &f->first)
                         : kith_share_dir_survey(f->dir, f->cfg.clash, &f->clashes, &f->first, &f->fault);
        break;
    case JOB_BEGIN:
        f->job_err = kith_share_dir_begin(f->dir, &f->fault);
        break;
    case JOB_WRITE:
        KITH_EACH (&f->writing, k) {
            if (!f->job_err)
                f->job_err = kith_share_dir_write(f->dir, KITH_OF(k, kith_share_block, link), &f->fault);
        }
        break;
    case JOB_FINISH:
        f->job_err = kith_share_dir_finish(f->dir, &f->sum, &f->fault);
        break;
    case JOB_CLEAN: /* there may be no folder yet; then this is a turn of the loop, in which last words leave */
        f->kept = kith_share_dir_close(f->closing);
        f->closing = NULL;
        break;
    case JOB_NONE:
        break;
    }
}

static void give_back(kith_share_fetch *f, kith_list *blocks)
{
    for (kith_link *k; (k = kith_list_pop(blocks)) != NULL;)
        share_link_stored(f, KITH_OF(k, kith_share_block, link));
}

/* Of what was to be the same: what is not is asked for again, without a hint. */
static void look_at_same(kith_share_fetch *f)
{
    KITH_EACH (&f->writing, k) {
        const kith_share_block *b = KITH_OF(k, kith_share_block, link);
        for (size_t i = 0; i < b->count; i++) {
            const kith_share_item *it = &b->items[i];
            const uint32_t leaf = (uint32_t)it->leaf;
            f->unproven -= it->same;
            if (!it->stale)
                continue;
            if (!kith_share_dir_older_gone(f->dir, leaf))
                share_fetch_fail(f, KITH_FETCH_FAILED, KITH_SHARE_INTERNAL, "no memory");
            kith_share_plan_want(f->plan, leaf, leaf + 1);
            f->progress.here -= it->len;
            f->progress.files -= it->offset + it->len == kith_manifest_entry(&f->manifest, it->entry).size;
        }
    }
}

static void job_after(uv_work_t *w, int status)
{
    kith_share_fetch *f = KITH_OF(w, kith_share_fetch, work);
    enum job_kind job = f->job;
    (void)status;
    f->job = JOB_NONE;
    if (job == JOB_WRITE && !f->job_err)
        look_at_same(f);
    if (job == JOB_WRITE && !f->job_err && f->swarm)
        share_swarm_stored(f->swarm, &f->writing);
    give_back(f, &f->writing);
    share_links_ask(f);
    if (job == JOB_SURVEY) {
        surveyed(f);
    } else if (f->job_err) {
        fail_disk(f, &f->fault);
    } else if (job == JOB_BEGIN) {
        begun(f);
    } else if (job == JOB_FINISH) {
        f->placed = true;
        share_links_finish(f, f->sum.files, f->sum.bytes);
    }
    share_links_wake(f);
    share_fetch_pump(f);
}

static void job_start(kith_share_fetch *f, enum job_kind job)
{
    f->job = job;
    int e = uv_queue_work(kith_host_loop(f->cfg.host), &f->work, job_work, job_after);
    if (e) { /* cannot be, but for a function that is NULL */
        job_work(&f->work);
        job_after(&f->work, 0);
    }
}

/* ---- the sync ---- */

static void sync_job(uv_work_t *w)
{
    kith_share_fetch *f = KITH_OF(w, kith_share_fetch, sync_work);
    f->sync_err = kith_share_dir_sync(f->dir, &f->sync_fault);
}

static void sync_after(uv_work_t *w, int status)
{
    kith_share_fetch *f = KITH_OF(w, kith_share_fetch, sync_work);
    (void)status;
    f->syncing = false;
    if (f->sync_err)
        fail_disk(f, &f->sync_fault);
    share_fetch_pump(f);
}

/* Brings into the journal what was written, when it is a batch's worth, or a batch's time is over. */
static void sync_some(kith_share_fetch *f)
{
    if (f->syncing || share_fetch_failed(f) || f->placed || f->job == JOB_FINISH || !f->timer_open)
        return;
    uint64_t n = kith_share_dir_unsynced(f->dir);
    if (n == 0 || (n < KITH_SHARE_BATCH_BYTES && !f->sync_due))
        return;
    f->sync_due = false;
    f->syncing = uv_queue_work(kith_host_loop(f->cfg.host), &f->sync_work, sync_job, sync_after) == 0;
}

static void on_sync_timer(uv_timer_t *t)
{
    kith_share_fetch *f = KITH_OF(t, kith_share_fetch, sync_timer);
    f->sync_due = true;
    sync_some(f);
}

static void close_timer(kith_share_fetch *f)
{
    if (f->timer_open)
        uv_close((uv_handle_t *)&f->sync_timer, NULL);
    f->timer_open = false;
}

static void look_for_end(kith_share_fetch *f);

static void end(kith_share_fetch *f)
{
    if (f->ended)
        return;
    f->ended = true;
    share_links_fini(f);
    const kith_share_fetch_event ev = {
        .kind = KITH_FETCH_END,
        .why = f->why,
        .text = share_fetch_failed(f) ? f->text : NULL,
        .sum = f->sum,
        .kept = f->kept,
        .conduct = f->conduct,
    };
    f->cfg.event(f->cfg.ctx, &ev);
}

/* Bytes that a block makes us write, though they may not be in it. */
static uint64_t content_of(const kith_share_block *b)
{
    uint64_t n = 0;
    for (size_t i = 0; i < b->count; i++)
        n += b->items[i].len;
    return n;
}

void share_fetch_pump(kith_share_fetch *f)
{
    look_for_end(f);
    if (f->job != JOB_NONE || f->ended)
        return;
    sync_some(f);
    if (share_fetch_failed(f) || (f->placed && share_links_done(f))) {
        give_back(f, &f->blocks);
        close_timer(f);
        if (f->syncing)
            return;
        if (!f->cleaned) {
            f->cleaned = true;
            f->closing = f->dir;
            f->dir = NULL;
            job_start(f, JOB_CLEAN);
            return;
        }
        if (!share_fetch_failed(f) && f->sum.lost > 0) {
            f->why = KITH_FETCH_CHANGED;
            (void)snprintf(
                f->text, sizeof f->text,
                "%llu of the files could not be fetched because they changed or vanished at the sharer; the others are in place",
                (unsigned long long)f->sum.lost);
        }
        end(f);
    } else if (!kith_list_empty(&f->blocks)) {
        if (f->syncing && kith_share_dir_unsynced(f->dir) >= KITH_SHARE_UNSYNCED_MAX - KITH_SHARE_BATCH_BYTES)
            return; /* sync_after goes on */
        for (uint64_t n = 0; n < KITH_SHARE_BATCH_BYTES && !kith_list_empty(&f->blocks);) {
            kith_link *k = kith_list_pop(&f->blocks);
            kith_list_push(&f->writing, k);
            n += content_of(KITH_OF(k, kith_share_block, link));
        }
        job_start(f, JOB_WRITE);
    } else if (f->want_survey) {
        f->want_survey = false;
        job_start(f, JOB_SURVEY);
    } else if (f->want_begin) {
        f->want_begin = false;
        job_start(f, JOB_BEGIN);
    } else if (f->stored && !f->placed && !f->syncing) {
        close_timer(f);
        job_start(f, JOB_FINISH);
    }
}

/* ---- the list ---- */

static void fail_survey(kith_share_fetch *f, kith_err err, size_t clashes, size_t first,
                        const kith_share_dir_fault *fault)
{
    char path[KITH_SHARE_PATH_MAX];
    switch ((int)err) {
    case KITH_EEXISTS:
        (void)kith_share_path(&f->manifest, first, path);
        if (f->cfg.clash == KITH_SHARE_CLASH_OVERWRITE)
            share_fetch_fail(f, KITH_FETCH_CLASH, KITH_SHARE_DECLINED,
                             "'%s' is a folder on one side and not on the other; move it out of the way",
                             path);
        else if (f->cfg.clash == KITH_SHARE_CLASH_RENAME || f->decided)
            share_fetch_fail(f, KITH_FETCH_CLASH, KITH_SHARE_DECLINED,
                             "no other name was found for '%s'; choose another folder with -o", path);
        else
            share_fetch_fail(
                f, KITH_FETCH_CLASH, KITH_SHARE_DECLINED,
                "'%s'%s is there already; nothing was changed. Choose another folder with -o, or say --skip, --rename or --overwrite",
                path, clashes > 1 ? " (and more)" : "");
        return;
    case KITH_EPOLICY:
        share_fetch_fail(f, KITH_FETCH_UNSAFE, KITH_SHARE_DECLINED,
                         "the share has a folder " KITH_SHARE_PARTIAL ", which kith keeps for itself");
        return;
    case KITH_EIO:
        fail_disk(f, fault);
        return;
    default:
        share_fetch_fail(f, KITH_FETCH_FAILED, KITH_SHARE_INTERNAL, "no memory");
    }
}

static void size_text(uint64_t n, char out[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t u = 0;
    double v = (double)n;
    for (; v >= 1024 && u + 1 < sizeof units / sizeof units[0]; u++)
        v /= 1024;
    (void)snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
}

static void fail_list(kith_share_fetch *f, kith_err err, const kith_manifest_fault *fault)
{
    char name[KITH_NAME_ESCAPED_MAX(KITH_NAME_MAX) + 1];
    if (err == KITH_ENOMEM) {
        share_fetch_fail(f, KITH_FETCH_FAILED, KITH_SHARE_INTERNAL, "no memory for the list");
        return;
    }
    kith_wr w = kith_wr_of(kith_span_of(name, sizeof name - 1));
    kith_name_put(
        &w, kith_bytes_of(fault->name.p, fault->name.len < KITH_NAME_MAX ? fault->name.len : KITH_NAME_MAX));
    name[w.len] = 0;
    share_fetch_fail(f, KITH_FETCH_UNSAFE, KITH_SHARE_DECLINED,
                     "this share is not safe to take, and nothing of it was written: '%s': %s", name,
                     fault->why);
}

/* What the ticket is for, in the sharer's words: a pattern that is none matches nothing. */
static kith_err select_by_ticket(const kith_share_fetch *f, uint8_t *unwanted)
{
    char patterns[KITH_CAPABILITY_ONLY_MAX][KITH_CAPABILITY_MAX + 1];
    kith_share_select only = {0};
    for (size_t i = 0; i < f->cap.only_count; i++) {
        (void)snprintf(patterns[i], sizeof patterns[i], "%.*s", (int)f->cap.only[i].len,
                       (const char *)f->cap.only[i].p);
        if (!kith_share_pattern_fault(patterns[i]))
            only.only[only.only_count++] = patterns[i];
    }
    if (only.only_count > 0)
        return kith_share_select_run(kith_host_env(), &only, &f->manifest, unwanted);
    memset(unwanted, f->cap.only_count > 0, f->manifest.count);
    return KITH_OK;
}

/* False: it failed. */
static bool select_some(kith_share_fetch *f)
{
    size_t left = 0, n = f->manifest.count;
    uint8_t *unwanted = malloc(n), *more = malloc(n);
    kith_err err = unwanted && more ? select_by_ticket(f, unwanted) : KITH_ENOMEM;
    for (size_t i = 0; i < n && !err; i++)
        left += !unwanted[i];
    const bool any = left > 0;
    if (!err && f->cfg.select) {
        err = kith_share_select_run(kith_host_env(), f->cfg.select, &f->manifest, more);
        for (size_t i = left = 0; i < n && !err; i++)
            left += !(unwanted[i] |= more[i]);
    }
    if (!err && f->dir)
        kith_share_dir_select(f->dir, unwanted);
    if (!err && f->cfg.out) {
        f->skips = unwanted;
        unwanted = NULL;
    }
    free(unwanted);
    free(more);
    if (err)
        share_fetch_fail(f, KITH_FETCH_FAILED, KITH_SHARE_INTERNAL, "no memory");
    else if (!any)
        share_fetch_fail(f, KITH_FETCH_DECLINED, KITH_SHARE_DECLINED,
                         "the ticket is for a part of the share in which there is nothing");
    else if (left == 0)
        share_fetch_fail(f, KITH_FETCH_DECLINED, KITH_SHARE_DECLINED,
                         "nothing of the share is wanted: no name matches --only, or --exclude takes all");
    return !err && left > 0;
}

/* With out: False: it failed. */
static bool choose_one(kith_share_fetch *f)
{
    size_t files = 0;
    if (!select_some(f))
        return false;
    for (size_t i = 0; i < f->manifest.count; i++) {
        f->skips[i] |= kith_manifest_entry(&f->manifest, i).type != KITH_ENTRY_FILE;
        files += !f->skips[i];
    }
    if (files == 1)
        return true;
    share_fetch_fail(
        f, KITH_FETCH_NOT_ONE, KITH_SHARE_DECLINED,
        files
            ? "it is %zu files, and the output takes one: choose it with --only, or fetch them into a folder (-o DIR)"
            : "it is %zu files: there is nothing for the output; fetch it into a folder (-o DIR)",
        files);
    return false;
}

/* Whether nothing of the share can be in the destination: then there is nothing to compare, and the hashes need not be waited for. */
static bool is_fresh(const kith_share_fetch *f)
{
    struct stat st;
    char name[KITH_NAME_MAX + 1];
    int fd = open(f->cfg.dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool fresh = fd >= 0 && fstatat(fd, KITH_SHARE_PARTIAL, &st, AT_SYMLINK_NOFOLLOW) != 0;
    for (size_t i = 0; i < f->manifest.count && fresh; i++) {
        if (f->manifest.places[i].parent != KITH_ENTRY_TOP)
            continue;
        kith_bytes n = kith_manifest_entry(&f->manifest, i).name;
        memcpy(name, n.p, n.len);
        name[n.len] = 0;
        fresh = fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0;
    }
    if (fd >= 0)
        (void)close(fd);
    return fresh;
}

/* Looks at the destination, once: when that makes sense. With an id in the ticket it is when the list is known to be the ticket's. */
static void survey(kith_share_fetch *f)
{
    bool all = f->view.known == f->manifest.count;
    if (f->surveying || (!all && (f->cap.has_id || (f->dir && !is_fresh(f)))))
        return;
    f->surveying = true;
    f->want_survey = true;
    share_fetch_pump(f);
}

bool share_fetch_on_list(kith_share_fetch *f)
{
    kith_manifest_fault fault = {0};
    kith_share_dir_fault dir_fault = {0};
    kith_err err = kith_manifest_parse(kith_host_env(), kith_bytes_of(f->list.p, f->list.len),
                                       f->cfg.portable, &f->manifest, &fault);
    if (err) {
        fail_list(f, err, &fault);
        return false;
    }
    int e = kith_share_table_open(&f->roots, f->cfg.dest, f->manifest.count * KITH_BLAKE3_LEN);
    if (e) {
        share_fetch_fail(f, e == ENOMEM ? KITH_FETCH_FAILED : KITH_FETCH_DISK, KITH_SHARE_DISK,
                         "there is no room for the hashes in %s: %s", f->cfg.dest, strerror(e));
        return false;
    }
    f->view = (kith_share_view){.manifest = &f->manifest, .roots = f->roots.p};
    if (f->cfg.out) {
        if (choose_one(f))
            survey(f);
        return !share_fetch_failed(f) && !f->ended;
    }
    f->dir = kith_share_dir_open(f->cfg.dest, &f->manifest, f->list_root, f->cfg.durability, &dir_fault);
    if (!f->dir) {
        fail_disk(f, &dir_fault);
        return false;
    }
    kith_share_dir_roots(f->dir, f->roots.p, 0);
    if (f->swarm)
        share_swarm_listed(f->swarm);
    if ((f->cfg.select || f->cap.only_count > 0) && !select_some(f))
        return false;
    survey(f);
    return !share_fetch_failed(f) && !f->ended;
}

void share_fetch_on_roots(kith_share_fetch *f)
{
    if (share_fetch_failed(f) || f->manifest.count == 0)
        return;
    if (f->dir)
        kith_share_dir_roots(f->dir, f->roots.p, f->view.known);
    survey(f);
    if (f->swarm)
        share_swarm_ready(f->swarm);
}

static void surveyed(kith_share_fetch *f)
{
    if (share_fetch_failed(f))
        return;
    if (f->job_err == KITH_EEXISTS && f->cfg.clash == KITH_SHARE_CLASH_ASK && !f->decided) {
        f->asking = true;
        share_fetch_tell(f, (kith_share_fetch_event){.kind = KITH_FETCH_CLASHES, .clashes = f->clashes});
        return;
    }
    if (f->job_err) {
        fail_survey(f, f->job_err, f->clashes, f->first, &f->fault);
        return;
    }
    uint64_t available = 0, needed = 0;
    if (f->dir)
        kith_share_dir_space(f->dir, &available, &needed);
    needed -= f->holes < needed ? f->holes : needed; /* a wrong hint makes the disk full later */
    if (available < needed) {
        char have[32], want[32];
        size_text(available, have);
        size_text(needed, want);
        share_fetch_fail(
            f, KITH_FETCH_DISK, KITH_SHARE_DISK,
            "%s has no room for it: it needs %s, with what the file system wants for itself, and %s are free; make room, choose "
            "another place with -o, or a part of it with --only",
            f->cfg.dest, want, have);
        return;
    }
    const uint8_t *skips = kith_share_fetch_skips(f);
    for (size_t i = 0; i < f->manifest.count; i++)
        f->progress.wanted += skips[i] ? 0 : kith_manifest_entry(&f->manifest, i).size;
    f->listed = true;
    share_fetch_tell(f, (kith_share_fetch_event){.kind = KITH_FETCH_LIST});
}

/* What is missing: the content of all files that are not skipped. */
static void want(kith_share_fetch *f)
{
    const uint8_t *skips = kith_share_fetch_skips(f);
    uint32_t from = 0;
    for (size_t i = 0; i < f->manifest.count; i++) {
        uint32_t first, end;
        if (!skips[i])
            continue;
        kith_manifest_leaves(&f->manifest, i, &first, &end);
        kith_share_plan_want(f->plan, from, first);
        from = end;
    }
    kith_share_plan_want(f->plan, from, (uint32_t)f->manifest.leaves);
    const kith_leaves *here = f->dir ? kith_share_dir_here(f->dir) : NULL;
    for (size_t i = 0; here && i < here->count; i++)
        kith_share_plan_settle(f->plan, here->ranges[i].first, here->ranges[i].end);
}

/* Whether everything is here. */
static void look_for_end(kith_share_fetch *f)
{
    if (f->stored || !f->plan || share_fetch_failed(f) || f->unproven > 0 ||
        kith_share_plan_missing(f->plan)->total > 0 || f->view.known < f->manifest.count)
        return;
    f->stored = true;
    f->progress.ended = kith_host_now(f->cfg.host);
}

kith_share_dir *kith_share_fetch_clashes(kith_share_fetch *f)
{
    return share_fetch_failed(f) || f->ended || !f->asking ? NULL : f->dir;
}

void kith_share_fetch_decided(kith_share_fetch *f)
{
    if (!kith_share_fetch_clashes(f))
        return;
    f->asking = false;
    f->decided = true;
    f->want_survey = true;
    share_fetch_pump(f);
}

void kith_share_fetch_accept(kith_share_fetch *f)
{
    if (share_fetch_failed(f) || f->ended || !f->listed || f->accepted)
        return;
    f->accepted = true;
    f->progress.began = kith_host_now(f->cfg.host);
    f->want_begin = true;
    share_fetch_pump(f);
}

static const uint8_t *older_value(const void *ctx, uint32_t leaf)
{
    return kith_share_dir_older_value(ctx, leaf);
}

static void begun(kith_share_fetch *f)
{
    const kith_share_plan_config cfg = {
        .env = *kith_host_env(), .manifest = &f->manifest, .spread = f->swarm != NULL};
    if (share_fetch_failed(f))
        return;
    f->begun = true;
    if (f->dir) {
        f->progress.here = kith_share_dir_bytes(f->dir);
        f->view.older =
            (kith_share_older){.leaves = kith_share_dir_older(f->dir), .value = older_value, .ctx = f->dir};
        uv_timer_init(kith_host_loop(f->cfg.host), &f->sync_timer);
        f->timer_open = true;
        uv_timer_start(&f->sync_timer, on_sync_timer, KITH_SHARE_BATCH_TIME / 1000000,
                       KITH_SHARE_BATCH_TIME / 1000000);
    }
    f->plan = kith_share_plan_new(&cfg);
    if (!f->plan) {
        share_fetch_fail(f, KITH_FETCH_FAILED, KITH_SHARE_INTERNAL, "no memory");
        return;
    }
    want(f);
    f->moved_at = kith_host_now(f->cfg.host);
    if (f->swarm)
        share_swarm_ready(f->swarm);
    share_links_ask(f);
}

kith_share_fetch *kith_share_fetch_new(const kith_share_fetch_config *cfg)
{
    kith_share_fetch *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->cfg = *cfg;
    f->ticket = *cfg->ticket;
    if (cfg->code)
        f->code = *cfg->code;
    if (f->ticket.capability_len > 0 &&
        kith_capability_parse(kith_bytes_of(f->ticket.capability, f->ticket.capability_len), &f->cap))
        f->cap = (kith_capability){0}; /* the sharer will say so */
    f->has_id = f->cap.has_id;
    memcpy(f->id, f->cap.id, sizeof f->id);
    f->swarm = cfg->serve ? share_swarm_new(f, cfg->serve) : NULL;
    if (cfg->serve && !f->swarm) {
        free(f);
        return NULL;
    }
    f->conduct = KITH_CONDUCTS;
    kith_list_init(&f->blocks);
    kith_list_init(&f->writing);
    kith_err e = kith_share_fetch_source(f, &f->ticket);
    if (e)
        share_fetch_fail(f, KITH_FETCH_UNREACHABLE, KITH_SHARE_NONE, "cannot reach the sharer: %s",
                         e == KITH_ENOTFOUND ? "the ticket has no address that kith can dial"
                                             : kith_err_text(e));
    return f;
}

void kith_share_fetch_free(kith_share_fetch *f)
{
    if (!f)
        return;
    kith_share_blocks_free(&f->blocks);
    kith_share_blocks_free(&f->writing);
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++)
        kith_pake_free(f->links[i].pake);
    share_swarm_free(f->swarm);
    kith_share_plan_free(f->plan);
    kith_share_dir_close(f->dir);
    free(f->skips);
    kith_manifest_fini(&f->manifest, kith_host_env());
    kith_share_table_close(&f->list);
    kith_share_table_close(&f->roots);
    kith_wipe(&f->ticket, sizeof f->ticket);
    kith_wipe(f->links, sizeof f->links);
    kith_wipe(&f->code, sizeof f->code);
    free(f);
}

void kith_share_fetch_stop(kith_share_fetch *f, const char *text)
{
    share_fetch_fail(f, KITH_FETCH_DECLINED, f->progress.began ? KITH_SHARE_STOPPED : KITH_SHARE_DECLINED,
                     "%s", text);
}

const kith_manifest *kith_share_fetch_manifest(const kith_share_fetch *f)
{
    return &f->manifest;
}

const kith_share_dir *kith_share_fetch_dir(const kith_share_fetch *f)
{
    return f->dir;
}

const uint8_t *kith_share_fetch_skips(const kith_share_fetch *f)
{
    return f->dir ? kith_share_dir_skips(f->dir) : f->skips;
}

const uint8_t *kith_share_fetch_root(const kith_share_fetch *f, size_t entry)
{
    return f->roots.p + entry * KITH_BLAKE3_LEN;
}

void kith_share_fetch_progress_get(const kith_share_fetch *f, kith_share_fetch_progress *out)
{
    *out = f->progress;
    if (!f->begun)
        out->began = 0; /* what is here is not known yet */
    out->verified += out->here;
    if (f->dir)
        kith_share_dir_hashed(f->dir, &out->hashed, &out->to_hash);
    size_t paused = 0;
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++) {
        bool joined = f->links[i].state == LINK_JOINED;
        out->sources += joined;
        paused += joined && f->links[i].paused;
    }
    out->paused = paused > 0 && paused == out->sources;
}

bool kith_share_fetch_gave(const kith_share_fetch *f, size_t i, kith_share_gave *out)
{
    if (i >= f->gave_count)
        return false;
    *out = f->gave[i];
    return true;
}
