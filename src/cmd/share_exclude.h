/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What kith share is told to leave out: --exclude and --exclude-from. */
#ifndef KITH_CMD_SHARE_EXCLUDE_H
#define KITH_CMD_SHARE_EXCLUDE_H

#include "apps/share_select.h"
#include "cmd/cmd.h"

typedef struct share_exclude {
    const char *patterns[KITH_SIEVE_PATTERNS]; /* of the command line, or in a text */
    size_t count;
    char *texts[CMD_VALUES_MAX]; /* of files */
    size_t text_count;
} share_exclude;

/* e: zeroed; strings live as long as args. EXIT_OK, or it has complained; to be freed in any case. */
int share_exclude_read(const cmd_args *args, share_exclude *e);
void share_exclude_free(share_exclude *e);

#endif
