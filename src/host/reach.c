/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reaching a peer by whatever the user knows of it. */
#include "host/reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/trust_methods.h"

kith_err kith_target_parse(const char *text, const kith_trust *names, kith_peer_id *peer, kith_maddr *addr,
                           char why[KITH_WHY_MAX])
{
    const char *reason = "";
    *peer = (kith_peer_id){0};
    *addr = (kith_maddr){0};
    if (text[0] != '/') {
        if (kith_trust_resolve(names, text, peer))
            return KITH_OK;
        snprintf(
            why, KITH_WHY_MAX,
            "'%.200s' is neither an address like /ip4/192.168.1.5/tcp/9000, nor a peer id like 12D3Koo..., nor the name of a known "
            "peer",
            text);
        return KITH_EFORMAT;
    }
    if (kith_maddr_from_text(kith_bytes_str(text), addr, &reason)) {
        snprintf(why, KITH_WHY_MAX,
                 "'%.200s' is not an address: %s; write it like /ip4/192.168.1.5/tcp/9000/p2p/12D3Koo...",
                 text, reason);
        return KITH_EFORMAT;
    }
    (void)kith_maddr_peer(addr, peer);
    return KITH_OK;
}

typedef struct reach {
    kith_host *host;
    kith_reach_by by;
    char target[256];
    kith_peer_id peer;
    kith_maddr addr;
    kith_reached_fn fn;
    void *ctx;
    uv_timer_t timer; /* for an answer that is at hand at once; and of the look at the local network */
    kith_lan_watch watch;
    bool looked, asked; /* at the local network, and the DHT: once each */
    kith_maddr *found;  /* there; NULL: nothing */
    size_t found_count;
    kith_err err;
    char why[KITH_WHY_MAX];
} reach;

static void finish(reach *r, kith_conn *c, kith_err err, const char *why)
{
    char sentence[KITH_WHY_MAX];
    snprintf(sentence, sizeof sentence, "cannot reach %s: %s", r->target, why ? why : kith_err_text(err));
    r->fn(r->ctx, r->host, c, err, c ? NULL : sentence);
    free(r->found);
    free(r);
}

static const char *words(const reach *r, kith_err e)
{
    switch ((int)e) {
    case KITH_ENOTFOUND:
        return r->addr.len ? "no usable address"
               : r->looked && r->asked
                   ? "no address known, and neither the local network nor the DHT knows one; pass its full address"
               : r->looked
                   ? "no address known, and nobody on the local network is this peer; pass its full address"
               : r->asked ? "no address known, and the DHT knows none; pass its full address"
                          : "no address known; pass its full address";
    case KITH_EUNSUPPORTED:
        return "kith dials TCP addresses only, so far";
    case KITH_ESTATE:
        return "the node is stopping";
    default:
        return kith_err_text(e);
    }
}

static bool look(reach *r);
static bool ask(reach *r);

/* False: there is nowhere else to look. */
static bool look_elsewhere(reach *r)
{
    return look(r) || ask(r);
}

/* Whether somebody who is elsewhere now could be why. */
static bool may_have_moved(kith_err e)
{
    return e == KITH_ENOTFOUND || e == KITH_ETIMEOUT || e == KITH_EREFUSED || e == KITH_EIO ||
           e == KITH_EAUTH || e == KITH_ERESET;
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    reach *r = ctx;
    (void)h;
    snprintf(r->why, sizeof r->why, "%s", why ? why : "");
    r->err = err;
    if (c || !may_have_moved(err) || !look_elsewhere(r))
        finish(r, c, err, why);
}

static kith_err dial(reach *r, const kith_maddr *addrs, size_t count)
{
    return kith_host_dial(r->host, r->peer.len ? &r->peer : NULL, addrs, count, on_dialed, r);
}

/* Nothing more was found. */
static void finish_unfound(reach *r, kith_err e)
{
    if (r->err) /* the addresses that were known before did not work, and that says more */
        finish(r, NULL, r->err, r->why[0] ? r->why : words(r, r->err));
    else
        finish(r, NULL, e, words(r, e));
}

/* ---- in the DHT ---- */

static void on_asked(void *ctx, const kith_kad_event *ev)
{
    reach *r = ctx;
    kith_maddr addrs[KITH_ADDRS_MAX];
    size_t n =
        ev->peer_count ? kith_addrs_unpack(kith_addrs_bytes(&ev->peers[0].addrs), addrs, KITH_ADDRS_MAX) : 0;
    kith_err e = ev->err ? KITH_ENOTFOUND : dial(r, addrs, n); /* it is connected: that one is taken */
    if (!e)
        return;
    if (ev->err && n > 0 && !r->err) {
        r->err = KITH_ETIMEOUT;
        snprintf(r->why, sizeof r->why, "the DHT knows addresses of it, but it answers at none");
    }
    finish_unfound(r, e);
}

/* Last, so that strangers do not hear of those who are near. False: it cannot be asked, or was. */
static bool ask(reach *r)
{
    uint64_t op;
    kith_kad *kad;
    if (r->asked || r->addr.len || !r->peer.len || kith_host_stopping(r->host) ||
        !(kad = kith_dht_kad_at_hand(r->by.dht)))
        return false;
    r->asked = true;
    return kith_kad_find_peer(kad, kith_host_now(r->host), &r->peer, &op) == KITH_OK &&
           kith_dht_follow(r->by.dht, op, on_asked, r) == KITH_OK;
}

/* ---- on the local network ---- */

static void on_look_closed(uv_handle_t *handle)
{
    reach *r = handle->data;
    kith_err e = r->found ? dial(r, r->found, r->found_count) : KITH_ENOTFOUND;
    if (e && !ask(r))
        finish_unfound(r, e);
}

static void look_over(reach *r)
{
    kith_lan_look_away(r->by.lan, &r->watch);
    if (!uv_is_closing((uv_handle_t *)&r->timer))
        uv_close((uv_handle_t *)&r->timer, on_look_closed);
}

static void take_found(reach *r)
{
    kith_maddr addrs[KITH_LAN_ADDRS_MAX];
    size_t n = kith_lan_addrs(r->by.lan, &r->peer, addrs, KITH_LAN_ADDRS_MAX);
    r->found = n ? malloc(n * sizeof *addrs) : NULL;
    if (!r->found)
        return;
    memcpy(r->found, addrs, n * sizeof *addrs);
    r->found_count = n;
    look_over(r);
}

static void on_lan_found(void *ctx, const kith_peer_id *peer, const char *interface)
{
    reach *r = ctx;
    (void)interface;
    if (!r->found && kith_peer_id_eq(peer, &r->peer))
        take_found(r);
}

static void on_lan_closed(void *ctx)
{
    reach *r = ctx;
    r->err = KITH_ECLOSED;
    snprintf(r->why, sizeof r->why, "the node is stopping");
    look_over(r);
}

static void on_look_late(uv_timer_t *t)
{
    look_over(t->data);
}

/* False: it cannot be looked for, or was. */
static bool look(reach *r)
{
    if (!r->by.lan || r->looked || r->addr.len || !r->peer.len || kith_host_stopping(r->host))
        return false;
    r->looked = true;
    r->watch = (kith_lan_watch){.found = on_lan_found, .closed = on_lan_closed, .ctx = r};
    uv_timer_init(kith_host_loop(r->host), &r->timer);
    r->timer.data = r;
    uv_timer_start(&r->timer, on_look_late, KITH_LOOK_MS, 0);
    if (!kith_lan_look(r->by.lan, &r->watch))
        on_lan_closed(r);
    else if (!r->found)
        take_found(r); /* it was there already */
    return true;
}

/* ---- addresses that are known ---- */

/* What the book knows and who is on the network now, in one dial; without either the network is asked. */
static void dial_known(reach *r, const kith_book_row *rows, size_t count)
{
    kith_maddr addrs[KITH_BOOK_ADDRS_MAX + KITH_LAN_ADDRS_MAX];
    size_t n = kith_lan_addrs(r->by.lan, &r->peer, addrs, KITH_LAN_ADDRS_MAX);
    for (size_t i = 0; i < count && n < KITH_BOOK_ADDRS_MAX + KITH_LAN_ADDRS_MAX; i++) {
        if (rows[i].addr.len)
            addrs[n++] = rows[i].addr;
    }
    kith_err e = dial(r, addrs, n);
    if (e && !(e == KITH_ENOTFOUND && look_elsewhere(r)))
        finish(r, NULL, e, words(r, e));
}

static void on_book(void *ctx, const kith_book_row *rows, size_t count)
{
    dial_known(ctx, rows, count);
}

/* ---- the start ---- */

static void on_late_closed(uv_handle_t *handle)
{
    reach *r = handle->data;
    if (r->why[0]) { /* not even a target */
        r->fn(r->ctx, r->host, NULL, r->err, r->why);
        free(r);
        return;
    }
    kith_err e = r->err;
    r->err = KITH_OK;
    if (e != KITH_ENOTFOUND || !look_elsewhere(r))
        finish(r, NULL, e, words(r, e));
}

/* A failure that is known already is told from the loop, not from inside the caller's call. */
static void finish_later(reach *r, kith_err e)
{
    r->err = e;
    uv_timer_init(kith_host_loop(r->host), &r->timer);
    r->timer.data = r;
    uv_close((uv_handle_t *)&r->timer, on_late_closed);
}

/* Whom we reached at an address before and are still connected to. */
static void recognise(reach *r)
{
    kith_node *n = kith_host_node(r->host);
    kith_conn_facts f;
    for (kith_conn *c = NULL; (c = kith_node_conn_next(n, c));) {
        kith_conn_facts_get(c, &f);
        if (f.open && !f.inbound && kith_maddr_eq(&f.remote, &r->addr))
            r->peer = f.peer;
    }
}

kith_err kith_reach(kith_host *h, const kith_reach_by *by, const char *target, kith_reached_fn fn, void *ctx)
{
    reach *r = calloc(1, sizeof *r);
    if (!r)
        return KITH_ENOMEM;
    r->host = h;
    r->by = *by;
    r->fn = fn;
    r->ctx = ctx;
    snprintf(r->target, sizeof r->target, "%s", target);
    kith_err e = kith_target_parse(target, by->names, &r->peer, &r->addr, r->why);
    if (!e && r->peer.len == 0)
        recognise(r);
    if (!e && r->addr.len == 0 && by->book && !kith_node_conn_find(kith_host_node(h), &r->peer))
        e = kith_book_ask(by->book, &r->peer, KITH_BOOK_ADDRS_MAX, on_book, r);
    else if (!e)
        e = dial(r, &r->addr, r->addr.len ? 1 : 0);
    if (e)
        finish_later(r, e);
    return KITH_OK;
}
