/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Counting against the caps. Addresses are counted by a seeded hash of their prefix, so strangers cannot make the table collide. */
#include "node/limits.h"

#include <assert.h>

/* Buckets that are not full, of so many prefixes; a full one is as good as none. Where a set has no room the fullest makes it: so strangers
 * from everywhere can make us forget what others did lately, and can never use up anybody else's tokens. */
#define RATE_SETS 64
#define RATE_WAYS 8
typedef struct rate_slot {
    uint64_t key; /* a prefix's hash */
    kith_rate rate;
} rate_slot;

struct kith_limiter {
    const kith_env *env;
    kith_limits caps;
    kith_usage use;
    uint64_t seed[2];
    kith_map by_prefix; /* hash of kind and prefix -> count */
    rate_slot rates[RATE_SETS][RATE_WAYS];
    kith_rate signs; /* of everybody */
};

void kith_limits_default(kith_limits *l)
{
    *l = (kith_limits){
        .conns = 8192,
        .conns_in = 6144,
        .conns_per_ip = 64,
        .conns_per_subnet = 512,
        .conns_per_peer = 8,
        .rate_per_ip = 600,      /* 10 handshakes a second take half a percent of a core */
        .rate_per_subnet = 4800, /* as 8 addresses, like the caps */
        .rate_pushes = 60,
        .rate_rekeys = 60,
        .rate_messages = 1200,
        .handshakes = 256,
        .sign_ms = 18000, /* three tenths of a core: 150 signatures of ML-DSA-65 a second */
        .sign_ms_per_ip = 3000,
        .dials = 128,
        .streams_in = 1024,
        .streams_out = 256, /* rust-yamux ends a session with more than 512 streams, both sides' together */
        .streams = 65536,
        .window_max = 64u * 1024 * 1024, /* 4.8 Gbit/s at 110 ms; the budget holds for all streams together */
        .window_budget = 64u * 1024 * 1024,
        .memory = 1024ull * 1024 * 1024,
        .exempt_loopback = true,
    };
}

kith_limiter *kith_limiter_new(const kith_env *env, const kith_limits *limits)
{
    kith_limiter *l = KITH_NEW(env, kith_limiter);
    if (!l)
        return NULL;
    l->env = env;
    l->caps = *limits;
    l->seed[0] = kith_rand_u64(env);
    l->seed[1] = kith_rand_u64(env);
    return l;
}

void kith_limiter_free(kith_limiter *l)
{
    if (!l)
        return;
    kith_map_fini(&l->by_prefix, l->env);
    KITH_FREE(l->env, l);
}

/* The two prefixes that an address counts under. */
typedef struct prefixes {
    bool counted;
    uint64_t ip, subnet;
    uint64_t sign; /* the ip's, for signatures */
} prefixes;

static prefixes prefixes_of(const kith_limiter *l, const kith_maddr *addr)
{
    prefixes p = {0};
    kith_maddr_part part;
    size_t ip_len, subnet_len;
    if (kith_maddr_find(addr, KITH_MA_IP4, &part)) {
        ip_len = 4;
        subnet_len = 3;
    } else if (kith_maddr_find(addr, KITH_MA_IP6, &part)) {
        ip_len = 8; /* /64: what one subscriber gets */
        subnet_len = 6;
    } else {
        return p;
    }
    if (l->caps.exempt_loopback && kith_maddr_scope(addr) == KITH_IP_LOOPBACK)
        return p;
    uint8_t key[10] = {0};
    memcpy(key + 2, part.value.p, ip_len);
    key[0] = (uint8_t)part.value.len;
    key[1] = 1;
    p.ip = kith_hash(l->seed, kith_bytes_of(key, 2 + ip_len));
    key[1] = 3;
    p.sign = kith_hash(l->seed, kith_bytes_of(key, 2 + ip_len));
    key[1] = 2;
    p.subnet = kith_hash(l->seed, kith_bytes_of(key, 2 + subnet_len));
    p.counted = true;
    return p;
}

static uintptr_t count_of(const kith_limiter *l, uint64_t key)
{
    return (uintptr_t)kith_map_get(&l->by_prefix, key);
}

static kith_err count_up(kith_limiter *l, uint64_t key)
{
    return kith_map_put(&l->by_prefix, l->env, key, (void *)(count_of(l, key) + 1));
}

static void count_down(kith_limiter *l, uint64_t key)
{
    uintptr_t n = count_of(l, key);
    assert(n > 0);
    if (n == 1)
        (void)kith_map_remove(&l->by_prefix, key);
    else
        (void)kith_map_replace(&l->by_prefix, key, (void *)(n - 1));
}

bool kith_rate_take_many(kith_rate *r, kith_time now, uint32_t per_minute, uint32_t n)
{
    if (per_minute == 0)
        return false;
    kith_time from = r->full_at > now ? r->full_at : now;
    kith_time after = kith_time_after(from, KITH_SEC(60) / per_minute * n);
    if (after - now > KITH_SEC(60))
        return false;
    r->full_at = after;
    return true;
}

bool kith_rate_take(kith_rate *r, kith_time now, uint32_t per_minute)
{
    return kith_rate_take_many(r, now, per_minute, 1);
}

/* The slot of a prefix; or the one that makes room for it. */
static rate_slot *slot_of(kith_limiter *l, uint64_t key)
{
    rate_slot *set = l->rates[key % RATE_SETS], *slot = set;
    for (rate_slot *s = set; s < set + RATE_WAYS; s++) {
        if (s->key == key)
            return s;
        if (s->rate.full_at < slot->rate.full_at)
            slot = s;
    }
    return slot;
}

static bool has_tokens(kith_limiter *l, uint64_t key, kith_time now, uint32_t per_minute, uint32_t n)
{
    const rate_slot *slot = slot_of(l, key);
    kith_rate probe = slot->key == key ? slot->rate : (kith_rate){0};
    return kith_rate_take_many(&probe, now, per_minute, n);
}

static void take_tokens(kith_limiter *l, uint64_t key, kith_time now, uint32_t per_minute, uint32_t n)
{
    rate_slot *slot = slot_of(l, key);
    if (slot->key != key)
        *slot = (rate_slot){.key = key};
    (void)kith_rate_take_many(&slot->rate, now, per_minute, n);
}

kith_err kith_limiter_accept(kith_limiter *l, kith_time now, const kith_maddr *remote, const char **why)
{
    const kith_limits *caps = &l->caps;
    prefixes p = prefixes_of(l, remote);
    *why = NULL;
    if (p.counted && count_of(l, p.ip) >= caps->conns_per_ip)
        *why = "limits.conns_per_ip reached";
    else if (p.counted && count_of(l, p.subnet) >= caps->conns_per_subnet)
        *why = "limits.conns_per_subnet reached";
    else if (p.counted && !has_tokens(l, p.ip, now, caps->rate_per_ip, 1))
        *why = "limits.rate_per_ip reached";
    else if (p.counted && !has_tokens(l, p.subnet, now, caps->rate_per_subnet, 1))
        *why = "limits.rate_per_subnet reached";
    if (*why)
        return KITH_EREFUSED;
    if (l->use.conns_in + l->use.conns_out >= caps->conns)
        *why = "limits.conns reached";
    else if (l->use.conns_in >= caps->conns_in)
        *why = "limits.conns_in reached";
    else if (l->use.handshakes >= caps->handshakes)
        *why = "limits.handshakes reached";
    if (*why)
        return KITH_ELIMIT;
    if (p.counted) {
        kith_err e = count_up(l, p.ip);
        if (e)
            return e;
        e = count_up(l, p.subnet);
        if (e) {
            count_down(l, p.ip);
            return e;
        }
        take_tokens(l, p.ip, now, caps->rate_per_ip, 1);
        take_tokens(l, p.subnet, now, caps->rate_per_subnet, 1);
    }
    l->use.conns_in++;
    l->use.handshakes++;
    return KITH_OK;
}

kith_err kith_limiter_sign(kith_limiter *l, kith_time now, const kith_maddr *remote, uint32_t ms,
                           const char **why)
{
    prefixes p = prefixes_of(l, remote);
    *why = NULL;
    if (p.counted && !has_tokens(l, p.sign, now, l->caps.sign_ms_per_ip, ms)) {
        *why = "limits.sign_ms_per_ip reached";
        return KITH_EREFUSED;
    }
    if (!kith_rate_take_many(&l->signs, now, l->caps.sign_ms, ms)) {
        *why = "limits.sign_ms reached";
        return KITH_ELIMIT;
    }
    if (p.counted)
        take_tokens(l, p.sign, now, l->caps.sign_ms_per_ip, ms);
    return KITH_OK;
}

kith_err kith_limiter_dial(kith_limiter *l, const char **why)
{
    *why = NULL;
    if (l->use.conns_in + l->use.conns_out >= l->caps.conns)
        *why = "limits.conns reached";
    else if (l->use.dials >= l->caps.dials)
        *why = "limits.dials reached";
    if (*why)
        return KITH_ELIMIT;
    l->use.conns_out++;
    l->use.dials++;
    return KITH_OK;
}

void kith_limiter_secured(kith_limiter *l)
{
    assert(l->use.handshakes > 0);
    l->use.handshakes--;
}

void kith_limiter_dialed(kith_limiter *l)
{
    assert(l->use.dials > 0);
    l->use.dials--;
}

void kith_limiter_release_in(kith_limiter *l, const kith_maddr *remote, bool secured)
{
    assert(l->use.conns_in > 0);
    l->use.conns_in--;
    if (!secured)
        kith_limiter_secured(l);
    prefixes p = prefixes_of(l, remote);
    if (!p.counted)
        return;
    count_down(l, p.ip);
    count_down(l, p.subnet);
}

void kith_limiter_release_out(kith_limiter *l, bool dialed)
{
    assert(l->use.conns_out > 0);
    l->use.conns_out--;
    if (!dialed)
        kith_limiter_dialed(l);
}

kith_err kith_limiter_stream(kith_limiter *l, size_t held)
{
    if (l->use.streams >= l->caps.streams && held >= KITH_STREAMS_ASSURED)
        return KITH_ELIMIT;
    l->use.streams++;
    return KITH_OK;
}

void kith_limiter_release_stream(kith_limiter *l)
{
    assert(l->use.streams > 0);
    l->use.streams--;
}

kith_usage kith_limiter_usage(const kith_limiter *l)
{
    return l->use;
}
