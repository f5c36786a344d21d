/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One dial, one stream, one proof. */
#include "host/stream_get.h"

#include <stdio.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "host/share_proof.h"

#define TEXT_MAX 1024

struct kith_stream_get {
    kith_stream_get_config cfg;
    kith_ticket ticket;
    kith_fetch_code code;
    kith_sink sink;
    kith_stream *stream;
    kith_share_stream *machine; /* NULL: not yet, over, or the owner's */
    kith_pake *pake;
    bool over;
};

static void failed(kith_stream_get *g, kith_share_fetch_why why, bool files, const char *text)
{
    if (g->over)
        return;
    g->over = true;
    g->cfg.failed(g->cfg.ctx, why, files, text);
}

static void stop(kith_stream_get *g, kith_share_code code)
{
    kith_host *h = g->cfg.host;
    if (!g->machine || !g->stream)
        return;
    kith_share_stream_stop(g->machine, kith_host_now(h), code);
    kith_node_wake(kith_host_node(h), kith_host_now(h), g->stream);
    kith_host_kick(h);
}

static void on_pake(kith_stream_get *g, kith_bytes data)
{
    uint8_t confirm[KITH_PAKE_CONFIRM_LEN];
    kith_err err = g->pake ? kith_pake_confirm(g->pake, data, confirm) : KITH_EPROTO;
    if (!err) {
        kith_share_stream_pake(g->machine, kith_host_now(g->cfg.host),
                               kith_bytes_of(confirm, sizeof confirm));
        return;
    }
    stop(g, err == KITH_EAUTH ? KITH_SHARE_STOPPED : KITH_SHARE_PROTOCOL);
    if (err == KITH_EAUTH)
        failed(g, KITH_FETCH_WRONG_CODE, false, KITH_PROOF_WRONG);
    else
        failed(g, KITH_FETCH_DAMAGED, false, KITH_PROOF_MALFORMED);
}

static void on_failed(kith_stream_get *g, const kith_conn *conn, const kith_share_stream_event *e)
{
    char text[TEXT_MAX];
    /* what it serves may not be known yet: a stream that is reset before a word was said is one that it does not */
    bool files = e->err == KITH_EUNSUPPORTED ||
                 (e->err == KITH_ERESET && !kith_conn_supports(conn, kith_bytes_str(KITH_SHARE_STREAM_ID)));
    if (e->err == KITH_EREFUSED) {
        (void)snprintf(text, sizeof text, "the sharer ended it: %s%s", kith_share_code_text(e->code),
                       kith_share_code_advice(e->code));
        failed(g, kith_share_code_is_late(e->code) ? KITH_FETCH_LATE : KITH_FETCH_REFUSED, false, text);
    } else if (files) {
        failed(g, KITH_FETCH_REFUSED, true, "the peer shares no stream");
    } else if (e->err == KITH_EPROTO) {
        (void)snprintf(text, sizeof text, "the sharer broke the protocol: %s", e->why);
        failed(g, KITH_FETCH_DAMAGED, false, text);
    } else {
        failed(g, KITH_FETCH_LOST, false, e->why);
    }
}

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    kith_stream_get *g = ctx;
    kith_share_stream_event e;
    const char *refusal = kith_conn_refusal(ev->conn);
    if (refusal)
        failed(g, KITH_FETCH_REFUSED, false, refusal);
    while (g->machine && kith_share_stream_next(g->machine, &e)) {
        switch (e.kind) {
        case KITH_SHARE_STREAM_PAKE:
            on_pake(g, e.data);
            break;
        case KITH_SHARE_STREAM_FAILED:
            on_failed(g, ev->conn, &e);
            break;
        case KITH_SHARE_STREAM_OPENED:
            if (g->over)
                break;
            g->over = true;
            kith_share_stream *m = g->machine;
            g->machine = NULL;
            kith_pake_free(g->pake);
            g->pake = NULL;
            kith_stream_set_user(g->stream, NULL);
            g->cfg.opened(g->cfg.ctx, g->stream, m, kith_share_stream_pipe(m), e.both);
            return;
        case KITH_SHARE_STREAM_ASKED: /* the sharer's */
            break;
        }
    }
    if (ev->kind == KITH_NODE_STREAM_GONE) {
        failed(g, KITH_FETCH_LOST, false, "the connection was lost");
        g->machine = NULL;
        g->stream = NULL;
        kith_pake_free(g->pake);
        g->pake = NULL;
    } else if (g->stream) {
        kith_node_wake(kith_host_node(h), kith_host_now(h), g->stream);
    }
}

static kith_err pake_begin(kith_stream_get *g, const kith_conn *conn)
{
    kith_host *h = g->cfg.host;
    uint8_t first[KITH_PAKE_FIRST_LEN];
    kith_err err = kith_share_proof_ask(h, conn, g->code.tag, g->code.secret, &g->pake, first);
    if (!err)
        kith_share_stream_pake(g->machine, kith_host_now(h), kith_bytes_of(first, sizeof first));
    return err;
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *conn, kith_err err, const char *why)
{
    static const kith_bytes id[] = {{(const uint8_t *)KITH_SHARE_STREAM_ID, sizeof KITH_SHARE_STREAM_ID - 1}};
    kith_stream_get *g = ctx;
    char text[TEXT_MAX];
    if (g->over)
        return;
    if (!conn) {
        bool no = err == KITH_EAUTH || err == KITH_EPOLICY || err == KITH_EUNSUPPORTED || err == KITH_ECRYPTO;
        (void)snprintf(text, sizeof text, "cannot reach the sharer: %s%s", why ? why : kith_err_text(err),
                       no ? "" : "; is its 'kith share' still running?");
        failed(g, no ? KITH_FETCH_REFUSED : KITH_FETCH_UNREACHABLE, false, text);
        return;
    }
    g->cfg.connected(g->cfg.ctx, conn);
    if (g->over)
        return;
    g->machine = kith_share_stream_new_receiver(
        kith_node_env(kith_host_node(h)), kith_host_now(h),
        kith_bytes_of(g->ticket.capability, g->cfg.code ? 0 : g->ticket.capability_len),
        kith_bytes_of(g->code.tag, g->cfg.code ? sizeof g->code.tag : 0));
    kith_err e = g->machine ? kith_node_open(kith_host_node(h), kith_host_now(h), conn, id, 1,
                                             &kith_share_stream_ops, g->machine, &g->sink, &g->stream)
                            : KITH_ENOMEM;
    if (!e && g->cfg.code)
        e = pake_begin(g, conn);
    if (!e)
        return;
    if (!g->stream)
        g->machine = NULL;
    (void)snprintf(text, sizeof text, "cannot open a stream: %s", kith_err_text(e));
    failed(g, KITH_FETCH_FAILED, false, text);
}

kith_stream_get *kith_stream_get_new(const kith_stream_get_config *cfg)
{
    kith_stream_get *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->cfg = *cfg;
    g->ticket = *cfg->ticket;
    if (cfg->code)
        g->code = *cfg->code;
    g->sink = (kith_sink){.event = on_stream, .ctx = g};
    kith_err e =
        kith_host_dial(cfg->host, &g->ticket.peer, g->ticket.addrs, g->ticket.addr_count, on_dialed, g);
    if (e)
        failed(g, KITH_FETCH_UNREACHABLE, false,
               e == KITH_ENOTFOUND ? "cannot reach the sharer: the ticket has no address that kith can dial"
                                   : "cannot reach the sharer");
    return g;
}

void kith_stream_get_stop(kith_stream_get *g)
{
    if (!g->over)
        stop(g, KITH_SHARE_STOPPED);
    g->over = true;
}

void kith_stream_get_free(kith_stream_get *g)
{
    if (!g)
        return;
    kith_pake_free(g->pake);
    kith_wipe(g, sizeof *g);
    free(g);
}
