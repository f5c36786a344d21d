/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One job walks; then as many as there are cores hash; the last one out seals. */
#include "host/share_scan.h"

#include <stdlib.h>

#include "host/host.h"
#include "host/workers.h"

#define TRIM_EVERY 64 /* slices */

typedef enum job_kind { JOB_WALK, JOB_HASH, JOB_SEAL } job_kind;

typedef struct job {
    uv_work_t work;
    kith_share_scan *scan;
    job_kind kind;
    kith_share_slice slice; /* HASH; err and why also of the others */
} job;

struct kith_share_scan {
    kith_share_scan_config cfg;
    size_t slices;
    unsigned jobs;
    bool over; /* failed, done or stopped */
};

static void tell(kith_share_scan *c, kith_share_scan_kind kind, const char *text)
{
    if (!c->over)
        c->cfg.event(c->cfg.ctx, kind, text);
}

static void fail(kith_share_scan *c, const char *text)
{
    tell(c, KITH_SHARE_SCAN_FAILED, text);
    c->over = true;
    kith_share_src_stop(c->cfg.src);
}

static void work(uv_work_t *w)
{
    job *j = KITH_OF(w, job, work);
    kith_share_src *s = j->scan->cfg.src;
    switch (j->kind) {
    case JOB_WALK:
        j->slice.err = kith_share_src_walk(s, j->slice.why);
        break;
    case JOB_HASH:
        kith_share_src_hash(s, &j->slice);
        break;
    case JOB_SEAL:
        kith_share_src_seal(s);
        break;
    }
}

static void after(uv_work_t *w, int status);

static bool queue(kith_share_scan *c, job_kind kind, const kith_share_slice *slice)
{
    job *j = calloc(1, sizeof *j);
    if (!j)
        return false;
    j->scan = c;
    j->kind = kind;
    if (slice)
        j->slice = *slice;
    if (uv_queue_work(c->cfg.loop, &j->work, work, after)) {
        free(j);
        return false;
    }
    c->jobs++;
    return true;
}

/* Keeps all cores busy. */
static void hash_more(kith_share_scan *c)
{
    kith_share_slice slice;
    kith_err err = KITH_OK;
    unsigned most = kith_cores();
    while (!c->over && c->jobs < most && kith_share_src_slice(c->cfg.src, &slice, &err)) {
        if (queue(c, JOB_HASH, &slice))
            continue;
        kith_share_src_stop(c->cfg.src);
        kith_share_src_hash(c->cfg.src, &slice); /* gives it up */
        err = KITH_ENOMEM;
    }
    if (!err && !c->over && c->jobs == 0 && !queue(c, JOB_SEAL, NULL))
        err = KITH_ENOMEM;
    if (err)
        fail(c, "no memory");
}

static void after(uv_work_t *w, int status)
{
    job *j = KITH_OF(w, job, work);
    kith_share_scan *c = j->scan;
    kith_share_src *s = c->cfg.src;
    (void)status;
    c->jobs--;
    for (char *line; j->kind == JOB_WALK && (line = kith_share_src_warning(s)) != NULL; free(line))
        tell(c, KITH_SHARE_SCAN_WARNING, line);
    if (j->slice.err) {
        fail(c, j->slice.why);
    } else if (j->kind == JOB_SEAL) {
        tell(c, KITH_SHARE_SCAN_DONE, NULL);
        c->over = true;
    } else {
        if (j->kind == JOB_WALK || ++c->slices % TRIM_EVERY == 0)
            kith_share_src_trim(s);
        if (j->kind == JOB_WALK)
            tell(c, KITH_SHARE_SCAN_WALKED, NULL);
        else
            tell(c, KITH_SHARE_SCAN_HASHED, NULL);
        hash_more(c);
    }
    free(j);
}

kith_share_scan *kith_share_scan_start(const kith_share_scan_config *cfg)
{
    kith_share_scan *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->cfg = *cfg;
    if (queue(c, JOB_WALK, NULL))
        return c;
    kith_share_scan_free(c);
    return NULL;
}

void kith_share_scan_stop(kith_share_scan *c)
{
    c->over = true;
    kith_share_src_stop(c->cfg.src);
}

void kith_share_scan_free(kith_share_scan *c)
{
    free(c);
}
