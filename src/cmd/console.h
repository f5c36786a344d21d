/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The console of `kith up`: a line editor on the terminal; a line is a command of the table that is one call. */
#ifndef KITH_CMD_CONSOLE_H
#define KITH_CMD_CONSOLE_H

#include "cmd/session.h"
#include "host/service.h"

typedef struct console console;

/* Takes the terminal on stdin. quit: the user wants the node to stop. NULL: no terminal, or no memory; no console then. */
console *console_open(session *s, kith_service *service, void (*quit)(void *ctx), void *ctx);
/* Around anything else that is printed, so that the line being typed stays whole. NULL is fine. */
void console_pause(console *c);
void console_resume(console *c);
/* Ctrl-C: true when it ended a command that was running. */
bool console_interrupt(console *c);
/* Gives the terminal back; while the loop still runs. NULL is fine. */
void console_close(console *c);
void console_free(console *c); /* after the loop */

#endif
