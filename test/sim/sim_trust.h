/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A node that remembers one peer, as node/trust.h decides. */
#ifndef SIM_TRUST_H
#define SIM_TRUST_H

#include "node/trust.h"

typedef struct sim_trust {
    kith_trust_row row;
    bool known;
    kith_pq_policy policy;     /* of the peer alone */
    char why[KITH_REASON_MAX]; /* the last refusal */
} sim_trust;

/* A node of this configuration asks t for its decision, and for the peer's own policy. */
void sim_trust_by(kith_node_config *cfg, sim_trust *t);

#endif
