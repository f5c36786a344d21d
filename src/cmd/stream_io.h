/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Our ends of a shared stream: stdin and stdout, as far as they are used, and how it ended. */
#ifndef KITH_CMD_STREAM_IO_H
#define KITH_CMD_STREAM_IO_H

#include "apps/share_stream.h"
#include "cmd/session.h"
#include "host/joint.h"
#include "host/share_fetch.h"

/* Joins them, also to be closed on failure. 0, or a uv error; done is called in any case. */
int stream_io_join(kith_host *h, kith_list *joints, kith_stream *s, kith_pipe *p, bool use_in, bool use_out,
                   kith_joint_done done, void *ctx);

/* How it ended, as a fetch does, and a line that says what went wrong (empty: nothing did). whose: "sharer" or "receiver". */
kith_share_fetch_why stream_io_why(const kith_joint_end *how, const char *whose, char text[256]);
/* Whether stdout is a terminal and --force was not given: then it has complained. */
bool stream_io_refuses(const cmd_args *args);
/* What kith transfers is told of it. path: "" before there is anybody. */
json_t *stream_io_list(const char *kind, bool moving, const char *path, bool pq);
/* "1.2 GiB in 0:03, 400 MB/s". */
const char *stream_io_sum(uint64_t bytes, kith_time took, char out[192]);

/* Why a stream is not paused, as job_ops has it. */
const char *stream_io_paused(void *ctx, uint64_t n, bool on);

#endif
