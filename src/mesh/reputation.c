/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Points, their decay, and bans. */
#include "mesh/reputation.h"

#include <assert.h>

#include "base/list.h"
#include "base/map.h"

typedef struct row {
    kith_link link;  /* reputation->rows */
    kith_link dirty; /* reputation->dirty */
    kith_link news;  /* reputation->news: a ban that is not told */
    kith_reputation_row r;
} row;

struct kith_reputation {
    kith_reputation_config cfg;
    kith_list rows, dirty, news;
    kith_map by_peer;
    uint64_t seed[2];
    size_t count;
};

#define P KITH_REPUTATION_POINT

static const struct kind {
    const char *name;
    int32_t each, least, most;
} kinds[KITH_CONDUCTS] = {
    [KITH_CONDUCT_CONNECTED] = {"connected", P, 0, 5 * P},
    [KITH_CONDUCT_STEADY] = {"steady", P, 0, 5 * P},
    [KITH_CONDUCT_UNREACHED] = {"unreached", -P / 2, -5 * P, 0}, /* never enough for anything by itself */
    [KITH_CONDUCT_LATENCY] = {"latency", 0, -2 * P, 2 * P},
    [KITH_CONDUCT_PROTOCOL] = {"protocol_error", -20 * P, -100 * P, 0},
    [KITH_CONDUCT_FLOOD] = {"flood", -5 * P, -100 * P, 0},
    [KITH_CONDUCT_GOSSIP] = {"gossip", 0, -100 * P, 0},
    [KITH_CONDUCT_DHT] = {"dht_wrong", -10 * P, -100 * P, 0},
    [KITH_CONDUCT_VERIFIED] = {"verified", 2 * P, 0, 20 * P},
    [KITH_CONDUCT_CORRUPT] = {"corrupt", -30 * P, -100 * P, 0},
};

const char *kith_conduct_name(kith_conduct k)
{
    return kinds[k].name;
}

void kith_reputation_config_default(kith_reputation_config *cfg)
{
    *cfg = (kith_reputation_config){.peers_max = 4096,
                                    .throttle = -20 * P,
                                    .ban = -60 * P,
                                    .ban_time = 3600,
                                    .ban_most = KITH_REPUTATION_WEEK};
}

/* ---- points ---- */

static int32_t within(int64_t v, kith_conduct k)
{
    return v < kinds[k].least ? kinds[k].least : v > kinds[k].most ? kinds[k].most : (int32_t)v;
}

/* Halves every half-life, and goes straight in between: nobody tells the difference, and it is the same on all machines. */
static int32_t decayed(int32_t points, uint64_t seconds)
{
    uint64_t halves = seconds / KITH_REPUTATION_HALF_LIFE, rest = seconds % KITH_REPUTATION_HALF_LIFE;
    if (halves >= 30)
        return 0;
    int64_t p = points / (int64_t)(1u << halves);
    return (int32_t)(p - p * (int64_t)rest / (2 * (int64_t)KITH_REPUTATION_HALF_LIFE));
}

static uint64_t since(uint64_t then, uint64_t unix)
{
    return unix > then ? unix - then : 0;
}

static int32_t points_of(const row *w, kith_conduct k, uint64_t unix)
{
    return decayed(w->r.points[k], since(w->r.at, unix));
}

static int32_t score_of(const row *w, uint64_t unix)
{
    int32_t sum = 0;
    for (int k = 0; k < KITH_CONDUCTS; k++)
        sum += points_of(w, (kith_conduct)k, unix);
    return sum;
}

/* Brings the points up to now; time that goes back changes nothing. */
static void settle(row *w, uint64_t unix)
{
    if (unix <= w->r.at)
        return;
    for (int k = 0; k < KITH_CONDUCTS; k++)
        w->r.points[k] = points_of(w, (kith_conduct)k, unix);
    w->r.at = unix;
}

/* ---- rows ---- */

static uint64_t key_of(const kith_reputation *r, const kith_peer_id *peer)
{
    return kith_hash(r->seed, kith_peer_id_bytes(peer));
}

static row *find(const kith_reputation *r, const kith_peer_id *peer)
{
    row *w = kith_map_get(&r->by_peer, key_of(r, peer));
    return w && kith_peer_id_eq(&w->r.peer, peer) ? w : NULL;
}

static void drop(kith_reputation *r, row *w)
{
    (void)kith_map_remove(&r->by_peer, key_of(r, &w->r.peer));
    kith_link_remove(&w->link);
    kith_link_remove(&w->dirty);
    kith_link_remove(&w->news);
    KITH_FREE(&r->cfg.env, w);
    r->count--;
}

static int32_t size_of(int32_t v)
{
    return v < 0 ? -v : v;
}

/* Who of two is missed less. */
static bool duller(const row *a, const row *b, uint64_t unix)
{
    uint64_t a_ban = a->r.banned_until > unix ? a->r.banned_until : 0;
    uint64_t b_ban = b->r.banned_until > unix ? b->r.banned_until : 0;
    if (a_ban != b_ban)
        return a_ban < b_ban;
    int32_t a_size = size_of(score_of(a, unix)), b_size = size_of(score_of(b, unix));
    return a_size != b_size ? a_size < b_size : a->r.at < b->r.at;
}

static void make_room(kith_reputation *r, uint64_t unix)
{
    row *least = NULL;
    KITH_EACH (&r->rows, k) {
        row *w = KITH_OF(k, row, link);
        if (!least || duller(w, least, unix))
            least = w;
    }
    if (least)
        drop(r, least);
}

/* NULL: no memory, or room. */
static row *row_for(kith_reputation *r, const kith_peer_id *peer, uint64_t unix)
{
    row *w = find(r, peer);
    if (w)
        return w;
    if (r->count >= r->cfg.peers_max)
        make_room(r, unix);
    if (r->count >= r->cfg.peers_max || kith_map_get(&r->by_peer, key_of(r, peer)))
        return NULL; /* or two peers with one hash, of which the first is known */
    w = KITH_NEW(&r->cfg.env, row);
    if (!w || kith_map_put(&r->by_peer, &r->cfg.env, key_of(r, peer), w)) {
        KITH_FREE(&r->cfg.env, w);
        return NULL;
    }
    w->r.peer = *peer;
    w->r.at = unix;
    kith_list_push(&r->rows, &w->link);
    r->count++;
    return w;
}

static void changed(kith_reputation *r, row *w)
{
    if (!kith_link_in(&w->dirty))
        kith_list_push(&r->dirty, &w->dirty);
}

/* After something bad. */
static void judge(kith_reputation *r, row *w, uint64_t unix)
{
    if (w->r.banned_until > unix || score_of(w, unix) > r->cfg.ban ||
        (r->cfg.exempt && r->cfg.exempt(r->cfg.ctx, &w->r.peer)))
        return;
    if (since(w->r.banned_until, unix) >= KITH_REPUTATION_WEEK)
        w->r.bans = 0;
    uint64_t time = r->cfg.ban_time;
    for (uint32_t i = 0; i < w->r.bans && time < r->cfg.ban_most; i++)
        time *= 2;
    w->r.banned_until = unix + (time < r->cfg.ban_most ? time : r->cfg.ban_most);
    w->r.bans++;
    for (int k = 0; k < KITH_CONDUCTS; k++) {
        if (w->r.points[k] < 0)
            w->r.points[k] /= 2;
    }
    if (!kith_link_in(&w->news))
        kith_list_push(&r->news, &w->news);
}

static void count(row *w, kith_conduct k)
{
    if (w->r.counts[k] < UINT32_MAX)
        w->r.counts[k]++;
}

void kith_reputation_note(kith_reputation *r, const kith_peer_id *peer, kith_conduct kind, uint64_t unix)
{
    row *w = row_for(r, peer, unix);
    if (!w)
        return;
    settle(w, unix);
    count(w, kind);
    w->r.points[kind] = within((int64_t)w->r.points[kind] + kinds[kind].each, kind);
    changed(r, w);
    if (kinds[kind].each < 0)
        judge(r, w, unix);
}

static int32_t latency_points(kith_time rtt)
{
    return rtt <= KITH_MS(50)    ? 2 * P
           : rtt <= KITH_MS(200) ? P
           : rtt <= KITH_SEC(1)  ? 0
           : rtt <= KITH_SEC(3)  ? -P
                                 : -2 * P;
}

void kith_reputation_rtt(kith_reputation *r, const kith_peer_id *peer, kith_time rtt, uint64_t unix)
{
    row *w = row_for(r, peer, unix);
    if (!w || rtt == 0)
        return;
    settle(w, unix);
    count(w, KITH_CONDUCT_LATENCY);
    w->r.rtt_ns = w->r.rtt_ns ? w->r.rtt_ns - w->r.rtt_ns / 8 + rtt / 8 : rtt;
    w->r.points[KITH_CONDUCT_LATENCY] = latency_points(w->r.rtt_ns);
    changed(r, w);
}

void kith_reputation_gossip(kith_reputation *r, const kith_peer_id *peer, double part, uint64_t unix)
{
    row *w = part > 0 ? row_for(r, peer, unix) : NULL; /* NaN is no conduct either */
    if (!w)
        return;
    double points = part * (double)r->cfg.ban;
    int32_t now =
        points < kinds[KITH_CONDUCT_GOSSIP].least ? kinds[KITH_CONDUCT_GOSSIP].least : (int32_t)points;
    settle(w, unix);
    if (now >= w->r.points[KITH_CONDUCT_GOSSIP] || w->r.banned_until > unix)
        return;
    count(w, KITH_CONDUCT_GOSSIP);
    w->r.points[KITH_CONDUCT_GOSSIP] = now;
    changed(r, w);
    judge(r, w, unix);
}

bool kith_reputation_lift(kith_reputation *r, const kith_peer_id *peer, uint64_t unix)
{
    row *w = find(r, peer);
    if (!w)
        return false;
    settle(w, unix);
    w->r.banned_until = 0;
    w->r.bans = 0;
    for (int k = 0; k < KITH_CONDUCTS; k++) {
        if (w->r.points[k] < 0)
            w->r.points[k] = 0;
    }
    kith_link_remove(&w->news);
    changed(r, w);
    return true;
}

/* ---- looking ---- */

static void facts_of(const kith_reputation *r, const row *w, uint64_t unix, kith_reputation_facts *out)
{
    *out = (kith_reputation_facts){.peer = w->r.peer,
                                   .score = score_of(w, unix),
                                   .rtt = w->r.rtt_ns,
                                   .banned_until = w->r.banned_until > unix ? w->r.banned_until : 0,
                                   .bans =
                                       since(w->r.banned_until, unix) < KITH_REPUTATION_WEEK ? w->r.bans : 0};
    out->throttled = out->score <= r->cfg.throttle;
    for (int k = 0; k < KITH_CONDUCTS; k++) {
        out->points[k] = points_of(w, (kith_conduct)k, unix);
        out->counts[k] = w->r.counts[k];
    }
}

bool kith_reputation_look(const kith_reputation *r, const kith_peer_id *peer, uint64_t unix,
                          kith_reputation_facts *out)
{
    const row *w = find(r, peer);
    if (w)
        facts_of(r, w, unix, out);
    return w != NULL;
}

bool kith_reputation_at(const kith_reputation *r, size_t i, uint64_t unix, kith_reputation_facts *out)
{
    kith_link *k = kith_list_first(&r->rows);
    for (; k && i > 0; i--)
        k = kith_list_next(&r->rows, k);
    if (k)
        facts_of(r, KITH_OF(k, row, link), unix, out);
    return k != NULL;
}

size_t kith_reputation_count(const kith_reputation *r)
{
    return r->count;
}

int32_t kith_reputation_score(const kith_reputation *r, const kith_peer_id *peer, uint64_t unix)
{
    const row *w = find(r, peer);
    return w ? score_of(w, unix) : 0;
}

uint64_t kith_reputation_banned(const kith_reputation *r, const kith_peer_id *peer, uint64_t unix)
{
    const row *w = find(r, peer);
    return w && w->r.banned_until > unix ? w->r.banned_until : 0;
}

bool kith_reputation_next_banned(kith_reputation *r, kith_peer_id *peer)
{
    kith_link *k = kith_list_pop(&r->news);
    if (k)
        *peer = KITH_OF(k, row, news)->r.peer;
    return k != NULL;
}

/* ---- keeping it ---- */

bool kith_reputation_take(kith_reputation *r, kith_reputation_row *out)
{
    kith_link *k = kith_list_pop(&r->dirty);
    if (k)
        *out = KITH_OF(k, row, dirty)->r;
    return k != NULL;
}

void kith_reputation_put(kith_reputation *r, const kith_reputation_row *from, uint64_t unix)
{
    row *w = row_for(r, &from->peer, unix);
    if (!w)
        return;
    w->r = *from;
    if (w->r.at > unix)
        w->r.at = unix; /* the clock was ahead when this was written */
    if (w->r.banned_until > unix + r->cfg.ban_most)
        w->r.banned_until = unix + r->cfg.ban_most;
    for (int k = 0; k < KITH_CONDUCTS; k++)
        w->r.points[k] = within(w->r.points[k], (kith_conduct)k);
}

kith_reputation *kith_reputation_new(const kith_reputation_config *cfg)
{
    kith_reputation *r = KITH_NEW(&cfg->env, kith_reputation);
    if (!r)
        return NULL;
    r->cfg = *cfg;
    kith_list_init(&r->rows);
    kith_list_init(&r->dirty);
    kith_list_init(&r->news);
    r->seed[0] = kith_rand_u64(&cfg->env);
    r->seed[1] = kith_rand_u64(&cfg->env);
    return r;
}

void kith_reputation_free(kith_reputation *r)
{
    if (!r)
        return;
    KITH_EACH (&r->rows, k)
        drop(r, KITH_OF(k, row, link));
    kith_map_fini(&r->by_peer, &r->cfg.env);
    kith_env env = r->cfg.env;
    KITH_FREE(&env, r);
}

void kith_reputation_check(const kith_reputation *r)
{
    size_t n = 0;
    for (kith_link *l = kith_list_first(&r->rows); l; l = kith_list_next(&r->rows, l)) {
        const row *w = KITH_OF(l, row, link);
        n++;
        for (int k = 0; k < KITH_CONDUCTS; k++)
            assert(w->r.points[k] == within(w->r.points[k], (kith_conduct)k));
        assert(find(r, &w->r.peer) == w);
    }
    assert(n == r->count && n <= r->cfg.peers_max && n == r->by_peer.len);
}
