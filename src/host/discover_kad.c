/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Discovery in the DHT: its servers, by lookups of keys drawn at random; or who provides a key. */
#include "host/dht_methods.h"
#include "host/discover_impl.h"

#define BARREN_MAX 3 /* lookups that have shown nobody new: that was all, or nearly */

static bool usable(const kith_discoveries *d)
{
    return d->dht != NULL;
}

/* Of the public network nobody wants to hear: its servers are thousands of strangers. */
static bool in_auto(const kith_discoveries *d)
{
    return kith_dht_is_started(d->dht) && !kith_dht_is_public(kith_dht_settings_of(d->dht));
}

static void look(kith_discovery *o);

static void take(kith_discovery *o, const kith_kad_peer *p)
{
    kith_maddr addrs[KITH_ADDRS_MAX];
    size_t n = kith_addrs_unpack(kith_addrs_bytes(&p->addrs), addrs, KITH_ADDRS_MAX);
    kith_discover_take_(o, &p->id, "kademlia", "", addrs, n);
}

static void on_event(void *ctx, const kith_kad_event *ev)
{
    kith_discovery *o = ctx;
    size_t before = o->found_count;
    if (ev->kind == KITH_KAD_DONE)
        o->kad_op = 0;
    for (size_t i = 0; i < ev->peer_count && o->call; i++)
        take(o, &ev->peers[i]);
    if (ev->kind != KITH_KAD_DONE || !o->call)
        return;
    o->kad_barren = o->found_count > before ? 0 : o->kad_barren + 1;
    if (o->key || ev->err || o->kad_barren >= BARREN_MAX)
        kith_discover_over_(o, &kith_discover_kad_);
    else
        look(o);
}

static void look(kith_discovery *o)
{
    kith_dht *d = o->owner->dht;
    kith_kad *k = kith_dht_kad(d);
    kith_time now = kith_host_now(o->owner->host);
    uint8_t buf[KITH_KAD_PROVIDER_KEY_MAX];
    kith_bytes key = kith_bytes_of(buf, 32);
    kith_err e = KITH_ENOMEM;
    if (k && o->key && !kith_dht_key(o->key, buf, &key)) {
        e = KITH_EFORMAT;
    } else if (k && o->key) {
        e = kith_kad_find_providers(k, now, key, KITH_KAD_FOUND_MAX, &o->kad_op);
    } else if (k) {
        kith_rand_fill(kith_host_env(), kith_span_of(buf, 32));
        e = kith_kad_find_nearest(k, now, key, &o->kad_op);
    }
    if (!e)
        e = kith_dht_follow(d, o->kad_op, on_event, o);
    if (e) {
        o->kad_op = 0;
        kith_discover_over_(o, &kith_discover_kad_);
    }
}

/* Those of the table are known already. */
static void begin(kith_discovery *o)
{
    kith_kad *k = kith_dht_kad(o->owner->dht);
    const kith_kad_table *t = k ? kith_kad_table_of(k) : NULL;
    for (unsigned b = 0; t && !o->key && b < KITH_KAD_BUCKETS; b++) {
        KITH_EACH (&t->buckets[b], l) {
            const kith_kad_entry *e = KITH_OF(l, kith_kad_entry, link);
            kith_kad_peer p = {.id = e->id};
            p.addrs.len = e->addrs_len;
            if (e->addrs_len)
                memcpy(p.addrs.b, e->addrs, e->addrs_len);
            if (o->call)
                take(o, &p);
        }
    }
    if (o->call)
        look(o);
}

static void end(kith_discovery *o)
{
    if (o->kad_op)
        kith_dht_cancel(o->owner->dht, o->kad_op);
    o->kad_op = 0;
}

const kith_discover_source kith_discover_kad_ = {
    .name = "kademlia",
    .off = "the DHT is off here; set dht = auto, or use another --method",
    .usable = usable,
    .in_auto = in_auto,
    .begin = begin,
    .end = end,
};
