/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A part of the mesh: a machine that lives on all of a node's connections at once (gossip, Kademlia, discovery), as whoever drives the
 * node sees it. It calls the node by itself, and is driven beside it:
 *
 *     for each event of the node that is for the application     event(p, now, ev)
 *     when there are no more                                     act(p, now), and again from the top while it did something
 *     set the timer to the least deadline; when it fires         tick(p, now)
 *
 * The machines of a part's streams are its own: what their verbs are told, inside calls of the node, they keep for the part, which calls the
 * node in event, act and tick only. Its streams have kith_stream_user NULL and end by their machine's gone. */
#ifndef KITH_MESH_PART_H
#define KITH_MESH_PART_H

#include "node/node.h"

typedef struct kith_part_ops {
    /* CONNECTED, IDENTIFIED, UPDATED, DISCONNECTED, REFUSED, and DIALED, of which it knows its own by their dial_id. Optional. */
    void (*event)(void *p, kith_time now, const kith_node_event *ev);
    /* Does to the node what it has come to want: dials, opens, wakes, resets. true: something was done. Optional. */
    bool (*act)(void *p, kith_time now);
    kith_time (*deadline)(const void *p); /* KITH_NEVER: no timers. Optional, with tick */
    void (*tick)(void *p, kith_time now);
} kith_part_ops;

/* Owned by the part, and linked into its driver. */
typedef struct kith_part {
    const kith_part_ops *ops;
    void *self;
    struct kith_part *next; /* the driver's */
} kith_part;

#endif
