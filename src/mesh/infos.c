/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Swapping peer info records. */
#include "mesh/infos.h"

#include <assert.h>

#include "base/list.h"
#include "base/map.h"
#include "mesh/answers.h"
#include "mesh/request.h"

#define ASKED_MAX 64  /* swaps that we begin: waiting and under way */
#define ACTIVE_MAX 16 /* under way */

/* A connected peer that speaks the protocol, or has asked. */
typedef struct entry {
    kith_link link;    /* all */
    kith_link due;     /* a swap is wanted */
    kith_link waiting; /* its record is awaited, in the order of `until` */
    kith_link told;    /* there is something for next */
    kith_peer_id peer;
    kith_time until;
    uint8_t *record;
    size_t record_len;
    uint64_t seq;
    bool settled, news; /* to be told */
    unsigned tokens;    /* records that may still be verified in this minute */
    kith_time minute;
} entry;

struct kith_infos {
    kith_infos_config cfg;
    uint64_t clock_offset; /* seconds */
    kith_requests *requests;
    kith_answers *answers;
    kith_list all, due, waiting, told;
    kith_map map;
    uint64_t hash[2];
    uint8_t own[KITH_PEER_INFO_MAX];
    size_t own_len;
    uint64_t own_seq, pushed_seq;
    kith_time sealed, look_at;
};

/* ---- ours ---- */

static uint64_t unix_of(const kith_infos *i, kith_time now)
{
    return i->clock_offset + now / KITH_SEC(1);
}

/* False: no memory; the old one stays. */
static bool seal(kith_infos *i, kith_time now)
{
    uint8_t b[KITH_PEER_INFO_MAX];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    uint64_t seq = unix_of(i, now);
    kith_peer_info info = {.seq = seq > i->own_seq ? seq : i->own_seq + 1,
                           .time = seq,
                           .name = i->cfg.name,
                           .algorithm_count = i->cfg.algorithm_count};
    for (size_t k = 0; k < info.algorithm_count; k++)
        info.algorithms[k] = kith_bytes_str(i->cfg.algorithms[k]);
    size_t n;
    const kith_maddr *addrs = kith_node_addrs(i->cfg.node, &n);
    for (size_t k = 0; k < n && k < KITH_PEER_INFO_ADDRS_MAX; k++)
        info.addrs[info.addr_count++] = kith_maddr_bytes(&addrs[k]);
    if (kith_peer_info_seal(i->cfg.signer, &info, &w) || w.bad)
        return false;
    memcpy(i->own, b, w.len);
    i->own_len = w.len;
    i->own_seq = info.seq;
    i->sealed = now;
    return true;
}

/* Whether the node's addresses are those in our record. */
static bool addrs_are_told(const kith_infos *i)
{
    kith_peer_info told;
    size_t n;
    const kith_maddr *addrs = kith_node_addrs(i->cfg.node, &n);
    kith_err e = kith_peer_info_read(kith_bytes_of(i->own, i->own_len), &told);
    n = n < KITH_PEER_INFO_ADDRS_MAX ? n : KITH_PEER_INFO_ADDRS_MAX;
    if (e || told.addr_count > n)
        return false;
    for (size_t k = 0; k < told.addr_count; k++) {
        if (!kith_bytes_eq(told.addrs[k], kith_maddr_bytes(&addrs[k])))
            return false;
    }
    return told.addr_count == n || i->own_len > KITH_PEER_INFO_MAX / 2; /* the rest did not fit */
}

kith_bytes kith_infos_own(kith_infos *i, kith_time now)
{
    if (!addrs_are_told(i) || now - i->sealed >= KITH_INFOS_FRESH)
        (void)seal(i, now);
    return kith_bytes_of(i->own, i->own_len);
}

/* ---- theirs ---- */

static uint64_t key_of(const kith_infos *i, const kith_peer_id *peer)
{
    return kith_hash(i->hash, kith_peer_id_bytes(peer));
}

static entry *find(const kith_infos *i, const kith_peer_id *peer)
{
    entry *e = kith_map_get(&i->map, key_of(i, peer));
    return e && kith_peer_id_eq(&e->peer, peer) ? e : NULL;
}

/* NULL: no memory. */
static entry *make(kith_infos *i, const kith_peer_id *peer, kith_time now)
{
    entry *e = find(i, peer);
    if (e)
        return e;
    e = KITH_NEW(&i->cfg.env, entry);
    if (e && kith_map_put(&i->map, &i->cfg.env, key_of(i, peer), e)) {
        KITH_FREE(&i->cfg.env, e);
        return NULL;
    }
    if (e) {
        e->peer = *peer;
        e->tokens = KITH_INFOS_RATE;
        e->minute = now;
        kith_list_push(&i->all, &e->link);
    }
    return e;
}

static void drop(kith_infos *i, entry *e)
{
    (void)kith_map_remove(&i->map, key_of(i, &e->peer));
    kith_link_remove(&e->link);
    kith_link_remove(&e->due);
    kith_link_remove(&e->waiting);
    kith_link_remove(&e->told);
    kith_mem_free(&i->cfg.env, e->record, e->record_len);
    KITH_FREE(&i->cfg.env, e);
}

static void tell(kith_infos *i, entry *e)
{
    if (!kith_link_in(&e->told))
        kith_list_push(&i->told, &e->told);
}

static void settle(kith_infos *i, entry *e)
{
    if (!kith_link_in(&e->waiting))
        return;
    kith_link_remove(&e->waiting);
    e->settled = true;
    tell(i, e);
}

/* False: too many in this minute. */
static bool take_token(entry *e, kith_time now)
{
    if (now - e->minute >= KITH_SEC(60)) {
        e->minute = now;
        e->tokens = KITH_INFOS_RATE;
    }
    return e->tokens > 0 && e->tokens-- > 0;
}

/* A record that came over a channel to this peer. */
static kith_err take(kith_infos *i, entry *e, kith_time now, kith_bytes in)
{
    kith_peer_info info;
    if (kith_bytes_eq(in, kith_bytes_of(e->record, e->record_len)) || !take_token(e, now))
        return KITH_OK;
    kith_err err = kith_peer_info_open(in, &e->peer, &info);
    if (err || (e->record_len && info.seq <= e->seq))
        return err;
    uint8_t *copy = kith_mem_new(&i->cfg.env, in.len);
    if (!copy)
        return KITH_ENOMEM;
    memcpy(copy, in.p, in.len);
    kith_mem_free(&i->cfg.env, e->record, e->record_len);
    e->record = copy;
    e->record_len = in.len;
    e->seq = info.seq;
    e->news = true;
    tell(i, e);
    return KITH_OK;
}

/* A peer's stream: its record, answered by ours. Inside calls of the node. */
static kith_err answer(void *ctx, kith_time now, const kith_peer_id *from, kith_bytes in, kith_wr *w)
{
    kith_infos *i = ctx;
    entry *e = make(i, from, now);
    if (!e)
        return KITH_ENOMEM;
    kith_err err = take(i, e, now, in);
    settle(i, e);
    if (!err)
        kith_put_bytes(w, kith_infos_own(i, now));
    return err;
}

/* ---- the part ---- */

static void on_identified(kith_infos *i, kith_time now, kith_conn *c)
{
    kith_conn_facts f;
    if (!kith_conn_supports(c, kith_bytes_str(KITH_INFOS_ID)))
        return;
    kith_conn_facts_get(c, &f);
    entry *e = make(i, &f.peer, now);
    if (!e)
        return;
    if (!f.inbound && !kith_link_in(&e->due))
        kith_list_push(&i->due, &e->due);
    if (e->record_len == 0 && !kith_link_in(&e->waiting)) {
        e->until = kith_time_after(now, KITH_INFOS_WAIT);
        kith_list_push(&i->waiting, &e->waiting);
    }
}

static void on_disconnected(kith_infos *i, const kith_conn *c)
{
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    entry *e = find(i, &f.peer);
    if (e && !kith_node_conn_find(i->cfg.node, &f.peer))
        drop(i, e);
}

void kith_infos_event_of(kith_infos *i, kith_time now, const kith_node_event *ev)
{
    kith_requests_event(i->requests, now, ev);
    if (ev->kind == KITH_NODE_IDENTIFIED)
        on_identified(i, now, ev->conn);
    else if (ev->kind == KITH_NODE_DISCONNECTED)
        on_disconnected(i, ev->conn);
}

static void take_ends(kith_infos *i, kith_time now)
{
    kith_request_end end;
    while (kith_requests_next(i->requests, &end)) {
        entry *e = find(i, &end.peer);
        if (!e)
            continue;
        if (!end.err)
            (void)take(i, e, now, end.answer); /* one that is no good is none */
        settle(i, e);
    }
}

bool kith_infos_act(kith_infos *i, kith_time now)
{
    take_ends(i, now);
    while (!kith_list_empty(&i->due) && kith_requests_count(i->requests) < ASKED_MAX) {
        entry *e = KITH_OF(kith_list_pop(&i->due), entry, due);
        if (kith_requests_start(i->requests, &e->peer, (kith_bytes){0}, kith_infos_own(i, now), true, i, 0))
            settle(i, e);
    }
    return kith_requests_act(i->requests, now);
}

kith_time kith_infos_deadline(const kith_infos *i)
{
    kith_link *k = kith_list_first(&i->waiting);
    kith_time at = kith_time_min(i->look_at, kith_requests_deadline(i->requests));
    return k ? kith_time_min(at, KITH_OF(k, entry, waiting)->until) : at;
}

/* Our record has changed: everybody gets it. */
static void push_all(kith_infos *i)
{
    KITH_EACH (&i->all, k) {
        entry *e = KITH_OF(k, entry, link);
        if (!kith_link_in(&e->due))
            kith_list_push(&i->due, &e->due);
    }
}

void kith_infos_tick(kith_infos *i, kith_time now)
{
    kith_requests_tick(i->requests, now);
    for (kith_link *k; (k = kith_list_first(&i->waiting)) && KITH_OF(k, entry, waiting)->until <= now;)
        settle(i, KITH_OF(k, entry, waiting));
    if (now < i->look_at)
        return;
    i->look_at = kith_time_after(now, KITH_INFOS_LOOK);
    (void)kith_infos_own(i, now);
    if (i->own_seq != i->pushed_seq)
        push_all(i);
    i->pushed_seq = i->own_seq;
}

/* ---- the owner ---- */

kith_infos *kith_infos_new(const kith_infos_config *cfg, kith_time now)
{
    kith_infos *i = KITH_NEW(&cfg->env, kith_infos);
    if (!i)
        return NULL;
    i->cfg = *cfg;
    i->clock_offset = cfg->unix_seconds - now / KITH_SEC(1);
    i->hash[0] = kith_rand_u64(&cfg->env);
    i->hash[1] = kith_rand_u64(&cfg->env);
    i->look_at = kith_time_after(now, KITH_INFOS_LOOK);
    kith_list_init(&i->all);
    kith_list_init(&i->due);
    kith_list_init(&i->waiting);
    kith_list_init(&i->told);
    i->requests = kith_requests_new(&(kith_requests_config){.env = cfg->env,
                                                            .node = cfg->node,
                                                            .protocol = kith_bytes_str(KITH_INFOS_ID),
                                                            .answer_max = KITH_PEER_INFO_MAX,
                                                            .active_max = ACTIVE_MAX,
                                                            .most = ASKED_MAX,
                                                            .timeout = KITH_INFOS_WAIT});
    i->answers = kith_answers_new(&(kith_answers_config){.env = cfg->env,
                                                         .stream_env = kith_node_env(cfg->node),
                                                         .question_max = KITH_PEER_INFO_MAX,
                                                         .answer_max = KITH_PEER_INFO_MAX,
                                                         .streams_max = KITH_INFOS_STREAMS_MAX,
                                                         .answer = answer,
                                                         .ctx = i});
    kith_protocol row = {.id = kith_bytes_str(KITH_INFOS_ID),
                         .ops = &kith_answers_ops,
                         .accept = kith_answers_accept,
                         .ctx = i->answers,
                         .streams_per_conn = 2};
    if (i->requests && i->answers && seal(i, now) && kith_node_serve(cfg->node, now, &row) == KITH_OK) {
        i->pushed_seq = i->own_seq;
        return i;
    }
    kith_infos_free(i);
    return NULL;
}

void kith_infos_free(kith_infos *i)
{
    if (!i)
        return;
    kith_requests_free(i->requests);
    kith_answers_free(i->answers);
    for (kith_link *k; (k = kith_list_first(&i->all));)
        drop(i, KITH_OF(k, entry, link));
    kith_map_fini(&i->map, &i->cfg.env);
    kith_env env = i->cfg.env;
    KITH_FREE(&env, i);
}

bool kith_infos_next(kith_infos *i, kith_infos_event *ev)
{
    kith_link *k = kith_list_pop(&i->told);
    if (!k)
        return false;
    entry *e = KITH_OF(k, entry, told);
    *ev = (kith_infos_event){.peer = e->peer, .settled = e->settled};
    if (e->news)
        ev->record = kith_bytes_of(e->record, e->record_len);
    e->settled = e->news = false;
    return true;
}

bool kith_infos_awaits(const kith_infos *i, const kith_conn *c)
{
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    return kith_conn_supports(c, kith_bytes_str(KITH_INFOS_ID)) && kith_infos_record(i, &f.peer).len == 0;
}

kith_bytes kith_infos_record(const kith_infos *i, const kith_peer_id *peer)
{
    const entry *e = find(i, peer);
    return e ? kith_bytes_of(e->record, e->record_len) : (kith_bytes){0};
}
