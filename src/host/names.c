/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Names that peers give themselves. */
#include "host/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"
#include "host/clock.h"
#include "host/json.h"
#include "mesh/infos.h"

#define FROM_BOOK 4096 /* rows */

typedef struct known {
    kith_link link; /* the oldest first */
    kith_peer_id peer;
    char name[KITH_PEER_NAME_MAX + 1];
} known;

struct kith_names {
    kith_names_config cfg;
    kith_infos *infos;
    kith_part part;
    kith_book *book;
    const kith_names_watch *watch;
    kith_map map;
    kith_list list;
    size_t count;
    uint64_t hash[2];
    const char *algorithms[KITH_PEER_INFO_ALGORITHMS_MAX];
};

/* ---- remembering ---- */

static known *find(const kith_names *n, const kith_peer_id *peer)
{
    known *k = kith_map_get(&n->map, kith_hash(n->hash, kith_peer_id_bytes(peer)));
    return k && kith_peer_id_eq(&k->peer, peer) ? k : NULL;
}

static void forget(kith_names *n, known *k)
{
    (void)kith_map_remove(&n->map, kith_hash(n->hash, kith_peer_id_bytes(&k->peer)));
    kith_link_remove(&k->link);
    free(k);
    n->count--;
}

static void remember(kith_names *n, const kith_peer_id *peer, kith_bytes name)
{
    known *k = find(n, peer);
    if (k && name.len == 0)
        forget(n, k);
    if (name.len == 0 || name.len > KITH_PEER_NAME_MAX)
        return;
    if (!k) {
        if (n->count == KITH_NAMES_MAX)
            forget(n, KITH_OF(kith_list_first(&n->list), known, link));
        k = calloc(1, sizeof *k);
        if (!k)
            return;
        k->peer = *peer;
        if (kith_map_put(&n->map, kith_host_env(), kith_hash(n->hash, kith_peer_id_bytes(peer)), k)) {
            free(k);
            return;
        }
        n->count++;
    }
    kith_link_remove(&k->link);
    kith_list_push(&n->list, &k->link);
    memcpy(k->name, name.p, name.len);
    k->name[name.len] = '\0';
}

static void on_book(void *ctx, const kith_book_row *rows, size_t count)
{
    kith_names *n = ctx;
    for (size_t i = count; i-- > 0;) { /* the last seen last, so that they stay the longest */
        if (!find(n, &rows[i].peer))   /* what was heard meanwhile is newer */
            remember(n, &rows[i].peer, kith_bytes_str(rows[i].self_name));
    }
}

void kith_names_use_book(kith_names *n, kith_book *b)
{
    n->book = b;
    if (kith_book_ask(b, NULL, FROM_BOOK, on_book, n))
        return; /* no memory: those of before are not known then */
}

const char *kith_names_of(const kith_names *n, const kith_peer_id *peer)
{
    const known *k = n ? find(n, peer) : NULL;
    return k ? k->name : "";
}

/* ---- the part ---- */

static bool take_news(kith_names *n)
{
    kith_infos_event ev;
    kith_peer_info info;
    bool any = false;
    while (kith_infos_next(n->infos, &ev)) {
        if (ev.record.len && kith_peer_info_read(ev.record, &info) == KITH_OK) {
            remember(n, &ev.peer, info.name);
            if (n->book)
                kith_book_note_info(n->book, &ev.peer, ev.record, kith_wall_s());
        }
        if (ev.settled && n->watch)
            n->watch->settled(n->watch->ctx, &ev.peer);
        any = true;
    }
    return any;
}

static void part_event(void *self, kith_time now, const kith_node_event *ev)
{
    kith_names *n = self;
    (void)take_news(n); /* before what a disconnection takes along */
    kith_infos_event_of(n->infos, now, ev);
}

static bool part_act(void *self, kith_time now)
{
    kith_names *n = self;
    bool acted = kith_infos_act(n->infos, now);
    return take_news(n) || acted;
}

static kith_time part_deadline(const void *self)
{
    return kith_infos_deadline(((const kith_names *)self)->infos);
}

static void part_tick(void *self, kith_time now)
{
    kith_infos_tick(((kith_names *)self)->infos, now);
}

static const kith_part_ops ops = {part_event, part_act, part_deadline, part_tick};

bool kith_names_await(kith_names *n, const kith_conn *c)
{
    if (n)
        (void)take_news(n); /* the record may have come before identify was done */
    return n && kith_infos_awaits(n->infos, c);
}

void kith_names_set_watch(kith_names *n, const kith_names_watch *w)
{
    if (n)
        n->watch = w;
}

/* ---- life ---- */

static size_t list_algorithms(kith_names *n)
{
    size_t count = 0;
    n->algorithms[count++] = "Ed25519";
    if (n->cfg.pq_signature)
        n->algorithms[count++] = n->cfg.pq_signature;
    n->algorithms[count++] = "X25519";
    if (n->cfg.pq != KITH_PQ_OFF) {
        n->algorithms[count++] = "ML-KEM-768";
        n->algorithms[count++] = "ML-KEM-1024";
    }
    return count;
}

kith_names *kith_names_new(const kith_names_config *cfg)
{
    kith_names *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->cfg = *cfg;
    kith_list_init(&n->list);
    const kith_env *env = kith_host_env();
    n->hash[0] = kith_rand_u64(env);
    n->hash[1] = kith_rand_u64(env);
    kith_infos_config ic = {.env = *env,
                            .node = kith_host_node(cfg->host),
                            .signer = cfg->signer,
                            .name = cfg->name ? kith_bytes_str(cfg->name) : (kith_bytes){0},
                            .algorithms = n->algorithms,
                            .algorithm_count = list_algorithms(n),
                            .unix_seconds = kith_wall_s()};
    n->infos = kith_infos_new(&ic, kith_host_now(cfg->host));
    if (!n->infos) {
        free(n);
        return NULL;
    }
    n->part = (kith_part){.ops = &ops, .self = n};
    kith_host_attach(cfg->host, &n->part);
    return n;
}

void kith_names_detach(kith_names *n)
{
    if (n)
        kith_host_detach(n->cfg.host, &n->part);
}

void kith_names_free(kith_names *n)
{
    if (!n)
        return;
    kith_infos_free(n->infos);
    for (kith_link *k; (k = kith_list_first(&n->list));)
        forget(n, KITH_OF(k, known, link));
    kith_map_fini(&n->map, kith_host_env());
    free(n);
}

/* ---- as JSON ---- */

void kith_json_add_self_name(json_t *o, const kith_names *n, const kith_peer_id *peer)
{
    json_object_set_new(o, "self_name", kith_json_text(kith_names_of(n, peer)));
}

json_t *kith_json_peer_info(const kith_names *n, const kith_peer_id *peer)
{
    kith_peer_info info;
    if (!n || kith_peer_info_read(kith_infos_record(n->infos, peer), &info))
        return NULL;
    json_t *algorithms = json_array(), *addrs = json_array();
    for (size_t i = 0; i < info.algorithm_count; i++)
        json_array_append_new(algorithms, kith_json_bytes(info.algorithms[i]));
    for (size_t i = 0; i < info.addr_count; i++) {
        kith_maddr a;
        if (kith_maddr_parse(info.addrs[i], &a) == KITH_OK)
            json_array_append_new(addrs, kith_json_addr(&a));
    }
    return json_pack("{s:I, s:I, s:o, s:o}", "sequence", (json_int_t)info.seq, "time", (json_int_t)info.time,
                     "algorithms", algorithms, "addrs", addrs);
}
