/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the Tab key puts into the console: commands, their options, names of peers, topics. */
#ifndef KITH_CMD_CONSOLE_COMPLETE_H
#define KITH_CMD_CONSOLE_COMPLETE_H

#include "cmd/session.h"
#include "host/service.h"

/* Commands that only the console has; ended by NULL. */
extern const char *const console_words[];

/* For libedit, from now on. */
void console_complete_begin(const session *s, const kith_service *service);

#endif
