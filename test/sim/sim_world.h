/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The simulator: many nodes in one thread under virtual time, joined by a seeded network with latency, bandwidth, partitions, resets
 * and half-open connections. The second host of the node, beside libuv's; given the same seed and calls it does the same things. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "node/node.h"

typedef struct sim sim;
typedef struct sim_host sim_host;

/* What a test does with a host's events; called after the host has acted on DIAL, RESOLVE and CLOSE. */
typedef void (*sim_watch)(void *ctx, sim_host *h, const kith_node_event *ev);

typedef struct sim_path {
    kith_time latency;  /* one way */
    uint64_t bandwidth; /* bytes per second each way; 0: unlimited */
    size_t buffer;      /* bytes a socket takes before it is full */
} sim_path;

sim *sim_new(uint64_t seed);
void sim_free(sim *s); /* checks that every host's memory came back */
kith_time sim_now(const sim *s);
uint64_t sim_random(sim *s);
/* What holds between all hosts from now on; default 10 ms, unlimited, 256 KiB. */
void sim_set_path(sim *s, sim_path p);

/* A node at 10.0.x.y, TCP port 4001. cfg: NULL for defaults; its env and signer are ignored. */
sim_host *sim_add(sim *s, const kith_node_config *cfg);
kith_node *sim_node(sim_host *h);
const kith_maddr *sim_addr(const sim_host *h); /* with /p2p */
void sim_set_watch(sim_host *h, sim_watch fn, void *ctx);
void sim_set_user(sim_host *h, void *user);
void *sim_user(const sim_host *h);
sim_host *sim_host_at(sim *s, size_t i);
size_t sim_host_index(const sim_host *h);
const kith_env *sim_env(sim_host *h);
/* What a name stands for, for RESOLVE events. */
void sim_set_name(sim *s, const char *text, const kith_maddr *addr);

/* Faults. */
void sim_partition(sim *s, sim_host *a, sim_host *b,
                   bool on);                          /* nothing passes; connections stay, as TCP's do */
void sim_reset_all(sim *s, sim_host *a, sim_host *b); /* RST to both ends of every connection between them */
void sim_vanish(sim_host *h); /* the machine loses power: its peers hear nothing more */
void sim_fail_alloc_after(
    sim_host *h, int64_t n); /* the nth allocation from now fails, and all after it; negative: never */

/* Tells the host's node what changed outside (after kith_node_dial, open, wake ...). */
void sim_drive(sim_host *h);
/* Runs until nothing is due before `until`, or nothing is left at all. Checks invariants of every host it touches. */
void sim_run(sim *s, kith_time until);
/* Runs until the predicate holds; false: `until` came first. */
bool sim_run_until(sim *s, kith_time until, bool (*done)(void *ctx), void *ctx);

/* Of everything that was delivered and told so far: equal runs have equal hashes. */
uint64_t sim_hash(const sim *s);
uint64_t sim_steps(const sim *s);
size_t sim_memory(const sim_host *h); /* bytes that the host's node holds */

/* Dials b from a and runs until both ends are identified, or 30 s. The connection at a, or NULL. */
kith_conn *sim_connect(sim *s, sim_host *a, sim_host *b);

#endif
