/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A queue that is fair to its sources, and threads of low priority that empty it. */
#include "host/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#ifdef __linux__
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#endif

#define NICE 10 /* more than the loop has: a tenth of its share, where both want the same core */
#define DONE_AT_ONCE \
    4 /* what follows from so many takes some tenths of a millisecond; then others have a turn of the loop */

unsigned kith_cores(void)
{
#if UV_VERSION_HEX >= (1 << 16 | 44 << 8)
    return uv_available_parallelism();
#else
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (unsigned)n : 1;
#endif
}

/* On Linux priorities are a thread's own. In whatever class the process is, computing for strangers does not belong into a real-time one. */
static void step_back(void)
{
#ifdef __linux__
    const struct sched_param none = {0};
    (void)sched_setscheduler(0, SCHED_BATCH, &none);
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), getpriority(PRIO_PROCESS, 0) + NICE);
#endif
}

/* True: the list was empty. The job is the other side's from here on. */
static bool push(_Atomic(kith_job *) *to, kith_job *job)
{
    kith_job *before = atomic_load_explicit(to, memory_order_relaxed);
    do
        job->next = before;
    while (
        !atomic_compare_exchange_weak_explicit(to, &before, job, memory_order_release, memory_order_relaxed));
    return !before;
}

/* All of them, the earliest first. */
static kith_job *take_all(_Atomic(kith_job *) *from)
{
    kith_job *first = NULL, *job = atomic_exchange_explicit(from, NULL, memory_order_acquire);
    while (job) {
        kith_job *before = job->next;
        job->next = first;
        first = job;
        job = before;
    }
    return first;
}

/* The loop has something to collect. A pipe that is full says that already. */
static void ring(const kith_workers *w)
{
    ssize_t n;
    do
        n = write(w->pipe[1], "", 1);
    while (n < 0 && errno == EINTR);
}

static void work(void *arg)
{
    kith_worker *me = arg;
    kith_workers *w = me->all;
    step_back();
    for (;;) {
        bool stop = atomic_load(&w->stop);
        kith_job *job = take_all(&me->inbox);
        if (!job && stop)
            return;
        if (!job)
            uv_sem_wait(&me->wake);
        while (job) {
            kith_job *next = job->next;
            job->run(job);
            if (push(&w->done, job))
                ring(w);
            job = next;
        }
    }
}

/* ---- on the loop's thread ---- */

static kith_job *pop(kith_list *list)
{
    kith_link *k = kith_list_pop(list);
    return k ? KITH_OF(k, kith_job, link) : NULL;
}

static kith_worker *least_busy(kith_workers *w)
{
    kith_worker *best = w->worker;
    for (kith_worker *i = best + 1; i < w->worker + w->count; i++)
        best = i->handed < best->handed ? i : best;
    return best;
}

static void hand_out(kith_workers *w)
{
    kith_worker *to;
    while (!kith_list_empty(&w->waiting) && (to = least_busy(w))->handed < KITH_WORKER_HANDED) {
        kith_job *job = pop(&w->waiting);
        w->turn = job->turn > w->turn ? job->turn : w->turn;
        job->worker = to;
        to->handed++;
        (void)push(&to->inbox, job);
        uv_sem_post(&to->wake);
    }
}

static void collect(kith_workers *w)
{
    for (kith_job *job = take_all(&w->done); job;) {
        kith_job *next = job->next;
        job->worker->handed--;
        kith_list_push(&w->finished, &job->link);
        job = next;
    }
}

static void on_rung(uv_poll_t *poll, int status, int events)
{
    kith_workers *w = poll->data;
    char drop[64];
    (void)status, (void)events;
    while (read(w->pipe[0], drop, sizeof drop) == sizeof drop)
        ;
    collect(w);
    hand_out(w);
    kith_job *job;
    for (int i = 0; i < DONE_AT_ONCE && (job = pop(&w->finished)); i++)
        job->done(job, true);
    if (!kith_list_empty(&w->finished))
        ring(w);
}

static void close_pipe(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

static int open_pipe(int ends[2])
{
    if (pipe(ends))
        return -errno;
    for (int i = 0; i < 2; i++) {
        if (fcntl(ends[i], F_SETFD, FD_CLOEXEC) || fcntl(ends[i], F_SETFL, O_NONBLOCK)) {
            int e = -errno;
            close_pipe(ends);
            return e;
        }
    }
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    const kith_workers *w = handle->data;
    close_pipe(w->pipe);
}

int kith_workers_init(kith_workers *w, uv_loop_t *loop, unsigned max)
{
    *w = (kith_workers){0};
    int e = open_pipe(w->pipe);
    if (e)
        return e;
    e = uv_poll_init(loop, &w->poll, w->pipe[0]);
    if (e) {
        close_pipe(w->pipe);
        return e;
    }
    w->poll.data = w;
    uv_poll_start(&w->poll, UV_READABLE, on_rung);
    kith_list_init(&w->waiting);
    kith_list_init(&w->finished);
    unsigned cores = kith_cores();
    w->max = cores < 2 ? 1 : cores - 1 < KITH_WORKERS_MAX ? cores - 1 : KITH_WORKERS_MAX;
    if (max > 0 && max < w->max)
        w->max = max;
    return 0;
}

/* One more thread, if all are busy. */
static void start(kith_workers *w)
{
    kith_worker *i = &w->worker[w->count];
    if (w->count == w->max || (w->count > 0 && least_busy(w)->handed == 0))
        return;
    i->all = w;
    if (uv_sem_init(&i->wake, 0))
        return;
    if (uv_thread_create(&i->thread, work, i))
        uv_sem_destroy(&i->wake);
    else
        w->count++;
}

/* The turn after those of its source that wait; behind all others of the same turn. */
static void enqueue(kith_workers *w, kith_job *job)
{
    kith_link *k;
    bool ours = job->source == KITH_JOB_OURS;
    job->turn = ours ? 0 : w->turn + 1;
    KITH_EACH (&w->waiting, i)
        job->turn += !ours && KITH_OF(i, kith_job, link)->source == job->source;
    for (k = w->waiting.head.prev; k != &w->waiting.head; k = k->prev) {
        if (KITH_OF(k, kith_job, link)->turn <= job->turn)
            break;
    }
    kith_link_insert(k, &job->link);
}

bool kith_workers_add(kith_workers *w, kith_job *job)
{
    start(w);
    if (w->count == 0)
        return false;
    enqueue(w, job);
    hand_out(w);
    return true;
}

bool kith_workers_cancel(kith_workers *w, kith_job *job)
{
    KITH_EACH (&w->waiting, k) {
        if (k == &job->link) {
            kith_link_remove(k);
            return true;
        }
    }
    return false;
}

void kith_workers_stop(kith_workers *w)
{
    kith_job *job;
    atomic_store(&w->stop, true);
    for (unsigned i = 0; i < w->count; i++)
        uv_sem_post(&w->worker[i].wake);
    for (unsigned i = 0; i < w->count; i++) {
        uv_thread_join(&w->worker[i].thread);
        uv_sem_destroy(&w->worker[i].wake);
    }
    collect(w);
    while ((job = pop(&w->finished)))
        job->done(job, true);
    while ((job = pop(&w->waiting)))
        job->done(job, false);
    uv_close((uv_handle_t *)&w->poll, on_closed);
}
