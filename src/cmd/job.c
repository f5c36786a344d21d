/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Transfers that can be seen, steered, limited and remembered. */
#include "cmd/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <unistd.h>

#include "base/bucket.h"
#include "host/jobs.h"
#include "host/json.h"
#include "host/paths.h"
#include "host/reputation_file.h"

#define LOOK_MS 1000 /* between two looks at with how many a limit is shared */

struct job {
    session *s;
    kith_jobs *socket; /* NULL: it is not seen */
    bool up;
    const job_ops *ops;
    void *ctx;
    job_rates own, now; /* what was asked for; what holds */
    char folder[KITH_PATH_MAX];
    uv_timer_t timer;
};

bool job_folder(char out[KITH_PATH_MAX])
{
    return kith_path_make(KITH_PLACE_STATE) == 0 && kith_path(KITH_PLACE_STATE, "transfers", out) &&
           (mkdir(out, 0700) == 0 || errno == EEXIST);
}

bool job_history_file(char out[KITH_PATH_MAX])
{
    return kith_path_make(KITH_PLACE_STATE) == 0 && kith_path(KITH_PLACE_STATE, "transfers.db", out);
}

/* ---- limits ---- */

static bool rate_ok(const char *text, uint64_t *out)
{
    *out = 0;
    return *text == '\0' ||
           (kith_parse_size(text, out) && *out >= JOB_RATE_MIN && *out <= KITH_BUCKET_RATE_MAX);
}

bool job_rates_parse(const char *text, job_rates *out)
{
    char first[32];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    *out = (job_rates){0};
    if (strcmp(text, "off") == 0)
        return true;
    bool good = len < sizeof first && strcmp(text, "/") != 0 && *text;
    if (good) {
        memcpy(first, text, len);
        first[len] = '\0';
        good = rate_ok(first, &out->up) && rate_ok(slash ? slash + 1 : first, &out->down);
    }
    if (!good)
        cmd_warn(
            "--limit: '%.64s' is not UP/DOWN in bytes a second, such as 5M/2M, 5M/ or /2M, from 16K to 8G each",
            text);
    return good;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

/* This process's part of what all of the home may move that way. */
static uint64_t part_of(const job *j, uint64_t all, bool up, bool moving)
{
    if (all == 0)
        return 0;
    size_t with = kith_jobs_moving(j->folder, up) + !(moving && j->socket);
    uint64_t part = all / (with ? with : 1);
    return part ? part : 1;
}

static void look(job *j)
{
    bool moving = j->ops->moving(j->ctx), giving = j->ops->giving && j->ops->giving(j->ctx);
    if (j->socket)
        kith_jobs_active(j->socket, moving, giving);
    const kith_config *c = &j->s->config;
    /* What goes the other way is no more than answers, and is not shared out. */
    uint64_t up = j->up || j->ops->giving ? part_of(j, c->share_limit_up, true, j->up ? moving : giving) : 0;
    uint64_t down = j->up ? 0 : part_of(j, c->share_limit_down, false, moving);
    j->now = (job_rates){least(j->own.up, up), least(j->own.down, down)};
    kith_host_limit(j->s->host, j->now.up, j->now.down);
}

static void on_timer(uv_timer_t *t)
{
    look(t->data);
}

/* ---- methods ---- */

static void run_list(void *ctx, kith_rpc_call *call, const json_t *params)
{
    const job *j = ctx;
    uint64_t up, down;
    (void)params;
    json_t *o = j->ops->list(j->ctx);
    kith_host_moved(j->s->host, &up, &down);
    json_object_set_new(o, "id", json_sprintf("%ld", (long)getpid()));
    json_object_set_new(o, "limit_up", json_integer((json_int_t)j->now.up));
    json_object_set_new(o, "limit_down", json_integer((json_int_t)j->now.down));
    json_object_set_new(o, "moved_up", json_integer((json_int_t)up));
    json_object_set_new(o, "moved_down", json_integer((json_int_t)down));
    kith_rpc_result(call, o);
}

/* False: answered already. */
static bool which(kith_rpc_call *call, const json_t *params, uint64_t *n)
{
    const json_t *v = json_object_get(params, "transfer");
    *n = (uint64_t)json_integer_value(v);
    if (!v || (json_is_integer(v) && json_integer_value(v) > 0))
        return true;
    kith_rpc_bad_params(call, "'transfer' must be the number of a receiver");
    return false;
}

static void answer(kith_rpc_call *call, const char *why)
{
    if (why)
        kith_rpc_error(call, KITH_ENOTFOUND, NULL, "%s", why);
    else
        kith_rpc_result(call, json_pack("{s:b}", "done", 1));
}

static void pause_it(const job *j, kith_rpc_call *call, const json_t *params, bool on)
{
    uint64_t n;
    if (which(call, params, &n))
        answer(call, j->ops->pause(j->ctx, n, on));
}

static void run_pause(void *ctx, kith_rpc_call *call, const json_t *params)
{
    pause_it(ctx, call, params, true);
}

static void run_resume(void *ctx, kith_rpc_call *call, const json_t *params)
{
    pause_it(ctx, call, params, false);
}

static void run_cancel(void *ctx, kith_rpc_call *call, const json_t *params)
{
    const job *j = ctx;
    uint64_t n;
    if (which(call, params, &n))
        answer(call, j->ops->cancel(j->ctx, n));
}

/* False: not there, or within what is allowed. */
static bool bad_rate(const json_t *v)
{
    json_int_t n = json_integer_value(v);
    return v && (!json_is_integer(v) || n < 0 || (n > 0 && n < JOB_RATE_MIN) ||
                 n > (json_int_t)KITH_BUCKET_RATE_MAX);
}

static void run_limit(void *ctx, kith_rpc_call *call, const json_t *params)
{
    job *j = ctx;
    const json_t *up = json_object_get(params, "up"), *down = json_object_get(params, "down");
    if (json_object_get(params, "transfer")) {
        kith_rpc_error(call, KITH_EUNSUPPORTED, NULL, "a limit is for all receivers together");
        return;
    }
    if (bad_rate(up) || bad_rate(down)) {
        kith_rpc_bad_params(call, "'up' and 'down' must be bytes a second from %d on, or 0", JOB_RATE_MIN);
        return;
    }
    if (up)
        j->own.up = (uint64_t)json_integer_value(up);
    if (down)
        j->own.down = (uint64_t)json_integer_value(down);
    look(j);
    kith_rpc_result(call, json_pack("{s:I, s:I}", "limit_up", (json_int_t)j->now.up, "limit_down",
                                    (json_int_t)j->now.down));
}

static void run_ticket(void *ctx, kith_rpc_call *call, const json_t *params)
{
    const job *j = ctx;
    const char *why = "it shares nothing";
    json_t *o = j->ops->ticket ? j->ops->ticket(j->ctx, params, &why) : NULL;
    if (o)
        kith_rpc_result(call, o);
    else
        kith_rpc_error(call, KITH_EREFUSED, NULL, "%s", why);
}

static const kith_rpc_method methods[] = {{"list", run_list},
                                          {"pause", run_pause},
                                          {"resume", run_resume},
                                          {"stop", run_cancel},
                                          {"limit", run_limit},
                                          {"ticket", run_ticket},
                                          {0}};

/* ---- life ---- */

job *job_open(session *s, const cmd_args *args, bool up, const job_ops *ops, void *ctx, int *code)
{
    const char *limit = cmd_value(args, "limit"), *why = "there is no state folder";
    job_rates own = {0};
    *code = limit && !job_rates_parse(limit, &own) ? EXIT_USAGE : EXIT_OK;
    job *j = *code ? NULL : calloc(1, sizeof *j);
    if (!j)
        return NULL;
    *j = (job){.s = s, .up = up, .ops = ops, .ctx = ctx, .own = own};
    if (job_folder(j->folder))
        j->socket = kith_jobs_open(kith_host_loop(s->host), j->folder, up, methods, j, &why);
    if (!j->socket)
        cmd_warn("'kith transfers' will not see this: %s", why);
    uv_timer_init(kith_host_loop(s->host), &j->timer);
    j->timer.data = j;
    uv_timer_start(&j->timer, on_timer, LOOK_MS, LOOK_MS);
    look(j);
    return j;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void job_close(job *j)
{
    if (!j)
        return;
    kith_jobs_close(j->socket);
    uv_close((uv_handle_t *)&j->timer, on_closed);
}

/* ---- history ---- */

/* A row on its way to the disk, written by the loop's thread pool. */
typedef struct remembering {
    uv_work_t work;
    kith_share_past row;
    bool damaged;
    const char *why;
    char path[KITH_PATH_MAX];
    char texts[6][KITH_SHARE_HISTORY_TEXT_MAX + 1];
} remembering;

static void remember_work(uv_work_t *w)
{
    remembering *r = w->data;
    kith_share_history *h = kith_share_history_open(r->path, &r->damaged, &r->why);
    if (h)
        r->why = kith_share_history_add(h, &r->row);
    kith_share_history_close(h);
}

static void remember_after(uv_work_t *w, int status)
{
    static bool told;
    remembering *r = w->data;
    (void)status;
    if (r->damaged)
        cmd_warn("the history of transfers was damaged; it is now %s.damaged, and a new one was begun",
                 r->path);
    if (r->why && !told)
        cmd_warn("the history of transfers cannot be written: %s", r->why);
    told |= r->why != NULL;
    free(r);
}

void job_remember(const session *s, const kith_peer_id *peer, const kith_share_past *row)
{
    char id[KITH_PEER_ID_TEXT_MAX + 1];
    remembering *r = calloc(1, sizeof *r);
    if (!r || !job_history_file(r->path)) {
        free(r);
        return;
    }
    const char **const texts[] = {&r->row.peer,   &r->row.name, &r->row.what,
                                  &r->row.result, &r->row.path, &r->row.into};
    kith_peer_id_text(peer, id);
    r->row = *row;
    r->row.time = (uint64_t)time(NULL);
    r->row.peer = id;
    r->row.name = job_name(s, peer);
    r->work.data = r;
    for (int i = 0; i < 6; i++) {
        snprintf(r->texts[i], sizeof r->texts[i], "%s", *texts[i] ? *texts[i] : "");
        *texts[i] = r->texts[i];
    }
    if (uv_queue_work(kith_host_loop(s->host), &r->work, remember_work, remember_after))
        free(r);
}

void job_nice(session *s)
{
    s->background = true;
    (void)setpriority(PRIO_PROCESS, 0, 19);
#if defined(__linux__) && defined(SYS_ioprio_set)
    (void)syscall(SYS_ioprio_set, 1, 0,
                  3 << 13); /* this thread, to the class of those who get what nobody else wants */
#endif
}

const char *job_name(const session *s, const kith_peer_id *peer)
{
    const kith_trust_row *r = s->trust ? kith_trust_find(s->trust, peer) : NULL;
    return r ? r->name : "";
}

void job_leave_note(const kith_peer_id *peer, kith_conduct conduct)
{
    char path[KITH_PATH_MAX];
    if (kith_path_make(KITH_PLACE_STATE) || !kith_path(KITH_PLACE_STATE, "reputation.db", path))
        return;
    const char *why = kith_reputation_leave_note(path, peer, conduct, (uint64_t)time(NULL));
    if (why)
        cmd_warn("what the sharer did is not noted in %s: %s", path, why);
}
