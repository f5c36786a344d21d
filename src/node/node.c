/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The node: who is connected, what is served, and the one queue of events. */
#include "node/node.h"

#include <assert.h>

#include "crypto/crypto.h"
#include "node/node_impl.h"
#include "proto/ping.h"
#include "proto/rekey.h"

/* ---- memory: everything that connections hold is counted ---- */

static void *counted_alloc(void *ctx, void *p, size_t old, size_t size)
{
    kith_node *n = ctx;
    if (size > old && size - old > n->cfg.limits.memory - n->memory)
        return NULL;
    void *q = n->outer.alloc.fn(n->outer.alloc.ctx, p, old, size);
    if (q || size == 0)
        n->memory = n->memory - old + size;
    return q;
}

kith_err kith_timer_claim_(kith_node *n)
{
    kith_err e = kith_timers_reserve(&n->timers, &n->env, n->timer_count + 1);
    if (!e)
        n->timer_count++;
    return e;
}

void kith_timer_unclaim_(kith_node *n, node_timer *t)
{
    kith_timers_set(&n->timers, &t->t, KITH_NEVER);
    kith_timers_release(&n->timers, &n->env, --n->timer_count);
}

void kith_note_(kith_node *n, note *t, unsigned bits)
{
    t->bits = (uint8_t)(t->bits | bits);
    if (!kith_link_in(&t->link))
        kith_list_push(&n->notes, &t->link);
}

void kith_writer_(kith_conn *c)
{
    if (c->blocked || c->state == CONN_DIALING || kith_link_in(&c->writer))
        return;
    if (c->said_much)
        kith_list_push(&c->node->writers, &c->writer);
    else
        kith_list_push_front(&c->node->writers, &c->writer);
}

reason *kith_reason_share_(reason *r)
{
    if (r)
        r->refs++;
    return r;
}

void kith_reason_drop_(kith_node *n, reason *r)
{
    if (r && --r->refs == 0)
        KITH_FREE(&n->env, r);
}

static void waiter_free(kith_node *n, dial_waiter *w)
{
    kith_reason_drop_(n, w->reason);
    KITH_FREE(&n->env, w);
}

/* ---- life ---- */

void kith_node_config_default(kith_node_config *cfg)
{
    *cfg = (kith_node_config){
        .agent = "kith",
        .pq = KITH_PQ_PREFER,
        .level = 3,
        .handshake_timeout = KITH_SEC(10),
        .dial_timeout = KITH_SEC(5),
        .negotiate_timeout = KITH_SEC(10),
        .idle_timeout = KITH_SEC(300),
        .ping_every = KITH_SEC(30),
        .rekey_after_time = KITH_SEC(3600),
        .rekey_after_bytes = UINT64_C(64) << 30,
        .resume_for = KITH_SEC(24 * 3600),
    };
    kith_limits_default(&cfg->limits);
}

static bool suite_allowed(const kith_node_config *cfg, const kith_noise_suite *s)
{
    if (s->kem == KITH_KEM_NONE)
        return cfg->pq != KITH_PQ_REQUIRE;
    return cfg->pq != KITH_PQ_OFF && (!s->own || (cfg->pq_signer && s->level >= cfg->level));
}

void kith_offer_(offer *o, const kith_noise_suite *s)
{
    assert(o->count < SUITES_MAX && (!s->own || o->own == o->count));
    o->suites[o->count] = s;
    o->ids[o->count++] = kith_bytes_str(s->id);
    o->own += s->own;
}

/* How many. */
static size_t add_suites(kith_node *n, const kith_noise_suite *list, size_t count)
{
    size_t before = n->all.count;
    for (size_t i = 0; i < count; i++) {
        if (suite_allowed(&n->cfg, &list[i]))
            kith_offer_(&n->all, &list[i]);
    }
    return n->all.count - before;
}

/* The tables begin with the weakest of kith's own, so that two kith nodes meet at the higher one of their levels; a key in addition
 * goes before any level. */
static void choose_suites(kith_node *n)
{
    if (n->cfg.qkd != KITH_QKD_REQUIRED && n->cfg.resume_for > 0)
        n->resume_count = add_suites(n, kith_noise_resume_suites, kith_noise_resume_suite_count);
    if (n->cfg.qkd != KITH_QKD_OFF)
        n->qkd_count = add_suites(n, kith_noise_psk_suites, kith_noise_psk_suite_count);
    if (n->cfg.qkd != KITH_QKD_REQUIRED)
        (void)add_suites(n, kith_noise_suites, kith_noise_suite_count);
}

kith_node *kith_node_new(const kith_node_config *cfg, kith_time now)
{
    static const struct {
        const char *id;
        const kith_stream_ops *ops;
        uint32_t per_conn;
    } own[] = {
        {KITH_IDENTIFY_ID, &kith_identify_ops, 4},
        {KITH_IDENTIFY_PUSH_ID, &kith_identify_ops, 2},
        {KITH_PING_ID, &kith_ping_ops, 4},
        {KITH_REKEY_ID, &kith_rekey_ops, 2},
    };
    kith_node *n = KITH_NEW(&cfg->env, kith_node);
    if (!n)
        return NULL;
    n->cfg = *cfg;
    n->outer = cfg->env;
    n->env =
        (kith_env){.alloc = {.ctx = n, .fn = counted_alloc}, .rand = cfg->env.rand, .trace = cfg->env.trace};
    kith_list_init(&n->conns);
    kith_list_init(&n->writers);
    kith_list_init(&n->notes);
    kith_list_init(&n->jobs);
    kith_list_init(&n->lookups);
    kith_list_init(&n->strangers);
    kith_list_init(&n->keying);
    n->next_id = 1;
    n->seed[0] = kith_rand_u64(&n->env);
    n->seed[1] = kith_rand_u64(&n->env);
    size_t agent_len = strlen(cfg->agent);
    if (agent_len > sizeof n->agent - 1)
        agent_len = sizeof n->agent - 1;
    memcpy(n->agent, cfg->agent, agent_len);
    n->cfg.agent = n->agent;
    if (cfg->network_key) {
        memcpy(n->network_key, cfg->network_key, sizeof n->network_key);
        n->cfg.network_key = n->network_key;
    }
    uint8_t pub[KITH_ED25519_PUB_LEN];
    kith_signer_public(cfg->signer, pub);
    kith_pubkey_ed25519(pub, n->pubkey);
    choose_suites(n);
    n->push_timer.owner = TIMER_PUSH;
    n->resume_timer.owner = TIMER_RESUME;
    bool ok = kith_peer_id_of_key(kith_bytes_of(n->pubkey, sizeof n->pubkey), &n->id) == KITH_OK &&
              kith_timer_claim_(n) == KITH_OK && kith_timer_claim_(n) == KITH_OK;
    if (n->resume_count > 0)
        ok = ok && (n->resume = kith_resume_new(&n->env, n->seed, KITH_RESUME_PEERS_MAX, n->cfg.resume_for));
    ok = ok && (n->limiter = kith_limiter_new(&n->env, &n->cfg.limits)) &&
         (n->noise_id = kith_noise_identity_new(&n->env, cfg->signer, cfg->pq_signer)) &&
         kith_noise_identity_tell(n->noise_id, cfg->pq_successors, cfg->pq_successor_count) == KITH_OK;
    for (size_t i = 0; ok && i < sizeof own / sizeof *own; i++) {
        kith_protocol row = {
            .id = kith_bytes_str(own[i].id), .ops = own[i].ops, .streams_per_conn = own[i].per_conn};
        ok = kith_node_serve(n, now, &row) == KITH_OK;
    }
    if (!ok) {
        kith_node_free(n);
        return NULL;
    }
    return n;
}

static void row_drop(kith_node *n, protocol_row *row)
{
    row->served = false;
    if (row->refs > 0)
        return; /* the last stream frees it */
    kith_mem_free(&n->env, (void *)(uintptr_t)row->p.id.p, row->p.id.len);
    KITH_FREE(&n->env, row);
}

void kith_node_free(kith_node *n)
{
    if (!n)
        return;
    kith_env outer = n->outer;
    while (!kith_list_empty(&n->conns))
        kith_conn_free_(KITH_OF(kith_list_first(&n->conns), kith_conn, all));
    for (kith_link *k; (k = kith_list_pop(&n->notes));) {
        note *t = KITH_OF(k, note, link);
        if (t->kind == NOTE_ANSWER)
            waiter_free(n, KITH_OF(t, dial_waiter, note));
    }
    if (n->dead_waiter)
        waiter_free(n, n->dead_waiter);
    kith_dialer_free_all_(n);
    for (size_t i = 0; i < n->row_count; i++) {
        if (n->rows[i])
            row_drop(n, n->rows[i]);
    }
    kith_mem_free(&n->env, n->addrs, n->addr_count * sizeof *n->addrs);
    kith_mem_free(&n->env, n->record, n->record_len);
    kith_resume_free(n->resume);
    kith_noise_identity_free(n->noise_id);
    kith_limiter_free(n->limiter);
    kith_map_fini(&n->by_peer, &n->env);
    kith_timers_fini(&n->timers, &n->env);
    kith_wipe(n->network_key, sizeof n->network_key);
    KITH_FREE(&outer, n);
}

const kith_peer_id *kith_node_id(const kith_node *n)
{
    return &n->id;
}

kith_usage kith_node_usage(const kith_node *n)
{
    return kith_limiter_usage(n->limiter);
}

const kith_env *kith_node_env(const kith_node *n)
{
    return &n->env;
}

/* ---- what we serve and say of ourselves ---- */

static void changed(kith_node *n, kith_time now)
{
    if (kith_list_empty(&n->conns))
        return;
    kith_timers_set(&n->timers, &n->push_timer.t, now + PUSH_DELAY);
}

kith_err kith_node_serve(kith_node *n, kith_time now, const kith_protocol *p)
{
    size_t hole = n->row_count;
    for (size_t i = 0; i < n->row_count; i++) {
        if (n->rows[i] && kith_bytes_eq(n->rows[i]->p.id, p->id))
            return KITH_EEXISTS;
        if (!n->rows[i] && hole == n->row_count)
            hole = i;
    }
    if (hole == PROTOCOLS_MAX)
        return KITH_ELIMIT;
    if (p->id.len == 0 || p->id.len > KITH_MSS_ID_MAX)
        return KITH_EFORMAT;
    protocol_row *row = KITH_NEW(&n->env, protocol_row);
    uint8_t *id = row ? kith_mem_new(&n->env, p->id.len) : NULL;
    if (!id) {
        kith_mem_free(&n->env, row, sizeof *row);
        return KITH_ENOMEM;
    }
    memcpy(id, p->id.p, p->id.len);
    row->p = *p;
    row->p.id = kith_bytes_of(id, p->id.len);
    row->served = true;
    n->rows[hole] = row;
    if (hole == n->row_count)
        n->row_count++;
    changed(n, now);
    return KITH_OK;
}

void kith_node_unserve(kith_node *n, kith_time now, kith_bytes id)
{
    for (size_t i = 0; i < n->row_count; i++) {
        if (n->rows[i] && kith_bytes_eq(n->rows[i]->p.id, id)) {
            row_drop(n, n->rows[i]);
            n->rows[i] = NULL;
            changed(n, now);
            return;
        }
    }
}

const kith_maddr *kith_node_addrs(const kith_node *n, size_t *count)
{
    *count = n->addr_count;
    return n->addrs;
}

kith_err kith_node_set_addrs(kith_node *n, kith_time now, const kith_maddr *addrs, size_t count)
{
    if (count > KITH_RECORD_ADDRS_MAX)
        count = KITH_RECORD_ADDRS_MAX;
    kith_maddr *copy = count ? kith_mem_new(&n->env, count * sizeof *copy) : NULL;
    if (count && !copy)
        return KITH_ENOMEM;
    if (count)
        memcpy(copy, addrs, count * sizeof *copy);
    kith_mem_free(&n->env, n->addrs, n->addr_count * sizeof *n->addrs);
    n->addrs = copy;
    n->addr_count = count;
    kith_mem_free(&n->env, n->record, n->record_len);
    n->record = NULL;
    n->record_len = 0;
    changed(n, now);
    return KITH_OK;
}

void kith_node_set_clock(kith_node *n, kith_time now, uint64_t unix_seconds)
{
    uint64_t since_start = now / KITH_SEC(1);
    n->clock_offset = unix_seconds > since_start ? unix_seconds - since_start : 0;
}

bool kith_node_is_private(const kith_node *n)
{
    return n->cfg.network_key != NULL;
}

/* ---- what the host tells ---- */

/* Makes room by closing the inbound connection that has been idle for longest. */
static bool trim_idle(kith_node *n, kith_time now)
{
    kith_conn *oldest = NULL;
    if (now < n->trim_after)
        return false;
    n->trim_after = now + TRIM_PAUSE;
    KITH_EACH (&n->conns, k) {
        kith_conn *c = KITH_OF(k, kith_conn, all);
        if (c->inbound && kith_conn_idle_(c) && now - c->active_at >= TRIM_GRACE &&
            (!oldest || c->active_at < oldest->active_at))
            oldest = c;
    }
    if (!oldest)
        return false;
    kith_conn_end_(oldest, now, KITH_ELIMIT, "idle, and room was needed", false);
    return true;
}

/* Makes room by ending the oldest handshake, so that strangers who stand still cannot keep everybody else out. */
static bool trim_handshake(kith_node *n, kith_time now)
{
    kith_link *k = kith_list_first(&n->strangers);
    kith_conn *c = k ? KITH_OF(k, kith_conn, stranger) : NULL;
    if (!c || now - c->active_at < HANDSHAKE_GRACE)
        return false;
    kith_conn_end_(c, now, KITH_ELIMIT, "the handshake took long, and room was needed", false);
    return true;
}

static bool make_room(kith_node *n, kith_time now)
{
    kith_usage use = kith_limiter_usage(n->limiter);
    const kith_limits *caps = &n->cfg.limits;
    if (use.handshakes >= caps->handshakes && !trim_handshake(n, now))
        return false;
    use = kith_limiter_usage(n->limiter);
    if (use.conns_in + use.conns_out >= caps->conns || use.conns_in >= caps->conns_in)
        return trim_idle(n, now) || trim_handshake(n, now);
    return true;
}

kith_err kith_node_accept(kith_node *n, kith_time now, const kith_maddr *remote, const kith_maddr *local,
                          kith_conn **out, const char **why)
{
    *why = NULL;
    if (n->stopping) {
        *why = "this node is stopping";
        return KITH_ESTATE;
    }
    kith_err e = kith_limiter_accept(n->limiter, now, remote, why);
    if (e == KITH_ELIMIT && make_room(n, now))
        e = kith_limiter_accept(n->limiter, now, remote, why);
    if (e == KITH_EREFUSED)
        e = KITH_ELIMIT;
    if (e)
        return e;
    kith_conn *c;
    e = kith_conn_new_(n, now, true, &c);
    if (e) {
        kith_limiter_release_in(n->limiter, remote, false);
        *why = "no memory";
        return e;
    }
    c->counted = true;
    kith_list_push(&n->strangers, &c->stranger);
    c->remote = *remote;
    if (local)
        c->local = *local;
    *out = c;
    kith_conn_start_(c, now);
    return KITH_OK;
}

void kith_node_connected(kith_node *n, kith_time now, kith_conn *c, const kith_maddr *remote,
                         const kith_maddr *local)
{
    if (c->state != CONN_DIALING)
        return;
    c->dialed = true;
    kith_limiter_dialed(n->limiter);
    if (remote)
        c->remote = *remote;
    if (local)
        c->local = *local;
    kith_conn_start_(c, now);
}

void kith_node_link_failed(kith_node *n, kith_time now, kith_conn *c, kith_err err, const char *why)
{
    (void)n;
    if (err == KITH_ERESET)
        why = kith_conn_unmet_(c, why);
    kith_conn_end_(c, now, err, why, false);
}

void kith_node_recv(kith_node *n, kith_time now, kith_conn *c, kith_span in)
{
    (void)n;
    if (c->state == CONN_SECURING || c->state == CONN_NOISE || c->state == CONN_MUXING ||
        c->state == CONN_OPEN)
        kith_conn_recv_(c, now, in);
}

void kith_node_recv_some(kith_node *n, kith_time now, kith_conn *c, kith_span in, uint64_t most)
{
    c->enough = c->cost + most;
    kith_node_recv(n, now, c, in);
    c->enough = UINT64_MAX;
}

bool kith_conn_laden(const kith_conn *c)
{
    return c->rest.len > 0;
}

void kith_node_go_on(kith_node *n, kith_time now, kith_conn *c, uint64_t most)
{
    (void)n;
    kith_conn_go_on_(c, now, most);
}

void kith_node_work(kith_conn *c)
{
    kith_noise_work(c->working);
}

void kith_node_key(kith_node *n, kith_time now, uint64_t key_id, const kith_node_key_answer *answer)
{
    KITH_EACH (&n->keying, k) {
        kith_conn *c = KITH_OF(k, kith_conn, keying);
        if (c->key_id != key_id)
            continue;
        kith_link_remove(&c->keying);
        kith_conn_key_(c, now, answer);
        return;
    }
}

void kith_node_worked(kith_node *n, kith_time now, kith_conn *c)
{
    (void)n;
    kith_conn_worked_(c, now);
}

void kith_node_eof(kith_node *n, kith_time now, kith_conn *c)
{
    (void)n;
    const char *why = c->state != CONN_OPEN ? kith_conn_unmet_(c, "the peer hung up during the handshake")
                      : c->why              ? c->why /* it had said so */
                                            : "closed by the peer";
    kith_conn_end_(c, now, KITH_ECLOSED, why, false);
}

kith_conn *kith_node_writer(kith_node *n)
{
    kith_link *k = kith_list_first(&n->writers);
    return k ? KITH_OF(k, kith_conn, writer) : NULL;
}

size_t kith_node_send(kith_node *n, kith_time now, kith_conn *c, kith_span out)
{
    size_t len = kith_conn_send_(c, now, out);
    bool waits = kith_link_in(&c->writer);
    kith_link_remove(&c->writer);
    if (len == 0)
        return 0;
    c->said_much = len > SAYS_LITTLE;
    if (waits)
        kith_list_push(&n->writers, &c->writer); /* behind those who wait */
    return len;
}

void kith_node_blocked(kith_node *n, kith_conn *c)
{
    (void)n;
    c->blocked = true;
    kith_link_remove(&c->writer);
}

void kith_node_writable(kith_node *n, kith_conn *c)
{
    (void)n;
    c->blocked = false;
    if (c->state != CONN_DEAD)
        kith_writer_(c);
}

kith_time kith_node_deadline(const kith_node *n)
{
    return kith_timers_next(&n->timers);
}

void kith_resume_timer_(kith_node *n)
{
    kith_timers_set(&n->timers, &n->resume_timer.t, kith_resume_deadline(n->resume));
}

static void push_to_all(kith_node *n, kith_time now)
{
    KITH_EACH (&n->conns, k)
        kith_identify_push_(KITH_OF(k, kith_conn, all), now);
}

void kith_node_tick(kith_node *n, kith_time now)
{
    for (kith_timer *t; (t = kith_timers_pop(&n->timers, now));) {
        node_timer *nt = KITH_OF(t, node_timer, t);
        switch ((timer_owner)nt->owner) {
        case TIMER_CONN:
            kith_conn_tick_(KITH_OF(nt, kith_conn, timer), now);
            break;
        case TIMER_STREAM: {
            kith_stream *s = KITH_OF(nt, kith_stream, timer);
            kith_stream_tick_(s, now);
            kith_conn_pump_(s->conn, now);
            break;
        }
        case TIMER_JOB:
            kith_dialer_tick_(n, now, KITH_OF(nt, dial_job, timer));
            break;
        case TIMER_PUSH:
            push_to_all(n, now);
            break;
        case TIMER_RESUME:
            kith_resume_tick(n->resume, now);
            kith_resume_timer_(n);
            break;
        }
    }
}

void kith_conn_set_link(kith_conn *c, void *link)
{
    c->link = link;
}

void *kith_conn_link(const kith_conn *c)
{
    return c->link;
}

/* ---- what the application wants ---- */

kith_err kith_node_open(kith_node *n, kith_time now, kith_conn *c, const kith_bytes *protocols, size_t count,
                        const kith_stream_ops *ops, void *machine, void *user, kith_stream **out)
{
    (void)n;
    assert(count > 0);
    kith_err e = kith_stream_open_(c, now, protocols, count, ops, machine, user, ROLE_APP, out);
    if (!e)
        kith_conn_pump_(c, now);
    return e;
}

void kith_node_wake(kith_node *n, kith_time now, kith_stream *s)
{
    (void)n;
    if (s->over)
        return;
    kith_stream_settle_(s, now);
    kith_conn_pump_(s->conn, now);
}

void kith_node_reset(kith_node *n, kith_time now, kith_stream *s)
{
    (void)n;
    if (s->over)
        return;
    if (!s->err)
        s->err = KITH_ECLOSED;
    kith_yamux_reset(s->conn->yamux, s->ys, KITH_YAMUX_NO_ERROR);
    kith_conn_pump_(s->conn, now);
}

static void say_goodbye(kith_conn *c, kith_time now, uint32_t code, const char *why)
{
    if (c->state == CONN_OPEN)
        kith_yamux_goaway(c->yamux, code);
    kith_conn_end_(c, now, KITH_ECLOSED, why, c->state == CONN_OPEN);
}

void kith_node_close(kith_node *n, kith_time now, kith_conn *c)
{
    (void)n;
    say_goodbye(c, now, KITH_YAMUX_NORMAL, "closed here");
}

void kith_node_send_away(kith_node *n, kith_time now, kith_conn *c)
{
    (void)n;
    say_goodbye(c, now, KITH_YAMUX_CONN_GATED, "not wanted any more");
}

void kith_node_trim(kith_node *n, kith_time now, kith_conn *c)
{
    (void)n;
    say_goodbye(c, now, KITH_YAMUX_CONN_GARBAGE, "trimmed: there were more connections than conns.high");
}

void kith_node_ping(kith_node *n, kith_time now, kith_conn *c)
{
    (void)n;
    if (c->state != CONN_OPEN)
        return;
    kith_yamux_ping(c->yamux, now);
    kith_conn_pump_(c, now);
}

void kith_node_shutdown(kith_node *n, kith_time now)
{
    n->stopping = true;
    kith_dialer_stop_(n, now); /* or the next address would be tried for each connection closed below */
    KITH_EACH (&n->conns, k) {
        kith_conn *c = KITH_OF(k, kith_conn, all);
        if (c->state != CONN_CLOSING && c->state != CONN_DEAD)
            say_goodbye(c, now, KITH_YAMUX_CONN_SHUTDOWN, "this node is stopping");
    }
}

void kith_node_forget_sessions(kith_node *n, const kith_peer_id *peer)
{
    if (!n->resume)
        return;
    if (peer)
        kith_resume_forget(n->resume, peer);
    else
        kith_resume_forget_all(n->resume);
    kith_resume_timer_(n);
}

void kith_node_throttle(kith_conn *c, bool on)
{
    c->throttled = on;
}

bool kith_conn_throttled(const kith_conn *c)
{
    return c->throttled;
}

void kith_node_protect(kith_conn *c, bool on)
{
    c->protect += on ? 1 : -1;
    assert(c->protect >= 0);
}

/* ---- events ---- */

static void bury(kith_node *n)
{
    if (n->dead_stream)
        kith_stream_free_(n->dead_stream);
    if (n->dead_conn && n->dead_conn->working)
        n->dead_conn->closed = true;
    else if (n->dead_conn)
        kith_conn_free_(n->dead_conn);
    if (n->dead_waiter)
        waiter_free(n, n->dead_waiter);
    n->dead_stream = NULL;
    n->dead_conn = NULL;
    n->dead_waiter = NULL;
}

/* Takes the lowest bit out of a note; the note leaves the queue with its last. */
static unsigned take_bit(note *t)
{
    unsigned bit = t->bits & (0u - t->bits);
    t->bits = (uint8_t)(t->bits & ~bit);
    if (!t->bits)
        kith_link_remove(&t->link);
    return bit;
}

static bool tell_conn(kith_node *n, kith_time now, kith_conn *c, kith_node_event *ev)
{
    /* The end of a connection is told after the ends of its streams. */
    unsigned ends = CONN_DISCONNECTED | CONN_REFUSED | CONN_CLOSE;
    if (!(c->note.bits & ~ends) && !kith_list_empty(&c->streams)) {
        kith_link_remove(&c->note.link);
        kith_list_push(&n->notes, &c->note.link);
        return false;
    }
    ev->conn = c;
    ev->addr = c->remote;
    ev->err = c->err;
    ev->why = c->why;
    switch (take_bit(&c->note)) {
    case CONN_DIAL:
        if (c->state != CONN_DIALING)
            return false; /* given up meanwhile; the host never hears of it, CLOSE is told all the same */
        ev->kind = KITH_NODE_DIAL;
        return true;
    case CONN_KEY:
        if (!kith_link_in(&c->keying))
            return false; /* given up meanwhile */
        ev->kind = KITH_NODE_KEY;
        ev->key_id = c->key_id;
        ev->key_name = c->key_name;
        ev->peer = c->expected;
        return true;
    case CONN_WORK:
        ev->kind = KITH_NODE_WORK;
        return true;
    case CONN_CONNECTED:
        c->was_open = true;
        ev->kind = KITH_NODE_CONNECTED;
        return true;
    case CONN_UNASKED:
        if (c->state != CONN_OPEN)
            return false;
        c->identified = true;
        ev->kind = KITH_NODE_IDENTIFIED;
        ev->err = c->unasked;
        ev->why = kith_err_text(c->unasked);
        if (c->push_due)
            kith_identify_push_(c, now);
        return true;
    case CONN_DISCONNECTED:
        ev->kind = KITH_NODE_DISCONNECTED;
        return true;
    case CONN_REFUSED:
        ev->kind = KITH_NODE_REFUSED;
        return true;
    case CONN_CLOSE:
        ev->kind = KITH_NODE_CLOSE;
        if (c->missed)
            ev->peer = c->expected;
        n->dead_conn = c;
        return true;
    }
    return false;
}

/* Streams of our own: what identify heard becomes an event, the rest is only buried. */
static bool tell_own_stream(kith_node *n, kith_time now, kith_stream *s, kith_node_event *ev)
{
    kith_conn *c = s->conn;
    n->dead_stream = s;
    ev->conn = c;
    ev->addr = c->remote;
    switch ((stream_role)s->role) {
    case ROLE_IDENTIFY_ASK:
        if (c->state != CONN_OPEN)
            return false;
        c->identified = true;
        ev->kind = KITH_NODE_IDENTIFIED;
        if (!kith_identify_heard_(s, &ev->info, &ev->err)) {
            ev->info = NULL;
            ev->why = kith_err_text(ev->err);
        }
        kith_conn_pump_(c, now); /* it may be time for what the peer serves */
        if (c->push_due)
            kith_identify_push_(c, now);
        return true;
    case ROLE_PUSH_HEAR:
        ev->kind = KITH_NODE_UPDATED;
        return s->machine && c->state == CONN_OPEN && kith_identify_heard_(s, &ev->info, &ev->err);
    case ROLE_PUSH_SAY:
        c->pushing = false;
        if (c->push_due)
            kith_identify_push_(c, now);
        return false;
    case ROLE_APP:
    case ROLE_IDENTIFY_ANSWER:
    case ROLE_PING:
    case ROLE_REKEY_ASK:
    case ROLE_REKEY_ANSWER:
        return false;
    }
    return false;
}

static bool tell_stream(kith_node *n, kith_time now, kith_stream *s, kith_node_event *ev)
{
    ev->stream = s;
    ev->conn = s->conn;
    switch (take_bit(&s->note)) {
    case STREAM_OPENED:
        ev->kind = KITH_NODE_STREAM_OPENED;
        return true;
    case STREAM_READY:
        ev->kind = KITH_NODE_STREAM_READY;
        return true;
    case STREAM_GONE:
        if (s->role != ROLE_APP)
            return tell_own_stream(n, now, s, ev);
        n->dead_stream = s;
        ev->kind = KITH_NODE_STREAM_GONE;
        ev->err = s->err;
        return s->machine != NULL; /* an inbound one that was never agreed on concerns nobody */
    }
    return false;
}

bool kith_node_next(kith_node *n, kith_time now, kith_node_event *ev)
{
    for (;;) {
        bury(n);
        kith_link *k = kith_list_first(&n->notes);
        if (!k)
            return false;
        note *t = KITH_OF(k, note, link);
        *ev = (kith_node_event){0};
        bool told = false;
        switch ((note_kind)t->kind) {
        case NOTE_CONN:
            told = tell_conn(n, now, KITH_OF(t, kith_conn, note), ev);
            break;
        case NOTE_STREAM:
            told = tell_stream(n, now, KITH_OF(t, kith_stream, note), ev);
            break;
        case NOTE_ANSWER: {
            dial_waiter *w = KITH_OF(t, dial_waiter, note);
            kith_link_remove(&t->link);
            n->dead_waiter = w;
            *ev = (kith_node_event){
                .kind = KITH_NODE_DIALED, .conn = w->conn, .dial_id = w->id, .err = w->err, .why = w->why};
            told = true;
            break;
        }
        case NOTE_LOOKUP: {
            lookup *l = KITH_OF(t, lookup, note);
            kith_link_remove(&t->link);
            *ev = (kith_node_event){.kind = KITH_NODE_RESOLVE, .addr = l->addr, .resolve_id = l->id};
            told = true;
            break;
        }
        }
        if (told)
            return true;
    }
}

/* ---- looking ---- */

size_t kith_node_conn_count(const kith_node *n)
{
    return n->conn_count;
}

kith_conn *kith_node_conn_next(const kith_node *n, const kith_conn *c)
{
    kith_link *k = c ? kith_list_next(&n->conns, &c->all) : kith_list_first(&n->conns);
    return k ? KITH_OF(k, kith_conn, all) : NULL;
}

kith_conn *kith_node_conn_find(const kith_node *n, const kith_peer_id *peer)
{
    kith_conn *best = kith_conn_of_peer_(n, peer);
    bool ours_smaller = memcmp(&n->id, peer, sizeof n->id) < 0;
    for (kith_conn *c = best; c; c = c->peer_next) {
        if (c->inbound != ours_smaller)
            return c; /* the one that both sides keep */
    }
    return best;
}

void kith_conn_facts_get(const kith_conn *c, kith_conn_facts *out)
{
    *out = (kith_conn_facts){
        .peer = c->peer,
        .remote = c->remote,
        .local = c->local,
        .inbound = c->inbound,
        .open = c->state == CONN_OPEN,
        .suite = c->suite,
        .pq = c->pq,
        .resumed = c->resumed,
        .pq_checked_at = c->pq.id.len ? c->node->clock_offset + c->pq_checked_at / KITH_SEC(1) : 0,
        .channel = c->state == CONN_OPEN ? kith_noise_hash(c->noise) : NULL,
        .shaken_in = c->shaken_in,
        .shaken_out = c->shaken_out,
        .shaking = c->shaking,
        .muxer = KITH_YAMUX_ID,
        .qkd = (kith_qkd_state)c->qkd,
        .qkd_why = c->qkd_why,
        .early_muxer = c->early_muxer,
        .opened_at = c->opened_at,
        .active_at = c->active_at,
        .heard_at = c->yamux ? kith_yamux_heard(c->yamux) : 0,
        .protected = c->protect > 0,
        .broke = c->broke,
        .rtt = c->yamux ? kith_yamux_rtt(c->yamux) : 0,
        .bytes_in = c->bytes_in,
        .bytes_out = c->bytes_out,
        .streams = c->stream_count,
        .rekeys = c->rekeys,
        .keyed_at = c->keyed_at,
        .keyed_bytes = c->bytes_in + c->bytes_out - c->keyed_bytes,
        .identified = c->identified,
        .agent = c->agent,
    };
}

const char *kith_conn_refusal(const kith_conn *c)
{
    return c->err == KITH_EREFUSED ? c->why : NULL;
}

kith_conn *kith_stream_conn(const kith_stream *s)
{
    return s->conn;
}

void *kith_stream_machine(const kith_stream *s)
{
    return s->machine;
}

void *kith_stream_user(const kith_stream *s)
{
    return s->user;
}

void kith_stream_set_user(kith_stream *s, void *user)
{
    s->user = user;
}

bool kith_stream_inbound(const kith_stream *s)
{
    return s->inbound;
}

void kith_node_check(const kith_node *n)
{
    size_t conns = 0, streams = 0, in = 0, handshakes = 0, strangers = 0, jobs = 0;
    KITH_EACH (&n->conns, k) {
        const kith_conn *c = KITH_OF(k, kith_conn, all);
        size_t apps = 0, all = 0;
        conns++;
        in += c->inbound && c->counted;
        handshakes += c->inbound && c->counted && !c->secured;
        assert(c->state != CONN_OPEN || (c->yamux && c->noise && c->peer.len));
        assert(c->state != CONN_OPEN || !n->cfg.network_key || (c->pnet && kith_pnet_met(c->pnet)));
        assert(c->state != CONN_DEAD || (!c->yamux && !c->noise && !c->mss));
        assert(!c->job == !kith_link_in(&c->in_job));
        assert(!c->closed || (c->state == CONN_DEAD && c->working));
        assert(!(c->note.bits & CONN_WORK) || c->working);
        KITH_EACH (&c->streams, i) {
            const kith_stream *s = KITH_OF(i, kith_stream, in_conn);
            streams++;
            all++;
            apps += s->role == ROLE_APP;
            assert(s->over == !s->ys);
            assert(!s->over || (s->note.bits & STREAM_GONE) || n->dead_stream == s);
        }
        assert(apps == c->stream_count && all == c->stream_total);
        if (c->state == CONN_OPEN)
            kith_yamux_check(c->yamux);
    }
    KITH_EACH (&n->jobs, k)
        jobs++;
    KITH_EACH (&n->strangers, k)
        strangers++;
    kith_usage use = kith_limiter_usage(n->limiter);
    assert(strangers == handshakes);
    assert(n->timer_count == 2 + conns + streams + jobs);
    if (n->resume)
        kith_resume_check(n->resume);
    assert(conns == n->conn_count && in == use.conns_in && handshakes == use.handshakes &&
           streams == use.streams);
    assert(n->memory <= n->cfg.limits.memory);
    (void)conns, (void)streams, (void)jobs, (void)in, (void)handshakes, (void)strangers, (void)use;
}
