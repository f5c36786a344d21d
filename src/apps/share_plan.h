/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a receiver asks of whom: which leaves are missing, which were asked of which source, and what to ask of a source next. Knows sources
 * by number only; its owner moves the requests and the answers.
 *
 * Every source is kept busy at its own rate: what it has not answered yet is about what it delivers in a second or two, and at least so
 * much that the round trip does not show. That goes for the only one too: when others come, it has not been asked for everything. A source's
 * requests are runs of neighbouring leaves. When nothing is left that nobody was asked for, a source with nothing to do takes over the end
 * of what the one that would take longest has still to bring, unless that was taken over by a quicker one already; whoever brings a leaf
 * first wins, and the others' requests are cancelled as soon as nothing in them is missing any more.
 *
 * With `spread`, for receivers that help each other, a source that has everything is asked for what no partial one has as long as there is
 * such, at random places: so it gives each part about once, and the receivers the rest. What partial ones have it is asked for if it is not
 * slower than them, and else a piece at a time.
 *
 * Memory: 16 KiB per source, and 8 bytes for each gap between runs of leaves that are missing. */
#ifndef KITH_APPS_SHARE_PLAN_H
#define KITH_APPS_SHARE_PLAN_H

#include "apps/share.h"

#define KITH_PLAN_SOURCES_MAX 32                               /* bits of a uint32_t */
#define KITH_PLAN_REQUESTS 4                                   /* of one source, unanswered */
#define KITH_PLAN_RUN_MAX (64u * 1024 * 1024 / KITH_TREE_LEAF) /* leaves of large files in one request */
#define KITH_PLAN_WINDOW_MIN (4u * 1024 * 1024) /* bytes asked of a source, when there are several */
/* When it is the only one, and four times that if it is far: not all there is, as others may come. */
#define KITH_PLAN_WINDOW_ALONE (8u * 1024 * 1024)
#define KITH_PLAN_RTT_DEFAULT KITH_MS(100)

typedef struct kith_share_plan kith_share_plan;

typedef struct kith_share_plan_config {
    kith_env env;
    const kith_manifest *manifest; /* borrowed */
    bool
        spread; /* begin with every source at another, random place: receivers that help each other should not all have the same */
} kith_share_plan_config;

kith_share_plan *kith_share_plan_new(const kith_share_plan_config *cfg); /* NULL: no memory */
void kith_share_plan_free(kith_share_plan *p);                           /* NULL is fine */

/* KITH_ENOMEM once memory has run out: then nothing that the plan says counts any more. */
KITH_CHECK kith_err kith_share_plan_err(const kith_share_plan *p);

/* These leaves are missing and wanted: to begin with none is. */
void kith_share_plan_want(kith_share_plan *p, uint32_t first, uint32_t end);
/* They are here, or are not wanted any more. */
void kith_share_plan_settle(kith_share_plan *p, uint32_t first, uint32_t end);
/* What is missing. */
const kith_leaves *kith_share_plan_missing(const kith_share_plan *p);

/* A new source; its number i, or -1: too many. have: of a partial one what it has, borrowed, may grow; NULL: everything. */
int kith_share_plan_join(kith_share_plan *p, kith_time now, const kith_leaves *have);
/* It is gone, or was dropped: what it was asked for goes to others. */
void kith_share_plan_leave(kith_share_plan *p, int i);
/* Leaves below this may be asked of it: their roots are known. */
void kith_share_plan_limit(kith_share_plan *p, int i, uint32_t end);
void kith_share_plan_rtt(kith_share_plan *p, int i, kith_time rtt);
/* It is paused: nothing new is asked of it, and what it was asked for may be asked of others. */
void kith_share_plan_pause(kith_share_plan *p, int i, bool on);

/* What to ask of a source now. Returns how many ranges; 0: nothing, for now. The request has been noted then under the id that is given: the
 * source's own count. If it cannot be sent after all, kith_share_plan_ended takes it back. */
size_t kith_share_plan_next(kith_share_plan *p, kith_time now, int i, uint64_t id,
                            kith_leaf_range out[KITH_SHARE_RANGES]);
/* A leaf has come from a source in answer to a request (bytes long), verified; all before it in that request have come or will not.
 * True: it is new. False: it was here already, throw it away. */
bool kith_share_plan_got(kith_share_plan *p, kith_time now, int i, uint64_t id, uint32_t leaf,
                         uint32_t bytes);
/* A source cannot give the rest of a file, from a leaf on, as far as the request went; it is not asked for it again. */
void kith_share_plan_refused(kith_share_plan *p, int i, uint64_t id, uint32_t leaf);
/* A file of which something is missing that somebody has refused, and that nobody who is there can give: after a refusal, and after a source has
 * left. The owner settles it, and asks again. False: there is none. */
bool kith_share_plan_lost(const kith_share_plan *p, size_t *entry);
/* Nothing more comes in answer to a request. */
void kith_share_plan_ended(kith_share_plan *p, int i, uint64_t id);
/* A request that is to be cancelled, as nothing in it is missing any more; told once. False: none. */
bool kith_share_plan_cancel(kith_share_plan *p, int *i, uint64_t *id);

/* Asserts the invariants; for tests and fuzzers. */
void kith_share_plan_check(const kith_share_plan *p);

#endif
