/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which of our addresses a ticket names. */
#ifndef KITH_CMD_TICKET_ADDRS_H
#define KITH_CMD_TICKET_ADDRS_H

#include "apps/share_ticket.h"

/* Adds those that are of use to others, the best first, without /p2p, which is taken off in addrs too. */
void ticket_add_addrs(kith_ticket *t, kith_maddr *addrs, size_t count);

#endif
