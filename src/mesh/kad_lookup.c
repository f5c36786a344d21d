/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An iterative lookup over disjoint paths. */
#include "mesh/kad_lookup.h"

#include <assert.h>

#include "mesh/kad_table.h"

typedef enum standing { HEARD, ASKED, LATE, PASSED, ANSWERED, FAILED } standing;

typedef struct candidate {
    kith_kad_key key;
    kith_peer_id id;
    uint8_t standing, path;
    uint16_t hops;
    uint16_t addrs_len;
    uint8_t *addrs;
    kith_time asked_at;
} candidate;

typedef enum stage { SEARCHING, CHECKING, DONE } stage;

struct kith_kad_lookup {
    kith_kad_lookup_config cfg;
    stage stage;
    candidate **all; /* nearest first */
    size_t count, cap;
    unsigned on_path[KITH_KAD_PATHS_MAX];   /* candidates */
    unsigned under_way[KITH_KAD_PATHS_MAX]; /* ASKED */
    unsigned waiting;                       /* LATE and PASSED too */
    unsigned seeds, turn;
    unsigned asked, answered, failed;
    kith_time takes, varies; /* an answer: smoothed mean and deviation; 0: there was none */
    kith_time due;
};

kith_kad_lookup *kith_kad_lookup_new(const kith_kad_lookup_config *cfg)
{
    assert(cfg->paths >= 1 && cfg->paths <= KITH_KAD_PATHS_MAX);
    assert(cfg->k >= 1 && cfg->alpha >= 1 && cfg->beta >= 1);
    kith_kad_lookup *l = KITH_NEW(&cfg->env, kith_kad_lookup);
    if (!l)
        return NULL;
    l->cfg = *cfg;
    l->due = KITH_NEVER;
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

/* Whom nobody waits for: the next nearest takes its place. */
static bool aside(const candidate *c)
{
    return c->standing == FAILED || c->standing == PASSED;
}

/* What a stretch of the nearest lacks before it is all there. */
typedef enum lack { NOTHING, THE_LATE, ANSWERS } lack;

/* Of the `most` nearest on a path (paths: on all), those set aside not counted; who is late is stood in for by the next, and yet waited for. */
static lack lack_of(const kith_kad_lookup *l, unsigned path, unsigned most)
{
    unsigned near = 0;
    lack found = NOTHING;
    for (size_t i = 0; i < l->count && near < most; i++) {
        const candidate *c = l->all[i];
        if ((path != l->cfg.paths && c->path != path) || aside(c))
            continue;
        if (c->standing == LATE) {
            found = THE_LATE;
            continue;
        }
        if (c->standing != ANSWERED)
            return ANSWERS;
        near++;
    }
    return found;
}

/* A path ends when its beta nearest have answered, or when nobody is left to ask. */
static lack path_lacks(const kith_kad_lookup *l, unsigned path)
{
    return lack_of(l, path, l->cfg.beta);
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
        candidate *c =
            l->under_way[path] < share && path_lacks(l, path) == ANSWERS ? heard_on(l, path) : NULL;
        if (c) {
            l->turn = path + 1;
            return c;
        }
    }
    return NULL;
}

/* Of the k nearest of all paths, one that was not asked yet. */
static candidate *next_checking(const kith_kad_lookup *l)
{
    unsigned near = 0;
    for (size_t i = 0; i < l->count && near < l->cfg.k; i++) {
        candidate *c = l->all[i];
        if (c->standing == HEARD)
            return c;
        near += c->standing == ASKED || c->standing == ANSWERED;
    }
    return NULL;
}

/* How long a question may take before it is late. */
static kith_time patience(const kith_kad_lookup *l)
{
    kith_time at = l->takes + 2 * l->varies;
    return l->takes == 0 ? KITH_KAD_LATE_FIRST : at < KITH_KAD_LATE_MIN ? KITH_KAD_LATE_MIN : at;
}

/* When a candidate becomes what it is to be next. */
static kith_time due_of(const kith_kad_lookup *l, const candidate *c)
{
    switch ((standing)c->standing) {
    case ASKED:
        return kith_time_after(c->asked_at, patience(l));
    case LATE: /* nobody is passed while there are not enough who were faster */
        return l->answered < l->cfg.beta ? KITH_NEVER
                                         : kith_time_after(c->asked_at, patience(l) + KITH_KAD_PASSED_AFTER);
    case HEARD:
    case PASSED:
    case ANSWERED:
    case FAILED:
        break;
    }
    return KITH_NEVER;
}

/* Goes on to the stage that is due. */
static void advance(kith_kad_lookup *l)
{
    bool waits = false;
    for (unsigned p = 0; p < l->cfg.paths && l->stage == SEARCHING; p++)
        waits = waits || path_lacks(l, p) != NOTHING;
    if (l->stage == SEARCHING && !waits)
        l->stage = CHECKING;
    if (l->stage == CHECKING && lack_of(l, l->cfg.paths, l->cfg.k) == NOTHING)
        l->stage = DONE;
    l->due = KITH_NEVER;
    unsigned awaited = 0;
    for (size_t i = 0; i < l->count; i++) {
        l->due = kith_time_min(l->due, due_of(l, l->all[i]));
        awaited += l->all[i]->standing == ASKED || l->all[i]->standing == LATE;
    }
    if (l->asked == KITH_KAD_ASKED_MAX && awaited == 0)
        l->stage = DONE;
}

bool kith_kad_lookup_next(kith_kad_lookup *l, kith_time now, kith_kad_contact *out)
{
    advance(l);
    if (l->stage == DONE || l->asked == KITH_KAD_ASKED_MAX || under_way(l) >= l->cfg.alpha ||
        l->waiting >= 2 * l->cfg.alpha)
        return false;
    candidate *c = l->stage == SEARCHING ? next_searching(l) : next_checking(l);
    if (!c)
        return false;
    c->standing = ASKED;
    c->asked_at = now;
    l->asked++;
    l->waiting++;
    l->under_way[c->path]++;
    l->due = kith_time_min(l->due, due_of(l, c));
    *out = (kith_kad_contact){.id = c->id, .addrs = kith_bytes_of(c->addrs, c->addrs_len), .hops = c->hops};
    return true;
}

kith_time kith_kad_lookup_deadline(const kith_kad_lookup *l)
{
    return l->stage == DONE ? KITH_NEVER : l->due;
}

void kith_kad_lookup_tick(kith_kad_lookup *l, kith_time now)
{
    for (size_t i = 0; i < l->count; i++) {
        candidate *c = l->all[i];
        while (due_of(l, c) <= now) {
            l->under_way[c->path] -= c->standing == ASKED;
            c->standing++;
        }
    }
    advance(l);
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
    if (!c || (c->standing != ASKED && c->standing != LATE && c->standing != PASSED))
        return NULL;
    l->under_way[c->path] -= c->standing == ASKED;
    l->waiting--;
    c->standing = (uint8_t)s;
    return c;
}

/* RFC 6298, 2.2 and 2.3. */
static void measure(kith_kad_lookup *l, kith_time took)
{
    if (took == 0)
        took = 1;
    if (l->takes == 0) {
        l->takes = took;
        l->varies = took / 2;
        return;
    }
    kith_time off = took > l->takes ? took - l->takes : l->takes - took;
    l->varies = (3 * l->varies + off) / 4;
    l->takes = (7 * l->takes + took) / 8;
}

void kith_kad_lookup_answered(kith_kad_lookup *l, kith_time now, const kith_peer_id *from,
                              const kith_kad_peer *named, size_t count)
{
    bool crowded[KITH_KAD_PEERS_MAX] = {false};
    candidate *c = settle(l, from, ANSWERED);
    if (!c)
        return;
    l->answered++;
    measure(l, now - c->asked_at);
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
                               .under_way = l->waiting,
                               .candidates = (unsigned)l->count};
    kith_kad_contact nearest;
    if (kith_kad_lookup_nearest(l, &nearest, 1))
        f.hops = nearest.hops;
    return f;
}

void kith_kad_lookup_check(const kith_kad_lookup *l)
{
    unsigned on_path[KITH_KAD_PATHS_MAX] = {0}, asks[KITH_KAD_PATHS_MAX] = {0}, asked = 0, over = 0;
    for (size_t i = 0; i < l->count; i++) {
        const candidate *c = l->all[i];
        assert(c->path < l->cfg.paths && find(l, &c->key) == c);
        assert(i == 0 || kith_kad_key_nearer(&l->cfg.target, &l->all[i - 1]->key, &c->key) < 0);
        on_path[c->path]++;
        asks[c->path] += c->standing == ASKED;
        asked += c->standing != HEARD;
        over += c->standing == ANSWERED || c->standing == FAILED;
    }
    for (unsigned p = 0; p < l->cfg.paths; p++)
        assert(on_path[p] == l->on_path[p] && on_path[p] <= KITH_KAD_CANDIDATES_MAX &&
               asks[p] == l->under_way[p]);
    assert(asked == l->asked && asked <= KITH_KAD_ASKED_MAX && under_way(l) <= l->cfg.alpha);
    assert(l->waiting <= 2 * l->cfg.alpha && l->asked == over + l->waiting);
    assert(over == l->answered + l->failed);
}
