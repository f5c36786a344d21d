/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Threads for what is heavy to compute and asked for by strangers: the handshakes.
 *
 * Their own threads, because libuv's pool serves disk and hashing, which a flood of handshakes must not starve; with a low priority,
 * because the loop's thread serves those who are in already; and started when there is something to do for the first time. What waits
 * is taken in turns: our own first, then one of each source, so that a source with many does not keep another's only one waiting.
 *
 * The queue is the loop's own and workers are handed few jobs at a time, without locks: a thread of low priority that is put aside while
 * it holds a lock would have the loop wait with it. (That is why no uv_async_t is used either: libuv's loop spins until a sender that is
 * in the midst of sending has gone on.)
 *
 * A connection in its handshake has one job at most, so the queue is bounded by limits.handshakes and our own dials. */
#ifndef KITH_HOST_WORKERS_H
#define KITH_HOST_WORKERS_H

#include <stdatomic.h>
#include <uv.h>

#include "base/list.h"

#define KITH_WORKERS_MAX 4
#define KITH_WORKER_HANDED 2 /* jobs handed to a worker: one that it computes, one to go on with */

unsigned kith_cores(void); /* that this process may use */

struct kith_worker;

/* Lies in the caller's struct, who keeps it from add until done was called or cancel has returned true. */
typedef struct kith_job {
    void (*run)(struct kith_job *job); /* on some worker */
    void (*done)(struct kith_job *job,
                 bool ran); /* on the loop's thread. ran false: the workers were stopped first */
    uint64_t source;
    /* the workers' own */
    kith_link link;
    uint64_t turn;
    struct kith_worker *worker; /* that it was handed to */
    struct kith_job *next;
} kith_job;

#define KITH_JOB_OURS UINT64_MAX /* the source that is always first */

typedef struct kith_worker {
    struct kith_workers *all;
    uv_thread_t thread;
    uv_sem_t wake;
    _Atomic(kith_job *) inbox; /* the latest first */
    unsigned handed;           /* the loop's */
} kith_worker;

typedef struct kith_workers {
    uv_poll_t poll; /* of a pipe, whose other end the workers write to when something is done */
    int pipe[2];
    _Atomic(kith_job *) done; /* the latest first */
    atomic_bool stop;
    /* the loop's */
    kith_list waiting; /* in the order in which they are handed out */
    kith_list finished;
    uint64_t turn; /* of the job that was handed out last */
    unsigned count, max;
    kith_worker worker[KITH_WORKERS_MAX];
} kith_workers;

/* One thread fewer than the machine has cores, but one at least and KITH_WORKERS_MAX at most; max > 0 is a lower cap. 0, or a uv error
 * (< 0): then nothing needs to be undone. */
int kith_workers_init(kith_workers *w, uv_loop_t *loop, unsigned max);
/* run, done and source are set. False: no thread could be started and none is there; the job is not taken. */
bool kith_workers_add(kith_workers *w, kith_job *job);
/* True: it had not been handed out, and neither run nor done will be called. */
bool kith_workers_cancel(kith_workers *w, kith_job *job);
/* Waits for the jobs that were handed out (not for those that wait), calls done for all and closes the handle; the struct must live until the
 * loop has closed that. On the loop's thread. */
void kith_workers_stop(kith_workers *w);

#endif
