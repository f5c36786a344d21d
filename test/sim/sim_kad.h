/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Networks of nodes with Kademlia in the simulator, and what came of their ops. */
#ifndef SIM_KAD_H
#define SIM_KAD_H

#include "mesh/kad.h"
#include "sim_world.h"

/* A host's part. It is made when the host goes on, and given back when that goes off. */
typedef struct sim_kad {
    sim_host *host;
    kith_kad *kad; /* NULL: off */
    kith_part puller;
    kith_kad_config cfg;
    kith_kad_key place;
    sim_host *boots[4]; /* whom it begins with */
    size_t boot_count;
    kith_time since;                                   /* it was started */
    bool away;                                         /* it has lost power: its part is there still */
    unsigned side;                                     /* of a split network */
    void (*told)(void *ctx, const kith_kad_event *ev); /* optional: every event */
    void *ctx;
} sim_kad;

/* The end of an op, as it was told; peers are copied. */
typedef struct sim_kad_end {
    bool done;
    kith_err err;
    kith_kad_peer peers[KITH_KAD_FOUND_MAX];
    size_t peer_count;
    uint8_t value[KITH_KAD_VALUE_MAX];
    size_t value_len;
    unsigned reached;
    kith_kad_lookup_facts lookup;
    kith_time took;
} sim_kad_end;

/* Default settings for simulated hosts: cfg may be changed before the host starts. */
void sim_kad_init(sim_kad *k, sim_host *h, bool server);
/* Whom it begins with; before sim_kad_start. */
void sim_kad_know(sim_kad *k, sim_host *other);
/* Attaches a new part to the host, which is on. */
void sim_kad_start(sim_kad *k);
/* The same. False: there was no memory. */
bool sim_kad_try(sim_kad *k);
/* Tells it once more whom it begins with, for which there may have been no memory. */
void sim_kad_boot(sim_kad *k);
/* Runs until an op is over, or its time. */
void sim_kad_wait(sim *s, sim_kad *k, uint64_t op, sim_kad_end *end);

/* The indices of the n servers nearest to a key among count, by distance: those that are on, on the asker's side, started at `before` or
 * earlier, and without the asker. SIZE_MAX: there are no more. */
void sim_kad_truth(const sim_kad *all, size_t count, const sim_kad *asker, kith_time before, kith_bytes key,
                   size_t *out, size_t n);
/* How many of the n that are really nearest are among the peers that were found; *of (optional): how many of them there are. */
size_t sim_kad_right(const sim_kad *all, size_t count, const sim_kad *asker, kith_time before, kith_bytes key,
                     const kith_kad_peer *found, size_t found_count, size_t n, size_t *of);

/* A namespace for trying things: "/number/...", values of one byte, the greatest is the best. */
extern const kith_kad_namespace sim_kad_number;

#endif
