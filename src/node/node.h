/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A libp2p node as a machine: connections, dialling, identify, streams and their limits, without any I/O.
 *
 * A host (libuv, the simulator) owns the sockets. It tells the node what arrived and asks what to do:
 *
 *     kith_node_accept / connected / recv / eof / link_failed      the world happened
 *     kith_node_dial / open / wake / close                         the application wants something
 *     then always:  while (kith_node_next(n, now, &ev)) ...        act on DIAL, RESOLVE, WORK, CLOSE; tell the application the rest
 *                   while ((c = kith_node_writer(n))) write(kith_node_send(n, c, now, buf))
 *                   and again from the top while there was something to write: sending the last byte of a stream ends it
 *                   set one timer to kith_node_deadline(n); when it fires, kith_node_tick(n, now)
 *
 * A connection's life:
 *
 *     DIALING -> SECURING (mss) -> NOISE -> MUXING (mss, unless early) -> OPEN -> CLOSING -> gone
 *
 * In a private network all of it, from the first byte, is encrypted under the network's key too (proto/pnet.h).
 *
 * Memory: an idle OPEN connection holds no buffers; a stranger costs 2 KiB, and up to 13 KiB while a message of
 * its handshake is not whole or is worked on, besides what it sends behind that (as much as a host reads from it before WORK) and what
 * OpenSSL holds (proto/noise.h). */
#ifndef KITH_NODE_NODE_H
#define KITH_NODE_NODE_H

#include "node/limits.h"
#include "proto/identify.h"
#include "proto/noise.h"
#include "proto/pnet.h"
#include "proto/stream.h"
#include "wire/multiaddr.h"
#include "wire/pq_id.h"

typedef struct kith_node kith_node;
typedef struct kith_conn
    kith_conn; /* valid until the call after its CLOSE event, and until its work is told */
typedef struct kith_stream kith_stream; /* valid until the call after its STREAM_GONE event */

/* Which secure channels we offer and take. require: only post-quantum ones; off: only /noise. */
typedef enum kith_pq_policy { KITH_PQ_PREFER, KITH_PQ_REQUIRE, KITH_PQ_OFF } kith_pq_policy;

/* Whether handshakes mix in a key of quantum key distribution, which both ends' hosts get from elsewhere (kith_node_key). required:
 * no connection without; preferred: tried with peers that have it, and said when it fails. Needs pq other than off and a pq_signer:
 * required without them ends every connection with KITH_EPOLICY before anything is said or a key asked for. */
typedef enum kith_qkd_policy { KITH_QKD_OFF, KITH_QKD_PREFERRED, KITH_QKD_REQUIRED } kith_qkd_policy;

/* What came of it on one connection. simulated: as on, with a key that only plays one. */
typedef enum kith_qkd_state {
    KITH_QKD_STATE_OFF,
    KITH_QKD_STATE_ON,
    KITH_QKD_STATE_SIMULATED,
    KITH_QKD_STATE_FAILED,
} kith_qkd_state;

/* What a finished handshake has proven. Views live for the call. */
typedef struct kith_contact {
    kith_peer_id peer;
    kith_pq_id pq;    /* of its post-quantum key; len 0: it proved none */
    kith_sig_alg sig; /* that key's algorithm */
    const kith_noise_suite *suite;
    bool inbound;
    const kith_bytes
        *successors; /* statements that came with it, the oldest first; nobody has looked at them yet */
    size_t successor_count;
} kith_contact;

#define KITH_REASON_MAX 512 /* bytes of a refusal's reason, with NUL */

typedef struct kith_node_config {
    kith_env env;
    const kith_signer *signer; /* borrowed for the node's life */
    /* Signs the handshakes of kith's own suites, on whatever thread these are worked on; borrowed for the node's life. NULL: such suites are
     * neither proposed nor taken. */
    const kith_pq_signer *pq_signer;
    /* Statements that lead to its key (wire/successor.h), the oldest first, for contacts who know one that it had; copied. */
    const kith_bytes *pq_successors;
    size_t pq_successor_count;
    const char *agent; /* copied */
    /* The key of the private network that this node is in, KITH_PNET_KEY_LEN bytes, copied: with others it does not talk at all
     * (proto/pnet.h). NULL: in none. */
    const uint8_t *network_key;
    kith_pq_policy pq;
    uint8_t level; /* the least ML-KEM category that we take of kith nodes: 1, 3 (default) or 5 */
    kith_qkd_policy qkd;
    bool no_early_muxer; /* always negotiate the muxer by multistream-select */
    /* With kith nodes that say the same: records under AES-256-GCM. For processors that have instructions for it (kith_aead_is_fast). */
    bool aes;
    kith_limits limits;
    kith_time
        handshake_timeout; /* accept to OPEN; anew with each message of Noise and the work on it, which SLH-DSA makes long; 10 s */
    kith_time dial_timeout;      /* one address, to connected; default 5 s */
    kith_time negotiate_timeout; /* a stream's protocol negotiation; default 10 s */
    kith_time
        idle_timeout;     /* a connection without streams, not protected; KITH_NEVER: stays; default 5 min */
    kith_time ping_every; /* yamux keep-alive; default 30 s */
    /* New keys for a connection that we dialled, to a peer that serves them: after so long, default 1 h; or after so many bytes on the
     * wire, both directions together, default 64 GiB. KITH_NEVER and UINT64_MAX: never. */
    kith_time rekey_after_time;
    uint64_t rekey_after_bytes;
    /* How long a post-quantum signature of a peer is enough for later handshakes with it, which are then made without (node/resume.h);
     * default 24 h, 0: never. */
    kith_time resume_for;
    /* Asked once for every connection, after its handshake and before it is OPEN or carries anything of an application. Anything but KITH_OK
     * ends the connection, and the sentence in why reaches our DIALED or REFUSED event; the peer learns by a standard code that it is not
     * wanted, if it dialled and the muxer was agreed on in the handshake. Called from inside other calls: it must
     * neither call the node nor wait. NULL: everybody is welcome. */
    kith_err (*trust)(void *ctx, const kith_contact *c, char why[KITH_REASON_MAX]);
    /* Asked before a named peer gets proposals: its own policy. One of require or off leaves away what trust would refuse in the end; prefer
     * does not add what `pq` leaves away. NULL: no peer has one. */
    kith_pq_policy (*policy)(void *ctx, const kith_peer_id *peer);
    void *trust_ctx; /* of both */
} kith_node_config;

void kith_node_config_default(kith_node_config *cfg);

kith_node *kith_node_new(const kith_node_config *cfg, kith_time now); /* NULL: no memory */
/* No work may be under way: all that were asked for have been told. */
void kith_node_free(kith_node *n);

const kith_peer_id *kith_node_id(const kith_node *n);
kith_usage kith_node_usage(const kith_node *n);
/* The node's leaves, whose memory counts against limits.memory: for machines of streams, which do not outlive the node. */
const kith_env *kith_node_env(const kith_node *n);

/* ---- protocols that we serve ---- */

typedef struct kith_protocol {
    kith_bytes id; /* borrowed as long as it is served */
    const kith_stream_ops *ops;
    /* A machine for a new inbound stream, owned by the stream from then on (ops->free). NULL: refused, the stream is reset. It is
     * called inside kith_node_recv and must not call the node. */
    void *(*accept)(void *ctx, const kith_stream_info *info);
    void *ctx;
    void *user;                /* becomes kith_stream_user of its streams */
    uint32_t streams_per_conn; /* 0: only the node's cap */
} kith_protocol;

/* Serves a protocol (row is copied) and pushes the change to connected peers. KITH_EEXISTS, KITH_ENOMEM. */
KITH_CHECK kith_err kith_node_serve(kith_node *n, kith_time now, const kith_protocol *row);
void kith_node_unserve(kith_node *n, kith_time now, kith_bytes id);
/* The addresses that identify tells others. Copied; without /p2p. Pushes the change. */
KITH_CHECK kith_err kith_node_set_addrs(kith_node *n, kith_time now, const kith_maddr *addrs, size_t count);
/* Those that were set; valid until they are set again. */
const kith_maddr *kith_node_addrs(const kith_node *n, size_t *count);
/* Wall-clock seconds since 1970 at `now`, for the sequence number of signed peer records. */
void kith_node_set_clock(kith_node *n, kith_time now, uint64_t unix_seconds);
/* Whether it is in a private network. */
bool kith_node_is_private(const kith_node *n);

/* ---- what the host tells ---- */

/* A socket was accepted. KITH_ELIMIT (close it; *why says which cap), KITH_ENOMEM. */
KITH_CHECK kith_err kith_node_accept(kith_node *n, kith_time now, const kith_maddr *remote,
                                     const kith_maddr *local, kith_conn **out, const char **why);
/* The socket of a DIAL event is connected. */
void kith_node_connected(kith_node *n, kith_time now, kith_conn *c, const kith_maddr *remote,
                         const kith_maddr *local);
/* The socket could not connect, or broke. why is static or NULL. */
void kith_node_link_failed(kith_node *n, kith_time now, kith_conn *c, kith_err err, const char *why);
/* What a connection's input has cost so far, in units of about 50 ns of one core. A host reads from
 * a peer until its share of a loop turn is used up. */
uint64_t kith_conn_cost(const kith_conn *c);
/* What its records are under, once it is open; ChaCha20-Poly1305 until then. */
kith_aead_alg kith_conn_aead(const kith_conn *c);
/* Inbound, and it has not proved yet who it is. */
bool kith_conn_stranger(const kith_conn *c);
/* Bytes from the socket; borrowed (and decrypted in place) for the call. While a message of its handshake is worked on (WORK, until
 * kith_node_worked) the connection only keeps what comes, and no more than KITH_NOISE_AHEAD_MAX: a host does not read meanwhile. */
void kith_node_recv(kith_node *n, kith_time now, kith_conn *c, kith_span in);
/* The same, for hosts with other peers to serve: once the input has cost `most` (kith_conn_cost), in the middle of a record full of tiny
 * frames, what is decrypted and left waits: laden. Memory: REST_MAX at most while it does; without any, nothing is left. */
void kith_node_recv_some(kith_node *n, kith_time now, kith_conn *c, kith_span in, uint64_t most);
bool kith_conn_laden(const kith_conn *c);
/* More of it. Until there is none a host should not read from the socket, nor tell its end. */
void kith_node_go_on(kith_node *n, kith_time now, kith_conn *c, uint64_t most);
/* The peer closed its writing side. */
void kith_node_eof(kith_node *n, kith_time now, kith_conn *c);
/* A WORK event's computation: heavy (0.3 ms, and up to tens of them with post-quantum signatures), and on any thread, while
 * everything else here is called as ever. */
void kith_node_work(kith_conn *c);
/* It has computed. Exactly once for every WORK event; after its CLOSE event also for one that has not, if it never will. */
void kith_node_worked(kith_node *n, kith_time now, kith_conn *c);
/* The answer to a RESOLVE event: what the name stands for. n 0: not found (err says why). */
void kith_node_resolved(kith_node *n, kith_time now, uint64_t resolve_id, const kith_maddr *addrs,
                        size_t count, kith_err err);

/* The answer to a KEY event. All is copied but why, which must live as long as the node. */
typedef struct kith_node_key_answer {
    const uint8_t *key;  /* KITH_NOISE_PSK_LEN bytes, used once; NULL: none, and why says why */
    const uint8_t *name; /* outbound: KITH_NOISE_KEY_NAME_LEN bytes, by which the peer's host finds it */
    kith_peer_id peer;   /* inbound: with whom it is shared; nobody else may use it */
    bool simulated;
    bool unknown; /* no key, because there is nothing to get it from for this peer: off, and not failed */
    const char *why;
} kith_node_key_answer;
void kith_node_key(kith_node *n, kith_time now, uint64_t key_id, const kith_node_key_answer *answer);

/* A connection with something to send, or NULL: each in turn, those with little to say first. Call send on it; ask again until there is
 * none. When its socket is full call kith_node_blocked, and kith_node_writable when it is not any more: until then the connection is not
 * offered. */
kith_conn *kith_node_writer(kith_node *n);
/* out.len should be 66 KiB or more, at best 256 KiB; several records are written one after another. */
size_t kith_node_send(kith_node *n, kith_time now, kith_conn *c, kith_span out);
void kith_node_blocked(kith_node *n, kith_conn *c);
void kith_node_writable(kith_node *n, kith_conn *c);

kith_time kith_node_deadline(const kith_node *n);
void kith_node_tick(kith_node *n, kith_time now);

/* The host's pointer in a connection (its socket). */
void kith_conn_set_link(kith_conn *c, void *link);
void *kith_conn_link(const kith_conn *c);

/* ---- what the application wants ---- */

/* Connects to a peer at any of its addresses, ranked and raced; an open connection is used again. peer NULL: whoever answers at the
 * addresses (all of them are one peer's). The answer is a DIALED event with this id. KITH_EFORMAT: an address names another peer.
 * KITH_ENOTFOUND: no usable address and not connected. KITH_ELIMIT. */
KITH_CHECK kith_err kith_node_dial(kith_node *n, kith_time now, const kith_peer_id *peer,
                                   const kith_maddr *addrs, size_t count, uint64_t *dial_id);
void kith_node_dial_cancel(kith_node *n, kith_time now, uint64_t dial_id);

/* Opens a stream and proposes protocols in order; machine is owned by the stream from then on, also when this fails. user becomes
 * kith_stream_user. STREAM_OPENED follows, or STREAM_GONE with KITH_EUNSUPPORTED. KITH_ESTATE, KITH_ELIMIT, KITH_ENOMEM. The bytes of
 * the ids are borrowed until STREAM_OPENED or STREAM_GONE. */
KITH_CHECK kith_err kith_node_open(kith_node *n, kith_time now, kith_conn *c, const kith_bytes *protocols,
                                   size_t count, const kith_stream_ops *ops, void *machine, void *user,
                                   kith_stream **out);
/* The machine of a stream was changed from outside: ask it again what it wants. */
void kith_node_wake(kith_node *n, kith_time now, kith_stream *s);
/* Resets the stream; STREAM_GONE follows. */
void kith_node_reset(kith_node *n, kith_time now, kith_stream *s);
/* Closes a connection in good order (GoAway, what is queued, then CLOSE). */
void kith_node_close(kith_node *n, kith_time now, kith_conn *c);
/* The same, and the peer is told that it is not wanted any more. */
void kith_node_send_away(kith_node *n, kith_time now, kith_conn *c);
/* The same, and the peer is told that room was needed. */
void kith_node_trim(kith_node *n, kith_time now, kith_conn *c);
/* Pings the peer now, whatever it said lately: facts' heard_at then shows whether it is there. Of a connection that is not OPEN: nothing. */
void kith_node_ping(kith_node *n, kith_time now, kith_conn *c);
/* Refuses new connections and streams and closes all; when kith_node_conn_count is 0 the node is quiet. */
void kith_node_shutdown(kith_node *n, kith_time now);
/* The next handshake with this peer has signatures, whoever dials; NULL: with everybody. */
void kith_node_forget_sessions(kith_node *n, const kith_peer_id *peer);
/* The host reads from a throttled connection an eighth of what others get in a turn. */
void kith_node_throttle(kith_conn *c, bool on);
bool kith_conn_throttled(const kith_conn *c);
/* A protected connection is not trimmed when idle. Counted: protect twice, unprotect twice. */
void kith_node_protect(kith_conn *c, bool on);

/* ---- what happened ---- */

typedef enum kith_node_event_kind {
    /* for the host to act on */
    KITH_NODE_DIAL,    /* connect conn's socket to addr (ip4/ip6 + tcp) */
    KITH_NODE_RESOLVE, /* look up addr (dns, dns4, dns6, dnsaddr), answer with kith_node_resolved(resolve_id) */
    KITH_NODE_KEY, /* a QKD key is wanted: a new one to share with peer (key_name empty; peer.len 0: whoever is there), or that of
                      * key_name. Answer with kith_node_key(key_id); an answer that comes too late does nothing */
    KITH_NODE_WORK,  /* let kith_node_work(conn) run where it holds nothing up, then tell kith_node_worked */
    KITH_NODE_CLOSE, /* close conn's socket; conn is dead after the next call, or when its work is told. peer.len > 0: it was dialled, and
                      * addr did not lead to that peer, for err */
    /* for the application */
    KITH_NODE_CONNECTED,     /* conn is OPEN: authenticated and multiplexed */
    KITH_NODE_IDENTIFIED,    /* identify is complete (info) or failed (info NULL, err); once per connection */
    KITH_NODE_UPDATED,       /* the peer pushed news of itself (info) */
    KITH_NODE_DISCONNECTED,  /* a conn that was CONNECTED is over: err, why */
    KITH_NODE_REFUSED,       /* an inbound connection never became OPEN: err, why, addr */
    KITH_NODE_DIALED,        /* dial_id: conn, or err and why */
    KITH_NODE_STREAM_OPENED, /* the protocol is agreed */
    KITH_NODE_STREAM_READY,  /* the stream's machine has events for its owner */
    KITH_NODE_STREAM_GONE, /* over: err (KITH_OK: both sides closed); the machine is freed at the next call */
} kith_node_event_kind;

typedef struct kith_node_event {
    kith_node_event_kind kind;
    kith_conn *conn;
    kith_stream *stream;
    kith_maddr addr;
    uint64_t resolve_id, dial_id, key_id;
    kith_peer_id peer;   /* KEY, CLOSE */
    kith_bytes key_name; /* KEY: valid until the next call */
    kith_err err;
    const char *why;                /* static, or valid until the next call, or NULL */
    const kith_identify_info *info; /* valid until the next call */
} kith_node_event;

bool kith_node_next(kith_node *n, kith_time now, kith_node_event *ev);

/* ---- looking ---- */

size_t kith_node_conn_count(const kith_node *n);
/* Walks the connections in the order they came: start with NULL. */
kith_conn *kith_node_conn_next(const kith_node *n, const kith_conn *c);
/* The OPEN connection to a peer that new streams should use, or NULL. */
kith_conn *kith_node_conn_find(const kith_node *n, const kith_peer_id *peer);

typedef struct kith_conn_facts {
    kith_peer_id peer; /* len 0 before authentication */
    kith_maddr remote, local;
    bool inbound, open;
    const kith_noise_suite *suite; /* NULL before it is chosen */
    kith_noise_pq pq;              /* whose key the peer has proven; alg KITH_SIG_NONE: it has none */
    bool resumed;           /* not by a signature in this handshake but by a secret of an earlier one */
    uint64_t pq_checked_at; /* when the signature was checked: seconds by kith_node_set_clock; 0: none was */
    /* Of the Noise handshake, once it is complete: bytes of its messages, and the time from the first byte said to both being authenticated. */
    size_t shaken_in, shaken_out;
    kith_time shaking;
    const char *muxer; /* "/yamux/1.0.0" */
    kith_qkd_state qkd;
    const char *qkd_why; /* off or failed under a policy other than off: why; else NULL */
    bool early_muxer;
    kith_time opened_at;
    kith_time active_at;          /* when a stream of an application last did something; at first opened_at */
    kith_time heard_at;           /* when the last byte came */
    bool protected;               /* kith_node_protect */
    bool broke;                   /* over, since the peer said inside the channel what the protocol forbids */
    kith_time rtt;                /* smoothed; 0: unknown */
    uint64_t bytes_in, bytes_out; /* on the wire */
    size_t streams;
    uint32_t rekeys;      /* how often the keys were refreshed */
    kith_time keyed_at;   /* since when the present ones are in use */
    uint64_t keyed_bytes; /* on the wire since then, both directions */
    bool identified;      /* identify has come to its end, with or without success */
    const char *agent;    /* "" before identify */
    const uint8_t *
        channel; /* while open: h of the handshake, 32 bytes, which names this connection on both sides; else NULL */
} kith_conn_facts;
void kith_conn_facts_get(const kith_conn *c, kith_conn_facts *out);
/* For streams that are gone: the peer refused the whole connection, and this is the sentence; it lives as long as c. NULL: it did not. */
const char *kith_conn_refusal(const kith_conn *c);
/* The peer's own word about its protocols (identify). */
bool kith_conn_supports(const kith_conn *c, kith_bytes protocol);
/* All of them: writes at most max views, valid until the connection's next event, and returns how many. */
size_t kith_conn_protocols(const kith_conn *c, kith_bytes *out, size_t max);

kith_conn *kith_stream_conn(const kith_stream *s);
void *kith_stream_machine(const kith_stream *s);
void *kith_stream_user(const kith_stream *s);
void kith_stream_set_user(kith_stream *s, void *user);
bool kith_stream_inbound(const kith_stream *s);

/* Asserts the invariants; for tests and fuzzers. */
void kith_node_check(const kith_node *n);

#endif
