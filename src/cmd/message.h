/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What kith message, kith listen, kith up and its console have in common. */
#ifndef KITH_CMD_MESSAGE_H
#define KITH_CMD_MESSAGE_H

#include "base/env.h"
#include "cmd/call.h"

/* The call that sends content to a peer, with the options of args. content is copied. */
void message_call(const cmd_args *args, const char *peer, kith_bytes content, call *out);

/* An event of messages (host/messages.h) as lines for people: one that came, or what became of one that was sent. */
void message_print(FILE *f, const json_t *event);

/* "90" (seconds), "90s", "15m", "24h" ... False: it is none. */
bool message_duration(const char *text, kith_time *out);

#endif
