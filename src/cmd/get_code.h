/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The peers that may have a code, one after another, for `kith get`. */
#ifndef KITH_CMD_GET_CODE_H
#define KITH_CMD_GET_CODE_H

#include "cmd/session.h"
#include "host/code_find.h"
#include "host/share_fetch.h"

typedef struct get_code get_code;

/* As often one is tried at most: each as of each source, and some again. */
#define GET_CODE_TRIES_MAX (2 * KITH_CODE_CANDIDATES_MAX * KITH_CODE_SOURCES)

/* One that is to be tried; answer with get_code_next or get_code_done, then or later. */
typedef void (*get_code_try)(void *ctx, const kith_code_candidate *c, const kith_code_keys *keys);

/* Computes the keys and begins to look. Leaves nothing to be done when it fails: NULL: no memory. protocols as in code_find.h.
 * call: remembered peers too (host/code_call.h). */
get_code *get_code_new(session *s, const kith_code *code, const kith_bytes protocols[2], bool call,
                       get_code_try fn, void *ctx);
/* The one that was tried is not it, or could not be reached; refused: it is not to be tried again, wherever else it is found;
 * but early: it said only that it knows no such code, and what it is asked for so may not have been found by the code: after a while it is. fn is called again
 * when there is another, never from inside. */
void get_code_next(get_code *g, bool refused, bool early);
/* It is the one: looks no further. Frees it; NULL is fine. Before the loop ends. */
void get_code_done(get_code *g);

/* What to fetch by: where a candidate is, and what proves the code to it. Both are secrets: the caller wipes them. */
void get_code_use(const kith_code_candidate *c, const kith_code_keys *keys, kith_ticket *ticket,
                  kith_fetch_code *proof);

/* Candidates that were tried in vain so far. */
size_t get_code_tried(const get_code *g);
/* Why nobody can be found, and what to do; NULL: somebody may be. */
const char *get_code_nowhere(const get_code *g);
/* What happens now, for people; NUL-terminated. */
void get_code_state(const get_code *g, char out[KITH_CODE_STATE_MAX + 1]);

#endif
