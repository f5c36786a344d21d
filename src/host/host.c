/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The loop, the node and the one drive function between them. */
#include "host/host.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "crypto/crypto.h"
#include "host/clock.h"
#include "host/host_impl.h"

#define STOP_AFTER KITH_SEC(2) /* a graceful stop takes no longer */
#define DESCRIPTORS_KEPT 128   /* for files, pipes, the control socket, sockets that are leaving */

const kith_env *kith_host_env(void)
{
    static kith_env env;
    if (!env.alloc.fn) {
        env.alloc.fn = kith_heap;
        env.rand = kith_random_os();
    }
    return &env;
}

/* Lifts the soft limit of open files to the hard one; connections are capped below it, so descriptors never run out. */
static void lift_descriptors(kith_node_config *cfg)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r))
        return;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
    if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur == RLIM_INFINITY)
        return;
    rlim_t most = r.rlim_cur > 2 * DESCRIPTORS_KEPT ? r.rlim_cur - DESCRIPTORS_KEPT : r.rlim_cur / 2;
    if (cfg->limits.conns > most)
        cfg->limits.conns = (uint32_t)most;
    if (cfg->limits.conns_in > most - most / 8)
        cfg->limits.conns_in = (uint32_t)(most - most / 8);
}

static void on_key_answer(void *ctx, uint64_t key_id, const kith_node_key_answer *a)
{
    kith_host *h = ctx;
    kith_node_key(h->node, kith_host_now(h), key_id, a);
    kith_host_kick(h);
}

static void on_key_log(void *ctx, const char *line)
{
    kith_host_log_(ctx, "%s", line);
}

/* False: *why, which stays until the next time, says what is missing. */
static bool start_qkd(kith_host *h, const char **why)
{
    static char reason[KITH_QKD_WHY_MAX];
    kith_qkd_keys_config cfg = {.loop = &h->loop,
                                .settings = h->cfg.qkd,
                                .policy = h->cfg.node.qkd,
                                .answer = on_key_answer,
                                .log = on_key_log,
                                .ctx = h};
    if (h->cfg.node.qkd == KITH_QKD_OFF)
        return true;
    *why = reason;
    snprintf(reason, sizeof reason,
             "qkd = preferred or required needs pq = prefer or require, and a post-quantum identity");
    if (h->cfg.node.pq != KITH_PQ_OFF && h->cfg.node.pq_signer)
        h->qkd = kith_qkd_keys_new(&cfg, reason);
    return h->qkd != NULL;
}

static void on_prepare(uv_prepare_t *p);
static void on_timer(uv_timer_t *t);
static void on_idle(uv_idle_t *i);

kith_host *kith_host_new(const kith_host_config *cfg, const char **why)
{
    *why = "no memory";
    if (kith_crypto_init()) {
        *why = "OpenSSL lacks ML-KEM: version 3.5 or newer is needed";
        return NULL;
    }
    if (!cfg->node.network_key && kith_network_forced()) {
        *why =
            "LIBP2P_FORCE_PNET=1 allows no node outside of a private network, and network.key is not set; 'kith "
            "network new-key' makes a key";
        return NULL;
    }
    kith_host *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->cfg = *cfg;
    if (cfg->node.network_key && kith_network_print(cfg->node.network_key, h->network)) {
        free(h);
        return NULL;
    }
    h->cfg.node.env = *kith_host_env();
    lift_descriptors(&h->cfg.node);
    kith_list_init(&h->socks);
    kith_list_init(&h->listeners);
    kith_list_init(&h->dials);
    kith_list_init(&h->lookups);
    int e = uv_loop_init(&h->loop);
    if (e) {
        *why = uv_strerror(e);
        free(h);
        return NULL;
    }
    e = kith_workers_init(&h->workers, &h->loop, 0);
    if (e) {
        *why = uv_strerror(e);
        uv_loop_close(&h->loop);
        free(h);
        return NULL;
    }
    uv_prepare_init(&h->loop, &h->prepare);
    uv_timer_init(&h->loop, &h->timer);
    uv_idle_init(&h->loop, &h->idle);
    kith_tcp_init_(h);
    h->prepare.data = h->timer.data = h->idle.data = h;
    h->timer_at = KITH_NEVER;
    uv_prepare_start(&h->prepare, on_prepare);
    bool good = start_qkd(h, why);
    h->node = kith_node_new(&h->cfg.node, kith_host_now(h));
    h->cfg.node.network_key = NULL; /* the caller's */
    h->read_buf = malloc(READ_BUF);
    if (!good || !h->node || !h->read_buf) {
        kith_host_stop(h);
        kith_host_run(h);
        kith_host_free(h);
        return NULL;
    }
    kith_node_set_clock(h->node, kith_host_now(h), kith_wall_s());
    return h;
}

void kith_host_free(kith_host *h)
{
    if (!h)
        return;
    kith_node_free(h->node);
    kith_qkd_keys_free(h->qkd);
    int e = uv_loop_close(&h->loop);
    assert(e == 0);
    (void)e;
    while (h->pool_len > 0)
        free(h->pool[--h->pool_len]);
    free(h->read_buf);
    free(h);
}

void kith_host_look_at_addrs(kith_host *h)
{
    if (!h->stopping)
        kith_tcp_look_at_addrs_(h);
}

kith_node *kith_host_node(kith_host *h)
{
    return h->node;
}

uv_loop_t *kith_host_loop(kith_host *h)
{
    return &h->loop;
}

const char *kith_host_network(const kith_host *h)
{
    return h->network[0] ? h->network : NULL;
}

kith_time kith_host_now(kith_host *h)
{
    (void)h;
    return uv_hrtime();
}

void kith_host_log_(kith_host *h, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (h->cfg.log)
        h->cfg.log(h->cfg.log_ctx, line);
}

void kith_host_kick(kith_host *h)
{
    if (!h->dirty && !h->closed)
        uv_idle_start(&h->idle, on_idle); /* the loop must not sleep before the next prepare */
    h->dirty = true;
}

/* ---- the drive ---- */

static void tell_parts(kith_host *h, const kith_node_event *ev)
{
    for (kith_part *p = h->parts; p; p = p->next) {
        if (p->ops->event)
            p->ops->event(p->self, kith_host_now(h), ev);
    }
}

static void observe(kith_host *h, const kith_node_event *ev)
{
    for (kith_observer *o = h->observers; o;) {
        kith_observer *next = o->next;
        o->event(o->ctx, h, ev);
        o = next;
    }
}

static void tell(kith_host *h, const kith_node_event *ev)
{
    observe(h, ev);
    tell_parts(h, ev);
}

static void on_dialed(kith_host *h, const kith_node_event *ev)
{
    KITH_EACH (&h->dials, k) {
        pending_dial *d = KITH_OF(k, pending_dial, link);
        if (d->id != ev->dial_id)
            continue;
        kith_link_remove(&d->link);
        d->fn(d->ctx, h, ev->conn, ev->err, ev->why);
        free(d);
        return;
    }
    tell_parts(h, ev); /* it is none of the host's */
}

static void dispatch(kith_host *h, const kith_node_event *ev)
{
    switch (ev->kind) {
    case KITH_NODE_DIAL:
        kith_tcp_connect_(h, ev->conn, &ev->addr);
        break;
    case KITH_NODE_RESOLVE:
        kith_dns_resolve_(h, ev->resolve_id, &ev->addr);
        break;
    case KITH_NODE_KEY:
        kith_qkd_keys_ask(h->qkd, ev);
        break;
    case KITH_NODE_WORK:
        kith_tcp_work_(h, ev->conn);
        break;
    case KITH_NODE_CLOSE:
        kith_tcp_close_(h, ev->conn);
        if (ev->peer.len)
            tell(h, ev);
        break;
    case KITH_NODE_CONNECTED:
    case KITH_NODE_IDENTIFIED:
    case KITH_NODE_UPDATED:
    case KITH_NODE_DISCONNECTED:
    case KITH_NODE_REFUSED:
        tell(h, ev);
        break;
    case KITH_NODE_DIALED:
        observe(h, ev);
        on_dialed(h, ev);
        break;
    case KITH_NODE_STREAM_OPENED:
    case KITH_NODE_STREAM_READY:
    case KITH_NODE_STREAM_GONE: {
        kith_sink *sink = kith_stream_user(ev->stream);
        if (sink)
            sink->event(sink->ctx, h, ev);
        break;
    }
    }
}

/* Sends what there is, in turns; false: the budget of this loop turn is used up and there is more. */
static bool write_all(kith_host *h, bool *wrote)
{
    size_t budget = WRITE_BUDGET;
    kith_conn *c;
    while ((c = kith_node_writer(h->node))) {
        *wrote = true;
        size_t n = kith_tcp_write_(h, c);
        if (n >= budget)
            return false;
        budget -= n;
    }
    return true;
}

/* Lets the parts do to the node what they want; true: there is news. */
static bool act(kith_host *h)
{
    bool acted = false;
    for (kith_part *p = h->parts; p; p = p->next)
        acted |= p->ops->act && p->ops->act(p->self, kith_host_now(h));
    return acted;
}

/* When the timer must fire next. */
static kith_time deadline(const kith_host *h)
{
    kith_time at = kith_node_deadline(h->node);
    for (const kith_part *p = h->parts; p; p = p->next) {
        kith_time its = p->ops->deadline ? p->ops->deadline(p->self) : KITH_NEVER;
        at = its < at ? its : at;
    }
    return at;
}

void kith_host_drive_(kith_host *h)
{
    if (h->driving || !h->node)
        return; /* no node: a start that failed is being undone */
    h->driving = true;
    bool more = false;
    h->dirty = false;
    uv_idle_stop(&h->idle);
    for (bool again = true; again && !more;) {
        kith_node_event ev;
        while (kith_node_next(h->node, kith_host_now(h), &ev))
            dispatch(h, &ev);
        again = act(h);
        more = !write_all(h, &again);
    }
    kith_time at = deadline(h);
    if (at != h->timer_at) {
        h->timer_at = at;
        kith_time now = kith_host_now(h);
        if (at == KITH_NEVER) {
            uv_timer_stop(&h->timer);
        } else {
            uv_update_time(&h->loop);
            uv_timer_start(&h->timer, on_timer, at > now ? (at - now) / 1000000u + 1 : 0, 0);
        }
    }
    h->driving = false;
    if (more || h->dirty) {
        h->dirty = false;
        kith_host_kick(h);
    }
}

static void on_timer(uv_timer_t *t)
{
    kith_host *h = t->data;
    h->timer_at = KITH_NEVER;
    kith_time now = kith_host_now(h);
    kith_node_tick(h->node, now);
    for (kith_part *p = h->parts; p; p = p->next) {
        if (p->ops->tick && p->ops->deadline(p->self) <= now)
            p->ops->tick(p->self, now);
    }
    h->dirty = true;
}

static void on_idle(uv_idle_t *i)
{
    (void)i;
}

static void close_own(kith_host *h)
{
    if (h->closed)
        return;
    h->closed = true;
    kith_workers_stop(&h->workers);
    kith_dns_close_(h);
    kith_qkd_keys_close(h->qkd);
    kith_tcp_close_all_(h);
    for (kith_link *k; (k = kith_list_pop(&h->dials));) {
        pending_dial *d = KITH_OF(k, pending_dial, link);
        d->fn(d->ctx, h, NULL, KITH_ECLOSED, "the node is stopping");
        free(d);
    }
    uv_close((uv_handle_t *)&h->prepare, NULL);
    uv_close((uv_handle_t *)&h->timer, NULL);
    uv_close((uv_handle_t *)&h->idle, NULL);
    if (h->stop_fn)
        h->stop_fn(h->stop_ctx);
}

static void on_prepare(uv_prepare_t *p)
{
    kith_host *h = p->data;
    if (h->dirty)
        kith_host_drive_(h);
    kith_tcp_turn_(h);
    if (!h->stopping)
        return;
    kith_time now = kith_host_now(h);
    bool quiet = !h->node || (kith_node_conn_count(h->node) == 0 && kith_list_empty(&h->socks));
    if (quiet || (now >= h->stop_by && !(h->patient && h->leaving_count > 0)))
        close_own(h);
    else if (!uv_is_active((uv_handle_t *)&h->timer) || uv_timer_get_due_in(&h->timer) > 50)
        uv_timer_start(&h->timer, on_timer, 50, 0);
}

void kith_host_run(kith_host *h)
{
    h->dirty = false;
    kith_host_kick(h);
    uv_run(&h->loop, UV_RUN_DEFAULT);
}

static void stop(kith_host *h, bool patient)
{
    h->patient = patient;
    if (h->stopping)
        return;
    h->stopping = true;
    h->stop_by = kith_host_now(h) + STOP_AFTER;
    kith_tcp_unlisten_(h);
    kith_host_limit(h, 0, 0); /* the last words are to leave */
    if (h->node)
        kith_node_shutdown(h->node, kith_host_now(h));
    kith_host_kick(h);
}

void kith_host_stop(kith_host *h)
{
    stop(h, false);
}

void kith_host_stop_when_sent(kith_host *h)
{
    stop(h, !h->stopping || h->patient);
}

size_t kith_host_untaken(const kith_host *h)
{
    return h->untaken;
}

bool kith_host_stopping(const kith_host *h)
{
    return h->stopping;
}

void kith_host_on_stop(kith_host *h, void (*fn)(void *ctx), void *ctx)
{
    h->stop_fn = fn;
    h->stop_ctx = ctx;
}

void kith_host_observe(kith_host *h, kith_observer *o)
{
    o->next = h->observers;
    h->observers = o;
}

void kith_host_unobserve(kith_host *h, kith_observer *o)
{
    for (kith_observer **p = &h->observers; *p; p = &(*p)->next) {
        if (*p == o) {
            *p = o->next;
            return;
        }
    }
}

void kith_host_conduct(kith_host *h, const kith_peer_id *peer, kith_conduct kind)
{
    if (h->conduct)
        h->conduct(h->conduct_ctx, peer, kind);
}

void kith_host_on_conduct(kith_host *h, void (*fn)(void *ctx, const kith_peer_id *peer, kith_conduct kind),
                          void *ctx)
{
    h->conduct = fn;
    h->conduct_ctx = ctx;
}

void kith_host_attach(kith_host *h, kith_part *p)
{
    p->next = h->parts;
    h->parts = p;
    kith_host_kick(h);
}

void kith_host_detach(kith_host *h, kith_part *p)
{
    for (kith_part **at = &h->parts; *at; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            return;
        }
    }
}

kith_err kith_host_dial(kith_host *h, const kith_peer_id *peer, const kith_maddr *addrs, size_t count,
                        kith_dialed_fn fn, void *ctx)
{
    pending_dial *d = calloc(1, sizeof *d);
    if (!d)
        return KITH_ENOMEM;
    kith_err e = kith_node_dial(h->node, kith_host_now(h), peer, addrs, count, &d->id);
    if (e) {
        free(d);
        return e;
    }
    d->fn = fn;
    d->ctx = ctx;
    kith_list_push(&h->dials, &d->link);
    kith_host_kick(h);
    return KITH_OK;
}
