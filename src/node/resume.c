/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of what handshakes have left. */
#include "node/resume.h"

#include <assert.h>

#include "base/list.h"
#include "base/map.h"
#include "crypto/crypto.h"

#define SWEEP_PAUSE KITH_SEC(60) /* between two looks at all of it */

typedef struct session {
    bool ours, theirs; /* which secrets of legacy are there; neither: an empty place */
    kith_noise_pq pq;
    uint8_t level;
    kith_time checked_at;
    kith_noise_legacy legacy;
} session;

typedef struct holder {
    kith_link link;
    kith_peer_id peer;
    session s[KITH_RESUME_SESSIONS]; /* the newest first */
} holder;

struct kith_resume {
    const kith_env *env; /* borrowed */
    uint64_t seed[2];
    size_t max, count;
    kith_time lifetime, due;
    kith_list holders; /* the one that has left nothing for longest first */
    kith_map by_peer;  /* hash of the peer id, and of the name of a secret of theirs */
    kith_map by_name;
};

kith_resume *kith_resume_new(const kith_env *env, const uint64_t seed[2], size_t max, kith_time lifetime)
{
    kith_resume *r = KITH_NEW(env, kith_resume);
    if (!r)
        return NULL;
    r->env = env;
    r->seed[0] = seed[0];
    r->seed[1] = seed[1];
    r->max = max;
    r->lifetime = lifetime;
    r->due = KITH_NEVER;
    kith_list_init(&r->holders);
    return r;
}

static uint64_t peer_key(const kith_resume *r, const kith_peer_id *peer)
{
    return kith_hash(r->seed, kith_peer_id_bytes(peer));
}

static uint64_t name_key(const kith_resume *r, const uint8_t *name)
{
    return kith_hash(r->seed, kith_bytes_of(name, KITH_NOISE_RESUME_NAME_LEN));
}

static void ours_drop(session *s)
{
    kith_wipe(&s->legacy.ours, sizeof s->legacy.ours);
    s->ours = false;
}

static void theirs_drop(kith_resume *r, session *s)
{
    if (s->theirs)
        (void)kith_map_remove(&r->by_name, name_key(r, s->legacy.theirs.name));
    kith_wipe(&s->legacy.theirs, sizeof s->legacy.theirs);
    s->theirs = false;
}

static void session_drop(kith_resume *r, session *s)
{
    ours_drop(s);
    theirs_drop(r, s);
}

static void holder_free(kith_resume *r, holder *h)
{
    for (size_t i = 0; i < KITH_RESUME_SESSIONS; i++)
        session_drop(r, &h->s[i]);
    (void)kith_map_remove(&r->by_peer, peer_key(r, &h->peer));
    kith_link_remove(&h->link);
    KITH_FREE(r->env, h);
    if (--r->count > 0)
        return;
    kith_map_fini(&r->by_peer, r->env);
    kith_map_fini(&r->by_name, r->env);
    r->due = KITH_NEVER;
}

void kith_resume_forget_all(kith_resume *r)
{
    KITH_EACH (&r->holders, k)
        holder_free(r, KITH_OF(k, holder, link));
}

void kith_resume_free(kith_resume *r)
{
    if (!r)
        return;
    kith_resume_forget_all(r);
    KITH_FREE(r->env, r);
}

static bool empty(const session *s)
{
    return !s->ours && !s->theirs;
}

static bool over(const kith_resume *r, kith_time now, kith_time checked_at)
{
    return now >= kith_time_after(checked_at, r->lifetime);
}

static holder *holder_of(const kith_resume *r, const kith_peer_id *peer)
{
    holder *h = kith_map_get(&r->by_peer, peer_key(r, peer));
    return h && kith_peer_id_eq(&h->peer, peer) ? h : NULL;
}

/* The peer's place, at the end of the list. NULL: no memory, or two peers of one hash. */
static holder *claim(kith_resume *r, const kith_peer_id *peer)
{
    holder *h = holder_of(r, peer);
    if (h) {
        kith_link_remove(&h->link);
        kith_list_push(&r->holders, &h->link);
        return h;
    }
    if (r->count >= r->max)
        holder_free(r, KITH_OF(kith_list_first(&r->holders), holder, link));
    h = kith_map_get(&r->by_peer, peer_key(r, peer)) ? NULL : KITH_NEW(r->env, holder);
    if (!h)
        return NULL;
    h->peer = *peer;
    if (kith_map_put(&r->by_peer, r->env, peer_key(r, peer), h)) {
        KITH_FREE(r->env, h);
        return NULL;
    }
    kith_list_push(&r->holders, &h->link);
    r->count++;
    return h;
}

void kith_resume_keep(kith_resume *r, kith_time now, const kith_resume_facts *facts,
                      const kith_noise_legacy *legacy)
{
    uint64_t key = name_key(r, legacy->theirs.name);
    if (over(r, now, facts->checked_at) || kith_map_get(&r->by_name, key))
        return;
    holder *h = claim(r, &facts->peer);
    if (!h)
        return;
    for (size_t i = 0; i < KITH_RESUME_SESSIONS; i++) {
        if (!kith_pq_id_eq(&h->s[i].pq.id, &facts->pq.id))
            session_drop(r, &h->s[i]);
    }
    session *last = &h->s[KITH_RESUME_SESSIONS - 1];
    session_drop(r, last);
    memmove(&h->s[1], &h->s[0], sizeof h->s - sizeof h->s[0]);
    session *s = &h->s[0];
    s->pq = facts->pq;
    s->level = facts->level;
    s->checked_at = facts->checked_at;
    s->legacy = *legacy;
    s->ours = true;
    s->theirs = kith_map_put(&r->by_name, r->env, key, h) == KITH_OK;
    if (!s->theirs) /* without memory for its name the peer's is of no use */
        theirs_drop(r, s);
    r->due = kith_time_min(r->due, kith_time_after(facts->checked_at, r->lifetime));
}

static void tell(const holder *h, const session *s, const kith_noise_secret *secret, kith_resumption *out)
{
    out->facts =
        (kith_resume_facts){.peer = h->peer, .pq = s->pq, .level = s->level, .checked_at = s->checked_at};
    out->secret = *secret;
}

bool kith_resume_take(kith_resume *r, kith_time now, const kith_peer_id *peer, kith_resumption *out)
{
    holder *h = holder_of(r, peer);
    for (size_t i = 0; h && i < KITH_RESUME_SESSIONS; i++) {
        session *s = &h->s[i];
        if (!s->ours || over(r, now, s->checked_at))
            continue;
        tell(h, s, &s->legacy.ours, out);
        ours_drop(s);
        return true;
    }
    return false;
}

/* The session with this secret of theirs. */
static session *named(const kith_resume *r, const uint8_t *name, holder **of)
{
    holder *h = kith_map_get(&r->by_name, name_key(r, name));
    for (size_t i = 0; h && i < KITH_RESUME_SESSIONS; i++) {
        session *s = &h->s[i];
        if (!s->theirs || memcmp(s->legacy.theirs.name, name, KITH_NOISE_RESUME_NAME_LEN) != 0)
            continue;
        *of = h;
        return s;
    }
    return NULL;
}

bool kith_resume_find(const kith_resume *r, kith_time now, const uint8_t *name, uint8_t level,
                      kith_resumption *out)
{
    holder *h;
    session *s = named(r, name, &h);
    if (!s || s->level != level || over(r, now, s->checked_at))
        return false;
    tell(h, s, &s->legacy.theirs, out);
    return true;
}

bool kith_resume_spend(kith_resume *r, const kith_resumption *known)
{
    holder *h;
    session *s = named(r, known->secret.name, &h);
    if (!s)
        return false;
    theirs_drop(r, s);
    return true;
}

void kith_resume_forget(kith_resume *r, const kith_peer_id *peer)
{
    holder *h = holder_of(r, peer);
    if (h)
        holder_free(r, h);
}

kith_time kith_resume_deadline(const kith_resume *r)
{
    return r->due;
}

void kith_resume_tick(kith_resume *r, kith_time now)
{
    if (now < r->due)
        return;
    r->due = KITH_NEVER;
    KITH_EACH (&r->holders, k) {
        holder *h = KITH_OF(k, holder, link);
        bool left = false;
        for (size_t i = 0; i < KITH_RESUME_SESSIONS; i++) {
            session *s = &h->s[i];
            if (over(r, now, s->checked_at))
                session_drop(r, s);
            if (empty(s))
                continue;
            left = true;
            r->due = kith_time_min(r->due, kith_time_after(s->checked_at, r->lifetime));
        }
        if (!left)
            holder_free(r, h);
    }
    if (r->due != KITH_NEVER && r->due < now + SWEEP_PAUSE)
        r->due = now + SWEEP_PAUSE;
}

size_t kith_resume_peers(const kith_resume *r)
{
    return r->count;
}

void kith_resume_check(const kith_resume *r)
{
    size_t count = 0, names = 0;
    KITH_EACH (&r->holders, k) {
        const holder *h = KITH_OF(k, holder, link);
        count++;
        assert(holder_of(r, &h->peer) == h);
        for (size_t i = 0; i < KITH_RESUME_SESSIONS; i++) {
            const session *s = &h->s[i];
            names += s->theirs;
            assert(!s->theirs || kith_map_get(&r->by_name, name_key(r, s->legacy.theirs.name)) == h);
            assert(empty(s) || r->due != KITH_NEVER || r->lifetime == KITH_NEVER);
        }
    }
    assert(count == r->count && count <= r->max && count == r->by_peer.len && names == r->by_name.len);
    (void)count, (void)names;
}
