/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Jobs of several processes in one folder: found, asked, counted, and cleared away once they are gone. */
#include "host/jobs.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define PATIENCE 30000

static char folder[] = "/tmp/kith-jobs-XXXXXX";
static uv_loop_t loop;

static void run_list(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)ctx, (void)params;
    kith_rpc_result(call, json_pack("{s:i}", "pid", (int)getpid()));
}

static void run_big(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)ctx;
    size_t len = (size_t)json_integer_value(json_object_get(params, "len"));
    char *text = malloc(len);
    memset(text, 'x', len);
    kith_rpc_result(call, json_stringn(text, len));
    free(text);
}

static void run_mute(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)params;
    *(kith_rpc_call **)ctx = call;
}

static const kith_rpc_method methods[] = {{"list", run_list}, {"big", run_big}, {"mute", run_mute}, {0}};

/* A child that is a job until its stdin ends. */
typedef struct child {
    pid_t pid;
    int hold;
} child;

static void on_hold(uv_poll_t *p, int status, int events)
{
    (void)status, (void)events;
    uv_stop(p->loop);
}

static child start_giver(bool up, bool active, bool gives)
{
    int hold[2], ready[2];
    char c;
    assert_int_equal(pipe(hold), 0);
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        const char *why;
        uv_loop_t own;
        uv_poll_t wait;
        kith_rpc_call *mute = NULL;
        close(hold[1]);
        signal(SIGPIPE, SIG_IGN); /* as the program does */
        uv_loop_init(&own);
        kith_jobs *j = kith_jobs_open(&own, folder, up, methods, &mute, &why);
        if (j && (active || gives))
            kith_jobs_active(j, active, gives);
        uv_poll_init(&own, &wait, hold[0]);
        uv_poll_start(&wait, UV_READABLE | UV_DISCONNECT, on_hold);
        bool said = j && write(ready[1], "r", 1) == 1;
        uv_run(&own, UV_RUN_DEFAULT);
        kith_jobs_close(j);
        _exit(said ? 0 : 1);
    }
    close(hold[0]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    return (child){pid, hold[1]};
}

static child start(bool up, bool active)
{
    return start_giver(up, active, false);
}

static void end(child c, bool hard)
{
    int status;
    if (hard)
        kill(c.pid, SIGKILL);
    assert_true(hard || write(c.hold, "x", 1) == 1); /* later children have this end too */
    close(c.hold);
    assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
    assert_true(hard ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

typedef struct seen {
    size_t count;
    long pids[16];
    bool up[16];
} seen;

static void on_job(void *ctx, long pid, bool up, int fd)
{
    seen *s = ctx;
    json_t *o = kith_jobs_ask(fd, "list", NULL, PATIENCE);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "result"), "pid")), pid);
    json_decref(o);
    close(fd);
    s->pids[s->count] = pid;
    s->up[s->count++] = up;
}

static size_t files(void)
{
    char command[128], text[16] = "";
    snprintf(command, sizeof command, "ls %s | wc -l", folder);
    FILE *p = popen(command, "r");
    assert_non_null(fgets(text, sizeof text, p));
    pclose(p);
    return (size_t)strtoul(text, NULL, 10);
}

static void jobs_are_found_and_asked(void **state)
{
    (void)state;
    seen s = {0};
    assert_int_equal(kith_jobs_each(folder, on_job, &s), 0);
    child a = start(true, false), b = start(false, true), c = start(true, true);
    assert_int_equal(kith_jobs_each(folder, on_job, &s), 3);
    for (size_t i = 1; i < s.count; i++)
        assert_true(s.pids[i - 1] < s.pids[i]);
    for (size_t i = 0; i < s.count; i++)
        assert_int_equal(s.up[i], s.pids[i] != b.pid);
    assert_int_equal(kith_jobs_moving(folder, true), 1);
    assert_int_equal(kith_jobs_moving(folder, false), 1);
    child d = start_giver(false, true, true),
          e = start_giver(false, false, true); /* receivers that give, the second has all */
    assert_int_equal(kith_jobs_moving(folder, true), 3);
    assert_int_equal(kith_jobs_moving(folder, false), 2);
    end(d, false);
    end(e, false);
    end(a, false);
    end(b, false);
    end(c, false);
    assert_int_equal(files(), 0);
}

static void who_was_killed_is_cleared_away(void **state)
{
    (void)state;
    child a = start(true, true), b = start(true, true);
    end(a, true);
    assert_int_equal(files(), 2);
    assert_int_equal(kith_jobs_moving(folder, true), 1);
    seen s = {0};
    assert_int_equal(kith_jobs_each(folder, on_job, &s), 1);
    assert_int_equal(s.pids[0], b.pid);
    assert_int_equal(files(), 1);
    end(b, false);
}

static void touch(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    close(open(path, O_CREAT | O_WRONLY, 0700));
}

/* A socket that is bound and not listened to, with a process of that number. */
static void bind_only(const char *name, long age)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s/%s", folder, name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    close(fd);
    assert_int_equal(chmod(at.sun_path, 0600), 0);
    struct timespec t[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
    assert_int_equal(utimensat(AT_FDCWD, at.sun_path, t, 0), 0);
}

static void other_files_and_beginners_are_left_alone(void **state)
{
    (void)state;
    seen s = {0};
    char name[64];
    static const char *const others[] = {
        "x", "12", "0.up", "-3.up", "3.up.bak", "99999999999999999999.up", "4294967296.down", "007.up"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        touch(others[i]);
    snprintf(name, sizeof name, "%ld.up", (long)getpid());
    bind_only(name, 0); /* as between bind and listen */
    assert_int_equal(kith_jobs_each(folder, on_job, &s), 0);
    assert_int_equal(kith_jobs_moving(folder, true) + kith_jobs_moving(folder, false), 0);
    assert_int_equal(files(), 1 + sizeof others / sizeof *others);
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    bind_only(name, 60); /* of a process long gone, whose number is ours now */
    assert_int_equal(kith_jobs_each(folder, on_job, &s), 0);
    assert_int_equal(files(), sizeof others / sizeof *others);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, others[i]);
        unlink(path);
    }
}

static void on_big(void *ctx, long pid, bool up, int fd)
{
    (void)pid, (void)up;
    const size_t around = sizeof "{\"jsonrpc\":\"2.0\",\"result\":\"\",\"id\":1}\n" - 1;
    json_t *o = kith_jobs_ask(
        fd, "big", json_pack("{s:I}", "len", (json_int_t)(KITH_JOBS_ANSWER_MAX - around)), PATIENCE);
    assert_int_equal(json_string_length(json_object_get(o, "result")), KITH_JOBS_ANSWER_MAX - around);
    json_decref(o);
    assert_null(kith_jobs_ask(
        fd, "big", json_pack("{s:I}", "len", (json_int_t)(KITH_JOBS_ANSWER_MAX - around + 1)), PATIENCE));
    close(fd);
    ++*(int *)ctx;
}

static void on_wrong(void *ctx, long pid, bool up, int fd)
{
    (void)pid, (void)up;
    json_t *o = kith_jobs_ask(fd, "nonsense", NULL, PATIENCE);
    assert_non_null(json_object_get(o, "error"));
    json_decref(o);
    close(fd);
    ++*(int *)ctx;
}

static void on_mute(void *ctx, long pid, bool up, int fd)
{
    (void)up;
    kill((pid_t)pid, SIGSTOP);
    assert_null(kith_jobs_ask(fd, "list", NULL, 50));
    kill((pid_t)pid, SIGCONT);
    close(fd);
    ++*(int *)ctx;
}

static void answers_have_a_cap_and_who_is_silent_is_not_waited_for(void **state)
{
    (void)state;
    int asked = 0;
    child a = start(true, false);
    assert_int_equal(kith_jobs_each(folder, on_big, &asked), 1);
    assert_int_equal(kith_jobs_each(folder, on_wrong, &asked), 1);
    assert_int_equal(kith_jobs_each(folder, on_mute, &asked), 1);
    assert_int_equal(asked, 3);
    end(a, false);
}

static void a_folder_that_is_not_there_holds_nobody(void **state)
{
    (void)state;
    const char *why = NULL;
    seen s = {0};
    char deep[1100];
    memset(deep, 'd', sizeof deep - 1);
    deep[0] = '/';
    deep[sizeof deep - 1] = '\0';
    assert_int_equal(kith_jobs_each("/tmp/kith-no-such-folder", on_job, &s), 0);
    assert_int_equal(kith_jobs_moving("/tmp/kith-no-such-folder", true), 0);
    assert_null(kith_jobs_open(&loop, "/tmp/kith-no-such-folder", true, methods, NULL, &why));
    assert_non_null(why);
    assert_null(kith_jobs_open(&loop, deep, true, methods, NULL, &why));
    assert_non_null(strstr(why, "too long"));
    uv_run(&loop, UV_RUN_DEFAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_found_and_asked),
        cmocka_unit_test(who_was_killed_is_cleared_away),
        cmocka_unit_test(other_files_and_beginners_are_left_alone),
        cmocka_unit_test(answers_have_a_cap_and_who_is_silent_is_not_waited_for),
        cmocka_unit_test(a_folder_that_is_not_there_holds_nobody),
    };
    if (!mkdtemp(folder))
        return 1;
    uv_loop_init(&loop);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    uv_loop_close(&loop);
    rmdir(folder);
    return failed;
}
