/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How a found peer is told to people, by kith discover and kith up. */
#ifndef KITH_CMD_DISCOVER_H
#define KITH_CMD_DISCOVER_H

#include <jansson.h>
#include <stdio.h>

/* ev: a peer_found event of host/discover.h. Without the time. */
void discover_line(FILE *f, const json_t *ev);

#endif
