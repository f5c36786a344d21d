/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The simulated network and its hosts. */
#include "sim_world.h"

#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "crypto/crypto.h"

#define PACKET 1448u                  /* bytes of payload in a packet: Ethernet, IPv4, timestamps */
#define WINDOW_INIT (10u * PACKET)    /* RFC 6928 */
#define WINDOW_MAX (4u * 1024 * 1024) /* what Linux lets a socket have by itself */
#define RTO_MIN KITH_MS(200)          /* added to the round trip; Linux */
#define RTO_MAX KITH_SEC(120)
#define TRIES 15            /* retransmissions before a connection is given up: Linux, tcp_retries2 */
#define ORPHAN_TRIES 8      /* when its program has closed it: Linux, tcp_orphan_retries */
#define SYN_RTO KITH_SEC(1) /* RFC 6298, doubling */
#define CHECKED_HOSTS 32 /* up to so many, every host is checked after every event; else every 64th event */

/* Everything that happens is a timer in one heap; equal times come in the order they were set. */
typedef enum due_kind { DUE_HOST, DUE_FLOW, DUE_DIAL, DUE_ALARM } due_kind;

typedef struct segment {
    kith_link link;
    kith_time at; /* when its last byte reaches the other host's link */
    bool queued;  /* has been through that link's queue */
    size_t len;
    uint8_t bytes[];
} segment;

/* One end of a TCP connection, and what is on its way from it to the other. */
typedef struct end {
    sim_due due; /* of the first of `out`, or of the FIN or RST behind it */
    struct tcp *tcp;
    sim_host *host;
    kith_link of_host; /* host->ends */
    kith_conn *conn;   /* NULL: closed here */
    kith_list out;     /* segments */
    size_t queued;
    kith_time arrives; /* the last of all that was sent */
    unsigned tries;    /* how often the first of `out` was sent in vain */
    /* congestion control: what may leave in a round trip, and what has left in this one */
    uint32_t window, threshold, round_sent;
    kith_time round;
    bool blocked;
    bool fin, rst;  /* comes behind `out` */
    bool over;      /* nothing will arrive any more */
    bool pending;   /* the dialer's, before the SYN+ACK */
    bool forgotten; /* the host gave it up, or lost power and came back: it answers with RST */
} end;

typedef struct tcp {
    kith_link link;
    end e[2]; /* the dialer's is the first */
    kith_time latency;
} tcp;

typedef struct name {
    char text[128];
    kith_maddr addr;
} name;

/* A connection between DIAL and connected. */
typedef struct dialing {
    sim_due due;
    kith_link link; /* host->dialing */
    sim_host *host;
    kith_conn *conn;
    size_t to; /* index of the host at the address; SIZE_MAX: nobody */
    unsigned tries;
    enum { SYN_SENT, ANSWERED, REFUSED } stage;
    tcp *t; /* ANSWERED */
} dialing;

typedef struct attached {
    kith_part *part;
    void (*gone)(void *self);
} attached;

struct sim_host {
    sim_due due; /* the least deadline of the node and of its parts */
    sim *world;
    size_t index;
    kith_node *node; /* NULL: off */
    kith_node_config cfg;
    kith_signer *signer;
    kith_pq_signer *pq;
    kith_env env;
    uint64_t rng;
    kith_maddr addr, listen;
    attached parts[SIM_PARTS_MAX];
    size_t part_count;
    sim_watch watch;
    void *watch_ctx, *user;
    size_t memory;
    int64_t fail_after;
    bool fail_once, failed;
    bool vanished, driving;
    unsigned side;                /* of a split network */
    uint16_t x, y;                /* where it is */
    uint64_t up, down;            /* bytes per second; 0: as sim_path says */
    kith_time up_free, down_free; /* its link is busy until */
    kith_list dialing, ends;
};

struct sim {
    kith_time now;
    uint64_t rng, hash, shape, steps, bytes, lost;
    kith_env env; /* of the simulator's own memory */
    size_t memory, tcp_count;
    sim_path path;
    sim_host **hosts;
    size_t host_count, host_cap;
    kith_timers timers;
    size_t timer_count;
    kith_list tcps;
    kith_map cuts;  /* pairs of hosts between which nothing passes */
    kith_map moved; /* hosts at addresses of their own choice, by IPv4 address */
    name names[16];
    size_t name_count;
    FILE *trace;
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

/* FNV-1a's step over whole words, and a rotation that brings the high bits back down. */
static void mix(uint64_t *hash, uint64_t word)
{
    uint64_t h = (*hash ^ word) * 0x100000001b3u;
    *hash = h << 25 | h >> 39;
}

static void mix_bytes(uint64_t *hash, const uint8_t *p, size_t n)
{
    uint64_t word;
    for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
        memcpy(&word, p, sizeof word);
        mix(hash, word);
    }
    word = 0;
    if (n > 0)
        memcpy(&word, p, n);
    mix(hash, word);
}

/* What reaches the hash. The shape is the same without contents: runs with other keys have the same shape. */
typedef enum told {
    TOLD_BYTES = 1,
    TOLD_EOF,
    TOLD_ACCEPT,
    TOLD_CONNECTED,
    TOLD_REFUSED,
    TOLD_RESET,
    TOLD_TICK,
    TOLD_EVENT = 100
} told;

static void tell(sim *s, unsigned what, const sim_host *h, uint64_t detail)
{
    uint64_t row[4] = {s->now, what, h->index, detail};
    for (size_t i = 0; i < 4; i++) {
        mix(&s->hash, row[i]);
        mix(&s->shape, row[i]);
    }
}

/* ---- what is due ---- */

static void due_init(sim *s, sim_due *d, due_kind kind)
{
    *d = (sim_due){.kind = (uint8_t)kind};
    kith_err e = kith_timers_reserve(&s->timers, &s->env, ++s->timer_count);
    assert(!e);
    (void)e;
}

static void due_set(sim *s, sim_due *d, kith_time at)
{
    kith_timers_set(&s->timers, &d->t, at < s->now ? s->now : at);
}

static void due_fini(sim *s, sim_due *d)
{
    kith_timers_set(&s->timers, &d->t, KITH_NEVER);
    s->timer_count--;
}

void sim_alarm_init(sim *s, sim_alarm *a, void (*fn)(void *ctx, sim_alarm *a), void *ctx)
{
    *a = (sim_alarm){.world = s, .fn = fn, .ctx = ctx};
    due_init(s, &a->due, DUE_ALARM);
}

void sim_alarm_set(sim_alarm *a, kith_time at)
{
    due_set(a->world, &a->due, at);
}

void sim_alarm_fini(sim_alarm *a)
{
    due_fini(a->world, &a->due);
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
        if (h->fail_after == 0) {
            h->failed = true;
            if (h->fail_once)
                h->fail_after = -1;
            return NULL;
        }
        h->fail_after--;
    }
    void *q = realloc(p, size);
    assert(q);
    h->memory = h->memory - old + size;
    return q;
}

static void *own_alloc(void *ctx, void *p, size_t old, size_t size)
{
    sim *s = ctx;
    s->memory = s->memory - old + size;
    if (size == 0) {
        free(p);
        return NULL;
    }
    void *q = realloc(p, size);
    assert(q);
    return q;
}

static void host_rand(void *ctx, kith_span out)
{
    sim_host *h = ctx;
    while (out.len > 0) {
        uint64_t word = split_mix(&h->rng);
        size_t n = out.len < sizeof word ? out.len : sizeof word;
        memcpy(out.p, &word, n);
        out = kith_span_skip(out, n);
    }
}

/* ---- world ---- */

sim *sim_new(uint64_t seed)
{
    if (kith_crypto_init() != KITH_OK)
        abort();
    sim *s = calloc(1, sizeof *s);
    assert(s);
    s->env = (kith_env){.alloc = {.ctx = s, .fn = own_alloc}};
    s->memory = sizeof *s;
    s->now = KITH_SEC(1);
    s->rng = seed;
    s->hash = s->shape = 0xcbf29ce484222325u;
    s->path = (sim_path){.latency = KITH_MS(10), .buffer = 256 * 1024};
    kith_list_init(&s->tcps);
    return s;
}

static void drop_segments(sim *s, end *e)
{
    for (kith_link *k; (k = kith_list_pop(&e->out));) {
        segment *g = KITH_OF(k, segment, link);
        kith_mem_free(&s->env, g, sizeof *g + g->len);
    }
    e->queued = 0;
}

static void tcp_free(sim *s, tcp *t)
{
    for (int i = 0; i < 2; i++) {
        drop_segments(s, &t->e[i]);
        due_fini(s, &t->e[i].due);
        kith_link_remove(&t->e[i].of_host);
    }
    kith_link_remove(&t->link);
    s->tcp_count--;
    KITH_FREE(&s->env, t);
}

static void dialing_free(sim *s, dialing *d)
{
    due_fini(s, &d->due);
    kith_link_remove(&d->link);
    KITH_FREE(&s->env, d);
}

static void node_free(sim_host *h)
{
    if (!h->node)
        return;
    kith_node_free(h->node);
    h->node = NULL;
    while (h->part_count > 0) {
        attached *a = &h->parts[--h->part_count];
        if (a->gone)
            a->gone(a->part->self);
    }
    assert(h->memory == 0);
    due_set(h->world, &h->due, KITH_NEVER);
    for (kith_link *k; (k = kith_list_first(&h->dialing));)
        dialing_free(h->world, KITH_OF(k, dialing, link));
}

void sim_free(sim *s)
{
    for (size_t i = 0; i < s->host_count; i++) {
        sim_host *h = s->hosts[i];
        node_free(h);
        kith_signer_free(h->signer);
        kith_pq_signer_free(h->pq);
        due_fini(s, &h->due);
    }
    for (kith_link *k; (k = kith_list_first(&s->tcps));)
        tcp_free(s, KITH_OF(k, tcp, link));
    for (size_t i = 0; i < s->host_count; i++)
        KITH_FREE(&s->env, s->hosts[i]);
    kith_mem_free(&s->env, s->hosts, s->host_cap * sizeof(sim_host *));
    assert(s->timers.len == 0 && s->timer_count == 0);
    kith_timers_fini(&s->timers, &s->env);
    kith_map_fini(&s->cuts, &s->env);
    kith_map_fini(&s->moved, &s->env);
    assert(s->memory == sizeof *s);
    free(s);
}

kith_time sim_now(const sim *s)
{
    return s->now;
}

kith_time sim_time(const sim_host *h)
{
    return h->world->now;
}

uint64_t sim_random(sim *s)
{
    return split_mix(&s->rng);
}

void sim_set_path(sim *s, sim_path p)
{
    s->path = p;
}

/* Address i is 10.x.y.z with xyz = i, counted from 10.0.0.1 in the last byte, unless the host was moved. */
static void address_of(size_t index, kith_maddr *out)
{
    uint8_t ip[4] = {10, (uint8_t)(index >> 16), (uint8_t)(index >> 8), (uint8_t)(index + 1)};
    kith_maddr_from_tcp(kith_bytes_of(ip, 4), SIM_PORT, out);
}

static size_t index_of(const sim *s, const kith_maddr *addr)
{
    kith_maddr_part ip, port;
    if (!kith_maddr_find(addr, KITH_MA_IP4, &ip) || !kith_maddr_find(addr, KITH_MA_TCP, &port))
        return SIZE_MAX;
    const sim_host *moved = kith_map_get(&s->moved, kith_load_be32(ip.value.p));
    if (moved)
        return kith_load_be16(port.value.p) == SIM_PORT ? moved->index : SIZE_MAX;
    size_t i = (size_t)ip.value.p[1] << 16 | (size_t)ip.value.p[2] << 8 | (uint8_t)(ip.value.p[3] - 1);
    bool ours = ip.value.p[0] == 10 && kith_load_be16(port.value.p) == SIM_PORT;
    return ours && i < s->host_count ? i : SIZE_MAX;
}

static void start_node(sim_host *h)
{
    sim *s = h->world;
    h->node = kith_node_new(&h->cfg, s->now);
    assert(h->node);
    kith_err e = kith_node_set_addrs(h->node, s->now, &h->listen, 1);
    assert(!e);
    (void)e;
    kith_node_set_clock(h->node, s->now, 1800000000);
}

static sim_host *add(sim *s, const kith_node_config *given, const uint8_t *own_seed)
{
    sim_host *h = KITH_NEW(&s->env, sim_host);
    if (s->host_count == s->host_cap) {
        size_t cap = s->host_cap ? 2 * s->host_cap : 16;
        s->hosts = kith_mem_resize(&s->env, s->hosts, s->host_cap * sizeof h, cap * sizeof h);
        s->host_cap = cap;
    }
    h->world = s;
    h->index = s->host_count;
    s->hosts[s->host_count++] = h;
    h->rng = split_mix(&s->rng);
    uint64_t place = h->rng;
    place = split_mix(&place);
    h->x = (uint16_t)place;
    h->y = (uint16_t)(place >> 16);
    h->fail_after = -1;
    due_init(s, &h->due, DUE_HOST);
    kith_list_init(&h->dialing);
    kith_list_init(&h->ends);
    h->env = (kith_env){.alloc = {.ctx = h, .fn = host_alloc}, .rand = {.ctx = h, .fn = host_rand}};
    uint8_t seed[KITH_ED25519_SEED_LEN];
    host_rand(h, kith_span_of(seed, sizeof seed));
    if (own_seed)
        memcpy(seed, own_seed, sizeof seed);
    h->signer = kith_signer_new(seed);
    kith_err e = kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, sizeof seed), &h->pq);
    assert(h->signer && !e);
    (void)e;
    if (given)
        h->cfg = *given;
    else
        kith_node_config_default(&h->cfg);
    h->cfg.env = h->env;
    h->cfg.signer = h->signer;
    h->cfg.pq_signer = h->pq;
    address_of(h->index, &h->listen);
    start_node(h);
    h->addr = h->listen;
    e = kith_maddr_set_peer(&h->addr, kith_node_id(h->node));
    assert(!e);
    (void)e;
    return h;
}

kith_node_config sim_classical(void)
{
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.pq = KITH_PQ_OFF;
    cfg.idle_timeout = KITH_SEC(60);
    return cfg;
}

sim_host *sim_add(sim *s, const kith_node_config *given)
{
    return add(s, given, NULL);
}

sim_host *sim_add_as(sim *s, const kith_node_config *given, const uint8_t seed[KITH_ED25519_SEED_LEN])
{
    return add(s, given, seed);
}

void sim_move(sim_host *h, const uint8_t ip[4])
{
    sim *s = h->world;
    uint32_t key = kith_load_be32(ip);
    assert(ip[0] != 10 && !kith_map_get(&s->moved, key) && kith_list_empty(&h->ends));
    kith_err e = kith_map_put(&s->moved, &s->env, key, h);
    kith_maddr_from_tcp(kith_bytes_of(ip, 4), SIM_PORT, &h->listen);
    h->addr = h->listen;
    if (!e)
        e = kith_maddr_set_peer(&h->addr, kith_node_id(h->node));
    if (!e)
        e = kith_node_set_addrs(h->node, s->now, &h->listen, 1);
    assert(!e);
    (void)e;
}

void sim_set_link(sim_host *h, uint64_t up, uint64_t down)
{
    h->up = up;
    h->down = down;
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

sim_host *sim_host_of(const sim *s, const kith_maddr *addr)
{
    size_t i = index_of(s, addr);
    return i == SIZE_MAX ? NULL : s->hosts[i];
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

void sim_set_trace(sim *s, FILE *out)
{
    s->trace = out;
}

uint64_t sim_hash(const sim *s)
{
    return s->hash;
}

uint64_t sim_shape(const sim *s)
{
    return s->shape;
}

sim_counts sim_count(const sim *s)
{
    return (sim_counts){
        .steps = s->steps, .bytes = s->bytes, .lost = s->lost, .tcps = s->tcp_count, .memory = s->memory};
}

size_t sim_memory(const sim_host *h)
{
    return h->memory;
}

void sim_fail_alloc(sim_host *h, int64_t n, bool once)
{
    h->fail_after = n;
    h->fail_once = once;
    h->failed = false;
}

bool sim_alloc_failed(const sim_host *h)
{
    return h->failed;
}

/* ---- partitions ---- */

static uint64_t pair_key(const sim_host *a, const sim_host *b)
{
    return a->index < b->index ? (uint64_t)a->index << 32 | b->index : (uint64_t)b->index << 32 | a->index;
}

static bool cut(const sim *s, const sim_host *a, const sim_host *b)
{
    return a->vanished || b->vanished || a->side != b->side ||
           (s->cuts.len && kith_map_get(&s->cuts, pair_key(a, b)));
}

void sim_partition(sim *s, sim_host *a, sim_host *b, bool on)
{
    if (!on) {
        (void)kith_map_remove(&s->cuts, pair_key(a, b));
        return;
    }
    kith_err e = kith_map_put(&s->cuts, &s->env, pair_key(a, b), s);
    assert(!e);
    (void)e;
}

void sim_set_side(sim_host *h, unsigned side)
{
    h->side = side;
}

/* ---- TCP ---- */

static end *other(const end *e)
{
    return &e->tcp->e[e == &e->tcp->e[0]];
}

static end *end_of(kith_conn *c)
{
    tcp *t = kith_conn_link(c);
    return !t ? NULL : t->e[0].conn == c ? &t->e[0] : &t->e[1];
}

/* A pair's latency is its distance, scaled. */
static kith_time latency_of(const sim *s, const sim_host *a, const sim_host *b)
{
    const sim_path *p = &s->path;
    if (p->latency_max <= p->latency)
        return p->latency;
    unsigned dx = (unsigned)abs(a->x - b->x), dy = (unsigned)abs(a->y - b->y);
    return p->latency + (p->latency_max - p->latency) * (dx + dy) / (2u * UINT16_MAX);
}

static bool lost(sim *s)
{
    if (!s->path.loss_ppm || split_mix(&s->rng) % 1000000 >= s->path.loss_ppm)
        return false;
    s->lost++;
    return true;
}

static tcp *tcp_new(sim *s, sim_host *from, sim_host *to)
{
    tcp *t = KITH_NEW(&s->env, tcp);
    sim_host *host[2] = {from, to};
    t->latency = latency_of(s, from, to);
    for (int i = 0; i < 2; i++) {
        end *e = &t->e[i];
        due_init(s, &e->due, DUE_FLOW);
        e->tcp = t;
        e->host = host[i];
        e->window = WINDOW_INIT;
        e->threshold = WINDOW_MAX;
        kith_list_init(&e->out);
        kith_list_push(&host[i]->ends, &e->of_host);
    }
    kith_list_push(&s->tcps, &t->link);
    s->tcp_count++;
    return t;
}

/* When the next thing of a flow is due. */
static void flow_set(sim *s, end *e)
{
    kith_link *k = kith_list_first(&e->out);
    due_set(s, &e->due, k ? KITH_OF(k, segment, link)->at : e->fin || e->rst ? e->arrives : KITH_NEVER);
}

static void flow_over(sim *s, end *e)
{
    drop_segments(s, e);
    due_set(s, &e->due, KITH_NEVER);
    e->over = true;
}

/* Releases a connection that nobody knows any more and on which nothing is under way. */
static void tcp_settle(sim *s, tcp *t)
{
    if (!t->e[0].pending && !t->e[0].conn && !t->e[1].conn && t->e[0].over && t->e[1].over)
        tcp_free(s, t);
}

static void send_end(sim *s, end *e, bool rst)
{
    if (e->over)
        return;
    e->fin = !rst;
    e->rst = rst;
    kith_time at = s->now + e->tcp->latency;
    if (!rst && lost(s))
        at += 2 * e->tcp->latency + RTO_MIN;
    if (at > e->arrives)
        e->arrives = at;
    flow_set(s, e);
}

/* A new round trip: a full one lets the window grow, doubling up to the threshold and by a packet beyond it. */
static void new_round(end *e, kith_time at)
{
    if (e->round_sent >= e->window) {
        uint32_t by = e->window < e->threshold ? e->window : PACKET;
        e->window = by < WINDOW_MAX - e->window ? e->window + by : WINDOW_MAX;
    }
    e->round = at;
    e->round_sent = 0;
}

/* How many of n bytes may leave together under the congestion window, and when. */
static size_t windowed(end *e, size_t n, kith_time *at)
{
    kith_time rtt = 2 * e->tcp->latency + KITH_US(100);
    if (*at < e->round)
        *at = e->round;
    if (*at - e->round >= rtt) {
        new_round(e, *at);
    } else if (e->round_sent >= e->window) {
        *at = e->round + rtt;
        new_round(e, *at);
    }
    size_t room = e->window - e->round_sent;
    if (n > room)
        n = room;
    e->round_sent += (uint32_t)n;
    return n;
}

/* How much later n bytes are whole because some of their packets were lost. Losses of one write are repaired side by side. */
static kith_time repair_time(sim *s, end *e, size_t n)
{
    kith_time rtt = 2 * e->tcp->latency, worst = 0;
    size_t packets = (n + PACKET - 1) / PACKET;
    for (size_t i = 0; i < packets; i++) {
        if (!lost(s))
            continue;
        bool noticed = packets - i > 3; /* three packets behind it tell the sender */
        kith_time rto = rtt + RTO_MIN, by = noticed ? rtt : rto;
        for (unsigned k = 1; k < TRIES && lost(s); k++) {
            by += rto;
            rto = kith_time_min(2 * rto, RTO_MAX);
            noticed = false;
        }
        e->threshold = e->window / 2 > 2 * PACKET ? e->window / 2 : 2 * PACKET;
        e->window = noticed ? e->threshold : 2 * PACKET;
        if (by > worst)
            worst = by;
    }
    return worst;
}

/* Bytes that leave at one time: a segment of its own. */
static void send_segment(sim *s, end *e, kith_time at, const uint8_t *p, size_t n)
{
    sim_host *h = e->host;
    segment *g = s->env.alloc.fn(s->env.alloc.ctx, NULL, 0, sizeof *g + n);
    *g = (segment){.len = n};
    memcpy(g->bytes, p, n);
    kith_list_push(&e->out, &g->link);
    e->queued += n;

    uint64_t up = h->up ? h->up : s->path.bandwidth;
    if (up) {
        if (h->up_free < at)
            h->up_free = at;
        at = h->up_free += (kith_time)n * KITH_SEC(1) / up;
    }
    at += e->tcp->latency;
    if (s->path.jitter)
        at += split_mix(&s->rng) % s->path.jitter;
    if (s->path.loss_ppm)
        at += repair_time(s, e, n);
    if (at > e->arrives)
        e->arrives = at;
    g->at = e->arrives;
}

static void transmit(sim *s, end *e, const uint8_t *p, size_t n)
{
    while (n > 0) {
        kith_time at = s->now;
        size_t now = s->path.loss_ppm ? windowed(e, n, &at) : n;
        send_segment(s, e, at, p, now);
        p += now;
        n -= now;
    }
    flow_set(s, e);
}

static bool drive_writers(sim_host *h)
{
    sim *s = h->world;
    kith_conn *c;
    bool any = false;
    while ((c = kith_node_writer(h->node))) {
        end *e = end_of(c);
        assert(e);
        if (e->queued >= s->path.buffer) {
            e->blocked = true;
            kith_node_blocked(h->node, c);
            continue;
        }
        any = true;
        size_t n = kith_node_send(h->node, s->now, c, kith_span_of(s->buf, sizeof s->buf));
        if (n > 0 && !e->over)
            transmit(s, e, s->buf, n);
    }
    return any;
}

static void on_dial(sim_host *h, const kith_node_event *ev)
{
    sim *s = h->world;
    dialing *d = KITH_NEW(&s->env, dialing);
    due_init(s, &d->due, DUE_DIAL);
    d->host = h;
    d->conn = ev->conn;
    d->to = index_of(s, &ev->addr);
    kith_list_push(&h->dialing, &d->link);
    due_set(s, &d->due, s->now + (d->to == SIZE_MAX ? s->path.latency : latency_of(s, h, s->hosts[d->to])));
}

static void on_close(sim_host *h, const kith_node_event *ev)
{
    sim *s = h->world;
    KITH_EACH (&h->dialing, k) {
        dialing *d = KITH_OF(k, dialing, link);
        if (d->conn != ev->conn)
            continue;
        if (d->t) { /* given up before the answer came */
            d->t->e[0].pending = false;
            send_end(s, &d->t->e[0], false);
            tcp_settle(s, d->t);
        }
        dialing_free(s, d);
        return;
    }
    end *e = end_of(ev->conn);
    if (!e)
        return;
    e->conn = NULL;
    send_end(s, e, false);
    tcp_settle(s, e->tcp);
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

void sim_attach(sim_host *h, kith_part *p, void (*gone)(void *self))
{
    assert(h->node && h->part_count < SIM_PARTS_MAX);
    h->parts[h->part_count++] = (attached){p, gone};
    sim_drive(h);
}

/* As the real host: the parts hear what is for applications. */
static void tell_parts(sim_host *h, const kith_node_event *ev)
{
    switch (ev->kind) {
    case KITH_NODE_DIAL:
    case KITH_NODE_RESOLVE:
    case KITH_NODE_KEY:
    case KITH_NODE_WORK:
    case KITH_NODE_CLOSE:
    case KITH_NODE_STREAM_OPENED:
    case KITH_NODE_STREAM_READY:
    case KITH_NODE_STREAM_GONE:
        return;
    case KITH_NODE_CONNECTED:
    case KITH_NODE_IDENTIFIED:
    case KITH_NODE_UPDATED:
    case KITH_NODE_DISCONNECTED:
    case KITH_NODE_REFUSED:
    case KITH_NODE_DIALED:
        for (size_t i = 0; i < h->part_count; i++) {
            const kith_part *p = h->parts[i].part;
            if (p->ops->event)
                p->ops->event(p->self, h->world->now, ev);
        }
    }
}

static bool act_parts(sim_host *h)
{
    bool acted = false;
    for (size_t i = 0; i < h->part_count; i++) {
        const kith_part *p = h->parts[i].part;
        acted |= p->ops->act && p->ops->act(p->self, h->world->now);
    }
    return acted;
}

static void tick_parts(sim_host *h)
{
    for (size_t i = 0; i < h->part_count; i++) {
        const kith_part *p = h->parts[i].part;
        if (p->ops->deadline && p->ops->deadline(p->self) <= h->world->now)
            p->ops->tick(p->self, h->world->now);
    }
}

static kith_time deadline_of(const sim_host *h)
{
    kith_time at = kith_node_deadline(h->node);
    for (size_t i = 0; i < h->part_count; i++) {
        const kith_part *p = h->parts[i].part;
        if (p->ops->deadline)
            at = kith_time_min(at, p->ops->deadline(p->self));
    }
    return at;
}

void sim_drive(sim_host *h)
{
    sim *s = h->world;
    if (h->driving || h->vanished || !h->node)
        return; /* driving: a watch that changes the node; the loop below goes on anyway */
    h->driving = true;
    kith_node_event ev;
    for (bool again = true; again;) {
        while (kith_node_next(h->node, s->now, &ev)) {
            tell(s, TOLD_EVENT + (unsigned)ev.kind, h, (uint64_t)ev.err);
            if (ev.kind == KITH_NODE_DIAL)
                on_dial(h, &ev);
            else if (ev.kind == KITH_NODE_CLOSE)
                on_close(h, &ev);
            else if (ev.kind == KITH_NODE_RESOLVE)
                on_resolve(h, &ev);
            else if (ev.kind == KITH_NODE_WORK) { /* computing takes no virtual time */
                kith_node_work(ev.conn);
                kith_node_worked(h->node, s->now, ev.conn);
            }
            tell_parts(h, &ev);
            if (h->watch)
                h->watch(h->watch_ctx, h, &ev);
        }
        again = act_parts(h);
        again |= drive_writers(h); /* what was sent may have ended something: look once more */
    }
    if (s->host_count <= CHECKED_HOSTS || s->steps % 64 == 0)
        kith_node_check(h->node);
    due_set(s, &h->due, deadline_of(h));
    h->driving = false;
}

/* ---- a host comes and goes ---- */

void sim_vanish(sim_host *h)
{
    sim *s = h->world;
    assert(!h->driving);
    h->vanished = true;
    due_set(s, &h->due, KITH_NEVER);
    KITH_EACH (&h->ends, k) {
        end *e = KITH_OF(k, end, of_host);
        e->conn = NULL;
        e->pending = false;
        flow_over(s, e);
        tcp_settle(s, e->tcp);
    }
    for (kith_link *k; (k = kith_list_first(&h->dialing));)
        dialing_free(s, KITH_OF(k, dialing, link));
}

void sim_off(sim_host *h)
{
    sim *s = h->world;
    assert(!h->driving);
    KITH_EACH (&h->ends, k) {
        end *e = KITH_OF(k, end, of_host);
        e->conn = NULL;
        e->pending = false;
        send_end(s, e, false);
        tcp_settle(s, e->tcp);
    }
    node_free(h);
}

kith_node_config *sim_config(sim_host *h)
{
    return &h->cfg;
}

void sim_on(sim_host *h)
{
    assert(h->vanished || !h->node);
    KITH_EACH (&h->ends, k) {
        end *e = KITH_OF(k, end, of_host);
        e->forgotten = e->forgotten || h->vanished;
    }
    h->vanished = false;
    node_free(h);
    start_node(h);
    sim_drive(h);
}

/* ---- events ---- */

/* The connection is broken for this end. */
static void break_end(sim *s, end *e, kith_err err, const char *why)
{
    flow_over(s, e);
    if (!e->conn) {
        tcp_settle(s, e->tcp);
        return;
    }
    tell(s, TOLD_RESET, e->host, (uint64_t)err);
    sim_host *h = e->host;
    kith_node_link_failed(h->node, s->now, e->conn, err, why);
    sim_drive(h);
}

static void reset_both(sim *s, end *e)
{
    end *o = other(e);
    bool open = o->conn; /* or the first call releases both */
    flow_over(s, o);
    break_end(s, e, KITH_ERESET, "connection reset by the peer");
    if (open)
        break_end(s, o, KITH_ERESET, "connection reset by the peer");
}

void sim_reset_all(sim *s, sim_host *a, sim_host *b)
{
    for (kith_link *k = kith_list_first(&a->ends); k;) {
        end *e = KITH_OF(k, end, of_host), *o = other(e);
        bool hit = o->host == b && !(e->over && o->over);
        if (hit)
            reset_both(s, e);
        k = hit ? kith_list_first(&a->ends)
                : kith_list_next(&a->ends, k); /* who was told may have closed others */
    }
}

/* Nothing came through: as TCP does, it is sent again, later and later, and then given up. */
static void retransmit(sim *s, end *e)
{
    kith_time rto = 2 * e->tcp->latency + RTO_MIN;
    unsigned tries = e->tries++;
    if (tries >= (e->conn ? TRIES : ORPHAN_TRIES)) {
        e->forgotten = true;
        break_end(s, e, KITH_ETIMEOUT, "the peer's machine acknowledges nothing");
        return;
    }
    due_set(s, &e->due, s->now + kith_time_min(rto << tries, RTO_MAX));
}

static void trace(const sim *s, const end *from, const char *what, size_t len)
{
    if (s->trace)
        fprintf(s->trace, "[%12.3f] %zu %s %zu", (double)s->now / 1e6, from->host->index, what,
                other(from)->host->index);
    if (s->trace && len)
        fprintf(s->trace, " %zu B", len);
    if (s->trace)
        putc('\n', s->trace);
}

static void deliver(sim *s, end *from, segment *g)
{
    end *to = other(from);
    sim_host *h = to->host;
    uint64_t down = h->down ? h->down : s->path.bandwidth;
    if (down && !g->queued) {
        /* At line speed its first byte came so long before its last. */
        kith_time takes = (kith_time)g->len * KITH_SEC(1) / down;
        kith_time start = s->now > takes ? s->now - takes : 0;
        h->down_free = (h->down_free > start ? h->down_free : start) + takes;
        g->queued = true;
        if (h->down_free > s->now) {
            g->at = h->down_free;
            flow_set(s, from);
            return;
        }
    }
    kith_link_remove(&g->link);
    from->queued -= g->len;
    s->bytes += g->len;
    tell(s, TOLD_BYTES, h, g->len);
    mix_bytes(&s->hash, g->bytes, g->len);
    trace(s, from, ">", g->len);
    flow_set(s, from);
    if (from->blocked && from->conn && from->queued < s->path.buffer) {
        from->blocked = false;
        kith_node_writable(from->host->node, from->conn);
    } else {
        from = NULL;
    }
    sim_host *unblocked = from ? from->host : NULL;
    if (to->conn) {
        kith_node_recv(h->node, s->now, to->conn, kith_span_of(g->bytes, g->len));
        sim_drive(h);
    }
    kith_mem_free(&s->env, g, sizeof *g + g->len);
    if (unblocked)
        sim_drive(unblocked);
}

/* The first thing of a flow reaches the other host. */
static void arrive(sim *s, end *from)
{
    end *to = other(from);
    if (cut(s, from->host, to->host) || to->pending) {
        retransmit(s, from);
        return;
    }
    from->tries = 0;
    kith_link *k = kith_list_first(&from->out);
    if (from->rst && !k) {
        trace(s, from, "resets", 0);
        flow_over(s, from);
        break_end(s, to, KITH_ERESET, "connection reset by the peer");
        return;
    }
    if (to->forgotten) {
        flow_over(s, from);
        to->over = false;
        send_end(s, to, true);
        return;
    }
    if (k) {
        deliver(s, from, KITH_OF(k, segment, link));
        return;
    }
    flow_over(s, from);
    trace(s, from, "closes", 0);
    if (!to->conn) {
        tcp_settle(s, from->tcp);
        return;
    }
    tell(s, TOLD_EOF, to->host, 0);
    kith_node_eof(to->host->node, s->now, to->conn);
    sim_drive(to->host);
}

static void syn_again(sim *s, dialing *d)
{
    due_set(s, &d->due, s->now + (SYN_RTO << (d->tries < 6 ? d->tries : 6)));
    d->tries++;
}

static void syn_arrives(sim *s, dialing *d)
{
    sim_host *to = d->to == SIZE_MAX ? NULL : s->hosts[d->to];
    if (to && (cut(s, d->host, to) || lost(s))) {
        syn_again(s, d);
        return;
    }
    kith_time latency = to ? latency_of(s, d->host, to) : s->path.latency;
    if (!to || !to->node) {
        d->stage = REFUSED;
        due_set(s, &d->due, s->now + latency);
        return;
    }
    d->stage = ANSWERED;
    d->t = tcp_new(s, d->host, to);
    d->t->e[0].pending = true;
    d->tries = 0;
    end *e = &d->t->e[1];
    e->arrives = s->now + latency + (lost(s) ? SYN_RTO : 0); /* and nothing overtakes the SYN+ACK */
    due_set(s, &d->due, e->arrives);
    kith_conn *in = NULL;
    const char *why = NULL;
    kith_err err = kith_node_accept(to->node, s->now, &d->host->listen, &to->listen, &in, &why);
    tell(s, TOLD_ACCEPT, to, (uint64_t)err);
    if (err) {
        send_end(s, e, false);
    } else {
        e->conn = in;
        kith_conn_set_link(in, d->t);
    }
    sim_drive(to);
}

static void dial_answered(sim *s, dialing *d)
{
    sim_host *h = d->host;
    kith_conn *c = d->conn;
    tcp *t = d->t;
    if (d->to != SIZE_MAX && cut(s, h, s->hosts[d->to])) {
        syn_again(s, d);
        return;
    }
    if (d->stage == REFUSED) {
        tell(s, TOLD_REFUSED, h, 0);
        kith_node_link_failed(h->node, s->now, c, KITH_EREFUSED, "connection refused");
        sim_drive(h);
        return;
    }
    dialing_free(s, d);
    t->e[0].pending = false;
    if (t->e[0].over) { /* reset meanwhile */
        tcp_settle(s, t);
        tell(s, TOLD_REFUSED, h, 0);
        kith_node_link_failed(h->node, s->now, c, KITH_ERESET, "connection reset by the peer");
        sim_drive(h);
        return;
    }
    t->e[0].conn = c;
    kith_conn_set_link(c, t);
    tell(s, TOLD_CONNECTED, h, 0);
    kith_node_connected(h->node, s->now, c, NULL, &h->listen);
    sim_drive(h);
}

static void step(sim *s, sim_due *d)
{
    s->steps++;
    switch ((due_kind)d->kind) {
    case DUE_FLOW:
        arrive(s, KITH_OF(d, end, due));
        break;
    case DUE_DIAL: {
        dialing *x = KITH_OF(d, dialing, due);
        if (x->stage == SYN_SENT)
            syn_arrives(s, x);
        else
            dial_answered(s, x);
        break;
    }
    case DUE_HOST: {
        sim_host *h = KITH_OF(d, sim_host, due);
        tell(s, TOLD_TICK, h, 0);
        kith_node_tick(h->node, s->now);
        tick_parts(h);
        sim_drive(h);
        break;
    }
    case DUE_ALARM: {
        sim_alarm *a = KITH_OF(d, sim_alarm, due);
        a->fn(a->ctx, a);
        break;
    }
    }
}

/* The next thing, or false when it comes after `until`. */
static bool step_before(sim *s, kith_time until)
{
    kith_timer *t = kith_timers_pop(&s->timers, until);
    if (!t)
        return false;
    if (t->at > s->now)
        s->now = t->at;
    step(s, KITH_OF(t, sim_due, t));
    return true;
}

void sim_run(sim *s, kith_time until)
{
    while (step_before(s, until))
        ;
    if (s->now < until)
        s->now = until;
}

bool sim_run_until(sim *s, kith_time until, bool (*done)(void *ctx), void *ctx)
{
    while (!done(ctx)) {
        if (!step_before(s, until))
            return false;
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
