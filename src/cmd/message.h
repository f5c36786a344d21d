/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What kith message, kith listen, kith up and its console have in common. */
#ifndef KITH_CMD_MESSAGE_H
#define KITH_CMD_MESSAGE_H

#include "base/env.h"
#include "cmd/call.h"

/* The call that sends content to a peer, with the options of args. content is copied. */
void message_call(const cmd_args *args, const char *peer, kith_bytes content, call *out);

/* The call that says content in a topic, which may begin with a #. */
void message_topic_call(const cmd_args *args, const char *topic, kith_bytes content, call *out);
/* A topic's name as it was typed, without its #. */
const char *message_topic(const char *name);

/* The call that joins or leaves a topic. */
void topics_call(const cmd_args *args, const char *name, bool in, call *out);

/* An event of messages (host/messages.h, host/topics.h) as lines for people: one that came, or what became of one that was sent. */
void message_print(FILE *f, const json_t *event);

/* "90" (seconds), "90s", "15m", "24h" ... False: it is none. */
bool message_duration(const char *text, kith_time *out);

#endif
