/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An iterative lookup over disjoint paths. */
#include "mesh/kad_lookup.h"

#include <assert.h>

#include "mesh/kad_table.h"

typedef enum standing { HEARD, ASKED, ANSWERED, FAILED } standing;

typedef struct candidate {
    kith_kad_key key;
    kith_peer_id id;
    uint8_t standing, path;
    uint16_t hops;
    uint16_t addrs_len;
    uint8_t *addrs;
} candidate;

typedef enum stage { SEARCHING, CHECKING, DONE } stage;

struct kith_kad_lookup {
    kith_kad_lookup_config cfg;
    stage stage;
    candidate **all; /* nearest first */
    size_t count, cap;
    unsigned on_path[KITH_KAD_PATHS_MAX]; /* candidates */
    unsigned under_way[KITH_KAD_PATHS_MAX];
    unsigned seeds, turn;
    unsigned asked, answered, failed;
};

kith_kad_lookup *kith_kad_lookup_new(const kith_kad_lookup_config *cfg)
{
    assert(cfg->paths >= 1 && cfg->paths <= KITH_KAD_PATHS_MAX);
    assert(cfg->k >= 1 && cfg->alpha >= 1 && cfg->beta >= 1);
    kith_kad_lookup *l = KITH_NEW(&cfg->env, kith_kad_lookup);
    if (l)
        l->cfg = *cfg;
    return l;
}

static void candidate_free(kith_kad_lookup *l, candidate *c)
{
    kith_mem_free(&l->cfg.env, c->addrs, c->addrs_len);
    KITH_FREE(&l->cfg.env, c);
}

void kith_kad_lookup_free(kith_kad_lookup *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->count; i++)
        candidate_free(l, l->all[i]);
    kith_env env = l->cfg.env;
    kith_mem_free(&env, l->all, l->cap * sizeof *l->all);
    KITH_FREE(&env, l);
}

/* Where a place is among the candidates, or would be: an answer names twenty, most of them known, of a hundred and more. */
static size_t place_of(const kith_kad_lookup *l, const kith_kad_key *key)
{
    size_t from = 0, to = l->count;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (kith_kad_key_nearer(&l->cfg.target, &l->all[mid]->key, key) < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static candidate *find(const kith_kad_lookup *l, const kith_kad_key *key)
{
    size_t i = place_of(l, key);
    return i < l->count && kith_kad_key_nearer(&l->cfg.target, &l->all[i]->key, key) == 0 ? l->all[i] : NULL;
}

/* Makes room on a path for one at this place. False: the path is full of those that are nearer, or were asked. */
static bool make_room(kith_kad_lookup *l, unsigned path, const kith_kad_key *key)
{
    if (l->on_path[path] < KITH_KAD_CANDIDATES_MAX)
        return true;
    for (size_t i = l->count; i-- > 0;) {
        candidate *c = l->all[i];
        if (kith_kad_key_nearer(&l->cfg.target, key, &c->key) >= 0)
            return false;
        if (c->path != path || c->standing != HEARD)
            continue;
        memmove(l->all + i, l->all + i + 1, (l->count - i - 1) * sizeof *l->all);
        l->count--;
        l->on_path[path]--;
        candidate_free(l, c);
        return true;
    }
    return false;
}

static kith_err add(kith_kad_lookup *l, const kith_peer_id *id, kith_bytes addrs, unsigned path,
                    unsigned hops)
{
    const kith_env *env = &l->cfg.env;
    kith_kad_key key = kith_kad_key_of(kith_peer_id_bytes(id));
    if (kith_peer_id_eq(id, &l->cfg.self) || find(l, &key))
        return KITH_OK;
    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 32;
        candidate **all = kith_mem_resize(env, l->all, l->cap * sizeof *all, cap * sizeof *all);
        if (!all)
            return KITH_ENOMEM;
        l->all = all;
        l->cap = cap;
    }
    candidate *c = KITH_NEW(env, candidate);
    uint8_t *copy = c && addrs.len ? kith_mem_new(env, addrs.len) : NULL;
    if (!c || (addrs.len && !copy)) {
        kith_mem_free(env, c, sizeof *c);
        return KITH_ENOMEM;
    }
    assert(addrs.len <= KITH_ADDRS_LEN_MAX);
    *c = (candidate){.key = key,
                     .id = *id,
                     .path = (uint8_t)path,
                     .hops = (uint16_t)hops,
                     .addrs = copy,
                     .addrs_len = (uint16_t)addrs.len};
    if (addrs.len)
        memcpy(copy, addrs.p, addrs.len);
    if (!make_room(l, path, &key)) {
        candidate_free(l, c);
        return KITH_OK;
    }
    size_t at = place_of(l, &key);
    memmove(l->all + at + 1, l->all + at, (l->count++ - at) * sizeof *l->all);
    l->all[at] = c;
    l->on_path[path]++;
    return KITH_OK;
}

kith_err kith_kad_lookup_seed(kith_kad_lookup *l, const kith_peer_id *id, kith_bytes addrs)
{
    return add(l, id, addrs, l->seeds++ % l->cfg.paths, 0);
}

kith_err kith_kad_lookup_seed_apart(kith_kad_lookup *l, const kith_peer_id *id, kith_bytes addrs)
{
    if (l->cfg.paths == KITH_KAD_PATHS_MAX)
        return KITH_ELIMIT;
    return add(l, id, addrs, l->cfg.paths++, 0);
}

/* ---- whom to ask ---- */

/* A path ends when its beta nearest have answered, those that failed left aside, or when nobody is left to ask. */
static bool ended(const kith_kad_lookup *l, unsigned path)
{
    unsigned near = 0;
    for (size_t i = 0; i < l->count; i++) {
        const candidate *c = l->all[i];
        if (c->path != path || c->standing == FAILED)
            continue;
        if (c->standing != ANSWERED)
            return false;
        if (++near == l->cfg.beta)
            return true;
    }
    return true;
}

static candidate *heard_on(const kith_kad_lookup *l, unsigned path)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->all[i]->path == path && l->all[i]->standing == HEARD)
            return l->all[i];
    }
    return NULL;
}

static unsigned under_way(const kith_kad_lookup *l)
{
    unsigned n = 0;
    for (unsigned p = 0; p < l->cfg.paths; p++)
        n += l->under_way[p];
    return n;
}

/* Each path in turn, and none has more than its share under way. */
static candidate *next_searching(kith_kad_lookup *l)
{
    unsigned share = (l->cfg.alpha + l->cfg.paths - 1) / l->cfg.paths;
    for (unsigned i = 0; i < l->cfg.paths; i++) {
        unsigned path = (l->turn + i) % l->cfg.paths;
        candidate *c = l->under_way[path] < share && !ended(l, path) ? heard_on(l, path) : NULL;
        if (c) {
            l->turn = path + 1;
            return c;
        }
    }
    return NULL;
}

/* Of the k nearest of all paths, one that was not asked yet. *waits: one of them has not answered. */
static candidate *next_checking(const kith_kad_lookup *l, bool *waits)
{
    unsigned near = 0;
    *waits = false;
    for (size_t i = 0; i < l->count && near < l->cfg.k; i++) {
        candidate *c = l->all[i];
        if (c->standing == FAILED)
            continue;
        near++;
        *waits = *waits || c->standing != ANSWERED;
        if (c->standing == HEARD)
            return c;
    }
    return NULL;
}

/* Goes on to the stage that is due. */
static void advance(kith_kad_lookup *l)
{
    bool waits = false;
    if (l->stage == SEARCHING) {
        for (unsigned p = 0; p < l->cfg.paths; p++)
            waits = waits || !ended(l, p);
        if (!waits)
            l->stage = CHECKING;
    }
    if (l->stage == CHECKING) {
        (void)next_checking(l, &waits);
        if (!waits)
            l->stage = DONE;
    }
    if (l->asked == KITH_KAD_ASKED_MAX && under_way(l) == 0)
        l->stage = DONE;
}

bool kith_kad_lookup_next(kith_kad_lookup *l, kith_kad_contact *out)
{
    bool waits;
    advance(l);
    if (l->stage == DONE || l->asked == KITH_KAD_ASKED_MAX || under_way(l) >= l->cfg.alpha)
        return false;
    candidate *c = l->stage == SEARCHING ? next_searching(l) : next_checking(l, &waits);
    if (!c)
        return false;
    c->standing = ASKED;
    l->asked++;
    l->under_way[c->path]++;
    *out = (kith_kad_contact){.id = c->id, .addrs = kith_bytes_of(c->addrs, c->addrs_len), .hops = c->hops};
    return true;
}

/* ---- what came of it ---- */

#define GROUPS_MAX (KITH_KAD_PEERS_MAX * KITH_ADDRS_MAX)

/* The groups of a peer's addresses, each once. */
static size_t groups_of(const kith_kad_peer *p, uint64_t out[KITH_ADDRS_MAX])
{
    kith_bytes packed = kith_addrs_bytes(&p->addrs);
    kith_maddr a;
    size_t n = 0;
    while (n < KITH_ADDRS_MAX && kith_addrs_next(&packed, &a)) {
        uint64_t g = kith_kad_group(&a);
        size_t i = 0;
        while (i < n && out[i] != g)
            i++;
        if (g && i == n)
            out[n++] = g;
    }
    return n;
}

typedef struct group_count {
    uint64_t group;
    unsigned peers;
} group_count;

static group_count *count_of(group_count *counts, size_t *len, uint64_t group)
{
    size_t i = 0;
    while (i < *len && counts[i].group != group)
        i++;
    if (i == *len)
        counts[(*len)++] = (group_count){.group = group};
    return &counts[i];
}

/* Marks the peers of an answer that are too many of one group. */
static void mark_crowds(const kith_kad_peer *named, size_t count, unsigned max, bool crowded[])
{
    group_count counts[GROUPS_MAX];
    uint64_t groups[KITH_ADDRS_MAX];
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t n = groups_of(&named[i], groups); n-- > 0;)
            count_of(counts, &len, groups[n])->peers++;
    }
    for (size_t i = 0; i < count; i++) {
        crowded[i] = false;
        for (size_t n = groups_of(&named[i], groups); n-- > 0;)
            crowded[i] = crowded[i] || count_of(counts, &len, groups[n])->peers > max;
    }
}

/* Whose answer is awaited. */
static candidate *settle(kith_kad_lookup *l, const kith_peer_id *id, standing s)
{
    kith_kad_key key = kith_kad_key_of(kith_peer_id_bytes(id));
    candidate *c = find(l, &key);
    if (!c || c->standing != ASKED)
        return NULL;
    c->standing = (uint8_t)s;
    l->under_way[c->path]--;
    return c;
}

void kith_kad_lookup_answered(kith_kad_lookup *l, const kith_peer_id *from, const kith_kad_peer *named,
                              size_t count)
{
    bool crowded[KITH_KAD_PEERS_MAX] = {false};
    candidate *c = settle(l, from, ANSWERED);
    if (!c)
        return;
    l->answered++;
    unsigned path = c->path, hops = c->hops + 1u;
    if (count > KITH_KAD_PEERS_MAX)
        count = KITH_KAD_PEERS_MAX;
    if (l->cfg.group_max)
        mark_crowds(named, count, l->cfg.group_max, crowded);
    for (size_t i = 0; i < count && l->stage == SEARCHING; i++) {
        if (!crowded[i] && add(l, &named[i].id, kith_addrs_bytes(&named[i].addrs), path, hops))
            break;
    }
    advance(l);
}

void kith_kad_lookup_failed(kith_kad_lookup *l, const kith_peer_id *id)
{
    if (!settle(l, id, FAILED))
        return;
    l->failed++;
    advance(l);
}

void kith_kad_lookup_stop(kith_kad_lookup *l)
{
    l->stage = DONE;
}

bool kith_kad_lookup_done(const kith_kad_lookup *l)
{
    return l->stage == DONE;
}

size_t kith_kad_lookup_nearest(const kith_kad_lookup *l, kith_kad_contact *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < l->count && n < max; i++) {
        const candidate *c = l->all[i];
        if (c->standing == ANSWERED)
            out[n++] = (kith_kad_contact){
                .id = c->id, .addrs = kith_bytes_of(c->addrs, c->addrs_len), .hops = c->hops};
    }
    return n;
}

kith_kad_lookup_facts kith_kad_lookup_look(const kith_kad_lookup *l)
{
    kith_kad_lookup_facts f = {.asked = l->asked,
                               .answered = l->answered,
                               .failed = l->failed,
                               .under_way = under_way(l),
                               .candidates = (unsigned)l->count};
    kith_kad_contact nearest;
    if (kith_kad_lookup_nearest(l, &nearest, 1))
        f.hops = nearest.hops;
    return f;
}

void kith_kad_lookup_check(const kith_kad_lookup *l)
{
    unsigned on_path[KITH_KAD_PATHS_MAX] = {0}, waits[KITH_KAD_PATHS_MAX] = {0}, asked = 0;
    for (size_t i = 0; i < l->count; i++) {
        const candidate *c = l->all[i];
        assert(c->path < l->cfg.paths && find(l, &c->key) == c);
        assert(i == 0 || kith_kad_key_nearer(&l->cfg.target, &l->all[i - 1]->key, &c->key) < 0);
        on_path[c->path]++;
        waits[c->path] += c->standing == ASKED;
        asked += c->standing != HEARD;
    }
    for (unsigned p = 0; p < l->cfg.paths; p++)
        assert(on_path[p] == l->on_path[p] && on_path[p] <= KITH_KAD_CANDIDATES_MAX &&
               waits[p] == l->under_way[p]);
    assert(asked == l->asked && asked <= KITH_KAD_ASKED_MAX && under_way(l) <= l->cfg.alpha);
    assert(l->asked == l->answered + l->failed + under_way(l));
}
