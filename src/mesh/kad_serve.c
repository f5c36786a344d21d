/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a server of the DHT answers. libp2p kad-dht, "RPC messages"; go-libp2p-kad-dht, handlers.go. */
#include "mesh/kad_impl.h"

/* Who asks, and where they are. */
typedef struct asker {
    const kith_peer_id *id;
    kith_maddr remote;
    uint64_t group;
    uint8_t scopes; /* of addresses that it may be told */
} asker;

static asker asker_of(const kith_kad *k, const kith_peer_id *from)
{
    const known *p = kith_kad_known_(k, from);
    asker a = {.id = from};
    if (p)
        a.remote = p->remote;
    a.group = kith_kad_group(&a.remote);
    a.scopes = kith_maddr_scopes_fitting(&a.remote);
    return a;
}

static void put_peer(const asker *to, kith_wr *w, kith_kad_list list, const kith_peer_id *id,
                     kith_bytes addrs, bool connected)
{
    kith_addrs fit = {0};
    kith_addrs_fitting(addrs, &to->remote, &fit);
    if (fit.len > 0)
        (void)kith_kad_put_peer(w, list, id, kith_addrs_bytes(&fit), connected);
}

/* The nearest of the table, without the one who asks; `shown` was put already. */
static void put_nearest(const kith_kad *k, const asker *to, kith_bytes key, const kith_peer_id *shown,
                        kith_wr *w)
{
    kith_kad_entry *near[UINT8_MAX + 2];
    kith_kad_key place = kith_kad_key_of(key);
    size_t n = kith_kad_table_nearest(&k->table, &place, near, k->cfg.k + 1 + (shown != NULL)), put = 0;
    for (size_t i = 0; i < n && put < k->cfg.k; i++) {
        const kith_kad_entry *e = near[i];
        if (kith_peer_id_eq(&e->id, to->id) || (shown && kith_peer_id_eq(&e->id, shown)))
            continue;
        kith_bytes addrs = kith_bytes_of(e->addrs, e->addrs_len);
        if (!e->scopes || e->scopes & ~to->scopes)
            put_peer(to, w, KITH_KAD_CLOSER, &e->id, addrs, e->connected);
        else
            (void)kith_kad_put_peer(w, KITH_KAD_CLOSER, &e->id, addrs, e->connected);
        put++;
    }
}

/* The peer that is looked for, also when it is no server: who is connected can be found. True: it was put. */
static bool put_target(const kith_kad *k, const asker *to, const kith_peer_id *id, kith_wr *w)
{
    if (kith_peer_id_eq(id, &k->self)) {
        kith_addrs own = {0};
        kith_kad_own_addrs_(k, &to->remote, &own);
        return own.len > 0 && kith_kad_put_peer(w, KITH_KAD_CLOSER, id, kith_addrs_bytes(&own), true);
    }
    const known *p = kith_kad_known_(k, id);
    size_t before = w->len;
    if (p && p->addrs_len)
        put_peer(to, w, KITH_KAD_CLOSER, id, kith_bytes_of(p->addrs, p->addrs_len), true);
    return w->len > before;
}

static kith_err find_node(const kith_kad *k, const asker *from, const kith_kad_msg *m, kith_wr *w)
{
    kith_peer_id target;
    if (m->key.len == 0)
        return KITH_EPROTO;
    kith_kad_put_head(w, KITH_KAD_FIND_NODE, (kith_bytes){0});
    bool is_peer = kith_peer_id_parse(m->key, &target) == KITH_OK;
    bool put = is_peer && put_target(k, from, &target, w);
    put_nearest(k, from, m->key, put ? &target : NULL, w);
    return KITH_OK;
}

static kith_err get_value(const kith_kad *k, uint64_t unix, const asker *from, const kith_kad_msg *m,
                          kith_wr *w)
{
    kith_kad_row row;
    if (m->key.len == 0)
        return KITH_EPROTO;
    kith_kad_put_head(w, KITH_KAD_GET_VALUE, m->key);
    if (kith_kad_stored_(k, unix, m->key, &row))
        kith_kad_put_record(w, m->key, row.data, row.received);
    put_nearest(k, from, m->key, NULL, w);
    return KITH_OK;
}

static kith_err put_value(kith_kad *k, uint64_t unix, const asker *from, const kith_kad_msg *m, kith_wr *w)
{
    if (m->key.len == 0 || !m->has_record || !kith_bytes_eq(m->key, m->record_key))
        return KITH_EPROTO;
    const kith_kad_namespace *ns = kith_kad_namespace_(k, m->key);
    if (!ns)
        return KITH_EUNSUPPORTED;
    kith_err e = kith_kad_judge_(ns, unix, m->key, m->value);
    kith_kad_row row;
    if (!e && kith_kad_stored_(k, unix, m->key, &row) && ns->better(ns->ctx, m->key, m->value, row.data))
        e = KITH_EREFUSED; /* what we have is better */
    row = (kith_kad_row){.key = m->key, .data = m->value, .received = unix, .group = from->group};
    if (!e)
        e = kith_kad_store_put(k->store, &row);
    if (e)
        return e;
    kith_kad_put_head(w, KITH_KAD_PUT_VALUE, m->key);
    kith_kad_put_record(w, m->key, m->value, 0);
    return KITH_OK;
}

static bool provider_key(const kith_kad_msg *m)
{
    return m->key.len > 0 && m->key.len <= KITH_KAD_PROVIDER_KEY_MAX;
}

/* Every server that is near a key has to be told of it, so one that has many is no nuisance by itself; one that goes on and on is. */
static void beyond_its_share(const kith_kad *k, const kith_peer_id *from)
{
    known *p = kith_kad_known_(k, from);
    if (p && ++p->beyond % KITH_KAD_FLOOD == 0)
        kith_kad_conduct_(k, from, KITH_CONDUCT_FLOOD);
}

/* Only about oneself: others' entries are passed over, as in go. */
static kith_err add_provider(kith_kad *k, uint64_t unix, const asker *from, const kith_kad_msg *m)
{
    if (!provider_key(m))
        return KITH_EPROTO;
    kith_kad_walk walk = kith_kad_walk_of(m, KITH_KAD_PROVIDERS);
    kith_kad_peer p;
    while (kith_kad_walk_next(&walk, &p)) {
        if (!kith_peer_id_eq(&p.id, from->id))
            continue;
        kith_addrs fit = {0};
        kith_addrs_fitting(kith_addrs_bytes(&p.addrs), &from->remote, &fit);
        const known *peer = kith_kad_known_(k, from->id);
        if (fit.len == 0 && peer)
            kith_addrs_fitting(kith_bytes_of(peer->addrs, peer->addrs_len), &from->remote, &fit);
        kith_kad_row row = {.key = m->key,
                            .provider = p.id,
                            .data = kith_addrs_bytes(&fit),
                            .received = unix,
                            .group = from->group};
        kith_err e = fit.len ? kith_kad_store_put(k->store, &row) : KITH_EREFUSED;
        if (e == KITH_ELIMIT && kith_kad_store_is_full_of(k->store, &p.id))
            beyond_its_share(k, &p.id);
        return e;
    }
    return KITH_EREFUSED;
}

static kith_err get_providers(const kith_kad *k, uint64_t unix, const asker *from, const kith_kad_msg *m,
                              kith_wr *w)
{
    if (!provider_key(m))
        return KITH_EPROTO;
    kith_kad_put_head(w, KITH_KAD_GET_PROVIDERS, m->key);
    put_nearest(k, from, m->key, NULL, w);
    if (kith_kad_provided_(k, m->key)) {
        kith_addrs own = {0};
        kith_kad_own_addrs_(k, &from->remote, &own);
        (void)kith_kad_put_peer(w, KITH_KAD_PROVIDERS, &k->self, kith_addrs_bytes(&own), true);
    }
    const void *at = NULL;
    kith_kad_row row;
    while (kith_kad_store_provider(k->store, unix, m->key, &at, &row))
        put_peer(from, w, KITH_KAD_PROVIDERS, &row.provider, row.data,
                 kith_kad_known_(k, &row.provider) != NULL);
    return KITH_OK;
}

static kith_err serve(kith_kad *k, uint64_t unix, const asker *from, const kith_kad_msg *m, kith_wr *w)
{
    switch (m->type) {
    case KITH_KAD_PUT_VALUE:
        return put_value(k, unix, from, m, w);
    case KITH_KAD_GET_VALUE:
        return get_value(k, unix, from, m, w);
    case KITH_KAD_ADD_PROVIDER:
        return add_provider(k, unix, from, m);
    case KITH_KAD_GET_PROVIDERS:
        return get_providers(k, unix, from, m, w);
    case KITH_KAD_FIND_NODE:
        return find_node(k, from, m, w);
    case KITH_KAD_PING:
        kith_kad_put_head(w, KITH_KAD_PING, (kith_bytes){0});
        return KITH_OK;
    }
    return KITH_EUNSUPPORTED;
}

kith_err kith_kad_serve_(void *ctx, kith_time now, const kith_peer_id *from, kith_bytes question, kith_wr *w)
{
    kith_kad *k = ctx;
    kith_kad_msg m;
    kith_err e = k->serving ? kith_kad_msg_parse(question, &m) : KITH_EREFUSED;
    if (!e) {
        asker a = asker_of(k, from);
        e = serve(k, kith_kad_clock(k, now), &a, &m, w);
    }
    if (e)
        k->refused++;
    else
        k->served++;
    return e;
}
