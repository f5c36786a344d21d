/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The control socket with real clients on one loop: good ones, and ones that babble, stall, leave or come in crowds. */
#include "host/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static char folder[] = "/tmp/kith-control-XXXXXX";
static char path[64];
static uv_loop_t loop;
static kith_rpc_call *late;
static unsigned cancelled;

static void run_echo(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)ctx;
    kith_rpc_result(call, json_deep_copy(params));
}

static void run_big(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)ctx, (void)params;
    char *text = malloc(512 * 1024);
    memset(text, 'x', 512 * 1024);
    kith_rpc_result(call, json_stringn(text, 512 * 1024));
    free(text);
}

static void on_cancel(void *state)
{
    (void)state;
    cancelled++;
    kith_rpc_error(late, KITH_ECLOSED, NULL, "cancelled");
}

static void run_late(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)ctx, (void)params;
    late = call;
    kith_rpc_on_cancel(call, on_cancel, NULL);
}

static const kith_rpc_method methods[] = {{"echo", run_echo}, {"big", run_big}, {"late", run_late}, {0}};

static kith_control *open_control(void)
{
    kith_control *c;
    assert_int_equal(kith_control_open(&loop, path, methods, NULL, &c), 0);
    return c;
}

static void close_control(kith_control *c)
{
    kith_control_close(c);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(access(path, F_OK), -1);
}

static int join(void)
{
    int fd = kith_control_connect(path);
    assert_true(fd >= 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* Reads until there is a whole line; "" at the end of the connection. */
static const char *hear(int fd)
{
    static char line[1 << 16];
    size_t n = 0;
    for (int turns = 0; turns < 100000; turns++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        ssize_t k = read(fd, line + n, 1);
        if (k == 0 || (k < 0 && errno == ECONNRESET))
            return "";
        if (k < 0)
            continue;
        if (line[n++] == '\n') {
            line[n - 1] = '\0';
            return line;
        }
        assert_true(n < sizeof line);
    }
    fail_msg("no answer");
    return NULL;
}

static void lines_are_answered_whole_or_in_pieces(void **state)
{
    (void)state;
    kith_control *c = open_control();
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    int fd = join();
    static const char one[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"n\":1}}\n";
    for (size_t i = 0; i < sizeof one - 1; i++) {
        assert_int_equal(write(fd, one + i, 1), 1);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_string_equal(hear(fd), "{\"jsonrpc\":\"2.0\",\"result\":{\"n\":1},\"id\":1}");
    say(fd, "\n\n{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"echo\",\"params\":{}}\nrubbish\n");
    assert_string_equal(hear(fd), "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":2}");
    assert_non_null(strstr(hear(fd), "-32700"));
    close(fd);
    close_control(c);
}

static void a_line_that_is_too_long_costs_itself_only(void **state)
{
    (void)state;
    kith_control *c = open_control();
    int fd = join();
    char junk[4096];
    memset(junk, 'j', sizeof junk);
    for (size_t i = 0; i < KITH_RPC_LINE_MAX / sizeof junk + 100; i++) {
        while (write(fd, junk, sizeof junk) < 0)
            uv_run(&loop, UV_RUN_NOWAIT);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_non_null(strstr(hear(fd), "too long"));
    say(fd, "\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"echo\",\"params\":{}}\n");
    assert_string_equal(hear(fd), "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":3}");
    close(fd);
    close_control(c);
}

static void a_half_closed_client_gets_its_answers(void **state)
{
    (void)state;
    kith_control *c = open_control();
    int fd = join();
    say(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"late\"}\n");
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 10; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    kith_rpc_result(late, json_true());
    assert_string_equal(hear(fd), "{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":1}");
    assert_string_equal(hear(fd), "");
    close(fd);
    close_control(c);
}

/* As one who was killed: nothing will ever be written that would show it. */
static void a_client_that_is_gone_has_its_calls_cancelled(void **state)
{
    (void)state;
    kith_control *c = open_control();
    int fd = join();
    cancelled = 0;
    say(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"late\"}\n");
    for (int i = 0; i < 10; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(cancelled, 0);
    close(fd);
    for (int i = 0; i < 10; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(cancelled, 1);
    close_control(c);
}

static void who_does_not_read_is_cut_off(void **state)
{
    (void)state;
    kith_control *c = open_control();
    int fd = join(), other = join();
    cancelled = 0;
    say(fd, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"late\"}\n");
    for (int i = 1; i < 20; i++) {
        char line[96];
        int n = snprintf(line, sizeof line, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"big\"}\n", i);
        if (send(fd, line, (size_t)n, MSG_NOSIGNAL) < 0)
            break;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    for (int i = 0; i < 100 && !cancelled; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(cancelled, 1);
    say(other, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{}}\n");
    assert_string_equal(hear(other), "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}");
    close(fd);
    close(other);
    close_control(c);
}

static void clients_have_a_cap(void **state)
{
    (void)state;
    kith_control *c = open_control();
    int fds[KITH_CONTROL_CLIENTS_MAX + 1];
    for (int i = 0; i <= KITH_CONTROL_CLIENTS_MAX; i++) {
        fds[i] = join();
        uv_run(&loop, UV_RUN_NOWAIT);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_string_equal(hear(fds[KITH_CONTROL_CLIENTS_MAX]), "");
    say(fds[0], "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{}}\n");
    assert_string_equal(hear(fds[0]), "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}");
    for (int i = 0; i <= KITH_CONTROL_CLIENTS_MAX; i++)
        close(fds[i]);
    int again = -1;
    for (int i = 0; i < 10; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    again = join();
    say(again, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{}}\n");
    assert_string_equal(hear(again), "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}");
    close(again);
    close_control(c);
}

static void a_socket_left_behind_is_replaced(void **state)
{
    (void)state;
    FILE *f = fopen(path, "w");
    fclose(f);
    assert_int_equal(kith_control_connect(path), -ECONNREFUSED);
    kith_control *c = open_control();
    int fd = join();
    say(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{}}\n");
    assert_string_equal(hear(fd), "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}");
    close(fd);
    close_control(c);
    assert_int_equal(kith_control_connect(path), -ENOENT);
}

static void a_path_longer_than_a_socket_address_works(void **state)
{
#ifndef __linux__
    skip();
#endif
    (void)state;
    char deep[256], sock[300];
    snprintf(deep, sizeof deep, "%s/%0120d", folder, 0);
    assert_int_equal(mkdir(deep, 0700), 0);
    snprintf(sock, sizeof sock, "%s/control.sock", deep);
    kith_control *c;
    assert_int_equal(kith_control_open(&loop, sock, methods, NULL, &c), 0);
    int fd = kith_control_connect(sock);
    assert_true(fd >= 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    say(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{}}\n");
    assert_string_equal(hear(fd), "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}");
    close(fd);
    kith_control_close(c);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(rmdir(deep), 0);
}

static void one_process_holds_the_lock_and_death_releases_it(void **state)
{
    (void)state;
    char lock[80];
    long pid;
    int fds[2];
    snprintf(lock, sizeof lock, "%s/kith.pid", folder);
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        if (kith_control_lock(lock, &pid) < 0)
            _exit(1);
        (void)!write(fds[1], "x", 1);
        pause();
    }
    char byte;
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(kith_control_lock(lock, &pid), -EWOULDBLOCK);
    assert_int_equal(pid, child);
    assert_false(kith_control_wait_unlocked(lock, 40));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_true(kith_control_wait_unlocked(lock, 1000));
    int fd = kith_control_lock(lock, &pid);
    assert_true(fd >= 0);
    close(fd);
    close(fds[0]);
    close(fds[1]);
    unlink(lock);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/control.sock", folder);
    signal(SIGPIPE, SIG_IGN);
    return uv_loop_init(&loop);
}

static int tear_down(void **state)
{
    (void)state;
    (void)rmdir(folder);
    return uv_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_process_holds_the_lock_and_death_releases_it),
        cmocka_unit_test(lines_are_answered_whole_or_in_pieces),
        cmocka_unit_test(a_line_that_is_too_long_costs_itself_only),
        cmocka_unit_test(a_half_closed_client_gets_its_answers),
        cmocka_unit_test(a_client_that_is_gone_has_its_calls_cancelled),
        cmocka_unit_test(who_does_not_read_is_cut_off),
        cmocka_unit_test(clients_have_a_cap),
        cmocka_unit_test(a_socket_left_behind_is_replaced),
        cmocka_unit_test(a_path_longer_than_a_socket_address_works),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
