/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Lines for a reader who may not read, or a file that may not grow: a pipe that stands still, or a full disk, must not hold up the node
 * that writes to it. What is not taken at once waits, up to OUTLET_MAX; lines that do not fit are dropped and counted, and when there is
 * room again it is told how many. */
#ifndef KITH_CMD_OUTLET_H
#define KITH_CMD_OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define OUTLET_MAX (64u * 1024)

typedef struct outlet outlet;

/* On stdout or stderr, which stays open. json: the notice is an event. NULL: no memory. */
outlet *outlet_open(uv_loop_t *loop, int fd, bool json);
/* One or more whole lines. */
void outlet_put(outlet *o, const char *text, size_t len);
/* Gives a reader who is slow a last second (a full disk none), while the loop still runs. Freed by the loop. NULL is fine. */
void outlet_close(outlet *o);

#endif
