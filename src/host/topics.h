/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Topics of a running node: a gossipsub router beside it, the messages said in them, and the methods topics.list, topics.subscribe,
 * topics.unsubscribe, topics.publish and topics.listen of host/service.h. docs/protocols/message.md, control.md
 *
 * Nothing of a topic is kept on the disk: who does not listen has not heard it.
 *
 * Caps: KITH_TOPICS_MAX topics that we are in, KITH_TOPIC_LISTENERS_MAX listeners with KITH_TOPIC_HEARD_MAX topics each, of which one who reads
 * slowly misses messages and is told how many; KITH_TOPIC_POSTS_MAX messages that are about to leave; the router's (docs/protocols/gossip.md) and
 * the door's (apps/topic.h). */
#ifndef KITH_HOST_TOPICS_H
#define KITH_HOST_TOPICS_H

#include "apps/topic.h"
#include "crypto/pqsign.h"
#include "host/host.h"
#include "host/rpc.h"
#include "host/trust_store.h"
#include "mesh/gossip_part.h"

#define KITH_TOPICS_MAX 128
#define KITH_TOPIC_LISTENERS_MAX 32
#define KITH_TOPIC_HEARD_MAX 16
#define KITH_TOPIC_POSTS_MAX 64

typedef struct kith_topics kith_topics;

typedef struct kith_topics_config {
    kith_host *host;
    kith_trust *trust; /* may be NULL */
    const kith_signer *signer;
    const kith_pq_signer *pq_signer; /* NULL: messages are not signed post-quantum */
    uint32_t rate;                   /* messages a minute of one author */
    /* Events topic_message of the topics that were subscribed to. Borrowed. May be NULL. */
    void (*tell)(void *ctx, const json_t *event);
    void *tell_ctx;
} kith_topics_config;

/* Serves gossip. NULL: *why. */
kith_topics *kith_topics_new(const kith_topics_config *cfg, const char **why);
/* Leaves; ends what is under way. While the loop still runs. NULL is fine. */
void kith_topics_close(kith_topics *t);
void kith_topics_free(kith_topics *t); /* after the loop; the host may be gone */

/* As topics.subscribe. NULL, or what is wrong. */
const char *kith_topics_subscribe(kith_topics *t, kith_bytes name);
/* The names that were subscribed to, in that order: begin with NULL. Valid until one is left. */
const char *kith_topics_next(const kith_topics *t, const char *name);
/* For whoever counts; NULL once closed. */
kith_gossip *kith_topics_router(const kith_topics *t);
/* Messages that came, by what became of them. */
uint64_t kith_topics_count(const kith_topics *t, kith_topic_fate f);

void kith_topics_run_list(kith_topics *t, kith_rpc_call *call, const json_t *params);
void kith_topics_run_subscribe(kith_topics *t, kith_rpc_call *call, const json_t *params);
void kith_topics_run_unsubscribe(kith_topics *t, kith_rpc_call *call, const json_t *params);
void kith_topics_run_publish(kith_topics *t, kith_rpc_call *call, const json_t *params);
void kith_topics_run_listen(kith_topics *t, kith_rpc_call *call, const json_t *params);

#endif
