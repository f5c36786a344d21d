/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* multistream-select 1.0, both roles: which protocol runs next on a connection or stream. libp2p
 * connections spec, "multistream-select".
 *
 *   dialer    hello + proposal 1 ->        <- hello, (na -> proposal 2)*, echo
 *   listener  hello; for each proposal: echo when known, "na" otherwise; "ls" gets "na"
 */
#ifndef KITH_PROTO_MSS_H
#define KITH_PROTO_MSS_H

#include "base/env.h"
#include "base/err.h"

#define KITH_MSS_HELLO "\x13/multistream/1.0.0\n" /* what either side says first */
#define KITH_MSS_ID_MAX 140                       /* longest protocol id that we speak or accept */
#define KITH_MSS_MSG_MAX 1024                     /* longest message that we read, as js has it */
#define KITH_MSS_TRIES_MAX 64                     /* proposals that a listener answers before it gives up */

typedef enum kith_mss_state { KITH_MSS_RUNNING, KITH_MSS_DONE, KITH_MSS_FAILED } kith_mss_state;

/* Finds a protocol for the listener: an index >= 0, or -1. Called with the id without newline. */
typedef int (*kith_mss_find)(void *ctx, kith_bytes id);

typedef struct kith_mss kith_mss;

/* Dialer: proposes ids[0..n) in this order; ids and their bytes are borrowed until free. NULL: no memory. */
kith_mss *kith_mss_dial(const kith_env *env, const kith_bytes *ids, size_t n);
kith_mss *kith_mss_listen(const kith_env *env, kith_mss_find find, void *ctx);
void kith_mss_free(kith_mss *m);

/* Some ids ahead of the rest: ids[0..own) and the payload that would follow ids[0] go out in messages that look like proposals. A
 * listener that takes them answers with one of these ids, and has the payload if that is ids[0]; to every other one they are a few
 * unknown ids. ids[own], if there is one, is proposed in the same flight, the others one after another. docs/protocols/mss.md.
 * 1 <= own <= n; the payload, at least a byte, is borrowed for the call and takes at most KITH_MSS_AHEAD_MAX bytes together with
 * the own ids, one byte for each of these, and two. */
#define KITH_MSS_AHEAD_MAX 2048
kith_mss *kith_mss_dial_ahead(const kith_env *env, const kith_bytes *ids, size_t own, size_t n,
                              kith_bytes payload);
/* Dialer, DONE: the listener has the payload. */
bool kith_mss_ahead_taken(const kith_mss *m);
/* Listener, before its first recv: takes up to max bytes sent ahead, ids and all. */
void kith_mss_take_ahead(kith_mss *m, size_t max);
/* Listener, DONE: the payload that came ahead for the id that was accepted, to be read as if it came behind it; empty: nothing. The
 * caller's to change, until free. */
kith_span kith_mss_ahead(kith_mss *m);

/* Consumes negotiation bytes only: *used <= in.len; what follows belongs to the next layer. Once DONE or
 * FAILED uses nothing. Every error is FAILED, with the reason in kith_mss_why. KITH_EPROTO: the peer broke
 * the rules. KITH_EUNSUPPORTED: it refused every proposal. KITH_ELIMIT: it made too many. KITH_ENOMEM. */
KITH_CHECK kith_err kith_mss_recv(kith_mss *m, kith_bytes in, size_t *used);
size_t kith_mss_send(kith_mss *m, kith_span out);
kith_mss_state kith_mss_status(const kith_mss *m);
/* DONE: the index into ids, or what find returned. */
int kith_mss_choice(const kith_mss *m);
/* Lazy negotiation: a dialer with one id left may let payload follow its proposal at once, before the
 * answer is in; true once send has handed over everything up to that point. The answer is still read
 * through recv. Either role: true as well when DONE and nothing is left to send. */
bool kith_mss_may_pass(const kith_mss *m);
const char *kith_mss_why(const kith_mss *m);
/* The peer's first words were those of multistream-select. */
bool kith_mss_greeted(const kith_mss *m);

#endif
