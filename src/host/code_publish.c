/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Publishing keys of a code, and putting the next in their place when the half hour is over. */
#include "host/code_publish.h"

#include <stdlib.h>

#include "crypto/crypto.h"
#include "host/clock.h"

#define KEYS 2                /* this half hour's, and the next one's */
#define LOOK_MS 5000          /* at the clock, which may be set */
#define RETRY_MIN KITH_SEC(1) /* the DHT may be joined only just now */
#define RETRY_MAX KITH_SEC(60)

typedef struct published {
    kith_code_publish *owner;
    uint64_t bucket;
    uint8_t hash[KITH_CODE_HASH_LEN];
    bool used, on_lan, in_dht, told;
    uint64_t op; /* under way; 0: none */
    kith_time retry_at, retry;
} published;

struct kith_code_publish {
    kith_code_publish_config cfg;
    published keys[KEYS]; /* by the half hour, modulo */
    uint64_t bucket;      /* this half hour */
    uv_timer_t timer;
};

static kith_bytes multihash(const published *k)
{
    return kith_bytes_of(k->hash, sizeof k->hash);
}

static void plan(kith_code_publish *p);

static void on_event(void *ctx, const kith_kad_event *ev)
{
    published *k = ctx;
    kith_code_publish *p = k->owner;
    if (ev->kind != KITH_KAD_DONE)
        return;
    k->op = 0;
    k->told = ev->reached > 0;
    k->retry_at = kith_host_now(p->cfg.host) + k->retry;
    k->retry = kith_time_min(2 * k->retry, RETRY_MAX);
    plan(p);
    if (k->bucket == p->bucket && p->cfg.told)
        p->cfg.told(p->cfg.ctx, ev->reached, k->told ? NULL : ev->why ? ev->why : kith_err_text(ev->err));
}

static void provide(published *k)
{
    kith_code_publish *p = k->owner;
    kith_time now = kith_host_now(p->cfg.host);
    kith_kad *kad = kith_dht_kad(p->cfg.dht);
    k->retry_at = now + k->retry;
    if (!kad || kith_kad_provide(kad, now, multihash(k), &k->op))
        return;
    k->in_dht = true;
    if (kith_dht_follow(p->cfg.dht, k->op, on_event, k))
        k->op = 0;
}

static void begin(kith_code_publish *p, published *k, uint64_t bucket)
{
    *k = (published){.owner = p, .used = true, .bucket = bucket, .retry = RETRY_MIN};
    kith_code_hash(p->cfg.place, bucket, k->hash);
    k->on_lan = p->cfg.lan && kith_lan_publish(p->cfg.lan, k->hash + 2);
    if (p->cfg.dht)
        provide(k);
}

static void end(kith_code_publish *p, published *k)
{
    kith_kad *kad = k->in_dht ? kith_dht_kad(p->cfg.dht) : NULL;
    if (k->on_lan)
        kith_lan_unpublish(p->cfg.lan, k->hash + 2);
    if (k->op)
        kith_dht_cancel(p->cfg.dht, k->op);
    if (kad)
        (void)kith_kad_unprovide(kad, multihash(k));
    k->used = false;
}

/* What is published is what the clock wants: the next key becomes the present one, and has been there for a while. */
static void turn(kith_code_publish *p)
{
    p->bucket = kith_code_bucket(p->cfg.wall ? p->cfg.wall() : kith_wall_s());
    for (uint64_t b = p->bucket; b < p->bucket + KEYS; b++) {
        published *k = &p->keys[b % KEYS];
        if (k->used && k->bucket == b)
            continue;
        if (k->used)
            end(p, k);
        begin(p, k, b);
    }
}

static void on_timer(uv_timer_t *t)
{
    kith_code_publish *p = t->data;
    kith_time now = kith_host_now(p->cfg.host);
    turn(p);
    for (size_t i = 0; i < KEYS; i++) {
        published *k = &p->keys[i];
        if (p->cfg.dht && !k->told && !k->op && k->retry_at <= now)
            provide(k);
    }
    plan(p);
}

static void plan(kith_code_publish *p)
{
    kith_time now = kith_host_now(p->cfg.host), at = now + KITH_MS(LOOK_MS);
    for (size_t i = 0; i < KEYS; i++) {
        const published *k = &p->keys[i];
        if (p->cfg.dht && !k->told && !k->op)
            at = kith_time_min(at, k->retry_at);
    }
    uv_timer_start(&p->timer, on_timer, at > now ? (at - now) / 1000000u + 1 : 1, 0);
}

kith_code_publish *kith_code_publish_new(const kith_code_publish_config *cfg)
{
    kith_code_publish *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->cfg = *cfg;
    uv_timer_init(kith_host_loop(cfg->host), &p->timer);
    p->timer.data = p;
    turn(p);
    plan(p);
    return p;
}

static void on_closed(uv_handle_t *h)
{
    kith_code_publish *p = h->data;
    kith_wipe(p, sizeof *p);
    free(p);
}

void kith_code_publish_end(kith_code_publish *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < KEYS; i++) {
        if (p->keys[i].used)
            end(p, &p->keys[i]);
    }
    uv_close((uv_handle_t *)&p->timer, on_closed);
}
