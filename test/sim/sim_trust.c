/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Trust on first use, of one peer. */
#include "sim_trust.h"

#include <string.h>

static kith_err ask(void *ctx, const kith_contact *c, char why[KITH_REASON_MAX])
{
    sim_trust *t = ctx;
    kith_trust_row next;
    kith_err e = kith_trust_decide(t->known ? &t->row : NULL, c, KITH_PQ_PREFER, 1800000000, &next, why);
    if (e) {
        memcpy(t->why, why, sizeof t->why);
        return e;
    }
    t->row = next;
    t->known = true;
    return KITH_OK;
}

static kith_pq_policy policy_of(void *ctx, const kith_peer_id *peer)
{
    (void)peer;
    return ((const sim_trust *)ctx)->policy;
}

void sim_trust_by(kith_node_config *cfg, sim_trust *t)
{
    cfg->trust = ask;
    cfg->policy = policy_of;
    cfg->trust_ctx = t;
}
