/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Networks that others reach us from. */
#include "mesh/inbound.h"

void kith_inbound_note(kith_inbound *in, kith_time now, uint64_t group)
{
    unsigned at = 0;
    if (!group)
        return;
    for (unsigned i = 0; i < KITH_INBOUND_GROUPS; i++) {
        if (in->group[i] == group) {
            at = i;
            break;
        }
        if (!in->group[i] || (in->group[at] && in->at[i] < in->at[at]))
            at = i; /* an empty place, else the oldest */
    }
    in->group[at] = group;
    in->at[at] = now;
}

unsigned kith_inbound_count(const kith_inbound *in, kith_time now)
{
    unsigned n = 0;
    for (unsigned i = 0; i < KITH_INBOUND_GROUPS; i++)
        n += in->group[i] && now - in->at[i] <= KITH_INBOUND_FOR;
    return n;
}
