/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith share -: what comes from stdin, to the first who has the code. */
#ifndef KITH_CMD_SHARE_STREAM_H
#define KITH_CMD_SHARE_STREAM_H

#include "cmd/cmd.h"

bool share_stream_wanted(const cmd_args *args);
int share_stream_run(const cmd_args *args);

#endif
