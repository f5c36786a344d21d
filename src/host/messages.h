/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sending and receiving messages: the methods message.send, message.outbox and message.listen of host/service.h, the outbox that is tried again
 * and again, and the receiving side of KITH_MESSAGE_PROTOCOL. docs/protocols/message.md, control.md
 *
 * Caps: the outbox's (apps/outbox.h), the door's (apps/message_stream.h), the file's (host/message_store.h), KITH_LISTENERS_MAX listeners. */
#ifndef KITH_HOST_MESSAGES_H
#define KITH_HOST_MESSAGES_H

#include "apps/message_stream.h"
#include "host/book.h"
#include "host/dht.h"
#include "host/histogram.h"
#include "host/lan.h"
#include "host/message_store.h"
#include "host/rpc.h"
#include "host/trust_store.h"

#define KITH_LISTENERS_MAX 32
#define KITH_OUTBOX_SHOWN_MAX 1000 /* of the oldest messages, in one answer */

#define KITH_MESSAGE_KINDS 11 /* kith_message_types, and all others together */

typedef struct kith_messages kith_messages;

typedef struct kith_messages_counts {
    uint64_t received[KITH_MESSAGE_KINDS];     /* stored, by type */
    uint64_t answered[KITH_MESSAGE_AHEAD + 1]; /* those that came, by our answer */
    uint64_t delivered[KITH_MESSAGE_KINDS];    /* of ours, confirmed */
    uint64_t refused, expired;                 /* of ours, otherwise over */
    kith_histogram delivery;                   /* from the sealing to the receiver's word */
    size_t waiting, waiting_bytes, listeners;
} kith_messages_counts;

typedef struct kith_messages_config {
    kith_host *host;
    kith_book *book; /* these four may be NULL */
    kith_lan *lan;
    kith_dht *dht;
    kith_trust *trust;
    const kith_signer *signer;
    kith_message_store
        *store; /* NULL: nothing is kept; then nothing is received, and what cannot be delivered now fails */
    bool standing; /* has an outbox; else what cannot be delivered now fails */
    uint32_t rate; /* messages a minute of one peer */
    /* What nobody waits for: events message, message_delivered, message_refused, message_expired. Borrowed. May be NULL. */
    void (*tell)(void *ctx, const json_t *event);
    void *tell_ctx;
} kith_messages_config;

/* Serves the protocol and takes up what the outbox holds. NULL: no memory. */
kith_messages *kith_messages_new(const kith_messages_config *cfg);
/* There was no memory, or the file cannot be read: only to be closed and freed. */
bool kith_messages_failed(const kith_messages *m);
kith_messages_counts kith_messages_count(const kith_messages *m);
/* Ends what is under way; while the loop still runs. What waits stays in the file. NULL is fine. */
void kith_messages_close(kith_messages *m);
void kith_messages_free(kith_messages *m); /* after the loop */

void kith_messages_run_send(kith_messages *m, kith_rpc_call *call, const json_t *params);
void kith_messages_run_outbox(kith_messages *m, kith_rpc_call *call, const json_t *params);
void kith_messages_run_listen(kith_messages *m, kith_rpc_call *call, const json_t *params);

#endif
