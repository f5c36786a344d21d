/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* stdin and stdout of a shared stream. */
#include "cmd/stream_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/share_text.h"

static int take(int fd, bool use)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || !use)
        return null < 0 ? -errno : null;
    int got = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (got < 0 || dup2(null, fd) < 0)
        got = -errno;
    (void)close(null);
    return got;
}

/* Takes stdin and stdout for a stream: they get other numbers, and /dev/null stands in their place. A way that is not used is /dev/null
 * from the start. < 0 in *in: -errno. */
static void take_both(bool use_in, bool use_out, int *in, int *out)
{
    *in = take(STDIN_FILENO, use_in);
    *out = *in < 0 ? *in : take(STDOUT_FILENO, use_out);
    if (*in >= 0 && *out < 0) {
        (void)close(*in);
        *in = *out;
    }
}

int stream_io_join(kith_host *h, kith_list *joints, kith_stream *s, kith_pipe *p, bool use_in, bool use_out,
                   kith_joint_done done, void *ctx)
{
    int in, out;
    take_both(use_in, use_out, &in, &out);
    if (in >= 0)
        return kith_joint_fds(h, joints, s, p, in, out, done, ctx);
    kith_pipe_free(p);
    kith_node_reset(kith_host_node(h), kith_host_now(h), s);
    const kith_joint_end how = {.local_err = in};
    done(ctx, &how);
    return in;
}

kith_share_fetch_why stream_io_why(const kith_joint_end *how, const char *whose, char text[256])
{
    text[0] = 0;
    if (how->local_err == UV_EPIPE)
        return KITH_FETCH_ENOUGH; /* whoever read our output */
    if (how->local_err) {
        (void)snprintf(text, 256, "the stream was given up: %s", uv_strerror(how->local_err));
        return KITH_FETCH_DISK;
    }
    switch ((int)how->stream_err) {
    case KITH_OK:
        return KITH_FETCH_OK;
    case KITH_ECRYPTO:
        (void)snprintf(text, 256, "what came is not all of what the %s sent, or something else", whose);
        return KITH_FETCH_DAMAGED;
    case KITH_EPROTO:
        (void)snprintf(text, 256, "the %s broke the protocol", whose);
        return KITH_FETCH_DAMAGED;
    case KITH_ENOMEM:
        (void)snprintf(text, 256, "no memory");
        return KITH_FETCH_FAILED;
    default:
        (void)snprintf(text, 256, "the %s went away before the end: what came is not whole", whose);
        return KITH_FETCH_LOST;
    }
}

bool stream_io_refuses(const cmd_args *args)
{
    if (!isatty(STDOUT_FILENO) || cmd_has(args, "force"))
        return false;
    cmd_warn(
        "%s: stdout is a terminal, and what comes may be anything: send it to a program or a file (| or >), or "
        "pass --force",
        args->cmd->name);
    return true;
}

json_t *stream_io_list(const char *kind, bool moving, const char *path, bool pq)
{
    return json_pack("{s:s, s:s, s:b, s:s, s:s, s:b}", "kind", kind, "what", "-", "stream", 1, "state",
                     moving ? "streaming" : "waiting", "path", path, "pq", (int)pq);
}

const char *stream_io_sum(uint64_t bytes, kith_time took, char out[192])
{
    char size[SHARE_TEXT_MAX], time[SHARE_TEXT_MAX], speed[SHARE_TEXT_MAX];
    (void)snprintf(out, 192, "%s in %s, %s", share_text_size(bytes, size), share_text_time(took, time),
                   share_text_speed(bytes, took, speed));
    return out;
}

const char *stream_io_paused(void *ctx, uint64_t n, bool on)
{
    (void)ctx, (void)n, (void)on;
    return "a stream is not paused; it can be limited";
}
