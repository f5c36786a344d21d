/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Dialling one peer: its addresses ranked and raced, names looked up on the way, the first OPEN connection wins. */
#include <assert.h>

#include "node/node_impl.h"
#include "node/rank.h"

/* How much a failure tells: the most telling one is reported when all addresses have failed. */
static int weight(kith_err e)
{
    switch (e) {
    case KITH_OK:
        return 0;
    case KITH_ENOTFOUND:
        return 1;
    case KITH_EIO:
    case KITH_ETIMEOUT:
        return 2;
    case KITH_ECLOSED:
    case KITH_ERESET:
    case KITH_EREFUSED:
        return 3;
    case KITH_ESHORT:
    case KITH_EFORMAT:
    case KITH_EPROTO:
    case KITH_ELIMIT:
    case KITH_ENOMEM:
    case KITH_ESPACE:
    case KITH_ECRYPTO:
    case KITH_EUNSUPPORTED:
    case KITH_EEXISTS:
    case KITH_ESTATE:
        return 4;
    case KITH_EAUTH:
    case KITH_EPOLICY:
        return 5;
    }
    return 0;
}

/* why is static, or in r. */
static void note_failure(kith_node *n, dial_job *j, kith_err err, const char *why, reason *r)
{
    if (weight(err) < weight(j->err))
        return;
    kith_reason_drop_(n, j->reason);
    j->err = err;
    j->why = why;
    j->reason = kith_reason_share_(r);
}

static void answer(kith_node *n, dial_waiter *w, kith_conn *c, kith_err err, const char *why)
{
    kith_link_remove(&w->link);
    w->conn = c;
    w->err = err;
    w->why = why;
    kith_note_(n, &w->note, 1);
}

/* Ends a job: every waiter is told; sockets and lookups still under way are given up. */
static void finish(kith_node *n, kith_time now, dial_job *j, kith_conn *won)
{
    kith_link_remove(&j->link);
    kith_timer_unclaim_(n, &j->timer);
    for (kith_link *k; (k = kith_list_first(&j->waiters));) {
        dial_waiter *w = KITH_OF(k, dial_waiter, link);
        w->reason = kith_reason_share_(j->reason);
        answer(n, w, won,
               won      ? KITH_OK
               : j->err ? j->err
                        : KITH_ENOTFOUND,
               won      ? NULL
               : j->why ? j->why
                        : "no usable address");
    }
    KITH_EACH (&n->lookups, k) {
        lookup *l = KITH_OF(k, lookup, link);
        if (l->job == j)
            l->job = NULL;
    }
    for (kith_link *k; (k = kith_list_pop(&j->conns));) {
        kith_conn *c = KITH_OF(k, kith_conn, in_job);
        c->job = NULL;
        if (c != won)
            kith_conn_end_(c, now, KITH_ECLOSED, "another address was faster", true);
    }
    kith_reason_drop_(n, j->reason);
    KITH_FREE(&n->env, j);
}

/* Adds an address unless it is there, has the wrong peer or cannot be dialled. */
static kith_err add_target(dial_job *j, const kith_maddr *addr, unsigned depth)
{
    kith_peer_id named;
    uint8_t rank = kith_addr_rank(addr);
    if (rank == KITH_RANK_NEVER)
        return KITH_EUNSUPPORTED;
    if (kith_maddr_peer(addr, &named)) {
        if (j->peer.len && !kith_peer_id_eq(&j->peer, &named))
            return KITH_EFORMAT;
    }
    if (j->target_count == DIAL_TARGETS_MAX || depth > DIAL_LOOKUP_DEPTH)
        return KITH_ELIMIT;
    for (size_t i = 0; i < j->target_count; i++) {
        if (kith_maddr_eq(&j->targets[i].addr, addr))
            return KITH_OK;
    }
    dial_target *t = &j->targets[j->target_count++];
    *t = (dial_target){.addr = *addr, .rank = rank, .depth = (uint8_t)depth};
    return KITH_OK;
}

static kith_err start_lookup(kith_node *n, dial_job *j, const dial_target *t)
{
    lookup *l = KITH_NEW(&n->env, lookup);
    if (!l)
        return KITH_ENOMEM;
    l->note.kind = NOTE_LOOKUP;
    l->id = n->next_id++;
    l->job = j;
    l->addr = t->addr;
    l->depth = t->depth;
    kith_list_push(&n->lookups, &l->link);
    kith_note_(n, &l->note, 1);
    return KITH_OK;
}

static kith_err start_socket(kith_node *n, kith_time now, dial_job *j, const dial_target *t)
{
    const char *why = NULL;
    kith_err e = kith_limiter_dial(n->limiter, &why);
    if (e) {
        note_failure(n, j, e, why, NULL);
        return e;
    }
    kith_conn *c;
    e = kith_conn_new_(n, now, false, &c);
    if (e) {
        kith_limiter_release_out(n->limiter, false);
        return e;
    }
    c->counted = true;
    c->job = j;
    kith_list_push(&j->conns, &c->in_job);
    c->remote = t->addr;
    if (!kith_maddr_peer(&t->addr, &c->expected))
        c->expected = j->peer;
    c->deadline = kith_time_after(now, n->cfg.dial_timeout);
    kith_timers_set(&n->timers, &c->timer.t, c->deadline);
    kith_note_(n, &c->note, CONN_DIAL);
    return KITH_OK;
}

static void start_target(kith_node *n, kith_time now, dial_job *j, dial_target *t)
{
    t->state = TARGET_ACTIVE;
    kith_err e = t->rank == KITH_RANK_NAME ? start_lookup(n, j, t) : start_socket(n, now, j, t);
    if (e)
        note_failure(n, j, e, j->why, j->reason);
    else
        j->active++;
}

static dial_target *next_target(dial_job *j)
{
    dial_target *best = NULL;
    for (size_t i = 0; i < j->target_count; i++) {
        dial_target *t = &j->targets[i];
        if (t->state == TARGET_WAITING && (!best || t->rank < best->rank))
            best = t;
    }
    return best;
}

/* Starts what is due. LAN addresses and names at once; public ones one after another, DIAL_STAGGER apart, or as soon as nothing else
 * is under way. The job may end in here. */
static void advance(kith_node *n, kith_time now, dial_job *j)
{
    for (dial_target *t; (t = next_target(j));) {
        bool at_once = t->rank <= KITH_RANK_LAN || t->rank == KITH_RANK_NAME;
        if (!at_once && j->active > 0 && now < j->next_start)
            break;
        start_target(n, now, j, t);
        if (!at_once)
            j->next_start = now + DIAL_STAGGER;
    }
    if (j->active == 0) {
        finish(n, now, j, NULL);
        return;
    }
    kith_timers_set(&n->timers, &j->timer.t, next_target(j) ? j->next_start : KITH_NEVER);
}

void kith_dialer_tick_(kith_node *n, kith_time now, dial_job *j)
{
    advance(n, now, j);
}

void kith_dialer_conn_failed_(kith_node *n, kith_time now, kith_conn *c)
{
    dial_job *j = c->job;
    c->job = NULL;
    kith_link_remove(&c->in_job);
    note_failure(n, j, c->err, c->why, c->reason);
    assert(j->active > 0);
    j->active--;
    advance(n, now, j);
}

void kith_dialer_conn_open_(kith_node *n, kith_time now, kith_conn *c)
{
    if (c->job) {
        dial_job *j = c->job;
        c->job = NULL;
        kith_link_remove(&c->in_job);
        finish(n, now, j, c);
    }
    KITH_EACH (&n->jobs, k) {
        dial_job *j = KITH_OF(k, dial_job, link);
        if (j->peer.len && kith_peer_id_eq(&j->peer, &c->peer)) {
            finish(n, now, j, c);
            return; /* one job per peer: the walk must not go on over what finish removed */
        }
    }
}

void kith_dialer_forget_(kith_node *n, const kith_conn *c)
{
    KITH_EACH (&n->notes, k) {
        note *t = KITH_OF(k, note, link);
        if (t->kind != NOTE_ANSWER)
            continue;
        dial_waiter *w = KITH_OF(t, dial_waiter, note);
        if (w->conn == c) {
            w->conn = NULL;
            w->err = c->err ? c->err : KITH_ECLOSED;
            w->why = c->why;
            w->reason = kith_reason_share_(c->reason);
        }
    }
}

void kith_dialer_stop_(kith_node *n, kith_time now)
{
    KITH_EACH (&n->jobs, k) {
        dial_job *j = KITH_OF(k, dial_job, link);
        j->err = KITH_ECLOSED;
        j->why = "this node is stopping";
        finish(n, now, j, NULL);
    }
}

void kith_dialer_free_all_(kith_node *n)
{
    KITH_EACH (&n->jobs, k) {
        dial_job *j = KITH_OF(k, dial_job, link);
        KITH_EACH (&j->waiters, i)
            KITH_FREE(&n->env, KITH_OF(i, dial_waiter, link));
        kith_reason_drop_(n, j->reason);
        KITH_FREE(&n->env, j);
    }
    KITH_EACH (&n->lookups, k)
        KITH_FREE(&n->env, KITH_OF(k, lookup, link));
}

static dial_job *job_for(kith_node *n, const kith_peer_id *peer)
{
    KITH_EACH (&n->jobs, k) {
        dial_job *j = KITH_OF(k, dial_job, link);
        if (peer->len && kith_peer_id_eq(&j->peer, peer))
            return j;
    }
    return NULL;
}

kith_err kith_node_dial(kith_node *n, kith_time now, const kith_peer_id *peer, const kith_maddr *addrs,
                        size_t count, uint64_t *dial_id)
{
    kith_peer_id want = peer ? *peer : (kith_peer_id){0};
    for (size_t i = 0; i < count; i++) {
        kith_peer_id named;
        if (!kith_maddr_peer(&addrs[i], &named))
            continue;
        if (want.len && !kith_peer_id_eq(&want, &named))
            return KITH_EFORMAT;
        want = named;
    }
    if (n->stopping)
        return KITH_ESTATE;
    dial_waiter *w = KITH_NEW(&n->env, dial_waiter);
    if (!w)
        return KITH_ENOMEM;
    w->note.kind = NOTE_ANSWER;
    w->id = n->next_id++;

    kith_conn *open = want.len ? kith_node_conn_find(n, &want) : NULL;
    if (open) {
        *dial_id = w->id;
        open->active_at = now;
        answer(n, w, open, KITH_OK, NULL);
        return KITH_OK;
    }
    dial_job *j = job_for(n, &want);
    bool fresh = !j;
    if (fresh) {
        if (kith_timer_claim_(n) == KITH_OK) {
            j = KITH_NEW(&n->env, dial_job);
            if (!j)
                n->timer_count--;
        }
        if (!j) {
            KITH_FREE(&n->env, w);
            return KITH_ENOMEM;
        }
        j->timer.owner = TIMER_JOB;
        j->peer = want;
        kith_list_init(&j->waiters);
        kith_list_init(&j->conns);
        kith_list_push(&n->jobs, &j->link);
    }
    kith_err e = KITH_ENOTFOUND;
    for (size_t i = 0; i < count; i++) {
        kith_err added = add_target(j, &addrs[i], 0);
        if (!added || (e == KITH_ENOTFOUND && added != KITH_ELIMIT))
            e = added;
    }
    if (fresh && j->target_count == 0) {
        kith_link_remove(&j->link);
        kith_timer_unclaim_(n, &j->timer);
        KITH_FREE(&n->env, j);
        KITH_FREE(&n->env, w);
        return e ? e : KITH_ENOTFOUND;
    }
    *dial_id = w->id;
    kith_list_push(&j->waiters, &w->link);
    advance(n, now, j);
    return KITH_OK;
}

void kith_node_dial_cancel(kith_node *n, kith_time now, uint64_t dial_id)
{
    KITH_EACH (&n->jobs, k) {
        dial_job *j = KITH_OF(k, dial_job, link);
        KITH_EACH (&j->waiters, i) {
            dial_waiter *w = KITH_OF(i, dial_waiter, link);
            if (w->id != dial_id)
                continue;
            kith_link_remove(&w->link);
            KITH_FREE(&n->env, w);
            if (kith_list_empty(&j->waiters))
                finish(n, now, j, NULL);
            return;
        }
    }
}

void kith_node_resolved(kith_node *n, kith_time now, uint64_t resolve_id, const kith_maddr *addrs,
                        size_t count, kith_err err)
{
    KITH_EACH (&n->lookups, k) {
        lookup *l = KITH_OF(k, lookup, link);
        if (l->id != resolve_id)
            continue;
        dial_job *j = l->job;
        unsigned depth = l->depth + 1u;
        kith_link_remove(&l->link);
        kith_link_remove(&l->note.link);
        KITH_FREE(&n->env, l);
        if (!j)
            return;
        j->active--;
        size_t before = j->target_count;
        for (size_t i = 0; i < count; i++)
            (void)add_target(j, &addrs[i],
                             depth); /* those of other peers or transports are left out: dnsaddr lists many */
        if (j->target_count == before)
            note_failure(n, j, err ? err : KITH_ENOTFOUND,
                         count ? "the name has no address that can be dialled" : "the name was not found",
                         NULL);
        advance(n, now, j);
        return;
    }
}
