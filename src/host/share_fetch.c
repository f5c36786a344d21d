/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fetching a share. One job at a time runs on the worker pool: it writes the blocks that have come, or puts everything into place. While
 * it runs the folder is its own, but for the sync that may run beside it, so that writing does not wait for the disk. */
#include "host/share_fetch.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/crypto.h"

#define TEXT_MAX 2048
#define PATH_TEXT_MAX 512 /* of a path in a message */

enum job_kind { JOB_NONE, JOB_SURVEY, JOB_BEGIN, JOB_WRITE, JOB_FINISH, JOB_CLEAN };

struct kith_share_fetch {
    kith_share_fetch_config cfg;
    kith_ticket ticket;
    kith_sink sink;
    kith_conn *conn;
    kith_stream *stream;
    kith_share_rx *rx; /* NULL: not yet, or over */
    /* ours, so that it outlives the machine */
    uint8_t *list;
    kith_manifest manifest;
    kith_share_dir *dir;
    kith_share_fetch_progress progress;

    kith_list blocks;             /* to be written */
    bool stored, done;            /* the machine has handed out everything; has no more to do */
    bool want_survey, want_begin; /* jobs to come */
    bool placed, cleaned, ended;
    uint64_t kept;
    kith_share_fetch_why why; /* the first failure */
    char text[TEXT_MAX];
    kith_conduct conduct;

    /* the job at the worker pool */
    uv_work_t work;
    enum job_kind job;
    kith_list writing;
    kith_err job_err;
    kith_share_dir_fault fault;
    kith_share_dir_sum sum;
    size_t clashes, first;

    /* the sync */
    uv_work_t sync_work;
    uv_timer_t sync_timer;
    bool syncing, sync_due, timer_open;
    kith_err sync_err;
    kith_share_dir_fault sync_fault;
};

static void pump(kith_share_fetch *f);
static void surveyed(kith_share_fetch *f);
static void begun(kith_share_fetch *f);
static void rx_events(kith_share_fetch *f);

static void tell(kith_share_fetch *f, kith_share_fetch_event ev)
{
    f->cfg.event(f->cfg.ctx, &ev);
}

static void wake(kith_share_fetch *f)
{
    kith_host *h = f->cfg.host;
    if (f->stream)
        kith_node_wake(kith_host_node(h), kith_host_now(h), f->stream);
    kith_host_kick(h);
}

static bool failed(const kith_share_fetch *f)
{
    return f->why != KITH_FETCH_OK;
}

/* The first failure decides. code: what the sharer is told. END follows when no job runs any more. */
static void fail(kith_share_fetch *f, kith_share_fetch_why why, kith_share_code code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void fail(kith_share_fetch *f, kith_share_fetch_why why, kith_share_code code, const char *fmt, ...)
{
    if (failed(f) || f->ended)
        return;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    f->why = why;
    if (f->rx) {
        kith_share_rx_stop(f->rx, code);
        wake(f);
    }
    pump(f);
}

/* The path of an entry for a message, cut to fit. */
static const char *entry_path(const kith_manifest *m, size_t entry, char out[PATH_TEXT_MAX])
{
    static char path[KITH_NAME_ESCAPED_MAX(KITH_MANIFEST_PATH_MAX)]; /* the loop's thread only */
    kith_wr w = kith_wr_of(kith_span_of(path, sizeof path));
    kith_manifest_put_path(m, entry, true, &w);
    size_t n = w.len < PATH_TEXT_MAX ? w.len : PATH_TEXT_MAX - 1;
    memcpy(out, path, n);
    out[n] = 0;
    return out;
}

static void fail_disk(kith_share_fetch *f, const kith_share_dir_fault *fault)
{
    char path[PATH_TEXT_MAX];
    if (fault->err == EWOULDBLOCK)
        fail(f, KITH_FETCH_CLASH, KITH_SHARE_DECLINED,
             "another kith is fetching this share into this folder");
    else if (fault->entry == SIZE_MAX)
        fail(f, KITH_FETCH_DISK, KITH_SHARE_DISK, "cannot %s the folder %s: %s", fault->what, f->cfg.dest,
             strerror(fault->err));
    else
        fail(f, fault->err == EEXIST ? KITH_FETCH_CLASH : KITH_FETCH_DISK, KITH_SHARE_DISK,
             "cannot %s '%s': %s%s", fault->what, entry_path(&f->manifest, fault->entry, path),
             strerror(fault->err),
             fault->err == ENOSPC || fault->err == EDQUOT ? "; make room and fetch again" : "");
}

/* ---- jobs ---- */

static void job_work(uv_work_t *w)
{
    kith_share_fetch *f = KITH_OF(w, kith_share_fetch, work);
    f->job_err = KITH_OK;
    switch (f->job) {
    case JOB_SURVEY:
        f->job_err = kith_share_dir_survey(f->dir, f->cfg.clash, &f->clashes, &f->first, &f->fault);
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
        f->kept = kith_share_dir_close(f->dir);
        f->dir = NULL;
        break;
    case JOB_NONE:
        break;
    }
}

static void give_back(kith_share_fetch *f, kith_list *blocks)
{
    for (kith_link *k; (k = kith_list_pop(blocks)) != NULL;) {
        kith_share_block *b = KITH_OF(k, kith_share_block, link);
        if (f->rx)
            kith_share_rx_stored(f->rx, kith_host_now(f->cfg.host), b);
        else
            kith_share_block_free(b);
    }
}

static void job_after(uv_work_t *w, int status)
{
    kith_share_fetch *f = KITH_OF(w, kith_share_fetch, work);
    enum job_kind job = f->job;
    (void)status;
    f->job = JOB_NONE;
    give_back(f, &f->writing);
    if (job == JOB_SURVEY) {
        surveyed(f);
    } else if (f->job_err) {
        fail_disk(f, &f->fault);
    } else if (job == JOB_BEGIN) {
        begun(f);
    } else if (job == JOB_FINISH) {
        f->placed = true;
        if (f->rx)
            kith_share_rx_finish(f->rx, f->sum.files, f->sum.bytes);
    }
    wake(f);
    pump(f);
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
    pump(f);
}

/* Brings into the journal what was written, when it is a batch's worth, or a batch's time is over. */
static void sync_some(kith_share_fetch *f)
{
    if (f->syncing || failed(f) || f->placed || f->job == JOB_FINISH || !f->timer_open)
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

static void end(kith_share_fetch *f)
{
    if (f->ended)
        return;
    f->ended = true;
    tell(f, (kith_share_fetch_event){
                .kind = KITH_FETCH_END,
                .why = f->why,
                .text = failed(f) ? f->text : NULL,
                .sum = f->sum,
                .kept = f->kept,
                .conduct = f->conduct,
            });
}

/* Starts the next job, or ends. */
static void pump(kith_share_fetch *f)
{
    if (f->job != JOB_NONE || f->ended)
        return;
    sync_some(f);
    if (failed(f) || (f->placed && (f->done || !f->rx))) {
        give_back(f, &f->blocks);
        close_timer(f);
        if (f->syncing)
            return;
        if (!f->cleaned) {
            f->cleaned = true;
            job_start(f, JOB_CLEAN);
            return;
        }
        if (!failed(f) && f->sum.lost > 0) {
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
        for (kith_link *k; (k = kith_list_pop(&f->blocks)) != NULL;)
            kith_list_push(&f->writing, k);
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
    char path[PATH_TEXT_MAX];
    switch ((int)err) {
    case KITH_EEXISTS:
        (void)entry_path(&f->manifest, first, path);
        if (f->cfg.clash == KITH_SHARE_CLASH_OVERWRITE)
            fail(f, KITH_FETCH_CLASH, KITH_SHARE_DECLINED,
                 "'%s' is a folder on one side and not on the other; move it out of the way", path);
        else if (f->cfg.clash == KITH_SHARE_CLASH_RENAME)
            fail(f, KITH_FETCH_CLASH, KITH_SHARE_DECLINED,
                 "no other name was found for '%s'; choose another folder with -o", path);
        else
            fail(
                f, KITH_FETCH_CLASH, KITH_SHARE_DECLINED,
                "'%s'%s is there already; nothing was changed. Choose another folder with -o, or say --skip, --rename or --overwrite",
                path, clashes > 1 ? " (and more)" : "");
        return;
    case KITH_EPOLICY:
        fail(f, KITH_FETCH_UNSAFE, KITH_SHARE_DECLINED,
             "the share has a folder " KITH_SHARE_PARTIAL ", which kith keeps for itself");
        return;
    case KITH_EIO:
        fail_disk(f, fault);
        return;
    default:
        fail(f, KITH_FETCH_FAILED, KITH_SHARE_INTERNAL, "no memory");
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

/* False: it failed. */
static bool select_some(kith_share_fetch *f)
{
    size_t left = 0;
    uint8_t *unwanted = malloc(f->manifest.count);
    if (!unwanted) {
        fail(f, KITH_FETCH_FAILED, KITH_SHARE_INTERNAL, "no memory");
        return false;
    }
    kith_share_select_run(f->cfg.select, &f->manifest, unwanted);
    kith_share_dir_select(f->dir, unwanted);
    for (size_t i = 0; i < f->manifest.count; i++)
        left += !unwanted[i];
    free(unwanted);
    if (left == 0)
        fail(f, KITH_FETCH_DECLINED, KITH_SHARE_DECLINED,
             "nothing of the share is wanted: no name matches --only, or --exclude takes all");
    return left > 0;
}

static void on_list(kith_share_fetch *f)
{
    kith_bytes list = kith_share_rx_list(f->rx);
    kith_manifest_fault unused;
    kith_share_dir_fault fault = {0};
    f->list = malloc(list.len);
    if (f->list)
        memcpy(f->list, list.p, list.len);
    if (!f->list || kith_manifest_parse(kith_host_env(), kith_bytes_of(f->list, list.len), f->cfg.portable,
                                        &f->manifest, &unused)) {
        fail(f, KITH_FETCH_FAILED, KITH_SHARE_INTERNAL, "no memory for the list");
        return;
    }
    f->dir = kith_share_dir_open(f->cfg.dest, &f->manifest, f->ticket.root, f->cfg.durability, &fault);
    if (!f->dir) {
        fail_disk(f, &fault);
        return;
    }
    if (f->cfg.select && !select_some(f))
        return;
    f->want_survey = true;
    pump(f);
}

static void surveyed(kith_share_fetch *f)
{
    if (failed(f))
        return;
    if (f->job_err) {
        fail_survey(f, f->job_err, f->clashes, f->first, &f->fault);
        return;
    }
    uint64_t available, needed;
    kith_share_dir_space(f->dir, &available, &needed);
    if (available < needed) {
        char have[32], want[32];
        size_text(available, have);
        size_text(needed, want);
        fail(f, KITH_FETCH_DISK, KITH_SHARE_DISK, "%s is too full: the share needs %s and %s are free",
             f->cfg.dest, want, have);
        return;
    }
    const uint8_t *skips = kith_share_dir_skips(f->dir);
    for (size_t i = 0; i < f->manifest.count; i++)
        f->progress.wanted += skips[i] ? 0 : kith_manifest_entry(&f->manifest, i).size;
    tell(f, (kith_share_fetch_event){.kind = KITH_FETCH_LIST, .conn = f->conn});
}

void kith_share_fetch_accept(kith_share_fetch *f)
{
    if (failed(f) || f->ended || !f->rx || f->progress.began)
        return;
    f->progress.began = kith_host_now(f->cfg.host);
    f->want_begin = true;
    pump(f);
}

static void begun(kith_share_fetch *f)
{
    if (failed(f) || !f->rx)
        return;
    f->progress.here = kith_share_dir_bytes(f->dir);
    uv_timer_init(kith_host_loop(f->cfg.host), &f->sync_timer);
    f->timer_open = true;
    uv_timer_start(&f->sync_timer, on_sync_timer, KITH_SHARE_BATCH_TIME / 1000000,
                   KITH_SHARE_BATCH_TIME / 1000000);
    kith_err err = kith_share_rx_accept(f->rx, kith_host_now(f->cfg.host), kith_share_dir_skips(f->dir),
                                        kith_share_dir_here(f->dir));
    if (err == KITH_ENOMEM)
        fail(f, KITH_FETCH_FAILED, KITH_SHARE_INTERNAL, "no memory");
    wake(f); /* a stream that has ended meanwhile says so itself */
    rx_events(f);
}

/* ---- the machine's events ---- */

static void rx_failed(kith_share_fetch *f, const kith_share_rx_event *ev)
{
    char path[PATH_TEXT_MAX] = "its list", name[KITH_NAME_ESCAPED_MAX(KITH_NAME_MAX) + 1];
    if (ev->fault.why) {
        kith_wr w = kith_wr_of(kith_span_of(name, sizeof name - 1));
        kith_name_put(&w,
                      kith_bytes_of(ev->fault.name.p,
                                    ev->fault.name.len < KITH_NAME_MAX ? ev->fault.name.len : KITH_NAME_MAX));
        name[w.len] = 0;
        fail(f, KITH_FETCH_UNSAFE, KITH_SHARE_DECLINED,
             "this share is not safe to take, and nothing of it was written: '%s': %s", name, ev->fault.why);
        return;
    }
    if (ev->err == KITH_ECRYPTO && ev->blob > 0)
        (void)entry_path(&f->manifest, (size_t)ev->blob - 1, path);
    switch ((int)ev->err) {
    case KITH_EREFUSED:
        fail(f,
             ev->code == KITH_SHARE_STOPPED || ev->code == KITH_SHARE_INTERNAL ? KITH_FETCH_LOST
                                                                               : KITH_FETCH_REFUSED,
             KITH_SHARE_NONE, "the sharer ended it: %s", kith_share_code_text(ev->code));
        return;
    case KITH_ECRYPTO:
        f->conduct = KITH_CONDUCT_CORRUPT;
        fail(f, KITH_FETCH_DAMAGED, KITH_SHARE_NONE,
             "what the sharer sent of %s is not what the ticket stands for; it was thrown away", path);
        return;
    case KITH_EPROTO:
    case KITH_ELIMIT:
        f->conduct = KITH_CONDUCT_PROTOCOL;
        fail(f, KITH_FETCH_DAMAGED, KITH_SHARE_NONE, "the sharer broke the protocol: %s", ev->why);
        return;
    case KITH_ENOMEM:
        fail(f, KITH_FETCH_FAILED, KITH_SHARE_NONE, "%s", ev->why);
        return;
    case KITH_EUNSUPPORTED:
        fail(f, KITH_FETCH_REFUSED, KITH_SHARE_NONE,
             "the peer shares nothing at the moment; is its 'kith share' still running?");
        return;
    default:
        fail(f, KITH_FETCH_LOST, KITH_SHARE_NONE, "%s; fetch again when the sharer is back", ev->why);
    }
}

static void lost_items(kith_share_fetch *f, const kith_share_block *b)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->items[i].code)
            tell(f, (kith_share_fetch_event){
                        .kind = KITH_FETCH_FILE_LOST,
                        .entry = (size_t)b->items[i].blob - 1,
                        .text = kith_share_code_text(b->items[i].code),
                    });
    }
}

static void rx_events(kith_share_fetch *f)
{
    kith_share_rx_event ev;
    while (f->rx && kith_share_rx_next(f->rx, &ev)) {
        switch (ev.kind) {
        case KITH_SHARE_RX_LIST:
            on_list(f);
            break;
        case KITH_SHARE_RX_BLOCK:
            lost_items(f, ev.block);
            kith_list_push(&f->blocks, &ev.block->link);
            break;
        case KITH_SHARE_RX_STORED:
            f->stored = true;
            f->conduct = KITH_CONDUCT_VERIFIED;
            f->progress.ended = kith_host_now(f->cfg.host);
            break;
        case KITH_SHARE_RX_DONE:
            f->done = true;
            break;
        case KITH_SHARE_RX_FAILED:
            rx_failed(f, &ev);
            break;
        }
    }
    if (f->rx)
        kith_share_rx_progress(f->rx, &f->progress.verified, &f->progress.files);
    pump(f);
}

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    kith_share_fetch *f = ctx;
    const char *refusal = kith_conn_refusal(ev->conn);
    if (refusal && !f->done)
        fail(f, KITH_FETCH_REFUSED, KITH_SHARE_NONE, "%s", refusal);
    rx_events(f);
    if (ev->kind != KITH_NODE_STREAM_GONE) {
        if (f->stream)
            kith_node_wake(kith_host_node(h), kith_host_now(h), f->stream);
        return;
    }
    f->rx = NULL;
    f->stream = NULL;
    pump(f);
}

/* ---- dialling ---- */

static void on_dialed(void *ctx, kith_host *h, kith_conn *conn, kith_err err, const char *why)
{
    static const kith_bytes id[] = {{(const uint8_t *)KITH_SHARE_ID, sizeof KITH_SHARE_ID - 1}};
    kith_share_fetch *f = ctx;
    if (f->ended || failed(f))
        return;
    if (!conn) {
        bool no = err == KITH_EAUTH || err == KITH_EPOLICY || err == KITH_EUNSUPPORTED || err == KITH_ECRYPTO;
        fail(f, no ? KITH_FETCH_REFUSED : KITH_FETCH_UNREACHABLE, KITH_SHARE_NONE,
             "cannot reach the sharer: %s%s", why ? why : kith_err_text(err),
             no ? "" : "; is its 'kith share' still running, and the ticket a recent one?");
        return;
    }
    f->conn = conn;
    tell(f, (kith_share_fetch_event){.kind = KITH_FETCH_CONNECTED, .conn = conn});
    if (f->ended || failed(f))
        return;
    kith_share_rx_config cfg = {
        .env = *kith_host_env(),
        .secret = kith_bytes_of(f->ticket.secret, f->ticket.secret_len),
        .portable = f->cfg.portable,
    };
    memcpy(cfg.root, f->ticket.root, sizeof cfg.root);
    f->rx = kith_share_rx_new(&cfg, kith_host_now(h));
    kith_err e = f->rx ? kith_node_open(kith_host_node(h), kith_host_now(h), conn, id, 1, &kith_share_rx_ops,
                                        f->rx, &f->sink, &f->stream)
                       : KITH_ENOMEM;
    if (e) {
        f->rx = NULL;
        f->stream = NULL;
        fail(f, KITH_FETCH_FAILED, KITH_SHARE_NONE, "cannot open a stream: %s", kith_err_text(e));
    }
}

kith_share_fetch *kith_share_fetch_new(const kith_share_fetch_config *cfg)
{
    kith_share_fetch *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->cfg = *cfg;
    f->ticket = *cfg->ticket;
    f->conduct = KITH_CONDUCTS;
    f->sink = (kith_sink){.event = on_stream, .ctx = f};
    kith_list_init(&f->blocks);
    kith_list_init(&f->writing);
    kith_err e =
        kith_host_dial(cfg->host, &f->ticket.peer, f->ticket.addrs, f->ticket.addr_count, on_dialed, f);
    if (e)
        fail(f, KITH_FETCH_UNREACHABLE, KITH_SHARE_NONE, "cannot reach the sharer: %s",
             e == KITH_ENOTFOUND ? "the ticket has no address that kith can dial" : kith_err_text(e));
    return f;
}

void kith_share_fetch_free(kith_share_fetch *f)
{
    if (!f)
        return;
    kith_share_blocks_free(&f->blocks);
    kith_share_blocks_free(&f->writing);
    kith_share_dir_close(f->dir);
    kith_manifest_fini(&f->manifest, kith_host_env());
    free(f->list);
    kith_wipe(&f->ticket, sizeof f->ticket);
    free(f);
}

void kith_share_fetch_stop(kith_share_fetch *f, const char *text)
{
    fail(f, KITH_FETCH_DECLINED, f->progress.began ? KITH_SHARE_STOPPED : KITH_SHARE_DECLINED, "%s", text);
}

const kith_manifest *kith_share_fetch_manifest(const kith_share_fetch *f)
{
    return &f->manifest;
}

const kith_share_dir *kith_share_fetch_dir(const kith_share_fetch *f)
{
    return f->dir;
}

void kith_share_fetch_progress_get(const kith_share_fetch *f, kith_share_fetch_progress *out)
{
    *out = f->progress;
    if (f->rx)
        kith_share_rx_progress(f->rx, &out->verified, &out->files);
    out->verified += out->here;
    if (f->dir)
        kith_share_dir_hashed(f->dir, &out->hashed, &out->to_hash);
}
