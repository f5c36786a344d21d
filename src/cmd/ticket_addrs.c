/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ranking addresses for a ticket. */
#include "cmd/ticket_addrs.h"

/* The higher the better to have in a ticket; 0: of no use to others. */
static int worth(const kith_maddr *a)
{
    switch (kith_maddr_scope(a)) {
    case KITH_IP_PUBLIC:
        return 4;
    case KITH_IP_PRIVATE:
        return 3;
    case KITH_IP_OTHER:
        return 2; /* names */
    case KITH_IP_LOOPBACK:
        return 1; /* when there is nothing else */
    case KITH_IP_LINK:
        return 0;
    }
    return 0;
}

void ticket_add_addrs(kith_ticket *t, kith_maddr *addrs, size_t count)
{
    kith_maddr_part p2p;
    int best = 0;
    for (size_t i = 0; i < count; i++) {
        if (kith_maddr_find(&addrs[i], KITH_MA_P2P, &p2p) && kith_maddr_set_peer(&addrs[i], NULL))
            addrs[i].len = 0;
        if (worth(&addrs[i]) > best)
            best = worth(&addrs[i]);
    }
    for (int w = best; w > (best > 1 ? 1 : 0); w--) {
        for (size_t i = 0; i < count && t->addr_count < KITH_TICKET_ADDRS_MAX; i++) {
            if (addrs[i].len > 0 && worth(&addrs[i]) == w)
                t->addrs[t->addr_count++] = addrs[i];
        }
    }
}
