/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The workers: whose turn it is, what can still be taken back, and how they end. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#endif

#include <cmocka.h>

#include "host/workers.h"

#define JOBS 64

typedef struct lab lab;

typedef struct task {
    kith_job job;
    lab *l;
    char name;
    unsigned ran, done, never;
    pthread_t thread;
} task;

struct lab {
    uv_loop_t loop;
    kith_workers w;
    uv_sem_t gate; /* a task called '#' waits for it */
    task t[JOBS];
    size_t count;
    char ran[JOBS + 1], done[JOBS + 1]; /* names, in the order of things */
    atomic_uint ran_count;
};

static void run(kith_job *job)
{
    task *t = KITH_OF(job, task, job);
    t->thread = pthread_self();
    t->ran++;
    t->l->ran[atomic_fetch_add(&t->l->ran_count, 1)] = t->name;
    if (t->name == '#')
        uv_sem_wait(&t->l->gate);
}

static void done(kith_job *job, bool ran)
{
    task *t = KITH_OF(job, task, job);
    t->done++;
    t->never += !ran;
    t->l->done[strlen(t->l->done)] = t->name;
}

static void begin(lab *l, unsigned max)
{
    memset(l, 0, sizeof *l);
    assert_int_equal(uv_loop_init(&l->loop), 0);
    assert_int_equal(uv_sem_init(&l->gate, 0), 0);
    assert_int_equal(kith_workers_init(&l->w, &l->loop, max), 0);
}

static task *add(lab *l, char name, uint64_t source)
{
    task *t = &l->t[l->count++];
    assert_true(l->count <= JOBS);
    *t = (task){.job = {.run = run, .done = done, .source = source}, .l = l, .name = name};
    assert_true(kith_workers_add(&l->w, &t->job));
    return t;
}

/* Keeps a worker busy, and has handed it what it is handed at once. */
static void block(lab *l)
{
    for (unsigned i = 0; i < KITH_WORKER_HANDED; i++)
        add(l, '#', 0);
}

static void wait_for(lab *l, size_t count)
{
    while (strlen(l->done) < count)
        uv_run(&l->loop, UV_RUN_ONCE);
}

static void unblock(lab *l)
{
    for (unsigned i = 0; i < KITH_WORKER_HANDED; i++)
        uv_sem_post(&l->gate);
}

static void end(lab *l)
{
    kith_workers_stop(&l->w);
    uv_run(&l->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&l->loop), 0);
    uv_sem_destroy(&l->gate);
    for (size_t i = 0; i < l->count; i++)
        assert_true(l->t[i].done <= 1 && l->t[i].ran + l->t[i].never == l->t[i].done);
}

static void no_thread_is_there_before_there_is_work(void **state)
{
    (void)state;
    lab l;
    begin(&l, 0);
    assert_int_equal(l.w.count, 0);
    assert_true(l.w.max >= 1 && l.w.max <= KITH_WORKERS_MAX);
    add(&l, 'a', 1);
    assert_int_equal(l.w.count, 1);
    wait_for(&l, 1);
    add(&l, 'b', 1); /* by the same one: it is free */
    assert_int_equal(l.w.count, 1);
    wait_for(&l, 2);
    assert_false(pthread_equal(l.t[0].thread, pthread_self()));
    assert_string_equal(l.done, "ab");
    end(&l);
}

static void sources_have_turns_and_our_own_jobs_come_first(void **state)
{
    (void)state;
    lab l;
    begin(&l, 1);
    block(&l);
    for (const char *c = "aaaabbc"; *c; c++)
        add(&l, *c, (uint64_t)*c);
    add(&l, '1', KITH_JOB_OURS);
    add(&l, '2', KITH_JOB_OURS);
    unblock(&l);
    wait_for(&l, l.count);
    assert_string_equal(l.ran + KITH_WORKER_HANDED, "12abcabaa");
    end(&l);
}

static size_t count(const char *names, char name)
{
    size_t n = 0;
    for (; *names; names++)
        n += *names == name;
    return n;
}

static void who_comes_back_at_once_does_not_pass_those_who_wait(void **state)
{
    (void)state;
    lab l;
    size_t back[6] = {1, 1, 1, 1, 1, 1};
    begin(&l, 1);
    block(&l);
    for (unsigned i = 0; i < 6; i++)
        add(&l, 'b', 2);
    for (unsigned i = 0; i < 6; i++)
        add(&l, (char)('u' + i), 10 + i);
    unblock(&l);
    while (l.count < JOBS) { /* each of the six has another one whenever it has had one */
        uv_run(&l.loop, UV_RUN_ONCE);
        for (unsigned i = 0; i < 6 && l.count < JOBS; i++) {
            if (count(l.done, (char)('u' + i)) == back[i]) {
                add(&l, (char)('u' + i), 10 + i);
                back[i]++;
            }
        }
    }
    wait_for(&l, l.count);
    size_t bs = 0, others = 0;
    for (const char *c = l.ran + KITH_WORKER_HANDED; *c; c++) {
        *(*c == 'b' ? &bs : &others) += 1;
        assert_true(bs == 6 || others <= 6 * (bs + 2));
    }
    end(&l);
}

static void what_has_not_begun_can_be_taken_back(void **state)
{
    (void)state;
    lab l;
    begin(&l, 1);
    block(&l);
    task *a = add(&l, 'a', 1), *b = add(&l, 'b', 1), *c = add(&l, 'c', 1);
    assert_true(kith_workers_cancel(&l.w, &b->job));
    assert_false(kith_workers_cancel(&l.w, &l.t[0].job)); /* it runs */
    unblock(&l);
    wait_for(&l, l.count - 1);
    assert_true(a->done && c->done && !b->ran && !b->done);
    assert_false(kith_workers_cancel(&l.w, &a->job));
    end(&l);
}

static void a_stop_waits_for_what_runs_and_tells_of_what_does_not(void **state)
{
    (void)state;
    lab l;
    begin(&l, 1);
    block(&l);
    task *a = add(&l, 'a', 1), *b = add(&l, 'b', KITH_JOB_OURS);
    unblock(&l);
    while (atomic_load(&l.ran_count) == 0)
        usleep(100);
    end(&l);
    assert_true(a->done && b->done && a->never == !a->ran && b->never == !b->ran);
    assert_int_equal(l.t[0].ran, 1);
}

static void many_jobs_are_all_done_once(void **state)
{
    (void)state;
    lab l;
    begin(&l, 0);
    for (unsigned i = 0; i < JOBS; i++)
        add(&l, 'a', i % 5);
    wait_for(&l, JOBS);
    for (unsigned i = 0; i < JOBS; i++)
        assert_true(l.t[i].ran == 1 && l.t[i].done == 1);
    end(&l);
}

#ifdef __linux__
static int seen_nice, seen_policy;

static void look_around(kith_job *job)
{
    (void)job;
    seen_nice = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
    seen_policy = sched_getscheduler(0);
}
#endif

static void workers_step_back_behind_the_loop(void **state)
{
    (void)state;
#ifdef __linux__
    lab l;
    int ours = getpriority(PRIO_PROCESS, 0);
    begin(&l, 0);
    l.t[0] = (task){.job = {.run = look_around, .done = done}, .l = &l, .name = 'a'};
    assert_true(kith_workers_add(&l.w, &l.t[0].job));
    wait_for(&l, 1);
    assert_true(seen_nice > ours || seen_nice == 19);
    assert_int_equal(seen_policy, SCHED_BATCH);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), ours);
    end(&l);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_thread_is_there_before_there_is_work),
        cmocka_unit_test(sources_have_turns_and_our_own_jobs_come_first),
        cmocka_unit_test(who_comes_back_at_once_does_not_pass_those_who_wait),
        cmocka_unit_test(what_has_not_begun_can_be_taken_back),
        cmocka_unit_test(a_stop_waits_for_what_runs_and_tells_of_what_does_not),
        cmocka_unit_test(many_jobs_are_all_done_once),
        cmocka_unit_test(workers_step_back_behind_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
