/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The order of what waits. */
#include "apps/outbox.h"

#include <assert.h>

#include "base/map.h"

struct kith_outbox {
    kith_env env;
    uint64_t seed[2];
    kith_map lanes, items;    /* kith_hash of the peer id, of the message id */
    kith_list lane_list, all; /* all: the oldest first */
    size_t count, bytes, lane_count;
    kith_timers ends;    /* in ms since 1970 */
    kith_timers retries; /* in kith_time */
};

kith_outbox *kith_outbox_new(const kith_env *env)
{
    kith_outbox *o = KITH_NEW(env, kith_outbox);
    if (!o)
        return NULL;
    o->env = *env;
    o->seed[0] = kith_rand_u64(env);
    o->seed[1] = kith_rand_u64(env);
    kith_list_init(&o->lane_list);
    kith_list_init(&o->all);
    return o;
}

static void lane_drop(kith_outbox *o, kith_outbox_lane *l)
{
    kith_timers_set(&o->retries, &l->retry, KITH_NEVER);
    (void)kith_map_remove(&o->lanes, kith_hash(o->seed, kith_peer_id_bytes(&l->peer)));
    kith_link_remove(&l->link);
    o->lane_count--;
    KITH_FREE(&o->env, l);
}

static void lane_settle(kith_outbox *o, kith_outbox_lane *l)
{
    if (l->count == 0 && !l->held)
        lane_drop(o, l);
}

void kith_outbox_free(kith_outbox *o)
{
    if (!o)
        return;
    for (kith_link *k; (k = kith_list_first(&o->all));)
        kith_outbox_remove(o, KITH_OF(k, kith_outbox_item, all));
    for (kith_link *k; (k = kith_list_first(&o->lane_list));) /* those that are held */
        lane_drop(o, KITH_OF(k, kith_outbox_lane, link));
    kith_env env = o->env;
    kith_map_fini(&o->lanes, &env);
    kith_map_fini(&o->items, &env);
    kith_timers_fini(&o->ends, &env);
    kith_timers_fini(&o->retries, &env);
    KITH_FREE(&env, o);
}

kith_outbox_lane *kith_outbox_lane_of(const kith_outbox *o, const kith_peer_id *peer)
{
    return kith_map_get(&o->lanes, kith_hash(o->seed, kith_peer_id_bytes(peer)));
}

kith_outbox_lane *kith_outbox_lane_next(const kith_outbox *o, const kith_outbox_lane *l)
{
    const kith_link *k = l ? kith_list_next(&o->lane_list, &l->link) : kith_list_first(&o->lane_list);
    return k ? KITH_OF((uintptr_t)k, kith_outbox_lane, link) : NULL;
}

/* NULL: no memory. */
static kith_outbox_lane *lane_for(kith_outbox *o, const kith_peer_id *peer)
{
    kith_outbox_lane *l = kith_outbox_lane_of(o, peer);
    if (l)
        return l;
    if (kith_timers_reserve(&o->retries, &o->env, o->lane_count + 1))
        return NULL;
    l = KITH_NEW(&o->env, kith_outbox_lane);
    if (!l || kith_map_put(&o->lanes, &o->env, kith_hash(o->seed, kith_peer_id_bytes(peer)), l)) {
        if (l)
            KITH_FREE(&o->env, l);
        return NULL;
    }
    l->peer = *peer;
    for (size_t i = 0; i <= KITH_MESSAGE_PRIORITY_MAX; i++)
        kith_list_init(&l->waiting[i]);
    kith_list_init(&l->flying);
    kith_list_push(&o->lane_list, &l->link);
    o->lane_count++;
    return l;
}

/* By age; nearly always at the end. */
static void queue(kith_outbox_item *i)
{
    kith_list *list = &i->lane->waiting[i->priority];
    kith_link *at = list->head.prev;
    while (at != &list->head && KITH_OF(at, kith_outbox_item, link)->age > i->age)
        at = at->prev;
    kith_link_insert(at, &i->link);
}

kith_err kith_outbox_room(const kith_outbox *o, size_t len)
{
    return o->count < KITH_OUTBOX_ITEMS_MAX && len <= KITH_OUTBOX_BYTES_MAX - o->bytes ? KITH_OK
                                                                                       : KITH_ELIMIT;
}

static uint64_t item_key(const kith_outbox *o, const uint8_t *id)
{
    return kith_hash(o->seed, kith_bytes_of(id, KITH_MESSAGE_ID_LEN));
}

kith_err kith_outbox_add(kith_outbox *o, const kith_peer_id *to, const kith_outbox_item *item,
                         kith_outbox_item **out)
{
    uint64_t key = item_key(o, item->id);
    kith_err e = kith_outbox_room(o, item->len);
    if (e)
        return e;
    if (kith_map_get(&o->items, key))
        return KITH_EEXISTS;
    if (kith_timers_reserve(&o->ends, &o->env, o->count + 1))
        return KITH_ENOMEM;
    kith_outbox_lane *l = lane_for(o, to);
    kith_outbox_item *i = l ? KITH_NEW(&o->env, kith_outbox_item) : NULL;
    if (!i || kith_map_put(&o->items, &o->env, key, i)) {
        if (i)
            KITH_FREE(&o->env, i);
        if (l)
            lane_settle(o, l);
        return KITH_ENOMEM;
    }
    *i = (kith_outbox_item){.priority = item->priority,
                            .ends = item->ends,
                            .len = item->len,
                            .age = item->age,
                            .user = item->user};
    memcpy(i->id, item->id, sizeof i->id);
    i->lane = l;
    l->count++;
    o->count++;
    o->bytes += i->len;
    kith_list_push(&o->all, &i->all);
    queue(i);
    kith_timers_set(&o->ends, &i->end, i->ends + 1);
    *out = i;
    return KITH_OK;
}

void kith_outbox_remove(kith_outbox *o, kith_outbox_item *i)
{
    kith_outbox_lane *l = i->lane;
    kith_timers_set(&o->ends, &i->end, KITH_NEVER);
    (void)kith_map_remove(&o->items, item_key(o, i->id));
    kith_link_remove(&i->link);
    kith_link_remove(&i->all);
    l->count--;
    o->count--;
    o->bytes -= i->len;
    KITH_FREE(&o->env, i);
    lane_settle(o, l);
}

kith_outbox_item *kith_outbox_find(const kith_outbox *o, const uint8_t id[KITH_MESSAGE_ID_LEN])
{
    return kith_map_get(&o->items, item_key(o, id));
}

kith_outbox_item *kith_outbox_each(const kith_outbox *o, const kith_outbox_item *i)
{
    const kith_link *k = i ? kith_list_next(&o->all, &i->all) : kith_list_first(&o->all);
    return k ? KITH_OF((uintptr_t)k, kith_outbox_item, all) : NULL;
}

size_t kith_outbox_count(const kith_outbox *o)
{
    return o->count;
}

size_t kith_outbox_bytes(const kith_outbox *o)
{
    return o->bytes;
}

void kith_outbox_rest(kith_outbox *o, kith_outbox_lane *l)
{
    l->held = false;
    lane_settle(o, l);
}

/* ---- order ---- */

kith_outbox_item *kith_outbox_pick(const kith_outbox_lane *l)
{
    for (size_t p = KITH_MESSAGE_PRIORITY_MAX + 1; p-- > 0;) {
        kith_link *k = kith_list_first(&l->waiting[p]);
        if (k)
            return KITH_OF(k, kith_outbox_item, link);
    }
    return NULL;
}

void kith_outbox_fly(kith_outbox_item *i)
{
    kith_link_remove(&i->link);
    kith_list_push(&i->lane->flying, &i->link);
    i->flying = true;
}

void kith_outbox_land(kith_outbox *o, kith_outbox_item *i)
{
    kith_link_remove(&i->link);
    queue(i);
    i->flying = false;
    if (i->over)
        kith_timers_set(&o->ends, &i->end, i->ends + 1);
}

/* ---- time ---- */

void kith_outbox_failed(kith_outbox *o, kith_outbox_lane *l, kith_time now)
{
    kith_time by = KITH_OUTBOX_RETRY;
    for (unsigned i = 0; i < l->failures && by < KITH_OUTBOX_RETRY_MAX; i++)
        by *= 2;
    if (by > KITH_OUTBOX_RETRY_MAX)
        by = KITH_OUTBOX_RETRY_MAX;
    by = by - by / 4 + kith_rand_below(&o->env, by / 2);
    l->failures++;
    l->resting = true;
    kith_timers_set(&o->retries, &l->retry, kith_time_after(now, by));
}

void kith_outbox_wake(kith_outbox *o, kith_outbox_lane *l)
{
    l->failures = 0;
    l->resting = false;
    kith_timers_set(&o->retries, &l->retry, KITH_NEVER);
}

kith_outbox_lane *kith_outbox_due(kith_outbox *o, kith_time now)
{
    kith_timer *t = kith_timers_pop(&o->retries, now);
    kith_outbox_lane *l = t ? KITH_OF(t, kith_outbox_lane, retry) : NULL;
    if (l)
        l->resting = false;
    return l;
}

kith_time kith_outbox_deadline(const kith_outbox *o)
{
    return kith_timers_next(&o->retries);
}

kith_outbox_item *kith_outbox_expired(kith_outbox *o, uint64_t now)
{
    for (kith_timer *t; (t = kith_timers_pop(&o->ends, now));) {
        kith_outbox_item *i = KITH_OF(t, kith_outbox_item, end);
        if (!i->flying)
            return i;
        i->over = true;
    }
    return NULL;
}

uint64_t kith_outbox_first_end(const kith_outbox *o)
{
    return kith_timers_next(&o->ends);
}

void kith_outbox_check(const kith_outbox *o)
{
    size_t count = 0, bytes = 0, lanes = 0;
    KITH_EACH (&o->lane_list, k) {
        const kith_outbox_lane *l = KITH_OF(k, kith_outbox_lane, link);
        size_t here = 0;
        for (size_t p = 0; p <= KITH_MESSAGE_PRIORITY_MAX; p++) {
            const kith_outbox_item *last = NULL;
            KITH_EACH (&l->waiting[p], n) {
                const kith_outbox_item *i = KITH_OF(n, kith_outbox_item, link);
                assert(i->lane == l && !i->flying && i->priority == p && (!last || last->age < i->age));
                last = i;
                bytes += i->len;
                here++;
            }
        }
        KITH_EACH (&l->flying, n) {
            const kith_outbox_item *i = KITH_OF(n, kith_outbox_item, link);
            assert(i->lane == l && i->flying);
            bytes += i->len;
            here++;
        }
        assert(here == l->count && (here > 0 || l->held));
        count += here;
        lanes++;
    }
    assert(count == o->count && bytes == o->bytes && lanes == o->lane_count);
    assert(count <= KITH_OUTBOX_ITEMS_MAX && bytes <= KITH_OUTBOX_BYTES_MAX);
}
