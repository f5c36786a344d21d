/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A router among peers whose every word a test writes and reads. */
#ifndef UNIT_GOSSIP_RIG_H
#define UNIT_GOSSIP_RIG_H

#include <stdio.h>

#include "crypto/crypto.h"
#include "mesh/gossip.h"
#include "support.h"
#include "wire/envelope.h"
#include "wire/pb.h"

#define RIG_PEERS 128
#define RIG_TOPIC kith_bytes_str("news")

typedef struct rig rig;

/* What a peer was told since it was last asked. */
typedef struct rig_heard {
    unsigned on, off, msgs, ihave, iwant, grafts, prunes, idontwant, extensions, tests, px, rpcs;
    uint64_t backoff_s;
    size_t longest; /* bytes of an RPC */
    char order[64]; /* a letter for each item: S subscription, M message, H, W, G, P, D, X extensions, T */
    uint8_t last_id[KITH_GOSSIP_MID_MAX];
    size_t last_id_len;
} rig_heard;

typedef struct rig_peer {
    kith_signer *signer;
    kith_peer_id id;
    kith_gossip_peer *p; /* NULL: not there */
    kith_gossip_intake intake;
    uint64_t seqno;
} rig_peer;

struct rig {
    support_heap heap;
    kith_gossip_config cfg;
    kith_gossip *g;
    kith_signer *signer;
    kith_time now;
    rig_peer peers[RIG_PEERS];
};

static inline kith_signer *rig_signer(uint32_t n, kith_peer_id *id)
{
    uint8_t seed[KITH_ED25519_SEED_LEN] = {0}, pub[KITH_ED25519_PUB_LEN], key[KITH_PUBKEY_ED25519_LEN];
    kith_store_be32(seed, n);
    kith_signer *s = kith_signer_new(seed);
    kith_signer_public(s, pub);
    kith_pubkey_ed25519(pub, key);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(key, sizeof key), id), KITH_OK);
    return s;
}

/* The configuration may be changed before rig_start. */
static inline void rig_init(rig *r)
{
    memset(r, 0, sizeof *r);
    assert_int_equal(kith_crypto_init(), KITH_OK);
    kith_gossip_config_default(&r->cfg);
    r->cfg.env = *support_env(&r->heap);
    r->now = KITH_SEC(1000);
    r->signer = rig_signer(1000000, &r->cfg.self);
    r->cfg.signer = r->signer;
    r->cfg.seqno = 5000;
}

static inline void rig_start(rig *r)
{
    const char *why = NULL;
    r->g = kith_gossip_new(&r->cfg, r->now, &why);
    if (!r->g)
        fail_msg("%s", why);
}

static inline void rig_end(rig *r)
{
    kith_gossip_check(r->g, r->now);
    kith_gossip_free(r->g);
    for (size_t i = 0; i < RIG_PEERS; i++)
        kith_signer_free(r->peers[i].signer);
    kith_signer_free(r->signer);
    support_heap_check(&r->heap);
}

/* Peer i is there, and our stream to it is open. */
static inline kith_gossip_peer *rig_up(rig *r, size_t i, kith_gossip_version v, bool outbound)
{
    rig_peer *p = &r->peers[i];
    if (!p->signer)
        p->signer = rig_signer((uint32_t)i, &p->id);
    kith_gossip_hello h = {.id = p->id, .outbound = outbound};
    assert_int_equal(kith_gossip_up(r->g, r->now, &h, &p->p), KITH_OK);
    p->intake = (kith_gossip_intake){0};
    kith_gossip_writable(r->g, r->now, p->p, v);
    return p->p;
}

static inline void rig_down(rig *r, size_t i)
{
    kith_gossip_down(r->g, r->now, r->peers[i].p);
    r->peers[i].p = NULL;
}

/* Peer i says an RPC. */
static inline kith_err rig_say(rig *r, size_t i, kith_bytes rpc)
{
    kith_span copy = support_copy(rpc);
    kith_err e;
    while (!kith_gossip_take(r->g, r->now, r->peers[i].p, &r->peers[i].intake, kith_span_bytes(copy), &e)) {
        assert_true(kith_gossip_room(r->g)); /* a test of that takes by itself */
        kith_gossip_turn(r->g);
    }
    kith_gossip_turn(r->g);
    free(copy.p);
    kith_gossip_check(r->g, r->now);
    return e;
}

static inline void rig_sub(rig *r, size_t i, kith_bytes topic, bool on)
{
    uint8_t buf[1024];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_gossip_put_sub(&w, on, topic);
    assert_int_equal(rig_say(r, i, kith_wr_bytes(&w)), KITH_OK);
}

static inline void rig_control(rig *r, size_t i, kith_bytes control)
{
    uint8_t *buf = malloc(control.len + 32);
    kith_wr w = kith_wr_of(kith_span_of(buf, control.len + 32));
    kith_gossip_put_control(&w, control);
    assert_int_equal(rig_say(r, i, kith_wr_bytes(&w)), KITH_OK);
    free(buf);
}

static inline void rig_graft(rig *r, size_t i, kith_bytes topic)
{
    uint8_t buf[512];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_gossip_put_graft(&w, topic);
    rig_control(r, i, kith_wr_bytes(&w));
}

static inline void rig_prune(rig *r, size_t i, kith_bytes topic, kith_bytes px, uint64_t backoff_s)
{
    uint8_t *buf = malloc(px.len + 512);
    kith_wr w = kith_wr_of(kith_span_of(buf, px.len + 512));
    kith_gossip_put_prune(&w, topic, px, backoff_s);
    rig_control(r, i, kith_wr_bytes(&w));
    free(buf);
}

static inline void rig_ids(rig *r, size_t i, kith_gossip_kind kind, const kith_bytes *ids, size_t count)
{
    uint8_t *buf = malloc(count * 80 + 512);
    kith_wr w = kith_wr_of(kith_span_of(buf, count * 80 + 512));
    kith_gossip_put_ids(&w, kind, RIG_TOPIC, ids, count);
    assert_false(w.bad);
    rig_control(r, i, kith_wr_bytes(&w));
    free(buf);
}

/* A message of `author`, in out. */
static inline kith_bytes rig_message(rig *r, size_t author, uint64_t seqno, kith_bytes data, uint8_t *out,
                                     size_t room)
{
    kith_wr w = kith_wr_of(kith_span_of(out, room));
    if (!r->peers[author].signer)
        r->peers[author].signer = rig_signer((uint32_t)author, &r->peers[author].id);
    assert_int_equal(kith_gossip_msg_put(&w, r->peers[author].signer, seqno, data, RIG_TOPIC), KITH_OK);
    return kith_wr_bytes(&w);
}

/* The id of it. */
static inline kith_bytes rig_id(const rig *r, size_t author, uint64_t seqno, uint8_t out[KITH_GOSSIP_MID_MAX])
{
    const kith_peer_id *id = &r->peers[author].id;
    memcpy(out, id->b, id->len);
    kith_store_be64(out + id->len, seqno);
    return kith_bytes_of(out, (size_t)id->len + 8);
}

/* Peer i passes on raw. */
static inline void rig_pass(rig *r, size_t i, kith_bytes raw)
{
    uint8_t *buf = malloc(raw.len + 16);
    kith_wr w = kith_wr_of(kith_span_of(buf, raw.len + 16));
    kith_pb_put_bytes(&w, 2, raw);
    assert_int_equal(rig_say(r, i, kith_wr_bytes(&w)), KITH_OK);
    free(buf);
}

static inline void rig_say_message(rig *r, size_t i, size_t author, uint64_t seqno, size_t size)
{
    uint8_t *data = calloc(1, size + 1), *buf = malloc(size + 512);
    rig_pass(r, i, rig_message(r, author, seqno, kith_bytes_of(data, size), buf, size + 512));
    free(data);
    free(buf);
}

static inline void rig_note(rig_heard *h, char what)
{
    size_t n = strlen(h->order);
    if (n + 1 < sizeof h->order)
        h->order[n] = what;
}

static inline void rig_read(rig_heard *h, kith_bytes rpc)
{
    assert_int_equal(kith_gossip_rpc_check(rpc), KITH_OK);
    h->rpcs++;
    h->longest = rpc.len > h->longest ? rpc.len : h->longest;
    for (int s = KITH_GOSSIP_SUBS; s <= KITH_GOSSIP_CONTROL; s++) {
        kith_gossip_reader rd = kith_gossip_rpc_read(rpc, (kith_gossip_section)s);
        kith_gossip_item it;
        while (kith_gossip_rpc_next(&rd, &it)) {
            unsigned n = 0;
            kith_bytes list = it.list, id;
            while (kith_gossip_list_next(it.kind, &list, &id)) {
                n++;
                if (id.len <= sizeof h->last_id) {
                    memcpy(h->last_id, id.p, id.len);
                    h->last_id_len = id.len;
                }
            }
            switch (it.kind) {
            case KITH_GOSSIP_SUB:
                h->on += it.on;
                h->off += !it.on;
                break;
            case KITH_GOSSIP_MSG:
                h->msgs++;
                break;
            case KITH_GOSSIP_IHAVE:
                h->ihave += n;
                break;
            case KITH_GOSSIP_IWANT:
                h->iwant += n;
                break;
            case KITH_GOSSIP_GRAFT:
                h->grafts++;
                break;
            case KITH_GOSSIP_PRUNE:
                h->prunes++;
                h->px += n;
                h->backoff_s = it.backoff_s;
                break;
            case KITH_GOSSIP_IDONTWANT:
                h->idontwant += n;
                break;
            case KITH_GOSSIP_EXTENSIONS:
                h->extensions++;
                break;
            case KITH_GOSSIP_TEST:
                h->tests++;
                break;
            }
            rig_note(h, "SMHWGPDXT"[it.kind]);
        }
    }
}

/* Everything that waits for peer i, read in pieces of `piece` bytes. */
static inline rig_heard rig_hear_in(rig *r, size_t i, size_t piece)
{
    rig_heard h = {0};
    uint8_t *all = malloc(16 << 20);
    size_t len = 0;
    for (unsigned idle = 0; kith_gossip_has_output(r->g, r->peers[i].p) && idle < 2;) {
        size_t n = kith_gossip_send(r->g, r->now, r->peers[i].p, kith_span_of(all + len, piece));
        len += n;
        idle = n ? 0 : idle + 1;
        while (n == 0 && kith_gossip_next_ready(r->g))
            ;
    }
    for (kith_rd rd = kith_rd_of(kith_bytes_of(all, len)); rd.in.len > 0;) {
        kith_bytes rpc = kith_get_lp(&rd);
        assert_false(rd.bad);
        rig_read(&h, rpc);
    }
    free(all);
    kith_gossip_check(r->g, r->now);
    return h;
}

static inline rig_heard rig_hear(rig *r, size_t i)
{
    return rig_hear_in(r, i, 1 << 16);
}

static inline void rig_wait(rig *r, kith_time more)
{
    kith_time until = r->now + more;
    while (kith_gossip_deadline(r->g) <= until) {
        if (kith_gossip_deadline(r->g) > r->now)
            r->now = kith_gossip_deadline(r->g);
        kith_gossip_tick(r->g, r->now);
        kith_gossip_check(r->g, r->now);
    }
    r->now = until;
}

/* To just after the next heartbeat. */
static inline void rig_beat(rig *r, unsigned n)
{
    rig_wait(r, n * r->cfg.params.heartbeat + r->cfg.params.heartbeat / 5);
}

/* So many events, all taken; those that want one get the verdict. */
static inline unsigned rig_events(rig *r, kith_gossip_verdict v)
{
    kith_gossip_event ev;
    unsigned n = 0;
    while (kith_gossip_next(r->g, &ev)) {
        n++;
        if (ev.judged)
            assert_int_equal(kith_gossip_judged(r->g, r->now, ev.id, v), KITH_OK);
    }
    return n;
}

static inline double rig_score(const rig *r, size_t i)
{
    return kith_gossip_score_of(r->g, &r->peers[i].id);
}

static inline bool rig_in_mesh(const rig *r, size_t i)
{
    kith_peer_id ids[RIG_PEERS];
    size_t n = kith_gossip_peers_of(r->g, RIG_TOPIC, true, ids, RIG_PEERS);
    for (size_t k = 0; k < n; k++) {
        if (kith_peer_id_eq(&ids[k], &r->peers[i].id))
            return true;
    }
    return false;
}

/* We are in the topic, and peers 0 to n - 1 are too; what they were told is read. */
static inline void rig_join(rig *r, size_t n, kith_gossip_version v)
{
    assert_int_equal(kith_gossip_subscribe(r->g, r->now, RIG_TOPIC, false), KITH_OK);
    for (size_t i = 0; i < n; i++) {
        rig_up(r, i, v, i % 2 == 0);
        rig_sub(r, i, RIG_TOPIC, true);
    }
    for (size_t i = 0; i < n; i++)
        (void)rig_hear(r, i);
}

#endif
