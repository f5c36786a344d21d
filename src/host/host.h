/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The libuv host: one loop, one node, its sockets, names and timer.
 *
 * Everything happens on the loop's thread. A sink or observer is called from the drive, after the node call that caused the event has
 * returned; it may call any kith_node_* function and any function here, and what it changes is carried out in the same drive. Code that
 * changes the node from elsewhere (a uv callback of its own: a file, a pipe, a timer) calls kith_host_kick afterwards. */
#ifndef KITH_HOST_HOST_H
#define KITH_HOST_HOST_H

#include <uv.h>

#include "host/qkd_keys.h"
#include "mesh/part.h"
#include "mesh/reputation.h"

typedef struct kith_host kith_host;

/* Who owns a stream: kith_stream_user points to one of these (or NULL: nobody listens). Gets STREAM_OPENED, STREAM_READY, STREAM_GONE. */
typedef struct kith_sink {
    void (*event)(void *ctx, kith_host *h, const kith_node_event *ev);
    void *ctx;
} kith_sink;

typedef struct kith_host_config {
    /* env is the host's own and ignored; signer and agent are set by the caller; network_key is borrowed for the call. */
    kith_node_config node;
    unsigned backlog; /* of listen(2); 0: 1024 */
    const char *
        dns; /* name servers, "10.0.0.1,[::1]:5353"; NULL or "": the system's. Borrowed as long as the host */
    const kith_qkd_settings *qkd; /* where node.qkd is not off; borrowed for the call */
    bool background; /* its connections give way to all others, as far as this system and the network can */
    void (*log)(void *ctx, const char *line); /* warnings for people; may be NULL */
    void *log_ctx;
} kith_host_config;

/* The heap, OpenSSL's randomness, no trace. */
const kith_env *kith_host_env(void);

/* NULL: no memory, no loop, or no network key while the environment asks for one (host/network.h); *why says it. Raises the limit of open files as far as the system lets it. */
kith_host *kith_host_new(const kith_host_config *cfg, const char **why);
/* The loop must have ended (kith_host_run returned). */
void kith_host_free(kith_host *h);

/* Runs until kith_host_stop was called and everything is closed. */
void kith_host_run(kith_host *h);
/* Graceful: no new connections, GoAway to all, what is queued leaves, everything is closed within two seconds. Idempotent; may be called
 * from anywhere on the loop's thread. */
void kith_host_stop(kith_host *h);
/* The same without the two seconds: sockets stay as long as their peers go on taking what was written. kith_host_stop makes it short
 * again. */
void kith_host_stop_when_sent(kith_host *h);
bool kith_host_stopping(const kith_host *h);
/* Bytes that were written and that peers had not taken when their sockets were given up. */
size_t kith_host_untaken(const kith_host *h);

kith_node *kith_host_node(kith_host *h);
uv_loop_t *kith_host_loop(kith_host *h);
/* The fingerprint of the private network that the node is in; NULL: of none. */
const char *kith_host_network(const kith_host *h);
kith_time kith_host_now(kith_host *h); /* the loop's clock, read afresh */
/* The node was changed: drive it before the loop sleeps. Cheap, coalesced. */
void kith_host_kick(kith_host *h);

/* At most so many bytes a second over all connections together, from now on; 0: no limit, as at first. Handshakes of those who come in are free.
 * Whoever would go beyond it waits, and so the other side is slowed down too. Ends with kith_host_stop. */
void kith_host_limit(kith_host *h, uint64_t up, uint64_t down);
/* What went over connections since the start; may be NULL. */
void kith_host_moved(const kith_host *h, uint64_t *up, uint64_t *down);

/* ---- listening ---- */

/* Listens on /ip4|ip6/../tcp/port; port 0 picks one. Wildcards are told to peers as the machine's interface addresses. On failure the
 * uv error (< 0), else 0 and *bound (may be NULL) is the address with the real port. */
int kith_host_listen(kith_host *h, const kith_maddr *addr, kith_maddr *bound);
/* Addresses that peers can dial, without /p2p: wildcards expanded, at most max. */
size_t kith_host_addrs(kith_host *h, kith_maddr *out, size_t max);
/* Those that lead to one address of this machine, ip: 4 or 16 bytes; link-local ones too, which kith_host_addrs leaves out. */
size_t kith_host_addrs_at(kith_host *h, kith_bytes ip, kith_maddr *out, size_t max);

/* Tells peers now, rather than in a quarter of a minute, when the addresses above have changed. */
void kith_host_look_at_addrs(kith_host *h);

/* ---- dialling ---- */

/* conn is NULL on failure: then err and why say it. Called once, from the drive. */
typedef void (*kith_dialed_fn)(void *ctx, kith_host *h, kith_conn *conn, kith_err err, const char *why);
/* As kith_node_dial; fn is called also when the answer is at hand at once (but not before this returns). */
KITH_CHECK kith_err kith_host_dial(kith_host *h, const kith_peer_id *peer, const kith_maddr *addrs,
                                   size_t count, kith_dialed_fn fn, void *ctx);

/* ---- connection events ---- */

/* Sees CONNECTED, IDENTIFIED, UPDATED, DISCONNECTED, REFUSED of all connections, DIALED of all dials, and CLOSE of a dial that did not lead to its
 * peer. Link it in; unlink it before its memory goes. */
typedef struct kith_observer {
    void (*event)(void *ctx, kith_host *h, const kith_node_event *ev);
    void *ctx;
    struct kith_observer *next;
} kith_observer;
void kith_host_observe(kith_host *h, kith_observer *o);
void kith_host_unobserve(kith_host *h, kith_observer *o);

/* Whoever sees what a peer did says so here; without somebody who minds nothing comes of it. What may be said: mesh/reputation.h. */
void kith_host_conduct(kith_host *h, const kith_peer_id *peer, kith_conduct kind);
void kith_host_on_conduct(kith_host *h, void (*fn)(void *ctx, const kith_peer_id *peer, kith_conduct kind),
                          void *ctx);

/* Drives a part of the mesh beside the node, until it is detached; before its memory goes, and while the host is there. */
void kith_host_attach(kith_host *h, kith_part *p);
void kith_host_detach(kith_host *h, kith_part *p);

/* Keeps kith_host_run from returning while something of the caller's must still be closed; the counterpart lets it go. Called for handles
 * that the caller opened on the loop and closes itself when the observer below is told. */
void kith_host_on_stop(kith_host *h, void (*fn)(void *ctx), void *ctx);

#endif
