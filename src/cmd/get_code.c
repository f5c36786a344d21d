/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Waiting for keys and candidates, and trying one at a time: each may make one guess at our secret. */
#include "cmd/get_code.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"

#define AGAIN \
    KITH_SEC( \
        3) /* after one that did not know the code: its sharer may still be working out what it is called */

struct get_code {
    session *s;
    kith_bytes protocols[2];
    bool call; /* remembered peers */
    get_code_try fn;
    void *ctx;
    kith_code_work *work; /* NULL: done */
    kith_code_keys keys;
    bool whole; /* the secret is there too */
    kith_code_find *find;
    kith_code_candidate queue[GET_CODE_TRIES_MAX];
    kith_time due[GET_CODE_TRIES_MAX]; /* 0: at once */
    size_t count, at;                  /* at: the next to be tried */
    bool trying;
    kith_peer_id refused[KITH_CODE_CANDIDATES_MAX];
    size_t refused_count, tried;
    uv_idle_t idle; /* calls fn from the loop */
    uv_timer_t timer;
    size_t open; /* handles */
};

static bool was_refused(const get_code *g, const kith_peer_id *peer)
{
    bool was = false;
    for (size_t i = 0; i < g->refused_count; i++)
        was |= kith_peer_id_eq(&g->refused[i], peer);
    return was;
}

static void on_idle(uv_idle_t *idle);

static void on_timer(uv_timer_t *t)
{
    get_code *g = t->data;
    uv_idle_start(&g->idle, on_idle);
}

/* Those that are found now stand before those that are to be tried again. */
static void put(get_code *g, const kith_code_candidate *c, kith_time due)
{
    size_t i = g->count;
    if (g->count == GET_CODE_TRIES_MAX)
        return;
    for (; i > g->at && g->due[i - 1] > due; i--) {
        g->queue[i] = g->queue[i - 1];
        g->due[i] = g->due[i - 1];
    }
    g->queue[i] = *c;
    g->due[i] = due;
    g->count++;
}

static void on_idle(uv_idle_t *idle)
{
    get_code *g = idle->data;
    const kith_time now = kith_host_now(g->s->host);
    uv_idle_stop(idle);
    while (g->whole && !g->trying && g->at < g->count) {
        if (g->due[g->at] > now) {
            uv_timer_start(&g->timer, on_timer, (g->due[g->at] - now) / 1000000 + 1, 0);
            return;
        }
        const kith_code_candidate *c = &g->queue[g->at++];
        if (was_refused(g, &c->peer))
            continue;
        g->trying = true;
        g->fn(g->ctx, c, &g->keys);
    }
}

static void go_on(get_code *g)
{
    uv_idle_start(&g->idle, on_idle);
}

static void on_found(void *ctx, const kith_code_candidate *c)
{
    get_code *g = ctx;
    put(g, c, 0);
    go_on(g);
}

static void on_keys(void *ctx, kith_err e, const kith_code_keys *keys, bool whole)
{
    get_code *g = ctx;
    g->work = e || whole ? NULL : g->work;
    g->whole = whole;
    memcpy(g->keys.place, keys->place, sizeof g->keys.place);
    memcpy(g->keys.tag, keys->tag, sizeof g->keys.tag);
    if (whole)
        memcpy(g->keys.secret, keys->secret, sizeof g->keys.secret); /* it is under way before */
    if (!e && !g->find) {
        kith_code_find_config cfg = {.host = g->s->host,
                                     .lan = g->s->lan,
                                     .dht = g->s->dht,
                                     .book = g->call ? g->s->book : NULL,
                                     .trust = g->s->trust,
                                     .found = on_found,
                                     .ctx = g};
        memcpy(cfg.protocols, g->protocols, sizeof cfg.protocols);
        memcpy(cfg.place, keys->place, sizeof cfg.place);
        g->find = kith_code_find_new(&cfg);
        kith_wipe(&cfg, sizeof cfg);
        e = g->find ? KITH_OK : KITH_ENOMEM;
    }
    if (e)
        session_end(g->s, cmd_fail(EXIT_FAILED, "no memory"));
    else
        go_on(g);
}

get_code *get_code_new(session *s, const kith_code *code, const kith_bytes protocols[2], bool call,
                       get_code_try fn, void *ctx)
{
    get_code *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->s = s;
    memcpy(g->protocols, protocols, sizeof g->protocols);
    g->call = call;
    g->fn = fn;
    g->ctx = ctx;
    g->work = kith_code_work_new(kith_host_loop(s->host), code, on_keys, g);
    if (!g->work) {
        free(g);
        return NULL;
    }
    uv_idle_init(kith_host_loop(s->host), &g->idle);
    g->idle.data = g;
    uv_timer_init(kith_host_loop(s->host), &g->timer);
    g->timer.data = g;
    g->open = 2;
    return g;
}

void get_code_next(get_code *g, bool refused, bool early)
{
    const kith_code_candidate c = g->queue[g->at - 1];
    early = early && (c.source == KITH_CODE_CONNECTED || c.source == KITH_CODE_REMEMBERED);
    g->trying = false;
    g->tried++;
    if (refused && !early && !was_refused(g, &c.peer) && g->refused_count < KITH_CODE_CANDIDATES_MAX)
        g->refused[g->refused_count++] = c.peer;
    if (refused && early && g->count < GET_CODE_TRIES_MAX / 2) /* who is found finds room */
        put(g, &c, kith_host_now(g->s->host) + AGAIN);
    go_on(g);
}

static void on_closed(uv_handle_t *h)
{
    get_code *g = h->data;
    if (--g->open > 0)
        return;
    kith_wipe(g, sizeof *g);
    free(g);
}

void get_code_done(get_code *g)
{
    if (!g)
        return;
    kith_code_work_cancel(g->work);
    kith_code_find_end(g->find);
    uv_close((uv_handle_t *)&g->idle, on_closed);
    uv_close((uv_handle_t *)&g->timer, on_closed);
}

void get_code_use(const kith_code_candidate *c, const kith_code_keys *keys, kith_ticket *ticket,
                  kith_fetch_code *proof)
{
    *ticket = (kith_ticket){.peer = c->peer};
    for (size_t i = 0; i < c->addr_count && i < KITH_TICKET_ADDRS_MAX; i++)
        ticket->addrs[ticket->addr_count++] = c->addrs[i];
    memcpy(proof->tag, keys->tag, sizeof proof->tag);
    memcpy(proof->secret, keys->secret, sizeof proof->secret);
}

size_t get_code_tried(const get_code *g)
{
    return g->tried;
}

const char *get_code_nowhere(const get_code *g)
{
    return g->trying || g->at < g->count || !g->find || !kith_code_find_is_nowhere(g->find)
               ? NULL
               : "there is nowhere to look for who has the code: mdns and dht are off, and there is nobody to call. Leave one of "
                 "them on, or fetch by a ticket, which 'kith share --ticket' prints";
}

void get_code_state(const get_code *g, char out[KITH_CODE_STATE_MAX + 1])
{
    if (g->trying)
        (void)snprintf(out, KITH_CODE_STATE_MAX + 1, "trying a peer that was found %s",
                       kith_code_source_text(g->queue[g->at - 1].source));
    else if (g->find)
        kith_code_find_state(g->find, out);
    else
        (void)snprintf(out, KITH_CODE_STATE_MAX + 1, "working out where to look");
}
