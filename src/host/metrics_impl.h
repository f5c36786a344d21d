/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What metrics.c gathers and metrics_table.c reads. */
#ifndef KITH_HOST_METRICS_IMPL_H
#define KITH_HOST_METRICS_IMPL_H

#include "host/metrics.h"

#define KITH_METRICS_CHANNELS 16 /* more than there are suites */
#define KITH_METRICS_ERRORS (KITH_EIO + 1)

/* What was: connections that are gone, and what happened once. */
typedef struct kith_metrics_past {
    uint64_t opened[2], closed; /* [0] inbound, [1] outbound */
    uint64_t resumed, rekeys, bytes_in, bytes_out;
    uint64_t refused[KITH_METRICS_ERRORS], failed[KITH_METRICS_ERRORS]; /* inbound; dials */
    kith_histogram handshakes;
} kith_metrics_past;

/* What is, and what was with it. */
typedef struct kith_metrics_view {
    const kith_metrics_sources *from;
    kith_metrics_past past; /* with what is open now */
    kith_usage usage;
    uint32_t peers, pq_peers, pq_conns;
    uint32_t qkd[KITH_QKD_STATE_FAILED + 1];
    struct {
        const kith_noise_suite *suite;
        uint32_t conns[2];
    } channels[KITH_METRICS_CHANNELS];
    kith_histogram rtt;
    kith_messages_counts messages;
    kith_gossip *router; /* NULL: no gossip; then `gossip` is nothing */
    kith_gossip_counts gossip;
    bool dht, dht_server; /* it has begun; it serves */
    kith_kad_facts kad;   /* nothing before it has begun */
} kith_metrics_view;

#endif
