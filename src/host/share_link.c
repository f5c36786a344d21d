/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The sources of a fetch: each is dialled, shows that it has the same share, and is asked for what the plan says. */
#include "host/share_fetch_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "host/share_path.h"
#include "host/share_proof.h"
#include "host/share_swarm.h"

#define TICK_MS 200
#define LENT_MAX \
    64 /* blocks that the disk has not taken, while more is asked for: 17 MiB, as large as the stream's window */

static void wake(share_link *l)
{
    if (!l->stream)
        return; /* also one that was never used */
    kith_host *h = l->fetch->cfg.host;
    kith_node_wake(kith_host_node(h), kith_host_now(h), l->stream);
}

void share_links_wake(kith_share_fetch *f)
{
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++)
        wake(&f->links[i]);
    kith_host_kick(f->cfg.host);
}

/* Whether there is hope without it. A member that is still being called is none. */
static bool others(const kith_share_fetch *f, const share_link *l)
{
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++) {
        const share_link *o = &f->links[i];
        if (o != l && o->state != LINK_FREE && o->state != LINK_OVER &&
            (!o->member || o->state == LINK_JOINED))
            return true;
    }
    return false;
}

/* ---- asking ---- */

/* Leaves below this have roots that we trust and the source knows. */
static uint32_t limit_of(const share_link *l)
{
    const kith_share_fetch *f = l->fetch;
    size_t known = kith_share_rx_knows(l->rx);
    if (known > f->view.known)
        known = f->view.known;
    return known < f->manifest.count ? f->manifest.places[known].leaf : (uint32_t)f->manifest.leaves;
}

static void ask_one(share_link *l)
{
    kith_share_fetch *f = l->fetch;
    kith_leaf_range ranges[KITH_SHARE_RANGES];
    kith_time now = kith_host_now(f->cfg.host);
    kith_conn_facts facts;
    size_t n;
    if (l->source < 0) {
        l->source = kith_share_plan_join(f->plan, now, kith_share_rx_have(l->rx));
        if (l->source < 0)
            return;
        kith_share_plan_pause(f->plan, l->source, l->paused);
    }
    kith_conn_facts_get(l->conn, &facts);
    if (facts.rtt)
        kith_share_plan_rtt(f->plan, l->source, facts.rtt);
    kith_share_plan_limit(f->plan, l->source, limit_of(l));
    while (l->lent < LENT_MAX &&
           (n = kith_share_plan_next(f->plan, now, l->source, l->next_id, ranges)) > 0) {
        uint64_t id;
        if (kith_share_rx_request(l->rx, now, ranges, n, &id)) {
            kith_share_plan_ended(f->plan, l->source, l->next_id);
            break;
        }
        l->next_id = id + 1;
    }
    wake(l);
}

void share_links_ask(kith_share_fetch *f)
{
    int source;
    uint64_t id;
    if (!f->plan || share_fetch_failed(f) || f->stored)
        return;
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++) {
        if (f->links[i].state == LINK_JOINED && f->links[i].rx)
            ask_one(&f->links[i]);
    }
    while (kith_share_plan_cancel(f->plan, &source, &id)) {
        for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++) {
            if (f->links[i].state == LINK_JOINED && f->links[i].source == source) {
                kith_share_rx_cancel(f->links[i].rx, id);
                wake(&f->links[i]);
            }
        }
    }
    if (kith_share_plan_err(f->plan))
        share_fetch_fail(f, KITH_FETCH_FAILED, KITH_SHARE_INTERNAL, "no memory");
}

static void on_timer(uv_timer_t *t)
{
    kith_share_fetch *f = t->data;
    if (f->swarm)
        share_swarm_tick(f->swarm);
    share_links_ask(f);
    kith_host_kick(f->cfg.host);
}

/* Several sources are looked after by the clock too: one may have stalled. */
static void start_timer(kith_share_fetch *f)
{
    if (f->timer)
        return;
    f->timer = malloc(sizeof *f->timer);
    if (!f->timer)
        return;
    uv_timer_init(kith_host_loop(f->cfg.host), f->timer);
    f->timer->data = f;
    uv_timer_start(f->timer, on_timer, TICK_MS, TICK_MS);
}

/* ---- joining ---- */

/* What the share is, and which content a file has, is for the first of the tickets to say, as long as its sharer is there; the others come
 * after it in order. */
static bool leads(const share_link *l)
{
    if (l->member && !l->fetch->has_id) /* nobody could tell whether they are the right ones */
        return false;
    for (const share_link *o = l->fetch->links; o < l; o++) {
        if (o->state != LINK_FREE && o->state != LINK_OVER)
            return false;
    }
    return true;
}

static void get_roots(share_link *l)
{
    kith_share_fetch *f = l->fetch;
    if (f->roots_have == f->manifest.count || l->brings_roots || !leads(l))
        return;
    l->brings_roots = true;
    kith_share_rx_get_roots(l->rx, kith_host_now(f->cfg.host), f->roots.p, f->roots_have);
}

static void join(share_link *l)
{
    kith_share_fetch *f = l->fetch;
    l->state = LINK_JOINED;
    kith_share_rx_use(l->rx, kith_host_now(f->cfg.host), &f->view);
    kith_share_rx_pause(l->rx, kith_host_now(f->cfg.host), f->paused);
    get_roots(l);
    wake(l);
    if (f->swarm)
        share_swarm_joined(f->swarm, l);
    if (f->swarm || others(f, l))
        start_timer(f);
    if (others(f, l)) {
        share_fetch_tell(
            f, (kith_share_fetch_event){
                   .kind = KITH_FETCH_SOURCE, .conn = l->conn, .peer = &l->peer, .member = l->member});
    }
    share_links_ask(f);
}

static void get_list(share_link *l)
{
    kith_share_fetch *f = l->fetch;
    l->state = LINK_LISTING;
    kith_share_rx_get_list(l->rx, kith_host_now(f->cfg.host), f->list.p);
    wake(l);
}

/* What the ticket, and what was offered before, say about an offer. NULL: it is the same share. */
static const char *judge_offer(const share_link *l, const kith_share_rx_event *ev)
{
    const kith_share_fetch *f = l->fetch;
    if ((f->cap.has_id || (l->member && f->has_id)) && ev->share_id.len > 0 &&
        memcmp(ev->share_id.p, f->id, sizeof f->id) != 0)
        return "what it offers is not what the ticket stands for";
    return NULL;
}

static void drop(share_link *l, kith_share_fetch_why why, kith_share_code code, kith_conduct conduct,
                 const char *text);

/* Begins to get the list, of so many bytes. */
static void list_from(share_link *l, size_t len)
{
    kith_share_fetch *f = l->fetch;
    int e = kith_share_table_open(&f->list, f->cfg.dest, len);
    if (e)
        share_fetch_fail(f, e == ENOMEM ? KITH_FETCH_FAILED : KITH_FETCH_DISK, KITH_SHARE_DISK,
                         "there is no room for the list in %s: %s", f->cfg.dest, strerror(e));
    else
        get_list(l);
}

/* Whether it offers the list that is, or was, being got. */
static bool same_list(const share_link *l)
{
    const kith_share_fetch *f = l->fetch;
    return memcmp(l->root, f->list_root, sizeof f->list_root) == 0 && l->list_size == f->list.len;
}

static void drop_other(share_link *l)
{
    drop(l, KITH_FETCH_DAMAGED, KITH_SHARE_DECLINED, KITH_CONDUCTS,
         "what it offers is not what others offer");
}

/* Gets the list of who leads, once that has offered one; who offers another one is of no use. */
static void choose_list(kith_share_fetch *f)
{
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX && !f->list.p && !share_fetch_failed(f); i++) {
        share_link *l = &f->links[i];
        if (l->state != LINK_OFFERED || !leads(l))
            continue;
        memcpy(f->list_root, l->root, sizeof f->list_root);
        f->holes = l->holes;
        list_from(l, (size_t)l->list_size);
    }
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX && f->list.p && !share_fetch_failed(f); i++) {
        if (f->links[i].state == LINK_OFFERED && !same_list(&f->links[i]))
            drop_other(&f->links[i]);
    }
}

static void on_offer(share_link *l, const kith_share_rx_event *ev)
{
    kith_share_fetch *f = l->fetch;
    const char *why = judge_offer(l, ev);
    if (!why && !f->has_id && !l->member && leads(l) && ev->share_id.len > 0) {
        f->has_id = true;
        memcpy(f->id, ev->share_id.p, sizeof f->id);
    }
    memcpy(l->root, ev->root.p, sizeof l->root);
    l->list_size = ev->list_size;
    l->holes = ev->holes;
    if (why) {
        drop(l, KITH_FETCH_DAMAGED, KITH_SHARE_DECLINED, KITH_CONDUCTS, why);
    } else if (f->manifest.count > 0 && same_list(l)) {
        join(l);
    } else if (f->manifest.count > 0) {
        drop_other(l);
    } else {
        l->state = LINK_OFFERED;
        choose_list(f);
    }
}

static void on_list(share_link *l)
{
    kith_share_fetch *f = l->fetch;
    if (!share_fetch_on_list(f))
        return;
    join(l);
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX && !share_fetch_failed(f); i++) {
        if (f->links[i].state == LINK_OFFERED)
            join(&f->links[i]);
    }
}

/* The hashes of a ticket's share count when all of them are here and lead to its id; those of a sharer that has proven who it is, at once. */
static void on_roots(share_link *l)
{
    kith_share_fetch *f = l->fetch;
    uint8_t id[KITH_BLAKE3_LEN];
    f->roots_have = kith_share_rx_roots(l->rx);
    if (f->roots_have == f->manifest.count)
        l->brings_roots = false;
    if (f->cap.has_id || l->member) {
        if (f->roots_have < f->manifest.count)
            return;
        kith_share_id(f->list_root, f->roots.p, f->manifest.count, id);
        if (memcmp(id, f->id, sizeof id) != 0) {
            f->roots_have = f->view.known; /* those that counted before still do */
            drop(l, KITH_FETCH_DAMAGED, KITH_SHARE_BAD_DATA, KITH_CONDUCT_CORRUPT,
                 "what it offers is not what the ticket stands for");
            return;
        }
    }
    f->view.known = f->roots_have;
    share_fetch_on_roots(f);
}

/* ---- losing files ---- */

/* What nobody can give any more is given up: the person is told, and its part is dropped. */
static void lose_files(kith_share_fetch *f)
{
    kith_share_block *b = NULL;
    size_t e;
    while (f->plan && !share_fetch_failed(f) && kith_share_plan_lost(f->plan, &e)) {
        uint32_t first, end;
        kith_manifest_leaves(&f->manifest, e, &first, &end);
        kith_share_plan_settle(f->plan, first, end);
        if (!b)
            b = kith_share_block_new(kith_host_env());
        if (!b) {
            share_fetch_fail(f, KITH_FETCH_FAILED, KITH_SHARE_INTERNAL, "no memory");
            return;
        }
        b->items[b->count++] = (kith_share_item){.entry = e, .leaf = first, .code = f->refusal};
        if (b->count == KITH_SHARE_BLOCK_ITEMS) {
            kith_list_push(&f->blocks, &b->link);
            b = NULL;
        }
        share_fetch_tell(f, (kith_share_fetch_event){.kind = KITH_FETCH_FILE_LOST,
                                                     .entry = e,
                                                     .text = kith_share_code_text(f->refusal)});
    }
    if (b)
        kith_list_push(&f->blocks, &b->link);
}

/* ---- losing a source ---- */

static void over(share_link *l)
{
    kith_share_fetch *f = l->fetch;
    bool had_list = l->state == LINK_LISTING;
    if (l->state == LINK_OVER)
        return;
    l->state = LINK_OVER;
    if (l->source >= 0)
        kith_share_plan_leave(f->plan, l->source);
    l->source = -1;
    l->brings_roots = false;
    if (had_list)
        kith_share_table_close(&f->list);
    if (share_fetch_failed(f))
        return;
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++) { /* another one goes on with it */
        share_link *o = &f->links[i];
        if (o->state == LINK_JOINED)
            get_roots(o);
        wake(o);
    }
    if (f->manifest.count == 0)
        choose_list(f);
    lose_files(f);
    share_links_ask(f);
}

/* A source is of no more use: the end of the transfer, if it is the last. */
static void drop(share_link *l, kith_share_fetch_why why, kith_share_code code, kith_conduct conduct,
                 const char *text)
{
    kith_share_fetch *f = l->fetch;
    if (l->state == LINK_OVER || l->state == LINK_FREE)
        return;
    if (l->rx)
        kith_share_rx_stop(l->rx, code);
    wake(l);
    bool bad = conduct != KITH_CONDUCTS, was_joined = l->state == LINK_JOINED;
    if (f->swarm)
        share_swarm_over(f->swarm, l, bad);
    if (!l->member)
        f->moved_at = kith_host_now(f->cfg.host);
    if (l->member && !was_joined && !bad) { /* it may be another time */
        over(l);
        return;
    }
    if (f->stored || share_fetch_failed(f)) {
        over(l);
        share_fetch_pump(f);
        return;
    }
    if (!others(f, l)) {
        f->conduct = conduct;
        over(l);
        share_fetch_fail(f, why, KITH_SHARE_NONE, "%s", text);
        return;
    }
    over(l);
    share_fetch_tell(f, (kith_share_fetch_event){.kind = KITH_FETCH_SOURCE_LOST,
                                                 .why = why,
                                                 .peer = &l->peer,
                                                 .member = l->member,
                                                 .text = text,
                                                 .conduct = conduct});
}

static void rx_failed(share_link *l, const kith_share_rx_event *ev)
{
    kith_share_fetch *f = l->fetch;
    const char *who = l->member ? "it" : "the sharer";
    char path[KITH_SHARE_PATH_MAX] = "its list", text[KITH_FETCH_TEXT_MAX];
    if (ev->err == KITH_ECRYPTO && ev->entry != SIZE_MAX)
        (void)kith_share_path(&f->manifest, ev->entry, path);
    kith_err err = ev->err;
    if (err == KITH_ERESET && l->state == LINK_ASKING && l->conn &&
        !kith_conn_supports(l->conn, kith_bytes_str(KITH_SHARE_ID)))
        err =
            KITH_EUNSUPPORTED; /* before a word was said, and what it serves is not known or something else */
    switch ((int)err) {
    case KITH_EREFUSED:
        (void)snprintf(text, sizeof text, "%s ended it: %s%s", who, kith_share_code_text(ev->code),
                       kith_share_code_advice(ev->code));
        drop(l,
             ev->code == KITH_SHARE_STOPPED || ev->code == KITH_SHARE_INTERNAL ? KITH_FETCH_LOST
             : kith_share_code_is_late(ev->code)                               ? KITH_FETCH_LATE
                                                                               : KITH_FETCH_REFUSED,
             KITH_SHARE_NONE, KITH_CONDUCTS, text);
        return;
    case KITH_ECRYPTO:
        (void)snprintf(text, sizeof text, "what %s sent of %s does not match its hash; it was thrown away",
                       who, path);
        drop(l, KITH_FETCH_DAMAGED, KITH_SHARE_NONE, KITH_CONDUCT_CORRUPT, text);
        return;
    case KITH_EPROTO:
    case KITH_ELIMIT:
        (void)snprintf(text, sizeof text, "%s broke the protocol: %s", who, ev->why);
        drop(l, KITH_FETCH_DAMAGED, KITH_SHARE_NONE, KITH_CONDUCT_PROTOCOL, text);
        return;
    case KITH_ENOMEM:
        drop(l, KITH_FETCH_FAILED, KITH_SHARE_NONE, KITH_CONDUCTS, ev->why);
        return;
    case KITH_EUNSUPPORTED:
        drop(
            l, KITH_FETCH_NO_FILES, KITH_SHARE_NONE, KITH_CONDUCTS,
            "the peer shares no files; is its 'kith share' still running? A stream (kith share -) is fetched with -o -");
        return;
    default:
        (void)snprintf(text, sizeof text, "%s; fetch again when the sharer is back", ev->why);
        drop(l, KITH_FETCH_LOST, KITH_SHARE_NONE, KITH_CONDUCTS, text);
    }
}

/* ---- content ---- */

/* Who gave how much is told in the end. */
static void note_gift(const share_link *l, uint32_t bytes)
{
    kith_share_fetch *f = l->fetch;
    size_t i = 0;
    while (i < f->gave_count && !kith_peer_id_eq(&f->gave[i].peer, &l->peer))
        i++;
    if (bytes == 0 || i == KITH_FETCH_GAVE_MAX)
        return;
    if (i == f->gave_count)
        f->gave[f->gave_count++] = (kith_share_gave){.peer = l->peer, .member = l->member};
    f->gave[i].bytes += bytes;
    f->moved_at = kith_host_now(f->cfg.host);
}

/* Takes note of what came; what is here already is left out. */
static void on_block(share_link *l, kith_share_block *b)
{
    kith_share_fetch *f = l->fetch;
    kith_time now = kith_host_now(f->cfg.host);
    size_t n = 0;
    b->owner = l;
    l->lent++;
    if (l->source < 0 || share_fetch_failed(f)) { /* it was dropped meanwhile */
        share_link_stored(f, b);
        return;
    }
    for (size_t i = 0; i < b->count; i++) {
        kith_share_item *it = &b->items[i];
        bool keep = true;
        if (it->code) {
            kith_share_plan_refused(f->plan, l->source, it->request, (uint32_t)it->leaf);
            f->refusal = it->code;
            keep = false; /* another source may have it, and lose_files says when none has */
        } else {
            const uint32_t leaf = (uint32_t)it->leaf;
            keep = kith_share_plan_got(f->plan, now, l->source, it->request, leaf, it->len);
            if (keep && it->same && !kith_leaves_has(kith_share_dir_older(f->dir), leaf, leaf + 1)) {
                kith_share_plan_want(f->plan, leaf, leaf + 1); /* as it had been asked for meanwhile */
                keep = false;
            }
            f->unproven += keep && it->same;
            note_gift(l, keep && !it->same ? it->len : 0);
            *(it->same ? &f->progress.here : &f->progress.verified) += keep ? it->len : 0;
            f->progress.files +=
                keep && it->offset + it->len == kith_manifest_entry(&f->manifest, it->entry).size;
        }
        if (keep && n != i)
            b->items[n] = *it;
        n += keep;
    }
    b->count = n;
    if (n == 0)
        share_link_stored(f, b);
    else
        kith_list_push(&f->blocks, &b->link);
    lose_files(f);
    if (kith_share_plan_missing(f->plan)->total == 0 && f->unproven == 0)
        f->conduct = KITH_CONDUCT_VERIFIED;
}

void share_link_stored(kith_share_fetch *f, kith_share_block *b)
{
    share_link *l = b->owner; /* NULL: it says what is lost */
    if (l)
        l->lent--;
    if (l && l->rx)
        kith_share_rx_stored(l->rx, kith_host_now(f->cfg.host), b);
    else
        kith_share_block_free(b);
}

/* ---- the code ---- */

static kith_err pake_begin(share_link *l)
{
    const kith_share_fetch *f = l->fetch;
    uint8_t first[KITH_PAKE_FIRST_LEN];
    kith_err err = kith_share_proof_ask(f->cfg.host, l->conn, f->code.tag, f->code.secret, &l->pake, first);
    if (!err)
        kith_share_rx_pake(l->rx, kith_bytes_of(first, sizeof first));
    return err;
}

static void on_pake(share_link *l, const kith_share_rx_event *ev)
{
    uint8_t confirm[KITH_PAKE_CONFIRM_LEN];
    kith_err err = l->pake ? kith_pake_confirm(l->pake, ev->data, confirm) : KITH_EPROTO;
    if (!err)
        kith_share_rx_pake(l->rx, kith_bytes_of(confirm, sizeof confirm));
    else if (err == KITH_EAUTH)
        drop(l, KITH_FETCH_WRONG_CODE, KITH_SHARE_STOPPED, KITH_CONDUCTS, KITH_PROOF_WRONG);
    else
        drop(l, KITH_FETCH_DAMAGED, KITH_SHARE_PROTOCOL, KITH_CONDUCT_PROTOCOL, KITH_PROOF_MALFORMED);
}

/* ---- the machine's events ---- */

static void rx_event(share_link *l, const kith_share_rx_event *ev)
{
    kith_share_fetch *f = l->fetch;
    switch (ev->kind) {
    case KITH_SHARE_RX_PAKE:
        on_pake(l, ev);
        break;
    case KITH_SHARE_RX_WAIT:
        if (l->member)
            break;
        share_fetch_tell(
            f, (kith_share_fetch_event){.kind = KITH_FETCH_WAIT, .done = ev->done, .total = ev->total});
        break;
    case KITH_SHARE_RX_OFFER:
        on_offer(l, ev);
        break;
    case KITH_SHARE_RX_LIST:
        on_list(l);
        break;
    case KITH_SHARE_RX_ROOTS:
        on_roots(l);
        break;
    case KITH_SHARE_RX_PAUSED:
        l->paused = ev->on;
        if (l->source >= 0)
            kith_share_plan_pause(f->plan, l->source, ev->on);
        if (l->member)
            break;
        share_fetch_tell(
            f, (kith_share_fetch_event){.kind = KITH_FETCH_PAUSED, .done = ev->on, .peer = &l->peer});
        break;
    case KITH_SHARE_RX_BLOCK:
        on_block(l, ev->block);
        break;
    case KITH_SHARE_RX_ENDED:
        if (l->source >= 0)
            kith_share_plan_ended(f->plan, l->source, ev->id);
        break;
    case KITH_SHARE_RX_DONE:
        l->done = true;
        break;
    case KITH_SHARE_RX_FAILED:
        rx_failed(l, ev);
        break;
    case KITH_SHARE_RX_PEERS:
        if (f->swarm)
            share_swarm_peers(f->swarm, l, ev->data);
        break;
    case KITH_SHARE_RX_PASS:
        if (f->swarm)
            share_swarm_pass(f->swarm, l, ev->data);
        break;
    case KITH_SHARE_RX_HAVE: /* the plan has been given the set */
        break;
    }
}

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    share_link *l = ctx;
    kith_share_fetch *f = l->fetch;
    kith_share_rx_event e;
    (void)h;
    const char *refusal = kith_conn_refusal(ev->conn);
    if (refusal && !l->done)
        drop(l, KITH_FETCH_REFUSED, KITH_SHARE_NONE, KITH_CONDUCTS, refusal);
    while (l->rx && kith_share_rx_next(l->rx, &e))
        rx_event(l, &e);
    share_links_ask(f);
    if (ev->kind != KITH_NODE_STREAM_GONE) {
        wake(l);
    } else {
        l->rx = NULL;
        l->stream = NULL;
        l->conn = NULL;
        kith_pake_free(l->pake);
        l->pake = NULL;
        over(l);
    }
    share_fetch_pump(f);
}

/* ---- dialling ---- */

static kith_share_rx *new_machine(const share_link *l)
{
    const kith_share_fetch *f = l->fetch;
    const kith_share_rx_config cfg = {
        .env = *kith_host_env(),
        .capability = kith_bytes_of(l->capability, l->capability_len),
        .code_tag = kith_bytes_of(f->code.tag, f->cfg.code && !l->member ? sizeof f->code.tag : 0),
        .swarm = f->swarm != NULL,
    };
    return kith_share_rx_new(&cfg, kith_host_now(f->cfg.host));
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *conn, kith_err err, const char *why)
{
    static const kith_bytes id[] = {{(const uint8_t *)KITH_SHARE_ID, sizeof KITH_SHARE_ID - 1}};
    share_link *l = ctx;
    kith_share_fetch *f = l->fetch;
    char text[KITH_FETCH_TEXT_MAX];
    if (f->ended || share_fetch_failed(f) || l->state != LINK_DIALLING)
        return;
    if (!conn) {
        bool no = err == KITH_EAUTH || err == KITH_EPOLICY || err == KITH_EUNSUPPORTED || err == KITH_ECRYPTO;
        (void)snprintf(text, sizeof text, "cannot reach the sharer: %s%s", why ? why : kith_err_text(err),
                       no ? "" : "; is its 'kith share' still running, and the ticket a recent one?");
        drop(l, no ? KITH_FETCH_REFUSED : KITH_FETCH_UNREACHABLE, KITH_SHARE_NONE, KITH_CONDUCTS, text);
        return;
    }
    l->conn = conn;
    if (!f->connected) {
        f->connected = true;
        share_fetch_tell(f, (kith_share_fetch_event){.kind = KITH_FETCH_CONNECTED, .conn = conn});
    }
    if (f->ended || share_fetch_failed(f))
        return;
    l->state = LINK_ASKING;
    l->rx = new_machine(l);
    kith_err e = l->rx ? kith_node_open(kith_host_node(h), kith_host_now(h), conn, id, 1, &kith_share_rx_ops,
                                        l->rx, &l->sink, &l->stream)
                       : KITH_ENOMEM;
    if (!e && f->cfg.code && !l->member)
        e = pake_begin(l);
    if (e) {
        if (!l->stream)
            l->rx = NULL;
        (void)snprintf(text, sizeof text, "cannot open a stream: %s", kith_err_text(e));
        drop(l, KITH_FETCH_FAILED, KITH_SHARE_NONE, KITH_CONDUCTS, text);
    }
}

static kith_err new_link(kith_share_fetch *f, const kith_peer_id *peer, const kith_maddr *addrs, size_t count,
                         kith_bytes capability, bool member, size_t issuer)
{
    share_link *l = NULL;
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++) {
        share_link *o = &f->links[i];
        if (o->state != LINK_FREE && o->state != LINK_OVER && kith_peer_id_eq(&o->peer, peer))
            return KITH_EEXISTS;
        if (!l && (o->state == LINK_FREE || (o->state == LINK_OVER && o->lent == 0 && !o->stream)))
            l = o;
    }
    if (!l)
        return KITH_ELIMIT;
    *l = (share_link){.fetch = f,
                      .state = LINK_DIALLING,
                      .peer = *peer,
                      .source = -1,
                      .next_id = 1,
                      .member = member,
                      .issuer = issuer};
    l->sink = (kith_sink){.event = on_stream, .ctx = l};
    l->capability_len = capability.len;
    memcpy(l->capability, capability.p, capability.len);
    kith_err e = kith_host_dial(f->cfg.host, peer, addrs, count, on_dialed, l);
    if (e)
        l->state = LINK_OVER;
    return e;
}

kith_err kith_share_fetch_source(kith_share_fetch *f, const kith_ticket *ticket)
{
    return new_link(f, &ticket->peer, ticket->addrs, ticket->addr_count,
                    kith_bytes_of(ticket->capability, ticket->capability_len), false, 0);
}

kith_err share_link_member(kith_share_fetch *f, const kith_peer_id *peer, const kith_maddr *addrs,
                           size_t count, size_t issuer, kith_bytes pass)
{
    return new_link(f, peer, addrs, count, pass, true, issuer);
}

/* ---- all of them ---- */

void share_links_stop(kith_share_fetch *f, kith_share_code code)
{
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++) {
        if (f->links[i].rx)
            kith_share_rx_stop(f->links[i].rx, code);
    }
    share_links_wake(f);
}

void share_links_finish(kith_share_fetch *f, uint64_t files, uint64_t bytes)
{
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++) {
        share_link *l = &f->links[i];
        if (l->state == LINK_JOINED && l->rx)
            kith_share_rx_finish(l->rx, files, bytes);
        else if (l->rx)
            kith_share_rx_stop(l->rx, KITH_SHARE_STOPPED);
    }
}

bool share_links_done(const kith_share_fetch *f)
{
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++) {
        const share_link *l = &f->links[i];
        if (l->state == LINK_JOINED && l->rx && !l->done)
            return false;
    }
    return true;
}

static void free_timer(uv_handle_t *h)
{
    free(h);
}

void share_links_fini(kith_share_fetch *f)
{
    if (f->timer)
        uv_close((uv_handle_t *)f->timer, free_timer);
    f->timer = NULL;
}

void kith_share_fetch_pause(kith_share_fetch *f, bool on)
{
    f->paused = on;
    for (size_t i = 0; i < KITH_FETCH_SOURCES_MAX; i++) {
        if (f->links[i].state == LINK_JOINED && f->links[i].rx)
            kith_share_rx_pause(f->links[i].rx, kith_host_now(f->cfg.host), on);
    }
    if (f->swarm)
        share_swarm_pause(f->swarm, on);
    share_links_wake(f);
}
