/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ranking addresses for a ticket. */
#include "cmd/ticket_addrs.h"

void ticket_add_addrs(kith_ticket *t, kith_maddr *addrs, size_t count)
{
    kith_maddr_part p2p;
    int best = 0;
    for (size_t i = 0; i < count; i++) {
        if (kith_maddr_find(&addrs[i], KITH_MA_P2P, &p2p) && kith_maddr_set_peer(&addrs[i], NULL))
            addrs[i].len = 0;
        if (kith_maddr_worth(&addrs[i]) > best)
            best = kith_maddr_worth(&addrs[i]);
    }
    for (int w = best; w > (best > 1 ? 1 : 0); w--) {
        for (size_t i = 0; i < count && t->addr_count < KITH_TICKET_ADDRS_MAX; i++) {
            if (addrs[i].len > 0 && kith_maddr_worth(&addrs[i]) == w)
                t->addrs[t->addr_count++] = addrs[i];
        }
    }
}
