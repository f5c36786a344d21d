/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* More tickets of a share that runs: 'kith shares ticket'. */
#ifndef KITH_CMD_SHARE_ISSUE_H
#define KITH_CMD_SHARE_ISSUE_H

#include <jansson.h>

#include "apps/share_ticket.h"
#include "host/share_serve.h"

/* {ticket, only, times, not_after}; like: peer and addresses; last: when the share ends (seconds since 1970), 0: it does not. params:
 *
 *     only       patterns, at most KITH_CAPABILITY_ONLY_MAX; none: everything
 *     times      how often it may be used; 0: any number of times
 *     seconds    how long; 0: as long as the share
 *
 * NULL: why not, valid until the next call. */
json_t *share_issue(kith_shared *s, const kith_ticket *like, uint64_t last, const json_t *params,
                    const char **why);

#endif
