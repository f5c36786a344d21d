/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How a gossipsub router judges its peers: the score function, as arithmetic on counters. gossipsub v1.1, "The Score Function", with the two
 * refinements that go-libp2p-pubsub deploys: P7 is the square of what exceeds a threshold, and P3 counts near-first deliveries in a window.
 *
 *   score = min(cap, sum over topics of w * (w1 P1 + w2 P2 + w3 P3 + w3b P3b + w4 P4)) + w5 P5 + w6 P6 + w7 P7
 *
 *   P1  time in the mesh, in quanta, capped             P4  square of the invalid messages
 *   P2  messages that came first from it, capped        P5  what the application says
 *   P3  square of what its deliveries in the mesh       P6  square of how many peers beyond a threshold share its address
 *       lack of a threshold, once active                P7  square of its misbehaviour beyond a threshold
 *   P3b what P3 was when it left the mesh, sticky
 *
 * Counters decay by a factor at each interval, and are zero below to_zero. */
#ifndef KITH_MESH_GOSSIP_SCORE_H
#define KITH_MESH_GOSSIP_SCORE_H

#include "base/env.h"
#include "base/err.h"

/* Of one topic. Weights 0: that part is off. */
typedef struct kith_gossip_topic_params {
    double weight;                               /* of the topic, >= 0 */
    double mesh_weight, mesh_cap;                /* P1, >= 0 */
    kith_time mesh_quantum;                      /* > 0 */
    double first_weight, first_decay, first_cap; /* P2, >= 0; decays in (0, 1) */
    double rate_weight, rate_decay, rate_cap;    /* P3: weight <= 0 */
    double rate_threshold;                       /* <= rate_cap */
    kith_time rate_window;                       /* after a message was found valid */
    kith_time rate_activation;                   /* in the mesh, before P3 counts */
    double failure_weight, failure_decay;        /* P3b: weight <= 0 */
    double invalid_weight, invalid_decay;        /* P4: weight <= 0 */
} kith_gossip_topic_params;

typedef struct kith_gossip_score_params {
    kith_gossip_topic_params topic; /* of every topic that we have joined, unless it has its own */
    double topic_cap;               /* of all topics together, > 0; 0: none */
    double app_weight;              /* P5 */
    double ip_weight;               /* P6, <= 0 */
    uint32_t ip_threshold;          /* >= 1 */
    double behaviour_weight, behaviour_threshold, behaviour_decay; /* P7: weight <= 0 */
    kith_time decay_every;
    double to_zero;   /* in (0, 1) */
    kith_time retain; /* how long a score that is not positive outlives the connection */
    /* Thresholds. Below 0 a peer is in no mesh. */
    double gossip;        /* below: no IHAVE and IWANT, either way; <= 0 */
    double publish;       /* below: gets nothing that we publish; <= gossip */
    double graylist;      /* below: nothing of it is looked at; <= publish */
    double accept_px;     /* below: peers that it sends us are not dialled; >= 0 */
    double opportunistic; /* the mesh's median below: better peers are grafted; >= 0 */
} kith_gossip_score_params;

/* A peer in a topic. All zero: nothing is known. */
typedef struct kith_gossip_stats {
    bool in_mesh, active;
    kith_time grafted_at, mesh_time;
    double first, rate, failure, invalid;
} kith_gossip_stats;

/* Defaults: docs/protocols/gossip.md, "Scores". P3 and P3b are off, since only an application knows its message rate. */
void kith_gossip_score_default(kith_gossip_score_params *p);
/* KITH_EFORMAT: something is outside of its range or no number; *why says what. */
KITH_CHECK kith_err kith_gossip_score_check(const kith_gossip_score_params *p, const char **why);
KITH_CHECK kith_err kith_gossip_topic_check(const kith_gossip_topic_params *p, const char **why);
/* The factor by which a counter decays, each interval, so as to be below to_zero after so many. In (0, 1); ticks > 0. */
double kith_gossip_decay_over(uint32_t ticks, double to_zero);

void kith_gossip_grafted(kith_gossip_stats *s, kith_time now);
/* Left the mesh, in whatever way. */
void kith_gossip_pruned(kith_gossip_stats *s, const kith_gossip_topic_params *p);
/* Delivered a message first. */
void kith_gossip_first(kith_gossip_stats *s, const kith_gossip_topic_params *p);
/* Delivered one that others delivered before. since: how long ago it was found valid; 0: it is not yet. Counts within the window. */
void kith_gossip_near(kith_gossip_stats *s, const kith_gossip_topic_params *p, kith_time since);
void kith_gossip_invalid(kith_gossip_stats *s);
/* At each interval, while connected. */
void kith_gossip_stats_decay(kith_gossip_stats *s, const kith_gossip_topic_params *p, double to_zero,
                             kith_time now);
/* Disconnected, and its score is retained. */
void kith_gossip_stats_retain(kith_gossip_stats *s, const kith_gossip_topic_params *p);
double kith_gossip_counter_decay(double counter, double factor, double to_zero);

/* What one topic gives. */
double kith_gossip_topic_score(const kith_gossip_stats *s, const kith_gossip_topic_params *p);
/* P6 of one address: the square of the peers beyond the threshold. */
double kith_gossip_colocation(const kith_gossip_score_params *p, size_t peers);
/* All of it. topics: the sum of topic scores; app: P5; ip: the sum of P6; behaviour: P7's counter. */
double kith_gossip_score(const kith_gossip_score_params *p, double topics, double app, double ip,
                         double behaviour);

#endif
