/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What was typed into the console, kept over restarts: the file `history` in the state folder, mode 0600, CONSOLE_HISTORY_MAX lines. */
#ifndef KITH_CMD_CONSOLE_HISTORY_H
#define KITH_CMD_CONSOLE_HISTORY_H

#define CONSOLE_HISTORY_MAX 500 /* lines */

/* Into libedit's history. */
void console_history_load(void);
/* A line that was typed: one that begins with a space is forgotten, and so is one that is the same as the last. */
void console_history_add(const char *line);

#endif
