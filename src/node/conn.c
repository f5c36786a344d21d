/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One connection: the stack of a private network's cipher, multistream-select, Noise and yamux, and the streams on top. */
#include <assert.h>

#include "crypto/crypto.h"
#include "node/goaway.h"
#include "node/node_impl.h"

#define KEY_SIZE (KITH_NOISE_PSK_LEN + KITH_NOISE_KEY_NAME_LEN)

static const kith_bytes muxers[] = {{(const uint8_t *)KITH_YAMUX_ID, sizeof KITH_YAMUX_ID - 1}};

static int find_suite(void *ctx, kith_bytes id)
{
    const offer *all = ctx;
    for (size_t i = 0; i < all->count; i++) {
        if (kith_bytes_eq(all->ids[i], id))
            return (int)i;
    }
    return -1;
}

static int find_muxer(void *ctx, kith_bytes id)
{
    (void)ctx;
    return kith_bytes_eq(id, muxers[0]) ? 0 : -1;
}

kith_err kith_conn_new_(kith_node *n, kith_time now, bool inbound, kith_conn **out)
{
    kith_err e = kith_timer_claim_(n);
    if (e)
        return e;
    kith_conn *c = KITH_NEW(&n->env, kith_conn);
    if (!c) {
        n->timer_count--;
        return KITH_ENOMEM;
    }
    c->note.kind = NOTE_CONN;
    c->timer.owner = TIMER_CONN;
    c->node = n;
    c->inbound = inbound;
    c->active_at = now;
    c->enough = UINT64_MAX;
    kith_buf_init(&c->rest, REST_MAX);
    kith_list_init(&c->streams);
    kith_list_push(&n->conns, &c->all);
    n->conn_count++;
    *out = c;
    return KITH_OK;
}

static void key_drop(kith_conn *c)
{
    if (c->key)
        kith_wipe(c->key, KEY_SIZE);
    kith_mem_free(&c->node->env, c->key, KEY_SIZE);
    c->key = NULL;
}

static void resumption_drop(kith_conn *c)
{
    if (c->resumption)
        kith_wipe(c->resumption, sizeof *c->resumption);
    KITH_FREE(&c->node->env, c->resumption);
    c->resumption = NULL;
}

static void offer_drop(kith_conn *c)
{
    KITH_FREE(&c->node->env, c->offer);
    c->offer = NULL;
}

static void early_drop(kith_conn *c)
{
    kith_mem_free(&c->node->env, c->early, EARLY_MAX);
    c->early = NULL;
    c->early_len = 0;
}

/* Releases the protocol layers and the place under the caps; the struct stays until the owner was told. A machine that is worked on
 * stays too, with the offer that it has borrowed, and goes when that is told: `working`. */
static void tear_down(kith_conn *c)
{
    kith_node *n = c->node;
    kith_link_remove(&c->keying);
    key_drop(c);
    resumption_drop(c);
    early_drop(c);
    kith_mss_free(c->mss);
    kith_noise_free(c->noise);
    if (c->note.bits & CONN_WORK) { /* nobody has begun */
        c->note.bits &= (uint8_t)~CONN_WORK;
        kith_noise_worked(c->working, 0);
        c->working = NULL;
    }
    kith_yamux_free(c->yamux);
    kith_buf_fini(&c->rest, &n->env);
    c->mss = NULL;
    c->noise = NULL;
    c->yamux = NULL;
    kith_link_remove(&c->stranger);
    if (!c->counted)
        return;
    c->counted = false;
    if (c->inbound)
        kith_limiter_release_in(n->limiter, &c->remote, c->secured);
    else
        kith_limiter_release_out(n->limiter, c->dialed);
}

void kith_conn_free_(kith_conn *c)
{
    kith_node *n = c->node;
    KITH_EACH (&c->streams, k)
        kith_stream_free_(KITH_OF(k, kith_stream, in_conn));
    tear_down(c);
    assert(!c->working);
    offer_drop(c);
    kith_pnet_free(c->pnet); /* not before: without it, what is still asked to leave would leave in clear */
    kith_mem_free(&n->env, c->protocols, c->protocols_len);
    kith_reason_drop_(n, c->reason);
    kith_timer_unclaim_(n, &c->timer);
    kith_link_remove(&c->note.link);
    kith_link_remove(&c->writer);
    kith_link_remove(&c->in_job);
    kith_link_remove(&c->all);
    n->conn_count--;
    KITH_FREE(&n->env, c);
}

static void peer_leave(kith_conn *c);

/* Nothing more will be sent: the host may close the socket. */
static void dead(kith_conn *c)
{
    kith_node *n = c->node;
    c->state = CONN_DEAD;
    tear_down(c);
    kith_link_remove(&c->writer);
    kith_timers_set(&n->timers, &c->timer.t, KITH_NEVER);
    kith_note_(n, &c->note, CONN_CLOSE);
}

void kith_conn_end_(kith_conn *c, kith_time now, kith_err err, const char *why, bool flush)
{
    kith_node *n = c->node;
    if (c->state == CONN_DEAD)
        return;
    if (c->state == CONN_CLOSING) {
        if (!flush)
            dead(c);
        return;
    }
    bool was_open = c->state == CONN_OPEN;
    if (was_open)
        peer_leave(c);
    c->err = err;
    c->why = why;
    c->state = CONN_CLOSING;
    kith_link_remove(&c->keying);
    KITH_EACH (&c->streams, k)
        kith_stream_end_(KITH_OF(k, kith_stream, in_conn), now, err == KITH_ECLOSED ? KITH_ERESET : err);
    if (was_open)
        kith_note_(n, &c->note, CONN_DISCONNECTED);
    else if (c->inbound)
        kith_note_(n, &c->note, CONN_REFUSED);
    kith_dialer_forget_(n, c);
    c->missed = c->job != NULL;
    if (c->job)
        kith_dialer_conn_failed_(n, now, c);
    /* A refusal in clear is worth the flush: it tells the dialer why. */
    if (!flush || !(c->yamux || (c->mss && !c->noise))) {
        dead(c);
        return;
    }
    c->deadline = now + FLUSH_TIMEOUT;
    kith_timers_set(&n->timers, &c->timer.t, c->deadline);
    kith_writer_(c);
}

static void fail(kith_conn *c, kith_time now, kith_err err, const char *why)
{
    kith_conn_end_(c, now, err, why, true);
}

/* Whether the peer's own policy leaves this one of ours. */
static bool leaves(kith_pq_policy policy, const kith_noise_suite *s)
{
    switch (policy) {
    case KITH_PQ_PREFER:
        return true;
    case KITH_PQ_REQUIRE:
        return s->kem != KITH_KEM_NONE;
    case KITH_PQ_OFF:
        return s->kem == KITH_KEM_NONE;
    }
    return false;
}

/* False: it leaves nothing of ours. */
static bool heed_policy(kith_conn *c)
{
    const kith_node *n = c->node;
    if (!n->cfg.policy || c->expected.len == 0)
        return true;
    c->policy = n->cfg.policy(n->cfg.trust_ctx, &c->expected);
    for (size_t i = 0; i < n->all.count; i++) {
        if (leaves(c->policy, n->all.suites[i]))
            return true;
    }
    return false;
}

/* A secret of an earlier session with whom we dial, and the suite that takes it. A key from elsewhere goes before: that suite has
 * signatures. NULL: none. */
static const kith_noise_suite *recall(kith_conn *c, kith_time now)
{
    kith_node *n = c->node;
    if (n->resume_count == 0 || c->key || c->expected.len == 0 || c->policy == KITH_PQ_OFF)
        return NULL;
    c->resumption = KITH_NEW(&n->env, kith_resumption);
    if (c->resumption && kith_resume_take(n->resume, now, &c->expected, c->resumption)) {
        for (size_t i = 0; i < n->resume_count; i++) {
            if (n->all.suites[i]->level == c->resumption->facts.level)
                return n->all.suites[i];
        }
    }
    resumption_drop(c);
    return NULL;
}

/* What we propose. False: no memory. */
static bool compose(kith_conn *c, kith_time now)
{
    kith_node *n = c->node;
    c->offer = KITH_NEW(&n->env, offer);
    if (!c->offer)
        return false;
    const kith_noise_suite *resumes = recall(c, now);
    if (resumes)
        kith_offer_(c->offer, resumes);
    for (size_t i = n->resume_count + (c->key ? 0 : n->qkd_count); i < n->all.count; i++) {
        if (leaves(c->policy, n->all.suites[i]))
            kith_offer_(c->offer, n->all.suites[i]);
    }
    return true;
}

/* Starts the handshake of one of the connection's suites, unless that is the one under way. */
static bool start_noise(kith_conn *c, kith_time now, size_t suite)
{
    kith_node *n = c->node;
    const offer *o = c->inbound ? &n->all : c->offer;
    if (c->noise && c->suite == o->suites[suite])
        return true;
    kith_noise_free(c->noise); /* of a suite that the peer has refused */
    c->suite = o->suites[suite];
    /* Who speaks none of kith's own hears nothing of sessions. */
    size_t untold = c->inbound && !c->suite->own ? n->resume_count : 0;
    const kith_noise_secret *secret = c->suite->resumes && !c->inbound ? &c->resumption->secret : NULL;
    kith_noise_config cfg = {
        .env = &n->env,
        .suite = c->suite,
        .identity = n->noise_id,
        .initiator = !c->inbound,
        .expected = c->expected,
        .muxers = muxers,
        .muxer_count = n->cfg.no_early_muxer ? 0 : 1,
        .channels = o->ids + untold,
        .channel_count = o->count - untold,
        .psk = secret ? secret->psk : c->key,
        .key_name = secret   ? secret->name
                    : c->key ? c->key + KITH_NOISE_PSK_LEN
                             : NULL,
        .aes = n->cfg.aes,
        .psk_required = n->cfg.qkd == KITH_QKD_REQUIRED,
    };
    c->noise = kith_noise_new(&cfg);
    if (!c->noise) {
        kith_conn_end_(c, now, KITH_ENOMEM, "no memory for a handshake", false);
        return false;
    }
    return true;
}

/* Begins to talk: a listener to listen, a dialer with what it proposes. */
static void begin(kith_conn *c, kith_time now)
{
    kith_node *n = c->node;
    if (!c->inbound && !compose(c, now)) {
        kith_conn_end_(c, now, KITH_ENOMEM, "no memory for a handshake", false);
        return;
    }
    const offer *o = c->inbound ? &n->all : c->offer;
    if (c->inbound) {
        c->mss = kith_mss_listen(&n->env, find_suite, &n->all);
        if (c->mss)
            kith_mss_take_ahead(c->mss, KITH_MSS_AHEAD_MAX);
    } else if (o->own == 0) {
        c->mss = kith_mss_dial(&n->env, o->ids, o->count);
    } else { /* the handshake's first message goes ahead of the answer in any case */
        if (!start_noise(c, now, 0))
            return;
        c->mss = kith_mss_dial_ahead(&n->env, o->ids, o->own, o->count, kith_noise_waiting(c->noise));
    }
    if (!c->mss) {
        kith_conn_end_(c, now, KITH_ENOMEM, "no memory for a handshake", false);
        return;
    }
    kith_conn_pump_(c, now);
}

/* Whether we know the session that a dialer names; it stays so until the dialer has proven that it does. */
static void answer_resumption(kith_conn *c, kith_time now, kith_bytes name)
{
    kith_node *n = c->node;
    c->resumption = KITH_NEW(&n->env, kith_resumption);
    if (c->resumption && !kith_resume_find(n->resume, now, name.p, c->suite->level, c->resumption))
        resumption_drop(c);
    const kith_resumption *r = c->resumption;
    kith_noise_key(c->noise, r ? r->secret.psk : NULL, r ? &r->facts.peer : NULL);
}

/* The host is to get a key; nothing happens before its answer. */
static void ask_key(kith_conn *c, kith_bytes name)
{
    c->key_id = c->node->next_id++;
    c->key_name = name;
    kith_list_push(&c->node->keying, &c->keying);
    kith_note_(c->node, &c->note, CONN_KEY);
}

/* What of our own configuration rules out every channel. */
static const char *no_channel(const kith_node *n)
{
    if (n->cfg.qkd == KITH_QKD_REQUIRED && n->cfg.pq == KITH_PQ_OFF)
        return "qkd = required needs pq = prefer or require";
    return n->cfg.pq_signer ? "this node's own level allows no secure channel"
                            : "qkd = required needs a post-quantum identity, and this node has none";
}

void kith_conn_start_(kith_conn *c, kith_time now)
{
    kith_node *n = c->node;
    c->state = CONN_SECURING;
    c->shaken_from = now;
    c->deadline = kith_time_after(now, n->cfg.handshake_timeout);
    if (n->cfg.network_key && !(c->pnet = kith_pnet_new(&n->env, n->cfg.network_key))) {
        kith_conn_end_(c, now, KITH_ENOMEM, "no memory for a handshake", false);
        return;
    }
    if (n->all.count == 0) { /* before a key is used up for it */
        kith_conn_end_(c, now, KITH_EPOLICY, no_channel(n), false);
        return;
    }
    if (!c->inbound && !heed_policy(c)) {
        kith_conn_end_(c, now, KITH_EPOLICY, "what this peer's own policy asks for is ruled out by pq",
                       false);
        return;
    }
    if (c->inbound || n->cfg.qkd == KITH_QKD_OFF) {
        begin(c, now);
        return;
    }
    ask_key(c, (kith_bytes){0});
    kith_conn_pump_(c, now);
}

/* What an answer without a key means. False: the end of the connection. */
static bool do_without(kith_conn *c, kith_time now, const kith_node_key_answer *a)
{
    c->qkd = a->unknown ? KITH_QKD_STATE_OFF : KITH_QKD_STATE_FAILED;
    c->qkd_why = a->why;
    if (c->node->cfg.qkd != KITH_QKD_REQUIRED)
        return true;
    kith_conn_end_(c, now, KITH_EPOLICY, a->why, false);
    return false;
}

static void hear(kith_conn *c, kith_time now, kith_span in);

/* What the peer said meanwhile is read now. */
static void hear_early(kith_conn *c, kith_time now)
{
    uint8_t heard[EARLY_MAX];
    size_t len = c->early_len;
    if (len == 0 || c->state != CONN_SECURING)
        return;
    memcpy(heard, c->early, len);
    early_drop(c);
    hear(c, now, kith_span_of(heard, len));
}

static void keep_early(kith_conn *c, kith_time now, kith_span in)
{
    if (!c->early)
        c->early = kith_mem_new(&c->node->env, EARLY_MAX);
    if (!c->early) {
        kith_conn_end_(c, now, KITH_ENOMEM, "no memory for a handshake", false);
    } else if (in.len > EARLY_MAX - c->early_len) {
        kith_conn_end_(c, now, KITH_EPROTO, "the peer spoke before it was spoken to", false);
    } else {
        memcpy(c->early + c->early_len, in.p, in.len);
        c->early_len += in.len;
    }
}

static void noise_events(kith_conn *c, kith_time now);

void kith_conn_key_(kith_conn *c, kith_time now, const kith_node_key_answer *a)
{
    kith_node *n = c->node;
    c->key_name = (kith_bytes){0};
    c->key_simulated = a->simulated;
    if (!a->key && !do_without(c, now, a))
        return;
    if (c->inbound) {
        if (a->key)
            c->qkd = a->simulated ? KITH_QKD_STATE_SIMULATED : KITH_QKD_STATE_ON;
        kith_noise_key(c->noise, a->key, a->key && a->peer.len > 0 ? &a->peer : NULL);
        noise_events(c, now);
        kith_conn_pump_(c, now);
        return;
    }
    if (a->key) {
        c->key = kith_mem_new(&n->env, KEY_SIZE);
        if (!c->key) {
            kith_conn_end_(c, now, KITH_ENOMEM, "no memory for a handshake", false);
            return;
        }
        memcpy(c->key, a->key, KITH_NOISE_PSK_LEN);
        memcpy(c->key + KITH_NOISE_PSK_LEN, a->name, KITH_NOISE_KEY_NAME_LEN);
    }
    begin(c, now);
    hear_early(c, now);
}

/* Whether the key that was asked for is in the channel: known once that is open. */
static void judge_key(kith_conn *c)
{
    if (c->node->cfg.qkd == KITH_QKD_OFF)
        return;
    bool mixes = c->suite->psk && !c->suite->resumes;
    if (!mixes && (c->inbound || c->key)) {
        c->qkd = KITH_QKD_STATE_OFF;
        c->qkd_why = c->inbound ? "the peer proposed no QKD key" : "the peer takes no QKD key";
    } else if (!c->inbound && mixes) {
        bool keyed = kith_noise_keyed(c->noise);
        c->qkd = !keyed             ? KITH_QKD_STATE_FAILED
                 : c->key_simulated ? KITH_QKD_STATE_SIMULATED
                                    : KITH_QKD_STATE_ON;
        c->qkd_why = keyed ? NULL : "the peer did not get the key from its KME";
    }
    key_drop(c);
}

static uint64_t peer_key(const kith_node *n, const kith_peer_id *peer)
{
    return kith_hash(n->seed, kith_peer_id_bytes(peer));
}

kith_conn *kith_conn_of_peer_(const kith_node *n, const kith_peer_id *peer)
{
    kith_conn *c = kith_map_get(&n->by_peer, peer_key(n, peer));
    return c && kith_peer_id_eq(&c->peer, peer) ? c : NULL;
}

/* Enters an OPEN connection behind the others of its peer, oldest first. */
static kith_err peer_enter(kith_conn *c)
{
    kith_node *n = c->node;
    kith_conn *last = kith_map_get(&n->by_peer, peer_key(n, &c->peer));
    if (!last)
        return kith_map_put(&n->by_peer, &n->env, peer_key(n, &c->peer), c);
    size_t count = 1;
    for (; last->peer_next; last = last->peer_next)
        count++;
    if (count >= n->cfg.limits.conns_per_peer)
        return KITH_ELIMIT;
    last->peer_next = c;
    return KITH_OK;
}

static void peer_leave(kith_conn *c)
{
    kith_node *n = c->node;
    kith_conn *first = kith_map_get(&n->by_peer, peer_key(n, &c->peer));
    if (first == c) {
        if (c->peer_next)
            (void)kith_map_replace(&n->by_peer, peer_key(n, &c->peer), c->peer_next);
        else
            (void)kith_map_remove(&n->by_peer, peer_key(n, &c->peer));
        return;
    }
    while (first && first->peer_next != c)
        first = first->peer_next;
    if (first)
        first->peer_next = c->peer_next;
}

/* The end of an inbound connection whose peer has proven who it is, and which does not become OPEN: says why, where the muxer to say it by
 * is agreed on. Nothing is waited for but that this leaves, FLUSH_TIMEOUT long. A dialer says nothing: whoever answered where it dialled
 * has not learnt yet who that is. */
static void refuse(kith_conn *c, kith_time now, kith_err err, const char *why, uint32_t code)
{
    bool told = c->inbound && (c->yamux || kith_noise_muxer(c->noise).len > 0);
    if (told && !c->yamux) {
        kith_yamux_config cfg;
        kith_yamux_config_default(&cfg, &c->node->env, false);
        cfg.ping_every = KITH_NEVER;
        c->yamux = kith_yamux_new(&cfg, now); /* no memory: then without a word */
    }
    if (told && c->yamux)
        kith_yamux_goaway(c->yamux, code);
    kith_conn_end_(c, now, err, why, told);
}

static void open_up(kith_conn *c, kith_time now)
{
    kith_node *n = c->node;
    const kith_limits *caps = &n->cfg.limits;
    if (n->stopping) {
        refuse(c, now, KITH_ECLOSED, "this node is stopping", KITH_YAMUX_CONN_SHUTDOWN);
        return;
    }
    kith_yamux_config cfg;
    kith_yamux_config_default(&cfg, &n->env, !c->inbound);
    cfg.window_max = caps->window_max;
    cfg.budget_max = caps->window_budget;
    cfg.streams_in_max = caps->streams_in;
    cfg.streams_out_max = caps->streams_out;
    cfg.ping_every = n->cfg.ping_every;
    cfg.rtt = c->rtt;
    c->yamux = kith_yamux_new(&cfg, now);
    if (!c->yamux) {
        kith_conn_end_(c, now, KITH_ENOMEM, "no memory for the muxer", false);
        return;
    }
    kith_err e = peer_enter(c);
    if (e) {
        refuse(c, now, e, e == KITH_ELIMIT ? "limits.conns_per_peer reached" : "no memory for the connection",
               KITH_YAMUX_CONN_LIMIT);
        return;
    }
    c->state = CONN_OPEN;
    c->deadline = KITH_NEVER;
    c->opened_at = c->active_at = c->keyed_at = now;
    kith_note_(n, &c->note, CONN_CONNECTED);
    kith_dialer_conn_open_(n, now, c);
    kith_identify_ask_(c, now);
}

/* A sentence of this connection's own; without memory there is none. */
static void make_reason(kith_conn *c, const char text[KITH_REASON_MAX])
{
    c->reason = KITH_NEW(&c->node->env, reason);
    if (!c->reason)
        return;
    c->reason->refs = 1;
    memcpy(c->reason->text, text, KITH_REASON_MAX - 1);
}

/* Asks whoever decides about trust. False: refused, and the connection is over. */
static bool trusted(kith_conn *c, kith_time now)
{
    kith_node *n = c->node;
    if (!n->cfg.trust)
        return true;
    char why[KITH_REASON_MAX] = "";
    kith_contact contact = {
        .peer = c->peer, .pq = c->pq.id, .sig = c->pq.alg, .suite = c->suite, .inbound = c->inbound};
    kith_bytes statements[KITH_SUCCESSORS_MAX];
    contact.successors = statements;
    contact.successor_count = kith_noise_peer_successors(c->noise, statements);
    kith_err e = n->cfg.trust(n->cfg.trust_ctx, &contact, why);
    if (!e)
        return true;
    kith_node_forget_sessions(n, &c->peer);
    make_reason(c, why);
    refuse(c, now, e, c->reason ? c->reason->text : kith_err_text(e), KITH_YAMUX_CONN_GATED);
    return false;
}

/* Whose post-quantum key the handshake proves, and when that was checked: now, or when the secret that it has resumed began. False: the
 * connection is over. */
static bool prove(kith_conn *c, kith_time now)
{
    c->resumed = kith_noise_resumed(c->noise);
    c->pq = c->resumed ? c->resumption->facts.pq : *kith_noise_peer_pq(c->noise);
    c->pq_checked_at = c->resumed ? c->resumption->facts.checked_at : now;
    bool fresh = !c->resumed || !c->inbound || kith_resume_spend(c->node->resume, c->resumption);
    resumption_drop(c);
    if (!fresh)
        kith_conn_end_(c, now, KITH_EAUTH, "the secret of the earlier session has been used", false);
    return fresh;
}

/* For the next handshake with this peer. */
static void remember(kith_conn *c, kith_time now)
{
    kith_node *n = c->node;
    kith_noise_legacy legacy;
    if (!kith_noise_take_legacy(c->noise, &legacy))
        return;
    kith_resume_facts facts = {
        .peer = c->peer, .pq = c->pq, .level = c->suite->level, .checked_at = c->pq_checked_at};
    if (n->resume) {
        kith_resume_keep(n->resume, now, &facts, &legacy);
        kith_resume_timer_(n);
    }
    kith_wipe(&legacy, sizeof legacy);
}

static void secured(kith_conn *c, kith_time now)
{
    kith_node *n = c->node;
    c->peer = *kith_noise_peer(c->noise);
    c->aead = kith_noise_aead(c->noise);
    kith_noise_shaken(c->noise, &c->shaken_in, &c->shaken_out);
    c->shaking = now - c->shaken_from;
    c->secured = true;
    judge_key(c);
    offer_drop(c);
    kith_link_remove(&c->stranger);
    if (c->inbound)
        kith_limiter_secured(n->limiter);
    if (!prove(c, now) || !trusted(c, now))
        return;
    remember(c, now);
    kith_noise_forget_successors(c->noise);
    kith_bytes early = kith_noise_muxer(c->noise);
    if (early.len > 0) {
        c->early_muxer = true;
        open_up(c, now);
        return;
    }
    kith_mss_free(c->mss);
    c->state = CONN_MUXING;
    c->mss = c->inbound ? kith_mss_listen(&n->env, find_muxer, NULL) : kith_mss_dial(&n->env, muxers, 1);
    if (!c->mss)
        kith_conn_end_(c, now, KITH_ENOMEM, "no memory for a handshake", false);
}

/* The peer has told why it ends the connection. When all is in good order its end comes by itself, behind what it said before. */
static void sent_away(kith_conn *c, kith_time now, uint32_t code)
{
    const kith_node *n = c->node;
    const char *why;
    kith_err e = kith_goaway_err(code, &why);
    if (e == KITH_ECLOSED) {
        c->why = why;
        return;
    }
    if (code == KITH_YAMUX_CONN_GATED) {
        char text[KITH_REASON_MAX] = "";
        kith_goaway_self self = {
            .peer = n->id, .classical = c->suite->kem == KITH_KEM_NONE, .kith = c->suite->own};
        if (c->suite->own)
            self.pq = kith_pq_id_of_signer(n->cfg.pq_signer);
        kith_goaway_gated(&self, text);
        make_reason(c, text);
        why = c->reason ? c->reason->text : why;
    }
    kith_conn_end_(c, now, e, why, false);
}

/* Takes what yamux has to tell, all of it or until that has cost enough; commands given meanwhile may add to it. */
static void drain_yamux(kith_conn *c, kith_time now, uint64_t enough)
{
    kith_yamux_event ev;
    while (c->state == CONN_OPEN && c->cost < enough && kith_yamux_next(c->yamux, &ev)) {
        kith_stream *s = ev.stream ? kith_yamux_user(ev.stream) : NULL;
        c->cost++;
        switch (ev.kind) {
        case KITH_YAMUX_OPENED:
            c->cost += COST_STREAM;
            kith_stream_accept_(c, now, ev.stream);
            break;
        case KITH_YAMUX_DATA:
            if (s)
                kith_stream_data_(s, now, ev.data);
            break;
        case KITH_YAMUX_EOF:
            if (s)
                kith_stream_eof_(s, now);
            break;
        case KITH_YAMUX_RESET:
            if (s && !s->err)
                s->err = KITH_ERESET;
            break;
        case KITH_YAMUX_CLOSED:
            if (s) {
                kith_yamux_set_user(ev.stream, NULL);
                kith_stream_end_(s, now, ev.err); /* KITH_OK only when both sides closed it */
            }
            break;
        case KITH_YAMUX_GOAWAY:
            if (ev.code)
                sent_away(c, now, ev.code);
            break;
        case KITH_YAMUX_RTT:
            break;
        case KITH_YAMUX_FAILED:
            c->broke = ev.err == KITH_EPROTO || ev.err == KITH_ELIMIT;
            fail(c, now, ev.err, ev.why);
            break;
        }
    }
}

/* Hands the muxer what it left, in part or all of it. */
static void feed_rest(kith_conn *c, kith_time now, uint64_t enough)
{
    if (c->state != CONN_OPEN || c->rest.len == 0)
        return;
    kith_yamux_recv(c->yamux, now, kith_buf_view(&c->rest));
    drain_yamux(c, now, enough);
    kith_bytes left = c->yamux ? kith_yamux_give_back(c->yamux) : (kith_bytes){0};
    if (c->state == CONN_OPEN)
        kith_buf_drop(&c->rest, &c->node->env, c->rest.len - left.len);
    else
        kith_buf_fini(&c->rest, &c->node->env);
}

static void feed(kith_conn *c, kith_time now, kith_bytes in)
{
    const kith_env *env = &c->node->env;
    if (c->rest.len > 0 && c->cost >= c->enough && kith_buf_put(&c->rest, env, in) == KITH_OK)
        return;
    feed_rest(c, now, UINT64_MAX);
    if (c->state != CONN_OPEN)
        return;
    kith_yamux_recv(c->yamux, now, in);
    drain_yamux(c, now, c->enough);
    if (c->state != CONN_OPEN)
        return;
    kith_bytes left = kith_yamux_give_back(c->yamux);
    if (left.len > 0 && kith_buf_put(&c->rest, env, left)) {
        kith_yamux_recv(c->yamux, now, left); /* no room: then all of it now */
        drain_yamux(c, now, UINT64_MAX);
    }
}

/* Decrypted bytes. */
static void plain(kith_conn *c, kith_time now, kith_bytes in)
{
    if (c->state == CONN_MUXING) {
        size_t used = 0;
        kith_err e = kith_mss_recv(c->mss, in, &used);
        if (e) {
            fail(c, now, e,
                 e == KITH_EUNSUPPORTED ? "the peer speaks no muxer that we do" : kith_mss_why(c->mss));
            return;
        }
        in = kith_bytes_skip(in, used);
        if (kith_mss_status(c->mss) == KITH_MSS_DONE)
            open_up(c, now); /* the negotiator goes when its last words are sent */
    }
    if (c->state == CONN_OPEN && in.len > 0) {
        feed(c, now, in);
    }
}

/* Roughly, of one core: what a signature with our post-quantum key is worth. */
static uint32_t sign_ms(const kith_node *n)
{
    static const uint32_t ms[KITH_SIG_COUNT] = {
        [KITH_SIG_MLDSA44] = 1,      [KITH_SIG_MLDSA65] = 2,     [KITH_SIG_MLDSA87] = 2,
        [KITH_SIG_SLHDSA128S] = 350, [KITH_SIG_SLHDSA128F] = 20, [KITH_SIG_FALCON512] = 1};
    return ms[kith_pq_signer_alg(n->cfg.pq_signer)];
}

/* Whoever dials a suite of kith's own has us sign before we know who it is: only after message A, and so much a minute. */
static void claim_signature(kith_conn *c, kith_time now)
{
    const char *why;
    if (!c->inbound || !c->suite->own || c->signing || kith_noise_resumed(c->noise))
        return;
    c->signing = true;
    kith_err e = kith_limiter_sign(c->node->limiter, now, &c->remote, sign_ms(c->node), &why);
    if (e)
        kith_conn_end_(c, now, KITH_ELIMIT, why, false);
}

static void noise_events(kith_conn *c, kith_time now)
{
    kith_noise_event ev;
    while (c->state != CONN_CLOSING && c->state != CONN_DEAD && kith_noise_next(c->noise, &ev)) {
        c->cost += COST_RECORD;
        switch (ev.kind) {
        case KITH_NOISE_KEY:
            if (c->suite->resumes)
                answer_resumption(c, now, ev.data);
            else
                ask_key(c, ev.data);
            break;
        case KITH_NOISE_WORK:
            c->deadline = kith_time_after(now, c->node->cfg.handshake_timeout);
            c->working = c->noise;
            c->cost += COST_HANDSHAKE;
            c->rtt = now - c->asked_at; /* a first guess, with what the peer had to compute */
            kith_note_(c->node, &c->note, CONN_WORK);
            claim_signature(c, now);
            break;
        case KITH_NOISE_READY:
            secured(c, now);
            break;
        case KITH_NOISE_DATA:
            plain(c, now, ev.data);
            break;
        case KITH_NOISE_FAILED:
            fail(c, now, ev.err, ev.why);
            break;
        }
    }
}

static void noise_in(kith_conn *c, kith_time now, kith_span in)
{
    if (in.len == 0 || !c->noise || c->state == CONN_CLOSING || c->state == CONN_DEAD)
        return;
    kith_noise_recv(c->noise, now, in);
    noise_events(c, now);
}

void kith_conn_worked_(kith_conn *c, kith_time now)
{
    kith_noise *n = c->working;
    assert(n && !(c->note.bits & CONN_WORK));
    c->working = NULL;
    kith_noise_worked(n, now); /* the end of n, unless it is still ours */
    if (c->closed) {
        kith_conn_free_(c);
        return;
    }
    if (c->noise == n) {
        c->deadline = kith_time_after(now, c->node->cfg.handshake_timeout);
        noise_events(c, now);
    }
    kith_conn_pump_(c, now);
}

/* Why the negotiation of a secure channel failed with e. */
static const char *unsecured(const kith_conn *c, kith_err e)
{
    if (e != KITH_EUNSUPPORTED)
        return kith_mss_greeted(c->mss) || e != KITH_EPROTO
                   ? kith_mss_why(c->mss)
                   : "the peer does not speak multistream-select 1.0.0: it is no libp2p node, or one in a private "
                     "network, whose key is needed (network.key)";
    if (c->node->cfg.qkd == KITH_QKD_REQUIRED)
        return "the peer does not agree on a QKD key, and qkd = required";
    return c->node->cfg.pq == KITH_PQ_REQUIRE || c->policy == KITH_PQ_REQUIRE
               ? "the peer speaks no post-quantum channel, and pq = require"
               : "the peer speaks no secure channel that we allow";
}

/* What is said inside a private network, or to everybody. */
static void hear(kith_conn *c, kith_time now, kith_span in)
{
    if (c->state == CONN_SECURING && !c->mss) {
        keep_early(c, now, in);
        return;
    }
    if (c->state == CONN_SECURING) {
        size_t used = 0;
        kith_err e = kith_mss_recv(c->mss, kith_span_bytes(in), &used);
        if (e) {
            fail(c, now, e == KITH_EUNSUPPORTED ? KITH_EPOLICY : e, unsecured(c, e));
            return;
        }
        in = kith_span_skip(in, used);
        if (kith_mss_status(c->mss) == KITH_MSS_DONE) {
            if (!start_noise(c, now, (size_t)kith_mss_choice(c->mss)))
                return;
            c->state = CONN_NOISE;
            if (kith_mss_ahead_taken(c->mss))
                kith_noise_passed(c->noise);
            noise_in(c, now, kith_mss_ahead(c->mss));
        }
    }
    noise_in(c, now, in);
    kith_conn_pump_(c, now);
}

static bool hears(const kith_conn *c)
{
    return c->state == CONN_SECURING || c->state == CONN_NOISE || c->state == CONN_MUXING ||
           c->state == CONN_OPEN;
}

void kith_conn_recv_(kith_conn *c, kith_time now, kith_span in)
{
    c->bytes_in += in.len;
    if (!c->pnet) {
        hear(c, now, in);
        return;
    }
    while (in.len > 0 && hears(c)) {
        kith_span text = kith_pnet_recv(c->pnet, &in);
        if (text.len > 0)
            hear(c, now, text);
    }
    const char *why;
    kith_err e = kith_pnet_err(c->pnet, &why);
    if (e)
        fail(c, now, e, why);
}

const char *kith_conn_unmet_(const kith_conn *c, const char *otherwise)
{
    return c->pnet && hears(c) && !kith_pnet_met(c->pnet)
               ? "it did not show the key of this private network: it is not in it, or has another key"
               : otherwise;
}

void kith_conn_go_on_(kith_conn *c, kith_time now, uint64_t most)
{
    feed_rest(c, now, c->cost + most);
    kith_conn_pump_(c, now);
}

kith_aead_alg kith_conn_aead(const kith_conn *c)
{
    return c->aead;
}

uint64_t kith_conn_cost(const kith_conn *c)
{
    return c->bytes_in / COST_BYTES + c->cost;
}

bool kith_conn_stranger(const kith_conn *c)
{
    return c->inbound && !c->secured;
}

static size_t controls(kith_conn *c, kith_time now, kith_span out)
{
    size_t len = 0;
    for (size_t k; (k = kith_yamux_send(c->yamux, now, kith_span_skip(out, len))) > 0;)
        len += k;
    return len;
}

/* Fills one record's plaintext: control frames, then streams in turn, then what their turns left owing (a reset). */
static size_t fill(kith_conn *c, kith_time now, kith_span out)
{
    size_t len = 0;
    if (c->mss) { /* muxer negotiation */
        for (size_t k; (k = kith_mss_send(c->mss, kith_span_skip(out, len))) > 0;)
            len += k;
        if (c->state == CONN_MUXING)
            return len;
        kith_mss_free(c->mss);
        c->mss = NULL;
    }
    if (!c->yamux)
        return len;
    len += controls(c, now, kith_span_skip(out, len));
    kith_yamux_turn t;
    while (c->state == CONN_OPEN && kith_yamux_turn_next(c->yamux, now, out.len - len, &t)) {
        kith_stream *s = kith_yamux_user(t.stream);
        bool fin = false;
        kith_span room = kith_span_of(out.p + len + KITH_YAMUX_HDR_LEN, t.max);
        size_t k = s ? kith_stream_fill_(s, now, room, &fin) : 0;
        len += kith_yamux_turn_end(c->yamux, now, &t, k, fin, out.p + len);
        if (s)
            kith_stream_after_(s, now);
    }
    return len + controls(c, now, kith_span_skip(out, len));
}

/* What is to be said, in a private network or to everybody. */
static size_t speak(kith_conn *c, kith_time now, kith_span out)
{
    size_t len = 0;
    if (c->mss && !(c->noise && kith_noise_ready(c->noise))) { /* secure channel negotiation, in clear */
        for (size_t k; (k = kith_mss_send(c->mss, kith_span_skip(out, len))) > 0; len += k)
            c->asked_at = now;
        if (c->state != CONN_SECURING && len < out.len) {
            kith_mss_free(c->mss);
            c->mss = NULL;
        }
    }
    /* One proposal is left: if the peer refuses that, there is no connection anyway, and if not, the handshake's first message
     * behind it has saved a round trip. */
    bool lazy = !c->inbound && c->state == CONN_SECURING && c->mss && kith_mss_may_pass(c->mss);
    if (lazy && !start_noise(c, now, c->offer->count - 1))
        return len;
    if (c->noise && (!c->mss || lazy) && !kith_noise_ready(c->noise)) {
        size_t k = kith_noise_send(c->noise, now, kith_span_skip(out, len));
        if (k > 0)
            c->asked_at = now;
        len += k;
    }
    while (c->noise && kith_noise_ready(c->noise)) {
        /* The handshake's last message goes first; later the mark of a change of keys does. */
        len += kith_noise_send(c->noise, now, kith_span_skip(out, len));
        len += kith_noise_change(c->noise, kith_span_skip(out, len));
        kith_span rest = kith_span_skip(out, len);
        kith_span room = kith_noise_room(c->noise, rest);
        if (room.len < 2 * KITH_YAMUX_HDR_LEN)
            break;
        size_t k = fill(c, now, room);
        if (k == 0)
            break;
        len += kith_noise_seal(c->noise, rest, k);
    }
    return len;
}

size_t kith_conn_send_(kith_conn *c, kith_time now, kith_span out)
{
    if (c->state == CONN_DEAD || c->state == CONN_DIALING)
        return 0;
    assert(c->pnet || !c->node->cfg.network_key);
    size_t nonce = c->pnet ? kith_pnet_send(c->pnet, out) : 0;
    kith_span text = kith_span_skip(out, nonce);
    text.len = speak(c, now, text);
    if (c->pnet)
        kith_pnet_seal(c->pnet, text);
    size_t len = nonce + text.len;
    c->bytes_out += len;
    if (c->state == CONN_CLOSING && len == 0)
        dead(c);
    else
        kith_conn_pump_(c, now);
    return len;
}

bool kith_conn_idle_(const kith_conn *c)
{
    return c->state == CONN_OPEN && c->stream_count == 0 && c->protect == 0;
}

/* A second connection between the same two: both sides keep the one that the smaller peer id dialled. */
static bool redundant(const kith_conn *c)
{
    const kith_node *n = c->node;
    bool ours_smaller = memcmp(&n->id, &c->peer, sizeof n->id) < 0;
    if (c->inbound != ours_smaller)
        return false; /* dialled by the smaller one */
    for (const kith_conn *o = kith_conn_of_peer_(n, &c->peer); o; o = o->peer_next) {
        if (o->inbound != c->inbound)
            return true;
    }
    return false;
}

static kith_time idle_deadline(const kith_conn *c)
{
    if (!kith_conn_idle_(c))
        return KITH_NEVER;
    kith_time idle =
        redundant(c) ? kith_time_min(REDUNDANT_IDLE, c->node->cfg.idle_timeout) : c->node->cfg.idle_timeout;
    return kith_time_after(c->active_at, idle);
}

void kith_conn_tick_(kith_conn *c, kith_time now)
{
    switch (c->state) {
    case CONN_DIALING:
    case CONN_SECURING:
    case CONN_NOISE:
    case CONN_MUXING:
        if (now >= c->deadline) {
            kith_conn_end_(c, now, KITH_ETIMEOUT,
                           c->state == CONN_DIALING ? "no answer"
                                                    : kith_conn_unmet_(c, "the handshake took too long"),
                           false);
            return;
        }
        break;
    case CONN_OPEN:
        if (now >= kith_yamux_deadline(c->yamux)) {
            kith_yamux_tick(c->yamux, now);
            drain_yamux(c, now, UINT64_MAX);
        }
        if (c->state == CONN_OPEN && now >= idle_deadline(c)) {
            kith_yamux_goaway(c->yamux, 0);
            kith_conn_end_(c, now, KITH_ECLOSED,
                           redundant(c) ? "a second connection to the same peer" : "idle", true);
            return;
        }
        break;
    case CONN_CLOSING:
        if (now >= c->deadline)
            dead(c);
        return;
    case CONN_DEAD:
        return;
    }
    kith_conn_pump_(c, now);
}

void kith_conn_pump_(kith_conn *c, kith_time now)
{
    if (c->state == CONN_DEAD)
        return;
    if (c->state == CONN_OPEN)
        drain_yamux(c, now, UINT64_MAX);
    if (c->state == CONN_DEAD)
        return;
    kith_time at = c->deadline;
    if (c->state == CONN_OPEN) {
        kith_rekey_pump_(c, now);
        at = kith_time_min(kith_yamux_deadline(c->yamux), idle_deadline(c));
        at = kith_time_min(at, kith_rekey_deadline_(c));
    }
    kith_timers_set(&c->node->timers, &c->timer.t, at);
    kith_writer_(c);
}
