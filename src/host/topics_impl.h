/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What topics.c (being in topics, hearing) and topics_say.c (saying) share. */
#ifndef KITH_HOST_TOPICS_IMPL_H
#define KITH_HOST_TOPICS_IMPL_H

#include "base/list.h"
#include "host/topics.h"

struct kith_topics {
    kith_topics_config cfg;
    kith_gossip_part *part;
    kith_topic_door *door;
    bool closed;
    /* hearing */
    kith_list subs; /* topics that we are in */
    size_t sub_count;
    kith_list listeners;
    size_t listener_count;
    uint64_t fates[KITH_TOPIC_FATES];
    /* saying */
    kith_list posts;
    size_t post_count;
    uv_timer_t timer; /* of posts that wait for somebody to be there */
};

/* The topic that a method is about, or an empty view: answered already. */
kith_bytes kith_topics_name(kith_rpc_call *call, const json_t *params);
/* What we have said ourselves: for those who listen here. */
void kith_topics_said(kith_topics *t, const kith_message *m, bool raw);

void kith_topics_say_close(kith_topics *t);
void kith_topics_say_free(kith_topics *t);

#endif
