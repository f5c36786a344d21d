/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The clipboard of the terminal that this runs in, also far away over ssh: OSC 52. */
#ifndef KITH_CMD_CLIP_H
#define KITH_CMD_CLIP_H

#include <stdbool.h>

/* text: at most 512 bytes. False: there is no terminal. Whether the terminal does it nobody can tell. */
bool clip_copy(const char *text);

#endif
