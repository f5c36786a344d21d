/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How a fetch or a shared stream ends. */
#ifndef KITH_CMD_GET_RESULT_H
#define KITH_CMD_GET_RESULT_H

#include "host/share_fetch.h"

/* As an exit code, and as the events of --json and the history call it: "ok", "lost". */
int get_result_code(kith_share_fetch_why why);
const char *get_result_name(kith_share_fetch_why why);

#endif
