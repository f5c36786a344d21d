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
    kith_book *book;
    char target[256];
    kith_peer_id peer;
    kith_maddr addr;
    kith_reached_fn fn;
    void *ctx;
    uv_timer_t timer; /* for an answer that is at hand at once */
    kith_err err;
    char why[KITH_WHY_MAX];
} reach;

static void finish(reach *r, kith_conn *c, kith_err err, const char *why)
{
    char sentence[KITH_WHY_MAX];
    snprintf(sentence, sizeof sentence, "cannot reach %s: %s", r->target, why ? why : kith_err_text(err));
    r->fn(r->ctx, r->host, c, err, c ? NULL : sentence);
    free(r);
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    (void)h;
    finish(ctx, c, err, why);
}

static kith_err dial(reach *r, const kith_maddr *addrs, size_t count)
{
    return kith_host_dial(r->host, r->peer.len ? &r->peer : NULL, addrs, count, on_dialed, r);
}

static const char *words(const reach *r, kith_err e)
{
    switch ((int)e) {
    case KITH_ENOTFOUND:
        return r->addr.len ? "no usable address" : "no address known; pass its full address";
    case KITH_EUNSUPPORTED:
        return "kith dials TCP addresses only, so far";
    case KITH_ESTATE:
        return "the node is stopping";
    default:
        return kith_err_text(e);
    }
}

static void on_book(void *ctx, const kith_book_row *rows, size_t count)
{
    reach *r = ctx;
    kith_maddr addrs[KITH_BOOK_ADDRS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < count && n < KITH_BOOK_ADDRS_MAX; i++) {
        if (rows[i].addr.len)
            addrs[n++] = rows[i].addr;
    }
    kith_err e = dial(r, addrs, n);
    if (e)
        finish(r, NULL, e, words(r, e));
}

static void on_late_closed(uv_handle_t *handle)
{
    reach *r = handle->data;
    if (r->why[0]) { /* not even a target */
        r->fn(r->ctx, r->host, NULL, r->err, r->why);
        free(r);
        return;
    }
    finish(r, NULL, r->err, words(r, r->err));
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

kith_err kith_reach(kith_host *h, kith_book *book, const kith_trust *names, const char *target,
                    kith_reached_fn fn, void *ctx)
{
    reach *r = calloc(1, sizeof *r);
    if (!r)
        return KITH_ENOMEM;
    r->host = h;
    r->book = book;
    r->fn = fn;
    r->ctx = ctx;
    snprintf(r->target, sizeof r->target, "%s", target);
    kith_err e = kith_target_parse(target, names, &r->peer, &r->addr, r->why);
    if (!e && r->peer.len == 0)
        recognise(r);
    if (!e && r->addr.len == 0 && book && !kith_node_conn_find(kith_host_node(h), &r->peer))
        e = kith_book_ask(book, &r->peer, KITH_BOOK_ADDRS_MAX, on_book, r);
    else if (!e)
        e = dial(r, &r->addr, r->addr.len ? 1 : 0);
    if (e)
        finish_later(r, e);
    return KITH_OK;
}
