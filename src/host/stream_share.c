/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Asking who is there, until one is let in. */
#include "host/stream_share.h"

#include <stdlib.h>
#include <time.h>

#include "crypto/crypto.h"
#include "host/share_proof.h"

/* A stream that has not been let in. */
typedef struct guest {
    kith_stream_share *share;
    kith_link link;
    kith_sink sink;
    kith_stream *stream;
    kith_share_stream *machine;
    kith_peer_id peer;
    kith_share_grant *grant;
    kith_pake *pake;
    bool told; /* the owner was */
} guest;

struct kith_stream_share {
    kith_stream_share_config cfg;
    uint8_t key[KITH_ED25519_PUB_LEN];
    kith_share_grants grants;
    kith_sink sink; /* of streams whose first event is to come */
    kith_list guests;
    size_t count;
    bool taken, stopped;
};

static void guest_free(guest *g)
{
    kith_link_remove(&g->link);
    g->share->count--;
    kith_pake_free(g->pake);
    free(g);
}

static void refused(guest *g, const char *text)
{
    kith_stream_share *v = g->share;
    if (!v->stopped && !g->told)
        v->cfg.refused(v->cfg.ctx, &g->peer, text);
    g->told = true;
}

static void refuse(guest *g, kith_share_code code)
{
    kith_host *h = g->share->cfg.host;
    refused(g,
            code == KITH_SHARE_REFUSED ? "its ticket or code is none of ours" : kith_share_code_text(code));
    kith_share_stream_stop(g->machine, kith_host_now(h), code);
}

/* True: it is the owner's from here on, and g is no more. */
static bool admit(guest *g)
{
    kith_stream_share *v = g->share;
    kith_host *h = v->cfg.host;
    kith_share_code no =
        v->taken ? KITH_SHARE_USED_UP : kith_share_grant_refusal(g->grant, (uint64_t)time(NULL));
    if (no) {
        refuse(g, no);
        return false;
    }
    kith_stream *s = g->stream;
    kith_share_stream *m = g->machine;
    v->taken = true;
    g->grant->done++;
    kith_stream_set_user(s, NULL);
    guest_free(g);
    kith_share_stream_admit(m, kith_host_now(h), v->cfg.both);
    kith_node_wake(kith_host_node(h), kith_host_now(h), s);
    v->cfg.admitted(v->cfg.ctx, s, kith_share_stream_pipe(m));
    return true;
}

static bool on_pake(guest *g, kith_bytes data)
{
    kith_host *h = g->share->cfg.host;
    uint8_t answer[KITH_PAKE_ANSWER_LEN];
    bool proved;
    kith_err err =
        kith_share_proof_take(h, kith_stream_conn(g->stream), g->grant, data, &g->pake, answer, &proved);
    if (proved)
        return admit(g);
    if (err)
        refuse(g, kith_share_proof_refusal(err));
    else
        kith_share_stream_pake(g->machine, kith_host_now(h), kith_bytes_of(answer, sizeof answer));
    return false;
}

static bool on_asked(guest *g, const kith_share_stream_event *ev)
{
    kith_stream_share *v = g->share;
    g->grant = ev->code_tag.len > 0 ? kith_share_grants_find_code(&v->grants, ev->code_tag)
                                    : kith_share_grants_find(&v->grants, ev->capability, v->key);
    if (!g->grant)
        refuse(g, KITH_SHARE_REFUSED);
    else if (v->taken)
        refuse(g, KITH_SHARE_USED_UP);
    else if (g->grant->kind != KITH_GRANT_CODE)
        return admit(g);
    return false;
}

static void on_guest(void *ctx, kith_host *h, const kith_node_event *ev)
{
    guest *g = ctx;
    kith_stream *s = g->stream;
    kith_share_stream_event e;
    while (kith_share_stream_next(g->machine, &e)) {
        switch (e.kind) {
        case KITH_SHARE_STREAM_ASKED:
            if (on_asked(g, &e))
                return;
            break;
        case KITH_SHARE_STREAM_PAKE:
            if (on_pake(g, e.data))
                return;
            break;
        case KITH_SHARE_STREAM_FAILED:
            refused(g, e.err == KITH_EREFUSED ? kith_share_code_text(e.code) : e.why);
            break;
        case KITH_SHARE_STREAM_OPENED: /* the receiver's */
            break;
        }
    }
    if (ev->kind == KITH_NODE_STREAM_GONE)
        guest_free(g);
    else
        kith_node_wake(kith_host_node(h), kith_host_now(h), s);
}

static void on_new(void *ctx, kith_host *h, const kith_node_event *ev)
{
    kith_stream_share *v = ctx;
    if (ev->kind == KITH_NODE_STREAM_GONE)
        return;
    guest *g = v->count < KITH_STREAM_ASKING_MAX && !v->stopped ? calloc(1, sizeof *g) : NULL;
    if (!g) { /* it is told, and nothing else comes of it */
        kith_share_stream_stop(kith_stream_machine(ev->stream), kith_host_now(h), KITH_SHARE_BUSY);
        kith_stream_set_user(ev->stream, NULL);
        kith_node_wake(kith_host_node(h), kith_host_now(h), ev->stream);
        return;
    }
    kith_conn_facts f;
    kith_conn_facts_get(kith_stream_conn(ev->stream), &f);
    *g = (guest){.share = v,
                 .stream = ev->stream,
                 .machine = kith_stream_machine(ev->stream),
                 .peer = f.peer,
                 .sink = {.event = on_guest, .ctx = g}};
    kith_list_push(&v->guests, &g->link);
    v->count++;
    kith_stream_set_user(ev->stream, &g->sink);
    on_guest(g, h, ev);
}

static void *on_accept(void *ctx, const kith_stream_info *info)
{
    const kith_stream_share *v = ctx;
    kith_host *h = v->cfg.host;
    (void)info;
    return v->stopped ? NULL
                      : kith_share_stream_new_sharer(kith_node_env(kith_host_node(h)), kith_host_now(h));
}

kith_stream_share *kith_stream_share_new(const kith_stream_share_config *cfg)
{
    kith_stream_share *v = calloc(1, sizeof *v);
    if (!v)
        return NULL;
    v->cfg = *cfg;
    v->sink = (kith_sink){.event = on_new, .ctx = v};
    kith_list_init(&v->guests);
    kith_share_grants_init(&v->grants);
    kith_signer_public(cfg->signer, v->key);
    const kith_protocol row = {
        .id = kith_bytes_str(KITH_SHARE_STREAM_ID),
        .ops = &kith_share_stream_ops,
        .accept = on_accept,
        .ctx = v,
        .user = &v->sink,
        .streams_per_conn = 2,
    };
    if (kith_node_serve(kith_host_node(cfg->host), kith_host_now(cfg->host), &row) == KITH_OK)
        return v;
    free(v);
    return NULL;
}

void kith_stream_share_stop(kith_stream_share *v)
{
    kith_host *h = v->cfg.host;
    if (v->stopped)
        return;
    v->stopped = true;
    kith_node_unserve(kith_host_node(h), kith_host_now(h), kith_bytes_str(KITH_SHARE_STREAM_ID));
    KITH_EACH (&v->guests, k) {
        guest *g = KITH_OF(k, guest, link);
        kith_share_stream_stop(g->machine, kith_host_now(h), KITH_SHARE_STOPPED);
        kith_node_wake(kith_host_node(h), kith_host_now(h), g->stream);
    }
    kith_host_kick(h);
}

void kith_stream_share_free(kith_stream_share *v)
{
    if (!v)
        return;
    KITH_EACH (&v->guests, k) /* whose streams ended without an event, when the host was stopped hard */
        guest_free(KITH_OF(k, guest, link));
    kith_share_grants_fini(&v->grants);
    free(v);
}

kith_err kith_stream_share_issue(kith_stream_share *v, kith_capability *c, kith_wr *w)
{
    return kith_share_grants_issue(&v->grants, v->cfg.signer, c, w);
}

kith_err kith_stream_share_code(kith_stream_share *v, const uint8_t tag[KITH_PAKE_TAG_LEN],
                                const uint8_t secret[KITH_PAKE_SECRET_LEN], uint64_t not_after)
{
    kith_share_grant *g = kith_share_grants_code(&v->grants, tag, secret);
    if (!g)
        return KITH_ELIMIT;
    g->times = 1;
    g->not_after = not_after;
    return KITH_OK;
}

uint32_t kith_stream_share_guesses(const kith_stream_share *v)
{
    uint32_t n = 0;
    for (size_t i = 0; i < v->grants.count; i++)
        n += v->grants.list[i].guard.wrong;
    return n;
}
