/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The resource manager: every cap on what remote peers can make a node hold, and the counters against them. */
#ifndef KITH_NODE_LIMITS_H
#define KITH_NODE_LIMITS_H

#include "base/env.h"
#include "base/err.h"
#include "base/map.h"
#include "wire/multiaddr.h"

/* The caps; all in the config file under the same names. Loopback addresses are exempt from the per-IP and per-subnet caps and rates only
 * when `exempt_loopback` is set. A rate is a bucket of so many tokens that fills up in a minute: that many may come at once. */
typedef struct kith_limits {
    uint32_t conns;            /* connections, all stages, both directions */
    uint32_t conns_in;         /* inbound connections */
    uint32_t conns_per_ip;     /* inbound, per IPv4 address or IPv6 /64 */
    uint32_t conns_per_subnet; /* inbound, per IPv4 /24 or IPv6 /48 */
    uint32_t conns_per_peer;   /* established, per peer id */
    uint32_t rate_per_ip;      /* inbound connections a minute, per address as above */
    uint32_t rate_per_subnet;
    uint32_t rate_pushes;   /* identify pushes a minute, per connection */
    uint32_t rate_rekeys;   /* refreshes of keys a minute, per connection, besides those after 16 MiB */
    uint32_t rate_messages; /* messages a minute that a peer may send us, on all of its streams */
    uint32_t handshakes;    /* inbound connections not yet authenticated */
    uint32_t
        sign_ms; /* milliseconds a minute of our post-quantum signatures for whoever dials, roughly: see kith_limiter_sign */
    uint32_t sign_ms_per_ip;
    uint32_t dials;         /* outbound sockets under way */
    uint32_t streams_in;    /* per connection, opened by the peer */
    uint32_t streams_out;   /* per connection, opened by us */
    uint32_t streams;       /* all connections together; a few are assured to each beyond it */
    uint32_t window_max;    /* bytes: one stream's receive window */
    uint32_t window_budget; /* bytes: all of a connection's receive windows beyond 256 KiB each */
    uint64_t memory;        /* bytes: what kith_node_env hands out: connections, streams, their machines */
    bool exempt_loopback;
} kith_limits;

void kith_limits_default(kith_limits *l);

/* One bucket; zeroed, it is full. */
typedef struct kith_rate {
    kith_time full_at;
} kith_rate;
/* Takes a token. False: there is none, and nothing has changed. */
bool kith_rate_take(kith_rate *r, kith_time now, uint32_t per_minute);
/* The same with n at once. */
bool kith_rate_take_many(kith_rate *r, kith_time now, uint32_t per_minute, uint32_t n);

/* Who counts: one per node. */
typedef struct kith_limiter kith_limiter;

kith_limiter *kith_limiter_new(const kith_env *env,
                               const kith_limits *limits); /* NULL: no memory; limits are copied */
void kith_limiter_free(kith_limiter *l);

/* Claims one inbound connection from remote's address. *why says which cap or rate was reached; nothing is counted then. KITH_EREFUSED: the
 * address or its subnet has its share. KITH_ELIMIT: a cap on all together, so that closing another connection makes room. KITH_ENOMEM. */
KITH_CHECK kith_err kith_limiter_accept(kith_limiter *l, kith_time now, const kith_maddr *remote,
                                        const char **why);
/* Claims one outbound connection. */
KITH_CHECK kith_err kith_limiter_dial(kith_limiter *l, const char **why);
/* Claims a signature for an unauthenticated dialer, worth so many milliseconds of a core. KITH_EREFUSED: remote's address, KITH_ELIMIT: all
 * together have had theirs; *why says it. */
KITH_CHECK kith_err kith_limiter_sign(kith_limiter *l, kith_time now, const kith_maddr *remote, uint32_t ms,
                                      const char **why);
/* An inbound connection has authenticated: it is no handshake any more. */
void kith_limiter_secured(kith_limiter *l);
/* An outbound socket is connected or failed: it is no dial under way any more. */
void kith_limiter_dialed(kith_limiter *l);
/* The connection is gone. secured/dialed: whether the call above was made for it. */
void kith_limiter_release_in(kith_limiter *l, const kith_maddr *remote, bool secured);
void kith_limiter_release_out(kith_limiter *l, bool dialed);
/* One more stream of a connection that has `held`. Beyond the cap on all streams together every connection still gets
 * KITH_STREAMS_ASSURED, so that some peers cannot take all others' streams away. */
#define KITH_STREAMS_ASSURED 8
KITH_CHECK kith_err kith_limiter_stream(kith_limiter *l, size_t held);
void kith_limiter_release_stream(kith_limiter *l);

typedef struct kith_usage {
    uint32_t conns_in, conns_out, handshakes, dials, streams;
} kith_usage;
kith_usage kith_limiter_usage(const kith_limiter *l);

#endif
