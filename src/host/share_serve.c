/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Serving a share. */
#include "host/share_serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "host/workers.h"

typedef struct session {
    kith_share_session pub; /* first: the walk gives it out */
    kith_link link;
    kith_sink sink;
    kith_share_serve *serve;
    kith_stream *stream; /* NULL: over */
    kith_share_tx *tx;   /* NULL: over */
    size_t reading;      /* blocks at the worker pool */
    bool over, received; /* received: and said so */
} session;

typedef struct read_job {
    uv_work_t work;
    session *session;
    kith_share_block *block;
} read_job;

typedef struct hash_job {
    uv_work_t work;
    kith_share_serve *serve;
    bool sealing; /* the last one: all slices are done */
    kith_share_slice slice;
} hash_job;

struct kith_share_serve {
    kith_share_serve_config cfg;
    kith_sink sink; /* of streams that have no session yet */
    kith_list sessions;
    uint64_t ids, done;
    size_t count;
    bool serving, stopped;
    /* hashing */
    uint8_t secret[KITH_BLAKE3_LEN];
    size_t secret_len, hashing;
    uint64_t hashed, total;
    bool hash_failed;
};

static void tell(kith_share_serve *v, kith_share_serve_event ev)
{
    if (!v->stopped)
        v->cfg.event(v->cfg.ctx, &ev);
}

/* ---- sessions ---- */

static void session_drop(session *s)
{
    if (!s->over || s->reading > 0)
        return;
    kith_link_remove(&s->link);
    free(s);
}

static void read_work(uv_work_t *w)
{
    read_job *j = KITH_OF(w, read_job, work);
    kith_share_src_read(j->session->serve->cfg.src, j->block);
}

static void read_after(uv_work_t *w, int status)
{
    read_job *j = KITH_OF(w, read_job, work);
    session *s = j->session;
    kith_host *h = s->serve->cfg.host;
    (void)status;
    s->reading--;
    if (s->tx) {
        kith_share_tx_filled(s->tx, kith_host_now(h), j->block);
        kith_node_wake(kith_host_node(h), kith_host_now(h), s->stream);
        kith_host_kick(h);
    } else {
        kith_share_block_free(j->block);
    }
    free(j);
    session_drop(s);
}

static void read_block(session *s, kith_share_block *b)
{
    kith_share_serve *v = s->serve;
    read_job *j = malloc(sizeof *j);
    if (j) {
        *j = (read_job){.session = s, .block = b};
        if (uv_queue_work(kith_host_loop(v->cfg.host), &j->work, read_work, read_after) == 0) {
            s->reading++;
            return;
        }
        free(j);
    }
    for (size_t i = 0; i < b->count; i++)
        b->items[i].code = KITH_SHARE_UNREADABLE;
    kith_share_tx_filled(s->tx, kith_host_now(v->cfg.host), b);
    kith_node_wake(kith_host_node(v->cfg.host), kith_host_now(v->cfg.host), s->stream);
}

static void admit(session *s)
{
    kith_share_serve *v = s->serve;
    uint64_t active = 0;
    KITH_EACH (&v->sessions, k)
        active += KITH_OF(k, session, link)->pub.id > 0 && !KITH_OF(k, session, link)->over &&
                  !KITH_OF(k, session, link)->received;
    if (v->cfg.may && !v->cfg.may(v->cfg.ctx, &s->pub.peer)) {
        kith_share_tx_stop(s->tx, KITH_SHARE_REFUSED);
        tell(v, (kith_share_serve_event){
                    .kind = KITH_SHARE_SERVE_ENDED, .session = &s->pub, .text = "this share is not for it"});
    } else if (v->cfg.times && v->done >= v->cfg.times)
        kith_share_tx_stop(s->tx, KITH_SHARE_USED_UP);
    else if (v->cfg.times && v->done + active >= v->cfg.times)
        kith_share_tx_stop(s->tx, KITH_SHARE_BUSY);
    else if (v->count > KITH_SHARE_RECEIVERS_MAX)
        kith_share_tx_stop(s->tx, KITH_SHARE_BUSY);
    else
        kith_share_tx_admit(s->tx, kith_host_now(v->cfg.host), kith_share_src_source(v->cfg.src));
}

static void failed(session *s, const kith_share_tx_event *ev)
{
    char text[KITH_SHARE_SRC_WHY_MAX];
    if (ev->code && ev->err == KITH_EREFUSED)
        (void)snprintf(text, sizeof text, "%s: %s", ev->why, kith_share_code_text(ev->code));
    else
        (void)snprintf(text, sizeof text, "%s", ev->why);
    tell(s->serve,
         (kith_share_serve_event){.kind = KITH_SHARE_SERVE_ENDED, .session = &s->pub, .text = text});
}

static void session_events(session *s)
{
    kith_share_serve *v = s->serve;
    kith_share_tx_event ev;
    while (s->tx && kith_share_tx_next(s->tx, &ev)) {
        switch (ev.kind) {
        case KITH_SHARE_TX_ASKED:
            admit(s);
            break;
        case KITH_SHARE_TX_READ:
            if (s->pub.id == 0) {
                s->pub.id = ++v->ids;
                s->pub.began = kith_host_now(v->cfg.host);
                tell(v, (kith_share_serve_event){.kind = KITH_SHARE_SERVE_BEGAN, .session = &s->pub});
            }
            read_block(s, ev.block);
            break;
        case KITH_SHARE_TX_RECEIPT:
            if (s->pub.id == 0) {
                s->pub.id = ++v->ids; /* a share without content */
                s->pub.began = kith_host_now(v->cfg.host);
            }
            v->done++;
            s->received = true;
            tell(v, (kith_share_serve_event){.kind = KITH_SHARE_SERVE_DONE,
                                             .session = &s->pub,
                                             .bytes = ev.bytes,
                                             .files = ev.files});
            break;
        case KITH_SHARE_TX_FAILED:
            failed(s, &ev);
            break;
        }
    }
}

static void on_session(void *ctx, kith_host *h, const kith_node_event *ev)
{
    session *s = ctx;
    kith_share_serve *v = s->serve;
    kith_share_tx_progress(s->tx, &s->pub.bytes, &s->pub.files);
    session_events(s);
    if (ev->kind != KITH_NODE_STREAM_GONE) {
        kith_node_wake(kith_host_node(h), kith_host_now(h), s->stream);
        return;
    }
    s->stream = NULL;
    s->tx = NULL;
    s->pub.conn = NULL;
    s->over = true;
    v->count--;
    session_drop(s);
    if (v->cfg.times && v->done >= v->cfg.times && v->count == 0)
        tell(v, (kith_share_serve_event){.kind = KITH_SHARE_SERVE_USED_UP});
}

/* The first event of a stream: it gets its session. */
static void on_new(void *ctx, kith_host *h, const kith_node_event *ev)
{
    kith_share_serve *v = ctx;
    if (ev->kind == KITH_NODE_STREAM_GONE)
        return;
    session *s = calloc(1, sizeof *s);
    if (!s) {
        kith_node_reset(kith_host_node(h), kith_host_now(h), ev->stream);
        return;
    }
    kith_conn_facts f;
    s->serve = v;
    s->stream = ev->stream;
    s->tx = kith_stream_machine(ev->stream);
    s->sink = (kith_sink){.event = on_session, .ctx = s};
    s->pub.conn = kith_stream_conn(ev->stream);
    kith_conn_facts_get(s->pub.conn, &f);
    s->pub.peer = f.peer;
    kith_list_push(&v->sessions, &s->link);
    v->count++;
    kith_stream_set_user(ev->stream, &s->sink);
    on_session(s, h, ev);
}

static void *on_accept(void *ctx, const kith_stream_info *info)
{
    kith_share_serve *v = ctx;
    (void)info;
    kith_host *h = v->cfg.host;
    return v->stopped ? NULL : kith_share_tx_new(kith_node_env(kith_host_node(h)), kith_host_now(h));
}

/* ---- hashing ---- */

static void hash_more(kith_share_serve *v);

static void hash_work(uv_work_t *w)
{
    hash_job *j = KITH_OF(w, hash_job, work);
    kith_share_serve *v = j->serve;
    if (j->sealing)
        j->slice.err = kith_share_src_seal(v->cfg.src, kith_bytes_of(v->secret, v->secret_len), j->slice.why);
    else
        kith_share_src_hash(v->cfg.src, &j->slice);
}

static void hash_fail(kith_share_serve *v, const char *text)
{
    if (v->hash_failed)
        return;
    v->hash_failed = true;
    tell(v, (kith_share_serve_event){.kind = KITH_SHARE_SERVE_FAILED, .text = text});
}

static void begin_serving(kith_share_serve *v)
{
    const kith_protocol row = {
        .id = kith_bytes_str(KITH_SHARE_ID),
        .ops = &kith_share_tx_ops,
        .accept = on_accept,
        .ctx = v,
        .user = &v->sink,
        .streams_per_conn = KITH_SHARE_RECEIVERS_PER_CONN_MAX,
    };
    kith_err e = kith_node_serve(kith_host_node(v->cfg.host), kith_host_now(v->cfg.host), &row);
    if (e) {
        hash_fail(v, kith_err_text(e));
        return;
    }
    v->serving = true;
    kith_host_kick(v->cfg.host);
    tell(v, (kith_share_serve_event){.kind = KITH_SHARE_SERVE_HASHED});
}

static void hash_after(uv_work_t *w, int status)
{
    hash_job *j = KITH_OF(w, hash_job, work);
    kith_share_serve *v = j->serve;
    (void)status;
    v->hashing--;
    v->hashed += j->slice.bytes;
    if (j->slice.err)
        hash_fail(v, j->slice.why);
    else if (j->sealing && !v->stopped)
        begin_serving(v);
    else if (!j->sealing)
        hash_more(v);
    free(j);
}

static bool hash_queue(kith_share_serve *v, const hash_job *job)
{
    hash_job *j = malloc(sizeof *j);
    if (j) {
        *j = *job;
        j->serve = v;
        if (uv_queue_work(kith_host_loop(v->cfg.host), &j->work, hash_work, hash_after) == 0) {
            v->hashing++;
            return true;
        }
    }
    free(j);
    hash_fail(v, "no memory");
    return false;
}

/* Keeps all cores busy; the last one out seals. */
static void hash_more(kith_share_serve *v)
{
    unsigned most = kith_cores();
    hash_job job = {0};
    while (!v->stopped && !v->hash_failed && v->hashing < most &&
           kith_share_src_slice(v->cfg.src, &job.slice)) {
        if (!hash_queue(v, &job))
            return;
    }
    if (!v->stopped && !v->hash_failed && v->hashing == 0) {
        job = (hash_job){.sealing = true};
        (void)hash_queue(v, &job);
    }
}

/* ---- life ---- */

kith_share_serve *kith_share_serve_new(const kith_share_serve_config *cfg)
{
    kith_share_serve *v = calloc(1, sizeof *v);
    if (!v || cfg->secret.len > sizeof v->secret) {
        kith_share_src_free(cfg->src);
        free(v);
        return NULL;
    }
    size_t files, dirs, links;
    v->cfg = *cfg;
    v->sink = (kith_sink){.event = on_new, .ctx = v};
    kith_list_init(&v->sessions);
    memcpy(v->secret, cfg->secret.p, cfg->secret.len);
    v->secret_len = cfg->secret.len;
    kith_share_src_counts(v->cfg.src, &v->total, &files, &dirs, &links);
    hash_more(v);
    return v;
}

void kith_share_serve_stop(kith_share_serve *v)
{
    if (v->stopped)
        return;
    v->stopped = true;
    kith_host *h = v->cfg.host;
    if (v->serving)
        kith_node_unserve(kith_host_node(h), kith_host_now(h), kith_bytes_str(KITH_SHARE_ID));
    KITH_EACH (&v->sessions, k) {
        session *s = KITH_OF(k, session, link);
        if (!s->tx)
            continue;
        kith_share_tx_stop(s->tx, KITH_SHARE_STOPPED);
        kith_node_wake(kith_host_node(h), kith_host_now(h), s->stream);
    }
    kith_host_kick(h);
}

bool kith_share_serve_cut(kith_share_serve *v, uint64_t id)
{
    kith_host *h = v->cfg.host;
    KITH_EACH (&v->sessions, k) {
        session *s = KITH_OF(k, session, link);
        if (s->pub.id != id || !s->tx)
            continue;
        kith_share_tx_stop(s->tx, KITH_SHARE_STOPPED);
        kith_node_wake(kith_host_node(h), kith_host_now(h), s->stream);
        kith_host_kick(h);
        return true;
    }
    return false;
}

void kith_share_serve_free(kith_share_serve *v)
{
    if (!v)
        return;
    for (kith_link *k; (k = kith_list_pop(&v->sessions)) != NULL;)
        free(KITH_OF(k, session,
                     link)); /* streams that ended without an event, when the host was stopped hard */
    kith_share_src_free(v->cfg.src);
    kith_wipe(v->secret, sizeof v->secret);
    free(v);
}

void kith_share_serve_hashed(const kith_share_serve *v, uint64_t *done, uint64_t *total)
{
    *done = v->hashed;
    *total = v->total;
}

const uint8_t *kith_share_serve_root(const kith_share_serve *v)
{
    return kith_share_src_source(v->cfg.src)->root;
}

kith_share_session *kith_share_serve_next(const kith_share_serve *v, kith_share_session *at)
{
    kith_link *k =
        at ? kith_list_next(&v->sessions, &KITH_OF(at, session, pub)->link) : kith_list_first(&v->sessions);
    for (; k; k = kith_list_next(&v->sessions, k)) {
        session *s = KITH_OF(k, session, link);
        if (s->pub.id == 0 || !s->tx)
            continue;
        kith_share_tx_progress(s->tx, &s->pub.bytes, &s->pub.files);
        return &s->pub;
    }
    return NULL;
}
