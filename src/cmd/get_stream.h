/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith get -o -: a shared stream, or the one file of a share, to stdout. */
#ifndef KITH_CMD_GET_STREAM_H
#define KITH_CMD_GET_STREAM_H

#include "cmd/cmd.h"

bool get_stream_wanted(const cmd_args *args);
int get_stream_run(const cmd_args *args);

#endif
