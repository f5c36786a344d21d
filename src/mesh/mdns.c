/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Asking and answering on each link, and what was heard there. */
#include "mesh/mdns.h"

#include <assert.h>

#include "base/list.h"

#define META "_services._dns-sd._udp.local" /* RFC 6763, 9 */
#define HOSTS "p2p.local"                   /* libp2p discovery/mdns, "Definitions" */
#define ATTRIBUTE "dnsaddr="                /* the same, "Response" */
#define LABEL_LEN 32                        /* of our names; the specification wants 32 characters or more */
#define DELAY_MIN KITH_MS(20)               /* before an answer, and the first query: RFC 6762, 5.2 and 6 */
#define DELAY_SPAN KITH_MS(100)
#define PAUSE KITH_SEC(1) /* between two answers, or two queries, on one link: RFC 6762, 5.2 and 6 */
#define INTERVAL_MAX KITH_SEC(60)
#define GOODBYE_AFTER KITH_SEC(1) /* from a goodbye to the loss: RFC 6762, 10.1 */
#define KNOWN_FOR KITH_SEC(30)    /* an answer heard so lately is not asked for again: RFC 6762, 7.1 */
#define KNOWN_MAX 16
#define KEYS_AT_ONCE 6 /* in a packet; they leave room for the addresses */
#define PREFIX_MIN 8   /* bits; a shorter prefix is no network that is near */

/* An address of a peer and how long it holds. */
typedef struct address {
    kith_time until;
    uint8_t len;
    uint8_t b[KITH_MDNS_ADDR_LEN];
} address;

/* A peer on one link. */
typedef struct entry {
    kith_link link; /* kith_mdns.entries, in the order in which they were found */
    kith_peer_id peer;
    uint32_t on;
    kith_mdns_ip from; /* who claimed it first */
    uint8_t label[KITH_DNS_LABEL_MAX];
    uint8_t label_len; /* 0: its name is not one below the service */
    kith_time heard;
    uint32_t ttl; /* seconds, as it was said */
    address addrs[KITH_MDNS_ADDRS_MAX];
    size_t count;
    uint32_t holds, holds_told; /* of the keys that we seek, by slot */
    bool news;                  /* FOUND is to be told */
    bool told;                  /* it was */
    bool lost;                  /* LOST is to be told, and then it goes */
} entry;

/* One link. Its names are random and its own: whoever keeps what he heard of a name, as go-libp2p does, would keep
 * the addresses of one link and not look at those of another; and a change of addresses is a new name. */
typedef struct iface {
    kith_mdns_link l; /* id 0: free */
    uint8_t label[LABEL_LEN];
    kith_dns_name instance, host;
    kith_dns_name former; /* to say goodbye to; len 0: none */
    kith_time query_at, interval, queried;
    kith_time answer_at, answered;
    kith_time meta_at, meta_answered;
    uint32_t keys; /* to be said, by slot */
    kith_time keys_at, keys_said;
    bool was_queried, was_answered, was_meta_answered, was_keys_said;
    kith_time second; /* when the present second of packets began */
    unsigned packets; /* in it */
} iface;

struct kith_mdns {
    kith_env env;
    kith_peer_id self;
    kith_dns_name service, meta, hosts;
    iface ifaces[KITH_MDNS_LINKS_MAX];
    kith_mdns_keys published, sought;
    kith_list entries;
    kith_time expire_at; /* no entry needs a look before */
    bool browsing, left;
    kith_mdns_stats stats;
};

kith_mdns *kith_mdns_new(const kith_env *env, const kith_peer_id *self)
{
    kith_mdns *m = KITH_NEW(env, kith_mdns);
    if (!m)
        return NULL;
    m->env = *env;
    m->self = *self;
    m->expire_at = KITH_NEVER;
    kith_list_init(&m->entries);
    kith_err e = kith_dns_name_of(KITH_MDNS_SERVICE, &m->service);
    e = e ? e : kith_dns_name_of(META, &m->meta);
    e = e ? e : kith_dns_name_of(HOSTS, &m->hosts);
    assert(e == KITH_OK);
    (void)e;
    return m;
}

static void entry_free(kith_mdns *m, entry *e)
{
    kith_link_remove(&e->link);
    m->stats.peers--;
    KITH_FREE(&m->env, e);
}

void kith_mdns_free(kith_mdns *m)
{
    if (!m)
        return;
    KITH_EACH (&m->entries, k)
        entry_free(m, KITH_OF(k, entry, link));
    kith_env env = m->env;
    KITH_FREE(&env, m);
}

/* ---- links ---- */

static iface *find_iface(kith_mdns *m, uint32_t id)
{
    for (size_t i = 0; i < KITH_MDNS_LINKS_MAX; i++) {
        if (m->ifaces[i].l.id == id)
            return &m->ifaces[i];
    }
    return NULL;
}

static kith_time soon(const kith_mdns *m, kith_time now)
{
    return now + DELAY_MIN + kith_rand_below(&m->env, DELAY_SPAN);
}

/* Not before a second after the last time. */
static kith_time paused(kith_time at, bool before, kith_time last)
{
    return before && at < last + PAUSE ? last + PAUSE : at;
}

static void plan_answer(kith_mdns *m, kith_time now, iface *i)
{
    if (i->l.addr_count > 0 && !m->left)
        i->answer_at = kith_time_min(i->answer_at, paused(soon(m, now), i->was_answered, i->answered));
}

static void plan_meta(kith_mdns *m, kith_time now, iface *i)
{
    if (i->l.addr_count > 0 && !m->left)
        i->meta_at = kith_time_min(i->meta_at, paused(soon(m, now), i->was_meta_answered, i->meta_answered));
}

static void plan_keys(kith_mdns *m, kith_time now, iface *i, uint32_t keys)
{
    if (!keys || !i->l.id || i->l.addr_count == 0 || m->left)
        return;
    i->keys |= keys;
    i->keys_at = kith_time_min(i->keys_at, paused(soon(m, now), i->was_keys_said, i->keys_said));
}

/* From the beginning of the schedule, at `at` or a little later. */
static void plan_query(kith_mdns *m, kith_time at, iface *i)
{
    if (!m->browsing || m->left)
        return;
    i->query_at = paused(at, i->was_queried, i->queried);
    i->interval = PAUSE;
}

static void name_iface(kith_mdns *m, iface *i)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t k = 0; k < LABEL_LEN; k++)
        i->label[k] = (uint8_t)alphabet[kith_rand_below(&m->env, sizeof alphabet - 1)];
    kith_bytes label = kith_bytes_of(i->label, LABEL_LEN);
    kith_err e = kith_dns_name_join(label, &m->service, &i->instance);
    e = e ? e : kith_dns_name_join(label, &m->hosts, &i->host);
    assert(e == KITH_OK);
    (void)e;
}

static bool same_addrs(const kith_mdns_link *a, const kith_mdns_link *b)
{
    bool same = a->addr_count == b->addr_count;
    for (size_t i = 0; same && i < a->addr_count; i++)
        same = kith_maddr_eq(&a->addrs[i], &b->addrs[i]);
    return same;
}

kith_err kith_mdns_link_up(kith_mdns *m, kith_time now, const kith_mdns_link *link)
{
    assert(link->id && link->ip_count <= KITH_MDNS_IPS_MAX && link->addr_count <= KITH_MDNS_ADDRS_MAX);
    iface *i = find_iface(m, link->id);
    bool known = i != NULL;
    if (!known && !(i = find_iface(m, 0)))
        return KITH_ELIMIT;
    bool changed = !known || !same_addrs(&i->l, link);
    if (!known)
        *i = (iface){
            .query_at = KITH_NEVER, .answer_at = KITH_NEVER, .meta_at = KITH_NEVER, .keys_at = KITH_NEVER};
    if (known && changed && i->was_answered)
        i->former = i->instance;
    i->l = *link;
    if (!changed)
        return KITH_OK;
    name_iface(m, i);
    i->was_answered = false; /* the new name was never said */
    i->answer_at = i->keys_at = KITH_NEVER;
    plan_query(m, soon(m, now), i);
    plan_answer(m, now, i);
    plan_keys(m, now, i, m->published.used);
    return KITH_OK;
}

void kith_mdns_link_down(kith_mdns *m, kith_time now, uint32_t id)
{
    iface *i = id ? find_iface(m, id) : NULL;
    (void)now;
    if (!i)
        return;
    i->l.id = 0;
    KITH_EACH (&m->entries, k) {
        entry *e = KITH_OF(k, entry, link);
        e->lost |= e->on == id;
    }
}

void kith_mdns_browse(kith_mdns *m, kith_time now, bool on)
{
    if (on == m->browsing)
        return;
    m->browsing = on;
    for (size_t i = 0; i < KITH_MDNS_LINKS_MAX; i++) {
        m->ifaces[i].query_at = KITH_NEVER;
        plan_query(m, soon(m, now), &m->ifaces[i]);
    }
}

void kith_mdns_ask(kith_mdns *m, kith_time now)
{
    for (size_t i = 0; i < KITH_MDNS_LINKS_MAX; i++) {
        iface *f = &m->ifaces[i];
        kith_time before = f->query_at;
        plan_query(m, now, f);
        f->query_at = kith_time_min(before, f->query_at);
    }
}

kith_err kith_mdns_publish(kith_mdns *m, kith_time now, const uint8_t key[KITH_MDNS_KEY_LEN])
{
    size_t slot = kith_mdns_keys_find(&m->published, key);
    if (slot < KITH_MDNS_KEYS_MAX)
        return KITH_EEXISTS;
    kith_err e = kith_mdns_keys_add(&m->published, KITH_MDNS_KEYS_MAX, key, &slot);
    for (size_t i = 0; i < KITH_MDNS_LINKS_MAX && !e; i++)
        plan_keys(m, now, &m->ifaces[i], 1u << slot);
    return e;
}

bool kith_mdns_unpublish(kith_mdns *m, const uint8_t key[KITH_MDNS_KEY_LEN])
{
    size_t slot = kith_mdns_keys_find(&m->published, key);
    if (slot == KITH_MDNS_KEYS_MAX)
        return false;
    m->published.used &= ~(1u << slot);
    for (size_t i = 0; i < KITH_MDNS_LINKS_MAX; i++)
        m->ifaces[i].keys &= m->published.used;
    return true;
}

kith_err kith_mdns_seek(kith_mdns *m, kith_time now, const uint8_t key[KITH_MDNS_KEY_LEN])
{
    size_t slot;
    kith_err e = kith_mdns_keys_add(&m->sought, KITH_MDNS_SOUGHT_MAX, key, &slot);
    if (e)
        return e;
    KITH_EACH (&m->entries, k)
        KITH_OF(k, entry, link)->holds_told &= ~(1u << slot);
    kith_mdns_ask(m, now);
    return KITH_OK;
}

void kith_mdns_unseek(kith_mdns *m, const uint8_t key[KITH_MDNS_KEY_LEN])
{
    size_t slot = kith_mdns_keys_find(&m->sought, key);
    if (slot == KITH_MDNS_KEYS_MAX)
        return;
    m->sought.used &= ~(1u << slot);
    KITH_EACH (&m->entries, k) {
        entry *e = KITH_OF(k, entry, link);
        e->holds &= m->sought.used;
        e->holds_told &= m->sought.used;
    }
}

void kith_mdns_leave(kith_mdns *m, kith_time now)
{
    (void)now;
    if (m->left)
        return;
    m->left = true;
    for (size_t i = 0; i < KITH_MDNS_LINKS_MAX; i++) {
        iface *f = &m->ifaces[i];
        f->query_at = f->answer_at = f->meta_at = f->keys_at = KITH_NEVER;
        if (f->l.id && f->was_answered)
            f->former = f->instance;
    }
}

/* ---- addresses ---- */

static bool same_ip(const kith_mdns_ip *a, kith_bytes ip)
{
    return a->len == ip.len && memcmp(a->b, ip.p, ip.len) == 0;
}

/* Whether ip lies in a network that this machine has an address of on the link. */
static bool on_link(const kith_mdns_link *l, kith_bytes ip)
{
    for (size_t i = 0; i < l->ip_count; i++) {
        const kith_mdns_ip *own = &l->ips[i];
        size_t whole = own->prefix / 8, bits = own->prefix % 8;
        uint8_t mask = (uint8_t)(0xff00u >> bits);
        if (own->len != ip.len || own->prefix < PREFIX_MIN || own->prefix > 8 * own->len)
            continue;
        if (memcmp(own->b, ip.p, whole) == 0 && (bits == 0 || ((own->b[whole] ^ ip.p[whole]) & mask) == 0))
            return true;
    }
    return false;
}

/* Appends what stands in `from` behind its first component, a zone before it counted in. */
static kith_err append_rest(kith_maddr *to, const kith_maddr *from)
{
    kith_maddr_part part;
    kith_err e = KITH_OK;
    size_t at = 0, seen = 0;
    while (!e && kith_maddr_next(from, &at, &part)) {
        if (part.code == KITH_MA_IP6ZONE)
            continue; /* the name of an interface of the peer's */
        if (seen++ > 0)
            e = kith_maddr_add(to, part.code, part.value);
    }
    return e;
}

/* The address as it is of use here, or false: only what is on the same link. Nobody there can make us dial anywhere
 * else, as he could with names, relays and addresses far away. */
static bool localise(const iface *i, kith_bytes from, kith_maddr *a)
{
    kith_maddr_part ip, circuit;
    kith_maddr zoned = {0};
    kith_ip_scope scope = kith_maddr_scope(a);
    if ((!kith_maddr_find(a, KITH_MA_IP4, &ip) && !kith_maddr_find(a, KITH_MA_IP6, &ip)) ||
        kith_maddr_find(a, KITH_MA_P2P_CIRCUIT, &circuit))
        return false;
    switch (scope) {
    case KITH_IP_LINK:
        if (ip.code == KITH_MA_IP4)
            return true;
        if (kith_maddr_add(&zoned, KITH_MA_IP6ZONE, kith_bytes_str(i->l.name)) ||
            kith_maddr_add(&zoned, KITH_MA_IP6, ip.value) || append_rest(&zoned, a))
            return false;
        *a = zoned;
        return true;
    case KITH_IP_PRIVATE:
        return on_link(&i->l, ip.value) || kith_bytes_eq(ip.value, from);
    case KITH_IP_PUBLIC:
        return on_link(&i->l, ip.value);
    case KITH_IP_LOOPBACK:
    case KITH_IP_OTHER:
        break;
    }
    return false;
}

/* ---- peers ---- */

static entry *find_entry(const kith_mdns *m, uint32_t on, const kith_peer_id *peer)
{
    KITH_EACH (&m->entries, k) {
        entry *e = KITH_OF(k, entry, link);
        if (e->on == on && kith_peer_id_eq(&e->peer, peer))
            return e;
    }
    return NULL;
}

static size_t claims_of(const kith_mdns *m, kith_bytes from)
{
    size_t n = 0;
    KITH_EACH (&m->entries, k)
        n += same_ip(&KITH_OF(k, entry, link)->from, from);
    return n;
}

/* NULL: a cap, or no memory. */
static entry *claim(kith_mdns *m, uint32_t on, kith_bytes from, const kith_peer_id *peer)
{
    entry *e = find_entry(m, on, peer);
    if (e)
        return e;
    if (m->stats.peers < KITH_MDNS_PEERS_MAX && claims_of(m, from) < KITH_MDNS_PEERS_PER_SOURCE)
        e = KITH_NEW(&m->env, entry);
    if (!e) {
        m->stats.refused++;
        return NULL;
    }
    e->peer = *peer;
    e->on = on;
    e->from.len = (uint8_t)from.len;
    memcpy(e->from.b, from.p, from.len);
    kith_list_push(&m->entries, &e->link);
    m->stats.peers++;
    return e;
}

static void hear_address(kith_mdns *m, entry *e, const kith_maddr *a, kith_time until)
{
    address *slot = NULL;
    for (size_t i = 0; i < e->count && !slot; i++) {
        if (kith_bytes_eq(kith_bytes_of(e->addrs[i].b, e->addrs[i].len), kith_maddr_bytes(a)))
            slot = &e->addrs[i];
    }
    if (!slot) {
        if (e->count < KITH_MDNS_ADDRS_MAX) {
            slot = &e->addrs[e->count++];
        } else {
            slot = &e->addrs[0];
            for (size_t i = 1; i < e->count; i++)
                slot = e->addrs[i].until < slot->until ? &e->addrs[i] : slot;
        }
        slot->len = (uint8_t)a->len;
        memcpy(slot->b, a->b, a->len);
        e->news = true;
    }
    slot->until = until;
    m->expire_at = kith_time_min(m->expire_at, until);
}

/* One attribute of a TXT record; *whose: the peer that the record is about, once that is known. */
static void hear_attribute(kith_mdns *m, kith_time now, const iface *i, kith_bytes from,
                           const kith_dns_item *txt, kith_bytes label, kith_bytes attribute,
                           kith_peer_id *whose)
{
    const size_t skip = sizeof ATTRIBUTE - 1;
    kith_maddr a;
    kith_peer_id peer;
    if (attribute.len <= skip || memcmp(attribute.p, ATTRIBUTE, skip) != 0 ||
        kith_maddr_from_text(kith_bytes_skip(attribute, skip), &a, NULL) || !kith_maddr_peer(&a, &peer) ||
        kith_peer_id_eq(&peer, &m->self) || (whose->len && !kith_peer_id_eq(&peer, whose)) ||
        kith_maddr_set_peer(&a, NULL) || !localise(i, from, &a) || a.len > KITH_MDNS_ADDR_LEN)
        return;
    *whose = peer;
    entry *e = claim(m, i->l.id, from, &peer);
    if (!e)
        return;
    kith_time holds = txt->ttl < KITH_MDNS_KEPT / KITH_SEC(1) ? KITH_SEC(txt->ttl) : KITH_MDNS_KEPT;
    e->lost = false;
    e->heard = now;
    e->ttl = txt->ttl;
    e->label_len = (uint8_t)label.len;
    if (label.len)
        memcpy(e->label, label.p, label.len);
    hear_address(m, e, &a, now + holds);
}

/* Whether a packet from there speaks for the peer: its claim came from there, or it can be reached there. It has an
 * address of each family, and what an IPv6 packet comes from changes when the link-local address is ready. */
static bool speaks_for(const entry *e, kith_bytes from)
{
    bool does = same_ip(&e->from, from);
    for (size_t i = 0; i < e->count && !does; i++) {
        kith_maddr a;
        kith_maddr_part ip;
        does = kith_maddr_parse(kith_bytes_of(e->addrs[i].b, e->addrs[i].len), &a) == KITH_OK &&
               (kith_maddr_find(&a, KITH_MA_IP4, &ip) || kith_maddr_find(&a, KITH_MA_IP6, &ip)) &&
               kith_bytes_eq(ip.value, from);
    }
    return does;
}

/* Whoever said that it is there takes it back. */
static void hear_goodbye(kith_mdns *m, kith_time now, const iface *i, kith_bytes from, kith_bytes label)
{
    KITH_EACH (&m->entries, k) {
        entry *e = KITH_OF(k, entry, link);
        if (e->on != i->l.id || e->label_len == 0 || !speaks_for(e, from) ||
            !kith_bytes_eq(kith_bytes_of(e->label, e->label_len), label))
            continue;
        for (size_t a = 0; a < e->count; a++)
            e->addrs[a].until = kith_time_min(e->addrs[a].until, now + GOODBYE_AFTER);
        m->expire_at = kith_time_min(m->expire_at, now + GOODBYE_AFTER);
    }
}

/* Whose names the keys that we seek lead to, once all of the message is heard. */
static void take_keys(kith_mdns *m, const iface *i, kith_dns_rd *r)
{
    kith_dns_item item;
    kith_bytes label;
    while (m->sought.used && kith_dns_next(r, &item)) {
        if (item.section == KITH_DNS_QUESTION || item.type != KITH_DNS_PTR || item.cls != KITH_DNS_IN ||
            item.ttl == 0)
            continue;
        size_t slot = kith_mdns_keys_named(&m->sought, &item.name);
        if (slot == KITH_MDNS_KEYS_MAX || !kith_dns_name_below(&item.target, &m->service, &label))
            continue;
        KITH_EACH (&m->entries, k) {
            entry *e = KITH_OF(k, entry, link);
            if (e->on == i->l.id && kith_bytes_eq(kith_bytes_of(e->label, e->label_len), label))
                e->holds |= 1u << slot;
        }
    }
}

/* A peer's word stands in TXT records below the service, wherever in the message, with or without the PTR record that
 * leads there: implementations differ, and an answer may come in pieces. rust-libp2p's names are elsewhere, and only its
 * PTR record before them says that they are meant. */
static void take_response(kith_mdns *m, kith_time now, const iface *i, kith_bytes from, kith_dns_rd *r)
{
    kith_dns_rd again = *r;
    kith_dns_item item;
    kith_dns_name named = {0};
    kith_bytes label, attribute;
    while (kith_dns_next(r, &item)) {
        if (item.section == KITH_DNS_QUESTION || item.cls != KITH_DNS_IN)
            continue;
        if (item.type == KITH_DNS_PTR && kith_dns_name_eq(&item.name, &m->service)) {
            named = item.target;
            if (item.ttl == 0 && kith_dns_name_below(&item.target, &m->service, &label))
                hear_goodbye(m, now, i, from, label);
            continue;
        }
        kith_peer_id whose = {0};
        label = (kith_bytes){0};
        if (item.type != KITH_DNS_TXT ||
            (!kith_dns_name_below(&item.name, &m->service, &label) && !kith_dns_name_eq(&item.name, &named)))
            continue;
        if (item.ttl == 0)
            hear_goodbye(m, now, i, from, label);
        while (item.ttl > 0 && kith_dns_txt_next(&item.data, &attribute))
            hear_attribute(m, now, i, from, &item, label, attribute, &whose);
    }
    take_keys(m, i, &again);
}

static bool asks_for(const kith_dns_item *q, const kith_dns_name *name, uint16_t type)
{
    return (q->type == type || q->type == KITH_DNS_ANY) && kith_dns_name_eq(&q->name, name);
}

/* An answer tells all that there is to tell, whichever record was asked for; and to all, since rust-libp2p asks from
 * any port, and does not hear what is sent there. */
static void take_query(kith_mdns *m, kith_time now, iface *i, kith_dns_rd *r)
{
    kith_dns_item item;
    bool all = false, one = false, meta = false, known = false;
    uint32_t keys = 0;
    size_t slot;
    while (kith_dns_next(r, &item)) {
        if (item.cls != KITH_DNS_IN && !(item.section == KITH_DNS_QUESTION && item.cls == KITH_DNS_ANY))
            continue;
        switch (item.section) {
        case KITH_DNS_QUESTION:
            all |= asks_for(&item, &m->service, KITH_DNS_PTR);
            meta |= asks_for(&item, &m->meta, KITH_DNS_PTR);
            slot = kith_mdns_keys_named(&m->published, &item.name);
            if (slot < KITH_MDNS_KEYS_MAX && asks_for(&item, &item.name, KITH_DNS_PTR))
                keys |= 1u << slot;
            one |= asks_for(&item, &i->instance, KITH_DNS_TXT) ||
                   asks_for(&item, &i->instance, KITH_DNS_SRV) || asks_for(&item, &i->host, KITH_DNS_A) ||
                   asks_for(&item, &i->host, KITH_DNS_AAAA);
            break;
        case KITH_DNS_ANSWER: /* RFC 6762, 7.1: it knows the answer, for at least half of its time */
            known |= item.type == KITH_DNS_PTR && item.ttl >= KITH_MDNS_TTL / 2 &&
                     kith_dns_name_eq(&item.name, &m->service) &&
                     kith_dns_name_eq(&item.target, &i->instance);
            break;
        case KITH_DNS_AUTHORITY:
        case KITH_DNS_ADDITIONAL:
            break;
        }
    }
    if (one || (all && !known))
        plan_answer(m, now, i);
    if (meta)
        plan_meta(m, now, i);
    plan_keys(m, now, i, keys);
}

static bool too_many(kith_mdns *m, kith_time now, iface *i)
{
    if (now - i->second >= KITH_SEC(1)) {
        i->second = now;
        i->packets = 0;
    }
    if (i->packets >= KITH_MDNS_PACKETS_PER_SECOND) {
        m->stats.dropped++;
        return true;
    }
    i->packets++;
    return false;
}

void kith_mdns_recv(kith_mdns *m, kith_time now, uint32_t link, kith_bytes from, kith_bytes in)
{
    iface *i = link ? find_iface(m, link) : NULL;
    kith_dns_rd r;
    if (!i || m->left || (from.len != 4 && from.len != 16) || too_many(m, now, i))
        return;
    if (kith_dns_open(&r, in)) {
        m->stats.broken++;
        return;
    }
    if (r.flags & (KITH_DNS_OPCODE | KITH_DNS_RCODE)) /* RFC 6762, 18.3 and 18.11 */
        return;
    if (r.flags & KITH_DNS_RESPONSE)
        take_response(m, now, i, from, &r);
    else
        take_query(m, now, i, &r);
}

/* ---- sending ---- */

static size_t put_goodbye(const kith_mdns *m, iface *i, kith_span out)
{
    kith_dns_wr w;
    kith_dns_begin(&w, out, KITH_DNS_RESPONSE | KITH_DNS_AUTHORITATIVE);
    kith_dns_put_record(&w, KITH_DNS_ANSWER, &m->service, KITH_DNS_PTR, 0);
    kith_dns_put_name(&w, &i->former);
    kith_dns_end_record(&w);
    i->former.len = 0;
    return kith_dns_finish(&w).len;
}

static size_t put_meta(const kith_mdns *m, iface *i, kith_time now, kith_span out)
{
    kith_dns_wr w;
    kith_dns_begin(&w, out, KITH_DNS_RESPONSE | KITH_DNS_AUTHORITATIVE);
    kith_dns_put_record(&w, KITH_DNS_ANSWER, &m->meta, KITH_DNS_PTR, KITH_MDNS_TTL);
    kith_dns_put_name(&w, &m->service);
    kith_dns_end_record(&w);
    i->meta_at = KITH_NEVER;
    i->meta_answered = now;
    i->was_meta_answered = true;
    return kith_dns_finish(&w).len;
}

/* The host record of the first address of a kind; go-libp2p takes no peer without one. */
static void put_host(kith_dns_wr *w, const iface *i, uint32_t code, uint16_t type)
{
    kith_maddr_part part;
    for (size_t k = 0; k < i->l.addr_count; k++) {
        if (!kith_maddr_find(&i->l.addrs[k], code, &part))
            continue;
        kith_dns_put_record(w, KITH_DNS_ADDITIONAL, &i->host, type, KITH_MDNS_TTL);
        kith_put_bytes(&w->w, part.value);
        kith_dns_end_record(w);
        return;
    }
}

/* As many addresses as there is room for, the best first. */
static void put_attributes(const kith_mdns *m, kith_dns_wr *w, const iface *i)
{
    char text[sizeof ATTRIBUTE + KITH_MADDR_TEXT_MAX] = ATTRIBUTE;
    kith_dns_put_record(w, KITH_DNS_ADDITIONAL, &i->instance, KITH_DNS_TXT, KITH_MDNS_TTL);
    for (size_t k = 0; k < i->l.addr_count; k++) {
        kith_maddr a = i->l.addrs[k];
        if (kith_maddr_set_peer(&a, &m->self))
            continue;
        kith_maddr_text(&a, text + sizeof ATTRIBUTE - 1);
        kith_dns_mark before = kith_dns_here(w);
        kith_dns_put_string(w, kith_bytes_str(text));
        if (w->w.bad)
            kith_dns_undo(w, before);
    }
    kith_dns_end_record(w);
}

/* All that others need in order to dial. */
static void put_self(const kith_mdns *m, kith_dns_wr *w, const iface *i)
{
    kith_maddr_tcp tcp;
    kith_dns_put_record(w, KITH_DNS_ADDITIONAL, &i->instance, KITH_DNS_SRV, KITH_MDNS_TTL);
    kith_put_be32(&w->w, 0); /* priority, weight */
    kith_put_be16(&w->w, kith_maddr_to_tcp(&i->l.addrs[0], &tcp) ? 0 : tcp.port);
    kith_dns_put_name(w, &i->host);
    kith_dns_end_record(w);
    put_host(w, i, KITH_MA_IP4, KITH_DNS_A);
    put_host(w, i, KITH_MA_IP6, KITH_DNS_AAAA);
    put_attributes(m, w, i);
}

static size_t put_answer(const kith_mdns *m, iface *i, kith_time now, kith_span out)
{
    kith_dns_wr w;
    kith_dns_begin(&w, out, KITH_DNS_RESPONSE | KITH_DNS_AUTHORITATIVE);
    kith_dns_put_record(&w, KITH_DNS_ANSWER, &m->service, KITH_DNS_PTR, KITH_MDNS_TTL);
    kith_dns_put_name(&w, &i->instance);
    kith_dns_end_record(&w);
    put_self(m, &w, i);
    i->answer_at = KITH_NEVER;
    i->answered = now;
    i->was_answered = true;
    return kith_dns_finish(&w).len;
}

/* Some of the keys that are to be said. The service's own name is not in it: for others it is no answer. */
static size_t put_keys(const kith_mdns *m, iface *i, kith_time now, kith_span out)
{
    kith_dns_wr w;
    size_t said = 0;
    kith_dns_begin(&w, out, KITH_DNS_RESPONSE | KITH_DNS_AUTHORITATIVE);
    for (size_t slot = 0; slot < KITH_MDNS_KEYS_MAX && said < KEYS_AT_ONCE; slot++) {
        kith_dns_name name;
        if (!(i->keys >> slot & 1))
            continue;
        kith_mdns_keys_name(&m->published, slot, &name);
        kith_dns_put_record(&w, KITH_DNS_ANSWER, &name, KITH_DNS_PTR, KITH_MDNS_TTL);
        kith_dns_put_name(&w, &i->instance);
        kith_dns_end_record(&w);
        i->keys &= ~(1u << slot);
        said++;
    }
    i->keys_at = KITH_NEVER;
    if (said == 0)
        return 0; /* they were taken back */
    put_self(m, &w, i);
    i->keys_said = now;
    i->was_keys_said = true;
    if (i->keys)
        i->keys_at = now + PAUSE;
    return kith_dns_finish(&w).len;
}

/* Who need not answer, because we heard him lately. */
static void put_known(const kith_mdns *m, kith_dns_wr *w, const iface *i, kith_time now)
{
    size_t count = 0;
    KITH_EACH (&m->entries, k) {
        const entry *e = KITH_OF(k, entry, link);
        kith_dns_name instance;
        uint64_t age = (now - e->heard) / KITH_SEC(1);
        if (e->on != i->l.id || e->lost || e->label_len == 0 || now - e->heard > KNOWN_FOR ||
            age >= e->ttl / 2 ||
            kith_dns_name_join(kith_bytes_of(e->label, e->label_len), &m->service, &instance))
            continue;
        kith_dns_mark before = kith_dns_here(w);
        kith_dns_put_record(w, KITH_DNS_ANSWER, &m->service, KITH_DNS_PTR, e->ttl - (uint32_t)age);
        kith_dns_put_name(w, &instance);
        kith_dns_end_record(w);
        if (w->w.bad)
            kith_dns_undo(w, before);
        if (w->w.bad || ++count == KNOWN_MAX)
            return;
    }
}

static size_t put_query(kith_mdns *m, iface *i, kith_time now, kith_span out)
{
    kith_dns_wr w;
    kith_dns_begin(&w, out, 0);
    kith_dns_put_question(&w, &m->service, KITH_DNS_PTR);
    for (size_t slot = 0; slot < KITH_MDNS_KEYS_MAX; slot++) {
        kith_dns_name name;
        if (!(m->sought.used >> slot & 1))
            continue;
        kith_mdns_keys_name(&m->sought, slot, &name);
        kith_dns_put_question(&w, &name, KITH_DNS_PTR);
    }
    put_known(m, &w, i, now);
    i->queried = now;
    i->was_queried = true;
    i->query_at = now + i->interval + kith_rand_below(&m->env, i->interval / 10);
    i->interval = kith_time_min(2 * i->interval, INTERVAL_MAX);
    plan_answer(m, now, i); /* "a peer must respond to its own query" */
    return kith_dns_finish(&w).len;
}

size_t kith_mdns_send(kith_mdns *m, kith_time now, uint32_t *link, kith_span out)
{
    assert(out.len >= KITH_MDNS_PACKET_MAX);
    out.len = KITH_MDNS_PACKET_MAX;
    for (size_t k = 0; k < KITH_MDNS_LINKS_MAX; k++) {
        iface *i = &m->ifaces[k];
        if (!i->l.id)
            continue;
        *link = i->l.id;
        if (i->former.len)
            return put_goodbye(m, i, out);
        if (i->answer_at <= now)
            return put_answer(m, i, now, out);
        if (i->meta_at <= now)
            return put_meta(m, i, now, out);
        size_t n = i->keys_at <= now ? put_keys(m, i, now, out) : 0;
        if (n > 0)
            return n;
        if (i->query_at <= now)
            return put_query(m, i, now, out);
    }
    return 0;
}

/* ---- events and time ---- */

static size_t addrs_of(const entry *e, kith_maddr *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < e->count && n < max; i++) {
        if (kith_maddr_parse(kith_bytes_of(e->addrs[i].b, e->addrs[i].len), &out[n]) == KITH_OK)
            n++;
    }
    return n;
}

size_t kith_mdns_addrs(const kith_mdns *m, const kith_peer_id *peer, kith_maddr *out, size_t max)
{
    size_t n = 0;
    KITH_EACH (&m->entries, k) {
        const entry *e = KITH_OF(k, entry, link);
        if (!e->lost && kith_peer_id_eq(&e->peer, peer))
            n += addrs_of(e, out + n, max - n);
    }
    return n;
}

bool kith_mdns_next(kith_mdns *m, kith_mdns_event *ev)
{
    KITH_EACH (&m->entries, k) {
        entry *e = KITH_OF(k, entry, link);
        uint32_t holds = e->holds & ~e->holds_told;
        if (!e->lost && !e->news && !holds)
            continue;
        ev->peer = e->peer;
        ev->link = e->on;
        ev->count = 0;
        bool told = e->told;
        if (e->lost) {
            ev->kind = KITH_MDNS_LOST;
            entry_free(m, e);
            if (!told)
                continue; /* of whom nothing was ever told */
            return true;
        }
        ev->kind = e->news ? KITH_MDNS_FOUND : KITH_MDNS_HOLDS;
        ev->count = addrs_of(e, ev->addrs, KITH_MDNS_ADDRS_MAX);
        if (!e->news) {
            size_t slot = 0;
            while (!(holds >> slot & 1))
                slot++;
            e->holds_told |= 1u << slot;
            memcpy(ev->key, m->sought.key[slot], sizeof ev->key);
            return true;
        }
        e->news = false;
        e->told = true;
        return true;
    }
    return false;
}

kith_time kith_mdns_deadline(const kith_mdns *m)
{
    kith_time at = m->expire_at;
    for (size_t k = 0; k < KITH_MDNS_LINKS_MAX; k++) {
        const iface *i = &m->ifaces[k];
        if (!i->l.id)
            continue;
        at = kith_time_min(at, kith_time_min(i->query_at, kith_time_min(i->answer_at, i->meta_at)));
        at = kith_time_min(at, i->keys_at);
    }
    return at;
}

/* Drops addresses that do not hold any more; the peer with the last of them. */
static void expire(kith_mdns *m, kith_time now, entry *e)
{
    size_t kept = 0;
    for (size_t i = 0; i < e->count; i++) {
        if (e->addrs[i].until <= now)
            continue;
        m->expire_at = kith_time_min(m->expire_at, e->addrs[i].until);
        if (kept != i)
            e->addrs[kept] = e->addrs[i];
        kept++;
    }
    e->count = kept;
    e->lost |= kept == 0;
}

void kith_mdns_tick(kith_mdns *m, kith_time now)
{
    if (m->expire_at > now)
        return;
    m->expire_at = KITH_NEVER;
    KITH_EACH (&m->entries, k)
        expire(m, now, KITH_OF(k, entry, link));
}

kith_mdns_stats kith_mdns_stats_of(const kith_mdns *m)
{
    return m->stats;
}

void kith_mdns_check(const kith_mdns *m)
{
    size_t n = 0;
    KITH_EACH (&m->entries, k) {
        const entry *e = KITH_OF(k, entry, link);
        n++;
        assert(e->on && e->peer.len && !kith_peer_id_eq(&e->peer, &m->self));
        assert(e->count <= KITH_MDNS_ADDRS_MAX && (e->count > 0 || e->lost));
        assert(e->label_len <= KITH_DNS_LABEL_MAX);
        assert((e->holds & ~m->sought.used) == 0 && (e->holds_told & ~e->holds) == 0);
        for (size_t i = 0; i < e->count; i++)
            assert(e->addrs[i].len > 0 && e->addrs[i].len <= KITH_MDNS_ADDR_LEN &&
                   e->addrs[i].until >= m->expire_at);
        assert(claims_of(m, kith_bytes_of(e->from.b, e->from.len)) <= KITH_MDNS_PEERS_PER_SOURCE);
    }
    assert(n == m->stats.peers && n <= KITH_MDNS_PEERS_MAX);
    for (size_t i = 0; i < KITH_MDNS_LINKS_MAX; i++) {
        const iface *f = &m->ifaces[i];
        assert(!f->l.id || f->l.addr_count > 0 || f->answer_at == KITH_NEVER);
        assert(!m->left || (f->query_at == KITH_NEVER && f->keys_at == KITH_NEVER));
        assert((f->keys & ~m->published.used) == 0);
    }
}
