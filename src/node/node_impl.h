/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The insides that conn.c, stream.c, dialer.c and node.c share; nobody else includes this. */
#ifndef KITH_NODE_NODE_IMPL_H
#define KITH_NODE_NODE_IMPL_H

#include "base/buf.h"
#include "base/list.h"
#include "base/timer.h"
#include "node/node.h"
#include "node/resume.h"
#include "proto/mss.h"
#include "proto/yamux.h"

#define PROTOCOLS_MAX 128          /* rows that a node serves */
#define SUITES_MAX 10              /* suites of all tables that a policy can allow */
#define EARLY_MAX 64               /* a listener's hello takes 20; it says no more before it is spoken to */
#define PEER_PROTOCOLS_MAX 4096    /* bytes of protocol ids remembered per connection */
#define DIAL_TARGETS_MAX 24        /* addresses tried for one dial, names resolved included */
#define DIAL_LOOKUP_DEPTH 4        /* dnsaddr inside dnsaddr */
#define DIAL_STAGGER KITH_MS(250)  /* between two public addresses of one dial, as in RFC 8305 */
#define FLUSH_TIMEOUT KITH_SEC(1)  /* how long a closing connection may take to say goodbye */
#define REDUNDANT_IDLE KITH_SEC(5) /* an idle second connection to a peer is closed after this */
#define TRIM_GRACE KITH_SEC(10)    /* a connection idle for less is not closed to make room */
#define TRIM_PAUSE \
    KITH_MS(       \
        5) /* between two looks at all connections for one to be closed: each takes half a millisecond at the cap */
#define HANDSHAKE_GRACE KITH_SEC(1) /* a handshake that has taken less is not ended to make room */
/* kith_conn_cost: */
#define COST_BYTES 128      /* for so many bytes: one unit, as for what a frame tells */
#define COST_RECORD 16      /* a record */
#define COST_STREAM 64      /* a stream opened by the peer */
#define COST_HANDSHAKE 4096 /* a message of the handshake */
#define REST_MAX \
    (512u *      \
     1024) /* decrypted bytes that wait for another turn: what a read of the host's size holds, and a record */
#define SAYS_LITTLE \
    (4u *           \
     1024) /* a connection whose last output was no more than this speaks before those with much to say */
#define REKEY_RETRY KITH_SEC(60) /* after a refresh of keys that came to nothing */
#define REKEY_FREE_BYTES \
    (16u << 20)                 /* after so much traffic a peer's question for new keys is 1 % of its cost */
#define PUSH_DELAY KITH_MS(200) /* gathers several changes of ourselves into one push */

/* Something with events to tell, in the node's one queue; bits say which. */
typedef enum note_kind { NOTE_CONN, NOTE_STREAM, NOTE_ANSWER, NOTE_LOOKUP } note_kind;
typedef struct note {
    kith_link link;
    uint8_t kind, bits;
} note;

/* Told from the lowest to the highest. */
enum {
    CONN_DIAL = 1,
    CONN_KEY = 2,
    CONN_WORK = 4,
    CONN_CONNECTED = 8,
    CONN_UNASKED = 16, /* identify could not even be asked */
    CONN_DISCONNECTED = 32,
    CONN_REFUSED = 64,
    CONN_CLOSE = 128
};
enum { STREAM_OPENED = 1, STREAM_READY = 2, STREAM_GONE = 4 };

typedef enum timer_owner { TIMER_CONN, TIMER_STREAM, TIMER_JOB, TIMER_PUSH, TIMER_RESUME } timer_owner;
typedef struct node_timer {
    kith_timer t;
    uint8_t owner;
} node_timer;

typedef enum conn_state {
    CONN_DIALING,
    CONN_SECURING,
    CONN_NOISE,
    CONN_MUXING,
    CONN_OPEN,
    CONN_CLOSING,
    CONN_DEAD
} conn_state;

typedef struct dial_job dial_job;

/* Secure channels in order of preference. */
typedef struct offer {
    const kith_noise_suite *suites[SUITES_MAX];
    kith_bytes ids[SUITES_MAX];
    size_t count, own; /* own: kith's, the first ones */
} offer;

/* A `why` that was made for one connection; shared with its dial and with those who wait for that. */
typedef struct reason {
    uint32_t refs;
    char text[KITH_REASON_MAX];
} reason;

struct kith_conn {
    note note;
    kith_link all;      /* node->conns */
    kith_link writer;   /* node->writers, when it may have output */
    kith_link stranger; /* node->strangers: inbound, and not authenticated */
    node_timer timer;
    kith_node *node;
    conn_state state;
    bool inbound, blocked, secured, dialed, missed, broke, throttled, counted, identified, was_open, push_due,
        pushing, said_much;
    int protect;
    void *link;
    dial_job *job;    /* outbound, until OPEN or dead */
    kith_link in_job; /* job->conns, as long */
    kith_peer_id expected, peer;
    kith_maddr remote, local;
    const kith_noise_suite *suite;
    kith_aead_alg aead; /* of the records */
    kith_noise_pq pq;
    size_t shaken_in, shaken_out; /* the handshake's bytes */
    kith_time shaken_from, shaking;
    bool signing;                /* inbound: our signature is accounted for */
    kith_pq_policy policy;       /* outbound: the peer's own */
    offer *offer;                /* outbound, until the handshake is over: what we propose */
    kith_resumption *resumption; /* until then: whose secret the handshake mixes in, or may */
    bool resumed;
    kith_time pq_checked_at; /* the peer's post-quantum signature */
    kith_pnet *pnet;         /* in a private network: from SECURING to the end */
    kith_mss *mss;
    kith_noise *noise;
    kith_noise *working; /* its work is asked for and not told: noise, or what was noise before the end */
    kith_link
        keying; /* node->keying: a key is asked for, under this id; inbound: of this name, which lies in noise */
    uint64_t key_id;
    kith_bytes key_name;
    uint8_t *key; /* outbound, until the handshake is over: the key, then its name */
    bool key_simulated;
    uint8_t qkd; /* kith_qkd_state */
    const char *qkd_why;
    uint8_t *early; /* what the peer said while the key was asked for: EARLY_MAX */
    size_t early_len;
    kith_yamux *yamux;
    kith_conn *peer_next; /* the next OPEN one to the same peer, newer */
    kith_list streams;
    size_t stream_count; /* those of applications: not identify's */
    size_t stream_total;
    bool early_muxer;
    bool closed;        /* CLOSE is told, and only its work keeps it */
    kith_time deadline; /* of the stage before OPEN, or of CLOSING */
    kith_time asked_at; /* when the handshake message left that the peer's last one answers */
    kith_time rtt;      /* what that took */
    kith_time opened_at, active_at;
    uint64_t bytes_in, bytes_out;
    bool rekey_served, rekeying; /* the peer answers; we are asking */
    uint32_t rekeys;
    kith_time keyed_at; /* when the present keys came into use; and bytes_in + bytes_out then */
    uint64_t keyed_bytes;
    kith_time rekey_retry_at;
    kith_rate rekey_rate;  /* of the peer's asking */
    kith_stream *rekey_by; /* whose keys are prepared */
    uint64_t cost;         /* without that of the bytes */
    uint64_t enough;       /* the cost at which the muxer's input waits for another turn */
    kith_buf rest;         /* that input */
    char agent[KITH_IDENTIFY_AGENT_MAX + 1];
    kith_rate pushes;
    uint8_t *protocols; /* length-prefixed ids, from identify */
    size_t protocols_len;
    kith_err err;
    kith_err unasked; /* why CONN_UNASKED */
    const char *why;  /* OPEN: what the end is going to be told with; or NULL */
    reason *reason;   /* holds why; or NULL: that is static */
};

typedef enum stream_role {
    ROLE_APP,
    ROLE_IDENTIFY_ASK,
    ROLE_IDENTIFY_ANSWER,
    ROLE_PUSH_SAY,
    ROLE_PUSH_HEAR,
    ROLE_PING,
    ROLE_REKEY_ASK,
    ROLE_REKEY_ANSWER
} stream_role;

struct kith_stream {
    note note;
    kith_link in_conn;
    node_timer timer;
    kith_conn *conn;
    kith_yamux_stream *ys; /* NULL once closed */
    const kith_stream_ops *ops;
    void *machine; /* NULL: inbound and still negotiating */
    void *user;
    kith_mss *mss;   /* while negotiating */
    kith_bytes *ids; /* outbound, while negotiating */
    size_t id_count;
    uint8_t *protocol; /* agreed id */
    size_t protocol_len;
    size_t unread; /* bytes given to the machine and not yet credited to the peer */
    kith_time negotiate_by;
    kith_err err;
    uint8_t role; /* stream_role */
    bool inbound, opened, fin_sent, peer_eof, over;
    struct protocol_row *row;
};

typedef struct protocol_row {
    kith_protocol p; /* p.id.p owned */
    uint32_t refs;   /* streams that came by it, so that it can be dropped while they live */
    bool served;
} protocol_row;

/* One who waits for a dial; becomes the answer that is told. */
typedef struct dial_waiter {
    note note;
    kith_link link; /* job->waiters */
    uint64_t id;
    kith_conn *conn;
    kith_err err;
    const char *why;
    reason *reason; /* as in kith_conn */
} dial_waiter;

typedef enum target_state { TARGET_WAITING, TARGET_ACTIVE, TARGET_DONE } target_state;
typedef struct dial_target {
    kith_maddr addr;
    kith_time start_at;
    uint8_t rank, depth, state;
} dial_target;

struct dial_job {
    kith_link link; /* node->jobs */
    node_timer timer;
    kith_peer_id peer; /* len 0: whoever answers */
    kith_list waiters;
    kith_list conns; /* those that race */
    dial_target targets[DIAL_TARGETS_MAX];
    size_t target_count;
    size_t active; /* sockets and lookups under way */
    kith_time next_start;
    kith_err err; /* the most telling failure so far */
    const char *why;
    reason *reason; /* as in kith_conn */
};

/* A name to be looked up by the host. */
typedef struct lookup {
    note note;
    kith_link link; /* node->lookups */
    uint64_t id;
    dial_job *job; /* NULL: nobody wants the answer any more */
    kith_maddr addr;
    uint8_t depth;
} lookup;

struct kith_node {
    kith_node_config cfg;
    kith_env outer; /* the caller's leaves */
    kith_env env;   /* the same, with memory counted against limits.memory */
    uint64_t memory;
    char agent[KITH_IDENTIFY_AGENT_MAX + 1];
    kith_peer_id id;
    uint8_t pubkey[KITH_PUBKEY_ED25519_LEN];
    uint8_t network_key[KITH_PNET_KEY_LEN]; /* cfg.network_key points here, or is NULL */
    kith_noise_identity *noise_id;
    kith_limiter *limiter;
    offer all;           /* that our policy allows, and takes: */
    size_t resume_count; /* the first ones want a secret of an earlier session, */
    size_t qkd_count;    /* the next ones a key */
    kith_resume *resume; /* NULL: off */
    node_timer resume_timer;
    protocol_row *rows[PROTOCOLS_MAX]; /* NULL: a hole */
    size_t row_count;
    kith_maddr *addrs;
    size_t addr_count;
    kith_list conns, writers, notes, jobs, lookups, strangers, keying;
    kith_time trim_after; /* TRIM_PAUSE */
    size_t conn_count;
    kith_map by_peer; /* seeded hash of the peer id -> its first OPEN connection */
    uint64_t seed[2];
    kith_timers timers;
    size_t timer_count; /* objects that own one */
    node_timer push_timer;
    uint64_t next_id;
    uint64_t clock_offset; /* unix seconds at time 0 */
    uint64_t record_seq;
    uint8_t *record; /* sealed peer record, cached */
    size_t record_len;
    bool stopping;
    /* told in the last event, released at the next call of kith_node_next */
    kith_conn *dead_conn;
    kith_stream *dead_stream;
    dial_waiter *dead_waiter;
    kith_err info_err;
};

/* ---- node.c ---- */
void kith_note_(kith_node *n, note *t, unsigned bits);
kith_err kith_timer_claim_(kith_node *n); /* room in the heap for one more owner */
void kith_timer_unclaim_(kith_node *n, node_timer *t);
void kith_offer_(offer *o, const kith_noise_suite *s); /* appends */
void kith_resume_timer_(kith_node *n);                 /* after resume has changed */
void kith_writer_(kith_conn *c);                       /* it may have output */
reason *kith_reason_share_(reason *r);                 /* NULL is fine in both */
void kith_reason_drop_(kith_node *n, reason *r);

/* ---- conn.c ---- */
kith_err kith_conn_new_(kith_node *n, kith_time now, bool inbound, kith_conn **out);
void kith_conn_free_(kith_conn *c);
void kith_conn_start_(kith_conn *c, kith_time now);
void kith_conn_recv_(kith_conn *c, kith_time now, kith_span in);
/* A sentence for an end that came from elsewhere, while a peer has not shown that it has the network's key; else `otherwise`. */
const char *kith_conn_unmet_(const kith_conn *c, const char *otherwise);
void kith_conn_go_on_(kith_conn *c, kith_time now, uint64_t most);
void kith_conn_worked_(kith_conn *c, kith_time now);
void kith_conn_key_(kith_conn *c, kith_time now, const kith_node_key_answer *a);
size_t kith_conn_send_(kith_conn *c, kith_time now, kith_span out);
/* The connection is over. flush: what is queued (a GoAway) may still leave. */
void kith_conn_end_(kith_conn *c, kith_time now, kith_err err, const char *why, bool flush);
void kith_conn_tick_(kith_conn *c, kith_time now);
/* After anything that may have moved its streams or timers: takes yamux's events, sets the timer, asks for a turn to write. */
void kith_conn_pump_(kith_conn *c, kith_time now);
bool kith_conn_idle_(const kith_conn *c);
/* The oldest OPEN connection to a peer; peer_next leads to the others. */
kith_conn *kith_conn_of_peer_(const kith_node *n, const kith_peer_id *peer);

/* ---- stream.c ---- */
kith_err kith_stream_open_(kith_conn *c, kith_time now, const kith_bytes *ids, size_t count,
                           const kith_stream_ops *ops, void *machine, void *user, stream_role role,
                           kith_stream **out);
void kith_stream_accept_(kith_conn *c, kith_time now, kith_yamux_stream *ys); /* or resets it */
void kith_stream_data_(kith_stream *s, kith_time now, kith_bytes in);
void kith_stream_eof_(kith_stream *s, kith_time now);
size_t kith_stream_fill_(kith_stream *s, kith_time now, kith_span out, bool *fin);
/* Over, for err; tells machine and owner. */
void kith_stream_end_(kith_stream *s, kith_time now, kith_err err);
void kith_stream_tick_(kith_stream *s, kith_time now);
/* After a verb of its machine: window, timers, events. settle also asks for a turn to send. */
void kith_stream_after_(kith_stream *s, kith_time now);
void kith_stream_settle_(kith_stream *s, kith_time now);
void kith_stream_free_(kith_stream *s);

/* ---- dialer.c ---- */
void kith_dialer_conn_open_(kith_node *n, kith_time now,
                            kith_conn *c); /* some connection to its peer is OPEN */
void kith_dialer_conn_failed_(kith_node *n, kith_time now,
                              kith_conn *c); /* one of a job's connections is over before OPEN */
void kith_dialer_tick_(kith_node *n, kith_time now, dial_job *j);
void kith_dialer_forget_(kith_node *n, const kith_conn *c); /* no answer may point to it any more */
void kith_dialer_stop_(kith_node *n, kith_time now);        /* ends every dial */
void kith_dialer_free_all_(kith_node *n);

/* ---- rekey.c ---- */
/* Counts a change of keys that is complete, and asks for one that is due. */
void kith_rekey_pump_(kith_conn *c, kith_time now);
kith_time kith_rekey_deadline_(const kith_conn *c);
/* The machine that answers; NULL: refused, or (often) refused since there were so many of late, or no memory. */
void *kith_rekey_answer_(kith_conn *c, kith_time now, bool *often);
/* Its machine was given bytes: hands keys that are agreed on to the channel. An error ends the stream. */
kith_err kith_rekey_heard_(kith_stream *s);
void kith_rekey_over_(kith_stream *s, kith_time now);

/* ---- peer.c: what identify says and hears ---- */
void kith_identify_ask_(kith_conn *c, kith_time now);
void *kith_identify_speak_(kith_conn *c, kith_time now); /* a speaker's machine; NULL: no memory */
void kith_identify_push_(kith_conn *c, kith_time now);
/* Takes over what a finished listener heard. False: it failed; *err says why. */
bool kith_identify_heard_(kith_stream *s, const kith_identify_info **info, kith_err *err);

#endif
