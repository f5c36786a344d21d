/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Discovery at rendezvous points: who is registered there under a namespace. */
#include "host/discover_impl.h"

static bool usable(const kith_discoveries *d)
{
    return kith_rendezvous_has_points(d->rendezvous);
}

static void on_event(void *ctx, const kith_rdv_event *ev)
{
    kith_discovery *o = ctx;
    kith_maddr addrs[KITH_ADDRS_MAX];
    if (ev->kind == KITH_RDV_FOUND) {
        size_t n = kith_addrs_unpack(kith_addrs_bytes(&ev->addrs), addrs, KITH_ADDRS_MAX);
        kith_discover_take_(o, &ev->peer, "rendezvous", "", addrs, n);
        return;
    }
    o->rendezvous_op = 0;
    if (ev->answered == 0)
        o->trouble = "no rendezvous point has answered; see that those of rendezvous.point are up";
    kith_discover_over_(o, &kith_discover_rendezvous_);
}

static void begin(kith_discovery *o)
{
    kith_err e = kith_rendezvous_find(o->owner->rendezvous, o->ns, on_event, o, &o->rendezvous_op);
    if (!e)
        return;
    o->rendezvous_op = 0;
    o->trouble = e == KITH_ELIMIT ? "too many searches at rendezvous points are under way; try again"
                                  : "the rendezvous points could not be asked";
    kith_discover_over_(o, &kith_discover_rendezvous_);
}

static void end(kith_discovery *o)
{
    if (o->rendezvous_op)
        kith_rendezvous_cancel(o->owner->rendezvous, o->rendezvous_op);
    o->rendezvous_op = 0;
}

const kith_discover_source kith_discover_rendezvous_ = {
    .name = "rendezvous",
    .off =
        "no rendezvous point is configured; set rendezvous.point to the address of one, or use another --method",
    .usable = usable,
    .begin = begin,
    .end = end,
};
