/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A gossipsub router as a machine: topics, peers, meshes, messages; v1.1 with scores, v1.2 IDONTWANT, v1.3 extensions, floodsub for who has
 * nothing else. It knows no connections: mesh/gossip_part.h joins it to a node, tests and fuzzers join it to themselves.
 *
 *   application    subscribe, publish, next (a message), judge           always drains next
 *   driver         up, take (an RPC that came), send, down; next_ready: whose stream has something to send; px_next: whom to dial;
 *                  deadline and tick: the heartbeat
 *
 * A message's way:
 *
 *   take --> known?  duplicate: counted for its peer, nothing allocated
 *        --> signed by its author, not a replay?  else dropped; invalid ones count against the peer (P4)
 *        --> MESSAGE event --(topics with `judged`: the application's verdict)--> forwarded, in the bytes that came
 *
 * Given the same calls, randomness and time it does the same. Everything that a peer can create has a cap (kith_gossip_config);
 * docs/protocols/gossip.md has them all. Memory of a peer: 1 KiB, 120 bytes a topic, its queue's 8 bytes a message, control_max, and up to
 * 16 KiB of ids that it does not want. */
#ifndef KITH_MESH_GOSSIP_H
#define KITH_MESH_GOSSIP_H

#include "mesh/gossip_score.h"
#include "proto/gossip_rpc.h"
#include "wire/peer_id.h"

/* What rust takes by default: where a peer turns out to take no more, that is its limit. */
#define KITH_GOSSIP_SMALL_RPC (64 * 1024)

typedef struct kith_gossip kith_gossip;
typedef struct kith_gossip_peer kith_gossip_peer; /* valid from up to down */

typedef enum kith_gossip_version {
    KITH_GOSSIP_FLOOD, /* floodsub: gets every message of its topics, no control */
    KITH_GOSSIP_V10,   /* no peer exchange or backoff in PRUNE */
    KITH_GOSSIP_V11,
    KITH_GOSSIP_V12, /* IDONTWANT */
    KITH_GOSSIP_V13, /* extensions */
} kith_gossip_version;

/* gossipsub v1.0, v1.1: names and defaults of the specification and of go. */
typedef struct kith_gossip_params {
    unsigned d, d_lo, d_hi, d_score, d_out, d_lazy;
    unsigned gossip_percent;          /* of the peers outside the mesh get IHAVE, d_lazy at least */
    unsigned history, history_gossip; /* heartbeats: that a message can be asked for, that it is told of */
    unsigned retransmissions;         /* answers to one peer's IWANT of one message */
    kith_time heartbeat;
    kith_time fanout_ttl;
    kith_time prune_backoff, unsubscribe_backoff; /* whole seconds */
    kith_time graft_flood;                        /* a GRAFT so soon after a PRUNE counts twice */
    kith_time seen_ttl;
    kith_time iwant_followup; /* a message that was offered must come within */
    unsigned opportunistic_ticks, opportunistic_peers;
    unsigned direct_ticks;  /* heartbeats between two dials of direct peers */
    unsigned px_peers;      /* in a PRUNE */
    size_t idontwant_min;   /* bytes of a message's data from which on IDONTWANT is told; 0: never */
    unsigned idontwant_ttl; /* heartbeats */
} kith_gossip_params;

typedef struct kith_gossip_config {
    kith_env env;
    const kith_signer
        *signer; /* StrictSign, borrowed; NULL: StrictNoSign, and ids are SHA-256 of topic and data */
    kith_peer_id self;
    uint64_t
        seqno; /* the first message has the next one: wall clock in nanoseconds, so that it grows over restarts */
    kith_gossip_params params;
    kith_gossip_score_params score;
    bool flood_publish;  /* own messages go to everybody in the topic */
    bool px;             /* PRUNEs name other peers */
    bool test_extension; /* v1.3's test extension is told and answered */
    /* caps */
    size_t peers_max;    /* at once */
    size_t retained_max; /* scores of those who are gone */
    size_t topics_max;   /* of all peers and ours together */
    size_t topics_per_peer;
    size_t message_max; /* bytes of an RPC with one message, either way; at most KITH_GOSSIP_RPC_MAX */
    size_t queue_max,
        queue_bytes_max; /* messages that wait for one peer: their number, their bytes (shared with others) */
    size_t control_max;  /* bytes of ids that wait for one peer */
    size_t records_max;  /* message ids */
    size_t bytes_max;    /* of messages, all together */
    size_t
        events_max; /* messages that the application has not taken; then nothing more is taken from peers */
    size_t pending_max; /* messages without verdict; more are dropped, as if they had not come */
    unsigned ihave_max, ihave_ids_max; /* per peer and heartbeat: RPCs with IHAVE, ids that we ask for */
    unsigned ihave_told_max;           /* ids that we tell one peer of, per heartbeat and topic */
    unsigned iwant_max;                /* ids that a peer may ask for, per heartbeat */
    unsigned idontwant_max, idontwant_ids_max; /* per peer: RPCs with IDONTWANT per heartbeat, ids in one */
    unsigned unwanted_max;                     /* ids remembered of one peer */
    unsigned verify_batch;                     /* signatures checked between two calls of kith_gossip_turn */
} kith_gossip_config;

void kith_gossip_config_default(kith_gossip_config *cfg);

/* NULL: no memory, or *why: the configuration is wrong. */
kith_gossip *kith_gossip_new(const kith_gossip_config *cfg, kith_time now, const char **why);
void kith_gossip_free(kith_gossip *g);

/* ---- the application ---- */

/* judged: messages wait for kith_gossip_judged before they go on. KITH_EEXISTS. KITH_EFORMAT: empty, or longer than KITH_GOSSIP_TOPIC_MAX.
 * KITH_ELIMIT, KITH_ENOMEM. */
KITH_CHECK kith_err kith_gossip_subscribe(kith_gossip *g, kith_time now, kith_bytes name, bool judged);
/* Takes leave of the mesh. Its messages that have no verdict yet can still get one. KITH_ENOTFOUND. */
KITH_CHECK kith_err kith_gossip_unsubscribe(kith_gossip *g, kith_time now, kith_bytes name);
/* Signs and sends, also to topics that we are not in; it does not come back as an event. id: its id, KITH_GOSSIP_MID_MAX bytes of room; may
 * be NULL. KITH_EFORMAT: the topic. KITH_ELIMIT: beyond message_max, or bytes_max of others wait. KITH_EEXISTS: StrictNoSign, and the same
 * data was published before. KITH_ENOMEM, KITH_ECRYPTO. */
KITH_CHECK kith_err kith_gossip_publish(kith_gossip *g, kith_time now, kith_bytes name, kith_bytes data,
                                        uint8_t *id, size_t *id_len);

/* A message. Views are valid until the next call of kith_gossip_next. */
typedef struct kith_gossip_event {
    kith_bytes topic, data, id;
    kith_peer_id from;   /* its author, whose signature it has; len 0: StrictNoSign */
    kith_peer_id source; /* the peer that it came from */
    uint64_t seqno;
    bool judged; /* a verdict is due */
} kith_gossip_event;
bool kith_gossip_next(kith_gossip *g, kith_gossip_event *ev);

typedef enum kith_gossip_verdict {
    KITH_GOSSIP_ACCEPT, /* forward it */
    KITH_GOSSIP_REJECT, /* no, and all who delivered it pay (P4) */
    KITH_GOSSIP_IGNORE, /* no, and nobody is to blame */
} kith_gossip_verdict;
/* At any time later. KITH_ENOTFOUND: no message of this id waits. */
KITH_CHECK kith_err kith_gossip_judged(kith_gossip *g, kith_time now, kith_bytes id, kith_gossip_verdict v);

/* P5 of a peer, 0 at first; forgotten with its score. KITH_ENOTFOUND: unknown. */
KITH_CHECK kith_err kith_gossip_set_app_score(kith_gossip *g, const kith_peer_id *peer, double score);
/* Its own parameters for a topic that we are in. KITH_ENOTFOUND, KITH_EFORMAT. */
KITH_CHECK kith_err kith_gossip_set_topic_params(kith_gossip *g, kith_bytes name,
                                                 const kith_gossip_topic_params *p);
/* A peer outside of meshes and scores, to which everything is sent: both sides should agree on it. KITH_ENOMEM. */
KITH_CHECK kith_err kith_gossip_set_direct(kith_gossip *g, const kith_peer_id *peer, bool on);
/* Bytes of RPCs that a peer takes, where that is known to be less than message_max: no longer message is sent to it. Not while our stream
 * to it is open. */
void kith_gossip_set_limit(kith_gossip *g, kith_gossip_peer *p, size_t bytes);

/* ---- the driver ---- */

/* What is known of a peer whose stream is open. */
typedef struct kith_gossip_hello {
    kith_peer_id id;
    bool outbound;          /* we dialled it */
    uint8_t ip[16], ip_len; /* where it is: 4, 16, or 0 when that says nothing (loopback, relayed) */
} kith_gossip_hello;

/* A peer is there. Once per peer until down. KITH_ELIMIT, KITH_ENOMEM. */
KITH_CHECK kith_err kith_gossip_up(kith_gossip *g, kith_time now, const kith_gossip_hello *hello,
                                   kith_gossip_peer **out);
/* Our stream to it is open, or gone: then it is in no mesh, and the message that was being sent begins again on the next. */
void kith_gossip_writable(kith_gossip *g, kith_time now, kith_gossip_peer *p, kith_gossip_version v);
void kith_gossip_unwritable(kith_gossip *g, kith_gossip_peer *p);
void kith_gossip_down(kith_gossip *g, kith_time now, kith_gossip_peer *p);
/* Its signed record (verified), for peer exchange; copied, if it is not too long. */
void kith_gossip_set_record(kith_gossip *g, kith_gossip_peer *p, kith_bytes envelope);

/* An RPC that is being taken; zeroed before its first byte. */
typedef struct kith_gossip_intake {
    bool begun;
    bool spoken; /* an RPC of this stream was taken before: keeps its value from one to the next */
    size_t left; /* bytes of it whose messages were not looked at */
} kith_gossip_intake;

/* Takes an RPC, or goes on with it. true: it is done with. false: the application must drain first, or the turn is over; call again with the
 * same bytes. *err: it is malformed, and the stream should go. */
bool kith_gossip_take(kith_gossip *g, kith_time now, kith_gossip_peer *p, kith_gossip_intake *in,
                      kith_bytes rpc, kith_err *err);
/* A new turn: verify_batch signatures may be checked. */
void kith_gossip_turn(kith_gossip *g);
/* Room for another event: only then does take make progress. */
bool kith_gossip_room(const kith_gossip *g);

/* Bytes for the stream to a peer, control before messages. Between the two 0, until it is told as ready again: after the others' control. */
size_t kith_gossip_send(kith_gossip *g, kith_time now, kith_gossip_peer *p, kith_span out);
bool kith_gossip_has_output(const kith_gossip *g, const kith_gossip_peer *p);
/* When the peer was last handed some of an RPC longer than KITH_GOSSIP_SMALL_RPC; 0: never. */
kith_time kith_gossip_long_at(const kith_gossip_peer *p);
/* A writable peer that has come to have output since it was last told, or NULL. */
kith_gossip_peer *kith_gossip_next_ready(kith_gossip *g);

/* A peer that somebody trusted, *from, told us of: its verified record, valid until the next call. */
bool kith_gossip_px_next(kith_gossip *g, kith_peer_id *peer, kith_peer_id *from, kith_bytes *envelope);
/* A heartbeat on which direct peers are to be dialled has come; tells it once. */
bool kith_gossip_direct_due(kith_gossip *g);

void kith_gossip_peer_set_user(kith_gossip_peer *p, void *user);
void *kith_gossip_peer_user(const kith_gossip_peer *p);
const kith_peer_id *kith_gossip_peer_id(const kith_gossip_peer *p);
/* It has told its extensions (v1.3); *test: its test extension has answered ours. */
bool kith_gossip_peer_extended(const kith_gossip_peer *p, bool *test);

kith_time kith_gossip_deadline(const kith_gossip *g);
void kith_gossip_tick(kith_gossip *g, kith_time now);

/* ---- looking ---- */

typedef struct kith_gossip_counts {
    size_t peers, retained, topics, joined, seen, pending, events;
    size_t bytes; /* of messages held */
    uint64_t published, delivered, forwarded, duplicates;
    uint64_t invalid, replayed, throttled, unsubscribed; /* messages that came and did not count */
    uint64_t dropped;                                    /* for peers whose queue was full */
    uint64_t unwanted;                                   /* not sent, since the peer said it has it */
    uint64_t grafts, prunes;                             /* told */
    uint64_t ihave, iwant, idontwant;                    /* ids told */
    uint64_t ids_dropped;                                /* control for peers whose queue was full */
    uint64_t refused;    /* what was beyond a cap: IHAVE, IWANT, IDONTWANT, GRAFT, subscriptions */
    uint64_t broken;     /* messages offered that did not come */
    uint64_t graylisted; /* RPCs not looked at */
    uint64_t tested;     /* peers whose test extension answered ours */
} kith_gossip_counts;
kith_gossip_counts kith_gossip_count(const kith_gossip *g);

/* What a peer did itself, 1 and more when that is enough to have no more to do with it: its invalid messages (P4), as parts of what puts it
 * on the graylist, and its misbehaviour (P7), as parts of what keeps our messages from it, since whoever floods with IHAVE is not asked any more
 * soon after. Its neighbours on one address (P6) do not count, as they do in the score. */
double kith_gossip_misconduct_of(const kith_gossip *g, const kith_peer_id *peer);
/* 0 for a stranger. */
double kith_gossip_score_of(const kith_gossip *g, const kith_peer_id *peer);
/* Peers in a topic, and in our mesh of it: at most max ids, in no useful order; returns how many there are. */
size_t kith_gossip_peers_of(const kith_gossip *g, kith_bytes name, bool mesh, kith_peer_id *out, size_t max);

/* Asserts the invariants; for tests and fuzzers. */
void kith_gossip_check(const kith_gossip *g, kith_time now);

#endif
