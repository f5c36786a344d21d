/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The console's history on the disk. It is written anew after each line and put in the place of the old one, so that neither a crash nor a full
 * disk leaves half of it. */
#include "cmd/console_history.h"

#include <editline/readline.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "host/paths.h"

static char path[KITH_PATH_MAX], next_path[KITH_PATH_MAX + 8]; /* "": it is not kept */

void console_history_load(void)
{
    using_history();
    stifle_history(CONSOLE_HISTORY_MAX);
    if (!kith_path(KITH_PLACE_STATE, "history", path)) {
        path[0] = '\0';
        return;
    }
    snprintf(next_path, sizeof next_path, "%s.new", path);
    (void)read_history(path); /* there is none yet, or it is somebody's joke: then it begins anew */
}

static bool save(void)
{
    /* Made before libedit writes it, so that it is nobody else's for a moment either. */
    (void)unlink(next_path);
    int fd = open(next_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    close(fd);
    int bad = write_history(next_path);
    if (!bad && rename(next_path, path) == 0)
        return true;
    if (bad > 0)
        errno = bad;
    bad = errno;
    (void)unlink(next_path);
    errno = bad;
    return false;
}

void console_history_add(const char *line)
{
    static bool told;
    const HIST_ENTRY *last = history_length > 0 ? history_get(history_base + history_length - 1) : NULL;
    if (line[0] == '\0' || line[0] == ' ' || (last && strcmp(last->line, line) == 0))
        return;
    add_history(line);
    if (!path[0] || save()) {
        told = false;
        return;
    }
    if (!told)
        cmd_warn("the console's history %s cannot be written: %s", path, strerror(errno));
    told = true;
}
