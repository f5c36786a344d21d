/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Joins a pipe machine's stream to file descriptors, or to a command that it runs: bytes both ways, half-close both ways, and neither side
 * is read faster than the other takes it. */
#ifndef KITH_HOST_JOINT_H
#define KITH_HOST_JOINT_H

#include "apps/pipe.h"
#include "base/list.h"
#include "host/host.h"

typedef struct kith_joint_end {
    kith_err stream_err; /* how the stream ended */
    bool last_word; /* the peer had ended its half before we ended ours: nothing tells when it has read all */
    int local_err;  /* uv error of the local side, or 0; UV_EPIPE: whoever read our output went away */
    int exit_status; /* of the command; 0 without one */
    int term_signal;
    uint64_t sent, received;
} kith_joint_end;

/* Called once, when the stream is over, all output is written and the command has ended, or when it could not begin; the joint is freed
 * afterwards. */
typedef void (*kith_joint_done)(void *ctx, const kith_joint_end *how);

/* Takes over the owner's hold on the machine, and in and out, also on failure; sets the stream's user. out is closed, which is its
 * reader's EOF, when the peer's last byte is written. Neither may be 0, 1 or 2, which libuv does not close. The joint is in `group`, a
 * list of the caller's, until it is done. 0, or a uv error. */
int kith_joint_fds(kith_host *h, kith_list *group, kith_stream *s, kith_pipe *p, int in, int out,
                   kith_joint_done done, void *ctx);
/* Runs argv[0] (looked up in PATH) with the stream as its stdin and stdout. env KITH_PEER names the peer. A stream that breaks off ends
 * the command: SIGTERM, and SIGKILL three seconds later. */
int kith_joint_command(kith_host *h, kith_list *group, kith_stream *s, kith_pipe *p, const char *const *argv,
                       kith_joint_done done, void *ctx);
/* Gives up all of a group: resets the streams, drops what is not written, ends the commands; done follows for each. */
void kith_joint_cancel_all(kith_list *group);

#endif
