/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Calls to remembered peers, a few at a time. */
#include "host/code_call.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"

#define CALLS_AT_ONCE 4
#define ASKED_MAX 64 /* of the book: some may be blocked */
#define RETRY_MIN KITH_SEC(5)
#define RETRY_MAX KITH_SEC(40)

typedef enum callee_state { CALLEE_RESTS, CALLEE_CALLED, CALLEE_THERE } callee_state;

/*   RESTS --due--> CALLED --connected--> THERE --does not speak it--> RESTS, due now if there are other addresses
 *     ^---------------failed------------------gone---------------------|                                          */
typedef struct callee {
    kith_peer_id peer;
    callee_state state;
    size_t addr_count;
    kith_maddr addrs[KITH_CODE_CALL_ADDRS_MAX];
    bool vain[KITH_CODE_CALL_ADDRS_MAX]; /* leads to a node that does not speak the protocol */
    kith_time due, retry;
} callee;

/* A question or a call that is answered once, also after the end. */
typedef struct waiter {
    kith_link link;
    kith_code_call *owner; /* NULL: ended meanwhile */
    size_t callee;
} waiter;

struct kith_code_call {
    kith_host *host;
    const kith_trust *trust;
    kith_bytes protocols[2];
    callee callees[KITH_CODE_CALLS_MAX];
    size_t count;
    bool answered; /* by the book */
    kith_list waiters;
};

static waiter *wait_for(kith_code_call *c, size_t i)
{
    waiter *w = malloc(sizeof *w);
    if (w) {
        *w = (waiter){.owner = c, .callee = i};
        kith_list_push(&c->waiters, &w->link);
    }
    return w;
}

static void wait_no_more(waiter *w)
{
    if (w->owner)
        kith_link_remove(&w->link);
    free(w);
}

/* ---- whom ---- */

static bool is_blocked(const kith_code_call *c, const kith_peer_id *peer)
{
    const kith_trust_row *r = c->trust ? kith_trust_find(c->trust, peer) : NULL;
    return r && r->blocked;
}

static void take(kith_code_call *c, const kith_book_row *r)
{
    callee *last = c->count > 0 ? &c->callees[c->count - 1] : NULL;
    if (!last || !kith_peer_id_eq(&last->peer, &r->peer)) {
        if (c->count == KITH_CODE_CALLS_MAX || is_blocked(c, &r->peer) ||
            kith_peer_id_eq(&r->peer, kith_node_id(kith_host_node(c->host))))
            return;
        last = &c->callees[c->count++];
        *last = (callee){.peer = r->peer, .retry = RETRY_MIN};
    }
    if (last->addr_count < KITH_CODE_CALL_ADDRS_MAX)
        last->addrs[last->addr_count++] = r->addr;
}

static void on_book(void *ctx, const kith_book_row *rows, size_t count)
{
    waiter *w = ctx;
    kith_code_call *c = w->owner;
    wait_no_more(w);
    if (!c)
        return;
    c->answered = true;
    for (size_t i = 0; i < count; i++)
        take(c, &rows[i]);
    kith_code_call_tick(c);
}

/* ---- calls ---- */

bool kith_code_speaks(const kith_conn *conn, const kith_bytes protocols[2])
{
    return (protocols[0].len && kith_conn_supports(conn, protocols[0])) ||
           (protocols[1].len && kith_conn_supports(conn, protocols[1]));
}

static void rest(kith_code_call *c, callee *p)
{
    for (size_t i = 0; i < p->addr_count; i++)
        p->vain[i] = false;
    p->state = CALLEE_RESTS;
    p->due = kith_host_now(c->host) + p->retry;
    p->retry = kith_time_min(2 * p->retry, RETRY_MAX);
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *conn, kith_err err, const char *why)
{
    waiter *w = ctx;
    kith_code_call *c = w->owner;
    callee *p = c ? &c->callees[w->callee] : NULL;
    (void)h;
    (void)err;
    (void)why;
    wait_no_more(w);
    if (p && conn)
        p->state = CALLEE_THERE;
    else if (p)
        rest(c, p);
}

static void call(kith_code_call *c, callee *p)
{
    kith_maddr addrs[KITH_CODE_CALL_ADDRS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < p->addr_count; i++) {
        if (!p->vain[i])
            addrs[n++] = p->addrs[i];
    }
    waiter *w = n > 0 ? wait_for(c, (size_t)(p - c->callees)) : NULL;
    if (w && kith_host_dial(c->host, &p->peer, addrs, n, on_dialed, w) == KITH_OK) {
        p->state = CALLEE_CALLED;
        return;
    }
    if (w)
        wait_no_more(w);
    rest(c, p);
}

/* The node there is not the one. */
static void leave(kith_code_call *c, callee *p, kith_conn *conn, const kith_maddr *at)
{
    kith_maddr remote = *at;
    size_t left = 0;
    bool found = kith_maddr_set_peer(&remote, NULL) != KITH_OK;
    for (size_t i = 0; i < p->addr_count; i++) {
        if (!found && kith_maddr_eq(&p->addrs[i], &remote))
            found = p->vain[i] = true;
        left += !p->vain[i];
    }
    kith_node_close(kith_host_node(c->host), kith_host_now(c->host), conn);
    kith_host_kick(c->host);
    p->state = CALLEE_RESTS;
    p->due = 0;
    if (!found || left == 0) /* by a name, perhaps: nobody knows which of them it was */
        rest(c, p);
}

static void look(kith_code_call *c, callee *p)
{
    kith_conn *conn = kith_node_conn_find(kith_host_node(c->host), &p->peer);
    kith_conn_facts f;
    if (!conn) {
        rest(c, p);
        return;
    }
    kith_conn_facts_get(conn, &f);
    if (f.identified && !kith_code_speaks(conn, c->protocols))
        leave(c, p, conn, &f.remote);
}

void kith_code_call_tick(kith_code_call *c)
{
    kith_time now = kith_host_now(c->host);
    size_t under_way = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (c->callees[i].state == CALLEE_THERE)
            look(c, &c->callees[i]);
        under_way += c->callees[i].state == CALLEE_CALLED;
    }
    for (size_t i = 0; i < c->count && under_way < CALLS_AT_ONCE; i++) {
        callee *p = &c->callees[i];
        if (p->state != CALLEE_RESTS || p->due > now ||
            kith_node_conn_find(kith_host_node(c->host), &p->peer)) /* by somebody else's call */
            continue;
        call(c, p);
        under_way += p->state == CALLEE_CALLED;
    }
}

/* ---- life ---- */

kith_code_call *kith_code_call_new(kith_host *host, kith_book *book, const kith_trust *trust,
                                   const kith_bytes protocols[2])
{
    kith_code_call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->host = host;
    c->trust = trust;
    memcpy(c->protocols, protocols, sizeof c->protocols);
    kith_list_init(&c->waiters);
    waiter *w = wait_for(c, 0);
    if (w && kith_book_ask_contacts(book, "/kith/share", ASKED_MAX, on_book, w) == KITH_OK)
        return c;
    if (w)
        wait_no_more(w);
    free(c);
    return NULL;
}

size_t kith_code_call_count(const kith_code_call *c)
{
    return c ? c->count : 0;
}

bool kith_code_call_is_idle(const kith_code_call *c)
{
    return !c || (c->answered && c->count == 0);
}

bool kith_code_call_knows(const kith_code_call *c, const kith_peer_id *peer, kith_maddr *out, size_t max,
                          size_t *count)
{
    for (size_t i = 0; c && i < c->count; i++) {
        const callee *p = &c->callees[i];
        if (!kith_peer_id_eq(&p->peer, peer))
            continue;
        for (*count = 0; *count < p->addr_count && *count < max; ++*count)
            out[*count] = p->addrs[*count];
        return true;
    }
    return false;
}

void kith_code_call_end(kith_code_call *c)
{
    if (!c)
        return;
    for (kith_link *l; (l = kith_list_pop(&c->waiters));)
        KITH_OF(l, waiter, link)->owner = NULL;
    free(c);
}
