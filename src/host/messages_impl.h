/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What messages.c (receiving, listening) and messages_send.c (sending) share. */
#ifndef KITH_HOST_MESSAGES_IMPL_H
#define KITH_HOST_MESSAGES_IMPL_H

#include "apps/message_stream.h"
#include "apps/outbox.h"
#include "host/messages.h"
#include "mesh/replay.h"

struct kith_messages {
    kith_messages_config cfg;
    bool closed, failed;
    kith_observer watch;
    /* sending */
    kith_outbox *outbox;
    uint64_t next_age;
    kith_list posts;  /* all of them */
    uv_timer_t timer; /* of retries, ends and patience */
    uv_timer_t pages; /* of listeners who read slowly */
    /* receiving */
    kith_message_door *door;
    kith_replay *replay;
    kith_sink door_sink;
    kith_list arrivals; /* on their way to the disk */
    kith_list listeners;
    size_t listener_count;
    kith_messages_counts counts; /* but for the sizes */
};

void kith_messages_tell(const kith_messages *m, const json_t *event);
/* The petname, or "". */
const char *kith_messages_name(const kith_messages *m, const kith_peer_id *peer);
/* A type's place in kith_messages_counts. */
size_t kith_messages_kind(kith_bytes type);

kith_err kith_messages_send_begin(kith_messages *m);
void kith_messages_send_connected(kith_messages *m, const kith_peer_id *peer);
/* A message that waited when this node began. */
void kith_messages_send_again(kith_messages *m, const kith_peer_id *to, kith_bytes message, uint64_t age);
void kith_messages_send_start(kith_messages *m);
void kith_messages_send_close(kith_messages *m);
void kith_messages_send_free(kith_messages *m);

#endif
