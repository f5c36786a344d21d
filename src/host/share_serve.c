/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Serving shares. */
#include "host/share_serve.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "apps/share_leaves.h"
#include "crypto/crypto.h"
#include "host/clock.h"
#include "host/share_members.h"
#include "host/share_path.h"
#include "host/share_proof.h"
#include "host/share_scan.h"

#define TRIM_EVERY 64       /* turns */
#define MEMBERS_TICK_MS 300 /* between two looks at who helps whom */

struct kith_shared {
    kith_share_serve *serve;
    kith_link link;
    kith_shared_config cfg;
    kith_shared_given given;     /* instead of cfg.src; source.manifest NULL: it is not given */
    kith_share_grant anybody;    /* of what is given: given.admits says who */
    kith_share_members *members; /* NULL: nobody ever helped */
    kith_share_grants grants;
    kith_share_source source; /* what the sessions see; the loop's thread only */
    uint64_t done;            /* times it was fetched */
    bool paused, stopped, failed;
    kith_share_scan *scan;
    bool hashed;
    size_t turns;     /* of its sessions */
    kith_leaves lost; /* entries that could not be given, as was said */
};

typedef struct session {
    kith_share_session pub; /* first: the walk gives it out */
    kith_link link;
    kith_sink sink;
    kith_share_serve *serve;
    kith_stream *stream; /* NULL: over */
    kith_share_tx *tx;   /* NULL: over */
    kith_share_grant *grant;
    kith_pake *pake;
    uint8_t first[KITH_PAKE_FIRST_LEN]; /* of a proof that has to wait for others' to be decided */
    bool waits;
    size_t reading;     /* blocks at the worker pool */
    bool over, counted; /* counted: in grant->active */
    bool swarm;         /* it gives to others what it has */
    uint64_t told;      /* of them: the version */
    kith_time pass_at;  /* when it gets its next pass */
} session;

typedef struct read_job {
    uv_work_t work;
    session *session;
    kith_share_block *block;
} read_job;

struct kith_share_serve {
    kith_share_serve_config cfg;
    uint8_t key[KITH_ED25519_PUB_LEN];
    kith_sink sink; /* of streams that have no session yet */
    kith_list sessions, shares;
    uint64_t ids, sent; /* sessions; bytes of content */
    size_t share_count;
    bool stopped;
    uv_timer_t *timer; /* of members; closed by stop; frees itself */
};

static void tell(kith_share_serve *v, kith_share_serve_event ev)
{
    if (!v->stopped)
        v->cfg.event(v->cfg.ctx, &ev);
}

static void wake(session *s)
{
    kith_host *h = s->serve->cfg.host;
    if (s->stream)
        kith_node_wake(kith_host_node(h), kith_host_now(h), s->stream);
}

static void look_at_progress(session *s)
{
    uint64_t before = s->pub.bytes;
    kith_share_tx_progress(s->tx, &s->pub.bytes, &s->pub.files);
    s->serve->sent += s->pub.bytes - before;
}

static void pause_session(session *s)
{
    if (s->tx && s->pub.share)
        kith_share_tx_pause(s->tx, kith_host_now(s->serve->cfg.host), s->pub.paused || s->pub.share->paused);
    wake(s);
}

/* ---- reading ---- */

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
    const kith_shared *sh = j->session->pub.share;
    if (sh->cfg.src)
        kith_share_src_read(sh->cfg.src, j->block);
    else
        sh->given.read(sh->given.ctx, j->block);
}

/* What cannot be given is told once, whoever asked for it. */
static void tell_lost(kith_shared *sh, const kith_share_block *b)
{
    char path[KITH_SHARE_PATH_MAX], text[KITH_SHARE_PATH_MAX + 200];
    for (size_t i = 0; i < b->count && sh->cfg.src; i++) {
        const kith_share_item *it = &b->items[i];
        uint32_t entry = (uint32_t)it->entry;
        if (!it->code || kith_leaves_has(&sh->lost, entry, entry + 1) ||
            kith_leaves_add(&sh->lost, kith_host_env(), entry, entry + 1))
            continue;
        (void)snprintf(
            text, sizeof text, "'%s' %s, and receivers do not get it; share again to give what it is now",
            kith_share_path(sh->source.manifest, it->entry, path),
            it->code == KITH_SHARE_CHANGED ? "has changed since it was shared" : "cannot be read any more");
        tell(sh->serve,
             (kith_share_serve_event){.kind = KITH_SHARE_SERVE_WARNING, .share = sh, .text = text});
    }
}

static void read_after(uv_work_t *w, int status)
{
    read_job *j = KITH_OF(w, read_job, work);
    session *s = j->session;
    kith_host *h = s->serve->cfg.host;
    (void)status;
    s->reading--;
    tell_lost(s->pub.share, j->block);
    if (s->tx) {
        kith_share_tx_filled(s->tx, kith_host_now(h), j->block);
        wake(s);
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
    wake(s);
}

/* ---- who is admitted ---- */

/* Transfers that were admitted, of a share, or (NULL) of all. */
static uint64_t active_of(const kith_share_serve *v, const kith_shared *sh)
{
    uint64_t n = 0;
    KITH_EACH (&v->sessions, k) {
        const session *s = KITH_OF(k, session, link);
        n += s->counted && (!sh || s->pub.share == sh);
    }
    return n;
}

static kith_share_code refusal(const session *s)
{
    const kith_shared *sh = s->pub.share;
    if (sh->failed)
        return KITH_SHARE_UNREADABLE;
    if (sh->cfg.times && sh->done >= sh->cfg.times)
        return KITH_SHARE_USED_UP;
    if ((sh->cfg.times && sh->done + active_of(s->serve, sh) >= sh->cfg.times) ||
        active_of(s->serve, NULL) >= KITH_SHARE_RECEIVERS_MAX)
        return KITH_SHARE_BUSY;
    return kith_share_grant_refusal(s->grant, (uint64_t)time(NULL));
}

static void failed(session *s, const char *why, kith_err err, kith_share_code code);

/* ---- receivers that help each other ---- */

/* What admits it at the others; they have it from us, so that nobody is let in there who was not let in here. */
static void give_pass(session *s)
{
    kith_share_serve *v = s->serve;
    kith_shared *sh = s->pub.share;
    uint8_t buf[KITH_CAPABILITY_MAX];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_time now = kith_host_now(v->cfg.host);
    if (sh->given.source.manifest || !s->swarm || !s->counted || s->grant->only_count > 0 || now < s->pass_at)
        return;
    kith_capability c = {.holder = s->pub.peer, .not_after = kith_wall_s() + KITH_PASS_LASTS_S};
    s->pass_at = now + KITH_SEC(KITH_PASS_LASTS_S) / 2;
    if (kith_share_grants_pass(&sh->grants, v->cfg.signer, &c, &w))
        return;
    kith_share_tx_pass(s->tx, kith_wr_bytes(&w));
    wake(s);
}

static void tell_members(session *s)
{
    const kith_shared *sh = s->pub.share;
    uint8_t buf[KITH_MEMBERS_BYTES_MAX];
    kith_conn_facts f;
    if (!s->swarm || !s->counted || !sh->members || s->told == kith_share_members_version(sh->members))
        return;
    s->told = kith_share_members_version(sh->members);
    kith_conn_facts_get(s->pub.conn, &f);
    kith_share_tx_peers(s->tx,
                        kith_share_members_tell(sh->members, kith_host_env(), &s->pub.peer, &f.remote, buf));
    wake(s);
}

static void on_members_timer(uv_timer_t *t)
{
    kith_share_serve *v = t->data;
    KITH_EACH (&v->shares, k) {
        kith_shared *sh = KITH_OF(k, kith_shared, link);
        if (sh->members)
            kith_share_members_look(sh->members, kith_host_node(v->cfg.host));
    }
    KITH_EACH (&v->sessions, k) {
        session *s = KITH_OF(k, session, link);
        if (!s->tx || !s->swarm || !s->counted)
            continue;
        tell_members(s);
        give_pass(s);
    }
    kith_host_kick(v->cfg.host);
}

static void free_timer(uv_handle_t *h)
{
    free(h);
}

static void watch_members(kith_share_serve *v)
{
    if (v->timer || v->stopped)
        return;
    v->timer = malloc(sizeof *v->timer);
    if (!v->timer)
        return;
    uv_timer_init(kith_host_loop(v->cfg.host), v->timer);
    v->timer->data = v;
    uv_timer_start(v->timer, on_members_timer, MEMBERS_TICK_MS, MEMBERS_TICK_MS);
}

/* One of them says where it is. */
static void on_peers(session *s, kith_bytes peers)
{
    kith_shared *sh = s->pub.share;
    kith_conn_facts f;
    if (!s->swarm || !s->counted)
        return;
    if (!sh->members)
        sh->members = kith_share_members_new();
    kith_conn_facts_get(s->pub.conn, &f);
    if (sh->members)
        kith_share_members_hear(sh->members, &s->pub.peer, &f.remote, peers);
}

/* ---- admitting ---- */

static void admit(session *s)
{
    kith_share_serve *v = s->serve;
    const kith_shared_config *cfg = &s->pub.share->cfg;
    kith_share_code no = cfg->may && !cfg->may(cfg->ctx, &s->pub.peer) ? KITH_SHARE_REFUSED : refusal(s);
    if (no == KITH_SHARE_REFUSED)
        failed(s, "this share is not for it", KITH_EAUTH, KITH_SHARE_NONE);
    else if (no == KITH_SHARE_BUSY)
        failed(s, "others are fetching it, and no more may at the moment; it was told to try again",
               KITH_EAUTH, KITH_SHARE_NONE);
    else if (no)
        failed(s, kith_share_code_text(no), KITH_EAUTH, KITH_SHARE_NONE);
    if (no) {
        kith_share_tx_stop(s->tx, no);
        return;
    }
    s->counted = true;
    s->grant->active++;
    kith_share_tx_admit(s->tx, kith_host_now(v->cfg.host), &s->pub.share->source,
                        kith_share_grant_allowed(s->grant));
    pause_session(s);
    if (!s->swarm)
        return;
    give_pass(s);
    watch_members(v);
    if (s->pub.share->given.met)
        s->pub.share->given.met(s->pub.share->given.ctx, &s->pub.peer);
}

/* The way in that a hello names; NULL: it is none of this share's. */
static kith_share_grant *grant_of(const session *s, kith_shared *sh, const kith_share_tx_event *ev)
{
    if (sh->given.source.manifest)
        return ev->capability.len > 0 && sh->given.admits(sh->given.ctx, &s->pub.peer, ev->capability)
                   ? &sh->anybody
                   : NULL;
    return ev->code_tag.len > 0 ? kith_share_grants_find_code(&sh->grants, ev->code_tag)
                                : kith_share_grants_find(&sh->grants, ev->capability, s->serve->key);
}

static void asked(session *s, const kith_share_tx_event *ev)
{
    kith_share_serve *v = s->serve;
    s->swarm = ev->swarm;
    KITH_EACH (&v->shares, k) {
        kith_shared *sh = KITH_OF(k, kith_shared, link);
        if (sh->stopped || s->grant)
            continue;
        s->grant = grant_of(s, sh, ev);
        if (s->grant)
            s->pub.share = sh;
    }
    if (!s->grant)
        kith_share_tx_stop(s->tx, KITH_SHARE_REFUSED);
    else if (s->grant->kind != KITH_GRANT_CODE)
        admit(s);
}

/* A receiver that named our code proves that it has it: apps/share_pake.h. As many as may guess at once are answered; one more waits, as theirs
 * are decided within a round trip. */
static void take_proof(session *s, kith_bytes data)
{
    uint8_t answer[KITH_PAKE_ANSWER_LEN];
    bool proved = false;
    kith_err err = s->counted || s->waits ? KITH_EPROTO
                                          : kith_share_proof_take(s->serve->cfg.host, s->pub.conn, s->grant,
                                                                  data, &s->pake, answer, &proved);
    s->waits = err == KITH_ELIMIT && data.len == sizeof s->first;
    if (s->waits) {
        memcpy(s->first, data.p, data.len);
    } else if (err) {
        kith_share_tx_stop(s->tx, kith_share_proof_refusal(err));
    } else if (proved) {
        admit(s);
    } else {
        kith_share_tx_pake(s->tx, kith_bytes_of(answer, sizeof answer));
    }
}

/* A proof is decided: the turn of those that wait for it. */
static void call_waiting(kith_share_serve *v)
{
    KITH_EACH (&v->sessions, k) {
        session *s = KITH_OF(k, session, link);
        if (!s->waits)
            continue;
        s->waits = false;
        take_proof(s, kith_bytes_of(s->first, sizeof s->first));
        wake(s);
    }
}

static void on_pake(session *s, kith_bytes data)
{
    const bool open = s->pake != NULL;
    take_proof(s, data);
    if (open && !s->pake)
        call_waiting(s->serve);
}

/* ---- sessions ---- */

static void failed(session *s, const char *why, kith_err err, kith_share_code code)
{
    char text[KITH_SHARE_SRC_WHY_MAX];
    if (code && err == KITH_EREFUSED)
        (void)snprintf(text, sizeof text, "%s: %s", why, kith_share_code_text(code));
    else
        (void)snprintf(text, sizeof text, "%s", why);
    tell(s->serve,
         (kith_share_serve_event){
             .kind = KITH_SHARE_SERVE_ENDED, .share = s->pub.share, .session = &s->pub, .text = text});
}

/* It was answered and did not confirm: that is all that a guess shows of itself. */
static void guessed_wrong(session *s)
{
    char text[KITH_SHARE_SRC_WHY_MAX];
    (void)snprintf(text, sizeof text,
                   "it had a wrong code, or left before its proof: %u of %d guesses that burn the code",
                   s->grant->guard.wrong, KITH_CODE_GUESSES);
    failed(s, text, KITH_EAUTH, KITH_SHARE_NONE);
}

static void begin(session *s)
{
    if (s->pub.id > 0)
        return;
    s->pub.id = ++s->serve->ids;
    s->pub.began = kith_host_now(s->serve->cfg.host);
    tell(s->serve,
         (kith_share_serve_event){.kind = KITH_SHARE_SERVE_BEGAN, .share = s->pub.share, .session = &s->pub});
}

static void received(session *s, const kith_share_tx_event *ev)
{
    assert(s->grant && s->pub.share);
    begin(s); /* a share without content, or all of it was there */
    s->grant->done++;
    s->pub.share->done++;
    if (s->counted)
        s->grant->active--;
    s->counted = false;
    tell(s->serve, (kith_share_serve_event){.kind = KITH_SHARE_SERVE_DONE,
                                            .share = s->pub.share,
                                            .session = &s->pub,
                                            .bytes = ev->bytes,
                                            .files = ev->files});
}

static void session_events(session *s)
{
    kith_share_tx_event ev;
    while (s->tx && kith_share_tx_next(s->tx, &ev)) {
        switch (ev.kind) {
        case KITH_SHARE_TX_ASKED:
            asked(s, &ev);
            if (!s->grant)
                failed(s, "the receiver's ticket or code is none of ours", KITH_EAUTH, KITH_SHARE_NONE);
            break;
        case KITH_SHARE_TX_PAKE:
            on_pake(s, ev.data);
            break;
        case KITH_SHARE_TX_READ:
            begin(s);
            read_block(s, ev.block);
            break;
        case KITH_SHARE_TX_RECEIPT:
            received(s, &ev);
            break;
        case KITH_SHARE_TX_FAILED:
            s->waits = false;
            if (s->pake && s->grant)
                guessed_wrong(s);
            else
                failed(s, ev.why, ev.err, ev.code);
            break;
        case KITH_SHARE_TX_PEERS:
            on_peers(s, ev.data);
            break;
        case KITH_SHARE_TX_PAUSED:
            s->pub.paused_by_peer = ev.on;
            break;
        }
    }
}

static bool used_up(const kith_shared *sh)
{
    if (!sh->cfg.times || sh->done < sh->cfg.times)
        return false;
    KITH_EACH (&sh->serve->sessions, k) {
        const session *s = KITH_OF(k, session, link);
        if (s->pub.share == sh && !s->over)
            return false;
    }
    return true;
}

static void on_session(void *ctx, kith_host *h, const kith_node_event *ev)
{
    session *s = ctx;
    kith_share_serve *v = s->serve;
    (void)h;
    look_at_progress(s);
    session_events(s);
    kith_shared *sh = s->pub.share;
    if (sh && sh->cfg.src &&
        ++sh->turns % TRIM_EVERY == 0) /* it is also where the list and the roots are read */
        kith_share_src_trim(sh->cfg.src);
    if (ev->kind != KITH_NODE_STREAM_GONE) {
        wake(s);
        return;
    }
    s->stream = NULL;
    s->tx = NULL;
    s->pub.conn = NULL;
    s->over = true;
    if (s->counted)
        s->grant->active--;
    s->counted = s->waits = false;
    if (s->pake) {
        kith_pake_free(s->pake);
        s->pake = NULL;
        call_waiting(v);
    }
    session_drop(s);
    if (sh && used_up(sh))
        tell(v, (kith_share_serve_event){.kind = KITH_SHARE_SERVE_USED_UP, .share = sh});
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

/* ---- walking and hashing ---- */

/* What is known has grown: all who wait for it hear of it. */
static void update(kith_shared *sh)
{
    kith_share_serve *v = sh->serve;
    if (sh->cfg.src)
        sh->source = kith_share_src_source(sh->cfg.src);
    KITH_EACH (&v->sessions, k) {
        session *s = KITH_OF(k, session, link);
        if (s->pub.share != sh || !s->tx)
            continue;
        kith_share_tx_update(s->tx, kith_host_now(v->cfg.host));
        wake(s);
    }
    kith_host_kick(v->cfg.host);
}

static void stop_sessions(kith_shared *sh, kith_share_code code)
{
    KITH_EACH (&sh->serve->sessions, k) {
        session *s = KITH_OF(k, session, link);
        if (!s->tx || s->pub.share != sh)
            continue;
        kith_share_tx_stop(s->tx, code);
        wake(s);
    }
    kith_host_kick(sh->serve->cfg.host);
}

static void on_scan(void *ctx, kith_share_scan_kind kind, const char *text)
{
    kith_shared *sh = ctx;
    kith_share_serve *v = sh->serve;
    switch (kind) {
    case KITH_SHARE_SCAN_WARNING:
        tell(v, (kith_share_serve_event){.kind = KITH_SHARE_SERVE_WARNING, .share = sh, .text = text});
        break;
    case KITH_SHARE_SCAN_WALKED:
        sh->source = kith_share_src_source(sh->cfg.src);
        if (kith_share_grants_resolve(&sh->grants, sh->source.manifest)) {
            on_scan(sh, KITH_SHARE_SCAN_FAILED, "no memory");
            return;
        }
        update(sh);
        tell(v, (kith_share_serve_event){.kind = KITH_SHARE_SERVE_WALKED, .share = sh});
        break;
    case KITH_SHARE_SCAN_HASHED:
        update(sh);
        break;
    case KITH_SHARE_SCAN_DONE:
        sh->hashed = true;
        update(sh);
        tell(v, (kith_share_serve_event){.kind = KITH_SHARE_SERVE_HASHED, .share = sh});
        break;
    case KITH_SHARE_SCAN_FAILED:
        sh->failed = true;
        stop_sessions(sh, KITH_SHARE_UNREADABLE);
        tell(v, (kith_share_serve_event){.kind = KITH_SHARE_SERVE_FAILED, .share = sh, .text = text});
        break;
    }
}

/* ---- life ---- */

kith_share_serve *kith_share_serve_new(const kith_share_serve_config *cfg)
{
    kith_share_serve *v = calloc(1, sizeof *v);
    if (!v)
        return NULL;
    v->cfg = *cfg;
    v->sink = (kith_sink){.event = on_new, .ctx = v};
    kith_list_init(&v->sessions);
    kith_list_init(&v->shares);
    kith_signer_public(cfg->signer, v->key);
    const kith_protocol row = {
        .id = kith_bytes_str(KITH_SHARE_ID),
        .ops = &kith_share_tx_ops,
        .accept = on_accept,
        .ctx = v,
        .user = &v->sink,
        .streams_per_conn = KITH_SHARE_RECEIVERS_PER_CONN_MAX,
    };
    if (kith_node_serve(kith_host_node(cfg->host), kith_host_now(cfg->host), &row) == KITH_OK)
        return v;
    free(v);
    return NULL;
}

static kith_shared *new_shared(kith_share_serve *v)
{
    kith_shared *sh = v->share_count < KITH_SHARES_MAX ? calloc(1, sizeof *sh) : NULL;
    if (!sh)
        return NULL;
    sh->serve = v;
    kith_share_grants_init(&sh->grants);
    return sh;
}

static kith_shared *add_shared(kith_shared *sh)
{
    kith_list_push(&sh->serve->shares, &sh->link);
    sh->serve->share_count++;
    return sh;
}

kith_shared *kith_share_serve_give(kith_share_serve *v, const kith_shared_given *given)
{
    kith_shared *sh = new_shared(v);
    if (!sh)
        return NULL;
    sh->given = *given;
    sh->source = given->source;
    return add_shared(sh);
}

void kith_shared_grown(kith_shared *s)
{
    update(s);
}

kith_shared *kith_share_serve_add(kith_share_serve *v, const kith_shared_config *cfg)
{
    kith_shared *sh = new_shared(v);
    if (!sh) {
        kith_share_src_free(cfg->src);
        return NULL;
    }
    sh->cfg = *cfg;
    sh->source = kith_share_src_source(cfg->src);
    const kith_share_scan_config scan = {
        .loop = kith_host_loop(v->cfg.host), .src = cfg->src, .event = on_scan, .ctx = sh};
    sh->scan = kith_share_scan_start(&scan);
    if (!sh->scan) {
        kith_share_src_free(cfg->src);
        free(sh);
        return NULL;
    }
    return add_shared(sh);
}

static void stop_share(kith_shared *s)
{
    if (s->stopped)
        return;
    s->stopped = true;
    if (s->scan)
        kith_share_scan_stop(s->scan);
    stop_sessions(s, KITH_SHARE_STOPPED);
}

void kith_shared_pause(kith_shared *s, bool on)
{
    s->paused = on;
    KITH_EACH (&s->serve->sessions, k) {
        session *n = KITH_OF(k, session, link);
        if (n->pub.share == s)
            pause_session(n);
    }
    kith_host_kick(s->serve->cfg.host);
}

void kith_share_serve_stop(kith_share_serve *v)
{
    if (v->stopped)
        return;
    v->stopped = true;
    kith_host *h = v->cfg.host;
    if (v->timer)
        uv_close((uv_handle_t *)v->timer, free_timer);
    v->timer = NULL;
    kith_node_unserve(kith_host_node(h), kith_host_now(h), kith_bytes_str(KITH_SHARE_ID));
    KITH_EACH (&v->shares, k)
        stop_share(KITH_OF(k, kith_shared, link));
    kith_host_kick(h);
}

void kith_share_serve_free(kith_share_serve *v)
{
    if (!v)
        return;
    for (kith_link *k; (k = kith_list_pop(&v->sessions)) != NULL;) {
        session *s = KITH_OF(
            k, session, link); /* of a stream that ended without an event, when the host was stopped hard */
        kith_pake_free(s->pake);
        free(s);
    }
    for (kith_link *k; (k = kith_list_pop(&v->shares)) != NULL;) {
        kith_shared *sh = KITH_OF(k, kith_shared, link);
        if (sh->scan)
            kith_share_scan_free(sh->scan);
        kith_share_members_free(sh->members);
        kith_share_src_free(sh->cfg.src);
        kith_share_grants_fini(&sh->grants);
        kith_leaves_fini(&sh->lost, kith_host_env());
        free(sh);
    }
    free(v);
}

/* ---- what is given out ---- */

kith_err kith_shared_issue(kith_shared *s, kith_capability *c, kith_wr *w)
{
    c->has_id = s->hashed;
    if (s->hashed)
        memcpy(c->id, s->source.id, sizeof c->id);
    kith_err err = kith_share_grants_issue(&s->grants, s->serve->cfg.signer, c, w);
    if (!err && s->source.manifest)
        err = kith_share_grants_resolve(&s->grants, s->source.manifest);
    return err;
}

kith_err kith_shared_code(kith_shared *s, const uint8_t tag[KITH_PAKE_TAG_LEN],
                          const uint8_t secret[KITH_PAKE_SECRET_LEN], uint64_t times, uint64_t not_after)
{
    kith_share_grant *g = kith_share_grants_code(&s->grants, tag, secret);
    if (!g)
        return KITH_ELIMIT;
    g->times = times;
    g->not_after = not_after;
    return KITH_OK;
}

uint32_t kith_shared_guesses(const kith_shared *s)
{
    uint32_t n = 0;
    for (size_t i = 0; i < s->grants.count; i++)
        n += s->grants.list[i].guard.wrong;
    return n;
}

const uint8_t *kith_shared_id(const kith_shared *s)
{
    return s->hashed ? s->source.id : NULL;
}

uint64_t kith_share_serve_sent(const kith_share_serve *v)
{
    for (kith_share_session *s = NULL; (s = kith_share_serve_next(v, s)) != NULL;) /* brings it up to date */
        ;
    return v->sent;
}

kith_share_session *kith_share_serve_next(const kith_share_serve *v, kith_share_session *at)
{
    kith_link *k =
        at ? kith_list_next(&v->sessions, &KITH_OF(at, session, pub)->link) : kith_list_first(&v->sessions);
    for (; k; k = kith_list_next(&v->sessions, k)) {
        session *s = KITH_OF(k, session, link);
        if (s->pub.id == 0 || !s->tx)
            continue;
        look_at_progress(s);
        return &s->pub;
    }
    return NULL;
}

void kith_share_session_stop(kith_share_session *at)
{
    session *s = KITH_OF(at, session, pub);
    if (s->tx)
        kith_share_tx_stop(s->tx, KITH_SHARE_STOPPED);
    wake(s);
    kith_host_kick(s->serve->cfg.host);
}

void kith_share_session_pause(kith_share_session *at, bool on)
{
    session *s = KITH_OF(at, session, pub);
    at->paused = on;
    pause_session(s);
    kith_host_kick(s->serve->cfg.host);
}
