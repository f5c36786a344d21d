/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Gossip in scenarios: everybody is in one topic, publishes at the scenario's intervals, and who has heard what is counted.
 *
 * A message should reach whoever came up at least 15 s before it and is still up 30 s after it; then it is judged. One that was published while
 * the network was split should reach those on its author's side; who hears it on the other one, by the end, is counted apart. */
#ifndef SIM_TALK_H
#define SIM_TALK_H

#include "sim_scenario.h"
#include "sim_world.h"

typedef struct sim_talk sim_talk;

sim_talk *sim_talk_new(const sim_scenario *sc, sim *world);
void sim_talk_free(sim_talk *t); /* before the world */
/* As those of sim_dht.h, but the side is that of the split, also after it. */
void sim_talk_up(sim_talk *t, sim_host *h);
void sim_talk_down(sim_talk *t, sim_host *h);
void sim_talk_set_side(sim_talk *t, sim_host *h, unsigned side);
void sim_talk_split(sim_talk *t, bool is_split);

void sim_talk_publish(sim_talk *t, sim_host *h, uint64_t bytes);

void sim_talk_measure(sim_talk *t, int64_t value[SIM_METRICS]);

#endif
