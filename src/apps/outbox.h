/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What waits to be sent, without the bytes: for each peer by priority and age, until it is taken or its time is over; and when a peer that
 * could not be reached is tried again. Its owner keeps the messages themselves, and does the sending.
 *
 *   an item:  WAITING --fly--> FLYING --remove--> (answered)
 *                     <--land--        (not answered)
 *
 * Caps: KITH_OUTBOX_ITEMS_MAX items of KITH_OUTBOX_BYTES_MAX bytes. About 300 bytes an item, and 600 a peer. */
#ifndef KITH_APPS_OUTBOX_H
#define KITH_APPS_OUTBOX_H

#include "base/list.h"
#include "base/timer.h"
#include "wire/message.h"

#define KITH_OUTBOX_ITEMS_MAX 10000
#define KITH_OUTBOX_BYTES_MAX (256u << 20)
#define KITH_OUTBOX_RETRY KITH_SEC(1)       /* after the first failure; doubled by each one that follows */
#define KITH_OUTBOX_RETRY_MAX KITH_SEC(300) /* each a quarter more or less, by chance */

typedef struct kith_outbox kith_outbox;

/* A peer for whom something waits. */
typedef struct kith_outbox_lane {
    kith_peer_id peer;
    void *user;   /* the owner's */
    bool held;    /* the owner's: it stays though nothing waits (kith_outbox_rest) */
    size_t count; /* of its items */
    bool resting; /* it failed, and is not to be tried before its time */
    unsigned failures;
    kith_link link; /* the rest is the outbox's */
    kith_list waiting[KITH_MESSAGE_PRIORITY_MAX + 1], flying;
    kith_timer retry;
} kith_outbox_lane;

typedef struct kith_outbox_item {
    uint8_t id[KITH_MESSAGE_ID_LEN];
    uint8_t priority;
    uint64_t ends; /* ms since 1970: the last in which it may be delivered */
    size_t len;    /* bytes of the message */
    uint64_t age;  /* the lower, the older; unique */
    void *user;    /* the owner's */
    kith_outbox_lane *lane;
    bool flying;
    bool over;           /* its time passed while it was flying */
    kith_link link, all; /* the rest is the outbox's */
    kith_timer end;
} kith_outbox_item;

kith_outbox *kith_outbox_new(const kith_env *env); /* env is copied. NULL: no memory */
void kith_outbox_free(kith_outbox *o);             /* NULL is fine */

/* A new item, of which id, priority, ends, len, age and user are read. KITH_ELIMIT: it is full. KITH_EEXISTS: the id is there. KITH_ENOMEM. */
KITH_CHECK kith_err kith_outbox_add(kith_outbox *o, const kith_peer_id *to, const kith_outbox_item *item,
                                    kith_outbox_item **out);
/* KITH_OK or KITH_ELIMIT: whether one of len bytes would be let in. */
KITH_CHECK kith_err kith_outbox_room(const kith_outbox *o, size_t len);
void kith_outbox_remove(kith_outbox *o,
                        kith_outbox_item *i); /* and its lane, if that was the last and nobody holds it */
kith_outbox_item *kith_outbox_find(const kith_outbox *o, const uint8_t id[KITH_MESSAGE_ID_LEN]);
/* All of them, the oldest first: begin with NULL. */
kith_outbox_item *kith_outbox_each(const kith_outbox *o, const kith_outbox_item *i);
size_t kith_outbox_count(const kith_outbox *o);
size_t kith_outbox_bytes(const kith_outbox *o);

/* NULL: nothing is for this peer. */
kith_outbox_lane *kith_outbox_lane_of(const kith_outbox *o, const kith_peer_id *peer);
kith_outbox_lane *kith_outbox_lane_next(const kith_outbox *o, const kith_outbox_lane *l);
/* The owner holds it no longer. */
void kith_outbox_rest(kith_outbox *o, kith_outbox_lane *l);

/* Which leaves next: the highest priority, then the oldest; NULL: none waits. */
kith_outbox_item *kith_outbox_pick(const kith_outbox_lane *l);
void kith_outbox_fly(kith_outbox_item *i);
void kith_outbox_land(kith_outbox *o, kith_outbox_item *i);

/* The peer could not be reached, or said not now: again later. */
void kith_outbox_failed(kith_outbox *o, kith_outbox_lane *l, kith_time now);
/* It is there: no more waiting. */
void kith_outbox_wake(kith_outbox *o, kith_outbox_lane *l);
/* The next lane whose rest is over by now; NULL: none. */
kith_outbox_lane *kith_outbox_due(kith_outbox *o, kith_time now);
kith_time kith_outbox_deadline(const kith_outbox *o); /* of the first rest; KITH_NEVER */

/* The next item that is not flying and whose time is over (ms since 1970); the caller removes it. NULL: none. */
kith_outbox_item *kith_outbox_expired(kith_outbox *o, uint64_t now);
uint64_t kith_outbox_first_end(const kith_outbox *o); /* ms since 1970; UINT64_MAX */

void kith_outbox_check(const kith_outbox *o); /* asserts the invariants */

#endif
