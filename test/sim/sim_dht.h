/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kademlia in scenarios: each node has it, asks it for what the scenario says, and every answer is compared with what is really there.
 *
 * Right is a lookup that finds the nearest of the servers that have been up for a minute on the asker's side of the network. Who is looked
 * for by its id, or has asked, and goes meanwhile, does not count. */
#ifndef SIM_DHT_H
#define SIM_DHT_H

#include "sim_scenario.h"
#include "sim_world.h"

typedef struct sim_dht sim_dht;

sim_dht *sim_dht_new(const sim_scenario *sc, sim *world);
void sim_dht_free(sim_dht *d); /* after the world */
/* Hosts are told of in the order of their index. It has come up, again or for the first time; it goes. */
void sim_dht_up(sim_dht *d, sim_host *h);
void sim_dht_down(sim_dht *d, sim_host *h);
void sim_dht_set_side(sim_dht *d, sim_host *h, unsigned side);
/* The network was split, or joined again. */
void sim_dht_split(sim_dht *d, bool is_split);

void sim_dht_lookup(sim_dht *d, sim_host *h);
void sim_dht_find(sim_dht *d, sim_host *h);
void sim_dht_value(sim_dht *d, sim_host *h);

void sim_dht_measure(sim_dht *d, int64_t value[SIM_METRICS]);

#endif
