/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages as the control socket has them: what is to be said, out of params; and what came, into events. docs/protocols/control.md */
#ifndef KITH_HOST_MESSAGE_JSON_H
#define KITH_HOST_MESSAGE_JSON_H

#include <jansson.h>

#include "host/rpc.h"
#include "host/trust_store.h"
#include "wire/message.h"

#define KITH_MESSAGE_SHOWN_MAX 4096 /* bytes of a text in what is brief */

json_t *kith_messages_id(const uint8_t id[KITH_MESSAGE_ID_LEN]);
bool kith_messages_id_parse(const char *text, uint8_t out[KITH_MESSAGE_ID_LEN]);

/* message peer name trust type priority time ttl received is_text bytes, text or base64, reply_to where there is one; event. Of a message that
 * has no type (KITH_TOPIC_RAW) only what it has. brief: no more than the beginning of a text, nothing of what is none, and whole (bool). */
json_t *kith_json_message(const kith_trust *trust, const kith_message *m, const char *event,
                          uint64_t received, bool brief);

/* What params say of a message. */
typedef struct kith_message_given {
    kith_message head; /* type and payload, which are views of: */
    char type[KITH_MESSAGE_TYPE_MAX + 1];
    uint8_t *payload; /* the caller's to free; NULL: none */
    int64_t wait_ms;  /* -1: without end */
} kith_message_given;

/* text or base64 with is_text, type, priority, ttl (seconds, ttl_max at most), reply_to, wait_ms. NULL, or what is wrong, with *e: KITH_EFORMAT, KITH_ELIMIT,
 * KITH_ENOMEM. g->payload may be there even then. */
const char *kith_message_given_of(const json_t *params, uint32_t ttl_max, size_t payload_max,
                                  kith_message_given *g, kith_err *e);
/* Ends a call whose params say something that cannot be. */
void kith_message_refuse(kith_rpc_call *call, kith_err e, const char *wrong);

#endif
