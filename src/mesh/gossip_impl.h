/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The insides that gossip.c (messages), gossip_peer.c (topics, peers), gossip_out.c (what is sent) and gossip_mesh.c (mesh, gossip,
 * heartbeat) share; nobody else includes this.
 *
 *   kith_gossip --- topic ---- link ---- peer --- queue of payloads
 *               \-- store (records, payloads)
 *
 * A link is a peer in a topic: its subscription, its place in the mesh, what it is still to be told, its backoff and its counters. It goes
 * when none of that is left. What is to be told of subscriptions, GRAFT and PRUNE is state, not a queue: it is encoded when the peer's
 * stream has room, so it is never lost and never piles up. Ids (IHAVE, IWANT, IDONTWANT) are encoded at once, into a queue with a cap. */
#ifndef KITH_MESH_GOSSIP_IMPL_H
#define KITH_MESH_GOSSIP_IMPL_H

#include "base/buf.h"
#include "mesh/gossip.h"
#include "mesh/gossip_store.h"

#define STATE_MAX (KITH_GOSSIP_CONTROL_MAX + 16) /* bytes of a frame that tells of our state */
#define BACKOFF_MAX KITH_SEC(24 * 3600)          /* of what a peer asks for */
#define PROMISES_MAX 32 /* that a peer owes us: one for each IHAVE that we answer, for 3 s */
#define RECORD_MAX 2048 /* bytes of a signed record that is kept; 16 of them are a PRUNE of 32 KiB */
#define PX_QUEUE_MAX 32 /* peers told of that wait to be dialled */
#define REFUSED_SUB \
    0.02 /* P7 for a subscription beyond topics_per_peer: some hundreds are an oddity, thousands a flood */
#define REPEATED_HELLO 10 /* P7 for extensions told twice, as go has it */
#define SWEEP_TICKS 15    /* heartbeats between two looks for links that nothing needs */
#define SLACK_TICKS 2     /* heartbeats that we wait longer than a backoff, as go does */

typedef struct topic {
    kith_link all; /* g->topics, in the order of the last change of our subscription */
    uint64_t hash; /* of its name */
    uint32_t no;   /* from 1 */
    bool joined, judged, own_params;
    uint64_t changed;       /* the version of our subscriptions in which joined changed; 0: never */
    kith_time fanout_until; /* we published without being in it; 0: no fanout */
    kith_list links;
    size_t mesh, subscribers;
    kith_gossip_topic_params *params; /* or NULL: the default's */
    size_t name_len;
    uint8_t name[];
} topic;

typedef enum tell { TELL_NOTHING, TELL_GRAFT, TELL_PRUNE } tell;

typedef struct link {
    kith_link in_topic, in_peer;
    kith_link telling; /* peer->telling: tell is not NOTHING */
    topic *topic;
    kith_gossip_peer *peer;
    bool subscribed, mesh, fanout;
    bool lost;    /* a message did not fit into its queue: it gets IHAVE, in the mesh or not */
    uint8_t tell; /* PRUNE: with tell_px and tell_backoff */
    bool tell_px;
    uint32_t tell_backoff;   /* seconds */
    kith_time backoff_until; /* 0: none */
    kith_gossip_stats stats;
} link;

typedef struct promise {
    uint64_t hash; /* of a message's id */
    kith_time by;
} promise;

typedef struct unwanted {
    uint64_t hash;
    uint64_t until; /* beat */
} unwanted;

/* One address that peers share. */
typedef struct crowd {
    size_t peers;
} crowd;

struct kith_gossip_peer {
    kith_link all;   /* g->peers or g->retained, the oldest first */
    kith_link ready; /* g->ready */
    kith_peer_id id;
    uint64_t hash; /* of it */
    uint32_t no;   /* from 1; another one after each down */
    bool up, writable, outbound, direct;
    uint8_t version; /* kith_gossip_version, of our stream */
    void *user;
    size_t limit;      /* bytes of an RPC that it takes */
    kith_time long_at; /* when it was last handed some of one longer than KITH_GOSSIP_SMALL_RPC; 0: never */
    kith_list links, telling;
    size_t topic_count;    /* links that it has subscribed */
    uint64_t told;         /* the version of our subscriptions that it knows */
    bool greeted;          /* the first RPC of our stream is encoded */
    bool extensions, test; /* told by it; the second: the test extension */
    bool test_due, test_seen;
    /* scores */
    double behaviour, app, score; /* score: as of this heartbeat */
    uint64_t ips[2];              /* keys of g->crowds; 0: none */
    kith_time retain_until;
    /* this heartbeat's */
    unsigned ihaves, asked, iwants, idontwants;
    promise promises[PROMISES_MAX];
    size_t promise_count;
    unwanted *unwanted; /* a ring of unwanted_cap, the next place is unwanted_at */
    size_t unwanted_len, unwanted_cap, unwanted_at;
    kith_span record; /* signed, or empty */
    /* output: the frame under way, then state, ids, messages */
    enum { OUT_NOTHING, OUT_STATE, OUT_IDS, OUT_MSG } out;
    size_t out_at;               /* bytes of it that are sent */
    bool pause;                  /* control was sent and messages come next: others' control goes first */
    kith_buf state;              /* one frame */
    kith_buf ids;                /* whole frames; OUT_IDS: from out_at on */
    kith_gossip_payload **queue; /* a ring */
    size_t queue_cap, queue_at, queue_len, queue_bytes;
};

typedef struct gossip_event {
    kith_link link;
    uint32_t topic;
    kith_peer_id source;
    kith_gossip_payload *payload;
    bool judged;
    uint8_t id_len;
    uint8_t id[KITH_GOSSIP_MID_MAX];
} gossip_event;

typedef struct px_entry {
    kith_link link;
    kith_peer_id peer, from; /* from: who told of it */
    size_t len;
    uint8_t envelope[];
} px_entry;

struct kith_gossip {
    kith_gossip_config cfg;
    kith_env env;
    kith_gossip_store store;
    kith_map topics_by, peers_by, links_by, crowds; /* links_by: also topics by number, as of peer 0 */
    kith_list topics, peers, retained, ready, events, px;
    size_t topic_count, joined, peer_count, retained_count, event_count, px_count;
    uint32_t topic_no, peer_no;
    uint64_t version; /* of our subscriptions */
    uint64_t seqno;
    gossip_event *current; /* the one whose views are out */
    px_entry *px_current;
    kith_time beat_at, decay_at;
    kith_time throttled_at; /* a message was dropped for want of room; 0: never */
    bool direct_due;
    unsigned verify_left;
    uint8_t *
        scratch; /* 2 * KITH_GOSSIP_CONTROL_MAX bytes, for a ControlMessage that is being written and the RPC around it */
    void **pick; /* peers or records to choose from */
    size_t pick_cap;
    kith_gossip_counts counts;
};

static inline kith_bytes topic_name(const topic *t)
{
    return kith_bytes_of(t->name, t->name_len);
}

static inline const kith_gossip_topic_params *params_of(const kith_gossip *g, const topic *t)
{
    return t->params ? t->params : &g->cfg.score.topic;
}

static inline bool is_topic(kith_bytes name)
{
    return name.len > 0 && name.len <= KITH_GOSSIP_TOPIC_MAX;
}

/* A key of links_by. */
static inline uint64_t link_key(uint32_t peer, uint32_t topic_no)
{
    return (uint64_t)peer << 32 | topic_no;
}

/* ---- gossip_peer.c ---- */
topic *kith_gossip_topic_(const kith_gossip *g, kith_bytes name);
/* KITH_ELIMIT, KITH_ENOMEM. */
KITH_CHECK kith_err kith_gossip_topic_make_(kith_gossip *g, kith_bytes name, topic **out);
void kith_gossip_topic_free_(kith_gossip *g, topic *t); /* it has no links */
topic *kith_gossip_topic_by_no_(const kith_gossip *g, uint32_t no);
bool kith_gossip_backing_off_(const kith_gossip *g, kith_time now, const link *l);
kith_gossip_peer *kith_gossip_peer_find_(const kith_gossip *g, const kith_peer_id *id);
void kith_gossip_forget_peer_(kith_gossip *g, kith_gossip_peer *p); /* one that is retained */
link *kith_gossip_link_(const kith_gossip *g, const kith_gossip_peer *p, const topic *t);
/* The link, made where there is none; NULL: no memory. */
link *kith_gossip_link_make_(kith_gossip *g, kith_gossip_peer *p, topic *t);
/* Frees it when nothing needs it any more, and its topic with it; false: it stays. */
bool kith_gossip_link_tidy_(kith_gossip *g, kith_time now, link *l);
void kith_gossip_topic_tidy_(kith_gossip *g, topic *t);
void kith_gossip_tell_(kith_gossip *g, link *l, tell what, bool px, kith_time backoff);
double kith_gossip_score_(const kith_gossip *g, const kith_gossip_peer *p);
/* Forgets retained peers whose time is over, and the oldest beyond the cap. */
void kith_gossip_forget_retained_(kith_gossip *g, kith_time now);

/* ---- gossip_out.c ---- */
/* It has come to have output. */
void kith_gossip_ready_(kith_gossip *g, kith_gossip_peer *p);
/* Queues a payload; false: there is no room, and the link is noted as having lost something. */
bool kith_gossip_enqueue_(kith_gossip *g, kith_gossip_peer *p, link *l, kith_gossip_payload *m);
/* Queues ids, in as many RPCs as it takes; returns how many fit. */
size_t kith_gossip_queue_ids_(kith_gossip *g, kith_gossip_peer *p, kith_gossip_kind kind, kith_bytes name,
                              const kith_bytes *ids, size_t count);
bool kith_gossip_wants_(const kith_gossip *g, const kith_gossip_peer *p, uint64_t hash);
void kith_gossip_queue_clear_(kith_gossip *g, kith_gossip_peer *p);

/* ---- gossip.c ---- */
/* Makes room for so many in g->pick; false: no memory. */
bool kith_gossip_pick_room_(kith_gossip *g, size_t n);

/* ---- gossip_mesh.c ---- */
void kith_gossip_join_mesh_(kith_gossip *g, kith_time now, topic *t);
/* A peer has come to a topic, or can be told of one: into a mesh that is short of peers it goes at once, as in rust, so that what is said
 * before the next heartbeat is passed on to it. */
void kith_gossip_welcome_(kith_gossip *g, kith_time now, link *l);
void kith_gossip_leave_mesh_(kith_gossip *g, kith_time now, topic *t);
/* The link leaves the mesh, if it is in. */
void kith_gossip_unmesh_(kith_gossip *g, link *l);
/* Peers to publish to where we are not in the topic; kept for fanout_ttl. */
void kith_gossip_fanout_(kith_gossip *g, kith_time now, topic *t);
/* What was met in one RPC's control: go's caps count RPCs. */
typedef struct control_seen {
    bool ihave, idontwant;
    unsigned dont_ids;
} control_seen;
void kith_gossip_control_(kith_gossip *g, kith_time now, kith_gossip_peer *p, const kith_gossip_item *it,
                          control_seen *seen);
/* PeerInfos for a PRUNE of this topic to a peer: no more than w has room for. */
void kith_gossip_put_px_(kith_gossip *g, const kith_gossip_peer *to, const topic *t, kith_wr *w);
void kith_gossip_heartbeat_(kith_gossip *g, kith_time now);

#endif
