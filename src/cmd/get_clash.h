/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is there already, and the questions about it: one thing after another, or all that are left at once. */
#ifndef KITH_CMD_GET_CLASH_H
#define KITH_CMD_GET_CLASH_H

#include "host/share_fetch.h"

typedef struct get_clash {
    kith_share_fetch *fetch;
    const char *dest;
    size_t entry; /* that was asked about */
} get_clash;

/* Prints the question about the next thing. False: all are decided about, or nobody waits for that any more. */
bool get_clash_ask(get_clash *g);
/* The first letter of the answer. A small one is for this thing, a capital one for all that are left and can be dealt with so. False: nothing is to be
 * fetched. */
bool get_clash_answer(get_clash *g, char letter);

#endif
