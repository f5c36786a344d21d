/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Our ends of a shared stream: stdin and stdout, as far as they are used, and how it ended. */
#ifndef KITH_CMD_STREAM_IO_H
#define KITH_CMD_STREAM_IO_H

#include "apps/share_stream.h"
#include "cmd/session.h"
#include "host/joint.h"
#include "host/share_history.h"

/* Joins them, also to be closed on failure. 0, or a uv error; done is called in any case. */
int stream_io_join(kith_host *h, kith_list *joints, kith_stream *s, kith_pipe *p, bool use_in, bool use_out,
                   kith_joint_done done, void *ctx);

/* The exit code, and a line that says what went wrong (empty: nothing did). whose: "sharer" or "receiver". */
int stream_io_code(const kith_joint_end *how, const char *whose, char text[256]);
/* Whether stdout is a terminal and --force was not given: then it has complained. */
bool stream_io_refuses(const cmd_args *args);
/* What kith transfers is told of it. path: "" before there is anybody. */
json_t *stream_io_list(const char *kind, bool moving, const char *path, bool pq);
/* Writes one that is over into the history, with what `past` does not say: when, with whom, and that it has no folder. */
void stream_io_remember(const session *s, const kith_peer_id *peer, kith_share_past past);
/* How the history calls an end: "ok", "enough" (whoever reads our output had it), "stopped", or what went wrong. */
const char *stream_io_result(const kith_joint_end *how, int code);
/* "1.2 GiB in 0:03, 400 MB/s". */
const char *stream_io_sum(uint64_t bytes, kith_time took, char out[192]);

/* Why a stream is not paused, as job_ops has it. */
const char *stream_io_paused(void *ctx, uint64_t n, bool on);

#endif
