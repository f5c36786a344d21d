/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The simulated network and its hosts. */
#include "sim_world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "crypto/crypto.h"

/* One TCP connection: two ends, each with the bytes on their way to the other. */
typedef struct segment {
    kith_link link;
    kith_time at;
    size_t len;
    uint8_t bytes[];
} segment;

typedef struct end {
    sim_host *host;
    kith_conn *conn; /* NULL: closed here */
    kith_list out;   /* segments towards the other end */
    size_t queued;
    kith_time busy_until;
    bool blocked, closing, told_eof;
} end;

typedef struct tcp {
    kith_link link;
    end e[2];
    bool severed; /* nothing passes any more, silently */
} tcp;

typedef struct due {
    kith_time at;
    uint64_t seq;
    enum { DUE_DELIVER, DUE_EOF, DUE_CONNECT, DUE_REFUSE, DUE_TIMER, DUE_ACCEPTED, DUE_RESET } kind;
    tcp *t;
    int side;
    sim_host *host;
    kith_conn *conn;
    uint64_t conn_seq; /* guards against a connection that is gone */
} due;

typedef struct name {
    char text[128];
    kith_maddr addr;
} name;

struct sim_host {
    sim *world;
    size_t index;
    kith_node *node;
    kith_signer *signer;
    kith_env env;
    uint64_t rng;
    kith_maddr addr, listen;
    sim_watch watch;
    void *watch_ctx, *user;
    kith_time timer_at;
    size_t memory;
    int64_t fail_after;
    bool vanished, driving;
    kith_list dialing; /* conns between DIAL and connected */
};

typedef struct dialing {
    kith_link link;
    kith_conn *conn;
    uint64_t seq;
    bool gone;
} dialing;

struct sim {
    kith_time now;
    uint64_t rng, hash, seq, steps;
    sim_path path;
    sim_host **hosts;
    size_t host_count;
    due *heap;
    size_t len, cap;
    kith_list tcps;
    uint8_t *cut; /* host_count^2 partition bits, grown with hosts */
    size_t cut_n;
    name names[16];
    size_t name_count;
    uint8_t buf[256 * 1024];
};

/* SplitMix64 */
static uint64_t split_mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void mix(sim *s, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        s->hash = (s->hash ^ b[i]) * 0x100000001b3u; /* FNV-1a */
}

static void mix_event(sim *s, unsigned what, const sim_host *h, uint64_t detail)
{
    uint64_t row[4] = {s->now, what, h->index, detail};
    mix(s, row, sizeof row);
}

/* ---- what is due ---- */

static bool sooner(const due *a, const due *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void push_due(sim *s, due d)
{
    if (s->len == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 256;
        s->heap = realloc(s->heap, s->cap * sizeof *s->heap);
        assert(s->heap);
    }
    d.seq = s->seq++;
    size_t i = s->len++;
    for (; i > 0 && sooner(&d, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = d;
}

static due pop_due(sim *s)
{
    due top = s->heap[0], last = s->heap[--s->len];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->len)
            break;
        if (child + 1 < s->len && sooner(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!sooner(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    if (s->len)
        s->heap[i] = last;
    return top;
}

/* ---- leaves ---- */

static void *host_alloc(void *ctx, void *p, size_t old, size_t size)
{
    sim_host *h = ctx;
    if (size == 0) {
        h->memory -= old;
        free(p);
        return NULL;
    }
    if (h->fail_after >= 0 && size > old) {
        if (h->fail_after == 0)
            return NULL;
        h->fail_after--;
    }
    void *q = realloc(p, size);
    assert(q);
    h->memory = h->memory - old + size;
    return q;
}

static void host_rand(void *ctx, kith_span out)
{
    sim_host *h = ctx;
    for (size_t i = 0; i < out.len; i++)
        out.p[i] = (uint8_t)split_mix(&h->rng);
}

/* ---- world ---- */

sim *sim_new(uint64_t seed)
{
    if (kith_crypto_init() != KITH_OK)
        abort();
    sim *s = calloc(1, sizeof *s);
    assert(s);
    s->now = KITH_SEC(1);
    s->rng = seed;
    s->hash = 0xcbf29ce484222325u;
    s->path = (sim_path){.latency = KITH_MS(10), .buffer = 256 * 1024};
    kith_list_init(&s->tcps);
    return s;
}

static void tcp_free(tcp *t)
{
    for (int i = 0; i < 2; i++) {
        for (kith_link *k; (k = kith_list_pop(&t->e[i].out));)
            free(KITH_OF(k, segment, link));
    }
    kith_link_remove(&t->link);
    free(t);
}

void sim_free(sim *s)
{
    for (size_t i = 0; i < s->host_count; i++) {
        sim_host *h = s->hosts[i];
        kith_node_free(h->node);
        assert(h->memory == 0);
        kith_signer_free(h->signer);
        for (kith_link *k; (k = kith_list_pop(&h->dialing));)
            free(KITH_OF(k, dialing, link));
        free(h);
    }
    for (kith_link *k; (k = kith_list_first(&s->tcps));)
        tcp_free(KITH_OF(k, tcp, link));
    free(s->hosts);
    free(s->heap);
    free(s->cut);
    free(s);
}

kith_time sim_now(const sim *s)
{
    return s->now;
}

uint64_t sim_random(sim *s)
{
    return split_mix(&s->rng);
}

void sim_set_path(sim *s, sim_path p)
{
    s->path = p;
}

sim_host *sim_add(sim *s, const kith_node_config *given)
{
    sim_host *h = calloc(1, sizeof *h);
    s->hosts = realloc(s->hosts, (s->host_count + 1) * sizeof(sim_host *));
    assert(h && s->hosts);
    h->world = s;
    h->index = s->host_count;
    s->hosts[s->host_count++] = h;
    h->rng = split_mix(&s->rng);
    h->fail_after = -1;
    h->timer_at = KITH_NEVER;
    kith_list_init(&h->dialing);
    h->env = (kith_env){.alloc = {.ctx = h, .fn = host_alloc}, .rand = {.ctx = h, .fn = host_rand}};
    uint8_t seed[KITH_ED25519_SEED_LEN];
    host_rand(h, kith_span_of(seed, sizeof seed));
    h->signer = kith_signer_new(seed);
    assert(h->signer);
    kith_node_config cfg;
    if (given)
        cfg = *given;
    else
        kith_node_config_default(&cfg);
    cfg.env = h->env;
    cfg.signer = h->signer;
    h->node = kith_node_new(&cfg, s->now);
    assert(h->node);
    uint8_t ip[4] = {10, 0, (uint8_t)(h->index >> 8), (uint8_t)(h->index + 1)};
    kith_maddr_from_tcp(kith_bytes_of(ip, 4), 4001, &h->listen);
    h->addr = h->listen;
    kith_err e = kith_maddr_set_peer(&h->addr, kith_node_id(h->node));
    if (!e)
        e = kith_node_set_addrs(h->node, s->now, &h->listen, 1);
    assert(!e);
    kith_node_set_clock(h->node, s->now, 1800000000);
    return h;
}

kith_node *sim_node(sim_host *h)
{
    return h->node;
}

const kith_maddr *sim_addr(const sim_host *h)
{
    return &h->addr;
}

void sim_set_watch(sim_host *h, sim_watch fn, void *ctx)
{
    h->watch = fn;
    h->watch_ctx = ctx;
}

void sim_set_user(sim_host *h, void *user)
{
    h->user = user;
}

void *sim_user(const sim_host *h)
{
    return h->user;
}

sim_host *sim_host_at(sim *s, size_t i)
{
    return s->hosts[i];
}

size_t sim_host_index(const sim_host *h)
{
    return h->index;
}

const kith_env *sim_env(sim_host *h)
{
    return &h->env;
}

void sim_set_name(sim *s, const char *text, const kith_maddr *addr)
{
    assert(s->name_count < sizeof s->names / sizeof *s->names);
    name *n = &s->names[s->name_count++];
    snprintf(n->text, sizeof n->text, "%s", text);
    n->addr = *addr;
}

uint64_t sim_hash(const sim *s)
{
    return s->hash;
}

uint64_t sim_steps(const sim *s)
{
    return s->steps;
}

size_t sim_memory(const sim_host *h)
{
    return h->memory;
}

void sim_fail_alloc_after(sim_host *h, int64_t n)
{
    h->fail_after = n;
}

/* ---- partitions ---- */

static bool cut(const sim *s, const sim_host *a, const sim_host *b)
{
    if (a->vanished || b->vanished)
        return true;
    return s->cut && a->index < s->cut_n && b->index < s->cut_n && s->cut[a->index * s->cut_n + b->index];
}

void sim_partition(sim *s, sim_host *a, sim_host *b, bool on)
{
    if (s->cut_n < s->host_count) {
        uint8_t *bits = calloc(s->host_count, s->host_count);
        assert(bits);
        for (size_t i = 0; i < s->cut_n; i++)
            memcpy(bits + i * s->host_count, s->cut + i * s->cut_n, s->cut_n);
        free(s->cut);
        s->cut = bits;
        s->cut_n = s->host_count;
    }
    s->cut[a->index * s->cut_n + b->index] = on;
    s->cut[b->index * s->cut_n + a->index] = on;
}

void sim_vanish(sim_host *h)
{
    h->vanished = true;
}

/* ---- TCP ---- */

static sim_host *host_listening(const sim *s, const kith_maddr *addr)
{
    for (size_t i = 0; i < s->host_count; i++) {
        kith_maddr plain = *addr;
        if (kith_maddr_set_peer(&plain, NULL) == KITH_OK && kith_maddr_eq(&plain, &s->hosts[i]->listen))
            return s->hosts[i];
    }
    return NULL;
}

static void schedule_eof(sim *s, tcp *t, int side)
{
    end *e = &t->e[side];
    e->closing = true;
    kith_time at = e->busy_until > s->now ? e->busy_until : s->now;
    push_due(s, (due){.at = at + s->path.latency, .kind = DUE_EOF, .t = t, .side = side});
}

static bool drive_writers(sim_host *h)
{
    sim *s = h->world;
    kith_conn *c;
    bool any = false;
    while ((c = kith_node_writer(h->node))) {
        tcp *t = kith_conn_link(c);
        assert(t);
        int side = t->e[0].conn == c ? 0 : 1;
        end *e = &t->e[side];
        if (e->queued >= s->path.buffer) {
            e->blocked = true;
            kith_node_blocked(h->node, c);
            continue;
        }
        any = true;
        size_t n = kith_node_send(h->node, s->now, c, kith_span_of(s->buf, sizeof s->buf));
        if (n == 0)
            continue;
        segment *g = malloc(sizeof *g + n);
        assert(g);
        memset(&g->link, 0, sizeof g->link);
        g->len = n;
        memcpy(g->bytes, s->buf, n);
        e->queued += n;
        if (e->busy_until < s->now)
            e->busy_until = s->now;
        if (s->path.bandwidth)
            e->busy_until += (kith_time)n * 1000000000u / s->path.bandwidth;
        g->at = e->busy_until + s->path.latency;
        kith_list_push(&e->out, &g->link);
        push_due(s, (due){.at = g->at, .kind = DUE_DELIVER, .t = t, .side = side});
    }
    return any;
}

static void on_dial(sim_host *h, const kith_node_event *ev)
{
    sim *s = h->world;
    dialing *d = calloc(1, sizeof *d);
    assert(d);
    d->conn = ev->conn;
    d->seq = s->seq;
    kith_list_push(&h->dialing, &d->link);
    sim_host *to = host_listening(s, &ev->addr);
    due next = {.at = s->now + s->path.latency,
                .kind = to ? DUE_CONNECT : DUE_REFUSE,
                .host = h,
                .conn = ev->conn,
                .conn_seq = d->seq};
    if (to && cut(s, h, to))
        return; /* no answer, ever */
    if (!to)
        next.at += s->path.latency;
    push_due(s, next);
}

static dialing *find_dialing(sim_host *h, const due *d)
{
    KITH_EACH (&h->dialing, k) {
        dialing *x = KITH_OF(k, dialing, link);
        if (x->conn == d->conn && x->seq == d->conn_seq)
            return x;
    }
    return NULL;
}

static void on_close(sim_host *h, const kith_node_event *ev)
{
    sim *s = h->world;
    KITH_EACH (&h->dialing, k) {
        dialing *x = KITH_OF(k, dialing, link);
        if (x->conn == ev->conn) {
            kith_link_remove(&x->link);
            free(x);
        }
    }
    tcp *t = kith_conn_link(ev->conn);
    if (!t)
        return;
    int side = t->e[0].conn == ev->conn ? 0 : 1;
    t->e[side].conn = NULL;
    schedule_eof(s, t, side);
}

static void on_resolve(sim_host *h, const kith_node_event *ev)
{
    sim *s = h->world;
    char text[KITH_MADDR_TEXT_MAX + 1];
    kith_maddr_text(&ev->addr, text);
    kith_maddr found[16];
    size_t n = 0;
    for (size_t i = 0; i < s->name_count; i++) {
        if (strcmp(s->names[i].text, text) == 0)
            found[n++] = s->names[i].addr;
    }
    kith_node_resolved(h->node, s->now, ev->resolve_id, found, n, n ? KITH_OK : KITH_ENOTFOUND);
}

void sim_drive(sim_host *h)
{
    sim *s = h->world;
    if (h->driving)
        return; /* a watch that changes the node: the loop below goes on anyway */
    h->driving = true;
    kith_node_event ev;
    for (bool again = true; again;) {
        while (kith_node_next(h->node, s->now, &ev)) {
            mix_event(s, 100u + (unsigned)ev.kind, h, (uint64_t)ev.err);
            if (ev.kind == KITH_NODE_DIAL)
                on_dial(h, &ev);
            else if (ev.kind == KITH_NODE_CLOSE)
                on_close(h, &ev);
            else if (ev.kind == KITH_NODE_RESOLVE)
                on_resolve(h, &ev);
            if (h->watch)
                h->watch(h->watch_ctx, h, &ev);
        }
        again = drive_writers(h); /* what was sent may have ended something: look once more */
    }
    kith_node_check(h->node);
    kith_time at = kith_node_deadline(h->node);
    if (at != h->timer_at && at != KITH_NEVER)
        push_due(s, (due){.at = at > s->now ? at : s->now, .kind = DUE_TIMER, .host = h});
    h->timer_at = at;
    h->driving = false;
}

static bool pass(const sim *s, const tcp *t)
{
    return !t->severed && !cut(s, t->e[0].host, t->e[1].host);
}

static void deliver(sim *s, due *d)
{
    end *from = &d->t->e[d->side], *to = &d->t->e[1 - d->side];
    if (!pass(s, d->t)) {
        d->at = s->now + KITH_MS(200); /* as a retransmission would */
        if (!d->t->severed && !from->host->vanished && !to->host->vanished)
            push_due(s, *d);
        return;
    }
    segment *g = KITH_OF(kith_list_pop(&from->out), segment, link);
    from->queued -= g->len;
    mix_event(s, 1, to->host, g->len);
    mix(s, g->bytes, g->len);
    if (to->conn) {
        kith_node_recv(to->host->node, s->now, to->conn, kith_span_of(g->bytes, g->len));
        sim_drive(to->host);
    }
    free(g);
    if (from->blocked && from->conn && from->queued < s->path.buffer) {
        from->blocked = false;
        kith_node_writable(from->host->node, from->conn);
        sim_drive(from->host);
    }
}

static void eof(sim *s, due *d)
{
    end *from = &d->t->e[d->side], *to = &d->t->e[1 - d->side];
    if (!pass(s, d->t) || !kith_list_empty(&from->out)) {
        d->at = s->now + KITH_MS(50);
        if (!d->t->severed && !from->host->vanished && !to->host->vanished)
            push_due(s, *d);
        return;
    }
    from->told_eof = true;
    if (to->conn) {
        mix_event(s, 2, to->host, 0);
        kith_node_eof(to->host->node, s->now, to->conn);
        sim_drive(to->host);
    }
    if (from->told_eof && to->told_eof)
        tcp_free(d->t);
}

static void connect_arrives(sim *s, due *d)
{
    dialing *x = find_dialing(d->host, d);
    if (!x)
        return;
    kith_conn_facts f;
    kith_conn_facts_get(d->conn, &f);
    sim_host *to = host_listening(s, &f.remote);
    assert(to);
    if (cut(s, d->host, to))
        return;
    tcp *t = calloc(1, sizeof *t);
    assert(t);
    for (int i = 0; i < 2; i++)
        kith_list_init(&t->e[i].out);
    t->e[0].host = d->host;
    /* its conn is known once the dialer has heard: DUE_ACCEPTED */
    t->e[1].host = to;
    kith_list_push(&s->tcps, &t->link);
    kith_conn *in = NULL;
    const char *why = NULL;
    kith_err e = kith_node_accept(to->node, s->now, &d->host->listen, &to->listen, &in, &why);
    mix_event(s, 3, to, (uint64_t)e);
    if (!e) {
        t->e[1].conn = in;
        kith_conn_set_link(in, t);
    } else {
        schedule_eof(s, t, 1);
    }
    push_due(s, (due){.at = s->now + s->path.latency,
                      .kind = DUE_ACCEPTED,
                      .host = d->host,
                      .conn = d->conn,
                      .conn_seq = d->conn_seq,
                      .t = t});
    sim_drive(to);
}

static void connect_done(sim *s, due *d)
{
    dialing *x = find_dialing(d->host, d);
    if (!x) {
        d->t->e[0].conn = NULL; /* given up meanwhile */
        schedule_eof(s, d->t, 0);
        return;
    }
    kith_link_remove(&x->link);
    free(x);
    d->t->e[0].conn = d->conn;
    kith_conn_set_link(d->conn, d->t);
    mix_event(s, 4, d->host, 0);
    kith_node_connected(d->host->node, s->now, d->conn, NULL, &d->host->listen);
    sim_drive(d->host);
}

static void refuse(sim *s, due *d)
{
    dialing *x = find_dialing(d->host, d);
    if (!x)
        return;
    mix_event(s, 5, d->host, 0);
    kith_node_link_failed(d->host->node, s->now, d->conn, KITH_EREFUSED, "connection refused");
    sim_drive(d->host);
}

static void reset_tcp(sim *s, tcp *t)
{
    t->severed = true;
    for (int i = 0; i < 2; i++) {
        end *e = &t->e[i];
        if (!e->conn || e->host->vanished)
            continue;
        mix_event(s, 6, e->host, 0);
        kith_node_link_failed(e->host->node, s->now, e->conn, KITH_ERESET, "connection reset by the peer");
        sim_drive(e->host);
    }
}

void sim_reset_all(sim *s, sim_host *a, sim_host *b)
{
    KITH_EACH (&s->tcps, k) {
        tcp *t = KITH_OF(k, tcp, link);
        bool between = (t->e[0].host == a && t->e[1].host == b) || (t->e[0].host == b && t->e[1].host == a);
        if (between && !t->severed)
            reset_tcp(s, t);
    }
}

static void step(sim *s)
{
    due d = pop_due(s);
    if (d.at > s->now)
        s->now = d.at;
    s->steps++;
    switch (d.kind) {
    case DUE_DELIVER:
        if (!kith_list_empty(&d.t->e[d.side].out))
            deliver(s, &d);
        break;
    case DUE_EOF:
        eof(s, &d);
        break;
    case DUE_CONNECT:
        connect_arrives(s, &d);
        break;
    case DUE_ACCEPTED:
        connect_done(s, &d);
        break;
    case DUE_REFUSE:
        refuse(s, &d);
        break;
    case DUE_RESET:
        reset_tcp(s, d.t);
        break;
    case DUE_TIMER:
        if (d.host->vanished || d.host->timer_at > s->now)
            break;
        d.host->timer_at = KITH_NEVER;
        mix_event(s, 7, d.host, 0);
        kith_node_tick(d.host->node, s->now);
        sim_drive(d.host);
        break;
    }
}

void sim_run(sim *s, kith_time until)
{
    while (s->len && s->heap[0].at <= until)
        step(s);
    if (s->now < until)
        s->now = until;
}

bool sim_run_until(sim *s, kith_time until, bool (*done)(void *ctx), void *ctx)
{
    while (!done(ctx)) {
        if (!s->len || s->heap[0].at > until)
            return false;
        step(s);
    }
    return true;
}

typedef struct pair {
    sim_host *a, *b;
} pair;

static bool both_know(void *ctx)
{
    pair *p = ctx;
    kith_conn *x = kith_node_conn_find(p->a->node, kith_node_id(p->b->node));
    kith_conn *y = kith_node_conn_find(p->b->node, kith_node_id(p->a->node));
    kith_conn_facts f, g;
    if (!x || !y)
        return false;
    kith_conn_facts_get(x, &f);
    kith_conn_facts_get(y, &g);
    return f.agent[0] && g.agent[0];
}

kith_conn *sim_connect(sim *s, sim_host *a, sim_host *b)
{
    uint64_t id;
    pair p = {a, b};
    if (kith_node_dial(a->node, s->now, NULL, &b->addr, 1, &id))
        return NULL;
    sim_drive(a);
    if (!sim_run_until(s, s->now + KITH_SEC(30), both_know, &p))
        return NULL;
    return kith_node_conn_find(a->node, kith_node_id(b->node));
}
