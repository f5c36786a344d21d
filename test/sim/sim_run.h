/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Runs a scenario: nodes join, keep their links, do their work, leave and come back; in the end everybody closes and what is left is
 * counted. A protocol that wants to be in scenarios gets a row in the table of works in sim_run.c and a key in sim_scenario.c. */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "sim_scenario.h"

typedef struct sim_result {
    int64_t value[SIM_METRICS];
    uint64_t hash; /* of everything: equal in equal runs */
    uint64_t
        shape; /* without contents: equal also with other cryptography, as long as no two nodes dial each other at once */
} sim_result;

/* trace: NULL, or where a line for each delivery goes. */
void sim_scenario_run(const sim_scenario *sc, FILE *trace, sim_result *out);

#endif
