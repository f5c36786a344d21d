/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ranking of addresses for dialling. */
#include "node/rank.h"

uint8_t kith_addr_rank(const kith_maddr *a)
{
    kith_maddr_tcp t;
    if (kith_maddr_to_tcp(a, &t) != KITH_OK)
        return KITH_RANK_NEVER;
    switch (t.host) {
    case KITH_HOST_DNS:
    case KITH_HOST_DNS4:
    case KITH_HOST_DNS6:
    case KITH_HOST_DNSADDR:
        return KITH_RANK_NAME;
    case KITH_HOST_IP4:
    case KITH_HOST_IP6:
        break;
    }
    if (t.port == 0)
        return KITH_RANK_NEVER;
    uint8_t far = t.host == KITH_HOST_IP6 ? 2 : 3;
    switch (kith_maddr_scope(a)) {
    case KITH_IP_LOOPBACK:
        return 0;
    case KITH_IP_LINK:
    case KITH_IP_PRIVATE:
        return KITH_RANK_LAN;
    case KITH_IP_PUBLIC:
        return far;
    case KITH_IP_OTHER:
        break;
    }
    /* Reserved ranges are dialled all the same, since somebody may use them at home; not the unspecified address and groups. */
    bool group = t.host == KITH_HOST_IP4 ? t.value.p[0] == 0 || t.value.p[0] >= 224
                                         : t.value.p[0] == 0 || t.value.p[0] == 0xff;
    return group ? KITH_RANK_NEVER : far;
}
