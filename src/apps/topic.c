/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The door of the topics. */
#include "apps/topic.h"

#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "mesh/replay.h"
#include "node/limits.h"

typedef struct author {
    kith_link link; /* those heard of last are last */
    kith_peer_id id;
    kith_rate rate;
    double blame; /* at blamed_at */
    kith_time blamed_at;
} author;

struct kith_topic_door {
    kith_env env;
    uint32_t rate;
    uint64_t since;
    uint64_t seed[2];
    kith_replay *replay;
    kith_map by_id;
    kith_list authors;
    size_t count;
};

const char *kith_topic_fate_name(kith_topic_fate f)
{
    static const char *const names[KITH_TOPIC_FATES] = {
        [KITH_TOPIC_TAKEN] = "taken", [KITH_TOPIC_RAW] = "raw",           [KITH_TOPIC_BLOCKED] = "blocked",
        [KITH_TOPIC_BUSY] = "busy",   [KITH_TOPIC_EXPIRED] = "expired",   [KITH_TOPIC_AHEAD] = "ahead",
        [KITH_TOPIC_HAD] = "had",     [KITH_TOPIC_UNPROVEN] = "unproven", [KITH_TOPIC_WRONG] = "wrong",
    };
    return names[f];
}

kith_topic_door *kith_topic_door_new(const kith_env *env, uint32_t rate, uint64_t since)
{
    kith_topic_door *d = KITH_NEW(env, kith_topic_door);
    if (!d)
        return NULL;
    d->env = *env;
    d->rate = rate;
    d->since = since;
    d->seed[0] = kith_rand_u64(env);
    d->seed[1] = kith_rand_u64(env);
    kith_list_init(&d->authors);
    d->replay = kith_replay_new(env);
    if (d->replay)
        return d;
    kith_topic_door_free(d);
    return NULL;
}

void kith_topic_door_free(kith_topic_door *d)
{
    if (!d)
        return;
    for (kith_link *k; (k = kith_list_pop(&d->authors));)
        KITH_FREE(&d->env, KITH_OF(k, author, link));
    kith_map_fini(&d->by_id, &d->env);
    kith_replay_free(d->replay);
    kith_env env = d->env;
    KITH_FREE(&env, d);
}

static uint64_t key_of(const kith_topic_door *d, const kith_peer_id *id)
{
    return kith_hash(d->seed, kith_peer_id_bytes(id));
}

static author *find(const kith_topic_door *d, const kith_peer_id *id)
{
    author *a = kith_map_get(&d->by_id, key_of(d, id));
    return a && kith_peer_id_eq(&a->id, id) ? a : NULL;
}

/* NULL: no memory. */
static author *heard_of(kith_topic_door *d, const kith_peer_id *id)
{
    uint64_t key = key_of(d, id);
    author *a = kith_map_get(&d->by_id, key);
    if (!a) {
        if (d->count == KITH_TOPIC_AUTHORS_MAX) {
            a = KITH_OF(kith_list_pop(&d->authors), author, link);
            kith_map_remove(&d->by_id, key_of(d, &a->id));
            d->count--;
        } else if (!(a = KITH_NEW(&d->env, author))) {
            return NULL;
        }
        *a = (author){.id = *id};
        if (kith_map_put(&d->by_id, &d->env, key, a)) {
            KITH_FREE(&d->env, a);
            return NULL;
        }
        d->count++;
    } else if (!kith_peer_id_eq(&a->id, id)) {
        return NULL; /* two of one hash */
    }
    kith_link_remove(&a->link);
    kith_list_push(&d->authors, &a->link);
    return a;
}

static double faded(const author *a, kith_time now)
{
    double blame = a->blame;
    for (kith_time t = now - a->blamed_at; blame >= 1 && t >= KITH_TOPIC_BLAME_HALVES;
         t -= KITH_TOPIC_BLAME_HALVES)
        blame /= 2;
    return blame >= 1 ? blame : 0;
}

double kith_topic_blame(const kith_topic_door *d, kith_time now, const kith_peer_id *id)
{
    const author *a = find(d, id);
    return a ? -faded(a, now) : 0;
}

/* UTF-8 with no other control characters than those of lines. */
static bool is_text(kith_bytes in)
{
    while (in.len > 0) {
        uint32_t cp = 0;
        size_t n = kith_utf8_next(in, &cp);
        if (n == 0 || (cp < 0x20 && cp != '\n' && cp != '\r' && cp != '\t'))
            return false;
        in = kith_bytes_skip(in, n);
    }
    return true;
}

/* What reads like a message of kith is one, and has to be right. */
static kith_topic_fate judge(kith_topic_door *d, uint64_t wall, const kith_gossip_event *ev,
                             const kith_topic_author *who, kith_message *out)
{
    kith_err e = kith_message_parse(ev->data, out);
    if (e == KITH_EUNSUPPORTED) /* a key of a kind that this build does not know: nobody can tell */
        return KITH_TOPIC_UNPROVEN;
    if (e) {
        if (who->pq.len > 0)
            return KITH_TOPIC_UNPROVEN;
        *out = (kith_message){
            .source = ev->from, .topic = ev->topic, .payload = ev->data, .text = is_text(ev->data)};
        return KITH_TOPIC_RAW;
    }
    if (!kith_bytes_eq(out->topic, ev->topic) || !kith_peer_id_eq(&out->source, &ev->from) ||
        out->ttl > KITH_TOPIC_TTL_MAX)
        return KITH_TOPIC_WRONG;
    e = kith_message_fresh(out, wall);
    if (e || out->time < d->since)
        return e == KITH_EPROTO ? KITH_TOPIC_AHEAD : KITH_TOPIC_EXPIRED;
    if (who->pq.len > 0 && !kith_pq_id_eq(&out->pq, &who->pq))
        return KITH_TOPIC_UNPROVEN;
    e = kith_message_verify(out);
    if (e)
        return e == KITH_EUNSUPPORTED ? KITH_TOPIC_UNPROVEN : KITH_TOPIC_WRONG;
    e = kith_replay_take(d->replay, out, wall, who->contact);
    return !e ? KITH_TOPIC_TAKEN : e == KITH_ENOMEM ? KITH_TOPIC_BUSY : KITH_TOPIC_HAD;
}

kith_topic_fate kith_topic_take(kith_topic_door *d, kith_time now, uint64_t wall, const kith_gossip_event *ev,
                                const kith_topic_author *who, kith_message *out)
{
    if (who->blocked)
        return KITH_TOPIC_BLOCKED;
    author *a = heard_of(d, &ev->from);
    if (!a || !kith_rate_take(&a->rate, now, d->rate))
        return KITH_TOPIC_BUSY;
    kith_topic_fate f = judge(d, wall, ev, who, out);
    if (f == KITH_TOPIC_WRONG && kith_peer_id_eq(&ev->source, &ev->from)) {
        a->blame = faded(a, now) + KITH_TOPIC_BLAME;
        a->blamed_at = now;
    }
    return f;
}

kith_gossip_verdict kith_topic_verdict(kith_topic_fate f)
{
    return f == KITH_TOPIC_TAKEN || f == KITH_TOPIC_RAW ? KITH_GOSSIP_ACCEPT : KITH_GOSSIP_IGNORE;
}

size_t kith_topic_authors(const kith_topic_door *d)
{
    return d->count;
}
