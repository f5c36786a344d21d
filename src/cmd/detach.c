/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The background. */
#include "cmd/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/cmd.h"

int detach_begin(int *ready)
{
    int fds[2];
    if (pipe(fds))
        return cmd_fail(EXIT_FAILED, "cannot detach: %s", strerror(errno));
    (void)fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return cmd_fail(EXIT_FAILED, "cannot detach: %s", strerror(errno));
    if (pid == 0) {
        close(fds[0]);
        setsid();
        *ready = fds[1];
        return -1;
    }
    close(fds[1]);
    char byte;
    ssize_t n;
    while ((n = read(fds[0], &byte, 1)) < 0 && errno == EINTR)
        ;
    close(fds[0]);
    if (n == 1)
        return EXIT_OK;
    int status = 0;
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
        return WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILED;
    return cmd_fail(EXIT_FAILED, "the node ended before it was ready");
}

static int open_log(const char *log)
{
    return open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

void detach_turn_log(const char *log)
{
    struct stat st;
    char old[4096];
    if (fstat(STDOUT_FILENO, &st) || st.st_size <= DETACH_LOG_MAX ||
        snprintf(old, sizeof old, "%s.1", log) >= (int)sizeof old || rename(log, old))
        return;
    int out = open_log(log);
    if (out < 0)
        return;
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(out, STDERR_FILENO);
    close(out);
}

int detach_ready(int ready, const char *log)
{
    int out = open_log(log);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (out < 0 || in < 0)
        return cmd_fail(EXIT_DISK, "cannot write the log file %s: %s", log, strerror(errno));
    fflush(NULL);
    char byte = 0;
    bool ok = dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0 &&
              write(ready, &byte, 1) == 1;
    close(in);
    close(out);
    close(ready);
    return ok ? EXIT_OK : EXIT_FAILED;
}
