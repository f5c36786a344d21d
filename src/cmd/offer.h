/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A code for a share: drawn at once, and published as soon as it is known where. */
#ifndef KITH_CMD_OFFER_H
#define KITH_CMD_OFFER_H

#include "cmd/session.h"
#include "host/code_key.h"

typedef struct offer offer;

/* Draws a code. admit is called once its keys are there, before it is published: whoever has it is to be let in then. What goes on is told on
 * stderr, and that it cannot be found; nothing with --json. NULL: no memory. */
offer *offer_new(session *s, kith_err (*admit)(void *ctx, const kith_code_keys *keys), void *ctx);
const kith_code *offer_code(const offer *o);
/* It is not to be found any more. Frees it; NULL is fine. Before the loop ends. */
void offer_end(offer *o);

#endif
